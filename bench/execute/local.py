"""Local worker processes: spawned, one thread each, a cell at a time. A process that dies costs the cell it was at."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from bench.core import BenchError
from bench.jobs import Job, lose_cell, run_cell

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
) | {"PYTHONHASHSEED": "0"}


class Event(NamedTuple):
    """start: a job was taken up; step: an epoch or round ended; end: the cell is stored (or lost), with its record."""

    kind: Literal["start", "step", "end", "stop"]
    job: Job
    data: Mapping[str, Any]


def run(jobs: Sequence[Job], workers: int) -> Generator[Event, None, None]:
    """Run the jobs and yield what happens. workers: processes; 0 = in this process, one job after the other.

    Leaving the iterator early (Ctrl-C, an error) ends the workers at once; stored cells stay.
    """
    if workers == 0:
        yield from _here(jobs)
        return
    todo: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        todo.put(job)
    events: queue.Queue[Event] = queue.Queue()
    hands = [_Worker(todo, events) for _ in range(min(workers, len(jobs)))]
    try:
        for hand in hands:
            hand.start()
        left = len(jobs)
        while left:
            event = events.get()
            if event.kind == "stop":
                raise BenchError(event.data["error"])
            left -= event.kind == "end"
            yield event
    finally:
        for hand in hands:
            hand.end()


def _here(jobs: Sequence[Job]) -> Generator[Event, None, None]:
    for job in jobs:
        yield Event("start", job, {})
        yield Event("end", job, run_cell(job, lambda step, score: None))


class _Worker(threading.Thread):
    """Feeds one process from the queue, and starts another when it dies."""

    def __init__(self, todo: "queue.SimpleQueue[Job]", events: "queue.Queue[Event]") -> None:
        super().__init__(daemon=True)
        self.todo, self.events = todo, events
        self.process: subprocess.Popen[str] | None = None
        self.ended = False
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the thread

    def run(self) -> None:
        while not self.ended:
            try:
                job = self.todo.get_nowait()
            except queue.Empty:
                break
            self.events.put(Event("start", job, {}))
            self._do(job)
        self.end()

    def end(self) -> None:
        self.ended = True
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _do(self, job: Job) -> None:
        process = self._process()
        os.ftruncate(self.errors.fileno(), 0)  # what an earlier job printed is no reason for this one's end
        os.lseek(self.errors.fileno(), 0, os.SEEK_SET)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(job.json()) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                event = json.loads(line)
                kind = event.pop("event")
                self.events.put(Event(kind, job, event.get("record", event)))
                if kind != "step":
                    return
        except BrokenPipeError:
            pass  # it died between two jobs: the same as dying at this one
        if not self.ended:
            self.events.put(Event("end", job, lose_cell(job, self._why(process))))

    def _process(self) -> "subprocess.Popen[str]":
        if self.process is None or self.process.poll() is not None:
            command = [sys.executable, "-m", "bench.execute.worker"]
            pipe = subprocess.PIPE
            environment = {**os.environ, **_ONE_THREAD}
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self.errors, text=True, env=environment)
        return self.process

    def _why(self, process: "subprocess.Popen[str]") -> str:
        self.errors.seek(0)
        said = [line.strip() for line in self.errors.read().splitlines() if line.strip()]
        return f"the worker process died (exit status {process.wait()}){': ' + said[-1] if said else ''}"
