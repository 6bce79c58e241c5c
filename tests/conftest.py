"""A small cohort with all three modalities and a planted signal in each, for every test that needs patients."""

import os
import signal
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy or torch starts its threads

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest

from bench import checks
from bench.core import Cohort, Series, Tabular, Task, Text

# Where a container forbids it, every interpreter that a test starts would compile the suite anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it starts ignored, and children would inherit that

MakeCohort = Callable[..., Cohort]
# Files of half a minute and more of the processor, the longest first: begun last, one of them would run alone at the end.
LONG = ("contract", "cluster", "run", "faults_run", "readme", "suite_runs", "grouped_run", "run_faults", "interrupt", "tune_runs",
        "results_reading", "learning_runs", "wheel", "null_rates", "shards", "faults_cells", "parts")  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {f"test_{name}.py": i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONG)))  # stable: all others in their order


WORDS = ("knee", "hip", "spine", "elective", "revision", "smoker", "cement", "tourniquet")


@lru_cache(maxsize=32)
def _make_cohort(
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

    def tenth() -> np.ndarray:
        return rng.random(n) < 0.1

    frame = pd.DataFrame(
        {
            "age": np.where(tenth(), np.nan, age),
            "sodium": np.where(tenth(), np.nan, sodium),
            "noise": rng.normal(size=n),
            "sex": pd.Categorical(np.where(sex == 1, "male", "female")),
            "ward": pd.Categorical(np.where(tenth(), None, np.array(["a", "b", "c", "d"], object)[ward])),
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


@pytest.fixture(scope="session")
def make_cohort() -> MakeCohort:
    """make_cohort(n=500, tasks=3, seed=0, signal=3.0, missing_labels=0.1, weighted=False, nested=False): each combination is made once."""
    return _make_cohort


@pytest.fixture(scope="session")
def small_cohort() -> Cohort:
    """500 patients, 3 tasks."""
    return _make_cohort()
