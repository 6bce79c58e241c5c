"""Adjusted p values: statsmodels as oracle, the definition, and what each must not do."""

import numpy as np
import pytest
from scipy.stats import binom
from statsmodels.stats.multitest import multipletests

from bench.core import BenchError
from bench.stats.multiplicity import benjamini_hochberg, holm, least_resamples, max_t, not_distinguishable, share_beyond

FUNCTIONS = {"holm": holm, "fdr_bh": benjamini_hochberg}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_statsmodels(name: str) -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 40):
        for p in (rng.random(size) ** 3, rng.integers(0, 5, size) / 4, np.full(size, 0.03)):  # small, tied, equal
            assert FUNCTIONS[name](p) == pytest.approx(multipletests(p, method=name)[1], abs=1e-15)


def test_by_hand() -> None:
    # p .01 .03 .04, m = 3. Holm: 3 x .01 = .03, 2 x .03 = .06, max(.04, .06) = .06.
    # Benjamini-Hochberg from the largest: .04, min(.04, .03 x 3/2 = .045) = .04, min(.04, .01 x 3) = .03
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06], abs=1e-15)
    assert benjamini_hochberg([0.04, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04], abs=1e-15)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_undefined_tests_are_no_part_of_the_family(name: str) -> None:
    found = FUNCTIONS[name]([0.01, np.nan, 0.03])
    assert found[[0, 2]].tolist() == FUNCTIONS[name]([0.01, 0.03]).tolist()
    assert np.isnan(found[1])
    assert len(FUNCTIONS[name]([])) == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_too_few_resamples_are_refused(name: str) -> None:
    # 20 x 3 / .05 = 1,200
    assert least_resamples(3) == 1200
    assert len(FUNCTIONS[name]([0.1, 0.2, 0.3], resamples=1200)) == 3
    with pytest.raises(BenchError, match=r"3 bootstrap p values needs 1,200 resamples .* but there are 1,199"):
        FUNCTIONS[name]([0.1, 0.2, 0.3], resamples=1199)
    assert len(FUNCTIONS[name]([0.1, np.nan, 0.3], resamples=800)) == 3  # two tests
    assert len(FUNCTIONS[name]([0.1, 0.2, 0.3], resamples=600, level=0.1)) == 3
    with pytest.raises(BenchError, match=r"between 0 and 1, but one is 1\.5"):
        FUNCTIONS[name]([0.1, 1.5])


def test_max_t_of_one_comparison_is_its_own_p_value() -> None:
    rng = np.random.default_rng(1)
    drawn = 0.1 + 0.05 * rng.normal(size=(1, 499))
    assert max_t(np.array([0.1]), drawn) == share_beyond(np.array([0.1]), np.abs(drawn - 0.1))


def test_max_t_knows_that_copies_are_one_comparison_and_holm_does_not() -> None:
    rng = np.random.default_rng(2)
    drawn = 0.1 + 0.05 * rng.normal(size=(1, 499))
    one, ten = max_t(np.array([0.1]), drawn)[0], max_t(np.full(10, 0.1), np.repeat(drawn, 10, axis=0))
    assert ten.tolist() == [one] * 10
    assert holm(np.full(10, one)).min() == pytest.approx(10 * one)


def test_max_t_does_not_depend_on_units_or_order() -> None:
    rng = np.random.default_rng(3)
    observed = np.array([0.1, -0.3, 0.02])
    drawn = observed[:, None] + 0.1 * rng.normal(size=(3, 299))
    units, order = np.array([1.0, -8.0, 0.25]), [2, 0, 1]
    assert max_t(units * observed, units[:, None] * drawn).tolist() == max_t(observed, drawn).tolist()
    assert max_t(observed[order], drawn[order]).tolist() == max_t(observed, drawn)[order].tolist()


def test_holm_keeps_its_promise_on_independent_nulls() -> None:
    rng = np.random.default_rng(4)
    alarms = sum(bool((holm(rng.random(12)) <= 0.05).any()) for _ in range(1000))
    # P(min p <= .05 / 12) = 1 - (1 - .05/12)^12 = .0489; unadjusted it would be 1 - .95^12 = .46
    low, high = binom.ppf([0.001, 0.999], 1000, 0.0489)
    assert low <= alarms <= high


def test_max_t_by_definition() -> None:
    # Romano and Wolf 2005, algorithm 4.1, written as a loop over steps
    rng = np.random.default_rng(0)
    observed = np.array([0.03, -0.5, 0.1, 0.0])
    drawn = observed[:, None] + rng.normal(size=(4, 300)) * np.array([[0.02], [0.2], [0.04], [1.0]])
    scale = drawn.std(axis=1, ddof=1)
    t = np.abs(observed) / scale
    null = np.abs(drawn - observed[:, None]) / scale[:, None]
    expected, left, floor = np.empty(4), [0, 1, 2, 3], 0.0
    while left:
        top = max(left, key=lambda h: t[h])
        floor = max(floor, (1 + (null[left].max(axis=0) >= t[top]).sum()) / 301)
        expected[top] = floor
        left.remove(top)
    assert max_t(observed, drawn) == pytest.approx(expected, abs=0)
    assert max_t(np.zeros(1), np.zeros((1, 9))).tolist() == [1.0]  # two methods with the same predictions


def test_who_is_not_distinguishable_from_the_best() -> None:
    rng = np.random.default_rng(1)
    shared = rng.normal(size=999)
    observed = np.array([0.80, 0.798, 0.70, 0.80])
    drawn = observed[:, None] + 0.02 * shared + 0.005 * rng.normal(size=(4, 999))
    # a lead of .002 with a standard error of .007 is nothing, one of .1 is 14 of them, though each interval is 4 x .02 wide
    assert not_distinguishable(observed, drawn).tolist() == [True, True, False, True]
    assert not_distinguishable(observed[:1], drawn[:1]).tolist() == [True]


def test_a_noisy_rival_does_not_shield_a_method_from_the_best() -> None:
    rng = np.random.default_rng(2)
    observed = np.array([0.80, 0.77, 0.77])
    own = rng.normal(size=(3, 999)) * np.array([[0.002], [0.002], [0.05]])
    drawn = observed[:, None] + 0.03 * rng.normal(size=999) + own
    # over the second, the best leads by 10 standard errors (.03 / .0028); the third's noise of .05 is no reason to keep it,
    # while the third itself is behind by less than one of its own
    assert not_distinguishable(observed, drawn).tolist() == [True, False, True]
