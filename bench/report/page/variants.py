"""Other definitions of the outcomes: does the ranking survive them?"""

import pandas as pd

from bench.report import definitions as words
from bench.report.evidence import Frames
from bench.report.page import grid
from bench.report.page.compare import name_of, tested, writer
from bench.report.page.grid import Cell, Field, Grid
from bench.report.words import clean, number, percent

TITLE = "Other definitions of the outcomes"
SUMMARY = (
    "Events of the rows that a definition knows; same label: of the tested rows that both know. Tau: Kendall's, of the two rankings of the methods, "
    "with its 95 % interval; beside it the median tau of the main ranking with that of another draw of the same patients, which is what "
    "chance alone leaves. tied: the main table's best cannot be told from the new best."
)
DETAIL = (
    "Each method by the outcome itself and by the other definition, from the same predictions, rows and draws. Less the reference: with its "
    "interval; change: how much the definition moves that difference. Intervals of 95 %, unadjusted."
)
MARKED = {"yes": "kept", "sign": "sign only", "no": "turned", "": "not compared"}


def about(frames: Frames) -> str:
    """The sentence, and by which rule; "" where there are no other definitions."""
    said = words.sentences(frames.definitions, frames.variants, frames.scoring) if len(frames.definitions) else ()
    return clean(" ".join([*said, words.RULE])) if said else ""


def summary(frames: Frames) -> Grid | None:
    """A row per definition and metric."""
    if frames.definitions.empty:
        return None
    fates, rules = words.fates(frames.definitions, frames.variants, frames.scoring), frames.results.words.definitions
    frame = frames.definitions.assign(name=frames.definitions["task"] + "~" + frames.definitions["variant"])
    fields = (
        Field("metric", lambda row: grid.said(name_of(row["metric"])), words=True),
        Field("known (main)", lambda row: _beside(row, "n", number)),
        Field("events (main)", lambda row: _beside(row, "events", number)),
        Field("% (main)", lambda row: _beside(row, "prevalence", percent)),
        grid.figure("same label, %", "same", percent),
        grid.figure("methods ranked", "methods", number),
        Field("tau", _tau),
        Field("by chance", lambda row: grid.valued(float(row["tau_drawn"]), words.tau)),
        Field("best (main)", lambda row: grid.said(_best(row)), words=True),
        Field(
            "the ranking",
            lambda row: grid.said(fates.get(str(row["name"]), ("", ""))[0] if row["best_survives"] else ""),
            words=True,
        ),
        *([Field("defined as", lambda row: grid.said(clean(rules.get(str(row["name"]), ""))), words=True)] if rules else []),
    )
    return grid.build(frame, "Definitions", fields, {}, name="name", corner="Definition", about=SUMMARY)


def details(frames: Frames) -> tuple[Grid, ...]:
    """A table per definition and metric, a row a method."""
    if frames.variants.empty:
        return ()
    by = frames.variants.groupby(["task", "variant", "metric"], sort=False)
    marked = {
        tuple(key) for key in words.marks(frames.variants, frames.scoring)[["method", "task", "metric"]].to_numpy().tolist()
    }
    made = (_detail(frames, part, str(task), str(variant), str(metric), marked) for (task, variant, metric), part in by)
    return grid.present(made)


def _detail(
    frames: Frames, part: pd.DataFrame, task: str, variant: str, metric: str, marked: set[tuple[str, ...]]
) -> Grid | None:
    write, less = writer(metric), tested(metric)
    fields = (
        grid.figure("main", "main_value", write),
        grid.figure("rank", "main_rank", number),
        grid.ranged(clean(variant), "value", write),
        grid.figure("rank there", "rank", number),
        grid.figure("less reference, main", "main_difference", less),
        grid.ranged("less reference there", "difference", less, "difference_low", "difference_high"),
        grid.ranged("change", "change", less, "change_low", "change_high"),
        Field("marked", lambda row: _marked(row, marked), words=True),
    )
    title = f"{name_of(metric)}, {clean(task)} defined as {clean(variant)}"
    return grid.build(part, title, fields, frames.results.groups, about=DETAIL)


def _marked(row: grid.Record, marked: set[tuple[str, ...]]) -> Cell:
    key = (row["method"], row["task"], row["metric"])
    return grid.said(MARKED[str(row["survives"])]) if key in marked else Cell("")


def _beside(row: grid.Record, name: str, write: grid.Writer) -> Cell:
    value, main = float(row[name]), float(row[f"main_{name}"])
    return Cell(f"{write(value)} ({write(main)})", grid.key(value))


def _tau(row: grid.Record) -> Cell:
    value = float(row["tau"])
    return Cell(grid.with_interval(value, float(row["tau_low"]), float(row["tau_high"]), words.tau), grid.key(value))


def _best(row: grid.Record) -> str:
    if not row["best_survives"]:
        return ""
    word = ", tied" if row["best_survives"] == "tied" else ""
    return f"{row['best']} ({row['main_best']}{word})"
