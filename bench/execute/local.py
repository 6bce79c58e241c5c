"""Local worker processes, a cell at a time each. A process that is lost costs the cell it was at, which is tried again."""

import queue
import threading
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from bench.execute.hand import Ended, Hand
from bench.execute.how import Event, How
from bench.jobs import Job, run_cell

PAUSE = 1.0  # seconds before a second try, and twice as long before each further one: what killed a process may pass

_Place: TypeAlias = tuple[Any, ...]  # a fold of a dataset


class Todo:
    """Cells that wait, each with which try of it comes next. A hand stays at its fold: what it prepared there serves all methods.

    A fold that nobody is at goes before others, then the one with the most cells left. Further tries come last of all.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.changed = threading.Condition()
        self.taken = 0  # cells under way, of which more may come: a further try, those that were trained with it
        self.closed = False
        self.waiting: dict[_Place, deque[tuple[Job, int]]] = {}
        self.again: deque[tuple[Job, int]] = deque()
        self.at: dict[object, _Place] = {}
        for job in jobs:
            self.put(job)

    def put(self, job: Job, tries: int = 1) -> None:
        with self.changed:
            (self.again if tries > 1 else self.waiting.setdefault(_place(job), deque())).append((job, tries))
            self.changed.notify()

    def get(self, hand: object) -> tuple[Job, int] | None:
        """None when nothing waits. `ended` is to be called when the cell has, and all that comes of it is put."""
        with self.changed:
            found = self._next(hand) if self.waiting else self.again.popleft() if self.again else None
            self.taken += found is not None
            return found

    def ended(self) -> None:
        with self.changed:
            self.taken -= 1
            self.changed.notify_all()

    def more(self) -> bool:
        """Whether anything waits, once that is known or nothing is under way."""
        with self.changed:
            self.changed.wait_for(lambda: self.waiting or self.again or self.closed or not self.taken)
            return not self.closed and bool(self.waiting or self.again)

    def close(self) -> None:
        """Nobody waits any longer."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def _next(self, hand: object) -> tuple[Job, int]:
        place = self.at.get(hand)
        if place not in self.waiting:
            taken = set(self.at.values())
            free = [one for one in self.waiting if one not in taken]
            place = free[0] if free else max(self.waiting, key=lambda one: len(self.waiting[one]))
        self.at[hand] = place
        cells = self.waiting[place]
        found = cells.popleft()
        if not cells:
            del self.waiting[place]
        return found


def _place(job: Job) -> _Place:
    return job.dataset.label, job.protocol, job.repeat, job.fold


def run(jobs: Sequence[Job], how: How) -> Generator[Event, None, None]:
    """As `bench.execute.run`. A lost cell waits until all others were taken up: other neighbours may leave it more room."""
    if how.workers == 0:
        yield from _here(jobs)
        return
    todo = Todo(jobs)
    events: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
    left = sum(1 + len(job.others) for job in jobs)
    crew = [_Feeder(todo, events, how) for _ in range(min(how.workers, left))]
    try:
        for one in crew:
            one.start()
        while left:
            event = events.get()
            if isinstance(event, BaseException):
                raise event
            left -= event.kind == "end"
            yield event
    finally:
        todo.close()
        for one in crew:
            one.end()


def _here(jobs: Sequence[Job]) -> Generator[Event, None, None]:
    for job in (one for lead in jobs for one in (lead, *lead.followers)):
        yield Event("start", job, {})
        yield Event("end", job, run_cell(job, lambda step, score: None))


class _Feeder(threading.Thread):
    """Feeds one hand from the queue."""

    def __init__(self, todo: Todo, events: "queue.SimpleQueue[Event | BaseException]", how: How) -> None:
        super().__init__(daemon=True)
        self.todo, self.events, self.how = todo, events, how
        self.hand = Hand(how.limits)

    def run(self) -> None:
        try:
            while self.todo.more():
                while (found := self.todo.get(self)) is not None:
                    self._do(*found)
                    self.todo.ended()
                self.hand.rest()
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
        following = tries + 1 if apart else self.how.following(record, tries)
        self.events.put(Event("end" if following is None else "again", job, record))
        if following is not None:
            self.todo.put(job, following)
        if tries == 1:
            for other in job.followers:  # now their cells are stored, or they are trained by themselves
                self.todo.put(other)
