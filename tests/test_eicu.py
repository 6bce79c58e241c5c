"""eICU-CRD on files of the published layout that are written here: who is in, what is seen, and five outcomes by hand."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import eicu_files
import numpy as np
import pandas as pd
import pytest

from bench import registry
from bench.core import BenchError, Cohort, Series, Tabular, Text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("mine")
    eicu_files.write(path / "eicu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_DATA_DIR", str(path))  # the folder in it that bears the dataset's name
        patch.setenv("BENCH_CACHE", str(path / "cache"))
        yield path


@pytest.fixture(scope="module")
def cohort(folder: Path) -> Cohort:
    return registry.load("eicu:notes=true")


def test_who_is_in(cohort: Cohort) -> None:
    # Stays 1-8, 12 and 14. Not: second visits (41, 51), the child 9, 11's 20 hours, the step-down unit of 13 and 52, 15 without an
    # age, 16 that is a return from elsewhere
    assert cohort.groups.tolist() == ["A", "B", "C", "D", "E", "F", "G", "G", "J", "L"]
    assert cohort.site is not None
    assert cohort.site.tolist() == ["60", "59", "60", "59", "60", "59", "60", "59", "59", "59"]  # 59 + an odd number's 1
    assert cohort.time is not None
    assert set(cohort.time.astype(str)) == {"2014-01-01"}


NO = float("nan")
EXPECTED = {
    # B in the unit and J on the ward; how L's stay ended is not told
    "death": [0, 1, 0, 0, 0, 0, 0, 0, 1, NO],
    # both dead, C (9 days) and G's second (10 days); L left at exactly 7 days, alive or dead
    "stay_7d": [0, 1, 1, 0, 0, 0, 0, 1, 1, NO],
    # D; E was moved between units, the first time from step-down; B died in the unit
    "icu_readmission": [0, NO, 0, 1, 0, 0, 0, 0, 0, 0],
    # D: 1.4 - 1.1 in 38 h. E: 0.75 / 0.5. Unknown: B not later, C never, F by hour 20 already, G's second after 9 days, L not before
    "new_aki": [0, NO, NO, 1, 1, NO, 0, NO, 0, NO],
    # B's treatment, D's ventilator, F's tube and the weaning of G's second; C at hour 3, G's surgical treatment at hour 5 and L by
    # APACHE: before. E and J: non-invasive. A: no airway
    "new_ventilation": [0, 1, NO, 1, 0, 1, NO, 1, 0, NO],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_labels_by_hand(cohort: Cohort, name: str) -> None:
    np.testing.assert_array_equal(cohort.labels[:, cohort.task_names.index(name)], np.array(EXPECTED[name], np.float32))


def test_series_of_the_first_day_alone(cohort: Cohort) -> None:
    series = cohort.inputs.modalities["series"]
    assert isinstance(series, Series)
    first = slice(series.offsets[0], series.offsets[1])
    names = [series.channels[c] for c in series.channel[first]]
    seen = list(zip(names, series.time[first].tolist(), series.value[first].tolist(), strict=True))
    # 1,440 - minute; 98.6 F = 37 C; 4.4 was the revision, and the higher one. The hour of minutes 600-615: mean of 80, 93 and 100 without 900, at 615
    assert [(name, time) for name, time, _ in seen] == [
        ("temperature", 1_380), ("map", 1_350), ("gcs", 1_320), ("creatinine", 1_320), ("potassium", 1_140),
        ("heart_rate", 825), ("heart_rate", 780), ("heart_rate", 1),
    ]  # fmt: skip
    np.testing.assert_allclose([value for *_, value in seen], [37, 75, 15, 1.0, 4.4, 91, 70, 60], rtol=1e-6)
    assert series.present.tolist() == [True, True, False, True, True, True, True, True, True, False]


def test_table_and_subgroups(cohort: Cohort) -> None:
    table = cohort.inputs.modalities["table"]
    assert isinstance(table, Tabular)
    assert table.frame["age"].tolist() == [60, 90, 50, 64, 65, 81, 40, 41, 77, 18]  # "> 89" is 90
    assert table.frame["height"].isna().tolist() == [True, *[False] * 9]  # 1.7 was in metres
    assert table.frame["hours_before"].tolist() == [2.0] * 10
    assert cohort.subgroups is not None
    assert cohort.subgroups["race"].tolist() == ["Caucasian"] * 4 + [""] * 6
    assert cohort.subgroups["sex"].tolist()[:2] == ["female", "male"]


def test_notes_entered_within_the_first_day(cohort: Cohort) -> None:
    notes = cohort.inputs.modalities["notes"]
    assert isinstance(notes, Text)
    assert notes.strings[0] == "Progress Notes/1: first, with\na line\nProgress Notes/0: second"
    assert notes.present.tolist() == [True, *[False] * 9]


def test_the_second_load_reads_the_copy(cohort: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
    assert registry.load("eicu:notes=true").digest == cohort.digest
    assert capsys.readouterr().err == ""


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    eicu_files.write(tmp_path)
    (tmp_path / "nurseCharting.csv.gz").unlink()
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    with pytest.raises(BenchError, match=r"eicu needs nurseCharting\.csv\.gz, but .* has none.*physionet\.org/content/eicu-crd"):
        registry.load("eicu")


def test_the_order_of_the_rows_is_of_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[pd.DataFrame] = []
    for backwards in (False, True):
        own = tmp_path / str(backwards)
        eicu_files.write(own, backwards)
        monkeypatch.setenv("BENCH_DATA_DIR", str(own))
        monkeypatch.setenv("BENCH_CACHE", str(own / "cache"))
        eicu = registry.module("datasets", "eicu")
        events = eicu.TABLES.read("events", eicu._MEASURED, eicu._EVENTS)
        made.append(events.sort_values(["row", "minute", "channel", "value"], ignore_index=True))
    pd.testing.assert_frame_equal(made[0], made[1], check_exact=True)


# Of the treatment dictionary, as eicu-code's users list them for ventilation
@pytest.mark.parametrize(
    ("treatment", "invasive"),
    [
        ("pulmonary|ventilation and oxygenation|mechanical ventilation|assist controlled", True),
        ("pulmonary|ventilation and oxygenation|ventilator weaning|slow", True),
        ("surgery|pulmonary therapies|mechanical ventilation|pressure support", True),
        ("surgery|pulmonary therapies|ventilator weaning", True),
        ("toxicology|drug overdose|mechanical ventilation", True),
        ("pulmonary|radiologic procedures / bronchoscopy|endotracheal tube", True),
        ("pulmonary|radiologic procedures / bronchoscopy|reintubation", True),
        ("pulmonary|surgery / incision and drainage of thorax|tracheostomy|planned", True),
        ("pulmonary|ventilation and oxygenation|mechanical ventilation|non-invasive ventilation|face mask", False),
        ("surgery|pulmonary therapies|non-invasive ventilation", False),
        ("pulmonary|ventilation and oxygenation|oxygen therapy (> 60%)", False),
        ("pulmonary|ventilation and oxygenation|CPAP/PEEP therapy", False),
    ],
)
def test_treatments_that_are_invasive_ventilation(treatment: str, invasive: bool) -> None:
    eicu = registry.module("datasets", "eicu")
    with duckdb.connect() as base:
        found = base.execute(f"SELECT {eicu.INVASIVE} FROM (SELECT ? AS treatmentstring)", [treatment]).fetchall()
    assert found == [(invasive,)]
