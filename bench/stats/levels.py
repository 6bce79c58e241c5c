"""What is left of a prediction when modalities are missing at the test: values at every rate, and what is lost, paired.

The same fitted models predict the same test rows with each modality of a row missing with a probability (`bench.views`), so that a
loss is of the information and of how a method takes its absence, not of another training. All rates share the draws of the table:
at rate 0 value and interval are the table's, and a method that does not look at what is gone loses exactly 0.

NaN: as in the table (`bench.stats.estimates`), and a loss with fewer than 20 events. A method without predictions of a rate has no
row of it, one that lacks some of its cells is estimated on the others; its loss is of the cells that it has at both.
"""

from typing import Any

import numpy as np
import pandas as pd

from bench.bootstrap import Vector
from bench.stats.estimates import Evidence
from bench.stats.intervals import bounds
from bench.stats.joining import joined, paired, shared
from bench.stats.scoring import columns, limits

VIEW = "test:missing="
ROBUSTNESS = ["method", "task", "metric", "missing", "masked", "value", "low", "high", "lost", "lost_low", "lost_high"]


def robustness(evidence: Evidence, predictions: pd.DataFrame, cells: pd.DataFrame, how: str = "percentile") -> pd.DataFrame:
    """ROBUSTNESS: rate by rate, 0 first, every method that has one above 0. Empty where no such predictions are stored.

    missing: the rate. masked: the share of modalities that is really gone, a mean over cells; NaN where the cells do not say. lost: value at
    0 less value, in the metric's own units, so that a Brier score or log loss that rises is a loss below 0. Intervals of 95 %
    as `how` says, of these models; nothing is adjusted. predictions: all views. cells: method, maybe masked (view -> share).
    """
    views = {str(view) for view in predictions["view"].unique() if str(view).startswith(VIEW)}
    found: list[pd.DataFrame] = []
    for view in sorted(views, key=_rate):
        own = predictions[predictions["view"] == view]
        labels = {method: f"{method} {view}" for method in evidence.methods if (own["method"] == method).any()}
        both = joined(evidence, own.assign(method=own["method"].map(labels)), list(labels.values()))
        for method, label in labels.items():
            known = {"missing": _rate(view), "masked": _masked(cells, method, view)}
            found.append(_table(both, method, label, how).assign(**known))
    seen = {str(table["method"].iloc[0]) for table in found}
    whole = [_table(evidence, m, m, how).assign(missing=0.0, masked=0.0) for m in evidence.methods if m in seen]
    return pd.concat([*whole, *found], ignore_index=True)[ROBUSTNESS] if found else pd.DataFrame(columns=ROBUSTNESS)


def _rate(view: str) -> float:
    return float(view.removeprefix(VIEW))


def _table(both: Evidence, method: str, label: str, how: str) -> pd.DataFrame:
    """A method as it is under another label, and what it has lost: method, task, metric, value, low, high, lost, lost_low, lost_high."""
    m, at = both.labels.index(method), both.labels.index(label)
    low, high = limits(both, at, how)
    first, now = paired(both, [method, label])
    change = first - now
    lost_low, lost_high = bounds(both, change, [m, at], shared(both, [method, label]), how)
    arrays: dict[str, Vector] = {"value": both.found.values[at, ..., 0], "low": low, "high": high, "lost": change[..., 0]}
    arrays |= {"lost_low": _known(lost_low, change), "lost_high": _known(lost_high, change)}
    rows: list[dict[str, Any]] = [
        {"method": method, "task": task, "metric": metric, **{name: array[t, k] for name, array in arrays.items()}}
        for t, task, k, metric in columns(both.tasks)
    ]
    return pd.DataFrame(rows)


def _known(limit: Vector, change: Vector) -> Vector:
    """Nothing is known of what cannot be defined; where no resample changes anything, no method of interval has a say."""
    constant = np.ptp(change, axis=-1) == 0
    return np.where(constant, change[..., 0], np.where(np.isnan(change[..., 0]), np.nan, limit))


def _masked(cells: pd.DataFrame, method: str, view: str) -> float:
    own = cells.loc[cells["method"] == method, "masked"] if "masked" in cells else pd.Series(dtype=object)
    shares = [float(share[view]) for share in own if view in share]
    return float(np.mean(shares)) if shares else float("nan")
