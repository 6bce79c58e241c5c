"""index.html: one file that is whole by itself, true to its tables, and usable by hand, by keyboard, on a phone and on paper."""

import base64
import hashlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import report
from bench.core import Task
from bench.report import figures, page, words
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


def drawn(frames: Frames) -> dict[str, str]:
    return {f"{kind}/{task}" if task else kind: figures.svg(frames, kind, task) for kind, task in figures.names(frames)}


@pytest.fixture(scope="module")
def frames() -> Frames:
    return frames_of(results())


@pytest.fixture(scope="module")
def text(frames: Frames) -> str:
    return page.render(frames, drawn(frames))


@pytest.fixture(scope="module")
def hostile() -> str:
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
        cells = [[Document(cell).words.strip() for cell in re.findall(r"<t[hd][ >].*?</t[hd]>", row, re.S)] for row in rows]
        found[title[1] if title else ""] = cells
    return found


# ---- without a browser


def test_one_file_that_asks_for_nothing(text: str) -> None:
    document = Document(text)
    assert document.problems == []
    for attribute in ("src", "href", "action", "srcset", "data", "xlink:href"):
        assert all(value.startswith(("#", "data:,")) for value in document.values(attribute)), attribute
    assert not re.search(r"https?:|url\(|@import|//[a-z]+\.", text)
    assert not [name for _, attributes in document.elements for name in attributes if name.startswith("on")]


def test_only_the_script_of_the_page_may_run(text: str) -> None:
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(scripts) == 1
    policy = next(a["content"] for tag, a in Document(text).elements if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in policy
    assert "innerHTML" not in scripts[0]
    assert scripts[0].count("\n") <= 250


def test_every_reference_within_the_page_is_kept(text: str) -> None:
    document = Document(text)
    ids = document.values("id")
    assert len(set(ids)) == len(ids)
    wanted = [value[1:] for value in document.values("href") if value.startswith("#")]
    wanted += document.values("aria-describedby") + document.values("aria-labelledby")
    assert set(wanted) <= set(ids)
    assert len(document.values("aria-describedby")) > 50  # numbers that tell what is behind them


def test_every_table_is_rectangular(text: str) -> None:
    found = tables(text)
    assert len(found) >= 15
    for title, (head, *rows) in found.items():
        assert {len(row) for row in rows} <= {len(head), 1}, title  # 1: the name of a family


def test_it_holds_all_there_is(text: str, frames: Frames) -> None:
    expected = {
        "glance", "comparison", "forest", "discrimination", "calibration", "decision", "risks", "sharing", "subgroups", "cost",
        "alarms", "splits", "reading", "environment",
    }  # fmt: skip
    document = Document(text)
    assert {a["id"] for tag, a in document.elements if tag == "section"} == expected
    assert {value[1:] for value in document.values("href")} >= expected  # the contents
    for title in ("AUROC, %", "Brier score", "Calibration", "Net benefit differences", "Transfer by outcome", "AUROC by site"):
        rows = {row[0] for row in tables(text)[title]}
        assert rows >= {words.clean(m) for m in (METHODS[1:] if title.startswith("Transfer") else METHODS)} - {METHODS[2]}, title
    assert text.count("<svg") == len(drawn(frames))
    for said in (*frames.sheet.remarks, *frames.sheet.footnotes, frames.sheet.protocol, "d1935", "3.11.7", "width=64"):
        assert said in document.words


def test_the_comparison_says_what_was_scored(text: str, frames: Frames) -> None:
    scores = frames.scoring.scores.set_index(["method", "task", "metric"])
    row = next(row for row in tables(text)["AUROC, %"] if row[0] == "good_one")
    assert len(row) == 4
    for cell, task in zip(row[1:], ("mean", "any_event", "stroke"), strict=True):
        of = scores.loc[("good_one", task, "auroc")]
        assert cell.startswith(f"{100 * of['value']:.1f} ±{100 * of['sd']:.1f}")
        assert f"95 % interval {100 * of['low']:.1f} to {100 * of['high']:.1f}" in cell
    test = frames.scoring.comparisons.set_index(["method", "task", "metric"]).loc[("good_one", "stroke", "auroc")]
    assert f"against ref: +{100 * test['difference']:.1f} (" in row[3]
    assert "▲" in row[3]
    assert 'class="v best"' in text
    assert 'class="v second"' in text


def test_all_tests_of_a_difference_stand_side_by_side(text: str, frames: Frames) -> None:
    head, *rows = tables(text)["Every method against ref"]
    assert head[-5:] == ["p", "p adjusted", "detectable", "p DeLong", "p corrected t"]
    # (4 - 1) methods x (2 outcomes + mean) x 4 metrics
    assert len(rows) == 36
    own = next(row for row in rows if row[:3] == ["poor", "stroke", "AUROC"])
    delong = frames.delong.set_index(["method", "task"]).loc[("poor", "stroke"), "p"]
    assert own[-2] == (f"{delong:.3f}".removeprefix("0") if delong >= 0.001 else "<.001")


def test_warnings_come_first(frames: Frames) -> None:
    quick = frames_of(replace(frames.results, quick=True))
    before = page.render(quick, {}).split("<main")[0]
    assert re.search(r"quick look, not a result.*Synthetic: no evidence", before, re.S)
    none = replace(frames.sheet, warnings=())
    assert 'class="warning"' not in page.render(replace(frames, sheet=none), {})


def test_checks_name_methods_and_footnotes(frames: Frames) -> None:
    cells = frames.results.cells.to_dict("records")
    cells[0] |= {"status": "failed", "error": "ValueError: odd\nTraceback"}
    cells[3] |= {"alarms": ["validation score never moved"], "facts": {"at_cap": True, "steps": 7}}
    found = replace(frames, results=replace(frames.results, cells=pd.DataFrame(cells)))
    made = page.render(found, {})
    checks = dict(tables(made)["Checks"])
    assert checks["every cell ran"] == "ref (1)"
    # good_one: 1 of 3 cells at the cap, above 20 %; then its alarm
    assert checks["training ended before its cap"] == "good_one (2)"
    assert checks["the validation score moved"] == "good_one (3)"
    assert checks["no two methods predict the same"] == "✓ nothing found"
    assert "1 of 3 cells failed: ValueError: odd." in Document(made).words
    assert "Traceback" not in made
    ledger = {row[0]: row for row in tables(made)["Budget ledger"]}
    assert ledger["ref"][1:6] == ["2 of 3", "1", "0", "1", "4"]


def test_the_receipt_is_stored_or_counted(frames: Frames) -> None:
    counted = tables(page.render(frames, {}))["Split receipt"]
    y = frames.results.predictions.query("method == 'ref' and view == 'test' and fold == 0")["y:stroke"]
    assert [row[:3] for row in counted[1:3]] == [["repeat 0, fold 0", "test", "120"], ["repeat 0, fold 0", "valid", "120"]]
    assert counted[1][4] == f"{int(y.sum())} ({100 * y.mean():.1f} %)"
    row = {"repeat": 0, "fold": 0, "side": "train", "n": 9, "task": "stroke", "known": 8, "events": 2, "prevalence": 0.25}
    stored = {
        "hash": "abc",
        "groups_on_two_sides": 0,
        "folds": [row, row | {"side": "test", "events": 0, "known": 0, "prevalence": None}],
    }
    made = page.render(replace(frames, results=replace(frames.results, receipt=stored)), {})
    assert tables(made)["Split receipt"][1:] == [
        ["repeat 0, fold 0", "train", "9", "2 of 8 (25.0 %)"],
        ["repeat 0, fold 0", "test", "9", "0 of 0 (– %)"],
    ]
    assert "Groups on two sides of a split: 0. Hash of all splits: abc." in made


def test_without_a_single_prediction() -> None:
    given = results()
    cells = given.cells.assign(status="failed", error="MemoryError", seconds=np.nan)
    made = page.render(frames_of(replace(given, cells=cells, predictions=pd.DataFrame({"method": pd.Series(dtype=str)}))), {})
    assert Document(made).problems == []
    assert {"glance", "comparison", "calibration"} & set(Document(made).values("id")) == set()
    assert "3 of 3 cells failed: MemoryError." in made
    assert tables(made)["Budget ledger"][1][:2] == ["ref", "0 of 3"]


def test_a_figure_of_an_unknown_kind_has_a_place(frames: Frames) -> None:
    made = page.render(frames, {"novel/stroke": "<svg><path/></svg>", "novel": "<svg></svg>"})
    assert re.search(r'<section id="more".*<figure data-task="stroke"[^>]*><svg><path/></svg>', made, re.S)


def test_diagnostics_that_cells_hold(frames: Frames) -> None:
    cells = frames.results.cells.copy()
    told = {"diagnosis": {"leakage": {"p:stroke -> any_event": {"value": 0.7125}}, "gates": {"g": {"entropy": 0.5, "e0": 1.0}}}}
    cells["facts"] = [told if m == "good_one" else facts for m, facts in zip(cells["method"], cells["facts"], strict=True)]
    made = page.render(replace(frames, results=replace(frames.results, cells=cells)), {})
    assert tables(made)["AUROC of a linear probe p_t -&gt; y_u"][1] == ["good_one", "p:stroke -> any_event", "0.713"]
    assert tables(made)["Use of experts, by gate"][0] == ["Method", "of", "entropy"]


def test_the_same_tables_give_the_same_page(text: str, frames: Frames) -> None:
    assert page.render(frames, drawn(frames)) == text


def test_hostile_names_are_text(hostile: str, text: str) -> None:
    document = Document(hostile)
    assert document.problems == []
    tame = {tag for tag, _ in Document(text).elements}
    assert {tag for tag, _ in document.elements} <= tame | {"tfoot"}
    assert {name for _, attributes in document.elements for name in attributes} <= {
        name for _, attributes in Document(text).elements for name in attributes
    }
    for name in HOSTILE:
        assert words.clean(name) in document.words
        assert name in document.values("data-method")
    assert set(HOSTILE) >= set(document.values("data-family"))
    assert len(re.findall("<script", hostile)) == 1


def test_size_and_time_of_a_large_report() -> None:
    methods = tuple(f"method_{i}:width=64" for i in range(25))
    many = frames_of(results(methods, ("any", "b", "c", "d")))
    page.render(many, {})
    started = time.process_time()
    made = page.render(many, {})
    assert time.process_time() - started < 5
    assert len(made.encode()) < 1.5e6
