"""CatBoost, joint: symmetric trees whose leaves hold a value for every outcome, one ensemble for all of them.

Prokhorenkova, Gusev, Vorobev, Dorogush and Gulin, "CatBoost: unbiased boosting with categorical features", NeurIPS 2018, with the
library's objective for several labels, MultiCrossEntropy: mean over outcomes of the cross-entropy, a tree's questions chosen for
all of them. With labels of 0 and 1 it is MultiLogloss.
The library knows weights of rows only and no missing label. Both are folded into soft labels: with v_i the greatest weight in
row i and r_it = w_it / v_i (0 where unknown), row i weighs v_i and its label is q_it = p_it + r_it (y_it - p_it), p_it the
probability reached so far. The derivative is then exactly w_it (p_it - y_it): 0 where unknown. Since cross-entropy is linear in
the label, v CE(q, z) = w CE(y, z) + (v - w) CE(p, z): the masked, weighted loss and a pull towards the present p, which is taken
anew every `refresh` rounds (a proximal step: the loss that counts still falls, and its minimum is the true one).
With all labels known at equal weights nothing is changed: q = y.
Published: code (catboost/catboost); nothing on this objective.
Departures: the soft labels are ours. Codes are split as sets of one (255 categories at most; above that by target statistics).
The rounds are chosen by the harness's validation score; where no outcome shows both classes in validation, 100 rounds are done.
Starts at probability .5, since the library takes no other start for this objective.
Cost: 10 s per cell of surgical, as much as one ensemble per outcome.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import catboost as cb
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bench import prep
from bench.core import Cohort, Count, NonNegative, Positive, PositiveShare, Run
from bench.pertask import Block, Joint, coded, fit_joint

UNSTOPPED_ROUNDS = QUICK_ROUNDS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """The trees, of which the first `kept` are used. tasks: T."""

    booster: Any
    codes: list[int]
    kept: int
    tasks: int
    parameters: int
    steps: int
    at_cap: bool
    scores: list[float]

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        raw = self.booster.predict(_inputs(x, self.codes), "RawFormulaVal", 0, self.kept, thread_count=1)
        return expit(np.reshape(raw, (len(x), self.tasks)))


@dataclass(frozen=True, kw_only=True)
class CatBoostJoint:
    """rounds: a cap, early stopping ends far below. rate: shrinkage. depth: questions per tree. l2: on the leaves.

    columns: share drawn for each level. borders: values a number is cut at. patience: rounds without a better score.
    refresh: rounds after which the soft labels are set anew and the scores looked at.
    """

    family: ClassVar[str] = "trees"

    rounds: Count = 3000
    rate: Positive = 0.05
    depth: Count = 5
    l2: NonNegative = 3.0
    columns: PositiveShare = 0.5
    borders: Count = 32
    patience: Count = 50
    refresh: Count = 25

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Joint:
        flat = prep.flatten(train)
        codes = np.flatnonzero(flat.categorical).tolist()
        return fit_joint(flat, train, valid, run, lambda data, held_out: self._fit(data, held_out, codes, run))

    def _fit(self, data: Block, held_out: Block, codes: list[int], run: Run) -> Ensemble:
        cap = min(self.rounds, QUICK_ROUNDS) if run.quick else self.rounds
        cap = cap if held_out.stops else min(cap, UNSTOPPED_ROUNDS)
        rows, others = _inputs(data.x, codes), _inputs(held_out.x, codes)
        z, other_z = np.zeros(data.y.shape), np.zeros(held_out.y.shape)
        booster: Any = None
        done, scores = 0, list[float]()
        while done < cap and len(scores) - _best(scores) < self.patience:
            more = min(self.refresh, cap - done)
            settings = self._settings(run) | {"iterations": more, "random_seed": (run.seed + done) % 2**31}
            booster = cb.train(_soft(data, z, codes), settings, init_model=booster)
            z = z + _stages(booster, rows, z, done)[-1]
            if held_out.stops:
                stages = _stages(booster, others, other_z, done)
                scores += [held_out.score(expit(other_z + stage)) for stage in stages]
                other_z = other_z + stages[-1]
            done += more
        kept = _best(scores) or done
        tasks = data.y.shape[1]
        leaves = int(np.sum(booster.get_tree_leaf_counts()[:kept])) * tasks
        return Ensemble(booster, codes, kept, tasks, leaves, done, done == cap, scores)

    def _settings(self, run: Run) -> dict[str, Any]:
        return {
            "loss_function": "MultiCrossEntropy", "thread_count": run.threads, "learning_rate": self.rate, "depth": self.depth,
            "l2_leaf_reg": self.l2, "rsm": self.columns, "border_count": self.borders, "boosting_type": "Plain",
            "leaf_estimation_iterations": 1, "one_hot_max_size": 255, "allow_writing_files": False, "verbose": False,
        }  # fmt: skip


def soft_labels(data: Block, z: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Labels (n, T) and weights of rows (n,) whose cross-entropy has, at log-odds z, the derivative w (p - y)."""
    row = data.w.max(axis=1)
    p = expit(z)
    return p + data.w / row[:, None] * (data.target - p), row


def _soft(data: Block, z: NDArray[np.float64], codes: list[int]) -> cb.Pool:
    labels, weight = soft_labels(data, z)
    return cb.Pool(coded(data.x, codes), labels, weight=weight, cat_features=codes, thread_count=1)


def _inputs(x: NDArray[Any], codes: list[int]) -> cb.Pool:
    return cb.Pool(coded(x, codes), cat_features=codes, thread_count=1)


def _stages(booster: Any, pool: cb.Pool, like: NDArray[Any], start: int) -> list[NDArray[np.float64]]:
    """What the trees from `start` on add to the log-odds (n, T), after each of them."""
    stages = booster.staged_predict(pool, "RawFormulaVal", ntree_start=start, thread_count=1)
    return [np.reshape(stage, like.shape) for stage in stages]


def _best(scores: list[float]) -> int:
    """The number of rounds up to the best; 0 without scores."""
    return int(np.argmin(scores)) + 1 if scores else 0


METHOD = CatBoostJoint
