"""The machinery behind the table of null rates: the planted truth is right, the tallies count what they say."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import metrics, stats

BENCHMARKS = Path(__file__).parent / "benchmarks"


@pytest.fixture(scope="module")
def rates() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("null_rates")
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def worlds(rates: ModuleType) -> Any:
    return rates.worlds


def table(rates: ModuleType, *paths: Path) -> str:
    return rates.summary(paths, rates.NULLS, list(rates.DESIGNS))


def large(worlds: Any, latent: np.ndarray, t: int, seed: int) -> np.ndarray:
    known = worlds.world(120)
    risk = 1 / (1 + np.exp(-known.intercept[t] - worlds.SLOPE * latent))
    return (np.random.default_rng(seed).random(len(latent)) < risk).astype(float)


@pytest.mark.parametrize("t", [0, 2])
def test_the_truth_of_a_score_is_what_400_000_patients_show(worlds: Any, t: int) -> None:
    rng = np.random.default_rng(3)
    latent, noise = rng.normal(size=(2, 400_000))
    y = large(worlds, latent, t, 4)
    known = worlds.world(120)
    rho = known.correlation(0.75)
    auroc, _, ap = known.truth(rho)[t]
    assert auroc == pytest.approx(0.75, abs=1e-12)
    assert y.mean() == pytest.approx(worlds.PREVALENCE[t], abs=0.003)
    score = rho[t] * latent + np.sqrt(1 - rho[t] ** 2) * noise
    # Hanley and McNeil's standard error with 80,000 events and 320,000 others is .001; four of them
    assert metrics.auroc(y, score) == pytest.approx(auroc, abs=0.004)
    assert metrics.average_precision(y, score) == pytest.approx(ap, abs=0.008)


def test_a_score_without_information_is_at_chance(worlds: Any) -> None:
    for intercept, prevalence in zip(worlds.world(120).intercept, worlds.PREVALENCE, strict=True):
        auroc, ap = worlds.population(*worlds.class_densities(0.0, intercept))
        assert auroc == pytest.approx(0.5, abs=1e-12)
        assert ap == pytest.approx(prevalence, abs=1e-6)


def test_average_precision_in_small_folds_is_expected_above_the_population(worlds: Any) -> None:
    samples = [worlds.sample("predictions", 10, 1, [5, s]) for s in range(60)]
    shown = []
    for sample in samples:
        aps = [[metrics.average_precision(c.y[:, 2], p[:, 2]) for p in c.p[: worlds.EQUAL]] for c in sample.cells]
        shown.append(np.average(aps, axis=0, weights=[c.y[:, 2].sum() for c in sample.cells]).mean())
    _, in_folds, in_population = samples[0].truth[0, 2]
    error = np.std(shown, ddof=1) / np.sqrt(len(shown))
    assert np.mean(shown) == pytest.approx(in_folds, abs=4 * error)
    assert in_folds - in_population > 4 * error  # by about .04 with 14 events a fold


def test_learners_know_what_they_are_worth_on_new_patients(worlds: Any) -> None:
    rng = np.random.default_rng(11)
    known = worlds.world(120)
    beta, seen = worlds.features()
    z, unseen = rng.normal(size=(60_600, len(beta))), np.sqrt(1 - (beta**2).sum(axis=0))
    y = worlds.labels(known, z @ beta + unseen * rng.normal(size=(len(z), worlds.TASKS)), rng)
    weights, intercept = worlds.fit(z[:600], y[:600], seen)
    truth = known.truth(worlds.correlations(weights, beta))
    for m in (0, 6, 7):
        assert not weights[m, np.setdiff1d(np.arange(len(beta)), seen[m])].any()
        score = intercept[m] + z[600:] @ weights[m]
        for t in range(worlds.TASKS):
            # 60,000 new patients, 12,000 events or more: standard error at most .0028; four of them
            assert metrics.auroc(y[600:, t], score[:, t]) == pytest.approx(truth[m, t, 0], abs=0.011)


def test_learners_are_equal_on_average_and_not_after_training(worlds: Any) -> None:
    truth = np.array([worlds.sample("learners", 5, 1, [6, s]).truth[..., -1, 0] for s in range(60)])  # (S, M)
    lead = truth[:, 1 : worlds.EQUAL] - truth[:, :1]
    error = lead.std(axis=0, ddof=1) / np.sqrt(len(lead))
    assert (np.abs(lead.mean(axis=0)) < 4 * error).all()
    assert (lead.std(axis=0) > 0.003).all()  # after training one is ahead by half a point of AUROC
    gain = (truth[:, 6] - truth[:, : worlds.EQUAL].mean(axis=1)).mean()
    loss = (truth[:, : worlds.EQUAL].mean(axis=1) - truth[:, 7]).mean()
    assert gain == pytest.approx(0.010, abs=0.003)
    assert loss == pytest.approx(0.033, abs=0.005)


@pytest.mark.parametrize("null", ["predictions", "learners"])
def test_cells_are_stratified_folds_of_the_same_patients(worlds: Any, null: str) -> None:
    sample = worlds.sample(null, 5, 2, [1, 2])
    events = np.array([cell.y.sum(axis=0) for cell in sample.cells])
    assert (events.reshape(2, 5, 3).sum(axis=1) == events[:5].sum(axis=0)).all()
    assert np.ptp(events[:5], axis=0)[0] <= 4
    assert events.min() >= metrics.FOLD_EVENTS
    for r in range(2):
        units = np.concatenate([cell.unit for cell in sample.cells if cell.repeat == r])
        assert sorted(units) == list(range(worlds.N))
    assert [set(cell.unit // 120) for cell in sample.cells[:5]] == [{0}, {1}, {2}, {3}, {4}]  # the strata of the draws


def test_evidence_is_what_the_store_would_give(rates: ModuleType, worlds: Any) -> None:
    sample = worlds.sample("predictions", 5, 2, [1, 3])
    evidence = rates.build(sample.cells, np.ones((worlds.N, 2), np.uint16))
    frames = []
    for cell in sample.cells:
        labels = {f"y:{task}": cell.y[:, t] for t, task in enumerate(rates.OUTCOMES)}
        for m, method in enumerate(worlds.METHODS):
            p = {f"p:{task}": cell.p[m, :, t] for t, task in enumerate(rates.OUTCOMES)}
            where = {"method": method, "repeat": cell.repeat, "fold": cell.fold, "row": cell.unit, "view": "test"}
            frames.append(pd.DataFrame(where | labels | p))
    gathered = stats.gather(pd.concat(frames), evidence.cohort, rates.OUTCOMES, worlds.METHODS, "a", resamples=2)
    assert gathered is not None
    np.testing.assert_allclose(evidence.found.values[..., 0], gathered.found.values[..., 0], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(evidence.found.values[..., 1], evidence.found.values[..., 0])  # everybody once
    np.testing.assert_array_equal(evidence.plan.averaged, gathered.plan.averaged)
    np.testing.assert_allclose(rates.first(evidence, 3).found.values, evidence.found.values[:3], rtol=0, atol=0)


def test_net_benefit_is_what_is_seen_on_average(worlds: Any) -> None:
    thresholds = np.array([0.1, 0.3, 0.5])
    off = []
    for s in range(80):
        sample = worlds.sample("predictions", 5, 1, [9, s])
        y, p = np.concatenate([c.y for c in sample.cells]), np.concatenate([c.p[7] for c in sample.cells])
        treated = p[:, 2, None] >= thresholds  # outcome 3 by the last method, which is worse than the others
        gain = np.where(y[:, 2, None] == 1, 1.0, -thresholds / (1 - thresholds))
        off.append((treated * gain).mean(axis=0) - sample.benefit.at(2, 7, thresholds))
        at_once = sample.benefit.at(2, 7, np.array([1e-9]))
        assert at_once == pytest.approx(sample.benefit.of_all(2, np.array([1e-9])), abs=1e-6)  # everybody is treated
    error = np.std(off, axis=0, ddof=1) / np.sqrt(len(off))
    assert (np.abs(np.mean(off, axis=0)) < 4 * error).all()
    assert (error < 0.003).all()


@pytest.mark.parametrize("rows", [1, 2])
def test_weights_put_right_what_is_unknown(rates: ModuleType, worlds: Any, rows: int) -> None:
    found = []
    for s in range(60):
        cells = rates.null_weighted.sample(5, 2, rows, [s])
        for cell in cells:
            assert (np.bincount(cell.unit)[np.unique(cell.unit)] == rows).all()
            assert len(cell.unit) == worlds.N // 5
        assert [set(cell.unit // (120 // rows)) for cell in cells[:5]] == [{0}, {1}, {2}, {3}, {4}]  # the strata of the draws
        y, w = (np.concatenate([getattr(cell, name)[:, 0] for cell in cells[:5]]) for name in ("y", "weight"))
        p, fold = np.concatenate([cell.p[0, :, 0] for cell in cells[:5]]), np.repeat(np.arange(5), worlds.N // 5)
        known = ~np.isnan(y)
        weighted = np.average(y[known], weights=w[known])
        found.append([weighted, y[known].mean(), known.mean(), metrics.stratified_auroc(y, p, fold, w)])
    error = 4 * np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    weighted, naive, share, auroc = np.mean(found, axis=0)
    assert weighted == pytest.approx(worlds.PREVALENCE[0], abs=error[0])
    assert naive > worlds.PREVALENCE[0] + 0.02
    assert share == pytest.approx(0.7, abs=error[2])  # the mean of .4 to 1, which the normal distribution function makes uniform
    assert auroc == pytest.approx(worlds.AUROC, abs=error[3])
    assert error[3] < 0.015


@pytest.mark.slow
@pytest.mark.ci
def test_statements_of_a_whole_run_are_tried(rates: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    few = rates.null_weighted.expected(5, 1, 20), rates.null_weighted.expected(5, 2, 20)
    monkeypatch.setattr(rates.null_weighted, "expected", lambda folds, rows: few[rows - 1])
    fixed = rates.chunk("5x1", "predictions", 0, 4, 200, ("compare", "sharing", "benefit", "weighted", "adjusted"))
    trained = rates.chunk("5x1", "learners", 0, 8, 200, ("renewed",))
    tried = fixed.trials + trained.trials
    assert tried["false: bench compare says that one is better|auroc"] == 4  # simulations
    assert tried["family: transfer, outcomes of a method|ap"] == 4 * 5  # methods
    assert tried["cover: net benefit, difference of two models, at a threshold|all"] == 4 * 5 * 3 * 9  # outcomes, thresholds
    assert tried["cover: net benefit, difference from treating all, average|all"] == 4 * 6 * 3
    assert tried["cover: percentile, value, weighted|ap"] == 4 * 2 * 4  # two methods, outcomes and their mean
    assert tried["family: Holm on the table|all"] == tried["family: marks of the table, weighted, two rows a patient|all"] == 4
    assert tried["cover: percentile on new patients, difference of these models|auroc"] == 8 * 5 * 4
    assert fixed.hits["family: Holm on the table|all"] <= fixed.hits["family: Benjamini-Hochberg on the table|all"]
    for key, count in tried.items():
        if key.startswith("cover: "):
            assert (fixed.hits + trained.hits)[key] / count > 0.7, key


@pytest.mark.slow
@pytest.mark.ci
def test_naive_tests_fire_far_too_often_and_the_corrected_one_does_not(rates: ModuleType) -> None:
    tally = rates.chunk("5x5", "learners", 0, 30, 2, ("procedure", "fresh", "naive"))

    def rate(key: str) -> float:
        return tally.hits[key] / tally.trials[key]

    assert tally.trials["refused: plain t on all folds|auroc"] == 30 * 5 * 4  # simulations, methods, outcomes and their mean
    assert rate("refused: plain t on all folds|auroc") > 0.25
    assert rate("refused: Wilcoxon on all folds|auroc") > 0.25
    assert rate("refused: DeLong, repeats as new patients|auroc") > 0.25
    assert rate("false: corrected t|auroc") < 0.12
    assert rate("cover: DeLong on new patients, difference of these models|auroc") > 0.9


def test_a_run_goes_on_where_it_stopped(rates: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "CHUNK", 1)
    out, whole = tmp_path / "some.jsonl", tmp_path / "all.jsonl"
    parts = ("table", "delong", "fresh", "scores", "bca", "decisions", "subgroups")
    rates.simulate("5x1", "predictions", 1, 800, parts, out)
    first = out.read_text()
    rates.simulate("5x1", "predictions", 2, 800, parts, out)
    assert out.read_text().startswith(first)
    assert [json.loads(line)["start"] for line in out.read_text().splitlines()] == [0, 1]
    rates.simulate("5x1", "predictions", 2, 800, parts, whole)
    assert table(rates, out) == table(rates, whole)
    assert any(row.startswith("| DeLong, AUROC |") and row.endswith("| 2 |") for row in table(rates, out).splitlines())


def test_a_run_adds_the_parts_it_lacks(rates: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "CHUNK", 1)
    out = tmp_path / "rates.jsonl"
    for parts in (("naive",), ("naive", "delong", "renewed", "weighted"), ("naive", "delong")):
        rates.simulate("10x1", "predictions", 1, 20, parts, out)
    # nobody is trained under this null, and folds of 60 are too small for weights: nothing more to do
    assert [json.loads(line)["parts"] for line in out.read_text().splitlines()] == [["naive"], ["delong"]]


def test_the_summary_adds_up_chunks_and_parts(rates: ModuleType, tmp_path: Path) -> None:
    def line(start: int, part: str, hits: dict[str, int], trials: dict[str, int]) -> str:
        about = {"design": "10x1", "null": "learners", "resamples": 9, "start": start, "simulations": 20, "parts": [part]}
        return json.dumps(about | {"hits": hits, "trials": trials}) + "\n"

    a, b = tmp_path / "a", tmp_path / "b"
    t = {"false: t|auroc": 10, "false: t|ap": 10}
    a.write_text(line(0, "x", {"false: t|ap": 1}, t) + line(20, "x", {"false: t|ap": 2}, {"false: t|ap": 30}))
    b.write_text(line(0, "y", {"cover: DeLong|auroc": 39}, {"cover: DeLong|auroc": 40}))
    # AP: 1 + 2 of 10 + 30 is 7.5 %; AUROC: 0 of 10; 39 of 40 is 97.5 %; the first part has 40 simulations, the second 20
    rows = table(rates, a, b).splitlines()
    assert "| t, AUROC / AP | - | 0.0 / 7.5 | - | - | - | 20 |" in rows
    assert "| DeLong, AUROC | - | 97.5 | - | - | - | 20 |" in rows


def test_broken_promises_are_named(rates: ModuleType, tmp_path: Path) -> None:
    about = {"design": "5x1", "null": "predictions", "resamples": 9, "simulations": 20, "parts": ["x"]}
    keys = ("false: t|auroc", "false: good|auroc", "family: no adjustment|all", "cover: it|ap", "false: non-inferior|ap")
    lines = [
        about
        | {
            "start": 20 * i,
            "trials": dict.fromkeys(keys, 10),
            "hits": dict(zip(keys, [1 + i % 2, i % 2, 9, 9 - i % 2, i % 2], strict=True)),
        }
        for i in range(10)
    ]
    out = tmp_path / "rates"
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    # hits of 1 and 2 in turn: 15 of 100; .5 off in each of ten chunks: (10 / 9 x 2.5)^.5 / 100 = 1.7 %: six errors above 5 %.
    # 0 and 1 in turn: 5 %, as promised; two to one against 2.5 %: 1.5 errors above, not sure. 9 and 8 in turn: 85 %
    text = table(rates, out)
    assert "(by chance 0 of 3 rates would be): t, AUROC 15.0 on 5x1 (s.e. 1.7; 1 of 1 designs).\n" in text
    assert "| t, AUROC / AP | 15.0 / - | - | - | - | 1.7 | 200 |\n" in text
    assert "(by chance 0 of 1 rates would be): it, AP 85.0 on 5x1 (s.e. 1.7; 1 of 1 designs).\n" in text
    out.write_text("".join(json.dumps(line) + "\n" for line in lines[:9]))
    assert "standard errors" not in table(rates, out)  # under ten chunks nobody knows


def test_statements_stand_under_what_they_are_about(rates: ModuleType) -> None:
    group = sys.modules["null_table"].group
    assert group("false: DeLong|auroc", "predictions") == "false"
    assert group("false: DeLong|auroc", "learners") == "other"  # true of the fitted models, and so no false claim about them
    assert group("false: corrected t|auroc", "learners") == "false"
    assert group("false: bench compare says that one is better|auroc", "learners") == "false"  # this is said of the procedures
    assert group("false: bench compare says that one is ahead|auroc", "learners") == "other"
    assert group("cover: percentile, difference of the procedures|ap", "learners") == "other"
    assert group("cover: percentile, difference of the procedures|ap", "predictions") == ""  # fixed models: the same difference
    assert group("cover: percentile, difference of these models|ap", "learners") == "cover"
