"""Curves whose areas are the table's numbers, and histograms of risks."""

import numpy as np
import pandas as pd
import pytest
from made_evidence import drawn_cohort, expit, make
from sklearn.metrics import precision_recall_curve, roc_curve

from bench.report.figures import curves as drawing
from bench.report.figures.marks import Areas, Words
from bench.stats import Evidence, curves


def stepped(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.diff(x) @ y[1:])


def of(frame: pd.DataFrame, method: str, task: str, kind: str) -> tuple[np.ndarray, np.ndarray]:
    own = frame[(frame["method"] == method) & (frame["task"] == task) & (frame["curve"] == kind)]
    return own["x"].to_numpy(), own["y"].to_numpy()


def untidy() -> Evidence:
    """Ties, unknown labels, weights, two repeats of one method, a fold that another lacks, an outcome of few events."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=(900, 2))
    y = (rng.random((900, 2)) < expit(z - [0.5, 4.0])).astype(float)
    y[rng.random(y.shape) < 0.1] = np.nan
    coarse = np.round(expit(z + rng.normal(size=z.shape)), 1)
    fine = expit(z + 0.5 * rng.normal(size=(2, 900, 2)))
    weight = rng.uniform(1, 3, (900, 2))
    return make(y, {"coarse": coarse, "fine": fine, "holed": fine[0]}, weight=weight, missing={"holed": 2})


@pytest.mark.parametrize("method", ["coarse", "fine", "holed"])
def test_areas_are_the_numbers_of_the_table(method: str) -> None:
    evidence = untidy()
    frame = curves.curves(evidence)
    m = evidence.labels.index(method)
    for t, task in enumerate(evidence.tasks):
        auroc, ap = evidence.found.values[m, t, :2, 0]
        assert np.trapezoid(*curves.roc(evidence, m, t)[::-1]) == pytest.approx(auroc, abs=1e-9)
        x, y = of(frame, method, task, "roc")
        assert np.trapezoid(y, x) == pytest.approx(auroc, abs=2e-3)
        x, y = of(frame, method, task, "pr")
        assert (len(x) == 0) == np.isnan(ap)
        if len(x):
            assert stepped(x, y) == pytest.approx(ap, abs=1e-9)


def test_curves_are_drawable() -> None:
    frame = curves.curves(untidy())
    for (_, _, kind), own in frame.groupby(["method", "task", "curve"]):
        assert len(own) <= 101
        assert (np.diff(own["x"]) >= -1e-15).all()
        assert own["x"].iloc[[0, -1]].tolist() == pytest.approx([0, 1])
        assert own["y"].between(0, 1 + 1e-12).all()
        if kind == "roc":
            assert (np.diff(own["y"]) >= -1e-15).all()
            assert own["y"].iloc[[0, -1]].tolist() == pytest.approx([0, 1])


def test_one_fold_is_scikit_learns_curve() -> None:
    y, p = drawn_cohort(400, 1)
    evidence = make(y, {"a": np.round(p, 2)}, folds=1)
    x, height = curves.roc(evidence, 0, 0)
    fpr, tpr, _ = roc_curve(y, np.round(p, 2), drop_intermediate=False)
    inside = np.setdiff1d(fpr, fpr[np.flatnonzero(np.diff(fpr) == 0)])  # where the curve has one height
    assert np.interp(inside, x, height) == pytest.approx([tpr[fpr == at][0] for at in inside], abs=1e-12)
    precision, recall, _ = precision_recall_curve(y, np.round(p, 2))
    precision, recall = precision[::-1], recall[::-1]
    area = np.concatenate([[0], np.cumsum(np.diff(recall) * precision[1:])])
    x, height = curves.precision_recall(evidence, 0, 0)
    assert np.cumsum(np.diff(x) * height[1:]) == pytest.approx(np.interp(x[1:], recall, area), abs=1e-12)


def test_folds_are_averaged_by_their_pairs_and_events() -> None:
    # fold 0: 10 events, 10 others, all events on top; fold 1: 10 events, 30 others, all events at the bottom.
    # ROC: 100 and 300 pairs, sensitivity 1 and 0 until x = 1: .25. PR: 10 events each; fold 0 has precision 1 throughout; fold 1 has
    # k / (30 + k) at its k-th event, a tenth of recall each: at recalls .9 to 1 it is 10/40, so the mean is (1 + .25) / 2
    y = np.concatenate([np.ones(10), np.zeros(10), np.ones(10), np.zeros(30)])
    fold = np.repeat([0, 1], [20, 40])
    p = np.concatenate([np.linspace(0.9, 0.8, 10), np.full(10, 0.1), np.linspace(0.2, 0.1, 10), np.full(30, 0.9)])
    frame = curves.curves(make(y, {"a": p}, folds=2, fold=fold))
    x, height = of(frame, "a", "t0", "roc")
    assert x.tolist() == pytest.approx([0, 0, 1, 1])
    assert height.tolist() == pytest.approx([0, 0.25, 0.25, 1])
    x, height = of(frame, "a", "t0", "pr")
    assert height[x > 0.905] == pytest.approx(0.625)
    assert height[x < 0.095] == pytest.approx((1 + 1 / 31) / 2)


def test_repeats_weigh_alike() -> None:
    # repeat 0 ranks perfectly, repeat 1 the other way round: the mean curve is .5 until x = 1
    y = (np.arange(120) % 8 < 4).astype(float)  # both classes in every fold
    evidence = make(y, {"a": np.stack([y * 0.8 + 0.1, 0.9 - y * 0.8])[..., None]}, folds=2)
    x, height = curves.roc(evidence, 0, 0)
    assert x.tolist() == pytest.approx([0, 0, 1, 1])
    assert height.tolist() == pytest.approx([0, 0.5, 0.5, 1])


def test_what_is_undefined_has_no_curve() -> None:
    # 19 events: no average precision, but a ROC curve; one class: nothing at all
    y = np.column_stack([np.arange(200) < 19, np.zeros(200)])
    frame = curves.curves(make(y, {"a": np.random.default_rng(0).random((200, 2))}))
    assert set(zip(frame["task"], frame["curve"], strict=True)) == {("t0", "roc")}
    nothing = curves.curves(make(np.zeros(40), {"a": np.full(40, 0.1)}))
    assert list(nothing) == ["method", "task", "curve", "x", "y"]
    assert nothing.empty


def test_risks_by_hand() -> None:
    # 40 bins on 0 .. .4, .01 each. Events: .005 twice and .395 twice (weights 1, 1, 3, 3); the others: .205 four times
    y = np.array([1.0, 1, 1, 1, 0, 0, 0, 0, np.nan])
    p = np.array([0.005, 0.005, 0.4, 0.4, 0.205, 0.205, 0.205, 0.205, 0.9])
    frame = curves.risks(make(y, {"a": p}, folds=1, weight=[1, 1, 3, 3, 1, 1, 1, 1, 1], valid=False))
    assert len(frame) == 80
    filled = frame[frame["share"] > 0]
    assert filled["outcome"].tolist() == [0, 1, 1]
    assert filled["share"].tolist() == pytest.approx([1, 0.25, 0.75])
    assert filled["low"].tolist() == pytest.approx([0.2, 0, 0.39])
    assert filled["high"].tolist() == pytest.approx([0.21, 0.01, 0.4])


def test_raw_and_recalibrated_risks_by_hand() -> None:
    # 25 of 50 patients with risk .21 and 7 of 50 with risk .105 have the event; two parameters fit both: recalibrated .5 and .14. 40 bins of
    # .0125 up to the largest, .5: .21 lies in that from .2, .105 in that from .1, .14 in that from .1375, .5 in the last, from .4875
    y = np.concatenate([np.arange(50) < 25, np.arange(50) < 7]).astype(float)
    frame = curves.risks(make(y, {"a": np.repeat([0.21, 0.105], 50)}, folds=1))
    assert len(frame) == 160
    filled = frame[frame["share"] > 0]
    for version, low in (("raw", [0.1, 0.2]), ("recalibrated", [0.1375, 0.4875])):
        for outcome, share in ((0, [43 / 68, 25 / 68]), (1, [7 / 32, 25 / 32])):
            own = filled[(filled["version"] == version) & (filled["outcome"] == outcome)]
            assert own["low"].tolist() == pytest.approx(low, abs=1e-4)
            assert own["share"].tolist() == pytest.approx(share)


def test_raw_and_recalibrated_risks_stand_side_by_side() -> None:
    y = np.concatenate([np.arange(50) < 25, np.arange(50) < 7]).astype(float)
    table = curves.risks(make(y, {"a": np.repeat([0.21, 0.105], 50)}, folds=1))
    both = drawing.risks(table, ["a"], "t0", "title")
    alone = drawing.risks(table[table["version"] == "raw"], ["a"], "t0", "title")
    paths: list[list[np.ndarray]] = []
    for page, halves in ((both, 2), (alone, 1)):
        drawn = [mark.paths for mark in page.marks if isinstance(mark, Areas) and mark.colour == drawing.EVENT]
        paths += [list(drawn[-1])]  # the first is the key's
        assert len(paths[-1]) == halves
        words = [mark.text for mark in page.marks if isinstance(mark, Words)]
        assert any("right recalibrated" in text for text in words) == (halves == 2)
        assert words.count("0") == halves + 1  # of each half, and of the axis to the left
    left, right = paths[0]
    assert left[:, 0].max() < right[:, 0].min()
    assert np.ptp(left[:, 0]) == pytest.approx(np.ptp(right[:, 0]))


def test_histograms_of_an_outcome_share_their_bins_and_count_everybody() -> None:
    frame = curves.risks(untidy())
    assert frame.groupby(["method", "task", "version", "outcome"])["share"].sum().to_numpy() == pytest.approx(1)
    assert (frame.groupby("task")["low"].nunique() == 40).all()
    # the top is a quantile of 99.5 %: the one risk of 1 among 1,000 is counted in the last bin
    p = np.concatenate([np.linspace(0, 0.1, 999), [1.0]])
    outlier = curves.risks(make(np.arange(1000) % 2 == 0, {"a": p}, valid=False))
    assert outlier["high"].max() == pytest.approx(0.1, abs=0.001)
    assert set(outlier["version"]) == {"raw"}
    assert outlier.groupby(["version", "outcome"])["share"].sum().to_numpy() == pytest.approx(1)
