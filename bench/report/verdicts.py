"""The verdicts on a suite's claims: on the terminal, as Markdown and CSV, and as a figure. Tables in, tables out."""

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.text import Text

from bench.report import save, words
from bench.report.words import DASH

Row: TypeAlias = dict[str, Any]  # of the table of `bench.claims.judge`

UNITS = {"points": "points of AP or AUROC", "ratio": "ratio", "value": "in the quantity's own units"}
HEADINGS = ("verdict", "patients", "effect, 95 % interval", "claimed", "power", "p")
RULES = (
    "Effect: mean over draws of the method's score less that of its best rival in the same draw, turned so that the claimed way is up; "
    "AP and AUROC in points, ratios as x1.5. Interval: t over draws, the only unit. p: two-sided, adjusted by Holm over the claims.",
    "Reproduced: low end above 0, high end at or above the claimed effect, adjusted p < .05. Refuted: high end of the interval below "
    "half of it, whatever p. Inconclusive: else. A claim without a size is of direction only. Power: chance that the low end is above 0 "
    "if the effect is as claimed.",
    "A null is where the effect should not be, or a control. Absent: high end below half of the effect. Present: low end above 0. "
    "Undecided: else.",
)
EACH = (
    "In small print: what was compared, with the mean difference to every rival by itself, by which score and on which patients."
)


@dataclass(frozen=True, eq=False)
class Verdicts:
    """table: of `bench.claims.judge`. warnings: to be seen first."""

    title: str
    table: pd.DataFrame
    warnings: tuple[str, ...]

    @property
    def tally(self) -> str:
        claims, nulls = (self.table[self.table["kind"] == kind] for kind in ("claim", "null"))
        counts = claims["verdict"].value_counts()
        order = [v for v in ("reproduced", "refuted", "inconclusive", "not run") if v in counts]
        right = int((nulls["verdict"] == nulls["expected"]).sum())
        text = f"{len(claims)} claim{'s' * (len(claims) != 1)}: {', '.join(f'{counts[v]} {v}' for v in order)}"
        return text + (f"; {right} of {len(nulls)} nulls as they should be." if len(nulls) else ".")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The words of a claim over its numbers: words wrap at any width, numbers stand below each other."""
        say = words.plain if options.ascii_only else words.clean
        yield Text(say(self.title), style="bold")
        for warning in self.warnings:
            yield Text(say(warning), style="bold yellow")
        rows = _rows(self.table)
        widths = [max(map(len, column)) for column in zip(HEADINGS, *map(_cells, rows), strict=True)]
        for paper, entries in _papers(rows):
            yield from (Text(""), Text(say(paper), style="bold"), Text(_aligned(HEADINGS, widths), style="dim"))
            for row, first in ((row, row is entry[0]) for entry in entries for row in entry):
                yield from [Text.assemble((say(_name(row)), "bold"), f": {say(row['text'])}")] if first else []
                yield Text(_aligned([say(cell) for cell in _cells(row)], widths))
                yield from [Padding(Text(say(words.short(row["reason"])), style="dim"), (0, 0, 0, 2))] if row["reason"] else []
        yield from (Text(""), Text(say(self.tally), style="bold"))
        yield from (Text(say(text), style="dim") for text in RULES)


def write(verdicts: Verdicts, folder: Path) -> None:
    """claims.md, claims.csv, claims.png and claims.svg, each whole or not at all; the same table gives the same bytes."""
    save(folder, {"claims.md": _markdown(verdicts), "claims.csv": _csv(verdicts.table), **_figures(verdicts)})


# ---- words


def _rows(table: pd.DataFrame) -> list[Row]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _papers(rows: Sequence[Row]) -> list[tuple[str, list[list[Row]]]]:
    """Paper by paper its claims and nulls, each with its sizes; a null belongs to the paper of its claim."""
    papers = {row["name"]: row["paper"] for row in rows}
    by_paper = groupby(rows, lambda row: papers[row["of"] or row["name"]])
    return [(paper, [list(sizes) for _, sizes in groupby(group, lambda row: row["name"])]) for paper, group in by_paper]


def _name(row: Row) -> str:
    return f"null {row['name']}, should be {row['expected']}" if row["of"] else row["name"]


def _cells(row: Row) -> tuple[str, ...]:
    """In the order of the headings."""
    say = _number(row["unit"])
    claimed = say(row["claimed"]) if row["claimed"] else DASH
    power = DASH if math.isnan(row["power"]) else f"{row['power']:.2f}"
    return row["verdict"], str(row["train"]), _effect(row), claimed, power, _p(row["p_holm"])


def _effect(row: Row) -> str:
    say = _number(row["unit"])
    return DASH if math.isnan(row["effect"]) else f"{say(row['effect'])} [{say(row['low'])}, {say(row['high'])}]"


def _number(unit: str) -> Callable[[float], str]:
    """Of points two decimals, of a ratio (given as its log) three digits, of others three decimals."""
    if unit == "ratio":
        return lambda x: f"x{math.exp(x):.{max(0, 2 - math.floor(x / math.log(10)))}f}"
    return (lambda x: f"{100 * x:+z.2f}") if unit == "points" else lambda x: f"{x:+z.3f}"


def _p(p: float) -> str:
    if math.isnan(p):
        return DASH
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 1 else "1"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  " + first[0].ljust(first[1]) + "".join("  " + cell.rjust(width) for cell, width in others)


# ---- files


def _markdown(verdicts: Verdicts) -> str:
    """A table a paper. Three columns and small print fit a page of GitHub; no number there breaks over lines."""
    say = words.markdown
    lines = [f"## {say(verdicts.title)}", "", *(line for w in verdicts.warnings for line in (f"**{say(w)}**", ""))]
    lines += [f"**{say(verdicts.tally)}**", ""]
    for paper, entries in _papers(_rows(verdicts.table)):
        lines += [f"**{say(paper)}**", "", "| claim | effect, 95 % interval | verdict |", "| --- | ---: | --- |"]
        lines += [*(_line(row, row is entry[0]) for entry in entries for row in entry), ""]
    return "\n".join([*lines, *(f"- {say(text)}" for text in (*_reasons(verdicts.table), *RULES, EACH))]) + "\n"


def _line(row: Row, first: bool) -> str:
    """first: of the sizes of a claim, whose words are not said again for the others."""
    say = words.markdown
    verdict, patients, effect, *others = (say(cell).replace(" ", "&nbsp;") for cell in _cells(row))
    about = f"{'null: ' if row['of'] else ''}{say(row['text'])}" if first else f"the same with {patients} patients"
    small = ", ".join(f"{name}&nbsp;{value}" for name, value in zip(HEADINGS[3:], others, strict=True) if value != DASH)
    off = row["of"] and row["verdict"] not in (row["expected"], "not run")
    compared = _compared(row) if first or len(row["each"]) > 1 else ""
    cells = (_over(about, compared), _over(effect, small), _over(f"**{verdict}**", f"should be {row['expected']}" if off else ""))
    return f"| {' | '.join(cells)} |"


def _over(text: str, small: str) -> str:
    return f"{text}<br><sub>{small}</sub>" if small else text


def _compared(row: Row) -> str:
    """orthtd over mmoe +1.20, ple +0.30; ... One rival's difference is the effect, which stands beside it."""
    say, number = words.markdown, _number(row["unit"])
    each = [f"{say(rival)}&nbsp;{number(d)}" for rival, d in row["each"]] if len(row["each"]) > 1 else [say(row["against"])]
    where = f"{row['metric']} on {row['dataset']}, n"
    return f"{say(row['name'])}: {say(row['method'])} over {', '.join(each)}; {say(where)}&nbsp;{say(row['train'])}"


def _reasons(table: pd.DataFrame) -> list[str]:
    return [f"Not run: {row['name']}: {words.short(row['reason'])}." for row in _rows(table) if row["reason"]]


def _csv(table: pd.DataFrame) -> str:
    """As fractions and logs, ten significant digits; an empty field for NaN."""
    safe = table.assign(each=["; ".join(f"{rival} {d:.10g}" for rival, d in each) for each in table["each"]])
    for column in safe.select_dtypes(exclude="number"):
        safe[column] = [words.csv(str(text)) for text in safe[column]]
    return safe.to_csv(index=False, float_format="%.10g", lineterminator="\n")


# ---- the figure

# Okabe and Ito's colours, told apart by colour-blind readers as well; the verdict stands beside each line in words.
COLOURS = {
    "reproduced": "#0072b2",
    "refuted": "#d55e00",
    "null as it should be": "#000000",
    "null not as it should be": "#cc79a7",
}
OTHER = {"inconclusive, undecided": "#888888"}
CLAIMED: dict[str, Any] = {"color": "black", "marker": "D", "markersize": 4, "markerfacecolor": "none", "linestyle": ""}
HALF: dict[str, Any] = {"color": "black", "marker": "|", "markersize": 8, "linestyle": ""}


def _figures(verdicts: Verdicts) -> dict[str, bytes]:
    """A forest plot: a panel per paper and unit, a line per claim or null; the claimed effect as a diamond, half of it as a tick."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = _panels(_rows(verdicts.table))
    out: dict[str, bytes] = {}
    with mpl.rc_context({"svg.hashsalt": "bench", "svg.fonttype": "path", "font.family": "DejaVu Sans", "font.size": 8}):
        heights = [len(rows) + 0.5 for _, _, rows in panels]
        figure = Figure(figsize=(9, 0.2 * sum(heights) + 0.4 * len(panels) + 1.4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
        for axis, (heading, unit, rows) in zip(axes, panels, strict=True):
            axis.set_title(words.clean(heading), loc="left", fontsize=8, fontweight="bold")
            _panel(axis, unit, rows)
        figure.suptitle(
            "\n".join(line for text in (verdicts.title, *verdicts.warnings) for line in textwrap.wrap(words.clean(text), 120)),
            fontsize=8,
        )
        _legend(figure, _rows(verdicts.table))
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
            out[f"claims.{kind}"] = buffer.getvalue()
    return out


def _panels(rows: Sequence[Row]) -> list[tuple[str, str, list[Row]]]:
    """(heading, unit, rows). Every paper has scales of its own: a large effect of one must not press another's flat."""
    panels: list[tuple[str, str, list[Row]]] = []
    for paper, entries in _papers(rows):
        by_unit = [(unit, [row for entry in entries for row in entry if row["unit"] == unit]) for unit in UNITS]
        met = [(unit, own) for unit, own in by_unit if own]
        panels += [("" if i else paper, unit, own) for i, (unit, own) in enumerate(met)]
    return panels


def _panel(axis: Any, unit: str, rows: Sequence[Row]) -> None:
    scales: dict[str, Callable[[float], float]] = {"points": lambda x: 100 * x, "ratio": math.exp}
    scale = scales.get(unit, float)
    for y, row in enumerate(rows):
        colour = (COLOURS | OTHER)[_outcome(row)]
        axis.plot([scale(row["low"]), scale(row["high"])], [y, y], color=colour, linewidth=1.4)
        axis.plot(scale(row["effect"]), y, "o", color=colour, markersize=4.5, markerfacecolor="white" if row["of"] else colour)
        if row["claimed"]:
            axis.plot(scale(row["claimed"]), y, **CLAIMED)
            axis.plot(scale(row["claimed"] / 2), y, **HALF)
    axis.grid(axis="y", color="#dddddd", linewidth=0.4)
    axis.set_axisbelow(True)
    axis.axvline(scale(0.0), color="black", linewidth=0.6, zorder=0)
    if unit == "ratio":
        _plain_log(axis)
    axis.set_yticks(
        range(len(rows)), [words.clean(f"{'null ' if row['of'] else ''}{row['name']}, n {row['train']}") for row in rows]
    )
    axis.set_ylim(len(rows) - 0.4, -0.6)
    told = axis.secondary_yaxis("right")
    told.set_yticks(range(len(rows)), [f"{_effect(row)}   {row['verdict']}" for row in rows])
    axis.set_xlabel(f"effect, {UNITS[unit]}")
    for side in (axis, told):
        side.tick_params(axis="y", length=0)
        side.spines[["top", "right", "left"]].set_visible(False)


def _outcome(row: Row) -> str:
    """Which colour a row has."""
    if row["of"] and row["verdict"] != "undecided":
        return f"null {'' if row['verdict'] == row['expected'] else 'not '}as it should be"
    return row["verdict"] if row["verdict"] in COLOURS else next(iter(OTHER))


def _plain_log(axis: Any) -> None:
    """A log axis with ticks a reader can read: x1, x2, x5, x10; powers of 10 where it is long, as on a linear axis where it is short."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axis.set_xscale("log")
    low, high = axis.get_xlim()
    subs = (1, 2, 5) if high / low < 200 else (1,)
    axis.xaxis.set_major_locator(LogLocator(subs=subs) if high / low > 4 else MaxNLocator(6))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"x{x:g}"))


def _legend(figure: Any, rows: Sequence[Row]) -> None:
    """The outcomes that occur, and the marks of a claimed size."""
    from matplotlib.lines import Line2D

    met = {_outcome(row) for row in rows if not math.isnan(row["effect"])}
    entries = [
        Line2D(
            [], [], color=colour, marker="o", markersize=4.5, markerfacecolor="white" if "null" in name else colour, label=name
        )
        for name, colour in (COLOURS | OTHER).items()
        if name in met
    ]
    entries += [Line2D([], [], **CLAIMED, label="size claimed"), Line2D([], [], **HALF, label="half of it")]
    figure.legend(handles=entries, loc="outside lower center", ncols=4, frameon=False)
