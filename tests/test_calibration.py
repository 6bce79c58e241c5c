"""Calibration: statsmodels on the same rows, numbers by hand, and what perfect, distorted and constant risks must give."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from made_evidence import drawn_cohort, expit, make
from sklearn.isotonic import IsotonicRegression
from statsmodels.nonparametric.smoothers_lowess import lowess

from bench import metrics
from bench.stats import Evidence, calibration, pooled


def logit(p: Any) -> np.ndarray:
    return np.log(p) - np.log1p(-np.asarray(p))


def row(evidence: Evidence, method: str = "a", version: str = "raw", task: str = "t0") -> pd.Series:
    return calibration.calibration(evidence).set_index(["method", "task", "version"]).loc[(method, task, version)]


def fit(y: np.ndarray, p: np.ndarray, simulations: int = 20, seed: int = 0) -> tuple[calibration.Fit, float]:
    uniform = np.random.default_rng(seed).random((simulations, len(y)), np.float32)
    return calibration.fitted(y, p, np.ones(len(y)), uniform)


# Numbers against statsmodels and by hand


@pytest.mark.parametrize("weighted", [False, True])
def test_intercept_and_slope_are_those_of_statsmodels(weighted: bool) -> None:
    y, p = drawn_cohort(1500, 0)
    p = expit(0.7 * logit(p) + 0.4)
    weight = np.random.default_rng(1).uniform(1, 3, 1500) if weighted else np.ones(1500)
    found = row(make(y, {"a": p}, weight=weight if weighted else None))
    family = sm.families.Binomial()
    offset = sm.GLM(y, np.ones((1500, 1)), family, offset=logit(p), freq_weights=weight).fit()
    slope = sm.GLM(y, sm.add_constant(logit(p)), family, freq_weights=weight).fit()
    # the slope carries a ridge of 1e-3 of an event (bench.recalibrate), here worth 1e-5
    assert found["intercept"] == pytest.approx(offset.params[0], abs=1e-7)
    assert found["slope"] == pytest.approx(slope.params[1], abs=5e-5)
    assert found["mean_risk"] == pytest.approx(np.average(p, weights=weight), abs=1e-12)
    assert found["rate"] == pytest.approx(np.average(y, weights=weight), abs=1e-12)
    assert found["brier"] == pytest.approx(metrics.brier(y, p, weight), abs=1e-12)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(y, p, weight), abs=1e-12)
    if not weighted:
        assert found["slope"] == pytest.approx(sm.Logit(y, sm.add_constant(logit(p))).fit(disp=0).params[1], abs=5e-5)


def test_the_intercept_is_found_from_anywhere() -> None:
    # risks of 1e-7 where the rate is .5: plain Newton's first step would be of 5 million. Two heaps, at 1e-7 and 1 - 1e-7, rate .5
    y = np.tile([0.0, 1.0], 50)[:, None]
    low, heaps = np.full((100, 1), 1e-7), np.repeat([1e-7, 1 - 1e-7], 50)[:, None]
    found = calibration.in_the_large(y, np.hstack([low, heaps]), np.ones((100, 2)))
    assert found == pytest.approx([-logit(1e-7), 0.0], abs=1e-6)


def test_without_grouping_the_smoother_is_lowess() -> None:
    # up to 300 distinct risks are their own groups; statsmodels leaves out the tricube's last thousandth
    y, p = drawn_cohort(280, 2)
    found, _ = fit(y, p)
    expected = lowess(y, p, frac=0.75, it=0, return_sorted=True)
    assert found.risk == pytest.approx(expected[:, 0], abs=1e-12)
    assert found.observed == pytest.approx(np.clip(expected[:, 1], 0, 1), abs=1e-6)


@pytest.mark.parametrize(("slope", "shift"), [(1.0, -1.5), (1.6, -3.0), (0.5, 0.0)])
def test_with_grouping_it_is_near_lowess_on_every_row(slope: float, shift: float) -> None:
    y, p = drawn_cohort(4000, 3, shift)
    p = expit(slope * logit(p))
    found, _ = fit(y, p)
    expected = lowess(y, p, frac=0.75, it=0, return_sorted=True)
    distance = np.abs(np.clip(expected[:, 1], 0, 1) - expected[:, 0])
    assert found.ici == pytest.approx(distance.mean(), abs=1e-3)
    assert found.e90 == pytest.approx(np.quantile(distance, 0.9), abs=4e-3)
    between = (found.risk > found.between[0]) & (found.risk < found.between[1])
    on_rows = np.clip(np.interp(found.risk[between], *expected.T), 0, 1)
    assert found.observed[between] == pytest.approx(on_rows, abs=0.01)


def test_a_whole_weight_is_as_many_rows() -> None:
    y, p = drawn_cohort(240, 4)
    times = np.random.default_rng(5).integers(1, 4, 240)
    weighted = row(make(y, {"a": p}, weight=times, folds=1))
    written_out = row(make(np.repeat(y, times), {"a": np.repeat(p, times)}, folds=1))
    for name in ("mean_risk", "rate", "intercept", "ici", "e90", "brier", "log_loss"):
        assert weighted[name] == pytest.approx(written_out[name], abs=1e-8)
    assert weighted["slope"] == pytest.approx(written_out["slope"], abs=1e-6)


def test_two_risks_by_hand() -> None:
    # risk .2 for 100 patients of whom 30 have the outcome, .6 for 300 of whom 150 have it. The nearest 75 % of the rows are the 300
    # for the second and all 400 for the first, where the second stands at the full distance and weighs 0: both stay means.
    # ICI = (100 x .1 + 300 x .1) / 400 = .1
    p = np.repeat([0.2, 0.6], [100, 300])
    y = np.concatenate([np.arange(100) < 30, np.arange(300) < 150]).astype(float)
    found, _ = fit(y, p)
    assert found.risk == pytest.approx([0.2, 0.6])
    assert found.observed == pytest.approx([0.3, 0.5])
    assert (found.ici, found.e90) == pytest.approx((0.1, 0.1))


def test_isotonic_regression_is_scikit_learns_moved_inside() -> None:
    y, p = drawn_cohort(500, 6)
    p, weight = np.round(p, 2), np.random.default_rng(7).uniform(1, 2, 500)
    new = np.linspace(0, 1, 333)
    expected = IsotonicRegression(out_of_bounds="clip").fit(p, y, sample_weight=weight).predict(new)
    assert pooled.isotonic(y, p, weight, new) == pytest.approx(np.clip(expected, 0.001, 0.999), abs=1e-9)
    assert pooled.isotonic(y, np.full(500, 0.3), weight, new) == pytest.approx(np.average(y, weights=weight))


# Laws


def test_perfect_risks_are_at_the_floor_and_distorted_ones_above() -> None:
    y, p = drawn_cohort(3000, 8)
    rng = np.random.default_rng(9)
    of_perfect = [fit((rng.random(3000) < p).astype(float), p)[0].ici for _ in range(60)]
    _, floor = fit(y, p, simulations=200)
    # the ICI of perfect risks has a standard deviation of about half its mean: over 60 sets 7 %, of 200 simulations 4 %
    assert np.mean(of_perfect) == pytest.approx(floor, rel=0.25)
    found = row(make(y, {"a": p, "b": expit(2 * logit(p))}), "b")
    assert found["ici"] > 4 * found["ici_floor"]


def test_a_stretched_logit_has_the_reciprocal_slope() -> None:
    y, p = drawn_cohort(20_000, 10)
    evidence = make(y, {"a": p, "b": expit(2 * logit(p) + 0.5)}, valid=False)
    # the slope's standard error at this size is .02, halved by stretching
    assert row(evidence)["slope"] == pytest.approx(1, abs=0.07)
    assert row(evidence, "b")["slope"] == pytest.approx(row(evidence)["slope"] / 2, abs=1e-6)
    assert abs(row(evidence)["intercept"]) < 0.07


def test_logistic_recalibration_undoes_a_stretch_and_a_shift() -> None:
    y, p = drawn_cohort(900, 11, shift=-2)  # some 140 events: 35 a fold
    evidence = make(y, {"a": p, "b": expit(0.4 * logit(p) - 1)})
    a, b = (row(evidence, method, "recalibrated") for method in "ab")
    assert a["how"] == b["how"] == "logistic"
    for name in ("slope", "intercept", "ici", "brier", "log_loss", "mean_risk"):
        assert b[name] == pytest.approx(a[name], abs=1e-5)
    assert row(evidence, "b")["ici"] > 4 * b["ici"]
    assert row(evidence, "b")["how"] == ""


def test_isotonic_needs_200_events_and_200_others_in_every_fold() -> None:
    fold = np.arange(1000) % 2
    y = np.zeros((1000, 4))
    for t, (even, odd) in enumerate([(200, 200), (200, 199), (301, 300), (300, 300)]):
        y[np.flatnonzero(fold == 0)[:even], t] = 1
        y[np.flatnonzero(fold == 1)[:odd], t] = 1
    p = np.clip(0.3 + 0.3 * y + 0.2 * np.random.default_rng(12).normal(size=y.shape), 0.01, 0.99)
    evidence = make(y, {"a": p, "b": p**2}, folds=2)
    assert pooled.versions(evidence)[1].how == ("isotonic", "logistic", "logistic", "isotonic")
    # isotonic regression sees ranks only, up to the lines between the fitted risks; each fold is recalibrated by the other
    a, b = (row(evidence, method, "recalibrated") for method in "ab")
    assert a["brier"] == pytest.approx(b["brier"], abs=1e-3)
    learned = pooled.isotonic(y[fold == 1, 0], p[fold == 1, 0], np.ones(500), p[fold == 0, 0])
    assert pooled.versions(evidence)[1].p[0][0, :, 0] == pytest.approx(learned, abs=1e-12)


def test_each_fold_is_recalibrated_by_its_own_validation_rows() -> None:
    # fold 0 is tested on risks twice as high as its validation rows'; were they fitted on the test rows, the mean would be right
    y = np.tile([0.0, 0, 0, 1], 100)
    fold = np.arange(400) // 4 % 2
    p = np.where(fold == 0, 0.5, 0.25)
    found = pooled.versions(make(y, {"a": p}, folds=2, fold=fold))[1].p
    # constant validation risks: intercept only, at the validation rows' rate of .25 whatever the test risk
    assert [cell.ravel() == pytest.approx(0.25, abs=1e-6) for cell in found] == [True, True]


# The awkward


def test_constant_risks_have_no_slope() -> None:
    y = np.tile([0.0, 0, 0, 0, 1], 60)
    found = row(make(y, {"a": np.full(300, 0.3)}))
    assert np.isnan(found["slope"])
    assert found["ici"] == pytest.approx(abs(0.2 - 0.3), abs=1e-12)
    assert found["e90"] == pytest.approx(0.1, abs=1e-12)
    assert found["intercept"] == pytest.approx(logit(0.2) - logit(0.3), abs=1e-8)
    # constants that differ between folds only say nothing of patients
    assert np.isnan(row(make(y, {"a": 0.2 + 0.01 * (np.arange(300) % 4)}))["slope"])


def test_few_events_are_counted_and_not_judged() -> None:
    p = np.random.default_rng(13).random((300, 3))
    y = np.column_stack([np.arange(300) < 19, np.arange(300) < 20, np.arange(300) >= 19]).astype(float)
    frame = calibration.calibration(make(y, {"a": p})).query("version == 'raw'").set_index("task")
    judged = ["intercept", "slope", "ici", "e90", "ici_floor", "brier", "log_loss"]
    assert frame.loc["t0", judged].isna().all()
    assert frame.loc["t1", judged].notna().all()
    assert frame.loc["t2", judged].isna().all()  # 19 without the outcome
    assert frame["events"].tolist() == [19, 20, 281]
    assert frame["n"].tolist() == [300, 300, 300]
    assert frame.loc["t0", "rate"] == pytest.approx(19 / 300)
    assert set(calibration.smooth(make(y, {"a": p}))["task"]) == {"t1"}


def test_unknown_labels_are_left_out() -> None:
    y, p = drawn_cohort(600, 14)
    unknown = np.arange(600) % 3 == 0
    kept = make(y[~unknown], {"a": p[~unknown]}, folds=1)
    hidden = make(np.where(unknown, np.nan, y), {"a": p}, folds=1)
    pd.testing.assert_frame_equal(calibration.calibration(kept), calibration.calibration(hidden), rtol=1e-9)


def test_repeats_are_averaged_and_counted_once() -> None:
    y, p = drawn_cohort(400, 15)
    other = expit(1.5 * logit(p))
    both = row(make(y, {"a": np.stack([p, other])[..., None]}))
    one, two = row(make(y, {"a": p})), row(make(y, {"a": other}))
    for name in ("slope", "intercept", "ici", "brier"):
        assert both[name] == pytest.approx((one[name] + two[name]) / 2, abs=1e-9)
    assert both["n"] == 400


def test_a_method_without_a_fold_is_judged_on_the_others() -> None:
    y, p = drawn_cohort(800, 16)
    kept = np.arange(800) % 4 != 1
    holed = row(make(y, {"whole": p, "a": p}, missing={"a": 1}))
    direct = row(make(y[kept], {"a": p[kept]}, fold=(np.arange(800) % 4)[kept]))
    for name in ("n", "events", "slope", "intercept", "ici", "brier"):
        assert holed[name] == pytest.approx(direct[name], abs=1e-9)


def test_without_validation_rows_there_is_the_raw_version_only() -> None:
    y, p = drawn_cohort(200, 17)
    evidence = make(y, {"a": p}, valid=False)
    assert set(calibration.calibration(evidence)["version"]) == {"raw"}
    assert set(calibration.smooth(evidence)["version"]) == {"raw"}


def test_smooth_curves_are_drawable_and_deterministic() -> None:
    y, p = drawn_cohort(1000, 18)
    evidence, again = (make(y, {"a": p, "flat": np.full(1000, 0.2)}) for _ in range(2))
    frame = calibration.smooth(evidence)
    assert frame["observed"].between(0, 1).all()
    raw = frame[(frame["method"] == "a") & (frame["version"] == "raw")]
    assert len(raw) == 60
    assert raw["risk"].iloc[[0, -1]].tolist() == pytest.approx(np.quantile(p, [0.005, 0.995]))
    assert np.abs(raw["observed"] - raw["risk"]).mean() < 0.06
    flat = frame[(frame["method"] == "flat") & (frame["version"] == "raw")]
    assert flat["observed"].tolist() == pytest.approx([y.mean()])
    pd.testing.assert_frame_equal(frame, calibration.smooth(again), check_exact=True)
    pd.testing.assert_frame_equal(calibration.calibration(evidence), calibration.calibration(again), check_exact=True)
