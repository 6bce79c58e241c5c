"""Metrics against scikit-learn, numbers by hand, and the awkward cases."""

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from bench import metrics


@st.composite
def scored_rows(draw: st.DrawFn):
    """Labels, scores on a coarse grid (heavy ties) or a fine one, and weights from counts to reals, zeros among them."""
    n = draw(st.integers(2, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = draw(st.sampled_from([1, 2, 5, 10**9]))
    weight = draw(st.sampled_from(["none", "counts", "real"]))
    y = (rng.random(n) < draw(st.sampled_from([0.1, 0.5, 0.9]))).astype(float)
    p = rng.integers(0, levels, n) / levels
    w = {"none": None, "counts": rng.integers(0, 4, n).astype(float), "real": rng.uniform(0.5, 2, n)}[weight]
    kept = np.ones(n, bool) if w is None else w > 0
    assume(len(set(y[kept])) == 2)
    return y, p, w


@settings(max_examples=300, deadline=None)
@given(scored_rows())
def test_auroc_and_average_precision_equal_scikit_learn(rows) -> None:
    y, p, w = rows
    assert metrics.auroc(y, p, w) == pytest.approx(roc_auc_score(y, p, sample_weight=w), abs=1e-12)
    assert metrics.average_precision(y, p, w) == pytest.approx(average_precision_score(y, p, sample_weight=w), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(scored_rows())
def test_brier_and_log_loss_equal_scikit_learn(rows) -> None:
    y, p, w = rows
    inside = np.clip(p, 1e-7, 1 - 1e-7)
    assert metrics.brier(y, p, w) == pytest.approx(brier_score_loss(y, p, sample_weight=w), abs=1e-12)
    assert metrics.log_loss(y, p, w) == pytest.approx(sklearn_log_loss(y, inside, sample_weight=w, labels=[0, 1]), abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(scored_rows())
def test_one_fold_is_no_stratification(rows) -> None:
    y, p, w = rows
    one = np.zeros(len(y))
    assert metrics.stratified_auroc(y, p, one, w) == pytest.approx(metrics.auroc(y, p, w), abs=1e-14)
    stratified = metrics.stratified_average_precision(y, p, one, w, fold_events=0, total_events=0)
    assert stratified == pytest.approx(metrics.average_precision(y, p, w), abs=1e-14)


def test_average_precision_with_ties() -> None:
    # scores .9 .5 .5 .1, labels 1 1 0 0: thresholds .9 -> P 1/1, R 1/2; .5 -> P 2/3, R 1
    # AP = 1/2 * 1 + 1/2 * 2/3 = 5/6
    assert metrics.average_precision([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.1]) == pytest.approx(5 / 6, abs=1e-15)


def test_auroc_with_ties_and_weights() -> None:
    # events .9 (weight 2) and .5 (weight 1), others .5 (weight 1) and .1 (weight 3): pairs 3 * 4 = 12
    # concordant: .9 beats both, 2 * 4 = 8; .5 ties .5, 1/2, and beats .1, 3: 11.5 / 12
    assert metrics.auroc([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.1], [2, 1, 1, 3]) == pytest.approx(11.5 / 12, abs=1e-15)


def test_unknown_labels_are_left_out() -> None:
    y, p = [1, math.nan, 0, 1, 0], [0.9, 0.0, 0.2, 0.1, 0.3]
    assert metrics.auroc(y, p) == metrics.auroc([1, 0, 1, 0], [0.9, 0.2, 0.1, 0.3]) == 0.5
    assert metrics.brier(y, p) == pytest.approx((0.01 + 0.04 + 0.81 + 0.09) / 4)
    assert metrics.stratified_auroc(y, p, [0, 0, 0, 1, 1]) == 0.5  # fold 0 concordant, fold 1 discordant: 1 of 2 pairs


@pytest.mark.parametrize("y", [[1, 1, 1], [0, 0, 0], [math.nan] * 3, []])
def test_one_class_or_nothing_is_nan(y: list[float]) -> None:
    p = [0.1, 0.2, 0.3][: len(y)]
    assert math.isnan(metrics.auroc(y, p))
    assert math.isnan(metrics.average_precision(y, p))
    assert math.isnan(metrics.stratified_auroc(y, p, [0] * len(y)))
    assert math.isnan(metrics.stratified_average_precision(y, p, [0] * len(y), fold_events=0, total_events=0))


def test_offsets_between_folds_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    fold = np.repeat(np.arange(5), 400)
    y = (rng.random(2000) < 0.2).astype(float)
    p = y + rng.normal(size=2000)
    shifted = p + np.array([-4.0, -2.0, 0.0, 2.0, 4.0])[fold]
    assert metrics.stratified_auroc(y, shifted, fold) == metrics.stratified_auroc(y, p, fold)
    assert metrics.stratified_average_precision(y, shifted, fold) == metrics.stratified_average_precision(y, p, fold)
    assert metrics.auroc(y, shifted) < metrics.auroc(y, p) - 0.1


def test_stratified_numbers_by_hand() -> None:
    # fold 0: events .8 .6, others .7 .1 .1 -> concordant 3 + 2 = 5 of 6; AP = (1/1 + 2/3) / 2 = 5/6
    # fold 1: event .2, other .9          -> concordant 0 of 1;          AP = 1/2
    # AUROC = 5/7; AP = (2 * 5/6 + 1 * 1/2) / 3 = 13/18
    y, p, fold = [1, 1, 0, 0, 0, 1, 0], [0.8, 0.6, 0.7, 0.1, 0.1, 0.2, 0.9], [0, 0, 0, 0, 0, 1, 1]
    assert metrics.stratified_auroc(y, p, fold) == pytest.approx(5 / 7, abs=1e-15)
    ap = metrics.stratified_average_precision(y, p, fold, fold_events=1, total_events=1)
    assert ap == pytest.approx(13 / 18, abs=1e-15)
    # with at least two events a fold, fold 1 has no AP and fold 0's 5/6 stands alone
    ap = metrics.stratified_average_precision(y, p, fold, fold_events=2, total_events=1)
    assert ap == pytest.approx(5 / 6, abs=1e-15)


def test_too_few_events_have_no_average_precision() -> None:
    rng = np.random.default_rng(1)
    p, fold = rng.random(400), np.arange(400) % 2
    for events, defined in ((19, False), (20, True)):
        y = (np.arange(400) < events).astype(float)
        assert math.isfinite(metrics.stratified_average_precision(y, p, fold)) == defined
        assert math.isfinite(metrics.stratified_auroc(y, p, fold))
    y = (np.arange(400) < 36).astype(float)  # 9 in each of 4 folds
    assert math.isnan(metrics.stratified_average_precision(y, p, np.arange(400) % 4))


@pytest.mark.parametrize("labels", [[1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1]])
def test_permutation_mean_is_the_mean_over_all_rankings(labels: list[int]) -> None:
    def of_ranking(y: tuple[int, ...]) -> float:
        hits = np.cumsum(y)
        return float(np.mean([hits[k] / (k + 1) for k in range(len(y)) if y[k]]))

    brute = np.mean([of_ranking(y) for y in permutations(labels)])
    assert metrics.permutation_mean(labels) == pytest.approx(brute, abs=1e-14)
    assert metrics.permutation_mean(labels, np.full(len(labels), 2.5)) == pytest.approx(brute, abs=1e-14)


def test_permutation_mean_follows_bestgen_and_exceeds_prevalence() -> None:
    # n = 1000, e = 30, H_1000 = 7.485470860550345: (29/999 * (1000 - H) + H) / 1000 = 0.0362972...
    y = np.arange(1000) < 30
    harmonic = 7.485470860550345
    assert metrics.permutation_mean(y) == pytest.approx((29 / 999 * (1000 - harmonic) + harmonic) / 1000, abs=1e-14)
    assert 0.03 < metrics.permutation_mean(y) < 0.04


def test_permutation_mean_with_unequal_weights_is_close() -> None:
    rng = np.random.default_rng(2)
    y, w = (np.arange(300) < 40).astype(float), rng.uniform(1, 1.7, 300)
    simulated = [metrics.average_precision(y, rng.permutation(300), w) for _ in range(20_000)]
    error = np.std(simulated) / math.sqrt(len(simulated))
    assert metrics.permutation_mean(y, w) == pytest.approx(np.mean(simulated), abs=1e-4 + 4 * error)
    assert math.isnan(metrics.permutation_mean([0, 0], [1, 1]))
