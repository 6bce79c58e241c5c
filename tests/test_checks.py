"""What `checks.build` refuses, in which words, and the laws of rows and digests that everything behind it relies on."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import checks
from bench.core import BenchError, Cohort, Series, Tabular, Task, Text

IDS = ["ann", "bob", "cat", "dan"]


def table(**columns: Any) -> Tabular:
    base = {"age": [50.0, np.nan, 70.0, 80.0], "sex": pd.Categorical(["f", "m", None, "m"])}
    return Tabular(pd.DataFrame(base | columns))


def series(**changes: Any) -> Series:
    # ann owns 2 events, bob none, cat 1, dan 2
    base = {
        "offsets": [0, 2, 2, 3, 5], "time": [60.0, 0.0, 5.0, 9.0, 1.0], "channel": [0, 1, 0, 1, 1],
        "value": [80.0, 36.5, 90.0, 37.0, 38.0], "channels": ("rate", "temp"), "units": ("1/min", "C"),
    }  # fmt: skip
    return Series(**base | changes)


def build(**changes: Any) -> Cohort:
    base: dict[str, Any] = {
        "name": "four", "modalities": {"table": table(), "vitals": series(), "note": Text(["a", "", "b", "c"])},
        "tasks": (Task("any"), Task("aki", implies=("any",))),
        "labels": [[1, 1], [0, 0], [1, np.nan], [np.nan, 1]], "patients": IDS,
    }  # fmt: skip
    return checks.build(**base | changes)


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


# Rows


def content(cohort: Cohort) -> list[str]:
    """Everything but the digest, as plain lists."""
    out: list[str] = []

    def add(value: Any) -> None:
        out.append(str(value.tolist() if isinstance(value, np.ndarray) else value))

    for array in (cohort.labels, cohort.loss_weights, cohort.patients, cohort.groups):
        add(array)
    for key, modality in cohort.inputs.modalities.items():
        add(key)
        add(modality.present)
        modality.feed(add)
    return out


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=6), st.data())
def test_rows_of_rows(first: list[int], data: st.DataObject) -> None:
    second = data.draw(st.lists(st.integers(0, max(len(first) - 1, 0)), max_size=6 if first else 0))
    a, b = np.array(first, int), np.array(second, int)
    cohort = build(weights=np.arange(1.0, 9.0).reshape(4, 2), groups=["g", "h", "g", "i"])
    assert content(cohort.rows(a).rows(b)) == content(cohort.rows(a[b]))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.data())
def test_rows_of_a_series_against_a_loop(lengths: list[int], data: st.DataObject) -> None:
    n, events = len(lengths), sum(lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    whole = Series(offsets, np.arange(events) + 100, np.arange(events) % 3, np.arange(events), ("a", "b", "c"))
    which = data.draw(st.lists(st.integers(0, n - 1), max_size=8))
    part = whole.rows(np.array(which, np.int64))
    assert len(part) == len(which)
    for new, old in enumerate(which):
        mine, theirs = slice(part.offsets[new], part.offsets[new + 1]), slice(offsets[old], offsets[old + 1])
        assert part.time[mine].tolist() == whole.time[theirs].tolist()
        assert part.channel[mine].tolist() == whole.channel[theirs].tolist()
        assert part.value[mine].tolist() == whole.value[theirs].tolist()
    assert part.offsets[-1] == len(part.time) == sum(lengths[i] for i in which)


def test_all_optional_parts_follow_the_rows() -> None:
    time = np.array(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"], "datetime64[D]")
    cohort = build(site=np.array(["s", "t", "u", "v"]), time=time, subgroups=pd.DataFrame({"old": [0, 0, 1, 1]}))
    part = cohort.rows(np.array([2, 0]))
    assert part.site is not None
    assert part.time is not None
    assert part.subgroups is not None
    assert part.site.tolist() == ["u", "s"]
    assert part.time.tolist() == time[[2, 0]].tolist()
    assert part.subgroups["old"].tolist() == [1, 0]
    assert part.subgroups.index.tolist() == [0, 1]


def test_a_mask_is_the_rows_where_it_holds() -> None:
    cohort = build()
    mask = np.array([True, False, False, True])
    masked, indexed = cohort.rows(mask), cohort.rows(np.array([0, 3]))
    assert content(masked) == content(indexed)
    assert masked.digest == indexed.digest
    assert len(cohort.inputs.rows(mask)) == 2


def test_nobody_can_write_into_a_cohort() -> None:
    cohort = build(weights=np.ones((4, 2)))
    vitals = cohort.inputs.of(Series)["vitals"]
    for array in (cohort.labels, cohort.weights, cohort.patients, cohort.groups, vitals.value, vitals.offsets, vitals.present):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]


def test_the_callers_arrays_stay_as_they_were() -> None:
    labels, weights = np.array([[1, 1], [0, 0], [1, 0], [1, 1]], np.float32), np.ones((4, 2), np.float32)
    cohort = build(labels=labels, weights=weights)
    labels[0] = weights[0] = 7
    assert cohort.labels[0].tolist() == [1, 1]
    assert cohort.weights is not None
    assert cohort.weights[0].tolist() == [1, 1]


# The digest


def modalities(**changes: Any) -> dict[str, Any]:
    return {"modalities": {"table": table(), "vitals": series(), "note": Text(["a", "", "b", "c"])} | changes}


def moved(values: list[Any], at: int, value: Any) -> list[Any]:
    return [value if i == at else v for i, v in enumerate(values)]


FRAME = table().frame
VITALS: dict[str, list[Any]] = {
    "time": [60.0, 0.0, 5.0, 9.0, 1.0], "channel": [0, 1, 0, 1, 1], "value": [80.0, 36.5, 90.0, 37.0, 38.0],
}  # fmt: skip
CHANGES: dict[str, dict[str, Any]] = {
    "name": {"name": "five"},
    "task name": {"tasks": (Task("all"), Task("aki", implies=("all",)))},
    "implies": {"tasks": (Task("any"), Task("aki"))},
    "label": {"labels": [[1, 1], [0, 0], [1, 0], [np.nan, 1]]},
    "patient": {"patients": moved(IDS, 3, "eve")},
    "order of patients": {"patients": IDS[::-1]},
    "groups": {"groups": ["g", "g", "h", "i"]},
    "weights": {"weights": np.ones((4, 2))},
    "site": {"site": np.array(["s", "s", "t", "t"])},
    "time": {"time": np.array(["2020-01-01"] * 4, "datetime64[D]")},
    "subgroups": {"subgroups": pd.DataFrame({"old": [0, 0, 1, 1]})},
    "name of a modality": {"modalities": {"tab": table(), "vitals": series(), "note": Text(["a", "", "b", "c"])}},
    "number": modalities(table=table(age=[50.0, np.nan, 70.0, 80.5])),
    "missing number": modalities(table=table(age=[50.0, 60.0, 70.0, 80.0])),
    "code": modalities(table=table(sex=pd.Categorical(["f", "m", "m", "m"]))),
    "name of a code": modalities(table=table(sex=pd.Categorical(["w", "m", None, "m"], categories=["w", "m"]))),
    "order of codes": modalities(table=table(sex=pd.Categorical(["f", "m", None, "m"], categories=["m", "f"]))),
    "name of a column": modalities(table=Tabular(FRAME.rename(columns={"age": "years"}))),
    "order of columns": modalities(table=Tabular(FRAME[["sex", "age"]])),
    "present table": modalities(table=Tabular(FRAME, np.array([True, True, True, False]))),
    "present series": modalities(vitals=series(present=np.array([True, False, True, True]))),
    "present text": modalities(note=Text(["a", "", "b", "c"], np.array([True, False, True, True]))),
    "text": modalities(note=Text(["a", "", "b", "d"])),
    "cut of texts": modalities(note=Text(["a", "", "bc", ""])),
    **{f"event's {key}": modalities(vitals=series(**{key: moved(v, 2, 1)})) for key, v in VITALS.items()},
    "owner of an event": modalities(vitals=series(offsets=[0, 1, 2, 3, 5])),
    "name of a channel": modalities(vitals=series(channels=("pulse", "temp"))),
    "unit": modalities(vitals=series(units=("1/min", "F"))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_digest_changes_with(change: str) -> None:
    assert build(**CHANGES[change]).digest != build().digest


def test_no_two_changes_share_a_digest() -> None:
    digests = [build(**change).digest for change in CHANGES.values()]
    assert len(set(digests)) == len(CHANGES)


LABELS = np.array([[1, 1], [0, 0], [1, np.nan], [np.nan, 1]])
WIDE = np.zeros((8, 6), np.float32)
WIDE[::2, ::3] = LABELS
OTHER_NAN = np.where(np.isnan(LABELS), np.array(0xFFC00001, np.uint32).view(np.float32), LABELS).astype(np.float32)
LAYOUTS: dict[str, dict[str, Any]] = {
    "Fortran order": {"labels": np.asfortranarray(LABELS)},
    "strided view": {"labels": WIDE[::2, ::3]},
    "float16": {"labels": LABELS.astype(np.float16)},
    "another bit pattern of NaN": {"labels": OTHER_NAN},
    "ids as an array": {"patients": np.array(IDS)},
    "ids as objects": {"patients": np.array(IDS, object)},
    "groups spelled out": {"groups": IDS},
    "index of the frame": modalities(table=Tabular(FRAME.set_axis([9, 7, 5, 3]))),
    "blocks of the frame": modalities(table=Tabular(pd.concat([FRAME[["age"]], FRAME[["sex"]]], axis=1))),
    "float32 column": modalities(table=table(age=np.array([50.0, np.nan, 70.0, 80.0], np.float32))),
    "nullable column": modalities(table=table(age=pd.array([50, None, 70, 80], dtype="Int64"))),
    "float64 events": modalities(vitals=series(**{k: np.array(v, np.float64) for k, v in VITALS.items()})),
    "present spelled out": modalities(note=Text(["a", "", "b", "c"], np.ones(4, bool))),
    "wording of a task": {"tasks": (Task("any", "Any complication"), Task("aki", implies=("any",), competing="0"))},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_digest_does_not_change_with(layout: str) -> None:
    assert build(**LAYOUTS[layout]).digest == build().digest


def test_a_part_has_a_digest_of_its_own() -> None:
    cohort = build()
    parts = [cohort.rows(np.array(which)) for which in ([0, 1], [1, 0], [0], [0, 1, 2, 3])]
    assert len({cohort.digest, *(part.digest for part in parts)}) == 5
    assert cohort.rows(np.array([0, 1], np.int32)).digest == parts[0].digest


# Nouns


def test_what_a_loss_sees() -> None:
    weights = np.array([[1, 2], [3, 4], [5, np.nan], [np.nan, 8]])
    cohort = build(weights=weights)
    assert cohort.mask.tolist() == [[True, True], [True, True], [True, False], [False, True]]
    assert cohort.loss_weights.tolist() == [[1, 2], [3, 4], [5, 0], [0, 8]]
    assert build().loss_weights.tolist() == [[1, 1], [1, 1], [1, 0], [0, 1]]


def test_inputs_by_kind() -> None:
    assert [list(build().inputs.of(kind)) for kind in (Tabular, Series, Text)] == [["table"], ["vitals"], ["note"]]
