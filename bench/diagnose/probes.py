"""Linear probes with held-out scores: what a representation tells of a label, of a factor, or of another representation.

Rows whose label is NaN take no part. A probe that cannot be fitted (fewer than two rows, a constant target) predicts the mean.
A score that the held-out rows cannot define is NaN.
"""

from typing import NamedTuple

import numpy as np

from bench import metrics
from bench.diagnose.geometry import Matrix

PENALTIES = 10.0 ** np.arange(-6, 3)  # times the mean eigenvalue of X'X


class Ridge(NamedTuple):
    """y = (x - centre) @ coefficients + mean. coefficients: (d, m)."""

    centre: Matrix
    mean: Matrix
    coefficients: Matrix

    def __call__(self, x: Matrix) -> Matrix:
        return (x - self.centre) @ self.coefficients + self.mean


def ridge(x: Matrix, y: Matrix) -> Ridge:
    """Ridge regression with intercept, each target's penalty chosen by generalised cross-validation.

    x: (n, d), y: (n, m). With X'X = V diag(l) V' and c = V'X'y of centred data: b = V c / (l + a), residual sum of squares
    RSS = y'y - sum c^2 (l + 2a) / (l + a)^2, degrees of freedom f = 1 + sum l / (l + a); a minimises RSS / (1 - f / n)^2 (Golub,
    Heath, Wahba, "Generalized cross-validation as a method for choosing a good ridge parameter", Technometrics 21 (1979)).
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    n, d = x.shape
    centre, mean = (x.mean(axis=0), y.mean(axis=0)) if n else (np.zeros(d), np.zeros(y.shape[1]))
    x, y = x - centre, y - mean
    values, vectors = np.linalg.eigh(x.T @ x)
    values = values.clip(min=0.0)
    if n < 3 or values.sum() <= 0:
        return Ridge(centre, mean, np.zeros((d, y.shape[1])))
    c = vectors.T @ (x.T @ y)  # (d, m)
    penalties = PENALTIES * values.mean()
    shrunk = values + penalties[:, None]  # (penalties, d)
    residual = (y * y).sum(axis=0) - ((values + 2 * penalties[:, None]) / shrunk**2) @ c**2
    room = (1 - (1 + (values / shrunk).sum(axis=1)) / n).clip(min=1e-6)
    best = np.argmin(residual.clip(min=0.0) / room[:, None] ** 2, axis=0)  # (m,)
    return Ridge(centre, mean, vectors @ (c / shrunk[best].T))


def r2(y: Matrix, predicted: Matrix) -> float:
    """1 - squared error / squared deviation from the mean, both summed over all columns. y, predicted: (n, m). NaN if y is constant."""
    total = float(((y - y.mean(axis=0)) ** 2).sum())
    return 1 - float(((y - predicted) ** 2).sum()) / total if total > 0 else float("nan")


def explained(fit_x: Matrix, fit_y: Matrix, x: Matrix, y: Matrix) -> float:
    """Held-out R^2 of a ridge fitted on other rows. x: (n, d), y: (n, m)."""
    return r2(np.asarray(y, np.float64), ridge(fit_x, fit_y)(x))


def probe(fit_x: Matrix, fit_y: Matrix, x: Matrix) -> Matrix:
    """Scores (n,) of a linear probe of a label: ridge on 0 and 1, which is Fisher's discriminant, shrunk. fit_y: (rows,) with NaN."""
    known = ~np.isnan(fit_y)
    return ridge(fit_x[known], fit_y[known, None])(x)[:, 0]


def within(fit_x: Matrix, fit_y: Matrix, fit_stratum: Matrix, x: Matrix) -> Matrix:
    """Scores (n,) of a probe that may not use the stratum: representation and label are centred within strata before the fit.

    fit_stratum: (rows,) 0, 1 or NaN. Only comparisons within a stratum mean anything: score with `metrics.stratified_auroc`.
    """
    residual_x, residual_y, kept = np.array(fit_x, np.float64), np.array(fit_y, np.float64), np.zeros(len(fit_y), bool)
    for value in (0.0, 1.0):
        rows = (fit_stratum == value) & ~np.isnan(fit_y)
        if rows.any():
            residual_x[rows] -= residual_x[rows].mean(axis=0)
            residual_y[rows] -= residual_y[rows].mean()
            kept |= rows
    return np.asarray(x, np.float64) @ ridge(residual_x[kept], residual_y[kept, None]).coefficients[:, 0]


def label_only(fit_from: Matrix, fit_to: Matrix, label: Matrix) -> Matrix:
    """Scores (n,) of the predictor of one outcome that knows nothing but another: its rate at 0 and at 1 among the fitted rows.

    NaN where the label is, and where fitting saw no row with that label. fit_from, fit_to: (rows,); label: (n,).
    """
    out = np.full(len(label), np.nan)
    for value in (0.0, 1.0):
        seen = fit_to[(fit_from == value) & ~np.isnan(fit_to)]
        if len(seen):
            out[label == value] = seen.mean()
    return out


def auroc(y: Matrix, score: Matrix, weight: Matrix) -> float:
    """`metrics.auroc` over the rows that have a score."""
    return metrics.auroc(np.where(np.isnan(score), np.nan, y), np.nan_to_num(score), weight)
