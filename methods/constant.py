"""Constant: every patient gets the outcome's prevalence in training, the floor of every table.

No paper: the best prediction of one who knows nothing of the patient. The weighted prevalence minimises log loss and Brier
score among constants; AUROC is exactly .5 and average precision the prevalence of the test fold. Inputs are never looked at.
Unknown labels are left out; an outcome that was never known or never happened is predicted at 1e-7.
Published: nothing; it is the reference that a Brier skill score divides by.
Departures: none.
Cost: nothing, some milliseconds per cell of surgical.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.core import Cohort, Inputs, Run
from bench.pertask import Constant as Prevalence
from bench.pertask import PerTask, fit_per_task


def nothing(inputs: Inputs) -> NDArray[np.float64]:
    """(n, 0). A function by name, so that the predictor can be pickled."""
    return np.zeros((len(inputs), 0))


@dataclass(frozen=True, kw_only=True)
class Constant:
    """Nothing to set. The fact `floor` says that equal predictions for all are meant."""

    family: ClassVar[str] = "floor"

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> PerTask:
        fitted = fit_per_task(nothing, train, valid, run, lambda data, _: Prevalence(data.prevalence, steps=1))
        return PerTask(fitted.prepare, fitted.models, {**fitted.facts, "floor": True})


METHOD = Constant
