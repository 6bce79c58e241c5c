"""The tables of a dataset from its stored predictions: on the terminal, as Markdown, LaTeX and CSV. No training, no torch."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench import stats
from bench.core import BenchError
from bench.report import latex, markdown, sheet, words
from bench.report.terminal import Screen
from bench.stats import Scoring
from bench.store import Results


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
        """method, reference, task, metric, difference, low, high, p, p_adjusted, estimand; as fractions."""
        return self.scoring.comparisons

    def terminal(self) -> Screen:
        """What `rich.console.Console.print` shows, fitted to its width."""
        return Screen(self.sheet)


def write(results: Results, folder: Path, *, resamples: int = 1000, seed: int = 0) -> Report:
    """Score, compare, and write table.md, table.tex, scores.csv and comparisons.csv, each whole or not at all.

    The CSV files hold fractions, ten significant digits and an empty field for NaN: the same predictions give the same bytes.
    Names that a spreadsheet would take for a formula get an apostrophe in front there.
    """
    names = [task.name for task in results.tasks]
    evidence = stats.gather(
        results.predictions, results.cohort, names, results.methods, results.reference, families=results.groups,
        resamples=resamples, seed=seed,
    )  # fmt: skip
    scoring = stats.score(evidence, resamples=resamples)
    made = Report(scoring, sheet.build(results, scoring))
    files = {
        "table.md": markdown.render(made.sheet), "table.tex": latex.render(made.sheet),
        "scores.csv": _csv(made.scores), "comparisons.csv": _csv(made.comparisons),
    }  # fmt: skip
    save(folder, files)
    return made


def save(folder: Path, files: Mapping[str, str]) -> None:
    """Write texts into a reports folder, each whole or not at all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            _write(folder / name, text)
    except OSError as error:
        raise BenchError(f"cannot write to the reports folder: {error}. The results are stored: see `bench report`.") from error


def _csv(frame: pd.DataFrame) -> str:
    safe = frame.copy()
    for column in ("method", "reference", "task"):
        if column in safe:
            safe[column] = [words.csv(text) for text in safe[column]]
    return safe.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def _write(path: Path, text: str) -> None:
    """Written beside, then renamed: a reader sees the old file or the new one."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
