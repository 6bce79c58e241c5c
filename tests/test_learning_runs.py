"""Runs of several training sizes: what is read beside the largest, when it is reported, what it says, and the same bytes again."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from commands import inside
from filled import DATA, GUESS, fill

import bench
from bench import store
from bench.protocol import Protocol
from bench.report import Settings, frames_of


def quick(size: int | None) -> Protocol:
    return Protocol(2, quick=True, rows=1500, train_size=size)


def test_sizes_are_read_for_the_largest_run_alone(tmp_path: Path) -> None:
    methods = f"{GUESS},{GUESS}:noise=0.1"
    fill(tmp_path, quick(60), GUESS, missing=[0.5])
    small = fill(tmp_path, quick(100), methods)
    assert set(small.sizes) == {60}  # so far the largest
    whole = fill(tmp_path, quick(None), methods)
    # 400 patients in 2 folds: 200 are learned from
    assert (whole.learned, list(whole.sizes)) == (200, [60, 100])
    assert set(whole.sizes[60]["method"]) == {"guess"}
    assert set(whole.sizes[60]["view"]) == {"test"}
    assert len(whole.sizes[60]) == 400
    assert set(whole.sizes[100]["method"]) == {"guess", "guess:noise=0.1"}
    again = store.read(tmp_path / "results", "wards", quick=True, under=quick(100).part.folder)
    assert (again.learned, again.sizes) == (100, {})
    found = frames_of(whole, Settings(resamples=20))
    points = found.learning.query("metric == 'auroc' and task == 'mean'")[["method", "patients"]].to_numpy().tolist()
    assert points == [["guess", 60], ["guess", 100], ["guess", 200], ["guess:noise=0.1", 100], ["guess:noise=0.1", 200]]
    assert found.worth.empty  # nobody shares
    fill(tmp_path, quick(300), methods)  # more than there are: the same 200 again, no size of its own
    assert list(store.read(tmp_path / "results", "wards", quick=True, under=quick(None).part.folder).sizes) == [60, 100]


def test_other_code_other_protocols_and_damage_are_left_out(tmp_path: Path) -> None:
    for size in (60, 80, 100, 120, 140):
        fill(tmp_path, quick(size))
    fill(tmp_path, replace(quick(90), seed=1))
    fill(tmp_path, replace(quick(95), drop=("note",), at="train"))  # the same test rows
    runs = {size: next(tmp_path.glob(f"results/*/runs/quick-cv2-n{size}@*.json")) for size in (60, 80)}
    runs[60].write_bytes(runs[60].read_bytes()[:50])
    other = json.loads(runs[80].read_text())
    other["methods"]["guess"]["folder"] = "guess@00000000"
    runs[80].write_text(json.dumps(other))
    cell = next(tmp_path.glob("results/*/guess@*/quick-cv2-n100@*/r0-f0.parquet"))
    cell.write_bytes(cell.read_bytes()[:100])
    record = next(tmp_path.glob("results/*/guess@*/quick-cv2-n120@*/r0-f1.json"))
    fewer = pd.read_parquet(record.with_suffix(".parquet")).iloc[1:]
    store.Store(tmp_path / "results").save_cell(record.parent, 0, 1, json.loads(record.read_text()), fewer)
    whole = fill(tmp_path, quick(None))
    folds = {size: set(frame["fold"]) for size, frame in whole.sizes.items()}
    assert folds == {100: {1}, 120: {0}, 140: {0, 1}}  # one damaged, one of other test rows


def test_patients_are_counted_and_not_their_rows(tmp_path: Path) -> None:
    data = f"{DATA}:visits=2"
    fill(tmp_path, quick(60), data=data)
    whole = fill(tmp_path, quick(None), data=data)
    # 400 rows of 200 patients in 2 folds
    assert (whole.learned, list(whole.sizes)) == (100, [60])
    receipt = {"folds": [{k: v for k, v in row.items() if k != "patients"} for row in whole.receipt["folds"]]}
    assert replace(whole, receipt=receipt).learned == 200  # receipts of before patients were counted: rows


# ---- runs

LEVELS = ("robustness.csv", "learning.csv", "worth.csv")


def test_the_largest_size_is_reported_last_and_what_it_lacks_later_is_gone(tmp_path: Path) -> None:
    options: dict[str, Any] = {"results": tmp_path / "results", "reports": tmp_path / "reports", "quick": True}
    folder = tmp_path / "reports" / "wards-quick"
    bench.run(DATA, GUESS, missing=0.5, workers=0, **options)
    outcome = bench.run(DATA, GUESS, train_size="all,60", workers=0, **options)  # of `all` every cell is there already
    assert list(outcome.results) == ["wards train_size=60", "wards"]
    assert set(pd.read_csv(folder / "learning.csv")["patients"]) == {60, 200}
    assert set(pd.read_csv(folder / "robustness.csv")["missing"]) == {0, 0.5}
    before = {name: (folder / name).read_bytes() for name in LEVELS[:2]}
    bench.make_report(DATA, **options)  # the newest run is the largest
    assert {name: (folder / name).read_bytes() for name in LEVELS[:2]} == before
    (folder / "worth.csv").write_text("of an earlier report")
    next(tmp_path.glob("results/*/runs/*-n60@*.json")).unlink()
    bench.make_report(DATA, **options)
    assert [name for name in LEVELS if (folder / name).exists()] == ["robustness.csv"]


def done(folder: Path, verb: str, *arguments: str) -> None:
    ran = inside(folder, *arguments, verb=verb)
    assert ran.returncode == 0, ran.stderr


def test_a_run_of_three_sizes_with_missing_modalities(tmp_path: Path) -> None:
    data = ["--quick", "--dataset", DATA]
    methods = ["--methods", "single_task,hard_sharing"]
    done(tmp_path, "run", *data, *methods, "--train-size", "100,150,all", "--missing", "0.5", "--workers", "0")
    names = {p.name: p for p in (tmp_path / "reports").iterdir()}
    assert set(names) == {f"wards{size}-quick" for size in ("", "_train_size=100", "_train_size=150")}
    (names["wards_train_size=100-quick"] / "table.md").unlink()
    done(tmp_path, "report", *data, "--protocol", "quick-cv2-n100")
    assert (names["wards_train_size=100-quick"] / "table.md").exists()
    wrong = inside(tmp_path, "hard_sharing", "single_task", *data, "--protocol", "cv9", verb="compare")
    assert wrong.returncode == 1
    assert re.search(
        r"no results under protocol 'cv9'\. There are, the newest last: .*quick-cv2-n150@\w+, quick-cv2@\w+\.", wrong.stderr
    )
    folder = names["wards-quick"]
    assert {p.name for name in names if "train" in name for p in names[name].iterdir()} & set(LEVELS) == {"robustness.csv"}
    scores, robust, learned, worth = (pd.read_csv(folder / name) for name in ("scores.csv", *LEVELS))
    # 400 patients, 2 folds: 200 to learn from
    assert set(zip(learned["method"], learned["patients"], strict=True)) == {
        (method, n) for method in ("single_task", "hard_sharing") for n in (100, 150, 200)
    }
    assert set(zip(worth["method"], worth["baseline"], strict=True)) == {("hard_sharing", "single_task")}
    assert set(worth.loc[worth["task"] == "mean", "patients"]) == {100, 150, 200}
    keys, numbers = ["method", "task", "metric"], ["value", "low", "high"]
    table = scores.set_index(keys)[numbers]
    for part in (robust[robust["missing"] == 0], learned[learned["patients"] == 200]):
        own = part.set_index(keys)[numbers]
        pd.testing.assert_frame_equal(own, table.loc[own.index], rtol=0, atol=1e-12)
    # three modalities, each gone with probability .5 but for one that stays: a share between 0 and .5
    assert robust.loc[robust["missing"] == 0.5, "masked"].between(0.2, 0.5).all()
    done(tmp_path, "report", *data, "--reports", "again")
    again = tmp_path / "again" / folder.name
    assert {p.relative_to(again) for p in again.rglob("*")} == {p.relative_to(folder) for p in folder.rglob("*")}
    assert all(p.read_bytes() == (folder / p.relative_to(again)).read_bytes() for p in again.rglob("*") if p.is_file())
    fill(tmp_path, Protocol(3, quick=True, rows=1500), "constant")
    absent = inside(tmp_path, "hard_sharing", "constant", "--quick", "--data", DATA, verb="compare")
    assert re.search(
        r"of hard_sharing under quick-cv3@\w+ .*: constant\. hard_sharing is .* --protocol quick-cv2-n100@", absent.stderr
    )
