"""Stopped at any moment, even inside a write, a run goes on where it was and ends with the very same numbers."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import inside
from filled import DATA, GUESS

METHODS = ",".join(f"{GUESS}:noise={n}:sleep=0.05" for n in (0.1, 0.2, 0.3, 0.4))
OPTIONS = ["--quick", "--dataset", f"{DATA}:n=300", "--folds", "5", "--workers", "2", "--methods", METHODS]
COMMAND = [sys.executable, "-m", "bench", "run", *OPTIONS]
SCORES = Path("reports/wards_n=300-quick/scores.csv")


def start(folder: Path) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen(COMMAND, cwd=folder, stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert inside(folder, *OPTIONS, "--workers", "0").returncode == 0
    return (folder / SCORES).read_bytes()


def stop(process: "subprocess.Popen[str]", how: int) -> str:
    """Ctrl-C and kill -9 reach the whole group, as from a terminal and a job scheduler; SIGTERM the command alone."""
    if process.poll() is None:
        (os.kill if how == signal.SIGTERM else os.killpg)(process.pid, how)
    said = process.communicate(timeout=60)[0]
    for _ in range(100):  # the workers' end is not the command's: wait until the group is gone, or collected by nobody
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    return said


def wait_for_a_write(folder: Path, process: "subprocess.Popen[str]") -> None:
    """Until a file is being written aside and cells are stored already, or the run has ended."""
    while len(stored(folder)) <= 4 and process.poll() is None:
        time.sleep(0.02)
    while process.poll() is None and not any((folder / "results" / ".tmp").glob("*")):
        time.sleep(0.0005)  # the processor is for the run


def stored(folder: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in folder.glob("results/*/*/*/r*.json")}


def disturb(folder: Path, how: int, moment: float, undisturbed: bytes, in_write: bool) -> bool:
    """True if the stop left a half-written file aside, that is, fell inside a write."""
    process = start(folder)
    time.sleep(moment)
    if in_write:
        wait_for_a_write(folder, process)
    said = stop(process, how)
    if how != signal.SIGKILL and "[1/20]" in said and "[20/20]" not in said:  # while cells were being run
        assert process.returncode == 128 + how, said
        assert "the same command goes on from there" in said
    assert "Traceback" not in said
    kept = stored(folder)
    cut = any((folder / "results" / ".tmp").glob("*"))
    assert inside(folder, *OPTIONS, "--workers", "0").returncode == 0
    now = stored(folder)
    assert len(now) == 20
    assert {p: now[p] for p in kept} == kept, "a stored cell was run again"
    assert (folder / SCORES).read_bytes() == undisturbed
    assert not any((folder / "results" / ".tmp").glob("*")), "a dead writer's file was left behind"
    return cut


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_a_stopped_run_goes_on(how: int, tmp_path: Path, undisturbed: bytes) -> None:
    disturb(tmp_path, how, 0.0, undisturbed, in_write=True)


@pytest.mark.slow
def test_twenty_random_moments(tmp_path: Path, undisturbed: bytes) -> None:
    rng = random.Random(0)
    cut = 0
    for i in range(20):
        folder = tmp_path / str(i)
        folder.mkdir()
        how = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL][i % 3]
        cut += disturb(folder, how, rng.uniform(1.0, 6.0), undisturbed, in_write=i % 2 == 0)
    print(f"{cut} of 20 stops fell inside a write")
    assert cut > 0
