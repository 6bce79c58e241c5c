"""Tables beside one another, and as what each of their columns is taken."""

from pathlib import Path

import numpy as np
import pytest
from cohort_files import DEAD, HEAD, cohort, made, source

from bench.core import BenchError, Tabular, Text

TABLE = "id,dead,age,ward\n007,0,61,a\n07,1,70.5,b\n7,0,,a\n"
LAB = "patient,crea,date\n1,80,2020-01-01\n3,95,2020-01-02\n9,70,2020-01-03\n"


def test_a_join_puts_columns_beside(tmp_path: Path) -> None:
    toml = HEAD + '[[join]]\nfile = "lab.csv"\nkey = "id"\nprefix = "lab_"\n[outcomes]\ndead = "dead"\n'
    got = source(tmp_path, "id,dead,age\n1,0,5\n2,1,6\n3,1,7\n", toml, lab_csv=LAB.replace("patient", "id"))
    np.testing.assert_array_equal(got.frame["lab_crea"], [80, np.nan, 95])
    assert got.frame["lab_date"].isna().tolist() == [False, True, False]
    assert got.notices == (
        "lab.csv: 1 of 3 rows have no 'id' there, its columns are missing",
        "lab.csv: 1 of its 3 rows fit no row of the first table and are left out",
    )
    with pytest.raises(BenchError, match=r"unknown column in join\.key 'id'\. There are: patient, crea, date\."):
        source(tmp_path, "id,dead,age\n1,0,5\n2,1,6\n", toml, lab_csv=LAB)
    with pytest.raises(BenchError, match=r"lab\.csv must have one row a 'id', but 1 stand again \(first: 1\)"):
        source(tmp_path, "id,dead,age\n1,0,5\n2,1,6\n", toml, lab_csv="id,crea\n1,5\n1,6\n")
    with pytest.raises(BenchError, match=r"lab\.csv and the tables before it both have a column 'age'\. Give its join a prefix"):
        source(tmp_path, "id,dead,age\n1,0,5\n2,1,6\n", toml.replace("lab_", ""), lab_csv="id,age\n1,5\n")


def test_a_join_by_ids_that_are_written_otherwise(tmp_path: Path) -> None:
    toml = HEAD + '[[join]]\nfile = "lab.csv"\nkey = "id"\n[outcomes]\ndead = "dead"\n'
    table = "id,dead,age\n1.0,0,5\n2.0,1,6\nNA,1,7\n"  # as pandas writes ids of which one is missing
    got = source(tmp_path, table, toml, lab_csv="id,crea\n1,80\n2 ,90\n\u00a03,95\n")
    assert got.frame["id"].tolist()[:2] == ["1", "2"]
    np.testing.assert_array_equal(got.frame["crea"], [80, 90, np.nan])
    with pytest.raises(BenchError, match=r"lab\.csv fits no row: of its 'id' \('001', '002'\) none stands .* \('1', '2'\)"):
        source(tmp_path, table, toml, lab_csv="id,crea\n001,80\n002,90\n")
    with pytest.raises(BenchError, match=r"every row needs a patient id, but 1 have none \(first: row 2\)"):
        cohort(tmp_path, table)


def test_joins_by_the_columns_of_joins(tmp_path: Path) -> None:
    toml = HEAD + '[[join]]\nfile = "s.csv"\nkey = "stay"\n[[join]]\nfile = "w.csv"\nkey = "ward"\n[outcomes]\ndead = "dead"\n'
    files = {"s_csv": "stay,ward\n11,7\n12,8\n", "w_csv": "ward,beds\n7,20\n8,30\n"}
    got = source(tmp_path, "id,dead,stay\n1,0,12\n2,1,11\n", toml, **files)
    assert got.frame["beds"].tolist() == [30, 20]


def test_a_column_named_as_a_feature_that_has_a_role_is_said(tmp_path: Path) -> None:
    got = source(tmp_path, TABLE, DEAD + '[columns]\nignore = ["dead"]\n')
    assert got.notices == ("column 'dead' is named in columns.ignore, but is no feature anyway: used by outcome 'dead'",)


def test_inference_of_columns(tmp_path: Path) -> None:
    n = 60
    lines = [
        f"p{i},{i % 2},{i},{i % 2},{'mf'[i % 2]},{i * 7 % 23},code{i},patient {i} fell on the stairs,5,{'x' if i % 3 else ''},2020-01-{i % 28 + 1:02}"
        for i in range(n)
    ]
    header = "id,dead,count,flag,sex,lab,record,note,same,mark,day"
    taken = source(tmp_path, "\n".join([header, *lines]) + "\n").columns
    assert {name: column.kind for name, column in taken.items()} == {
        "id": "role", "dead": "role", "count": "ignored", "flag": "numeric", "sex": "categorical", "lab": "numeric", "record": "ignored",
        "note": "text", "same": "ignored", "mark": "categorical", "day": "ignored",
    }  # fmt: skip
    assert taken["count"].why == "id-like: it counts the rows"
    assert taken["record"].why == "id-like: 60 distinct texts in 60 rows"
    assert taken["same"].why == "constant: 5"
    assert taken["sex"].why == "2 distinct texts"
    assert taken["day"].why.startswith("dates")


def test_columns_may_be_named_by_pattern(tmp_path: Path) -> None:
    table = "id,dead,lab_a,lab_b,sex,asa,note\n1,0,5,6,m,1,ok\n2,1,7,8,f,3,not so\n3,1,7,9,f,10,ok\n"
    head = DEAD + "[columns]\n"
    got = made(tmp_path, table, head + 'numeric = "lab_*"\ncategorical = ["asa", "sex"]\ntext = "note"\n')
    features = got.modalities["table"]
    assert isinstance(features, Tabular)
    assert list(features.frame) == ["lab_a", "lab_b", "sex", "asa"]
    assert list(features.frame["asa"].cat.categories) == ["1", "3", "10"]  # in the order of numbers
    assert features.frame["asa"].tolist() == ["1", "3", "10"]
    note = got.modalities["note"]
    assert isinstance(note, Text)
    assert note.strings.tolist() == ["ok", "not so", "ok"]
    assert source(tmp_path, table, head + 'only = ["lab_*"]\n').columns["sex"].why == "not named in columns.only"
    taken = source(tmp_path, table, head + 'ignore = "*"\nnumeric = "lab_a"\n').columns  # a name beats a pattern
    assert [name for name, one in taken.items() if one.kind == "numeric"] == ["lab_a"]
    for lines, said in (
        ('numeric = "lob_a"\n', r"unknown column in columns\.numeric 'lob_a'\. Did you mean 'lab_a'\?"),
        ('ignore = "x_*"\n', r"unknown column in columns\.ignore 'x_\*'\."),
        (
            'numeric = "asa"\ntext = "asa"\n',
            r"column 'asa' is named under columns\.numeric and under columns\.text\. Take one away\.",
        ),
    ):
        with pytest.raises(BenchError, match=said):
            source(tmp_path, table, head + lines)


def test_roles_are_no_features_but_subgroups_are(tmp_path: Path) -> None:
    table = "id,dead,sex,clinic,year,pair,age\n" + "".join(
        f"{i},{i % 2},{'mf'[i % 2]},c{i % 3},{2000 + i},q{i // 2},{i * 3 % 17}\n" for i in range(9)
    )
    toml = HEAD + 'site = "clinic"\ntime = "year"\ngroup = "pair"\nsubgroups = ["sex"]\n[outcomes]\ndead = "dead"\n'
    built = cohort(tmp_path, table, toml)
    frame = built.inputs.of(Tabular)["table"].frame
    assert list(frame) == ["sex", "age"]
    assert built.site is not None
    assert built.site.tolist() == [f"c{i % 3}" for i in range(9)]
    assert built.time is not None
    assert built.time.tolist() == [2000.0 + i for i in range(9)]
    assert built.groups.tolist() == [f"set q{i // 2}" for i in range(9)]
    assert built.subgroups is not None
    assert built.subgroups["sex"].tolist() == [*"mfmfmfmfm"]
