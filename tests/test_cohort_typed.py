"""What the texts of a column stand for: numbers, dates, ids or texts; and what an outcome may not be made of."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohort_files import DEAD, HEAD, made, source

from bench.core import BenchError


def column(tmp_path: Path, values: list[str], **keys: str) -> tuple[list[object], str, str]:
    """A column of these texts, quoted: its values, its dtype, and the notices."""
    cells = [value.replace('"', '""') for value in values]
    table = "id,dead,x\n" + "".join(f'{i},{i % 2},"{cell}"\n' for i, cell in enumerate(cells))
    more = "".join(f", {key} = '{value}'" for key, value in keys.items())
    got = source(tmp_path, table, DEAD.replace('"t.csv"', f'{{ file = "t.csv"{more} }}'))
    return got.frame["x"].tolist(), str(got.frame["x"].dtype), "; ".join(got.notices)


def test_a_few_stray_texts_in_numbers_are_counted_and_named(tmp_path: Path) -> None:
    # 19 of 20 values are numbers: 95 %, just enough
    values, dtype, said = column(tmp_path, [*map(str, range(19)), ">100"])
    assert dtype == "float64"
    assert values[:19] == list(range(19))
    assert np.isnan(values[19])
    assert said == "t.csv, column 'x': 1 of 20 values is no number and counts as missing (such as '>100')"
    values, dtype, said = column(tmp_path, [*map(str, range(18)), ">100"])  # 18 of 19: 94.7 %
    assert dtype == "str"
    assert "18 of 19 values are numbers, others are not (such as '>100'). Name it under columns.numeric" in said


def test_decimal_commas_among_too_many_texts_are_said_and_can_be_named(tmp_path: Path) -> None:
    # 18 of 20 values: 90 %
    values = [f"{i},5" for i in range(18)] + ["n.b.", "<0,2"]
    _, dtype, said = column(tmp_path, values)
    assert dtype == "str"
    assert said == (
        "t.csv, column 'x' is read as text: 18 of 20 values are numbers with a decimal comma. Say decimal = ',' under its table, and name it under columns.numeric to have the others count as missing."
    )
    _, dtype, said = column(tmp_path, [f"1.{i:03},82" for i in range(18)] + ["n.b.", "-"])
    assert (dtype, "18 of 20 values are numbers with a decimal comma" in said) == ("str", True)
    assert column(tmp_path, ["1.234,5", "2.345,6"])[2].endswith(
        " 2 of 2 values are numbers with a decimal comma. Say decimal = ',' under its table."
    )
    table = "id,dead,x\n" + "".join(f'{i},{i % 2},"{cell}"\n' for i, cell in enumerate(values))
    got = source(tmp_path, table, DEAD + '[columns]\nnumeric = "x"\n')
    np.testing.assert_array_equal(got.frame["x"], [*(i + 0.5 for i in range(18)), np.nan, np.nan])
    assert got.notices == (
        "t.csv, column 'x' is read as numbers with a decimal comma; 2 of 20 values are none and count as missing",
    )


def test_named_numeric_takes_what_there_is_of_numbers(tmp_path: Path) -> None:
    table = "id,dead,x\n1,0,5\n2,1,low\n3,0,high\n"
    got = source(tmp_path, table, DEAD + '[columns]\nnumeric = "x"\n')
    np.testing.assert_array_equal(got.frame["x"], [5, np.nan, np.nan])
    assert got.notices == ("t.csv, column 'x': 2 of 3 values are no number and count as missing (such as 'high')",)
    with pytest.raises(
        BenchError, match=r"t\.csv, column 'x' is named in columns\.numeric, but holds no number \(such as 'high'\)"
    ):
        source(tmp_path, table.replace("5", "none"), DEAD + '[columns]\nnumeric = "x"\n')


def test_the_whole_column_is_looked_at(tmp_path: Path) -> None:
    # 40,000 numbers, then 2,500 texts: 94.1 % are numbers; a sample of the first rows would say 100 %
    values, dtype, _ = column(tmp_path, ["1.5"] * 40_000 + ["unknown value"] * 2_500)
    assert dtype == "str"
    assert values[0] == "1.5"


def test_missing_texts_are_missing_and_may_be_chosen(tmp_path: Path) -> None:
    values, dtype, said = column(tmp_path, ["1", "NA", " ", "?", "nan", ".", "#N/A", "2"])
    np.testing.assert_array_equal(values, [1, *[np.nan] * 6, 2])
    assert (dtype, said) == ("float64", "")
    toml = DEAD.replace('"t.csv"', '{ file = "t.csv", missing = ["-9", "unk"] }')
    got = source(tmp_path, "id,dead,x,y\n1,0,-9,NA\n2,1,-90,b\n3,0,unk,c\n", toml)
    np.testing.assert_array_equal(got.frame["x"], [np.nan, -90, np.nan])
    assert got.frame["y"].tolist() == ["NA", "b", "c"]


@pytest.mark.parametrize("odd", ["1_000", "0x10", "inf", "-Infinity", "1e999", "١٢", "1 2", "1'000", "--1", "1e"])
def test_texts_that_only_look_like_numbers_are_none(tmp_path: Path, odd: str) -> None:
    values, _, said = column(tmp_path, [*map(str, range(40)), odd])
    assert np.isnan(values[40])
    assert f"(such as '{odd}')" in said


@pytest.mark.parametrize("number", ["5", " 5 ", "+5", "5.", "0.5e1", "5E+0"])
def test_spellings_of_five(tmp_path: Path, number: str) -> None:
    values, *_ = column(tmp_path, ["1", number, "3"])
    assert values[1] == 5


def test_codes_and_huge_whole_numbers_stay_texts(tmp_path: Path) -> None:
    values, dtype, said = column(tmp_path, ["007", "012", "100"])
    assert (values, dtype) == (["007", "012", "100"], "str")
    assert "2 of its numbers are written as codes, with a zero in front" in said
    values, dtype, said = column(tmp_path, ["9007199254740993", "9007199254740992", "1"])  # 2^53 + 1 and 2^53
    assert (values[0], dtype) == ("9007199254740993", "str")
    assert "too large to be exact" in said
    assert column(tmp_path, ["0.5", "0", "-0.25"])[0] == [0.5, 0, -0.25]  # a zero before the point is no code


def test_decimal_commas(tmp_path: Path) -> None:
    values, _, said = column(tmp_path, ["1,5", "-2,25", "3"])
    assert values == [1.5, -2.25, 3.0]
    assert said == "t.csv, column 'x' is read as numbers with a decimal comma"
    assert column(tmp_path, ["1,5", "2,5"], decimal=",")[0] == [1.5, 2.5]
    with pytest.raises(BenchError, match=r"column 'x': the comma in '1,234' may be a decimal or a thousands one\. Say decimal"):
        column(tmp_path, ["1,234", "5,678"])
    assert column(tmp_path, ["1,234", "5,678"], decimal=",")[0] == [1.234, 5.678]
    assert column(tmp_path, ["1,234", "5,678.5"], decimal=".")[0] == [1234.0, 5678.5]
    # under a decimal comma 1.234 is a thousand, and 1.5 is nothing
    values, _, said = column(tmp_path, [*["1,5"] * 40, "1.234", "-1.234.567,5", "1.5"], decimal=",")
    np.testing.assert_array_equal(values[39:], [1.5, 1234, -1234567.5, np.nan])
    assert "is read as numbers with thousands points; 1 of 43 values are none" in said


def test_one_decimal_mark_in_a_file(tmp_path: Path) -> None:
    # 96 whole numbers and 4 with a comma: 96 % are plain numbers, but all are numbers with a decimal comma
    values, _, said = column(tmp_path, [*["121"] * 96, *["121,5"] * 4])
    assert values == [*[121.0] * 96, *[121.5] * 4]
    assert said.endswith("is read as numbers with a decimal comma")
    # one is enough: 1,5 can be no thousand, and that it was read so is said; `decimal = "."` has it count as missing
    values, _, said = column(tmp_path, [*["3"] * 39, "1,5"])
    assert (values[-1], said) == (1.5, "t.csv, column 'x' is read as numbers with a decimal comma")
    values, _, said = column(tmp_path, [*["3"] * 39, "1,5"], decimal=".")
    assert np.isnan(values[-1])
    assert said.endswith("1 of 40 values is no number and counts as missing (such as '1,5')")
    with pytest.raises(BenchError, match=r"column 'x': the comma in '1,234' may be a decimal or a thousands one"):
        column(tmp_path, [*["900"] * 96, *["1,234"] * 4])
    beside = "id;dead;crea;x\n" + "".join(f"{i};{i % 2};{i / 4};{i if i else '1,5'}\n" for i in range(40))
    got = source(tmp_path, beside)  # beside decimal points 1,5 is no number
    assert got.notices == ("t.csv, column 'x': 1 of 40 values is no number and counts as missing (such as '1,5')",)
    table = "id;dead;crea;count\n1;0;1,5;900\n2;1;2,5;1.234\n"
    with pytest.raises(
        BenchError, match=r"'count': every point in it stands before three digits, .* column 'crea' has decimal commas"
    ):
        source(tmp_path, table)
    assert source(tmp_path, table, DEAD.replace('"t.csv"', '{ file = "t.csv", decimal = "," }')).frame["count"].tolist() == [
        900,
        1234,
    ]
    assert source(tmp_path, table.replace("1.234", "1.25")).frame["count"].tolist() == [
        900,
        1.25,
    ]  # a point that is none of thousands


def test_dates(tmp_path: Path) -> None:
    day = pd.Timestamp("2020-03-04")
    for text in (
        "2020-03-04",
        "2020-03-04 00:00:00",
        "2020-03-04T00:00",
        "2020-03-04T02:00:00+02:00",
        "04.03.2020",
        "04.03.2020 00:00",
    ):
        values, dtype, _ = column(tmp_path, [text, "2020-12-31", ""] if "-" in text else [text, "31.12.2020", ""])
        assert dtype.startswith("datetime64"), text
        assert values[0] == day
        assert values[2] is pd.NaT
    values, _, said = column(tmp_path, ["03/04/2020", "12/31/2020"])  # no 31st month: the month is first
    assert values[0] == day
    assert "dates with the month first" in said
    values, _, said = column(tmp_path, ["04/03/2020", "31/12/2020"])
    assert values[0] == day
    assert "dates with the day first" in said
    _, dtype, said = column(tmp_path, ["04/03/2020", "05/06/2020"])
    assert dtype == "str"
    assert "whether its dates have the day or the month first cannot be told" in said
    values, _, said = column(tmp_path, [*["2020-03-04"] * 39, "soon"])
    assert values[39] is pd.NaT
    assert "1 of 40 values are none and count as missing" in said


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("27-05-2020", "01-12-2020"),
        ("27-May-2020", "1-Dec-2020"),
        ("27 MAY 2020", "1 dec 2020"),
        ("27MAY2020", "01DEC2020"),
        ("May 27 2020", "Dec 01, 2020"),
        ("27.05.2020 10:30:00.000", "1.12.2020 00:00"),
        ("5-27-2020", "12-1-2020"),
    ],
)
def test_further_ways_to_write_a_date(tmp_path: Path, first: str, second: str) -> None:
    values, dtype, _ = column(tmp_path, [first, second])
    assert dtype.startswith("datetime64")
    assert [pd.Timestamp(str(one)).normalize() for one in values] == [pd.Timestamp("2020-05-27"), pd.Timestamp("2020-12-01")]


@pytest.mark.parametrize("day", ["05/03/19", "01.02.19", "27-5-20", "27-Jul-20", "19-02-01", "01.02.19 10:30"])
def test_a_year_needs_four_digits(tmp_path: Path, day: str) -> None:
    # by DuckDB itself 05/03/19 is a day of the year 5
    values, dtype, said = column(tmp_path, [day, day, "NA"])
    assert (values[0], dtype) == (day, "str")
    assert said == f"t.csv, column 'x' stays text: its dates have two digits for the year (such as '{day}'), not four"
    table = f"id,dead,in,out\n1,0,{day},2020-01-01\n2,1,{day},2020-01-02\n"
    for toml in (HEAD + '[outcomes]\nlong = "date_diff(\'day\', \\"in\\", out) > 7"\n', 'time = "in"\n' + DEAD):
        with pytest.raises(
            BenchError, match=r"column 'in': its dates have two digits for the year, .*A four-digit year is needed\.$"
        ):
            source(tmp_path, table, toml)


def test_dates_of_an_unknown_kind_are_not_put_in_order(tmp_path: Path) -> None:
    table = "id,dead,died,home\n1,1,27.Mai 2020,02.Juni 2020\n2,1,03.Juni 2020,02.Juni 2020\n"
    with pytest.raises(BenchError, match=r"'died <= home' asks which is more, .* of column 'died', but that holds texts"):
        made(tmp_path, table, HEAD + '[outcomes]\ninside = "died <= home"\n')


@pytest.mark.parametrize(
    ("cell", "rule", "said"),
    [
        (
            ">10000",
            "x > 50",
            r"1 of 40 values is no number \('>10000'\), but it has a role: used by outcome 'y'\. Correct them, or list",
        ),
        ("positive", "x >= 1", r"no number \('positive'\)"),
    ],
)
def test_an_outcome_takes_no_column_with_stray_values(tmp_path: Path, cell: str, rule: str, said: str) -> None:
    table = "id,dead,x\n" + "".join(f"{i},{i % 2},{i if i else cell}\n" for i in range(40))
    toml = HEAD + f'[outcomes]\ny = "{rule}"\n'
    with pytest.raises(BenchError, match=said):
        source(tmp_path, table, toml)
    listed = toml.replace('"t.csv"', f"{{ file = 't.csv', missing = '{cell}' }}")
    assert np.isnan(made(tmp_path, table, listed).labels[:, 0]).tolist() == [True, *[False] * 39]
    assert source(tmp_path, table).frame["x"].isna().sum() == 1  # as a feature it may be, with a notice


def test_none_is_an_answer_among_texts(tmp_path: Path) -> None:
    table = "id,dead,lab,comp\n1,0,5,None\n2,1,None,AKI\n3,0,7,NA\n"
    got = made(tmp_path, table, HEAD + "[outcomes]\naki = \"comp = 'AKI'\"\n")
    np.testing.assert_array_equal(got.labels[:, 0], [0, 1, np.nan])
    np.testing.assert_array_equal(got.source.frame["lab"], [5, np.nan, 7])  # among numbers it is missing
    named = HEAD.replace('"t.csv"', "{ file = 't.csv', missing = ['None', 'NA'] }") + "[outcomes]\naki = \"comp = 'AKI'\"\n"
    np.testing.assert_array_equal(made(tmp_path, table, named).labels[:, 0], [np.nan, 1, np.nan])


def test_true_and_false_are_numbers(tmp_path: Path) -> None:
    values, dtype, _ = column(tmp_path, ["TRUE", "false", "", "True"])
    np.testing.assert_array_equal(values, [1, 0, np.nan, 1])
    assert dtype == "float64"


def test_quotes_and_line_ends_inside_cells(tmp_path: Path) -> None:
    text = 'says "no, never"\nand leaves; then | returns'
    values, *_ = column(tmp_path, [text, "b, c", "d"])
    assert values == [text, "b, c", "d"]
    table = 'id,"the\nnote",dead\r\n1,"a\nb",0\r\n2,"c",1\r\n'  # mixed ends: inside a cell they become \n
    assert source(tmp_path, table).frame["the\nnote"].tolist() == ["a\nb", "c"]
