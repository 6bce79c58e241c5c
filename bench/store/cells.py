"""Where a run's cells are written: aside, then renamed."""

import hashlib
import io
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.core import JSON, BenchError, Task
from bench.store.files import alive, canonical, finite, named, parquet, read_json, safe


@dataclass(frozen=True)
class Part:
    """A dataset, a method or a protocol as the store knows it: a label, and the JSON that its hash is of."""

    label: str
    identity: Mapping[str, JSON]

    @property
    def folder(self) -> str:
        return named(self.label, self.identity)


@dataclass(frozen=True)
class Store:
    """A results folder."""

    root: Path

    def path(self, dataset: Part, method: Part, protocol: Part) -> Path:
        """The folder of a method's cells."""
        return self.root / dataset.folder / method.folder / protocol.folder

    def open(self, dataset: Part, cohort: pd.DataFrame | None, about: Mapping[str, JSON]) -> None:
        """Make the folder of a dataset. `about` is stored beside the identity; cohort: row, patient, group, ...; None of draws."""
        folder = self.root / dataset.folder
        self._write_json(folder / "dataset.json", {**dataset.identity, **about, "label": dataset.label})
        if cohort is not None:
            self._write(folder / "cohort.parquet", parquet(cohort))
        self._forget_dead_writers()

    def describe(self, dataset: Part, method: Part, protocol: Part, about: Mapping[str, JSON]) -> None:
        """Put the JSON behind the hashes beside a method's cells."""
        folder = self.path(dataset, method, protocol)
        self._write_json(folder.parent / "method.json", {**method.identity, **about, "label": method.label})
        self._write_json(folder / "protocol.json", {**protocol.identity, "label": protocol.label})

    def note(self, folder: Path, code: JSON, about: Mapping[str, JSON]) -> None:
        """Add to the method.json of a folder of cells what their hash is not of. Cells of other code than this are left alone."""
        found = read_json(folder.parent / "method.json") or {}
        if found.get("code") == code:
            self._write_json(folder.parent / "method.json", {**found, **about})

    def save_run(self, dataset: Part, protocol: Part, record: Mapping[str, JSON]) -> None:
        self._write_json(self.root / dataset.folder / "runs" / f"{protocol.folder}.json", record)

    def run(self, dataset: Part, protocol: Part) -> dict[str, Any]:
        """What the last run under this protocol asked for; empty if there was none."""
        return read_json(self.root / dataset.folder / "runs" / f"{protocol.folder}.json") or {}

    def save_cell(
        self, folder: Path, repeat: int, fold: int, record: Mapping[str, JSON], predictions: pd.DataFrame | None
    ) -> None:
        """predictions: row, patient, fold, view, y:<task>, p:<task>; None for a cell that failed or was declined."""
        stem = cell_name(repeat, fold)
        digest = None
        if predictions is not None:
            data = parquet(predictions)
            digest = hashlib.sha256(data).hexdigest()
            self._write(folder / f"{stem}.parquet", data)
        self._write_json(folder / f"{stem}.json", {**record, "predictions": digest})

    def save_external(self, dataset: Part, name: str, digest: str, rows: pd.DataFrame) -> str:
        """The rows of another cohort that is predicted, columns as of `cohort.parquet`; where they are, seen from the dataset's folder."""
        file = f"external/{safe(name)}@{digest[:8]}.parquet"
        self._write(self.root / dataset.folder / file, parquet(rows))
        return file

    def predictions(self, folder: Path, repeat: int, fold: int) -> pd.DataFrame | None:
        """Of a cell; None if it has none, is missing or damaged."""
        found = stored_cell(folder, repeat, fold)
        return pd.read_parquet(io.BytesIO(found[1])) if found is not None and found[1] else None

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

    def save_trials(self, folder: Path, repeat: int, fold: int, record: Mapping[str, JSON]) -> None:
        """What tuning has tried for a cell so far, beside the cells, with a hash of itself."""
        self._write_json(_trials(folder, repeat, fold), {"record": record, "sha256": _digest(finite(record))})

    def trials(self, folder: Path, repeat: int, fold: int) -> dict[str, Any] | None:
        """The same again; None if it is missing or damaged."""
        found = read_json(_trials(folder, repeat, fold)) or {}
        record = found.get("record")
        return record if isinstance(record, dict) and found.get("sha256") == _digest(record) else None

    def _write_json(self, path: Path, value: Mapping[str, JSON]) -> None:
        self._write(path, (json.dumps(finite(value), ensure_ascii=False) + "\n").encode())

    def _write(self, path: Path, data: bytes) -> None:
        """Write aside and rename: a reader sees the old file or the new one, never a part."""
        try:
            aside = self.root / ".tmp" / f"{os.getpid()}-{uuid.uuid4().hex}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            aside.write_bytes(data)
            os.replace(aside, path)
        except OSError as error:
            raise BenchError(f"cannot write to the results folder: {error}. What was stored before is kept.") from error

    def _forget_dead_writers(self) -> None:
        for path in (self.root / ".tmp").glob("*-*"):
            if not alive(int(path.name.split("-")[0])):
                path.unlink(missing_ok=True)


def _trials(folder: Path, repeat: int, fold: int) -> Path:
    return folder / "trials" / f"{cell_name(repeat, fold)}.json"


def _digest(record: JSON) -> str:
    return hashlib.sha256(canonical(record).encode()).hexdigest()


def cell_name(repeat: int, fold: int) -> str:
    return f"r{repeat}-f{fold}"


def task_json(task: Task) -> dict[str, JSON]:
    return {
        "name": task.name, "label": task.label, "kind": task.kind, "implies": list(task.implies), "competing": task.competing,
        "thresholds": list(task.thresholds) if task.thresholds else None,
    }  # fmt: skip


def stored_cell(folder: Path, repeat: int, fold: int) -> tuple[dict[str, Any], bytes] | None:
    """The record of a cell and its parquet (empty if it failed or was declined); None if either is missing or damaged."""
    record = read_json(folder / f"{cell_name(repeat, fold)}.json")
    if record is None or not {"status", "digests", "predictions"} <= set(record):
        return None
    if record["predictions"] is None:
        return record, b""
    try:
        data = (folder / f"{cell_name(repeat, fold)}.parquet").read_bytes()
    except OSError:
        return None
    return (record, data) if hashlib.sha256(data).hexdigest() == record["predictions"] else None
