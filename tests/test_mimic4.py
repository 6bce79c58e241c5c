"""MIMIC-IV on files of the published layout that are written here: who is in, what is seen, and five outcomes by hand."""

import gzip
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import mimic_files
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import registry
from bench.core import BenchError, Cohort, Series, Tabular, Text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("mine")
    mimic_files.write(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_DATA_DIR", str(path))
        patch.setenv("BENCH_CACHE", str(path / "cache"))
        yield path


@pytest.fixture(scope="module")
def cohort(folder: Path) -> Cohort:
    return registry.load("mimic4:notes=true")


def test_who_is_in(cohort: Cohort) -> None:
    # Not: the child 108, the 20 hours of 109, the death at hour 20 of 110. 104's second stay is no row; 107 has two admissions
    assert cohort.patients.tolist() == ["101", "102", "103", "104", "105", "106", "107", "107", "111", "112"]
    assert cohort.groups.tolist() == cohort.patients.tolist()
    assert cohort.time is not None
    # the group 2014 - 2016 is of the anchor year, 2149: admissions of 2150 are of 2015-2017, 107's second of 2151 is of 2016-2018
    assert cohort.time.astype("datetime64[Y]").astype(str).tolist() == ["2015"] * 7 + ["2016"] + ["2015"] * 2


NO = float("nan")
EXPECTED = {
    # 102 in the unit, 104 back in it and 111 on the ward
    "death": [0, 1, 0, 1, 0, 0, 0, 0, 1, 0],
    # those three, 103 (9 days) and 107's second (10 days); 112 stays exactly 7
    "stay_7d": [0, 1, 1, 1, 0, 0, 0, 1, 1, 0],
    # 104, though dead 5 hours after the first stay; 102 died in the unit, 3 hours after its outtime
    "icu_readmission": [0, NO, 0, 1, 0, 0, 0, 0, 0, 0],
    # 104: 1.3 - 1.0 = 0.3 in 38 h. 105: 0.75 / 0.5 = 1.5. Unknown: 102 not later, 103 never, 106 by hour 20 already, 107's second
    # only after 9 days, 112 not before hour 24. 107: + 0.3 in 58 h. 111: 0.2 lies 8 days back, 3.0 after the discharge
    "new_aki": [0, NO, NO, 1, 1, NO, 0, NO, 0, NO],
    # 102 at hour 30, 106 intubated at 26; 103 at hour 3 and 112 an hour before the unit: before. 105: through a mask
    "new_ventilation": [0, 1, NO, 0, 0, 1, 0, 0, 0, NO],
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
    # hours 1, 2, 5, 10, 12 and 15 of 24; 98.6 F = 37 C; 0.5 = 50 %. Not: 999, an empty value and a tube's 1, hour 24, before and later
    assert [(name, time) for name, time, _ in seen] == [
        ("temperature", 1_380), ("creatinine", 1_320), ("potassium", 1_140), ("heart_rate", 840), ("fio2", 720), ("gcs_verbal", 540),
    ]  # fmt: skip
    np.testing.assert_allclose([value for *_, value in seen], [37, 1.0, 4.0, 80, 50, 1], rtol=1e-6)
    assert series.units[series.channels.index("temperature")] == "C"
    assert series.present.tolist() == [True, True, False, True, True, True, True, True, True, False]


def test_table_and_subgroups(cohort: Cohort) -> None:
    table = cohort.inputs.modalities["table"]
    assert isinstance(table, Tabular)
    # the anchor year lies a year before the admission, and 107's second two
    assert table.frame["age"].tolist() == [60, 70, 50, 64, 65, 81, 40, 41, 77, 18]
    assert table.frame["hours_before"].tolist() == [2.0] * 10
    assert list(table.frame.columns) == ["age", "hours_before", "sex", "admission_type", "unit"]  # no place is known: dropped
    assert cohort.subgroups is not None
    assert cohort.subgroups["race"].tolist()[:6] == ["WHITE", "BLACK", "", "OTHER", "HISPANIC", "ASIAN"]
    assert cohort.subgroups["age"].tolist() == ["50-64", "65-79", "50-64", "50-64", "65-79", "80+", "<50", "<50", "65-79", "<50"]
    assert cohort.subgroups["sex"].tolist()[:2] == ["male", "female"]


def test_reports_of_the_first_day_in_their_order(cohort: Cohort) -> None:
    reports = cohort.inputs.modalities["radiology"]
    assert isinstance(reports, Text)
    # charted at hour 30, and charted at 23 but stored at 25: neither was there at hour 24
    assert reports.strings.tolist() == ['First.\n\nSecond, with a "quote"\nand a line.', *[""] * 9]
    assert reports.present.tolist() == [True, *[False] * 9]


def test_the_second_load_reads_the_copy(folder: Path, cohort: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
    assert registry.load("mimic4:notes=true").digest == cohort.digest
    assert capsys.readouterr().err == ""
    assert "radiology" not in registry.load("mimic4").inputs.modalities
    assert sum(path.name.startswith("mimic4-events") for path in (folder / "cache").iterdir()) == 1


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA_DIR", raising=False)
    with pytest.raises(
        BenchError, match=r"mimic4 needs hosp/patients\.csv\.gz, but no --data-dir.*physionet\.org/content/mimiciv"
    ):
        registry.load("mimic4")
    mimic_files.write(tmp_path)
    (tmp_path / "note/radiology.csv.gz").unlink()
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    with pytest.raises(BenchError, match=r"mimic4 needs note/radiology\.csv\.gz, but .* has none.*hosp/ and icu/"):
        registry.load("mimic4:notes=true")


def test_other_columns_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mimic_files.write(tmp_path)
    file = tmp_path / "hosp/admissions.csv.gz"
    file.unlink()
    file.with_suffix("").write_text("subject_id,hadm_id\n1,2\n")  # a plain .csv will do, but not without its columns
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(BenchError, match=r"admissions\.csv.*must have the columns of the published release.*admittime"):
        registry.load("mimic4")


def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    mimic_files.write(tmp_path)
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_a_file_cut_short_is_not_called_another_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = other(tmp_path, monkeypatch) / "hosp/labevents.csv.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(
        BenchError, match=r"^mimic4: .*labevents\.csv\.gz.* could not be read \(.*GZIP.*\)\. Are they whole"
    ) as caught:
        registry.load("mimic4")
    assert "\n" not in str(caught.value)


def test_too_little_memory_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other(tmp_path, monkeypatch)
    monkeypatch.setattr(registry.module("datasets", "mimic4")._icu, "MEMORY", "1MB")
    with pytest.raises(BenchError, match=r"^mimic4: .* could not be read \(Out of Memory Error"):
        registry.load("mimic4")


def test_a_damaged_row_is_not_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = other(tmp_path, monkeypatch) / "hosp/patients.csv.gz"
    text = gzip.decompress(file.read_bytes()).decode()
    lines = ["900,F,59,2149,2014 - 2016,"] * 30_000  # more than DuckDB looks at beforehand
    file.write_bytes(gzip.compress("\n".join([text.strip(), *lines, "999,F,secret"]).encode()))
    with pytest.raises(BenchError, match=r"must have the columns of .* \(.*Line: 30014 of patients\.csv\.gz\)") as caught:
        registry.load("mimic4")
    assert "secret" not in str(caught.value)


def test_another_file_of_the_same_size_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = other(tmp_path, monkeypatch) / "hosp/patients.csv.gz"
    file.unlink()
    rows = [f"{p},F,59,2149,2014 - 2016," for p in (*range(101, 113),)]
    plain = file.with_suffix("")
    plain.write_text("\n".join(["subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod", *rows, ""]))
    ages = [registry.load("mimic4").inputs.of(Tabular)["table"].frame["age"].iloc[0]]
    plain.write_text(plain.read_text().replace("101,F,59", "101,F,69"))
    ages.append(registry.load("mimic4").inputs.of(Tabular)["table"].frame["age"].iloc[0])
    assert ages == [60, 70]  # a year after the anchor


def test_a_cache_that_cannot_be_made_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (other(tmp_path, monkeypatch) / "in the way").touch()
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "in the way" / "cache"))
    with pytest.raises(BenchError, match=r"^mimic4-stays-\w+ cannot be kept in .*: Not a directory\..*set BENCH_CACHE"):
        registry.load("mimic4")


def test_an_interrupt_of_a_long_scan_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other(tmp_path, monkeypatch)
    code = (
        "from bench import registry; from bench.core import BenchError\n"
        "try: registry.module('datasets', 'mimic4').TABLES.read('x', [], 'SELECT hash(sum(range)) FROM range(100000000000)')\n"
        "except BenchError as error: print(error)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "reading x once" in process.stderr.readline()
        time.sleep(1)  # until DuckDB is at it
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
    assert re.fullmatch(r"interrupted while mimic4-x-\w+ was made; nothing was kept\. The same command starts again\.\n", said)
    assert not any((tmp_path / "cache").iterdir())


def slow_injury(measured: list[tuple[int, int]], left: float) -> float:
    """KDIGO by creatinine in tenths of mg/dL, so that nothing is rounded: (hour, tenths) one by one."""
    inside = sorted((h, v) for h, v in measured if -168 <= h <= min(left, 192))
    met = [any((h - 168 <= g and 2 * v >= 3 * w) or (h - 48 <= g and v - w >= 3) for g, w in inside if g < h) for h, v in inside]
    early, late = [h for h, _ in inside if h < 24], [h for h, _ in inside if h >= 24]
    if not early or not late or any(m for m, (h, _) in zip(met, inside, strict=True) if h < 24):
        return float("nan")
    return float(any(met))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.integers(-200, 220), st.integers(3, 22), max_size=8).map(lambda d: list(d.items())),
        min_size=1,
        max_size=6,
    ),
    st.integers(24, 250),
)
def test_injury_against_every_pair(stays: list[list[tuple[int, int]]], left: int) -> None:
    module = registry.module("datasets", "mimic4")
    events = [(row, hour * 60.0, tenths / 10) for row, stay in enumerate(stays) for hour, tenths in stay]
    frame = pd.DataFrame(events, columns=["row", "minute", "value"]).astype({"row": int, "minute": float, "value": float})
    got = module._icu.injury(frame, np.full(len(stays), left * 60.0))
    np.testing.assert_array_equal(got, [slow_injury(stay, left) for stay in stays])


def test_a_long_scan_tells_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    module = registry.module("datasets", "mimic4")
    with duckdb.connect() as base, module._icu._progress(base, "mimic4: events", every=0.01):
        base.execute("SELECT count(*) FROM range(30000000) a WHERE hash(a.range) % 7 = 1").fetchall()
    assert "bench: mimic4: events" in capsys.readouterr().err
