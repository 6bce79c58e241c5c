"""Do predicted risks mean what they say: calibration in the large, slope and smooth curve, raw and recalibrated, pooled over folds.

With fewer than 20 events or 20 others everything but counts and means is NaN. Risks that are constant in every fold have no
slope (NaN); the curve of constant risks is one point, so that ICI = |rate - risk|. Unknown labels are left out; with repeats: the value per repeat, then the mean.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import metrics
from bench.bootstrap import Vector
from bench.recalibrate import EPS, logistic_recalibration
from bench.stats.estimates import Evidence
from bench.stats.pooled import Pool, mean_of_known, pools, remembered, stacked, versions

GROUPS = 300  # of rows of similar risk, at most, that the smoother sees
SPAN = 0.75  # of the rows that a local line is fitted to
SIMULATIONS = 200  # of outcomes under perfect calibration
SEED = 0
POINTS = 60  # of a smooth curve
REACH = (0.005, 0.995)  # quantiles of the risks between which the curve is drawn
NUMBERS = ["n", "events", "mean_risk", "rate", "intercept", "slope", "ici", "e90", "ici_floor", "brier", "log_loss"]
CURVE = ["method", "task", "version", "risk", "observed"]


def calibration(evidence: Evidence) -> pd.DataFrame:
    """method, task, version, how, n, events, mean_risk, rate, intercept, slope, ici, e90, ici_floor, brier, log_loss.

    version: "raw", and "recalibrated" where validation rows are stored; how: "", "logistic" or "isotonic" (`pooled.versions`).
    mean_risk, rate: weighted means of risk and outcome. intercept: of the logistic model with logit risk as offset (calibration
    in the large; 0 is perfect, > 0 means risks are too low). slope: of the logistic model on logit risk (1 is perfect, < 1 means
    risks are too extreme). ici, e90: mean and 90 % quantile of |smooth curve - risk| over the patients (Austin and Steyerberg,
    "The Integrated Calibration Index (ICI) and related metrics for quantifying the calibration of logistic regression models",
    Statistics in Medicine 38, 2019; theirs smooths with local parabolas (R's loess), ours with local lines: usually a little
    smaller). ici_floor: the ICI expected if the risks were
    perfect, the mean over 200 sets of outcomes drawn from them (fixed seed).
    """
    return _tables(evidence)[0]


def smooth(evidence: Evidence) -> pd.DataFrame:
    """method, task, version, risk, observed: the curve at up to 60 risks evenly between the .5 % and 99.5 % quantile of the risks.

    observed is a local line by tricube weights over the nearest 75 % of the rows: LOWESS without robustness steps. With repeats:
    the mean of their curves.
    """
    return _tables(evidence)[1]


@remembered
def _tables(evidence: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for version in versions(evidence):
        for t, task in enumerate(evidence.tasks):
            repeats = [_measured(pool) for pool in pools(evidence, version, t)]
            values = np.stack([own for own, _ in repeats])
            numbers = np.hstack([values[..., :2].max(axis=0), mean_of_known(values[..., 2:])])
            for m, method in enumerate(evidence.labels):
                about = {"method": method, "task": task, "version": version.name}
                rows.append(about | {"how": version.how[t]} | dict(zip(NUMBERS, numbers[m].tolist(), strict=True)))
                lines += [about | line for line in _line([fits[m] for _, fits in repeats if m in fits])]
    table = pd.DataFrame(rows).astype({"n": np.int64, "events": np.int64})
    return table, stacked(lines, CURVE)


def _line(fits: list["Fit"]) -> list[dict[str, Vector]]:
    """The mean curve of the repeats, or none."""
    if not fits:
        return []
    low, high = np.mean([fit.between for fit in fits], axis=0)
    risk = np.unique(np.linspace(low, high, POINTS))
    return [{"risk": risk, "observed": np.mean([np.interp(risk, fit.risk, fit.observed) for fit in fits], axis=0)}]


def _measured(pool: Pool) -> tuple[Vector, dict[int, "Fit"]]:
    """(M, numbers) of one repeat, and the smooth curves of the methods that have one."""
    y, p = pool.y[:, None], np.nan_to_num(pool.p.T, nan=0.5)  # (n, M)
    w = np.where(np.isnan(pool.p.T), 0.0, pool.weight[:, None])
    events, others = ((w > 0) & (y == 1)).sum(axis=0), ((w > 0) & (y == 0)).sum(axis=0)
    with np.errstate(invalid="ignore"):
        means = [(w * x).sum(axis=0) / w.sum(axis=0) for x in (p, y)]
    enough = np.minimum(events, others) >= metrics.TOTAL_EVENTS
    out = np.full((p.shape[1], len(NUMBERS)), np.nan)
    out[:, :4] = np.column_stack([events + others, events, *means])
    out[enough, 4] = in_the_large(y, p[:, enough], w[:, enough])
    sloped = enough & pool.varies
    if sloped.any():
        out[sloped, 5] = logistic_recalibration(np.broadcast_to(y, p[:, sloped].shape), p[:, sloped], w[:, sloped])[1]
    uniform = np.random.default_rng(SEED).random((SIMULATIONS, len(y)), np.float32)
    fits: dict[int, Fit] = {}
    for m in np.flatnonzero(enough).tolist():
        own = w[:, m] > 0
        fits[m], floor = fitted(pool.y[own], p[own, m], w[own, m], uniform[:, : own.sum()])
        losses = [metric(pool.y, p[:, m], w[:, m]) for metric in (metrics.brier, metrics.log_loss)]
        out[m, 6:] = fits[m].ici, fits[m].e90, floor, *losses
    return out, fits


def in_the_large(y: Vector, p: Vector, w: Vector) -> Vector:
    """(k,) intercepts of logistic models of y with offset logit(p). y: (n, 1), p, w: (n, k); both classes must be there.

    Newton's steps, none longer than 1: with them it converges from anywhere, as the logarithm of the slope of a sum of logistic
    curves changes by less than 1 per unit.
    """
    z = np.log(np.clip(p, EPS, 1 - EPS)) - np.log1p(-np.clip(p, EPS, 1 - EPS))
    events, intercept = (w * y).sum(axis=0), np.zeros(p.shape[1])
    for _ in range(100):
        risk = 1 / (1 + np.exp(-(z + intercept)))
        step = (events - (w * risk).sum(axis=0)) / (w * risk * (1 - risk)).sum(axis=0)
        intercept += np.clip(step, -1, 1)
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    return intercept


@dataclass(frozen=True, eq=False)
class Fit:
    """A smooth curve at the groups' mean risks. weight, risk, observed: (G,). between: the risks to draw it between."""

    weight: Vector
    risk: Vector
    observed: Vector
    between: Vector

    @property
    def ici(self) -> float:
        return float(np.average(np.abs(self.observed - self.risk), weights=self.weight))

    @property
    def e90(self) -> float:
        distance = np.abs(self.observed - self.risk)
        order = np.argsort(distance)
        below = np.cumsum(self.weight[order])
        return float(distance[order][np.searchsorted(below, 0.9 * below[-1])])


def fitted(y: Vector, p: Vector, w: Vector, uniform: NDArray[np.float32]) -> tuple[Fit, float]:
    """The smooth curve of y on p, and the mean ICI if outcomes were drawn from p: y = 1 where `uniform` is below p.

    y, p, w: (n,). uniform: (simulations, n). Rows are put together in at most 300 groups of neighbours, never parting ties:
    against LOWESS on every row the ICI moves by less than .001 (test).
    """
    order = np.argsort(p)
    y, p, w = y[order], p[order], w[order]
    starts = _groups(p)
    weight = np.add.reduceat(w, starts)
    risk = np.add.reduceat(w * p, starts) / weight
    smoother = local_lines(risk, weight)
    observed = np.clip(smoother @ (np.add.reduceat(w * y, starts) / weight), 0, 1)
    drawn = np.add.reduceat((uniform < p.astype(np.float32)) * w.astype(np.float32), starts, axis=1) / weight
    simulated = np.clip(drawn @ smoother.T, 0, 1)
    floor = float((np.abs(simulated - risk) @ weight).mean() / weight.sum())
    return Fit(weight, risk, observed, np.quantile(p, REACH)), floor


def _groups(p: Vector) -> NDArray[np.int64]:
    """Where groups of the sorted risks start: at most 300, of about the same size, never parting equal risks."""
    starts = np.flatnonzero(np.diff(p, prepend=-np.inf))
    if len(starts) <= GROUPS:
        return starts
    _, first = np.unique(starts * GROUPS // len(p), return_index=True)
    return starts[first]


def local_lines(x: Vector, weight: Vector) -> Vector:
    """(G, G) the smoother as a matrix: row i gives the height at x[i] of the line fitted around it, linear in the outcomes.

    Cleveland, "Robust locally weighted regression and smoothing scatterplots", JASA 74, 1979, without robustness steps: tricube weights out to the distance
    within which 75 % of the weight lies. Where all of that is at one risk, the mean there. x: (G,) rising, weight: (G,).
    """
    apart = x - x[:, None]
    distance = np.abs(apart)
    order = np.argsort(distance, axis=1)
    enough = (np.cumsum(weight[order], axis=1) < SPAN * weight.sum() * (1 - 1e-12)).sum(axis=1)
    reach = np.take_along_axis(distance, np.take_along_axis(order, enough[:, None], axis=1), axis=1)
    near = np.divide(distance, reach, out=np.where(distance > 0, 1.0, 0.0), where=reach > 0)
    local = weight * np.clip(1 - near**3, 0, None) ** 3
    s0, s1, s2 = local.sum(axis=1), (local * apart).sum(axis=1), (local * apart**2).sum(axis=1)
    spread = s0 * s2 - s1**2
    line = spread > 1e-10 * s0 * s2
    tilt = np.where(line, s1 / np.where(line, s2, 1.0), 0.0)
    heights = local * (1 - tilt[:, None] * apart)
    return heights / heights.sum(axis=1, keepdims=True)
