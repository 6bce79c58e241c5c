"""The files of a cohort, read and joined into one table, and as what every column is taken."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import numpy as np
import pandas as pd

from bench.cohorts import columns as taking
from bench.cohorts import rules, schema, tables, typed
from bench.cohorts.cells import Kind
from bench.cohorts.columns import Column
from bench.cohorts.schema import CohortFile, Joined
from bench.core import BenchError
from bench.registry import unknown

__all__ = ["Column", "Source", "read"]
Doubts: TypeAlias = dict[str, typed.Doubt]
Part: TypeAlias = tuple[
    pd.DataFrame, list[str], Doubts, dict[str, Kind]
]  # a table, what is said of it, and as what its columns are read


@dataclass(frozen=True, eq=False)
class Source:
    """The files of a cohort, read. frame: the joined table, a row a row of the first table, all columns.

    Its columns are float64 (NaN = missing; true and false are 1 and 0), `str` texts (NaN = missing) or datetime64. kinds: as what the
    cells of each were read.
    """

    file: CohortFile
    path: Path
    frame: pd.DataFrame
    columns: Mapping[str, Column]
    notices: tuple[str, ...] = field(default=())
    kinds: Mapping[str, Kind] = field(default_factory=dict)


def read(path: Path, variant: str | None = None) -> Source:
    """Everything a cohort file names but its series, which `build.make` reads. BenchError, one line, for whatever is wrong.

    variant: definitions, OUTCOME~NAME with + between them, in the place of their outcomes. Columns are taken as without.
    """
    file = schema.read(path)
    with tempfile.TemporaryDirectory(prefix="bench-") as work, tables.connect() as con:
        frame, notices, doubts, kinds = _first(con, file, path.parent, Path(work))
        for joined in file.join:
            frame, more, others, own = join(con, file, frame, joined, path.parent, Path(work))
            notices, doubts, kinds = notices + more, doubts | others, kinds | own
    used = {name: rules.columns_used(outcome, name, list(frame.columns)) for name, outcome in file.outcomes.items()}
    roles = taking.roles(file, list(frame.columns), used)
    for name, doubt in doubts.items():
        if name in roles:
            raise BenchError(f"{doubt.what}, but it has a role: {roles[name]}. {doubt.fix}")
    taken = taking.take(file, frame, roles)
    notices += taking.without_effect(file, roles)
    named = [name for name in (variant or "").split("+") if name]
    notices += [f"learned and tested by another definition than the outcome's own: {name}" for name in named]
    return Source(schema.chosen(file, named), path, frame, taken, tuple(notices), kinds)


def ids(file: CohortFile) -> set[str]:
    """Columns that are read as written, wherever they stand: to be compared with one another."""
    return {file.patient, *filter(None, (file.row, file.group, file.site)), *(one.key for one in file.join)}


def _first(con: duckdb.DuckDBPyConnection, file: CohortFile, folder: Path, work: Path) -> Part:
    raw = tables.open(con, file.table, folder, work)
    for what, name in {"patient": file.patient, "row": file.row, "group": file.group, "site": file.site}.items():
        if name is not None and not file.join:
            known(what, name, raw.names)
    frame, found = typed.read(con, raw, file.table, ids(file), taking.matched(file.columns.numeric, raw.names))
    if not len(frame):
        raise BenchError(f"{raw.title} has a header but no rows")
    return frame, list(found.notices), dict(found.doubts), dict(zip(raw.names, found.kinds, strict=True))


def join(
    con: duckdb.DuckDBPyConnection,
    file: CohortFile,
    frame: pd.DataFrame,
    table: Joined,
    folder: Path,
    work: Path,
    as_kinds: Mapping[str, Kind] | None = None,
) -> Part:
    """The columns of `table` beside the frame's: NaN in rows whose key it lacks. as_kinds: its columns, prefix and all, as what they
    are read, where that is not to be found out; others are left out.
    """
    raw = tables.open(con, table, folder, work)
    known("join.key", table.key, raw.names)
    known("join.key", table.key, list(frame.columns))
    as_written = {name for name in raw.names if name == table.key or table.prefix + name in ids(file)}
    wanted = taking.matched(file.columns.numeric, [table.prefix + name for name in raw.names])
    numeric = {name for name in raw.names if table.prefix + name in wanted}
    if as_kinds is None:
        other, found = typed.read(con, raw, table, as_written, numeric)
    else:
        own: dict[str, Kind] = {name: as_kinds[table.prefix + name] for name in raw.names if table.prefix + name in as_kinds}
        other, found = typed.again(con, raw, table, as_written, own)
    kinds: dict[str, Kind] = {
        table.prefix + str(name): kind for name, kind in zip(other.columns, found.kinds, strict=True) if name != table.key
    }
    notices, doubts = list(found.notices), {table.prefix + name: doubt for name, doubt in found.doubts.items()}
    keys = other[table.key]
    twice = keys[keys.notna() & keys.duplicated()]
    if len(twice):
        raise BenchError(
            f"{raw.title} must have one row a '{table.key}', but {len(twice):,} stand again (first: {twice.iloc[0]})"
        )
    other = other.drop(columns=table.key).rename(columns=lambda name: table.prefix + str(name))
    clash = [name for name in other.columns if name in frame.columns]
    if clash:
        raise BenchError(f"{raw.title} and the tables before it both have a column '{clash[0]}'. Give its join a prefix = '...'.")
    at = pd.Index(keys).get_indexer(pd.Index(frame[table.key]))
    at = np.where(frame[table.key].isna(), -1, at)
    if (at < 0).all():
        raise BenchError(
            f"{raw.title} fits no row: of its '{table.key}' ({_some(keys)}) none stands in the tables before it ({_some(frame[table.key])})"
        )
    side = other.take(np.maximum(at, 0)).reset_index(drop=True) if len(other) else other.reindex(frame.index)
    if (at < 0).any():
        side = side.mask(pd.Series(at < 0))
        notices.append(
            f"{raw.title}: {int((at < 0).sum()):,} of {len(frame):,} rows have no '{table.key}' there, its columns are missing"
        )
    unused = len(other) - len(set(at[at >= 0].tolist()))
    if unused:
        notices.append(f"{raw.title}: {unused:,} of its {len(other):,} rows fit no row of the first table and are left out")
    return pd.concat([frame, side], axis=1), notices, doubts, kinds


def _some(keys: "pd.Series[Any]") -> str:
    """The first few, as they are written."""
    return ", ".join(f"'{one}'" for one in keys.dropna().unique()[:3]) or "none"


def known(what: str, name: str, names: list[str] | tuple[str, ...]) -> None:
    """A BenchError with the closest name where no column is called `name`."""
    if name not in names:
        raise BenchError(unknown(f"column in {what}", name, list(names)))
