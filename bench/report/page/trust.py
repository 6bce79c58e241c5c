"""Why the numbers may be believed, or not: alarms, split receipt, budget, what methods report of themselves, environment."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.report import diagnosis, ledger
from bench.report.adapters import adapters
from bench.report.evidence import Frames
from bench.report.page import grid
from bench.report.page.grid import Cell, Column, Field, Grid, Line
from bench.report.words import DASH, clean, number, percent, short
from bench.store import Results

# What is looked for -> words of the footnote that says it was found.
CHECKS: Mapping[str, tuple[str, ...]] = {
    "every cell ran": ("cells failed", "cells were declined"),
    "training made steps": ("no training step",),
    "the validation score moved": ("never moved",),
    "predictions vary": ("constant predictions",),
    "no two methods predict the same": ("identical predictions",),
    "training ended before its cap": ("cap of epochs",),
    "one scale of risks over folds": ("pooled over folds",),
}
NOT_QUICK = ("training ended before its cap", "one scale of risks over folds")  # not looked for in a quick look
TRIALS = ("trials", "failed trials", "pruned", "tuning")
LEDGER = (
    "trials",
    "tuned",
    "parameters",
    "steps",
    "at_cap",
    "scores",
)  # facts that the ledger tells, or that are too long to tell
ADAPTERS = (
    "In the words of each method's own file when it ran: what the program does around it (missing values, unknown outcomes) and where it "
    "departs from its source. In square brackets: of the method or the balance that it runs on."
)


# ---- alarms


def alarms(results: Results, texts: Sequence[str], marks: Mapping[str, tuple[int, ...]]) -> Grid:
    """Every check with the methods in which it found something, and the footnote that says what."""
    found = {text: [f"{clean(m)} ({i})" for m, own in marks.items() if i in own] for i, text in enumerate(texts, 1)}
    checks = {check: [t for t in texts if any(word in t for word in words)] for check, words in CHECKS.items()}
    seen = {text for said in checks.values() for text in said}
    checks["other"] = [text for text in texts if text not in seen]
    lines = [
        _check(check, said, found, results.quick and check in NOT_QUICK)
        for check, said in checks.items()
        if said or check != "other"
    ]
    about = "In brackets: the footnote that says what was found." if texts else ""
    return Grid("Checks", "Check", (Column(("found in",), words=True),), (("", tuple(lines)),), about=about)


def _check(check: str, said: Sequence[str], found: Mapping[str, Sequence[str]], skipped: bool) -> Line:
    if not said:
        return Line(check, (Cell("not looked for in a quick look" if skipped else "✓ nothing found"),))
    return Line(check, (Cell(", ".join(method for text in said for method in found[text]), css="alarm"),))


# ---- splits


def receipt(frames: Frames) -> Grid | None:
    """n, events and prevalence of every fold, side and outcome; of training rows where the store holds the receipt.

    Rows and patients, where a patient has several rows.
    """
    stored = frames.results.receipt
    rows = stored.get("folds") or _counted(frames.results)
    if not rows:
        return None
    tasks = list(dict.fromkeys(str(row["task"]) for row in rows))
    several = any(row.get("patients", row["n"]) != row["n"] for row in rows)
    sizes = ("n", "patients") if several else ("n",)
    places = list(dict.fromkeys((row["repeat"], row["fold"], str(row["side"]), *(row[key] for key in sizes)) for row in rows))
    found = {(row["repeat"], row["fold"], row["side"], row["task"]): row for row in rows}

    names = dict(enumerate(stored.get("names", [])))  # of a split that is not random: the site, the dates

    def line(repeat: int, fold: int, side: str, *counts: int) -> Line:
        cells = (_fold(found[repeat, fold, side, task]) for task in tasks)
        place = f"repeat {repeat}, fold {fold}" + (f": {clean(str(names[fold]))}" if fold in names else "")
        return Line(place, (grid.said(side), *(grid.valued(float(n), number) for n in counts), *cells))

    heads = ("rows", "patients") if several else ("patients",)
    columns = (
        Column(("side",), words=True),
        *(Column((head,)) for head in heads),
        *(Column((clean(t), "events"), t) for t in tasks),
    )
    return Grid("Split receipt", "Fold", columns, (("", tuple(line(*place) for place in places)),), about=_proof(stored))


def _fold(row: grid.Record) -> Cell:
    known = "" if row["known"] == row["n"] else f" of {row['known']:,}"
    share = DASH if row["prevalence"] is None else percent(row["prevalence"])
    return Cell(f"{row['events']:,}{known} ({share} %)", str(row["events"]))


def _proof(stored: Mapping[str, Any]) -> str:
    if "hash" not in stored:
        return "Counted from the stored predictions; training rows are not stored."
    crossing = stored.get("groups_on_two_sides", 0)
    kind = f"Split by {clean(str(stored['kind']))}. " if "kind" in stored else ""
    return f"{kind}Groups on two sides of a split: {crossing}. Hash of all splits: {clean(str(stored['hash']))}."


def _counted(results: Results) -> list[dict[str, Any]]:
    """The receipt's rows for the sides of which predictions are stored, from the first method that has each fold."""
    made = results.predictions
    if made.empty:
        return []
    made = made[made["view"].isin(["valid", "test"])].drop_duplicates(["repeat", "fold", "view", "row"])
    rows: list[dict[str, Any]] = []
    for (repeat, fold, side), part in made.groupby(["repeat", "fold", "view"], observed=True):
        for task in (task.name for task in results.tasks):
            y = part[f"y:{task}"]
            known, events = int(y.notna().sum()), int((y == 1).sum())
            row = {"repeat": repeat, "fold": fold, "side": side, "n": len(part), "task": task, "known": known, "events": events}
            rows.append(row | {"prevalence": events / known if known else None})
    return rows


# ---- budget


def budget(frames: Frames) -> Grid | None:
    """What every method was given and took: cells, trials, time, memory, size, steps."""
    cells = frames.results.cells
    if cells.empty:
        return None
    rows = pd.DataFrame([_spent(method, own) for method, own in cells.groupby("method", sort=False)])
    fields = (
        Field("cells", lambda row: Cell(f"{row['done']:.0f} of {row['cells']:.0f}", str(row["done"]))),
        grid.figure("failed", "failed", number),
        grid.figure("declined", "declined", number),
        grid.figure("trials a cell", "trials", number),
        *((grid.figure(name, name, number) for name in ("failed trials", "pruned")) if rows["pruned"].notna().any() else ()),
        *((grid.figure("seconds of trials", "tuning", number),) if rows["pruned"].notna().any() else ()),
        grid.figure("seconds in all", "seconds", number),
        grid.figure("seconds a cell", "each", number),
        *((grid.figure("joules", "joules", number),) if rows["joules"].notna().any() else ()),
        grid.figure("peak MB", "peak_mb", number),
        grid.figure("parameters", "parameters", number),
        grid.figure("steps", "steps", number),
        grid.figure("cells at cap", "at_cap", number),
    )
    about = "Trials: settings tried per cell; 1 where a method runs with fixed settings, 0 where it has none to try. Parameters and steps: mean of a cell."
    return grid.build(rows, "Budget ledger", fields, frames.results.groups, about=about)


def _spent(method: Any, own: pd.DataFrame) -> dict[str, Any]:
    done = own[own["status"] == "done"]
    count = {status: int((own["status"] == status).sum()) for status in ("failed", "declined")}
    return {
        "method": method, "cells": len(own), "done": len(done), **count,
        **{name: _mean([tried[name] for tried in map(ledger.trials, done["facts"])]) for name in TRIALS},
        "seconds": float(done["seconds"].sum()) if len(done) else np.nan,
        "each": float(done["seconds"].mean()) if len(done) else np.nan,
        "joules": _mean(done["joules"]) * len(done),
        "peak_mb": float(done["peak_mb"].max()) if len(done) else np.nan,
        "parameters": _mean([facts.get("parameters") for facts in done["facts"]]),
        "steps": _mean([facts.get("steps") for facts in done["facts"]]),
        "at_cap": float(sum(bool(facts.get("at_cap")) for facts in done["facts"])),
    }  # fmt: skip


def _mean(values: Iterable[Any]) -> float:
    """Of the numbers among them; NaN where there is none."""
    known = [float(value) for value in values if isinstance(value, int | float)]
    return float(np.mean(known)) if known else np.nan


# ---- what methods say of themselves


def facts(frames: Frames) -> Grid | None:
    """Facts beside those of the ledger: mean and range of numbers, and the words that were said."""
    done = frames.results.cells[frames.results.cells["status"] == "done"]
    rows: list[dict[str, Any]] = []
    for method, own in done.groupby("method", sort=False):
        for name in dict.fromkeys(key for stated in own["facts"] for key in stated):
            said = _fact([stated[name] for stated in own["facts"] if name in stated])
            if said and name not in (*LEDGER, diagnosis.KEY):
                rows.append({"method": method, "fact": str(name), "said": said})
    frame = pd.DataFrame(rows)
    fields = (grid.text("fact", "fact"), grid.text("mean (least to most over cells), or words", "said"))
    return grid.build(frame, "What methods report of themselves", fields, frames.results.groups)


def _fact(values: Sequence[Any]) -> str:
    """Numbers and lists of numbers as mean and range, words as they are; "" for flags, nothing and what is nested."""
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    numbers = [float(item) for item in flat if isinstance(item, int | float) and not isinstance(item, bool)]
    if numbers and len(numbers) == len(flat):
        return grid.with_interval(float(np.mean(numbers)), min(numbers), max(numbers), _short_number)
    return "; ".join(dict.fromkeys(short(item) for item in flat if isinstance(item, str)))


def _short_number(value: float) -> str:
    return DASH if np.isnan(value) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}".replace("-", grid.MINUS)


def diagnostics(frames: Frames) -> tuple[Grid, ...]:
    """A table per diagnostic that cells hold: methods and items down, measures across; means over cells."""
    frame = diagnosis.summary(frames.results)
    frame = frame[~frame["measure"].str.fullmatch(r"e\d+")]  # the single experts: in diagnostics.csv
    shown = [name for name in diagnosis.ABOUT if (frame["diagnostic"] == name).any()]
    return tuple(_diagnostic(frames, frame[frame["diagnostic"] == name], *diagnosis.ABOUT[name]) for name in shown)


def _diagnostic(frames: Frames, part: pd.DataFrame, title: str, about: str) -> Grid:
    measures = list(dict.fromkeys(str(measure) for measure in part["measure"]))
    values = {(row["method"], row["item"], row["measure"]): float(row["value"]) for row in grid.records(part)}

    def line(method: str, item: str) -> Line:
        cells = (grid.valued(values.get((method, item, measure), np.nan), _short_number) for measure in measures)
        return grid.of_method(method, (grid.said(item), *cells), frames.results.groups)

    columns = (Column(("of",), words=True), *(Column((clean(measure.replace("_", " ")),)) for measure in measures))
    pairs = dict.fromkeys((method, item) for method, item, _ in values)
    return Grid(title, "Method", columns, (("", tuple(line(*pair) for pair in pairs)),), about=about)


# ---- environment


def environment(frames: Frames) -> tuple[Grid, ...]:
    """How methods were adapted, versions of libraries, settings and code of every method, where the store tells them."""
    return grid.present((_adapters(frames.results), _settings(frames.results), _versions(frames.results)))


def _adapters(results: Results) -> Grid | None:
    fields = (Field("adapter, and departures from its source", lambda row: Cell(row["text"]), words=True),)
    return grid.build(adapters(results), "How the methods were adapted", fields, results.groups, about=ADAPTERS)


def _versions(results: Results) -> Grid | None:
    found = {(str(name), str(version)) for of in results.made.values() for name, version in of.get("versions", {}).items()}
    rows = [(str(name), str(version)) for name, version in results.environment.items()] + sorted(found)
    rows += [("digest of the cohort", results.digest)] if results.digest else []
    lines = tuple(Line(clean(name), (grid.said(version),)) for name, version in rows)
    return Grid("Versions", "Library", (Column(("version",), words=True),), (("", lines),)) if lines else None


def _settings(results: Results) -> Grid | None:
    rows = [
        {"method": method, "settings": _listed(of.get("settings", {})), "code": str(of.get("code", ""))}
        for method, of in results.made.items()
    ]
    fields = (grid.text("settings", "settings"), grid.text("code", "code"))
    return grid.build(pd.DataFrame(rows), "Settings and code of the methods", fields, results.groups)


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
