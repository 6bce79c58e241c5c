"""What a cell costs: energy from counters that turn over, by this process's share; nothing where nothing is told."""

import time
from pathlib import Path

import numpy as np
import pytest

from bench import meter


@pytest.fixture
def power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages, and what is counted in them already: a part of one, and the platform that holds them."""
    zones = {
        "intel-rapl:0": ("package-0", 1),
        "intel-rapl:1": ("package-1", 9),
        "intel-rapl:0:0": ("core", 5),
        "intel-rapl:2": ("psys", 2),
    }
    for folder, (name, joules) in ((tmp_path / zone, about) for zone, about in zones.items()):
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text(f"{joules * 1_000_000}\n")
        (folder / "max_energy_range_uj").write_text("10000000\n")
    monkeypatch.setattr(meter, "POWER", tmp_path)
    return tmp_path


def set_stat(folder: Path, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    file = folder / "stat"
    file.write_text(f"cpu {int(seconds * 100)} 0 0 999999 5 0 0 0 0 0\n")  # idle and iowait are no work
    monkeypatch.setattr(meter, "STAT", file)


def test_energy_by_share_of_processor_time(power: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter.os, "sysconf", lambda _: 100)
    monkeypatch.setattr(meter.time, "process_time", lambda: 10.0)
    set_stat(power, monkeypatch, 100)
    started = meter.Meter()
    (power / "intel-rapl:0" / "energy_uj").write_text("4000000")  # + 3 J
    (power / "intel-rapl:1" / "energy_uj").write_text("2000000")  # 9 J to 10 J = 0, then 2 J: + 3 J
    for other in ("intel-rapl:0:0", "intel-rapl:2"):
        (power / other / "energy_uj").write_text("9000000")
    set_stat(power, monkeypatch, 104)
    monkeypatch.setattr(meter.time, "process_time", lambda: 11.0)
    # 6 J, of which this process did 1 s of the 4 s of work: 1.5 J
    assert started.read()["joules"] == pytest.approx(1.5)


def test_no_counter_or_no_permission_is_no_energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "POWER", tmp_path / "nothing")
    assert meter.Meter().read()["joules"] is None
    folder = tmp_path / "intel-rapl:0" / "energy_uj"  # a folder in place of the file cannot be read either
    folder.mkdir(parents=True)
    (folder.parent / "name").write_text("package-0\n")
    monkeypatch.setattr(meter, "POWER", tmp_path)
    assert meter.Meter().read()["joules"] is None


def test_seconds_and_memory_are_of_the_cell() -> None:
    started = meter.Meter()
    before = started.read()
    held = np.ones(40 * 2**20 // 8)  # 40 MiB
    time.sleep(0.05)
    after = started.read()
    assert after["seconds"] - before["seconds"] >= 0.05
    assert after["peak_mb"] - before["peak_mb"] > 30
    del held
    assert meter.Meter().read()["peak_mb"] < after["peak_mb"]


def test_what_serves_other_cells_too_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    now, spent = [100.0], [5.0]
    monkeypatch.setattr(meter.time, "perf_counter", lambda: now[0])
    started = meter.Meter(lambda: spent[0])
    now[0], spent[0] = 110.0, 8.0
    # 10 s by the clock, 3 of them preparation
    told = started.read()
    assert (told["seconds"], told["prepared_seconds"]) == (7.0, 3.0)
