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
from pandas.api.types import is_numeric_dtype

from bench.bootstrap import Cell, Counts, Vector, sums
from bench.metrics import TOTAL_EVENTS
from bench.stats.estimates import Evidence, Mask
from bench.stats.intervals import interval
from bench.stats.multiplicity import share_beyond
from bench.stats.pooled import by_unit, mean_of_known, remembered

LEVELS = 12  # of a variable, shown by themselves
OTHER, UNKNOWN = "other levels", "unknown"
TINY = 1e-12  # variances and ratios are kept from 0
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


def variables(evidence: Evidence) -> dict[str, pd.Series]:
    """Name -> the level of every tested row (index: row), as an ordered category: of "site" and each "subgroup:<name>"."""
    return of_cohort(evidence.cohort[evidence.cohort["row"].isin(np.concatenate(evidence.rows))])


def of_cohort(cohort: pd.DataFrame) -> dict[str, pd.Series]:
    """The same of the rows of any cohort."""
    columns = [str(column) for column in cohort if column == "site" or str(column).startswith("subgroup:")]
    return {column.removeprefix("subgroup:"): levels(cohort.set_index("row")[column]) for column in columns}


def levels(column: pd.Series) -> pd.Series:
    """The 12 largest levels in their own order, "other levels", "unknown". More than 12 different numbers are cut at their quartiles."""
    if is_numeric_dtype(column) and column.nunique() > LEVELS:
        text, order = _quarters(column)
    else:
        text, order = column.map(_name, na_action="ignore"), [_name(level) for level in sorted(column.dropna().unique())]
    text = text.astype(object).where(column.notna(), UNKNOWN)
    sizes = text[~text.isin([OTHER, UNKNOWN])].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    kept = set(sizes.index[:LEVELS])
    text = text.where(text.isin([*kept, UNKNOWN]), OTHER)
    categories = [*(name for name in dict.fromkeys(order) if name in kept), OTHER, UNKNOWN]
    return pd.Series(pd.Categorical(text, categories), column.index).cat.remove_unused_categories()


def _quarters(column: pd.Series) -> tuple[pd.Series, list[str]]:
    """ "20 to 38": a quarter by the smallest and the largest number in it, so that no patient's lies between two names."""
    quarter = pd.qcut(column, 4, labels=False, duplicates="drop")
    ends = column.groupby(quarter).agg(["min", "max"]).to_numpy(float).tolist()
    for digits in (6, 17):  # as short as tells them apart
        names = [" to ".join(dict.fromkeys(f"{end:.{digits}g}" for end in pair)) for pair in ends]
        if len(set(names)) == len(names):
            break
    return quarter.map(dict(enumerate(names)), na_action="ignore"), names


def _name(level: object) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)


@dataclass(frozen=True, eq=False)
class Level:
    """One level of a variable. n, events: (M, T). values: (M, T, 2, 1 + B) of AUROC and observed over expected, NaN if not judged."""

    name: str
    n: NDArray[np.int64]
    events: NDArray[np.int64]
    values: Vector


@remembered
def _tables(evidence: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows: list[pd.DataFrame] = []
    tests: list[dict[str, Any]] = []
    for variable, level_of in variables(evidence).items():
        found = [_level(evidence, name, level_of == name) for name in level_of.cat.categories]
        rows += [_described(evidence, level).assign(variable=variable) for level in found]
        named = [level.values for level in found if level.name not in (OTHER, UNKNOWN)]
        for m, method in enumerate(evidence.labels):
            for t, task in enumerate(evidence.tasks):
                about = {"method": method, "task": task, "variable": variable}
                tests += [about | row for row in _tested([values[m, t] for values in named])]
    table = pd.concat(rows)[LEVEL_COLUMNS] if rows else pd.DataFrame(columns=LEVEL_COLUMNS)
    return table.reset_index(drop=True), pd.DataFrame(tests, columns=TEST_COLUMNS)


def _level(evidence: Evidence, name: str, inside: pd.Series) -> Level:
    """Rows of the level in every cell; its cells without such rows are left out."""
    chosen = [inside.reindex(rows).to_numpy(bool) for rows in evidence.rows]
    used = [c for c, own in enumerate(chosen) if own.any()]
    cells = [_part(evidence.cells[c], chosen[c]) for c in used]
    events, others = (np.array([(cell.y == label).sum(axis=0) for cell in cells]) for label in (1, 0))  # (C, T)
    repeat = evidence.plan.repeat[used]
    scopes = [evidence.plan.scope[:, used] & (repeat == r) for r in np.unique(repeat)]  # (M, C) each
    n, hits = (np.max([scope.astype(int) @ of for scope in scopes], axis=0) for of in (events + others, events))
    judged = np.minimum(hits, n - hits) >= TOTAL_EVENTS
    return Level(name, n, hits, np.where(judged[..., None, None], _estimates(cells, evidence.counts, scopes), np.nan))


def _part(cell: Cell, own: Mask) -> Cell:
    return replace(cell, unit=cell.unit[own], y=cell.y[own], weight=cell.weight[own], p=cell.p[:, own])


def _estimates(cells: Sequence[Cell], counts: Counts, scopes: Sequence[Mask]) -> Vector:
    """(M, T, 2, 1 + B) AUROC and observed over expected events, means over repeats; cells of a repeat are summed by themselves."""
    return mean_of_known(np.stack([_of_repeat(cells, counts, scope) for scope in scopes]))


def _of_repeat(cells: Sequence[Cell], counts: Counts, scope: Mask) -> Vector:
    """(M, T, 2, 1 + B) over the cells of `scope` (M, C)."""
    used = np.flatnonzero(scope.any(axis=0)).tolist()
    own, inside = [cells[c] for c in used], scope[:, used].astype(float)
    if not own:
        return np.full((len(scope), cells[0].y.shape[1], 2, counts.shape[1]), np.nan)
    parts = sums(own, counts)
    expected = np.stack([_expected(cell, counts) for cell in own], axis=1)  # (M, C, T, 1 + B)
    pairs, observed = (np.tensordot(inside, total, 1) for total in (parts.pairs, parts.events))
    concordant, foreseen = (np.einsum("mc,mctb->mtb", inside, _filled(of)) for of in (parts.concordant, expected))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([concordant / pairs, observed / foreseen], axis=2)


def _filled(values: Vector) -> Vector:
    """0 for NaN, in place."""
    values[np.isnan(values)] = 0.0
    return values


def _expected(cell: Cell, counts: Counts) -> Vector:
    """(M, T, 1 + B) sum of the risks of the rows with a known label in every resample."""
    units, per_unit = by_unit(cell.unit)
    weighted = np.nan_to_num(cell.p * cell.weight).transpose(1, 0, 2)  # (n, M, T), 0 where the label is unknown
    total = (per_unit @ weighted.reshape(len(weighted), -1)).T @ counts[units].astype(np.float64)
    return total.reshape(weighted.shape[1], weighted.shape[2], counts.shape[1])


def _described(evidence: Evidence, level: Level) -> pd.DataFrame:
    """The rows of a level: method by method, outcome by outcome, metric by metric."""
    index = pd.MultiIndex.from_product([evidence.labels, evidence.tasks, METRICS], names=["method", "task", "metric"])
    frame = index.to_frame(index=False).assign(level=level.name, n=np.repeat(level.n, 2), events=np.repeat(level.events, 2))
    low, high = _interval(level.values[..., 1:].reshape(len(frame), -1))
    return frame.assign(value=level.values[..., 0].ravel(), low=low, high=high)


def _interval(drawn: Vector) -> Vector:
    """(2, k) ends of the percentile intervals of (k, B); a resample that drew no pair of a level is left out."""
    ends = np.stack(interval(drawn))
    for k in np.flatnonzero(np.isnan(ends[0]) & ~np.isnan(drawn).all(axis=1)).tolist():
        ends[:, k] = interval(drawn[k][~np.isnan(drawn[k])])
    return ends


def _tested(found: Sequence[Vector]) -> Iterator[dict[str, Any]]:
    """Spread and p of each metric. found: (2, 1 + B) of each level."""
    for k, metric in enumerate(METRICS):
        judged = np.array([level[k] for level in found if not np.isnan(level[k, 0])])
        spread, p = np.nan, np.nan
        if len(judged) > 1:
            spread, p = np.ptp(judged[:, 0]), cochran(judged if metric == "auroc" else np.log(np.maximum(judged, TINY)))
        yield {"metric": metric, "spread": spread, "p": p}


def cochran(values: Vector) -> float:
    """p of the hypothesis that all levels have one value. values: (L, 1 + B), the observed value first; NaN draws are left out.

    Q = sum over levels of (value - weighted mean)^2 / variance, with the bootstrap's variances, among Q of resamples minus values.
    """
    drawn = values[:, 1:] - values[:, :1]
    drawn = drawn[:, ~np.isnan(drawn).any(axis=0)]
    weight = 1 / np.maximum(drawn.var(axis=1, ddof=1), TINY)

    def q(x: Vector) -> Vector:
        return weight @ (x - weight @ x / weight.sum()) ** 2

    return float(share_beyond(q(values[:, :1]), q(drawn)[None])[0])
