"""Training rows in a model that is to be saved: some models are their training patients, which whoever gets the folder then has too.

Not known by names of methods: any table of numbers among the saved arrays counts, weights of networks apart, that is as long as the
training rows, or as those whose outcome is known, or that holds rows of theirs as the models see them. Rows that a method both changed and
chose from are not found.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core import Cohort, Predictor

FEW = 20  # rows from which on an equal length is no chance


def said(rows: int) -> list[str]:
    """What to tell of a model that holds so many."""
    return [f"the model holds {rows:,} rows of its training patients: keep and share it as you would them"] if rows else []


@dataclass(frozen=True)
class Seen:
    """What training rows are known by. counts: how many a model may have learned from. rows: each as the models see it, in bytes."""

    counts: frozenset[int]
    width: int
    rows: frozenset[bytes]

    @classmethod
    def of(cls, predictor: Predictor, train: Cohort) -> "Seen":
        """The rows behind the predictor's own preparation, where it has one (`bench.pertask`); else their number alone."""
        known = train.mask
        counts = {len(train), int(known.any(axis=1).sum()), *known.sum(axis=0).tolist()}
        prepare: Any = getattr(predictor, "prepare", None)
        x = np.asarray(prepare(train.inputs), np.float32) if callable(prepare) else np.zeros((0, 0), np.float32)
        return cls(frozenset(counts), x.shape[1], frozenset(_bytes(x)))

    def kept(self, arrays: Iterable[NDArray[Any]]) -> int:
        """Rows of the largest table of theirs among the arrays; 0 where there is none."""
        return max((self._kept(array) for array in arrays if array.ndim == 2 and array.dtype.kind == "f"), default=0)

    def _kept(self, table: NDArray[Any]) -> int:
        rows, width = table.shape
        if rows in self.counts and rows >= FEW and width > 1 and not _sorted(table):
            return rows
        return len(self.rows & set(_bytes(table.astype(np.float32)))) if width == self.width else 0


def _bytes(table: NDArray[np.float32]) -> list[bytes]:
    """Of every row but those without anything in them, which tell of nobody."""
    return [row.tobytes() for row in np.ascontiguousarray(table) if row.any()]


def _sorted(table: NDArray[Any]) -> bool:
    """Columns that rise are quantiles, which are of nobody."""
    return bool((np.diff(table, axis=0) >= 0).all())
