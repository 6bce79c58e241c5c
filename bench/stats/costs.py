"""What a method costs beside what it achieves: seconds, parameters, energy, and who is on the Pareto front.

Seconds are those of the machine that ran the cells, one thread a cell, training and predictions together: they compare methods of
one run. What a parameter is differs between families (a weight, a leaf's value): compare within one.
NaN where nothing is known: of a method without a finished cell, of energy where the machine does not tell, of a mean over no
outcome.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bench.stats.estimates import PRIMARY, Evidence, Mask

COLUMNS = ["method", "family", *PRIMARY, "cells", "seconds", "parameters", "joules"]


def costs(evidence: Evidence, cells: pd.DataFrame) -> pd.DataFrame:
    """One row a method: what it scores on the mean over outcomes, and what that took.

    method, family, auroc, ap, cells (finished), seconds (their sum), parameters (mean), joules (sum; NaN unless each tells).
    pareto_seconds, pareto_parameters: no method has an AUROC as high for as little, or less; pareto_seconds_ap and
    pareto_parameters_ap: by AP. A method without predictions of some cell costs less for that reason and is on no front.
    cells: method, status, seconds, joules, facts.
    """
    values = evidence.found.values[:, -1, :, 0]
    rows: list[dict[str, Any]] = []
    for m, method in enumerate(evidence.methods):
        done = cells[(cells["method"] == method) & (cells["status"] == "done")]
        joules = done["joules"].astype(float)
        row = {"method": method, "family": evidence.families.get(method, ""), "cells": len(done)}
        row |= {metric: values[m, k] for k, metric in enumerate(PRIMARY)}
        row |= {"seconds": done["seconds"].sum(min_count=1), "joules": joules.sum(skipna=False) if len(joules) else np.nan}
        rows.append(row | {"parameters": _mean([facts.get("parameters") for facts in done["facts"]])})
    frame = pd.DataFrame(rows, columns=COLUMNS)
    whole = evidence.plan.complete[: len(frame)]
    for metric, end in zip(PRIMARY, ("", "_ap"), strict=True):
        for cost in ("seconds", "parameters"):
            frame[f"pareto_{cost}{end}"] = pareto(frame[cost], frame[metric].where(whole))
    return frame


def pareto(cost: ArrayLike, value: ArrayLike) -> Mask:
    """(M,) nobody has at least this value for at most this cost, one of the two better. False where either is NaN.

    cost, value: (M,). Equals stand or fall together.
    """
    c, v = np.asarray(cost, np.float64), np.asarray(value, np.float64)
    no_worse = (c[:, None] <= c) & (v[:, None] >= v)  # [j, i]: j is no worse than i
    better = (c[:, None] < c) | (v[:, None] > v)
    return ~(no_worse & better).any(axis=0) & ~np.isnan(c) & ~np.isnan(v)


def _mean(values: Sequence[Any]) -> float:
    known = [float(value) for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")
