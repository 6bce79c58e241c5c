"""From a results folder to a file of published results. What is not whole, not of one code or not comparable is refused."""

import os
import platform
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import provenance, registry, store
from bench.core import JSON, BenchError
from bench.harness import method_part
from bench.protocol import Protocol
from bench.published import files
from bench.published.coding import RISK_BOUND, SCORE_BOUND, coded
from bench.published.files import Published
from bench.store.cells import cell_name, placed, stored_cell
from bench.store.files import loaded

OPTIONS = {"drop": "drop-modality"}  # a field of the protocol -> the option of `bench run`, where they are not called alike
SCALAR = bool | int | float | str
COST = ("seconds", "predict_seconds", "peak_mb", "joules", "device", "alarms")


def submit(
    results: Path, dataset: str, methods: Sequence[str], out: Path, among: Sequence[Published] = (), accept_code: bool = False,
    tuned: bool = False,
) -> Path:  # fmt: skip
    """Write the file of these methods (labels; ["all"]: every one of the last run) on a dataset (its label); its path.

    among: what is published already; the same cohort, splits and protocol are asked for where it has the dataset. accept_code: take
    cells although the code or the libraries have changed since; the manifest says which they were. tuned: of the newest run with
    `--tune`; `xgboost` is then published as `xgboost@tune20`, beside its defaults. BenchError for quick looks, cells that are missing
    or failed, other code, a cohort with other definitions of its outcomes.
    """
    everything = list(methods) == ["all"]
    path, run, about = _run(results, dataset, among, tuned)
    labels = list(run["asked"]) if everything else list(methods)
    if unknown := [label for label in labels if label not in run["methods"]]:
        raise BenchError(f"no stored results of {unknown[0]} on '{dataset}'; there are: {', '.join(run['methods'])}")
    repeats = min(int(run["methods"][label].get("repeats", run["repeats"])) for label in labels)
    if among and repeats < among[0].repeats:
        raise BenchError(
            f"published results have {among[0].repeats} repeats, but these have {repeats}. Add --repeats {among[0].repeats}."
        )
    repeats = among[0].repeats if among else repeats
    found = store.read(results, dataset, methods=labels, under=path.stem)
    if any("~" in str(column) for column in found.cohort):
        raise BenchError(f"'{dataset}' has several definitions of an outcome; publish it without them")
    own = {
        label: _Cells(label, path.parent.parent / run["methods"][label]["folder"] / path.stem, repeats, run) for label in labels
    }
    for one in own.values():
        one.check(about["digest"], accept_code)
    splits = next(iter(own.values())).splits()
    _same_splits(splits, among)
    tested = [label for label, one in own.items() if not one.declined]
    if not tested:
        raise BenchError(f"there is nothing to publish: all cells of {', '.join(labels)} were declined")
    fields = ("label", "dataset", "dials", "digest", "tasks", "note")
    manifest: dict[str, Any] = {
        "dataset": {**{name: about[name] for name in fields}, "rows": len(found.cohort)},
        "protocol": untuned(run["protocol"]), "repeats": repeats, "splits": splits,
        "bounds": {"auroc": SCORE_BOUND, "ap": SCORE_BOUND, "risk": RISK_BOUND},
        "made": _made(own, dataset, run, everything, repeats),
        "methods": {one.name: one.about(found.made[label], found.groups[label]) for label, one in own.items()},
    }  # fmt: skip
    name = dataset if everything else "-".join([dataset, *(one.name for one in own.values())])
    numbers = [{**row, "method": own[row["method"]].name} for row in rows(found, tested, repeats)]
    return files.written(out, numbers, manifest, name[:120])


def rows(found: store.Results, labels: Sequence[str], repeats: int) -> list[dict[str, Any]]:
    """Of every method, repeat and outcome, as in `files.SCHEMA`."""
    cohort = found.cohort.set_index("row")
    test = found.predictions[(found.predictions["view"] == "test") & (found.predictions["repeat"] < repeats)]
    by = {(m, r): own.sort_values("row") for (m, r), own in test.groupby(["method", "repeat"], sort=False)}
    out: list[dict[str, Any]] = []
    for label in labels:
        for repeat in range(repeats):
            own = by[label, repeat]
            for task in (task.name for task in found.tasks):
                y, weight = own[f"y:{task}"].to_numpy(np.float64), np.ones(len(own))
                if f"weight:{task}" in cohort:
                    weight = cohort.loc[own["row"], f"weight:{task}"].to_numpy(np.float64)
                known = ~np.isnan(y)
                p, fold = own[f"p:{task}"].to_numpy()[known], own["fold"].to_numpy()[known]
                try:
                    column, scores, change = coded(y[known], p, fold, weight[known])
                except BenchError as error:
                    raise BenchError(f"{label}, repeat {repeat}, {task}: {error}") from error
                numbers = dict(zip(files.SCORES, (scores.auroc, scores.ap, *change), strict=True))
                whole = {"steps": column.steps, "least": column.least, "salt": column.salt}
                out.append({"method": label, "repeat": repeat, "task": task, **whole, **numbers, "values": column.values})
    return out


def _run(results: Path, dataset: str, among: Sequence[Published], tuned: bool) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The newest run of the published protocol, tuned or not, or simply the newest where nothing is published; its record, and what is
    said of the dataset."""
    there = store.runs(results, dataset)  # BenchError for quick looks, and where there is nothing
    same = [
        name
        for name, one in there.items()
        if bool(_tuning(one)) == tuned and (not among or untuned(one) == among[0].manifest["protocol"])
    ]
    if not same:
        asked = f"of the published protocol ({words(among[0].manifest['protocol'])})" if among else "of a run"
        raise BenchError(
            f"results must be {asked}, {'with' if tuned else 'without'} --tune, but are of: {', '.join(there)}."
            f"{'' if tuned else ' --tuned takes those with it.'}"
        )
    folder = next(
        path.parent
        for path in results.glob(f"*/runs/{same[-1]}.json")
        if loaded(path.parent.parent / "dataset.json")["label"] == dataset
    )
    about = loaded(folder.parent / "dataset.json")
    if among and about["digest"] != among[0].manifest["dataset"]["digest"]:
        raise BenchError(
            f"the cohort of '{dataset}' is not the published one: {about['digest'][:8]} here, {among[0].manifest['dataset']['digest'][:8]} there"
        )
    return folder / f"{same[-1]}.json", loaded(folder / f"{same[-1]}.json"), about


def without_repeats(protocol: Mapping[str, JSON]) -> dict[str, JSON]:
    return {key: value for key, value in protocol.items() if key != "repeats"}


def untuned(protocol: Mapping[str, JSON]) -> dict[str, JSON]:
    """What makes predictions comparable row by row: neither how many repeats there are nor how each method's settings were found."""
    return {key: value for key, value in without_repeats(protocol).items() if key not in ("tune", "tune_minutes")}


def _tuning(protocol: Mapping[str, Any]) -> str:
    """tune20, tune15min; "" of defaults."""
    budget = Protocol(tune=protocol.get("tune", 0), tune_minutes=protocol.get("tune_minutes", 0.0))
    return budget.tuning.replace("=", "")


def words(protocol: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in protocol.items() if value is not None and name != "rows")


class _Cells:
    """The stored cells of one method."""

    def __init__(self, label: str, folder: Path, repeats: int, run: Mapping[str, Any]) -> None:
        places = [(repeat, fold) for repeat in range(repeats) for fold in range(run["protocol"]["folds"])]
        self.label, self.tuning = label, _tuning(run["protocol"])
        self.identity = loaded(folder.parent / "method.json")
        self.records = {place: (stored_cell(folder, *place) or ({"status": "missing", "error": ""}, b""))[0] for place in places}

    @property
    def name(self) -> str:
        """Under which it is published."""
        return f"{self.label}@{self.tuning}" if self.tuning else self.label

    @property
    def declined(self) -> bool:
        return all(record["status"] == "declined" for record in self.records.values())

    def check(self, cohort: str, accept_code: bool) -> None:
        """BenchError where not all cells are there, or are not of this cohort and code."""
        bad = {cell_name(*at): one for at, one in self.records.items() if one["status"] != "done"}
        if bad and not self.declined:
            name, one = next(iter(bad.items()))
            many = f"{len(bad)} of {len(self.records)} cells of {self.label} are {one['status']}" + (
                f" ({name}: {one['error']})" if one["error"] else ""
            )
            raise BenchError(
                f"all cells must be there, but {many}. `bench run` makes them, with --retry-failed those that failed."
            )
        made = {key: self.identity[key] for key in ("code", "versions")}
        for at, one in self.records.items():
            if one["digests"]["cohort"] != cohort or any(one[key] != made[key] for key in made):
                raise BenchError(
                    f"cell {cell_name(*at)} of {self.label} is of another cohort or code than the rest. Run it again."
                )
        if not accept_code and (why := self._changed()):
            raise BenchError(
                f"{self.label} was run with other {why} than there {'are' if why == 'versions' else 'is'} now. Run it again, or add --accept-code."
            )

    def _changed(self) -> str:
        """What is not as it was: code or versions; nothing where the label names no bundled method, as that of a file of one's own."""
        if self.label.split(":")[0] not in registry.ids("methods"):
            return ""
        now, _ = method_part(registry.parse("methods", self.label)[0], bool(self.tuning))
        return next((key for key in ("code", "versions", "settings") if now.identity[key] != self.identity[key]), "")

    def splits(self) -> dict[str, str]:
        return {cell_name(*at): one["digests"]["split"] for at, one in self.records.items()}

    def about(self, made: Mapping[str, Any], family: str) -> dict[str, Any]:
        """What the manifest says of it."""
        cells: list[dict[str, Any]] = []
        for (repeat, fold), one in self.records.items():
            facts = {name: value for name, value in one.get("facts", {}).items() if isinstance(value, SCALAR) or name == "tuned"}
            cost = {name: one[name] for name in COST if one.get(name) is not None}
            cells.append({"repeat": repeat, "fold": fold, "status": one["status"], "error": one["error"], **cost, "facts": facts})
        tuning = {"tuning": self.tuning} if self.tuning else {}
        return {"method": self.identity["method"], "family": family, **tuning, **made, "cells": cells}


def _same_splits(splits: Mapping[str, str], among: Sequence[Published]) -> None:
    for one in among:
        if other := [cell for cell, digest in one.manifest["splits"].items() if splits.get(cell) != digest]:
            raise BenchError(
                f"the splits are not the published ones, the first in {other[0]}. Run with the published folds, repeats and seed."
            )


def _made(own: Mapping[str, _Cells], dataset: str, run: Mapping[str, Any], everything: bool, repeats: int) -> dict[str, Any]:
    """When, by what, where, and the command that makes it again."""
    cells = [record for one in own.values() for record in one.records.values()]
    environment = {key: value for record in cells for key, value in record.get("environment", {}).items()}
    here = environment.get("platform") == provenance.environment()["platform"]
    words = ["bench", "run", "--methods", "all" if everything else ",".join(own), "--dataset", dataset, "--repeats", str(repeats)]
    for name, value in run["protocol"].items():
        if name in ("quick", "rows", "encoder") or value in (None, Protocol.repeats if name == "repeats" else None):
            continue
        words += [
            f"--{OPTIONS.get(name, name).replace('_', '-')}",
            ",".join(map(str, value)) if isinstance(value, list) else str(value),
        ]
    date = datetime.fromtimestamp(run["written"], UTC) if "written" in run else datetime.now(UTC)
    return {
        "date": date.strftime("%Y-%m-%d"), "bench": environment.get("bench", ""), "python": environment.get("python", ""),
        "platform": re.sub(r"^(\w+)-.*?(x86_64|aarch64|arm64|AMD64).*$", r"\1 \2", str(environment.get("platform", ""))),
        "machine": _machine() if here else "", "command": shlex.join(words),
    }  # fmt: skip


def _machine() -> str:
    """The processor by name, and how many."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    except OSError:
        found = None
    name = found[1] if found else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} processors"


def cells_of(published: Published, method: str, repeats: int) -> pd.DataFrame:
    """The records of a method's cells, columns as of `bench.store.read`."""
    cells = [cell for cell in published.manifest["methods"][method]["cells"] if cell["repeat"] < repeats]
    missing: dict[str, Any] = {
        "seconds": np.nan,
        "predict_seconds": np.nan,
        "peak_mb": np.nan,
        "joules": None,
        "alarms": [],
        "masked": {},
    }
    kept = ("repeat", "fold", "status", "error", "facts")
    return pd.DataFrame(
        [{"method": method, **missing, **{k: v for k, v in cell.items() if k in (*kept, *missing)}} for cell in cells]
    )


__all__ = ["cells_of", "placed", "rows", "submit", "untuned", "without_repeats", "words"]
