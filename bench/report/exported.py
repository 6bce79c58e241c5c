"""Stored predictions, or scores per cell, as one long table for use elsewhere: of every dataset, a row a number."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from bench import metrics
from bench.core import BenchError
from bench.store import Contents, Shelf
from bench.store.cells import checked_cell, placed
from bench.store.files import read_frame
from bench.store.tables import unpacked

NAMES = pa.dictionary(pa.int32(), pa.string())
OF = [
    ("dataset", NAMES),
    ("method", NAMES),
    ("protocol", NAMES),
    ("folder", NAMES),
    ("repeat", pa.int32()),
    ("fold", pa.int32()),
    ("view", NAMES),
]
PREDICTIONS = pa.schema(
    [*OF, ("row", pa.int64()), ("patient", pa.string()), ("task", NAMES), ("y", pa.float32()), ("p", pa.float32())]
)
SCORES = pa.schema([*OF, ("task", NAMES), ("metric", NAMES), ("value", pa.float64()), ("n", pa.int64()), ("events", pa.int64())])
METRICS: dict[str, Callable[..., float]] = {
    "auroc": metrics.auroc, "ap": metrics.average_precision, "brier": metrics.brier, "log_loss": metrics.log_loss,
}  # fmt: skip


Made: TypeAlias = Callable[[Contents, Shelf, Counter[str]], Iterator[pa.Table]]


class Exported(NamedTuple):
    """Rows of the table, and how many cells it lacks: those that are damaged, and those that failed or were declined. missing: rows that
    other methods have, where methods are compared row by row.
    """

    rows: int
    damaged: int
    without: int
    missing: int = 0


def write(held: Contents, shelves: list[Shelf], path: Path, scores: bool) -> Exported:
    """Write the table of these shelves, whole or not at all. Cells that are damaged or have no predictions are left out.

    Columns: those of PREDICTIONS or SCORES. Memory: the cells of one method at a time.
    """
    schema, made = (SCORES, scored) if scores else (PREDICTIONS, _predictions)
    return written(held, shelves, path, schema, made)


def written(held: Contents, shelves: list[Shelf], path: Path, schema: pa.Schema, made: Made) -> Exported:
    """The tables that `made` gives of each shelf, in one file; it counts in its last argument the cells that are left out."""
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    count, left = 0, Counter[str]()
    try:
        with _writer(Path(aside), path.suffix, schema) as writer:
            for shelf in shelves:
                for table in made(held, shelf, left):
                    writer.write_table(_plain(table, schema) if path.suffix == ".csv" else table.cast(schema))
                    count += table.num_rows
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise
    return Exported(count, left["damaged"], left["without"])


def _writer(path: Path, suffix: str, schema: pa.Schema) -> Any:
    if suffix == ".csv":
        return pc.CSVWriter(path, pa.schema([(field.name, _flat(field.type)) for field in schema]))
    return pq.ParquetWriter(path, schema, compression="zstd")


def _plain(table: pa.Table, schema: pa.Schema) -> pa.Table:
    return table.cast(pa.schema([(field.name, _flat(field.type)) for field in schema]))


def _flat(kind: pa.DataType) -> pa.DataType:
    return pa.string() if kind == NAMES else kind


def _cells(held: Contents, shelf: Shelf, left: Counter[str]) -> Iterator[tuple[int, pa.Table]]:
    """Repeat and predictions of each cell that has any; the others are counted in `left`."""
    for cell in shelf.cells:
        repeat, fold = placed(cell)
        _, data, fault = checked_cell(held.root / shelf.folder, repeat, fold)
        if fault is None and data:
            yield repeat, unpacked(data)
        else:
            left["damaged" if fault else "without"] += 1


def _predictions(held: Contents, shelf: Shelf, left: Counter[str]) -> Iterator[pa.Table]:
    """A table per outcome, all cells in it."""
    cells = [table.append_column("repeat", _same(repeat, table, pa.int32())) for repeat, table in _cells(held, shelf, left)]
    if not cells:
        return
    table = pa.concat_tables(cells, promote_options="permissive")
    for task in _tasks(table):
        columns = {name: table[name] for name in ("repeat", "fold", "view", "row", "patient")} | {
            "y": table[f"y:{task}"],
            "p": table[f"p:{task}"],
        }
        yield _shaped(shelf, {**columns, "task": _same(task, table, pa.string())}, table, PREDICTIONS)


def scored(held: Contents, shelf: Shelf, left: Counter[str]) -> Iterator[pa.Table]:
    """Of every cell, view and outcome: the metrics, weighted as the report's are."""
    rows: list[dict[str, Any]] = []
    for repeat, table in _cells(held, shelf, left):
        views = table["view"].to_numpy(zero_copy_only=False)
        place, fold = table["row"].to_numpy(), table["fold"][0].as_py()
        for view in dict.fromkeys(views):
            there = views == view
            for task in _tasks(table):
                y, p = (table[f"{side}:{task}"].to_numpy()[there].astype(np.float64) for side in ("y", "p"))
                weight = _weights(held, shelf, view, task)
                w = None if weight is None else weight[place[there]]
                known = ~np.isnan(y)
                about = {
                    "repeat": repeat,
                    "fold": fold,
                    "view": view,
                    "task": task,
                    "n": int(known.sum()),
                    "events": int(y[known].sum()),
                }
                rows += [about | {"metric": name, "value": metric(y, p, w)} for name, metric in METRICS.items()]
    if rows:
        table = pa.Table.from_pylist(rows)
        yield _shaped(shelf, {name: table[name] for name in table.column_names}, table, SCORES)


def _weights(held: Contents, shelf: Shelf, view: str, task: str) -> Any:
    """Of the rows of the cohort that a view is of; None where they have none."""
    dataset = shelf.folder.partition("/")[0]
    kind, _, name = view.partition(":")
    run = held.about(f"{dataset}/runs/{shelf.protocol}.json")
    path = held.root / dataset / (run.get("external", {}).get(name, "") if kind == "external" else "cohort.parquet")
    return _weighted(path).get(f"weight:{task}") if path.is_file() else None


@lru_cache(maxsize=8)
def _weighted(path: Path) -> dict[str, Any]:
    frame = read_frame(path)
    return {name: frame[name].to_numpy(np.float64) for name in frame.columns if name.startswith("weight:")}


def _tasks(table: pa.Table) -> list[str]:
    return [name[2:] for name in table.column_names if name.startswith("y:")]


def _shaped(shelf: Shelf, columns: dict[str, Any], table: pa.Table, schema: pa.Schema) -> pa.Table:
    """With whose they are, in the order of the schema."""
    whose = {"dataset": shelf.dataset, "method": shelf.method, "protocol": shelf.protocol, "folder": shelf.folder}
    every = columns | {name: _same(text, table, pa.string()) for name, text in whose.items()}
    return pa.table({name: _named(every[name]) if schema.field(name).type == NAMES else every[name] for name in schema.names})


def _same(value: str | int, table: pa.Table, kind: pa.DataType) -> Any:
    """As often as the table has rows."""
    return pa.repeat(pa.scalar(value, kind), table.num_rows)


def _named(column: Any) -> Any:
    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode().cast(NAMES)


def checked(path: Path, force: bool) -> None:
    """BenchError for a file that is of another kind, or there already."""
    if path.suffix not in (".parquet", ".csv"):
        raise BenchError(f"the file must end in .parquet or .csv, but is '{path.name}'")
    if path.exists() and not force:
        raise BenchError(f"{path} is there already. --force writes over it.")
    if not path.parent.is_dir():
        raise BenchError(f"there is no folder '{path.parent}' for {path.name}")
