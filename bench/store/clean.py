"""What of a results folder nobody needs, and taking it away. Only files of ours, and none while a run writes."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.core import JSON, BenchError
from bench.store.contents import Contents, Shelf, contents, status
from bench.store.locks import alone
from bench.store.verify import Finding, findings
from bench.store.walk import File

KINDS = {
    "old": "cells of older code, versions or settings that no run shows",
    "failed": "cells that failed or were lost: the same run tries them again",
    "quick": "quick looks",
    "leftover": "what ended processes left half-written",
    "damaged": "damaged files, and the other half of a damaged cell: the same run makes them again",
}


@dataclass(frozen=True)
class Removal:
    """files: in the order in which they are to go, each under the first of the kinds it is of."""

    root: Path
    files: dict[str, tuple[File, ...]]

    @property
    def bytes(self) -> int:
        return sum(file.size for files in self.files.values() for file in files)

    def json(self, removed: bool) -> dict[str, JSON]:
        """For programs. removed: whether it is gone, or could be."""
        kinds: list[JSON] = [
            {"kind": kind, "files": len(files), "bytes": sum(file.size for file in files), "what": KINDS[kind]}
            for kind, files in self.files.items()
        ]
        return {"removed": removed, "files": self.count, "bytes": self.bytes, "kinds": kinds}

    @property
    def count(self) -> int:
        return sum(map(len, self.files.values()))


def removable(root: Path, kinds: Iterable[str] = KINDS) -> Removal:
    """Looks, removes nothing. BenchError for a kind that is none."""
    asked = list(kinds)
    unknown = [kind for kind in asked if kind not in KINDS]
    if unknown:
        raise BenchError(f"what is cleaned must be of {', '.join(KINDS)}, but is '{unknown[0]}'")
    held = contents(root)
    found = findings(held) if {"leftover", "damaged"} & set(asked) else ()
    taken: set[str] = set()
    files: dict[str, tuple[File, ...]] = {}
    for kind in (kind for kind in KINDS if kind in asked):
        new = {file.path: file for file in _of_kind(kind, held, found) if file.path not in taken}
        taken |= set(new)
        files[kind] = tuple(sorted(new.values(), key=_order))
    return Removal(root, files)


def clean(root: Path, kinds: Iterable[str] = KINDS) -> Removal:
    """Remove it. Raises BenchError, and removes nothing, while a run writes to the folder. What changed since it was seen stays."""
    if not root.is_dir():
        return removable(root, kinds)
    with alone(root):
        found = removable(root, kinds)
        for file in (file for files in found.files.values() for file in files):
            _remove(root, file)
        _forget_empty(root, [file for files in found.files.values() for file in files])
    return found


def _of_kind(kind: str, held: Contents, found: tuple[Finding, ...]) -> Iterator[File]:
    if kind == "old":
        yield from _shelved(held, [shelf for shelf in held.shelves if not shelf.current])
    elif kind == "quick":
        quick = [shelf for shelf in held.shelves if shelf.quick]
        yield from _shelved(held, quick)
        yield from (
            file for file in held.files if file.kind == "run" and held.about(file.path).get("protocol", {}).get("quick") is True
        )
    elif kind == "failed":
        for shelf in held.shelves:
            failed = {cell for cell in shelf.cells if status(held.root, shelf.folder, cell) in ("failed", "lost")}
            yield from (file for file in shelf.files if file.kind in ("cell", "predictions") and file.cell in failed)
    else:
        yield from _found(held, found, {"leftover": "unfinished", "damaged": "damaged"}[kind])


def _shelved(held: Contents, shelves: list[Shelf]) -> Iterator[File]:
    """The files of the shelves, and what describes a method or a dataset that is left with none. The rest of a dataset stays."""
    going = {shelf.folder for shelf in shelves}
    kept = {shelf.folder.rpartition("/")[0] for shelf in held.shelves if shelf.folder not in going}
    empty = {folder.rpartition("/")[0] for folder in going} - kept
    for shelf in shelves:
        yield from shelf.files
    yield from (file for file in held.files if file.kind == "method" and file.path.rpartition("/")[0] in empty)


def _found(held: Contents, found: tuple[Finding, ...], kind: str) -> Iterator[File]:
    """With a damaged json what lies beside it under its name: that is nothing without it."""
    paths = {one.path for one in found if one.kind == kind}
    paths |= {path.removesuffix("json") + "parquet" for path in paths if path.endswith(".json")}
    yield from (file for file in held.files if file.path in paths)


def _order(file: File) -> tuple[int, str]:
    """A cell's json goes before its parquet, and what describes a folder last: whatever stops this, what is left can be read."""
    return {"cell": 0, "predictions": 1}.get(file.kind, 2), file.path


def _remove(root: Path, file: File) -> None:
    path = root / file.path
    try:
        seen = path.stat()
        if (seen.st_size, seen.st_mtime_ns) == (file.size, file.changed):
            path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise BenchError(
            f"cannot remove from the results folder: {error}. What is left can be read; the same command goes on."
        ) from error


def _forget_empty(root: Path, files: Iterable[File]) -> None:
    folders = {
        parent for file in files for parent in PurePosixPath(file.path).parents if "@" in parent.name or parent.name == "trials"
    }
    for folder in sorted(folders, key=lambda one: len(one.parts), reverse=True):
        with suppress(OSError):  # not empty
            os.rmdir(root / folder)
