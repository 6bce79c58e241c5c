"""Two methods, asked about directly: a small table, and one paragraph that says what is known and what is not.

The one test is of the mean over outcomes, or of the only outcome; the outcomes beside it are one family (max-T). Two questions
are kept apart: *these predictions* (bootstrap, DeLong) and *this procedure*, trained anew (corrected t). "Superior" is said only
where both are answered: a difference under two standard errors of the corrected t is a lead, and called so.
NaN and "no comparison" with fewer than 20 events; a fold that one of the two lacks is left out for both.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from bench.bootstrap import Sums, Vector
from bench.core import BenchError
from bench.stats import procedure
from bench.stats.decisions import UNDECIDED, Verdict, few_events, is_loss, verdict
from bench.stats.delong import delong
from bench.stats.estimates import MEAN, METRICS, Evidence, estimates
from bench.stats.intervals import LEVEL
from bench.stats.multiplicity import max_t
from bench.stats.scoring import unit
from bench.stats.telling import Facts, paragraph

ROPE = 0.01  # a point of AUROC or AP, where no margin says what would not matter
SHARES = {"better": "better", "within": "equivalent", "worse": "worse"}
AHEAD = {"superior": "ahead", "inferior": "behind"}  # of these predictions, where another training might say otherwise
NO_OUTCOME = "no outcome has enough events"
COLUMNS = [
    "task", "n", "events", "a", "b", "difference", "low", "high", "p", "p_adjusted", "verdict", "non_inferiority", "equivalence",
    "detectable", "p_delong", "corrected_low", "corrected_high", "p_corrected", "p_better", "p_within", "p_worse", "sd_of_difference", "superior_allowed",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Comparison:
    """table: COLUMNS, a row per outcome and the mean last; a, b: the two values; difference: a less b. paragraph: one, of words.

    verdict: superior or inferior; ahead or behind where the corrected t does not allow these words; undecided. p_better, p_within,
    p_worse: of the procedure, by the Bayesian correlated t; within the margin, or a point of AUROC or AP without one.
    """

    table: pd.DataFrame
    paragraph: str


def compare(evidence: Evidence, a: str, b: str, metric: str = "auroc", margin: float | None = None) -> Comparison:
    """Compare two methods of a run. margin: the difference that would not matter, in units of the metric (0.01 = one point).

    BenchError for names that are not there, methods that share no fold, an unknown metric, a margin that is not above 0.
    """
    _check(evidence, a, b, metric)
    pair, k = against(evidence, a, b), METRICS.index(metric)
    sizes = _sizes(pair, metric)
    drawn = pair.found.values[1, :, k] - pair.found.values[0, :, k]  # (T + 1, 1 + B)
    drawn = np.where((sizes["reason"] == "").to_numpy()[:, None], drawn, np.nan)
    sign = -1.0 if is_loss(metric) else 1.0
    verdicts = [verdict(sign * d[0], sign * d[1:], margin) for d in drawn]
    rope = margin or (np.nan if is_loss(metric) else ROPE)  # a loss has no usual size that would not matter
    table = _table(pair, metric, sizes, verdicts, _family(drawn), rope)
    folds, repeats = procedure.design(pair, a)
    facts = Facts(a, b, metric, verdicts[-1], table, folds, repeats, evidence.resamples, *_units(pair), rope)
    return Comparison(table[COLUMNS], paragraph(facts))


def against(evidence: Evidence, a: str, b: str) -> Evidence:
    """The same evidence of two methods alone, on the folds that both have, with `b` as the reference. Labels: b, a."""
    plan = evidence.plan
    which = [plan.labels.index(b), plan.labels.index(a)]
    shared = np.repeat(plan.scope[which].all(axis=0, keepdims=True), 2, axis=0)
    cells = [replace(cell, p=cell.p[which]) for cell in evidence.cells]
    arrays = {f.name: getattr(evidence.parts, f.name) for f in fields(Sums)}
    parts = Sums(**{name: array[which] if array.ndim == 4 else array for name, array in arrays.items()})
    plan = replace(plan, cells=cells, labels=(b, a), scope=shared, shared=shared)
    found = estimates(parts, plan, shared)
    return replace(evidence, labels=(b, a), reference=b, cells=cells, valid=[], parts=parts, plan=plan, found=found)


# ---- the table


def _check(evidence: Evidence, a: str, b: str, metric: str) -> None:
    for label in (a, b):
        if label not in evidence.methods:
            raise BenchError(f"there are no predictions of '{label}'; there are: {', '.join(evidence.methods)}")
    if a == b:
        raise BenchError(f"two methods are compared, but both are '{a}'")
    if metric not in METRICS:
        raise BenchError(f"the metric must be one of {', '.join(METRICS)}, but is '{metric}'")
    one, other = (evidence.plan.scope[evidence.plan.labels.index(label)] for label in (a, b))
    if not (one & other).any():
        raise BenchError(f"'{a}' and '{b}' have no fold in common, and nothing can be compared. Run the cells that failed again.")


def _sizes(pair: Evidence, metric: str) -> pd.DataFrame:
    """task, n, events (in the repeat that has fewest), reason (why it is not compared, or ""); the mean last."""
    plan, k = pair.plan, METRICS.index(metric)
    used, averaged = plan.shared[0], plan.averaged[:, k]
    events = plan.fewest(plan.shared)[0]
    known = [[(~np.isnan(cell.y)).sum(axis=0), (~np.isnan(cell.y)).any(axis=1).sum()] for cell in pair.cells]
    rows = np.array([np.append(*both) for both in known])  # (C, T + 1)
    n = np.max([mask[0] @ rows for mask in plan.by_repeat(plan.shared)], axis=0)
    reasons = [few_events(int(e), metric, int(plan.with_ap[used, t].sum())) for t, e in enumerate(events)]
    short = [task for task, reason, part in zip(pair.tasks, reasons, averaged, strict=True) if part and reason]
    of_mean = f"too few events of {', '.join(short)} in the folds of both" if short else "" if averaged.any() else NO_OUTCOME
    columns = {"task": [*pair.tasks, MEAN], "n": n, "events": [*events, events[averaged].sum()], "reason": [*reasons, of_mean]}
    return pd.DataFrame(columns)


def _family(drawn: Vector) -> Vector:
    """(T + 1,) p values of the outcomes, adjusted by max-T; NaN for the mean, which is the one test. drawn: (T + 1, 1 + B)."""
    out = np.full(len(drawn), np.nan)
    judged = np.flatnonzero(np.isfinite(drawn[:-1, 0]))
    if len(judged):
        defined = drawn[judged][:, np.isfinite(drawn[judged]).all(axis=0)]
        out[judged] = max_t(defined[:, 0], defined[:, 1:])
    return out


def _table(
    pair: Evidence, metric: str, sizes: pd.DataFrame, verdicts: list[Verdict], adjusted: Vector, rope: float
) -> pd.DataFrame:
    k = METRICS.index(metric)
    anew = procedure.corrected(pair, (metric,))
    seeds = procedure.seeds(pair, (metric,)).iloc[len(sizes) :].reset_index(drop=True)  # of `a`; those of `b` come first
    rows = [_row(found, p, is_loss(metric)) for found, p in zip(verdicts, adjusted, strict=True)]
    shares = procedure.bayes(pair, rope, (metric,))
    table = pd.concat([sizes, pd.DataFrame(rows)], axis=1).assign(
        a=pair.found.values[1, :, k, 0],
        b=pair.found.values[0, :, k, 0],
        p_delong=delong(pair)["p"] if metric == METRICS[0] else np.nan,
        corrected=anew["difference"],
        corrected_low=anew["low"],
        corrected_high=anew["high"],
        p_corrected=anew["p"],
        sd_of_difference=seeds["of_difference"],
        superior_allowed=seeds["superior_allowed"],
        **{f"p_{name}": shares[column] if rope == rope else np.nan for name, column in SHARES.items()},
    )
    table["verdict"] = table["verdict"].where(table["superior_allowed"], table["verdict"].replace(AHEAD))
    return table


def _row(found: Verdict, adjusted: float, loss: bool) -> dict[str, Any]:
    """The interval back in the metric's own direction; an outcome has a verdict of its own only after adjustment."""
    low, high = (-found.high, -found.low) if loss else (found.low, found.high)
    word = UNDECIDED if adjusted > LEVEL else found.superiority.verdict
    return {
        "difference": -found.difference if loss else found.difference,
        "low": low,
        "high": high,
        "p": found.superiority.p,
        "p_adjusted": adjusted,
        "verdict": word,
        "non_inferiority": found.non_inferiority.verdict if found.non_inferiority else "",
        "equivalence": found.equivalence.verdict if found.equivalence else "",
        "detectable": found.detectable,
    }


def _units(pair: Evidence) -> tuple[int, str]:
    """How many units both methods predict, and what a unit is."""
    units = np.unique(np.concatenate([cell.unit for cell, used in zip(pair.cells, pair.plan.shared[0], strict=True) if used]))
    return len(units), unit(pair.cohort)
