"""Several datasets together: mean ranks of the methods that are ranked in all of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from bench.report import markdown, save, tables
from bench.report.sheet import Block, Entry, Row, Sheet
from bench.report.words import DASH
from bench.stats import PRIMARY, Scoring, across

DIAGRAM = "critical_difference"
FEW = 3  # fewer datasets say nothing about another one
TITLES = {"auroc": "rank, AUROC", "ap": "rank, AP"}


def write(scored: Mapping[str, Scoring], folder: Path, warnings: Sequence[str] = (), quick: bool = False) -> Sheet:
    """Write across.md and across.csv, and return what to show; of a quick look across-quick.*.

    scored: a dataset's label -> what was found there. warnings: what must be read with every number.
    """
    made, found = built(scored, warnings)
    stem = "across-quick" if quick else "across"
    save(folder, {f"{stem}.md": markdown.render(made), f"{stem}.csv": tables.frame(found)})
    return made


def built(scored: Mapping[str, Scoring], warnings: Sequence[str] = ()) -> tuple[Sheet, pd.DataFrame]:
    """What to show, and the table it is of, see `bench.stats.across.ranks`."""
    found = across.ranks(list(scored.items()))
    by = {(row["method"], row["metric"]): row for _, row in found.iterrows()}
    methods = list(dict.fromkeys(found["method"]))
    count = int(found["datasets"].max()) if len(found) else 0
    shown = 3 if count >= FEW else 2
    rows = tuple(
        Row(m, tuple(Entry(text) for metric in PRIMARY for text in _texts(by.get((m, metric)))[:shown])) for m in methods
    )
    columns = tuple(
        heading for metric in PRIMARY for heading in ((TITLES[metric],), ("95 %,", "these"), ("95 %,", "another"))[:shown]
    )
    about = "where the mean of the true ranks in these datasets lies, for all methods at once with probability .95, from their patients"
    another = (
        f"Another: the mean rank in other datasets of the kind, Student's interval over {count}."
        if count >= FEW
        else f"Of the rank in another dataset {count} say nothing; across.csv has Student's interval."
    )
    sheet = Sheet(
        title=f"Across {', '.join(scored)}", protocol="", warnings=tuple(warnings), footnotes=(),
        blocks=(Block("Mean rank over datasets, 1 is best", columns, (("", rows),)),),
        remarks=(
            f"Methods ranked in all of {count} independent datasets (variants of one count once), by the mean over outcomes. These: "
            f"{about}. {another}",
            f"A critical-difference diagram needs {across.DATASETS} independent datasets: `bench report --figure critical_difference`.",
        ),
    )  # fmt: skip
    return sheet, found


def diagram(scored: Mapping[str, Scoring], folder: Path) -> list[Path]:
    """Write the critical-difference diagram of each metric, as PDF, SVG and PNG. BenchError with fewer than 8 independent datasets."""
    from bench.report import figures
    from bench.report.figures.difference import critical_difference

    found = [across.critical_difference(list(scored.items()), metric) for metric in PRIMARY]
    files: dict[str, str | bytes] = {}
    for metric, table in zip(PRIMARY, found, strict=True):
        drawn = figures.saved(critical_difference(table, across.alike(table)))
        files |= {f"{DIAGRAM}-{metric}.{kind}": data for kind, data in drawn.items()}
    save(folder, files)
    return [folder / name for name in files]


def _texts(row: pd.Series | None) -> tuple[str, str, str]:
    if row is None:
        return DASH, DASH, DASH
    another = DASH if not row["low"] < row["high"] else f"{row['low']:.1f} to {row['high']:.1f}"
    return f"{row['mean_rank']:.1f}", f"{row['set_low']:.1f} to {row['set_high']:.1f}", another
