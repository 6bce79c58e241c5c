"""Published results: made from a results folder, found to be whole or not, shown beside one's own as if all had been run."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import inside
from kept_cells import flipped
from made_results import results
from publishing import DATA, METHODS, OWN, PROTOCOL, edited, published, rewritten, trained

from bench import lookup, publish, report, store, stored
from bench import published as pub
from bench.core import BenchError
from bench.published import coding, files
from bench.published.coding import KEPT, RISK_BOUND, SCORE_BOUND, Scores, coded

HOW = report.Settings(resamples=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pub/ with the file, and own/results with a method that is not in it and one that is."""
    made = tmp_path_factory.mktemp("published")
    published(made)
    trained(made / "own", OWN)
    return made


@pytest.fixture
def file(folder: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copy(pub.find(folder / "pub")[0], tmp_path))


# ---- risks as whole numbers


@pytest.mark.parametrize("kind", ["smooth", "rounded", "extreme"])
def test_scores_and_risks_stay_within_their_bounds(kind: str) -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(-2, 1.5, 3000) * (4 if kind == "extreme" else 1)
    y = (rng.random(3000) < 1 / (1 + np.exp(-logit + rng.normal(0, 1, 3000)))).astype(float)
    p = np.clip(1 / (1 + np.exp(-logit)), 1e-7, 1 - 1e-7).astype(np.float32)
    p = np.clip(p.round(2), 0.01, 0.99) if kind == "rounded" else p
    fold, weight = np.arange(3000) % 5, rng.uniform(1, 2, 3000)
    column, scores, change = coded(y, p, fold, weight)
    risks = column.risks()
    assert np.abs(risks - p).max() == pytest.approx(change[2])
    assert change[2] < RISK_BOUND
    was, now = Scores.of(y, p, fold, weight), Scores.of(y, risks, fold, weight)
    assert max(now.apart(was)) == max(change[:2]) < SCORE_BOUND
    assert now.apart(scores) == (0.0, 0.0)
    assert column.values.min() == 0


def test_ties_of_a_method_stay_and_ties_of_the_steps_are_opened() -> None:
    fold, weight = np.zeros(40, int), np.ones(40)
    y = (np.arange(40) % 2).astype(float)
    column, scores, _ = coded(y, np.full(40, 0.3, np.float32), fold, weight)
    assert column.salt == KEPT
    assert (len(np.unique(column.risks())), scores.auroc) == (1, 0.5)
    tied = coding.Column(np.zeros(40, np.int32), -100, 128, 0).risks()
    assert len(np.unique(tied)) == 40
    assert np.ptp(tied) < 1e-6


# ---- the file


def test_a_file_holds_predictions_where_labels_are_known_and_what_made_them(folder: Path) -> None:
    one = pub.opened(pub.find(folder / "pub")[0])
    assert set(one.methods) == set(METHODS)
    assert [one.tested(label) for label in METHODS] == [True, True, False]
    # 2 methods with predictions x 2 repeats x 4 outcomes
    assert len(one.rows) == 16
    assert {len(values) for values in one.rows["values"]} == {300}
    about = one.manifest
    assert about["made"]["command"] == f"bench run --methods all --dataset {DATA} --repeats 2 --folds 2 --seed 0"
    declined = about["methods"]["guess:fault=decline"]["cells"]
    assert {cell["error"] for cell in declined} == {"needs at least 9 outcomes, but there are fewer"}
    assert all(cell["facts"]["steps"] == 7 for cell in about["methods"]["guess:noise=0.1"]["cells"])
    assert len(about["splits"]) == 4
    assert "p0" not in str(about)


def test_a_results_folder_takes_no_notice_of_what_is_published_in_it(folder: Path, tmp_path: Path) -> None:
    root = shutil.copytree(folder / "own" / "results", tmp_path / "results")
    shutil.copytree(folder / "pub", root / "published")
    assert store.verify(root).findings == store.verify(folder / "own" / "results").findings


def test_what_was_made_verifies_and_scores_come_out_again(folder: Path) -> None:
    found = pub.verify(folder / "pub")
    assert (found.files, found.scores, found.findings, found.notes) == (1, 32, (), ())


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 1.0])
def test_a_changed_bit_is_found(file: Path, share: float) -> None:
    flipped(file, int(share * (file.stat().st_size - 1)))
    (finding,) = pub.verify(file).findings
    assert "is damaged: its name says @" in finding or "cannot be read" in finding


def test_a_bit_changed_under_a_name_of_its_own_is_found_by_the_digests(file: Path) -> None:
    other = file.with_name("free.parquet")
    shutil.copy(file, other)
    flipped(other, 2000)
    assert any("is damaged" in text for text in pub.verify(other).findings)


def test_an_edited_manifest_and_swapped_columns_are_named(file: Path) -> None:
    one = pub.opened(file)
    rows = one.rows.to_dict("records")
    first, second = (i for i, row in enumerate(rows) if (row["method"], row["task"]) == ("guess:noise=0.1", "aki"))
    rows[first]["values"], rows[second]["values"] = rows[second]["values"], rows[first]["values"]
    forged = rewritten(file, rows)
    findings = pub.verify(forged).findings
    assert len(findings) == 2
    assert all("of guess:noise=0.1, repeat " in text and ", aki, but its risks give" in text for text in findings)
    changed = edited(forged, repeats=1)
    assert "its manifest was changed after it was made" in pub.verify(changed).findings[0]


def test_another_cohort_other_splits_and_missing_columns_are_named(file: Path) -> None:
    one = pub.opened(file)
    other = rewritten(file, dataset={**one.manifest["dataset"], "digest": "0" * 64})
    assert "the cohort 'surgical:n=300' is" in pub.verify(other).findings[0]
    moved = rewritten(other, dataset=one.manifest["dataset"], splits={**one.manifest["splits"], "r1-f0": "elsewhere"})
    assert "differs in r1-f0" in pub.verify(moved).findings[0]
    less = rewritten(moved, one.rows.iloc[1:].to_dict("records"), splits=one.manifest["splits"])
    assert "has not all repeats and outcomes of constant" in pub.verify(less).findings[0]


def test_a_dataset_that_cannot_be_loaded_is_checked_by_digests_and_said(file: Path) -> None:
    one = pub.opened(file)
    found = pub.verify(rewritten(file, dataset={**one.manifest["dataset"], "label": "elsewhere"}))
    assert (found.findings, found.scores) == ((), 0)
    assert "checked by their digests alone" in found.notes[0]


# ---- beside one's own


def test_against_published_is_as_if_all_had_been_run(folder: Path, tmp_path: Path) -> None:
    here = next(iter(lookup.results_of(DATA, None, None, folder / "own" / "results", False, None, folder / "pub")))
    assert here.methods == (OWN, *sorted(METHODS))
    root = trained(tmp_path, OWN, *METHODS)
    whole = store.read(root, DATA, methods=here.methods, reference=here.reference)
    a, b = report.scored(here, HOW), report.scored(whole, HOW)
    keys = ["method", "task", "metric"]
    for left, right, columns in (
        (a.scores, b.scores, ["value", "low", "high"]),
        (a.comparisons, b.comparisons, ["difference", "p"]),
    ):
        assert left[keys].equals(right[keys])
        np.testing.assert_allclose(left[columns].to_numpy(float), right[columns].to_numpy(float), atol=2e-3)
    primary = a.scores["metric"].isin(["auroc", "ap"])
    np.testing.assert_allclose(a.scores.loc[primary, "value"], b.scores.loc[primary, "value"], atol=SCORE_BOUND)
    for name in ("status", "error", "seconds"):
        assert (here.cells[name].isna() == whole.cells[name].isna()).all()
    assert here.cells["status"].tolist() == whole.cells["status"].tolist()


def test_risks_are_not_needed_where_the_outcome_is_unknown() -> None:
    given = results()
    rows = given.predictions["row"] % 7 == 0
    whole = replace(given, predictions=given.predictions.assign(**{"y:stroke": given.predictions["y:stroke"].mask(rows)}))
    gone = rows & whole.predictions["method"].isin(["good", "ref"])
    without = replace(whole, predictions=whole.predictions.assign(**{"p:stroke": whole.predictions["p:stroke"].mask(gone)}))
    a, b = (report.frames_of(one, HOW) for one in (whole, without))
    for name in ("curves", "risks", "calibration", "net_benefit", "benefit_differences", "delong", "corrected", "gains"):
        pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name))
    pd.testing.assert_frame_equal(a.scoring.scores, b.scoring.scores)
    pd.testing.assert_frame_equal(a.scoring.comparisons, b.scoring.comparisons)
    lost = replace(without, predictions=without.predictions.assign(**{"p:death": without.predictions["p:death"].mask(gone)}))
    with pytest.raises(BenchError, match="predictions must be finite, but those of"):
        report.scored(lost, HOW)


def test_a_run_against_published_trains_its_own_method_and_reports_all(folder: Path, tmp_path: Path) -> None:
    from filled import GUESS

    done = inside(
        tmp_path, "--methods", f"{GUESS}:noise=0.3", "--dataset", DATA, "--against", str(folder / "pub"), "--workers", "0",
        "--reference", "constant",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "results").rglob("r*-f*.json")) == [
        "r0-f0.json",
        "r0-f1.json",
        "r1-f0.json",
        "r1-f1.json",
    ]
    table = (tmp_path / "reports" / "surgical_n=300" / "table.md").read_text("utf-8")
    for label in METHODS[:2]:
        assert f"| {label}<sup>" in table
    assert "Published results of " in table
    assert "Trained here: guess, beside 3 published methods. AUROC " in table
    last = " ".join(done.stdout.split()[-400:])
    assert "Trained here: guess, beside 3 published methods. AUROC " in last
    assert " of 3 (95 % set), " in last  # the third was declined
    assert " against constant. AP " in last
    assert "not trained here: seconds are of that machine" in table
    assert "index.html" in {path.name for path in (tmp_path / "reports" / "surgical_n=300").iterdir()}


def test_stored_results_win_over_published_ones_and_it_is_said(folder: Path, tmp_path: Path) -> None:
    root = trained(tmp_path, "constant", OWN)
    found = next(iter(lookup.results_of(DATA, None, None, root, False, None, folder / "pub")))
    assert found.published["constant"] == "Published too; these are the results of this folder."
    own = found.predictions[found.predictions["method"] == "constant"]
    assert set(own["view"]) == {"test", "valid"}
    assert len(found.cells) == 4 * len(found.methods)


def test_compare_and_report_need_no_run(folder: Path, tmp_path: Path) -> None:
    found = stored.compare("guess:noise=0.1", "constant", DATA, results=tmp_path / "none", against=folder / "pub", resamples=40)
    assert "guess:noise=0.1 is" in found.paragraph or "No difference" in found.paragraph
    text = publish.leaderboard(folder / "pub", tmp_path / "page.md", resamples=40)
    assert text == (tmp_path / "page.md").read_text("utf-8")
    assert "| constant<sup>" in text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--seed", "1"], "are of seed 0 and of seed 1 in this run"),
        (["--folds", "3"], "are of folds 2 and of folds 3 in this run"),
        (["--repeats", "3"], "have 2 repeats, but 3 are asked for"),
        (["--quick"], "are of quick False and of quick True"),
        (["--dataset", "surgical:n=301"], "unknown dataset with published results 'surgical:n=301'"),
        (["--reference", "nosuch"], "unknown reference, neither of the run nor published 'nosuch'"),
        (["--methods", "all"], "name them, as in --methods ./my_net.py"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line(folder: Path, tmp_path: Path, more: list[str], said: str) -> None:
    done = inside(tmp_path, "--methods", "constant", "--dataset", DATA, "--against", str(folder / "pub"), "--workers", "0", *more)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


# ---- a contribution


def test_a_contribution_is_a_file_of_its_own(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "pub", tmp_path / "pub")
    path = publish.submit(DATA, OWN, results=folder / "own" / "results", out=tmp_path / "pub", against=tmp_path / "pub")
    assert path.name.startswith("surgical_n=300-guess_noise=0.2@")
    assert set(pub.shelf(tmp_path / "pub", DATA).owner) == {*METHODS, OWN}
    assert pub.verify(tmp_path / "pub").findings == ()
    again = path.with_name("twice.parquet")
    shutil.copy(path, again)
    assert "has guess:noise=0.2, which another file of 'surgical:n=300' has too" in pub.verify(tmp_path / "pub").findings[0]


def test_tuned_results_stand_beside_the_defaults(folder: Path, tmp_path: Path) -> None:
    against = shutil.copytree(folder / "pub", tmp_path / "pub")
    root = trained(tmp_path, "multitask_lasso", protocol=replace(PROTOCOL, tune=2))
    with pytest.raises(BenchError, match=r"without --tune, but are of: cv2-tune2@.* --tuned takes those with it\."):
        publish.submit(DATA, "multitask_lasso", results=root, out=against, against=against)
    path = publish.submit(DATA, "multitask_lasso", results=root, out=against, against=against, tuned=True)
    one = pub.opened(path)
    assert one.methods == ["multitask_lasso@tune2"]
    assert one.manifest["made"]["command"].endswith(" --folds 2 --seed 0 --tune 2")
    assert {cell["facts"]["tuned"]["trials"] for cell in one.manifest["methods"]["multitask_lasso@tune2"]["cells"]} == {2}
    assert pub.verify(against).findings == ()
    text = publish.leaderboard(against, resamples=40)
    assert "| multitask_lasso&#64;tune2<sup>" in text
    assert "settings searched in every training fold (tune2), not trained here" in text
    own = pub.merged(store.read(root, DATA), pub.shelf(against, DATA))  # a tuned run of one's own has the published splits too
    assert own.methods == ("multitask_lasso", *sorted(METHODS), "multitask_lasso@tune2")


def test_what_is_not_whole_or_not_comparable_is_not_submitted(folder: Path, tmp_path: Path) -> None:
    def refused(root: Path, methods: str = OWN) -> str:
        with pytest.raises(BenchError) as found:
            publish.submit(DATA, methods, results=root, out=tmp_path / "out", against=folder / "pub")
        return str(found.value)

    assert "nosuch" in refused(folder / "own" / "results", "nosuch")
    for name, protocol, said in (
        ("seed", {"seed": 1}, "results must be of the published protocol (folds 2, quick False, seed 0)"),
        ("once", {"repeats": 1}, "published results have 2 repeats, but these have 1"),
        ("quick", {"quick": True, "rows": 200}, "There are some of a quick look"),
    ):
        assert said in refused(trained(tmp_path / name, OWN, protocol=replace(PROTOCOL, **protocol)))
    root = trained(tmp_path / "failed", OWN, "guess:fault=raise", "guess:fault=decline")
    assert "4 of 4 cells of guess:fault=raise are failed (r0-f0: " in refused(root, "guess:fault=raise")
    assert "there is nothing to publish" in refused(root, "guess:fault=decline")
    next(root.rglob("guess_noise*/*/r1-f1.json")).unlink()
    assert "1 of 4 cells of guess:noise=0.2 are missing" in refused(root)
    assert not (tmp_path / "out").exists()


def test_other_code_is_refused_unless_it_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = trained(tmp_path, "constant")
    from bench import provenance

    monkeypatch.setattr(provenance, "code_version", lambda *files, **more: {"code": "another", "versions": {}})
    with pytest.raises(BenchError, match="constant was run with other code than there is now"):
        publish.submit(DATA, "constant", results=root, out=tmp_path)
    assert publish.submit(DATA, "constant", results=root, out=tmp_path, accept_code=True).is_file()


# ---- what is in the repository


@pytest.mark.skipif(not pub.there(), reason="nothing is published yet")
def test_what_is_committed_verifies() -> None:
    found = pub.verify()
    assert found.findings == ()
    assert found.bytes <= files.MOST
    assert found.scores or found.notes
    frames = [pub.opened(path).rows for path in pub.find(pub.WORD)]
    assert pd.concat(frames)[["auroc_change", "ap_change"]].max().max() < SCORE_BOUND
