"""Which trial the defaults are left for, what is drawn, and what tuning may see."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import protocol, recalibrate, registry, spaces, tune
from bench.core import JSON, BenchError, Cohort, Run, Unsupported
from bench.search import Knob, Weights, knobs

GROUPS = 400


def noisy(seed: int, gains: list[float], n: int = GROUPS) -> tuple[np.ndarray, np.ndarray]:
    """Losses of the defaults (n,) and of trials (K, n): paired differences of SD 1 a row, of this mean gain in standard errors."""
    rng = np.random.default_rng(seed)
    default = rng.gamma(1.0, 1.0, n)
    shared = rng.normal(0, 0.5**0.5, n)  # trials resemble each other, as real ones do
    noise = shared + rng.normal(0, 0.5**0.5, (len(gains), n))
    return default, default - noise - np.array(gains)[:, None] / n**0.5


def test_defaults_are_kept_nearly_always_where_no_trial_is_better() -> None:
    # 200 times 19 trials of noise. The level is .1: binomial(200, .1) is at most 33 with chance .998.
    # By the one-standard-error rule without regard to how many were tried half of them and more would be left: checked below.
    left = naive = 0
    for seed in range(200):
        default, trials = noisy(seed, [0.0] * 19)
        best, _ = tune.better(default, trials, [seed])
        left += best is not None
        gain = default - trials
        naive += bool((gain.mean(1) / (gain.std(1, ddof=1) / GROUPS**0.5)).max() > 1)
    assert left <= 33
    assert naive >= 100


def test_a_setting_that_is_better_is_found_and_one_that_is_worse_never_taken() -> None:
    # the gain of trial 7 is 5 standard errors, the bar about 2.5: missed with chance P(z < -2.5) = .006
    found = [tune.better(*noisy(seed, [0.0] * 7 + [5.0] + [-4.0] * 11), [seed])[0] for seed in range(50)]
    assert found.count(7) >= 47
    worse = [tune.better(*noisy(seed, [-4.0] * 19), [seed])[0] for seed in range(50)]
    assert worse == [None] * 50


def test_trials_that_are_far_worse_do_not_raise_the_bar() -> None:
    # One trial 2 standard errors better. Alone its bar is the .9 quantile of a normal, 1.28; among 40 more of its kind it is about 3.
    def taken(gains: list[float]) -> float:
        return float(np.mean([tune.better(*noisy(seed, gains), [seed])[0] == 0 for seed in range(60)]))

    alone = taken([2.0])
    assert taken([2.0] + [-6.0] * 40) == alone
    assert alone > 0.6 > taken([2.0] + [0.0] * 40)


def test_equal_losses_change_nothing() -> None:
    same = np.ones(GROUPS)
    assert tune.better(same, np.stack([same, same]), [0]) == (None, 0.0)
    assert tune.better(np.ones(1), np.zeros((1, 1)), [0]) == (None, 0.0)


def test_the_rows_of_a_score_add_up_to_it(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(n=300, tasks=3, weighted=True)
    rng = np.random.default_rng(0)
    good = np.clip(0.3 + 0.3 * np.nan_to_num(cohort.labels) + rng.normal(0, 0.2, cohort.labels.shape), 0.01, 0.99)
    wrong, flat = 1 - good, np.full_like(good, 0.2)
    for p in (good, wrong, flat):
        rows = recalibrate.row_scores(cohort.labels, p, cohort.loss_weights)
        score = recalibrate.validation_score(cohort.labels, p, cohort.loss_weights)
        assert rows.sum() == pytest.approx(score, abs=1e-9)
    assert recalibrate.validation_score(cohort.labels, wrong, cohort.loss_weights) == 1.0  # no better than the base rate
    assert tune.grouped(cohort, good).sum() == pytest.approx(
        recalibrate.validation_score(cohort.labels, good, cohort.loss_weights)
    )
    none = cohort.labels * np.nan
    assert recalibrate.row_scores(none, good).sum() == 0.0


def methods() -> list[str]:
    return registry.ids("methods")


@pytest.mark.parametrize("name", methods())
def test_defaults_lie_within_what_is_searched_and_drawn_settings_are_valid(name: str, make_cohort: Callable[..., Cohort]) -> None:
    spec = registry.parse("methods", name)[0]
    space = spaces.searched(spec, make_cohort(n=20, tasks=3))
    defaults: dict[str, JSON] = {key: knob.default for key, knob in space.items()}
    assert set(spaces.encoded(space, defaults)) >= set(space)
    assert (
        spaces.decoded(space, {**dict.fromkeys(spaces.distributions(space, 3), 0), **spaces.encoded(space, defaults)}) == defaults
    )
    dists = spaces.distributions(space, 3)
    for seed in range(20 if space else 0):
        settings = spaces.decoded(space, tune._study(dists, [], seed, random=True).ask(dists).params)
        drawn = registry.varied(spec, settings)
        again = registry.parse("methods", drawn.label)[0]  # what is written can be typed
        assert again == drawn
        assert registry.method(again) == registry.method(drawn)
        assert spaces.decoded(space, {**dict.fromkeys(dists, 0), **spaces.encoded(space, settings)}) == settings


def test_a_setting_that_the_user_gave_is_not_searched(make_cohort: Callable[..., Cohort]) -> None:
    spec = registry.parse("methods", "mmoe:experts=4:balance=nash_mtl")[0]
    found = set(spaces.searched(spec, make_cohort(n=20, tasks=3)))
    assert {"lr", "dropout", "width"} <= found
    assert not {"experts", "balance"} & found


def test_weights_are_searched_where_one_network_has_several_outcomes(make_cohort: Callable[..., Cohort]) -> None:
    hard, single = (registry.parse("methods", name)[0] for name in ("hard_sharing", "single_task"))
    one, two = (make_cohort(n=20, tasks=tasks) for tasks in (1, 2))
    assert "balance" in spaces.searched(hard, two)
    assert "balance" not in spaces.searched(hard, one)
    assert "balance" not in spaces.searched(single, two)
    space = {"balance": Knob("balance", Weights(4), False, "equal")}
    assert spaces.decoded(space, {"balance": True, "balance:0": -2, "balance:1": 2}) == {"balance": "fixed+0.25+4"}
    assert spaces.decoded(space, {"balance": True, "balance:0": 1, "balance:1": 1}) == {"balance": "equal"}
    assert spaces.decoded(space, {"balance": False, "balance:0": -2, "balance:1": 2}) == {"balance": "equal"}
    # Losses are divided by the sum of the weights: 2:4, 1:2 and 1/2:1 are one training, as are 1/4:2, 1/2:4.
    for powers in ((0, 1), (1, 2), (-1, 0), (-2, -1)):
        assert spaces.decoded(space, {"balance": True, "balance:0": powers[0], "balance:1": powers[1]}) == {
            "balance": "fixed+1+2"
        }
    for powers in ((-2, 1), (-1, 2)):
        assert spaces.decoded(space, {"balance": True, "balance:0": powers[0], "balance:1": powers[1]}) == {
            "balance": "fixed+0.5+4"
        }


KNOBS = str(Path(__file__).parent / "plugins" / "knobs.py")
Planted: Any = registry.loaded(registry.parse("methods", KNOBS)[0])


def test_knobs_are_read_from_the_types() -> None:
    assert [(knob.name, knob.whole, knob.default) for knob in knobs(Planted.METHOD)] == [
        ("at", True, 1),
        ("style", False, "a"),
        ("rate", False, 0.1),
    ]


@pytest.fixture
def planted(make_cohort: Callable[..., Cohort]) -> tune.Cell:
    spec = registry.parse("methods", KNOBS)[0]
    valid = make_cohort(n=400, tasks=3)
    return tune.Cell(
        spec, valid, (0, 0, 0), lambda m, r: m.fit(valid, valid, Run(report=r)), lambda s, x: None, None, lambda r: None
    )


def test_a_planted_setting_is_found_and_failures_count_and_are_named(planted: tune.Cell) -> None:
    spec, facts = tune.settled(planted, tune.Budget(trials=16))
    said: Any = facts["tuned"]
    assert registry.method(spec).at == 3  # pyright: ignore[reportAttributeAccessIssue]
    assert said["trials"] == 16
    assert said["failed"] == sum(said["errors"].values()) > 0
    assert set(said["errors"]) <= {"ZeroDivisionError: five", "Unsupported: six"}
    assert said["score"] < said["default"]
    assert spec.label == said["spec"]


def test_trials_go_on_where_they_stopped_as_if_they_had_not(planted: tune.Cell) -> None:
    records: list[Any] = []
    whole = tune.settled(replace(planted, keep=records.append), tune.Budget(trials=10))[1]["tuned"]
    assert [len(record["trials"]) for record in records] == [n // 2 for n in range(1, 21)]
    assert ["under_way" in record for record in records] == [True, False] * 10
    fits: list[int] = []

    def fit(method: Any, report: tune.Report) -> Any:
        fits.append(1)
        return method.fit(planted.valid, planted.valid, Run())

    again = tune.settled(replace(planted, kept=records[8], fit=fit), tune.Budget(trials=10))[1]["tuned"]
    assert len(fits) == 6
    drop = {"seconds"}
    assert {k: v for k, v in whole.items() if k not in drop} == {k: v for k, v in again.items() if k not in drop}  # pyright: ignore
    other = replace(planted, kept={**records[8], "identity": {}}, fit=fit)
    tune.settled(other, tune.Budget(trials=2))
    assert len(fits) == 8  # trials of something else are not taken


def test_the_first_trial_has_the_defaults_and_a_small_space_ends_early(planted: tune.Cell) -> None:
    records: list[Any] = []
    small = registry.varied(planted.spec, {"at": 2, "rate": 0.2})
    said: Any = tune.settled(replace(planted, spec=small, keep=records.append), tune.Budget(trials=10))[1]["tuned"]
    assert said["trials"] == 2  # style: a or b
    assert records[-1]["trials"][0]["settings"] == {"style": "a"}
    assert said["trial"] == 0  # both say the same


def test_a_method_that_declines_with_its_defaults_is_not_tried_further(planted: tune.Cell) -> None:
    with pytest.raises(Unsupported, match="six"):
        tune.settled(replace(planted, spec=registry.varied(planted.spec, {"at": 6})), tune.Budget(trials=5))
    with pytest.raises(RuntimeError, match="every one of 5 trials failed, the defaults with ZeroDivisionError: five"):
        tune.settled(replace(planted, spec=registry.varied(planted.spec, {"at": 5})), tune.Budget(trials=5))


def test_minutes_end_the_search_instead_of_trials(planted: tune.Cell) -> None:
    def slow(method: Any, report: tune.Report) -> Any:
        time.sleep(0.3)
        return method.fit(planted.valid, planted.valid, Run())

    said: Any = tune.settled(replace(planted, fit=slow), tune.Budget(minutes=1 / 60))[1]["tuned"]
    assert 2 <= said["trials"] <= 4  # 0.3 s each until 1 s is spent
    assert said["seconds"] >= 1


def test_a_method_that_always_fails_ends_its_search_early_and_leaves_no_trials(planted: tune.Cell) -> None:
    records: list[Any] = []
    broken = replace(planted, spec=registry.varied(planted.spec, {"at": 5}), keep=records.append)
    for budget in (tune.Budget(trials=30), tune.Budget(minutes=5.0)):
        with pytest.raises(RuntimeError, match="every one of 10 trials failed"):
            tune.settled(broken, budget)
        assert records[-1] == {}


def test_budgets_that_say_nothing_are_refused() -> None:
    for options in ({"tune": 1}, {"tune": -3}, {"tune": 5, "tune_minutes": 1.0}, {"tune_minutes": -1.0}):
        with pytest.raises(BenchError):
            protocol.asked(**options)  # pyright: ignore[reportArgumentType]
    plain, tuned, timed = (protocol.asked(**o)[0] for o in ({}, {"tune": 20}, {"tune_minutes": 2.5}))  # pyright: ignore
    assert (plain.part.label, tuned.part.label, timed.part.label) == ("cv5", "cv5-tune20", "cv5-tune2.5min")
    assert not {"tune", "tune_minutes"} & set(plain.part.identity)
    assert len({one.part.folder for one in (plain, tuned, timed)}) == 3
