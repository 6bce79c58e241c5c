"""results/: one cell is one parquet of predictions and one json. Written aside, then renamed; read by anyone with pandas.

    results/<dataset>@<h8>/dataset.json, cohort.parquet
    results/<dataset>@<h8>/<method>@<h8>/method.json
    results/<dataset>@<h8>/<method>@<h8>/<protocol>@<h8>/protocol.json, r0-f3.json, r0-f3.parquet
    results/<dataset>@<h8>/runs/<protocol>@<h8>.json       which methods the last run asked for, and the split receipt

h8 is a hash of the canonical JSON that stands beside. A cell counts once its json is there; the json is written last.
"""

import hashlib
import io
import json
import math
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.core import JSON, BenchError, Task


def canonical(value: JSON) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def safe(label: str) -> str:
    """A label as a file name on every system."""
    return re.sub(r"[^A-Za-z0-9_.=+-]", "_", label)


def named(label: str, value: JSON) -> str:
    """`label@h8`, a folder name."""
    return f"{safe(label)}@{hashlib.sha256(canonical(value).encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Part:
    """A dataset, a method or a protocol as the store knows it: a label, and the JSON that its hash is of."""

    label: str
    identity: Mapping[str, JSON]

    @property
    def folder(self) -> str:
        return named(self.label, self.identity)


@dataclass(frozen=True)
class Results:
    """What a report is made of. Columns of the frames: see `read`.

    receipt: of the splits, as `bench.splits.receipt` made it. made: a method's label -> settings, versions, code, adapted: name ->
    text, see `bench.cards.adapted`. environment: of the cells: python, platform, bench. digest: of the cohort. others: methods with
    results under the same protocol that are not shown. Each is empty where the folder does not say.
    """

    dataset: str
    note: str
    quick: bool
    tasks: tuple[Task, ...]
    protocol: Mapping[str, JSON]
    reference: str
    cohort: pd.DataFrame
    methods: tuple[str, ...]
    groups: Mapping[str, str]
    predictions: pd.DataFrame
    cells: pd.DataFrame
    receipt: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    others: tuple[str, ...] = ()


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
            self._write(folder / "cohort.parquet", _parquet(cohort))
        self._forget_dead_writers()

    def describe(self, dataset: Part, method: Part, protocol: Part, about: Mapping[str, JSON]) -> None:
        """Put the JSON behind the hashes beside a method's cells."""
        folder = self.path(dataset, method, protocol)
        self._write_json(folder.parent / "method.json", {**method.identity, **about, "label": method.label})
        self._write_json(folder / "protocol.json", {**protocol.identity, "label": protocol.label})

    def note(self, folder: Path, code: JSON, about: Mapping[str, JSON]) -> None:
        """Add to the method.json of a folder of cells what their hash is not of. Cells of other code than this are left alone."""
        found = _read_json(folder.parent / "method.json") or {}
        if found.get("code") == code:
            self._write_json(folder.parent / "method.json", {**found, **about})

    def save_run(self, dataset: Part, protocol: Part, record: Mapping[str, JSON]) -> None:
        self._write_json(self.root / dataset.folder / "runs" / f"{protocol.folder}.json", record)

    def run(self, dataset: Part, protocol: Part) -> dict[str, Any]:
        """What the last run under this protocol asked for; empty if there was none."""
        return _read_json(self.root / dataset.folder / "runs" / f"{protocol.folder}.json") or {}

    def save_cell(
        self, folder: Path, repeat: int, fold: int, record: Mapping[str, JSON], predictions: pd.DataFrame | None
    ) -> None:
        """predictions: row, patient, fold, view, y:<task>, p:<task>; None for a cell that failed or was declined."""
        stem = cell_name(repeat, fold)
        digest = None
        if predictions is not None:
            data = _parquet(predictions)
            digest = hashlib.sha256(data).hexdigest()
            self._write(folder / f"{stem}.parquet", data)
        self._write_json(folder / f"{stem}.json", {**record, "predictions": digest})

    def cell(self, folder: Path, repeat: int, fold: int) -> dict[str, Any] | None:
        """The record of a cell; None if it is missing or damaged, and so to be made again."""
        found = _cell(folder, repeat, fold)
        return None if found is None else found[0]

    def same_but_code(self, dataset: Part, method: Part) -> list[str]:
        """Folders of the same method and settings made by other code or library versions."""
        wanted = {k: v for k, v in method.identity.items() if k not in ("code", "versions")}
        out: list[str] = []
        for path in sorted((self.root / dataset.folder).glob("*/method.json")):
            found = _read_json(path) or {}
            if path.parent.name != method.folder and all(found.get(k) == v for k, v in wanted.items()):
                out.append(path.parent.name)
        return out

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
            if not _alive(int(path.name.split("-")[0])):
                path.unlink(missing_ok=True)


def cell_name(repeat: int, fold: int) -> str:
    return f"r{repeat}-f{fold}"


def read(
    root: Path, dataset: str, *, quick: bool = False, methods: Sequence[str] | None = None, reference: str | None = None
) -> Results:
    """The newest run of a dataset (its label or folder name), from the files alone. methods: those it asked for if None;
    ["all"]: every one stored under its protocol. Of methods that are named: the repeats that all of them have.

    cohort: row, patient, group, site, time, weight:<task>, truth:<task> where there are any.
    predictions: method, repeat, fold, row, view, y:<task>, p:<task>.
    cells: method, repeat, fold, status, seconds, peak_mb, joules (None: the machine does not tell), facts, alarms, error.
    """
    path = _newest_run(root, dataset, quick)
    run = _loaded(path)
    about = _loaded(path.parent.parent / "dataset.json")
    labels = list(dict.fromkeys(run["asked"] if methods is None else run["methods"] if methods == ["all"] else methods))
    if not labels:
        raise BenchError(f"no method given; there are stored results of: {', '.join(run['methods'])}")
    if unknown := ", ".join(label for label in labels if label not in run["methods"]):
        raise BenchError(f"no stored results of {unknown} in {path.parent.parent}; there are: {', '.join(run['methods'])}")
    if methods is not None:
        run["repeats"] = min(run["methods"][label].get("repeats", run["repeats"]) for label in labels)
    cells, frames = _cells(path, run, labels)
    folders = {label: path.parent.parent / run["methods"][label]["folder"] for label in labels}
    chosen = reference or (run["reference"] if run["reference"] in labels else labels[0])
    if chosen not in labels:
        raise BenchError(f"the reference must be one of the methods in the table ({', '.join(labels)}), but is '{chosen}'")
    return Results(
        dataset=about["label"],
        note=about["note"],
        quick=run["protocol"]["quick"],
        tasks=tuple(_task(task) for task in about["tasks"]),
        protocol={**run["protocol"], "repeats": run["repeats"]},
        reference=chosen,
        cohort=_frame(path.parent.parent / "cohort.parquet"),
        methods=tuple(labels),
        groups={label: run["methods"][label]["family"] for label in labels},
        predictions=pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"method": pd.Series(dtype=str)}),
        cells=pd.DataFrame(cells).drop(columns="environment"),
        receipt=run.get("receipt", {}),
        made={label: _made(folder) for label, folder in folders.items()},
        environment={key: value for cell in cells for key, value in cell["environment"].items()},
        digest=about.get("digest", ""),
        others=tuple(label for label in run["methods"] if label not in labels),
    )


def labels(root: Path, quick: bool) -> dict[str, list[str]]:
    """A dataset's label or folder name -> the methods of its newest run."""
    return {name: list((_read_json(path) or {}).get("methods", {})) for name, path in _newest_runs(root, quick).items()}


def _newest_runs(root: Path, quick: bool) -> dict[str, Path]:
    """A dataset's label, and its folder's name -> its newest run."""
    found: dict[str, Path] = {}
    for path in sorted(root.glob("*/runs/*.json"), key=lambda p: (p.stat().st_mtime_ns, str(p))):
        about, run = _read_json(path.parent.parent / "dataset.json") or {}, _read_json(path) or {"protocol": {}}
        if "label" in about and run["protocol"].get("quick") == quick:
            found |= {about["label"]: path, path.parent.parent.name: path}
    return found


def _newest_run(root: Path, dataset: str, quick: bool) -> Path:
    found = _newest_runs(root, quick)
    if dataset not in found:
        there = sorted(name for name, path in found.items() if name != path.parent.parent.name)
        if dataset in _newest_runs(root, not quick):
            hint = f"There are some of a {'whole run: leave out' if quick else 'quick look: add'} --quick."
        elif there:
            hint = f"There are: {', '.join(there)}."
        else:
            hint = f"`bench run --dataset {dataset}{' --quick' if quick else ''}` makes them."
        raise BenchError(f"no {'quick ' if quick else ''}results of '{dataset}' in {root}. {hint}")
    return found[dataset]


_MISSING: dict[str, Any] = {
    "status": "failed", "seconds": math.nan, "peak_mb": math.nan, "joules": None, "facts": {}, "alarms": [],
    "environment": {}, "error": "missing or damaged; the same `bench run` makes it again",
}  # fmt: skip


def _cells(path: Path, run: Mapping[str, Any], labels: Sequence[str]) -> tuple[list[dict[str, Any]], list[pd.DataFrame]]:
    """Records of the planned cells (a cell that is lost or not there counts as failed) and the predictions of those that are done."""
    records: list[dict[str, Any]] = []
    frames: list[pd.DataFrame] = []
    for label in labels:
        folder = path.parent.parent / run["methods"][label]["folder"] / path.stem
        for repeat in range(run["repeats"]):
            for fold in range(run["protocol"]["folds"]):
                record, data = _cell(folder, repeat, fold) or (_MISSING, b"")
                kept = {key: record.get(key, value) for key, value in _MISSING.items()}
                kept["status"] = "failed" if record["status"] == "lost" else record["status"]
                records.append({"method": label, "repeat": repeat, "fold": fold, **kept})
                if data:
                    frame = pd.read_parquet(io.BytesIO(data)).drop(columns="patient")
                    frames.append(frame.assign(method=label, repeat=repeat))
    return records, frames


def _made(folder: Path) -> dict[str, Any]:
    about = _read_json(folder / "method.json") or {}
    return {key: about[key] for key in ("settings", "versions", "code", "adapted") if key in about}


def task_json(task: Task) -> dict[str, JSON]:
    return {
        "name": task.name, "label": task.label, "kind": task.kind, "implies": list(task.implies), "competing": task.competing,
        "thresholds": list(task.thresholds) if task.thresholds else None,
    }  # fmt: skip


def _task(value: Mapping[str, Any]) -> Task:
    limits = value["thresholds"]
    fields: dict[str, Any] = {**value, "implies": tuple(value["implies"]), "thresholds": tuple(limits) if limits else None}
    return Task(**fields)


def finite(value: Any) -> JSON:
    """JSON has no NaN and no numpy: NaN and infinities become null, numpy's numbers and arrays plain ones. Else a BenchError."""
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    if isinstance(value, np.generic | np.ndarray):
        return finite(value.tolist())
    if value is not None and not isinstance(value, bool | int | float | str):
        raise BenchError(f"a fact must be a number, a text, or a list or mapping of such, but is a {type(value).__name__}")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def _read_json(path: Path) -> dict[str, Any] | None:
    """What a file of ours holds; None if it is missing or damaged."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _cell(folder: Path, repeat: int, fold: int) -> tuple[dict[str, Any], bytes] | None:
    """The record of a cell and its parquet (empty if it failed or was declined); None if either is missing or damaged."""
    record = _read_json(folder / f"{cell_name(repeat, fold)}.json")
    if record is None or not {"status", "digests", "predictions"} <= set(record):
        return None
    if record["predictions"] is None:
        return record, b""
    try:
        data = (folder / f"{cell_name(repeat, fold)}.parquet").read_bytes()
    except OSError:
        return None
    return (record, data) if hashlib.sha256(data).hexdigest() == record["predictions"] else None


def _frame(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError):  # what pyarrow raises for a damaged file is a ValueError
        raise BenchError(f"{path} is missing or damaged; `bench run` writes it") from None


def _loaded(path: Path) -> dict[str, Any]:
    found = _read_json(path)
    if found is None:
        raise BenchError(f"{path} is missing or damaged; `bench run` writes it")
    return found


def _alive(pid: int) -> bool:
    """Whether a process still runs: one that was killed but not yet collected by its parent writes no more."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's process, or a system without /proc
        return True
