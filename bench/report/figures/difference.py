"""The critical-difference diagram of Demsar (JMLR 7, 2006, figure 1): mean ranks over datasets, and who cannot be told apart."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from bench.report.figures.furniture import FRAME, MARGIN, heading
from bench.report.figures.lettering import LABEL, SMALL, fit
from bench.report.figures.marks import GREY, INK, TWO_COLUMNS, Mark, Page, Pen, Words, line, lines

NAMES = 48.0  # mm for the names at either side
STEP = 3.4  # mm from name to name
BAR = Pen(INK, 1.8)
SPREAD = Pen(INK, 1.0)
METRICS = {"auroc": "AUROC", "ap": "average precision"}


def critical_difference(table: pd.DataFrame, alike: Sequence[tuple[str, ...]]) -> Page:
    """table, alike: of `bench.stats.across`, best method first. Best on the left; a thick bar joins what does not differ."""
    count, distance = int(table["datasets"].iloc[0]), float(table["critical_difference"].iloc[0])
    title = f"Mean rank by {METRICS[table['metric'].iloc[0]]} over {count} datasets"
    said = (
        f"Friedman's test that all rank alike: p = {table['p'].iloc[0]:.2g}. Bars join methods within Nemenyi's distance at .05.",
    )
    marks, top = heading(title, (), TWO_COLUMNS, said)
    ranks = table["mean_rank"].to_numpy()
    start, room = MARGIN + NAMES, TWO_COLUMNS - 2 * (MARGIN + NAMES)

    def at(rank: float) -> float:
        return start + room * (rank - 1) / (len(table) - 1)

    axis = top + 9.0
    marks += _axis(at, axis, len(table), distance)
    first = axis + 3.0 + 1.6 * len(alike)
    for i, group in enumerate(alike):
        of_group = ranks[table["method"].isin(group).to_numpy()]
        y = axis + 2.2 + 1.6 * i
        marks += lines([line(at(of_group.min()) - 0.7, y, at(of_group.max()) + 0.7, y)], BAR)
    half = (len(table) + 1) // 2
    for i, (method, rank) in enumerate(zip(table["method"], ranks, strict=True)):
        left = i < half
        y = first + STEP * (i if left else len(table) - 1 - i) + 2.0
        marks += _name(method, rank, at(rank), axis, y, left)
    return Page(TWO_COLUMNS, first + STEP * half + 3.0, tuple(marks), title)


def _axis(at: Callable[[float], float], y: float, methods: int, distance: float) -> list[Mark]:
    """Whole ranks, and the critical difference as a length above."""
    step = max(1, methods // 12)
    whole = list(range(1, methods + 1, step))
    ticks = [line(at(rank), y - 1.0, at(rank), y) for rank in whole]
    marks: list[Mark] = [*lines([line(at(1), y, at(methods), y), *ticks], FRAME)]
    marks += [Words(at(rank), y - 1.8, f"{rank}", SMALL, "middle") for rank in whole]
    end = at(min(1 + distance, methods))
    ends = [line(x, y - 6.6, x, y - 5.4) for x in (at(1), end)]
    marks += lines([line(at(1), y - 6.0, end, y - 6.0), *ends], SPREAD)
    return [*marks, Words(end + 1.2, y - 5.4, f"critical difference {distance:.2f}", SMALL, colour=GREY)]


def _name(method: str, rank: float, x: float, axis: float, y: float, left: bool) -> list[Mark]:
    """An elbow from the axis down to the method's name and rank."""
    end = MARGIN + NAMES - 1.0 if left else TWO_COLUMNS - MARGIN - NAMES + 1.0
    text = fit(f"{method}  {rank:.2f}" if left else f"{rank:.2f}  {method}", NAMES - 2.0, LABEL)
    elbow = np.array([[x, axis], [x, y], [end, y]])
    anchor = "end" if left else "start"
    return [*lines([elbow], FRAME), Words(end - 0.8 if left else end + 0.8, y + 0.7, text, LABEL, anchor)]
