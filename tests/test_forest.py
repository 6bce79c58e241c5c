"""The random forest: whose forest it is, who shares it, and what happens to unknown labels and weights."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor

from bench import checks, prep, registry
from bench.core import Cohort, Run, Tabular, Task
from bench.pertask import Block

random_forest: Any = registry.module("methods", "random_forest")


def table(labels: np.ndarray, weights: np.ndarray | None = None) -> Cohort:
    """Four numbers a row and these labels (n, T)."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(len(labels), 4)), columns=list("abcd"))
    tasks = [Task(f"t{i}") for i in range(labels.shape[1])]
    return checks.build("c", {"table": Tabular(frame)}, tasks, labels, np.arange(len(labels)), weights=weights)


def noisy_labels(n: int, tasks: int) -> np.ndarray:
    """Labels that lean on the numbers of `table`."""
    x = np.random.default_rng(0).normal(size=(n, 4))
    return (x[:, :tasks] + np.random.default_rng(1).normal(size=(n, tasks)) > 0.5).astype(float)


def test_outcomes_known_in_the_same_rows_share_scikit_learn_s_forest() -> None:
    y = noisy_labels(300, 3)
    y[::4, 1] = np.nan
    train = table(y)
    p = registry.method("random_forest:trees=20").fit(train, train, Run(seed=3)).predict(train.inputs)
    x = prep.flatten(train)(train.inputs)
    for tasks in ([0, 2], [1]):
        known = ~np.isnan(y[:, tasks[0]])
        labels = y[known][:, tasks].squeeze()
        model = RandomForestRegressor(20, min_samples_leaf=5, max_features="sqrt", random_state=3).fit(x[known], labels)
        expected = (20 * model.predict(x).reshape(300, -1) + y[known][:, tasks].mean(axis=0)) / 21  # and the tree without a split
        np.testing.assert_allclose(p[:, tasks], expected, atol=1e-6)


def test_complete_labels_make_one_forest_and_other_weights_more() -> None:
    y = noisy_labels(100, 3)
    w = np.random.default_rng(0).uniform(1, 2, (100, 1)).repeat(3, axis=1)
    steps: list[object] = []
    for weights in (None, w, w * [1, 1, 1.5]):
        train = table(y, weights=weights)
        steps.append(registry.method("random_forest:trees=10").fit(train, train, Run()).facts["steps"])
    assert steps == [10, 10, 20]


def test_no_risk_is_zero() -> None:
    y = np.zeros((400, 1))
    y[:8] = 1
    train = table(y)
    p = registry.method("random_forest").fit(train, train, Run()).predict(train.inputs)
    assert p.min() >= 0.02 / 201 - 1e-9


class Filled(random_forest.RandomForest):
    """One forest, prevalences in place of unknown labels."""

    def _fit(self, data: Block, run: Run) -> Any:
        filled = np.where(data.w > 0, data.target, data.prevalence)
        return super()._fit(Block(data.x, filled, np.ones_like(data.w)), run)


class OneEach(random_forest.RandomForest):
    """A forest an outcome."""

    def _fit(self, data: Block, run: Run) -> Any:
        return random_forest.Forests([(np.array([t]), self._grow(data, np.array([t]), run)) for t in range(3)], data.prevalence)


@pytest.mark.parametrize("mutant", [Filled, OneEach])
def test_other_forests_are_found_out(mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_forest, "METHOD", mutant)
    with pytest.raises(AssertionError):
        test_outcomes_known_in_the_same_rows_share_scikit_learn_s_forest()


def test_weights_count_as_repeated_rows_do() -> None:
    # Labels that nothing explains: a prevalence of .3 with events four times as heavy is 1.2 / 1.9 = .63
    y = (np.random.default_rng(5).random((600, 1)) < 0.3).astype(float)
    heavy = table(y, np.where(y == 1, 4.0, 1.0))
    p = registry.method("random_forest:leaf=60").fit(heavy.rows(np.arange(400)), heavy, Run()).predict(heavy.inputs)
    q = y[:400].mean()
    assert p[400:].mean() == pytest.approx(4 * q / (1 + 3 * q), abs=0.04)
