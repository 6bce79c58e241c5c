"""Pieces of Markdown. What a user named is escaped on the way in; numbers that are not there become a dash."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from bench.report.words import DASH, percent
from bench.report.words import markdown as say


def blank(what: str) -> str:
    """A gap that only the authors can fill. No name can look like one: brackets in names are escaped."""
    return f"**[to be filled in by the authors: {what}]**"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], named: int = 1) -> str:
    """A table, its first `named` columns to the left. Cells are Markdown already."""
    lines = [head, ["---" if i < named else "---:" for i in range(len(head))], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def decimal(value: float, digits: int = 3) -> str:
    """A number with a true minus, a dash for NaN."""
    return DASH if math.isnan(value) else f"{value:.{digits}f}".replace("-", "\u2212")


def interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """`0.812 (0.798 to 0.826)`; the value alone where there is no interval."""
    text = decimal(value, digits)
    return text if math.isnan(low) or math.isnan(value) else f"{text} ({decimal(low, digits)} to {decimal(high, digits)})"


def span(values: Iterable[float]) -> str:
    """Whole numbers from the fewest to the most: `437 to 438`, `437` where they agree, a dash where there are none."""
    known = [int(v) for v in values if not math.isnan(v)]
    if not known:
        return DASH
    low, high = min(known), max(known)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def count(n: int, plural: str) -> str:
    return f"{n:,} {plural.removesuffix('s') if n == 1 else plural}"


def share(part: float, whole: float) -> str:
    """`12.5 %`, a dash of nothing."""
    return f"{percent(part / whole)} %" if whole else DASH


def names(given: Iterable[str]) -> str:
    return ", ".join(say(name) for name in given)


def where(frame: pd.DataFrame, **equal: object) -> pd.DataFrame:
    """The rows with this value, or one of these; none of a table without columns, as one is that could not be computed."""
    if frame.empty:
        return frame
    kept = pd.Series(True, index=frame.index)
    for column, value in equal.items():
        kept &= frame[column].isin(value) if isinstance(value, list) else frame[column] == value
    return frame[kept]


def lookup(frame: pd.DataFrame, *keys: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows by the values of some columns."""
    return {tuple(row[key] for key in keys): {str(k): v for k, v in row.items()} for row in frame.to_dict("records")}
