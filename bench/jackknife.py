"""Bias-corrected and accelerated bootstrap intervals (BCa), and the exact jackknife they need, in linear time after a sort.

BCa moves the percentiles of the draws by two numbers: how far the estimate lies from the middle of the draws, and the
acceleration, a sixth of the skewness of what single units do to the estimate. Efron, "Better bootstrap confidence intervals",
JASA 82, 1987; for several samples, which strata are, Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, eq. 15.36.
The estimates are those of `bench.bootstrap.Sums`: ratios of sums over the folds of a repeat, averaged over repeats,
then over outcomes.

Without a unit: AUROC, Brier score and log loss are exact, whatever the weights and however many rows a unit has. Average
precision is exact in cells whose known rows weigh the same. Elsewhere its precision sum loses its derivative by the unit's weight
instead (the infinitesimal jackknife, by which Efron 1987 defines the acceleration; the denominator stays exact): each
distinct weight would cost another pass. Time per curve: O(n k) for at most k rows a unit.
Unknown labels (NaN) and methods without predictions (NaN) are left out, as in the estimates.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from bench.bootstrap import CLIP, Cell, Vector, curve

METRICS = 4  # auroc, ap, brier, log_loss: the order of the axis K


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
    tasks, has = with_ap.shape[1], [not np.isnan(cell.p[m]).any() for cell in cells]
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
    alike = len(e) > 0 and bool((ws == ws[0]).all())
    precision[order] = _precision_lost(steps, step, e, unit[order], ws[0]) if alike else ws * _precision_slope(steps, step, e)
    return concordant, precision, (float((ws * e * beaten).sum()), float((steps.gain * steps.found / steps.taken).sum()))


class _Steps(NamedTuple):
    """(S,) weights for each score that an event has, from the highest: of its events, of all events and all rows up to it."""

    gain: Vector
    found: Vector
    taken: Vector


def _precision_lost(steps: _Steps, step: NDArray[np.int64], event: NDArray[np.bool_], unit: NDArray[Any], w: float) -> Vector:
    """(n,) what the precision sum loses with the rows of each unit, each of weight w; to be added up by unit. Sorted by score.

    From a unit's k-th row to its next, `taken` is less by k rows and `found` by the h events among them: running sums of
    gain / (taken - k) and gain found / (taken - k) give the new sum between two steps. Its own events leave `gain`, too.
    """
    order = np.argsort(unit, kind="stable")  # unit by unit, from the highest score
    owner, s, e = unit[order], step[order], event[order]
    gain, found, taken = (x / w for x in steps)
    start = np.append(True, owner[1:] != owner[:-1])
    k = np.arange(1, len(s) + 1) - np.flatnonzero(start)[np.cumsum(start) - 1]
    h = np.cumsum(e) - (np.cumsum(e) - e)[np.flatnonzero(start)][np.cumsum(start) - 1]
    until = np.where(np.append(start[1:], True), len(gain), np.append(s[1:], 0))
    before = _running(gain * found / taken)
    lost = before[until] - before[s]
    for rows in range(1, int(k.max()) + 1):
        rest = np.where(taken > rows + 0.5, taken - rows, np.inf)  # nothing else so high: the steps are gone
        with_found, alone, of = _running(gain * found / rest), _running(gain / rest), np.flatnonzero(k == rows)
        lost[of] -= with_found[until[of]] - with_found[s[of]] - h[of] * (alone[until[of]] - alone[s[of]])
    last = np.flatnonzero(np.append(start[1:] | (s[1:] != s[:-1]), True))  # the unit's last row of that step
    i = last[np.searchsorted(last, np.flatnonzero(e))]
    rest = taken[s[i]] - k[i]
    lost[e] += np.divide(found[s[i]] - h[i], rest, out=np.zeros(len(i)), where=rest > 0.5)
    out = np.empty(len(s))
    out[order] = w * lost
    return out


def _precision_slope(steps: _Steps, step: NDArray[np.int64], event: NDArray[np.bool_]) -> Vector:
    """(n,) derivative of the precision sum by the weight of each row."""
    gain, found, taken = steps
    of_event, of_other = _running(gain * (taken - found) / taken**2), _running(gain * found / taken**2)
    precision = np.append(found / taken, 0)
    return np.where(event, precision[step] + of_event[-1] - of_event[step], of_other[step] - of_other[-1])


def _running(x: Vector) -> Vector:
    """(S + 1,) sums over all before."""
    return np.append(0, np.cumsum(x))


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
