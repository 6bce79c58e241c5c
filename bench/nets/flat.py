"""Parameters side by side in one tensor, so that clipping, the optimizer and the running average are a few kernels a step."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw


class Flat:
    """Each parameter becomes a view of `values` (P,): what is written there, the parameter has, and the other way round.

    A parameter keeps its identity, shape and value; one without gradient counts as having a gradient of 0. `decayed`: how many of
    the P numbers, the first ones, belong to matrices and higher. All on one device and of one type.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        every = list(parameters)
        self.parameters = sorted(every, key=lambda p: p.dim() < 2)  # matrices first
        self.sizes = [p.numel() for p in self.parameters]
        self.decayed = sum(p.numel() for p in every if p.dim() > 1)
        self.values = torch.cat([p.detach().flatten() for p in self.parameters])
        self.matrices = self.values[: self.decayed]
        for p, part in zip(self.parameters, self.values.split(self.sizes), strict=True):
            p.data = part.view_as(p)

    def gradient(self) -> Tensor:
        """(P,) a copy of the gradients, each freed from its parameter."""
        parts = [p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in self.parameters]
        for p in self.parameters:
            p.grad = None
        return torch.cat(parts)


class AdamW:
    """torch's fused AdamW of one tensor, without decay. Its optimizer object spends three times as long on its upkeep as on the numbers."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self.moments = torch.zeros_like(values), torch.zeros_like(values)
        self.steps = torch.zeros((), device=values.device)

    def step(self, gradient: Tensor, lr: float) -> None:
        first, second = ([moment] for moment in self.moments)
        adamw(
            [self.values], [gradient], first, second, [], [self.steps], fused=True, lr=lr, weight_decay=0.0,
            beta1=0.9, beta2=0.999, eps=1e-8, amsgrad=False, maximize=False,
        )  # fmt: skip
