"""How other definitions of outcomes are judged: rankings by hand and by scipy, and the words for each fate."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_evidence import drawn_cohort, expit, make
from made_results import results
from scipy.stats import kendalltau

from bench import metrics, report
from bench.report import definitions
from bench.stats import Evidence, variants

NAN = np.nan


def judged(n: int = 400, **changes: Any) -> tuple[Evidence, np.ndarray, dict[str, np.ndarray]]:
    """Three methods on t0, of which three variants are known: the same, another with unknown rows, one with three events."""
    y, p = drawn_cohort(n, 0, shift=-0.7)
    rng = np.random.default_rng(1)
    z = np.log(p) - np.log1p(-p)
    risks = {"a": expit(z + rng.normal(size=n)), "b": np.round(p, 1), "c": expit(z + 2 * rng.normal(size=n))}
    other = np.where(rng.random(n) < 0.2, NAN, (rng.random(n) < 0.8 * p).astype(float))
    rare = np.where(np.arange(n) < 3, 1.0, 0.0)
    columns = {
        "variant:t0~same": y,
        "variant:t0~other": other,
        "variant-weight:t0~other": rng.uniform(1, 2, n),
        "variant:t0~rare": rare,
    }
    return make(y, risks, columns={**columns, "variant:gone~x": y}, **changes), y, {**columns, **risks}


def of(frame: pd.DataFrame, variant: str, metric: str = "auroc") -> pd.DataFrame:
    return frame[(frame["variant"] == variant) & (frame["metric"] == metric)].reset_index(drop=True)


def test_an_identical_definition_changes_nothing() -> None:
    evidence, *_ = judged()
    for metric in ("auroc", "ap"):
        same = of(variants.variants(evidence), "same", metric)
        np.testing.assert_allclose(same["value"], same["main_value"], atol=1e-12)
        assert same["rank"].tolist() == same["main_rank"].tolist()
        np.testing.assert_allclose(same["change"].iloc[1:], 0, atol=1e-12)
        np.testing.assert_allclose(same[["change_low", "change_high"]].iloc[1:], 0, atol=1e-12)
        assert not (same["survives"] == "no").any()
        about = of(variants.definitions(evidence), "same", metric).iloc[0]
        assert about[["tau", "tau_low", "tau_high", "same"]].tolist() == [1, 1, 1, 1]
        assert about["best"] == about["main_best"]
        assert about["best_survives"] == "yes"


def test_values_ranks_and_tau_by_definition() -> None:
    # counts of the first column are ones; each further column is a resample of rows (a unit is a row here)
    evidence, y, known = judged(resamples=30)
    frame, about = of(variants.variants(evidence), "other"), of(variants.definitions(evidence), "other").iloc[0]
    other, weight, fold = known["variant:t0~other"], known["variant-weight:t0~other"], np.arange(400) % 4
    drawn = np.array(
        [
            [metrics.stratified_auroc(label, known[m], fold, w * c) for m in "abc"]
            for label, w in ((other, weight), (y, np.ones(400)))
            for c in evidence.counts.T.astype(float)
        ]
    ).reshape(2, 31, 3)
    np.testing.assert_allclose(frame["value"], drawn[0, 0], atol=1e-12)
    np.testing.assert_allclose(frame[["low", "high"]].T, np.percentile(drawn[0, 1:], [2.5, 97.5], axis=0), atol=1e-9)
    assert frame["rank"].tolist() == [1 + sum(v > own for v in drawn[0, 0]) for own in drawn[0, 0]]
    less = drawn - drawn[:, :, :1]
    np.testing.assert_allclose(frame["difference"].iloc[1:], less[0, 0, 1:], atol=1e-12)
    np.testing.assert_allclose(frame["change"].iloc[1:], (less[0] - less[1])[0, 1:], atol=1e-12)
    ends = np.percentile((less[0] - less[1])[1:, 1:], [2.5, 97.5], axis=0)
    np.testing.assert_allclose(frame[["change_low", "change_high"]].iloc[1:].T, ends, atol=1e-9)
    taus = [kendalltau(a, b).statistic for a, b in zip(drawn[0], drawn[1], strict=True)]
    assert about["tau"] == pytest.approx(taus[0], abs=1e-12)
    assert (about["tau_low"], about["tau_high"]) == pytest.approx(np.percentile(taus[1:], [2.5, 97.5]), abs=1e-12)
    moved = [kendalltau(drawn[1, 0], b).statistic for b in drawn[1, 1:]]
    assert about["tau_drawn"] == pytest.approx(np.median(moved), abs=1e-12)
    both = ~np.isnan(other)
    assert (about["n"], about["events"], about["main_n"], about["main_events"]) == (both.sum(), np.nansum(other), 400, y.sum())
    assert about["prevalence"] == pytest.approx(np.average(other[both], weights=weight[both]), abs=1e-12)
    assert about["same"] == pytest.approx((other[both] == y[both]).mean(), abs=1e-12)


def test_tau_by_hand_and_by_scipy() -> None:
    # pairs of 1 2 3 4 against 1 3 2 4: 5 agree, 1 does not: (5 - 1) / 6. A tie in one leaves 5 of its 6 pairs: 4 / sqrt(6 * 5)
    a = np.array([1.0, 2, 3, 4])
    assert variants.tau(a, np.array([1.0, 3, 2, 4])) == pytest.approx(4 / 6, abs=1e-15)
    assert variants.tau(a, np.array([1.0, 2, 2, 0])) == pytest.approx(kendalltau(a, [1, 2, 2, 0]).statistic, abs=1e-15)
    assert variants.tau(a, np.array([1.0, 3, 3, 4])) == pytest.approx(5 / np.sqrt(30), abs=1e-15)
    assert np.isnan(variants.tau(a, np.ones(4)))


def test_a_turned_definition_loses_the_best() -> None:
    # by the opposite label AUROC is 1 - AUROC: ranks turn round, tau is -1, and a difference has the other sign
    y, p = drawn_cohort(600, 3, shift=0)
    rng = np.random.default_rng(4)
    risks = {"good": p, "poor": expit(np.log(p) - np.log1p(-p) + 3 * rng.normal(size=600))}
    evidence = make(y, risks, columns={"variant:t0~turned": 1 - y}, resamples=60)
    frame, about = of(variants.variants(evidence), "turned"), of(variants.definitions(evidence), "turned").iloc[0]
    np.testing.assert_allclose(frame["value"], 1 - frame["main_value"], atol=1e-12)
    assert (frame["rank"].tolist(), frame["main_rank"].tolist()) == ([2, 1], [1, 2])
    assert (about["tau"], about["same"], about["best"], about["main_best"], about["best_survives"]) == (
        -1,
        0,
        "poor",
        "good",
        "no",
    )
    assert frame["survives"].tolist() == ["", "no"]


def test_few_events_an_unknown_outcome_and_a_missing_fold() -> None:
    evidence, *_ = judged(missing={"b": 1})
    frame, about = variants.variants(evidence), variants.definitions(evidence)
    assert set(frame["variant"]) == {"same", "other", "rare"}  # `gone~x` is of no outcome of the run
    rare = of(frame, "rare")
    assert rare["events"].tolist()[0] == 3
    assert rare[["rank", "low", "difference", "change"]].isna().all(axis=None)
    assert of(frame, "rare", "ap")["value"].isna().all()
    assert of(about, "rare").iloc[0][["best", "best_survives", "methods"]].tolist() == ["", "", 0]
    assert np.isnan(of(frame, "same").set_index("method").loc["b", "rank"])
    assert np.isfinite(of(frame, "same").set_index("method").loc["b", "change"])
    assert of(about, "same").iloc[0]["methods"] == 2


def test_without_variants_there_are_no_rows() -> None:
    y, p = drawn_cohort(200, 0)
    evidence = make(y, {"a": p, "b": p})
    assert variants.variants(evidence).empty
    assert list(variants.definitions(evidence)) == variants.DEFINITIONS


def test_words_for_each_fate() -> None:
    about = pd.DataFrame(
        {"task": "t", "variant": list("abcd"), "metric": "auroc", "tau": [1, 0.5, -1, NAN], "tau_drawn": [0.7, 0.7, 0.7, NAN],
         "best": ["m", "m", "r", ""], "main_best": ["m", "m", "m", ""], "best_survives": ["yes", "tied", "no", ""]}
    )  # fmt: skip
    rows = pd.DataFrame(
        {"task": "t", "variant": list("abcd"), "method": "m", "metric": "auroc", "survives": ["yes", "sign", "no", ""]}
    )
    scoring = report.scored(results(), report.Settings(resamples=20))
    marked = pd.DataFrame(
        {"method": ["m"], "task": "t", "metric": "auroc", "p_adjusted": 0.01, "difference": 0.1, "steady": True}
    )
    scoring = type(scoring)(**{**vars(scoring), "comparisons": marked})
    line = definitions.sentences(about, rows, scoring)[0]
    assert "it survives t~a; it is undecided by t~b (of 1 of 1 marked differences the interval holds 0 now)" in line
    assert (
        "it does not survive t~c (best of AUROC: m, now r; 1 of 1 marked differences turned); it cannot be judged by t~d" in line
    )
    assert "Kendall's tau of the rankings by AUROC: -1.00 to 1.00" in line
