"""T linear heads as one product, their bias at the log-odds of the training prevalence."""

import math

import torch
from torch import Tensor, nn

from bench.core import BenchError


class Heads(nn.Module):
    """Task vectors (B, T, width) -> logits (B, T).

    Without the right bias the first epochs of a rare outcome would be spent on learning its prevalence.
    log_odds: (T,).
    """

    def __init__(self, width: int, log_odds: Tensor) -> None:
        super().__init__()
        bound = 1 / math.sqrt(width)
        self.weight = nn.Parameter(torch.empty(len(log_odds), width).uniform_(-bound, bound))
        self.bias = nn.Parameter(log_odds.clone())

    def forward(self, z: Tensor) -> Tensor:
        if z.dim() != 3 or z.shape[1:] != self.weight.shape:
            here = ("rows", *self.weight.shape)
            raise BenchError(f"sharing must return (rows, outcomes, width), here {here}, but returned {tuple(z.shape)}")
        return (z * self.weight).sum(-1) + self.bias


def log_odds(y: Tensor, w: Tensor) -> Tensor:
    """(T,) log-odds of the weighted prevalence; half an event at least on either side, 0 where nothing is known.

    y: (n, T) 0 or 1.  w: (n, T), 0 where unknown.
    """
    known, total = (w > 0).sum(0).clamp(min=1), w.sum(0)
    rate = torch.where(total > 0, (w * y).sum(0) / total.clamp(min=1e-30), 0.5)
    return torch.logit(torch.minimum(torch.maximum(rate, 0.5 / known), 1 - 0.5 / known))
