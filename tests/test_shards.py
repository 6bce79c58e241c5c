"""Parts of a run for machines that know nothing of each other: disjoint, whole together, even, and the same whatever is stored."""

import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filled import GUESS
from hypothesis import given, settings
from hypothesis import strategies as st

import bench
from bench.cli import main
from bench.core import BenchError
from bench.execute import shards
from bench.execute.shards import Shard

METHODS = f"{GUESS},{GUESS}:noise=0.1"
SMALL = ["--quick", "--dataset", "surgical:n=600", "--folds", "3", "--workers", "1", "--methods", METHODS]
Cell = tuple[str, int, int]


def plan(methods: int, repeats: int, folds: int, stored: int = 0) -> Any:
    """What `dealt` sees of a plan, of which so many cells are stored already."""
    names = [f"m{i}" for i in range(methods)]
    every = [
        SimpleNamespace(method=SimpleNamespace(label=name), repeat=r, fold=f)
        for r, f, name in itertools.product(range(repeats), range(folds), names)
    ]
    return SimpleNamespace(methods=tuple(names), stored=tuple((job, {}) for job in every[:stored]), missing=tuple(every[stored:]))


def test_folds_go_whole_and_the_rest_is_dealt_method_by_method() -> None:
    # 3 folds, 2 methods, 2 shards: fold 0 is the first's, fold 1 the second's; of fold 2, m0 is the first's and m1 the second's
    (mine,) = shards.dealt([plan(2, 1, 3)], 2)
    assert mine == {
        ("m0", 0, 0): 1, ("m1", 0, 0): 1, ("m0", 0, 1): 2, ("m1", 0, 1): 2, ("m0", 0, 2): 1, ("m1", 0, 2): 2,
    }  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 7), st.integers(1, 3), st.integers(1, 6)), min_size=1, max_size=4),
    of=st.integers(1, 20),
    share=st.floats(0, 1),
)
def test_shards_are_the_plan_even_and_stable(sizes: Sequence[tuple[int, int, int]], of: int, share: float) -> None:
    plans = [plan(*size) for size in sizes]
    dealt = shards.dealt(plans, of)
    for size, cells in zip(sizes, dealt, strict=True):
        assert len(cells) == size[0] * size[1] * size[2]  # every cell once: a mapping gives each one shard
        assert set(cells.values()) <= set(range(1, of + 1))
        for method in {cell[0] for cell in cells}:
            counts = Counter(owner for cell, owner in cells.items() if cell[0] == method)
            assert max(counts.values()) - min(counts.get(k, 0) for k in range(1, of + 1)) <= 2
    every = Counter(owner for cells in dealt for owner in cells.values())
    assert max(every.values()) - min(every.get(k, 0) for k in range(1, of + 1)) <= max(size[0] for size in sizes)
    later = [plan(*size, stored=int(share * size[0] * size[1] * size[2])) for size in sizes]
    assert shards.dealt(later, of) == dealt, "a shard's cells must not depend on what is stored"


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "a/b", "1.5/4", "1/1000000000"])
def test_what_is_no_shard_is_one_line(text: str) -> None:
    with pytest.raises(BenchError, match=r"--shard takes K/N, .* but got '.*'$"):
        Shard.parse(text)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    """The exit status, or the line that stands for it, and what was printed."""
    with pytest.raises(SystemExit) as ended:
        main(["run", *arguments])
    return ended.value.code, capsys.readouterr().out


def test_shards_at_the_same_time_are_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    parts.mkdir()
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "bench", "run", *SMALL, "--shard"]
    running = [subprocess.Popen([*command, f"{k}/2"], cwd=parts, stdout=pipe, text=True) for k in (1, 2)]
    for k, process in enumerate(running, 1):
        out = process.communicate(timeout=300)[0]
        assert process.returncode == 0, out
        assert out.splitlines()[-1].startswith(f"Shard {k}/2: its 3 of 6 cells are stored."), out
    assert not list(parts.glob("reports/*")), "a shard makes no table"
    monkeypatch.chdir(parts)
    bench.make_report("surgical:n=600", quick=True)
    places = {"results": whole / "results", "reports": whole / "reports"}
    bench.run("surgical:n=600", METHODS, folds=3, workers=0, quick=True, **places)
    for name in ("scores.csv", "comparisons.csv"):
        place = Path("reports/surgical_n=600-quick") / name
        assert (parts / place).read_bytes() == (whole / place).read_bytes()
    status, again = said(capsys, *SMALL, "--shard", "2/3")
    assert status == 0
    assert "2 of 2 cells are stored already" in again
    assert again.splitlines()[-1] == (
        "Shard 2/3: its 2 of 6 cells are stored. `bench report`, or this command without --shard, makes the tables."
    )


def test_a_shard_says_what_is_missing_and_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    failing = ["--dataset", "surgical:n=600", "--folds", "2", "--workers", "0", "--methods", f"{GUESS},{GUESS}:fault=raise"]
    status, out = said(capsys, *failing, "--shard", "1/2")
    assert status == 2
    assert out.splitlines()[-1] == (
        "Shard 1/2: its 2 of 4 cells are stored, 1 of them failed. 2 cells of other shards are missing; no table is made of a part. "
        "`bench report`, or this command without --shard, makes the tables when they are there."
    )
    assert said(capsys, *failing, "--shard", "3/2") == (
        "bench: --shard takes K/N, the K-th of N parts, as in 1/16 ... 16/16, but got '3/2'", "",
    )  # fmt: skip
    assert len(list(tmp_path.glob("results/*/*/*/r*.json"))) == 2


WRITER = """
import sys
from pathlib import Path
from bench.store import Part, Store
root, name = sys.argv[1:]
store, dataset, protocol = Store(Path(root)), Part("d", {}), Part("p", {})
print("ready", flush=True)
sys.stdin.readline()
for i in range(25):
    store.change_run(dataset, protocol, lambda before: {"methods": {**before.get("methods", {}), f"{name}-{i}": {}}})
"""


def test_runs_that_write_one_record_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), f"w{k}"], stdin=pipe, stdout=pipe, text=True)
        for k in range(4)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:  # all at once
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    assert [writer.wait(300) for writer in writers] == [0] * 4
    (record,) = tmp_path.glob("*/runs/*.json")
    assert len(json.loads(record.read_text())["methods"]) == 4 * 25
    assert not list((tmp_path / ".tmp").glob("*"))
