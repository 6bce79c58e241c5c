"""Which cell a worker gets next: those of the fold it is at, whose rows it has prepared, before any other."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from faulty_cells import FAULTY, done, planned, stored
from filled import plan

from bench.execute import How
from bench.execute.local import Todo
from bench.jobs import Job
from bench.protocol import Protocol


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    """Three folds of two methods, fold by fold."""
    cells = plan(tmp_path, Protocol(folds=3)).missing
    return sorted((replace(job, folder=f"{job.folder}{k}") for job in cells for k in (0, 1)), key=lambda job: job.fold)


def folds(todo: Todo, hands: str) -> list[int]:
    """The folds that the hands, called one after another, are given."""
    found = [todo.get(hand) for hand in hands]
    return [cell[0].fold for cell in found if cell is not None]


def test_a_hand_stays_at_its_fold_and_takes_one_that_nobody_is_at(jobs: list[Job]) -> None:
    # a: fold 0, b: fold 1; each ends its own; a: fold 2, which b then shares, for nothing else is left
    assert folds(Todo(jobs), "abbaab") == [0, 1, 1, 0, 2, 2]


def test_a_hand_alone_goes_fold_by_fold(jobs: list[Job]) -> None:
    assert folds(Todo(jobs), "aaaaaa") == [0, 0, 1, 1, 2, 2]


def test_where_every_fold_is_taken_the_fullest_is_helped(jobs: list[Job]) -> None:
    todo = Todo([*jobs, replace(jobs[-1], folder="one more")])
    # a, b and c take folds 0, 1, 2, which leaves 1, 1 and 2 cells: d helps at fold 2
    assert folds(todo, "abcd") == [0, 1, 2, 2]


@pytest.mark.parametrize("hands", ["a", "ab", "abcdefg"])
def test_every_cell_is_given_once_and_further_tries_come_last(jobs: list[Job], hands: str) -> None:
    todo = Todo(jobs)
    lost = todo.get(hands[0])
    assert lost is not None
    todo.put(lost[0], 2)
    given = [todo.get(hands[i % len(hands)]) for i in range(len(jobs))]
    assert given[-1] == (lost[0], 2)
    assert {cell[0].folder + str(cell[0].fold) for cell in given if cell} == {job.folder + str(job.fold) for job in jobs}
    assert todo.get(hands[0]) is None


def test_who_finds_nothing_waits_for_what_comes_of_cells_under_way(jobs: list[Job]) -> None:
    todo = Todo(jobs[:1])
    assert todo.get("a") is not None
    found: list[tuple[bool, object]] = []
    waits = threading.Thread(target=lambda: found.append((todo.more(), todo.get("b"))))
    waits.start()
    todo.put(jobs[0], 2)
    todo.ended()
    waits.join(60)
    assert found == [(True, (jobs[0], 2))]
    todo.ended()
    assert not todo.more()  # nothing waits, nothing is under way


def test_nobody_waits_for_a_run_that_is_closed(jobs: list[Job]) -> None:
    todo = Todo(jobs)
    todo.get("a")
    todo.close()
    assert not todo.more()


def test_a_worker_that_had_nothing_to_do_helps_with_what_comes_later(tmp_path: Path) -> None:
    # The method trains no groups, so the five cells that were to be trained with the first become ready when that one has ended.
    first, *others = planned(tmp_path, f"{FAULTY}:sleep=1", folds=6).missing
    lead = replace(first, others=tuple((job.repeat, job.fold, job.digest, job.split_digest) for job in others))
    events = done((lead,), How(workers=2))
    assert sum(event.kind == "end" for event in events) == 6
    assert {stored(job)["status"] for job in (first, *others)} == {"done"}
    assert len({stored(job)["facts"]["pid"] for job in (first, *others)}) == 2
