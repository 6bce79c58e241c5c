"""Corrected t, its Bayesian twin and the variance over repeats: hand-computed, baycomp and statsmodels as oracles."""

import math

import baycomp
import numpy as np
import pandas as pd
import pytest
from noisy_evidence import build, copied
from scipy.stats import t as student
from statsmodels.stats.power import TTestPower

from bench import metrics
from bench.stats import procedure
from bench.stats.decisions import wald
from bench.stats.procedure import bayes, corrected, corrected_t, correlated_t, detectable, noncentrality, seeds, weakness

NOISE = {"a": 0.5, "b": 1.5}


def test_by_hand() -> None:
    # five folds .01 ... .05: mean .03, s^2 = .00025; variance (1/5 + 1/4) .00025 = .0001125, t = .03 / .010607 = 2.8284, 4 df.
    # A t with 4 df: P(|T| > 2.8284) = 1 - x(1 + (1 - x^2) / 2) with x = t / sqrt(t^2 + 4) = sqrt(2/3)
    mean, se, df = corrected_t(np.array([0.03, 0.01, 0.05, 0.02, 0.04]), folds=5)
    assert (mean, se, df) == (pytest.approx(0.03, abs=1e-15), pytest.approx(math.sqrt(0.0001125), abs=1e-15), 4)
    x = math.sqrt(2 / 3)
    assert wald(mean, se, df)["p"] == pytest.approx(1 - x * (1 + (1 - x**2) / 2), abs=1e-12)


def test_repeats_count_as_folds_and_train_alike() -> None:
    # 3 repeats of 2 folds: (1/6 + 1) s^2, 5 df; the same numbers as 6 folds of one split: (1/6 + 1/5) s^2
    d = np.array([0.1, 0.2, 0.0, 0.3, 0.1, 0.2])
    ratio = corrected_t(d, folds=2)[1] / corrected_t(d, folds=6)[1]
    assert ratio == pytest.approx(math.sqrt((1 / 6 + 1) / (1 / 6 + 1 / 5)), rel=1e-14)
    assert corrected_t(d, folds=2)[2] == 5


@pytest.mark.parametrize(("folds", "runs"), [(5, 1), (10, 3), (2, 4)])
@pytest.mark.parametrize("rope", [0.0, 0.01, 0.2])
def test_as_baycomp(folds: int, runs: int, rope: float) -> None:
    rng = np.random.default_rng(folds)
    x, y = rng.normal(0.8, 0.02, folds * runs), rng.normal(0.81, 0.02, folds * runs)
    better, equivalent, worse = correlated_t(y - x, folds, rope)
    expected = baycomp.two_on_single(x, y, rope=rope, runs=runs)
    found = (worse, equivalent, better) if rope else (worse, better)
    assert [float(f) for f in found] == pytest.approx(expected, abs=1e-12)


def test_differences_that_do_not_vary() -> None:
    same, ahead = np.zeros(5), np.full(5, 0.25)
    assert [float(p) for p in correlated_t(same, 5, 0.01)] == [0, 1, 0]
    assert [float(p) for p in correlated_t(ahead, 5, 0.01)] == [1, 0, 0]
    assert float(wald(*corrected_t(same, 5))["p"]) == 1
    assert np.isnan(wald(*corrected_t(ahead, 5))["p"])  # no spread, no distribution


def test_what_cannot_be_had_is_nan() -> None:
    known = np.array([0.1, 0.2, 0.4])
    assert corrected_t(np.append(known, np.nan), 4)[1] == corrected_t(known, 4)[1]
    for d, folds in ((np.array([0.1]), 5), (np.array([0.1, 0.2]), 1), (np.full(5, np.nan), 5)):
        assert all(np.isnan(x) for x in corrected_t(d, folds)[:2])
        assert all(np.isnan(x) for x in correlated_t(d, folds, 0.01))


def test_it_takes_many_at_once() -> None:
    d = np.random.default_rng(1).normal(size=(3, 4, 10))
    together = corrected_t(d, 5)
    for i, j in ((0, 0), (2, 3)):
        assert [x[i, j] for x in together] == pytest.approx([float(x) for x in corrected_t(d[i, j], 5)], rel=1e-14)


def test_the_table_by_definition() -> None:
    noise = {"a": 0.5, "b": 1.5}
    evidence = build(noise, "a", repeats=2)
    row = corrected(evidence).set_index(["method", "task", "metric"]).loc[("b", "mean", "auroc")]
    d = list[float]()
    for cell in evidence.cells:
        of = [[metrics.auroc(cell.y[:, t], cell.p[m, :, t]) for t in (0, 1)] for m in (0, 1)]
        d.append(np.mean(of[1]) - np.mean(of[0]))
    se = np.std(d, ddof=1) * math.sqrt(1 / 8 + 1 / 3)  # 2 x 4 folds
    assert row["difference"] == pytest.approx(np.mean(d), abs=1e-14)
    assert row["se"] == pytest.approx(se, rel=1e-12)
    assert row["p"] == pytest.approx(2 * student.sf(abs(np.mean(d)) / se, 7), rel=1e-10)
    assert row["low"] == pytest.approx(np.mean(d) - student.ppf(0.975, 7) * se, rel=1e-10)
    assert (row["folds"], row["repeats"]) == (4, 2)


def test_swapping_the_two() -> None:
    one, other = corrected(build(NOISE, "a")), corrected(build(NOISE, "b"))
    assert one["difference"].tolist() == (-other["difference"]).tolist()
    assert one["p"].to_numpy() == pytest.approx(other["p"].to_numpy(), rel=1e-12)
    here, there = bayes(build(NOISE, "a")), bayes(build(NOISE, "b"))
    assert here["better"].to_numpy() == pytest.approx(there["worse"].to_numpy(), abs=1e-12)


def test_a_copy() -> None:
    evidence = build(NOISE, "a", repeats=2, predictions=copied("a", "copy"))
    assert corrected(evidence).query("method == 'copy'")[["difference", "se", "p"]].to_numpy().tolist() == [[0, 0, 1]] * 6
    assert bayes(evidence).query("method == 'copy'")["equivalent"].tolist() == [1] * 6
    found = seeds(evidence).query("method == 'copy'")
    assert found["of_difference"].tolist() == [0] * 6
    assert not found["superior_allowed"].any()


def test_columns_and_who_is_compared() -> None:
    evidence = build(NOISE, "a")
    assert list(corrected(evidence)) == procedure.CORRECTED
    assert list(bayes(evidence)) == procedure.BAYESIAN
    assert list(seeds(evidence)) == procedure.SEEDS
    assert len(corrected(evidence)) == len(bayes(evidence)) == 3 * 2
    assert len(corrected(evidence, ("brier",))) == 3
    assert seeds(evidence)["method"].unique().tolist() == ["a", "b"]
    assert bayes(evidence)[["better", "equivalent", "worse"]].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-12)


def test_lower_losses_are_better() -> None:
    found = bayes(build({"ref": 2.0, "good": 0.1}, "ref", n=1200), rope=0.0, of=("auroc", "brier", "log_loss"))
    assert (found["better"] > 0.95).all()


def test_few_events_and_folds_without_the_metric() -> None:
    # t1: 19 events, no comparison. t2: 43 events, of which one fold has 7: AP counts three folds, AUROC four
    def by_row(frame: pd.DataFrame) -> pd.DataFrame:
        fold, place = frame["row"] % 4, frame["row"] // 4
        few = np.where(fold == 0, place < 7, place < 12)
        return frame.assign(fold=fold, **{"y:t2": few.astype(float), "y:t1": (frame["row"] < 19).astype(float)})

    evidence = build(NOISE, "a", prevalence=(0.3, 0.1, 0.1), predictions=by_row)
    found = corrected(evidence).set_index(["task", "metric"])
    assert found.loc["t1", ["difference", "se", "p"]].isna().all().all()
    values = {m: [metrics.average_precision(c.y[:, 2], c.p[i, :, 2]) for c in evidence.cells[1:]] for i, m in enumerate("ab")}
    assert found.loc[("t2", "ap"), "difference"] == pytest.approx(np.mean(values["b"]) - np.mean(values["a"]), abs=1e-12)
    assert found.loc[("t2", "auroc")].notna().all()
    alone = build(NOISE, "a", folds=1)
    assert corrected(alone)[["difference", "p"]].isna().all().all()


def test_seeds_are_the_spread_over_repeats() -> None:
    evidence = build(NOISE, "a", repeats=3)
    found = seeds(evidence).set_index(["method", "task", "metric"])
    repeats = evidence.found.repeats  # (R, M, T + 1, K)
    assert found.loc[("b", "t1", "ap"), "sd"] == pytest.approx(np.std(repeats[:, 1, 1, 1], ddof=1), rel=1e-12)
    difference = repeats[:, 1, 2, 0] - repeats[:, 0, 2, 0]
    assert found.loc[("b", "mean", "auroc"), "of_difference"] == pytest.approx(np.std(difference, ddof=1), rel=1e-12)
    assert found.query("method == 'a'")["of_difference"].isna().all()
    assert (found["repeats"] == 3).all()
    assert seeds(build(NOISE, "a"))["sd"].isna().all()


def test_superiority_needs_two_standard_errors_of_the_procedure() -> None:
    evidence = build({"ref": 1.0, "b": 0.1, "c": 0.9, "d": 1.0}, "ref", n=600)
    found, allowed = corrected(evidence), seeds(evidence).query("method != 'ref'")["superior_allowed"]
    expected = found["difference"].abs() >= 2 * found["se"]
    assert allowed.tolist() == expected.tolist()
    assert expected.nunique() == 2  # both happen


def test_repeats_count_where_both_methods_have_them() -> None:
    def once(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[(frame["method"] != "b") | (frame["repeat"] == 0)]

    part, single = corrected(build(NOISE, "a", repeats=2, predictions=once)), corrected(build(NOISE, "a"))
    pd.testing.assert_frame_equal(part, single, rtol=1e-12)
    assert (part["repeats"] == 1).all()


@pytest.mark.parametrize("df", [1, 4, 9, 24, 99])
def test_noncentrality_as_statsmodels(df: int) -> None:
    effect = noncentrality(df) / math.sqrt(df + 1)  # statsmodels' is per observation
    assert TTestPower().power(effect, df + 1, 0.025, df=df, alternative="larger") == pytest.approx(0.8, abs=1e-6)
    if df > 1:  # its two-sided power is NaN for one degree of freedom
        assert TTestPower().power(effect, df + 1, 0.05, df=df, alternative="two-sided") == pytest.approx(0.8, abs=1e-5)


def test_weakness_says_how_weak() -> None:
    # 5 folds: 3.761 x sqrt(1/5 + 1/4) = 2.52; 10 x 5: 2.861 x sqrt(1/50 + 1/4) = 1.5; endless repeats: 2.80 / 2 = 1.40
    assert detectable(5, 1) == pytest.approx(3.761 * math.sqrt(0.45), abs=1e-3)
    assert "5 folds (4 degrees of freedom) is weak" in weakness(5, 1)
    assert "2.5 standard deviations of the folds' differences (1.5 with 10 repeats)" in weakness(5, 1)
    assert "5 x 5 folds" in weakness(5, 5)
    assert "do not take it below 1.4" in weakness(5, 5)
    assert "(1 degree of freedom)" in weakness(2, 1)
    assert "needs 2 folds" in weakness(1, 3)


def test_detectable_differences_are_found_four_times_in_five() -> None:
    # independent folds whose mean has the variance that the correction supposes: a common part of variance 1/4
    rng = np.random.default_rng(2)
    size, folds = 20_000, 5
    common = rng.normal(size=(size, 1)) * math.sqrt(1 / (folds - 1))
    d = detectable(folds, 1) + common + rng.normal(size=(size, folds))
    found = (wald(*corrected_t(d, folds))["p"] <= 0.05).mean()
    assert found == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / size))
