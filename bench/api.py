"""The suite from Python: what `bench run` does, as a function that returns what it prints."""

import os
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack
from typing import Protocol as Interface

import pandas as pd

from bench import cards, claims, execute, harness, pairs, planning, progress, protocol, registry, store, suites
from bench.core import BenchError
from bench.execute import Asked, Event, How, shards
from bench.execute.shards import Shard
from bench.harness import Plan
from bench.jobs import Job, forget
from bench.planning import profiles
from bench.report import Settings
from bench.report.pairs import Matrices, Matrix
from bench.report.pairs import write as write_pairs
from bench.report.verdicts import Verdicts
from bench.report.verdicts import write as write_verdicts
from bench.stored import Outcome, add, ranked


@dataclass(frozen=True)
class Judged:
    """What a suite of claims gives: the verdicts, the folder of their report, and the cells that ended in an error."""

    verdicts: Verdicts
    folder: Path
    failed: pd.DataFrame  # dataset, method, repeat (the draw), fold, error


@dataclass(frozen=True)
class Paired:
    """What a suite of pairs gives: what outcomes buy each other, the folder of the report, and the cells that ended in an error."""

    matrices: Matrices
    folder: Path
    failed: pd.DataFrame  # dataset, method, repeat, fold, error


class Watch(Interface):
    """Who wants to see a run while it goes on."""

    def planned(self, plans: Sequence[Plan], forecast: float) -> None: ...

    def happened(self, event: Event) -> None: ...


@store.writing()
def run(
    dataset: "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]" = "surgical",
    methods: str | Sequence[str] = "all",
    *,
    folds: int | None = None,
    repeats: int | None = None,
    seed: int | None = None,
    split: str | None = None,
    cut: str | float | None = None,
    train_size: int | str | Sequence[int | str] | None = None,
    drop_modality: str | Sequence[str] = (),
    at: str = "test",
    missing: str | float | Sequence[float] = (),
    test_data: str | Sequence[str] = (),
    text: str = protocol.TFIDF,
    series: str = protocol.WINDOWS,
    outcomes: str | Sequence[str] = (),
    precision: str = "float32",
    tune: int = 0,
    tune_minutes: float = 0.0,
    reference: str | None = None,
    against: str | Path | None = None,
    results: str | Path = "results",
    reports: str | Path = "reports",
    quick: bool = False,
    profile: str | None = None,
    settings: Settings | None = None,
    accept_code: bool = False,
    retry_failed: bool = False,
    diagnose: bool = False,
    watch: Watch | None = None,
    **asked: Unpack[Asked],
) -> Outcome:
    """Train what is missing, then score, test and write the tables. A rerun trains nothing and gives the same files.

    dataset to tune_minutes, quick and against say what is compared and how: see `bench.planning.Options`. reference: a method's label;
    `single_task` where it takes part. profile: quick, standard or paper, see `bench.planning.profiles`. settings: how the report judges
    and shows, the plan that it is held against among them. diagnose: look at the fitted models too, see `diagnostics`. Stored cells
    without what is asked for by `missing`, `test_data` or `diagnose` are trained again, to the same test predictions. asked: how cells
    are run, see `bench.execute.Asked`. Raises BenchError for anything a user can mend. A method that fails costs its own cells: see
    `Outcome.failed`.
    """
    words = {name: value for name, value in locals().items() if name in planning.Options.__annotations__}
    how, mine, chosen = execute.chosen(asked, precision), _shard(asked), profiles.chosen(profile, quick)
    forget()
    wanted = planning.wanted(profiles.applied(chosen, {**words, "quick": chosen.quick}), reference)
    judged = settings or Settings(resamples=chosen.resamples)
    if judged.plan is not None:
        planning.kept(wanted, judged.plan)
    _make(Path(reports))
    plans = planning.plans_of(wanted, Path(results), planning.Taken(accept_code, retry_failed, diagnose, how.limits))
    wanted.beside.check(plans)
    if judged.plan is not None:
        plans[0] = replace(plans[0], notices=(*plans[0].notices, *planning.departing(plans, judged.plan)))
    if mine is not None:
        return _sharded(mine, plans, how, watch)
    return _done(plans, Path(results), Path(reports), how, judged, watch, wanted.beside.merged)


@store.writing()
def run_plan(plan: str | Path, *, given: Mapping[str, Any] | None = None, **options: Any) -> Outcome:
    """Run what a locked plan says, and hold the report against it. given: words of `run` that must not contradict it.

    options: those of `run` that say where and by what (results, reports, workers ...). BenchError where the plan was changed, or where a
    cohort is no longer what it was.
    """
    locked, words = planning.options(Path(plan), given or {})
    return run(**words, settings=Settings.chosen(locked), **options)


def _done(
    plans: Sequence[Plan],
    results: Path,
    reports: Path,
    how: How,
    judged: Settings,
    watch: Watch | None,
    shown: Callable[[store.Results], store.Results],
) -> Outcome:
    """Do the missing cells of all plans; the tables of one are there before the next is done.

    The last plan of a dataset, of its largest training size, waits for the others: its tables have the learning curve. shown: what is
    made of the results of a plan before they are told.
    """
    jobs = [job for plan in plans for job in plan.missing]
    outcome = Outcome({}, {}, {})
    left = Counter((job.dataset.label, job.protocol) for job in jobs)
    waiting = {(plan.spec.label, plan.protocol): plan for plan in plans}
    largest = {label: (label, under) for label, under in waiting}

    def report() -> None:
        for place, plan in list(waiting.items()):
            if not any(left[other] for other in left if other == place or (other[0], place) in largest.items()):
                under = plan.protocol.part.folder
                with execute.one_thread() if any(left.values()) else nullcontext():  # while workers have all processors
                    found = store.read(results, place[0], quick=plan.protocol.quick, reference=plan.reference, under=under)
                    add(outcome, shown(found), reports, judged)
                del waiting[place]

    _note(plans)
    plans = _told(plans, jobs, how)
    _announce(plans, jobs, how.workers, watch)
    report()
    with closing(_watched(jobs, how, watch)) as events:
        for event in events:
            if event.kind == "end":
                left[event.job.dataset.label, event.job.protocol] -= 1
                report()
    return ranked(outcome, reports)


@store.writing()
def run_suite(
    suite: str,
    *,
    seed: int | None = None,
    results: str | Path = "results",
    reports: str | Path = "reports",
    quick: bool = False,
    profile: str | None = None,
    accept_code: bool = False,
    retry_failed: bool = False,
    diagnose: bool = False,
    watch: Watch | None = None,
    **asked: Unpack[Asked],
) -> Outcome | Judged | Paired:
    """Run a suite: a bundled name or the path of a TOML file. A comparison is a `run`; claims are judged, see `bench.claims`, and so
    are pairs of outcomes, see `bench.pairs`.

    seed: instead of the suite's. quick: few patients and epochs, and few folds or draws. profile: instead of the suite's, and of what
    its protocol says of the same; claims and pairs have quick and standard alone. All else as for `run`.
    """
    name, content = suites.load(suite)
    if isinstance(content, suites.Comparison):
        return run(
            **profiles.of_comparison(content, profile, quick, seed), results=results, reports=reports, accept_code=accept_code,
            retry_failed=retry_failed, diagnose=diagnose, watch=watch, **asked,
        )  # fmt: skip
    quick = profiles.of_others(name, profile, quick)
    if seed is not None and seed < 0:
        raise BenchError(f"seed must be 0 or more, but is {seed}")
    how, mine = execute.chosen(asked), _shard(asked)
    forget()
    folder = Path(reports) / store.safe(name + ("-quick" if quick else ""))
    _make(folder)
    if isinstance(content, suites.Pairing):
        places = pairs.places(
            content, Path(results), quick=quick, seed=seed, accept_code=accept_code, retry_failed=retry_failed, limits=how.limits
        )
        plans = [plan for place in places for plan in place.plans.values()]
        if mine is not None:
            return _sharded(mine, plans, how, watch)
        _trained(plans, how, watch)
        return _paired(content.text, places, Path(results), folder, quick)
    cases = claims.cases(content, quick=quick, seed=seed)
    plans = planning.of_claims(cases, Path(results), planning.Taken(accept_code, retry_failed, diagnose, how.limits))
    if mine is not None:
        return _sharded(mine, plans, how, watch)
    _trained(plans, how, watch)
    return _judged(content.text, cases, plans, folder, quick)


def _judged(title: str, cases: Sequence[claims.Case], plans: Sequence[Plan], folder: Path, quick: bool) -> Judged:
    cells = claims.Cells(plans)
    warnings = ("quick look, not a result",) if quick else ()
    synthetic = any(hasattr(registry.loaded(plan.spec), "truth") for plan in plans)
    verdicts = Verdicts(title, claims.judge(cases, cells), (*warnings, *((harness.SYNTHETIC,) if synthetic else ())))
    write_verdicts(verdicts, folder)
    return Judged(verdicts, folder, cells.failed())


def _shard(asked: Asked) -> Shard | None:
    text = asked.get("shard")
    return None if text is None else Shard.parse(text)


def _sharded(shard: Shard, plans: Sequence[Plan], how: How, watch: Watch | None) -> Outcome:
    """Do the cells of one shard. No tables: half of them would be read as a result."""
    return Outcome({}, {}, {}, part=shards.left(shard, plans, _trained(shard.part(plans), how, watch)))


def _trained(plans: Sequence[Plan], how: How, watch: Watch | None) -> list[Mapping[str, Any]]:
    """Do the missing cells of all plans, whatever comes of each; their records."""
    jobs = sorted((job for plan in plans for job in plan.missing), key=_draw)
    _note(plans)
    plans = _told(plans, jobs, how)
    _announce(plans, jobs, how.workers, watch)
    with closing(_watched(jobs, how, watch)) as events:
        return [event.data for event in events if event.kind == "end"]


def _paired(title: str, places: Sequence[pairs.Place], results: Path, folder: Path, quick: bool) -> Paired:
    found = [one for place in places for one in pairs.judged(place, results, resamples=Settings().drawn(quick))]
    if why := pairs.unjudged(found):
        raise BenchError(why)
    matrices = Matrices(title, tuple(Matrix(one.results, one.method, one.pairs, one.reason) for one in found))
    write_pairs(matrices, folder)
    return Paired(matrices, folder, pd.concat([one.failed for one in found], ignore_index=True))


def _note(plans: Sequence[Plan]) -> None:
    """How each method was adapted, beside its cells. Here, not in the harness, whose code the cells' hash is of."""
    for job in {job.folder: job for plan in plans for job in (*plan.missing, *(job for job, _ in plan.stored))}.values():
        store.Store(Path(job.root)).note(Path(job.folder), job.about["code"], {"adapted": dict(cards.adapted(job.method))})


def _told(plans: Sequence[Plan], jobs: Sequence[Job], how: How) -> Sequence[Plan]:
    """The plans, the first with a notice of the networks whose cells are trained one by one though groups were asked for."""
    said = execute.said(jobs) if how.group else []
    return [replace(plan, notices=(*plan.notices, *said)) if i == 0 else plan for i, plan in enumerate(plans)]


def _announce(plans: Sequence[Plan], jobs: Sequence[Job], workers: int, watch: Watch | None) -> None:
    if watch is not None:
        watch.planned(plans, sum(progress.forecast(plan) for plan in plans) / max(1, min(workers, len(jobs))))


def _watched(jobs: Sequence[Job], how: How, watch: Watch | None) -> Generator[Event, None, None]:
    """Do the jobs; each event, after the watch has seen it."""
    with closing(execute.run(jobs, how)) as events:  # closed at once when stopped, not when collected
        for event in events:
            if watch is not None:
                watch.happened(event)
            yield event


def _draw(job: Job) -> tuple[str, int, int]:
    """Sorts jobs so that those that meet the same generated cohort follow one another."""
    return job.dataset.label, getattr(job.protocol, "rows", 0) or 0, job.repeat


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # said before hours of training, not after
        raise BenchError(f"cannot write to the reports folder: {error}") from error
