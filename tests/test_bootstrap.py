"""The bootstrap's sums against scikit-learn on rows written out as often as drawn, and the laws of its draws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from sklearn.metrics import average_precision_score, roc_auc_score

from bench import bootstrap, metrics
from bench.core import BenchError


def cells(seed: int, n: int = 60, folds: int = 2, levels: int = 6, weighted: bool = False, per_unit: int = 1):
    """Two outcomes with unknown labels, three methods on a coarse grid of scores (ties everywhere), maybe weights and groups."""
    rng = np.random.default_rng(seed)
    unit = np.arange(n) // per_unit
    stratum = rng.integers(0, folds, unit.max() + 1)
    fold = stratum[unit]
    y = (rng.random((n, 2)) < [0.4, 0.2]).astype(float)
    y[rng.random((n, 2)) < 0.1] = np.nan
    w = np.where(np.isnan(y), 0, rng.uniform(1, 2, (n, 2)) if weighted else 1.0)
    p = rng.integers(0, levels, (3, n, 2)) / levels
    made = [bootstrap.Cell(0, f, unit[fold == f], y[fold == f], w[fold == f], p[:, fold == f]) for f in np.unique(fold)]
    return made, stratum


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 50]), st.booleans(), st.sampled_from([1, 3]))
def test_sums_equal_scikit_learn_on_the_resampled_rows(seed: int, levels: int, weighted: bool, per_unit: int) -> None:
    made, stratum = cells(seed, levels=levels, weighted=weighted, per_unit=per_unit)
    counts, _ = bootstrap.draw(stratum, 3, seed)
    got = bootstrap.sums(made, counts)
    for c, cell in enumerate(made):
        for b in range(3):
            rows = np.repeat(np.arange(len(cell.unit)), counts[cell.unit, b])
            for t in range(2):
                rows_t = rows[~np.isnan(cell.y[rows, t])]
                y, w = cell.y[rows_t, t], cell.weight[rows_t, t]
                assert got.events[c, t, b] == pytest.approx(w[y == 1].sum(), abs=1e-11)
                assert got.pairs[c, t, b] == pytest.approx(w[y == 1].sum() * w[y == 0].sum(), abs=1e-9)
                for m in range(3):
                    if len(set(y)) < 2:
                        continue
                    p = cell.p[m, rows_t, t]
                    auroc = got.concordant[m, c, t, b] / got.pairs[c, t, b]
                    ap = got.precision[m, c, t, b] / got.events[c, t, b]
                    assert auroc == pytest.approx(roc_auc_score(y, p, sample_weight=w), abs=1e-12)
                    assert ap == pytest.approx(average_precision_score(y, p, sample_weight=w), abs=1e-12)


def test_one_of_each_gives_the_stratified_metrics() -> None:
    made, stratum = cells(0, n=400, folds=4, weighted=True)
    got = bootstrap.sums(made, np.ones((len(stratum), 1), np.uint16))
    y, w = (np.concatenate([getattr(cell, name)[:, 0] for cell in made]) for name in ("y", "weight"))
    p = np.concatenate([cell.p[1, :, 0] for cell in made])
    fold = np.concatenate([np.full(len(cell.unit), cell.fold) for cell in made])
    auroc = got.concordant[1, :, 0].sum() / got.pairs[:, 0].sum()
    ap = got.precision[1, :, 0].sum() / got.events[:, 0].sum()
    assert auroc == pytest.approx(metrics.stratified_auroc(y, p, fold, w), abs=1e-12)
    assert ap == pytest.approx(metrics.stratified_average_precision(y, p, fold, w), abs=1e-12)


def test_by_hand_with_counts() -> None:
    # one fold: events .9 (drawn 2), .5 (drawn 0), .4 (drawn 1); others .5 (drawn 3), .1 (drawn 1)
    # pairs 3 * 4 = 12; concordant: .9 twice beats 4 -> 8, .4 beats .1 -> 1: 9 of 12
    # precision at .9: 2/2 for two events; at .4: 3/(3 + 3) for one: 2 + 1/2
    y, p = np.array([[1.0], [1], [1], [0], [0]]), np.array([[[0.9], [0.5], [0.4], [0.5], [0.1]]])
    cell = bootstrap.Cell(0, 0, np.arange(5), y, np.ones((5, 1)), p)
    got = bootstrap.sums([cell], np.array([[2], [0], [1], [3], [1]], np.uint16))
    assert (got.concordant.item(), got.pairs.item()) == (9, 12)
    assert (got.precision.item(), got.events.item()) == (2.5, 3)


def test_a_fold_of_one_class_adds_nothing_and_an_absent_method_is_nan() -> None:
    y, p = np.array([[0.0, 1], [0, 1]]), np.random.default_rng(0).random((2, 2, 2))
    p[1] = np.nan
    got = bootstrap.sums([bootstrap.Cell(0, 0, np.arange(2), y, np.ones((2, 2)), p)], np.ones((2, 1), np.uint16))
    assert got.pairs.ravel().tolist() == [0, 0]
    assert got.events.ravel().tolist() == [0, 2]
    assert got.concordant[0].ravel().tolist() == [0, 0]
    assert got.precision[0].ravel().tolist() == [0, 2]  # all drawn rows are events: precision 1 at each
    assert np.isnan(got.concordant[1]).all()
    assert np.isnan(got.precision[1]).all()


def test_resamples_do_not_depend_on_how_many_there_are() -> None:
    made, stratum = cells(1, n=2000, levels=10**6, weighted=True)
    many, _ = bootstrap.draw(stratum, 2 * bootstrap.BLOCK + 3, 7)
    long = bootstrap.sums(made, many)
    for resamples in (1, 5):
        few, _ = bootstrap.draw(stratum, resamples, 7)
        assert np.array_equal(few, many[:, :resamples])
        short = bootstrap.sums(made, few)
        for name in ("pairs", "events", "concordant", "precision"):
            assert np.array_equal(getattr(short, name), getattr(long, name)[..., :resamples])  # to the last bit
    assert not np.array_equal(few, bootstrap.draw(stratum, 5, 8)[0])


def test_every_stratum_keeps_its_size_and_every_unit_its_chance() -> None:
    stratum = np.repeat([0, 1, 2], [50, 30, 1])
    counts, redraws = bootstrap.draw(stratum, 4000, 0)
    assert redraws == 0
    for s, size in ((0, 50), (1, 30), (2, 1)):
        assert (counts[stratum == s].sum(axis=0) == size).all()
    # a count is binomial(50, 1/50): mean 1, variance .98; the mean of 50 * 4000 has standard error < .003
    assert counts[:50].mean(axis=1) == pytest.approx(np.ones(50), abs=5 * (0.98 / 4000) ** 0.5)
    assert counts[:50].astype(float).var() == pytest.approx(0.98, abs=0.02)


def test_undefined_resamples_are_drawn_again_and_counted() -> None:
    def with_unit_0(counts: bootstrap.Counts) -> np.ndarray:
        return counts[0] > 0

    plain, _ = bootstrap.draw(np.zeros(20), 500, 3)
    missing = int((plain[0] == 0).sum())
    counts, redraws = bootstrap.draw(np.zeros(20), 500, 3, with_unit_0)
    assert missing > 100  # (19/20)^20 = .36 of 500
    assert redraws >= missing
    assert (counts[0] > 0).all()
    assert np.array_equal(counts[:, plain[0] > 0], plain[:, plain[0] > 0])  # the others stay as they were


def test_what_never_is_defined_ends_in_an_error() -> None:
    with pytest.raises(BenchError, match="too few groups"):
        bootstrap.draw(np.zeros(5), 2, 0, lambda counts: np.zeros(counts.shape[1], bool))


def test_class_sums_tell_what_a_resample_defines() -> None:
    made, stratum = cells(2, weighted=True)
    counts, _ = bootstrap.draw(stratum, 9, 0)
    got = bootstrap.sums(made, counts)
    for c, cell in enumerate(made):
        events, others = bootstrap.class_sums(cell, counts)
        assert events == pytest.approx(got.events[c], abs=1e-11)
        assert events * others == pytest.approx(got.pairs[c], abs=1e-9)


def test_spread_agrees_with_scipy() -> None:
    rng = np.random.default_rng(4)
    y = (rng.random(300) < 0.3).astype(float)
    p = y + rng.normal(size=300)
    cell = bootstrap.Cell(0, 0, np.arange(300), y[:, None], np.ones((300, 1)), p[None, :, None])
    got = bootstrap.sums([cell], bootstrap.draw(np.zeros(300), 4000, 0)[0])
    ours = (got.concordant[0] / got.pairs).ravel()
    oracle = scipy_stats.bootstrap((y, p), metrics.auroc, paired=True, vectorized=False, n_resamples=4000,
                                   method="percentile", rng=np.random.default_rng(1))  # fmt: skip
    # Monte Carlo error of a standard error from 4000 draws is about 1.1 %, of two 1.6 %
    assert ours.std(ddof=1) == pytest.approx(oracle.standard_error, rel=0.06)
    assert np.percentile(ours, [2.5, 97.5]) == pytest.approx(oracle.confidence_interval, abs=0.006)
