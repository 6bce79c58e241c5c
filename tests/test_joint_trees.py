"""One ensemble for all outcomes: XGBoost with vector leaves, CatBoost with soft labels; what they share with the forest."""

import pickle
from collections.abc import Callable
from typing import Any

import catboost
import numpy as np
import pandas as pd
import pytest
import xgboost
from scipy.special import expit, logit

from bench import checks, prep, registry
from bench.core import Cohort, Run, Tabular, Task
from bench.pertask import Block

xgboost_joint: Any = registry.module("methods", "xgboost_joint")
catboost_joint: Any = registry.module("methods", "catboost_joint")
BOOSTED = ["xgboost_joint", "catboost_joint"]
JOINT = [*BOOSTED, "random_forest"]
Parts = tuple[Cohort, Cohort, Cohort]


@pytest.fixture(scope="module")
def parts(make_cohort: Callable[..., Cohort]) -> Parts:
    whole = make_cohort(n=700, weighted=True)
    return whole.rows(np.arange(400)), whole.rows(np.arange(400, 550)), whole.rows(np.arange(550, 700))


def table(labels: np.ndarray, seed: int = 0, weights: np.ndarray | None = None) -> Cohort:
    """Four numbers a row and these labels (n, T)."""
    frame = pd.DataFrame(np.random.default_rng(seed).normal(size=(len(labels), 4)), columns=list("abcd"))
    tasks = [Task(f"t{i}") for i in range(labels.shape[1])]
    return checks.build("c", {"table": Tabular(frame)}, tasks, labels, np.arange(len(labels)), weights=weights)


def noisy_labels(n: int, tasks: int, seed: int = 0) -> np.ndarray:
    """Labels that lean on the numbers of `table(..., seed)`."""
    x = np.random.default_rng(seed).normal(size=(n, 4))
    return (x[:, :tasks] + np.random.default_rng(seed + 1).normal(size=(n, tasks)) > 0.5).astype(float)


def block(tasks: int = 3, seed: int = 0) -> tuple[Block, np.ndarray]:
    """40 rows with unknown and weighted labels, and log-odds."""
    rng = np.random.default_rng(seed)
    y = (rng.random((40, tasks)) < 0.4).astype(float)
    y[rng.random(y.shape) < 0.3] = np.nan
    y[:, 0] = np.nan_to_num(y[:, 0])  # every row has a known label
    w = np.where(np.isnan(y), 0.0, rng.uniform(0.5, 3, y.shape))
    return Block(np.zeros((40, 1)), y, w), rng.normal(size=y.shape)


def cross_entropy(label: Any, z: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, z) - label * z


def slopes(f: Callable[[np.ndarray], np.ndarray], z: np.ndarray) -> np.ndarray:
    """Central differences of a loss whose entries depend on their own z alone."""
    return (f(z + 1e-5) - f(z - 1e-5)) / 2e-5


def law_derivatives_are_those_of_the_masked_weighted_loss() -> None:
    data, z = block()
    g, h = xgboost_joint.derivatives(data, z)
    known = data.w > 0
    np.testing.assert_allclose(g, slopes(lambda u: data.w * cross_entropy(data.target, u), z), atol=1e-6)
    np.testing.assert_allclose(
        h[known], slopes(lambda u: xgboost_joint.derivatives(data, u)[0].astype(float), z)[known], atol=0.02
    )
    assert (g[~known] == 0).all()
    assert (h[~known] == np.float32(1e-6)).all()


def law_hiding_labels_changes_no_other_derivative() -> None:
    data, z = block()
    fewer = Block(data.x, data.y.copy(), data.w.copy())
    fewer.y[::2, 1], fewer.w[::2, 1] = np.nan, 0
    for whole, part in zip(xgboost_joint.derivatives(data, z), xgboost_joint.derivatives(fewer, z), strict=True):
        assert (whole[:, [0, 2]] == part[:, [0, 2]]).all()
        assert (whole[1::2, 1] == part[1::2, 1]).all()


def law_soft_labels_have_the_derivative_of_the_masked_weighted_loss() -> None:
    data, z = block()
    q, v = catboost_joint.soft_labels(data, z)
    assert ((q >= 0) & (q <= 1)).all()
    np.testing.assert_allclose(v[:, None] * (expit(z) - q), data.w * (expit(z) - data.target), atol=1e-12)


def law_soft_labels_add_nothing_but_a_pull_to_the_present() -> None:
    # v CE(q, u) = w CE(y, u) + (v - w) CE(p, u) at every u, and CE(p, u) is least at u = z
    data, z = block()
    q, v = catboost_joint.soft_labels(data, z)
    u = z + np.random.default_rng(5).normal(size=z.shape)
    pull = (v[:, None] - data.w) * cross_entropy(expit(z), u)
    np.testing.assert_allclose(v[:, None] * cross_entropy(q, u), data.w * cross_entropy(data.target, u) + pull, atol=1e-12)


def law_soft_labels_are_the_labels_where_nothing_is_missing() -> None:
    data, z = block()
    even = Block(data.x, data.target, np.repeat(np.linspace(1, 2, 40)[:, None], 3, axis=1))
    q, v = catboost_joint.soft_labels(even, z)
    np.testing.assert_allclose(q, data.target, atol=1e-15)
    assert (v == even.w[:, 0]).all()


@pytest.mark.parametrize("name", JOINT)
def test_an_outcome_given_twice_is_predicted_alike(name: str) -> None:
    y = noisy_labels(400, 2)
    y[::3, 0] = np.nan
    whole = table(y[:, [0, 1, 0]])
    p = (
        registry.method(name)
        .fit(whole.rows(np.arange(300)), whole.rows(np.arange(300, 400)), Run(quick=True))
        .predict(whole.inputs)
    )
    np.testing.assert_allclose(p[:, 0], p[:, 2], atol=1e-6)
    assert np.abs(p[:, 0] - p[:, 1]).mean() > 0.05


@pytest.mark.parametrize("name", JOINT)
def test_rows_without_any_known_label_say_nothing(name: str) -> None:
    y = noisy_labels(400, 2)
    y[: 300 : 3] = np.nan  # fmt: skip
    y[1:300:9, 1] = np.nan
    whole, rows = table(y), np.arange(300)
    kept, dropped = (
        registry.method(name).fit(whole.rows(some), whole.rows(np.arange(300, 400)), Run(seed=1)).predict(whole.inputs)
        for some in (rows, rows[~np.isnan(y[:300, 0])])
    )
    assert kept.tobytes() == dropped.tobytes()


@pytest.mark.parametrize("name", JOINT)
def test_an_outcome_that_never_happened_is_left_out_of_the_trees(name: str, parts: Parts) -> None:
    train, valid, test = parts
    bare = train.rows(train.labels[:, 1] != 1)
    predictor = registry.method(name).fit(bare, valid, Run(quick=True))
    assert predictor.facts["constant"] == ["outcome_1"]
    assert (predictor.predict(test.inputs)[:, 1] == np.float32(1e-7)).all()
    never = bare.rows((bare.labels != 1).all(axis=1))
    nothing = registry.method(name).fit(never, valid, Run(quick=True))
    assert (nothing.predict(test.inputs) == np.float32(1e-7)).all()
    assert nothing.facts["steps"] == 0


@pytest.mark.parametrize("name", JOINT)
def test_inputs_all_alike_leave_the_prevalence(name: str) -> None:
    y, w = noisy_labels(100, 2), np.random.default_rng(0).uniform(1, 2, (100, 2))
    frame = pd.DataFrame({"a": np.ones(100), "b": np.full(100, np.nan)})
    whole = checks.build("c", {"t": Tabular(frame)}, [Task("u"), Task("v")], y, np.arange(100), weights=w)
    p = registry.method(name).fit(whole, whole, Run(quick=True)).predict(whole.inputs)
    np.testing.assert_allclose(p, np.tile(np.average(y, weights=w.astype(np.float32), axis=0), (100, 1)), atol=1e-6)


@pytest.mark.parametrize("name", JOINT)
def test_another_seed_is_another_fit(name: str, parts: Parts) -> None:
    a, b = (
        registry.method(name).fit(parts[0], parts[1], Run(seed=s, quick=True)).predict(parts[2].inputs) for s in (0, 2**63 - 3)
    )
    assert a.tobytes() != b.tobytes()


def relative_loss(cohort: Cohort, p: np.ndarray) -> float:
    """Log loss over the entropy of the prevalence, outcomes of e events weighing e / (e + 10)."""
    out, votes = [], []
    for y, q, w in zip(cohort.labels.T, p.T.astype(float), cohort.loss_weights.T, strict=True):
        rate, told = np.average(np.nan_to_num(y), weights=w), ~np.isnan(y)
        loss = np.average(-np.log(np.where(y == 1, q, 1 - q)[told]), weights=w[told])
        out.append(loss / -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate)))
        votes.append((y == 1).sum() / ((y == 1).sum() + 10))
    return float(np.average(out, weights=votes))


@pytest.mark.parametrize("name", BOOSTED)
def test_the_best_round_by_the_validation_loss_is_used(name: str, parts: Parts) -> None:
    train, valid, _ = parts
    predictor = registry.method(f"{name}:rate=0.2").fit(train, valid, Run())
    scores = predictor.facts["scores"]
    assert len(scores) == predictor.facts["steps"] > int(np.argmin(scores)) + 1  # went on, and came back
    assert relative_loss(valid, predictor.predict(valid.inputs)) == pytest.approx(min(scores), abs=1e-6)
    assert not predictor.facts["at_cap"]


def test_patience_ends_the_rounds(parts: Parts) -> None:
    for name, more in (("xgboost_joint", 1), ("catboost_joint:refresh=4", 4)):
        scores = registry.method(f"{name}:rate=0.3:patience=7").fit(parts[0], parts[1], Run()).facts["scores"]
        assert 7 <= len(scores) - 1 - int(np.argmin(scores)) + 1 < 7 + 1 + more


@pytest.mark.parametrize("name", BOOSTED)
def test_the_cap_is_told_and_parameters_are_leaves(name: str, parts: Parts) -> None:
    # four stumps at most: 2 leaves of 3 values a round
    facts = registry.method(f"{name}:rounds=4:depth=1").fit(parts[0], parts[1], Run()).facts
    assert (facts["at_cap"], facts["steps"]) == (True, 4)
    assert facts["parameters"] == 6 * (int(np.argmin(facts["scores"])) + 1)


@pytest.mark.parametrize("name", BOOSTED)
def test_validation_rows_without_both_classes_do_not_stop_anything(name: str, parts: Parts) -> None:
    train, valid, test = parts
    predictor = registry.method(name).fit(train, valid.rows((valid.labels != 1).all(axis=1)), Run())
    assert (predictor.facts["steps"], predictor.facts["scores"], predictor.facts["at_cap"]) == (100, [], True)
    assert np.isfinite(predictor.predict(test.inputs)).all()


def test_xgboost_starts_at_the_weighted_prevalence(parts: Parts) -> None:
    train, valid, test = parts
    p = registry.method("xgboost_joint:rounds=1:rate=1e-6").fit(train, valid, Run()).predict(test.inputs)
    rate = np.average(np.nan_to_num(train.labels), weights=train.loss_weights, axis=0)
    np.testing.assert_allclose(p, np.tile(rate, (150, 1)), atol=1e-5)


def test_xgboost_with_one_outcome_is_the_library_s_own_logistic() -> None:
    y = noisy_labels(200, 1)  # fewer rows than bins: the weights, which the library would bin by, make no difference
    train, never = (
        table(y, weights=np.random.default_rng(3).uniform(0.5, 2, y.shape)),
        table(np.eye(20, 1)).rows(np.arange(1, 20)),
    )
    p = registry.method("xgboost_joint:rounds=40:rows=1:columns=1").fit(train, never, Run()).predict(train.inputs)
    x, w = prep.flatten(train)(train.inputs), train.loss_weights[:, 0]
    settings = {
        "objective": "binary:logistic", "base_score": float(np.average(y[:, 0], weights=w)), "eta": 0.03, "max_depth": 4,
        "nthread": 1, "min_child_weight": 2.0, "lambda": 5.0, "tree_method": "hist",
    }  # fmt: skip
    oracle = xgboost.train(settings, xgboost.DMatrix(x, label=y[:, 0], weight=w), 40).predict(xgboost.DMatrix(x))
    np.testing.assert_allclose(p[:, 0], oracle, atol=2e-6)


def test_xgboost_splits_codes_by_category_and_leaves_missing_ones_missing(make_cohort: Callable[..., Cohort]) -> None:
    train = make_cohort(n=200)
    flat = prep.flatten(train)
    x, wide = flat(train.inputs), xgboost_joint.Categories.of(flat)(train.inputs)
    codes = np.flatnonzero(flat.categorical)
    assert wide.shape[1] == x.shape[1] - 2 + 2 + 4  # sex has 2 categories, ward 4
    ward, columns = x[:, codes[1]], wide[:, -4:]
    assert (np.isnan(columns) == np.isnan(ward)[:, None]).all()
    known = ~np.isnan(ward)
    assert (columns[known].argmax(axis=1) == ward[known]).all()
    assert (columns[known].sum(axis=1) == 1).all()


def law_catboost_with_all_labels_known_is_the_library_s_multilogloss() -> None:
    y = noisy_labels(400, 3)
    train = table(y, weights=np.repeat(np.linspace(0.5, 2, 400)[:, None], 3, axis=1))
    never = table(np.eye(20, 3)).rows(np.arange(3, 20))  # nothing to stop by: 100 rounds
    p = registry.method("catboost_joint:refresh=100").fit(train, never, Run(seed=5)).predict(train.inputs)
    settings = {
        "loss_function": "MultiLogloss", "learning_rate": 0.05, "depth": 5, "l2_leaf_reg": 3.0, "rsm": 0.5, "border_count": 32,
        "boosting_type": "Plain", "leaf_estimation_iterations": 1, "random_seed": 5, "thread_count": 1,
        "allow_writing_files": False, "verbose": False,
    }  # fmt: skip
    x, w = prep.flatten(train)(train.inputs), train.loss_weights[:, 0]
    pool = catboost.Pool(x, y, weight=w)
    start = catboost.train(pool, settings | {"iterations": 1})
    start.set_leaf_values(np.tile(logit(np.average(y, weights=w, axis=0)), start.get_tree_leaf_counts()[0]))
    model = catboost.train(pool, settings | {"iterations": 100}, init_model=pickle.loads(pickle.dumps(start)))
    np.testing.assert_allclose(p, model.predict(x, prediction_type="Probability"), atol=1e-5)


def law_leaf_values_are_newton_steps_over_known_labels() -> None:
    # one tree, leaves {0, 1} and {2, 3}, p = .5, l2 = 1, rate = 1; mean weights 4/3 (0, 2, 3 known) and 2
    y = np.array([[1, 1], [np.nan, 0], [0, np.nan], [1, np.nan]])
    data = Block(np.zeros((4, 1)), y, np.array([[2.0, 1], [0, 3], [1, 0], [1, 0]]))
    values, z = catboost_joint.newton(data, np.zeros((4, 2)), np.array([[0], [0], [1], [1]]), np.array([2]), 1.0, 1.0)
    # left: G = -1, H = 1/2 -> 1 / (1/2 + 4/3) = 6/11; G = -1/2 + 3/2, H = 1/4 + 3/4 -> -1/3. right: G = 1/2 - 1/2; nothing known
    np.testing.assert_allclose(values, [[6 / 11, -1 / 3], [0, 0]], atol=1e-15)
    np.testing.assert_allclose(z, [[6 / 11, -1 / 3], [6 / 11, -1 / 3], [0, 0], [0, 0]], atol=1e-15)


@pytest.mark.parametrize(("name", "least"), [("xgboost_joint", 0.6), ("catboost_joint", 0.7)])
def test_labels_missing_where_events_are_likely_do_not_pull_down(name: str, least: float) -> None:
    # Nine tenths of the second outcome unknown where x > 0, where its mean risk is .78; among the known its prevalence is .27.
    # Unknown taken for 0 predicts .08 there. XGBoost's clock is stopped early by the first outcome, which is noise.
    rng = np.random.default_rng(0)
    x = rng.normal(size=1800)
    risk = np.column_stack([np.full(1800, 0.4), expit(2 * x)])
    y = (rng.random((1800, 2)) < risk).astype(float)
    y[(x > 0) & (rng.random(1800) < 0.9), 1] = np.nan
    frame = pd.DataFrame({"x": x, "noise": rng.normal(size=1800)})
    whole = checks.build("c", {"t": Tabular(frame)}, [Task("u"), Task("v")], y, np.arange(1800))
    train, valid = whole.rows(np.arange(1300)), whole.rows(np.arange(1300, 1800))
    p = registry.method(f"{name}:rate=0.1").fit(train, valid, Run()).predict(whole.inputs)
    assert least < p[x > 0, 1].mean() < 0.85


# Each law fails where it is broken


def unknown_as_no_event(data: Block, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p = expit(z)
    return (p - data.target).astype(np.float32), (p * (1 - p)).astype(np.float32)


def rows_of_complete_labels(data: Block, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p, w = expit(z), np.where((data.w > 0).all(axis=1, keepdims=True), data.w, 0)
    return (w * (p - data.target)).astype(np.float32), np.maximum(w * p * (1 - p), 1e-6).astype(np.float32)


def half_for_unknown(data: Block, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    v = data.w.max(axis=1)
    return 0.5 + data.w / v[:, None] * (data.target - 0.5), v


def smoothed(data: Block, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p = expit(z)
    return p + 0.9 * (data.w > 0) * (data.target - p), data.w.max(axis=1)


def newton_on_all(data: Block, *rest: Any) -> Any:
    return NEWTON(Block(data.x, data.target, np.repeat(data.w.max(axis=1, keepdims=True), data.w.shape[1], axis=1)), *rest)


def newton_without_scale(data: Block, z: np.ndarray, leaves: Any, counts: Any, rate: float, l2: float) -> Any:
    return NEWTON(data, z, leaves, counts, rate, l2 / 2)


NEWTON = catboost_joint.newton
LAWS = [law for name, law in list(globals().items()) if name.startswith("law_")]
MUTATIONS: list[tuple[Callable[[], None], Any, str, Any]] = [
    (LAWS[0], xgboost_joint, "derivatives", unknown_as_no_event),
    (LAWS[0], xgboost_joint, "derivatives", rows_of_complete_labels),
    (LAWS[1], xgboost_joint, "derivatives", rows_of_complete_labels),
    (LAWS[2], catboost_joint, "soft_labels", half_for_unknown),
    (LAWS[3], catboost_joint, "soft_labels", half_for_unknown),
    (LAWS[4], catboost_joint, "soft_labels", smoothed),
    (LAWS[5], catboost_joint, "soft_labels", smoothed),
    (LAWS[5], catboost_joint, "newton", newton_without_scale),
    (LAWS[6], catboost_joint, "newton", newton_on_all),
    (LAWS[6], catboost_joint, "newton", newton_without_scale),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Callable[[], None]) -> None:
    law()


@pytest.mark.parametrize(("law", "module", "name", "mutant"), MUTATIONS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_law_fails_under_mutation(
    law: Callable[[], None], module: Any, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, mutant)
    with pytest.raises(AssertionError):
        law()


def test_every_law_has_a_mutation() -> None:
    assert {law for law, *_ in MUTATIONS} == set(LAWS)
