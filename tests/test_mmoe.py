"""The laws of methods.md 4.4. Each is a function of the module's code, so that it can be seen to fail under a mutation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import registry

D, ROWS, TASKS = 6, 5, 3
mmoe = registry.module("methods", "mmoe")


def block(experts: int = 4, seed: int = 0) -> Any:
    """MMoE's sharing block in float64, dropout off, through METHOD."""
    method: Any = replace(registry.method("mmoe:width=8"), experts=experts)  # type: ignore[type-var]
    torch.manual_seed(seed)
    return method.sharing(D, TASKS).double().eval()


def patients(rows: int = ROWS) -> Tensor:
    return torch.randn(rows, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def expert(net: Any, k: int) -> Tensor:
    return nn.functional.gelu(patients() @ net.experts.maps.weight[k].T + net.experts.maps.bias[k])


def law_1_the_equations_with_gates_that_sum_to_one() -> None:
    net = block()
    out = net(patients())
    same(net.gates.weights.sum(-1), torch.ones(ROWS, TASKS, dtype=torch.float64))
    assert (net.gates.weights > 0).all()
    for t in range(TASKS):
        rows = slice(4 * t, 4 * t + 4)
        gate = torch.softmax(patients() @ net.gates.weight[rows].T + net.gates.bias[rows], dim=-1)
        same(out[:, t], sum((gate[:, [k]] * expert(net, k) for k in range(4)), torch.zeros(ROWS, 8, dtype=torch.float64)))


def law_2_one_expert_is_the_shared_bottom() -> None:
    net = block(experts=1)
    for t in range(TASKS):
        same(net(patients())[:, t], expert(net, 0))
    hard: Any = registry.method("hard_sharing:width=8").sharing(D, TASKS).double().eval()  # type: ignore[attr-defined]
    hard.expert.load_state_dict(net.experts.state_dict())
    same(net(patients()), hard(patients()))


def law_3_equal_gates_are_one_gate() -> None:
    net = block()
    with torch.no_grad():
        for parameter in (net.gates.weight, net.gates.bias):
            parameter.copy_(torch.cat([parameter[:4]] * TASKS))
    out = net(patients())
    for t in range(1, TASKS):
        assert torch.equal(out[:, t], out[:, 0])


def law_4_the_order_of_experts_is_of_no_consequence() -> None:
    net, turned, order = block(), block(), torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        for parameter in (turned.experts.maps.weight, turned.experts.maps.bias):
            parameter.copy_(parameter[order])
        for parameter in (turned.gates.weight, turned.gates.bias):
            parameter.copy_(parameter.unflatten(0, (TASKS, 4))[:, order].flatten(0, 1))
    same(net(patients()), turned(patients()))


def law_5_every_expert_learns_from_every_task() -> None:
    for t in range(TASKS):
        net = block()
        net(patients())[:, t].sum().backward()
        assert (net.experts.maps.weight.grad != 0).flatten(1).any(1).all()
        assert torch.equal((net.gates.weight.grad != 0).any(1), torch.arange(4 * TASKS) // 4 == t)


class Sigmoid(mmoe.Gates):
    """Gates that do not compete."""

    def forward(self, h: Tensor) -> Tensor:
        super().forward(h)
        self.weights = torch.sigmoid(h @ self.weight.T + self.bias).view(-1, *self.shape)
        return self.weights


class TopOne(mmoe.Gates):
    """Only the strongest expert is heard."""

    def forward(self, h: Tensor) -> Tensor:
        gates = super().forward(h)
        return gates * (gates == gates.amax(-1, keepdim=True))


class OneTaskFewer(mmoe.Gates):
    """The last task listens to the first expert alone."""

    def forward(self, h: Tensor) -> Tensor:
        gates = super().forward(h).clone()
        gates[:, -1] = torch.eye(gates.shape[-1], dtype=gates.dtype)[0]
        return gates


class TaskScaled(mmoe.Experts):
    """Experts that differ by their place."""

    def forward(self, h: Tensor) -> Tensor:
        out = super().forward(h)
        return out * torch.arange(1, out.shape[1] + 1, dtype=h.dtype)[:, None]


Law = Callable[[], None]
LAWS: list[Law] = [
    law_1_the_equations_with_gates_that_sum_to_one, law_2_one_expert_is_the_shared_bottom, law_3_equal_gates_are_one_gate,
    law_4_the_order_of_experts_is_of_no_consequence, law_5_every_expert_learns_from_every_task,
]  # fmt: skip
MUTATIONS: list[tuple[Law, str, Any]] = [
    (LAWS[0], "Gates", Sigmoid),
    (LAWS[1], "Gates", Sigmoid),
    (LAWS[2], "Gates", OneTaskFewer),
    (LAWS[3], "Experts", TaskScaled),
    (LAWS[4], "Gates", TopOne),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law) -> None:
    law()


@pytest.mark.parametrize(("law", "name", "mutant"), MUTATIONS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_law_fails_under_mutation(law: Law, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmoe, name, mutant)
    with pytest.raises(AssertionError):
        law()


def test_every_law_has_a_mutation() -> None:
    assert {law for law, _, _ in MUTATIONS} == set(LAWS)


def test_one_row_alone() -> None:
    net = block()
    assert net(patients(1)).shape == (1, TASKS, 8)
    same(net(patients())[:1], net(patients()[:1]))
