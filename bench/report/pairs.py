"""What outcomes buy each other: on the terminal, as Markdown and CSV, and as maps. Tables in, tables out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from bench import store
from bench.report import markdown, notes, save, words
from bench.report.sheet import Block, Entry, Row, Sheet, verdict
from bench.report.terminal import Screen
from bench.report.words import DASH, fraction, percent
from bench.stats import PRIMARY
from bench.stats.pairs import OTHERS, Grouping, Pairs
from bench.store import Results

RELATED = {
    "phi": "Correlation of the labels (phi)",
    "affinity": "Gradient affinity: what a step for the column's outcome does to the row's loss",
}


@dataclass(frozen=True, eq=False)
class Matrix:
    """One method on one dataset. results: of all outcomes together. pairs: None where there is nothing to show, for this reason."""

    results: Results
    method: str
    pairs: Pairs | None
    reason: str = ""

    @property
    def name(self) -> str:
        return f"{self.results.dataset}, {self.method}"


@dataclass(frozen=True, eq=False)
class Matrices:
    """What a suite of pairs gives, to print and to write."""

    title: str
    each: tuple[Matrix, ...]

    @property
    def table(self) -> pd.DataFrame:
        """dataset, method, and the columns of `bench.stats.pairs.judged`; fractions."""
        known = [(one, one.pairs.table) for one in self.each if one.pairs is not None]
        tables = [table.assign(dataset=one.results.dataset, method=one.method) for one, table in known]
        return pd.concat([table[["dataset", "method", *known[0][1].columns]] for table in tables], ignore_index=True)

    def sheets(self) -> list[Sheet]:
        return [sheet(one, one.pairs) for one in self.each if one.pairs is not None]

    @property
    def missing(self) -> list[str]:
        return [f"Not judged: {one.reason}" for one in self.each if one.pairs is None]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        say = words.plain if options.ascii_only else words.clean
        yield Text(say(self.title), style="bold")
        for one in self.sheets():
            yield from (Text(""), Screen(one))
        yield from (Text(say(words.short(text)), style="bold yellow") for text in self.missing)


def write(made: Matrices, folder: Path) -> None:
    """pairs.md, pairs.csv and a figure each, whole or not at all; the same tables give the same bytes."""
    from bench.report import figures  # matplotlib
    from bench.report.figures import pairs

    text = "\n".join(
        [f"# {words.markdown(made.title)}\n", *map(markdown.render, made.sheets()), *map(words.markdown, made.missing)]
    )
    files: dict[str, str | bytes] = {"pairs.md": text.rstrip("\n") + "\n", "pairs.csv": _csv(made.table)}
    for one in made.each:
        if one.pairs is not None:
            page = figures.noted(pairs.matrix(one.pairs.table, one.pairs.tasks, one.name), notes.warnings(one.results))
            stem = f"pairs-{store.safe(one.results.dataset)}-{store.safe(one.method)}"
            formats = ("svg",) if one.results.quick else figures.FORMATS
            files |= {f"{stem}.{kind}": data for kind, data in figures.saved(page, formats).items()}
    save(folder, files)


def _csv(table: pd.DataFrame) -> str:
    """As fractions, ten significant digits; an empty field for NaN."""
    safe = table.copy()
    for column in ("dataset", "method", "target", "source", "reason"):
        safe[column] = [words.csv(text) for text in safe[column]]
    return safe.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def mark(row: Mapping[str, Any] | pd.Series) -> str:
    """▲ or ▼ where a gain is marked, by the rule of every table."""
    return verdict({"p_adjusted": row["p_adjusted"], "steady": row["steady"], "difference": row["gain"]})


# ---- the sheet


def sheet(one: Matrix, found: Pairs) -> Sheet:
    blocks = [_gains(found, metric) for metric in PRIMARY]
    blocks += [_related(found, name) for name in RELATED if found.table[name].notna().any()]
    return Sheet(
        one.name, notes.protocol(one.results), notes.warnings(one.results), tuple(blocks), _footnotes(found), _remarks(one, found)
    )


def _gains(found: Pairs, metric: str) -> Block:
    own = found.table[found.table["metric"] == metric]
    rows = {(row["target"], row["source"]): row for _, row in own.iterrows()}
    sources = [*found.tasks, *((OTHERS,) if OTHERS in set(own["source"]) else ())]
    columns = (("alone, %",), *((source,) for source in sources))
    lines = [
        Row(
            task,
            (_alone(own, task), *(_gain(rows.get((task, source))) for source in sources)),
            _numbers(own, task, _reasons(found)),
        )
        for task in found.tasks
    ]
    title = f"{notes.METRIC_NAMES[metric]}: points that the column's outcome buys the row's"
    return Block(title, columns, (("", tuple(lines)),))


def _alone(own: pd.DataFrame, task: str) -> Entry:
    return Entry(percent(float(own.loc[own["target"] == task, "alone"].iloc[0])))


def _gain(row: pd.Series | None) -> Entry:
    if row is None:
        return Entry("")
    if np.isnan(row["gain"]):
        return Entry(DASH)
    return Entry(points(row["gain"]), f" [{points(row['low'])}, {points(row['high'])}]", 0, mark(row))


def points(value: float) -> str:
    return DASH if np.isnan(value) else f"{100 * value:+z.2f}"


def _related(found: Pairs, name: str) -> Block:
    own = found.table[(found.table["metric"] == PRIMARY[0]) & (found.table["source"] != OTHERS)]
    values = {(row["target"], row["source"]): float(row[name]) for _, row in own.iterrows()}
    say = fraction if name == "phi" else lambda x: DASH if np.isnan(x) else f"{x:z.4f}"
    lines = [Row(a, tuple(Entry("" if a == b else say(values[a, b])) for b in found.tasks)) for a in found.tasks]
    return Block(RELATED[name], tuple((task,) for task in found.tasks), (("", tuple(lines)),))


# ---- words


def _reasons(found: Pairs) -> list[str]:
    return list(dict.fromkeys(text for text in found.table["reason"] if text))


def _numbers(own: pd.DataFrame, task: str, reasons: list[str]) -> tuple[int, ...]:
    """Of the footnotes of a row."""
    mine = set(own.loc[own["target"] == task, "reason"])
    return tuple(i for i, text in enumerate(reasons, 1) if text in mine)


def _footnotes(found: Pairs) -> tuple[str, ...]:
    return tuple(f"No gain, marked {DASH}: {words.short(text)}." for text in _reasons(found))


def _remarks(one: Matrix, found: Pairs) -> tuple[str, ...]:
    texts = [
        *(grouping(each) for each in found.groupings),
        _suggested(found),
        _approximation(found),
        _reading(one, found),
        _family(one, found),
        _detectable(found),
        _beside(found),
        *notes.outcomes(one.results),
    ]
    return tuple(text for text in texts if text)


def grouping(found: Grouping) -> str:
    """The suggestion, and what little it rests on."""
    name, share = notes.METRIC_NAMES[found.metric], f"{100 * found.share:.0f} %"
    if not found.inside:
        nothing = "every outcome alone, as in no pair the two gains add up to more than 0"
        return f"Suggestion by {name}: {nothing}; {share} of the resamples say the same."
    groups = "; ".join(" + ".join(group) + " alone" * (len(group) == 1) for group in found.groups)
    return (
        f"Suggestion by {name}, not a result: {groups}. Predicted {points(found.predicted)} points [{points(found.low)}, "
        f"{points(found.high)}], summed over outcomes. {found.marked} of the {found.inside} gains inside the groups "
        f"{'is' if found.marked == 1 else 'are'} marked ▲; {share} of the resamples give the same groups."
    )


def _suggested(found: Pairs) -> str:
    if not any(one.inside for one in found.groupings):
        return ""
    return (
        "Suggestions take what an outcome gains in a group as the mean of what its members buy it one by one (Standley et al., ICML 2020; "
        "Fifty et al., NeurIPS 2021) and merge greedily while the sum rises. They are chosen on the patients they are judged on, so that "
        "the prediction is too high, and by chance alone some pair's two gains add up to more than 0 nearly always: train the groups "
        "(--outcomes) before believing them."
    )


def _approximation(found: Pairs) -> str:
    """How far the approximation holds where it can be seen: for the group of all."""
    of_all = found.table[found.table["source"] == OTHERS].dropna(subset=["gain", "predicted"])
    if of_all.empty:
        return ""
    means = of_all.groupby("metric", sort=False)[["predicted", "gain"]].mean()
    told = " and ".join(
        f"{points(row['predicted'])} points of {notes.METRIC_NAMES[str(metric)]} (measured: {points(row['gain'])})"
        for metric, row in means.iterrows()
    )
    return f"How far the pairs tell of larger groups: for all {len(found.tasks)} together they predict a mean gain of {told}."


def _reading(one: Matrix, found: Pairs) -> str:
    others = f" All others: {one.method} of all {len(found.tasks)} outcomes." if len(found.tasks) > 2 else ""
    return (
        f"Gain: of {one.method} trained on the row's and the column's outcome, less {one.method} trained on the row's alone; the same "
        f"rows to train and test. In brackets: 95 % interval. ▲ ▼: adjusted p < .05.{others}"
    )


def _family(one: Matrix, found: Pairs) -> str:
    sizes = " and ".join(f"{n} gains in {notes.METRIC_NAMES[metric]}" for metric, n in found.family.items())
    steady = (
        " No ▲ ▼ either where the gain is under two standard errors of the corrected t over repeats and folds."
        if found.repeats > 1 and found.folds > 1
        else " With one repeat the luck of one training is part of every gain, and no interval knows of it."
    )
    outside = " All others stand outside of these families, without a mark." if len(found.tasks) > 2 else ""
    return (
        f"Paired bootstrap of patients within folds, {found.resamples:,} resamples, the same for all models; p adjusted by max-T "
        f"step-down (Romano-Wolf), a family a metric: {sizes}.{outside} {notes.conditional(one.results)}{steady}"
    )


def _detectable(found: Pairs) -> str:
    known = found.table[found.table["source"] != OTHERS].groupby("metric", sort=False)["detectable"].median().dropna()
    if known.empty:
        return ""
    sizes = " and ".join(f"{percent(size, 2)} points of {notes.METRIC_NAMES[str(metric)]}" for metric, size in known.items())
    return (
        f"No mark is no evidence of nothing: only a true gain of about {sizes} (median over pairs) or more would be found with 80 % "
        "power by a single test, and only a larger one after the adjustment."
    )


def _beside(found: Pairs) -> str:
    text = "Phi: over the rows where both labels are known."
    if found.table["affinity"].isna().all():
        return f"{text} No affinity: the model of all outcomes shows no network to step in."
    return (
        f"{text} Affinity: share of the row's loss that one gradient step for the column's outcome takes away, at the end of training, in "
        "the model of all outcomes, mean over cells (Fifty et al., eq. 1); it is measured on training rows and promises no gain."
    )
