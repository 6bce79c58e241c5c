"""Tuned runs through the real command: killed and gone on, replayed, reported; and test rows that tuning cannot see."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import inside

from bench import cells, checks, jobs, protocol, registry, splits
from bench.core import Cohort, Run
from bench.jobs import Job
from bench.store import Store

KNOBS = str(Path(__file__).parent / "plugins" / "knobs.py")
NAMED = ["--quick", "--dataset", "surgical:n=1500"]
DATA = [*NAMED, "--folds", "2"]
TRIALS = 8
UNDER = f"quick-cv2-tune{TRIALS}"


def started(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    line = [sys.executable, "-m", "bench", "run", *arguments]
    return subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)


def done(folder: Path, *arguments: str, verb: str = "run") -> str:
    ran = inside(folder, *arguments, verb=verb)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def stored(folder: Path, method: str, under: str) -> dict[int, tuple[dict[str, Any], pd.DataFrame]]:
    """fold -> record, predictions."""
    found: dict[int, tuple[dict[str, Any], pd.DataFrame]] = {}
    for path in sorted(folder.glob(f"results/*/{method}@*/{under}@*/r0-f*.json")):
        record = json.loads(path.read_text())
        found[record["fold"]] = record, pd.read_parquet(path.with_suffix(".parquet"))
    return found


def untimed(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key != "seconds"}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("tuned")
    methods = f"{KNOBS}:pause=0.2,constant,lightgbm:rounds=20"
    return folder, done(folder, *DATA, "--methods", methods, "--tune", str(TRIALS), "--workers", "2")


def test_killed_between_trials_a_run_goes_on_with_the_next_and_ends_the_same(tuned: tuple[Path, str], tmp_path: Path) -> None:
    line = [*DATA, "--methods", f"{KNOBS}:pause=0.2", "--tune", str(TRIALS), "--workers", "1"]
    process = started(tmp_path, *line)
    end = time.monotonic() + 120
    while time.monotonic() < end:
        files = list(tmp_path.glob("results/*/*/*/trials/r0-f0.json"))
        if files and len(json.loads(files[0].read_text())["record"]["trials"]) >= 3:
            break
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    file = next(tmp_path.glob("results/*/*/*/trials/r0-f0.json"))
    before = json.loads(file.read_text())["record"]["trials"]
    assert 3 <= len(before) < TRIALS
    assert not list(tmp_path.glob("results/*/*/*/r0-f0.json"))
    done(tmp_path, *line, "--workers", "0", "--shard", "1/1")  # without a report
    after = json.loads(file.read_text())["record"]["trials"]
    assert after[: len(before)] == before  # their seconds too: they were not done again
    assert len(after) == TRIALS
    whole, resumed = (stored(folder, "knobs*", UNDER) for folder in (tuned[0], tmp_path))
    for fold in (0, 1):
        assert untimed(whole[fold][0]["facts"]["tuned"]) == untimed(resumed[fold][0]["facts"]["tuned"])
        pd.testing.assert_frame_equal(whole[fold][1], resumed[fold][1])


def test_a_damaged_record_of_trials_is_made_again(tuned: tuple[Path, str], tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save_trials(tmp_path, 0, 0, {"trials": [1, 2]})
    assert store.trials(tmp_path, 0, 0) == {"trials": [1, 2]}
    file = tmp_path / "trials" / "r0-f0.json"
    file.write_text(file.read_text().replace("2", "3", 1))
    assert store.trials(tmp_path, 0, 0) is None
    file.write_text(file.read_text()[:10])
    assert store.trials(tmp_path, 0, 0) is None
    assert store.trials(tmp_path, 0, 1) is None


def test_the_ledger_stands_under_the_table_and_names_what_failed(tuned: tuple[Path, str]) -> None:
    folder, said = tuned
    assert f"every method tuned in every training fold with {TRIALS} trials" in " ".join(said.split())
    report = folder / "reports" / f"surgical_n=1500_tune={TRIALS}-quick"
    table = (report / "table.md").read_text()
    ledger = table[table.index("Tuning ledger") :]
    rows = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
        for line in ledger.splitlines()
        if "|" in line
    }
    frame = pd.read_csv(report / "tuned.csv")
    assert set(frame["method"]) == {"knobs:pause=0.2", "constant", "lightgbm:rounds=20"}
    sums = frame.groupby("method")[["trials", "failed", "pruned"]].sum()
    knobs = rows["knobs:pause=0.2"]
    assert knobs[0] == "3"  # at, style, rate: all but pause, which was given
    assert [int(x) for x in knobs[1:4]] == sums.loc["knobs:pause=0.2"].tolist()
    assert int(knobs[1]) == 2 * TRIALS
    assert knobs[5] == f"{(frame.loc[frame['method'] == 'knobs:pause=0.2', 'trial'] == 0).sum()} of 2"
    assert rows["constant"][0] == "none: defaults"
    assert rows["constant"][1] == "0"
    if sums.loc["knobs:pause=0.2", "failed"]:
        assert "Failed trials of knobs:pause=0.2:" in table.replace("&#58;", ":")
    page = (report / "index.html").read_text()
    assert f"tuned in every training fold with {TRIALS} trials" in page
    assert "failed trials" in page


def test_the_settings_of_a_fold_replayed_without_tuning_give_the_same_predictions(tuned: tuple[Path, str]) -> None:
    folder, _ = tuned
    found = [cell for method in ("lightgbm*", "knobs*") for cell in stored(folder, method, UNDER).values()]
    specs = [str(record["facts"]["tuned"]["spec"]) for record, _ in found]
    assert sum(record["facts"]["tuned"]["trial"] > 0 for record, _ in found) >= 1  # else nothing is replayed
    given = ",".join(dict.fromkeys(spec.replace("knobs", KNOBS) for spec in specs))
    done(folder, *DATA, "--methods", given, "--workers", "0")
    for spec, (record, predictions) in zip(specs, found, strict=True):
        again = stored(folder, spec.replace(":", "_"), "quick-cv2")
        pd.testing.assert_frame_equal(again[record["fold"]][1], predictions)
    report = folder / "reports" / "surgical_n=1500-quick"  # of the run without tuning
    assert "Tuning ledger" not in (report / "table.md").read_text()
    assert not (report / "tuned.csv").exists()


def test_tuned_and_default_cells_lie_apart_and_are_reported_by_their_protocol(tuned: tuple[Path, str]) -> None:
    folder, _ = tuned
    done(folder, *NAMED, "--methods", "all", "--protocol", UNDER, verb="report")
    assert "Tuning ledger" in (folder / "reports" / f"surgical_n=1500_tune={TRIALS}-quick" / "table.md").read_text()
    said = done(folder, "lightgbm:rounds=20", "constant", *NAMED, "--protocol", UNDER, verb="compare")
    assert f"{TRIALS} trials" in " ".join(said.split())


def test_settings_are_chosen_the_same_whatever_the_test_rows_hold(make_cohort: Any, tmp_path: Path) -> None:
    cohort: Cohort = make_cohort(n=300, tasks=2, missing_labels=0.0)
    split = splits.make(cohort, 2, 1, 0)[0]
    labels = cohort.labels.copy()
    labels[split.test] = 1 - labels[split.test]
    table: Any = cohort.inputs.modalities["table"]
    frame = table.frame.copy()
    frame.loc[split.test, "age"] = np.random.default_rng(0).normal(1000, 500, len(split.test))
    modalities: Any = {**cohort.inputs.modalities, "table": type(table)(frame, table.present)}
    garbled = checks.build("small", modalities, list(cohort.tasks), labels, list(cohort.patients))
    outcomes: list[Any] = []
    for name, one in (("right", cohort), ("garbled", garbled)):
        spec = registry.parse("methods", "hard_sharing:epochs=3:fused=32:hidden=64")[0]
        under = protocol.asked(folds=2, tune=4)[0]
        job = Job(registry.parse("datasets", "surgical")[0], spec, under, 0, 0, str(tmp_path), str(tmp_path / name), "", "", {})
        shown = cells.Shown(one, one, split, 0, (), lambda view, one=one: one)
        chosen, facts = jobs._settled(job, shown, Run())
        record = Store(tmp_path).trials(tmp_path / name, 0, 0) or {}
        outcomes.append((chosen, untimed(dict(facts["tuned"])), [untimed(trial) for trial in record["trials"]]))  # pyright: ignore
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0][2]) == 4
    swapped = replace(split, valid=split.test, test=split.valid)  # the same garbled rows are seen where they validate
    shown = cells.Shown(garbled, garbled, swapped, 0, (), lambda view: garbled)
    _, facts = jobs._settled(replace(job, folder=str(tmp_path / "seen")), shown, Run())
    assert dict(facts["tuned"])["default"] != outcomes[0][1]["default"]  # pyright: ignore


def test_weights_of_outcomes_are_tried_in_real_trials(tmp_path: Path, make_cohort: Any) -> None:
    cohort: Cohort = make_cohort(n=200, tasks=2, missing_labels=0.0)
    split = splits.make(cohort, 2, 1, 0)[0]
    spec = registry.parse("methods", "hard_sharing:epochs=2:fused=32:hidden=64:width=64")[0]
    job = Job(
        registry.parse("datasets", "surgical")[0], spec, protocol.asked(folds=2, tune=12)[0], 0, 0, str(tmp_path), str(tmp_path), "", "", {}
    )  # fmt: skip
    jobs._settled(job, cells.Shown(cohort, cohort, split, 0, (), lambda view: cohort), Run())
    trials = (Store(tmp_path).trials(tmp_path, 0, 0) or {})["trials"]
    assert any(trial["settings"]["balance"].startswith("fixed+") and trial["state"] == "done" for trial in trials)
    assert trials[0]["settings"]["balance"] == "equal"
