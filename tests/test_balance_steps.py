"""Balancing, further laws of methods.md 6: what is invariant and what is not, what is learned beside the network, what is shared."""

import inspect
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torchjd.aggregation as tja
import torchjd.scalarization as tjs
from torch import Tensor

from bench import balance, cards, prep, registry, train
from bench.balance import catalog
from bench.core import BenchError, Cohort, Run

GOLDEN = torch.tensor([[1, 0, 0], [-0.5, 1, 0], [0.2, -0.3, 2]]).double()
ALL = torch.ones(3, dtype=torch.bool)
SMALL = "width=8:fused=8:heads=2:hidden=8:batch=128:epochs=2"
NEURAL = [n for n in registry.ids("methods") if "NeuralMethod" in dict(cards.card(n).settings)]
LEFT_OUT = {
    "Mean": "equal", "Sum": "equal, T times as long", "Constant": "fixed", "NashMTL": "ours, which needs no solver",
    "Krum": "against faulty workers", "TrimmedMean": "against faulty workers", "PCD": "ranks the tasks",
}  # fmt: skip


def test_all_of_torchjd_is_there_but_for_what_is_left_out_for_a_reason() -> None:
    made = {type(entry.make(3)) for entry in (catalog.SCALARIZERS | catalog.AGGREGATORS).values()}
    kinds = [(tja, tja.Aggregator), (tjs, tjs.Scalarizer)]
    found = [getattr(module, name) for module, kind in kinds for name in module.__all__ if _is_a(getattr(module, name), kind)]
    assert {kind.__name__ for kind in found if kind not in made} == set(LEFT_OUT)


def _is_a(thing: Any, kind: type) -> bool:
    bases = (tja.Aggregator, tja.GramianWeightedAggregator, tja.WeightedAggregator, tjs.Scalarizer)
    return inspect.isclass(thing) and issubclass(thing, kind) and thing not in bases


# Aggregators


def test_pcgrad_leaves_gradients_without_conflict_alone_and_draws_its_order() -> None:
    g = torch.tensor([[1.0, 0, 0.5], [0.3, 1, 0], [0, 0.2, 2]])  # all products above 0
    torch.testing.assert_close(catalog.direction("pcgrad", g), g.mean(0))
    torch.manual_seed(0)
    assert len({tuple(catalog.direction("pcgrad", -GOLDEN.flip(0)).tolist()) for _ in range(20)}) > 1


def test_cagrad_depends_on_the_scale_of_a_loss() -> None:
    one, other = (catalog.direction("cagrad", g) for g in (GOLDEN, torch.tensor([10.0, 1, 1]).double()[:, None] * GOLDEN))
    assert float((one / one.norm() - other / other.norm()).norm()) > 0.1


def test_imtl_g_projects_alike_on_all_gradients() -> None:
    d = catalog.direction("imtl_g", GOLDEN)
    unit = GOLDEN / GOLDEN.norm(dim=1, keepdim=True)
    assert (unit @ d).tolist() == pytest.approx([0.240887] * 3, abs=1e-6)
    alpha = torch.linalg.solve(GOLDEN.T, d)
    assert alpha.tolist() == pytest.approx([0.428791, 0.431636, 0.139573], abs=1e-5)


def test_the_weights_of_the_golden_example() -> None:
    alpha = torch.linalg.solve(GOLDEN.T, 3 * catalog.direction("nash_mtl", GOLDEN))
    assert alpha.tolist() == pytest.approx([1.310629, 1.305089, 0.524539], abs=1e-6)
    torch.testing.assert_close((GOLDEN @ GOLDEN.T @ alpha) * alpha, torch.ones(3).double(), rtol=0, atol=1e-8)
    alpha = torch.linalg.solve(GOLDEN.T, 3 * catalog.direction("aligned_mtl", GOLDEN))
    assert alpha.tolist() == pytest.approx([1.025568, 0.992805, 0.416374], abs=1e-6)
    mean, d = GOLDEN.mean(0), catalog.direction("cagrad", GOLDEN)  # d = g_0 + c |g_0| G'w / |G'w|, sum w = 1
    w = torch.linalg.solve(GOLDEN.T, d - mean)
    assert (w / w.sum()).tolist() == pytest.approx([0.469898, 0.530102, 0], abs=1e-4)


# Scalarizers


def weights(made: Any, losses: tuple[float, ...]) -> Tensor:
    """The gradient of one step with respect to the losses."""
    leaf = torch.tensor(losses, requires_grad=True)
    made.backward(leaf, torch.ones(len(losses), dtype=torch.bool), None, [], [])
    return leaf.grad  # pyright: ignore[reportReturnType]


def test_dwa_weights_are_one_for_two_epochs_and_sum_to_the_number_of_tasks() -> None:
    made = balance.make("dwa", 3)
    for epoch, losses in enumerate([(1.0, 2.0, 3.0), (0.5, 1.9, 3.0), (0.4, 1.0, 2.0), (0.3, 0.9, 0.1)]):
        w = 3 * weights(made, losses)  # 1 / T by our convention
        made.epoch_ended()
        assert float(w.sum()) == pytest.approx(3, abs=1e-5)
        assert (w == 1).all() == (epoch < 2)


def test_random_weights_are_a_new_share_at_every_step() -> None:
    torch.manual_seed(0)
    made = balance.make("random", 3)
    drawn = torch.stack([weights(made, (0.1, 0.2, 0.3)) for _ in range(200)])
    assert (drawn > 0).all()
    torch.testing.assert_close(drawn.sum(1), torch.ones(200))
    assert drawn.std(0).min() > 0.1
    assert drawn.mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=0.07)  # SD of a mean: .2 / sqrt(200) = .014
    alpha = torch.linalg.solve(GOLDEN.T, catalog.direction("random_gradient", GOLDEN))
    assert (alpha > 0).all()
    assert float(alpha.sum()) == pytest.approx(1)


def test_gradnorm_compares_with_the_mean_of_the_first_epoch_and_leaves_out_who_is_absent() -> None:
    x: Any = torch.zeros(3, requires_grad=True)
    made: Any = balance.make("gradnorm", 3)
    absent = torch.tensor([True, True, False])
    for first, active in ((1.0, ALL), (3.0, absent)):
        made.backward(torch.stack([first + x[0], 1 + x[1], 0.5 + x[2]]) * active, active, None, [x], [])
    assert made.weights.tolist() == [1, 1, 1]
    assert (made.first / made.seen).tolist() == pytest.approx([2, 1, 0.5])
    made.epoch_ended()
    x.grad = None
    made.backward(torch.stack([2 + x[0], 0.1 + x[1], 0 * x[2]]), absent, None, [x], [])
    w = made.weights.tolist()  # ratios 1 and .1: the first has learned less, so that it gains, and the absent one stands still
    assert w[0] > w[2] > w[1]
    assert sum(w) == pytest.approx(3)
    torch.testing.assert_close(x.grad, torch.tensor([w[0] / 2, w[1] / 2, 0]))


def test_gradnorm_counts_the_first_losses_of_a_task_that_was_alone() -> None:
    x: Any = torch.zeros(3, requires_grad=True)
    made: Any = balance.make("gradnorm", 3)
    made.backward(torch.stack([2 + x[0], 0 * x[1], 0 * x[2]]), torch.tensor([True, False, False]), None, [x], [])
    assert (made.first.tolist(), made.seen.tolist()) == ([2, 0, 0], [1, 0, 0])


@pytest.mark.parametrize("name", catalog.SCALARIZERS)
def test_a_loss_of_zero_gives_a_finite_step(name: str) -> None:
    x: Any = torch.ones(3, requires_grad=True)
    made: Any = balance.make(name, 3)
    for _ in range(3):  # dwa compares the epochs before
        made.backward(x.square() * torch.tensor([0.0, 1, 2]), ALL, None, [x], [])
        made.epoch_ended()
    assert torch.isfinite(x.grad).all()


# In training


def trainer(text: str, cohort: Cohort) -> tuple[Any, Any]:
    method: Any = registry.method(text)
    tokens = prep.tokens(cohort)
    y, w = torch.tensor(np.nan_to_num(cohort.labels)), torch.tensor(cohort.loss_weights)
    torch.manual_seed(0)
    made = train._Trainer(method, method.build(tokens.shapes, y, w), y.shape[1])
    return made, (train.tensors(tokens(cohort.inputs), "cpu"), y, w, torch.arange(len(y)))


@pytest.mark.parametrize(("name", "learned"), [("uncertainty", "log_var"), ("imtl_l", "log_scale")])
def test_what_a_scalarizer_learns_is_learned_at_its_own_rate_without_decay(name: str, learned: str, small_cohort: Cohort) -> None:
    made, data = trainer(f"hard_sharing:{SMALL}:balance={name}", small_cohort)
    own = getattr(made.balance.whole, learned)
    group = [(g["weight_decay"], g["lr"]) for g in made.balancing.param_groups if any(p is own for p in g["params"])]
    assert group == [(0.0, 0.025)]
    made.epoch(*data)
    # Adam's steps are about its rate each while the gradient keeps its sign
    assert own.detach().abs().tolist() == pytest.approx([0.025 * made.steps] * len(own), rel=0.3)
    assert trainer(f"hard_sharing:{SMALL}:balance={name}+lr=0.5", small_cohort)[0].balancing.param_groups[-1]["lr"] == 0.5
    with pytest.raises(BenchError, match="lr must be above 0, but is -1"):
        balance.check(f"{name}+lr=-1")


@pytest.mark.parametrize("name", ["famo", "gradnorm"])
def test_what_steps_its_own_weights_keeps_them_from_the_optimizer(name: str, small_cohort: Cohort) -> None:
    made, data = trainer(f"hard_sharing:{SMALL}:balance={name}", small_cohort)
    own = made.balance.whole._w if name == "famo" else made.balance.weights
    before = own.detach().clone()
    assert made.balancing is None
    made.epoch(*data)
    made.epoch(*data)
    assert not torch.equal(own.detach(), before)


def test_all_parameters_before_the_heads_are_shared_gates_among_them(small_cohort: Cohort) -> None:
    made, _ = trainer("mmoe:balance=pcgrad", small_cohort)
    names = {id(p): name for name, p in made.network.named_parameters()}
    shared, heads = ([names[id(p)] for p in group] for group in (made.shared, made.heads))
    assert heads == ["heads.weight", "heads.bias"]
    assert sorted([*shared, *heads]) == sorted(names.values())
    assert {"sharing.gates.weight", "encoder.fusion.glob"} <= set(shared)


@pytest.mark.parametrize("name", NEURAL)
def test_every_neural_method_heeds_balance_loss_and_dense(name: str, small_cohort: Cohort) -> None:
    rows = np.arange(len(small_cohort))
    fitted, valid = small_cohort.rows(rows[:200]), small_cohort.rows(rows[200:300])

    def predicted(**settings: Any) -> np.ndarray[Any, Any]:
        method: Any = replace(registry.method(f"{name}:epochs=1:batch=100"), **settings)  # type: ignore[type-var]
        out = method.fit(fitted, valid, Run(seed=1)).predict(valid.inputs)
        assert np.isfinite(out).all()
        return out

    plain = predicted()
    assert np.array_equal(plain, predicted())
    one_task_each = registry.module("methods", name).METHOD.family == "single-task"
    assert np.array_equal(plain, predicted(balance="pcgrad")) == one_task_each
    assert not np.array_equal(plain, predicted(loss="asymmetric"))
    assert not np.array_equal(plain, predicted(dense=0.5))
