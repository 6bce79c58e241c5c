"""Scores against what is missing and against the patients learned from, and how many patients sharing is worth.

A few methods share a pair of panels, with the reference in each, so that 28 methods are as readable as four: told apart by the marks on
their lines, not by colour alone, and named where their lines end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bench.report import worth as told
from bench.report.figures import rows
from bench.report.figures.furniture import GRID, MARGIN, bottom, frame, gutter, heading, left
from bench.report.figures.lettering import LABEL, SMALL, drop, fit, width
from bench.report.figures.maps import METRICS
from bench.report.figures.marks import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ONE_COLUMN,
    ORANGE,
    PAPER,
    PURPLE,
    SKY,
    TWO_COLUMNS,
    VERMILLION,
    Dots,
    Look,
    Mark,
    Page,
    Pen,
    Vector,
    Words,
    dots,
    line,
    lines,
)
from bench.report.figures.rows import Column, Estimate
from bench.report.figures.scales import Axis, Place, span, ticks

AGAINST = (Pen(INK, 1.0, (2.4, 1.2)), Look("cross", INK, INK, 0.8))  # the reference, or the baseline
LINES = tuple(
    (Pen(colour, 0.9), Look(shape, colour, fill, 0.75))
    for colour, shape, fill in (
        (BLUE, "circle", BLUE), (VERMILLION, "square", PAPER), (GREEN, "diamond", GREEN),
        (PURPLE, "circle", PAPER), (ORANGE, "square", ORANGE), (SKY, "diamond", PAPER),
    )
)  # fmt: skip
APART = 0.5  # mm between the bars of two methods at one place
NAMES = 30.0  # mm for a name at the end of its line
KEY = 8.5  # mm before it: a line to the end of the curve, and a piece of the curve
MOST = 56  # rows of a forest on one page of print
WORTH = Look("circle", BLUE, BLUE)
BOUND = Look("right", BLUE, PAPER, 0.85)


@dataclass(frozen=True, eq=False)
class Line:
    """x, value, low, high: of one method, NaN where there is no number. shift: of its marks to the right, mm."""

    method: str
    x: Vector
    value: Vector
    low: Vector
    high: Vector
    pen: Pen
    look: Look
    shift: float


def robustness(table: pd.DataFrame, methods: Sequence[str], reference: str, task: str, title: str) -> Page:
    """table: of `levels.robustness`. A method without numbers is left out; a level without one is passed over."""
    own = table[(table["task"] == task) & table["value"].notna()]
    rates = sorted({float(rate) for rate in own["missing"]})
    marks = tuple((r, f"{100 * r:g}") for r in rates)
    x = Axis(-0.06 * rates[-1], 1.06 * rates[-1], marks, "probability that a modality is missing, %")
    said = [
        f"A row keeps at least one of its modalities{_gone(own)}. Bars: 95 % intervals, the same resampled test patients at every level; models "
        "as fitted, not trained again. Marks at one level stand a little apart.",
    ]
    return _page(f"{title}: missing modalities", own, "missing", methods, reference, x, said)


def _gone(own: pd.DataFrame) -> str:
    """What share of modalities is really gone, level by level, where the cells say it."""
    gone = own.groupby("missing")["masked"].mean()
    return "" if gone.isna().any() else f": gone are {', '.join(f'{100 * share:.0f}' for share in gone)} % of them"


def learning(table: pd.DataFrame, methods: Sequence[str], baseline: str, task: str, title: str) -> Page:
    """table: of `learning.learning`. The same; on a logarithmic scale of patients."""
    own = table[(table["task"] == task) & table["value"].notna()]
    x = _patients(own["patients"], "patients learned from")
    said = [
        "The same test patients at every size. Bars: 95 % intervals given these models; one training per size and fold, so that the noise "
        "of which patients were learned from is not in them. Marks at one size stand a little apart.",
    ]
    return _page(f"{title}: patients learned from", own, "patients", methods, baseline, x, said)


def _patients(sizes: pd.Series, title: str) -> Axis:
    """A logarithmic scale with every size measured."""
    low, high = float(sizes.min()), float(sizes.max())
    room = max((high / low) ** 0.06, 1.02)
    marks = tuple((float(n), told.whole(n)) for n in sorted(sizes.unique()))
    return Axis(low / room, high * room, marks, title, log=True)


# ---- lines


def _page(
    title: str, own: pd.DataFrame, by: str, methods: Sequence[str], against: str, x: Axis, said: Sequence[str]
) -> Page:  # fmt: skip
    """A pair of panels for every six methods, numbers under the last."""
    metrics = [metric for metric in METRICS if metric in set(own["metric"])]
    across = TWO_COLUMNS if len(metrics) > 1 else ONE_COLUMN
    blocks = _blocks(own, by, methods, against)
    ys = {metric: _axis(own[own["metric"] == metric], by) for metric in metrics}
    marks, top = heading(title, (), across, said)
    label = min(NAMES, max(width(fit(str(m), NAMES), LABEL) for m in own["method"].unique())) + KEY
    places = _places(len(blocks), [gutter(ys[metric]) for metric in metrics], across - label, top + 3.2)
    for block, abreast in zip(blocks, places, strict=True):
        for metric, place in zip(metrics, abreast, strict=True):
            marks += _panel(block[metric], place, x, ys[metric])
        marks += _names([block[metric] for metric in metrics], abreast[-1], x, ys[metrics[-1]], label)
    for metric, first, last in zip(metrics, places[0], places[-1], strict=True):
        marks.append(Words(first.x + first.width / 2, first.y - 1.2, METRICS[metric], LABEL, "middle", bold=True))
        marks += bottom([last], _legible(x, last.width))
    return Page(across, places[-1][0].bottom + 7.2, tuple(marks), title)


def _blocks(own: pd.DataFrame, by: str, methods: Sequence[str], against: str) -> list[dict[str, list[Line]]]:
    """Methods six by six, each six with the reference: metric -> lines."""
    there = set(own["method"])
    others = [method for method in methods if method in there and method != against]
    yardstick = [against] if against in there else []
    parts = np.array_split(np.array(others, object), max(1, -(-len(others) // len(LINES))))
    found = {(str(m), str(k)): part.sort_values(by) for (m, k), part in own.groupby(["method", "metric"])}

    def block(part: Sequence[str]) -> dict[str, list[Line]]:
        styled = [*((m, AGAINST) for m in yardstick), *zip(part, LINES, strict=False)]
        middle = (len(styled) - 1) / 2
        return {
            metric: [
                _line(m, found[m, metric], by, style, APART * (i - middle))
                for i, (m, style) in enumerate(styled)
                if (m, metric) in found
            ]
            for metric in METRICS
        }

    return [block([str(m) for m in part]) for part in parts]


def _line(method: str, part: pd.DataFrame, by: str, style: tuple[Pen, Look], shift: float) -> Line:
    value, low, high = (100 * part[name].to_numpy(float) for name in ("value", "low", "high"))
    return Line(method, part[by].to_numpy(float), value, low, high, *style, shift)


def _axis(own: pd.DataFrame, by: str) -> Axis:
    """What the methods span, level by level: one far below the others does not press them flat."""
    ends = [
        span(100 * part["low"].fillna(part["value"]), 100 * part["high"].fillna(part["value"]), None, reach=3.0)
        for _, part in own.groupby(by)
    ]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    return Axis(low, high, ticks(low, high, 6))


def _places(blocks: int, gutters: Sequence[float], across: float, top: float) -> list[list[Place]]:
    """Line by line; lower where there are many."""
    each = (across - 2 * MARGIN - sum(gutters) - 3.0 * (len(gutters) - 1)) / len(gutters)
    tall = min(0.75 * each, 44.0 if blocks <= 3 else 34.0)
    starts = MARGIN + np.cumsum(gutters) + (each + 3.0) * np.arange(len(gutters))
    return [[Place(float(x), top + i * (tall + 2.6), each, tall) for x in starts] for i in range(blocks)]


def _panel(drawn: Sequence[Line], place: Place, x: Axis, y: Axis) -> list[Mark]:
    levels = [place.bottom - place.height * float(y.share(value)) for value, _ in y.ticks]
    marks: list[Mark] = [*lines([line(place.x, level, place.right, level) for level in levels], GRID)]
    marks += [*frame(place), *left([place], y)]
    at = [np.array([[own.shift, 0.0]]) + place.at(x, y, own.x, own.value) for own in drawn]
    for own, points in zip(drawn, at, strict=True):
        marks += lines(_bars(own, points[:, 0], place, y), Pen(own.pen.colour, 0.5))
    for own, points in zip(drawn, at, strict=True):
        marks += [*lines(place.clip(points), own.pen), *_marks(points, own.look, place)]
    return marks


def _bars(own: Line, x: Vector, place: Place, y: Axis) -> list[Vector]:
    """Intervals, cut at the edge."""
    ends = [place.bottom - place.height * y.share(values) for values in (own.low, own.high)]
    return [part for at, low, high in zip(x, *ends, strict=True) for part in place.clip(line(at, low, at, high))]


def _marks(points: Vector, look: Look, place: Place) -> list[Dots]:
    """A mark beyond the panel is an arrow at its edge."""
    inside = [(px, py) for px, py in points.tolist() if place.y <= py <= place.bottom]
    over, under = (
        [(px, edge) for px, py in points.tolist() if side * (py - edge) > 0] for side, edge in ((-1, place.y), (1, place.bottom))
    )
    arrows = {shape: Look(shape, look.colour, look.fill, look.radius) for shape in ("up", "down")}
    return [*dots(inside, look), *dots(over, arrows["up"]), *dots(under, arrows["down"])]


def _names(block: Sequence[Sequence[Line]], place: Place, x: Axis, y: Axis, room: float) -> list[Mark]:
    """Beside the ends of the lines in the last panel, in their order, with a piece of each; lines of other panels alone come last."""
    every = list({own.method: own for drawn in block for own in drawn}.values())
    last = {own.method for own in block[-1]}
    heights = [
        place.bottom - place.height * float(y.share(own.value[-1])) if own.method in last else place.bottom for own in every
    ]
    ends = np.clip(np.array(heights), place.y, place.bottom)
    where = apart(ends, 2.9, place.y + 1.4, place.bottom - 1.4)
    marks: list[Mark] = []
    for own, end, level in zip(every, ends.tolist(), where.tolist(), strict=True):
        start = place.x + place.width * float(x.share(own.x[-1])) + own.shift
        elbow = np.array([[start, end], [place.right + 0.6, end], [place.right + 2.6, level]])
        marks += lines([elbow] if own.method in last else [], Pen(GREY, 0.3))
        marks += lines([line(place.right + 2.8, level, place.right + 7.4, level)], own.pen)
        marks.append(Dots(np.array([[place.right + 5.1, level]]), own.look))
        marks.append(Words(place.right + KEY - 0.2, level + drop(LABEL), fit(own.method, room - KEY, LABEL), LABEL))
    return marks


def apart(wanted: Vector, gap: float, low: float, high: float) -> Vector:
    """Places in the same order, near those wanted, at least `gap` apart; within low..high where there is room for all.

    Least squares of the moves: of `wanted` less `gap` a rank, made non-decreasing by pooling neighbours (isotonic regression).
    """
    order = np.argsort(wanted, kind="stable")
    pools: list[tuple[float, int]] = []
    for rank, place in enumerate(wanted[order]):
        pools.append((float(place) - gap * rank, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, n), (b, m) = pools.pop(-2), pools.pop()
            pools.append(((a * n + b * m) / (n + m), n + m))
    level = np.repeat([at for at, _ in pools], [n for _, n in pools]) + gap * np.arange(len(order))
    found = np.empty_like(wanted)
    steps = gap * np.arange(len(order))
    found[order] = np.minimum(np.maximum(level, low + steps), np.maximum(high - steps[::-1], low + steps))
    return found


def _legible(axis: Axis, room: float) -> Axis:
    """Ticks whose numbers do not meet, from the last one."""
    kept: list[tuple[float, str]] = []
    edge = np.inf
    for value, text in reversed(axis.ticks):
        at, half = room * float(axis.share(value)), width(text, SMALL) / 2
        if at + half + 0.8 <= edge:
            kept.insert(0, (value, text))
            edge = at - half
    return Axis(axis.low, axis.high, tuple(kept), axis.title, axis.log)


# ---- what sharing is worth


def worth(table: pd.DataFrame, curves: pd.DataFrame, families: Mapping[str, Sequence[str]], task: str, title: str) -> Page:
    """table, curves: of `learning.worth` and `learning.learning`. A row per method and size: the patients that the baseline needs.

    A score beyond the baseline's curve is an open arrow at its end, an interval that leaves it an arrow at the edge. Where not all
    rows fit a page, the larger sizes give way.
    """
    own = table[(table["task"] == task) & table["metric"].isin(list(METRICS))]
    baseline = ", ".join(dict.fromkeys(own["baseline"]))
    kept = _fitting(own)
    rows_of = {
        family: [key for m in names for key in dict.fromkeys(_key(row) for _, row in kept[kept["method"] == m].iterrows())]
        for family, names in families.items()
    }
    columns = [
        _worth(kept[kept["metric"] == metric], curves, metric, baseline) for metric in METRICS if metric in set(own["metric"])
    ]
    said = [
        f"Stroke: the patients the method learned from. Dot: those {baseline} needs for the same score, by curves made non-decreasing. "
        "Between them, and as a number [95 % interval]: what sharing is worth. Arrows, > and <: not reached within the sizes measured. "
        "These models, resampled test patients; not adjusted.",
    ]
    if len(kept) < len(own):
        said.append(f"The smallest sizes, up to {told.whole(kept['patients'].max())} patients; the others are in the table.")
    shown = {family: keys for family, keys in rows_of.items() if keys}
    return rows.page(f"{title}: what sharing is worth, in patients of {baseline}", shown, columns, (), said)


def _fitting(own: pd.DataFrame) -> pd.DataFrame:
    """The smallest sizes, as many as fit a page."""
    most = max(1, MOST // own["method"].nunique())
    return own[own["patients"].isin(sorted(own["patients"].unique())[:most])].sort_values("patients", kind="stable")


def _key(row: told.Record) -> str:
    return f"{row['method']}, {told.whole(row['patients'])}"


def _worth(own: pd.DataFrame, curves: pd.DataFrame, metric: str, baseline: str) -> Column:
    estimates: dict[str, list[Estimate]] = {}
    texts: dict[str, str] = {}
    measured = told.Measured.of(curves)
    of_baseline = curves[(curves["method"] == baseline) & (curves["metric"] == metric)]
    reach = {float(n) for n in (*of_baseline["patients"], *own["patients"])}
    for _, row in own.iterrows():
        n, (least, most), value = float(row["patients"]), measured(row), told.value(row)
        look = WORTH if np.isfinite(value) else replace(BOUND, shape="right" if value > 0 else "left")
        at = float(row["needed"]) if np.isfinite(value) else most if value > 0 else least
        estimates[_key(row)] = [Estimate(at, n + row["low"], n + row["high"], look)]
        number, within = told.short(row, (least, most))
        texts[_key(row)] = f"{number} [{within}]" if within else number
    axis = _patients(pd.Series(sorted(reach)), f"patients that {baseline} needs")
    zeros = {_key(row): float(row["patients"]) for _, row in own.iterrows()}
    return Column(METRICS[metric].split(",")[0], "", estimates, texts, "worth [95 %]", None, _legible(axis, 32.0), zeros)
