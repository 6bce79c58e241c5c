"""`bench run` of `plugins/faulty.py` as a process of its own, and what it left: cells and tables."""

import csv
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from commands import inside
from faulty_cells import FAULTY, WARDS

RUN = ["--dataset", WARDS, "--quick"]
METHODS = f"{FAULTY},{FAULTY}:sleep=0.3,{FAULTY}:sleep=0.31,{FAULTY}:sleep=0.32"
Tables: TypeAlias = dict[str, list[list[str]]]
TABLES = ("table.csv", "scores.csv", "comparisons.csv")
CELLS = 8


def start(folder: Path, methods: str = METHODS, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "bench", "run", *RUN, "--workers", "2", "--methods", methods, *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True)


def whole(folder: Path, *options: str) -> Tables:
    """Run to the end, in this process; the tables."""
    ran = inside(folder, *RUN, "--workers", "0", "--methods", METHODS, *options)
    assert ran.returncode == 0, ran.stderr
    return tables(folder)


def tables(folder: Path) -> Tables:
    found = next((folder / "reports").glob("wards*"))
    return {name: costless((found / name).read_bytes()) for name in TABLES}


def costless(table: bytes) -> list[list[str]]:
    """Without the seconds and the memory of cells, which no two runs have alike."""
    rows = list(csv.reader(table.decode().splitlines()))
    costs = [i for i, name in enumerate(rows[0]) if re.search("seconds|memory|joules", name, re.IGNORECASE)]
    return [[text for i, text in enumerate(row) if i not in costs] for row in rows]


def until(there: Callable[[], object], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def cells(folder: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in folder.glob("results/*/*/*/r*.json")}
