"""What is computed is what is shown: each safeguard followed from the predictions to the printed text."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_results import results
from statsmodels.stats.multitest import multipletests

from bench import jackknife, report
from bench.report import figures, markdown, page, sheet
from bench.report.evidence import Frames
from bench.report.figures import forest
from bench.report.figures.marks import Dots
from bench.report.page import compare
from bench.report.words import DASH
from bench.stats import PRIMARY, gather
from bench.store import Results


def uneven(repeats: int) -> Results:
    """`good` is far ahead of the reference in the first of three folds and the same as it in the others, in every repeat alike."""
    given = results(n=900)
    p, fold = ["p:death", "p:stroke"], given.predictions["fold"]
    good, ref = (given.predictions["method"] == name for name in ("good", "ref"))
    made = given.predictions.copy()
    made.loc[good & (fold > 0), p] = made.loc[ref & (fold > 0), p].to_numpy()
    made.loc[good & (fold == 0), p] = 0.3 + 0.4 * made.loc[good & (fold == 0), ["y:death", "y:stroke"]].to_numpy()
    copies = [made.assign(repeat=r) for r in range(repeats)]
    cells = pd.concat([given.cells.assign(repeat=r) for r in range(repeats)], ignore_index=True)
    protocol = {**given.protocol, "repeats": repeats}
    return replace(given, predictions=pd.concat(copies, ignore_index=True), cells=cells, protocol=protocol)


def marked(frames: Frames) -> tuple[str, str, int]:
    """Of `good` against the reference, mean AUROC: the mark in the table, in the page, and the filled dots of the figure."""
    row = next(row for row in frames.sheet.blocks[0].rows() if row.name == "good")
    line = next(line for _, lines in compare.grids(frames, PRIMARY, {})[0].groups for line in lines if line.name == "good")
    dots = [mark for mark in figures.page(frames, "forest", "mean").marks if isinstance(mark, Dots)]
    filled = sum(len(dot.at) for dot in dots if dot.look == forest.BETTER) - 1  # one stands in the key
    return row.entries[0].marks, line.cells[0].marks, filled


def test_what_is_not_steady_over_repeats_has_no_mark_anywhere() -> None:
    # the folds' differences are d, 0, 0, twice: mean d/3, SD .516 d, corrected standard error sqrt(1/6 + 1/2) .516 d = .42 d
    once, twice = (report.frames_of(uneven(repeats), report.Settings(resamples=200)) for repeats in (1, 2))
    for frames in (once, twice):
        row = frames.scoring.comparisons.query("method == 'good' and task == 'mean' and metric == 'auroc'").iloc[0]
        assert row["p_adjusted"] < 0.05
        assert bool(row["steady"]) is (frames is once)
    assert marked(once) == ("▲", "▲", 2)  # AUROC and AP
    assert marked(twice) == ("", "", 0)
    assert "▲" not in markdown.render(twice.sheet).split("Cost and rank")[0].partition("\n\n**")[2]


def test_bca_intervals_are_shown_and_named() -> None:
    given = results(n=300)
    evidence = gather(given.predictions, given.cohort, ["death", "stroke"], given.methods, "ref", resamples=400)
    assert evidence is not None
    lost = jackknife.without(evidence.cells, 1, len(evidence.counts), evidence.plan.with_ap, evidence.plan.averaged)
    drawn = evidence.found.values[1]
    low, high = jackknife.bca(drawn[..., 0], drawn[..., 1:], jackknife.sixth_of_skewness(lost, evidence.stratum))
    texts: dict[str, str] = {}
    for how in ("percentile", "bca"):
        scoring = report.scored(given, report.Settings(resamples=400, interval=how))
        texts[how] = markdown.render(sheet.build(given, scoring, "clinical"))
        own = scoring.scores.query("method == 'good' and metric == 'ap'").set_index("task")
        assert np.allclose(own.loc[["death", "stroke", "mean"], "low"], low[:, 1], atol=1e-12) is (how == "bca")
    shown = f"({100 * low[2, 1]:.1f}, {100 * high[2, 1]:.1f})"
    assert shown in texts["bca"]
    assert shown not in texts["percentile"]
    assert "95 % interval of the same bootstrap (BCa)" in texts["bca"]
    assert "95 % interval of the same bootstrap (percentiles)" in texts["percentile"]


@pytest.mark.parametrize(("adjust", "method"), [("holm", "holm"), ("bh", "fdr_bh")])
def test_the_adjustment_asked_for_is_the_one_made(adjust: str, method: str) -> None:
    found = report.scored(results(), report.Settings(resamples=5000, adjust=adjust)).comparisons
    family = found[found["metric"].isin(PRIMARY)]
    assert family["p_adjusted"].to_numpy() == pytest.approx(multipletests(family["p"], method=method)[1], abs=1e-15)


def test_the_rank_column_and_the_ranks_figure_show_the_set_of_true_ranks() -> None:
    given = results(("ref", "good", "poor", "worse", "worst"), n=300)
    frames = report.frames_of(given, report.Settings(resamples=200))
    own = frames.scoring.standings.query("task == 'mean' and metric == 'auroc'").set_index("method")
    assert (own["set_high"] - own["set_low"] > own["high"] - own["low"]).any()  # resampled ranks are another thing, and narrower
    block = frames.sheet.blocks[-1]
    place = block.columns.index(("rank, AUROC",))
    shown = {row.name: row.entries[place].value for row in block.rows()}
    assert shown == {m: f"{row['set_low']:.0f} to {row['set_high']:.0f}" for m, row in own.iterrows()}
    column = forest._ranks(frames.scoring.standings.query("task == 'mean' and metric == 'auroc'"), "auroc")  # pyright: ignore
    assert {m: (made[0].low, made[0].high) for m, made in column.estimates.items()} == {
        m: (row["set_low"], row["set_high"]) for m, row in own.iterrows()
    }


def test_the_tests_about_the_procedure_reach_the_page() -> None:
    frames = report.frames_of(results(n=900), report.Settings(resamples=60))
    table = compare.tests(frames)
    assert table is not None
    heads = [column.lines[0] for column in table.columns]
    t, bayes = heads.index("p corrected t, unadjusted"), heads.index("Bayesian t, %: better / within a point / worse")
    found = frames.corrected.merge(frames.bayes, on=["method", "reference", "task", "metric"])
    rows = [line for _, lines in table.groups for line in lines]
    assert len(rows) == len(frames.scoring.comparisons.query("difference.notna()"))
    told = 0
    for line in rows:
        task, metric = line.cells[0].text, {"AUROC": "auroc", "AP": "ap"}.get(line.cells[1].text)
        own = found[(found["method"] == line.name) & (found["task"] == task) & (found["metric"] == metric)]
        if len(own):
            told += 1
            assert line.cells[t].text == page.grid.p_value(own["p"].iloc[0])
            assert line.cells[bayes].text == " / ".join(
                f"{100 * own[name].iloc[0]:.0f}" for name in ("better", "equivalent", "worse")
            )
    assert told == len(found) == 12  # two methods, three rows of outcomes and their mean, two metrics
    assert {line.cells[t].text for line in rows} - {DASH} != set()


def test_only_primary_metrics_are_marked() -> None:
    given = results(("ref", "good", "poor", "worse"))
    frames = report.frames_of(given, report.Settings(resamples=200, primary=("auroc",)))
    marks = ["".join(entry.marks for row in block.rows() for entry in row.entries) for block in frames.sheet.blocks[:2]]
    assert marks[0]
    assert not marks[1]
    glance = compare.glance(frames)
    assert glance is not None
    counted = {line.metric: [cell.text for cell in line.cells[3:]] for _, lines in glance.groups for line in lines}
    assert counted["ap"] == [DASH] * 3
    assert DASH not in counted["auroc"]


def test_a_word_of_superiority_needs_two_standard_errors_of_the_procedure() -> None:
    found = report.compared(uneven(2), "good", "ref", "auroc", None, report.Settings(resamples=200))
    verdicts = [row.entries[-1].value for row in found.sheet.blocks[0].rows()]
    assert "ahead" in verdicts
    assert "superior" not in " ".join(verdicts)
    assert found.sheet.title.startswith("In these predictions good is ahead of ref")
    assert any("about 89 % of the time" in text for text in found.sheet.remarks)
    assert "Bayesian correlated t" in found.paragraph
