"""What several datasets do alike: subgroups in words, and a Parquet copy of what their files become."""

import io
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from bench import sources


def levels(**columns: pd.Series) -> pd.DataFrame:
    """Subgroups: the values as texts, "" where unknown."""
    return pd.DataFrame({name: np.array(column.astype(object).fillna(""), str) for name, column in columns.items()})


def bands(age: pd.Series) -> pd.Series:
    """Years as one of four bands; NaN where unknown."""
    return pd.cut(age, [0, 49, 64, 79, 150], labels=["<50", "50-64", "65-79", "80+"])


def copy(name: str, files: Mapping[str, bytes], make: Callable[[], bytes]) -> pd.DataFrame:
    """What `make` makes of the files, as Parquet; kept in the cache under the hash of their contents."""
    hashes = "".join(sources.sha256(files[file]) for file in sorted(files))
    return pd.read_parquet(io.BytesIO(sources.kept(f"{name}-{sources.sha256(hashes.encode())[:12]}", make)))
