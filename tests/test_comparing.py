"""`bench compare`: the table agrees with the run's own, and the paragraph says no more than the table."""

import numpy as np
import pandas as pd
import pytest
from noisy_evidence import build, copied

from bench import stats
from bench.core import BenchError
from bench.stats.comparing import COLUMNS, against, compare
from bench.stats.decisions import minimal_detectable
from bench.stats.delong import delong
from bench.stats.procedure import corrected, weakness

FOUR = {"ref": 0.9, "good": 0.1, "alike": 0.95, "bad": 3.0}


def test_the_table_is_the_runs_own() -> None:
    evidence = build(FOUR, "ref", repeats=2, resamples=300)
    found = compare(evidence, "good", "ref", "ap").table
    assert list(found) == COLUMNS
    assert found["task"].tolist() == ["t0", "t1", "mean"]
    own = stats.score(evidence).comparisons.query("method == 'good' and metric == 'ap'")
    for name in ("difference", "low", "high", "p"):
        assert found[name].to_numpy() == pytest.approx(own[name].to_numpy(), rel=1e-10)
    assert found["difference"].to_numpy() == pytest.approx((found["a"] - found["b"]).to_numpy(), abs=1e-15)
    assert found["n"].tolist() == [400] * 3
    events = np.array([np.nansum(cell.y, axis=0) for cell in evidence.cells[:4]]).sum(axis=0)
    assert found["events"].tolist() == [*events, events.sum()]
    anew = corrected(evidence).query("method == 'good' and metric == 'ap'")
    assert found["p_corrected"].to_numpy() == pytest.approx(anew["p"].to_numpy(), rel=1e-10)
    assert found["p_delong"].isna().all()
    se = np.std((evidence.found.values[1] - evidence.found.values[0])[2, 1, 1:], ddof=1)
    assert found["detectable"][2] == pytest.approx(minimal_detectable(se), rel=1e-10)


def test_any_two_methods() -> None:
    evidence = build(FOUR, "ref")
    one, other = compare(evidence, "good", "bad"), compare(evidence, "bad", "good")
    assert one.table["difference"].tolist() == (-other.table["difference"]).tolist()
    assert one.table["low"].to_numpy() == pytest.approx(-other.table["high"].to_numpy(), abs=1e-15)
    same = ["p", "p_adjusted", "p_delong", "p_corrected", "detectable", "superior_allowed"]
    pd.testing.assert_frame_equal(one.table[same], other.table[same], rtol=1e-12)
    words = {True: ["superior", "inferior"], False: ["ahead", "behind"]}
    said = [words[allowed] for allowed in one.table["superior_allowed"]]
    assert [one.table["verdict"].tolist(), other.table["verdict"].tolist()] == [list(way) for way in zip(*said, strict=True)]
    assert ["superior", "inferior"] in said
    assert "good is superior to bad." in one.paragraph
    assert "good is superior to bad." in other.paragraph
    assert "bad is behind on t0, t1." in other.paragraph
    swapped = delong(build(FOUR, "bad")).query("method == 'good'")
    assert one.table["p_delong"].to_numpy() == pytest.approx(swapped["p"].to_numpy(), rel=1e-12)


def test_the_paragraph_tells_the_table() -> None:
    evidence = build(FOUR, "ref", resamples=300)
    found = compare(evidence, "good", "bad")
    row = found.table.iloc[-1]
    numbers = f"{100 * row['difference']:+.2f} points [{100 * row['low']:+.2f}, {100 * row['high']:+.2f}]"
    assert f"of good is {100 * row['a']:.2f} and that of bad {100 * row['b']:.2f}, a difference of {numbers}" in found.paragraph
    assert "on 400 patients with" in found.paragraph
    assert "300 resamples, p = 0.003; DeLong p < 0.001, for one comparison chosen beforehand" in found.paragraph
    assert "good is ahead on t0, t1." in found.paragraph
    anew = f"[{100 * row['corrected_low']:+.2f}, {100 * row['corrected_high']:+.2f}] by the corrected resampled t, a heuristic"
    assert anew in found.paragraph
    assert weakness(4, 1) in found.paragraph
    assert "standard deviation of" not in found.paragraph.replace(weakness(4, 1), "")  # one repeat has none
    assert "\n" not in found.paragraph


def test_no_difference_shown_comes_with_what_would_have_been() -> None:
    found = compare(build(FOUR, "ref", repeats=3), "alike", "ref")
    assert found.table["verdict"].tolist() == ["undecided"] * 3
    least = f"{100 * found.table['detectable'].iloc[-1]:.2f} points or more would be found with 80 % power"
    assert least in found.paragraph
    assert "No difference is shown, which is not equality" in found.paragraph
    assert "no difference is shown on any" in found.paragraph
    assert "superior" not in found.paragraph
    sd = found.table["sd_of_difference"].iloc[-1]
    assert f"Over 3 repeats the difference has a standard deviation of {100 * sd:.2f} points." in found.paragraph


def test_a_lead_within_two_standard_errors_of_the_procedure_is_not_superiority() -> None:
    def uneven(frame: pd.DataFrame) -> pd.DataFrame:
        """`good` predicts like `bad` in two folds of four: the folds disagree, the patients together do not."""
        turned = frame[frame["method"] == "bad"].set_index(["fold", "row"])
        own = (frame["method"] == "good") & (frame["fold"] < 2)
        keys = pd.MultiIndex.from_frame(frame.loc[own, ["fold", "row"]])
        out = frame.copy()
        out.loc[own, ["p:t0", "p:t1"]] = turned.loc[keys, ["p:t0", "p:t1"]].to_numpy()
        return out

    found = compare(build(FOUR, "ref", n=800, predictions=uneven, resamples=300), "good", "bad")
    last = found.table.iloc[-1]
    assert (last["verdict"], last["superior_allowed"]) == ("ahead", False)  # of these predictions
    assert "On these predictions good is ahead" in found.paragraph
    assert "good is not to be called superior" in found.paragraph
    assert "is superior to" not in found.paragraph


def test_outcomes_are_adjusted_for_one_another() -> None:
    rng = np.random.default_rng(0)
    for seed in rng.integers(0, 1000, 40):
        table = compare(build({"a": 0.8, "b": 1.0}, "a", n=250, prevalence=[0.3] * 6, seed=int(seed)), "b", "a").table[:-1]
        lost = (table["p"] <= 0.05) & (table["p_adjusted"] > 0.05)
        assert (table["p_adjusted"] >= table["p"]).all()
        if lost.any():
            assert (table.loc[lost, "verdict"] == "undecided").all()
            return
    pytest.fail("no outcome lost its p value to the adjustment in 40 draws")


def test_margins() -> None:
    evidence = build(FOUR, "ref", n=800, resamples=400)
    assert "margin" not in compare(evidence, "alike", "ref").paragraph
    wide = compare(evidence, "alike", "ref", margin=0.2)
    assert wide.table["non_inferiority"].tolist() == ["non-inferior"] * 3
    assert wide.table["equivalence"].tolist() == ["equivalent"] * 3
    assert "With a margin of 20.00 points, alike is non-inferior (one-sided at .025, p = 0.002) and equivalent" in wide.paragraph
    narrow = compare(evidence, "alike", "ref", margin=0.0001).paragraph
    assert "not shown to be non-inferior" in narrow
    assert "not shown to be equivalent" in narrow
    assert "bad is worse by more than it" in compare(evidence, "bad", "ref", margin=0.01).paragraph


def test_lower_losses_are_better() -> None:
    evidence = build(FOUR, "ref", n=1000, resamples=300)
    found = compare(evidence, "good", "bad", "brier", margin=0.001)
    assert (found.table["difference"] < 0).all()
    assert found.table["verdict"].tolist() == ["superior"] * 3
    assert (found.table["low"] < found.table["difference"]).all()
    assert (found.table["difference"] < found.table["high"]).all()
    assert "lower is better" in found.paragraph
    assert "points" not in found.paragraph
    own = build(FOUR, "bad", n=1000, resamples=300)
    row = stats.score(own).comparisons.query("method == 'good' and metric == 'brier'")
    assert found.table["high"].to_numpy() == pytest.approx(row["high"].to_numpy(), abs=1e-12)


def test_a_copy_is_told_as_one() -> None:
    found = compare(build(FOUR, "ref", predictions=copied("ref", "copy")), "copy", "ref", margin=0.01)
    assert (found.table["p"] == 1).all()
    assert "The two rank these patients alike, in every resample." in found.paragraph
    assert "equivalent" in found.paragraph
    assert "0.00 points or more" not in found.paragraph.split("Outcome by outcome")[0]


def test_one_outcome() -> None:
    found = compare(build(FOUR, "ref", prevalence=(0.3,)), "good", "ref")
    assert "(t0) of good" in found.paragraph
    assert "Outcome by outcome" not in found.paragraph
    assert found.table["p"][0] == found.table["p"][1]


def test_few_events() -> None:
    evidence = build(FOUR, "ref", n=400, prevalence=(0.3, 0.1, 0.1), events={1: 19, 2: 3})
    found = compare(evidence, "good", "bad")
    assert found.table.loc[[1, 2], ["difference", "low", "p", "detectable"]].isna().all().all()
    assert found.table["verdict"].tolist() == ["superior", "", "", "superior"]
    assert "Not compared: t1 (19 events, and under 20 nothing is compared); t2 (3 events" in found.paragraph
    nothing = compare(build(FOUR, "ref", prevalence=(0.3, 0.1), events={0: 12, 1: 19}), "good", "bad").paragraph
    assert nothing.startswith("The mean over outcomes of good and bad is not compared: no outcome has enough events.")
    assert "superior" not in nothing
    assert "no average precision" in compare(build(FOUR, "ref", events={0: 22}), "good", "bad", "ap").paragraph


def test_a_fold_that_one_lacks_counts_for_neither() -> None:
    def holed(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[(frame["method"] != "good") | (frame["fold"] != 1)]

    found = compare(build(FOUR, "ref", predictions=holed), "good", "bad")
    assert found.table["n"].tolist() == [300] * 3
    assert "on 300 patients" in found.paragraph
    less = compare(build(FOUR, "ref", predictions=lambda f: f[f["fold"] != 1]), "good", "bad").table
    assert found.table[["a", "b"]].to_numpy() == pytest.approx(less[["a", "b"]].to_numpy(), abs=1e-12)


def test_too_few_events_where_both_have_been_run() -> None:
    # t1: 30 events in all, and so part of the mean; about 15 in the two folds that `good` has
    evidence = build(FOUR, "ref", events={1: 30}, predictions=lambda f: f[(f["method"] != "good") | (f["fold"] < 2)])
    found = compare(evidence, "good", "bad")
    assert found.table["events"][1] < 20
    assert found.table["difference"].notna().tolist() == [True, False, False]
    assert "good and bad is not compared: too few events of t1 in the folds of both." in found.paragraph
    assert "good is ahead on t0" in found.paragraph


def test_one_fold_says_nothing_of_the_procedure() -> None:
    found = compare(build(FOUR, "ref", folds=1), "good", "bad")
    assert found.table["verdict"].tolist() == ["ahead"] * 3
    assert found.table["p_corrected"].isna().all()
    assert found.table["p_better"].isna().all()
    assert "as there is no second fold, and good is not to be called superior." in found.paragraph
    assert "This procedure, trained anew: the corrected t needs 2 folds a repeat, but there is 1" in found.paragraph


def test_groups_are_named_as_what_is_drawn() -> None:
    evidence = build(FOUR, "ref", cohort=lambda c: c.assign(group=(c["row"] // 2).astype(str)))
    assert "on 200 groups of patients (400 rows)" in compare(evidence, "good", "bad").paragraph


def test_against_leaves_two_methods_and_nothing_else_changed() -> None:
    evidence = build(FOUR, "ref")
    pair = against(evidence, "good", "bad")
    assert (pair.labels, pair.reference) == (("bad", "good"), "bad")
    assert pair.found.values[1] == pytest.approx(evidence.found.values[1], nan_ok=True, abs=1e-12)
    assert pair.found.values[0] == pytest.approx(evidence.found.values[3], nan_ok=True, abs=1e-12)


def test_what_cannot_be_compared_is_said() -> None:
    evidence = build(FOUR, "ref")
    with pytest.raises(BenchError, match="no predictions of 'goood'; there are: ref, good, alike, bad"):
        compare(evidence, "goood", "ref")
    with pytest.raises(BenchError, match="both are 'ref'"):
        compare(evidence, "ref", "ref")
    with pytest.raises(BenchError, match="one of auroc, ap, brier, log_loss, but is 'f1'"):
        compare(evidence, "good", "ref", "f1")
    with pytest.raises(BenchError, match="above 0, but is 0"):
        compare(evidence, "good", "ref", margin=0.0)

    def apart(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[(frame["method"] == "ref") == (frame["fold"] < 2)]

    with pytest.raises(BenchError, match="'good' and 'ref' have no fold in common"):
        compare(build(FOUR, "ref", predictions=apart), "good", "ref")
