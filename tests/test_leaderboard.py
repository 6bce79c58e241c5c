"""The leaderboard of published files alone: all datasets in one table, mean ranks, and what was asked of pairs of methods."""

from pathlib import Path

import pytest
from publishing import DATA, METHODS, published, trained

from bench import publish
from bench.core import BenchError

ASKED = """
[[question]]
title = "Is a guess better than nothing?"
text = "Nobody claims it."
pairs = [["guess:noise=0.1", "constant"], ["guess:noise=0.1", "nosuch"]]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pub/ with two synthetic cohorts, of which only the first has the method that was declined."""
    made = tmp_path_factory.mktemp("board")
    published(made)
    other = "independent:n=300"
    publish.submit(
        other, METHODS[:2], results=trained(made / "other", *METHODS[:2], dataset=other), out=made / "pub", against=made / "pub"
    )
    (made / "pub" / "questions.toml").write_text(ASKED, "utf-8")
    return made / "pub"


def test_all_datasets_stand_in_one_table_and_questions_are_answered(folder: Path) -> None:
    text = publish.leaderboard(folder, resamples=60)
    overview = text[text.index("## All datasets") : text.index("\n## ", text.index("## All datasets") + 5)]
    rows = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
        for line in overview.splitlines()
        if line.startswith("| ")
    }
    assert set(rows) == {"", "---", *METHODS[:2]}  # what every dataset declined is left out
    # the better of two is first in both: its mean rank is 1, and that of the floor 2
    assert rows["guess:noise=0.1"][0].startswith("1.0 (1.0, ")
    assert rows["constant"][0].startswith("2.0 (")
    assert [len(row) for row in rows.values()] == [5] * 4  # the rank, and two metrics of two datasets
    for dataset in (DATA, "independent:n=300"):
        part = text[text.index(f"## {dataset}") :]
        assert rows["guess:noise=0.1"][1 if dataset == "independent:n=300" else 3].split(" <sup>")[0] in part
    assert text.count("| `guess:noise=0.1` - `constant` |") == 2
    assert "`nosuch`" not in text
    assert "on patients" not in text  # both are synthetic: nothing is counted for or against


def test_a_file_of_questions_that_is_none_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "questions.toml").write_text("[[question]]\ntitle = 'x'\n", "utf-8")
    for path in folder.glob("*.parquet"):
        (tmp_path / path.name).symlink_to(path)
    with pytest.raises(BenchError, match=r"must hold \[\[question\]\] tables with title, text and pairs of methods"):
        publish.leaderboard(tmp_path, resamples=20)
