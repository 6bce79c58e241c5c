"""Two methods as `bench compare` shows them: the paragraph, and a row per outcome."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.report import notes
from bench.report.sheet import TITLES, Block, Entry, Row, Sheet
from bench.report.terminal import Screen
from bench.report.words import DASH, fraction, percent
from bench.stats import MEAN, PRIMARY
from bench.stats.comparing import Comparison
from bench.stats.decisions import UNDECIDED
from bench.store import Results

HEADINGS = (
    ("n",),
    ("events",),
    ("a",),
    ("b",),
    ("a - b",),
    ("95 %", "interval"),
    ("p",),
    ("p", "adjusted"),
    ("detectable",),
    ("verdict",),
)
DECIDED = ("non_inferiority", "equivalence")


@dataclass(frozen=True, eq=False)
class Compared:
    """table: see `bench.stats.comparing.COLUMNS`, fractions. paragraph: what can be believed. about: dataset, a, b, metric."""

    table: pd.DataFrame
    paragraph: str
    sheet: Sheet
    about: Mapping[str, str]

    def terminal(self) -> Screen:
        """What `rich.console.Console.print` shows, fitted to its width."""
        return Screen(self.sheet)

    def json(self) -> dict[str, Any]:
        """For programs, see `bench.asjson`."""
        said = {"answer": self.sheet.title, "paragraph": self.paragraph, "warnings": self.sheet.warnings}
        return {**self.about, **said, "table": self.table}


def shown(results: Results, found: Comparison, a: str, b: str, metric: str) -> Compared:
    """The comparison of a with b as a sheet."""
    with_margin = bool(found.table["non_inferiority"].astype(bool).any())
    rows = tuple(_row(row, metric, with_margin) for _, row in found.table.iterrows())
    headings = (*HEADINGS, ("with the margin,", "unadjusted")) if with_margin else HEADINGS
    sheet = Sheet(
        title=answer(found.table, a, b, metric), protocol=found.paragraph, warnings=notes.warnings(results),
        blocks=(Block(f"{TITLES[metric]}; a: {a}, b: {b}; {results.dataset}; {notes.protocol(results)}", headings, (("", rows),)),), footnotes=(),
        remarks=("p adjusted by max-T over the outcomes; the mean is one question of its own. Detectable: the true difference that "
                 "this cohort would show with 80 % power.", notes.conditional(results)),
    )  # fmt: skip
    return Compared(found.table, found.paragraph, sheet, {"dataset": results.dataset, "a": a, "b": b, "metric": metric})


def answer(table: pd.DataFrame, a: str, b: str, metric: str) -> str:
    """The whole comparison, of the mean over outcomes, in a sentence."""
    row, what = table.iloc[-1], f"in {notes.METRIC_NAMES[metric]}"
    mean, alone = (" (mean over outcomes)", "mean over outcomes; ") if len(table) > 2 else ("", "")
    if not row["verdict"]:
        return f"{a} and {b} cannot be compared: too few events, or folds that both have."
    if row["verdict"] == UNDECIDED:
        size = f"{percent(row['detectable'], 2)} points" if metric in PRIMARY else fraction(row["detectable"])
        within = ", and whatever there is is smaller than the margin" if row["equivalence"] == "equivalent" else ""
        return f"No difference between {a} and {b} is shown {what}{mean}{within}; one under {size} would often be missed."
    better, worse = (a, b) if row["verdict"] in ("superior", "ahead") else (b, a)
    if row["superior_allowed"]:
        return f"{better} is better than {worse} {what} ({alone}one comparison, unadjusted)."
    return (
        f"In these predictions {better} is ahead of {worse} {what}{mean}; that it would be after another training is not shown."
    )


def _row(row: pd.Series, metric: str, with_margin: bool) -> Row:
    say = percent if metric in PRIMARY else fraction
    digits = {"digits": 2} if metric in PRIMARY else {}
    p, adjusted = (DASH if np.isnan(row[name]) else f"{row[name]:.4f}" for name in ("p", "p_adjusted"))
    interval = DASH if np.isnan(row["low"]) else f"{say(row['low'], **digits)} to {say(row['high'], **digits)}"
    texts = [
        f"{row['n']:,}",
        DASH if row["task"] == MEAN else f"{row['events']:,}",  # outcomes overlap: their sum counts no patients
        say(row["a"]),
        say(row["b"]),
        say(row["difference"], **digits),
        interval,
        p,
        adjusted,
    ]
    texts += [say(row["detectable"], **digits), row["verdict"] or DASH]
    decided = [row[name] for name in DECIDED if row[name]]
    if with_margin:  # nothing is decided of an outcome with too few events
        texts += [", ".join(word for word in decided if word != UNDECIDED) or UNDECIDED if decided else DASH]
    return Row(row["task"], tuple(Entry(text) for text in texts))
