"""A network of the tests whose group comes to an end after its first cell: its process dies, or it raises."""

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from bench import registry
from bench.core import Fold, Predictor
from bench.train import NeuralMethod


@dataclass(frozen=True, kw_only=True)
class Fragile(NeuralMethod):
    fault: Literal["none", "dies", "raises"] = "none"

    def sharing(self, d: int, tasks: int) -> nn.Module:
        hard: Any = registry.method("hard_sharing:width=8")
        return hard.sharing(d, tasks)

    def fit_group(self, folds: Sequence[Fold]) -> Iterator[tuple[int, Predictor]]:
        for found in super().fit_group(folds):
            yield found
            if self.fault == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.fault == "raises":
                raise RuntimeError("no luck")


METHOD = Fragile
