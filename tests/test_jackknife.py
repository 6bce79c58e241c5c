"""Estimates without each unit against leaving it out, and BCa intervals against scipy's."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.metrics import average_precision_score

from bench import jackknife, metrics
from bench.bootstrap import Cell

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def cells(
    seed: int, per_unit: int = 1, weighted: bool = False, levels: int = 5, repeats: int = 2
) -> tuple[list[Cell], np.ndarray]:
    """90 rows, 2 outcomes with unknown labels, 2 methods, 3 folds per repeat; and the stratum of each unit."""
    rng = np.random.default_rng(seed)
    n = 90
    unit = rng.permutation(n) // per_unit
    y = (rng.random((n, 2)) < [0.4, 0.3]).astype(float)
    y[rng.random((n, 2)) < 0.1] = np.nan
    w = np.where(np.isnan(y), 0, rng.uniform(1, 2, (n, 2)) if weighted else 1.0)
    made: list[Cell] = []
    for repeat in range(repeats):
        fold = rng.permutation(np.arange(unit.max() + 1) % 3)[unit]
        p = rng.integers(0, levels, (2, n, 2)) / levels
        made += [Cell(repeat, f, unit[fold == f], y[fold == f], w[fold == f], p[:, fold == f]) for f in range(3)]
    stratum = np.zeros(unit.max() + 1, int)
    for cell in made[:3]:
        stratum[cell.unit] = cell.fold
    return made, stratum


def by_hand(made: list[Cell], m: int, t: int, unit: int) -> np.ndarray:
    """(K,) the estimates of one method and outcome from the rows that are left without a unit."""
    values: list[np.ndarray] = []
    for repeat in sorted({cell.repeat for cell in made}):
        left: list[Arrays] = []
        for cell in (cell for cell in made if cell.repeat == repeat):
            kept = (cell.unit != unit) & ~np.isnan(cell.y[:, t])
            left.append((cell.y[kept, t], cell.p[m, kept, t], cell.weight[kept, t]))
        y, p, w = (np.concatenate(part) for part in zip(*left, strict=True))
        fold = np.repeat(np.arange(len(left)), [len(part[0]) for part in left])
        ap = metrics.stratified_average_precision(y, p, fold, w, fold_events=1, total_events=1)
        losses = metrics.brier(y, p, w), metrics.log_loss(y, p, w)
        values.append(np.array([metrics.stratified_auroc(y, p, fold, w), ap, *losses]))
    return np.mean(values, axis=0)


def masks(made: list[Cell]) -> tuple[np.ndarray, np.ndarray]:
    return np.ones((len(made), 2), bool), np.ones((2, jackknife.METRICS), bool)


@pytest.mark.parametrize("levels", [1, 4, 10**6])
@pytest.mark.parametrize("per_unit", [1, 2, 5])
def test_leaving_a_unit_out(per_unit: int, levels: int) -> None:
    made, stratum = cells(per_unit, per_unit, levels=levels)
    got = jackknife.without(made, 1, len(stratum), *masks(made))
    for unit in range(len(stratum)):
        expected = np.stack([by_hand(made, 1, t, unit) for t in range(2)])
        assert got[:2, :, unit] == pytest.approx(expected, abs=1e-12)
        assert got[2, :, unit] == pytest.approx(expected.mean(axis=0), abs=1e-12)  # the mean over outcomes


@pytest.mark.parametrize("per_unit", [1, 2, 5])
@pytest.mark.parametrize("levels", [4, 10**6])
def test_leaving_a_weighted_unit_out(per_unit: int, levels: int) -> None:
    made, stratum = cells(per_unit, per_unit, weighted=True, levels=levels)
    got = jackknife.without(made, 0, len(stratum), *masks(made))
    expected = np.stack([[by_hand(made, 0, t, unit) for t in range(2)] for unit in range(len(stratum))], axis=-1)
    assert got[:2] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("compiled", [None, False])
@pytest.mark.parametrize(
    ("y", "p"),
    [
        pytest.param("1101001001", "9876543210", id="events on top"),
        pytest.param("0000100110", "9876543210", id="others on top"),
        pytest.param("0001000000", "9876543210", id="the only event"),
        pytest.param("1101001001", "9997777333", id="ties"),
        pytest.param("1001001011", "5555555555", id="one score"),
        pytest.param("1111111110", "9876543210", id="the only other"),
    ],
)
def test_each_weighted_row_deleted_by_scikit_learn(
    y: str, p: str, compiled: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    label, score, weight = np.array(list(y), float), np.array(list(p), float), rng.uniform(1, 3, 10)
    way = jackknife.between
    monkeypatch.setattr(jackknife, "between", lambda *of: way(*of, compiled=compiled))
    cell = Cell(0, 0, np.arange(10), label[:, None], weight[:, None], score[None, :, None])
    got = jackknife.without([cell], 0, 10, np.ones((1, 1), bool), np.ones((1, 4), bool))[0, 1]
    for row in range(10):
        left = np.arange(10) != row
        if label[left].any():
            expected = average_precision_score(label[left], score[left], sample_weight=weight[left])
            assert got[row] == pytest.approx(expected, abs=1e-12)
        else:
            assert np.isnan(got[row])  # the last event of all folds: undefined without it


def test_a_fold_loses_its_last_event() -> None:
    # fold 0 has one event (weight 2) at precision 2 / (2 + 1); fold 1 one (weight 3) at 3 / (3 + 2), all others weigh 1 and 2.
    # AP: (2 x 2/3 + 3 x 3/5) / 5. Without the first event: 3/5; without the other of fold 0: (2 + 9/5) / 5 = .76
    y, w = np.array([[0.0], [1], [0], [1]]), np.array([[1.0], [2], [2], [3]])
    p = np.array([0.9, 0.5, 0.9, 0.5])[None, :, None]
    made = [Cell(0, f, np.arange(2) + 2 * f, y[2 * f :][:2], w[2 * f :][:2], p[:, 2 * f :][:, :2]) for f in range(2)]
    got = jackknife.without(made, 0, 4, np.ones((2, 1), bool), np.ones((1, 4), bool))[0, 1]
    assert got == pytest.approx([0.76, 3 / 5, (4 / 3 + 3) / 5, 2 / 3], abs=1e-15)


@pytest.mark.parametrize("per_unit", [1, 3])
def test_machine_code_and_running_sums_agree(per_unit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made, stratum = cells(8, per_unit, weighted=True)
    way, found = jackknife.between, []
    for compiled in (True, False):
        monkeypatch.setattr(jackknife, "between", lambda *of, compiled=compiled: way(*of, compiled=compiled))
        found.append(jackknife.without(made, 0, len(stratum), *masks(made)))
    assert found[0] == pytest.approx(found[1], abs=1e-12)


@pytest.mark.parametrize("per_unit", [1, 2])
def test_a_hair_s_breadth_of_weight_changes_nothing_else(per_unit: int) -> None:
    made, stratum = cells(9, per_unit)
    rng = np.random.default_rng(2)
    near = [Cell(c.repeat, c.fold, c.unit, c.y, c.weight * (1 + 1e-9 * rng.random(c.weight.shape)), c.p) for c in made]
    equal, almost = (
        jackknife.standard_error(jackknife.without(some, 0, len(stratum), *masks(made)), stratum) for some in (made, near)
    )
    assert almost == pytest.approx(equal, rel=1e-6)  # by the derivative instead of the deletion it would be 5 % less


def test_equal_weights_change_nothing() -> None:
    made, stratum = cells(4, per_unit=2)
    double = [Cell(c.repeat, c.fold, c.unit, c.y, 2.5 * c.weight, c.p) for c in made]
    ours, theirs = (jackknife.without(some, 0, len(stratum), *masks(made)) for some in (made, double))
    assert theirs == pytest.approx(ours, abs=1e-12)


def test_average_precision_without_each_row_by_hand() -> None:
    # scores .9 .5 .5 .1, labels 1 1 0 1. Without row 0: at .5 1/2, at .1 2/3 -> (1/2 + 2/3) / 2 = 7/12
    # without row 1: 1 and 2/3 -> 5/6; without row 2: 1; without row 3: 1 and 2/3 -> 5/6
    cell = Cell(0, 0, np.arange(4), np.array([[1.0], [1], [0], [1]]), np.ones((4, 1)), np.array([[[0.9], [0.5], [0.5], [0.1]]]))
    got = jackknife.without([cell], 0, 4, np.ones((1, 1), bool), np.ones((1, 4), bool))
    assert got[0, 1] == pytest.approx([7 / 12, 5 / 6, 1, 5 / 6], abs=1e-15)
    # concordant pairs of row 2: .9 beats it, .5 ties, .1 loses: 1.5 of 3. Without it there is no pair
    assert got[0, 0, [0, 1, 3]] == pytest.approx([0.25, 0.5, 0.75], abs=1e-15)
    assert np.isnan(got[0, 0, 2])


def test_what_does_not_count_stays_out() -> None:
    made, stratum = cells(5)
    made[1].p[1] = np.nan  # the second method has no predictions of this cell
    with_ap, averaged = masks(made)
    with_ap[2, 0], averaged[1, 1] = False, False
    got = jackknife.without(made, 0, len(stratum), with_ap, averaged)
    other = jackknife.without([c for i, c in enumerate(made) if i != 2], 0, len(stratum), with_ap[[0, 1, 3, 4, 5]], averaged)
    assert got[0, 1] == pytest.approx(other[0, 1], abs=1e-12)  # a fold without an average precision
    assert np.array_equal(got[2, 1], got[0, 1])  # an outcome outside the mean
    absent = jackknife.without(made, 1, len(stratum), with_ap, averaged)
    left = jackknife.without([c for i, c in enumerate(made) if i != 1], 1, len(stratum), np.delete(with_ap, 1, 0), averaged)
    assert np.array_equal(absent, left)
    for cell in made:
        cell.p[1] = np.nan
    nothing = jackknife.without(made, 1, len(stratum), with_ap, averaged)
    assert np.isnan(nothing).all()
    assert np.isnan(jackknife.sixth_of_skewness(nothing, stratum)).all()


@pytest.mark.parametrize("label", [np.nan, 0.0])
def test_a_fold_without_known_rows_or_events_takes_no_part(label: float) -> None:
    made, stratum = cells(10, weighted=True, repeats=1)
    made[1].y[:, 0] = label
    got = jackknife.without(made, 0, len(stratum), *masks(made))
    without = jackknife.without([made[0], made[2]], 0, len(stratum), np.ones((2, 2), bool), masks(made)[1])
    assert got[0, :2] == pytest.approx(without[0, :2], abs=1e-15)


def test_a_method_nothing_changes_has_no_acceleration() -> None:
    y = np.repeat([1.0, 0], 20)[:, None]
    cell = Cell(0, 0, np.arange(40), y, np.ones((40, 1)), np.stack([y]))
    left = jackknife.without([cell], 0, 40, np.ones((1, 1), bool), np.ones((1, 4), bool))[0, :3]
    assert left.tolist() == [[1.0] * 40, [1.0] * 40, [0.0] * 40]  # AUROC, average precision, Brier score
    assert jackknife.sixth_of_skewness(left, np.zeros(40)).tolist() == [0, 0, 0]


def test_acceleration_by_hand() -> None:
    # a mean without each of 0, 0, 3: 1.5, 1.5, 0; their mean 1; influences (1 - 1/3) x (-.5, -.5, 1) = -1/3, -1/3, 2/3
    # cubes 6/27, squares 6/9: 2/9 / (6 (2/3)^1.5) = .0680; a unit alone in its stratum adds nothing
    values = np.array([1.5, 1.5, 0, 7])
    got = jackknife.sixth_of_skewness(values, np.array([0, 0, 0, 1]))
    assert got == pytest.approx(2 / 9 / (6 * (2 / 3) ** 1.5), abs=1e-15)
    # two strata alike: cubes and squares double, which leaves 1 / sqrt 2 of it
    twice = jackknife.sixth_of_skewness(np.tile(values[:3], 2), np.repeat([0, 1], 3))
    assert twice == pytest.approx(got / 2**0.5, abs=1e-15)


def test_bca_by_hand() -> None:
    # draws 1 .. 99 around 50: no bias (49 below, one equal counts half), no acceleration: the percentiles .025 x 98 + 1 = 3.45
    drawn = np.arange(1.0, 100)
    low, high = jackknife.bca(np.array(50.0), drawn, np.array(0.0))
    assert (low, high) == (pytest.approx(3.45, abs=1e-9), pytest.approx(96.55, abs=1e-9))
    # the median of the draws below the estimate pulls both bounds up
    higher = jackknife.bca(np.array(60.0), drawn, np.array(0.0))
    assert higher[0] > 3.45
    assert higher[1] > 96.55
    broken = np.where(drawn == 7, np.nan, drawn)
    several = np.stack([drawn, drawn, drawn, broken])
    outside = jackknife.bca(np.array([0.0, 50.0, 50.0, 50.0]), several, np.array([0.0, np.nan, 0.0, 0.0]))
    assert np.isnan(outside[0]).tolist() == [True, True, False, True]  # below all draws; no acceleration; fine; a draw is NaN


@pytest.mark.parametrize("metric", [0, 1])
def test_bca_equals_scipy_on_the_same_draws(metric: int) -> None:
    rng = np.random.default_rng(6)
    y = (rng.random(80) < 0.4).astype(float)
    p = np.round(y + rng.normal(size=80), 1)  # with ties
    function = (metrics.auroc, metrics.average_precision)[metric]
    oracle = scipy_stats.bootstrap((y, p), function, paired=True, vectorized=False, n_resamples=300, method="BCa",
                                   rng=np.random.default_rng(0))  # fmt: skip
    cell = Cell(0, 0, np.arange(80), y[:, None], np.ones((80, 1)), p[None, :, None])
    left = jackknife.without([cell], 0, 80, np.ones((1, 1), bool), np.ones((1, 4), bool))[0, metric]
    ours = jackknife.sixth_of_skewness(left, np.zeros(80))
    bounds = jackknife.bca(np.array(function(y, p)), oracle.bootstrap_distribution, ours)
    assert bounds == pytest.approx(tuple(oracle.confidence_interval), abs=1e-12)
    percentile = np.percentile(oracle.bootstrap_distribution, [2.5, 97.5])
    assert np.abs(np.array(bounds) - percentile).max() > 1e-3  # so that the correction is seen


@pytest.mark.parametrize("metric", [0, 1])
def test_bca_over_folds_equals_scipy_s_of_several_samples(metric: int) -> None:
    rng = np.random.default_rng(7)
    n, sizes = 90, [50, 40]
    fold = np.repeat([0, 1], sizes)
    y = (rng.random(n) < 0.4).astype(float)
    p = np.round(y + rng.normal(size=n), 1)

    def estimate(*rows: np.ndarray) -> float:
        """Of the drawn rows of each fold, which scipy takes for its samples."""
        of = np.concatenate(rows).astype(int)
        if metric == 0:
            return metrics.stratified_auroc(y[of], p[of], fold[of])
        return metrics.stratified_average_precision(y[of], p[of], fold[of], fold_events=1, total_events=1)

    samples = tuple(np.flatnonzero(fold == f) for f in range(2))
    oracle = scipy_stats.bootstrap(samples, estimate, vectorized=False, n_resamples=300, method="BCa",
                                   rng=np.random.default_rng(0))  # fmt: skip
    made = [Cell(0, f, rows, y[rows, None], np.ones((len(rows), 1)), p[None, rows, None]) for f, rows in enumerate(samples)]
    left = jackknife.without(made, 0, n, np.ones((2, 1), bool), np.ones((1, 4), bool))[0, metric]
    ours = jackknife.sixth_of_skewness(left, fold)
    bounds = jackknife.bca(np.array(estimate(*samples)), oracle.bootstrap_distribution, ours)
    assert bounds == pytest.approx(tuple(oracle.confidence_interval), abs=1e-12)
