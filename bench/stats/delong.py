"""DeLong's test of AUROC within folds: the covariance of all methods' AUROCs on an outcome, without resampling.

Like the bootstrap it is about *these predictions*: the models are given, and so are the numbers of events and of others in
each fold. A row's placement value is the share of the other class, in its fold, that its score is on the right side of, ties
counted half. The stratified AUROC is the folds' AUROCs weighted by their pairs; folds hold different patients, so that its
variance is the sum of the folds' with squared weights. In one fold this is the test of DeLong, DeLong and Clarke-Pearson
("Comparing the areas under two or more correlated receiver operating characteristic curves: a nonparametric approach",
Biometrics 44, 1988), with the midranks of Sun and Xu ("Fast implementation of DeLong's algorithm for comparing the areas under
correlated receiver operating characteristic curves", IEEE Signal Processing Letters 21, 2014): sorting instead of pairs.

Written as influence values, one per unit (a patient, or the group of patients that stays together) whose products sum to the
covariances. From this follow: several rows of a unit add up (Obuchowski, Biometrics 53, 1997, but for the factor k/(k - 1) of
the terms between the classes); the mean over outcomes has the mean influence; with repeats, which are means of the same
patients' results, influence is averaged over repeats, so that repeating does not make the variance look smaller than it is.
Weights (inverse probability of being known) weight rows in the placement values and in their sums; they count as given, so that
the variance does not know of their estimation: somewhat too large, as a rule (Lunceford and Davidian 2004).

Undefined: a fold with one class adds no pair; with one unit of a class it has no spread to estimate, and the variance is NaN.
Unknown labels are left out. A method without predictions of a fold is estimated on the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import metrics
from bench.bootstrap import Cell, Vector
from bench.stats.decisions import wald
from bench.stats.estimates import BAYES, MEAN, Evidence, Mask

DELONG = ["method", "reference", "task", "difference", "se", "low", "high", "p"]


@dataclass(frozen=True, eq=False)
class Influence:
    """values: (M, T + 1) stratified AUROCs, the mean over outcomes last. influence: (M, T + 1, U) of each unit.

    The covariance of two values is the sum over units of the product of their influences.
    """

    values: Vector
    influence: Vector

    @property
    def covariance(self) -> Vector:
        """(T + 1, M, M)"""
        by_task = self.influence.transpose(1, 0, 2)
        return by_task @ by_task.transpose(0, 2, 1)


def delong(evidence: Evidence) -> pd.DataFrame:
    """DELONG: every method against the reference on the folds both have, outcome by outcome and on the mean.

    NaN with fewer than 20 events, or where no variance can be estimated. Identical predictions: difference 0, p 1. A difference
    without any spread (two rankings that never vary) has p NaN: the normal approximation says nothing then.
    low, high: 95 %. p: two-sided, normal.
    """
    plan, table = evidence.plan, list[dict[str, Any]]()
    if evidence.reference not in evidence.labels:
        return pd.DataFrame(columns=DELONG)
    r = evidence.labels.index(evidence.reference)
    averaged = plan.averaged[:, 0]
    whole = covariance(evidence)
    for m, label in enumerate(evidence.labels):
        if label in (evidence.reference, BAYES) or not plan.shared[m].any():
            continue
        same = np.array_equal(plan.scope[m], plan.scope[r])
        own, ref = (m, r) if same else (0, 1)
        found = whole if same else influence(_only(evidence.cells, [m, r]), np.stack([plan.shared[m]] * 2), averaged)
        enough = plan.fewest(plan.shared)[m] >= metrics.TOTAL_EVENTS
        enough = np.append(enough, enough[averaged].all())
        difference = np.where(enough, found.values[own] - found.values[ref], np.nan)
        columns = wald(difference, np.sqrt(((found.influence[own] - found.influence[ref]) ** 2).sum(axis=-1)))
        for t, task in enumerate([*evidence.tasks, MEAN]):
            row = {"method": label, "reference": evidence.reference, "task": task, "difference": difference[t]}
            table.append(row | {name: column[t] for name, column in columns.items()})
    return pd.DataFrame(table, columns=DELONG)


def covariance(evidence: Evidence) -> Influence:
    """The AUROCs of all methods, each on the folds it has, and the influences that all pairs' covariances come from."""
    return influence(evidence.cells, evidence.plan.scope, evidence.plan.averaged[:, 0])


def influence(cells: Sequence[Cell], scope: Mask, averaged: Mask) -> Influence:
    """AUROCs of all methods over their cells, and the influence of every unit on each.

    scope: (M, C) which cells count for a method; the others' influence there is 0. averaged: (T,) outcomes of the mean.
    """
    methods, tasks = len(scope), cells[0].y.shape[1]
    units = 1 + max(int(cell.unit.max()) for cell in cells)
    repeats = np.array([cell.repeat for cell in cells])
    value, effect = np.full((methods, tasks + 1), np.nan), np.zeros((methods, tasks + 1, units))
    for t in range(tasks):
        placed = [_placed(cell, t) for cell in cells]
        by_repeat = [_of_repeat(placed, scope & (repeats == r), units) for r in np.unique(repeats)]
        values = np.stack([v for v, _ in by_repeat])  # (R, M)
        defined = ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            value[:, t] = np.where(defined, values, 0.0).sum(axis=0) / defined.sum(axis=0)
            effect[:, t] = sum(e for _, e in by_repeat) / defined.sum(axis=0)[:, None]
    if averaged.any():
        value[:, -1] = value[:, :-1][:, averaged].mean(axis=1)
        effect[:, -1] = effect[:, :-1][:, averaged].mean(axis=1)
    return Influence(value, effect)


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """A cell and outcome: pairs, and per method its AUROC (M,) and the influence on it (M, k) of the units (k,)."""

    pairs: float
    auroc: Vector
    units: NDArray[np.int64]
    influence: Vector


def _of_repeat(placed: Sequence[_Placed], used: Mask, units: int) -> tuple[Vector, Vector]:
    """(M,) AUROCs over the cells of `used` (M, C), and their influences (M, U). NaN and 0 for a method without a pair."""
    pairs = np.array([cell.pairs for cell in placed])
    total = used @ pairs
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(used & (pairs > 0), pairs / total[:, None], 0.0)  # (M, C)
    value = np.where(total > 0, 0.0, np.nan)
    effect = np.zeros((len(used), units))
    for c in np.flatnonzero(used.any(axis=0) & (pairs > 0)).tolist():
        cell, weight = placed[c], share[:, c, None]
        value += np.where(used[:, c], share[:, c] * cell.auroc, 0.0)
        effect[:, cell.units] += np.where(used[:, c, None], weight * cell.influence, 0.0)
    return value, effect


def _placed(cell: Cell, t: int) -> _Placed:
    known = np.flatnonzero(~np.isnan(cell.y[:, t]))
    known = known[np.argsort(cell.unit[known], kind="stable")]  # rows of a unit side by side
    unit, event, w, p = cell.unit[known], cell.y[known, t] == 1, cell.weight[known, t], cell.p[:, known, t]
    of_events, of_others = w[event].sum(), w[~event].sum()
    pairs = float(of_events * of_others)
    if not pairs:
        return _Placed(0.0, np.full(len(p), np.nan), unit[:0], np.empty((len(p), 0)))
    placement = _placements(p, event, w)
    auroc = placement[:, event] @ w[event] / of_events
    size = np.where(event, of_events / _spread(unit[event]), of_others / _spread(unit[~event]))
    effect = (placement - auroc[:, None]) * (w / size)
    starts = np.flatnonzero(np.diff(unit, prepend=-1))
    return _Placed(pairs, auroc, unit[starts], np.add.reduceat(effect, starts, axis=1))


def _spread(units: NDArray[np.int64]) -> float:
    """sqrt(k / (k - 1)) for k units: the variance about an estimated mean; NaN for one unit, which has no spread."""
    k = 1 + int((np.diff(units) > 0).sum())
    return float(np.sqrt(k / (k - 1))) if k > 1 else float("nan")


def _placements(p: Vector, event: Mask, w: Vector) -> Vector:
    """(M, n) the weighted share of the other class that a row is on the right side of: below an event, above another row.

    p: (M, n). event, w: (n,), both classes present.
    """
    order = np.argsort(p, axis=1)
    of_class = np.stack([np.where(event, 0.0, w), np.where(event, w, 0.0)])[
        :, order
    ]  # (2, M, n) the others, the events; by score
    below = np.cumsum(of_class, axis=2)  # a row has no weight in the other class: of that, what stands before it
    rank = np.take_along_axis(p, order, axis=1)
    tied = rank[:, 1:] == rank[:, :-1]
    if tied.any():
        below = _half_of_ties(below, below - of_class, tied)
    share = np.where(event[order], below[0] / w[~event].sum(), 1 - below[1] / w[event].sum())
    out = np.empty_like(p)
    np.put_along_axis(out, order, share, axis=1)
    return out


def _half_of_ties(through: Vector, before: Vector, tied: Mask) -> Vector:
    """(2, M, n) the weight before each run of equal scores, plus half of the run's own. tied: (M, n - 1) equal to the one before."""
    new = np.pad(~tied, ((0, 0), (1, 0)), constant_values=True).ravel()
    first = np.flatnonzero(new)  # of each run, in the flattened (M, n)
    last = np.append(first[1:], new.size) - 1
    middle = (before.reshape(2, -1)[:, first] + through.reshape(2, -1)[:, last]) / 2
    return middle[:, np.cumsum(new) - 1].reshape(through.shape)


def _only(cells: Sequence[Cell], methods: Sequence[int]) -> list[Cell]:
    return [Cell(cell.repeat, cell.fold, cell.unit, cell.y, cell.weight, cell.p[list(methods)]) for cell in cells]
