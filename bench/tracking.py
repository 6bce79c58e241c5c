"""Stored results to MLflow or Weights & Biases: a run for each method on each dataset.

Only what the report shows leaves this machine: scores, settings, versions, the table and the page. No prediction, no patient.
A number that is undefined is left out. What was sent before, as it is, is not sent to MLflow again.
"""

import hashlib
import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from bench import report, store, stored
from bench.core import JSON, BenchError
from bench.report.exported import METRICS

Backend: TypeAlias = Literal["mlflow", "wandb"]

PROJECT = "multitask-bench"
FILES = ("table.md", "table.csv", "index.html")  # of the report
KEY = "bench.key"  # the tag that tells what was sent before
SIDES = {"value": "", "low": "_low", "high": "_high", "sd": "_sd"}  # column of the scores -> what its metric ends in
CHUNK = {"metrics": 900, "params": 90, "tags": 90}  # of one request to MLflow, which takes a few more


@dataclass(frozen=True)
class Tracked:
    """One method on one dataset. key: a hash of all of it. metrics: auroc/mean, auroc_low/mean ... as the report has them; folds: step
    (repeat x folds + fold) -> fold/auroc/TASK, fold/seconds ... of that cell alone.
    """

    key: str
    name: str
    group: str
    params: Mapping[str, JSON]
    metrics: Mapping[str, float]
    folds: Mapping[int, Mapping[str, float]]
    tags: Mapping[str, str]
    files: tuple[Path, ...]


class Sent(NamedTuple):
    """How many runs were written, how many were there already, and where, in words."""

    written: int
    there: int
    where: str


def track(
    backend: Backend,
    dataset: str | Sequence[str] = "surgical",
    methods: str | Sequence[str] | None = None,
    *,
    uri: str | None = None,
    project: str = PROJECT,
    offline: bool = False,
    **where: Any,
) -> Sent:
    """Write the report again, and send it. where: as for `bench.make_report`. uri: of MLflow, its own default if None. offline: Weights &
    Biases writes to ./wandb alone, for `wandb sync`. BenchError where the package is not installed or the other side refuses.
    """
    if backend == "mlflow" and offline:
        raise BenchError("--offline is for wandb. MLflow writes to a file of this machine with --uri sqlite:///mlflow.db")
    if backend == "wandb" and uri is not None:
        raise BenchError(
            f"--uri is for mlflow, but got '{uri}' for wandb. A server of your own is named by `wandb login --host`."
        )
    library = _library(backend)
    runs = list(tracked(stored.make_report(dataset, methods, **where)))
    if not runs:
        raise BenchError("no method has a finished cell there, so there is nothing to track")
    try:
        return _to_mlflow(library, runs, uri, project) if backend == "mlflow" else _to_wandb(library, runs, project, offline)
    except Exception as error:
        if not type(error).__module__.startswith(("mlflow", "wandb", "requests", "sqlalchemy")):
            raise
        said = " ".join(str(error).split())[:300]
        way = "" if backend == "mlflow" else ". `wandb login` once, or --offline"
        raise BenchError(f"{backend} refuses: {said}{way}") from error


def tracked(outcome: stored.Outcome) -> Iterator[Tracked]:
    """Every method with a finished cell, dataset by dataset."""
    for name, found in outcome.results.items():
        folder = outcome.folders[name]
        for method in found.methods:
            folds = _folds(found, method)
            if folds:
                yield _tracked(name, found, outcome.reports[name], method, folds, folder)


def _tracked(
    name: str, found: store.Results, made: report.Report, method: str, folds: dict[int, dict[str, float]], folder: Path
) -> Tracked:
    about = found.made.get(method, {})
    scores = made.scores[made.scores["method"] == method]
    metrics = {
        f"{row['metric']}{side}/{row['task']}": float(row[column])
        for row in scores.to_dict("records")
        for column, side in SIDES.items()
        if np.isfinite(row[column])
    }
    params: dict[str, JSON] = {
        "dataset": name,
        "method": method,
        "family": found.groups.get(method, ""),
        "reference": found.reference,
    }
    params |= {f"setting.{key}": value for key, value in about.get("settings", {}).items()}
    params |= {f"protocol.{key}": value for key, value in found.protocol.items()}
    tags = {f"bench.{key}": str(value) for key, value in found.environment.items()}
    tags |= {"bench.code": str(about.get("code", "")), "bench.cohort": found.digest, "bench.note": found.note}
    tags |= {f"version.{key}": str(value) for key, value in about.get("versions", {}).items()}
    tags = {key: value for key, value in tags.items() if value}
    said = store.canonical({"params": params, "metrics": metrics, "tags": tags})
    key = hashlib.sha256(said.encode()).hexdigest()[:16]
    files = tuple(folder / file for file in FILES)
    return Tracked(key, f"{method} on {name}", name, params, metrics, folds, {KEY: key, **tags}, files)


def _folds(found: store.Results, method: str) -> dict[int, dict[str, float]]:
    """Of the finished cells, each by itself, weighted as the report is."""
    folds = int(str(found.protocol["folds"]))
    cells = found.cells[(found.cells["method"] == method) & (found.cells["status"] == "done")]
    out: dict[int, dict[str, float]] = {}
    for cell in cells.to_dict("records"):
        costs = {f"fold/{name}": float(cell[name]) for name in ("seconds", "predict_seconds", "peak_mb")}
        out[cell["repeat"] * folds + cell["fold"]] = {k: v for k, v in costs.items() if np.isfinite(v)}
    if not out:
        return out
    rows = found.predictions[(found.predictions["view"] == "test") & (found.predictions["method"] == method)]
    weights = found.cohort.set_index("row")
    for step, part in rows.groupby(rows["repeat"] * folds + rows["fold"]):
        for task in (one.name for one in found.tasks):
            y, p = (part[f"{side}:{task}"].to_numpy(np.float64) for side in ("y", "p"))
            column = f"weight:{task}"
            weight = weights.loc[part["row"], column].to_numpy(np.float64) if column in weights else None
            values = {f"fold/{metric}/{task}": score(y, p, weight) for metric, score in METRICS.items()}
            out[int(str(step))] |= {k: float(v) for k, v in values.items() if np.isfinite(v)}
    return dict(sorted(out.items()))


def _to_mlflow(mlflow: Any, runs: Sequence[Tracked], uri: str | None, project: str) -> Sent:
    client, entities = mlflow.MlflowClient(tracking_uri=uri), importlib.import_module("mlflow.entities")
    known = client.get_experiment_by_name(project)
    experiment = client.create_experiment(project) if known is None else known.experiment_id
    there = 0
    for run in runs:
        if client.search_runs([experiment], f"tags.`{KEY}` = '{run.key}' and attributes.status = 'FINISHED'", max_results=1):
            there += 1
            continue
        made = client.create_run(experiment, run_name=run.name, tags=dict(run.tags))
        now, names = made.info.start_time, _Names()
        metrics = [entities.Metric(names(key), value, now, 0) for key, value in run.metrics.items()]
        metrics += [entities.Metric(names(key), v, now, step) for step, values in run.folds.items() for key, v in values.items()]
        params = [entities.Param(names(key), str(value)) for key, value in run.params.items()]
        for part in _chunks({"metrics": metrics, "params": params}):
            client.log_batch(made.info.run_id, **part)
        for file in run.files:
            client.log_artifact(made.info.run_id, str(file))
        client.set_terminated(made.info.run_id)
    place = re.sub(r"//[^/@]*@", "//", str(uri or mlflow.get_tracking_uri()))  # without a password
    return Sent(len(runs) - there, there, f"experiment '{project}' of MLflow at {place}")


def _chunks(parts: Mapping[str, list[Any]]) -> Iterator[dict[str, list[Any]]]:
    for name, values in parts.items():
        for start in range(0, len(values), CHUNK[name]):
            yield {name: values[start : start + CHUNK[name]]}


class _Names:
    """MLflow takes letters, digits and _ - . / and spaces: names of outcomes may hold more. Two that would be one get a number."""

    def __init__(self) -> None:
        self.given: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        if name not in self.given:
            plain = base = re.sub(r"[^\w\-. /]", "_", name)
            count = 1
            while plain in self.given.values():
                count += 1
                plain = f"{base}-{count}"
            self.given[name] = plain
        return self.given[name]


def _to_wandb(wandb: Any, runs: Sequence[Tracked], project: str, offline: bool) -> Sent:
    """A run that is sent again replaces itself: its id is its key."""
    for run in runs:
        quiet = wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True)
        with wandb.init(
            project=project, name=run.name, group=run.group, id=run.key, config={**run.params, "tags": dict(run.tags)},
            mode="offline" if offline else "online", resume=None if offline else "allow", settings=quiet,
        ) as made:  # fmt: skip
            made.define_metric("fold/*", step_metric="fold/step")
            for step, values in run.folds.items():
                made.log({"fold/step": step, **values}, step=step)
            made.summary.update(dict(run.metrics))
            artifact = wandb.Artifact("report-" + re.sub(r"[^\w.-]", "_", run.group, flags=re.ASCII)[:100], type="report")
            for file in run.files:
                artifact.add_file(str(file))
            made.log_artifact(artifact)
    where = "./wandb, for `wandb sync`" if offline else f"project '{project}' of Weights & Biases"
    return Sent(len(runs), 0, where)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BenchError(f"`bench results track {name}` needs a package ({error}): pip install -e '.[tracking]'") from None
