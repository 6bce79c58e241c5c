"""Every file of a results folder, known by its place. What stands nowhere in `PLACES` is not ours."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.store.files import ASIDE
from bench.store.locks import LOCK

_AT = r"[^/]+@[0-9a-f]{8}"  # label@h8
_CELL = r"r\d+-f\d+"
_CELLS = f"{_AT}/{_AT}/{_AT}"
FOREIGN = "foreign"
PUBLISHED = "published"  # in the repository it lies in the results folder; `bench.published` looks after it
# A file that a writer of ours can write: its kind, and where it stands below the results folder. A new kind of file is a line here;
# one that ends in .json is checked against its own checksum without more.
PLACES = {
    "dataset": rf"{_AT}/dataset\.json",
    "cohort": rf"{_AT}/cohort\.parquet",
    "run": rf"{_AT}/runs/{_AT}\.json",
    "external": rf"{_AT}/external/{_AT}\.json",
    "rows": rf"{_AT}/external/{_AT}\.parquet",
    "method": rf"{_AT}/{_AT}/method\.json",
    "protocol": rf"{_CELLS}/protocol\.json",
    "cell": rf"{_CELLS}/{_CELL}\.json",
    "predictions": rf"{_CELLS}/{_CELL}\.parquet",
    "trials": rf"{_CELLS}/trials/{_CELL}\.json",
    "aside": rf"\.tmp/{re.sub('[?]P<[a-z]+>', '', ASIDE.pattern)}",
    "lock": rf"{re.escape(LOCK)}|\.turn",  # .turn: of whoever changes a run's record now
}
_FILE = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in PLACES.items()))


def _above(pattern: str) -> list[str]:
    """Patterns of the folders that a file lies in. A slash in brackets separates nothing."""
    parts = re.split(r"/(?![^\[]*\])", pattern)
    return ["/".join(parts[:i]) for i in range(1, len(parts))]


_FOLDER = re.compile("|".join(dict.fromkeys(above for pattern in PLACES.values() for above in _above(pattern))))


class File(NamedTuple):
    """path: below the results folder, with slashes; of a folder that is not ours it ends in one, and its size is not looked at."""

    kind: str
    path: str
    size: int
    changed: int  # in nanoseconds, as the system has it

    @property
    def parts(self) -> list[str]:
        return self.path.split("/")

    @property
    def folder(self) -> str:
        """Of a method's cells: <dataset>/<method>/<protocol>. "" for what stands above them."""
        return "/".join(self.parts[:3]) if self.kind in ("protocol", "cell", "predictions", "trials") else ""

    @property
    def cell(self) -> str:
        """As r0-f3; "" for what is of no cell."""
        return self.parts[-1].partition(".")[0] if self.kind in ("cell", "predictions", "trials") else ""


def walk(root: Path) -> Iterator[File]:
    """In order of their paths, a folder's files before the folders in it. A file that goes away meanwhile is left out.

    A folder that is not ours is one entry. What is published is left out.
    """
    return _walk(str(root), "")


def _walk(root: str, below: str) -> Iterator[File]:
    try:
        entries = sorted(os.scandir(os.path.join(root, below)), key=lambda entry: (entry.is_dir(), entry.name))
    except FileNotFoundError:
        return
    for entry in entries:
        path = below + entry.name
        if path == PUBLISHED:
            continue
        if entry.is_dir() and _FOLDER.fullmatch(path):
            yield from _walk(root, path + "/")
            continue
        try:
            seen = entry.stat()
        except OSError:  # gone, or a link to nowhere
            if not entry.is_symlink():
                continue
            seen = entry.stat(follow_symlinks=False)
        found = None if entry.is_dir() else _FILE.fullmatch(path)
        kind = FOREIGN if found is None or found.lastgroup is None else found.lastgroup
        yield File(kind, path + "/" * entry.is_dir(), seen.st_size, seen.st_mtime_ns)
