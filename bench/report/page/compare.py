"""The comparison: who is best at what, every score with its interval and test behind it, and all tests in one list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from bench.report import notes
from bench.report.evidence import Frames
from bench.report.notes import METRIC_NAMES
from bench.report.page import grid
from bench.report.page.grid import Cell, Column, Field, Grid, Line
from bench.report.sheet import TITLES, verdict
from bench.report.words import DASH, clean, number, percent
from bench.stats import MEAN, PRIMARY, procedure

NAMES = {**METRIC_NAMES, "oe": "observed over expected"}
DIGITS = {"brier": 3, "log_loss": 3, "oe": 2}  # of metrics that are no percentages

Marks: TypeAlias = Mapping[str, tuple[int, ...]]  # the numbers of a method's footnotes
Records: TypeAlias = Mapping[tuple[str, str], grid.Record]  # by method and task


def writer(metric: str) -> grid.Writer:
    """How a value of a metric is written."""
    return grid.decimals(DIGITS[metric]) if metric in DIGITS else percent


def tested(metric: str) -> grid.Writer:
    """How a difference of a metric is written."""
    return grid.plus(DIGITS[metric] + 1) if metric in DIGITS else grid.points


def name_of(metric: str) -> str:
    return NAMES.get(metric, clean(metric))


@dataclass(frozen=True)
class _Tables:
    """What is known of one metric, by method and task."""

    metric: str
    primary: bool  # tested and marked
    scores: Records
    pooled: Records
    standings: Records
    tests: Records

    @classmethod
    def of(cls, frames: Frames, metric: str) -> "_Tables":
        scoring = frames.scoring
        tables = (scoring.scores, scoring.standings, scoring.comparisons)
        scores, standings, tests = (by_task(frame, metric) for frame in tables)
        return cls(metric, metric in scoring.primary, scores, by_task(scoring.scores, f"{metric}_pooled"), standings, tests)


def by_task(frame: pd.DataFrame, metric: str) -> Records:
    return {(row["method"], row["task"]): row for row in grid.records(frame[frame["metric"] == metric])}


def grids(frames: Frames, metrics: Sequence[str], marks: Marks) -> tuple[Grid, ...]:
    """A table of each metric there are scores of: methods in families, the mean and every outcome beside each other."""
    there = set(frames.scoring.scores.loc[frames.scoring.scores["value"].notna(), "metric"])
    return tuple(_metric(frames, metric, marks) for metric in metrics if metric in there)


def _metric(frames: Frames, metric: str, marks: Marks) -> Grid:
    tables, names = _Tables.of(frames, metric), [MEAN, *(task.name for task in frames.results.tasks)]
    families = notes.families(frames.results)

    def line(family: str, method: str) -> Line:
        cells = tuple(_cell(tables, method, task) for task in names)
        return Line(clean(method), cells, method, family, notes=marks.get(method, ()))

    groups = tuple((family, tuple(line(family, method) for method in methods)) for family, methods in families.items())
    title, foot = TITLES.get(metric, clean(metric)), _foot(frames, metric, names)
    return Grid(title, "Method", _columns(frames, names), groups, foot, metric, marked=True)


def _columns(frames: Frames, names: Sequence[str]) -> tuple[Column, ...]:
    outcomes = {str(row["task"]): row for row in grid.records(frames.scoring.outcomes)}
    averaged = sum(bool(row["averaged"]) for row in outcomes.values())

    def column(name: str) -> Column:
        if name not in outcomes:
            return Column((clean(name), f"of {averaged} outcomes") if name == MEAN else (clean(name),), name)
        row = outcomes[name]
        return Column((clean(name), f"{row['events']:,} of {row['n']:,}", f"{percent(row['prevalence'])} %"), name)

    return tuple(column(name) for name in names)


def _cell(tables: _Tables, method: str, task: str) -> Cell:
    score, standing = tables.scores.get((method, task)), tables.standings.get((method, task))
    if score is None or np.isnan(score["value"]):
        return Cell(DASH)
    rank = standing["rank"] if standing is not None else np.nan
    tied = "≈" if tables.primary and standing is not None and standing["tied"] and rank != 1 else ""
    test = tables.tests.get((method, task))
    return Cell(
        writer(tables.metric)(score["value"]),
        grid.key(score["value"]),
        "" if np.isnan(score["sd"]) else writer(tables.metric)(score["sd"]),
        ("" if test is None else verdict(test)) + tied,
        _tip(tables, method, task),
        "best" if rank == 1 else "second" if rank == 2 else "",
    )


def _tip(tables: _Tables, method: str, task: str) -> tuple[str, ...]:
    score, metric = tables.scores[method, task], tables.metric
    write = writer(metric)
    lines = [f"{clean(method)}, {clean(task)}: {name_of(metric)} {write(score['value'])}"]
    if not np.isnan(score["low"]):
        lines.append(f"95 % interval {write(score['low'])} to {write(score['high'])}")
    if (test := tables.tests.get((method, task))) is not None and not np.isnan(test["difference"]):
        lines += _test(test, tested(metric))
    if (standing := tables.standings.get((method, task))) is not None and not np.isnan(standing["rank"]):
        lines.append(f"rank {standing['rank']:.0f}{_rank_set(standing)}; best in {percent(standing['first'], 0)} % of resamples")
    pooled = tables.pooled.get((method, task))
    if score["folds"] > 1 and pooled is not None and not np.isnan(pooled["value"]):
        lines.append(f"pooled across folds {write(pooled['value'])}")
    events = "" if task == MEAN else f" {score['events']:,} events,"  # outcomes overlap: their sum counts no patients
    return (*lines, f"n {score['n']:,},{events} {score['folds']} {'fold' if score['folds'] == 1 else 'folds'}")


def _rank_set(standing: grid.Record) -> str:
    low, high = standing["set_low"], standing["set_high"]
    return "" if np.isnan(low) else f" (95 % set {low:.0f} to {high:.0f})"


def _test(test: grid.Record, write: grid.Writer) -> list[str]:
    difference = grid.with_interval(test["difference"], test["low"], test["high"], write)
    adjusted = "" if np.isnan(test["p_adjusted"]) else f", adjusted {grid.p_value(test['p_adjusted'])}"
    return [f"against {clean(test['reference'])}: {difference}", f"unadjusted p {grid.p_value(test['p'])}{adjusted}"]


def _foot(frames: Frames, metric: str, names: Sequence[str]) -> tuple[Line, ...]:
    """Yardsticks: the planted probabilities of a synthetic cohort, and chance."""
    scoring, write = frames.scoring, writer(metric)
    truth = {str(row["task"]): row["value"] for row in grid.records(scoring.bayes[scoring.bayes["metric"] == metric])}
    chance = {str(row["task"]): row["chance"] for row in grid.records(scoring.outcomes)}
    known = [value for value in chance.values() if not np.isnan(value)]
    chance[MEAN] = float(np.mean(known)) if known else np.nan
    levels = {"auroc": dict.fromkeys(names, 0.5), "ap": chance}.get(metric)
    rows = [(grid.PLANTED, truth)] if truth else []
    rows += [("chance", levels)] if levels else []
    return tuple(Line(name, tuple(grid.valued(of.get(task, np.nan), write) for task in names)) for name, of in rows)


# ---- at a glance


def glance(frames: Frames) -> Grid | None:
    """Per outcome and metric: the best method, how many may be as good, how many differ from the reference, both ways."""
    rows = [
        _summary(frames, tables, metric, task)
        for metric in PRIMARY
        for tables in (_Tables.of(frames, metric),)
        for task in [MEAN, *(task.name for task in frames.results.tasks)]
    ]
    lines = tuple(row for row in rows if row is not None)
    against = clean(frames.results.reference)
    heads = (
        "best",
        "value (95 % interval)",
        "not distinguishable from the best",
        f"better than {against} ▲",
        f"worse than {against} ▼",
    )
    columns = (Column(("metric",), words=True), *(Column((head,), words=i == 0) for i, head in enumerate(heads)))
    return Grid("At a glance", "Outcome", columns, (("", lines),)) if lines else None


def _summary(frames: Frames, tables: _Tables, metric: str, task: str) -> Line | None:
    own = {method: row for (method, name), row in tables.standings.items() if name == task and not np.isnan(row["rank"])}
    best = [method for method, row in own.items() if row["rank"] == 1]
    if not best:
        return None
    score = tables.scores[best[0], task]
    tied = sum(bool(row["tied"]) for method, row in own.items() if method not in best)
    marks = [verdict(row) for (_, name), row in tables.tests.items() if name == task]
    counts = (tied, marks.count("▲"), marks.count("▼")) if tables.primary else (np.nan,) * 3  # what is not tested has no count
    cells = (
        grid.said(name_of(metric)),
        grid.said(" = ".join(clean(method) for method in best)),
        Cell(grid.with_interval(score["value"], score["low"], score["high"], writer(metric)), grid.key(score["value"])),
        *(grid.valued(float(count), number) for count in counts),
    )
    return Line(clean(task), cells, task=task, metric=metric)


# ---- all tests


def tests(frames: Frames) -> Grid | None:
    """Every difference from the reference, by all tests on offer side by side."""
    found = frames.scoring.comparisons
    found = found[found["difference"].notna()]
    if found.empty:
        return None
    keys = ["method", "task", "metric"]
    joined = _joined(found, frames.delong.assign(metric="auroc") if len(frames.delong) else frames.delong, keys, "delong")
    joined = _joined(joined, frames.corrected, keys, "corrected")
    joined = joined.merge(frames.bayes.drop(columns="reference"), on=keys, how="left") if len(frames.bayes) else joined
    fields = (
        grid.text("outcome", "task"),
        Field("metric", lambda row: grid.said(name_of(row["metric"])), words=True),
        Field("difference (95 % interval)", _difference),
        grid.figure("p, unadjusted", "p", grid.p_value),
        grid.figure("p, adjusted", "p_adjusted", grid.p_value),
        Field("detectable", lambda row: grid.valued(row["detectable"], lambda value: tested(row["metric"])(value).lstrip("+"))),
        grid.figure("p DeLong, unadjusted", "p_delong", grid.p_value),
        grid.figure("p corrected t, unadjusted", "p_corrected", grid.p_value),
        Field("Bayesian t, %: better / within a point / worse", _bayes),
    )
    folds, repeats = (int(frames.corrected[name].max()) if len(frames.corrected) else 1 for name in ("folds", "repeats"))
    weak = procedure.weakness(folds, repeats)
    about = (
        "Differences of AUROC and AP in percentage points. p and DeLong: about these predictions, given the fitted models. Detectable: the "
        "true difference that would be found with 80 % power, before the adjustment; p above .05 is no evidence of less. "
        f"Corrected t (Nadeau and Bengio): about the procedure, trained anew. {weak} Bayesian correlated t (Corani and Benavoli): the "
        "same question as probabilities, with the same weakness; better or worse by more than a point. Only the adjusted p account for "
        f"the {len(found):,} rows of this table; the others are for one comparison chosen beforehand."
    )
    families = frames.results.groups
    return grid.build(joined, f"Every method against {clean(frames.results.reference)}", fields, families, about=about)


def _difference(row: grid.Record) -> Cell:
    text = grid.with_interval(row["difference"], row["low"], row["high"], tested(row["metric"]))
    return Cell(text, grid.key(row["difference"]))


def _bayes(row: grid.Record) -> Cell:
    shares = [row.get(name, np.nan) for name in ("better", "equivalent", "worse")]
    return Cell(DASH) if np.isnan(shares[0]) else Cell(" / ".join(percent(x, 0) for x in shares), grid.key(shares[0]))


def _joined(found: pd.DataFrame, other: pd.DataFrame, keys: list[str], name: str) -> pd.DataFrame:
    """The p values of another test as a column p_<name>; NaN where it says nothing."""
    if other.empty:
        return found.assign(**{f"p_{name}": np.nan})
    return found.merge(other[[*keys, "p"]].rename(columns={"p": f"p_{name}"}), on=keys, how="left")
