"""The tables of a cohort file as DuckDB relations with columns c0, c1, ...: whatever their source, one shape.

Texts, of delimited files, Excel and SQLite all there is, get their types later over the whole column; Parquet and DuckDB keep theirs.
Sources are only ever read. What cannot be read is one `BenchError` that names the file, and the line where there is one.
"""

import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from bench.cohorts import delimited
from bench.cohorts.delimited import literal
from bench.cohorts.schema import Table
from bench.core import BenchError

TEXT = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
PARQUET = (".parquet", ".pq")
EXCEL = (".xlsx", ".xlsm", ".xls", ".ods")
DUCKDB = (".duckdb", ".ddb")
SQLITE = (".sqlite", ".sqlite3", ".db", ".db3")


@dataclass(frozen=True)
class Raw:
    """A table that has not been typed. sql: what stands after FROM. types: DuckDB's, one a column; VARCHAR ones may be anything."""

    title: str  # of the file, for messages
    sql: str
    names: tuple[str, ...]
    types: tuple[str, ...]
    notices: tuple[str, ...] = ()

    def only(self, *names: str) -> "Raw":
        """These columns, in this order, as c0, c1, ..."""
        at = [self.names.index(name) for name in names]
        parts = ", ".join(f"c{i} AS c{k}" for k, i in enumerate(at))
        sql = f"(SELECT {parts} FROM {self.sql})"
        return Raw(self.title, sql, names, tuple(self.types[i] for i in at), self.notices)


def connect() -> duckdb.DuckDBPyConnection:
    """A database in memory. Times with an offset are taken to UTC; nothing is fetched from a network."""
    con = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    con.execute("SET TimeZone = 'UTC'")
    with suppress(duckdb.InvalidInputException):  # in a notebook without ipywidgets, where there is no bar to turn off
        con.execute("SET enable_progress_bar = false")
    return con


def open(con: duckdb.DuckDBPyConnection, table: Table, folder: Path, work: Path) -> Raw:
    """The table that `table` names, seen from `folder`. work: an own folder for temporary files."""
    path = folder / Path(table.file or table.database or "").expanduser()
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*") if p.is_file()) if path.parent.is_dir() else []
        raise BenchError(f"no such file: {path}" + (f". Its folder holds: {', '.join(near[:8])}" if near else ""))
    kind = "".join(path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]).lower()
    if table.database:
        raw = _duckdb(con, path, table) if kind in DUCKDB else _sqlite(con, path, table)
    elif kind in PARQUET:
        raw = _parquet(con, path)
    elif kind in EXCEL:
        raw = _excel(con, path, table)
    elif kind in TEXT:
        raw = _text(path, table, work)
    elif kind in (*DUCKDB, *SQLITE):
        raise BenchError(
            f"{path.name} is a database, so a query must say what to take of it: "
            f'table = {{ database = "{path.name}", query = "SELECT * FROM ..." }}'
        )
    else:
        raise BenchError(
            f"a table may be {', '.join((*TEXT[:4], *PARQUET[:1], *EXCEL))} or a database, but {path.name} is none of these"
        )
    if len(set(raw.names)) < len(raw.names):
        twice = next(name for name in raw.names if raw.names.count(name) > 1)
        raise BenchError(f"columns of {raw.title} need names, each once, but '{twice}' stands more than once. Rename one.")
    return raw


def run(con: duckdb.DuckDBPyConnection, sql: str, title: str) -> duckdb.DuckDBPyConnection:
    """Do `sql`; DuckDB's complaints about the file `title` as one line."""
    try:
        return con.execute(sql)
    except duckdb.Error as error:
        raise BenchError(f"{title}{said(error)}") from None


def arrow(con: duckdb.DuckDBPyConnection, sql: str, title: str) -> pa.Table:
    """The rows that `sql` gives, likewise."""
    try:
        return con.sql(sql).to_arrow_table()
    except duckdb.Error as error:
        raise BenchError(f"{title}{said(error)}") from None


def said(error: duckdb.Error) -> str:
    """', line 3: it has 2 cells where the header has 3', or the first line of what DuckDB says."""
    text = str(error)
    line = re.search(r"CSV Error on Line: (\d+)", text)
    where = f", line {line[1]}: " if line else ": "
    if cells := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text):
        return f"{where}it has {cells[2]} cells where the header has {cells[1]}. A cell with a separator in it needs quotes."
    if "unterminated quote" in text:
        return f"{where}a quote that is not closed, or text after a closing quote"
    if "Maximum line size" in text:
        return f"{where}it is longer than 32 MB. Is a quote not closed?"
    rest = re.sub(r"^[\w ]*Error: ", "", text).splitlines() or [type(error).__name__]
    return f"{where}{rest[0].strip()}"


def _text(path: Path, table: Table, work: Path) -> Raw:
    found = delimited.find(path, table, work)
    return Raw(path.name, found.sql(), found.names, ("VARCHAR",) * len(found.names), found.notices)


def _parquet(con: duckdb.DuckDBPyConnection, path: Path) -> Raw:
    source = f"read_parquet({literal(str(path))})"
    about = run(con, f"DESCRIBE SELECT * FROM {source}", path.name).fetchall()
    names, types = [str(row[0]) for row in about], [str(row[1]) for row in about]
    renamed = ", ".join(f"c{i}" for i in range(len(names)))
    return Raw(path.name, f"(SELECT * FROM {source}) AS t({renamed})", tuple(names), tuple(types))


def _duckdb(con: duckdb.DuckDBPyConnection, path: Path, table: Table) -> Raw:
    """The query runs in the user's own database, opened for reading only; its answer is all that is taken over."""
    try:
        with duckdb.connect(str(path), read_only=True, config={"autoinstall_known_extensions": "false"}) as other:
            other.execute("SET TimeZone = 'UTC'")
            answer: Any = other.sql(str(table.query))  # None where a statement gives nothing
            if answer is None:
                raise BenchError(f"{path.name}: the query gives no rows. It must be a SELECT.")
            names, got = list(answer.columns), answer.to_arrow_table()
    except duckdb.Error as error:
        raise BenchError(f"{path.name}{said(error)}") from None
    return _registered(con, path.name, names, got)


def _sqlite(con: duckdb.DuckDBPyConnection, path: Path, table: Table) -> Raw:
    try:
        with closing(sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True)) as other:
            cursor = other.execute(str(table.query))
            names = [str(column[0]) for column in cursor.description or ()]
            parts: list[pa.Table] = []
            blobs = [0] * len(names)
            while rows := cursor.fetchmany(100_000):
                parts.append(_texts(len(names), rows))
                blobs = [seen + sum(isinstance(row[i], bytes) for row in rows) for i, seen in enumerate(blobs)]
    except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
        raise BenchError(
            f"{path.name}: {error}. It must be a SQLite (.sqlite, .db) or DuckDB (.duckdb) file, and a query of it."
        ) from None
    notices = tuple(
        f"{path.name}, column '{name}': {count:,} values are BLOBs and count as missing. CAST it in the query if it means something."
        for name, count in zip(names, blobs, strict=True)
        if count
    )
    return _registered(con, path.name, names, pa.concat_tables(parts) if parts else _texts(len(names), []), notices)


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path.absolute()))


def _excel(con: duckdb.DuckDBPyConnection, path: Path, table: Table) -> Raw:
    import python_calamine as calamine

    try:
        book = calamine.load_workbook(str(path))
        if table.sheet is not None and table.sheet not in book.sheet_names:
            raise BenchError(f"{path.name} has no sheet '{table.sheet}'. There are: {', '.join(book.sheet_names)}.")
        rows = book.get_sheet_by_name(table.sheet or book.sheet_names[0]).to_python()
    except (calamine.CalamineError, OSError, ValueError, IndexError) as error:
        raise BenchError(f"{path.name} is no Excel file that can be read: {error}") from None
    if not rows:
        raise BenchError(f"{path.name} is empty: a table needs a header line and rows")
    cells, rows = [_written(cell) or "" for cell in rows[0]], [row for row in rows[1:] if any(cell != "" for cell in row)]
    width = max((i + 1 for row in rows for i, cell in enumerate(row) if cell != ""), default=1)
    names = delimited.header(path.name, cells, width)
    _one_header(path.name, names, rows)
    return _registered(con, path.name, names, _texts(len(names), rows))


def _one_header(title: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Merged cells over the names make a header of two lines: all texts, above columns of numbers."""
    first = rows[0] if rows else ()
    above = [i for i, cell in enumerate(first[: len(names)]) if cell != ""]
    if len(rows) < 3 or not all(isinstance(first[i], str) for i in above):
        return
    for i in above:
        rest = [row[i] for row in rows[1:] if row[i] != ""]
        if len(rest) > 1 and not any(isinstance(cell, str) for cell in rest):
            raise BenchError(
                f"{title} seems to have two header lines: under '{names[i]}' stands '{_written(first[i])}', then numbers. Keep one line."
            )


def _texts(width: int, rows: Sequence[Sequence[Any]]) -> pa.Table:
    return pa.table({f"c{i}": pa.array([_written(row[i]) for row in rows], pa.large_string()) for i in range(width)})


def _written(cell: Any) -> str | None:
    """A cell as a CSV file would have it: whole numbers without a point, dates as ISO writes them."""
    if cell is None or isinstance(cell, bytes):
        return None
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    as_iso: Callable[[], str] | None = getattr(cell, "isoformat", None)
    return as_iso() if as_iso else str(cell)


def _registered(
    con: duckdb.DuckDBPyConnection, title: str, names: Iterable[str], rows: pa.Table, notices: tuple[str, ...] = ()
) -> Raw:
    columns = tuple(names)
    if not columns:
        raise BenchError(f"{title}: the query gives no columns. It must be a SELECT.")
    view = f"source{con.execute('SELECT count(*) FROM duckdb_views() WHERE NOT internal').fetchall()[0][0]}"
    con.register(view, rows.rename_columns([f"c{i}" for i in range(len(columns))]))
    types = [str(row[1]) for row in con.execute(f"DESCRIBE {view}").fetchall()]
    return Raw(title, view, columns, tuple(types), notices)
