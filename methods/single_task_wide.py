"""Single task, size-matched: a network per task, which together have as many weights as one multi-task network.

A control of ours: `single_task` gives every task a network as large as the multi-task one, T times the weights in all; here
the networks together have the weights of `like`, within 2 %, so that a difference to it is not one of size. Otherwise it is
`single_task`. fused, hidden and width keep their proportions as far as whole numbers allow: the largest common scale that fits,
then the largest `hidden`, then the largest `width`. The facts state both sizes: `parameters`, `target_parameters`, `sizes`.
Published: nothing; comparisons of multi-task networks seldom print the total size of their single-task ones.
Departures: a control, not a published method.
Cost: T small networks, each trained to its own stop: 26 s per cell of surgical, 2.6 times hard_sharing with four tasks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench import prep, registry
from bench.core import JSON, BenchError, Cohort, Count, Inputs, Predictor, Run, Unsupported
from bench.nets.experts import Experts
from bench.search import Choice
from bench.train import NeuralMethod


@dataclass(frozen=True, kw_only=True)
class SingleTaskWide(NeuralMethod):
    """like: the neural method whose size is matched. fused, hidden, width: only their proportions count."""

    family: ClassVar[str] = "single-task"
    epochwise: ClassVar[bool] = False  # each network reports of its own task

    fused: Count = 64  # not searched: of the three the others make all proportions
    width: Annotated[Count, Choice((64, 128, 256, 512))] = 256
    balance: str = "equal"  # of one task there is nothing to weigh, so nothing to search
    like: str = "hard_sharing"

    @property
    def uses(self) -> tuple[str, ...]:
        """Methods whose code this one runs on: a change of theirs makes its cells anew."""
        return self.like, "single_task"

    def __post_init__(self) -> None:
        super().__post_init__()
        like = _method(self.like)
        if not isinstance(like, NeuralMethod) or like.family == self.family:
            raise BenchError(f"like is a neural method with one network for all tasks, but got '{self.like}'. Try hard_sharing.")

    def check(self, tasks: Sequence[str]) -> None:
        super().check(tasks[:1])

    def sharing(self, d: int, tasks: int) -> nn.Module:
        return Experts(tasks, d, self.width, self.dropout)  # tasks is 1

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Predictor:
        shapes, tasks = prep.tokens(train).shapes, len(train.tasks)
        target = parameters(_method(self.like), shapes, tasks)
        sized = self.sized(shapes, tasks, target)
        settings = {f.name: getattr(sized, f.name) for f in fields(sized) if f.name != "like"}
        fitted = replace(_method("single_task"), **settings).fit(train, valid, run)
        sizes = {name: settings[name] for name in ("fused", "hidden", "width")}
        return Sized(fitted, {**fitted.facts, "target_parameters": target, "sizes": sizes})

    def sized(self, shapes: Mapping[str, prep.Shape], tasks: int, target: int) -> "SingleTaskWide":
        """The settings whose T networks come nearest to `target` parameters from below. Unsupported if none is small enough."""

        def scaled(step: int) -> SingleTaskWide:
            fused, hidden, width = (max(1, step * size // 256) for size in (self.fused // self.heads, self.hidden, self.width))
            return replace(self, fused=fused * self.heads, hidden=hidden, width=width)

        def fits(method: SingleTaskWide) -> bool:
            return tasks * parameters(method, shapes, 1) <= target

        if not fits(scaled(0)):
            raise Unsupported(f"needs room for {tasks} networks, but {self.like} has {target} parameters in all")
        scale = largest(0, lambda step: fits(scaled(step)))
        method = scaled(scale)
        hidden = largest(method.hidden, lambda size: fits(replace(method, hidden=size)))
        width = largest(method.width, lambda size: fits(replace(method, hidden=hidden, width=size)))
        return replace(method, hidden=hidden, width=width)


@dataclass(frozen=True, slots=True, eq=False)
class Sized:
    """The networks, and what they were made to match: `target_parameters`, `sizes`."""

    networks: Predictor
    facts: Mapping[str, JSON]

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        return self.networks.predict(inputs)


def _method(spec: str) -> Any:
    return registry.method(spec)


def parameters(method: NeuralMethod, shapes: Mapping[str, prep.Shape], tasks: int) -> int:
    """How many a network of the method has for these inputs. Leaves torch's random state as it was."""
    with torch.random.fork_rng():
        network = method.build(shapes, torch.zeros(1, tasks), torch.zeros(1, tasks))
    return sum(p.numel() for p in network.parameters())


def largest(low: int, fits: Callable[[int], bool]) -> int:
    """The largest whole number that fits, if `low` does and none above one that does not."""
    high = 2 * low + 1
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


METHOD = SingleTaskWide
