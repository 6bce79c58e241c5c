"""A suite of pairs run whole, and `--outcomes`, on a little generated cohort."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import inside
from tiny_suite import GUESS, written

from bench import api, registry, store
from bench.core import BenchError
from bench.jobs import Job
from bench.protocol import asked

COHORT = "surgical:n=400:prevalence=3.0"
SUITE = f"""
kind = "pairs"
text = "Tiny pairs."
datasets = ["{COHORT}"]
methods = ["hard_sharing:fused=16:hidden=16:heads=2:width=16"]

[protocol]
outcomes = ["pulmonary", "aki", "icu_admission"]
"""
TASKS = ("pulmonary", "aki", "icu_admission")
RUNS = 7  # 3 alone, 3 pairs, all


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    ran = inside(folder, "--suite", written(folder, SUITE), "--quick", "--workers", "0")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Suggestion by AUROC" in ran.stdout
    assert "Synthetic patients" in ran.stdout
    return folder


def guessed(method: str = GUESS, **changes: str) -> str:
    text = SUITE.replace("hard_sharing:fused=16:hidden=16:heads=2:width=16", method)
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def run(folder: Path, text: str, **options: Any) -> api.Paired:
    found = api.run_suite(
        written(folder, text), quick=True, results=folder / "results", reports=folder / "reports", workers=0, **options
    )
    assert isinstance(found, api.Paired)
    return found


def test_every_pair_is_judged_on_the_same_rows(done: Path) -> None:
    report = done / "reports" / "mine-quick"
    assert {p.suffix for p in report.iterdir()} == {".md", ".csv", ".svg"}
    assert [p.name.startswith("pairs-surgical_n=400_prevalence=3.0-hard_sharing") for p in report.glob("*.svg")] == [True]
    table = pd.read_csv(report / "pairs.csv")
    assert len(table) == 2 * 3 * 3
    assert table["gain"].notna().all()
    assert table.loc[table["source"] != "all others", "affinity"].notna().all()
    assert table["reason"].isna().all()
    cells = sorted(done.glob("results/*/*/*/r*.parquet"))
    assert len(cells) == RUNS * 2
    rows = {p.parent.name: [] for p in cells}
    for path in cells:
        rows[path.parent.name].append(pd.read_parquet(path, columns=["row", "view", "fold"]))
    first, *others = (pd.concat(frames, ignore_index=True) for frames in rows.values())
    assert all(first.equals(other) for other in others)


def test_the_matrix_is_that_of_the_stored_predictions(done: Path) -> None:
    def auroc(label: str, task: str) -> float:
        pairs = concordant = 0.0
        for path in done.glob(f"results/*/*/*-of-{label}@*/r0-*.parquet"):
            frame = pd.read_parquet(path).query("view == 'test'")
            y, p = frame[f"y:{task}"].to_numpy(), frame[f"p:{task}"].to_numpy(np.float64)
            more = p[y == 1][:, None] - p[y == 0][None]
            pairs, concordant = pairs + more.size, concordant + (more > 0).sum() + (more == 0).sum() / 2
        return concordant / pairs

    table = pd.read_csv(done / "reports" / "mine-quick" / "pairs.csv").query("metric == 'auroc'").set_index(["target", "source"])
    gain = auroc("aki+pulmonary", "aki") - auroc("aki", "aki")
    assert table.loc[("aki", "pulmonary"), "gain"] == pytest.approx(gain, abs=1e-9)
    of_all = auroc("aki+icu_admission+pulmonary", "pulmonary")
    assert table.loc[("pulmonary", "all others"), "together"] == pytest.approx(of_all, abs=1e-9)


def test_a_rerun_trains_nothing_and_writes_the_same_bytes(done: Path) -> None:
    report = done / "reports" / "mine-quick"
    before = {p: p.stat().st_mtime_ns for p in done.glob("results/*/*/*/r*")}
    pages = {p.name: p.read_bytes() for p in report.iterdir()}
    lost = next(done.glob("results/*/*/*-of-aki@*/r0-f0.json"))
    lost.unlink()  # as if the run had been stopped before this cell
    again = run(done, SUITE)
    after = {p: p.stat().st_mtime_ns for p in done.glob("results/*/*/*/r*")}
    assert {p for p in before if before[p] != after[p]} == {lost, lost.with_suffix(".parquet")}
    assert {p.name: p.read_bytes() for p in report.iterdir()} == pages
    assert again.failed.empty


def test_the_run_of_all_is_the_newest(done: Path) -> None:
    found = store.read(done / "results", COHORT, quick=True)
    assert tuple(task.name for task in found.tasks) == TASKS
    assert all(task.implies == () for task in found.tasks)  # any_complication takes no part
    assert found.protocol["outcomes"] == sorted(TASKS)


def test_a_job_keeps_its_outcomes_on_the_way_to_a_worker() -> None:
    under = asked(outcomes=["aki", "icu_admission"])[0]
    spec, method = registry.parse("datasets", COHORT)[0], registry.parse("methods", GUESS)[0]
    job = Job(spec, method, under, 0, 0, "", "", "", "", {})
    assert Job.from_json(json.loads(json.dumps(job.json()))) == job


def test_chosen_outcomes_are_trained_and_reported_alone(tmp_path: Path) -> None:
    places: dict[str, Any] = {"results": tmp_path / "results", "reports": tmp_path / "reports", "workers": 0, "quick": True}
    whole = api.run(COHORT, GUESS, **places)
    part = api.run(COHORT, GUESS, outcomes="icu_admission,aki", **places)
    name = next(iter(part.results))
    assert name == f"{COHORT} outcomes=aki+icu_admission"
    assert set(part.scores["task"]) == {"aki", "icu_admission", "mean"}
    assert "trained and judged on aki and icu_admission alone" in part.table()
    assert next(iter(part.folders.values())) != next(iter(whole.folders.values()))
    test = [found.predictions.query("view == 'test'")[["row", "fold"]] for one in (whole, part) for found in one.results.values()]
    pd.testing.assert_frame_equal(*test)
    every = api.run(COHORT, GUESS, outcomes="aki,any_complication,icu_admission,pulmonary", **places)
    assert list(every.folders) == list(whole.folders)
    with pytest.raises(BenchError, match=r"unknown outcome of 'surgical.*' 'akii'\. Did you mean 'aki'\?"):
        api.run(COHORT, GUESS, outcomes="akii", **places)


def test_a_method_that_declines_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"guess:fault=decline on surgical.* has no pulmonary alone to compare with: declined"):
        run(tmp_path, guessed(f"{GUESS}:fault=decline"))
    both = guessed().replace(f'["{GUESS}"]', f'["{GUESS}", "{GUESS}:fault=raise"]')
    found = run(tmp_path, both)
    assert [one.pairs is None for one in found.matrices.each] == [False, True]
    assert len(found.failed) == RUNS * 2
    assert "Not judged: guess:fault=raise" in (tmp_path / "reports" / "mine-quick" / "pairs.md").read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"pulmonary", "aki", "icu_admission"', '"aki"', r"pairs need 2 outcomes or more, but 'surgical.*' has 1 here: aki"),
        ('"pulmonary"', '"pulmonry"', r"unknown outcome of 'surgical.*' 'pulmonry'\. Did you mean 'pulmonary'\?"),
        ("[protocol]", '[protocol]\ntrain_size = "100,200"', r"one training size, but train_size is '100,200'"),
        ("[protocol]", "[protocol]\nmissing = 0.5", r"unknown key of protocol 'missing'"),
        ('kind = "pairs"', 'kind = "triples"', r"kind: input should be 'pairs'"),
        ("datasets", "dataset", r"unknown key of the suite 'dataset'\. Did you mean 'datasets'\?"),
    ],
)
def test_a_suite_that_cannot_be_run_says_why(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        run(tmp_path, guessed().replace(old, new, 1))
    assert not list(tmp_path.glob("results/*/*/*/r*"))
