"""What 50 datasets x 40 methods x 50 cells would take besides training: planning, storing, reading, and the scheduler's own work.

    python tests/benchmarks/plan.py [--methods 10] [--repeats 2] [--tasks 5000] [--n 12430]

Stand-in cells: a method that trains in no time, on the full synthetic cohort, stored and read as any cell. The scheduler is a real one
with two worker processes; a task does nothing but carries what a cell's does. Everything is measured per cell and multiplied.
Times are of the processor, so that a busy machine does not change them; the scheduler's are with the client's, which it shares a process with.
"""

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from distributed import Client, LocalCluster, as_completed

from bench import harness, registry, store
from bench.cohorts import parcel
from bench.execute.cluster import AHEAD
from bench.jobs import Job, loaded, run_cell
from bench.protocol import Protocol

GUESS = Path(__file__).parent.parent / "plugins" / "guess.py"
DATASETS, METHODS, CELLS = 50, 40, 50


def nothing(content: object) -> int:
    return len(str(content))


def scheduled(job: Job, tasks: int) -> tuple[float, float]:
    """Tasks a second of one processor: handed out a few per thread as `bench.execute.cluster` does, and all at once."""
    content = {"job": job.json(), "limits": {}, "versions": {f"library{i}": "1.2.3" for i in range(12)}}
    rates: list[float] = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=4, dashboard_address=None, silence_logs=logging.CRITICAL) as cluster,
        Client(cluster) as client,
    ):
        for ahead in (AHEAD * 8, tasks):
            start, left = time.process_time(), iter(range(tasks))
            first = [
                client.submit(nothing, content, key=f"{ahead}-{i}", pure=False) for i, _ in zip(range(ahead), left, strict=False)
            ]
            done = as_completed(first)
            for future in done:
                future.result()
                for i in left:
                    done.add(client.submit(nothing, content, key=f"{ahead}-{i}", pure=False))
                    break
            rates.append(tasks / (time.process_time() - start))
    return rates[0], rates[1]


@dataclass(frozen=True)
class Table:
    """What was measured on some stand-in cells, and what it comes to for all of the plan. took: processor seconds by what they were for.

    one: cells of the plan of one method. size, parcel: bytes of the folder and of a cohort that is sent. files: in the folder.
    """

    cells: int
    one: int
    took: Mapping[str, float]
    size: int
    files: int
    parcel: int

    def show(self, n: int, job: Job, rates: tuple[float, float]) -> None:
        cells, took, size = self.cells, self.took, self.size
        few, many = rates
        whole = DATASETS * METHODS * CELLS
        print(f"stand-in cells: {cells}, {n:,} rows, 4 outcomes; {whole:,} cells are {DATASETS} x {METHODS} x {CELLS}")
        print(f"{'':38}{'a dataset':>12}{'a cell':>13}{f'{whole:,} cells':>18}")
        rows = {"planning, nothing stored": ("plan one", "plan"), "planning, everything stored": ("plan one again", "plan again")}
        for what, (least, most) in rows.items():
            each = (took[most] - took[least]) / (cells - self.one)
            fixed = took[least] - self.one * each
            print(f"{what:38}{fixed:10.2f} s{1000 * each:10.2f} ms{(DATASETS * fixed + whole * each) / 60:14.1f} min")
        for what, name in (("a cell without training", "cell"), ("reading for a report", "read")):
            print(f"{what:38}{'':12}{1000 * took[name] / cells:10.2f} ms{whole * took[name] / cells / 60:14.1f} min")
        print(f"{'on disk':38}{'':12}{size / cells / 1000:10.1f} kB{whole * size / cells / 1e9:15.1f} GB")
        print(f"{'files':38}{'':12}{self.files / cells:13.2f}{whole * self.files / cells:18,.0f}")
        print(f"{'a task as JSON':38}{'':12}{len(json.dumps(job.json())) / 1000:10.1f} kB")
        for what, rate in (("scheduler, a few tasks per thread", few), ("scheduler, all tasks at once", many)):
            print(f"{what:38}{'':12}{1000 / rate:10.2f} ms{whole / rate / 60:14.1f} min   ({rate:.0f} tasks/s)")
        print(
            f"a cohort: loaded in {took['load']:.1f} s, packed in {took['pack']:.1f} s, {self.parcel / 1e6:.1f} MB sent once per worker"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("methods", 10), ("repeats", 2), ("tasks", 5000), ("n", 12_430)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    dataset = registry.parse("datasets", f"surgical:n={given.n}")[0]
    methods = registry.parse("methods", ",".join(f"{GUESS}:noise={i / 100}" for i in range(1, given.methods + 1)))
    protocol = Protocol(folds=5, repeats=given.repeats)
    took: dict[str, float] = {}

    def timed(name: str, start: float) -> None:
        took[name] = time.process_time() - start

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        start = time.process_time()
        loaded(dataset)
        timed("load", start)
        harness.plan(dataset, methods[:1], protocol, root)  # the splits are made once
        start = time.process_time()
        one = len(harness.plan(dataset, methods[:1], protocol, root).missing)
        timed("plan one", start)
        start = time.process_time()
        plan = harness.plan(dataset, methods, protocol, root)
        timed("plan", start)
        cells = len(plan.missing)
        start = time.process_time()
        for job in plan.missing:
            run_cell(job, lambda step, score: None)
        timed("cell", start)
        start = time.process_time()
        assert not harness.plan(dataset, methods, protocol, root).missing
        timed("plan again", start)
        start = time.process_time()
        harness.plan(dataset, methods[:1], protocol, root)
        timed("plan one again", start)
        start = time.process_time()
        store.read(root, dataset.label)
        timed("read", start)
        files = [path for path in root.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        start = time.process_time()
        data = parcel.packed(loaded(dataset))
        timed("pack", start)
    table = Table(cells, one, took, size, len(files), len(data))
    table.show(given.n, plan.missing[0], scheduled(plan.missing[0], given.tasks))


if __name__ == "__main__":
    main()
