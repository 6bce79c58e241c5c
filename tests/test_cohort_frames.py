"""Cohorts from a DataFrame and from arrays: the same as from files, and known to the worker processes of a run."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from own_files import own_cohort
from scipy.sparse import csr_matrix

import bench
from bench import cohorts
from bench.core import BenchError, Tabular, Text

N = 240
OUTCOMES = ["aki", "icu"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "frames"


def frame(seed: int = 0) -> pd.DataFrame:
    """A bit of everything that a frame may hold; two rows a patient."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "pid": np.arange(N) // 2 + 1000,
            "age": rng.normal(60, 10, N),
            "sex": rng.choice(["f", "m"], N),
            "ward": pd.Categorical(rng.integers(1, 4, N)),
            "urgent": rng.random(N) < 0.3,
            "stage": rng.integers(0, 5, N),
            "note": [f"{rng.choice(['left', 'right'])} knee, case {i}" for i in range(N)],
            "site": rng.choice(["north", "south"], N),
            "when": pd.date_range("2020-01-01", periods=N),
            "aki": np.where(rng.random(N) < 0.1, np.nan, rng.random(N) < 0.3),
            "icu": rng.random(N) < 0.4,
            "los": rng.integers(1, 20, N),
        }
    )


def test_what_is_taken_as_what() -> None:
    made = bench.Cohort.from_frame(
        frame(), patient="pid", outcomes=OUTCOMES, categorical="stage", ignore=["los"], site="site", time="when", subgroups=["sex"],
        name="mine",
    )  # fmt: skip
    assert (made.name, len(made), made.task_names, len(set(made.patients))) == ("mine", N, ("aki", "icu"), N // 2)
    table = made.inputs.of(Tabular)["table"].frame
    kinds = {str(name): isinstance(column.dtype, pd.CategoricalDtype) for name, column in table.items()}
    assert kinds == {"age": False, "sex": True, "ward": True, "urgent": False, "stage": True}
    assert list(made.inputs.of(Text)) == ["note"]
    given = frame()
    np.testing.assert_array_equal(made.labels, given[OUTCOMES].astype(np.float32).to_numpy())
    np.testing.assert_array_equal(table["age"].to_numpy(), given["age"].to_numpy())
    assert table["ward"].tolist() == given["ward"].astype(str).tolist()
    assert made.patients.tolist() == given["pid"].astype(str).tolist()
    assert made.site is not None
    assert made.site.tolist() == given["site"].tolist()
    assert made.time is not None
    assert made.subgroups is not None
    assert list(made.subgroups) == ["sex"]


def test_the_same_as_from_files(tmp_path: Path) -> None:
    given = frame().rename(columns={"pid": "id"}).drop(columns=["ward", "when"])
    extra = 'name = "both"\n[columns]\nignore = ["los"]\n'
    from_file = cohorts.load(own_cohort(tmp_path, given, 'aki = "aki"\nicu = "icu"', extra))
    from_frame = bench.Cohort.from_frame(given, patient="id", outcomes=OUTCOMES, ignore=["los"], name="both")
    assert from_frame.digest == from_file.digest


def test_outcomes_may_be_rules_and_whole_definitions() -> None:
    rules: dict[str, Any] = {"long_stay": "los > 7", "aki": {"rule": "aki", "label": "kidney injury", "thresholds": [0.1, 0.5]}}
    made = bench.Cohort.from_frame(frame(), patient="pid", outcomes=rules, ignore=["icu"])
    np.testing.assert_array_equal(made.labels[:, 0], (frame()["los"] > 7).to_numpy(np.float32))
    assert (made.tasks[1].label, made.tasks[1].thresholds) == ("kidney injury", (0.1, 0.5))
    assert "los" not in made.inputs.of(Tabular)["table"].frame


def test_workers_read_it_again_and_a_part_cannot_be_run() -> None:
    made = bench.Cohort.from_frame(frame(), patient="pid", outcomes=OUTCOMES, ignore=["los"])
    again = cohorts.load(os.fspath(made))
    assert again.digest == made.digest
    with pytest.raises(BenchError, match="a part of cohort 'frame' cannot be run by itself"):
        os.fspath(made.rows(np.arange(9)))


def test_kept_once_and_whole(cache: Path) -> None:
    for _ in range(2):
        made = bench.Cohort.from_frame(frame(), patient="pid", outcomes=OUTCOMES)
    assert [sorted(p.name for p in folder.iterdir()) for folder in cache.iterdir()] == [["frame.parquet", "frame.toml"]]
    assert made.file.parent.stat().st_mode & 0o077 == 0  # patients are nobody else's business
    other = bench.Cohort.from_frame(frame(1), patient="pid", outcomes=OUTCOMES)
    assert other.file != made.file
    assert len(list(cache.iterdir())) == 2


def test_kept_where_it_is_asked_for(tmp_path: Path, cache: Path) -> None:
    made = bench.Cohort.from_frame(frame(), patient="pid", outcomes=OUTCOMES, folder=tmp_path / "here")
    assert made.file.is_relative_to(tmp_path / "here")
    assert not cache.exists()


def test_arrays() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(N, 3)), (rng.random((N, 2)) < 0.3).astype(float)
    x[0, 0], y[1, 1] = np.nan, np.nan
    made = bench.Cohort.from_arrays(x, y, groups=np.arange(N) // 3)
    assert (made.name, made.task_names, len(set(made.patients))) == ("arrays", ("y0", "y1"), N // 3)
    table = made.inputs.of(Tabular)["table"].frame
    np.testing.assert_array_equal(table.to_numpy(), x)
    np.testing.assert_array_equal(made.labels, y.astype(np.float32))
    named = bench.Cohort.from_arrays(x, y[:, 0], features=["a", "b", "patient"], outcomes=["dead"])
    assert (named.task_names, list(named.inputs.of(Tabular)["table"].frame)) == (("dead",), ["a", "b", "patient"])
    assert len(set(named.patients)) == N
    sparse = bench.Cohort.from_arrays(csr_matrix(np.nan_to_num(x)), pd.DataFrame(y, columns=["s", "t"]))
    assert (sparse.task_names, list(sparse.inputs.of(Tabular)["table"].frame)) == (("s", "t"), ["x0", "x1", "x2"])


def test_alarms_stop_it_and_let_through_by_name() -> None:
    given = frame().assign(died=lambda d: d["icu"].astype(float))
    with pytest.raises(BenchError, match="leakage alarm: column 'died' is nearly the outcome 'icu' itself"):
        bench.Cohort.from_frame(given, patient="pid", outcomes=OUTCOMES)
    made = bench.Cohort.from_frame(given, patient="pid", outcomes=OUTCOMES, allow_leak=["died"])
    assert any("'died' is nearly the outcome" in notice for notice in made.notices)
    assert cohorts.load(os.fspath(made)).digest == made.digest


def test_a_cohort_file_as_an_object(tmp_path: Path) -> None:
    given = frame().rename(columns={"pid": "id"}).assign(died=lambda d: d["icu"].astype(float))
    path = own_cohort(tmp_path, given, 'icu = "icu"', '[columns]\nonly = ["age", "died"]\n')
    made = bench.Cohort.from_file(path, allow_leak=["died"])
    assert os.fspath(made) == f"{path}:allow_leak=died"


HOSTILE = ['a"b', "a'b", "a\\b", "a*", "a?", "[a]", "# a", "a = 1", "ä 中", "a\nb", "", "a,b:c", "=1+1"]


def test_names_of_any_kind_come_through() -> None:
    rng = np.random.default_rng(1)
    given = pd.DataFrame({name: rng.normal(size=N) for name in HOSTILE if name})
    given[7] = rng.integers(0, 4, N)
    given = given.assign(**{'out"come\n[1]': rng.random(N) < 0.3}, id=np.arange(N) * 7 % N)
    made = bench.Cohort.from_frame(
        given, patient="id", outcomes=['out"come\n[1]'], numeric=[n for n in HOSTILE if n], categorical=["7"]
    )  # fmt: skip
    table = made.inputs.of(Tabular)["table"].frame
    assert list(table) == [*(n for n in HOSTILE if n), "7"]
    for name in (n for n in HOSTILE if n):
        np.testing.assert_array_equal(table[name].to_numpy(), given[name].to_numpy())
    assert isinstance(table["7"].dtype, pd.CategoricalDtype)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5, None], [1, 2.5, np.nan]),
        ([True, False, None], [1, 0, np.nan]),
        (pd.array([1, 2, None], "Int64"), [1, 2, np.nan]),
        (pd.arrays.SparseArray([0.0, 0.0, 3.0]), [0, 0, 3]),
        (np.array([1, 2, 3], np.float16), [1, 2, 3]),
    ],
)
def test_numbers_of_many_dtypes(values: Any, expected: list[float]) -> None:
    given = frame().assign(
        x=pd.Series(np.tile(np.array(values, object), N // 3))
        if isinstance(values, list)
        else pd.concat([pd.Series(values)] * (N // 3), ignore_index=True)
    )
    made = bench.Cohort.from_frame(given, patient="pid", outcomes=OUTCOMES)
    np.testing.assert_array_equal(made.inputs.of(Tabular)["table"].frame["x"].to_numpy()[:3], expected)


def test_none_as_a_text_is_an_answer() -> None:
    given = frame().assign(comp=np.tile(np.array(["None", "AKI", "Sepsis", None], object), N // 4))
    made = bench.Cohort.from_frame(given, patient="pid", outcomes={"renal": "comp = 'AKI'"}, ignore=["aki", "icu", "los"])
    np.testing.assert_array_equal(made.labels[:4, 0], [0, 1, 0, np.nan])


def test_objects_of_mixed_kinds_are_texts() -> None:
    given = frame().assign(x=np.tile(np.array(["a", 1, None, 2.5], object), N // 4))
    table = bench.Cohort.from_frame(given, patient="pid", outcomes=OUTCOMES).inputs.of(Tabular)["table"].frame
    assert table["x"].tolist()[:2] == ["a", "1"]
    assert table["x"].isna().tolist()[:4] == [False, False, True, False]


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({}, {"patient": "pdi"}, "unknown column in patient 'pdi'. Did you mean 'pid'?"),
        ({}, {"outcomes": ["akii"]}, "unknown column in outcomes 'akii'. Did you mean 'aki'?"),
        ({}, {"text": ["notes"]}, "unknown column in text 'notes'. Did you mean 'note'?"),
        ({}, {"outcomes": {"a": "loss > 7"}}, "unknown column 'loss'"),
        ({}, {"outcomes": ["stage"]}, "must be true or false, or 0 or 1, but"),
        ({}, {"outcomes": []}, "a cohort needs an outcome, but `outcomes` is empty"),
        ({}, {"name": "a/b"}, "name"),
        ({"x": pd.Timedelta("1h")}, {}, "column 'x' must hold numbers, texts or dates, but holds timedelta64"),
        ({"x": 1j}, {}, "column 'x' must hold numbers, texts or dates, but holds complex128"),
    ],
)
def test_mistakes_in_one_line(change: dict[str, Any], options: dict[str, Any], says: str, cache: Path) -> None:
    with pytest.raises(BenchError) as caught:
        bench.Cohort.from_frame(frame().assign(**change), **{"patient": "pid", "outcomes": OUTCOMES, **options})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(cache.glob(".frame-*"))


def test_mistakes_in_shapes() -> None:
    with pytest.raises(BenchError, match="'a' stands more than once"):
        bench.Cohort.from_frame(pd.DataFrame([[1, 2]], columns=["a", "a"]), patient="a", outcomes=["a"])
    with pytest.raises(BenchError, match="needs rows and columns, but has 0 rows"):
        bench.Cohort.from_frame(frame().head(0), patient="pid", outcomes=OUTCOMES)
    with pytest.raises(BenchError, match="one row each, but have 4, 3 and 4"):
        bench.Cohort.from_arrays(np.ones((4, 2)), np.ones(3))
    with pytest.raises(BenchError, match="x has 2 columns, but 1 names were given"):
        bench.Cohort.from_arrays(np.ones((4, 2)), np.ones(4), features=["a"])
    with pytest.raises(BenchError, match="different names, but both have 'a'"):
        bench.Cohort.from_arrays(np.ones((4, 1)), np.ones(4), features=["a"], outcomes=["a"])
    with pytest.raises(BenchError, match=r"x must have rows and columns, but has the shape \(4, 2, 3\)"):
        bench.Cohort.from_arrays(np.ones((4, 2, 3)), np.ones(4))
    with pytest.raises(BenchError, match=r"y must have rows and columns, but has the shape \(\)"):
        bench.Cohort.from_arrays(np.ones((4, 2)), 1)
    with pytest.raises(BenchError, match=r"groups must name one patient a row, but has the shape \(4, 1\)"):
        bench.Cohort.from_arrays(np.ones((4, 2)), np.ones(4), np.ones((4, 1)))


def test_a_run_of_what_is_in_memory(tmp_path: Path) -> None:
    """From the frame to the table, the cells in a worker process of its own."""
    made = bench.Cohort.from_frame(frame(), patient="pid", outcomes=OUTCOMES, ignore=["los"], name="mine")
    places = {"results": tmp_path / "results", "reports": tmp_path / "reports"}
    outcome = bench.run(made, "constant", folds=2, workers=1, quick=True, **places)
    assert outcome.failed.empty
    assert set(outcome.scores["dataset"]) == {"mine"}
    assert set(outcome.scores["task"]) >= {"aki", "icu"}
