"""The report of a dataset from its stored predictions: tables, figures, page and checklists. No training, no torch."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench import stats
from bench.core import BenchError
from bench.plans import Locked
from bench.report import comparison, latex, markdown, planned, sheet, tables
from bench.report.comparison import Compared
from bench.report.evidence import Frames
from bench.report.terminal import Screen
from bench.stats import Evidence, Scoring, comparing
from bench.store import Results

RESAMPLES, QUICK_RESAMPLES = 2000, 200
LEVELS = ("robustness", "learning", "worth", "variants", "tuned")  # tables that most runs do not have


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How results are judged and shown.

    style: of the tables, see `bench.report.sheet.STYLES`. primary: the metrics that are tested as a family and marked. adjust: of its
    p values, see `bench.stats.ranking.ADJUSTMENTS`. interval: percentile or bca. resamples: of the bootstrap; None: 2000, of a quick look 200.
    plan: the one that the results are held against, in words.
    """

    style: str = "paper"
    primary: tuple[str, ...] = stats.PRIMARY
    adjust: str = "max_t"
    interval: str = "percentile"
    resamples: int | None = None
    seed: int = 0
    plan: Locked | None = None

    @staticmethod
    def chosen(plan: Locked | None = None, **given: Any) -> "Settings":
        """What is given, where it is not None; else as the plan has it, if there is one, or as usual."""
        words: dict[str, Any] = (
            {name: plan.analysis[name] for name in ("primary", "adjust", "interval", "resamples")} if plan else {}
        )
        words |= {name: value for name, value in given.items() if value is not None} | {"plan": plan}
        words["primary"] = tuple(words.get("primary", Settings.primary))
        return Settings(**words)

    def drawn(self, quick: bool) -> int:
        """How many resamples."""
        return self.resamples if self.resamples is not None else QUICK_RESAMPLES if quick else RESAMPLES


@dataclass(frozen=True, eq=False)
class Report:
    """What was written, to go on with."""

    scoring: Scoring
    sheet: sheet.Sheet

    @property
    def scores(self) -> pd.DataFrame:
        """method, task, metric, value, sd, low, high, folds, n, events; as fractions, NaN where undefined."""
        return self.scoring.scores

    @property
    def comparisons(self) -> pd.DataFrame:
        """Every method against the reference, as fractions: see `bench.stats.ranking.comparisons`."""
        return self.scoring.comparisons

    def terminal(self) -> Screen:
        """What `rich.console.Console.print` shows, fitted to its width."""
        return Screen(self.sheet)


def write(results: Results, folder: Path, settings: Settings | None = None) -> Report:
    """Score, compare, and write index.html, table.md, .tex and .csv, scores.csv, comparisons.csv, net_benefit.csv (differences,
    empty threshold: the average over the range), tripod.md, probast.md and figures/; variants.csv where outcomes have other definitions.

    Each file is written whole or not at all. The CSV files hold fractions, ten significant digits and an empty field for NaN: the
    same predictions give the same bytes. Names that a spreadsheet would take for a formula get an apostrophe in front there.
    """
    from bench.report import checklists, figures, page  # matplotlib and jinja2: not for those who only read
    from bench.stats.benefit import DIFFERENCES

    frames = frames_of(results, settings or Settings())
    pages = figures.pages(frames)
    files: dict[str, str | bytes] = {
        "table.md": markdown.render(frames.sheet), "table.tex": latex.render(frames.sheet), "table.csv": tables.csv(frames.sheet),
        "scores.csv": tables.frame(frames.scoring.scores), "comparisons.csv": tables.frame(frames.scoring.comparisons),
        "net_benefit.csv": tables.frame(frames.benefit_differences.reindex(columns=DIFFERENCES)),
        "tripod.md": checklists.tripod(frames), "probast.md": checklists.probast(frames),
        "index.html": page.render(frames, {"/".join(filter(None, key)): figures.svg(made) for key, made in pages.items()}),
    }  # fmt: skip
    levels: dict[str, pd.DataFrame] = {f"{name}.csv": getattr(frames, name) for name in LEVELS}
    files |= {name: tables.frame(table) for name, table in levels.items() if len(table)}
    images = figures.files(pages, ("svg",) if results.quick else figures.FORMATS)  # a quick look is looked at
    save(folder, files | {f"figures/{name}": data for name, data in images.items()})
    _forget((folder / "figures").glob("*"), images)
    _forget((folder / name for name in levels), files)
    return Report(frames.scoring, frames.sheet)


def figure(results: Results, folder: Path, name: str, task: str | None, settings: Settings | None = None) -> list[Path]:
    """Write one figure alone, as PDF, SVG and PNG; of every outcome if none is named. The paths."""
    from bench.report import figures

    frames = frames_of(results, settings or Settings())
    images = figures.files(figures.pages(frames, name, task))
    save(folder, {f"figures/{file}": data for file, data in images.items()})
    return [folder / "figures" / file for file in images]


def compared(results: Results, a: str, b: str, metric: str | None, margin: float | None, how: Settings) -> Compared:
    """Method a against method b, by AUROC, or by the metric and the margin of a plan. BenchError where one has no predictions."""
    metric, margin, lines = (metric or "auroc", margin, ()) if how.plan is None else planned.asked(how.plan, metric, margin)
    evidence = _evidence(results, how)
    if evidence is None:
        raise BenchError(f"no test predictions of {a} and {b} on '{results.dataset}': every cell failed or was declined")
    found = comparison.shown(results, comparing.compare(evidence, a, b, metric, margin), a, b, metric)
    return replace(found, sheet=replace(found.sheet, plan=lines))


def frames_of(results: Results, how: Settings) -> Frames:
    """All tables of a report."""
    evidence = _evidence(results, how)
    scoring = _scored(results, evidence, how)
    frames = Frames.of(results, evidence, scoring, how.style)
    if how.plan is None:
        return frames
    judged = {"primary": how.primary, "adjust": how.adjust, "interval": how.interval, "resamples": how.drawn(results.quick)}
    return replace(frames, sheet=planned.told(frames.sheet, results, how.plan, judged))


def scored(results: Results, how: Settings) -> Scoring:
    """Scores and comparisons alone."""
    return _scored(results, _evidence(results, how), how)


def _scored(results: Results, evidence: Evidence | None, how: Settings) -> Scoring:
    return stats.score(
        evidence, primary=how.primary, adjust=how.adjust, interval=how.interval, resamples=how.drawn(results.quick)
    )


def _evidence(results: Results, how: Settings) -> Evidence | None:
    names = [task.name for task in results.tasks]
    return stats.gather(
        results.predictions, results.cohort, names, results.methods, results.reference, families=results.groups,
        resamples=how.drawn(results.quick), seed=how.seed,
    )  # fmt: skip


def save(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write texts and images into a reports folder, each whole or not at all."""
    try:
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, data.encode() if isinstance(data, str) else data)
    except OSError as error:
        raise BenchError(f"cannot write to the reports folder: {error}. The results are stored: see `bench report`.") from error


def _write(path: Path, data: bytes) -> None:
    """Written beside, then renamed: a reader sees the old file or the new one."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _forget(there: Iterable[Path], written: Mapping[str, object]) -> None:
    """Files of an earlier report that this one does not have would be taken for its own."""
    for old in there:
        if old.name not in written:
            old.unlink(missing_ok=True)
