import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import checks, prep
from bench.core import Cohort, Inputs, Series, Tabular, Task, Text
from bench.prep.columns import NormalScores
from bench.prep.series import STATS, WINDOW_STATS, SeriesColumns, SeriesWindows
from bench.prep.text import TextVectors, tfidf


def cohort(modalities: dict[str, Any]) -> Cohort:
    n = len(next(iter(modalities.values())))
    return checks.build("c", modalities, [Task("a")], (np.arange(n) % 2)[:, None], np.arange(n))


def table(**columns: Any) -> Cohort:
    return cohort({"table": Tabular(pd.DataFrame(columns))})


def series(rows: list[list[tuple[float, int, float]]], channels: int = 2, present: Any = None) -> Series:
    """rows: per patient (minutes before, channel, value)."""
    events = np.array([e for row in rows for e in row], float).reshape(-1, 3)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return Series(offsets, events[:, 0], events[:, 1], events[:, 2], [f"c{i}" for i in range(channels)], present=present)


def random_series(n: int, events: int, channels: int, seed: int = 0, span: float = 100.0) -> Series:
    rng = np.random.default_rng(seed)
    row = np.sort(rng.integers(0, n, events))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n))])
    time, channel, value = rng.exponential(span, events), rng.integers(0, channels, events), rng.normal(80, 10, events)
    return Series(offsets, time, channel, value, [f"c{i}" for i in range(channels)])


# Series: eight statistics


def test_series_statistics_by_hand() -> None:
    # c0 at 120, 60 and 0 minutes before: 1, 5, 3, given out of order. mean 3; SD sqrt((4 + 4 + 0) / 3);
    # slope over hours -1, 0, 1 about the mean: (-1 * -2 + 0 + 1 * 0) / 2 = 1 per hour
    out = SeriesColumns(("c0", "c1"))(series([[(0, 0, 3), (120, 0, 1), (60, 0, 5)], []]))
    np.testing.assert_allclose(out[0, :8], [1, 3, 1, 5, 3, np.sqrt(8 / 3), 1, 3], rtol=1e-12)
    nothing = [np.nan] * 7 + [0.0]
    np.testing.assert_array_equal(out[0, 8:], nothing)
    np.testing.assert_array_equal(out[1], nothing * 2)


def test_series_statistics_equal_a_loop_over_patients() -> None:
    s = random_series(60, 900, 3)
    out = SeriesColumns(s.channels)(s).reshape(60, 3, len(STATS))
    for i in range(60):
        for c in range(3):
            mine = np.flatnonzero(s.channel[s.offsets[i] : s.offsets[i + 1]] == c) + s.offsets[i]
            mine = mine[np.argsort(-s.time[mine])]
            v, hours = s.value[mine].astype(float), -s.time[mine].astype(float) / 60
            if len(v) > 1:
                slope = np.polyfit(hours, v, 1)[0]
                expected = [v[0], v[-1], v.min(), v.max(), v.mean(), v.std(), slope, len(v)]
                np.testing.assert_allclose(out[i, c], expected, rtol=1e-6)


def test_one_value_has_no_spread_and_one_moment_no_slope() -> None:
    out = SeriesColumns(("c0",))(series([[(5, 0, 2)], [(5, 0, 2), (5, 0, 4)]], channels=1))
    sd, slope = STATS.index("sd"), STATS.index("slope")
    assert np.isnan(out[0, [sd, slope]]).all()
    assert out[1, sd] == 1.0
    assert np.isnan(out[1, slope])


def test_channels_are_matched_by_name_and_absent_rows_are_not_read() -> None:
    turned = Series([0, 1, 2], np.zeros(2), [0, 0], [7, 8], ("new", "c1"), present=np.array([True, False]))
    out = SeriesColumns(("c0", "c1"))(turned)
    assert np.nansum(out) == 0  # 'new' is unknown to training, and row 1 lacks the modality
    renamed = Series([0, 1, 2], np.zeros(2), [0, 0], [7, 8], ("c1",), present=np.array([True, False]))
    out = SeriesColumns(("c0", "c1"))(renamed)
    assert out[0, 8] == 7
    assert out[1, 15] == 0


def test_a_million_events_take_under_a_second() -> None:
    s = random_series(12_430, 1_000_000, 6)
    start = time.process_time()
    SeriesColumns(s.channels)(s)
    assert time.process_time() - start < 1.0


# Series: windows


@pytest.mark.parametrize("span", [60.0, 60.0 * 24 * 365 * 7])
def test_windows_suit_three_hours_as_well_as_twenty_years(span: float) -> None:
    s = random_series(300, 6_000, 2, span=span)
    fitted = SeriesWindows.fit(s)
    windows, observed = fitted(s)
    assert windows.shape == (300, 12, 2, len(WINDOW_STATS))
    share = observed.mean(axis=(0, 2))
    assert share.min() > 0.9 * share.max()
    assert (np.diff(fitted.time) < 0).all()  # oldest first
    assert np.abs(windows.mean(axis=(0, 1))).max() < 0.05


def test_the_newest_value_is_in_the_last_window_and_empty_windows_are_zero() -> None:
    fitted = SeriesWindows.fit(random_series(300, 6_000, 2))
    windows, observed = fitted(series([[(0, 1, 95.0)], [(1e6, 0, 60.0)], []]))
    expected = np.zeros((3, 12, 2))
    expected[0, -1, 1] = expected[1, 0, 0] = 1
    np.testing.assert_array_equal(observed, expected)
    assert (windows[expected == 0] == 0).all()
    assert windows[0, -1, 1, WINDOW_STATS.index("last")] > 1  # 95 is 1.5 SD above the mean
    assert windows[1, 0, 0, WINDOW_STATS.index("last")] < -1


def test_windows_of_one_moment_and_of_no_events() -> None:
    assert SeriesWindows.fit(series([[(0, 0, 1)], [(0, 0, 2)]])).time.tolist() == [0.0]
    windows, observed = SeriesWindows.fit(series([[], []]))(series([[(3, 0, 1)], []]))
    assert windows.shape == (2, 1, 2, len(WINDOW_STATS))
    assert np.isfinite(windows).all()
    assert observed.sum() == 1


# Tables


def test_flat_codes_and_missing_values() -> None:
    train = table(x=[1.0, np.nan, 3.0], k=pd.Categorical(["b", None, "a"], categories=["a", "b", "never"]))
    flat = prep.flatten(train)
    assert flat.names == ("table:x", "table:k")
    assert flat.categorical.tolist() == [False, True]
    np.testing.assert_array_equal(flat(train.inputs), np.array([[1, 1], [np.nan, np.nan], [3, 0]], np.float32))
    # categories in another order, 'never' was declared but not seen, and the column x is lacking
    new = Inputs({"table": Tabular(pd.DataFrame({"k": pd.Categorical(["never", "b", "c"], categories=["c", "b", "never"])}))})
    np.testing.assert_array_equal(flat(new), np.array([[np.nan, np.nan], [np.nan, 1], [np.nan, np.nan]], np.float32))


def test_linear_flags_each_pattern_of_missingness_once_and_drops_what_says_nothing() -> None:
    nan = np.nan
    train = table(a=[1, nan, 3, 4], b=[2, nan, 5, 1], same=[1, nan, 3, 4], constant=[1, 1, 1, 1], c=[0, 1, 2, 9.0])
    out = prep.linear(train)(train.inputs)
    assert out.shape == (4, 4)  # a, b, c and one flag
    assert out.dtype == np.float64
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(out.std(axis=0), 1)


def test_linear_fills_in_the_median_where_training_had_no_missing_value() -> None:
    train = table(x=[1.0, 2.0, 3.0, 10.0, 4.0], z=np.arange(5.0))
    linear = prep.linear(train)
    new = Inputs({"table": Tabular(pd.DataFrame({"x": [np.nan, 3.0], "z": [1.0, 1.0]}))})
    np.testing.assert_array_equal(*linear(new))
    assert linear(new).shape == (2, 2)


def test_a_column_and_a_modality_that_training_never_saw_filled() -> None:
    whole = cohort(
        {
            "table": Tabular(pd.DataFrame({"x": np.arange(6.0), "late": [np.nan] * 4 + [1.0, 2.0]})),
            "vitals": series([[(1, 0, 1)]] * 6, present=np.array([False] * 4 + [True] * 2)),
            "note": Text(["word"] * 6, np.array([False] * 4 + [True] * 2)),
        }
    )
    train = whole.rows(np.arange(4))
    assert np.isfinite(prep.linear(train)(whole.inputs)).all()
    for arrays in prep.tokens(train)(whole.inputs).values():
        assert all(np.isfinite(a).all() for a in arrays.values())
    assert prep.flatten(train)(whole.inputs).shape == (6, 2 + 2 * len(STATS) + 1)


def test_normal_scores_of_a_binary_column_are_its_z_scores() -> None:
    x = np.array([0.0] * 90 + [1.0] * 10)
    np.testing.assert_allclose(NormalScores.fit(x[:, None])(x[:, None])[:, 0], (x - 0.1) / 0.3, rtol=1e-12)


def test_normal_scores_are_robust_monotone_and_linear_between_training_values() -> None:
    rng = np.random.default_rng(0)
    x = np.exp(3 * rng.normal(size=(999, 1)))  # spans six decades
    scores = NormalScores.fit(x)
    out = scores(x)[:, 0]
    assert np.corrcoef(out, np.log(x[:, 0]))[0, 1] > 0.995
    np.testing.assert_allclose([out.mean(), out.std()], [0, 1], atol=1e-9)
    low, middle, high = np.sort(x[:, 0])[500], np.sort(x[:, 0])[500:502].mean(), np.sort(x[:, 0])[501]
    between = scores(np.array([[low], [middle], [high], [1e30], [np.nan]]))[:, 0]
    assert between[1] == pytest.approx((between[0] + between[2]) / 2)
    assert between[3] == out.max() <= 5
    assert np.isnan(between[4])


def test_normal_scores_of_constant_and_empty_columns_are_zero() -> None:
    scores = NormalScores.fit(np.array([[3.0, np.nan], [3.0, np.nan]]))
    np.testing.assert_array_equal(scores(np.array([[9.0, 5.0]])), [[0.0, 0.0]])


# Texts


def test_notes_unknown_words_and_absent_rows() -> None:
    words = [" ".join(f"w{(i * k) % 60}" for k in range(1, 8)) for i in range(200)]
    vectors = TextVectors.fit(Text(words))
    assert vectors.width == 32
    out = vectors(Text(["zzz", "", words[5], words[5]], np.array([True, True, True, False])))
    assert (out[:2] == 0).all()
    assert np.abs(out[2]).max() > 0
    assert np.isnan(out[3]).all()
    np.testing.assert_array_equal(vectors(Text(words))[5], out[2])  # alone as in a batch, to the last bit
    again = TextVectors.fit(Text(words))(Text(words))
    assert again.tobytes() == vectors(Text(words)).tobytes()


@pytest.mark.parametrize("notes", [[""] * 5, ["a", "b", "c"], ["word one", "two", "three"], []])
def test_notes_without_a_frequent_word_are_one_column_of_zeros(notes: list[str]) -> None:
    vectors = TextVectors.fit(Text(notes))
    np.testing.assert_array_equal(vectors(Text(["word one", "two"])), np.zeros((2, 1)))


def test_a_small_vocabulary_is_kept_as_it_is() -> None:
    vectors = TextVectors.fit(Text(["knee"] * 3 + ["hip"] * 3))
    np.testing.assert_array_equal(vectors(Text(["knee", "hip", "knee knee"])), [[0, 1], [1, 0], [0, 1]])


SPACED = "Knie Hüfte de\u0301ce\u0300s décès a x_1 5 12,5mg Müller-Straße ΘΆΝΑΤΟΣ смерть β-HCG ½ naïve 9a _ __ İ o'clock"


def test_notes_with_spaces_are_read_as_scikit_learn_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    notes = Text([" ".join(rng.choice(SPACED.split(), 9)) for _ in range(300)])
    now = TextVectors.fit(notes)(notes)
    monkeypatch.setattr(tfidf, "TOKEN", r"(?u)\b\w\w+\b")  # its default
    assert now.tobytes() == TextVectors.fit(notes)(notes).tobytes()


@pytest.mark.parametrize(("bad", "good"), [("患者术后出现高热", "恢复良好无不适"), ("手術後に発熱した", "経過は良好です")])
def test_notes_without_spaces_are_read_by_their_signs(bad: str, good: str) -> None:
    rng = np.random.default_rng(1)
    y = np.arange(200) % 2
    notes = Text(["".join(rng.permutation([bad if one else good, f"{i}号", "今日"])) for i, one in enumerate(y)])
    x = TextVectors.fit(notes)(notes)
    distance = ((x[:, None] - x) ** 2).sum(2) + np.eye(200) * 99
    assert (y[distance.argmin(1)] == y).mean() > 0.95  # a note lies beside one that says the same


# Tokens, and the memo


def test_tokens_have_the_declared_shapes_and_mark_what_is_missing(small_cohort: Cohort) -> None:
    tokens = prep.tokens(small_cohort)
    out, n = tokens(small_cohort.inputs), len(small_cohort)
    shapes: Any = tokens.shapes
    numeric, cards = shapes["table"].numeric, shapes["table"].cards
    assert (numeric, cards) == (3, (3, 5))  # sex and ward with one more for missing
    assert out["table"]["numeric"].shape == out["table"]["missing"].shape == (n, numeric)
    assert out["table"]["codes"].dtype == np.int64
    assert (out["table"]["codes"].max(axis=0) + 1).tolist() == [3, 5]
    assert out["table"]["codes"].min() == 0
    vitals = shapes["vitals"]
    assert out["vitals"]["windows"].shape == (n, vitals.windows, vitals.channels, vitals.stats)
    assert out["vitals"]["observed"].shape == (n, vitals.windows, vitals.channels)
    assert out["vitals"]["time"].shape == (vitals.windows,)
    assert out["vitals"]["summary"].shape == (n, vitals.summary)
    assert out["note"]["vector"].shape == (n, shapes["note"].width)
    for key, arrays in out.items():
        absent = ~arrays["present"]
        np.testing.assert_array_equal(absent, ~small_cohort.inputs.modalities[key].present)
        floats = [a for k, a in arrays.items() if k not in ("present", "codes", "time")]
        assert all(a.dtype == np.float32 and np.isfinite(a).all() and np.abs(a).max() <= 5 for a in floats), key
    gone = {k: a[~out["vitals"]["present"]] for k, a in out["vitals"].items() if k in ("windows", "observed")}
    assert all((a == 0).all() for a in gone.values())
    assert (out["table"]["numeric"][out["table"]["missing"] == 1] == 0).all()


def test_a_modality_left_out_of_the_inputs_is_one_that_no_row_has(small_cohort: Cohort) -> None:
    tokens = prep.tokens(small_cohort)
    for key in small_cohort.inputs.modalities:
        others = {k: m for k, m in small_cohort.inputs.modalities.items() if k != key}
        arrays = tokens(Inputs(others))[key]
        assert not arrays["present"].any()
        values = [a for k, a in arrays.items() if k in ("numeric", "codes", "windows", "observed", "vector")]
        assert all((a == 0).all() for a in values)


def test_a_row_alone_is_prepared_as_in_a_batch(small_cohort: Cohort) -> None:
    for fit in (prep.flatten, prep.linear):
        fitted = fit(small_cohort)
        whole = fitted(small_cohort.inputs)
        for i in (0, 17, 499):
            np.testing.assert_array_equal(fitted(small_cohort.inputs.rows(np.array([i])))[0], whole[i])


def test_only_training_rows_are_looked_at(small_cohort: Cohort) -> None:
    # The same training rows out of two cohorts that differ elsewhere: the same preparation, bit by bit
    rows = np.arange(200)
    table = small_cohort.inputs.modalities["table"]
    frame = table.frame.copy()
    frame.loc[200:, "age"] *= 100
    modalities = {**small_cohort.inputs.modalities, "table": Tabular(frame, table.present)}
    other = checks.build("other", modalities, small_cohort.tasks, small_cohort.labels, small_cohort.patients)
    for fit in (prep.flatten, prep.linear):
        a, b = fit(small_cohort.rows(rows)), fit(other.rows(rows))
        assert a is not b
        np.testing.assert_array_equal(a(small_cohort.inputs), b(small_cohort.inputs))


def test_fitted_preparations_are_kept_but_not_for_ever(make_cohort: Callable[..., Cohort]) -> None:
    parts = [make_cohort(n=120).rows(np.arange(20 + i)) for i in range(prep.KEPT + 4)]
    first = prep.flatten(parts[0])
    assert prep.flatten(parts[0]) is first
    for part in parts[1:]:
        prep.flatten(part)
    assert len(prep._memo) <= prep.KEPT
    assert prep.flatten(parts[0]) is not first
