from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from bench import prep, registry
from bench.core import Cohort, Run

Parts = tuple[Cohort, Cohort, Cohort]


@pytest.fixture(scope="module")
def parts(make_cohort: Callable[..., Cohort]) -> Parts:
    whole = make_cohort(n=700, weighted=True)
    return whole.rows(np.arange(400)), whole.rows(np.arange(400, 550)), whole.rows(np.arange(550, 700))


def test_ridge_equals_lbfgs(parts: Parts) -> None:
    train, valid, test = parts
    one_class = valid.rows(valid.labels[:, 0] != 1)  # nothing to choose by: the one strength is 0.05 of the largest
    predictor = registry.method("logistic:l1_ratio=0:tolerance=1e-7:iterations=20000").fit(train, one_class, Run())
    linear, known = prep.linear(train), train.mask[:, 0]
    x, y = linear(train.inputs)[known], train.labels[known, 0].astype(float)
    w = train.loss_weights[known, 0] / train.loss_weights[known, 0].mean()
    largest = np.abs(x.T @ (w * (y - np.average(y, weights=w)))).max() / len(y) / 0.01
    oracle = LogisticRegression(C=1 / (0.05 * largest * len(y)), tol=1e-10, max_iter=10_000).fit(x, y, sample_weight=w)
    expected = oracle.predict_proba(linear(test.inputs))[:, 1]
    np.testing.assert_allclose(predictor.predict(test.inputs)[:, 0], expected, atol=1e-4)
    assert not predictor.facts["at_cap"]


def test_the_elastic_net_meets_its_optimality_conditions(parts: Parts) -> None:
    train, valid, _ = parts
    predictor = registry.method("logistic:l1_ratio=0.3:tolerance=1e-7:iterations=20000").fit(
        train, valid.rows(valid.labels[:, 0] != 1), Run()
    )
    known = train.mask[:, 0]
    x, y, u = prep.linear(train)(train.inputs)[known], train.labels[known, 0].astype(float), train.loss_weights[known, 0]
    u = u / u.sum()
    strength = 0.05 * np.abs(x.T @ (u * (y - u @ y))).max() / 0.3
    w = predictor.models[0].weights
    residual = u * (expit(x @ w + predictor.models[0].intercept) - y)
    slope, there = x.T @ residual, w != 0
    # mean loss + strength (.3 |w|_1 + .7 / 2 |w|_2^2): the slope of the loss undoes that of the penalty, or is too small to move w
    assert 5 < there.sum() < len(w) - 5
    np.testing.assert_allclose(slope[there], -strength * (0.3 * np.sign(w) + 0.7 * w)[there], atol=1e-4 * strength)
    assert (np.abs(slope[~there]) <= 0.3 * strength * (1 + 1e-4)).all()
    assert abs(residual.sum()) < 1e-6  # the intercept is free


def test_the_path_starts_where_every_weight_is_zero(parts: Parts) -> None:
    train, valid, test = parts
    predictor = registry.method("logistic:l1_ratio=1:path=1:tolerance=1e-8").fit(train, valid, Run())
    assert predictor.facts["parameters"] == 3  # the three intercepts
    rate = np.average(np.nan_to_num(train.labels), weights=train.loss_weights, axis=0)
    np.testing.assert_allclose(predictor.predict(test.inputs), np.tile(rate, (150, 1)), atol=1e-3)


def test_the_strength_with_the_least_weighted_validation_loss_is_used(parts: Parts) -> None:
    train, valid, _ = parts
    predictor = registry.method("logistic").fit(train, valid, Run())
    p = predictor.predict(valid.inputs).astype(float)
    for t, scores in enumerate(predictor.facts["scores"]):
        known = valid.mask[:, t]
        y, q, w = valid.labels[known, t], p[known, t], valid.loss_weights[known, t]
        assert np.average(-np.log(np.where(y == 1, q, 1 - q)), weights=w) == pytest.approx(min(scores), abs=1e-6)
        assert scores[0] > min(scores)


def test_a_path_that_does_not_converge_is_told(parts: Parts) -> None:
    assert registry.method("logistic:iterations=2:tolerance=1e-9").fit(parts[0], parts[1], Run()).facts["at_cap"]


def test_lasso_drops_noise(parts: Parts) -> None:
    predictor = registry.method("logistic:l1_ratio=1").fit(parts[0], parts[1], Run())
    q = prep.linear(parts[0])(parts[0].inputs).shape[1]
    assert 3 * 5 < predictor.facts["parameters"] < 3 * q / 2


def test_an_outcome_of_one_class_is_a_constant(parts: Parts) -> None:
    train, valid, test = parts
    predictor = registry.method("logistic").fit(train.rows(train.labels[:, 2] != 1), valid, Run())
    assert predictor.facts["constant"] == ["outcome_2"]
    assert (predictor.predict(test.inputs)[:, 2] == np.float32(1e-7)).all()
