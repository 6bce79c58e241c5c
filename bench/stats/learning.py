"""Learning curves: every method after so many patients, on the same test rows; and how many patients sharing is worth.

Sharing is worth N patients where a multi-task method that learned from n predicts as well as its single-task baseline would after
n + N: the horizontal distance between two learning curves. All methods and sizes share the draws of the table, so that the
curves are compared on the same patients, and a method that is its own baseline is worth exactly 0.

Both curves are made non-decreasing first, by isotonic regression: more patients do not make a procedure worse, so that a dip is noise, and
of sizes that contradict each other their mean is the best guess. A running maximum would take the luckiest size for the truth, too
high the more sizes there are. Between two sizes the baseline's curve is straight in the logarithm of the patients. It says nothing
beyond its ends: a score above or below it is not reached, and a resample that leaves it counts as infinitely many or few.

Everything is about these fitted models, one or a few at each size: other patients to learn from, of the same number, would move the
curves, most at small sizes, and no interval here knows of it. Nothing is adjusted for the number of statements.
NaN or no row: a comparison of an outcome with fewer than 20 events. A method is absent from sizes where it was not run; one that
lacks a cell at some size is compared on the cells that it and the baseline have at all of theirs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bench.bootstrap import Vector
from bench.stats.estimates import MEAN, PRIMARY, Evidence
from bench.stats.intervals import LEVEL
from bench.stats.joining import joined, paired
from bench.stats.multitask import sharing, single_task
from bench.stats.scoring import columns, limits

LEARNING = ["method", "task", "metric", "patients", "value", "low", "high"]
WORTH = [
    "method", "baseline", "task", "metric", "patients", "value", "needed", "worth", "low", "high", "bound", "reached",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Curves:
    """One evidence of all methods and sizes. labels: method -> patients learned from, rising -> its label in the evidence."""

    evidence: Evidence
    labels: Mapping[str, Mapping[int, str]]


def curves(evidence: Evidence, learned: int, sizes: Mapping[int, pd.DataFrame]) -> Curves:
    """The evidence of a run that learned from so many patients, and the test predictions of its methods after fewer.

    sizes: patients -> predictions as for `gather`. Methods that the evidence does not have are left out.
    """
    named: dict[str, dict[int, str]] = {method: {} for method in evidence.methods}
    frames: list[pd.DataFrame] = []
    for size, frame in sorted(sizes.items()):
        there = set(frame["method"])
        new = {method: f"{method} from {size} patients" for method in evidence.methods if method in there}
        frames.append(frame[frame["method"].isin(list(new))].assign(method=lambda f, new=new: f["method"].map(new)))
        for method, label in new.items():
            named[method][size] = label
    further = [label for of in named.values() for label in of.values()]
    every = joined(evidence, pd.concat(frames, ignore_index=True), further) if further else evidence
    return Curves(
        every, {method: dict(sorted({**of, learned: method}.items())) for method, of in named.items()} if further else {}
    )


def learning(of: Curves, how: str = "percentile") -> pd.DataFrame:
    """LEARNING: the values of every method after each number of patients, with intervals as in the table. Empty with one size."""
    rows: list[dict[str, Any]] = []
    for method, labels in of.labels.items():
        points: list[tuple[int, Vector, tuple[Vector, Vector]]] = []
        for size, label in labels.items():
            m = of.evidence.labels.index(label)
            points.append((size, of.evidence.found.values[m, ..., 0], limits(of.evidence, m, how)))
        rows += [
            {"method": method, "task": task, "metric": metric, "patients": size, "value": value[t, k], "low": low[t, k], "high": high[t, k]}
            for t, task, k, metric in columns(of.evidence.tasks)
            for size, value, (low, high) in points
        ]  # fmt: skip
    return pd.DataFrame(rows, columns=LEARNING)


def worth(of: Curves) -> pd.DataFrame:
    """WORTH: every multi-task method at each of its sizes against the baseline's curve, AUROC and AP. Empty without two sizes of it.

    baseline: the single-task method that `bench.stats.multitask` compares with, else the reference. patients, value: the size n and
    the score there, as it was found. needed: patients after which the baseline's curve has that of the method, NaN if not reached; where the
    curve is level at this height, the nearest to n. worth: needed - n, below 0 where sharing costs patients. low, high: 95 %
    percentile bounds, +inf or -inf where the resamples leave the sizes measured. bound: "more than N" or "less than N" patients of
    worth where the score lies above the end of the baseline's curve or below its start, else "". reached: it does not.
    """
    baseline = single_task(of.evidence) or of.evidence.reference
    rows: list[dict[str, Any]] = []
    if len(of.labels.get(baseline, ())) > 1:
        for method in sharing(of.evidence):
            if method != baseline:
                rows += _of_method(of, method, baseline)
    return pd.DataFrame(rows, columns=WORTH)


def _of_method(of: Curves, method: str, baseline: str) -> Iterator[dict[str, Any]]:
    own, base = of.labels[method], of.labels[baseline]
    values = paired(of.evidence, [*own.values(), *base.values()])  # (sizes of both, T + 1, K, 1 + B)
    known = ~np.isnan(values[..., 0].sum(axis=0))
    ours, theirs = isotonic(values[: len(own)]), isotonic(values[len(own) :])
    sizes = np.array(list(base), float)
    for t, task in enumerate([*of.evidence.tasks, MEAN]):
        for k, metric in enumerate(PRIMARY):
            head: dict[str, Any] = {"method": method, "baseline": baseline, "task": task, "metric": metric}
            for i, n in enumerate(own) if known[t, k] else ():
                row = {"patients": n, "value": values[i, t, k, 0]}
                yield head | row | _worth(sizes, theirs[:, t, k], ours[i, t, k], n)


def _worth(sizes: Vector, curve: Vector, score: Vector, n: int) -> dict[str, Any]:
    """curve: (k, 1 + B) of the baseline. score: (1 + B,) of the method."""
    drawn = needed(sizes, curve, score, n) - n
    low, high = outer(drawn[1:])
    reached = bool(np.isfinite(drawn[0]))
    end, word = (sizes[-1], "more") if drawn[0] > 0 else (sizes[0], "less")
    found = {"needed": drawn[0] + n, "worth": drawn[0]} if reached else {"needed": np.nan, "worth": np.nan}
    return found | {"low": low, "high": high, "bound": "" if reached else f"{word} than {int(end) - n:,}", "reached": reached}


def isotonic(values: ArrayLike) -> Vector:
    """(k, ...) the non-decreasing values nearest by squares, along the first axis, all weighing alike. NaN where one of them is.

    By the max-min formula (Robertson, Wright and Dykstra, "Order Restricted Statistical Inference", 1988, theorem 1.4.4), in one pass for
    all resamples; a level part is level to the last bit.
    """
    given = np.asarray(values, float)
    size = len(given)
    out = np.full_like(given, -np.inf)
    for start in range(size):
        means = np.cumsum(given[start:], axis=0) / np.arange(1, size - start + 1).reshape(-1, *[1] * (given.ndim - 1))
        least = np.minimum.accumulate(means[::-1], axis=0)[::-1]  # of the means from `start` to j or further
        out[start:] = np.maximum(out[start:], least)
    return out


def needed(sizes: Sequence[float] | Vector, curve: ArrayLike, score: ArrayLike, n: float) -> Vector:
    """(B,) where a non-decreasing curve (k, B) over rising sizes (k,) has the score (B,), straight in the logarithm between two sizes.

    +inf above its end, -inf below its start; where it is level at that height, the place nearest to n; NaN where anything is.
    """
    x, y, s = np.asarray(sizes, float), np.asarray(curve, float), np.asarray(score, float)
    under, upto = (y < s).sum(axis=0), (y <= s).sum(axis=0)
    after = np.clip(under, 1, len(x) - 1)  # the knot that a score between two lies below
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = (np.take_along_axis(y, i[None], 0)[0] for i in (after - 1, after))
        share = np.clip((s - low) / (high - low), 0.0, 1.0)
    between = x[after - 1] * (x[after] / x[after - 1]) ** share
    at_knot = np.clip(n, x[np.minimum(under, len(x) - 1)], x[np.maximum(upto - 1, 0)])
    beyond = np.where(under == 0, -np.inf, np.inf)
    inside = np.where(under < upto, at_knot, np.where((under > 0) & (under < len(x)), between, beyond))
    return np.where(np.isnan(y).any(axis=0) | np.isnan(s), np.nan, inside)


def outer(drawn: NDArray[np.float64]) -> tuple[float, float]:
    """The percentile interval between draws of which some are infinite: the draws next outside of the percentiles themselves."""
    low = np.percentile(drawn, 100 * LEVEL / 2, method="lower")
    high = np.percentile(drawn, 100 - 100 * LEVEL / 2, method="higher")
    return float(low), float(high)
