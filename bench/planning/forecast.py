"""What the missing cells of a run may cost, from the cells that a results folder has. Nothing is trained or written.

A method's cost is known from the nearest of its past cells: of this very protocol, else of this dataset, else of another; with these
settings, else with others. From another protocol or dataset it is scaled by patients learned from and outcomes, memory is not. Where there
is none nothing is guessed: the card of the method may say what it costs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import cards, store
from bench.draws import Draws
from bench.harness import Plan
from bench.jobs import Job, prepared
from bench.planning.past import NUMBER, RECORD, ROW, Known, Past


@dataclass(frozen=True)
class Row:
    """A method on a dataset under a protocol. cells: all, of which `stored` are there. cost: a line of its card where nothing is known."""

    dataset: str
    protocol: str
    method: str
    cells: int
    stored: int
    known: Known
    bytes: int
    cost: str = ""

    @property
    def missing(self) -> int:
        return self.cells - self.stored


@dataclass(frozen=True)
class Forecast:
    """rows: what is to be done. notices: what reading the cohorts said. about: dataset -> patients, rows and outcomes."""

    rows: tuple[Row, ...]
    notices: tuple[str, ...]
    about: Mapping[str, Mapping[str, int]]
    workers: int
    results: str

    @property
    def missing(self) -> int:
        return sum(row.missing for row in self.rows)

    @property
    def stored(self) -> int:
        return sum(row.stored for row in self.rows)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Methods with cells to train and no past cell."""
        return tuple(dict.fromkeys(row.method for row in self.rows if row.missing and row.known.seconds is None))

    @property
    def seconds(self) -> float:
        """Of one process, for the cells that something is known of."""
        return sum(row.missing * (row.known.seconds or 0.0) for row in self.rows)

    @property
    def wall(self) -> float:
        """Seconds with these workers: never less than the longest cell."""
        longest = max((row.known.seconds or 0.0 for row in self.rows if row.missing), default=0.0)
        return max(self.seconds / max(1, min(self.workers, self.missing)), longest)

    @property
    def bytes(self) -> int:
        return sum(row.missing * row.bytes for row in self.rows)

    @property
    def memory(self) -> float | None:
        """MiB at once at most, as far as known: the largest cells, one a worker."""
        each = sorted((row.known.memory for row in self.rows for _ in range(row.missing) if row.known.memory), reverse=True)
        return float(sum(each[: max(1, self.workers)])) if each else None

    def json(self) -> dict[str, Any]:
        totals = ("missing", "stored", "unknown", "seconds", "wall", "bytes", "memory", "workers", "results")
        rows = [{**asdict(row), "missing": row.missing} for row in self.rows]
        told: Any = store.finite(
            {"datasets": self.about, "rows": rows, **{name: getattr(self, name) for name in totals}, "notices": self.notices}
        )
        return told


def forecast(made: Sequence[Plan], results: Path, workers: int) -> Forecast:
    past = Past(results)
    rows = tuple(row for plan in made for row in _rows(plan, past))
    about = {
        plan.spec.label: {
            "patients": len(np.unique(plan.cohort.patients)), "rows": len(plan.cohort), "outcomes": len(plan.cohort.tasks)
        } for plan in made if not isinstance(plan.protocol, Draws)
    }  # fmt: skip
    notices = tuple(dict.fromkeys(notice for plan in made for notice in plan.notices))
    return Forecast(rows, notices, about, workers, str(results))


def _rows(plan: Plan, past: Past) -> Iterator[Row]:
    jobs = {job.method.label: job for job in (*plan.missing, *(job for job, _ in plan.stored))}
    there = [job.method.label for job, _ in plan.stored]
    missing = [job.method.label for job in plan.missing]
    rows = _predicted(plan, next(iter(jobs.values()))) if jobs else 0
    for method in plan.methods:
        if method not in jobs:  # none of its cells is of this shard
            continue
        known = past.of(plan, jobs[method], rows)
        size = known.bytes or round(RECORD + rows * (ROW + NUMBER * len(plan.cohort.tasks)))
        cost = "" if known.seconds is not None or method not in missing else cards.cost(jobs[method].method)
        count = there.count(method)
        yield Row(plan.spec.label, plan.protocol.part.label, method, count + missing.count(method), count, known, size, cost)


def _predicted(plan: Plan, job: Job) -> float:
    """Rows of a cell: test, validation and what else it predicts."""
    if isinstance(plan.protocol, Draws):
        return plan.protocol.test
    parts = prepared(plan.spec, plan.protocol)[1].parts
    tested, checked = (
        float(np.mean([len(rows) for rows in side])) for side in ([p.test for p in parts], [p.valid for p in parts])
    )
    return tested * (1 + sum(view.external is None for view in job.views)) + checked
