"""Files behind addresses against a server of the test's own, which breaks off, stalls, lies and changes its mind."""

import json
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from downloads import CONTENT, NEWER, PART, alone, described, exact, fails, left, read, sha, web, whole
from file_server import FileServer, instead, status

from bench import sources
from bench.core import BenchError
from bench.sources import Web, http

PAGE = b"<!DOCTYPE html>\n<html><head><title>Log in first</title></head></html>"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return alone(tmp_path, monkeypatch)


@pytest.fixture
def server(cache: Path) -> Iterator[FileServer]:
    made = FileServer()
    made.files["data.csv"] = CONTENT
    yield made
    made.close()


# It comes


def test_a_file_is_fetched_once(server: FileServer, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (first,) = sources.fetch(web(server))
    assert (first.data, first.where) == (CONTENT, "fetched")
    assert capfd.readouterr() == ("", f"bench: fetching data.csv of little (rows) once into {cache}/little\n")
    (again,) = sources.fetch(web(server))
    assert (again.data, again.where, again.path) == (CONTENT, "the cache", first.path)
    assert capfd.readouterr() == ("", "")
    assert len(server.asked) == 1
    assert left(cache) == whole()


def test_progress_without_a_terminal_is_a_line_now_and_then(
    server: FileServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "EVERY", 0.0)
    read(web(server))
    assert capfd.readouterr().err.splitlines()[-1] == "bench: data.csv: 0.3 MB of 0.3 MB"


def test_without_a_length(server: FileServer) -> None:
    server.script = [server.chunked]
    assert read(web(server)) == CONTENT


def test_a_damaged_copy_in_the_cache_is_fetched_again(server: FileServer, cache: Path) -> None:
    read(web(server))
    (cache / "little" / whole()[0]).write_bytes(CONTENT[:-1])
    assert read(web(server)) == CONTENT
    assert len(server.asked) == 2
    assert left(cache) == whole()


def test_another_copy_than_the_reference_is_taken_with_a_note(server: FileServer, capfd: pytest.CaptureFixture[str]) -> None:
    assert read(web(server, sha256=sha(NEWER))) == CONTENT
    assert "differs from little's reference copy" in capfd.readouterr().err
    server.files.clear()
    assert read(web(server, sha256=sha(NEWER))) == CONTENT  # and kept


# It breaks off, and goes on


@pytest.mark.parametrize("how", ["broken", "stalled", "dripping"])
def test_what_broke_off_goes_on_where_it_was(server: FileServer, cache: Path, how: str) -> None:
    server.script = [{"broken": server.broken(0.25), "stalled": server.hang, "dripping": server.drip}[how]]
    assert read(web(server)) == CONTENT
    first, second = server.ranges
    assert first is None
    assert second is not None
    assert (
        int(second.removeprefix("bytes=").rstrip("-"))
        in {
            "broken": {round(0.25 * len(CONTENT))},
            "stalled": {len(CONTENT) // 2},
            "dripping": set(range(1, 100)),
        }[how]
    )
    assert server.asked[1][1]["If-Range"] == f'"{sha(CONTENT)[:16]}"'
    assert left(cache) == whole()


def test_many_breaks_are_no_hindrance_as_long_as_something_comes(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "GAIN", 1_000)
    server.script = [server.broken(0.3)] * 8  # more than TRIES
    assert read(web(server)) == CONTENT
    assert len(server.asked) == 9


def test_one_that_never_gets_on_ends_and_can_be_taken_up(server: FileServer, cache: Path) -> None:
    server.script = [server.broken(0.5)] + [server.broken(0)] * 4
    said = fails(web(server))
    assert "broke off after 0.2 MB of 0.3 MB (tried 5 times in a row; the first 0.2 MB of data.csv are kept)" in said
    assert left(cache) == PART
    assert read(web(server)) == CONTENT
    assert server.ranges[-1] == f"bytes={len(CONTENT) // 2}-"
    assert left(cache) == whole()


def test_without_a_version_a_part_is_not_taken_up(server: FileServer, cache: Path) -> None:
    server.tags = False
    server.script = [server.broken(0.5)]
    assert read(web(server)) == CONTENT
    assert server.ranges == [None, None]


def test_a_range_that_is_ignored(server: FileServer) -> None:
    server.script = [server.broken(0.5), server.ignoring_range]
    assert read(web(server)) == CONTENT


@pytest.mark.parametrize("heeds", [True, False], ids=["the server notices", "the server joins regardless"])
def test_a_file_that_changes_between_two_parts(server: FileServer, cache: Path, heeds: bool) -> None:
    def change_and_break(handler: object, data: bytes) -> None:
        server.broken(0.5)(handler, data)  # type: ignore[arg-type]
        server.files["data.csv"] = NEWER

    server.script = [change_and_break, server.well if heeds else server.ignoring_if_range]
    assert read(web(server)) == NEWER
    assert left(cache) == whole(NEWER)


def test_pieces_that_make_no_whole_are_fetched_anew(server: FileServer, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    server.tags = False  # nothing tells the versions apart but the hash at the end

    def change_and_break(handler: object, data: bytes) -> None:
        server.broken(0.5)(handler, NEWER)  # type: ignore[arg-type]

    server.script = [change_and_break]
    assert read(exact(server)) == CONTENT
    assert "the pieces of data.csv make no whole; it is fetched anew" in capfd.readouterr().err
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-", None]
    assert left(cache) == whole()


def test_a_part_of_another_address_or_longer_than_the_file_is_dropped(server: FileServer, cache: Path) -> None:
    folder = cache / "little"
    folder.mkdir(parents=True)
    for note in ({"address": "http://other", "validator": "x", "total": 300_004}, {"broken": 1}):
        (folder / "data.csv.part").write_bytes(b"x" * 1_000)
        (folder / "data.csv.part.json").write_text(json.dumps(note))
        assert read(web(server)) == CONTENT
        assert server.ranges[-1] is None
        (folder / whole()[0]).unlink()
    (folder / "data.csv.part").write_bytes(b"x" * 400_000)
    (folder / "data.csv.part.json").write_text(json.dumps({"address": f"{server.url}/data.csv", "validator": "x", "total": None}))
    server.script = [server.ignoring_if_range]  # answers 416: there is no byte 400,000
    assert read(web(server)) == CONTENT


def test_an_answer_that_asks_to_wait(server: FileServer, capfd: pytest.CaptureFixture[str]) -> None:
    server.script = [status(429, Retry_After="1"), status(503, Retry_After=formatdate(time.time() - 5, usegmt=True)), status(500)]
    start = time.monotonic()
    assert read(web(server)) == CONTENT
    assert 1 <= time.monotonic() - start < 30
    assert "429 Too Many Requests; trying again in 1 s" in capfd.readouterr().err
    assert len(server.asked) == 4


def test_an_answer_that_asks_to_wait_too_long(server: FileServer, cache: Path) -> None:
    server.script = [status(429, Retry_After="3600")]
    assert "answered 429 Too Many Requests and asks to wait 3,600 s" in fails(web(server))
    assert left(cache) == []


def test_requests_to_one_host_keep_a_distance(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PAUSE", 0.2)
    server.files |= {"b.csv": CONTENT, "c.csv": CONTENT}
    files = tuple(described(server, address=f"{server.url}/{name}", name=name) for name in ("data.csv", "b.csv", "c.csv"))
    start = time.monotonic()
    sources.read(Web(dataset="little", page="", files=files))
    assert time.monotonic() - start >= 0.4  # two distances between three requests


def test_the_proxy_of_the_environment_counts(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    assert read(web(server, address="http://localhost:9/data.csv")) == CONTENT  # nothing listens on the discard port
    assert server.asked[0][0] == "http://localhost:9/data.csv"


# It does not come, or is not what it should be


def test_a_wrong_hash(server: FileServer, cache: Path) -> None:
    assert f"{server.url}/data.csv must have sha256 {sha(NEWER)}, but has {sha(CONTENT)}. It was not used." in fails(
        exact(server, NEWER)
    )
    assert left(cache) == []


def test_a_wrong_content(server: FileServer, cache: Path) -> None:
    def check(data: bytes) -> None:
        raise BenchError("data.csv must hold 7 rows, but holds 9.")

    said = fails(web(server, check=check))
    assert said.startswith(
        f"little could not be fetched: {server.url}/data.csv sent something else: data.csv must hold 7 rows, but holds 9."
    )
    assert left(cache) == []


@pytest.mark.parametrize("kind", ["text/html", "text/csv"])
def test_a_web_page_instead_of_the_file(server: FileServer, cache: Path, kind: str) -> None:
    server.script = [instead(b"\xef\xbb\xbf\n" + PAGE, kind)]
    assert f"{server.url}/data.csv sent a web page ('Log in first'), not data.csv." in fails(web(server))
    assert len(server.asked) == 1
    assert left(cache) == []


def test_a_web_page_in_between_does_not_cost_the_part(server: FileServer, cache: Path) -> None:
    server.script = [server.broken(0.5), instead(PAGE)]
    assert "sent a web page ('Log in first')" in fails(web(server))
    assert left(cache) == PART
    assert read(web(server)) == CONTENT
    assert server.ranges[-1] == f"bytes={len(CONTENT) // 2}-"


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ((400_000, 500_000), "data.csv must have 400,000 to 500,000 bytes, but {} announces 300,004"),
        ((10, 1_000), "data.csv must have 10 to 1,000 bytes, but {} announces 300,004"),
    ],
)
def test_a_wrong_size(server: FileServer, cache: Path, size: tuple[int, int], says: str) -> None:
    assert says.format(f"{server.url}/data.csv") in fails(web(server, size=size))
    assert left(cache) == []


@pytest.mark.parametrize(
    ("size", "says"),
    [((400_000, 500_000), "must have at least 400,000 bytes, but"), ((10, 1_000), "must have at most 1,000 bytes, but")],
)
def test_a_wrong_size_without_notice(server: FileServer, cache: Path, size: tuple[int, int], says: str) -> None:
    server.script = [server.chunked]
    assert says in fails(web(server, size=size))
    assert left(cache) == []


@pytest.mark.parametrize(
    ("code", "says"), [(403, "it is not open to everybody"), (404, "it is no longer there"), (401, "a login")]
)
def test_what_is_refused_is_not_asked_again(server: FileServer, cache: Path, code: int, says: str) -> None:
    server.script = [status(code)]
    assert says in fails(web(server))
    assert len(server.asked) == 1
    assert left(cache) == []


def test_nobody_answers(server: FileServer, cache: Path) -> None:
    said = fails(web(server, address="http://127.0.0.1:9/data.csv"))
    assert said.startswith(
        "little could not be fetched: no connection to 127.0.0.1:9 (Connection refused) (tried 2 times in a row;"
    )
    assert left(cache) == []


@pytest.mark.parametrize("address", ["http://example.org/data.csv", "ftp://127.0.0.1/data.csv", "file:///etc/passwd"])
def test_only_https_is_fetched_and_nobody_is_led_elsewhere(server: FileServer, cache: Path, address: str) -> None:
    rule = f"only https addresses are fetched, but this is {address}"
    assert rule in fails(web(server, address=address))
    server.script = [status(302, Location=address)]
    assert (rule if "file:" not in address else f"to url '{address}' is not allowed") in fails(web(server))
    assert left(cache) == []


@pytest.mark.parametrize("where", ["http://[127/x", "https://", "http://127.0.0.1:port/x"])
def test_a_redirection_to_nowhere(server: FileServer, cache: Path, where: str) -> None:
    server.script = [status(302, Location=where)] * 5
    assert fails(web(server)).startswith("little could not be fetched: ")
    assert left(cache) == []


def test_a_redirection_is_followed(server: FileServer) -> None:
    server.files["moved.csv"] = b""
    server.script = [status(302, Location=f"{server.url}/data.csv")]
    assert read(web(server, address=f"{server.url}/moved.csv")) == CONTENT
