"""A small cohort of a table, a series and notes, and new patients who lack things, hold new codes, or are out of range."""

import numpy as np
import pandas as pd

from bench import checks
from bench.core import Cohort, Inputs, Series, Tabular, Task, Text

WORDS = np.array(["knee", "hip", "fever", "pain", "elective", "urgent", "cement", "revision"])


def inputs(n: int, seed: int, wards: str = "abc", lacking: float = 0.1) -> tuple[Inputs, np.ndarray]:
    """And (n,) how ill each is."""
    rng = np.random.default_rng([seed, 5])
    ill = rng.normal(size=n)
    age = 60 + 10 * ill + rng.normal(0, 5, n)
    frame = pd.DataFrame(
        {
            "age": np.where(rng.random(n) < lacking, np.nan, age),
            "crp": np.where(rng.random(n) < lacking, np.nan, np.exp(rng.normal(2, 1, n))),
            "ward": pd.Categorical(np.where(rng.random(n) < lacking, None, rng.choice(np.array([*wards], object), n))),
        }
    )
    count = rng.integers(2, 9, n)
    owner = np.repeat(np.arange(n), count)
    channel = rng.integers(0, 2, len(owner))
    value = np.where(channel == 0, 80 + 10 * ill[owner] + rng.normal(0, 3, len(owner)), rng.normal(37, 0.4, len(owner)))
    offsets = np.concatenate([[0], np.cumsum(count)])
    time = rng.exponential(60, len(owner)).round(1)
    notes = [" ".join(rng.choice(WORDS, rng.integers(0, 7))) + (" urgent" if one > 0.5 else "") for one in ill]
    there = [rng.random(n) >= lacking for _ in range(3)]
    return Inputs(
        {
            "table": Tabular(frame, there[0]),
            "vitals": Series(offsets, time, channel, value, ("pulse", "temperature"), ("1/min", "C"), there[1]),
            "note": Text(notes, there[2]),
        }
    ), ill


def cohort(n: int = 160) -> Cohort:
    """Three outcomes, the first the union of the others; some labels unknown."""
    given, ill = inputs(n, 0)
    rng = np.random.default_rng(9)
    parts = (rng.random((n, 2)) < 1 / (1 + np.exp(1 - 1.5 * ill[:, None]))).astype(np.float32)
    labels = np.column_stack([parts.max(axis=1), parts])
    labels[rng.random(labels.shape) < 0.08] = np.nan
    broken = np.nanmax(labels[:, 1:], axis=1, initial=0) > 0
    labels[broken & (labels[:, 0] == 0), 0] = 1
    tasks = [Task("any"), Task("aki", implies=("any",)), Task("icu", implies=("any",))]
    return checks.build("small", given.modalities, tasks, labels, [f"p{i}" for i in range(n)])


def new() -> Inputs:
    """40 patients: a third of everything lacks, a ward is new, a note of no known word and one without any."""
    given, _ = inputs(40, 1, wards="abcdz", lacking=0.33)
    note = given.modalities["note"]
    assert isinstance(note, Text)
    strings = note.strings.copy()
    strings[:2] = ["", "quite other words"]
    return Inputs({**given.modalities, "note": Text(strings, note.present)})
