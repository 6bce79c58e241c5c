"""Files on this machine: the user's folder, and the cache, where a file is there as a whole or not at all."""

import gzip
import hashlib
import os
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.core import BenchError
from bench.sources.kinds import File, Source

_STALE = 86_400.0  # seconds after which a fetch folder is the rest of a killed process


@dataclass(frozen=True)
class Found:
    """A file as it was read. where: "your folder", "the cache" or "fetched"."""

    name: str
    path: Path
    where: str
    data: bytes

    def __str__(self) -> str:
        return f"{self.name}, {len(self.data):,} bytes, sha256 {sha256(self.data)}, {self.where}: {self.path}"


def cache() -> Path:
    """The folder of fetched files; it need not exist."""
    if own := os.environ.get("BENCH_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "multitask-bench"


def kept(stem: str, make: Callable[[], bytes]) -> bytes:
    """`make()`, kept in the cache in a file named by its own sha256: a truncated or altered copy is removed and made again.

    `stem` must change whenever what `make` returns should: let it carry the hash of the source. What is kept may be of
    patients: it is the user's alone to read, and so is the cache's folder where it is made here.
    """
    with one_line(stem, was="made"):
        for path in cache().glob(f"{stem}-*"):
            data = content(path)
            if data is not None and path.name == f"{stem}-{sha256(data)[:32]}":
                return data
            path.unlink(missing_ok=True)
        cache().mkdir(0o700, parents=True, exist_ok=True)
        data = make()
        with temporary(cache()) as own:
            keep(cache(), {f"{stem}-{sha256(data)[:32]}": data}, own, 0o600)
        return data


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content(path: Path) -> bytes | None:
    """The file's content, or None where it cannot be read: the caller then looks further."""
    try:
        return path.read_bytes()
    except OSError:
        return None


# The user's folder


def folders(dataset: str) -> list[Path]:
    """The folder that --data-dir names, then the one inside it that bears the dataset's name; none if none was named."""
    named = os.environ.get("BENCH_DATA_DIR")
    if not named:
        return []
    root = Path(named).expanduser()
    if not root.is_dir():
        raise BenchError(f"--data-dir (BENCH_DATA_DIR) must be a folder, but {root} is not one. Make it or leave it out.")
    return [folder for folder in (root, root / dataset) if folder.is_dir()]


def users(file: File, source: Source) -> Found | None:
    """The user's own copy, plain or .gz. Where it must be exact, a wrong hash is an error; otherwise one note on stderr."""
    names = [each for name in file.names for each in (name, f"{name}.gz")]
    paths = [folder / name for folder in folders(source.dataset) for name in names]
    path = next((p for p in paths if p.is_file()), None)
    if path is None:
        return None
    with readable(path, source), gzip.open(path) if _packed(path, file) else path.open("rb") as stream:
        data = bounded(stream, file.most)
    if file.exact:
        check(data, file.sha256, str(path), source)
    elif file.sha256 and sha256(data) != file.sha256:
        say(f"note: {path} differs from {source.dataset}'s reference copy (sha256 {file.sha256[:12]}); taken if its content fits")
    return Found(file.name, path, "your folder", data)


def _packed(path: Path, file: File) -> bool:
    return path.suffix == ".gz" and path.name not in file.names


def without_any(source: Source, names: list[str]) -> None:
    """Say that the folder of the user's was of no use."""
    for root in folders(source.dataset)[:1]:
        say(f"note: {root} holds none of {source.dataset}'s files ({', '.join(names)}); the fetched copy is used")


def bounded(stream: gzip.GzipFile | IO[bytes], size: int) -> bytes:
    data = stream.read(size + 1)
    if len(data) > size:
        raise OSError(f"it holds more than {size:,} bytes")
    return data


def check(data: bytes, expected: str, what: str, source: Source) -> None:
    if sha256(data) != expected:
        raise BenchError(f"{what} must have sha256 {expected}, but has {sha256(data)}. It was not used. {source.way_out}")


# The cache


def keep(folder: Path, files: Mapping[str, bytes], own: Path, mode: int = 0o666) -> None:
    """All files or none, each written beside its place and renamed: no reader, and no second writer, sees half a file."""
    for name, data in files.items():
        (own / name).touch(mode)
        (own / name).write_bytes(data)
    for name in files:
        os.replace(own / name, folder / name)


@contextmanager
def temporary(folder: Path) -> Generator[Path]:
    """A folder of this process's own inside `folder`, gone at the end; what killed processes left there goes first."""
    folder.mkdir(parents=True, exist_ok=True)
    for rest in folder.glob(".fetch-*"):
        with suppress(FileNotFoundError):  # another process has just finished with it
            if rest.stat().st_mtime < time.time() - _STALE:
                shutil.rmtree(rest, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as own:
        yield Path(own)


# Messages


@contextmanager
def one_line(what: str, rest: Callable[[], str] = lambda: "nothing was kept", was: str = "fetched") -> Generator[None]:
    """A full or read-only disk and an interrupt as one line each. rest: what an interrupt leaves behind, in words."""
    try:
        yield
    except KeyboardInterrupt:
        left = rest()
        again = "starts again" if left == "nothing was kept" else "goes on from there"
        raise BenchError(f"interrupted while {what} was {was}; {left}. The same command {again}.") from None
    except OSError as error:
        way = "Free some space there, or set BENCH_CACHE to another folder."
        raise BenchError(f"{what} cannot be kept in {cache()}: {why(error)}. {way}") from None


@contextmanager
def readable(path: Path, source: Source) -> Generator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise BenchError(f"{path} cannot be read: {why(error)}. {source.way_out}") from None


def why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)
