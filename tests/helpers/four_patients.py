"""A cohort of four patients with every kind of modality, any part of which a test may replace."""

from typing import Any

import numpy as np
import pandas as pd

from bench import checks
from bench.core import Cohort, Series, Tabular, Task, Text

IDS = ["ann", "bob", "cat", "dan"]


def table(**columns: Any) -> Tabular:
    base = {"age": [50.0, np.nan, 70.0, 80.0], "sex": pd.Categorical(["f", "m", None, "m"])}
    return Tabular(pd.DataFrame(base | columns))


def series(**changes: Any) -> Series:
    # ann owns 2 events, bob none, cat 1, dan 2
    base = {
        "offsets": [0, 2, 2, 3, 5], "time": [60.0, 0.0, 5.0, 9.0, 1.0], "channel": [0, 1, 0, 1, 1],
        "value": [80.0, 36.5, 90.0, 37.0, 38.0], "channels": ("rate", "temp"), "units": ("1/min", "C"),
    }  # fmt: skip
    return Series(**base | changes)


def build(**changes: Any) -> Cohort:
    base: dict[str, Any] = {
        "name": "four", "modalities": {"table": table(), "vitals": series(), "note": Text(["a", "", "b", "c"])},
        "tasks": (Task("any"), Task("aki", implies=("any",))),
        "labels": [[1, 1], [0, 0], [1, np.nan], [np.nan, 1]], "patients": IDS,
    }  # fmt: skip
    return checks.build(**base | changes)
