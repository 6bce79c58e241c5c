"""Parameters side by side in one tensor, so that clipping, the optimizer and the running average are a few kernels a step."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


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
        for p, part in zip(self.parameters, self.values.split(self.sizes), strict=True):
            p.data = part.view_as(p)

    def gradient(self) -> Tensor:
        """(P,) a copy of the gradients, each freed from its parameter."""
        parts = [p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in self.parameters]
        for p in self.parameters:
            p.grad = None
        return torch.cat(parts)
