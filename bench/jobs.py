"""One cell of a run: what is to be done, as JSON can say it, and the doing of it. Stored the moment it ends."""

import functools
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench import cells, diagnose, draws, external, provenance, registry, splits, views
from bench.cells import Shown
from bench.core import JSON, BenchError, Cohort, Predictor, Split, Unsupported
from bench.draws import Draws
from bench.meter import Meter
from bench.protocol import Protocol
from bench.registry import Spec
from bench.splits import RANDOM, Splits
from bench.store import Store, finite
from bench.views import View


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

    @property
    def name(self) -> str:
        place = f"draw {self.repeat}" if isinstance(self.protocol, Draws) else f"r{self.repeat}-f{self.fold}"
        return " ".join(filter(None, (self.method.label, self.protocol.word, place)))

    def json(self) -> dict[str, JSON]:
        return finite(asdict(self))  # pyright: ignore[reportReturnType]

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Job":
        objects: dict[str, Any] = {key: Spec(**value[key]) for key in ("dataset", "method")}
        objects["protocol"] = (Draws if "test" in value["protocol"] else Protocol)(**value["protocol"])
        objects["views"] = tuple(View.from_json(view) for view in value["views"])
        return Job(**{**value, **objects})


def run_cell(job: Job, report: Callable[[int, float], None]) -> dict[str, JSON]:
    """Train and predict one cell and store it; its record. An exception of the method becomes the record of a failed cell."""
    cohort, split = _cell(job)
    if job.digest and cohort.digest != job.digest:
        raise BenchError(f"'{job.dataset.label}' changed while the run was under way. Start the run again.")
    digests: dict[str, JSON] = {"cohort": cohort.digest, "split": splits.digest(split)}
    record = _record(job, "done", "") | {"environment": provenance.environment(), "digests": digests}
    predictions = None
    meter = Meter()
    store = Store(Path(job.root))
    shown = _shown(job, cohort, split)
    try:
        spec, tuned = _settled(job, shown, store, report)
        meter = Meter() if tuned else meter  # `tuned` has the seconds of the trials
        predictor = cells.fitted(registry.method(spec), shown, job.protocol.quick, report)
        predicted = cells.predicted(predictor, shown)
        record |= meter.read()  # of training and predicting alone, not of the diagnosis or of what one cohort is shown besides
        more, shares = cells.viewed(predictor, shown)
        predicted = pd.concat([predicted, *more], ignore_index=True)
        facts: Any = finite({**predictor.facts, **tuned, **_diagnosed(job, shown, predictor)})
        record |= {"facts": facts, "alarms": cells.alarms(facts, predicted, cohort.task_names)}
        record |= {"views": {view.name: view.digest for view in job.views}, "masked": shares} if job.views else {}
        record, predictions = _with_older_views(store, job, record, predicted)  # only now: wrong facts, no predictions
    except Unsupported as reason:
        record |= {"status": "declined", "error": str(reason)}
    except (Exception, SystemExit) as error:
        record |= {"status": "failed", "error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    record = meter.read() | record
    store.save_cell(Path(job.folder), job.repeat, job.fold, record, predictions)
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


def _settled(job: Job, shown: Shown, store: Store, report: Callable[[int, float], None]) -> tuple[Spec, Mapping[str, JSON]]:
    """The method's settings on this fold, and facts of how they were found: where the protocol does not tune, those of the job."""
    protocol, folder, place = job.protocol, Path(job.folder), (job.repeat, job.fold)
    if isinstance(protocol, Draws) or not protocol.tuning:
        return job.method, {}
    from bench import tune  # Optuna takes a second to load

    cell = tune.Cell(
        job.method, shown.learned.rows(shown.split.valid), tune.seed_of(job.method, protocol.seed, *place),
        lambda method, told: cells.fitted(method, shown, protocol.quick, told), report, store.trials(folder, *place),
        lambda record: store.save_trials(folder, *place, record),
    )  # fmt: skip
    return tune.settled(cell, tune.Budget(protocol.tune, protocol.tune_minutes))


def _diagnosed(job: Job, shown: Shown, predictor: Predictor) -> dict[str, JSON]:
    if not job.diagnosed_by:
        return {}
    truth = getattr(registry.loaded(job.dataset), "truth", None)
    held_out = shown.tested.rows(shown.split.test)
    return {"diagnosis": diagnose.facts(predictor, shown.learned.rows(shown.split.train), held_out, truth)}


def _shown(job: Job, cohort: Cohort, split: Split) -> Shown:
    protocol = job.protocol
    if isinstance(protocol, Draws):
        return Shown(cohort, cohort, split, protocol.seed, (), lambda view: cohort)
    cohort = protocol.encoded(cohort)
    gone = views.dropped(cohort, protocol.drop)
    learned, tested = (gone if protocol.at in (side, "both") else cohort for side in ("train", "test"))

    def other(view: View) -> Cohort:
        made, _ = other_cohort(job.dataset, protocol, view.external)
        return views.dropped(made, protocol.drop if protocol.at != "train" else ())

    return Shown(learned, tested, split, protocol.seed, job.views, other)


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


def _cell(job: Job) -> tuple[Cohort, Split]:
    if isinstance(job.protocol, Draws):
        return draws.drawn(job.dataset, job.protocol, job.repeat)
    cohort, made = prepared(job.dataset, job.protocol)
    return views.narrowed(cohort, job.protocol.outcomes), made.parts[job.repeat * job.protocol.folds + job.fold]


def prepared(dataset: Spec, protocol: Protocol) -> tuple[Cohort, Splits]:
    """The cohort with all its outcomes. The same before and after the protocol knows how many folds there are."""
    protocol = replace(protocol, outcomes=())
    return _split(dataset, protocol if protocol.split == RANDOM else replace(protocol, folds=Protocol.folds))


@functools.lru_cache(maxsize=2)
def _split(dataset: Spec, protocol: Protocol) -> tuple[Cohort, Splits]:
    cohort = _loaded(dataset)
    return cohort, protocol.on(cohort)


@functools.lru_cache(maxsize=2)  # that which is learned from and another one
def _loaded(dataset: Spec) -> Cohort:
    return registry.load(dataset)


def forget() -> None:
    """Whatever was read before a run may have changed on disk since."""
    for kept in (_loaded, _split, other_cohort):
        kept.cache_clear()


@functools.lru_cache(maxsize=2)
def other_cohort(dataset: Spec, protocol: Protocol, other: Spec) -> tuple[Cohort, tuple[str, ...]]:
    """Another cohort as this dataset's methods may be shown it, and what did not match."""
    found, learned = _loaded(other), prepared(dataset, protocol)[0]
    external.distinct(found, learned)
    made, notices = external.aligned(found, views.narrowed(learned, protocol.outcomes))
    return made, tuple(notices)
