"""Types of a table's columns, found over every value: numbers, dates, texts. What was not as the column says is a notice.

A column of loose texts (CSV, Excel, SQLite) is numeric where at least 95 % of its values are numbers, and a column of dates where at
least 95 % are dates that can be read in one way only; the others count as missing, with their count and the first of them said.
Numbers written like codes (007) and whole numbers from 2^53 on, which a float64 would round, stay texts. `true` and `false` are 1 and 0.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import duckdb
import pandas as pd

from bench.cohorts import tables
from bench.cohorts.delimited import literal
from bench.cohorts.schema import Table
from bench.cohorts.tables import Raw
from bench.core import BenchError

ENOUGH = 0.95  # of a column's values, for it to be what they are
EXACT = 2**53  # from here on whole numbers are not all float64
LONGEST = 40  # characters of a number or a date
Kind: TypeAlias = Literal["number", "comma", "grouped", "truth", "iso", "dotted", "day first", "month first", "text"]
NUMBERS = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE",
    "DECIMAL", "BOOLEAN",
)  # fmt: skip
CLOCK = ("", " %H:%M", " %H:%M:%S")
DAYS: dict[Kind, str] = {"dotted": "%d.%m.%Y", "day first": "%d/%m/%Y", "month first": "%m/%d/%Y"}


@dataclass(frozen=True)
class Typed:
    """select: one SQL expression a column, over the names c0, c1, ...; kinds: what each becomes."""

    select: tuple[str, ...]
    kinds: tuple[Kind, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Count:
    """What a column of loose texts holds. codes: numbers such as 007. stray: a value that is no number."""

    numbers: int
    others: int
    codes: int
    largest: float
    stray: str

    @property
    def values(self) -> int:
        return self.numbers + self.others

    @property
    def settled(self) -> bool:
        return self.numbers >= ENOUGH * self.values


def text(column: str, missing: Sequence[str]) -> str:
    """The cell as text without blanks around it, NULL where it says "not measured".

    A pattern, since DuckDB makes a join of every IN with more than a few texts.
    """
    return f"CASE WHEN NOT {_missing(column, missing)} THEN trim({column}) END"


def _missing(column: str, missing: Sequence[str]) -> str:
    pattern = "|".join(re.escape(one) for one in sorted({"", *missing}))
    return f"regexp_full_match(trim({column}), {literal(pattern)})"


def number(column: str, kind: Kind, missing: Sequence[str] = ()) -> str:
    """A finite number, NULL for any other text. DuckDB also takes 1_000 for a number; nobody writes that in a table.

    Never a plain TRY_CAST of a column of a CSV file: DuckDB 2.0 moves that into its CSV reader, where it becomes a CAST that fails.
    """
    plain = {"comma": f"replace(trim({column}), ',', '.')", "grouped": f"replace(trim({column}), ',', '')"}.get(
        kind, f"trim({column})"
    )
    cast = f"TRY_CAST({plain} AS DOUBLE)"
    rules = [f"isfinite({cast})", f"NOT contains({column}, '_')"]
    rules += [f"NOT contains({column}, '.')"] if kind == "comma" else []  # 1.234 may be a thousand there
    if any(_as_float(one) is not None for one in missing):  # as -9; other texts are no numbers anyway
        rules.append(f"NOT {_missing(column, missing)}")
    return f"CASE WHEN {' AND '.join(rules)} THEN {cast} END"


def _as_float(one: str) -> float | None:
    try:
        return float(one)
    except ValueError:
        return None


def moment(column: str, kind: Kind) -> str:
    """A TIMESTAMP, NULL for any other text; `iso` with an offset is taken to UTC."""
    short = f"strlen({column}) < {LONGEST} AND trim({column}) BETWEEN '0' AND ':'"
    if kind == "iso":
        return f"CASE WHEN {short} THEN CAST(TRY_CAST(trim({column}) AS TIMESTAMPTZ) AS TIMESTAMP) END"
    formats = ", ".join(literal(DAYS[kind] + clock) for clock in CLOCK)
    return f"CASE WHEN {short} THEN try_strptime(trim({column}), [{formats}]) END"


def read(
    con: duckdb.DuckDBPyConnection, raw: Raw, table: Table, as_written: Collection[str], numeric: Collection[str]
) -> tuple[pd.DataFrame, list[str]]:
    """The whole table as a frame of float64, `str` and datetime64 columns, and notices.

    as_written: columns that stay the texts they are (ids). numeric: columns taken as numbers whatever their share of them.
    """
    typed = find(con, raw, table, as_written, numeric)
    parts = ", ".join(f"{sql} AS c{i}" for i, sql in enumerate(typed.select))
    answer = tables.arrow(con, f"SELECT {parts} FROM {raw.sql}", raw.title)
    frame = answer.to_pandas(split_blocks=True, self_destruct=True, date_as_object=False)
    del answer
    frame.columns = pd.Index(raw.names, dtype="str")
    for name, kind in zip(raw.names, typed.kinds, strict=True):
        if kind == "text" and frame[name].dtype != "str":
            frame[name] = frame[name].astype("str")
    return frame, [*raw.notices, *typed.notices]


def find(con: duckdb.DuckDBPyConnection, raw: Raw, table: Table, as_written: Collection[str], numeric: Collection[str]) -> Typed:
    """What every column is."""
    found: dict[int, tuple[Kind, str]] = {}  # column -> what it is, and the SQL of it
    notices: list[str] = []
    loose: list[int] = []
    for i, (name, type_) in enumerate(zip(raw.names, raw.types, strict=True)):
        if name in as_written:
            found[i] = ("text", _as_written(f"c{i}", type_))
        elif type_ == "VARCHAR" and (raw.loose or name in numeric):
            loose.append(i)
        else:
            found[i] = _kept(f"c{i}", type_, table)
    counts = _counted(con, raw, loose, table)
    ways = _other_ways(con, raw, [i for i in loose if not counts[i].settled], table)
    for i in loose:
        name = raw.names[i]
        kind, said = _decided(f"{raw.title}, column '{name}'", counts[i], ways.get(i, {}), table, name in numeric)
        found[i] = (kind, _cast(f"c{i}", kind, table))
        notices += said
    kinds, select = zip(*(found[i] for i in range(len(raw.names))), strict=True)
    return Typed(select, kinds, tuple(notices))


def _as_written(column: str, type_: str) -> str:
    """Ids: 12.0 in a column of doubles is the id 12, since a missing id made it one. NULL and no text at all: missing."""
    plain = f"CAST({column} AS VARCHAR)"
    if type_ in ("FLOAT", "DOUBLE"):
        whole = f"{column} = trunc({column}) AND abs({column}) < {EXACT}"
        return f"CASE WHEN isnan({column}) THEN NULL WHEN {whole} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) ELSE {plain} END"
    return f"CASE WHEN trim({plain}) <> '' THEN {plain} END"


def _kept(column: str, type_: str, table: Table) -> tuple[Kind, str]:
    """A column of a source that has types."""
    plain = type_.split("(")[0]
    if plain in NUMBERS:
        return "number", f"CAST({column} AS DOUBLE)"
    if plain == "DATE" or plain.startswith("TIMESTAMP"):
        return "iso", f"CAST({column} AS TIMESTAMP)"
    return "text", text(f"CAST({column} AS VARCHAR)", table.missing)


def _counted(con: duckdb.DuckDBPyConnection, raw: Raw, which: Sequence[int], table: Table) -> dict[int, Count]:
    if not which:
        return {}
    kind: Kind = "comma" if table.decimal == "," else "number"
    numbers = ", ".join(f"c{i}, {number(f'c{i}', kind, table.missing)} AS n{i}" for i in which)
    strays = ", ".join(
        f"c{i}, n{i}, CASE WHEN n{i} IS NULL AND c{i} IS NOT NULL AND NOT {_missing(f'c{i}', table.missing)} THEN trim(c{i}) END AS s{i}"
        for i in which
    )
    counts = ", ".join(
        f"count(n{i}), count(s{i}), count_if(c{i} >= '00' AND c{i} < '0:' AND n{i} IS NOT NULL), max(abs(n{i})), min(s{i})"
        for i in which
    )
    sql = f"SELECT {counts} FROM (SELECT {strays} FROM (SELECT {numbers} FROM {raw.sql}))"
    row: Sequence[Any] = tables.run(con, sql, raw.title).fetchall()[0]
    each = (row[5 * k : 5 * k + 5] for k in range(len(which)))
    return {
        i: Count(numbers, others, codes, largest or 0.0, stray or "")
        for i, (numbers, others, codes, largest, stray) in zip(which, each, strict=True)
    }


def _other_ways(con: duckdb.DuckDBPyConnection, raw: Raw, which: Sequence[int], table: Table) -> dict[int, dict[Kind, int]]:
    """Of columns with few plain numbers: how many of their values can be read in each of the other ways."""
    if not which:
        return {}
    inner = ", ".join(f"{text(f'c{i}', table.missing)} AS v{i}" for i in which)
    sql = ", ".join(f"count({sql})" for i in which for sql in _ways(f"v{i}").values())
    row: Sequence[Any] = tables.run(con, f"SELECT {sql} FROM (SELECT {inner} FROM {raw.sql})", raw.title).fetchall()[0]
    ways = list(_ways("v"))
    return {i: dict(zip(ways, row[len(ways) * k :], strict=False)) for k, i in enumerate(which)}


def _ways(v: str) -> dict[Kind, str]:
    """Kinds a text may be of other than a plain number -> SQL that is NULL where it is not. grouped: 1,234,567."""
    short = f"strlen({v}) < {LONGEST}"
    grouped = f"CASE WHEN regexp_full_match({v}, '[+-]?\\d{{1,3}}(,\\d{{3}})+(\\.\\d*)?') THEN 1 ELSE {number(v, 'number')} END"
    ways: dict[Kind, str] = {
        "comma": f"CASE WHEN {short} THEN {number(v, 'comma')} END",
        "grouped": f"CASE WHEN {short} THEN {grouped} END",
        "truth": f"CASE WHEN {short} AND lower({v}) IN ('true', 'false') THEN 1 END",
        "iso": moment(v, "iso"),
    }
    return {**ways, **{kind: moment(v, kind) for kind in DAYS}}


def _decided(column: str, count: Count, ways: dict[Kind, int], table: Table, numeric: bool) -> tuple[Kind, list[str]]:
    """What a column of loose texts is, and what is said about it. numeric: the file says so."""
    kind: Kind = "comma" if table.decimal == "," else "number"
    enough = ENOUGH * count.values
    if count.values == 0:
        return kind, []
    if count.settled:
        return _as_number(column, kind, count, numeric)
    if table.decimal is None and ways["comma"] >= enough:
        if ways["grouped"] >= enough:
            raise BenchError(
                f"{column}: the comma in '{_short(count.stray)}' may be a decimal or a thousands one. Say decimal = ',' or "
                "decimal = '.' under its table."
            )
        return "comma", _strays(column, "numbers with a decimal comma", ways["comma"], count.values)
    if table.decimal == "." and ways["grouped"] >= enough:
        return "grouped", _strays(column, "numbers with thousands commas", ways["grouped"], count.values)
    if ways["truth"] == count.values:
        return "truth", []
    if numeric:
        if not count.numbers:
            raise BenchError(f"{column} is named in columns.numeric, but holds no number (such as '{_short(count.stray)}')")
        return _as_number(column, kind, count, numeric)
    return _as_date(column, count, ways)


def _as_number(column: str, kind: Kind, count: Count, numeric: bool) -> tuple[Kind, list[str]]:
    if not numeric and count.codes:
        return "text", [f"{column} stays text: {count.codes:,} of its numbers are written as codes, with a zero in front"]
    if not numeric and EXACT <= count.largest < 1e25:
        return "text", [f"{column} stays text: it holds numbers too large to be exact (up to {count.largest:.3g})"]
    if not count.others:
        return kind, []
    are, s = ("is", "s") if count.others == 1 else ("are", "")
    return kind, [
        f"{column}: {count.others:,} of {count.values:,} values {are} no number and count{s} as missing (such as '{_short(count.stray)}')"
    ]


def _as_date(column: str, count: Count, ways: dict[Kind, int]) -> tuple[Kind, list[str]]:
    enough = ENOUGH * count.values
    for kind in ("iso", "dotted"):
        if ways[kind] >= enough:
            return kind, _strays(column, "dates", ways[kind], count.values)
    first, second = ways["day first"], ways["month first"]
    if max(first, second) >= enough:
        if min(first, second) >= enough:
            return "text", [f"{column} stays text: whether its dates have the day or the month first cannot be told"]
        best: Kind = "day first" if first > second else "month first"
        return best, _strays(column, f"dates with the {best}", ways[best], count.values)
    if count.numbers > count.values / 2:
        return "text", [
            f"{column} is read as text: {count.numbers:,} of {count.values:,} values are numbers, others are not (such as "
            f"'{_short(count.stray)}'). Name it under columns.numeric to have the others count as missing."
        ]
    return "text", []


def _strays(column: str, what: str, fit: int, values: int) -> list[str]:
    rest = f"; {values - fit:,} of {values:,} values are none and count as missing" if fit < values else ""
    return [f"{column} is read as {what}{rest}"] if rest or what != "dates" else []


def _short(value: str) -> str:
    one = " ".join(value.split())
    return one if len(one) <= LONGEST else one[: LONGEST - 3] + "..."


def _cast(column: str, kind: Kind, table: Table) -> str:
    if kind in ("number", "comma", "grouped"):
        return number(column, kind, table.missing)
    if kind == "truth":
        return f"CASE lower(trim({column})) WHEN 'true' THEN 1.0::DOUBLE WHEN 'false' THEN 0.0::DOUBLE END"
    return text(column, table.missing) if kind == "text" else moment(column, kind)
