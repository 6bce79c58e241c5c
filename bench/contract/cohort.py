"""The patients on whom methods are tested: few, with all three kinds of inputs, and a planted signal in each."""

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import checks
from bench.core import Cohort, Modality, Series, Tabular, Task, Text

WORDS = ("knee", "hip", "spine", "elective", "revision", "smoker", "cement", "tourniquet")


@lru_cache(maxsize=32)
def make(
    n: int = 500,
    tasks: int = 3,
    seed: int = 0,
    signal: float = 3.0,
    missing_labels: float = 0.1,
    weighted: bool = False,
    nested: bool = False,
) -> Cohort:
    """n patients; every task's log-odds are `signal` times a mix of a number, a code, a series' level and a word.

    Task t leans on its own mix, prevalence falls from about .5 (task 0) to about .25. A tenth of the numbers and of the
    rows of each modality are missing, and `missing_labels` of the labels. weighted: random weights in 1..2. nested: the first
    outcome is the union of the others.
    """
    rng = np.random.default_rng([seed, 1])
    age, sodium = rng.normal(60, 10, n), rng.normal(140, 3, n)
    sex = rng.integers(0, 2, n)
    ward = rng.integers(0, 4, n)
    level = rng.normal(0, 1, n)
    note = rng.random((n, len(WORDS))) < 0.3

    parts = np.column_stack([(age - 60) / 10, (sodium - 140) / 3, ward == 2, level, note[:, 4], sex])
    mix = np.array([[1.0, -0.5, 1.0, 0.7, 1.0, 0.2], [0.8, -0.8, 0.5, 1.0, 0.7, 0.0], [1.0, -0.3, 0.7, 0.8, 0.5, 0.5]])
    z = signal * (parts - parts.mean(axis=0)) @ mix[np.arange(tasks) % 3].T - np.linspace(0, 0.8, tasks) * signal
    labels = (rng.random((n, tasks)) < 1 / (1 + np.exp(-z))).astype(float)
    if nested:
        labels[:, 0] = labels[:, 1:].max(axis=1)
    labels[rng.random((n, tasks)) < missing_labels] = np.nan

    def tenth() -> NDArray[np.bool_]:
        return rng.random(n) < 0.1

    nothing: Any = None
    frame = pd.DataFrame(
        {
            "age": np.where(tenth(), np.nan, age),
            "sodium": np.where(tenth(), np.nan, sodium),
            "noise": rng.normal(size=n),
            "sex": pd.Categorical(np.where(sex == 1, "male", "female")),
            "ward": pd.Categorical(np.where(tenth(), nothing, np.array(["a", "b", "c", "d"], object)[ward])),
        }
    )
    count = rng.integers(4, 12, n)
    owner = np.repeat(np.arange(n), count)
    channel = rng.integers(0, 2, len(owner))
    value = np.where(channel == 0, 80 + 10 * level[owner] + rng.normal(0, 2, len(owner)), rng.normal(36.6, 0.4, len(owner)))
    modalities = {
        "table": Tabular(frame, ~tenth()),
        "vitals": Series(
            np.concatenate([[0], np.cumsum(count)]), rng.exponential(60, len(owner)), channel, value, ("heart_rate", "temperature"),
            ("1/min", "C"), ~tenth(),
        ),
        "note": Text([" ".join(np.array(WORDS)[words]) for words in note], ~tenth()),
    }  # fmt: skip
    weights = rng.uniform(1, 2, (n, tasks)) if weighted else None
    names = [Task(f"outcome_{t}", implies=("outcome_0",) if nested and t else ()) for t in range(tasks)]
    return checks.build("small", modalities, names, labels, [f"p{i}" for i in range(n)], weights=weights)


def thirds(cohort: Cohort, train: int, valid: int) -> tuple[Cohort, Cohort, Cohort]:
    """The first rows, the next, and all others."""
    rows = np.arange(len(cohort))
    return cohort.rows(rows[:train]), cohort.rows(rows[train : train + valid]), cohort.rows(rows[train + valid :])


def rebuilt(cohort: Cohort, **changed: Any) -> Cohort:
    """The cohort with other modalities, labels or weights, and the digest of what it then holds."""
    parts: dict[str, Any] = {"modalities": cohort.inputs.modalities, "labels": cohort.labels, "weights": cohort.weights} | changed
    return checks.build(
        cohort.name, parts["modalities"], cohort.tasks, parts["labels"], cohort.patients, weights=parts["weights"]
    )


def without(modality: Modality) -> Modality:
    """The same modality, missing in every row; what it holds stays, to see that nobody looks."""
    absent = np.zeros(len(modality), bool)
    if isinstance(modality, Tabular):
        return Tabular(modality.frame, absent)
    if isinstance(modality, Series):
        return Series(
            modality.offsets, modality.time, modality.channel, modality.value, modality.channels, modality.units, absent
        )
    return Text(modality.strings, absent)
