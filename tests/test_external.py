"""External validation: another cohort is matched by name, predicted by every fitted model, and reported from the store alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import inside
from filled import DATA, GUESS, fill, plan

from bench import external, metrics, registry, store, stored
from bench.core import BenchError, Cohort, Inputs, Series, Tabular, Text
from bench.protocol import Protocol

QUICK = Protocol(2, quick=True, rows=1500)
ELSEWHERE = f"{DATA}:n=300:seed=5"
NAME = "wards:n=300:seed=5"
SILENT = "it does not say how deaths count"


def cohort(**dials: Any) -> Cohort:
    return registry.load(":".join([DATA, *(f"{k}={v}" for k, v in dials.items())]))


# ---- matching


def test_what_matches_by_name_is_as_it_was() -> None:
    other, like = cohort(seed=5), cohort()
    made, notices = external.aligned(other, like)
    assert notices == [
        f"external cohort 'wards': {external.UNSEEN}",
        "external cohort 'wards': 400 patient ids stand in both cohorts; if they are the same patients, this is no external validation",
    ]
    first, then = other.inputs.modalities, made.inputs.modalities
    pd.testing.assert_frame_equal(first["table"].frame, then["table"].frame)
    assert then["vitals"] is first["vitals"]
    assert np.array_equal(made.labels, other.labels)


def test_what_does_not_match_is_missing_and_said() -> None:
    made, notices = external.aligned(cohort(seed=5, other="true"), cohort())
    said = [notice.removeprefix("external cohort 'other': ") for notice in notices]
    assert said == [
        external.UNSEEN,
        "columns of 'table' missing there: lab (is it 'Lab'?)",
        "columns of 'table' left out, since they are not learned from: Lab, ward",
        "categories of column 'sex' of 'table' that are not learned from, taken as missing: x",
        "channels of 'vitals' missing there: map (is it 'MAP'?)",
        "channels of 'vitals' left out, since they are not learned from: MAP",
        "modality 'note' is not there: missing in all rows",
        "modalities left out, since they are not learned from: letter",
        "outcomes unknown there: stroke (is it 'strokes'?)",
    ]
    table, note = made.inputs.modalities["table"], made.inputs.modalities["note"]
    assert isinstance(table, Tabular)
    assert list(table.frame.columns) == ["age", "lab", "sex"]
    assert table.frame["lab"].isna().all()
    assert list(table.frame["sex"].cat.categories) == ["f", "m"]
    assert not note.present.any()
    assert made.task_names == ("death", "stroke")
    assert np.isnan(made.labels[:, 1]).all()
    assert not np.isnan(made.labels[:, 0]).any()


def _with(made: Cohort, **modalities: Any) -> Cohort:
    return replace(made, inputs=Inputs({**made.inputs.modalities, **modalities}), digest="another")


def test_numbers_for_codes_and_codes_for_numbers_are_read_where_they_can_be() -> None:
    n = 400
    like = _with(
        cohort(), table=Tabular(pd.DataFrame({"grade": pd.Categorical(["1", "2"] * (n // 2)), "age": np.arange(n) * 1.0}))
    )
    there = pd.DataFrame({"grade": [1.0, 2.0, 3.0, np.nan] * (n // 4), "age": pd.Categorical(["60", "old"] * (n // 2))})
    made, notices = external.aligned(_with(like, table=Tabular(there)), replace(like, digest="first"))
    table = made.inputs.modalities["table"].frame
    assert table["grade"].astype(object).tolist()[:3] == ["1", "2", np.nan]
    assert table["age"].iloc[0] == 60
    assert np.isnan(table["age"].iloc[1])
    assert any("that are not learned from, taken as missing: 3" in notice for notice in notices)
    assert any(
        "column 'age' of 'table' holds codes there, not numbers: 200 of them taken as missing" in notice for notice in notices
    )


@pytest.mark.parametrize("there", [[1234567.0, 2.0], [1234567, 2], ["1234567", "2"]])
@pytest.mark.parametrize("learned", [["1234567", "2"], [1234567.0, 2.0]])
def test_long_codes_keep_all_their_digits(learned: list[Any], there: list[Any]) -> None:
    like = _with(cohort(), table=Tabular(pd.DataFrame({"code": pd.Categorical(learned * 200)})))
    found = _with(cohort(seed=5), table=Tabular(pd.DataFrame({"code": there * 200})))
    made, notices = external.aligned(found, like)
    assert not any("not learned from, taken as missing" in notice for notice in notices)
    assert made.inputs.modalities["table"].frame["code"].tolist() == learned * 200


def test_an_outcome_that_counts_deaths_otherwise_is_said() -> None:
    like, other = cohort(), cohort(seed=5)
    told = replace(other, tasks=(replace(other.tasks[0], competing="a death counts as 1"), *other.tasks[1:]))
    made, notices = external.aligned(told, like)
    first = like.tasks[0].competing
    said = f"outcome 'death' is another there: a death counts as 1; where it is learned from: {first or SILENT}"
    assert f"external cohort 'wards': {said}" in notices
    assert [task.competing for task in made.tasks] == ["a death counts as 1", like.tasks[1].competing]
    assert made.digest == told.digest


def test_another_rule_is_said_and_a_leak_counts_where_methods_are_shown_it() -> None:
    like = replace(cohort(), definitions={"death": "died = 1", "stroke": "stroke"})
    let = (("age", "age tells."), ("Lab", "Lab tells."))
    notices = tuple(text for _, text in let)
    there = replace(cohort(seed=5, other="true"), definitions={"death": "died >= 1"}, leaks=let, notices=notices)
    made, said = external.aligned(there, like)
    assert "external cohort 'other': outcome 'death' is defined there as died >= 1, where it is learned from as died = 1" in said
    assert made.leaks == (("age", "external cohort 'other': age tells."),)  # Lab is left out
    assert said[-2:] == ["external cohort 'other': age tells.", "external cohort 'other': Lab tells."]


def test_another_kind_or_unit_is_said() -> None:
    like = cohort()
    vitals = like.inputs.modalities["vitals"]
    assert isinstance(vitals, Series)
    metric = Series(vitals.offsets, vitals.time, vitals.channel, vitals.value, ("map",), ("kPa",))
    _, notices = external.aligned(_with(like, vitals=metric), like)
    assert any("channel 'map' of 'vitals' is in kPa there, in mmHg where it is learned from; not converted" in n for n in notices)
    made, notices = external.aligned(_with(like, table=Text(["x"] * 400)), like)
    assert any("modality 'table' is a text there, not a tabular: missing in all rows" in notice for notice in notices)
    assert not made.inputs.modalities["table"].present.any()
    assert list(made.inputs.modalities["table"].frame.columns) == ["age", "lab", "sex"]


def test_no_outcome_in_common_and_the_same_cohort_are_refused() -> None:
    like = cohort()
    renamed = replace(like, tasks=tuple(replace(task, name=f"{task.name}_2") for task in like.tasks), digest="another")
    with pytest.raises(BenchError, match=r"must have an outcome of 'wards' \(death, stroke\), but has: death_2, stroke_2"):
        external.aligned(renamed, like)
    with pytest.raises(BenchError, match="external validation needs another cohort, but 'wards' is the one that is learned from"):
        external.distinct(like, like)


# ---- predicting


def test_every_fitted_model_predicts_the_other_cohort(tmp_path: Path) -> None:
    found = fill(tmp_path, QUICK, "logistic", test_data=registry.parse("datasets", ELSEWHERE))
    view = found.predictions[found.predictions["view"] == f"external:{NAME}"]
    assert view.groupby("fold").size().tolist() == [300, 300]
    other = cohort(n=300, seed=5)
    for _, own in view.groupby("fold"):
        assert np.array_equal(own["y:death"], other.labels[:, 0])  # the labels are stored with the predictions
        # the outcome follows the same three features there: a fitted model does better than chance by far
        assert metrics.auroc(own["y:death"].to_numpy(), own["p:death"].to_numpy()) > 0.75
    rows = found.external[NAME]
    assert rows["patient"].tolist() == other.patients.tolist()
    assert set(rows.columns) >= {"row", "patient", "group", "site", "time"}


def test_a_cell_without_the_other_cohort_is_made_again_and_shown_as_declined_until_then(tmp_path: Path) -> None:
    here = registry.parse("datasets", ELSEWHERE)
    fill(tmp_path, QUICK, test_data=here)
    fill(tmp_path, QUICK, "logistic")
    assert not plan(tmp_path, QUICK, test_data=here).missing
    assert len(plan(tmp_path, QUICK, "logistic", test_data=here).missing) == 2
    found = store.read(tmp_path / "results", "wards", quick=True, methods=["all"])
    cells = stored.elsewhere(found, NAME).cells.set_index("method")
    assert set(cells.loc["guess", "status"]) == {"done"}
    assert set(cells.loc["logistic", "status"]) == {"declined"}
    changed = registry.parse("datasets", f"{DATA}:n=300:seed=6")
    assert len(plan(tmp_path, QUICK, test_data=changed).missing) == 2


def test_the_command_trains_here_and_tests_there(tmp_path: Path) -> None:
    call = [
        "--dataset",
        DATA,
        "--methods",
        f"{GUESS},logistic",
        "--quick",
        "--test-data",
        f"{DATA}:other=true:seed=5",
        "--workers",
        "0",
    ]
    ran = inside(tmp_path, *call)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "note: external cohort 'other': outcomes unknown there: stroke (is it 'strokes'?)" in ran.stdout
    assert "learned from wards, tested on wards:seed=5:other=true, 2 fitted models" in ran.stdout
    folder = tmp_path / "reports" / "wards_tested_on_wards_seed=5_other=true-quick"
    assert "stroke" not in (folder / "table.md").read_text()  # nobody's is known there
    assert "External validation: learned from wards, tested on" in (folder / "tripod.md").read_text()
    # one number: the mean over the fitted models of the AUROC on all rows of the other cohort
    scores = pd.read_csv(folder / "scores.csv").set_index(["method", "task", "metric"])
    view = store.read(tmp_path / "results", "wards", quick=True).predictions
    own = view[(view["view"] == "external:wards:seed=5:other=true") & (view["method"] == "logistic")]
    death = cohort(seed=5, other="true").labels[:, 0]
    by_hand = np.mean([metrics.auroc(death, of["p:death"].to_numpy()) for _, of in own.groupby("fold")])
    assert scores.loc[("logistic", "death", "auroc"), "value"] == pytest.approx(by_hand, abs=1e-9)
    assert scores.loc[("logistic", "death", "auroc"), "n"] == 400
