"""The tables of a cohort's page."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.cohorts.summary import Summary, wilson
from bench.report.page.grid import Cell, Field, Grid, build, decimals, figure, key, text, with_interval
from bench.report.words import DASH, clean, number, percent

ALARMS = (
    "A column that tells an outcome nearly alone, by being missing, or by being the outcome in other words; what names a row or a "
    "patient; patients that stand there twice. What raises no alarm is not proven harmless: look at the strongest features too."
)
STRONGEST = "The AUROC of one feature by itself, in whichever direction: what lies far above the next one deserves a second look."


def outcomes(summary: Summary) -> Grid:
    def interval(row: Mapping[str, Any]) -> Cell:
        value, low, high = (float(row[c]) for c in ("prevalence", "low", "high"))
        return Cell(with_interval(value, low, high, percent), key(value))

    fields = [
        text("What it is", "label"), figure("Known", "known", number), figure("Events", "events", number),
        Field("Prevalence, %", interval), figure("Weighted, %", "weighted", percent), text("Competing events", "competing"),
    ]  # fmt: skip
    return _grid(summary.outcomes, "Outcomes", "outcome", "Outcome", fields)


def variants(summary: Summary) -> Grid | None:
    fields = [
        text("Of outcome", "outcome"), figure("Known", "known", number), figure("Events", "events", number),
        figure("Prevalence, %", "prevalence", percent), figure("Weighted, %", "weighted", percent),
        figure("Same label, %", "same", percent),
    ]  # fmt: skip
    return _grid(summary.variants, "Other definitions", "variant", "Definition", fields) if len(summary.variants) else None


def phi(summary: Summary) -> Grid | None:
    names = summary.outcomes["outcome"].tolist()
    frame = pd.DataFrame(summary.phi).rename(columns=str).assign(outcome=names)  # columns "0", "1": no outcome's name can clash
    fields = [figure(clean(name), str(i), decimals(2)) for i, name in enumerate(names)]
    return None if len(frame) < 2 else _grid(frame, "Correlation of labels (phi)", "outcome", "Outcome", fields)


def strongest(summary: Summary) -> Grid | None:
    own = summary.strongest.groupby("outcome", sort=False)
    rows = [
        {"outcome": outcome, **{str(i): f"{r['column']} {r['auroc']:.3f}" for i, r in enumerate(part.to_dict("records"))}}
        for outcome, part in own
    ]
    if not rows:
        return None
    frame = pd.DataFrame(rows).fillna("")
    names = ("First", "Second", "Third", "Fourth", "Fifth")
    fields = [text(names[i], str(i)) for i in range(frame.shape[1] - 1)]
    return _grid(frame, "Strongest single features", "outcome", "Outcome", fields)


def columns(summary: Summary) -> Grid | None:
    def distinct(row: Mapping[str, Any]) -> Cell:
        value = int(row["distinct"])
        return Cell(f"{value:,}" if value >= 0 else DASH, key(float(value)))

    fields = [text("Taken as", "kind"), figure("Missing, %", "missing", percent), Field("Distinct", distinct), text("Why", "why")]
    return _grid(summary.columns, "Columns", "column", "Column", fields) if len(summary.columns) else None


def modalities(summary: Summary) -> Grid:
    def spread(row: Mapping[str, Any]) -> Cell:
        middle, low, high = (float(row[c]) for c in ("events", "low", "high"))
        unit = {"text": " words", "series": " measurements"}.get(str(row["kind"]), "")
        return Cell(DASH if np.isnan(middle) else f"{number(middle)}{unit} ({number(low)} to {number(high)})", key(middle))

    fields = [
        text("Kind", "kind"),
        figure("Rows with it", "rows", number),
        figure("Of all, %", "share", percent),
        Field("A row, median (quartiles)", spread),
    ]
    return _grid(summary.modalities, "Modalities", "modality", "Modality", fields)


def channels(summary: Summary) -> Grid | None:
    fields = [
        text("Series", "series"), text("Unit", "unit"), figure("Rows with it", "rows", number), figure("Of all, %", "share", percent),
        figure("Measurements a row, median", "events", number),
    ]  # fmt: skip
    return _grid(summary.channels, "Channels of series", "channel", "Channel", fields) if len(summary.channels) else None


def subgroups(summary: Summary) -> Grid | None:
    if summary.subgroups.empty:
        return None

    def share(task: str) -> Callable[[Mapping[str, Any]], Cell]:
        def make(row: Mapping[str, Any]) -> Cell:
            n, events = int(row[f"n:{task}"]), int(row[f"e:{task}"])
            value = events / n if n else float("nan")
            return Cell(f"{events:,} of {n:,}: {with_interval(value, *wilson(events, n), percent)}", key(value))

        return make

    fields = [text("Level", "level"), figure("Rows", "rows", number)]
    fields += [Field(clean(str(task)), share(task)) for task in summary.outcomes["outcome"]]
    return _grid(summary.subgroups, "Prevalence by subgroup, %", "column", "Column", fields)


def _grid(frame: pd.DataFrame, title: str, name: str, corner: str, fields: Sequence[Field]) -> Grid:
    made = build(frame, title, fields, {}, name=name, corner=corner)
    assert made is not None
    return made
