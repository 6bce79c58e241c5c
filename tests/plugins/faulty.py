"""A method of the tests that does what a broken method, library or machine does; `none` predicts a score of the table."""

import ctypes
import json
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from bench.core import JSON, Cohort, Inputs, Run, Tabular
from bench.search import Choice


@dataclass(frozen=True)
class Ranked:
    facts: Mapping[str, JSON]
    fault: str

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        table = next(m for m in inputs.modalities.values() if isinstance(m, Tabular)).frame.select_dtypes("number")
        p = table.fillna(0).to_numpy(float).std(axis=1)
        p = np.stack([(p.argsort().argsort() + 1) / (len(p) + 2)] * int(str(self.facts["tasks"])), 1)
        if self.fault == "nan":
            p[0, 0] = np.nan
        if self.fault == "beyond 1":
            p[0, 0] = 1.5
        return {"shape": p[:, :1], "rows": p[1:]}.get(self.fault, p).astype(np.float32)


def no_gil() -> None:
    ctypes.PyDLL(None).sleep(600)  # PyDLL keeps Python's lock: no thread of this process can run


def fill(size: int) -> bytes:
    return b"x" * size


def child_fills() -> None:
    subprocess.run([sys.executable, "-c", "import time; x = b'x' * 600_000_000; time.sleep(600)"], check=False)


def closes() -> None:
    sys.stdout.close()
    os.close(1)
    os.close(2)


def garbles() -> None:
    line = json.dumps({"event": "end", "record": {"status": "done"}, "holds": 1})
    print(line, flush=True)
    os.write(1, f"{line}\n".encode() + os.urandom(200_000) + b"\n")
    os.write(2, b'{"event": "stop", "error": "never"}\n')


def wanders() -> None:
    os.chdir("/")
    os.environ.clear()
    os.environ["BENCH_DATA_DIR"] = "/nowhere"
    import torch

    torch.set_num_threads(3)
    torch.set_default_dtype(torch.float64)


def leaves_a_child() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(os.environ["CHILD"]).write_text(str(child.pid))
    os.kill(os.getpid(), signal.SIGKILL)


def reads() -> None:
    if sys.stdin.read(1) or os.read(0, 1):
        raise ValueError("there was something to read")


def interrupts() -> None:
    raise KeyboardInterrupt


KEPT: list[bytes] = []


def leaks() -> None:
    KEPT.append(fill(300_000_000))


def takes() -> None:
    held = fill(400_000_000)
    time.sleep(2)
    del held


def threads() -> dict[str, JSON]:
    """How many threads the libraries of this process would use."""
    import numba
    import threadpoolctl
    import torch

    pools = {str(pool["internal_api"]): int(pool["num_threads"]) for pool in threadpoolctl.threadpool_info()}
    return {"torch": torch.get_num_threads(), "numba": numba.get_num_threads(), **pools}


def raises() -> None:
    raise ValueError("no luck")


def breaks_a_page() -> None:
    folder = Path(os.environ["CHILD"]).parent / "page"
    folder.write_bytes(b"x" * 4096)
    with folder.open("r+b") as file:
        page = mmap.mmap(file.fileno(), 4096)
        os.truncate(folder, 0)
        print(page[0])  # SIGBUS, as from a file on a disk that went away


FAULTS: dict[str, Callable[[], object]] = {
    "segfault": lambda: ctypes.string_at(0),
    "bus error": breaks_a_page,
    "abort": os.abort,
    "exit at once": lambda: os._exit(9),
    "exit": lambda: sys.exit(3),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "leaves a child": leaves_a_child,
    "no memory": lambda: np.zeros(2**60, np.uint8),
    "hangs": lambda: time.sleep(600),
    "hangs in C": no_gil,
    "fills": lambda: (fill(600_000_000), time.sleep(600)),
    "child fills": child_fills,
    "leaks": leaks,
    "takes": takes,
    "raises": raises,
    "interrupts": interrupts,
    "garbles": garbles,
    "closes": closes,
    "closes all": lambda: (os.closerange(0, 256), time.sleep(600)),
    "reads": reads,
    "wanders": wanders,
}


@dataclass(frozen=True, kw_only=True)
class Faulty:
    """once: a file; the fault happens until there is one, and makes it. sleep: seconds a cell takes.

    at: what tuning tries; hits: the one with the fault, None: all. log: a file that gets a line a training: `at` and the process.
    """

    fault: str = "none"
    once: str = ""
    sleep: float = 0.0
    at: Annotated[int, Choice((0, 1))] = 0
    hits: int | None = None
    log: str = ""

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Ranked:
        time.sleep(self.sleep)
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{self.at} {os.getpid()}\n")
        hit = self.hits is None or self.hits == self.at
        if hit and self.fault in FAULTS and not (self.once and os.path.exists(self.once)):
            if self.once:
                Path(self.once).touch()
            FAULTS[self.fault]()
        facts: dict[str, JSON] = {"tasks": len(train.tasks), "steps": 1, "pid": os.getpid()}
        return Ranked(facts | ({"threads": threads()} if self.fault == "threads" else {}), self.fault)


METHOD = Faulty
