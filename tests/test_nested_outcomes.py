"""Outcomes that belong together: unions in the mean, coherent risks, and correlation beside task affinity."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest
from several_outcomes import TASKS, TWO, evidence, predictions, row

from bench import stats
from bench.core import Task
from bench.stats import multitask

# ---- unions

NESTED = (Task("t0"), Task("t1", implies=("t0",)), Task("t2", implies=("t0",)))


def test_the_mean_with_and_without_unions() -> None:
    found = evidence(predictions(TWO))
    scores = stats.score(found).scores.set_index(["method", "metric", "task"])["value"]
    for _, own in multitask.unions(found, NESTED).iterrows():
        t0, t1, t2 = (scores[own["method"], own["metric"], t] for t in TASKS)
        assert own["all"] == pytest.approx((t0 + t1 + t2) / 3, abs=1e-15)
        assert own["without"] == pytest.approx((t1 + t2) / 2, abs=1e-15)
    plain = multitask.unions(found, [Task(t) for t in TASKS])
    assert plain["all"].to_numpy() == pytest.approx(plain["without"].to_numpy(), abs=1e-15)


def test_where_every_outcome_is_a_union_nothing_is_left() -> None:
    both = (Task("t0", implies=("t1",)), Task("t1", implies=("t0",)))
    frame = multitask.unions(evidence(predictions(TWO, prevalence=(0.4, 0.3))), both)
    assert frame["without"].isna().all()
    assert frame["all"].notna().all()


def test_coherence_counts_patients_whose_part_is_above_the_union() -> None:
    frame = predictions(TWO, repeats=2, unknown=0.3)
    risks = {"alone": (0.5, 0.4), "shared": (0.5, 0.7)}  # of t0, the union, and of t1
    for method, (union, part) in risks.items():
        own = frame["method"] == method
        frame.loc[own, ["p:t0", "p:t1", "p:t2"]] = union, part, union
        # in repeat 0 alone, the first 100 of 400 rows give t1 a risk of .9: a quarter in one of two repeats, .4 too much
        frame.loc[own & (frame["repeat"] == 0) & (frame["row"] < 100), "p:t1"] = 0.9
    found = multitask.coherence(evidence(frame), NESTED).set_index(["method", "part"])
    assert list(found.index) == [("alone", "t1"), ("alone", "t2"), ("shared", "t1"), ("shared", "t2")]
    assert found.loc[("alone", "t1"), "violations"] == pytest.approx((0.25 + 0) / 2)
    assert found.loc[("alone", "t1"), "mean_excess"] == pytest.approx(0.4 * 0.25 / 2)
    assert found.loc[("shared", "t1"), "violations"] == 1
    assert found.loc[("shared", "t1"), "mean_excess"] == pytest.approx((0.25 * 0.4 + 0.75 * 0.2 + 0.2) / 2)
    equal = found.loc[("alone", "t2"), ["violations", "mean_excess"]]
    assert list(equal) == [0, 0]


def test_coherence_is_of_the_cells_a_method_has() -> None:
    frame = predictions(TWO)
    above = frame.assign(**{"p:t1": np.where(frame["fold"] == 0, 0.0, 1.0)})
    lacking = above[(above["method"] != "shared") | (above["fold"] == 0)]
    found = multitask.coherence(evidence(lacking), NESTED[:2]).set_index("method")["violations"]
    assert (found["alone"], found["shared"]) == (0.75, 0.0)


def test_without_unions_there_is_nothing_to_be_coherent_with() -> None:
    elsewhere = Task("t1", implies=("not_here",))
    frame = multitask.coherence(evidence(predictions(TWO)), [Task("t0"), elsewhere, Task("t2")])
    assert frame.empty
    assert list(frame) == ["method", "part", "union", "violations", "mean_excess"]


# ---- affinity


def cells(facts: Mapping[str, Sequence[object]]) -> pd.DataFrame:
    return pd.DataFrame([{"method": m, "facts": one} for m, each in facts.items() for one in each])


def diagnosed(affinity: float | None, cosine: float | None) -> dict[str, object]:
    measures = {"affinity": {"t0 -> t1": {"value": affinity}}, "gradients": {"t0 ~ t1": {"value": cosine, "label_phi": 9.0}}}
    return {"diagnosis": measures}


def test_affinity_is_a_mean_over_methods_of_means_over_cells() -> None:
    found = evidence(predictions(TWO | {"deep": 0.3}))
    facts = {
        "shared": [diagnosed(0.1, 0.5), diagnosed(0.3, None)],
        "deep": [diagnosed(0.6, -0.1)],
        "alone": [{}],
        "gone": [diagnosed(9, 9)],
    }
    frame = multitask.affinity(found, cells(facts))
    assert len(frame) == 3 * 2
    there, back = row(frame, task="t0", other="t1"), row(frame, task="t1", other="t0")
    assert there["affinity"] == pytest.approx(((0.1 + 0.3) / 2 + 0.6) / 2)
    assert math.isnan(back["affinity"])  # of a step for t1 nothing is known
    assert there["cosine"] == back["cosine"] == pytest.approx((0.5 - 0.1) / 2)
    assert frame[frame["task"] == "t2"][["affinity", "cosine"]].isna().all(axis=None)


def test_phi_is_the_correlation_of_labels_that_are_both_known() -> None:
    # of the 10 rows where both are known: both 3, only the first 1, only the second 2, neither 4
    # phi = (3 * 4 - 1 * 2) / sqrt(4 * 6 * 5 * 5) = 10 / sqrt(600)
    y0 = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, np.nan]
    y1 = [1, 1, 1, 0, 1, 1, 0, 0, 0, 0, np.nan, 1]
    frame = predictions(TWO, n=120, folds=2, repeats=2)
    frame["y:t0"], frame["y:t1"], frame["y:t2"] = np.array(y0 * 40), np.array(y1 * 40), 0.0
    found = multitask.affinity(evidence(frame), cells({"alone": [{}]}))
    assert row(found, task="t0", other="t1")["phi"] == pytest.approx(10 / math.sqrt(600), abs=1e-12)
    assert row(found, task="t1", other="t0")["phi"] == pytest.approx(10 / math.sqrt(600), abs=1e-12)
    assert math.isnan(row(found, task="t0", other="t2")["phi"])  # never happens
