"""Suites run whole, through the command in a temporary folder."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import inside
from tiny_suite import GUESS, MODEL, TINY, written

from bench import api, suites
from bench.cli import screen


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    ran = inside(folder, "--suite", written(folder), "--workers", "0")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 claims: " in ran.stdout
    return folder


FILES = ("claims.md", "claims.csv", "claims.png", "claims.svg")


def test_a_suite_of_claims_gives_verdicts_in_four_forms(done: Path) -> None:
    table = pd.read_csv(done / "reports" / "mine" / "claims.csv").set_index(["name", "train"])
    assert {p.name for p in (done / "reports" / "mine").iterdir()} == set(FILES)
    assert list(table.index) == [
        ("trees", "150"),
        ("trees", "200"),
        ("other-site", "150 less 200"),
        ("steps", "150"),
        ("declined", "150"),
    ]
    assert table.loc[("declined", "150"), "verdict"] == "not run"
    assert "needs at least 9 outcomes" in str(table.loc[("declined", "150"), "reason"])
    assert np.isnan(table.loc[("declined", "150"), "effect"])
    judged = table[table["verdict"] != "not run"]
    assert (judged["low"] <= judged["effect"]).all()
    assert (judged["effect"] <= judged["high"]).all()
    assert judged["verdict"].isin(["reproduced", "refuted", "inconclusive", "absent", "present", "undecided"]).all()
    assert float(str(table.loc[("trees", "200"), "effect"])) > 0.03  # a model against guesses, in points of AUROC
    page = (done / "reports" / "mine" / "claims.md").read_text()
    assert "Nobody &#124; 2020" in page
    assert "Synthetic patients" in page
    assert (done / "reports" / "mine" / "claims.png").read_bytes()[:4] == b"\x89PNG"


def test_the_verdict_is_that_of_the_stored_predictions(done: Path) -> None:
    from sklearn.metrics import roc_auc_score

    def auroc(path: Path) -> float:
        frame = pd.read_parquet(path)
        test = frame[frame["view"] == "test"]
        assert len(test) == 400
        return float(np.mean([roc_auc_score(test[c], test["p:" + c[2:]]) for c in test if c.startswith("y:")]))

    place = next(done.glob("results/surgical_relatedness=0.2@*"))
    d = []
    for k in range(3):
        own, *rivals = (
            auroc(next(place.glob(f"{m}@*/draws200@*/r{k}-f0.parquet")))
            for m in (MODEL.replace(":", "_"), "guess", "guess_noise=0.1")
        )
        d.append(own - max(rivals))  # the best rival of this draw
    row = pd.read_csv(done / "reports" / "mine" / "claims.csv").iloc[1]
    assert row["effect"] == pytest.approx(np.mean(d), abs=1e-9)
    # t(.975, 2) = 4.302653: half of the interval is that times SD / sqrt(3)
    assert row["high"] - row["effect"] == pytest.approx(4.302653 * np.std(d, ddof=1) / 3**0.5, rel=1e-6)


def test_a_rerun_trains_nothing_and_writes_the_same_bytes(done: Path) -> None:
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in done.glob("results/*/*/*/r*")}
    pages = {name: (done / "reports" / "mine" / name).read_bytes() for name in FILES}
    ran = inside(done, "--suite", "./mine.toml", "--workers", "0")
    cells = sum(p.suffix == ".json" for p in before)
    assert f"{cells} of {cells} cells are stored already" in ran.stdout
    assert "[" not in ran.stdout.partition("A tiny suite.")[0]
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in done.glob("results/*/*/*/r*")} == before
    assert {name: (done / "reports" / "mine" / name).read_bytes() for name in FILES} == pages


def test_python_says_the_same_and_more_draws_keep_the_old_ones(done: Path, tmp_path: Path) -> None:
    path = written(tmp_path, TINY.replace("count = 3", "count = 4"))
    options: dict[str, Any] = {"results": done / "results", "reports": tmp_path / "reports", "workers": 0}
    before = {p: p.stat().st_mtime_ns for p in done.glob("results/*/*/*/r*")}
    judged = api.run_suite(path, **options)
    assert isinstance(judged, api.Judged)
    assert set(judged.verdicts.table["draws"]) == {4}
    assert judged.failed.empty
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert any(p.name == "r3-f0.json" for p in done.glob("results/*/*/*/r*"))
    for path_ in done.glob("results/*/*/*/r3-*"):
        path_.unlink()


def test_a_failed_cell_leaves_its_claims_not_run_and_the_others_judged(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        TINY.replace(
            f'method = "{GUESS}"\nagainst = ["{MODEL}"]\nmetric',
            f'method = "{GUESS}:fault=raise"\nagainst = ["{MODEL}"]\nmetric',
        ),
    )
    judged = api.run_suite(path, seed=9, results=tmp_path / "results", reports=tmp_path / "reports", workers=0)
    assert isinstance(judged, api.Judged)
    table = judged.verdicts.table.set_index("name")
    assert table.loc["steps", "verdict"] == "not run"
    assert "failed: ValueError: no luck" in str(table.loc["steps", "reason"])
    assert table.loc["other-site", "verdict"] != "not run"
    assert set(judged.failed["method"]) == {"guess:fault=raise"}
    assert screen.show(judged) == 2
    seeds = {json.loads(p.read_text())["seed"] for p in tmp_path.glob("results/*/*/draws*/protocol.json")}
    assert seeds == {9}


@pytest.mark.slow
@pytest.mark.ci
def test_stopped_and_started_again_a_suite_ends_with_the_same_table(done: Path, tmp_path: Path) -> None:
    written(tmp_path)
    start = [sys.executable, "-m", "bench", "run", "--suite", "mine.toml", "--workers", "1"]
    process = subprocess.Popen(
        start, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    end = time.monotonic() + 240
    while len(list(tmp_path.glob("results/*/*/*/r*.json"))) < 5 and time.monotonic() < end:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.glob("results/*/*/*/r*.json")}
    assert 5 <= len(kept) < len(list(done.glob("results/*/*/*/r*.json")))
    assert not (tmp_path / "reports" / "mine" / "claims.csv").exists()
    ran = inside(tmp_path, "--suite", "mine.toml", "--workers", "0")
    assert f"{len(kept)} of " in ran.stdout
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    for name in FILES:
        assert (tmp_path / "reports" / "mine" / name).read_bytes() == (done / "reports" / "mine" / name).read_bytes(), name


def test_a_quick_look_is_marked_and_kept_apart(done: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"results": tmp_path / "results", "reports": tmp_path / "reports", "workers": 0}
    judged = api.run_suite(str(done / "mine.toml"), quick=True, **options)
    assert isinstance(judged, api.Judged)
    assert judged.folder == tmp_path / "reports" / "mine-quick"
    assert "quick look, not a result" in (judged.folder / "claims.md").read_text()
    assert set(judged.verdicts.table["draws"]) == {2}
    assert set(judged.verdicts.table["train"]) == {"100"}


def test_a_comparison_is_cross_validated_as_any_run(tmp_path: Path) -> None:
    text = f"""
text = "Two guesses."
datasets = ["surgical:n=400"]
methods = ["{GUESS}", "{GUESS}:noise=0.1"]
reference = "guess:noise=0.1"
[protocol]
folds = 3
seed = 4
"""
    path = written(tmp_path, text)
    content = suites.load(str(path))[1]
    assert isinstance(content, suites.Comparison)
    assert content.protocol.options(quick=False, seed=None).items() >= {"folds": 3, "seed": 4}.items()
    outcome = api.run_suite(path, results=tmp_path / "results", reports=tmp_path / "reports", workers=0, quick=True)
    plain = api.run(
        "surgical:n=400", [GUESS, f"{GUESS}:noise=0.1"], folds=2, seed=4, reference="guess:noise=0.1", workers=0, quick=True,
        results=tmp_path / "other", reports=tmp_path / "plain",
    )  # fmt: skip
    assert isinstance(outcome, api.Outcome)
    pd.testing.assert_frame_equal(outcome.scores, plain.scores)
    assert set(outcome.predictions["fold"]) == {0, 1}
