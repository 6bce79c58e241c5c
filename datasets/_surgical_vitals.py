"""The vitals of `surgical`: seven channels of a monitor from induction to the end of surgery, irregular and with gaps.

A channel is a level, a rise over the operation and one episode, all from the factors, under reading noise.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core import Series

from ._surgical_views import Array, Views, mix, normal, sigmoid, uniform


class Channel(NamedTuple):
    """A vital sign: minutes between readings, decimals, range of the monitor, noise of a reading, share of patients without it."""

    name: str
    unit: str
    step: float
    digits: int
    low: float
    high: float
    noise: float
    absent: float = 0.0


CHANNELS = (
    Channel("map", "mmHg", 8, 0, 25, 160, 6),
    Channel("heart_rate", "1/min", 8, 0, 30, 180, 4),
    Channel("spo2", "%", 10, 0, 65, 100, 0.8),
    Channel("etco2", "mmHg", 12, 0, 10, 75, 1.5),
    Channel("temperature", "degC", 26, 1, 32, 40, 0.1, 0.15),
    Channel("peak_pressure", "cmH2O", 14, 0, 6, 50, 1.5),
    Channel("urine", "ml/h", 40, 0, 0, 600, 18, 0.4),
)


def vitals(f: Views, preoperative: pd.DataFrame, present: NDArray[np.bool_], seed: int) -> Series:
    """Readings from induction to the end of surgery, which is time 0; each channel at its own irregular pace, with gaps."""
    n = len(present)
    u = uniform(seed, "monitor", 6, n)
    planned = preoperative["planned_duration_min"].to_numpy()
    minutes = np.clip(np.round(planned * (0.75 + 0.6 * u[0])), 25, 600)
    courses = _courses(f, preoperative, seed)
    asleep = preoperative["anaesthesia"].cat.codes.to_numpy() < 2  # only then a ventilator reports
    rows: list[tuple[NDArray[Any], ...]] = []
    for c, channel in enumerate(CHANNELS):
        here = uniform(seed, f"{channel.name} absent", n) >= channel.absent
        if channel.name in ("etco2", "peak_pressure"):
            here = here & asleep
        owner, share = _moments(channel, here, minutes, u, seed)
        value = _readings(channel, courses[channel.name], owner, share, u, seed)
        ago = np.round((1 - share) * minutes[owner], 1)
        rows.append((owner, ago, np.full(len(owner), c), value))
    owner, ago, channel_, value = (np.concatenate(part) for part in zip(*rows, strict=True))
    order = np.lexsort((channel_, -ago, owner))
    order = order[present[owner[order]]]  # left out last, so that who lacks the vitals changes nobody else's
    offsets = np.searchsorted(owner[order], np.arange(n + 1))
    return Series(
        offsets, ago[order], channel_[order], value[order], [c.name for c in CHANNELS], [c.unit for c in CHANNELS], present
    )


def _moments(channel: Channel, here: NDArray[np.bool_], minutes: Array, u: Array, seed: int) -> tuple[NDArray[np.int64], Array]:
    """(events,) whose reading, and when as a share of the operation: jittered, 6 % lost, none while the monitor is off."""
    step = channel.step * (0.75 + 0.6 * u[1])
    count = np.where(here, np.floor(minutes / step).astype(np.int64), 0)
    owner = np.repeat(np.arange(len(here)), count)
    j = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    chance = uniform(seed, f"{channel.name} moments", 2, len(owner))
    share = (j + 0.1 + 0.8 * chance[0]) * step[owner] / minutes[owner]
    off = np.where(u[2] < 0.35, 0.05 + 0.25 * u[3], 0.0)  # a third of the patients: some of the time
    gap = (share > u[4][owner]) & (share < (u[4] + off)[owner])
    keep = (chance[1] >= 0.06) & ~gap
    return owner[keep], share[keep]


def _courses(f: Views, preoperative: pd.DataFrame, seed: int) -> dict[str, tuple[Array, Array, Array]]:
    """Channel -> (n,) level, rise over the operation, height of its one episode.

    The depth of anaesthesia moves pressure and pulse together and says nothing; only pulse against pressure tells of the ICU,
    and less so under a beta blocker. A diuretic raises urine flow. Too cold and too warm are equally bad.
    """
    blocked, diuretic = preoperative["beta_blocker"].to_numpy(), preoperative["diuretic"].to_numpy()
    side = np.where(uniform(seed, "warm or cold", len(f["s"])) < 0.6, -1.0, 1.0)
    e = normal(seed, "courses", 16, len(f["s"]))
    depth, shock = e[0], mix(f, {"i": 0.76, "s": 0.44}, e[1])
    low = sigmoid(1.2 * mix(f, {"a": 0.78, "s": 0.44}, e[2]) - 0.3)  # a pressure can only fall so far
    lungs = np.exp(0.75 * mix(f, {"p": 0.76, "s": 0.44}, e[3]))
    stiff = mix(f, {"p": 0.60, "build": 0.55}, e[4])
    cold = mix(f, {"o": 0.76, "s": 0.40}, e[5])
    flow = mix(f, {"a": -0.70, "s": -0.20}, e[6])
    return {
        "map": (84 + 7 * f["pressure"] - 7 * depth + 2 * e[7], -5 * shock + 3 * e[8], -36 * low),
        "heart_rate": (70 - 7 * depth + 5 * e[9], 8 * (1 - 0.75 * blocked) * shock + 4 * e[10], 14 * low + 4 * e[11]),
        "spo2": (98.8 - 0.3 * lungs, -0.2 * lungs, -2.6 * lungs),
        "etco2": (35 + 2 * e[12], 2.5 * mix(f, {"p": 0.4}, e[13]), 0 * depth),
        "temperature": (36.5 + 0.2 * e[14], -0.2 + 0.35 * side * np.exp(0.6 * cold), 0 * depth),
        "peak_pressure": (18 + 3.2 * stiff, 1.2 * mix(f, {"p": 0.3}, e[15]), 0.5 * lungs),
        "urine": (70 * np.exp(0.5 * flow + 0.4 * diuretic), 10 * flow, -20 * low),
    }


def _readings(
    channel: Channel, course: tuple[Array, Array, Array], owner: NDArray[np.int64], share: Array, u: Array, seed: int
) -> Array:
    level, rise, episode = course
    width = 0.06 + 0.10 * u[1]
    away = (share - (0.1 + 0.8 * u[5][owner])) / width[owner]
    noise = channel.noise * normal(seed, f"{channel.name} noise", len(owner))
    value = level[owner] + rise[owner] * share + episode[owner] * np.exp(-away * away) + noise
    rounded = np.round(value, channel.digits)
    rounded = np.where(
        rounded < channel.low, channel.low, rounded
    )  # np.clip makes 0 of -0 in some releases of numpy, and not in others
    return np.where(rounded > channel.high, channel.high, rounded)
