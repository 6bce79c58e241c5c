"""Irregular series as numbers: statistics of each channel, over the whole time and in windows of it, or step by step.

Everything is one sort and a few reductions over the events; no loop over patients.
`ENCODINGS` are what `Encodings.series` may be: windows and their statistics, the statistics of the whole time alone (`summary`),
or, besides these, a network over the steps themselves (`bench.nets.series`).
"""

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core import BenchError, Series
from bench.prep.columns import NormalScores, Standard

STATS = ("first", "last", "min", "max", "mean", "sd", "slope", "count")
WINDOW_STATS = ("mean", "min", "max", "last", "count")
WINDOWS = 12  # a longer sequence costs the networks more than it tells them
ENCODINGS = ("windows", "summary", "grud", "tcn", "patch")
STEPS = 48  # distinct times of a row that are told apart: half an hour each over a day in intensive care
PATCH = 4  # steps that a patch Transformer reads as one token


def check(encoding: str) -> str:
    """The name of an encoding of series as it came. BenchError with the closest where there is none such."""
    if encoding not in ENCODINGS:
        close = get_close_matches(encoding, ENCODINGS, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise BenchError(f"series must be one of {', '.join(ENCODINGS)}, but got {encoding!r}.{hint}")
    return encoding


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
        values = channel_scores(known)
        draft = cls(series.channels, edges, middle, values, Standard(np.zeros(1), np.ones(1)))
        windows, observed = draft.raw(known)
        return replace(draft, scale=Standard.fit(np.where(observed[..., None], windows, np.nan).reshape(-1, *windows.shape[2:])))

    def raw(self, series: Series) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(n, W, channels, stats) unscaled and (n, W, channels) observed."""
        row, known = events(series, self.channels)
        shape = (len(series), len(self.time), len(self.channels))
        window = len(self.edges) - np.searchsorted(self.edges, known.time, side="right")  # oldest first
        cell = (row * shape[1] + window) * shape[2] + known.channel
        cells = Cells.of(cell, known.time, scored(self.values, known))
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


@dataclass(frozen=True, slots=True, eq=False)
class SeriesSteps:
    """A series at its own irregular times: a step holds all that a row measured at one time, oldest first, the latest last.

    A row with more than `STEPS` distinct times has neighbours by rank merged evenly, so that all its history stays: values of a
    channel are averaged, the step keeps the time of its latest event. Shorter rows have empty steps in front.
    Values are normal scores by channel: 0 is the training mean. Cost in memory: n * steps * channels * 8 bytes.
    """

    channels: tuple[str, ...]
    steps: int  # at most STEPS; as many as the longest training row needs, a multiple of PATCH
    unit: float  # minutes: the .95 quantile of the training events' times, so that times are about 0 to 1 on any scale
    values: NormalScores

    @classmethod
    def fit(cls, series: Series) -> "SeriesSteps":
        row, known = events(series, series.channels)
        unit = float(np.quantile(np.abs(known.time), 0.95)) if len(known.time) else 1.0
        longest = int(_distinct(row, known.time)[1].max(initial=1))
        return cls(series.channels, min(STEPS, -(-longest // PATCH) * PATCH), unit or 1.0, channel_scores(known))

    def __call__(self, series: Series) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """(n, S, channels, 1) scores, 0 where not observed; (n, S, channels) observed; (n, S) time in units, 0 in empty steps."""
        row, known = events(series, self.channels)
        rank, many = _distinct(row, known.time)
        step = np.where(many > self.steps, rank * self.steps // np.maximum(many, 1), rank + self.steps - many)
        shape = (len(series), self.steps, len(self.channels))
        place = row * self.steps + step
        cells = Cells.of(place * shape[2] + known.channel, known.time, scored(self.values, known))
        out, observed = np.zeros(int(np.prod(shape)), np.float32), np.zeros(int(np.prod(shape)), np.float32)
        out[cells.cell], observed[cells.cell] = cells.stat("mean"), 1
        time = np.full(shape[0] * shape[1], np.inf)
        np.minimum.at(time, place, known.time / self.unit)
        time[np.isinf(time)] = 0
        return out.reshape(*shape, 1), observed.reshape(shape), time.reshape(shape[:2]).astype(np.float32)


def _distinct(row: NDArray[np.int64], time: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each event: the rank of its time among the distinct times of its row, 0 the oldest; how many these are."""
    order = np.lexsort((-time, row))
    row, time = row[order], time[order]
    fresh = np.diff(row, prepend=-1) != 0
    number = np.cumsum(fresh | (np.diff(time, prepend=np.float32(0)) != 0)) - 1
    start = np.flatnonzero(fresh)
    count = np.diff(np.append(start, len(row)))
    base = np.repeat(number[start], count)
    many = np.repeat(number[start + count - 1] + 1, count) - base
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return (number - base)[back], many[back]


def channel_scores(series: Series) -> NormalScores:
    """Normal scores of each channel's values, in the order of its channels."""
    values = (series.value[series.channel == c] for c in range(len(series.channels)))
    return NormalScores(tuple(NormalScores.fit(v[:, None]).knots[0] for v in values))


def scored(values: NormalScores, series: Series) -> NDArray[np.float64]:
    """(events,) the events' values as their channels' scores."""
    out = np.empty(len(series.value))
    for c, (known, scores) in enumerate(values.knots):
        mine = series.channel == c
        out[mine] = np.interp(series.value[mine], known, scores)
    return out


def _middle(time: NDArray[np.float32], edges: NDArray[np.float32]) -> NDArray[np.float32]:
    window = np.searchsorted(edges, time, side="right")
    hours = np.array([np.median(time[window == w]) for w in range(len(edges) + 1)][::-1]) / 60
    scale = np.log1p(np.maximum(hours, 0))
    return ((scale - scale.mean()) / (scale.std() or 1.0)).astype(np.float32)
