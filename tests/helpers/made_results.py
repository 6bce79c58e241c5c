"""Results made by hand, without a method or a run, and the tables of their report."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from bench import report
from bench.core import Task
from bench.report import latex, markdown, sheet, tables
from bench.report.sheet import Sheet
from bench.report.terminal import Screen
from bench.stats import Scoring
from bench.store import Results

HOW = report.Settings(resamples=60)
HOSTILE = ["<script>alert(1)</script>", "100%_|a|", "=cmd()", "\\input{x}&#~^$", "{}[]**`_`", "a--b 'λ' \x1b[31m\n+1"]


def results(
    methods: tuple[str, ...] = ("ref", "good", "poor"),
    tasks: tuple[str, ...] = ("death", "stroke"),
    n: int = 300,
    quick: bool = False,
    note: str = "",
    weighted: bool = False,
    truth: bool = False,
) -> Results:
    """Predictions of known quality: the label plus noise, more of it for every further method but the second."""
    rng = np.random.default_rng(0)
    y = (rng.random((n, len(tasks))) < 0.25).astype(np.float32)
    fold, shared = np.arange(n) % 3, rng.normal(size=y.shape)
    frames: list[pd.DataFrame] = []
    for m, method in enumerate(methods):
        p = 1 / (1 + np.exp(-(y + shared * (0.6 if m == 1 else 1) + 0.4 * m * (m != 1) * rng.normal(size=y.shape))))
        columns = {"method": method, "repeat": 0, "fold": fold, "row": np.arange(n), "view": "test"}
        columns |= {f"y:{t}": y[:, i] for i, t in enumerate(tasks)} | {f"p:{t}": p[:, i] for i, t in enumerate(tasks)}
        frames.append(pd.DataFrame(columns))
    ids = np.arange(n).astype(str)
    cohort = pd.DataFrame({"row": np.arange(n), "patient": ids, "group": ids})
    for i, task in enumerate(tasks):
        cohort = cohort.assign(**{f"weight:{task}": rng.uniform(1, 2, n)}) if weighted else cohort
        cohort = cohort.assign(**{f"truth:{task}": 0.2 + 0.5 * y[:, i]}) if truth else cohort
    facts = {"parameters": 1234, "steps": 50, "at_cap": False}
    cells = [
        {"method": m, "repeat": 0, "fold": f, "status": "done", "seconds": 2.0, "peak_mb": 1.0, "joules": None, "facts": facts, "alarms": [],
         "error": ""} for m in methods for f in range(3)
    ]  # fmt: skip
    return Results(
        dataset="demo:n=300", note=note, quick=quick, tasks=tuple(Task(t) for t in tasks),
        protocol={"folds": 3, "repeats": 1, "seed": 0, "quick": quick}, reference=methods[0], cohort=cohort, methods=methods,
        groups=dict.fromkeys(methods, ""), predictions=pd.concat(frames, ignore_index=True), cells=pd.DataFrame(cells),
    )  # fmt: skip


def with_cell(given: Results, method: str, fold: int, **changes: Any) -> Results:
    """The same results but for one cell; without its predictions unless it is done."""
    here = {"method": method, "fold": fold}
    records = [r | changes if here.items() <= r.items() else r for r in given.cells.to_dict("records")]
    gone = given.predictions[list(here)].eq(here).all(axis=1) & (changes.get("status", "done") != "done")
    return replace(given, cells=pd.DataFrame(records), predictions=given.predictions[~gone])


def scored(given: Results, style: str = "paper") -> tuple[Scoring, Sheet]:
    scoring = report.scored(given, HOW)
    return scoring, sheet.build(given, scoring, style)


def written(given: Results, style: str = "paper") -> dict[str, str]:
    """The tables of a report, without what takes longer."""
    scoring, made = scored(given, style)
    return {
        "table.md": markdown.render(made), "table.tex": latex.render(made), "table.csv": tables.csv(made),
        "scores.csv": tables.frame(scoring.scores), "comparisons.csv": tables.frame(scoring.comparisons),
    }  # fmt: skip


def shown(given: Results, width: int = 120, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=file, width=width).print(Screen(scored(given)[1]))
    file.flush()
    return file.buffer.getvalue().decode(encoding)


def hostile() -> Results:
    given = results(tuple(HOSTILE), (HOSTILE[0], HOSTILE[1], HOSTILE[3]), note=HOSTILE[4])
    given = replace(given, dataset=HOSTILE[3], groups=dict.fromkeys(HOSTILE, HOSTILE[1]))
    return with_cell(given, HOSTILE[2], 0, status="failed", error=HOSTILE[3] + HOSTILE[0])
