"""Results made by hand: two outcomes of 400 patients in 4 folds, no method and no torch. Everything that a report needs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bench import stats
from bench.core import Task
from bench.report.evidence import Frames
from bench.store import Results

FOLDS = 4
N = 400
EVENTS = {"death": 120, "stroke": 44}  # exactly, of 400: 30 and 11 in each of 4 folds


def predictions(y: np.ndarray, methods: Sequence[str], tasks: Sequence[str], repeats: int) -> pd.DataFrame:
    """Test and validation rows of label plus noise. Row i of repeat r is tested in fold (i + i // 4 * r) % 4; every sixth is valid."""
    rng = np.random.default_rng(0)
    rows, frames = np.arange(len(y)), list[pd.DataFrame]()
    for repeat in range(repeats):
        fold = (rows + rows // FOLDS * repeat) % FOLDS
        for method in methods:
            p = 1 / (1 + np.exp(-(2 * np.nan_to_num(y) - 2 + rng.normal(size=y.shape))))
            for f in range(FOLDS):
                for view, here in (("test", fold == f), ("valid", (fold != f) & (rows // FOLDS % 6 == f))):
                    labels = {f"y:{t}": y[here, i] for i, t in enumerate(tasks)} | {
                        f"p:{t}": p[here, i] for i, t in enumerate(tasks)
                    }
                    frames.append(
                        pd.DataFrame({"method": method, "repeat": repeat, "fold": f, "row": rows[here], "view": view} | labels)
                    )
    return pd.concat(frames, ignore_index=True)


def results(
    methods: tuple[str, ...] = ("ref", "other"),
    events: dict[str, int] = EVENTS,
    repeats: int = 1,
    unknown: int = 0,
    **changes: Any,
) -> Results:
    """Rows 0.. have the event, evenly over folds; the last `unknown` labels of the first outcome are unknown."""
    tasks = tuple(events)
    y = np.column_stack([np.arange(N) < count for count in events.values()]).astype(float)
    y[N - unknown :, 0] = np.nan
    ids = np.arange(N).astype(str)
    cohort = pd.DataFrame({"row": np.arange(N), "patient": ids, "group": ids})
    cells = [
        {"method": m, "repeat": r, "fold": f, "status": "done", "seconds": 2.0, "peak_mb": 1.0, "joules": np.nan, "alarms": [], "error": "",
         "facts": {"parameters": 1234, "steps": 50, "at_cap": f == 0}}
        for m in methods for r in range(repeats) for f in range(FOLDS)
    ]  # fmt: skip
    made = Results(
        dataset="demo", note="", quick=False, tasks=tuple(Task(t) for t in tasks),
        protocol={"folds": FOLDS, "repeats": repeats, "seed": 7, "quick": False}, reference=methods[0], cohort=cohort, methods=methods,
        groups=dict.fromkeys(methods, "trees"), predictions=predictions(y, methods, tasks, repeats), cells=pd.DataFrame(cells),
    )  # fmt: skip
    return replace(made, **changes)


def frames(given: Results) -> Frames:
    tasks = [task.name for task in given.tasks]
    evidence = stats.gather(
        given.predictions, given.cohort, tasks, given.methods, given.reference, families=given.groups, resamples=30
    )
    return Frames.of(given, evidence, stats.score(evidence, resamples=30))


def failed(given: Results, **where: object) -> Results:
    """The same without some cells' predictions."""
    gone = given.cells[list(where)].eq(pd.Series(where)).all(axis=1)
    lost = given.predictions[list(where)].eq(pd.Series(where)).all(axis=1)
    cells = given.cells.assign(
        status=given.cells["status"].mask(gone, "failed"), error=given.cells["error"].mask(gone, "out of memory")
    )
    return replace(given, cells=cells, predictions=given.predictions[~lost])
