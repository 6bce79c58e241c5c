"""Irregular series as numbers: statistics of each channel, over the whole time and in windows of it.

Everything is one sort and a few reductions over the events; no loop over patients.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core import Series
from bench.prep.columns import NormalScores, Standard

STATS = ("first", "last", "min", "max", "mean", "sd", "slope", "count")
WINDOW_STATS = ("mean", "min", "max", "last", "count")
WINDOWS = 12  # a longer sequence costs the networks more than it tells them


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Events sorted by cell and then by time, oldest first; only cells that own an event are kept."""

    cell: NDArray[np.int64]  # (m,) the cells with events, rising
    start: NDArray[np.int64]  # (m,) where each begins among the sorted events
    count: NDArray[np.int64]  # (m,)
    time: NDArray[np.float64]  # (events,) hours before the prediction
    value: NDArray[np.float64]  # (events,)

    @classmethod
    def of(cls, cell: NDArray[np.int64], time: NDArray[np.float32], value: NDArray[Any]) -> "Cells":
        order = np.lexsort((-time, cell))
        cell = cell[order]
        start = np.flatnonzero(np.diff(cell, prepend=-1))
        count = np.diff(np.append(start, len(cell)))
        return cls(cell[start], start, count, time[order].astype(np.float64) / 60, value[order].astype(np.float64))

    def _sum(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.add.reduceat(x, self.start) if len(self.start) else np.zeros(0)

    def _centred(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x - np.repeat(self._sum(x) / self.count, self.count)

    def stat(self, name: str) -> NDArray[np.float64]:
        """(m,) one statistic. SD and slope are NaN for fewer than two values, slope also if all share one time."""
        first, last = self.start, self.start + self.count - 1
        if name == "count":
            return self.count.astype(np.float64)
        if name in ("first", "last"):
            return self.value[first if name == "first" else last]
        if name in ("min", "max"):
            return (np.minimum if name == "min" else np.maximum).reduceat(self.value, first) if len(first) else np.zeros(0)
        if name == "mean":
            return self._sum(self.value) / self.count
        v = self._centred(self.value)
        if name == "sd":
            return np.where(self.count > 1, np.sqrt(self._sum(v * v) / self.count), np.nan)
        t = -self._centred(self.time)  # forwards: the slope is per hour
        over = self._sum(t * t)
        spread = self.time[first] > self.time[last]
        return np.where(spread, self._sum(t * v) / np.where(spread, over, 1.0), np.nan)


@dataclass(frozen=True, slots=True)
class SeriesColumns:
    """Eight statistics of each channel over all time: (n, channels * 8) float64, channel by channel in the order of `STATS`.

    A channel without events: NaN, count 0. Channels are matched by name; those unknown to training are left out.
    Units: SD as the value (over n, not n - 1), slope per hour.
    """

    channels: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{channel}:{stat}" for channel in self.channels for stat in STATS)

    def __call__(self, series: Series) -> NDArray[np.float64]:
        row, series = events(series, self.channels)
        width = len(self.channels)
        cells = Cells.of(row * width + series.channel, series.time, series.value)
        out = np.full((len(series) * width, len(STATS)), np.nan)
        out[:, STATS.index("count")] = 0
        for j, stat in enumerate(STATS):
            out[cells.cell, j] = cells.stat(stat)
        return out.reshape(len(series), width * len(STATS))


def events(series: Series, channels: tuple[str, ...]) -> tuple[NDArray[np.int64], Series]:
    """The row of each event, and the series with `channels` alone: no events of other channels or of absent rows."""
    row = np.repeat(np.arange(len(series)), np.diff(series.offsets))
    place = np.array([channels.index(c) if c in channels else -1 for c in series.channels], np.int16)
    channel = place[series.channel] if len(place) else series.channel
    keep = (channel >= 0) & series.present[row]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row[keep], minlength=len(series)))])
    kept = Series(offsets, series.time[keep], channel[keep], series.value[keep], channels, present=series.present)
    return row[keep], kept


@dataclass(frozen=True, slots=True, eq=False)
class SeriesWindows:
    """A series in at most 12 windows of time before the prediction, oldest first: `WINDOW_STATS` of each channel in each.

    Edges are quantiles of the training events' times: fine where measurements are dense, for three hours of vitals as for
    twenty years of laboratory values. Values are normal scores by channel, so an outlier cannot fill a window.
    An empty cell is 0 and not `observed`. Counts enter as log(1 + count).
    """

    channels: tuple[str, ...]
    edges: NDArray[np.float32]  # (W - 1,) minutes before the prediction, rising
    time: NDArray[np.float32]  # (W,) log(1 + hours) at the window's middle event, standardised over windows, oldest first
    values: NormalScores
    scale: Standard

    @classmethod
    def fit(cls, series: Series) -> "SeriesWindows":
        _, known = events(series, series.channels)
        when = known.time if len(known.time) else np.zeros(1, np.float32)
        edges = np.unique(np.quantile(when, np.arange(1, WINDOWS) / WINDOWS, method="higher"))
        edges = edges[edges > when.min()]  # the first window would be empty
        middle = _middle(when, edges)
        values = NormalScores.fit(_by_channel(known))
        draft = cls(series.channels, edges, middle, values, Standard(np.zeros(1), np.ones(1)))
        windows, observed = draft.raw(known)
        return replace(draft, scale=Standard.fit(np.where(observed[..., None], windows, np.nan).reshape(-1, *windows.shape[2:])))

    def raw(self, series: Series) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(n, W, channels, stats) unscaled and (n, W, channels) observed."""
        row, known = events(series, self.channels)
        shape = (len(series), len(self.time), len(self.channels))
        window = len(self.edges) - np.searchsorted(self.edges, known.time, side="right")  # oldest first
        cell = (row * shape[1] + window) * shape[2] + known.channel
        cells = Cells.of(cell, known.time, self._scores(known))
        out = np.zeros((int(np.prod(shape)), len(WINDOW_STATS)), np.float32)
        for j, stat in enumerate(WINDOW_STATS):
            out[cells.cell, j] = np.log1p(cells.stat(stat)) if stat == "count" else cells.stat(stat)
        observed = np.zeros(len(out), bool)
        observed[cells.cell] = True
        return out.reshape(*shape, len(WINDOW_STATS)), observed.reshape(shape)

    def __call__(self, series: Series) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n, W, channels, stats) standardised over the observed training cells, 0 where empty; (n, W, channels) observed."""
        windows, observed = self.raw(series)
        return np.where(observed[..., None], self.scale(windows), 0).astype(np.float32), observed.astype(np.float32)

    def _scores(self, series: Series) -> NDArray[np.float64]:
        out = np.empty(len(series.value))
        for c, (values, scores) in enumerate(self.values.knots):
            mine = series.channel == c
            out[mine] = np.interp(series.value[mine], values, scores)
        return out


def _by_channel(series: Series) -> NDArray[np.float64]:
    """(events, channels): each event's value in its channel's column, NaN elsewhere."""
    out = np.full((len(series.value), len(series.channels)), np.nan)
    out[np.arange(len(series.value)), series.channel] = series.value
    return out


def _middle(time: NDArray[np.float32], edges: NDArray[np.float32]) -> NDArray[np.float32]:
    window = np.searchsorted(edges, time, side="right")
    hours = np.array([np.median(time[window == w]) for w in range(len(edges) + 1)][::-1]) / 60
    scale = np.log1p(np.maximum(hours, 0))
    return ((scale - scale.mean()) / (scale.std() or 1.0)).astype(np.float32)
