"""Files of a results folder: JSON whose hash names a folder, Parquet as bytes, and reading that says what is wrong."""

import hashlib
import io
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.core import JSON, BenchError


def canonical(value: JSON) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def safe(label: str) -> str:
    """A label as a file name on every system."""
    return re.sub(r"[^A-Za-z0-9_.=+-]", "_", label)


def named(label: str, value: JSON) -> str:
    """`label@h8`, a folder name."""
    return f"{safe(label)}@{hashlib.sha256(canonical(value).encode()).hexdigest()[:8]}"


def finite(value: Any) -> JSON:
    """JSON has no NaN and no numpy: NaN and infinities become null, numpy's numbers and arrays plain ones. Else a BenchError."""
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, np.generic | np.ndarray):
        return finite(value.tolist())
    if value is not None and not isinstance(value, bool | int | float | str):
        raise BenchError(f"a fact must be a number, a text, or a list or mapping of such, but is a {type(value).__name__}")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def read_json(path: Path) -> dict[str, Any] | None:
    """What a file of ours holds; None if it is missing or damaged."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def read_frame(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError):  # what pyarrow raises for a damaged file is a ValueError
        raise BenchError(f"{path} is missing or damaged; `bench run` writes it") from None


def loaded(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if found is None:
        raise BenchError(f"{path} is missing or damaged; `bench run` writes it")
    return found


def alive(pid: int) -> bool:
    """Whether a process still runs: one that was killed but not yet collected by its parent writes no more."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's process, or a system without /proc
        return True
