"""Archives: by name and within a bound, and nothing on disk, whatever they hold."""

import gzip
import io
import os
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest

from bench import sources
from bench.core import BenchError

WANTED = r"(?:set/)?\d+\.txt"


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(*entries: tuple[str, bytes | str], kind: bytes = tarfile.REGTYPE) -> bytes:
    """Regular files with bytes; links of `kind` with the name they lead to."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = kind, content
                archive.addfile(info)
    return out.getvalue()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder two levels deep, that must be empty at the end."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    yield folder  # type: ignore[misc]
    assert [name for _, folders, files in os.walk(tmp_path) for name in (*folders, *files)] == ["a", "b"]


def fails(data: bytes, most: int = 1_000, wanted: str = WANTED) -> str:
    with pytest.raises(BenchError) as caught:
        sources.members(data, wanted, most, "x.zip")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("pack", ["zip", "tar", "tar.gz"])
def test_what_is_wanted_comes_in_the_order_of_the_archive(pack: str) -> None:
    files = {"set/2.txt": b"two", "other.txt": b"x" * 5_000, "set/1.txt": b"one", "set/": b""}
    data = zipped(files) if pack == "zip" else tarred(*files.items())
    data = gzip.compress(data) if pack == "tar.gz" else data
    found = sources.members(data, WANTED, 20_000, "x")
    assert list(found.items()) == [("set/2.txt", b"two"), ("set/1.txt", b"one")]


@pytest.mark.parametrize("name", ["../1.txt", "/tmp/1.txt", "set/../../1.txt", "..\\1.txt", "C:\\1.txt"])
@pytest.mark.parametrize("pack", [lambda files: zipped(files), lambda files: tarred(*files.items())], ids=["zip", "tar"])
def test_names_that_lead_outside_are_not_touched(name: str, pack: object) -> None:
    data = pack({name: b"evil", "1.txt": b"good"})  # type: ignore[operator]
    assert sources.members(data, r"(?s:.*)", 1_000, "x") == {"1.txt": b"good"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_not_followed(kind: bytes) -> None:
    data = tarred(("1.txt", "/etc/passwd"), kind=kind)
    assert sources.members(data, r".*", 1_000, "x") == {}


def test_a_bomb_stops_at_the_bound() -> None:
    bomb = zipped({"1.txt": bytes(20_000_000)})
    assert len(bomb) < 30_000
    assert fails(bomb) == "x.zip cannot be read: it holds more than 1,000 bytes"
    assert (
        fails(gzip.compress(tarred(("1.txt", bytes(20_000_000))))) == "x.zip cannot be unpacked: it holds more than 1,000 bytes"
    )
    # each by itself is small enough, together they are not
    assert "it holds more than 1,000 bytes" in fails(zipped({f"{i}.txt": bytes(400) for i in range(3)}))
    assert len(sources.members(zipped({f"{i}.txt": bytes(400) for i in range(3)}), WANTED, 1_200, "x")) == 3
    with pytest.raises(BenchError, match=r"^x cannot be unpacked: it holds more than 10 bytes$"):
        sources.plain(gzip.compress(bytes(1_000_000)), 10, "x")


def test_a_size_that_lies_is_no_way_around() -> None:
    data = bytearray(zipped({"1.txt": bytes(100_000)}))
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # the uncompressed size in both headers
        struct.pack_into("<I", data, data.index(mark) + at, 10)
    assert "Bad CRC-32" in fails(bytes(data))


def test_one_name_twice_is_refused() -> None:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("1.txt", b"one")
        archive.writestr("1.txt", b"other")
    assert fails(out.getvalue()) == "x.zip cannot be read: it holds '1.txt' twice"


def encrypted() -> bytes:
    data = bytearray(zipped({"1.txt": b"secret"}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"no archive", b"<html>", zipped({"1.txt": bytes(5_000)})[:-30], zipped({"1.txt": os.urandom(500)})[:300], encrypted(),
        gzip.compress(tarred(("1.txt", bytes(500))))[:-20], b"\x1f\x8bxxxx", b"PK\x03\x04" + bytes(40),
        bytes(reversed(zipped({"1.txt": b"one"}))), zipped({"1.txt": bytes(5_000)}, zipfile.ZIP_LZMA).replace(b"]\0", b"\xff\0", 1),
    ],
    ids=["empty", "no archive", "page", "no directory", "cut", "encrypted", "cut gz", "no gz", "zeros", "reversed", "lzma"],
)  # fmt: skip
def test_a_damaged_archive_is_one_line(data: bytes) -> None:
    assert fails(data, most=20_000).startswith(("x.zip cannot be read: ", "x.zip cannot be unpacked: "))


def test_plain_leaves_what_is_not_packed() -> None:
    assert sources.plain(b"a,b\n", 1, "x") == b"a,b\n"
    assert sources.plain(gzip.compress(b"a,b\n") + gzip.compress(b"1,2\n"), 8, "x") == b"a,b\n1,2\n"
