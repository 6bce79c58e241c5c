"""What is made of stored results alone, without training: `bench report`, `bench compare`, `bench diagnose`."""

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from bench import registry, report, store
from bench.core import BenchError
from bench.report import across, diagnosis
from bench.report.sheet import Sheet


@dataclass(frozen=True)
class Outcome:
    """What a run gives: per dataset the stored results and the report made of them."""

    results: dict[str, store.Results]
    reports: dict[str, report.Report]
    folders: dict[str, Path]
    across: Sheet | None = None  # mean ranks, where there are several datasets

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
    settings: report.Settings | None = None,
) -> Outcome:
    """The report again, from stored results alone. methods: those of the last run if None, `all` for every one stored."""
    outcome = Outcome({}, {}, {})
    for found in _stored(dataset, methods, reference, Path(results), quick):
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
    settings: report.Settings | None = None,
) -> list[Path]:
    """One figure of the report alone, as PDF, SVG and PNG: the files. task: an outcome or `mean`; None for each there is.

    `critical_difference` is of all the datasets together, from 8 on.
    """
    if name == across.DIAGRAM:
        how = settings or report.Settings()
        every = _stored(dataset, methods, reference, Path(results), quick)
        return across.diagram({found.dataset: report.scored(found, how) for found in every}, Path(reports))
    paths: list[Path] = []
    for found in _stored(dataset, methods, reference, Path(results), quick):
        paths += report.figure(found, folder_of(Path(reports), found), name, task, settings)
    return paths


def compare(
    a: str,
    b: str,
    dataset: str = "surgical",
    *,
    metric: str = "auroc",
    margin: float | None = None,
    results: str | Path = "results",
    quick: bool = False,
    resamples: int | None = None,
    seed: int = 0,
) -> report.Compared:
    """Is a better than b? One paragraph and a table, from stored results alone. margin: a difference that would not matter."""
    found = list(_stored(dataset, [a, b], None, Path(results), quick))
    if len(found) > 1:
        raise BenchError(f"two methods are compared on one dataset, but {len(found)} are named: {dataset}")
    pair = found[0].methods[0], found[0].methods[-1]  # as they are stored; one and the same is refused further down
    return report.compared(found[0], *pair, metric, margin, report.Settings(resamples=resamples, seed=seed))


def diagnostics(
    dataset: str | Sequence[str] = "surgical",
    methods: str | Sequence[str] | None = None,
    *,
    results: str | Path = "results",
    reports: str | Path = "reports",
    quick: bool = False,
    full: bool = False,
) -> dict[Path, Sheet]:
    """What `run(..., diagnose=True)` found in the fitted models, from stored cells alone: a folder with diagnostics.csv, a sheet.

    full: every outcome and pair of outcomes on the sheet, not their means alone. The file has all of them.
    """
    out: dict[Path, Sheet] = {}
    for found in _stored(dataset, methods, None, Path(results), quick):
        folder = folder_of(Path(reports), found)
        out[folder] = diagnosis.write(found, folder, full)
    return out


def _stored(
    dataset: str | Sequence[str], methods: str | Sequence[str] | None, reference: str | None, results: Path, quick: bool
) -> Iterator[store.Results]:
    """The newest results of each dataset, as the user names datasets and methods."""
    there = store.labels(results, quick)
    names = registry.parts(text(dataset))
    if not names:
        raise BenchError("no dataset given. Name one that `bench run` was given.")
    for name in names:
        stored = _as_stored("datasets", name, there)
        known = {"all", *there.get(stored, ())}
        labels = None if methods is None else [_as_stored("methods", m, known) for m in registry.parts(text(methods))]
        chosen = None if reference is None else _as_stored("methods", reference, known)
        if labels is not None and chosen is None and "single_task" in (there.get(stored, ()) if labels == ["all"] else labels):
            chosen = "single_task"  # as a run of these methods would have it
        yield store.read(results, stored, quick=quick, methods=labels, reference=chosen)


def text(specs: str | Sequence[str]) -> str:
    return specs if isinstance(specs, str) else ",".join(specs)


def _as_stored(kind: registry.Kind, name: str, known: Container[str]) -> str:
    """A label of the results as it stands; anything else as `bench run` would have read it, if it can."""
    if name not in known:
        with suppress(BenchError):
            return registry.parse(kind, name)[0].label
    return name


def add(outcome: Outcome, found: store.Results, reports: Path, settings: report.Settings | None = None) -> None:
    """Write the report of a dataset's results, and put both into the outcome."""
    folder = folder_of(reports, found)
    outcome.results[found.dataset], outcome.folders[found.dataset] = found, folder
    outcome.reports[found.dataset] = report.write(found, folder, settings)


def ranked(outcome: Outcome, reports: Path) -> Outcome:
    """With the mean ranks over its datasets, written to the reports folder, if it has several."""
    if len(outcome.reports) < 2:
        return outcome
    warnings = dict.fromkeys(text for one in outcome.reports.values() for text in one.sheet.warnings)
    quick = any(found.quick for found in outcome.results.values())
    scored = {name: one.scoring for name, one in outcome.reports.items()}
    return replace(outcome, across=across.write(scored, reports, list(warnings), quick))


def folder_of(reports: Path, found: store.Results) -> Path:
    return reports / store.safe(found.dataset + ("-quick" if found.quick else ""))


def _stacked(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([frame.assign(dataset=name) for name, frame in frames.items()], ignore_index=True).pipe(_first, "dataset")


def _first(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    return frame[[column, *(c for c in frame.columns if c != column)]]
