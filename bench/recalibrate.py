"""Logistic recalibration, and the validation score every iterative method stops on.

Rows whose label is NaN are left out. A task with one class only gets the identity. Perfect separation, constant and extreme
probabilities are safe: probabilities are cut to [1e-7, 1 - 1e-7] and the slope carries a ridge of 1e-3 of an event.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
EPS = 1e-7
RIDGE = 1e-3  # on the slope of the standardised logit: keeps it finite where the classes are separated
VOTES_FROM = 5  # events and non-events
HALF_VOTE = 10  # events at which a task has half a vote


def logistic_recalibration(y: ArrayLike, p: ArrayLike, w: ArrayLike | None = None) -> Array:
    """Intercept and slope of the logistic regression of y on logit(p), by maximum likelihood, for every task at once.

    Constant p: slope 0, intercept at the log-odds of the mean. One class only, or nothing known: (0, 1), the identity.

    y: (n, T) or (n,), 0, 1 or NaN. p: like y, in [0, 1]. w: like y, >= 0. Returns (2, T): intercepts, slopes.
    """
    y2, z, w2 = _prepare(y, p, w)
    coefficients = _fit(y2, z, w2)
    return np.where(_two_classes(y2, w2), coefficients, np.array([[0.0], [1.0]]))


def recalibrated(p: ArrayLike, coefficients: ArrayLike) -> Array:
    """Probabilities p, (n, T) or (n,), under the (2, T) coefficients of `logistic_recalibration`; shape (n, T)."""
    a, b = np.asarray(coefficients, np.float64)
    return _sigmoid(a + b * _logit(_columns(p)))


def task_scores(y: ArrayLike, p: ArrayLike, w: ArrayLike | None = None) -> Array:
    """(T,) log loss after recalibration on these same rows, divided by the entropy of the base rate; lower is better.

    1 = no better than the base rate, also for p that are constant or point the wrong way (a negative slope is not granted).
    NaN for a task without both classes.  y, p, w: as for `logistic_recalibration`.
    """
    y2, z, w2 = _prepare(y, p, w)
    a, b = _fit(y2, z, w2)
    total = np.maximum(w2.sum(0), 1e-300)
    rate = (w2 * y2).sum(0) / total
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
        score = _loss(y2, a + b * z, w2) / total / entropy
    score = np.where(b > 0, np.minimum(score, 1.0), 1.0)
    return np.where(_two_classes(y2, w2), score, np.nan)


def validation_score(y: ArrayLike, p: ArrayLike, w: ArrayLike | None = None) -> float:
    """Mean of `task_scores` with weight e / (e + 10), e = events; under 5 events or non-events a task does not vote.

    If so nobody votes, every task with both classes does; if there is none, the score is 1.0 and never moves.
    """
    return _joint(task_scores(y, p, w), *_classes(y))


def row_scores(y: ArrayLike, p: ArrayLike, w: ArrayLike | None = None) -> Array:
    """(n,) what each row adds to `validation_score`, of which they are the sum; all 0 where no task has a vote."""
    y2, z, w2 = _prepare(y, p, w)
    scores, share = task_scores(y, p, w), np.maximum(w2.sum(0), 1e-300)
    rate = np.clip((w2 * y2).sum(0) / share, EPS, 1 - EPS)
    base = np.log(rate) - np.log1p(-rate)
    a, b = _fit(y2, z, w2)
    z = np.where((b > 0) & (scores < 1), a + b * z, base)  # as in `task_scores`: never worse than the base rate
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
    return (w2 * _losses(y2, z) / share / entropy) @ _votes(scores, *_classes(y))


def stopping_scores(y: ArrayLike, p: ArrayLike, w: ArrayLike | None = None) -> Array:
    """(T,) `task_scores` where a task has the votes, and `validation_score` for the others: for stopping task by task."""
    scores, classes = task_scores(y, p, w), _classes(y)
    return np.where(classes.min(0) >= VOTES_FROM, scores, _joint(scores, *classes))


def _joint(scores: Array, events: Array, others: Array) -> float:
    votes = _votes(scores, events, others)
    return float(votes @ np.where(votes > 0, scores, 0.0)) if votes.any() else 1.0


def _votes(scores: Array, events: Array, others: Array) -> Array:
    """(T,) each task's part of the joint score, of 1 in all; 0 of all where none is defined."""
    defined = np.isfinite(scores)
    votes = defined & (np.minimum(events, others) >= VOTES_FROM)
    weights = np.where(votes if votes.any() else defined, events / (events + HALF_VOTE), 0.0)
    return weights / max(weights.sum(), 1e-300)


def _classes(y: ArrayLike) -> Array:
    """(2, T) events and non-events."""
    labels = _columns(y)
    return np.stack([(labels == 1).sum(0), (labels == 0).sum(0)]).astype(np.float64)


def _columns(x: ArrayLike) -> Array:
    array = np.asarray(x, np.float64)
    return array[:, None] if array.ndim == 1 else array


def _prepare(y: ArrayLike, p: ArrayLike, w: ArrayLike | None) -> tuple[Array, Array, Array]:
    """Labels with 0 for unknown, logits, and weights with 0 for unknown, each (n, T)."""
    labels = _columns(y)
    weights = np.ones_like(labels) if w is None else _columns(w)
    unknown = np.isnan(labels)
    return np.where(unknown, 0.0, labels), _logit(_columns(p)), np.where(unknown, 0.0, weights)


def _two_classes(y: Array, w: Array) -> NDArray[np.bool_]:
    return ((w * y).sum(0) > 0) & ((w * (1 - y)).sum(0) > 0)


def _logit(p: Array) -> Array:
    inside = np.clip(p, EPS, 1 - EPS)
    return np.log(inside) - np.log1p(-inside)


def _sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(z, -700, 700)))


def _loss(y: Array, z: Array, w: Array) -> Array:
    """(T,) summed log loss of logits z."""
    return (w * _losses(y, z)).sum(0)


def _losses(y: Array, z: Array) -> Array:
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))) - y * z


def _fit(y: Array, z: Array, w: Array) -> Array:
    """Newton's method with halved steps on intercept and slope, (2, T); one-class columns come out finite but meaningless."""
    total = np.maximum(w.sum(0), 1e-300)
    mean = (w * z).sum(0) / total
    sd = np.sqrt((w * (z - mean) ** 2).sum(0) / total)
    varies = sd > 1e-9 * (1 + np.abs(mean))
    x = np.where(varies, (z - mean) / np.where(varies, sd, 1), 0.0)
    rate = np.clip((w * y).sum(0) / total, EPS, 1 - EPS)
    beta = np.stack([np.log(rate) - np.log1p(-rate), np.zeros_like(rate)])

    def objective(b: Array) -> Array:
        return _loss(y, b[0] + b[1] * x, w) + RIDGE / 2 * b[1] ** 2

    lowest = objective(beta)
    for _ in range(50):
        step = _newton_step(beta, x, y, w)
        loss = objective(beta - step)
        for _ in range(30):
            if (loss <= lowest).all():
                break
            step = np.where(loss <= lowest, step, step / 2)
            loss = objective(beta - step)
        step = np.where(loss <= lowest, step, 0.0)
        beta, lowest = beta - step, np.minimum(loss, lowest)
        if np.abs(step).max() < 1e-6:
            break
    slope = np.where(varies, beta[1] / np.where(varies, sd, 1), 0.0)
    return np.stack([beta[0] - slope * mean, slope])


def _newton_step(beta: Array, x: Array, y: Array, w: Array) -> Array:
    """Inverse Hessian times gradient of the penalised log loss, (2, T); the 2 x 2 systems are solved by hand."""
    p = _sigmoid(beta[0] + beta[1] * x)
    residual, curvature = w * (p - y), w * p * (1 - p)
    g0, g1 = residual.sum(0), (residual * x).sum(0) + RIDGE * beta[1]
    h00, h01, h11 = curvature.sum(0) + 1e-12, (curvature * x).sum(0), (curvature * x**2).sum(0) + RIDGE
    determinant = np.maximum(h00 * h11 - h01**2, 1e-12 * h00 * h11)
    return np.stack([h11 * g0 - h01 * g1, h00 * g1 - h01 * g0]) / determinant
