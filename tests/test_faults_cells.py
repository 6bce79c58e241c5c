"""Whatever a cell does costs that cell alone: all these faults in one run on two workers, a sound cell after each.

Rows of `bench/docs/faults.md`.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from faulty_cells import FAULTY, done, planned, stored

from bench.execute import Event, How
from bench.jobs import Job, Limits

pytestmark = [pytest.mark.slow, pytest.mark.ci]

# A worker with its libraries holds some 150 MB, the fault takes 600 more.
LIMITS = Limits(timeout=10.0, memory=600_000_000)

# fault -> (status of the cell, what its error says)
SAID = {
    "segfault": ("lost", "the worker process died (SIGSEGV: Segmentation fault)"),
    "bus error": ("lost", "the worker process died (SIGBUS: Bus error)"),
    "abort": ("lost", "the worker process died (SIGABRT: Aborted)"),
    "exit at once": ("lost", "the worker process died (exit status 9)"),
    "killed": ("lost", "was killed, probably because the machine was out of memory: fewer --workers"),
    "leaves a child": ("lost", "was killed, probably"),
    "no memory": ("lost", "MemoryError: Unable to allocate 1.00 EiB"),
    "closes all": ("lost", "the worker process"),
    "hangs": ("failed", "stopped after 10 s: more than --cell-timeout 10"),
    "hangs in C": ("failed", "stopped after 10 s: more than --cell-timeout 10"),
    "fills": ("failed", "GB of memory: more than --cell-memory 0.6GB"),
    "child fills": ("failed", "GB of memory: more than --cell-memory 0.6GB"),
    "exit": ("failed", "SystemExit: 3"),
    "raises": ("failed", "ValueError: no luck"),
    "interrupts": ("lost", "the worker process died (SIGINT: Interrupt)"),
    "nan": ("failed", "predict must return probabilities, but 1 of"),
    "beyond 1": ("failed", "predict must return probabilities, but 1 of"),
    "shape": ("failed", "predict must return shape"),
    "rows": ("failed", "predict must return shape"),
    "garbles": ("done", ""),
    "closes": ("done", ""),
    "reads": ("done", ""),
    "wanders": ("done", ""),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the predictions of a cell that nothing happened to."""
    job = planned(tmp_path_factory.mktemp("sound"), FAULTY).missing[0]
    done((job,), How(workers=0))
    return stored(job)["predictions"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Event]]]:
    """The results, and how each fault's cell ended. Between two faults a sound cell is run by whichever worker is free."""
    folder = tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHILD", str(folder / "child"))
        jobs: list[Job] = []
        for i, fault in enumerate(SAID):
            jobs += [job for job in planned(folder, f"{FAULTY}:fault={fault}").missing if job.fold == 0]
            jobs += [job for job in planned(folder, f"{FAULTY}:sleep=0.00{100 + i}").missing if job.fold == 0]
        events = done(tuple(jobs), How(workers=2, limits=LIMITS, retries=0))
        ends = [event for event in events if event.kind == "end"]
        assert len(ends) == len(jobs) == len({event.job.folder for event in ends})
        yield folder, {event.job.method.label.partition(":")[2]: event for event in ends}


@pytest.mark.parametrize("fault", SAID)
def test_a_fault_costs_its_own_cell(fault: str, ran: tuple[Path, dict[str, Event]]) -> None:
    event = ran[1][f"fault={fault}"]
    status, said = SAID[fault]
    assert event.data["status"] == status
    assert said in event.data["error"]
    kept = stored(event.job)
    assert {key: kept[key] for key in ("status", "error", "tries")} == {
        "status": status,
        "error": event.data["error"],
        "tries": 1,
    }
    assert kept.get("limit", {}) == (
        {} if "--cell-" not in said else {"timeout": 10.0} if "timeout" in said else {"memory": 600_000_000}
    )


def test_every_sound_cell_is_done_and_as_if_nothing_had_happened(ran: tuple[Path, dict[str, Event]], sound: str) -> None:
    ends = ran[1]
    beside = [event for name, event in ends.items() if name.startswith("sleep=")]
    assert len(beside) == len(SAID)
    assert {event.data["status"] for event in beside} == {"done"}
    harmless = [ends[f"fault={fault}"] for fault, (status, _) in SAID.items() if status == "done"]
    assert {stored(event.job)["predictions"] for event in (*beside, *harmless)} == {sound}


def test_nothing_that_a_lost_cell_started_runs_on(ran: tuple[Path, dict[str, Event]]) -> None:
    pid = int((ran[0] / "child").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert not [
        p for p in psutil.Process(os.getpid()).children(recursive=True) if "bench.execute.worker" in " ".join(p.cmdline())
    ]


def test_a_segfault_says_where(ran: tuple[Path, dict[str, Event]]) -> None:
    assert "in fit" in ran[1]["fault=segfault"].data["traceback"]
