"""Many cells of a method that costs nothing: what a cell costs beside its training, and whether memory stays flat.

`python tests/benchmarks/load.py [--repeats 400] [--workers 2] [--dataset surgical:n=600]`: 5 folds, the prevalence as prediction, planned
and run as `bench run` does. Prints seconds of the plan (cohort, splits, digests) and of the cells, their processor time, which other
work on the machine does not change, cells a second, the resident memory of parent and workers early and late; and of the report, by itself.
"""

import argparse
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import psutil

from bench import execute, harness, registry, stored
from bench.execute import How
from bench.protocol import Protocol


class Moment(NamedTuple):
    clock: float
    parent: float  # seconds of processor time
    workers: float
    parent_held: float  # MiB
    workers_held: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--dataset", default="surgical:n=600")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = now()
        dataset, methods = registry.parse("datasets", given.dataset)[0], registry.parse("methods", "constant")
        jobs = harness.plan(dataset, methods, Protocol(repeats=given.repeats), Path(folder)).missing
        planned, moments = now(), list[Moment]()
        with closing(execute.run(jobs, How(workers=given.workers))) as events:
            for event in events:
                if event.kind == "end":
                    assert event.data["status"] == "done", event.data
                    # before the last cells, with which the workers go
                    moments += [now()] if len(moments) < len(jobs) - given.workers else []
        end = time.perf_counter()
        before = now()
        stored.make_report(given.dataset, results=folder, reports=Path(folder) / "reports")
        after = now()
    early, late = moments[len(moments) // 10], moments[-1]
    print(f"plan of {len(jobs)} cells: {planned.clock - start.clock:.1f} s, processor {planned.parent - start.parent:.1f} s")
    print(f"cells on {given.workers} workers: {end - planned.clock:.1f} s, {len(jobs) / (end - planned.clock):.1f} a second")
    print(f"  processor: workers {late.workers:.1f} s, parent {late.parent - planned.parent:.1f} s")
    print(f"  parent {early.parent_held:.0f} MiB early, {late.parent_held:.0f} MiB late")
    print(f"  workers {early.workers_held:.0f} MiB early, {late.workers_held:.0f} MiB late")
    report = f"{after.clock - before.clock:.1f} s, processor {after.parent - before.parent:.1f} s, {after.parent_held:.0f} MiB held after it"
    print(f"report of {given.repeats} repeats: {report}")


def now() -> Moment:
    own = psutil.Process()
    workers = own.children()
    spent = [sum(one.cpu_times()[:2]) for one in (own, *workers)]
    held = [one.memory_info().rss / 2**20 for one in (own, *workers)]
    return Moment(time.perf_counter(), spent[0], sum(spent[1:]), held[0], sum(held[1:]))


if __name__ == "__main__":
    main()
