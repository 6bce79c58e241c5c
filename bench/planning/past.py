"""What the cells of a results folder have cost, and what another one may cost after them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench import store
from bench.harness import Plan
from bench.jobs import Job
from bench.protocol import Protocol
from bench.store import Shelf

LOOKED = 10  # of the newest past cells of a method
# Bytes of a cell where no past one tells: its record, and of a row of its predictions all but the outcomes, and an outcome.
RECORD, ROW, NUMBER = 4_000, 12, 4.3


@dataclass(frozen=True)
class Known:
    """Of one cell: seconds with its tuning, the most memory (MiB), bytes stored; None: not known. source: which cells say so."""

    seconds: float | None = None
    memory: float | None = None
    bytes: int | None = None
    source: str = ""


@dataclass(frozen=True)
class Spent:
    """What the newest cells of a shelf took on average; memory: at most. trials: seconds of tuning. rows: of their predictions."""

    cells: int
    seconds: float
    trials: float
    memory: float
    record: float
    predictions: float
    rows: float
    size: float  # patients learned from times outcomes
    tasks: int


class Past:
    """The cells of a results folder; none where there is no folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.held = store.contents(root) if root.exists() else None
        self.shelves = [shelf for shelf in self.held.shelves if shelf.cells] if self.held else []
        self.spent = cache(self._spent)

    def of(self, plan: Plan, job: Job, rows: float) -> Known:
        """Of a cell of this method, from the nearest ones: this protocol and code, this dataset, these settings; the newest first.

        rows: that it predicts. What is of another protocol or dataset is scaled.
        """
        own = Path(job.folder).relative_to(Path(job.root)).as_posix()
        near = [
            (shelf.folder != own, shelf.method != job.method.label, shelf.dataset != job.dataset.label, -shelf.changed, shelf)
            for shelf in self.shelves
            if shelf.quick == plan.protocol.quick and self._about(shelf).get("method") == job.method.id
        ]
        for other_folder, *_, shelf in sorted(near, key=lambda one: one[:4]):
            spent = self.spent(shelf.folder)
            if spent is not None:
                return _known(plan, job, spent, shelf, rows, same=not other_folder)
        return Known()

    def _about(self, shelf: Shelf) -> Mapping[str, Any]:
        assert self.held is not None
        return self.held.about(f"{shelf.folder.rpartition('/')[0]}/method.json")

    def _spent(self, folder: str) -> Spent | None:
        """None where no cell is done."""
        shelf = next(shelf for shelf in self.shelves if shelf.folder == folder)
        assert self.held is not None
        sizes = {file.path: file.size for file in shelf.files}
        newest = sorted((file for file in shelf.files if file.kind == "cell"), key=lambda file: -file.changed)[:LOOKED]
        records = {file.path: self.held.about(file.path) for file in newest}
        done = {path: record for path, record in records.items() if record.get("status") == "done"}
        if not done:
            return None
        stems = [path.removesuffix(".json") for path in done]
        rows = [pq.read_metadata(self.root / f"{stem}.parquet").num_rows for stem in stems if f"{stem}.parquet" in sizes]
        learned, tasks = self._learned(shelf)
        return Spent(
            len(done), _mean([float(r["seconds"]) for r in done.values()]), _mean([_trials(r) for r in done.values()]),
            max(float(r.get("peak_mb") or np.nan) for r in done.values()), _mean([float(sizes[path]) for path in done]),
            _mean([float(sizes.get(f"{stem}.parquet", 0)) for stem in stems]), _mean([float(n) for n in rows]), learned * tasks, tasks,
        )  # fmt: skip

    def _learned(self, shelf: Shelf) -> tuple[float, int]:
        """Patients that a cell learns from, and outcomes."""
        assert self.held is not None
        dataset = shelf.folder.partition("/")[0]
        about = self.held.about(f"{shelf.folder}/protocol.json")
        listed = self.held.about(f"{dataset}/dataset.json").get("tasks", [])
        tasks = len(about.get("outcomes") or listed) or 1
        if "draws" in about:
            return float(about["train"]), tasks
        cohort = self.root / dataset / "cohort.parquet"
        rows = pq.read_metadata(cohort).num_rows if cohort.is_file() else 0
        known = {field.name for field in fields(Protocol)}
        return Protocol(**{key: value for key, value in about.items() if key in known}).learned(rows), tasks


def _trials(record: Mapping[str, Any]) -> float:
    return float(record.get("facts", {}).get("tuned", {}).get("seconds") or 0.0)


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def _known(plan: Plan, job: Job, spent: Spent, shelf: Shelf, rows: float, same: bool) -> Known:
    """same: cells of this very folder, whose trials are those of this budget."""
    tasks = len(plan.cohort.tasks)
    scale = 1.0 if same or not spent.size else plan.protocol.learned(len(plan.cohort)) * tasks / spent.size
    seconds = spent.seconds * scale
    if same:
        seconds += spent.trials
    elif isinstance(plan.protocol, Protocol):
        seconds = seconds * (1 + plan.protocol.tune) + 60 * plan.protocol.tune_minutes
    wider = (ROW + NUMBER * tasks) / (ROW + NUMBER * spent.tasks)
    predictions = spent.predictions * (1.0 if same or not spent.rows else wider * rows / spent.rows)
    place = [*([shelf.method] if shelf.method != job.method.label else []), shelf.dataset, shelf.protocol.rpartition("@")[0]]
    where = "" if same else f" of {', '.join(place)}" + (", scaled" if abs(scale - 1) > 0.01 else "")
    many = f"{spent.cells} cell{'s' * (spent.cells > 1)}{where}"
    memory = None if np.isnan(spent.memory) else spent.memory
    return Known(round(seconds, 3), memory, round(spent.record + predictions), many)
