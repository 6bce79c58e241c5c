"""LightGBM: boosted trees grown leaf by leaf, one ensemble per outcome, stopped early on the validation rows.

Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS 2017.
Adapter: missing values take the better branch at every split; codes are split as sets of categories. Rows whose outcome is
unknown are left out of that outcome's trees. No reweighting of classes: it would spoil the calibration.
Published: code (microsoft/LightGBM) and results on five public data sets, single outcomes.
Departures: defaults are for cohorts of some thousand patients (slow rate, small trees, half of the columns per tree), and the
rounds are chosen by the weighted validation log loss. Where the validation rows hold one class only, 100 rounds are done.
Cost: 5 s per cell of surgical (8,450 training rows, one thread).
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from bench import prep
from bench.core import Cohort, Count, NonNegative, Positive, PositiveShare, Run
from bench.pertask import Data, PerTask, fit_per_task, once
from bench.search import Range

UNSTOPPED_ROUNDS = QUICK_ROUNDS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """One outcome's trees; `kept` of its rounds are used."""

    booster: lgb.Booster
    kept: int
    threads: int
    parameters: int
    steps: int
    at_cap: bool
    scores: list[float]

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self.booster.predict(x, num_iteration=self.kept, num_threads=self.threads))


@dataclass(frozen=True, kw_only=True)
class LightGBM:
    family: ClassVar[str] = "trees"

    rounds: Count = 3000  # a cap: early stopping ends far below
    rate: Annotated[Positive, Range(0.01, 0.1, log=True)] = 0.03
    leaves: Annotated[Count, Range(4, 64, log=True)] = 15
    min_rows: Annotated[Count, Range(5, 100, log=True)] = 10  # rows a leaf needs
    l2: Annotated[NonNegative, Range(0.1, 100, log=True)] = 5.0
    rows: Annotated[PositiveShare, Range(0.5, 1.0)] = 0.8  # share drawn for each tree
    columns: Annotated[PositiveShare, Range(0.2, 1.0)] = 0.5
    patience: Count = 50

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> PerTask:
        flat = prep.flatten(train)
        codes = np.flatnonzero(flat.categorical).tolist()
        binned = once(lambda x: lgb.Dataset(x, params=self._parameters(run), categorical_feature=codes).construct())

        def fit(data: Data, held_out: Data) -> Ensemble:
            rows = binned(data)
            for name, values in (("label", data.y), ("weight", data.w)):
                rows.set_field(name, values)  # `set_weight` would leave an earlier outcome's weights where all of these are 1
            held = rows.create_valid(held_out.x, held_out.y, weight=held_out.w) if held_out.stops else None
            return self._fit(rows, held, run)

        return fit_per_task(flat, train, valid, run, fit)

    def _fit(self, rows: lgb.Dataset, held: lgb.Dataset | None, run: Run) -> Ensemble:
        cap = min(self.rounds, QUICK_ROUNDS) if run.quick else self.rounds
        scores: dict[str, dict[str, list[float]]] = {}
        stopping: dict[str, Any] = {}
        if held is not None:
            callbacks = [lgb.early_stopping(self.patience, verbose=False), lgb.record_evaluation(scores)]
            stopping = {"valid_sets": [held], "valid_names": ["valid"], "callbacks": callbacks}
        else:
            cap = min(cap, UNSTOPPED_ROUNDS)
        booster = lgb.train(self._parameters(run), rows, cap, **stopping)
        kept = cap if held is None else booster.best_iteration
        leaves = sum(tree["num_leaves"] for tree in booster.dump_model(num_iteration=kept)["tree_info"])
        history = scores["valid"]["binary_logloss"] if scores else []
        done = len(history) or cap  # the booster itself forgets the rounds after the best
        return Ensemble(booster, kept, run.threads, leaves, done, done == cap, history)

    def _parameters(self, run: Run) -> dict[str, Any]:
        return {
            "objective": "binary", "metric": "binary_logloss", "num_threads": run.threads, "seed": run.seed % 2**31,
            "deterministic": True, "force_row_wise": True, "verbosity": -1, "learning_rate": self.rate,
            "num_leaves": max(self.leaves, 2), "min_data_in_leaf": self.min_rows, "lambda_l2": self.l2,
            "bagging_fraction": self.rows, "bagging_freq": 1, "feature_fraction": self.columns,
        }  # fmt: skip


METHOD = LightGBM
