"""The critical-difference diagram and the ranks across datasets, as they are written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_results import HOW, results

from bench import report
from bench.core import BenchError
from bench.report import across as page
from bench.report.figures import difference
from bench.report.figures.lettering import width
from bench.report.figures.marks import Lines, Words
from bench.stats import across


def table() -> pd.DataFrame:
    names = ["tabm", "ple:levels=1", "a" * 90, "$x_1$ <script>", "logistic"]
    ranks = [1.5, 2.0, 3.0, 4.0, 4.5]
    return pd.DataFrame(
        {"method": names, "metric": "auroc", "mean_rank": ranks, "critical_difference": 1.6, "p": 0.01, "datasets": 9}
    )


def test_words_stay_on_the_page_and_bars_join_what_is_alike() -> None:
    drawn = difference.critical_difference(table(), across.alike(table()))
    words = [mark for mark in drawn.marks if isinstance(mark, Words)]
    for mark in words:
        start = {"start": 0.0, "middle": 0.5, "end": 1.0}[mark.anchor] * width(mark.text, mark.size, mark.bold)
        assert mark.x - start >= 0
        assert mark.x - start + width(mark.text, mark.size, mark.bold) <= drawn.width
        assert 0 < mark.y <= drawn.height
    bars = [path for mark in drawn.marks if isinstance(mark, Lines) and mark.pen == difference.BAR for path in mark.paths]
    # within 1.6: 1.5 to 3.0, 2.0 to 3.0 (in the former), 3.0 to 4.5
    assert len(bars) == 2
    assert any("$x_1$ <script>" in mark.text for mark in words)  # as it is: text, not markup
    assert any(mark.text == "critical difference 1.60" for mark in words)


def test_ranks_across_datasets_are_written_with_their_limit(tmp_path: Path) -> None:
    scored = {name: report.scored(results(n=n), HOW) for name, n in (("one", 300), ("two", 360))}
    sheet = page.write(scored, tmp_path)
    stored = pd.read_csv(tmp_path / "across.csv")
    assert set(stored["datasets"]) == {2}
    assert stored.groupby("metric")["mean_rank"].sum().to_numpy() == pytest.approx(np.full(2, 6.0))  # of three methods
    assert all(
        low <= mean <= high for low, mean, high in zip(stored["set_low"], stored["mean_rank"], stored["set_high"], strict=True)
    )
    assert "2 independent datasets" in (tmp_path / "across.md").read_text("utf-8")
    assert sheet.blocks[0].rows()[0].name == "good"
    with pytest.raises(BenchError, match=r"needs 8 independent datasets or more .* but there are 2: one, two"):
        page.diagram(scored, tmp_path)


def test_the_diagram_comes_in_every_format(tmp_path: Path) -> None:
    scored = {f"set{i}": report.scored(results(n=300 + 30 * i), HOW) for i in range(8)}
    names = {path.name for path in page.diagram(scored, tmp_path)}
    assert names == {f"critical_difference-{m}.{kind}" for m in ("auroc", "ap") for kind in ("pdf", "svg", "png")}
    assert all((tmp_path / name).stat().st_size > 500 for name in names)
