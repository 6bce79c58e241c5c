"""Files of a results folder: JSON whose hash names a folder, Parquet as bytes, and reading that says what is wrong."""

import hashlib
import io
import json
import math
import os
import re
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from bench.core import JSON, BenchError

FORMAT = 2  # of the JSON files
ASIDE = re.compile(r"(?P<pid>\d+)-[0-9a-f]{32}(@(?P<host>.*))?")


def canonical(value: JSON) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def safe(label: str) -> str:
    """A label as a file name on every system."""
    return re.sub(r"[^A-Za-z0-9_.=+-]", "_", label)


HOST = safe(socket.gethostname())


def named(label: str, value: JSON) -> str:
    """`label@h8`, a folder name."""
    return f"{safe(label)}@{digest(canonical(value).encode())[:8]}"


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


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Fault(NamedTuple):
    """What is wrong with a file. unreadable: the system did not let it be read; format: of another version of bench."""

    kind: Literal["missing", "unreadable", "format", "damaged"]
    text: str


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """With the number of the format, and `sha256`: of the canonical JSON of all else."""
    body = {**{key: part for key, part in value.items() if key != "sha256"}, "format": FORMAT}
    return body | {"sha256": digest(canonical(body).encode())}


def opened(path: Path) -> tuple[dict[str, Any], Fault | None]:
    """What a JSON file of ours holds, or nothing and why. Files of format 1 have neither number nor checksum, and are taken as they are."""
    data, fault = contents(path)
    if fault is not None:
        return {}, fault
    try:
        value = json.loads(data)
    except ValueError:  # that it is no UTF-8 is one too
        return {}, Fault("damaged", "is no JSON")
    if not isinstance(value, dict):
        return {}, Fault("damaged", "is no JSON object")
    fault = _broken(value)
    return ({}, fault) if fault else (value, None)


def contents(path: Path) -> tuple[bytes, Fault | None]:
    try:
        return path.read_bytes(), None
    except (FileNotFoundError, NotADirectoryError):
        return b"", Fault("missing", "is missing")
    except OSError as error:
        return b"", Fault("unreadable", f"cannot be read: {error.strerror}")


def _broken(value: Mapping[str, Any]) -> Fault | None:
    number, sha256 = value.get("format", 1), value.get("sha256")
    if number == 1 and sha256 is None:
        return None
    body = {key: part for key, part in value.items() if key != "sha256"}
    try:
        same = digest(canonical(body).encode()) == sha256
    except ValueError:  # NaN, which we never write
        same = False
    if isinstance(number, int) and number > FORMAT and (same or sha256 is None):
        return Fault("format", f"is of format {number}, but this version of bench reads {FORMAT} and earlier")
    return None if same else Fault("damaged", "does not match its own checksum")


def read_json(path: Path) -> dict[str, Any] | None:
    """What a file of ours holds; None if it is missing or damaged."""
    value, fault = opened(path)
    return None if fault else value


def read_frame(path: Path, sha256: str | None = None) -> pd.DataFrame:
    """sha256: of the file, where it is stored."""
    data, fault = contents(path)
    try:
        if fault is None and sha256 in (None, digest(data)):
            return pd.read_parquet(io.BytesIO(data))
    except (OSError, ValueError):  # what pyarrow raises for a damaged file is a ValueError
        pass
    raise BenchError(f"{path} is missing or damaged; `bench run` writes it")


def loaded(path: Path) -> dict[str, Any]:
    found, fault = opened(path)
    if fault is None:
        return found
    if fault.kind == "format":
        raise BenchError(f"{path} {fault.text}. Update bench, or take another --results folder.")
    raise BenchError(f"{path} is missing or damaged; `bench run` writes it")


def aside_name() -> str:
    """Of a file that is being written: by which process of which machine. Several may share the folder."""
    return f"{os.getpid()}-{uuid.uuid4().hex}@{HOST}"


def abandoned(name: str) -> bool:
    """Whether the writer of a file that is written aside is gone: of this machine, and dead. Of others nobody here can tell."""
    found = ASIDE.fullmatch(name)
    return found is not None and found["host"] in (None, HOST) and not alive(int(found["pid"]))


def alive(pid: int) -> bool:
    """Whether a process still runs: one that was killed but not yet collected by its parent writes no more."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's process, or a system without /proc
        return True
