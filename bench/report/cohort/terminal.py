"""What is in a cohort, on a terminal of 100 columns: what `bench data check` prints."""

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations

import numpy as np
from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from bench.cohorts.alarm import Alarm
from bench.cohorts.summary import Summary
from bench.report.words import DASH, clean, number, percent, plain, short

VARIANTS = "Other definitions: judged too; to learn one, run --data FILE:variant=DEFINITION"
ABREAST = 12  # outcomes in the map of correlations
FEW = 50  # events: ten a fold of five


class Screen:
    """What rich prints: `Console().print(Screen(...))`. Names of the user's act as no markup."""

    def __init__(self, summary: Summary, stop: Sequence[Alarm], passed: Sequence[Alarm], notices: Sequence[str]) -> None:
        self.summary, self.stop, self.passed, self.notices = summary, stop, passed, notices

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        say = plain if options.ascii_only else clean
        s = self.summary
        groups = f", {s.groups:,} groups" if s.groups != s.patients else ""
        yield Text(
            say(
                f"{s.name}: {s.rows:,} rows, {s.patients:,} patients{groups}, {len(s.outcomes)} outcome{'s' * (len(s.outcomes) != 1)}"
            ),
            style="bold",
        )
        for make in (outcomes, variants, together, modalities, channels, columns, strongest):
            for table in make(s, say):
                yield Text("")
                yield Text(str(table.title), style="bold")
                table.title = None  # rich would break it to the width of a narrow table
                yield table
        for text in (*few(s), *self.notices):
            yield Text(say(f"note: {text}"))
        yield Text("")
        for alarm in self.passed:
            yield Text(say(f"let through: {alarm.text}"), style="yellow")
        for alarm in self.stop:
            yield Text(say(f"ALARM: {alarm.text}"), style="bold red")


def few(summary: Summary) -> list[str]:
    """What no method can be told apart on."""
    rare = summary.outcomes[summary.outcomes["events"] < FEW]
    named = ", ".join(f"{r['outcome']} ({r['events']})" for r in rare.to_dict("records"))
    return [f"too few events to tell methods apart, under 10 in each of 5 folds: {named}"] if named else []


def outcomes(s: Summary, say: Callable[[str], str]) -> Iterable[Table]:
    censored = bool(s.outcomes["weighted"].notna().any())
    heads = ["known", "events", "%", "95 % interval", *(["weighted, %"] if censored else [])]
    table = _table("Outcomes", "outcome", heads, say)
    for r in s.outcomes.to_dict("records"):
        cells = [
            number(r["known"]),
            number(r["events"]),
            percent(r["prevalence"]),
            f"{percent(r['low'])} to {percent(r['high'])}",
        ]
        about = "; ".join(text for text in (r["label"], r["competing"]) if text)
        table.add_row(
            Text(say(r["outcome"] + (f" ({about})" if about else ""))), *cells, *([percent(r["weighted"])] if censored else [])
        )
    yield table


def variants(s: Summary, say: Callable[[str], str]) -> Iterable[Table]:
    """Other definitions of the outcomes, by which what models predict is judged too."""
    if s.variants.empty:
        return
    censored = bool(s.variants["weighted"].notna().any())
    heads = ["known", "events", "%", *(["weighted, %"] if censored else []), "same label, %"]
    table = _table(VARIANTS, "definition", heads, say)
    for r in s.variants.to_dict("records"):
        shares = [r["prevalence"], *([r["weighted"]] if censored else []), r["same"]]
        table.add_row(Text(say(f"{r['outcome']}~{r['variant']}")), number(r["known"]), number(r["events"]), *map(percent, shares))
    yield table


def together(s: Summary, say: Callable[[str], str]) -> Iterable[Table]:
    """Correlations of labels; of many outcomes the strongest pairs."""
    names = s.outcomes["outcome"].tolist()
    if len(names) < 2:
        return
    if len(names) <= ABREAST:
        table = _table("Correlation of labels (phi)", "", [str(i + 1) for i in range(len(names))], say)
        for i, name in enumerate(names):
            table.add_row(Text(say(f"{i + 1} {name}")), *(_phi(s.phi[i, j]) if j != i else "" for j in range(len(names))))
    else:
        table = _table("Correlation of labels (phi), the strongest pairs", "outcome", ["with", "phi"], say)
        pairs = sorted(combinations(range(len(names)), 2), key=lambda pair: -abs(np.nan_to_num(s.phi[pair])))
        for i, j in pairs[:ABREAST]:
            table.add_row(Text(say(names[i])), Text(say(names[j])), _phi(s.phi[i, j]))
    yield table


def modalities(s: Summary, say: Callable[[str], str]) -> Iterable[Table]:
    table = _table("Modalities", "modality", ["kind", "rows with it", "%", "a row: median (quartiles)"], say)
    unit = {"text": "words", "series": "measurements"}
    for r in s.modalities.to_dict("records"):
        amount = (
            f"{number(r['events'])} {unit[r['kind']]} ({number(r['low'])} to {number(r['high'])})" if r["kind"] in unit else ""
        )
        table.add_row(Text(say(r["modality"])), r["kind"], number(r["rows"]), percent(r["share"]), amount)
    yield table


def channels(s: Summary, say: Callable[[str], str]) -> Iterable[Table]:
    if s.channels.empty:
        return
    table = _table("Channels of series", "channel", ["rows with it", "%", "a row, median"], say)
    for r in s.channels.to_dict("records"):
        unit = f", {r['unit']}" if r["unit"] else ""
        table.add_row(
            Text(say(f"{r['series']}.{r['channel']}{unit}")), number(r["rows"]), percent(r["share"]), number(r["events"])
        )
    yield table


def columns(s: Summary, say: Callable[[str], str]) -> Iterable[Table]:
    """As what every column is taken, and why."""
    if s.columns.empty:
        return
    table = _table("Columns", "column", ["taken as", "missing, %", "distinct", "why"], say)
    table.columns[1].justify = table.columns[4].justify = "left"
    table.columns[4].no_wrap = False
    for r in s.columns.to_dict("records"):
        distinct = number(float(r["distinct"])) if r["distinct"] >= 0 else ""
        missing = "" if np.isnan(r["missing"]) else percent(r["missing"])
        table.add_row(Text(say(r["column"])), r["kind"], missing, distinct, Text(say(short(r["why"], 120))))
    yield table


def strongest(s: Summary, say: Callable[[str], str]) -> Iterable[Table]:
    """Where a leak under the thresholds of the alarms would stand."""
    if s.strongest.empty:
        return
    table = _table("Strongest single features, AUROC", "outcome", ["column", "AUROC"], say)
    table.columns[1].justify, table.columns[1].no_wrap = "left", False
    last = ""
    for r in s.strongest.to_dict("records"):
        table.add_row(Text(say(r["outcome"]) if r["outcome"] != last else ""), Text(say(r["column"])), f"{r['auroc']:.3f}")
        last = r["outcome"]
    yield table


def _phi(value: float) -> str:
    return DASH if np.isnan(value) else f"{value:z.2f}"


def _table(title: str, first: str, heads: Sequence[str], say: Callable[[str], str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, padding=(0, 2, 0, 0))
    table.show_edge, table.pad_edge = False, False
    table.add_column(first, overflow="fold", max_width=48)
    for head in heads:
        table.add_column(Text(say(head)), justify="right", no_wrap=True, overflow="fold")
    return table
