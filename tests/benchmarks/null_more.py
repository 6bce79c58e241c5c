"""Statements that a whole run makes beside its table: the sentence of `bench compare`, sharing, net benefit, weights, Holm, new patients.

Each function puts one of them to the test on a simulated run and counts what it said wrongly.
"""

from collections.abc import Sequence
from dataclasses import replace

import null_weighted
import numpy as np
import pandas as pd
from null_evidence import OUTCOMES, Tally, build
from null_worlds import EQUAL, METHODS, TASKS, Benefit, Sample, Vector

from bench.bootstrap import Cell, Counts
from bench.core import Task
from bench.report.comparison import answer
from bench.stats import benefit, multitask
from bench.stats.comparing import compare
from bench.stats.delong import delong
from bench.stats.estimates import PRIMARY, Evidence
from bench.stats.intervals import LEVEL, bounds, interval
from bench.stats.multiplicity import benjamini_hochberg
from bench.stats.ranking import comparisons
from bench.stats.scoring import outcomes

RANGE = (0.1, 0.5)  # thresholds of the decision curves
RIVALS = {benefit.ALL: "from treating all", benefit.NONE: "from treating nobody", benefit.YARDSTICK: "of two models"}
MANY = 16_000  # resamples from which Holm takes the 40 comparisons of the table


def headline(evidence: Evidence, tally: Tally) -> None:
    """The first line of `bench compare`, of two equal methods and of a truly better one."""
    for metric in PRIMARY:
        said = answer(compare(evidence, "b", "a", metric).table, "b", "a", metric)
        tally.add("false: bench compare says that one is better", metric, "is better than" in said)
        tally.add("false: bench compare says that one is ahead", metric, "is ahead of" in said)
        said = answer(compare(evidence, "plus", "a", metric).table, "plus", "a", metric)
        tally.add("power: bench compare says that it is better", metric, said.startswith("plus is better than"))


def adjusted(cells: Sequence[Cell], counts: Counts, tally: Tally) -> None:
    """Holm and Benjamini-Hochberg on the family of the table. counts: of MANY resamples, without which they refuse."""
    equal = build([replace(cell, p=cell.p[:EQUAL]) for cell in cells], counts)
    found = comparisons(equal, adjust="holm")
    family = found["p_adjusted"].notna()
    by_rate = benjamini_hochberg(found.loc[family, "p"], equal.resamples)
    tally.add("family: Holm on the table", "all", (found["p_adjusted"] <= LEVEL).any())
    tally.add("family: Benjamini-Hochberg on the table", "all", (by_rate <= LEVEL).any())


def new_patients(sample: Sample, counts: Counts, tally: Tally) -> None:
    """Trained models resampled on patients that none of them was trained on."""
    if sample.dealt:
        equal = build([replace(cell, p=cell.p[:EQUAL]) for cell in sample.dealt], counts)
        _intervals(equal, sample.truth[:EQUAL, :, :2], " on new patients, {} of these models", tally)


def _intervals(equal: Evidence, truth: Vector, about: str, tally: Tally) -> None:
    """Values of two methods, differences of all from the first, and BCa of one of each. truth: (M, T + 1, 2)."""
    values, everywhere = equal.found.values, np.ones(len(equal.cells), bool)
    value, difference = (about.format(name) for name in ("value", "difference"))
    for m in (0, 1):
        _holds(interval(values[m, :, :, 1:]), truth[m], f"percentile{value}", tally)
    for m in range(1, EQUAL):
        _holds(interval(values[m, :, :, 1:] - values[0, :, :, 1:]), truth[m] - truth[0], f"percentile{difference}", tally)
    _holds(bounds(equal, values[1], [1], everywhere, "bca"), truth[1], f"BCa{value}", tally)
    _holds(bounds(equal, values[1] - values[0], [1, 0], everywhere, "bca"), truth[1] - truth[0], f"BCa{difference}", tally)


def _holds(found: tuple[Vector, Vector], truth: Vector, name: str, tally: Tally) -> None:
    """found: (T + 1, K) low and high. truth: (T + 1, 2)."""
    low, high = (x[:, :2] for x in found)
    for k, metric in enumerate(PRIMARY):
        tally.add(f"cover: {name}", metric, (low[:, k] <= truth[:, k]) & (truth[:, k] <= high[:, k]))


def sharing(equal: Evidence, truth: Vector, tally: Tally) -> None:
    """Transfer and Delta_m, the first method taken for the single-task baseline. truth: (M, T + 1, 3)."""
    named = replace(equal, families=dict.fromkeys(equal.labels, multitask.MULTITASK[0]) | {equal.reference: multitask.SINGLE})
    marked = multitask.transfer(named).groupby(["method", "metric"])["p_adjusted"].min() <= LEVEL
    tally.by_metric("family: transfer, outcomes of a method", marked.index.get_level_values("metric"), marked)
    chance = np.column_stack([np.full(TASKS, 0.5), outcomes(equal)["chance"]])
    for _, row in multitask.gains(named).iterrows():
        k = PRIMARY.index(row["metric"])
        new, base = truth[METHODS.index(row["method"]), :-1, k], truth[0, :-1, k]
        true = (multitask.relative(new, base), new - base, (new - base) / (1 - chance[:, k]))
        for name, each in zip(multitask.GAINS, true, strict=True):
            inside = row[f"{name}_low"] <= each.mean() <= row[f"{name}_high"]
            tally.add(f"cover: Delta_m ({name}) of these models", row["metric"], inside)


def net_benefit(equal: Evidence, truth: Benefit, tally: Tally) -> None:
    """Differences of net benefit at 9 thresholds, and on average over their range. The first method is the yardstick."""
    labels = (benefit.YARDSTICK, *equal.labels[1:])
    named = replace(equal, labels=labels, reference=labels[0], plan=replace(equal.plan, labels=labels))
    found = benefit.differences(named, [Task(name, thresholds=RANGE) for name in OUTCOMES])
    grid = np.linspace(*RANGE, benefit.STEPS + 1)
    for task, own in found.groupby("task", sort=False):
        t = OUTCOMES.index(str(task))
        true = {benefit.YARDSTICK: np.zeros(len(grid)), benefit.NONE: truth.at(t, 0, grid)}
        true[benefit.ALL] = true[benefit.NONE] - truth.of_all(t, grid)
        for rival, rows in own.groupby("against"):
            whole = np.append(true[str(rival)], np.trapezoid(true[str(rival)], grid) / np.ptp(grid))
            at = np.where(rows["threshold"].isna(), len(grid), np.searchsorted(grid, rows["threshold"].fillna(0) - 1e-9))
            inside = pd.Series((rows["low"] <= whole[at]) & (whole[at] <= rows["high"]))
            of_average = rows["threshold"].isna()
            tally.add(f"cover: net benefit, difference {RIVALS[str(rival)]}, at a threshold", "all", inside[~of_average])
            tally.add(f"cover: net benefit, difference {RIVALS[str(rival)]}, average", "all", inside[of_average])


def weighted(cells: Sequence[Cell], counts: Counts, folds: int, rows: int, tally: Tally) -> None:
    """Everything of the table on rows with weights. rows: of a patient."""
    equal, name = build(cells, counts), null_weighted.NAMES[rows]
    found = comparisons(equal)
    tally.by_metric(f"false: paired bootstrap p, {name}", found["metric"], found["p"] <= LEVEL)
    tally.add(f"family: marks of the table, {name}", "all", ((found["p_adjusted"] <= LEVEL) & found["steady"]).any())
    tally.add(f"false: DeLong, {name}", "auroc", delong(equal)["p"] <= LEVEL)
    truth = np.repeat(null_weighted.expected(folds, rows)[None], EQUAL, axis=0)
    _intervals(equal, truth, ", {}, " + name, tally)
