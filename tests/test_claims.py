"""The rules of the verdicts against numbers derived by hand, scipy, and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from bench import claims, suites


def test_the_interval_is_the_t_interval_of_the_draws() -> None:
    d = np.array([0.01, 0.02, 0.03, 0.04])
    found = claims.estimate(d, 0.02)
    # mean .025, SD sqrt(.0005 / 3) = .01290994, error SD / 2 = .00645497, t(.975, 3) = 3.182446: half .02054260
    assert found.mean == pytest.approx(0.025, abs=1e-15)
    assert (found.low, found.high) == pytest.approx((0.0044574, 0.0455426), abs=1e-7)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 3, 0.025, stats.sem(d)), abs=1e-12)
    assert found.p == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=1e-12)
    assert found.n == 4


@pytest.mark.parametrize(("value", "p"), [(0.0, 1.0), (0.3, 0.0)])
def test_equal_differences_have_an_interval_of_no_width(value: float, p: float) -> None:
    found = claims.estimate(np.full(5, value), 0.1)
    assert (found.mean, found.low, found.high, found.p, found.power) == (value, value, value, p, 1.0)


@pytest.mark.parametrize(
    ("low", "high", "effect", "p", "said"),
    [
        (0.01, 0.05, 0.04, 0.01, "reproduced"),
        (0.01, 0.04, 0.04, 0.01, "reproduced"),  # the high end reaches it exactly
        (0.01, 0.05, 0.04, 0.06, "inconclusive"),  # Holm says no
        (0.01, 0.03, 0.04, 0.01, "inconclusive"),  # above half, short of the claim
        (0.01, 0.02, 0.04, 0.01, "inconclusive"),  # exactly half is not below it
        (0.01, 0.019, 0.04, 0.01, "refuted"),  # there, but less than half as large
        (-0.05, 0.01, 0.04, 0.5, "refuted"),
        (-0.05, 0.05, 0.04, 0.9, "inconclusive"),
        (0.0, 0.05, 0.04, 0.01, "inconclusive"),  # 0 is not above 0
        (0.01, 0.05, 0.0, 0.01, "reproduced"),  # a direction only
        (-0.05, -0.01, 0.0, 0.01, "refuted"),
        (-0.05, 0.01, 0.0, 0.2, "inconclusive"),
    ],
)
def test_verdicts(low: float, high: float, effect: float, p: float, said: str) -> None:
    assert claims.verdict(low, high, effect, p) == said


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.01, 0.019, "absent"),
        (0.01, 0.019, "absent"),
        (0.01, 0.03, "present"),
        (-0.01, 0.03, "undecided"),
        (0.0, 0.02, "undecided"),
    ],
)
def test_verdicts_on_nulls(low: float, high: float, said: str) -> None:
    assert claims.null_verdict(low, high, 0.04) == said


def test_holm_by_hand() -> None:
    # .01 x 4 = .04; .02 x 3 = .06; .03 x 2 = .06 (not below the one before); .5 x 1
    assert claims.holm([0.03, 0.5, 0.01, 0.02]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert claims.holm([0.04, 0.015]) == pytest.approx([0.04, 0.03])
    assert claims.holm([0.9, 0.8]) == [1.0, 1.0]
    assert claims.holm([]) == []


@pytest.mark.parametrize(("effect", "sd", "n"), [(0.02, 0.03, 20), (0.005, 0.02, 20), (0.04, 0.05, 5)])
def test_power_is_how_often_simulated_intervals_lie_above_zero(effect: float, sd: float, n: int) -> None:
    rng = np.random.default_rng(3)
    d = rng.normal(effect, sd, (20_000, n))
    low = d.mean(1) - stats.t.ppf(0.975, n - 1) * d.std(1, ddof=1) / math.sqrt(n)
    # binomial error of 20,000: at most sqrt(.25 / 20,000) = .0035; four of them
    assert claims.power(effect, sd, n) == pytest.approx(float((low > 0).mean()), abs=0.014)


def test_power_has_limits() -> None:
    assert claims.power(1e-12, 1.0, 20) == pytest.approx(0.025, abs=1e-6)
    assert claims.power(1.0, 0.01, 20) == pytest.approx(1.0)
    assert math.isnan(claims.power(0.0, 1.0, 20))


def test_the_interval_covers_the_mean_at_its_level_and_a_null_is_rarely_reproduced() -> None:
    rng = np.random.default_rng(5)
    found = [claims.estimate(d, 0.02) for d in rng.normal(0.01, 0.03, (4000, 20))]
    covered = np.mean([e.low <= 0.01 <= e.high for e in found])
    assert covered == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))
    nothing = [claims.estimate(d, 0.02) for d in rng.normal(0.0, 0.03, (4000, 20))]
    said = [claims.verdict(e.low, e.high, 0.02, e.p) for e in nothing]
    assert np.mean([s == "reproduced" for s in said]) <= 0.025 + 4 * math.sqrt(0.025 * 0.975 / 4000)


def test_an_effect_of_the_claimed_size_is_reproduced_as_often_as_power_and_coverage_allow() -> None:
    # sd .03, n 20, effect .04: power 1 - 1e-4; the high end falls short of the true effect in 2.5 %
    rng = np.random.default_rng(6)
    found = [claims.estimate(d, 0.04) for d in rng.normal(0.04, 0.03, (4000, 20))]
    reproduced = np.mean([claims.verdict(e.low, e.high, 0.04, e.p) == "reproduced" for e in found])
    assert reproduced == pytest.approx(0.975, abs=0.01)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b", 3.0),
        ("a.c", 2.0),  # mean of 1, 2, 3
        ("p:*.r", 0.5),  # mean of .2 and .8
        ("missing", math.nan),
        ("a.b.c", math.nan),
        ("none", math.nan),
        ("a.mixed", math.nan),
        ("word", math.nan),
    ],
)
def test_a_fact_is_found_by_its_path(path: str, value: float) -> None:
    facts = {"a": {"b": 3, "c": [1, 2, 3], "mixed": [1, None]}, "p:x": {"r": 0.2}, "p:y": {"r": 0.8}, "none": None, "word": "w"}
    assert claims._fact(facts, path) == pytest.approx(value, nan_ok=True)


class Made(claims.Cells):
    """Scores given, not read from cells."""

    def __init__(self, values: dict[str, list[float]]) -> None:
        self.values = values

    def scores(self, arm: claims.Arm) -> np.ndarray:
        if arm.method.label not in self.values:
            raise claims.NotRun("no cell")
        return np.array(self.values[arm.method.label]) / (2.0 if arm.protocol.train == 200 else 1.0)


def case(**more: object) -> claims.Case:
    entry = {
        "name": "c",
        "paper": "p",
        "text": "t",
        "dataset": "surgical",
        "train": 100,
        "method": "mmoe",
        "against": ["ple", "logistic"],
    }
    suite = {"text": "t", "draws": {"count": 3, "seed": 0, "test": 100}, "claim": [entry | more]}
    return claims.cases(suites.Claims.model_validate(suite))[0]


SCORES = {"mmoe": [0.5, 0.6, 0.9], "ple": [0.4, 0.7, 0.5], "logistic": [0.3, 0.2, 0.6]}


def test_differences_are_to_the_best_rival_of_each_draw() -> None:
    # best rivals .4, .7, .6
    assert claims.differences(case(), Made(SCORES)) == pytest.approx([0.1, -0.1, 0.3])


def test_where_lower_is_better_the_best_rival_is_the_lowest_and_the_gain_turns() -> None:
    # best rivals .3, .2, .5; gain = rival - own
    assert claims.differences(case(direction="down"), Made(SCORES)) == pytest.approx([-0.2, -0.4, -0.4])


def test_ratios_are_taken_in_logs() -> None:
    d = claims.differences(case(scale="ratio", effect=2.0), Made(SCORES))
    assert np.exp(d) == pytest.approx([0.5 / 0.4, 0.6 / 0.7, 0.9 / 0.6])
    assert claims.claimed(case(scale="ratio", effect=2.0).entry) == pytest.approx(math.log(2))
    with pytest.raises(claims.NotRun, match="a ratio needs values above 0, but ap of ple has 0"):
        claims.differences(case(scale="ratio"), Made(SCORES | {"ple": [0.4, 0.0, 0.5]}))


def test_a_contrast_is_the_gain_here_less_the_gain_there() -> None:
    # with 200 patients all scores, and so the gains, are half as large
    assert claims.differences(case(than={"train": 200}), Made(SCORES)) == pytest.approx([0.05, -0.05, 0.15])


def test_the_difference_to_each_rival_is_the_mean_over_draws() -> None:
    # mmoe - ple: .1, -.1, .4, mean .4 / 3; mmoe - logistic: .2, .4, .3, mean .3. To the best of each draw: .1, -.1, .3, mean .1
    found = claims.each(case(), Made(SCORES))
    assert [rival for rival, _ in found] == ["ple", "logistic"]
    assert [d for _, d in found] == pytest.approx([0.4 / 3, 0.3])
    assert claims.differences(case(), Made(SCORES)).mean() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("more", "to_ple", "to_logistic"),
    [
        ({"direction": "down"}, -0.4 / 3, -0.3),
        ({"than": {"train": 200}}, 0.2 / 3, 0.15),  # with 200 patients every difference is half as large
        # products of the draws: .5 x .6 x .9 = .27 over .4 x .7 x .5 = .14, and over .3 x .2 x .6 = .036
        ({"scale": "ratio"}, math.log(0.27 / 0.14) / 3, math.log(0.27 / 0.036) / 3),
        ({"scale": "ratio", "than": {"train": 200}}, 0.0, 0.0),  # halves cancel
    ],
)
def test_each_difference_follows_the_convention_of_the_effect(more: dict[str, object], to_ple: float, to_logistic: float) -> None:
    assert [d for _, d in claims.each(case(**more), Made(SCORES))] == pytest.approx([to_ple, to_logistic], abs=1e-15)


def test_of_one_rival_the_difference_is_the_effect_and_another_metric_is_named() -> None:
    table = claims.judge([case(against=["ple"], against_metric="auroc")], Made(SCORES))
    assert table.loc[0, "against"] == "ple (auroc)"
    assert table.loc[0, "each"] == (("ple (auroc)", pytest.approx(table.loc[0, "effect"])),)


def test_what_was_not_run_stays_in_the_family_of_holm() -> None:
    suite = {
        "text": "t", "draws": {"count": 3, "seed": 0, "test": 100},
        "claim": [
            {"name": name, "paper": "p", "text": "t", "dataset": "surgical", "train": 100, "method": "mmoe", "against": [rival]}
            for name, rival in (("run", "logistic"), ("not", "xgboost"))
        ],
    }  # fmt: skip
    table = claims.judge(claims.cases(suites.Claims.model_validate(suite)), Made(SCORES)).set_index("name")
    assert table.loc["not", "verdict"] == "not run"
    assert table.loc["not", "reason"] == "no cell"
    assert table.loc["not", "each"] == ()
    assert table.loc["run", "p_holm"] == pytest.approx(2 * float(table.loc["run", "p"]))


def test_a_seed_given_replaces_that_of_the_suite_and_quick_shrinks_everything() -> None:
    entry = {
        "name": "c",
        "paper": "p",
        "text": "t",
        "dataset": "surgical",
        "train": [100, 3000],
        "rows": 24000,
        "method": "mmoe",
        "against": ["ple"],
    }
    suite = suites.Claims.model_validate({"text": "t", "draws": {"count": 20, "seed": 5}, "claim": [entry]})
    full = [c.sides[0][0].protocol for c in claims.cases(suite)]
    assert [(p.train, p.test, p.rows, p.repeats, p.seed) for p in full] == [
        (100, 20000, 24000, 20, 5),
        (3000, 20000, 24000, 20, 5),
    ]
    quick = [c.sides[0][0].protocol for c in claims.cases(suite, quick=True, seed=8)]
    # 3,000 / 10 = 300, at least 100; rows 24,000 x 2,100 / 20,100 = 2,507.5 and 24,000 x 2,300 / 23,000 = 2,400
    assert [(p.train, p.test, p.rows, p.repeats, p.seed) for p in quick] == [
        (100, 2000, 2508, 2, 1_000_008),
        (300, 2000, 2400, 2, 1_000_008),
    ]
