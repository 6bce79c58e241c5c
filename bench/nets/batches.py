"""Prepared batches: arrays on a device, parts of them by rows, and those of several networks end to end."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.nets.encoders import Batch


def tensors(
    arrays: Mapping[str, Mapping[str, NDArray[Any]]], device: torch.device | str, dtype: torch.dtype = torch.float32
) -> Batch:
    """Prepared arrays on the device, one row a patient. dtype: of those that are float32."""
    n = {key: len(part["present"]) for key, part in arrays.items()}

    def one(key: str, name: str, array: NDArray[Any]) -> Tensor:
        tensor = torch.tensor(array, device=device)
        tensor = tensor.to(dtype) if tensor.dtype == torch.float32 else tensor
        return tensor.expand(n[key], -1) if name == "time" and array.ndim == 1 else tensor

    return {key: {name: one(key, name, a) for name, a in part.items()} for key, part in arrays.items()}


def length(batch: Batch) -> int:
    return len(next(iter(next(iter(batch.values())).values())))


class _Rows(Mapping[str, Tensor]):
    """Arrays at some rows, each gathered when it is first read."""

    def __init__(self, arrays: Mapping[str, Tensor], index: Tensor) -> None:
        self.arrays, self.index = arrays, index
        self.read: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.read:
            self.read[name] = self.arrays[name].index_select(0, self.index)
        return self.read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


def take(batch: Batch, index: Tensor) -> Batch:
    """The batch's rows at these places; what no network reads is never gathered."""
    return {key: _Rows(part, index) for key, part in batch.items()}


def between(batch: Batch, start: int, stop: int) -> Batch:
    return {key: {name: array[start:stop] for name, array in part.items()} for key, part in batch.items()}


def several(batch: Batch, index: Tensor) -> Batch:
    """(n, ...) arrays at places (K, B): (K, B, ...)."""
    taken = take(batch, index.flatten())
    return {key: {name: array.unflatten(0, index.shape) for name, array in part.items()} for key, part in taken.items()}


def joined(batches: Sequence[Batch]) -> Batch:
    """Batches of the same modalities end to end, and one more row, the first once more, to fill up with."""
    filling = between(batches[0], 0, 1)
    parts = [*batches, filling]
    return {key: {name: torch.cat([part[key][name] for part in parts]) for name in arrays} for key, arrays in filling.items()}
