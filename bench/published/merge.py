"""Published results beside one's own: the same cohort, the same splits, so that every comparison is paired."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import registry, splits
from bench.core import BenchError
from bench.harness import SYNTHETIC, Plan, cohort_frame
from bench.jobs import prepared
from bench.protocol import Protocol
from bench.published import files
from bench.published.files import Published
from bench.published.submit import cells_of, untuned, words
from bench.registry import unknown
from bench.store import Results, task_json
from bench.store.cells import cell_name
from bench.store.reading import Words, headed

UNLIKE = "published results can only stand beside results of the same cohort, outcomes and splits"


@dataclass(frozen=True, eq=False)
class Shelf:
    """What is published of one dataset: files of the same cohort, protocol and splits, a method in one of them."""

    files: tuple[Published, ...]

    @property
    def first(self) -> Published:
        return self.files[0]

    @property
    def dataset(self) -> str:
        return self.first.dataset

    @property
    def owner(self) -> dict[str, Published]:
        """A method's label -> the file that has it."""
        return {method: one for one in self.files for method in one.methods}

    @property
    def protocol(self) -> Protocol:
        """Without the encoder, which is known by its digest."""
        told: dict[str, Any] = {**self.first.manifest["protocol"], "repeats": self.first.repeats}
        return Protocol(**told)

    def given(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a run, as they are published where they were left at None or at their defaults."""
        told = {**self.first.manifest["protocol"], "repeats": self.first.repeats}
        usual = {name: getattr(Protocol, name) for name in told if hasattr(Protocol, name)}
        return {
            name: told[name] if name in told and value in (None, usual[name], []) else value for name, value in options.items()
        }

    def check(self, plan: Plan) -> None:
        """BenchError, before anything is trained, where a run could not be compared: what differs."""
        protocol = untuned(plan.protocol.part.identity)
        if protocol != self.first.manifest["protocol"]:
            raise BenchError(
                f"{UNLIKE}, but those of '{self.dataset}' are of {_differing(self.first.manifest['protocol'], protocol)} in this run"
            )
        if plan.protocol.repeats > self.first.repeats:
            raise BenchError(
                f"published results of '{self.dataset}' have {self.first.repeats} repeats, but {plan.protocol.repeats} are asked for"
            )
        self.same_cohort(plan.cohort.digest, [task_json(task) for task in plan.cohort.tasks])
        made = {cell_name(job.repeat, job.fold): job.split_digest for job in (*plan.missing, *(job for job, _ in plan.stored))}
        self.same_splits(made)

    def same_cohort(self, digest: str, tasks: Sequence[Mapping[str, Any]]) -> None:
        about = self.first.manifest["dataset"]
        if [task["name"] for task in tasks] != [task["name"] for task in about["tasks"]]:
            raise BenchError(
                f"{UNLIKE}, but the published outcomes of '{self.dataset}' are {', '.join(task['name'] for task in about['tasks'])}"
            )
        if digest != about["digest"]:
            raise BenchError(
                f"{UNLIKE}, but the cohort '{self.dataset}' is {digest[:8]} here and {about['digest'][:8]} there: other data or another reader"
            )

    def same_splits(self, made: Mapping[str, str]) -> None:
        told = self.first.manifest["splits"]
        if other := [cell for cell, digest in made.items() if told.get(cell) != digest]:
            raise BenchError(
                f"{UNLIKE}, but the split of '{self.dataset}' differs in {other[0]}: {made[other[0]]} here, {told.get(other[0], 'none')} there"
            )


def shelves(where: str | Path) -> dict[str, Shelf]:
    """A dataset's label -> what is published of it. BenchError where files of one dataset do not fit each other."""
    found: dict[str, list[Published]] = {}
    for path in files.find(where):
        one = files.opened(path)
        found.setdefault(one.dataset, []).append(one)
    for several in found.values():
        several.sort(key=lambda one: (-len(one.methods), one.path.name))
        for one in several[1:]:
            if other := [
                name for name in ("dataset", "protocol", "repeats", "splits") if one.manifest[name] != several[0].manifest[name]
            ]:
                files.refuse(one.path, f"is of another {other[0]} than {several[0].path.name}")
            if twice := sorted(
                set(one.methods) & {method for before in several[: several.index(one)] for method in before.methods}
            ):
                files.refuse(one.path, f"has {twice[0]}, which another file of '{one.dataset}' has too")
    return {dataset: Shelf(tuple(several)) for dataset, several in found.items()}


def shelf(where: str | Path, dataset: str) -> Shelf:
    """Of one dataset. BenchError where nothing is published of it."""
    found = shelves(where)
    if dataset not in found:
        raise BenchError(unknown("dataset with published results", dataset, sorted(found)))
    return found[dataset]


def merged(found: Results, shelf: Shelf, methods: Sequence[str] | None = None, reference: str | None = None) -> Results:
    """With the published methods as further ones, those of `methods` alone if given, in that order. What is found wins over what is published.

    The repeats that both have. Published methods have test predictions where the label is known, NaN elsewhere, and none of validation rows.
    """
    shelf.same_cohort(found.digest, [task_json(task) for task in found.tasks])
    told, here = shelf.first.manifest["protocol"], untuned(found.protocol)
    if here != told:
        raise BenchError(f"{UNLIKE}, but those of '{shelf.dataset}' are of {_differing(told, here)} in the stored run")
    repeats = min(int(str(found.protocol["repeats"])), shelf.first.repeats)
    every = [*found.methods, *(method for method in shelf.owner if method not in found.methods)]
    labels = every if methods is None else list(dict.fromkeys(methods))
    if missing := [label for label in labels if label not in every]:
        raise BenchError(unknown("method, neither stored nor published", missing[0], every))
    chosen = reference or (
        "single_task" if "single_task" in labels else found.reference if found.reference in labels else labels[0]
    )
    if chosen not in labels:
        raise BenchError(f"the reference must be one of the methods in the table ({', '.join(labels)}), but is '{chosen}'")
    base = _rows(found, repeats)
    new = [label for label in labels if label not in found.methods]
    kept = [frame[(frame["repeat"] < repeats) & frame["method"].isin(labels)] for frame in (found.predictions, found.cells)]
    predictions = [
        _predicted(base, shelf, label, repeats, [task.name for task in found.tasks])
        for label in new
        if shelf.owner[label].tested(label)
    ]
    of = {label: shelf.owner[label].manifest["methods"][label] for label in new}
    return replace(
        found, protocol={**found.protocol, "repeats": repeats}, reference=chosen, methods=tuple(labels),
        groups=headed({**found.groups, **{label: about["family"] for label, about in of.items()}}),
        predictions=pd.concat([frame for frame in (kept[0], *predictions) if len(frame)], ignore_index=True),
        cells=pd.concat([frame for frame in (kept[1], *(cells_of(shelf.owner[label], label, repeats) for label in new)) if len(frame)], ignore_index=True),
        made={**found.made, **{label: {key: about[key] for key in ("settings", "versions", "code", "adapted") if key in about} for label, about in of.items()}},
        others=tuple(label for label in found.others if label not in labels),
        published={**{label: told_of(shelf.owner[label], label) for label in new}, **{label: OWN for label in labels if label in found.methods and label in shelf.owner}},
    )  # fmt: skip


OWN = "Published too; these are the results of this folder."


def told_of(one: Published, method: str) -> str:
    """What stands under a table with this method of it."""
    made = one.manifest["made"]
    where = ", ".join(filter(None, (made["platform"], made["machine"])))
    tuning = one.manifest["methods"][method].get("tuning")
    tuned = f"settings searched in every training fold ({tuning})" if tuning else "not tuned"
    return (
        f"Published results of {made['date']} (bench {made['bench']}; {where}), {tuned}, not trained here: seconds are of that machine. Their "
        f"validation predictions are not published, so that no risk of theirs is recalibrated. Code versions: see the settings in index.html."
    )


def _differing(told: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    names = [name for name in dict.fromkeys([*told, *here]) if told.get(name) != here.get(name)]
    theirs, ours = ({name: one.get(name, "default") for name in names} for one in (told, here))
    return f"{words(theirs)} and of {words(ours)}"


def _rows(found: Results, repeats: int) -> dict[int, pd.DataFrame]:
    """repeat -> row, fold, view, y:<task> of all test rows in their order, from the first method that has each fold."""
    test = found.predictions[found.predictions["view"] == "test"]
    folds = int(str(found.protocol["folds"]))
    columns = ["repeat", "row", "fold", "view", *(f"y:{task.name}" for task in found.tasks)]
    first = test.groupby(["repeat", "fold"], sort=False)["method"].transform("first")
    base = {int(str(repeat)): own[columns] for repeat, own in test[test["method"] == first].sort_values("row").groupby("repeat")}
    lacking = [repeat for repeat in range(repeats) if repeat not in base or base[repeat]["fold"].nunique() < folds]
    if lacking:
        raise BenchError(
            f"the test rows of repeat {lacking[0]} are known from cells that are done, but of '{found.dataset}' not all folds are"
        )
    return base


def _predicted(base: Mapping[int, pd.DataFrame], shelf: Shelf, label: str, repeats: int, tasks: Sequence[str]) -> pd.DataFrame:
    """As `store.read` gives them."""
    columns = shelf.owner[label].columns(label)
    frames: list[pd.DataFrame] = []
    for repeat in range(repeats):
        rows = base[repeat]
        risks: dict[str, Any] = {}
        for task in tasks:
            known = rows[f"y:{task}"].notna().to_numpy()
            column = columns[repeat, task]
            if len(column.values) != known.sum():
                files.refuse(
                    shelf.owner[label].path,
                    f"has {len(column.values):,} risks of {task}, but {known.sum():,} rows have a known label",
                )
            risks[f"p:{task}"] = np.full(len(rows), np.nan)
            risks[f"p:{task}"][known] = column.risks()
        frames.append(rows.assign(method=label, **risks))
    return pd.concat(frames, ignore_index=True)


def alone(shelf: Shelf, methods: Sequence[str] | None = None, reference: str | None = None) -> Results:
    """Results of published methods alone: labels and splits come from the dataset's own loader."""
    about, spec = shelf.first.manifest["dataset"], registry.parse("datasets", shelf.dataset)[0]
    protocol = shelf.protocol
    cohort, made = prepared(spec, protocol)
    shelf.same_cohort(cohort.digest, about["tasks"])
    shelf.same_splits({cell_name(split.repeat, split.fold): splits.digest(split) for split in made.parts})
    names = [f"y:{task}" for task in cohort.task_names]
    frames = [
        pd.DataFrame(cohort.labels[split.test], columns=names).assign(
            repeat=split.repeat, fold=split.fold, row=split.test, view="test", method=""
        )
        for split in made.parts
    ]
    truth = getattr(registry.loaded(spec), "truth", None)
    base = Results(
        dataset=shelf.dataset, note=SYNTHETIC if truth else "", quick=False, tasks=cohort.tasks,
        protocol={**shelf.first.manifest["protocol"], "repeats": shelf.first.repeats}, reference="", cohort=cohort_frame(cohort, truth),
        methods=(), groups={}, predictions=pd.concat(frames, ignore_index=True), cells=pd.DataFrame({"method": [], "repeat": []}),
        receipt=splits.receipt(cohort, made.parts, made.kind, made.names), digest=cohort.digest, words=Words(cohort.tasks, tuple(cohort.notices)),
    )  # fmt: skip
    return merged(base, shelf, methods, reference)
