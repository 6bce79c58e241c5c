"""Tables as CSV: the numbers as fractions, and the sheet as it is shown."""

import csv as writer
import io

import pandas as pd

from bench.report import words
from bench.report.sheet import Block, Entry, Sheet


def frame(table: pd.DataFrame) -> str:
    """Ten significant digits, an empty field for NaN, inf and -inf; names safe for a spreadsheet."""
    safe = table.copy()
    for column in ("method", "reference", "baseline", "task"):
        if column in safe:
            safe[column] = [words.csv(text) for text in safe[column]]
    return safe.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def csv(sheet: Sheet) -> str:
    """The sheet with a row a method and all its tables side by side, for a word processor or a spreadsheet."""
    out = io.StringIO()
    rows = writer.writer(out, lineterminator="\n")
    first = sheet.blocks[0]
    rows.writerow(["family", "method", *(_heading(block, lines) for block in sheet.blocks for lines in block.columns)])
    for family, of_family in first.groups:
        for row in of_family:
            entries = [entry for block in sheet.blocks for entry in _entries(block, row.name)]
            rows.writerow([words.csv(family), words.csv(row.name), *(_text(entry) for entry in entries)])
    return out.getvalue()


def _heading(block: Block, lines: tuple[str, ...]) -> str:
    return words.csv(f"{block.title}: {lines[0]}")


def _entries(block: Block, name: str) -> tuple[Entry, ...]:
    """Blanks for a method that the block does not have."""
    return next((row.entries for row in block.rows() if row.name == name), (Entry(""),) * len(block.columns))


def _text(entry: Entry) -> str:
    mark = {0: "", 1: " (best)", 2: " (second)"}[entry.rank]
    return f"{entry.value}{entry.spread}{mark}{' ' + entry.marks if entry.marks else ''}"
