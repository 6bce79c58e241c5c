"""The laws of rows and digests that everything behind a cohort relies on."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from four_patients import IDS, build, series, table
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core import Cohort, Series, Tabular, Task, Text

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
