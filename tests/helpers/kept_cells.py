"""A small results folder written by hand: no method, no training."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.core import JSON, Task
from bench.store import Part, Store, task_json
from bench.store.files import sealed

DATASET = Part("demo:n=40", {"dataset": "demo", "dials": {"n": 40}, "digest": "d"})
PROTOCOL = Part("cv2", {"folds": 2, "seed": 0, "quick": False})
QUICK = Part("quick-cv2", {"folds": 2, "seed": 0, "quick": True})
TASKS = ("death", "stroke")
N = 40


def method(label: str, code: str = "new") -> Part:
    return Part(label, {"method": label, "settings": {}, "code": code, "versions": {}})


def record(label: str, fold: int, status: str = "done") -> dict[str, JSON]:
    return {
        "method": label, "repeat": 0, "fold": fold, "status": status, "error": "" if status == "done" else "why", "seconds": 1.0,
        "peak_mb": 1.0, "joules": None, "facts": {"steps": 7}, "alarms": [], "environment": {}, "digests": {"cohort": "d", "split": "s"},
        **({} if label == "poor" else {"predict_seconds": 0.25}),  # poor: as before it was stored
    }  # fmt: skip


def predictions(fold: int, noise: float = 0.5) -> pd.DataFrame:
    rng = np.random.default_rng(fold)
    frames: list[pd.DataFrame] = []
    for view, rows in (("test", np.arange(fold, N, 2)), ("valid", np.arange(1 - fold, N, 4))):
        about: dict[str, Any] = {"row": rows, "patient": [f"p{row}" for row in rows], "fold": np.int16(fold), "view": view}
        for task in TASKS:
            y = (rng.random(len(rows)) < 0.4).astype(np.float32)
            y[:2] = 0, 1
            about |= {f"y:{task}": y, f"p:{task}": ((y + noise) / (1 + 2 * noise)).astype(np.float32)}
        frames.append(pd.DataFrame(about))
    return pd.concat(frames, ignore_index=True)


def fill(
    root: Path, names: tuple[str, ...] = ("good", "poor"), protocol: Part = PROTOCOL, code: str = "new", external: bool = False
) -> Store:
    """Two folds of each method, and the record of the run."""
    store = Store(root)
    ids = np.arange(N)
    store.open(
        DATASET,
        pd.DataFrame({"row": ids, "patient": [f"p{i}" for i in ids], "group": ids}),
        {"tasks": [task_json(Task(t)) for t in TASKS], "note": ""},
    )
    folders: dict[str, JSON] = {}
    for name in names:
        part = method(name, code)
        store.describe(DATASET, part, protocol, {"family": "any"})
        folder = store.path(DATASET, part, protocol)
        folders[name] = {"folder": folder.parent.name, "family": "any", "repeats": 1}
        for fold in range(2):
            store.save_cell(folder, 0, fold, record(name, fold), predictions(fold))
    run: dict[str, JSON] = {
        "asked": list(names),
        "methods": folders,
        "reference": names[0],
        "protocol": dict(protocol.identity),
        "repeats": 1,
    }
    if external:
        run["external"] = {
            "there": store.save_external(DATASET, "there", "abcdef0123", pd.DataFrame({"row": ids, "patient": ids}))
        }
    store.save_run(DATASET, protocol, run)
    return store


def cell(root: Path, name: str = "good", fold: int = 0, kind: str = "json") -> Path:
    """Where a cell of the newest code is."""
    return root / DATASET.folder / method(name).folder / PROTOCOL.folder / f"r0-f{fold}.{kind}"


def rewritten(path: Path, **changes: JSON) -> None:
    """Another content with a checksum of its own."""
    path.write_text(json.dumps(sealed({**json.loads(path.read_text("utf-8")), **changes})), "utf-8")


def flipped(path: Path, place: int) -> None:
    """One bit of the file."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def snapshot(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
