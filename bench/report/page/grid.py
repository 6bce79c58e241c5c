"""A table of the page as plain data: what stands in it, what it sorts by, and what the pickers show or hide."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from bench.report.words import DASH, clean
from bench.stats import BAYES

Record: TypeAlias = Mapping[str, Any]  # a row of a frame
Writer: TypeAlias = Callable[[float], str]  # of a number; a dash for NaN

MINUS = "\u2212"
PLANTED = "Bayes (planted probabilities)"


@dataclass(frozen=True)
class Cell:
    """text: what is read. key: what it sorts by, "" sorts last. tip: lines shown on hover, focus and touch. css: a class."""

    text: str
    key: str = ""
    spread: str = ""
    marks: str = ""
    tip: tuple[str, ...] = ()
    css: str = ""


@dataclass(frozen=True)
class Column:
    """lines: of the heading. task: the outcome it is about, "" if it is about none or all. words: holds text, to the left."""

    lines: tuple[str, ...]
    task: str = ""
    words: bool = False


@dataclass(frozen=True)
class Line:
    """One row. name: its heading. method, family, task, metric: what the pickers know it by. notes: numbers of footnotes."""

    name: str
    cells: tuple[Cell, ...]
    method: str = ""
    family: str = ""
    task: str = ""
    metric: str = ""
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Grid:
    """One table. groups: headings (maybe "") and their rows. foot: yardsticks, never sorted. metric, task: of the whole table. marked:
    has spreads and marks, which stand below each other.
    """

    title: str
    corner: str
    columns: tuple[Column, ...]
    groups: tuple[tuple[str, tuple[Line, ...]], ...]
    foot: tuple[Line, ...] = ()
    metric: str = ""
    about: str = ""
    marked: bool = False
    task: str = ""


@dataclass(frozen=True)
class Field:
    """How one column is made of a frame's rows: make(row) gives the text and the key."""

    heading: str
    make: Callable[[Record], Cell]
    words: bool = False


def build(
    frame: pd.DataFrame, title: str, fields: Sequence[Field], families: Mapping[str, str], *, name: str = "method",
    corner: str = "Method", about: str = "",
) -> Grid | None:  # fmt: skip
    """A row of the table for every row of the frame; None where there is none. families: of methods, for the picker."""
    if frame.empty:
        return None
    lines = tuple(_line(record, name, fields, families) for record in records(frame))
    columns = tuple(Column((field.heading,), words=field.words) for field in fields)
    return Grid(title, corner, columns, (("", lines),), about=about)


def _line(record: Record, name: str, fields: Sequence[Field], families: Mapping[str, str]) -> Line:
    task, metric = (str(record.get(key, "")) for key in ("task", "metric"))
    cells = tuple(field.make(record) for field in fields)
    if name == "method":
        return of_method(str(record["method"]), cells, families, task, metric)
    return Line(clean(str(record[name])), cells, task=task, metric=metric)


def of_method(method: str, cells: Iterable[Cell], families: Mapping[str, str], task: str = "", metric: str = "") -> Line:
    """The row of a method. The planted probabilities are a yardstick that no search and no family hides."""
    if method == BAYES:
        return Line(PLANTED, tuple(cells), task=task, metric=metric)
    return Line(clean(method), tuple(cells), method, families.get(method, ""), task, metric)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def present(grids: Iterable[Grid | None]) -> tuple[Grid, ...]:
    return tuple(grid for grid in grids if grid is not None)


# ---- fields


def text(heading: str, column: str) -> Field:
    """Words as they are."""
    return Field(heading, lambda row: said(str(row[column])), words=True)


def said(words: str) -> Cell:
    words = clean(words)
    return Cell(words or DASH, words.lower())


def figure(heading: str, column: str, write: Writer) -> Field:
    """A number."""
    return Field(heading, lambda row: valued(float(row[column]), write))


def ranged(heading: str, column: str, write: Writer, low: str = "low", high: str = "high") -> Field:
    """A number with its interval."""

    def make(row: Record) -> Cell:
        value = float(row[column])
        return Cell(with_interval(value, float(row[low]), float(row[high]), write), key(value))

    return Field(heading, make)


def valued(value: float, write: Writer) -> Cell:
    return Cell(write(value), key(value))


def yes(heading: str, column: str) -> Field:
    return Field(heading, lambda row: Cell("yes" if row[column] else "", str(int(bool(row[column])))))


# ---- numbers


def key(value: float) -> str:
    """What a column sorts by; "" for NaN."""
    return "" if math.isnan(value) else f"{value:.6g}"


def points(value: float) -> str:
    """A difference of fractions in percentage points, signed."""
    return signed(100 * value, 1)


def signed(value: float, digits: int) -> str:
    return DASH if math.isnan(value) else f"{value:+z.{digits}f}".replace("-", MINUS)


def decimals(digits: int) -> Writer:
    return lambda value: DASH if math.isnan(value) else f"{value:z.{digits}f}".replace("-", MINUS)


def plus(digits: int) -> Writer:
    return lambda value: signed(value, digits)


def p_value(p: float) -> str:
    return DASH if math.isnan(p) else "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def with_interval(value: float, low: float, high: float, write: Writer) -> str:
    """84.8 (82.9 to 86.7); without the brackets where there is no interval."""
    if math.isnan(low) or math.isnan(high):
        return write(value)
    return f"{write(value)} ({write(low)} to {write(high)})"
