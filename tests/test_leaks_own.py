"""Leakage alarms that stop a run or are let through, and those that only a user's own files can raise."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from own_files import own_cohort

from bench import cohorts, splits
from bench.cohorts import build, leaks, look, reading
from bench.cohorts.alarm import Alarm
from bench.core import BenchError, Tabular, Task

# ---- stopping


def test_what_is_let_through_by_name() -> None:
    alarms = [Alarm(c, "aki", "alone", 1.0, f"column '{c}' ...") for c in ("x", "labs.crea", "labs.urea", "duplicates")]
    stop, passed = leaks.judge(alarms, ["labs", "duplicates"])
    assert ([a.column for a in stop], [a.column for a in passed]) == (["x"], ["labs.crea", "labs.urea", "duplicates"])
    assert [a.column for a in leaks.judge(alarms, ["labs.crea"])[1]] == ["labs.crea"]


def test_the_error_is_one_line_with_the_first_alarm_and_the_other_columns() -> None:
    y = (np.arange(600) % 3 == 0).astype(np.float32)
    frame = pd.DataFrame({"death_day": y, "cost": 10 * y + np.random.default_rng(0).normal(size=600)})
    alarms = leaks.search({"table": Tabular(frame)}, [Task("aki")], y[:, None], np.arange(600).astype(str))
    with pytest.raises(BenchError) as caught:
        leaks.refuse(alarms, "my.toml")
    said = str(caught.value)
    assert said.startswith("leakage alarm: column 'death_day' is nearly the outcome 'aki' itself (phi ")
    assert said.endswith("So does 'cost'. `bench data check my.toml` shows all.")
    leaks.refuse([], "my.toml")


def test_a_name_that_no_alarm_can_be_about_is_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": np.arange(60), "crea": np.linspace(1, 2, 60), "y": np.arange(60) % 2})
    labs = pd.DataFrame({"id": np.arange(60), "t": -30, "what": "urea", "v": 1.0})
    series = '[series.labs]\nfile = "labs.csv"\nrow = "id"\ntime = "t"\nname = "what"\nvalue = "v"\n'
    path = own_cohort(tmp_path, frame, 'y = "y"', series, labs=labs)
    made = build.make(reading.read(path))
    good = ["crea", "labs", "labs.urea", "duplicates", "id"]
    assert leaks.allowed(made, good) == good
    said = r"unknown column in allow_leak 'creat'\. Did you mean 'crea'\?"
    with pytest.raises(BenchError, match=said):
        cohorts.load(path, "creat")
    with pytest.raises(BenchError, match=said):
        look.at(str(path), ["creat"])


# ---- a user's own files


def test_measured_after_the_prediction(tmp_path: Path) -> None:
    n = 60
    frame = pd.DataFrame(
        {
            "id": np.arange(n),
            "at": 10.0,
            "crea": np.linspace(1, 2, n),
            "crea_at": np.where(np.arange(n) < 15, 11.0, 9.0),
            "y": np.arange(n) % 2,
        }
    )
    labs = pd.DataFrame({"id": np.repeat(np.arange(n), 2), "t": np.tile([-30, 5], n), "what": "crea", "v": 1.0})
    extra = 'prediction = "at"\n[columns]\nmeasured = { crea = "crea_at" }\n[series.labs]\nfile = "labs.csv"\nrow = "id"\ntime = "t"\nname = "what"\nvalue = "v"\n'
    path = own_cohort(tmp_path, frame, 'y = "y"', extra, labs=labs)
    alarms = leaks.alarms(build.make(reading.read(path)))
    assert [(a.column, a.kind, a.value) for a in alarms[:2]] == [("crea", "late", 0.25), ("labs", "late", 0.5)]
    assert "'crea' holds 15 of 60 measurements from after the moment of prediction" in alarms[0].text
    windowed = own_cohort(tmp_path, frame, 'y = "y"', extra + "window = [-60, 0]\n", labs=labs)
    assert "labs" not in {a.column for a in leaks.alarms(build.make(reading.read(windowed)))}


def torn(part: list[object], **more: object) -> pd.DataFrame:
    """80 rows of 40 patients, the first half of them in `part[0]`; row 40, of patient 20, too."""
    n = np.arange(80)
    frame = {"id": n // 2, "x": np.sin(n), "part": np.where(n < 41, *part), "y": (n // 3) % 2}
    return pd.DataFrame({**frame, **more})


def test_a_patient_on_both_sides_of_a_given_split(tmp_path: Path) -> None:
    frame, by = torn(["train", "test"]), '[split]\nby = "part"\n'
    path = own_cohort(tmp_path, frame, 'y = "y"', by)
    alarm = leaks.alarms(build.make(reading.read(path)))[0]
    assert (alarm.column, alarm.kind) == ("part", "split")
    assert "1 of 40 have rows on several sides (first: patient 20)" in alarm.text  # row 40 is train, row 41 test
    whole = own_cohort(tmp_path, frame.assign(part=np.where(frame["id"] < 20, "train", "test")), 'y = "y"', by)
    assert leaks.alarms(build.make(reading.read(whole))) == []


def test_a_torn_split_is_shown_with_the_cohort_and_is_never_let_through(tmp_path: Path) -> None:
    path = own_cohort(tmp_path, torn(["train", "test"]), 'y = "y"', '[split]\nby = "part"\n')
    seen = look.at(str(path), ["part"])
    assert [(a.column, a.kind) for a in seen.stop] == [("part", "split")]
    assert len(seen.cohort) == 80
    with pytest.raises(
        BenchError, match=r"^leakage alarm: column 'part' splits the patients, .* No --allow-leak lets this through\."
    ):
        cohorts.load(path, "part")


def test_a_group_on_both_sides_of_a_given_split(tmp_path: Path) -> None:
    n = np.arange(80)
    frame = torn(["a", "b"]).assign(part=np.where(n < 40, "train", "test"), match=(n + 2) // 4)  # patients 19 and 20 are matched
    path = own_cohort(tmp_path, frame, 'y = "y"', 'group = "match"\n[split]\nby = "part"\n')
    assert "1 of 21 groups have rows on several sides (first: patient 19)" in look.at(str(path)).stop[0].text


@pytest.mark.parametrize("part", [[0, 1], [0.0, 1.0], ["a", "b"], ["a ", "b"]])
def test_a_row_without_a_level_is_on_no_side(part: list[object], tmp_path: Path) -> None:
    frame = torn(part)
    frame["part"] = frame["part"].astype(object)
    frame.loc[40, "part"] = None  # else on the other side
    frame.loc[[1, 79], "part"] = None
    path = own_cohort(tmp_path, frame, 'y = "y"', '[split]\nby = "part"\n')
    seen = look.at(str(path))
    assert seen.stop == ()
    assert "3 rows without a part are in no fold" in seen.notices


def test_a_patient_at_two_sites_is_left_out_of_what_is_learned_and_it_is_said(tmp_path: Path) -> None:
    frame = torn(["north", "south"])
    path = own_cohort(tmp_path, frame, 'y = "y"', 'site = "part"\n[split]\nby = "site"\n')
    seen = look.at(str(path))
    assert seen.stop == ()
    at_once = splits.of(seen.cohort, "site")  # what --split site does
    assert set(at_once.notices) <= set(seen.notices)
    assert "1 rows of patients on both sides of site north are not learned from (first: patient 20)" in seen.notices
