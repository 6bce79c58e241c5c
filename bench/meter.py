"""What a cell costs: seconds, peak memory, and energy where the machine tells."""

import ctypes
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.core import JSON

SELF = Path("/proc/self")
STAT = Path("/proc/stat")
POWER = Path("/sys/class/powercap")


class Meter:
    """Starts when it is made. Reading it changes nothing, so that it can be read as often as wanted.

    prepared: seconds the process has spent so far on what other cells use too; told apart from the cell's own.
    """

    def __init__(self, prepared: Callable[[], float] = lambda: 0.0) -> None:
        _give_back()
        with suppress(OSError):  # elsewhere the mark is the process's
            (SELF / "clear_refs").write_text("5")  # Linux: start the high-water mark anew for this cell
        self.start = time.perf_counter()
        self.own = time.process_time()
        self.busy = _busy()
        self.energy = _energy()
        self.prepared = prepared
        self.before = prepared()

    def seconds(self) -> float:
        """Since it was made, without those of preparing."""
        return time.perf_counter() - self.start - (self.prepared() - self.before)

    def read(self) -> dict[str, JSON]:
        """seconds, prepared_seconds, peak_mb (MiB), joules (of both; None where the machine does not tell)."""
        spent = {"seconds": self.seconds(), "prepared_seconds": self.prepared() - self.before}
        return {**{name: round(value, 3) for name, value in spent.items()}, "peak_mb": _peak_mb(), "joules": self._joules()}

    def _joules(self) -> float | None:
        """The processors' energy since the start, by this process's share of all processor time spent."""
        energy, busy = _energy(), _busy()
        spent = sum((energy[name] - self.energy[name]) % size for name, size in _ranges(energy) if name in self.energy)
        if not spent or busy <= self.busy:
            return None
        return round(spent / 1e6 * min((time.process_time() - self.own) / (busy - self.busy), 1.0), 3)


class Shared:
    """What cells cost that are trained at once: each an equal part of the time until it ended, and what came after for it alone."""

    def __init__(self, cells: int, prepared: Callable[[], float] = lambda: 0.0) -> None:
        self.meter, self.cells, self.left = Meter(prepared), cells, cells
        self.each = self.before = (0.0, 0.0)  # seconds, joules

    def ended(self) -> None:
        """The training of one has ended; what is read from now on is its cost."""
        now = self._now()
        self.each = (self.each[0] + (now[0] - self.before[0]) / self.left, self.each[1] + (now[1] - self.before[1]) / self.left)
        self.before = now

    def seconds(self) -> float:
        """Since the first began, without those of preparing."""
        return self.meter.seconds()

    def read(self) -> dict[str, JSON]:
        whole: Any = self.meter.read()
        now = self._now()
        seconds, joules = (round(part + after - start, 3) for part, after, start in zip(self.each, now, self.before, strict=True))
        prepared = round(whole["prepared_seconds"] / self.cells, 3)
        return {**whole, "seconds": seconds, "prepared_seconds": prepared, "joules": None if whole["joules"] is None else joules}

    def stored(self) -> None:
        """The cell is stored; the others go on."""
        self.left, self.before = self.left - 1, self._now()

    def _now(self) -> tuple[float, float]:
        whole: Any = self.meter.read()
        return whole["seconds"], whole["joules"] or 0.0


def _give_back() -> None:
    """Memory that earlier cells left with the C library, so that it does not count as this one's. glibc alone."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _peak_mb() -> float:
    """Peak resident memory of the cell where the system tells (Linux), else of the process so far."""
    try:
        line = next(x for x in (SELF / "status").read_text().splitlines() if x.startswith("VmHWM"))
        return round(int(line.split()[1]) / 1024, 1)
    except (OSError, StopIteration):
        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(size / (2**20 if sys.platform == "darwin" else 2**10), 1)  # macOS counts bytes, Linux KiB


def _energy() -> dict[str, int]:
    """Microjoules counted by each processor package (RAPL), as far as it may be read: often by root alone."""
    found: dict[str, int] = {}
    for path in sorted(POWER.glob("*-rapl:[0-9]")):  # a package's parts have a second number
        try:
            if (path / "name").read_text().startswith("package"):  # psys, the whole platform, stands beside them and holds them
                found[path.name] = int((path / "energy_uj").read_text())
        except (OSError, ValueError):
            continue
    return found


def _ranges(names: dict[str, int]) -> list[tuple[str, int]]:
    """Where each counter starts again from 0."""
    return [(name, int((POWER / name / "max_energy_range_uj").read_text())) for name in names]


def _busy() -> float:
    """Seconds that all processors together have worked since the machine started; 0 where the system does not tell."""
    try:
        fields = [int(x) for x in STAT.read_text().splitlines()[0].split()[1:9]]  # user nice system idle iowait irq softirq steal
    except (OSError, ValueError, IndexError):
        return 0.0
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
