"""Every score with its interval as a table: what the tips say on a screen, for paper and for reading across."""

from collections.abc import Sequence

import numpy as np

from bench.report import notes
from bench.report.evidence import Frames
from bench.report.page import grid
from bench.report.page.compare import by_task, name_of, writer
from bench.report.page.grid import Cell, Column, Grid, Line
from bench.report.words import DASH, clean
from bench.stats import MEAN

ABOUT = (
    "95 % bootstrap intervals of the scores, not of differences: two methods whose intervals overlap may well differ, for they are scored on "
    "the same patients. Differences and their p: see the next section."
)


def grids(frames: Frames, metrics: Sequence[str]) -> tuple[Grid, ...]:
    """A table of each metric that has an interval: methods in families, the mean and every outcome beside each other."""
    known = frames.scoring.scores
    there = set(known.loc[known["low"].notna(), "metric"]) if len(known) else set[str]()
    return tuple(_metric(frames, metric) for metric in metrics if metric in there)


def _metric(frames: Frames, metric: str) -> Grid:
    found, write = by_task(frames.scoring.scores, metric), writer(metric)
    names = [MEAN, *(task.name for task in frames.results.tasks)]

    def cell(row: grid.Record | None) -> Cell:
        if row is None or np.isnan(row["value"]):
            return Cell(DASH)
        return Cell(grid.with_interval(row["value"], row["low"], row["high"], write), grid.key(row["value"]))

    def line(family: str, method: str) -> Line:
        return Line(clean(method), tuple(cell(found.get((method, task))) for task in names), method, family)

    families = notes.families(frames.results)
    groups = tuple((family, tuple(line(family, method) for method in methods)) for family, methods in families.items())
    columns = tuple(Column((clean(name),), name) for name in names)
    return Grid(f"{name_of(metric)} with 95 % intervals", "Method", columns, groups, metric=metric, about=ABOUT)
