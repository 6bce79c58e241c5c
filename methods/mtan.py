"""MTAN, adapted to vectors: one shared network, of which each task keeps what its own attention masks let through.

Liu, Johns, Davison, "End-to-End Multi-Task Learning with Attention", CVPR 2019, eq. 1-2. A level, with u and z of the one below:
    u   <- GELU(U u)                                shared features
    a_t  = sigmoid(B_t ReLU(A_t [u ; z_t]))         task t's mask, in (0, 1); no z_t at the first level
    z_t <- GELU(M (a_t * u))                        M is the same for all tasks
The first u is the fused patient vector; the last z_t goes to the head of task t. Masks of 1 everywhere are hard sharing.
Published: code (lorenmt/mtan) and results on CityScapes, NYUv2 and the Visual Decathlon; no tabular or clinical data.
Departures: AN ADAPTATION, not the published network, which is convolutional, masks the feature maps of an image encoder and
decoder, and has batch normalisation in every block (left out, since a cohort may be one small batch). Ours has linear layers
over the fused vector, and one vector u a level where a convolutional block has two maps. M is shared, as in the authors' code.
Cost: 14 s per cell of surgical, 1.4 times hard_sharing, a little below ple.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.core import Count
from bench.nets.dropout import Dropout
from bench.nets.experts import Stacked
from bench.search import Choice
from bench.train import NeuralMethod


class Level(nn.Module):
    """Shared features (B, d) and the tasks' (B, T, w), of width 0 at the first level -> the same, both `width` wide."""

    def __init__(self, tasks: int, d: int, below: int, width: int, dropout: float) -> None:
        super().__init__()
        self.shared = nn.Linear(d, width)
        self.ask, self.mask = Stacked(tasks, width + below, width), Stacked(tasks, width, width)
        self.onward = nn.Linear(width, width)
        self.dropout = Dropout(dropout)

    def attention(self, u: Tensor, z: Tensor) -> Tensor:
        """(B, T, width), in (0, 1)."""
        seen = torch.cat([u[:, None].expand(-1, z.shape[1], -1), z], dim=-1)
        return torch.sigmoid(self.mask(torch.relu(self.ask(seen))))

    def forward(self, u: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        u = self.dropout(functional.gelu(self.shared(u)))
        return u, self.dropout(functional.gelu(self.onward(self.attention(u, z) * u[:, None])))


class AttendedFeatures(nn.Module):
    """(B, d) patient vectors -> (B, T, width) task vectors."""

    def __init__(self, d: int, tasks: int, levels: int, width: int, dropout: float) -> None:
        super().__init__()
        self.width, self.tasks = width, tasks
        widths = pairwise([d, *[width] * levels])
        self.levels = nn.ModuleList(Level(tasks, a, width if j else 0, b, dropout) for j, (a, b) in enumerate(widths))

    def forward(self, h: Tensor) -> Tensor:
        u, z = h, h.new_empty(len(h), self.tasks, 0)
        for level in self.levels:
            u, z = level(u, z)
        return z


@dataclass(frozen=True, kw_only=True)
class MTAN(NeuralMethod):
    """levels: of shared layers, each with a mask per task. width: of a layer."""

    levels: Annotated[Count, Choice((1, 2, 3))] = 2
    width: Annotated[Count, Choice((32, 64, 128))] = 64

    def sharing(self, d: int, tasks: int) -> nn.Module:
        return AttendedFeatures(d, tasks, self.levels, self.width, self.dropout)


METHOD = MTAN
