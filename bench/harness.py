"""What is to be computed: plan(...) -> the jobs of the cells that are missing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bench
from bench import diagnose, draws, provenance, registry, splits
from bench.core import JSON, BenchError, Cohort
from bench.draws import Draws
from bench.jobs import Job, Limits, made_from, other_cohort, prepared
from bench.protocol import Protocol
from bench.registry import Spec
from bench.splits import RANDOM, Splits
from bench.store import Part, Store, task_json
from bench.views import View, narrowed

SYNTHETIC = "Synthetic patients made by a generator: no evidence for or against a method."


@dataclass(frozen=True)
class Plan:
    """A dataset's part of a run. stored: jobs whose cell is there already, with its record; missing: the rest."""

    spec: Spec
    cohort: Cohort
    dataset: Part
    protocol: Protocol | Draws
    reference: str
    methods: tuple[str, ...]
    stored: tuple[tuple[Job, Mapping[str, Any]], ...]
    missing: tuple[Job, ...]
    notices: tuple[str, ...]


def plan(
    dataset: Spec,
    methods: list[Spec],
    protocol: Protocol | Draws,
    results: Path,
    reference: str | None = None,
    accept_code: bool = False,
    retry_failed: bool = False,
    diagnosed: bool = False,
    missing: Sequence[float] = (),
    test_data: Sequence[Spec] = (),
    limits: Limits | None = None,
) -> Plan:
    """Load the cohort, split it, and find out which cells are missing. Writes what the cells' hashes are of, trains nothing.

    diagnosed: a cell without diagnostics of this code is missing too. Of draws only a small cohort is made: workers make theirs.
    missing, test_data: views of every cell, see `bench.views`; a cell without them is missing too. limits: a cell that was stopped at
    narrower ones is tried again.
    """
    store = Store(results)
    cohort, protocol, dials, made = _laid_out(dataset, protocol)
    dataset_part = Part(dataset.label, {"dataset": dataset.id, "dials": dials, "digest": cohort.digest})
    truth = getattr(registry.loaded(dataset), "truth", None)
    note = {"note": SYNTHETIC if truth else ""}
    store.open(dataset_part, cohort_frame(cohort, truth) if made else None, {**_described(cohort), **note})
    cohort = cohort if isinstance(protocol, Draws) else narrowed(cohort, protocol.outcomes)
    labels = tuple(spec.label for spec in methods)
    chosen = _reference(reference, list(labels))
    notices = [*cohort.notices]
    asked, words = list[View](), dict[str, JSON]()
    if isinstance(protocol, Protocol) and made:
        notices += [*made.notices, *_too_few(cohort, protocol, made)]
        asked, elsewhere, said = _views(store, dataset, dataset_part, cohort, protocol, missing, test_data)
        words = {**_words(cohort, notices), "elsewhere": elsewhere}
        notices += said
    places = {(s.repeat, s.fold): (cohort.digest, splits.digest(s)) for s in made.parts} if made else _draws(protocol)
    by = diagnose.version() if diagnosed else ""
    jobs, folders = list[Job](), dict[str, Mapping[str, JSON]]()
    for spec in methods:
        getattr(registry.method(spec), "check", lambda tasks: None)(cohort.task_names)
        part, family = method_part(spec, tuned=bool(getattr(protocol, "tuning", "")))
        store.describe(dataset_part, part, protocol.part, {"family": family})
        folder = store.path(dataset_part, part, protocol.part)
        if accept_code:
            folder, notice = _older(store, dataset_part, part, protocol, folder)
            notices += notice
        folders[spec.label] = {"folder": folder.parent.name, "family": family}
        roots = str(results.resolve()), str(folder.resolve())
        about = part.identity, by, tuple(asked)
        jobs += [Job(dataset, spec, protocol, *place, *roots, *digests, *about) for place, digests in places.items()]
    if isinstance(protocol, Protocol) and made:
        receipt = splits.receipt(cohort, made.parts, made.kind, made.names)
        _save_run(store, dataset_part, protocol, chosen, folders, receipt, words)
    stored, left = _sorted(store, jobs, labels, retry_failed, limits or Limits())
    return Plan(dataset, cohort, dataset_part, protocol, chosen, labels, stored, left, tuple(notices))


def _laid_out(dataset: Spec, protocol: Protocol | Draws) -> tuple[Cohort, Protocol | Draws, Mapping[str, JSON], Splits | None]:
    """The cohort, the protocol with the folds it comes to, the dials, and the splits; None of draws, whose workers make theirs."""
    if isinstance(protocol, Draws):
        return draws.probe(dataset, protocol), protocol, draws.dials(dataset), None
    cohort, made = prepared(dataset, protocol)
    dials = {name: value for name, value in registry.settings(dataset).items() if value is not None}  # None: as without the dial
    fitting = protocol.fitting(cohort)
    made = replace(made, notices=(*made.notices, *fitting.unfollowed(protocol)))
    return cohort, replace(fitting, folds=len(made.names)), dials, made


def _draws(protocol: Protocol | Draws) -> dict[tuple[int, int], tuple[str, str]]:
    return {(repeat, 0): ("", "") for repeat in range(protocol.repeats)}


def _views(
    store: Store,
    dataset: Spec,
    part: Part,
    cohort: Cohort,
    protocol: Protocol,
    missing: Sequence[float],
    test_data: Sequence[Spec],
) -> tuple[list[View], dict[str, Mapping[str, JSON]], list[str]]:
    """What every cell predicts besides; of other cohorts, by name, where their rows are stored and what is said of them; all that to say."""
    left = set(cohort.inputs.modalities) - set(protocol.drop if protocol.at != "train" else ())
    if missing and len(left) < 2:
        raise BenchError(
            f"a row keeps one modality, so that missing needs a cohort with 2 or more, but the test rows of '{cohort.name}' have "
            f"{len(left)}: {', '.join(sorted(left))}"
        )
    made = [View.of_missing(rate) for rate in missing]
    elsewhere, said = dict[str, Mapping[str, JSON]](), list[str]()
    for spec in test_data:
        other, notices = other_cohort(dataset, protocol, spec)
        view = View.of_external(spec, other.digest)
        file = store.save_external(part, spec.label, other.digest, cohort_frame(other, None))
        elsewhere[spec.label] = {"file": file, **_described(other), **_words(other, notices)}
        made.append(view)
        said += notices
    return made, elsewhere, said


def _described(cohort: Cohort) -> dict[str, JSON]:
    return {"tasks": [task_json(t) for t in cohort.tasks], "definitions": dict(cohort.definitions)}


def _words(cohort: Cohort, notices: Sequence[str]) -> dict[str, JSON]:
    """As a run's record has them: alarms that were let through apart from all other notices."""
    alarms = {text for _, text in cohort.leaks}
    return {"notices": [text for text in notices if text not in alarms], "leaks": [list(leak) for leak in cohort.leaks]}


def _sorted(
    store: Store, jobs: list[Job], labels: tuple[str, ...], retry_failed: bool, limits: Limits
) -> tuple[tuple[tuple[Job, Mapping[str, Any]], ...], tuple[Job, ...]]:
    """Jobs whose cell is stored, with its record, and those to be done, fold by fold so that methods share a preparation.

    What was lost is tried again, and what was stopped at a narrower limit; what failed by itself only when `retry_failed`.
    """
    again = ("lost", "failed") if retry_failed else ("lost",)
    stored: list[tuple[Job, Mapping[str, Any]]] = []
    missing: list[Job] = []
    for job in jobs:
        found = store.cell(Path(job.folder), job.repeat, job.fold)
        if found is None or found["status"] in again or _stopped(found, limits) or not made_from(found, job):
            missing.append(_as_diagnosed(job, found))
        else:
            stored.append((job, found))
    missing.sort(key=lambda j: (j.repeat, j.fold, labels.index(j.method.label)))
    return tuple(stored), tuple(missing)


def _stopped(found: Mapping[str, Any], limits: Limits) -> bool:
    """Whether a cell was stopped at a limit that is not there now, or wider."""
    return found["status"] == "failed" and "limit" in found and limits.beyond(found["limit"])


def _as_diagnosed(job: Job, found: Mapping[str, Any] | None) -> Job:
    """A cell that is made again for want of a view keeps its diagnosis."""
    if found is None or job.diagnosed_by or found.get("diagnosed_by") != diagnose.version():
        return job
    return replace(job, diagnosed_by=diagnose.version())


def cohort_frame(cohort: Cohort, truth: Callable[[Cohort], pd.DataFrame] | None) -> pd.DataFrame:
    """What is stored of a cohort's rows, its inputs and outcomes apart. truth: what its generator planted."""
    frame = pd.DataFrame({"row": np.arange(len(cohort)), "patient": cohort.patients, "group": cohort.groups})
    for name, column in (("site", cohort.site), ("time", cohort.time)):
        if column is not None:
            frame[name] = column
    if cohort.subgroups is not None:
        frame = frame.join(cohort.subgroups.add_prefix("subgroup:"))
    if cohort.weights is not None:
        frame = frame.join(pd.DataFrame(cohort.weights, columns=[f"weight:{t}" for t in cohort.task_names]))
    if cohort.variants is not None:
        frame = frame.join(cohort.variants)
    if truth is not None:
        planted = truth(cohort)
        frame = frame.join(pd.DataFrame({f"truth:{t}": planted[f"p:{t}"].to_numpy(np.float64) for t in cohort.task_names}))
    return frame


def method_part(spec: Spec, tuned: bool = False) -> tuple[Part, str]:
    """The identity of a method's cells: its settings, its code and the harness's (tuned: and the tuner's), the libraries' versions."""
    made = registry.method(spec)
    harness = [Path(bench.__file__).with_name(f"{name}.py") for name in ("harness", *(["tune", "trials"] if tuned else []))]
    used = [registry.file(registry.parse("methods", name)[0]) for name in getattr(made, "uses", ())]
    used += getattr(made, "files", ())
    code = provenance.code_version(registry.file(spec), *used, *harness, packages=getattr(made, "packages", ()))
    group = getattr(made, "group", getattr(made, "family", ""))
    return Part(spec.label, {"method": spec.id, "settings": registry.settings(spec), **code}), group


def _older(store: Store, dataset: Part, method: Part, protocol: Protocol | Draws, folder: Path) -> tuple[Path, list[str]]:
    """The folder of the same method by older code, where this code has none."""
    older = [store.root / dataset.folder / name / protocol.part.folder for name in store.same_but_code(dataset, method)]
    older = sorted((p for p in older if any(p.glob("*.parquet"))), key=lambda p: p.stat().st_mtime_ns)
    if any(folder.glob("*.parquet")) or not older:
        return folder, []
    return older[-1], [
        f"{method.label}: cells made by other code or library versions are taken as they are (--accept-code): {older[-1]}"
    ]


def _reference(reference: str | None, labels: list[str]) -> str:
    if reference is not None and reference not in labels:
        raise BenchError(registry.unknown("reference (it must be a method of the run)", reference, labels))
    return reference or ("single_task" if "single_task" in labels else labels[0])


def _save_run(
    store: Store,
    dataset: Part,
    protocol: Protocol,
    reference: str,
    folders: Mapping[str, Mapping[str, JSON]],
    receipt: Mapping[str, Any],
    words: Mapping[str, Any],
) -> None:
    """Methods of earlier runs under the same protocol stay listed, so that `bench report` can show them beside these.

    words: what was said of the cohort and, under `elsewhere`, of others.
    """

    def changed(before: dict[str, Any]) -> dict[str, JSON]:
        known = before.get("methods", {})
        now = {
            label: {**about, "repeats": _most(known.get(label, {}), about, protocol.repeats)} for label, about in folders.items()
        }
        splits_of = max(receipt, before.get("receipt", receipt), key=lambda one: len(one["folds"]))  # always the same of a repeat
        record: dict[str, JSON] = {
            "asked": list(now), "reference": reference, "repeats": protocol.repeats,
            "protocol": dict(protocol.part.identity), "methods": {**known, **now}, "receipt": splits_of, **words,
        }  # fmt: skip
        elsewhere = {**before.get("elsewhere", {}), **words["elsewhere"]}
        files = {**before.get("external", {}), **{name: about["file"] for name, about in elsewhere.items()}}
        return record | ({"external": files, "elsewhere": elsewhere} if files else {})

    store.change_run(dataset, protocol.part, changed)


def _most(before: Mapping[str, Any], now: Mapping[str, JSON], repeats: int) -> int:
    """Repeats there are of a method: those of an earlier run with the same code stay."""
    return max(repeats, int(before.get("repeats", 0)) if before.get("folder") == now["folder"] else 0)


def _too_few(cohort: Cohort, protocol: Protocol, made: Splits) -> list[str]:
    tested = np.unique(np.concatenate([split.test for split in made.parts])) if made.kind != RANDOM else np.arange(len(cohort))
    events = np.nansum(cohort.labels[tested], axis=0)
    few = [f"{task} ({int(e)})" for task, e in zip(cohort.task_names, events, strict=True) if e < 10 * protocol.folds]
    if not few:
        return []
    return [
        f"too few events to tell methods apart, under 10 a fold: {', '.join(few)}. Fewer folds, more patients or a commoner outcome help."
    ]
