"""A sheet as Markdown: GitHub tables, names as entities, underlining as <ins>."""

from bench.report.sheet import Block, Entry, Row, Sheet
from bench.report.words import markdown as say

COLUMNS = 7  # more than these beside the names are cut into tables of equal width


def render(sheet: Sheet) -> str:
    """The text of table.md."""
    lines = [f"## {say(sheet.title)}", ""]
    lines += [line for warning in sheet.warnings for line in (f"**{say(warning)}**", "")]
    lines += [say(sheet.protocol), ""] if sheet.protocol else []
    lines += [line for text in (*sheet.plan, *sheet.own) for line in (say(text), "")]
    for block in sheet.blocks:
        lines += [f"**{say(block.title)}**", ""]
        for part in block.parts(COLUMNS):
            lines += [*_table(part), ""]
    for number, text in enumerate(sheet.footnotes, 1):
        lines.append(f"- <sup>{number}</sup> {say(text)}")
    lines += [""] if sheet.footnotes else []
    lines += [f"- {say(text)}" for text in (*sheet.remarks, *sheet.notices)]
    return "\n".join(lines) + "\n"


def _table(block: Block) -> list[str]:
    headings = ["<br>".join(say(line) for line in lines if line) for lines in block.columns]
    lines = [_line(["", *headings]), _line(["---", *("---:" for _ in headings)])]
    for family, rows in block.groups:
        lines += [_line([f"_{say(family)}_", *("" for _ in headings)])] if family else []
        lines += [_row(row) for row in rows]
    return lines + [_row(row) for row in block.yardsticks]


def _row(row: Row) -> str:
    notes = f"<sup>{','.join(str(n) for n in row.notes)}</sup>" if row.notes else ""
    return _line([say(row.name) + notes, *(_entry(entry) for entry in row.entries)])


def _entry(entry: Entry) -> str:
    value = {0: "{}", 1: "**{}**", 2: "<ins>{}</ins>"}[entry.rank].format(say(entry.value))
    spread = f" {say(entry.spread.strip())}" if entry.spread else ""
    return value + spread + (f" <sup>{entry.marks}</sup>" if entry.marks else "")


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
