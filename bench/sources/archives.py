"""Archives are read in memory, by name and within a bound: nothing is ever written to a path of the archive's choice."""

import gzip
import io
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from bench.core import BenchError
from bench.sources.local import bounded, why

_BROKEN = (
    OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, struct.error, RuntimeError,
    NotImplementedError, ValueError,
)  # fmt: skip


def plain(data: bytes, most: int, what: str) -> bytes:
    """`data`, unpacked where it is gzip: at most `most` bytes, else a `BenchError` that calls it `what`."""
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return bounded(gzip.GzipFile(fileobj=io.BytesIO(data)), most)
    except _BROKEN as error:
        raise BenchError(f"{what} cannot be unpacked: {why(error)}") from None


def members(data: bytes, wanted: str, most: int, what: str) -> dict[str, bytes]:
    """The files of a zip or tar archive (plain or .gz) whose whole name matches the regular expression `wanted`, in its order.

    Anything else in it is not touched, above all names that are absolute or climb out with `..`, links and devices. Together
    they may hold `most` bytes, whatever the archive says of itself. A damaged archive is a `BenchError` that calls it `what`.
    """
    found: dict[str, bytes] = {}
    left = most
    try:
        for name, stream in _streams(plain(data, most, what) if data[:2] == b"\x1f\x8b" else data, re.compile(wanted)):
            if name in found:
                raise ValueError(f"it holds '{name}' twice")
            found[name] = bounded(stream, left)
            left -= len(found[name])
    except _BROKEN as error:
        over = str(error).startswith("it holds more than")
        raise BenchError(f"{what} cannot be read: {f'it holds more than {most:,} bytes' if over else why(error)}") from None
    return found


def _streams(data: bytes, wanted: re.Pattern[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and open content of the regular files that are wanted and whose name stays inside."""

    def chosen(name: str) -> bool:
        return bool(wanted.fullmatch(name)) and not name.startswith("/") and ".." not in name.split("/") and "\\" not in name

    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                if chosen(info.filename) and not info.is_dir():
                    with archive.open(info) as stream:
                        yield info.filename, stream
        return
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for entry in archive:
            stream = archive.extractfile(entry) if entry.isreg() and chosen(entry.name) else None
            if stream is not None:
                yield entry.name, stream
