"""Intervals of 95 % from resamples: percentile, or BCa with the exact jackknife."""

from collections.abc import Sequence

import numpy as np

from bench import jackknife
from bench.bootstrap import Vector
from bench.stats.estimates import Evidence, Mask

LEVEL = 0.05
INTERVALS = ("percentile", "bca")


def interval(drawn: Vector) -> tuple[Vector, Vector]:
    """(...) low and high percentile. drawn: (..., B)."""
    low, high = np.percentile(drawn, [100 * LEVEL / 2, 100 - 100 * LEVEL / 2], axis=-1)
    return low, high


def bounds(evidence: Evidence, values: Vector, methods: Sequence[int], cells: Mask, how: str) -> tuple[Vector, Vector]:
    """(T + 1, K) low and high of a method's values, or of its difference from a second method.

    values: (T + 1, K, 1 + B) as observed and as drawn. methods: one number or two. cells: (C,) those the values are of.
    BCa is NaN where the observed value lies outside all resamples.
    """
    if how == "percentile":
        return interval(values[..., 1:])
    kept = [cell for cell, used in zip(evidence.cells, cells, strict=True) if used]
    plan, units = evidence.plan, len(evidence.counts)
    lost = [jackknife.without(kept, m, units, plan.with_ap[cells], plan.averaged) for m in methods]
    change = lost[0] if len(lost) == 1 else lost[0] - lost[1]
    return jackknife.bca(values[..., 0], values[..., 1:], jackknife.sixth_of_skewness(change, evidence.stratum))
