"""VitalDB against DATA.md, its outcomes and laboratory series by hand, and what a copy of the case table may be."""

import gzip
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from file_server import FileServer, instead

from bench import registry, sources
from bench.core import BenchError, Cohort, Series, Tabular, Text
from bench.sources import http

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "vitaldb"


@pytest.fixture(scope="module")
def vitaldb() -> ModuleType:
    return registry.module("datasets", "vitaldb")


@pytest.fixture(scope="module")
def data() -> bytes:
    if not SHARED.is_dir():
        pytest.skip("needs the case table in ../shared/data/vitaldb")
    return gzip.decompress((SHARED / "cases.csv.gz").read_bytes())


@pytest.fixture(scope="module")
def raw(data: bytes) -> pd.DataFrame:
    return pd.read_csv(BytesIO(data))


@pytest.fixture(scope="module")
def mine(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("mine")
    (folder / "cases.csv").write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_DATA_DIR", str(folder))
        patch.setenv("BENCH_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def cohort(mine: Path) -> Cohort:
    return registry.load("vitaldb")


def test_known_labels_and_events(cohort: Cohort) -> None:
    counts = zip(cohort.mask.sum(axis=0).tolist(), np.nansum(cohort.labels, axis=0).tolist(), strict=True)
    assert dict(zip(cohort.task_names, counts, strict=True)) == {
        "icu_stay": (6_388, 1_204),  # DATA.md: 18.9 %
        "stay_7d": (6_361, 1_787),  # 27 impossible times are unknown
        "transfusion": (6_388, 352),  # 5.5 %
        "hospital_death": (6_388, 57),
    }


def test_more_than_seven_days_after_the_operation(raw: pd.DataFrame) -> None:
    # DATA.md: stay > 7 days 27.8 % of those whose discharge does not lie before the end of the operation
    possible = raw[raw["dis"] >= raw["opend"]]
    assert round(100 * ((possible["dis"] - possible["opend"]) > 7 * 86_400).mean(), 1) == 27.8


def test_features_texts_and_groups(cohort: Cohort, raw: pd.DataFrame) -> None:
    frame = cohort.inputs.of(Tabular)["table"].frame
    assert frame.shape == (6_388, 33)
    late = [c for c in raw if c.startswith(("intraop_", "iv", "aline", "cline"))]
    assert len(late) == 21
    never = {
        *late,
        "position",
        "cormack",
        "airway",
        "tubesize",
        "dltubesize",
        "lmasize",
        "adm",
        "dis",
        "icu_days",
        "death_inhosp",
    }
    never |= {"casestart", "caseend", "anestart", "aneend", "opstart", "opend", "caseid", "subjectid", "dx", "opname"}
    assert set(frame) | never == set(raw)
    assert not set(frame) & never
    texts = cohort.inputs.of(Text)
    assert texts["dx"].strings[0] == "Rectal cancer"
    assert texts["opname"].strings[0] == "Low anterior resection"
    assert len(set(cohort.groups)) == 6_090
    assert cohort.groups.tolist() == cohort.patients.tolist() == raw["subjectid"].astype(str).tolist()


def test_outcomes_by_hand(vitaldb: ModuleType) -> None:
    rows = pd.DataFrame(
        [
            # dis opend icu_days death_inhosp intraop_rbc -> labels
            (7 * 86_400 + 500, 500, 0, 0, 0),  # 0 0 0 0: exactly 7 days
            (7 * 86_400 + 501, 500, 1, 0, 2),  # 1 1 1 0
            (86_400, 500, 1, 1, 0),  # 1 1 0 1: dead on day 1 is not discharged alive
            (499, 500, 0, 0, 0),  # 0 - 0 0: discharged before the end of the operation
        ],
        columns=["dis", "opend", "icu_days", "death_inhosp", "intraop_rbc"],
    )
    expected = [[0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1], [0, np.nan, 0, 0]]
    np.testing.assert_array_equal(vitaldb.outcomes(rows), np.array(expected, np.float32))


def test_laboratory_series_by_hand(vitaldb: ModuleType) -> None:
    raw = pd.DataFrame({"caseid": [1, 2, 3], "opstart": [1_800, 600, 0]})
    labs = pd.DataFrame(
        [
            (1, 1_740, "hb", 12.5),  # a minute before
            (1, -84_600, "cr", 0.9),  # a day before
            (1, 1_800, "hb", 9.0),  # as it began: no feature
            (2, 594_470, "alb", 2.9),  # a week after
            (3, -60, "hb", np.nan),  # no number
            (9, -60, "hb", 11.0),  # no such case
            (3, -120, "k", 4.1),
        ],
        columns=["caseid", "dt", "name", "result"],
    )
    made = vitaldb.series(raw, labs)
    assert made.channels == ("cr", "hb", "k")  # alb was measured afterwards only
    assert made.units == ("mg/dL", "g/dL", "mmol/L")
    assert made.offsets.tolist() == [0, 2, 2, 3]
    assert made.time.tolist() == [1_440, 1, 2]
    assert [made.channels[c] for c in made.channel] == ["cr", "hb", "k"]
    assert made.present.tolist() == [True, False, True]


def test_the_dial_adds_the_series(cohort: Cohort, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        f"{case},{dt},{name},{value}"
        for case in range(1, 6_389)
        for dt in (-90_000, -600)
        for name, value in (("hb", 12), ("cr", 1.1))
    ]
    text = "\n".join(["caseid,dt,name,result", *lines * 4, "7,-600,hb,<0.1"])
    (mine / "labs.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + text.encode()))
    more = registry.load("vitaldb:labs=true")
    labs = more.inputs.of(Series)["labs"]
    assert labs.channels == ("cr", "hb")
    assert len(labs.time) == 6_388 * 16
    assert (labs.time > 0).all()
    assert more.inputs.of(Tabular)["table"].frame.equals(cohort.inputs.of(Tabular)["table"].frame)
    assert "labs" not in cohort.inputs.modalities


def test_without_the_laboratory_file_a_line_says_so(
    cohort: Cohort, mine: Path, tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cases.csv").write_bytes(data)
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    with pytest.raises(BenchError) as caught:
        registry.load("vitaldb:labs=true")
    assert str(caught.value) == (
        "vitaldb could not be fetched before its terms are accepted. Read https://vitaldb.net/dataset/, "
        "then `bench data fetch vitaldb --accept-terms`. Get it by hand from https://vitaldb.net/dataset/, "
        "then --data-dir with a folder that holds cases.csv, for labs also labs.csv."
    )


# A copy of the case table


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["no mark", "byte order mark"])
def test_a_fetched_table_may_be_packed_and_marked(
    cohort: Cohort, data: bytes, vitaldb: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool, mark: bytes
) -> None:
    server = FileServer()
    server.files["cases"] = gzip.compress(mark + data, 1) if packed else mark + data
    url = vitaldb.WEB.files[0]
    moved = sources.Url(address=f"{server.url}/cases", name=url.name, what=url.what, size=url.size, check=url.check)
    monkeypatch.setattr(vitaldb, "WEB", sources.Web(dataset="vitaldb", page="", files=(moved,)))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("BENCH_DATA_DIR")
    try:
        assert registry.load("vitaldb").digest == cohort.digest
        assert registry.load("vitaldb").digest == cohort.digest
        assert len(server.asked) == 1
    finally:
        server.close()


def test_a_table_cut_short_is_not_kept(
    data: bytes, vitaldb: ModuleType, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = FileServer()
    server.files["cases"] = data
    lines = data.splitlines(keepends=True)
    server.script = [instead(b"".join(lines[:-9]), "text/csv")]
    url = vitaldb.WEB.files[0]
    moved = sources.Url(address=f"{server.url}/cases", name=url.name, what=url.what, size=url.size, check=url.check)
    monkeypatch.setattr(http, "PAUSE", 0.0)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("BENCH_DATA_DIR")
    try:
        with pytest.raises(
            BenchError, match=r"sent something else: cases\.csv must hold the cases 1 to 6,388, each once, but has 6,379 rows"
        ):
            sources.read(sources.Web(dataset="vitaldb", page="", files=(moved,)))
        assert not [p for p in tmp_path.rglob("*") if p.is_file()]
    finally:
        server.close()


def changed(raw: pd.DataFrame, **columns: object) -> bytes:
    return raw.assign(**columns).to_csv(None, index=False).encode()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda raw: raw.drop(columns=["asa", "dx"]).to_csv(None, index=False).encode(), "must have VitalDB's columns, but lacks asa, dx"),
        (lambda raw: changed(raw, age="old"), "column 'age' of cases.csv must hold numbers, but holds words"),
        (lambda raw: changed(raw, caseid=1), "must hold the cases 1 to 6,388, each once, but has 6,388 rows"),
        (lambda raw: changed(raw, dis=raw["dis"].where(raw["caseid"] > 3)), "column 'dis' of cases.csv must be known for every case, but is not for 3"),
        (lambda raw: b'caseid,"subjectid\n1,2', "cases.csv must be a CSV, but does not read as one"),
        (lambda raw: b"\xff\xfe\x00\x01" * 50, "cases.csv must be a CSV, but does not read as one"),
        (lambda raw: b"", "cases.csv must be a CSV, but does not read as one (No columns"),
    ],
    ids=["columns", "words", "case ids", "unknown", "quotes", "encoding", "empty"],
)  # fmt: skip
def test_a_copy_that_does_not_fit(
    mine: Path, raw: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object, says: str
) -> None:
    (tmp_path / "cases.csv").write_bytes(make(raw))  # type: ignore[operator]
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    with pytest.raises(BenchError) as caught:
        registry.load("vitaldb")
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}/cases.csv cannot be used: ")
    assert says in said
    assert "\n" not in said
