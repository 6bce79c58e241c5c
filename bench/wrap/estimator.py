"""A scikit-learn classifier as a method: its parameters are the settings, what it learns from is what every method learns from.

Missing values stay where the classifier says that it takes them (its tag `allow_nan`): it then gets the columns of tree models,
codes as numbers. All others get the columns of linear models, filled in, flagged and standardised. An unknown label teaches
nothing: its row is left out for that outcome.
"""

import functools
import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field, make_dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import get_tags
from sklearn.utils._param_validation import InvalidParameterError, validate_parameter_constraints
from sklearn.utils.validation import has_fit_parameter

from bench import prep
from bench.core import BenchError, Cohort, Run
from bench.pertask import Block, Joint, fit_joint
from bench.recalibrate import logistic_recalibration, recalibrated
from bench.registry import unknown
from bench.wrap.origin import origin

BY_THE_RUN = {"random_state", "n_jobs", "verbose", "warm_start"}
CATEGORIES = 255  # that one column of codes may have to be split as sets of them

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A fitted classifier of one outcome, or of several. columns: (p,) those it reads, which were not empty in training.

    line: (2, T) from its scores to log-odds; None if it gives probabilities.
    """

    tasks: NDArray[np.int64]
    columns: NDArray[np.bool_]
    estimator: Any
    line: Array | None
    at_cap: bool
    scores: Sequence[float]

    def predict(self, x: Array) -> Array:
        """(n, p) -> (n, T) probabilities of its outcomes."""
        x = x[:, self.columns]
        if self.line is not None:
            return recalibrated(expit(decisions(self.estimator, x)), self.line)
        p = self.estimator.predict_proba(x)
        if isinstance(p, list):  # one (n, 2) an outcome
            return np.column_stack([one[:, 1] for one in p])
        return p[:, 1:] if len(self.tasks) == 1 else p  # columns are the classes, 0 and 1, or else the outcomes


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """Of all outcomes that can be learned, T of them."""

    models: tuple[Model, ...]
    tasks: int

    @property
    def parameters(self) -> int:
        return sum(numbers(model.estimator) for model in self.models)

    @property
    def steps(self) -> int:
        return sum(steps(model.estimator) for model in self.models)

    @property
    def at_cap(self) -> bool:
        return any(model.at_cap for model in self.models)

    @property
    def scores(self) -> Sequence[float]:
        """None: each model has its own, see the fact `scores`."""
        return ()

    def predict(self, x: Array) -> Array:
        p = np.empty((len(x), self.tasks))
        for model in self.models:
            p[:, model.tasks] = model.predict(x)
        return p


@dataclass(frozen=True, kw_only=True)
class EstimatorMethod:
    """joint: one model of all outcomes that are known in the same rows with the same weights, not one an outcome."""

    family: ClassVar[str] = "estimators"
    wraps: ClassVar[type[Any]]
    packages: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[tuple[Path, ...]] = ()

    joint: bool = False

    def __post_init__(self) -> None:
        tags: Any = get_tags(self.made(Run()))
        if self.joint and not (tags.target_tags.multi_output or tags.classifier_tags.multi_label):
            raise BenchError(f"joint needs a classifier of several outcomes, but {self.wraps.__name__} has one. Leave joint out.")
        if tags.input_tags.positive_only:
            raise BenchError(
                f"{self.wraps.__name__} takes counts, 0 or more, but inputs here are measurements. Take another one."
            )

    def made(self, run: Run) -> Any:
        """The classifier, not yet fitted."""
        changed = {n: getattr(self, n) for n, default in parameters(self.wraps).items() if getattr(self, n) != default}
        by_run = {"random_state": run.seed % 2**31} | ({"n_jobs": run.threads} if run.threads > 1 else {})
        known = inspect.signature(self.wraps).parameters
        return self.wraps(**changed, **{n: value for n, value in by_run.items() if n in known})

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Joint:
        flat = prep.flatten(train)
        prepare: Callable[[Any], Array] = flat if get_tags(self.made(run)).input_tags.allow_nan else prep.linear(train)
        codes = flat.categorical if prepare is flat else None

        def fit(data: Block, held: Block) -> Models:
            return Models(tuple(self._fitted(data, held, tasks, codes, run) for tasks in self._groups(data)), data.y.shape[1])

        fitted = fit_joint(prepare, train, valid, run, fit)
        models = fitted.model.models if isinstance(fitted.model, Models) else ()
        more: dict[str, Any] = {"models": len(models), "scores": [list(model.scores) for model in models]}
        if any(numbers(model.estimator) == 0 for model in models):
            more["parameters"] = None  # cannot be told
        return replace(fitted, facts={**fitted.facts, **more})

    def _groups(self, data: Block) -> Iterator[NDArray[np.int64]]:
        """Outcomes that share a model."""
        if not self.joint:
            yield from np.arange(data.y.shape[1])[:, None]
            return
        _, group = np.unique(data.w, axis=1, return_inverse=True)
        yield from (np.flatnonzero(group == g) for g in range(group.max() + 1))

    def _fitted(self, data: Block, held: Block, tasks: NDArray[np.int64], codes: Array | None, run: Run) -> Model:
        x, y, w = _known(data, tasks)
        seen = _known(held, tasks)
        columns = np.asarray(~np.isnan(x).all(axis=0))
        x, seen = x[:, columns], (seen[0][:, columns], *seen[1:])
        estimator = self.made(run)
        if codes is not None and estimator.get_params().get("categorical_features") == "from_dtype":
            estimator.set_params(categorical_features=codes[columns] & (np.nan_to_num(x).max(axis=0) < CATEGORIES))
        how = self._stopping(estimator, *seen)
        if np.ptp(w) > 0 and has_fit_parameter(estimator, "sample_weight"):
            how["sample_weight"] = w / w.mean()
        elif np.ptp(w) > 0:
            x, y = (part[_resampled(w, run.seed)] for part in (x, y))
        ended = _fit(estimator, x, y, how)
        stopped = "X_val" in how
        line = None if hasattr(estimator, "predict_proba") else _calibration(estimator, (x, y, np.ones(len(x))), seen)
        scores = [-float(s) for s in estimator.validation_score_] if stopped else []
        return Model(tasks, columns, estimator, line, ended or (stopped and steps(estimator) >= estimator.max_iter), scores)

    def _stopping(self, estimator: Any, x: Array, y: Array, w: Array) -> dict[str, Any]:
        """What `fit` is given so that the validation rows stop it, where it can be stopped so and was not told otherwise."""
        wanted = getattr(self, "early_stopping", False)
        if not has_fit_parameter(estimator, "X_val") or wanted not in (True, "auto") or len(np.unique(y)) < 2:
            return {}
        estimator.set_params(early_stopping=True)
        return {"X_val": x, "y_val": y, "sample_weight_val": w / w.mean()}


def steps(estimator: Any) -> int:
    """Passes, rounds or trees, as the classifier counts them; 1 where it solves in one go."""
    done = getattr(estimator, "n_iter_", None)
    return max(1, int(np.sum(done)) if done is not None else np.size(getattr(estimator, "estimators_", ())))


def numbers(estimator: Any) -> int:
    """How many numbers were fitted: leaves of trees times their outcomes, else what arrays hold; 0 where that cannot be told."""
    if hasattr(estimator, "_predictors"):  # histogram boosting
        return sum(int(tree.get_n_leaf_nodes()) for trees in estimator._predictors for tree in trees)
    if hasattr(estimator, "tree_"):
        return int(estimator.tree_.n_leaves) * int(estimator.tree_.n_outputs)
    if np.size(getattr(estimator, "estimators_", ())):
        return sum(numbers(one) for one in np.ravel(estimator.estimators_))
    kept = [value for name, value in vars(estimator).items() if name.endswith("_") or name == "_fit_X"]
    arrays = [part for value in kept for part in (value if isinstance(value, list | tuple) else [value])]
    inner = sum(numbers(one) for one in kept if hasattr(one, "get_params"))
    return inner + sum(a.size for a in arrays if isinstance(a, np.ndarray) and a.dtype.kind == "f")


def decisions(estimator: Any, x: Array) -> Array:
    """(n, T) scores."""
    z = np.asarray(estimator.decision_function(x), np.float64)
    return z.reshape(len(x), -1)


def _fit(estimator: Any, x: Array, y: Array, how: Mapping[str, Any]) -> bool:
    """Fit in place, without what it prints; whether it says that it did not converge."""
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(StringIO()):
        warnings.simplefilter("always")
        estimator.fit(x, y, **how)
    for one in caught:
        if not issubclass(one.category, ConvergenceWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return any(issubclass(one.category, ConvergenceWarning) for one in caught)


def _known(block: Block, tasks: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64], NDArray[np.float64]]:
    """Columns, labels and weights of the rows where these outcomes are known; labels (n,) of one outcome, (n, T) of several."""
    w = block.w[:, tasks[0]]
    y = block.target[w > 0][:, tasks].astype(np.int64)
    return block.x[w > 0], y[:, 0] if len(tasks) == 1 else y, w[w > 0]


def _resampled(w: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """As many rows as there are, each as often as its share of the weights, rounded up or down at random (systematic sampling)."""
    at = (np.random.default_rng(seed).random() + np.arange(len(w))) / len(w)
    return np.minimum(np.searchsorted(np.cumsum(w) / w.sum(), at), len(w) - 1)


Rows = tuple[Array, NDArray[np.int64], NDArray[np.float64]]


def _calibration(estimator: Any, learned: Rows, held: Rows) -> Array:
    """(2, T) intercepts and slopes from scores to log-odds, on the validation rows (Platt); on the training rows where an outcome has
    one class there, or is ranked the wrong way. BenchError for a classifier without scores.
    """
    if not hasattr(estimator, "decision_function"):
        raise BenchError(f"{type(estimator).__name__} gives classes alone, neither probabilities nor scores. Take another one.")
    first, then = (_platt(estimator, *rows) for rows in (held, learned))
    return np.where(first[1] > 0, first, then)


def _platt(estimator: Any, x: Array, y: NDArray[np.int64], w: NDArray[np.float64]) -> Array:
    """Slope 0 for an outcome of one class."""
    y = y.reshape(len(x), -1)
    if not len(x):
        return np.zeros((2, y.shape[1]))
    two = (y.min(axis=0) < 1) & (y.max(axis=0) > 0)
    weights = np.tile(w[:, None], (1, y.shape[1]))
    return np.where(two, logistic_recalibration(y, expit(decisions(estimator, x)), weights), 0.0)


def estimator_method(estimator: type[Any], /, **defaults: Any) -> type[EstimatorMethod]:
    """A method whose settings are the parameters of a scikit-learn classifier, with other defaults where they are given.

    What the run decides is no setting: random_state (the seed), n_jobs (the threads), verbose, warm_start. Neither is a parameter
    whose default is no number, text, true, false or nothing, such as another estimator. BenchError for a class that is no
    classifier or needs another estimator, and for a default that does not fit.
    """
    return described(estimator, EstimatorMethod, defaults)


def described(estimator: type[Any], base: type[EstimatorMethod], defaults: Mapping[str, Any]) -> type[EstimatorMethod]:
    """The same with fields of one's own, those of `base`."""
    known = parameters(estimator)
    for name in defaults:
        if name not in known:
            raise BenchError(unknown(f"setting of '{estimator.__name__}'", name, list(known)))
    read = {name: reader(estimator, name)(value) for name, value in defaults.items()}
    return _made(estimator, base, tuple({**known, **read}.items()))


@functools.cache  # the same class each time, so that equal settings make equal methods
def _made(estimator: type[Any], base: type[EstimatorMethod], defaults: tuple[tuple[str, Any], ...]) -> type[EstimatorMethod]:
    listed = [(n, Annotated[Any, BeforeValidator(reader(estimator, n))], field(default=value)) for n, value in defaults]
    space = {
        "wraps": estimator,
        **origin(estimator),
        "__doc__": base.__doc__,
        "__module__": base.__module__,
    }
    return make_dataclass(estimator.__name__, listed, bases=(base,), namespace=space, frozen=True, kw_only=True)


@functools.cache
def parameters(estimator: type[Any]) -> Mapping[str, Any]:
    """name -> default of the parameters that are settings. BenchError for what is no classifier, or cannot be made of settings."""
    name = getattr(estimator, "__name__", str(estimator))
    if not inspect.isclass(estimator) or not hasattr(estimator, "__sklearn_tags__"):
        raise BenchError(f"a method is made of a scikit-learn classifier, but {name} is none: it has no __sklearn_tags__")
    try:
        plain: Any = estimator()
        tags = get_tags(plain)
    except (TypeError, AttributeError) as error:
        raise BenchError(f"{name} needs another estimator, which no setting can say. Give one that stands by itself.") from error
    if tags.estimator_type != "classifier":
        raise BenchError(f"outcomes are 0 or 1, which takes a classifier, but {name} is none")
    signature = inspect.signature(estimator).parameters.values()
    found = {p.name: p.default for p in signature if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    found |= {n: value for n, value in plain.get_params(deep=False).items() if n not in found}
    taken = {"estimator", *BY_THE_RUN, *dir(EstimatorMethod)}
    return {n: value for n, value in found.items() if n not in taken and _plain(value) and value not in ("deprecated", "warn")}


def _plain(value: Any) -> bool:
    """Whether JSON can say it."""
    if isinstance(value, tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and np.isfinite(value))


def reader(estimator: type[Any], name: str) -> Callable[[Any], Any]:
    """What makes a setting of a text (1e-3, true, none, 64+32 for a pair of numbers), and says so if it does not fit."""
    rule = getattr(estimator, "_parameter_constraints", {}).get(name)

    def read(value: Any) -> Any:
        meant = literal(value) if isinstance(value, str) else value
        if rule is not None:
            try:
                validate_parameter_constraints({name: rule}, {name: meant}, estimator.__name__)
            except InvalidParameterError as error:
                must = re.sub(r"^The '.*?' parameter of \w+ |\. Got .*$", "", " ".join(str(error).split()))
                raise BenchError(f"setting '{name}' of {estimator.__name__} {must}, but got '{value}'") from None
        return meant

    return read


def literal(text: str) -> Any:
    """The number, truth value or nothing that a text says; numbers with + between them as a tuple; else the text."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    several = re.split(r"(?<![eE])\+", text)
    return tuple(map(literal, several)) if len(several) > 1 and all(map(_number, several)) else text


def _number(text: str) -> bool:
    return re.fullmatch(r"-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) is not None
