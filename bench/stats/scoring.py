"""What a table says of each method by itself: values, intervals, sizes, and alarms that need predictions."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from bench import metrics
from bench.bootstrap import Sums, Vector, present
from bench.stats.estimates import INTERVAL_EVENTS, MEAN, METRICS, Evidence, Plan, of_folds, with_mean
from bench.stats.intervals import bounds

POOLED = ("auroc", "ap")  # those of which the value across folds is shown too


def unit(cohort: pd.DataFrame) -> str:
    """What is drawn in a resample and stays together in a split: patients, or groups of them where the cohort has such."""
    grouped = cohort["group"].nunique() < cohort["patient" if "patient" in cohort else "row"].nunique()
    return "groups of patients" if grouped else "patients"


def columns(tasks: Sequence[str]) -> Iterator[tuple[int, str, int, str]]:
    """Task number and name, metric number and name: the order of every table."""
    for t, task in enumerate([*tasks, MEAN]):
        for k, metric in enumerate(METRICS):
            yield t, task, k, metric


def scores(evidence: Evidence, how: str = "percentile") -> pd.DataFrame:
    """method, task, metric, value, sd, low, high, folds, n, events; BAYES among the methods where there is a truth.

    Metrics are those of METRICS, and auroc_pooled and ap_pooled (across folds, no interval). No interval of fewer than 5 events.
    """
    plan, found = evidence.plan, evidence.found
    sd = _sd_over_folds(evidence.parts, plan)
    pooled = with_mean(_pooled(evidence), plan.averaged[:, : len(POOLED)])
    folds, rows, events = _sizes(plan)
    table: list[dict[str, Any]] = []
    for m, method in enumerate(plan.labels):
        low, high = limits(evidence, m, how)
        for t, task, k, metric in columns(evidence.tasks):
            row = {"method": method, "task": task, "metric": metric, "value": found.values[m, t, k, 0], "sd": sd[m, t, k]}
            size = {"low": low[t, k], "high": high[t, k], "folds": folds[m, t, k], "n": rows[m, t], "events": events[m, t]}
            table.append(row | size)
            if metric in POOLED:
                extra = {"metric": f"{metric}_pooled", "value": pooled[m, t, k], "sd": np.nan, "low": np.nan, "high": np.nan}
                table.append(row | size | extra)
    return pd.DataFrame(table)


def limits(evidence: Evidence, m: int, how: str) -> tuple[Vector, Vector]:
    """(T + 1, K) the interval of a method's values; NaN for an outcome of fewer than 5 events."""
    plan = evidence.plan
    judged = np.append(plan.fewest(plan.scope[m : m + 1])[0] >= INTERVAL_EVENTS, True)[:, None]
    low, high = bounds(evidence, evidence.found.values[m], [m], plan.scope[m], how)
    return np.where(judged, low, np.nan), np.where(judged, high, np.nan)


def _sd_over_folds(parts: Sums, plan: Plan) -> Vector:
    """(M, T + 1, K) standard deviation over the folds of a repeat, averaged over repeats: a description, no standard error."""
    folds = with_mean(of_folds(parts, plan), plan.averaged)  # (M, T + 1, K, C)
    spread = np.full((len(np.unique(plan.repeat)), *folds.shape[:-1]), np.nan)
    for r, repeat in enumerate(np.unique(plan.repeat)):
        of_repeat = folds[..., plan.repeat == repeat]
        enough = (~np.isnan(of_repeat)).sum(axis=-1) > 1
        spread[r][enough] = np.nanstd(of_repeat[enough], axis=-1, ddof=1)
    return _mean_of_known(spread)


def _mean_of_known(values: Vector) -> Vector:
    """Mean over the first axis without NaN; NaN where all are."""
    with np.errstate(invalid="ignore"):
        return np.nansum(values, axis=0) / (~np.isnan(values)).sum(axis=0)


def _pooled(evidence: Evidence) -> Vector:
    """(M, T, 2) AUROC and average precision across the folds of a repeat, averaged over repeats."""
    plan, cells = evidence.plan, evidence.cells
    repeats = np.unique(plan.repeat)
    out = np.full((len(repeats), len(plan.labels), len(plan.averaged), len(POOLED)), np.nan)
    for r, repeat in enumerate(repeats):
        for m in range(len(plan.labels)):
            own = [cell for c, cell in enumerate(cells) if plan.scope[m, c] and plan.repeat[c] == repeat]
            for t in range(len(plan.averaged)) if own else ():
                y, w = (np.concatenate([getattr(cell, name)[:, t] for cell in own]) for name in ("y", "weight"))
                p = np.concatenate([cell.p[m, :, t] for cell in own])
                ap = metrics.average_precision(y, p, w) if plan.averaged[t, 1] else np.nan
                out[r, m, t] = metrics.auroc(y, p, w), ap
    return _mean_of_known(out)


def _sizes(plan: Plan) -> tuple[Vector, Vector, Vector]:
    """Per method and outcome, the mean last: folds that count (M, T + 1, K); known rows and events of a repeat (M, T + 1)."""
    any_row = plan.known > 0
    counted = np.stack([plan.pairs_possible, plan.with_ap, any_row, any_row], axis=-1).astype(int)  # (C, T, K)
    folds = np.einsum("mc,ctk->mtk", plan.scope.astype(int), counted)
    listed = np.where(plan.averaged, folds, np.iinfo(np.int64).max).min(axis=1) * plan.averaged.any(axis=0)
    known = plan.known
    anything = np.array([(~np.isnan(cell.y)).any(axis=1).sum() for cell in plan.cells])
    rows = np.max([mask @ np.column_stack([known, anything]) for mask in plan.by_repeat(plan.scope)], axis=0)
    of_mean = plan.events @ plan.averaged[:, 0].astype(int)
    events = np.max([mask @ np.column_stack([plan.events, of_mean]) for mask in plan.by_repeat(plan.scope)], axis=0)
    return np.concatenate([folds, listed[:, None]], axis=1), rows, events


def outcomes(evidence: Evidence) -> pd.DataFrame:
    """task, n, events, prevalence (weighted), naive, chance (of ap), folds (with an ap), averaged (part of the mean)."""
    cells, plan = evidence.cells, evidence.plan
    table: list[dict[str, Any]] = []
    first = [cell for cell in cells if cell.repeat == cells[0].repeat]
    for t, task in enumerate(evidence.tasks):
        y, w = (np.concatenate([getattr(cell, name)[:, t] for cell in first]) for name in ("y", "weight"))
        known, event = ~np.isnan(y), y == 1
        weighted, naive = (w[event].sum() / w.sum(), event.sum() / known.sum()) if known.any() else (np.nan, np.nan)
        row = {"task": task, "n": known.sum(), "events": event.sum(), "prevalence": weighted, "naive": naive}
        with_ap = [cell for c, cell in enumerate(cells) if plan.with_ap[c, t]]
        chance = [metrics.permutation_mean(cell.y[:, t], cell.weight[:, t]) for cell in with_ap]
        size = [cell.weight[cell.y[:, t] == 1, t].sum() for cell in with_ap]
        row |= {"chance": np.average(chance, weights=size) if chance else np.nan, "folds": len(with_ap)}
        table.append(row | {"averaged": plan.averaged[t, 0]})
    return pd.DataFrame(table)


def identical(evidence: Evidence) -> list[tuple[str, str]]:
    """Pairs of methods that predict the same wherever both do: the sign of one method run twice under two names."""

    def same(a: int, b: int) -> bool:
        both = [cell for cell in evidence.cells if present(cell.p[[a, b]]).all()]
        known = [~np.isnan(cell.y) for cell in both]
        return bool(both) and all(np.array_equal(cell.p[a][at], cell.p[b][at]) for cell, at in zip(both, known, strict=True))

    methods = evidence.methods
    return [(methods[a], methods[b]) for a, b in combinations(range(len(methods)), 2) if same(a, b)]
