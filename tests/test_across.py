"""Methods across datasets: mean ranks, Friedman and Nemenyi against Demsar's paper, scipy and scikit-posthocs."""

import re
import zlib

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats as scipy_stats

from bench.core import BenchError
from bench.stats import Scoring, across

# Demsar 2006, table 6: AUC of four versions of C4.5 on 14 datasets. On the 13th he prints .975 twice but ranks the two 2 and 3.
DEMSAR = np.array([
    [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967], [0.628, 0.661, 0.654, 0.657],
    [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931], [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625],
    [0.775, 0.838, 0.866, 0.875], [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
    [0.972, 0.981, 0.975, 0.9749], [0.957, 0.978, 0.946, 0.970],
])  # fmt: skip
C45 = ["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"]


def scoring(values: dict[str, float], unranked: tuple[str, ...] = ()) -> Scoring:
    """Mean AUROC of each method, with a standard error of .001; AP is its opposite."""
    rows = [
        (m, "mean", metric, v if metric == "auroc" else 1 - v) for m, v in values.items() for metric in ("auroc", "ap", "brier")
    ]
    scores = pd.DataFrame(rows, columns=["method", "task", "metric", "value"])
    other = scores.assign(task="death", value=0.5)
    standings = scores[scores["metric"] != "brier"].drop(columns="value").assign(rank=1.0)
    standings.loc[standings["method"].isin(unranked), "rank"] = np.nan
    none = pd.DataFrame()
    noise = {m: np.r_[0, np.random.default_rng(zlib.crc32(m.encode())).normal(0, 0.001, 400)] for m in values}
    means = {
        metric: pd.DataFrame([sign * (values[m] + noise[m]) for m in values], index=list(values))
        for metric, sign in (("auroc", 1), ("ap", -1))
    }
    return Scoring(pd.concat([other, scores], ignore_index=True), none, standings, none, none, [], 0, 0, 0, means=means)


def many(table: np.ndarray, methods: list[str]) -> list[tuple[str, Scoring]]:
    return [(f"set{i}", scoring(dict(zip(methods, row, strict=True)))) for i, row in enumerate(table)]


def test_the_example_of_demsar() -> None:
    # average ranks 3.143, 2.000, 2.893, 1.964; critical difference 2.569 sqrt(4 * 5 / (6 * 14)) = 1.25, more than best and worst
    # are apart; F(3, 39) = 3.69 without a correction for ties, which raises it
    found = across.critical_difference(many(DEMSAR, C45))
    assert found.set_index("method")["mean_rank"][C45].to_numpy() == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert found["critical_difference"].to_numpy() == pytest.approx(np.full(4, 2.569 * np.sqrt(20 / 84)), abs=5e-4)
    assert (found["datasets"] == 14).all()
    assert 0.01 < found["p"][0] < scipy_stats.f.sf(3.69, 3, 39) < 0.02
    assert across.alike(found) == [("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")]
    # at .10 it is 2.291 sqrt(20 / 84) = 1.12: C4.5 is worse than C4.5+m and C4.5+m+cf, and C4.5+cf may belong to either group
    ten = across.critical_difference(many(DEMSAR, C45), level=0.1)
    assert ten["critical_difference"][0] == pytest.approx(2.291 * np.sqrt(20 / 84), abs=5e-4)
    assert across.alike(ten) == [("C4.5+m+cf", "C4.5+m", "C4.5+cf"), ("C4.5+cf", "C4.5")]


@pytest.mark.parametrize(
    ("methods", "q"), [(3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)]
)
def test_the_distances_are_those_of_demsar_s_table_5(methods: int, q: float) -> None:
    table = np.random.default_rng(0).random((9, methods))
    found = across.critical_difference(many(table, [f"m{i}" for i in range(methods)]))
    assert found["critical_difference"][0] == pytest.approx(q * np.sqrt(methods * (methods + 1) / (6 * 9)), abs=1e-3)


@pytest.mark.parametrize("decimals", [1, 6])  # 1: many ties
def test_friedman_and_nemenyi_are_scipy_s_and_scikit_posthocs_(decimals: int) -> None:
    rng = np.random.default_rng(2)
    table = (rng.random((12, 6)) + np.linspace(0, 0.8, 6)).round(decimals)
    methods = [f"m{i}" for i in range(6)]
    found = across.critical_difference(many(table, methods)).set_index("method").loc[methods]
    chi2 = scipy_stats.friedmanchisquare(*table.T).statistic
    n, k = table.shape
    f = (n - 1) * chi2 / (n * (k - 1) - chi2)  # Iman and Davenport
    assert found["p"].to_numpy() == pytest.approx(np.full(6, scipy_stats.f.sf(f, k - 1, (k - 1) * (n - 1))), rel=1e-9)
    p = scikit_posthocs.posthoc_nemenyi_friedman(table).to_numpy()
    rank = found["mean_rank"].to_numpy()
    apart = np.abs(rank[:, None] - rank) > found["critical_difference"].iloc[0]
    assert apart.any()
    assert not apart[~np.eye(6, dtype=bool)].all()
    np.testing.assert_array_equal(apart, p < 0.05)
    bars = across.alike(found.sort_values("mean_rank").reset_index())
    together = {frozenset((a, b)) for bar in bars for a in bar for b in bar if a != b}
    assert together == {frozenset((methods[i], methods[j])) for i in range(6) for j in range(i) if not apart[i, j]}


def test_one_order_everywhere_and_no_order_at_all() -> None:
    same = across.critical_difference(many(np.tile([0.9, 0.8, 0.7], (8, 1)), ["a", "b", "c"]))
    assert (same["p"] == 0).all()
    assert list(same["mean_rank"]) == [1, 2, 3]
    tied = across.critical_difference(many(np.full((8, 3), 0.8), ["a", "b", "c"]))
    assert (tied["p"] == 1).all()
    assert (tied["mean_rank"] == 2).all()
    assert across.alike(tied) == [("a", "b", "c")]


def test_under_8_independent_datasets_there_is_no_diagram() -> None:
    variants = [(f"surgical:noise={i}", one) for i, (_, one) in enumerate(many(DEMSAR, C45))]
    said = "needs 8 independent datasets or more (variants of one count once), but there are 1: surgical."
    with pytest.raises(BenchError, match=re.escape(said)):
        across.critical_difference(variants)
    seven = [*many(DEMSAR[:7], C45), *((f"set0:k={i}", one) for i, (_, one) in enumerate(many(DEMSAR, C45)))]
    with pytest.raises(BenchError, match="but there are 7: set0, set1"):
        across.critical_difference(seven)
    assert len(across.critical_difference(many(DEMSAR[:8], C45))) == 4


def test_other_things_that_are_refused() -> None:
    with pytest.raises(BenchError, match="methods are ranked by auroc or ap, but metric is 'brier'"):
        across.critical_difference(many(DEMSAR, C45), "brier")
    with pytest.raises(BenchError, match="needs 3 methods that are ranked in every dataset, but there are 2"):
        across.critical_difference(many(DEMSAR[:, :2], C45[:2]))
    with pytest.raises(BenchError, match="but there are 0"):
        across.critical_difference([])


# ---- mean ranks


def test_mean_ranks_and_student_s_interval_by_hand() -> None:
    sets = [
        ("one", scoring({"a": 0.9, "b": 0.8, "c": 0.7, "x": 0.99})), ("two", scoring({"c": 0.9, "a": 0.8, "b": 0.8})),
        ("three", scoring({"b": 0.6, "a": 0.9, "c": 0.5})),
    ]  # fmt: skip
    frame = across.ranks(sets)
    found = frame[frame["metric"] == "auroc"].set_index("method")
    # a: 1, 2.5, 1; b: 2, 2.5, 2; c: 3, 1, 3. x is not in all. t(.975, 2) = 4.302653; b: 6.5/3 -+ 4.302653 * .288675 / sqrt 3
    assert list(found.index) == ["a", "b", "c"]
    assert found["mean_rank"].to_numpy() == pytest.approx([4.5 / 3, 6.5 / 3, 7 / 3])
    assert found.loc["b", "low"] == pytest.approx(6.5 / 3 - 4.302653 / 6, abs=1e-6)
    assert found.loc["b", "high"] == pytest.approx(6.5 / 3 + 4.302653 / 6, abs=1e-6)
    assert (found.loc["a", "low"], found.loc["c", "high"]) == (1, 3)  # a rank is nothing else
    assert (frame["datasets"] == 3).all()
    assert list(frame.loc[frame["metric"] == "ap", "method"]) == ["c", "b", "a"]  # made to be the opposite


def test_variants_of_a_dataset_are_one_dataset() -> None:
    one, two, other = scoring({"a": 0.9, "b": 0.8}), scoring({"a": 0.5, "b": 0.7}), scoring({"a": 0.6, "b": 0.5})
    found = across.ranks([("s:noise=1", one), ("s", two), ("n", other)]).query("metric == 'auroc'").set_index("method")
    # s: a has (.9 + .5) / 2 = .7, b .75, so b is first; n: a is first
    assert (found["mean_rank"] == 1.5).all()
    assert (found["datasets"] == 2).all()
    assert found[["low", "high"]].to_numpy().tolist() == [[1, 2]] * 2  # 1.5 -+ 12.7 * .707 / sqrt 2: two datasets say nothing


def test_ranks_with_one_dataset_have_no_interval_and_failed_methods_no_rank() -> None:
    found = across.ranks([("one", scoring({"a": 0.9, "b": 0.8, "c": 0.95}, unranked=("c",)))])
    assert set(found["method"]) == {"a", "b"}
    assert found[["low", "high"]].isna().all(axis=None)
    assert across.ranks([("one", scoring({"a": 0.9})), ("two", scoring({"b": 0.9}))]).empty
    assert list(across.ranks([])) == ["method", "metric", "mean_rank", "low", "high", "set_low", "set_high", "datasets"]


def test_where_the_mean_of_the_true_ranks_lies_by_hand() -> None:
    # A difference has a standard error of .0014, so .1 is seen and .0001 is not. one: a is 1, b and c are 2 or 3. two: c is 1, a and b 2
    # or 3; x is not in both. The means: a 1.5 to 2, b 2 to 3, c 1.5 to 2.
    sets = [("one", scoring({"a": 0.9, "b": 0.8, "c": 0.8001})), ("two", scoring({"x": 0.99, "b": 0.7, "a": 0.7001, "c": 0.9}))]
    frame = across.ranks(sets)
    for metric, mirrored in (("auroc", False), ("ap", True)):  # of the opposite: one: a 3, b and c 1 or 2 ...
        found = frame[frame["metric"] == metric].set_index("method").loc[["a", "b", "c"], ["set_low", "set_high"]].to_numpy()
        hand = np.array([[1.5, 2], [2, 3], [1.5, 2]])
        np.testing.assert_allclose(found, 4 - hand[:, ::-1] if mirrored else hand)
    # a variant of `two` in which b is 1 leaves scores of c .7 and b .8: c 2 or 3 with a, b first
    varied = [*sets, ("two:k=1", scoring({"b": 0.9, "a": 0.6999, "c": 0.5}))]
    found = across.ranks(varied).query("metric == 'auroc'").set_index("method")
    assert found.loc["b", ["set_low", "set_high"]].tolist() == [1.5, 2]


def test_swapping_two_methods_swaps_their_rows() -> None:
    rng = np.random.default_rng(1)
    table = rng.random((5, 3))
    one = across.ranks(many(table, ["a", "b", "c"])).set_index(["metric", "method"]).sort_index()
    other = across.ranks(many(table[:, [1, 0, 2]], ["b", "a", "c"])).set_index(["metric", "method"]).sort_index()
    pd.testing.assert_frame_equal(one, other)
