"""Gradients of the tasks' losses on the parameters they share: cosines, conflicts, and task affinity. Dropout is off.

Losses are the masked, weighted cross-entropies of the prediction, whatever the network was trained with: a stream whose gradient
training stops counts as shared. A task without a known label in the batch has loss 0 and no gradient; its pairs are NaN.
"""

from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bench.losses import cross_entropy, per_task
from bench.nets.encoders import Batch

Named: TypeAlias = dict[str, Tensor]


def shared_parameters(network: nn.Module) -> Named:
    """All parameters but the heads', as leaves of their own: the network stays as it is."""
    return {name: p.detach().requires_grad_() for name, p in network.named_parameters() if not name.startswith("heads.")}


def losses(network: nn.Module, shared: Named, batch: Batch, y: Tensor, w: Tensor) -> Tensor:
    """(T,) losses with these values of the shared parameters. y, w: (B, T), w is 0 where y is unknown."""
    logits: Any = functional_call(network, shared, (batch,))
    return per_task(cross_entropy(logits, y), w)


def task_gradients(network: nn.Module, batch: Batch, y: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Losses (T,) and their gradients (T, P) over the shared parameters, in evaluation mode."""
    shared = shared_parameters(network.eval())
    each = losses(network, shared, batch, y, w)
    leaves = list(shared.values())
    rows = [torch.autograd.grad(loss, leaves, retain_graph=True, materialize_grads=True) for loss in each]
    return each.detach(), torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])


def cosines(gradients: Tensor) -> Tensor:
    """(T, P) -> (T, T) g_t . g_u / (|g_t| |g_u|); NaN where a gradient is 0."""
    unit = gradients / gradients.norm(dim=1, keepdim=True)
    return unit @ unit.T


def first_order(each: Tensor, gradients: Tensor, eta: float) -> Tensor:
    """(T, T) eta g_t . g_u / L_u, what `affinity` tends to as eta goes to 0; NaN where L_u is 0."""
    return eta * (gradients @ gradients.T) / torch.where(each > 0, each, torch.nan)


def affinity(network: nn.Module, batch: Batch, y: Tensor, w: Tensor, eta: float) -> Tensor:
    """(T, T) Z[t, u] = 1 - L_u(theta - eta g_t) / L_u(theta): the share of u's loss that a step for t takes away, heads fixed.

    Fifty et al., "Efficiently Identifying Task Groupings for Multi-Task Learning", NeurIPS 2021 (arXiv 2109.04617), eq. 1, which
    averages it over training; here it is taken of one network. Both losses are of the same batch. NaN where L_u is 0.
    """
    before, gradients = task_gradients(network, batch, y, w)
    return affinity_of(network, batch, y, w, eta, before, gradients)


@torch.no_grad()
def affinity_of(network: nn.Module, batch: Batch, y: Tensor, w: Tensor, eta: float, before: Tensor, gradients: Tensor) -> Tensor:
    """`affinity`, given what `task_gradients` returned."""
    shared = shared_parameters(network)
    sizes = [p.numel() for p in shared.values()]

    def stepped(gradient: Tensor) -> Named:
        parts = gradient.split(sizes)
        return {name: p - eta * g.view_as(p) for (name, p), g in zip(shared.items(), parts, strict=True)}

    after = torch.stack([losses(network, stepped(g), batch, y, w) for g in gradients])  # (T, T)
    return 1 - after / torch.where(before > 0, before, torch.nan)
