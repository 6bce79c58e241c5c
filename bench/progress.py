"""What is seen of a run while it goes on: how long it may take, and the scores of a cell that just ended."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from bench import store
from bench.draws import Draws
from bench.execute import Event
from bench.harness import Plan
from bench.jobs import Job

# Seconds of a cell of 8,450 training rows and 4 outcomes on one thread, for methods this results folder has no cell of.
GUESS = 25.0
PREDICT = 2.5 / 20_000  # seconds a row that a draw is tested on


def forecast(plan: Plan) -> float:
    """Seconds of one process for the missing cells: from stored cells of the same method, a guess by size otherwise."""
    known: dict[str, list[float]] = {}
    for job, record in plan.stored:
        tuned = record.get("facts", {}).get("tuned", {})
        known.setdefault(job.method.label, []).append(float(record["seconds"]) + float(tuned.get("seconds", 0)))
    size = plan.protocol.learned(len(plan.cohort)) * len(plan.cohort.tasks)
    tested = plan.protocol.test if isinstance(plan.protocol, Draws) else 0
    guess = GUESS * size / (9_944 * 4) * (0.2 if plan.protocol.quick else 1) + PREDICT * tested
    guess = guess * (1 + getattr(plan.protocol, "tune", 0)) + 60 * getattr(plan.protocol, "tune_minutes", 0)
    return float(sum(np.mean(known.get(job.method.label, [guess])) for job in plan.missing))


def glance(event: Event) -> tuple[float, float] | None:
    """Mean AUROC and AP over the outcomes of the cell that just ended, for the table that grows; None if it has none."""
    return _glance(event.job) if event.data.get("status") == "done" else None


def _glance(job: Job) -> tuple[float, float]:
    from bench import metrics

    frame = pd.read_parquet(Path(job.folder) / f"{store.cell_name(job.repeat, job.fold)}.parquet")
    test = frame[frame["view"] == "test"]
    pairs = [(test[c].to_numpy(), test["p:" + c[2:]].to_numpy()) for c in test.columns if c.startswith("y:")]

    def mean(of: Iterator[float]) -> float:
        return float(np.nanmean(list(of)))

    return mean(metrics.auroc(y, p) for y, p in pairs), mean(metrics.average_precision(y, p) for y, p in pairs)
