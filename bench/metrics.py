"""How good predictions are: one number per outcome, in float64, undefined rather than invented.

Rows whose label is NaN are left out everywhere. A number that the remaining rows cannot define (one class only, no row) is
NaN: the caller counts it and never fills it in. Every function takes an optional weight per row: how often the row was
drawn, or the inverse probability that its label is known; weight 0 is the same as leaving the row out. Scores must not be NaN.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector: TypeAlias = NDArray[np.float64]

FOLD_EVENTS = 10  # under this many events in a fold: no average precision of that fold
TOTAL_EVENTS = 20  # under this many in all: AUROC only, and no part in the mean over outcomes


def auroc(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Area under the ROC curve, ties counted half. NaN when the known rows hold one class only.

    y: (n,) 0, 1 or NaN. p: (n,) any real score. weight: (n,), >= 0; a pair weighs the product of its rows' weights.
    Equal to `sklearn.metrics.roc_auc_score` to 1e-12.
    """
    concordant, pairs = _pairs(*_known(y, p, weight))
    return concordant / pairs if pairs else float("nan")


def average_precision(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Average precision: sum over distinct scores, from the top, of (recall gained) x (precision there). NaN without an event.

    Also NaN when no row is without an event, as everything here is for one class only. Shapes as for `auroc`.
    Equal to `sklearn.metrics.average_precision_score` to 1e-12, which gives 0.0 or 1.0 for one class.
    """
    y, p, w = _known(y, p, weight)
    gained, events = _precision_sum(y, p, w)
    return gained / events if y.any() and not y.all() else float("nan")


def stratified_auroc(y: ArrayLike, p: ArrayLike, fold: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Concordant pairs over all pairs, both summed over the folds: no pair crosses a fold. NaN when no fold has a pair.

    y, p, weight: as for `auroc`. fold: (n,) the test fold of each row; a fold of one class adds no pair.
    """
    y, p, w, folds = _by_fold(y, p, fold, weight)
    sums = np.array([_pairs(y[rows], p[rows], w[rows]) for rows in folds]).reshape(-1, 2).sum(axis=0)
    return float(sums[0] / sums[1]) if sums[1] else float("nan")


def stratified_average_precision(
    y: ArrayLike,
    p: ArrayLike,
    fold: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    fold_events: int = FOLD_EVENTS,
    total_events: int = TOTAL_EVENTS,
) -> float:
    """Mean of the folds' average precision, weighted by their (weighted) events.

    A fold with fewer than `fold_events` event rows has none and is left out; NaN when all are, or under `total_events` in all.
    y, p, fold, weight: as for `stratified_auroc`.
    """
    y, p, w, folds = _by_fold(y, p, fold, weight)
    if y.sum() < total_events:
        return float("nan")
    kept = [rows for rows in folds if fold_events <= y[rows].sum() < len(rows)]
    sums = np.array([_precision_sum(y[rows], p[rows], w[rows]) for rows in kept]).reshape(-1, 2).sum(axis=0)
    return float(sums[0] / sums[1]) if sums[1] else float("nan")


def permutation_mean(y: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Average precision expected of a random ranking without ties: the chance level. NaN without an event.

    With n rows, e events and H_n = 1 + 1/2 + ... + 1/n it is ((e - 1) / (n - 1) (n - H_n) + H_n) / n (Bestgen, "Exact
    expected average precision of the random baseline for system evaluation", PBML 103, 2015): the row at rank k holds an
    event with probability e/n, and then each of the k - 1 before it does with (e - 1)/(n - 1). Above the prevalence e/n, and
    equal to it only in the limit. With unequal weights the expected ratio at each rank is taken as the ratio of the
    expectations, an error of second order in the weights' spread (test: below 1e-4 for weights of 1 to 1.7).
    """
    y, _, w = _known(y, y, weight)
    n, events = len(y), y @ w
    if not events:
        return float("nan")
    before = np.arange(n) / max(n - 1, 1)  # (n,) share of the other rows that stand before rank k
    own, how_many = np.unique(w[y == 1], return_counts=True)  # few distinct weights: one pass each
    expected = [np.mean((v + before * (events - v)) / (v + before * (w.sum() - v))) for v in own]
    return float((own * how_many) @ np.array(expected) / events)


def brier(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean squared distance of probability and outcome. NaN without a known row; one class only is fine."""
    y, p, w = _known(y, p, weight)
    return float(((y - p) ** 2) @ w / w.sum()) if len(y) else float("nan")


def log_loss(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean negative log likelihood in nats, probabilities clipped to [1e-7, 1 - 1e-7]. NaN without a known row."""
    y, p, w = _known(y, p, weight)
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return float(-(y * np.log(p) + (1 - y) * np.log1p(-p)) @ w / w.sum()) if len(y) else float("nan")


def _known(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None) -> tuple[Vector, Vector, Vector]:
    """The rows with a label and a weight, in float64."""
    labels = np.asarray(y, np.float64)
    weights = np.ones_like(labels) if weight is None else np.asarray(weight, np.float64)
    kept = ~np.isnan(labels) & (weights > 0)
    return labels[kept], np.asarray(p, np.float64)[kept], weights[kept]


def _by_fold(
    y: ArrayLike, p: ArrayLike, fold: ArrayLike, weight: ArrayLike | None
) -> tuple[Vector, Vector, Vector, list[NDArray[Any]]]:
    kept = ~np.isnan(np.asarray(y, np.float64)) & (True if weight is None else np.asarray(weight, np.float64) > 0)
    folds = np.asarray(fold)[kept]
    return *_known(y, p, weight), [np.flatnonzero(folds == f) for f in np.unique(folds)]


def _tie_groups(y: Vector, p: Vector, w: Vector) -> tuple[Vector, Vector]:
    """(weight of events, weight of the others) per distinct score, from the highest down."""
    _, group = np.unique(-p, return_inverse=True)
    return np.asarray(np.bincount(group, w * y), np.float64), np.asarray(np.bincount(group, w * (1 - y)), np.float64)


def _pairs(y: Vector, p: Vector, w: Vector) -> tuple[float, float]:
    """(weight of concordant pairs, weight of all pairs)."""
    if not len(y):
        return 0.0, 0.0
    events, others = _tie_groups(y, p, w)
    below = others.sum() - np.cumsum(others)
    return float(events @ (below + others / 2)), float(events.sum() * others.sum())


def _precision_sum(y: Vector, p: Vector, w: Vector) -> tuple[float, float]:
    """(sum over events of weight x precision at the event's score, weight of all events)."""
    if not len(y):
        return 0.0, 0.0
    events, others = _tie_groups(y, p, w)
    hits = np.cumsum(events)
    return float(events @ (hits / (hits + np.cumsum(others)))), float(hits[-1])
