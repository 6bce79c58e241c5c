"""What methods cost, and who is on the Pareto front."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench import stats
from bench.stats import costs


def test_pareto_by_hand() -> None:
    # a: cheapest. b: dearer and better. c: as dear as b, worse. d: dearer, no better than b. e, f: twins, the best. g: unknown
    cost = [1, 2, 2, 3, 4, 4, np.nan, 0]
    value = [0.6, 0.7, 0.65, 0.7, 0.8, 0.8, 0.9, np.nan]
    assert list(costs.pareto(cost, value)) == [True, True, False, False, True, True, False, False]
    assert len(costs.pareto([], [])) == 0


@given(arrays(float, st.tuples(st.integers(1, 12), st.just(2)), elements=st.sampled_from([0.0, 1.0, 2.0, 3.0, np.nan])))
def test_pareto_is_what_nobody_dominates(points: Any) -> None:
    def dominates(j: int, i: int) -> bool:
        (cj, vj), (ci, vi) = points[j], points[i]
        return cj <= ci and vj >= vi and (cj < ci or vj > vi)

    known = ~np.isnan(points).any(axis=1)
    expected = [known[i] and not any(dominates(j, i) for j in range(len(points))) for i in range(len(points))]
    assert list(costs.pareto(points[:, 0], points[:, 1])) == expected


def made(strength: dict[str, float], without: dict[str, int] | None = None) -> stats.Evidence:
    """Two outcomes, two folds. strength: of each method's signal. without: the fold a method lacks."""
    rng = np.random.default_rng(0)
    n = 200
    y = (rng.random((n, 2)) < 0.4).astype(float)
    noise = rng.normal(size=y.shape)
    frames: list[pd.DataFrame] = []
    for method, size in strength.items():
        p = 1 / (1 + np.exp(-(size * y + noise)))
        columns = {"method": method, "repeat": 0, "fold": np.arange(n) % 2, "row": np.arange(n), "view": "test"}
        frame = pd.DataFrame(columns | {f"y:{t}": y[:, t] for t in (0, 1)} | {f"p:{t}": p[:, t] for t in (0, 1)})
        frames.append(frame[frame["fold"] != (without or {}).get(method, -1)])
    cohort = pd.DataFrame({"row": np.arange(n), "group": np.arange(n).astype(str)})
    families = {"a": "trees", "b": "sharing"}
    found = stats.gather(pd.concat(frames), cohort, ["0", "1"], list(strength), "a", families=families, resamples=20)
    assert found is not None
    return found


def cell(method: str, seconds: float, status: str = "done", joules: float | None = None, **facts: Any) -> dict[str, Any]:
    return {"method": method, "status": status, "seconds": seconds, "joules": joules, "facts": facts}


def test_costs_are_sums_of_seconds_and_joules_and_means_of_parameters() -> None:
    found = made({"a": 1.0, "b": 2.0, "c": 3.0})
    cells = pd.DataFrame([
        cell("a", 1.5, parameters=10, joules=3.0), cell("a", 2.5, parameters=20, joules=4.0),
        cell("b", 1.0, parameters=5, joules=1.0), cell("b", 1.0, parameters=None),
        cell("c", 9.0, "failed"), cell("z", 1.0),
    ])  # fmt: skip
    frame = costs.costs(found, cells).set_index("method")
    assert list(frame.index) == ["a", "b", "c"]
    assert list(frame["family"]) == ["trees", "sharing", ""]
    assert list(frame["seconds"])[:2] == [4.0, 2.0]
    assert list(frame["parameters"])[:2] == [15.0, 5.0]
    assert frame.loc["a", "joules"] == 7.0
    assert frame["joules"].isna().to_list() == [False, True, True]  # one cell of b does not tell, c has none
    assert frame[["seconds", "parameters"]].isna().to_numpy().tolist() == [[False] * 2, [False] * 2, [True] * 2]
    assert list(frame["cells"]) == [2, 2, 0]
    scores = stats.score(found).scores.query("task == 'mean'").set_index(["method", "metric"])["value"]
    for method in ("a", "b", "c"):
        assert frame.loc[method, "auroc"] == scores[method, "auroc"]
        assert frame.loc[method, "ap"] == scores[method, "ap"]


def test_the_front_is_of_methods_with_every_cell() -> None:
    cells = pd.DataFrame([cell(m, s, parameters=k) for m, s, k in (("a", 3.0, 1), ("b", 2.0, 2), ("c", 1.0, 1))])
    whole, part = (costs.costs(made({"a": 1.0, "b": 2.0, "c": 3.0}, w), cells).set_index("method") for w in (None, {"c": 0}))
    # c is the best and the cheapest; without one of its folds it is out of the running, and b is both faster and better than a
    assert list(whole["pareto_seconds"]) == [False, False, True]
    assert list(part["pareto_seconds"]) == [False, True, False]
    assert list(part["pareto_parameters"]) == list(part["pareto_parameters_ap"]) == [True, True, False]
    assert list(part["pareto_seconds_ap"]) == [False, True, False]
    assert part.loc["c", "seconds"] == pytest.approx(1.0)  # shown all the same
