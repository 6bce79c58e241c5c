"""Exact bootstrap of stratified AUROC and average precision, for all methods and outcomes on the same draws.

A resample is one whole count per unit (a patient, or the group of patients that stays together), drawn within the folds of
the first repeat. The same counts weight the unit's rows in every method, outcome, fold and repeat, so that every difference
is paired. With these counts as weights the metrics equal scikit-learn's on the rows written out as often as drawn (test).

The work: sort each curve once; between two neighbouring events only the number of other rows matters, so one sparse matrix
per fold and outcome maps counts per unit to counts per event step, of all methods at once; running sums of those are true
and false positives. Blocks of resamples have a fixed width, so that no number depends on how many there are.
Unknown labels (NaN) and methods without predictions (NaN) are left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bench.core import BenchError

Vector: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.uint16]

BLOCK = 64  # resamples per pass: a fold of 2,500 rows then needs 1.3 MB and stays near the processor
ROUNDS = 1_000  # redraws of one resample before giving up


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One test fold of one repeat, with the predictions of all methods.

    unit: (n,) which unit each row belongs to, 0..U-1. y: (n, T) 0, 1, NaN. weight: (n, T), > 0 where y is known.
    p: (M, n, T), NaN throughout where a method has no predictions of this cell.
    """

    repeat: int
    fold: int
    unit: NDArray[np.int64]
    y: Vector
    weight: Vector
    p: Vector


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """The sums that stratified metrics are ratios of, per cell, outcome and resample (C, T, B), and method (M, C, T, B).

    A method's AUROC over some cells is the sum of its `concordant` over the sum of `pairs`, its average precision the sum of
    `precision` over the sum of `events`. NaN where the method has no predictions of the cell.
    """

    pairs: Vector
    events: Vector
    concordant: Vector
    precision: Vector


def draw(
    stratum: NDArray[Any], resamples: int, seed: int, defined: Callable[[Counts], NDArray[np.bool_]] | None = None
) -> tuple[Counts, int]:
    """(U, resamples) how often each unit is drawn, with as many draws within each stratum as it has units; and the redraws.

    A resample for which `defined` ((U, b) counts -> (b,)) says no is drawn again, whole. Resample b comes from its own stream
    SeedSequence([seed, b]) and so does not depend on how many there are. BenchError after 1,000 redraws of one resample.
    """
    members = [np.flatnonzero(stratum == s) for s in np.unique(stratum)]
    streams = [np.random.default_rng([seed, b]) for b in range(resamples)]
    counts = np.zeros((len(stratum), resamples), np.uint16)
    pending, redraws = np.arange(resamples), 0
    for _ in range(ROUNDS):
        for b in pending:
            for units in members:
                drawn = streams[b].integers(0, len(units), len(units))
                counts[units, b] = np.bincount(drawn, minlength=len(units))
        if defined is None or not len(pending):
            return counts, redraws
        pending = pending[~defined(counts[:, pending])]
        redraws += len(pending)
    raise BenchError(
        f"every outcome must be defined in a resample, but {len(pending)} of {resamples} resamples were not after {ROUNDS} "
        "redraws: the events of an outcome sit in too few groups. Leave that outcome out."
    )


def class_sums(cell: Cell, counts: Counts) -> tuple[Vector, Vector]:
    """Weight of the events and of the other known rows in each resample, (T, B) each: what a resample can define."""
    units, local = np.unique(cell.unit, return_inverse=True)
    drawn = counts[units].astype(np.float64)

    def total(label: int) -> Vector:
        weight = np.where(cell.y == label, cell.weight, 0.0)
        return np.stack([np.bincount(local, column, minlength=len(units)) for column in weight.T]) @ drawn

    return total(1), total(0)


def sums(cells: Sequence[Cell], counts: Counts) -> Sums:
    """The sums of all cells, methods and outcomes. The seam for a faster kernel: same arguments, same answer.

    counts: (U, B). Memory beside the answer: one cell's matrices and one block of resamples.
    """
    tasks, methods, resamples = cells[0].y.shape[1], len(cells[0].p), counts.shape[1]
    small = (len(cells), tasks, resamples)
    out = Sums(np.empty(small), np.empty(small), np.full((methods, *small), np.nan), np.full((methods, *small), np.nan))
    for c, cell in enumerate(cells):
        units, local = np.unique(cell.unit, return_inverse=True)
        curves = [_curves(cell, t, local, len(units)) for t in range(tasks)]
        for start in range(0, resamples, BLOCK):
            columns = slice(start, min(start + BLOCK, resamples))
            drawn = np.zeros((len(units), BLOCK))  # the last block is padded, so that all are summed in the same order
            drawn[:, : columns.stop - start] = counts[units, columns]
            for t, curve in enumerate(curves):
                _fill(out, (c, t, columns), curve, drawn)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class _Curves:
    """One cell and outcome: a matrix (rows, units) whose rows are what each event step of each method adds.

    Row 0 sums the events, row 1 the other rows. Then method after method, for its steps (the distinct scores of its g
    events, from the top): g rows of events; g rows of others at or above this step and below the one before; then one row of
    tied others per step that has any.
    """

    matrix: Any  # scipy.sparse.csr_array
    spans: list[tuple[int, int, int, NDArray[np.int64]]]  # method, its first row, g, the steps with tied others


def _curves(cell: Cell, t: int, local: NDArray[Any], units: int) -> _Curves:
    known = ~np.isnan(cell.y[:, t])
    event, w, unit = cell.y[known, t] == 1, cell.weight[known, t], local[known]
    places, owners = [np.where(event, 0, 1)], [np.arange(len(w))]
    spans: list[tuple[int, int, int, NDArray[np.int64]]] = []
    top = 2
    for m, p in enumerate(cell.p[:, known, t]):
        if np.isnan(cell.p[m, :, t]).any():
            continue
        steps = np.unique(p[event])[::-1]
        g = len(steps)
        step = np.searchsorted(-steps, -p)  # the first step at or below the row's score; g: below all events, no matter
        above, tied = ~event & (step < g), ~event & np.isin(p, steps)
        with_ties, which = np.unique(step[tied], return_inverse=True)
        places += [top + step[event], top + g + step[above], top + 2 * g + which]
        owners += [np.flatnonzero(event), np.flatnonzero(above), np.flatnonzero(tied)]
        spans.append((m, top, g, with_ties))
        top += 2 * g + len(with_ties)
    rows = np.concatenate(owners)
    matrix = sparse.csr_array((w[rows], (np.concatenate(places), unit[rows])), shape=(top, units))
    return _Curves(matrix, spans)


def _fill(out: Sums, at: tuple[int, int, slice], curves: _Curves, drawn: Vector) -> None:
    """Write one block of resamples of one cell and outcome. drawn: (units, BLOCK)."""
    c, t, columns = at
    keep = slice(0, columns.stop - columns.start)
    steps = curves.matrix @ drawn  # (rows, BLOCK)
    events, others = steps[0], steps[1]
    out.events[c, t, columns] = events[keep]
    out.pairs[c, t, columns] = (events * others)[keep]
    for m, first, g, with_ties in curves.spans:
        gained = steps[first : first + g]
        hits = np.cumsum(gained, axis=0)
        false = np.cumsum(steps[first + g : first + 2 * g], axis=0)
        tied = steps[first + 2 * g : first + 2 * g + len(with_ties)]
        concordant = (gained * (others - false)).sum(axis=0) + (gained[with_ties] * tied).sum(axis=0) / 2
        precision = (gained * (hits / np.maximum(hits + false, 1e-300))).sum(axis=0)  # nothing drawn so far: 0 x 0
        out.concordant[m, c, t, columns] = concordant[keep]
        out.precision[m, c, t, columns] = precision[keep]
