"""Further predictions of the test rows beside those of the table: of other models, of other inputs, on the same resamples."""

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pandas as pd

from bench import metrics
from bench.bootstrap import Cell, Sums, Vector, sums
from bench.core import BenchError
from bench.stats.estimates import Evidence, Mask, Plan, estimates, read_cells


def joined(evidence: Evidence, predictions: pd.DataFrame, labels: Sequence[str]) -> Evidence:
    """The evidence with further labels, last. What it says of its own stays, to the last bits; its draws serve all.

    predictions: as for `gather`, of test rows alone, `method` one of `labels`. A label without predictions of a cell is estimated on the
    others; a cell that the evidence does not have is left out. BenchError where a cell's rows or labels are not the evidence's.
    """
    found, rows = read_cells(predictions.assign(view="test"), evidence.cohort, evidence.tasks, labels, "test")
    there = {(cell.repeat, cell.fold): (own, cell) for own, cell in zip(rows, found, strict=True)}
    shape = len(labels), len(evidence.tasks)
    new: list[Cell] = []
    for cell, own in zip(evidence.cells, evidence.rows, strict=True):
        theirs, made = there.get((cell.repeat, cell.fold), (own, None))
        if made is not None and not (np.array_equal(own, theirs) and np.array_equal(cell.y, made.y, equal_nan=True)):
            raise BenchError(
                f"'{labels[0]}' must have the test rows and labels of the table in repeat {cell.repeat}, fold {cell.fold}, but has not"
            )
        p = np.full((shape[0], len(own), shape[1]), np.nan) if made is None else made.p
        new.append(replace(cell, p=p))
    cells = [replace(cell, p=np.concatenate([cell.p, more.p])) for cell, more in zip(evidence.cells, new, strict=True)]
    parts, every = _added(evidence.parts, sums(new, evidence.counts)), (*evidence.labels, *labels)
    plan = Plan.of(cells, every, evidence.reference)
    return replace(
        evidence, labels=every, cells=cells, valid=[], parts=parts, plan=plan, found=estimates(parts, plan, plan.scope)
    )  # fmt: skip


def _added(old: Sums, new: Sums) -> Sums:
    """What is of methods one after the other; what is of cells alone is the same in both."""
    pairs = {f.name: (getattr(old, f.name), getattr(new, f.name)) for f in fields(Sums)}
    return Sums(**{name: np.concatenate(both) if both[0].ndim == 4 else both[0] for name, both in pairs.items()})


def shared(evidence: Evidence, labels: Sequence[str]) -> Mask:
    """(C,) the cells that all of them have."""
    return np.logical_and.reduce(evidence.plan.scope[[evidence.labels.index(label) for label in labels]], axis=0)


def paired(evidence: Evidence, labels: Sequence[str]) -> Vector:
    """(L, T + 1, K, 1 + B) of several labels on the cells that all of them have; NaN where those hold under 20 events."""
    plan, values = evidence.plan, evidence.found.values
    which, cells = [evidence.labels.index(label) for label in labels], shared(evidence, labels)
    if not (plan.scope[which] == cells).all():
        scope = np.zeros_like(plan.scope)
        scope[which] = cells
        values = estimates(evidence.parts, plan, scope).values
    enough = plan.fewest(cells[None])[0] >= metrics.TOTAL_EVENTS
    enough = np.append(enough, enough[plan.averaged[:, 0]].all())[:, None, None]
    return np.where(enough, values[which], np.nan)
