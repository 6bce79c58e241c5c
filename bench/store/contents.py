"""What a results folder holds: its files, and the cells of each method under each protocol."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.core import BenchError
from bench.store.cells import placed
from bench.store.files import opened
from bench.store.walk import File, walk

STATUSES = ("done", "failed", "lost", "declined")  # of a cell; a damaged one has none


@dataclass(frozen=True)
class Shelf:
    """The cells of one method under one protocol. folder: <dataset>/<method>/<protocol>, below the results folder.

    current: the last run of the method under this protocol made or took these; others are of older code, versions or patients.
    """

    folder: str
    dataset: str
    method: str
    protocol: str
    quick: bool
    current: bool
    files: tuple[File, ...]

    @property
    def cells(self) -> list[str]:
        """As r0-f3, in the order of repeats and folds."""
        return sorted((file.cell for file in self.files if file.kind == "cell"), key=placed)

    @property
    def tuned(self) -> bool:
        return any(file.kind == "trials" for file in self.files)

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def changed(self) -> float:
        """When the last of its cells was written, in seconds; 0 of none."""
        return max((file.changed for file in self.files if file.kind == "cell"), default=0) / 1e9


@dataclass(frozen=True)
class Contents:
    """files: all there are, foreign ones too."""

    root: Path
    files: tuple[File, ...]
    _read: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def shelves(self) -> tuple[Shelf, ...]:
        found: dict[str, list[File]] = {}
        for file in self.files:
            if file.folder:
                found.setdefault(file.folder, []).append(file)
        current = self._current(list(found))
        return tuple(self._shelf(folder, tuple(files), folder in current) for folder, files in found.items())

    def about(self, path: str) -> Mapping[str, Any]:
        """What a JSON file of ours says; empty if it is missing or damaged."""
        if path not in self._read:
            self._read[path] = opened(self.root / path)[0]
        return self._read[path]

    def label(self, path: str) -> str:
        """Of a dataset, method or protocol: what it is called, or its folder's name where nothing says so."""
        return str(self.about(path).get("label") or path.split("/")[-2])

    def _shelf(self, folder: str, files: tuple[File, ...], current: bool) -> Shelf:
        dataset, method, protocol = folder.split("/")
        quick = self.about(f"{folder}/protocol.json").get("quick") is True
        labels = self.label(f"{dataset}/dataset.json"), self.label(f"{dataset}/{method}/method.json")
        return Shelf(folder, *labels, protocol, quick, current, files)

    def _current(self, folders: list[str]) -> set[str]:
        """As the record of the last run says; without one, as for draws, where the method was described last."""
        seen = {file.path: file.changed for file in self.files if file.kind == "method"}
        newest: dict[tuple[str, str, str], tuple[int, str]] = {}
        out: set[str] = set()
        for folder in folders:
            dataset, method, protocol = folder.split("/")
            record = self.about(f"{dataset}/runs/{protocol}.json").get("methods")
            path = f"{dataset}/{method}/method.json"
            if isinstance(record, dict):
                out |= {folder} if method in {about.get("folder") for about in record.values()} else set[str]()
            else:
                key = dataset, self.label(path), protocol
                newest[key] = max(newest.get(key, (0, "")), (seen.get(path, 0), folder))
        return out | {folder for _, folder in newest.values()}


def contents(root: Path) -> Contents:
    if root.exists() and not root.is_dir():
        raise BenchError(f"--results takes a folder, but '{root}' is a file")
    if not root.is_dir():
        raise BenchError(
            f"there is no results folder '{root}'. `bench run --results {root}` makes one, another is named with --results."
        )
    return Contents(root, tuple(walk(root)))


def statuses(root: Path, shelf: Shelf) -> dict[str, int]:
    """How many cells there are of each status, and `damaged` ones, whose json cannot be read."""
    found = Counter(status(root, shelf.folder, cell) or "damaged" for cell in shelf.cells)
    return {name: found[name] for name in (*STATUSES, "damaged")}


def status(root: Path, folder: str, cell: str) -> str:
    """Of a cell, as its json says, whatever its predictions are; "" where that cannot be read."""
    record = opened(root / folder / f"{cell}.json")[0]
    return str(record.get("status") if record.get("status") in STATUSES else "")


def size(count: int) -> str:
    """Bytes as people read them: 999 B, 1.2 kB, 3.4 MB."""
    value, unit = float(count), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, bigger
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
