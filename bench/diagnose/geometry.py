"""Geometry of representations: angles, alignment, dependence and spectra. Pure functions in float64.

A representation is a matrix (n, k), a row a patient. Inputs must be finite. Functions centre what their formula wants centred.
What is undefined (a constant representation, too few rows) is NaN, never 0.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Matrix: TypeAlias = NDArray[Any]

FLOOR = 1e-6  # share of the largest singular value at which a direction counts as without variance


def centred(x: Matrix) -> Matrix:
    """(n, k) with columns of mean 0."""
    x = np.asarray(x, np.float64)
    return x - x.mean(axis=0)


def squared_cosine(a: Matrix, b: Matrix) -> float:
    """Mean over rows of cos(a_i, b_i)^2, a row with a zero vector counting as 0.

    OrthTD's measure (arXiv 2605.03570), but for the square, which is our reading. a, b: (n, k). Not centred: centre first if
    wanted. Independent random vectors have 1 / k.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    lengths = (a * a).sum(axis=1) * (b * b).sum(axis=1)
    return float(np.mean((a * b).sum(axis=1) ** 2 / np.where(lengths > 0, lengths, 1.0)))


# ---- spectra


def singular_values(x: Matrix) -> Matrix:
    """Singular values of the centred matrix over sqrt(n - 1), largest first; their squares are the eigenvalues of the covariance.

    x: (n, k) -> (k,), with zeros where n - 1 < k.
    """
    x = centred(x)
    covariance = x.T @ x / max(len(x) - 1, 1)
    return np.sqrt(np.linalg.eigvalsh(covariance).clip(min=0.0))[::-1]


def effective_rank(spectrum: Matrix) -> float:
    """exp of the entropy of the spectrum as shares of its sum. NaN where all is 0.

    Roy & Vetterli, "The effective rank", EUSIPCO 2007, define it on singular values; many papers use eigenvalues, which gives
    smaller numbers: (2, 1, 1, 0) has 2.8284, its squares 2.3811.
    """
    total = np.sum(spectrum)
    share = np.asarray(spectrum, np.float64)[np.asarray(spectrum) > 0] / (total if total > 0 else 1.0)
    return float(np.exp(-(share * np.log(share)).sum())) if total > 0 else float("nan")


def condition_number(spectrum: Matrix, floor: float = FLOOR) -> float:
    """Largest over smallest value, of those above `floor` of the largest. NaN where all is 0.

    A direction without variance, as the one that a LayerNorm takes away, would make it the inverse of the rounding error.
    spectrum: (k,) singular values, or eigenvalues with the square of their floor: the result is then the square.
    """
    largest = np.max(spectrum, initial=0.0)
    return float(largest / np.min(spectrum[spectrum > floor * largest])) if largest > 0 else float("nan")


# ---- subspaces


def principal_cosines(a: Matrix, b: Matrix) -> Matrix:
    """Cosines of the principal angles between the spans of two bases, largest first: singular values of Q_a' Q_b.

    a: (d, k), b: (d, m), of full column rank -> (min(k, m),). Invariant to invertible maps within each basis.
    Bjoerck & Golub, "Numerical methods for computing angles between linear subspaces", Math. Comp. 27 (1973).
    """
    q_a, q_b = np.linalg.qr(np.asarray(a, np.float64))[0], np.linalg.qr(np.asarray(b, np.float64))[0]
    return np.linalg.svd(q_a.T @ q_b, compute_uv=False).clip(max=1.0)


def overlap(a: Matrix, b: Matrix) -> float:
    """Mean squared cosine of the principal angles, ||Q_a' Q_b||_F^2 / min(k, m): 1 if one span holds the other, 0 if orthogonal.

    Random subspaces of R^d have max(k, m) / d; k + m > d makes some overlap unavoidable.
    """
    return float(np.mean(principal_cosines(a, b) ** 2))


def leading_directions(linear: Matrix, count: int) -> Matrix:
    """The `count` directions of the input that a linear map answers to most. linear: (d, k), x -> x @ linear -> (d, count)."""
    return np.linalg.svd(np.asarray(linear, np.float64), full_matrices=False)[0][:, :count]


# ---- alignment and dependence


def linear_kernel(x: Matrix) -> Matrix:
    """(n, k) -> (n, n) inner products of the centred rows."""
    x = centred(x)
    return x @ x.T


def rbf_kernel(x: Matrix) -> Matrix:
    """(n, k) -> (n, n) exp(-d^2 / (2 m^2)), m the median distance of different rows; all ones where that is 0."""
    product = linear_kernel(x)
    squares = np.diag(product)
    distances = (squares[:, None] + squares - 2 * product).clip(min=0.0)
    median = np.median(distances[np.triu_indices(len(distances), 1)])
    return np.exp(-distances / (2 * median)) if median > 0 else np.ones_like(distances)


def doubly_centred(kernel: Matrix) -> Matrix:
    """HKH with H = I - 11'/n: rows and columns of mean 0."""
    return kernel - kernel.mean(axis=0) - kernel.mean(axis=1)[:, None] + kernel.mean()


def u_centred(kernel: Matrix) -> Matrix:
    """The centring whose inner products are unbiased: zero diagonal, rows and columns of sum 0. Needs n >= 4.

    Szekely & Rizzo, "Partial distance correlation with methods for dissimilarities", Ann. Stat. 42 (2014), section 3.
    """
    n = len(kernel)
    bare = kernel - np.diag(np.diag(kernel))
    sums = bare.sum(axis=0)
    out = bare - (sums[:, None] + sums) / (n - 2) + bare.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(out, 0.0)
    return out


def cka_form(x: Matrix) -> Matrix:
    """(n, k) -> (n, n): `inner` of two of these is their linear CKA, unbiased: 0 on average for unrelated ones. NaN if constant.

    Linear CKA, Kornblith et al., "Similarity of neural network representations revisited", ICML 2019, is <a, b> / (|a| |b|) of
    `doubly_centred` linear kernels, ||Y'X||_F^2 / (||X'X||_F ||Y'Y||_F), which is biased up when n < 10 k; so these are u-centred.
    """
    return unit(u_centred(linear_kernel(x)))


def hsic_form(x: Matrix) -> Matrix:
    """(n, k) -> (n, n): `inner` of two of these is their HSIC, tr(KHLH) / (n - 1)^2, of RBF kernels of median width.

    Gretton et al., "Measuring statistical dependence with Hilbert-Schmidt norms", ALT 2005, eq. 9. Biased upward: see its null.
    """
    return doubly_centred(rbf_kernel(x)) / (len(x) - 1)


def unit(kernel: Matrix) -> Matrix:
    """Of Frobenius norm 1; NaN where all is 0."""
    return kernel / (np.linalg.norm(kernel) or np.nan)


def inner(a: Matrix, b: Matrix) -> float:
    """sum_ij a_ij b_ij."""
    return float((a * b).sum())


def permuted(a: Matrix, others: Matrix, draws: int, rng: np.random.Generator) -> Matrix:
    """<a, b> of centred kernels when the patients of `a` are shuffled: what independence would give.

    a: (n, n); others: (m, n, n) -> (draws, m). The same shuffles serve all of `others`.
    """
    flat = others.reshape(len(others), -1).T
    orders = (rng.permutation(len(a)) for _ in range(draws))
    return np.stack([a[np.ix_(order, order)].reshape(-1) @ flat for order in orders])


def p_value(value: float, null: Matrix) -> float:
    """(1 + #{null >= value}) / (draws + 1), never 0. null: (draws,)."""
    return float((1 + np.sum(null >= value)) / (len(null) + 1))
