"""A method with a setting that is best at 3, for tests of tuning: no part of the suite."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from bench.core import JSON, Cohort, Count, Inputs, NonNegative, Positive, Run, Tabular, Unsupported
from bench.search import Choice, Range


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A least-squares fit to a table's numbers, blurred by how far `at` is from 3; breaks at 5, declines at 6. pause: seconds a fit takes."""

    at: Annotated[Count, Range(1, 6)] = 1
    style: Annotated[str, Choice(("a", "b"))] = "a"
    rate: Annotated[Positive, Range(1e-3, 1.0, log=True)] = 0.1
    pause: NonNegative = 0.0

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> "Fitted":
        if self.at == 5:
            raise ZeroDivisionError("five")
        if self.at == 6:
            raise Unsupported("six")
        time.sleep(self.pause)
        x, y = numbers(train.inputs), np.where(train.mask, train.labels, 0.5) - 0.5
        weights = np.linalg.solve(x.T @ x + 10 * np.eye(x.shape[1]), x.T @ y)
        return Fitted(self.at, {"weights": weights.tolist()})


@dataclass(frozen=True)
class Fitted:
    at: int
    facts: Mapping[str, JSON]

    def predict(self, inputs: Inputs) -> np.ndarray:
        z = numbers(inputs) @ np.asarray(self.facts["weights"])
        z = z / z.std(axis=0) + 2.0 * abs(self.at - 3) * np.random.default_rng(len(inputs)).normal(size=z.shape)
        return 1 / (1 + np.exp(-z))


def numbers(inputs: Inputs) -> np.ndarray:
    """Those of the first table, standardised, 0 where missing."""
    table = next(m for m in inputs.modalities.values() if isinstance(m, Tabular)).frame.select_dtypes("number").to_numpy(float)
    return np.nan_to_num((table - np.nanmean(table, axis=0)) / np.nanstd(table, axis=0))


METHOD = Planted
