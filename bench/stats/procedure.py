"""Statements about the procedure: would another training set say the same? From the folds' differences of two methods.

The bootstrap and DeLong take the fitted models as given. Here the unit is a fold: a difference of two methods trained on the
same rows and tested on the same rows. The folds of a cross-validation share training rows, so that their differences are not
independent, and no unbiased variance exists (Bengio and Grandvalet, JMLR 5, 2004). Nadeau and Bengio's correction inflates it;
it was derived for random splits and is a heuristic on repeated cross-validation. A Wilcoxon test or a plain t on folds is not
here on purpose: under a true null they fire far more often than they say.

n_train counts fitted and validation rows, so that n_test / n_train = 1 / (folds - 1). With a training size (`--train-size`) it still
counts those that the training rows were drawn from: the correction stands for the overlap of training sets, and thinned ones overlap
less. Under a true null (n = 1,000, 5 repeats of 5 folds, alpha .05) it fired 0.3, 3.5 and 5.1 % of the time at 50, 100 and 200 patients,
4.0 % at all 800; with n_test over the patients really learned from, a ratio of 4, 2 and 1, 0.0, 0.0 and 0.3 %: it could see nothing.
Folds weigh alike here, so that a difference may differ in the last digits from the table's, where they weigh by their pairs or events.
Folds without the metric (one class, fewer than 10 events for AP) are left out. NaN: fewer than 20 events, two differences or two folds
a repeat.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import nctdtr, stdtr, stdtrit

from bench import metrics
from bench.bootstrap import Sums, Vector
from bench.stats.decisions import POWER, is_loss, minimal_detectable, wald
from bench.stats.estimates import BAYES, MEAN, METRICS, PRIMARY, Evidence, Mask, estimates, of_folds, with_mean
from bench.stats.intervals import LEVEL

CORRECTED = ["method", "reference", "task", "metric", "difference", "se", "low", "high", "p", "folds", "repeats"]
BAYESIAN = ["method", "reference", "task", "metric", "better", "equivalent", "worse"]
SEEDS = ["method", "task", "metric", "sd", "of_difference", "repeats", "superior_allowed"]
TWO_ERRORS = 2.0  # standard errors under which nothing is called superior


def corrected(evidence: Evidence, of: Sequence[str] = PRIMARY) -> pd.DataFrame:
    """CORRECTED: the corrected resampled t of every method against the reference. low, high: 95 %. p: two-sided.

    folds, repeats: see `design`. Identical predictions: difference 0, p 1. of: which metrics.
    """
    table: list[dict[str, Any]] = []
    for label, task, metric, d in _fold_differences(evidence, of):
        folds, repeats = design(evidence, label)
        difference, se, df = corrected_t(d, folds)
        found = {name: float(x) for name, x in wald(difference, se, df).items()}
        row = {"method": label, "reference": evidence.reference, "task": task, "metric": metric, "difference": float(difference)}
        table.append(row | found | {"folds": folds, "repeats": repeats})
    return pd.DataFrame(table, columns=CORRECTED)


def bayes(evidence: Evidence, rope: float = 0.01, of: Sequence[str] = PRIMARY) -> pd.DataFrame:
    """BAYESIAN: the probabilities that a method is better than the reference by more than `rope`, within it, and worse.

    Corani and Benavoli, "A Bayesian approach for comparing cross-validated algorithms on multiple data sets", Machine Learning
    100, 2015: the posterior of the mean difference under their uninformative prior is the corrected t's distribution, so that it shares its
    weakness. rope: in units of the metric. For Brier score and log loss, better is lower.
    """
    table: list[dict[str, Any]] = []
    for label, task, metric, d in _fold_differences(evidence, of):
        folds, _ = design(evidence, label)
        shares = [float(x) for x in correlated_t(-d if is_loss(metric) else d, folds, rope)]
        row = {"method": label, "reference": evidence.reference, "task": task, "metric": metric}
        table.append(row | dict(zip(BAYESIAN[4:], shares, strict=True)))
    return pd.DataFrame(table, columns=BAYESIAN)


def seeds(evidence: Evidence, of: Sequence[str] = PRIMARY) -> pd.DataFrame:
    """SEEDS: the standard deviation over repeats of a method's value and of its difference from the reference.

    A repeat has its own split and its own seed of training: NaN with one repeat. superior_allowed: the difference is at least two
    of its standard errors by the corrected t, whatever other tests say; False for the reference and where there is none.
    repeats: that both the method and the reference have.
    """
    sd = _sd(_of_repeats(evidence, evidence.plan.scope))
    found = corrected(evidence, of).set_index(["method", "task", "metric"])
    allowed = {key: abs(row["difference"]) >= TWO_ERRORS * row["se"] > 0 for key, row in found.iterrows()}
    table: list[dict[str, Any]] = []
    for m, label in enumerate(evidence.methods):
        of_difference, (_, repeats) = _sd(_paired(evidence, m)), design(evidence, label)
        for t, task, k, metric in _columns(evidence, of):
            row = {"method": label, "task": task, "metric": metric, "sd": sd[m, t, k], "of_difference": of_difference[t, k]}
            table.append(row | {"repeats": repeats, "superior_allowed": bool(allowed.get((label, task, metric), False))})
    return pd.DataFrame(table, columns=SEEDS)


def corrected_t(differences: Vector, folds: int) -> tuple[Vector, Vector, Vector]:
    """Mean (...), its standard error (...) and degrees of freedom (...) of differences (..., n) over repeats x folds.

    Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003: the variance of the mean of n
    differences is (1 / n + n_test / n_train) s^2, with n - 1 degrees of freedom. NaN differences are left out.
    folds: of one repeat. NaN with fewer than two differences or folds.
    """
    known = ~np.isnan(differences)
    n = known.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(known, differences, 0.0).sum(axis=-1) / n
        squared = (np.where(known, differences - mean[..., None], 0.0) ** 2).sum(axis=-1)
        ratio = 1 / (folds - 1) if folds > 1 else np.nan
        se = np.sqrt((1 / n + ratio) * squared / np.where(n > 1, n - 1, np.nan))
    return np.where(np.isnan(se), np.nan, mean), se, np.where(n > 1, n - 1.0, np.nan)


def correlated_t(differences: Vector, folds: int, rope: float) -> tuple[Vector, Vector, Vector]:
    """P(mean difference > rope), P(within +-rope), P(< -rope), (...) each. differences: (..., n). NaN as for `corrected_t`.

    Differences that do not vary: all probability at their mean. Equal to baycomp's `two_on_single`.
    """
    mean, se, df = corrected_t(differences, folds)
    with np.errstate(divide="ignore", invalid="ignore"):
        worse = np.where(se > 0, stdtr(df, (-rope - mean) / se), np.where(np.isnan(mean), np.nan, mean < -rope))
        better = np.where(se > 0, stdtr(df, (mean - rope) / se), np.where(np.isnan(mean), np.nan, mean > rope))
    return better, 1 - better - worse, worse


def design(evidence: Evidence, label: str) -> tuple[int, int]:
    """Folds of a repeat, and the repeats of which a method and the reference have a fold in common."""
    plan = evidence.plan
    shared = plan.shared[plan.labels.index(label)]
    return len({cell.fold for cell in evidence.cells}), len(np.unique(plan.repeat[shared]))


@lru_cache
def noncentrality(df: float, power: float = POWER) -> float:
    """How many standard errors a true difference must be for the two-sided t at .05 to find it with this probability."""
    from scipy.optimize import brentq  # here, since it takes half a second to import and few reports ask

    critical = stdtrit(df, 1 - LEVEL / 2)

    def short_of(delta: float) -> float:  # being found with the wrong sign, once in a million, is left out
        return float(1 - power - nctdtr(df, delta, critical))

    root: Any = brentq(short_of, 0.5, 30.0)
    return float(root)


def detectable(folds: int, repeats: int) -> float:
    """The smallest true difference found with 80 % power, in standard deviations of the folds' differences."""
    n = folds * repeats
    return noncentrality(n - 1) * math.sqrt(1 / n + 1 / (folds - 1))


def weakness(folds: int, repeats: int) -> str:
    """What the corrected t can and cannot find with so many folds, in words."""
    if folds < 2:
        return "The corrected t needs 2 folds a repeat, but there is 1: nothing is said about the procedure."
    df = folds * repeats - 1
    times = f"{repeats} x {folds} folds" if repeats > 1 else f"{folds} folds"
    text = (
        f"The corrected t over {times} ({df} degree{'s' * (df > 1)} of freedom) is weak: it finds with 80 % power only a difference "
        f"of {detectable(folds, repeats):.1f} standard deviations of the folds' differences"
    )
    if repeats == 1:
        return f"{text} ({detectable(folds, 10):.1f} with 10 repeats); no difference found by it is no evidence of none."
    return f"{text}; further repeats do not take it below {least_detectable(folds):.1f}."


def least_detectable(folds: int) -> float:
    """`detectable` with any number of repeats: repeating splits the same patients again, it does not bring new ones."""
    return minimal_detectable(1.0) / math.sqrt(folds - 1)


def _fold_differences(evidence: Evidence, of: Sequence[str]) -> Iterator[tuple[str, str, str, Vector]]:
    """(method, task, metric, (C,) differences from the reference, NaN where one of them has none)."""
    if evidence.reference not in evidence.labels:
        return
    plan = evidence.plan
    values = with_mean(of_folds(evidence.parts, plan), plan.averaged)  # (M, T + 1, K, C)
    r = plan.labels.index(evidence.reference)
    enough = plan.fewest(plan.shared) >= metrics.TOTAL_EVENTS
    for m, label in enumerate(plan.labels):
        if label in (evidence.reference, BAYES) or not plan.shared[m].any():
            continue
        judged = np.append(enough[m], enough[m][plan.averaged[:, 0]].all())
        for t, task, k, metric in _columns(evidence, of):
            shown = plan.shared[m] & judged[t]
            yield label, task, metric, np.where(shown, values[m, t, k] - values[r, t, k], np.nan)


def _columns(evidence: Evidence, of: Sequence[str]) -> Iterator[tuple[int, str, int, str]]:
    for t, task in enumerate([*evidence.tasks, MEAN]):
        yield from ((t, task, k, metric) for k, metric in enumerate(METRICS) if metric in of)


def _of_repeats(evidence: Evidence, scope: Mask) -> Vector:
    """(R, M, T + 1, K) the observed values of each repeat over the cells of `scope`."""
    parts = Sums(**{f.name: getattr(evidence.parts, f.name)[..., :1] for f in fields(Sums)})
    return estimates(parts, evidence.plan, scope).repeats


def _paired(evidence: Evidence, m: int) -> Vector:
    """(R, T + 1, K) differences of a method from the reference in each repeat, on the cells both have."""
    plan = evidence.plan
    if evidence.reference not in plan.labels or evidence.reference == plan.labels[m] or not plan.shared[m].any():
        return np.full((1, len(evidence.tasks) + 1, len(METRICS)), np.nan)
    r = plan.labels.index(evidence.reference)
    both = np.zeros_like(plan.scope)
    both[[m, r]] = plan.shared[m]
    values = _of_repeats(evidence, both)
    return values[:, m] - values[:, r]


def _sd(values: Vector) -> Vector:
    """Over the first axis, without NaN; NaN with fewer than two."""
    known = ~np.isnan(values)
    n = known.sum(axis=0)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(n, 1)
    squared = (np.where(known, values - mean, 0.0) ** 2).sum(axis=0)
    return np.sqrt(squared / np.where(n > 1, n - 1, np.nan))
