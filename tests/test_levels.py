"""Tests with modalities missing: at rate 0 the table itself, what is lost is paired, nothing is lost by who does not look."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import stats
from bench.core import BenchError
from bench.stats import Evidence, levels
from bench.stats.joining import joined

N, FOLDS, TASKS = 360, 3, ("death", "stroke")
RNG = np.random.default_rng(5)
Z = RNG.normal(size=(N, 2))
Y = (Z + RNG.normal(size=(N, 2)) > [0.5, 1.0]).astype(float)
NOISE = RNG.normal(size=(N, 2))
VIEWS = {"test:missing=0.25": 0.7, "test:missing=0.5": 1.6}
CELLS = pd.DataFrame(
    [
        {"method": m, "repeat": 0, "fold": f, "masked": {"test:missing=0.25": 0.2 + 0.01 * f, "test:missing=0.5": 0.4}}
        for m in ("good", "blind")
        for f in range(FOLDS)
    ]
)


def frame(method: str, view: str, p: np.ndarray, y: np.ndarray = Y) -> pd.DataFrame:
    columns: dict[str, Any] = {"method": method, "repeat": 0, "fold": np.arange(N) % FOLDS, "row": np.arange(N), "view": view}
    columns |= {f"y:{task}": y[:, t] for t, task in enumerate(TASKS)} | {f"p:{task}": p[:, t] for t, task in enumerate(TASKS)}
    return pd.DataFrame(columns)


def risk(noise: float) -> np.ndarray:
    return 1 / (1 + np.exp(-(Z + noise * NOISE)))


def predictions(y: np.ndarray = Y) -> pd.DataFrame:
    """`good` gets worse with the rate; `blind` predicts one number for all, whatever is missing."""
    views = {"test": 0.3} | VIEWS
    made = [frame("good", view, risk(noise), y) for view, noise in views.items()]
    return pd.concat([*made, *(frame("blind", view, np.full((N, 2), 0.3), y) for view in views)], ignore_index=True)


def evidence(given: pd.DataFrame, resamples: int = 60, **columns: Any) -> Evidence:
    ids = np.arange(N).astype(str)
    cohort = pd.DataFrame({"row": np.arange(N), "patient": ids, "group": ids, **columns})
    made = stats.gather(given, cohort, TASKS, ["good", "blind"], "good", resamples=resamples)
    assert made is not None
    return made


def row(table: pd.DataFrame, **where: Any) -> Mapping[str, Any]:
    (found,) = table[np.logical_and.reduce([table[key] == value for key, value in where.items()])].to_dict("records")
    return found


@pytest.mark.parametrize("how", ["percentile", "bca"])
def test_at_0_it_is_the_table(how: str) -> None:
    given = predictions()
    made = evidence(given)
    keys, numbers = ["method", "task", "metric"], ["value", "low", "high"]
    scores = stats.score(made, interval=how).scores.set_index(keys)
    found = levels.robustness(made, given, CELLS, how)
    at_0 = found[found["missing"] == 0].set_index(keys)
    assert len(at_0) == 2 * 3 * 4
    np.testing.assert_allclose(at_0[numbers].astype(float), scores.loc[at_0.index, numbers].astype(float), rtol=0, atol=1e-12)
    # nothing is lost at 0; NaN only where the table has no number: none here
    assert (at_0[["lost", "lost_low", "lost_high", "masked"]] == 0).all(axis=None)


def test_a_further_view_is_scored_as_if_it_were_the_test() -> None:
    """The same predictions as the only ones of another run give the same value and interval: one seed, one set of draws."""
    given = predictions()
    found = levels.robustness(evidence(given), given, CELLS)
    alone = given[given["view"] == "test:missing=0.5"].assign(view="test")
    keys, numbers = ["method", "task", "metric"], ["value", "low", "high"]
    scores = stats.score(evidence(alone)).scores.set_index(keys)
    at = found[found["missing"] == 0.5].set_index(keys)
    np.testing.assert_allclose(at[numbers].astype(float), scores.loc[at.index, numbers].astype(float), rtol=0, atol=1e-12)


def test_what_is_lost_is_paired() -> None:
    given = predictions()
    made = evidence(given, resamples=200)
    found = levels.robustness(made, given, CELLS)
    lost = [row(found, method="good", task="mean", metric="auroc", missing=rate) for rate in (0.25, 0.5)]
    first = row(found, method="good", task="mean", metric="auroc", missing=0.0)
    for one in lost:
        assert one["lost"] == pytest.approx(first["value"] - one["value"], abs=1e-12)
        assert one["lost_low"] < one["lost"] < one["lost_high"]
        # two intervals side by side would be as wide as both together; the paired one knows that they are the same patients
        assert one["lost_high"] - one["lost_low"] < np.hypot(one["high"] - one["low"], first["high"] - first["low"])
    assert 0 < lost[0]["lost"] < lost[1]["lost"]
    # the same differences, drawn by the comparison of two methods with the second view as the second method
    alone = given[(given["method"] == "good") & (given["view"] == "test:missing=0.5")].assign(view="test", method="blind")
    pair = evidence(pd.concat([given[(given["method"] == "good") & (given["view"] == "test")], alone]), resamples=200)
    other = row(stats.score(pair).comparisons, method="blind", task="death", metric="ap")
    own = row(found, method="good", task="death", metric="ap", missing=0.5)
    assert [own["lost"], own["lost_low"], own["lost_high"]] == pytest.approx(
        [-other["difference"], -other["high"], -other["low"]], abs=1e-12
    )


@pytest.mark.parametrize("how", ["percentile", "bca"])
def test_who_does_not_look_loses_nothing(how: str) -> None:
    given = predictions()
    found = levels.robustness(evidence(given), given, CELLS, how)
    blind = found[found["method"] == "blind"]
    assert (blind[["lost", "lost_low", "lost_high"]] == 0).all(axis=None)
    assert (blind.loc[blind["metric"] == "auroc", "value"] == 0.5).all()


def test_the_share_that_is_gone_is_the_cells_mean() -> None:
    given = predictions()
    made = evidence(given)
    found = levels.robustness(made, given, CELLS)
    # 0.2, 0.21 and 0.22 of three folds: 0.21
    assert row(found, method="good", task="mean", metric="auroc", missing=0.25)["masked"] == pytest.approx(0.21)
    assert row(found, method="good", task="mean", metric="auroc", missing=0.5)["masked"] == pytest.approx(0.4)
    unsaid = levels.robustness(made, given, CELLS.drop(columns="masked"))
    assert unsaid.loc[unsaid["missing"] > 0, "masked"].isna().all()


def test_a_method_is_scored_on_the_cells_it_has_and_loses_on_those_of_both() -> None:
    given = predictions()
    partly = given[~((given["method"] == "good") & (given["view"] == "test:missing=0.5") & (given["fold"] == 0))]
    found = levels.robustness(evidence(partly), partly, CELLS)
    own = row(found, method="good", task="death", metric="auroc", missing=0.5)
    shared = given[given["fold"] != 0]
    alone = levels.robustness(evidence(shared), shared, CELLS)
    same = row(alone, method="good", task="death", metric="auroc", missing=0.5)
    assert own["value"] == pytest.approx(same["value"], abs=1e-12)
    assert own["lost"] == pytest.approx(same["lost"], abs=1e-12)
    whole = row(levels.robustness(evidence(given), given, CELLS), method="good", task="death", metric="auroc", missing=0.25)
    assert row(found, method="good", task="death", metric="auroc", missing=0.25) == pytest.approx(whole, nan_ok=True)


def test_few_events_unknown_labels_and_weights_are_as_in_the_table() -> None:
    y = Y.copy()
    y[::7, 0] = np.nan
    y[:, 1] = np.arange(N) < 12  # events of the second outcome: 12, an AUROC and no more
    weights = {"weight:death": np.random.default_rng(1).uniform(1, 3, N)}
    given = predictions(y)
    made = evidence(given, **weights)
    found = levels.robustness(made, given, CELLS)
    stroke = found[found["task"] == "stroke"].set_index(["metric", "missing", "method"])
    assert stroke.loc["auroc", ["value", "low", "high"]].notna().all(axis=None)
    assert stroke["lost"].isna().all()  # a comparison needs 20
    assert stroke.loc[["ap", "brier", "log_loss"], "value"].isna().all()
    scores = stats.score(made).scores.set_index(["method", "task", "metric"])
    own = row(found, method="good", task="death", metric="ap", missing=0.0)
    assert own["value"] == pytest.approx(scores.loc[("good", "death", "ap"), "value"], abs=1e-12)


def test_without_such_views_there_is_no_table() -> None:
    given = predictions()
    plain = given[given["view"] == "test"]
    empty = levels.robustness(evidence(plain), plain, CELLS)
    assert empty.empty
    assert list(empty.columns) == levels.ROBUSTNESS
    one = given[(given["view"] == "test") | (given["method"] == "good")]
    assert set(levels.robustness(evidence(one), one, CELLS)["method"]) == {"good"}


def test_other_rows_cannot_be_joined() -> None:
    made = evidence(predictions())
    other = frame("x", "test", risk(1.0))
    with pytest.raises(BenchError, match="must have the test rows and labels of the table in repeat 0, fold 0"):
        joined(made, other[other["row"] != 3], ["x"])
    with pytest.raises(BenchError, match="must have the test rows and labels"):
        joined(made, other.assign(**{"y:death": 0.0}), ["x"])
    again = joined(made, other.assign(repeat=9), ["x"])  # a cell that the evidence does not have
    assert not again.plan.scope[again.labels.index("x")].any()


def test_joining_leaves_the_evidence_as_it_was() -> None:
    made = evidence(predictions())
    both = joined(made, frame("x", "test", risk(1.0)), ["x"])
    assert both.counts is made.counts
    np.testing.assert_array_equal(both.found.values[:2], made.found.values)
    assert both.labels == ("good", "blind", "x")
