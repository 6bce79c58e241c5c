"""One method fitted on a whole cohort: the model that is used afterwards, not one that is judged."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import cohorts, core, devices, protocol, registry, splits, views
from bench.cohorts.again import Rules
from bench.core import BenchError, Fold, Run, Split
from bench.protocol import Protocol
from bench.registry import Spec
from bench.saved.model import Model
from bench.saved.rows import Seen
from bench.saved.shape import Shape
from bench.splits import VALID_SHARE
from bench.splits.allocation import allocate, counted


def fit(
    method: str | Spec,
    dataset: "str | Path | Spec | core.Cohort" = "surgical",
    *,
    seed: int = 0,
    text: str = protocol.TFIDF,
    series: str = protocol.WINDOWS,
    outcomes: str | Sequence[str] = (),
    precision: str = "float32",
    quick: bool = False,
    device: str = "cpu",
    threads: int = 1,
    report: Callable[[int, float], None] = lambda step, score: None,
) -> Model:
    """A method trained on all rows of a cohort but 15 % of the groups, stratified by outcomes, which say when to stop.

    method: one spec, as in "mmoe:experts=16". dataset: a spec, a cohort file (.toml) or a cohort; a cohort file's own rules of reading go
    with the model. text, series, outcomes, precision: as for `bench.run`. quick: about 1,500 rows, trained briefly. No row is left to
    judge the model by: what it is worth, `bench.run` says. BenchError for anything a user can mend.
    """
    spec = one_method(method)
    cohort, rules = _cohort(dataset)
    names = registry.parts(outcomes) if isinstance(outcomes, str) else list(outcomes)
    under = protocol.asked(seed=seed, quick=quick, text=text, series=series, outcomes=names, precision=precision)[0].fitting(
        cohort
    )
    split = whole(cohort, under)
    cohort = under.encoded(views.narrowed(cohort, under.outcomes))
    made: Any = registry.method(spec)
    getattr(made, "check", lambda tasks: None)(cohort.task_names)
    drawn = int(np.random.SeedSequence([seed, split.repeat, split.fold]).generate_state(1)[0])  # as of a run's first cell
    run = Run(drawn, devices.resolve(device, precision), under.precision, threads, quick, report)
    train = cohort.rows(split.train)
    predictor = made.fit(*Fold(train, cohort.rows(split.valid), run))
    about: dict[str, core.JSON] = {
        "cohort": cohort.name, "digest": cohort.digest, "train_rows": len(split.train), "valid_rows": len(split.valid), "seed": seed,
        "quick": quick, "text": under.text, "series": under.series, "precision": under.precision, "definitions": dict(cohort.definitions),
    }  # fmt: skip
    return of(predictor, spec, train, rules, about)


def of(
    predictor: core.Predictor,
    method: str | Spec,
    train: core.Cohort,
    rules: Rules | None = None,
    about: "dict[str, core.JSON] | None" = None,
) -> Model:
    """The model of any fitted predictor. train: the rows it was fitted on. rules: how tables are read; by columns' names if None."""
    told = about or {"cohort": train.name, "digest": train.digest, "train_rows": len(train)}
    shape, seen = Shape.of(train.inputs), Seen.of(predictor, train)
    return Model(predictor, one_method(method), train.tasks, shape, rules or Rules.plain(train), told, seen=seen)


def one_method(method: str | Spec) -> Spec:
    if isinstance(method, Spec):
        return method
    specs = registry.parse("methods", method)
    if len(specs) > 1:
        raise BenchError(f"a model is of one method, but got {len(specs)}: {', '.join(spec.label for spec in specs[:5])}")
    return specs[0]


def whole(cohort: core.Cohort, under: Protocol) -> Split:
    """All rows (quick: a subsample) in two sides, 15 % of the groups to validate on, stratified as in the folds of a run."""
    rows = splits.subsample(cohort, under.rows, under.seed) if under.rows else np.arange(len(cohort))
    codes, owner = np.unique(cohort.groups[rows], return_inverse=True)
    if len(codes) < 2:
        raise BenchError(f"a model needs 2 patients or more to learn from, but '{cohort.name}' has {len(codes)}")
    rng = np.random.default_rng(np.random.SeedSequence([under.seed, 0]))
    part = allocate(counted(cohort.labels[rows], owner, len(codes)), np.array([1 - VALID_SHARE, VALID_SHARE]), rng)[owner]
    return Split(0, 0, rows[part == 0], rows[part == 1], rows[:0])


def _cohort(dataset: "str | Path | Spec | core.Cohort") -> tuple[core.Cohort, Rules | None]:
    """With the rules of a cohort file, where it comes from one."""
    file = getattr(dataset, "file", None)
    if isinstance(dataset, core.Cohort) and (file is None or dataset.digest != getattr(dataset, "whole", "")):
        return dataset, None
    spec = dataset if isinstance(dataset, Spec) else _one_dataset(dataset)
    if Path(spec.path).suffix.lower() != ".toml":
        return registry.load(spec), None
    dials: dict[str, Any] = registry.settings(spec)
    cohort, source = cohorts.loaded(spec.path, **dials)
    return cohort, Rules.of(source)


def _one_dataset(dataset: Any) -> Spec:
    specs = registry.parse("datasets", os.fspath(dataset))
    if len(specs) > 1:
        raise BenchError(f"a model is fitted on one dataset, but got {len(specs)}: {', '.join(spec.label for spec in specs[:5])}")
    return specs[0]
