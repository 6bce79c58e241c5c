"""Scores, intervals and comparisons of methods from stored predictions: tables in, tables out.

Two decisions run through everything. One number: what is shown, its interval and its test come from the same stratified sums
(resample 0 holds every patient once). One set of draws: all methods and outcomes see the same resamples, so that differences
are paired and the family of comparisons is joint. Every statement is about *these predictions*, conditional on the fitted
models.

Undefined numbers are NaN and stay out of every comparison: see `bench.stats.estimates`; besides, there is no interval with fewer
than 5 events and no comparison with fewer than 20. A method without predictions of some cell is scored on what it has, is
not ranked, and is compared on the cells it shares with the reference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from bench import metrics
from bench.bootstrap import Cell, Sums, Vector, draw, sums
from bench.core import BenchError
from bench.stats.estimates import BAYES, INTERVAL_EVENTS, Estimates, Mask, Plan, estimates, read_cells, with_mean

METRICS = ("auroc", "ap")
MEAN = "mean"  # the task name of the average over outcomes
LEVEL = 0.05
THESE = "these predictions"
COMPARISONS = ["method", "reference", "task", "metric", "difference", "low", "high", "p", "p_adjusted", "estimand"]


@dataclass(frozen=True, eq=False)
class Scoring:
    """All that a table says.

    scores: method, task, metric, value, sd, low, high, folds, n, events; metrics auroc and ap, and the extras auroc_pooled
    and ap_pooled (across folds, no interval). comparisons: method, reference, task, metric, difference, low, high, p,
    p_adjusted, estimand. standings: method, task, metric, rank (NaN: not ranked), tied (not distinguishable from the best),
    first (share of resamples in which it is the best), sd_repeats. outcomes: task, n, events, prevalence (weighted), naive,
    chance (of ap), folds (with an ap), averaged (part of the mean). bayes: as scores, for the planted probabilities.
    """

    scores: pd.DataFrame
    comparisons: pd.DataFrame
    standings: pd.DataFrame
    outcomes: pd.DataFrame
    bayes: pd.DataFrame
    identical: list[tuple[str, str]]  # pairs of methods whose predictions are the same
    resamples: int
    redraws: int
    family: int  # comparisons that p_adjusted accounts for


def score(
    predictions: pd.DataFrame,
    cohort: pd.DataFrame,
    tasks: Sequence[str],
    methods: Sequence[str],
    reference: str,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Scoring:
    """Score the test predictions and compare every method with the reference (no comparison where it was not run).

    predictions: method, repeat, fold, row, view, y:<task>, p:<task>. cohort: row, group, maybe weight:<task>, truth:<task>.
    BenchError when methods disagree about the rows or labels of a cell, a prediction is not finite, an outcome is called
    `mean`, or there are fewer than 2 resamples. Empty tables where no cell has test predictions.
    """
    if MEAN in tasks:
        raise BenchError(f"'{MEAN}' is the name of the average over outcomes, but an outcome is called so. Rename it.")
    if resamples < 2:
        raise BenchError(f"resamples must be 2 or more, 1000 for a result, but is {resamples}")
    if predictions.empty or not (predictions["view"] == "test").any():
        return _nothing(resamples)
    with_truth = all(f"truth:{task}" in cohort for task in tasks)
    labels = [*methods, BAYES] if with_truth else list(methods)
    cells, stratum = read_cells(predictions, cohort, tasks, labels)
    plan = Plan.of(cells, labels, reference)
    counts, redraws = draw(stratum, resamples, seed, plan.defined)
    parts = sums(cells, np.column_stack([np.ones(len(stratum), np.uint16), counts]))
    found = estimates(parts, plan, plan.scope)
    scores = _scores(cells, parts, plan, found, tasks)
    comparisons = _comparisons(parts, plan, found, tasks, reference)
    of_truth = scores["method"] == BAYES
    return Scoring(
        scores=scores[~of_truth].reset_index(drop=True),
        comparisons=comparisons,
        standings=_standings(plan, found, tasks),
        outcomes=_outcomes(cells, plan, tasks),
        bayes=scores[of_truth].reset_index(drop=True),
        identical=_identical(cells, methods),
        resamples=resamples,
        redraws=redraws,
        family=int(comparisons["p_adjusted"].notna().sum()),
    )


def _nothing(resamples: int) -> Scoring:
    def empty(columns: str) -> pd.DataFrame:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in columns.split()})

    scores = empty("method task metric value sd low high folds n events")
    standings = empty("method task metric rank tied first sd_repeats")
    outcomes = empty("task n events prevalence naive chance folds averaged")
    return Scoring(scores, empty(" ".join(COMPARISONS)), standings, outcomes, scores, [], resamples, 0, 0)


def max_t(observed: Vector, drawn: Vector) -> Vector:
    """(H,) p values adjusted for the whole family: max-T step-down on the joint resamples. 1 where nothing ever differs.

    Romano and Wolf, "Exact and approximate stepdown methods for multiple hypothesis testing", JASA 100, 2005. Each difference
    is divided by its bootstrap standard error, so that rare and common outcomes, AUROC and AP weigh alike.
    observed: (H,) differences. drawn: (H, B) the same in each resample.
    """
    scale = drawn.std(axis=1, ddof=1)
    t, null = _scaled(np.abs(observed), scale), _scaled(np.abs(drawn - observed[:, None]), scale[:, None])
    order = np.argsort(-t, kind="stable")
    highest = np.maximum.accumulate(null[order][::-1], axis=0)[::-1]  # (H, B) over this hypothesis and all less extreme
    p = np.empty(len(t))
    p[order] = np.maximum.accumulate(_share_beyond(t[order], highest))
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
            null = _scaled(leads - lead[:, None], scale[:, None]).max(axis=0)
            keep[m] = _share_beyond(_scaled(lead, scale).max(keepdims=True), null[None])[0] > LEVEL
    return keep


def _share_beyond(observed: Vector, null: Vector) -> Vector:
    """(H,) p values, never 0. observed: (H,), null: (H, B)."""
    return (1 + (null >= observed[:, None]).sum(axis=1)) / (null.shape[1] + 1)


def _scaled(x: Vector, scale: Vector) -> Vector:
    """x / scale, 0 where x is 0 whatever the scale (two methods with the same predictions)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x == 0, 0.0, x / scale)


def _interval(drawn: Vector) -> tuple[float, float]:
    low, high = np.percentile(drawn, [100 * LEVEL / 2, 100 - 100 * LEVEL / 2])
    return float(low), float(high)


def _columns(tasks: Sequence[str]) -> Iterator[tuple[int, str, int, str]]:
    """Task number and name, metric number and name: the order of every table."""
    for t, task in enumerate([*tasks, MEAN]):
        for k, metric in enumerate(METRICS):
            yield t, task, k, metric


def _scores(cells: Sequence[Cell], parts: Sums, plan: Plan, found: Estimates, tasks: Sequence[str]) -> pd.DataFrame:
    sd = _sd_over_folds(parts, plan)
    pooled = with_mean(_pooled(cells, plan), plan.averaged)
    folds, rows, events = _sizes(plan)
    judged = plan.fewest(plan.scope) >= INTERVAL_EVENTS
    judged = np.column_stack([judged, np.ones(len(judged), bool)])
    table: list[dict[str, Any]] = []
    for m, method in enumerate(plan.labels):
        for t, task, k, metric in _columns(tasks):
            values = found.values[m, t, k]
            low, high = _interval(values[1:]) if judged[m, t] else (np.nan, np.nan)
            row = {"method": method, "task": task, "metric": metric, "value": values[0], "sd": sd[m, t, k], "low": low}
            size = {"high": high, "folds": folds[m, t, k], "n": rows[m, t], "events": events[m, t]}
            table.append(row | size)
            extra = {"metric": f"{metric}_pooled", "value": pooled[m, t, k], "sd": np.nan, "low": np.nan, "high": np.nan}
            table.append(row | size | extra)
    return pd.DataFrame(table)


def _sd_over_folds(parts: Sums, plan: Plan) -> Vector:
    """(M, T + 1, 2) standard deviation over the folds of a repeat, averaged over repeats: a description, no standard error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        auroc = parts.concordant[..., 0] / parts.pairs[..., 0]
        ap = np.where(plan.with_ap, parts.precision[..., 0] / parts.events[..., 0], np.nan)
    folds = with_mean(np.stack([auroc, ap], axis=-1).transpose(0, 2, 3, 1), plan.averaged)  # (M, T + 1, 2, C)
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


def _pooled(cells: Sequence[Cell], plan: Plan) -> Vector:
    """(M, T, 2) AUROC and average precision across the folds of a repeat, averaged over repeats."""
    repeats = np.unique(plan.repeat)
    out = np.full((len(repeats), len(plan.labels), len(plan.averaged), 2), np.nan)
    for r, repeat in enumerate(repeats):
        for m in range(len(plan.labels)):
            own = [cell for c, cell in enumerate(cells) if plan.scope[m, c] and plan.repeat[c] == repeat]
            for t in range(len(plan.averaged)) if own else ():
                y, w = (np.concatenate([getattr(cell, name)[:, t] for cell in own]) for name in ("y", "weight"))
                p = np.concatenate([cell.p[m, :, t] for cell in own])
                ap = metrics.average_precision(y, p, w) if plan.averaged[t, 0] else np.nan
                out[r, m, t] = metrics.auroc(y, p, w), ap
    return _mean_of_known(out)


def _sizes(plan: Plan) -> tuple[Vector, Vector, Vector]:
    """Per method and outcome, the mean last: folds that count (M, T + 1, 2); known rows and events of a repeat (M, T + 1)."""
    counted = np.stack([plan.pairs_possible, plan.with_ap], axis=-1).astype(int)  # (C, T, 2)
    folds = np.einsum("mc,ctk->mtk", plan.scope.astype(int), counted)
    listed = np.where(plan.averaged, folds, np.iinfo(np.int64).max).min(axis=1) * plan.averaged.any(axis=0)
    known = np.array([(~np.isnan(cell.y)).sum(axis=0) for cell in plan.cells])
    anything = np.array([(~np.isnan(cell.y)).any(axis=1).sum() for cell in plan.cells])
    rows = np.max([mask @ np.column_stack([known, anything]) for mask in plan.by_repeat(plan.scope)], axis=0)
    of_mean = plan.events @ plan.averaged[:, 0].astype(int)
    events = np.max([mask @ np.column_stack([plan.events, of_mean]) for mask in plan.by_repeat(plan.scope)], axis=0)
    return np.concatenate([folds, listed[:, None]], axis=1), rows, events


def _comparisons(parts: Sums, plan: Plan, found: Estimates, tasks: Sequence[str], reference: str) -> pd.DataFrame:
    table: list[dict[str, Any]] = []
    observed: list[float] = []
    drawn: list[Vector] = []
    for m, difference in _differences(parts, plan, found, reference):
        enough = plan.fewest(plan.shared)[m] >= metrics.TOTAL_EVENTS
        enough = np.append(enough, enough[plan.averaged[:, 0]].all())
        for t, task, k, metric in _columns(tasks):
            d = difference[t, k] if enough[t] else np.full(2, np.nan)
            row = {"method": plan.labels[m], "reference": reference, "task": task, "metric": metric, "difference": d[0]}
            low, high = _interval(d[1:])
            p = _share_beyond(np.abs(d[:1]), np.abs(d[None, 1:] - d[0]))[0] if np.isfinite(d[0]) else np.nan
            table.append(row | {"low": low, "high": high, "p": p, "p_adjusted": np.nan, "estimand": THESE})
            if np.isfinite(d[0]):
                observed.append(float(d[0]))
                drawn.append(d[1:])
    frame = pd.DataFrame(table, columns=COMPARISONS)
    if observed:
        frame.loc[frame["difference"].notna(), "p_adjusted"] = max_t(np.array(observed), np.stack(drawn))
    return frame


def _differences(parts: Sums, plan: Plan, found: Estimates, reference: str) -> Iterator[tuple[int, Vector]]:
    """(method, (T + 1, 2, 1 + B) difference from the reference on the cells both have), for all methods but the reference."""
    if reference not in plan.labels:
        return
    r = plan.labels.index(reference)
    for m, label in enumerate(plan.labels):
        if label in (reference, BAYES) or not plan.shared[m].any():
            continue
        values = found.values
        if not np.array_equal(plan.scope[m], plan.scope[r]):
            both = np.zeros_like(plan.scope)
            both[[m, r]] = plan.shared[m]
            values = estimates(parts, plan, both).values
        yield m, values[m] - values[r]


def _standings(plan: Plan, found: Estimates, tasks: Sequence[str]) -> pd.DataFrame:
    ranked = np.flatnonzero(plan.complete)
    judged = np.vstack([plan.averaged, plan.averaged.any(axis=0)])
    sd = np.full(found.repeats.shape[1:], np.nan)
    if len(found.repeats) > 1:
        sd = found.repeats.std(axis=0, ddof=1)
    table: list[dict[str, Any]] = []
    for t, task, k, metric in _columns(tasks):
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
    return pd.DataFrame(table)


def _outcomes(cells: Sequence[Cell], plan: Plan, tasks: Sequence[str]) -> pd.DataFrame:
    table: list[dict[str, Any]] = []
    first = [cell for cell in cells if cell.repeat == cells[0].repeat]
    for t, task in enumerate(tasks):
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


def _identical(cells: Sequence[Cell], methods: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of methods that predict the same wherever both do: the sign of one method run twice under two names."""

    def same(a: int, b: int) -> bool:
        both = [cell.p for cell in cells if not (np.isnan(cell.p[a]).any() or np.isnan(cell.p[b]).any())]
        return bool(both) and all(np.array_equal(p[a], p[b]) for p in both)

    return [(methods[a], methods[b]) for a, b in combinations(range(len(methods)), 2) if same(a, b)]
