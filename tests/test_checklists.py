"""The reporting checklists: every promised item once, numbers those of the tables, blanks marked, names harmless."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sections import headings, part, tables
from two_outcomes import EVENTS, N, failed, frames, results

from bench import stats
from bench.core import Task
from bench.report import checklists
from bench.report.checklists import facts, judgements
from bench.report.evidence import Frames
from bench.report.words import DASH

BASIC = ["10", "11", "12a", "12b", "12c", "12d", "12e", "13", "14", "18a", "18b", "18c", "18d", "18e", "18f",
         "20a", "20b", "20c", "21", "22", "23a", "23b"]  # fmt: skip
EXTERNAL = [*BASIC[:7], "12f", "12g", *BASIC[7:]]
MINUS = "\u2212"
BLANK = "**[to be filled in by the authors:"
HOSTILE = ["<script>alert(1)</script>", "100%_|a|", "=cmd()", "# 10 **[to be filled in by the authors: x]**", "a\n## 99 b"]


@pytest.fixture(scope="module")
def plain() -> Frames:
    """Two repeats, a site of two levels."""
    given = results(repeats=2)
    return frames(replace(given, cohort=given.cohort.assign(site=np.where(np.arange(N) % 3 == 0, "north", "south"))))


def numbers(text: str) -> list[str]:
    return [line.split()[0] for line in headings(text)[1:]]


def test_every_promised_item_occurs_exactly_once_and_no_other(plain: Frames) -> None:
    text = checklists.tripod(plain)
    assert numbers(text) == BASIC
    assert "Left out: 12f and 12g, filled in only where predictions of other data are stored." in text


def test_items_and_their_fillers_belong_together() -> None:
    folder = Path(checklists.__file__).parent
    items = tomllib.loads((folder / "tripod.toml").read_text("utf-8"))["item"]
    assert [item["number"] for item in items] == EXTERNAL
    assert {item["number"] for item in items} - set(checklists.FILLERS) == {"12b", "18a", "18b", "18d"}
    assert set(checklists.FILLERS) <= {item["number"] for item in items}
    questions = tomllib.loads((folder / "probast.toml").read_text("utf-8"))["question"]
    assert [(q["part"], q["number"]) for q in questions] == list(judgements.JUDGES)


def test_blanks_are_marked_and_counted(plain: Frames) -> None:
    for text in (checklists.tripod(plain), checklists.probast(plain)):
        head, body = text.split("\n## ", 1)
        said = re.search(r"(\d+) blanks are left", head)
        assert said
        assert int(said[1]) == body.count(BLANK) > 5
    for number in ("18a", "18b", "18c", "18d"):
        item = part(checklists.tripod(plain), number)
        assert "The store does not say." in item
        assert item.count(BLANK) == 1


def test_sample_size_is_counted_from_the_predictions(plain: Frames) -> None:
    # 400 rows, 120 and 44 events spread evenly over 4 folds: 30 and 11 a fold, 90 and 33 of the 300 rows learned from.
    # Rate .3: largest R2 1 - exp(2 (.3 ln .3 + .7 ln .7)) = .705282, 15 % of it .105792; 300 x .1 x -ln(1 - .117547) = 3.75.
    # 1.96^2 / .05^2 x .3 x .7 = 322.7. Rate .11: R2 .15 x .498957; 300 x .1 x -ln(1 - .083160) = 2.60; 150.4.
    size = tables(part(checklists.tripod(plain), "10"))[0]
    assert size["death"] == ["400", "120", "30.0", "30", "300", "90", "3", "323"]
    assert size["stroke"] == ["400", "44", "11.0", "11", "300", "33", "2", "151"]


def test_riley_criteria_by_hand() -> None:
    # half events: largest R2 1 - exp(2 ln .5) = .75, 15 % of it .1125; P = 1000 x .1 x -ln(1 - .125) = 13.3531
    assert facts.parameters(1000, 0.5) == pytest.approx(13.35314, abs=1e-5)
    assert np.isnan(facts.parameters(1000, 0.0))
    # the example of the R package pmsampsize: prevalence .174 needs 221 rows
    assert np.ceil(facts.rows_for_overall_risk(0.174)) == 221


def test_participants_of_each_analysis_and_level(plain: Frames) -> None:
    text = checklists.tripod(plain)
    development = tables(part(text, "21"))[0]
    test, valid = (plain.results.predictions.query("view == @view and method == 'ref'") for view in ("test", "valid"))
    sizes = valid.groupby(["repeat", "fold"])["y:death"].agg(["size", "sum"]).astype(int)
    span = [f"{min(x)} to {max(x)}" if min(x) < max(x) else str(min(x)) for x in (sizes["size"], sizes["sum"])]
    assert development["death"][2:] == [*span, "100", "30"]
    train = [(300 - sizes["size"]), (90 - sizes["sum"])]
    assert development["death"][:2] == [f"{min(x)} to {max(x)}" if min(x) < max(x) else str(min(x)) for x in train]
    # site north: every third row from 0, 134 of 400; of the first 120 rows 40, of the first 44 rows 15
    assert "| site | north | 134 (33.5 %) | 40 of 134 | 15 of 134 |" in part(text, "20b")
    assert "| death | 120 | 280 | 0 |" in part(text, "20a")
    assert len(test) == 2 * N


def test_numbers_are_cut_at_their_quartiles_everywhere_alike() -> None:
    # ages 20 .. 59, ten patients each; quartiles at 29.75, 39.5, 49.25: 20 to 29 and so on, a hundred patients each
    given = results()
    aged = frames(replace(given, cohort=given.cohort.assign(**{"subgroup:age": 20 + np.arange(N) % 40})))
    text = checklists.tripod(aged)
    names = ["20 to 29", "30 to 39", "40 to 49", "50 to 59"]
    assert "The cohort names: age (4 levels);" in part(text, "12d")
    assert f"Subgroups that the cohort names: age: {', '.join(names)}." in part(text, "14")
    for number in ("20b", "23a"):
        found = list(dict.fromkeys(re.findall(r"^\| age \| (.*?) \|", part(text, number), re.M)))
        assert found == names, number
    assert f"| age | {names[0]} | 100 (25.0 %) |" in part(text, "20b")
    assert "19.999" not in text


def test_levels_are_those_of_rows_with_a_prediction() -> None:
    # 40 patients of 1,000 years who were never tested would be a quarter of their own
    given = results()
    extra = given.cohort.head(40).assign(row=np.arange(N, N + 40), patient="x", group="x")
    cohort = pd.concat([given.cohort, extra], ignore_index=True)
    cohort["subgroup:age"] = np.where(cohort["row"] < N, 20 + cohort["row"] % 40, 1000 + cohort["row"] % 40)
    text = checklists.tripod(frames(replace(given, cohort=cohort)))
    assert "50 to 59" in part(text, "20b")
    assert "1000" not in part(text, "20b")
    assert "Counted among the 400 rows with a prediction." in part(text, "20b")


def test_p_values_that_are_not_adjusted_say_so_and_of_how_many(plain: Frames) -> None:
    # the reference and the leader, AUROC and observed over expected: 4; of stroke, 15 events in the north are too few to judge
    item = part(checklists.tripod(plain), "23b")
    assert "not adjusted for the 4 in this table: no evidence by themselves." in item
    assert item.count("p, unadjusted") == 2


def test_design_methods_and_versions(plain: Frames) -> None:
    stored = {"settings": {"depth": 4}, "versions": {"numpy": "2.4.6"}, "code": "abc"}
    given = replace(
        plain.results, made={"ref": stored, "other": {**stored, "settings": {}, "versions": {"numpy": "2.4.5"}}}, digest="d1g3st",
        environment={"python": "3.11.7"}, receipt={"hash": "5p1it", "groups_on_two_sides": 0},
    )  # fmt: skip
    text = checklists.tripod(replace(plain, results=given))
    assert "Cross-validation: 4 folds, 2 repeats, seed 7." in part(text, "12a")
    building = part(text, "12c")
    assert tables(building)[0]["other"] == ["trees", "8 of 8", "1,234", "50", "2", "16"]
    assert "- ref: depth 4\n- other: none" in building
    assert "Made with python 3.11.7, numpy 2.4.5 and 2.4.6." in part(text, "18f")
    assert "d1g3st" in part(text, "18e")
    assert "5p1it" in part(text, "18e")
    assert "ref abc, other abc" in part(text, "22")
    without = checklists.tripod(plain)
    assert "The settings of the methods are not stored." in part(without, "12c")
    assert "Versions are not stored." in part(without, "18f")


def test_performance_is_that_of_the_frames(plain: Frames) -> None:
    turned = plain.benefit_differences.iloc[::-1]  # the average is told by its threshold, not by its place
    item = part(checklists.tripod(replace(plain, benefit_differences=turned)), "23a")
    ranking = {"mean": 0, "death": 1, "stroke": 3}  # calibration follows each outcome
    scores = plain.scoring.scores.set_index(["method", "task", "metric"])
    compared = plain.scoring.comparisons.set_index(["method", "task", "metric"])
    for task, place in ranking.items():
        row = tables(item)[place]["other"]
        for k, metric in enumerate(("auroc", "ap")):
            assert row[k] == shown(scores.loc[("other", task, metric)], "value")
            d = compared.loc[("other", task, metric)]
            assert row[2 + 2 * k : 4 + 2 * k] == [shown(d, "difference"), fixed(d["p_adjusted"])]
    for task in ("death", "stroke"):
        row = tables(item)[ranking[task] + 1]["other"]
        own = plain.calibration.query("method == 'other' and task == @task").set_index("version")
        names = [("raw", c) for c in ("intercept", "slope", "ici", "ici_floor", "brier")]
        names += [("recalibrated", c) for c in ("slope", "ici", "ici_floor", "brier")]
        assert row[:9] == [fixed(own.loc[name]) for name in names]
        gains = plain.benefit_differences.query("method == 'other' and task == @task and version == 'raw' and threshold.isna()")
        numbers = 1000 * gains.set_index("against")[["difference", "low", "high"]]  # per 1,000 patients
        said = [[f"{x:.1f}".replace("-", MINUS) for x in numbers.loc[policy]] for policy in ("treat all", "treat none")]
        assert row[9:] == [f"{d} ({low} to {high})" for d, low, high in said]


def test_measures_name_their_resamples_family_and_thresholds(plain: Frames) -> None:
    given = replace(plain.results, tasks=(Task("death", thresholds=(0.05, 0.5)), Task("stroke")))
    text = checklists.tripod(frames(given))
    item = part(text, "12e")
    assert "95 % intervals (percentiles): 30 bootstrap resamples of patients within folds" in item
    # one other method, two outcomes and their mean, AUROC and average precision
    assert "over one family of 6 comparisons (AUROC and AP)" in item
    assert "the corrected t of Nadeau and Bengio over 4 folds x 2 repeats" in item
    # stroke states none: prevalence .11, from a quarter of it to four times it
    assert "at thresholds death 5.0 % to 50.0 % (stated); stroke 2.8 % to 44.0 % (from the prevalence, not clinical)" in item
    risks = plain.calibration.query("task == 'stroke'").groupby("version")["mean_risk"].agg(["min", "max"])
    spans = [f"{100 * low:.1f} to {100 * high:.1f}" for low, high in risks.loc[["raw", "recalibrated"]].to_numpy()]
    assert tables(part(text, "13"))[0]["stroke"] == ["11.0", *spans]


def fixed(value: float) -> str:
    return DASH if np.isnan(value) else f"{value:.3f}".replace("-", MINUS)


def shown(row: pd.Series, column: str) -> str:
    if np.isnan(row["low"]):
        return fixed(row[column])
    return f"{fixed(row[column])} ({fixed(row['low'])} to {fixed(row['high'])})"


def test_subgroups_and_heterogeneity_are_those_of_the_frames(plain: Frames) -> None:
    text = checklists.tripod(plain)
    own = plain.subgroups.query("method == 'ref' and task == 'death' and level == 'north'").set_index("metric")
    line = f"| site | north | death | ref | {own['n'].iloc[0]:,} | {own['events'].iloc[0]:,} | "
    assert line + f"{shown(own.loc['auroc'], 'value')} | {shown(own.loc['oe'], 'value')} |" in part(text, "23a")
    spread = plain.heterogeneity.query("method == 'ref' and task == 'death'").set_index("metric")
    numbers = [fixed(spread.loc[metric, column]) for metric in ("auroc", "oe") for column in ("spread", "p")]
    assert f"| site | death | ref | {' | '.join(numbers)} |" in part(text, "23b")
    bare = frames(results())
    assert "Not looked at" in part(checklists.tripod(bare), "23b")
    assert "names no subgroups" in part(checklists.tripod(bare), "14")


def test_unknown_outcomes_weights_and_competing_events_are_told() -> None:
    given = results(unknown=50)
    tasks = (Task("death", "death within a year"), Task("stroke", competing="a death counts as 0"))
    given = replace(given, tasks=tasks, cohort=given.cohort.assign(**{"weight:death": 1.25, "weight:stroke": 1.0}))
    made = frames(given)
    item = part(checklists.tripod(made), "11")
    assert "Unknown outcomes, left out: death 50 (12.5 %)." in item
    assert "known (1.00 to 1.25)" in item
    assert "Competing events: stroke: a death counts as 0; death: how a death before it counts is not said." in item
    assert "| death | 120 | 230 | 50 |" in part(checklists.tripod(made), "20a")
    assert "death (death within a year)" in part(checklists.tripod(made), "10")
    assert "weighted by the inverse probability" in part(checklists.probast(made), "Evaluation 4.3")


def test_predictions_of_other_data_bring_their_items() -> None:
    given = results()
    other = given.predictions.query("view == 'test' and fold == 0").assign(view="external:else|where")
    made = frames(replace(given, predictions=pd.concat([given.predictions, other, other.assign(fold=1)], ignore_index=True)))
    text = checklists.tripod(made)
    assert numbers(text) == EXTERNAL
    assert "Left out" not in text
    assert "100 rows, each by 2 fitted models of a method" in part(text, "12g")
    # fold 0 of the external rows holds rows 0, 4, 8 ...: 30 and 11 events of 100
    assert "| else&#124;where | 100 | 30 (30.0) | 11 (11.0) |" in part(text, "20c")
    assert "| development | 400 | 120 (30.0) | 44 (11.0) |" in part(text, "20c")


def test_failed_cells_are_told() -> None:
    text = checklists.tripod(frames(failed(results(), method="other", fold=1)))
    assert "- other: 1 of 4 cells failed: out of memory." in part(text, "12c")
    assert tables(part(text, "12c"))[0]["other"][1] == "3 of 4"
    # the other method has the fold, so that what was learned from is known
    assert tables(part(text, "10"))[0]["death"][3:6] == ["30", "300", "90"]


def test_a_fold_that_nobody_has_leaves_what_was_learned_from_unknown() -> None:
    made = frames(failed(results(), fold=1))
    text = checklists.tripod(made)
    assert tables(part(text, "10"))[0]["death"][3:] == ["30", DASH, DASH, DASH, DASH]
    assert "300 of the cohort's 400 rows were tested on." in part(text, "12a")
    assert "Not all folds have predictions" in part(checklists.probast(made), "Development 4.1")


def test_no_prediction_at_all_gives_every_item_and_no_number() -> None:
    given = results()
    cells = given.cells.assign(status="failed", error="boom")
    made = frames(replace(given, cells=cells, predictions=pd.DataFrame({"method": pd.Series(dtype=str)})))
    text = checklists.tripod(made)
    assert numbers(text) == BASIC
    for number in ("12e", "21", "23a"):
        assert "No test prediction is stored" in part(text, number)


def test_without_validation_rows_nothing_is_called_recalibrated() -> None:
    given = results()
    made = frames(replace(given, predictions=given.predictions.query("view == 'test'")))
    text = checklists.tripod(made)
    assert "validation rows are not stored" in part(text, "12a")
    assert tables(part(text, "21"))[0]["death"] == ["300", "90", "100", "30"]
    assert "No recalibrated predictions." in part(text, "13")


def test_without_calibration_it_is_said(plain: Frames) -> None:
    text = checklists.tripod(replace(plain, calibration=pd.DataFrame()))
    assert "Calibration was not computed." in part(text, "12e")
    assert len(tables(part(text, "23a"))) == 4  # the mean, two outcomes, subgroups


def test_few_events_leave_dashes_and_a_doubt() -> None:
    made = frames(results(events={"death": 120, "rare": 8}))
    text = checklists.tripod(made)
    assert tables(part(text, "10"))[0]["rare"][:4] == ["400", "8", "2.0", "2"]
    assert "rare" in part(checklists.probast(made), "Development 4.1").split("Too few")[1]
    assert tables(part(text, "23a"))[3]["other"][1] == DASH  # no average precision under 20 events


def test_planted_probabilities_are_no_method() -> None:
    given = results()
    truth = {f"truth:{task}": np.where(np.arange(N) < count, 0.6, 0.1) for task, count in EVENTS.items()}
    made = frames(replace(given, cohort=given.cohort.assign(**truth)))
    assert stats.BAYES in set(made.calibration["method"])
    assert "4 of 4 pairs of method and outcome" in part(checklists.probast(made), "Development 4.4")
    assert stats.BAYES not in checklists.tripod(made)


def test_warnings_come_first() -> None:
    made = frames(results(quick=True, note="Synthetic patients"))
    for text in (checklists.tripod(made), checklists.probast(made)):
        head = text.split("\n## ")[0]
        assert "**quick look, not a result**" in head
        assert "**Synthetic patients**" in head


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_harmless(name: str, plain: Frames) -> None:
    given = results(methods=("ref", name), events={"death": 120, name: 44})
    stored = {"settings": {name: name}, "versions": {name: name}, "code": name}
    cells = given.cells.assign(error=name, alarms=[[name]] * len(given.cells))
    given = replace(
        given, dataset=name, note=name, groups={"ref": "trees", name: name}, cells=cells, made={"ref": stored, name: stored},
        tasks=tuple(Task(task.name, label=name + "!", competing=name) for task in given.tasks), digest=name, environment={name: name},
        cohort=given.cohort.assign(**{f"subgroup:{name}": np.where(np.arange(N) % 2, name, "b")}), receipt={"hash": name},
    )  # fmt: skip
    made = frames(failed(given, method=name, fold=1))
    for text, usual in (
        (checklists.tripod(made), checklists.tripod(plain)),
        (checklists.probast(made), checklists.probast(plain)),
    ):
        assert len(headings(text)) == len(headings(usual))
        assert text.count(BLANK) == usual.count(BLANK)
        assert "<script" not in text
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            assert len({line.count("|") for line in table.splitlines()}) == 1
            assert not re.search(r"^\| [-:| ]*\|$", table.splitlines()[0])
