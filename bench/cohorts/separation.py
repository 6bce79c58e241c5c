"""How well one column by itself tells the rows with an outcome from those without: ranks, levels and what is missing.

A row whose label is unknown is left out; a missing value is a level of its own, never a number. Every column is sorted once for
all outcomes. Nothing is fitted that could learn its own rows: levels are scored by the rates of the other half of the patients.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import metrics
from bench.core import Floats

MOST = 100_000  # rows looked at; more would say the same
BINS, FINE = 64, 1024  # levels of a number: for a free relation, and for its order
NORMAL = 1.959964  # of a two-sided 95 % interval
LEAST, FLOOR = 8, 20  # measured rows of either class that say something by themselves: of half of the rows, of fewer
Counts: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows that are looked at. event, other: (n, T), both false where unknown. half: (n,) 0 or 1, the same for all of a patient."""

    rows: NDArray[np.int64]
    event: Bools
    other: Bools
    half: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


def sample(labels: Floats, patients: NDArray[Any], most: int = MOST) -> Sample:
    """At most `most` rows, drawn without regard to the outcomes; the same ones for the same number of rows."""
    n = len(labels)
    rows = np.arange(n) if n <= most else np.sort(np.random.default_rng(0).choice(n, most, replace=False))
    codes, known = pd.factorize(np.asarray(patients)[rows])
    half = np.random.default_rng(1).integers(0, 2, max(len(known), 1))[codes]
    return Sample(rows, labels[rows] == 1, labels[rows] == 0, half)


@dataclass(frozen=True, eq=False)
class Told:
    """What a column tells of each outcome; every array is (T,), NaN where the outcome has one class only.

    auroc, low: of the value, in whichever direction is better, and the lower end of its 95 % interval. among, among_low: the same
    among the rows where it is measured, NaN where all or too few are. measured: their share. missing, missing_low: of being
    missing alone. phi: of two values, among the measured rows, NaN where there are others. settled: share of the rows in levels
    where the outcome is always `always`; outside: its rate in all others. fewer: rows of the rarer class.
    """

    auroc: Counts
    low: Counts
    among: Counts
    among_low: Counts
    measured: Counts
    missing: Counts
    missing_low: Counts
    phi: Counts
    settled: Counts
    always: Counts
    outside: Counts
    fewer: Counts


def numeric(values: Floats, taken: Sample) -> Told:
    """values: (n,) of the sample's rows, NaN = missing. The better of a monotone and of a free relation.

    Values are taken to `FINE` quantiles, so that AUROC is exact for as many distinct values and to about 1/(2 FINE) for more.
    """
    measured = ~np.isnan(values)
    edges = _edges(values[measured])
    codes = np.full(len(values), -1)
    codes[measured] = _placed(values[measured], edges)
    table = _counts(codes, taken)
    coarse = _coarse(table, min(BINS, max(8, len(taken) // 50)))
    total = table.sum(axis=1)
    return _told(coarse, np.fmax(_ranked(total), _free(coarse)), np.fmax(_ordered(total), _free_among(coarse)), total)


def levels(codes: NDArray[Any], taken: Sample) -> Told:
    """codes: (n,) of the sample's rows, -1 = missing. Scored by the rates of the other half of the patients."""
    table = _counts(codes.astype(np.int64), taken)
    return _told(table, _free(table), _free_among(table), table.sum(axis=1))


def lower(auroc: Counts, events: Counts, others: Counts) -> Counts:
    """The lower end of a 95 % interval: Hanley and McNeil, "The meaning and use of the area under a ROC curve", 1982, eq. 2."""
    q1, q2 = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = auroc * (1 - auroc) + (events - 1) * (q1 - auroc**2) + (others - 1) * (q2 - auroc**2)
        return auroc - NORMAL * np.sqrt(np.maximum(spread, 0) / (events * others))


def wilson(events: float, n: float) -> tuple[float, float]:
    """A 95 % interval of a share (Wilson 1927); NaN of nothing."""
    if not n:
        return np.nan, np.nan
    p = events / n
    middle, half = p + NORMAL**2 / (2 * n), NORMAL * np.sqrt(p * (1 - p) / n + NORMAL**2 / (4 * n * n))
    return float((middle - half) / (1 + NORMAL**2 / n)), float((middle + half) / (1 + NORMAL**2 / n))


def _edges(values: Floats) -> Floats:
    """The lower edges of the quantiles, each once; the smallest and the largest value among them."""
    if not len(values):
        return np.zeros(1)
    some = np.sort(np.append(values[:: len(values) // (16 * FINE) + 1], [values.min(), values.max()]))
    at = np.unique(np.linspace(0, len(some) - 1, FINE).astype(int))
    distinct = np.unique(some)
    return distinct if len(distinct) <= FINE else np.unique(some[at])


def _placed(values: Floats, edges: Floats) -> NDArray[np.int64]:
    """The level of each value: `np.searchsorted(edges[1:], values, "right")`, by a sort in a third of its time."""
    order = np.argsort(values)
    starts = np.searchsorted(values[order], edges[1:])
    codes = np.empty(len(values), np.int64)
    codes[order] = np.repeat(np.arange(len(edges)), np.diff(starts, prepend=0, append=len(values)))
    return codes


def _coarse(table: Counts, bins: int) -> Counts:
    """At most `bins` levels of about as many rows each; the first, what is missing, stays as it is."""
    if len(table) - 1 <= bins:
        return table
    rows = table[1:].sum(axis=(1, 2)).max(axis=1)
    group = (np.cumsum(rows) - rows) * bins // max(rows.sum(), 1)
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    return np.concatenate([table[:1], np.add.reduceat(table[1:], starts, axis=0)])


def _ranked(total: Counts) -> Counts:
    """AUROC over all rows with the missing ones lowest or highest, the better of the two, either direction.

    total: (levels, 2, T), in rising order after the first, which is what is missing.
    """
    (gone_o, gone_e), (other, event) = total[0], total[1:].sum(axis=0)
    every = (event + gone_e) * (other + gone_o)
    won = _won(total) + gone_e * gone_o / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        tries = np.stack([(won + event * gone_o) / every, (won + gone_e * other) / every])
    return np.fmax.reduce(np.fmax(tries, 1 - tries), axis=0)


def _ordered(total: Counts) -> Counts:
    """AUROC over the measured rows, either direction. total: as of `_ranked`."""
    other, event = total[1:].sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        auroc = _won(total) / (event * other)
    return np.fmax(auroc, 1 - auroc)


def _won(total: Counts) -> Counts:
    """Pairs of measured rows in which the event is higher, ties half."""
    o, e = total[1:, 0], total[1:, 1]
    return (e * (np.cumsum(o, axis=0) - o / 2)).sum(axis=0)


def _counts(codes: NDArray[np.int64], taken: Sample) -> Counts:
    """(levels + 1, 2 halves, 2 classes, T) rows; level 0 is what is missing."""
    size = int(codes.max(initial=-1)) + 2
    place = (codes + 1) * 2 + taken.half
    parts = [[np.bincount(place, of[:, t], 2 * size) for t in range(of.shape[1])] for of in (taken.other, taken.event)]
    return np.array(parts).reshape(2, -1, size, 2).transpose(2, 3, 0, 1).astype(np.float64)


def _free(table: Counts) -> Counts:
    """(T,) AUROC when each half's rows are scored by their level's rate in the other half."""
    size, _, _, tasks = table.shape
    found = np.full(tasks, np.nan)
    y = np.tile(np.repeat([0.0, 1.0], size), 2)
    fold = np.repeat([0, 1], 2 * size)
    for t in range(tasks):
        learned = table[:, ::-1, :, t]  # (levels, half, class) of the other half
        total = learned.sum(axis=0)
        if (total == 0).any():
            continue
        base = total[:, 1] / total.sum(axis=1)
        rate = (learned[:, :, 1] + base) / (learned.sum(axis=2) + 1)
        p = np.concatenate([np.tile(rate[:, h], 2) for h in (0, 1)])
        weight = np.concatenate([table[:, h, :, t].T.ravel() for h in (0, 1)])
        found[t] = metrics.stratified_auroc(y, p, fold, weight)
    return found


def _free_among(table: Counts) -> Counts:
    """As `_free`, of the measured rows alone; NaN where these are all."""
    if not table[0].any():
        return np.full(table.shape[3], np.nan)
    return _free(np.concatenate([np.zeros_like(table[:1]), table[1:]]))


def _told(table: Counts, auroc: Counts, among: Counts, total: Counts) -> Told:
    """auroc, among: (T,) over all rows, and over those with a value. total: (levels, 2, T), finer than the table's may be."""
    sums, seen = total.sum(axis=0), total[1:].sum(axis=0)  # (2, T)
    auroc = np.where((sums == 0).any(axis=0), np.nan, auroc)
    half = (seen >= sums / 2).all(axis=0)
    enough = seen.min(axis=0) >= np.where(half, LEAST, FLOOR)
    among = np.where(enough & (seen < sums).any(axis=0), among, np.nan)
    low, among_low = lower(auroc, sums[1], sums[0]), lower(among, seen[1], seen[0])
    # of few measured rows the AUROC among them says little of the outcome: it is the column's where half of either class is measured
    best, best_low = (np.fmax(x, np.where(half, y, np.nan)) for x, y in ((auroc, among), (low, among_low)))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = seen.sum(axis=0) / sums.sum(axis=0)
    phi = np.where(enough | (seen == sums).all(axis=0), _phi(total[1:]), np.nan)
    return Told(
        best, best_low, among, among_low, share, *_missing(table.sum(axis=1)), phi, *_settled(table.sum(axis=1)), sums.min(axis=0)
    )


def _missing(total: Counts) -> tuple[Counts, Counts]:
    """total: (levels, 2, T), the first what is missing."""
    sums = total.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = total[0] / sums
    auroc = 0.5 + np.abs(share[1] - share[0]) / 2
    return auroc, lower(auroc, sums[1], sums[0])


def _phi(measured: Counts) -> Counts:
    """|phi| of a column of two values, (T,); NaN where it has more or fewer. measured: (levels, 2, T)."""
    seen = measured[measured.sum(axis=(1, 2)) > 0]
    if len(seen) != 2:
        return np.full(measured.shape[2], np.nan)
    (a, b), (c, d) = seen  # (T,) each
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.abs(a * d - b * c) / np.sqrt((a + b) * (c + d) * (a + c) * (b + d))


def _settled(total: Counts) -> tuple[Counts, Counts, Counts]:
    """The larger of the shares of rows whose level never, or always, has the outcome, where chance would show otherwise."""
    rows = total.sum(axis=(0, 1))  # (T,)
    best = np.zeros((3, total.shape[2]))
    flag = (total.sum(axis=(1, 2)) > 0).sum() == 2  # of more levels those at the far end may be pure by good prediction
    for kind in (0, 1):  # rows of the other kind are never seen in a pure level
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = total.sum(axis=1) * (total[:, 1 - kind].sum(axis=0) / rows)  # (levels, T)
            pure = (total[:, 1 - kind] == 0) & (expected >= 5)
            share = (total.sum(axis=1) * pure).sum(axis=0) / rows
            left = (total * ~pure[:, None]).sum(axis=0)
            outside = left[1] / left.sum(axis=0)
        enough = np.where(pure, expected, 0).sum(axis=0) >= (25 if flag else 50)
        share = np.where(enough, share, 0.0)
        better = share > best[0]
        best = np.where(better, np.stack([share, np.full_like(share, kind), outside]), best)
    return best[0], best[1], best[2]
