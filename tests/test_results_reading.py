"""Reading and writing results: as pandas would read them, damaged, by two writers, where nothing can be written, and without pickle."""

import ast
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from filled import GUESS
from kept_cells import DATASET, PROTOCOL, QUICK, cell, fill, flipped, method, record, rewritten

import bench
from bench import store
from bench.core import BenchError
from bench.report import notes
from bench.store import Part
from bench.store.files import FORMAT
from bench.store.tables import Piece, packed, stacked

ROOT = Path(__file__).parent.parent
METHODS = f"{GUESS},{GUESS}:noise=0.1"
NUMBERS = ("scores.csv", "comparisons.csv")
TABLES = (*NUMBERS, "table.md", "table.tex")  # these have seconds too, which differ when a cell is trained again


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("done")
    ran(folder)
    return folder


def ran(folder: Path) -> bench.Outcome:
    places = {"results": folder / "results", "reports": folder / "reports"}
    return bench.run("surgical:n=300", METHODS, folds=3, workers=0, quick=True, **places)


def tables(folder: Path, names: tuple[str, ...] = NUMBERS) -> dict[str, bytes]:
    return {name: (folder / "reports" / "surgical_n=300-quick" / name).read_bytes() for name in names}


def test_many_cells_are_read_as_pandas_reads_them_one_by_one(tmp_path: Path) -> None:
    fill(tmp_path)
    frames: list[pd.DataFrame] = []
    for name in ("good", "poor"):
        for fold in (0, 1):
            one = pd.read_parquet(cell(tmp_path, name, fold, "parquet")).drop(columns="patient")
            frames.append(one.assign(method=name, repeat=0))
    pd.testing.assert_frame_equal(store.read(tmp_path, "demo:n=40").predictions, pd.concat(frames, ignore_index=True))


def test_methods_without_a_family_stand_under_other_beside_those_that_have_one(tmp_path: Path) -> None:
    fill(tmp_path, ("mine", "good"))
    run = tmp_path / DATASET.folder / "runs" / f"{PROTOCOL.folder}.json"
    methods = json.loads(run.read_text("utf-8"))["methods"]
    rewritten(run, methods={**methods, "mine": {**methods["mine"], "family": ""}})
    found = store.read(tmp_path, "demo:n=40")
    assert found.groups == {"mine": "other", "good": "any"}
    assert notes.families(found) == {"any": ["good"], "other": ["mine"]}  # last, although it was asked for first
    assert store.read(tmp_path, "demo:n=40", methods=["mine"]).groups == {"mine": ""}  # alone: no heading


def test_the_newest_run_is_the_one_asked_for_last_whatever_copies_and_clocks_say(tmp_path: Path) -> None:
    kept = fill(tmp_path)  # its run says nothing of when it was written: the file's time counts
    runs = tmp_path / DATASET.folder / "runs"
    os.utime(runs / f"{PROTOCOL.folder}.json", (1, 1))
    parts = [Part(f"cv{n}", {"folds": n, "seed": 0, "quick": False}) for n in (9, 3, 5)]
    for part in parts:
        kept.change_run(DATASET, part, lambda before, part=part: {"protocol": dict(part.identity), "methods": {}, "repeats": 1})
    order = [part.folder for part in (PROTOCOL, *parts)]
    assert list(store.runs(tmp_path, "demo:n=40")) == order
    for age, part in enumerate(parts):  # as a copy leaves them, in any order
        os.utime(runs / f"{part.folder}.json", (1000 - age, 1000 - age))
    assert list(store.runs(tmp_path, "demo:n=40")) == order
    rewritten(runs / f"{parts[0].folder}.json", written=4_000_000_000.0)  # the clock was in 2096, and was set right
    kept.change_run(DATASET, parts[1], lambda before: before)
    assert list(store.runs(tmp_path, "demo:n=40")) == [order[0], order[3], order[1], order[2]]


def test_cells_with_other_columns_and_types_are_joined_as_pandas_joins_them() -> None:
    old = pd.DataFrame({"row": [1, 2], "patient": ["a", "b"], "fold": [0, 0], "view": "test", "p:x": [0.5, 0.25]})
    new = old.astype({"p:x": "float32", "fold": "int16"}).assign(**{"p:z": [0.1, 0.2]})
    made = stacked([Piece("m", 0, packed(old)), Piece("λ", 3, packed(new))])
    expected = pd.concat([old.assign(method="m", repeat=0), new.assign(method="λ", repeat=3)], ignore_index=True)
    pd.testing.assert_frame_equal(made, expected[made.columns], check_dtype=False)
    assert made["p:z"].isna().tolist() == [True, True, False, False]


def test_parquet_of_earlier_versions_is_read(tmp_path: Path) -> None:
    fill(tmp_path)
    before = store.read(tmp_path, "demo:n=40")
    path = cell(tmp_path, kind="parquet")
    buffer = io.BytesIO()
    pd.read_parquet(path).to_parquet(buffer, index=False, compression="zstd")
    path.write_bytes(buffer.getvalue())
    rewritten(cell(tmp_path), predictions=store.files.digest(buffer.getvalue()))
    pd.testing.assert_frame_equal(store.read(tmp_path, "demo:n=40").predictions, before.predictions)


def test_every_damage_is_said_by_the_report_and_mended_by_the_run(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done / "results", tmp_path / "results")
    one, two, three, four, five, _ = sorted(tmp_path.glob("results/*/guess*@*/*/r*.json"))
    flipped(one, one.read_text().index('"seconds"') + 12)  # a digit of the seconds: still JSON
    flipped(two.with_suffix(".parquet"), 200)
    three.with_suffix(".parquet").write_bytes(three.with_suffix(".parquet").read_bytes()[:-9])
    rewritten(four, status="done")
    four.write_text(four.read_text().replace(f'"format": {FORMAT}', f'"format": {FORMAT + 1}'))
    five.write_bytes(b"")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("results/*/*/*/r*.json")}
    again = bench.make_report("surgical:n=300", results=tmp_path / "results", reports=tmp_path / "reports", quick=True)
    assert again.failed["error"].tolist() == ["missing or damaged; the same `bench run` makes it again"] * 5
    assert len(store.verify(tmp_path / "results").damaged) == 5
    assert ran(tmp_path).failed.empty
    changed = {path for path, moment in before.items() if path.stat().st_mtime_ns != moment}
    assert changed == {one, two, three, four, five}
    assert tables(tmp_path) == tables(done)
    assert not store.verify(tmp_path / "results").findings


def test_a_bit_of_the_cohort_or_of_a_record_stops_the_report_in_one_line(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done / "results", tmp_path / "results")
    for name in ("dataset.json", "cohort.parquet"):
        path = next(tmp_path.glob(f"results/*/{name}"))
        flipped(path, 100)
        with pytest.raises(BenchError, match=r"is missing or damaged; `bench run` writes it|no quick results of"):
            store.read(tmp_path / "results", "surgical:n=300", quick=True)
        flipped(path, 100)
    run = next(tmp_path.glob("results/*/runs/*.json"))
    value = store.files.sealed({**json.loads(run.read_text("utf-8"))}) | {"format": FORMAT + 1}
    del value["sha256"]
    run.write_text(json.dumps(value), "utf-8")
    with pytest.raises(BenchError, match=r"no quick results of"):
        store.read(tmp_path / "results", "surgical:n=300", quick=True)
    ran(tmp_path)
    assert tables(tmp_path) == tables(done)


READ_ONLY = """
import sys
from bench.cli import main
for line in sys.argv[1:]:
    try:
        main(line.split())
    except SystemExit as ended:
        print("status:", ended.code, flush=True)
"""


def test_a_folder_that_cannot_be_written_is_read_and_nothing_else(done: Path, tmp_path: Path) -> None:
    """A mount of its own: who runs as root may write anywhere else."""
    shutil.copytree(done / "results", tmp_path / "results")
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    lines = [
        "report --quick --dataset surgical:n=300 --resamples 200",
        "results verify",
        "results clean --yes",
        f"run --quick --dataset surgical:n=300 --folds 3 --workers 0 --methods {METHODS}",
    ]
    script = f'mount --bind results results && mount -o remount,ro,bind results && exec "{sys.executable}" -c "$@"'
    command = ["unshare", "-rm", "bash", "-c", script, "-", READ_ONLY, *lines]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    said = [line.removeprefix("status: ") for line in made.stdout.splitlines() if line.startswith("status: ")]
    assert said[:2] == ["0", "0"], made.stdout + made.stderr
    assert said[2].startswith("bench: cannot lock results, so nothing is removed: ")
    assert said[3].startswith("bench: cannot write to the results folder: ")
    assert "Read-only file system" in said[3]
    assert tables(tmp_path, TABLES) == tables(done, TABLES)


HAMMER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from kept_cells import DATASET, PROTOCOL, method, predictions, record
from bench.store import Store
store, noise = Store(Path(sys.argv[2])), float(sys.argv[3])
folder = store.path(DATASET, method("good"), PROTOCOL)
frame = predictions(0, noise)
sys.stdout.write("r"); sys.stdout.flush(); sys.stdin.read(1)
for repeat in range(60):
    store.save_cell(folder, repeat, 0, {**record("good", 0), "repeat": repeat}, frame)
"""


def test_two_processes_that_write_other_numbers_into_the_same_cells_leave_whole_ones(tmp_path: Path) -> None:
    fill(tmp_path, ("good",))
    pipe = subprocess.PIPE
    helpers = str(Path(__file__).parent / "helpers")
    both = [
        subprocess.Popen([sys.executable, "-c", HAMMER, helpers, str(tmp_path), noise], stdin=pipe, stdout=pipe, text=True)
        for noise in ("0.5", "0.6")
    ]
    for one in both:
        assert one.stdout is not None
        assert one.stdout.read(1) == "r"
    for one in both:
        assert one.stdin is not None
        one.stdin.write("g")
        one.stdin.flush()
    while any(one.poll() is None for one in both):  # a reader sees an old json or a new one, never a part
        for path in cell(tmp_path).parent.glob("r*-f0.json"):
            assert store.files.opened(path)[1] is None
    for one in both:
        one.communicate()
        assert one.returncode == 0
    held = store.verify(tmp_path)
    assert held.cells == 61  # and fold 1 of repeat 0
    assert not held.findings


def test_an_error_with_half_a_character_is_stored(tmp_path: Path) -> None:
    """As in the name of a file that is no UTF-8."""
    kept = fill(tmp_path)
    folder = kept.path(DATASET, method("good"), PROTOCOL)
    kept.save_cell(folder, 0, 0, {**record("good", 0, "failed"), "error": os.fsdecode(b"no \xff")}, None)
    assert not store.verify(tmp_path).findings
    found = kept.cell(folder, 0, 0)
    assert found is not None
    assert found["error"] == "no \udcff"


def test_temporary_names_of_others_do_not_stop_a_run(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / ".tmp").mkdir(exist_ok=True)
    (tmp_path / ".tmp" / "what-is-this").write_text("mine")
    fill(tmp_path, ("good",), QUICK)
    assert (tmp_path / ".tmp" / "what-is-this").read_text() == "mine"


def test_nothing_that_reads_results_can_unpickle() -> None:
    """A pickle runs code. What is read is JSON and Parquet."""
    for path in (path for room in ("store", "report", "stats", "cli") for path in (ROOT / "bench" / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            tops = {name.partition(".")[0] for name in names}
            assert not tops & {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch"}, (
                path
            )
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("read_pickle", "to_pickle", "unpickle"), path
            if isinstance(node, ast.keyword):
                assert node.arg != "allow_pickle", path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in {("torch", "load"), ("np", "load"), ("numpy", "load")}, path
