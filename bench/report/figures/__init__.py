"""The figures of a report: drawn from its tables, sized for one and two columns of print, readable in grey.

A name and, where it has one, an outcome make a figure. A figure whose tables are empty is not offered.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bench import registry, store
from bench.core import BenchError
from bench.report.evidence import Frames
from bench.report.figures import curves, forest, levels, maps, vector
from bench.report.figures.furniture import noted
from bench.report.figures.marks import Page
from bench.report.notes import families, warnings
from bench.stats import MEAN

FORMATS = ("pdf", "svg", "png")


@dataclass(frozen=True)
class Kind:
    """page: from frames and an outcome ("" where the figure has none). table: what it is drawn from; empty: not offered."""

    page: Callable[[Frames, str], Page]
    table: Callable[[Frames], pd.DataFrame]
    per_task: bool = True


def _title(f: Frames, task: str) -> str:
    return f"{f.results.dataset}, {curves.outcome(f.scoring.outcomes, task)}"


def _chance(f: Frames, task: str) -> float:
    return float(f.scoring.outcomes.set_index("task")["chance"].get(task, float("nan")))


def _ordered(f: Frames) -> list[str]:
    """Methods in the order of the tables."""
    return [method for methods in families(f.results).values() for method in methods]


def _baseline(f: Frames) -> str:
    """Whose learning curve the others are held against."""
    return f.results.reference if f.worth.empty else str(f.worth["baseline"].iloc[0])


def _known(table: pd.DataFrame, column: str) -> pd.DataFrame:
    return table[table[column].notna()] if column in table else table


FIGURES: dict[str, Kind] = {
    "forest": Kind(
        lambda f, t: forest.forest(f.scoring.comparisons, families(f.results), t, f.results.dataset, f.scoring.interval),
        lambda f: _known(f.scoring.comparisons, "difference"),
    ),
    "roc": Kind(
        lambda f, t: curves.roc(f.curves, f.scoring.scores, _ordered(f), f.results.reference, t, _title(f, t)),
        lambda f: _known(f.curves, "y"),
    ),
    "pr": Kind(
        lambda f, t: curves.pr(
            f.curves, f.scoring.scores, _ordered(f), f.results.reference, t, _title(f, t), _chance(f, t)
        ),
        lambda f: _pr(f.curves),
    ),
    "calibration": Kind(
        lambda f, t: curves.calibration(f.smooth, f.calibration, _ordered(f), t, _title(f, t)),
        lambda f: _known(f.smooth, "observed"),
    ),
    "decision": Kind(
        lambda f, t: curves.decision(f.net_benefit, _ordered(f), f.results.reference, t, _title(f, t)),
        lambda f: _known(f.net_benefit, "value"),
    ),
    "risks": Kind(
        lambda f, t: curves.risks(f.risks, _ordered(f), t, _title(f, t)),
        lambda f: _known(f.risks, "share"),
    ),
    "transfer": Kind(
        lambda f, t: forest.transfer(f.transfer, families(f.results), t, f.results.dataset),
        lambda f: _known(f.transfer, "difference"),
    ),
    "ranks": Kind(
        lambda f, t: forest.ranks(f.scoring.standings, families(f.results), t, f.results.dataset),
        lambda f: _known(f.scoring.standings, "rank"),
    ),
    "benefit": Kind(
        lambda f, t: forest.benefit(f.benefit_differences, families(f.results), t, f.results.dataset),
        lambda f: _averaged(f.benefit_differences),
    ),
    "subgroups": Kind(
        lambda f, t: forest.subgroups(f.subgroups, f.heterogeneity, families(f.results), t, f.results.dataset),
        lambda f: _subgroups(f.subgroups),
    ),
    "learning": Kind(
        lambda f, t: levels.learning(f.learning, _ordered(f), _baseline(f), t, f"{f.results.dataset}, {forest.said_of(t)}"),
        lambda f: _known(f.learning, "value"),
    ),
    "worth": Kind(
        lambda f, t: levels.worth(f.worth, f.learning, families(f.results), t, f"{f.results.dataset}, {forest.said_of(t)}"),
        lambda f: f.worth,
    ),
    "robustness": Kind(
        lambda f, t: levels.robustness(f.robustness, _ordered(f), f.results.reference, t, f"{f.results.dataset}, {forest.said_of(t)}"),
        lambda f: _known(f.robustness, "value"),
    ),
    "pareto": Kind(lambda f, _: maps.pareto(f.costs, list(families(f.results)), f.results.dataset), lambda f: _any(_any(f.costs, maps.COSTS), maps.METRICS), per_task=False),
    "affinity": Kind(lambda f, _: maps.affinity(f.affinity, f.results.dataset), lambda f: _any(f.affinity, maps.MAPS), per_task=False),
}  # fmt: skip


def _pr(table: pd.DataFrame) -> pd.DataFrame:
    return _known(table[table["curve"] == "pr"], "y") if len(table) else table


def _averaged(table: pd.DataFrame) -> pd.DataFrame:
    return _known(table[table["threshold"].isna()], "difference") if len(table) else table


def _subgroups(table: pd.DataFrame) -> pd.DataFrame:
    return _known(table[table["metric"] == table["metric"].iloc[0]], "value") if len(table) else table


def _any(table: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """Rows in which one of the columns is known."""
    return table[table[[c for c in columns if c in table]].notna().any(axis=1)] if len(table) else table


def names(frames: Frames) -> list[tuple[str, str]]:
    """(figure, outcome) of all that can be drawn, the mean over outcomes first; outcome "" where the figure has none."""
    return [(name, task) for name in FIGURES for task in _tasks(frames, name)]


def _tasks(frames: Frames, figure: str) -> list[str]:
    """Outcomes of which a figure can be drawn."""
    kind = FIGURES[figure]
    table = kind.table(frames)
    if not kind.per_task:
        return [""] if len(table) else []
    there = set(table["task"].unique()) if len(table) else set[str]()
    return [task for task in (MEAN, *(task.name for task in frames.results.tasks)) if task in there]


def page(frames: Frames, figure: str, task: str = "") -> Page:
    """The figure as data. BenchError for a figure or outcome that there is not, with the closest name."""
    if figure not in FIGURES:
        raise BenchError(registry.unknown("figure", figure, list(FIGURES)))
    offered = _tasks(frames, figure)
    if not offered:
        raise BenchError(f"figure '{figure}' has nothing to show here: the results hold no numbers for it")
    if task not in offered:
        if offered == [""]:
            raise BenchError(f"figure '{figure}' is of all outcomes at once, but was asked for '{task}': leave out --task")
        if not task:
            raise BenchError(f"figure '{figure}' is of one outcome: add --task with one of {', '.join(offered)}")
        raise BenchError(registry.unknown(f"outcome of figure '{figure}'", task, offered))
    return noted(FIGURES[figure].page(frames, task), warnings(frames.results))


def pages(frames: Frames, figure: str | None = None, task: str | None = None) -> dict[tuple[str, str], Page]:
    """(figure, outcome) -> page: all there are, those of one figure, or a single one. BenchError as `page`."""
    if figure is None:
        chosen = names(frames)
    else:
        offered = _tasks(frames, figure) if figure in FIGURES else []
        chosen = [(figure, t) for t in (offered or [""] if task is None else [task])]
    return {key: page(frames, *key) for key in chosen}


def svg(made: Page) -> str:
    """An `<svg>` element to stand in an HTML page: colours of text and axes are the page's own."""
    return vector.svg(made, themed=True)


def files(made: Mapping[tuple[str, str], Page], formats: Sequence[str] = FORMATS) -> dict[str, bytes]:
    """File name -> content, of `pages`; the same tables give the same bytes."""
    stems = file_names(list(made))
    return {f"{stems[key]}.{kind}": data for key, drawn in made.items() for kind, data in saved(drawn, formats).items()}


def file_names(chosen: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """forest-aki; safe on every system, and a number behind where two outcomes would share a name."""
    stems: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for figure, task in chosen:
        stem = base = f"{figure}-{store.safe(task)}" if task else figure
        count = 1
        while stem.lower() in taken:
            count += 1
            stem = f"{base}-{count}"
        taken.add(stem.lower())
        stems[figure, task] = stem
    return stems


def saved(made: Page, formats: Sequence[str] = FORMATS) -> dict[str, bytes]:
    """Format -> content."""
    others = [kind for kind in formats if kind != "svg"]
    if others:
        from bench.report.figures import paint  # matplotlib, which SVG can do without

        drawn = paint.figure(made)
        images = {kind: paint.saved(drawn, kind) for kind in others}
    else:
        images = dict[str, bytes]()
    return {kind: vector.svg(made, themed=False).encode() if kind == "svg" else images[kind] for kind in formats}
