"""`bench results track` and `export --for bencheval`: what is sent is what the report says, and reaches the real trackers.

MLflow and Weights & Biases are no part of [test] (37 packages); what needs them is skipped where they are not installed.
"""

import importlib
import sqlite3
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import command, inside
from kept_cells import N, cell, fill, predictions, record
from sklearn.metrics import roc_auc_score

from bench import stored, tracking
from bench.core import BenchError
from bench.report import bencheval

DEMO = ["--dataset", "demo:n=40"]


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed: pip install -e '.[tracking]'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tracked")
    fill(made / "results")
    return made


@pytest.fixture(scope="module")
def outcome(folder: Path) -> stored.Outcome:
    return stored.make_report("demo:n=40", results=folder / "results", reports=folder / "reports")


def test_a_run_holds_what_the_report_says(outcome: stored.Outcome, folder: Path) -> None:
    good, poor = tracking.tracked(outcome)
    assert (good.name, poor.name, good.group) == ("good on demo:n=40", "poor on demo:n=40", "demo:n=40")
    scores = outcome.scores.query("method == 'good'").set_index(["metric", "task"])
    defined = scores["value"].dropna()
    assert {f"{metric}/{task}" for metric, task in defined.index} == {
        key for key in good.metrics if "_low" not in key and "_high" not in key and "_sd" not in key
    }
    assert good.metrics["auroc/death"] == scores.loc[("auroc", "death"), "value"]
    assert good.metrics["auroc_low/death"] == scores.loc[("auroc", "death"), "low"]
    assert (good.params["method"], good.params["protocol.folds"], good.tags["bench.cohort"]) == ("good", 2, "d")
    assert [file.is_file() for file in good.files] == [True] * 3


def test_steps_are_the_folds_each_by_itself(outcome: stored.Outcome) -> None:
    good, _ = tracking.tracked(outcome)
    assert list(good.folds) == [0, 1]
    for fold, values in good.folds.items():
        test = predictions(fold).query("view == 'test'")
        expected = roc_auc_score(test["y:death"], test["p:death"].astype(float))
        assert values["fold/auroc/death"] == pytest.approx(expected, abs=1e-12)
        assert (values["fold/seconds"], values["fold/peak_mb"]) == (1.0, 1.0)  # as the record says


def test_the_key_is_of_what_is_sent(outcome: stored.Outcome, folder: Path) -> None:
    keys = [run.key for run in tracking.tracked(outcome)]
    again = stored.make_report("demo:n=40", results=folder / "results", reports=folder / "reports")
    assert [run.key for run in tracking.tracked(again)] == keys
    assert len(set(keys)) == 2


def test_a_wrong_call_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {
        ("mlflow", "--offline"): "--offline is for wandb. MLflow writes to a file of this machine with --uri sqlite:///mlflow.db",
        (
            "wandb",
            "--uri",
            "x",
        ): "--uri is for mlflow, but got 'x' for wandb. A server of your own is named by `wandb login --host`.",
    }
    for words, line in calls.items():
        done = inside(folder, "track", *words, *DEMO, verb="results")
        assert (done.returncode, done.stderr) == (1, f"bench: {line}\n")

    def absent(name: str) -> None:
        raise ImportError(f"No module named '{name}'")

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(BenchError, match=r"needs a package \(No module named 'wandb'\): pip install -e '\.\[tracking\]'"):
        tracking.track("wandb", "demo:n=40", results=folder / "results")


def test_names_that_mlflow_would_take_for_one_stay_two() -> None:
    names = tracking._Names()
    assert [names(key) for key in ("auroc/a<b", "auroc/a>b", "auroc/a<b", "é 1-2.x")] == [
        "auroc/a_b",
        "auroc/a_b-2",
        "auroc/a_b",
        "é 1-2.x",
    ]


@needs("mlflow")
@pytest.mark.filterwarnings("ignore")  # those of its own modules
def test_mlflow_holds_each_run_once(folder: Path, outcome: stored.Outcome) -> None:
    words = ["track", "mlflow", *DEMO, "--uri", f"sqlite:///{folder}/mlflow.db", "--project", "mine"]
    first, second = (inside(folder, *words, verb="results") for _ in range(2))
    assert first.stdout == f"2 runs written to experiment 'mine' of MLflow at sqlite:///{folder}/mlflow.db.\n", first.stderr
    assert second.stdout.startswith("0 runs written")
    assert second.stdout.endswith("2 were there already.\n")
    good, _ = tracking.tracked(outcome)
    with sqlite3.connect(folder / "mlflow.db") as held:
        ((run, status),) = held.execute("select run_uuid, status from runs where name = ?", [good.name]).fetchall()
        metrics = {
            (key, step): value
            for key, value, step in held.execute("select key, value, step from metrics where run_uuid = ?", [run])
        }
        params = dict(held.execute("select key, value from params where run_uuid = ?", [run]))
        tags = dict(held.execute("select key, value from tags where run_uuid = ?", [run]))
    assert status == "FINISHED"
    assert metrics == {(key, 0): value for key, value in good.metrics.items()} | {
        (key, step): value for step, values in good.folds.items() for key, value in values.items()
    }
    assert params == {key: str(value) for key, value in good.params.items()}
    assert good.tags.items() <= tags.items()
    assert {path.name for path in folder.glob(f"**/{run}/artifacts/*")} == set(tracking.FILES)


@needs("wandb")
def test_wandb_writes_offline(folder: Path) -> None:
    done = command(folder, "track", "wandb", *DEMO, "--offline", verb="results")
    assert done.stdout == "2 runs written to ./wandb, for `wandb sync`.\n", done.stderr
    written = list(folder.glob("wandb/offline-run-*/*.wandb"))
    assert len(written) == 2
    text = b"".join(path.read_bytes() for path in written)
    assert all(word in text for word in (b"auroc/death", b"fold/auroc/stroke", b"demo:n=40", b"index.html"))


# ---- bencheval


def test_an_error_for_each_method_task_and_fold(folder: Path, tmp_path: Path) -> None:
    done = inside(folder, "export", str(tmp_path / "errors.csv"), "--for", "bencheval", verb="results")
    assert done.stdout == f"8 rows written to {tmp_path}/errors.csv\n"  # 2 methods x 2 outcomes x 2 folds
    table = pd.read_csv(tmp_path / "errors.csv")
    assert list(table.columns) == bencheval.SCHEMA.names
    assert set(table["task"]) == {"demo:n=40:death", "demo:n=40:stroke"}
    test = predictions(1).query("view == 'test'")
    (row,) = table.query("method == 'good' and outcome == 'stroke' and fold == 1").to_dict("records")
    assert row["metric_error"] == pytest.approx(1 - roc_auc_score(test["y:stroke"], test["p:stroke"]), abs=1e-12)
    assert (row["time_train_s"], row["n"], row["metric"], row["problem_type"]) == (1.0, N // 2, "auroc", "binary")
    # what bencheval checks: keys that are unique, numbers that are there and not below 0, methods on the same folds
    assert not table.duplicated(["method", "task", "fold"]).any()
    assert table.drop(columns="time_infer_s").notna().all(axis=None)
    assert set(table.query("method == 'good'")["time_infer_s"]) == {0.25}
    assert table.query("method == 'poor'")["time_infer_s"].isna().all()
    assert (table["metric_error"] >= 0).all()
    assert (table.groupby(["task", "fold"])["method"].nunique() == 2).all()


def test_what_a_method_lacks_is_counted(tmp_path: Path) -> None:
    kept = fill(tmp_path / "results")
    kept.save_cell(cell(tmp_path / "results", "poor", 1).parent, 0, 1, record("poor", 1, "failed"), None)
    made = stored.export(tmp_path / "e.parquet", results=tmp_path / "results", bencheval="brier")
    assert (made.rows, made.without, made.missing) == (6, 1, 2)
    assert np.isfinite(pd.read_parquet(tmp_path / "e.parquet")["metric_error"]).all()
    with pytest.raises(BenchError, match="--metric must be one of auroc, ap, brier, log_loss, but is 'f1'"):
        stored.export(tmp_path / "f.csv", results=tmp_path / "results", bencheval="f1")


@needs("bencheval")
def test_bencheval_makes_a_leaderboard_of_it(folder: Path, tmp_path: Path) -> None:
    from bencheval.evaluator import BenchmarkEvaluator

    stored.export(tmp_path / "e.parquet", results=folder / "results", bencheval="auroc")
    table = pd.read_parquet(tmp_path / "e.parquet").astype({"method": str, "task": str})
    made = BenchmarkEvaluator(seed_column="fold", columns_to_agg_extra=["time_train_s", "time_infer_s"]).leaderboard(
        table, include_error=True
    )
    assert set(made.index) == {"good", "poor"}
    assert made.loc["good", "metric_error"] == pytest.approx(table[table["method"] == "good"]["metric_error"].mean())
