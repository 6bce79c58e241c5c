"""What a cell costs: seconds, peak memory, and energy where the machine tells."""

import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench.core import JSON

SELF = Path("/proc/self")
STAT = Path("/proc/stat")
POWER = Path("/sys/class/powercap")


class Meter:
    """Starts when it is made. Reading it changes nothing, so that it can be read as often as wanted.

    prepared: seconds the process has spent so far on what other cells use too; told apart from the cell's own.
    """

    def __init__(self, prepared: Callable[[], float] = lambda: 0.0) -> None:
        with suppress(OSError):  # elsewhere the mark is the process's
            (SELF / "clear_refs").write_text("5")  # Linux: start the high-water mark anew for this cell
        self.start = time.perf_counter()
        self.own = time.process_time()
        self.busy = _busy()
        self.energy = _energy()
        self.prepared = prepared
        self.before = prepared()

    def read(self) -> dict[str, JSON]:
        """seconds, prepared_seconds, peak_mb (MiB), joules (of both; None where the machine does not tell)."""
        prepared = self.prepared() - self.before
        spent = {"seconds": time.perf_counter() - self.start - prepared, "prepared_seconds": prepared}
        return {**{name: round(value, 3) for name, value in spent.items()}, "peak_mb": _peak_mb(), "joules": self._joules()}

    def _joules(self) -> float | None:
        """The processors' energy since the start, by this process's share of all processor time spent."""
        energy, busy = _energy(), _busy()
        spent = sum((energy[name] - self.energy[name]) % size for name, size in _ranges(energy) if name in self.energy)
        if not spent or busy <= self.busy:
            return None
        return round(spent / 1e6 * min((time.process_time() - self.own) / (busy - self.busy), 1.0), 3)


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
