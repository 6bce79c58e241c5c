"""DeLong within folds: MLstatkit and the definition in pairs as oracles; weights, groups, repeats; what must not matter."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from MLstatkit import Delong_test
from noisy_evidence import build, copied
from scipy.stats import norm

from bench import metrics
from bench.bootstrap import Cell
from bench.stats.decisions import wald
from bench.stats.delong import DELONG, Influence, covariance, delong, influence


def cell(y: np.ndarray, p: np.ndarray, unit: np.ndarray | None = None, repeat: int = 0, fold: int = 0) -> Cell:
    """One outcome. y: (n,). p: (M, n)."""
    units = np.arange(len(y)) if unit is None else unit
    return Cell(repeat, fold, units, y[:, None], np.where(np.isnan(y), 0.0, 1.0)[:, None], p[:, :, None])


def one_outcome(cells: list[Cell]) -> tuple[np.ndarray, np.ndarray]:
    """(M,) AUROCs and their (M, M) covariance."""
    found = influence(cells, np.ones((len(cells[0].p), len(cells)), bool), np.ones(1, bool))
    return found.values[:, 0], found.covariance[0]


def made(n: int, methods: int = 3, ties: int = 0, seed: int = 0, rate: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < rate).astype(float)
    p = y + rng.normal(size=n) + 0.7 * rng.normal(size=(methods, n))
    return y, np.round(p * ties) if ties else p


def in_pairs(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong 1988, eq. 4-6, as written: every event against every other row. AUROCs and covariance of one fold."""
    events, others = p[:, y == 1], p[:, y == 0]
    kernel = (events[:, :, None] > others[:, None]) + 0.5 * (events[:, :, None] == others[:, None])
    v10, v01 = kernel.mean(axis=2), kernel.mean(axis=1)
    s10, s01 = np.atleast_2d(np.cov(v10)), np.atleast_2d(np.cov(v01))
    return kernel.mean(axis=(1, 2)), s10 / events.shape[1] + s01 / others.shape[1]


def pair(found: Influence, a: int = 0, b: int = 1) -> dict[str, np.ndarray]:
    """difference, se, p, low, high of two methods, an outcome each and their mean, as `delong` makes them."""
    difference = found.values[a] - found.values[b]
    return {"difference": difference, **wald(difference, np.sqrt(((found.influence[a] - found.influence[b]) ** 2).sum(axis=-1)))}


@pytest.mark.parametrize("ties", [0, 2])
def test_one_fold_as_mlstatkit(ties: int) -> None:
    y, p = made(300, ties=ties)
    value, covariances = one_outcome([cell(y, p)])
    _, p_value, _, _, auc_a, auc_b, info = Delong_test(y, p[0], p[1])
    assert value[:2] == pytest.approx([auc_a, auc_b], abs=1e-13)
    variance = covariances[0, 0] + covariances[1, 1] - 2 * covariances[0, 1]
    assert variance == pytest.approx(info["var_diff"], rel=1e-10)
    found = influence([cell(y, p)], np.ones((3, 1), bool), np.ones(1, bool))
    assert pair(found)["p"][0] == pytest.approx(p_value, rel=1e-9)


def test_by_hand() -> None:
    # events .9 .4, others .5 .4 .1: placement of .9 is 1, of .4 is (0 + 1/2 + 1)/3 = 1/2; AUROC 3/4, their variance 1/8, over 2: 1/16
    # of the others: .5 is below one of two: 1/2; .4: (1 + 1/2)/2 = 3/4; .1: 1; variance 1/16, over 3: 1/48. In all 1/12
    value, covariances = one_outcome([cell(np.array([1.0, 0, 0, 1, 0]), np.array([[0.9, 0.5, 0.4, 0.4, 0.1]]))])
    assert value.tolist() == pytest.approx([3 / 4], abs=1e-15)
    assert covariances.tolist() == [[pytest.approx(1 / 12, abs=1e-15)]]


@pytest.mark.parametrize("ties", [0, 1])
def test_folds_by_definition(ties: int) -> None:
    sizes, start = (90, 120, 70), 0
    cells, parts = list[Cell](), list[tuple[float, np.ndarray, np.ndarray]]()
    for fold, size in enumerate(sizes):
        y, p = made(size, ties=ties, seed=fold, rate=0.1 + 0.1 * fold)
        cells.append(cell(y, p, start + np.arange(size), fold=fold))
        parts.append((y.sum() * (1 - y).sum(), *in_pairs(y, p)))
        start += size
    share = np.array([pairs for pairs, _, _ in parts]) / sum(pairs for pairs, _, _ in parts)
    value, covariances = one_outcome(cells)
    assert value == pytest.approx(sum(s * own for s, (_, own, _) in zip(share, parts, strict=True)), abs=1e-14)
    assert covariances == pytest.approx(sum(s**2 * own for s, (_, _, own) in zip(share, parts, strict=True)), rel=1e-11)


def test_the_estimate_is_the_tables_number() -> None:
    weight = np.random.default_rng(5).uniform(1, 3, 400)
    evidence = build({"a": 0.5, "b": 1.0}, "a", unknown=0.2, cohort=lambda c: c.assign(**{"weight:t1": weight}))
    found = covariance(evidence)
    assert found.values == pytest.approx(evidence.found.values[:, :, 0, 0], abs=1e-13)
    differences = delong(evidence).set_index(["method", "task"])["difference"]
    observed = evidence.found.values[1, :, 0, 0] - evidence.found.values[0, :, 0, 0]
    assert differences.loc["b"].to_numpy() == pytest.approx(observed, abs=1e-13)


def test_a_weighted_influence_is_the_derivative_of_the_weighted_auroc() -> None:
    # d AUROC / d log weight of a row, times sqrt(k / (k - 1)) for the k rows of its class
    rng = np.random.default_rng(6)
    y, p = made(40, methods=1, ties=2, seed=6)
    w = rng.uniform(0.5, 2, 40)
    found = influence([replace(cell(y, p), weight=w[:, None])], np.ones((1, 1), bool), np.ones(1, bool)).influence[0, 0]
    for i in range(40):
        up, down = (np.where(np.arange(40) == i, w * np.exp(step), w) for step in (1e-5, -1e-5))
        slope = (metrics.auroc(y, p[0], up) - metrics.auroc(y, p[0], down)) / 2e-5
        k = (y == y[i]).sum()
        assert found[i] == pytest.approx(slope * np.sqrt(k / (k - 1)), abs=1e-9)


def test_rows_of_a_group_are_one_unit() -> None:
    y, p = made(80)
    once, alone = one_outcome([cell(y, p)]), None
    twice_y, twice_p = np.tile(y, 2), np.tile(p, 2)
    grouped = one_outcome([cell(twice_y, twice_p, np.tile(np.arange(80), 2))])
    assert grouped[0] == pytest.approx(once[0], abs=1e-15)
    assert grouped[1] == pytest.approx(once[1], rel=1e-12)
    alone = one_outcome([cell(twice_y, twice_p)])
    assert alone[1] == pytest.approx(once[1] / 2, rel=0.05)  # what forgetting the groups would claim


def test_repeating_the_same_does_not_shrink_the_variance() -> None:
    y, p = made(100)
    once, again = one_outcome([cell(y, p)]), one_outcome([cell(y, p), cell(y, p, repeat=1)])
    assert again[0] == pytest.approx(once[0], abs=1e-15)
    assert again[1] == pytest.approx(once[1], rel=1e-13)


def test_repeats_average_a_patients_influence() -> None:
    rng = np.random.default_rng(7)
    y, p = made(120)
    other, halves = p + 0.5 * rng.normal(size=p.shape), rng.permutation(np.arange(120) % 2)
    split = [cell(y[halves == h], other[:, halves == h], np.flatnonzero(halves == h), 1, h) for h in (0, 1)]
    first, second = (influence(cells, np.ones((3, len(cells)), bool), np.ones(1, bool)) for cells in ([cell(y, p)], split))
    both = influence([cell(y, p), *split], np.ones((3, 3), bool), np.ones(1, bool))
    assert both.values == pytest.approx((first.values + second.values) / 2, abs=1e-15)
    assert both.influence == pytest.approx((first.influence + second.influence) / 2, abs=1e-15)
    # patients are the same: the variance of the mean lies above half of the mean variance, and below the mean variance
    single = (first.covariance[0, 0, 0] + second.covariance[0, 0, 0]) / 2
    assert 0.6 * single < both.covariance[0, 0, 0] < single


def test_the_mean_over_outcomes_has_the_variance_of_a_mean() -> None:
    evidence = build({"a": 0.5, "b": 1.0}, "a", prevalence=(0.3, 0.2, 0.3))
    found = covariance(evidence)
    between = np.array([[found.influence[0, s] @ found.influence[0, t] for s in range(3)] for t in range(3)])
    assert found.covariance[3, 0, 0] == pytest.approx(between.sum() / 9, rel=1e-12)


def test_standard_errors_agree_with_the_bootstrap() -> None:
    evidence = build({"a": 0.3, "b": 0.9}, "a", n=1500, resamples=2000)
    drawn = evidence.found.values[1, :, 0] - evidence.found.values[0, :, 0]
    # 2,000 resamples know a standard deviation to 1 / sqrt(4,000) = 1.6 %
    assert delong(evidence)["se"].to_numpy() == pytest.approx(drawn[:, 1:].std(axis=1, ddof=1), rel=0.07)


def test_swapping_the_two_turns_the_sign_and_nothing_else() -> None:
    noise = {"a": 0.5, "b": 1.0}
    one, other = delong(build(noise, "a")), delong(build(noise, "b"))
    assert one["difference"].tolist() == (-other["difference"]).tolist()
    assert one["low"].tolist() == (-other["high"]).tolist()
    assert one[["se", "p"]].equals(other[["se", "p"]])


def test_only_the_order_of_scores_matters() -> None:
    def bent(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(**{"p:t0": np.where(frame["method"] == "b", frame["p:t0"] ** 3, frame["p:t0"])})

    noise = {"a": 0.5, "b": 1.0}
    pd.testing.assert_frame_equal(delong(build(noise, "a")), delong(build(noise, "a", predictions=bent)), check_exact=True)


def test_a_copy_has_no_difference() -> None:
    found = delong(build({"a": 0.5, "b": 1.0}, "a", predictions=copied("a", "copy"))).query("method == 'copy'")
    assert found[["difference", "se", "low", "high"]].to_numpy().tolist() == [[0.0] * 4] * 3
    assert found["p"].tolist() == [1.0] * 3


def test_columns_and_who_is_compared() -> None:
    evidence = build({"a": 0.5, "b": 1.0, "c": 0.7}, "b")
    found = delong(evidence)
    assert list(found) == DELONG
    assert found[["method", "task"]].to_numpy().tolist() == [list(k) for k in product(["a", "c"], ["t0", "t1", "mean"])]
    # the interval and p by hand from difference and standard error
    row = found.iloc[0]
    assert row["high"] == pytest.approx(row["difference"] + norm.ppf(0.975) * row["se"], abs=1e-15)
    assert row["p"] == pytest.approx(2 * norm.sf(abs(row["difference"]) / row["se"]), rel=1e-12)
    assert delong(replace(evidence, reference="nobody")).empty


def test_few_events_and_folds_without_a_spread() -> None:
    # t1: 19 events, too few; t2: 24, one of which sits in a fold of its own (rows 0..99 are fold 0)
    def by_row(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(
            fold=frame["row"] // 100, **{"y:t2": ((frame["row"] == 5) | frame["row"].between(200, 222)).astype(float)}
        )

    evidence = build({"a": 0.5, "b": 1.0}, "a", prevalence=(0.3, 0.1, 0.1), events={1: 19}, predictions=by_row)
    found = delong(evidence).set_index("task")
    assert found.loc["t0"].notna().all()
    assert found.loc["t1", ["difference", "se", "p"]].isna().all()
    assert np.isfinite(found.loc["t2", "difference"])  # one event of a fold has no variance
    assert found.loc["t2", ["se", "low", "p"]].isna().all()


def test_a_difference_without_any_spread_has_no_p_value() -> None:
    # the first ranks perfectly, the second not at all: both placements are the same in every row
    y = np.array([1.0, 1, 0, 0, 0])
    found = influence([cell(y, np.stack([y, 0 * y]))], np.ones((2, 1), bool), np.ones(1, bool))
    assert pair(found)["difference"][0] == 0.5
    assert pair(found)["se"][0] == 0
    assert np.isnan(pair(found)["p"][0])
    assert pair(found, 0, 0)["p"][0] == 1


def test_a_method_without_a_fold_is_compared_on_the_others() -> None:
    def holed(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[(frame["method"] != "b") | (frame["fold"] != 2)]

    def without(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[frame["fold"] != 2]

    noise = {"a": 0.5, "b": 1.0, "c": 0.7}
    part, whole, less = (delong(build(noise, "a", predictions=change)) for change in (holed, lambda f: f, without))
    assert part.query("method == 'c'").equals(whole.query("method == 'c'"))
    numbers = ["difference", "se", "p"]
    expected = less.query("method == 'b'")[numbers].to_numpy()
    assert part.query("method == 'b'")[numbers].to_numpy() == pytest.approx(expected, rel=1e-12)
