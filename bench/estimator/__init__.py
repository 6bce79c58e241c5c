"""Any method as a scikit-learn classifier: `fit(X, Y)`, `predict_proba`, clone, pipelines, cross-validation, grids.

Missing things first. NaN in X is "not measured", in Y "unknown"; a row of weight 0 is not there. An outcome has two classes, of
which the last in sorted order is the event; more than two are refused. An outcome of 0 and 1 that shows one of them only is
predicted by it, beside others that can be learned; by itself it is refused.
Part of the rows is held out to stop the training, and never learned from: `validation`.
"""

import inspect
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from bench import checks, metrics, registry
from bench.core import BenchError, Cohort, Inputs, Modality, Rows, Run, Task
from bench.estimator import reading
from bench.estimator.reading import Array, Floats, Refused, Target
from bench.registry import Spec
from bench.splits.allocation import allocate, counted

# Parameters beside a method's own settings, and their defaults.
COMMON: dict[str, Any] = {"validation": 0.15, "random_state": 0, "quick": False, "text": (), "device": "cpu", "n_jobs": None}

# scikit-learn's checks of estimators that do not hold, and why. Of networks: those in float32.
NEVER = {
    "check_sample_weight_equivalence_on_dense_data": "a row of weight 2 is one patient, on one side of the split that holds out "
    "validation rows; two rows of weight 1 are two. (A row of weight 0 is as one that is not there.)",
}
FLOAT32: Mapping[str, str] = dict.fromkeys(
    ("check_methods_sample_order_invariance", "check_methods_subset_invariance"),
    "networks compute in float32, whose last bit depends on where in a batch a row stands; the check asks for 1e-7",
)


class Classifier(ClassifierMixin, BaseEstimator):
    """A method under scikit-learn's rules. Made by `as_estimator`, a class for each method.

    Fitted: predictor_ (works on `bench.core.Inputs`), spec_ (method and settings), tasks_ (outcomes that were learned), outcomes_ (names of
    all), classes_ (of one outcome the two, of several a list), facts_, n_iter_ (steps), n_features_in_, feature_names_in_.
    """

    made_of: ClassVar[Spec]
    validation: float
    random_state: Any
    quick: bool
    text: Sequence[str]
    device: str
    n_jobs: int | None

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> "Classifier":
        """X: (n, p) array of numbers, or a DataFrame: numbers as they are, texts and the dtype category as codes, columns in `text` as notes.
        y: (n,) or (n, T), NaN or None where unknown; a DataFrame names the outcomes. sample_weight: (n,), 0 or more. groups: (n,) rows
        that stay on one side when validation rows are chosen, as those of one patient.

        A ValueError, one line, for anything that is wrong with them or with the settings.
        """
        if y is None:
            raise Refused(f"{type(self).__name__} requires y to be passed, but the target y is None")
        with _refused():
            modalities = self._modalities(X, reset=True)
            found = reading.targets(y, len(next(iter(modalities.values()))))
            weights = reading.weights(sample_weight, len(found[0].labels))
            return self._fitted(modalities, found, weights, groups)

    def _fitted(self, modalities: dict[str, Modality], targets: "list[Target]", weights: Floats, groups: Any) -> "Classifier":
        rows = np.flatnonzero(weights > 0)
        targets = [replace(target, labels=target.labels[rows]) for target in targets]
        learned = [target for target in targets if target.two(alone=len(targets) == 1)]
        if not learned:
            raise Refused("no outcome shows more than 1 class, so that there is nothing to learn")
        seed = (
            int(check_random_state(self.random_state).randint(2**31))
            if not isinstance(self.random_state, int)
            else self.random_state
        )
        cohort = _cohort(modalities, learned, weights, rows, groups)
        spec = registry.given(self.made_of, {name: _json(getattr(self, name)) for name in settings_of(self.made_of)})
        run = Run(seed=seed, device=self.device, threads=self._threads(), quick=self.quick)
        self.predictor_ = registry.method(spec).fit(*_held_out(cohort, self.validation, seed), run)
        self.spec_, self.tasks_, self.outcomes_ = spec, cohort.tasks, tuple(target.name for target in targets)
        self.facts_: Mapping[str, Any] = self.predictor_.facts
        self.n_iter_ = max(1, int(self.facts_.get("steps", 1) or 1))
        self.targets_ = [
            replace(target, labels=np.zeros(0, np.float32), rate=float(np.nanmean(target.labels))) for target in targets
        ]
        self.classes_ = [target.classes for target in targets] if len(targets) > 1 else targets[0].classes
        return self

    def predict_proba(self, X: Any) -> Any:
        """(n, 2), columns in the order of `classes_`; of several outcomes a list of them."""
        risks = self.risks(X)
        both = [np.column_stack([1 - p, p]) for p in risks.T]
        return both if len(both) > 1 else both[0]

    def risks(self, X: Any) -> Floats:
        """(n, T) probability of the event, the last class of each outcome."""
        check_is_fitted(self, "predictor_")
        with _refused():
            p = self.predictor_.predict(Inputs(self._modalities(X, reset=False))).astype(np.float64)
        names = [task.name for task in self.tasks_]
        found = [p[:, names.index(t.name)] if t.name in names else np.full(len(p), t.rate) for t in self.targets_]
        return np.column_stack(found)

    def predict(self, X: Any) -> Array:
        """(n,) or (n, T): the class above one half."""
        events = (self.risks(X) > 0.5).astype(np.int64)
        found = [target.classes[one] for target, one in zip(self.targets_, events.T, strict=True)]
        return np.column_stack(found) if len(found) > 1 else found[0]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy over the known labels, averaged over outcomes. Of rare outcomes it says little: `mean_auroc` is a scorer that does."""
        with _refused():
            found = np.asarray(self.predict(X)).reshape(-1, len(self.targets_))
            known = [(column, ~reading.unknown_rows(column)) for _, column in reading.columns(y)]
            w = np.ones(len(found)) if sample_weight is None else np.asarray(sample_weight, np.float64)
            return float(np.mean([np.average(found[k, t] == column[k], weights=w[k]) for t, (column, k) in enumerate(known)]))

    def _modalities(self, X: Any, reset: bool) -> dict[str, Modality]:
        """The rows as modalities: a table, and each column of notes by itself."""
        check: Any = validate_data
        if isinstance(X, pd.DataFrame):
            check(self, X, reset=reset, skip_check_array=True)
            if not len(X):
                raise Refused("Found array with 0 sample(s) while a minimum of 1 is required")
            frame = X.reset_index(drop=True)
        else:
            frame = pd.DataFrame(check(self, X, reset=reset, dtype="numeric", ensure_all_finite="allow-nan"))
        names = [str(n) for n in getattr(self, "feature_names_in_", [f"x{i}" for i in range(frame.shape[1])])]
        frame = frame.set_axis(names, axis=1)
        if reset:
            self.kinds_ = reading.kinds(frame, self.text)
        return reading.modalities(frame, self.kinds_)

    def _threads(self) -> int:
        count: Any = effective_n_jobs
        return count(self.n_jobs)

    def __reduce__(self) -> Any:
        return _blank, (self.made_of,), self.__getstate__()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.poor_score = getattr(registry.method(self.made_of), "family", "") == "floor"
        return tags


def as_estimator(method: str = "single_task", **settings: Any) -> Classifier:
    """A method as a scikit-learn classifier: as_estimator("orthtd", weight=0) or as_estimator("orthtd:weight=0").

    settings: of the method; and validation (share of the rows that is held out), random_state, quick (a first look), text (columns of
    notes), device, n_jobs (threads). BenchError for an unknown method or setting, the closest one named, and for a value out of range.
    """
    found = registry.parse("methods", method)
    if len(found) != 1:
        raise BenchError(f"as_estimator takes one method, but got {len(found)}: {method}")
    common = {name: value for name, value in settings.items() if name in COMMON}
    own = {**found[0].settings, **{name: _json(value) for name, value in settings.items() if name not in COMMON}}
    spec = registry.given(found[0], own)
    registry.method(spec)  # settings that do not go together
    return _class(_rooted(spec))(**{**spec.settings, **common})


def mean_auroc(classifier: Any, X: Any, y: Any) -> float:
    """A scorer, as in cross_val_score(..., scoring=mean_auroc): AUROC over the known labels, its mean over outcomes that show both classes.

    NaN where none does. For the classifiers of `as_estimator`, and any other whose `predict_proba` gives (n, 2) or a list of it.
    """
    given = classifier.predict_proba(X)
    p = [one[:, 1] for one in (given if isinstance(given, list) else [given])]
    events = [reading.target(name, column).labels for name, column in reading.columns(y)]
    each = [metrics.auroc(labels, one) for labels, one in zip(events, p, strict=True)]
    return float(np.nanmean(each)) if np.isfinite(each).any() else float("nan")


def exceptions(classifier: Classifier) -> dict[str, str]:
    """Checks of scikit-learn that do not hold for it -> why: `parametrize_with_checks(..., expected_failed_checks=exceptions)`."""
    return {**NEVER, **FLOAT32} if hasattr(registry.method(classifier.made_of), "epochs") else NEVER


def settings_of(spec: Spec) -> Mapping[str, Any]:
    """The settings of a method, with the values it has where none is given."""
    return registry.settings(spec)


def _rooted(spec: Spec) -> Spec:
    """The method alone; of an adapter with what says which settings it has."""
    adapter: Any = registry.loaded(spec).METHOD
    chosen = {f.name for f in fields(adapter)} if hasattr(adapter, "resolved") else set[str]()
    return replace(spec, settings={name: value for name, value in spec.settings.items() if name in chosen})


_classes: dict[Spec, type[Classifier]] = {}


def _class(spec: Spec) -> type[Classifier]:
    """The classifier of a method, whose parameters are the method's settings and COMMON: one class a method, as `clone` expects."""
    if spec in _classes:
        return _classes[spec]
    defaults = {**settings_of(spec), **COMMON}
    signature = inspect.Signature(
        [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
        + [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value) for name, value in defaults.items()]
    )

    def init(self: Any, **given: Any) -> None:
        for name, value in signature.bind(self, **given).arguments.items():
            if name != "self":
                setattr(self, name, value)
        for name, value in defaults.items():
            if name not in given:
                setattr(self, name, value)

    init.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    made = registry.method(spec)
    about = f"{spec.label} as a scikit-learn classifier.\n\n{Classifier.__doc__}"
    space = {"__init__": init, "__doc__": about, "__module__": __name__, "made_of": spec}
    _classes[spec] = type(type(made).__name__, (Classifier,), space)
    return _classes[spec]


def _blank(spec: Spec) -> Classifier:
    """Before its state is set: how a pickle begins. The method's file must be where it was."""
    return _class(spec).__new__(_class(spec))


def _cohort(modalities: Mapping[str, Modality], targets: Sequence[Target], weights: Floats, rows: Rows, groups: Any) -> Cohort:
    """The rows of weight above 0 and their outcomes, as all methods learn from them."""
    places = np.arange(len(rows))  # so that rows of weight 0 are as rows that are not there
    owners = places if groups is None else np.asarray(groups)[rows]
    w = weights[rows] / weights[rows].mean()
    return checks.build(
        "estimator", {key: modality.rows(rows) for key, modality in modalities.items()}, [Task(target.name) for target in targets],
        np.column_stack([target.labels for target in targets]), [str(one) for one in places], groups=[str(one) for one in owners],
        weights=np.tile(w[:, None], (1, len(targets))) if np.ptp(w) > 0 else None,
    )  # fmt: skip


def _held_out(cohort: Cohort, share: float, seed: int) -> tuple[Cohort, Cohort]:
    """Training and validation rows, stratified by every outcome; groups stay together."""
    if not 0 < share < 1:
        raise Refused(f"validation must be a share of the rows, above 0 and below 1, but is {share}")
    codes, owner = np.unique(cohort.groups, return_inverse=True)
    if len(codes) < 2:
        raise Refused(f"2 rows or more are needed to learn from and to validate on, but there is {len(codes)}: n_samples = 1")
    part = allocate(counted(cohort.labels, owner, len(codes)), np.array([1 - share, share]), np.random.default_rng(seed))
    for side in (0, 1):
        if not (part == side).any():  # so few rows that the share comes to nothing
            part[-1] = side
    return cohort.rows(part[owner] == 0), cohort.rows(part[owner] == 1)


def _json(value: Any) -> Any:
    """A setting as a file can say it: numpy's numbers, as a grid gives them, as Python's."""
    return value.item() if isinstance(value, np.generic) else value


@contextmanager
def _refused() -> Generator[None]:
    """A BenchError as a ValueError too, which is what callers of scikit-learn expect of bad input."""
    try:
        yield
    except Refused:
        raise
    except BenchError as error:
        raise Refused(str(error)) from error
