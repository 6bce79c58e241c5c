"""Predictions of many cells as one table. Arrow from the file to the last step: a frame a cell takes longer than the reading."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


class Piece(NamedTuple):
    """The parquet of a cell, and whose it is."""

    method: str
    repeat: int
    data: bytes


def packed(predictions: pd.DataFrame) -> bytes:
    """Parquet that is fast to read: most cells are small, so that what stands before and after the numbers is most of the work."""
    table = pa.Table.from_pandas(predictions, preserve_index=False).replace_schema_metadata(None)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="snappy", use_dictionary=False, write_statistics=False, store_schema=False)
    return buffer.getvalue()


def unpacked(data: bytes, without: Sequence[str] = ()) -> pa.Table:
    file = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False)
    columns = [name for name in file.schema_arrow.names if name not in without]
    return file.read(columns=columns, use_threads=False).replace_schema_metadata(None)


def frame(data: bytes) -> pd.DataFrame:
    return unpacked(data).to_pandas()


def stacked(pieces: Sequence[Piece]) -> pd.DataFrame:
    """row, fold, view, y:<task>, p:<task>, method, repeat of all pieces, one after the other. A column that one lacks is NaN there."""
    if not pieces:
        return pd.DataFrame({"method": pd.Series(dtype=str)})
    tables = [unpacked(piece.data, ["patient"]) for piece in pieces]
    out = pa.concat_tables(tables, promote_options="permissive")
    owner = pa.array(np.repeat(np.arange(len(tables)), [table.num_rows for table in tables]))
    names = list(dict.fromkeys(piece.method for piece in pieces))
    number = {name: i for i, name in enumerate(names)}
    which = pa.array([number[piece.method] for piece in pieces], pa.int32())
    method = pa.DictionaryArray.from_arrays(which.take(owner), pa.array(names, pa.string())).cast(pa.string())
    repeat = pa.array([piece.repeat for piece in pieces], pa.int64()).take(owner)
    return out.append_column("method", method).append_column("repeat", repeat).to_pandas()
