"""Several trainings as one: each must learn what it learns alone, to 1e-10 in double precision."""

import gc
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from bench import registry, train
from bench.core import Cohort, Encodings, Fold, Inputs, Run, Tabular

Make = Callable[..., Cohort]
SMALL = "patience=2:batch=64:hidden=16:fused=16"
ROWS = (300, 297, 310, 150, 300)  # 5, 5, 5, 3 and 5 batches an epoch, of 60, 59 or 60, 62, 50 and 60 rows


def method(spec: str) -> Any:
    return registry.method(spec)


def folds(cohort: Cohort, rows: tuple[int, ...] = ROWS, **run: Any) -> list[Fold]:
    """Of different rows, in number too, and seeds."""
    places = [np.random.default_rng(k).permutation(len(cohort)) for k in range(len(rows))]
    usual: dict[str, Any] = {"precision": "float64", **run}
    runs = [Run(seed=k, **usual) for k in range(len(rows))]
    return [Fold(cohort.rows(p[:n]), cohort.rows(p[n : n + 130]), one) for p, n, one in zip(places, rows, runs, strict=True)]


def apart(a: Any, b: Any) -> float:
    """The largest difference of any parameter of two predictors' networks."""
    pairs = [
        (x, y)
        for one, two in zip(a.networks, b.networks, strict=True)
        for x, y in zip(one.parameters(), two.parameters(), strict=True)
    ]
    return max(float((x - y).detach().abs().max()) for x, y in pairs if x.numel())


@pytest.mark.parametrize(
    "spec",
    [
        f"mmoe:{SMALL}:epochs=6:lr=0.01",
        f"hard_sharing:{SMALL}:stop=per_task:loss=asymmetric:balance=fixed+1+2+1:epochs=3:lr=0.01",
        f"orthtd:{SMALL}:dropout=0.4:epochs=3",  # a penalty over the rows of a batch: no filling
        f"hard_sharing:{SMALL}:dense=0.1:average=0:epochs=3",
        f"shared_encoder:{SMALL}:features=4:epochs=3",  # blocks that stand at two places
        "tabm:epochs=3:batch=64:hidden=16:members=4",
    ],
)
def test_each_learns_what_it_learns_alone(spec: str, make_cohort: Make) -> None:
    given = folds(make_cohort(n=600, tasks=3, weighted="mmoe" in spec))
    single = [method(spec).fit(*fold) for fold in given]
    together = dict(method(spec).fit_group(given))
    assert sorted(together) == list(range(len(given)))
    for k, one in enumerate(single):
        assert apart(one, together[k]) < 1e-10
        assert together[k].predict(given[0].valid.inputs) == pytest.approx(one.predict(given[0].valid.inputs), abs=1e-7)
        for fact in ("steps", "epochs", "best_epoch", "at_cap", "parameters"):
            assert together[k].facts[fact] == one.facts[fact]
    assert [together[k].facts.get("group") for k in range(5)] == [4, 4, 4, None, 4]  # the fourth has fewer batches an epoch


def test_each_stops_by_its_own_clock_and_costs_nothing_after(make_cohort: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.nets.grouped import Stack

    at_work: list[int] = []
    epoch = Stack.epoch
    monkeypatch.setattr(Stack, "epoch", lambda stack: (at_work.append(len(stack.networks)), epoch(stack))[1])
    given = folds(make_cohort(n=600, tasks=3, signal=1.0), (300, 300, 300, 300))
    chosen = method(f"hard_sharing:{SMALL}:epochs=30:lr=0.03")
    ended = list(chosen.fit_group(given))
    epochs = {k: int(one.facts["epochs"]) for k, one in ended}
    assert len(set(epochs.values())) > 1
    assert [k for k, _ in ended] == sorted(epochs, key=lambda k: (epochs[k], k))  # as they end, not at the end of all
    assert at_work == [sum(last > done for last in epochs.values()) for done in range(max(epochs.values()))]


def test_a_task_unknown_in_a_whole_batch_of_one_fold(make_cohort: Make) -> None:
    cohort = make_cohort(n=600, tasks=3)
    labels = cohort.labels.copy()
    labels[:, 2] = np.where(np.arange(600) % 40 == 0, labels[:, 2], np.nan)  # about 7 of 300 rows: some batches of 20 have none
    given = folds(replace(cohort, labels=labels), (300, 296))
    chosen = method("mmoe:patience=2:hidden=16:fused=16:epochs=3:batch=20")
    together = dict(chosen.fit_group(given))
    assert all(one.facts["group"] == 2 for one in together.values())
    assert max(apart(chosen.fit(*fold), together[k]) for k, fold in enumerate(given)) < 1e-10


@pytest.mark.parametrize("spec", ["hard_sharing", "ft_transformer:heads=4"])
def test_a_table_of_numbers_alone(spec: str, make_cohort: Make) -> None:
    cohort = make_cohort(n=400, tasks=2)
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(400, 3)), columns=["a", "b", "c"])
    given = folds(replace(cohort, inputs=Inputs({"table": Tabular(frame)}), digest="numbers"), (200, 200))
    chosen = method(f"{spec}:epochs=2:batch=64:hidden=16:fused=16")
    together = dict(chosen.fit_group(given))
    assert all(one.facts["group"] == 2 for one in together.values())
    assert max(apart(chosen.fit(*fold), together[k]) for k, fold in enumerate(given)) < 1e-10


def test_single_tasks_of_all_folds_at_once(make_cohort: Make) -> None:
    given = folds(make_cohort(n=600, tasks=3), (300, 297))
    chosen = method(f"single_task:{SMALL}:epochs=2")
    together = dict(chosen.fit_group(given))
    for k, fold in enumerate(given):
        one = chosen.fit(*fold)
        assert max(apart(a, b) for a, b in zip(one.nets, together[k].nets, strict=True)) < 1e-10
        assert together[k].facts["epochs"] == one.facts["epochs"]
        assert max(together[k].facts["group"]) > 2


@pytest.mark.parametrize(
    "spec", ["hard_sharing:balance=cagrad", "dfd", "orthtd:variant=e", "ft_transformer:dropout=0.3:heads=4", "mmoe:balance=famo"]
)
def test_what_cannot_be_stacked_is_trained_singly(spec: str, make_cohort: Make) -> None:
    chosen = method(f"{spec}:epochs=2:batch=64:hidden=16:fused=16")
    given = folds(make_cohort(n=600, tasks=3), (200, 200))
    together = dict(chosen.fit_group(given))
    for k, fold in enumerate(given):
        assert "group" not in together[k].facts
        assert apart(chosen.fit(*fold), together[k]) == 0.0


@pytest.mark.parametrize(("spec", "series"), [("hard_sharing", "grud"), ("dfd", "windows"), ("mmoe:balance=famo", "windows")])
def test_of_what_cannot_be_stacked_one_is_in_memory_at_a_time(spec: str, series: str, make_cohort: Make) -> None:
    cohort = make_cohort(n=400, tasks=2)
    cohort = replace(cohort, inputs=replace(cohort.inputs, encodings=Encodings(series=series)), digest=series)
    trained = method(f"{spec}:epochs=1:batch=64:hidden=16:fused=16").fit_group(folds(cohort, (100, 100, 100)))
    alive = [sum(type(one) is train._Fit for one in gc.get_objects()) for _ in trained]  # pyright: ignore[reportPrivateUsage]
    assert len(alive) == 3
    assert max(alive) <= 1


def test_a_training_of_its_own_is_not_taken_for_the_common_one() -> None:
    assert "its own" in method("single_task_wide").alone
    assert method("single_task").alone == method("mmoe").alone == ""


def test_float32_agrees_within_noise(make_cohort: Make) -> None:
    given = folds(make_cohort(n=600, tasks=3), (300, 300), precision="float32")
    chosen = method(f"mmoe:{SMALL}:epochs=3")
    together = dict(chosen.fit_group(given))
    for k, fold in enumerate(given):
        assert together[k].predict(fold.valid.inputs) == pytest.approx(chosen.fit(*fold).predict(fold.valid.inputs), abs=1e-3)


class Odd(nn.Module):
    """Two modules that hold one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight


def test_what_says_that_it_can_be_stacked() -> None:
    from bench.nets.grouped import stackable

    assert stackable(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
    assert not stackable(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    assert not stackable(Odd())
    shared = nn.Linear(2, 2)
    assert stackable(nn.ModuleList([shared, shared]))  # one module at two places has its parameters once


@cache
def masks(seed: int, rows: int) -> Tensor:
    from bench.nets.dropout import Dropout

    torch.manual_seed(seed)
    return Dropout(0.3)(torch.ones(rows, 5))


def test_masks_are_those_of_each_alone_and_filling_takes_none() -> None:
    from bench.nets import dropout

    drop = dropout.Dropout(0.3)
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    with dropout.apart(generators, [7, 9]):
        found = torch.vmap(drop)(torch.ones(2, 9, 5))
    assert torch.equal(found[0, :7], masks(1, 7))
    assert torch.equal(found[1], masks(2, 9))
    assert not found[0, 7:].any()
    assert torch.equal(torch.vmap(drop.eval())(torch.ones(2, 9, 5)), torch.ones(2, 9, 5))
