"""What is tried again and when, what is remembered, and which process a cell gets. Rows of `bench/docs/faults.md`."""

from dataclasses import replace
from pathlib import Path

import numba
import pytest
import threadpoolctl
from faulty_cells import FAULTY, done, planned, stored

from bench import execute
from bench.core import BenchError
from bench.execute import Event, How
from bench.jobs import Job, Limits, lose_cell

pytestmark = [pytest.mark.slow, pytest.mark.ci]


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events if event.kind != "step"]


def test_a_killed_cell_is_tried_again_in_the_same_run(tmp_path: Path) -> None:
    once, sound = (planned(tmp_path / "a", f"{FAULTY}{more}").missing[0] for more in (f":fault=killed:once={tmp_path}/once", ""))
    events = done((once, sound), How(workers=1))
    assert kinds(events) == ["start", "again", "start", "end", "start", "end"]  # it waited at the end of the queue
    assert [event.job.method == once.method for event in events] == [True, True, False, False, True, True]
    assert stored(once)["status"] == "done"
    assert stored(once)["tries"] == 2
    assert stored(once)["predictions"] == stored(sound)["predictions"]


def test_what_is_lost_every_time_is_tried_by_the_next_run_too(tmp_path: Path) -> None:
    job = planned(tmp_path, f"{FAULTY}:fault=exit at once").missing[0]
    assert kinds(done((job,), How(workers=1, retries=2))) == ["start", "again"] * 2 + ["start", "end"]
    assert stored(job)["tries"] == 3
    assert len(planned(tmp_path, f"{FAULTY}:fault=exit at once").missing) == 2  # this one, and the fold that never ran


def test_what_failed_by_itself_waits_for_other_code(tmp_path: Path) -> None:
    results, code = tmp_path / "results", Path(FAULTY).read_text()
    spec, remarked, other = (f"{tmp_path}/{name}/faulty.py:fault=raises" for name in ("a", "b", "c"))
    for name, text in (("a", code), ("b", f"{code}\n# a remark\n"), ("c", code.replace("no luck", "bad luck"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "faulty.py").write_text(text)
    events = done(planned(results, spec).missing, How(workers=1))
    assert kinds(events) == ["start", "end"] * 2  # no second try
    assert not planned(results, spec).missing
    assert not planned(results, remarked).missing
    assert len(planned(results, spec, retry_failed=True).missing) == 2
    assert len(planned(results, other).missing) == 2


@pytest.mark.parametrize(
    ("fault", "at", "as_wide", "wider"),
    [
        ("hangs", Limits(timeout=4.0), Limits(timeout=4.0, memory=1), Limits(timeout=4.5)),
        ("fills", Limits(memory=700_000_000), Limits(timeout=9.0, memory=600_000_000), Limits(memory=800_000_000)),
    ],
)
def test_what_was_stopped_waits_for_a_wider_limit(fault: str, at: Limits, as_wide: Limits, wider: Limits, tmp_path: Path) -> None:
    spec = f"{FAULTY}:fault={fault}"
    job = planned(tmp_path, spec).missing[0]
    assert kinds(done((job,), How(workers=1, limits=at))) == ["start", "end"]
    for limits, left in ((at, 1), (as_wide, 1), (wider, 2), (None, 2)):  # the other fold never ran
        assert len(planned(tmp_path, spec, limits=limits).missing) == left
    assert len(planned(tmp_path, spec, limits=at, retry_failed=True).missing) == 2


def test_a_done_cell_that_is_lost_when_made_again_stays(tmp_path: Path) -> None:
    job = planned(tmp_path, FAULTY).missing[0]
    done((job,), How(workers=0))
    before = stored(job)
    assert lose_cell(job, "the worker process died")["status"] == "lost"
    assert stored(job) == before
    other = replace(job, digest="of other patients")
    assert lose_cell(other, "the worker process died")["status"] == stored(job)["status"] == "lost"


def pids(jobs: tuple[Job, ...]) -> list[int]:
    return [stored(job)["facts"]["pid"] for job in jobs]


def test_a_worker_is_kept_until_a_cell_is_lost_in_it(tmp_path: Path) -> None:
    sound = planned(tmp_path, FAULTY, folds=4).missing
    lost = planned(tmp_path, f"{FAULTY}:fault=no memory").missing[0]
    done((*sound[:2], lost, *sound[2:]), How(workers=1, retries=0))
    first, second, third, fourth = pids(sound)
    assert first == second != third == fourth


def test_a_worker_that_leaks_is_replaced_before_it_costs_a_cell(tmp_path: Path) -> None:
    # Five cells that keep 300 MB each: 1.5 GB in one process, where 900 MB are allowed.
    jobs = planned(tmp_path, f"{FAULTY}:fault=leaks", folds=5).missing
    done(jobs, How(workers=1, limits=Limits(memory=900_000_000)))
    assert {stored(job)["status"] for job in jobs} == {"done"}
    assert 1 < len(set(pids(jobs))) < 5


def test_what_earlier_cells_left_does_not_count_as_a_cells_own(tmp_path: Path) -> None:
    # A worker holds 150 to 250 MB, the first cell leaves 300 in it, the second takes 400: too many in one process, 650 at most alone.
    leaks, takes = (planned(tmp_path, f"{FAULTY}:fault={fault}").missing[0] for fault in ("leaks", "takes"))
    events = done((leaks, takes), How(workers=1, limits=Limits(memory=750_000_000), retries=0))
    assert kinds(events) == ["start", "end"] * 2
    assert [stored(job)["status"] for job in (leaks, takes)] == ["done", "done"]
    assert stored(takes)["tries"] == 1
    assert len(set(pids((leaks, takes)))) == 2


def test_a_worker_uses_one_thread(tmp_path: Path) -> None:
    job = planned(tmp_path, f"{FAULTY}:fault=threads").missing[0]
    done((job,), How(workers=1))
    found = stored(job)["facts"]["threads"]
    assert {"torch", "numba", "openblas", "openmp"} <= set(found)
    assert set(found.values()) == {1}


def test_a_report_beside_workers_uses_one_thread() -> None:
    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}

    before = numba.get_num_threads()
    with threadpoolctl.threadpool_limits(2):  # some have one thread as they come, and keep it
        several = threads()
        assert 2 in several
        with execute.one_thread():
            assert threads() == {1}
            assert numba.get_num_threads() == 1
        assert threads() == several
        assert numba.get_num_threads() == before


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, None), Limits()),
        (("90s", "500MB"), Limits(90.0, 500_000_000)),
        (("10m", "4GB"), Limits(600.0, 4_000_000_000)),
        (("1.5h", "2 GiB"), Limits(5400.0, 2_147_483_648)),
        ((45, 10**9), Limits(45.0, 1_000_000_000)),
    ],
)
def test_limits_are_read_with_their_units(given: tuple[str | None, str | None], expected: Limits) -> None:
    assert execute.limits(*given) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("soon", None), r"cell-timeout must be more than 0 seconds, or as in 90s, 10m, 2h, but is 'soon'"),
        (("0", None), r"cell-timeout must be more than 0 .* but is '0'"),
        ((None, "4 apples"), r"cell-memory must be more than 0 bytes, or as in 500MB, 4GB, 4GiB, but is '4 apples'"),
        ((None, "4"), r"cell-memory must be 10MB or more, but is '4'\. A number without a unit is of bytes, as in 4GB\."),
    ],
)
def test_a_limit_that_is_none_is_refused(given: tuple[str | None, str | None], said: str) -> None:
    with pytest.raises(BenchError, match=said):
        execute.limits(*given)


def test_this_process_cannot_be_limited() -> None:
    with pytest.raises(BenchError, match="need --workers 1 or more"):
        How(workers=0, limits=Limits(timeout=1.0))


def test_a_done_cell_stays_whatever_stops_its_next_training(tmp_path: Path) -> None:
    job = planned(tmp_path, FAULTY).missing[0]
    done((job,), How(workers=1))
    before = stored(job)
    for limit in (None, {"timeout": 1.0}):
        assert lose_cell(job, "stopped", limit=limit)["status"] != "done"
        assert stored(job) == before
