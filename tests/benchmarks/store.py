"""Time what reads a whole results folder: `python tests/benchmarks/store.py`.

200 methods x 20 repeats x 5 folds = 20,000 cells of a made-up dataset, 500 patients, 4 outcomes: 100 test and 60 validation rows a cell.
Each step runs in a process of its own; seconds by the clock and of work, and memory, all with the imports.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from bench.core import JSON, Task
from bench.store import Part, Store, task_json

N, REPEATS, FOLDS = 500, 20, 5
TASKS = tuple(f"outcome_{t}" for t in range(4))
DATASET = Part("many", {"dataset": "many", "dials": {}, "digest": "none"})
PROTOCOL = Part("cv5", {"folds": FOLDS, "seed": 0, "quick": False})
READ = "from bench import store; from pathlib import Path; r = store.read(Path('results'), 'many'); assert len(r.cells) == {cells}, len(r.cells)"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--methods", type=int, default=200)
    methods = parser.parse_args().methods
    cells = methods * REPEATS * FOLDS
    bench = [sys.executable, "-m", "bench", "results"]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write(Path(folder) / "results", methods)
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        print(
            f"{cells:,} cells, {len(files):,} files, {sum(path.stat().st_size for path in files) / 1e6:.0f} MB, written in "
            f"{time.perf_counter() - start:.1f} s; {len(os.sched_getaffinity(0))} processors, load {os.getloadavg()[0]:.1f}"
        )
        timed(folder, "read (all that a report needs)", [sys.executable, "-c", READ.format(cells=cells)])
        timed(folder, "results list", [*bench, "list", "--json"])
        timed(folder, "results verify", [*bench, "verify"])
        timed(folder, "results clean", [*bench, "clean"])
        timed(folder, "results export", [*bench, "export", "all.parquet"])
        timed(folder, "results export --scores", [*bench, "export", "scores.parquet", "--scores"])


def timed(folder: str, name: str, command: list[str]) -> None:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr)
    work = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{name:32} {seconds:6.1f} s, {work:5.1f} s of work, at most {after.ru_maxrss / 1024:,.0f} MB so far", flush=True)


def write(root: Path, methods: int) -> None:
    store, rng = Store(root), np.random.default_rng(0)
    ids = np.arange(N).astype(str)
    outcomes: list[JSON] = [task_json(Task(name)) for name in TASKS]
    store.open(DATASET, pd.DataFrame({"row": np.arange(N), "patient": ids, "group": ids}), {"tasks": outcomes, "note": ""})
    y = (rng.random((N, len(TASKS))) < 0.2).astype(np.float32)
    fold = rng.permutation(np.arange(N) % FOLDS)
    folders: dict[str, JSON] = {}
    for m in range(methods):
        method = Part(f"method_{m}", {"method": f"method_{m}", "settings": {}, "code": "none", "versions": {}})
        store.describe(DATASET, method, PROTOCOL, {"family": "none"})
        folder = store.path(DATASET, method, PROTOCOL)
        folders[method.label] = {"folder": folder.parent.name, "family": "none", "repeats": REPEATS}
        p = rng.random((N, len(TASKS))).astype(np.float32)
        made = [predictions(y, p, fold, f) for f in range(FOLDS)]
        for repeat in range(REPEATS):
            for f in range(FOLDS):
                store.save_cell(folder, repeat, f, record(method.label, repeat, f), made[f])
    run: dict[str, JSON] = {
        "asked": list(folders), "methods": folders, "reference": "method_0", "protocol": dict(PROTOCOL.identity), "repeats": REPEATS,
    }  # fmt: skip
    store.save_run(DATASET, PROTOCOL, run)


def predictions(y: np.ndarray, p: np.ndarray, fold: np.ndarray, f: int) -> pd.DataFrame:
    parts: list[pd.DataFrame] = []
    for view, rows in (("test", np.flatnonzero(fold == f)), ("valid", np.flatnonzero(fold != f)[:60])):
        columns = {f"{kind}:{task}": values[rows, t] for t, task in enumerate(TASKS) for kind, values in (("y", y), ("p", p))}
        parts.append(pd.DataFrame({"row": rows, "patient": rows.astype(str), "fold": np.int16(f), "view": view} | columns))
    return pd.concat(parts, ignore_index=True)


def record(method: str, repeat: int, fold: int) -> dict[str, JSON]:
    scores: list[JSON] = [0.7 - 0.001 * step for step in range(30)]
    return {
        "method": method, "repeat": repeat, "fold": fold, "status": "done", "error": "", "seconds": 10.0 + fold, "peak_mb": 500.0,
        "joules": None, "facts": {"parameters": 20_000, "steps": 800, "at_cap": False, "scores": scores}, "alarms": [],
        "environment": {"python": "3.11"}, "digests": {"cohort": "none", "split": "none"}, "settings": {"width": 64, "rate": 0.001},
        "versions": {"torch": "2", "numpy": "2"}, "code": "none",
    }  # fmt: skip


if __name__ == "__main__":
    main()
