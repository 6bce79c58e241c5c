"""What a plan says: whom, which outcomes, which folds, which methods by which code, and how they will be judged. Nothing is written here."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import bench
from bench import plans, registry, splits
from bench.core import JSON, BenchError, Cohort, Task
from bench.harness import Plan
from bench.jobs import Job, other_cohort, prepared
from bench.lookup import text as listed
from bench.planning.asking import DEFAULTS, Wanted
from bench.plans import Locked
from bench.registry import Spec
from bench.report import Settings
from bench.stats import PRIMARY
from bench.stats.intervals import INTERVALS
from bench.stats.multiplicity import least_resamples
from bench.stats.ranking import ADJUSTMENTS
from bench.store import finite


def content(asked: Wanted, made: Sequence[Plan], how: Settings, margin: float | None) -> dict[str, Any]:
    """All that a plan says but its hash. made: the plans of `asked`, none of whose cells is to be trained yet.

    format, bench, locked: the version and the time. stored: cells of this very plan that there are already. run: as `bench.run` takes it.
    analysis: how it is judged. dataset: digest, outcomes, splits. method: settings and code. versions: of libraries. BenchError for an
    analysis that there is not.
    """
    _check(how, margin)
    _check_fine(how, made)
    names = dict.fromkeys(spec.label for spec, _ in asked.places)
    methods = {job.method.label: job for job in _jobs(made)}.values()
    told: Any = finite(
        {
            "format": plans.FORMAT, "bench": bench.__version__, "locked": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "stored": sum(len(plan.stored) for plan in made),
            "run": _run(asked),
            "analysis": {
                "reference": made[0].reference, "primary": how.primary, "adjust": how.adjust, "interval": how.interval, "margin": margin,
                "resamples": how.drawn(made[0].protocol.quick),
            },
            "dataset": [_dataset(asked, [plan for plan in made if plan.spec.label == name]) for name in names],
            "method": [_method(job) for job in methods],
            "versions": {name: version for job in methods for name, version in _versions(job).items()},
        }
    )  # fmt: skip
    return told


def _check(how: Settings, margin: float | None) -> None:
    for name, given, known in (
        ("primary", how.primary, PRIMARY),
        ("adjust", [how.adjust], ADJUSTMENTS),
        ("interval", [how.interval], INTERVALS),
    ):
        if not given or not set(given) <= set(known):
            raise BenchError(f"{name} must be of {', '.join(known)}, but is '{','.join(given)}'")
    if margin is not None and not 0 < margin < 1:
        raise BenchError(f"a margin is a difference above 0 and below 1, as 0.01, but is {margin:g}")
    if how.resamples is not None and how.resamples < 1:
        raise BenchError(f"resamples must be 1 or more, but is {how.resamples}")


def _check_fine(how: Settings, made: Sequence[Plan]) -> None:
    """Now, and not after days of training. Exact where every method ends with predictions of every outcome, with 20 events or more."""
    for plan in made:
        outcomes = len(plan.cohort.tasks)
        tests = (len(plan.methods) - 1) * (outcomes + (outcomes > 1)) * len(how.primary)
        least, drawn = least_resamples(tests), how.drawn(plan.protocol.quick)
        if how.adjust != "max_t" and drawn < least:
            raise BenchError(
                f"--adjust {how.adjust} of {tests} comparisons needs {least:,} resamples, but there are {drawn:,}: --resamples {least}, "
                "or --adjust max_t, which needs no more than usual"
            )


def _run(asked: Wanted) -> dict[str, Any]:
    """Every word, the defaults too: a later version may have others."""
    given: dict[str, Any] = {name: asked.given[name] for name in DEFAULTS}
    given |= {"dataset": _specs("datasets", given["dataset"]), "methods": _specs("methods", given["methods"])}
    given["test_data"] = _specs("datasets", given["test_data"]) if given["test_data"] else []
    given |= {name: registry.parts(listed(given[name])) for name in ("drop_modality", "outcomes")}
    if {under.split for _, under in asked.places} == {splits.RANDOM}:
        given["folds"] = asked.places[0][1].folds
    given |= {"missing": asked.missing, "train_size": ["all" if n is None else n for n in _sizes(asked)]}
    return {name: value for name, value in given.items() if value is not None}


def _specs(kind: registry.Kind, given: "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]") -> list[str]:
    """Each by itself, `all` by name, a file by the path that was given."""
    found = [(part, spec) for part in registry.parts(listed(given)) for spec in registry.parse(kind, part)]
    return list(dict.fromkeys(part if spec.path else spec.label for part, spec in found))


def _sizes(asked: Wanted) -> list[int | None]:
    return list(dict.fromkeys(under.train_size for _, under in asked.places))


def _jobs(made: Sequence[Plan]) -> list[Job]:
    return [job for plan in made for job in (*plan.missing, *(job for job, _ in plan.stored))]


def _method(job: Job) -> dict[str, Any]:
    return {"name": job.method.label, **{name: job.about.get(name) for name in ("settings", "code")}}


def _versions(job: Job) -> Mapping[str, JSON]:
    """Of the libraries that a method uses; of this environment, so that they are the same for all methods."""
    found: Any = job.about.get("versions", {})
    return found


def _dataset(asked: Wanted, made: Sequence[Plan]) -> dict[str, Any]:
    spec, cohort = made[0].spec, made[0].cohort
    receipts = [_receipt(plan) for plan in made]
    return {
        "name": spec.label, "digest": made[0].dataset.identity["digest"], "rows": len(cohort), "patients": len(np.unique(cohort.patients)),
        "outcome": [_outcome(task, cohort, receipts[0]) for task in cohort.tasks],
        "split": [_split(plan, receipt) for plan, receipt in zip(made, receipts, strict=True)],
        "external": [{"name": other.label, "digest": _other(spec, made[0].protocol, other)} for other in asked.test_data],
    }  # fmt: skip


def _other(spec: Spec, under: Any, other: Spec) -> str:
    return other_cohort(spec, under, other)[0].digest


def _receipt(plan: Plan) -> dict[str, Any]:
    under: Any = plan.protocol
    _, made = prepared(plan.spec, under)
    return splits.receipt(plan.cohort, made.parts, made.kind, made.names)


def _outcome(task: Task, cohort: Cohort, receipt: Mapping[str, Any]) -> dict[str, JSON]:
    """n, events: of the rows that are tested on, known and with the outcome."""
    tested = [
        row for row in receipt["folds"] if (row["task"], row["side"]) == (task.name, "test") and row["repeat"] == 0
    ]  # a patient is in one test fold of a repeat
    return {
        "name": task.name, "label": task.label or None, "definition": cohort.definitions.get(task.name), "competing": task.competing or None,
        "n": sum(row["known"] for row in tested), "events": sum(row["events"] for row in tested),
    }  # fmt: skip


def _split(plan: Plan, receipt: Mapping[str, Any]) -> dict[str, Any]:
    """name: of the protocol's folder in the results. hash: of all folds of all repeats, as the receipt under a table has it."""
    under: Any = plan.protocol
    return {
        "name": under.part.folder, "kind": under.split, "repeats": under.repeats, "hash": receipt["hash"],
        "names": receipt.get("names"), "protocol": dict(under.part.identity),
    }  # fmt: skip


def kept(asked: Wanted, plan: Locked) -> None:
    """BenchError where a cohort is not the one that a plan was made for."""
    for spec, under in asked.places:
        about = plan.datasets.get(spec.label, {})
        _same(spec.label, prepared(spec, under)[0].digest, about.get("digest"), plan)
        elsewhere = {one["name"]: one["digest"] for one in about.get("external", [])}
        for other in asked.test_data:
            _same(other.label, _other(spec, under, other), elsewhere.get(other.label), plan)


def _same(name: str, found: str, planned: object, plan: Locked) -> None:
    if found != planned:
        raise BenchError(
            f"the cohort of '{name}' is not the one of plan {plan.name}: its digest is {found[:12]}, in the plan {str(planned)[:12]}. "
            "The data, or the code that reads them, changed. Take those of the plan, or lock another one."
        )


def departing(made: Sequence[Plan], plan: Locked) -> list[str]:
    """What to say before hours of training: methods whose code is not that of the plan."""
    found = {job.method.label: job.about.get("code") for job in _jobs(made)}
    other = [name for name, code in found.items() if code != plan.methods.get(name, {}).get("code")]
    return [f"departs from plan {plan.name}: other code of {', '.join(other)}. The report will say so."] if other else []


def options(path: Path, given: Mapping[str, Any]) -> tuple[Locked, dict[str, Any]]:
    """A plan from its file, and what `bench.run` is given by it. BenchError where `given`, the words beside the plan, contradict it."""
    plan = plans.read(path)
    for name, value in given.items():
        planned = plan.run.get(name, DEFAULTS.get(name)) if name != "reference" else plan.analysis["reference"]
        if _words(value) != _words(planned):
            raise BenchError(
                f"--{name.replace('_', '-')} {_words(value)} contradicts the plan {plan.name}, which has "
                f"{_words(planned) or 'none'}. Leave it out, or run without --plan."
            )
    return plan, {**plan.run, "reference": plan.analysis["reference"]}


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)
