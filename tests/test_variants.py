"""Other definitions of outcomes: labels to the store, rankings by hand and by scipy, and the real command from a cohort file."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cohort_files import HEAD, cohort, written
from made_evidence import drawn_cohort, expit, make
from scipy.stats import kendalltau

import bench
from bench import cohorts, metrics, registry, report
from bench.cli import main
from bench.cohorts import frames, look, schema
from bench.core import BenchError
from bench.report import definitions
from bench.stats import Evidence, variants

NAN = np.nan
TABLE = "id,los,dead,x\n" + "".join(f"{i},{i},{i % 2},{i * 7 % 10}\n" for i in range(1, 13))
FILE = (
    HEAD
    + """[outcomes.stay]
rule = "los > 6"
label = "a long stay"
thresholds = [0.1, 0.4]
[outcomes.stay.variants]
long = "los > 9"
alive = { rule = "los > 6", known = "dead = 0", label = "of survivors" }
[outcomes.death]
rule = "dead"
variants.early = { event = "dead", time = "los", horizon = 5 }
"""
)


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


# ---- what becomes of the labels


def test_labels_and_weights_by_hand(tmp_path: Path) -> None:
    got = cohort(tmp_path, TABLE, FILE)
    assert got.variants is not None
    assert list(got.variants) == ["variant:stay~long", "variant:stay~alive", "variant:death~early", "variant-weight:death~early"]
    np.testing.assert_array_equal(got.variants["variant:stay~long"], [0] * 9 + [1] * 3)
    np.testing.assert_array_equal(got.variants["variant:stay~alive"], [NAN, 0, NAN, 0, NAN, 0, NAN, 1, NAN, 1, NAN, 1])
    # patient i leaves at day i, the odd ones dead: 1, 3, 5 are events by day 5; 2 and 4 are censored before it; all others stayed on
    np.testing.assert_array_equal(got.variants["variant:death~early"], [1, NAN, 1, NAN, 1, 0, 0, 0, 0, 0, 0, 0])
    # G(t-): 11 at risk at 2, 9 at 4: 1 at day 1, 10/11 at 3, 10/11 * 8/9 at 5
    want = [1, 1, 11 / 10, 1, 99 / 80, *[99 / 80] * 7]
    np.testing.assert_allclose(got.variants["variant-weight:death~early"], want, rtol=1e-6)
    part = got.rows(np.array([11, 0]))
    assert part.variants is not None
    assert part.variants["variant:stay~long"].tolist() == [1, 0]


def test_variants_are_no_part_of_what_a_model_is_known_by(tmp_path: Path) -> None:
    plain = FILE.replace('long = "los > 9"', "")
    one, other = cohort(tmp_path, TABLE, FILE), cohort(tmp_path, TABLE, plain)
    assert other.variants is not None
    assert one.digest == other.digest
    assert cohort(tmp_path, TABLE, HEAD + '[outcomes]\nstay = "los > 6"\n').variants is None


def test_a_frame_has_variants_too(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": range(12), "los": np.arange(12.0), "x": np.arange(12.0) % 5})
    stay = {"rule": "los > 6", "variants": {"long": "los > 9"}}
    got = frames.Cohort.from_frame(frame, patient="id", outcomes={"stay": stay}, folder=tmp_path)
    assert got.variants is not None
    assert got.variants["variant:stay~long"].tolist() == [0] * 10 + [1] * 2
    other = frames.Cohort.from_file(got.file, variant="stay~long")
    assert other.labels[:, 0].tolist() == [0] * 10 + [1] * 2
    assert registry.load(os.fspath(other)).digest == other.digest


# ---- a variant in the place of its outcome


def test_a_variant_is_learned_in_the_place_of_its_outcome(tmp_path: Path) -> None:
    path = written(tmp_path, FILE, {"t.csv": TABLE})
    main_, got = cohorts.load(path), cohorts.load(path, variant="stay~long")
    assert got.task_names == ("stay", "death")
    np.testing.assert_array_equal(got.labels[:, 0], [0] * 9 + [1] * 3)
    assert got.tasks[0].label == "a long stay, defined as long"
    assert got.tasks[0].thresholds == (0.1, 0.4)
    assert cohorts.load(path, variant="stay~alive").tasks[0].label == "of survivors"
    assert got.variants is not None
    assert "variant:stay~long" not in got.variants
    np.testing.assert_array_equal(got.variants["variant:stay~main"], main_.labels[:, 0])
    assert got.inputs.of(bench.core.Tabular)["table"].frame.equals(main_.inputs.of(bench.core.Tabular)["table"].frame)
    assert "another definition than the outcome's own: stay~long" in " ".join(got.notices)
    two = cohorts.load(path, variant="stay~long+death~early")
    np.testing.assert_array_equal(two.labels[:, 1], [1, NAN, 1, NAN, 1, 0, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ("stay~lnog", "unknown variant of an outcome 'stay~lnog'. Did you mean 'stay~long'?"),
        ("long", "There are: stay~long, stay~alive, death~early"),
        ("stay~long+stay~alive", "two variants of 'stay' are named: stay~long+stay~alive"),
    ],
)
def test_a_variant_that_cannot_be(variant: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError) as error:
        cohorts.load(written(tmp_path, FILE, {"t.csv": TABLE}), variant=variant)
    assert said in str(error.value)


def test_a_file_without_variants_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + '[outcomes]\nstay = "los > 6"\n', {"t.csv": TABLE})
    with pytest.raises(BenchError, match="the cohort file names none"):
        registry.load(f"{path}:variant=stay~long")


@pytest.mark.parametrize(
    ("variants_", "said"),
    [
        ('{ main = "los > 9" }', "'main' is the outcome's own definition"),
        ('{ "a b" = "los > 9" }', "should match pattern"),
        ('{ a = { rule = "los", variants = { b = "x" } } }', "a variant has no variants of its own"),
    ],
)
def test_names_of_variants_are_checked(variants_: str, said: str, tmp_path: Path) -> None:
    text = HEAD + f'[outcomes.stay]\nrule = "los > 6"\nvariants = {variants_}\n'
    with pytest.raises(BenchError, match=said):
        schema.read(written(tmp_path, text, {"t.csv": TABLE}))


# ---- how they are judged


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


# ---- the real command


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("variants")
    rng = np.random.default_rng(0)
    n = 400
    x, noise = rng.normal(size=(2, n))
    los = 6 + 2 * x + rng.normal(size=n)
    frame = pd.DataFrame(
        {"id": np.arange(n), "x": x, "noise": noise, "los": los.round(2), "dead": (rng.random(n) < 0.2).astype(int)}
    )
    frame.to_csv(folder / "t.csv", index=False)
    text = (
        HEAD + 'name = "mine"\n[outcomes.stay]\nrule = "los > 7"\ncompeting = "a death counts as 0"\n[outcomes.stay.variants]\n'
    )
    text += 'same = "los > 7"\nlong = "los > 8.5"\nother = "dead"\n'
    (folder / "mine.toml").write_text(text)
    return folder


def command(folder: Path, data: str) -> None:
    words = ["run", "--data", f"{folder}/{data}", "--methods", "logistic,constant", "--folds", "3", "--quick"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--results", f"{folder}/results", "--reports", f"{folder}/reports", "--workers", "1"])
    assert not ended.value.code


def test_from_a_cohort_file_to_the_report(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command(ran, "mine.toml")
    said = " ".join(capsys.readouterr().out.split())
    # the constant is marked worse by AUROC and AP; by `other`, which nothing tells of, that difference is lost
    assert "whether the ranking survives them: it survives stay~same, stay~long; it" in said
    assert "The models learned the outcomes as they are defined" in said
    folder = ran / "reports" / "mine-quick"
    frame = pd.read_csv(folder / "variants.csv")
    assert set(frame["variant"]) == {"same", "long", "other"}
    same = frame[frame["variant"] == "same"]
    np.testing.assert_allclose(same["value"], same["main_value"], atol=1e-9)
    page = (folder / "index.html").read_text()
    assert "Other definitions of the outcomes" in page
    assert "stay~long" in page
    stored = pd.read_parquet(next((ran / "results").glob("mine@*/cohort.parquet")))
    assert [c for c in stored if c.startswith("variant")] == ["variant:stay~same", "variant:stay~long", "variant:stay~other"]


def test_a_variant_is_a_dataset_of_its_own(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command(ran, "mine.toml:variant=stay~long")
    said = " ".join(capsys.readouterr().out.split())
    assert "learned and tested by another definition than the outcome's own: stay~long" in said
    assert "stay: defined as long" in said
    frame = pd.read_csv(ran / "reports" / "mine_variant=stay_long-quick" / "variants.csv")
    assert set(frame["variant"]) == {"main", "same", "other"}


def test_a_variant_that_is_added_later_trains_nothing(ran: Path) -> None:
    command(ran, "mine.toml")
    before = {path: path.stat().st_mtime_ns for path in ran.glob("results/mine@*/*/*/*.parquet")}
    path = ran / "mine.toml"
    path.write_text(path.read_text() + 'longer = "los > 9"\n')
    command(ran, "mine.toml")
    assert {path: path.stat().st_mtime_ns for path in ran.glob("results/mine@*/*/*/*.parquet")} == before
    assert "longer" in set(pd.read_csv(ran / "reports" / "mine-quick" / "variants.csv")["variant"])


def test_data_check_lists_them_and_asks_about_death(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, FILE, {"t.csv": TABLE})
    with pytest.raises(SystemExit):
        main(["data", "check", str(path), "--allow-leak", "x"])
    said = " ".join(capsys.readouterr().out.split())
    assert "stay~long 12 3 25.0" in said
    assert "death~early 10 3 30.0" in said
    assert "how a death before the outcome counts is not said of stay, death" in said
    assert "counts as censoring in" not in said


def test_data_check_asks_for_deaths_under_a_horizon(tmp_path: Path) -> None:
    followed = HEAD + '[outcomes]\ny = { event = "dead", time = "los", horizon = 5 }\n'
    asks = look.at(str(written(tmp_path, followed, {"t.csv": TABLE}))).notices
    assert any("a death before the horizon counts as censoring in y, which overstates" in text for text in asks)
    named = followed.replace("5 }", '5, death = "dead = 1" }')
    assert not any("a death before" in text for text in look.at(str(written(tmp_path, named, {"t.csv": TABLE}))).notices)


def test_words_for_each_fate() -> None:
    about = pd.DataFrame(
        {"task": "t", "variant": list("abcd"), "metric": "auroc", "tau": [1, 0.5, -1, NAN], "tau_drawn": [0.7, 0.7, 0.7, NAN],
         "best": ["m", "m", "r", ""], "main_best": ["m", "m", "m", ""], "best_survives": ["yes", "tied", "no", ""]}
    )  # fmt: skip
    rows = pd.DataFrame(
        {"task": "t", "variant": list("abcd"), "method": "m", "metric": "auroc", "survives": ["yes", "sign", "no", ""]}
    )
    scoring = report.scored(made_results(), report.Settings(resamples=20))
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


def made_results() -> Any:
    from made_results import results

    return results()
