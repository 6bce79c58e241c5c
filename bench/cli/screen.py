"""What a run looks like while it goes on: a table that grows on a terminal, plain lines anywhere else."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from bench import api, planning, progress, store, stored
from bench.cli import planned
from bench.core import BenchError
from bench.draws import Draws
from bench.execute import Event
from bench.execute.shards import Part
from bench.harness import Plan
from bench.protocol import Protocol
from bench.report.terminal import Screen
from bench.report.words import short

LONG = 60.0  # seconds from which on a forecast is worth a line


def run(
    what: Mapping[str, Any],
    suite: str | None,
    data_dir: str | None,
    seed: int | None,
    plan: str | None = None,
    dry_run: bool = False,
    as_json: bool = False,
    **options: Any,
) -> int:
    """Run, show, and translate a stop by the user or the system into words and SystemExit with its status.

    what: what is compared and how, as far as it was given; a suite says so itself, and so does a plan. dry_run: only what it would be.
    """
    if suite is not None:
        planning.alone(what)
    if as_json and not dry_run:
        raise BenchError("--json is of --dry-run: `bench run --dry-run --json`. Of results: `bench results list --json`.")
    if data_dir is not None:
        os.environ["BENCH_DATA_DIR"] = data_dir  # the workers load the data themselves
    if dry_run:
        return planned.show_dry(suite, plan, {**what, "seed": seed}, options, as_json)
    watch = _Terminal() if Console().is_terminal and suite is None else _Plain()  # a suite has more rows than a screen
    stopped = signal.SIGINT

    def terminated(number: int, frame: object) -> None:
        nonlocal stopped
        stopped = signal.Signals(number)
        raise KeyboardInterrupt

    asked = (signal.SIGTERM, signal.SIGHUP)  # a scheduler, a terminal that is gone; `nohup` ignores the latter
    before = {one: signal.signal(one, terminated) for one in asked if signal.getsignal(one) != signal.SIG_IGN}
    try:
        with watch:
            if plan is not None:
                outcome = api.run_plan(plan, **planned.beside_plan(suite, {**what, "seed": seed}, options), watch=watch)
            elif suite is None:
                outcome = api.run(**what, seed=seed, watch=watch, **options)
            else:
                outcome = api.run_suite(suite, seed=seed, watch=watch, **options)
    except KeyboardInterrupt:
        for one in before:
            signal.signal(one, signal.SIG_IGN)
        stored = f"{watch.done} of {watch.total} cells are stored" if watch.total else "Nothing was begun"
        with suppress(OSError):  # the terminal may be gone
            print(f"bench: stopped. {stored}; the same command goes on from there.", flush=True)
        sys.exit(128 + stopped)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    return show(outcome)


def show(outcome: stored.Outcome | api.Judged | api.Paired) -> int:
    """Print the tables, where they were written, and which cells failed. Exit status 2 if any did."""
    console = Console()
    if isinstance(outcome, stored.Outcome) and outcome.part is not None:
        return _partly(outcome.part)
    if isinstance(outcome, api.Judged):
        pages = [(outcome.verdicts, outcome.folder)]
    elif isinstance(outcome, api.Paired):
        pages = [(outcome.matrices, outcome.folder)]
    else:
        pages = [(one.terminal(), outcome.folders[name]) for name, one in outcome.reports.items()]
    for page, folder in pages:
        console.print(page)
        print(f"Written to {folder}: {', '.join(sorted(p.name for p in folder.iterdir()))}")
    for found in (outcome.results if isinstance(outcome, stored.Outcome) else {}).values():
        if found.others:
            more, quick = f"{len(found.others)} more method{'s' * (len(found.others) > 1)}", " --quick" if found.quick else ""
            print(
                f"There are results of {more} of this protocol: `bench report --dataset {shlex.quote(found.dataset)} --methods all{quick}` "
                "shows them too."
            )
    if isinstance(outcome, stored.Outcome) and outcome.across is not None:
        console.print(Screen(outcome.across))
    failed = outcome.failed
    for _, cell in failed.iterrows():
        where = f"{cell['method']} on {cell['dataset']}, repeat {cell['repeat']}, fold {cell['fold']}"
        print(f"bench: failed: {where}: {short(cell['error'])}")
    if (failed["error"] != store.DAMAGED).any():
        print("bench: failed cells are tried again when their code has changed, or with `bench run --retry-failed`.")
    return 2 if len(failed) else 0


def _partly(part: Part) -> int:
    """What a shard has done, and what there is to do before there are tables."""
    failed = f", {part.failed} of them failed" if part.failed else ""
    print(f"Shard {part.shard}: its {part.cells:,} of {part.everything:,} cells are stored{failed}.", end=" ")
    if part.missing:
        many = "cell of other shards is" if part.missing == 1 else "cells of other shards are"
        print(f"{part.missing:,} {many} missing; no table is made of a part.", end=" ")
    print(
        "`bench report`, or this command without --shard, makes the tables" + (" when they are there." if part.missing else ".")
    )
    return 2 if part.failed else 0


class _Watch:
    """Counts cells; what is printed is the children's affair."""

    def __init__(self) -> None:
        self.total = self.done = self.failed = self.fresh = 0
        self.start = time.monotonic()
        self.forecast = 0.0
        self.rows: dict[tuple[str, str], list[tuple[float, float]]] = {}  # (dataset, method) -> scores of its cells
        self.cells: dict[tuple[str, str], int] = {}
        self.running: dict[str, str] = {}

    def __enter__(self) -> "_Watch":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def planned(self, plans: Sequence[Plan], forecast: float) -> None:
        self.forecast, self.start = forecast, time.monotonic()
        for plan in plans:
            for method in plan.methods:
                self.rows.setdefault((plan.spec.label, _row(method, plan.protocol)), [])
            self.total += len(plan.stored) + len(plan.missing)
            self.fresh -= len(plan.stored)
            for job, record in plan.stored:
                self.ended(Event("end", job, record))
        self.say(plans)

    def happened(self, event: Event) -> None:
        if event.kind == "end":
            self.running.pop(event.job.name, None)
            self.ended(event)
        elif event.kind == "again":
            self.running.pop(event.job.name, None)
        elif event.kind == "start":
            self.running[event.job.name] = ""
        elif event.kind == "step":
            self.running[event.job.name] = f" step {event.data['step']}"
        self.shown(event)

    def ended(self, event: Event) -> None:
        key = (event.job.dataset.label, _row(event.job.method.label, event.job.protocol))
        self.done += 1
        self.fresh += 1
        self.failed += event.data.get("status") in ("failed", "lost")
        self.cells[key] = self.cells.get(key, 0) + 1

    @property
    def left(self) -> float:
        """Seconds to go: the forecast at first, then more and more the pace of this run."""
        share = self.fresh / max(1, self.fresh + self.total - self.done)
        spent = time.monotonic() - self.start
        return (1 - share) * (spent / share if share > 0.1 else max(self.forecast, spent))

    def say(self, plans: Sequence[Plan]) -> None:
        for notice in dict.fromkeys(notice for plan in plans for notice in plan.notices):
            print(f"note: {notice}")
        if any(plan.protocol.quick for plan in plans):
            print("note: quick look, not a result: few patients, few folds or draws, brief training.")
        if self.done:
            failed = f", {self.failed} of them failed" if self.failed else ""
            print(f"{self.done} of {self.total} cells are stored already{failed}.")
        if self.done < self.total and self.forecast > LONG:
            print(
                f"{self.total - self.done} cells to train, about {_duration(self.forecast)} (a forecast; stored results stay if you stop)."
            )

    def shown(self, event: Event) -> None:
        del event


class _Plain(_Watch):
    """One line per cell."""

    def shown(self, event: Event) -> None:
        if event.kind == "again":
            print(f"{event.job.name} is tried again: {short(event.data['error'])}", flush=True)
        if event.kind == "end":
            scores = progress.glance(event)
            what = (
                f"AUROC {100 * scores[0]:.1f}, AP {100 * scores[1]:.1f}"
                if scores
                else f"{event.data['status']}: {short(event.data['error'])}"
            )
            took = f"{event.data['seconds']:.0f} s" if "seconds" in event.data else "lost"
            left = f"; {_duration(self.left)} left" if self.done < self.total else ""
            several = len({dataset for dataset, _ in self.rows}) > 1
            name = f"{event.job.dataset.label} {event.job.name}" if several else event.job.name
            print(f"[{self.done}/{self.total}] {name}: {what} ({took}{left})", flush=True)


class _Terminal(_Watch):
    """The table as it grows, and a line of what is going on."""

    def __init__(self) -> None:
        super().__init__()
        self.live = Live(get_renderable=self.picture, refresh_per_second=4, transient=True)

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def planned(self, plans: Sequence[Plan], forecast: float) -> None:
        super().planned(plans, forecast)
        if self.done < self.total:
            self.live.start()

    def ended(self, event: Event) -> None:
        super().ended(event)
        scores = progress.glance(event)
        if scores is not None:
            self.rows[event.job.dataset.label, _row(event.job.method.label, event.job.protocol)].append(scores)

    def picture(self) -> Group:
        several = len({dataset for dataset, _ in self.rows}) > 1
        table = Table(
            Column("method", overflow="fold"), "cells", "AUROC", "AP", title="so far, mean over outcomes and cells done"
        )
        for (dataset, method), scores in self.rows.items():
            means = [f"{100 * sum(s[i] for s in scores) / len(scores):.1f}" if scores else "" for i in (0, 1)]
            table.add_row(Text(f"{dataset} {method}" if several else method), str(self.cells.get((dataset, method), 0)), *means)
        state = f"{self.done} of {self.total} cells done, {self.failed} failed, about {_duration(self.left)} left"
        now = "; ".join(name + step for name, step in self.running.items())
        return Group(table, Text(state), Text(f"running: {now}"))


def _row(method: str, protocol: Protocol | Draws) -> str:
    """A method by itself under each training size."""
    return f"{method} {protocol.word}".rstrip()


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
