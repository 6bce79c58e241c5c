"""Methods against the reference and against each other: differences, p values of the whole family, ranks."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench import metrics
from bench.bootstrap import Vector
from bench.stats import procedure
from bench.stats.decisions import minimal_detectable, ranks
from bench.stats.estimates import BAYES, METRICS, PRIMARY, Evidence, estimates
from bench.stats.intervals import bounds
from bench.stats.multiplicity import benjamini_hochberg, holm, max_t, not_distinguishable, share_beyond
from bench.stats.scoring import columns

THESE = "these predictions"
COMPARISONS = [
    "method",
    "reference",
    "task",
    "metric",
    "difference",
    "low",
    "high",
    "se",
    "p",
    "p_adjusted",
    "detectable",
    "steady",
    "estimand",
]
ADJUSTMENTS = ("max_t", "holm", "bh")


def comparisons(
    evidence: Evidence, primary: Sequence[str] = PRIMARY, adjust: str = "max_t", how: str = "percentile"
) -> pd.DataFrame:
    """COMPARISONS of every method with the reference, outcome by outcome and on the mean; p_adjusted over the primary metrics.

    detectable: the true difference that this cohort would show with 80 % power, before any adjustment. steady: with repeats, the
    difference is at least two standard errors of the procedure's too; True with one repeat or one fold, which cannot tell.
    Nothing is compared with fewer than 20 events: NaN.
    adjust: one of ADJUSTMENTS.
    """
    table: list[dict[str, Any]] = []
    family: list[int] = []
    observed: list[float] = []
    drawn: list[Vector] = []
    for m, difference in differences(evidence):
        pair, shared = [m, evidence.labels.index(evidence.reference)], evidence.plan.shared[m]
        low, high = bounds(evidence, difference, pair, shared, how)
        enough = evidence.plan.fewest(evidence.plan.shared)[m] >= metrics.TOTAL_EVENTS
        enough = np.append(enough, enough[evidence.plan.averaged[:, 0]].all())
        for t, task, k, metric in columns(evidence.tasks):
            d = difference[t, k] if enough[t] else np.full(2, np.nan)
            row = {"method": evidence.labels[m], "reference": evidence.reference, "task": task, "metric": metric}
            p = share_beyond(np.abs(d[:1]), np.abs(d[None, 1:] - d[0]))[0] if np.isfinite(d[0]) else np.nan
            se = float(d[1:].std(ddof=1)) if np.isfinite(d[0]) else np.nan
            inside = {"low": low[t, k], "high": high[t, k]} if np.isfinite(d[0]) else {"low": np.nan, "high": np.nan}
            row |= {"difference": d[0], **inside, "se": se, "p": p, "p_adjusted": np.nan}
            row |= {"detectable": minimal_detectable(se), "steady": True, "estimand": THESE}
            if np.isfinite(d[0]) and metric in primary:
                family.append(len(table))
                observed.append(float(d[0]))
                drawn.append(d[1:])
            table.append(row)
    frame = pd.DataFrame(table, columns=COMPARISONS)
    if observed:
        if evidence.plan.repeat.max() > 0 and len({cell.fold for cell in evidence.cells}) > 1:
            frame["steady"] = _steady(evidence, frame)
        frame.loc[family, "p_adjusted"] = _adjusted(
            frame.loc[family, "p"].to_numpy(), np.array(observed), np.stack(drawn), adjust
        )
    return frame


def _steady(evidence: Evidence, frame: pd.DataFrame) -> list[bool]:
    """Whether a difference may be called one, seeds and splits considered."""
    found = procedure.seeds(evidence, METRICS).set_index(["method", "task", "metric"])["superior_allowed"]
    return [bool(found[key]) for key in frame[["method", "task", "metric"]].itertuples(index=False, name=None)]


def _adjusted(p: Vector, observed: Vector, drawn: Vector, how: str) -> Vector:
    if how == "max_t":
        return max_t(observed, drawn)
    return {"holm": holm, "bh": benjamini_hochberg}[how](p, resamples=drawn.shape[1])


def differences(evidence: Evidence) -> Iterator[tuple[int, Vector]]:
    """(method, (T + 1, K, 1 + B) difference from the reference on the cells both have), for all methods but the reference."""
    plan = evidence.plan
    if evidence.reference not in plan.labels:
        return
    r = plan.labels.index(evidence.reference)
    for m, label in enumerate(plan.labels):
        if label in (evidence.reference, BAYES) or not plan.shared[m].any():
            continue
        values = evidence.found.values
        if not np.array_equal(plan.scope[m], plan.scope[r]):
            both = np.zeros_like(plan.scope)
            both[[m, r]] = plan.shared[m]
            values = estimates(evidence.parts, plan, both).values
        yield m, values[m] - values[r]


def standings(evidence: Evidence) -> pd.DataFrame:
    """method, task, metric, rank, tied, first, sd_repeats, low, high, set_low, set_high (see `decisions.ranks`); primary metrics."""
    plan, found = evidence.plan, evidence.found
    ranked = np.flatnonzero(plan.complete)
    judged = np.vstack([plan.averaged, plan.averaged.any(axis=0)])
    sd = np.full(found.repeats.shape[1:], np.nan)
    if len(found.repeats) > 1:
        sd = found.repeats.std(axis=0, ddof=1)
    table: list[dict[str, Any]] = []
    for t, task, k, metric in columns(evidence.tasks):
        if metric not in PRIMARY:
            continue
        values = found.values[ranked, t, k]
        rank, tied, first = np.full((3, len(plan.labels)), np.nan)
        if judged[t, k] and len(ranked):
            rank[ranked] = [1 + (values[:, 0] > own).sum() for own in values[:, 0]]
            tied[ranked] = not_distinguishable(values[:, 0], values[:, 1:])
            leads = values[:, 1:] == values[:, 1:].max(axis=0)
            first[ranked] = (leads / leads.sum(axis=0)).mean(axis=1)
        for m, method in enumerate(plan.labels):
            if method != BAYES:
                row = {"method": method, "task": task, "metric": metric, "rank": rank[m], "tied": tied[m] == 1}
                table.append(row | {"first": first[m], "sd_repeats": sd[m, t, k]})
    return pd.DataFrame(table).merge(ranks(evidence), on=["method", "task", "metric"])
