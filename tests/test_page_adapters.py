"""How every method was adapted: from its file, beside its cells, into the page, without a change to any cell's hash."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from paged import HOSTILE, METHODS, Document, results, small, tables

from bench import api, cards, registry, report, store
from bench.report import page
from bench.report.adapters import NOTHING, adapters

GUESS = Path(__file__).parent / "plugins" / "guess.py"
TITLE = "How the methods were adapted"


def spec(text: str) -> registry.Spec:
    return registry.parse("methods", text)[0]


@pytest.mark.parametrize("name", registry.ids("methods"))
def test_every_bundled_method_says_where_it_departs_or_that_it_does_not(name: str) -> None:
    text = cards.adapted(spec(name))[name]
    assert "Departures: " in text
    assert len(text) >= len("Departures: none.")
    assert not any(f"{heading}: " in text for heading in ("Published", "Cost", "Limits"))


@pytest.mark.parametrize(
    "name", ["xgboost", "xgboost_joint", "lightgbm", "catboost", "catboost_joint", "random_forest", "tabnet", "multitask_lasso"]
)
def test_what_a_library_does_not_take_is_said(name: str) -> None:
    text = cards.adapted(spec(name))[name]
    assert text.startswith("Adapter: ")
    assert "unknown" in text


def test_the_method_underneath_and_the_balance_are_said_too() -> None:
    own = cards.adapted(spec("dfd:base=mmoe"))
    assert list(own) == ["dfd", "mmoe"]
    assert own["mmoe"] == cards.adapted(spec("mmoe"))["mmoe"]
    balanced = cards.adapted(spec("hard_sharing:balance=nash_mtl"))
    assert list(balanced) == ["hard_sharing", "balance nash_mtl"]
    assert "TorchJD" in balanced["balance nash_mtl"]


def test_paragraphs_end_at_the_next_heading_or_an_empty_line() -> None:
    text = "Name: a.\n\nAdapter: takes\n  no: this.\nPublished: x.\nDepartures: b,\nMasked: c.\n\nNotes: d.\nCost: e."
    assert cards.departures(text) == "Adapter: takes no: this. Departures: b, Masked: c."
    assert cards.departures("Nothing of the kind. Departures: inside a line.") == ""


def test_the_page_says_it_of_every_method() -> None:
    frames = small()
    made = {m: {"settings": {}, "adapted": {m: f"Departures: of {m}."}} for m in METHODS[:2]}
    made |= {METHODS[2]: {"adapted": {METHODS[2]: "", METHODS[0]: "Departures: of ref."}}}
    head, *rows = tables(page.render(replace(frames, results=replace(frames.results, made=made)), {}))[TITLE]
    assert head[0] == "Method"
    assert rows == [
        ["ref", "Departures: of ref."],
        ["good_one", "Departures: of good_one."],
        ["poor", f"{NOTHING}. [ref] see ref."],  # said once
    ]  # and the last, whose cells are older, is silent


def test_hostile_words_are_text() -> None:
    given = results(HOSTILE)
    made = {m: {"adapted": {m: f"Departures: {HOSTILE[0]}", HOSTILE[4]: f"{HOSTILE[3]} of {i}"}} for i, m in enumerate(HOSTILE)}
    frames = report.frames_of(replace(given, made=made), report.Settings(resamples=20))
    document = Document(text := page.render(frames, {}))
    assert document.problems == []
    assert f"Departures: {HOSTILE[0]}" in document.words
    assert text.count("<script") == 1
    assert not [tag for tag, _ in document.elements if tag in ("img", "b")]


def test_old_results_say_nothing() -> None:
    assert adapters(small().results).empty
    assert TITLE not in page.render(small(), {})


def test_a_run_puts_it_beside_its_cells_and_not_into_their_hash(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    shutil.copy(GUESS, mine)
    where = {"results": tmp_path / "results", "reports": tmp_path / "reports"}

    def run() -> tuple[str, dict[str, object]]:
        outcome = api.run("surgical:n=600", str(mine), folds=2, workers=0, quick=True, **where)
        found = list((tmp_path / "results").rglob("method.json"))
        assert len(found) == 1
        assert (outcome.results["surgical:n=600"].cells["status"] == "done").all()
        return found[0].parent.name, json.loads(found[0].read_text("utf-8"))

    folder, about = run()
    assert about["adapted"] == {"mine": ""}
    mine.write_text(mine.read_text("utf-8").replace('"""A method', '"""Odd.\n\nDepartures: <b>all</b>.\n\nA method', 1), "utf-8")
    same, about = run()
    assert about["adapted"] == {"mine": "Departures: <b>all</b>."}
    assert same == folder
    assert folder == store.Part("mine", {k: about[k] for k in ("method", "settings", "code", "versions")}).folder
    written = next((tmp_path / "reports").rglob("index.html")).read_text("utf-8")
    assert "Departures: &lt;b&gt;all&lt;/b&gt;." in written


def test_cells_of_other_code_are_not_given_the_words_of_this_one(tmp_path: Path) -> None:
    kept = store.Store(tmp_path)
    parts = [store.Part("a", {}), store.Part("m", {"code": "old"}), store.Part("cv2", {})]
    kept.describe(parts[0], parts[1], parts[2], {"family": "trees"})

    def about() -> dict[str, object]:
        found = json.loads((kept.path(*parts).parent / "method.json").read_text("utf-8"))
        return {key: value for key, value in found.items() if key not in ("format", "hashed", "sha256")}

    kept.note(kept.path(*parts), "new", {"adapted": {"m": "Departures: new."}})
    assert about() == {"code": "old", "family": "trees", "label": "m"}
    kept.note(kept.path(*parts), "old", {"adapted": {"m": "Departures: old."}})
    assert about() == {"code": "old", "family": "trees", "label": "m", "adapted": {"m": "Departures: old."}}
