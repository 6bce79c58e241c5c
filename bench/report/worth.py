"""How many patients sharing is worth, in words and as a table: the same for page, figures and terminal.

Rows are of `bench.stats.learning`: a method at `patients` predicts as well as its baseline at `needed`; `worth` is the difference.
What lies beyond the sizes measured is infinite there, and "more than" or "less than" here: nothing is extrapolated.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from bench.report import notes
from bench.report.sheet import Block, Entry, Row
from bench.report.words import DASH
from bench.stats import MEAN
from bench.store import Results

Record: TypeAlias = "Mapping[str, Any] | pd.Series"  # a row
Ends: TypeAlias = tuple[float, float]  # of the baseline's curve: the fewest and the most patients measured

MINUS = "\u2212"


@dataclass(frozen=True)
class Measured:
    """Where learning curves begin and end. found: of a method, outcome and metric."""

    found: Mapping[tuple[str, str, str], Ends]

    @classmethod
    def of(cls, learning: pd.DataFrame) -> "Measured":
        known = learning[learning["value"].notna()]
        ranges = known.groupby(["method", "task", "metric"])["patients"].agg(["min", "max"])
        return cls({(m, t, k): (float(low), float(high)) for m, t, k, low, high in ranges.reset_index().itertuples(index=False)})

    def __call__(self, row: Record) -> Ends:
        """Of the baseline that a row is held against."""
        return self.found[row["baseline"], row["task"], row["metric"]]


# ---- words


def whole(value: float) -> str:
    """1,234 with a true minus sign."""
    return f"{value:z,.0f}".replace("-", MINUS)


def amount(value: float, patients: float, measured: Ends, words: Sequence[str] = ("less than ", "more than ")) -> str:
    """A worth or a bound of it; of an infinite one how far from the method's own size the measured range reaches."""
    if math.isfinite(value):
        return whole(value)
    return words[value > 0] + whole(measured[value > 0] - patients)


def value(row: Record) -> float:
    """The worth; infinite where the score lies beyond the baseline's curve."""
    return float(row["worth"]) if row["reached"] else math.inf if str(row["bound"]).startswith("more") else -math.inf


def interval(row: Record, measured: Ends) -> str:
    """-20 to more than 8,944; "" where there is none."""
    low, high = float(row["low"]), float(row["high"])
    if math.isnan(low) or math.isnan(high):
        return ""
    return " to ".join(dict.fromkeys(amount(end, row["patients"], measured) for end in (low, high)))


def short(row: Record, measured: Ends) -> tuple[str, str]:
    """340 and "-20, >8,944", for figures and tables; "" where there is no interval."""
    n, signs = row["patients"], ("<", ">")
    text = amount(value(row), n, measured, signs)
    low, high = float(row["low"]), float(row["high"])
    if math.isnan(low) or math.isnan(high):
        return text, ""
    return text, ", ".join(dict.fromkeys(amount(end, n, measured, signs) for end in (low, high)))


def sentence(row: Record, measured: Ends) -> str:
    """hard_sharing at 500 patients predicts as well as single_task at 840: sharing is worth 340 patients (95 % ...)."""
    method, baseline, n = row["method"], row["baseline"], row["patients"]
    worth = value(row)
    if math.isfinite(worth):
        how = f"as well as {baseline} at {whole(row['needed'])}"
    else:
        most = worth > 0
        how = f"{'better' if most else 'worse'} than {baseline} at {whole(measured[most])}, the {'most' if most else 'fewest'} measured"
    within = interval(row, measured)
    said = f"{method} at {whole(n)} patients predicts {how}: sharing is worth {amount(worth, n, measured)} patients"
    return f"{said} (95 % {within})." if within else f"{said}."


# ---- the table under the comparison


def blocks(worth: pd.DataFrame, learning: pd.DataFrame, results: Results, metrics: Sequence[str]) -> tuple[Block, ...]:
    """For the mean over outcomes a row per multi-task method, a column per metric and size; none where nothing was measured."""
    own = worth[(worth["task"] == MEAN) & worth["metric"].isin(list(metrics))] if len(worth) else worth
    if own.empty:
        return ()
    measured = Measured.of(learning)
    found = {(row["method"], row["metric"], row["patients"]): row for _, row in own.iterrows()}
    columns = [(m, n) for m in metrics for n in sorted(own["patients"].unique()) if any(key[1:] == (m, n) for key in found)]

    def row(method: str) -> Row:
        own = (found.get((method, *column)) for column in columns)
        return Row(method, tuple(Entry(DASH) if one is None else _entry(one, measured(one)) for one in own))

    methods = {method for method, _, _ in found}
    groups = ((family, tuple(row(m) for m in names if m in methods)) for family, names in notes.families(results).items())
    title = f"Sharing is worth, in patients of {', '.join(dict.fromkeys(own['baseline']))}: {MEAN} (95 % interval)"
    headings = tuple((f"{notes.METRIC_NAMES[m]} at {whole(n)}",) for m, n in columns)
    return (Block(title, headings, tuple((family, rows) for family, rows in groups if rows)),)


def _entry(row: Record, measured: Ends) -> Entry:
    value, within = short(row, measured)
    return Entry(value, f" ({within})" if within else "")


def remarks(worth: pd.DataFrame, robustness: pd.DataFrame) -> tuple[str, ...]:
    """How to read that table, and where the curves are."""
    told: list[str] = []
    if len(worth):
        told.append(
            "Sharing is worth: the patients that the single-task baseline needs for the method's score, less the method's own; > <: beyond "
            "the sizes measured. These fitted models, resampled test patients; which patients were learned from is not in the interval, and "
            "nothing is adjusted. By outcome, in words and as curves: index.html, section How many patients."
        )
    if len(robustness):
        rates = ", ".join(f"{100 * rate:g}" for rate in sorted(set(robustness["missing"])) if rate)
        told.append(
            f"What is lost when each modality is missing with probability {rates} %: index.html, section Missing modalities, and "
            "figures/robustness-*."
        )
    return tuple(told)
