"""The floor of every table and the arithmetic control."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import checks, metrics, registry
from bench.core import BenchError, Cohort, Run, Tabular, Task, Unsupported

noisy_or: Any = registry.module("methods", "noisy_or")
BASE = "logistic"


def cohort(labels: np.ndarray, implies: dict[int, list[int]], weights: np.ndarray | None = None) -> Cohort:
    """Three numbers a row, of which the first outcomes lean on one each; outcome t implies those given."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(len(labels), 3)), columns=list("abc"))
    tasks = [Task(f"t{t}", implies=tuple(f"t{u}" for u in implies.get(t, []))) for t in range(labels.shape[1])]
    return checks.build("c", {"table": Tabular(frame)}, tasks, labels, np.arange(len(labels)), weights=weights)


def parts_and_union(n: int = 400) -> np.ndarray:
    """(n, 4): a union of two outcomes, the two, and one by itself; a tenth of the other rows belong to the union too."""
    x, rng = np.random.default_rng(0).normal(size=(n, 3)), np.random.default_rng(1)
    y = (x + rng.normal(size=(n, 3)) > 1).astype(float)
    union = np.maximum(y[:, :2].max(axis=1), rng.random(n) < 0.1)
    return np.column_stack([union, y])


UNION = {1: [0], 2: [0]}


def split(whole: Cohort) -> tuple[Cohort, Cohort]:
    return whole.rows(np.arange(300)), whole.rows(np.arange(300, 400))


# constant


def test_everyone_gets_the_weighted_prevalence(make_cohort: Callable[..., Cohort]) -> None:
    # labels 1 0 1 ?, weights 1 2 3 9: (1 + 3) / (1 + 2 + 3) = 2/3; the other outcome is known twice, 0 and 1
    y = np.array([[1, 0], [0, np.nan], [1, 1], [np.nan, np.nan]])
    train = cohort(y, {}, np.array([[1, 1], [2, 1], [3, 1], [9, 1]]))
    predictor = registry.method("constant").fit(train, train, Run())
    p = predictor.predict(make_cohort().inputs)  # any patients will do: nobody looks at them
    np.testing.assert_array_equal(p, np.tile(np.float32([2 / 3, 1 / 2]), (500, 1)))
    assert predictor.facts["floor"]


def test_its_auroc_is_exactly_a_half(make_cohort: Callable[..., Cohort]) -> None:
    whole = make_cohort()
    p = registry.method("constant").fit(whole, whole, Run()).predict(whole.inputs)
    assert [metrics.auroc(whole.labels[:, t], p[:, t]) for t in range(3)] == [0.5, 0.5, 0.5]


def test_an_outcome_never_seen_is_not_expected() -> None:
    whole = cohort(parts_and_union(), {})
    train = whole.rows((whole.labels[:, 1] == 0) | (np.arange(400) == 0))
    for labels in (np.zeros(len(train)), np.full(len(train), np.nan)):
        bare = replace(train, labels=np.column_stack([train.labels[:, 0], labels]).astype(np.float32), tasks=train.tasks[:2])
        p = registry.method("constant").fit(bare, bare, Run()).predict(bare.inputs)
        assert (p[:, 1] == np.float32(1e-7)).all()
        assert p[0, 0] == pytest.approx(train.labels[:, 0].mean(), abs=1e-6)


# noisy_or


def law_the_union_is_what_its_parts_say() -> None:
    y = parts_and_union()
    w = np.random.default_rng(2).uniform(1, 2, y.shape)
    train, valid = split(cohort(y, UNION, w))
    predictor = registry.method(f"noisy_or:base={BASE}").fit(train, valid, Run(seed=3))
    p = predictor.predict(valid.inputs).astype(float)
    few, other = (replace(c, tasks=c.tasks[1:], labels=c.labels[:, 1:], weights=c.loss_weights[:, 1:]) for c in (train, valid))
    q = registry.method(BASE).fit(few, other, Run(seed=3)).predict(valid.inputs)
    np.testing.assert_array_equal(p[:, 1:], q)  # parts and what is no union: the base, which never saw the union
    bare = (y[:300, 1] == 0) & (y[:300, 2] == 0)
    leak = (y[:300, 0] * w[:300, 0])[bare].sum() / w[:300, 0][bare].sum()
    assert 0.05 < leak < 0.15
    np.testing.assert_allclose(p[:, 0], 1 - (1 - leak) * (1 - q[:, 0]) * (1 - q[:, 1].astype(float)), atol=1e-6)
    assert predictor.facts["leak"] == {"t0": pytest.approx(leak, abs=1e-6)}


def law_labels_of_the_union_teach_the_leak_alone() -> None:
    y = parts_and_union()
    hidden = y.copy()
    hidden[(y[:, 1] == 1) | (y[:, 2] == 1), 0] = np.nan  # where a part happened the union tells nothing
    p, q = (
        registry.method(f"noisy_or:base={BASE}").fit(*split(cohort(labels, UNION)), Run()).predict(cohort(y, UNION).inputs)
        for labels in (y, hidden)
    )
    np.testing.assert_array_equal(p, q)


def law_unions_of_unions() -> None:
    # 0 implies 1, 1 implies 2; 3 implies 2. With or without "0 implies 2" in words, 2 is the union of 1 and 3, and 1 comes first
    for implies in ({0: [1], 1: [2], 3: [2]}, {0: [1, 2], 1: [2], 3: [2]}):
        tasks = tuple(Task(f"t{t}", implies=tuple(f"t{u}" for u in implies.get(t, []))) for t in range(4))
        assert list(noisy_or.parts_of_unions(tasks).items()) == [(1, [0]), (2, [1, 3])]
    same = (Task("a", implies=("b",)), Task("b", implies=("a",)), Task("c", implies=("a",)))
    assert noisy_or.parts_of_unions(same) == {0: [2], 1: [2]}  # a and b are one outcome; c is part of both


def law_a_leak_needs_rows_where_every_part_is_known() -> None:
    # union, two parts: rows 0-2 count, with weights 1 2 3 of which 2 belong to the event; row 3 has an unknown part, 4 a part
    y = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 0], [1, 0, np.nan], [1, 1, 0], [1, 0, 1]])
    train = cohort(y, UNION, np.array([[1.0], [2], [3], [7], [9], [9]]).repeat(3, axis=1))
    assert noisy_or.leak(train, 0, [1, 2]) == pytest.approx(2 / 6, abs=1e-6)
    assert noisy_or.leak(train.rows(np.array([3, 4])), 0, [1, 2]) == 0.0


def all_outcomes(cohort: Cohort, tasks: list[int]) -> Cohort:
    """The base sees the union first, and its predictions are read as if it had not."""
    kept = [0, *tasks][: len(tasks)]
    return replace(cohort, tasks=tuple(cohort.tasks[t] for t in kept), labels=cohort.labels[:, kept], weights=None)


def prevalence_as_leak(cohort: Cohort, union: int, parts: list[int]) -> float:
    return float(np.average(np.nan_to_num(cohort.labels[:, union]), weights=cohort.loss_weights[:, union]))


def direct_parts(tasks: tuple[Task, ...]) -> dict[int, list[int]]:
    found = {u: [t for t, part in enumerate(tasks) if task.name in part.implies] for u, task in enumerate(tasks)}
    return {u: parts for u, parts in found.items() if parts}


LAWS = [
    law_the_union_is_what_its_parts_say, law_labels_of_the_union_teach_the_leak_alone, law_unions_of_unions,
    law_a_leak_needs_rows_where_every_part_is_known,
]  # fmt: skip
MUTATIONS: list[tuple[Callable[[], None], str, Any]] = [
    (LAWS[0], "_only", all_outcomes),
    (LAWS[0], "leak", prevalence_as_leak),
    (LAWS[1], "_only", all_outcomes),
    (LAWS[1], "leak", prevalence_as_leak),
    (LAWS[2], "parts_of_unions", direct_parts),
    (LAWS[3], "leak", prevalence_as_leak),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Callable[[], None]) -> None:
    law()


@pytest.mark.parametrize(("law", "name", "mutant"), MUTATIONS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_law_fails_under_mutation(law: Callable[[], None], name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noisy_or, name, mutant)
    with pytest.raises(AssertionError):
        law()


def test_every_law_has_a_mutation() -> None:
    assert {law for law, *_ in MUTATIONS} == set(LAWS)


def test_a_union_is_never_less_likely_than_a_part() -> None:
    train, valid = split(cohort(parts_and_union(), UNION))
    p = registry.method("noisy_or:base=lightgbm").fit(train, valid, Run(quick=True)).predict(valid.inputs)
    assert (p[:, [0]] >= p[:, 1:3]).all()


def test_any_method_can_be_the_base() -> None:
    train, valid = split(cohort(parts_and_union(), UNION))
    predictor = registry.method("noisy_or:base=mmoe").fit(train, valid, Run(quick=True))
    assert predictor.predict(valid.inputs).shape == (100, 4)
    assert "gate_entropy" in predictor.facts


def test_no_union_no_prediction() -> None:
    train, valid = split(cohort(parts_and_union(), {}))
    with pytest.raises(Unsupported, match="needs an outcome that others imply"):
        registry.method("noisy_or").fit(train, valid, Run())


def test_an_unknown_base_is_refused_when_the_method_is_made() -> None:
    with pytest.raises(BenchError, match="unknown method 'ligthgbm'"):
        registry.method("noisy_or:base=ligthgbm")
