"""Labels and weights of a cohort file's outcomes: rules, and censored outcomes by the way of cumulative incidence."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.cohorts import rules
from bench.cohorts.schema import Outcome
from bench.core import Task


@dataclass(frozen=True, eq=False)
class Labelled:
    """One outcome of every row. labels: (n,) float32, 0, 1 or NaN. weights: (n,) float32, 1 where unknown; None: no censoring."""

    labels: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    notices: tuple[str, ...] = ()

    @property
    def prevalence(self) -> tuple[float, float]:
        """Share of events among the known labels: as they are, and weighted for those whose follow-up ended early."""
        known = ~np.isnan(self.labels)
        y = self.labels[known].astype(np.float64)
        if not len(y):
            return np.nan, np.nan
        return float(y.mean()), float(np.average(y, weights=None if self.weights is None else self.weights[known]))


def labelled(outcome: Outcome, frame: pd.DataFrame, what: str) -> Labelled:
    """What became of every row. A value that is missing where a rule needs it, and a `known` that is not true: unknown."""
    notices: tuple[str, ...] = ()
    if outcome.rule is not None:
        labels, weights = rules.evaluate(outcome.rule, frame, what), None
    else:
        labels, weights, notices = _censored(outcome, frame, what)
    if outcome.known is not None:
        labels[rules.evaluate(outcome.known, frame, f"{what}, known") != 1] = np.nan
    if weights is not None:
        weights = np.where(np.isnan(labels), 1.0, weights).astype(np.float32)
    asked = (outcome.rule, outcome.known, outcome.event, outcome.death)
    said = [notice for rule in asked if rule is not None for notice in rules.spellings(rule, frame, what)]
    if outcome.rule is not None:
        said += rules.unanswered(outcome.rule, frame, labels, what)
    return Labelled(labels.astype(np.float32), weights, (*notices, *said))


def variants(outcomes: Mapping[str, Outcome], frame: pd.DataFrame) -> dict[str, Labelled]:
    """The other definitions of outcomes, as outcome~variant."""
    return {
        f"{name}~{variant}": labelled(other, frame, f"outcome '{name}~{variant}'")
        for name, outcome in outcomes.items()
        for variant, other in outcome.variants.items()
    }


def task(name: str, outcome: Outcome) -> Task:
    competing = outcome.competing
    if not competing and outcome.event is not None:
        early = f"before {outcome.horizon:g} without the event"
        competing = f"death {early} counts as 0" if outcome.death is not None else f"death {early} counts as censoring"
    return Task(name, outcome.label, implies=outcome.implies, competing=competing, thresholds=outcome.thresholds)


def _censored(
    outcome: Outcome, frame: pd.DataFrame, what: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, ...]]:
    """Labels within the horizon, and 1 / G(t-), t the time a label became known.

    1: the event in (0, horizon]. 0: followed for the horizon without it, or dead before without it. Unknown: the event at or
    before time 0 (not at risk), followed for less, or no time. Where `followed` is given, the time counts only of an event.
    """
    assert outcome.event is not None
    assert outcome.time is not None
    assert outcome.horizon is not None
    event = rules.evaluate(outcome.event, frame, f"{what}, event")
    time = rules.amounts(outcome.time, frame, f"{what}, time")
    followed = time if outcome.followed is None else rules.amounts(outcome.followed, frame, f"{what}, followed")
    dead = np.zeros(len(frame)) if outcome.death is None else rules.evaluate(outcome.death, frame, f"{what}, death")
    when = np.where(event == 1, time, np.inf)  # NaN of an event without a time
    settled = (dead == 1) | (followed >= outcome.horizon)
    labels = np.where(when <= outcome.horizon, 1.0, np.where(settled, 0.0, np.nan))
    labels[(when <= 0) | np.isnan(event) | np.isnan(when) | np.isnan(followed)] = np.nan
    end = np.where(event == 1, np.fmax(followed, when), followed)  # whoever has an event then is followed until then
    ended = (dead == 1) | ((event == 1) & (when >= end))  # by death, or by an event after which nothing is seen: no censoring
    at = np.minimum(np.minimum(when, end), outcome.horizon)
    weights = np.ones(len(frame))
    known = ~np.isnan(labels)
    timed = ~np.isnan(followed) & ~np.isnan(event) & ~np.isnan(when)
    weights[known] = 1.0 / uncensored(end[timed], ~ended[timed], at[known])
    early = int((when <= 0).sum())
    said = f"{what}: {early:,} rows with the event at time 0 or before are unknown: nobody has it to come. Is 0 the day before?"
    return labels, weights, (said,) if early else ()


def uncensored(end: NDArray[np.float64], censored: NDArray[np.bool_], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """G(at-), the Kaplan-Meier probability of not being censored before `at`; whose follow-up ends at a time is at risk at it.

    end, censored: (n,) the end of each follow-up, and whether it was censoring rather than an event or death. at: any shape.
    """
    times, where, leaving = np.unique(end, return_inverse=True, return_counts=True)
    at_risk = leaving[::-1].cumsum()[::-1]
    lost = np.bincount(where, weights=censored, minlength=len(times))
    curve = np.concatenate([[1.0], np.cumprod(1.0 - lost / at_risk)])
    return curve[np.searchsorted(times, at, side="left")]
