"""Files of every kind and shape to one table: what is found out, what is said, and what is refused in one line."""

import codecs
import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from cohort_files import DEAD, cohort, source

from bench.cohorts import delimited
from bench.core import BenchError

TABLE = "id,dead,age,ward\n007,0,61,a\n07,1,70.5,b\n7,0,,a\n"
AGES = [61.0, 70.5, np.nan]


def ages(folder: Path, table: str | bytes, toml: str = DEAD) -> list[float]:
    return source(folder, table, toml).frame["age"].tolist()


def test_ids_stay_as_written_and_numbers_become_numbers(tmp_path: Path) -> None:
    frame = source(tmp_path, TABLE).frame
    assert frame["id"].tolist() == ["007", "07", "7"]
    np.testing.assert_array_equal(frame["age"], AGES)
    assert frame["dead"].tolist() == [0.0, 1.0, 0.0]
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "id": "str",
        "dead": "float64",
        "age": "float64",
        "ward": "str",
    }


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends_are_found_out(tmp_path: Path, separator: str, end: str) -> None:
    np.testing.assert_array_equal(ages(tmp_path, TABLE.replace(",", separator).replace("\n", end)), AGES)


@pytest.mark.parametrize(
    ("encoding", "mark", "said"),
    [
        ("utf-8", b"", ""),
        ("utf-8", codecs.BOM_UTF8, ""),
        ("utf-16", b"", ""),
        ("utf-16-le", b"", ""),
        ("utf-16-be", codecs.BOM_UTF16_BE, ""),
        ("cp1252", b"", r"t\.csv is read as cp1252: it is no UTF-8 \(byte 0xdf\)"),
    ],
)
def test_encodings_are_found_out(tmp_path: Path, encoding: str, mark: bytes, said: str) -> None:
    table = TABLE.replace("ward", "straße").replace("a\n", "ä\n")
    got = source(tmp_path, mark + table.encode(encoding))
    assert list(got.frame) == ["id", "dead", "age", "straße"]
    assert got.frame["straße"].tolist() == ["ä", "b", "ä"]
    assert bool(said) == bool(got.notices)
    if said:
        assert pd.Series(got.notices).str.contains(said).any()


def test_a_given_encoding_counts_and_a_wrong_one_is_said(tmp_path: Path) -> None:
    toml = 'table = { file = "t.csv", encoding = "ENCODING" }\npatient = "id"\noutcomes.dead = "dead"\n'
    table = TABLE.replace("b\n", "Ł\n").encode("iso8859-2")
    assert source(tmp_path, table, toml.replace("ENCODING", "iso8859-2")).frame["ward"].tolist() == ["a", "Ł", "a"]
    with pytest.raises(BenchError, match=r"t\.csv is no utf-8 text: .* Say its encoding under its table\."):
        source(tmp_path, table, toml.replace("ENCODING", "utf-8"))
    with pytest.raises(BenchError, match=r"encoding 'utf-9' of t\.csv is unknown\. Usual ones: utf-8, utf-16"):
        source(tmp_path, table, toml.replace("ENCODING", "utf-9"))


def test_gzip_parquet_excel_sqlite_and_duckdb_hold_the_same_table(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["007", "07", "7"], "dead": [0, 1, 0], "age": AGES, "ward": ["a", "b", "a"]})
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(TABLE.encode()))
    frame.to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.xlsx").write_bytes(workbook([list(frame), *frame.values.tolist()]))
    with closing(sqlite3.connect(tmp_path / "t.sqlite")) as con:
        frame.to_sql("patients", con, index=False)
    with duckdb.connect(str(tmp_path / "t.duckdb")) as con:
        con.register("given", frame)
        con.execute("CREATE TABLE patients AS FROM given")
    files = [f'"{name}"' for name in ("t.csv.gz", "t.parquet", "t.xlsx")]
    bases = [f'{{ database = "{name}", query = "SELECT * FROM patients" }}' for name in ("t.sqlite", "t.duckdb")]
    want = source(tmp_path, TABLE).frame
    for table in [*files, *bases]:
        got = source(tmp_path, TABLE, DEAD.replace('"t.csv"', table)).frame
        pd.testing.assert_frame_equal(got, want)


def workbook(rows: list[list[object]]) -> bytes:
    """A workbook of one sheet as Excel writes it, without formats: NaN = an empty cell."""
    import io
    import zipfile

    def cell(value: object) -> str:
        if isinstance(value, str):
            return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
        return "<c/>" if value != value else f"<c><v>{value}</v></c>"

    sheet = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    links = "http://schemas.openxmlformats.org"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{links}/package/2006/content-types"><Default Extension="rels" ContentType="application/'
        f'vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{links}/package/2006/relationships"><Relationship Id="a" Type="{links}/officeDocument/2006/'
        'relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {space} xmlns:r="{links}/officeDocument/2006/relationships"><sheets><sheet name="Patients" '
        'sheetId="1" r:id="b"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{links}/package/2006/relationships"><Relationship Id="b" Type="{links}/'
        'officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f"<worksheet {space}><sheetData>{sheet}</sheetData></worksheet>",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, '<?xml version="1.0" encoding="UTF-8"?>' + text)
    return out.getvalue()


def test_sheets_by_name_and_what_is_no_workbook(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(workbook([["id", "dead", "", "age"], ["1", 0, "", 5], ["2", 1, "x", 6]]))
    toml = DEAD.replace('"t.csv"', '{ file = "t.xlsx", sheet = "SHEET" }')
    got = source(tmp_path, TABLE, toml.replace("SHEET", "Patients"))
    assert list(got.frame) == ["id", "dead", "column 3", "age"]
    with pytest.raises(BenchError, match=r"t\.xlsx has no sheet 'patient'\. There are: Patients\."):
        source(tmp_path, TABLE, toml.replace("SHEET", "patient"))
    (tmp_path / "t.xlsx").write_text("no workbook")
    with pytest.raises(BenchError, match=r"t\.xlsx is no Excel file that can be read"):
        source(tmp_path, TABLE, toml.replace("SHEET", "Patients"))


def test_a_column_of_a_workbook_without_a_name_is_kept_where_it_holds_anything(tmp_path: Path) -> None:
    toml = DEAD.replace("t.csv", "t.xlsx")
    rows: list[list[object]] = [["id", "dead", "", ""], *([i, i % 2, f"note {i} is long", ""] for i in range(9))]
    (tmp_path / "t.xlsx").write_bytes(workbook(rows))
    got = source(tmp_path, TABLE, toml)
    assert list(got.frame) == ["id", "dead", "column 3"]
    assert got.columns["column 3"].kind == "text"
    rows[0] = ["Demographics", "", "Outcome", ""]
    (tmp_path / "t.xlsx").write_bytes(workbook([rows[0], ["id", "dead", "note", ""], *rows[1:]]))
    with pytest.raises(
        BenchError, match=r"t\.xlsx seems to have two header lines: under 'Demographics' stands 'id', then numbers"
    ):
        source(tmp_path, TABLE, toml)


def test_blobs_of_sqlite_are_said_and_a_database_needs_a_query(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "t.sqlite")) as con:
        con.execute("CREATE TABLE p AS SELECT 1 AS id, 0 AS dead, 5 AS age, x'01' AS flag UNION ALL SELECT 2, 1, 6, 0")
        con.commit()
    got = source(tmp_path, TABLE, DEAD.replace('"t.csv"', '{ database = "t.sqlite", query = "SELECT * FROM p" }'))
    assert got.notices[0].startswith("t.sqlite, column 'flag': 1 values are BLOBs and count as missing")
    for name in ("t.sqlite", "t.duckdb"):
        (tmp_path / name).touch()
        with pytest.raises(BenchError, match=rf'{name} is a database, .* table = \{{ database = "{name}", query = "SELECT'):
            source(tmp_path, TABLE, DEAD.replace("t.csv", name))


def test_texts_of_parquet_and_duckdb_are_numbers_and_dates_too(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["1", "2"], "dead": [0, -9], "crea": ["0.5", "1.5"], "day": ["2020-01-01", "2020-02-01"]})
    frame.to_parquet(tmp_path / "t.parquet")
    with duckdb.connect(str(tmp_path / "t.duckdb")) as con:
        con.register("given", frame)
        con.execute("CREATE TABLE p AS FROM given")
    for table in ('file = "t.parquet"', 'database = "t.duckdb", query = "FROM p"'):
        got = source(tmp_path, TABLE, DEAD.replace('"t.csv"', f"{{ {table}, missing = '-9' }}")).frame
        assert got["crea"].tolist() == [0.5, 1.5]
        assert str(got["day"].dtype).startswith("datetime64")
        np.testing.assert_array_equal(got["dead"], [0, np.nan])  # what is missing is missing among numbers too


def test_databases_are_opened_for_reading_only(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "t.duckdb")) as con:
        con.execute("CREATE TABLE patients AS SELECT 1 AS id")
    with closing(sqlite3.connect(tmp_path / "t.sqlite")) as con:
        con.execute("CREATE TABLE patients AS SELECT 1 AS id")
    for name in ("t.duckdb", "t.sqlite"):
        for query, said in (
            ("DROP TABLE patients", "read.?only"),
            ("SELECT nonsense FROM patients", "nonsense"),
            ("SELECT 1;;x", "x"),
        ):
            toml = DEAD.replace('"t.csv"', f'{{ database = "{name}", query = "{query}" }}')
            with pytest.raises(BenchError, match=f"{name}.*{said}") as error:
                source(tmp_path, TABLE, toml)
            assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", r"t\.csv is empty: a table needs a header line and rows"),
        (" \n\n", r"t\.csv is empty"),
        ("<!DOCTYPE html>\n<title>Log in</title>\n", r"t\.csv is an HTML page \('Log in'\), not a table"),
        ("id,dead\n", r"t\.csv has a header but no rows"),
        ("id,dead,id\n1,0,2\n", r"columns of t\.csv need names, each once, but 'id' stands over columns 1 and 3\. Rename one\."),
        ("1,0\n2,1\n", r"the first line of t\.csv must hold the columns' names, but holds numbers \(1, 0 \.\.\.\)"),
        ("id,dead\n1,0\n2\n3,1\n", r"t\.csv, line 3: it has 1 cells where the header has 2"),
        (
            "id,dead\n1,0\n2,1,5\n3,1\n",
            r"t\.csv, line 3: it has 3 cells where the header has 2\. A cell with a separator in it needs quotes\.",
        ),
        ('id,dead\n1,0\n2,"1\n3,0\n', r"t\.csv, line 3: a quote that is not closed"),
        ("id,dead\n1,0\n2\0,1\n", r"t\.csv holds a NUL character in line 3"),
        ("id,death\n1,0\n2,1\n", r"outcome 'dead': unknown column 'dead'\. Did you mean 'death'\? There are: id, death\."),
        ("patient,dead\n1,0\n2,1\n", r"unknown column in patient 'id'\. There are: patient, dead\."),
        ("id,dead,x\n1,0,1\n,1,2\n3,1,4\n", r"every row needs a patient id, but 1 have none \(first: row 1\)"),
        ("id,dead\n1,0\n2,1\n", r"no column is left as a feature: id \(patient id\), dead \(used by outcome 'dead'\)"),
        ("id,dead,x\n1,0,1e39\n2,1,2\n", r"column 'x' of 'table' must be finite or NaN, but 1 row holds 1e\+39"),
    ],
)
def test_what_cannot_be_right_is_one_line(tmp_path: Path, table: str, said: str) -> None:
    with pytest.raises(BenchError, match=said) as error:
        cohort(tmp_path, table)
    assert "\n" not in str(error.value)


def test_a_missing_file_shows_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"no such file: .*u\.csv\. Its folder holds: mine\.toml, t\.csv"):
        source(tmp_path, TABLE, DEAD.replace("t.csv", "u.csv"))
    (tmp_path / "t.docx").write_text("x")
    with pytest.raises(BenchError, match=r"a table may be \.csv, .* or a database, but t\.docx is none of these"):
        source(tmp_path, TABLE, DEAD.replace("t.csv", "t.docx"))


def test_a_cut_off_gzip_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(TABLE.encode() * 50)[:-20])
    with pytest.raises(BenchError, match=r"t\.csv\.gz cannot be read: "):
        source(tmp_path, TABLE, DEAD.replace("t.csv", "t.csv.gz"))


def test_notes_with_line_ends_over_many_buffers(tmp_path: Path) -> None:
    # 40 MB, several of DuckDB's read buffers, so that threads start inside quoted cells
    lines = [f'{i},{i % 2},{i},"first {i}\n{i},{i % 2},{i},second\n\nthird ""{"x" * 900}"""\n' for i in range(40_000)]
    frame = source(tmp_path, "id,dead,n,note\n" + "".join(lines)).frame
    assert len(frame) == 40_000
    np.testing.assert_array_equal(frame["n"], np.arange(40_000))
    assert frame["note"].iloc[39_999] == f'first 39999\n39999,1,39999,second\n\nthird "{"x" * 900}"'


def test_a_row_may_end_with_separators(tmp_path: Path) -> None:
    assert source(tmp_path, "id,dead,age,\n1,0,5,\n2,1,6,\n").frame["age"].tolist() == [5, 6]


def test_the_whole_file_is_read_before_its_encoding_is_said(tmp_path: Path) -> None:
    # one cp1252 byte behind 9 MB of ASCII, beyond the first chunk
    table = "id,dead,ward\n" + "".join(f"{i},{i % 2},abcdefgh\n" for i in range(500_000)) + "x,1,"
    assert len(table) > delimited.CHUNK
    got = source(tmp_path, table.encode() + "ä\n".encode("cp1252"))
    assert got.frame["ward"].iloc[-1] == "ä"
    assert got.notices[0].startswith("t.csv is read as cp1252")
