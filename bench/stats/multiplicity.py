"""What many comparisons cost: adjusted p values for a family, and the set that cannot be told from the best.

The family of a table is (methods - 1) x outcomes and their mean x primary metrics; `max_t` on the joint resamples is the
default, as it knows how the comparisons depend on one another. Holm and Benjamini-Hochberg see p values only.

A p value from B resamples is never below 1 / (B + 1). Holm multiplies the smallest of m by m, so that with few resamples
nothing could ever be found: both refuse fewer than 20 m / alpha resamples. Undefined p values (NaN) stay NaN and are not counted.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from bench.bootstrap import Vector
from bench.core import BenchError
from bench.stats.estimates import Mask
from bench.stats.intervals import LEVEL

_Adjust: TypeAlias = Callable[[Vector, Vector], Vector]  # sorted p values and their ranks from 1 -> adjusted

FINENESS = 20  # resamples below the smallest threshold alpha / m: its Monte Carlo error is then about a quarter of it


def max_t(observed: Vector, drawn: Vector) -> Vector:
    """(H,) p values adjusted for the whole family: max-T step-down on the joint resamples. 1 where nothing ever differs.

    Romano and Wolf, "Exact and approximate stepdown methods for multiple hypothesis testing", JASA 100, 2005; adjusted p values: Statistics & Probability Letters 113,
    2016. Each difference
    is divided by its bootstrap standard error, so that rare and common outcomes, AUROC and AP weigh alike.
    observed: (H,) differences. drawn: (H, B) the same in each resample.
    """
    scale = drawn.std(axis=1, ddof=1)
    t, null = scaled(np.abs(observed), scale), scaled(np.abs(drawn - observed[:, None]), scale[:, None])
    order = np.argsort(-t, kind="stable")
    highest = np.maximum.accumulate(null[order][::-1], axis=0)[::-1]  # (H, B) over this hypothesis and all less extreme
    p = np.empty(len(t))
    p[order] = np.maximum.accumulate(share_beyond(t[order], highest))
    return p


def not_distinguishable(observed: Vector, drawn: Vector) -> Mask:
    """(M,) may be the best: the lead of the others over it is within what resampling explains. True for the best itself.

    Multiple comparisons with the best (Hsu, Annals of Statistics 12, 1984) on the joint resamples: the statistic of a method
    is the largest of the others' leads over it, each divided by its bootstrap standard error. At level .05 the truly best
    method is in the set with probability .95, whichever it is, and the choice of the best is paid for.
    observed: (M,) estimates. drawn: (M, B).
    """
    keep = np.ones(len(observed), bool)
    for m in range(len(observed)):
        lead = np.delete(observed, m) - observed[m]
        leads = np.delete(drawn, m, axis=0) - drawn[m]
        if len(lead) and lead.max() > 0:
            scale = leads.std(axis=1, ddof=1)
            null = scaled(leads - lead[:, None], scale[:, None]).max(axis=0)
            keep[m] = share_beyond(scaled(lead, scale).max(keepdims=True), null[None])[0] > LEVEL
    return keep


def holm(p: ArrayLike, resamples: int | None = None, level: float = LEVEL) -> Vector:
    """(m,) p values adjusted by Holm: the chance of one false claim or more is at most the level, whatever the dependence.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    p: (m,), NaN: no test, left out of the family. resamples: how many a p value counts; None if it comes from a formula.
    BenchError when resamples < 20 m / level. Equal to statsmodels' `multipletests(p, method="holm")`.
    """
    return _adjusted(p, resamples, level, "Holm", lambda ordered, rank: np.maximum.accumulate((len(rank) + 1 - rank) * ordered))


def benjamini_hochberg(p: ArrayLike, resamples: int | None = None, level: float = LEVEL) -> Vector:
    """(m,) p values adjusted by Benjamini and Hochberg: of what is claimed, at most a share `level` is false on average.

    Benjamini and Hochberg, JRSS B 57, 1995. A weaker promise than Holm's, for screening, not for a claim. It holds for
    independent tests and under positive regression dependence (Benjamini and Yekutieli, Annals of Statistics 29, 2001); two-sided
    tests against one reference need not have that, so that it is a guide here. NaN, resamples and errors as for `holm`.
    """

    def step_up(ordered: Vector, rank: Vector) -> Vector:
        return np.minimum.accumulate((ordered * len(rank) / rank)[::-1])[::-1]

    return _adjusted(p, resamples, level, "Benjamini-Hochberg", step_up)


def least_resamples(tests: int, level: float = LEVEL) -> int:
    """How many resamples p values must count for `tests` of them to be adjusted by Holm: 20 tests / level."""
    return math.ceil(round(FINENESS * tests / level, 6))


def share_beyond(observed: Vector, null: Vector) -> Vector:
    """(H,) p values, never 0. observed: (H,), null: (H, B)."""
    return (1 + (null >= observed[:, None]).sum(axis=1)) / (null.shape[1] + 1)


def scaled(x: Vector, scale: Vector) -> Vector:
    """x / scale, 0 where x is 0 whatever the scale (two methods with the same predictions)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x == 0, 0.0, x / scale)


def _adjusted(p: ArrayLike, resamples: int | None, level: float, name: str, adjust: _Adjust) -> Vector:
    out = np.array(p, np.float64)
    known = np.flatnonzero(~np.isnan(out))
    _check(out[known], resamples, level, name)
    order = known[np.argsort(out[known], kind="stable")]
    out[order] = np.minimum(adjust(out[order], np.arange(1.0, len(order) + 1)), 1.0)
    return out


def _check(p: Vector, resamples: int | None, level: float, name: str) -> None:
    if ((p < 0) | (p > 1)).any():
        raise BenchError(f"a p value lies between 0 and 1, but one is {p[(p < 0) | (p > 1)][0]:g}")
    least = least_resamples(len(p), level)
    if resamples is not None and resamples < least:
        raise BenchError(
            f"{name} on {len(p)} bootstrap p values needs {least:,} resamples (20 x tests / level), but there are {resamples:,}. "
            "Draw more, or keep max-T, which needs no more for a larger family."
        )
