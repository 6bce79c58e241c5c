"""The laws of methods.md 4.7. Each is a function of the module's code, so that it can be seen to fail under a mutation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import registry

D, WIDTH, ROWS, TASKS = 6, 4, 5, 3
mtan = registry.module("methods", "mtan")


def block(levels: int = 2, seed: int = 0) -> Any:
    """MTAN's sharing block in float64, dropout off, through METHOD."""
    method: Any = replace(registry.method(f"mtan:width={WIDTH}"), levels=levels)  # type: ignore[type-var]
    torch.manual_seed(seed)
    return method.sharing(D, TASKS).double().eval()


def patients(rows: int = ROWS) -> Tensor:
    return torch.randn(rows, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def law_1_the_equations() -> None:
    for levels in (1, 3):
        net = block(levels)
        out = net(patients())
        for t in range(TASKS):
            u, z = patients(), torch.zeros(ROWS, 0, dtype=torch.float64)
            for level in net.levels:
                u = functional.gelu(u @ level.shared.weight.T + level.shared.bias)
                asked = torch.relu(torch.cat([u, z], 1) @ level.ask.weight[t].T + level.ask.bias[t])
                a = 1 / (1 + torch.exp(-(asked @ level.mask.weight[t].T + level.mask.bias[t])))
                z = functional.gelu((a * u) @ level.onward.weight.T + level.onward.bias)
            same(out[:, t], z)


def law_2_masks_of_one_are_hard_sharing() -> None:
    net = block()
    for level in net.levels:
        nn.init.zeros_(level.mask.weight)
        nn.init.constant_(level.mask.bias, 50.0)  # sigmoid(50) is 1 in float64
    u = patients()
    for level in net.levels:
        u = functional.gelu(level.shared(u))
    shared = functional.gelu(net.levels[-1].onward(u))
    same(net(patients()), shared[:, None].expand(-1, TASKS, -1))


def law_3_masks_lie_between_nothing_and_everything() -> None:
    net = block()
    u, z = patients(), torch.zeros(ROWS, TASKS, 0, dtype=torch.float64)
    for level in net.levels:
        nn.init.normal_(level.mask.weight, std=3.0)
        below, (u, z) = z, level(u, z)
        a = level.attention(u, below)
        assert a.shape == (ROWS, TASKS, WIDTH)
        assert ((a > 0) & (a < 1)).all()
        assert a.std(0).min() > 0  # every mask differs from patient to patient


def law_4_only_the_masks_are_a_task_s_own() -> None:
    for t in range(TASKS):
        net = block()
        net(patients())[:, t].pow(2).sum().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            if "ask" in name:  # A and B of every level
                assert (parameter.grad != 0).flatten(1).any(1).tolist() == [u == t for u in range(TASKS)], name
            else:
                assert parameter.shape[0] == WIDTH
                assert (parameter.grad != 0).any(), name


class Softmax(mtan.Level):
    """Masks whose channels compete."""

    def attention(self, u: Tensor, z: Tensor) -> Tensor:
        return torch.softmax(torch.logit(super().attention(u, z)), dim=-1)


class Doubled(mtan.Level):
    """Masks between 0 and 2, as for a residual."""

    def attention(self, u: Tensor, z: Tensor) -> Tensor:
        return 2 * super().attention(u, z)


class Own(mtan.Level):
    """An M of every task's own, in that the next task's vector takes part."""

    def forward(self, u: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        u, new = super().forward(u, z)
        return u, new + 0.1 * new.roll(1, dims=1)


class OneMask(mtan.Level):
    """The first task's mask for all."""

    def attention(self, u: Tensor, z: Tensor) -> Tensor:
        return super().attention(u, z)[:, :1].expand(-1, TASKS, -1)


Law = Callable[[], None]
LAWS: list[Law] = [
    law_1_the_equations, law_2_masks_of_one_are_hard_sharing, law_3_masks_lie_between_nothing_and_everything,
    law_4_only_the_masks_are_a_task_s_own,
]  # fmt: skip
MUTATIONS: list[tuple[Law, Any]] = [
    (LAWS[0], Softmax), (LAWS[0], OneMask), (LAWS[1], Doubled), (LAWS[1], Softmax), (LAWS[2], Doubled),
    (LAWS[3], Own), (LAWS[3], OneMask),
]  # fmt: skip


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law) -> None:
    law()


@pytest.mark.parametrize(("law", "mutant"), MUTATIONS, ids=lambda x: x.__name__)
def test_law_fails_under_mutation(law: Law, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mtan, "Level", mutant)
    with pytest.raises(AssertionError):
        law()


def test_every_law_has_a_mutation() -> None:
    assert {law for law, _ in MUTATIONS} == set(LAWS)


def test_the_card_calls_it_an_adaptation() -> None:
    about = str(mtan.__doc__)
    assert "adapted to vectors" in about.splitlines()[0]
    assert "AN ADAPTATION, not the published network" in about


def test_one_row_alone() -> None:
    net = block()
    assert net(patients(1)).shape == (1, TASKS, WIDTH)
    same(net(patients())[:1], net(patients()[:1]))
