"""Files behind addresses and what else may happen: an end in between, a full disk, terms, the user's own copy, the command."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from downloads import CONTENT, NEWER, PART, alone, described, fails, left, read, sha, web, whole
from file_server import FileServer

from bench import sources
from bench.cli import main
from bench.core import BenchError
from bench.sources import Web

CHILD = """
import json, sys
from bench import sources
from bench.core import BenchError
from bench.sources import Url, Web, http
http.PAUSE = 0
given = json.loads(sys.argv[1])
url = Url(name="data.csv", what="rows", size=(10, 10**7), **given)
try:
    print(len(sources.read(Web(dataset="little", page="its page", files=(url,)))["data.csv"]))
except BenchError as error:
    print("BenchError:", error)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return alone(tmp_path, monkeypatch)


@pytest.fixture
def server(cache: Path) -> Iterator[FileServer]:
    made = FileServer()
    made.files["data.csv"] = CONTENT
    yield made
    made.close()


# Ends in between


def child(server: FileServer, **options: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", CHILD, json.dumps({"address": f"{server.url}/data.csv"})]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]


def test_progress_on_a_terminal(server: FileServer, cache: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    words = [sys.executable, "-c", CHILD, json.dumps({"address": f"{server.url}/data.csv"})]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, text=True, env=os.environ | {"TERM": "xterm"}) as process:
        assert process.communicate(timeout=60)[0] == f"{len(CONTENT)}\n"
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "fetching data.csv of little" in shown
    assert "300.0/300.0 kB" in shown


def wait_for_half(cache: Path) -> None:
    end = time.monotonic() + 60
    while not (cache / "little/data.csv.part").is_file() or (cache / "little/data.csv.part").stat().st_size < len(CONTENT) // 2:
        assert time.monotonic() < end, "half of the file did not come within 60 s"
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_or_a_kill_leaves_what_can_be_taken_up(server: FileServer, cache: Path, how: signal.Signals) -> None:
    server.script = [server.hang]
    process = child(server)
    wait_for_half(cache)
    os.kill(process.pid, how)
    out, _ = process.communicate(timeout=60)
    if how == signal.SIGINT:
        assert out == (
            "BenchError: interrupted while little was fetched; the first 0.2 MB of data.csv are kept. "
            "The same command goes on from there.\n"
        )
    assert left(cache) == PART
    assert read(web(server)) == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-"]
    assert left(cache) == whole()


def test_two_processes_at_once_ask_once(server: FileServer, cache: Path) -> None:
    def slowly(handler: object, data: bytes) -> None:
        time.sleep(1.5)  # the second one starts meanwhile
        server.well(handler, data)  # type: ignore[arg-type]

    server.script = [slowly]
    said = [process.communicate(timeout=60) for process in [child(server), child(server)]]
    assert [out for out, _ in said] == [f"{len(CONTENT)}\n"] * 2
    assert len(server.asked) == 1
    assert left(cache) == whole()


def test_a_file_that_the_disk_does_not_take(server: FileServer, cache: Path) -> None:
    resource = pytest.importorskip("resource")
    # a limit on file size fails a write in the middle, as a quota does
    process = child(server, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)))
    out, _ = process.communicate(timeout=60)
    assert out.startswith(f"BenchError: little cannot be kept in {cache}: File too large. Free some space there")
    assert out.count("\n") == 1
    assert set(left(cache)) <= set(PART)
    assert read(web(server)) == CONTENT
    assert left(cache) == whole()


def test_a_full_disk(server: FileServer, cache: Path) -> None:
    cache.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(cache)], capture_output=True)
    if mount.returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        with pytest.raises(
            BenchError, match=f"^little cannot be kept in {cache}: No space left on device. Free some space there"
        ):
            sources.read(web(server))
        assert set(left(cache)) <= set(PART)
    finally:
        subprocess.run(["umount", str(cache)], check=True)


def test_a_cache_that_is_no_folder(server: FileServer, cache: Path) -> None:
    cache.write_text("in the way")
    with pytest.raises(BenchError, match=r"^little cannot be kept in .*: (Not a directory|File exists)"):
        sources.read(web(server))


# Terms


def bound(server: FileServer, terms: str = "https://terms/1") -> Web:
    return Web(dataset="little", page="its page", files=(described(server),), terms=terms)


def test_terms_are_accepted_once(server: FileServer, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert fails(bound(server)).startswith(
        "little could not be fetched before its terms are accepted. Read https://terms/1, "
        "then `bench data fetch little --accept-terms`."
    )
    assert server.asked == []
    sources.fetch(bound(server), accept_terms=True)
    assert "bench: you accept the terms of little: https://terms/1\n" in capfd.readouterr().err
    (cache / "little" / whole()[0]).unlink()
    assert read(bound(server)) == CONTENT
    assert "before its terms" not in str(sources.fetch(bound(server, "https://terms/2")))  # it is there already
    (cache / "little" / whole()[0]).unlink()
    assert "Read https://terms/2" in fails(bound(server, "https://terms/2"))


# The user's folder


@pytest.fixture
def users(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path / "mine"))
    (tmp_path / "mine/little").mkdir(parents=True)
    return tmp_path / "mine"


@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz", "rows", "little/data.csv"])
def test_a_file_of_the_users_needs_no_network_and_no_terms(users: Path, cache: Path, server: FileServer, name: str) -> None:
    (users / name).write_bytes(gzip.compress(CONTENT) if name.endswith(".gz") else CONTENT)
    what = Web(dataset="little", page="", files=(described(server, also=("rows",)),), terms="https://terms/1")
    (found,) = sources.fetch(what)
    assert (found.data, found.where, found.path) == (CONTENT, "your folder", users / name)
    assert server.asked == []
    assert not cache.exists()


def test_a_file_of_the_users_that_does_not_fit_is_named(users: Path, server: FileServer) -> None:
    def check(data: bytes) -> None:
        raise BenchError("data.csv must hold 7 rows, but holds 9.")

    (users / "data.csv").write_bytes(CONTENT)
    assert fails(web(server, check=check)).startswith(
        f"{users}/data.csv cannot be used: data.csv must hold 7 rows, but holds 9. Get"
    )


def test_a_folder_without_the_file_is_noted(users: Path, server: FileServer, capfd: pytest.CaptureFixture[str]) -> None:
    assert read(web(server)) == CONTENT
    assert f"note: {users} holds none of little's files (data.csv); the fetched copy is used" in capfd.readouterr().err


def test_other_files_that_do_as_well(users: Path, server: FileServer) -> None:
    files = tuple(described(server, name=name, address="") for name in ("a.txt", "b.txt"))
    what = Web(dataset="little", page="", files=(described(server),), instead=files)
    (users / "a.txt").write_bytes(b"a" * 10)
    assert list(sources.read(what)) == ["data.csv"]  # one of two is not enough
    (users / "b.txt").write_bytes(b"b" * 10)
    assert sources.read(what) == {"a.txt": b"a" * 10, "b.txt": b"b" * 10}


def test_a_file_that_a_dial_needs(server: FileServer) -> None:
    server.files["more.csv"] = NEWER
    more = described(server, name="more.csv", address=f"{server.url}/more.csv", dial="more")
    what = Web(dataset="little", page="", files=(described(server), more))
    assert list(sources.read(what)) == ["data.csv"]
    assert list(sources.read(what, "more")) == ["data.csv", "more.csv"]


# The command

MINE = '''"""Mine: 3 rows. It needs a file."""
from bench import sources
from bench.core import Cohort

WEB = sources.Web(dataset="mine", page="its page", terms="https://terms/1", files=(
    sources.Url(address="{url}/data.csv", name="data.csv", what="rows", size=(10, 1_000_000)),
))

def load(labs: bool = False) -> Cohort:
    raise NotImplementedError
'''


@pytest.fixture
def bench(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[object, str, str]]:
    """The command, in this process: exit status (or the line it ends with), stdout, stderr."""
    monkeypatch.setenv("BENCH_DATA_DIR", "")  # so that what the command sets is undone

    def run(*words: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(words)
        return ended.value.code, *capfd.readouterr()

    return run


def test_the_command_fetches_and_then_says_where_it_lies(
    server: FileServer, cache: Path, tmp_path: Path, bench: Callable[..., tuple[object, str, str]]
) -> None:
    (tmp_path / "mine.py").write_text(MINE.format(url=server.url))
    call = ("data", "fetch", str(tmp_path / "mine.py"))
    line, out, _ = bench(*call)
    assert str(line).startswith("bench: mine could not be fetched before its terms are accepted. Read https://terms/1, then")
    assert "\n" not in str(line)
    assert out == ""
    path = cache / "mine" / whole()[0]
    line = f"mine: data.csv, 300,004 bytes, sha256 {sha(CONTENT)}"
    assert bench(*call, "--accept-terms")[:2] == (0, f"{line}, fetched: {path}\n")
    assert bench(*call) == (0, f"{line}, the cache: {path}\n", "")
    (tmp_path / "data.csv").write_bytes(CONTENT)
    assert bench(*call, "--data-dir", str(tmp_path)) == (0, f"{line}, your folder: {tmp_path}/data.csv\n", "")


def test_a_dataset_that_is_made_has_nothing_to_fetch(bench: Callable[..., tuple[object, str, str]]) -> None:
    line = "independent: nothing to fetch. `bench datasets independent` says what it needs.\n"
    assert bench("data", "fetch", "independent") == (0, line, "")


def test_the_verb_alone_shows_its_verbs(bench: Callable[..., tuple[object, str, str]]) -> None:
    code, out, err = bench("data")
    assert (code, err) == (0, "")
    assert "fetch" in out
