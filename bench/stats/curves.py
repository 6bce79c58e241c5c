"""ROC and precision-recall curves averaged over folds, whose areas are the numbers of the table; risks by outcome.

A fold of one class has no curve, a fold with fewer than 10 events no precision-recall curve; where the table's number is
undefined (NaN) there is no curve at all. Unknown labels are left out. Repeats weigh alike.
"""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd

from bench.bootstrap import Vector
from bench.stats.estimates import Evidence, Mask
from bench.stats.pooled import pools, stacked, versions

POINTS = 101  # of a curve, at most
BINS = 40
RISKS = ["method", "task", "version", "outcome", "low", "high", "share"]
REACH = 0.995  # of all risks of an outcome lie under the upper end of its histograms


def curves(evidence: Evidence) -> pd.DataFrame:
    """method, task, curve ("roc" | "pr"), x, y; at most 101 points a curve, x never falling.

    roc: x = 1 - specificity, y = sensitivity, averaged vertically over folds with the weight of each fold's pairs (Fawcett, "An
    introduction to ROC analysis", 2006, algorithm 3), so that the area by trapezoids is the stratified AUROC, to 2e-3 after
    thinning. pr: x = recall, y = mean precision of the recalls since the point before, averaged with the weight of each fold's
    events, so that the area by steps, sum of (x - x before) y, is the stratified average precision.
    """
    parts = [
        {"method": method, "task": task, "curve": kind, "x": x, "y": y}
        for m, method in enumerate(evidence.labels)
        for t, task in enumerate(evidence.tasks)
        for kind, (x, y) in (("roc", thinned(*roc(evidence, m, t))), ("pr", precision_recall(evidence, m, t)))
        if len(x)
    ]
    return stacked(parts, ["method", "task", "curve", "x", "y"])


def risks(evidence: Evidence) -> pd.DataFrame:
    """Histogram of the risks within each class: method, task, version, outcome (0 | 1), low, high, share (of the class, weighted).

    40 equal bins, the same for all methods and both versions of an outcome, from 0 to the largest 99.5 % quantile that a method
    has; what lies beyond is counted in the last bin, of which `high` is then too low. No rows for a class without patients.
    version: "raw", and "recalibrated" where validation rows are stored.
    """
    parts: list[dict[str, Any]] = []
    for t, task in enumerate(evidence.tasks):
        repeats = {version.name: list(pools(evidence, version, t)) for version in versions(evidence)}
        risk = {name: np.concatenate([pool.p for pool in own], axis=1) for name, own in repeats.items()}
        edges = np.linspace(0, _top(np.concatenate(list(risk.values()))), BINS + 1)
        y, w = (np.concatenate([getattr(pool, name) for pool in repeats["raw"]]) for name in ("y", "weight"))
        for m, method in enumerate(evidence.labels):
            for name, p in risk.items():
                about = {"method": method, "task": task, "version": name}
                parts += [about | of_class for of_class in _histograms(y, p[m], w, edges)]
    return stacked(parts, RISKS)


def _histograms(y: Vector, p: Vector, w: Vector, edges: Vector) -> Iterator[dict[str, Any]]:
    """Of those without and of those with the event; none of a class without risks."""
    for outcome in (0, 1):
        own = (y == outcome) & ~np.isnan(p)
        if own.any():
            share = np.histogram(np.minimum(p[own], edges[-1]), edges, weights=w[own])[0] / w[own].sum()
            yield {"outcome": outcome, "low": edges[:-1], "high": edges[1:], "share": share}


def _top(p: Vector) -> float:
    tops = [float(np.quantile(own[~np.isnan(own)], REACH)) for own in p if not np.isnan(own).all()]
    return max(tops, default=1.0) or 1.0


def roc(evidence: Evidence, m: int, t: int) -> tuple[Vector, Vector]:
    """All vertices (x, y) of the averaged ROC curve of a method and outcome; empty where its AUROC is undefined."""
    pieces = [(weight, *_roc_of_fold(*fold)) for weight, *fold in _folds(evidence, evidence.parts.pairs, m, t)]
    if not pieces:
        return np.empty(0), np.empty(0)
    x = np.unique(np.concatenate([own for _, own, _ in pieces]))
    below = sum((weight * _limit(own, height, x, "left") for weight, own, height in pieces), np.zeros(len(x)))
    above = sum((weight * _limit(own, height, x, "right") for weight, own, height in pieces), np.zeros(len(x)))
    return np.repeat(x, 2), np.column_stack([below, above]).ravel()


def precision_recall(evidence: Evidence, m: int, t: int) -> tuple[Vector, Vector]:
    """The averaged precision-recall curve of a method and outcome at 101 recalls; empty where it has no average precision."""
    recall = np.linspace(0, 1, POINTS)
    area = np.zeros(POINTS)  # under the curve up to each recall
    folds = list(_folds(evidence, evidence.parts.events * evidence.plan.with_ap[:, :, None], m, t))
    for weight, y, p, w in folds:
        events, others = _tie_groups(y, p, w)
        hits = np.cumsum(events)
        gained = np.concatenate([[0], np.cumsum(events * hits / (hits + np.cumsum(others)))]) / hits[-1]
        area += weight * np.interp(recall, np.concatenate([[0], hits / hits[-1]]), gained)
    height = np.diff(area) * (POINTS - 1)
    return (recall, np.concatenate([height[:1], height])) if folds else (np.empty(0), np.empty(0))


def thinned(x: Vector, y: Vector) -> tuple[Vector, Vector]:
    """A rising curve by at most 101 of its points, equally far from one another in x + y. Endpoints stay."""
    length = x + y
    if len(x) <= POINTS:
        return x, y
    at = np.linspace(length[0], length[-1], POINTS)
    return np.interp(at, length, x), np.interp(at, length, y)


def _folds(evidence: Evidence, size: Vector, m: int, t: int) -> Iterator[tuple[float, Vector, Vector, Vector]]:
    """(weight, y, p, w) of every fold that counts: its size in its repeat, repeats alike; the weights sum to 1.

    size: (C, T, 1 + B), of which the observed sample counts.
    """
    own = np.where(evidence.plan.scope[m], size[:, t, 0], 0.0)
    shares = [own * mask / own[mask].sum() for mask in _repeats(evidence) if own[mask].sum() > 0]
    for c in np.flatnonzero(own).tolist():
        cell = evidence.cells[c]
        known = ~np.isnan(cell.y[:, t])
        weight = sum(share[c] for share in shares) / len(shares)
        yield weight, cell.y[known, t], cell.p[m, known, t], cell.weight[known, t]


def _repeats(evidence: Evidence) -> Iterator[Mask]:
    return (evidence.plan.repeat == repeat for repeat in np.unique(evidence.plan.repeat))


def _tie_groups(y: Vector, p: Vector, w: Vector) -> tuple[Vector, Vector]:
    """(weight of events, weight of the others) per distinct score, from the highest down."""
    order = np.argsort(-p, kind="stable")
    starts = np.flatnonzero(np.diff(p[order], prepend=np.inf))
    return np.add.reduceat((w * y)[order], starts), np.add.reduceat((w * (1 - y))[order], starts)


def _roc_of_fold(y: Vector, p: Vector, w: Vector) -> tuple[Vector, Vector]:
    """Vertices of one fold's curve from (0, 0) to (1, 1), without those on a horizontal line between two others."""
    events, others = _tie_groups(y, p, w)
    rising = events > 0
    corner = rising | np.append(rising[1:], True)
    x, height = np.cumsum(others)[corner], np.cumsum(events)[corner]
    return np.concatenate([[0], x / x[-1]]), np.concatenate([[0], height / height[-1]])


def _limit(x: Vector, y: Vector, at: Vector, side: Literal["left", "right"]) -> Vector:
    """The curve's height just before ("left") or after ("right") each `at`: two numbers where it rises vertically."""
    after = np.clip(np.searchsorted(x, at, side), 1, len(x) - 1)
    width = x[after] - x[after - 1]
    ends = np.full(len(at), 0.0 if side == "left" else 1.0)  # of a rise at 0 or at 1
    share = np.divide(at - x[after - 1], width, out=ends, where=width > 0)
    return y[after - 1] + share * (y[after] - y[after - 1])
