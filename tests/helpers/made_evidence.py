"""Evidence from plain arrays: labels and risks in, folds, validation rows and resamples made."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench import stats
from bench.stats import Evidence


def make(
    y: Any,
    risks: Mapping[str, Any],
    *,
    folds: int = 4,
    weight: Any = None,
    group: Any = None,
    columns: Mapping[str, Any] | None = None,
    valid: bool = True,
    missing: Mapping[str, int] | None = None,
    resamples: int = 20,
    reference: str | None = None,
    fold: Any = None,
) -> Evidence:
    """y: (n, T) or (n,), NaN unknown. risks: method -> (n, T) or (n,), or (R, n, T) for R repeats. missing: method -> a fold it lacks.

    Row i is tested in fold i % folds (of repeat r: (i // folds^r) % folds), or as `fold` says; the rows of the next fold validate.
    """
    labels = np.asarray(y, float).reshape(len(y), -1)
    n, outcomes = labels.shape
    tasks = [f"t{t}" for t in range(outcomes)]
    frames: list[pd.DataFrame] = []
    for method, values in risks.items():
        given = np.asarray(values, float)
        repeats = given if given.ndim == 3 else given.reshape(1, n, outcomes)
        for repeat, p in enumerate(repeats):
            own = np.arange(n) // folds**repeat % folds if fold is None else np.asarray(fold)
            about = {f"y:{t}": labels[:, i] for i, t in enumerate(tasks)} | {f"p:{t}": p[:, i] for i, t in enumerate(tasks)}
            frame = pd.DataFrame({"method": method, "repeat": repeat, "fold": own, "row": np.arange(n), "view": "test"} | about)
            views = [frame, frame.assign(view="valid", fold=(frame["fold"] - 1) % folds)] if valid else [frame]
            frames += [view[view["fold"] != (missing or {}).get(method, -1)] for view in views]
    ids = np.arange(n).astype(str)
    cohort = pd.DataFrame({"row": np.arange(n), "patient": ids, "group": ids if group is None else group})
    if weight is not None:
        w = np.asarray(weight, float).reshape(n, -1)
        cohort = cohort.assign(**{f"weight:{t}": w[:, i] for i, t in enumerate(tasks)})
    cohort = cohort.assign(**dict(columns or {}))
    methods = list(risks)
    made = stats.gather(
        pd.concat(frames, ignore_index=True), cohort, tasks, methods, reference or methods[0], resamples=resamples
    )
    assert made is not None
    return made


def expit(z: Any) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(z, float)))


def drawn_cohort(n: int, seed: int, shift: float = -1.5) -> tuple[np.ndarray, np.ndarray]:
    """(y, p) of n patients whose outcomes are drawn from their risks p."""
    rng = np.random.default_rng(seed)
    p = expit(shift + 1.2 * rng.normal(size=n))
    return (rng.random(n) < p).astype(float), p
