"""A method with a setting that is best at 3, for tests of tuning: no part of the suite."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from bench.core import JSON, Cohort, Count, Inputs, Positive, Run, Unsupported
from bench.search import Choice, Range


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Tells the log-odds of the planted number `age`, blurred by how far `at` is from 3; breaks at 5, declines at 6."""

    at: Annotated[Count, Range(1, 6)] = 1
    style: Annotated[str, Choice(("a", "b"))] = "a"
    rate: Annotated[Positive, Range(1e-3, 1.0, log=True)] = 0.1
    fixed: Count = 1

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> "Fitted":
        if self.at == 5:
            raise ZeroDivisionError("five")
        if self.at == 6:
            raise Unsupported("six")
        return Fitted(self.at, {"scores": [1.0]})


@dataclass(frozen=True)
class Fitted:
    at: int
    facts: Mapping[str, JSON]

    def predict(self, inputs: Inputs) -> np.ndarray:
        table: Any = inputs.modalities["table"]
        rng = np.random.default_rng(len(inputs))
        signal = np.nan_to_num((table.frame["age"].to_numpy() - 60) / 10)
        z = signal + 2.0 * abs(self.at - 3) * rng.normal(size=len(inputs))
        return np.tile(1 / (1 + np.exp(-z)), (3, 1)).T


METHOD = Planted
