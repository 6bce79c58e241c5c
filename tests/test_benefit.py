"""Net benefit: dcurves on the same rows, numbers by hand, and intervals by the definition of the resamples."""

import dcurves
import numpy as np
import pandas as pd
import pytest
from made_evidence import drawn_cohort, expit, make

from bench.core import Task
from bench.stats import Evidence, benefit

RANGE = (0.05, 0.45)


def curve(frame: pd.DataFrame, method: str, version: str = "raw", task: str = "t0") -> pd.DataFrame:
    return frame[(frame["method"] == method) & (frame["version"] == version) & (frame["task"] == task)]


def by_hand(y: np.ndarray, p: np.ndarray, t: float, w: np.ndarray) -> float:
    treated = p >= t
    return float((w * treated * (y - (1 - y) * t / (1 - t))).sum() / w.sum())


def two_methods(n: int = 400, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    y, p = drawn_cohort(n, seed)
    noise = np.random.default_rng(seed + 100).normal(size=n)
    return y, {"logistic": expit(np.log(p) - np.log1p(-p) + 0.8 * noise), "other": np.round(p, 2)}


def test_curves_equal_dcurves() -> None:
    y, risks = two_methods()
    found = benefit.net_benefit(make(y, risks), [Task("t0", thresholds=RANGE)])
    grid = np.linspace(*RANGE, 33)
    oracle = dcurves.dca(pd.DataFrame({"y": y, **risks}), "y", list(risks), thresholds=grid)
    for ours, theirs in (("logistic", "logistic"), ("other", "other"), ("treat all", "all"), ("treat none", "none")):
        own = curve(found, ours)
        assert own["threshold"].to_numpy() == pytest.approx(grid)
        expected = oracle[oracle["model"] == theirs].sort_values("threshold")["net_benefit"].to_numpy()
        assert own["value"].to_numpy() == pytest.approx(expected, abs=1e-12)
    assert found["clinical"].all()


def test_net_benefit_by_hand() -> None:
    # 100 patients. Risk .6: 20 events, 30 others; risk .1: 10 events, 40 others. At t = .25 (odds 1/3): .2 - .3 / 3 = .1; treating all
    # gives .3 - .7 / 3 = .0667. At t = .05 everybody is treated: .3 - .7 / 19
    y = np.repeat([1.0, 0, 1, 0], [20, 30, 10, 40])
    p = np.repeat([0.6, 0.1], 50)
    found = benefit.net_benefit(make(y, {"a": p}), [Task("t0", thresholds=RANGE)])
    at = curve(found, "a").set_index(curve(found, "a")["threshold"].round(6))["value"]
    assert at[0.25] == pytest.approx(0.1, abs=1e-12)
    assert at[0.05] == pytest.approx(0.3 - 0.7 / 19, abs=1e-12)
    everybody = curve(found, "treat all")
    assert everybody["value"].to_numpy() == pytest.approx(0.3 - 0.7 * everybody["threshold"] / (1 - everybody["threshold"]))
    assert (curve(found, "treat none")["value"] == 0).all()


def test_a_risk_at_the_threshold_is_treated() -> None:
    y = np.tile([0.0, 1.0], 50)
    found = curve(benefit.net_benefit(make(y, {"a": np.full(100, 0.25)}), [Task("t0", thresholds=(0.25, 0.5))]), "a")
    assert found["value"].iloc[0] == pytest.approx(0.5 - 0.5 / 3)
    assert (found["value"].iloc[1:] == 0).all()


def test_perfect_separation_is_worth_the_prevalence() -> None:
    y = np.tile([0.0, 0, 0, 1], 50)
    found = benefit.net_benefit(make(y, {"a": 0.02 + 0.9 * y}), [Task("t0", thresholds=RANGE)])
    assert curve(found, "a")["value"].to_numpy() == pytest.approx(0.25, abs=1e-12)
    # recalibration sharpens it: still no false positive and no false negative
    assert curve(found, "a", "recalibrated")["value"].to_numpy() == pytest.approx(0.25, abs=1e-12)


def test_weights_count_as_patients() -> None:
    y, risks = two_methods(300, 1)
    weight = np.random.default_rng(2).uniform(1, 3, 300)
    y[::7] = np.nan
    found = curve(benefit.net_benefit(make(y, risks, weight=weight), [Task("t0", thresholds=RANGE)]), "other")
    known = ~np.isnan(y)
    expected = [by_hand(y[known], risks["other"][known], t, weight[known]) for t in found["threshold"]]
    assert found["value"].to_numpy() == pytest.approx(expected, abs=1e-12)


def test_without_a_stated_range_it_follows_the_prevalence_and_is_not_clinical() -> None:
    # prevalence .1: .025 to .4; prevalence .5: .125 to .99, not 2
    y = np.column_stack([np.tile(np.arange(10) == 0, 40), np.tile([True, False], 200)]).astype(float)
    found = benefit.net_benefit(make(y, {"a": np.full((400, 2), 0.3)}), [Task("t0"), Task("t1")])
    ends = found.groupby("task")["threshold"].agg(["min", "max"])
    assert ends.to_numpy() == pytest.approx(np.array([[0.025, 0.4], [0.125, 0.99]]))
    assert not found["clinical"].any()
    assert np.isfinite(found["value"]).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_differences_by_definition(weighted: bool) -> None:
    y, risks = two_methods(200, 3)
    weight = np.random.default_rng(4).uniform(1, 3, 200) if weighted else np.ones(200)
    group = (np.arange(200) // 8 * 4 + np.arange(200) % 4).astype(str)  # two rows of the same fold
    evidence = make(y, risks, weight=weight if weighted else None, group=group, resamples=40)
    frame = benefit.differences(evidence, [Task("t0", thresholds=RANGE)])
    frame = frame[(frame["method"] == "other") & (frame["version"] == "raw")]
    unit, grid = pd.factorize(group)[0], np.linspace(*RANGE, 33)
    rivals = {"treat all": np.ones(200), "treat none": np.zeros(200), "logistic": risks["logistic"]}
    for rival, p in rivals.items():
        gaps = np.array(
            [
                [by_hand(y, risks["other"], t, weight * drawn[unit]) - by_hand(y, p, t, weight * drawn[unit]) for t in grid]
                for drawn in evidence.counts.T.astype(float)
            ]
        )  # (1 + B, 33)
        average = (gaps[:, :1] / 2 + gaps[:, -1:] / 2 + gaps[:, 1:-1].sum(axis=1, keepdims=True)) / 32
        expected = np.hstack([gaps[:, ::4], average])
        own = frame[frame["against"] == rival]
        assert own["threshold"].to_numpy() == pytest.approx([*grid[::4], np.nan], nan_ok=True)
        assert own["difference"].to_numpy() == pytest.approx(expected[0], abs=1e-12)
        assert own["low"].to_numpy() == pytest.approx(np.percentile(expected[1:], 2.5, axis=0), abs=1e-12)
        assert own["high"].to_numpy() == pytest.approx(np.percentile(expected[1:], 97.5, axis=0), abs=1e-12)


def shown(evidence: Evidence) -> pd.DataFrame:
    frame = benefit.differences(evidence, [Task("t0", thresholds=RANGE)])
    return frame[frame["version"] == "raw"]


def test_who_is_compared_with_whom() -> None:
    y, risks = two_methods()
    frame = shown(make(y, risks, columns={"truth:t0": risks["other"]}))
    pairs = set(zip(frame["method"], frame["against"], strict=True))
    both = {(method, rival) for method in risks for rival in ("treat all", "treat none")}
    assert pairs == both | {("other", "logistic")}  # not with itself, and never the planted probabilities
    alone = shown(make(y, {"other": risks["other"]}))
    assert set(alone["against"]) == {"treat all", "treat none"}
    assert list(alone) == ["method", "against", "task", "version", "threshold", "difference", "low", "high"]


def test_curves_and_differences_are_the_same_number() -> None:
    y, risks = two_methods()
    tasks = [Task("t0", thresholds=RANGE)]
    evidence = make(y, {name: np.stack([p, np.roll(p, 1)])[..., None] for name, p in risks.items()})  # two repeats
    curves = benefit.net_benefit(evidence, tasks)
    gaps = benefit.differences(evidence, tasks)
    for version in ("raw", "recalibrated"):
        gap = curve(curves, "other", version)["value"].to_numpy() - curve(curves, "logistic", version)["value"].to_numpy()
        own = gaps[(gaps["version"] == version) & (gaps["against"] == "logistic")]
        assert own["difference"].to_numpy()[:9] == pytest.approx(gap[::4], abs=1e-12)
        assert own["difference"].to_numpy()[9] == pytest.approx(np.trapezoid(gap) / 32, abs=1e-12)


def test_a_method_without_a_fold_is_compared_on_shared_cells() -> None:
    y, risks = two_methods(800, 5)
    kept = np.arange(800) % 4 != 2
    frame = shown(make(y, risks | {"whole": risks["other"]}, missing={"logistic": 2})).set_index(["method", "against"])
    grid, ones = np.linspace(*RANGE, 33)[::4], np.ones(800)
    for rival, p, rows in (
        ("logistic", risks["logistic"], kept),  # on the cells that both have
        ("treat all", ones, np.ones(800, bool)),  # on all that `whole` has
    ):
        expected = [
            by_hand(y[rows], risks["other"][rows], t, ones[rows]) - by_hand(y[rows], p[rows], t, ones[rows]) for t in grid
        ]
        assert frame.loc[("whole", rival), "difference"].to_numpy()[:9] == pytest.approx(expected, abs=1e-12)
    holed = [by_hand(y[kept], risks["logistic"][kept], t, ones[kept]) for t in grid]
    assert frame.loc[("logistic", "treat none"), "difference"].to_numpy()[:9] == pytest.approx(holed, abs=1e-12)


def test_few_events_and_no_events() -> None:
    y = np.column_stack([np.arange(300) < 19, np.zeros(300)]).astype(float)
    evidence = make(y, {"a": np.random.default_rng(6).random((300, 2))})
    tasks = [Task("t0"), Task("t1")]
    found = benefit.net_benefit(evidence, tasks)
    assert set(found["task"]) == {"t0"}
    assert found["value"].isna().all()
    assert benefit.differences(evidence, tasks)[["difference", "low", "high"]].isna().all(axis=None)
    stated = benefit.net_benefit(evidence, [Task("t0"), Task("t1", thresholds=RANGE)])
    assert curve(stated, "a", task="t1")["value"].isna().all()
    nothing = make(np.zeros(40), {"a": np.full(40, 0.1)})
    assert benefit.net_benefit(nothing, [Task("t0")]).empty
    assert list(benefit.differences(nothing, [Task("t0")])) == list(benefit.differences(evidence, tasks))
