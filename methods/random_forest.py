"""Random forest: one forest of trees whose leaves hold the risk of every outcome.

Breiman, "Random Forests", Machine Learning 2001, with several outputs (scikit-learn): every tree is grown on a bootstrap sample,
every split is the best of a random choice of columns by the drop in squared error (for labels of 0 and 1 half the Gini index),
averaged over outcomes; a patient's risk is the mean over trees of the share of events in the leaf.
Adapter: scikit-learn takes no unknown label and weights of rows only. Outcomes that are known in the same rows with the same
weights share one forest, grown on those rows: one forest in all for complete labels, one per outcome where each lacks other rows.
(Prevalences in place of unknown labels would keep one forest, and pull towards the prevalence where labels are missing.)
Missing numbers take the better branch at every split.
Published: code (Fortran; later R and scikit-learn) and error rates on small public tables.
Departures: leaves of at least 5 rows, for probabilities; a tree without a split, the prevalence, is averaged in, so that no risk
is 0; codes enter as numbers in the order of the categories. Validation rows are not used.
Cost: 11 s per cell of surgical, whose outcomes share one forest; as many times that as there are forests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from bench import prep
from bench.core import Cohort, Count, PositiveShare, Run
from bench.pertask import Block, Joint, fit_joint
from bench.search import Choice

QUICK_TREES = 50


@dataclass(frozen=True, slots=True, eq=False)
class Forests:
    """One forest for each group of outcomes. rates: (T,) prevalences. Nothing is stopped, so nothing is at a cap."""

    groups: Sequence[tuple[NDArray[np.int64], RandomForestRegressor]]
    rates: NDArray[np.float64]
    at_cap: bool = False
    scores: tuple[float, ...] = ()

    @property
    def steps(self) -> int:
        return sum(len(forest.estimators_) for _, forest in self.groups)

    @property
    def parameters(self) -> int:
        """Leaves times the outcomes they speak of."""
        leaves = [sum(int(tree.tree_.n_leaves) for tree in forest.estimators_) for _, forest in self.groups]
        return sum(count * len(tasks) for count, (tasks, _) in zip(leaves, self.groups, strict=True))

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        p = np.tile(self.rates, (len(x), 1))
        for tasks, forest in self.groups:
            trees = len(forest.estimators_)
            p[:, tasks] += trees * forest.predict(x).reshape(len(x), -1)
            p[:, tasks] /= trees + 1
        return p


@dataclass(frozen=True, kw_only=True)
class RandomForest:
    """trees: in a forest. leaf: rows a leaf needs. columns: share tried at each split, None = the square root of their number."""

    family: ClassVar[str] = "trees"

    trees: Count = 200
    leaf: Annotated[Count, Choice((1, 2, 5, 10, 20, 50))] = 5
    columns: Annotated[PositiveShare | None, Choice((None, 0.05, 0.1, 0.2, 0.4))] = None

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Joint:
        return fit_joint(prep.flatten(train), train, valid, run, lambda data, _: self._fit(data, run))

    def _fit(self, data: Block, run: Run) -> Forests:
        _, group = np.unique(data.w, axis=1, return_inverse=True)
        groups = [np.flatnonzero(group == g) for g in range(group.max() + 1)]
        return Forests([(tasks, self._grow(data, tasks, run)) for tasks in groups], data.prevalence)

    def _grow(self, data: Block, tasks: NDArray[np.int64], run: Run) -> RandomForestRegressor:
        weight = data.w[:, tasks[0]]
        known = weight > 0
        columns: Any = self.columns or "sqrt"
        forest = RandomForestRegressor(
            min(self.trees, QUICK_TREES) if run.quick else self.trees, min_samples_leaf=self.leaf, max_features=columns,
            n_jobs=run.threads, random_state=run.seed % 2**31,
        )  # fmt: skip
        labels = data.target[known][:, tasks]
        even = np.ptp(weight[known]) == 0  # then no weights: scikit-learn draws other bootstrap samples where there are any
        return forest.fit(data.x[known], labels if len(tasks) > 1 else labels[:, 0], None if even else weight[known])


METHOD = RandomForest
