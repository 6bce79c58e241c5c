"""TRIPOD+AI items 23a and 23b: the numbers. All methods in their order; subgroups for the reference and the one that leads."""

from collections.abc import Mapping
from typing import Any

from bench.report.checklists.design import levels
from bench.report.checklists.facts import Facts
from bench.report.checklists.text import decimal, interval, lookup, names, say, table, where
from bench.report.evidence import Frames
from bench.report.words import DASH
from bench.stats import MEAN

METRICS = ("auroc", "ap")
NUMBERS = {"raw": ("intercept", "slope", "ici", "ici_floor", "brier"), "recalibrated": ("slope", "ici", "ici_floor", "brier")}
POLICIES = ("treat all", "treat none")


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
    scores = lookup(where(frames.scoring.scores, task=task), "method", "metric")
    compared = lookup(where(frames.scoring.comparisons, task=task), "method", "metric")
    rows: list[list[str]] = []
    for method in frames.results.methods:
        cells = [_value(scores.get((method, metric)), "value") for metric in METRICS]
        for own in (compared.get((method, metric)) for metric in METRICS):
            cells += [_value(own, "difference"), _number(own, "p_adjusted")]
        rows.append([say(method), *cells])
    return table(head, rows)


def _value(row: Mapping[str, Any] | None, column: str) -> str:
    """An estimate with its interval."""
    return interval(float(row[column]), float(row["low"]), float(row["high"])) if row else DASH


def _per_1000(row: Mapping[str, Any] | None) -> str:
    return interval(*(1000 * float(row[c]) for c in ("difference", "low", "high")), digits=1) if row else DASH


def _number(row: Mapping[str, Any] | None, column: str) -> str:
    return decimal(float(row[column])) if row else DASH


def _clinical(frames: Frames, task: str) -> str:
    head = [
        "Method", "intercept", "slope", "ICI", "ICI if perfect", "Brier", "recalibrated: slope", "ICI", "ICI if perfect", "Brier",
        "net benefit per 1,000 patients over treating all", "over treating none",
    ]  # fmt: skip
    found = lookup(where(frames.calibration, task=task), "method", "version")
    gained = where(frames.benefit_differences, task=task, version="raw")
    averages = lookup(gained[gained["threshold"].isna()] if len(gained) else gained, "method", "against")
    rows: list[list[str]] = []
    for method in frames.results.methods:
        cells = [_number(found.get((method, version)), column) for version, columns in NUMBERS.items() for column in columns]
        cells += [_per_1000(averages.get((method, policy))) for policy in POLICIES]
        rows.append([say(method), *cells])
    return table(head, rows)


def shown(frames: Frames) -> list[str]:
    """The reference, and the methods that lead in mean AUROC."""
    first = where(frames.scoring.standings, task=MEAN, metric="auroc", rank=1)
    return list(dict.fromkeys([frames.results.reference, *first.get("method", [])]))


def _subgroups(frames: Frames) -> list[str]:
    chosen = shown(frames)
    found = where(frames.subgroups, method=chosen)
    if found.empty:
        return ["Performance by subgroup was not computed."] if levels(frames.results) else []
    by_key = lookup(found, "variable", "level", "task", "method", "metric")
    rows = [
        [*map(say, key[:-1]), f"{row['n']:,}", f"{row['events']:,}", _value(row, "value"), _value(by_key.get((*key[:-1], "oe")), "value")]
        for key, row in by_key.items() if key[-1] == "auroc"
    ]  # fmt: skip
    note = f"By subgroup, of the reference and of what leads in mean AUROC ({names(chosen)}), which flatters the leader:"
    head = ["Variable", "level", "outcome", "method", "n", "events", "AUROC", "observed / expected"]
    return [note, table(head, rows, named=4)]


def heterogeneity(frames: Frames, facts: Facts) -> list[str]:
    """Item 23b."""
    chosen = shown(frames)
    found = where(frames.heterogeneity, method=chosen)
    if found.empty:
        named = levels(frames.results)
        return ["Not computed." if named else "Not looked at: the cohort names no site and no subgroup with two levels."]
    by_key = lookup(found, "variable", "task", "method", "metric")
    rows: list[list[str]] = []
    for *key, metric in by_key:
        if metric == "auroc":
            tests = [by_key.get((*key, of)) for of in ("auroc", "oe")]
            rows.append([*map(say, key), *(_number(test, column) for test in tests for column in ("spread", "p"))])
    count = int(found["p"].notna().sum())
    note = (
        f"Highest less lowest value over the levels ({names(chosen)}), and p of no difference, not adjusted for the {count:,} "
        "in this table: no evidence by themselves."
    )
    head = ["Variable", "outcome", "method", "AUROC", "p, unadjusted", "observed / expected", "p, unadjusted"]
    return [note, table(head, rows, named=3)]
