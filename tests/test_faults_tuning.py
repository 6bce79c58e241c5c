"""A trial that kills its process, hangs or fills the memory costs itself, and what stopped the whole run costs nothing.

Rows of `bench/docs/faults.md`, with the real command: two trials, `at` 0, the defaults, and 1.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from faulty_cells import FAULTY, WARDS

pytestmark = [pytest.mark.slow, pytest.mark.ci]


class Case(NamedTuple):
    """settings: of `plugins/faulty.py`. failed: trials of both folds that count as failed. said: why. begun: how often `hits` was."""

    settings: str
    failed: int
    said: str
    begun: int


HITS = 1
CASES = {
    # lost twice in each fold: repeated in a fresh process, then given up
    "segfault": Case("fault=segfault", 2, "the worker process died (SIGSEGV: Segmentation fault)", 4),
    "no memory": Case("fault=no memory", 2, "MemoryError: Unable to allocate 1.00 EiB", 4),
    "fills": Case("fault=fills", 2, "more than --cell-memory 0.6GB", 4),
    # a timeout is no accident: once in each fold
    "hangs": Case("fault=hangs", 2, "more than --cell-timeout 20", 2),
    # in one fold once, and no more: three trainings in all, none of which counts as failed
    "killed once": Case("fault=killed:once={folder}/killed", 0, "", 3),
    "no memory once": Case("fault=no memory:once={folder}/memory", 0, "", 3),
}
ALL = "fault=raises"  # whatever the settings


def start(folder: Path, methods: str, *options: str) -> "subprocess.Popen[str]":
    line = [
        sys.executable,
        "-m",
        "bench",
        "run",
        "--dataset",
        WARDS,
        "--folds",
        "2",
        "--tune",
        "2",
        "--shard",
        "1/1",  # all of it, and no report
        "--methods",
        methods,
        *options,
    ]
    return subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)


def spec(folder: Path, settings: str, name: str, hits: int | None = HITS) -> str:
    return f"{FAULTY}:{settings.format(folder=folder)}:log={folder}/{name}.log" + ("" if hits is None else f":hits={hits}")


def records(folder: Path, name: str) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("results/*/*/*/r0-f*.json"))]
    return [record for record in found if f"/{name}.log" in record["method"]]


def begun(folder: Path, name: str) -> Counter[int]:
    """How often each value of `at` was trained with, in trials and last fits."""
    return Counter(int(line.split()[0]) for line in (folder / f"{name}.log").read_text().splitlines())


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run of all of them."""
    folder = tmp_path_factory.mktemp("trials")
    methods = [spec(folder, case.settings, name) for name, case in CASES.items()]
    methods += [spec(folder, "fault=segfault", "defaults", hits=0), spec(folder, ALL, "all", hits=None)]
    limits = ("--cell-timeout", "20", "--cell-memory", "600MB", "--workers", "2")
    process = start(folder, ",".join(methods), *limits)
    said = process.communicate(timeout=500)[0]
    assert process.returncode == 2, said  # cells failed: those of ALL
    assert "Traceback" not in said
    return folder


@pytest.mark.parametrize("name", CASES)
def test_a_trial_that_is_lost_costs_itself_alone(name: str, ran: Path) -> None:
    case, found = CASES[name], records(ran, name)
    tuned = [record["facts"]["tuned"] for record in found]
    assert [record["status"] for record in found] == ["done", "done"]
    assert [record["tries"] for record in found] == [1, 1]  # a lost trial is no lost try of its cell
    assert [one["trials"] for one in tuned] == [2, 2]
    assert sum(one["failed"] for one in tuned) == case.failed
    assert all(case.said in error for one in tuned for error in one["errors"])
    count = begun(ran, name)
    more = (
        2 if "--cell-memory" in case.said else 0
    )  # of each cell once more where its process had done others, which is not judged
    assert case.begun <= count[HITS] <= case.begun + more
    assert count[0] == 4  # the defaults, with which the cells were trained in the end


def test_defaults_that_are_lost_leave_the_cell_to_what_works(ran: Path) -> None:
    tuned = [record["facts"]["tuned"] for record in records(ran, "defaults")]
    assert [(one["trials"], one["failed"], one["default"]) for one in tuned] == [(2, 1, None)] * 2
    assert all(one["trial"] > 0 for one in tuned)


def test_a_cell_of_which_every_trial_fails_is_remembered_and_is_tuned_anew_when_asked_for(ran: Path) -> None:
    found = records(ran, "all")
    said = "every one of 2 trials failed, the defaults with ValueError: no luck"
    assert [record["status"] for record in found] == ["failed", "failed"]
    assert all(said in record["error"] for record in found)
    assert begun(ran, "all") == dict.fromkeys(range(2), 2)
    method = spec(ran, ALL, "all", hits=None)
    for options, trained in (((), 2), (("--retry-failed",), 4)):
        process = start(ran, method, "--workers", "2", *options)
        process.communicate(timeout=300)
        assert begun(ran, "all") == dict.fromkeys(range(2), trained)


def test_a_trial_that_was_under_way_when_the_run_was_stopped_is_no_failed_one(tmp_path: Path) -> None:
    once = tmp_path / "once"
    method = spec(tmp_path, f"fault=hangs:once={once}", "stopped")
    stops = (signal.SIGKILL, signal.SIGINT, signal.SIGKILL)  # however often
    for how in stops:
        once.unlink(missing_ok=True)
        process = start(tmp_path, method, "--workers", "1")
        end = time.monotonic() + 120
        while not once.exists():
            assert time.monotonic() < end, "the trial never began"
            time.sleep(0.02)
        os.killpg(process.pid, how)
        process.communicate(timeout=60)
    process = start(tmp_path, method, "--workers", "1")
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    assert [record["facts"]["tuned"]["failed"] for record in records(tmp_path, "stopped")] == [0, 0]
    assert begun(tmp_path, "stopped")[HITS] == len(stops) + 2
