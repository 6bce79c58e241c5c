"""Evidence on three outcomes from made-up predictions, for tests of multi-task questions."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bench import stats
from bench.stats import Evidence

FAMILIES = {"alone": "single-task", "wide": "single-task", "shared": "sharing", "forest": "trees", "deep": "tabular deep"}
TASKS = ("t0", "t1", "t2")


def predictions(
    noise: Mapping[str, float], prevalence: Sequence[float] = (0.4, 0.3, 0.2), n: int = 400, folds: int = 4, repeats: int = 1,
    unknown: float = 0.0, events: Mapping[int, int] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Risks that are the label plus a noise that all methods share plus the method's own. events: how many an outcome has."""
    rng = np.random.default_rng(5)
    tasks = TASKS[: len(prevalence)]
    y = (rng.random((n, len(tasks))) < prevalence).astype(float)
    for t, count in (events or {}).items():
        y[:, t] = np.arange(n) < count
    y[rng.random(y.shape) < unknown] = np.nan
    common = np.nan_to_num(y) + rng.normal(size=y.shape)
    frames: list[pd.DataFrame] = []
    for repeat in range(repeats):
        fold = rng.permutation(np.arange(n) % folds)
        for size in dict.fromkeys(noise.values()):
            p = 1 / (1 + np.exp(-(common + size * rng.normal(size=y.shape))))
            part = {"repeat": repeat, "fold": fold, "row": np.arange(n), "view": "test"}
            part |= {f"y:{t}": y[:, i] for i, t in enumerate(tasks)} | {f"p:{t}": p[:, i] for i, t in enumerate(tasks)}
            frames += [pd.DataFrame({"method": m, **part}) for m, own in noise.items() if own == size]
    return pd.concat(frames, ignore_index=True)


def evidence(
    frame: pd.DataFrame, reference: str = "alone", tasks: Sequence[str] | None = None, families: Mapping[str, str] = FAMILIES,
    resamples: int = 99,
) -> Evidence:  # fmt: skip
    methods = list(frame["method"].unique())
    named = {m: families.get(m.split(":")[0], "") for m in methods}
    rows = frame["row"].unique()
    cohort = pd.DataFrame({"row": rows, "patient": rows.astype(str), "group": rows.astype(str)})
    tasks = tasks or [str(c)[2:] for c in frame.columns if str(c).startswith("y:")]
    found = stats.gather(frame, cohort, tasks, methods, reference, families=named, resamples=resamples)
    assert found is not None
    return found


def row(frame: pd.DataFrame, **where: str) -> pd.Series:
    for column, wanted in where.items():
        frame = frame[frame[column] == wanted]
    assert len(frame) == 1
    return frame.iloc[0]


TWO = {"alone": 0.4, "shared": 0.8}
