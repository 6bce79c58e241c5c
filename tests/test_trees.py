from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import checks, registry
from bench.core import Cohort, Run, Tabular, Task

pytestmark = pytest.mark.parametrize("name", ["xgboost", "lightgbm", "catboost"])

Parts = tuple[Cohort, Cohort, Cohort]


@pytest.fixture(scope="module")
def parts(make_cohort: Callable[..., Cohort]) -> Parts:
    whole = make_cohort(n=700, weighted=True)
    return whole.rows(np.arange(400)), whole.rows(np.arange(400, 550)), whole.rows(np.arange(550, 700))


def log_loss(cohort: Cohort, p: np.ndarray, task: int) -> float:
    known = cohort.mask[:, task]
    y, q = cohort.labels[known, task], p[known, task].astype(float)
    return float(np.average(-np.log(np.where(y == 1, q, 1 - q)), weights=cohort.loss_weights[known, task]))


def test_the_best_round_by_weighted_validation_loss_is_used(name: str, parts: Parts) -> None:
    train, valid, _ = parts
    predictor = registry.method(f"{name}:rate=0.2").fit(train, valid, Run())
    p, scores = predictor.predict(valid.inputs), predictor.facts["scores"]
    for t in range(3):
        assert len(scores[t]) == predictor.facts["steps_per_task"][t] > int(np.argmin(scores[t])) + 1  # went on, and came back
        assert log_loss(valid, p, t) == pytest.approx(min(scores[t]), abs=1e-6)
    assert not predictor.facts["at_cap"]


def test_patience_ends_the_rounds(name: str, parts: Parts) -> None:
    scores = registry.method(f"{name}:rate=0.3:patience=7").fit(parts[0], parts[1], Run()).facts["scores"]
    assert [len(s) - 1 - int(np.argmin(s)) for s in scores] == [7, 7, 7]


def test_the_cap_is_told(name: str, parts: Parts) -> None:
    facts = registry.method(f"{name}:rounds=4").fit(parts[0], parts[1], Run()).facts
    assert (facts["at_cap"], facts["steps"]) == (True, 12)


def test_parameters_are_leaves(name: str, parts: Parts) -> None:
    # stumps: two leaves a round, three outcomes, the rounds up to the best
    stumps = {"lightgbm": "leaves=2"}.get(name, "depth=1")
    facts = registry.method(f"{name}:{stumps}:rate=0.3").fit(parts[0], parts[1], Run()).facts
    assert facts["parameters"] == sum(2 * (int(np.argmin(s)) + 1) for s in facts["scores"])


def test_rows_of_unknown_outcome_say_nothing(name: str) -> None:
    # Table only: the preparation of numbers has nothing fitted, so both fits must agree to the last bit
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    y = (x[:, :1] + rng.normal(size=(300, 1)) > 0).astype(float)
    y[::3] = np.nan

    def cohort(rows: Any) -> Cohort:
        frame = pd.DataFrame(x[rows], columns=list("abcd"))
        return checks.build("c", {"table": Tabular(frame)}, [Task("t")], y[rows], np.arange(300)[rows])

    valid = cohort(slice(200, 300))
    known = np.flatnonzero(~np.isnan(y[:200, 0]))
    kept, dropped = (
        registry.method(name).fit(cohort(rows), valid, Run()).predict(valid.inputs) for rows in (slice(0, 200), known)
    )
    assert kept.tobytes() == dropped.tobytes()


@pytest.mark.parametrize(("only", "expected"), [(0, 1e-7), (1, 1 - 1e-7)])
def test_an_outcome_of_one_class_is_a_constant(name: str, parts: Parts, only: int, expected: float) -> None:
    train, valid, test = parts
    bare = train.rows(train.labels[:, 1] != 1 - only)
    predictor = registry.method(name).fit(bare, valid, Run(quick=True))
    assert predictor.facts["constant"] == ["outcome_1"]
    assert (predictor.predict(test.inputs)[:, 1] == np.float32(expected)).all()
    assert predictor.facts["steps_per_task"][1] == 0


def test_validation_rows_of_one_class_do_not_stop_anything(name: str, parts: Parts) -> None:
    train, valid, test = parts
    predictor = registry.method(name).fit(train, valid.rows(valid.labels[:, 0] != 1), Run())
    assert predictor.facts["steps_per_task"][0] == 100
    assert predictor.facts["scores"][0] == []
    assert predictor.facts["at_cap"]
    assert np.isfinite(predictor.predict(test.inputs)).all()


def test_another_seed_is_another_fit(name: str, parts: Parts) -> None:
    a, b = (
        registry.method(name).fit(parts[0], parts[1], Run(seed=s, quick=True)).predict(parts[2].inputs) for s in (0, 2**63 - 3)
    )
    assert a.tobytes() != b.tobytes()


def test_codes_are_split_as_sets(name: str) -> None:
    # The outcome is whether a code of 40 is even: no threshold on the codes' order can say that in a few splits
    rng = np.random.default_rng(1)
    code = rng.integers(0, 40, 1500)
    frame = pd.DataFrame({"code": pd.Categorical([f"k{c:02d}" for c in code]), "noise": rng.normal(size=1500)})
    whole = checks.build("c", {"t": Tabular(frame)}, [Task("t")], (code % 2)[:, None], np.arange(1500))
    few = {
        "xgboost": "xgboost:rounds=30:rate=0.3:depth=2:columns=1",
        "lightgbm": "lightgbm:rounds=30:rate=0.3:leaves=4:columns=1",
        "catboost": "catboost:rounds=30:rate=0.3:depth=2:columns=1",
    }
    predictor = registry.method(few[name]).fit(whole.rows(np.arange(1000)), whole.rows(np.arange(1000, 1200)), Run())
    test = whole.rows(np.arange(1200, 1500))
    assert ((predictor.predict(test.inputs) > 0.5) == (test.labels == 1)).mean() > 0.95


def test_an_outcome_has_its_own_weights_alone(name: str) -> None:
    # Two outcomes at the same rows: what is binned once for both must not hand the first one's weights to the second
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    y = (x[:, :2] + rng.normal(size=(300, 2)) > 0).astype(float)

    def cohort(rows: slice, weights: Any) -> Cohort:
        frame, ids = pd.DataFrame(x[rows], columns=list("abcd")), np.arange(300)[rows]
        return checks.build("c", {"table": Tabular(frame)}, [Task("s"), Task("t")], y[rows], ids, weights=weights)

    valid = cohort(slice(200, 300), None)
    uneven = np.column_stack([rng.uniform(0.1, 9, 200), np.ones(200)])
    weighted, plain = (
        registry.method(name).fit(cohort(slice(0, 200), w), valid, Run()).predict(valid.inputs)[:, 1] for w in (uneven, None)
    )
    assert weighted.tobytes() == plain.tobytes()
