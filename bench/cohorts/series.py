"""Long tables of measurements as series: minutes before the prediction, a channel a name, done in DuckDB.

Rows of unknown ids, values that are no numbers, rows without a time and measurements outside the window are left out, each with
its count in a notice; so are names with fewer than 20 measurements, unless they are asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from bench import core
from bench.cohorts import tables, typed
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


def read(file: CohortFile, name: str, frame: pd.DataFrame, folder: Path, work: Path) -> Measured:
    """The series `name` of the cohort file for the rows of `frame`."""
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
        con.register("people", _people(file, name, frame, found.kinds[1] == "number"))
        _measurements(con, raw, own, found)
        return _gathered(con, own, name, len(frame), [*raw.notices, *found.notices])


def _people(file: CohortFile, name: str, frame: pd.DataFrame, numeric: bool) -> pa.Table:
    """id, line (row of the frame), zero (the moment of prediction, a number in the series' unit or a timestamp)."""
    own = file.series[name]
    key = file.patient if own.row == file.patient or file.row is None else file.row
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
    return pa.Table.from_pandas(pd.DataFrame({"id": ids, "line": np.arange(len(frame)), "zero": zero}), preserve_index=False)


def _measurements(con: duckdb.DuckDBPyConnection, raw: tables.Raw, own: Series, found: typed.Typed) -> None:
    """Makes the table `m`: line (NULL: unknown id), rel (in `unit`, after the prediction positive), name, value."""
    rel = "s.time - zero" if found.kinds[1] == "number" else f"(epoch_us(s.time) - epoch_us(zero)) / {60e6 * MINUTES[own.unit]}"
    ident, time, name, value = found.select
    sql = (
        f"CREATE TEMP TABLE m AS SELECT line, {rel} AS rel, s.name, s.value FROM (SELECT {ident} AS id, {time} AS time, "
        f"trim({name}) AS name, {value} AS value FROM {raw.sql}) s LEFT JOIN people USING (id)"
    )
    tables.run(con, sql, raw.title)


def _gathered(con: duckdb.DuckDBPyConnection, own: Series, name: str, n: int, notices: list[str]) -> Measured:
    low, high = own.window or (-np.inf, np.inf)
    inside = f"rel BETWEEN '{low}'::DOUBLE AND '{high}'::DOUBLE"
    good = "line IS NOT NULL AND rel IS NOT NULL AND name IS NOT NULL AND value IS NOT NULL"
    counts = con.execute(
        f"SELECT count(*), count_if(line IS NULL), count_if(line IS NOT NULL AND NOT ({good})), count_if({good} AND NOT {inside}), "
        f"count_if({good} AND {inside} AND rel > 0), count_if({good} AND {inside}) FROM m"
    ).fetchall()[0]
    rows, strangers, broken, outside, late, kept = (int(count) for count in counts)
    for count, why in (
        (strangers, "are of ids the table lacks"),
        (broken, "lack a time, a name or a number"),
        (outside, "lie outside the window"),
    ):
        if count:
            notices.append(f"series '{name}': {count:,} of {rows:,} rows {why} and are left out")
    channels, more = _channels(con, own, name, f"{good} AND {inside}")
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
