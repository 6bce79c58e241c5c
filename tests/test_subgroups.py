"""Performance within sites and subgroups, by definition on the same resamples; the test of heterogeneity by formula and law."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_evidence import drawn_cohort, expit, make
from scipy.stats import binom

from bench import metrics
from bench.stats import Evidence, subgroups


def one(frame: pd.DataFrame, level: str, metric: str, method: str = "a", task: str = "t0") -> pd.Series:
    rows = frame[(frame["level"] == level) & (frame["metric"] == metric) & (frame["method"] == method) & (frame["task"] == task)]
    assert len(rows) == 1
    return rows.iloc[0]


def by_site(n: int = 600, sites: tuple[str, ...] = ("A", "B"), **changes: Any) -> tuple[Evidence, np.ndarray, np.ndarray]:
    y, p = drawn_cohort(n, 0, shift=-1)
    noisy = expit(np.log(p) - np.log1p(-p) + np.random.default_rng(1).normal(size=n))
    site = np.array(sites)[np.random.default_rng(2).integers(0, len(sites), n)]
    return make(y, {"a": noisy, "b": np.round(p, 1)}, columns={"site": site}, **changes), y, site


def risks_of(evidence: Evidence, method: int) -> np.ndarray:
    p = np.empty(sum(len(rows) for rows in evidence.rows))
    for rows, cell in zip(evidence.rows, evidence.cells, strict=True):
        p[rows] = cell.p[method, :, 0]
    return p


@pytest.mark.parametrize("method", [0, 1])
def test_levels_by_definition(method: int) -> None:
    weight = np.random.default_rng(3).uniform(1, 2, 600)
    evidence, y, site = by_site(weight=weight, resamples=30)
    frame, p = subgroups.subgroups(evidence), risks_of(evidence, method)
    fold = np.arange(600) % 4
    for level in "AB":
        own = site == level
        auroc, oe = [], []
        for drawn in evidence.counts.T.astype(float):  # a unit is a row here
            w = (weight * drawn)[own]
            auroc.append(metrics.stratified_auroc(y[own], p[own], fold[own], w))
            oe.append((w * y[own]).sum() / (w * p[own]).sum())
        for metric, values in (("auroc", auroc), ("oe", oe)):
            row = one(frame, level, metric, "ab"[method])
            assert row["value"] == pytest.approx(values[0], abs=1e-9)
            assert (row["low"], row["high"]) == pytest.approx(np.percentile(values[1:], [2.5, 97.5]), abs=1e-9)
            assert (row["variable"], row["n"], row["events"]) == ("site", own.sum(), y[own].sum())


def test_columns_and_absence() -> None:
    evidence, *_ = by_site()
    assert list(subgroups.subgroups(evidence)) == [
        "method", "task", "variable", "level", "n", "events", "metric", "value", "low", "high",
    ]  # fmt: skip
    assert list(subgroups.heterogeneity(evidence)) == ["method", "task", "variable", "metric", "spread", "p"]
    y, p = drawn_cohort(100, 0)
    plain = make(y, {"a": p}, columns={"time": pd.Timestamp("2020-01-01")})  # a date is no subgroup
    assert subgroups.subgroups(plain).empty
    assert subgroups.heterogeneity(plain).empty
    assert list(subgroups.heterogeneity(plain)) == list(subgroups.heterogeneity(evidence))


def test_few_events_are_shown_and_not_judged() -> None:
    # A: 20 events, 180 others; B: 19 events, 181 others; C: 19 without the event
    y = np.concatenate([np.arange(200) < 20, np.arange(200) < 19, np.arange(200) >= 19]).astype(float)
    p = np.random.default_rng(4).random(600)
    evidence = make(y, {"a": p}, columns={"subgroup:ward": np.repeat(["A", "B", "C"], 200)})
    frame = subgroups.subgroups(evidence)
    assert set(frame["variable"]) == {"ward"}
    assert [one(frame, level, "auroc")["events"] for level in "ABC"] == [20, 19, 181]
    assert [np.isnan(one(frame, level, "auroc")["value"]) for level in "ABC"] == [False, True, True]
    assert [np.isnan(one(frame, level, "oe")["low"]) for level in "ABC"] == [False, True, True]
    assert subgroups.heterogeneity(evidence)[["spread", "p"]].isna().all(axis=None)  # one judged level


def test_unknown_levels_and_the_rest_are_no_part_of_the_test() -> None:
    y, p = drawn_cohort(1500, 5, shift=0)
    names = np.array([f"s{i:02d}" for i in range(14)] + [None], object)
    # s00 .. s12 have some 105 patients each, s13 only 60: with s12, the smallest, it is put together
    site = names[np.concatenate([np.repeat(np.arange(13), np.arange(112, 99, -1)), np.full(60, 13), np.full(62, 14)])]
    p[site == "s13"] = 1 - p[site == "s13"]
    p[pd.isna(site)] = 0.001
    evidence = make(y, {"a": p}, columns={"site": site})
    frame = subgroups.subgroups(evidence)
    assert frame["level"].unique().tolist() == [*(f"s{i:02d}" for i in range(12)), "other levels", "unknown"]
    assert one(frame, "other levels", "auroc")["n"] == 100 + 60
    assert one(frame, "unknown", "auroc")["n"] == 62
    assert one(frame, "unknown", "oe")["value"] > 100
    named = frame[~frame["level"].isin(["other levels", "unknown"])].query("metric == 'oe'")["value"]
    spread = subgroups.heterogeneity(evidence).set_index("metric")["spread"]
    assert spread["oe"] == pytest.approx(named.max() - named.min())


def test_levels_keep_their_own_order_and_numbers_are_cut() -> None:
    assert subgroups.levels(pd.Series([10, 9, 2, 10, 2])).tolist() == ["10", "9", "2", "10", "2"]
    assert subgroups.levels(pd.Series([10, 9, 2, 10, 2])).cat.categories.tolist() == ["2", "9", "10"]
    assert subgroups.levels(pd.Series([1.0, 0.0, np.nan])).tolist() == ["1", "0", "unknown"]
    assert subgroups.levels(pd.Series([True, None, False], dtype=object)).cat.categories.tolist() == ["False", "True", "unknown"]
    ages = subgroups.levels(pd.Series([np.nan, *range(100)]))
    assert ages.value_counts().tolist() == [25, 25, 25, 25, 1]
    assert ages.cat.categories.tolist()[-1] == "unknown"
    assert ages[1] == ages.cat.categories[0] != ages[100]


def test_quarters_are_named_by_numbers_that_patients_have() -> None:
    # 5 .. 104, 25 each: the first quarter ends at 29, and no patient has 4.999; in their order, not that of letters
    ages = subgroups.levels(pd.Series([np.nan, *range(5, 105)]))
    assert ages.cat.categories.tolist() == ["5 to 29", "30 to 54", "55 to 79", "80 to 104", "unknown"]
    assert ages.tolist()[:2] == ["unknown", "5 to 29"]
    # 25 times 0, then .25 .. 3.75: the first two quartiles are 0, the third lies between 1.25 (the 30th of 40) and 1.5
    counts = subgroups.levels(pd.Series([0.0] * 25 + list(np.arange(1, 16) / 4)))
    assert counts.cat.categories.tolist() == ["0 to 1.25", "1.5 to 3.75"]
    near = subgroups.levels(pd.Series(1 + np.arange(40) * 1e-9))  # six digits do not tell them apart
    assert near.value_counts().tolist() == [10, 10, 10, 10]


def test_rows_that_are_not_tested_make_no_level() -> None:
    y, p = drawn_cohort(400, 6)
    evidence = make(y, {"a": p}, columns={"site": "A"})
    extra = evidence.cohort.iloc[[0]].assign(row=400, site="never tested")
    wider = make(y, {"a": p}, columns={"site": "A"})
    object.__setattr__(wider, "cohort", pd.concat([evidence.cohort, extra]))
    assert subgroups.subgroups(wider)["level"].unique().tolist() == ["A"]


def test_a_method_without_a_fold_and_repeats() -> None:
    y, p = drawn_cohort(800, 7, shift=0)
    other = expit(0.3 * np.random.default_rng(8).normal(size=800))
    site = np.repeat(["A", "B"], 400)
    both = make(y, {"a": np.stack([p, other])[..., None], "holed": p}, columns={"site": site}, missing={"holed": 0})
    frame = subgroups.subgroups(both)
    own = site == "B"
    folds = np.arange(800) % 4, np.arange(800) // 4 % 4
    aurocs = [metrics.stratified_auroc(y[own], q[own], f[own]) for q, f in zip((p, other), folds, strict=True)]
    assert one(frame, "B", "auroc")["value"] == pytest.approx(np.mean(aurocs), abs=1e-9)
    assert one(frame, "B", "oe")["value"] == pytest.approx(np.mean([y[own].sum() / q[own].sum() for q in (p, other)]), abs=1e-9)
    assert one(frame, "B", "auroc")["n"] == 400
    kept = own & (folds[0] != 0)
    row = one(frame, "B", "auroc", "holed")
    assert row["value"] == pytest.approx(metrics.stratified_auroc(y[kept], p[kept], folds[0][kept]), abs=1e-9)
    assert (row["n"], row["events"]) == (kept.sum(), y[kept].sum())


# Heterogeneity


def test_cochran_by_formula() -> None:
    # resamples deviate by (.1, -.2), (-.1, .2), (0, 0): variances .01 and .04, weights 100 and 25. Values .7 and .8: mean .72,
    # Q = 100 x .02^2 + 25 x .08^2 = .2. Deviations alone: mean .04, Q = 100 x .06^2 + 25 x .24^2 = 1.8, twice, and 0: p = 3/4.
    # Values .1 and .9: mean .26, Q = 100 x .16^2 + 25 x .64^2 = 12.8, which none of them reaches: p = 1/4
    deviations = np.array([[0.1, -0.1, 0.0], [-0.2, 0.2, 0.0]])
    for values, p in (([0.7, 0.8], 0.75), ([0.1, 0.9], 0.25)):
        observed = np.array(values)[:, None]
        assert subgroups.cochran(np.hstack([observed, observed + deviations])) == p
        undefined = np.array([[0.5], [np.nan]])  # a resample in which one level has no pair is left out
        assert subgroups.cochran(np.hstack([observed, observed + deviations, undefined])) == p


def test_ratios_are_tested_on_the_logarithmic_scale() -> None:
    y, p = drawn_cohort(200, 21, shift=-0.5)
    site = np.where(np.arange(200) // 4 % 3 > 0, "A", "B")
    evidence = make(y, {"a": p}, columns={"site": site}, resamples=199)
    drawn = evidence.counts.T.astype(float)
    ratios = np.array([(drawn[:, own] @ y[own]) / (drawn[:, own] @ p[own]) for own in (site == "A", site == "B")])
    tests = subgroups.heterogeneity(evidence).set_index(["method", "metric"])
    assert tests.loc[("a", "oe"), "p"] == subgroups.cochran(np.log(ratios)) != subgroups.cochran(ratios)
    assert tests.loc[("a", "oe"), "spread"] == pytest.approx(np.ptp(ratios[:, 0]))


def test_heterogeneity_is_found_and_not_invented() -> None:
    y, p = drawn_cohort(2000, 9, shift=-1)
    site = np.repeat(["A", "B"], 1000)
    broken = np.where(site == "B", np.random.default_rng(10).permutation(p), p)
    evidence = make(y, {"fair": p, "broken": broken}, columns={"site": site}, resamples=400)
    tests = subgroups.heterogeneity(evidence).set_index(["method", "metric"])
    assert tests.loc[("broken", "auroc"), "p"] == 1 / 401
    assert tests.loc[("broken", "auroc"), "spread"] > 0.1
    assert tests.loc[("fair", "auroc"), "p"] > 0.05
    assert tests.loc[("fair", "oe"), "p"] > 0.05


def test_cochran_holds_its_level() -> None:
    # four levels alike, standard errors from .01 to .04 that the resamples know: 1,000 times at .05, 30 to 71 alarms (99.7 %)
    rng, se = np.random.default_rng(12), np.array([0.01, 0.02, 0.03, 0.04])[:, None]
    alarms = 0
    for _ in range(1000):
        observed = 0.8 + se * rng.normal(size=(4, 1))
        alarms += subgroups.cochran(np.hstack([observed, observed + se * rng.normal(size=(4, 199))])) <= 0.05
    low, high = binom.ppf([0.001, 0.998], 1000, 0.05)
    assert low <= alarms <= high


def test_constant_risks_are_alike_everywhere() -> None:
    y, _ = drawn_cohort(400, 11, shift=0)
    tests = subgroups.heterogeneity(make(y, {"a": np.full(400, 0.4)}, columns={"site": np.repeat(["A", "B"], 200)}))
    assert tests.set_index("metric").loc["auroc", ["spread", "p"]].tolist() == [0, 1]
