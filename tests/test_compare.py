"""`bench compare`: the sentence, the paragraph and the table say the same."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from made_results import HOW, results

from bench import report
from bench.core import BenchError
from bench.report.comparison import answer


def table(**changes: Any) -> pd.DataFrame:
    usual = {"verdict": "undecided", "detectable": 0.0123, "equivalence": "", "superior_allowed": False}
    return pd.DataFrame([usual, usual, usual | changes])  # two outcomes and the mean


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "No difference between x and y is shown in AUROC (mean over outcomes); one under 1.23 points would often be missed.",
        ),
        (
            {"equivalence": "equivalent"},
            "is shown in AUROC (mean over outcomes), and whatever there is is smaller than the margin;",
        ),
        (
            {"verdict": "superior", "superior_allowed": True},
            "x is better than y in AUROC (mean over outcomes; one comparison, unadjusted).",
        ),
        (
            {"verdict": "inferior", "superior_allowed": True},
            "y is better than x in AUROC (mean over outcomes; one comparison, unadjusted).",
        ),
        (
            {"verdict": "superior"},
            "In these predictions x is ahead of y in AUROC (mean over outcomes); that it would be after another training is not shown.",
        ),
        ({"verdict": ""}, "x and y cannot be compared: too few events, or folds that both have."),
    ],
)
def test_the_answer_in_a_sentence(changes: dict[str, Any], said: str) -> None:
    assert said in answer(table(**changes), "x", "y", "auroc")


def test_sentence_paragraph_and_table_agree() -> None:
    found = report.compared(results(n=900), "good", "poor", "auroc", 0.02, HOW)
    mean = found.table.set_index("task").loc["mean"]
    assert (mean["verdict"], mean["superior_allowed"]) == ("superior", True)
    assert found.sheet.title == "good is better than poor in AUROC (mean over outcomes; one comparison, unadjusted)."
    assert f"{100 * mean['difference']:+.2f} points" in found.paragraph
    assert found.sheet.protocol == found.paragraph
    shown = {entry.name: entry.entries for entry in found.sheet.blocks[0].rows()}
    assert list(shown) == ["death", "stroke", "mean"]
    assert shown["mean"][4].value == f"{100 * mean['difference']:.2f}"
    assert found.sheet.blocks[0].columns[-1] == ("with the margin,", "unadjusted")
    assert shown["mean"][-1].value == "non-inferior"
    turned = report.compared(results(n=900), "poor", "good", "auroc", 0.02, HOW)
    assert turned.table["difference"].to_numpy() == pytest.approx(-found.table["difference"].to_numpy(), abs=1e-15)
    assert turned.sheet.title == found.sheet.title


def test_without_a_margin_nothing_is_said_of_one() -> None:
    found = report.compared(results(), "good", "poor", "brier", None, HOW)
    assert "margin" not in found.paragraph
    assert len({len(entry.entries) for entry in found.sheet.blocks[0].rows()} | {len(found.sheet.blocks[0].columns)}) == 1


def test_what_cannot_be_compared_is_told() -> None:
    given = results()
    none = replace(given, predictions=given.predictions.iloc[:0])
    with pytest.raises(BenchError, match=r"no test predictions of good and poor on 'demo:n=300'"):
        report.compared(none, "good", "poor", "auroc", None, HOW)
    with pytest.raises(BenchError, match="the metric must be one of auroc, ap, brier, log_loss, but is 'f1'"):
        report.compared(given, "good", "poor", "f1", None, HOW)
