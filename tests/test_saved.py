"""A model that was saved and is loaded by another process predicts what it predicted: every method, every encoding."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from new_patients import cohort, new

import bench
from bench import registry
from bench.core import Unsupported
from bench.saved import kept_rows

ENCODED = {
    "hard_sharing text=tokens series=grud": ("hard_sharing", {"text": "tokens", "series": "grud"}),
    "hard_sharing text=minilm series=tcn": ("hard_sharing", {"text": "minilm", "series": "tcn"}),
    "hard_sharing text=minilm:tune series=patch": ("hard_sharing", {"text": "minilm:tune", "series": "patch"}),
    "xgboost text=minilm series=summary": ("xgboost", {"text": "minilm", "series": "summary"}),
    "orthtd stop=per_task series=summary": ("orthtd:stop=per_task:variant=e", {"series": "summary"}),
}
CASES = {name: (name, {}) for name in registry.ids("methods")} | ENCODED
ELSEWHERE = """
import sys
from pathlib import Path
import numpy as np
from new_patients import new
import bench
for folder in sorted(Path(sys.argv[1]).iterdir()):
    model = bench.load_model(folder)
    assert not model.notices, model.notices
    np.save(folder.with_name(folder.name + ".npy"), model.predict(new()).to_numpy())
"""


@dataclass
class Saved:
    here: dict[str, np.ndarray]
    elsewhere: dict[str, np.ndarray]
    declined: dict[str, str]
    folders: dict[str, Path]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Every model fitted, saved, and all of them loaded by one other process."""
    root = tmp_path_factory.mktemp("saved")
    rows, made = cohort(), Saved({}, {}, {}, {})
    for i, (name, (method, how)) in enumerate(CASES.items()):
        try:
            model = bench.fit(method, rows, quick=True, seed=1, **how)
        except Unsupported as reason:
            made.declined[name] = str(reason)
            continue
        made.here[name] = model.predict(new()).to_numpy()
        made.folders[name] = model.save(root / "models" / f"m{i:02d}")
    path = [str(Path(bench.__file__).parent.parent), str(Path(__file__).parent / "helpers")]
    code = f"import sys; sys.path[:0] = {path!r}\n{ELSEWHERE}"
    done = subprocess.run([sys.executable, "-c", code, str(root / "models")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, folder in made.folders.items():
        made.elsewhere[name] = np.load(folder.with_name(folder.name + ".npy"))
    return made


@pytest.mark.parametrize("name", CASES)
def test_another_process_predicts_the_same(name: str, saved: Saved) -> None:
    if name in saved.declined:
        pytest.skip(saved.declined[name])
    here, elsewhere = saved.here[name], saved.elsewhere[name]
    assert here.shape == (40, 3)
    told_apart = max(len(np.unique(column)) for column in here.T)
    assert name == "constant" or told_apart > 3  # else the next line would say nothing
    np.testing.assert_allclose(elsewhere, here, atol=1e-6, rtol=0)


def test_all_but_what_cannot_run_here_is_saved(saved: Saved) -> None:
    assert set(saved.declined) <= {"tabpfn"}  # it needs a licence


def test_no_file_is_a_pickle_and_none_holds_a_patient(saved: Saved) -> None:
    kinds = {path.suffix for folder in saved.folders.values() for path in folder.iterdir()}
    assert kinds == {".json", ".safetensors", ".ubj", ".txt", ".cbm"}
    for folder in saved.folders.values():
        text = (
            (folder / "model.json").read_text() + (folder / "reading.json").read_text() + (folder / "manifest.json").read_text()
        )
        assert "p17" not in text.split('"')
        assert (folder / "model.json").read_bytes()[:1] == b"{"
        assert kept_rows(folder) == 0


def test_what_training_remembers_of_its_rows_is_not_saved(saved: Saved) -> None:
    # DFD keeps a running loss of every training row and outcome, (2, n, T), and their labels, (n, T), n = 136 of 160 rows
    from safetensors.numpy import load_file

    shapes = [array.shape for array in load_file(saved.folders["dfd"] / "arrays.safetensors").values()]
    assert shapes
    assert not [shape for shape in shapes if 136 in shape]
