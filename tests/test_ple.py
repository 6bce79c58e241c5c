"""The seven laws of methods.md 4.5, and CGC to the bit. Each law is a function of the module's code, so that it can be seen to fail under a mutation."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import registry
from bench.core import BenchError

D, ROWS = 6, 5
ple = registry.module("methods", "ple")


def block(own: Sequence[int] = (2, 1, 3), shared: int = 2, levels: int = 2, seed: int = 0) -> Any:
    """PLE's sharing block in float64, dropout off, through METHOD."""
    method = replace(registry.method("ple:width=4"), task_experts="+".join(map(str, own)), shared_experts=shared, levels=levels)  # type: ignore[type-var]
    torch.manual_seed(seed)
    return method.sharing(D, len(own)).double().eval()


def patients(rows: int = ROWS) -> Tensor:
    return torch.randn(rows, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def reference(net: Any, h: Tensor, own: Sequence[int], shared: int) -> Tensor:
    """The equations of the paper with plain loops, on the block's weights; written without its code."""
    tasks = len(own)
    states = [h] * (tasks + 1)
    for j, level in enumerate(net.levels):
        last = j == len(net.levels) - 1
        w, b = level.experts.maps.weight.mT, level.experts.maps.bias
        groups: list[list[Tensor]] = []
        e = 0
        for group, count in enumerate([*own, shared]):
            groups.append([nn.functional.gelu(states[group] @ w[e + i] + b[e + i]) for i in range(count)])
            e += count
        seen = [[*groups[t], *groups[tasks]] for t in range(tasks)]
        if not last:
            seen.append([x for group in groups for x in group])
        row, new = 0, []
        for gate, experts in enumerate(seen):
            weight, bias = (x[row : row + len(experts)] for x in (level.gates.weight, level.gates.bias))
            row += len(experts)
            mix = torch.softmax(states[gate] @ weight.T + bias, dim=-1)
            new.append(sum(mix[:, [i]] * expert for i, expert in enumerate(experts)))
        assert row == len(level.gates.weight)  # no row of the gates is left over
        states = new
    return torch.stack(states[:tasks], dim=1)


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def law_1_one_level_is_cgc_and_more_are_the_paper() -> None:
    for levels in (1, 2, 3):
        net = block(levels=levels)
        same(net(patients()), reference(net, patients(), (2, 1, 3), 2))


def law_2_mmoe_without_own_experts_and_columns_without_shared_ones() -> None:
    net = block(own=(0, 0, 0), shared=3, levels=1)
    mmoe: Any = registry.method("mmoe:experts=3:width=4").sharing(D, 3).double().eval()  # type: ignore[attr-defined]
    mmoe.load_state_dict({key.removeprefix("levels.0."): value for key, value in net.state_dict().items()})
    same(net(patients()), mmoe(patients()))
    alone = block(own=(1, 1, 1), shared=0, levels=1)
    maps = alone.levels[0].experts.maps
    columns = [nn.functional.gelu(patients() @ maps.weight[t].T + maps.bias[t]) for t in range(3)]
    same(alone(patients()), torch.stack(columns, dim=1))


def touched(net: Any, level: int, task: int) -> Tensor:
    """(E,) whether the loss of one task moves each expert of a level."""
    net.zero_grad()
    net(patients())[:, task].sum().backward()
    return (net.levels[level].experts.maps.weight.grad != 0).flatten(1).any(1)


def law_3_gradients_reach_other_tasks_through_the_shared_stream_alone() -> None:
    owner = torch.tensor([0, 0, 1, 2, 2, 2, 3, 3])
    for t in range(3):
        mine = (owner == t) | (owner == 3)
        assert torch.equal(touched(block(levels=1), 0, t), mine)  # CGC: exactly zero for the experts of others
        assert torch.equal(touched(block(levels=2), 1, t), mine)  # the last level: the same
        assert touched(block(levels=2), 0, t).all()  # the first: all of them


def law_4_no_parameter_is_dead() -> None:
    for levels, shared in ((1, 2), (3, 2), (2, 0)):
        net = block(shared=shared, levels=levels)
        net(patients()).pow(2).sum().backward()
        for name, parameter in net.named_parameters():
            if shared or "gates" not in name:  # a gate over one expert has nothing to learn
                assert parameter.grad is not None, name
                assert (parameter.grad.flatten(1) != 0).any(1).all() if parameter.dim() > 1 else (parameter.grad != 0).all(), name


def law_5_gate_widths() -> None:
    first, last = block().levels
    # tasks see 2 + 2, 1 + 2 and 3 + 2 experts, the shared gate 2 + 1 + 3 + 2
    for level, widths in ((first, [4, 3, 5, 8]), (last, [4, 3, 5])):
        level(patients()[:, None].expand(-1, 4, -1) if level is first else torch.randn(ROWS, 4, 4, dtype=torch.float64))
        assert (level.gates.weights > 0).sum(-1).tolist() == [widths] * ROWS
        assert level.gates.weight.shape[0] == sum(widths)


def law_6_tasks_may_differ_in_experts() -> None:
    for own in ((1, 2, 3), (3, 0, 1)):
        net = block(own=own)
        same(net(patients()), reference(net, patients(), own, 2))


def law_7_one_row_alone() -> None:
    net = block()
    assert net(patients(1)).shape == (1, 3, 4)
    same(net(patients())[:1], net(patients()[:1]))


def law_8_one_level_is_cgc_bit_for_bit() -> None:
    # Weights and inputs in eighths: every sum before GELU and softmax is exact, in whatever order it is done
    own, shared, experts = (2, 1, 3), 2, 8
    net, h = block(own, shared, levels=1), (patients() * 8).round() / 8
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_((parameter * 8).round() / 8)
    level, row, first = net.levels[0], 0, 0
    w, b = level.experts.maps.weight.mT, level.experts.maps.bias
    logits = torch.full((ROWS, len(own), experts), -torch.inf, dtype=torch.float64)
    for t, count in enumerate(own):
        seen = [*range(first, first + count), *range(experts - shared, experts)]
        first += count
        rows = slice(row, row + len(seen))
        row += len(seen)
        logits[:, t, seen] = h @ level.gates.weight[rows].T + level.gates.bias[rows]
    outputs = nn.functional.gelu(torch.stack([h @ w[e] + b[e] for e in range(experts)], dim=1))
    gates = torch.softmax(logits.permute(1, 2, 0), dim=1).permute(2, 0, 1)  # rows last, as there: sums in the same order
    assert torch.equal(net(h), gates @ outputs)


def blind_shared_gate(owner: Tensor, gates: int, tasks: int) -> Tensor:
    """The shared gate without the task experts: the fault of STEM's PLE."""
    gate = torch.arange(gates)[:, None]
    return (owner == gate) | (owner == tasks)


def everyone_sees_everything(owner: Tensor, gates: int, tasks: int) -> Tensor:
    return torch.ones(gates, len(owner), dtype=torch.bool)


def tasks_without_shared(owner: Tensor, gates: int, tasks: int) -> Tensor:
    gate = torch.arange(gates)[:, None]
    return (owner == gate) | ((gate == tasks) & (owner >= 0))


class Level(ple.Level):
    pass


def apart(level: Level, states: Tensor) -> Tensor:
    """(B, S, d), also where all states are the same (B, d)."""
    return states if states.dim() == 3 else states[:, None].expand(-1, int(level.owner.max()) + 1, -1)


class OwnStateForShared(Level):
    """Shared experts read a task's state, not the shared one: in the way of LibMTL, where no shared stream exists."""

    def forward(self, states: Tensor) -> Tensor:
        states = apart(self, states)
        wrong = torch.where(self.owner == states.shape[1] - 1, 0, self.owner)
        return self.gates(states[:, : self.gates.shape[0]]) @ self.experts(states[:, wrong])


class DeadLastGate(Level):
    """A shared gate in the last level, that nobody reads: DeepCTR's."""

    def __init__(self, own: Any, shared: int, d: int, width: int, dropout: float, last: bool) -> None:
        super().__init__(own, shared, d, width, dropout, last=False)
        self.tasks = len(own) if last else len(own) + 1

    def forward(self, states: Tensor) -> Tensor:
        return super().forward(states)[:, : self.tasks]


class EqualGroups(Level):
    """Every task given the first task's number of experts."""

    def __init__(self, own: Any, *rest: Any, **more: Any) -> None:
        super().__init__((own[0],) * len(own), *rest, **more)


class Rescaled(Level):
    """Gates that sum to 1 to rounding alone: right to 1e-12, not to the bit."""

    def forward(self, states: Tensor) -> Tensor:
        states = apart(self, states)
        gates = self.gates(states[:, : self.gates.shape[0]]) * (1 + 1e-15)
        return gates @ self.experts(states[:, self.owner])


class Squeezed(Level):
    """`.squeeze()` where one row is a batch: DeepCTR's."""

    def forward(self, states: Tensor) -> Tensor:
        return super().forward(states).squeeze()


Law = Callable[[], None]
LAWS: list[Law] = [
    law_1_one_level_is_cgc_and_more_are_the_paper, law_2_mmoe_without_own_experts_and_columns_without_shared_ones,
    law_3_gradients_reach_other_tasks_through_the_shared_stream_alone, law_4_no_parameter_is_dead, law_5_gate_widths,
    law_6_tasks_may_differ_in_experts, law_7_one_row_alone, law_8_one_level_is_cgc_bit_for_bit,
]  # fmt: skip
MUTATIONS: list[tuple[Law, str, Any]] = [
    (LAWS[0], "visible", blind_shared_gate),
    (LAWS[0], "Level", OwnStateForShared),
    (LAWS[1], "visible", everyone_sees_everything),
    (LAWS[1], "visible", tasks_without_shared),
    (LAWS[2], "visible", everyone_sees_everything),
    (LAWS[2], "visible", blind_shared_gate),
    (LAWS[2], "Level", OwnStateForShared),
    (LAWS[3], "Level", DeadLastGate),
    (LAWS[4], "visible", blind_shared_gate),
    (LAWS[5], "Level", EqualGroups),
    (LAWS[6], "Level", Squeezed),
    (LAWS[7], "visible", everyone_sees_everything),
    (LAWS[7], "Level", Rescaled),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law) -> None:
    law()


@pytest.mark.parametrize(("law", "name", "mutant"), MUTATIONS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_law_fails_under_mutation(law: Law, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ple, name, mutant)
    with pytest.raises((AssertionError, RuntimeError, IndexError)):  # some change shapes
        law()


def test_every_law_has_a_mutation() -> None:
    assert {law for law, _, _ in MUTATIONS} == set(LAWS)


@pytest.mark.parametrize("text", ["x", "2+-1+1", ""])
def test_wrong_task_experts_say_so(text: str) -> None:
    with pytest.raises(BenchError, match=re.escape(f"one number or one a task (2+1+...), but got '{text}'")):
        replace(registry.method("ple"), task_experts=text)  # type: ignore[type-var]


def test_a_wrong_number_of_task_experts_says_so() -> None:
    method: Any = replace(registry.method("ple"), task_experts="2+1")  # type: ignore[type-var]
    with pytest.raises(BenchError, match=re.escape("one number or one for each of the 3 tasks, but got '2+1'")):
        method.sharing(D, 3)


def test_a_task_without_any_expert_says_so() -> None:
    with pytest.raises(BenchError, match="every task needs an expert"):
        block(own=(1, 0, 1), shared=0)
