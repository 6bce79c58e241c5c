"""XGBoost's vector leaves as the library makes them, on real splits of several outcomes (methods.md 5.1).

With one outcome the library falls back on scalar leaves, so that a comparison there says nothing of these.
"""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from scipy.special import expit, logit

from bench import checks, prep, registry
from bench.core import Cohort, Run, Tabular, Task

STUMP = "xgboost_joint:rounds=1:depth=1:rows=1:columns=1:rate=1:l2=2"


def table(seed: int) -> Cohort:
    """120 rows of three columns with four values each; three weighted outcomes that lean on one each, a third unknown."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4, (120, 3)).astype(float)
    y = (rng.random((120, 3)) < expit((x - 1.5) * [0.8, 1, 1.2] - 0.5)).astype(float)
    y[rng.random(y.shape) < 0.3] = np.nan
    frame, tasks = pd.DataFrame(x, columns=list("abc")), [Task(f"t{i}") for i in range(3)]
    return checks.build("c", {"t": Tabular(frame)}, tasks, y, np.arange(120), weights=rng.uniform(0.5, 2, y.shape))


def sums(cohort: Cohort) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prevalences (T,), and first and second derivatives (n, T) there, 0 and next to 0 where a label is unknown."""
    w, y = cohort.loss_weights.astype(float), np.nan_to_num(cohort.labels.astype(float))
    rate = (w * y).sum(0) / w.sum(0)
    return rate, w * (rate - y), np.maximum(w * rate * (1 - rate), 1e-6)


def log_odds(cohort: Cohort, spec: str) -> np.ndarray:
    """(n, T) after one tree; validation rows without an event stop nothing."""
    never = cohort.rows((cohort.labels != 1).all(axis=1))
    return logit(registry.method(spec).fit(cohort, never, Run()).predict(cohort.inputs).astype(float))


@pytest.mark.parametrize("seed", range(6))
def test_the_split_has_the_largest_summed_gain_and_leaves_are_newton_steps(seed: int) -> None:
    whole = table(seed)
    rate, g, h = sums(whole)
    x: Any = whole.inputs.modalities["t"]
    sides = [x.frame[name].to_numpy() < cut for name in "abc" for cut in (1, 2, 3)]
    values = [[-g[rows].sum(0) / (h[rows].sum(0) + 2) for rows in (left, ~left)] for left in sides]
    # sum_t G_t^2 / (H_t + l2) = -sum_t G_t * value_t; the root's is the same for all splits
    gains = [-(g[left].sum(0) * a).sum() - (g[~left].sum(0) * b).sum() for left, (a, b) in zip(sides, values, strict=True)]
    best = int(np.argmax(gains))
    step = np.where(sides[best][:, None], *values[best])
    np.testing.assert_allclose(log_odds(whole, f"{STUMP}:min_weight=0"), logit(rate) + step, atol=1e-5)


def test_an_outcome_with_too_little_in_a_leaf_stays_where_it_is() -> None:
    # The library's rule for vector leaves, outcome by outcome: below min_weight the leaf says 0 of it, and the split stands
    whole = table(0)
    rate, _, h = sums(whole)
    free = log_odds(whole, f"{STUMP}:min_weight=0") - logit(rate)
    left = np.isclose(free[:, 0], free[0, 0])
    inside = np.array([h[rows].sum(0) for rows in (left, ~left)])  # (2, T)
    least = float(np.sort(inside, axis=None)[:2].mean())  # one of the six sums lies below
    step = log_odds(whole, f"{STUMP}:min_weight={least}") - logit(rate)
    np.testing.assert_allclose(step, np.where(np.where(left[:, None], *inside) < least, 0.0, free), atol=1e-5)


def test_an_outcome_given_twice_is_the_scalar_ensemble_of_the_library() -> None:
    # Both gradients are equal, so every gain is twice the scalar one and every leaf holds the scalar value twice
    once = table(1)
    whole = checks.build(
        "c", once.inputs.modalities, (Task("t"), Task("again")), once.labels[:, [0, 0]], once.patients,
        weights=once.loss_weights[:, [0, 0]] + (once.loss_weights[:, [0, 0]] == 0),
    )  # fmt: skip
    got = log_odds(whole, "xgboost_joint:rounds=40:depth=3:rows=1:columns=1:rate=0.3:min_weight=0:l2=2")
    known = ~np.isnan(once.labels[:, 0])
    x, y, w = prep.flatten(whole)(whole.inputs), once.labels[known, 0], once.loss_weights[known, 0]
    settings = {
        "objective": "binary:logistic", "base_score": float(np.average(y, weights=w)), "eta": 0.3, "max_depth": 3, "lambda": 2,
        "min_child_weight": 0, "tree_method": "hist", "nthread": 1,
    }  # fmt: skip
    scalar = xgboost.train(settings, xgboost.DMatrix(x[known], label=y, weight=w), 40)
    np.testing.assert_allclose(got, logit(scalar.predict(xgboost.DMatrix(x)).astype(float))[:, None].repeat(2, 1), atol=1e-4)
