"""The verdicts on a suite's claims: on the terminal, as Markdown and CSV, and as a figure. Tables in, tables out."""

import io
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from bench.core import BenchError
from bench.report import words
from bench.report.words import DASH

UNITS = {"points": "points of AP or AUROC", "ratio": "ratio", "value": "the fact's own units"}
COLOURS = {"reproduced": "#1b7837", "refuted": "#b2182b", "absent": "#4d4d4d", "present": "#e08214"}
OTHER = "#878787"
HEADINGS = ("claim", "patients", "effect, 95 % interval", "claimed", "power", "p", "verdict")
RULES = (
    "Effect: mean over draws of the method's score less that of its best rival in the same draw, turned so that the claimed way is up; "
    "AP and AUROC in points, ratios as x1.5. Interval: t over draws, the only unit. p: two-sided, adjusted by Holm over the claims.",
    "Reproduced: low end above 0, high end at or above the claimed effect, adjusted p < .05. Refuted: high end below half of it. "
    "Inconclusive: else. Claims without a size are of direction only. Power: chance that the low end is above 0 if the effect is as claimed.",
    "A null is where the effect should not be, or a control. Absent: high end below half of the effect. Present: low end above 0. "
    "Undecided: else.",
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
        text = f"{len(claims)} claims: {', '.join(f'{counts[v]} {v}' for v in order)}"
        return text + (f"; {right} of {len(nulls)} nulls as they should be." if len(nulls) else ".")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        say = words.plain if options.ascii_only else words.clean
        yield Text(say(self.title), style="bold")
        for warning in self.warnings:
            yield Text(say(warning), style="bold yellow")
        grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for i, heading in enumerate(HEADINGS):
            grid.add_column(Text(say(heading)), justify="right" if 0 < i < 6 else "left", overflow="fold", no_wrap=1 < i < 6)
        for row in _rows(self.table):
            grid.add_row(*(Text(say(text)) for text in (_name(row), *_cells(row))))
        yield grid
        yield Text(say(self.tally), style="bold")
        told = {_name(row): row["text"] for row in _rows(self.table)}
        for text in (*_reasons(self.table), *(f"{name}: {text}." for name, text in told.items()), *RULES):
            yield Text(say(text), style="dim")


def write(verdicts: Verdicts, folder: Path) -> None:
    """claims.md, claims.csv, claims.png and claims.svg, each whole or not at all; the same table gives the same bytes."""
    files = {"claims.md": _markdown(verdicts).encode(), "claims.csv": _csv(verdicts.table).encode(), **_figures(verdicts)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            aside = folder / f".{name}.{os.getpid()}"
            aside.write_bytes(data)
            os.replace(aside, folder / name)
    except OSError as error:
        raise BenchError(f"cannot write to the reports folder: {error}. The results are stored: run the suite again.") from error


# ---- words


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.to_dict("records")  # pyright: ignore[reportReturnType] - keys are column names


def _name(row: dict[str, Any]) -> str:
    return f"{'null ' if row['of'] else ''}{row['name']}"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    """What stands in a row after its name, in the order of the headings."""
    say = _number(row["unit"])
    effect = f"{say(row['effect'])} [{say(row['low'])}, {say(row['high'])}]" if not math.isnan(row["effect"]) else DASH
    power = DASH if math.isnan(row["power"]) else f"{row['power']:.2f}"
    claimed = say(row["claimed"]) if row["claimed"] else "direction"
    return str(row["train"]), effect, claimed, power, _p(row["p_holm"]), _verdict(row)


def _number(unit: str) -> Callable[[float], str]:
    if unit == "points":
        return lambda x: f"{100 * x:+.2f}"
    return (lambda x: f"x{math.exp(x):.2f}") if unit == "ratio" else lambda x: f"{x:+.3f}"


def _p(p: float) -> str:
    if math.isnan(p):
        return DASH
    return "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def _verdict(row: dict[str, Any]) -> str:
    if not row["expected"] or row["verdict"] == "not run":
        return row["verdict"]
    return f"{row['verdict']}, {'as it should be' if row['verdict'] == row['expected'] else 'should be ' + row['expected']}"


def _reasons(table: pd.DataFrame) -> list[str]:
    return [f"Not run: {row['name']}: {words.short(row['reason'])}." for row in _rows(table) if row["reason"]]


def _markdown(verdicts: Verdicts) -> str:
    say = words.markdown
    lines = [f"## {say(verdicts.title)}", "", *(line for w in verdicts.warnings for line in (f"**{say(w)}**", ""))]
    lines += [f"**{say(verdicts.tally)}**", ""]
    lines += [_line(say(h) for h in HEADINGS), _line(["---", *["---:"] * 5, "---"])]
    for row in _rows(verdicts.table):
        where = f"{row['method']} against {row['against']} on {row['dataset']}, {row['metric']}"
        heading = f"_{say(row['paper'])}_<br>" if row["paper"] else "null: "
        first = f"{heading}{say(row['text'])}<br><sub>{say(row['name'])}: {say(where)}</sub>"
        *cells, verdict = (say(text) for text in _cells(row))
        lines.append(_line([first, *cells, f"**{verdict}**"]))
    return "\n".join([*lines, "", *(f"- {say(text)}" for text in (*_reasons(verdicts.table), *RULES))]) + "\n"


def _line(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def _csv(table: pd.DataFrame) -> str:
    """As fractions and logs, ten significant digits; an empty field for NaN."""
    safe = table.copy()
    for column in safe.select_dtypes(exclude="number"):
        safe[column] = [words.csv(str(text)) for text in safe[column]]
    return safe.to_csv(index=False, float_format="%.10g", lineterminator="\n")


# ---- the figure


def _figures(verdicts: Verdicts) -> dict[str, bytes]:
    """A forest plot: a panel per unit, a line per claim or null; the claimed effect as a diamond, half of it as a tick."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [row for row in _rows(verdicts.table) if not math.isnan(row["effect"])]
    panels = [(unit, [row for row in shown if row["unit"] == unit]) for unit in UNITS]
    panels = [(unit, rows) for unit, rows in panels if rows] or [("points", [])]
    out: dict[str, bytes] = {}
    with mpl.rc_context({"svg.hashsalt": "bench", "svg.fonttype": "path", "font.family": "DejaVu Sans", "font.size": 8}):
        heights = [len(rows) + 2 for _, rows in panels]
        figure = Figure(figsize=(9, 0.26 * sum(heights) + 1.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
        for axis, (unit, rows) in zip(axes, panels, strict=True):
            _panel(axis, unit, rows)
        figure.suptitle(" ".join([verdicts.title, *(f"({w.rstrip('.')})" for w in verdicts.warnings)]), fontsize=8, wrap=True)
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
            out[f"claims.{kind}"] = buffer.getvalue()
    return out


def _panel(axis: Any, unit: str, rows: Sequence[dict[str, Any]]) -> None:
    scale: Callable[[float], float] = {"points": lambda x: 100 * x, "ratio": math.exp}.get(unit, float)  # pyright: ignore[reportAssignmentType]
    for y, row in enumerate(rows):
        colour = COLOURS.get(row["verdict"], OTHER)
        low, middle, high, claimed, half = (
            scale(x) for x in (row["low"], row["effect"], row["high"], row["claimed"], row["claimed"] / 2)
        )
        axis.plot([low, high], [y, y], color=colour, linewidth=1.4)
        axis.plot(middle, y, "o", color=colour, markersize=4.5, markerfacecolor="white" if row["of"] else colour)
        if row["claimed"]:
            axis.plot(claimed, y, "D", color="black", markersize=4, markerfacecolor="none")
            axis.plot(half, y, "|", color="black", markersize=8)
    if unit == "ratio":
        axis.set_xscale("log")
    axis.axvline(scale(0.0), color="black", linewidth=0.6)
    axis.set_yticks(range(len(rows)), [_tick(row) for row in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlabel(f"effect, {UNITS[unit]} (hollow: null; diamond: claimed; tick: half of it)")
    axis.spines[["top", "right"]].set_visible(False)


def _tick(row: dict[str, Any]) -> str:
    return words.clean(f"{_name(row)}, n {row['train']}: {row['verdict']}")
