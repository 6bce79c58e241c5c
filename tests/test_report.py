"""The table in all its formats: what it says, and that no name can break it."""

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from made_results import HOSTILE, hostile, results, shown, with_cell, written

from bench.cli import report as command
from bench.core import BenchError, Task
from bench.report import words


def table_rows(text: str) -> list[list[str]]:
    """The rows of all Markdown tables, split as GitHub splits them, entities resolved after the split."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[unescape(cell.strip()) for cell in line.strip("|").split("|")] for line in lines]


def block(text: str, number: int = 0) -> dict[str, list[str]]:
    """The rows of one Markdown table by name, without the numbers of footnotes; its heading has the name ""."""
    tables = [part for part in text.split("\n\n") if part.startswith("|")]
    return {re.sub(r"<sup>[\d,]+</sup>$", "", row[0]): row for row in table_rows(tables[number])}


def test_the_same_predictions_give_the_same_bytes() -> None:
    one = results()
    other = replace(one, predictions=one.predictions.sample(frac=1, random_state=0))
    slower = with_cell(other, "good", 1, seconds=99.0)
    a, b = written(one), written(slower)
    assert a["scores.csv"] == b["scores.csv"]
    assert a["comparisons.csv"] == b["comparisons.csv"]
    assert a["table.md"] != b["table.md"]  # the seconds


def test_the_table_says_what_was_scored() -> None:
    files = written(results())
    text, scores = files["table.md"], pd.read_csv(io.StringIO(files["scores.csv"]))
    scores = scores.set_index(["method", "task", "metric"])
    first = block(text)
    heading = first[""]
    assert heading[:2] == ["", "mean<br>of 2 outcomes"]
    events, share = int(scores.loc[("ref", "death", "auroc"), "events"]), scores.loc[("ref", "death", "auroc"), "events"] / 3
    assert heading[2] == f"death<br>n 300<br>{events} events<br>{share:.1f} %"
    for column, task in enumerate(("mean", "death", "stroke"), 1):
        of = scores.loc[("ref", task, "auroc")]
        assert re.sub("</?ins>", "", first["ref"][column]).startswith(f"{100 * of['value']:.1f} ±{100 * of['sd']:.1f}")
        assert first["good"][column].startswith("**")
        assert first["good"][column].endswith("<sup>▲</sup>")
        assert first["chance"][column] == "50.0"
    assert sum("<ins>" in row[1] for row in first.values()) == 1
    ap = scores.loc[("poor", "stroke", "ap")]
    assert re.sub("</?ins>", "", block(text, 1)["poor"][3]).startswith(f"{100 * ap['value']:.1f} ±{100 * ap['sd']:.1f}")


def test_marks_against_the_reference_go_both_ways() -> None:
    text = written(replace(results(), reference="good"))["table.md"]
    rows = block(text)
    assert "▼" in rows["ref"][1]
    assert "▼" in rows["poor"][1]
    assert "▲" not in text.split("Bold: best")[0]
    assert "worse than good" in text


def test_not_distinguishable_from_the_best() -> None:
    given = results(("ref", "good", "twin"))
    p = given.predictions[given.predictions["method"] == "good"].copy()
    p["method"] = "twin"
    p.loc[p["y:death"] == 1, "p:death"] -= 0.001
    given = replace(given, predictions=pd.concat([given.predictions.query("method != 'twin'"), p], ignore_index=True))
    rows = block(written(given)["table.md"])
    assert "≈" in rows["twin"][2] + rows["good"][2]  # the one of the two that is not best
    assert "≈" not in rows["ref"][2]


def test_failed_and_declined_cells_have_footnotes() -> None:
    given = with_cell(results(), "good", 1, status="failed", error="ValueError: bad <shape>\nTraceback ...")
    for fold in range(3):
        given = with_cell(given, "poor", fold, status="declined", error="needs at least 3 tasks", seconds=float("nan"), facts={})
    text = written(given)["table.md"]
    rows = block(text)
    assert "</sup> 1 of 3 cells failed: ValueError: bad &#60;shape&#62;." in text
    assert "</sup> 3 of 3 cells were declined: needs at least 3 tasks." in text
    assert "**" not in rows["good"][1]  # unranked though it has the highest score
    assert rows["poor"][1:] == [words.DASH] * 3
    assert "is not ranked and is compared" in text
    assert "Traceback" not in text


def test_all_cells_failed_is_a_table_of_footnotes() -> None:
    given = results()
    cells = given.cells.assign(status="failed", error="MemoryError", seconds=float("nan"))
    given = replace(given, cells=cells, predictions=pd.DataFrame({"method": pd.Series(dtype=str)}))
    files = written(given)
    assert "3 of 3 cells failed: MemoryError." in files["table.md"]
    assert files["scores.csv"].count("\n") == 1
    assert "MemoryError" in shown(given)


def test_alarms_have_footnotes() -> None:
    given = with_cell(results(), "poor", 0, alarms=["validation score never moved"], facts={"at_cap": True, "steps": 7})
    copy = given.predictions.query("method == 'ref'").assign(method="good")
    predictions = pd.concat([given.predictions.query("method != 'good'"), copy], ignore_index=True)
    shifted = predictions["method"].eq("poor") & predictions["fold"].eq(1)
    predictions.loc[shifted, "p:stroke"] = predictions.loc[shifted, "p:stroke"] / 4
    text = written(replace(given, predictions=predictions))["table.md"]
    assert "Alarm in 1 of 3 cells: validation score never moved." in text
    assert "Alarm: 1 of 3 cells ended at the cap of epochs or rounds" in text
    assert text.count("Alarm: identical predictions of ref and good.") == 1
    assert re.search(r"AUROC pooled over folds is off by more than \.005.*stroke [\d.]+ pooled, [\d.]+ within folds", text)
    assert not re.search("cap of epochs", written(results())["table.md"])


def test_warnings_stand_in_every_format() -> None:
    given = results(quick=True, note="Synthetic: no evidence", truth=True)
    files = written(given)
    for text in (files["table.md"], files["table.tex"], shown(given)):
        assert "quick look, not a result" in text
        assert "Synthetic: no evidence" in text
        assert "Bayes (planted probabilities)" in text
    bayes = next(row for row in table_rows(files["table.md"]) if row[0].startswith("Bayes"))
    assert bayes[1] == "100.0 ±0.0"
    assert not re.search("quick|Bayes", written(results())["table.md"])


def test_outcomes_weights_and_groups_are_explained() -> None:
    given = results(weighted=True)
    tasks = (Task("death", label="Death within 5 years"), Task("stroke", competing="the dead count as 0"))
    cohort = given.cohort.assign(group=given.cohort["row"].astype(str).str[:2])
    text = written(replace(given, tasks=tasks, cohort=cohort))["table.md"]
    assert "death: Death within 5 years; how a death before it counts is not said." in text
    assert "stroke: the dead count as 0." in text
    assert "inverse probability" in text
    assert re.search(r"death<br>n 300<br>\d+ events<br>[\d.]+ %<br>naive [\d.]+ %", text)
    assert "bootstrap of groups of patients within folds" in text


def test_methods_stand_by_family() -> None:
    given = replace(results(), groups={"ref": "nets", "good": "trees", "poor": "nets"})
    names = list(block(written(given)["table.md"]))[2:]
    assert names == ["_trees_", "good", "_nets_", "ref", "poor", "chance"]  # baselines first, then as asked


def test_cost_and_rank() -> None:
    text = written(results())["table.md"]
    costs, ranks = block(text, 2), block(text, 3)
    assert costs[""][1:] == ["cells", "parameters", "steps", "at cap", "seconds"]
    assert costs["ref"][1:] == ["3 of 3", "1,234", "50", "0", "6"]
    assert ranks[""][1:] == ["P(best AUROC)", "P(best AP)", "rank, AUROC", "rank, AP"]
    assert ranks["good"][1:] == ["1.00", "1.00", "1 to 1", "1 to 1"]
    assert ranks["ref"][1:3] == ["0.00", "0.00"]
    assert ranks["ref"][3] in ("2 to 2", "2 to 3")


NINE = tuple(f"outcome_{i}" for i in range(9))


@pytest.mark.parametrize("width", [50, 80, 120, 300])
def test_nine_outcomes_fit_any_terminal(
    width: int,
) -> None:
    text = shown(results(tasks=NINE), width)
    assert max(len(line) for line in text.splitlines()) <= width
    text = text.split("Cost and rank")[0]
    for name in ("mean", *NINE):
        assert sum(name in line.split() for line in text.splitlines()) == 2  # a heading in each block, uncut
    assert "…" not in text
    assert "good [1]" in text  # a name and its footnote stay on one line
    assert len(re.findall(r"^AUROC, %", text, re.M)) == {50: 4, 80: 2, 120: 2, 300: 1}[width]


def test_nine_outcomes_are_cut_into_even_tables() -> None:
    files = written(results(tasks=NINE))
    assert [len(row) for row in table_rows(files["table.md"]) if row[0] == "ref"] == [6, 6, 6, 6, 6, 5]
    assert files["table.tex"].count(r"\begin{tabular}") == 6


def test_a_terminal_without_unicode() -> None:
    text = shown(results(("ref", "gööd", "poor")), encoding="ascii")
    assert re.search(r"g\\xf6\\xf6d .*\d\+-", text)


def test_hostile_names_in_markdown() -> None:
    text = written(hostile())["table.md"]
    rows = table_rows(text)
    assert len({len(row) for row in rows[:11]}) == 1  # no name adds a column
    assert list(block(text))[3:9] == [words.clean(name) for name in HOSTILE]
    assert set(re.findall(r"<[^>]*>", text)) <= {"<br>", "<sup>", "</sup>", "<ins>", "</ins>"}


def test_hostile_names_in_csv() -> None:
    text = written(hostile())["scores.csv"]
    rows = list(csv.DictReader(io.StringIO(text)))
    names = list(dict.fromkeys(row["method"] for row in rows))
    assert names == [words.clean(HOSTILE[0]), HOSTILE[1], "'=cmd()", HOSTILE[3], HOSTILE[4], words.clean(HOSTILE[5])]
    assert all(len(row) == 10 for row in csv.reader(io.StringIO(text)))


def test_hostile_names_on_a_terminal() -> None:
    text = shown(hostile(), width=200)
    assert ["\x1b[31m" in text, HOSTILE[0] in text, HOSTILE[4] in text] == [False, True, True]


def latex_problems(text: str) -> list[str]:
    """What a compiler would trip over: unbalanced braces and environments, rows of the wrong width, bare specials."""
    body = re.sub(r"(?m)(?<!\\)%.*$", "", text)
    problems: list[str] = []
    bare = re.sub(r"\\[\\{}#$%&_~^]", "", body)
    if bare.count("{") != bare.count("}") or any(bare[:i].count("}") > bare[:i].count("{") for i in range(0, len(bare), 50)):
        problems.append("braces")
    open_: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", body.split("\\fi", 1)[1]):
        if kind == "begin":
            open_.append(name)
        elif not open_ or open_.pop() != name:
            problems.append(f"environment {name}")
    for spec, table in re.findall(r"\\begin\{tabular\}\{@\{\}(\w+)@\{\}\}(.*?)\\end\{tabular\}", body, re.S):
        lines = [line for line in table.splitlines() if line.endswith("\\\\") and "multicolumn" not in line]
        problems += [f"columns: {line}" for line in lines if len(re.findall(r"(?<!\\)&", line)) + 1 != len(spec)]
    outside_math = re.sub(r"\$\\\w+\$", "", bare.split("\\fi", 1)[1])
    outside_math = re.sub(r"(?m)^.*\\begin\{tabular\}.*$|(?<= )&(?= )", "", outside_math)
    problems += re.findall(r"[#$_^~|<>\"`]", re.sub(r"\}~", "", outside_math))
    return problems + [c for c in bare if not c.isascii() and ord(c) > 0x17F]


def test_latex_is_well_formed_whatever_the_names() -> None:
    for given in (results(), results(tasks=NINE, weighted=True, truth=True), hostile()):
        text = written(given)["table.tex"]
        assert latex_problems(text) == []
    assert r"\textbackslash{}input\{x\}\&\#\textasciitilde{}\textasciicircum{}\$" in text
    assert "{[}U+03BB{]}" in text
    assert re.search(r"\\else\n.*\\def\\benchend\{\\end\{document\}\}\n  \\begin\{document\}\n\\fi", text, re.S)
    assert text.endswith("\\benchend\n")
    # the checker sees what it is for
    assert latex_problems(text.replace(r"\&\#", "&#")) != []
    assert latex_problems(text.replace(r"\end{tabular}", "", 1)) != []


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(tmp_path: Path) -> None:
    for i, given in enumerate((results(tasks=NINE), hostile())):
        folder = tmp_path / str(i)
        folder.mkdir()
        (folder / "table.tex").write_text(written(given)["table.tex"], "utf-8")
        paper = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{table}Text.\end{document}"
        (folder / "paper.tex").write_text(paper)
        for name in ("table.tex", "paper.tex"):
            command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", name]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
            assert done.returncode == 0, done.stdout[-2000:]


def test_an_outcome_without_a_figure_is_refused() -> None:
    with pytest.raises(
        BenchError, match="--task says of which outcome a figure is, but no --figure is named: add one, as --figure"
    ):
        command.report("demo", task="death")
