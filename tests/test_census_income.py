"""Census-Income on small files of the published layout, which the tests write."""

import gzip
import io
import re
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from file_server import FileServer

from bench import cards, registry, sources, splits
from bench.core import BenchError, Cohort, Tabular
from bench.protocol import wanted

# As published: 42 fields between ", ", no heading, the income with a full stop
LINE = (
    "{age}, Not in universe, 0, 0, High school graduate, {wage}, Not in universe, {marital}, Not in universe or children, "
    "Not in universe, White, {hispanic}, Female, Not in universe, Not in universe, Not in labor force, 0, 0, 0, {filer}, South, "
    "Arkansas, Other Rel 18+ ever marr not in subfamily, Other relative of householder, 1700.09, {msa}, ?, ?, "
    "Not in universe under 1 year old, ?, {employers}, Not in universe, United-States, United-States, United-States, "
    "Native- Born in the United States, 0, Not in universe, 2, {weeks}, 95, {income}.\n"
)
BASE: dict[str, object] = {
    "age": 73, "wage": 0, "marital": "Widowed", "hispanic": "All other", "filer": "Nonfiler", "msa": "?", "employers": 0, "weeks": 0,
    "income": "- 50000",
}  # fmt: skip
PEOPLE: list[dict[str, object]] = [
    {},
    {"age": 31, "marital": "Never married", "wage": 1_200, "weeks": 52, "msa": "MSA to MSA", "hispanic": "NA"},
    {"age": 45, "income": "50000+", "employers": 6, "weeks": 52, "filer": "Joint both under 65"},
    {"age": 9, "marital": "Never married", "msa": "Nonmover"},
]


@pytest.fixture
def census(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = registry.module("datasets", "census_income")
    monkeypatch.setattr(module, "ROWS", {"train": 8, "test": 4})
    return module


def text(people: list[dict[str, object]]) -> bytes:
    return "".join(LINE.format(**(BASE | one)) for one in people).encode()


TRAIN, TEST = text(PEOPLE + [{"age": 20 + i, "income": ("- 50000", "50000+")[i % 2], "weeks": i} for i in range(4)]), text(PEOPLE)


def archive(nested: bool) -> bytes:
    """As the repository has it: census.tar.gz inside the zip, or, as of old, the files themselves."""
    out, inner = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as tar:
        for name, data in (("census-income.names", b"| words"), ("census-income.data", TRAIN), ("census-income.test", TEST)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as opened:
        if nested:
            opened.writestr("census.tar.gz", inner.getvalue())
        else:
            opened.writestr("census-income.data", TRAIN)
            opened.writestr("census-income.test", TEST)
    return out.getvalue()


@pytest.fixture
def mine(tmp_path: Path, census: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "census-income.data").write_bytes(TRAIN)
    (tmp_path / "census-income.test.gz").write_bytes(gzip.compress(TEST))
    return tmp_path


@pytest.fixture
def cohort(mine: Path) -> Cohort:
    return registry.load("census_income")


def test_the_two_tasks(cohort: Cohort) -> None:
    assert cohort.task_names == ("income_50k", "never_married")
    # people of PEOPLE, then ages 20 to 23, then PEOPLE again
    assert cohort.labels[:, 0].tolist() == [0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0]
    assert cohort.labels[:, 1].tolist() == [0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1]


def test_columns_of_the_published_layout(cohort: Cohort, census: ModuleType) -> None:
    assert len(census.COLUMNS) == len(LINE.split(", ")) == 42
    frame = cohort.inputs.of(Tabular)["table"].frame
    assert not {"education", "marital stat", "instance weight", "income"} & set(frame)
    assert frame["age"].tolist() == [73, 31, 45, 9, 20, 21, 22, 23, 73, 31, 45, 9]
    assert frame["wage per hour"].tolist()[:3] == [0, 1_200, 0]
    assert frame["hispanic origin"].tolist()[:2] == ["All other", "NA"]  # a word of the source, not missing
    assert frame["migration code-change in msa"].astype(object).fillna("-").tolist()[:4] == ["-", "MSA to MSA", "-", "Nonmover"]
    codes = {c for c in frame if isinstance(frame[c].dtype, pd.CategoricalDtype)}
    assert set(frame) - codes == set(census.NUMERIC)
    assert frame["detailed industry recode"].tolist()[0] == "0"  # a code, not a number
    # 38 features; what is "?" for everybody here is dropped with a notice
    assert frame.shape[1] == 35
    assert "3 columns without any value" in cohort.notices[0]


def test_the_published_partition(cohort: Cohort, mine: Path) -> None:
    assert cohort.subgroups is not None
    part = cohort.subgroups["part"].tolist()
    assert part[:8] == ["train"] * 8
    assert sorted(part[8:]) == ["test", "test", "valid", "valid"]
    assert cohort.patients.tolist() == [f"train {i}" for i in range(1, 9)] + [f"test {i}" for i in range(1, 5)]
    test = registry.load("census_income:part=test")
    np.testing.assert_array_equal(test.labels, cohort.labels[8:])
    assert test.subgroups is not None
    assert test.subgroups["part"].tolist() == part[8:]  # the same half as with the training rows


def test_the_papers_split_is_the_default(cohort: Cohort) -> None:
    spec, part = registry.parse("datasets", "census_income,census_income:part=train")
    (protocol,) = wanted(spec, None, None)
    made = splits.of(cohort, protocol.split)
    (fold,) = made.parts
    assert fold.train.tolist() == list(range(8))
    assert sorted([*fold.valid, *fold.test]) == [8, 9, 10, 11]
    assert len(fold.valid) == len(fold.test) == 2
    assert wanted(part, None, None)[0].split == wanted(spec, "random", None)[0].split == "random"


def test_half_of_the_published_test_rows_validate(census: ModuleType) -> None:
    part = census.halved(pd.Series(["train"] * 199_523 + ["test"] * 99_762))
    assert part.value_counts().to_dict() == {"train": 199_523, "valid": 49_881, "test": 49_881}  # 99,762 / 2
    assert (part[:199_523] == "train").all()
    # the same rows for ever; kept from the first run
    assert np.flatnonzero(part == "valid")[:5].tolist() == [199_524, 199_525, 199_526, 199_534, 199_536]


def test_the_card_has_the_published_numbers() -> None:
    card = cards.dataset("census_income").text()
    # Ma et al. 2018, table 1 (group 1): best / mean of 400
    for name, best, mean in (("single_task", 0.9398, 0.9337), ("hard_sharing", 0.9361, 0.9295), ("mmoe", 0.9410, 0.9359)):
        assert re.search(rf"{best:.4f} / {mean:.4f} +{name}\n".replace("0.", r"\."), card)


def test_without_what_names_the_marital_status(mine: Path, cohort: Cohort) -> None:
    frame = registry.load("census_income:household=false").inputs.of(Tabular)["table"].frame
    gone = set(cohort.inputs.of(Tabular)["table"].frame) - set(frame)
    assert gone == {"detailed household and family stat", "detailed household summary in household", "tax filer stat"}


@pytest.mark.parametrize("nested", [True, False])
def test_the_archive_gives_the_same_as_the_files(mine: Path, cohort: Cohort, nested: bool) -> None:
    for path in mine.glob("census-income*"):
        path.unlink()
    (mine / "census+income+kdd.zip").write_bytes(archive(nested))
    assert registry.load("census_income").digest == cohort.digest


def test_the_archive_is_fetched_once(census: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = FileServer()
    server.files["kdd.zip"] = archive(True)
    one = sources.Url(
        address=f"{server.url}/kdd.zip", name=census.ARCHIVE.name, what="", size=(100, 10_000), check=census.ARCHIVE.check
    )
    monkeypatch.setattr(census, "WEB", sources.Web(dataset="census_income", page="", files=(one,)))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("BENCH_DATA_DIR", raising=False)
    try:
        assert len(registry.load("census_income")) == len(registry.load("census_income")) == 12
        assert len(server.asked) == 1
    finally:
        server.close()


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("census-income.data", TRAIN + TEST, "census-income.data has 12 rows"),
        ("census-income.data", TRAIN.replace(b"50000+.", b"rich."), "the income in census-income.data is 'rich.', where"),
        ("census-income.data", TRAIN.replace(b"50000+.\n", b"50000+., 1\n"), "census-income.data does not read so"),
        ("census-income.data", TRAIN.replace(b"73, Not", b"old, Not"), "census-income.data does not read so"),
        ("census-income.data", TRAIN.replace(b", 95, ", b", "), "census-income.data"),
    ],
    ids=["rows", "income", "a field more", "no number", "a field less"],
)
def test_files_that_do_not_fit(mine: Path, name: str, data: bytes, says: str) -> None:
    (mine / name).write_bytes(data)
    with pytest.raises(BenchError) as caught:
        registry.load("census_income")
    said = str(caught.value)
    assert "Census-Income must have 8 rows of 42 fields in census-income.data and 4 rows" in said
    assert says in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"PK no", "cannot be read"), (archive(True)[:-40], "cannot be read"), (b"<html>", "cannot be read")],
)
def test_an_archive_that_does_not_fit(mine: Path, data: bytes, says: str) -> None:
    for path in mine.glob("census-income*"):
        path.unlink()
    (mine / "census+income+kdd.zip").write_bytes(data)
    with pytest.raises(BenchError) as caught:
        registry.load("census_income")
    assert str(caught.value).startswith(f"{mine}/census+income+kdd.zip cannot be used: census+income+kdd.zip {says}")
