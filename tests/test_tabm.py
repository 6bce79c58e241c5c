"""The laws of methods.md 5.6. Each is a function of the module's code, so that it can be seen to fail under a mutation."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import prep, registry
from bench.core import Cohort, Run
from bench.losses import cross_entropy, per_task
from bench.train import tensors

TASKS, ROWS, K = 3, 7, 4
SHAPES: dict[str, prep.Shape] = {
    "table": prep.TableShape(2, (3, 4)),
    "vitals": prep.SeriesShape(windows=2, channels=2, stats=5, summary=18),
    "note": prep.TextShape(3),
}
tabm = registry.module("methods", "tabm")
Batch = dict[str, dict[str, Tensor]]


def network(spec: str = f"tabm:members={K}:hidden=6:bins=4:width=3", seed: int = 0) -> Any:
    """The untrained network in float64, dropout off, through METHOD. Prevalences 2/7, 5/7 and unknown."""
    torch.manual_seed(seed)
    return registry.method(spec).build(SHAPES, *labels()).double().eval()  # type: ignore[attr-defined]


def labels() -> tuple[Tensor, Tensor]:
    y = torch.tensor([[1, 0, 1], [1, 0, 0], *[[0, 1, 0]] * 5], dtype=torch.float32)
    return y, torch.tensor([1.0, 1, 0]).expand(ROWS, 3)


def patients(seed: int = 1) -> Batch:
    rng = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=rng)

    there = torch.ones(ROWS, dtype=torch.bool)
    codes = torch.stack([torch.randint(0, k, (ROWS,), generator=rng) for k in (3, 4)], 1)
    table = {"numeric": numbers(ROWS, 2), "missing": torch.zeros(ROWS, 2, dtype=torch.float64), "codes": codes}
    vitals = {"windows": numbers(ROWS, 2, 2, 5), "summary": numbers(ROWS, 18)}
    batch = {"table": table, "vitals": vitals, "note": {"vector": numbers(ROWS, 3)}}
    return {key: {**part, "present": there} for key, part in batch.items()}


def layers(net: Any) -> list[Any]:
    return [part for part in net.sharing if hasattr(part, "r")]


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def law_1_the_equations() -> None:
    net = network()
    h = net.encoder(patients())
    out = net.members(patients())
    assert out.shape == (ROWS, K, TASKS)
    for i in range(K):
        x = h
        for layer in layers(net):
            x = torch.relu(layer.s[i] * ((layer.r[i] * x) @ layer.weight.T) + layer.bias[i])
        same(out[:, i], x @ net.heads.weight[i] + net.heads.bias[i])


def law_2_one_member_with_unit_scalings_is_an_mlp() -> None:
    net = network("tabm:members=1:hidden=6:bins=4:width=3")
    modules: list[nn.Module] = []
    for layer in layers(net):
        nn.init.ones_(layer.r)
        nn.init.ones_(layer.s)
        linear = nn.Linear(layer.in_features, layer.out_features).double()
        linear.load_state_dict({"weight": layer.weight, "bias": layer.bias[0]})
        modules += [linear, nn.ReLU()]
    same(net(patients()), nn.Sequential(*modules)(net.encoder(patients())) @ net.heads.weight[0] + net.heads.bias[0])


def law_3_members_differ_at_the_start_by_the_first_r_alone() -> None:
    net = network()
    first, *later = layers(net)
    assert not (first.r == first.r[0]).all(1)[1:].any()
    for parameter in (first.s, first.bias, *(p for layer in later for p in (layer.r, layer.s, layer.bias))):
        assert torch.equal(parameter, parameter[:1].expand_as(parameter))
    for parameter in (first.s, *(p for layer in later for p in (layer.r, layer.s))):
        assert (parameter == 1).all()
    h = net.sharing(net.encoder(patients()))
    assert (h != h[:, :1]).any(2)[:, 1:].all()
    with torch.no_grad():
        first.r.copy_(first.r[0].clone())
    h = net.sharing(net.encoder(patients()))
    same(h, h[:, :1].expand_as(h))  # all r equal: identical members


def law_4_a_column_shares_one_draw_of_r() -> None:
    net = network()
    parts = layers(net)[0].r.split(net.encoder.chunks, dim=1)
    # 2 + 16 numbers of 3 columns each; codes one-hot in 3 and 4; flags: 2 + 2, 3 modalities, a text vector of 3
    assert net.encoder.chunks == [3] * 18 + [3, 4] + [1] * 10
    for part in parts:
        assert torch.equal(part, part[:, :1].expand_as(part))
    assert len({part[0, 0].item() for part in parts}) == len(parts)


def law_5_the_mean_of_the_losses_is_minimised() -> None:
    net = network()
    nn.init.normal_(net.heads.weight, std=20.0)
    y, w = (a.double() for a in labels())
    losses, extra = net.objective(patients(), y, w, torch.arange(ROWS), lambda z, y, w: per_task(cross_entropy(z, y), w))
    z = net.members(patients())
    by_hand = torch.stack([functional.binary_cross_entropy_with_logits(z[:, :, t].T, y[:, t].expand(K, -1)) for t in (0, 1)])
    same(losses, torch.cat([by_hand, torch.zeros(1).double()]))  # the third outcome is unknown
    assert extra is None
    of_mean = per_task(cross_entropy(net(patients()), y), w)
    assert (losses[:2] > of_mean[:2] + 0.01).all()  # Jensen: -log is convex


def law_6_probabilities_are_averaged() -> None:
    net = network()
    nn.init.normal_(net.heads.weight, std=20.0)
    z = net.members(patients())
    same(torch.sigmoid(net(patients())), torch.sigmoid(z).mean(1))
    assert not torch.allclose(net(patients()), z.mean(1), atol=0.01)


def law_7_an_unknown_label_has_no_gradient() -> None:
    net = network()
    y, w = torch.zeros(ROWS, TASKS).double(), torch.zeros(ROWS, TASKS).double()
    w[3, 1] = 2.0
    losses, _ = net.objective(patients(), y, w, torch.arange(ROWS), lambda z, y, w: per_task(cross_entropy(z, y), w))
    same(losses[1], functional.softplus(net.members(patients())[3, :, 1]).mean())
    losses.sum().backward()
    assert [bool(g) for g in (net.heads.bias.grad != 0).any(0)] == [False, True, False]


class LossOfTheMean(tabm.Ensemble):
    def objective(self, batch: Any, y: Tensor, w: Tensor, rows: Tensor, losses: Any) -> tuple[Tensor, None]:
        return losses(self(batch), y, w), None


class MeanOfLogits(tabm.Ensemble):
    def forward(self, batch: Any) -> Tensor:
        return self.members(batch).mean(1)


class NoMask(tabm.Ensemble):
    def objective(self, batch: Any, y: Tensor, w: Tensor, rows: Tensor, losses: Any) -> tuple[Tensor, None]:
        return super().objective(batch, y, torch.ones_like(w), rows, losses)


class Mixed(tabm.LinearBatchEnsemble):
    """Later layers scale at random, so that members differ by features that are already mixed."""

    def __init__(self, *sizes: int, k: int, scaling_init: Any, **kwargs: Any) -> None:
        super().__init__(*sizes, k=k, scaling_init="normal", **kwargs)


class Unchunked(tabm.First):
    def __init__(self, *sizes: int, first_scaling_init_chunks: Any, **kwargs: Any) -> None:
        super().__init__(*sizes, **kwargs)


class Unbiased(tabm.First):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) - self.bias


class Doubled(tabm.LinearEnsemble):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


Law = Callable[[], None]
LAWS: list[Law] = [
    law_1_the_equations, law_2_one_member_with_unit_scalings_is_an_mlp, law_3_members_differ_at_the_start_by_the_first_r_alone,
    law_4_a_column_shares_one_draw_of_r, law_5_the_mean_of_the_losses_is_minimised, law_6_probabilities_are_averaged,
    law_7_an_unknown_label_has_no_gradient,
]  # fmt: skip
MUTATIONS: list[tuple[Law, str, Any]] = [
    (LAWS[0], "LinearEnsemble", Doubled),
    (LAWS[1], "First", Unbiased),
    (LAWS[2], "LinearBatchEnsemble", Mixed),
    (LAWS[3], "First", Unchunked),
    (LAWS[4], "Ensemble", LossOfTheMean),
    (LAWS[5], "Ensemble", MeanOfLogits),
    (LAWS[6], "Ensemble", NoMask),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law) -> None:
    law()


@pytest.mark.parametrize(("law", "name", "mutant"), MUTATIONS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_law_fails_under_mutation(law: Law, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabm, name, mutant)
    with pytest.raises(AssertionError):
        law()


def test_every_law_has_a_mutation() -> None:
    assert {law for law, _, _ in MUTATIONS} == set(LAWS)


def test_it_starts_at_the_prevalence() -> None:
    net = network()
    start = torch.tensor([math.log(2 / 5), math.log(5 / 2), 0.0]).double()
    torch.testing.assert_close(net.heads.bias.data, start.expand(K, -1), rtol=0, atol=1e-6)


def test_extreme_members_keep_a_finite_logit() -> None:
    net = network()
    nn.init.zeros_(net.heads.weight)
    nn.init.constant_(net.heads.bias, -200.0)
    z = net.float()({k: {n: a.float() if a.is_floating_point() else a for n, a in p.items()} for k, p in patients().items()})
    np.testing.assert_allclose(z.detach().numpy(), -200.0, rtol=1e-6)


def test_bins_are_quantiles_of_the_training_rows(make_cohort: Callable[..., Cohort]) -> None:
    train = make_cohort(n=500)
    tokens = prep.tokens(train)
    method: Any = registry.method("tabm:bins=8")
    net = method.build(tokens.shapes, torch.zeros(1, 3), torch.ones(1, 3))
    piece = net.encoder.embed.impl
    edges = -piece.bias[0] / piece.weight[0]  # left edge of every bin of the first column, the last bin last
    x = tokens(train.inputs)["table"]
    age = x["numeric"][:, 0][x["missing"][:, 0] == 0]
    inside = np.histogram(age, [-np.inf, *edges[1:].tolist(), np.inf])[0]
    assert np.abs(inside / len(age) - 1 / 8).max() < 0.01


def test_stopping_balancing_and_loss_are_the_trainers(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(n=300, weighted=True)
    train, valid = cohort.rows(np.arange(200)), cohort.rows(np.arange(200, 300))
    spec = "tabm:members=3:hidden=8:balance=pcgrad:loss=both:stop=per_task:epochs=3"
    predictor = registry.method(spec).fit(train, valid, Run(seed=1))
    assert len(predictor.facts["best_epoch"]) == 3  # type: ignore[arg-type]
    assert predictor.predict(valid.inputs).shape == (100, 3)


def test_a_prediction_is_the_mean_of_the_members(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(n=300)
    train, valid = cohort.rows(np.arange(200)), cohort.rows(np.arange(200, 300))
    predictor: Any = registry.method("tabm:members=5:hidden=8:epochs=4").fit(train, valid, Run(seed=1))
    net = predictor.networks[0].eval()
    each = torch.sigmoid(net.members(tensors(predictor.tokens(valid.inputs), "cpu")))
    assert each.std(1).min() > 0
    np.testing.assert_allclose(predictor.predict(valid.inputs), each.mean(1).detach().numpy(), rtol=0, atol=1e-6)


def test_what_it_has_no_use_for_is_no_setting() -> None:
    for name in ("fused", "heads"):
        with pytest.raises(Exception, match=name):
            registry.method(f"tabm:{name}=8")
