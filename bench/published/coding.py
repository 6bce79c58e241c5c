"""Risks as small whole numbers: logits in steps, as coarse as leaves AUROC, average precision and the risks what they are.

Two risks that fall into one step would tie, and average precision as a step function is lower where there are ties. So ties that
the steps make are opened again, by far less than a step, in an order drawn from a salt; ties that a method itself made must stay.
Of all ways on the ladder the first is taken whose scores are within the bounds. Nothing is assumed: every column is measured.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench import metrics
from bench.bootstrap import Vector
from bench.core import BenchError

SCORE_BOUND = 5e-5  # of AUROC and average precision of a repeat, within folds as the table has them
RISK_BOUND = 1e-3
LADDER = range(7, 21)  # a logit is 2 ** rung steps; a step of the first changes no risk by more than .00098
KEPT = -1  # ties stay ties
SALTS = range(12)
OPENING = 1e-6  # steps between two that tied


@dataclass(frozen=True, eq=False)
class Column:
    """The risks of one method, repeat and outcome at the rows whose label is known, in the order of the rows.

    logit = (least + values) / steps, ties opened in the order of `salt` unless it is KEPT.
    """

    values: NDArray[np.int32]
    least: int
    steps: int
    salt: int

    def risks(self) -> Vector:
        whole = self.values.astype(np.float64) + self.least
        return sigmoid((whole + _opened(self.values, self.salt)) / self.steps)


@dataclass(frozen=True, eq=False)
class Scores:
    """Of one repeat and outcome, within folds; NaN where undefined."""

    auroc: float
    ap: float

    @classmethod
    def of(cls, y: Vector, p: Vector, fold: NDArray[np.integer], weight: Vector) -> "Scores":
        return cls(metrics.stratified_auroc(y, p, fold, weight), metrics.stratified_average_precision(y, p, fold, weight))

    def apart(self, other: "Scores") -> tuple[float, float]:
        """By how much AUROC and average precision differ: 0 where neither is defined, inf where one is."""
        return _apart(self.auroc, other.auroc), _apart(self.ap, other.ap)


def coded(y: Vector, p: Vector, fold: NDArray[np.integer], weight: Vector) -> tuple[Column, Scores, tuple[float, float, float]]:
    """The coarsest column within the bounds, its scores, and by how much AUROC, average precision and any risk changed.

    y: 0 or 1, all known. p: risks in (0, 1). All (n,). BenchError where no step of the ladder will do.
    """
    p = p.astype(np.float64)
    was = Scores.of(y, p, fold, weight)
    for column in _ways(np.log(p) - np.log1p(-p)):
        risks = column.risks()
        now = Scores.of(y, risks, fold, weight)
        change = (*now.apart(was), float(np.abs(risks - p).max(initial=0.0)))
        if max(change[:2]) < SCORE_BOUND and change[2] < RISK_BOUND:
            return column, now, change
    raise BenchError(f"no step down to 2 to the -{LADDER[-1]} keeps AUROC and average precision within {SCORE_BOUND:g}")


def _ways(logit: Vector) -> Iterator[Column]:
    for rung in LADDER:
        whole = np.rint(logit * 2**rung).astype(np.int64)
        least = int(whole.min()) if len(whole) else 0
        values = (whole - least).astype(np.int32)
        for salt in (KEPT, *SALTS):
            yield Column(values, least, 2**rung, salt)


def _opened(values: NDArray[np.int32], salt: int) -> Vector:
    """(n,) what is added so that no two are equal, in steps; the same on every machine."""
    out = np.zeros(len(values))
    if salt == KEPT or not len(values):
        return out
    order = np.lexsort((_mixed(len(values), salt), values))
    place, new = np.arange(len(values)), np.diff(values[order], prepend=values[order][0] - 1) != 0
    out[order] = OPENING * (place - np.maximum.accumulate(np.where(new, place, 0)))
    return out


def _mixed(n: int, salt: int) -> NDArray[np.uint64]:
    """(n,) SplitMix64 of 0 .. n - 1: Steele, Lea and Flood, OOPSLA 2014. numpy's own draws may change with its version."""
    x = (np.arange(n, dtype=np.uint64) + np.uint64(salt << 32)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def sigmoid(logit: Vector) -> Vector:
    return 1 / (1 + np.exp(-logit))


def _apart(a: float, b: float) -> float:
    return 0.0 if np.isnan(a) and np.isnan(b) else float("inf") if np.isnan(a) or np.isnan(b) else abs(a - b)
