"""Types of a table's columns, found over every value: numbers, dates, texts. What was not as the column says is a notice.

A column of texts is numeric where at least 95 % of its values are numbers, and a column of dates where at least 95 % are dates that
can be read in one way only; the others count as missing, with their count and the first of them said. Such a column is a `Doubt`:
good enough for a feature, not for an outcome. Numbers written like codes (007) and whole numbers from 2^53 on, which a float64 would
round, stay texts; so do dates whose year has two digits. `true` and `false` are 1 and 0.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from bench.cohorts import tables
from bench.cohorts.cells import LONGEST, Kind, as_float, moment, number, text
from bench.cohorts.counts import ENOUGH, Count, counted, other_ways
from bench.cohorts.schema import Table
from bench.cohorts.tables import Raw
from bench.core import BenchError

TEXTS = pd.StringDtype(na_value=np.nan)  # the `str` of pandas 3; in pandas 2 that name makes the text 'None' of a missing value
FEW = 2  # values that may all be unfit
AS_NUMBERS = ("number", "comma", "grouped", "points", "truth")
EXACT = 2**53  # from here on whole numbers are not all float64
SHORT_YEAR = "its dates have two digits for the year"
NUMBERS = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE",
    "DECIMAL", "BOOLEAN",
)  # fmt: skip


class DecimalMark(BenchError):
    """Whether a comma or a point is the decimal one cannot be told."""


@dataclass(frozen=True)
class Doubt:
    """Why a column may not decide an outcome, a time or a split, and what to do about it."""

    what: str
    fix: str


@dataclass(frozen=True)
class Typed:
    """select: one SQL expression a column, over the names c0, c1, ...; kinds: what each becomes. doubts: of columns, by name."""

    select: tuple[str, ...]
    kinds: tuple[Kind, ...]
    notices: tuple[str, ...]
    doubts: Mapping[str, Doubt]


@dataclass(frozen=True)
class Decided:
    """What a column of texts is. strays: its values that are not `what`, and count as missing."""

    kind: Kind
    notice: str = ""
    strays: int = 0
    what: str = ""


def read(
    con: duckdb.DuckDBPyConnection, raw: Raw, table: Table, as_written: Collection[str], numeric: Collection[str]
) -> tuple[pd.DataFrame, Typed]:
    """The whole table as a frame of float64, `str` and datetime64 columns, and how it was found; notices are those of the file too.

    as_written: columns that stay the texts they are (ids). numeric: columns taken as numbers whatever their share of them.
    """
    typed = find(con, raw, table, as_written, numeric)
    return _selected(con, raw, raw.names, typed), typed


def again(
    con: duckdb.DuckDBPyConnection, raw: Raw, table: Table, as_written: Collection[str], kinds: Mapping[str, Kind]
) -> tuple[pd.DataFrame, Typed]:
    """As `read`, each column as what it was read before, whatever its values look like now; columns that are in neither are left out.

    A value that does not fit counts as missing, which is said; a column of which most do not is a BenchError.
    """
    names = [name for name in raw.names if name in as_written or name in kinds]
    at = [raw.names.index(name) for name in names]
    texts = [i for i, name in zip(at, names, strict=True) if name in as_written and raw.types[i] == "VARCHAR"]
    _, whole = counted(con, raw, [], texts, table)
    select: list[str] = []
    for i, name in zip(at, names, strict=True):
        if name in as_written:
            select.append(_as_written(f"c{i}", raw.types[i], table, i in whole))
        else:
            select.append(_as_before(f"{raw.title}, column '{name}'", f"c{i}", raw.types[i], kinds[name], table))
    taken: tuple[Kind, ...] = tuple("text" if name in as_written else kinds[name] for name in names)
    loose = {i: sql for i, sql, kind in zip(at, select, taken, strict=True) if kind != "text" and raw.types[i] == "VARCHAR"}
    found = Typed(tuple(select), taken, (*raw.notices, *_unfit(con, raw, loose, table)), {})
    return _selected(con, raw, names, found), found


def _selected(con: duckdb.DuckDBPyConnection, raw: Raw, names: Sequence[str], typed: Typed) -> pd.DataFrame:
    parts = ", ".join(f"{sql} AS c{i}" for i, sql in enumerate(typed.select))
    answer = tables.arrow(con, f"SELECT {parts} FROM {raw.sql}", raw.title)
    frame = answer.to_pandas(split_blocks=True, self_destruct=True, date_as_object=False)
    del answer
    frame.columns = pd.Index(tuple(names), dtype=TEXTS)
    for name, kind in zip(names, typed.kinds, strict=True):
        if kind == "text" and frame[name].dtype != TEXTS:
            frame[name] = frame[name].astype(TEXTS)
    return frame


def _as_before(column: str, sql: str, type_: str, kind: Kind, table: Table) -> str:
    """A source that has types may have another one now: a number is a code as it is written, a date is no number."""
    if type_ == "VARCHAR":
        return _cast(sql, kind, table, False)
    now = _kept(sql, type_, table)
    if kind == "text":
        return _as_written(sql, type_, table, False) if now[0] == "number" else text(f"CAST({sql} AS VARCHAR)", _of_texts(table))
    if (now[0] == "number") != (kind in AS_NUMBERS) or now[0] == "text":
        wanted = "numbers" if kind in AS_NUMBERS else "dates"
        raise BenchError(f"{column} must hold {wanted}, as where the model was fitted, but holds {type_}")
    return now[1]


def _unfit(con: duckdb.DuckDBPyConnection, raw: Raw, sql: Mapping[int, str], table: Table) -> list[str]:
    """What is said of columns read by this SQL of values that it does not read."""
    if not sql:
        return []
    inner = ", ".join(f"{text(f'c{i}', table.missing)} AS t{i}, {one} AS v{i}" for i, one in sql.items())
    counts = ", ".join(
        f"count(t{i}), count_if(t{i} IS NOT NULL AND v{i} IS NULL), min(CASE WHEN v{i} IS NULL THEN t{i} END)" for i in sql
    )
    row: Sequence[Any] = tables.run(con, f"SELECT {counts} FROM (SELECT {inner} FROM {raw.sql})", raw.title).fetchall()[0]
    said: list[str] = []
    for k, i in enumerate(sql):
        values, strays, example = row[3 * k : 3 * k + 3]
        if strays:
            what = f"{raw.title}, column '{raw.names[i]}': {strays:,} of {values:,} values are not written as where the model was fitted"
            if strays > max(values / 2, FEW):
                raise BenchError(f"{what} (such as '{_short(example)}'): no numbers or dates of that kind")
            said.append(f"{what} and count as missing (such as '{_short(example)}')")
    return said


def _of_texts(table: Table) -> tuple[str, ...]:
    """What is missing in a column of texts: 'None' is an answer there, as in complication: None, unless the file names it."""
    return table.missing if "missing" in table.model_fields_set else tuple(one for one in table.missing if one != "None")


def find(con: duckdb.DuckDBPyConnection, raw: Raw, table: Table, as_written: Collection[str], numeric: Collection[str]) -> Typed:
    """What every column is."""
    found: dict[int, tuple[Kind, str]] = {}  # column -> what it is, and the SQL of it
    texts = [i for i, type_ in enumerate(raw.types) if type_ == "VARCHAR"]
    loose = [i for i in texts if raw.names[i] not in as_written]
    counts, whole = counted(con, raw, loose, [i for i in texts if raw.names[i] in as_written], table)
    for i, (name, type_) in enumerate(zip(raw.names, raw.types, strict=True)):
        if name in as_written:
            found[i] = ("text", _as_written(f"c{i}", type_, table, i in whole))
        elif i not in counts:
            found[i] = _kept(f"c{i}", type_, table)
    ways = other_ways(con, raw, {i: count.values for i, count in counts.items() if count.others}, table)
    points = any(count.points and count.settled for count in counts.values())
    decided = {
        i: _decided(f"{raw.title}, column '{raw.names[i]}'", counts[i], ways.get(i, {}), table, raw.names[i] in numeric, points)
        for i in loose
    }
    _one_mark(con, raw, {i: one.kind for i, one in decided.items()}, table)
    found |= {i: (one.kind, _cast(f"c{i}", one.kind, table, counts[i].plain)) for i, one in decided.items()}
    sql = {i: found[i][1] for i, one in decided.items() if one.strays}
    doubts = {
        raw.names[i]: _doubt(raw, i, decided[i], counts[i].values, seen) for i, seen in _strays(con, raw, sql, table).items()
    }
    kinds, select = zip(*(found[i] for i in range(len(raw.names))), strict=True)
    return Typed(select, kinds, (*raw.notices, *(one.notice for one in decided.values() if one.notice)), doubts)


def _as_written(column: str, type_: str, table: Table, points: bool) -> str:
    """Ids: without blanks around them. 12.0 in a column of doubles is the id 12, since a missing id made it one.

    NULL, no text at all and what `missing` says are missing. points: all of a column of texts are written as 12.0.
    """
    plain = f"CAST({column} AS VARCHAR)"
    if type_ in ("FLOAT", "DOUBLE"):
        whole = f"{column} = trunc({column}) AND abs({column}) < {EXACT}"
        plain = (
            f"CASE WHEN isnan({column}) THEN NULL WHEN {whole} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) ELSE {plain} END"
        )
    if points:
        plain = f"regexp_replace({plain}, '\\.0+', '')"
    return text(f"({plain})", table.missing)


def _kept(column: str, type_: str, table: Table) -> tuple[Kind, str]:
    """A column of a source that has types. What `missing` says is missing there too."""
    plain = type_.split("(")[0]
    if plain in NUMBERS:
        value = f"CAST({column} AS DOUBLE)"
        absent = ", ".join(repr(x) for x in map(as_float, table.missing) if x is not None)
        return "number", f"CASE WHEN {value} NOT IN ({absent}) THEN {value} END" if absent else value
    if plain == "DATE" or plain.startswith("TIMESTAMP"):
        return "iso", f"CAST({column} AS TIMESTAMP)"
    return "text", text(f"CAST({column} AS VARCHAR)", _of_texts(table))


def _decided(column: str, count: Count, ways: dict[str, int], table: Table, numeric: bool, points: bool) -> Decided:
    """What a column of loose texts is, and what is said about it. numeric: the file says so. points: the table has decimal points."""
    kind: Kind = "comma" if table.decimal == "," else "number"
    enough = ENOUGH * count.values
    if count.values == 0:
        return Decided(kind)
    least = max(1 if numeric else enough, count.numbers + 1)
    if table.decimal is None and ways.get("comma", 0) >= least and not (points and count.settled):
        if ways["grouped"] >= ways["comma"]:
            raise DecimalMark(
                f"{column}: the comma in '{_short(count.stray)}' may be a decimal or a thousands one. Say decimal = ',' or "
                "decimal = '.' under its table."
            )
        return _mostly("comma", column, "numbers with a decimal comma", ways["comma"], count.values)
    if table.decimal == "," and ways.get("points", 0) >= max(enough, count.numbers + 1):
        return _mostly("points", column, "numbers with thousands points", ways["points"], count.values)
    if count.settled:
        return _as_number(column, kind, count, numeric)
    if table.decimal == "." and ways["grouped"] >= enough:
        return _mostly("grouped", column, "numbers with thousands commas", ways["grouped"], count.values)
    if ways["truth"] == count.values:
        return Decided("truth")
    if numeric:
        if not count.numbers:
            raise BenchError(f"{column} is named in columns.numeric, but holds no number (such as '{_short(count.stray)}')")
        return _as_number(column, kind, count, numeric)
    found = _as_date(column, count, ways)
    commas = max(ways["comma"], ways["points"]) if table.decimal is None else 0
    if found.kind != "text" or found.notice or commas <= count.values / 2:
        return found
    rest = ", and name it under columns.numeric to have the others count as missing" if commas < count.values else ""
    return Decided(
        "text",
        f"{column} is read as text: {commas:,} of {count.values:,} values are numbers with a decimal comma. Say decimal = ',' under its "
        f"table{rest}.",
    )


def _as_number(column: str, kind: Kind, count: Count, numeric: bool) -> Decided:
    if not numeric and count.codes:
        return Decided("text", f"{column} stays text: {count.codes:,} of its numbers are written as codes, with a zero in front")
    if not numeric and EXACT <= count.largest < 1e25:
        return Decided("text", f"{column} stays text: it holds numbers too large to be exact (up to {count.largest:.3g})")
    if not count.others:
        return Decided(kind)
    are, s = ("is", "s") if count.others == 1 else ("are", "")
    notice = f"{column}: {count.others:,} of {count.values:,} values {are} no number and count{s} as missing (such as '{_short(count.stray)}')"
    return Decided(kind, notice, count.others, "number")


def _as_date(column: str, count: Count, ways: dict[str, int]) -> Decided:
    enough = ENOUGH * count.values
    for kind in ("iso", "dotted", "named"):
        if ways[kind] >= enough:
            return _mostly(kind, column, "dates", ways[kind], count.values)
    first, second = ways["day first"], ways["month first"]
    if max(first, second) >= enough:
        if min(first, second) >= enough:
            return Decided("text", f"{column} stays text: whether its dates have the day or the month first cannot be told")
        best: Kind = "day first" if first > second else "month first"
        return _mostly(best, column, f"dates with the {best}", ways[best], count.values)
    if ways["short year"] >= enough:
        return Decided(
            "text", f"{column} stays text: {SHORT_YEAR} (such as '{_short(count.stray)}'), not four", ways["short year"], "year"
        )
    if count.numbers > count.values / 2:
        return Decided(
            "text",
            f"{column} is read as text: {count.numbers:,} of {count.values:,} values are numbers, others are not (such as "
            f"'{_short(count.stray)}'). Name it under columns.numeric to have the others count as missing.",
        )
    return Decided("text")


def _mostly(kind: Kind, column: str, what: str, fit: int, values: int) -> Decided:
    rest = f"; {values - fit:,} of {values:,} values are none and count as missing" if fit < values else ""
    notice = f"{column} is read as {what}{rest}" if rest or what != "dates" else ""
    return Decided(kind, notice, values - fit, "date" if "date" in what else "number")


def _strays(con: duckdb.DuckDBPyConnection, raw: Raw, sql: Mapping[int, str], table: Table) -> dict[int, list[str]]:
    """Of columns read by this SQL: the first and the last, by the alphabet, of their values that it does not read."""
    if not sql:
        return {}
    inner = ", ".join(f"CASE WHEN ({one}) IS NULL THEN {text(f'c{i}', table.missing)} END AS v{i}" for i, one in sql.items())
    ends = ", ".join(f"min(v{i}), max(v{i})" for i in sql)
    row: Sequence[Any] = tables.run(con, f"SELECT {ends} FROM (SELECT {inner} FROM {raw.sql})", raw.title).fetchall()[0]
    return {i: list(dict.fromkeys(_short(str(one)) for one in row[2 * k : 2 * k + 2])) for k, i in enumerate(sql)}


def _doubt(raw: Raw, i: int, one: Decided, values: int, seen: Sequence[str]) -> Doubt:
    """Names the values that are not what their column is."""
    column = f"{raw.title}, column '{raw.names[i]}'"
    if one.what == "year":
        return Doubt(f"{column}: {SHORT_YEAR}", "A four-digit year is needed.")
    are, s = ("is", "") if one.strays == 1 else ("are", "s")
    return Doubt(
        f"{column}: {one.strays:,} of {values:,} values {are} no {one.what}{s} ({', '.join(map(repr, seen))})",
        "Correct them, or list them as `missing` under its table, which makes them unknown.",
    )


def _one_mark(con: duckdb.DuckDBPyConnection, raw: Raw, kinds: Mapping[int, Kind], table: Table) -> None:
    """A file has one decimal mark: beside decimal commas the point in 1.234 may be a thousands one."""
    commas = [i for i, kind in kinds.items() if kind == "comma"]
    plain = [i for i, kind in kinds.items() if kind == "number"]
    if table.decimal is not None or not commas or not plain:
        return
    points = ", ".join(
        f"count_if(regexp_full_match(trim(c{i}), '[+-]?\\d*\\.\\d+')), count_if(regexp_full_match(trim(c{i}), '[+-]?[1-9]\\d{{0,2}}\\.\\d{{3}}'))"
        for i in plain
    )
    row: Sequence[int] = tables.run(con, f"SELECT {points} FROM {raw.sql}", raw.title).fetchall()[0]
    for k, i in enumerate(plain):
        if 0 < row[2 * k] == row[2 * k + 1]:
            raise DecimalMark(
                f"{raw.title}, column '{raw.names[i]}': every point in it stands before three digits, as in 1.234, and column "
                f"'{raw.names[commas[0]]}' has decimal commas: are these thousands? Say decimal = ',' or decimal = '.' under its table."
            )


def _short(value: str) -> str:
    one = " ".join(value.split())
    return one if len(one) <= LONGEST else one[: LONGEST - 3] + "..."


def _cast(column: str, kind: Kind, table: Table, plain: bool) -> str:
    """plain: whatever is in the column is a number. DuckDB then reads it as one, without a text in between."""
    if kind == "number" and plain:
        return f"CAST({column} AS DOUBLE)"
    if kind in ("number", "comma", "grouped", "points"):
        return number(column, kind, table.missing)
    if kind == "truth":
        return f"CASE lower(trim({column})) WHEN 'true' THEN 1.0::DOUBLE WHEN 'false' THEN 0.0::DOUBLE END"
    return text(column, _of_texts(table)) if kind == "text" else moment(column, kind)
