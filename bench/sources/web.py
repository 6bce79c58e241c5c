"""Files behind addresses: from the user's folder, the cache, or fetched once, and kept only when they are what was asked for.

A transfer that breaks off is taken up where it ended, if the server says that the file is still the same; otherwise from the
start. Whatever fails ends in one `BenchError` and leaves at most the part that can be taken up (`NAME.part`).
"""

import json
import os
from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

from bench.core import BenchError
from bench.sources.http import Broken, Final, Part, download, page
from bench.sources.kinds import Url, Web
from bench.sources.local import Found, cache, check, content, folders, one_line, say, sha256, users, without_any


def found(web: Web, dials: Collection[str] = ()) -> list[Found]:
    """The files that are always needed and those that `dials` need, in the order of `web.files`."""
    instead = [one for f in web.instead if (one := _users(f, web)) is not None]
    if web.instead and len(instead) == len(web.instead):
        return instead
    wanted = [f for f in web.files if not f.dial or f.dial in dials]
    have = {f.name: one for f in wanted if (one := _users(f, web) or _cached(f, web)) is not None}
    missing = [f for f in wanted if f.name not in have]
    if folders(web.dataset) and not any(one.where == "your folder" for one in have.values()):
        without_any(web, [f.name for f in wanted])
    if missing and not accepted(web):
        raise BenchError(
            f"{web.dataset} could not be fetched before its terms are accepted. Read {web.terms}, "
            f"then `bench data fetch {web.dataset} --accept-terms`. {web.way_out}"
        )
    have |= {f.name: _fetch(f, web) for f in missing}
    return [have[f.name] for f in wanted]


def accepted(web: Web) -> bool:
    """Whether the terms, if there are any, were accepted on this machine; other terms than those count anew."""
    with suppress(OSError, ValueError, AttributeError):
        return not web.terms or json.loads(_terms(web).read_text("utf-8")).get("terms") == web.terms
    return False


def accept(web: Web) -> None:
    """Keep in the cache that the user accepted the terms."""
    with one_line(web.dataset):
        _terms(web).parent.mkdir(parents=True, exist_ok=True)
        _terms(web).write_text(json.dumps({"terms": web.terms, "accepted": date.today().isoformat()}), "utf-8")
    say(f"you accept the terms of {web.dataset}: {web.terms}")


def _terms(web: Web) -> Path:
    return cache() / "terms" / f"{web.dataset}.json"


def _users(url: Url, web: Web) -> Found | None:
    mine = users(url, web)
    if mine is not None:
        with _about(f"{mine.path} cannot be used", web):
            url.check(mine.data)
    return mine


def _cached(url: Url, web: Web) -> Found | None:
    """The copy in the cache whose name carries its own sha256: a damaged one counts as none."""
    known = f"{url.sha256[:32]}-{url.name}"
    for path in sorted((cache() / web.dataset).glob(known if url.exact else f"*-{url.name}")):
        data = content(path)
        if data is not None and path.name == f"{sha256(data)[:32]}-{url.name}":
            return Found(url.name, path, "the cache", data)
    return None


def _fetch(url: Url, web: Web) -> Found:
    folder = cache() / web.dataset
    part = Part(folder, url)
    with one_line(web.dataset, part.left):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder, web):
            if (meanwhile := _cached(url, web)) is not None:
                return meanwhile
            say(f"fetching {url.name} of {web.dataset} ({url.what}) once into {folder}")
            data = _whole(url, web, part)
            path = folder / f"{sha256(data)[:32]}-{url.name}"
            for older in folder.glob(f"*-{url.name}"):
                older.unlink(missing_ok=True)
            os.replace(part.path, path)
            part.drop()
    return Found(url.name, path, "fetched", data)


def _whole(url: Url, web: Web, part: Part) -> bytes:
    """The file, proven. Pieces that make no whole together are dropped, and it is fetched anew, once."""
    for last in (False, True):
        try:
            download(url, part)
        except (Broken, Final) as error:
            raise BenchError(f"{web.dataset} could not be fetched: {error}. {web.way_out}") from None
        data = part.path.read_bytes()
        try:
            _prove(data, url, web)
            break
        except BenchError:
            joined = part.joined
            part.drop()
            if last or not joined:
                raise
            say(f"note: the pieces of {url.name} make no whole; it is fetched anew")
    return data


def _prove(data: bytes, url: Url, web: Web) -> None:
    title = page(data)
    if title is not None:
        raise BenchError(
            f"{web.dataset} could not be fetched: {url.address} sent a web page{title}, not {url.name}. {web.way_out}"
        )
    if len(data) < url.size[0]:
        raise BenchError(
            f"{web.dataset} could not be fetched: {url.name} must have at least {url.size[0]:,} bytes, but {url.address} sent "
            f"{len(data):,}. {web.way_out}"
        )
    if url.exact:
        check(data, url.sha256, url.address, web)
    elif url.sha256 and sha256(data) != url.sha256:
        say(
            f"note: {url.address} differs from {web.dataset}'s reference copy (sha256 {url.sha256[:12]}); taken if its content fits"
        )
    with _about(f"{web.dataset} could not be fetched: {url.address} sent something else", web):
        url.check(data)


@contextmanager
def _about(what: str, web: Web) -> Generator[None]:
    """Words before and after a check's own complaint."""
    try:
        yield
    except BenchError as error:
        raise BenchError(f"{what}: {str(error).rstrip('.')}. {web.way_out}") from None


@contextmanager
def _alone(folder: Path, web: Web) -> Generator[None]:
    """One process at a time: a second one waits, and then finds the file. Without locks (Windows) both fetch, and one wins."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for another process that fetches {web.dataset}")
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
