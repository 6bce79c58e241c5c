"""Faults of the machine and its keepers, with the real command: nothing stored is lost, and the rerun's tables are an undisturbed run's.

Rows of `bench/docs/faults.md`. Ctrl-C, SIGTERM and kill -9 at random moments: `test_interrupt`.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from faulty_cells import FAULTY
from faulty_runs import CELLS, METHODS, Tables, cells, start, tables, until, whole

from bench import store

pytestmark = [pytest.mark.slow, pytest.mark.ci]


def workers(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    return [p for p in psutil.Process(process.pid).children() if "bench.execute.worker" in " ".join(p.cmdline())]


def gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("complete")
    whole(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(complete: Path) -> Tables:
    return tables(complete)


def test_a_worker_that_is_killed_from_outside_costs_nothing(tmp_path: Path, undisturbed: Tables) -> None:
    process = start(tmp_path)
    until(lambda: len(cells(tmp_path)) > 1)
    workers(process)[0].kill()
    said = process.communicate(timeout=240)[0]
    assert process.returncode == 0, said
    assert tables(tmp_path) == undisturbed
    assert "Traceback" not in said


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a worker in C code outlives its parent until it returns to Python")
def test_workers_end_with_a_parent_that_is_killed_whatever_they_are_at(tmp_path: Path) -> None:
    process = start(tmp_path, f"{FAULTY}:fault=hangs in C:once={tmp_path}/hangs")
    until((tmp_path / "hangs").exists)
    at_work = workers(process)
    process.kill()
    process.wait()
    assert at_work
    until(lambda: all(map(gone, at_work)), seconds=10)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP], ids=lambda s: s.name)
def test_a_scheduler_or_a_lost_terminal_stops_a_run_in_one_line(how: signal.Signals, tmp_path: Path, undisturbed: Tables) -> None:
    process = start(tmp_path)
    until(lambda: len(cells(tmp_path)) > 1)
    at_work = workers(process)
    process.send_signal(how)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + how
    assert re.fullmatch(
        rf"bench: stopped\. \d of {CELLS} cells are stored; the same command goes on from there\.", said.splitlines()[-1]
    )
    assert all(map(gone, at_work))
    kept = cells(tmp_path)
    assert whole(tmp_path) == undisturbed
    assert cells(tmp_path).items() >= kept.items()


@pytest.mark.parametrize("loaded", ["numpy", "pyarrow"])
def test_a_run_that_is_stopped_before_it_began_says_so(loaded: str, tmp_path: Path) -> None:
    process = start(tmp_path)
    until(lambda: loaded in Path(f"/proc/{process.pid}/maps").read_text())
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("bench: stopped")
    assert not cells(tmp_path)


def test_a_cell_that_was_stopped_is_remembered(tmp_path: Path) -> None:
    methods, limit = f"{FAULTY},{FAULTY}:fault=hangs", ("--cell-timeout", "8", "--shard", "1/1")
    first = start(tmp_path, methods, *limit)
    said = first.communicate(timeout=240)[0]
    assert first.returncode == 2, said
    assert len(re.findall(r"fault=hangs r0-f\d: failed: stopped after 8 s: more than --cell-timeout 8 \(8 s", said)) == 2
    kept = cells(tmp_path)
    second = start(tmp_path, methods, *limit)
    said = second.communicate(timeout=240)[0]
    assert second.returncode == 2, said
    assert "4 of 4 cells are stored already, 2 of them failed." in said
    assert cells(tmp_path) == kept


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, for the results."""
    folder = tmp_path / "results"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"this machine lets nobody mount: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def fill(folder: Path, left: int) -> Path:
    """A file that leaves so many bytes, or none."""
    room = os.statvfs(folder)
    ballast = folder / "ballast"
    with suppress(OSError):  # a cell that was stored meanwhile has taken some of it: full is full
        ballast.write_bytes(b"x" * (room.f_bavail * room.f_frsize - left))
    return ballast


def test_a_full_disk_ends_a_run_in_one_line_and_costs_nothing(disk: Path, undisturbed: Tables) -> None:
    folder = disk.parent
    process = start(folder)
    until(lambda: len(cells(folder)) > 1)
    ballast = fill(disk, left=4096)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 1
    assert "No space left on device" in said.splitlines()[-1]
    assert said.splitlines()[-1].startswith("bench: cannot write to the results folder")
    assert "Traceback" not in said
    kept = cells(folder)
    assert 1 < len(kept) < CELLS
    assert all(json.loads(p.read_text()) for p in kept)
    ballast.unlink()
    assert whole(folder) == undisturbed
    assert cells(folder).items() >= kept.items()


def test_results_that_turn_read_only_end_a_run_in_one_line(disk: Path, undisturbed: Tables) -> None:
    folder = disk.parent
    process = start(folder)
    until(lambda: len(cells(folder)) > 1)
    for _ in range(50):  # refused while a file is open for writing
        if not subprocess.run(["mount", "-o", "remount,ro", str(disk)], capture_output=True, check=False).returncode:
            break
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 1
    assert re.match(r"bench: cannot write to the results folder: .*Read-only file system", said.splitlines()[-1])
    kept = cells(folder)
    again = start(folder)
    assert "Read-only file system" in again.communicate(timeout=120)[0].splitlines()[-1]
    assert again.returncode == 1
    remount(disk, "rw")
    assert whole(folder) == undisturbed
    assert cells(folder).items() >= kept.items()


def test_a_full_disk_under_the_reports_ends_in_one_line(disk: Path, undisturbed: Tables) -> None:
    folder = disk.parent
    fill(disk, left=4096)
    process = start(folder, METHODS, "--results", str(folder / "stored"), "--reports", str(disk))
    said = process.communicate(timeout=240)[0]
    assert process.returncode == 1
    assert said.splitlines()[-1].startswith("bench: cannot write to the reports folder")
    assert "No space left on device" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert whole(folder, "--results", str(folder / "stored")) == undisturbed


def test_two_runs_at_once_in_one_folder(tmp_path: Path, undisturbed: Tables) -> None:
    both = [start(tmp_path), start(tmp_path)]
    for process in both:
        said = process.communicate(timeout=240)[0]
        assert process.returncode == 0, said
    assert len(cells(tmp_path)) == CELLS
    assert tables(tmp_path) == whole(tmp_path) == undisturbed
    assert not any((tmp_path / "results" / ".tmp").glob("*"))
    assert not store.verify(tmp_path / "results").findings


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_version(path: Path) -> None:
    path.write_text(json.dumps({"version": 99, "cells": [1, 2, 3]}))


def test_damaged_cells_are_made_again_and_no_others(complete: Path, tmp_path: Path, undisturbed: Tables) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(complete, folder)
    before = cells(folder)
    hurt = sorted(before)[:6]
    for path, (hurts, suffix) in zip(
        hurt,
        [
            (flip, ".parquet"),
            (truncate, ".parquet"),
            (empty, ".parquet"),
            (truncate, ".json"),
            (other_version, ".json"),
            (empty, ".json"),
        ],
        strict=True,
    ):
        hurts(path.with_suffix(suffix))
    assert whole(folder) == undisturbed
    after = cells(folder)
    assert {path for path in before if before[path] != after[path]} == set(hurt)


def test_a_clock_that_jumped_changes_nothing(complete: Path, tmp_path: Path, undisturbed: Tables) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(complete, folder)
    for i, path in enumerate(sorted(p for p in folder.rglob("*") if p.is_file())):
        moment = [0, 4_000_000_000][i % 2]  # 1970, 2096
        os.utime(path, (moment, moment))
    before = cells(folder)
    assert whole(folder) == undisturbed
    assert cells(folder) == before
