"""Noisy-or: an outcome that is a union of others, predicted from its parts alone. A control.

Pearl, "Probabilistic Reasoning in Intelligent Systems", Morgan Kaufmann 1988, section 4.3, with links that never fail:
p_union = 1 - (1 - leak) prod_k (1 - p_k) over its parts k, the outcomes that imply it. The parts are predicted by `base`, which
never sees a union's label; so is every outcome that is no union. If a multi-task method beats `base` on "any complication", it
should beat this too, or all it found is arithmetic.
leak = P(union | no part happened), by maximum likelihood: its weighted share among the training rows in which every part is
known not to have happened; 0 without such a row. A part that implies another part is inside it and left out, a union
that is a part of a larger one enters by its own noisy-or, outcomes that imply each other count as no union.
Published: the formula; no experiment of this kind.
Departures: parts are taken to be independent given the patient, and the leak to be the same for all patients: what a control
that knows the definition of the outcome and nothing else can say. Declines where no outcome is a union.
Cost: that of `base` on the outcomes that are no union; with LightGBM 4 s per cell of surgical.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench import registry
from bench.core import JSON, Cohort, Inputs, Predictor, Run, Task, Unsupported
from bench.pertask import probabilities


@dataclass(frozen=True, slots=True, eq=False)
class Unions:
    """The base's predictions and what follows from them. parts, leaks: per union, those with fewer outcomes below them first."""

    base: Predictor
    plain: list[int]  # the outcomes that the base predicts
    parts: Mapping[int, list[int]]
    leaks: Mapping[int, float]
    facts: Mapping[str, JSON]

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        p = np.empty((len(inputs), len(self.plain) + len(self.parts)))
        p[:, self.plain] = self.base.predict(inputs)
        for union, parts in self.parts.items():
            p[:, union] = 1 - (1 - self.leaks[union]) * np.prod(1 - p[:, parts], axis=1)
        return probabilities(p)


@dataclass(frozen=True, kw_only=True)
class NoisyOr:
    """base: the method that predicts the parts."""

    family: ClassVar[str] = "control"

    base: str = "lightgbm"

    @property
    def uses(self) -> tuple[str, ...]:
        """Methods whose code this one runs on: a change of theirs makes its cells anew."""
        return (self.base,)

    def __post_init__(self) -> None:
        registry.method(self.base)  # an unknown name is an error now, not after training

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Predictor:
        parts = parts_of_unions(train.tasks)
        if not parts:
            raise Unsupported("needs an outcome that others imply, a union of them, but no outcome is")
        plain = [t for t in range(len(train.tasks)) if t not in parts]
        base = registry.method(self.base).fit(_only(train, plain), _only(valid, plain), run)
        leaks = {union: leak(train, union, below) for union, below in parts.items()}
        facts = {**base.facts, "leak": {train.tasks[union].name: value for union, value in leaks.items()}}
        return Unions(base, plain, parts, leaks, facts)


def parts_of_unions(tasks: tuple[Task, ...]) -> dict[int, list[int]]:
    """For every outcome that is a union, the largest outcomes that imply it; a union comes after the unions it is made of."""
    index = {task.name: t for t, task in enumerate(tasks)}
    below = np.zeros((len(tasks), len(tasks)), bool)  # [t, u]: t implies u
    for t, task in enumerate(tasks):
        below[t, [index[name] for name in task.implies]] = True
    for middle in range(len(tasks)):  # what is implied by what is implied
        below |= below[:, [middle]] & below[[middle]]
    below &= ~below.T
    direct = below & ~(below.astype(int) @ below.astype(int) > 0)
    unions = sorted(np.flatnonzero(below.any(axis=0)).tolist(), key=lambda u: int(below[:, u].sum()))
    return {u: np.flatnonzero(direct[:, u]).tolist() for u in unions}


def leak(cohort: Cohort, union: int, parts: list[int]) -> float:
    """The weighted share of a union's events among the rows where all parts are known to be 0; 0 without such a row."""
    rows = (cohort.labels[:, parts] == 0).all(axis=1) & cohort.mask[:, union]
    return float(np.average(cohort.labels[rows, union], weights=cohort.loss_weights[rows, union])) if rows.any() else 0.0


def _only(cohort: Cohort, tasks: list[int]) -> Cohort:
    """The cohort with some of its outcomes. The digest stays, so that the inputs are prepared once."""
    weights = None if cohort.weights is None else cohort.weights[:, tasks]
    return replace(cohort, tasks=tuple(cohort.tasks[t] for t in tasks), labels=cohort.labels[:, tasks], weights=weights)


METHOD = NoisyOr
