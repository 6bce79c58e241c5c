"""Verdicts from a difference and its resamples, the smallest difference that could be found, and ranks."""

import numpy as np
import pytest
from noisy_evidence import build, copied
from scipy.stats import binom, norm
from statsmodels.stats.power import zt_ind_solve_power

from bench.core import BenchError
from bench.stats.decisions import (
    RANKS,
    equivalence,
    few_events,
    minimal_detectable,
    non_inferiority,
    rank_intervals,
    rank_sets,
    ranks,
    superiority,
    verdict,
    wald,
)

B = 999


def drawn(middle: float, se: float = 0.01) -> np.ndarray:
    """Resamples that lie exactly as a normal distribution does."""
    return middle + se * norm.ppf((np.arange(B) + 0.5) / B)


def test_superiority() -> None:
    found = superiority(0.03, drawn(0.03))
    # beyond .03 on either side, 3 standard errors, lie .27 % of 999 resamples: 2; (1 + 2) / 1000
    assert (found.verdict, found.p) == ("superior", pytest.approx(0.003))
    assert (found.low, found.high) == pytest.approx((0.03 - 0.0196, 0.03 + 0.0196), abs=1e-4)
    assert superiority(-0.03, drawn(-0.03)).verdict == "inferior"
    assert superiority(0.015, drawn(0.015)).verdict == "undecided"


def test_interval_and_p_must_agree() -> None:
    # with 19 resamples p is never below 1/20, though the interval clears the margin
    assert non_inferiority(0.0, np.linspace(-0.01, 0.01, 19), 0.02).verdict == "undecided"  # p = 1 / 20
    assert non_inferiority(0.0, np.linspace(-0.01, 0.01, 39), 0.02).verdict == "non-inferior"  # p = 1 / 40


def test_non_inferiority_reads_the_low_end() -> None:
    # low end of the 95 % interval: d - .0196
    assert non_inferiority(0.0, drawn(0.0), 0.02).verdict == "non-inferior"
    assert non_inferiority(0.0, drawn(0.0), 0.019).verdict == "undecided"
    assert non_inferiority(-0.05, drawn(-0.05), 0.02).verdict == "inferior"
    # P(d* <= -.02), two standard errors: 2.275 % of 999 = 22.7 resamples
    assert non_inferiority(0.0, drawn(0.0), 0.02).p == pytest.approx((1 + 23) / 1000, abs=0.0011)


def test_equivalence_reads_both_ends_of_the_90_percent_interval() -> None:
    # ends: d +- 1.645 x .01
    assert equivalence(0.0, drawn(0.0), 0.017).verdict == "equivalent"
    assert equivalence(0.0, drawn(0.0), 0.016).verdict == "undecided"
    assert equivalence(0.005, drawn(0.005), 0.017).verdict == "undecided"
    assert equivalence(0.005, drawn(0.005), 0.022).verdict == "equivalent"
    # the larger of two tails: above .017 from .005 lie 1.2 standard errors, 11.5 %
    assert equivalence(0.005, drawn(0.005), 0.017).p == pytest.approx(norm.sf(1.2), abs=0.002)


def test_a_difference_may_be_shown_and_not_matter() -> None:
    found = verdict(0.005, drawn(0.005, 0.001), margin=0.01)
    assert found.superiority.verdict == "superior"
    assert found.non_inferiority is not None
    assert found.equivalence is not None
    assert (found.non_inferiority.verdict, found.equivalence.verdict) == ("non-inferior", "equivalent")


def test_turning_the_two_turns_the_words() -> None:
    one, other = verdict(0.03, drawn(0.03), 0.05), verdict(-0.03, -drawn(0.03), 0.05)
    assert (one.superiority.verdict, other.superiority.verdict) == ("superior", "inferior")
    assert one.superiority.p == other.superiority.p
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-15)
    assert one.equivalence is not None
    assert other.equivalence is not None
    assert one.equivalence.p == other.equivalence.p


def test_identical_predictions() -> None:
    found = verdict(0.0, np.zeros(B), margin=0.01)
    assert (found.difference, found.se, found.detectable, found.superiority.p) == (0, 0, 0, 1)
    assert found.superiority.verdict == "undecided"
    assert found.equivalence is not None
    assert found.equivalence.verdict == "equivalent"


def test_undefined_differences_have_no_verdict() -> None:
    found = verdict(np.nan, np.full(9, np.nan), margin=0.01)
    assert found.equivalence is not None
    assert (found.superiority.verdict, found.equivalence.verdict) == ("", "")
    assert np.isnan([found.se, found.detectable, found.superiority.p, found.equivalence.p, found.low]).all()
    holes = np.append(drawn(0.03), [np.nan] * 5)
    assert verdict(0.03, holes) == verdict(0.03, drawn(0.03))


@pytest.mark.parametrize("margin", [0.0, -0.01, np.nan, np.inf])
def test_a_margin_lies_above_nothing(margin: float) -> None:
    with pytest.raises(BenchError, match="a margin is a difference that would not matter, above 0, but is"):
        verdict(0.0, drawn(0.0), margin)


def test_minimal_detectable_difference() -> None:
    # 1.959964 + 0.841621 = 2.801585
    assert minimal_detectable(0.01) == pytest.approx(0.02801585, abs=1e-8)
    # statsmodels: one sample of one observation with standard deviation 1
    solved = zt_ind_solve_power(nobs1=1, alpha=0.05, power=0.8, ratio=0, alternative="two-sided")
    assert minimal_detectable(1.0) == pytest.approx(solved, abs=1e-5)


def test_wald_without_spread() -> None:
    found = wald(np.array([0.0, 0.1, np.nan, 0.1]), np.array([0.0, 0.0, 0.1, 1e-15]))
    assert found["p"][0] == 1
    assert np.isnan(found["p"][1:]).all()
    assert np.isnan(found["low"]).tolist() == [False, True, True, True]


def test_few_events() -> None:
    assert few_events(19, "auroc", 5) == "19 events, and under 20 nothing is compared"
    assert few_events(20, "auroc", 0) == ""
    assert few_events(40, "ap", 0) == "no fold with 10 events, and so no average precision"
    assert few_events(40, "ap", 1) == ""


def test_rank_intervals_by_hand() -> None:
    # forty resamples: a first in 38, second in 2; b the other way round; c always last. The middle 95 % leaves out one at each end
    a, b, c = np.full(40, 0.8), np.full(40, 0.7), np.full(40, 0.1)
    b[:2] = 0.9
    low, high = rank_intervals(np.stack([a, b, c]))
    assert low.tolist() == [1, 1, 3]
    assert high.tolist() == [2, 2, 3]
    b[1] = 0.7
    assert rank_intervals(np.stack([a, b, c]))[1].tolist() == [1, 2, 3]


def test_rank_sets() -> None:
    rng = np.random.default_rng(0)
    observed = np.array([0.80, 0.79, 0.70, 0.60])
    sample = observed[:, None] + 0.01 * rng.normal(size=(4, B)) + 0.05 * rng.normal(size=B)  # a common noise cancels
    low, high = rank_sets(observed, sample)
    # .01 apart with a standard error of .014: either may be first; .09 and .1 are six and more of them
    assert (low.tolist(), high.tolist()) == ([1, 1, 3, 4], [2, 2, 3, 4])
    low, high = rank_sets(observed[[0, 0, 3]], sample[[0, 0, 3]])  # a copy is never ahead
    assert (low.tolist(), high.tolist()) == ([1, 1, 3], [2, 2, 3])
    assert [x.tolist() for x in rank_sets(observed[:1], sample[:1])] == [[1], [1]]


# the first leaves pairs apart that are near; in the second the last two are told apart only once the others are out of the way
@pytest.mark.parametrize(
    ("values", "told", "steps"), [((0.50, 0.47, 0.44, 0.415, 0.38), 6, 1), ((0.9, 0.6, 0.3, 0.1, 0.064), 10, 2)]
)
def test_rank_sets_by_definition(values: tuple[float, ...], told: int, steps: int) -> None:
    # Mogstad et al. 2024, step-down over ordered pairs (j, k) "j is ahead of k", written as loops over pairs
    rng = np.random.default_rng(2)
    observed = np.array(values)
    sample = observed[:, None] + 0.01 * rng.normal(size=(5, B))
    left = {(j, k) for j in range(5) for k in range(5) if j != k}
    ahead, taken = set[tuple[int, int]](), 0

    def statistic(j: int, k: int, values: np.ndarray) -> np.ndarray:
        return values / (sample[j] - sample[k]).std(ddof=1)

    while True:
        null = np.max([statistic(j, k, sample[j] - sample[k] - observed[j] + observed[k]) for j, k in left], axis=0)
        t = {(j, k): statistic(j, k, observed[j] - observed[k]) for j, k in left}
        new = {pair for pair in left if (1 + (null >= t[pair]).sum()) / (B + 1) <= 0.05}
        if not new:
            break
        ahead |= new
        left -= new
        taken += 1
    low, high = rank_sets(observed, sample)
    assert low.tolist() == [1 + sum((j, k) in ahead for j in range(5)) for k in range(5)]
    assert high.tolist() == [5 - sum((k, j) in ahead for j in range(5)) for k in range(5)]
    assert (len(ahead), taken) == (told, steps)


def test_rank_sets_hold_all_true_ranks_at_once() -> None:
    rng = np.random.default_rng(4)
    misses, simulations = 0, 400
    for _ in range(simulations):  # five methods that are equally good: whoever is said to be ahead is an error
        observed = rng.normal(size=5)
        low, _ = rank_sets(observed, observed[:, None] + rng.normal(size=(5, 399)))
        misses += bool((low > 1).any())
    at_least, at_most = binom.ppf([0.001, 0.999], simulations, 0.05)
    assert at_least <= misses <= at_most


def test_ranks_of_a_run() -> None:
    evidence = build({"bad": 3.0, "good": 0.1, "fair": 1.0}, "fair", predictions=copied("good", "copy"), resamples=200, n=800)
    found = ranks(evidence)
    assert list(found) == RANKS
    mean = found.query("task == 'mean' and metric == 'auroc'").set_index("method")
    assert mean.loc["bad"].tolist()[2:] == [4, 4, 4, 4]
    assert mean.loc["good", ["low", "high"]].tolist() == [1, 1]  # ties share the better rank
    assert mean.loc["good", ["set_low", "set_high"]].tolist() == [1, 2]
    holed = build({"a": 0.5, "b": 0.6}, "a", predictions=lambda f: f[(f["method"] != "b") | (f["fold"] != 0)])
    assert ranks(holed).query("method == 'b'")[RANKS[3:]].isna().all().all()
    assert ranks(holed).query("method == 'a'")["set_high"].tolist() == [1] * 6
