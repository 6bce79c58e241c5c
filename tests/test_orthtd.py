"""The nine laws of methods.md 1.7 and its controls, each a function of the module's code: it is seen to fail under a mutation."""

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import registry, train
from bench.core import Unsupported
from bench.nets.encoders import Encoder
from bench.nets.fusion import Fusion
from bench.prep import TableShape, TextShape

D, ROWS, TASKS, K = 12, 40, 3, 8
orthtd = registry.module("methods", "orthtd")


def block(tasks: int = TASKS, seed: int = 0, **settings: Any) -> Any:
    """OrthTD's sharing block in float64, dropout off, through METHOD."""
    method: Any = replace(registry.method("orthtd:width=8"), **settings)  # type: ignore[type-var]
    torch.manual_seed(seed)
    return method.sharing(D, tasks).double().eval()


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def same(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def measure(s: Tensor, p: Tensor, variant: str = "a") -> float:
    """L_orth of given vectors, as the block of that variant takes it. s: (B, k), p: (B, T, k)."""
    return float(block(variant=variant)._penalty(s, p))


def trained(weight: float, penalty: bool = True, steps: int = 40) -> tuple[Any, Any, float]:
    """A network and block after some steps of the suite's own trainer on a fixed batch, and the cross-entropy then."""
    method: Any = replace(registry.method("orthtd:width=8:dropout=0:average=0:lr=0.01:fused=12:heads=2"), weight=weight)  # type: ignore[type-var]
    shapes, x = {"table": TableShape(5, ())}, normal(ROWS, 5).float()
    y = (x[:, :TASKS] + normal(ROWS, TASKS, seed=2).float() > 0.5).float()
    batch = {"table": {"numeric": x, "missing": torch.zeros(ROWS, 5), "codes": torch.zeros(ROWS, 0, dtype=torch.long), "present": torch.ones(ROWS, dtype=torch.bool)}}  # fmt: skip
    torch.manual_seed(0)
    network = method.build(shapes, y, torch.ones_like(y))
    if not penalty:
        network.sharing.__class__ = type("WithoutPenalty", (type(network.sharing),), {"forward": _forward_without_penalty})
        del network.sharing.penalty
    trainer = train._Trainer(method, network, TASKS)
    for _ in range(steps):
        trainer.step(batch, y, torch.ones_like(y), torch.arange(ROWS))
    network.eval()
    with torch.no_grad():
        return network, trainer, float(method.losses(network(batch), y, torch.ones_like(y)).mean())


def _forward_without_penalty(self: Any, h: Tensor) -> Tensor:
    s, p = self.parts(h)
    return self.dropout(torch.cat([s[:, None].expand_as(p), p], dim=-1))


def law_1_weight_zero_is_the_network_without_the_term() -> None:
    (one, a, loss), (other, b, same_loss) = trained(0.0), trained(0.0, penalty=False)
    assert loss == same_loss
    assert torch.equal(a.flat.values, b.flat.values)
    assert torch.equal(a.adamw.moments[0], b.adamw.moments[0])  # what the gradients came to
    assert one.penalty is not None
    assert other.penalty is None


def law_2_zero_when_orthogonal_one_when_parallel_blind_to_length() -> None:
    s, p = normal(ROWS, K), normal(ROWS, TASKS, K, seed=2)
    left, right = torch.arange(K) < 3, torch.arange(K) >= 3
    assert measure(s * left, p * right) == 0
    assert measure(s, s[:, None] * torch.tensor([-2.0, 0.5, 3.0])[:, None]) == pytest.approx(1, abs=1e-12)
    length = normal(ROWS, 1, seed=3) * 10
    assert measure(s * length, p) == pytest.approx(measure(s, p), rel=1e-9)
    assert measure(s, p * -length[:, None]) == pytest.approx(measure(s, p), rel=1e-9)


def law_3_a_common_rotation_changes_nothing() -> None:
    s, p = normal(ROWS, K), normal(ROWS, TASKS, K, seed=2)
    turn, other = torch.linalg.qr(normal(K, K, seed=3)).Q, torch.linalg.qr(normal(K, K, seed=4)).Q
    assert measure(s @ turn, p @ turn) == pytest.approx(measure(s, p), rel=1e-9)
    assert abs(measure(s @ turn, p @ other) / measure(s, p) - 1) > 0.01


def law_4_zero_vectors_are_harmless() -> None:
    for kind in (torch.float32, torch.float64):
        s, p = torch.zeros(ROWS, K, dtype=kind, requires_grad=True), normal(ROWS, TASKS, K).to(kind).requires_grad_()
        for variant in ("a", "b", "d"):
            penalty = block(variant=variant)._penalty(s, p)
            gradients = torch.autograd.grad(penalty, [s, p])
            assert torch.isfinite(penalty)
            assert all(torch.isfinite(g).all() for g in gradients)
    s, p = normal(3, K).requires_grad_(), normal(3, TASKS, K, seed=2).requires_grad_()
    for variant in ("a", "b", "d"):
        assert torch.autograd.gradcheck(block(variant=variant)._penalty, (s, p))


def law_5_random_vectors_measure_one_over_k() -> None:
    for k in (16, 64, 128):  # E cos^2 = 1/k; variance of cos^2 = 2 (k - 1) / (k^2 (k + 2)), so 3 x 20,000 draws give it to < 1 %
        assert measure(normal(20_000, k), normal(20_000, TASKS, k, seed=2)) == pytest.approx(1 / k, rel=0.02)


def law_6_more_weight_less_penalty_at_a_price() -> None:
    runs = [trained(weight) for weight in (0.0, 0.1, 1.0, 10.0)]
    penalties = [float(network.penalty) for network, _, _ in runs]
    losses = [loss for _, _, loss in runs]
    assert all(a > b for a, b in itertools.pairwise(penalties))
    assert penalties[-1] < 0.1 * penalties[0]
    assert losses[-1] > losses[0]


def law_7_token_order_is_free_and_a_masked_modality_has_no_influence() -> None:
    shapes = {"table": TableShape(5, (3,)), "text": TextShape(4)}
    method: Any = registry.method("orthtd:width=8:fused=12:heads=2")
    torch.manual_seed(0)
    net = method.build(shapes, torch.ones(2, TASKS), torch.ones(2, TASKS)).double().eval()
    batch = {
        "table": {"numeric": normal(ROWS, 5), "missing": torch.zeros(ROWS, 5), "codes": torch.ones(ROWS, 1, dtype=torch.long), "present": torch.ones(ROWS, dtype=torch.bool)},
        "text": {"vector": normal(ROWS, 4, seed=2), "present": torch.arange(ROWS) % 2 == 0},
    }  # fmt: skip
    turned = copy.deepcopy(net)
    encoder: Encoder = turned.encoder
    encoder.keys = ("text", "table")
    encoder.encoders = nn.ModuleList(reversed(list(encoder.encoders)))
    encoder.kinds.data = encoder.kinds.data.flip(0)
    same(net(batch), turned(batch))
    noise = {**batch, "text": {**batch["text"], "vector": 100 * normal(ROWS, 4, seed=3)}}
    absent = ~batch["text"]["present"]
    assert torch.equal(net(noise)[absent], net(batch)[absent])
    assert not torch.isclose(net(noise), net(batch))[~absent].any()


def law_8_a_task_moves_its_own_projection_and_the_shared_one() -> None:
    for u in range(TASKS):
        net = block()
        out = net(normal(ROWS, D))
        (task,) = torch.autograd.grad(out[:, u].pow(2).sum(), net.project.weight, retain_graph=True)
        own = orthtd.shared_task(*_one(net, normal(ROWS, D), u))
        (penalty,) = torch.autograd.grad(own, net.project.weight)
        for gradient in (task, penalty):
            moved = (gradient.unflatten(0, (TASKS + 1, K)) != 0).flatten(1).any(1)
            assert moved.tolist() == [True, *(t == u for t in range(TASKS))]
        (everything,) = torch.autograd.grad(net._penalty(*net.parts(normal(ROWS, D))), net.project.weight)
        pairs = [
            torch.autograd.grad(orthtd.shared_task(*_one(net, normal(ROWS, D), t)), net.project.weight)[0] for t in range(TASKS)
        ]
        same(everything, torch.stack(pairs).mean(0))


def _one(net: Any, h: Tensor, t: int) -> tuple[Tensor, Tensor]:
    s, p = net.parts(h)
    return s, p[:, [t]]


def law_9_each_task_sees_the_block_built_for_it_alone() -> None:
    net = block()
    for t in range(TASKS):
        alone = block(tasks=1)
        with torch.no_grad():
            for mine, theirs in zip(alone.parameters(), net.parameters(), strict=True):
                groups = theirs if theirs.shape[0] == TASKS + 1 else theirs.unflatten(0, (TASKS + 1, K))
                mine.copy_(groups[[0, t + 1]].reshape(mine.shape))
        same(net(normal(ROWS, D))[:, [t]], alone(normal(ROWS, D)))


def control_1_the_shared_part_alone_is_one_vector_for_all_tasks() -> None:
    net, both = block(parts="shared"), block()
    with torch.no_grad():
        net.project.weight.copy_(both.project.weight[:K])
        net.project.bias.copy_(both.project.bias[:K])
    same(net(normal(ROWS, D)), both.parts(normal(ROWS, D))[0][:, None].expand(-1, TASKS, -1))
    assert sum(p.numel() for p in net.parameters()) == K * D + 3 * K
    assert not hasattr(net, "penalty")


def control_2_the_specific_parts_alone_touch_nobody_else_s() -> None:
    net, both = block(parts="specific"), block()
    with torch.no_grad():
        net.project.weight.copy_(both.project.weight[K:])
        net.project.bias.copy_(both.project.bias[K:])
    same(net(normal(ROWS, D)), both.parts(normal(ROWS, D))[1])
    for t in range(TASKS):
        (gradient,) = torch.autograd.grad(net(normal(ROWS, D))[:, t].pow(2).sum(), net.project.weight)
        assert (gradient.unflatten(0, (TASKS, K)) != 0).flatten(1).any(1).tolist() == [u == t for u in range(TASKS)]
    assert not hasattr(net, "penalty")


def plain_product(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1) ** 2


def absolute_cosine(a: Tensor, b: Tensor) -> Tensor:
    return nn.functional.cosine_similarity(a, b, dim=-1, eps=1e-12).abs()


def bare_cosine(a: Tensor, b: Tensor) -> Tensor:
    return ((a / a.norm(dim=-1, keepdim=True)) * (b / b.norm(dim=-1, keepdim=True))).sum(-1) ** 2


def overlap_of_entries(a: Tensor, b: Tensor) -> Tensor:
    """Scale-free, zero on disjoint entries, one on parallel vectors, but tied to the axes."""
    return ((a.abs() * b.abs()).sum(-1) ** 2) / ((a * a).sum(-1) * (b * b).sum(-1))


def wrong_pair(s: Tensor, p: Tensor) -> Tensor:
    """Each task against the next, where shared against task is meant."""
    return orthtd.cosine2(p, p.roll(1, dims=1)).mean()


def detached(s: Tensor, p: Tensor) -> Tensor:
    return orthtd.cosine2(s.detach()[:, None], p.detach()).mean()


class OneNorm(orthtd.OrthogonalParts):
    """LayerNorm over all parts together."""

    def parts(self, h: Tensor) -> tuple[Tensor, Tensor]:
        flat = self.project(h).unflatten(-1, self.scale.shape)
        z = nn.functional.gelu(nn.functional.layer_norm(flat, flat.shape[-2:]) * self.scale + self.shift)
        return z[:, 0], z[:, 1:]


class Neighbours(orthtd.OrthogonalParts):
    """Every head also reads the mean of all tasks' vectors."""

    def forward(self, h: Tensor) -> Tensor:
        return super().forward(h) + self.parts(h)[1].mean(1, keepdim=True).repeat(1, 1, 2)


class NextPart(orthtd.OnePart):
    """A part alone, and the next task's on top."""

    def forward(self, h: Tensor) -> Tensor:
        return super().forward(h) + super().forward(h).roll(1, dims=1)


class StubbornWeight(orthtd.OrthogonalParts):
    """A weight that cannot be switched off."""

    def __init__(self, *rest: Any, **more: Any) -> None:
        super().__init__(*rest, **more)
        self.weight = max(self.weight, 1e-3)


Law = Callable[[], None]
LAWS: list[Law] = [
    law_1_weight_zero_is_the_network_without_the_term, law_2_zero_when_orthogonal_one_when_parallel_blind_to_length,
    law_3_a_common_rotation_changes_nothing, law_4_zero_vectors_are_harmless, law_5_random_vectors_measure_one_over_k,
    law_6_more_weight_less_penalty_at_a_price, law_7_token_order_is_free_and_a_masked_modality_has_no_influence,
    law_8_a_task_moves_its_own_projection_and_the_shared_one, law_9_each_task_sees_the_block_built_for_it_alone,
    control_1_the_shared_part_alone_is_one_vector_for_all_tasks, control_2_the_specific_parts_alone_touch_nobody_else_s,
]  # fmt: skip
MUTATIONS: list[tuple[Law, str, Any]] = [
    (LAWS[0], "OrthogonalParts", StubbornWeight),
    (LAWS[1], "cosine2", plain_product),
    (LAWS[1], "shared_task", wrong_pair),
    (LAWS[2], "cosine2", overlap_of_entries),
    (LAWS[3], "cosine2", bare_cosine),
    (LAWS[4], "cosine2", absolute_cosine),
    (LAWS[5], "shared_task", detached),
    (LAWS[7], "shared_task", wrong_pair),
    (LAWS[7], "OrthogonalParts", Neighbours),
    (LAWS[8], "OrthogonalParts", OneNorm),
    (LAWS[9], "OnePart", NextPart),
    (LAWS[10], "OnePart", NextPart),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law) -> None:
    law()


@pytest.mark.parametrize(("law", "name", "mutant"), MUTATIONS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_law_fails_under_mutation(law: Law, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orthtd, name, mutant)
    with pytest.raises(AssertionError):
        law()


def test_law_7_fails_when_the_mask_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Fusion.forward
    monkeypatch.setattr(Fusion, "forward", lambda self, tokens, mask: kept(self, tokens, torch.ones_like(mask)))
    with pytest.raises(AssertionError):
        LAWS[6]()


def test_law_7_fails_when_places_are_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Fusion.forward
    place = normal(2, D, seed=9)
    monkeypatch.setattr(Fusion, "forward", lambda self, tokens, mask: kept(self, tokens + place, mask))
    with pytest.raises(AssertionError):
        LAWS[6]()


def test_every_law_has_a_mutation() -> None:
    assert {law for law, _, _ in MUTATIONS} | {LAWS[6]} == set(LAWS)


def test_variant_b_is_the_formula() -> None:
    s, p = normal(ROWS, K), normal(ROWS, TASKS, K, seed=2)

    def rows(x: Tensor) -> Tensor:
        centred = x - x.mean(0)
        return centred / centred.norm(dim=1, keepdim=True)

    expected = sum(torch.linalg.matrix_norm(rows(s).T @ rows(p[:, t])) ** 2 for t in range(TASKS)) / TASKS / ROWS**2
    assert measure(s, p, "b") == pytest.approx(float(expected), rel=1e-9)


def test_variant_c_is_the_formula() -> None:
    net = block(variant="c")
    w = net.project.weight.detach()
    expected = sum(torch.linalg.matrix_norm(w[:K] @ w[K * t : K * t + K].T) ** 2 for t in range(1, TASKS + 1)) / TASKS
    net(normal(ROWS, D))
    assert float(net.penalty.detach()) == pytest.approx(float(expected), rel=1e-9)


def test_variant_d_adds_the_pairs_of_tasks() -> None:
    s = normal(ROWS, K)
    p = normal(ROWS, 1, K, seed=2).expand(-1, TASKS, -1)  # the tasks' vectors are equal: each pair adds cos^2 = 1
    assert measure(s, p, "d") == pytest.approx(measure(s, p, "a") + 1, rel=1e-9)
    assert measure(s, p[:, :1], "d") == pytest.approx(measure(s, p[:, :1], "a"), rel=1e-12)


def test_variant_e_is_exactly_orthogonal_and_not_penalised() -> None:
    net = block(variant="e")
    assert net.width == 2 * (D // (TASKS + 1))
    assert net.weight == 0
    w = net._weights()
    same(w @ w.T, torch.eye(len(w), dtype=torch.float64))
    with pytest.raises(Unsupported, match="fused > tasks"):
        block(tasks=D, variant="e")


@pytest.mark.parametrize("variant", "abcde")
def test_one_row_and_one_task_work(variant: str) -> None:
    net = block(tasks=1, variant=variant)
    assert net(normal(1, D)).shape == (1, 1, net.width)
    assert torch.isfinite(net.penalty)
