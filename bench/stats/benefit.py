"""Who would be better treated by a prediction: net benefit over a range of thresholds, and its differences with intervals.

Net benefit at threshold t is TP/n - FP/n x t/(1 - t), patients with risk >= t being treated: the gain in true positives, false
positives charged at the odds that make t the point of indifference (Vickers and Elkin, "Decision curve analysis: a novel method
for evaluating prediction models", Medical Decision Making 26, 2006). Pooled over folds, weighted where the cohort has weights;
with repeats: the value per repeat, then the mean.
Unknown labels are left out. With fewer than 20 events or 20 others, all is NaN.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.bootstrap import Vector
from bench.core import Task
from bench.stats.estimates import BAYES, Evidence, Mask
from bench.stats.intervals import interval
from bench.stats.pooled import Pool, Version, by_unit, enough, mean_of_known, pools, stacked, versions

YARDSTICK = "logistic"  # the model that a clinic would use without us
ALL, NONE = "treat all", "treat none"
HIGHEST = 0.99  # threshold: beyond, a false positive costs more than 99 true ones gain
STEPS = 32  # intervals between the thresholds of a curve
EVERY = 4  # of them has an interval: 9 thresholds
BLOCK = 256  # resamples per pass
CURVE = ["method", "task", "version", "threshold", "value", "clinical"]
DIFFERENCES = ["method", "against", "task", "version", "threshold", "difference", "low", "high"]


def net_benefit(evidence: Evidence, tasks: Sequence[Task]) -> pd.DataFrame:
    """method (also "treat all", "treat none"), task, version, threshold, value, clinical: at 33 thresholds of each outcome.

    The thresholds are those that the outcome states (clinical), else prevalence/4 to 4 x prevalence, at most .99 (not clinical);
    an outcome without events that states none has no rows. version: "raw", and "recalibrated" where validation rows are stored.
    """
    parts: list[dict[str, Any]] = []
    for version, t, grid in _outcomes(evidence, tasks):
        repeats = [_curves(pool, grid) for pool in pools(evidence, version, t)]
        about = {"task": evidence.tasks[t], "version": version.name, "threshold": grid.thresholds, "clinical": grid.clinical}
        for label, values in zip([*evidence.labels, ALL, NONE], mean_of_known(np.stack(repeats)), strict=True):
            parts.append({"method": label, **about, "value": values})
    return stacked(parts, CURVE)


def differences(evidence: Evidence, tasks: Sequence[Task]) -> pd.DataFrame:
    """method, against, task, version, threshold (NaN: the average over the range), difference, low, high.

    against: "treat all", "treat none" and the method `logistic` where it was run, on the cells both have. 95 % percentile
    intervals from the same resamples as everything else, at 9 thresholds; the average is over the whole range, by trapezoids
    between 33 thresholds.
    """
    parts: list[pd.DataFrame] = []
    for version, t, grid in _outcomes(evidence, tasks):
        for panel in _panels(evidence, version):
            drawn = _drawn(evidence, version, t, grid, panel)
            compared = _compared(evidence.labels, drawn, grid, panel)
            parts.append(compared.assign(task=evidence.tasks[t], version=version.name))
    return pd.concat(parts, ignore_index=True)[DIFFERENCES] if parts else pd.DataFrame(columns=DIFFERENCES)


@dataclass(frozen=True, eq=False)
class Grid:
    """The thresholds of an outcome, (33,) rising in (0, 1), and whether they were stated."""

    thresholds: Vector
    clinical: bool

    @classmethod
    def of(cls, low: float, high: float, clinical: bool) -> "Grid":
        return cls(np.linspace(low, min(high, HIGHEST), STEPS + 1), clinical)

    def gains(self) -> Vector:
        """(2, 34, 33) what a row adds at each threshold: by its outcome, and by how many thresholds its risk reaches."""
        treated = (np.arange(STEPS + 1) < np.arange(STEPS + 2)[:, None]).astype(float)
        return np.stack([-treated * self.thresholds / (1 - self.thresholds), treated])

    def summed_up(self) -> tuple[Vector, Vector]:
        """The thresholds that get an interval, the average (NaN) last; and (2, 34, 10) what a row adds there."""
        gains, weight = self.gains(), np.ones(STEPS + 1)
        weight[[0, -1]] = 0.5
        chosen = np.concatenate([gains[..., ::EVERY], (gains @ weight / STEPS)[..., None]], axis=-1)
        return np.append(self.thresholds[::EVERY], np.nan), chosen


def _outcomes(evidence: Evidence, tasks: Sequence[Task]) -> Iterator[tuple[Version, int, Grid]]:
    for version in versions(evidence):
        for t, task in enumerate(tasks):
            if task.thresholds:
                yield version, t, Grid.of(*task.thresholds, clinical=True)
            else:
                pool = next(pools(evidence, version, t))
                rate = float(np.average(pool.y, weights=pool.weight)) if pool.y.any() else 0.0
                if rate > 0:
                    yield version, t, Grid.of(rate / 4, 4 * rate, clinical=False)


def _with_rivals(p: Vector) -> Vector:
    """Treat all is a risk of 1 for everybody, treat none one of 0: (k, n) -> (k + 2, n)."""
    return np.vstack([p, np.ones(p.shape[1]), np.zeros(p.shape[1])])


def _curves(pool: Pool, grid: Grid) -> Vector:
    """(M + 2, 33) net benefit in one repeat."""
    gains, label = grid.gains(), pool.y.astype(int)
    out = np.full((len(pool.p) + 2, STEPS + 1), np.nan)
    for m, p in enumerate(_with_rivals(pool.p)):
        own = ~np.isnan(p)
        if enough(pool.y[own]):
            reached = np.searchsorted(grid.thresholds, p[own], "right")
            rows = np.bincount(label[own] * (STEPS + 2) + reached, pool.weight[own], 2 * (STEPS + 2))
            out[m] = rows @ gains.reshape(-1, STEPS + 1) / pool.weight[own].sum()
    return out


@dataclass(frozen=True, eq=False)
class Panel:
    """Methods (by number) that are compared on the same cells (C,), and the rivals they are compared with."""

    cells: Mask
    methods: list[int]
    against: list[str]


def _panels(evidence: Evidence, version: Version) -> Iterator[Panel]:
    """One panel, unless some method has no predictions of some cell."""
    scope = version.scope & np.array([label != BAYES for label in evidence.labels])[:, None]
    of_yardstick = scope[evidence.labels.index(YARDSTICK)] if YARDSTICK in evidence.labels else np.zeros(scope.shape[1], bool)
    for cells in np.unique(scope[scope.any(axis=1)], axis=0):
        methods = np.flatnonzero((scope == cells).all(axis=1)).tolist()
        shared = cells & of_yardstick
        if np.array_equal(shared, cells):
            yield Panel(cells, methods, [ALL, NONE, YARDSTICK])
        else:
            yield Panel(cells, methods, [ALL, NONE])
            if shared.any():
                yield Panel(shared, methods, [YARDSTICK])


def _drawn(evidence: Evidence, version: Version, t: int, grid: Grid, panel: Panel) -> dict[str, Vector]:
    """(10, 1 + B) net benefit of the panel's methods and rivals at the thresholds with an interval, in every resample."""
    extra = [evidence.labels.index(rival) for rival in panel.against if rival == YARDSTICK]
    chosen = sorted({*panel.methods, *extra})
    repeats = [_resampled(evidence, pool, chosen, grid) for pool in pools(evidence, version, t, panel.cells)]
    names = [*(evidence.labels[m] for m in chosen), ALL, NONE]
    return dict(zip(names, np.mean(repeats, axis=0), strict=True))


def _resampled(evidence: Evidence, pool: Pool, chosen: list[int], grid: Grid) -> Vector:
    """(k + 2, 10, 1 + B) in one repeat: what rows add, summed per unit once, times how often each unit is drawn."""
    _, gains = grid.summed_up()
    label, width = pool.y.astype(int), gains.shape[-1]
    units, per_unit = by_unit(pool.unit)
    added = np.empty((len(units), len(chosen) + 2, width))
    for k, p in enumerate(_with_rivals(pool.p[chosen])):
        added[:, k] = per_unit @ (gains[label, np.searchsorted(grid.thresholds, p, "right")] * pool.weight[:, None])
    weight, flat = per_unit @ pool.weight, added.reshape(len(units), -1).T
    out = np.full((len(flat), evidence.counts.shape[1]), np.nan)
    if enough(pool.y):
        for start in range(0, out.shape[1], BLOCK):
            counts = evidence.counts[units, start : start + BLOCK].astype(np.float64)
            out[:, start : start + BLOCK] = (flat @ counts) / (weight @ counts)
    return out.reshape(len(chosen) + 2, width, -1)


def _compared(labels: Sequence[str], drawn: dict[str, Vector], grid: Grid, panel: Panel) -> pd.DataFrame:
    pairs = [(labels[m], rival) for m in panel.methods for rival in panel.against if labels[m] != rival]
    thresholds, _ = grid.summed_up()
    width = len(thresholds)
    frame = pd.DataFrame(np.repeat(pairs, width, axis=0), columns=["method", "against"])
    gaps = np.concatenate([drawn[method] - drawn[rival] for method, rival in pairs])
    low, high = interval(gaps[:, 1:])
    return frame.assign(threshold=np.tile(thresholds, len(pairs)), difference=gaps[:, 0], low=low, high=high)
