"""A dataset of the tests: made patients of four sites over ten years, a table, a series and a note, two outcomes.

`visits`: rows of a patient, one after the other. `other`: as another hospital writes it: columns, a channel, a category and an
outcome have other names, another column and modality are there, and one modality is not.
"""

import numpy as np
import pandas as pd

from bench.checks import build
from bench.core import Cohort, Modality, Series, Tabular, Task, Text

SITES = ("north", "east", "south", "west")


def load(n: int = 400, seed: int = 0, visits: int = 1, other: bool = False) -> Cohort:
    rng = np.random.default_rng(seed)
    age, lab, level = rng.normal(60, 10, n), rng.normal(size=n), rng.normal(size=n)
    site = np.array(SITES)[rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])]
    z = (age - 60) / 10 + lab + level
    y = (rng.random((n, 2)) < 1 / (1 + np.exp(-(z[:, None] + [0.0, -1.0])))).astype(float)
    times, value = np.tile([30.0, 20.0, 10.0], n), np.repeat(level, 3) + rng.normal(0, 0.1, 3 * n)
    vitals = Series(
        np.arange(n + 1) * 3, times, np.zeros(3 * n), value, ("MAP" if other else "map",), ("kPa" if other else "mmHg",)
    )
    frame = pd.DataFrame(
        {
            "age": age,
            "Lab" if other else "lab": lab,
            "sex": pd.Categorical(rng.choice(["f", "m", "x"] if other else ["f", "m"], n)),
        }
    )
    modalities: dict[str, Modality] = {
        "table": Tabular(frame),
        "vitals": vitals,
        "note": Text(np.where(lab > 0, "knee high", "hip low")),
    }
    if other:
        frame["ward"] = rng.normal(size=n)
        modalities = {"table": Tabular(frame), "vitals": vitals, "letter": Text(["dear"] * n)}
    day = np.datetime64("2010-01-01") + rng.integers(0, 3650, n)
    part = np.array(["train", "valid", "test"])[rng.choice(3, n, p=[0.5, 0.2, 0.3])]
    levels = pd.DataFrame({"part": part, "ward": rng.integers(0, 3, n).astype(float)})
    return build(
        "other" if other else "wards", modalities, [Task("death"), Task("strokes" if other else "stroke")], y,
        [f"{'q' if other else 'p'}{i // visits}" for i in range(n)], site=site, time=day, subgroups=levels,
    )  # fmt: skip
