"""What every figure has: heading, key, axes with ticks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.report.figures.lettering import LABEL, SMALL, TITLE, clean, drop, fit, width
from bench.report.figures.marks import FAINT, GREY, INK, Areas, Dots, Look, Mark, Page, Pen, Words, box, line, lines
from bench.report.figures.scales import Axis, Place

FRAME = Pen(INK, 0.5)
GRID = Pen(FAINT, 0.4)
TICK = 0.8  # mm
MARGIN = 1.5


@dataclass(frozen=True)
class Key:
    """An entry of the key: a line, a dot or both, or a patch of colour (a text)."""

    text: str
    pen: Pen | None = None
    look: Look | None = None
    patch: str = ""


def heading(title: str, keys: Sequence[Key], page_width: float, said: Sequence[str] = ()) -> tuple[list[Mark], float]:
    """Title, small print, key; and the y below them."""
    room = page_width - 2 * MARGIN
    named = wrapped([title], room, TITLE, bold=True)
    marks: list[Mark] = [Words(MARGIN, 4.0 + 3.2 * i, text, TITLE, bold=True) for i, text in enumerate(named)]
    y = 0.8 + 3.2 * len(named)
    for text in wrapped(said, room):
        y += 2.9
        marks.append(Words(MARGIN, y, text, LABEL, colour=INK))
    keyed, y = _keys(keys, y, room)
    return marks + keyed, y + 1.6


def wrapped(texts: Sequence[str], room: float, size: float = LABEL, bold: bool = False) -> list[str]:
    """Lines of at most `room` mm."""
    out: list[str] = []
    for text in texts:
        current = ""
        for word in text.split():
            longer = f"{current} {word}".strip()
            if current and width(longer, size, bold) > room:
                out.append(current)
                longer = word
            current = fit(longer, room, size, bold)
        out += [current] if current else []
    return out


def _keys(keys: Sequence[Key], y: float, room: float) -> tuple[list[Mark], float]:
    """In lines from left to right."""
    marks: list[Mark] = []
    x = MARGIN
    y += 3.2 if keys else 0
    for key in keys:
        text = fit(key.text, room - 8, LABEL)
        if x > MARGIN and x + 7 + width(text, LABEL) > room + MARGIN:
            x, y = MARGIN, y + 3.0
        marks += _sample(key, x, y - drop(LABEL))
        marks.append(Words(x + 6.6, y, text, LABEL))
        x += 6.6 + width(text, LABEL) + 4
    return marks, y


def _sample(key: Key, x: float, y: float) -> list[Mark]:
    marks: list[Mark] = []
    if key.patch:
        marks.append(Areas((box(x + 1.5, y - 1, 4, 2),), key.patch))
    if key.pen:
        marks += lines([line(x, y, x + 5.6, y)], key.pen)
    if key.look:
        marks.append(Dots(np.array([[x + 2.8, y]]), key.look))
    return marks


def frame(place: Place) -> list[Mark]:
    return [*lines([box(place.x, place.y, place.width, place.height)], FRAME)]


def bottom(places: Sequence[Place], axis: Axis, close: bool = False) -> list[Mark]:
    """Ticks, numbers and the axis title under each place. close: neighbours have no room for numbers beyond the ends, nor titles."""
    marks: list[Mark] = []
    strokes = [
        line(x, place.bottom, x, place.bottom + TICK)
        for place in places
        for x in (place.x + place.width * float(axis.share(value)) for value, _ in axis.ticks)
    ]
    marks += lines(strokes, FRAME)
    for place in places:
        for value, text in axis.ticks:
            share = float(axis.share(value))
            anchor = "end" if share > 0.99 and close else "start" if share < 0.01 and close else "middle"
            marks.append(Words(place.x + place.width * share, place.bottom + TICK + 2.2, text, SMALL, anchor))
        if not close:
            text = fit(axis.title, place.width + 6, LABEL)
            marks.append(Words(place.x + place.width / 2, place.bottom + TICK + 5.0, text, LABEL, "middle"))
    return marks


def left(places: Sequence[Place], axis: Axis) -> list[Mark]:
    """Ticks and numbers to the left of each place."""
    marks: list[Mark] = []
    strokes = [
        line(place.x, y, place.x - TICK, y)
        for place in places
        for y in (place.bottom - place.height * float(axis.share(value)) for value, _ in axis.ticks)
    ]
    marks += lines(strokes, FRAME)
    for place in places:
        for value, text in axis.ticks:
            y = place.bottom - place.height * float(axis.share(value))
            marks.append(Words(place.x - TICK - 0.5, y + drop(SMALL), text, SMALL, "end"))
    return marks


def gutter(axis: Axis) -> float:
    """Room in mm for the numbers of a left axis."""
    return max((width(text, SMALL) for _, text in axis.ticks), default=0) + TICK + 0.8


def absent(place: Place, text: str) -> Words:
    """In a panel without anything to draw."""
    return Words(place.x + place.width / 2, place.y + place.height / 2 + drop(SMALL), text, SMALL, "middle", GREY)


def noted(page: Page, texts: Sequence[str]) -> Page:
    """What must be read with every number (synthetic patients, a quick look), under the figure."""
    said = wrapped([clean(text) for text in texts], page.width - 2 * MARGIN)
    marks = [Words(MARGIN, page.height + 1.6 + 2.9 * i, text, LABEL, bold=True) for i, text in enumerate(said)]
    return replace(page, height=page.height + 2.9 * len(said) + 0.4, marks=(*page.marks, *marks)) if marks else page
