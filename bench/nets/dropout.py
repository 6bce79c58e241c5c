"""Dropout from random bytes: eight elements a draw, where torch's draws one at a time. On a CPU a sixth of the cost."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class _Several(NamedTuple):
    """Of networks that are computed as one: where each draws from, and how many rows of the batch are its own."""

    generators: Sequence[torch.Generator]
    rows: Sequence[int]


_several: ContextVar[_Several | None] = ContextVar("several", default=None)


@contextmanager
def apart(generators: Sequence[torch.Generator], rows: Sequence[int]) -> Generator[None, None, None]:
    """Under `torch.vmap` over networks, each draws its masks from a generator of its own, as it would if it were alone.

    rows: of each network's batch; what stands behind them is filling, for which nothing is drawn.
    """
    token = _several.set(_Several(generators, rows))
    try:
        yield
    finally:
        _several.reset(token)


class Dropout(nn.Module):
    """`nn.Dropout` with p rounded to 1/256, and at most 255/256. The expectation is exact: what is kept is divided by the rounded share."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.dropped = min(round(p * 256), 255)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.dropped == 0:
            return x
        if _several.get() is not None:
            return _Apart.apply(x, self.dropped)  # pyright: ignore[reportReturnType]
        return x * _mask(x, self.dropped)


def _mask(x: Tensor, dropped: int) -> Tensor:
    """x's shape and type: 0, or what keeps the expectation."""
    kept = _drawn(x.numel(), x.device).ge_(dropped)  # in place: to make booleans of it would cost ten times as much
    return kept.view(x.shape).to(x.dtype).mul_(256 / (256 - dropped))


def _drawn(count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
    """(count,) whole numbers from 0 to 255."""
    draws = torch.empty(-(-count // 8), dtype=torch.int64, device=device).random_(-(2**63), None, generator=generator)
    return draws.view(torch.uint8)[:count]


class _Apart(torch.autograd.Function):
    """Dropout of networks under `torch.vmap`, their axis first: only there a function sees all of them at once."""

    generate_vmap_rule = False

    @staticmethod
    def forward(x: Tensor, dropped: int) -> Tensor:
        raise RuntimeError("masks of several networks are drawn under torch.vmap alone")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Nothing is kept: `vmap` below is made of functions that know their gradients."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> tuple[Tensor, int]:
        several, axis = _several.get(), in_dims[0]
        x, dropped = args
        assert several is not None
        assert axis is not None
        x = x.movedim(axis, 0)  # (K, B, ...)
        each = x[0, 0].numel()
        kept = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
        for row, generator, rows in zip(kept.flatten(1), several.generators, several.rows, strict=True):
            row[: rows * each] = _drawn(rows * each, x.device, generator) >= dropped
        return x * kept.to(x.dtype).mul_(256 / (256 - dropped)), 0
