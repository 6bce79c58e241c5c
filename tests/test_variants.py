"""Other definitions of outcomes: from a cohort file to the store, and through the real command."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohort_files import HEAD, cohort, written

import bench
from bench import cohorts, registry
from bench.cli import main
from bench.cohorts import frames, look, schema
from bench.core import BenchError

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
        main([*words, "--results", f"{folder}/results", "--reports", f"{folder}/reports", "--workers", "0"])
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
