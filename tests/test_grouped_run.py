"""Runs with --group: the same cells, stored one by one, whatever becomes of the group."""

import json
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import pytest
from commands import inside

from bench.execute import groups
from bench.jobs import Job
from bench.meter import Shared
from bench.protocol import Protocol
from bench.registry import parse

PLUGINS = Path(__file__).parent / "plugins"
FRAGILE = f"{PLUGINS / 'fragile.py'}:epochs=2:batch=32:fused=16:hidden=16"
DATA = ["--dataset", f"{PLUGINS / 'wards.py'}:n=200", "--quick", "--folds", "4", "--workers", "1"]
PART = ["--shard", "1/1"]  # all of it, and no report


FAULTS = {"none": 4, "dies": 1, "raises": 1}  # and how many of its cells are done as one of a group
Cell: TypeAlias = tuple[dict[str, Any], pd.DataFrame]


def ran(folder: Path, *arguments: str) -> tuple[list[Cell], str]:
    """Records and test predictions of all cells, and what was printed."""
    done = inside(folder, *DATA, *PART, *arguments)
    assert done.returncode == 0, done.stderr
    cells: list[Cell] = []
    for path in sorted(folder.glob("results/*/*/*/r*.json")):
        frame = pd.read_parquet(path.with_suffix(".parquet"))
        columns = [name for name in map(str, frame) if name.startswith("p:")]
        cells.append((json.loads(path.read_text()), frame[frame["view"] == "test"][columns]))
    return cells, done.stdout


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Cell], str]:
    """One run of them all."""
    methods = [*(f"{FRAGILE}:fault={fault}" for fault in FAULTS), f"{FRAGILE}:balance=cagrad", "logistic"]
    return ran(tmp_path_factory.mktemp("grouped"), "--methods", ",".join(methods), "--group")


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    return ran(tmp_path_factory.mktemp("single"), "--methods", FRAGILE, "--no-group", "--workers", "0")[0]


@pytest.mark.parametrize(("fault", "together"), FAULTS.items())
def test_every_cell_is_stored_whatever_becomes_of_its_group(
    fault: str, together: int, grouped: tuple[list[Cell], str], single: list[Cell]
) -> None:
    found = [(record, p) for record, p in grouped[0] if _settings(record) == (fault, "equal")]
    assert [record["status"] for record, _ in found] == ["done"] * 4
    assert sum(record["facts"].get("group") == 4 for record, _ in found) == together  # the rest by themselves
    for (_, p), (_, alone) in zip(found, single, strict=True):
        assert p.to_numpy() == pytest.approx(alone.to_numpy(), abs=1e-4)
    assert all(record["seconds"] > 0 for record, _ in found)
    assert "[20/20]" in grouped[1]


def _settings(record: dict[str, Any]) -> tuple[Any, Any]:
    return tuple(record["settings"].get(name) for name in ("fault", "balance"))


def test_a_network_that_cannot_be_grouped_is_named_once(grouped: tuple[list[Cell], str]) -> None:
    cells, said = grouped
    assert sum(_settings(record) in (("none", "cagrad"), (None, None)) for record, _ in cells) == 8
    assert said.count("trained one by one, not as a group") == 1
    assert "balance=cagrad needs each network's own" in said
    assert "logistic (" not in said


def test_a_device_that_is_not_here_ends_the_run_at_once(tmp_path: Path) -> None:
    done = inside(tmp_path, *DATA, "--methods", FRAGILE, "--device", "cuda:9")
    assert done.returncode == 1
    assert done.stderr.startswith("bench: device must be auto or one of what is here (cpu")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def jobs(method: str, folds: int) -> list[Job]:
    (dataset,), (chosen,) = parse("datasets", "surgical"), parse("methods", method)
    return [Job(dataset, chosen, Protocol(), 0, fold, "r", f"r/{method}", "d", f"s{fold}", {}) for fold in range(folds)]


def test_groups_leave_every_worker_one_and_nothing_out() -> None:
    every = [*jobs("mmoe", 5), *jobs("logistic", 5), *jobs("ple", 5)]
    for workers, sizes in ((1, [5, 1, 1, 1, 1, 1, 5]), (4, [3, 2, 1, 1, 1, 1, 1, 3, 2]), (40, [1] * 15)):
        made = groups.grouped(every, workers)
        assert [1 + len(job.others) for job in made] == sizes
        assert sorted((j.method.label, j.fold) for job in made for j in (job, *job.followers)) == sorted(
            (j.method.label, j.fold) for j in every
        )
    lead = groups.grouped(jobs("mmoe", 3), 1)[0]
    assert [(j.fold, j.split_digest, j.follows, j.others) for j in lead.followers] == [(1, "s1", True, ()), (2, "s2", True, ())]
    assert Job.from_json(json.loads(json.dumps(lead.json()))) == lead


def test_cells_of_a_group_bear_equal_parts_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three cells: 6 s of all three; the first then takes 1 s by itself; 4 s of the other two. 6/3 + 1 = 3 and 6/3 + 4/2 = 4.
    shared, clock = Shared(3), [0.0]
    monkeypatch.setattr(
        shared.meter, "read", lambda: {"seconds": clock[0], "prepared_seconds": 0.6, "peak_mb": 1.0, "joules": None}
    )
    clock[0] = 6.0
    shared.ended()
    clock[0] = 7.0
    assert shared.read() == {"seconds": 3.0, "prepared_seconds": 0.2, "peak_mb": 1.0, "joules": None}
    shared.stored()
    clock[0] = 11.0
    shared.ended()
    assert shared.read()["seconds"] == 4.0
