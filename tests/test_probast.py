"""PROBAST+AI: which questions are answered, and that answers follow from what is stored."""

import re
from dataclasses import replace

import pandas as pd
import pytest
from sections import headings, part
from two_outcomes import failed, frames, results

from bench.report import checklists
from bench.report.checklists import judgements
from bench.report.evidence import Frames

QUESTIONS = [*(f"Development 4.{i}" for i in (1, 3, 4, 5)), *(f"Evaluation 4.{i}" for i in range(1, 8))]


@pytest.fixture(scope="module")
def plain() -> Frames:
    return frames(results(repeats=2))


def answer(text: str, question: str) -> str:
    found = re.search(r"^\*\*(.*?)\.\*\* ", part(text, question), re.MULTILINE)
    assert found
    return found[1]


def test_the_questions_are_those_that_the_store_can_answer(plain: Frames) -> None:
    text = checklists.probast(plain)
    assert [" ".join(line.split()[:2]) for line in headings(text)[1:]] == QUESTIONS
    options = {judgements.YES, judgements.PROBABLY, judgements.PROBABLY_NOT, judgements.NO, judgements.OPEN}
    assert {answer(text, question) for question in QUESTIONS} <= options


def test_answers_follow_their_rules(plain: Frames) -> None:
    text = checklists.probast(plain)
    said = {question: answer(text, question) for question in QUESTIONS}
    assert said["Development 4.4"] == judgements.PROBABLY  # validation rows are stored, so that all are recalibrated
    assert "4 of 4 pairs of method and outcome: 4 by logistic recalibration" in part(text, "Development 4.4")
    assert said["Development 4.1"] == judgements.PROBABLY_NOT  # 300 rows where death needs 323
    assert "Too few even for the overall risk: death." in part(text, "Development 4.1")
    assert said["Evaluation 4.1"] == said["Evaluation 4.7"] == judgements.YES
    assert said["Evaluation 4.2"] == judgements.PROBABLY_NOT
    assert "Under 100 events, or rows without: stroke." in part(text, "Evaluation 4.2")
    assert said["Evaluation 4.5"] == judgements.PROBABLY
    assert "16 of 16 fits are done" in part(text, "Evaluation 4.6")
    slopes = plain.calibration.query("version == 'raw'")["slope"]
    assert f"median {slopes.median():.2f}, from {slopes.min():.2f} to {slopes.max():.2f}" in part(text, "Development 4.5")


def test_enough_events_are_probably_enough() -> None:
    text = checklists.probast(frames(results(events={"death": 120, "stroke": 100})))
    assert answer(text, "Evaluation 4.2") == judgements.PROBABLY


def test_patients_on_two_sides_are_leakage() -> None:
    given = results()
    cohort = given.cohort.assign(
        patient=given.cohort["patient"].mask(given.cohort["row"] == 1, "0")
    )  # rows 0 and 1: folds 0 and 1
    text = checklists.probast(frames(replace(given, cohort=cohort)))
    assert answer(text, "Evaluation 4.5") == judgements.NO
    assert "1 group or patient with rows on two sides" in part(text, "Evaluation 4.5")
    receipt = checklists.probast(frames(replace(given, receipt={"groups_on_two_sides": 2})))
    assert answer(receipt, "Evaluation 4.5") == judgements.NO


def test_rows_that_are_tested_and_validated_in_one_fold_are_no_held_out_rows() -> None:
    given = results()
    leaked = given.predictions.query("view == 'test' and fold == 0 and row < 40").assign(view="valid")
    text = checklists.probast(frames(replace(given, predictions=pd.concat([given.predictions, leaked], ignore_index=True))))
    assert answer(text, "Evaluation 4.1") == judgements.NO
    assert "10 also among the validation rows" in part(text, "Evaluation 4.1")  # rows 0, 4 ... 36


def test_without_any_prediction_all_is_open() -> None:
    given = results()
    nothing = pd.DataFrame({"method": pd.Series(dtype=str)})
    text = checklists.probast(frames(replace(given, cells=given.cells.assign(status="failed"), predictions=nothing)))
    assert {answer(text, question) for question in QUESTIONS} == {judgements.OPEN}


def test_without_validation_rows_recalibration_is_open() -> None:
    given = results()
    text = checklists.probast(frames(replace(given, predictions=given.predictions.query("view == 'test'"))))
    assert answer(text, "Development 4.4") == judgements.OPEN


def test_without_calibration_performance_was_not_evaluated_appropriately(plain: Frames) -> None:
    text = checklists.probast(replace(plain, calibration=pd.DataFrame(), net_benefit=pd.DataFrame()))
    assert answer(text, "Evaluation 4.7") == judgements.PROBABLY_NOT
    assert "Not evaluated: calibration" in part(text, "Evaluation 4.7")
    without = checklists.probast(replace(plain, net_benefit=pd.DataFrame()))
    assert answer(without, "Evaluation 4.7") == judgements.PROBABLY


def test_lost_folds_are_told() -> None:
    text = checklists.probast(frames(failed(results(), fold=1)))
    assert "Not all folds have predictions" in part(text, "Development 4.1")
    assert "6 of 8 fits are done" in part(text, "Evaluation 4.6")
