"""Rules of outcomes: one row, three-valued, and no way out of the table."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from bench.cohorts import rules
from bench.cohorts.typed import TEXTS
from bench.core import BenchError

NAN = np.nan
FRAME = pd.DataFrame(
    {
        "los": [3.0, 8.0, NAN],
        "dead": [0.0, 1.0, NAN],
        "sex": pd.Series(["m", "f", None], dtype=TEXTS),
        "Größe cm": [170.0, NAN, 180.0],
        'the "odd"': [1.0, 0.0, 1.0],
        "in": pd.to_datetime(["2020-01-01", "2020-01-01", None]),
        "out": pd.to_datetime(["2020-01-04", "2020-01-09", "2020-01-02"]),
        "los > 7": [0.0, 0.0, 1.0],
        "d.time": [1.0, 2.0, 3.0],
    }
)


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        ("los >= 8", [0, 1, NAN]),
        ("dead", [0, 1, NAN]),
        ("los > 7 OR dead = 1", [0, 1, NAN]),
        ("los > 100 AND dead = 1", [0, 0, NAN]),
        # SQL's three values: true or unknown is true, false and unknown is false
        ("los > 7 OR out > DATE '2020-01-01'", [1, 1, 1]),
        ("los > 7 AND out < DATE '2020-01-01'", [0, 0, 0]),
        ("NOT dead", [1, 0, NAN]),
        ("los IS NULL", [0, 0, 1]),
        ("coalesce(los, 0) > 7", [0, 1, 0]),
        ("sex = 'm'", [1, 0, NAN]),
        ("sex IN ('m', 'x')", [1, 0, NAN]),
        ("lower(sex) LIKE 'M%'", [0, 0, NAN]),
        ('"d.time" > 2', [0, 0, 1]),
        ('"Größe cm" > 175', [0, NAN, 1]),
        ('"the ""odd""" = 1', [1, 0, 1]),
        ("los > 7", [0, 0, 1]),  # a column of exactly this name
        ("los  > 7", [0, 1, NAN]),
        ("LOS >= 8", [0, 1, NAN]),  # names whatever their case
        ("CAST(los AS INTEGER) % 2 = 0", [0, 1, NAN]),
        ("los::int % 2", [1, 0, NAN]),
        ("CASE WHEN los > 7 THEN 1 ELSE 0 END", [0, 1, 0]),
        ("los BETWEEN 3 AND 5", [1, 0, NAN]),
        ('date_diff(\'day\', "in", "out") > 7', [0, 1, NAN]),
        ("sex = 'los > 7'", [0, 0, NAN]),  # a text that looks like a column
        ("CAST(sex AS VARCHAR) < 'g'", [0, 1, NAN]),  # whoever writes CAST means it
        ("length(sex) > 0", [1, 1, NAN]),  # no order of texts
        ("CASE WHEN sex = 'm' THEN los ELSE dead END >= 1", [1, 1, NAN]),
        ("los IS DISTINCT FROM 3", [0, 1, 1]),
        ("los >= 8 -- a comment", [0, 1, NAN]),
    ],
)
def test_rules(rule: str, values: list[float]) -> None:
    np.testing.assert_array_equal(rules.evaluate(rule, FRAME, "outcome 'x'"), values)


def test_a_rule_equals_numpy_on_random_numbers() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(2_000, 3)).round(1), columns=["a", "b", "c"]).mask(rng.random((2_000, 3)) < 0.2)
    known = frame["a"].notna() & frame["b"].notna()
    want = np.where(known, (frame["a"] > frame["b"]).astype(float), np.nan)
    np.testing.assert_array_equal(rules.evaluate("a > b", frame, "x"), want)
    a, b = (frame["a"] > 1).where(frame["a"].notna()), (frame["c"] < 0).where(frame["c"].notna())
    either = np.where((a == 1) | (b == 1), 1.0, np.where((a == 0) & (b == 0), 0.0, np.nan))
    np.testing.assert_array_equal(rules.evaluate("a > 1 OR c < 0", frame, "x"), either)


@pytest.mark.parametrize(
    ("rule", "columns"),
    [
        ("los > 7", ["los > 7"]),
        ("los>7", ["los"]),
        ("los > 3 AND sex = 'dead'", ["los", "sex"]),
        ('"Größe cm" / "the ""odd""" > 3', ["Größe cm", 'the "odd"']),
        ("CASE WHEN dead = 1 THEN los ELSE 0 END > 1", ["los", "dead"]),
        ('extract(day FROM "in") > 3', ["in"]),
        ("coalesce(los, dead) = 1 COLLATE NOCASE", ["los", "dead"]),
    ],
)
def test_the_columns_a_rule_uses(rule: str, columns: list[str]) -> None:
    assert rules.used(rule, list(FRAME.columns), "x") == columns


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("lost > 7", r"unknown column 'lost'\. Did you mean 'los'\? There are: los, dead, sex"),
        ('sex = "m"', r"unknown column 'm'\. There are: .*\. Texts stand in single quotes, names in double ones\."),
        ("los >", r"'los >' is no expression: .*syntax error"),
        ("Größe cm > 3", r"'Größe cm > 3' is no expression: .*A column with such a name stands in double quotes: \"Größe cm\"\."),
        ("los > 7; DROP TABLE t", r"is no expression"),
        ("los > 7) FROM t; --", r"is no expression"),
        ("avg(los) > 7", r"a rule is an expression about one row, but 'avg\(los\) > 7' holds avg\(\)"),
        ("count(*) > 7", r"about one row"),
        ("row_number() OVER () > 7", r"about one row, but .* holds row_number\(\)"),
        ("first_value(los) OVER () > 7", r"about one row, but .* holds first_value\(\)"),
        ("sum(los) OVER () > 7", r"about one row, but .* holds sum\(\)"),
        ("Größe cm", r"'Größe cm' must be true or false, or 0 or 1, but 2 rows give other numbers\. There are 170, 180"),
        ("d.time > 3", r"a column with a point in its name stands in double quotes: \"d\.time\", but got 'd\.time > 3'"),
        ("los > (SELECT max(los) FROM t)", r"about one row, but .* holds a subquery"),
        ("los IN (SELECT 1)", r"holds a subquery"),
        ("*", r"holds a star"),
        ("columns('l.*') > 7", r"holds a star"),
        ("los > ?", r"holds a parameter"),
        ("los > $a", r"holds a parameter"),
        ("list_sum(list_transform([los], x -> x + 1)) > 3", r"holds a lambda"),
        ("random() > los", r"a rule gives the same labels every time, but .* holds random\(\)"),
        ("now() > out", r"the same labels every time, but .* holds now\(\)"),
        ("'yes'", r"''yes'' names no column\. There are: los, dead"),
        ("1", r"names no column"),
        ("sex", r"'sex' must be true or false, but gives texts \(first: 'm'\)\. Compare it: sex = '\.\.\.'"),
        ("los", r"must be true or false, or 0 or 1, but 2 rows give other numbers\. There are 3, 8: .* los = 8"),
        ('"in"', r"must be true or false, but gives"),
        ("sex > 3", r"'sex > 3' asks which is more, .* of column 'sex', but that holds texts \(such as 'm'\)"),
        ("SEX <= 'm'", r"of column 'sex', but that holds texts"),
        ("sex BETWEEN 'a' AND 'n'", r"of column 'sex', but that holds texts"),
        ("coalesce(lower(sex), 'x') >= 'm'", r"of column 'sex', but that holds texts"),
        ("CASE WHEN los > 3 THEN sex ELSE 'f' END > 'f'", r"of column 'sex', but that holds texts"),
        ("date_diff('day', \"in\", sex) > 3", r"how long it is, of column 'sex', but that holds texts"),
        (
            "greatest(los, dead) > 7",
            r"greatest\(\) passes over missing values, so that .* Write it by comparisons with AND and OR",
        ),
        ("least(los, dead) < 7", r"least\(\) passes over missing values"),
        ("concat(sex, '') = 'm'", r"concat\(\) passes over missing values"),
        ("list_max([los, dead]) > 7", r"list_max\(\) passes over missing values"),
        ("frobnicate(los)", r"cannot be evaluated: .*frobnicate"),
        ('los + sex > "in"', r"cannot be evaluated: "),
        ("read_text('/etc/passwd') = sex", r"cannot be evaluated|about one row"),
        ("(" * 3_000 + "los > 1" + ")" * 3_000, r"outcome 'x'"),
    ],
)
def test_what_is_no_rule_is_one_line(rule: str, said: str) -> None:
    with pytest.raises(BenchError, match=said) as error:
        rules.evaluate(rule, FRAME, "outcome 'x'")
    assert str(error.value).startswith("outcome 'x': ")
    assert "\n" not in str(error.value)


def test_columns_that_differ_by_case_only() -> None:
    frame = pd.DataFrame({"Age": [1.0, 2.0], "age": [5.0, 6.0], "sex": [0.0, 1.0]})
    assert rules.evaluate("age > 5", frame, "x").tolist() == [0, 1]
    assert rules.evaluate("Age > 1", frame, "x").tolist() == [0, 1]
    with pytest.raises(
        BenchError, match=r"'AGE' in 'AGE > 1' may be any of the columns Age, age\. Write it as it stands there\."
    ):
        rules.evaluate("AGE > 1", frame, "x")
    with pytest.raises(
        BenchError, match=r"'age - Age = 4' uses columns whose names differ by case only: Age, age\. Rename one\."
    ):
        rules.evaluate("age - Age = 4", frame, "x")


def test_a_rule_reaches_no_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    for rule, said in (
        (f"los > (SELECT a FROM '{secret}')", "holds a subquery"),
        (f"(FROM read_csv('{secret}')) > los", "holds a subquery"),
        ("los > getenv('HOME')", "cannot be evaluated"),
        (f"glob('{tmp_path}/*') = sex", "about one row|cannot be evaluated"),
        (f"read_text('{secret}') = sex", "about one row|cannot be evaluated"),
    ):
        with pytest.raises(BenchError, match=said):
            rules.evaluate(rule, FRAME, "x")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1, 2, 2], r"There are 1, 2: say which is the event, as in aki = 2$"),
        (
            [0, 1, 9],
            r"There are 0, 1, 9: .* as in aki = 1; where 9 means unknown, \{ rule = \"aki = 1\", known = \"aki <> 9\" \}$",
        ),
        ([0, 1, -9], r"There are -9, 0, 1: .*aki = 1; where -9 means unknown"),
        ([0, 1, 2], r"There are 0, 1, 2: say which is the event, as in aki >= 1$"),
        (list(range(9)), r"but 7 rows give other numbers \(0, 1, 2 \.\.\.\)\. Compare it, as in: aki > 4$"),
    ],
)
def test_codes_that_are_neither_0_nor_1(values: list[int], said: str) -> None:
    with pytest.raises(BenchError, match=said):
        rules.evaluate("aki", pd.DataFrame({"aki": np.array(values, np.float64)}), "x")


def test_rules_keep_the_order_of_rows() -> None:
    n = 300_000  # more than one of DuckDB's row groups
    frame = pd.DataFrame({"a": np.arange(n, dtype=float)})
    np.testing.assert_array_equal(rules.amounts("a * 2", frame, "x"), np.arange(n) * 2.0)


def test_amounts_are_numbers() -> None:
    np.testing.assert_array_equal(rules.amounts('date_diff(\'day\', "in", "out")', FRAME, "x"), [3, 8, NAN])
    with pytest.raises(
        BenchError, match=r"x: '\"out\" - \"in\"' must be a number, but is INTERVAL .*Of two times: date_diff\('day', a, b\)"
    ):
        rules.amounts('"out" - "in"', FRAME, "x")


def test_the_functions_of_this_duckdb_are_known() -> None:
    assert {"sum", "avg", "count_star", "string_agg"} <= rules._of_many_rows()
    assert {"random", "now"} <= rules._changing()
    assert not {"coalesce", "lower", "date_diff", "+", "greatest", "round"} & (rules._of_many_rows() | rules._changing())
    assert duckdb.__version__.split(".")[0] >= "2"


def test_a_label_where_a_text_says_that_nothing_is_known_is_said() -> None:
    frame = pd.DataFrame({"icu": ["ja", "Nein", "unbekannt", "k.A.", "k.A.", "none", None]}, dtype=TEXTS)
    rule = "icu <> 'Nein'"
    y = rules.evaluate(rule, frame, "outcome 'a'")
    (said,) = rules.unanswered(rule, frame, y, "outcome 'a'")
    assert said.startswith(
        "outcome 'a' counts as known where 'icu' says 'unbekannt' (1 rows, 1 events), 'k.A.' (2 rows, 2 events). If"
    )
    assert "'k.A.' (2 rows, 0 events)" in rules.unanswered("icu = 'ja'", frame, np.where(np.isnan(y), NAN, 0), "a")[0]
    assert rules.unanswered(rule, frame, np.where(frame["icu"].isin(["ja", "Nein"]), y, NAN), "outcome 'a'") == []


def test_a_decimal_comma_in_a_rule_is_refused() -> None:
    with pytest.raises(BenchError, match=r"'los > 7,5' holds a comma outside of a function\. A decimal number has a point here"):
        rules.evaluate("los > 7,5", FRAME, "outcome 'a'")


def test_another_spelling_of_a_text_in_a_rule_is_said() -> None:
    frame = pd.DataFrame({"icu": ["yes", "Yes", "YES", "no", "Yes", None], "a b": ["x", "X", "y", "y", "y", "y"]}, dtype=TEXTS)
    (said,) = rules.spellings("icu = 'yes'", frame, "outcome 'a'")
    assert said == (
        "outcome 'a': 'icu = 'yes'' takes 'Yes' (2), 'YES' (1) of column 'icu' for something else. If they are the same, write "
        "lower(trim(icu)) and small letters."
    )
    (said,) = rules.spellings("""NOT ("a b" IN ('q', 'x'))""", frame, "outcome 'a'")
    assert "'X' (1) of column 'a b'" in said
    assert 'lower(trim("a b"))' in said
    for rule in ("icu IN ('yes', 'Yes', 'YES')", "lower(icu) = 'yes'", "icu <> 'no'", "icu IS NULL", "icu"):
        assert rules.spellings(rule, frame, "outcome 'a'") == []
