"""Leaderboards from published results alone: a table a dataset, mean ranks across, and questions asked of pairs of methods."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import stats
from bench.core import BenchError
from bench.report import Settings, across, ledger, markdown, notes, sheet
from bench.report.sheet import Block, Entry, Row, Sheet
from bench.report.words import DASH, percent
from bench.stats import MEAN, PRIMARY, Scoring, comparing
from bench.stats.decisions import UNDECIDED
from bench.store import Results

FOR, AGAINST = ("superior", "ahead"), ("inferior", "behind")
HEAD = """# Leaderboard

Made by `bench results leaderboard --out bench/docs/leaderboard.md` from the files in `results/published` alone; numbers here are never typed.
The same methods, splits and predictions are what `bench run --against published` compares a new method with: see [Published results](published.md).

Mean over outcomes of AUROC and average precision (AP), in percent, each with its 95 % interval of a paired bootstrap of patients; best AUROC first.
**Bold**: best, underlined: second; ≈: not distinguishable from the best; ▲ ▼: better or worse than `single_task` after a correction for all comparisons
of the dataset. Seconds: training of one repeat, on one core of the machine named below, which did other work meanwhile: compare roughly. The defaults of the
networks and trees were chosen by reading SUPPORT2's test folds, so that their numbers there are a little optimistic. Defaults of every method; of a name that ends with `@tune20` the
settings were searched in every training fold by 20 trials, whose seconds count.
"""


@dataclass(frozen=True)
class Question:
    """What is asked of pairs of methods. text: what a paper claims, and what else is known."""

    title: str
    text: str
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Judged:
    """A dataset. answers: a, b, metric, difference, low, high, verdict, of the mean over outcomes, see `bench.stats.comparing`."""

    results: Results
    scoring: Scoring
    answers: pd.DataFrame


def questions(path: Path) -> tuple[Question, ...]:
    """None where there is no such file. BenchError where it is no list of questions."""
    if not path.is_file():
        return ()
    try:
        found = tomllib.loads(path.read_text("utf-8"))["question"]
        return tuple(Question(one["title"], one["text"], tuple((a, b) for a, b in one["pairs"])) for one in found)
    except (KeyError, TypeError, ValueError) as error:
        raise BenchError(f"{path} must hold [[question]] tables with title, text and pairs of methods: {error}") from error


def judged(results: Results, asked: Sequence[Question], how: Settings) -> Judged:
    """All numbers of a dataset, on one set of resamples."""
    resamples = how.drawn(results.quick)
    evidence = stats.gather(
        results.predictions, results.cohort, [task.name for task in results.tasks], results.methods, results.reference,
        families=results.groups, resamples=resamples, seed=how.seed,
    )  # fmt: skip
    scoring = stats.score(evidence, resamples=resamples)
    rows: list[dict[str, Any]] = []
    for a, b in dict.fromkeys(pair for question in asked for pair in question.pairs):
        if evidence is None or not {a, b} <= set(evidence.methods):
            continue
        for metric in PRIMARY:
            last = comparing.compare(evidence, a, b, metric).table.iloc[-1]
            numbers = {name: last[name] for name in ("difference", "low", "high", "verdict")}
            rows.append({"a": a, "b": b, "metric": metric, **numbers})
    return Judged(results, scoring, pd.DataFrame(rows, columns=["a", "b", "metric", "difference", "low", "high", "verdict"]))


def page(found: Sequence[Judged], asked: Sequence[Question]) -> str:
    """The whole page as Markdown."""
    real = [one for one in found if not one.results.note]
    ranked = (
        real if len(real) > 1 else found
    )  # synthetic patients are no evidence: they are ranked only where there is nothing else
    parts, tables = [HEAD], {one.results.dataset: table(one) for one in found}
    if len(ranked) > 1:
        warnings = tuple(
            dict.fromkeys(f"{one.results.dataset}: {text}" for one in ranked for text in notes.warnings(one.results))
        )
        beside, ranks = across.built({one.results.dataset: one.scoring for one in ranked}, warnings)
        parts += [
            overview(found, tables, ranks, [one.results.dataset for one in ranked]),
            *map(markdown.render, tables.values()),
            markdown.render(beside),
        ]
    else:
        parts += map(markdown.render, tables.values())
    if asked:
        parts.append(
            "## What these predictions say about the papers' claims\n\nEvery line is one comparison of two methods on the same patients, splits "
            "and resamples: the difference of the means over outcomes in points, its 95 % interval, unadjusted, and the verdict of `bench compare`. "
            "_Better_ and _worse_ hold for these predictions and for the training procedure (corrected t over repeats and folds), _ahead_ and "
            "_behind_ for these predictions alone. In twenty comparisons one is expected to be ahead or behind by chance.\n"
        )
        parts += [answered(one, found) for one in asked]
    return "\n".join(parts)


def overview(found: Sequence[Judged], made: Mapping[str, Sheet], ranks: pd.DataFrame, datasets: Sequence[str]) -> str:
    """All datasets in one table, the best mean rank of AUROC first; methods that are not ranked in all of them last, by AUROC. Those
    that every dataset declined are left out. made: each dataset's own table. ranks: of these datasets, see `bench.stats.across.ranks`.
    """
    place = ranks[ranks["metric"] == PRIMARY[0]].set_index("method")
    found = sorted(found, key=lambda one: (bool(one.results.note), -len(one.results.tasks)))
    tables = [{row.name: row.entries[1:3] for row in made[one.results.dataset].blocks[0].rows()} for one in found]
    scored = {m for one in found for m in one.scoring.scores.dropna(subset="value")["method"]}
    rest = [m for each in tables for m in each if m not in place.index and m in scored]
    rows: list[Row] = []
    for method in dict.fromkeys([*place.index, *rest]):
        said = DASH
        if method in place.index:
            own = place.loc[method]
            said = f"{own['mean_rank']:.1f} ({own['set_low']:.1f}, {own['set_high']:.1f})"
        cells = [entry for each in tables for entry in each.get(method, (Entry(DASH), Entry(DASH)))]
        rows.append(Row(method, (Entry(said), *cells)))
    columns = [("mean rank,", "AUROC")]
    for one in found:
        columns += [(one.results.dataset, *(("(synthetic)",) if one.results.note else ()), "AUROC, %"), ("", "AP, %")]
    ranked = f"mean rank, 1 is best, over {' and '.join(one.results.dataset for one in found if one.results.dataset in datasets)}"
    sheet = Sheet(
        "All datasets", "", (), (Block(f"95 % intervals in brackets; {ranked}", tuple(columns), (("", tuple(rows)),)),), (), ()
    )
    return markdown.render(sheet)


def table(one: Judged) -> Sheet:
    """Best AUROC first, methods without a number last."""
    whole = sheet.build(one.results, one.scoring, "clinical")
    by = [{row.name: row for row in block.part([at]).rows()} for block, at in zip(whole.blocks, (0, 0, 0), strict=True)]
    scores = one.scoring.scores
    value = scores[(scores["task"] == MEAN) & (scores["metric"] == PRIMARY[0])].set_index("method")["value"]
    order = sorted(one.results.methods, key=lambda method: (-float(value.get(method, -1.0)), method))
    repeats = int(str(one.results.protocol["repeats"]))
    cells = one.results.cells[one.results.cells["status"] == "done"]
    spent = cells["seconds"] + [np.nan_to_num(ledger.trials(facts)["tuning"]) for facts in cells["facts"]]
    seconds = spent.groupby(cells["method"]).sum() / repeats
    rows = tuple(
        Row(
            method,
            (
                Entry(one.results.groups.get(method, "")),
                *by[0][method].entries,
                *by[1][method].entries,
                Entry(_seconds(seconds.get(method))),
            ),
            by[0][method].notes,
        )
        for method in order
    )
    columns = (("family",), ("AUROC, %",), ("AP, %",), ("seconds",))
    events = ", ".join(f"{row['task']} {row['events']:,}" for _, row in one.scoring.outcomes.iterrows())
    return Sheet(
        title=one.results.dataset, protocol=f"{notes.protocol(one.results)}; events: {events}", warnings=whole.warnings,
        blocks=(Block(f"{len(one.results.cohort):,} rows, {len(one.results.tasks)} outcomes", columns, (("", rows),)),),
        footnotes=whole.footnotes, remarks=(),
    )  # fmt: skip


def _seconds(value: float | None) -> str:
    return DASH if value is None else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def answered(question: Question, found: Sequence[Judged]) -> str:
    """A question with its table and the sum of its answers."""
    lines = [f"### {question.title}", "", question.text.strip(), "", *_answers(question, found), ""]
    return "\n".join([*lines, *(f"- {text}" for text in _sums(question, found)), ""])


def _of(question: Question, found: Sequence[Judged]) -> Iterator[tuple[Judged, tuple[str, str], Mapping[str, pd.Series]]]:
    for pair in question.pairs:
        for one in found:
            own = one.answers[(one.answers["a"] == pair[0]) & (one.answers["b"] == pair[1])]
            if len(own):
                yield one, pair, {str(row["metric"]): row for _, row in own.iterrows()}


def _answers(question: Question, found: Sequence[Judged]) -> list[str]:
    lines = ["| | | AUROC, points | | AP, points | |", "| --- | --- | ---: | --- | ---: | --- |"]
    for one, (a, b), rows in _of(question, found):
        cells = [cell for metric in PRIMARY for cell in (_difference(rows[metric]), _word(rows[metric]))]
        lines.append(f"| `{a}` - `{b}` | {one.results.dataset} | {' | '.join(cells)} |")
    return lines


def _difference(row: pd.Series) -> str:
    return (
        DASH if not row["verdict"] else f"{100 * row['difference']:+.2f} ({percent(row['low'], 2)} to {percent(row['high'], 2)})"
    )


def _word(row: pd.Series) -> str:
    verdict = str(row["verdict"])
    return {"superior": "better", "inferior": "worse", UNDECIDED: "no difference shown"}.get(verdict, verdict)


def _sums(question: Question, found: Sequence[Judged]) -> Iterator[str]:
    """How many comparisons speak for the method that a paper proposes, against it, or not at all. Synthetic cohorts do not count."""
    answers = list(_of(question, found))
    for a in dict.fromkeys(a for a, _ in question.pairs):
        for metric in PRIMARY:
            given = [str(rows[metric]["verdict"]) for one, pair, rows in answers if pair[0] == a and not one.results.note]
            if len(given) < 2:
                continue
            counts = {name: sum(word in words for word in given) for name, words in (("for", FOR), ("against", AGAINST))}
            better, worse = given.count("superior"), given.count("inferior")
            yield (
                f"{notes.METRIC_NAMES[metric]}, {len(given)} comparisons of `{a}` on patients: {counts['for']} in its favour ({better} of them also for another "
                f"training), {counts['against']} against it ({worse}), {len(given) - sum(counts.values())} without a difference."
            )
