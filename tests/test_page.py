"""index.html without a browser: one file, whole by itself, true to its tables, deaf to hostile names."""

import base64
import hashlib
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from paged import HOSTILE, METHODS, Document, drawn, frames_of, hostile_page, results, small, small_page, tables

from bench import report
from bench.core import Task
from bench.report import page, words
from bench.report.evidence import Frames


@pytest.fixture(scope="module")
def frames() -> Frames:
    return small()


@pytest.fixture(scope="module")
def text() -> str:
    return small_page()


@pytest.fixture(scope="module")
def hostile() -> str:
    return hostile_page()


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
    assert len(document.values("aria-describedby")) == 4 * 3 * 4  # numbers of 4 methods, 2 outcomes and the mean, 4 metrics
    # that tell what is behind them


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
    labels = ["p, unadjusted", "p, adjusted", "detectable", "p DeLong, unadjusted", "p corrected t, unadjusted"]
    assert head[4:9] == labels
    # (4 - 1) methods x (2 outcomes + mean) x 4 metrics
    assert len(rows) == 36
    own = next(row for row in rows if row[:3] == ["poor", "stroke", "AUROC"])
    delong = frames.delong.set_index(["method", "task"]).loc[("poor", "stroke"), "p"]
    assert own[head.index("p DeLong, unadjusted")] == (f"{delong:.3f}".removeprefix("0") if delong >= 0.001 else "<.001")


def test_a_p_that_is_not_adjusted_says_so_and_of_how_many(text: str, frames: Frames) -> None:
    for title, (head, *_) in tables(text).items():
        assert not [name for name in head if re.fullmatch(r"p|p DeLong|p corrected t", name)], title
    assert "p, unadjusted" in tables(text)["AUROC by site"][0]
    # 4 methods x 2 outcomes x 2 metrics by site; 3 methods against the single-task one x 2 outcomes and their mean x 2 metrics, but
    # the third is a tree
    assert "one of 16 such p in these tables" in Document(text).words
    moved = int(frames.transfer["p"].notna().sum())
    assert moved == 2 * 3 * 2
    assert f"one of {moved} in this table" in Document(text).words
    assert Document(text).words.lower().count("no evidence by itself") == 2


def test_net_benefit_differences_stand_at_every_threshold(text: str, frames: Frames) -> None:
    # stroke states .1 to .4: 9 thresholds, .0375 apart; a row per method, rival (all, none; nobody is called logistic) and version
    head, *rows = tables(text)["Net benefit differences by threshold, stroke"]
    assert len(head) == 2 + 9
    assert [head[i] for i in (0, 1, 2, 4, 6, 10)] == ["Method", "net benefit", "10 %", "17.5 %", "25 %", "40 %"]
    assert len(rows) == 4 * 2 * 2
    row = next(row for row in rows if row[:2] == ["poor", "recalibrated, less treat none"])
    own = frames.benefit_differences.query(
        "method == 'poor' and task == 'stroke' and version == 'recalibrated' and against == 'treat none'"
    )
    for cell, of in zip(row[2:], own[own["threshold"].notna()].sort_values("threshold").itertuples(), strict=True):
        found = [float(x) for x in re.findall(r"[+-]?[\d.]+", cell.replace("\u2212", "-"))]
        assert found == pytest.approx([1000 * of.difference, 1000 * of.low, 1000 * of.high], abs=0.05)
    assert "Not a clinical range" not in text.split("Net benefit differences by threshold, stroke")[-1].split("</details>")[0]
    assert "Not a clinical range" in text.split("Net benefit differences by threshold, any_event")[-1].split("</details>")[0]
    folds = [a for tag, a in Document(text).elements if tag == "details" and a.get("data-task")]
    assert [fold["data-task"] for fold in folds] == ["any_event", "stroke"]  # the picker of outcomes hides the other


def test_net_benefit_differences_are_written_with_all_digits(tmp_path: Path, frames: Frames) -> None:
    report.write(replace(frames.results, quick=True), tmp_path, report.Settings(resamples=60))
    written = pd.read_csv(tmp_path / "net_benefit.csv")
    pd.testing.assert_frame_equal(written, frames.benefit_differences, check_dtype=False, rtol=1e-9)
    assert written["threshold"].isna().mean() == pytest.approx(0.1)  # 9 thresholds and their average


def test_scores_with_their_intervals_stand_in_tables_too(text: str, frames: Frames) -> None:
    scores = frames.scoring.scores.set_index(["method", "task", "metric"])
    for title, metric, scale, digits in (
        ("AUROC with 95 % intervals", "auroc", 100, 1),
        ("log loss with 95 % intervals", "log_loss", 1, 3),
    ):
        row = next(row for row in tables(text)[title] if row[0] == "good_one")
        of = scores.loc[("good_one", "stroke", metric)]
        value, low, high = (f"{scale * of[name]:.{digits}f}" for name in ("value", "low", "high"))
        assert row[3] == f"{value} ({low} to {high})"


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
    notes = dict(re.findall(r'<li id="note-(\d+)">(.*?)</li>', made))
    for check, method, said in (
        ("every cell ran", "ref", "1 of 3 cells failed: ValueError: odd."),
        ("training ended before its cap", "good_one", "Alarm: 1 of 3 cells ended at the cap"),  # above 20 %
        ("the validation score moved", "good_one", "Alarm in 1 of 3 cells: validation score never moved."),
    ):
        found_in = re.fullmatch(rf"{method} \((\d+)\)", checks[check])
        assert found_in is not None, checks[check]
        assert notes[found_in[1]].startswith(said)
    assert checks["no two methods predict the same"] == "✓ nothing found"
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
    rows = tables(made)["Split receipt"][1:]
    assert rows[0] == ["repeat 0, fold 0", "train", "9", "2 of 8 (25.0 %)"]
    assert rows[1] == ["repeat 0, fold 0", "test", "9", f"0 of 0 ({words.DASH} %)"]
    assert "Groups on two sides of a split: 0. Hash of all splits: abc." in made
    stays = {**stored, "folds": [row | {"patients": 7}]}
    several = tables(page.render(replace(frames, results=replace(frames.results, receipt=stays)), {}))["Split receipt"]
    assert (several[0][2:4], several[1][2:4]) == (["rows", "patients"], ["9", "7"])


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
    assert 'style="--width: 31.0rem"' in page.render(frames, {"forest": '<svg viewBox="0 0 8700 100"></svg>'})  # half of 174 mm
    assert re.search(r'<section id="more".*<figure data-task="stroke"[^>]*><svg><path/></svg>', made, re.S)


def test_affinities_stand_where_a_method_was_diagnosed(frames: Frames) -> None:
    known = replace(frames, affinity=frames.affinity.assign(affinity=0.25))
    unknown = replace(frames, affinity=frames.affinity.assign(affinity=np.nan, cosine=np.nan))
    head, *rows = tables(page.render(known, {}))["Correlation and affinity of outcomes"]
    assert (head, rows[0][3]) == (["Outcome", "other outcome", "phi", "affinity", "cosine"], "+0.250")
    assert tables(page.render(unknown, {}))["Correlation of outcomes"][0] == head[:3]


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


def multiplied(table: pd.DataFrame) -> pd.DataFrame:
    """Seven times the methods and twice the outcomes, with the same numbers; the mean over outcomes stays one."""
    columns = {"task": 2, "other": 2, "part": 2, "union": 2, "method": 7}
    for column, times in columns.items():
        if column in table:
            named = table[column] != "mean"
            copies = [table[named | (i == 0)].copy() for i in range(times)]
            for i, copy in enumerate(copies):
                copy[column] = copy[column].where(copy[column] == "mean", copy[column] + f"_{i}")
            table = pd.concat(copies, ignore_index=True)
    return table


def test_the_size_of_28_methods_and_4_outcomes_with_all_figures(frames: Frames) -> None:
    def many(of: object) -> dict[str, Any]:
        return {f.name: multiplied(getattr(of, f.name)) for f in fields(of) if isinstance(getattr(of, f.name), pd.DataFrame)}

    given = frames.results
    methods, tasks = (
        [f"{name}_{i}" for name in names for i in range(n)] for names, n in ((METHODS, 7), (("any_event", "stroke"), 2))
    )
    scoring = replace(frames.scoring, **many(frames.scoring))
    large = replace(
        given, methods=tuple(methods), groups={m: given.groups[m[:-2]] for m in methods}, cells=multiplied(given.cells),
        tasks=tuple(Task(name) for name in tasks), predictions=pd.DataFrame(), made={m: given.made[m[:-2]] for m in methods},
    )  # fmt: skip
    tables_of = replace(frames, **many(frames) | {"results": large, "scoring": scoring})
    figures = drawn(tables_of)
    made = page.render(tables_of, figures)
    assert made.count("<svg") == len(figures) >= 4 * 8 + 5  # of 4 outcomes; forest, ranks, transfer of their mean; of all at once
    assert 1e6 < len(made.encode()) < 5e6
    assert len(tables(made)["AUROC, %"]) == 1 + 28 + 3 + 1  # with the heading, the families and chance
    assert len(tables(made)["Calibration"]) == 1 + 28 * 4 * 2
