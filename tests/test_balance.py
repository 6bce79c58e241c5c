"""Balancing: golden vectors of methods.md section 6, the laws of each method, and what a training step does with it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import balance, prep, registry, train
from bench.balance import catalog, steps
from bench.core import BenchError, Cohort, Run

RUN = Run(seed=3)
GOLDEN = torch.tensor([[1, 0, 0], [-0.5, 1, 0], [0.2, -0.3, 2]])
DRAWN = ("graddrop", "random_gradient")  # no two steps are alike
SUMS = ("config", "fairgrad", "graddrop", "gradvac", "nash_mtl", "pcgrad")  # papers that sum where others average


# Aggregators


@pytest.mark.parametrize(
    ("text", "expected", "times"),
    [
        ("pcgrad", (0.854528, 1.398208, 2.145278), 3),
        ("cagrad", (0.340585, 0.510877, 0.666667), 1),
        ("cagrad+c=0.5", (0.382651, 0.573976, 0.666667), 1),
        ("cagrad+c=0", (0.233333, 0.233333, 0.666667), 1),
        ("imtl_g", (0.240887, 0.389764, 0.279146), 1),
        ("nash_mtl", (0.762992, 1.147727, 1.049078), 3),
        ("aligned_mtl", (0.612440, 0.867892, 0.832748), 3),
    ],
)
def test_golden_vectors(text: str, expected: tuple[float, ...], times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randperm", torch.arange)  # PCGrad: orders ascending
    d = catalog.direction(text, GOLDEN.double())
    torch.testing.assert_close(times * d, torch.tensor(expected).double(), atol=1e-5, rtol=0)


def test_pcgrad_of_two_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # g = (1, 0), (-1, 1): the product is -1. g_1 + g_2 / 2 = (.5, .5) and g_2 + g_1 = (0, 1); half their sum, by our convention
    d = catalog.direction("pcgrad", torch.tensor([[1.0, 0.0], [-1.0, 1.0]]))
    torch.testing.assert_close(d, torch.tensor([0.25, 0.75]))
    opposed = catalog.direction("pcgrad", torch.tensor([[1.0, 2.0], [-1.0, -2.0]]))
    torch.testing.assert_close(opposed, torch.zeros(2))


@pytest.mark.parametrize("name", [n for n in catalog.AGGREGATORS if n not in ("random_gradient",)])
def test_orthogonal_gradients_of_one_length_give_their_mean(name: str) -> None:
    basis = torch.linalg.qr(torch.randn(7, 4, generator=torch.Generator().manual_seed(0)).double()).Q.T  # (4, 7), orthonormal
    if name in ("graddrop", "excess_mtl"):  # which look at coordinates one by one: gradients that share none
        basis = torch.eye(4, 7).double()
    d = catalog.direction(name, basis)
    length = 1.4 if name == "cagrad" else 1.0  # the paper's own: g_0 + c |g_0| g_w / |g_w|
    torch.testing.assert_close(d, length * basis.mean(0), atol=2e-4, rtol=0)


def test_cagrad_stays_in_its_ball() -> None:
    mean = GOLDEN.double().mean(0)
    d = catalog.direction("cagrad+c=0.3", GOLDEN.double())
    assert float((d - mean).norm() / mean.norm()) == pytest.approx(0.3, abs=1e-4)


@pytest.mark.parametrize("scales", [(10.0, 1.0, 1.0), (1e-3, 1.0, 100.0)])
@pytest.mark.parametrize("name", ["nash_mtl", "imtl_g"])
def test_directions_that_do_not_depend_on_the_scale_of_a_loss(name: str, scales: tuple[float, ...]) -> None:
    one, other = (catalog.direction(name, g) for g in (GOLDEN.double(), torch.tensor(scales).double()[:, None] * GOLDEN))
    torch.testing.assert_close(one / one.norm(), other / other.norm(), atol=1e-5, rtol=0)


def test_nash_solves_its_equation() -> None:
    for seed in range(20):
        g = (
            torch.randn(5, 30, generator=torch.Generator().manual_seed(seed)).double()
            * torch.tensor([1e-3, 1, 1, 10, 100])[:, None]
        )
        d = steps.nash(g)
        weights = 1 / (g @ d)  # since (A a)_t = g_t . d and (A a) a = 1
        assert (weights > 0).all()
        torch.testing.assert_close(weights @ g, d, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", catalog.AGGREGATORS)
@pytest.mark.parametrize("case", ["opposed", "equal", "one zero", "all zero"])
def test_degenerate_gradients_give_something_finite(name: str, case: str) -> None:
    g = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    g = (
        g
        * {"opposed": torch.tensor([[1.0], [-1.0]]), "equal": 1.0, "one zero": torch.tensor([[1.0], [0.0]]), "all zero": 0.0}[
            case
        ]
    )
    d = catalog.direction(name, g)
    assert torch.isfinite(d).all()
    assert float(d.norm()) < 1e3


def test_aligned_gradients_have_one_singular_value() -> None:
    # the combination with weights e_t, one task at a time, gives the rows of the aligned matrix: all singular values .779271
    a = GOLDEN.double() @ GOLDEN.double().T
    values, vectors = torch.linalg.eigh(a)
    aligned = (values.min().sqrt() * vectors @ torch.diag(values.rsqrt()) @ vectors.T) @ GOLDEN.double()
    assert torch.linalg.svdvals(aligned).tolist() == pytest.approx([0.779271] * 3, abs=1e-6)
    torch.testing.assert_close(catalog.direction("aligned_mtl", GOLDEN.double()), aligned.mean(0))


# Scalarizers


def values_of(text: str, *epochs: tuple[float, ...]) -> tuple[Any, Tensor]:
    """The balance after epochs of one batch each, and the gradient with respect to the losses of the last."""
    made: Any = balance.make(text, len(epochs[0]))
    for losses in epochs:
        leaf = torch.tensor(losses, requires_grad=True)
        made.backward(leaf, torch.ones(len(losses), dtype=torch.bool), None, [], [])
        made.epoch_ended()
    return made, leaf.grad  # pyright: ignore


def test_dwa_by_hand() -> None:
    # ratios .5 and .75 of the two epochs before, temperature 2: 2 softmax(.25, .375) = (.937581, 1.062419); over T = 2
    _, gradient = values_of("dwa", (1.0, 1.0), (0.5, 0.75), (9.0, 9.0))
    assert gradient.tolist() == pytest.approx([0.937581 / 2, 1.062419 / 2], abs=1e-6)
    _, first = values_of("dwa", (1.0, 3.0), (0.5, 0.75))
    assert first.tolist() == [0.5, 0.5]  # no ratio yet
    _, equal = values_of("dwa", (1.0, 10.0), (0.5, 5.0), (9.0, 9.0))
    assert equal.tolist() == [0.5, 0.5]  # each task's scale is of no consequence


def test_fixed_weights() -> None:
    _, gradient = values_of("fixed+1+3", (0.4, 0.2))
    assert gradient.tolist() == [0.25, 0.75]


def test_geometric_mean_by_hand() -> None:
    # d/dL_t (L_1 L_2)^(1/2) = sqrt(L_1 L_2) / (2 L_t): (.4, .1) -> .2 / .8 = .25 and .2 / .2 = 1
    _, gradient = values_of("geometric_mean", (0.4, 0.1))
    assert gradient.tolist() == pytest.approx([0.25, 1.0], abs=1e-6)


def test_uncertainty_weights_settle_at_the_logarithm_of_the_loss() -> None:
    made: Any = balance.make("uncertainty", 2)
    optimizer = torch.optim.SGD(made.parameters(), lr=0.5)
    for _ in range(400):
        optimizer.zero_grad()
        made.backward(torch.tensor([0.7, 0.1], requires_grad=True), torch.ones(2, dtype=torch.bool), None, [], [])
        optimizer.step()
    assert made.whole.log_var.tolist() == pytest.approx(np.log([0.7, 0.1]).tolist(), abs=1e-3)


def test_famo_leaves_its_weights_where_all_losses_fall_alike() -> None:
    both = torch.ones(2, dtype=torch.bool)
    for after, moves in (((0.4, 0.4), False), ((0.4, 0.8), True)):
        made: Any = balance.make("famo+decay=0", 2)
        made.backward(torch.tensor([0.8, 0.8], requires_grad=True), both, None, [], [])
        made.updated(torch.tensor(after), both)
        w = made.whole._w
        assert bool((w[0] - w[1]).abs() > 1e-3) == moves
    assert float(w[0]) < float(w[1])  # the task that did not fall gains weight


def test_gradnorm_evens_the_norms() -> None:
    # alpha = 0: every weighted norm goes to their mean. Norms 1 and 4, so weights in proportion 4 : 1, with sum 2
    x, y = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    made: Any = balance.make("gradnorm+alpha=0+lr=0.01", 2)
    for _ in range(400):
        made.backward(torch.stack([1 + x[0], 1 + 4 * y[0]]), torch.ones(2, dtype=torch.bool), None, [x, y], [])
        made.epoch_ended()
    assert made.weights.tolist() == pytest.approx([1.6, 0.4], abs=0.03)
    made = balance.make("gradnorm+alpha=1.5+lr=0.01", 2)
    for epoch in range(300):  # equal norms, but the first task has not learned: it gains weight
        losses = torch.stack([1 + x[0], (1 if epoch == 0 else 0.2) + y[0]])
        made.backward(losses, torch.ones(2, dtype=torch.bool), None, [x, y], [])
        made.epoch_ended()
    assert made.weights[0] > 1.2


# In a training step


def prepared(cohort: Cohort) -> tuple[Any, Tensor, Tensor]:
    tokens = prep.tokens(cohort)
    y, w = torch.tensor(np.nan_to_num(cohort.labels)), torch.tensor(cohort.loss_weights)
    return (tokens.shapes, train.tensors(tokens(cohort.inputs), "cpu")), y, w


def gradients(text: str, cohort: Cohort, absent: int | None = None) -> tuple[dict[str, Tensor], Any]:
    """Gradients by parameter after one backward pass under a balance, the network without dropout."""
    m: Any = registry.method("hard_sharing:width=8:fused=8:heads=2:hidden=8:dropout=0")
    (shapes, batch), y, w = prepared(cohort)
    if absent is not None:
        w[:, absent] = 0
    torch.manual_seed(0)
    network = m.build(shapes, y, w)
    trainer = train._Trainer(replace(m, balance=text), network, y.shape[1])
    torch.manual_seed(1)
    losses, penalty = network.objective(batch, y, w, torch.arange(len(y)), m.losses)
    trainer.balance.backward(losses, (w > 0).any(0), penalty, trainer.shared, trainer.heads)
    return {name: p.grad for name, p in network.named_parameters()}, (losses, trainer)


@pytest.mark.parametrize("name", [*catalog.AGGREGATORS, "gradnorm"])
def test_heads_keep_their_own_gradient(name: str, small_cohort: Cohort) -> None:
    plain, _ = gradients("equal", small_cohort)
    balanced, _ = gradients(name, small_cohort)
    for key in ("heads.weight", "heads.bias"):
        torch.testing.assert_close(balanced[key], plain[key])
    shared = "sharing.expert.maps.weight"
    same = torch.allclose(balanced[shared], plain[shared], rtol=1e-3, atol=1e-9)
    # dualproj projects the mean, and these gradients do not conflict with it; gradnorm's weights are 1 in the first epoch
    assert same == (name in ("dualproj", "gradnorm"))


def test_the_gradient_of_the_mean_is_the_mean_of_the_gradients(small_cohort: Cohort) -> None:
    plain, (losses, trainer) = gradients("equal", small_cohort)
    _, (losses, trainer) = gradients("cagrad+c=0", small_cohort)
    for p, name in zip(trainer.shared, [n for n in plain if not n.startswith("heads")], strict=True):
        torch.testing.assert_close(p.grad, plain[name], rtol=1e-3, atol=1e-6)
    assert losses.shape == (3,)


@pytest.mark.parametrize("name", [n for n in catalog.NAMES if n not in (*DRAWN, "random")])
def test_a_task_without_labels_takes_no_part(name: str, small_cohort: Cohort) -> None:
    text = "fixed+1+1+2" if name == "fixed" else name
    found, (losses, _) = gradients(text, small_cohort, absent=2)
    assert float(losses[2].detach()) == 0
    assert not found["heads.weight"][2].any()
    only = small_cohort.labels[:, :2]
    pair = replace(small_cohort, tasks=small_cohort.tasks[:2], labels=only)
    weights = None if small_cohort.weights is None else small_cohort.weights[:, :2]
    torch.manual_seed(0)
    expected, _ = gradients("fixed+1+1" if name == "fixed" else name, replace(pair, weights=weights))
    key = "sharing.expert.maps.weight"
    ours, theirs = found[key] / found[key].norm(), expected[key] / expected[key].norm()
    if name == "famo":  # its c is a mean over all tasks, an absent one's loss a constant: the direction within is the same
        assert float((ours * theirs).sum()) > 0.999
    else:
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["fixed+2", *(n for n in catalog.NAMES if n != "fixed")])
def test_one_task_is_plain_training(name: str, small_cohort: Cohort) -> None:
    one = replace(small_cohort, tasks=small_cohort.tasks[:1], labels=small_cohort.labels[:, :1])
    fitted, valid = one.rows(np.arange(150)), one.rows(np.arange(150, 250))
    settings = "width=8:fused=8:heads=2:hidden=8:epochs=2:batch=64"
    plain = registry.method(f"hard_sharing:{settings}").fit(fitted, valid, RUN).predict(valid.inputs)
    balanced = registry.method(f"hard_sharing:{settings}:balance={name}").fit(fitted, valid, RUN).predict(valid.inputs)
    assert np.array_equal(plain, balanced)


@pytest.mark.parametrize(("name", "looks"), [("equal", 1), ("pcgrad", 1), ("uncertainty", 1), ("famo", 2)])
def test_one_forward_pass_a_step(name: str, looks: int, small_cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    forward = train.Network.forward

    def counted(self: train.Network, batch: Any) -> Tensor:
        if self.training:
            seen.append(torch.get_rng_state())
        return forward(self, batch)

    monkeypatch.setattr(train.Network, "forward", counted)
    fitted, valid = small_cohort.rows(np.arange(150)), small_cohort.rows(np.arange(150, 250))
    method = registry.method(f"hard_sharing:width=8:fused=8:heads=2:hidden=8:epochs=2:batch=75:balance={name}")
    assert method.fit(fitted, valid, RUN).facts["steps"] == 4
    assert len(seen) == 4 * looks
    if looks == 2:  # with the same dropout masks
        assert all(torch.equal(a, b) for a, b in zip(seen[::2], seen[1::2], strict=True))


def test_dwa_steps_once_an_epoch(small_cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(catalog.Scalarized, "epoch_ended", lambda self: ended.append(self.whole._n_batches) or self.whole.step())
    fitted, valid = small_cohort.rows(np.arange(150)), small_cohort.rows(np.arange(150, 250))
    registry.method("hard_sharing:width=8:fused=8:heads=2:hidden=8:epochs=3:batch=75:balance=dwa").fit(fitted, valid, RUN)
    assert ended == [2, 2, 2]


# Settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pcgrd", r"unknown balance 'pcgrd'\. Did you mean 'pcgrad'\? There are: equal, fixed, aligned_mtl, .*"),
        ("cagrad+d=1", r"balance=cagrad: an option reads cagrad\+option=number, options: c=0\.4; but got 'd=1'"),
        ("cagrad+c=x", r"balance=cagrad: an option reads .*; but got 'c=x'"),
        ("dwa+temperature=0", r"balance=dwa\+temperature=0: .*temperature.*"),
        ("equal+c=1", r"balance=equal has no option, but got 'equal\+c=1'"),
        ("fixed", r"balance=fixed reads fixed\+1\+2\+0\.5, a weight above 0 for each outcome, but got 'fixed'"),
        ("fixed+1+-2", r"balance=fixed reads .* but got 'fixed\+1\+-2'"),
    ],
)
def test_wrong_settings_are_refused_when_the_method_is_made(text: str, said: str) -> None:
    with pytest.raises(BenchError, match=f"^{said}$"):
        registry.method(f"mmoe:balance={text}")


def test_a_wrong_number_of_fixed_weights_is_said(small_cohort: Cohort) -> None:
    with pytest.raises(BenchError, match=r"balance=fixed needs a weight for each of the 3 outcomes, but got 2: 'fixed\+1\+2'"):
        registry.method("hard_sharing:balance=fixed+1+2").fit(small_cohort, small_cohort, RUN)


@pytest.mark.parametrize(("name", "module"), [("cagrad", "cvxpy"), ("upgrad", "quadprog"), ("dualproj", "qpsolvers")])
def test_a_missing_solver_is_an_error_at_start(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchjd._mixins as mixins

    found = mixins.find_spec
    monkeypatch.setattr(mixins, "find_spec", lambda wanted: None if wanted == module else found(wanted))
    with pytest.raises(BenchError, match=rf"balance={name}: .*requires \['{module}'\] to be installed"):
        registry.method(f"hard_sharing:balance={name}")
