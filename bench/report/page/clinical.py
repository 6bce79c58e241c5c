"""Calibration, net benefit and subgroups as tables."""

import numpy as np
import pandas as pd

from bench.report.evidence import Frames
from bench.report.page import grid
from bench.report.page.compare import name_of, tested, writer
from bench.report.page.grid import Cell, Column, Field, Grid, Line
from bench.report.words import DASH, clean, percent

CALIBRATION = (
    "Intercept: calibration in the large (0 is ideal); slope: 1 is ideal. ICI: mean distance of the smoothed curve from the diagonal, "
    "in points; beside it the floor, what a perfectly calibrated model of the same risks would show. E90: its 90th percentile."
)
BENEFIT = (
    "Net benefit per 1,000 patients, averaged over the thresholds in the range of the outcome: method less treating all, none, and the "
    "yardstick."
)
THRESHOLDS = (
    "Net benefit per 1,000 patients at each threshold: method less treating all, none, and the yardstick, with its 95 % interval from the "
    "same resamples; not adjusted for the number of thresholds, rivals and methods."
)
SUBGROUPS = (
    "p, unadjusted: of the hypothesis that all levels are alike; one of {count} such p in these tables, of which one in twenty falls below .05 "
    "by chance alone. No evidence by itself: a difference that was not expected beforehand is a question to other data."
)


def calibration(frames: Frames) -> Grid | None:
    """Raw and recalibrated risks of every method, row under row."""
    fields = (
        grid.text("outcome", "task"),
        Field("version", lambda row: grid.said(version(row)), words=True),
        grid.figure("mean risk, %", "mean_risk", percent),
        grid.figure("rate, %", "rate", percent),
        grid.figure("intercept", "intercept", grid.plus(2)),
        grid.figure("slope", "slope", grid.decimals(2)),
        Field("ICI (floor)", _ici),
        grid.figure("E90", "e90", percent),
        grid.figure("Brier", "brier", writer("brier")),
        grid.figure("log loss", "log_loss", writer("log_loss")),
    )
    return grid.build(frames.calibration, "Calibration", fields, frames.results.groups, about=CALIBRATION)


def version(row: grid.Record) -> str:
    how = str(row.get("how", "") or "")
    return f"{row['version']}, {how}" if how else str(row["version"])


def _ici(row: grid.Record) -> Cell:
    floor = float(row["ici_floor"])
    beside = "" if np.isnan(floor) else f" ({percent(floor)})"
    return Cell(percent(float(row["ici"])) + beside, grid.key(float(row["ici"])))


def benefit(frames: Frames) -> Grid | None:
    """Differences averaged over the range of thresholds: a row per method, outcome and version, a column per rival."""
    frame = frames.benefit_differences
    if frame.empty:
        return None
    frame = frame[frame["threshold"].isna()]
    rivals = list(dict.fromkeys(str(rival) for rival in frame["against"]))
    found = {(row["method"], row["task"], row["version"], row["against"]): row for row in grid.records(frame)}
    keys = frame[["method", "task", "version"]].drop_duplicates()

    def against(rival: str) -> Field:
        return Field(f"less {clean(rival)}", lambda row: _benefit(found.get((row["method"], row["task"], row["version"], rival))))

    fields = (grid.text("outcome", "task"), grid.text("version", "version"), *(against(rival) for rival in rivals))
    about = f"{BENEFIT} {_not_clinical(frames)}".strip()
    return grid.build(keys, "Net benefit differences", fields, frames.results.groups, about=about)


def thresholds(frames: Frames) -> tuple[Grid, ...]:
    """The same at the single thresholds, which are those of the outcome: a table of each, a column per threshold."""
    frame = frames.benefit_differences
    if frame.empty:
        return ()
    frame = frame[frame["threshold"].notna() & frame["difference"].notna()]
    return tuple(_of_outcome(frames, str(task), part) for task, part in frame.groupby("task", sort=False))


def _of_outcome(frames: Frames, task: str, part: pd.DataFrame) -> Grid:
    keys = ["method", "version", "against"]
    found = {(*(str(row[key]) for key in keys), row["threshold"]): row for row in grid.records(part)}
    at = sorted(part["threshold"].unique())

    def line(method: str, version: str, rival: str) -> Line:
        cells = (_benefit(found.get((method, version, rival, threshold))) for threshold in at)
        return grid.of_method(method, (grid.said(f"{version}, less {rival}"), *cells), frames.results.groups, task)

    lines = tuple(line(*map(str, names)) for names in part[keys].drop_duplicates().itertuples(index=False))
    heads = (Column((f"{100 * threshold:.3g} %",)) for threshold in at)
    columns = (Column(("net benefit",), words=True), *heads)
    about = f"{THRESHOLDS} {_not_clinical(frames, task)}".strip()
    return Grid(f"Net benefit differences by threshold, {clean(task)}", "Method", columns, (("", lines),), about=about, task=task)


def _benefit(row: grid.Record | None) -> Cell:
    if row is None or np.isnan(row["difference"]):
        return Cell(DASH)
    text = grid.with_interval(row["difference"], row["low"], row["high"], lambda value: grid.signed(1000 * value, 1))
    return Cell(text, grid.key(row["difference"]))


def _not_clinical(frames: Frames, task: str = "") -> str:
    """The outcomes whose range of thresholds is a convention; that outcome, if one is named."""
    frame = frames.net_benefit
    frame = frame[frame["task"] == task] if task and len(frame) else frame
    if frame.empty or frame["clinical"].astype(bool).all():
        return ""
    tasks = dict.fromkeys(clean(str(task)) for task in frame.loc[~frame["clinical"].astype(bool), "task"])
    return f"Not a clinical range but a quarter to four times the prevalence: {', '.join(tasks)}."


def subgroups(frames: Frames) -> tuple[Grid, ...]:
    """A table per variable and metric: methods and outcomes down, levels across, and how much they differ."""
    frame = frames.subgroups
    if frame.empty:
        return ()
    return tuple(
        _subgroup(frames, part, str(variable), str(metric))
        for (variable, metric), part in frame.groupby(["variable", "metric"], sort=False)
    )


def warned(frames: Frames) -> str:
    """What the p values of the subgroup tables are worth."""
    count = int(frames.heterogeneity["p"].notna().sum()) if len(frames.heterogeneity) else 0
    return SUBGROUPS.format(count=f"{count:,}") if count else ""


def _subgroup(frames: Frames, part: pd.DataFrame, variable: str, metric: str) -> Grid:
    levels = list(dict.fromkeys(str(level) for level in part["level"]))
    found = {(str(row["method"]), str(row["task"]), str(row["level"])): row for row in grid.records(part)}
    spreads = _spreads(frames.heterogeneity, variable, metric)
    pairs = list(dict.fromkeys((method, task) for method, task, _ in found))

    def line(method: str, task: str) -> Line:
        cells = tuple(_level(found.get((method, task, level)), metric) for level in levels)
        spread = spreads.get((method, task))
        gap = float(spread["spread"]) if spread is not None else np.nan
        p = float(spread["p"]) if spread is not None else np.nan
        ends = (grid.valued(gap, lambda value: tested(metric)(value).lstrip("+")), grid.valued(p, grid.p_value))
        return grid.of_method(method, (grid.said(task), *cells, *ends), frames.results.groups, task, metric)

    sizes = part.groupby(part["level"].astype(str))["n"].max()  # over outcomes, which may be unknown of some
    across = (Column((clean(level), f"n {sizes[level]:,}")) for level in levels)
    columns = (Column(("outcome",), words=True), *across, Column(("spread",)), Column(("p, unadjusted",)))
    lines = tuple(line(method, task) for method, task in pairs)
    return Grid(f"{name_of(metric)} by {clean(variable)}", "Method", columns, (("", lines),), metric=metric)


def _spreads(frame: pd.DataFrame, variable: str, metric: str) -> dict[tuple[str, str], grid.Record]:
    if frame.empty:
        return {}
    own = frame[(frame["variable"].astype(str) == variable) & (frame["metric"] == metric)]
    return {(str(row["method"]), str(row["task"])): row for row in grid.records(own)}


def _level(row: grid.Record | None, metric: str) -> Cell:
    if row is None or np.isnan(row["value"]):
        return Cell(DASH)
    return Cell(grid.with_interval(row["value"], row["low"], row["high"], writer(metric)), grid.key(row["value"]))
