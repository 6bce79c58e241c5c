"""Hard sharing: one network for all tasks, which differ in their linear heads alone.

Caruana, "Multitask Learning", Machine Learning 28 (1997).
Published: no code; results on road following, door recognition and the risk of dying of pneumonia, where laboratory values that
are known later only were the further tasks.
Departures: a hidden layer stands between the fused patient vector and the heads, so that the network has about as many weights
as the methods with experts.
Cost: 10 s per cell of surgical (8,450 training rows, one thread); the costs of other networks are told as multiples of it.
"""

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn

from bench.core import Count
from bench.nets.experts import Experts
from bench.search import Choice
from bench.train import NeuralMethod


class SharedLayer(nn.Module):
    """(B, d) patient vectors -> (B, T, width), the same vector for every task."""

    def __init__(self, d: int, tasks: int, width: int, dropout: float) -> None:
        super().__init__()
        self.width, self.tasks = width, tasks
        self.expert = Experts(1, d, width, dropout)

    def forward(self, h: Tensor) -> Tensor:
        return self.expert(h).expand(-1, self.tasks, -1)


@dataclass(frozen=True, kw_only=True)
class HardSharing(NeuralMethod):
    """width: of the shared layer."""

    width: Annotated[Count, Choice((64, 128, 256, 512))] = 256

    def sharing(self, d: int, tasks: int) -> nn.Module:
        return SharedLayer(d, tasks, self.width, self.dropout)


METHOD = HardSharing
