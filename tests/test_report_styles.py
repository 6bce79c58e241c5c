"""Styles and choices of the tables: the same values, other company."""

import csv
import io
import re

import pytest
from made_results import hostile, results, scored, written

from bench import report
from bench.core import BenchError
from bench.report import sheet


def test_styles_show_the_same_values() -> None:
    given = results()
    paper, clinical, wide = (scored(given, style)[1] for style in ("paper", "clinical", "wide"))
    scores = scored(given)[0].scores.set_index(["method", "task", "metric"])
    of = scores.loc[("good", "mean", "auroc")]
    entries = [made.blocks[0].rows()[1].entries[0] for made in (paper, clinical, wide)]
    assert {entry.value for entry in entries} == {f"{100 * of['value']:.1f}"}
    assert entries[0].spread == f"±{100 * of['sd']:.1f}"
    assert entries[1].spread == f" ({100 * of['low']:.1f}, {100 * of['high']:.1f})"
    assert entries[2].spread == ""
    assert [b.title for b in wide.blocks] == [
        "AUROC, %",
        "Average precision, %",
        "Brier score",
        "Log loss, nats",
        "Cost and rank",
    ]
    brier = wide.blocks[2].rows()[1].entries[1].value
    assert brier == f"{scores.loc[('good', 'death', 'brier'), 'value']:.3f}"
    with pytest.raises(BenchError, match="style must be one of paper, clinical, wide, but is 'pretty'"):
        sheet.build(given, scored(given)[0], "pretty")


def test_the_csv_of_the_table_has_a_row_a_method_and_no_formula() -> None:
    rows = list(csv.reader(io.StringIO(written(hostile())["table.csv"])))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert len(rows) == 1 + len(hostile().methods)
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row)


def test_what_no_mark_means_is_said() -> None:
    made = scored(results())[1]
    sizes = [text for text in made.remarks if "80 % power" in text]
    assert len(sizes) == 1
    assert re.search(r"about \d+\.\d\d points of AUROC and \d+\.\d\d points of AP", sizes[0])


def test_the_family_is_named_by_what_was_asked_for() -> None:
    given = results()
    scoring = report.scored(given, report.Settings(resamples=2400, primary=("auroc",), adjust="holm"))
    assert scoring.family == 2 * 3  # methods beside the reference, outcomes and their mean
    text = "\n".join(sheet.build(given, scoring).remarks)
    assert "Holm's method" in text
    assert "one family of 6 comparisons (2 methods against ref, outcomes and their mean, AUROC)" in text
    assert scoring.comparisons.query("metric == 'ap'")["p_adjusted"].isna().all()
