"""Cells of `plugins/faulty.py` on the made patients of `plugins/wards.py`, run by the real executor without a report."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from bench import execute, harness, registry
from bench.execute import Event, How
from bench.jobs import Job, forget
from bench.protocol import Protocol

PLUGINS = Path(__file__).parents[1] / "plugins"
FAULTY, WARDS = str(PLUGINS / "faulty.py"), f"{PLUGINS / 'wards.py'}:n=200"


def planned(results: Path, methods: str, folds: int = 2, **options: Any) -> harness.Plan:
    forget()
    dataset = registry.parse("datasets", WARDS)[0]
    return harness.plan(dataset, registry.parse("methods", methods), Protocol(folds=folds), results, **options)


def done(jobs: tuple[Job, ...], how: How) -> list[Event]:
    with closing(execute.run(jobs, how)) as events:
        return list(events)


def stored(job: Job) -> dict[str, Any]:
    """The record of a cell, from its file."""
    return json.loads((Path(job.folder) / f"r{job.repeat}-f{job.fold}.json").read_text())
