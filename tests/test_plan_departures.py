"""What a report says of results that depart from the plan: each place by itself, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from filled import DATA, GUESS, fill

from bench import plans, report, store
from bench.core import Task
from bench.planning import lock
from bench.plans import Locked
from bench.protocol import Protocol
from bench.report import Settings, planned
from bench.store import Results

TWO = f"{GUESS},{GUESS}:noise=0.1"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A plan, and results that keep to it: of two methods, 2 folds, 2 repeats."""
    folder = tmp_path_factory.mktemp("kept")
    words: dict[str, Any] = {"dataset": DATA, "methods": TWO, "split": "random", "folds": 2, "repeats": 2}
    locked = lock.plan(folder / "plan.toml", **words, margin=0.01, resamples=20, results=folder / "results").locked
    assert locked is not None
    return SimpleNamespace(folder=folder, plan=locked, results=fill(folder, Protocol(folds=2, repeats=2), TWO))


def departures(results: Results, plan: Locked, **judged: Any) -> list[str]:
    how = Settings.chosen(plan, **judged)
    chosen = {"primary": how.primary, "adjust": how.adjust, "interval": how.interval, "resamples": how.drawn(results.quick)}
    return list(planned.departed(results, plan, chosen))


def test_results_of_the_plan_depart_nowhere(kept: Any) -> None:
    assert departures(kept.results, kept.plan) == []
    assert planned.sentence(kept.results, kept.plan, False).startswith(f"Made under the plan {kept.plan.name}, locked on ")
    assert ", before the first cell was trained (" in planned.sentence(kept.results, kept.plan, False)


def without(frame: pd.DataFrame, method: str) -> pd.DataFrame:
    return frame[frame["method"] != method]


CHANGES: dict[str, Callable[[Results], Results]] = {
    "methods that it has not: more": lambda r: replace(r, methods=(*r.methods, "more")),
    "methods of it that are not here: guess:noise=0.1": lambda r: replace(
        r, methods=("guess",), cells=without(r.cells, "guess:noise=0.1"), made={"guess": r.made["guess"]}
    ),
    "another reference, guess:noise=0.1 and not guess": lambda r: replace(r, reference="guess:noise=0.1"),
    "other code of guess": lambda r: replace(r, made={**r.made, "guess": {**r.made["guess"], "code": "0" * 16}}),
    "another version of numpy, 1.0 and not ": lambda r: replace(r, made={**r.made, "guess": {**r.made["guess"], "versions": {"numpy": "1.0"}}}),
    "another cohort: its digest is 000000000000, not ": lambda r: replace(r, digest="0" * 64),
    "outcomes that it has not: other": lambda r: replace(r, tasks=(*r.tasks, Task("other"))),
    "outcomes of it that are not here: ": lambda r: replace(r, tasks=r.tasks[1:]),
    "another coding of death before of ": lambda r: replace(r, tasks=(replace(r.tasks[0], competing="counted"), *r.tasks[1:])),
    "fewer repeats, 1 and not 2": lambda r: replace(r, protocol={**r.protocol, "repeats": 1}),
    "more repeats, 3 and not 2": lambda r: replace(r, protocol={**r.protocol, "repeats": 3}),
    "another seed, 1 and not 0": lambda r: replace(r, protocol={**r.protocol, "seed": 1}),
    "another tune, 20 and not none": lambda r: replace(r, protocol={**r.protocol, "tune": 20}),
    "at most 50 patients to learn from, which is no training size of it": lambda r: replace(r, protocol={**r.protocol, "train_size": 50}),
    "other folds: the hash of the splits is 0, not ": lambda r: replace(r, receipt={**r.receipt, "hash": "0"}),
    "elsewhere is not among its datasets, wards": lambda r: replace(r, dataset="elsewhere"),
    "8 of 8 cells were trained before it was locked": lambda r: replace(r, cells=r.cells.assign(begun=r.cells["begun"] - 1e6)),
}  # fmt: skip


@pytest.mark.parametrize("said", CHANGES)
def test_each_departure_is_named_and_no_other(kept: Any, said: str) -> None:
    (only,) = departures(CHANGES[said](kept.results), kept.plan)
    assert only.startswith(said)


@pytest.mark.parametrize(
    ("judged", "said"),
    [
        ({"primary": ("ap",)}, "another primary metric, ap and not auroc, ap"), ({"adjust": "bh"}, "another adjustment, bh and not max_t"),
        ({"interval": "bca"}, "another kind of interval, bca and not percentile"),
        ({"resamples": 40}, "another number of resamples, 40 and not 20"),
    ],
)  # fmt: skip
def test_another_analysis_is_named(kept: Any, judged: dict[str, Any], said: str) -> None:
    assert departures(kept.results, kept.plan, **judged) == [said]


def test_cells_that_were_there_are_said(kept: Any, tmp_path: Path) -> None:
    """Of a plan that is locked when its results are known: by the cells' times, and by what the plan itself says."""
    late = lock.plan(
        tmp_path / "late.toml", dataset=DATA, methods=TWO, split="random", folds=2, repeats=2, results=kept.folder / "results"
    ).locked
    assert late is not None
    assert late.content["stored"] == 8
    begun = kept.results.cells["begun"]
    assert begun.notna().all()
    assert "after the first cell was trained" in planned.sentence(kept.results, late, True)
    unknown = replace(kept.results, cells=kept.results.cells.drop(columns="begun"))
    assert "8 of its cells were stored when it was locked" in departures(unknown, late, resamples=2000)
    assert planned.sentence(unknown, late, True).endswith("; when the first cell was trained is not stored.")


def test_a_cell_that_is_made_again_keeps_its_time(kept: Any) -> None:
    folder = kept.folder / "results"
    (path, *_) = sorted(folder.glob("*/*/*/r0-f0.json"))
    where = store.Store(folder)
    before = where.cell(path.parent, 0, 0)
    assert before is not None
    where.save_cell(path.parent, 0, 0, before, where.predictions(path.parent, 0, 0))
    after = where.cell(path.parent, 0, 0)
    assert after is not None
    assert after["trained"] == before["trained"]


def test_models_tested_elsewhere_are_held_against_the_plan_too(kept: Any) -> None:
    results = replace(
        kept.results, dataset="wards tested on far", protocol={**kept.results.protocol, "split": "external", "folds": 1}
    )
    assert departures(results, kept.plan) == ["wards tested on far, which it does not have"]
    known = {**kept.plan.content, "dataset": [{**kept.plan.content["dataset"][0], "external": [{"name": "far", "digest": ""}]}]}
    assert departures(results, replace(kept.plan, content=known)) == []


def test_the_report_shows_departures_and_warns(kept: Any) -> None:
    how = Settings.chosen(kept.plan, primary=("ap",), resamples=20)
    sheet = report.frames_of(kept.results, how).sheet
    assert "departs from its plan in 1 place, named below" in sheet.warnings
    assert sheet.plan[0].startswith(f"Made with the plan {kept.plan.name}")
    assert sheet.plan[1:] == ("Departs from the plan: another primary metric, ap and not auroc, ap.",)
    assert report.frames_of(kept.results, Settings(resamples=20)).sheet.plan == ()


def test_any_text_comes_back_from_a_plan(tmp_path: Path) -> None:
    """Names of a user's data: quotes, brackets, line ends; nested tables, empty ones, what is None."""
    odd = 'a"]\n[x] = \\ ü \u202e'
    content = {
        "format": 1,
        "locked": "2026-01-01T00:00:00Z",
        odd: {"k": {odd: [odd], "n": None}, "e": {}},
        "list": [{"t": {"u": [{"v": 1.5}]}}, {"w": [odd] * 40}],
    }
    back = plans.lock(content, tmp_path / "odd.toml")
    assert back == plans.read(tmp_path / "odd.toml")
    assert back.content == {**content, odd: {"k": {odd: [odd]}, "e": {}}}
