"""From a difference and its resamples to one word: superiority, non-inferiority, equivalence; and who may be where in the ranks.

A difference is turned so that above 0 is better. Every verdict needs both of two readings that agree but for rounding: the
percentile interval, which is shown, and the p value. What is not shown is "undecided", never "equal": beside it stands the
smallest difference that these data would have found with 80 % power.

Few events: under 20 events of an outcome nothing is compared on it, under 10 in a fold that fold has no average precision; the
differences handed in are NaN then, and so is everything here. Identical predictions: difference 0, p 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtr, stdtrit

from bench import metrics
from bench.bootstrap import Vector
from bench.core import BenchError
from bench.stats.estimates import BAYES, MEAN, METRICS, PRIMARY, Evidence
from bench.stats.intervals import LEVEL
from bench.stats.multiplicity import scaled, share_beyond

POWER = 0.8
NOTHING = 1e-12  # a standard error below this is rounding
UNDECIDED = "undecided"
RANKS = ["method", "task", "metric", "low", "high", "set_low", "set_high"]


@dataclass(frozen=True)
class Decision:
    """One question about one difference. p: of the hypothesis that the answer is no. low, high: the interval that was read.

    verdict: superior, inferior, non-inferior, equivalent or undecided; "" where the difference is undefined.
    """

    question: str
    verdict: str
    p: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """All that is said of one difference: its 95 % interval, standard error, the questions, and what could have been found.

    non_inferiority, equivalence: None without a margin. detectable: the smallest difference found with 80 % power.
    """

    difference: float
    low: float
    high: float
    se: float
    superiority: Decision
    non_inferiority: Decision | None
    equivalence: Decision | None
    margin: float | None
    detectable: float


def verdict(observed: float, drawn: Vector, margin: float | None = None) -> Verdict:
    """Judge a difference by its resamples. observed: turned so that above 0 is better. drawn: (B,). margin: > 0 or None.

    Resamples that do not define the difference are left out. BenchError for a margin that is not above 0.
    """
    check_margin(margin)
    drawn = drawn[~np.isnan(drawn)] if np.isfinite(observed) else np.full(2, np.nan)
    found = superiority(observed, drawn)
    se = float(drawn.std(ddof=1)) if len(drawn) > 1 else float("nan")
    return Verdict(
        difference=float(observed), low=found.low, high=found.high, se=se, superiority=found, margin=margin,
        non_inferiority=None if margin is None else non_inferiority(observed, drawn, margin),
        equivalence=None if margin is None else equivalence(observed, drawn, margin),
        detectable=minimal_detectable(se),
    )  # fmt: skip


def superiority(observed: float, drawn: Vector) -> Decision:
    """Is the difference other than 0? Two-sided at .05, p as in the table: 1 + #{|d* - d| >= |d|} over B + 1."""
    low, high = _percentiles(drawn, LEVEL)
    p = float(share_beyond(np.abs([observed]), np.abs(drawn - observed)[None])[0]) if np.isfinite(observed) else float("nan")
    word = "superior" if low > 0 else "inferior" if high < 0 else UNDECIDED
    return _decision("superiority", word, p, LEVEL, low, high)


def non_inferiority(observed: float, drawn: Vector, margin: float) -> Decision:
    """Is it less than `margin` worse? The 95 % interval lies above -margin, as trials report it: one-sided at .025.

    p: 1 + #{d* <= -margin} over B + 1. Inferior: the whole interval lies below -margin.
    """
    low, high = _percentiles(drawn, LEVEL)
    word = "non-inferior" if low > -margin else "inferior" if high < -margin else UNDECIDED
    return _decision("non-inferiority", word, _share(drawn <= -margin, observed), LEVEL / 2, low, high)


def equivalence(observed: float, drawn: Vector, margin: float) -> Decision:
    """Is it less than `margin` away? Two one-sided tests at .05 (Schuirmann 1987): the 90 % interval lies within +-margin.

    p: the larger of the two.
    """
    low, high = _percentiles(drawn, 2 * LEVEL)
    word = "equivalent" if -margin < low and high < margin else UNDECIDED
    p = np.fmax(_share(drawn <= -margin, observed), _share(drawn >= margin, observed))
    return _decision("equivalence", word, float(p), LEVEL, low, high)


def minimal_detectable(se: float) -> float:
    """The true difference that the two-sided test at .05 finds with 80 % power: (1.96 + 0.84) standard errors."""
    return float((ndtri(POWER) - ndtri(LEVEL / 2)) * se)


def wald(difference: Vector, se: Vector, df: Any = np.inf) -> dict[str, Vector]:
    """se, low, high (95 %), p (two-sided) by the t distribution, normal without `df`. All arrays of one shape.

    No difference and no spread: p 1. A difference without any spread: p and interval NaN, as no distribution can be had of it.
    """
    se = np.where(np.isnan(difference), np.nan, np.where(se < NOTHING, 0.0, se))
    none = (se == 0) & (np.abs(difference) < NOTHING)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(none, 1.0, np.where(se == 0, np.nan, 2 * stdtr(df, -np.abs(difference) / se)))
        half = stdtrit(df, 1 - LEVEL / 2) * np.where((se == 0) & ~none, np.nan, se)
    return {"se": se, "low": difference - half, "high": difference + half, "p": p}


def check_margin(margin: float | None) -> None:
    if margin is not None and not 0 < margin < np.inf:
        raise BenchError(
            f"a margin is a difference that would not matter, above 0, but is {margin:g}; 0.01 is one point of AUROC"
        )


def is_loss(metric: str) -> bool:
    """Lower is better: Brier score and log loss."""
    return metric not in PRIMARY


def ranks(evidence: Evidence) -> pd.DataFrame:
    """RANKS that a method may have, 1 is best, for the primary metrics; NaN for methods without every cell.

    low, high: the middle 95 % of its ranks over resamples; a description, too narrow where methods are nearly tied. set_low,
    set_high: where its true rank lies, for all methods at once with probability .95 (`rank_sets`).
    """
    plan = evidence.plan
    ranked = np.flatnonzero(plan.complete)
    judged = np.vstack([plan.averaged, plan.averaged.any(axis=0)])
    table: list[dict[str, Any]] = []
    for t, task in enumerate([*evidence.tasks, MEAN]):
        for k, metric in enumerate(PRIMARY):
            found = np.full((4, len(plan.labels)), np.nan)
            if judged[t, k] and len(ranked):
                values = evidence.found.values[ranked, t, k]
                found[:, ranked] = [*rank_intervals(values[:, 1:]), *rank_sets(values[:, 0], values[:, 1:])]
            for m, label in enumerate(plan.labels):
                if label != BAYES:
                    table.append(dict(zip(RANKS, [label, task, metric, *found[:, m].tolist()], strict=True)))
    return pd.DataFrame(table, columns=RANKS)


def rank_intervals(drawn: Vector) -> tuple[Vector, Vector]:
    """(M,) lowest and (M,) highest of the middle 95 % of ranks over resamples; ties share the better rank. drawn: (M, B)."""
    each = np.stack([1 + (drawn > own).sum(axis=0) for own in drawn])
    low, high = np.percentile(each, [100 * LEVEL / 2, 100 - 100 * LEVEL / 2], axis=1, method="nearest")
    return low.astype(np.float64), high.astype(np.float64)


def rank_sets(observed: Vector, drawn: Vector, level: float = LEVEL) -> tuple[Vector, Vector]:
    """(M,) lowest and (M,) highest rank of each method, jointly true with probability 1 - level.

    Mogstad, Romano, Shaikh and Wilhelm, "Inference for ranks with applications to mobility across neighbourhoods and academic
    achievement across countries", Review of Economic Studies 91, 2024: test for all ordered pairs at once, by max-T
    step-down, whether one is ahead; a method stands behind as many as are surely ahead of it, and before as many as are surely
    behind. observed: (M,), above is better. drawn: (M, B).
    """
    lead = observed[:, None] - observed
    ahead = np.zeros(lead.shape, bool)
    scale = np.stack([(drawn - own).std(axis=1, ddof=1) for own in drawn])  # (M, M)
    t = scaled(lead, np.where(scale < NOTHING, 0.0, scale))
    centred = drawn - observed[:, None]
    while True:
        highest = np.full(drawn.shape[1], -np.inf)
        for m, own in enumerate(centred):  # row by row: (M, M, B) at once would be large
            others = ~ahead[m] & (scale[m] >= NOTHING)
            if others.any():
                highest = np.maximum(highest, ((own - centred[others]) / scale[m, others, None]).max(axis=0))
        new = ~ahead & (t > 0) & ((1 + (highest >= t[..., None]).sum(axis=-1)) / (len(highest) + 1) <= level)
        if not new.any():
            return 1.0 + ahead.sum(axis=0), len(observed) - ahead.sum(axis=1).astype(float)
        ahead |= new


def _decision(question: str, word: str, p: float, level: float, low: float, high: float) -> Decision:
    """The word of the interval, if p says the same. Beyond the margin on the wrong side p is large, and the interval alone speaks."""
    if np.isnan(p):
        word = ""
    elif p > level and not (word == "inferior" and question == "non-inferiority"):
        word = UNDECIDED
    return Decision(question, word, p, low, high)


def _percentiles(drawn: Vector, level: float) -> tuple[float, float]:
    low, high = np.percentile(drawn, [100 * level / 2, 100 - 100 * level / 2])
    return float(low), float(high)


def _share(beyond: Any, observed: float) -> float:
    return float((1 + beyond.sum()) / (len(beyond) + 1)) if np.isfinite(observed) else float("nan")


def few_events(events: int, metric: str, folds: int) -> str:
    """Why nothing is compared; "" if enough is there. folds: those with an average precision."""
    if events < metrics.TOTAL_EVENTS:
        return f"{events} events, and under {metrics.TOTAL_EVENTS} nothing is compared"
    if metric == METRICS[1] and not folds:
        return f"no fold with {metrics.FOLD_EVENTS} events, and so no average precision"
    return ""
