"""The suite from Python: what `bench run` does, as a function that returns what it prints."""

import os
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Interface

import numpy as np
import pandas as pd

from bench import cards, claims, execute, harness, protocol, registry, store, suites, views
from bench.core import BenchError
from bench.draws import Draws
from bench.execute import Event
from bench.harness import Plan
from bench.jobs import Job
from bench.protocol import Protocol
from bench.registry import Spec
from bench.report.verdicts import Verdicts
from bench.report.verdicts import write as write_verdicts
from bench.stored import Outcome, add, ranked, text

# Seconds of a cell of 8,450 training rows and 4 outcomes on one thread, for methods this results folder has no cell of.
GUESS = 25.0
PREDICT = 2.5 / 20_000  # seconds a row that a draw is tested on


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
    dataset: "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]" = "surgical",
    methods: str | Sequence[str] = "all",
    *,
    folds: int | None = None,
    repeats: int = 1,
    seed: int = 0,
    split: str | None = None,
    cut: str | float | None = None,
    train_size: int | str | Sequence[int | str] | None = None,
    drop_modality: str | Sequence[str] = (),
    at: str = "test",
    missing: str | float | Sequence[float] = (),
    test_data: str | Sequence[str] = (),
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

    dataset, methods: a list of specs or one text with commas, `all` for every bundled one; a dataset may be a `bench.Cohort`.
    folds: 5, or 2 if quick. reference: a method's label; `single_task` where it takes part. workers: processes of one thread each, as
    many as processors; 0 = in this process. quick: a first look, a subsample trained briefly, stored apart. diagnose: look at the fitted
    models too, see `diagnostics`.

    split: random, site, time or a column of the cohort; None: what the dataset says, else random. cut: of time, a date, a number, or the
    share of the earliest rows (0.7). train_size: patients learned from at most, or all; several are several protocols, one after
    another, with the same test rows. drop_modality, at: modalities that no row has at the test, in train or both. missing: further
    predictions of the test rows, each modality missing with these probabilities. test_data: other cohorts that the fitted models
    predict, matched by name. Stored cells without these predictions, or without diagnostics, are trained again, to the same test
    predictions. Raises BenchError for anything a user can mend. A method that fails costs its own cells: see `Outcome.failed`.
    """
    count = _workers(workers)
    specs, others = registry.parse("methods", text(methods)), registry.parse("datasets", text(test_data)) if test_data else []
    rates, chosen = views.rates(missing), registry.parse("datasets", text(dataset))

    def protocols(spec: Spec) -> list[Protocol]:
        own = protocol.own_split(spec) if split is None else {"split": split}
        given = own if cut is None else {**own, "cut": str(cut)}
        return protocol.asked(
            folds=folds, repeats=repeats, seed=seed, quick=quick, train_size=train_size, drop=registry.parts(text(drop_modality)),
            at=at, **given,
        )  # fmt: skip

    asked = [(one, under) for one in chosen for under in protocols(one)]
    _make(Path(reports))
    plans = [
        harness.plan(one, specs, under, Path(results), reference, accept_code, retry_failed, diagnose, rates, others)
        for one, under in asked
    ]
    return _done(plans, Path(results), Path(reports), count, quick, watch)


def _done(plans: Sequence[Plan], results: Path, reports: Path, workers: int, quick: bool, watch: Watch | None) -> Outcome:
    """Do the missing cells of all plans; the tables of one are there before the next is done."""
    jobs = [job for plan in plans for job in plan.missing]
    outcome = Outcome({}, {}, {})
    left = Counter((job.dataset.label, job.protocol) for job in jobs)
    by_place = {(plan.spec.label, plan.protocol): plan for plan in plans}

    def report(plan: Plan) -> None:
        under = plan.protocol.part.folder
        add(outcome, store.read(results, plan.spec.label, quick=quick, reference=plan.reference, under=under), reports)

    _note(plans)
    _announce(plans, jobs, workers, watch)
    for place, plan in by_place.items():
        if not left[place]:
            report(plan)
    with closing(_watched(jobs, workers, watch)) as events:
        for event in events:
            place = event.job.dataset.label, event.job.protocol
            left[place] -= event.kind == "end"
            if event.kind == "end" and not left[place]:
                report(by_place[place])
    return ranked(outcome, reports)


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
        return run(
            content.datasets, content.methods, **content.protocol.options(quick, seed), reference=content.reference, results=results,
            reports=reports, workers=workers, quick=quick, accept_code=accept_code, retry_failed=retry_failed, diagnose=diagnose,
            watch=watch,
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
    _note(plans)
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


def _note(plans: Sequence[Plan]) -> None:
    """How each method was adapted, beside its cells. Here, not in the harness, whose code the cells' hash is of."""
    for job in {job.folder: job for plan in plans for job in (*plan.missing, *(job for job, _ in plan.stored))}.values():
        store.Store(Path(job.root)).note(Path(job.folder), job.about["code"], {"adapted": dict(cards.adapted(job.method))})


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


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # said before hours of training, not after
        raise BenchError(f"cannot write to the reports folder: {error}") from error


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


def glance(event: Event) -> tuple[float, float] | None:
    """Mean AUROC and AP over the outcomes of the cell that just ended, for the table that grows; None if it has none."""
    return _glance(event.job) if event.data.get("status") == "done" else None


def _glance(job: Job) -> tuple[float, float]:
    from bench import metrics

    frame = pd.read_parquet(Path(job.folder) / f"{store.cell_name(job.repeat, job.fold)}.parquet")
    test = frame[frame["view"] == "test"]
    pairs = [(test[c].to_numpy(), test["p:" + c[2:]].to_numpy()) for c in test.columns if c.startswith("y:")]

    def mean(of: Iterator[float]) -> float:
        return float(np.nanmean(list(of)))

    return mean(metrics.auroc(y, p) for y, p in pairs), mean(metrics.average_precision(y, p) for y, p in pairs)
