"""Evidence from made-up predictions: the label plus a noise that all methods share plus the method's own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.stats.estimates import Evidence, gather

Change = Callable[[pd.DataFrame], pd.DataFrame]


def tables(
    noise: Mapping[str, float],
    n: int = 400,
    prevalence: Sequence[float] = (0.3, 0.2),
    folds: int = 4,
    repeats: int = 1,
    seed: int = 0,
    events: Mapping[int, int] | None = None,
    unknown: float = 0.0,
) -> tuple[pd.DataFrame, pd.DataFrame, list[str], list[str]]:
    """Predictions that are the label plus a common noise plus the method's own. events: exact number of events of an outcome."""
    rng = np.random.default_rng(seed)
    tasks = [f"t{i}" for i in range(len(prevalence))]
    y = (rng.random((n, len(tasks))) < prevalence).astype(float)
    for t, count in (events or {}).items():
        y[:, t] = np.arange(n) < count
    y[rng.random(y.shape) < unknown] = np.nan
    shared = np.nan_to_num(y) + rng.normal(size=y.shape)
    frames: list[pd.DataFrame] = []
    for repeat in range(repeats):
        fold = rng.permutation(np.arange(n) % folds)
        for method, size in noise.items():
            p = 1 / (1 + np.exp(-(shared + size * rng.normal(size=y.shape))))
            columns: dict[str, Any] = {"method": method, "repeat": repeat, "fold": fold, "row": np.arange(n), "view": "test"}
            labels = {f"y:{t}": y[:, i] for i, t in enumerate(tasks)}
            frames.append(pd.DataFrame(columns | labels | {f"p:{t}": p[:, i] for i, t in enumerate(tasks)}))
    ids = np.arange(n).astype(str)
    cohort = pd.DataFrame({"row": np.arange(n), "patient": ids, "group": ids})
    return pd.concat(frames, ignore_index=True), cohort, tasks, list(noise)


def build(
    noise: Mapping[str, float],
    reference: str,
    *,
    n: int = 400,
    prevalence: Sequence[float] = (0.3, 0.2),
    events: Mapping[int, int] | None = None,
    folds: int = 4,
    repeats: int = 1,
    seed: int = 0,
    unknown: float = 0.0,
    resamples: int = 100,
    predictions: Change = lambda frame: frame,
    cohort: Change = lambda frame: frame,
) -> Evidence:
    """noise: SD of each method's own. events: exact number of events of an outcome. predictions, cohort: changes to the tables."""
    made, people, tasks, methods = tables(noise, n, prevalence, folds, repeats, seed, events, unknown)
    made, people = predictions(made), cohort(people)
    methods += [m for m in made["method"].unique() if m not in methods]
    found = gather(made, people, tasks, methods, reference, resamples=resamples)
    assert found is not None
    return found


def copied(method: str, name: str) -> Change:
    """Another method with the same predictions."""
    return lambda frame: pd.concat([frame, frame[frame["method"] == method].assign(method=name)], ignore_index=True)
