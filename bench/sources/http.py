"""One file over HTTP(S), as far as it comes: resumed, retried, rate limited. The environment's proxies count."""

import http.client
import json
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from itertools import chain
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import bench
from bench.sources.kinds import Url
from bench.sources.local import say, why

STALL = 30.0  # seconds in which fewer than SLOW bytes come: the connection counts as dead
SLOW = 1_024
CHUNK = 1 << 16
TRIES = 5  # in a row, without at least GAIN bytes more
GAIN = 1 << 20
BACKOFF = 1.0  # seconds before the second try, doubled every time
PAUSE = 1.0  # seconds between two requests to one host
EVERY = 10.0  # seconds between two lines of progress where there is no terminal
PATIENCE = 120.0  # the longest wait, in seconds, that a server may ask for
LOCAL = ("127.0.0.1", "::1", "localhost")

_last: dict[str, float] = {}  # host -> when it was asked last


class Broken(Exception):
    """A try that failed, where another may not. wait: seconds that the server asks for. unmet: nobody answered at all."""

    def __init__(self, reason: str, wait: float = 0.0, *, unmet: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.unmet = wait, unmet


class Final(Exception):
    """Trying again would not help."""


@dataclass(frozen=True)
class Version:
    """Which state of a file a part belongs to. validator: its ETag or date of change, "" if the server gave none."""

    address: str
    validator: str = ""
    total: int | None = None


class Part:
    """What has come of a file so far (`NAME.part`), and of which version (`NAME.part.json`).

    joined: it was put together from several answers, so that a wrong content may be the joint's fault.
    """

    def __init__(self, folder: Path, url: Url) -> None:
        self.url = url
        self.path, self.note = folder / f"{url.name}.part", folder / f"{url.name}.part.json"
        self.joined = self.size > 0

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def version(self) -> Version | None:
        """The version it belongs to, None where there is nothing that could be taken up."""
        with suppress(OSError, ValueError, TypeError):
            version = Version(**json.loads(self.note.read_text("utf-8")))
            provable = bool(version.validator or self.url.exact)
            fits = version.total is None or self.size <= version.total
            return version if self.size and provable and fits and version.address == self.url.address else None
        return None

    def begin(self, version: Version) -> None:
        self.drop()
        self.path.touch()
        self.note.write_text(json.dumps(asdict(version)), "utf-8")

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self.joined = False

    def left(self) -> str:
        """What an end now leaves behind, in words; a rest that could not be taken up goes."""
        if self.version is None:
            self.drop()
            return "nothing was kept"
        return f"the first {megabytes(self.size)} of {self.url.name} are kept"


def download(url: Url, part: Part) -> None:
    """Fill `part` until the whole file is there. `Broken` or `Final` where it does not come."""
    failed = 0
    while True:
        before = part.size
        try:
            return _transfer(url, part)
        except Broken as error:
            failed = 1 if part.size - before >= GAIN else failed + 1
            wait = max(error.wait, BACKOFF * 2 ** (failed - 1))
            if failed >= (2 if error.unmet else TRIES) or wait > PATIENCE:
                kept = part.left()
                raise Broken(f"{error} ({_tries(failed)}; {kept})") from None
            say(f"note: {url.name}: {error}; trying again in {wait:.0f} s")
            time.sleep(wait)


def _tries(failed: int) -> str:
    return "tried once" if failed == 1 else f"tried {failed} times in a row"


def _transfer(url: Url, part: Part) -> None:
    """One request, and what it brings."""
    version = part.version
    if version is not None and version.total == part.size:
        return  # all of it came, but an end came before it was proven
    with _answer(url, part, version) as answer:
        now, chunks = _version(url, answer), _chunks(answer)
        first = next(chunks, b"")
        if answer.status == 206 and version is not None:
            if now != version or not _starts_at(part.size, answer):
                part.drop()
                raise Broken("it changed at its source while it was fetched")
            part.joined = True
        else:
            _fit(first, now, url)
            part.begin(now)
        _pour(chain([first], chunks), part, now.total)
    if now.total is not None and part.size < now.total:
        raise Broken(f"{_host(url.address)} broke off after {megabytes(part.size)} of {megabytes(now.total)}")


def _fit(first: bytes, version: Version, url: Url) -> None:
    """Refuse what cannot be the file before a part of the right one is given up for it."""
    least, most = url.size
    title = page(first)
    if title is not None:
        raise Final(f"{url.address} sent a web page{title}, not {url.name}")
    if version.total is not None and not least <= version.total <= most:
        raise Final(f"{url.name} must have {least:,} to {most:,} bytes, but {url.address} announces {version.total:,}")


def _pour(chunks: Iterable[bytes], part: Part, total: int | None) -> None:
    url = part.url
    with part.path.open("ab") as out, _progress(url.name, part.size, total) as tick:
        for chunk in chunks:
            out.write(chunk)
            out.flush()
            tick(part.size)
            if part.size > url.most:
                part.drop()
                raise Final(f"{url.name} must have at most {url.most:,} bytes, but {url.address} sends more")


def _chunks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """What comes, as it comes; a stall, a drip and a break are each `Broken`."""
    since, few = time.monotonic(), 0
    while True:
        try:
            chunk = answer.read1(CHUNK)
        except TimeoutError:
            raise Broken(f"nothing came for {STALL:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise Broken(f"the connection broke ({why(error)})") from None
        if not chunk:
            return
        yield chunk
        few += len(chunk)
        if time.monotonic() - since > STALL:
            if few < SLOW:
                raise Broken(f"only {few:,} bytes came in {STALL:g} s")
            since, few = time.monotonic(), 0


# The request


def _answer(url: Url, part: Part, version: Version | None) -> http.client.HTTPResponse:
    request = urllib.request.Request(url.address, headers={"Accept-Encoding": "identity", "User-Agent": _agent()})
    if version is not None:
        request.add_header("Range", f"bytes={part.size}-")
        if version.validator:
            request.add_header("If-Range", version.validator)
    _allow(url.address)
    _hold_back(_host(url.address))
    try:
        return urllib.request.build_opener(_Redirects).open(request, timeout=STALL)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # the part is longer than the file is now
                part.drop()
                raise Broken("it changed at its source") from None
            raise _refused(error, url) from None
    except (OSError, http.client.HTTPException) as error:
        raise _unmet(error, url) from None
    except ValueError as error:  # an address that is none, where a redirection led
        raise Final(f"{url.address} leads to no address ({error})") from None


def _refused(error: urllib.error.HTTPError, url: Url) -> Exception:
    said = f"{url.address} answered {error.code} {error.reason}"
    if error.code in (408, 425, 429) or error.code >= 500:
        wait = _seconds(error.headers)
        asks = f" and asks to wait {wait:,.0f} s" if wait > PATIENCE else ""
        return Broken(said + asks, wait)
    means = {401: ": it asks for a login", 403: ": it is not open to everybody", 404: ": it is no longer there"}
    return Final(said + means.get(error.code, ""))


def _unmet(error: Exception, url: Url) -> Exception:
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return Final(
            f"the certificate of {_host(url.address)} is not trusted ({reason.verify_message}); SSL_CERT_FILE may name others"
        )
    if isinstance(reason, TimeoutError):
        return Broken(f"{_host(url.address)} did not answer within {STALL:g} s", unmet=True)
    if isinstance(error, http.client.HTTPException | ConnectionResetError):
        return Broken(f"{_host(url.address)} hung up ({why(error)})")
    words = why(reason) if isinstance(reason, Exception) else str(reason)
    return Broken(f"no connection to {_host(url.address)} ({words})", unmet=True)


def _seconds(headers: Message) -> float:
    """Retry-After, which is a number of seconds or a date; 0 without one."""
    asked = (headers.get("Retry-After") or "").strip()
    if asked.isdigit():
        return float(asked)
    with suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    return 0.0


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Nobody is led from https to anything else."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _allow(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _allow(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL):
        raise Final(f"only https addresses are fetched, but this is {address}")


def _hold_back(host: str) -> None:
    wait = _last.get(host, -PAUSE) + PAUSE - time.monotonic()
    if wait > 0:
        time.sleep(wait)
    _last[host] = time.monotonic()


def _host(address: str) -> str:
    return urlsplit(address).netloc.rpartition("@")[2]


def _agent() -> str:
    return f"multitask-bench/{bench.__version__}"


# The answer


def _version(url: Url, answer: http.client.HTTPResponse) -> Version:
    tag = answer.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")
    length = answer.headers.get("Content-Length", "")
    if answer.status == 206:
        length = answer.headers.get("Content-Range", "").rpartition("/")[2]
    return Version(url.address, validator, int(length) if length.isdigit() else None)


def _starts_at(size: int, answer: http.client.HTTPResponse) -> bool:
    return answer.headers.get("Content-Range", "").startswith(f"bytes {size}-")


def page(data: bytes) -> str | None:
    """None for anything but a web page; for one its title, " ('Log in')", or "" without one."""
    head = data[:4_096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head[:14].lower().startswith((b"<!doctype html", b"<html", b"<head")):
        return None
    title = re.search(rb"<title[^>]*>([^<]{1,80})", head, re.IGNORECASE)
    return f" ('{' '.join(title[1].decode('utf-8', 'replace').split())}')" if title else ""


# Words


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size:,} bytes"


@contextmanager
def _progress(name: str, done: int, total: int | None) -> Generator[Callable[[int], None]]:
    """A line on stderr that keeps up: redrawn on a terminal, elsewhere one now and then."""
    if not sys.stderr.isatty():
        last = time.monotonic()

        def told(size: int) -> None:
            nonlocal last
            if time.monotonic() - last > EVERY:
                last = time.monotonic()
                say(f"{name}: {megabytes(size)}{f' of {megabytes(total)}' if total else ''}")

        yield told
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, completed=done, total=total)
        yield lambda size: bar.update(task, completed=size)
