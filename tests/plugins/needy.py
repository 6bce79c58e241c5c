"""A method of the tests that wants a GPU where there is one, and tells which process ran it. Predicts the base rates."""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.core import JSON, Cohort, Inputs, Run


@dataclass(frozen=True)
class Rates:
    facts: Mapping[str, JSON]
    rates: NDArray[np.float32]

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        return np.tile(self.rates, (len(inputs), 1))


@dataclass(frozen=True, kw_only=True)
class Needy:
    """kill: end the process that this one is a child of."""

    needs: ClassVar[Mapping[str, float]] = {"GPU": 1}

    kill: bool = False

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Rates:
        if self.kill:
            os.kill(os.getppid(), signal.SIGKILL)
        return Rates({"parent": os.getppid(), "floor": True}, np.nanmean(train.labels, axis=0))


METHOD = Needy
