"""The size-matched control: as many parameters as the network it stands against, and otherwise `single_task`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench import prep, registry
from bench.core import BenchError, Cohort, Run, Unsupported
from bench.prep import SeriesShape, Shape, TableShape, TextShape

wide = registry.module("methods", "single_task_wide")
QUICK = Run(seed=7, quick=True)
SHAPES: dict[str, dict[str, Shape]] = {
    "table": {"table": TableShape(30, (3, 5))},
    "wide table": {"table": TableShape(400, ())},
    "all": {"table": TableShape(30, (2,)), "vitals": SeriesShape(6, 12, 5, 40), "note": TextShape(128)},
}


@pytest.mark.parametrize(
    "like", ["hard_sharing", "mmoe", "ple", "adatt", "ple:levels=3:width=128", "hard_sharing:fused=32:hidden=32"]
)
@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("tasks", [1, 2, 4, 9])
def test_as_many_parameters_as_the_other(like: str, shapes: str, tasks: int) -> None:
    target = wide.parameters(registry.method(like), SHAPES[shapes], tasks)
    method: Any = registry.method("single_task_wide")
    sized = method.sized(SHAPES[shapes], tasks, target)
    got = tasks * wide.parameters(sized, SHAPES[shapes], 1)
    assert 0.98 * target <= got <= target
    assert sized.fused % sized.heads == 0


@pytest.mark.parametrize("mutant", [lambda low, fits: low, lambda low, fits: 256], ids=["smallest", "as_single_task"])
def test_the_law_fails_under_mutation(mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide, "largest", mutant)
    with pytest.raises(AssertionError):
        test_as_many_parameters_as_the_other("mmoe", "all", 4)


def test_sizes_keep_their_proportions() -> None:
    # mmoe with 4 tasks has about the size of one single-task network of fused 64: a quarter of it each
    method: Any = registry.method("single_task_wide")
    sized = method.sized(SHAPES["all"], 4, wide.parameters(registry.method("mmoe"), SHAPES["all"], 4))
    scales = [sized.fused / 64, sized.hidden / 128, sized.width / 256]
    assert max(scales) < 1.5 * min(scales)


def test_what_was_trained_has_the_size_that_is_stated(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(n=200)
    train, valid = cohort.rows(np.arange(150)), cohort.rows(np.arange(150, 200))
    facts = registry.method("single_task_wide:like=mmoe").fit(train, valid, QUICK).facts
    other = registry.method("mmoe").fit(train, valid, QUICK).facts
    assert facts["target_parameters"] == other["parameters"]
    assert facts["parameters"] == pytest.approx(float(other["parameters"]), rel=0.02)  # type: ignore[arg-type]
    single: Any = replace(registry.method("single_task"), **facts["sizes"])  # type: ignore[type-var, arg-type]
    assert facts["parameters"] == 3 * wide.parameters(single, prep.tokens(train).shapes, 1)


def test_one_task_is_single_task(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(n=200, tasks=1)
    train, valid = cohort.rows(np.arange(150)), cohort.rows(np.arange(150, 200))
    one, other = (registry.method(m).fit(train, valid, QUICK) for m in ("single_task_wide", "single_task"))
    assert one.predict(valid.inputs).tobytes() == other.predict(valid.inputs).tobytes()


def test_no_room_is_declined() -> None:
    # 64 heads forbid fewer than 64 columns, and four networks of that are more than one network has
    with pytest.raises(Unsupported, match=r"needs room for 4 networks, but hard_sharing has \d+ parameters in all"):
        registry.method("single_task_wide:heads=64").sized(SHAPES["table"], 4, 80_000)  # type: ignore[attr-defined]


@pytest.mark.parametrize("like", ["xgboost", "single_task", "single_task_wide"])
def test_what_has_no_network_for_all_tasks_is_refused(like: str) -> None:
    with pytest.raises(BenchError, match=f"one network for all tasks, but got '{like}'"):
        registry.method(f"single_task_wide:like={like}")
