"""What is to be computed, and how one cell is: plan(...) -> jobs; run_cell(job) -> record, stored the moment it ends."""

import functools
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import bench
from bench import diagnose, draws, provenance, registry, splits
from bench.core import JSON, BenchError, Cohort, Inputs, Predictor, Rows, Run, Split, Unsupported
from bench.draws import Draws
from bench.meter import Meter
from bench.registry import Spec
from bench.store import Part, Store, finite, task_json

EPSILON = np.float32(1e-7)  # probabilities lie in [EPSILON, 1 - EPSILON]
SYNTHETIC = "Synthetic patients made by a generator: no evidence for or against a method."


@dataclass(frozen=True)
class Protocol:
    """How methods are compared. quick: a first look on `rows` patients, trained briefly."""

    folds: int = 5
    repeats: int = 1
    seed: int = 0
    quick: bool = False
    rows: int | None = None

    @property
    def part(self) -> Part:
        """Repeats are no part of it: they add cells to the same protocol."""
        identity = {k: v for k, v in asdict(self).items() if k != "repeats"}
        return Part(f"{'quick-' if self.quick else ''}cv{self.folds}", identity)

    def learned(self, rows: int) -> float:
        """Patients a cell learns from, validation among them, in a cohort of so many."""
        return (self.rows or rows) * (1 - 1 / self.folds)


@dataclass(frozen=True)
class Job:
    """One cell, as JSON can say it: no object of a plug-in crosses from process to process."""

    dataset: Spec
    method: Spec
    protocol: Protocol | Draws
    repeat: int
    fold: int
    root: str
    folder: str
    digest: str  # of the cohort; "" for a draw, whose cohort is made with the cell: its folder names generator and dials
    split_digest: str
    about: Mapping[str, JSON]  # settings, code and versions, stored with the cell
    diagnosed_by: str = ""  # the version of `diagnose` that looks at the fitted model; "": none

    @property
    def name(self) -> str:
        if isinstance(self.protocol, Draws):
            return f"{self.method.label} n={self.protocol.train} draw {self.repeat}"
        return f"{self.method.label} r{self.repeat}-f{self.fold}"

    def json(self) -> dict[str, JSON]:
        return finite(asdict(self))  # pyright: ignore[reportReturnType]

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Job":
        objects: dict[str, Any] = {key: Spec(**value[key]) for key in ("dataset", "method")}
        objects["protocol"] = (Draws if "test" in value["protocol"] else Protocol)(**value["protocol"])
        return Job(**{**value, **objects})


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
) -> Plan:
    """Load the cohort, split it, and find out which cells are missing. Writes what the cells' hashes are of, trains nothing.

    diagnosed: a cell without diagnostics of this code is missing too. Of draws only a small cohort is made: workers make theirs.
    """
    store = Store(results)
    if isinstance(protocol, Draws):
        cohort, dials, parts = draws.probe(dataset, protocol), draws.dials(dataset), ()
        cells = {(repeat, 0): ("", "") for repeat in range(protocol.repeats)}
    else:
        (cohort, parts), dials = _prepared(dataset, protocol), registry.settings(dataset)
        cells = {(s.repeat, s.fold): (cohort.digest, splits.digest(s)) for s in parts}
    dataset_part = Part(dataset.label, {"dataset": dataset.id, "dials": dials, "digest": cohort.digest})
    truth = getattr(registry.loaded(dataset), "truth", None)
    about: dict[str, JSON] = {"tasks": [task_json(t) for t in cohort.tasks], "note": SYNTHETIC if truth else ""}
    store.open(dataset_part, _cohort_frame(cohort, truth) if parts else None, about)
    labels = tuple(spec.label for spec in methods)
    chosen = _reference(reference, list(labels))
    notices = [*cohort.notices, *(_too_few(cohort, protocol) if isinstance(protocol, Protocol) else ())]
    by = diagnose.version() if diagnosed else ""
    jobs, folders = list[Job](), dict[str, Mapping[str, JSON]]()
    for spec in methods:
        getattr(registry.method(spec), "check", lambda tasks: None)(cohort.task_names)
        part, family = _method_part(spec)
        store.describe(dataset_part, part, protocol.part, {"family": family})
        folder = store.path(dataset_part, part, protocol.part)
        if accept_code:
            folder, notice = _older(store, dataset_part, part, protocol, folder)
            notices += notice
        folders[spec.label] = {"folder": folder.parent.name, "family": family}
        places = str(results.resolve()), str(folder.resolve())
        jobs += [Job(dataset, spec, protocol, *cell, *places, *digests, part.identity, by) for cell, digests in cells.items()]
    if isinstance(protocol, Protocol):
        _save_run(store, dataset_part, protocol, chosen, folders, splits.receipt(cohort, list(parts)))
    stored, missing = _sorted(store, jobs, labels, retry_failed)
    return Plan(dataset, cohort, dataset_part, protocol, chosen, labels, stored, missing, tuple(notices))


def _sorted(
    store: Store, jobs: list[Job], labels: tuple[str, ...], retry_failed: bool
) -> tuple[tuple[tuple[Job, Mapping[str, Any]], ...], tuple[Job, ...]]:
    """Jobs whose cell is stored, with its record, and those to be done, fold by fold so that methods share a preparation."""
    again = ("lost", "failed") if retry_failed else ("lost",)
    stored: list[tuple[Job, Mapping[str, Any]]] = []
    missing: list[Job] = []
    for job in jobs:
        found = store.cell(Path(job.folder), job.repeat, job.fold)
        if found is None or found["status"] in again or not _made_from(found, job):
            missing.append(job)
        else:
            stored.append((job, found))
    missing.sort(key=lambda j: (j.repeat, j.fold, labels.index(j.method.label)))
    return tuple(stored), tuple(missing)


def run_cell(job: Job, report: Callable[[int, float], None]) -> dict[str, JSON]:
    """Train and predict one cell and store it; its record. An exception of the method becomes the record of a failed cell."""
    cohort, split = _cell(job)
    if job.digest and cohort.digest != job.digest:
        raise BenchError(f"'{job.dataset.label}' changed while the run was under way. Start the run again.")
    digests: dict[str, JSON] = {"cohort": cohort.digest, "split": splits.digest(split)}
    record = _record(job, "done", "") | {"environment": provenance.environment(), "digests": digests}
    predictions = None
    meter = Meter()
    try:
        predictor, predicted = _trained(job, cohort, split, report)
        record |= meter.read()  # of training and predicting alone, not of the diagnosis
        facts: Any = finite({**predictor.facts, **_diagnosed(job, cohort, split, predictor)})
        record |= {"facts": facts, "alarms": _alarms(facts, predicted, cohort.task_names)}
        predictions = predicted  # only now: a cell whose facts are wrong has no predictions either
    except Unsupported as reason:
        record |= {"status": "declined", "error": str(reason)}
    except (Exception, SystemExit) as error:
        record |= {"status": "failed", "error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    record = meter.read() | record
    Store(Path(job.root)).save_cell(Path(job.folder), job.repeat, job.fold, record, predictions)
    return record


def lose_cell(job: Job, why: str) -> dict[str, JSON]:
    """Store and return the record of a cell whose process died under it. The next run tries it again."""
    record = _record(job, "lost", why)
    Store(Path(job.root)).save_cell(Path(job.folder), job.repeat, job.fold, record, None)
    return record


def _record(job: Job, status: str, error: str) -> dict[str, JSON]:
    """What every cell's record says. `method` is the label, under which tables show it."""
    return {
        **job.about, "status": status, "error": error, "method": job.method.label, "repeat": job.repeat, "fold": job.fold,
        "digests": {"cohort": job.digest, "split": job.split_digest}, "diagnosed_by": job.diagnosed_by,
    }  # fmt: skip


def _diagnosed(job: Job, cohort: Cohort, split: Split, predictor: Predictor) -> dict[str, JSON]:
    if not job.diagnosed_by:
        return {}
    truth = getattr(registry.loaded(job.dataset), "truth", None)
    return {"diagnosis": diagnose.facts(predictor, cohort.rows(split.train), cohort.rows(split.test), truth)}


def _trained(job: Job, cohort: Cohort, split: Split, report: Callable[[int, float], None]) -> tuple[Predictor, pd.DataFrame]:
    seed = int(np.random.SeedSequence([job.protocol.seed, job.repeat, job.fold]).generate_state(1)[0])
    run = Run(seed=seed, quick=job.protocol.quick, report=report)
    train, valid = cohort.rows(split.train), cohort.rows(split.valid)
    predictor = registry.method(job.method).fit(train, valid, run)
    views = {"test": split.test, "valid": split.valid}
    frames = [_predicted(predictor, cohort, view, rows, split.fold) for view, rows in views.items()]
    return predictor, pd.concat(frames, ignore_index=True)


def _predicted(predictor: Predictor, cohort: Cohort, view: str, rows: Rows, fold: int) -> pd.DataFrame:
    part = cohort.rows(rows)
    p = checked_probabilities(predictor.predict(part.inputs), part.inputs, len(part.tasks))
    columns: dict[str, Any] = {"row": rows, "patient": part.patients, "fold": np.int16(fold), "view": view}
    for t, task in enumerate(part.task_names):
        columns |= {f"y:{task}": part.labels[:, t], f"p:{task}": p[:, t]}
    return pd.DataFrame(columns)


def checked_probabilities(p: NDArray[Any], inputs: Inputs, tasks: int) -> NDArray[np.float32]:
    """What a method returned, as (n, T) float32 within [EPSILON, 1 - EPSILON], or an error that names the rule it broke."""
    p = np.asarray(p)
    if p.shape != (len(inputs), tasks):
        raise BenchError(f"predict must return shape ({len(inputs)}, {tasks}), but returned {p.shape}")
    bad = ~np.isfinite(p) | (p < 0) | (p > 1)
    if bad.any():
        raise BenchError(f"predict must return probabilities, but {int(bad.sum())} of {p.size} are none (first: {p[bad][0]})")
    return np.clip(p.astype(np.float32), EPSILON, 1 - EPSILON)


def _alarms(facts: Mapping[str, Any], predictions: pd.DataFrame, tasks: tuple[str, ...]) -> list[str]:
    """Signs that a model did not learn, whatever its numbers say."""
    test = predictions[predictions["view"] == "test"]
    constant = [task for task in tasks if test[f"p:{task}"].nunique() == 1]
    runs = facts.get("scores") or []
    traces = runs if runs and isinstance(runs[0], list | tuple) else [runs]
    alarms = [f"constant predictions for {', '.join(constant)}"] if constant and not facts.get("floor") else []
    if facts.get("steps") == 0:
        alarms.append("no training step was made")
    if any(len(trace) > 1 and len(set(trace)) == 1 for trace in traces):
        alarms.append("validation score never moved")
    return alarms


def _cell(job: Job) -> tuple[Cohort, Split]:
    if isinstance(job.protocol, Draws):
        return draws.drawn(job.dataset, job.protocol, job.repeat)
    cohort, parts = _prepared(job.dataset, job.protocol)
    return cohort, parts[job.repeat * job.protocol.folds + job.fold]


@functools.lru_cache(maxsize=2)
def _prepared(dataset: Spec, protocol: Protocol) -> tuple[Cohort, tuple[Split, ...]]:
    cohort = registry.load(dataset)
    within = splits.subsample(cohort, protocol.rows, protocol.seed) if protocol.rows else None
    return cohort, tuple(splits.make(cohort, protocol.folds, protocol.repeats, protocol.seed, within))


def _cohort_frame(cohort: Cohort, truth: Callable[[Cohort], pd.DataFrame] | None) -> pd.DataFrame:
    frame = pd.DataFrame({"row": np.arange(len(cohort)), "patient": cohort.patients, "group": cohort.groups})
    for name, column in (("site", cohort.site), ("time", cohort.time)):
        if column is not None:
            frame[name] = column
    if cohort.subgroups is not None:
        frame = frame.join(cohort.subgroups.add_prefix("subgroup:"))
    if cohort.weights is not None:
        frame = frame.join(pd.DataFrame(cohort.weights, columns=[f"weight:{t}" for t in cohort.task_names]))
    if truth is not None:
        planted = truth(cohort)
        frame = frame.join(pd.DataFrame({f"truth:{t}": planted[f"p:{t}"].to_numpy(np.float64) for t in cohort.task_names}))
    return frame


def _method_part(spec: Spec) -> tuple[Part, str]:
    """The identity of a method's cells: its settings, its code and the harness's, the libraries' versions."""
    made = registry.method(spec)
    used = [registry.file(registry.parse("methods", name)[0]) for name in getattr(made, "uses", ())]
    code = provenance.code_version(registry.file(spec), *used, Path(bench.__file__).with_name("harness.py"))
    group = getattr(made, "group", getattr(made, "family", ""))
    return Part(spec.label, {"method": spec.id, "settings": registry.settings(spec), **code}), group


def _made_from(record: Mapping[str, Any], job: Job) -> bool:
    """From the same patients and split, and diagnosed by this code if it is to be."""
    same = not job.digest or record["digests"] == {"cohort": job.digest, "split": job.split_digest}
    return same and (not job.diagnosed_by or record["status"] != "done" or record.get("diagnosed_by") == job.diagnosed_by)


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
) -> None:
    """Methods of earlier runs under the same protocol stay listed, so that `bench report` can show them beside these."""
    before = store.run(dataset, protocol.part)
    known = before.get("methods", {})
    folders = {
        label: {**about, "repeats": _most(known.get(label, {}), about, protocol.repeats)} for label, about in folders.items()
    }
    receipt = max(
        receipt, before.get("receipt", receipt), key=lambda one: len(one["folds"])
    )  # a repeat's splits are always the same
    record: dict[str, JSON] = {
        "asked": list(folders), "reference": reference, "repeats": protocol.repeats,
        "protocol": dict(protocol.part.identity), "methods": {**known, **folders}, "receipt": receipt,
    }  # fmt: skip
    store.save_run(dataset, protocol.part, record)


def _most(before: Mapping[str, Any], now: Mapping[str, JSON], repeats: int) -> int:
    """Repeats there are of a method: those of an earlier run with the same code stay."""
    return max(repeats, int(before.get("repeats", 0)) if before.get("folder") == now["folder"] else 0)


def _too_few(cohort: Cohort, protocol: Protocol) -> list[str]:
    events = np.nansum(cohort.labels, axis=0)
    few = [f"{task} ({int(e)})" for task, e in zip(cohort.task_names, events, strict=True) if e < 10 * protocol.folds]
    if not few:
        return []
    return [
        f"too few events to tell methods apart, under 10 a fold: {', '.join(few)}. Fewer folds, more patients or a commoner outcome help."
    ]
