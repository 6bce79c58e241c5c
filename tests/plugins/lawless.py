"""A method of the tests: a ridge regression that keeps every law of the contract, unless `fault` says which it breaks."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import prep
from bench.core import JSON, Cohort, Inputs, Run, Series, Tabular, Text, Unsupported
from bench.pertask import probabilities

RULE = {"age": (0.02, 60), "sodium": (-0.05, 140)}  # weight and mean: of somebody who need not learn


@dataclass(frozen=True, eq=False)
class Learned:
    prepare: prep.Linear
    rate: NDArray[Any]
    slope: NDArray[Any]
    facts: Mapping[str, JSON]
    names: tuple[str, ...]  # of the modalities, as training had them
    fault: str

    def predict(self, inputs: Inputs) -> NDArray[Any]:
        modalities = dict(inputs.modalities)
        if self.fault == "looks at what is missing":
            modalities = {name: _present(m) for name, m in modalities.items()}
        p = self.rate + self.prepare(Inputs(modalities)) @ self.slope
        if self.fault == "knows a rule" and "table" in modalities:
            table: Any = modalities["table"]
            for column, (weight, mean) in RULE.items():
                p = p + (weight * (table.frame[column] - mean)).fillna(0).where(table.present, 0).to_numpy()[:, None]
        if self.fault == "order" and list(modalities) != [name for name in self.names if name in modalities]:
            p = p + 0.01
        if self.fault == "batch":
            p = p - p.mean(axis=0) + self.rate
        if self.fault == "log-odds":
            return (4 * p - 2).astype(np.float32)
        if self.fault == "nan":
            p[3, 1] = np.nan
            return p.astype(np.float32)
        if self.fault == "float64":
            return np.clip(p, 0.0, 1.0)
        if self.fault == "changes inputs":
            inputs.modalities.pop("note", None)  # type: ignore[attr-defined]
        return probabilities(p)[:, :1] if self.fault == "one column" else probabilities(p)


@dataclass(frozen=True, kw_only=True)
class Lawless:
    fault: str = ""

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Learned:
        self._stopped_by(train)
        if self.fault == "changes data":
            frame = train.inputs.modalities["table"].frame  # type: ignore[union-attr]
            train.inputs.modalities["table"] = Tabular(frame.assign(age=frame["age"].fillna(0)))  # type: ignore[index]
        prepare, names = prep.linear(train), tuple(train.inputs.modalities)
        x, y, w = prepare(train.inputs), np.nan_to_num(train.labels), train.loss_weights
        if self.fault in ("unweighted", "unmasked"):
            w = (
                train.mask.astype(float)
                if self.fault == "unweighted"
                else np.ones_like(w)
                if train.weights is None
                else train.weights
            )
        rate = (w * y).sum(axis=0) / np.maximum(w.sum(axis=0), 1e-9)
        gram = [(x.T * u) @ x + 30.0 * np.eye(x.shape[1]) for u in w.T]
        slope = np.stack([np.linalg.solve(g, x.T @ v) for g, v in zip(gram, (w * (y - rate)).T, strict=True)], axis=1)
        facts: dict[str, Any] = {"parameters": slope.size, "steps": 1, "at_cap": False}
        if self.fault == "global":
            slope += np.random.normal(0, 1e-3, slope.shape)
        if self.fault == "process":
            slope += np.random.default_rng(os.getpid()).normal(0, 0.01, slope.shape)
        if self.fault in ("unlearned", "knows a rule"):
            slope = 1e-6 * np.random.default_rng(0).normal(size=slope.shape)
        if self.fault == "one class" and not np.nansum(train.labels, axis=0).all():
            rate = np.full_like(rate, 0.5)
        if self.fault == "validation" and not np.nansum(valid.labels, axis=0).all():
            rate = np.full_like(rate, 0.95)
        if self.fault == "whole batches":
            facts["steps"] = len(train) // 256 + (len(train) >= 64)
        if self.fault == "array":
            facts["rate"] = rate
        if self.fault == "keeps":
            object.__setattr__(self, "slope", slope)
        return Learned(prepare, rate, slope, facts, names, self.fault)

    def _stopped_by(self, train: Cohort) -> None:
        if self.fault == "label gaps" and np.isnan(train.labels).any():
            raise ValueError("Input y contains NaN.")
        if self.fault == "empty" and not all(m.present.any() for m in train.inputs.modalities.values()):
            raise ZeroDivisionError("float division by zero")
        if self.fault == "declines":
            raise Unsupported("needs at least 9 outcomes, but there are fewer")
        if self.fault == "declines few" and len(train) < 50:
            raise Unsupported("needs at least 50 patients, but there are fewer")


def _present(modality: Any) -> Any:
    if isinstance(modality, Tabular):
        return Tabular(modality.frame)
    if isinstance(modality, Series):
        return Series(modality.offsets, modality.time, modality.channel, modality.value, modality.channels, modality.units)
    return Text(modality.strings)


METHOD = Lawless
