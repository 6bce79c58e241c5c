"""10,000 synthetic patients whose table, vitals and note share nothing: a null for claims about sharing. Needs nothing.

Synthetic data are no evidence about patients. Each modality shows a factor of its own, standard normal and independent of the
others, through several noisy features; the log-odds of the four outcomes are sums of the three factors, with weights that turn
from outcome to outcome. With `signal=0` the features are noise alone, every one independent of all others and of the outcomes.

Raw PCG64 uniforms, values rounded to two decimals: the same bytes on every machine.
"""

import ast
import inspect
from typing import Annotated, Any

import numpy as np
import pandas as pd
from annotated_types import Ge
from numpy.typing import NDArray

from bench.checks import build
from bench.core import BenchError, Cohort, Count, Series, Share, Tabular, Task, Text

from ._surgical_views import Array, normal, sigmoid, uniform

TASKS = tuple(
    Task(name, f"the {name} of four synthetic outcomes", competing="no deaths are generated")
    for name in ("first", "second", "third", "fourth")
)
MIX = np.array([[1.0, 0.6, 0.6], [0.6, 1.0, 0.6], [0.6, 0.6, 1.0], [0.8, 0.8, 0.8]])  # outcomes x (table, vitals, note)
STEEP = 1.5  # log-odds per unit of a factor that counts in full
INTERCEPT = np.array([-2.4, -3.0, -3.6, -4.2])  # prevalences about 18, 13, 9 and 7 %
COLUMNS, CHANNELS, READINGS = 20, 4, 12
WORDS = tuple(f"word{k:02d}" for k in range(40))  # every second one is likelier where the note's factor is high


def load(n: Count = 10_000, seed: Annotated[int, Ge(0)] = 0, signal: Share = 0.7) -> Cohort:
    """The cohort; nothing is missing. n: patients. seed: another cohort of the same kind.

    signal: share of a feature's variance that its modality's factor owns; 0 = pure noise, and outcomes that nothing tells of.
    Raises BenchError where the draw leaves an outcome with one class (very small n), as any cohort does.
    """
    f, p = _planted(n, seed)
    own, noise = np.sqrt(signal), np.sqrt(1 - signal)
    table = own * f[0][:, None] + noise * normal(seed, "table", n, COLUMNS)
    level = own * f[1][:, None] + noise * normal(seed, "vitals", n, CHANNELS)
    readings = np.repeat(level, READINGS, axis=1) + 0.5 * normal(seed, "readings", n, CHANNELS * READINGS)
    minutes = np.tile(np.arange(READINGS, 0, -1) * 10.0, CHANNELS)
    modalities = {
        "table": Tabular(pd.DataFrame(np.round(table, 2), columns=[f"x{j:02d}" for j in range(COLUMNS)])),
        "vitals": _series(np.round(readings, 2), minutes),
        "note": Text(_notes(own * f[2], noise, n, seed)),
    }
    y = (uniform(seed, "outcomes", n, len(TASKS)) < p).astype(np.float32)
    dials = {"n": n, "seed": seed, "signal": float(signal)}
    name = ":".join(["independent", *(f"{k}={v}" for k, v in dials.items() if v != DEFAULTS[k])])
    return build(name, modalities, TASKS, y, [f"P{i:05d}" for i in range(n)])


DEFAULTS: dict[str, Any] = {name: p.default for name, p in inspect.signature(load).parameters.items()}


def truth(cohort: Cohort) -> pd.DataFrame:
    """`factor:<modality>`, the planted factors, and `p:<task>`, the outcome's probability given them; for diagnostics only.

    A row per row of the cohort or of any part of it. Raises BenchError for a cohort that is not this one.
    """
    name, *pairs = cohort.name.split(":")
    if name != "independent":
        raise BenchError(f"truth is known for 'independent' only, but this cohort is '{cohort.name}'")
    dials = DEFAULTS | {k: ast.literal_eval(v) for k, v in (pair.split("=") for pair in pairs)}
    f, p = _planted(dials["n"], dials["seed"])
    rows = np.array([int(patient[1:]) for patient in cohort.patients])
    factors = {f"factor:{modality}": f[k][rows] for k, modality in enumerate(("table", "vitals", "note"))}
    return pd.DataFrame(factors | {f"p:{task.name}": p[rows, t] for t, task in enumerate(TASKS)})


def _planted(n: int, seed: int) -> tuple[Array, Array]:
    """(3, n) factors and (n, T) probabilities, rounded so that the last bit of exp cannot flip a label."""
    f = np.stack([normal(seed, f"factor {k}", n) for k in range(3)])
    odds = INTERCEPT + STEEP * sum(f[k][:, None] * MIX[:, k] for k in range(3))
    return f, np.round(sigmoid(odds), 6)


def _series(readings: Array, minutes: NDArray[Any]) -> Series:
    """(n, CHANNELS * READINGS) readings at the same minutes for all."""
    n, each = readings.shape
    channel = np.tile(np.repeat(np.arange(CHANNELS), READINGS), n)
    names = [f"channel{c}" for c in range(CHANNELS)]
    return Series(np.arange(n + 1) * each, np.tile(minutes, n), channel, readings.ravel(), names, ["1"] * CHANNELS)


def _notes(factor: Array, noise: float, n: int, seed: int) -> list[str]:
    """Words by chance, half of them likelier the higher the factor."""
    e, u = normal(seed, "words", n, len(WORDS)), uniform(seed, "told", n, len(WORDS))
    informed = np.arange(len(WORDS)) % 2 == 0
    odds = -1.1 + 1.5 * np.where(informed, factor[:, None], 0.0) + noise * e
    told = u < np.round(sigmoid(odds), 6)
    return [" ".join(word for word, there in zip(WORDS, row, strict=True) if there) for row in told.tolist()]
