"""Small multiples: one small panel per method on the same axes, in a grid, numbers only at its left and lower edge."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.report.figures import furniture
from bench.report.figures.furniture import MARGIN, Key, absent, bottom, frame, heading, left
from bench.report.figures.lettering import LABEL, SMALL, fit, width
from bench.report.figures.marks import ONE_COLUMN, TWO_COLUMNS, Areas, Mark, Page, Pen, Vector, Words, lines
from bench.report.figures.scales import Axis, Place

MOST = 6  # panels in a line
GAP = 2.6  # mm between panels


@dataclass(frozen=True, eq=False)
class Curve:
    """x, y: numbers on the axes."""

    x: Vector
    y: Vector
    pen: Pen


@dataclass(frozen=True, eq=False)
class Area:
    x: Vector
    y: Vector
    colour: str


@dataclass(frozen=True, eq=False)
class Panel:
    """said: lines under the name. Without curves and areas: "no predictions"."""

    name: str
    said: tuple[str, ...] = ()
    curves: tuple[Curve, ...] = ()
    areas: tuple[Area, ...] = ()


def page(
    title: str,
    panels: Sequence[Panel],
    x: Axis,
    y: Axis,
    *,
    keys: Sequence[Key] = (),
    said: Sequence[str] = (),
    behind: Sequence[Curve] = (),
    shape: float = 1.0,
) -> Page:
    """behind: curves in every panel. shape: height of a panel over its width. Up to three panels fit one column of print."""
    across = ONE_COLUMN if len(panels) <= 3 else TWO_COLUMNS
    abreast = min(MOST, max(3, len(panels)))
    marks, top = heading(title, keys, across, said)
    places, end = _places(len(panels), abreast, across, top, _above(panels), 3.6 + furniture.gutter(y), shape)
    marks += _content(panels, places, x, y, behind)
    marks += [mark for place in places for mark in frame(place)]
    for panel, place in zip(panels, places, strict=True):
        marks += _name(panel, place)
    lowest = [place for i, place in enumerate(places) if i + abreast >= len(places)]
    marks += bottom(lowest, x, close=True) + left(places[::abreast], y)
    marks += _titles(x, y, places, end, across)
    return Page(across, end + 7.0, tuple(marks), title)


def _above(panels: Sequence[Panel]) -> float:
    """Height in mm of the lines over a panel."""
    return 3.0 + 2.3 * max((len(panel.said) for panel in panels), default=0)


def _places(
    count: int, abreast: int, across: float, top: float, above: float, margin: float, shape: float
) -> tuple[list[Place], float]:
    """And the y under the last line of panels."""
    x0 = MARGIN + margin
    each = (across - x0 - MARGIN - 1 - GAP * (abreast - 1)) / abreast
    pitch = above + each * shape + 1.4
    places = [
        Place(x0 + (i % abreast) * (each + GAP), top + above + (i // abreast) * pitch, each, each * shape) for i in range(count)
    ]
    return places, places[-1].bottom


def _content(panels: Sequence[Panel], places: Sequence[Place], x: Axis, y: Axis, behind: Sequence[Curve]) -> list[Mark]:
    """Areas, then what lies behind, then the curves; one mark for all lines of a pen."""
    marks: list[Mark] = []
    filled: dict[str, list[Vector]] = {}
    layers: list[dict[Pen, list[Vector]]] = [{}, {}]
    for panel, place in zip(panels, places, strict=True):
        for area in panel.areas:
            filled.setdefault(area.colour, []).append(place.at(x, y, area.x, area.y))
        if not (panel.areas or panel.curves):
            marks.append(absent(place, "no predictions"))
            continue
        for layer, curves in zip(layers, (behind, panel.curves), strict=True):
            for curve in curves:
                drawn = place.clip(visible(place.at(x, y, curve.x, curve.y)))
                layer.setdefault(curve.pen, []).extend(drawn)
    marks += [Areas(tuple(paths), colour) for colour, paths in filled.items()]
    return marks + [mark for layer in layers for pen, paths in layer.items() for mark in lines(paths, pen)]


def visible(path: Vector) -> Vector:
    """A curve that is a point (a constant prediction) as a short line through it."""
    if np.ptp(path, axis=0).max() > 0.5:
        return path
    return path.mean(axis=0) + np.array([[-0.8, -0.8], [0.8, 0.8]])


def _name(panel: Panel, place: Place) -> list[Mark]:
    y = place.y - 0.9 - 2.3 * len(panel.said)
    marks: list[Mark] = [Words(place.x, y, fit(panel.name, place.width, LABEL, bold=True), LABEL, bold=True)]
    said = enumerate(panel.said, 1)
    return marks + [Words(place.x, y + 2.3 * i, fit(text, place.width + GAP - 0.6, SMALL), SMALL) for i, text in said if text]


def _titles(x: Axis, y: Axis, places: Sequence[Place], end: float, across: float) -> list[Mark]:
    """One title for all x axes, one for all y axes."""
    first, right = places[0], max(place.x + place.width for place in places)
    over, beside = fit(x.title, across - first.x, LABEL), fit(y.title, end - first.y + 10, LABEL)
    middle = max((first.x + right) / 2, MARGIN + width(over, LABEL) / 2)  # of a single panel the title is wider
    return [
        Words(middle, end + furniture.TICK + 5.0, over, LABEL, "middle"),
        Words(MARGIN + 1.8, (first.y + end) / 2, beside, LABEL, "middle", turned=True),
    ]
