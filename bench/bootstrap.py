"""Exact bootstrap of stratified metrics, for all methods and outcomes on the same draws.

A resample is one whole count per unit (a patient, or the group of patients that stays together), drawn within the folds of
the first repeat. The same counts weight the unit's rows in every method, outcome, fold and repeat, so that every difference
is paired. With these counts as weights the metrics equal scikit-learn's on the rows written out as often as drawn (test).

The work: sort each curve once per fold. Only the scores that an event has matter, and between two of them only how many other
rows were drawn: `bench.kernels` adds those up for 128 resamples at a time in machine code; without numba a sparse matrix per
curve does, some 20 times slower. The last pass is filled up with zeros, so that no number depends on how many resamples
there are. Unknown labels (NaN) and methods without predictions (NaN) are left out.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bench.core import BenchError

Vector: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.uint16]

BLOCK = 128  # resamples per pass, as in `bench.kernels`: a fold of 2,500 units then needs 0.6 MB and stays near the processor
PART = 4 * BLOCK  # resamples per piece of work that a thread takes
ROUNDS = 1_000  # redraws of one resample before giving up
CLIP = 1e-7  # probabilities are cut to [1e-7, 1 - 1e-7] in the log loss


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One test fold of one repeat, with the predictions of all methods.

    unit: (n,) which unit each row belongs to, 0..U-1. y: (n, T) 0, 1, NaN. weight: (n, T), > 0 where y is known.
    p: (M, n, T), NaN throughout where a method has no predictions of this cell; of a published method also where y is unknown.
    """

    repeat: int
    fold: int
    unit: NDArray[np.int64]
    y: Vector
    weight: Vector
    p: Vector


def present(p: Vector) -> NDArray[np.bool_]:
    """(M,) which methods have predictions of a cell. p: (M, n, T) as in `Cell`."""
    return np.asarray(~np.isnan(p).all(axis=(1, 2))) if p.shape[1] else np.ones(len(p), bool)


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """The sums that stratified metrics are ratios of, per cell, outcome and resample (C, T, B), and method (M, C, T, B).

    Over some cells a method's AUROC is the sum of `concordant` over that of `pairs`, its average precision `precision` over
    `events`, its Brier score `squared` (errors) over `rows` (the weight of all known rows), its log loss in nats `log_loss` over
    `rows`. NaN where the method has no predictions of the cell.
    """

    pairs: Vector
    events: Vector
    rows: Vector
    concordant: Vector
    precision: Vector
    squared: Vector
    log_loss: Vector


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
    by_class = np.vstack([np.where(cell.y == label, cell.weight, 0.0).T for label in (1, 0)])
    weight = _per_unit(by_class, local, len(units))  # (2 T, u)
    starts = range(0, max(counts.shape[1], 1), PART)  # in parts, for the counts of a fold take four times the space as floats
    total = np.hstack([weight @ counts[units, start : start + PART].astype(np.float64) for start in starts])
    return total[: len(total) // 2], total[len(total) // 2 :]


def _per_unit(values: Vector, local: NDArray[Any], units: int) -> Vector:
    """(K, n) values of rows -> (K, units) their sum over each unit's rows."""
    return np.array([np.bincount(local, row, minlength=units) for row in values], np.float64)


def sums(cells: Sequence[Cell], counts: Counts, *, compiled: bool | None = None) -> Sums:
    """The sums of all cells, methods and outcomes, on as many threads as numba may use (NUMBA_NUM_THREADS, set_num_threads).

    counts: (U, B). compiled: by numba (None: where it can be imported) or by numpy and scipy alone, which agree to 1e-12. Neither
    depends on the number of threads. Memory beside the answer: the sorted curves, and a cell's counts of a part of the resamples.
    """
    tasks, methods, resamples = cells[0].y.shape[1], len(cells[0].p), counts.shape[1]
    small, large = (len(cells), tasks, resamples), (methods, len(cells), tasks, resamples)
    out = Sums(*(np.full(shape, np.nan) for shape in (small,) * 3 + (large,) * 4))
    engine = _engine(compiled)
    with ThreadPoolExecutor(engine.threads) as pool:
        folds = list(pool.map(_fold, cells))
        parts = [slice(start, min(start + PART, resamples)) for start in range(0, resamples, PART)]
        work = product(range(len(cells)), parts)
        list(pool.map(lambda job: _fill(out, job[0], job[1], folds[job[0]], counts, engine), work))
    return out


class Curve(NamedTuple):
    """The known rows of one cell, outcome and method, sorted: what `bench.kernels.scan` reads.

    rows: (n,) number of the unit within the cell, from the highest score, events last where scores are equal. weight: (n,)
    float64, or (0,) int32 where all are 1. steps: (S, 4), for each score that an event has, from the highest, bounds a, b, c, d
    of rows: a..b-1 are those without event since the step before, b..c-1 those without event at this score, c..d-1 its events.
    """

    rows: NDArray[np.int32]
    weight: Vector | NDArray[np.int32]
    steps: NDArray[np.int64]


def curve(event: NDArray[np.bool_], p: Vector, weight: Vector, unit: NDArray[Any]) -> tuple[Curve, NDArray[np.int64]]:
    """The sorted curve, and the order (n,) that sorts its rows. All arguments (n,), labels known, scores no NaN."""
    by_class = np.argsort(event, kind="stable")
    order = by_class[np.argsort(-p[by_class], kind="stable")]
    score, hit = p[order], event[order]
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True)) + 1 if len(p) else np.zeros(0, np.int64)
    first = np.append(0, last[:-1])[: len(last)]
    events = np.diff(np.append(0, np.cumsum(hit)[last - 1]))
    kept = events > 0
    stop = last[kept]
    steps = np.column_stack([np.append(0, stop[:-1])[: len(stop)], first[kept], stop - events[kept], stop])
    own = np.zeros(0, np.int32) if (weight == 1).all() else weight[order]
    return Curve(unit[order].astype(np.int32), own, steps), order


class _Fold(NamedTuple):
    """A cell made ready. units: (u,) its units. outcomes: per outcome a matrix (2 + 2 M', u) and the curves of M' methods.

    The matrix's rows are what each unit adds to: events, other rows, then squared error and log loss of method after method.
    """

    units: NDArray[np.int64]
    outcomes: list[tuple[Vector, dict[int, Curve]]]


def _fold(cell: Cell) -> _Fold:
    units, local = np.unique(cell.unit, return_inverse=True)
    return _Fold(units, [_outcome(cell, t, local, len(units)) for t in range(cell.y.shape[1])])


def _outcome(cell: Cell, t: int, local: NDArray[Any], units: int) -> tuple[Vector, dict[int, Curve]]:
    known = ~np.isnan(cell.y[:, t])
    y, w, unit = cell.y[known, t], cell.weight[known, t], local[known]
    curves: dict[int, Curve] = {}
    values = [w * y, w * (1 - y)]
    for m in np.flatnonzero(present(cell.p)).tolist():
        p = cell.p[m, known, t]
        curves[m], _ = curve(y == 1, p, w, unit)
        likelihood = np.clip(np.where(y == 1, p, 1 - p), CLIP, 1 - CLIP)
        values += [w * (y - p) ** 2, -w * np.log(likelihood)]
    return _per_unit(np.stack(values), unit, units), curves


def _fill(out: Sums, c: int, columns: slice, fold: _Fold, counts: Counts, engine: "_Engine") -> None:
    """Write one part of the resamples of one cell."""
    own = counts[fold.units, columns]
    blocks, width = -(-own.shape[1] // BLOCK), own.shape[1]
    padded = np.zeros((len(own), blocks * BLOCK), engine.dtype)
    padded[:, :width] = own
    drawn = np.ascontiguousarray(padded.reshape(len(own), blocks, BLOCK).transpose(1, 0, 2))  # (blocks, units, BLOCK)
    for t, (matrix, curves) in enumerate(fold.outcomes):
        totals = engine.weigh(drawn, matrix)  # (2 + 2 M', blocks, BLOCK)
        events, others, *losses = totals.reshape(len(totals), -1)[:, :width]
        out.events[c, t, columns], out.rows[c, t, columns], out.pairs[c, t, columns] = events, events + others, events * others
        for (m, one), squared, log_loss in zip(curves.items(), losses[::2], losses[1::2], strict=True):
            concordant, precision = engine.scan(drawn, *one, totals[1])
            out.concordant[m, c, t, columns] = concordant.ravel()[:width]
            out.precision[m, c, t, columns] = precision.ravel()[:width]
            out.squared[m, c, t, columns], out.log_loss[m, c, t, columns] = squared, log_loss


class _Engine(NamedTuple):
    """The inner loops, their counts' type and how many threads may run them; `bench.kernels` says what they do."""

    weigh: Callable[[Any, Vector], Vector]
    scan: Callable[..., tuple[Vector, Vector]]
    dtype: type[np.generic]
    threads: int


def _engine(compiled: bool | None) -> _Engine:
    """The compiled loops or those of numpy. ImportError when compiled ones are asked for by name and numba is missing."""
    if compiled is not False:
        try:
            from numba import get_num_threads  # here, since numba takes half a second to import

            from bench import kernels
        except ImportError:
            if compiled:
                raise
        else:
            return _Engine(kernels.weigh, kernels.scan, np.uint16, get_num_threads())
    return _Engine(_weigh, _scan, np.float64, 1)


def _weigh(drawn: Vector, coefficients: Vector) -> Vector:
    """`bench.kernels.weigh` in numpy."""
    return np.stack([coefficients @ block for block in drawn], axis=1)


def _scan(
    drawn: Vector, rows: NDArray[np.int32], weight: Vector, steps: NDArray[np.int64], others: Vector
) -> tuple[Vector, Vector]:
    """`bench.kernels.scan` in numpy and scipy: a matrix maps the counts to what each step adds."""
    w = weight if len(weight) else np.ones(len(rows))
    matrix = [_between(rows, w, steps[:, i], steps[:, i + 1], drawn.shape[1]) for i in range(3)]
    concordant, precision = np.empty((2, len(drawn), BLOCK))
    for b, block in enumerate(drawn):
        above, tied, gained = (part @ block for part in matrix)  # (S, BLOCK) each
        hits = np.cumsum(gained, axis=0)
        false = np.cumsum(above + tied, axis=0)
        concordant[b] = (gained * (others[b] - false + tied / 2)).sum(axis=0)
        precision[b] = (gained * (hits / np.maximum(hits + false, 1e-300))).sum(axis=0)  # nothing drawn so far: 0 x 0
    return concordant, precision


def _between(rows: NDArray[np.int32], w: Vector, start: NDArray[np.int64], stop: NDArray[np.int64], units: int) -> Any:
    """(S, units) the matrix whose row s holds the weights of rows start[s]..stop[s]-1."""
    size = stop - start
    offsets = np.append(0, np.cumsum(size))
    where = np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], size)
    return sparse.csr_array((w[where], rows[where], offsets), shape=(len(start), units))
