"""The bootstrap's sums against scikit-learn on rows written out as often as drawn, and the laws of its draws."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from bench import bootstrap, metrics
from bench.core import BenchError

both_paths = pytest.mark.parametrize("compiled", [True, False], ids=["numba", "numpy"])
NAMES = ("pairs", "events", "rows", "concordant", "precision", "squared", "log_loss")


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


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 50]), st.booleans(), st.sampled_from([1, 3]))
def test_sums_equal_scikit_learn_on_the_resampled_rows(seed: int, levels: int, weighted: bool, per_unit: int) -> None:
    made, stratum = cells(seed, levels=levels, weighted=weighted, per_unit=per_unit)
    counts, _ = bootstrap.draw(stratum, 2, seed)
    both = [bootstrap.sums(made, counts, compiled=compiled) for compiled in (True, False)]
    for (c, cell), b, t in product(enumerate(made), range(2), range(2)):
        rows = np.repeat(np.arange(len(cell.unit)), counts[cell.unit, b])
        rows = rows[~np.isnan(cell.y[rows, t])]
        y, w = cell.y[rows, t], cell.weight[rows, t]
        for got in both:
            assert got.events[c, t, b] == pytest.approx(w[y == 1].sum(), abs=1e-11)
            assert got.rows[c, t, b] == pytest.approx(w.sum(), abs=1e-11)
            assert got.pairs[c, t, b] == pytest.approx(w[y == 1].sum() * w[y == 0].sum(), abs=1e-9)
        for m in range(3):
            p = cell.p[m, rows, t]
            oracles = {("squared", "rows"): brier_score_loss(y, p, sample_weight=w)}
            clipped = np.clip(p, 1e-7, 1 - 1e-7)
            oracles["log_loss", "rows"] = log_loss(y, clipped, sample_weight=w, labels=[0, 1])
            if len(set(y)) == 2:
                oracles["concordant", "pairs"] = roc_auc_score(y, p, sample_weight=w)
                oracles["precision", "events"] = average_precision_score(y, p, sample_weight=w)
            for got, ((above, below), value) in product(both, oracles.items()):
                assert getattr(got, above)[m, c, t, b] / getattr(got, below)[c, t, b] == pytest.approx(value, abs=1e-12)


@both_paths
def test_one_of_each_gives_the_stratified_metrics(compiled: bool) -> None:
    made, stratum = cells(0, n=400, folds=4, weighted=True)
    got = bootstrap.sums(made, np.ones((len(stratum), 1), np.uint16), compiled=compiled)
    y, w = (np.concatenate([getattr(cell, name)[:, 0] for cell in made]) for name in ("y", "weight"))
    p = np.concatenate([cell.p[1, :, 0] for cell in made])
    fold = np.concatenate([np.full(len(cell.unit), cell.fold) for cell in made])
    auroc = got.concordant[1, :, 0].sum() / got.pairs[:, 0].sum()
    ap = got.precision[1, :, 0].sum() / got.events[:, 0].sum()
    assert auroc == pytest.approx(metrics.stratified_auroc(y, p, fold, w), abs=1e-12)
    assert ap == pytest.approx(metrics.stratified_average_precision(y, p, fold, w), abs=1e-12)
    weight = got.rows[:, 0].sum()
    assert got.squared[1, :, 0].sum() / weight == pytest.approx(metrics.brier(y, p, w), abs=1e-12)
    assert got.log_loss[1, :, 0].sum() / weight == pytest.approx(metrics.log_loss(y, p, w), abs=1e-12)


@both_paths
def test_by_hand_with_counts(compiled: bool) -> None:
    # one fold: events .9 (drawn 2), .5 (drawn 0), .4 (drawn 1); others .5 (drawn 3), .1 (drawn 1)
    # pairs 3 * 4 = 12; concordant: .9 twice beats 4 -> 8, .4 beats .1 -> 1: 9 of 12
    # precision at .9: 2/2 for two events; at .4: 3/(3 + 3) for one: 2 + 1/2
    # squared errors: 2 x .1^2 + 1 x .6^2 + 3 x .5^2 + 1 x .1^2 = 1.14; likelihood .9^2 x .4 x .5^3 x .9
    y, p = np.array([[1.0], [1], [1], [0], [0]]), np.array([[[0.9], [0.5], [0.4], [0.5], [0.1]]])
    cell = bootstrap.Cell(0, 0, np.arange(5), y, np.ones((5, 1)), p)
    got = bootstrap.sums([cell], np.array([[2], [0], [1], [3], [1]], np.uint16), compiled=compiled)
    assert (got.concordant.item(), got.pairs.item()) == (9, 12)
    assert (got.precision.item(), got.events.item(), got.rows.item()) == (2.5, 3, 7)
    assert got.squared.item() == pytest.approx(1.14, abs=1e-14)
    assert got.log_loss.item() == pytest.approx(-np.log(0.9**2 * 0.4 * 0.5**3 * 0.9), abs=1e-14)


@both_paths
def test_a_fold_of_one_class_adds_nothing_and_an_absent_method_is_nan(compiled: bool) -> None:
    y, p = np.array([[0.0, 1], [0, 1]]), np.random.default_rng(0).random((2, 2, 2))
    p[1] = np.nan
    cell = bootstrap.Cell(0, 0, np.arange(2), y, np.ones((2, 2)), p)
    got = bootstrap.sums([cell], np.ones((2, 1), np.uint16), compiled=compiled)
    assert got.pairs.ravel().tolist() == [0, 0]
    assert got.events.ravel().tolist() == [0, 2]
    assert got.concordant[0].ravel().tolist() == [0, 0]
    assert got.precision[0].ravel().tolist() == [0, 2]  # all drawn rows are events: precision 1 at each
    for name in ("concordant", "precision", "squared", "log_loss"):
        assert np.isnan(getattr(got, name)[1]).all()
        assert np.isfinite(getattr(got, name)[0]).all()


@both_paths
def test_an_outcome_nobody_knows_adds_nothing(compiled: bool) -> None:
    made, stratum = cells(0)
    for cell in made:
        cell.y[:, 1], cell.weight[:, 1] = np.nan, 0
    got = bootstrap.sums(made, bootstrap.draw(stratum, 4, 0)[0], compiled=compiled)
    for name in NAMES:
        assert (getattr(got, name)[..., 1, :] == 0).all()
        assert (getattr(got, name)[..., 0, :] > 0).all()


@both_paths
def test_constant_scores_are_a_coin_and_the_prevalence(compiled: bool) -> None:
    made, stratum = cells(3, levels=1)
    got = bootstrap.sums(made, bootstrap.draw(stratum, 50, 0)[0], compiled=compiled)
    assert np.array_equal(got.concordant[0], got.pairs / 2)
    assert got.precision[0] == pytest.approx(got.events**2 / got.rows, abs=1e-13)  # events x prevalence


@both_paths
def test_resamples_do_not_depend_on_how_many_there_are(compiled: bool) -> None:
    made, stratum = cells(1, n=2000, levels=10**6, weighted=True)
    many, _ = bootstrap.draw(stratum, bootstrap.PART + bootstrap.BLOCK + 3, 7)
    long = bootstrap.sums(made, many, compiled=compiled)
    for resamples in (1, 5):
        few, _ = bootstrap.draw(stratum, resamples, 7)
        assert np.array_equal(few, many[:, :resamples])
        short = bootstrap.sums(made, few, compiled=compiled)
        for name in NAMES:
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


def test_a_small_stratum_follows_the_multinomial_law() -> None:
    # 3 draws from 3 units: 10 outcomes, each with probability 3! / (a! b! c!) / 27
    counts, _ = bootstrap.draw(np.array([0, 1, 0, 1, 0, 1]), 6000, 0)
    for stratum in (counts[::2], counts[1::2]):
        outcomes, seen = np.unique(stratum, axis=1, return_counts=True)
        chances = scipy_stats.multinomial.pmf(outcomes.T, 3, np.full(3, 1 / 3))
        assert chances.sum() == pytest.approx(1)  # all 10 were seen
        assert scipy_stats.chisquare(seen, 6000 * chances).pvalue > 0.001


def test_every_unit_s_count_is_binomial() -> None:
    counts, _ = bootstrap.draw(np.repeat([0, 1], [40, 25]), 4000, 1)
    p_values: list[float] = []
    for unit, size in [*((u, 40) for u in range(40)), *((u, 25) for u in range(40, 65))]:
        chances = scipy_stats.binom.pmf(np.arange(5), size, 1 / size)
        expected = 4000 * np.append(chances, 1 - chances.sum())  # the last: 5 and more
        seen = np.bincount(np.minimum(counts[unit], 5), minlength=6)
        p_values.append(scipy_stats.chisquare(seen, expected).pvalue)
    assert scipy_stats.kstest(p_values, "uniform").pvalue > 0.001


def test_strata_and_resamples_are_independent_and_units_of_a_stratum_compete() -> None:
    counts, _ = bootstrap.draw(np.repeat([0, 1], 20), 4000, 2)

    def dependence(a: np.ndarray, b: np.ndarray) -> float:
        table = np.histogram2d(np.minimum(a, 3), np.minimum(b, 3), bins=[np.arange(5) - 0.5] * 2)[0]
        return scipy_stats.chi2_contingency(table).pvalue

    assert dependence(counts[0], counts[20]) > 0.001  # two strata
    assert dependence(counts[0, :-1], counts[0, 1:]) > 0.001  # neighbouring resamples
    # within a stratum of 20 the correlation of two counts is -1/19; the mean over 190 pairs is that exactly, as sums are fixed
    within, across = np.corrcoef(counts[:20]), np.corrcoef(counts)[:20, 20:]
    assert within[np.triu_indices(20, 1)].mean() == pytest.approx(-1 / 19, abs=1e-3)
    # 400 correlations of independent counts, each with standard error 1 / sqrt(4000) = .0158: the largest is near 3 of them
    assert np.abs(across).max() < 4.5 * 4000**-0.5


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


def test_interval_agrees_with_the_influence_curve_of_cross_validated_auc() -> None:
    # LeDell, Petersen, van der Laan, "Computationally efficient confidence intervals for cross-validated area under the ROC
    # curve estimates", Electronic Journal of Statistics 9, 2015. Their estimate is the mean of the folds' AUROCs; here the folds
    # are of one size with as many events each, so that ours, which weights by pairs, is the same
    n, folds, rng = 3000, 5, np.random.default_rng(5)
    fold = np.arange(n) % folds
    y = (np.arange(n) < n * 0.2).astype(float)
    p = y + rng.normal(size=n) + 0.5 * fold  # folds lie apart: pooling them would be wrong
    influence, values = np.zeros(n), np.zeros(folds)
    for f in range(folds):
        own = fold == f
        event, other = own & (y == 1), own & (y == 0)
        lead = np.sign(p[event][:, None] - p[other]) / 2 + 0.5
        values[f] = lead.mean()
        influence[event] = (lead.mean(axis=1) - values[f]) / y.mean()  # eq. 11: over the probability of the class
        influence[other] = (lead.mean(axis=0) - values[f]) / (1 - y.mean())
    se = (influence**2).mean() ** 0.5 / n**0.5
    rows = [np.flatnonzero(fold == f) for f in range(folds)]
    made = [bootstrap.Cell(0, f, own, y[own, None], np.ones((len(own), 1)), p[None, own, None]) for f, own in enumerate(rows)]
    counts = np.column_stack([np.ones(n, np.uint16), bootstrap.draw(fold, 4000, 0)[0]])
    got = bootstrap.sums(made, counts)
    drawn = got.concordant.sum(axis=(0, 1, 2)) / got.pairs.sum(axis=(0, 1))
    assert drawn[0] == pytest.approx(values.mean(), abs=1e-12)
    # the standard deviation of 4000 draws is known to 1.1 %, a bound to .042 of it (density of the normal at 2.5 %)
    assert drawn[1:].std() == pytest.approx(se, rel=0.04)
    assert np.percentile(drawn[1:], [2.5, 97.5]) == pytest.approx(values.mean() + se * np.array([-1.96, 1.96]), abs=0.15 * se)
