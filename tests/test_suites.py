"""Suites: what stands in the bundled files, what is refused and in which words, and whole small runs through the command."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import api, claims, draws, registry, splits, suites
from bench.balance import catalog
from bench.cli import screen
from bench.core import BenchError
from bench.draws import Draws

GUESS = str(Path(__file__).parent / "plugins" / "guess.py")
DIALS = "surgical:relatedness=0.2"

MODEL = "logistic:tolerance=0.3"  # a cell of 150 patients in a tenth of a second
TINY = f"""
text = "A tiny suite."
[draws]
count = 3
seed = 50
test = 400

[[claim]]
name = "trees"
paper = "Nobody | 2020"
text = "a model above a guess"
dataset = "{DIALS}"
train = [150, 200]
rows = 600
method = "{MODEL}"
against = ["{GUESS}", "{GUESS}:noise=0.1"]
metric = "auroc"
effect = 0.01

[[null]]
name = "other-site"
of = "trees"
text = "learned at A, tested at B"
dataset = "surgical"
train = 150
rows = 1600
train_site = "A"
test_site = "B"
method = "{GUESS}"
against = ["{MODEL}"]
effect = 0.05
than = {{ train = 200 }}

[[claim]]
name = "steps"
paper = "Nobody"
text = "fewer steps than a model"
dataset = "{DIALS}"
train = 150
rows = 600
method = "{GUESS}"
against = ["{MODEL}"]
metric = "fact:st*"
scale = "ratio"
direction = "down"
effect = 2

[[claim]]
name = "declined"
paper = "Nobody"
text = "a method that declines"
dataset = "{DIALS}"
train = 150
rows = 600
method = "{GUESS}:fault=decline"
against = ["{MODEL}"]
"""


def written(folder: Path, text: str = TINY, name: str = "mine.toml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", "run", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


# ---- the bundled files


def test_balancing_runs_every_balance_on_hard_sharing() -> None:
    _, suite = suites.load("balancing")
    assert isinstance(suite, suites.Comparison)
    specs = registry.parse("methods", ",".join(suite.methods))
    assert {spec.id for spec in specs} == {"hard_sharing"}
    names = [str(spec.settings.get("balance", "equal")).split("+")[0] for spec in specs]
    asked = "equal fixed uncertainty dwa famo imtl_l geometric_mean stch random gradnorm pcgrad cagrad imtl_g nash_mtl aligned_mtl mgda"
    assert names == [*asked.split(), "upgrad", "config", "gradvac", "graddrop", "fairgrad", "dualproj"]
    assert set(names) <= set(catalog.NAMES)
    assert registry.parse("methods", str(suite.reference))[0] in specs


def test_claims_hold_every_row_of_the_table_and_a_null_for_each_paper() -> None:
    _, suite = suites.load("claims")
    assert isinstance(suite, suites.Claims)
    assert suite.draws.count >= 20
    assert suite.draws.test == 20_000
    papers = {paper: [c for c in suite.claim if c.paper.startswith(paper)] for paper in ("OrthTD", "DFD", "Dense", "Shared")}
    assert sum(map(len, papers.values())) == len(suite.claim)
    for own in papers.values():
        assert {null.of for null in suite.null} & {claim.name for claim in own}
    curve = next(c for c in suite.claim if c.name == "shared-ahead")
    assert curve.train == (100, 300, 1000, 3000, 12430)
    bases = {c.method for c in papers["DFD"] if c.effect}
    assert {"dfd:base=hard_sharing", "dfd:base=mmoe", "dfd:base=orthtd"} <= bases
    assert all(c.train_site == "A" and c.test_site == "B" for c in papers["DFD"])
    # paper: +4.3 points of AP, +0.4 of AUROC; 86 / 38 = 2.263, 14.7 / 1.2 = 12.25, 0.261 / 0.143 = 1.825; DFD at least +1.65
    sizes = {c.name: c.effect for c in suite.claim}
    assert (sizes["orthtd-ap"], sizes["orthtd-auroc"], sizes["dfd-mmoe"]) == (0.043, 0.004, 0.0165)
    assert sizes["dense-rank"] == pytest.approx(86 / 38, abs=1e-3)
    assert sizes["dense-condition"] == pytest.approx(14.7 / 1.2)
    assert sizes["dense-windows"] == pytest.approx(0.261 / 0.143, abs=1e-3)


@pytest.mark.parametrize("quick", [False, True])
def test_every_spec_of_the_claims_can_be_made(quick: bool) -> None:
    _, suite = suites.load("claims")
    assert isinstance(suite, suites.Claims)
    cases = claims.cases(suite, quick=quick)
    for (dataset, protocol), methods in claims.needs(cases).items():
        cohort = draws.probe(dataset, protocol)
        for arm in (arm for case in cases for arm in case.arms if arm.dataset == dataset):
            task = arm.metric.partition(":")[2]
            assert not arm.metric.startswith(("ap:", "auroc:")) or task in cohort.task_names
        for method in methods:
            assert registry.method(method)
        if quick:
            assert (protocol.repeats, protocol.test, protocol.quick) == (2, 2000, True)
            assert protocol.train <= 1243


# ---- what is refused


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("paper", "papre", r"unknown key of claim\[0\] 'papre'\. Did you mean 'paper'\?"),
        ("count = 3", "cuont = 3", r"unknown key of draws 'cuont'\. Did you mean 'count'\?"),
        ("{ train = 200 }", "{ tarin = 200 }", r"unknown key of null\[0\]\.than 'tarin'\. Did you mean 'train'\?"),
        ("count = 3", "count = 1", r"draws\.count: input should be greater than or equal to 2"),
        ('of = "trees"', 'of = "tree"', r"unknown claim of null 'other-site' 'tree'\. Did you mean 'trees'\?"),
        ('name = "steps"', 'name = "trees"', r"every claim and null needs a name of its own, but 'trees' stands more than once"),
        ('"auroc"', '"aurok"', r"claim\[0\]\.metric: string should match pattern"),
        ("effect = 2", "effect = 0.5", r"claim\[1\]: effect must be above 1 where scale is ratio, but is 0\.5"),
        ("text =", "text", "is no TOML file"),
    ],
)
def test_a_mistake_in_a_suite_is_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = written(tmp_path, TINY.replace(old, new, 1))
    with pytest.raises(BenchError, match=said) as caught:
        suites.load(path)
    assert "\n" not in str(caught.value).replace(str(tmp_path), "").strip() or "TOML" in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"logistic', '"logistc', r"unknown method 'logistc'\. Did you mean 'logistic'\?"),
        (DIALS, "surgical:seed=3", r"n and seed are set draw by draw, but 'surgical:seed=3' sets seed"),
        (DIALS, "support2", r"draws need a generator, a dataset with the dials n and seed, but the dials of 'support2'"),
        ('"auroc"', '"auroc:aky"', r"unknown outcome of '.*' 'aky'\. Did you mean 'aki'\?"),
        ("rows = 600", "rows = 500", r"needs 150 patients to learn from and 400 others to test on, but 500 rows are too few"),
        ('"B"', '"C"', r"unknown site of '.*' 'C'\. There are: A, B\."),
    ],
)
def test_a_suite_that_cannot_be_run_says_why(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = written(tmp_path, TINY.replace(old, new, 1))
    with pytest.raises(BenchError, match=said):
        api.run_suite(path, results=tmp_path / "results", reports=tmp_path / "reports", workers=0)


def test_unknown_suites_and_options_that_a_suite_sets_itself(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"unknown suite 'balncing'\. Did you mean 'balancing'\? There are: balancing, claims\."):
        suites.load("balncing")
    with pytest.raises(BenchError, match=r"no such file: nowhere\.toml"):
        suites.load("nowhere.toml")
    said = command(tmp_path, "--suite", "claims", "--methods", "mmoe", "--folds", "3")
    assert said.returncode == 1
    assert said.stderr.startswith(
        "bench: --suite says what is compared and how, so --methods and --folds cannot stand beside it."
    )


# ---- a draw


def test_a_draw_learns_from_its_first_rows_and_is_tested_on_its_last() -> None:
    protocol = Draws(train=300, test=500, rows=900, repeats=2, seed=7)
    dataset = registry.parse("datasets", "surgical")[0]
    cohort, split = draws.drawn(dataset, protocol, 1)
    assert cohort.digest == registry.load("surgical:n=900:seed=8").digest  # draw 1 has seed 7 + 1
    learned = np.sort(np.concatenate([split.train, split.valid]))
    assert learned.tolist() == list(range(300))
    assert split.test.tolist() == list(range(400, 900))
    assert len(split.valid) == round(0.15 * 300) == splits.VALID_SHARE * 300
    events = np.nansum(cohort.labels[split.valid], 0) - 0.15 * np.nansum(cohort.labels[learned], 0)
    assert np.abs(events).max() < 1  # stratified: every outcome has its share, to the event
    assert draws.drawn(dataset, protocol, 0)[0].digest != cohort.digest


def test_a_draw_can_learn_at_one_site_and_be_tested_at_another() -> None:
    protocol = Draws(train=300, test=500, rows=1500, repeats=2, train_site="A", test_site="B")
    cohort, split = draws.drawn(registry.parse("datasets", "surgical:bias=0.9")[0], protocol, 0)
    assert cohort.site is not None
    learned = np.sort(np.concatenate([split.train, split.valid]))
    assert learned.tolist() == np.flatnonzero(cohort.site == "A")[:300].tolist()
    assert split.test.tolist() == np.flatnonzero(cohort.site == "B")[-500:].tolist()


def test_more_draws_are_more_cells_of_the_same_protocol() -> None:
    few, many = (Draws(train=300, test=500, rows=900, repeats=n) for n in (3, 9))
    assert few.part.folder == many.part.folder
    others = [{"seed": 1}, {"train": 301}, {"test": 501}, {"rows": 901}, {"quick": True}, {"train_site": "A"}, {"test_site": "B"}]
    asked: dict[str, Any] = {"train": 300, "test": 500, "rows": 900, "repeats": 3}
    assert len({few.part.folder, *(Draws(**(asked | other)).part.folder for other in others)}) == 1 + len(others)


# ---- whole runs


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    ran = command(folder, "--suite", written(folder), "--workers", "1")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 claims: " in ran.stdout
    return folder


FILES = ("claims.md", "claims.csv", "claims.png", "claims.svg")


def test_a_suite_of_claims_gives_verdicts_in_four_forms(done: Path) -> None:
    table = pd.read_csv(done / "reports" / "mine" / "claims.csv").set_index(["name", "train"])
    assert {p.name for p in (done / "reports" / "mine").iterdir()} == set(FILES)
    assert list(table.index) == [
        ("trees", "150"),
        ("trees", "200"),
        ("other-site", "150 less 200"),
        ("steps", "150"),
        ("declined", "150"),
    ]
    assert table.loc[("declined", "150"), "verdict"] == "not run"
    assert "needs at least 9 outcomes" in str(table.loc[("declined", "150"), "reason"])
    assert np.isnan(table.loc[("declined", "150"), "effect"])
    judged = table[table["verdict"] != "not run"]
    assert (judged["low"] <= judged["effect"]).all()
    assert (judged["effect"] <= judged["high"]).all()
    assert judged["verdict"].isin(["reproduced", "refuted", "inconclusive", "absent", "present", "undecided"]).all()
    assert float(str(table.loc[("trees", "200"), "effect"])) > 0.03  # a model against guesses, in points of AUROC
    page = (done / "reports" / "mine" / "claims.md").read_text()
    assert "Nobody &#124; 2020" in page
    assert "Synthetic patients" in page
    assert (done / "reports" / "mine" / "claims.png").read_bytes()[:4] == b"\x89PNG"


def test_the_verdict_is_that_of_the_stored_predictions(done: Path) -> None:
    from sklearn.metrics import roc_auc_score

    def auroc(path: Path) -> float:
        frame = pd.read_parquet(path)
        test = frame[frame["view"] == "test"]
        assert len(test) == 400
        return float(np.mean([roc_auc_score(test[c], test["p:" + c[2:]]) for c in test if c.startswith("y:")]))

    place = next(done.glob("results/surgical_relatedness=0.2@*"))
    d = []
    for k in range(3):
        own, *rivals = (
            auroc(next(place.glob(f"{m}@*/draws200@*/r{k}-f0.parquet")))
            for m in (MODEL.replace(":", "_"), "guess", "guess_noise=0.1")
        )
        d.append(own - max(rivals))  # the best rival of this draw
    row = pd.read_csv(done / "reports" / "mine" / "claims.csv").iloc[1]
    assert row["effect"] == pytest.approx(np.mean(d), abs=1e-9)
    # t(.975, 2) = 4.302653: half of the interval is that times SD / sqrt(3)
    assert row["high"] - row["effect"] == pytest.approx(4.302653 * np.std(d, ddof=1) / 3**0.5, rel=1e-6)


def test_a_rerun_trains_nothing_and_writes_the_same_bytes(done: Path) -> None:
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in done.glob("results/*/*/*/r*")}
    pages = {name: (done / "reports" / "mine" / name).read_bytes() for name in FILES}
    ran = command(done, "--suite", "./mine.toml", "--workers", "1")
    cells = sum(p.suffix == ".json" for p in before)
    assert f"{cells} of {cells} cells are stored already" in ran.stdout
    assert "[" not in ran.stdout.partition("A tiny suite.")[0]
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in done.glob("results/*/*/*/r*")} == before
    assert {name: (done / "reports" / "mine" / name).read_bytes() for name in FILES} == pages


def test_python_says_the_same_and_more_draws_keep_the_old_ones(done: Path, tmp_path: Path) -> None:
    path = written(tmp_path, TINY.replace("count = 3", "count = 4"))
    options: dict[str, Any] = {"results": done / "results", "reports": tmp_path / "reports", "workers": 0}
    before = {p: p.stat().st_mtime_ns for p in done.glob("results/*/*/*/r*")}
    judged = api.run_suite(path, **options)
    assert isinstance(judged, api.Judged)
    assert set(judged.verdicts.table["draws"]) == {4}
    assert judged.failed.empty
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert any(p.name == "r3-f0.json" for p in done.glob("results/*/*/*/r*"))
    for path_ in done.glob("results/*/*/*/r3-*"):
        path_.unlink()


def test_a_failed_cell_leaves_its_claims_not_run_and_the_others_judged(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        TINY.replace(
            f'method = "{GUESS}"\nagainst = ["{MODEL}"]\nmetric',
            f'method = "{GUESS}:fault=raise"\nagainst = ["{MODEL}"]\nmetric',
        ),
    )
    judged = api.run_suite(path, seed=9, results=tmp_path / "results", reports=tmp_path / "reports", workers=0)
    assert isinstance(judged, api.Judged)
    table = judged.verdicts.table.set_index("name")
    assert table.loc["steps", "verdict"] == "not run"
    assert "failed: ValueError: no luck" in str(table.loc["steps", "reason"])
    assert table.loc["other-site", "verdict"] != "not run"
    assert set(judged.failed["method"]) == {"guess:fault=raise"}
    assert screen.show(judged) == 2
    seeds = {json.loads(p.read_text())["seed"] for p in tmp_path.glob("results/*/*/draws*/protocol.json")}
    assert seeds == {9}


def test_stopped_and_started_again_a_suite_ends_with_the_same_table(done: Path, tmp_path: Path) -> None:
    written(tmp_path)
    start = [sys.executable, "-m", "bench", "run", "--suite", "mine.toml", "--workers", "1"]
    process = subprocess.Popen(
        start, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    end = time.monotonic() + 60
    while len(list(tmp_path.glob("results/*/*/*/r*.json"))) < 5 and time.monotonic() < end:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.glob("results/*/*/*/r*.json")}
    assert 5 <= len(kept) < len(list(done.glob("results/*/*/*/r*.json")))
    assert not (tmp_path / "reports" / "mine" / "claims.csv").exists()
    ran = command(tmp_path, "--suite", "mine.toml", "--workers", "1")
    assert f"{len(kept)} of " in ran.stdout
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    for name in FILES:
        assert (tmp_path / "reports" / "mine" / name).read_bytes() == (done / "reports" / "mine" / name).read_bytes(), name


def test_a_quick_look_is_marked_and_kept_apart(done: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"results": tmp_path / "results", "reports": tmp_path / "reports", "workers": 0}
    judged = api.run_suite(str(done / "mine.toml"), quick=True, **options)
    assert isinstance(judged, api.Judged)
    assert judged.folder == tmp_path / "reports" / "mine-quick"
    assert "quick look, not a result" in (judged.folder / "claims.md").read_text()
    assert set(judged.verdicts.table["draws"]) == {2}
    assert set(judged.verdicts.table["train"]) == {"100"}


def test_a_comparison_is_cross_validated_as_any_run(tmp_path: Path) -> None:
    text = f"""
text = "Two guesses."
datasets = ["surgical:n=400"]
methods = ["{GUESS}", "{GUESS}:noise=0.1"]
reference = "guess:noise=0.1"
[protocol]
folds = 3
seed = 4
"""
    path = written(tmp_path, text.replace('"guess:noise', f'"{"guess"}:noise'))
    outcome = api.run_suite(path, results=tmp_path / "results", reports=tmp_path / "reports", workers=0)
    plain = api.run(
        "surgical:n=400", [GUESS, f"{GUESS}:noise=0.1"], folds=3, seed=4, reference="guess:noise=0.1", workers=0,
        results=tmp_path / "other", reports=tmp_path / "plain",
    )  # fmt: skip
    assert isinstance(outcome, api.Outcome)
    pd.testing.assert_frame_equal(outcome.scores, plain.scores)
    quick = api.run_suite(path, results=tmp_path / "results", reports=tmp_path / "reports", workers=0, quick=True)
    assert isinstance(quick, api.Outcome)
    assert set(quick.predictions["fold"]) == {0, 1}


# ---- the dataset of the nulls


def test_modalities_of_independent_share_nothing_and_without_signal_are_noise() -> None:
    cohort, noise = registry.load("independent:n=3000"), registry.load("independent:n=3000:signal=0")
    planted = registry.module("datasets", "independent").truth(cohort)
    for one, strong in ((cohort, 0.5), (noise, 0.0)):
        table = one.inputs.modalities["table"].frame.to_numpy()
        series = one.inputs.modalities["vitals"].value.reshape(3000, 4, 12).mean(axis=2)
        words = np.array([len(note.split()) for note in one.inputs.modalities["note"].strings])
        views = {"table": table[:, 0], "vitals": series[:, 0], "note": words}
        found = pd.DataFrame({**{f"view:{k}": v for k, v in views.items()}, **planted}).corr()
        for modality in views:
            for factor in views:
                r = found.loc[f"view:{modality}", f"factor:{factor}"]
                # a correlation of 3,000 independent pairs has SD 1 / sqrt(3,000) = .018; four of them
                assert (r > strong) if modality == factor and strong else (abs(r) < 0.073), (modality, factor, r)
    assert (cohort.labels == noise.labels).all()  # the dial changes what is seen and not what happens
