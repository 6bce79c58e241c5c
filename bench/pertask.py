"""One model per outcome, each fitted on the rows where its outcome is known: what the linear and tree methods share.

An outcome without both classes among the training rows is predicted by the constant of its prevalence; the fact
`constant` names it. Early stopping needs both classes among the validation rows: see `Data.stops`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.core import JSON, Cohort, Inputs, Run

EPS = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """The rows at which one outcome is known. x: (n, p). y: (n,) 0 or 1. w: (n,) weights above 0."""

    x: NDArray[Any]
    y: NDArray[np.float32]
    w: NDArray[np.float32]

    @classmethod
    def of(cls, cohort: Cohort, x: NDArray[Any], task: int) -> "Data":
        known = cohort.mask[:, task]
        return cls(x[known], cohort.labels[known, task], cohort.loss_weights[known, task])

    @property
    def prevalence(self) -> float:
        """Weighted; 0 where nothing is known."""
        return float(np.average(self.y, weights=self.w)) if len(self.y) else 0.0

    @property
    def stops(self) -> bool:
        """Whether these rows can tell a good model from a bad one: they hold both classes."""
        return 0.0 < self.prevalence < 1.0


class Model(Protocol):
    """One outcome's model. parameters: fitted numbers. scores: validation log loss per step, lower is better."""

    @property
    def parameters(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def at_cap(self) -> bool: ...
    @property
    def scores(self) -> Sequence[float]: ...
    def predict(self, x: NDArray[Any]) -> NDArray[Any]: ...


@dataclass(frozen=True, slots=True)
class Constant:
    """The prevalence, for an outcome of one class."""

    value: float
    parameters: int = 1
    steps: int = 0
    at_cap: bool = False
    scores: Sequence[float] = ()

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.full(len(x), self.value)


@dataclass(frozen=True, slots=True, eq=False)
class PerTask:
    """The outcomes' models behind one preparation."""

    prepare: Callable[[Inputs], NDArray[Any]]
    models: tuple[Model, ...]
    facts: Mapping[str, JSON]

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        x = self.prepare(inputs)
        return probabilities(np.column_stack([model.predict(x) for model in self.models]))


def probabilities(p: NDArray[Any]) -> NDArray[np.float32]:
    """p as float32 in [1e-7, 1 - 1e-7]."""
    return np.clip(p, EPS, 1 - EPS).astype(np.float32)


def fit_per_task(
    prepare: Callable[[Inputs], NDArray[Any]],
    train: Cohort,
    valid: Cohort,
    run: Run,
    fit: Callable[[Data, Data], Model],
) -> PerTask:
    """`fit(train rows, validation rows)` for every outcome with both classes; reports an outcome's best score when it is done."""
    x, held_out = prepare(train.inputs), prepare(valid.inputs)
    models: list[Model] = []
    for t in range(len(train.tasks)):
        data = Data.of(train, x, t)
        models.append(fit(data, Data.of(valid, held_out, t)) if data.stops else Constant(data.prevalence))
        run.report(t, min(models[-1].scores, default=float("nan")))
    facts: dict[str, JSON] = {
        "parameters": sum(m.parameters for m in models),
        "steps": sum(m.steps for m in models),
        "at_cap": any(m.at_cap for m in models),
        "scores": [[float(s) for s in m.scores] for m in models],
        "steps_per_task": [m.steps for m in models],
        "constant": [task.name for task, m in zip(train.tasks, models, strict=True) if isinstance(m, Constant)],
    }
    return PerTask(prepare, tuple(models), facts)
