"""Simulated runs as the evidence that statements are made from, and the count of those that are wrong."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace

import numpy as np
import pandas as pd
from null_worlds import METHODS, TASKS
from numpy.typing import NDArray

from bench.bootstrap import Cell, Counts, Sums, draw, sums
from bench.stats.estimates import Evidence, Plan, estimates

OUTCOMES = tuple(f"outcome {t + 1}" for t in range(TASKS))


class Tally:
    """Hits and trials by statement and metric."""

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.trials: Counter[str] = Counter()

    def add(self, statement: str, metric: str, hits: object) -> None:
        """hits: booleans, one for each time the statement was put to the test."""
        found = np.asarray(hits, bool)
        self.hits[f"{statement}|{metric}"] += int(found.sum())
        self.trials[f"{statement}|{metric}"] += found.size

    def by_metric(self, statement: str, metric: Iterable[str], hits: object) -> None:
        for name, own in pd.Series(np.asarray(hits)).groupby(np.asarray(metric)):
            self.add(statement, str(name), own)


def resampled(units: int, folds: int, resamples: int, seed: list[int]) -> Counts:
    """(units, 1 + resamples) how often each is drawn, within folds of equal size one after the other."""
    stratum = np.repeat(np.arange(folds), units // folds)
    drawn, _ = draw(stratum, resamples, seed=int(np.random.default_rng(seed).integers(2**31)))
    return np.column_stack([np.ones(units, np.uint16), drawn])


def build(
    cells: Sequence[Cell], counts: Counts, level: NDArray[np.int64] | None = None, labels: Sequence[str] = METHODS
) -> Evidence:
    """The evidence that `bench.stats.gather` would make of the same predictions. The first label is the reference.

    level: (n,) 0 or 1, a subgroup that means nothing. Patients are numbered as units are.
    """
    methods = tuple(labels[: len(cells[0].p)])
    plan = Plan.of(cells, methods, methods[0])
    parts = sums(cells, counts)
    patient = np.arange(len(counts))
    cohort = pd.DataFrame({"row": patient, "patient": patient.astype(str), "group": patient.astype(str)})
    cohort["subgroup:level"] = np.where(np.zeros(len(patient)) if level is None else level, "x", "y")
    return Evidence(
        tasks=OUTCOMES, labels=methods, families={}, reference=methods[0], cells=list(cells), valid=[],
        rows=[cell.unit for cell in cells], cohort=cohort, counts=counts, redraws=0, parts=parts, plan=plan,
        found=estimates(parts, plan, plan.scope),
    )  # fmt: skip


def first(evidence: Evidence, methods: int) -> Evidence:
    """The same evidence of the first methods alone."""
    cells = [replace(cell, p=cell.p[:methods]) for cell in evidence.cells]
    arrays = {f.name: getattr(evidence.parts, f.name) for f in fields(Sums)}
    parts = Sums(**{name: x[:methods] if x.ndim == 4 else x for name, x in arrays.items()})
    found = replace(evidence.found, values=evidence.found.values[:methods], repeats=evidence.found.repeats[:, :methods])
    plan = Plan.of(cells, METHODS[:methods], METHODS[0])
    return replace(evidence, labels=METHODS[:methods], cells=cells, parts=parts, plan=plan, found=found)
