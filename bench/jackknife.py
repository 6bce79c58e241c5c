"""Bias-corrected and accelerated bootstrap intervals (BCa), and the exact jackknife they need, by sorting each curve once.

BCa moves the percentiles of the draws by two numbers: how far the estimate lies from the middle of the draws, and the
acceleration, a sixth of the skewness of what single units do to the estimate. Efron, "Better bootstrap confidence intervals",
JASA 82, 1987; for several samples, which strata are, Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, eq. 15.36.
The estimates are those of `bench.bootstrap.Sums`: ratios of sums over the folds of a repeat, averaged over repeats,
then over outcomes.

Without a unit, all four metrics are exact, whatever the weights and however many rows a unit has. Unknown labels (NaN) and methods
without predictions (NaN) are left out, as in the estimates. Time per curve: O(n k) for at most k rows a unit, where rows weigh the
same; else average precision takes a pass over the scores of its events for each unit, a few microseconds for a thousand of them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from bench.bootstrap import CLIP, Cell, Vector, curve, present

METRICS = 4  # auroc, ap, brier, log_loss: the order of the axis K
BLOCK = 1 << 16  # numbers of a table at a time: half a megabyte, which stays near the processor
FEW = 8  # distinct weights, for which running sums are as fast as going through the steps for each row


def bca(observed: Vector, drawn: Vector, acceleration: Vector, level: float = 0.05) -> tuple[Vector, Vector]:
    """(...) lower and upper bound of the BCa interval of coverage 1 - level, as `scipy.stats.bootstrap` computes it.

    NaN where the observed value lies below or above all draws (the correction is infinite), or anything is NaN. Draws equal to it
    count half. observed: (...). drawn: (..., B) the same in each resample. acceleration: (...), never beyond 1/6.
    """
    below = ((drawn < observed[..., None]).mean(axis=-1) + (drawn <= observed[..., None]).mean(axis=-1)) / 2
    in_order = np.sort(drawn, axis=-1)  # NaN last
    bias = np.where((below > 0) & (below < 1) & ~np.isnan(in_order[..., -1]), ndtri(below), np.nan)
    bounds: list[Vector] = []
    for z in (ndtri(level / 2), -ndtri(level / 2)):
        share = ndtr(bias + (bias + z) / (1 - acceleration * (bias + z)))
        bounds.append(_quantile(in_order, share))
    return bounds[0], bounds[1]


def _quantile(in_order: Vector, share: Vector) -> Vector:
    """(...) each row's own quantile, interpolated between neighbours as numpy does. in_order: (..., B). share: (...)."""
    last = in_order.shape[-1] - 1
    place = np.nan_to_num(share) * last
    lower = np.floor(place).astype(np.int64)
    low, high = (np.take_along_axis(in_order, i[..., None], -1)[..., 0] for i in (lower, np.minimum(lower + 1, last)))
    return np.where(np.isnan(share), np.nan, low + (high - low) * (place - lower))


def sixth_of_skewness(values: Vector, stratum: NDArray[Any]) -> Vector:
    """(...) the acceleration, from an estimate (or a difference of two) without each unit (..., U).

    0 where no unit matters. NaN where a value is: the estimate is undefined, or hangs on one unit. stratum: (U,) within which
    units were drawn; a unit alone in its stratum is in every resample and does not matter.
    Efron and Tibshirani 1993, section 14.3 and eq. 15.36, as `scipy.stats.bootstrap` has it for several samples.
    """
    cubes, squares = np.zeros(values.shape[:-1]), np.zeros(values.shape[:-1])
    for s in np.unique(stratum):
        own = values[..., stratum == s]
        influence = (1 - 1 / own.shape[-1]) * (own.mean(axis=-1, keepdims=True) - own)
        square = influence * influence
        cubes += (square * influence).sum(axis=-1)
        squares += square.sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.where(squares == 0, 0.0, cubes / (6 * squares**1.5))


def standard_error(values: Vector, stratum: NDArray[Any]) -> Vector:
    """(...) from values without each unit (..., U): Efron's jackknife, summed over strata; NaN where a value is."""
    total = np.zeros(values.shape[:-1])
    for s in np.unique(stratum):
        own = values[..., stratum == s]
        total += (1 - 1 / own.shape[-1]) * ((own - own.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    return np.sqrt(total)


def without(cells: Sequence[Cell], m: int, units: int, with_ap: NDArray[np.bool_], averaged: NDArray[np.bool_]) -> Vector:
    """(T + 1, K, U) the estimates of method m without each unit, the mean over outcomes last. NaN where undefined then.

    A repeat that defines a metric from all units counts in its mean, the others do not. with_ap: (C, T) cells that count for
    average precision. averaged: (T, K) outcomes in the mean over outcomes.
    """
    tasks, has = with_ap.shape[1], [bool(present(cell.p[m : m + 1])[0]) for cell in cells]
    repeats = sorted({cell.repeat for cell in cells})
    values = np.full((len(repeats), tasks + 1, METRICS, units), np.nan)
    counts = np.zeros((len(repeats), tasks, METRICS), bool)
    for r, t in np.ndindex(len(repeats), tasks):
        kept = np.zeros((2, METRICS, units))  # numerators and denominators without each unit
        whole = np.zeros((2, METRICS))
        for c in (c for c, cell in enumerate(cells) if has[c] and cell.repeat == repeats[r]):
            own, total, change = _of_cell(cells[c], m, t, bool(with_ap[c, t]))
            whole += total
            kept += total[..., None]
            kept[..., own] -= change
        counts[r, t] = whole[1] > 0
        np.divide(kept[0], kept[1], out=values[r, t], where=kept[1] > 0)
    used = counts[..., None]
    with np.errstate(invalid="ignore"):
        mean = np.where(used, values[:, :tasks], 0).sum(axis=0) / used.sum(axis=0)
    listed = [mean[averaged[:, k], k].mean(axis=0) if averaged[:, k].any() else np.full(units, np.nan) for k in range(METRICS)]
    return np.concatenate([mean, np.stack(listed)[None]])


def _of_cell(cell: Cell, m: int, t: int, with_ap: bool) -> tuple[NDArray[np.int64], Vector, Vector]:
    """The u units with known rows, the (2, K) numerators and denominators of all rows, and what each unit adds (2, K, u)."""
    known = ~np.isnan(cell.y[:, t])
    event, p, w = cell.y[known, t] == 1, cell.p[m, known, t], cell.weight[known, t]
    units, unit = np.unique(cell.unit[known], return_inverse=True)

    def per_unit(values: Vector) -> Vector:
        return np.bincount(unit, values, len(units)).astype(np.float64)

    events, others = per_unit(w * event), per_unit(w * ~event)
    concordant, precision, of_all = rank_sums(event, p, w, unit)
    concordant = per_unit(concordant) - _within(event, p, w, unit)
    losses = [w * (event - p) ** 2, -w * np.log(np.clip(np.where(event, p, 1 - p), CLIP, 1 - CLIP))]
    pairs = events.sum() * others.sum()
    lost_pairs = pairs - (events.sum() - events) * (others.sum() - others)
    weight = events + others
    above = np.stack([concordant, with_ap * per_unit(precision), *map(per_unit, losses)])
    below = np.stack([lost_pairs, with_ap * events, weight, weight])
    total = np.array([
        [of_all[0], with_ap * of_all[1], losses[0].sum(), losses[1].sum()],
        [pairs, with_ap * events.sum(), weight.sum(), weight.sum()],
    ])  # fmt: skip
    return units, total, np.stack([above, below])


def rank_sums(event: NDArray[np.bool_], p: Vector, w: Vector, unit: NDArray[Any]) -> tuple[Vector, Vector, tuple[float, float]]:
    """What the concordant pairs and the precision sum of a cell lose with each row (n,), and what both are with all rows."""
    one, order = curve(event, p, w, unit)
    e, ws, (_, tied, own, stop) = event[order], w[order], one.steps.T
    hits, false = (np.append(0, np.cumsum(ws * of)) for of in (e, ~e))  # weight of the events, and of the others, before each row
    steps = _Steps(np.diff(hits[stop], prepend=0), hits[stop], hits[stop] + false[own])
    place = np.arange(len(e))
    step = np.searchsorted(stop, place, "right")  # of an event or tied row its own, of another the next one below; S: none
    beaten = np.append(false[-1] - (false[tied] + false[own]) / 2, 0)[step]  # by an event: the others below it, tied ones half
    is_tied = place >= np.append(tied, len(e))[step]
    beating = np.append(0, steps.found)[step] + is_tied * np.append(steps.gain, 0)[step] / 2  # another row: the events above it
    concordant, precision = np.empty((2, len(e)))
    concordant[order] = ws * np.where(e, beaten, beating)
    precision[order] = _precision_lost(steps, step, e, ws, unit[order])
    return concordant, precision, (float((ws * e * beaten).sum()), float((steps.gain * steps.found / steps.taken).sum()))


class _Steps(NamedTuple):
    """(S,) weights for each score that an event has, from the highest: of its events, of all events and all rows up to it."""

    gain: Vector
    found: Vector
    taken: Vector


def _precision_lost(steps: _Steps, step: NDArray[np.int64], event: NDArray[np.bool_], w: Vector, unit: NDArray[Any]) -> Vector:
    """(n,) what the precision sum, gain x found / taken over all steps, loses with each unit; to be added up by unit. Sorted by score.

    From a unit's row to its next one, `taken` is less by the weight of its rows so far and `found` by that of the events among
    them. Its own events leave `gain`, too. Steps that held nothing but the unit are gone.
    """
    if not len(step):
        return np.zeros(0)
    order = np.argsort(unit, kind="stable")  # unit by unit, from the highest score
    s, e, ws = step[order], event[order], w[order]
    last = np.append(np.diff(unit[order]) != 0, True)  # row of a unit
    until = np.where(last, len(steps.gain), np.append(s[1:], 0))
    rows = _Left(s, until, _so_far(ws, last), _so_far(ws * e, last))
    smallest = w.min() / 2  # what is left of a step weighs more, or is rounding
    lost = between(steps, rows, smallest)
    end = np.flatnonzero(np.append(last[:-1] | (s[1:] != s[:-1]), True))  # the unit's last row of each step
    own = end[np.searchsorted(end, np.flatnonzero(e))]
    rest = steps.taken[s[own]] - rows.without[own]
    share = np.divide(steps.found[s[own]] - rows.events[own], rest, out=np.zeros(len(own)), where=rest > smallest)
    lost[e] += ws[e] * share
    out = np.empty(len(s))
    out[order] = lost
    return out


class _Left(NamedTuple):
    """(n,) between which steps a row is its unit's lowest so far, and the weight of the unit's rows and events up to it."""

    start: NDArray[np.int64]
    until: NDArray[np.int64]
    without: Vector
    events: Vector


def between(steps: _Steps, rows: _Left, smallest: float, *, compiled: bool | None = None) -> Vector:
    """(n,) what the precision sum loses between the steps of each row; a step with less than `smallest` left has no precision.

    With few distinct weights, as without censoring, running sums for each; else step by step for each row, in machine code. compiled:
    True and False take the second and the first way, None the better one that is there. They agree to 1e-12.
    """
    weights, which = np.unique(rows.without, return_inverse=True)
    if compiled or (compiled is None and len(weights) > FEW):
        try:
            from bench import kernels  # here, since numba takes half a second to import
        except ImportError:
            if compiled:
                raise
        else:
            return kernels.precision_lost(*steps, *rows, smallest)
    before = _from_below(steps.gain * steps.found / steps.taken)
    lost = before[rows.start] - before[rows.until]
    by_weight = np.argsort(which, kind="stable")
    size = max(1, BLOCK // (len(steps.gain) + 1))
    for first in range(0, len(weights), size):
        of = by_weight[slice(*np.searchsorted(which[by_weight], [first, first + size]))]
        rest = steps.taken - weights[first : first + size, None]
        rest[rest < smallest] = np.inf
        i, start, until = which[of] - first, rows.start[of], rows.until[of]
        with_found, alone = _from_below(steps.gain * steps.found / rest), _from_below(steps.gain / rest)
        lost[of] -= with_found[i, start] - with_found[i, until] - rows.events[of] * (alone[i, start] - alone[i, until])
    return lost


def _so_far(x: Vector, last: NDArray[np.bool_]) -> Vector:
    """(n,) running sums that start anew after each last row; equal bit by bit for equal rows, which one sum over all is not."""
    total, previous = x.copy(), np.flatnonzero(~last)
    place = np.arange(len(x)) - np.append(-1, np.flatnonzero(last))[np.cumsum(last) - last] - 1  # of a row in its unit
    for k in range(int(place.max(initial=0))):
        own = previous[place[previous] == k]
        total[own + 1] += total[own]
    return total


def _from_below(x: Vector) -> Vector:
    """(..., S + 1) sums over each step and all below: what lies above, where little is left, does not round them."""
    out = np.zeros((*x.shape[:-1], x.shape[-1] + 1))
    out[..., :-1] = np.cumsum(x[..., ::-1], axis=-1)[..., ::-1]
    return out


def _within(event: NDArray[np.bool_], p: Vector, w: Vector, unit: NDArray[Any]) -> Vector:
    """(units,) weight of concordant pairs inside each unit, which leave once though both their rows do. O(n x rows of a unit)."""
    order = np.argsort(unit, kind="stable")
    e, score, ws, owner = event[order], p[order], w[order], unit[order]
    found = np.zeros(int(unit.max(initial=-1)) + 1)
    for lag in range(1, int(np.bincount(unit).max(initial=0))):
        i = np.flatnonzero((owner[lag:] == owner[:-lag]) & (e[lag:] != e[:-lag]))
        j = i + lag
        lead = np.where(e[i], 1, -1) * np.sign(score[i] - score[j])
        found += np.bincount(owner[i], ws[i] * ws[j] * (1 + lead) / 2, len(found))
    return found
