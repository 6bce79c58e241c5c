"""STEM: an embedding and experts per task; a task hears the experts of others without ever training them.

Su, Pan, Wang, Xiao, Quan et al., "STEM: Unleashing the Power of Embeddings for Multi-task Recommendation", AAAI 2024. Task t
and a shared stream s have embeddings e_t = P_t h, e_s = P_s h and read them with experts of their own; "sg" stops gradients:
    v_t = softmax(W_t (e_t + e_s)) . [E_t(e_t) ; {sg E_u(e_u), u != t} ; E_s(e_s)]      all forward, task-specific backward
    v_s = softmax(W_s e_s) . [E_1(e_1) ; .. ; E_T(e_T) ; E_s(e_s)]                      shared stream, nothing stopped
and v becomes the next level's e. The last v_t goes to the head of task t; the last level has no v_s, since nobody would read it.
Published: code (LiangcaiSu/STEM) and results on the public recommendation data TikTok, QK-Video and KuaiRand1K; in the code one
level, with one shared expert and one per task by default and eight shared ones for TikTok; no clinical data.
Departures: the paper's embedding tables are linear maps of one-hot inputs; ours are linear maps of the fused patient vector, so
that encoders and fusion stay shared and learn from all tasks (encoders per task would cost T + 1 times as much). An expert is one
layer with GELU and dropout, a gate one linear layer where the code has a small network, the tower the linear head of all methods
here. With `levels` above 1 a task's loss reaches the experts of others through the shared stream, as it does in the code.
Cost: 14 s per cell of surgical, as mmoe, 1.4 times hard_sharing.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from bench.core import Count
from bench.nets.experts import Experts, Gates, Stacked
from bench.search import Choice
from bench.train import NeuralMethod


class Level(nn.Module):
    """States (B, T + 1, d), the shared one last, -> (B, T + 1, width), or (B, T, width) if this is the last level."""

    owner: Tensor  # (E,) the state an expert reads, T is the shared one
    trains: Tensor  # (gates, E) whether the gate's loss reaches the expert

    def __init__(self, tasks: int, own: int, shared: int, d: int, width: int, dropout: float, last: bool) -> None:
        super().__init__()
        owner = torch.tensor([t for t in range(tasks) for _ in range(own)] + [tasks] * shared)
        gate = torch.arange(tasks if last else tasks + 1)[:, None]
        self.register_buffer("owner", owner, persistent=False)
        self.register_buffer("trains", (owner == gate) | (owner == tasks) | (gate == tasks), persistent=False)
        self.experts = Experts(len(owner), d, width, dropout)
        self.gates = Gates(len(gate), d, len(owner))

    def forward(self, states: Tensor) -> Tensor:
        experts = self.experts(states[:, self.owner])  # (B, E, width)
        shared = states[:, -1:]
        asked = torch.cat([states[:, :-1] + shared, shared], dim=1)[:, : len(self.trains)]
        gates = self.gates(asked)  # (B, S, E), rows sum to 1
        return (gates * self.trains) @ experts + (gates * ~self.trains) @ experts.detach()


class SharedAndSpecificEmbeddings(nn.Module):
    """(B, d) patient vectors -> (B, T, width) task vectors."""

    def __init__(self, d: int, tasks: int, own: int, shared: int, levels: int, width: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.embed = Stacked(tasks + 1, d, d)
        widths = pairwise([d, *[width] * levels])
        self.levels = nn.ModuleList(
            Level(tasks, own, shared, a, b, dropout, last=j == levels - 1) for j, (a, b) in enumerate(widths)
        )

    def forward(self, h: Tensor) -> Tensor:
        states = self.embed(h)
        for level in self.levels:
            states = level(states)
        return states


@dataclass(frozen=True, kw_only=True)
class STEM(NeuralMethod):
    """levels: of experts. shared_experts: at each level. task_experts: of each task at each level. width: of an expert."""

    levels: Annotated[Count, Choice((1, 2))] = 1
    shared_experts: Annotated[Count, Choice((2, 4, 8))] = 4
    task_experts: Annotated[Count, Choice((1, 2, 4))] = 1
    width: Annotated[Count, Choice((32, 64, 128))] = 64

    def sharing(self, d: int, tasks: int) -> nn.Module:
        return SharedAndSpecificEmbeddings(
            d, tasks, self.task_experts, self.shared_experts, self.levels, self.width, self.dropout
        )


METHOD = STEM
