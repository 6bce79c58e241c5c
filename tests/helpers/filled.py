"""Cells made in this process, without a report: what a test of stored predictions needs."""

from pathlib import Path
from typing import Any

from bench import harness, jobs, registry, store
from bench.protocol import Protocol

PLUGINS = Path(__file__).parent.parent / "plugins"
DATA, GUESS = str(PLUGINS / "wards.py"), str(PLUGINS / "guess.py")


def plan(folder: Path, protocol: Protocol, methods: str = GUESS, data: str = DATA, **more: Any) -> harness.Plan:
    """Of one dataset. more: as for `harness.plan`."""
    return harness.plan(
        registry.parse("datasets", data)[0], registry.parse("methods", methods), protocol, folder / "results", **more
    )


def fill(folder: Path, protocol: Protocol, methods: str = GUESS, data: str = DATA, **more: Any) -> store.Results:
    """Do what is missing, and read it all back."""
    made = plan(folder, protocol, methods, data, **more)
    for job in made.missing:
        record = jobs.run_cell(job, lambda step, score: None)
        assert record["status"] == "done", record.get("traceback")
    return store.read(folder / "results", made.spec.label, quick=protocol.quick, under=made.protocol.part.folder)
