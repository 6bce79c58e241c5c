"""Losses of one label each, and their mean over a task's known labels.

An unknown label has weight 0 and adds nothing to loss or gradient; a task without any known label has loss 0.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

GAMMA_POSITIVE, GAMMA_NEGATIVE, MARGIN = 1.0, 4.0, 0.05


def cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    """-log p of what happened. z: logits; y: 0 or 1; any shape."""
    return functional.binary_cross_entropy_with_logits(z, y, reduction="none")


def asymmetric(z: Tensor, y: Tensor) -> Tensor:
    """Ridnik et al., "Asymmetric Loss for Multi-Label Classification", ICCV 2021, with its defaults (gammas 1 and 4, margin .05).

    y = 1: -(1 - p) log p;   y = 0: -q^4 log(1 - q), q = max(p - .05, 0). Not proper: its optimum is not the risk, so what it
    trains must be recalibrated before probabilities are judged.
    """
    p = torch.sigmoid(z)
    q = (p - MARGIN).clamp(min=0)
    hit = (1 - p) ** GAMMA_POSITIVE * functional.softplus(-z)
    miss = -(q**GAMMA_NEGATIVE) * torch.log1p(-q)
    return torch.where(y > 0, hit, miss)


def both(z: Tensor, y: Tensor) -> Tensor:
    """The mean of the two: OrthTD is said to combine them, and how is not known."""
    return (cross_entropy(z, y) + asymmetric(z, y)) / 2


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"bce": cross_entropy, "asymmetric": asymmetric, "both": both}


def per_task(each: Tensor, w: Tensor) -> Tensor:
    """Weighted mean over the rows: (B, T), (B, T) -> (T,), 0 where all weights are. Scaling a task's weights changes nothing."""
    total = w.sum(0)
    return (each * w).sum(0) / torch.where(total > 0, total, 1.0)
