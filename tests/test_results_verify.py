"""`bench results verify`: every file, and what each damage means."""

import json
import os
from pathlib import Path

import pytest
from kept_cells import DATASET, PROTOCOL, cell, fill, flipped, method, rewritten, snapshot

from bench import store
from bench.cli import main
from bench.store.files import FORMAT, HOST


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(tmp_path / "results", external=True)
    return tmp_path / "results"


def verified(root: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Exit status and lines."""
    with pytest.raises(SystemExit) as ended:
        main(["results", "verify", "--results", str(root)])
    return int(str(ended.value.code)), capsys.readouterr().out.splitlines()


def test_a_whole_folder_is_as_written(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # dataset.json, cohort.parquet, external json and parquet, one run; 2 methods x (method.json, protocol.json, 2 cells x 2 files)
    assert verified(root, capsys) == (0, ["17 files of 4 cells: all as written."])


def test_a_bit_flipped_anywhere_in_any_file_is_seen(root: Path) -> None:
    for name, data in snapshot(root).items():
        for place in {0, 4, len(data) // 3, len(data) // 2, len(data) - 5, len(data) - 3}:
            flipped(root / name, place)
            found = store.verify(root)
            assert found.damaged, (name, place)
            flipped(root / name, place)
    assert not store.verify(root).findings


def test_a_cut_file_is_seen_and_says_what_it_costs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = cell(root, "good", 1, "parquet")
    path.write_bytes(path.read_bytes()[:-20])
    status, lines = verified(root, capsys)
    assert status == 1
    place = cell(root, "good", 1).relative_to(root)
    assert lines == [
        f"{place} has a checksum that r0-f1.parquet does not match; the same `bench run` trains cell r0-f1 of good on demo:n=40 again",
        "17 files of 4 cells: 1 damaged.",
    ]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("gone", "has predictions, but r0-f0.parquet is missing"),
        ("list", "is no JSON object"),
        ("cut", "is no JSON"),
        ("empty", "is no JSON"),
        ("poor", "is the record of another cell, r0-f1"),
        ("fields", "is not the record of a cell"),
    ],
)
def test_each_damage_of_a_cell_is_named(root: Path, damage: str, said: str) -> None:
    path = cell(root)
    if damage == "gone":
        path.with_suffix(".parquet").unlink()
    elif damage == "poor":
        path.write_bytes(cell(root, fold=1).read_bytes())
    elif damage == "fields":
        rewritten(path, status="done")
        value = {k: v for k, v in json.loads(path.read_text()).items() if k != "digests"}
        path.write_text(json.dumps(store.files.sealed(value)))
    else:
        path.write_bytes({"list": b"[]", "cut": path.read_bytes()[:50], "empty": b""}[damage])
    (found,) = store.verify(root).findings
    assert (found.kind, found.path) == ("damaged", path.relative_to(root).as_posix())
    assert found.text.startswith(said)
    assert "trains cell r0-f0 of good on demo:n=40 again" in found.text


def test_a_json_of_a_later_version_is_not_called_damaged(root: Path) -> None:
    path = cell(root)
    value = {**json.loads(path.read_text("utf-8")), "format": FORMAT + 1}
    del value["sha256"]
    path.write_text(json.dumps({**value}), "utf-8")
    (found,) = store.verify(root).findings
    assert found.kind == "format"
    assert f"is of format {FORMAT + 1}, but this version of bench reads {FORMAT} and earlier; update bench" in found.text
    assert not store.removable(root, ["damaged"]).count


def test_a_json_of_before_there_were_checksums_is_taken(root: Path) -> None:
    for path in root.rglob("*.json"):
        value = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps({k: v for k, v in value.items() if k not in ("format", "sha256", "hashed", "cohort", "rows")}))
    assert not store.verify(root).findings
    assert len(store.read(root, "demo:n=40").cells) == 4


@pytest.mark.parametrize("name", ["dataset.json", "{m}/method.json", "{m}/{p}/protocol.json"])
def test_what_a_folder_is_named_by_must_hash_to_its_name(root: Path, name: str) -> None:
    path = root / DATASET.folder / name.format(m=method("good").folder, p=PROTOCOL.folder)
    key = {"dataset.json": "digest", "method.json": "code", "protocol.json": "seed"}[path.name]
    rewritten(path, **{key: "other"})  # its own checksum is right
    (found,) = store.verify(root).findings
    assert found.text.startswith("is of another folder, ")


@pytest.mark.parametrize(
    "name", ["dataset.json", "cohort.parquet", "{m}/method.json", "{m}/{p}/protocol.json", "external/there@abcdef01.parquet"]
)
def test_a_file_that_must_be_there_is_missed(root: Path, name: str) -> None:
    path = root / DATASET.folder / name.format(m=method("good").folder, p=PROTOCOL.folder)
    path.unlink()
    (found,) = store.verify(root).damaged
    assert (found.kind, root / found.path) == ("missing", path)


def test_a_record_of_another_run_is_seen(root: Path) -> None:
    path = root / DATASET.folder / "runs" / f"{PROTOCOL.folder}.json"
    rewritten(path, protocol={"folds": 3, "seed": 0, "quick": False})
    found = store.verify(root).findings
    assert [one.text.split(";")[0] for one in found] == ["is the record of a run under another protocol"]


def test_foreign_and_unfinished_files_are_named_and_are_no_damage(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "notes.txt").write_text("mine")
    (root / "published" / "deep").mkdir(parents=True)
    (root / "published" / "deep" / "a.csv").write_text("x")
    (cell(root).parent / "r0-f0.json.bak").write_text("x")
    cell(root, "poor").unlink()
    for lock in (".lock", ".turn"):
        (root / lock).touch()
    (root / ".tmp").mkdir(exist_ok=True)
    (root / ".tmp" / f"4194999-{'0' * 32}@{HOST}").write_text("half")  # above the system's highest process id
    (root / ".tmp" / f"4194999-{'0' * 32}@elsewhere").write_text("half")  # may be alive there
    (root / ".tmp" / f"{os.getpid()}-{'0' * 32}@{HOST}").write_text("half")
    status, lines = verified(root, capsys)
    assert status == 0
    named = [line.split()[0] for line in lines[:-1]]
    shelf = cell(root).parent.relative_to(root)
    assert sorted(named) == sorted([
        f".tmp/4194999-{'0' * 32}@{HOST}", f"{shelf}/r0-f0.json.bak", "notes.txt",
        str(cell(root, "poor", kind="parquet").relative_to(root)),
    ])  # fmt: skip


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["results", "verify", "--results", str(tmp_path / "none")])
    assert str(ended.value.code).startswith(f"bench: there is no results folder '{tmp_path / 'none'}'")


def test_a_new_kind_of_file_is_checked_by_its_own_checksum(root: Path) -> None:
    path = cell(root).parent / "trials" / "r0-f0.json"
    path.parent.mkdir()
    path.write_text(json.dumps(store.files.sealed({"trials": []})))
    assert not store.verify(root).findings
    flipped(path, 12)
    assert [root / one.path for one in store.verify(root).damaged] == [path]
