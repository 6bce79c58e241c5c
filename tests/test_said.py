"""What reading a cohort said, and what was let through, in the files that a run writes: no word of it is on the console alone."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_commands import HOSTILE
from filled import GUESS
from made_results import results, written
from own_files import own_cohort
from paged import Document, frames_of
from paged import results as of_a_page

from bench import registry, store, stored
from bench.cli import main
from bench.report import checklists, latex, markdown, notes, page
from bench.store import Words

FILES = ("table.md", "table.tex", "index.html", "tripod.md", "probast.md")
OUTCOMES = '[outcomes.long]\nrule = "days > 7"\nlabel = "a long stay"\n[outcomes.long.variants]\nlonger = "days > 10"\n'
DEAD = '[outcomes.dead]\nrule = "dead"\ncompeting = "it is death itself"\n'
LEAK = "column 'score' is nearly the outcome 'dead' itself (phi 1.000, above 0.9). Let through by name."
FROM = {"dead": "it is death itself", "long": "a death counts as a long stay"}


def patients(seed: int, n: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    dead = (rng.random(n) < 0.3).astype(int)
    return pd.DataFrame(
        {
            "id": rng.permutation(n) + 1000 * seed, "age": rng.normal(60, 10, n) + 5 * dead, "sex": rng.choice(["f", "m"], n), "same": 1,
            "days": rng.integers(1, 14, n), "dead": dead, "score": dead,
        }
    )  # fmt: skip


def cohort(folder: Path, name: str, seed: int, extra: str = "", outcomes: str = DEAD + OUTCOMES, **columns: Any) -> Path:
    (folder / name).mkdir()
    frame = patients(seed).assign(**columns)
    return own_cohort(folder / name, frame, outcomes, f'name = "{name}"\n{extra}')


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Reports of own cohorts: by name, and "other", the first tested on the second."""
    root = tmp_path_factory.mktemp("said")
    quiet = 'competing = "a death counts as a long stay"\n'
    outcomes = DEAD + OUTCOMES.replace("[outcomes.long.v", quiet + "[outcomes.long.v")
    file = cohort(root, "infile", 1, 'allow_leak = "score"\n[columns]\nignore = "dead"\n', outcomes)
    line = cohort(root, "online", 2)
    there = cohort(root, "there", 3, 'allow_leak = "age"\n', score=0.5, age=lambda frame: frame["dead"] * 1.0)
    how = [
        "--methods",
        GUESS,
        "--quick",
        "--workers",
        "0",
        "--results",
        str(root / "results"),
        "--reports",
        str(root / "reports"),
    ]
    for more in (["--data", str(file), "--test-data", str(there)], ["--data", str(line), "--allow-leak", "score"]):
        with pytest.raises(SystemExit) as ended:
            main(["run", *more, *how])
        assert not ended.value.code
    reports = root / "reports"
    return {"root": root} | {
        "infile": reports / "infile-quick", "online": reports / "online_allow_leak=score-quick",
        "other": reports / "infile_tested_on_there-quick",
    }  # fmt: skip


def text(folder: Path, name: str) -> str:
    """Of a file, with entities, line ends and LaTeX's escapes undone as far as these tests need it."""
    given = (folder / name).read_text("utf-8")
    if name.endswith(".html"):
        return re.sub(r"\s+", " ", Document(given).words)
    if name.endswith(".md"):
        return Document(f"<p>{given}</p>").words
    return given.replace(r"\textgreater{}", ">").replace(r"\_", "_").replace(r"\textasciitilde{}", "~")


@pytest.mark.parametrize("name", ["infile", "online"])
def test_a_leak_that_was_let_through_stands_first_wherever_there_are_numbers(ran: Mapping[str, Path], name: str) -> None:
    for file in FILES:
        said = text(ran[name], file)
        assert "leakage alarms were let through by name (score): methods may have been shown the outcomes" in said, file
    for file in ("table.md", "table.tex", "index.html", "probast.md"):
        assert f"Leakage alarm: {LEAK}" in text(ran[name], file), file
    assert "**Probably no.**" in (ran[name] / "probast.md").read_text("utf-8").partition("nothing leaked")[2][:200]
    assert '<section id="notices"' in (ran[name] / "index.html").read_text("utf-8")


def test_what_reading_said_is_stored_and_printed(ran: Mapping[str, Path]) -> None:
    run = json.loads(next((ran["root"] / "results").glob("infile@*/runs/*.json")).read_text("utf-8"))
    assert run["leaks"] == [["score", LEAK]]
    assert LEAK not in run["notices"]
    assert any("'dead' is named in columns.ignore, but is no feature anyway" in notice for notice in run["notices"])
    for notice in run["notices"]:
        assert notice in text(ran["infile"], "index.html")
        assert notice in text(ran["infile"], "table.md")


def test_the_rule_and_how_death_counts_stand_with_each_outcome(ran: Mapping[str, Path]) -> None:
    for name, death in (("infile", FROM["long"]), ("online", notes.UNSAID)):
        for file in ("table.md", "table.tex", "index.html"):
            said = text(ran[name], file)
            assert "dead: it is death itself." in said, file
            assert f"long: a long stay; defined as days > 7; {death}." in said, file
            assert "long~longer: defined as days > 10." in said, file
    assert f"long: {notes.UNSAID}" in text(ran["online"], "tripod.md")
    assert notes.UNSAID not in text(ran["infile"], "tripod.md")


def test_an_external_report_says_what_did_not_match_and_how_death_counts_there(ran: Mapping[str, Path]) -> None:
    for file in ("table.md", "index.html"):
        said = text(ran["other"], file)
        assert "external cohort 'there': columns of 'table' missing there: score" in said, file
        assert (
            f"outcome 'long' is another there: it does not say how deaths count; where it is learned from: {FROM['long']}" in said
        )
        assert f"long: a long stay; defined as days > 7; {notes.UNSAID}." in said, file
        assert "external cohort 'there': column 'age' is nearly the outcome 'dead' itself" in said, file
        assert f"Leakage alarm: {LEAK}" in said, file  # the models learned from it
    assert "let through by name (score, age)" in text(ran["other"], "table.md")
    assert "missing there" not in text(ran["infile"], "table.md")


def test_results_of_before_state_nothing(ran: Mapping[str, Path], tmp_path: Path) -> None:
    found = store.read(ran["root"] / "results", "infile", quick=True)
    old = replace(found, words=Words(), elsewhere={})
    assert {task.competing for task in stored.elsewhere(old, "there").tasks} == {stored.UNSTORED}
    assert not notes.notices(old)
    spec = registry.parse("datasets", str(ran["root"] / "infile" / "cohort.toml"))[0]
    assert registry.load(spec).digest == found.digest
    path = next((ran["root"] / "results").glob("infile@*/runs/*.json"))
    run = {
        k: v
        for k, v in json.loads(path.read_text("utf-8")).items()
        if k not in ("notices", "leaks", "elsewhere", "format", "sha256")
    }
    folder = tmp_path / path.parents[1].name
    (folder / "runs").mkdir(parents=True)
    for name in ("dataset.json", "cohort.parquet"):
        (folder / name).write_bytes((path.parents[1] / name).read_bytes())
    (folder / "runs" / path.name).write_text(json.dumps({**run, "external": {}}))
    assert store.read(tmp_path, "infile", quick=True).words.leaks == ()


def test_bundled_outcomes_say_how_death_counts() -> None:
    made = registry.load("independent:n=200")
    assert made.definitions == {}
    assert made.leaks == ()


# ---- any words


def test_many_notices_are_counted_under_the_table_but_no_alarm_is() -> None:
    words = Words(notices=tuple(f"notice {i}" for i in range(12)), leaks=tuple((f"c{i}", f"alarm {i}.") for i in range(12)))
    given = replace(results(), words=words)
    said = written(given)["table.md"]
    assert "Reading the cohort gave 12 notices: see index.html." in said
    assert all(f"Leakage alarm: alarm {i}." in said for i in range(12))
    assert "notice 3" not in said
    assert "(c0, c1, c2, c3, c4, c5, c6, c7 and 4 more)" in said
    assert "notice 11" in notes.notices(given)[-1]


def test_no_report_names_a_patient_of_a_notice() -> None:
    words = Words(
        notices=("2 rows are not learned from (first: patient p150)",),
        leaks=(("duplicates", "rows (first: patients p1 and p2): x"),),
    )
    assert notes.notices(replace(results(), words=words)) == ("Leakage alarm: rows: x", "2 rows are not learned from")


def test_hostile_words_are_harmless() -> None:
    rules = {"any_event": HOSTILE[0], f"any_event~{HOSTILE[0]}": HOSTILE[3]}
    words = Words(notices=HOSTILE, leaks=tuple((name, f"column '{name}'") for name in HOSTILE), definitions=rules)
    made = frames_of(replace(of_a_page(), words=words))
    found = Document(page.render(made, {}))
    assert not found.problems
    assert [tag for tag, _ in found.elements].count("script") == 1
    assert HOSTILE[0] in found.words
    assert "\x1b" not in found.words
    for name, said in (
        ("md", markdown.render(made.sheet)),
        ("probast", checklists.probast(made)),
        ("tripod", checklists.tripod(made)),
    ):
        assert not re.search(r"<(?!/?(sup|ins|br)\b)[a-zA-Z!/]", said), name
        assert "\x1b" not in said
        assert "\u202e" not in said
    assert "<" not in latex.render(made.sheet)
