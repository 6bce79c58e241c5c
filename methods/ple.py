"""PLE: experts of each task and shared ones, separated level by level; one level is CGC.

Tang et al., "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning Model for Personalized Recommendations",
RecSys 2020, eq. 5-8. Level j has m_t experts E_t of task t, which read the task's state u_t, and m_s shared experts E_s, which
read the shared state u_s; all states start as the fused patient vector h:
    v_t = softmax(W_t u_t) . [E_t(u_t) ; E_s(u_s)]                          task gate: its own experts and the shared ones
    v_s = softmax(W_s u_s) . [E_1(u_1) ; .. ; E_T(u_T) ; E_s(u_s)]          shared gate: ALL experts; none in the last level
and v becomes the next level's u. The last v_t goes to the head of task t.
Published: no code of its authors; results on a video recommender of theirs and on public and synthetic data. Of four public codes
that we read one has these equations (facebookresearch/AdaTT); of the others one lacks the shared state, one part of the shared
gate, and one takes the wrong number of shared experts.
Departures: an expert is one layer with GELU and dropout; the tower is the linear head that all methods here share; the paper's
decaying task weights and task-wise sample spaces are left to `loss`. Without shared experts there is no shared state.
Cost: 16 s per cell of surgical, 1.6 times hard_sharing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from bench.core import BenchError, Count
from bench.nets.experts import Experts, Gates
from bench.search import Choice
from bench.train import NeuralMethod


def visible(owner: Tensor, gates: int, tasks: int) -> Tensor:
    """(gates, E) bool: a task's gate sees its own experts and the shared ones, the shared gate (number `tasks`) sees all."""
    gate = torch.arange(gates)[:, None]
    return (owner == gate) | (owner == tasks) | (gate == tasks)


class Level(nn.Module):
    """States (B, S, d), one a task and then the shared one, -> (B, T or T + 1, width): tasks, then shared unless it is last.

    (B, d): all states are the same.
    """

    owner: Tensor  # (E,) the state each expert reads

    def __init__(self, own: tuple[int, ...], shared: int, d: int, width: int, dropout: float, last: bool) -> None:
        super().__init__()
        tasks = len(own)
        owner = [t for t, count in enumerate(own) for _ in range(count)] + [tasks] * shared
        self.register_buffer("owner", torch.tensor(owner), persistent=False)
        self.even = len({*own} if not shared else {*own, shared}) == 1  # every state is read by as many experts
        gates = tasks if last or not shared else tasks + 1
        self.experts = Experts(len(owner), d, width, dropout)
        self.gates = Gates(gates, d, len(owner), visible(self.owner, gates, tasks))

    def forward(self, states: Tensor) -> Tensor:
        alike = states.dim() == 2
        experts = self.experts(states if alike or self.even else states[:, self.owner])  # (B, E, width)
        gates = self.gates(states if alike else states[:, : self.gates.shape[0]])  # (B, S, E), 0 where not visible
        return torch.bmm(gates, experts)


class ProgressiveLayers(nn.Module):
    """(B, d) patient vectors -> (B, T, width) task vectors."""

    def __init__(self, d: int, own: tuple[int, ...], shared: int, levels: int, width: int, dropout: float) -> None:
        super().__init__()
        if min(own) + shared < 1:
            raise BenchError(f"every task needs an expert, but got task_experts={own} with shared_experts={shared}. Raise one.")
        self.width = width
        widths = [d, *[width] * levels]
        self.levels = nn.ModuleList(
            Level(own, shared, a, b, dropout, last=j == levels - 1) for j, (a, b) in enumerate(pairwise(widths))
        )

    def forward(self, h: Tensor) -> Tensor:
        for level in self.levels:
            h = level(h)
        return h


@dataclass(frozen=True, kw_only=True)
class PLE(NeuralMethod):
    """`levels=1` is CGC. task_experts: a number, or one a task: `2+1+3`."""

    levels: Annotated[Count, Choice((1, 2))] = 2
    shared_experts: Annotated[int, Ge(0), Choice((1, 2, 4))] = 2
    task_experts: Annotated[str, Choice(("1", "2", "4"))] = "2"
    width: Annotated[Count, Choice((32, 64, 128))] = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(part.isdecimal() for part in self.task_experts.split("+")):
            raise BenchError(f"task_experts is one number or one a task (2+1+...), but got '{self.task_experts}'")

    def check(self, tasks: Sequence[str]) -> None:
        super().check(tasks)
        self._own(len(tasks))

    def sharing(self, d: int, tasks: int) -> nn.Module:
        return ProgressiveLayers(d, self._own(tasks), self.shared_experts, self.levels, self.width, self.dropout)

    def _own(self, tasks: int) -> tuple[int, ...]:
        parts = self.task_experts.split("+")
        if len(parts) not in (1, tasks):
            raise BenchError(f"task_experts is one number or one for each of the {tasks} tasks, but got '{self.task_experts}'")
        return tuple(int(part) for part in parts) * (tasks if len(parts) == 1 else 1)


METHOD = PLE
