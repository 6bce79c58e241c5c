"""The same cells on a real Dask scheduler and its workers, which are killed: the tables are those of a local run."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from commands import Ended, inside
from dask_cluster import Dask, can_hide, until

import bench
from bench import devices

pytestmark = [pytest.mark.slow, pytest.mark.ci]

pytest.importorskip("distributed")

PLUGINS = Path(__file__).parent / "plugins"
TABLES = ("scores.csv", "comparisons.csv")
METHODS = ["guess.py", "guess.py:noise=0.1", "guess.py:noise=0.2:sleep=0.3", "needy.py"]


def own(folder: Path) -> Path:
    """A folder with a cohort of one's own, and methods outside the suite."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    n = 300
    frame = pd.DataFrame({"id": np.arange(n) + 1, "age": rng.normal(60, 10, n).round(1), "ward": rng.choice(["a", "b"], n)})
    frame["dead"] = (rng.random(n) < 1 / (1 + np.exp(-(frame["age"] - 65) / 5))).astype(int)
    frame["sick"] = rng.integers(0, 2, n)
    frame.to_csv(folder / "t.csv", index=False)
    (folder / "mine.toml").write_text('table = "t.csv"\npatient = "id"\n[outcomes]\ndead = "dead"\nsick = "sick"\n', "utf-8")
    for name in ("guess.py", "needy.py"):
        shutil.copy(PLUGINS / name, folder / name)
    return folder


def line(address: str, methods: Sequence[str], *options: str) -> list[str]:
    return ["--quick", "--data", "mine.toml", "--folds", "3", "--methods", ",".join(methods), *options, "--cluster", address]


def start(folder: Path, address: str, methods: Sequence[str] = METHODS, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "bench", "run", *line(address, methods, *options)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True)


def asked(folder: Path, address: str, methods: Sequence[str] = METHODS, *options: str) -> Ended:
    """The same in this process: the client is not what such a test disturbs."""
    return inside(folder, *line(address, methods, *options))


def first_cell(process: "subprocess.Popen[str]") -> None:
    """Until a cell is stored."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("["):
            return
    raise AssertionError(process.stderr.read() if process.stderr else "")


def cells(folder: Path) -> dict[str, dict[str, object]]:
    return {str(p.relative_to(folder)): json.loads(p.read_text()) for p in sorted(folder.glob("results/*/*/*/r*.json"))}


def tables(folder: Path) -> list[bytes]:
    return [(folder / "reports" / "mine-quick" / name).read_bytes() for name in TABLES]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Sequence[bytes]:
    """The tables of a run on this machine alone."""
    folder = own(tmp_path_factory.mktemp("local") / "own")
    methods = [str(folder / name) for name in METHODS]
    places = {"results": folder / "results", "reports": folder / "reports"}
    bench.run(folder / "mine.toml", methods, folds=3, workers=0, quick=True, **places)
    return tables(folder)


@pytest.mark.skipif(not can_hide(), reason="a worker that does not see the client's folder needs a mount namespace")
def test_a_killed_worker_costs_nothing_and_another_has_neither_data_nor_results_folder(
    tmp_path: Path, local: Sequence[bytes]
) -> None:
    folder = own(tmp_path / "own")
    with Dask(tmp_path / "dask") as dask:
        near = dask.worker()
        far = dask.worker("--resources", "GPU=1", hidden=folder)
        run = start(folder, dask.address)
        first_cell(run)
        near.kill()
        out, said = run.communicate(timeout=300)
        assert run.returncode == 0, out + said
    assert "cluster: 2 workers, 2 cells at a time. Dashboard: http://127.0.0.1:" in said
    assert all("cluster: 2 workers" in line or "waiting for workers" in line for line in said.splitlines()), said
    assert tables(folder) == local
    made = cells(folder)
    assert len(made) == 12
    assert {cell["status"] for cell in made.values()} == {"done"}
    parents = {cell["facts"]["parent"] for name, cell in made.items() if "needy@" in name}  # type: ignore[index]
    assert parents == {far.pid}, "needs are met where a worker announces as much"
    assert not list(folder.glob("results/.tmp/*"))


def test_a_killed_scheduler_costs_nothing_that_is_stored(tmp_path: Path, local: Sequence[bytes]) -> None:
    folder = own(tmp_path / "own")
    with Dask(tmp_path / "first") as dask:
        dask.worker()
        run = start(folder, dask.address)
        first_cell(run)
        dask.scheduler.kill()
        said = run.communicate(timeout=300)[1]
        address = dask.address
    assert run.returncode == 1, said
    assert said.splitlines()[-1].startswith(f"bench: the scheduler at {address} is gone. ")
    assert said.endswith(
        " of the 12 cells that were missing are stored. Start it and its workers again, then the same command: it goes on from there.\n"
    )
    assert "Traceback" not in said
    kept = {p: p.stat().st_mtime_ns for p in folder.glob("results/*/*/*/r*.json")}
    assert 0 < len(kept) < 12
    with Dask(tmp_path / "second") as dask:
        odd = dask.worker(path=str(other_code(tmp_path / "other")))
        ran = asked(folder, dask.address)
        assert ran.returncode == 1, ran.stderr
        said = ran.stderr
        assert "cells are stored under the code and libraries of this machine, but the worker at tcp://127.0.0.1:" in said
        assert f"has multitask-bench {bench.__version__} (code " in said
        assert {p: p.stat().st_mtime_ns for p in folder.glob("results/*/*/*/r*.json")} == kept, "no cell by other code"
        odd.kill()
        odd.wait()
        dask.worker()
        ran = asked(folder, dask.address)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(kept)} of 12 cells are stored already" in ran.stdout
    assert {p: p.stat().st_mtime_ns for p in kept} == kept, "a stored cell was run again"
    assert tables(folder) == local


def test_what_ends_a_cell_its_worker_or_the_command(tmp_path: Path) -> None:
    folder = own(tmp_path / "own")
    with Dask(tmp_path / "dask", DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as dask:
        worker = dask.worker()
        ran = asked(folder, dask.address, ["guess.py", "guess.py:fault=die"], "--retries", "0")
        assert ran.returncode == 2, ran.stdout + ran.stderr
        assert ran.stdout.count("bench: failed: guess:fault=die on mine, ") == 3
        assert {cell["status"] for name, cell in cells(folder).items() if "fault" not in name} == {"done"}

        run = start(folder, dask.address, ["guess.py:sleep=600"])
        until(lambda: bool(children(worker)), worker)
        run.send_signal(signal.SIGINT)
        out, said = run.communicate(timeout=300)
        assert run.returncode == 130, out + said
        assert out.splitlines()[-1] == "bench: stopped. 0 of 3 cells are stored; the same command goes on from there."
        until(lambda: not children(worker), worker)  # nothing goes on for nobody

        run = start(folder, dask.address, ["needy.py:kill=true"])
        assert worker.wait(300) == -signal.SIGKILL
        dask.worker()  # for the third cell: two were with the first
        out, said = run.communicate(timeout=300)
        assert run.returncode == 2, out + said
        assert out.count("the Dask worker died while this cell was with it") >= 3, out
    assert "Traceback" not in said


def test_cells_that_want_a_gpu_go_to_workers_that_announce_one(tmp_path: Path) -> None:
    from distributed import Client

    from bench.execute import remote

    folder = own(tmp_path / "own")
    with Dask(tmp_path / "dask") as dask:
        dask.worker("--nthreads", "3")
        ran = asked(folder, dask.address, METHODS, "--device", "cuda")
        assert ran.returncode == 1, ran.stdout + ran.stderr
        assert ran.stderr.splitlines()[-1] == (
            f"bench: --device cuda needs workers that say what they have, but none of the 1 at {dask.address} announces a GPU. Start those "
            'with one as in `dask worker ... --resources "GPU=1"`; --device auto takes what each has.'
        )
        assert not cells(folder)
        gpu = dask.worker("--nthreads", "3", "--resources", "GPU=2")
        with Client(dask.address, set_as_default=False) as client:
            announced = next(name for name, worker in client.scheduler_info()["workers"].items() if worker["resources"])
            for device, plain, other in (("auto", 3, 3), ("cpu", 3, 3), ("cuda", 1, 2)):
                shares = client.run(remote.sharers, device)
                assert shares.pop(announced) == other
                assert set(shares.values()) == {plain}
        ran = asked(folder, dask.address, ["needy.py", "guess.py"], "--device", "cuda")
    if devices.found() == ["cpu"]:  # it only says so; that it was asked, and not the other, is what can be seen here
        assert ran.returncode == 1, ran.stdout + ran.stderr
        assert ran.stderr.splitlines()[-1].startswith(
            f"bench: on the worker at {announced}: device must be auto or one of what is here (cpu)"
        )
    else:
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert {cell["facts"]["parent"] for name, cell in cells(folder).items() if "needy@" in name} == {gpu.pid}  # type: ignore[index]


def children(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


def other_code(folder: Path) -> Path:
    """A checkout that differs by one line."""
    root = Path(bench.__file__).parent.parent
    for name in ("bench", "methods", "datasets"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "docs"))
    shutil.copy(root / "pyproject.toml", folder)
    with (folder / "bench" / "losses.py").open("a") as file:
        file.write("MORE = 1\n")
    return folder
