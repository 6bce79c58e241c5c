"""The multi-task lasso: optimality conditions, its limits, and what it is for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from bench import checks, prep, registry
from bench.core import Cohort, Run, Tabular, Task

lasso: Any = registry.module("methods", "multitask_lasso")
Parts = tuple[Cohort, Cohort, Cohort]
PRECISE = "tolerance=1e-6:iterations=20000"


@pytest.fixture(scope="module")
def parts(make_cohort: Callable[..., Cohort]) -> Parts:
    whole = make_cohort(n=700, weighted=True)
    return whole.rows(np.arange(400)), whole.rows(np.arange(400, 550)), whole.rows(np.arange(550, 700))


def unstopped(valid: Cohort) -> Cohort:
    """Rows that cannot choose a strength: it is 0.05 of the largest."""
    return valid.rows((valid.labels != 1).all(axis=1))


def problem(train: Cohort) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standardised columns (n, q), labels with 0 for unknown, weights with sum 1 for each outcome."""
    w = train.loss_weights.astype(float)
    return prep.linear(train)(train.inputs), np.nan_to_num(train.labels.astype(float)), w / w.sum(axis=0)


def gradient(train: Cohort, w: np.ndarray) -> np.ndarray:
    """(q + 1, T), the intercepts last."""
    x, y, u = problem(train)
    residual = u * (expit(x @ w[:-1] + w[-1]) - y)
    return np.vstack([x.T @ residual, residual.sum(axis=0)])


def largest(train: Cohort) -> float:
    """The strength at which every weight is 0: the longest row of the gradient at the prevalences."""
    x, y, u = problem(train)
    return float(np.linalg.norm(x.T @ (u * ((u * y).sum(axis=0) - y)), axis=1).max())


def sparse_cohort(n: int = 900, seed: int = 0) -> Cohort:
    """40 columns, of which 3, 11, 20 and 33 matter to all four outcomes, with signs of their own."""
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(n, 40)), np.zeros((40, 4))
    w[[3, 11, 20, 33]] = rng.choice([-1.0, 1.0], (4, 4))
    y = (rng.random((n, 4)) < expit(x @ w - 1)).astype(float)
    y[rng.random(y.shape) < 0.1] = np.nan
    frame = pd.DataFrame(x, columns=[f"x{j:02d}" for j in range(40)])
    return checks.build("sparse", {"t": Tabular(frame)}, [Task(f"t{i}") for i in range(4)], y, np.arange(n))


def fitted(train: Cohort, valid: Cohort, settings: str = "") -> Any:
    return registry.method(f"multitask_lasso:{settings or PRECISE}").fit(train, valid, Run())


def law_optimality(parts: Parts) -> None:
    train, valid, _ = parts
    w = fitted(train, unstopped(valid)).model.weights
    g, strength = gradient(train, w), 0.05 * largest(train)
    norm = np.linalg.norm(w[:-1], axis=1)
    there = norm > 0
    assert 5 < there.sum() < len(norm) - 5
    np.testing.assert_allclose(g[:-1][there], -strength * w[:-1][there] / norm[there, None], atol=1e-5 * strength)
    assert (np.linalg.norm(g[:-1][~there], axis=1) <= strength * (1 + 1e-5)).all()
    np.testing.assert_allclose(g[-1], 0, atol=1e-5 * strength)


def law_one_outcome_is_the_lasso(parts: Parts) -> None:
    single, check = (one_outcome(c) for c in parts[:2])
    predictor = fitted(single, unstopped(check))
    x, y, u = problem(single)
    known = u[:, 0] > 0
    oracle = LogisticRegression(
        C=1 / (0.05 * largest(single) * known.sum()), l1_ratio=1.0, solver="saga", tol=1e-9, max_iter=50_000, random_state=0
    ).fit(x[known], y[known, 0], sample_weight=u[known, 0] * known.sum())
    np.testing.assert_allclose(predictor.model.weights[:-1, 0], oracle.coef_[0], atol=1e-4)
    np.testing.assert_allclose(predictor.model.weights[-1], oracle.intercept_, atol=1e-4)
    expected = oracle.predict_proba(prep.linear(single)(parts[2].inputs))[:, 1]
    np.testing.assert_allclose(predictor.predict(parts[2].inputs)[:, 0], expected, atol=1e-4)


def one_outcome(cohort: Cohort) -> Cohort:
    weights = None if cohort.weights is None else cohort.weights[:, :1]
    return checks.build("one", cohort.inputs.modalities, cohort.tasks[:1], cohort.labels[:, :1], cohort.patients, weights=weights)


def law_the_path_starts_where_every_weight_is_zero(parts: Parts) -> None:
    train, valid, test = parts
    first = fitted(train, valid, "path=1")
    rate = np.average(np.nan_to_num(train.labels), weights=train.loss_weights, axis=0)
    assert (first.facts["parameters"], first.facts["steps"]) == (3, 0)
    np.testing.assert_allclose(first.predict(test.inputs), np.tile(rate, (150, 1)), atol=1e-6)
    next_to_it = fitted(train, valid, f"path=2:weakest=0.98:{PRECISE}").model.weights[:-1]
    assert 1 <= next_to_it.any(axis=1).sum() <= 3


def law_a_column_serves_all_outcomes_or_none(parts: Parts) -> None:
    weights = fitted(parts[0], parts[1]).model.weights[:-1]
    assert (weights.any(axis=1) == weights.all(axis=1)).all()
    assert 0 < weights.any(axis=1).sum() < len(weights)


def law_planted_columns_are_recovered(parts: Parts) -> None:
    whole = sparse_cohort()
    train, valid = whole.rows(np.arange(600)), whole.rows(np.arange(600, 900))
    strict = fitted(train, valid, f"path=2:weakest=0.4:{PRECISE}").model.weights[:-1]
    assert np.flatnonzero(strict.any(axis=1)).tolist() == [3, 11, 20, 33]
    best = np.linalg.norm(fitted(train, valid).model.weights[:-1], axis=1)
    assert sorted(np.argsort(best)[-4:].tolist()) == [3, 11, 20, 33]
    assert best[[3, 11, 20, 33]].min() > 3 * np.delete(best, [3, 11, 20, 33]).max()


def law_columns_ruled_out_wrongly_are_added(parts: Parts) -> None:
    x, y, u = problem(parts[0])
    whole = lasso.Problem(np.column_stack([x, np.ones(len(x))]), y, u)
    strength = 0.05 * largest(parts[0])
    w, _ = lasso.minimum(whole, whole.start, strength, -1e9, 1e-6, 20_000)  # after a strength of -1e9 nothing is kept
    expected, _ = lasso.fista(whole, whole.start, strength, 1e-6, 20_000)
    assert w[:-1].any(axis=1).sum() > 5
    np.testing.assert_allclose(w, expected, atol=1e-4)


def separate_lassos(w: np.ndarray, by: float) -> np.ndarray:
    out = np.sign(w) * np.maximum(np.abs(w) - by, 0)
    out[-1] = w[-1]
    return out


def intercepts_too(w: np.ndarray, by: float) -> np.ndarray:
    return np.maximum(0.0, 1 - by / np.maximum(np.linalg.norm(w, axis=1, keepdims=True), 1e-300)) * w


def no_penalty(w: np.ndarray, by: float) -> np.ndarray:
    return w


class Unweighted(lasso.Problem):
    """Every row counts the same, unknown labels as 0."""

    def __init__(self, x: np.ndarray, y: np.ndarray, u: np.ndarray) -> None:
        super().__init__(x, y, np.full_like(u, 1 / len(u)))


def trusting(problem: Any, w: np.ndarray, strength: float, before: float, tolerance: float, cap: int) -> Any:
    """The strong rule believed without a second look."""
    g = problem.gradient(problem.x @ w)
    kept = np.linalg.norm(g, axis=1) >= 2 * strength - before
    kept[-1] = True
    part, steps = lasso.fista(lasso.Problem(problem.x[:, kept], problem.y, problem.u), w[kept], strength, tolerance, cap)
    out = np.zeros_like(w)
    out[kept] = part
    return out, steps


LAWS = [
    law_optimality, law_one_outcome_is_the_lasso, law_the_path_starts_where_every_weight_is_zero,
    law_a_column_serves_all_outcomes_or_none, law_planted_columns_are_recovered, law_columns_ruled_out_wrongly_are_added,
]  # fmt: skip
MUTATIONS: list[tuple[Callable[[Parts], None], str, Any]] = [
    (LAWS[0], "shrink", separate_lassos),
    (LAWS[0], "shrink", intercepts_too),
    (LAWS[0], "shrink", no_penalty),
    (LAWS[0], "Problem", Unweighted),
    (LAWS[1], "shrink", intercepts_too),
    (LAWS[1], "Problem", Unweighted),
    (LAWS[2], "Problem", Unweighted),
    (LAWS[2], "shrink", no_penalty),
    (LAWS[3], "shrink", separate_lassos),
    (LAWS[4], "shrink", no_penalty),
    (LAWS[5], "minimum", trusting),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Callable[[Parts], None], parts: Parts) -> None:
    law(parts)


@pytest.mark.parametrize(("law", "name", "mutant"), MUTATIONS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_law_fails_under_mutation(
    law: Callable[[Parts], None], name: str, mutant: Any, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasso, name, mutant)
    monkeypatch.setitem(globals(), "PRECISE", "tolerance=1e-6:iterations=300")  # a broken step never converges
    with pytest.raises(AssertionError):
        law(parts)


def test_every_law_has_a_mutation() -> None:
    assert {law for law, *_ in MUTATIONS} == set(LAWS)


def test_the_strength_with_the_least_validation_loss_is_used(parts: Parts) -> None:
    train, valid, _ = parts
    predictor = fitted(train, valid)
    p, out, votes = predictor.predict(valid.inputs).astype(float), [], []
    for y, q, w in zip(valid.labels.T, p.T, valid.loss_weights.T, strict=True):
        told, events = ~np.isnan(y), (y == 1).sum()
        rate = np.average(y[told], weights=w[told])
        loss = np.average(-np.log(np.where(y == 1, q, 1 - q)[told]), weights=w[told])
        out.append(loss / -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate)))
        votes.append(events / (events + 10))
    scores = predictor.facts["scores"]
    assert np.average(out, weights=votes) == pytest.approx(min(scores), abs=1e-6)
    assert scores[0] > min(scores) < scores[-1]
    assert len(scores) - 1 - int(np.argmin(scores)) == 3  # then the path ended


def test_a_path_that_does_not_converge_is_told(parts: Parts) -> None:
    assert fitted(parts[0], parts[1], "iterations=2:tolerance=1e-9").facts["at_cap"]
    assert not fitted(parts[0], parts[1]).facts["at_cap"]


def test_parameters_are_weights_that_are_not_zero_and_intercepts(parts: Parts) -> None:
    predictor = fitted(parts[0], parts[1])
    assert predictor.facts["parameters"] == 3 * predictor.model.weights[:-1].any(axis=1).sum() + 3
