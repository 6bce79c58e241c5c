"""What a fitted network shows of patients: the fused vector, the parts it is split into, gates, and what a part is worth."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.diagnose.geometry import Matrix
from bench.diagnose.parts import View
from bench.nets.batches import between
from bench.nets.encoders import Batch
from bench.nets.experts import Gates

CHUNK = 512  # rows a forward pass takes at once


def _chunks(batch: Batch) -> list[Batch]:
    n = len(next(iter(batch.values()))["present"])
    return [between(batch, i, i + CHUNK) for i in range(0, n, CHUNK)]


def _numpy(tensor: Tensor) -> Matrix:
    return tensor.cpu().numpy().astype(np.float64)


@torch.no_grad()
def view(network: nn.Module, batch: Batch, tasks: tuple[str, ...]) -> View:
    """Of a network with `encoder` and `sharing`, dropout off; `sharing.parts(h)` splits where it is there."""
    net: Any = network.eval()
    fused: Tensor = torch.cat([net.encoder(chunk).flatten(1) for chunk in _chunks(batch)])
    split = getattr(net.sharing, "parts", None)
    if split is None:
        return View(_numpy(fused), {})
    shared, specific = split(fused)
    return View(
        _numpy(fused), {"s": _numpy(shared)} | {f"p:{t}": _numpy(p) for t, p in zip(tasks, specific.unbind(1), strict=True)}
    )


@torch.no_grad()
def gates(network: nn.Module, batch: Batch) -> list[Matrix]:
    """The gates of every block of gates, (n, G, E) each, NaN where a gate cannot see the expert."""
    found = [module for module in network.eval().modules() if isinstance(module, Gates)]
    seen: list[list[Tensor]] = [[] for _ in found]
    for chunk in _chunks(batch) if found else []:
        network(chunk)
        for module, weights in zip(found, seen, strict=True):
            weights.append(module.weights.masked_fill(torch.isinf(module.hidden), torch.nan))
    return [_numpy(torch.cat(weights)) for weights in seen]


@torch.no_grad()
def scores(network: nn.Module, batch: Batch) -> Matrix:
    """Logits (n, T)."""
    return _numpy(torch.cat([network.eval()(chunk) for chunk in _chunks(batch)]))


def without(network: nn.Module, batch: Batch, which: int, by: Matrix) -> Matrix:
    """Logits (n, T) when one part is the same vector for every patient. which: 0 = shared, t + 1 = task t's. by: (k,).

    The sharing block's forward must take its vectors from its `parts`, which is replaced meanwhile.
    """
    block: Any = network.sharing
    split = block.parts

    def parts(h: Tensor) -> tuple[Tensor, Tensor]:
        shared, specific = split(h)
        both = torch.cat([shared[:, None], specific], dim=1)  # (n, 1 + T, k)
        both[:, which] = both.new_tensor(by)
        return both[:, 0], both[:, 1:]

    block.parts = parts
    try:
        return scores(network, batch)
    finally:
        del block.parts
