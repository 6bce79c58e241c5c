"""One cell of a run: what is to be done, as JSON can say it, and the doing of it. Stored the moment it ends."""

import functools
import os
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from bench import cells, devices, diagnose, draws, external, prep, provenance, registry, splits, trials, views
from bench.cells import Shown
from bench.core import JSON, BenchError, Cohort, Precision, Predictor, Run, Split, Unsupported
from bench.draws import Draws
from bench.meter import Meter, Shared
from bench.protocol import Protocol
from bench.registry import Spec
from bench.splits import RANDOM, Splits
from bench.store import Store, finite
from bench.views import View


@dataclass(frozen=True)
class Limits:
    """What one cell may take, its processes together; None: whatever it takes."""

    timeout: float | None = None  # seconds
    memory: int | None = None  # bytes

    def beyond(self, stopped: Mapping[str, Any]) -> bool:
        """Whether a cell that was stopped at these limits (`limit` in its record) may go further under this one."""
        wider = {"timeout": self.timeout, "memory": self.memory}
        return all(wider[name] is None or wider[name] > at for name, at in stopped.items())


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
    views: tuple[View, ...] = ()  # what is predicted besides test and validation rows
    tries: int = 1  # which try of the cell this is; more than 1 after its process was lost
    device: str = "cpu"
    sharers: int = 1  # processes that share the device
    others: tuple[tuple[int, int, str, str], ...] = ()  # repeat, fold and digests of cells to be trained with it as one
    follows: bool = False  # it is one of another's `others`: if that one's process lived, its cell is stored

    @property
    def name(self) -> str:
        place = f"draw {self.repeat}" if isinstance(self.protocol, Draws) else f"r{self.repeat}-f{self.fold}"
        return " ".join(filter(None, (self.method.label, self.protocol.word, place)))

    @property
    def precision(self) -> Precision:
        return "float32" if isinstance(self.protocol, Draws) else self.protocol.precision

    @property
    def followers(self) -> "list[Job]":
        return [
            replace(self, repeat=repeat, fold=fold, digest=digest, split_digest=split, others=(), follows=True)
            for repeat, fold, digest, split in self.others
        ]

    def json(self) -> dict[str, JSON]:
        value: Any = finite(asdict(self))
        return value

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Job":
        objects: dict[str, Any] = {key: Spec(**value[key]) for key in ("dataset", "method")}
        objects["protocol"] = (Draws if "test" in value["protocol"] else Protocol)(**value["protocol"])
        objects["views"] = tuple(View.from_json(view) for view in value["views"])
        objects["others"] = tuple(tuple(other) for other in value["others"])
        return Job(**{**value, **objects})


# a cell, whatever its method
Place: TypeAlias = tuple[Spec, Protocol | Draws, int, int, tuple[View, ...]]
# a model, facts of how its settings were found, and what it cost so far
Fitted: TypeAlias = tuple[Predictor, Mapping[str, JSON], Meter | Shared]


def run_cell(job: Job, report: Callable[[int, float], None], begun: Callable[[], None] = lambda: None) -> dict[str, JSON]:
    """Train and predict one cell and store it; its record. An exception of the method becomes the record of a failed cell.

    One that wants for memory is lost: beside other cells, or in a process that holds less, it may fit. A job with `others` stores theirs
    as well, each as it ends; where that comes to nothing it is trained by itself, as they are when their turn comes. begun: called when a
    trial of settings begins or ends.
    """
    if not job.others and not job.follows:
        _together.cache_clear()
    job = replace(job, device=devices.resolve(job.device, job.precision))  # on a cluster each worker has its own
    run = Run(device=job.device, precision=job.precision, quick=job.protocol.quick, report=report)
    devices.share(run.device, job.sharers)
    ended = job.follows or (job.others and job.tries > 1)  # as one of a group, even if its process was lost later
    found = _stored(job) if ended else _grouped(job, run) if job.others else None
    if found is not None:
        return found
    shown, record = _shown_to(job)
    return _done(job, shown, record, lambda: _alone(job, shown, run, begun), Meter(_prepared))


def _alone(job: Job, shown: Shown, run: Run, begun: Callable[[], None]) -> Fitted:
    """One cell's model, and the cost of this training alone: `tuned` has the seconds of the trials."""
    spec, tuned = _settled(job, shown, run, begun)
    meter = Meter(_prepared)
    return registry.method(spec).fit(*cells.fold(shown, run)), tuned, meter


def _settled(job: Job, shown: Shown, run: Run, begun: Callable[[], None] = lambda: None) -> tuple[Spec, Mapping[str, JSON]]:
    """The method's settings on this fold, and facts of how they were found: where the protocol does not tune, those of the job."""
    protocol = job.protocol
    if isinstance(protocol, Draws) or not protocol.tuning:
        return job.method, {}
    from bench import tune  # Optuna takes a second to load

    store, folder, place = Store(Path(job.root)), Path(job.folder), (job.repeat, job.fold)

    def keep(record: Mapping[str, JSON]) -> None:
        store.save_trials(folder, *place, record)
        begun()

    cell = tune.Cell(
        job.method, shown.valid, tune.seed_of(job.method, protocol.seed, *place),
        lambda method, told: method.fit(*cells.fold(shown, replace(run, report=told))), run.report, store.trials(folder, *place), keep,
    )  # fmt: skip
    return tune.settled(cell, tune.Budget(protocol.tune, protocol.tune_minutes))


def _grouped(job: Job, run: Run) -> dict[str, JSON] | None:
    """Train the job's cell and its followers' at once; its record, None if that one did not end so."""
    jobs = [job, *job.followers]
    places = [_shown_to(one, shown) for one, shown in zip(jobs, _together(tuple(map(_place, jobs))), strict=True)]
    method: Any = registry.method(job.method)
    shared, records = Shared(len(jobs), _prepared), dict[int, dict[str, JSON]]()
    try:
        fitted: Iterable[tuple[int, Predictor]] = method.fit_group([cells.fold(shown, run) for shown, _ in places])
        for k, predictor in fitted:
            shared.ended()
            shown, record = places[k]
            records[k] = _done(jobs[k], shown, record, functools.partial(_same, (predictor, {}, shared)), shared)
            shared.stored()
    except Exception:
        traceback.print_exc()  # a worker's log; each cell says for itself what is wrong with it
    return records.get(0)


def _prepared() -> float:
    return prep.clock.seconds


def _same(fitted: Fitted) -> Fitted:
    return fitted


def _shown_to(job: Job, found: tuple[Cohort, Shown] | None = None) -> tuple[Shown, dict[str, JSON]]:
    """What the job's cell shows its method, and the record as it is if all goes well."""
    cohort, shown = found or _shown(*_place(job))
    if job.digest and cohort.digest != job.digest:
        raise BenchError(f"'{job.dataset.label}' changed while the run was under way. Start the run again.")
    digests: dict[str, JSON] = {"cohort": cohort.digest, "split": splits.digest(shown.split)}
    return shown, _record(job, "done", "") | {"environment": provenance.environment(), "digests": digests}


def _done(job: Job, shown: Shown, record: dict[str, JSON], fit: Callable[[], Fitted], meter: Meter | Shared) -> dict[str, JSON]:
    predictions = None
    store = Store(Path(job.root))
    try:
        predictor, tuned, meter = fit()
        predicted, spent = cells.predicted(predictor, shown, meter.seconds)
        record |= {**meter.read(), "predict_seconds": spent}  # not of the diagnosis, or of what one cohort is shown besides
        more, shares = cells.viewed(predictor, shown)
        predicted = pd.concat([predicted, *more], ignore_index=True)
        facts: Any = finite({**predictor.facts, **tuned, **_diagnosed(job, shown, predictor)})
        record |= {"facts": facts, "alarms": cells.alarms(facts, predicted, shown.tested.task_names)}
        record |= {"views": {view.name: view.digest for view in job.views}, "masked": shares} if job.views else {}
        record, predictions = _with_older_views(store, job, record, predicted)  # only now: wrong facts, no predictions
    except Unsupported as reason:
        record |= {"status": "declined", "error": str(reason)}
    except (Exception, SystemExit) as error:
        status = "lost" if devices.no_memory(error) else "failed"
        record |= {"in_trial": True} if status == "lost" and trials.at_one(_tried(job), os.getpid()) else {}
        record |= {"status": status, "error": trials.said(error), "traceback": traceback.format_exc()}
    record = meter.read() | record
    store.save_cell(Path(job.folder), job.repeat, job.fold, record, predictions)
    return record


def _stored(job: Job) -> dict[str, JSON] | None:
    """The record of the job's cell if it is stored, done, and made from what the job says."""
    found = Store(Path(job.root)).cell(Path(job.folder), job.repeat, job.fold)
    return dict(found) if found is not None and found["status"] == "done" and made_from(found, job) else None


def made_from(record: Mapping[str, Any], job: Job) -> bool:
    """From the same patients and split, with the views it is to have, and diagnosed by this code if it is to be."""
    same = not job.digest or record["digests"] == {"cohort": job.digest, "split": job.split_digest}
    if not same or record["status"] != "done":
        return same
    there = record.get("views", {})
    seen = all(there.get(view.name) == view.digest for view in job.views)
    return seen and (not job.diagnosed_by or record.get("diagnosed_by") == job.diagnosed_by)


def lose_cell(
    job: Job, why: str, trace: str = "", limit: Mapping[str, JSON] | None = None, seconds: float = 0.0, in_trial: bool = False
) -> dict[str, JSON]:
    """Store and return the record of a cell whose process ended under it: lost, which the next run tries again.

    limit: the one it was stopped at, as in {"timeout": 1800.0}: failed, until there is a wider one. seconds: that it took. in_trial: see
    `lose_trial`. A cell that is done already, one of a group or made again for want of a view, stays as it is.
    """
    store = Store(Path(job.root))
    record = _record(job, "failed" if limit else "lost", why) | ({"traceback": trace} if trace else {})
    record |= (
        {"seconds": round(seconds, 3)} | ({"limit": dict(limit)} if limit else {}) | ({"in_trial": True} if in_trial else {})
    )
    before = store.cell(Path(job.folder), job.repeat, job.fold) or {}
    if before.get("status") != "done" or before["digests"] != record["digests"]:
        store.save_cell(Path(job.folder), job.repeat, job.fold, record, None)
    return record


def lose_trial(job: Job, pid: int, why: str, limit: Mapping[str, JSON]) -> bool:
    """Whether the process that ended was at a trial of the cell's settings; that it was lost is noted, a passed timeout as final."""
    record = _tried(job)
    there = trials.at_one(record, pid)
    if there:
        noted = trials.lost(record["under_way"], why, trials.LOSSES if "timeout" in limit else 1)
        Store(Path(job.root)).save_trials(Path(job.folder), job.repeat, job.fold, {**record, "under_way": noted})
    return there


def _tried(job: Job) -> dict[str, Any]:
    return Store(Path(job.root)).trials(Path(job.folder), job.repeat, job.fold) or {}


def _record(job: Job, status: str, error: str) -> dict[str, JSON]:
    """What every cell's record says. `method` is the label, under which tables show it."""
    return {
        **job.about, "status": status, "error": error, "method": job.method.label, "repeat": job.repeat, "fold": job.fold,
        "tries": job.tries, "device": job.device, "digests": {"cohort": job.digest, "split": job.split_digest}, "diagnosed_by": job.diagnosed_by,
    }  # fmt: skip


def _diagnosed(job: Job, shown: Shown, predictor: Predictor) -> dict[str, JSON]:
    if not job.diagnosed_by:
        return {}
    truth = getattr(registry.loaded(job.dataset), "truth", None)
    return {"diagnosis": diagnose.facts(predictor, shown.train, shown.test, truth)}


def _place(job: Job) -> Place:
    return job.dataset, job.protocol, job.repeat, job.fold, job.views


@functools.lru_cache(maxsize=1)  # the groups of several methods follow one another
def _together(places: tuple[Place, ...]) -> list[tuple[Cohort, Shown]]:
    return [_shown(*place) for place in places]


@functools.lru_cache(maxsize=1)  # the methods of a fold follow one another, and share what is prepared of its rows
def _shown(dataset: Spec, protocol: Protocol | Draws, repeat: int, fold: int, asked: tuple[View, ...]) -> tuple[Cohort, Shown]:
    cohort, split = _cell(dataset, protocol, repeat, fold)
    if isinstance(protocol, Draws):
        return cohort, Shown(cohort, cohort, split, protocol.seed, (), lambda view: cohort)
    encoded = protocol.encoded(cohort)
    gone = views.dropped(encoded, protocol.drop)
    learned, tested = (gone if protocol.at in (side, "both") else encoded for side in ("train", "test"))

    def other(view: View) -> Cohort:
        made, _ = other_cohort(dataset, protocol, view.external)
        return views.dropped(made, protocol.drop if protocol.at != "train" else ())

    return cohort, Shown(learned, tested, split, protocol.seed, asked, other)


def _with_older_views(
    store: Store, job: Job, record: dict[str, JSON], predictions: pd.DataFrame
) -> tuple[dict[str, JSON], pd.DataFrame]:
    """With the views that the stored cell has besides, where it is the same model's: it made the same test predictions."""
    folder, asked = Path(job.folder), {view.name for view in job.views}
    before = store.cell(folder, job.repeat, job.fold) or {}
    frame = store.predictions(folder, job.repeat, job.fold)
    older = [name for name in before.get("views", {}) if name not in asked]
    if frame is None or not older or not _alike(frame, predictions):
        return record, predictions
    merged: dict[str, Any] = dict(record)
    for key in ("views", "masked"):
        merged[key] = {name: value for name, value in before.get(key, {}).items() if name in older} | merged.get(key, {})
    return merged, pd.concat([predictions, frame[frame["view"].isin(older)]], ignore_index=True)


def _alike(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    """Whether the test predictions are the same."""
    first, second = (frame[frame["view"] == "test"].reset_index(drop=True) for frame in (a, b))
    return first.equals(second)


def _cell(dataset: Spec, protocol: Protocol | Draws, repeat: int, fold: int) -> tuple[Cohort, Split]:
    if isinstance(protocol, Draws):
        return draws.drawn(dataset, protocol, repeat)
    cohort, made = prepared(dataset, protocol, repeat)
    return views.narrowed(cohort, protocol.outcomes), made.parts[fold]


def prepared(dataset: Spec, protocol: Protocol, only: int | None = None) -> tuple[Cohort, Splits]:
    """The cohort with all its outcomes, and the splits of all repeats or of one. The same before and after the protocol knows how many
    folds there are.
    """
    protocol = replace(protocol, outcomes=())
    return _split(dataset, protocol if protocol.split == RANDOM else replace(protocol, folds=Protocol.folds), only)


@functools.lru_cache(maxsize=2)
def _split(dataset: Spec, protocol: Protocol, only: int | None) -> tuple[Cohort, Splits]:
    cohort = loaded(dataset)
    return cohort, protocol.on(cohort, only)


@functools.lru_cache(maxsize=2)  # that which is learned from and another one
def loaded(dataset: Spec) -> Cohort:
    return registry.load(dataset)


def forget() -> None:
    """Whatever was read before a run may have changed on disk since."""
    for kept in (loaded, _split, _shown, _together, other_cohort):
        kept.cache_clear()


@functools.lru_cache(maxsize=2)
def other_cohort(dataset: Spec, protocol: Protocol, other: Spec) -> tuple[Cohort, tuple[str, ...]]:
    """Another cohort as this dataset's methods may be shown it, and what did not match."""
    found, learned = loaded(other), prepared(dataset, protocol, 0)[0]
    external.distinct(found, learned)
    made, notices = external.aligned(found, views.narrowed(learned, protocol.outcomes))
    return made, tuple(notices)
