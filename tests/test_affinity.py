"""Laws of gradient cosines and task affinity (methods.md 7) on real small trainings, in float64."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import registry
from bench.core import Cohort, Run
from bench.diagnose import gradients
from bench.train import tensors

METHODS = ("orthtd", "mmoe", "ple:levels=2", "hard_sharing")


@pytest.fixture(scope="module")
def patients() -> tuple[Cohort, Cohort, Cohort]:
    """300 to fit, 100 to validate, 200 held out."""
    cohort, rows = registry.load("surgical:n=600"), np.arange(600)
    return cohort.rows(rows[:300]), cohort.rows(rows[300:400]), cohort.rows(rows[400:])


@pytest.fixture(scope="module")
def fitted(patients: tuple[Cohort, Cohort, Cohort]) -> Callable[[str], Any]:
    """Each method trained once, briefly."""
    kept: dict[str, Any] = {}

    def fit(text: str) -> Any:
        if text not in kept:
            kept[text] = registry.method(f"{text}:epochs=3").fit(patients[0], patients[1], Run(seed=1))
        return kept[text]

    return fit


@pytest.fixture(scope="module", params=METHODS)
def exact(request: Any, fitted: Callable[[str], Any], patients: tuple[Cohort, Cohort, Cohort]) -> tuple[Any, Any, Tensor, Tensor]:
    """A trained network in float64 and a fixed batch of training rows: network, batch, labels, weights."""
    predictor, train = fitted(request.param), patients[0].rows(np.arange(64))
    batch = {
        key: {name: x.double() if x.is_floating_point() else x for name, x in part.items()}
        for key, part in tensors(predictor.tokens(train.inputs), "cpu").items()
    }
    y = torch.tensor(np.nan_to_num(train.labels)).double()
    return copy.deepcopy(predictor.networks[0]).double(), batch, y, torch.tensor(train.loss_weights).double()


def law_a_task_helps_itself(network: Any, batch: Any, y: Tensor, w: Tensor) -> None:
    assert (gradients.affinity(network, batch, y, w, 1e-4).diagonal() > 0).all()


def law_first_order(network: Any, batch: Any, y: Tensor, w: Tensor) -> None:
    """Z = eta g_t . g_u / L_u + O(eta^2): halving eta leaves a quarter of the difference."""
    losses, g = gradients.task_gradients(network, batch, y, w)
    gaps = []
    for eta in (2e-3, 1e-3):
        first = eta * torch.stack([torch.stack([g_t @ g_u / loss for g_u, loss in zip(g, losses, strict=True)]) for g_t in g])
        torch.testing.assert_close(gradients.first_order(losses, g, eta), first)
        z = gradients.affinity(network, batch, y, w, eta)
        assert ((z - first).abs() < 0.02 * first.abs().max()).all()
        gaps.append((z - first).abs().max())
    assert gaps[0] / gaps[1] == pytest.approx(4, rel=0.1)


def law_asymmetric_by_the_losses(network: Any, batch: Any, y: Tensor, w: Tensor) -> None:
    """Z[t, u] is not Z[u, t], but L_u Z[t, u] and L_t Z[u, t] agree to first order."""
    z, losses = gradients.affinity(network, batch, y, w, 1e-4), gradients.task_gradients(network, batch, y, w)[0]
    scaled, others = z * losses, z.clone().fill_diagonal_(0)
    assert (z - z.T).abs().max() > 0.1 * others.abs().max()
    torch.testing.assert_close(scaled, scaled.T, rtol=0, atol=float(1e-2 * scaled.abs().max()))


def law_as_a_step_by_hand_with_fixed_heads(network: Any, batch: Any, y: Tensor, w: Tensor) -> None:
    """The same numbers from plain backward passes and a copy whose shared weights are moved."""
    with torch.no_grad():
        network(batch)  # so that what it keeps of its last forward can be copied
    eta, net = 0.05, copy.deepcopy(network).requires_grad_()
    heads = {id(p) for p in net.heads.parameters()}
    shared = [p for p in net.parameters() if id(p) not in heads]

    def losses(of: Any) -> Tensor:
        each = -(y * torch.log(torch.sigmoid(of(batch))) + (1 - y) * torch.log(torch.sigmoid(-of(batch))))
        return (each * w).sum(0) / w.sum(0)

    for t in range(y.shape[1]):
        grads = torch.autograd.grad(losses(net)[t], shared, allow_unused=True)
        with torch.no_grad():
            net(batch)
        moved = copy.deepcopy(net)
        with torch.no_grad():
            for p, q, g in zip(shared, [q for n, q in moved.named_parameters() if not n.startswith("heads")], grads, strict=True):
                assert torch.equal(p, q)
                q -= eta * (0 if g is None else g)
            expected = 1 - losses(moved) / losses(net)
        torch.testing.assert_close(gradients.affinity(network, batch, y, w, eta)[t], expected, rtol=1e-7, atol=1e-12)


def law_cosines_are_those_of_the_gradients(network: Any, batch: Any, y: Tensor, w: Tensor) -> None:
    g = gradients.task_gradients(network, batch, y, w)[1].numpy()
    expected = [[a @ b / np.sqrt((a @ a) * (b @ b)) for b in g] for a in g]
    np.testing.assert_allclose(gradients.cosines(torch.tensor(g)).numpy(), expected, atol=1e-12)
    total = gradients.task_gradients(network, batch, y, 3 * w)[1].numpy()  # a task's weights are relative
    np.testing.assert_allclose(total, g, atol=1e-12)


Law = Callable[..., None]
LAWS: list[Law] = [
    law_a_task_helps_itself, law_first_order, law_asymmetric_by_the_losses, law_as_a_step_by_hand_with_fixed_heads,
    law_cosines_are_those_of_the_gradients,
]  # fmt: skip


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law, exact: Any) -> None:
    law(*exact)


affinity_of, shared_parameters = gradients.affinity_of, gradients.shared_parameters


def ascent(network: Any, batch: Any, y: Tensor, w: Tensor, eta: float, *rest: Any) -> Tensor:
    """The step goes uphill."""
    return affinity_of(network, batch, y, w, -eta, *rest)


def transposed(*args: Any) -> Tensor:
    """Who helps and who is helped, mixed up."""
    return affinity_of(*args).T


def symmetric(*args: Any) -> Tensor:
    """One number a pair."""
    return (affinity_of(*args) + affinity_of(*args).T) / 2


def heads_too(network: Any) -> Any:
    """Gradients over all parameters."""
    return {name: p.detach().requires_grad_() for name, p in network.named_parameters()}


def not_normalised(g: Tensor) -> Tensor:
    """Dot products for cosines."""
    return g @ g.T


MUTATIONS: list[tuple[Law, str, Any]] = [
    (LAWS[0], "affinity_of", ascent),
    (LAWS[1], "affinity_of", transposed),
    (LAWS[2], "affinity_of", symmetric),
    (LAWS[3], "shared_parameters", heads_too),
    (LAWS[4], "cosines", not_normalised),
]


@pytest.mark.parametrize("exact", ["hard_sharing"], indirect=True)
@pytest.mark.parametrize(("law", "name", "mutant"), MUTATIONS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_law_fails_under_mutation(law: Law, name: str, mutant: Any, exact: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, name, mutant)
    with pytest.raises(AssertionError):
        law(*exact)


def test_cosines_by_hand() -> None:
    # (1, 0), (-1, 1), (0, 0): -1 / sqrt(2); undefined for a task without a gradient
    rho = gradients.cosines(torch.tensor([[1.0, 0.0], [-1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)).numpy()
    np.testing.assert_allclose(rho[:2, :2], [[1, -(0.5**0.5)], [-(0.5**0.5), 1]], atol=1e-15)
    assert np.isnan(rho[2]).all()


def test_a_task_without_known_labels_has_no_gradient_and_no_affinity(exact: Any) -> None:
    network, batch, y, w = exact
    known = w.clone()
    known[:, 1] = 0
    losses, g = gradients.task_gradients(network, batch, y, known)
    assert losses[1] == 0
    assert (g[1] == 0).all()
    z = gradients.affinity(network, batch, y, known, 0.01)
    assert torch.isnan(z[:, 1]).all()
    torch.testing.assert_close(z[1, [0, 2, 3]], torch.zeros(3).double(), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(g[[0, 2, 3]], gradients.task_gradients(network, batch, y, w)[1][[0, 2, 3]])
