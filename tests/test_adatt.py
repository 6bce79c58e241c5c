"""The laws of methods.md 4.6, AdaTT. Each is a function of the module's code: it can be seen to fail under a mutation."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import registry

D, WIDTH, ROWS, TASKS = 6, 4, 5, 3
adatt = registry.module("methods", "adatt")


def block(own: int = 2, levels: int = 1, residual: bool = True, seed: int = 0) -> Any:
    """AdaTT's sharing block in float64, dropout off, through METHOD."""
    chosen: Any = registry.method(f"adatt:width={WIDTH}")
    method = replace(chosen, task_experts=own, levels=levels, residual=residual)
    torch.manual_seed(seed)
    return method.sharing(D, TASKS).double().eval()


def patients(rows: int = ROWS) -> Tensor:
    return torch.randn(rows, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def expert(net: Any, e: int) -> Tensor:
    maps = net.levels[0].experts.maps
    return nn.functional.gelu(patients() @ maps.weight[e].T + maps.bias[e])


def own_combination(net: Any, own: int, t: int) -> Tensor:
    """sum_i v_ti E_ti(h), v = 1 for a single expert."""
    native = net.levels[0].native
    total = torch.zeros(ROWS, WIDTH, dtype=torch.float64)
    for e in range(own * t, own * t + own):
        total = total + (1 if own == 1 else native[e]) * expert(net, e)
    return total


def law_1_even_gates_give_the_mean_and_the_own_combination() -> None:
    for own in (1, 2, 3):
        net = block(own=own)
        for parameter in net.levels[0].gates.parameters():
            nn.init.zeros_(parameter)
        mean = torch.stack([expert(net, e) for e in range(own * TASKS)]).mean(0)
        for t in range(TASKS):
            same(net(patients())[:, t], mean + own_combination(net, own, t))


def law_2_the_residual_adds_exactly_the_own_combination() -> None:
    for own in (1, 2, 3):
        net, bare = block(own=own), block(own=own, residual=False)
        bare.load_state_dict({k: v for k, v in net.state_dict().items() if "native" not in k})
        difference = net(patients()) - bare(patients())
        for t in range(TASKS):
            same(difference[:, t], own_combination(net, own, t))


def law_3_residual_weights_start_within_one_over_root_m() -> None:
    for own in (2, 8, 32):
        native = block(own=own, levels=3).levels[2].native
        assert native.abs().max() <= 1 / math.sqrt(own)
        assert native.abs().max() > 0.5 / math.sqrt(own)
        assert native.min() < 0 < native.max()
    assert "native" not in "".join(dict(block(own=1).named_parameters()))


def law_4_every_expert_learns_from_every_task() -> None:
    for levels in (1, 3):
        for t in range(TASKS):
            net = block(levels=levels)
            net(patients())[:, t].pow(2).sum().backward()
            for level in net.levels:
                assert (level.experts.maps.weight.grad != 0).flatten(1).any(1).all()


def law_5_gates_sum_to_one_over_all_experts() -> None:
    net = block(levels=2)
    net(patients())
    for level in net.levels:
        assert level.gates.weights.shape == (ROWS, TASKS, 2 * TASKS)
        assert (level.gates.weights > 0).all()
        same(level.gates.weights.sum(-1), torch.ones(ROWS, TASKS, dtype=torch.float64))


class MeanOfOwn(adatt.Level):
    """The plain mean of a task's experts as the residual."""

    def forward(self, states: Tensor) -> Tensor:
        own = self.mine / self.mine.sum(1, keepdim=True)
        return (self.gates(states) + self.residual * own) @ self.experts(states)


class Gated(adatt.Level):
    """A residual that the gate weighs as well."""

    def forward(self, states: Tensor) -> Tensor:
        gates = self.gates(states)
        own = self.mine if self.native is None else self.mine * self.native
        return gates * (1 + self.residual * own) @ self.experts(states)


class UnitStart(adatt.Level):
    """A residual that starts with weights of 1."""

    def __init__(self, *rest: Any, **more: Any) -> None:
        super().__init__(*rest, **more)
        if self.native is not None:
            nn.init.ones_(self.native)


class OwnOnly(adatt.Level):
    """A fusion over a task's own experts."""

    def forward(self, states: Tensor) -> Tensor:
        own = self.mine if self.native is None else self.mine * self.native
        return (self.gates(states) * self.mine + own) @ self.experts(states)


class Scaled(adatt.Gates):
    """Gates that sum to the number of tasks."""

    def forward(self, h: Tensor) -> Tensor:
        gates = super().forward(h) * TASKS
        self.weights = gates.detach()
        return gates


Law = Callable[[], None]
LAWS: list[Law] = [
    law_1_even_gates_give_the_mean_and_the_own_combination, law_2_the_residual_adds_exactly_the_own_combination,
    law_3_residual_weights_start_within_one_over_root_m, law_4_every_expert_learns_from_every_task,
    law_5_gates_sum_to_one_over_all_experts,
]  # fmt: skip
MUTATIONS: list[tuple[Law, str, Any]] = [
    (LAWS[0], "Level", MeanOfOwn),
    (LAWS[0], "Level", OwnOnly),
    (LAWS[0], "Gates", Scaled),
    (LAWS[1], "Level", MeanOfOwn),
    (LAWS[1], "Level", Gated),
    (LAWS[2], "Level", UnitStart),
    (LAWS[3], "Level", OwnOnly),
    (LAWS[4], "Gates", Scaled),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law) -> None:
    law()


@pytest.mark.parametrize(("law", "name", "mutant"), MUTATIONS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_law_fails_under_mutation(law: Law, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adatt, name, mutant)
    with pytest.raises(AssertionError):
        law()


def test_every_law_has_a_mutation() -> None:
    assert {law for law, _, _ in MUTATIONS} == set(LAWS)


def test_one_row_alone() -> None:
    net = block(levels=2)
    assert net(patients(1)).shape == (1, TASKS, WIDTH)
    same(net(patients())[:1], net(patients()[:1]))
