"""The comparison table as plain data: what is said, not how it is drawn. Terminal, Markdown and LaTeX draw the same sheet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.core import BenchError
from bench.report import notes
from bench.report.words import DASH, fraction, number, percent
from bench.stats import LEVEL, MEAN, METRICS, PRIMARY, Scoring
from bench.store import Results

TITLES = {
    "auroc": "AUROC, %", "ap": "Average precision, %", "brier": "Brier score", "log_loss": "Log loss, nats",
    "intercept": "Calibration in the large (intercept), raw risks", "slope": "Calibration slope, raw risks", "ici": "ICI, raw risks",
}  # fmt: skip
STYLES = ("paper", "clinical", "wide")


@dataclass(frozen=True)
class Entry:
    """One number. spread: as it stands behind the value. rank: 1 best, 2 second, 0 otherwise. marks: of "▲▼≈", see the remarks."""

    value: str
    spread: str = ""
    rank: int = 0
    marks: str = ""


@dataclass(frozen=True)
class Row:
    """One method, or a yardstick (planted probabilities, chance). notes: numbers of the footnotes."""

    name: str
    entries: tuple[Entry, ...]
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Block:
    """One table. columns: the lines of each heading. groups: families of methods, their names maybe "". yardsticks: unranked."""

    title: str
    columns: tuple[tuple[str, ...], ...]
    groups: tuple[tuple[str, tuple[Row, ...]], ...]
    yardsticks: tuple[Row, ...] = ()

    def rows(self) -> list[Row]:
        return [row for _, rows in self.groups for row in rows] + list(self.yardsticks)

    def part(self, which: Sequence[int]) -> "Block":
        """The same rows with some of the columns."""

        def cut(rows: tuple[Row, ...]) -> tuple[Row, ...]:
            return tuple(Row(row.name, tuple(row.entries[i] for i in which), row.notes) for row in rows)

        groups = tuple((name, cut(rows)) for name, rows in self.groups)
        return Block(self.title, tuple(self.columns[i] for i in which), groups, cut(self.yardsticks))

    def parts(self, most: int) -> list["Block"]:
        """Parts of at most so many columns, as even as can be."""
        count = -(-len(self.columns) // most)
        return [self.part(list(which)) for which in np.array_split(np.arange(len(self.columns)), count)]


@dataclass(frozen=True)
class Sheet:
    """A dataset's tables. warnings: to be seen first. footnotes: numbered from 1. remarks: how to read it all.

    notices: what reading the cohort said; a terminal, which has shown them before the run, leaves them out. plan: the one that all this
    was made under, and where it departs from it, see `bench.report.planned`.
    """

    title: str
    protocol: str
    warnings: tuple[str, ...]
    blocks: tuple[Block, ...]
    footnotes: tuple[str, ...]
    remarks: tuple[str, ...]
    notices: tuple[str, ...] = ()
    plan: tuple[str, ...] = ()
    own: tuple[str, ...] = ()  # of each method that was trained here, where published ones stand beside it


def build(results: Results, scoring: Scoring, style: str = "paper", calibration: pd.DataFrame | None = None) -> Sheet:
    """The sheet of one dataset. Methods in their order, family by family, in the order in which families first appear.

    style: paper, AUROC and AP with the SD over folds; clinical, the same with 95 % intervals; wide, every metric by itself.
    calibration: of `bench.stats.calibration`, for the wide style.
    """
    if style not in STYLES:
        raise BenchError(f"style must be one of {', '.join(STYLES)}, but is '{style}'")
    footnotes, marks = notes.footnotes(results, scoring)
    shown = METRICS if style == "wide" else PRIMARY
    blocks = [_metric_block(results, scoring, metric, marks, style) for metric in shown]
    if style == "wide" and calibration is not None and len(calibration):
        blocks += [_calibration_block(results, scoring, calibration, measure, marks) for measure in ("intercept", "slope", "ici")]
    return Sheet(
        title=results.dataset,
        protocol=notes.protocol(results),
        warnings=notes.warnings(results, scoring),
        blocks=(*blocks, _cost_block(results, scoring, marks)),
        footnotes=footnotes,
        remarks=notes.remarks(results, scoring, style),
        notices=notes.few_notices(results),
        own=notes.own(results, scoring),
    )


def _grouped(
    results: Results, entries: Mapping[str, tuple[Entry, ...]], marks: Mapping[str, tuple[int, ...]]
) -> tuple[tuple[str, tuple[Row, ...]], ...]:
    return tuple(
        (family, tuple(Row(m, entries[m], marks.get(m, ())) for m in methods))
        for family, methods in notes.families(results).items()
    )


def _metric_block(results: Results, scoring: Scoring, metric: str, marks: Mapping[str, tuple[int, ...]], style: str) -> Block:
    names = [MEAN, *(task.name for task in results.tasks)]
    scores = _by(scoring.scores, metric)
    standings = _by(scoring.standings, metric)
    verdicts = {key: verdict(row) for key, row in _by(scoring.comparisons, metric).items()}
    entries = {
        m: tuple(
            _entry(scores.get((m, t)), standings.get((m, t)), verdicts.get((m, t), ""), style, metric in scoring.primary)
            for t in names
        )
        for m in results.methods
    }  # fmt: skip
    yardsticks = _yardsticks(scoring, metric, names)
    return Block(TITLES[metric], _headings(scoring, names), _grouped(results, entries, marks), yardsticks)


def _by(frame: pd.DataFrame, metric: str) -> dict[tuple[str, str], pd.Series]:
    kept = frame[frame["metric"] == metric]
    return {(row["method"], row["task"]): row for _, row in kept.iterrows()}


def verdict(row: Mapping[str, Any] | pd.Series) -> str:
    """▲ or ▼ where a comparison is marked, else "". row: of `Scoring.comparisons`. Tables, page and figures all ask here."""
    if not row["p_adjusted"] < LEVEL or not row["steady"]:
        return ""
    return "▲" if row["difference"] > 0 else "▼"


def _entry(score: pd.Series | None, standing: pd.Series | None, mark: str, style: str, primary: bool = False) -> Entry:
    if score is None or np.isnan(score["value"]):
        return Entry(DASH)
    say = percent if score["metric"] in PRIMARY else fraction
    rank = 0 if standing is None or np.isnan(standing["rank"]) else int(standing["rank"])
    tied = "≈" if primary and standing is not None and standing["tied"] and rank != 1 else ""
    spread = ""
    if style == "paper" and not np.isnan(score["sd"]):
        spread = f"±{say(score['sd'])}"
    elif style == "clinical" and not np.isnan(score["low"]):
        spread = f" ({say(score['low'])}, {say(score['high'])})"
    return Entry(say(score["value"]), spread, rank if rank < 3 else 0, mark + tied)


def _calibration_block(
    results: Results, scoring: Scoring, calibration: pd.DataFrame, measure: str, marks: Mapping[str, tuple[int, ...]]
) -> Block:
    names = [task.name for task in results.tasks]
    raw = calibration[calibration["version"] == "raw"]
    found = {(row["method"], row["task"]): row[measure] for _, row in raw.iterrows()}
    entries = {m: tuple(Entry(fraction(found.get((m, t), np.nan))) for t in names) for m in results.methods}
    return Block(TITLES[measure], _headings(scoring, names), _grouped(results, entries, marks))


def _headings(scoring: Scoring, names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    outcomes = {row["task"]: row for _, row in scoring.outcomes.iterrows()}
    averaged = scoring.outcomes["averaged"].sum() if len(scoring.outcomes) else 0

    def lines(name: str) -> tuple[str, ...]:
        if name not in outcomes:
            return (name, f"of {averaged} outcomes" if name == MEAN else "", "", "", "")
        row = outcomes[name]
        same = abs(row["prevalence"] - row["naive"]) < 1e-9
        naive = "" if same else f"naive {percent(row['naive'])} %"
        return name, f"n {row['n']:,}", f"{row['events']:,} events", f"{percent(row['prevalence'])} %", naive

    return tuple(lines(name) for name in names)


def _yardsticks(scoring: Scoring, metric: str, names: Sequence[str]) -> tuple[Row, ...]:
    rows: list[Row] = []
    bayes = _by(scoring.bayes, metric)
    if bayes:
        found = {task: row for (_, task), row in bayes.items()}
        rows.append(Row("Bayes (planted probabilities)", tuple(_entry(found.get(t), None, "", "paper") for t in names)))
    if metric not in PRIMARY:
        return tuple(rows)
    chance = dict(zip(scoring.outcomes["task"], scoring.outcomes["chance"], strict=True))
    listed = [chance[t] for t in chance if not np.isnan(chance[t])]
    chance[MEAN] = float(np.mean(listed)) if listed else np.nan
    levels = dict.fromkeys(names, 0.5) if metric == "auroc" else chance
    return (*rows, Row("chance", tuple(Entry(percent(levels.get(t, np.nan))) for t in names)))


def _cost_block(results: Results, scoring: Scoring, marks: Mapping[str, tuple[int, ...]]) -> Block:
    first = {metric: _by(scoring.standings, metric) for metric in PRIMARY}
    repeated = len(scoring.standings) > 0 and bool(scoring.standings["sd_repeats"].notna().any())
    columns = ["cells", "parameters", "steps", "at cap", "seconds", "P(best AUROC)", "P(best AP)", "rank, AUROC", "rank, AP"]
    columns += ["SD of repeats, AUROC"] if repeated else []
    entries: dict[str, tuple[Entry, ...]] = {}
    for method in results.methods:
        own = results.cells[results.cells["method"] == method]
        done = own[own["status"] == "done"]
        means = [_mean_fact(done, "parameters"), _mean_fact(done, "steps")]
        capped = sum(bool(facts.get("at_cap")) for facts in done["facts"])
        texts = [f"{len(done)} of {len(own)}", number(means[0]), number(means[1]), number(capped)]
        texts.append(number(float(done["seconds"].sum()) if len(done) else np.nan))
        texts += [_probability(first[metric].get((method, MEAN))) for metric in PRIMARY]
        texts += [_ranks(first[metric].get((method, MEAN))) for metric in PRIMARY]
        standing = first["auroc"].get((method, MEAN))
        texts += [percent(standing["sd_repeats"], 2) if standing is not None else ""] if repeated else []
        entries[method] = tuple(Entry(text) for text in texts)
    return Block("Cost and rank", tuple((c,) for c in columns), _grouped(results, entries, marks))


def _mean_fact(done: pd.DataFrame, name: str) -> float:
    """Mean over the cells that state it, rounded; NaN where none does."""
    values = [facts[name] for facts in done["facts"] if isinstance(facts.get(name), int | float)]
    return float(np.round(np.mean(values))) if values else np.nan


def _ranks(standing: pd.Series | None) -> str:
    """The simultaneous 95 % set of true ranks."""
    if standing is None or np.isnan(standing["set_low"]):
        return DASH
    return f"{standing['set_low']:.0f} to {standing['set_high']:.0f}"


def _probability(standing: pd.Series | None) -> str:
    return DASH if standing is None or np.isnan(standing["first"]) else f"{standing['first']:.2f}"
