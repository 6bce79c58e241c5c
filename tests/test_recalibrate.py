import time
from typing import Any

import numpy as np
import pytest

from bench import recalibrate as r


def sample(n: int = 1500, tasks: int = 4, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    z = rng.normal(-2, 1.5, (n, tasks))
    y = (rng.random((n, tasks)) < 1 / (1 + np.exp(1 - 0.5 * z))).astype(float)
    y[rng.random((n, tasks)) < 0.1] = np.nan
    return y, 1 / (1 + np.exp(-z)), rng.uniform(0.5, 3, (n, tasks))


def test_coefficients_equal_weighted_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    y, p, w = sample()
    found = r.logistic_recalibration(y, p, w)
    for t in range(4):
        known = ~np.isnan(y[:, t])
        z = np.log(p[known, t]) - np.log1p(-p[known, t])
        oracle = LogisticRegression(C=np.inf, tol=1e-10).fit(z[:, None], y[known, t], sample_weight=w[known, t])
        assert found[:, t] == pytest.approx([oracle.intercept_[0], oracle.coef_[0, 0]], abs=1e-4)


def test_two_values_are_moved_to_their_observed_rates() -> None:
    y = np.array([1, 0, 0, 0, 1, 1, 1, 0])
    p = np.array([0.2] * 4 + [0.7] * 4)
    # two parameters fit two groups exactly: rates 1/4 and 3/4, each with entropy -(1/4 ln 1/4 + 3/4 ln 3/4) = .562335
    # base rate 1/2, entropy ln 2 = .693147; .562335 / .693147 = .811278. The ridge of .001 costs less than 1e-4.
    assert r.task_scores(y, p) == pytest.approx([0.811278], abs=1e-4)
    fitted = r.recalibrated(p, r.logistic_recalibration(y, p))[:, 0]
    assert fitted == pytest.approx([0.25] * 4 + [0.75] * 4, abs=1e-3)


def test_weights_count_as_copies() -> None:
    y, p, _ = sample(n=200, tasks=1)
    w = np.random.default_rng(1).integers(1, 4, (200, 1))
    copies = np.repeat(np.arange(200), w[:, 0])
    assert r.task_scores(y, p, w) == pytest.approx(r.task_scores(y[copies], p[copies]), abs=1e-9)


def test_score_ignores_what_recalibration_mends() -> None:
    y, p, w = sample()
    bent = 1 / (1 + np.exp(-(0.3 * np.log(p / (1 - p)) + 2)))
    assert r.validation_score(y, bent, w) == pytest.approx(r.validation_score(y, p, w), abs=1e-6)


def test_unknown_labels_are_left_out() -> None:
    y, p, w = sample(tasks=1)
    known = ~np.isnan(y[:, 0])
    assert r.task_scores(y, p, w) == pytest.approx(r.task_scores(y[known], p[known], w[known]), abs=1e-12)
    assert np.isnan(r.task_scores([np.nan, np.nan], [0.1, 0.2])).all()


@pytest.mark.parametrize(
    ("p", "score"),
    [
        ([0.3, 0.3, 0.3, 0.3], 1.0),  # constant: the base rate
        ([0.9, 0.8, 0.2, 0.1], 1.0),  # the wrong way round: a negative slope is not granted
        ([0.1, 0.2, 0.8, 0.9], 0.0),  # separated
        ([0.0, 0.0, 1.0, 1.0], 0.0),  # separated at the ends
    ],
)
def test_awkward_probabilities(p: list[float], score: float) -> None:
    y = [0, 0, 1, 1]
    assert r.task_scores(y, p) == pytest.approx([score], abs=0.01)
    assert np.isfinite(r.logistic_recalibration(y, p)).all()


def test_one_class_keeps_the_identity() -> None:
    p = [0.1, 0.4]
    assert r.logistic_recalibration([1, 1], p).tolist() == [[0.0], [1.0]]
    assert r.recalibrated(p, [[0.0], [1.0]])[:, 0] == pytest.approx(p)
    assert np.isnan(r.task_scores([1, 1], p)).all()


def columns(*events: int) -> tuple[Any, Any]:
    """40 rows; column t has that many events, and a p that knows them in column 0 and nothing elsewhere."""
    y = np.stack([np.arange(40) < e for e in events], axis=1).astype(float)
    p = np.full(y.shape, 0.5)
    p[:, 0] = np.where(y[:, 0] == 1, 0.9, 0.1)
    return y, p


def test_votes_grow_with_events() -> None:
    y, p = columns(10, 30)
    first = r.task_scores(y, p)[0]
    # weights 10/20 = 1/2 and 30/40 = 3/4; the second column scores 1: (first / 2 + 3/4) / (5/4)
    assert r.validation_score(y, p) == pytest.approx((0.5 * first + 0.75) / 1.25, abs=1e-12)


def test_under_five_events_or_others_a_task_does_not_vote() -> None:
    for silent in (4, 36):
        y, p = columns(silent, 20)
        assert r.validation_score(y, p) == 1.0
    y, p = columns(5, 20)
    assert r.validation_score(y, p) < 1.0


def test_when_nobody_may_vote() -> None:
    y, p = columns(4, 3)  # both have two classes, so both vote: 4/14 and 3/13
    weights = np.array([4 / 14, 3 / 13])
    assert r.validation_score(y, p) == pytest.approx(np.average(r.task_scores(y, p), weights=weights), abs=1e-12)
    y, p = columns(0, 40)
    assert r.validation_score(y, p) == 1.0


def test_a_silent_task_is_stopped_by_the_joint_score() -> None:
    y, p = columns(20, 2)
    assert r.stopping_scores(y, p) == pytest.approx([r.task_scores(y, p)[0], r.validation_score(y, p)], abs=1e-12)


def test_fast_enough_for_every_epoch() -> None:
    y, p, w = sample()
    seconds: list[float] = []
    for _ in range(10):
        start = time.perf_counter()
        r.validation_score(y, p, w)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.01  # 2 ms on an idle core
