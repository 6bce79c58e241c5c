"""XGBoost, joint: boosted trees whose leaves hold a value for every outcome, one ensemble for all of them.

Chen and Guestrin, "XGBoost: A Scalable Tree Boosting System", KDD 2016, with vector leaves (`multi_strategy=multi_output_tree`;
Zhang and Jung, "GBDT-MO: Gradient-Boosted Decision Trees for Multiple Outputs", IEEE TNNLS 2021). With the sums G_t and H_t of
first and second derivatives over a node's rows, a leaf's value is (-G_t / (H_t + l2)) for every t and a split's gain
1/2 sum_t [G_Lt^2 / (H_Lt + l2) + G_Rt^2 / (H_Rt + l2) - G_t^2 / (H_t + l2)]: commoner outcomes choose more of the splits.
Adapter: the library takes dense labels and weights per row only, so the derivatives are ours: g = w (p - y), h = w p (1 - p),
and for an unknown label g = 0, h = 1e-6. Missing values take the better branch at every split.
Published: GBDT-MO's code and results on public tables, faster than one ensemble per output and as good; XGBoost calls its own
vector leaves experimental.
Departures: codes become one column a category, since vector leaves do not split sets of categories; other settings as of
`xgboost`, but the library applies `min_weight` to vector leaves outcome by outcome: where H_t of a leaf is below it, the leaf
says 0 of t and adds nothing to the gain, while a split that serves other outcomes stands. Start at the log-odds of each
outcome's prevalence; one clock for all, on the validation log loss relative to the prevalence's, averaged over outcomes. Where
none shows both classes in validation, 100 rounds are done.
Cost: 12 s per cell of surgical, 1.7 times one ensemble per outcome.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from scipy.special import expit, logit

from bench import prep
from bench.core import Cohort, Count, Inputs, NonNegative, Positive, PositiveShare, Run
from bench.pertask import Block, Joint, fit_joint
from bench.prep.columns import TableColumns
from bench.search import Range

UNSTOPPED_ROUNDS = QUICK_ROUNDS = 100
TINY = 1e-6  # second derivative of an unknown label: a leaf without known labels has a value, 0


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """The trees up to the best round, and the log-odds they start from."""

    booster: xgb.Booster
    tasks: int
    parameters: int
    steps: int
    at_cap: bool
    scores: list[float]

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        return expit(self.booster.predict(xgb.DMatrix(x)).reshape(len(x), self.tasks))


@dataclass(frozen=True, kw_only=True)
class XGBoostJoint:
    """rounds: a cap, early stopping ends far below. rate: shrinkage. depth: of a tree. min_weight: sum of an outcome's
    h over the rows of a leaf, below which the leaf says 0 of it. l2: on the leaves. rows, columns: share drawn for each tree.
    patience: rounds without a better score.
    """

    family: ClassVar[str] = "trees"

    rounds: Count = 3000
    rate: Annotated[Positive, Range(0.01, 0.1, log=True)] = 0.03
    depth: Annotated[Count, Range(2, 8)] = 4
    min_weight: Annotated[NonNegative, Range(0.5, 32, log=True)] = 2.0
    l2: Annotated[NonNegative, Range(0.1, 100, log=True)] = 5.0
    rows: Annotated[PositiveShare, Range(0.5, 1.0)] = 0.8
    columns: Annotated[PositiveShare, Range(0.2, 1.0)] = 0.5
    patience: Count = 50

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Joint:
        prepare = Categories.of(prep.flatten(train))
        return fit_joint(prepare, train, valid, run, lambda data, held_out: self._fit(data, held_out, run))

    def _fit(self, data: Block, held_out: Block, run: Run) -> Ensemble:
        cap = min(self.rounds, QUICK_ROUNDS) if run.quick else self.rounds
        history: dict[str, dict[str, list[float]]] = {}
        stopping: dict[str, Any] = {}
        if held_out.stops:
            stopping = {
                "evals": [(_matrix(held_out, run), "valid")], "early_stopping_rounds": self.patience, "evals_result": history,
                "custom_metric": lambda z, _: ("score", held_out.score(z.reshape(held_out.y.shape))),
            }  # fmt: skip
        else:
            cap = min(cap, UNSTOPPED_ROUNDS)
        start = {"base_score": logit(data.prevalence).tolist()}
        booster = xgb.train(
            self._parameters(run) | start, _matrix(data, run), cap, obj=lambda z, _: derivatives(data, z), verbose_eval=False,
            **stopping,
        )  # fmt: skip
        done = booster.num_boosted_rounds()
        kept = booster[: booster.best_iteration + 1] if held_out.stops else booster
        leaves = sum(tree.count("leaf=") for tree in kept.get_dump())
        tasks = data.y.shape[1]
        return Ensemble(kept, tasks, leaves * tasks, done, done == cap, history["valid"]["score"] if history else [])

    def _parameters(self, run: Run) -> dict[str, Any]:
        return {
            "multi_strategy": "multi_output_tree", "tree_method": "hist", "disable_default_eval_metric": 1, "device": "cpu",
            "nthread": run.threads, "seed": run.seed % 2**31, "verbosity": 0, "eta": self.rate, "max_depth": self.depth,
            "min_child_weight": self.min_weight, "lambda": self.l2, "subsample": self.rows, "colsample_bytree": self.columns,
        }  # fmt: skip


def derivatives(data: Block, z: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """First and second derivatives, (n, T) each, of the weighted log loss at log-odds z, (n, T) or (n * T,)."""
    p = expit(z.reshape(data.y.shape))
    return (data.w * (p - data.target)).astype(np.float32), np.maximum(data.w * p * (1 - p), TINY).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Categories:
    """A flat matrix with one 0/1 column a category in place of each column of codes, NaN where the code is missing."""

    flat: prep.Flat
    cards: tuple[int, ...]

    @classmethod
    def of(cls, flat: prep.Flat) -> "Categories":
        return cls(flat, tuple(k for part in flat.parts.values() if isinstance(part, TableColumns) for k in part.cards))

    def __call__(self, inputs: Inputs) -> NDArray[np.float32]:
        x, codes = self.flat(inputs), self.flat.categorical
        columns = [
            np.where(np.isnan(x[:, [j]]), np.nan, x[:, [j]] == np.arange(k))
            for j, k in zip(np.flatnonzero(codes), self.cards, strict=True)
        ]
        return np.column_stack([x[:, ~codes], *columns]).astype(np.float32)


def _matrix(data: Block, run: Run) -> xgb.DMatrix:
    return xgb.DMatrix(data.x, label=data.target, nthread=run.threads)


METHOD = XGBoostJoint
