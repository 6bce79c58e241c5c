"""Splits by site, by time and by a column, and training sizes: their laws, and whole small runs through the real command."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import inside
from filled import DATA, GUESS, plan

import bench
from bench import checks, protocol, splits, store, suites
from bench.cli import screen
from bench.core import BenchError, Cohort, Split, Tabular, Task
from bench.protocol import Protocol


def cohort(n: int = 600, visits: int = 1, **changes: Any) -> Cohort:
    rng = np.random.default_rng(3)
    z = rng.normal(size=n)
    labels = (rng.random((n, 2)) < 1 / (1 + np.exp(-(z[:, None] + [-1.0, -2.5])))).astype(float)
    labels[rng.random((n, 2)) < 0.1] = np.nan
    given: dict[str, Any] = {
        "site": np.array(["b10", "b9", "a"])[np.arange(n) // visits % 3],
        "time": np.datetime64("2015-01-01") + rng.permutation(n),
        "subgroups": pd.DataFrame({"ward": np.arange(n) // visits % 4}),
    }
    ids = [f"p{i // visits}" for i in range(n)]
    return checks.build(
        "made", {"table": Tabular(pd.DataFrame({"z": z}))}, [Task("a"), Task("b")], labels, ids, **(given | changes)
    )


def groups(made: Cohort, rows: Any) -> set[str]:
    return set(made.groups[rows].tolist())


def check_laws(made: Cohort, parts: tuple[Split, ...]) -> None:
    """No row twice, no group on two sides, validation rows as in every split."""
    for split in parts:
        sides = [split.train, split.valid, split.test]
        assert len(np.unique(np.concatenate(sides))) == sum(map(len, sides))
        held = [groups(made, rows) for rows in sides]
        assert sum(map(len, held)) == len(set[str]().union(*held))
        # 15 % of the training groups, to within a group or two
        assert abs(len(held[1]) - splits.VALID_SHARE * (len(held[0]) + len(held[1]))) < 2.5
    assert splits.receipt(made, parts)["groups_on_two_sides"] == 0


# ---- the protocol's identity


def test_hashes_of_protocols_that_were_there_before_are_what_they_were() -> None:
    # computed before the fields split, cut, train_size, drop and at were there
    assert Protocol().part.folder == "cv5@dd4092d1"
    assert Protocol(3, 2, 1).part.folder == "cv3@28b94e94"
    assert Protocol(2, 1, 0, True, 1500).part.folder == "quick-cv2@e71c45fc"


def test_every_new_field_makes_a_protocol_of_its_own_and_no_more_is_stored() -> None:
    changed = [
        Protocol(split="site"), Protocol(split="time"), Protocol(split="time", cut="0.8"), Protocol(train_size=200),
        Protocol(drop=("note",)), Protocol(drop=("note",), at="both"),
    ]  # fmt: skip
    assert len({one.part.folder for one in [Protocol(), *changed]}) == 7
    assert changed[3].part.identity == {"folds": 5, "seed": 0, "quick": False, "rows": None, "train_size": 200}
    assert Protocol(**json.loads(json.dumps({"drop": ["note"], "at": "both"}))) == changed[5]
    assert changed[0].part.folder == replace(changed[0], repeats=3).part.folder


def test_what_does_not_go_together_is_refused() -> None:
    for options, said in (
        ({"folds": 3, "split": "site"}, "folds are of the random split, but the split is 'site'"),
        ({"cut": "0.5"}, "cut is of the split by time, but the split is 'random'"),
        ({"at": "train"}, "at=train says where a modality is dropped, but none is"),
        ({"drop": ["x"], "at": "tset"}, "unknown side to drop a modality at 'tset'. Did you mean 'test'?"),
        ({"train_size": "200,1e3"}, "train size must be 20 patients or more, or all, but is '1e3'"),
        ({"train_size": 5}, "train size must be 20 patients or more, or all, but is '5'"),
        ({"train_size": ","}, "no training size given"),
    ):
        with pytest.raises(BenchError) as error:
            protocol.asked(**options)
        assert said in str(error.value)
    assert [one.train_size for one in protocol.asked(train_size="200, 500,all,200")] == [200, 500, None]
    assert protocol.asked(split="time", cut=".70") == protocol.asked(split="time")


# ---- by site


def test_one_site_is_left_out_of_each_fold() -> None:
    made = cohort()
    found = splits.of(made, "site", repeats=2)
    assert found.names == ("site a", "site b10", "site b9")
    assert not found.notices
    for split in found.parts:
        assert set(made.site[split.test]) == {found.names[split.fold].removeprefix("site ")}
        assert len(split.train) + len(split.valid) + len(split.test) == len(made)
    check_laws(made, found.parts)
    first, again = found.parts[0], found.parts[3]
    assert np.array_equal(first.test, again.test)
    assert not np.array_equal(first.valid, again.valid)  # a repeat validates on others


def test_a_patient_of_two_sites_is_tested_and_not_learned_from_there() -> None:
    made = cohort(n=12, visits=2, site=np.array(["x", "y"] * 1 + ["x"] * 5 + ["y"] * 5))
    # rows 0 and 1 are one patient, at x and at y: tested in both folds, learned from in none
    found = splits.of(made, "site")
    for split in found.parts:
        assert not {0, 1} & set(np.concatenate([split.train, split.valid]).tolist())
    assert [0 in split.test for split in found.parts] == [True, False]
    assert any("rows of patients on both sides of site x are not learned from (first: patient p" in n for n in found.notices)


def test_rows_without_a_site_are_in_no_fold() -> None:
    site = np.array(["", "nan", *["x"] * 299, *["y"] * 299], object)
    found = splits.of(cohort(site=site), "site")
    assert found.notices == ("2 rows without a site are in no fold",)
    assert not {0, 1} & set(np.concatenate([np.concatenate([s.train, s.valid, s.test]) for s in found.parts]).tolist())


@pytest.mark.parametrize(("site", "said"), [(None, "names none"), (np.array(["x"] * 600), "has 1: x")])
def test_a_cohort_without_two_sites_has_no_split_by_site(site: Any, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        splits.of(cohort(site=site), "site")


# ---- by time


@pytest.mark.parametrize("cut", ["0.7", "2015-06-30", "2016"])
def test_no_later_row_is_learned_from(cut: str) -> None:
    made = cohort()
    found = splits.of(made, "time", cut=cut)
    (split,) = found.parts
    learned = np.concatenate([split.train, split.valid])
    assert made.time[learned].max() < made.time[split.test].min()
    assert len(learned) + len(split.test) == len(made)
    check_laws(made, found.parts)
    # days 0..599 from 2015-01-01: 70 % are days 0-419; 2015-06-30 is day 180; 2016-01-01 is day 365
    assert len(learned) == {"0.7": 420, "2015-06-30": 180, "2016": 365}[cut]


def test_the_name_of_the_fold_says_which_dates() -> None:
    found = splits.of(cohort(), "time", cut="2015-06-30")
    assert found.names == ("learned from 2015-01-01 to 2015-06-29, tested from 2015-06-30 to 2016-08-22",)
    told = splits.receipt(cohort(), found.parts, found.kind, found.names)
    assert (told["kind"], told["names"]) == ("time", list(found.names))


def test_rows_of_one_date_are_on_one_side() -> None:
    time = np.repeat(np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[D]"), 200)
    (split,) = splits.of(cohort(time=time), "time", cut="0.5").parts  # the middle row is of the second day: all of it is tested
    assert len(split.test) == 400


def test_a_patient_before_and_after_the_cut_is_tested_and_not_learned_from() -> None:
    made = cohort(visits=2, time=np.arange(600.0))  # patients have rows 2i and 2i + 1
    found = splits.of(made, "time", cut="301")
    (split,) = found.parts
    assert sorted(split.test.tolist()) == list(range(301, 600))
    assert 300 not in np.concatenate([split.train, split.valid])  # row 300 is of the patient of row 301
    assert found.notices == ("1 rows of patients on both sides of the cut are not learned from (first: patient p150)",)


@pytest.mark.parametrize(
    ("cut", "time", "said"),
    [
        ("soon", None, "cut must be a date such as 2014-06-30, or a share such as 0.7, but is 'soon'"),
        ("2031", None, "cut must leave rows before it and from it on, but is 2031-01-01 and the times run from 2015-01-01 to 2016-08-22"),
        ("2015-01-01", np.arange(600.0), "cut must be a number"),
        ("0.7", np.zeros(600), "cut must leave rows before it"),
        ("0.7", np.full(600, "NaT", "datetime64[D]"), "no row of 'made' has one"),
    ],
)  # fmt: skip
def test_a_cut_that_cannot_be_is_refused(cut: str, time: Any, said: str) -> None:
    with pytest.raises(BenchError) as error:
        splits.of(cohort() if time is None else cohort(time=time), "time", cut=cut)
    assert said in str(error.value)


# ---- by a column


def test_levels_of_a_column_are_folds() -> None:
    made = cohort(visits=3)
    found = splits.of(made, "ward")
    assert found.names == ("ward 0", "ward 1", "ward 2", "ward 3")
    assert sorted(np.concatenate([split.test for split in found.parts]).tolist()) == list(range(600))
    check_laws(made, found.parts)


def test_train_valid_and_test_are_a_held_out_set() -> None:
    level = np.array(["train"] * 300 + ["valid"] * 100 + ["test"] * 150 + [None] * 50, object)
    found = splits.of(cohort(subgroups=pd.DataFrame({"part": level})), "part")
    (split,) = found.parts
    assert [len(split.train), len(split.valid), len(split.test)] == [300, 100, 150]
    assert found.notices == ("50 rows without a part are in no fold",)
    some = np.where(level == "valid", "train", level)
    (split,) = splits.of(cohort(subgroups=pd.DataFrame({"part": some})), "part").parts
    assert len(split.train) + len(split.valid) == 400
    assert 58 <= len(split.valid) <= 62


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        (["train", "test"] * 300, "no patient may stand on two sides of split column 'part', but 300 do (first: patient p0, in train and test)"),
        (["train", "train", "test", "test", "tets", "tets"] * 100, "it may hold valid besides, but it holds 'tets'"),
        ([0.5, 0.5, 1.0, 1.0] * 150, "must be names or whole numbers"),
        (["one"] * 600, "needs 2 levels or more"),
    ],
)  # fmt: skip
def test_a_column_that_is_no_split_is_refused(levels: list[Any], said: str) -> None:
    with pytest.raises(BenchError) as error:
        splits.of(cohort(visits=2, subgroups=pd.DataFrame({"part": levels})), "part")
    assert said in str(error.value)


def test_an_unknown_split_names_the_closest() -> None:
    with pytest.raises(BenchError, match=r"unknown split 'wrad'\. Did you mean 'ward'\? There are: random, site, time, ward\."):
        splits.of(cohort(), "wrad")


# ---- whole runs


def test_a_split_by_site_runs_to_its_report_and_shows_the_sites(tmp_path: Path) -> None:
    call = ["--dataset", DATA, "--methods", f"{GUESS},{GUESS}:noise=0.1", "--split", "site", "--workers", "0", "--quick"]
    ran = inside(tmp_path, *call)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "[8/8]" in ran.stdout
    assert "leave one site out, 4 sites" in ran.stdout
    folder = tmp_path / "reports" / "wards_split=site-quick"
    tripod = (folder / "tripod.md").read_text()
    assert "Internal-external cross-validation: leave one site out, 4 sites" in tripod
    assert "Folds: site east; site north; site south; site west." in tripod
    page = (folder / "index.html").read_text()
    assert "fold 3: site west" in page
    for site in ("east", "north", "south"):  # the figure and the table of levels, with the test of their spread
        assert f">{site}<" in page
    (under,) = protocol.asked(split="site", quick=True)
    assert not plan(tmp_path, under, f"{GUESS},{GUESS}:noise=0.1").missing  # a rerun trains nothing


def test_one_fold_and_two_training_sizes_run_to_their_reports(tmp_path: Path) -> None:
    places: dict[str, Any] = {"results": tmp_path / "results"}
    methods = f"{GUESS},{GUESS}:noise=0.1"
    outcome = bench.run(
        DATA, methods, split="time", train_size="60,all", quick=True, workers=0, reports=tmp_path / "reports", **places
    )
    small, whole = "wards split=time train_size=60", "wards split=time"
    assert list(outcome.results) == [small, whole]
    assert outcome.across is None  # of one dataset there is no mean rank
    # sizes: protocols of their own, the same test rows
    tested = [
        found.predictions.query("view == 'test'")[["method", "row"]].to_numpy().tolist() for found in outcome.results.values()
    ]
    assert tested[0] == tested[1]
    validated = outcome.results[small].predictions.query("view == 'valid' and method == 'guess'")
    assert abs(len(validated) - 9) <= 1  # 15 % of 60
    assert "at most 60 patients to learn from" in outcome.table(small)
    kept = store.runs(places["results"], "wards", quick=True)
    assert [under.get("train_size") for under in kept.values()] == [60, None]
    for name, under in kept.items():
        assert store.read(places["results"], "wards", quick=True, under=name).protocol == under
    for under in protocol.asked(split="time", train_size="60,all", quick=True):
        assert not plan(tmp_path, under, methods).missing  # a rerun trains nothing
    # one fold: no spread over folds, no statement about the procedure; intervals as ever
    scores = outcome.reports[whole].scores
    assert scores["sd"].isna().all()
    assert scores.loc[scores["metric"] == "auroc", ["value", "low", "high"]].notna().all(axis=None)
    assert "±" not in outcome.table(whole)
    assert "each other's test folds" not in outcome.table(whole)
    tripod = (tmp_path / "reports" / "wards_split=time-quick" / "tripod.md").read_text()
    assert "Temporal split: learned from 2010-01-" in tripod
    assert "The corrected t needs 2 folds a repeat, but there is 1: nothing is said about the procedure." in tripod
    # 400 rows, 30 % of them tested; 15 % of 280 are 42
    assert "238 for training, 42 for validation (15.0 % of those learned from), 120 to test on" in tripod
    compared = bench.compare("guess", "guess:noise=0.1", "wards", quick=True, resamples=50, **places)
    assert "trained anew: the corrected t needs 2 folds a repeat" in " ".join(compared.paragraph.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "sites"}, "unknown split 'sites'. Did you mean 'site'?"),
        ({"drop_modality": "notes"}, "unknown modality of 'wards' 'notes'. Did you mean 'note'?"),
        ({"drop_modality": "note,table,vitals"}, "a method needs a modality, but all of 'wards' are dropped"),
        ({"missing": "0.5,2"}, "missing must be probabilities from 0 to 1, separated by commas, but one is '2'"),
        ({"missing": 0.5, "drop_modality": "note,vitals"}, "missing needs a cohort with 2 or more, but the test rows of 'wards' have 1: table"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_one_line_before_anything_is_trained(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(BenchError) as error:
        bench.run(DATA, GUESS, workers=0, results=tmp_path / "results", reports=tmp_path / "reports", **options)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("results/*/*/*/r*"))


def test_a_suite_says_the_split_itself(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="--suite says what is compared and how, so --train-size cannot stand beside it"):
        screen.run({"train_size": "200"}, "patients", None, None)
    mine = tmp_path / "mine.toml"
    mine.write_text(
        f'text = "x"\ndatasets = ["{DATA}"]\nmethods = ["{GUESS}"]\n[protocol]\nfolds = 3\ntrain_size = [60, "all"]\nmissing = 0.5\n'
    )
    _, suite = suites.load(str(mine))
    assert isinstance(suite, suites.Comparison)
    assert suite.protocol.options(quick=False, seed=7) == {"folds": 3, "train_size": ("60", "all"), "missing": (0.5,), "seed": 7}
    assert suite.protocol.options(quick=True, seed=None) == {"train_size": ("60", "all"), "missing": (0.5,)}
    mine.write_text(mine.read_text() + 'splt = "time"\n')
    with pytest.raises(BenchError, match=r"unknown key of protocol 'splt'\. Did you mean 'split'\?"):
        suites.load(str(mine))
