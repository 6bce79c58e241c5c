"""Which outcomes help which: each pair trained together against each outcome trained alone, and a grouping that follows.

NaN: a gain of an outcome with fewer than 20 events, an average precision where every fold has fewer than 10, a pair of which a
cell is missing. A pair that is NaN is never grouped.

All models are tested on the same rows and judged on one set of joint draws, so that every gain is paired. As everywhere it is of
*these predictions*, conditional on the fitted models: with few repeats the luck of one training is part of a gain.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from bench import metrics
from bench.bootstrap import Vector
from bench.core import BenchError
from bench.stats import procedure
from bench.stats.decisions import minimal_detectable
from bench.stats.estimates import PRIMARY, Evidence, Mask, gather
from bench.stats.grouping import Arm, Grouping, suggestion
from bench.stats.intervals import LEVEL, interval
from bench.stats.multiplicity import max_t, share_beyond
from bench.stats.multitask import affinity

ALONE, OTHERS = "alone", "all others"
Steady: TypeAlias = Mapping[tuple[str, str, str], bool]  # label, target, metric -> whether a gain may be marked
KEYS = ["repeat", "fold", "row"]
TABLE = [
    "target", "source", "metric", "n", "events", "alone", "together", "gain", "low", "high", "p", "p_adjusted", "steady", "detectable",
    "predicted", "phi", "affinity", "reason",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Pairs:
    """table: a row per metric, target and source, see `judged`. family: metric -> gains that p_adjusted accounts for."""

    tasks: Arm
    table: pd.DataFrame
    groupings: tuple[Grouping, ...]
    family: Mapping[str, int]
    folds: int
    repeats: int
    resamples: int


def arms(tasks: Sequence[str]) -> list[Arm]:
    """What is to be trained: each outcome alone, each pair, and all together (two are a pair)."""
    alone = [(task,) for task in tasks]
    pairs = [(a, b) for i, a in enumerate(tasks) for b in tasks[i + 1 :]]
    return [*alone, *pairs, *([tuple(tasks)] if len(tasks) > 2 else [])]


def judged(
    predictions: Mapping[Arm, pd.DataFrame],
    cohort: pd.DataFrame,
    tasks: Sequence[str],
    cells: pd.DataFrame,
    lost: Mapping[Arm, str],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Pairs:
    """What each outcome gains from each other one, for AUROC and AP.

    predictions: of every arm: repeat, fold, row, view, y:<task>, p:<task>. cohort: as for `gather`. cells: method, facts: of the
    diagnosed model of all outcomes, for the affinity. lost: arms of which cells are missing, and why; never an outcome alone.

    table: target, source (an outcome, or `all others`: all trained together), metric, n, events, alone, together, gain, low, high
    (percentile), p, p_adjusted (max-T over all pairs of the metric; NaN for `all others`, which is outside of the family), steady
    (with repeats: at least two standard errors of the corrected t as well), detectable (with 80 % power, before adjustment),
    predicted (for `all others`: the mean of the pairs' gains), phi, affinity (see `multitask.affinity`: of a step for the source on
    the target's loss), reason (why there is no gain).
    BenchError where the models were not tested on the same rows.
    """
    evidence = _evidence(predictions, cohort, tasks, lost, resamples, seed)
    gains = _gains(evidence, lost)  # (T, T + 1, K, 1 + B)
    rows: list[dict[str, Any]] = []
    groupings: list[Grouping] = []
    steady = _steady(evidence)
    for k, metric in enumerate(PRIMARY):
        adjusted = _adjusted(gains[:, :-1, k])
        rows += _rows(evidence, gains[:, :, k], k, adjusted)
        better = (adjusted < LEVEL) & (gains[:, :-1, k, 0] > 0) & _steady_matrix(evidence.tasks, metric, steady)
        groupings.append(suggestion(evidence.tasks, metric, gains[:, :-1, k], better))
    table = _with_reasons(_with_relations(pd.DataFrame(rows), evidence, cells, steady), evidence.tasks, lost)
    family = {metric: int(table.loc[table["metric"] == metric, "p_adjusted"].notna().sum()) for metric in PRIMARY}
    folds, repeats = (len({getattr(cell, name) for cell in evidence.cells}) for name in ("fold", "repeat"))
    return Pairs(evidence.tasks, table[TABLE], tuple(groupings), family, folds, repeats, evidence.resamples)


# ---- evidence: a method for every source, which predicts each outcome as the model of outcome and source did


def _evidence(
    predictions: Mapping[Arm, pd.DataFrame],
    cohort: pd.DataFrame,
    tasks: Sequence[str],
    lost: Mapping[Arm, str],
    resamples: int,
    seed: int,
) -> Evidence:
    """labels: alone; `with` each outcome, the source; all others. What is lost or its own source is as alone: left out later."""
    order = list(tasks)
    tested = {arm: frame[frame["view"] == "test"].sort_values(KEYS, ignore_index=True) for arm, frame in predictions.items()}
    base = tested[(order[0],)]
    for arm in set(tested) - set(lost):
        if not tested[arm][KEYS].equals(base[KEYS]):
            raise BenchError(
                f"all models must be tested on the same rows, but that of {' and '.join(arm)} is not. Run the suite again."
            )
    labels = pd.DataFrame({f"y:{task}": tested[(task,)][f"y:{task}"] for task in order})

    def arm_of(task: str, source: str) -> Arm:
        wanted = set(order) if source == OTHERS else {task, source}
        arm = tuple(t for t in order if t in wanted)
        return (task,) if source == ALONE or arm in lost or arm not in tested else arm

    frames = [
        pd.concat([base[KEYS], labels, *(tested[arm_of(task, source)][[f"p:{task}"]] for task in order)], axis=1).assign(
            method=_named(source)
        )
        for source in (ALONE, *order, OTHERS)
    ]
    kept = cohort[[c for c in cohort.columns if not str(c).startswith("truth:")]]
    sources = [_named(source) for source in (ALONE, *order, OTHERS)]
    every = pd.concat(frames, ignore_index=True).assign(view="test")
    made = gather(every, kept, order, sources, ALONE, resamples=resamples, seed=seed)
    if made is None:
        raise BenchError("there are no test predictions of the outcomes alone. Run the suite again.")
    return made


def _named(source: str) -> str:
    """The label of a source: an outcome may be called `alone`."""
    return source if source in (ALONE, OTHERS) else f"with {source}"


def _gains(evidence: Evidence, lost: Mapping[Arm, str]) -> Vector:
    """(T, T + 1, K, 1 + B): of a target from a source, all others last; NaN on the diagonal, and where there is none."""
    values, tasks = evidence.found.values[:, :-1, : len(PRIMARY)], evidence.tasks  # (T + 2, T, K, 1 + B)
    gains = (values[1:] - values[:1]).swapaxes(0, 1).copy()
    enough = evidence.plan.fewest(evidence.plan.scope)[0] >= metrics.TOTAL_EVENTS
    gains[~enough] = np.nan
    for i, target in enumerate(tasks):
        for j, source in enumerate((*tasks, OTHERS)):
            if target == source or _why(tasks, target, source, lost) or (source == OTHERS and len(tasks) == 2):
                gains[i, j] = np.nan
    return gains


def _why(tasks: Sequence[str], target: str, source: str, lost: Mapping[Arm, str]) -> str:
    wanted = set(tasks) if source == OTHERS else {target, source}
    return lost.get(tuple(task for task in tasks if task in wanted), "")


def _steady(evidence: Evidence) -> Steady:
    """(source, target, metric) -> whether the corrected t allows a mark; all where there is one repeat or one fold."""
    if evidence.plan.repeat.max() == 0 or len({cell.fold for cell in evidence.cells}) == 1:
        return {}
    seeds = procedure.seeds(evidence, PRIMARY)
    keys = seeds[["method", "task", "metric"]].itertuples(index=False, name=None)
    return dict(zip(keys, map(bool, seeds["superior_allowed"]), strict=True))


def _steady_matrix(tasks: Arm, metric: str, steady: Steady) -> Mask:
    """(T, T) of targets and sources."""
    return np.array([[steady.get((_named(source), target, metric), True) for source in tasks] for target in tasks])


def _adjusted(gains: Vector) -> Vector:
    """(T, T) p values of one metric, adjusted by max-T over all pairs; NaN where there is no gain. gains: (T, T, 1 + B)."""
    out = np.full(gains.shape[:2], np.nan)
    known = np.isfinite(gains).all(axis=-1)
    if known.any():
        out[known] = max_t(gains[known][:, 0], gains[known][:, 1:])
    return out


def _rows(evidence: Evidence, gains: Vector, k: int, adjusted: Vector) -> list[dict[str, Any]]:
    """Of one metric. gains: (T, T + 1, 1 + B). adjusted: (T, T)."""
    plan, tasks = evidence.plan, evidence.tasks
    n, events = plan.known[plan.repeat == plan.repeat.min()].sum(axis=0), plan.fewest(plan.scope)[0]
    p = np.column_stack([adjusted, np.full(len(tasks), np.nan)])
    rows: list[dict[str, Any]] = []
    for i, target in enumerate(tasks):
        alone, mean = float(evidence.found.values[0, i, k, 0]), _mean(gains[i, :-1, 0])
        for j, source in enumerate((*tasks, OTHERS)[: None if len(tasks) > 2 else -1]):
            if i != j:
                row = {"target": target, "source": source, "metric": PRIMARY[k], "n": int(n[i]), "events": int(events[i])}
                gain = _gain(gains[i, j]) | {"p_adjusted": p[i, j], "predicted": mean if source == OTHERS else np.nan}
                rows.append({**row, "alone": alone, "together": alone + gain["gain"], **gain})
    return rows


def _with_relations(table: pd.DataFrame, evidence: Evidence, cells: pd.DataFrame, steady: Steady) -> pd.DataFrame:
    """With phi, affinity and steady; NaN, NaN and True where there is nothing to know."""
    found = affinity(evidence, cells.assign(method=ALONE)).rename(columns={"other": "target", "task": "source"})
    related = table.merge(found[["target", "source", "phi", "affinity"]], how="left", on=["target", "source"])
    keys = zip(related["source"].map(_named), related["target"], related["metric"], strict=True)
    return related.assign(steady=[steady.get(key, True) for key in keys])


def _with_reasons(table: pd.DataFrame, tasks: Sequence[str], lost: Mapping[Arm, str]) -> pd.DataFrame:
    pairs = zip(table["target"], table["source"], table["gain"], strict=True)
    few = "too few events"
    return table.assign(
        reason=[_why(tasks, target, source, lost) or ("" if gain == gain else few) for target, source, gain in pairs]
    )


def _gain(drawn: Vector) -> dict[str, float]:
    """With its interval, its p value and the gain that could be found; NaN throughout where it is not defined. drawn: (1 + B,)."""
    if not np.isfinite(drawn).all():
        return dict.fromkeys(("gain", "low", "high", "p", "detectable"), float("nan"))
    low, high = interval(drawn[1:])
    p = share_beyond(np.abs(drawn[:1]), np.abs(drawn[None, 1:] - drawn[0]))[0]
    detectable = minimal_detectable(float(drawn[1:].std(ddof=1)))
    return {"gain": float(drawn[0]), "low": float(low), "high": float(high), "p": float(p), "detectable": detectable}


def _mean(values: Vector) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
