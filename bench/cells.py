"""What one cell is: a method fitted on the training rows of a split, and what it predicts while it lives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core import JSON, BenchError, Cohort, Fold, Inputs, Predictor, Rows, Run, Split
from bench.views import View, masked

EPSILON = np.float32(1e-7)  # probabilities lie in [EPSILON, 1 - EPSILON]


@dataclass(frozen=True, eq=False)
class Shown:
    """What a cell shows its method. learned, tested: the cohort as it is in training and at the test.

    external: a view's name -> the other cohort it is of.
    """

    learned: Cohort
    tested: Cohort
    split: Split
    seed: int  # of the protocol
    views: tuple[View, ...]
    external: Callable[[View], Cohort]

    @cached_property  # the same objects for all methods of a fold: what was prepared of them is found again
    def train(self) -> Cohort:
        return self.learned.rows(self.split.train)

    @cached_property
    def valid(self) -> Cohort:
        return self.learned.rows(self.split.valid)

    @cached_property
    def test(self) -> Cohort:
        return self.tested.rows(self.split.test)


def fold(shown: Shown, run: Run) -> Fold:
    """What the cell's method is given. run: as it is to be, but for the seed."""
    split = shown.split
    seed = int(np.random.SeedSequence([shown.seed, split.repeat, split.fold]).generate_state(1)[0])
    return Fold(_own(shown.train), _own(shown.valid), replace(run, seed=seed))


def _own(cohort: Cohort) -> Cohort:
    """With frames of its own: a method that writes into them does so for itself, as with `Tabular.frame`. Nothing is copied till then."""

    def shallow(frame: pd.DataFrame | None) -> pd.DataFrame | None:
        return None if frame is None else frame.copy(deep=False)

    return replace(cohort, subgroups=shallow(cohort.subgroups), variants=shallow(cohort.variants))


def predicted(predictor: Predictor, shown: Shown, clock: Callable[[], float]) -> tuple[pd.DataFrame, float]:
    """row, patient, fold, view, y:<task>, p:<task> of the test and the validation rows; seconds by the clock that the test rows took."""
    split, test, valid = shown.split, shown.test, shown.valid
    begun = clock()
    tested = _frame(predictor, test, test.inputs, split.test, "test", split.fold)
    seconds = clock() - begun
    validated = _frame(predictor, valid, valid.inputs, split.valid, "valid", split.fold)
    return pd.concat([tested, validated], ignore_index=True), round(seconds, 6)


def viewed(predictor: Predictor, shown: Shown) -> tuple[list[pd.DataFrame], dict[str, JSON]]:
    """The same of every further view; and a view's name -> the share of modalities missing in it."""
    split, fold, test = shown.split, shown.split.fold, shown.test
    frames: list[pd.DataFrame] = []
    shares: dict[str, JSON] = {}
    for view in shown.views:
        if view.external is not None:
            other = shown.external(view)
            frames.append(_frame(predictor, other, other.inputs, np.arange(len(other)), view.name, fold))
        else:
            inputs, share = masked(test.inputs, split.test, view.missing, shown.seed, split.repeat)
            frames.append(_frame(predictor, test, inputs, split.test, view.name, fold))
            shares[view.name] = round(share, 6)
    return frames, shares


def _frame(predictor: Predictor, part: Cohort, inputs: Inputs, rows: Rows, view: str, fold: int) -> pd.DataFrame:
    p = checked_probabilities(predictor.predict(inputs), inputs, len(part.tasks))
    columns: dict[str, Any] = {"row": rows, "patient": part.patients, "fold": np.int16(fold), "view": view}
    for t, task in enumerate(part.task_names):
        columns |= {f"y:{task}": part.labels[:, t], f"p:{task}": p[:, t]}
    return pd.DataFrame(columns)


def checked_probabilities(p: NDArray[Any], inputs: Inputs, tasks: int) -> NDArray[np.float32]:
    """What a method returned, as (n, T) float32 within [EPSILON, 1 - EPSILON], or an error that names the rule it broke."""
    p = np.asarray(p)
    if p.shape != (len(inputs), tasks):
        raise BenchError(f"predict must return shape ({len(inputs)}, {tasks}), but returned {p.shape}")
    bad = ~np.isfinite(p) | (p < 0) | (p > 1)
    if bad.any():
        raise BenchError(f"predict must return probabilities, but {int(bad.sum())} of {p.size} are none (first: {p[bad][0]})")
    return np.clip(p.astype(np.float32), EPSILON, 1 - EPSILON)


def alarms(facts: Mapping[str, Any], predictions: pd.DataFrame, tasks: tuple[str, ...]) -> list[str]:
    """Signs that a model did not learn, whatever its numbers say."""
    test = predictions[predictions["view"] == "test"]
    constant = [task for task in tasks if len(test) > 1 and test[f"p:{task}"].nunique() == 1]
    runs = facts.get("scores") or []
    traces = runs if runs and isinstance(runs[0], list | tuple) else [runs]
    found = [f"constant predictions for {', '.join(constant)}"] if constant and not facts.get("floor") else []
    if facts.get("steps") == 0:
        found.append("no training step was made")
    if any(len(trace) > 1 and len(set(trace)) == 1 for trace in traces):
        found.append("validation score never moved")
    return found
