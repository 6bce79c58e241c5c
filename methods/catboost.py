"""CatBoost: boosted symmetric trees, one ensemble per outcome, stopped early on the validation rows.

Prokhorenkova, Gusev, Vorobev, Dorogush and Gulin, "CatBoost: unbiased boosting with categorical features", NeurIPS 2018.
Every level of a tree asks the same question in all its nodes. Codes of more than two categories are replaced by ordered target
statistics (section 3), (sum of labels before the row + a * prior) / (rows before it + a) along a random order of the rows, so
that no row's own label enters.
Adapter: missing numbers go with the smallest values, a missing code is a category of its own. Rows whose outcome is unknown are
left out of that outcome's trees. No reweighting of classes: it would spoil the calibration.
Published: code (catboost/catboost) and log loss on public tables, ahead of XGBoost and LightGBM.
Departures: ordered boosting is a setting, plain boosting the default (cohorts of thousands: same scores here in 0.6 of the time);
32 borders a column, no combinations of codes, half of the columns per level. The rounds are chosen by the weighted validation
log loss; where the validation rows hold one class only, 100 rounds are done.
Cost: 12 s per cell of surgical, twice LightGBM.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import catboost as cb
import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from bench import prep
from bench.core import Cohort, Count, NonNegative, Positive, PositiveShare, Run
from bench.pertask import Constant, Data, Model, PerTask, coded, fit_per_task, varies
from bench.search import Choice, Range

UNSTOPPED_ROUNDS = QUICK_ROUNDS = 100
Depth = Annotated[int, Ge(1), Le(16)]  # the library takes no more


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """One outcome's trees, up to the best round."""

    booster: cb.CatBoost
    codes: list[int]
    threads: int
    parameters: int
    steps: int
    at_cap: bool
    scores: list[float]

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        pool = cb.Pool(coded(x, self.codes), cat_features=self.codes, thread_count=self.threads)
        return np.asarray(self.booster.predict(pool, prediction_type="Probability", thread_count=self.threads))[:, 1]


@dataclass(frozen=True, kw_only=True)
class CatBoost:
    """rounds: a cap, early stopping ends far below. rate: shrinkage. depth: questions per tree. l2: on the leaves.

    columns: share drawn for each level. borders: values a number is cut at. boosting: `Ordered` is the paper's.
    patience: rounds without a better validation loss.
    """

    family: ClassVar[str] = "trees"

    rounds: Count = 3000
    rate: Annotated[Positive, Range(0.01, 0.15, log=True)] = 0.05
    depth: Annotated[Depth, Range(3, 8)] = 5
    l2: Annotated[NonNegative, Range(0.5, 50, log=True)] = 3.0
    columns: Annotated[PositiveShare, Range(0.2, 1.0)] = 0.5
    borders: Annotated[Count, Choice((32, 64, 128))] = 32
    boosting: Literal["Plain", "Ordered"] = "Plain"
    patience: Count = 50

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> PerTask:
        flat = prep.flatten(train)
        codes = np.flatnonzero(flat.categorical).tolist()
        return fit_per_task(flat, train, valid, run, lambda data, held_out: self._fit(data, held_out, codes, run))

    def _fit(self, data: Data, held_out: Data, codes: list[int], run: Run) -> Model:
        if not varies(data.x):
            return Constant(data.prevalence)
        cap = min(self.rounds, QUICK_ROUNDS) if run.quick else self.rounds
        stopping: dict[str, Any] = {}
        if held_out.stops:
            stopping = {"eval_set": _pool(held_out, codes, run), "early_stopping_rounds": self.patience}
        else:
            cap = min(cap, UNSTOPPED_ROUNDS)
        booster: Any = cb.train(_pool(data, codes, run), self._parameters(run) | {"iterations": cap}, **stopping)
        history = booster.get_evals_result()["validation"]["Logloss"] if held_out.stops else []
        done = len(history) or cap
        leaves = int(booster.get_tree_leaf_counts().sum())
        return Ensemble(booster, codes, run.threads, leaves, done, done == cap, history)

    def _parameters(self, run: Run) -> dict[str, Any]:
        return {
            "loss_function": "Logloss", "thread_count": run.threads, "random_seed": run.seed % 2**31, "learning_rate": self.rate,
            "depth": self.depth, "l2_leaf_reg": self.l2, "rsm": self.columns, "border_count": self.borders,
            "boosting_type": self.boosting, "max_ctr_complexity": 1, "allow_writing_files": False, "verbose": False,
        }  # fmt: skip


def _pool(data: Data, codes: list[int], run: Run) -> cb.Pool:
    return cb.Pool(coded(data.x, codes), data.y, weight=data.w, cat_features=codes, thread_count=run.threads)


METHOD = CatBoost
