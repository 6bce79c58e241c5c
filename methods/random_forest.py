"""Random forest: one forest of trees whose leaves hold the risk of every outcome.

Breiman, "Random Forests", Machine Learning 2001, with several outputs (scikit-learn): every tree is grown on a bootstrap sample,
every split is the best of a random choice of columns by the drop in squared error (for labels of 0 and 1 half the Gini index),
averaged over outcomes; a patient's risk is the mean over trees of the share of events in the leaf.
One forest also where labels are unknown or weighted, which scikit-learn does not take: the trees are grown with the prevalence in
place of unknown labels, which pulls to neither class, and rows weighted by their mean weight; then every leaf is counted anew,
outcome by outcome, over the known labels of the tree's bootstrap sample with their own weights, and `prior` rows at the
prevalence, so that a leaf without a known label has a risk too. With all labels known, equal weights and prior=0 it is
scikit-learn's own forest. Missing numbers take the better branch at every split.
Published: code (Fortran, later R and scikit-learn) and error rates on 20 small tables.
Departures: leaves of at least 5 rows, for probabilities; prior rows; codes enter as numbers in the order of the categories.
Validation rows are not used.
Cost: 8 s per cell of surgical, less than one forest of the same size per outcome by the number of outcomes.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from bench import prep
from bench.core import Cohort, Count, NonNegative, PositiveShare, Run
from bench.pertask import Block, Joint, fit_joint

QUICK_TREES = 50


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """The trees and, for each, the risks (nodes, T) in its leaves. Nothing is stopped, so nothing is at a cap."""

    trees: RandomForestRegressor
    risks: list[NDArray[np.float64]]
    parameters: int
    at_cap: bool = False
    scores: tuple[float, ...] = ()

    @property
    def steps(self) -> int:
        return len(self.risks)

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        leaves = self.trees.apply(x)  # (n, trees)
        return np.mean([risk[leaves[:, b]] for b, risk in enumerate(self.risks)], axis=0)


@dataclass(frozen=True, kw_only=True)
class RandomForest:
    """trees: in the forest. leaf: rows a leaf needs. columns: share tried at each split, None = the square root of their number.

    prior: rows at the prevalence added to every leaf. bootstrap: rows drawn for each tree with replacement, or all of them.
    """

    family: ClassVar[str] = "trees"

    trees: Count = 200
    leaf: Count = 5
    prior: NonNegative = 1.0
    columns: PositiveShare | None = None
    bootstrap: bool = True

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Joint:
        return fit_joint(prep.flatten(train), train, valid, run, lambda data, _: self._fit(data, run))

    def _fit(self, data: Block, run: Run) -> Forest:
        known = data.w > 0
        columns: Any = self.columns or "sqrt"
        forest = RandomForestRegressor(
            min(self.trees, QUICK_TREES) if run.quick else self.trees, min_samples_leaf=self.leaf, bootstrap=self.bootstrap,
            max_features=columns, n_jobs=run.threads, random_state=run.seed % 2**31,
        )  # fmt: skip
        filled = np.where(known, data.target, data.prevalence)
        forest.fit(data.x, filled if filled.shape[1] > 1 else filled[:, 0], data.w.sum(axis=1) / known.sum(axis=1))
        leaves = forest.apply(data.x)
        pairs = zip(leaves.T, forest.estimators_, forest.estimators_samples_, strict=True)
        risks = [self._risks(data, leaf[drawn], drawn, tree.tree_.node_count) for leaf, tree, drawn in pairs]
        return Forest(forest, risks, sum(int(tree.tree_.n_leaves) for tree in forest.estimators_) * data.y.shape[1])

    def _risks(self, data: Block, leaf: NDArray[Any], drawn: NDArray[Any], nodes: int) -> NDArray[np.float64]:
        """(nodes, T) weighted share of events among the drawn rows that fall into each leaf."""
        w, prevalence = data.w[drawn], data.prevalence
        weight, events = (
            np.column_stack([np.bincount(leaf, column, nodes) for column in each.T]) for each in (w, w * data.target[drawn])
        )
        prior = max(self.prior, 1e-9)
        return (events + prior * prevalence) / (weight + prior)


METHOD = RandomForest
