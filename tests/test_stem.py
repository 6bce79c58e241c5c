"""The laws of methods.md 4.6, STEM. Each is a function of the module's code, so that it can be seen to fail under a mutation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bench import registry

D, WIDTH, ROWS, TASKS, OWN, SHARED = 6, 4, 5, 3, 2, 2
OWNER = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
stem = registry.module("methods", "stem")


def block(levels: int = 1, seed: int = 0) -> Any:
    """STEM's sharing block in float64, dropout off, through METHOD."""
    spec = f"stem:task_experts={OWN}:shared_experts={SHARED}:width={WIDTH}"
    method: Any = replace(registry.method(spec), levels=levels)  # type: ignore[type-var]
    torch.manual_seed(seed)
    return method.sharing(D, TASKS).double().eval()


def patients(rows: int = ROWS) -> Tensor:
    return torch.randn(rows, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def touched(net: Any, parameter: Tensor, task: int) -> list[bool]:
    """Which of the stacked maps the loss of one task moves."""
    net.zero_grad()
    net(patients())[:, task].sum().backward()
    assert parameter.grad is not None
    return (parameter.grad != 0).flatten(1).any(1).tolist()


def felt(net: Any, parameter: Tensor, number: int, task: int) -> float:
    """How far one task's vectors move when one of the stacked maps does."""
    before = net(patients())[:, task]
    with torch.no_grad():
        parameter[number] += 1e-3
        after = net(patients())[:, task]
        parameter[number] -= 1e-3
    return float((after - before).detach().abs().max())


def law_1_all_forward_and_only_the_own_backward() -> None:
    net = block()
    maps = net.levels[0].experts.maps.weight
    for t in range(TASKS):
        assert touched(net, maps, t) == [bool(o in (t, TASKS)) for o in OWNER]
        assert min(felt(net, maps, e, t) for e in range(len(OWNER))) > 1e-6


def law_2_embeddings_of_other_tasks_are_heard_and_not_trained() -> None:
    net = block()
    for t in range(TASKS):
        assert touched(net, net.embed.weight, t) == [u in (t, TASKS) for u in range(TASKS + 1)]
        assert min(felt(net, net.embed.weight, u, t) for u in range(TASKS + 1)) > 1e-6


def law_3_gates_weigh_every_expert() -> None:
    for level in block(levels=2).levels:
        states = torch.randn(ROWS, TASKS + 1, level.experts.maps.weight.shape[2], dtype=torch.float64)
        level(states)
        assert level.gates.weights.shape[-1] == TASKS * OWN + SHARED
        assert (level.gates.weights > 0).all()
        same(level.gates.weights.sum(-1), torch.ones(level.gates.weights.shape[:2], dtype=torch.float64))


def law_4_the_shared_stream_leaks_from_the_second_level_on() -> None:
    # The behaviour of the published code, kept: v_s mixes all experts without a stop, and the next level's tasks read it.
    net = block(levels=2)
    for t in range(TASKS):
        assert all(touched(net, net.levels[0].experts.maps.weight, t))
        assert touched(net, net.levels[1].experts.maps.weight, t) == [bool(o in (t, TASKS)) for o in OWNER]


def law_5_no_parameter_is_dead() -> None:
    for levels in (1, 3):
        net = block(levels=levels)
        net(patients()).pow(2).sum().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert (parameter.grad.flatten(1) if parameter.dim() > 1 else parameter.grad[:, None]).ne(0).any(1).all(), name


class AllTrain(stem.Level):
    """Nothing is stopped: plain experts of all tasks."""

    def __init__(self, *rest: Any, **more: Any) -> None:
        super().__init__(*rest, **more)
        self.trains = torch.ones_like(self.trains)


class OwnOnly(stem.Level):
    """Other tasks' experts are not heard at all: PLE."""

    def forward(self, states: Tensor) -> Tensor:
        gates = self.gates((states + states[:, -1:])[:, : len(self.trains)]) * self.trains
        return gates @ self.experts(states[:, self.owner])


class LeakShut(stem.Level):
    """The shared stream stopped too."""

    def __init__(self, *rest: Any, **more: Any) -> None:
        super().__init__(*rest, **more)
        gate = torch.arange(len(self.trains))[:, None]
        self.trains = (self.owner == gate) | (self.owner == TASKS)


class DeadGate(stem.Level):
    """A shared gate in the last level, which nobody reads: the published code's."""

    def __init__(self, *rest: Any, last: bool, **more: Any) -> None:
        super().__init__(*rest, last=False, **more)
        self.outputs = TASKS if last else TASKS + 1

    def forward(self, states: Tensor) -> Tensor:
        return super().forward(states)[:, : self.outputs]


class Visible(stem.Gates):
    """Gates that see half of the experts."""

    def __init__(self, n: int, d: int, experts: int) -> None:
        super().__init__(n, d, experts, torch.arange(experts).expand(n, -1) % 2 == 0)


Law = Callable[[], None]
LAWS: list[Law] = [
    law_1_all_forward_and_only_the_own_backward, law_2_embeddings_of_other_tasks_are_heard_and_not_trained,
    law_3_gates_weigh_every_expert, law_4_the_shared_stream_leaks_from_the_second_level_on, law_5_no_parameter_is_dead,
]  # fmt: skip
MUTATIONS: list[tuple[Law, str, Any]] = [
    (LAWS[0], "Level", AllTrain),
    (LAWS[0], "Level", OwnOnly),
    (LAWS[1], "Level", AllTrain),
    (LAWS[1], "Level", OwnOnly),
    (LAWS[2], "Gates", Visible),
    (LAWS[3], "Level", LeakShut),
    (LAWS[3], "Level", AllTrain),
    (LAWS[4], "Level", DeadGate),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law) -> None:
    law()


@pytest.mark.parametrize(("law", "name", "mutant"), MUTATIONS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_law_fails_under_mutation(law: Law, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stem, name, mutant)
    with pytest.raises(AssertionError):
        law()


def test_every_law_has_a_mutation() -> None:
    assert {law for law, _, _ in MUTATIONS} == set(LAWS)


def test_one_row_alone() -> None:
    net = block(levels=2)
    assert net(patients(1)).shape == (1, TASKS, WIDTH)
    same(net(patients())[:1], net(patients()[:1]))
