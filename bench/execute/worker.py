"""One worker process: a job per line on standard input, events per line on what was standard output.

Started by `bench.execute.local` as `python -m bench.execute.worker`. Ends when its input ends, so it outlives no parent by
more than a cell.
"""

import json
import os
import signal
import sys
import time

from bench.core import BenchError
from bench.jobs import Job, run_cell


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group: the parent decides
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a method prints must not mix with the events

    def send(**event: object) -> None:
        events.write(json.dumps(event) + "\n")

    for line in sys.stdin:
        last = 0.0

        def report(step: int, score: float) -> None:
            nonlocal last
            if time.monotonic() - last > 1:
                last = time.monotonic()
                send(event="step", step=step, score=score)

        try:
            send(event="end", record=run_cell(Job.from_json(json.loads(line)), report))
        except BenchError as error:
            send(event="stop", error=str(error))


if __name__ == "__main__":
    main()
