"""What a table's columns of texts hold, counted over every row in DuckDB: numbers, and values that can be read in other ways."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from bench.cohorts import tables
from bench.cohorts.cells import Kind, absent, number, readings, text
from bench.cohorts.schema import Table
from bench.cohorts.tables import Raw

ENOUGH = 0.95  # of a column's values, for it to be what they are
TENTH = 10  # of the rows settles what most texts are not
COMMAS = (
    "comma",
    "grouped",
    "points",
)  # what is asked of a column of numbers, and for a remark where half of a column is so written
MANY = 20_000  # rows from where it is worth a look


@dataclass(frozen=True)
class Count:
    """What a column of loose texts holds. codes: numbers such as 007. points: with a decimal point. stray: a value that is no number.

    cells: those that are not empty; what `missing` says is among them.
    """

    cells: int
    numbers: int
    others: int
    codes: int
    points: int
    largest: float
    stray: str

    @property
    def values(self) -> int:
        return self.numbers + self.others

    @property
    def plain(self) -> bool:
        """Not a cell that is no number."""
        return self.numbers == self.cells

    @property
    def settled(self) -> bool:
        return self.numbers >= ENOUGH * self.values


def counted(
    con: duckdb.DuckDBPyConnection, raw: Raw, which: Sequence[int], ids: Sequence[int], table: Table
) -> tuple[dict[int, Count], set[int]]:
    """What each of these columns of texts holds, as plain numbers go; and those of `ids`, texts too, that are all written as 12.0,
    by a program that took them for numbers. One pass over the file.
    """
    if not (which or ids):
        return {}, set()
    kind: Kind = "comma" if table.decimal == "," else "number"
    numbers = [f"c{i}, {number(f'c{i}', kind, table.missing)} AS n{i}" for i in which]
    numbers += [f"{text(f'c{i}', table.missing)} AS c{i}" for i in ids]
    strays = [
        f"c{i}, n{i}, CASE WHEN n{i} IS NULL AND c{i} IS NOT NULL AND NOT {absent(f'c{i}', table.missing)} THEN trim(c{i}) END AS s{i}"
        for i in which
    ]
    strays += [f"c{i}" for i in ids]
    counts = [
        f"count(c{i}), count(n{i}), count(s{i}), count_if(c{i} >= '00' AND c{i} < '0:' AND n{i} IS NOT NULL), "
        f"count_if(contains(c{i}, '.') AND n{i} IS NOT NULL), max(abs(n{i})), min(s{i})"
        for i in which
    ]
    counts += [f"count(c{i}), count_if(regexp_full_match(c{i}, '\\d+\\.0+'))" for i in ids]
    sql = f"SELECT {', '.join(counts)} FROM (SELECT {', '.join(strays)} FROM (SELECT {', '.join(numbers)} FROM {raw.sql}))"
    row: Sequence[Any] = tables.run(con, sql, raw.title).fetchall()[0]
    found: dict[int, Count] = {}
    for k, i in enumerate(which):
        cells, numeric, others, codes, points, largest, stray = row[7 * k : 7 * k + 7]
        found[i] = Count(cells, numeric, others, codes, points, largest or 0.0, stray or "")
    rest = row[7 * len(which) :]
    return found, {i for k, i in enumerate(ids) if 0 < rest[2 * k] == rest[2 * k + 1]}


def other_ways(con: duckdb.DuckDBPyConnection, raw: Raw, values: Mapping[int, int], table: Table) -> dict[int, dict[str, int]]:
    """Of columns that hold more than plain numbers, with so many values: how many of these can be read in each of the other ways.

    Where a tenth of the rows holds too many that cannot for any way to reach `ENOUGH`, 0 for all but `COMMAS`.
    """
    found: dict[int, dict[str, int]] = {}
    most = max(values.values(), default=0)
    if most > MANY:
        head = replace(raw, sql=f"(SELECT * FROM {raw.sql} LIMIT {most // TENTH})")
        for i, (seen, ways) in _ways(con, head, list(values), table).items():
            if values[i] - (seen - max(ways.values())) < ENOUGH * values[i]:
                found[i] = dict.fromkeys(ways, 0)
        if table.decimal is None:
            found = {i: found[i] | ways for i, (_, ways) in _ways(con, raw, list(found), table, COMMAS).items()}
    rest = _ways(con, raw, [i for i in values if i not in found], table)
    return found | {i: ways for i, (_, ways) in rest.items()}


def _ways(
    con: duckdb.DuckDBPyConnection, raw: Raw, which: Sequence[int], table: Table, names: Sequence[str] = tuple(readings("v"))
) -> dict[int, tuple[int, dict[str, int]]]:
    """Values of each column, and how many of them can be read in each of these ways."""
    if not which:
        return {}
    inner = ", ".join(f"{text(f'c{i}', table.missing)} AS v{i}" for i in which)
    if names == COMMAS:  # they begin with a digit, a sign or a blank, which spares most texts the rest
        inner = ", ".join(
            f"CASE WHEN c{i} < ':' OR c{i} >= '\u00a0' THEN {text(f'c{i}', table.missing)} END AS v{i}" for i in which
        )
    sql = ", ".join(f"count({sql})" for i in which for sql in (f"v{i}", *(readings(f"v{i}")[name] for name in names)))
    row: Sequence[int] = tables.run(con, f"SELECT {sql} FROM (SELECT {inner} FROM {raw.sql})", raw.title).fetchall()[0]
    each = (row[k : k + 1 + len(names)] for k in range(0, len(row), 1 + len(names)))
    return {i: (seen, dict(zip(names, ways, strict=True))) for i, (seen, *ways) in zip(which, each, strict=True)}
