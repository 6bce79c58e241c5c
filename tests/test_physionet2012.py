"""PhysioNet 2012 against DATA.md, its outcomes by hand, and small archives of the published layout."""

import io
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from file_server import FileServer

from bench import registry, sources
from bench.cohorts import leaks
from bench.core import BenchError, Cohort, Series, Tabular
from bench.sources import http

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "physionet2012"
HEADING = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death"


@pytest.fixture(scope="module")
def physionet() -> ModuleType:
    return registry.module("datasets", "physionet2012")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder beside the checkout as the user's, and a cache of the test's own."""
    if not SHARED.is_dir():
        pytest.skip("needs the original files in ../shared/data/physionet2012")
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_DATA_DIR", str(SHARED))
        patch.setenv("BENCH_CACHE", str(cache))
        yield cache


@pytest.fixture(scope="module")
def cohort(home: Path) -> Cohort:
    start = time.monotonic()
    made = registry.load("physionet2012")
    assert time.monotonic() - start < 60
    return made


def counted(cohort: Cohort) -> dict[str, tuple[int, int]]:
    counts = zip(cohort.mask.sum(axis=0).tolist(), np.nansum(cohort.labels, axis=0).tolist(), strict=True)
    return dict(zip(cohort.task_names, counts, strict=True))


def test_known_labels_and_events(cohort: Cohort) -> None:
    # DATA.md, the table of outcomes. new_aki by its rule (differences rounded: 1.1 -> 1.4 counts), see the next test
    assert counted(cohort) == {
        "death": (8_000, 1_122),
        "stay_7d": (7_886, 5_590),
        "new_ventilation": (3_222, 262),
        "new_aki": (6_054, 832),
        "new_hypotension": (3_494, 782),
    }


def test_the_counts_of_the_data_page_are_those_of_unrounded_float32(cohort: Cohort, home: Path) -> None:
    other = registry.load("physionet2012:aki=float32")
    assert counted(other) == counted(cohort) | {"new_aki": (6_318, 783)}
    assert np.array_equal(np.delete(other.labels, 3, 1), np.delete(cohort.labels, 3, 1), equal_nan=True)


def test_table(cohort: Cohort) -> None:
    frame = cohort.inputs.of(Tabular)["table"].frame
    assert set(frame) == {"Age", "Gender", "Height", "ICUType", "Weight"}
    assert round(100 * frame["Height"].isna().mean(), 1) == 47.8  # DATA.md
    assert (frame[["Age", "Height", "Weight"]].min() > 0).all()
    assert frame["Gender"].cat.categories.tolist() == ["female", "male"]
    assert frame["ICUType"].value_counts().sum() == 8_000
    assert len(set(cohort.patients)) == 8_000
    assert cohort.subgroups is not None
    assert cohort.subgroups["sex"].tolist() == frame["Gender"].astype(object).fillna("").tolist()


def test_series(cohort: Cohort, physionet: ModuleType, home: Path) -> None:
    series = cohort.inputs.of(Series)["series"]
    assert len(series.channels) == 36
    assert series.time.min() >= 1  # minute 1,439 at the latest: nothing of hour 24 itself
    assert series.time.max() == 1_440
    assert (~series.present).sum() == 14
    _, events = physionet.tables(sources.read(physionet.WEB))
    assert len(events) / 8_000 == pytest.approx(434, abs=0.5)  # DATA.md
    assert 8_000 - events["row"].nunique() == 10  # DATA.md: ten stays have no series
    within = np.diff(series.time) <= 0  # oldest first
    starts = series.offsets[1:-1]
    within[starts[(starts > 0) & (starts < len(series.time))] - 1] = True
    assert within.all()
    # the first stay of set a, as its text begins: 00:07 GCS 15, HR 73, NIDiasABP 65, NIMAP 92.33
    first = [(series.channels[series.channel[i]], series.time[i], round(float(series.value[i]), 2)) for i in range(4)]
    assert first == [("GCS", 1_433, 15), ("HR", 1_433, 73), ("NIDiasABP", 1_433, 65), ("NIMAP", 1_433, 92.33)]


def test_the_series_that_tells_ventilation_is_left_out_and_would_be_alarmed(
    cohort: Cohort, physionet: ModuleType, home: Path
) -> None:
    stays, events = physionet.tables(sources.read(physionet.WEB))
    name = events["channel"].map(dict(enumerate(physionet.CHANNELS)))
    breathing, ventilated = (set(events.loc[name == one, "row"]) for one in ("RespRate", "MechVent"))
    assert (len(breathing), len(ventilated), len(breathing & ventilated)) == (2_228, 5_040, 0)  # in all of the 48 hours
    assert not leaks.search(cohort.inputs.modalities, cohort.tasks, cohort.labels, cohort.patients)
    whole = {"series": physionet.series(events, len(stays))}
    assert len(whole["series"].channels) == 37
    (alarm,) = leaks.search(whole, cohort.tasks, cohort.labels, cohort.patients)
    assert (alarm.column, alarm.kind, alarm.outcome) == ("series.RespRate", "missing", "new_ventilation")


# By hand

STAYS = pd.DataFrame({"Length_of_stay": [7, 8, 3, -1, -1], "In-hospital_death": [0, 0, 1, 0, 0]})


def labels(physionet: ModuleType, events: list[tuple[int, int, str, float]], aki: str = "rounded") -> np.ndarray:
    frame = pd.DataFrame(events, columns=["row", "minute", "name", "value"])
    frame["channel"] = frame["name"].map({name: i for i, name in enumerate(physionet.CHANNELS)}).astype(np.int8)
    return physionet.outcomes(STAYS, frame, aki)


def test_death_and_stay_by_hand(physionet: ModuleType) -> None:
    y = labels(physionet, [(0, 1, "HR", 80.0)])
    assert y[:, 0].tolist() == [0, 0, 1, 0, 0]
    np.testing.assert_array_equal(y[:, 1], [0, 1, 1, np.nan, np.nan])  # 7 days are not more than 7; died on day 3: not alive


def test_ventilation_and_hypotension_by_hand(physionet: ModuleType) -> None:
    vent = [(0, 1_439, "MechVent", 1.0), (0, 1_440, "MechVent", 1.0), (1, 1_440, "MechVent", 1.0), (2, 2_880, "MechVent", 1.0)]
    np.testing.assert_array_equal(labels(physionet, vent)[:, 2], [np.nan, 1, 1, 0, 0])  # 24:00 is the first minute of day 2
    pressure = [
        (0, 100, "MAP", 59.0), (0, 2_000, "NIMAP", 50.0),  # on day 1 already: not at risk
        (1, 100, "MAP", 60.0), (1, 2_000, "NIMAP", 59.9),  # new
        (2, 100, "MAP", 70.0), (2, 2_000, "MAP", 60.0),  # 60 is not below 60
        (3, 100, "MAP", 70.0), (3, 2_000, "MAP", 20.0),  # 20 is no pressure: not measured on day 2
        (4, 100, "MAP", 15.0), (4, 2_000, "MAP", 45.0),  # 15 is none either, so day 1 had no hypotension
    ]  # fmt: skip
    np.testing.assert_array_equal(labels(physionet, pressure)[:, 4], [np.nan, 1, 0, np.nan, 1])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1.1], [1.4], 1),  # + 0.3, though 1.4 - 1.1 is 0.2999999999999998
        ([1.1], [1.3], 0),
        ([0.5], [0.7], 0),  # 1.4 times and + 0.2
        ([0.4], [0.6], 1),  # 1.5 times
        ([0.2], [0.3], 1),  # 1.5 times, though 1.5 * 0.2 is 0.30000000000000004
        ([2.0], [2.3], 1),
        ([2.0, 1.0], [1.2], np.nan),  # on day 1 already: 2.0 against its lowest, 1.0
        ([1.2, 1.0], [1.3], 1),  # against the lowest, not the last
        ([1.0], [], np.nan),
        ([], [3.0], np.nan),
    ],
)
def test_kidney_injury_by_hand(physionet: ModuleType, first: list[float], second: list[float], expected: float) -> None:
    events = [(0, 60 + i, "Creatinine", v) for i, v in enumerate(first)] + [(0, 1_500, "Creatinine", v) for v in second]
    np.testing.assert_array_equal(labels(physionet, [*events, (1, 1, "HR", 1.0)])[0, 3], expected)


def test_float32_misses_what_rounding_finds(physionet: ModuleType) -> None:
    events = [(0, 60, "Creatinine", 1.1), (0, 1_500, "Creatinine", 1.4)]
    assert [labels(physionet, events, aki)[0, 3] for aki in ("rounded", "float32")] == [1, 0]


# Small archives of the published layout

TEXTS: Mapping[str, str] = {
    "set-a/100001.txt": "00:00,RecordID,100001\n00:00,Age,54\n00:00,Gender,0\n00:00,Height,-1\n00:00,ICUType,4\n00:00,Weight,-1\n"
    "00:07,HR,73\n01:07,Temp,35.1\n01:07,Weight,80.5\n24:00,HR,90\n",
    "set-a/100002.txt": "00:00,RecordID,100002\n00:00,Age,90\n00:00,Gender,-1\n00:00,Height,175.3\n00:00,ICUType,1\n00:00,Weight,70\n"
    "00:00,Weight,70.8\n48:00,HR,60",  # two weights, and no end of the last line
    "set-b/200001.txt": "00:00,RecordID,200001\n00:00,Age,33\n00:00,Gender,1\n00:00,Height,180\n00:00,ICUType,2\n00:00,Weight,71\n",
    "set-b/200002.txt": "00:00,RecordID,200002\n00:00,Age,40\n00:00,Gender,1\n00:00,Height,181\n00:00,ICUType,3\n00:00,Weight,72\n"
    "23:59,pH,735\n00:30,pH,7.4\n",
}  # fmt: skip


def files(texts: Mapping[str, str], heading: str = "Time,Parameter,Value\n") -> dict[str, bytes]:
    out: dict[str, bytes] = {}
    for which in "ab":
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr(f"set-{which}/", "")
            for name, text in texts.items():
                if name.startswith(f"set-{which}"):
                    opened.writestr(name, heading + text)
        first = 100_001 if which == "a" else 200_001
        rows = [f"{first + i},{i},{i},{i},-1,{i}" for i in range(2)]
        out |= {f"set-{which}.zip": archive.getvalue(), f"Outcomes-{which}.txt": "\n".join([HEADING, *rows, ""]).encode()}
    return out


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, physionet: ModuleType) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(sys.modules["bench.datasets._physionet2012_files"], "STAYS", 2)
    return tmp_path


def test_a_small_archive(own: Path, physionet: ModuleType) -> None:
    stays, events = physionet.tables(files(TEXTS))
    table = physionet.descriptors(stays)
    assert table["Age"].tolist() == [54, 90, 33, 40]
    assert table["Gender"].astype(object).where(table["Gender"].notna(), None).tolist() == ["female", None, "male", "male"]
    assert table["ICUType"].tolist() == ["surgical", "coronary care", "cardiac surgery recovery", "medical"]
    np.testing.assert_array_equal(table["Height"], [np.nan, 175.3, 180, 181])
    np.testing.assert_array_equal(table["Weight"], [np.nan, 70.8, 71, 72])  # -1 is unknown, the later of two counts
    series = physionet.series(events, 4)
    assert series.offsets.tolist() == [0, 3, 3, 3, 5]
    assert series.present.tolist() == [True, False, False, True]
    assert [series.channels[c] for c in series.channel] == ["HR", "Temp", "Weight", "pH", "pH"]
    assert series.time.tolist() == [1_433, 1_373, 1_373, 1_410, 1]  # 24:00 is no feature; sorted, though the text is not
    assert series.value.tolist() == pytest.approx([73, 35.1, 80.5, 7.4, 735])


def test_the_parquet_copy_is_used_and_made_again_when_damaged(own: Path, physionet: ModuleType) -> None:
    _, events = physionet.tables(files(TEXTS))
    (copy,) = (own / "cache").glob("physionet2012-*")
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-1])
    pd.testing.assert_frame_equal(physionet.tables(files(TEXTS))[1], events)
    assert copy.read_bytes() == whole
    made = copy.stat().st_mtime_ns
    physionet.tables(files(TEXTS))
    assert copy.stat().st_mtime_ns == made


def test_nothing_after_hour_24_is_seen(own: Path, physionet: ModuleType) -> None:
    changed = {
        name: text.replace("24:00,HR,90", "24:00,HR,30").replace("48:00,HR,60", "30:00,MAP,50") for name, text in TEXTS.items()
    }
    assert changed != TEXTS
    one, other = (physionet.series(physionet.tables(files(texts))[1], 4) for texts in (TEXTS, changed))
    for part in ("offsets", "time", "channel", "value"):
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part))


def edited(old: str, new: str) -> dict[str, bytes]:
    return files({name: text.replace(old, new) for name, text in TEXTS.items()})


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: edited("00:07,HR,73", "00:07,HR,fast"), "but In CSV column #2"),
        (lambda: edited("00:07,HR,73", "0h07,HR,73"), "but they hold '0h07', which is no time of theirs"),
        (lambda: edited("00:07,HR,73", "00:07,HR"), "but CSV parse error: Expected 3 columns, got 2"),
        (lambda: edited("00:07,HR,73", "00:07,,73"), "but they hold '', which is no parameter of theirs"),
        (lambda: edited("48:00", "48:01"), "but they hold '48:01', which is no time of theirs"),
        (lambda: edited("00:07,HR,73", "00:07,Pulse,73"), "but they hold 'Pulse', which is no parameter of theirs"),
        (lambda: files({n: t for n, t in TEXTS.items() if "200001" not in n}), "1 stays have observations or outcomes alone (first: 200001)"),
    ],
    ids=["no number", "no time", "a field less", "no parameter", "too late", "another parameter", "a stay less"],
)  # fmt: skip
def test_texts_that_do_not_fit(own: Path, physionet: ModuleType, made: object, says: str) -> None:
    with pytest.raises(BenchError) as caught:
        physionet.tables(made())  # type: ignore[operator]
    said = str(caught.value)
    assert says in said
    assert said.startswith("set-a.zip and set-b.zip must hold the texts of the challenge, but ")
    assert said.endswith("with a folder that holds set-a.zip, set-b.zip, Outcomes-a.txt, Outcomes-b.txt.")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("set-b.zip", b"PK no", "the archive cannot be read"),
        ("set-a.zip", files({})["set-a.zip"], "the archive must hold 2 stays, one text file each, but holds 0"),
        ("set-a.zip", files(TEXTS, "Zeit,Wert\n")["set-a.zip"], "set-a/100001.txt in the archive must begin with Time,Parameter,Value, but begins with b'Zeit,"),
        ("Outcomes-a.txt", b"<html>", "the outcomes must be a CSV of 2 stays that begins with RecordID, but have 0 lines"),
        ("Outcomes-b.txt", f"{HEADING}\n1,1,1,1,1,1\n".encode(), "of 2 stays that begins with RecordID, but have 1 lines"),
    ],
)  # fmt: skip
def test_files_of_the_users_that_do_not_fit(own: Path, name: str, data: bytes, says: str) -> None:
    for each, content in (files(TEXTS) | {name: data}).items():
        (own / each).write_bytes(content)
    with pytest.raises(BenchError) as caught:
        registry.load("physionet2012")
    assert str(caught.value).startswith(f"{own / name} cannot be used: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("archive", "says"),
    [
        (files({n: t + "\n" * 50_000 for n, t in TEXTS.items()})["set-a.zip"], "the archive cannot be read: it holds more than 9,999 bytes"),
        (files(TEXTS, "Zeit,Wert\n")["set-a.zip"], "set-a/100001.txt in the archive must begin with Time,Parameter,Value"),
    ],
    ids=["bomb", "other texts"],
)  # fmt: skip
def test_a_fetched_archive_that_cannot_be_it_is_not_kept(
    own: Path, physionet: ModuleType, monkeypatch: pytest.MonkeyPatch, archive: bytes, says: str
) -> None:
    monkeypatch.setattr(sys.modules["bench.datasets._physionet2012_files"], "MOST", 9_999)
    monkeypatch.setattr(http, "PAUSE", 0.0)
    server = FileServer()
    server.files["set-a.zip"] = archive  # with the names of two stays, as it should
    one = physionet.WEB.files[0]
    moved = sources.Url(address=f"{server.url}/set-a.zip", name=one.name, what=one.what, size=(10, 10**6), check=one.check)
    web = sources.Web(dataset="physionet2012", page="", files=(moved,))
    try:
        for _ in range(2):
            with pytest.raises(BenchError, match=f"sent something else: {says}"):
                sources.read(web)
        assert len(server.asked) == 2
        assert not [path for path in (own / "cache").rglob("*") if path.is_file()]
    finally:
        server.close()


def test_an_archive_that_climbs_out_leaves_nothing(own: Path, physionet: ModuleType) -> None:
    made = files(TEXTS)
    with zipfile.ZipFile(grown := io.BytesIO(made["set-a.zip"]), "a") as archive:
        archive.writestr("../300001.txt", "Time,Parameter,Value\n00:00,Age,1\n")
    physionet.tables(made | {"set-a.zip": grown.getvalue()})
    assert not list(own.parent.glob("300001.txt"))
