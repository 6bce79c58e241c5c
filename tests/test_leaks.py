"""Leakage alarms: what must be seen, what must not, and the numbers behind them."""

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import metrics
from bench.cohorts import leaks, separation
from bench.cohorts.alarm import Alarm
from bench.core import Modality, Series, Tabular, Task

N = 600
ONE = [Task("aki", "acute kidney injury")]


def labels(rate: float = 0.3, n: int = N, seed: int = 0, tasks: int = 1) -> np.ndarray:
    return (np.random.default_rng([seed, 7]).random((n, tasks)) < rate).astype(np.float32)


def found(modality: Modality | pd.DataFrame, y: np.ndarray, tasks: list[Task] = ONE, ids: Any = None) -> list[Alarm]:
    inputs = {"table": Tabular(modality)} if isinstance(modality, pd.DataFrame) else {"one": modality}
    return leaks.search(inputs, tasks, y, np.arange(len(y)).astype(str) if ids is None else ids)


# ---- the numbers


@pytest.mark.parametrize("digits", [0, 1, 2])
def test_auroc_of_a_number_is_the_auroc(digits: int) -> None:
    rng = np.random.default_rng(digits)
    y = labels(0.2, 4000)
    x = np.round(rng.normal(size=4000) + 0.8 * y[:, 0], digits)  # fewer than 1,024 distinct values: exact
    y[rng.random(4000) < 0.3] = np.nan
    told = separation.numeric(-x, separation.sample(y, np.arange(4000)))
    assert told.auroc[0] == pytest.approx(metrics.auroc(y[:, 0], x), abs=1e-12)


def test_auroc_of_many_distinct_values_is_near() -> None:
    y = labels(0.02, 30_000)
    x = np.random.default_rng(1).normal(size=30_000) + y[:, 0]
    told = separation.numeric(x, separation.sample(y, np.arange(30_000)))
    assert told.auroc[0] == pytest.approx(metrics.auroc(y[:, 0], x), abs=1e-3)


def test_missing_values_may_be_lowest_or_highest() -> None:
    # measured in 4 of 5 events (2.0) and in no other row: missing as lowest orders 4/5 of the pairs, ties the rest: .8 + .1
    y = np.array([[1.0]] * 50 + [[0.0]] * 50, np.float32)
    x = np.full(100, np.nan)
    x[:40] = 2.0
    told = separation.numeric(x, separation.sample(y, np.arange(100)))
    assert told.auroc[0] == pytest.approx(0.9, abs=0.002)  # in halves of the patients a little more or less
    assert told.missing[0] == pytest.approx(0.9)  # .5 + |1/5 - 1| / 2


def test_lower_end_by_hand() -> None:
    # A = .9, 10 events, 20 others. Q1 = .9/1.1 = .818182, Q2 = 1.62/1.9 = .852632
    # variance (.09 + 9 * .008182 + 19 * .042632) / 200 = (.09 + .073636 + .81) / 200 = .00486818; .9 - 1.959964 * .0697724
    low = separation.lower(np.array([0.9]), np.array([10.0]), np.array([20.0]))
    assert low[0] == pytest.approx(0.9 - 1.959964 * 0.0697724, abs=1e-5)


def test_among_the_measured_rows_by_hand() -> None:
    # 240 rows, 120 events; measured: 30 events (2) and 30 others (1). Among them AUROC 1, phi 1; of all rows 60 in 240
    y = np.tile([1.0, 0.0], 120).astype(np.float32)[:, None]
    x = np.where(np.arange(240) < 60, 1 + y[:, 0], np.nan)
    told = separation.numeric(x, separation.sample(y, np.arange(240)))
    assert (told.among[0], told.among_low[0], told.phi[0], told.measured[0]) == (1.0, 1.0, 1.0, 0.25)
    assert told.auroc[0] < 0.75
    x[:22] = np.nan  # 19 of either class: too few
    told = separation.numeric(x, separation.sample(y, np.arange(240)))
    assert np.isnan([told.among[0], told.among_low[0], told.phi[0]]).all()


def test_the_interval_among_the_measured_rows_is_of_their_number() -> None:
    y = labels(0.5, 4000)
    x = np.where(np.random.default_rng(2).random(4000) < 0.9, np.nan, np.random.default_rng(3).normal(size=4000) + 2 * y[:, 0])
    seen = ~np.isnan(x)
    told = separation.numeric(x, separation.sample(y, np.arange(4000)))
    auroc, events = metrics.auroc(y[seen, 0], x[seen]), y[seen].sum(axis=0).astype(float)
    assert told.among[0] == pytest.approx(auroc, abs=1e-12)
    assert told.among_low[0] == pytest.approx(separation.lower(told.among, events, seen.sum() - events)[0], abs=1e-12)


def test_levels_do_not_learn_their_own_rows() -> None:
    y = labels(0.3, 2000)
    codes = np.arange(2000) // 2 % 700  # about three rows a level: their own rates would give an AUROC above .8
    told = separation.levels(codes, separation.sample(y, np.arange(2000)))
    assert 0.45 < told.auroc[0] < 0.55


def test_levels_in_no_order() -> None:
    # events are exactly in levels 1 and 3: no direction of the numbers shows it, the rates of the other half do
    codes = np.arange(N) % 4
    y = (codes % 2).astype(np.float32)[:, None]
    assert separation.levels(codes, separation.sample(y, np.arange(N))).auroc[0] == 1.0
    assert separation.numeric(codes.astype(float), separation.sample(y, np.arange(N))).auroc[0] == 1.0


def test_settled_rows_by_hand() -> None:
    # 200 rows of code 0 without an event, 400 of code 1 with 200: settled 1/3, elsewhere 1/2
    codes = np.repeat([0.0, 1.0], [200, 400])
    y = np.concatenate([np.zeros(200), np.tile([0, 1], 200)]).astype(np.float32)[:, None]
    told = separation.numeric(codes, separation.sample(y, np.arange(600)))
    assert (told.settled[0], told.always[0], told.outside[0]) == (pytest.approx(1 / 3), 0.0, pytest.approx(0.5))


def test_a_flag_of_most_deaths_in_a_small_cohort() -> None:
    # 200 patients, 60 dead, 48 of them in hospital: settled in 48 of 200 rows, in which chance would show 48 * 140/200 = 33.6 survivors
    y = (np.arange(200) < 60).astype(np.float32)[:, None]
    flag = (np.arange(200) < 48).astype(float)
    told = separation.numeric(flag, separation.sample(y, np.arange(200)))
    assert (told.settled[0], told.always[0]) == (pytest.approx(0.24), 1.0)
    assert told.outside[0] == pytest.approx(12 / 152)
    frame = pd.DataFrame({"in hospital": flag, "age": np.random.default_rng(0).normal(60, 9, 200)})
    assert [(a.column, a.kind) for a in found(frame, y)] == [("in hospital", "settled")]


def test_a_large_cohort_is_looked_at_in_part_and_always_the_same_part() -> None:
    y = labels(0.1, 5000)
    a, b = (separation.sample(y, np.arange(5000), most=1000) for _ in range(2))
    assert len(a) == 1000
    np.testing.assert_array_equal(a.rows, b.rows)
    twins = separation.sample(y, np.arange(5000) // 2)
    assert (twins.half[::2] == twins.half[1::2]).all()  # rows of a patient are in one half


# ---- what must be seen


def table(**columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame({"age": rng.normal(60, 9, N), "sodium": rng.normal(140, 3, N), **columns})


Y = labels()
FLIP = np.where(np.random.default_rng(4).random(N) < 0.02, 1 - Y[:, 0], Y[:, 0])
RNG = np.random.default_rng(5)
LEAKS = {
    "equal": (FLIP, "equal"),
    "its opposite": (1 - FLIP, "equal"),
    "later": (10 * Y[:, 0] + RNG.normal(size=N), "alone"),
    "downward": (-5 * Y[:, 0] + RNG.normal(size=N), "alone"),
    "middle": (np.where(Y[:, 0] == 1, RNG.normal(0, 0.1, N), RNG.choice([-3, 3], N) + RNG.normal(0, 0.1, N)), "alone"),
    "code": (pd.Categorical(np.where(FLIP == 1, RNG.choice(["x", "y"], N), RNG.choice(["v", "w"], N))), "alone"),
    "asked of survivors": (np.where((Y[:, 0] == 1) & (RNG.random(N) < 0.8), np.nan, RNG.normal(size=N)), "missing"),
    "dead later": (np.where(RNG.random(N) < 0.5, Y[:, 0], 1.0), "settled"),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_named(name: str) -> None:
    values, kind = LEAKS[name]
    alarms = found(table(**{name: values}), Y)
    assert [(a.column, a.outcome, a.kind) for a in alarms] == [(name, "aki", kind)]
    quoted = name if " " not in name else f"'{name}'"
    assert f"--allow-leak {quoted}." in alarms[0].text
    assert "columns.ignore" in alarms[0].text
    assert "'aki'" in alarms[0].text


@pytest.mark.parametrize("gone", [0.3, 0.55, 0.6, 0.75, 0.9])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (lambda y, rng: y, "equal"),
        (lambda y, rng: pd.Categorical(np.where(y == 1, "ja", "nein")), "equal"),
        (lambda y, rng: 10 * y + rng.normal(size=len(y)), "alone"),
        (lambda y, rng: np.where(y == 1, rng.normal(0, 0.1, len(y)), rng.choice([-3, 3], len(y))), "alone"),  # in no order
    ],
)
def test_a_leak_that_is_mostly_missing(gone: float, value: Any, kind: str) -> None:
    rng, y = np.random.default_rng(40), labels(0.2, 2000)
    lost = rng.random(2000) < gone
    alarms = found(pd.DataFrame({"x": rng.normal(size=2000), "later": pd.Series(value(y[:, 0], rng)).mask(lost)}), y)
    assert [(a.column, a.kind) for a in alarms] == [("later", kind)]
    assert gone < 0.5 or f" (in the {1 - lost.mean():.0%} of the rows where it is measured)" in alarms[0].text


def test_the_outcome_it_tells_most_of_is_named_and_the_others_are_counted() -> None:
    y = np.column_stack([Y[:, 0], np.where(np.arange(N) % 40 == 0, 1 - Y[:, 0], Y[:, 0])])
    alarm = found(table(copy=Y[:, 0]), y, [Task("a"), Task("b")])[0]
    assert (alarm.outcome, alarm.value) == ("a", pytest.approx(1.0))
    assert "(and of 1 more outcome)" in alarm.text


def test_a_series_by_its_last_value_and_by_being_there() -> None:
    # two measurements a row: the older one is noise, the last one is the outcome
    offsets, n = np.arange(0, 2 * N + 1, 2), 2 * N
    value = np.random.default_rng(6).normal(size=n)
    value[1::2] += 9 * Y[:, 0]
    recent = Series(offsets, np.tile([60.0, 5.0], N), np.zeros(n), value, ["lactate"])
    assert [(a.column, a.kind) for a in found(recent, Y)] == [("one.lactate", "alone")]
    older = Series(offsets, np.tile([5.0, 60.0], N), np.zeros(n), value, ["lactate"])
    assert found(older, Y) == []
    there = np.where(Y[:, 0] == 1, 1, np.random.default_rng(7).random(N) < 0.05).astype(int)
    sparse = Series(
        np.concatenate([[0], np.cumsum(there)]), np.ones(there.sum()), np.zeros(there.sum()), np.ones(there.sum()), ["urine"]
    )
    assert [(a.column, a.kind) for a in found(sparse, Y)] == [("one.urine", "missing")]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("case", np.arange(N)),
        ("down", np.arange(N)[::-1] + 5000.0),
        ("sorted", np.cumsum(np.random.default_rng(8).integers(1, 9, N))),
        ("shuffled", np.random.default_rng(9).permutation(N) + 1.0),
        ("hospital_id", np.random.default_rng(10).choice(10**7, N, replace=False)),
        ("code", pd.Categorical([f"k{i}" for i in range(N)])),
    ],
)
def test_identifiers(name: str, values: Any) -> None:
    alarms = found(table(**{name: values}), Y)
    assert [(a.column, a.kind) for a in alarms] == [(name, "identifier")]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("dollars", np.random.default_rng(11).choice(10**7, N, replace=False)),  # distinct, but no order and no such name
        ("age sorted", np.sort(np.round(np.random.default_rng(12).normal(60, 9, N)))),
        ("fluid", np.random.default_rng(13).normal(size=N)),
        ("paid", np.random.default_rng(14).integers(0, 300, N)),
    ],
)
def test_no_identifiers(name: str, values: Any) -> None:
    assert found(table(**{name: values}), Y) == []


def test_rows_that_stand_there_twice() -> None:
    frame = table(**{f"lab{i}": np.random.default_rng(20 + i).normal(size=N) for i in range(3)})
    frame.iloc[1] = frame.iloc[0]
    alarms = found(frame, Y)
    assert [(a.column, a.kind, a.value) for a in alarms] == [("duplicates", "duplicates", pytest.approx(2 / N))]
    assert "2 rows of different patients" in alarms[0].text
    assert "patients 0 and 1" in alarms[0].text
    same = np.arange(N).astype(str)
    same[1] = "0"
    assert found(frame, Y, ids=same) == []  # a patient may look the same twice


def test_rows_with_few_values_may_be_alike() -> None:
    rng = np.random.default_rng(30)
    few = pd.DataFrame({"male": rng.integers(0, 2, N), "age": rng.integers(20, 90, N).astype(float)})
    assert found(few, Y) == []
    sparse = table()
    sparse.loc[:99] = np.nan  # a hundred rows with nothing measured
    assert found(sparse, Y) == []


# ---- what must not


@pytest.mark.parametrize("events", [3, 5, 8, 12, 30])
def test_few_events_raise_nothing_by_chance(events: int) -> None:
    for seed in range(6):
        rng = np.random.default_rng([seed, events])
        n = int(rng.choice([60, 200, 800]))
        y = np.zeros((n, 3), np.float32)
        for t in range(3):
            y[rng.choice(n, events, replace=False), t] = 1
        numbers = {f"n{j}": np.where(rng.random(n) < rng.random() * 0.7, np.nan, rng.normal(size=n)) for j in range(40)}
        codes = {f"c{j}": pd.Categorical(rng.choice(list("abcdef"), n)) for j in range(10)}
        flags = {f"f{j}": (rng.random(n) < rng.random()).astype(float) for j in range(10)}
        tasks = [Task(f"t{t}") for t in range(3)]
        assert found(pd.DataFrame({**numbers, **codes, **flags}), y, tasks) == []


def test_a_good_predictor_is_no_leak() -> None:
    for seed in range(10):
        y = labels(0.05, 1000, seed)
        rng = np.random.default_rng(seed)
        x = rng.normal(size=1000) + 1.812 * y[:, 0]  # AUROC .90
        assert found(pd.DataFrame({"x": x, "z": rng.normal(size=1000)}), y) == []


@pytest.mark.parametrize("gone", [0.55, 0.8, 0.95, 0.98])
def test_a_good_predictor_that_is_mostly_missing_is_no_leak(gone: float) -> None:
    for seed in range(6):
        y, rng = labels(0.2, 4000, seed), np.random.default_rng([seed, 9])
        good = {f"x{j}": rng.normal(size=4000) + 1.812 * y[:, 0] for j in range(10)}  # AUROC .90
        flags = {f"f{j}": np.where(rng.random(4000) < 0.15, 1 - y[:, 0], y[:, 0]) for j in range(10)}  # right in 85 of 100
        frame = pd.DataFrame({**good, **flags})
        assert found(frame.mask(rng.random(frame.shape) < gone), y) == []


def test_one_class_or_no_known_label_is_left_alone() -> None:
    y = np.column_stack([np.full(N, np.nan), np.zeros(N), Y[:, 0]]).astype(np.float32)
    alarms = found(table(copy=Y[:, 0], empty=np.full(N, np.nan)), y, [Task("a"), Task("b"), Task("c")])
    assert [(a.column, a.outcome) for a in alarms] == [("copy", "c")]


def test_names_that_are_hostile_stay_on_one_line() -> None:
    name = "a\nb\x1b[31m'; rm -rf \u202e<b>"
    alarm = found(table(**{name: FLIP}), Y)[0]
    assert alarm.column == name
    assert alarm.text.isprintable()


@pytest.mark.slow
def test_two_hundred_columns_five_outcomes_a_hundred_thousand_rows() -> None:
    rng = np.random.default_rng(0)
    y = labels(0.1, 100_000, tasks=5)
    frame = pd.DataFrame({f"x{i}": np.where(rng.random(100_000) < 0.2, np.nan, rng.normal(size=100_000)) for i in range(200)})
    start = time.monotonic()
    assert found(frame, y, [Task(f"t{t}") for t in range(5)]) == []
    assert time.monotonic() - start < 20
