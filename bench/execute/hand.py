"""The process boundary of a cell: a worker process that is watched from outside, and replaced when it is lost."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from bench.core import JSON, BenchError
from bench.execute.process import Process
from bench.jobs import Job, Limits, lose_cell, lose_trial

POLL = 0.25  # seconds between two looks at a worker
START = 300.0  # seconds a new process may take to import what it needs
STARTS = 3  # so many in a row that never were ready, and there is no point in going on
CELLS = 1000  # after so many a process is replaced ...
GROWTH = 2**30  # ... or when it holds so many bytes more than after its first cell: what leaks does not add up


class Ended(Exception):
    """`Hand.end` was called while a cell was under way."""


class Hand:
    """Does cells one after the other in a process of its own, started with the first and replaced when one was lost in it.

    `do` is called from one thread, `end` from any. On Linux the process ends with the thread that called `do`, and everywhere when the
    process that this thread is of is gone, however it ended.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.process: Process | None = None
        self.ended = threading.Event()
        self._lock = threading.Lock()  # no process is started after `end`
        self._cells = self._first = 0

    def do(self, job: Job, report: Callable[[int, float], None]) -> Mapping[str, JSON]:
        """The record of the job's cell, which is stored. Its status is lost when the process was. Raises Ended after `end`.

        A cell that passes the memory limit beside what earlier cells left in the process is not judged: it begins again in a fresh one.
        BenchError for what no other try would mend: the data changed, results cannot be written, no process can be started.
        """
        record = None
        while record is None:
            record = self._try(job, report)
        return record

    def _try(self, job: Job, report: Callable[[int, float], None]) -> Mapping[str, JSON] | None:
        """None when the process was no fair one."""
        process = self._ready()
        process.hear(0.0)
        process.printed = b""  # what an earlier cell printed is no reason for this one's end
        process.send(job.json())
        start = begun = time.monotonic()
        while True:
            gone = process.gone  # looked at first, so that what it said before it went is heard
            for message in process.hear(0.0 if gone else POLL):
                if message["event"] == "step":
                    report(message["step"], message["score"])
                elif message["event"] == "begun":
                    begun = time.monotonic()
                elif message["event"] == "stop":
                    raise BenchError(message["error"])
                elif message["event"] == "end":
                    self._settle(message)
                    return message["record"]
            now = time.monotonic()
            over = {} if gone else self._over(process, (now - begun) / (1 + len(job.others)))
            if "memory" in over.get("limit", {}) and self._cells:
                return self._drop()
            if gone or over:
                return self._lost(job, process, over, now - start)

    def pause(self, seconds: float) -> None:
        """Wait, unless ended before."""
        self.ended.wait(seconds)

    def rest(self) -> None:
        """Hold nothing while there is nothing to do: the next cell gets a fresh process."""
        self._drop()

    def end(self) -> None:
        """Kill the process with all that it started. Nothing is done after this."""
        self.ended.set()
        with self._lock:
            if self.process is not None:
                self.process.kill()

    def _lost(self, job: Job, process: Process, over: Mapping[str, Any], seconds: float) -> Mapping[str, JSON]:
        self._drop()
        if self.ended.is_set():
            raise Ended
        trace = process.printed.decode(errors="replace")
        why, limit = (over["why"], over["limit"]) if over else (process.why(), {})
        in_trial = lose_trial(job, process.popen.pid, why, limit)
        return lose_cell(job, why, trace, {} if in_trial else limit, seconds, in_trial)

    def _over(self, process: Process, seconds: float) -> dict[str, Any]:
        """The limit that the cell has passed, and what to say of it; empty if none."""
        timeout, memory = self.limits.timeout, self.limits.memory
        if timeout is not None and seconds > timeout:
            return {"limit": {"timeout": timeout}, "why": f"stopped after {seconds:.0f} s: more than --cell-timeout {timeout:g}"}
        if memory is not None and (held := process.holds()) > memory:
            gb = f"{held / 1e9:.2f} GB of memory: more than --cell-memory {memory / 1e9:g}GB"
            return {"limit": {"memory": memory}, "why": f"stopped when it held {gb}"}
        return {}

    def _settle(self, message: Mapping[str, Any]) -> None:
        """After a cell that ended: keep the process, or let the next cell have a fresh one."""
        self._cells += 1
        self._first = self._first or message["holds"]
        room = GROWTH if self.limits.memory is None else min(GROWTH, self.limits.memory // 4)
        if message["record"]["status"] == "lost" or self._cells >= CELLS or message["holds"] > self._first + room:
            self._drop()

    def _ready(self) -> Process:
        if self.process is not None and not self.process.gone:
            return self.process
        why = ""
        for _ in range(STARTS):
            self._drop()
            with self._lock:
                if self.ended.is_set():
                    raise Ended
                try:
                    self.process = process = Process()
                except OSError as error:  # no more processes or open files, for now
                    why = str(error)
                    process = None
            if process is not None and self._imported(process):
                return process
            why = process.why() if process is not None and process.gone else why or f"not ready after {START:.0f} s"
            self.pause(1.0)
        raise BenchError(f"no worker process can be started: {why}")

    def _imported(self, process: Process) -> bool:
        end = time.monotonic() + START
        while not process.gone and time.monotonic() < end:
            if any(message["event"] == "ready" for message in process.hear(POLL)):
                self._cells = self._first = 0
                return True
        process.hear(0.0)
        return False

    def _drop(self) -> None:
        with self._lock:
            if self.process is not None:
                self.process.kill()
                self.process.close()
            self.process = None
