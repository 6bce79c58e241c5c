"""Bias-corrected and accelerated bootstrap intervals (BCa), and the jackknife they need, in linear time after a sort.

BCa moves the percentiles of the draws by two numbers: how far the estimate lies from the middle of the draws, and the
acceleration, by which its standard error changes with its value: a sixth of the skewness of what single units do to it. Efron,
"Better bootstrap confidence intervals", JASA 82, 1987; for several samples, which strata are, DiCiccio and Efron, "Bootstrap confidence
intervals", Statistical Science 11, 1996. The estimates are those of `bench.bootstrap.Sums`: ratios of sums over the folds of a
repeat, averaged over repeats, and then over outcomes.

Without a unit: AUROC, Brier score and log loss are exact for any weights and any number of rows a unit has. Average precision is
exact where the weights of a cell's known rows are equal and none of its units has two of them. Elsewhere its precision sum loses
its derivative by the unit's weight (the infinitesimal jackknife, of which Efron 1987, eq. 6.6, defines the acceleration; the
denominator stays exact): every further weight would cost another pass over the curve.
Unknown labels (NaN) and methods without predictions (NaN) are left out, as in the estimates.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from bench.bootstrap import CLIP, Cell, Vector, curve

METRICS = 4  # auroc, ap, brier, log_loss: the order of the axis K


def bca(observed: Vector, drawn: Vector, acceleration: Vector, level: float = 0.05) -> tuple[Vector, Vector]:
    """(...) lower and upper bound of the BCa interval of coverage 1 - level. Efron 1987, eq. 4.6; equal to scipy.stats.bootstrap's.

    NaN where the observed value lies below or above all draws, for which the correction is infinite, or anything is NaN; ties with
    draws count half. observed: (...). drawn: (..., B) the same in each resample. acceleration: (...), never beyond 1/6.
    """
    below = ((drawn < observed[..., None]).mean(axis=-1) + (drawn <= observed[..., None]).mean(axis=-1)) / 2
    bias = np.where((below > 0) & (below < 1), ndtri(below), np.nan)
    in_order = np.sort(drawn, axis=-1)
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


def acceleration(
    cells: Sequence[Cell], stratum: NDArray[Any], with_ap: NDArray[np.bool_], averaged: NDArray[np.bool_]
) -> Vector:
    """(M, T + 1, K) of every method, outcome and their mean, metric. 0 where no unit matters, NaN where the estimate is NaN.

    NaN too where an estimate hangs on one unit (without it there is no event). stratum: (U,) within which units were drawn.
    with_ap: (C, T) cells that count for average precision. averaged: (T, K) outcomes in the mean.
    """
    found = (without(cells, m, len(stratum), with_ap, averaged) for m in range(len(cells[0].p)))
    return np.stack([_sixth_of_skewness(values, stratum) for values in found])


def _sixth_of_skewness(values: Vector, stratum: NDArray[Any]) -> Vector:
    """(...) from values without each unit (..., U): DiCiccio and Efron 1996, as scipy.stats.bootstrap for several samples."""
    cubes, squares = np.zeros((2, *values.shape[:-1]))
    for s in np.unique(stratum):
        own = values[..., stratum == s]
        influence = (1 - 1 / own.shape[-1]) * (own.mean(axis=-1, keepdims=True) - own)
        cubes += (influence**3).sum(axis=-1)
        squares += (influence**2).sum(axis=-1)
    return np.divide(cubes, 6 * squares**1.5, out=squares.copy(), where=squares != 0)  # where no unit matters: 0, NaN stays NaN


def without(
    cells: Sequence[Cell], m: int, units: int, with_ap: NDArray[np.bool_], averaged: NDArray[np.bool_]
) -> Vector:
    """(T + 1, K, U) the estimates of method m without each unit, the mean over outcomes last. NaN where undefined then.

    A repeat that defines a metric from all units counts in its mean, the others do not. with_ap, averaged: as for `acceleration`.
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
    concordant, precision, of_all = _rank_sums(event, p, w, unit)
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


def _rank_sums(event: NDArray[np.bool_], p: Vector, w: Vector, unit: NDArray[Any]) -> tuple[Vector, Vector, tuple[float, float]]:
    """What the concordant pairs and the precision sum of a cell lose with each row (n,), and what both are with all rows.

    T rows have a score of at least a step's, H of them events (all by weight). Without an event of weight w, T and H of its own step and
    of all below are less by w; without another row, T alone.
    """
    one, order = curve(event, p, w, unit)
    e, ws, (_, b, c, d) = event[order], w[order], one.steps.T
    hits, false = (np.append(0, np.cumsum(ws * of)) for of in (e, ~e))
    H, T = hits[d], hits[d] + false[c]
    gain = np.diff(H, prepend=0)
    step = np.searchsorted(d, np.arange(len(e)), "right")  # the step of an event or tied row, the next one below of others; S: none
    beaten = np.append(false[-1] - (false[b] + false[c]) / 2, 0)[step]  # other rows below an event, tied ones half
    beating = np.append(0, H)[step] + np.where(np.arange(len(e)) >= np.append(b, len(e))[step], np.append(gain, 0)[step] / 2, 0)
    alike = len(ws) > 0 and bool((ws == ws[0]).all()) and np.bincount(unit).max() <= 1
    of_event, of_other = _precision_lost(H, T, gain, ws[0]) if alike else _precision_derivative(H, T, gain)
    concordant, precision = np.empty((2, len(e)))
    concordant[order] = ws * np.where(e, beaten, beating)
    precision[order] = np.where(e, of_event[step], of_other[step]) * (1 if alike else ws)
    return concordant, precision, (float((ws * e) @ beaten), float(gain @ (H / T)))


def _precision_lost(H: Vector, T: Vector, gain: Vector, w: float) -> tuple[Vector, Vector]:
    """(S + 1,) what the precision sum loses with an event, and with another row, of weight w at or next above each step."""
    more = T > 1.5 * w  # otherwise the step is one event, the topmost row, and nothing is left there without it
    without_event, without_other = (np.divide(x, T - w, out=np.zeros_like(T), where=more) for x in (H - w, H))
    all_rows = _from_here_on(gain * H / T)
    of_event = all_rows - _from_here_on(gain * without_event) + np.append(w * without_event, 0)
    return of_event, all_rows - _from_here_on(gain * without_other)


def _precision_derivative(H: Vector, T: Vector, gain: Vector) -> tuple[Vector, Vector]:
    """(S + 1,) derivative of the precision sum by the weight of an event, and of another row, at or next above each step."""
    return np.append(H / T, 0) + _from_here_on(gain * (T - H) / T**2), -_from_here_on(gain * H / T**2)


def _from_here_on(x: Vector) -> Vector:
    """(S + 1,) sums over each step and all below."""
    return np.append(np.cumsum(x[::-1])[::-1], 0)


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
