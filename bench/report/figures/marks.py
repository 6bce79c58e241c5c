"""A figure as plain data: a page in millimetres, y downward, and the marks on it in drawing order.

Figures are made as pages and drawn twice from the same data: by matplotlib (PDF, PNG) and as small SVG for web pages. A page of
30 panels is a dozen marks instead of 30 sets of axes, so that it is drawn in a tenth of the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float64]
Anchor: TypeAlias = Literal["start", "middle", "end"]

# Okabe and Ito's colours, told apart by colour-blind readers; besides, every pair that meets differs in dash, shape or fill.
INK, GREY, PALE, FAINT, PAPER = "#000000", "#808080", "#b8b8b8", "#dcdcdc", "#ffffff"  # these follow the page in dark mode
BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9"
DARK, LIGHT = "#111111", "#fefefe"  # on coloured cells: the same in dark mode
ONE_COLUMN, TWO_COLUMNS = 85.0, 174.0  # mm
POINT = 25.4 / 72  # mm

# Outlines within -1..1, y downward. A circle is known to both back ends by its name.
SHAPES: dict[str, tuple[tuple[float, float], ...]] = {
    "circle": (),
    "square": ((-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)),
    "diamond": ((0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)),
    "up": ((0, -1.1), (1.1, 0.9), (-1.1, 0.9)),
    "down": ((0, 1.1), (1.1, -0.9), (-1.1, -0.9)),
    "left": ((-1.1, 0), (0.9, -1.1), (0.9, 1.1)),
    "right": ((1.1, 0), (-0.9, -1.1), (-0.9, 1.1)),
    "cross": ((-1, -0.4), (-0.4, -0.4), (-0.4, -1), (0.4, -1), (0.4, -0.4), (1, -0.4), (1, 0.4), (0.4, 0.4), (0.4, 1), (-0.4, 1), (-0.4, 0.4), (-1, 0.4)),
}  # fmt: skip


@dataclass(frozen=True)
class Pen:
    """width and dashes in points."""

    colour: str = INK
    width: float = 0.6
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Lines:
    """Polylines, (n, 2) each, in mm and without NaN."""

    paths: tuple[Vector, ...]
    pen: Pen


@dataclass(frozen=True, eq=False)
class Areas:
    """Filled polygons, (n, 2) each."""

    paths: tuple[Vector, ...]
    colour: str


@dataclass(frozen=True)
class Look:
    """How a dot is drawn: outline in `colour`, filled with `fill`; radius in mm."""

    shape: str = "circle"
    colour: str = INK
    fill: str = PAPER
    radius: float = 0.75


@dataclass(frozen=True, eq=False)
class Dots:
    """at: (n, 2)."""

    at: Vector
    look: Look


@dataclass(frozen=True)
class Words:
    """One line of text. y: of the baseline; size in points; turned: read from below."""

    x: float
    y: float
    text: str
    size: float = 6.0
    anchor: Anchor = "start"
    colour: str = INK
    bold: bool = False
    turned: bool = False


Mark: TypeAlias = Lines | Areas | Dots | Words


@dataclass(frozen=True, eq=False)
class Page:
    """title: what a screen reader says of it."""

    width: float
    height: float
    marks: tuple[Mark, ...]
    title: str


def line(x0: float, y0: float, x1: float, y1: float) -> Vector:
    return np.array([[x0, y0], [x1, y1]], float)


def box(x: float, y: float, width: float, height: float) -> Vector:
    """The outline of a rectangle, closed."""
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]], float)


def lines(paths: Sequence[Vector], pen: Pen) -> tuple[Lines, ...]:
    """One mark, or none where there is nothing to draw."""
    kept = tuple(path for path in paths if len(path))
    return (Lines(kept, pen),) if kept else ()


def dots(at: Sequence[tuple[float, float]], look: Look) -> tuple[Dots, ...]:
    return (Dots(np.array(at, float), look),) if at else ()
