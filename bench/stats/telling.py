"""The paragraph of a comparison: one honest sentence per question, from numbers that are all in the table beside it.

Undefined numbers are not told; what is not compared is named with its reason. Differences of AUROC and average precision are in
points (hundredths), of Brier score and log loss in their own units.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.stats import procedure
from bench.stats.decisions import UNDECIDED, Decision, Verdict, is_loss

NAMES = {"auroc": "AUROC within folds", "ap": "average precision within folds", "brier": "Brier score", "log_loss": "log loss"}
WAYS = (("superior", "ahead"), ("inferior", "behind"))


@dataclass(frozen=True)
class Facts:
    """What is told. found: the verdict on the mean, above 0 is better. table: as `Comparison.table`, with `reason` and `corrected`.

    units: how many are drawn, and what one is. rope: the size that would not matter. The table's last row is the mean.
    """

    a: str
    b: str
    metric: str
    found: Verdict
    table: pd.DataFrame
    folds: int
    repeats: int
    resamples: int
    units: int
    unit: str
    rope: float

    @property
    def mean(self) -> Any:
        """The last row."""
        return self.table.iloc[-1]

    @property
    def judged(self) -> pd.DataFrame:
        """The outcomes that are compared."""
        return self.table[:-1][self.table["reason"][:-1] == ""]


def paragraph(facts: Facts) -> str:
    """These predictions, what they show and could have shown, the margin, the outcomes, the procedure, the seeds."""
    if facts.mean["reason"]:
        start = f"The mean over outcomes of {facts.a} and {facts.b} is not compared: {facts.mean['reason']}."
        told = [start, _outcomes(facts), _left_out(facts)]
    else:
        told = [_predictions(facts), _shown(facts), _margin(facts), _outcomes(facts), _left_out(facts), _procedure(facts)]
    return " ".join(sentence for sentence in told if sentence)


def _predictions(facts: Facts) -> str:
    mean, events = facts.mean, facts.judged["events"]
    many = len(facts.table) > 2
    rows = "" if mean["n"] == facts.units else f" ({mean['n']:,} rows)"
    span = f"{events.min():,}" if events.min() == events.max() else f"{events.min():,} to {events.max():,}"
    over = f"mean over {len(facts.judged)} outcomes" if many else str(facts.table["task"][0])
    lower = ", lower is better" if is_loss(facts.metric) else ""
    delong = "" if np.isnan(mean["p_delong"]) else f"; DeLong {_p(mean['p_delong'])}"
    return (
        f"These predictions: on {facts.units:,} {facts.unit}{rows} with {span} events{' an outcome' * many}, the "
        f"{NAMES[facts.metric]} ({over}{lower}) of {facts.a} is {_value(mean['a'], facts)} and that of {facts.b} "
        f"{_value(mean['b'], facts)}, a difference of {_interval(mean['difference'], mean['low'], mean['high'], facts)} "
        f"(95 % interval; paired bootstrap over {facts.unit}, {facts.resamples:,} resamples, {_p(mean['p'])}{delong}, for one "
        "comparison chosen beforehand)."
    )


def _shown(facts: Facts) -> str:
    word = facts.found.superiority.verdict
    if word == UNDECIDED:
        if facts.found.se == 0:
            return "The two rank these patients alike, in every resample."
        least = _size(facts.found.detectable, facts)
        return (
            f"No difference is shown, which is not equality: only a true one of {least} or more would be found with 80 % power."
        )
    first, second = (facts.a, facts.b) if word == "superior" else (facts.b, facts.a)
    if facts.mean["superior_allowed"]:
        return f"{first} is superior to {second}."
    within = "the difference is under two standard errors of the corrected t below"
    why = "there is no second fold" if np.isnan(facts.mean["corrected"]) else within
    return (
        f"On these predictions {first} is ahead; whether it would be again is not shown, as {why}, and {first} is not to be "
        "called superior."
    )


def _margin(facts: Facts) -> str:
    """Both questions of a margin; "" without one."""
    asked, margin = facts.found, facts.found.margin
    if margin is None or asked.non_inferiority is None or asked.equivalence is None:
        return ""
    size = _size(margin, facts)
    return (
        f"With a margin of {size}, {facts.a} is {_answer(asked.non_inferiority, 'worse by more than it')} (one-sided at .025, "
        f"{_p(asked.non_inferiority.p)}) and {_answer(asked.equivalence, '')} (two one-sided tests, {_p(asked.equivalence.p)})."
    )


def _answer(decision: Decision, inferior: str) -> str:
    if decision.verdict == UNDECIDED:
        return f"not shown to be {'non-inferior' if decision.question == 'non-inferiority' else 'equivalent'}"
    return inferior if decision.verdict == "inferior" else decision.verdict


def _outcomes(facts: Facts) -> str:
    """The outcomes one by one; "" where there is one."""
    if len(facts.table) == 2 or facts.judged.empty:
        return ""
    named = {way: facts.judged.loc[facts.judged["verdict"].isin([word, way]), "task"] for word, way in WAYS}
    parts = [f"{facts.a} is {way} on {', '.join(tasks)}" for way, tasks in named.items() if len(tasks)]
    rest = facts.judged[facts.judged["verdict"] == UNDECIDED]
    if len(rest):
        least, most = (_size(x, facts) for x in (rest["detectable"].min(), rest["detectable"].max()))
        found = f"{least} or more" if least == most else f"{least} to {most}"
        where = "the others" if parts else "any"
        parts.append(f"no difference is shown on {where} (80 % power for {found} before adjustment)")
    return f"Outcome by outcome, adjusted over {len(facts.judged)} by max-T: {'; '.join(parts)}."


def _left_out(facts: Facts) -> str:
    out = facts.table[:-1][facts.table["reason"][:-1] != ""]
    reasons = "; ".join(f"{row['task']} ({row['reason']})" for _, row in out.iterrows())
    return f"Not compared: {reasons}." if reasons else ""


def _procedure(facts: Facts) -> str:
    mean, weak = facts.mean, procedure.weakness(facts.folds, facts.repeats)
    if np.isnan(mean["corrected"]):
        return f"This procedure, trained anew: {weak[0].lower()}{weak[1:]}"
    found = _interval(mean["corrected"], mean["corrected_low"], mean["corrected_high"], facts)
    text = f"This procedure, trained anew: {found} by the corrected resampled t, a heuristic on cross-validation"
    p = "" if np.isnan(mean["p_corrected"]) else f" ({_p(mean['p_corrected'])})"
    sd = mean["sd_of_difference"]
    spread = f" Over {facts.repeats} repeats the difference has a standard deviation of {_size(sd, facts)}." if sd >= 0 else ""
    return f"{text}{p}. {weak}{_believed(facts)}{spread}"


def _believed(facts: Facts) -> str:
    """The same question as probabilities; "" where nothing says what size would not matter."""
    shares = [facts.mean[name] for name in ("p_better", "p_within", "p_worse")]
    if np.isnan(shares[0]):
        return ""
    better, within, worse = (f"{100 * share:.0f} %" for share in shares)
    return (
        f" As probabilities (Bayesian correlated t, of the same weakness): {better} that {facts.a} is better by more than "
        f"{_size(facts.rope, facts)}, {within} that the two lie within that, {worse} that it is worse by more."
    )


def _value(x: float, facts: Facts) -> str:
    return f"{x:.4f}" if is_loss(facts.metric) else f"{100 * x:.2f}"


def _size(x: float, facts: Facts) -> str:
    """Of a difference, without sign."""
    return f"{x:.4f}" if is_loss(facts.metric) else f"{100 * x:.2f} points"


def _interval(difference: float, low: float, high: float, facts: Facts) -> str:
    scale, digits, unit = (1, 4, "") if is_loss(facts.metric) else (100, 2, " points")
    middle, *ends = (f"{scale * x:+z.{digits}f}" for x in (difference, low, high))
    return f"{middle}{unit} [{', '.join(ends)}]"


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 1 else "p = 1"
