"""Cross-stitch: a column of layers per task, whose outputs are mixed by a learned matrix after each layer.

Misra, Shrivastava, Gupta, Hebert, "Cross-stitch Networks for Multi-task Learning", CVPR 2016, eq. 1. Level l of task t's column
is y_t = E_t(x_t), and the unit after it hands on
    x_t = sum_u a_tu y_u          one matrix (T, T) a level, or one a level and channel (`per_channel`)
The first x_t is the fused patient vector for all; the last goes to the head of task t.
Published: results for two tasks on NYUv2 and PASCAL VOC 2008 and ablations of the units' initial values and learning rate; no
code and no clinical data. Ports differ: LibMTL starts with all ones, AdaTT's with random signs, so that the scale drifts.
Departures: the columns start at the fused vector, below which all tasks share the encoders, where the paper has whole networks;
they are not first trained as single-task networks; a column is `levels` layers with GELU and dropout under a linear head; units
are not held in [0, 1], have no weight decay, and start with rows that sum to 1. The paper trains the units 100 to 1,000 times
faster than the rest, by SGD; Adam's steps have no scale, so ours move `rate` times as far a step as any other weight.
Cost: 11 s per cell of surgical, about that of hard_sharing.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from bench.core import Cohort, Count, Positive, PositiveShare
from bench.nets.experts import Experts
from bench.search import Choice
from bench.train import NeuralMethod


class Stitch(nn.Module):
    """(B, T, width) -> (B, T, width), every column a mixture of all; rows start as `own` for itself and the rest in equal shares.

    The matrices are kept flat, since the trainer decays matrices only, and divided by `rate`: Adam moves a parameter by about the
    learning rate a step whatever its gradient's scale.
    """

    def __init__(self, tasks: int, channels: int, own: float, rate: float) -> None:
        super().__init__()
        self.rate, self.shape = rate, (channels, tasks, tasks)
        other = (1 - own) / max(tasks - 1, 1)
        start = torch.full((tasks, tasks), other).fill_diagonal_(own if tasks > 1 else 1.0)
        self.units = nn.Parameter(start.expand(self.shape).flatten() / rate)

    def forward(self, y: Tensor) -> Tensor:
        mix = (self.rate * self.units).view(self.shape)  # 1 or width matrices (T, T)
        return torch.einsum("tu,buc->btc", mix[0], y) if len(mix) == 1 else torch.einsum("ctu,buc->btc", mix, y)


class StitchedColumns(nn.Module):
    """(B, d) patient vectors -> (B, T, width) task vectors."""

    def __init__(
        self, d: int, tasks: int, levels: int, width: int, dropout: float, own: float, rate: float, per_channel: bool
    ) -> None:
        super().__init__()
        self.width = width
        self.columns = nn.ModuleList(Experts(tasks, a, b, dropout) for a, b in pairwise([d, *[width] * levels]))
        self.stitches = nn.ModuleList(Stitch(tasks, width if per_channel else 1, own, rate) for _ in range(levels))

    def forward(self, h: Tensor) -> Tensor:
        x = h
        for column, stitch in zip(self.columns, self.stitches, strict=True):
            x = stitch(column(x))
        return x


@dataclass(frozen=True, kw_only=True)
class CrossStitch(NeuralMethod):
    """own: what a column keeps of itself at the start, of 1 in all. rate: how much faster the units learn than the other weights.

    levels: layers of a column, each with a unit. width: of a layer. per_channel: a matrix for each of the `width` channels.
    """

    levels: Annotated[Count, Choice((1, 2, 3))] = 2
    width: Annotated[Count, Choice((32, 64, 128))] = 64
    own: Annotated[PositiveShare, Choice((0.5, 0.7, 0.9, 0.97))] = 0.9
    rate: Annotated[Positive, Choice((1.0, 10.0, 100.0))] = 10.0
    per_channel: bool = False

    def idle(self, cohort: Cohort) -> tuple[str, ...]:
        return (*super().idle(cohort), *(("own",) if len(cohort.tasks) == 1 else ()))

    def sharing(self, d: int, tasks: int) -> nn.Module:
        return StitchedColumns(d, tasks, self.levels, self.width, self.dropout, self.own, self.rate, self.per_channel)


METHOD = CrossStitch
