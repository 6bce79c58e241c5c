"""`bench` as a user calls it, and small runs of a method that costs nothing."""

import io
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from filled import GUESS

from bench.cli import main

TWO = f"{GUESS},{GUESS}:noise=0.1"
QUICK = ["--quick", "--dataset", "surgical:n=600"]
SMALL = [*QUICK, "--folds", "3", "--workers"]  # and how many
Ended: TypeAlias = "subprocess.CompletedProcess[str]"


def command(folder: Path, *arguments: str, verb: str = "run", python: Sequence[str] = ()) -> Ended:
    """In a process of its own. python: options of the interpreter."""
    line = [sys.executable, *python, "-m", "bench", verb, *arguments]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def inside(folder: Path, *arguments: str, verb: str = "run") -> Ended:
    """The same in this process, without the seconds that an interpreter takes to begin."""
    out, err = io.StringIO(), io.StringIO()
    with chdir(folder), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([verb, *arguments])
    said = ended.value.code  # a text is what the interpreter would print before it ends with 1
    if isinstance(said, str):
        return subprocess.CompletedProcess(arguments, 1, out.getvalue(), f"{err.getvalue()}{said}\n")
    return subprocess.CompletedProcess(arguments, said or 0, out.getvalue(), err.getvalue())


def cells(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(p.read_text()) for p in sorted(folder.glob("results/*/*/*/r*.json"))]


def report_folder(folder: Path) -> Path:
    return folder / "reports" / "surgical_n=600-quick"
