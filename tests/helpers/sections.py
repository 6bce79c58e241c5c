"""Reading Markdown in tests: headings, sections and tables."""

import re


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.*)$", text, re.MULTILINE)


def part(text: str, number: str) -> str:
    """The text under one heading."""
    return text.split(f"\n## {number} ")[1].split("\n## ")[0]


def tables(text: str) -> list[dict[str, list[str]]]:
    """The rows of each table by their first cell, its head under its first title."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    rows = [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith("| ---")]
        for lines in blocks
    ]
    return [{row[0]: row[1:] for row in block} for block in rows]
