"""A plan: locked before anything, unchanged or refused, done as it says, and what a report says of results that kept to it."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import SMALL, TWO, inside, report_folder
from filled import GUESS, fill

from bench import plans
from bench.cli import main
from bench.core import BenchError
from bench.planning import lock
from bench.plans import Locked
from bench.protocol import Protocol

WORDS = [*SMALL[:-1], "--methods", TWO]
ASKED = [*WORDS, "--primary", "auroc", "--margin", "0.02", "--reference", "guess:noise=0.1"]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder in which a plan was locked and done; what was there when it was locked, and what the commands said."""
    folder = tmp_path_factory.mktemp("planned")
    shown = inside(folder, *ASKED, verb="plan")
    locked = inside(folder, *ASKED, "--lock", "plan.toml", verb="plan")
    there = sorted(path.name for path in folder.iterdir())
    done = inside(folder, "--plan", "plan.toml", "--workers", "0", "--seed", "0")
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(
        folder=folder, shown=shown, locked=locked, there=there, done=done, plan=plans.read(folder / "plan.toml")
    )


def test_locking_writes_the_plan_and_nothing_else(planned: Any) -> None:
    assert planned.locked.returncode == 0, planned.locked.stderr
    assert planned.there == ["plan.toml"]
    assert planned.plan.sha256 in planned.locked.stdout
    assert "too few events" in planned.locked.stdout  # said before the plan is fixed, not after
    again = inside(planned.folder, *ASKED, "--lock", "plan.toml", verb="plan")
    assert again.returncode == 1
    assert again.stderr.count("\n") == 1
    assert "not written over" in again.stderr


def test_without_lock_the_same_is_printed(planned: Any) -> None:
    shown = tomllib.loads(planned.shown.stdout)
    assert {**shown, "locked": ""} == {**planned.plan.content, "locked": ""}


def test_it_says_whom_what_and_by_what(planned: Any) -> None:
    content = planned.plan.content
    (dataset,) = content["dataset"]
    assert (dataset["name"], dataset["rows"], dataset["patients"], len(dataset["digest"])) == ("surgical:n=600", 600, 600, 64)
    table = (report_folder(planned.folder) / "table.md").read_text("utf-8")
    for outcome in dataset["outcome"]:  # the numbers that the table has later
        assert f"{outcome['name']}<br>n {outcome['n']:,}<br>{outcome['events']:,} events" in table
    (split,) = dataset["split"]
    assert (split["kind"], split["repeats"], split["protocol"]["folds"]) == ("random", 1, 3)
    tripod = (report_folder(planned.folder) / "tripod.md").read_text("utf-8")
    assert split["hash"] in tripod
    for method in content["method"]:
        assert f"{method['name']} {method['code']}" in tripod.replace("&#61;", "=")
    assert content["method"][1]["settings"] == {"noise": 0.1, "sleep": 0.0, "fault": "none"}
    assert content["analysis"] == {
        "reference": "guess:noise=0.1", "primary": ["auroc"], "adjust": "max_t", "interval": "percentile", "margin": 0.02, "resamples": 200,
    }  # fmt: skip
    assert (content["run"]["folds"], content["run"]["text"], content["run"]["tune"], content["run"]["quick"]) == (
        3,
        "tfidf",
        0,
        True,
    )
    assert {"numpy", "pandas"} <= set(content["versions"])


def test_a_suite_of_comparisons_is_planned_as_its_words_are(planned: Any, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    body = f'text = "x"\ndatasets = ["surgical:n=600"]\nmethods = {TWO.split(",")}\nreference = "guess:noise=0.1"\n[protocol]\nfolds = 3\n'
    mine.write_text(body.replace("'", '"'), "utf-8")
    made = lock.plan(suite=str(mine), quick=True, primary=("auroc",), margin=0.02)
    assert tomllib.loads(made.text)["run"] == {**planned.plan.run, "folds": 2}  # a quick look at a suite has its own
    with pytest.raises(
        BenchError, match="--suite says what is compared and how, so --methods and --reference cannot stand beside it"
    ):
        lock.plan(suite=str(mine), methods="logistic", reference="logistic")
    with pytest.raises(BenchError, match="a plan is of a comparison of methods, but 'claims' is a suite of claims"):
        lock.plan(suite="claims")


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("margin = 0.02", "margin = 0.2"),
        ("events = 110", "events = 111"),
        ("stored = 0", "stored = 1"),
        ('locked = "2', 'locked = "1'),
    ],
)
def test_an_edited_plan_is_refused_by_its_line(planned: Any, tmp_path: Path, line: str, other: str) -> None:
    text = (planned.folder / "plan.toml").read_text("utf-8")
    assert line in text
    (tmp_path / "p.toml").write_text(text.replace(line, other), "utf-8")
    for verb in ("run", "report"):
        ended = inside(tmp_path, "--plan", "p.toml", verb=verb)
        assert ended.returncode == 1
        assert ended.stderr.count("\n") == 1
        assert f'its line sha256 = "{planned.plan.sha256}" is not of what it says now' in ended.stderr


def test_comments_and_blank_lines_are_free(planned: Any, tmp_path: Path) -> None:
    text = (planned.folder / "plan.toml").read_text("utf-8")
    (tmp_path / "p.toml").write_text("# appended to the registered report\n\n" + text, "utf-8")
    assert plans.read(tmp_path / "p.toml") == planned.plan


def test_what_is_no_plan_is_said(tmp_path: Path) -> None:
    for text, said in (
        ("\ufeffa = 1", "no locked plan"),
        ("a = ", "no TOML file"),
        ("a = 1", "no locked plan"),
        (None, "cannot be read"),
    ):
        path = tmp_path / f"{said[:3]}.toml"
        if text is not None:
            path.write_text(text, "utf-8")
        with pytest.raises(BenchError, match=said):
            plans.read(path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--folds", "4"], "--folds 4 contradicts the plan"), (["--methods", GUESS], "contradicts the plan"),
        (["--split", "site"], "which has none"), (["--suite", "claims"], "--suite cannot stand beside --plan"),
        (["--profile", "paper"], "--profile cannot stand beside --plan"), (["--reference", "guess"], "which has guess:noise=0.1"),
    ],
)  # fmt: skip
def test_words_that_contradict_the_plan_are_refused(planned: Any, words: list[str], said: str) -> None:
    ended = inside(planned.folder, "--plan", "plan.toml", *words)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert said in ended.stderr


def changed(plan: Locked, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A plan that says something else, locked as such."""
    content = tomllib.loads(plans.text(plan.content))
    change(content)
    plans.lock(content, folder / "other.toml")
    return folder / "other.toml"


def test_another_cohort_is_refused_before_anything_is_made(planned: Any, tmp_path: Path) -> None:
    changed(planned.plan, tmp_path, lambda content: content["dataset"][0].update(digest="0" * 64))
    ended = inside(tmp_path, "--plan", "other.toml")
    assert ended.returncode == 1
    assert "the cohort of 'surgical:n=600' is not the one of plan" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["other.toml"]


def test_other_code_is_said_before_training(planned: Any, tmp_path: Path) -> None:
    changed(planned.plan, tmp_path, lambda content: content["method"][0].update(code="0" * 16))
    ended = inside(tmp_path, "--plan", "other.toml", "--dry-run")
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"note: departs from plan \w{8}: other code of guess\. The report will say so\.", ended.stdout)


def test_every_part_of_the_report_says_that_it_kept_to_its_plan(planned: Any) -> None:
    start = (
        f"Made under the plan {planned.plan.name}, locked on {plans.said(planned.plan.when)}, before the first cell was trained ("
    )
    folder = report_folder(planned.folder)
    for name in ("table.md", "index.html", "tripod.md"):
        text = (folder / name).read_text("utf-8")
        assert start in text
        assert "Departs from" not in text
    latex = (folder / "table.tex").read_text("utf-8").replace("{-}", "-")
    assert start in latex
    assert start in " ".join(planned.done.stdout.split())
    # the plan's one metric against the plan's reference: 1 method, 3 outcomes with 20 events or more and their mean
    said = (folder / "table.md").read_text("utf-8")
    assert "one family of 4 comparisons (1 method against guess:noise=0.1, outcomes and their mean, AUROC)" in said


def test_compare_takes_the_plans_metric_and_margin(planned: Any) -> None:
    pair = ["guess", "guess:noise=0.1", "--plan", "plan.toml"]
    said = " ".join(inside(planned.folder, *pair, verb="compare").stdout.split())
    assert f"Metric and margin of the plan {planned.plan.name}, locked on {plans.said(planned.plan.when)}: auroc; 0.02." in said
    assert "AUROC" in said
    assert "Departs" not in said
    said = " ".join(inside(planned.folder, *pair, "--metric", "ap", "--margin", "0.1", verb="compare").stdout.split())
    assert "Departs from the plan: ap is no primary metric of it." in said
    assert "Departs from the plan: another margin, 0.1 and not 0.02." in said


def test_holm_that_will_be_refused_is_refused_now() -> None:
    # 1 method against the reference, 4 outcomes and their mean, 2 metrics: 10 comparisons, 20 x 10 / .05 = 4,000 resamples
    with pytest.raises(SystemExit, match="of 10 comparisons needs 4,000 resamples, but there are 200"):
        main(["plan", *WORDS, "--adjust", "holm"])


def test_the_plans_protocol_is_shown_though_another_is_newer(planned: Any) -> None:
    fill(planned.folder, Protocol(folds=2, quick=True, rows=1500), GUESS, "surgical:n=600")
    ended = inside(planned.folder, "--plan", "plan.toml", "--primary", "ap", "--reports", "again", verb="report")
    assert ended.returncode == 0, ended.stderr
    table = (planned.folder / "again" / report_folder(planned.folder).name / "table.md").read_text("utf-8")
    assert "\n3 folds, 1 repeat, seed 0\n" in table
    assert "\nDeparts from the plan: another primary metric, ap and not auroc.\n" in table
    assert "**departs from its plan in 1 place, named below**" in table
