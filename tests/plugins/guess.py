"""A method of the tests: a fixed score of the table, trained in no time. Needs a table."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.core import JSON, Cohort, Inputs, Run, Tabular, Unsupported


@dataclass(frozen=True)
class Guessed:
    facts: Mapping[str, JSON]
    noise: float
    seed: int
    fault: str

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        tasks = int(str(self.facts["tasks"]))
        if self.fault == "constant":
            return np.full((len(inputs), tasks), 0.25, np.float32)
        if self.fault == "shape":
            return np.full((len(inputs), tasks + 1), 0.25, np.float32)
        table = next(m for m in inputs.modalities.values() if isinstance(m, Tabular)).frame.select_dtypes("number")
        score = table.fillna(0).to_numpy(float).std(axis=1)
        rank = score.argsort().argsort() / len(score)
        p = np.clip(rank + self.noise * np.random.default_rng(self.seed).normal(size=rank.shape), 0.01, 0.99)
        out = np.stack([p ** (1 + t) for t in range(tasks)], 1).astype(np.float32)
        if self.fault == "nan":
            out[0, 0] = np.nan
        return out


@dataclass(frozen=True, kw_only=True)
class Guess:
    """fault: what goes wrong, for the tests that need something to."""

    noise: float = 0.3
    sleep: float = 0.0
    fault: str = "none"

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Guessed:
        time.sleep(self.sleep)
        if self.fault == "raise":
            raise ValueError("no luck with | and <b>")
        if self.fault == "decline":
            raise Unsupported("needs at least 9 outcomes, but there are fewer")
        if self.fault == "many lines":
            raise ValueError("one \u2026\nand another\x1b[31m")
        if self.fault == "exit":
            raise SystemExit(3)
        if self.fault == "die":
            import os

            os._exit(9)
        scores = [0.7, 0.7, 0.7] if self.fault == "still" else [0.7, 0.6]
        facts = {"tasks": len(train.tasks), "steps": 0 if self.fault == "no_step" else 7, "parameters": 1, "scores": scores}
        if self.fault == "facts":
            facts["odd"] = object()
        if self.fault == "arrays":
            facts |= {"scores": np.array(scores), "many": np.arange(3), "one": np.float32(2)}
        return Guessed({**facts, "at_cap": self.fault == "cap"}, self.noise, run.seed, self.fault)


METHOD = Guess
