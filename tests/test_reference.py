"""Sharing blocks against the references of `helpers/references.py`.

Every entry of the block's parameters is copied into it once; outputs and gradients for the input and every parameter must agree. Each
comparison is seen to fail under a mutation.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
import torch
from references import TASKS, Level, Linear, adatt, cross_stitch, mmoe, ple, stem
from torch import Tensor

from bench import registry

D, WIDTH, ROWS = 6, 4, 7
TOLERANCE = 1e-9  # of float64; what is asked for is 1e-6

Reference: TypeAlias = Callable[[Tensor], list[Tensor]]


class Leaves:
    """Parts of a block's parameters as leaves of their own, and what became of them."""

    def __init__(self, net: Any) -> None:
        self.parameters: dict[str, Tensor] = dict(net.named_parameters())
        self.used = {name: torch.zeros_like(p, dtype=torch.long) for name, p in self.parameters.items()}
        self.taken: list[tuple[str, Any, Tensor, float]] = []

    def take(self, name: str, part: Any, scale: float = 1.0) -> Tensor:
        leaf = (scale * self.parameters[name].detach()[part]).clone().requires_grad_()
        self.used[name][part] += 1
        self.taken.append((name, part, leaf, scale))
        return leaf

    def layer(self, name: str, i: int) -> Linear:
        """Number i of stacked (out, in) maps."""
        return self.take(f"{name}.weight", i), self.take(f"{name}.bias", i)

    def gates(self, name: str, widths: list[int]) -> list[Linear]:
        """Gates whose rows follow each other."""
        ends = [sum(widths[: i + 1]) for i in range(len(widths))]
        rows = [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]
        return [(self.take(f"{name}.weight", r), self.take(f"{name}.bias", r)) for r in rows]

    def groups(self, name: str, sizes: list[int]) -> list[list[Linear]]:
        """Experts that follow each other, in groups."""
        layers = iter([self.layer(f"{name}.maps", i) for i in range(sum(sizes))])
        return [[next(layers) for _ in range(size)] for size in sizes]

    def check(self) -> None:
        for name, used in self.used.items():
            assert (used == 1).all(), f"{name} was not copied as a whole, once"
        for name, part, leaf, scale in self.taken:
            given = self.parameters[name].grad
            close(given if given is None else given[part], leaf.grad, f"gradient of {name}[{part}]", scale)


def close(a: Tensor | None, b: Tensor | None, what: str, scale: float = 1.0) -> None:
    assert a is not None, what
    assert b is not None, what
    distance = float((a - scale * b).detach().abs().max())
    assert distance < TOLERANCE, f"{what} differs by {distance:.2g}"


def mmoe_from(net: Any, leaves: Leaves) -> Reference:
    experts = leaves.groups("experts", [4])[0]
    gates = leaves.gates("gates", [4] * TASKS)
    return lambda h: mmoe(h, experts, gates)


def ple_from(net: Any, leaves: Leaves, own: tuple[int, ...], shared: int) -> Reference:
    levels: list[Level] = []
    for j in range(len(net.levels)):
        *tasks, common = leaves.groups(f"levels.{j}.experts", [*own, shared])
        widths = [count + shared for count in own] + ([sum(own) + shared] if shared and j < len(net.levels) - 1 else [])
        levels.append(Level(tasks, leaves.gates(f"levels.{j}.gates", widths), common))
    return lambda h: ple(h, levels)


def cross_stitch_from(net: Any, leaves: Leaves, rate: float, channels: int) -> Reference:
    levels: list[tuple[list[Linear], list[list[Tensor]]]] = []
    for j in range(len(net.columns)):
        columns = [leaves.layer(f"columns.{j}.maps", t) for t in range(TASKS)]
        at = torch.arange(channels * TASKS * TASKS).view(channels, TASKS, TASKS)
        a = [[leaves.take(f"stitches.{j}.units", at[:, t, u], rate) for u in range(TASKS)] for t in range(TASKS)]
        levels.append((columns, a))
    return lambda h: cross_stitch(h, levels)


def stem_from(net: Any, leaves: Leaves, own: int, shared: int) -> Reference:
    embed = [leaves.layer("embed", t) for t in range(TASKS + 1)]
    levels: list[Level] = []
    for j in range(len(net.levels)):
        *tasks, common = leaves.groups(f"levels.{j}.experts", [own] * TASKS + [shared])
        gates = TASKS + (j < len(net.levels) - 1)
        levels.append(Level(tasks, leaves.gates(f"levels.{j}.gates", [TASKS * own + shared] * gates), common))
    return lambda h: stem(h, embed, levels)


def adatt_from(net: Any, leaves: Leaves, own: int, residual: bool = True) -> Reference:
    levels: list[Level] = []
    for j in range(len(net.levels)):
        tasks = leaves.groups(f"levels.{j}.experts", [own] * TASKS)
        level = Level(tasks, leaves.gates(f"levels.{j}.gates", [own * TASKS] * TASKS))
        if residual and own == 1:
            level.native = [[torch.ones(1, dtype=torch.float64)] for _ in range(TASKS)]
        elif residual:
            level.native = [[leaves.take(f"levels.{j}.native", own * t + i) for i in range(own)] for t in range(TASKS)]
        levels.append(level)
    return lambda h: adatt(h, levels)


Case: TypeAlias = tuple[str, Callable[[Any, Leaves], Reference]]
CASES: dict[str, Case] = {
    "mmoe": ("mmoe:experts=4", mmoe_from),
    "ple": ("ple:levels=2", lambda net, x: ple_from(net, x, (2, 2, 2), 2)),
    "cgc": ("ple:levels=1", lambda net, x: ple_from(net, x, (2, 2, 2), 2)),
    "ple, tasks differ": ("ple:levels=3:task_experts=2+1+3:shared_experts=1", lambda net, x: ple_from(net, x, (2, 1, 3), 1)),
    "ple, nothing shared": ("ple:levels=2:shared_experts=0", lambda net, x: ple_from(net, x, (2, 2, 2), 0)),
    "cross_stitch": ("cross_stitch:levels=3", lambda net, x: cross_stitch_from(net, x, 10, 1)),
    "cross_stitch, channels": ("cross_stitch:rate=2:per_channel=true", lambda net, x: cross_stitch_from(net, x, 2, WIDTH)),
    "stem": ("stem", lambda net, x: stem_from(net, x, 1, 4)),
    "stem, levels": ("stem:levels=3:task_experts=2:shared_experts=1", lambda net, x: stem_from(net, x, 2, 1)),
    "adatt": ("adatt", lambda net, x: adatt_from(net, x, 2)),
    "adatt, one expert": ("adatt:task_experts=1:levels=3", lambda net, x: adatt_from(net, x, 1)),
    "adatt, no residual": ("adatt:residual=false", lambda net, x: adatt_from(net, x, 2, residual=False)),
}  # fmt: skip


def compare(name: str) -> None:
    spec, build = CASES[name]
    method: Any = registry.method(f"{spec}:width={WIDTH}")
    torch.manual_seed(0)
    net = method.sharing(D, TASKS).double().eval()
    with torch.no_grad():  # away from starts that are symmetric
        for parameter in net.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    leaves = Leaves(net)
    reference = build(net, leaves)
    h = torch.randn(ROWS, D, dtype=torch.float64, requires_grad=True)
    x = h.detach().clone().requires_grad_()
    mine, theirs = net(h), torch.stack(reference(x), dim=1)
    direction = torch.randn_like(mine)
    for out in (mine, theirs):
        (out * direction).sum().backward()
    close(mine, theirs, "output")
    close(h.grad, x.grad, "gradient of the input")
    leaves.check()


@pytest.mark.parametrize("name", CASES)
def test_equal_to_the_reference(name: str) -> None:
    compare(name)


def kept(self: Any, x: Tensor) -> Tensor:
    """The forward that a mutant replaces."""
    return type(self).__mro__[1].forward(self, x)


def softmax_over_tasks(self: Any, h: Tensor) -> Tensor:
    return kept(self, h).softmax(1)


def stopped_experts(self: Any, h: Tensor) -> Tensor:
    """The right output, no gradient below."""
    return kept(self, h.detach())


def level(self: Any, states: Tensor, shift: int = 1) -> tuple[Tensor, Tensor]:
    """Gates and experts of states (B, S, d); the first level is given the one that all are, (B, d). shift: 0 = all read the first."""
    states = states[:, None].expand(-1, int(self.owner.max()) + 1, -1) if states.dim() == 2 else states
    return self.gates(states[:, : self.gates.shape[0]]), self.experts(states[:, self.owner * shift])


def blind_shared_gate(self: Any, states: Tensor) -> Tensor:
    """The shared gate hears no task's experts."""
    gates, experts = level(self, states)
    heard = gates * ((self.owner == TASKS) | (torch.arange(gates.shape[1])[:, None] < TASKS))
    return heard / heard.sum(-1, keepdim=True) @ experts


def next_expert(self: Any, states: Tensor) -> Tensor:
    """Weights given to the expert before the one they are for."""
    gates, experts = level(self, states)
    return gates @ experts.roll(1, dims=1)


def first_state(self: Any, states: Tensor) -> Tensor:
    """Every expert reads the first task's state."""
    return torch.matmul(*level(self, states, shift=0))


def transposed(self: Any, y: Tensor) -> Tensor:
    """a_ut for a_tu."""
    return torch.einsum("cut,buc->btc", (self.rate * self.units).view(self.shape).expand(WIDTH, -1, -1), y)


def all_train(self: Any, states: Tensor) -> Tensor:
    """All forward, all backward: the outputs are right."""
    self.trains = torch.ones_like(self.trains)
    return kept(self, states)


def others_silent(self: Any, states: Tensor) -> Tensor:
    """Other tasks' experts silenced, not stopped."""
    return (self.gates((states + states[:, -1:])[:, :TASKS]) * self.trains) @ self.experts(states[:, self.owner])


def own_gate_input(self: Any, states: Tensor) -> Tensor:
    """A gate that does not read the shared embedding."""
    experts, gates = self.experts(states[:, self.owner]), self.gates(states[:, :TASKS])
    return (gates * self.trains) @ experts + (gates * ~self.trains) @ experts.detach()


def shared_stream_stopped(self: Any, states: Tensor) -> Tensor:
    """What the code of the paper does not do."""
    self.trains = self.trains & (torch.arange(len(self.trains))[:, None] < TASKS) | (self.owner == TASKS)
    return kept(self, states)


def residual_of_the_next(self: Any, states: Tensor) -> Tensor:
    self.mine = self.mine.roll(1, dims=0)
    return kept(self, states)


def residual_of_one(self: Any, states: Tensor) -> Tensor:
    """Residual weights fixed at 1 whatever their number."""
    return (self.gates(states) + self.mine) @ self.experts(states)


MUTATIONS: list[tuple[str, str, Callable[[Any, Tensor], Tensor]]] = [
    ("mmoe", "Gates", softmax_over_tasks),
    ("mmoe", "Experts", stopped_experts),
    ("ple", "Level", blind_shared_gate),
    ("cgc", "Level", next_expert),
    ("ple, tasks differ", "Level", first_state),
    ("ple, nothing shared", "Level", first_state),
    ("cross_stitch", "Stitch", transposed),
    ("cross_stitch, channels", "Stitch", transposed),
    ("stem", "Level", all_train),
    ("stem", "Level", others_silent),
    ("stem", "Level", own_gate_input),
    ("stem, levels", "Level", shared_stream_stopped),
    ("adatt", "Level", residual_of_the_next),
    ("adatt", "Level", residual_of_one),
    ("adatt, one expert", "Level", residual_of_the_next),
    ("adatt, no residual", "Level", residual_of_one),
]


@pytest.mark.parametrize(("case", "part", "forward"), MUTATIONS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_a_mutation_is_seen(case: str, part: str, forward: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = registry.module("methods", CASES[case][0].partition(":")[0])
    monkeypatch.setattr(module, part, type("Mutant", (getattr(module, part),), {"forward": forward}))
    with pytest.raises(AssertionError, match="differs by"):
        compare(case)


def test_every_comparison_has_a_mutation() -> None:
    assert {case for case, *_ in MUTATIONS} == set(CASES)
