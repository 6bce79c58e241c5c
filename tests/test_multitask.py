"""Negative transfer and Delta_m, from tables of predictions; the suite that fills them."""

import math

import numpy as np
import pandas as pd
import pytest
from several_outcomes import FAMILIES, TASKS, TWO, evidence, predictions, row

from bench import metrics, registry, stats, suites
from bench.stats import multitask
from bench.stats.estimates import PRIMARY
from bench.stats.multiplicity import holm

# ---- transfer


def test_transfer_is_the_table_s_own_comparison_with_single_task() -> None:
    found = evidence(predictions(TWO, repeats=2, unknown=0.1))
    table = stats.score(found).comparisons
    frame = multitask.transfer(found)
    for metric in PRIMARY:
        for task in (*TASKS, "mean"):
            ours, theirs = (row(f, method="shared", task=task, metric=metric) for f in (frame, table))
            assert list(ours[["difference", "low", "high", "p"]]) == list(theirs[["difference", "low", "high", "p"]])
    assert len(frame) == 2 * 4
    assert set(frame["baseline"]) == {"alone"}


def test_hurt_is_the_share_of_folds_in_which_the_difference_is_below_zero() -> None:
    frame = predictions(TWO | {"shared": 0.5}, repeats=2)
    folds: dict[str, list[float]] = {m: [] for m in TWO}
    for _, cell in frame.groupby(["repeat", "fold"]):
        for m in TWO:
            own = cell[cell["method"] == m]
            folds[m].append(metrics.auroc(own["y:t1"], own["p:t1"]))
    below = np.array(folds["shared"]) < np.array(folds["alone"])
    assert 0 < below.mean() < 1
    found = row(multitask.transfer(evidence(frame)), task="t1", metric="auroc")
    assert (found["hurt"], found["cells"]) == (below.mean(), 8)


def test_the_same_predictions_transfer_nothing() -> None:
    frame = multitask.transfer(evidence(predictions({"alone": 0.5, "shared": 0.5})))
    assert (frame[["difference", "low", "high", "hurt"]] == 0).all(axis=None)
    assert (frame["p"] == 1).all()
    assert (frame.loc[frame["task"] != "mean", "p_adjusted"] == 1).all()


def test_another_baseline_turns_the_sign() -> None:
    frame = predictions(TWO)
    one = multitask.transfer(evidence(frame))
    other = multitask.transfer(evidence(frame, families={"alone": "sharing", "shared": "single-task"}))
    assert other["difference"].to_numpy() == pytest.approx(-one["difference"].to_numpy(), abs=1e-15)
    assert other["low"].to_numpy() == pytest.approx(-one["high"].to_numpy(), abs=1e-15)
    assert list(other["p_adjusted"].dropna()) == list(one["p_adjusted"].dropna())
    assert other["hurt"].to_numpy() == pytest.approx(1 - one["hurt"].to_numpy())  # no fold is tied
    gain, loss = (multitask.gains(evidence(frame, families=f)) for f in (FAMILIES, {"alone": "x", "shared": "single-task"}))
    assert loss["absolute"].to_numpy() == pytest.approx(-gain["absolute"].to_numpy(), abs=1e-15)


def test_the_order_of_outcomes_is_the_order_of_rows_and_nothing_else() -> None:
    frame = predictions(TWO)
    one, other = (multitask.transfer(evidence(frame, tasks=t)) for t in (TASKS, TASKS[::-1]))
    assert list(other["task"][:4]) == ["t2", "t1", "t0", "mean"]
    keys = ["metric", "task"]
    numbers = one.select_dtypes("number").columns
    a, b = (f.sort_values(keys)[numbers].to_numpy() for f in (one, other))
    np.testing.assert_allclose(a, b, atol=1e-14)


def test_a_monotone_change_of_the_risks_changes_nothing() -> None:
    frame = predictions(TWO)
    bent = frame.assign(
        **{f"p:{t}": np.where(frame["method"] == "shared", frame[f"p:{t}"] ** 3 / 2, frame[f"p:{t}"]) for t in TASKS}
    )
    pd.testing.assert_frame_equal(multitask.transfer(evidence(frame)), multitask.transfer(evidence(bent)))


def test_stopping_is_read_from_the_label_wherever_it_stands() -> None:
    assert multitask.stopped("mmoe") == ("mmoe", "joint")
    assert multitask.stopped("mmoe:stop=per_task") == ("mmoe", "per_task")
    assert multitask.stopped("mmoe:stop=per_task:width=3") == ("mmoe:width=3", "per_task")
    assert multitask.stopped("mmoe:balance=cagrad+c=0.5:stop=per_task") == ("mmoe:balance=cagrad+c=0.5", "per_task")
    assert multitask.stopped("mine:nonstop=per_task") == ("mine:nonstop=per_task", "joint")


def test_multi_task_are_the_sharing_family_and_what_was_run_with_a_stop_setting() -> None:
    names = ["forest", "alone:stop=per_task", "shared:k=2:stop=per_task", "deep", "deep:stop=per_task", "shared:k=2", "wide"]
    frame = multitask.transfer(evidence(predictions(dict.fromkeys(["alone", *names], 0.5)), "forest"))
    pairs = list(dict.fromkeys(zip(frame["method"], frame["stopping"], strict=True)))
    assert pairs == [("shared:k=2", "per_task"), ("deep", "joint"), ("deep", "per_task"), ("shared:k=2", "joint")]
    assert set(frame["baseline"]) == {"alone"}  # the first of its family, as the reference is of another


def test_the_reference_is_the_baseline_where_it_is_of_the_family() -> None:
    frame = predictions({"alone": 0.4, "wide": 0.6, "shared": 0.5})
    assert multitask.single_task(evidence(frame, "wide")) == "wide"
    assert multitask.single_task(evidence(frame, "shared")) == "alone"


def test_without_a_single_task_method_the_tables_are_empty_but_have_their_columns() -> None:
    found = evidence(predictions({"shared": 0.5, "forest": 0.6}), "forest")
    assert multitask.transfer(found).empty
    assert list(multitask.transfer(found)) == [
        *(
            "method",
            "stopping",
            "baseline",
            "task",
            "metric",
            "difference",
            "low",
            "high",
            "hurt",
            "cells",
            "p",
            "p_holm",
            "p_adjusted",
        )
    ]
    assert multitask.gains(found).empty
    assert {"relative", "absolute_low", "corrected_high"} <= set(multitask.gains(found))


def test_an_outcome_with_19_events_is_compared_nowhere() -> None:
    frame = multitask.transfer(evidence(predictions(TWO, events={1: 19})))
    few = frame[frame["task"] == "t1"]
    assert few[["difference", "low", "high", "hurt", "p", "p_holm", "p_adjusted"]].isna().all(axis=None)
    assert (few["cells"] == 0).all()
    assert np.isfinite(frame.loc[frame["task"] != "t1", ["difference", "low", "hurt", "p"]]).all(
        axis=None
    )  # the mean is of the others
    found = frame[frame["metric"] == "auroc"].set_index("task")["difference"]
    assert found["mean"] == pytest.approx((found["t0"] + found["t2"]) / 2, abs=1e-15)


def test_one_outcome_is_its_own_mean_and_needs_no_adjustment() -> None:
    frame = multitask.transfer(evidence(predictions(TWO, prevalence=(0.4,))))
    for metric in PRIMARY:
        own, mean = (row(frame, metric=metric, task=task) for task in ("t0", "mean"))
        assert list(own[["difference", "low", "high", "hurt", "p"]]) == list(mean[["difference", "low", "high", "hurt", "p"]])
        assert own["p_adjusted"] == own["p"]
        assert math.isnan(mean["p_adjusted"])


def test_a_method_without_some_cells_is_compared_on_those_of_both() -> None:
    frame = predictions(TWO)
    lacking = frame[(frame["method"] != "shared") | (frame["fold"] > 0)]
    found = row(multitask.transfer(evidence(lacking)), task="t0", metric="auroc")
    own = {m: lacking[(lacking["method"] == m) & (lacking["fold"] > 0)] for m in TWO}
    expected = {m: metrics.stratified_auroc(f["y:t0"], f["p:t0"], f["fold"]) for m, f in own.items()}
    assert found["difference"] == pytest.approx(expected["shared"] - expected["alone"], abs=1e-14)
    assert found["cells"] == 3
    gain = multitask.gains(evidence(lacking)).set_index("metric")["absolute"]["auroc"]
    every = multitask.transfer(evidence(lacking)).query("metric == 'auroc'").set_index("task")["difference"]
    assert gain == pytest.approx(every["mean"], abs=1e-14)


def test_a_method_that_shares_no_cell_is_a_row_of_nan() -> None:
    frame = predictions(TWO)
    apart = frame[(frame["method"] == "shared") == (frame["fold"] > 1)]
    found = multitask.transfer(evidence(apart))
    assert found[["difference", "low", "hurt", "p"]].isna().all(axis=None)
    assert multitask.gains(evidence(apart))[["relative", "absolute", "corrected_low"]].isna().all(axis=None)


def test_p_values_are_adjusted_over_the_outcomes_alone() -> None:
    # 3 outcomes: Holm on bootstrap p values needs 20 * 3 / .05 = 1200 resamples
    frame = predictions({"alone": 0.1, "shared": 3.0, "shared:k=2": 0.3})
    few, enough = (multitask.transfer(evidence(frame, resamples=b)) for b in (1199, 1200))
    assert few["p_holm"].isna().all()
    for _, own in enough[enough["task"] != "mean"].groupby(["method", "metric"]):
        assert list(own["p_holm"]) == list(holm(own["p"]))
        assert (own["p_adjusted"] >= own["p"]).all()
        assert (own["p_adjusted"] <= own["p_holm"] * 1.3 + 0.01).all()  # max-T knows the dependence; its p are studentised
    assert enough.loc[enough["task"] == "mean", ["p_holm", "p_adjusted"]].isna().all(axis=None)
    worse = row(enough, method="shared", task="t0", metric="auroc")
    assert worse["difference"] < 0
    assert worse["p_adjusted"] < 0.05


# ---- Delta_m


def test_a_relative_gain_by_hand() -> None:
    # (93 - 96) / 96 = -.03125; (.5 - .2) / .2 = 1.5; of a base of 0 there is none
    found = multitask.relative(np.array([93, 0.5, 0.5]), np.array([96, 0.2, 0.0]))
    np.testing.assert_allclose(found, [-0.03125, 1.5, np.nan], rtol=1e-15)


def test_gains_are_means_over_outcomes_of_the_same_three_differences() -> None:
    found = evidence(predictions(TWO, unknown=0.1))
    scores = stats.score(found).scores.set_index(["method", "metric", "task"])["value"]
    chance = stats.score(found).outcomes.set_index("task")["chance"]
    frame = multitask.gains(found)
    assert list(frame["method"]) == ["shared", "shared"]
    for metric in PRIMARY:
        new, base = (np.array([scores[m, metric, t] for t in TASKS]) for m in ("shared", "alone"))
        floor = 0.5 if metric == "auroc" else chance[list(TASKS)].to_numpy()
        own = row(frame, metric=metric)
        assert own["relative"] == pytest.approx(((new - base) / base).mean(), abs=1e-14)
        assert own["absolute"] == pytest.approx((new - base).mean(), abs=1e-14)
        corrected = (new - floor) / (1 - floor) - (base - floor) / (1 - floor)
        assert own["corrected"] == pytest.approx(corrected.mean(), abs=1e-14)
        for name in multitask.GAINS:
            assert own[f"{name}_low"] < own[name] < own[f"{name}_high"] < 0.1
    of_auroc = row(frame, metric="auroc")
    assert of_auroc["corrected_low"] == pytest.approx(2 * of_auroc["absolute_low"], abs=1e-14)


def test_gains_have_every_method_but_the_baseline_and_zero_for_its_twin() -> None:
    found = evidence(predictions({"alone": 0.5, "forest": 0.5, "shared:stop=per_task": 0.6}))
    frame = multitask.gains(found)
    assert list(frame["method"].unique()) == ["forest", "shared:stop=per_task"]
    twin = frame[frame["method"] == "forest"].drop(columns=["method", "baseline", "metric"])
    assert (twin == 0).all(axis=None)


# ---- the suite


def test_the_suite_runs_every_sharing_network_with_both_stoppings() -> None:
    _, suite = suites.load("transfer")
    assert isinstance(suite, suites.Comparison)
    assert suite.reference == "single_task"
    families = {name: getattr(registry.module("methods", name).METHOD, "family", "") for name in registry.ids("methods")}
    sharing = {name for name, family in families.items() if family in multitask.MULTITASK} - {
        "separate_encoders",
        "dense_features",
    }  # one modality: a twin
    labels = [spec.label for spec in registry.parse("methods", ",".join(suite.methods))]
    assert set(labels) == {"single_task", *sharing, *(f"{name}:stop=per_task" for name in sharing)}
    assert len(labels) == len(suite.methods)
    assert set(suite.datasets) <= set(registry.ids("datasets"))
