"""XGBoost: boosted trees, one ensemble per outcome, stopped early on the validation rows.

Chen and Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD 2016.
Adapter: missing values take the better branch at every split; codes are split as sets of categories. Rows whose outcome is
unknown are left out of that outcome's trees. No reweighting of classes: it would spoil the calibration.
Published: code (dmlc/xgboost) and results on four public data sets, single outcomes.
Departures: defaults are for cohorts of some thousand patients (slow rate, shallow trees, half of the columns per tree), and
the rounds are chosen by the weighted validation log loss. Where the validation rows hold one class only, 100 rounds are done. The
edges of bins are quantiles of the rows, unweighted, the same for all outcomes known at the same rows.
Cost: 7 s per cell of surgical (8,450 training rows, one thread).
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import xgboost as xgb
from numpy.typing import NDArray

from bench import prep
from bench.core import Cohort, Count, NonNegative, Positive, PositiveShare, Run
from bench.pertask import Data, PerTask, fit_per_task, once
from bench.search import Range

UNSTOPPED_ROUNDS = QUICK_ROUNDS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """One outcome's trees, up to the best round."""

    booster: xgb.Booster
    types: list[str]
    parameters: int
    steps: int
    at_cap: bool
    scores: list[float]

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        return self.booster.predict(xgb.DMatrix(x, feature_types=self.types, enable_categorical=True, nthread=1))


@dataclass(frozen=True, kw_only=True)
class XGBoost:
    family: ClassVar[str] = "trees"

    rounds: Count = 3000  # a cap: early stopping ends far below
    rate: Annotated[Positive, Range(0.01, 0.1, log=True)] = 0.03
    depth: Annotated[Count, Range(2, 8)] = 4
    min_weight: Annotated[NonNegative, Range(0.5, 32, log=True)] = 2.0  # sum of p(1 - p) a leaf needs
    l2: Annotated[NonNegative, Range(0.1, 100, log=True)] = 5.0
    rows: Annotated[PositiveShare, Range(0.5, 1.0)] = 0.8  # share drawn for each tree
    columns: Annotated[PositiveShare, Range(0.2, 1.0)] = 0.5
    patience: Count = 50

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> PerTask:
        flat = prep.flatten(train)
        types = ["c" if code else "q" for code in flat.categorical]
        how: Any = {"feature_types": types, "enable_categorical": True, "nthread": run.threads}
        binned = once(lambda x: xgb.QuantileDMatrix(x, **how))

        def fit(data: Data, held_out: Data) -> Ensemble:
            rows = binned(data)
            rows.set_info(label=data.y, weight=data.w)
            held = xgb.DMatrix(held_out.x, label=held_out.y, weight=held_out.w, **how) if held_out.stops else None
            return self._fit(rows, held, types, run)

        return fit_per_task(flat, train, valid, run, fit)

    def _fit(self, rows: xgb.DMatrix, held: xgb.DMatrix | None, types: list[str], run: Run) -> Ensemble:
        cap = min(self.rounds, QUICK_ROUNDS) if run.quick else self.rounds
        scores: dict[str, dict[str, list[float]]] = {}
        stopping: dict[str, Any] = {}
        if held is not None:
            stopping = {"evals": [(held, "valid")], "early_stopping_rounds": self.patience, "evals_result": scores}
        else:
            cap = min(cap, UNSTOPPED_ROUNDS)
        booster = xgb.train(self._parameters(run), rows, cap, verbose_eval=False, **stopping)
        done = booster.num_boosted_rounds()
        kept = booster if held is None else booster[: booster.best_iteration + 1]
        leaves = sum(tree.count("leaf=") for tree in kept.get_dump())
        return Ensemble(kept, types, leaves, done, done == cap, scores["valid"]["logloss"] if scores else [])

    def _parameters(self, run: Run) -> dict[str, Any]:
        return {
            "objective": "binary:logistic", "eval_metric": "logloss", "tree_method": "hist", "device": "cpu",
            "nthread": run.threads, "seed": run.seed % 2**31, "verbosity": 0, "eta": self.rate, "max_depth": self.depth,
            "min_child_weight": self.min_weight, "lambda": self.l2, "subsample": self.rows, "colsample_bytree": self.columns,
        }  # fmt: skip


METHOD = XGBoost
