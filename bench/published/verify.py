"""Whether published files are what was made: their digests, and their scores again from the labels where the dataset is at hand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import registry, splits
from bench.core import BenchError, Cohort
from bench.jobs import prepared
from bench.published import files
from bench.published.coding import Scores
from bench.published.files import Published
from bench.published.merge import Shelf, shelves
from bench.store.cells import cell_name

SAME = 1e-6  # between a score that is stored and the same computed again


@dataclass(frozen=True)
class Verified:
    """findings: what is wrong, a line each; notes: what could not be looked at. scores: how many were computed again."""

    files: int
    bytes: int
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    scores: int


def verify(where: str | Path = files.WORD) -> Verified:
    """Look at every file. Labels come from each dataset's own loader; where it cannot be loaded, digests alone are checked, and a note says so."""
    paths = files.find(where)
    size = sum(path.stat().st_size for path in paths)
    findings, notes, scores = list[str](), list[str](), 0
    if size > files.MOST:
        findings.append(f"the files hold {size:,} bytes together, but at most {files.MOST:,} are kept")
    for path in paths:
        try:
            one = files.opened(path)
            findings += [f"{path} {text}" for text in _whole(one)]
            count, wrong, said = _again(one)
        except BenchError as error:
            findings.append(str(error))
            continue
        scores += count
        findings += [f"{path} {text}" for text in wrong]
        notes += said
    try:
        shelves(where)
    except BenchError as error:
        findings += [str(error)] if str(error) not in findings else []
    return Verified(len(paths), size, tuple(findings), tuple(dict.fromkeys(notes)), scores)


def _whole(one: Published) -> Iterator[str]:
    """What of the plan is not there, and what is out of bounds."""
    bounds: Mapping[str, float] = one.manifest["bounds"]
    places = {(repeat, task.name) for repeat in range(one.repeats) for task in one.tasks}
    for method in one.methods:
        cells = one.manifest["methods"][method]["cells"]
        if len(cells) != one.repeats * int(one.manifest["protocol"]["folds"]) or len({cell["status"] for cell in cells}) > 1:
            yield f"has not all cells of {method}"
        own = one.rows[one.rows["method"] == method]
        if set(zip(own["repeat"], own["task"], strict=True)) != (places if one.tested(method) else set()):
            yield f"has not all repeats and outcomes of {method}"
        for name, bound in bounds.items():
            if (own[f"{name}_change"] > bound).any():
                yield f"changes the {name} of {method} by {own[f'{name}_change'].max():.2g}, but at most {bound:g} is allowed"


def _again(one: Published) -> tuple[int, list[str], list[str]]:
    """How many scores were computed again, what differs, and why nothing was."""
    shelf = Shelf((one,))
    try:
        spec = registry.parse("datasets", one.dataset)[0]
        cohort, made = prepared(spec, shelf.protocol)
    except BenchError as error:
        return 0, [], [f"'{one.dataset}' cannot be loaded here, so that its files are checked by their digests alone: {error}"]
    try:
        shelf.same_cohort(cohort.digest, one.manifest["dataset"]["tasks"])
        shelf.same_splits({cell_name(split.repeat, split.fold): splits.digest(split) for split in made.parts})
    except BenchError as error:
        return 0, [str(error)], []
    wrong: list[str] = []
    layout = _layout(cohort, made)
    for _, row in one.rows.iterrows():
        t = cohort.task_names.index(str(row["task"]))
        y, fold, weight = layout[int(row["repeat"])]
        known = ~np.isnan(y[:, t])
        column = one.column_of(row)
        what = f"{row['method']}, repeat {row['repeat']}, {row['task']}"
        if len(column.values) != known.sum():
            wrong.append(f"has {len(column.values):,} risks of {what}, but {known.sum():,} rows have a known label")
            continue
        found = Scores.of(y[known, t], column.risks(), fold[known], weight[known, t])
        apart = found.apart(Scores(float(row["auroc"]), float(row["ap"])))
        if max(apart) > SAME:
            wrong.append(
                f"says AUROC {row['auroc']:.6f} and AP {row['ap']:.6f} of {what}, but its risks give {found.auroc:.6f} and {found.ap:.6f}"
            )
    return len(one.rows) * 2, wrong, []


def _layout(cohort: Cohort, made: splits.Splits) -> dict[int, tuple[Any, Any, Any]]:
    """repeat -> labels, fold and weights of its test rows, in the order of the rows."""
    out: dict[int, tuple[Any, Any, Any]] = {}
    weights = np.ones(cohort.labels.shape) if cohort.weights is None else cohort.weights.astype(np.float64)
    for repeat in sorted({split.repeat for split in made.parts}):
        own = [split for split in made.parts if split.repeat == repeat]
        rows = np.concatenate([split.test for split in own])
        fold = np.repeat([split.fold for split in own], [len(split.test) for split in own])
        order = np.argsort(rows, kind="stable")
        out[repeat] = cohort.labels[rows[order]].astype(np.float64), fold[order], weights[rows[order]]
    return out
