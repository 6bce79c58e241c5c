"""What is made of stored results alone, without training: `bench report`, `compare`, `diagnose` and `results export`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench import plans, registry, report, store
from bench.core import BenchError
from bench.execute.shards import Part
from bench.lookup import as_stored, results_of
from bench.protocol import joined
from bench.report import across, diagnosis
from bench.report.sheet import Sheet

if TYPE_CHECKING:
    from bench.report.exported import Exported

EXTERNAL = "external"  # the split of results on another cohort
UNSTORED = "how a death before it counts there is not stored; the same `bench run --test-data` stores it"


@dataclass(frozen=True)
class Outcome:
    """What a run gives: per dataset the stored results and the report made of them."""

    results: dict[str, store.Results]
    reports: dict[str, report.Report]
    folders: dict[str, Path]
    across: Sheet | None = None  # mean ranks, where there are several datasets
    part: Part | None = None  # of a shard, which has no tables: all else is empty then

    @property
    def scores(self) -> pd.DataFrame:
        """dataset, method, task, metric, value, sd, low, high, folds, n, events."""
        return _stacked({name: one.scores for name, one in self.reports.items()})

    @property
    def comparisons(self) -> pd.DataFrame:
        """dataset, method, reference, task, metric, difference, low, high, p, p_adjusted, estimand."""
        return _stacked({name: one.comparisons for name, one in self.reports.items()})

    @property
    def predictions(self) -> pd.DataFrame:
        """dataset, method, repeat, fold, row, view, y:<task>, p:<task>: every out-of-fold and validation prediction."""
        return _stacked({name: one.predictions for name, one in self.results.items()})

    @property
    def failed(self) -> pd.DataFrame:
        """The cells that ended in an error: dataset, method, repeat, fold, error."""
        if not self.results:
            return pd.DataFrame(columns=["dataset", "method", "repeat", "fold", "error"])
        cells = _stacked({name: one.cells for name, one in self.results.items()})
        return cells.loc[~cells["status"].isin(["done", "declined"]), ["dataset", "method", "repeat", "fold", "error"]]

    def table(self, dataset: str | None = None) -> str:
        """The comparison table as Markdown; of the first dataset if none is named."""
        name = next(iter(self.folders)) if dataset is None else dataset
        if name not in self.folders:
            raise BenchError(registry.unknown("dataset of this outcome", name, list(self.folders)))
        return (self.folders[name] / "table.md").read_text("utf-8")


def make_report(
    dataset: str | Sequence[str] = "surgical",
    methods: str | Sequence[str] | None = None,
    *,
    reference: str | None = None,
    results: str | Path = "results",
    reports: str | Path = "reports",
    quick: bool = False,
    protocol: str | None = None,
    against: str | Path | None = None,
    settings: report.Settings | None = None,
) -> Outcome:
    """The report again, from stored results alone. methods: those of the last run if None, `all` for every one stored.

    protocol: the newest if None, else one of `bench.store.runs`, as cv5-n500@8fd27715, or what stands before its @. against: published
    results that are shown too, `published` or a folder or file of such; then all of them if methods is None.
    """
    outcome = Outcome({}, {}, {})
    for found in results_of(dataset, methods, reference, Path(results), quick, protocol, against, settings and settings.plan):
        add(outcome, found, Path(reports), settings)
    return ranked(outcome, Path(reports))


def draw_figure(
    name: str,
    task: str | None = None,
    dataset: str | Sequence[str] = "surgical",
    methods: str | Sequence[str] | None = None,
    *,
    reference: str | None = None,
    results: str | Path = "results",
    reports: str | Path = "reports",
    quick: bool = False,
    protocol: str | None = None,
    against: str | Path | None = None,
    settings: report.Settings | None = None,
) -> list[Path]:
    """One figure of the report alone, as PDF, SVG and PNG: the files. task: an outcome or `mean`; None for each there is.

    `critical_difference` is of all the datasets together, from 8 on.
    """
    if name == across.DIAGRAM:
        how = settings or report.Settings()
        every = results_of(dataset, methods, reference, Path(results), quick, protocol, against)
        return across.diagram({found.dataset: report.scored(found, how) for found in every}, Path(reports))
    paths: list[Path] = []
    for found in results_of(dataset, methods, reference, Path(results), quick, protocol, against, settings and settings.plan):
        paths += report.figure(found, folder_of(Path(reports), found), name, task, settings)
    return paths


def compare(
    a: str,
    b: str,
    dataset: str | None = None,
    *,
    metric: str | None = None,
    margin: float | None = None,
    results: str | Path = "results",
    quick: bool = False,
    protocol: str | None = None,
    against: str | Path | None = None,
    resamples: int | None = None,
    seed: int = 0,
    plan: str | Path | None = None,
) -> report.Compared:
    """Is a better than b? One paragraph and a table, from stored results alone. margin: a difference that would not matter.

    plan: of which dataset, metric (the first primary one), margin and resamples are taken where they are None: surgical and auroc without.
    """
    locked = None if plan is None else plans.read(Path(plan))
    if locked is not None:
        dataset, quick = dataset or ",".join(locked.datasets), quick or locked.run["quick"]
    dataset = dataset or "surgical"
    settings = report.Settings.chosen(locked, resamples=resamples, seed=seed)
    found = list(results_of(dataset, [a, b], None, Path(results), quick, protocol, against, locked))
    if len(found) > 1:
        raise BenchError(f"two methods are compared on one dataset, but {len(found)} are named: {dataset}")
    pair = found[0].methods[0], found[0].methods[-1]  # as they are stored; one and the same is refused further down
    return report.compared(found[0], *pair, metric, margin, settings)


def diagnostics(
    dataset: str | Sequence[str] = "surgical",
    methods: str | Sequence[str] | None = None,
    *,
    results: str | Path = "results",
    reports: str | Path = "reports",
    quick: bool = False,
    protocol: str | None = None,
    full: bool = False,
) -> dict[Path, diagnosis.Diagnosed]:
    """What `run(..., diagnose=True)` found in the fitted models, from stored cells alone: a folder with diagnostics.csv, and what it holds.

    full: every outcome and pair of outcomes on the sheet, not their means alone. The file has all of them.
    """
    out: dict[Path, diagnosis.Diagnosed] = {}
    for found in results_of(dataset, methods, None, Path(results), quick, protocol):
        folder = folder_of(Path(reports), found)
        out[folder] = diagnosis.write(found, folder, full)
    return out


def export(
    file: str | Path,
    *,
    results: str | Path = "results",
    dataset: str | None = None,
    scores: bool = False,
    bencheval: str | None = None,
    quick: bool = False,
    force: bool = False,
) -> "Exported":
    """Write every stored prediction into one long table, or the scores per cell: how many rows, and what is left out. See
    `bench.report.exported`. bencheval: a metric, whose errors are written as TabArena's `bencheval` takes them instead.

    file: ends in .parquet or .csv. dataset: this one alone. quick: quick looks, which are left out else. Cells of older code are left out.
    BenchError where no cell is stored.
    """
    from bench.report import bencheval as errors
    from bench.report import exported

    path = Path(file)
    exported.checked(path, force)
    held = store.contents(Path(results))
    shelves = [shelf for shelf in held.shelves if shelf.current and shelf.quick == quick]
    if dataset is not None:
        known = {shelf.dataset for shelf in shelves}
        name = as_stored("datasets", dataset, known)
        if name not in known:
            raise BenchError(registry.unknown(f"dataset in {results}", dataset, sorted(known)))
        shelves = [shelf for shelf in shelves if shelf.dataset == name]
    if not any(shelf.cells for shelf in shelves):
        raise BenchError(f"{results} holds no {'quick looks' if quick else 'results'} to export")
    try:
        return exported.write(held, shelves, path, scores) if bencheval is None else errors.write(held, shelves, path, bencheval)
    except OSError as error:
        raise BenchError(f"cannot write {path}: {error}") from error


def add(outcome: Outcome, found: store.Results, reports: Path, settings: report.Settings | None = None) -> None:
    """Write the report of a dataset's results, and put both into the outcome."""
    name, folder = name_of(found), folder_of(reports, found)
    outcome.results[name], outcome.folders[name] = found, folder
    outcome.reports[name] = report.write(found, folder, settings)
    views = set(found.predictions["view"]) if len(found.predictions) else set[str]()
    for other in (other for other in found.external if f"{EXTERNAL}:{other}" in views):
        add(outcome, elsewhere(found, other), reports, settings)


def elsewhere(found: store.Results, name: str) -> store.Results:
    """The results of the fitted models on another cohort that they predicted (external validation).

    All are tested on the same rows, so that each model is a repeat: the value per model, then the mean. A cell that was stored
    without these predictions counts as declined. Risks are as predicted: validation rows are of the first cohort. What is said of the
    outcomes is the other cohort's; a leak that was let through in either counts.
    """
    words = found.elsewhere.get(name) or store.Words(tuple(replace(task, competing=UNSTORED, label="") for task in found.tasks))
    rows = found.predictions[found.predictions["view"] == f"{EXTERNAL}:{name}"]
    tasks = tuple(task for task in words.tasks if rows[f"y:{task.name}"].notna().any())
    folds, repeats = (int(str(found.protocol[key])) for key in ("folds", "repeats"))
    known = rows.drop_duplicates("row")
    labels = {task.name: known[f"y:{task.name}"] for task in tasks}
    counts = [
        {"repeat": 0, "fold": 0, "side": "test", "n": len(known), "task": task, "known": int(y.notna().sum()), "events": int(y.sum()),
         "prevalence": float(y.mean())} for task, y in labels.items()
    ]  # fmt: skip
    predicted = set(zip(rows["method"], rows["repeat"], rows["fold"], strict=True))
    missed = [key not in predicted for key in zip(found.cells["method"], found.cells["repeat"], found.cells["fold"], strict=True)]
    lost = np.array(missed) & (found.cells["status"] == "done").to_numpy()
    cells = found.cells.assign(
        status=found.cells["status"].mask(lost, "declined"),
        error=found.cells["error"].mask(lost, f"no predictions of '{name}' are stored; `bench run --test-data` makes them"),
    )
    return replace(
        found, dataset=f"{found.dataset} tested on {name}", tasks=tasks, cohort=found.external[name],
        predictions=_a_model_a_repeat(rows.assign(view="test"), folds), cells=_a_model_a_repeat(cells, folds),
        protocol={**found.protocol, "split": EXTERNAL, "folds": 1, "repeats": folds * repeats},
        receipt={"names": [f"learned from {found.dataset}, tested on {name}"], "folds": counts}, digest="", external={}, sizes={}, others=(),
        words=replace(words, leaks=(*found.words.leaks, *words.leaks)), elsewhere={},
    )  # fmt: skip


def _a_model_a_repeat(frame: pd.DataFrame, folds: int) -> pd.DataFrame:
    return frame.assign(repeat=frame["repeat"] * folds + frame["fold"], fold=0)


def ranked(outcome: Outcome, reports: Path) -> Outcome:
    """With the mean ranks over its datasets, written to the reports folder, if it has several."""
    own = {name: found for name, found in outcome.results.items() if found.protocol.get("split") != EXTERNAL}
    if len(own) < 2 or len({found.dataset for found in own.values()}) < len(own):
        return outcome  # of one dataset under several protocols there is no mean rank
    warnings = dict.fromkeys(text for name in own for text in outcome.reports[name].sheet.warnings)
    scored = {name: outcome.reports[name].scoring for name in own}
    quick = any(found.quick for found in own.values())
    return replace(outcome, across=across.write(scored, reports, list(warnings), quick))


def folder_of(reports: Path, found: store.Results) -> Path:
    return reports / store.safe(name_of(found) + ("-quick" if found.quick else ""))


def name_of(found: store.Results) -> str:
    """The dataset's label, and what of its protocol is not a cross-validation on all that there is."""
    given = found.protocol
    parts = [f"split={given['split']}"] if given.get("split", EXTERNAL) != EXTERNAL else []
    parts += [f"cut={given['cut']}"] if "cut" in given else []
    parts += [f"{name}={given[name]}" for name in ("train_size", "precision", "tune", "tune_minutes") if name in given]
    parts += [f"{given.get('at', 'test')}-without={'+'.join(map(str, dropped))}"] if (dropped := _list(given.get("drop"))) else []
    parts += [f"{name}={given[name]}" for name in ("text", "series") if name in given]
    parts += [f"outcomes={joined([*map(str, chosen)])}"] if (chosen := _list(given.get("outcomes"))) else []
    return " ".join([found.dataset, *parts])


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def _stacked(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([frame.assign(dataset=name) for name, frame in frames.items()], ignore_index=True).pipe(_first, "dataset")


def _first(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    return frame[[column, *(c for c in frame.columns if c != column)]]
