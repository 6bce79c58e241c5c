"""CatBoost, joint: symmetric trees whose leaves hold a value for every outcome, one ensemble for all of them.

Prokhorenkova, Gusev, Vorobev, Dorogush and Gulin, "CatBoost: unbiased boosting with categorical features", NeurIPS 2018, with the
library's objective for several labels, MultiCrossEntropy: mean over outcomes of the cross-entropy, a tree's questions chosen for
all of them. With labels of 0 and 1 it is MultiLogloss.
Adapter: the library knows weights of rows only and no missing label. Here both are masked and weighted label by label:
- leaf values are the library's Newton step, -rate G_t / (H_t + l2 m_t), over the known labels with their own weights, m_t the
  mean of those (G_t, H_t: sums of first and second derivatives); they replace the library's after every `refresh` trees;
- questions are chosen on soft labels. With v_i the greatest weight in row i and r_it = w_it / v_i (0 where unknown), row i weighs
  v_i and its label is q_it = p_it + r_it (y_it - p_it), p_it the probability reached so far. The derivative there is exactly
  w_it (p_it - y_it), 0 where unknown. Since v CE(q, z) = w CE(y, z) + (v - w) CE(p, z), all that is added is a pull towards the
  present p, which is taken anew every `refresh` rounds.
With all labels known at equal weights q = y, and the trees are the library's.
Published: code (catboost/catboost); nothing on this objective.
Departures: all that concerns masks and weights. Codes are split as sets of one (255 categories at most; above that by target
statistics). A first tree without effect sets the start to the log-odds of the prevalence, where the library starts at .5.
The rounds are chosen by the validation log loss relative to the prevalence's, averaged over outcomes; where none shows both
classes in validation, 100 rounds are done.
Cost: 10 s per cell of surgical, a little less than one ensemble per outcome.
"""

import pickle
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import catboost as cb
import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from scipy.special import expit, logit

from bench import prep
from bench.core import Cohort, Count, NonNegative, Positive, PositiveShare, Run
from bench.pertask import Block, Joint, coded, fit_joint
from bench.search import Choice, Range

UNSTOPPED_ROUNDS = QUICK_ROUNDS = 100
Depth = Annotated[int, Ge(1), Le(16)]  # the library takes no more
Array = NDArray[np.float64]


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
        raw = self.booster.predict(_pool(x, self.codes), "RawFormulaVal", 0, self.kept, thread_count=1)
        return expit(np.reshape(raw, (len(x), self.tasks)))


@dataclass(frozen=True, kw_only=True)
class CatBoostJoint:
    """rounds: a cap, early stopping ends far below. rate: shrinkage. depth: questions per tree. l2: on the leaves.

    columns: share drawn for each level. borders: values a number is cut at. patience: rounds without a better score.
    refresh: rounds after which the soft labels are set anew and the scores looked at.
    """

    family: ClassVar[str] = "trees"

    rounds: Count = 3000
    rate: Annotated[Positive, Range(0.01, 0.15, log=True)] = 0.05
    depth: Annotated[Depth, Range(3, 8)] = 5
    l2: Annotated[NonNegative, Range(0.5, 50, log=True)] = 3.0
    columns: Annotated[PositiveShare, Range(0.2, 1.0)] = 0.5
    borders: Annotated[Count, Choice((32, 64, 128))] = 32
    patience: Count = 50
    refresh: Count = 25

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Joint:
        flat = prep.flatten(train)
        codes = np.flatnonzero(flat.categorical).tolist()
        return fit_joint(flat, train, valid, run, lambda data, held_out: self._fit(data, held_out, codes, run))

    def _fit(self, data: Block, held_out: Block, codes: list[int], run: Run) -> Ensemble:
        cap = min(self.rounds, QUICK_ROUNDS) if run.quick else self.rounds
        cap = cap if held_out.stops else min(cap, UNSTOPPED_ROUNDS)
        rows, others = _pool(data.x, codes), _pool(held_out.x, codes)
        start = logit(data.prevalence)
        z, other_z = np.tile(start, (len(data.y), 1)), np.tile(start, (len(held_out.y), 1))
        booster: Any = cb.train(_pool(data.x, codes, *soft_labels(data, z)), self._settings(run, 0) | {"iterations": 1})
        booster = _with_values(booster, [start] * booster.get_tree_leaf_counts()[0])  # a tree that says the same of all
        done, scores = 0, list[float]()
        while done < cap and len(scores) - _best(scores) < self.patience:
            settings = self._settings(run, done) | {"iterations": min(self.refresh, cap - done)}
            booster = cb.train(_pool(data.x, codes, *soft_labels(data, z)), settings, init_model=booster)
            leaves = booster.calc_leaf_indexes(rows, ntree_start=done + 1)
            values, z = newton(data, z, leaves, booster.get_tree_leaf_counts()[done + 1 :], self.rate, self.l2)
            booster = _with_values(booster, values)
            if held_out.stops:
                stages = booster.staged_predict(others, "RawFormulaVal", ntree_start=done + 1, thread_count=1)
                after = [other_z + np.reshape(stage, other_z.shape) for stage in stages]
                scores += [held_out.score(each) for each in after]
                other_z = after[-1]
            done += leaves.shape[1]
        kept = _best(scores) or done
        tasks = data.y.shape[1]
        parameters = int(booster.get_tree_leaf_counts()[1 : kept + 1].sum()) * tasks
        return Ensemble(booster, codes, kept + 1, tasks, parameters, done, done == cap, scores)

    def _settings(self, run: Run, done: int) -> dict[str, Any]:
        return {
            "loss_function": "MultiCrossEntropy", "thread_count": run.threads, "random_seed": (run.seed + done) % 2**31,
            "learning_rate": self.rate, "depth": self.depth, "l2_leaf_reg": self.l2, "rsm": self.columns,
            "border_count": self.borders, "boosting_type": "Plain", "leaf_estimation_iterations": 1, "one_hot_max_size": 255,
            "allow_writing_files": False, "verbose": False,
        }  # fmt: skip


def soft_labels(data: Block, z: Array) -> tuple[Array, Array]:
    """Labels (n, T) and weights of rows (n,) whose cross-entropy has, at log-odds z, the derivative w (p - y)."""
    row = data.w.max(axis=1)
    p = expit(z)
    return p + data.w / row[:, None] * (data.target - p), row


def newton(
    data: Block, z: Array, leaves: NDArray[Any], counts: NDArray[Any], rate: float, l2: float
) -> tuple[list[Array], Array]:
    """Values (T,) of all leaves, tree after tree, and log-odds (n, T) after the last. leaves: (n, trees). counts: (trees,)."""
    values: list[Array] = []
    mean = data.w.sum(axis=0) / np.maximum((data.w > 0).sum(axis=0), 1)
    for leaf, count in zip(leaves.T, counts, strict=True):
        p = expit(z)
        g, h = (
            np.column_stack([np.bincount(leaf, column, count) for column in each.T])
            for each in (data.w * (p - data.target), data.w * p * (1 - p))
        )
        value = -rate * g / np.maximum(h + l2 * mean, 1e-12)
        values += list(value)
        z = z + value[leaf]
    return values, z


def _with_values(booster: Any, values: list[Array]) -> Any:
    """The booster with other values in its last leaves; through pickle, since training would go on from the old ones."""
    flat = booster.get_leaf_values()
    flat[len(flat) - len(values) * len(values[0]) :] = np.concatenate(values)
    booster.set_leaf_values(flat)
    return pickle.loads(pickle.dumps(booster))


def _pool(x: NDArray[Any], codes: list[int], label: Array | None = None, weight: Array | None = None) -> cb.Pool:
    return cb.Pool(coded(x, codes), label, weight=weight, cat_features=codes, thread_count=1)


def _best(scores: list[float]) -> int:
    """The number of rounds up to the best; 0 without scores."""
    return int(np.argmin(scores)) + 1 if scores else 0


METHOD = CatBoostJoint
