"""Whole small runs through the real command, in a folder of their own.

All but one are quick looks, whose report draws 200 resamples and no PDF; those that need no process of their own run in this one.
"""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from commands import QUICK, SMALL, TWO, Ended, cells, command, inside, report_folder
from filled import DATA, GUESS

import bench
from bench import harness, registry, store
from bench.core import BenchError
from bench.protocol import QUICK_ROWS

UNDER = harness.Protocol(folds=3, quick=True, rows=QUICK_ROWS)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("done")
    ran = command(folder, *SMALL, "2", "--methods", TWO)
    assert ran.returncode == 0, ran.stderr
    assert "[6/6]" in ran.stdout
    return folder


def test_a_run_fills_every_cell_and_writes_every_file(done: Path) -> None:
    assert {p.name for p in report_folder(done).iterdir()} >= {"table.md", "table.tex", "scores.csv", "comparisons.csv"}
    made = cells(done)
    assert len(made) == 6
    for cell in made:
        assert cell["status"] == "done"
        assert {"settings", "seconds", "peak_mb", "facts", "versions", "digests", "alarms", "code"} <= set(cell)
        assert 0 < cell["predict_seconds"] < cell["seconds"]
    scores = pd.read_csv(report_folder(done) / "scores.csv")
    assert list(scores.columns) == ["method", "task", "metric", "value", "sd", "low", "high", "folds", "n", "events"]
    assert scores.loc[scores["task"] == "mean", "value"].between(0, 1).all()
    assert set(scores["task"]) == {"any_complication", "pulmonary", "aki", "icu_admission", "mean"}


def test_cells_open_with_one_line_of_pandas_or_duckdb(done: Path) -> None:
    import duckdb

    glob = f"{done}/results/*/*/*/r*.parquet"
    n = duckdb.sql(f"select count(*) as n from '{glob}' where view = 'test'").fetchall()
    assert n == [(1200,)]  # 600 patients, each tested once by each of two methods
    first = pd.read_parquet(next(done.glob("results/*/*/*/r0-f0.parquet")))
    assert {"row", "patient", "fold", "view", "y:aki", "p:aki"} <= set(first.columns)
    assert set(first["view"]) == {"test", "valid"}


def test_a_rerun_trains_nothing_and_writes_the_same(done: Path) -> None:
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in done.glob("results/*/*/*/r*")}
    scores = (report_folder(done) / "scores.csv").read_bytes()
    ran = inside(done, *SMALL, "2", "--methods", TWO)
    assert "6 of 6 cells are stored already" in ran.stdout
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in done.glob("results/*/*/*/r*")} == before
    assert (report_folder(done) / "scores.csv").read_bytes() == scores


def test_a_full_report_is_the_same_bytes_again(tmp_path: Path) -> None:
    """Not of a quick look: 2,000 resamples, and every figure in every format."""
    for reports in ("first", "again"):
        bench.run(DATA, TWO, folds=2, workers=0, results=tmp_path / "results", reports=tmp_path / reports)
    first, again = ({p.relative_to(top): p.read_bytes() for p in top.rglob("*") if p.is_file()} for top in
                    (tmp_path / "first", tmp_path / "again"))  # fmt: skip
    assert {str(path.parent) for path in first} >= {"wards", "wards/figures"}
    assert {path.suffix for path in first} >= {".md", ".tex", ".csv", ".html", ".svg", ".pdf", ".png"}
    assert first == again


def test_report_gives_the_same_tables_from_the_results_folder_alone(done: Path, tmp_path: Path) -> None:
    ran = inside(tmp_path, *QUICK, "--results", str(done / "results"), verb="report")
    assert ran.returncode == 0, ran.stderr
    for name in ("scores.csv", "comparisons.csv", "table.md", "table.tex"):
        assert (report_folder(tmp_path) / name).read_bytes() == (report_folder(done) / name).read_bytes(), name


def test_python_does_the_same_work_as_the_command(done: Path, tmp_path: Path) -> None:
    outcome = bench.run(
        "surgical:n=600",
        TWO,
        folds=3,
        workers=0,
        quick=True,
        results=tmp_path / "results",
        reports=tmp_path / "reports",
    )
    assert (report_folder(tmp_path) / "scores.csv").read_bytes() == (report_folder(done) / "scores.csv").read_bytes()
    assert outcome.table() == (report_folder(tmp_path) / "table.md").read_text()
    assert len(outcome.predictions.query("view == 'test'")) == 1200
    assert outcome.failed.empty


def test_a_missing_cell_alone_is_run_again(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done / "results", tmp_path / "results")
    lost = next(tmp_path.glob("results/*/guess@*/*/r0-f1.json"))
    lost.unlink()
    ran = inside(tmp_path, *SMALL, "0", "--methods", TWO)
    assert "5 of 6 cells are stored already" in ran.stdout
    assert lost.exists()
    assert (report_folder(tmp_path) / "scores.csv").read_bytes() == (report_folder(done) / "scores.csv").read_bytes()


def test_damaged_cells_are_named_by_the_report_and_made_again_by_the_run(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done / "results", tmp_path / "results")
    # Two cells of each method, each damaged in a way of its own; the third of each stays, without which there is no report.
    damage: dict[str, Callable[[bytes], bytes]] = {
        "guess@*/*/r0-f0.json": lambda whole: whole[:60], "guess@*/*/r0-f1.parquet": lambda whole: b"",
        "guess?noise=0.1@*/*/r0-f0.json": lambda whole: b"[]",
    }  # fmt: skip
    for name, damaged in damage.items():
        path = next(tmp_path.glob(f"results/*/{name}"))
        path.write_bytes(damaged(path.read_bytes()))
    next(tmp_path.glob("results/*/guess?noise=0.1@*/*/r0-f1.parquet")).unlink()
    options = {"results": tmp_path / "results", "reports": tmp_path / "reports", "quick": True}
    failed = bench.make_report("surgical:n=600", **options).failed
    assert failed["error"].tolist() == ["missing or damaged; the same `bench run` makes it again"] * 4
    assert list(zip(failed["method"], failed["fold"], strict=True)) == [
        ("guess", 0), ("guess", 1), ("guess:noise=0.1", 0), ("guess:noise=0.1", 1)
    ]  # fmt: skip
    again = bench.run("surgical:n=600", TWO, folds=3, workers=0, **options)
    assert again.failed.empty
    assert (report_folder(tmp_path) / "scores.csv").read_bytes() == (report_folder(done) / "scores.csv").read_bytes()


def lasting(path: Path) -> object:
    """What a file holds, but for when a run was asked for last."""
    if path.parent.name != "runs":
        return path.read_bytes()
    return {key: value for key, value in json.loads(path.read_text()).items() if key not in ("written", "sha256")}


def test_damaged_files_of_the_store_are_one_line_for_the_report_and_mended_by_the_run(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done / "results", tmp_path / "results")
    paths = [
        next(tmp_path.glob(f"results/*/{name}"))
        for name in ("dataset.json", "cohort.parquet", "runs/*.json", "guess@*/method.json")
    ]
    before = {path: lasting(path) for path in paths}
    options = {"results": tmp_path / "results", "reports": tmp_path / "reports", "quick": True}
    for path in paths[:3]:  # the fourth only `--accept-code` reads
        whole = path.read_bytes()
        path.write_bytes(whole[:40])
        with pytest.raises(BenchError):
            bench.make_report("surgical:n=600", **options)
        path.write_bytes(whole)
    for path in paths:
        path.write_bytes(path.read_bytes()[:40])
    bench.run("surgical:n=600", TWO, folds=3, workers=0, **options)
    assert {path: lasting(path) for path in paths} == before
    assert (report_folder(tmp_path) / "scores.csv").read_bytes() == (report_folder(done) / "scores.csv").read_bytes()


def test_reports_that_cannot_be_written_end_in_one_line(done: Path, tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    ran = inside(tmp_path, *QUICK, "--results", str(done / "results"), verb="report")
    assert ran.returncode == 1
    assert ran.stderr.startswith("bench: cannot write to the reports folder")
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize("dataset", ["surgical:n=0600", "surgical:seed=0:n=600"])
def test_a_report_understands_names_as_the_run_does(done: Path, tmp_path: Path, dataset: str) -> None:
    options = {"results": done / "results", "reports": tmp_path, "quick": True}
    outcome = bench.make_report([dataset], [GUESS, f"{GUESS}:noise=0.10"], reference=GUESS, **options)
    assert outcome.results["surgical:n=600"].methods == ("guess", "guess:noise=0.1")
    with pytest.raises(BenchError, match=r"unknown dataset of this outcome 'nope'\. There are: surgical:n=600\."):
        outcome.table("nope")
    with pytest.raises(BenchError, match="no dataset given"):
        bench.make_report(" , ", **options)


@pytest.mark.parametrize(("methods", "said"), [("", "no method given"), ("nope", "no stored results of nope")])
def test_a_report_of_what_is_not_there_is_refused(done: Path, methods: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        bench.make_report("surgical:n=600", methods, results=done / "results", quick=True)


@pytest.mark.parametrize("change", [["--seed", "1"], ["--dataset", "surgical:n=600:seed=1"], ["--folds", "2"]])
def test_cells_of_other_data_or_protocol_are_not_taken(done: Path, tmp_path: Path, change: list[str]) -> None:
    specs = registry.parse("methods", GUESS)
    options = dict(zip(["--dataset", "--folds", "--seed"], ["surgical:n=600", "3", "0"], strict=True)) | {change[0]: change[1]}
    shutil.copytree(done / "results", tmp_path / "results")
    protocol = replace(UNDER, folds=int(options["--folds"]), seed=int(options["--seed"]))
    plan = harness.plan(registry.parse("datasets", options["--dataset"])[0], specs, protocol, tmp_path / "results")
    assert not plan.stored


def test_a_later_run_of_fewer_repeats_takes_nothing_from_an_earlier_one(tmp_path: Path) -> None:
    """The later run is of one repeat and another method: the repeats of the two that are compared stay, and so does the way back."""
    for methods, repeats in ((TWO, "2"), (f"{GUESS}:noise=0.2", "1")):
        ran = inside(tmp_path, *SMALL, "0", "--methods", methods, "--repeats", repeats)
        assert ran.returncode == 0, ran.stderr
    way_back = "`bench report --dataset surgical:n=600 --methods all --quick` shows"
    assert f"There are results of 2 more methods of this protocol: {way_back}" in ran.stdout
    results = tmp_path / "results"
    two = store.read(results, "surgical:n=600", quick=True, methods=["guess", "guess:noise=0.1"])
    assert sorted(two.predictions["repeat"].unique()) == [0, 1]
    assert two.protocol["repeats"] == 2
    assert {row["repeat"] for row in two.receipt["folds"]} == {0, 1}
    assert store.read(results, "surgical:n=600", quick=True).protocol["repeats"] == 1
    every = store.read(results, "surgical:n=600", quick=True, methods=["all"])  # what all of them have
    assert (every.protocol["repeats"], len(every.methods)) == (1, 3)


def test_cells_of_other_code_are_not_taken_unless_asked_for(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done / "results", tmp_path / "results")
    changed = tmp_path / "guess.py"
    changed.write_text(Path(GUESS).read_text().replace("std(axis=1)", "var(axis=1)"))
    dataset, protocol = registry.parse("datasets", "surgical:n=600")[0], UNDER
    specs = registry.parse("methods", str(changed))
    assert not harness.plan(dataset, specs, protocol, tmp_path / "results").stored
    taken = harness.plan(dataset, specs, protocol, tmp_path / "results", accept_code=True)
    assert len(taken.stored) == 3
    assert any("--accept-code" in notice for notice in taken.notices)


def test_quick_is_marked_and_stored_apart(tmp_path: Path) -> None:
    ran = inside(tmp_path, "--dataset", "surgical:n=3000", "--quick", "--workers", "0", "--methods", GUESS)
    assert "quick look, not a result" in ran.stdout
    folder = tmp_path / "reports" / "surgical_n=3000-quick"
    assert "quick look, not a result" in (folder / "table.md").read_text()
    assert all("quick" in str(p) for p in tmp_path.glob("results/*/*/*/r*.json"))
    missing = inside(tmp_path, "--dataset", "surgical:n=3000", verb="report")
    assert missing.returncode == 1
    assert "no results of 'surgical:n=3000'" in missing.stderr


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A run of few patients in one new process, and on its standard error every module it imports."""
    line = [*QUICK[:2], "surgical:n=300", "--folds", "5", "--workers", "0", "--methods", GUESS]
    return command(tmp_path_factory.mktemp("few"), *line, python=("-v",))


def test_few_events_are_said_before_training(few: Ended) -> None:
    assert few.returncode == 0, few.stderr
    assert "note: too few events to tell methods apart, under 10 a fold:" in few.stdout


def test_nothing_of_the_suite_is_imported_twice(few: Ended) -> None:
    names = re.findall(r"^import '([\w.]+)' #", few.stderr, re.MULTILINE)
    assert names.count("bench.api") == names.count("bench.datasets.surgical") == 1
    assert not [name for name in names if name.startswith("bench.bench") or name in ("methods", "datasets")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--methods", "mmeo"], "bench: unknown method 'mmeo'. Did you mean 'mmoe'?"),
        (["--dataset", "surgical:relatednes=1"], "Did you mean 'relatedness'?"),
        (["--folds", "1"], "bench: folds must be 2 or more, but is 1"),
        (["--workers", "-1"], "bench: workers must be 0 or more, but is -1"),
        (
            ["--methods", GUESS, "--reference", "gues", "--dataset", "surgical:n=300"],
            "bench: unknown reference (it must be a method of the run) 'gues'. Did you mean 'guess'? There are: guess.",
        ),
        (["--fold", "3"], "bench: No such option: --fold"),
    ],
)
def test_a_wrong_call_ends_in_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    ran = inside(tmp_path, *arguments)
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert said in ran.stderr
    assert not cells(tmp_path)


def test_a_results_folder_that_cannot_be_written_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    ran = inside(tmp_path, *SMALL, "2", "--methods", GUESS)
    assert ran.returncode == 1
    assert ran.stderr.startswith("bench: cannot write to the results folder")
    assert "Traceback" not in ran.stderr


def test_an_unfit_seed_or_repeat_is_refused() -> None:
    with pytest.raises(BenchError, match="repeats must be 1 or more, but is 0"):
        bench.run(repeats=0)
