"""Tables of a report written by hand, with hostile names, and the words of a drawn page."""

from dataclasses import fields
from itertools import product

import numpy as np
import pandas as pd
from made_levels import learning, robustness, worth

from bench.core import Task
from bench.report import figures
from bench.report.evidence import Frames
from bench.report.figures import lettering, marks
from bench.report.figures.marks import Page, Words
from bench.report.sheet import Sheet
from bench.stats import Scoring
from bench.store import Results

HOSTILE = "<script>alert('$x^2$')</script>&amp;"
LONG = "mmoe:experts=16:width=128:balance=gradient_surgery_of_a_name_that_has_no_end"
METHODS = ("single_task", "logistic", HOSTILE, LONG, "a\x1b[31m|b\u202e_{c}%\u4e2d=cmd()")
TASKS = ("aki", '"><img src=x onerror=alert(1)>')
FAMILIES = dict(zip(METHODS, ("single-task", "linear", "sharing", "sharing", "<b>odd</b>"), strict=True))
RNG = np.random.default_rng(0)


def table(columns: str, rows: list[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


def interval(value: float, half: float) -> tuple[float, float, float]:
    return value, value - half, value + half


def scoring() -> Scoring:
    outcomes = (*TASKS, "mean")
    scores = [
        (m, t, k, *interval(0.7 + 0.02 * i, 0.01), 5, 1000, 100)
        for (i, m), t, k in product(enumerate(METHODS), outcomes, ("auroc", "ap"))
    ]
    compared = [
        (m, METHODS[0], t, k, *interval(0.03 * (i - 2), 0.02), 0.001 if i != 2 else 0.6)
        for (i, m), t, k in product(enumerate(METHODS), outcomes, ("auroc", "ap"))
        if i and not (i == 4 and k == "ap")
    ]
    stood = [
        (m, t, k, i + 1.0 if i < 4 else np.nan, i < 2, 1 - 0.2 * i, max(1, i), i + 2)
        for (i, m), t, k in product(enumerate(METHODS), outcomes, ("auroc", "ap"))
    ]
    return Scoring(
        table("method task metric value low high folds n events", scores),
        table("method reference task metric difference low high p_adjusted", compared).assign(steady=True),
        table("method task metric rank tied first set_low set_high", stood),
        table("task n events prevalence chance", [(t, 1000, 100, 0.1, 0.11) for t in TASKS]),
        pd.DataFrame(), [], 100, 0, 12,
    )  # fmt: skip


def clinical() -> dict[str, pd.DataFrame]:
    """The last method has no predictions; the third predicts a constant."""
    x = np.linspace(0, 1, 21)
    known = METHODS[:4]
    drawn = [
        (m, t, c, a, a ** (0.3 + 0.1 * i) if c == "roc" else 0.5 - 0.4 * a)
        for (i, m), t, c, a in product(enumerate(known), TASKS, ("roc", "pr"), x)
    ]
    shares = [
        (m, t, v, y, a, a + 0.05, 0.05 * (1 + y - a) * (1 if v == "raw" else 0.5))
        for m, t, v, y, a in product(known, TASKS, ("raw", "recalibrated"), (0, 1), x[:-1])
    ]
    smooth = [
        (m, t, v, 0.1 if i == 2 else 0.4 * a, 0.1 if i == 2 else 0.4 * a ** (1.3 if v == "raw" else 1))
        for (i, m), t, v, a in product(enumerate(known), TASKS, ("raw", "recalibrated"), x)
    ]
    facts = [
        (m, t, v, 1000, 0.1, -0.2, np.nan if i == 2 else 0.8, 0.02, 0.004)
        for (i, m), t, v in product(enumerate(known), TASKS, ("raw", "recalibrated"))
    ]
    benefit = [
        (m, t, v, 0.02 + 0.2 * a, 0.1 - 0.4 * a if m == "treat all" else 0.05 * (1 - a), t == "aki")
        for m, t, v, a in product((*known, "treat all", "treat none"), TASKS, ("raw", "recalibrated"), x)
    ]
    gains = [
        (m, against, t, v, threshold, *interval(0.002 * (i - 1), 0.001))
        for (i, m), against, t, v, threshold in product(
            enumerate(known), ("treat all", "logistic"), TASKS, ("raw", "recalibrated"), (np.nan, 0.1)
        )
    ]
    return {
        "curves": table("method task curve x y", drawn), "risks": table("method task version outcome low high share", shares),
        "smooth": table("method task version risk observed", smooth),
        "calibration": table("method task version n mean_risk intercept slope ici ici_floor", facts),
        "net_benefit": table("method task version threshold value clinical", benefit),
        "benefit_differences": table("method against task version threshold difference low high", gains),
    }  # fmt: skip


def others() -> dict[str, pd.DataFrame]:
    levels = [("sex", "female"), ("sex", "<i>male</i>"), *(("site", f"$site_{i}$") for i in range(6))]
    groups = [
        (m, t, variable, level, 500, 50, "auroc", *(interval(0.8, 0.03) if level != "$site_5$" else (np.nan,) * 3))
        for m, t, (variable, level) in product(METHODS[:4], TASKS, levels)
    ]
    differ = [(m, t, v, "auroc", 0.1, 0.01 if v == "sex" else 0.4) for m, t, v in product(METHODS[:4], TASKS, ("sex", "site"))]
    moved = [
        (m, stop, METHODS[0], t, k, *interval(0.01 if stop == "joint" else -0.01, 0.004), 0.4, 5)
        for m, stop, t, k in product(METHODS[2:4], ("joint", "per_task"), (*TASKS, "mean"), ("auroc", "ap"))
    ]
    costs = [
        (
            m,
            FAMILIES[m],
            0.7 + 0.02 * i,
            0.3,
            5 - (i == 3),
            10.0**i,
            100.0 if i else np.nan,
            np.nan,
            i == 0,
            i == 1,
            i == 0,
            i == 1,
        )
        for i, m in enumerate(METHODS[:4])
    ]
    names = "method family auroc ap cells seconds parameters joules pareto_seconds pareto_parameters pareto_seconds_ap pareto_parameters_ap"
    return {
        "subgroups": table("method task variable level n events metric value low high", groups),
        "heterogeneity": table("method task variable metric spread p", differ),
        "transfer": table("method stopping baseline task metric difference low high hurt cells", moved),
        "affinity": table("task other phi affinity cosine", [(TASKS[0], TASKS[1], 0.4, -0.2, np.nan)]),
        "costs": table(names, costs),
        "robustness": robustness(METHODS[:4], (*TASKS, "mean")),
        "learning": learning(METHODS[:4], (*TASKS, "mean")),
        "worth": worth(METHODS[:4], (*TASKS, "mean")),
    }


def made(**changed: pd.DataFrame) -> Frames:
    results = Results(
        "cohort <x> $y$", "Synthetic patients.", False, tuple(Task(t) for t in TASKS), {}, METHODS[0], pd.DataFrame(),
        METHODS, FAMILIES, pd.DataFrame(), pd.DataFrame(),
    )  # fmt: skip
    empty = {field.name: pd.DataFrame() for field in fields(Frames)}
    return Frames(
        **{**empty, **clinical(), **others(), **changed, "results": results, "scoring": scoring(),
           "sheet": Sheet("", "", (), (), (), ())}
    )  # fmt: skip


FRAMES = made()
NAMES = figures.names(FRAMES)
PER_TASK = {"forest", "roc", "pr", "calibration", "decision", "risks", "transfer", "ranks", "benefit", "subgroups"}
PER_TASK |= {"robustness", "learning", "worth"}


def words_of(page: Page) -> list[Words]:
    return [mark for mark in page.marks if isinstance(mark, Words)]


def outline(mark: Words) -> tuple[float, float, float, float]:
    """left, top, right, bottom in mm: 0.74 of the size above the baseline, 0.16 below."""
    length, size = lettering.width(mark.text, mark.size, mark.bold), mark.size * marks.POINT
    before = {"start": 0.0, "middle": length / 2, "end": length}[mark.anchor]
    if mark.turned:
        return mark.x - 0.74 * size, mark.y + before - length, mark.x + 0.16 * size, mark.y + before
    return mark.x - before, mark.y - 0.74 * size, mark.x - before + length, mark.y + 0.16 * size
