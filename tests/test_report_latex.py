"""table.tex of a full run, set by pdflatex: nothing below the edge of the paper, alone and in papers of others."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.report import latex
from bench.report.sheet import Block, Entry, Row, Sheet

ALONE = "table.tex"
PAPERS = {
    "paper10.tex": r"\documentclass{article}\usepackage{PACKAGES}\begin{document}Text.\input{table}Text.\end{document}",
    "paper12.tex": r"\documentclass[12pt]{article}\usepackage{PACKAGES}\begin{document}Text.\input{table}Text.\end{document}",
}
FAMILIES = ("linear", "trees", "tabular deep", "single-task", "sharing", "balancing", "the papers'")
LIGATURES = str.maketrans({"\x1b": "ff", "\x1c": "fi", "\x1d": "fl", "\x1e": "ffi", "\x1f": "ffl"})
needs_tex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")


def sheet(methods: int, outcomes: int = 5) -> Sheet:
    """Every method has a footnote of its own; the table of costs has ten columns, as that of a run has."""
    names = [f"method {i}q" for i in range(methods)]
    share = -(-methods // len(FAMILIES))

    def block(title: str, columns: tuple[tuple[str, ...], ...], entry: Entry) -> Block:
        rows = [Row(name, (entry,) * len(columns), (i,)) for i, name in enumerate(names, 1)]
        groups = tuple((family, tuple(rows[i * share : (i + 1) * share])) for i, family in enumerate(FAMILIES))
        return Block(title, columns, tuple(g for g in groups if g[1]), (Row("chance", (Entry("50.0"),) * len(columns)),))

    heads = tuple((name, "n 12,430", "589 events", "4.7 %") for name in ("mean", *(f"outcome_{i}" for i in range(outcomes))))
    scores = [block(title, heads, Entry("84.8", "±1.2", 0, "▲≈")) for title in ("AUROC, %", "AP, %")]
    costs = block("Cost and rank", tuple((f"cost {i}",) for i in range(10)), Entry("12,345"))
    notes = tuple(
        f"Alarm in {i} of 25 cells: the validation score never moved, of method number {i}." for i in range(1, methods + 1)
    )
    remarks = tuple(
        f"Remark {c}: " + "concordant pairs over all pairs, both summed over folds, " * 6 + "end." for c in "ABCDEFGH"
    )
    return Sheet("demo", "5 folds, 1 repeat, seed 0", ("Synthetic",), (*scores, costs), notes, remarks)


def compiled(text: str, folder: Path, name: str) -> tuple[str, str]:
    """The log, and the letters of all pages, without spaces and hyphens."""
    (folder / ALONE).write_text(text, "utf-8")
    found = re.search(r"\\usepackage\{(booktabs.*?)\}", text)
    assert found is not None
    if name != ALONE:
        (folder / name).write_text(PAPERS[name].replace("PACKAGES", found[1]))
    plain = r"\pdfcompresslevel=0\pdfobjcompresslevel=0\input{" + name + "}"
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"-jobname={Path(name).stem}", plain]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    pdf = (folder / name).with_suffix(".pdf").read_bytes().decode("latin-1")
    strings = re.findall(r"\(((?:[^()\\]|\\.)*)\)", "".join(re.findall(r"\[(\(.*?)\]TJ", pdf, re.S)))
    letters = re.sub(r"\\(\d{3}|.)", lambda m: chr(int(m[1], 8)) if len(m[1]) == 3 else m[1], "".join(strings))
    return done.stdout, squeezed(letters.translate(LIGATURES))


def squeezed(text: str) -> str:
    return re.sub(r"[\s\x7f-]", "", text)


def off_the_paper(log: str) -> list[str]:
    return re.findall(r"Float too large.*|Overfull \\vbox.*|Too many unprocessed floats.*", log)


@needs_tex
@pytest.mark.parametrize("name", [ALONE, *PAPERS])
@pytest.mark.parametrize("methods", [4, 20, 28, 90])
def test_every_line_is_on_the_paper(name: str, methods: int, tmp_path: Path) -> None:
    made = sheet(methods)
    log, letters = compiled(latex.render(made), tmp_path, name)
    assert off_the_paper(log) == []
    starts = [text.partition(":")[0] for text in made.remarks]  # the rest may be on the next page, behind its tables
    for text in (*made.footnotes, *starts, "Notes to the tables of demo", "Cost and rank, part 2 of 2"):
        assert squeezed(text) in letters, text
    assert letters.count("end.") == len(made.remarks)
    assert letters.count("chance") == 4  # AUROC, AP and two parts of the costs
    assert all(letters.count(f"method{i}q") == 4 for i in range(methods))


@needs_tex
def test_notes_stand_behind_the_tables(tmp_path: Path) -> None:
    for methods in (4, 28):
        _, letters = compiled(latex.render(sheet(methods)), tmp_path, ALONE)
        assert letters.rindex("chance") < letters.index("Notesto")


def test_a_table_of_a_page_breaks_and_a_short_one_floats() -> None:
    # 20 methods in 7 families of up to 3, 4 lines of heading, a line of chance: 32
    assert latex.render(sheet(20)).count(r"\begin{longtable}") == 0
    long = latex.render(sheet(21))
    assert long.count(r"\begin{longtable}") == 2  # the table of costs has one line of heading and so 30
    assert long.count(r"\begin{table}") == 2
    assert r"\usepackage{booktabs,longtable}" in long
    assert "longtable" not in latex.render(sheet(4)).split("\n", 1)[0]
