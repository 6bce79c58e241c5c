"""Many cells of a method that costs nothing: what a cell costs beside its training, and whether memory stays flat.

`python tests/benchmarks/load.py [--repeats 400] [--workers 2] [--dataset surgical:n=600]`: the real command, 5 folds, the prevalence as
prediction. Prints seconds until the first cell (imports, cohort, splits, plan), of the cells and of the report, cells a second, and the
resident memory of the parent and its workers early and late. A second run of the same command shows what a plan costs whose cells
are all stored.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--dataset", default="surgical:n=600")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "bench", "run", "--dataset", given.dataset, "--methods", "constant", "--folds", "5",
            "--repeats", str(given.repeats), "--workers", str(given.workers),
        ]  # fmt: skip
        first = measured(command, Path(folder))
        print(
            f"{first['cells']} cells, {given.workers} workers: {first['total']:.1f} s in all, {first['cpu']:.1f} s of processor time"
        )
        print(f"  before the first cell {first['before']:.1f} s, cells {first['during']:.1f} s, report {first['after']:.1f} s")
        print(f"  {first['cells'] / max(first['during'], 1e-9):.1f} cells a second")
        for name, sizes in first["held"].items():
            tenth = max(1, len(sizes) // 10)
            early, late = sizes[tenth : 2 * tenth] or sizes, sizes[-tenth:]
            print(
                f"  {name}: {max(early) / 2**20:.0f} MiB early, {max(late) / 2**20:.0f} MiB late, {max(sizes) / 2**20:.0f} MiB at most"
            )
        again = measured(command, Path(folder))
        print(f"again, all stored: {again['total']:.1f} s")


def measured(command: list[str], folder: Path) -> dict[str, object]:
    """Run it, with the moments of its first and last cell and its processes' memory while cells are run."""
    start = time.perf_counter()
    moments: list[float] = []
    held: dict[str, list[int]] = {}
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    watcher = threading.Thread(target=watch, args=(process, moments, held), daemon=True)
    watcher.start()
    assert process.stdout is not None
    for line in process.stdout:
        if re.match(r"\[\d+/\d+\]", line):
            moments.append(time.perf_counter() - start)
    if process.wait():
        sys.exit(f"the command ended with {process.returncode}")
    total = time.perf_counter() - start
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    first, last = (moments[0], moments[-1]) if moments else (total, total)
    return {
        "cells": len(moments), "total": total, "before": first, "during": last - first, "after": total - last, "held": held,
        "cpu": spent.ru_utime + spent.ru_stime - before.ru_utime - before.ru_stime,
    }  # fmt: skip


def watch(process: "subprocess.Popen[str]", moments: list[float], held: dict[str, list[int]]) -> None:
    """Every half second while cells are run: the parent, and the sum of its workers."""
    parent = psutil.Process(process.pid)
    while process.poll() is None:
        time.sleep(0.5)
        try:
            if moments:
                workers = sum(child.memory_info().rss for child in parent.children())
                held.setdefault("parent", []).append(parent.memory_info().rss)
                if workers:
                    held.setdefault("workers", []).append(workers)
        except psutil.Error:
            continue


if __name__ == "__main__":
    main()
