"""TRIPOD+AI items 12e to 14: measures, updating, imbalance and fairness, as far as stored. Paragraphs of Markdown."""

import math

import pandas as pd

from bench.report import notes
from bench.report.checklists.design import levels
from bench.report.checklists.facts import Facts, external_labels
from bench.report.checklists.text import count, names, say, span, table, where
from bench.report.evidence import Frames
from bench.report.words import DASH, percent
from bench.stats import procedure
from bench.stats.scoring import unit

TITLES = {"auroc": "AUROC", "ap": "average precision", "brier": "Brier score", "log_loss": "log loss"}


def measures(frames: Frames, facts: Facts) -> list[str]:
    """Item 12e."""
    if not (values := _values(frames)):
        return ["No test prediction is stored: nothing was measured."]
    said = [values, _differences(frames), *_procedure(frames), _calibration(frames), _utility(frames)]
    return ["\n".join(f"- {text}" for text in said if text)]


def _values(frames: Frames) -> str:
    scoring = frames.scoring
    found = [title for metric, title in TITLES.items() if len(where(scoring.scores, metric=metric))]
    if not found:
        return ""
    return (
        f"{', '.join(found)}, by outcome and as the mean over outcomes. AUROC: concordant pairs over all pairs, both summed over test "
        "folds; average precision: event-weighted mean of the folds'. "
        f"95 % intervals ({notes.INTERVALS[scoring.interval]}): {count(scoring.resamples, 'bootstrap resamples')} of {unit(frames.results.cohort)} within folds, the same for all "
        f"methods and outcomes, {count(scoring.redraws, 'redraws')} of undefined ones. They hold for these predictions, the fitted "
        "models given."
    )


def _differences(frames: Frames) -> str:
    scoring = frames.scoring
    if not scoring.family:
        return ""
    metrics = " and ".join(notes.METRIC_NAMES[metric] for metric in scoring.primary)
    return (
        f"Methods compared with {say(frames.results.reference)} by paired differences on the same resamples; p values adjusted by "
        f"{notes.ADJUSTED[scoring.adjust]} over one family of {count(scoring.family, 'comparisons')} ({metrics})."
    )


def _procedure(frames: Frames) -> list[str]:
    said: list[str] = []
    if len(frames.delong):
        said.append("DeLong's test of AUROC within folds, a second opinion on the same question.")
    if notes.one_fold(frames.results):
        said.append(procedure.weakness(1, int(str(frames.results.protocol.get("repeats", 1)))))
    elif len(frames.corrected):
        first = frames.corrected.iloc[0]
        size = f"{count(int(first['folds']), 'folds')} x {count(int(first['repeats']), 'repeats')}"
        said.append(f"About the procedure, not these predictions: the corrected t of Nadeau and Bengio over {size}.")
    return said


def calibrated(frames: Frames, **equal: object) -> pd.DataFrame:
    """Rows of the calibration table that are of a method: the planted probabilities of synthetic data are not."""
    found = where(frames.calibration, **equal)
    return found if found.empty else found[found["method"].isin(frames.results.methods)]


def _calibration(frames: Frames) -> str:
    if frames.calibration.empty:
        return "Calibration was not computed."
    how = sorted(set(calibrated(frames, version="recalibrated")["how"].astype(str)))
    also = f", raw and recalibrated on the stored validation rows ({names(how)})" if how else ", raw"
    return f"Calibration: smoothed curve, intercept in the large, slope, ICI and E90{also}."


def _utility(frames: Frames) -> str:
    if frames.net_benefit.empty:
        return "Net benefit was not computed."
    ranges = [_thresholds(where(frames.net_benefit, task=task.name), task.name) for task in frames.results.tasks]
    return f"Clinical utility: net benefit against treating all and none, at thresholds {'; '.join(r for r in ranges if r)}."


def _thresholds(own: pd.DataFrame, task: str) -> str:
    if own.empty:
        return ""
    low, high = (f"{percent(float(limit))} %" for limit in (own["threshold"].min(), own["threshold"].max()))
    return f"{say(task)} {low} to {high} ({'stated' if own['clinical'].all() else 'from the prevalence, not clinical'})"


def updating(frames: Frames, facts: Facts) -> list[str]:
    """Item 12f."""
    return [
        f"Predictions of other data are stored as the fitted models gave them ({names(facts.external)}); no updating is stored."
    ]


def predicted(frames: Frames, facts: Facts) -> list[str]:
    """Item 12g."""
    predictions = frames.results.predictions
    texts: list[str] = []
    for name in facts.external:
        here = predictions[predictions["view"] == f"external:{name}"]
        cells = here.drop_duplicates(["method", "repeat", "fold"]).groupby("method").size()
        made = f"each by {span(cells)} fitted models of a method"
        texts.append(f"{say(name)}: {count(here['row'].nunique(), 'rows')}, {made} (one per fold and repeat).")
    return texts


def imbalance(frames: Frames, facts: Facts) -> list[str]:
    """Item 13."""
    head = ["Outcome", "observed, %", "mean risk, raw, %", "recalibrated, %"]
    rows = [_level(frames, task.name) for task in frames.results.tasks if len(calibrated(frames, task=task.name))]
    texts = [*_losses(frames), recalibrated(frames)]
    return [
        *texts,
        *([table(head, rows), "Mean risks: from the method with the lowest to the one with the highest."] if rows else []),
    ]


def _level(frames: Frames, task: str) -> list[str]:
    own = calibrated(frames, task=task)
    texts: list[str] = []
    for version in ("raw", "recalibrated"):
        risks = where(own, version=version)["mean_risk"].dropna()
        texts.append(f"{percent(risks.min())} to {percent(risks.max())}" if len(risks) else DASH)
    rates = own["rate"].dropna()
    return [say(task), percent(float(rates.iloc[0])) if len(rates) else DASH, *texts]


def _losses(frames: Frames) -> list[str]:
    made = frames.results.made
    losses = {method: str(of["settings"]["loss"]) for method, of in made.items() if "loss" in of.get("settings", {})}
    by_loss = [f"{say(loss)}: {names(m for m, own in losses.items() if own == loss)}" for loss in dict.fromkeys(losses.values())]
    return [f"Losses by the stored settings: {'; '.join(by_loss)}."] if by_loss else []


def recalibrated(frames: Frames) -> str:
    """A sentence: of how many methods and outcomes there are recalibrated predictions, and how they were made."""
    done, raw = (calibrated(frames, version=version) for version in ("recalibrated", "raw"))
    if done.empty:
        return "No recalibrated predictions."
    how = ", ".join(f"{n:,} by {say(str(name))} recalibration" for name, n in done["how"].value_counts().sort_index().items())
    return f"Predictions recalibrated on validation rows for {len(done):,} of {len(raw):,} pairs of method and outcome: {how}."


def fairness(frames: Frames, facts: Facts) -> list[str]:
    """Item 14."""
    named = levels(frames.results)
    texts = ["No approach to fairness is stored."]
    if not named:
        return [*texts, "The cohort names no subgroups."]
    listed = "; ".join(f"{say(variable)}: {names(map(str, found.cat.categories))}" for variable, found in named.items())
    return [*texts, f"Subgroups that the cohort names: {listed}."]


def compared(frames: Frames, facts: Facts) -> list[str]:
    """Item 20c."""
    if not facts.external:
        return ["No predictions of other data are stored."]
    tasks = [task.name for task in frames.results.tasks]
    rows = [["development", f"{len(facts.labels):,}", *_rates(facts.labels, tasks)]]
    for name in facts.external:
        labels = external_labels(frames.results, name)
        rows.append([say(name), f"{len(labels):,}", *_rates(labels, tasks)])
    return [table(["Data", "rows", *(f"{say(task)}, events (%)" for task in tasks)], rows)]


def _rates(labels: pd.DataFrame, tasks: list[str]) -> list[str]:
    texts: list[str] = []
    for task in tasks:
        y = labels[f"y:{task}"] if len(labels) else pd.Series(dtype=float)
        rate = float(y.mean()) if y.notna().any() else math.nan
        texts.append(f"{int((y == 1).sum()):,} ({percent(rate)})")
    return texts
