"""Local worker processes, a cell at a time each. A process that is lost costs the cell it was at, which is tried again."""

import queue
import threading
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TypeAlias

from bench.execute.hand import Ended, Hand
from bench.execute.how import Event, How
from bench.jobs import Job, run_cell

PAUSE = 1.0  # seconds before a second try, and twice as long before each further one: what killed a process may pass

_Todo: TypeAlias = "queue.SimpleQueue[tuple[Job, int]]"  # a job, and which try of it


def run(jobs: Sequence[Job], how: How) -> Generator[Event, None, None]:
    """As `bench.execute.run`. A lost cell waits at the end of the queue: other neighbours may leave it more room."""
    if how.workers == 0:
        yield from _here(jobs)
        return
    todo: _Todo = queue.SimpleQueue()
    for job in jobs:
        todo.put((job, 1))
    events: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
    crew = [_Feeder(todo, events, how) for _ in range(min(how.workers, len(jobs)))]
    try:
        for one in crew:
            one.start()
        left = sum(1 + len(job.others) for job in jobs)
        while left:
            event = events.get()
            if isinstance(event, BaseException):
                raise event
            left -= event.kind == "end"
            yield event
    finally:
        for one in crew:
            one.end()


def _here(jobs: Sequence[Job]) -> Generator[Event, None, None]:
    for job in (one for lead in jobs for one in (lead, *lead.followers)):
        yield Event("start", job, {})
        yield Event("end", job, run_cell(job, lambda step, score: None))


class _Feeder(threading.Thread):
    """Feeds one hand from the queue."""

    def __init__(self, todo: _Todo, events: "queue.SimpleQueue[Event | BaseException]", how: How) -> None:
        super().__init__(daemon=True)
        self.todo, self.events, self.how = todo, events, how
        self.hand = Hand(how.limits)

    def run(self) -> None:
        try:
            while True:
                try:
                    job, tries = self.todo.get_nowait()
                except queue.Empty:
                    break
                self._do(job, tries)
        except Ended:
            pass
        except BaseException as error:  # a thread that ended silently would leave the run waiting for ever
            self.events.put(error)
        finally:
            self.hand.end()

    def end(self) -> None:
        self.hand.end()

    def _do(self, job: Job, tries: int) -> None:
        if tries > 1:
            self.hand.pause(PAUSE * 2 ** (tries - 2))
        self.events.put(Event("start", job, {"tries": tries}))
        record = self.hand.do(
            replace(job, tries=tries), lambda step, score: self.events.put(Event("step", job, {"step": step, "score": score}))
        )
        apart = bool(job.others) and tries == 1 and record["status"] in ("lost", "failed")  # by itself it may go well
        again = apart or (record["status"] == "lost" and tries <= self.how.retries)
        if again:
            self.todo.put((job, tries + 1))
        if tries == 1:
            for other in job.followers:  # now their cells are stored, or they are trained by themselves
                self.todo.put((other, 1))
        self.events.put(Event("again" if again else "end", job, record))
