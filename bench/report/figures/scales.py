"""From numbers to places on the page: linear and log scales, round ticks, curves cut at the edge of their panel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.report.figures.lettering import MINUS
from bench.report.figures.marks import Vector


@dataclass(frozen=True)
class Axis:
    """The numbers of an axis. ticks: where, and what is written there."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...] = ()
    title: str = ""
    log: bool = False

    def share(self, values: Vector | float) -> Vector:
        """0 at `low`, 1 at `high`."""
        if self.log:
            return (np.log(values) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (np.asarray(values, float) - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Place:
    """A rectangle on the page, in mm."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    def at(self, x: Axis, y: Axis, xs: Vector, ys: Vector) -> Vector:
        """(n, 2) in mm of numbers on two axes; rows with NaN stay NaN."""
        return np.column_stack([self.x + self.width * x.share(xs), self.bottom - self.height * y.share(ys)])

    def clip(self, path: Vector) -> list[Vector]:
        """The parts of a polyline inside the rectangle; it breaks at NaN."""
        return clip(path, (self.x, self.y), (self.right, self.bottom))


def clip(path: Vector, least: tuple[float, float], most: tuple[float, float]) -> list[Vector]:
    """Liang and Barsky's cut of every segment at a rectangle; segments that still touch stay one polyline. path: (n, 2)."""
    a, b = path[:-1], path[1:]
    d = b - a
    with np.errstate(divide="ignore", invalid="ignore"):
        near, far = (np.array(least) - a) / d, (np.array(most) - a) / d
    still = (d == 0) & (a >= np.array(least)) & (a <= np.array(most))  # parallel to a side and within
    enter = np.where(d == 0, np.where(still, 0, 2), np.minimum(near, far)).max(axis=1, initial=0)
    leave = np.where(d == 0, np.where(still, 1, -1), np.maximum(near, far)).min(axis=1, initial=1)
    kept = np.flatnonzero(enter <= leave)  # false for NaN
    parts: list[Vector] = []
    for run in np.split(kept, np.flatnonzero((np.diff(kept) > 1) | (leave[kept[:-1]] < 1) | (enter[kept[1:]] > 0)) + 1):
        if len(run):
            start = a[run[0]] + enter[run[0]] * d[run[0]]
            parts.append(np.vstack([start, a[run] + leave[run, None] * d[run]]))
    return parts


def ticks(low: float, high: float, most: int = 5, percent: bool = False) -> tuple[tuple[float, str], ...]:
    """At most so many round numbers (1, 2, 5 times a power of 10) from low to high, with as many decimals as they need.

    percent: written times 100.
    """
    factor = 100 if percent else 1
    a, b = low * factor, high * factor
    if not b > a:
        return ()
    power = 10.0 ** math.floor(math.log10((b - a) / most))
    step = next(
        m * power for m in (1, 2, 5, 10, 20, 50) if math.floor(b / (m * power) + 1e-9) - math.ceil(a / (m * power) - 1e-9) < most
    )
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    steps = range(math.ceil(a / step - 1e-9), math.floor(b / step + 1e-9) + 1)
    return tuple((i * step / factor, f"{i * step:z,.{digits}f}".replace("-", MINUS)) for i in steps)


def log_ticks(low: float, high: float, most: int = 6) -> tuple[tuple[float, str], ...]:
    """Powers of 10, with 2 and 5 between them where they are few; written 0.1, 10, 1k, 1M."""
    for multiples in ((1, 2, 5), (1, 3), (1,)):
        powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
        found = [m * 10.0**e for e in powers for m in multiples if low <= m * 10.0**e <= high]
        if len(found) <= most:
            break
    return tuple((value, thousands(value)) for value in found[:: -(-len(found) // most) or 1])


def thousands(value: float) -> str:
    """2k, 5M; plain under 1,000."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def span(
    lows: Sequence[float] | Vector, highs: Sequence[float] | Vector, zero: float | None = 0.0, reach: float = 1.5
) -> tuple[float, float]:
    """A range for intervals in which one far-off method does not press the others flat: what lies outside is drawn at the edge.

    Tukey's fences: from the quartiles of the ends `reach` times their distance on either side, no wider than the data; with `zero`,
    unless that is so far off that it would treble the range. NaN are left out; (-1, 1) around zero where nothing is known.
    """
    low, high = (np.asarray(values, float)[~np.isnan(np.asarray(values, float))] for values in (lows, highs))
    if not len(low):
        return (zero or 0.0) - 1, (zero or 0.0) + 1
    a, b = float(np.quantile(low, 0.25)), float(np.quantile(high, 0.75))
    room = reach * (b - a)
    a, b = max(float(low.min()), a - room), min(float(high.max()), b + room)
    if zero is not None and max(b, zero) - min(a, zero) <= 3 * (b - a):
        a, b = min(a, zero), max(b, zero)
    margin = 0.04 * (b - a) if b - a > 1e-9 * max(1.0, abs(a)) else 0.5  # of one number a range around it
    return a - margin, b + margin
