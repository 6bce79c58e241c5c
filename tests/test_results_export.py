"""`bench results export` and `list`: the same numbers as the cells hold."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kept_cells import DATASET, PROTOCOL, QUICK, TASKS, N, cell, fill, flipped, method, record
from sklearn.metrics import average_precision_score, roc_auc_score

from bench import store, stored
from bench.cli import main
from bench.core import BenchError
from bench.report import exported


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(tmp_path / "results")
    return tmp_path / "results"


def called(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["results", *arguments])
    assert ended.value.code == 0


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_every_stored_prediction_is_a_row(root: Path, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"all.{suffix}"
    rows = stored.export(file, results=root).rows
    table = pd.read_parquet(file) if suffix == "parquet" else pd.read_csv(file)
    # 2 methods x 2 folds x (20 test + 10 validation rows) x 2 outcomes
    assert rows == len(table) == 240
    assert list(table.columns) == exported.PREDICTIONS.names
    for (folder, fold), part in table.groupby(["folder", "fold"], observed=True):
        held = pd.read_parquet(root / str(folder) / f"r0-f{fold}.parquet")
        for task in TASKS:
            mine = part[part["task"] == task]
            for column in ("row", "patient", "view"):
                assert mine[column].astype(str).tolist() == held[column].astype(str).tolist()
            for side in ("y", "p"):
                np.testing.assert_array_equal(mine[side].to_numpy(np.float32), held[f"{side}:{task}"].to_numpy())
    assert set(table["dataset"]) == {"demo:n=40"}
    assert set(table["protocol"]) == {PROTOCOL.folder}


def test_scores_per_cell_are_those_of_its_rows(root: Path, tmp_path: Path) -> None:
    called("export", str(tmp_path / "scores.csv"), "--scores", "--results", str(root))
    table = pd.read_csv(tmp_path / "scores.csv")
    # 2 methods x 2 folds x 2 views x 2 outcomes x 4 metrics
    assert len(table) == 64
    assert list(table.columns) == exported.SCORES.names
    held = pd.read_parquet(cell(root, kind="parquet")).query("view == 'test'")
    mine = table.query("method == 'good' and fold == 0 and view == 'test' and task == 'death'").set_index("metric")
    y, p = held["y:death"], held["p:death"].astype(float)
    assert mine.loc["auroc", "value"] == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert mine.loc["ap", "value"] == pytest.approx(average_precision_score(y, p), abs=1e-12)
    assert mine.loc["brier", "value"] == pytest.approx(float(((y - p) ** 2).mean()), abs=1e-12)
    assert mine.loc["auroc", ["n", "events"]].tolist() == [20, y.sum()]


def test_scores_are_weighted_as_the_report_weights_them(root: Path, tmp_path: Path) -> None:
    weight = np.linspace(1, 2, N)
    rows = pd.read_parquet(root / DATASET.folder / "cohort.parquet").assign(**{"weight:death": weight})
    about = json.loads((root / DATASET.folder / "dataset.json").read_text("utf-8"))
    store.Store(root).open(DATASET, rows, {"tasks": about["tasks"], "note": ""})
    stored.export(tmp_path / "scores.parquet", results=root, scores=True)
    table = pd.read_parquet(tmp_path / "scores.parquet").query("method == 'good' and fold == 0 and view == 'test'")
    held = pd.read_parquet(cell(root, kind="parquet")).query("view == 'test'")
    for task, w in (("death", weight[held["row"]]), ("stroke", np.ones(len(held)))):
        value = table.query("task == @task and metric == 'brier'")["value"].item()
        squares = (held[f"y:{task}"].to_numpy(float) - held[f"p:{task}"].to_numpy(float)) ** 2
        assert value == pytest.approx(np.average(squares, weights=w), abs=1e-12)


def test_quick_looks_older_code_and_damage_stay_out(root: Path, tmp_path: Path) -> None:
    fill(root, ("good",), code="old")
    fill(root)
    fill(root, ("good",), QUICK)
    flipped(cell(root, "poor", 0, "parquet"), 60)
    assert stored.export(tmp_path / "all.parquet", results=root) == (180, 1, 0, 0)  # rows, damaged cells, cells without, missing
    assert stored.export(tmp_path / "quick.parquet", results=root, quick=True) == (120, 0, 0, 0)
    assert set(pd.read_parquet(tmp_path / "all.parquet")["folder"]) == {
        f"{DATASET.folder}/{method(name).folder}/{PROTOCOL.folder}" for name in ("good", "poor")
    }


def test_a_wrong_call_is_one_line_and_leaves_nothing(root: Path, tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("mine")
    (empty := tmp_path / "empty").mkdir()
    for name, more, said in (
        ("all.xlsx", {}, r"must end in \.parquet or \.csv, but is 'all\.xlsx'"),
        ("there.csv", {}, "is there already. --force writes over it"),
        ("no/all.csv", {}, "there is no folder"),
        ("all.csv", {"dataset": "demo:n=4"}, "unknown dataset in .* 'demo:n=4'. Did you mean 'demo:n=40'"),
        ("none.csv", {"results": empty}, "holds no results to export"),
        ("none.csv", {"quick": True}, "holds no quick looks to export"),
    ):
        with pytest.raises(BenchError, match=said):
            stored.export(tmp_path / name, **{"results": root, **more})
    assert (tmp_path / "there.csv").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "results", "there.csv"]
    stored.export(tmp_path / "there.csv", results=root, force=True, dataset="demo:n=40")
    assert len(pd.read_csv(tmp_path / "there.csv")) == 240


def test_an_export_that_fails_leaves_nothing(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exported, "_shaped", lambda *given: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(BenchError, match=r"cannot write .* No space left"):
        stored.export(tmp_path / "all.csv", results=root)
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_the_list_counts_what_is_there(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, part = store.Store(root), method("mixed")
    kept.describe(DATASET, part, PROTOCOL, {"family": "any"})
    folder = kept.path(DATASET, part, PROTOCOL)
    for fold, status in enumerate(("failed", "lost", "declined", "declined")):
        kept.save_cell(folder, 0, fold, record("mixed", fold, status), None)
    (folder / "trials").mkdir()
    (folder / "trials" / "r0-f0.json").write_text(json.dumps(store.files.sealed({"trials": []})))
    flipped(cell(root, "poor", 1), 40)
    called("list", "--json", "--results", str(root))
    rows = {row["method"]: row for row in json.loads(capsys.readouterr().out)}
    counts = ("done", "failed", "lost", "declined", "damaged")
    assert {name: tuple(row[c] for c in counts) for name, row in rows.items()} == {
        "good": (2, 0, 0, 0, 0), "poor": (1, 0, 0, 0, 1), "mixed": (0, 1, 1, 2, 0),
    }  # fmt: skip
    assert {name: (row["code"], row["tuned"]) for name, row in rows.items()} == {
        "good": ("current", False), "poor": ("current", False), "mixed": ("old", True),  # which no run asked for
    }  # fmt: skip
    assert rows["good"]["bytes"] == sum(path.stat().st_size for path in cell(root).parent.iterdir())
    called("list", "--results", str(root))
    out = capsys.readouterr().out
    assert f"demo:n=40, {PROTOCOL.folder}\n" in out
    assert "8 cells of 3 methods and protocols" in out
    words = [line.split()[:6] for line in out.splitlines() if line.startswith("mixed")]
    assert words == [["mixed", "0", "1", "1", "2", "0"]]
