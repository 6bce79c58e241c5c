"""Time `bench report`, all of it, and weigh index.html: `python tests/benchmarks/report.py`.

The results folder is written by hand from random numbers: 25 methods, 4 outcomes, 5 folds, 12,430 patients with validation rows, a
site and two subgroups. The command runs in a process of its own, so that its imports count; 2,000 resamples unless told otherwise.
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

N, PREVALENCE, METHODS, FOLDS = 12_430, np.array([0.18, 0.09, 0.05, 0.03]), 25, 5
TASKS = tuple(f"outcome_{t}" for t in range(len(PREVALENCE)))
NAMES = ("single_task", "logistic", *(f"method_{m}" for m in range(METHODS - 2)))
FAMILIES = ("single-task", "linear", "trees", "tabular deep", "sharing", "balancing", "the papers'")
DATASET = "random"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--resamples", type=int, default=2000)
    resamples = parser.parse_args().resamples
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "results")
        command = [sys.executable, "-m", "bench", "report", "--dataset", DATASET, "--results", "results", "--reports", "reports"]
        start = time.perf_counter()
        done = subprocess.run([*command, "--resamples", str(resamples)], cwd=folder, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        files = [path for path in (Path(folder) / "reports").rglob("*") if path.is_file()]
        page = next(path for path in files if path.name == "index.html")
        print(
            f"bench report, {METHODS} methods x {len(TASKS)} outcomes x {FOLDS} folds, n = {N:,}, {resamples:,} resamples: "
            f"{seconds:.1f} s ({used.ru_utime + used.ru_stime:.1f} s of work) on {len(os.sched_getaffinity(0))} processors, load "
            f"{os.getloadavg()[0]:.1f}, {used.ru_maxrss / 1024:,.0f} MB; index.html "
            f"{page.stat().st_size / 1e6:.2f} MB; {len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB"
        )


def write(root: Path) -> None:
    """A whole results folder. The first method is the reference; scores are a risk shared by all, and noise of each method's own."""
    store, rng = Store(root), np.random.default_rng(0)
    y = (rng.random((N, len(TASKS))) < PREVALENCE).astype(np.float32)
    shared = 1.5 * y + rng.normal(size=y.shape)
    fold = rng.permutation(np.arange(N) % FOLDS)
    dataset, protocol = (
        Part(DATASET, {"dataset": DATASET, "dials": {}, "digest": "none"}),
        Part("cv5", {"folds": FOLDS, "seed": 0, "quick": False}),
    )
    outcomes: list[JSON] = [task_json(Task(name, thresholds=(0.05, 0.4) if t == 0 else None)) for t, name in enumerate(TASKS)]
    store.open(dataset, cohort(rng), {"tasks": outcomes, "note": ""})
    folders: dict[str, JSON] = {}
    for m, name in enumerate(NAMES):
        method, family = Part(name, {"method": name, "settings": {}, "code": "none", "versions": {}}), FAMILIES[m % len(FAMILIES)]
        store.describe(dataset, method, protocol, {"family": family})
        folder = store.path(dataset, method, protocol)
        folders[name] = {"folder": folder.parent.name, "family": family}
        logit = shared + rng.normal(size=y.shape) * (1 + m / METHODS) + np.log(PREVALENCE) - 1
        p = (1 / (1 + np.exp(-logit))).astype(np.float32)
        for f in range(FOLDS):
            store.save_cell(folder, 0, f, record(name, f), predictions(y, p, fold, f))
    run: dict[str, JSON] = {
        "asked": list(NAMES), "methods": folders, "reference": NAMES[0], "protocol": dict(protocol.identity), "repeats": 1
    }  # fmt: skip
    store.save_run(dataset, protocol, run)


def cohort(rng: np.random.Generator) -> pd.DataFrame:
    ids = np.arange(N).astype(str)
    groups = {
        "site": rng.choice(["A", "B", "C"], N),
        "subgroup:sex": rng.choice(["f", "m"], N),
        "subgroup:age": rng.integers(18, 95, N),
    }
    return pd.DataFrame({"row": np.arange(N), "patient": ids, "group": ids} | groups)


def predictions(y: np.ndarray, p: np.ndarray, fold: np.ndarray, f: int) -> pd.DataFrame:
    """Rows of the fold are tested; 15 % of the others, every seventh, validate."""
    parts: list[pd.DataFrame] = []
    for view, rows in (("test", np.flatnonzero(fold == f)), ("valid", np.flatnonzero(fold != f)[::7])):
        columns = {f"{kind}:{task}": values[rows, t] for t, task in enumerate(TASKS) for kind, values in (("y", y), ("p", p))}
        about = {"row": rows, "patient": rows.astype(str), "fold": np.int16(f), "view": view}
        parts.append(pd.DataFrame(about | columns))
    return pd.concat(parts, ignore_index=True)


def record(method: str, fold: int) -> dict[str, JSON]:
    return {
        "method": method, "repeat": 0, "fold": fold, "status": "done", "error": "", "seconds": 10.0 + fold, "peak_mb": 500.0, "joules": None,
        "facts": {"parameters": 20_000, "steps": 800, "at_cap": False}, "alarms": [], "environment": {"python": "3.11"},
        "digests": {"cohort": "none", "split": "none"},
    }  # fmt: skip


if __name__ == "__main__":
    main()
