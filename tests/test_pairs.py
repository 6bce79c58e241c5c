"""What outcomes buy each other, and the groups that follow: numbers by hand, laws, and what is said of them."""

import io
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made_results import HOSTILE, results
from rich.console import Console
from sklearn.metrics import average_precision_score, roc_auc_score

from bench.core import BenchError
from bench.report import markdown
from bench.report.figures import pairs as figure
from bench.report.figures import vector
from bench.report.figures.marks import Words
from bench.report.pairs import Matrices, Matrix, grouping, sheet, write
from bench.stats import pairs
from bench.stats.grouping import Grouping, grouped, predicted

TASKS = ("death", "icu", "stay")
NONE = pd.DataFrame({"method": pd.Series(dtype=str), "facts": pd.Series(dtype=object)})


def made(
    tasks: tuple[str, ...] = TASKS, n: int = 240, folds: int = 1, repeats: int = 1, events: float = 0.3
) -> tuple[dict[Any, pd.DataFrame], pd.DataFrame]:
    """Predictions of every arm and the cohort. How sharp an arm is on an outcome depends on the names alone, not on their order."""
    columns = {task: np.random.default_rng(list(task.encode())) for task in tasks}
    y = {task: (rng.random(n) < events).astype(np.float32) for task, rng in columns.items()}
    out: dict[Any, pd.DataFrame] = {}
    for arm in pairs.arms(tasks):
        frames: list[pd.DataFrame] = []
        for repeat in range(repeats):
            rng = {task: np.random.default_rng([repeat, *"".join((task, *sorted(arm))).encode()]) for task in arm}
            p = {f"p:{t}": 1 / (1 + np.exp(-y[t] - rng[t].normal(size=n) / len(arm))) for t in arm}
            head = {"repeat": repeat, "fold": np.arange(n) // 2**repeat % folds, "row": np.arange(n), "view": "test"}
            frames.append(pd.DataFrame({**head, **{f"y:{t}": y[t] for t in arm}, **p}))
        out[arm] = pd.concat(frames, ignore_index=True).sample(frac=1, random_state=len(out))  # in any order
    ids = np.arange(n).astype(str)
    return out, pd.DataFrame({"row": np.arange(n), "patient": ids, "group": ids})


def judged(
    tasks: tuple[str, ...] = TASKS, *, cells: pd.DataFrame = NONE, lost: Any = None, seed: int = 0, **how: Any
) -> pairs.Pairs:
    predictions, cohort = made(tasks, **how)
    return pairs.judged(predictions, cohort, tasks, cells, lost or {}, resamples=120, seed=seed)


def at(found: pairs.Pairs, target: str, source: str, metric: str = "auroc") -> pd.Series:
    return found.table.set_index(["target", "source", "metric"]).loc[(target, source, metric)]


# ---- grouping


def test_two_that_help_each_other_are_grouped_and_a_third_that_costs_is_not() -> None:
    # what b buys a: 2, a buys b: 1, sum 3; a and c: -1 - 1; b and c: -1 + 3 = 2. First a + b. With c: the six gains add up to
    # 3 - 2 + 2 = 3, each outcome has the mean of two of them: 3 / 2, which is less than 3 with c alone.
    gains = np.array([[0, 2, -1], [1, 0, -1], [-1, 3, 0]], float)
    assert grouped(gains) == ((0, 1), (2,))
    assert predicted(gains, ((0, 1), (2,))) == 3
    assert predicted(gains, ((0, 1, 2),)) == 1.5


def test_a_third_joins_where_it_buys_more_than_the_two_lose_by_dilution() -> None:
    # a and b: 3; c adds 2 with each, both ways together: (3 + 4) / 2 = 3.5 > 3
    gains = np.array([[0, 2, 1], [1, 0, 1], [1, 1, 0]], float)
    assert grouped(gains) == ((0, 1, 2),)
    assert predicted(gains, ((0, 1, 2),)) == pytest.approx(3.5)  # (2 + 1) / 2 + (1 + 1) / 2 + (1 + 1) / 2


@pytest.mark.parametrize(("across", "groups"), [(1.75, ((0, 1, 2, 3),)), (1.4, ((0, 1), (2, 3)))])
def test_two_groups_merge_as_groups(across: float, groups: tuple[tuple[int, ...], ...]) -> None:
    # 0 + 1: 4; 2 + 3: 2; eight gains across of 1.75: 0 + 1 first, then 2 + 3 (2, where 2 with 0 + 1 adds (4 + 7) / 2 - 4 = 1.5), then
    # all, for (4 + 2 + 14) / 3 = 6.67 > 6. Of 1.4 across, (4 + 2 + 11.2) / 3 = 5.73 < 6.
    gains = np.full((4, 4), across)
    gains[[0, 1], [1, 0]], gains[[2, 3], [3, 2]] = 2.0, 1.0
    assert grouped(gains) == groups


def test_nothing_to_gain_and_nothing_known_is_alone() -> None:
    assert grouped(np.full((3, 3), -1.0)) == ((0,), (1,), (2,))
    assert grouped(np.zeros((3, 3))) == ((0,), (1,), (2,))
    gains = np.full((3, 3), 5.0)
    gains[0, 1] = np.nan  # of a pair that failed
    assert grouped(gains) in (((0, 2), (1,)), ((0,), (1, 2)))
    assert grouped(np.full((2, 2), np.nan)) == ((0,), (1,))


@given(arrays(np.int64, (4, 4), elements=st.integers(-50, 50)), st.permutations(range(4)))
def test_the_order_of_outcomes_does_not_matter_to_the_total(values: np.ndarray, order: list[int]) -> None:
    gains = values + np.random.default_rng(0).random((4, 4)) / 100  # no ties
    there = grouped(gains[np.ix_(order, order)])
    assert {frozenset(order[i] for i in group) for group in there} == {frozenset(group) for group in grouped(gains)}


@given(arrays(np.float64, (4, 4), elements=st.floats(-1, 1)))
def test_greedy_is_never_worse_than_alone_nor_better_than_the_best(gains: np.ndarray) -> None:
    def partitions(items: list[int]) -> list[list[list[int]]]:
        if not items:
            return [[]]
        first, rest = items[0], partitions(items[1:])
        return [[*p[:k], [first, *p[k]], *p[k + 1 :]] for p in rest for k in range(len(p))] + [[[first], *p] for p in rest]

    every = partitions([0, 1, 2, 3])
    assert len(every) == 15
    best = max(float(predicted(gains, p)) for p in every)
    assert -1e-12 <= float(predicted(gains, grouped(gains))) <= best + 1e-12


# ---- the matrix


def test_a_gain_is_the_difference_of_two_models_on_the_same_rows() -> None:
    predictions, _ = made()
    found = judged()
    for target, source in permutations(TASKS, 2):
        pair = predictions[tuple(t for t in TASKS if t in (target, source))]
        alone = predictions[(target,)]
        for metric, of in (("auroc", roc_auc_score), ("ap", average_precision_score)):
            row = at(found, target, source, metric)
            assert row["alone"] == pytest.approx(of(alone[f"y:{target}"], alone[f"p:{target}"]), abs=1e-12)
            assert row["together"] == pytest.approx(of(pair[f"y:{target}"], pair[f"p:{target}"]), abs=1e-12)
            assert row["gain"] == pytest.approx(row["together"] - row["alone"], abs=1e-12)
            assert row["low"] < row["gain"] < row["high"]
            assert row["p"] <= row["p_adjusted"] <= 1
    of_all = predictions[TASKS]
    row = at(found, "icu", pairs.OTHERS)
    assert row["together"] == pytest.approx(roc_auc_score(of_all["y:icu"], of_all["p:icu"]), abs=1e-12)
    assert row["predicted"] == pytest.approx((at(found, "icu", "death")["gain"] + at(found, "icu", "stay")["gain"]) / 2)
    assert np.isnan(row["p_adjusted"])  # outside of the family
    assert found.family == {"auroc": 6, "ap": 6}
    assert len(found.table) == 2 * 3 * 3


def test_other_orders_of_outcomes_permute_the_matrix() -> None:
    columns = ["gain", "low", "high", "p", "p_adjusted", "phi"]
    here, there = (
        judged(tasks).table.set_index(["target", "source", "metric"]).sort_index()[columns] for tasks in (TASKS, TASKS[::-1])
    )
    pd.testing.assert_frame_equal(here, there, check_exact=False, atol=1e-12)


def test_the_seed_of_the_draws_moves_intervals_alone() -> None:
    first, other = (judged(seed=seed).table for seed in (0, 1))
    for column in ("alone", "together", "gain", "phi", "n", "events"):
        pd.testing.assert_series_equal(first[column], other[column])
    assert (first["low"] - other["low"]).abs().between(1e-9, 0.05).all()


def test_a_pair_without_all_its_cells_has_no_gain_and_the_others_keep_theirs() -> None:
    whole, holed = judged(), judged(lost={("death", "stay"): "failed: no luck"})
    for target, source in (("death", "stay"), ("stay", "death")):
        row = at(holed, target, source)
        assert np.isnan(row[["gain", "low", "high", "p", "p_adjusted"]].to_numpy(float)).all()
        assert row["reason"] == "failed: no luck"
    assert at(holed, "icu", "stay")["gain"] == at(whole, "icu", "stay")["gain"]
    assert holed.family == {"auroc": 4, "ap": 4}
    assert not any({"death", "stay"} <= set(group) for one in holed.groupings for group in one.groups)


def test_affinity_is_of_a_step_for_the_source_on_the_targets_loss() -> None:
    facts = {"diagnosis": {"affinity": {"death -> icu": {"value": 0.5}, "icu -> death": {"value": -0.25}}}}
    found = judged(cells=pd.DataFrame([{"method": "any", "facts": facts}]))
    assert at(found, "icu", "death")["affinity"] == 0.5
    assert at(found, "death", "icu")["affinity"] == -0.25
    assert np.isnan(at(found, "icu", "stay")["affinity"])
    predictions, _ = made()
    labels = predictions[TASKS].sort_values("row")
    phi = np.corrcoef(labels["y:icu"], labels["y:death"])[0, 1]
    assert at(found, "icu", "death")["phi"] == pytest.approx(phi)


def test_two_outcomes_are_one_pair_and_have_no_others() -> None:
    found = judged(TASKS[:2])
    assert list(zip(found.table["target"], found.table["source"], strict=True)) == [("death", "icu"), ("icu", "death")] * 2
    assert pairs.arms(("a", "b")) == [("a",), ("b",), ("a", "b")]
    assert [len(pairs.arms("abcde"[:t])) for t in (2, 3, 5)] == [3, 7, 16]


def test_an_outcome_with_few_events_gains_nothing_that_is_told() -> None:
    found = judged(n=240, events=0.02)
    assert found.table["gain"].isna().all()
    assert set(found.table["reason"]) == {"too few events"}
    assert found.family == {"auroc": 0, "ap": 0}
    assert all(one.groups == (("death",), ("icu",), ("stay",)) for one in found.groupings)


def test_other_rows_are_refused() -> None:
    predictions, cohort = made()
    predictions["death", "icu"] = predictions["death", "icu"].iloc[1:]
    with pytest.raises(BenchError, match="same rows, but that of death and icu is not"):
        pairs.judged(predictions, cohort, TASKS, NONE, {}, resamples=20)


def test_with_repeats_a_mark_needs_the_corrected_t_as_well() -> None:
    found = judged(folds=2, repeats=3)
    assert (found.folds, found.repeats) == (2, 3)
    assert found.table["steady"].dtype == bool
    one = judged(folds=2)
    assert one.table["steady"].all()


# ---- what is said


def shown(tasks: tuple[str, ...] = TASKS, **how: Any) -> Matrix:
    return Matrix(results(tasks=tasks), "net", judged(tasks, **how))


def told(matrix: Matrix) -> str:
    assert matrix.pairs is not None
    return "\n".join(sheet(matrix, matrix.pairs).remarks)


def test_a_suggestion_says_what_it_rests_on() -> None:
    found = Grouping("auroc", (("death", "icu"), ("stay",)), 0.0123, -0.001, 0.02, 0.4, 2, 1)
    text = grouping(found)
    assert text.startswith("Suggestion by AUROC, not a result: death + icu; stay alone. Predicted +1.23 points [-0.10, +2.00]")
    assert "1 of the 2 gains inside the groups is marked" in text
    assert "40 % of the resamples give the same groups" in text
    alone = replace(found, groups=(("death",), ("icu",), ("stay",)), inside=0)
    assert "every outcome alone" in grouping(alone)


def test_the_sheet_names_family_and_condition() -> None:
    text = told(shown())
    assert "a family a metric: 6 gains in AUROC and 6 gains in AP" in text
    assert "Standley et al., ICML 2020; Fifty et al., NeurIPS 2021" in text
    assert "All others stand outside of these families" in text
    assert "conditional on the fitted models" in text
    assert "With one repeat the luck of one training" in text
    assert "No affinity" in text
    assert "for all 3 together they predict a mean gain of" in text
    assert "two standard errors of the corrected t" in told(shown(folds=2, repeats=2))


def test_a_lost_pair_is_a_dash_with_a_footnote() -> None:
    matrix = shown(lost={("death", "stay"): "failed: no luck"})
    assert matrix.pairs is not None
    page = sheet(matrix, matrix.pairs)
    assert page.footnotes == ("No gain, marked \u2013: failed: no luck.",)
    rows = {row.name: row for row in page.blocks[0].rows()}
    assert rows["death"].entries[3].value == "\u2013"
    assert (rows["death"].notes, rows["icu"].notes, rows["stay"].notes) == ((1,), (), (1,))


def test_hostile_names_are_no_markup_anywhere(tmp_path: Any) -> None:
    tasks = tuple(HOSTILE[:3])
    made = Matrices("A <b>title</b>", (shown(tasks), Matrix(results(tasks=tasks), "other", None, "declined <i>it</i>")))
    write(made, tmp_path)
    text = (tmp_path / "pairs.md").read_text("utf-8")
    assert "<script>" not in text
    assert "<b>" not in text
    assert "Not judged: declined &#60;i&#62;it" in text
    for path in tmp_path.glob("*.svg"):
        assert "<script" not in path.read_text("utf-8")
    table = pd.read_csv(tmp_path / "pairs.csv")
    assert "'=cmd()" in set(table["target"])
    assert table["gain"].notna().all()
    out = io.StringIO()
    Console(file=out, width=80).print(made)
    assert max(map(len, out.getvalue().splitlines())) <= 80


def test_the_map_has_a_cell_a_gain_and_marks_what_is_shown() -> None:
    found = judged()
    table = found.table.assign(gain=0.012, low=-0.001, high=0.02, p_adjusted=0.5, steady=True)
    marked = (table["target"] == "icu") & (table["source"] == "stay") & (table["metric"] == "ap")
    table.loc[marked, "p_adjusted"] = 0.01
    page = figure.matrix(table, TASKS, "cohort, net")
    texts = [mark.text for mark in page.marks if isinstance(mark, Words)]
    assert sum(text.startswith("+1.20") for text in texts) == 2 * 3 * 3
    assert [text for text in texts if "▲" in text and text.startswith("+")] == ["+1.20 ▲"]
    assert sum(text == "[\u22120.10, 2.00]" for text in texts) == 2 * 3 * 3
    assert "correlation of labels (phi)" in texts
    assert "affinity in training" not in texts  # nothing was diagnosed
    inside = [m for m in page.marks if isinstance(m, Words)]
    assert all(0 <= m.x <= page.width and 0 <= m.y <= page.height for m in inside)
    assert "<svg" in vector.svg(page, themed=False)


def test_small_affinities_are_told_in_thousandths() -> None:
    table = judged().table.assign(affinity=lambda t: np.where(t["target"] == "icu", -0.00123, 0.0005))
    texts = [mark.text for mark in figure.matrix(table, TASKS, "cohort, net").marks if isinstance(mark, Words)]
    assert "affinity in training, x 1,000" in texts
    assert texts.count("\u22121.23") == 2
    assert texts.count("0.50") == 4


def test_many_outcomes_still_fit_a_page() -> None:
    tasks = tuple(f"outcome_{i}" for i in range(12))
    rows = [{"target": a, "source": b, "metric": m, "gain": 0.01, "low": 0.0, "high": 0.02, "p_adjusted": 1.0, "steady": True, "phi": 0.1,
             "affinity": np.nan} for m in ("auroc", "ap") for a in tasks for b in (*tasks, pairs.OTHERS) if a != b]  # fmt: skip
    page = figure.matrix(pd.DataFrame(rows), tasks, "cohort, net")
    assert all(m.x <= page.width for m in page.marks if isinstance(m, Words))
    assert "outcome_11" in {m.text for m in page.marks if isinstance(m, Words)}


def test_the_same_tables_give_the_same_bytes(tmp_path: Any) -> None:
    for name in ("a", "b"):
        write(Matrices("t", (shown(),)), tmp_path / name)
    one, other = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("a", "b"))
    assert one == other
    assert set(one) == {"pairs.md", "pairs.csv", *(f"pairs-demo_n=300-net.{kind}" for kind in ("pdf", "png", "svg"))}
    assert markdown.render(sheet(shown(), judged())) in one["pairs.md"].decode()
