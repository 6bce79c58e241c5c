"""Modalities missing or dropped: which, for whom, nested in the rate, and what becomes of the cells that were stored before."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from filled import DATA, fill, plan

from bench import registry, report, store, stored, views
from bench.core import BenchError, Cohort, Inputs, Series, Tabular, Text
from bench.protocol import Protocol
from bench.report import checklists, notes
from bench.report.evidence import Frames
from bench.views import View


def present(inputs: Inputs) -> np.ndarray:
    return np.column_stack([modality.present for modality in inputs.modalities.values()])


# ---- masks


def test_what_is_missing_is_nested_in_the_rate_and_every_row_keeps_a_modality(small_cohort: Cohort) -> None:
    there = present(small_cohort.inputs)
    rows = np.arange(len(small_cohort))
    before = there
    for rate in (0.1, 0.25, 0.5, 0.75, 1.0):
        inputs, share = views.masked(small_cohort.inputs, rows, rate, 0, 0)
        left = present(inputs)
        assert not (left & ~before).any()
        assert np.array_equal(left.any(axis=1), there.any(axis=1))
        assert share == pytest.approx(1 - left.sum() / there.sum())
        before = left
    assert (before.sum(axis=1) == there.any(axis=1)).all()  # at rate 1 exactly the one that is kept


def test_the_share_that_is_missing_is_what_the_rate_and_the_kept_one_give() -> None:
    n = 20_000
    frame = pd.DataFrame({"x": np.zeros(n)})
    inputs = Inputs({"a": Tabular(frame), "b": Tabular(frame)})
    _, share = views.masked(inputs, np.arange(n), 0.5, 0, 0)
    # two numbers u, v uniform in 0..1: the smaller one is missing if it is below .5, P = 1 - .5^2 = .75, and the other never:
    # .75 of 1 in 2 modalities = .375. SD of a share of n rows: sqrt(.75 * .25 / n) / 2 = .0015
    assert share == pytest.approx(0.375, abs=0.006)
    assert views.masked(inputs, np.arange(n), 0.0, 0, 0)[1] == 0


def test_a_mask_is_of_a_row_and_a_seed_alone(small_cohort: Cohort) -> None:
    some = np.array([400, 3, 77])
    whole = present(views.masked(small_cohort.inputs, np.arange(500), 0.5, 0, 0)[0])
    part = present(views.masked(small_cohort.inputs.rows(some), some, 0.5, 0, 0)[0])
    assert np.array_equal(whole[some], part)
    for seed, repeat in ((1, 0), (0, 1)):
        other = present(views.masked(small_cohort.inputs, np.arange(500), 0.5, seed, repeat)[0])
        assert not np.array_equal(whole, other)


def test_what_is_missing_has_no_content_and_the_rest_is_as_it_was(small_cohort: Cohort) -> None:
    inputs, _ = views.masked(small_cohort.inputs, np.arange(500), 0.5, 0, 0)
    table, vitals, note = inputs.modalities.values()
    first = small_cohort.inputs.modalities
    assert isinstance(table, Tabular)
    assert isinstance(vitals, Series)
    assert isinstance(note, Text)
    lost = first["table"].present & ~table.present
    assert lost.sum() > 50
    assert table.frame[lost].isna().all(axis=None)
    assert table.frame.dtypes.equals(first["table"].frame.dtypes)
    pd.testing.assert_frame_equal(table.frame[table.present], first["table"].frame[table.present])
    counts = np.diff(vitals.offsets)
    assert (counts[first["vitals"].present & ~vitals.present] == 0).all()
    assert np.array_equal(counts[vitals.present], np.diff(first["vitals"].offsets)[vitals.present])
    for row in np.flatnonzero(vitals.present)[:20]:
        own, before = (x.value[x.offsets[row] : x.offsets[row + 1]] for x in (vitals, first["vitals"]))
        assert np.array_equal(own, before)
    assert set(note.strings[first["note"].present & ~note.present]) == {""}
    assert (note.strings[note.present] == first["note"].strings[note.present]).all()


def test_a_dropped_modality_is_of_nobody_and_makes_another_cohort(small_cohort: Cohort) -> None:
    made = views.dropped(small_cohort, ["table"])
    assert not made.inputs.modalities["table"].present.any()
    assert made.inputs.modalities["note"] is small_cohort.inputs.modalities["note"]
    assert made.digest != small_cohort.digest  # a fitted preparation is kept by the digest
    assert views.dropped(small_cohort, []) is small_cohort


@pytest.mark.parametrize(("given", "rates"), [("0, 0.25,0.5", [0.25, 0.5]), (0.5, [0.5]), ((), []), ([0.5, 0.5, 1], [0.5, 1.0])])
def test_rates_are_read_once_each_and_0_is_the_test_itself(given: Any, rates: list[float]) -> None:
    assert views.rates(given) == rates
    for wrong in ("0.5,x", -0.1, [1.01], "nan"):
        with pytest.raises(BenchError, match="missing must be probabilities from 0 to 1"):
            views.rates(wrong)


# ---- cells

QUICK = Protocol(2, quick=True, rows=1500)


def frames(folder: Path) -> dict[str, pd.DataFrame]:
    return {p.stem: pd.read_parquet(p) for p in sorted(folder.glob("results/*/*/*/r*.parquet"))}


def tables(found: store.Results) -> Frames:
    return report.frames_of(found, report.Settings(resamples=20))


def test_further_views_change_no_number_of_a_report_and_are_kept(tmp_path: Path) -> None:
    plain, without = tables(fill(tmp_path, QUICK)), frames(tmp_path)
    assert not plan(tmp_path, QUICK).missing
    assert len(plan(tmp_path, QUICK, missing=[0.25]).missing) == 2  # stored without the view: made again
    more = tables(fill(tmp_path, QUICK, missing=views.rates("0,0.25")))
    for name, frame in frames(tmp_path).items():
        pd.testing.assert_frame_equal(frame[frame["view"].isin(["test", "valid"])], without[name])
        assert set(frame["view"]) == {"test", "valid", "test:missing=0.25"}
        assert (
            frame.loc[frame["view"] == "test:missing=0.25", "row"].tolist() == frame.loc[frame["view"] == "test", "row"].tolist()
        )
    pd.testing.assert_frame_equal(plain.scoring.scores, more.scoring.scores)
    pd.testing.assert_frame_equal(plain.scoring.standings, more.scoring.standings)
    assert plain.sheet.remarks == tuple(one for one in more.sheet.remarks if "robustness" not in one)
    pd.testing.assert_frame_equal(plain.calibration, more.calibration)
    assert checklists.probast(plain) == checklists.probast(more)
    fill(tmp_path, QUICK, missing=[0.5])  # made again, and what was there is kept
    cell = json.loads(next(tmp_path.glob("results/*/guess@*/*/r0-f0.json")).read_text())
    assert set(cell["views"]) == set(cell["masked"]) == {"test:missing=0.25", "test:missing=0.5"}
    assert 0 < cell["masked"]["test:missing=0.25"] < cell["masked"]["test:missing=0.5"] < 0.5
    assert not plan(tmp_path, QUICK, missing=[0.25, 0.5]).missing
    assert not plan(tmp_path, QUICK).missing


def test_views_of_another_model_are_not_kept(tmp_path: Path) -> None:
    fill(tmp_path, QUICK, missing=[0.25])
    path = next(tmp_path.glob("results/*/guess@*/*/r0-f0.parquet"))
    frame = pd.read_parquet(path)
    altered = frame.assign(**{"p:death": frame["p:death"].to_numpy() * np.float32(0.9)})
    job = plan(tmp_path, QUICK, missing=[0.5]).missing[0]
    record = json.loads(path.with_suffix(".json").read_text())
    store.Store(tmp_path / "results").save_cell(Path(job.folder), 0, 0, record, altered)
    fill(tmp_path, QUICK, missing=[0.5])
    assert set(frames(tmp_path)["r0-f0"]["view"]) == {"test", "valid", "test:missing=0.5"}
    assert set(frames(tmp_path)["r0-f1"]["view"]) == {"test", "valid", "test:missing=0.25", "test:missing=0.5"}


def test_a_cell_made_again_for_a_view_keeps_its_diagnosis(tmp_path: Path) -> None:
    fill(tmp_path, QUICK, diagnosed=True)
    job = plan(tmp_path, QUICK, missing=[0.5]).missing[0]
    assert job.diagnosed_by == plan(tmp_path, QUICK, diagnosed=True).stored[0][1]["diagnosed_by"] != ""
    fill(tmp_path, QUICK, missing=[0.5])
    assert not plan(tmp_path, QUICK, missing=[0.5], diagnosed=True).missing


def test_a_job_crosses_to_a_worker_as_json(tmp_path: Path) -> None:
    other = registry.parse("datasets", f"{DATA}:seed=5")
    made = plan(tmp_path, Protocol(2, drop=("note",), at="both"), missing=[0.5], test_data=other).missing[0]
    again = type(made).from_json(json.loads(json.dumps(made.json())))
    assert again == made
    assert again.views == (View.of_missing(0.5), View.of_external(other[0], registry.load(other[0]).digest))
    assert hash(again.protocol) == hash(made.protocol)


def _auroc(scores: pd.DataFrame, method: str) -> float:
    own = (scores["method"] == method) & (scores["task"] == "death") & (scores["metric"] == "auroc")
    return float(scores.loc[own, "value"].iloc[0])


def test_dropped_at_the_test_trains_as_before_and_dropped_in_training_does_not(tmp_path: Path) -> None:
    methods = "logistic,xgboost,hard_sharing"
    sides: dict[str, Any] = {"base": {}, **{at: {"drop": ("vitals",), "at": at} for at in ("test", "train", "both")}}
    found = {name: fill(tmp_path, replace(QUICK, **options), methods) for name, options in sides.items()}
    scores = {name: report.scored(of, report.Settings(resamples=20)).scores for name, of in found.items()}

    def p(side: str, method: str, view: str) -> np.ndarray:
        frame = found[side].predictions
        own = frame[(frame["method"] == method) & (frame["view"] == view)].sort_values(["fold", "row"])
        return own["p:death"].to_numpy()

    for method in methods.split(","):
        # the same model: the same validation predictions; the test rows lack the series
        assert np.array_equal(p("base", method, "valid"), p("test", method, "valid"))
        assert not np.array_equal(p("base", method, "test"), p("test", method, "test"))
        assert not np.array_equal(p("base", method, "valid"), p("train", method, "valid"))
        assert np.array_equal(p("train", method, "valid"), p("both", method, "valid"))
        # the series is a third of the outcome's log-odds: without it at the test, in training or both the AUROC is lower
        of = {side: _auroc(table, method) for side, table in scores.items()}
        assert of["base"] > max(of["test"], of["train"], of["both"]) + 0.02, (method, of)


def test_a_protocol_is_told_from_others_by_the_name_of_its_report(tmp_path: Path) -> None:
    found = fill(tmp_path, Protocol(2, quick=True, rows=1500, drop=("note", "vitals"), at="both"))
    assert stored.name_of(found) == "wards both-without=note+vitals"
    assert notes.protocol(found) == "2 folds, 1 repeat, seed 0, no note and vitals at all"
