"""What the linear and tree methods share: one model per outcome, or one joint model of all of them.

A model of one outcome sees the rows where it is known; a joint model the rows where any is, unknown labels with weight 0.
An outcome without both classes among the training rows is predicted by the constant of its prevalence; the fact
`constant` names it. Early stopping needs both classes among the validation rows: see `Data.stops`, `Block.stops`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core import JSON, Cohort, Inputs, Rows, Run
from bench.recalibrate import HALF_VOTE

EPS = 1e-7
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """The rows at which one outcome is known. x: (n, p). y: (n,) 0 or 1. w: (n,) weights above 0.

    at: (n,) which of the fold's rows they are, None for all, in their order.
    """

    x: NDArray[Any]
    y: NDArray[np.float32]
    w: NDArray[np.float32]
    at: Rows | None = None

    @classmethod
    def of(cls, cohort: Cohort, x: NDArray[Any], task: int) -> "Data":
        known = cohort.mask[:, task]
        if known.all():
            return cls(x, cohort.labels[:, task], cohort.loss_weights[:, task])
        return cls(x[known], cohort.labels[known, task], cohort.loss_weights[known, task], np.flatnonzero(known))

    @property
    def prevalence(self) -> float:
        """Weighted; 0 where nothing is known."""
        return float(np.average(self.y, weights=self.w)) if len(self.y) else 0.0

    @property
    def stops(self) -> bool:
        """Whether these rows can tell a good model from a bad one: they hold both classes."""
        return 0.0 < self.prevalence < 1.0


def once(make: Callable[[NDArray[Any]], T]) -> Callable[[Data], T]:
    """`make(x)` of an outcome's rows, as binning does, made once for all outcomes that are known at the same rows.

    Not once for all rows: those of unknown outcome would set the edges of its bins, and are to say nothing.
    """
    made: dict[bytes | None, T] = {}

    def get(data: Data) -> T:
        key = None if data.at is None else data.at.tobytes()
        if key not in made:
            made[key] = make(data.x)
        return made[key]

    return get


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


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Several outcomes at the rows where any is known. x: (n, p). y: (n, T) 0, 1 or NaN. w: (n, T) weights, 0 where unknown."""

    x: NDArray[Any]
    y: NDArray[np.float64]
    w: NDArray[np.float64]

    @classmethod
    def of(cls, cohort: Cohort, x: NDArray[Any], tasks: NDArray[np.bool_]) -> "Block":
        w = cohort.loss_weights[:, tasks].astype(np.float64)
        known = w.any(axis=1)
        return cls(x[known], cohort.labels[known][:, tasks].astype(np.float64), w[known])

    @property
    def target(self) -> NDArray[np.float64]:
        """(n, T) labels, 0 where unknown: for use with `w` only."""
        return np.nan_to_num(self.y)

    @property
    def prevalence(self) -> NDArray[np.float64]:
        """(T,), weighted; 0 where nothing is known."""
        return (self.w * self.target).sum(axis=0) / np.maximum(self.w.sum(axis=0), 1e-300)

    @property
    def stops(self) -> bool:
        """Whether these rows can tell a good model from a bad one: some outcome shows both classes."""
        return bool(((self.prevalence > 0) & (self.prevalence < 1)).any())

    def score(self, z: NDArray[Any]) -> float:
        """Log loss of log-odds z (n, T) over the entropy of the prevalence, averaged over outcomes with both classes.

        Lower is better. An outcome of e events votes with e / (e + 10), as in `recalibrate.validation_score`; without the
        recalibration there, by which a boosted model could end after a round or two: it ranks well, its risks are far too even.
        """
        told = (self.prevalence > 0) & (self.prevalence < 1)
        y, w, rate, u = self.target[:, told], self.w[:, told], self.prevalence[told], z[:, told]
        loss = (w * (np.maximum(u, 0.0) + np.log1p(np.exp(-np.abs(u))) - y * u)).sum(axis=0) / w.sum(axis=0)
        events = (w * y > 0).sum(axis=0)
        return float(
            np.average(loss / -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)), weights=events / (events + HALF_VOTE))
        )


class JointModel(Protocol):
    """One model of T outcomes. scores: validation score per step, lower is better."""

    @property
    def parameters(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def at_cap(self) -> bool: ...
    @property
    def scores(self) -> Sequence[float]: ...
    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        """(n, p) -> (n, T)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """One model behind one preparation; outcomes that are not `learned` are predicted by their `rates`."""

    prepare: Callable[[Inputs], NDArray[Any]]
    model: JointModel | None  # None: no outcome could be learned
    learned: NDArray[np.bool_]
    rates: NDArray[np.float64]
    facts: Mapping[str, JSON]

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        p = np.tile(self.rates, (len(inputs), 1))
        if self.model is not None:
            p[:, self.learned] = self.model.predict(self.prepare(inputs))
        return probabilities(p)


def fit_joint(
    prepare: Callable[[Inputs], NDArray[Any]],
    train: Cohort,
    valid: Cohort,
    run: Run,
    fit: Callable[[Block, Block], JointModel],
) -> Joint:
    """`fit(training block, validation block)` of all outcomes with both classes in training; reports the best score."""
    x, held_out = prepare(train.inputs), prepare(valid.inputs)
    rates = Block.of(train, x, np.ones(len(train.tasks), bool)).prevalence
    learned = (rates > 0) & (rates < 1)
    learned &= varies(x)
    model = fit(Block.of(train, x, learned), Block.of(valid, held_out, learned)) if learned.any() else None
    scores = [] if model is None else [float(s) for s in model.scores]
    run.report(0, min(scores, default=float("nan")))
    facts: dict[str, JSON] = {
        "parameters": (model.parameters if model else 0) + int((~learned).sum()),
        "steps": model.steps if model else 0,
        "at_cap": model is not None and model.at_cap,
        "scores": scores,
        "constant": [task.name for task, known in zip(train.tasks, learned, strict=True) if not known],
    }
    return Joint(prepare, model, learned, rates, facts)


def coded(x: NDArray[Any], codes: Sequence[int]) -> pd.DataFrame:
    """A flat matrix (n, p) as a frame whose columns of codes are integers, -1 where missing; numbers keep their NaN."""
    frame = pd.DataFrame(x)
    for j in codes:
        frame[j] = np.nan_to_num(x[:, j], nan=-1).astype(np.int32)
    return frame


def varies(x: NDArray[Any]) -> bool:
    """Whether any two rows of x (n, p) differ; missing equals missing."""
    return bool(((x != x[:1]) & ~(np.isnan(x) & np.isnan(x[:1]))).any())
