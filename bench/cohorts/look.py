"""A look at a cohort before any training: its summary, and the alarms that would stop a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import registry
from bench.cohorts import build, leaks, reading, summary
from bench.cohorts.alarm import Alarm
from bench.cohorts.summary import Summary
from bench.core import Cohort

SYNTHETIC = "Synthetic patients, made by a generator."


@dataclass(frozen=True, eq=False)
class Looked:
    """stop: alarms that stop a run. passed: those let through by name. note: a warning that belongs above everything, or ""."""

    cohort: Cohort
    summary: Summary
    stop: tuple[Alarm, ...]
    passed: tuple[Alarm, ...]
    note: str = ""

    @property
    def notices(self) -> tuple[str, ...]:
        return self.cohort.notices


def at(name: str, allow_leak: Sequence[str] = ()) -> Looked:
    """A cohort file, where the name ends as one, else a dataset as `bench run` takes it. BenchError for what is wrong with it."""
    if name.lower().endswith(".toml"):
        return own(Path(name), allow_leak)
    spec = registry.parse("datasets", name)[0]
    cohort = registry.load(spec)
    found = leaks.search(cohort.inputs.modalities, cohort.tasks, cohort.labels, cohort.patients)
    stop, passed = leaks.judge(found, allow_leak)
    note = SYNTHETIC if hasattr(registry.loaded(spec), "truth") else ""
    return Looked(cohort, summary.summarise(cohort), tuple(stop), tuple(passed), note)


def own(path: Path, allow_leak: Sequence[str] = ()) -> Looked:
    """A cohort file, read, judged and checked; alarms are returned, not raised."""
    made = build.make(reading.read(path))
    stop, passed = leaks.judge(leaks.alarms(made), [*made.source.file.allow_leak, *allow_leak])
    cohort = build.cohort(made)
    return Looked(cohort, summary.summarise(cohort, made.source.columns), tuple(stop), tuple(passed))
