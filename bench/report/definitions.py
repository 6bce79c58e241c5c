"""In words: does the ranking survive other definitions of the outcomes?"""

import numpy as np
import pandas as pd

from bench.report.sheet import verdict
from bench.report.words import DASH
from bench.stats import Scoring

TRAINED = (
    "The models learned the outcomes as they are defined, and are judged by the other definitions on the same test rows and draws"
)
RETRAIN = "To learn a definition itself: bench run --data FILE:variant=OUTCOME~NAME."
RULE = (
    "It survives where the best method stays the best or cannot be told from it, and every marked difference keeps its sign with an interval "
    "that leaves out 0 (95 %, unadjusted: it was found by the main table). It does not where the best is told from the new best, or a "
    "marked difference has the other sign."
)
SURVIVES, OPEN, LOST, UNKNOWN = "survives", "undecided", "does not survive", "cannot be judged"


def fates(definitions: pd.DataFrame, variants: pd.DataFrame, scoring: Scoring) -> dict[str, tuple[str, str]]:
    """OUTCOME~NAME -> one of the four words, over the primary metrics, and why in brackets, or "". In the order of the file."""
    out: dict[str, tuple[str, str]] = {}
    marked = marks(variants, scoring)
    for (task, variant), own in definitions[definitions["metric"].isin(scoring.primary)].groupby(["task", "variant"], sort=False):
        judged = own[own["best_survives"] != ""]
        of = marked[(marked["task"] == task) & (marked["variant"] == variant)]
        turned, faint = of[of["survives"] == "no"], of[of["survives"].isin(["sign", ""])]
        why = [
            f"best of {r['metric'].upper()}: {r['main_best']}, now {r['best']}"
            for _, r in judged.iterrows()
            if r["best_survives"] == "no"
        ]
        why += [f"{len(turned)} of {len(of)} marked differences turned"] if len(turned) else []
        faded = [f"of {len(faint)} of {len(of)} marked differences the interval holds 0 now"] if len(faint) else []
        word = UNKNOWN if judged.empty else LOST if why else OPEN if faded else SURVIVES
        nothing = ["nothing was marked"] if word == SURVIVES and of.empty else []
        said = ["fewer than 2 methods or too few events"] if word == UNKNOWN else why or faded or nothing
        out[f"{task}~{variant}"] = word, f" ({'; '.join(said)})" if said else ""
    return out


def marks(variants: pd.DataFrame, scoring: Scoring) -> pd.DataFrame:
    """The rows of differences that are marked in the main table."""
    of = scoring.comparisons
    marked = of[np.array([bool(verdict(row)) for _, row in of.iterrows()], bool)]  # of one method there is no row
    return variants.merge(marked[["method", "task", "metric"]], on=["method", "task", "metric"])


def sentences(definitions: pd.DataFrame, variants: pd.DataFrame, scoring: Scoring) -> tuple[str, ...]:
    """What stands under the table: one line; none where there are no other definitions."""
    if definitions.empty:
        return ()
    found = fates(definitions, variants, scoring)
    groups = {
        word: [name + why for name, (fate, why) in found.items() if fate == word] for word in (SURVIVES, OPEN, LOST, UNKNOWN)
    }
    said = "; ".join(f"it {verb(word)} {', '.join(names)}" for word, names in groups.items() if names)
    return (
        f"Other definitions of the outcomes, and whether the ranking survives them: {said}. {_tau(definitions, scoring)}{TRAINED}. {RETRAIN}",
    )


def verb(word: str) -> str:
    return {OPEN: "is undecided by", UNKNOWN: "cannot be judged by"}.get(word, word)


def _tau(definitions: pd.DataFrame, scoring: Scoring) -> str:
    metric = scoring.primary[0]
    own = definitions[(definitions["metric"] == metric) & definitions["tau"].notna()]
    if own.empty:
        return ""
    return (
        f"Kendall's tau of the rankings by {metric.upper()}: {_span(own['tau'])}; another draw of the same patients alone gives "
        f"{_span(own['tau_drawn'])}. "
    )


def _span(values: pd.Series) -> str:
    low, high = (tau(float(end)) for end in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def tau(value: float) -> str:
    return DASH if np.isnan(value) else f"{value:z.2f}"
