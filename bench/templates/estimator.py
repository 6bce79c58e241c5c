"""mine: a classifier of scikit-learn for each outcome. Say here in a line what yours does, and its source."""

from dataclasses import dataclass
from types import SimpleNamespace

from bench import prep
from bench.core import Cohort, Run
from bench.pertask import Data, PerTask, fit_per_task
from sklearn.linear_model import LogisticRegression  # or any other that has predict_proba and takes weights


@dataclass(frozen=True, kw_only=True)
class Mine:
    c: float = 0.1  # a setting: --methods ./mine.py:c=1

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> PerTask:
        def one(data: Data, held_out: Data) -> SimpleNamespace:  # x (n, p), y (n,) 0 or 1, w (n,) weights, where y is known
            model = LogisticRegression(C=self.c, max_iter=1000, random_state=run.seed % 2**32).fit(data.x, data.y, data.w)
            facts = {"parameters": model.coef_.size, "steps": int(model.n_iter_[0]), "at_cap": False, "scores": []}
            return SimpleNamespace(predict=lambda x: model.predict_proba(x)[:, 1], **facts)

        return fit_per_task(prep.linear(train), train, valid, run, one)  # filled in and scaled; prep.flatten: NaN = missing


METHOD = Mine
