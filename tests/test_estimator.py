"""Methods as scikit-learn classifiers: scikit-learn's own checks, frames, unknown labels, grids, pickles, and what is refused."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

import bench
from bench import estimator, registry
from bench.core import BenchError, Inputs, Tabular
from bench.estimator import exceptions, mean_auroc

NET = {"fused": 16, "heads": 1, "hidden": 16, "width": 16, "epochs": 8, "lr": 0.03, "dropout": 0.0, "average": 0.0}
# enough for the checks that ask for some accuracy
BRIEF = {"epochs": 120, "patience": 40, "lr": 0.01, "dropout": 0.0, "average": 0.0}
FAST = [bench.as_estimator("logistic:path=2"), bench.as_estimator("xgboost:rounds=10"), bench.as_estimator("hard_sharing", **NET)]
DOCS = Path(bench.__file__).parent / "docs" / "sklearn.md"


@parametrize_with_checks(FAST, expected_failed_checks=exceptions)  # pyright: ignore[reportArgumentType]
def test_the_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.ids("methods"))
def test_the_checks_of_scikit_learn_for_every_method(name: str) -> None:
    known = registry.settings(
        registry.parse("methods", name)[0]
    )  # of a network few and large steps, so that a hundred small fits end
    brief = bench.as_estimator(name, **{key: value for key, value in BRIEF.items() if key in known})
    try:
        brief.fit(*small())
    except BenchError as declined:
        pytest.skip(f"{name} {declined}")
    check_estimator(brief, expected_failed_checks=exceptions(brief), on_skip=None, on_fail="raise")


def small() -> tuple[np.ndarray, np.ndarray]:
    """Numbers, and nested outcomes, which every method takes."""
    x = np.random.default_rng(0).normal(size=(60, 3))
    return x, np.column_stack([x[:, 0] > -0.5, x[:, 0] > 0.5]).astype(int)


def test_every_exception_stands_in_the_docs() -> None:
    page = " ".join(DOCS.read_text("utf-8").split())
    for name, why in {**estimator.NEVER, **estimator.FLOAT32}.items():
        assert f"`{name}`" in page
        assert why.split(";")[0].split(",")[0] in page


def patients(n: int = 400) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Numbers with gaps, texts, a category, and two outcomes that lean on them, a tenth unknown."""
    rng = np.random.default_rng(0)
    age, ward = rng.normal(60, 10, n), rng.choice(["north", "south", "west"], n)
    X = pd.DataFrame({
        "age": np.where(rng.random(n) < 0.1, np.nan, age), "ward": ward, "asa": pd.Categorical(rng.integers(1, 4, n)),
        "count": pd.array(rng.integers(0, 9, n), dtype="Int64"), "smoker": rng.random(n) < 0.3,
    })  # fmt: skip
    z = (age - 60) / 5 + 2 * (ward == "west")
    Y = pd.DataFrame({"aki": (z + rng.normal(0, 1, n) > 1), "death": (z + rng.normal(0, 1, n) > 2)}).astype(float)
    return X, Y.mask(rng.random((n, 2)) < 0.1)


X, Y = patients()


@pytest.fixture(scope="module")
def fitted() -> estimator.Classifier:
    return bench.as_estimator("logistic", path=4).fit(X, Y)


def test_frames_with_texts_categories_gaps_and_unknown_labels(fitted: Any) -> None:
    p = fitted.predict_proba(X)
    assert [one.shape for one in p] == [(400, 2), (400, 2)]
    np.testing.assert_allclose(p[0].sum(axis=1), 1)
    assert [task.name for task in fitted.tasks_] == ["aki", "death"]
    assert list(fitted.feature_names_in_) == list(X.columns)
    assert mean_auroc(fitted, X, Y) > 0.85
    # west is worth 2 of noise of 1: a model without the ward would tell less
    assert mean_auroc(bench.as_estimator("logistic", path=4).fit(X[["age"]], Y), X[["age"]], Y) < mean_auroc(fitted, X, Y) - 0.02
    assert [list(classes) for classes in fitted.classes_] == [[0, 1], [0, 1]]
    assert set(np.unique(fitted.predict(X))) == {0, 1}


def test_the_predictor_behind_it_is_that_of_the_method(fitted: Any) -> None:
    table = X.assign(
        ward=X["ward"].astype("category"), asa=X["asa"].astype(str).astype("category"), count=X["count"].astype(float), smoker=X["smoker"].astype(float)
    )  # fmt: skip
    expected = fitted.predictor_.predict(Inputs({"table": Tabular(table)}))
    np.testing.assert_array_equal(np.column_stack([p[:, 1] for p in fitted.predict_proba(X)]).astype(np.float32), expected)
    assert fitted.spec_.label == "logistic:path=4"


def test_a_category_never_seen_is_as_a_missing_one(fitted: Any) -> None:
    other, none = X.assign(ward="east"), X.assign(ward=None)
    np.testing.assert_array_equal(fitted.predict_proba(other)[0], fitted.predict_proba(none)[0])


def test_rows_of_weight_zero_are_not_there() -> None:
    rng = np.random.default_rng(1)
    keep = rng.random(len(X)) < 0.8
    all_of_it = bench.as_estimator("logistic", path=3).fit(X, Y, sample_weight=keep.astype(float))
    part = bench.as_estimator("logistic", path=3).fit(X[keep], Y[keep])
    np.testing.assert_array_equal(all_of_it.predict_proba(X)[1], part.predict_proba(X)[1])


def test_notes_are_read_as_text() -> None:
    rng = np.random.default_rng(2)
    sick = rng.random(300) < 0.5
    frame = pd.DataFrame({"note": np.where(sick, "septic shock", "routine stay"), "age": rng.normal(60, 9, 300)})
    frame.loc[::10, "note"] = None
    found = bench.as_estimator("logistic", text=["note"], path=3).fit(frame, sick)
    assert found.kinds_ == {"note": "text", "age": "number"}
    assert mean_auroc(found, frame, sick) > 0.9
    with pytest.raises(ValueError, match=r"unknown column in text 'notes'\. Did you mean 'note'\?"):
        bench.as_estimator("logistic", text=["notes"]).fit(frame, sick)


def test_two_classes_of_any_name() -> None:
    labels = np.where(Y["aki"] == 1, "yes", "no")
    found = bench.as_estimator("logistic", path=2).fit(X, labels)
    assert list(found.classes_) == ["no", "yes"]
    assert found.predict_proba(X).shape == (400, 2)
    assert set(found.predict(X)) == {"no", "yes"}
    assert 0.5 < found.score(X, labels) <= 1


def test_an_outcome_of_one_class_beside_others_is_predicted_by_it() -> None:
    found = bench.as_estimator("logistic", path=2).fit(X, Y.assign(never=0.0))
    assert [task.name for task in found.tasks_] == ["aki", "death"]
    assert (found.predict_proba(X)[2] == [1, 0]).all()
    with pytest.raises(
        ValueError, match="outcome 'never' needs two classes to be learned, but its known rows hold 1 class alone"
    ):
        bench.as_estimator("logistic").fit(X, Y.assign(never=0.0)[["never"]])


def test_parameters_are_the_settings_of_the_method() -> None:
    found = bench.as_estimator("orthtd:weight=0", quick=True)
    assert set(found.get_params()) == {*registry.settings(registry.parse("methods", "orthtd")[0]), *estimator.COMMON}
    assert (found.get_params()["weight"], found.get_params()["quick"]) == (0, True)
    assert clone(found.set_params(lr=0.01)).get_params() == found.get_params()
    assert found.get_params()["lr"] == 0.01
    adapter = bench.as_estimator("sklearn:estimator=svm.SVC", C=2.0)
    assert clone(adapter).get_params()["C"] == 2.0
    assert "max_leaf_nodes" not in adapter.get_params()


def test_pipelines_cross_validation_and_grids_in_other_processes() -> None:
    scaled = ColumnTransformer([("scaled", StandardScaler(), ["age"])], remainder="passthrough", verbose_feature_names_out=False)
    pipe = make_pipeline(scaled.set_output(transform="pandas"), bench.as_estimator("logistic", path=2))
    folds = KFold(2)  # a number would mean stratified folds, for which scikit-learn takes no unknown label
    assert cross_val_score(pipe, X, Y, cv=folds, scoring=mean_auroc).mean() > 0.8
    grid = GridSearchCV(bench.as_estimator("logistic"), {"path": np.array([1, 3])}, scoring=mean_auroc, cv=folds, n_jobs=2).fit(
        X, Y
    )
    assert grid.best_params_ == {"path": 3}  # the first strength of a path leaves every weight at 0
    assert grid.cv_results_["mean_test_score"][0] == pytest.approx(0.5)


def test_a_classifier_can_be_pickled_also_one_of_a_file(tmp_path: Path, fitted: Any) -> None:
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X)[0], fitted.predict_proba(X)[0])
    source = (Path(bench.__file__).parent.parent / "methods" / "logistic.py").read_text("utf-8")
    (tmp_path / "mine.py").write_text(source)
    mine = bench.as_estimator(f"{tmp_path}/mine.py:path=4").fit(X, Y)
    again = pickle.loads(pickle.dumps(mine))
    np.testing.assert_array_equal(again.predict_proba(X)[1], fitted.predict_proba(X)[1])


def test_groups_stay_on_one_side() -> None:
    rng = np.random.default_rng(3)
    targets = estimator.reading.targets(Y, len(Y))
    groups = rng.integers(0, 40, len(Y))
    modalities = estimator.reading.modalities(X[["age"]], {"age": "number"})
    cohort = estimator._cohort(modalities, targets, np.ones(len(Y)), np.arange(len(Y)), groups)
    train, valid = estimator._held_out(cohort, 0.15, 0)
    assert not set(train.groups) & set(valid.groups)
    assert len(train) + len(valid) == len(Y)
    assert 0.1 < len(valid) / len(Y) < 0.2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: bench.as_estimator("orthdt"), r"unknown method 'orthdt'\. Did you mean 'orthtd'\?"),
        (lambda: bench.as_estimator("orthtd", wieght=1), r"unknown setting of 'orthtd' 'wieght'\. Did you mean 'weight'\?"),
        (lambda: bench.as_estimator("mmoe", experts=0), r"setting 'experts' of 'mmoe': input should be greater than or equal to 1, but got '0'"),
        (lambda: bench.as_estimator("mmoe,ple"), "as_estimator takes one method, but got 2: mmoe,ple"),
        (lambda: bench.as_estimator("logistic").fit(X, X["asa"].astype(int)), r"Only binary classification is supported\..* 'asa' has 3 classes"),
        (lambda: bench.as_estimator("logistic").fit(X, Y * np.nan), "outcome 'aki' needs two classes to be learned, but no class of any row is known"),
        (lambda: bench.as_estimator("logistic").fit(X.assign(day=pd.Timestamp("2020-01-01")), Y), "column 'day' must hold numbers, texts or categories"),
        (lambda: bench.as_estimator("logistic", validation=0).fit(X, Y), "validation must be a share of the rows, above 0 and below 1, but is 0"),
        (lambda: bench.as_estimator("logistic").fit(X, Y, sample_weight=-np.ones(400)), "sample_weight must be 0 or more, but the least weight is -1"),
        (lambda: bench.as_estimator("logistic").fit(X, Y[:9]), "inconsistent numbers of samples: 400 and 9"),
        (lambda: bench.as_estimator("logistic").set_params(path=0).fit(X, Y), "setting 'path' of 'logistic': input should be greater than or equal to 1"),
    ],
)  # fmt: skip
def test_what_is_refused(call: Any, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        call()
