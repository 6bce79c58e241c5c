"""Robustness, learning curves and what sharing is worth in words and tables: on the page, on the terminal and in the files."""

import io
from dataclasses import replace
from functools import cache
from typing import Any

import made_levels
import numpy as np
import pandas as pd
import pytest
from paged import HOSTILE, METHODS, Document, drawn, frames_of, results, small, tables
from rich.console import Console

from bench.report import figures, latex, markdown, page, words, worth
from bench.report import tables as written
from bench.report.evidence import Frames
from bench.report.terminal import Screen

ENDS = (200.0, 9444.0)
BY_HAND, TASKS = ("single_task", "hard_sharing", "mmoe", "orthtd"), ("mean", "aki")


def record(**changed: Any) -> dict[str, Any]:
    row = {"method": "hard_sharing", "baseline": "single_task", "task": "mean", "metric": "auroc", "patients": 500, "value": 0.8}
    return {**row, "needed": 840.2, "worth": 340.2, "low": -20.4, "high": np.inf, "bound": "", "reached": True, **changed}


def beyond(word: str, low: float, high: float, n: int = 500) -> dict[str, Any]:
    return record(patients=n, needed=np.nan, worth=np.nan, low=low, high=high, bound=f"{word} than 1", reached=False)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        # 9,444 patients were the most that single_task learned from: 8,944 more than 500
        (record(), "as well as single_task at 840: sharing is worth 340 patients (95 % -20 to more than 8,944)."),
        (record(low=100, high=600.6), "as well as single_task at 840: sharing is worth 340 patients (95 % 100 to 601)."),
        # and 200 the fewest: 300 less than 500
        (record(needed=400, worth=-100, low=-np.inf, high=-3), "as well as single_task at 400: sharing is worth -100 patients (95 % less than -300 to -3)."),
        (record(low=np.nan, high=np.nan), "as well as single_task at 840: sharing is worth 340 patients."),
        (record(low=-np.inf), "as well as single_task at 840: sharing is worth 340 patients (95 % less than -300 to more than 8,944)."),
        (beyond("more", 12, np.inf), "better than single_task at 9,444, the most measured: sharing is worth more than 8,944 patients (95 % 12 to more than 8,944)."),
        (beyond("more", np.inf, np.inf), "better than single_task at 9,444, the most measured: sharing is worth more than 8,944 patients (95 % more than 8,944)."),
        (beyond("less", -np.inf, 7), "worse than single_task at 200, the fewest measured: sharing is worth less than -300 patients (95 % less than -300 to 7)."),
    ],
)  # fmt: skip
def test_sentences(row: dict[str, Any], expected: str) -> None:
    assert worth.sentence(row, ENDS) == f"hard_sharing at 500 patients predicts {expected}".replace("-", "\u2212")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (record(), ("340", "\u221220, >8,944")),
        (record(low=-0.3, high=-0.2, worth=-0.4), ("0", "0")),  # no minus before nothing
        (beyond("more", np.inf, np.inf, 1000), (">8,444", ">8,444")),
        (beyond("less", -np.inf, 7, 1000), ("<\u2212800", "<\u2212800, 7")),
        (record(low=np.nan), ("340", "")),
    ],
)
def test_short_forms(row: dict[str, Any], expected: tuple[str, str]) -> None:
    assert worth.short(row, ENDS) == expected


def test_a_bound_in_words_is_the_bound_of_the_table() -> None:
    curves = made_levels.learning(BY_HAND, TASKS)
    for _, row in made_levels.worth(BY_HAND, TASKS).iterrows():
        measured = worth.Measured.of(curves)(row)
        assert measured == ENDS
        if row["bound"]:
            assert worth.amount(worth.value(row), row["patients"], measured) == row["bound"].replace("-", "\u2212")


def test_what_is_not_there_is_not_offered() -> None:
    offered = {name for name, _ in figures.names(small())}
    assert not offered & {"robustness", "learning", "worth"}
    ids = Document(page.render(small(), {})).values("id")
    assert not {"patients", "missing"} & set(ids)
    assert not [block for block in small().sheet.blocks if "worth" in block.title]


# ---- tables, page and terminal of stored predictions


@cache
def sized() -> Frames:
    """`small()` after 200, 500 and 9,444 patients, and with modalities missing: the fewer, the noisier."""
    return frames_of(filled(METHODS, ("any_event", "stroke")))


def filled(methods: tuple[str, ...], tasks: tuple[str, ...]) -> Any:
    given, rng = results(methods, tasks), np.random.default_rng(1)
    test = given.predictions[given.predictions["view"] == "test"]

    def noisier(noise: float) -> pd.DataFrame:
        columns = {
            f"p:{t}": expit(np.log(test[f"p:{t}"] / (1 - test[f"p:{t}"])) + noise * rng.normal(size=len(test))) for t in tasks
        }
        return test.assign(**columns)

    missing = [noisier(rate).assign(view=f"test:missing={rate}") for rate in (0.25, 0.5)]
    receipt = [
        {"repeat": 0, "fold": f, "side": s, "n": n, "patients": n}
        for f in range(3)
        for s, n in (("train", 8000), ("valid", 1444))
    ]
    about = {"task": tasks[0], "known": 1, "events": 1, "prevalence": 0.5}
    masked = [{"test:missing=0.25": 0.2, "test:missing=0.5": 0.4}] * len(given.cells)
    return replace(
        given, predictions=pd.concat([given.predictions, *missing], ignore_index=True), cells=given.cells.assign(masked=masked),
        sizes={200: noisier(2.0), 500: noisier(1.0)}, receipt={"folds": [row | about for row in receipt]},
    )  # fmt: skip


def expit(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def test_the_page_says_what_sharing_is_worth() -> None:
    frames = sized()
    text = page.render(frames, drawn(frames))
    document, found = Document(text), tables(text)
    assert document.problems == []
    assert {"patients", "missing"} <= set(document.values("id"))
    assert {title for title in found if title.startswith("In words")} == {
        f"In words, {t}" for t in ("mean", "any_event", "stroke")
    }
    # good_one and bad_... share; 3 sizes, 3 outcomes with the mean, 2 metrics; those of the mean stand behind its numbers as well
    assert len(frames.worth) == 2 * 3 * 3 * 2
    said_in_all = document.words
    for _, row in frames.worth.iterrows():
        said = words.clean(worth.sentence(row, worth.Measured.of(frames.learning)(row)))
        assert said_in_all.count(said) >= (2 if row["task"] == "mean" else 1), said
        line = [cells for cells in found[f"In words, {row['task']}"] if cells[-1] == said]
        assert {cells[2] for cells in line} == {f"{row['patients']:,}"}
    for promise in (
        "which patients were learned from",
        "made non-decreasing",
        "not adjusted",
        "keeps at least one of those it has",
    ):
        assert promise in document.words
    assert text.count("<svg") == len(drawn(frames)) == len(drawn(small())) + 3 * 3


def test_tables_of_levels_hold_the_numbers() -> None:
    frames = sized()
    text = page.render(frames, {})
    head, *rows = tables(text)["AUROC with modalities missing"]
    assert head == [
        "Method",
        "outcome",
        "as it is",
        "25 % missing20 % gone",
        "lost at 25 %",
        "50 % missing40 % gone",
        "lost at 50 %",
    ]
    assert len(rows) == 4 * 3
    found = frames.robustness.set_index(["method", "task", "metric", "missing"])
    scores = frames.scoring.scores.set_index(["method", "task", "metric"])
    for row in rows:
        own = [found.loc[(row[0], row[1], "auroc", rate)] for rate in (0.0, 0.25, 0.5)]
        value, low, high = (f"{100 * scores.loc[(row[0], row[1], 'auroc'), c]:.1f}" for c in ("value", "low", "high"))
        assert row[2] == f"{value} ({low} to {high})"  # the table's
        for at, of in zip((3, 5), own[1:], strict=True):
            assert row[at] == f"{100 * of['value']:.1f} ({100 * of['low']:.1f} to {100 * of['high']:.1f})"
            lost = f"{100 * of['lost']:.1f} ({100 * of['lost_low']:.1f} to {100 * of['lost_high']:.1f})"
            assert row[at + 1] == lost.replace("-", "\u2212")
    head, *rows = tables(text)["AP by patients learned from"]
    assert head[2:] == ["200patients", "500patients", "9,444patients"]
    curve = frames.learning.set_index(["method", "task", "metric", "patients"])
    for row in rows:
        for cell, n in zip(row[2:], (200, 500, 9444), strict=True):
            of = curve.loc[(row[0], row[1], "ap", n)]
            assert cell == f"{100 * of['value']:.1f} ({100 * of['low']:.1f} to {100 * of['high']:.1f})"


def test_a_size_that_a_method_lacks_is_a_dash() -> None:
    frames = sized()
    curve, gains = (
        table[~((table["method"] == "good_one") & (table["patients"] == 500))] for table in (frames.learning, frames.worth)
    )
    text = page.render(replace(frames, learning=curve, worth=gains), {})
    for title, at in (("AUROC by patients learned from", 3), ("What sharing is worth in patients, AUROC, mean over outcomes", 2)):
        row = next(row for row in tables(text)[title] if row[0] == "good_one")
        assert row[at] == words.DASH
        assert row[at - 1] != words.DASH


def test_terminal_markdown_latex_and_csv_say_it_in_a_line_a_method() -> None:
    frames = sized()
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(Screen(frames.sheet))
    shown = console.export_text()
    row = frames.worth.query("method == 'good_one' and task == 'mean' and metric == 'auroc' and patients == 500").iloc[0]
    value, within = worth.short(row, worth.Measured.of(frames.learning)(row))
    block = next(block for block in frames.sheet.blocks if block.title.startswith("Sharing is worth"))
    assert {row.name for row in block.rows()} == {METHODS[1], METHODS[3]}
    assert f"{value} ({within})" in shown
    assert "AUROC at 500" in shown
    assert "Sharing is worth, in patients of ref: mean (95 % interval)" in shown
    assert "probability 25, 50 %: index.html, section Missing modalities" in " ".join(shown.split())
    for text in (markdown.render(frames.sheet), latex.render(frames.sheet)):
        assert "Sharing is worth" in text
        assert value.strip("<>") in text
    assert f'"{value} ({within})"' in written.csv(frames.sheet)
    lines = written.csv(frames.sheet).splitlines()
    assert lines[1].endswith("," * 6)  # a method that shares nothing has blanks: 2 metrics at 3 sizes
    plain = markdown.render(frames.sheet)
    assert not [line for line in plain.splitlines() if line.startswith("|") and ("<0" in line or " >" in line)]


def test_hostile_names_are_text() -> None:
    frames = frames_of(filled(HOSTILE, (HOSTILE[0], HOSTILE[1])))
    frames = replace(
        frames,
        worth=made_levels.worth(HOSTILE, ("mean", *HOSTILE[:2])),
        learning=made_levels.learning(HOSTILE, ("mean", *HOSTILE[:2])),
    )
    text = page.render(frames, drawn(frames))
    document = Document(text)
    assert document.problems == []
    assert len(document.values("data-title")) == len(drawn(frames))
    assert text.count("<script") == 1
    assert not [name for _, attributes in document.elements for name in attributes if name.startswith("on")]
    said = worth.sentence(frames.worth.iloc[0], ENDS)
    assert words.clean(said) in document.words
