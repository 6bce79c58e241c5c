"""Scores, intervals and comparisons of methods from stored predictions: tables in, tables out.

Two decisions run through everything. One number: what is shown, its interval and its test come from the same stratified sums
(resample 0 holds every patient once). One set of draws: all methods and outcomes see the same resamples, so that differences
are paired and the family of comparisons is joint. Every statement is about *these predictions*, conditional on the fitted
models.

Undefined numbers are NaN and stay out of every comparison: see `bench.stats.estimates`; besides, there is no interval with fewer
than 5 events and no comparison with fewer than 20. A method without predictions of some cell is scored on what it has, is
not ranked, and is compared on the cells it shares with the reference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bench.core import BenchError
from bench.stats.estimates import BAYES, MEAN, METRICS, PRIMARY, Evidence, gather
from bench.stats.intervals import INTERVALS, LEVEL
from bench.stats.ranking import ADJUSTMENTS, COMPARISONS, comparisons, standings
from bench.stats.scoring import identical, outcomes, scores

__all__ = ["BAYES", "LEVEL", "MEAN", "METRICS", "PRIMARY", "Evidence", "Scoring", "gather", "score"]


@dataclass(frozen=True, eq=False)
class Scoring:
    """All that a table says.

    scores: method, task, metric, value, sd, low, high, folds, n, events; metrics auroc, ap, brier, log_loss, and the extras
    auroc_pooled and ap_pooled (across folds, no interval). comparisons: see `ranking.comparisons`. standings: method, task,
    metric, rank (NaN: not ranked), tied (not distinguishable from the best), first (share of resamples in which it is the best),
    sd_repeats, low, high, set_low, set_high (see `decisions.ranks`). outcomes: task, n, events, prevalence (weighted), naive,
    chance (of ap), folds (with an ap), averaged (part of the mean). bayes: as scores, for the planted probabilities. means: metric ->
    ranked methods (rows) x resamples of the mean over outcomes, 0: observed.
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
    primary: tuple[str, ...] = PRIMARY  # the metrics of the family
    adjust: str = "max_t"
    interval: str = "percentile"
    means: Mapping[str, pd.DataFrame] = field(default_factory=dict[str, pd.DataFrame])


def score(
    evidence: Evidence | None,
    *,
    primary: Sequence[str] = PRIMARY,
    adjust: str = "max_t",
    interval: str = "percentile",
    resamples: int = 0,
) -> Scoring:
    """Score the test predictions and compare every method with the reference (no comparison where it was not run).

    primary: which of PRIMARY are tested as a family. adjust: one of ADJUSTMENTS. interval: one of INTERVALS. Empty tables where
    there is no evidence; resamples: what was asked for, to be told then. BenchError for a choice that is not there.
    """
    for name, chosen, known in (
        ("primary", primary, PRIMARY),
        ("adjust", [adjust], ADJUSTMENTS),
        ("interval", [interval], INTERVALS),
    ):
        if not chosen or not set(chosen) <= set(known):
            raise BenchError(f"{name} must be of {', '.join(known)}, but is '{','.join(chosen)}'")
    if evidence is None:
        return _nothing(resamples)
    all_scores, compared = scores(evidence, interval), comparisons(evidence, primary, adjust, interval)
    of_truth = all_scores["method"] == BAYES
    return Scoring(
        scores=all_scores[~of_truth].reset_index(drop=True),
        comparisons=compared,
        standings=standings(evidence),
        outcomes=outcomes(evidence),
        bayes=all_scores[of_truth].reset_index(drop=True),
        identical=identical(evidence),
        resamples=evidence.resamples,
        redraws=evidence.redraws,
        family=int(compared["p_adjusted"].notna().sum()),
        primary=tuple(primary),
        adjust=adjust,
        interval=interval,
        means=_means(evidence),
    )


def _means(evidence: Evidence) -> dict[str, pd.DataFrame]:
    plan = evidence.plan
    ranked = [m for m in map(int, np.flatnonzero(plan.complete)) if plan.labels[m] != BAYES]
    labels = [plan.labels[m] for m in ranked]
    return {metric: pd.DataFrame(evidence.found.values[ranked, -1, k], index=labels) for k, metric in enumerate(PRIMARY)}


def _nothing(resamples: int) -> Scoring:
    def empty(columns: str) -> pd.DataFrame:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in columns.split()})

    none = empty("method task metric value sd low high folds n events")
    ranks = empty("method task metric rank tied first sd_repeats low high set_low set_high")
    about = empty("task n events prevalence naive chance folds averaged")
    return Scoring(none, empty(" ".join(COMPARISONS)), ranks, about, none, [], resamples, 0, 0)
