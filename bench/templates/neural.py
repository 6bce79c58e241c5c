"""mine: one layer that all outcomes share, then one for each. Say here in a line what yours does, and its source."""

from dataclasses import dataclass

from bench.train import NeuralMethod  # encoders, gaps, training and early stopping, the same for all networks
from torch import nn


class Sharing(nn.Sequential):  # any nn.Module will do: patient vectors (n, d) -> a vector per outcome (n, tasks, width)
    def __init__(self, d: int, tasks: int, width: int) -> None:
        layers = nn.Linear(d, width), nn.ReLU(), nn.Linear(width, tasks * width), nn.ReLU()
        super().__init__(*layers, nn.Unflatten(1, (tasks, width)))
        self.width = width  # what the head of an outcome reads


@dataclass(frozen=True, kw_only=True)
class Mine(NeuralMethod):
    width: int = 64  # a setting: --methods ./mine.py:width=32

    def sharing(self, d: int, tasks: int) -> nn.Module:
        return Sharing(d, tasks, self.width)


METHOD = Mine
