"""Long tables of measurements as series: minutes before the prediction, a channel a name, done in DuckDB.

Rows of unknown ids, values that are no numbers, rows without a time and measurements outside the window are left out, each with
its count in a notice; so are names with fewer than 20 measurements, unless they are asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from bench import core
from bench.cohorts import cells, tables, typed
from bench.cohorts.schema import CohortFile, Series
from bench.core import BenchError
from bench.registry import unknown

MINUTES: Mapping[str, float] = {"s": 1 / 60, "min": 1.0, "h": 60.0, "d": 1440.0}
RARE = 20  # measurements a channel needs
CHANNELS = 32_767  # int16


@dataclass(frozen=True, eq=False)
class Measured:
    """A series, and how many of its measurements were made after the prediction (outside a window they are left out: 0)."""

    series: core.Series
    late: tuple[int, int]
    notices: tuple[str, ...]


def read(
    file: CohortFile, name: str, frame: pd.DataFrame, folder: Path, work: Path, channels: Sequence[str] | None = None
) -> Measured:
    """The series `name` of the cohort file for the rows of `frame`. channels: those there are, where that is known already."""
    own = file.series[name]
    with tables.connect() as con:
        raw = tables.open(con, own, folder, work)
        wanted = {"row": own.row, "time": own.time, "name": own.name, "value": own.value}
        for key, column in wanted.items():
            if column not in raw.names:
                raise BenchError(unknown(f"column in series.{name}.{key}", column, list(raw.names)))
        if len(set(wanted.values())) < len(wanted):
            raise BenchError(
                f"series.{name}: row, time, name and value must be four columns, but are {', '.join(wanted.values())}"
            )
        raw = raw.only(*wanted.values())
        found = typed.find(con, raw, own, (own.row, own.name), (own.value,))
        if found.kinds[1] == "text":
            raise BenchError(f"{raw.title}, column '{own.time}' must hold numbers or dates, but holds texts")
        key = _key(con, file, name, raw, found.select[0], frame)
        con.register("people", _people(file, name, frame, key, found.kinds[1] == "number"))
        _measurements(con, raw, own, found)
        return _gathered(con, own, name, len(frame), [*found.notices, *_midnight(con, own, name, frame)], channels)


def _key(con: duckdb.DuckDBPyConnection, file: CohortFile, name: str, raw: tables.Raw, ident: str, frame: pd.DataFrame) -> str:
    """The column of the first table whose ids those of the series are: by its name, else the one that knows them."""
    own = file.series[name]
    if own.row in (file.patient, file.row):
        return own.row
    if own.row in frame:
        raise BenchError(
            f"series.{name}.row: '{own.row}' is a column of the table, but neither its patient nor its row. Name it there: row = "
            f"'{own.row}'"
        )
    if file.row is None:
        return file.patient
    con.register("ids", pa.table({"id": pd.concat([frame[file.patient], frame[file.row]]).dropna().unique().tolist()}))
    seen = tables.run(con, f"SELECT DISTINCT {ident} AS id FROM {raw.sql} SEMI JOIN ids ON id = {ident}", raw.title).fetchall()
    ids = {str(row[0]) for row in seen}
    fits = [key for key in (file.patient, file.row) if not ids.isdisjoint(frame[key])]
    if len(fits) == 2:
        raise BenchError(
            f"series.{name}.row: '{own.row}' may be the patient '{file.patient}' or the row '{file.row}', whose ids it both holds. Call "
            "it in its file as one of them."
        )
    return fits[0] if fits else file.row


def _people(file: CohortFile, name: str, frame: pd.DataFrame, key: str, numeric: bool) -> pa.Table:
    """id, line (row of the frame), zero (the moment of prediction, a number in the series' unit or a timestamp), first (of its id)."""
    own = file.series[name]
    ids = frame[key]
    if own.zero is None:
        if not numeric:
            raise BenchError(
                f"series.{name}: where '{own.time}' holds dates, `zero` must name the column with the moment of prediction"
            )
        if ids.duplicated().any():
            twice = ids[ids.duplicated()].iloc[0]
            raise BenchError(
                f"series.{name}: '{key}' {twice} has several rows in the table, and nothing says whose measurements are whose. Name the "
                "rows by `row`, or say by `zero` when each prediction is made."
            )
    zero = pd.Series(np.zeros(len(frame))) if own.zero is None else frame[own.zero]
    if (zero.dtype.kind != "M") != numeric:
        raise BenchError(
            f"series.{name}: '{own.time}' and its zero '{own.zero}' must both be numbers or both be dates, but are "
            f"{'numbers' if numeric else 'dates or texts'} and {'dates' if zero.dtype.kind == 'M' else 'numbers or texts'}"
        )
    if not pd.api.types.is_numeric_dtype(zero.dtype) and zero.dtype.kind != "M":
        raise BenchError(f"series.{name}.zero: '{own.zero}' must hold numbers or dates, but holds texts")
    people = {"id": ids, "line": np.arange(len(frame)), "zero": zero, "first": ~ids.duplicated()}
    return pa.Table.from_pandas(pd.DataFrame(people), preserve_index=False)


def _measurements(con: duckdb.DuckDBPyConnection, raw: tables.Raw, own: Series, found: typed.Typed) -> None:
    """Makes the table `m`, a row a measurement and prediction: line (NULL: unknown id), first (of the measurement's), rel (in `unit`,
    after the prediction positive), name, value.
    """
    rel = "s.time - zero" if found.kinds[1] == "number" else f"(epoch_us(s.time) - epoch_us(zero)) / {60e6 * MINUTES[own.unit]}"
    ident, time, name, value = found.select
    if raw.types[2] == "VARCHAR":
        name = cells.text("c2", ())  # NA is sodium
    sql = (
        f"CREATE TEMP TABLE m AS SELECT line, coalesce(first, true) AS first, {rel} AS rel, s.name, s.value FROM (SELECT {ident} AS id, "
        f"{time} AS time, {name} AS name, {value} AS value FROM {raw.sql}) s LEFT JOIN people USING (id)"
    )
    tables.run(con, sql, raw.title)


def _midnight(con: duckdb.DuckDBPyConnection, own: Series, name: str, frame: pd.DataFrame) -> list[str]:
    """Said where the moment of prediction is a day, and the measurements have a time of day."""
    zero = None if own.zero is None else frame[own.zero].dropna()
    if zero is None or zero.dtype.kind != "M" or (zero != zero.dt.normalize()).any():
        return []
    timed: int = con.execute(f"SELECT count_if(abs(rel / {1440 / MINUTES[own.unit]} % 1) > 1e-9) FROM m").fetchall()[0][0]
    said = f"series '{name}': '{own.zero}' holds days without a time, so what was measured on the day itself counts as after the prediction"
    return [said] if timed else []


def _gathered(
    con: duckdb.DuckDBPyConnection, own: Series, name: str, n: int, notices: list[str], given: Sequence[str] | None
) -> Measured:
    low, high = own.window or (-np.inf, np.inf)
    inside = f"rel BETWEEN '{low}'::DOUBLE AND '{high}'::DOUBLE"
    good = "line IS NOT NULL AND rel IS NOT NULL AND name IS NOT NULL AND value IS NOT NULL"
    counts = con.execute(
        f"SELECT count_if(first), count_if(line IS NULL), count_if(first AND line IS NOT NULL AND NOT ({good})), count_if({good} AND NOT "
        f"{inside}), count_if({good} AND {inside} AND rel > 0), count_if({good} AND {inside}), count(*) FROM m"
    ).fetchall()[0]
    rows, strangers, broken, outside, late, kept, pairs = (int(count) for count in counts)
    if strangers == rows > 0:
        raise BenchError(
            f"series '{name}': none of its {rows:,} rows is of an id of the table. Is series.{name}.row the right column?"
        )
    twice = ", once for each prediction of their patient," if pairs > rows else ""
    for count, of, why in (
        (strangers, rows, "rows are of ids the table lacks"),
        (broken, rows, "rows lack a time, a name or a number"),
        (outside, pairs, f"rows{twice} lie outside the window"),
    ):
        if count:
            notices.append(f"series '{name}': {count:,} of {of:,} {why} and are left out")
    channels, more = _channels(con, own, name, f"{good} AND {inside}") if given is None else (list(given), list[str]())
    con.register("channels", pa.table({"name": list(channels), "channel": np.arange(len(channels), dtype=np.int16)}))
    table: dict[str, Any] = con.execute(_query(own, f"{good} AND {inside}")).fetchnumpy()
    counts = np.bincount(table["line"], minlength=n)
    series = core.Series(
        np.concatenate([[0], np.cumsum(counts)]), table["time"], table["channel"], table["value"], channels,
        [own.units.get(channel, "") for channel in channels], counts > 0,
    )  # fmt: skip
    return Measured(series, (late, kept), (*notices, *more))


def _query(own: Series, where: str) -> str:
    """line, time (minutes before the prediction), channel, value: by row, then from the oldest to the newest."""
    unit = MINUTES[own.unit]
    source = f"SELECT line, rel, channel, value FROM m JOIN channels USING (name) WHERE {where}"
    if own.step is not None:  # the step that ends with the prediction holds it; a mean stands in the middle of its step
        middle = f"(ceil(rel / {own.step}) - 0.5) * {own.step}"
        source = f"SELECT line, {middle} AS rel, channel, avg(value) AS value FROM ({source}) GROUP BY ALL"
    return (
        f"SELECT line, CAST(-rel * {unit} AS FLOAT) AS time, channel, CAST(value AS FLOAT) AS value FROM ({source}) "
        "ORDER BY line, rel, channel, value"
    )


def _channels(con: duckdb.DuckDBPyConnection, own: Series, name: str, where: str) -> tuple[list[str], list[str]]:
    """The names that become channels, and what is said about the others."""
    counts: dict[Any, int] = dict(
        con.execute(f"SELECT name, count(*) FROM m WHERE {where} GROUP BY name ORDER BY name").fetchall()
    )
    if own.names:
        absent = [one for one in own.names if one not in counts]
        if absent:
            raise BenchError(unknown(f"name in series.{name}.names (of what is left)", absent[0], list(counts)))
        return list(dict.fromkeys(own.names)), []
    common = [one for one, count in counts.items() if count >= RARE]
    rare = [one for one in counts if one not in common]
    if not common:
        raise BenchError(f"series '{name}' holds no name with at least {RARE} measurements. Take it out, or widen its window.")
    if len(common) > CHANNELS:
        raise BenchError(f"series '{name}' holds {len(common):,} names, more than {CHANNELS:,}. Say under names which are taken.")
    for one in own.units:
        if one not in counts:
            raise BenchError(unknown(f"name in series.{name}.units", one, list(counts)))
    shown = ", ".join(rare[:5]) + (" ..." if len(rare) > 5 else "")
    return common, [
        f"series '{name}': {len(rare)} names with fewer than {RARE} measurements are left out ({shown})"
    ] if rare else []
