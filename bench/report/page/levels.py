"""What modalities are worth, how many patients are, and how many of them sharing is: as tables, and in words."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bench.report import worth as told
from bench.report.evidence import Frames
from bench.report.page import grid
from bench.report.page.compare import name_of, tested, writer
from bench.report.page.grid import Cell, Column, Field, Grid
from bench.report.words import DASH, clean, percent
from bench.stats import MEAN, PRIMARY

MISSING = (
    "The same fitted models and test patients, with each modality of a row taken away at random with the probability over the column; a row "
    "keeps at least one of those it has, so that fewer are really gone. Nothing is trained again: what a method would make of rows that lack "
    "a modality, had it learned from such, is another question. Lost: the score on the test as it is less the score here, on the same "
    "resamples; 95 % intervals, conditional on these models and on this draw of what is missing, not adjusted."
)
LEARNING = (
    "The same methods after fewer patients to learn from, validation among them, on the same test patients. Intervals: 95 %, conditional on "
    "these models, of resampled test patients. Each size was trained once per repeat and fold: other patients of the same number would have "
    "moved the curves, most at the small sizes, and no interval here knows of it."
)
WORTH = (
    "Worth: the patients that {baseline} needs for the score that the method has at its size, less that size; below 0 sharing costs patients. "
    "Both curves are made non-decreasing first, by isotonic regression, and {baseline}'s is straight in the logarithm of the patients between "
    "two sizes measured. More than, less than: not reached, the score or the end of the interval lies beyond the sizes measured, and nothing "
    "is extrapolated. 95 % intervals: the same resamples of test patients for all methods and sizes, conditional on these models, without "
    "the noise of which patients were learned from; not adjusted for the number of methods, sizes and outcomes. Point at, focus or tap a "
    "number for its sentence."
)


# ---- missing modalities


def robustness(frames: Frames) -> tuple[Grid, ...]:
    """A table of each metric: methods and outcomes down; the test as it is, then value and loss at every rate."""
    frame = frames.robustness
    return tuple(_missing(frames, frame[frame["metric"] == metric], metric) for metric in _metrics(frame))


def _metrics(frame: pd.DataFrame) -> list[str]:
    """AUROC and AP, where there are any values of them."""
    there = set(frame.loc[frame["value"].notna(), "metric"]) if len(frame) else set[str]()
    return [metric for metric in PRIMARY if metric in there]


def _missing(frames: Frames, part: pd.DataFrame, metric: str) -> Grid:
    rates = sorted(float(rate) for rate in part["missing"].unique())
    gone = part.groupby("missing")["masked"].mean()

    def cells(found: dict[float, grid.Record]) -> list[Cell]:
        pairs = [(_value(found.get(rate), metric), _lost(found.get(rate), metric)) for rate in rates]
        return [cell for rate, pair in zip(rates, pairs, strict=True) for cell in (pair if rate else pair[:1])]

    columns = [Column(("outcome",), words=True)]
    for rate in rates:
        share = "" if np.isnan(gone[rate]) else f"{percent(gone[rate], 0)} % gone"
        asked = f"{100 * rate:g} % missing"
        columns += [Column((asked, share)), Column((f"lost at {100 * rate:g} %",))] if rate else [Column(("as it is",))]
    return _by_outcome(frames, part, "missing", f"{name_of(metric)} with modalities missing", columns, cells, metric)


def _value(row: grid.Record | None, metric: str) -> Cell:
    if row is None or np.isnan(row["value"]):
        return Cell(DASH)
    return Cell(grid.with_interval(row["value"], row["low"], row["high"], writer(metric)), grid.key(row["value"]))


def _lost(row: grid.Record | None, metric: str) -> Cell:
    if row is None or np.isnan(row["lost"]):
        return Cell(DASH)
    text = grid.with_interval(row["lost"], row["lost_low"], row["lost_high"], lambda lost: tested(metric)(lost).lstrip("+"))
    return Cell(text, grid.key(row["lost"]))


def _by_outcome(
    frames: Frames, part: pd.DataFrame, by: str, title: str, columns: Sequence[Column],
    cells: Callable[[dict[float, grid.Record]], list[Cell]], metric: str,
) -> Grid:  # fmt: skip
    """A row per method and outcome, the mean first; cells: of the rows found at each level."""
    found: dict[tuple[str, str], dict[float, grid.Record]] = {}
    for row in grid.records(part):
        found.setdefault((str(row["method"]), str(row["task"])), {})[float(row[by])] = row
    order = [MEAN, *(task.name for task in frames.results.tasks)]
    lines = tuple(
        grid.of_method(method, (grid.said(task), *cells(own)), frames.results.groups, task, metric)
        for (method, task), own in sorted(found.items(), key=lambda item: order.index(item[0][1]))
    )
    return Grid(title, "Method", tuple(columns), (("", lines),), metric=metric)


# ---- patients


def learning(frames: Frames) -> tuple[Grid, ...]:
    """A table of each metric: methods and outcomes down, sizes across."""
    frame = frames.learning
    return tuple(_sizes(frames, frame[frame["metric"] == metric], metric) for metric in _metrics(frame))


def _sizes(frames: Frames, part: pd.DataFrame, metric: str) -> Grid:
    sizes = sorted(float(n) for n in part["patients"].unique())

    def cells(found: dict[float, grid.Record]) -> list[Cell]:
        return [_value(found.get(n), metric) for n in sizes]

    columns = [Column(("outcome",), words=True), *(Column((told.whole(n), "patients")) for n in sizes)]
    return _by_outcome(frames, part, "patients", f"{name_of(metric)} by patients learned from", columns, cells, metric)


def worth(frames: Frames) -> tuple[Grid, ...]:
    """Of the mean over outcomes a table of each metric: methods down, sizes across, the sentence behind each number."""
    frame = frames.worth[frames.worth["task"] == MEAN] if len(frames.worth) else frames.worth
    made = [_worth(frames, frame[frame["metric"] == metric], metric) for metric in _metrics(frame)]
    baseline = ", ".join(clean(name) for name in dict.fromkeys(frame["baseline"])) if made else ""
    return (*made[:-1], *(replace(last, about=WORTH.format(baseline=baseline)) for last in made[-1:]))


def _worth(frames: Frames, part: pd.DataFrame, metric: str) -> Grid:
    sizes = sorted(part["patients"].unique())
    found = {(str(row["method"]), row["patients"]): row for row in grid.records(part)}
    measured = told.Measured.of(frames.learning)

    def cell(row: grid.Record | None) -> Cell:
        if row is None:
            return Cell(DASH)
        return Cell(_short(row, measured(row)), _key(row), tip=(clean(told.sentence(row, measured(row))),))

    methods = [method for method in frames.results.methods if any(name == method for name, _ in found)]
    lines = tuple(
        grid.of_method(method, (cell(found.get((method, n))) for n in sizes), frames.results.groups, MEAN, metric)
        for method in methods
    )
    columns = tuple(Column((f"at {told.whole(n)}", "patients")) for n in sizes)
    title = f"What sharing is worth in patients, {name_of(metric)}, {MEAN} over outcomes"
    return Grid(title, "Method", columns, (("", lines),), metric=metric)


def _short(row: grid.Record, measured: told.Ends) -> str:
    within = told.interval(row, measured)
    text = told.amount(told.value(row), row["patients"], measured)
    return f"{text} ({within})" if within else text


def _key(row: grid.Record) -> str:
    """What is not reached sorts beyond all numbers."""
    return grid.key(float(np.clip(told.value(row), -1e12, 1e12)))


def sentences(frames: Frames) -> tuple[Grid, ...]:
    """Outcome by outcome, every method, metric and size in words."""
    frame = frames.worth
    if frame.empty:
        return ()
    measured = told.Measured.of(frames.learning)
    fields = (
        Field("metric", lambda row: grid.said(name_of(row["metric"])), words=True),
        grid.figure("patients", "patients", told.whole),
        Field("score", lambda row: grid.valued(row["value"], writer(row["metric"]))),
        Field("the baseline needs", lambda row: Cell(DASH if np.isnan(row["needed"]) else told.whole(row["needed"]), grid.key(row["needed"]))),
        Field("in words", lambda row: Cell(clean(told.sentence(row, measured(row)))), words=True),
    )  # fmt: skip
    order = [task for task in (MEAN, *(task.name for task in frames.results.tasks)) if task in set(frame["task"])]
    made = [
        (task, grid.build(frame[frame["task"] == task], f"In words, {clean(task)}", fields, frames.results.groups))
        for task in order
    ]
    return tuple(replace(one, task="" if task == MEAN else task) for task, one in made if one is not None)
