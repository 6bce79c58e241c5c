"""TRIPOD+AI items 23a and 23b: the numbers. All methods in their order; subgroups for the reference and the one that leads."""

import pandas as pd

from bench.report.checklists.design import levels
from bench.report.checklists.facts import Facts
from bench.report.checklists.text import decimal, interval, names, say, table, where
from bench.report.evidence import Frames
from bench.report.words import DASH
from bench.stats import MEAN

PRIMARY = "auroc"  # what leads, and what is shown by subgroup


def performance(frames: Frames, facts: Facts) -> list[str]:
    """Item 23a."""
    if frames.scoring.scores.empty:
        return ["No test prediction is stored."]
    texts = ["95 % intervals in brackets; differences are from the reference."]
    for task in [MEAN, *(task.name for task in frames.results.tasks)]:
        title = "Mean over outcomes" if task == MEAN else say(task)
        texts += [f"**{title}**", _ranking(frames, task)]
        if len(where(frames.calibration, task=task)):
            texts += [_clinical(frames, task)]
    return [*texts, *_subgroups(frames)]


def _ranking(frames: Frames, task: str) -> str:
    head = [
        "Method",
        "AUROC",
        "average precision",
        "difference of AUROC",
        "adjusted p",
        "difference of average precision",
        "adjusted p",
    ]
    scores, compared = where(frames.scoring.scores, task=task), where(frames.scoring.comparisons, task=task)
    rows: list[list[str]] = []
    for method in frames.results.methods:
        values = [_value(where(scores, method=method, metric=metric), "value") for metric in ("auroc", "ap")]
        differences: list[str] = []
        for metric in ("auroc", "ap"):
            own = where(compared, method=method, metric=metric)
            differences += [_value(own, "difference"), _number(own, "p_adjusted")]
        rows.append([say(method), *values, *differences])
    return table(head, rows)


def _value(own: pd.DataFrame, column: str) -> str:
    """One row's estimate with its interval."""
    if own.empty:
        return DASH
    row = own.iloc[0]
    return interval(float(row[column]), float(row["low"]), float(row["high"]))


def _number(own: pd.DataFrame, column: str, digits: int = 3) -> str:
    return decimal(float(own[column].iloc[0]), digits) if len(own) else DASH


def _clinical(frames: Frames, task: str) -> str:
    head = [
        "Method", "intercept", "slope", "ICI", "ICI if perfect", "Brier", "recalibrated: slope", "ICI", "ICI if perfect", "Brier",
        "net benefit over treating all", "over treating none",
    ]  # fmt: skip
    found, gained = where(frames.calibration, task=task), where(frames.benefit_differences, task=task, version="raw")
    rows: list[list[str]] = []
    for method in frames.results.methods:
        raw, after = (where(found, method=method, version=version) for version in ("raw", "recalibrated"))
        texts = [_number(raw, column) for column in ("intercept", "slope", "ici", "ici_floor", "brier")]
        texts += [_number(after, column) for column in ("slope", "ici", "ici_floor", "brier")]
        for policy in ("treat all", "treat none"):
            own = where(gained, method=method, against=policy)
            texts.append(_value(own[own["threshold"].isna()] if len(own) else own, "difference"))
        rows.append([say(method), *texts])
    return table(head, rows)


def shown(frames: Frames) -> list[str]:
    """The reference, and the methods that lead in mean AUROC."""
    standings = where(frames.scoring.standings, task=MEAN, metric=PRIMARY)
    first = list(where(standings, rank=1)["method"]) if len(standings) else []
    return list(dict.fromkeys([frames.results.reference, *first]))


def _subgroups(frames: Frames) -> list[str]:
    chosen = shown(frames)
    found = where(frames.subgroups, metric=PRIMARY)
    if found.empty:
        return ["Performance by subgroup was not computed."] if levels(frames.results) else []
    rows = [
        [say(str(row["variable"])), say(str(row["level"])), say(str(row["task"])), say(str(row["method"])),
         f"{int(row['n']):,}", f"{int(row['events']):,}", interval(row["value"], row["low"], row["high"])]
        for _, row in found[found["method"].isin(chosen)].iterrows()
    ]  # fmt: skip
    note = f"By subgroup, of the reference and of what leads in mean AUROC ({names(chosen)}), which flatters the leader:"
    return [note, table(["Variable", "level", "outcome", "method", "n", "events", "AUROC"], rows, named=4)]


def heterogeneity(frames: Frames, facts: Facts) -> list[str]:
    """Item 23b."""
    chosen = shown(frames)
    found = where(frames.heterogeneity, metric=PRIMARY)
    if found.empty:
        named = levels(frames.results)
        return ["Not computed." if named else "Not looked at: the cohort names no site and no subgroup with two levels."]
    rows = [
        [say(str(row["variable"])), say(str(row["task"])), say(str(row["method"])), decimal(float(row["spread"])), decimal(float(row["p"]))]
        for _, row in found[found["method"].isin(chosen)].iterrows()
    ]  # fmt: skip
    note = f"Highest less lowest AUROC over the levels, with the p value of no difference ({names(chosen)}):"
    return [note, table(["Variable", "outcome", "method", "spread", "p"], rows, named=3)]
