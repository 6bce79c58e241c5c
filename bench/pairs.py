"""A suite of pairs: which runs it needs, and what they say of which outcomes help which.

A run is the same method under the same protocol on some outcomes alone (`Protocol.outcomes`): each outcome, each pair, and all.
The split is made on all outcomes, so that every run has the same training and test rows. An outcome alone is trained by the same
method with one head, so that a gain is one of sharing. The run of all is diagnosed, for the affinities. What is judged: see
`bench.stats.pairs`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench import harness, protocol, registry, store
from bench.core import BenchError
from bench.harness import Plan
from bench.jobs import Limits, prepared
from bench.protocol import Protocol
from bench.registry import Spec
from bench.stats import pairs
from bench.stats.pairs import Arm, Pairs
from bench.store import Results
from bench.suites import Pairing
from bench.views import narrowed

LEAST = 2  # outcomes


@dataclass(frozen=True, eq=False)
class Place:
    """A dataset, with the plan of each of its runs."""

    dataset: Spec
    tasks: Arm
    methods: tuple[str, ...]
    plans: Mapping[Arm, Plan]


@dataclass(frozen=True, eq=False)
class Judged:
    """One method on one dataset. results: of all outcomes together. pairs: None where there is nothing to judge: see `reason`."""

    results: Results
    method: str
    pairs: Pairs | None
    reason: str
    failed: pd.DataFrame  # dataset, method, repeat, fold, error


def places(
    suite: Pairing,
    results: Path,
    *,
    quick: bool = False,
    seed: int | None = None,
    accept_code: bool = False,
    retry_failed: bool = False,
    limits: Limits | None = None,
) -> list[Place]:
    """What is to be run, the run of all outcomes last: it is the newest then, the one that `bench report` shows.

    seed: instead of the suite's. BenchError for a dataset with fewer than two outcomes, and for whatever a run refuses.
    """
    methods = [spec for text in suite.methods for spec in registry.parse("methods", text)]
    out: list[Place] = []
    for dataset in (spec for text in suite.datasets for spec in registry.parse("datasets", text)):
        under = _protocol(suite, dataset, quick, seed)
        cohort = prepared(dataset, under)[0]
        chosen = under.fitting(cohort).outcomes
        tasks = narrowed(cohort, chosen).task_names
        if len(tasks) < LEAST:
            raise BenchError(
                f"pairs need {LEAST} outcomes or more, but '{dataset.label}' has {len(tasks)} here: {', '.join(tasks)}"
            )
        plans: dict[Arm, Plan] = {}
        for arm in pairs.arms(tasks):
            whole = len(arm) == len(tasks)
            one = replace(under, outcomes=tuple(sorted(arm)))
            made = harness.plan(dataset, methods, one, results, None, accept_code, retry_failed, diagnosed=whole, limits=limits)
            plans[arm] = made if whole else replace(made, notices=())  # what is said of all is true of a part
        out.append(Place(dataset, tasks, tuple(spec.label for spec in methods), plans))
    return out


def _protocol(suite: Pairing, dataset: Spec, quick: bool, seed: int | None) -> Protocol:
    options: dict[str, Any] = suite.protocol.options(quick, seed)
    split, cut, drop = (options.pop(name, None) for name in ("split", "cut", "drop_modality"))
    found = protocol.wanted(dataset, split, cut, quick=quick, drop=drop or (), **options)
    if len(found) > 1:
        raise BenchError(f"pairs are judged at one training size, but train_size is '{suite.protocol.train_size}'")
    return found[0]


def judged(place: Place, root: Path, *, resamples: int) -> list[Judged]:
    """What the stored cells say, method by method."""
    return [_of_method(place, method, root, resamples) for method in place.methods]


def _of_method(place: Place, method: str, root: Path, resamples: int) -> Judged:
    found = {arm: _read(plan, method, root) for arm, plan in place.plans.items()}
    lost = {arm: why for arm, results in found.items() if (why := _lost(results.cells))}
    of_all = found[place.tasks]
    failed = pd.concat([_failed(results.cells) for results in found.values()], ignore_index=True).assign(
        dataset=place.dataset.label
    )
    for arm, why in lost.items():
        if len(arm) == 1:  # the yardstick of a whole row
            return Judged(
                of_all, method, None, f"{method} on {place.dataset.label} has no {arm[0]} alone to compare with: {why}", failed
            )
    predictions = {arm: results.predictions for arm, results in found.items() if arm not in lost}
    if not any(len(arm) == LEAST for arm in predictions):
        reason = f"{method} on {place.dataset.label} has no pair to compare: {next(iter(lost.values()))}"
        return Judged(of_all, method, None, reason, failed)
    made = pairs.judged(predictions, of_all.cohort, place.tasks, of_all.cells, lost, resamples=resamples)
    return Judged(of_all, method, made, "", failed)


def _read(plan: Plan, method: str, root: Path) -> Results:
    """The results of a run, of the repeats that this suite asks for: there may be more."""
    found = store.read(
        root, plan.spec.label, quick=plan.protocol.quick, methods=[method], reference=method, under=plan.protocol.part.folder
    )
    within = plan.protocol.repeats
    predictions = found.predictions[found.predictions["repeat"] < within] if len(found.predictions) else found.predictions
    return replace(
        found, predictions=predictions, cells=found.cells[found.cells["repeat"] < within],
        protocol={**found.protocol, "repeats": within},
    )  # fmt: skip


def _lost(cells: pd.DataFrame) -> str:
    """Why a run cannot be judged; "" where all its cells are done."""
    short = cells[cells["status"] != "done"]
    return f"{short['status'].iloc[0]}: {short['error'].iloc[0]}" if len(short) else ""


def _failed(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.loc[~cells["status"].isin(["done", "declined"]), ["method", "repeat", "fold", "error"]]


def unjudged(found: Sequence[Judged]) -> str:
    """Why there is nothing at all to show; "" where there is."""
    return "" if any(one.pairs is not None for one in found) else found[0].reason
