"""Differences of every method from the reference, or from its own single-task twin, with 95 % intervals; and ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from bench.report.figures import rows
from bench.report.figures.furniture import Key
from bench.report.figures.lettering import interval, number
from bench.report.figures.marks import BLUE, INK, PAPER, VERMILLION, Look, Page
from bench.report.figures.rows import Column, Estimate
from bench.report.figures.scales import Axis, span, ticks
from bench.report.notes import INTERVALS
from bench.report.sheet import verdict
from bench.stats import BAYES, LEVEL, MEAN
from bench.stats.benefit import YARDSTICK

METRICS = {"auroc": "AUROC", "ap": "Average precision", "brier": "Brier score", "log_loss": "Log loss"}
BETTER, WORSE = Look("circle", BLUE, BLUE), Look("square", VERMILLION, VERMILLION)
OPEN = Look("circle", INK, PAPER)
JOINT, OWN = Look("circle", BLUE, BLUE), Look("square", VERMILLION, PAPER)
FIGURE_SPACE = "\u2007"  # as wide as a digit
Families = Mapping[str, Sequence[str]]


def said_of(task: str) -> str:
    return "mean over outcomes" if task == MEAN else task


def forest(comparisons: pd.DataFrame, families: Families, task: str, dataset: str, how: str = "percentile") -> Page:
    """comparisons: of `Scoring`; how: its interval. The metrics that were tested, side by side; filled where the table has a mark.

    A difference that is NaN (too few events, no shared cell) leaves its row empty. Errors: none, but see `names`.
    """
    own = comparisons[comparisons["task"] == task]
    reference = str(own["reference"].iloc[0])
    columns = [_differences(own[own["metric"] == metric], metric, reference) for metric in tested(own)]
    keys = [
        Key("better, adjusted p < .05", look=BETTER), Key("worse, adjusted p < .05", look=WORSE),
        Key("not shown, adjusted", look=OPEN),
    ]  # fmt: skip
    said = [
        f"Difference with 95 % interval ({INTERVALS[how]}, paired bootstrap), not adjusted; the fill is. An arrow: beyond the axis, see the number."
    ]
    return rows.page(f"{dataset}, {said_of(task)}: difference from {reference}", families, columns, keys, said)


def tested(comparisons: pd.DataFrame) -> list[str]:
    """The primary metrics: those with an adjusted p; AUROC and AP where nothing has one."""
    found = comparisons.loc[comparisons["p_adjusted"].notna(), "metric"].unique().tolist()
    return [m for m in METRICS if m in found] or [m for m in ("auroc", "ap") if m in set(comparisons["metric"])]


def _differences(own: pd.DataFrame, metric: str, reference: str) -> Column:
    estimates: dict[str, Sequence[Estimate]] = {}
    texts = {reference: "reference"}
    looks = {"▲": BETTER, "▼": WORSE, "": OPEN}
    for _, row in own.iterrows():
        d, low, high = (100 * float(row[name]) for name in ("difference", "low", "high"))
        estimates[row["method"]] = [Estimate(d, low, high, looks[verdict(row)])]
        texts[row["method"]] = interval(d, low, high)
    return Column(METRICS[metric], "points", estimates, texts, "difference [95 %]")


def transfer(table: pd.DataFrame, families: Families, task: str, dataset: str) -> Page:
    """table: of `multitask.transfer`. Multi-task less single-task, both with joint and both with per-task stopping.

    NaN differences leave their place empty. Beside it: in what share of the folds sharing hurt.
    """
    own = table[table["task"] == task]
    shown = _placed([str(m) for m in own["method"].unique()], families)
    columns = [_transfer(own[own["metric"] == metric], metric) for metric in METRICS if metric in set(own["metric"])]
    keys = [Key("stopped jointly", look=JOINT), Key("stopped per outcome", look=OWN)]
    keys = [key for key, stop in zip(keys, ("joint", "per_task"), strict=True) if stop in set(own["stopping"])]
    said = [
        "Below 0: behind the single-task network. 95 % interval, not adjusted; in brackets the share of cells in which it is below 0, %."
    ]
    return rows.page(
        f"{dataset}, {said_of(task)}: multi-task less {', '.join(_unique(own['baseline']))}", shown, columns, keys, said
    )


def _placed(methods: Sequence[str], families: Families) -> dict[str, list[str]]:
    """Methods under the family of the label that begins like theirs: the stop setting is not part of theirs."""
    home = {name.split(":")[0]: family for family, names in families.items() for name in reversed(names)}
    exact = {name: family for family, names in families.items() for name in names}
    found: dict[str, list[str]] = {family: [] for family in (*families, "")}
    for method in methods:
        found[exact.get(method, home.get(method.split(":")[0], ""))].append(method)
    return {family: names for family, names in found.items() if names}


def _unique(values: pd.Series) -> list[str]:
    return list(dict.fromkeys(str(v) for v in values))


def _transfer(own: pd.DataFrame, metric: str) -> Column:
    estimates: dict[str, list[Estimate]] = {}
    said: dict[str, list[str]] = {}
    for method, stop, d, low, high, share in own[["method", "stopping", "difference", "low", "high", "hurt"]].itertuples(
        index=False
    ):
        look = OWN if stop == "per_task" else JOINT
        estimates.setdefault(method, []).append(Estimate(100 * d, 100 * low, 100 * high, look))
        said.setdefault(method, []).append(f"{number(100 * d, 1, sign=True)} ({number(100 * share, 0)})")
    texts = {method: " / ".join(both) for method, both in said.items()}
    return Column(METRICS.get(metric, metric), "points", estimates, texts, "difference (hurt)")


def ranks(standings: pd.DataFrame, families: Families, task: str, dataset: str) -> Page:
    """standings: of `Scoring`; rank 1 is best. Filled: not distinguishable from the best. No dot: not ranked (NaN).

    The line is the 95 % set of the true rank, for all methods at once, where the table has one (columns set_low and set_high): the
    resampled ranks themselves are too narrow by far.
    """
    own = standings[standings["task"] == task]
    columns = [_ranks(own[own["metric"] == metric], metric) for metric in METRICS if metric in set(own["metric"])]
    keys = [Key("not distinguishable from the best", look=BETTER), Key("behind the best", look=OPEN)]
    said = [
        "Rank with the 95 % set of the true rank, all methods at once; P: share of resamples in which the method is the best, in %."
    ]
    return rows.page(f"{dataset}, {said_of(task)}: ranks", families, columns, keys, said)


def _ranks(own: pd.DataFrame, metric: str) -> Column:
    table = own.reindex(columns=["method", "rank", "set_low", "set_high", "tied", "first"])
    estimates: dict[str, Sequence[Estimate]] = {}
    texts: dict[str, str] = {}
    for method, rank, low, high, tied, first in table.itertuples(index=False):
        estimates[method] = [Estimate(rank, low, high, BETTER if tied else OPEN)]
        texts[method] = f"{number(rank, 0).rjust(3, FIGURE_SPACE)}  {number(100 * first, 0).rjust(4, FIGURE_SPACE)}"
    most = max(len(table), 2)
    marked = [(v, t) for v, t in ticks(0, most, 7) if v >= 1 and v == int(v)]
    axis = Axis(0.4, most + 0.6, ((1, "1"), *(m for m in marked if m[0] > 1)), "rank (1 is best)")
    return Column(METRICS.get(metric, metric), axis.title, estimates, texts, "rank P, %", None, axis)


def benefit(table: pd.DataFrame, families: Families, task: str, dataset: str) -> Page:
    """table: of `benefit.differences`. Net benefit less that of a yardstick, averaged over the range of thresholds.

    Both as predicted and recalibrated, in true positives per 1,000 patients. NaN leave their place empty.
    """
    own = table[(table["task"] == task) & table["threshold"].isna()]
    columns = [_benefit(own[own["against"] == name], str(name)) for name in own["against"].unique()]
    keys = [Key("as predicted", look=OWN), Key("recalibrated", look=JOINT)]
    said = [
        "Average over the range of thresholds with 95 % interval, in net true positives per 1,000 patients. An arrow: beyond the axis.",
        "Treating all is far below treating none where thresholds lie above the prevalence: the column that is nearer to 0 counts. "
        f"Less {YARDSTICK}: the model that a clinic would use without us.",
    ]
    return rows.page(f"{dataset}, {said_of(task)}: difference in net benefit", families, columns, keys, said)


def _benefit(own: pd.DataFrame, against: str) -> Column:
    estimates: dict[str, list[Estimate]] = {}
    for method, version, d, low, high in own[["method", "version", "difference", "low", "high"]].itertuples(index=False):
        look = OWN if version == "raw" else JOINT
        estimates.setdefault(method, []).append(Estimate(1000 * d, 1000 * low, 1000 * high, look))
    return Column(f"less {against}", "per 1,000 patients", estimates)


def subgroups(table: pd.DataFrame, differences: pd.DataFrame, families: Families, task: str, dataset: str) -> Page:
    """table: of `subgroups.subgroups`; differences: of `subgroups.heterogeneity`. A column per level of each variable.

    The first metric of the table. A level without a number (NaN: too few events) has an empty column.
    """
    metric = str(table["metric"].iloc[0])
    own = table[(table["task"] == task) & (table["metric"] == metric)]
    low, high = span(100 * own["low"].fillna(own["value"]), 100 * own["high"].fillna(own["value"]), None)
    columns = [
        _level(part, f"{variable}: {level}", Axis(low, high, ticks(low, high, 3)))
        for (variable, level), part in own.groupby(["variable", "level"], sort=False)
    ]
    said = [f"{METRICS.get(metric, metric)} in %, with 95 % interval; under each column events of n. An arrow: beyond the axis."]
    return rows.page(
        f"{dataset}, {said_of(task)}: subgroups", families, columns, (), [*said, *_spread(differences, task, metric)]
    )


def _level(own: pd.DataFrame, title: str, axis: Axis) -> Column:
    estimates = {
        str(method): [Estimate(100 * value, 100 * low, 100 * high, OPEN)]
        for method, value, low, high in own[["method", "value", "low", "high"]].itertuples(index=False)
    }
    size = f"{own['events'].max():,.0f} of {own['n'].max():,.0f}"
    return Column(title, "", estimates, zero=None, axis=replace(axis, title=size))


def _spread(differences: pd.DataFrame, task: str, metric: str) -> list[str]:
    """In words, per variable: for how many methods the levels differ."""
    if differences.empty:
        return []
    own = differences[(differences["task"] == task) & (differences["metric"] == metric) & (differences["method"] != BAYES)]
    counted = own.groupby("variable", sort=False)["p"].agg([_small, "count"])
    said = [f"{variable} {few} of {every}" for variable, (few, every) in counted.iterrows()]
    return [f"Methods whose levels differ at p < .05 (not adjusted): {', '.join(said)}."]


def _small(p: pd.Series) -> int:
    return int((p < LEVEL).sum())
