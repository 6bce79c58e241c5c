"""A model's folder that was changed, damaged or is of something else is refused in words, and nothing of it is ever run."""

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from new_patients import cohort, new
from safetensors.numpy import load_file, save_file

import bench
from bench.core import BenchError
from bench.saved.folder import _digest


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with every kind of file but the other libraries' trees."""
    return bench.fit("xgboost:rounds=5", cohort(120), quick=True).save(tmp_path_factory.mktemp("folder") / "model")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "model")


def manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """A manifest that is changed and whose own digest is made anew, as a forger would."""
    path = folder / "manifest.json"
    said = json.loads(path.read_text())
    change(said)
    said["digest"] = _digest({key: value for key, value in said.items() if key != "digest"})
    path.write_text(json.dumps(said))


def forged(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    about = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest(folder, lambda said: said["files"].update({name: about}))


def structure(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    said = json.loads((folder / "model.json").read_text())
    change(said)
    forged(folder, "model.json", json.dumps(said).encode())


def test_the_copy_itself_is_loaded(folder: Path) -> None:
    assert bench.load_model(folder).notices == ()


@pytest.mark.parametrize("name", ["arrays.safetensors", "booster-0.ubj", "model.json", "reading.json", "manifest.json"])
def test_a_changed_byte_in_any_file(folder: Path, name: str) -> None:
    path = folder / name
    data = bytearray(path.read_bytes())
    place = data.rindex(b"0") if name.endswith("json") else len(data) // 2
    data[place] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BenchError, match=f"{name} was changed after the model was saved"):
        bench.load_model(folder)


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda f: (f / "booster-1.ubj").unlink(), "lacks booster-1.ubj, which its manifest names"),
        (lambda f: (f / "manifest.json").unlink(), "holds no model: it has no manifest.json"),
        (lambda f: (f / "manifest.json").write_text("{"), "manifest.json is damaged: it is no JSON"),
        (lambda f: (f / "manifest.json").write_text("[" * 100_000), "manifest.json is damaged|of something else"),
        (lambda f: (f / "manifest.json").write_text('{"kind": "other"}'), "its manifest.json is of something else"),
        (lambda f: (f / "extra.pkl").write_bytes(pickle.dumps(1)), "holds 'extra.pkl', which is no part of the model"),
        (lambda f: os.truncate(f / "arrays.safetensors", 100), "arrays.safetensors is damaged: it has 100 bytes"),
        (lambda f: os.truncate(f / "model.json", 1 << 40), "has 1,099,511,627,776 bytes where"),
        (lambda f: os.truncate(f / "manifest.json", 1 << 40), "has 1,099,511,627,776 bytes where"),
        (lambda f: manifest(f, lambda m: m.update(format=2)), "is of format 2, but this version reads format 1. Update"),
        (lambda f: manifest(f, lambda m: m.update(format="0")), "is of format 0, .* Fit the model again"),
        (lambda f: manifest(f, lambda m: m.update(files={})), "names no files"),
        (lambda f: manifest(f, lambda m: m["files"].update({"../x.json": {"bytes": 1}})), "names '../x.json', which is no name"),
        (lambda f: manifest(f, lambda m: m["files"].update({"/etc/passwd": {"bytes": 1}})), "names '/etc/passwd', which is no name"),
        (lambda f: manifest(f, lambda m: m["files"]["model.json"].update(bytes=1 << 60)), "a model has 16 GB at most"),
        (lambda f: manifest(f, lambda m: m["files"]["model.json"].update(bytes="9")), "does not say how large model.json is"),
        (lambda f: manifest(f, lambda m: m.pop("outcomes")), "holds no model that can be made here: KeyError: 'outcomes'"),
        (lambda f: manifest(f, lambda m: m["method"].update(id="gone", label="gone")), "is a model of 'gone', which is not to be had"),
    ],
)  # fmt: skip
def test_a_damaged_or_foreign_folder(folder: Path, break_it: Callable[[Path], object], said: str) -> None:
    break_it(folder)
    with pytest.raises(BenchError, match=said):
        bench.load_model(folder)


def test_a_link_in_the_place_of_a_file(folder: Path, tmp_path: Path) -> None:
    (folder / "model.json").rename(tmp_path / "model.json")
    (folder / "model.json").symlink_to(tmp_path / "model.json")
    with pytest.raises(BenchError, match=r"model.json must be a file, but is a link"):
        bench.load_model(folder)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match=r"is not there. A model is a folder, as `bench fit --out model/` writes it"):
        bench.load_model(tmp_path / "nothing")
    with pytest.raises(BenchError, match=r"is a file, not a folder"):
        bench.load_model(tmp_path / "file")
    with pytest.raises(BenchError, match=r"holds no model: it has no manifest"):
        bench.load_model(tmp_path)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("name", ["arrays.safetensors", "booster-0.ubj", "model.json"])
def test_a_pickle_under_a_name_of_the_model_is_never_opened(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    forged(folder, name, pickle.dumps(Bomb()))
    with pytest.raises(BenchError, match=r"no safetensors|its library cannot read|holds no model that can be made here"):
        bench.load_model(folder)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("os:system", "none of the kinds that a model may hold"),
        ("subprocess:Popen", "none of the kinds that a model may hold"),
        ("torch.nn.modules.linear:math", "which is not there"),
        ("bench.prep:Flat.__init__.__globals__", "which is not there"),
        ("bench.methods.gone:Ensemble", "a part of a method that is not there"),
        ("bench.pertask:Gone", "which is not there"),
        ("bench.pertask:Constant", "other parts than here"),
    ],
)
def test_a_forged_structure_names_no_other_class(folder: Path, name: str, said: str) -> None:
    def change(whole: dict[str, Any]) -> None:
        next(one for one in whole["objects"] if "class" in one)["class"] = name

    structure(folder, change)
    with pytest.raises(BenchError, match=said):
        bench.load_model(folder)


@pytest.mark.parametrize("value", [{"function": "os:system"}, {"function": "method:METHOD"}, {"object": 10**6}, {"?": 1}, {}])
def test_a_forged_value_is_refused(folder: Path, value: object) -> None:
    structure(folder, lambda whole: next(one for one in whole["objects"] if "class" in one)["state"].update(names=value))
    with pytest.raises(BenchError, match=r"holds"):
        bench.load_model(folder)


def test_a_forged_network_is_refused(tmp_path: Path) -> None:
    saved = bench.fit("hard_sharing:fused=16:hidden=16", cohort(120), quick=True).save(tmp_path / "model")
    changes: list[tuple[Callable[[dict[str, Any]], None], str]] = [
        (lambda module: module["state"].update(_parameters={}), "it holds a module whose '_parameters' is its own"),
        (lambda module: module.update(module="bench.prep:Flat"), "it holds 'bench.prep:Flat' as a module, which it is not"),
    ]
    for i, (change, said) in enumerate(changes):
        place = shutil.copytree(saved, tmp_path / str(i))
        structure(place, lambda whole, change=change: change(next(one for one in whole["objects"] if "module" in one)))
        with pytest.raises(BenchError, match=said):
            bench.load_model(place)


def test_a_forged_forest_is_refused_before_it_is_walked(tmp_path: Path) -> None:
    place = bench.fit("random_forest:trees=2", cohort(120), quick=True).save(tmp_path / "model")
    arrays = load_file(place / "arrays.safetensors")
    name = next(name for name in arrays if name.endswith("left_child"))
    arrays[name] = np.where(arrays[name] >= 0, 10**9, arrays[name])
    save_file(arrays, place / "arrays.safetensors")
    forged(place, "arrays.safetensors", (place / "arrays.safetensors").read_bytes())
    with pytest.raises(BenchError, match=r"a tree whose nodes do not make one"):
        bench.load_model(place)


def test_other_versions_are_said_and_the_model_is_taken(folder: Path) -> None:
    manifest(folder, lambda said: said["versions"].update(xgboost="1.0"))
    model = bench.load_model(folder)
    assert any("where the model was saved 1.0" in text for text in model.notices)
    assert len(model.predict(new())) == 40


def test_a_model_that_predicts_otherwise_is_refused(folder: Path) -> None:
    arrays = load_file(folder / "arrays.safetensors")
    arrays["check:risks"] = 1 - arrays["check:risks"]
    save_file(arrays, folder / "arrays.safetensors")
    forged(folder, "arrays.safetensors", (folder / "arrays.safetensors").read_bytes())
    manifest(folder, lambda said: said.update(code="other"))
    with pytest.raises(BenchError, match=r"no longer predicts what it did .*the code of 'xgboost:rounds=5' is another here"):
        bench.load_model(folder)


def test_nothing_but_a_model_is_ever_written_over(folder: Path, tmp_path: Path) -> None:
    model = bench.load_model(folder)
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(BenchError, match=r"holds a model already. Add --force"):
        model.save(folder)
    assert model.save(folder, force=True) == folder
    assert json.loads((folder / "manifest.json").read_bytes())["files"] == json.loads(before)["files"]
    (folder / "mine.txt.bak").write_text("")
    (tmp_path / "file").write_text("")
    for place in (folder, tmp_path):
        with pytest.raises(BenchError, match=r"holds other files. Name another"):
            model.save(place, force=True)
    with pytest.raises(BenchError, match=r"is a file"):
        model.save(tmp_path / "file", force=True)
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".model-")]
