"""A first cohort file: what is proposed as an outcome, what is not, and what only the user can say."""

import random
from pathlib import Path

import pytest

from bench.cohorts import build, guess, reading
from bench.core import BenchError

RNG = random.Random(0)


def first(folder: Path, header: str, lines: list[str]) -> str:
    (folder / "t.csv").write_text("\n".join([header, *lines]) + "\n")
    return guess.first([folder / "t.csv"], folder / "mine.toml")


def outcomes(text: str) -> list[str]:
    """The lines of [outcomes], without their comments."""
    part = text.partition("\n[outcomes]")[2].partition("[columns]")[0]
    return [line.partition("  #")[0] for line in part.splitlines()[1:] if line]


def test_stays_are_outcomes_and_names_of_stays_are_not(tmp_path: Path) -> None:
    header = "patient_id,stay_id,icustay_no,los_days,length_of_stay,pre_stay,age"
    lines = [f"{i},{i % 9},{i % 8},{i % 20},{i + 0.5},{i % 11},{50 + i % 30}" for i in range(60)]
    # length_of_stay is another number in every row, as a time is; the two names are of a few wards each
    assert outcomes(first(tmp_path, header, lines)) == ['los_days_over_7 = "los_days > 7"']


@pytest.mark.parametrize(
    ("yes", "no", "rule"),
    [
        ("J", "N", 'verstorben = "\\"verstorben\\" = \'J\'"'),
        ("ja", "nein", 'verstorben = "\\"verstorben\\" = \'ja\'"'),
        ("x", "", 'verstorben = "\\"verstorben\\" IS NOT NULL"'),
        ("verstorben", "lebend", 'verstorben = "\\"verstorben\\" = \'verstorben\'"'),
        ("early", "late", ""),
        ("m", "w", ""),
    ],
)
def test_words_for_yes_and_no(tmp_path: Path, yes: str, no: str, rule: str) -> None:
    lines = [f"{i // 2},{yes if RNG.random() < 0.4 else no},{RNG.gauss(60, 9):.1f}" for i in range(80)]
    text = first(tmp_path, "patient,verstorben,age", lines)
    assert outcomes(text) == ([rule] if rule else [])
    if rule:
        (tmp_path / "mine.toml").write_text(text)
        labels = build.make(reading.read(tmp_path / "mine.toml")).labels
        assert labels[:, 0].tolist() == [float(f",{yes}," in line) for line in lines]


def test_a_decimal_mark_that_cannot_be_told_is_written_down(tmp_path: Path) -> None:
    lines = [f"{i};{i % 2};{i / 10:.1f};{i % 7 + 1}.{i:03}".replace(".", ",", 1) for i in range(1, 60)]
    text = first(tmp_path, "patient;dead;crea;platelets", lines)
    assert 'table = { file = "t.csv", decimal = "," }' in text
    assert "# t.csv, column 'platelets': every point in it stands before three digits" in text
    (tmp_path / "mine.toml").write_text(text)
    assert reading.read(tmp_path / "mine.toml").frame["platelets"].max() >= 1_000


def test_a_web_page_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"^t\.csv is an HTML page, not a table$"):
        first(tmp_path, "<!DOCTYPE html>", ["<html><body>Please log in</body></html>"])


def test_a_database_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "t.sqlite").touch()
    with pytest.raises(BenchError, match=r't\.sqlite is a database, .* table = \{ database = "t\.sqlite", query = "SELECT'):
        guess.first([tmp_path / "t.sqlite"], tmp_path / "mine.toml")


def test_the_key_of_a_long_table_names_the_rows(tmp_path: Path) -> None:
    lines = [f"P{i // 2},F{i},{'ja' if i % 3 else 'nein'},{i % 2},{i % 12},{50 + i % 30}" for i in range(60)]
    labs = [f"F{i},{-h},crea,{i / 10}" for i in range(60) for h in range(3)]
    (tmp_path / "labor.csv").write_text("\n".join(["Fallnummer,stunde,parameter,wert", *labs]))
    (tmp_path / "t.csv").write_text("\n".join(["PatNr,Fallnummer,ITS,Raucher,Verweildauer,Alter", *lines]))
    text = guess.first([tmp_path / "t.csv", tmp_path / "labor.csv"], tmp_path / "mine.toml")
    assert 'row = "Fallnummer"  # a name for each row, by which labor.csv knows it' in text
    assert outcomes(text) == ['ITS = "\\"ITS\\" = \'ja\'"', 'Verweildauer_over_7 = "\\"Verweildauer\\" > 7"']
    assert "# columns of yes and no that are taken as features, and may be outcomes: Raucher" in text
    (tmp_path / "mine.toml").write_text(text)
    series = build.make(reading.read(tmp_path / "mine.toml")).modalities["labor"]
    assert series.channels == ("crea",)
    assert len(series.value) == 180
