"""AdaTT: every task fuses the experts of all tasks level by level, and adds a combination of its own to the result.

Li, Zhang, Yuan, Gao, Zhang, Yang, Liu, Yang, "AdaTT: Adaptive Task-to-Task Fusion Network for Multitask Learning in
Recommendations", KDD 2023: AdaTT-sp, the form without shared experts. A level has m experts E_ti of each task t, which read the
task's state x_t; all states start as the fused patient vector:
    x_t <- softmax(W_t x_t) . [E_11(x_1) ; .. ; E_Tm(x_T)]  +  sum_i v_ti E_ti(x_t)        v_ti = 1 where m = 1
The first part is the fusion over all tasks' experts, the second the residual of a task's native ones.
Published: code of the blocks (facebookresearch/AdaTT) and results on a public benchmark and an industrial recommendation data set
that is not public; no clinical data. A comment in the code calls the residual crucial.
Departures: an expert is one layer with GELU and dropout, where the code has ReLU layers; the tower is the linear head that all
methods here share. v starts uniform in +-1/sqrt(m), as in the code, and has no weight decay.
Cost: 15 s per cell of surgical, 1.5 times hard_sharing, a little below ple.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from bench.core import Count
from bench.nets.experts import Experts, Gates
from bench.search import Choice
from bench.train import NeuralMethod


class Level(nn.Module):
    """States (B, T, d), or one for all (B, d), -> (B, T, width)."""

    mine: Tensor  # (T, E) 1 where the expert is the task's own

    def __init__(self, tasks: int, own: int, d: int, width: int, dropout: float, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.register_buffer("mine", torch.eye(tasks).repeat_interleave(own, dim=1), persistent=False)
        self.experts = Experts(tasks * own, d, width, dropout)
        self.gates = Gates(tasks, d, tasks * own)
        bound = 1 / math.sqrt(own)
        learned = residual and own > 1
        self.native = nn.Parameter(torch.empty(tasks * own).uniform_(-bound, bound)) if learned else None

    def forward(self, states: Tensor) -> Tensor:
        experts = self.experts(states)  # (B, E, width), the first E / T of them the first task's
        gates = self.gates(states)  # (B, T, E), rows sum to 1
        if self.residual:
            gates = gates + (self.mine if self.native is None else self.mine * self.native)
        return gates @ experts


class TaskToTask(nn.Module):
    """(B, d) patient vectors -> (B, T, width) task vectors."""

    def __init__(self, d: int, tasks: int, own: int, levels: int, width: int, dropout: float, residual: bool) -> None:
        super().__init__()
        self.width = width
        widths = pairwise([d, *[width] * levels])
        self.levels = nn.ModuleList(Level(tasks, own, a, b, dropout, residual) for a, b in widths)

    def forward(self, h: Tensor) -> Tensor:
        for level in self.levels:
            h = level(h)
        return h


@dataclass(frozen=True, kw_only=True)
class AdaTT(NeuralMethod):
    """levels: of experts. task_experts: m, of a task at each level. residual: off for the ablation only. width: of an expert."""

    levels: Annotated[Count, Choice((1, 2, 3))] = 2
    task_experts: Annotated[Count, Choice((1, 2, 4))] = 2
    residual: bool = True
    width: Annotated[Count, Choice((32, 64, 128))] = 64

    def sharing(self, d: int, tasks: int) -> nn.Module:
        return TaskToTask(d, tasks, self.task_experts, self.levels, self.width, self.dropout, self.residual)


METHOD = AdaTT
