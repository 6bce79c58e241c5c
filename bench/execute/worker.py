"""One worker process: a job per line on what was standard input, events per line on what was standard output.

Started by `bench.execute.process` as `python -m bench.execute.worker`. It ends with its parent, however that ended: Linux kills it, and
elsewhere the end of its input does. What a method prints goes to standard error alone, and what it does to the standard streams, the
working folder, the environment or torch's threads is undone before the next cell.
"""

import ctypes
import faulthandler
import gc
import json
import os
import queue
import random
import signal
import sys
import threading
import time
from typing import IO, Any, cast

import numpy as np
import psutil

from bench.core import BenchError
from bench.jobs import Job, run_cell

PR_SET_PDEATHSIG = 1


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    gc.set_threshold(50_000)  # as the command does
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    world = _World()
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(os.fdopen(os.dup(0)), jobs), daemon=True).start()
    events = os.fdopen(os.dup(1), "w", buffering=1)

    def send(**event: object) -> None:
        events.write(json.dumps(event) + "\n")

    send(event="ready")
    while True:
        world.restore()
        _do(Job.from_json(json.loads(jobs.get())), send)


def _listen(lines: IO[str], jobs: "queue.SimpleQueue[str]") -> None:
    for line in lines:
        jobs.put(line)
    os.killpg(0, signal.SIGKILL)  # the parent is gone: nobody waits for what this process and its children do


def _do(job: Job, send: Any) -> None:
    last = 0.0

    def report(step: int, score: float) -> None:
        nonlocal last
        if time.monotonic() - last > 1:
            last = time.monotonic()
            send(event="step", step=step, score=score)

    try:
        record = run_cell(job, report, lambda: send(event="begun"))
    except BenchError as error:
        send(event="stop", error=str(error))
    else:
        send(event="end", record=record, holds=psutil.Process().memory_info().rss)


class _World:
    """What a method may leave behind changed in a process, as it was at the start."""

    def __init__(self) -> None:
        self.folder, self.environment = os.getcwd(), dict(os.environ)
        self.null, self.errors = os.open(os.devnull, os.O_RDONLY), os.dup(2)
        faulthandler.enable(self.errors)

    def restore(self) -> None:
        os.dup2(self.null, 0)  # a method that reads finds nothing, not the next job
        os.dup2(self.errors, 1)  # what a method prints must not mix with the events
        os.dup2(self.errors, 2)
        sys.stdout, sys.stderr = (os.fdopen(fd, "w", buffering=1, errors="backslashreplace", closefd=False) for fd in (1, 2))
        os.chdir(self.folder)
        if dict(os.environ) != self.environment:
            os.environ.clear()
            os.environ.update(self.environment)
        torch = cast(Any, sys.modules.get("torch"))
        if torch is not None:
            torch.set_num_threads(1)
            torch.set_default_dtype(torch.float32)
            torch.set_grad_enabled(True)
            torch.manual_seed(0)  # what draws from a generator of all draws the same whichever cells came before
        random.seed(0)
        np.random.seed(0)


if __name__ == "__main__":
    main()
