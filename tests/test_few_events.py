"""With 10 to 19 events in all there is an AUROC with its interval, and no other number."""

import numpy as np
import pytest

from bench.bootstrap import Cell, draw, sums
from bench.stats.estimates import METRICS, Plan, estimates, of_folds


@pytest.mark.parametrize(("events", "others"), [(20, "AUROC, AP, Brier score and log loss"), (19, "AUROC alone")])
def test_under_twenty_events_there_is_an_auroc_alone(events: int, others: str) -> None:
    # the events of the second outcome: 10 in the first fold, the others in the second
    y = np.zeros((100, 2))
    y[:30, 0], y[:events, 1] = 1, 1
    fold = np.where(np.arange(100) < 10, 0, np.arange(100) % 2)
    fold[10:20] = 1
    p = np.random.default_rng(0).random((1, 100, 2))
    made = [Cell(0, f, np.flatnonzero(fold == f), y[fold == f], np.ones(y[fold == f].shape), p[:, fold == f]) for f in (0, 1)]
    plan = Plan.of(made, ["a"], "a")
    counts, _ = draw(fold, 50, 0, plan.defined)
    parts = sums(made, np.column_stack([np.ones(100, np.uint16), counts]))
    values, by_fold = estimates(parts, plan, plan.scope).values[0], of_folds(parts, plan)[0]
    shown = [name for k, name in enumerate(METRICS) if np.isfinite(values[1, k]).all()]
    assert shown == (list(METRICS) if events == 20 else ["auroc"]), others
    assert np.isfinite(values[[0, 2]]).all()  # the other outcome, and the mean over those with 20 events or more
    assert np.isfinite(by_fold[1]).any(axis=1).tolist() == [name in shown for name in METRICS]
    if events == 19:
        assert np.array_equal(values[2], values[0])
