"""Series of cohort files by hand: whose they are, when, and what is left out."""

from pathlib import Path

import numpy as np
import pytest
from cohort_files import HEAD, made, source

from bench import core
from bench.cohorts.build import Made
from bench.core import BenchError

VITALS = (
    "case,minute,what,value\n"
    "1,-30,hr,80\n1,-30,bp,120\n1,-20,hr,84\n1,0,hr,90\n1,5,hr,99\n2,-15,hr,70\n2,-10,hr,n/a\n2,-5,hr,\n9,-5,hr,60\n2,,hr,60\n"
)
SERIES = 'table = "t.csv"\npatient = "id"\n[outcomes]\ndead = "dead"\n[series.vitals]\nfile = "v.csv"\nrow = "case"\ntime = "minute"\nname = "what"\nvalue = "value"\n'
PEOPLE = "id,dead,age\n1,0,5\n2,1,6\n3,0,8\n"


def vitals(
    folder: Path, more: str = 'names = ["hr", "bp"]\n', table: str = VITALS, people: str = PEOPLE
) -> tuple[core.Series, Made]:
    got = made(folder, people, SERIES + more, v_csv=table)
    series = got.modalities["vitals"]
    assert isinstance(series, core.Series)
    return series, got


def test_series_by_hand(tmp_path: Path) -> None:
    series, got = vitals(tmp_path)
    assert series.channels == ("hr", "bp")
    np.testing.assert_array_equal(series.offsets, [0, 5, 6, 6])
    np.testing.assert_array_equal(series.time, [30, 30, 20, 0, -5, 15])  # minutes before the prediction, the oldest first
    np.testing.assert_array_equal(series.channel, [0, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(series.value, [80, 120, 84, 90, 99, 70])
    assert series.present.tolist() == [True, True, False]
    assert got.late == {"vitals": (1, 6)}
    assert got.notices == (
        "v.csv, column 'value': 1 of 9 values is no number and counts as missing (such as 'n/a')",
        "series 'vitals': 1 of 10 rows are of ids the table lacks and are left out",
        "series 'vitals': 3 of 10 rows lack a time, a name or a number and are left out",
    )


def test_a_window_and_steps(tmp_path: Path) -> None:
    series, got = vitals(tmp_path, 'names = "hr"\nwindow = [-25, 0]\n')
    np.testing.assert_array_equal(series.time, [20, 0, 15])
    assert got.late == {"vitals": (0, 3)}
    assert "series 'vitals': 3 of 10 rows lie outside the window and are left out" in got.notices
    # steps of 30 min that end with the prediction: (-60, -30] holds 80, (-30, 0] holds 84 and 90; their middles are 45 and 15 min before
    series, _ = vitals(tmp_path, 'names = "hr"\nwindow = [-60, 0]\nstep = 30\n')
    np.testing.assert_array_equal(series.time[:2], [45, 15])
    np.testing.assert_array_equal(series.value[:2], [80, 87])


def test_units_and_rare_names(tmp_path: Path) -> None:
    table = "case,minute,what,value\n" + "".join(f"{1 + i % 2},{-i},hr,{i}\n" for i in range(20)) + "1,-1,rare,5\n"
    series, got = vitals(tmp_path, 'unit = "h"\nunits = { hr = "1/min" }\n', table)
    assert (series.channels, series.units) == (("hr",), ("1/min",))
    assert series.time.max() == 19 * 60
    assert got.notices == ("series 'vitals': 1 names with fewer than 20 measurements are left out (rare)",)


def test_times_are_seen_from_zero(tmp_path: Path) -> None:
    people = "id,stay,dead,age,start,hour\n1,1,0,5,2020-01-02 10:00,10\n1,2,1,6,2020-01-03 10:00,34\n"
    table = "case,minute,what,value\n1,2020-01-02 08:30,hr,80\n1,2020-01-02 12:00,hr,85\n2,2020-01-02 12:00,hr,85\n"
    series, got = vitals(
        tmp_path, 'names = "hr"\nzero = "start"\n', table, people
    )  # `row` is left out: a patient's measurements, each row's own zero
    np.testing.assert_array_equal(series.time, [90, -120, 25.5 * 60, 22 * 60])
    assert got.source.columns["start"].why == "moment of prediction of series 'vitals'"
    head, people = 'row = "case"\n' + SERIES, people.replace("stay", "case")
    series = made(tmp_path, people, head + 'names = "hr"\nzero = "start"\n', v_csv=table).modalities["vitals"]
    assert isinstance(series, core.Series)
    np.testing.assert_array_equal(series.time, [90, -120, 22 * 60])
    numbers = "case,minute,what,value\n1,9.5,hr,80\n2,30,hr,85\n"
    series = made(tmp_path, people, head + 'names = "hr"\nzero = "hour"\nunit = "h"\n', v_csv=numbers).modalities["vitals"]
    assert isinstance(series, core.Series)
    np.testing.assert_array_equal(series.time, [30, 240])


@pytest.mark.parametrize(
    ("more", "table", "people", "said"),
    [
        (
            'names = "pulse"\n',
            VITALS,
            PEOPLE,
            r"unknown name in series\.vitals\.names \(of what is left\) 'pulse'\. There are: bp, hr\.",
        ),
        ("", VITALS, PEOPLE, r"series 'vitals' holds no name with at least 20 measurements"),
        (
            "",
            VITALS.replace("what", "name"),
            PEOPLE,
            r"unknown column in series\.vitals\.name 'what'\. There are: case, minute, name, value\.",
        ),
        (
            'names = "hr"\n',
            VITALS.replace("-15", "soon").replace("-30", "late"),
            PEOPLE,
            r"v\.csv, column 'minute' must hold numbers or dates",
        ),
        (
            'names = "hr"\n',
            VITALS,
            PEOPLE + "1,0,7\n",
            r"series\.vitals: 'id' 1 has several rows in the table, and nothing says whose",
        ),
        (
            'names = "hr"\nzero = "start"\n',
            VITALS,
            PEOPLE,
            r"unknown column in series\.vitals\.zero 'start'\. There are: id, dead, age",
        ),
        (
            'names = "hr"\n',
            VITALS,
            PEOPLE.replace("age", "case"),
            r"series\.vitals\.row: 'case' is a column of the table, but neither its",
        ),
        ('names = "hr"\n', VITALS, PEOPLE.replace("\n", "\nx", 3)[:-1], r"none of its 10 rows is of an id of the table"),
    ],
)
def test_what_is_wrong_with_a_series_is_one_line(tmp_path: Path, more: str, table: str, people: str, said: str) -> None:
    with pytest.raises(BenchError, match=said) as error:
        vitals(tmp_path, more, table, people)
    assert "\n" not in str(error.value)


def test_a_column_may_have_the_name_of_a_series(tmp_path: Path) -> None:
    series, got = vitals(tmp_path, people=PEOPLE.replace("age", "vitals"))
    assert series.channels == ("hr", "bp")
    assert got.source.columns["vitals"].kind == "numeric"


def test_whose_measurements_they_are_when_rows_have_names(tmp_path: Path) -> None:
    people, head = "id,stay,dead,age\np1,1,0,5\np1,2,1,6\np3,3,0,8\n", 'row = "stay"\n' + SERIES
    by_stay = made(tmp_path, people, head + 'names = "hr"\n', v_csv=VITALS).modalities["vitals"]
    assert isinstance(by_stay, core.Series)
    np.testing.assert_array_equal(np.diff(by_stay.offsets), [4, 1, 0])  # `case` is no column of the table, and knows the stays
    at = people.replace("age", "start").replace(",5", ",0").replace(",6", ",-20")
    by_id = made(tmp_path, at, head + 'names = "hr"\nzero = "start"\n', v_csv=VITALS.replace("\n", "\np")[:-1]).modalities[
        "vitals"
    ]
    assert isinstance(by_id, core.Series)
    np.testing.assert_array_equal(np.diff(by_id.offsets), [4, 4, 0])  # both stays of p1
    both = people.replace("p1", "1").replace("p3", "2")
    with pytest.raises(BenchError, match=r"series\.vitals\.row: 'case' may be the patient 'id' or the row 'stay'"):
        made(tmp_path, both, head + 'names = "hr"\n', v_csv=VITALS)


def test_rows_of_a_series_are_counted_once_and_a_day_as_zero_is_said(tmp_path: Path) -> None:
    people = "id,dead,age,start\n1,0,5,2020-01-02\n1,1,6,2020-01-03\n"
    table = "case,minute,what,value\n1,2020-01-02 08:30,hr,80\n1,2020-01-01 12:00,NA,\n1,2020-01-01 12:00,NA,140\n7,2020-01-01 12:00,hr,8\n"
    series, got = vitals(tmp_path, 'names = ["hr", "NA"]\nzero = "start"\nwindow = [-2880, 0]\n', table, people)
    assert series.channels == ("hr", "NA")  # sodium is no missing name
    # 4 rows: 1 of nobody, 1 without a number, 2 seen from two days each: 8:30 on the first day lies after that day's start
    assert got.notices == (
        "series 'vitals': 'start' holds days without a time, so what was measured on the day itself counts as after the prediction",
        "series 'vitals': 1 of 4 rows are of ids the table lacks and are left out",
        "series 'vitals': 1 of 4 rows lack a time, a name or a number and are left out",
        "series 'vitals': 1 of 7 rows, once for each prediction of their patient, lie outside the window and are left out",
    )


def test_dates_need_a_zero_and_a_text_of_the_series_name_is_refused(tmp_path: Path) -> None:
    dates = "case,minute,what,value\n1,2020-01-01,hr,5\n"
    with pytest.raises(
        BenchError, match=r"series\.vitals: where 'minute' holds dates, `zero` must name the column with the moment"
    ):
        vitals(tmp_path, 'names = "hr"\n', dates)
    with pytest.raises(BenchError, match=r"series\.vitals: 'minute' and its zero 'age' must both be numbers or both be dates"):
        vitals(tmp_path, 'names = "hr"\nzero = "age"\n', dates)
    toml = SERIES.replace("[outcomes]", '[columns]\ntext = "vitals"\n[outcomes]') + 'names = "hr"\n'
    with pytest.raises(BenchError, match=r"series 'vitals' has the name of another modality \(vitals\)\. Rename it\."):
        made(tmp_path, "id,dead,vitals\n1,0,stable\n2,1,not\n", toml, v_csv=VITALS)


def test_columns_measured_after_the_prediction_are_counted(tmp_path: Path) -> None:
    table = "id,dead,crea,when,op\n1,0,80,2020-01-01,2020-01-02\n2,1,90,2020-01-03,2020-01-02\n3,0,,2020-01-03,2020-01-02\n4,0,70,,2020-01-02\n"
    toml = HEAD + 'prediction = "op"\n[outcomes]\ndead = "dead"\n[columns]\nmeasured = { crea = "when" }\n'
    got = made(tmp_path, table, toml)
    assert got.late == {"crea": (1, 2)}
    assert [name for name, one in got.source.columns.items() if one.kind == "numeric"] == ["crea"]
    assert source(tmp_path, table, toml).columns["when"].why == "says when 'crea' was measured"
    with pytest.raises(BenchError, match=r"columns\.measured needs `prediction`"):
        made(tmp_path, table, toml.replace('prediction = "op"\n', ""))
    with pytest.raises(BenchError, match=r"'when' and the prediction 'dead' must both be numbers or both be dates"):
        made(tmp_path, table, toml.replace('"op"', '"dead"'))
