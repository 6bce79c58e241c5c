"""What is prepared of a fold's rows is made once for all methods, is the same as made anew, and is nobody's to change."""

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from filled import DATA as WARDS

from bench import cells, jobs, prep, registry
from bench.core import Cohort, Run, Split, Tabular, Text
from bench.prep import shared
from bench.protocol import Protocol


@pytest.fixture
def table() -> Tabular:
    return Tabular(pd.DataFrame({"age": [50.0, 60.0, np.nan], "sex": pd.Categorical(["f", "m", "f"])}))


def test_a_part_is_applied_once_while_the_modality_lives(table: Tabular) -> None:
    seen: list[int] = []

    def part(modality: Tabular) -> Any:
        seen.append(len(modality))
        return np.zeros(len(modality))

    assert shared.applied(part, table) is shared.applied(part, table)
    assert seen == [3]
    shared.applied(part, Tabular(table.frame))  # other rows, though equal ones
    assert seen == [3, 3]
    gc.collect()
    assert sum(other is part for known in shared._made.values() for other, _ in known) == 1  # the second table is gone


def test_what_is_shared_cannot_be_written_to(table: Tabular) -> None:
    made = shared.applied(lambda modality: {"x": np.zeros(len(modality))}, table)
    with pytest.raises(ValueError, match="read-only"):
        made["x"][0] = 1


def test_above_the_bound_nothing_is_kept(table: Tabular, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "BYTES", 23)  # three float64 are 24 bytes
    seen: list[int] = []

    def part(modality: Tabular) -> Any:
        seen.append(len(modality))
        return np.zeros(len(modality))

    shared.applied(part, table)
    shared.applied(part, table)
    assert seen == [3, 3]


def test_a_method_that_changes_its_table_in_place_changes_its_own(table: Tabular) -> None:
    frame = table.frame
    frame["age"] = frame["age"].fillna(0.0)
    frame.loc[0, "age"] = -1.0
    frame.pop("sex")
    assert table.frame.columns.tolist() == ["age", "sex"]
    np.testing.assert_array_equal(table.frame["age"], [50.0, 60.0, np.nan])


def test_nor_do_the_frames_that_stand_beside_it_reach_the_next_method() -> None:
    cohort = registry.load(WARDS)
    cohort = replace(cohort, variants=pd.DataFrame({"variant:death~late": cohort.labels[:, 0]}))
    split = Split(0, 0, np.arange(200), np.arange(200, 250), np.arange(250, 400))
    shown = cells.Shown(cohort, cohort, split, 0, (), lambda view: cohort)
    for part in (shown.train, shown.valid):
        assert part.subgroups is not None
        assert part.variants is not None
    before = [
        frame.copy() for part in (shown.train, shown.valid) for frame in (part.subgroups, part.variants) if frame is not None
    ]
    first, next_one = cells.fold(shown, Run()), cells.fold(shown, Run())
    assert first.train.inputs is next_one.train.inputs  # what is prepared of them is found again
    for part in (first.train, first.valid):
        part.subgroups["ward"] += 1  # type: ignore[index, operator]
        part.subgroups.loc[0, "part"] = "scribbled"  # type: ignore[union-attr]
        part.variants.iloc[:, 0] = 1.0  # type: ignore[union-attr]
        part.variants["more"] = 2  # type: ignore[index]
    after = [frame for part in (next_one.train, next_one.valid) for frame in (part.subgroups, part.variants) if frame is not None]
    for a, b in zip(before, after, strict=True):
        pd.testing.assert_frame_equal(a, b)


@pytest.mark.parametrize("kind", ["flatten", "linear", "tokens"])
def test_shared_preparation_is_that_of_a_method_alone(kind: str, small_cohort: Cohort) -> None:
    train = small_cohort
    again = train.rows(np.arange(len(train)))  # other objects with the same rows: nothing of them is kept
    fit = getattr(prep, kind)
    prep.tokens(train)(train.inputs)  # some method before
    first, alone = fit(train)(train.inputs), fit(train)(again.inputs)
    if isinstance(first, np.ndarray):
        np.testing.assert_array_equal(first, alone)
        return
    for key, arrays in first.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, alone[key][name])


def test_methods_of_a_fold_share_their_rows_and_folds_do_not() -> None:
    dataset, protocol = registry.parse("datasets", "surgical:n=300")[0], Protocol(folds=2)
    _, first = jobs._shown(dataset, protocol, 0, 0, ())
    _, same = jobs._shown(dataset, protocol, 0, 0, ())
    _, other = jobs._shown(dataset, protocol, 0, 1, ())
    assert first.train is same.train
    assert first.train.digest != other.train.digest


def test_texts_are_read_once_a_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    plain = prep.TextVectors.__call__

    def counting(self: prep.TextVectors, text: Text) -> Any:
        read.append(len(text))
        return plain(self, text)

    monkeypatch.setattr(prep.TextVectors, "__call__", counting)
    dataset, protocol = registry.parse("datasets", "surgical:n=300")[0], Protocol(folds=2)
    _, shown = jobs._shown(dataset, protocol, 0, 0, ())
    for fit in (prep.flatten, prep.linear, prep.tokens):
        for part in (shown.train, shown.valid, shown.test):
            fit(shown.train)(part.inputs)
    assert sorted(read) == sorted(len(part) for part in (shown.train, shown.valid, shown.test))
