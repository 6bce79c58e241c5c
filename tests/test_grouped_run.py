"""Runs with --group: the same cells, stored one by one, whatever becomes of the group."""

import json
from pathlib import Path
from typing import Any

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


def ran(folder: Path, *arguments: str) -> tuple[list[dict[str, Any]], pd.DataFrame, str]:
    """Records and test predictions of all cells, and what was printed."""
    done = inside(folder, *DATA, *PART, *arguments)
    assert done.returncode == 0, done.stderr
    files = sorted(folder.glob("results/*/*/*/r*.json"))
    frames = pd.concat([pd.read_parquet(path.with_suffix(".parquet")) for path in files])
    columns = [name for name in map(str, frames) if name.startswith("p:")]
    return [json.loads(path.read_text()) for path in files], frames[frames["view"] == "test"][columns], done.stdout


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return ran(tmp_path_factory.mktemp("single"), "--methods", FRAGILE, "--no-group", "--workers", "0")[1]


@pytest.mark.parametrize(("fault", "together"), [("none", 4), ("dies", 1), ("raises", 1)])
def test_every_cell_is_stored_whatever_becomes_of_its_group(
    fault: str, together: int, single: pd.DataFrame, tmp_path: Path
) -> None:
    records, predictions, said = ran(tmp_path, "--methods", f"{FRAGILE}:fault={fault}", "--group")
    assert [record["status"] for record in records] == ["done"] * 4
    assert sum(record["facts"].get("group") == 4 for record in records) == together  # the rest by themselves
    assert predictions.to_numpy() == pytest.approx(single.to_numpy(), abs=1e-4)
    assert "[4/4]" in said
    assert all(record["seconds"] > 0 for record in records)


def test_a_network_that_cannot_be_grouped_is_named_once(tmp_path: Path) -> None:
    records, _, said = ran(tmp_path, "--methods", f"{FRAGILE}:balance=cagrad,logistic", "--group")
    assert len(records) == 8
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
