"""`bench plan`, `bench run --plan` and `--dry-run`: making a plan, what stands beside one, and what a run would do."""

import json
import os
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from bench.core import BenchError
from bench.execute import Asked
from bench.planning.dry import dry_run
from bench.planning.forecast import Forecast, Row
from bench.planning.lock import plan
from bench.report.sheet import Block, Entry, Sheet
from bench.report.sheet import Row as Line
from bench.report.terminal import Screen
from bench.report.words import DASH, number
from bench.store import size


def lock(file: str | None, what: Mapping[str, Any], data_dir: str | None, **options: Any) -> None:
    """Make a plan and say what came of it; print it where there is no file for it. options: as of `bench.planning.lock.plan`."""
    if data_dir is not None:
        os.environ["BENCH_DATA_DIR"] = data_dir
    made = plan(file, **options, **what)
    if made.locked is None:
        print(made.text, end="")
        return
    for notice in made.notices:
        print(f"note: {notice}")
    if made.locked.content["stored"]:
        print(f"note: {made.locked.content['stored']:,} of its cells are stored already, which its reports will say.")
    print(f"Plan {made.locked.name} is locked in {file}: sha256 {made.locked.sha256}.")
    print(f"`bench run --plan {file}` does it. Give the number to somebody else now, as with a registration, or commit the file.")


def beside_plan(suite: str | None, what: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a run under a plan, with `given`: the words that must not contradict it."""
    other = "--suite" if suite is not None else "--profile" if options.get("profile") is not None else ""
    if other:
        raise BenchError(f"a plan says what is compared and how, so {other} cannot stand beside --plan. Leave it out.")
    words = {**what, "quick": options.get("quick") or None}
    free = {name: value for name, value in options.items() if name not in ("quick", "profile")}
    return {**free, "given": {name: value for name, value in words.items() if value is not None}}


def show_dry(suite: str | None, file: str | None, what: Mapping[str, Any], options: Mapping[str, Any], as_json: bool) -> int:
    """Print what a run of these words, or of the plan in a file, would do."""
    known = {name: value for name, value in options.items() if name not in (*Asked.__annotations__, "reports")}
    asked: Any = {name: value for name, value in options.items() if name in Asked.__annotations__}
    if file is not None:
        beside = beside_plan(suite, what, known)
        found = dry_run(plan=file, asked=asked, **beside)
    else:
        words = {name: value for name, value in what.items() if value is not None}
        found = dry_run(suite=suite, asked=asked, **words, **known)
    if as_json:
        print(json.dumps(found.json(), indent=1, ensure_ascii=True))
        return 0
    console = Console()
    for notice in found.notices:
        print(f"note: {notice}")
    for dataset, protocol in dict.fromkeys((row.dataset, row.protocol) for row in found.rows):
        console.print(Screen(_sheet(found, [row for row in found.rows if (row.dataset, row.protocol) == (dataset, protocol)])))
    for line in summary(found):
        print(line)
    return 0


def _sheet(found: Forecast, rows: list[Row]) -> Sheet:
    about = found.about.get(rows[0].dataset, {})
    protocol = ", ".join([f"{n:,} {name}" for name, n in about.items()] + [f"protocol {rows[0].protocol}"])
    columns = (("cells",), ("stored",), ("to train",), ("seconds", "a cell"), ("MiB",), ("from",))
    block = Block("What is to be trained, and what past cells took", columns, (("", tuple(map(_line, rows))),))
    costs = tuple(f"{row.method}, by its card: {row.cost}" for row in rows if row.cost)
    return Sheet(rows[0].dataset, protocol, (), (block,), (), costs)


def _line(row: Row) -> Line:
    known = row.known
    texts = (f"{row.cells:,}", f"{row.stored:,}", f"{row.missing:,}")
    spent = [DASH if value is None else number(value) for value in (known.seconds, known.memory)]
    return Line(row.method, tuple(map(Entry, (*texts, *spent, known.source or "no past cell"))))


def summary(found: Forecast) -> list[str]:
    """What it comes to."""
    if not found.missing:
        return [f"All {found.stored:,} cells are stored: nothing would be trained. Nothing was written."]
    workers = f"{found.workers} worker{'s' * (found.workers != 1)}" if found.workers else "this process"
    known = sum(row.missing for row in found.rows if row.known.seconds is not None)
    time = f"about {duration(found.wall)} with {workers} ({duration(found.seconds)} of one process)" if known else "time unknown"
    lines = [f"{found.missing:,} cells to train, {found.stored:,} stored: {time}, {size(found.bytes)} in {found.results}."]
    if found.memory:
        lines[0] = lines[0][:-1] + f", up to {number(found.memory)} MiB of memory at once."
    if found.unknown and known:
        lines.append(
            f"Not in the time: {found.missing - known:,} cells of methods without a past cell, {', '.join(found.unknown)}."
        )
    return [*lines, "Nothing was trained or written."]


def duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
