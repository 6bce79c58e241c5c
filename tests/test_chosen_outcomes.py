"""Runs of some outcomes only: what they are known by, and the narrowed cohort."""

from typing import Any

import numpy as np
import pytest

from bench.core import BenchError
from bench.protocol import LONGEST, Protocol, asked, joined
from bench.views import narrowed


def test_identities_of_protocols_without_outcomes_are_what_they_were() -> None:
    # the folders of runs that were stored before there were outcomes to choose
    assert Protocol().part.identity == {"folds": 5, "seed": 0, "quick": False, "rows": None}
    assert Protocol().part.folder == "cv5@dd4092d1"
    assert Protocol(folds=2, quick=True, rows=1500).part.folder == "quick-cv2@e71c45fc"
    assert Protocol(train_size=500, drop=("a",), at="both").part.folder == "cv5-n500-both-without-a@8fd27715"
    assert Protocol(split="time", cut="0.5", seed=3, repeats=4).part.folder == "time@4b0ba39b"
    assert "outcomes" not in asked(quick=True, train_size=[50])[0].part.identity


def test_chosen_outcomes_are_part_of_the_identity_in_any_order() -> None:
    one, other = (asked(outcomes=names)[0] for names in (["icu", "death"], ["death", "icu", "death"]))
    assert one == other
    assert one.part.label == "cv5-of-death+icu"
    assert one.part.identity["outcomes"] == ["death", "icu"]
    assert one.word == "death+icu"
    assert one.part.folder != Protocol().part.folder


def test_many_names_make_no_endless_file_name() -> None:
    many = [f"an_outcome_with_a_long_name_{i}" for i in range(30)]
    assert len(joined(many)) < LONGEST + 20
    assert joined(many) != joined(many[:-1])
    assert joined(["a", "b"]) == "a+b"


def test_a_narrowed_cohort_keeps_rows_and_drops_what_the_others_say(make_cohort: Any) -> None:
    cohort = make_cohort(n=60, tasks=3, weighted=True, nested=True)
    part = narrowed(cohort, ("outcome_2", "outcome_0"))
    assert part.task_names == ("outcome_0", "outcome_2")
    assert part.tasks[1].implies == ("outcome_0",)
    np.testing.assert_array_equal(part.labels, cohort.labels[:, [0, 2]])
    np.testing.assert_array_equal(part.weights, cohort.weights[:, [0, 2]])
    assert part.digest not in (cohort.digest, narrowed(cohort, ("outcome_0",)).digest)
    assert narrowed(cohort, ("outcome_1", "outcome_2")).tasks[0].implies == ()
    assert narrowed(cohort, ()) is cohort


def test_unknown_outcomes_are_refused_and_all_of_them_are_none(make_cohort: Any) -> None:
    cohort = make_cohort(n=60)
    assert asked(outcomes=cohort.task_names)[0].fitting(cohort) == Protocol()
    with pytest.raises(BenchError, match=r"unknown outcome of 'small' 'outcome_9'\. Did you mean 'outcome_"):
        asked(outcomes=["outcome_9"])[0].fitting(cohort)
