"""`bench results clean`: what it names, what it takes, and what it must not touch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kept_cells import DATASET, PROTOCOL, QUICK, cell, fill, flipped, method, predictions, record, snapshot

from bench import store
from bench.cli import main
from bench.core import BenchError
from bench.store.files import HOST

DEAD = 4194999  # above the system's highest process id
HOLDING = """
import sys
from pathlib import Path
from bench.store import writing
from bench.store.locks import hold
with writing():
    hold(Path(sys.argv[1]))
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(tmp_path / "results")
    return tmp_path / "results"


def said(root: Path, capsys: pytest.CaptureFixture[str], *more: str) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        main(["results", "clean", "--results", str(root), *more])
    assert ended.value.code == 0
    return capsys.readouterr().out.splitlines()


def untouched(root: Path) -> dict[str, bytes]:
    return {name: data for name, data in snapshot(root).items() if name != ".lock"}


def test_of_a_folder_in_order_nothing_goes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(root)
    assert said(root, capsys, "--yes")[-1] == "0 files, 0 B removed."
    assert untouched(root) == before


def test_nothing_goes_without_yes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(root, ("good",), QUICK)
    before = snapshot(root)
    lines = said(root, capsys)
    assert lines[2].startswith("quick: 6 files, ")  # protocol.json, 2 cells x 2 files, the record of the run
    assert lines[-1].endswith(". Nothing is removed: --yes removes them.")
    assert snapshot(root) == before


def test_cells_of_older_code_go_and_those_of_the_last_run_stay(root: Path) -> None:
    new = snapshot(root)
    fill(root, ("good",), code="old")
    fill(root)  # the last run
    going = store.removable(root, ["old"])
    assert going.count == 6  # method.json, protocol.json, 2 cells x 2 files
    assert all(method("good", "old").folder in file.path for file in going.files["old"])
    assert going.bytes == sum((root / file.path).stat().st_size for file in going.files["old"])
    store.clean(root, ["old"])
    assert untouched(root) == new
    assert not (root / DATASET.folder / method("good", "old").folder).exists()


def test_without_a_record_the_code_described_last_is_the_current_one(root: Path) -> None:
    """As of draws, which have none."""
    fill(root, ("good",), code="old")
    path = root / DATASET.folder / "runs" / f"{PROTOCOL.folder}.json"
    path.unlink()
    os.utime(root / DATASET.folder / method("good", "old").folder / "method.json", ns=(1, 1))
    assert {shelf.folder.split("/")[1]: shelf.current for shelf in store.contents(root).shelves} == {
        method("good").folder: True, method("poor").folder: True, method("good", "old").folder: False,
    }  # fmt: skip


def test_a_quick_look_goes_and_the_method_it_shares_stays(root: Path) -> None:
    before = snapshot(root)
    fill(root, ("good", "glanced"), QUICK)
    store.clean(root, ["quick"])
    assert untouched(root) == before


def test_failed_and_lost_cells_go_and_declined_ones_stay(root: Path) -> None:
    kept = store.Store(root)
    for name, status in (("failing", "failed"), ("losing", "lost"), ("declining", "declined")):
        part = method(name)
        kept.describe(DATASET, part, PROTOCOL, {"family": "any"})
        kept.save_cell(kept.path(DATASET, part, PROTOCOL), 0, 0, record(name, 0, status), None)
    trials = cell(root, "failing").parent / "trials" / "r0-f0.json"  # hours of tuning, which the next try goes on with
    trials.parent.mkdir()
    trials.write_text(json.dumps(store.files.sealed({"trials": []})))
    going = store.clean(root, ["failed"])
    assert trials.exists()
    assert {(file.parts[1].partition("@")[0], file.cell) for file in going.files["failed"]} == {
        ("failing", "r0-f0"),
        ("losing", "r0-f0"),
    }
    assert cell(root, "declining").exists()
    assert not cell(root, "failing").exists()


def test_damaged_and_half_written_files_go(root: Path) -> None:
    flipped(cell(root, "good", 0, "parquet"), 50)
    flipped(cell(root, "poor", 1), 50)
    cell(root, "poor", 0).unlink()  # its parquet is what a killed process left
    (root / ".tmp").mkdir(exist_ok=True)
    for name in (f"{DEAD}-{'0' * 32}@{HOST}", f"{DEAD}-{'1' * 32}@elsewhere", f"{os.getpid()}-{'2' * 32}@{HOST}"):
        (root / ".tmp" / name).write_text("half")
    found = store.clean(root)
    assert {file.path for file in found.files["leftover"]} == {
        f".tmp/{DEAD}-{'0' * 32}@{HOST}", cell(root, "poor", 0, "parquet").relative_to(root).as_posix(),
    }  # fmt: skip
    assert {root / file.path for file in found.files["damaged"]} == {
        cell(root, name, fold, kind) for name, fold in (("good", 0), ("poor", 1)) for kind in ("json", "parquet")
    }
    assert len(list((root / ".tmp").iterdir())) == 2  # of a machine that nobody here can ask, and of a process that lives
    assert not store.verify(root).findings
    assert sorted(store.contents(root).shelves[i].cells for i in (0, 1)) == [[], ["r0-f1"]]


def test_files_of_others_stay_whatever_they_are_called(root: Path) -> None:
    mine = [root / "notes.txt", root / "published" / "r0-f0.parquet", cell(root).parent / "r0-f0.txt", root / ".tmp" / "mine-1"]
    mine += [root / DATASET.folder / "runs" / "old.json", root / DATASET.folder / "plots" / "a.json"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    (root / "link@00000000").symlink_to(root.parent / "nowhere")
    fill(root, ("good",), QUICK)
    store.clean(root)
    assert all(path.read_text() == "mine" for path in mine)
    assert (root / "link@00000000").is_symlink()


def test_nothing_goes_while_a_run_holds_the_folder_and_all_when_it_was_killed(root: Path) -> None:
    fill(root, ("good",), QUICK)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(root)], stdin=pipe, stdout=pipe, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "held\n"
        before = snapshot(root)
        with pytest.raises(BenchError, match=r"a run writes to .* now, so nothing is removed"):
            store.clean(root)
        assert snapshot(root) == before
        with store.writing():  # a second run is let in
            fill(root)
        run.kill()  # no chance to let go
    assert store.clean(root).count == 6


def test_what_changed_since_it_was_seen_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that outlived its run by a cell writes without the lock."""
    fill(root, ("good",), QUICK)
    quick = root / DATASET.folder / method("good").folder / QUICK.folder
    seen = store.removable(root)

    def removable(root: Path, kinds: object) -> store.Removal:
        store.Store(root).save_cell(quick, 0, 0, record("good", 0), predictions(0, noise=0.9))
        return seen

    monkeypatch.setattr(sys.modules["bench.store.clean"], "removable", removable)
    store.clean(root)
    assert sorted(path.name for path in quick.iterdir()) == ["r0-f0.json", "r0-f0.parquet"]


def test_a_kind_that_is_none_is_one_line(root: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["results", "clean", "--results", str(root), "--only", "olds"])
    assert ended.value.code == "bench: what is cleaned must be of old, failed, quick, leftover, damaged, but is 'olds'"
