"""Cohorts from a user's own files: a TOML file says what is what, the checks say what is wrong, the alarms what leaks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cohorts import build, leaks, reading, schema
from bench.core import Cohort


@dataclass(frozen=True)
class PlugIn:
    """A cohort file in the place of a dataset's module: `load`, and `split`, what the file says of its split."""

    name: str
    load: Callable[..., Cohort]
    split: Callable[..., dict[str, Any]]


def load(path: str | Path, allow_leak: str = "", variant: str | None = None) -> Cohort:
    """The cohort of `loaded`."""
    return loaded(path, allow_leak, variant)[0]


def loaded(path: str | Path, allow_leak: str = "", variant: str | None = None) -> tuple[Cohort, reading.Source]:
    """The cohort of a cohort file, and the tables as they were read. allow_leak: columns, with + between them, that a leakage alarm does not stop for.

    variant: other definitions, OUTCOME~NAME with + between them, that are learned in the place of their outcomes. The columns of
    every definition stay out of the features, so that the cohorts differ in labels alone.
    BenchError, one line, for whatever is wrong with the file or its tables, and for a leakage alarm.
    """
    made = build.make(reading.read(Path(path), variant))
    allowed = leaks.allowed(made, [*made.source.file.allow_leak, *filter(None, allow_leak.split("+"))])
    stop, passed = leaks.judge(leaks.alarms(made), allowed)
    leaks.refuse(stop, str(path))
    return build.cohort(made, passed), made.source


def plug_in(path: Path) -> PlugIn:
    """The cohort file as `registry` takes a dataset, under the name it gives itself, else the file's."""
    file = schema.read(path)

    def own(allow_leak: str = "", variant: str | None = None) -> Cohort:
        return load(path, allow_leak, variant)

    def split(allow_leak: str = "", variant: str | None = None) -> dict[str, Any]:
        cut = file.split.cut
        return {"split": file.split.by, **({} if cut is None else {"cut": f"{cut:.15g}" if isinstance(cut, float) else str(cut)})}

    return PlugIn(file.name or path.stem, own, split)
