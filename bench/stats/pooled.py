"""Risks pooled over the folds of a repeat, as predicted and recalibrated: what calibration and net benefit are computed from.

Rows whose label is unknown are left out. A method without predictions of a cell is NaN there. Where validation rows are not
stored, nothing is recalibrated and there is the raw version only.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from bench.bootstrap import Cell, Vector, present
from bench.metrics import TOTAL_EVENTS
from bench.recalibrate import logistic_recalibration, recalibrated
from bench.stats.estimates import Evidence, Mask

ISOTONIC_EVENTS = 200  # validation events (and non-events) in every fold from which isotonic regression is used
RAW, RECALIBRATED = "raw", "recalibrated"
_Answer = TypeVar("_Answer")


def remembered(function: Callable[[Evidence], _Answer]) -> Callable[[Evidence], _Answer]:
    """Compute once for the same evidence, for as long as that lives: several tables are read off the same work."""
    known: WeakKeyDictionary[Evidence, Any] = WeakKeyDictionary()

    @wraps(function)
    def answer(evidence: Evidence) -> _Answer:
        if evidence not in known:
            known[evidence] = function(evidence)
        return known[evidence]

    return answer


@dataclass(frozen=True, eq=False)
class Version:
    """Risks of all methods. how: (T) of recalibration, "" if raw. p: per cell (M, n, T), NaN where a method has none, see `Cell`."""

    name: str
    how: tuple[str, ...]
    p: list[Vector]

    @property
    def scope(self) -> Mask:
        """(M, C) the method has risks of the cell."""
        return np.array([present(p) for p in self.p]).T


@dataclass(frozen=True, eq=False)
class Pool:
    """The rows of one repeat with a known label. unit, y, weight: (n,). p: (M, n), NaN where a method has none.

    varies: (M,) whether the risks differ within a fold. Those of a constant differ between folds only, and say nothing.
    """

    unit: NDArray[np.int64]
    y: Vector
    weight: Vector
    p: Vector
    varies: Mask


@remembered
def versions(evidence: Evidence) -> list[Version]:
    """The raw risks and, where validation rows are stored, the recalibrated ones.

    Recalibration is fitted for every method, outcome, repeat and fold on the validation rows of that repeat and fold: logistic
    (intercept and slope), or isotonic where every fold has at least 200 events and 200 others, the same in all folds.
    """
    raw = Version(RAW, ("",) * len(evidence.tasks), [cell.p for cell in evidence.cells])
    if not evidence.valid:
        return [raw]
    fewest = np.min([[(cell.y == label).sum(axis=0) for label in (0, 1)] for cell in evidence.valid], axis=(0, 1))
    how = tuple("isotonic" if count >= ISOTONIC_EVENTS else "logistic" for count in fewest)
    p = [_recalibrate(test.p, valid, how) for test, valid in zip(evidence.cells, evidence.valid, strict=True)]
    return [raw, Version(RECALIBRATED, how, p)]


def _recalibrate(p: Vector, valid: Cell, how: tuple[str, ...]) -> Vector:
    """(M, n, T) test risks under what the validation rows teach; NaN for a method without validation predictions."""
    out = np.full_like(p, np.nan)
    there = present(p) & present(valid.p)
    for t, kind in enumerate(how):
        known = ~np.isnan(valid.y[:, t])
        y, w, of_valid = valid.y[known, t], valid.weight[known, t], valid.p[there][:, known, t]
        if kind == "isotonic":
            out[there, :, t] = [isotonic(y, own, w, new) for own, new in zip(of_valid, p[there, :, t], strict=True)]
        elif there.any():
            columns = np.broadcast_to(y[:, None], of_valid.T.shape), of_valid.T, np.broadcast_to(w[:, None], of_valid.T.shape)
            out[there, :, t] = recalibrated(p[there, :, t].T, logistic_recalibration(*columns)).T
    return out


def isotonic(y: Vector, p: Vector, w: Vector, new: Vector) -> Vector:
    """Isotonic regression of y on p with weights w, read at the risks `new`; linear between the fitted risks, constant beyond.

    Ties of p are one point. Equal to `sklearn.isotonic.IsotonicRegression(out_of_bounds="clip")`, but that risks end half a
    row of all from 0 and 1: a block without events is no proof that there are none. y, p, w: (n,); new: any shape.
    """
    from scipy.optimize import isotonic_regression

    x, group = np.unique(p, return_inverse=True)
    weight = np.bincount(group, w)
    fitted = isotonic_regression(np.bincount(group, w * y) / weight, weights=weight).x
    return np.clip(np.interp(new, x, fitted), 0.5 / len(y), 1 - 0.5 / len(y))


def pools(evidence: Evidence, version: Version, t: int, cells: Mask | None = None) -> Iterator[Pool]:
    """Repeat after repeat, the rows with a known label of outcome t in all cells or those of the mask (C,)."""
    chosen = np.ones(len(evidence.cells), bool) if cells is None else cells
    for repeat in np.unique(evidence.plan.repeat[chosen]):
        own = np.flatnonzero(chosen & (evidence.plan.repeat == repeat)).tolist()
        known = {c: ~np.isnan(evidence.cells[c].y[:, t]) for c in own}
        p = [version.p[c][:, known[c], t] for c in own]
        yield Pool(
            unit=np.concatenate([evidence.cells[c].unit[known[c]] for c in own]),
            y=np.concatenate([evidence.cells[c].y[known[c], t] for c in own]),
            weight=np.concatenate([evidence.cells[c].weight[known[c], t] for c in own]),
            p=np.concatenate(p, axis=1),
            varies=np.any([(of_fold[:, :1] != of_fold[:, 1:]).any(axis=1) for of_fold in p], axis=0),
        )


def by_unit(unit: NDArray[np.int64]) -> tuple[NDArray[np.int64], Any]:
    """(u,) the units of some rows (n,), and the sparse matrix (u, n) that sums values of rows over each unit."""
    units, local = np.unique(unit, return_inverse=True)
    return units, sparse.csr_array((np.ones(len(local)), (local, np.arange(len(local)))), shape=(len(units), len(local)))


def enough(y: Vector) -> bool:
    """At least 20 events and 20 others: under that nothing is said of calibration and net benefit."""
    return min((y == 1).sum(), (y == 0).sum()) >= TOTAL_EVENTS


def mean_of_known(values: Vector) -> Vector:
    """Mean over the first axis without NaN; NaN where all are."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0)


def stacked(parts: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """One table of many short ones, without a frame for each. parts: column -> array, or what is the same in all rows of the part."""
    sizes = [max(len(value) for value in part.values() if isinstance(value, np.ndarray)) for part in parts]

    def column(name: str) -> Any:
        values = [part[name] for part in parts]
        if isinstance(values[0], np.ndarray):
            return np.concatenate(values)
        return np.repeat(np.array(values, object if isinstance(values[0], str) else None), sizes)

    return pd.DataFrame({name: column(name) for name in columns}) if parts else pd.DataFrame(columns=list(columns))
