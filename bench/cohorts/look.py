"""A look at a cohort before any training: its summary, and the alarms that would stop a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import registry, splits
from bench.cohorts import build, leaks, reading, summary
from bench.cohorts.alarm import Alarm
from bench.cohorts.schema import CohortFile
from bench.cohorts.summary import Summary
from bench.core import Cohort

SYNTHETIC = "Synthetic patients, made by a generator."


@dataclass(frozen=True, eq=False)
class Looked:
    """stop: alarms that stop a run. passed: those let through by name. note: a warning that belongs above everything, or "". asks: rows
    that the split leaves out, and what the cohort file leaves open.
    """

    cohort: Cohort
    summary: Summary
    stop: tuple[Alarm, ...]
    passed: tuple[Alarm, ...]
    note: str = ""
    asks: tuple[str, ...] = ()

    def json(self) -> dict[str, Any]:
        """For programs, see `bench.asjson`."""
        seen = self.summary
        names = ("outcomes", "columns", "modalities", "channels", "strongest", "subgroups", "variants")
        counts = {
            "name": seen.name,
            "rows": seen.rows,
            "patients": seen.patients,
            "groups": seen.groups,
            "digest": self.cohort.digest,
        }
        told = {"note": self.note, "notices": self.notices, "stop": self.stop, "passed": self.passed}
        return {**counts, **{name: getattr(seen, name) for name in names}, "phi": seen.phi, **told}

    @property
    def notices(self) -> tuple[str, ...]:
        return (*self.cohort.notices, *self.asks)


def at(name: str, allow_leak: Sequence[str] = ()) -> Looked:
    """A cohort file, where the name ends as one, else a dataset as `bench run` takes it. BenchError for what is wrong with it."""
    if name.lower().endswith(".toml"):
        return own(Path(name), allow_leak)
    spec = registry.parse("datasets", name)[0]
    if spec.path.lower().endswith(".toml"):
        said = {dial: str(value) for dial, value in spec.settings.items()}
        return own(Path(spec.path), [*allow_leak, *said.get("allow_leak", "").split("+")], said.get("variant"))
    cohort = registry.load(spec)
    inputs = cohort.inputs.modalities
    each = list(leaks.candidates(inputs, cohort.labels, cohort.patients))
    stop, passed = leaks.judge(leaks.search(inputs, cohort.tasks, cohort.labels, cohort.patients, each), allow_leak)
    note = SYNTHETIC if hasattr(registry.loaded(spec), "truth") else ""
    return Looked(cohort, summary.summarise(cohort, each=each), tuple(stop), tuple(passed), note)


def own(path: Path, allow_leak: Sequence[str] = (), variant: str | None = None) -> Looked:
    """A cohort file, read, judged and checked; alarms are returned, not raised. variant: as for `bench.cohorts.load`."""
    made = build.make(reading.read(path, variant))
    each = list(leaks.candidates(made.modalities, made.labels, made.ids))
    stop, passed = leaks.judge(
        leaks.alarms(made, each), leaks.allowed(made, [*made.source.file.allow_leak, *filter(None, allow_leak)])
    )
    cohort = build.cohort(made)
    torn = any(alarm.kind == leaks.SPLIT for alarm in stop)  # the alarm says more than the refusal would
    said = () if torn else _splits(cohort, made.source.file)
    seen = summary.summarise(cohort, made.source.columns, each)
    return Looked(cohort, seen, tuple(stop), tuple(passed), asks=(*said, *_asks(cohort, made.source.file)))


def _splits(cohort: Cohort, file: CohortFile) -> tuple[str, ...]:
    """What the file's split says of its rows; one that cannot be made is refused here, not by the run.

    Folds at random are only counted, not dealt out.
    """
    repeats = 0 if file.split.by == splits.RANDOM else 1
    return splits.of(cohort, file.split.by, cut=str(file.split.cut or "0.7"), repeats=repeats).notices


def _asks(cohort: Cohort, file: CohortFile) -> tuple[str, ...]:
    """How death before an outcome counts, where the file does not say."""
    silent = [task.name for task in cohort.tasks if not task.competing]
    open_ = [n for n, one in file.outcomes.items() if one.event is not None and one.death is None and not one.competing]
    said = {
        "how a death before the outcome counts is not said of {}: say it as outcomes.NAME.competing, it stands under every table (as in "
        '"a death without it counts as 0")': silent,
        "a death before the horizon counts as censoring in {}, which overstates how often the outcome happens: name the dead in "
        "outcomes.NAME.death, or say in outcomes.NAME.competing what is meant": open_,
    }
    return tuple(text.format(", ".join(names)) for text, names in said.items() if names)
