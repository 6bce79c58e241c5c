"""Small results with all there is to report, the page made of them, and a reader of pages."""

import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd

from bench import report
from bench.core import Task
from bench.report import figures, page
from bench.report.evidence import Frames
from bench.store import Results

HOSTILE = ("<script>alert(1)</script>", "100%_|a|", "=cmd()", '"><img src=x onerror=alert(2)>', "</script><b>'&amp;")
METHODS = ("ref", "good_one", "poor", "bad_" + "x" * 40)
VOID = {"meta", "link", "br", "input", "wbr"}


def results(methods: tuple[str, ...] = METHODS, tasks: tuple[str, ...] = ("any_event", "stroke"), n: int = 360) -> Results:
    """Three folds with validation rows; the second method is good, the others get noisier; the first outcome is a union."""
    rng = np.random.default_rng(0)
    y = (rng.random((n, len(tasks))) < 0.25).astype(np.float32)
    y[:, 0] = y.max(axis=1)
    shared = rng.normal(size=y.shape)
    frames: list[pd.DataFrame] = []
    for m, method in enumerate(methods):
        p = 1 / (1 + np.exp(1 - 1.5 * y - shared * (0.5 if m == 1 else 1) - 0.3 * m * (m != 1) * rng.normal(size=y.shape)))
        for fold in range(3):
            for view, offset in (("test", 0), ("valid", 1)):
                rows = np.flatnonzero(np.arange(n) % 3 == (fold + offset) % 3)
                columns: dict[str, Any] = {"method": method, "repeat": 0, "fold": fold, "row": rows, "view": view}
                columns |= {f"y:{t}": y[rows, i] for i, t in enumerate(tasks)} | {
                    f"p:{t}": p[rows, i] for i, t in enumerate(tasks)
                }
                frames.append(pd.DataFrame(columns))
    ids = np.arange(n).astype(str)
    cohort = pd.DataFrame(
        {"row": np.arange(n), "patient": ids, "group": ids, "site": np.where(np.arange(n) % 2, "north", "south")}
    )
    facts = {"parameters": 1234, "steps": 50, "at_cap": False, "penalty_start": 0.25}
    cells = [
        {"method": m, "repeat": 0, "fold": f, "status": "done", "seconds": 2.0, "peak_mb": 10.0, "joules": None, "facts": facts, "alarms": [],
         "error": ""} for m in methods for f in range(3)
    ]  # fmt: skip
    outcomes = (Task(tasks[0]), *(Task(name, implies=(tasks[0],), thresholds=(0.1, 0.4)) for name in tasks[1:]))
    families = {m: "single-task" if i == 0 else "sharing" if i % 2 else "trees" for i, m in enumerate(methods)}
    return Results(
        dataset="demo", note="Synthetic: no evidence", quick=False, tasks=outcomes,
        protocol={"folds": 3, "repeats": 1, "seed": 0, "quick": False}, reference=methods[0], cohort=cohort, methods=methods,
        groups=families, predictions=pd.concat(frames, ignore_index=True), cells=pd.DataFrame(cells),
        made={m: {"settings": {"width": 64}, "versions": {"numpy": "2.4.6"}, "code": "c0de"} for m in methods},
        environment={"python": "3.11.7"}, digest="d1935",
    )  # fmt: skip


def frames_of(given: Results) -> Frames:
    return report.frames_of(given, report.Settings(resamples=60))


@cache
def small() -> Frames:
    """Of `results()`, computed once."""
    return frames_of(results())


@cache
def small_page() -> str:
    return page.render(small(), drawn(small()))


def drawn(frames: Frames) -> dict[str, str]:
    return {f"{kind}/{task}" if task else kind: figures.svg(made) for (kind, task), made in figures.pages(frames).items()}


@cache
def hostile_page() -> str:
    """Every name, note, fact and alarm is one that would like to be markup, a formula or a script."""
    given = results(HOSTILE, (HOSTILE[0], HOSTILE[1], HOSTILE[3]))
    cells = given.cells.to_dict("records")
    cells[3] |= {"status": "failed", "error": HOSTILE[0]}
    cells[4] |= {"alarms": [HOSTILE[4]], "facts": {"note": HOSTILE[3], "=1+1": [1.5]}}
    gone = (given.predictions["method"] == HOSTILE[1]) & (given.predictions["fold"] == 0)
    found = frames_of(
        replace(
            given, dataset=HOSTILE[0], note=HOSTILE[4], cells=pd.DataFrame(cells), groups=dict.fromkeys(HOSTILE, HOSTILE[3]),
            predictions=given.predictions[~gone], made={HOSTILE[0]: {"settings": {"a": HOSTILE[3]}, "versions": {HOSTILE[4]: "1"}}},
            cohort=given.cohort.assign(site=np.where(given.cohort["row"] % 2, HOSTILE[0], HOSTILE[3])),
        )
    )  # fmt: skip
    return page.render(found, drawn(found))


class Document(HTMLParser):
    """The elements of a page with their attributes and text, and what is wrong with their nesting."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []  # of the innermost elements, in order
        self.problems: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.problems += [f"never closed: {tag}" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if len({name for name, _ in attrs}) < len(attrs):
            self.problems.append(f"an attribute twice: {tag} {attrs}")
        self._open += [] if tag in VOID else [tag]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"closed out of turn: {tag}")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def words(self) -> str:
        return "".join(self.texts)

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]


def tables(text: str) -> dict[str, list[list[str]]]:
    """Every table by its title: rows of the plain text of cells."""
    found: dict[str, list[list[str]]] = {}
    for body in re.findall(r"<table.*?</table>", text, re.S):
        title = re.search(r"<caption[^>]*>(.*?)</caption>", body)
        rows = re.findall(r"<tr.*?</tr>", body, re.S)
        rows = [re.sub(r"(<th scope=.row.>.*?)<sup>.*?</sup>", r"\1", row) for row in rows]  # the numbers of footnotes
        cells = [[Document(cell).words.strip() for cell in re.findall(r"<t[hd][ >].*?</t[hd]>", row, re.S)] for row in rows]
        found[title[1] if title else ""] = cells
    return found
