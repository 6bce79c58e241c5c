"""A run's results as frames, from the files alone."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.core import JSON, BenchError, Task
from bench.store.cells import cell_name, stored_cell
from bench.store.files import loaded, read_frame, read_json
from bench.store.tables import Piece, stacked

OTHER = "other"  # the heading of methods that name no family


@dataclass(frozen=True)
class Words:
    """What a cohort says of itself. tasks: in its own words. leaks, definitions: as `Cohort` has them; notices: without the leaks."""

    tasks: tuple[Task, ...] = ()
    notices: tuple[str, ...] = ()
    leaks: tuple[tuple[str, str], ...] = ()
    definitions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """What a report is made of. Columns of the frames: see `read`.

    receipt: of the splits, as `bench.splits.receipt` made it. made: a method's label -> settings, versions, code, adapted: name ->
    text, see `bench.cards.adapted`. environment: of the cells: python, platform, bench. digest: of the cohort. others: methods
    with results under the same protocol that are not shown. external: NAME -> the rows behind the view `external:NAME`, columns as
    `cohort`. sizes: patients learned from -> test predictions of the same methods after so many, columns as `predictions`: of the runs that
    differ from this one in the training size alone, where this one is the largest. words: of the cohort; elsewhere: of the others in
    `external`. published: a method whose results are not of this folder, or could be, -> what stands under its table. Each is empty where
    the folder does not say.
    """

    dataset: str
    note: str
    quick: bool
    tasks: tuple[Task, ...]
    protocol: Mapping[str, JSON]
    reference: str
    cohort: pd.DataFrame
    methods: tuple[str, ...]
    groups: Mapping[str, str]
    predictions: pd.DataFrame
    cells: pd.DataFrame
    receipt: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""
    external: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    sizes: Mapping[int, pd.DataFrame] = field(default_factory=dict)
    words: Words = Words()
    elsewhere: Mapping[str, Words] = field(default_factory=dict)
    published: Mapping[str, str] = field(default_factory=dict)

    @property
    def learned(self) -> int:
        """Patients that were learned from, validation among them: a mean over folds; 0 where the receipt does not say."""
        return _learned(self.receipt)


def read(
    root: Path,
    dataset: str,
    *,
    quick: bool = False,
    methods: Sequence[str] | None = None,
    reference: str | None = None,
    under: str | None = None,
) -> Results:
    """The newest run of a dataset (its label or folder name), from the files alone. methods: those it asked for if None;
    ["all"]: every one stored under its protocol. Of methods that are named: the repeats that all of them have. under: the run of this protocol's folder instead of the newest, see `runs`.

    cohort: row, patient, group, site, time, weight:<task>, truth:<task> where there are any.
    predictions: method, repeat, fold, row, view, y:<task>, p:<task>.
    cells: method, repeat, fold, status, seconds, predict_seconds (of these, for the test rows; NaN: of before it was stored), peak_mb,
    joules (None: the machine does not tell), facts, alarms, masked (view -> share of modalities missing in it), error, begun (when the training of a cell that is done began, in seconds since 1970; NaN: unknown).
    """
    path = _newest_run(root, dataset, quick)
    path = path if under is None else path.with_name(f"{under}.json")
    run = loaded(path)
    about = loaded(path.parent.parent / "dataset.json")
    tasks: Sequence[str] = run["protocol"].get("outcomes", [])
    labels = _labels(path, run, methods)
    if methods is not None:
        run["repeats"] = min(run["methods"][label].get("repeats", run["repeats"]) for label in labels)
    cells, pieces = _cells(path, run, labels)
    predictions = stacked(pieces)
    folders = {label: path.parent.parent / run["methods"][label]["folder"] for label in labels}
    chosen = reference or (run["reference"] if run["reference"] in labels else labels[0])
    if chosen not in labels:
        raise BenchError(f"the reference must be one of the methods in the table ({', '.join(labels)}), but is '{chosen}'")
    return Results(
        dataset=about["label"],
        note=about["note"],
        quick=run["protocol"]["quick"],
        tasks=_tasks(about["tasks"], tasks),
        protocol={**run["protocol"], "repeats": run["repeats"]},
        reference=chosen,
        cohort=read_frame(path.parent.parent / "cohort.parquet", about.get("cohort")),
        methods=tuple(labels),
        groups=headed({label: run["methods"][label]["family"] for label in labels}),
        predictions=predictions,
        cells=pd.DataFrame(cells).drop(columns="environment"),
        receipt=run.get("receipt", {}),
        made={label: _made(folder) for label, folder in folders.items()},
        environment={key: value for cell in cells for key, value in cell["environment"].items()},
        digest=about.get("digest", ""),
        external={name: _external(path.parent.parent / file) for name, file in run.get("external", {}).items()},
        others=tuple(label for label in run["methods"] if label not in labels),
        sizes=_sizes(path, run, labels, predictions),
        words=_words({**run, **about}, tasks),
        elsewhere={name: _words(other, tasks) for name, other in run.get("elsewhere", {}).items()},
    )


def headed(families: Mapping[str, str]) -> dict[str, str]:
    """A method's label -> the heading it stands under in tables and figures: its family, and OTHER for one without, beside any that has one."""
    return {label: family or (OTHER if any(families.values()) else "") for label, family in families.items()}


def _labels(path: Path, run: Mapping[str, Any], methods: Sequence[str] | None) -> list[str]:
    """The methods that are asked for, as `read` has them. BenchError, with the protocols that have it, for one that is not stored."""
    asked: Sequence[str] = run["asked"] if methods is None else list(run["methods"]) if methods == ["all"] else methods
    labels = list(dict.fromkeys(asked))
    if not labels:
        raise BenchError(f"no method given; there are stored results of: {', '.join(run['methods'])}")
    unknown = [label for label in labels if label not in run["methods"]]
    if unknown:
        others = [name for name, one in _kept(path.parent, run["protocol"]["quick"]).items() if unknown[0] in one["methods"]]
        hint = f". {unknown[0]} is stored under another: --protocol {' or '.join(others)}" if others else ""
        raise BenchError(
            f"no stored results of {', '.join(unknown)} under {path.stem} in {path.parent.parent}; there are: "
            f"{', '.join(run['methods'])}{hint}"
        )
    return labels


def runs(root: Path, dataset: str, quick: bool = False) -> dict[str, dict[str, Any]]:
    """Every protocol a dataset (its label) was run under, the newest last: the protocol's folder name -> its fields, repeats too."""
    kept = _kept(_newest_run(root, dataset, quick).parent, quick)
    return {name: {**run["protocol"], "repeats": run["repeats"]} for name, run in kept.items()}


def _kept(folder: Path, quick: bool) -> dict[str, dict[str, Any]]:
    """The records of a dataset's runs by the protocol's folder name, the newest last; a damaged one is left out."""
    return {path.stem: run for path, run in _by_age(folder.glob("*.json")) if run["protocol"].get("quick") == quick}


def methods_of(root: Path, dataset: str, under: str, quick: bool = False) -> dict[str, int]:
    """Label -> repeats of the methods with results under a protocol's folder, those of the last run first."""
    run = _kept(_newest_run(root, dataset, quick).parent, quick)[under]
    order = dict.fromkeys([*run["asked"], *run["methods"]])
    return {label: int(run["methods"][label].get("repeats", run["repeats"])) for label in order}


def labels(root: Path, quick: bool) -> dict[str, list[str]]:
    """Of what there are results: a dataset's label or folder name -> the labels of the methods of its newest run."""
    return {name: list((read_json(path) or {}).get("methods", {})) for name, path in _newest_runs(root, quick).items()}


def _newest_runs(root: Path, quick: bool) -> dict[str, Path]:
    """A dataset's label, and its folder's name -> its newest run."""
    found: dict[str, Path] = {}
    for path, run in _by_age(root.glob("*/runs/*.json")):
        about = read_json(path.parent.parent / "dataset.json") or {}
        if "label" in about and run["protocol"].get("quick") == quick:
            found |= {about["label"]: path, path.parent.parent.name: path}
    return found


def _by_age(paths: Iterable[Path]) -> list[tuple[Path, dict[str, Any]]]:
    """Runs with their records, the newest last, by what they say themselves: a copy of a file may have the time of copying. Where they say
    nothing, by the file's time; a damaged one is empty."""
    runs = [(path, {"protocol": {}, **(read_json(path) or {})}) for path in paths]
    return sorted(runs, key=lambda one: (one[1].get("written") or one[0].stat().st_mtime, str(one[0])))


def _newest_run(root: Path, dataset: str, quick: bool) -> Path:
    found = _newest_runs(root, quick)
    if dataset not in found:
        there = sorted(name for name, path in found.items() if name != path.parent.parent.name)
        if dataset in _newest_runs(root, not quick):
            hint = f"There are some of a {'whole run: leave out' if quick else 'quick look: add'} --quick."
        elif there:
            hint = f"There are: {', '.join(there)}."
        else:
            hint = f"`bench run --dataset {dataset}{' --quick' if quick else ''}` makes them."
        raise BenchError(f"no {'quick ' if quick else ''}results of '{dataset}' in {root}. {hint}")
    return found[dataset]


DAMAGED = "missing or damaged; the same `bench run` makes it again"  # the error of a cell whose files are

_MISSING: dict[str, Any] = {
    "status": "failed", "seconds": math.nan, "predict_seconds": math.nan, "peak_mb": math.nan, "joules": None, "facts": {}, "alarms": [], "masked": {},
    "environment": {}, "error": DAMAGED,
}  # fmt: skip


def _cells(path: Path, run: Mapping[str, Any], labels: Sequence[str]) -> tuple[list[dict[str, Any]], list[Piece]]:
    """Records of the planned cells (a cell that is lost or not there counts as failed) and the predictions of those that are done."""
    records: list[dict[str, Any]] = []
    pieces: list[Piece] = []
    for label in labels:
        folder = path.parent.parent / run["methods"][label]["folder"] / path.stem
        for repeat in range(run["repeats"]):
            for fold in range(run["protocol"]["folds"]):
                record, data = stored_cell(folder, repeat, fold) or (_MISSING, b"")
                kept = {key: record.get(key, value) for key, value in _MISSING.items()}
                kept["status"] = "failed" if record["status"] == "lost" else record["status"]
                begun = _begun(folder / f"{cell_name(repeat, fold)}.json", record)
                records.append({"method": label, "repeat": repeat, "fold": fold, **kept, "begun": begun})
                if data:
                    pieces.append(Piece(label, repeat, data))
    return records, pieces


def _begun(path: Path, record: Mapping[str, Any]) -> float:
    """Cells of before `trained` was stored: by the time of their file."""
    if record["status"] != "done":
        return math.nan
    spent = float(record.get("seconds") or 0) + float(record.get("facts", {}).get("tuned", {}).get("seconds") or 0)
    return float(record.get("trained") or path.stat().st_mtime) - spent


def _external(path: Path) -> pd.DataFrame:
    about = read_json(path.with_suffix(".json")) or {}
    return read_frame(path, about.get("rows"))


def _sizes(path: Path, run: Mapping[str, Any], labels: Sequence[str], predictions: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """Results.sizes: of the same code and settings, cell by cell with the same test rows. A run that is damaged is left out."""
    siblings = {other: found for other in sorted(path.parent.glob("*.json")) if (found := _sibling(path, run, labels, other))}
    if not siblings or any(_size(found) > _size(run) for found in siblings.values()):
        return {}  # the curve is in the report of the largest
    tested = {(repeat, fold): rows for (_, repeat, fold), rows, _ in _tested(predictions)}
    out: dict[int, pd.DataFrame] = {}
    for other, found in siblings.items():
        same = [label for label in labels if _folder(found, label) == _folder(run, label)]
        _, theirs = _cells(other, {**found, "repeats": run["repeats"]}, same)
        kept = [test for place, rows, test in _tested(stacked(theirs)) if tested.get(place[1:]) == rows]
        if kept and 0 < _learned(found["receipt"]) < _learned(run.get("receipt", {})):
            out[_learned(found["receipt"])] = pd.concat(kept, ignore_index=True)
    return dict(sorted(out.items()))


def _sibling(path: Path, run: Mapping[str, Any], labels: Sequence[str], other: Path) -> dict[str, Any] | None:
    """The run of `other`, where it differs in the training size alone and has one of the methods by the same code."""
    found = None if other == path else read_json(other)
    if found is None or not {"protocol", "methods", "receipt"} <= set(found):
        return None
    mine, its = ({key: value for key, value in one["protocol"].items() if key != "train_size"} for one in (run, found))
    same = mine == its and any(_folder(found, label) == _folder(run, label) for label in labels)
    return found if same else None


def _folder(run: Mapping[str, Any], label: str) -> str | None:
    """Where a method's cells are, named by the hash of settings, code and versions."""
    return run["methods"].get(label, {}).get("folder")


def _size(run: Mapping[str, Any]) -> float:
    return float(run["protocol"].get("train_size", math.inf))


def _tested(predictions: pd.DataFrame) -> Iterator[tuple[tuple[Any, Any, Any], bytes, pd.DataFrame]]:
    """Of each cell with test rows: method, repeat and fold; which rows, in order; and what is predicted of them."""
    if len(predictions) == 0:
        return
    test = predictions[predictions["view"] == "test"]
    for (method, repeat, fold), cell in test.groupby(["method", "repeat", "fold"], sort=False):
        yield (method, repeat, fold), cell["row"].sort_values().to_numpy("int64").tobytes(), cell


def _learned(receipt: Mapping[str, Any]) -> int:
    """Patients of the training and validation side, rows in receipts of before these were counted; a mean over folds."""
    sides = {
        (row["repeat"], row["fold"], row["side"]): int(row.get("patients", row["n"]))
        for row in receipt.get("folds", [])
        if row["side"] != "test"
    }
    folds = len({place[:2] for place in sides})
    return round(sum(sides.values()) / folds) if folds else 0


def _made(folder: Path) -> dict[str, Any]:
    about = read_json(folder / "method.json") or {}
    return {key: about[key] for key in ("settings", "versions", "code", "adapted") if key in about}


def _tasks(values: Sequence[Mapping[str, Any]], chosen: Sequence[str]) -> tuple[Task, ...]:
    """Those that a protocol chose, all where it chose none. What they imply among the others is left out."""
    tasks = tuple(_task(value) for value in values if not chosen or value["name"] in chosen)
    names = {task.name for task in tasks}
    return tuple(replace(task, implies=tuple(name for name in task.implies if name in names)) for task in tasks)


def _words(value: Mapping[str, Any], chosen: Sequence[str]) -> Words:
    leaks = tuple((column, text) for column, text in value.get("leaks", []))
    return Words(_tasks(value["tasks"], chosen), tuple(value.get("notices", [])), leaks, value.get("definitions", {}))


def _task(value: Mapping[str, Any]) -> Task:
    limits = value["thresholds"]
    return Task(
        value["name"],
        value["label"],
        value["kind"],
        tuple(value["implies"]),
        value["competing"],
        tuple(limits) if limits else None,
    )
