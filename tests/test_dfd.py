"""The laws of methods.md 2. Each is a function of the module's code, so that it can be seen to fail under a mutation."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import registry
from bench.prep import TableShape

ROWS, TASKS, COLUMNS = 12, 2, 3
SMALL = "dfd:base=hard_sharing+width=3:fused=4:heads=2:hidden=5:dropout=0"
dfd = registry.module("methods", "dfd")


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def table(rows: int = ROWS) -> Any:
    codes, present = torch.zeros(rows, 0, dtype=torch.long), torch.ones(rows, dtype=torch.bool)
    missing = torch.zeros(rows, COLUMNS, dtype=torch.float64)
    return {"table": {"numeric": normal(rows, COLUMNS), "missing": missing, "codes": codes, "present": present}}


def labels(rows: int = ROWS, tasks: int = TASKS) -> tuple[Tensor, Tensor]:
    """y and w: a quarter of the labels unknown, the others of different weight."""
    y = (normal(rows, tasks, seed=2) > 0).double()
    return y, torch.where(normal(rows, tasks, seed=3) > 0.7, 0.0, 1 + normal(rows, tasks, seed=4).abs())


def network(settings: str = "", y: Tensor | None = None, w: Tensor | None = None, warmup: float = 0) -> Any:
    """Both streams in float64, dropout off, swapping from the first step, through METHOD."""
    y, w = labels()[0] if y is None else y, labels()[1] if w is None else w
    torch.manual_seed(0)
    method: Any = registry.method(f"{SMALL}:warmup={warmup}{settings}")
    return method.build({"table": TableShape(COLUMNS, ())}, y, w).double()


def cross_entropies(z: Tensor, y: Tensor, w: Tensor) -> Tensor:
    """The mean over known labels, as `NeuralMethod.losses` takes it."""
    each = nn.functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    total = w.sum(0)
    return (each * w).sum(0) / torch.where(total > 0, total, 1.0)


def terms(net: Any, y: Tensor | None = None, w: Tensor | None = None, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """What one training step asks for: (T,) and the scalar."""
    which = torch.arange(ROWS) if rows is None else rows
    batch = {"table": {name: array[which] for name, array in table()["table"].items()}}
    y, w = labels()[0] if y is None else y, labels()[1] if w is None else w
    return net.objective(batch, y[which], w[which], which, cross_entropies)


def same(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def law_1_generalized_cross_entropy_by_its_true_formula() -> None:
    y, w = torch.ones(ROWS, TASKS), torch.ones(ROWS, TASKS)
    # (1 - p^.7) / .7: p = .1 -> (1 - .199526) / .7; p = .5 -> (1 - .615572) / .7; p = .9 -> (1 - .928902) / .7
    for p, value in ((0.1, 1.143534), (0.5, 0.549183), (0.9, 0.101569)):
        net = network(":mi=0:swap=0:q=0.7", y.double(), w.double())
        with torch.no_grad():
            net.other_heads.weight.zero_()
            net.other_heads.bias.fill_(math.log(p / (1 - p)))
        assert terms(net, y.double(), w.double())[1].item() == pytest.approx(value, abs=1e-6)
        assert terms(net, 1 - y.double(), w.double())[1].item() == pytest.approx((1 - (1 - p) ** 0.7) / 0.7, abs=1e-6)
    net, (y, w) = network(":mi=0:swap=0:q=1e-6"), labels()
    same(terms(net)[1], cross_entropies(net.both(*net.streams(table()))[1], y, w).mean(), 1e-5)
    z, one = torch.linspace(-4, 4, 61), torch.ones(61)  # CE - GCE = q CE^2 / 2 + ..: 8e-6 at CE = 4; in float32
    same(dfd.generalized(z, one, 1e-6), nn.functional.softplus(-z), 1e-5)


def law_2_its_gradient_is_p_to_the_q_times_that_of_cross_entropy() -> None:
    for q in (0.3, 0.7, 1.0):
        for y in (0.0, 1.0):
            z = normal(50, seed=5).mul(4).requires_grad_()
            target = torch.full_like(z, y)
            (general,) = torch.autograd.grad(dfd.generalized(z, target, q).sum(), z)
            (plain,) = torch.autograd.grad(nn.functional.binary_cross_entropy_with_logits(z, target, reduction="sum"), z)
            p = torch.sigmoid(z if y else -z).detach()
            same(general / plain, p**q, 1e-9)


def law_3_neither_loss_reaches_the_other_encoder() -> None:
    net = network(":mi=0:swap=1")
    each, extra = terms(net)
    assert net.seen > net.start  # swapped
    causal = [*net.encoder.parameters(), *net.sharing.parameters(), *net.heads.parameters()]
    biased = [*net.biased.parameters(), *net.other_heads.parameters()]
    for loss, own, other in ((each.sum(), causal, biased), (extra, biased, causal)):
        gradients = torch.autograd.grad(loss, own, retain_graph=True, allow_unused=True)
        assert any(g is not None and bool(g.abs().max() > 1e-4) for g in gradients)
        assert all(g is None for g in torch.autograd.grad(loss, other, retain_graph=True, allow_unused=True))


def law_4_relative_difficulty() -> None:
    # One task, memory .7, labels 1 1 1 0 0. Rows 0, 1, 3 first, then rows 1, 2.
    # biased: row 0: 2; row 1: .7 * 1 + .3 * 3 = 1.6; row 2: 4; row 3: .5    highest: events 4, others .5
    # causal: row 0: 1; row 1: .7 * 2 + .3 * 2 = 2;   row 2: 1; row 3: .2    highest: events 2, others .2
    # W: (2/4) / (2/4 + 1/2) = .5; (1.6/4) / (1.6/4 + 2/2) = 2/7; (4/4) / (4/4 + 1/2) = 2/3; 1 / (1 + 1) = .5; unseen .5
    y = torch.tensor([[1.0], [1], [1], [0], [0]], dtype=torch.float64)
    weigh = network("", y, torch.ones_like(y)).weigh
    for rows, biased, causal in (([0, 1, 3], [2, 1, 0.5], [1, 2, 0.2]), ([1, 2], [3, 4], [2, 1])):
        column = [torch.tensor(x, dtype=torch.float64)[:, None] for x in (biased, causal)]
        weigh.learn(torch.tensor(rows), torch.ones(len(rows), 1, dtype=torch.bool), *column)
    same(weigh(torch.arange(5))[:, 0], torch.tensor([1 / 2, 2 / 7, 2 / 3, 1 / 2, 1 / 2], dtype=torch.float64))
    same(weigh(torch.tensor([1])), torch.tensor([[2 / 7]], dtype=torch.float64))  # whoever else is in the batch


def law_5_difficulty_is_a_share_and_half_where_the_streams_agree() -> None:
    net = network()
    for seed in range(5):
        order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(seed))
        losses = normal(2, ROWS, TASKS, seed=seed) ** 2
        net.weigh.learn(order, normal(ROWS, TASKS, seed=seed + 9) < 1, *losses)
        weights = net.weigh(torch.arange(ROWS))
        assert torch.equal(weights, weights.clamp(0, 1))
        assert weights.std() > 0.1
    net, loss = network(), normal(ROWS, TASKS, seed=3) ** 2
    for _ in range(3):
        net.weigh.learn(torch.arange(ROWS), torch.ones(ROWS, TASKS, dtype=torch.bool), loss, loss)
    assert torch.equal(net.weigh(torch.arange(ROWS)), torch.full((ROWS, TASKS), 0.5, dtype=torch.float64))


def law_6_the_bound_is_zero_for_independent_gaussians_and_rises_with_correlation() -> None:
    # A Gaussian r with the true mean rho c and variance 1 - rho^2: E (b - rho c)^2 = 1 - rho^2, E (b' - rho c)^2 = 1 + rho^2,
    # so that vCLUB = ((1 + rho^2) - (1 - rho^2)) / (2 (1 - rho^2)) = rho^2 / (1 - rho^2): 0, 1/3, 16/9 a dimension
    values: list[float] = []
    for rho in (0.0, 0.5, 0.8):
        values.append(gaussian_bound(rho))
        assert values[-1] == pytest.approx(rho**2 / (1 - rho**2), rel=0.15, abs=0.03)
        assert values[-1] >= -0.5 * math.log(1 - rho**2) - 0.03  # the true information
    assert values == sorted(values)


def gaussian_bound(rho: float) -> float:
    """L_mi on fresh draws, after r was fitted to 3,000 pairs of two correlated normal dimensions."""
    torch.manual_seed(0)
    y = torch.ones(4, 1)
    method: Any = registry.method("dfd:base=hard_sharing+width=2:fused=2:heads=1")
    information = method.build({"table": TableShape(COLUMNS, ())}, y, y).information
    c, noise = normal(2, 3000, 2).float(), normal(2, 3000, 2, seed=2).float()
    b = rho * c + math.sqrt(1 - rho**2) * noise
    optimizer = torch.optim.Adam(information.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        information.misfit(c[0], b[0]).backward()
        optimizer.step()
    return information.bound(c[1], b[1]).item()


def law_7_the_bound_moves_the_streams_alone_and_the_fit_its_gaussian_alone() -> None:
    net = network()
    c, b = (x.requires_grad_() for x in (normal(ROWS, TASKS * 3), normal(ROWS, 4, seed=2)))
    own = list(net.information.parameters())
    for loss, moved, still in ((net.information.bound(c, b), [c, b], own), (net.information.misfit(c, b), own, [c, b])):
        assert all(bool(g.abs().max() > 0) for g in torch.autograd.grad(loss, moved, retain_graph=True))
        assert all(g is None for g in torch.autograd.grad(loss, still, allow_unused=True))


def law_8_a_swap_with_oneself_is_the_loss_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dfd, "elsewhere", torch.arange)
    once, twice = terms(network(":mi=0:swap=0")), terms(network(":mi=0:swap=1"))
    for a, b in zip(once, twice, strict=True):
        same(2 * a, b)


def law_9_the_whole_objective_by_plain_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    order = [3, 0, 1, 5, 2, 4]
    monkeypatch.setattr(dfd, "elsewhere", lambda n: torch.tensor(order))
    net, (y, w) = network(":mi=0:swap=0.5:q=0.6"), labels()
    rows = [1, 4, 6, 7, 10, 11]
    each, extra = terms(net, rows=torch.tensor(rows))
    with torch.no_grad():
        c, b = (z[rows].tolist() for z in net.streams(table()))
    heads = {h: (m.weight.tolist(), m.bias.tolist()) for h, m in (("causal", net.heads), ("biased", net.other_heads))}

    def ce(head: str, i: int, j: int, t: int, label: float) -> float:
        """Row i's causal vector with the biased one of row j."""
        weight, bias = heads[head]
        z = bias[t] + sum(a * x for a, x in zip(weight[t], c[i][t] + b[j], strict=True))
        return math.log(1 + math.exp(-z if label else z))

    expected, others = [], []
    for t in range(TASKS):
        known = [i for i, row in enumerate(rows) if w[row, t] > 0]
        label, weight = [float(y[row, t]) for row in rows], [float(w[row, t]) for row in rows]
        highest = {
            (head, one): max((ce(head, i, i, t, one) for i in known if label[i] == one), default=1.0)
            for head in heads for one in (0.0, 1.0)
        }  # fmt: skip
        causal = biased = 0.0
        for i in known:
            share = [ce(head, i, i, t, label[i]) / highest[head, label[i]] for head in ("biased", "causal")]
            difficulty = share[0] / sum(share)
            causal += weight[i] * difficulty * (ce("causal", i, i, t, label[i]) + 0.5 * ce("causal", i, order[i], t, label[i]))
            biased += weight[i] * (1 - math.exp(-0.6 * ce("biased", i, i, t, label[i]))) / 0.6
        swapped = [(i, j) for i, j in enumerate(order) if j in known]  # the label and its weight come with the biased vector
        follow = sum(weight[j] * (1 - math.exp(-0.6 * ce("biased", i, j, t, label[j]))) / 0.6 for i, j in swapped)
        total = sum(weight[i] for i in known)
        expected.append(causal / total)
        others.append((biased + 0.5 * follow) / total)
    same(each, torch.tensor(expected, dtype=torch.float64), 1e-9)
    same(extra, torch.tensor(sum(others) / TASKS, dtype=torch.float64), 1e-9)


def disent(z: Tensor, y: Tensor, q: float) -> Tensor:
    """What the code of DisEnt calls GCE."""
    ce = nn.functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    return ce * torch.exp(-q * ce.detach()) * q


class Leaky(dfd.TwoStreams):
    """Nothing is stopped."""

    def both(self, c: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return self.heads(dfd.joined(c, b)), self.other_heads(dfd.joined(c, b))


class OverAll(dfd.Difficulty):
    """Normalised over both classes."""

    def forward(self, rows: Tensor) -> Tensor:
        b, c = self.means[:, rows] / self.means.amax(1, keepdim=True).clamp(min=1e-30)
        return torch.where(b + c > 0, b / (b + c).clamp(min=1e-30), 0.5)


class Turned(dfd.Difficulty):
    """What is hard for the causal stream weighs more, unnormalised."""

    def forward(self, rows: Tensor) -> Tensor:
        return self.means[1, rows] / self.means[0, rows].clamp(min=1e-3)


class OneSided(dfd.Information):
    """Without the second expectation, and r learns from all of it."""

    def bound(self, c: Tensor, b: Tensor) -> Tensor:
        mean, spread = self(c)
        return -((b - mean).square() * torch.exp(-spread)).mean() / 2


class LabelStays:
    """The swapped biased loss keeps the labels of the first one."""

    __name__ = "LabelStays"  # of the test, the same in every process

    def __init__(self) -> None:
        self.y: list[Tensor] = []

    def __call__(self, z: Tensor, y: Tensor, q: float) -> Tensor:
        self.y.append(y)
        return -torch.expm1(-q * nn.functional.binary_cross_entropy_with_logits(z, self.y[0], reduction="none")) / q


Law = Callable[..., None]
LAWS: list[Law] = [
    law_1_generalized_cross_entropy_by_its_true_formula, law_2_its_gradient_is_p_to_the_q_times_that_of_cross_entropy,
    law_3_neither_loss_reaches_the_other_encoder, law_4_relative_difficulty,
    law_5_difficulty_is_a_share_and_half_where_the_streams_agree,
    law_6_the_bound_is_zero_for_independent_gaussians_and_rises_with_correlation,
    law_7_the_bound_moves_the_streams_alone_and_the_fit_its_gaussian_alone, law_8_a_swap_with_oneself_is_the_loss_again,
    law_9_the_whole_objective_by_plain_loops,
]  # fmt: skip
MUTATIONS: list[tuple[Law, str, Any]] = [
    (LAWS[0], "generalized", disent),
    (LAWS[1], "generalized", disent),
    (LAWS[2], "TwoStreams", Leaky),
    (LAWS[3], "Difficulty", OverAll),
    (LAWS[4], "Difficulty", Turned),
    (LAWS[5], "Information", OneSided),
    (LAWS[6], "Information", OneSided),
    (LAWS[7], "weighted", lambda losses, weights, z, y, w: losses(z, y, w * torch.rand_like(w))),
    (LAWS[8], "generalized", LabelStays()),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law, monkeypatch: pytest.MonkeyPatch) -> None:
    law(monkeypatch) if law.__code__.co_argcount else law()


@pytest.mark.parametrize(("law", "name", "mutant"), MUTATIONS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_law_fails_under_mutation(law: Law, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dfd, name, mutant)
    with pytest.raises(AssertionError):
        law(monkeypatch) if law.__code__.co_argcount else law()


def test_every_law_has_a_mutation() -> None:
    assert {law for law, _, _ in MUTATIONS} == set(LAWS)


def test_features_are_swapped_after_the_warm_up_only() -> None:
    # 12 rows, all but one with a known label; warmup=1.5: from the 17th row seen on. Batches of 6 rows: the third.
    y, w = labels()
    w[0] = 0
    w[1:, 0] = 1
    swapped, plain = (network(f":mi=0:swap={s}", y, w, warmup=1.5) for s in (1, 0))
    same_so_far = [torch.equal(*(terms(net, y, w, torch.arange(6))[0] for net in (swapped, plain))) for _ in range(3)]
    assert same_so_far == [True, True, False]


def test_unknown_labels_take_no_part_and_weights_do() -> None:
    y, w = labels()
    other = torch.where(w > 0, y, 1 - y)
    results: list[tuple[Tensor, ...]] = []
    for target in (y, other):  # an unknown label may be of either kind
        net = network(":mi=0", target, w)
        torch.manual_seed(3)
        results.append((*terms(net, target, w), *terms(net, target, w)))
        assert (net.weigh.means[:, w == 0] == 0).all()
    for a, b in zip(*results, strict=True):
        same(a, b)
    same(terms(network(":mi=0:swap=0"))[0], terms(network(":mi=0:swap=0"), y, w * 7)[0])
    heavier = torch.where(y > 0, 3 * w, w)
    assert (terms(network(":mi=0:swap=0"))[0] - terms(network(":mi=0:swap=0"), y, heavier)[0]).abs().min() > 1e-3


def test_the_weights_are_constants_to_the_gradient() -> None:
    net, (y, w) = network(":mi=0:swap=0"), labels()
    each, _ = terms(net)
    weights, logits = net.weigh(torch.arange(ROWS)), net.both(*net.streams(table()))[0]
    expected = ((torch.sigmoid(logits) - y) * weights * w).sum(0) / w.sum(0)  # dL/dbias = sum w W (p - y) / sum w
    same(torch.autograd.grad(each.sum(), net.heads.bias)[0], expected, 1e-9)
    assert not weights.requires_grad


def test_the_added_terms_and_a_second_look() -> None:
    net, plain = network(":mi=3:swap=0"), network(":mi=0:swap=0")
    plain.load_state_dict(net.state_dict(), strict=False)
    (_, extra), (_, less) = terms(net), terms(plain)
    c, b = net.streams(table())
    same(extra - less, net.information.misfit(c.flatten(1), b) + 3 * net.information.bound(c.flatten(1), b))
    means, seen = net.weigh.means.clone(), net.seen
    with torch.no_grad():  # FAMO asks again after its step
        terms(net)
    assert torch.equal(net.weigh.means, means)
    assert net.seen == seen
    y, w = labels()
    orth: list[Any] = [registry.method(f"dfd:base=orthtd+weight={x}:mi=0:swap=0:dropout=0") for x in (5, 0)]
    with_penalty, free = (method.build({"table": TableShape(COLUMNS, ())}, y, w).double() for method in orth)
    free.load_state_dict(with_penalty.state_dict())
    (_, extra), (_, less) = terms(with_penalty), terms(free)
    same(extra - less, 5 * with_penalty.penalty)
