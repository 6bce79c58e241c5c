"""Balancing: the tasks' gradients by whatever number of passes are those of a pass each, and what looks elsewhere looks there."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torchjd.aggregation as tja
from torch import Tensor

from bench import balance, cards, prep, registry, train
from bench.balance import catalog, steps
from bench.core import BenchError, Cohort, Encodings, Inputs

NEURAL = [n for n in registry.ids("methods") if "NeuralMethod" in dict(cards.card(n).settings)]
FEATURES = ("imtl_g", "mgda", "aligned_mtl+features=1")


class Step:
    """One forward pass of a method's network in float64, dropout on, the outcome `absent` unknown in the batch."""

    def __init__(self, text: str, cohort: Cohort, balance: str, absent: int | None = None) -> None:
        method: Any = replace(registry.method(text), balance=balance)  # type: ignore[type-var]
        tokens = prep.tokens(cohort)
        y, w = (torch.tensor(a).double() for a in (np.nan_to_num(cohort.labels), cohort.loss_weights))
        batch = train.tensors(tokens(cohort.inputs), "cpu", torch.float64)
        torch.manual_seed(0)
        self.trainer = train._Trainer(method, method.build(tokens.shapes, y, w).double(), y.shape[1])
        if absent is not None:
            w[:, absent] = 0
        self.network = self.trainer.network.train()
        with train.given(self.network.encoder) as self.features:
            self.losses, self.penalty = self.trainer.objective(batch, y, w, torch.arange(len(y)))
        self.active = (w > 0).any(0)
        self.shared, self.heads = self.trainer.shared, self.trainer.heads

    def balanced(self) -> tuple[Tensor, Tensor]:
        """The gradients that the balance puts into shared parameters and heads, flat."""
        own = self.trainer.balance
        at = own.place(self.features, self.network.sharing, self.shared)
        own.backward(self.losses, self.active, self.penalty, self.shared, self.heads, at)
        found = [self.flat([p.grad for p in group], group) for group in (self.shared, self.heads)]
        return found[0], found[1]

    def rows(self, at: Any) -> Tensor:
        """(T, numbers) of the active outcomes, each by a pass of its own."""
        return torch.stack([self.gradient(loss, at) for loss in self.losses[self.active]])

    def gradient(self, loss: Tensor | None, at: Any) -> Tensor:
        unused = [None] * len(at)
        return self.flat(unused if loss is None else torch.autograd.grad(loss, at, retain_graph=True, allow_unused=True), at)

    @staticmethod
    def flat(gradients: Any, at: Any) -> Tensor:
        return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(gradients, at, strict=True)])


def same(found: Tensor, expected: Tensor) -> None:
    assert float((found - expected).norm()) <= 1e-9 * float(expected.norm())
    assert float(expected.norm()) > 0


@pytest.mark.parametrize("name", NEURAL)
def test_gradients_are_those_of_a_pass_each(name: str, small_cohort: Cohort) -> None:
    step = Step(name, small_cohort.rows(np.arange(60)), "pcgrad")
    same(steps.jacobian(step.losses, step.shared), step.rows(step.shared))


@pytest.mark.parametrize("word", ["grud", "tcn", "patch"])
def test_gradients_through_encoders_of_steps_and_words(word: str, small_cohort: Cohort) -> None:
    cohort = small_cohort.rows(np.arange(60))
    encoded = replace(cohort, inputs=Inputs(cohort.inputs.modalities, Encodings(series=word, text="tokens")))
    step = Step("mmoe", encoded, "pcgrad")
    same(steps.jacobian(step.losses, step.shared), step.rows(step.shared))


class Odd(torch.autograd.Function):
    """Twice its input; its gradient passes through NumPy, which no batch of gradients can."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return torch.from_numpy(2 * grads[0].numpy())


def test_what_cannot_be_batched_takes_a_pass_each() -> None:
    x: Any = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    doubled: Any = Odd.apply(x)
    # d/dx of (2 x)^2 = 8 x and of the sum of 2 x = 2
    found = steps.jacobian(torch.stack([doubled.square().sum(), doubled.sum()]), [x])
    assert found.tolist() == [[8, 16, 24], [2, 2, 2]]


@pytest.mark.parametrize("absent", [None, 1])
@pytest.mark.parametrize("method", ["mmoe", "orthtd", "dfd:base=ple", "hard_sharing:loss=asymmetric", "hard_sharing:dense=0.5"])
@pytest.mark.parametrize("text", FEATURES)
def test_weights_come_of_the_encoders_vectors(text: str, method: str, absent: int | None, small_cohort: Cohort) -> None:
    step = Step(method, small_cohort.rows(np.arange(60)), text, absent)
    rows = step.rows(step.features)
    kinds: Any = {"imtl_g": tja.IMTLG, "mgda": tja.MGDA, "aligned_mtl": tja.AlignedMTL}
    weights = kinds[text.partition("+")[0]]().gramian_weighting(rows @ rows.T)
    expected = weights @ step.rows(step.shared) + step.gradient(step.penalty, step.shared)
    heads = step.rows(step.heads).mean(0)
    found = step.balanced()
    same(found[0], expected)
    same(found[1], heads)


@pytest.mark.parametrize("name", ["imtl_g", "mgda"])
def test_without_features_the_shared_parameters_count(name: str, small_cohort: Cohort) -> None:
    step = Step("orthtd", small_cohort.rows(np.arange(60)), f"{name}+features=0", absent=0)
    expected = catalog.direction(name, step.rows(step.shared)) + step.gradient(step.penalty, step.shared)
    same(step.balanced()[0], expected)


def test_random_weights_of_gradients_need_no_gradients(small_cohort: Cohort) -> None:
    step = Step("orthtd", small_cohort.rows(np.arange(60)), "random_gradient", absent=2)
    torch.manual_seed(5)
    weights = torch.softmax(torch.randn(2, dtype=torch.float64), 0)
    expected = weights @ step.rows(step.shared) + step.gradient(step.penalty, step.shared)
    heads = step.rows(step.heads).mean(0)
    torch.manual_seed(5)
    found = step.balanced()
    same(found[0], expected)
    same(found[1], heads)


@pytest.mark.parametrize(("last", "where"), [(1, "sharing."), (0, "")])
def test_gradnorm_compares_norms_at_the_last_shared_layer(last: int, where: str, small_cohort: Cohort) -> None:
    step = Step("mmoe", small_cohort.rows(np.arange(60)), f"gradnorm+alpha=0+last={last}+lr=0.001")
    made: Any = step.trainer.balance
    made.seen += 1
    made.first += step.losses.detach().float()
    made.epoch_ended()
    chosen = [p for name, p in step.network.named_parameters() if name.startswith(where) and not name.startswith("heads")]
    norms = step.rows(chosen).norm(dim=1)
    own = step.rows(step.shared)
    found = step.balanced()[0]
    # Adam's first step is its rate, away from the mean of the norms: down where a norm is above, up where below. The sum is 3 again
    moved = 1 - 0.001 * torch.sign(norms - norms.mean())
    torch.testing.assert_close(made.weights.detach(), (3 * moved / moved.sum()).float(), atol=2e-6, rtol=0)
    assert float((found - made.weights.detach().double() @ own / 3).norm()) < 1e-9 * float(own.norm())


@pytest.mark.parametrize("text", [*FEATURES, "random_gradient", "gradnorm", "equal"])
def test_one_pass_through_the_encoder(text: str, small_cohort: Cohort) -> None:
    passes: list[Tensor] = []
    step = Step("mmoe", small_cohort.rows(np.arange(60)), text)
    for _ in range(2):  # gradnorm compares from the second epoch on
        step.trainer.balance.epoch_ended()
    first = next(p for p in step.shared if p.numel())
    handle = first.register_hook(passes.append)
    step.trainer.balance.backward(
        step.losses, step.active, step.penalty, step.shared, step.heads,
        step.trainer.balance.place(step.features, step.network.sharing, step.shared),
    )  # fmt: skip
    handle.remove()
    assert len(passes) == 1


def test_a_network_without_what_is_looked_at_compares_on_all_shared_parameters(small_cohort: Cohort) -> None:
    for text in ("gradnorm", "mgda"):
        made = balance.make(text, 3)
        p: Any = torch.nn.Parameter(torch.ones(2))
        assert made.place([torch.ones(2)], torch.nn.Identity(), [p]) is None
    assert balance.make("random_gradient", 3).place([], torch.nn.Identity(), []) == []


def test_config_within_the_span_of_the_gradients_is_torchjds() -> None:
    for seed, dependent in ((0, False), (1, False), (2, True)):
        g = torch.randn(4, 50, generator=torch.Generator().manual_seed(seed)).double() * torch.tensor([1, 1e-4, 3, 10])[:, None]
        if dependent:
            g[1] = 2 * g[0]
        same(catalog.direction("config", g), tja.ConFIG()(g) / 4)


@pytest.mark.parametrize("text", ["mgda+features=2", "imtl_g+features=0.5", "aligned_mtl+features=-1", "gradnorm+last=3"])
def test_a_switch_is_0_or_1(text: str) -> None:
    with pytest.raises(BenchError, match=rf"balance={text.replace('+', '.')}: (features|last) must be 0 or 1, but is "):
        balance.check(text)
