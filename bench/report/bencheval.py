"""Scores per cell as `bencheval`, the engine of TabArena's leaderboards, takes them: a row for each method, task and fold, with an error.

Its task is an outcome of a dataset, its seed column a fold (of all repeats). An error that is undefined, an AUROC of one class say, has no
row. Times: `time_train_s` of training and predicting together, since a cell is timed as a whole; `time_infer_s` of predicting its test rows,
NaN for cells of before it was stored.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.core import BenchError
from bench.report.exported import METRICS, NAMES, Exported, scored, written
from bench.store import Contents, Shelf, cell_name

SCHEMA = pa.schema([
    ("method", NAMES), ("task", NAMES), ("fold", pa.int32()), ("metric_error", pa.float64()), ("time_train_s", pa.float64()),
    ("time_infer_s", pa.float64()),
    ("metric", NAMES), ("problem_type", NAMES), ("dataset", NAMES), ("outcome", NAMES), ("protocol", NAMES), ("n", pa.int64()),
    ("events", pa.int64()),
])  # fmt: skip
HIGHER = ("auroc", "ap")  # of which the error is what is left to 1


def write(held: Contents, shelves: list[Shelf], path: Path, metric: str) -> Exported:
    """Write the table, whole or not at all; `missing` counts the rows that a method lacks and another has."""
    if metric not in METRICS:
        raise BenchError(f"--metric must be one of {', '.join(METRICS)}, but is '{metric}'")
    protocols = {dataset: {one.protocol for one in shelves if one.dataset == dataset} for dataset in {s.dataset for s in shelves}}
    rows: dict[str, set[tuple[str, int]]] = {}

    def made(held: Contents, shelf: Shelf, left: Counter[str]) -> Iterator[pa.Table]:
        suffix = f" {shelf.protocol}" if len(protocols[shelf.dataset]) > 1 else ""
        for table in scored(held, shelf, left):
            errors = _errors(held, shelf, table, metric, suffix)
            keys = zip(errors["task"].to_pylist(), errors["fold"].to_pylist(), strict=True)
            rows.setdefault(shelf.method, set()).update(keys)
            yield errors

    done = written(held, shelves, path, SCHEMA, made)
    every = set[tuple[str, int]]().union(*rows.values())
    lacking = {one.method for one in shelves} - set(rows)
    return done._replace(missing=sum(len(every - got) for got in rows.values()) + len(lacking) * len(every))


def _errors(held: Contents, shelf: Shelf, table: pa.Table, metric: str, suffix: str) -> pa.Table:
    """Of the test rows of each cell."""
    frame = table.to_pandas()
    frame = frame[(frame["view"] == "test") & (frame["metric"] == metric) & np.isfinite(frame["value"])]
    folds = held.about(f"{shelf.folder}/protocol.json")["folds"]
    cells = [
        held.about(f"{shelf.folder}/{cell_name(int(r), int(f))}.json")
        for r, f in zip(frame["repeat"], frame["fold"], strict=True)
    ]
    columns = {
        "method": shelf.method, "task": shelf.dataset + ":" + frame["task"].astype(str) + suffix,
        "fold": frame["repeat"] * folds + frame["fold"],
        "metric_error": (1 - frame["value"]).clip(lower=0) if metric in HIGHER else frame["value"],
        "time_train_s": [float(cell["seconds"]) for cell in cells],
        "time_infer_s": [float(cell.get("predict_seconds", np.nan)) for cell in cells], "metric": metric, "problem_type": "binary",
        "dataset": shelf.dataset, "outcome": frame["task"].astype(str), "protocol": shelf.protocol, "n": frame["n"], "events": frame["events"],
    }  # fmt: skip
    made = frame.assign(**columns)[SCHEMA.names]
    plain = pa.schema([(one.name, pa.string() if one.type == NAMES else one.type) for one in SCHEMA])
    return pa.Table.from_pandas(made, schema=plain, preserve_index=False)
