"""Single task: a network of its own for every task, each stopped by its own validation score. The reference.

Each is `hard_sharing` with T = 1, bit for bit: the same encoders, fusion and size, so a difference to it is one of sharing.
Every network starts from the run's seed, so the order of the tasks is of no consequence.
Published: nothing of its own; it is what papers on multi-task learning compare with.
Departures: the settings are those of hard_sharing, not tuned per task: papers that tune the shared network alone are unfair to it,
and the reverse would be as well. `single_task_wide` is the control with equal weights in all.
Cost: 36 s per cell of surgical, 3.6 times hard_sharing for four tasks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bench.core import JSON, Cohort, Count, Fold, Inputs, Predictor, Run
from bench.nets.experts import Experts
from bench.search import Choice
from bench.train import NeuralMethod


@dataclass(frozen=True, kw_only=True)
class SingleTask(NeuralMethod):
    """width: of the layer before the head."""

    family: ClassVar[str] = "single-task"
    epochwise: ClassVar[bool] = False  # each network reports of its own task

    width: Annotated[Count, Choice((64, 128, 256, 512))] = 256
    balance: str = "equal"  # of one task there is nothing to weigh, so nothing to search

    def check(self, tasks: Sequence[str]) -> None:
        super().check(tasks[:1])

    def sharing(self, d: int, tasks: int) -> nn.Module:
        return Experts(tasks, d, self.width, self.dropout)  # tasks is 1

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Predictor:
        nets: list[Predictor] = []
        for t in range(len(train.tasks)):
            past = sum(int(str(net.facts["epochs"])) for net in nets)
            later = replace(run, report=lambda epoch, score, past=past: run.report(past + epoch, score))
            nets.append(super().fit(_only(train, t), _only(valid, t), later))
        return SideBySide(nets)

    def fit_group(self, folds: Sequence[Fold]) -> Iterator[tuple[int, Predictor]]:
        """All tasks' networks of all folds at once."""
        tasks = len(folds[0].train.tasks)
        nets: list[dict[int, Predictor]] = [{} for _ in folds]
        single = [Fold(_only(fold.train, t), _only(fold.valid, t), fold.run) for fold in folds for t in range(tasks)]
        for place, net in super().fit_group(single):
            k, t = divmod(place, tasks)
            nets[k][t] = net
            if len(nets[k]) == tasks:
                yield k, SideBySide([nets[k][t] for t in range(tasks)])


@dataclass(frozen=True, slots=True, eq=False)
class SideBySide:
    """One predictor a task."""

    nets: Sequence[Predictor]

    @property
    def facts(self) -> Mapping[str, JSON]:
        """Sums for parameters and steps; lists, one entry a task, for the rest."""
        each = [net.facts for net in self.nets]
        out: dict[str, JSON] = {key: [facts.get(key) for facts in each] for key in each[0]}
        total = {key: sum(int(str(facts[key])) for facts in each) for key in ("parameters", "steps")}
        return out | total | {"at_cap": any(facts["at_cap"] for facts in each)}

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        return np.hstack([net.predict(inputs) for net in self.nets])


def _only(cohort: Cohort, t: int) -> Cohort:
    """The cohort with task t alone. The digest stays, so that all networks share one preparation of the inputs."""
    weights = None if cohort.weights is None else cohort.weights[:, [t]]
    return replace(cohort, tasks=(cohort.tasks[t],), labels=cohort.labels[:, [t]], weights=weights)


METHOD = SingleTask
