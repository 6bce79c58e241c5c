"""What a results folder holds, as rows for a terminal or for a program."""

import time
from collections.abc import Callable
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from bench.report.words import clean, plain
from bench.store import Contents, size, statuses


def rows(held: Contents) -> list[dict[str, Any]]:
    """A row per dataset, method and protocol: dataset, method, protocol, folder, done, failed, lost, declined, damaged, code, tuned,
    quick, bytes, last.

    code: "current" where the last run under the protocol made or took the cells, else "old". last: when the newest cell was written,
    UTC, as 2026-01-31T12:00:00Z; "" of none.
    """
    return [
        {
            "dataset": shelf.dataset, "method": shelf.method, "protocol": shelf.protocol, "folder": shelf.folder,
            **statuses(held.root, shelf), "code": "current" if shelf.current else "old", "tuned": shelf.tuned, "quick": shelf.quick,
            "bytes": shelf.bytes, "last": _moment(shelf.changed),
        } for shelf in held.shelves
    ]  # fmt: skip


class Screen:
    """What rich prints: `Console().print(Screen(rows))`."""

    def __init__(self, made: list[dict[str, Any]]) -> None:
        self.rows = made

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        say = plain if options.ascii_only else clean
        counts = [
            name
            for name in ("done", "failed", "lost", "declined", "damaged")
            if name == "done" or any(r[name] for r in self.rows)
        ]
        groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in self.rows:
            groups.setdefault((row["dataset"], row["protocol"]), []).append(row)
        for names, group in groups.items():
            yield Text(say(", ".join(names)), style="bold")
            yield _table(group, counts, say)
            yield Text("")
        cells = sum(row[name] for row in self.rows for name in counts)
        yield Text(
            f"{cells:,} cells of {len(self.rows):,} methods and protocols, {size(sum(row['bytes'] for row in self.rows))}."
        )


def _table(group: list[dict[str, Any]], counts: list[str], say: Callable[[str], str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    tuned = any(row["tuned"] for row in group)
    table.add_column("method", overflow="fold", min_width=10)
    for name in (*counts, "bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("last, UTC", "code", *(["tuned"] if tuned else [])):
        table.add_column(name, no_wrap=True)
    for row in group:
        words = [row["last"].replace("T", " ")[:16], row["code"], *(["yes" if row["tuned"] else ""] if tuned else [])]
        table.add_row(Text(say(row["method"])), *(f"{row[name]:,}" for name in counts), size(row["bytes"]), *words)
    return table


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else ""
