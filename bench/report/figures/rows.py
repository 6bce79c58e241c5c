"""Forest plots and their kin: a row per method, families under headings, a column per quantity with its numbers beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bench.report.figures.furniture import FRAME, GRID, MARGIN, Key, bottom, heading
from bench.report.figures.lettering import LABEL, SMALL, drop, fit, width
from bench.report.figures.marks import GREY, ONE_COLUMN, TWO_COLUMNS, Look, Mark, Page, Pen, Vector, Words, dots, line, lines
from bench.report.figures.scales import Axis, Place, span, ticks
from bench.report.words import DASH

GAP = 2.2  # mm between a plot and what stands beside it
MOST = 6  # columns abreast
LONGEST = 38.0  # mm for the name of a method
HEAD = Look(radius=0.55)  # of an interval without an end


@dataclass(frozen=True)
class Estimate:
    """A dot with its interval; NaN is not drawn. low, high: an infinite one is an arrow at the edge."""

    value: float
    low: float
    high: float
    look: Look


@dataclass(frozen=True, eq=False)
class Column:
    """estimates, texts: by method. zero: the line of no difference, always in the range; zeros: a stroke, where every method has its own.
    axis: where the range is given, as it must be where an interval is infinite.
    """

    title: str
    unit: str
    estimates: Mapping[str, Sequence[Estimate]]
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    said: str = ""  # the heading of the texts
    zero: float | None = 0.0
    axis: Axis | None = None
    zeros: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class Row:
    """y: of the middle. A family's name has no method."""

    y: float
    method: str
    family: str = ""


def page(
    title: str,
    families: Mapping[str, Sequence[str]],
    columns: Sequence[Column],
    keys: Sequence[Key] = (),
    said: Sequence[str] = (),
) -> Page:
    """families: methods under their heading, in order. One column of print for one quantity, two for more, six abreast at most."""
    across = ONE_COLUMN if len(columns) == 1 else TWO_COLUMNS
    marks, top = heading(title, keys, across, said)
    deepest = max((len(found) for column in columns for found in column.estimates.values()), default=1)
    names = [name for methods in families.values() for name in methods]
    label = min(LONGEST if across > ONE_COLUMN else 0.33 * across, max(width(fit(n, LONGEST), LABEL) for n in names))
    for block in np.array_split(np.arange(len(columns)), -(-len(columns) // MOST)):
        rows, end = _rows(families, top + 5.4, 3.0 + 0.9 * (deepest - 1))
        chosen = [columns[i] for i in block]
        marks += _labels(rows, label)
        for column, place in zip(chosen, _places(chosen, label, across, top + 4.6, end), strict=True):
            marks += _column(column, place, rows)
        top = end + 7.2
    return Page(across, top, tuple(marks), title)


def _rows(families: Mapping[str, Sequence[str]], y: float, pitch: float) -> tuple[list[Row], float]:
    """And the y below the last."""
    rows: list[Row] = []
    for family, methods in families.items():
        if len(families) > 1:
            rows.append(Row(y + 1.5, "", family))
            y += 3.0
        for method in methods:
            rows.append(Row(y + pitch / 2, method))
            y += pitch
        y += 0.5
    return rows, y


def _labels(rows: Sequence[Row], label: float) -> list[Mark]:
    return [
        Words(MARGIN + 1.2, row.y + drop(LABEL), fit(row.method, label, LABEL), LABEL)
        if row.method
        else Words(MARGIN, row.y + drop(SMALL), fit(row.family, label + 20, SMALL), SMALL, colour=GREY, bold=True)
        for row in rows
    ]


def _places(columns: Sequence[Column], label: float, across: float, top: float, end: float) -> list[Place]:
    """What the names and numbers leave, in equal parts."""
    beside = [max((width(t, SMALL) for t in (*c.texts.values(), c.said)), default=0) for c in columns]
    room = across - MARGIN * 2 - 1.2 - label - sum(b + GAP * (1 + (b > 0)) for b in beside)
    each = room / len(columns)
    places: list[Place] = []
    x = MARGIN + 1.2 + label + GAP
    for b in beside:
        places.append(Place(x, top, each, end - top))
        x += each + b + GAP * (1 + (b > 0))
    return places


def _column(column: Column, place: Place, rows: Sequence[Row]) -> list[Mark]:
    axis = column.axis or _axis(column, place.width)
    drawn = [row for row in rows if row.method]
    marks: list[Mark] = [*lines([line(place.x, row.y, place.right, row.y) for row in drawn], GRID)]
    if column.zero is not None and axis.low <= column.zero <= axis.high:
        x = place.x + place.width * float(axis.share(column.zero))
        marks += lines([line(x, place.y, x, place.bottom)], FRAME)
    own = [(_x(place, axis, column.zeros[row.method]), row.y) for row in drawn if row.method in column.zeros]
    marks += lines([line(x, y - 1.1, x, y + 1.1) for x, y in own], FRAME)
    marks += _intervals(column, place, axis, drawn)
    marks += lines([line(place.x, place.bottom, place.right, place.bottom)], FRAME)
    marks += bottom([place], axis)
    marks.append(
        Words(
            place.x + place.width / 2, place.y - 1.2, fit(column.title, place.width + 4, LABEL, True), LABEL, "middle", bold=True
        )
    )
    if column.said:
        marks.append(Words(place.right + GAP, place.y - 1.2, column.said, SMALL, colour=GREY))
    texts = [(row, column.texts.get(row.method, DASH)) for row in drawn if column.texts]
    return marks + [Words(place.right + GAP, row.y + drop(SMALL), text, SMALL) for row, text in texts]


def _axis(column: Column, room: float) -> Axis:
    found = [e for estimates in column.estimates.values() for e in estimates if not np.isnan(e.value)]
    lows = [e.value if np.isnan(e.low) else e.low for e in found]
    highs = [e.value if np.isnan(e.high) else e.high for e in found]
    low, high = span(lows, highs, column.zero)
    return Axis(low, high, ticks(low, high, max(2, int(room / 8))), column.unit)


def _intervals(column: Column, place: Place, axis: Axis, rows: Sequence[Row]) -> list[Mark]:
    """Lines cut at the edge; an estimate beyond it is an arrow there."""
    whiskers: dict[Pen, list[Vector]] = {}
    at: dict[Look, list[tuple[float, float]]] = {}
    for row in rows:
        estimates = column.estimates.get(row.method, ())
        for i, e in enumerate(estimates):
            y = row.y + 0.9 * (i - (len(estimates) - 1) / 2)
            if np.isnan(e.value):
                continue
            low, value, high = (_x(place, axis, v) for v in (e.low, e.value, e.high))
            if not np.isnan(low):
                whiskers.setdefault(Pen(e.look.colour, 0.8), []).extend(place.clip(line(low, y, high, y)))
            look = (
                replace(e.look, shape="left" if value < place.x else "right") if not place.x <= value <= place.right else e.look
            )
            at.setdefault(look, []).append((min(max(value, place.x), place.right), y))
            for end in dict.fromkeys(v for v in (e.low, e.high) if np.isinf(v)):
                head = replace(HEAD, shape="right" if end > 0 else "left", colour=e.look.colour, fill=e.look.colour)
                at.setdefault(head, []).append((place.right if end > 0 else place.x, y))
    marks: list[Mark] = [mark for pen, paths in whiskers.items() for mark in lines(paths, pen)]
    return marks + [mark for look, points in at.items() for mark in dots(points, look)]


def _x(place: Place, axis: Axis, value: float) -> float:
    """In mm; of an infinite number beyond the edge."""
    if np.isinf(value):
        return place.right + 1 if value > 0 else place.x - 1
    return place.x + place.width * float(axis.share(value))
