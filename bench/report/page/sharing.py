"""What sharing between outcomes did: negative transfer, gains, unions, coherence, affinity, and the price of it."""

import pandas as pd

from bench.report.evidence import Frames
from bench.report.page import grid
from bench.report.page.compare import name_of, tested, writer
from bench.report.page.grid import Cell, Field, Grid
from bench.report.words import clean, number, percent

TRANSFER = (
    "Method less the single-task baseline, in points; below 0 sharing hurt. Hurt: share of cells (repeat and fold) in which it did. "
    "Stopping: when training stopped, by the joint validation score or per outcome. p, adjusted: over the outcomes of one method and "
    "metric, not over methods; p, unadjusted: one of {count} in this table, of which one in twenty falls below .05 by chance alone: no "
    "evidence by itself."
)
GAINS = (
    "Delta m: mean over outcomes of the change against the baseline; relative to its score, absolute in points, and relative to its "
    "score above chance."
)
UNIONS = "The mean over all outcomes beside the mean over those that are no union of others: a union repeats its parts."
COHERENCE = "Violations: share of patients whose risk of the union is below that of its part. Excess: by how much, on average."
PHI = "Phi: correlation of the labels. `bench run --diagnose` adds what a training step for one outcome does to the other."
AFFINITY = (
    "Phi: correlation of the labels. Affinity: share of the other outcome's loss that a step for this one takes away. Cosine: of their "
    "gradients. Means over the methods that were diagnosed."
)
COSTS = "Last columns: on the Pareto front, no other method is both better on average and cheaper. Seconds: of all cells; parameters: mean of a cell."

METRIC = Field("metric", lambda row: grid.said(name_of(row["metric"])), words=True)


def transfer(frames: Frames) -> Grid | None:
    """Per outcome, the multi-task method minus the single-task one, under both kinds of stopping."""
    fields = (
        grid.text("outcome", "task"),
        METRIC,
        grid.text("stopping", "stopping"),
        grid.text("baseline", "baseline"),
        Field("difference (95 % interval)", _difference),
        grid.figure("p, unadjusted", "p", grid.p_value),
        grid.figure("p, adjusted", "p_adjusted", grid.p_value),
        grid.figure("hurt, % of cells", "hurt", lambda value: percent(value, 0)),
        grid.figure("cells", "cells", number),
    )
    count = int(frames.transfer["p"].notna().sum()) if len(frames.transfer) else 0
    about = TRANSFER.format(count=f"{count:,}")
    return grid.build(frames.transfer, "Transfer by outcome", fields, frames.results.groups, about=about)


def _difference(row: grid.Record) -> Cell:
    text = grid.with_interval(row["difference"], row["low"], row["high"], tested(row["metric"]))
    return Cell(text, grid.key(row["difference"]))


def gains(frames: Frames) -> Grid | None:
    def gain(heading: str, name: str) -> Field:
        return grid.ranged(heading, name, grid.points, f"{name}_low", f"{name}_high")

    ways = (("relative, %", "relative"), ("absolute, points", "absolute"), ("above chance, %", "corrected"))
    fields = (METRIC, grid.text("baseline", "baseline"), *(gain(*way) for way in ways))
    return grid.build(frames.gains, "Mean gain over single-task (Delta m)", fields, frames.results.groups, about=GAINS)


def unions(frames: Frames) -> Grid | None:
    def mean(heading: str, column: str) -> Field:
        return Field(heading, lambda row: grid.valued(row[column], writer(row["metric"])))

    fields = (METRIC, mean("all outcomes", "all"), mean("without unions", "without"))
    return grid.build(frames.unions, "Task mean with and without unions", fields, frames.results.groups, about=UNIONS)


def coherence(frames: Frames) -> Grid | None:
    fields = (
        grid.text("part", "part"),
        grid.text("union", "union"),
        grid.figure("violations, % of patients", "violations", percent),
        grid.figure("mean excess, points", "mean_excess", lambda value: percent(value, 2)),
    )
    return grid.build(frames.coherence, "Coherence of nested outcomes", fields, frames.results.groups, about=COHERENCE)


def affinity(frames: Frames) -> Grid | None:
    """Affinities where a method was diagnosed, correlations in any case."""
    fields = [grid.text("other outcome", "other"), grid.figure("phi", "phi", grid.plus(2))]
    if frames.affinity.empty or frames.affinity["affinity"].isna().all():
        return grid.build(frames.affinity, "Correlation of outcomes", fields, {}, name="task", corner="Outcome", about=PHI)
    fields += [grid.figure("affinity", "affinity", grid.plus(3)), grid.figure("cosine", "cosine", grid.plus(2))]
    return grid.build(
        frames.affinity, "Correlation and affinity of outcomes", fields, {}, name="task", corner="Outcome", about=AFFINITY
    )  # fmt: skip


def costs(frames: Frames) -> Grid | None:
    """Performance beside cost; energy where the machine told it."""
    frame = frames.costs
    told = len(frame) > 0 and bool(pd.to_numeric(frame["joules"], errors="coerce").notna().any())
    fields = (
        Field("family", lambda row: grid.said(clean(str(row["family"]))), words=True),
        grid.figure("AUROC, %", "auroc", percent),
        grid.figure("AP, %", "ap", percent),
        grid.figure("seconds", "seconds", number),
        grid.figure("parameters", "parameters", number),
        *((grid.figure("joules", "joules", number),) if told else ()),
        grid.yes("AUROC, time", "pareto_seconds"),
        grid.yes("AUROC, size", "pareto_parameters"),
        grid.yes("AP, time", "pareto_seconds_ap"),
        grid.yes("AP, size", "pareto_parameters_ap"),
    )
    return grid.build(frame, "Performance and cost", fields, frames.results.groups, about=COSTS)
