"""A sheet on a terminal: as many columns as fit beside the names, the rest in further tables."""

from collections.abc import Callable

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from bench.report.sheet import Block, Entry, Row, Sheet
from bench.report.words import clean, plain

STYLES = {0: "", 1: "bold", 2: "underline"}
GAP = 2  # spaces after a column, and one that rich puts between two


class Screen:
    """What rich prints: `Console().print(Screen(sheet))`."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        say = plain if options.ascii_only else clean
        yield Text(say(self.sheet.title), style="bold")
        for warning in self.sheet.warnings:  # before any number, as in the files
            yield Text(say(warning), style="bold yellow")
        if self.sheet.protocol:
            yield Text(say(self.sheet.protocol))
        for text in self.sheet.plan:
            yield Text(say(text))
        for block in self.sheet.blocks:
            yield Text("")
            for part in fitting(block, options.max_width):
                yield _table(part, say)
        yield Text("")
        for number, text in enumerate(self.sheet.footnotes, 1):
            yield Text(say(f"[{number}] {text}"))
        for text in self.sheet.remarks:
            yield Text(say(text), style="dim")
        if self.sheet.notices:
            yield Text("What reading the cohort said: see index.html.", style="dim")
        for text in self.sheet.own:  # last, so that nobody has to look for it
            yield Text(say(text), style="bold")


def fitting(block: Block, width: int) -> list[Block]:
    """The block cut into parts that fit, each with the names in front; at least one column a part."""
    names = max([len(_name(row)) for row in block.rows()] + [len(family) for family, _ in block.groups], default=0)
    parts: list[list[int]] = [[]]
    left = width - names
    for i, lines in enumerate(block.columns):
        entries = [row.entries[i] for row in block.rows()]
        marks = max([len(entry.marks) for entry in entries], default=0)
        need = GAP + 1 + max([len(line) for line in lines] + [len(_flat(entry)) + bool(marks) + marks for entry in entries])
        if parts[-1] and need > left:
            parts.append([])
            left = width - names
        parts[-1].append(i)
        left -= need
    return [block.part(which) for which in parts]


def _name(row: Row) -> str:
    return row.name + (f" [{','.join(map(str, row.notes))}]" if row.notes else "")


def _flat(entry: Entry) -> str:
    return entry.value + entry.spread


def _table(block: Block, say: Callable[[str], str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=Text(say(block.title), style="bold"), title_justify="left", padding=(0, GAP, 0, 0))
    table.show_edge, table.pad_edge = False, False
    table.add_column("", overflow="fold")
    marks = [max([len(row.entries[i].marks) for row in block.rows()], default=0) for i in range(len(block.columns))]
    for lines in block.columns:
        table.add_column(Text(say_lines(lines, say)), justify="right", no_wrap=True)
    for family, rows in block.groups:
        if family:
            table.add_row(Text(say(family), style="italic"))
        for row in rows:
            table.add_row(Text(say(_name(row))), *(_text(e, w, say) for e, w in zip(row.entries, marks, strict=True)))
    if block.yardsticks:
        table.add_section()
    for row in block.yardsticks:
        table.add_row(Text(say(_name(row))), *(_text(e, w, say) for e, w in zip(row.entries, marks, strict=True)), style="dim")
    return table


def say_lines(lines: tuple[str, ...], say: Callable[[str], str]) -> str:
    """A heading of several lines, each cleaned by itself, without the empty ones at its end."""
    return "\n".join(say(line) for line in lines).rstrip("\n")


def _text(entry: Entry, marks: int, say: Callable[[str], str]) -> Text:
    """The value with its style, the spread dimmed, the marks in a column of their own."""
    text = Text(say(entry.value), style=STYLES[entry.rank])
    out = Text.assemble(text, (entry.spread if say is clean else plain(entry.spread), "dim"))
    return out.append(" " + say(entry.marks).ljust(marks)) if marks else out
