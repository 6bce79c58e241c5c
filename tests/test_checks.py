"""What `checks.build` refuses, and in which words."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from four_patients import IDS, build, series, table

from bench.core import BenchError, Tabular, Task, Text


def refused(**changes: Any) -> str:
    with pytest.raises(BenchError) as caught:
        build(**changes)
    return str(caught.value)


# What is refused


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"patients": [], "labels": np.zeros((0, 2))}, "a cohort needs at least one patient, but this one has 0 rows"),
        ({"modalities": {}}, "a cohort needs at least one modality, but none was given"),
        ({"tasks": ()}, "outcomes need names, each once, but got []"),
        ({"tasks": (Task("aki"), Task("aki"))}, "outcomes need names, each once, but got ['aki', 'aki']"),
        (
            {"tasks": (Task("any"), Task("mean"))},
            "no outcome may be called 'mean': the tables call the mean over outcomes so. Rename it.",
        ),
        (
            {"tasks": (Task("any"), Task("aki", thresholds=(0.4, 0.1)))},
            "thresholds of outcome 'aki' must be two risks, 0 < low < high < 1, but are (0.4, 0.1)",
        ),
        ({"labels": [[1], [0], [1], [0]]}, "labels must have shape (4, 2) for 4 patients and 2 outcomes, but have (4, 1)"),
        ({"weights": np.ones(4)}, "weights must have the labels' shape (4, 2), but have (4,)"),
        ({"groups": ["g"] * 3}, "groups must have one entry per row (4), but has 3"),
        ({"modalities": {"note": Text(["a", "b", "c"])}}, "modality 'note' must have one entry per row (4), but has 3"),
        ({"site": np.array(["A", "B"])}, "site must have one entry per row (4), but has 2"),
        ({"subgroups": pd.DataFrame({"sex": ["m"]})}, "subgroups must have one entry per row (4), but has 1"),
        (
            {"modalities": {"table": Tabular(pd.DataFrame(np.ones((4, 2)), columns=["hb", "hb"]))}},
            "columns of 'table' need names, each once, but 'hb' stands more than once",
        ),
        (
            {"modalities": {"note": Text(["a", "b", "c", "d"], np.ones(5, bool))}},
            "`present` of modality 'note' must have one entry per row (4), but has 5",
        ),
        ({"tasks": (Task("any"), Task(""))}, "outcomes need names, each once, but got ['any', '']"),
        ({"patients": ["ann", None, "cat", np.nan]}, "every row needs a patient id, but 2 have none (first: row 1)"),
        (
            {"labels": [["no", 1]] * 4}, "labels must be numbers, NaN where unknown, but: could not convert string to float: 'no'",
        ),
        ({"labels": [[1j, 1]] * 4}, "labels must be numbers, NaN where unknown, but: some are complex"),
        (
            {"modalities": {"table": Tabular(pd.DataFrame(np.ones((4, 2)), columns=[1, "1"]))}},
            "columns of 'table' need names, each once, but '1' stands more than once",
        ),
        (
            {"groups": ["g", "g", "g", "h"], "patients": [*IDS[:3], "ann"]}, "a patient belongs to one group, but patient ann stands in 2: g, h",
        ),
    ],
)  # fmt: skip
def test_shapes_names_and_groups(changes: dict[str, Any], says: str) -> None:
    assert refused(**changes) == says


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([[1, 1], [0, 2], [1, 0], [2, 2]], "outcome 'any' must hold 0, 1 or nothing, but 1 row holds 2 (first: patient dan)"),
        (
            [[1, 1], [0, 0.5], [1, 0], [1, 0.5]],
            "outcome 'aki' must hold 0, 1 or nothing, but 2 rows hold 0.5 (first: patient bob)",
        ),
        (
            [[1, 0], [0, 0], [1, np.nan], [1, 0]],
            "outcome 'aki' needs both 0 and 1 to be learned, but its 3 known rows hold only 0. Leave it out.",
        ),
        (
            [[1, np.nan], [0, np.nan], [1, np.nan], [1, np.nan]],
            "outcome 'aki' needs both 0 and 1 to be learned, but its 0 known rows hold nothing. Leave it out.",
        ),
        ([[1, 0], [0, 1], [0, 1], [1, 1]], "'any' must be 1 wherever 'aki' is, but 2 rows hold 0 (first: patient bob)"),
    ],
)  # fmt: skip
def test_labels(labels: Any, says: str) -> None:
    assert refused(labels=labels) == says


def test_implied_outcomes_must_exist() -> None:
    tasks = (Task("any"), Task("aki", implies=("renal",)))
    assert refused(tasks=tasks) == "outcome 'aki' implies 'renal', which is no outcome of this cohort (any, aki)"


def test_an_unknown_implied_outcome_is_no_contradiction() -> None:
    # dan has aki = 1 and any = NaN
    assert np.isnan(build().labels[3, 0])


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_weights(wrong: float) -> None:
    weights = np.ones((4, 2))
    weights[1, 1] = weights[2, 1] = wrong  # cat's label is unknown, so its weight is free
    assert refused(weights=weights) == (
        f"weights of outcome 'aki' must be finite and above 0 where it is known, but 1 row holds {wrong} (first: patient bob)"
    )


@pytest.mark.parametrize(
    ("modality", "says"),
    [
        (
            table(age=[1.0, np.inf, -np.inf, 2.0]),
            "column 'age' of 'x' must be finite or NaN, but 2 rows hold inf (first: patient bob)",
        ),
        (
            table(age=pd.Series(["1", "2", "3", "4"], dtype=object)),
            "column 'age' of 'x' must be numeric or a pandas Categorical, but is object. Codes: astype('category')",
        ),
        (Text(["a", None, "b", "c"]), "modality 'x' must hold strings ('' for none), but 1 row holds None (first: patient bob)"),  # type: ignore[list-item]
        (Text(["a", "b", 3, 4]), "modality 'x' must hold strings ('' for none), but 2 rows hold 3 (first: patient cat)"),  # type: ignore[list-item]
        (series(offsets=[0, 2, 1, 3, 5]), "offsets of 'x' must rise from 0 to the 5 events, but run from 0 to 5"),
        (series(offsets=[0, 2, 2, 3, 4]), "offsets of 'x' must rise from 0 to the 5 events, but run from 0 to 4"),
        (series(value=[1.0] * 4), "series 'x' must have one time, channel and value per event and one unit per channel"),
        (series(units=("C",)), "series 'x' must have one time, channel and value per event and one unit per channel"),
        (
            series(value=[1.0, 2.0, np.nan, 3.0, np.nan]),
            "every value of series 'x' must be finite, but 2 rows hold nan (first: patient cat)",
        ),
        (
            series(time=[1.0, 2.0, 3.0, np.inf, 4.0]),
            "every time of series 'x' must be finite, but 1 row holds inf (first: patient dan)",
        ),
        (series(channel=[0, 2, 0, 1, 1]), "channels of series 'x' must lie in 0..1, but 1 row holds 2 (first: patient ann)"),
        (series(channel=[0, 1, 0, 1, -1]), "channels of series 'x' must lie in 0..1, but 1 row holds -1 (first: patient dan)"),
    ],
)  # fmt: skip
def test_modalities(modality: Any, says: str) -> None:
    assert refused(modalities={"x": modality}) == says


def test_a_number_too_large_for_the_methods_is_refused() -> None:
    # 3.4e38 is the largest number of float32, in which methods compute
    said = refused(modalities={"x": table(age=[1e300, 1.0, 2.0, 3.4e38])})
    assert said == "column 'age' of 'x' must be finite or NaN, but 1 row holds 1e+300 (first: patient ann)"


def test_a_series_without_offsets_is_refused() -> None:
    with pytest.raises(BenchError, match="offsets of a series need one entry per row and one more, but there are none"):
        series(offsets=[])


def test_empty_columns_are_dropped_with_a_notice() -> None:
    empty = {"lactate": [np.nan] * 4, "ward": pd.Categorical([None] * 4, categories=["a"])}
    cohort = build(modalities={"table": table(**empty)})
    assert list(cohort.inputs.of(Tabular)["table"].frame) == ["age", "sex"]
    assert cohort.notices == ("modality 'table': dropped 2 columns without any value: lactate, ward",)
    assert cohort.digest == build(modalities={"table": table()}).digest
    assert build().notices == ()


def test_a_table_of_empty_columns_is_refused() -> None:
    only = Tabular(pd.DataFrame({"lactate": [np.nan] * 4}))
    assert refused(modalities={"x": only}) == "modality 'x' needs a column with values, but has none. Leave the modality out."
