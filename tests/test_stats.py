"""Scores, intervals, comparisons and standings from tables of predictions."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from noisy_evidence import tables
from scipy.stats import binom

from bench import metrics, stats
from bench.core import BenchError
from bench.stats import Scoring, ranking


def score(*tables: Any, **how: Any) -> Scoring:
    return stats.score(stats.gather(*tables, **how))


def value(scoring: Scoring, method: str, task: str, metric: str, column: str = "value") -> float:
    frame = scoring.scores.set_index(["method", "task", "metric"])
    return float(frame.loc[(method, task, metric), column])


def compared(scoring: Scoring, method: str, task: str, metric: str) -> pd.Series:
    return scoring.comparisons.set_index(["method", "task", "metric"]).loc[(method, task, metric)]


THREE = {"a": 0.5, "b": 0.6, "c": 0.5}


def test_values_are_the_stratified_metrics_and_their_mean() -> None:
    predictions, cohort, tasks, methods = tables(THREE, unknown=0.1)
    scoring = score(predictions, cohort, tasks, methods, "a", resamples=50)
    for method in methods:
        own = predictions[predictions["method"] == method]
        auroc = [metrics.stratified_auroc(own[f"y:{t}"], own[f"p:{t}"], own["fold"]) for t in tasks]
        ap = [metrics.stratified_average_precision(own[f"y:{t}"], own[f"p:{t}"], own["fold"]) for t in tasks]
        pooled = [metrics.auroc(own[f"y:{t}"], own[f"p:{t}"]) for t in tasks]
        for metric, found in (("auroc", auroc), ("ap", ap), ("auroc_pooled", pooled)):
            assert [value(scoring, method, t, metric) for t in tasks] == pytest.approx(found, abs=1e-12)
            assert value(scoring, method, "mean", metric) == pytest.approx(np.mean(found), abs=1e-12)
        sd = np.std([metrics.auroc(f["y:t0"], f["p:t0"]) for _, f in own.groupby("fold")], ddof=1)
        assert value(scoring, method, "t0", "auroc", "sd") == pytest.approx(sd, abs=1e-12)
        assert value(scoring, method, "t0", "auroc", "n") == own["y:t0"].notna().sum()
        assert value(scoring, method, "t0", "auroc", "events") == own["y:t0"].sum()
        assert value(scoring, method, "t0", "auroc", "low") < auroc[0] < value(scoring, method, "t0", "auroc", "high")


def test_tables_have_the_promised_columns_and_order() -> None:
    scoring = score(*tables(THREE), "b", resamples=20)
    assert list(scoring.scores) == ["method", "task", "metric", "value", "sd", "low", "high", "folds", "n", "events"]
    assert list(scoring.comparisons) == ranking.COMPARISONS
    assert list(scoring.scores["method"].unique()) == ["a", "b", "c"]
    assert list(scoring.scores["task"].unique()) == ["t0", "t1", "mean"]
    assert list(scoring.comparisons["method"].unique()) == ["a", "c"]
    assert scoring.family == scoring.comparisons["p_adjusted"].notna().sum() == 2 * 3 * 2  # methods x outcomes x primary metrics
    assert set(scoring.comparisons["estimand"]) == {"these predictions"}


def test_nothing_depends_on_the_order_of_rows_and_the_seed_decides() -> None:
    predictions, *rest = tables(THREE)
    one = score(predictions, *rest, "a", resamples=60)
    two = score(predictions.sample(frac=1, random_state=1), *rest, "a", resamples=60)
    other = score(predictions, *rest, "a", resamples=60, seed=1)
    pd.testing.assert_frame_equal(one.scores, two.scores, check_exact=True)
    pd.testing.assert_frame_equal(one.comparisons, two.comparisons, check_exact=True)
    assert not one.comparisons["low"].equals(other.comparisons["low"])
    assert one.scores["value"].equals(other.scores["value"])


def test_p_values_and_intervals_by_definition() -> None:
    predictions, cohort, tasks, methods = tables({"a": 0.3, "b": 1.0}, n=200)
    resamples = 99
    scoring = score(predictions, cohort, tasks, methods, "a", resamples=resamples)
    from bench import bootstrap

    a, b = (predictions[predictions["method"] == m].set_index("row") for m in methods)
    counts, _ = bootstrap.draw(a.loc[cohort["row"], "fold"].to_numpy(), resamples, 0)

    def auroc(frame: pd.DataFrame, weight: np.ndarray | None) -> float:
        return metrics.stratified_auroc(frame["y:t0"], frame["p:t0"], frame["fold"], weight)

    observed = auroc(b, None) - auroc(a, None)
    drawn = np.array([auroc(b, counts[:, i]) - auroc(a, counts[:, i]) for i in range(resamples)])
    row = compared(scoring, "b", "t0", "auroc")
    assert row["difference"] == pytest.approx(observed, abs=1e-12)
    assert row["p"] == (1 + (np.abs(drawn - observed) >= abs(observed)).sum()) / 100
    assert (row["low"], row["high"]) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=1e-12)


def test_standings() -> None:
    scoring = score(*tables({"bad": 3.0, "good": 0.1, "fair": 1.0}), "fair", resamples=200)
    mean = scoring.standings[(scoring.standings["task"] == "mean") & (scoring.standings["metric"] == "auroc")]
    assert mean["rank"].tolist() == [3, 1, 2]
    assert mean["tied"].tolist() == [False, True, False]
    assert mean["first"].sum() == pytest.approx(1)
    assert mean["first"].tolist() == pytest.approx([0, 1, 0], abs=0.02)
    assert mean["sd_repeats"].isna().all()


def test_a_real_difference_is_found_and_none_is_invented_for_a_copy() -> None:
    predictions, cohort, tasks, _ = tables({"ref": 1.5, "better": 0.1}, n=600)
    copy = predictions[predictions["method"] == "ref"].assign(method="copy")
    both = pd.concat([predictions, copy], ignore_index=True)
    scoring = score(both, cohort, tasks, ["ref", "better", "copy"], "ref", resamples=500)
    assert (scoring.comparisons.query("method == 'better' and task == 'mean'")["p_adjusted"].dropna() < 0.05).all()
    of_copy = scoring.comparisons.query("method == 'copy'")
    assert (of_copy["difference"] == 0).all()
    assert (of_copy["p_adjusted"].dropna() == 1).all()
    assert scoring.identical == [("ref", "copy")]
    ranks = scoring.standings.query("task == 'mean' and metric == 'auroc'")["rank"].tolist()
    assert ranks == [2, 1, 2]


@pytest.mark.slow
@pytest.mark.ci
def test_the_family_wise_error_is_near_its_level() -> None:
    simulations, alpha = 200, 0.05
    alarms = 0
    for seed in range(simulations):
        scoring = score(*tables({"ref": 0.7, "a": 0.7, "b": 0.7}, n=300, folds=2, seed=seed), "ref", resamples=199)
        alarms += bool((scoring.comparisons["p_adjusted"] < alpha).any())
    # all three methods are equally good; with alpha = .05 at most 19 alarms of 200 are likely (99.5 %), with no test at all
    # 12 comparisons at .05 each would give some 60; at least 2 (99.8 %): a test that never fires is no test
    low, high = binom.ppf([0.002, 0.995], simulations, alpha)
    assert low <= alarms <= high


def test_a_method_without_a_cell_is_unranked_and_compared_on_shared_cells() -> None:
    predictions, cohort, tasks, methods = tables({"ref": 0.6, "holed": 0.3, "whole": 0.9})
    holed = predictions[~((predictions["method"] == "holed") & (predictions["fold"] == 2))]
    scoring = score(holed, cohort, tasks, methods, "ref", resamples=100)
    full = score(predictions, cohort, tasks, methods, "ref", resamples=100)
    ranks = scoring.standings.set_index(["method", "task", "metric"])["rank"]
    assert math.isnan(ranks["holed", "t0", "auroc"])
    assert {ranks["ref", "t0", "auroc"], ranks["whole", "t0", "auroc"]} == {1, 2}
    shared = predictions[predictions["fold"] != 2]
    a, b = (shared[shared["method"] == m] for m in ("holed", "ref"))
    expected = [metrics.stratified_auroc(f["y:t0"], f["p:t0"], f["fold"]) for f in (a, b)]
    assert value(scoring, "holed", "t0", "auroc") == pytest.approx(expected[0], abs=1e-12)
    assert value(scoring, "holed", "t0", "auroc", "folds") == 3
    assert compared(scoring, "holed", "t0", "auroc")["difference"] == pytest.approx(expected[0] - expected[1], abs=1e-12)
    assert value(scoring, "ref", "t0", "auroc") == value(full, "ref", "t0", "auroc")  # all of its own cells
    assert compared(scoring, "whole", "t0", "ap")["p"] == compared(full, "whole", "t0", "ap")["p"]  # same draws


def test_a_reference_without_a_cell_is_compared_on_what_it_has() -> None:
    predictions, cohort, tasks, methods = tables({"ref": 0.6, "whole": 0.9})
    holed = predictions[~((predictions["method"] == "ref") & (predictions["fold"] == 0))]
    scoring = score(holed, cohort, tasks, methods, "ref", resamples=50)
    shared = predictions[predictions["fold"] != 0]
    ref, whole = (metrics.stratified_auroc(f["y:t1"], f["p:t1"], f["fold"]) for _, f in shared.groupby("method"))
    assert compared(scoring, "whole", "t1", "auroc")["difference"] == pytest.approx(whole - ref, abs=1e-12)


def test_without_the_reference_there_is_no_comparison() -> None:
    predictions, cohort, tasks, methods = tables(THREE)
    scoring = score(predictions[predictions["method"] != "a"], cohort, tasks, methods, "a", resamples=20)
    assert (len(scoring.comparisons), scoring.family) == (0, 0)
    assert math.isnan(value(scoring, "a", "t0", "auroc"))
    assert scoring.standings.query("method == 'b'")["rank"].notna().all()


def test_few_events() -> None:
    # t1: 4 events; t2: 19; t3: 36, nine a fold; t0 plenty
    events = {1: 4, 2: 19, 3: 36}
    predictions, cohort, tasks, methods = tables(THREE, n=400, prevalence=(0.3, 0.1, 0.1, 0.1), events=events)
    fold = predictions["row"] % 4
    scoring = score(predictions.assign(fold=fold), cohort, tasks, methods, "a", resamples=50)
    assert scoring.outcomes["averaged"].tolist() == [True, False, False, True]
    assert scoring.outcomes["folds"].tolist() == [4, 0, 0, 0]
    assert math.isnan(value(scoring, "a", "t1", "auroc", "low"))  # under 5 events: no interval
    assert 0 < value(scoring, "a", "t2", "auroc", "low") < 1
    for task in ("t1", "t2", "t3"):
        assert 0 < value(scoring, "a", task, "auroc") < 1
        assert math.isnan(value(scoring, "a", task, "ap"))
    mean = (value(scoring, "b", "t0", "auroc") + value(scoring, "b", "t3", "auroc")) / 2
    assert value(scoring, "b", "mean", "auroc") == pytest.approx(mean, abs=1e-12)
    assert value(scoring, "b", "mean", "ap") == value(scoring, "b", "t0", "ap")
    tested = scoring.comparisons.dropna(subset="p_adjusted").groupby("task")["metric"].apply(list).to_dict()
    assert tested == {t: k * 2 for t, k in (("mean", ["auroc", "ap"]), ("t0", ["auroc", "ap"]), ("t3", ["auroc"]))}
    ranked = set(scoring.standings.dropna(subset="rank")["task"])
    assert ranked == {"t0", "t3", "mean"}


def test_undefined_resamples_are_drawn_again_for_all() -> None:
    predictions, cohort, tasks, methods = tables(THREE, n=400, prevalence=(0.3, 0.1), events={1: 20})
    cohort["group"] = np.where(cohort["row"] < 20, "all events", cohort["group"])  # drawn in 63 % of the resamples
    together = predictions.assign(fold=np.where(predictions["row"] < 60, 0, 1 + predictions["row"] % 3))
    scoring = score(together, cohort, tasks, methods, "a", resamples=200)
    assert 60 < scoring.redraws < 180  # 200 * .36 / .64 = 113
    assert np.isfinite(scoring.comparisons["low"]).all()


def test_repeats_are_averaged_after_scoring() -> None:
    predictions, cohort, tasks, methods = tables(THREE, repeats=3)
    scoring = score(predictions, cohort, tasks, methods, "a", resamples=30)
    own = predictions[predictions["method"] == "b"]
    each = [metrics.stratified_auroc(r["y:t0"], r["p:t0"], r["fold"]) for _, r in own.groupby("repeat")]
    assert value(scoring, "b", "t0", "auroc") == pytest.approx(np.mean(each), abs=1e-12)
    assert value(scoring, "b", "t0", "auroc", "folds") == 12
    assert value(scoring, "b", "t0", "auroc", "n") == 400
    sd = scoring.standings.set_index(["method", "task", "metric"]).loc[("b", "t0", "auroc"), "sd_repeats"]
    assert sd == pytest.approx(np.std(each, ddof=1), abs=1e-12)


def test_weights_reach_every_number() -> None:
    predictions, cohort, tasks, methods = tables(THREE, unknown=0.2)
    weight = np.random.default_rng(3).uniform(1, 2, len(cohort))
    scoring = score(predictions, cohort.assign(**{"weight:t1": weight}), tasks, methods, "a", resamples=30)
    own = predictions[predictions["method"] == "b"].sort_values("row")
    found = metrics.stratified_average_precision(own["y:t1"], own["p:t1"], own["fold"], weight)
    assert value(scoring, "b", "t1", "ap") == pytest.approx(found, abs=1e-12)
    assert value(scoring, "b", "t1", "auroc_pooled") == pytest.approx(metrics.auroc(own["y:t1"], own["p:t1"], weight), abs=1e-12)
    known = own["y:t1"].notna().to_numpy()
    row = scoring.outcomes.set_index("task").loc["t1"]
    assert row["prevalence"] == pytest.approx(np.average(own["y:t1"][known], weights=weight[known]), abs=1e-12)
    assert row["naive"] == pytest.approx(own["y:t1"].mean(), abs=1e-12)
    plain = scoring.outcomes.set_index("task").loc["t0"]
    assert plain["prevalence"] == pytest.approx(plain["naive"], abs=1e-15)


def test_chance_is_the_permutation_mean_within_folds() -> None:
    predictions, cohort, tasks, methods = tables(THREE)
    scoring = score(predictions, cohort, tasks, methods, "a", resamples=10)
    own = predictions[predictions["method"] == "a"]
    folds = [f["y:t1"].to_numpy() for _, f in own.groupby("fold")]
    expected = np.average([metrics.permutation_mean(y) for y in folds], weights=[y.sum() for y in folds])
    assert scoring.outcomes["chance"][1] == pytest.approx(expected, abs=1e-12)


def test_planted_probabilities_are_shown_apart_and_never_ranked() -> None:
    predictions, cohort, tasks, methods = tables(THREE)
    own = predictions[predictions["method"] == "a"].sort_values("row")
    cohort = cohort.assign(**{f"truth:{t}": own[f"y:{t}"].to_numpy() * 0.9 for t in tasks})
    scoring = score(predictions, cohort, tasks, methods, "a", resamples=20)
    ranked = scoring.bayes["metric"].str.startswith(stats.PRIMARY)
    assert (scoring.bayes.loc[ranked, "value"] == 1).all()
    assert stats.BAYES not in set(scoring.scores["method"]) | set(scoring.comparisons["method"]) | set(
        scoring.standings["method"]
    )
    without = score(predictions, cohort.drop(columns=["truth:t0", "truth:t1"]), tasks, methods, "a", resamples=20)
    pd.testing.assert_frame_equal(scoring.comparisons, without.comparisons, check_exact=True)
    assert without.bayes.empty


def test_groups_are_drawn_whole() -> None:
    predictions, cohort, tasks, methods = tables(THREE, n=400)
    twice = pd.concat([predictions, predictions.assign(row=predictions["row"] + 400)], ignore_index=True)
    ids = cohort["group"].tolist() * 2
    cohort2 = pd.DataFrame({"row": np.arange(800), "patient": ids, "group": ids})
    one = score(predictions, cohort, tasks, methods, "a", resamples=50)
    two = score(twice, cohort2, tasks, methods, "a", resamples=50)
    # every row doubled within its group: AUROC and its interval stay what they were (patients drawn alone would narrow it)
    for column in ("value", "low", "high"):
        pick = one.scores["metric"] == "auroc"
        assert two.scores.loc[pick, column].to_numpy() == pytest.approx(one.scores.loc[pick, column].to_numpy(), abs=1e-12)


def test_validation_rows_are_no_part_of_it() -> None:
    predictions, *rest = tables(THREE)
    extra = predictions.assign(view="valid", fold=(predictions["fold"] + 1) % 4, **{"p:t0": 0.5})
    one = score(predictions, *rest, "a", resamples=20)
    two = score(pd.concat([extra, predictions]), *rest, "a", resamples=20)
    pd.testing.assert_frame_equal(one.scores, two.scores, check_exact=True)


def test_what_cannot_be_right_is_said() -> None:
    predictions, cohort, tasks, methods = tables(THREE)
    with pytest.raises(BenchError, match="'a' and 'b' must have the same test rows"):
        score(predictions.drop(index=predictions.index[predictions["method"] == "b"][3]), cohort, tasks, methods, "a")
    wrong = predictions.copy()
    wrong.loc[wrong.index[-1], "p:t0"] = np.inf
    with pytest.raises(BenchError, match="must be finite, but those of 'c' in repeat 0, fold"):
        score(wrong, cohort, tasks, methods, "a")
    with pytest.raises(BenchError, match="Rename it"):
        score(predictions, cohort, ["mean"], methods, "a")
    with pytest.raises(BenchError, match="resamples must lie between 2 and 200,000, 2,000 for a result, but is 1"):
        score(predictions, cohort, tasks, methods, "a", resamples=1)


def test_nothing_to_score_gives_empty_tables() -> None:
    cohort = pd.DataFrame({"row": [0], "group": ["0"]})
    scoring = score(pd.DataFrame({"method": pd.Series(dtype=str)}), cohort, ["t0"], ["a"], "a")
    assert scoring.scores.empty
    only_valid = tables(THREE)[0].assign(view="valid")
    assert score(only_valid, *tables(THREE)[1:], "a").scores.empty
    assert list(scoring.scores) == list(score(*tables(THREE), "a", resamples=9).scores)
