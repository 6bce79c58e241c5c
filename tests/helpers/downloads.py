"""What the tests of downloads share: a little dataset of one file, described as a dataset would, and what is left of it on disk."""

import hashlib
import os
from pathlib import Path

import pytest
from file_server import FileServer

from bench import sources
from bench.core import BenchError
from bench.sources import Url, Web, http

CONTENT = b"a,b\n" + bytes(range(48, 58)) * 30_000  # 300 kB, no two halves alike in place
NEWER = b"a,b\n" + bytes(range(57, 47, -1)) * 30_000


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; no proxy, no user's folder, and little patience."""
    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("BENCH_DATA_DIR", raising=False)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    for name, value in (("STALL", 1.0), ("BACKOFF", 0.01), ("PAUSE", 0.0)):
        monkeypatch.setattr(http, name, value)
    return tmp_path / "cache"


def described(server: FileServer, **more: object) -> Url:
    what: dict[str, object] = {"address": f"{server.url}/data.csv", "name": "data.csv", "what": "rows", "size": (10, 1_000_000)}
    return Url(**(what | more))  # type: ignore[arg-type]


def web(server: FileServer, **more: object) -> Web:
    return Web(dataset="little", page="its page", files=(described(server, **more),))


def exact(server: FileServer, data: bytes = CONTENT) -> Web:
    return web(server, sha256=sha(data), exact=True)


def read(what: Web) -> bytes:
    return sources.read(what)["data.csv"]


def fails(what: Web) -> str:
    with pytest.raises(BenchError) as caught:
        sources.read(what)
    said = str(caught.value)
    assert "\n" not in said
    assert said.endswith("Get it by hand from its page, then --data-dir with a folder that holds data.csv.")
    return said


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if not p.is_dir())


def whole(data: bytes = CONTENT) -> list[str]:
    return [f"{sha(data)[:32]}-data.csv"]


PART = ["data.csv.part", "data.csv.part.json"]
