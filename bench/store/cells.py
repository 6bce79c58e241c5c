"""Where a run's cells are written: aside, then renamed."""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.core import JSON, BenchError, Task
from bench.store.files import (
    Fault,
    abandoned,
    aside_name,
    contents,
    digest,
    finite,
    named,
    opened,
    parquet,
    read_json,
    safe,
    sealed,
)
from bench.store.locks import hold, looks
from bench.store.tables import frame, packed
from bench.store.turns import turn


@dataclass(frozen=True)
class Part:
    """A dataset, a method or a protocol as the store knows it: a label, and the JSON that its hash is of."""

    label: str
    identity: Mapping[str, JSON]

    @property
    def folder(self) -> str:
        return named(self.label, self.identity)

    def described(self, about: Mapping[str, JSON]) -> dict[str, JSON]:
        """The file that stands in the folder. hashed: the fields that its name is the hash of."""
        return {**self.identity, **about, "label": self.label, "hashed": list(self.identity)}


@dataclass(frozen=True)
class Store:
    """A results folder."""

    root: Path

    def path(self, dataset: Part, method: Part, protocol: Part) -> Path:
        """The folder of a method's cells."""
        return self.root / dataset.folder / method.folder / protocol.folder

    def open(self, dataset: Part, cohort: pd.DataFrame | None, about: Mapping[str, JSON]) -> None:
        """Make the folder of a dataset. `about` is stored beside the identity; cohort: row, patient, group, ...; None of draws."""
        folder, rows = self.root / dataset.folder, dict[str, JSON]()
        hold(self.root)
        if cohort is not None:
            data = parquet(cohort)
            rows = {"cohort": digest(data)}
            self._write(folder / "cohort.parquet", data)
        self._write_json(folder / "dataset.json", dataset.described({**about, **rows}))
        self._forget_dead_writers()

    def describe(self, dataset: Part, method: Part, protocol: Part, about: Mapping[str, JSON]) -> None:
        """Put the JSON behind the hashes beside a method's cells."""
        folder = self.path(dataset, method, protocol)
        self._write_json(folder.parent / "method.json", method.described(about))
        self._write_json(folder / "protocol.json", protocol.described({}))

    def note(self, folder: Path, code: JSON, about: Mapping[str, JSON]) -> None:
        """Add to the method.json of a folder of cells what their hash is not of. Cells of other code than this are left alone."""
        found = read_json(folder.parent / "method.json") or {}
        if found.get("code") == code:
            self._write_json(folder.parent / "method.json", {**found, **about})

    def save_run(self, dataset: Part, protocol: Part, record: Mapping[str, JSON]) -> None:
        self._write_json(self.root / dataset.folder / "runs" / f"{protocol.folder}.json", record)

    def change_run(self, dataset: Part, protocol: Part, changed: Callable[[dict[str, Any]], Mapping[str, JSON]]) -> None:
        """Save what `changed` makes of the last run's record, and `written`: when, in seconds since 1970, later than of any other run of
        the dataset even if the clock was set back. What other processes do to it at the same time is not lost."""
        with turn(self.root):
            others = (self.root / dataset.folder / "runs").glob("*.json")
            last = max((float((read_json(path) or {}).get("written", 0.0)) for path in others), default=0.0)
            now = max(time.time(), last + 1e-3)
            self.save_run(dataset, protocol, {**changed(self.run(dataset, protocol)), "written": now})

    def run(self, dataset: Part, protocol: Part) -> dict[str, Any]:
        """What the last run under this protocol asked for; empty if there was none."""
        return read_json(self.root / dataset.folder / "runs" / f"{protocol.folder}.json") or {}

    def save_cell(
        self, folder: Path, repeat: int, fold: int, record: Mapping[str, JSON], predictions: pd.DataFrame | None
    ) -> None:
        """predictions: row, patient, fold, view, y:<task>, p:<task>; None for a cell that failed or was declined.

        The record gets `trained`: when the cell was first done, in seconds since 1970.
        """
        stem = folder / cell_name(repeat, fold)
        record = {**record, "trained": _trained(stem.with_suffix(".json"))}
        if predictions is None:
            self._write_json(stem.with_suffix(".json"), {**record, "predictions": None})
            return
        data = packed(predictions)
        for _ in range(9):  # whoever of two writers ends last sees to it that the two files are of one of them
            self._write(stem.with_suffix(".parquet"), data)
            self._write_json(stem.with_suffix(".json"), {**record, "predictions": digest(data)})
            if contents(stem.with_suffix(".parquet"))[0] == data:
                return

    def save_made(self, folder: Path, files: Mapping[str, bytes]) -> None:
        """The files of a cell as another machine wrote them, byte for byte: a name -> the content. The json is written last."""
        for name in sorted(files, key=lambda name: name.endswith(".json")):
            self._write(folder / name, files[name])

    def save_external(self, dataset: Part, name: str, cohort: str, rows: pd.DataFrame) -> str:
        """The rows of another cohort that is predicted, columns as of `cohort.parquet`; where they are, seen from the dataset's folder.

        cohort: its digest. What the file's is stands in a JSON file beside.
        """
        stem, data = f"external/{safe(name)}@{cohort[:8]}", parquet(rows)
        self._write(self.root / dataset.folder / f"{stem}.parquet", data)
        self._write_json(self.root / dataset.folder / f"{stem}.json", {"label": name, "cohort": cohort, "rows": digest(data)})
        return f"{stem}.parquet"

    def predictions(self, folder: Path, repeat: int, fold: int) -> pd.DataFrame | None:
        """Of a cell; None if it has none, is missing or damaged."""
        found = stored_cell(folder, repeat, fold)
        return frame(found[1]) if found is not None and found[1] else None

    def cell(self, folder: Path, repeat: int, fold: int) -> dict[str, Any] | None:
        """The record of a cell; None if it is missing or damaged, and so to be made again."""
        found = stored_cell(folder, repeat, fold)
        return None if found is None else found[0]

    def same_but_code(self, dataset: Part, method: Part) -> list[str]:
        """Folders of the same method and settings made by other code or library versions."""
        wanted = {k: v for k, v in method.identity.items() if k not in ("code", "versions")}
        out: list[str] = []
        for path in sorted((self.root / dataset.folder).glob("*/method.json")):
            found = read_json(path) or {}
            if path.parent.name != method.folder and all(found.get(k) == v for k, v in wanted.items()):
                out.append(path.parent.name)
        return out

    def aside(self) -> Path:
        """A new place for a file that is to be renamed or removed; once its process is dead the next run removes it."""
        return self.root / ".tmp" / aside_name()

    def save_trials(self, folder: Path, repeat: int, fold: int, record: Mapping[str, JSON]) -> None:
        """What tuning has tried for a cell so far, beside the cells."""
        self._write_json(_trials(folder, repeat, fold), {"record": dict(record)})

    def trials(self, folder: Path, repeat: int, fold: int) -> dict[str, Any] | None:
        """The same again; None if it is missing or damaged."""
        return (read_json(_trials(folder, repeat, fold)) or {}).get("record")

    def _write_json(self, path: Path, value: Mapping[str, JSON]) -> None:
        text = json.dumps(sealed({key: finite(part) for key, part in value.items()}), ensure_ascii=False)
        self._write(path, (text + "\n").encode("utf-8", "backslashreplace"))  # half a surrogate pair, as in a file's name

    def _write(self, path: Path, data: bytes) -> None:
        """Write aside and rename: a reader sees the old file or the new one, never a part. Nothing while `looking`."""
        if looks():
            return
        try:
            aside = self.aside()
            aside.parent.mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            aside.write_bytes(data)
            os.replace(aside, path)
        except OSError as error:
            raise BenchError(f"cannot write to the results folder: {error}. What was stored before is kept.") from error

    def _forget_dead_writers(self) -> None:
        if looks():
            return
        for path in (self.root / ".tmp").glob("*-*"):
            if abandoned(path.name):
                path.unlink(missing_ok=True)


def _trials(folder: Path, repeat: int, fold: int) -> Path:
    return folder / "trials" / f"{cell_name(repeat, fold)}.json"


def _trained(path: Path) -> float:
    """Now; of a cell that is made again, for another view say, the time of the first that was done. Older files: their own."""
    before = read_json(path)
    if before is None or before.get("status") != "done":
        return time.time()
    return float(before.get("trained") or path.stat().st_mtime)


def cell_name(repeat: int, fold: int) -> str:
    return f"r{repeat}-f{fold}"


def placed(cell: str) -> tuple[int, int]:
    """Repeat and fold of a cell's name."""
    repeat, _, fold = cell[1:].partition("-f")
    return int(repeat), int(fold)


def task_json(task: Task) -> dict[str, JSON]:
    return {
        "name": task.name, "label": task.label, "kind": task.kind, "implies": list(task.implies), "competing": task.competing,
        "thresholds": list(task.thresholds) if task.thresholds else None,
    }  # fmt: skip


def stored_cell(folder: Path, repeat: int, fold: int) -> tuple[dict[str, Any], bytes] | None:
    """The record of a cell and its parquet (empty if it failed or was declined); None if either is missing or damaged."""
    record, data, fault = checked_cell(folder, repeat, fold)
    return None if fault else (record, data)


def checked_cell(folder: Path, repeat: int, fold: int) -> tuple[dict[str, Any], bytes, Fault | None]:
    """The same, and what is wrong with it."""
    stem = cell_name(repeat, fold)
    record, fault = opened(folder / f"{stem}.json")
    if fault is not None:
        return {}, b"", fault
    if not {"status", "digests", "predictions"} <= set(record):
        return {}, b"", Fault("damaged", "is not the record of a cell")
    if (record.get("repeat", repeat), record.get("fold", fold)) != (repeat, fold):
        return {}, b"", Fault("damaged", f"is the record of another cell, {cell_name(record['repeat'], record['fold'])}")
    if record["predictions"] is None:
        return record, b"", None
    data, fault = contents(folder / f"{stem}.parquet")
    if fault is not None:
        return (
            {},
            b"",
            Fault("unreadable" if fault.kind == "unreadable" else "damaged", f"has predictions, but {stem}.parquet {fault.text}"),
        )
    if digest(data) != record["predictions"]:
        return {}, b"", Fault("damaged", f"has a checksum that {stem}.parquet does not match")
    return record, data, None
