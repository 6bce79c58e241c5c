"""scikit-learn's classifiers as methods: what they are given, what is read off them, and what is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from bench import harness, prep, registry
from bench.core import BenchError, Cohort, Run
from bench.wrap import estimator, estimator_method

Parts = tuple[Cohort, Cohort, Cohort]


def parts(whole: Cohort) -> Parts:
    return whole.rows(np.arange(300)), whole.rows(np.arange(300, 400)), whole.rows(np.arange(400, 500))


@pytest.fixture(scope="module")
def complete(make_cohort: Callable[..., Cohort]) -> Parts:
    return parts(make_cohort(missing_labels=0.0))


@pytest.fixture(scope="module")
def gaps(make_cohort: Callable[..., Cohort]) -> Parts:
    return parts(make_cohort(weighted=True))


def fitted(text: str, given: Parts) -> Any:
    return registry.method(f"sklearn:estimator={text}").fit(given[0], given[1], Run(seed=5))


def test_one_joint_model_of_complete_labels_is_the_classifiers_own(complete: Parts) -> None:
    train, _, test = complete
    found = fitted("ensemble.RandomForestClassifier:n_estimators=9:max_depth=4:joint=true", complete)
    flat = prep.flatten(train)
    oracle = RandomForestClassifier(9, max_depth=4, random_state=5).fit(flat(train.inputs), train.labels.astype(int))
    expected = np.column_stack([p[:, 1] for p in oracle.predict_proba(flat(test.inputs))])
    np.testing.assert_allclose(found.predict(test.inputs), expected.clip(1e-7, 1 - 1e-7), atol=1e-7)
    leaves = sum(int(tree.tree_.n_leaves) for tree in oracle.estimators_)
    assert (found.facts["models"], found.facts["steps"], found.facts["parameters"]) == (1, 9, 3 * leaves)


def test_outcomes_that_lack_other_rows_have_models_of_their_own(gaps: Parts) -> None:
    assert fitted("tree.DecisionTreeClassifier:max_depth=2:joint=true", gaps).facts["models"] == 3


def test_the_default_is_stopped_by_the_validation_rows_with_weights_and_sets_of_codes(gaps: Parts) -> None:
    train, valid, test = gaps
    found = registry.method("sklearn:learning_rate=0.3").fit(train, valid, Run(seed=5))
    flat = prep.flatten(train)
    data = [
        (flat(c.inputs)[c.mask[:, 1]], c.labels[c.mask[:, 1], 1].astype(int), c.loss_weights[c.mask[:, 1], 1].astype(float))
        for c in gaps[:2]
    ]
    (x, y, w), (xv, yv, wv) = data
    model = HistGradientBoostingClassifier(
        learning_rate=0.3, min_samples_leaf=5, early_stopping=True, random_state=5, categorical_features=flat.categorical
    )
    model.fit(x, y, sample_weight=w / w.mean(), X_val=xv, y_val=yv, sample_weight_val=wv / wv.mean())
    np.testing.assert_allclose(found.predict(test.inputs)[:, 1], model.predict_proba(flat(test.inputs))[:, 1], atol=1e-6)
    assert len(found.facts["scores"][1]) == model.n_iter_ + 1 < 101  # that of the prevalence comes first
    assert not found.facts["at_cap"]
    assert registry.method("sklearn:max_iter=2").fit(train, valid, Run()).facts["at_cap"]
    assert registry.method("sklearn:early_stopping=false:max_iter=2").fit(train, valid, Run()).facts["scores"] == [[], [], []]


def test_one_that_takes_no_missing_values_gets_the_linear_columns(complete: Parts) -> None:
    train, _, test = complete
    found = fitted("linear_model.LogisticRegression:C=0.1", complete)
    linear = prep.linear(train)
    x = linear(train.inputs)
    oracle = LogisticRegression(C=0.1).fit(x, train.labels[:, 2])
    np.testing.assert_allclose(found.predict(test.inputs)[:, 2], oracle.predict_proba(linear(test.inputs))[:, 1], atol=1e-6)
    assert found.facts["parameters"] == 3 * (x.shape[1] + 1)


def test_scores_become_probabilities_on_the_validation_rows(complete: Parts) -> None:
    train, valid, _ = complete
    found = fitted("linear_model.RidgeClassifier:alpha=50", complete)
    # a logistic regression with an intercept gives each outcome's share of events, on the rows that it was fitted to
    np.testing.assert_allclose(found.predict(valid.inputs).mean(axis=0), valid.labels.mean(axis=0), atol=1e-4)
    bare = valid.rows(valid.labels[:, 0] != 1)
    other = registry.method("sklearn:estimator=linear_model.RidgeClassifier:alpha=50:joint=true").fit(train, bare, Run())
    np.testing.assert_allclose(other.predict(train.inputs)[:, 0].mean(), train.labels[:, 0].mean(), atol=1e-4)


def test_weighted_rows_are_drawn_as_often_as_they_weigh() -> None:
    w = np.random.default_rng(0).exponential(1, 200)
    count = np.bincount(estimator._resampled(w, 3), minlength=200)
    assert count.sum() == 200
    assert np.abs(count - 200 * w / w.sum()).max() < 1  # rounded up or down
    assert (estimator._resampled(np.ones(5), 0) == np.arange(5)).all()


def test_one_without_weights_and_one_of_another_package_work(gaps: Parts) -> None:
    for text in ("neighbors.KNeighborsClassifier:n_neighbors=20", "lightgbm.LGBMClassifier:n_estimators=5"):
        p = fitted(text, gaps).predict(gaps[2].inputs)
        assert p.shape == (100, 3)
        assert np.ptp(p, axis=0).min() > 0.1


def test_what_cannot_be_counted_is_not_told(gaps: Parts) -> None:
    assert fitted("lightgbm.LGBMClassifier:n_estimators=2", gaps).facts["parameters"] is None


def test_a_version_of_another_package_is_part_of_the_cells_identity() -> None:
    part, _ = harness.method_part(registry.parse("methods", "sklearn:estimator=lightgbm.LGBMClassifier")[0])
    versions: Any = part.identity["versions"]
    assert {"lightgbm", "scikit-learn"} <= set(versions)
    assert part.identity["settings"]["num_leaves"] == 31  # pyright: ignore[reportIndexIssue]


def test_settings_can_be_typed_again_and_other_defaults_given() -> None:
    spec = registry.parse("methods", "sklearn:estimator=neural_network.MLPClassifier:hidden_layer_sizes=64+32:alpha=1e-3")[0]
    assert spec.settings["hidden_layer_sizes"] == (64, 32)
    assert registry.parse("methods", spec.label) == [spec]
    assert estimator_method(DecisionTreeClassifier, max_depth=3)().max_depth == 3  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(BenchError, match=r"unknown setting of 'DecisionTreeClassifier' 'depth'\. Did you mean 'max_depth'\?"):
        estimator_method(DecisionTreeClassifier, depth=3)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("3.0", 3.0), ("1e+3", 1000.0), ("True", True), ("none", None), ("gini", "gini"), ("4+2", (4, 2)), ("a+b", "a+b"), ("+", "+")],
)  # fmt: skip
def test_what_a_text_says(text: str, value: object) -> None:
    assert estimator.literal(text) == value
    assert type(estimator.literal(text)) is type(value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("max_dpth=3", r"unknown setting of 'sklearn' 'max_dpth'\. Did you mean 'max_depth'\?"),
        ("max_depth=deep", r"setting 'max_depth' of HistGradientBoostingClassifier must be an int in the range \[1, inf\) or None, but got 'deep'"),
        ("random_state=1", r"'random_state' is no setting: the run decides it, by --seed and --workers\. Leave it out\."),
        ("joint=true", r"joint needs a classifier of several outcomes, but HistGradientBoostingClassifier has one\. Leave joint out\."),
        ("estimator=RandomForestClasifier", r"no estimator 'RandomForestClasifier'\. Did you mean 'ensemble\.RandomForestClassifier'\?"),
        ("estimator=sklearn.svm.SVC", r"places of scikit-learn are given without 'sklearn\.': estimator=svm\.SVC"),
        ("estimator=ensemble.RandomForestRegressor", "outcomes are 0 or 1, which takes a classifier, but RandomForestRegressor is none"),
        ("estimator=multioutput.MultiOutputClassifier", "MultiOutputClassifier needs another estimator, which no setting can say"),
        ("estimator=os.getcwd", "a method is made of a scikit-learn classifier, but getcwd is none: it has no __sklearn_tags__"),
        ("estimator=naive_bayes.MultinomialNB", "MultinomialNB takes counts, 0 or more, but inputs here are measurements"),
    ],
)  # fmt: skip
def test_what_is_refused(settings: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        registry.method(f"sklearn:{settings}")
