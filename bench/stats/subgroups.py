"""Does a method serve all patients alike: discrimination and calibration within sites and subgroups, and whether levels differ.

A patient without a level stands under "unknown". A level with fewer than 20 events or 20 others is counted but not judged (NaN). The
12 largest levels are shown, the rest together as "other levels". Unknown labels are left out. With repeats: the value per repeat,
then the mean.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.bootstrap import Cell, Vector, sums
from bench.stats.estimates import Evidence
from bench.stats.multiplicity import LEVEL, share_beyond
from bench.stats.pooled import enough, mean_of_known, remembered

LEVELS = 12  # of a variable, shown by themselves
OTHER, UNKNOWN = "other levels", "unknown"
METRICS = ("auroc", "oe")
LEVEL_COLUMNS = ["method", "task", "variable", "level", "n", "events", "metric", "value", "low", "high"]
TEST_COLUMNS = ["method", "task", "variable", "metric", "spread", "p"]


def subgroups(evidence: Evidence) -> pd.DataFrame:
    """method, task, variable, level, n, events, metric, value, low, high; no rows when the cohort names neither site nor subgroups.

    metric: "auroc", of pairs within level and fold; "oe", observed over expected events (raw risks; 1 is perfect, > 1 means risks are
    too low). 95 % percentile intervals from the same resamples as everything else.
    """
    return _tables(evidence)[0]


def heterogeneity(evidence: Evidence) -> pd.DataFrame:
    """method, task, variable, metric, spread (largest - smallest value over the levels), p of "all levels are alike".

    Cochran's Q over the judged levels (observed over expected on the logarithmic scale), weighted by the bootstrap variances and
    compared with its own distribution when each level's resamples are centred at its value. Patients without a level and "other
    levels" have no part in it. NaN with fewer than two judged levels; not adjusted for the number of tests.
    """
    return _tables(evidence)[1]


def variables(cohort: pd.DataFrame) -> dict[str, pd.Series]:
    """Name -> the level of each row of the cohort, as text: "site" and what "subgroup:<name>" holds."""
    columns = [str(c) for c in cohort if c == "site" or str(c).startswith("subgroup:")]
    return {column.removeprefix("subgroup:"): _levels(cohort.set_index("row")[column]) for column in columns}


def _levels(column: pd.Series) -> pd.Series:
    text = column.astype(object).where(column.notna(), UNKNOWN).astype(str)
    sizes = text[column.notna()].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return text.where(text.isin([*sizes.index[:LEVELS], UNKNOWN]), OTHER)


@dataclass(frozen=True, eq=False)
class Level:
    """One level of a variable. n, events: (M, T). values: (M, T, 2, 1 + B) of AUROC and observed over expected, NaN if not judged."""

    name: str
    n: NDArray[np.int64]
    events: NDArray[np.int64]
    values: Vector


@remembered
def _tables(evidence: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows: list[dict[str, Any]] = []
    tests: list[dict[str, Any]] = []
    for variable, level_of in variables(evidence.cohort).items():
        levels = [_level(evidence, name, level_of == name) for name in _ordered(level_of)]
        named = [level for level in levels if level.name not in (OTHER, UNKNOWN)]
        for m, method in enumerate(evidence.labels):
            for t, task in enumerate(evidence.tasks):
                about = {"method": method, "task": task, "variable": variable}
                rows += [about | row for level in levels for row in _described(level, m, t)]
                tests += [about | row for row in _tested([level.values[m, t] for level in named])]
    return pd.DataFrame(rows, columns=LEVEL_COLUMNS), pd.DataFrame(tests, columns=TEST_COLUMNS)


def _ordered(level_of: pd.Series) -> list[str]:
    """By name, the two that are no levels last."""
    return sorted(set(level_of), key=lambda name: (name in (OTHER, UNKNOWN), name == UNKNOWN, name))


def _level(evidence: Evidence, name: str, inside: pd.Series) -> Level:
    chosen = [inside.reindex(rows).to_numpy(bool) for rows in evidence.rows]
    cells = [_part(cell, own) for cell, own in zip(evidence.cells, chosen, strict=True)]
    repeats = [np.flatnonzero(evidence.plan.repeat == r) for r in np.unique(evidence.plan.repeat)]
    scope = evidence.plan.scope.astype(int)
    events = np.array([(cell.y == 1).sum(axis=0) for cell in cells])  # (C, T)
    n = events + np.array([(cell.y == 0).sum(axis=0) for cell in cells])
    return Level(
        name,
        np.max([scope[:, own] @ n[own] for own in repeats], axis=0),
        np.max([scope[:, own] @ events[own] for own in repeats], axis=0),
        _estimates(evidence, cells, repeats),
    )


def _part(cell: Cell, own: NDArray[np.bool_]) -> Cell:
    return replace(cell, unit=cell.unit[own], y=cell.y[own], weight=cell.weight[own], p=cell.p[:, own])
