"""Does sharing help, and whom: the questions about several outcomes that a mean over outcomes does not answer.

Whatever cannot be defined is NaN: a comparison of an outcome with fewer than 20 events (in the shared cells of some repeat), an
average precision where every fold has fewer than 10, a mean over outcomes of which one is undefined. A method that lacks cells is
compared on those that the baseline has too. The planted probabilities of a synthetic cohort take no part.

Everything is about these predictions, conditional on the fitted models: another training might share otherwise.

The baseline is a network for each outcome: the reference where its family is `single-task`, else the first method of that family.
Each of its networks stops on its own outcome, so that it is the baseline of joint and of per-task stopping alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.bootstrap import Vector
from bench.core import Task
from bench.stats.estimates import MEAN, PRIMARY, Evidence, of_folds, with_mean
from bench.stats.intervals import interval
from bench.stats.joining import paired
from bench.stats.multiplicity import holm, least_resamples, max_t, share_beyond
from bench.stats.scoring import outcomes

SINGLE = "single-task"  # families
MULTITASK = ("sharing", "balancing", "the papers'")
JOINT = "joint"  # the default of the setting `stop`
COMPARED = ["method", "stopping", "baseline", "task", "metric"]
TRANSFER = [*COMPARED, "difference", "low", "high", "hurt", "cells", "p", "p_holm", "p_adjusted"]
GAINS = ("relative", "absolute", "corrected")


def transfer(evidence: Evidence) -> pd.DataFrame:
    """What sharing does to each outcome and to their mean: multi-task less single-task, AUROC and AP. Empty without a baseline.

    method: the label without its stop setting. stopping: joint | per_task. baseline, task, metric. difference, low, high: with
    the percentile interval of the run's resamples. hurt: share of the folds of all repeats in which the difference is below 0,
    of the `cells` in which it is defined. p: two-sided, of the resamples. Adjusted over the outcomes, method by method and metric
    by metric: p_adjusted by max-T on the joint resamples, p_holm by Holm, NaN where there are fewer than 20 x outcomes / .05
    resamples; both NaN for the mean, which is no outcome. Negative transfer is a difference below 0 with p_adjusted below .05.

    Multi-task are the families of MULTITASK and every method that was run with a stop setting, its run without one included.
    """
    baseline = single_task(evidence)
    rows: list[dict[str, Any]] = []
    by_fold = with_mean(of_folds(evidence.parts, evidence.plan), evidence.plan.averaged)  # (M, T + 1, K, C)
    for label in sharing(evidence) if baseline else ():
        new, base = paired(evidence, [label, baseline])
        folds = by_fold[evidence.labels.index(label)] - by_fold[evidence.labels.index(baseline)]
        for k, metric in enumerate(PRIMARY):
            head = dict(zip(COMPARED, (*stopped(label), baseline, "", metric), strict=True))
            rows += [head | row for row in _transfer(evidence.tasks, (new - base)[:, k], folds[:, k])]
    return pd.DataFrame(rows, columns=TRANSFER)


def _transfer(tasks: Sequence[str], drawn: Vector, folds: Vector) -> Iterator[dict[str, Any]]:
    """Rows of one method and metric. drawn: (T + 1, 1 + B), folds: (T + 1, C) differences, the mean over outcomes last."""
    tested = np.all(np.isfinite(drawn), axis=1)
    p = np.where(tested, share_beyond(np.abs(drawn[:, 0]), np.abs(drawn[:, 1:] - drawn[:, :1])), np.nan)  # (T + 1,)
    adjusted = np.full((2, len(p)), np.nan)
    family = np.flatnonzero(tested[:-1])
    if len(family):
        adjusted[0, family] = max_t(drawn[family, 0], drawn[family, 1:])
        if drawn.shape[1] - 1 >= least_resamples(len(family)):
            adjusted[1, family] = holm(p[family])
    for t, task in enumerate([*tasks, MEAN]):
        low, high = interval(drawn[t, 1:])
        seen = folds[t, ~np.isnan(folds[t])] if np.isfinite(drawn[t, 0]) else np.empty(0)
        row = {"task": task, "difference": drawn[t, 0], "low": low, "high": high, "p": p[t]}
        row |= {"hurt": np.mean(seen < 0) if len(seen) else np.nan, "cells": len(seen)}
        yield row | {"p_adjusted": adjusted[0, t], "p_holm": adjusted[1, t]}


def gains(evidence: Evidence) -> pd.DataFrame:
    """Delta_m of every method against the baseline, means over the outcomes of the table's mean. Empty without a baseline.

    method, baseline, metric (auroc, ap), and as fractions, each with <name>_low and <name>_high of the run's resamples:
    relative: (M_t - B_t) / B_t, Maninis et al., CVPR 2019; of AP it is ruled by the rarest outcome, so never read it alone.
    absolute: M_t - B_t. corrected: (M_t - B_t) / (1 - c_t), the share of what chance leaves to gain; c is .5 for AUROC, for AP
    the mean over permutations of the observed labels (`chance` of the outcomes), the same in every resample.
    """
    baseline = single_task(evidence)
    chance = np.column_stack([np.full(len(evidence.tasks), 0.5), outcomes(evidence)["chance"].to_numpy(np.float64)])  # (T, 2)
    rows: list[dict[str, Any]] = []
    others = [label for label in evidence.methods if baseline and label != baseline]
    for label in others:
        pair = paired(evidence, [label, baseline])
        for k, metric in enumerate(PRIMARY):
            listed = np.flatnonzero(evidence.plan.averaged[:, k])
            new, base = (values[listed, k] for values in pair)
            each = (relative(new, base), new - base, (new - base) / (1 - chance[listed, k, None]))
            row: dict[str, Any] = {"method": label, "baseline": baseline, "metric": metric}
            for name, values in zip(GAINS, each, strict=True):
                drawn = values.mean(axis=0) if len(listed) else np.full(2, np.nan)
                low, high = interval(drawn[1:])
                row |= {name: drawn[0], f"{name}_low": low, f"{name}_high": high}
            rows.append(row)
    columns = [f"{name}{end}" for name in GAINS for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["method", "baseline", "metric", *columns])


def relative(new: Vector, base: Vector) -> Vector:
    """(new - base) / base; NaN where the base is 0."""
    return np.divide(new - base, base, out=np.full(np.shape(base), np.nan), where=base != 0)


def unions(evidence: Evidence, tasks: Sequence[Task]) -> pd.DataFrame:
    """Mean over outcomes with and without unions: outcomes that another one implies, which count its events once more.

    method, metric, all (the table's mean), without (NaN where nothing else is left).
    """
    values, plan = evidence.found.values[..., 0], evidence.plan
    implied = {name for task in tasks for name in task.implies}
    union = np.array([name in implied for name in evidence.tasks])
    rows: list[dict[str, Any]] = []
    for m, method in enumerate(evidence.methods):
        for k, metric in enumerate(PRIMARY):
            kept = plan.averaged[:, k] & ~union
            without = values[m, :-1, k][kept].mean() if kept.any() else np.nan
            rows.append({"method": method, "metric": metric, "all": values[m, -1, k], "without": without})
    return pd.DataFrame(rows, columns=["method", "metric", "all", "without"])


def coherence(evidence: Evidence, tasks: Sequence[Task]) -> pd.DataFrame:
    """How often a method gives a patient less risk of a union than of a part of it, which cannot be.

    method, part, union, violations (share of test rows), mean_excess (of the part's risk over the union's, over all test rows, 0
    where there is none). Raw risks of all test rows, labels known or not; a mean over repeats. Empty without unions.
    """
    pairs = [(task.name, union) for task in tasks for union in task.implies if {task.name, union} <= set(evidence.tasks)]
    repeats = [[c for c in evidence.cells if c.repeat == repeat] for repeat in np.unique(evidence.plan.repeat)]
    above: list[list[Vector]] = []  # of each repeat and pair (2, M)
    for cells in repeats:
        p = np.concatenate([cell.p for cell in cells], axis=1)  # (M, n, T)
        excess = [p[..., evidence.tasks.index(part)] - p[..., evidence.tasks.index(union)] for part, union in pairs]
        above.append([np.stack([_mean(np.where(np.isnan(e), e, e > 0), 1), _mean(np.maximum(e, 0.0), 1)]) for e in excess])
    found = _mean(np.array(above), 0)  # (pairs, 2, M)
    rows = [
        {"method": method, "part": part, "union": union, "violations": found[i, 0, m], "mean_excess": found[i, 1, m]}
        for m, method in enumerate(evidence.methods)
        for i, (part, union) in enumerate(pairs)
    ]
    return pd.DataFrame(rows, columns=["method", "part", "union", "violations", "mean_excess"])


def affinity(evidence: Evidence, cells: pd.DataFrame) -> pd.DataFrame:
    """Correlation of outcomes beside what networks make of it, for every ordered pair.

    task, other, phi (correlation of the labels, rows where both are known; NaN where one is constant), affinity (share of the
    other's loss that a step for the task takes away, `bench.diagnose.gradients`), cosine (of their gradients on shared weights,
    the same both ways): means over methods of means over cells, NaN where none was diagnosed. cells: method, facts.
    """
    labels = np.concatenate([cell.y for cell in evidence.cells])
    facts = cells.groupby("method", sort=False)["facts"].agg(list) if len(cells) else {}
    found = [[of.get("diagnosis", {}) for of in facts[method]] for method in evidence.methods if method in facts]
    rows: list[dict[str, Any]] = []
    for t, u in permutations(range(len(evidence.tasks)), 2):
        a, b = evidence.tasks[t], evidence.tasks[u]
        own = _diagnosed(found, "affinity", [f"{a} -> {b}"])
        cosine = _diagnosed(found, "gradients", [f"{a} ~ {b}", f"{b} ~ {a}"])
        rows.append({"task": a, "other": b, "phi": _phi(labels[:, t], labels[:, u]), "affinity": own, "cosine": cosine})
    return pd.DataFrame(rows, columns=["task", "other", "phi", "affinity", "cosine"])


def single_task(evidence: Evidence) -> str:
    """The label of the baseline; "" where no method of its family was run."""
    own = [label for label in evidence.methods if evidence.families.get(label) == SINGLE]
    return evidence.reference if evidence.reference in own else next(iter(own), "")


def stopped(label: str) -> tuple[str, str]:
    """(the label without its stop setting, what it stops on)."""
    name, *settings = label.split(":")
    stops = [one.removeprefix("stop=") for one in settings if one.startswith("stop=")]
    return ":".join([name, *(one for one in settings if not one.startswith("stop="))]), stops[0] if stops else JOINT


def sharing(evidence: Evidence) -> list[str]:
    """Labels of the methods that share, in their order."""
    can_stop = {label.split(":")[0] for label in evidence.methods if stopped(label)[0] != label}
    family = evidence.families

    def shares(label: str) -> bool:
        return family.get(label) in MULTITASK or (family.get(label) != SINGLE and label.split(":")[0] in can_stop)

    return [label for label in evidence.methods if shares(label)]


def _mean(values: Vector, axis: int) -> Vector:
    """Without NaN; NaN where all are."""
    with np.errstate(invalid="ignore"):
        return np.nansum(values, axis=axis) / (~np.isnan(values)).sum(axis=axis)


def _phi(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Correlation of two columns of 0 and 1 over the rows where both are known; NaN where one is constant there."""
    both = ~(np.isnan(a) | np.isnan(b))
    a, b = a[both], b[both]
    return float(np.corrcoef(a, b)[0, 1]) if len(a) and np.ptp(a) and np.ptp(b) else float("nan")


def _diagnosed(found: Sequence[Sequence[Mapping[str, Any]]], diagnostic: str, items: Sequence[str]) -> float:
    """Mean over methods of the mean over cells of a diagnostic's value. found: what was diagnosed in the cells of each method."""
    of_methods: list[float] = []
    for of_method in found:
        of_cells = [of_cell.get(diagnostic, {}) for of_cell in of_method]
        values = [one[item].get("value") for one in of_cells for item in items if item in one]
        if known := [float(value) for value in values if value is not None]:
            of_methods.append(float(np.mean(known)))
    return float(np.mean(of_methods)) if of_methods else float("nan")
