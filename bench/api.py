"""The suite from Python: what `bench run` and `bench report` do, as two functions that return what they print."""

import os
from collections import Counter
from collections.abc import Container, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Interface

import numpy as np
import pandas as pd

from bench import claims, execute, harness, registry, report, store, suites
from bench.core import BenchError
from bench.draws import Draws
from bench.execute import Event
from bench.harness import Job, Plan, Protocol
from bench.report import diagnosis
from bench.report.sheet import Sheet
from bench.report.verdicts import Verdicts
from bench.report.verdicts import write as write_verdicts

QUICK_ROWS = 1500
# Seconds of a cell of 8,450 training rows and 4 outcomes on one thread, for methods this results folder has no cell of.
GUESS = 25.0
PREDICT = 2.5 / 20_000  # seconds a row that a draw is tested on


@dataclass(frozen=True)
class Outcome:
    """What a run gives: per dataset the stored results and the report made of them."""

    results: dict[str, store.Results]
    reports: dict[str, report.Report]
    folders: dict[str, Path]

    @property
    def scores(self) -> pd.DataFrame:
        """dataset, method, task, metric, value, sd, low, high, folds, n, events."""
        return _stacked({name: one.scores for name, one in self.reports.items()})

    @property
    def comparisons(self) -> pd.DataFrame:
        """dataset, method, reference, task, metric, difference, low, high, p, p_adjusted, estimand."""
        return _stacked({name: one.comparisons for name, one in self.reports.items()})

    @property
    def predictions(self) -> pd.DataFrame:
        """dataset, method, repeat, fold, row, view, y:<task>, p:<task>: every out-of-fold and validation prediction."""
        return _stacked({name: one.predictions for name, one in self.results.items()})

    @property
    def failed(self) -> pd.DataFrame:
        """The cells that ended in an error: dataset, method, repeat, fold, error."""
        cells = _stacked({name: one.cells for name, one in self.results.items()})
        return cells.loc[~cells["status"].isin(["done", "declined"]), ["dataset", "method", "repeat", "fold", "error"]]

    def table(self, dataset: str | None = None) -> str:
        """The comparison table as Markdown; of the first dataset if none is named."""
        name = next(iter(self.folders)) if dataset is None else dataset
        if name not in self.folders:
            raise BenchError(registry.unknown("dataset of this outcome", name, list(self.folders)))
        return (self.folders[name] / "table.md").read_text("utf-8")


@dataclass(frozen=True)
class Judged:
    """What a suite of claims gives: the verdicts, the folder of their report, and the cells that ended in an error."""

    verdicts: Verdicts
    folder: Path
    failed: pd.DataFrame  # dataset, method, repeat (the draw), fold, error


class Watch(Interface):
    """Who wants to see a run while it goes on."""

    def planned(self, plans: Sequence[Plan], forecast: float) -> None: ...

    def happened(self, event: Event) -> None: ...


def run(
    dataset: str | Sequence[str] = "surgical",
    methods: str | Sequence[str] = "all",
    *,
    folds: int | None = None,
    repeats: int = 1,
    seed: int = 0,
    reference: str | None = None,
    results: str | Path = "results",
    reports: str | Path = "reports",
    workers: int | None = None,
    quick: bool = False,
    accept_code: bool = False,
    retry_failed: bool = False,
    diagnose: bool = False,
    watch: Watch | None = None,
) -> Outcome:
    """Train what is missing, then score, test and write the tables. A rerun trains nothing and gives the same files.

    dataset, methods: a list of specs or one text with commas, `all` for every bundled one. folds: 5, or 2 if quick. reference: a method's
    label; `single_task` where it takes part. workers: processes of one thread each, as many as processors; 0 = in this process.
    quick: a first look, a subsample trained briefly, stored apart. diagnose: look at the fitted models too, see `diagnostics`; stored
    cells without are trained again, to the same predictions.
    Raises BenchError for anything a user can mend. A method that fails costs its own cells: see `Outcome.failed`.
    """
    protocol = _protocol(folds, repeats, seed, quick)
    count = _workers(workers)
    specs = registry.parse("methods", _text(methods))
    _make(Path(reports))
    plans = [
        harness.plan(one, specs, protocol, Path(results), reference, accept_code, retry_failed, diagnose) for one in registry.parse("datasets", _text(dataset))
    ]  # fmt: skip
    jobs = [job for plan in plans for job in plan.missing]
    outcome = Outcome({}, {}, {})
    left = Counter(job.dataset.label for job in jobs)
    references = {plan.spec.label: plan.reference for plan in plans}
    _announce(plans, jobs, count, watch)
    for plan in plans:
        if not left[plan.spec.label]:
            _add(outcome, plan.spec.label, Path(results), Path(reports), quick, None, plan.reference)
    with closing(_watched(jobs, count, watch)) as events:
        for event in events:
            name = event.job.dataset.label
            left[name] -= event.kind == "end"
            if event.kind == "end" and not left[name]:  # a dataset's tables are there before the next one is done
                _add(outcome, name, Path(results), Path(reports), quick, None, references[name])
    return outcome


def run_suite(
    suite: str,
    *,
    seed: int | None = None,
    results: str | Path = "results",
    reports: str | Path = "reports",
    workers: int | None = None,
    quick: bool = False,
    accept_code: bool = False,
    retry_failed: bool = False,
    diagnose: bool = False,
    watch: Watch | None = None,
) -> Outcome | Judged:
    """Run a suite: a bundled name or the path of a TOML file. A comparison is a `run`; claims are judged, see `bench.claims`.

    seed: instead of the suite's. quick: few patients and epochs, and few folds or draws. All else as for `run`.
    """
    name, content = suites.load(suite)
    if isinstance(content, suites.Comparison):
        own = content.protocol
        return run(
            content.datasets, content.methods, folds=None if quick else own.folds, repeats=own.repeats, seed=own.seed if seed is None else seed,
            reference=content.reference, results=results, reports=reports, workers=workers, quick=quick, accept_code=accept_code,
            retry_failed=retry_failed, diagnose=diagnose, watch=watch,
        )  # fmt: skip
    if seed is not None and seed < 0:
        raise BenchError(f"seed must be 0 or more, but is {seed}")
    count = _workers(workers)
    folder = Path(reports) / store.safe(name + ("-quick" if quick else ""))
    _make(folder)
    cases = claims.cases(content, quick=quick, seed=seed)
    plans = [
        harness.plan(
            dataset,
            methods,
            draws,
            Path(results),
            None,
            accept_code,
            retry_failed,
            diagnose or claims.diagnosed(cases, (dataset, draws)),
        )
        for (dataset, draws), methods in claims.needs(cases).items()
    ]
    claims.check_outcomes(cases, plans)
    jobs = sorted((job for plan in plans for job in plan.missing), key=_draw)
    _announce(plans, jobs, count, watch)
    with closing(_watched(jobs, count, watch)) as events:
        for _ in events:
            pass
    cells = claims.Cells(plans)
    warnings = ("quick look, not a result",) if quick else ()
    synthetic = any(hasattr(registry.loaded(plan.spec), "truth") for plan in plans)
    verdicts = Verdicts(content.text, claims.judge(cases, cells), (*warnings, *((harness.SYNTHETIC,) if synthetic else ())))
    write_verdicts(verdicts, folder)
    return Judged(verdicts, folder, cells.failed())


def make_report(
    dataset: str | Sequence[str] = "surgical",
    methods: str | Sequence[str] | None = None,
    *,
    reference: str | None = None,
    results: str | Path = "results",
    reports: str | Path = "reports",
    quick: bool = False,
) -> Outcome:
    """The tables again, from stored results alone. methods: those of the last run if None, `all` for every one stored."""
    outcome = Outcome({}, {}, {})
    there = store.labels(Path(results), quick)
    for name in registry.parts(_text(dataset)):
        stored = _as_stored("datasets", name, there)
        known = {"all", *there.get(stored, ())}
        labels = None if methods is None else [_as_stored("methods", m, known) for m in registry.parts(_text(methods))]
        chosen = None if reference is None else _as_stored("methods", reference, known)
        _add(outcome, stored, Path(results), Path(reports), quick, labels, chosen)
    if not outcome.results:
        raise BenchError("no dataset given. Name one that `bench run` was given.")
    return outcome


def diagnostics(
    dataset: str | Sequence[str] = "surgical",
    methods: str | Sequence[str] | None = None,
    *,
    results: str | Path = "results",
    reports: str | Path = "reports",
    quick: bool = False,
    full: bool = False,
) -> dict[Path, Sheet]:
    """What `run(..., diagnose=True)` found in the fitted models, from stored cells alone: a folder with diagnostics.csv, a sheet.

    full: every outcome and pair of outcomes on the sheet, not their means alone. The file has all of them.
    """
    there = store.labels(Path(results), quick)
    out: dict[Path, Sheet] = {}
    for name in registry.parts(_text(dataset)):
        stored = _as_stored("datasets", name, there)
        known = {"all", *there.get(stored, ())}
        labels = None if methods is None else [_as_stored("methods", m, known) for m in registry.parts(_text(methods))]
        found = store.read(Path(results), stored, quick=quick, methods=labels)
        folder = Path(reports) / store.safe(found.dataset + ("-quick" if quick else ""))
        out[folder] = diagnosis.write(found, folder, full)
    return out


def _announce(plans: Sequence[Plan], jobs: Sequence[Job], workers: int, watch: Watch | None) -> None:
    if watch is not None:
        watch.planned(plans, sum(_forecast(plan) for plan in plans) / max(1, min(workers, len(jobs))))


def _watched(jobs: Sequence[Job], workers: int, watch: Watch | None) -> Generator[Event, None, None]:
    """Do the jobs; each event, after the watch has seen it."""
    with closing(execute.run(jobs, workers)) as events:  # closed at once when stopped, not when collected
        for event in events:
            if watch is not None:
                watch.happened(event)
            yield event


def _draw(job: Job) -> tuple[str, int, int]:
    """Sorts jobs so that those that meet the same generated cohort follow one another."""
    return job.dataset.label, getattr(job.protocol, "rows", 0) or 0, job.repeat


def _workers(workers: int | None) -> int:
    if workers is not None and workers < 0:
        raise BenchError(f"workers must be 0 or more, but is {workers}")
    return _processors() if workers is None else workers


def _text(specs: str | Sequence[str]) -> str:
    return specs if isinstance(specs, str) else ",".join(specs)


def _as_stored(kind: registry.Kind, text: str, known: Container[str]) -> str:
    """A label of the results as it stands; anything else as `bench run` would have read it, if it can."""
    if text not in known:
        with suppress(BenchError):
            return registry.parse(kind, text)[0].label
    return text


def _add(
    outcome: Outcome, dataset: str, results: Path, reports: Path, quick: bool, methods: list[str] | None, reference: str | None
) -> None:
    """Read a dataset's newest run, write its tables, and put both into the outcome."""
    found = store.read(results, dataset, quick=quick, methods=methods, reference=reference)
    folder = reports / store.safe(found.dataset + ("-quick" if quick else ""))
    outcome.results[found.dataset], outcome.folders[found.dataset] = found, folder
    outcome.reports[found.dataset] = report.write(found, folder)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # said before hours of training, not after
        raise BenchError(f"cannot write to the reports folder: {error}") from error


def _protocol(folds: int | None, repeats: int, seed: int, quick: bool) -> Protocol:
    count = (2 if quick else 5) if folds is None else folds
    for name, value, least in (("folds", count, 2), ("repeats", repeats, 1), ("seed", seed, 0)):
        if value < least:
            raise BenchError(f"{name} must be {least} or more, but is {value}")
    return Protocol(count, repeats, seed, quick, QUICK_ROWS if quick else None)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _forecast(plan: Plan) -> float:
    """Seconds of one process for the missing cells: from stored cells of the same method, a guess by size otherwise."""
    known: dict[str, list[float]] = {}
    for job, record in plan.stored:
        known.setdefault(job.method.label, []).append(float(record["seconds"]))
    size = plan.protocol.learned(len(plan.cohort)) * len(plan.cohort.tasks)
    tested = plan.protocol.test if isinstance(plan.protocol, Draws) else 0
    guess = GUESS * size / (9_944 * 4) * (0.2 if plan.protocol.quick else 1) + PREDICT * tested
    return float(sum(np.mean(known.get(job.method.label, [guess])) for job in plan.missing))


def _stacked(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([frame.assign(dataset=name) for name, frame in frames.items()], ignore_index=True).pipe(_first, "dataset")


def _first(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    return frame[[column, *(c for c in frame.columns if c != column)]]


def glance(event: Event) -> tuple[float, float] | None:
    """Mean AUROC and AP over the outcomes of the cell that just ended, for the table that grows; None if it has none."""
    return _glance(event.job) if event.data.get("status") == "done" else None


def _glance(job: harness.Job) -> tuple[float, float]:
    from bench import metrics

    frame = pd.read_parquet(Path(job.folder) / f"{store.cell_name(job.repeat, job.fold)}.parquet")
    test = frame[frame["view"] == "test"]
    pairs = [(test[c].to_numpy(), test["p:" + c[2:]].to_numpy()) for c in test.columns if c.startswith("y:")]

    def mean(of: Iterator[float]) -> float:
        return float(np.nanmean(list(of)))

    return mean(metrics.auroc(y, p) for y, p in pairs), mean(metrics.average_precision(y, p) for y, p in pairs)
