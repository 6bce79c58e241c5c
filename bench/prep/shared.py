"""What fitted parts made of a modality, for all methods of a fold: kept while the modality lives, and within bounds."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from bench.core import Modality

T = TypeVar("T")
BYTES = 512 * 2**20  # kept per process at most; what is above it is made anew for every method

_made: WeakKeyDictionary[Modality, list[tuple[Callable[[Any], Any], Any]]] = WeakKeyDictionary()


def applied(part: Callable[[Any], T], modality: Modality) -> T:
    """`part(modality)`, an array or named arrays, read-only since others read them too. It must be a function of the two alone."""
    known = _made.setdefault(modality, [])
    for other, made in known:
        if other is part:
            return made
    made = part(modality)
    for array in _arrays(made):
        array.flags.writeable = False
    if _size(made) + sum(_size(one) for kept in _made.values() for _, one in kept) <= BYTES:
        known.append((part, made))
    return made


def _arrays(made: Any) -> list[np.ndarray]:
    return list(made.values()) if isinstance(made, dict) else [made]


def _size(made: Any) -> int:
    return sum(array.nbytes for array in _arrays(made))


class Clock:
    """Seconds this process spent on preparations: they serve all methods of a fold, so none of them pays."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.running = False

    @contextmanager
    def __call__(self) -> Generator[None]:
        """Around a piece of preparation; pieces within pieces count once."""
        if self.running:
            yield
            return
        self.running, start = True, time.perf_counter()
        try:
            yield
        finally:
            self.running = False
            self.seconds += time.perf_counter() - start


clock = Clock()
