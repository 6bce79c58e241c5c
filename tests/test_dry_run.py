"""`bench run --dry-run`: all checks of a run, what past cells say of the cost, and no file touched."""

import json
import math
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import SMALL, TWO, inside
from filled import DATA, GUESS
from own_files import own_cohort
from tiny_suite import TINY

from bench import store
from bench.core import BenchError
from bench.planning import profiles
from bench.planning.dry import dry_run
from bench.planning.forecast import Forecast, Row
from bench.planning.lock import plan
from bench.planning.past import Known
from bench.suites import Comparison

WORDS: dict[str, Any] = {"dataset": "surgical:n=600", "methods": TWO, "folds": 3, "quick": True}


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below, with its time and size."""
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder where the same run was looked at, done for one method, and looked at again."""
    folder = tmp_path_factory.mktemp("looked")
    before = inside(folder, *SMALL, "2", "--methods", TWO, "--dry-run")
    there = files(folder)
    done = inside(folder, *SMALL, "0", "--methods", GUESS, "--profile", "quick")
    assert done.returncode == 0, done.stderr
    kept = files(folder)
    after = inside(folder, *SMALL, "2", "--methods", TWO, "--dry-run", "--json")
    return SimpleNamespace(folder=folder, before=before, there=there, kept=kept, after=after, told=json.loads(after.stdout))


def test_nothing_is_written_neither_before_nor_after_a_run(looked: Any) -> None:
    assert looked.before.returncode == looked.after.returncode == 0
    assert looked.there == {}
    assert files(looked.folder) == looked.kept


def test_where_nothing_is_known_it_says_so(looked: Any) -> None:
    said = " ".join(looked.before.stdout.split())
    assert "600 patients, 600 rows, 4 outcomes, protocol quick-cv3" in said
    assert said.count("no past cell") == 2
    assert "6 cells to train, 0 stored: time unknown, " in said
    assert said.endswith("Nothing was trained or written.")
    assert "note: too few events" in said


def test_stored_cells_are_counted_and_speak_for_the_others(looked: Any) -> None:
    cells = [json.loads(path.read_text("utf-8")) for path in looked.folder.glob("results/*/*/*/r0-f*.json")]
    first, second = looked.told["rows"]
    assert (first["method"], first["cells"], first["stored"], first["missing"]) == ("guess", 3, 3, 0)
    assert (second["method"], second["cells"], second["stored"], second["missing"]) == ("guess:noise=0.1", 3, 0, 3)
    each = sum(cell["seconds"] for cell in cells) / 3
    assert first["known"]["seconds"] == pytest.approx(each, abs=1e-3)
    assert second["known"]["source"] == "3 cells of guess, surgical:n=600, quick-cv3"  # other settings of it, the same patients
    assert second["known"]["seconds"] == pytest.approx(each, abs=1e-3)
    assert second["known"]["memory"] == max(cell["peak_mb"] for cell in cells)
    assert looked.told["seconds"] == pytest.approx(3 * each, abs=1e-2)
    assert looked.told["wall"] == pytest.approx(3 * each / 2, abs=1e-2)  # 2 workers


def test_the_estimate_of_bytes_without_past_cells_is_of_their_size(looked: Any, tmp_path: Path) -> None:
    sizes = [path.stat().st_size for path in looked.folder.glob("results/*/*/*/r0-f*.*")]
    unknown = dry_run(results=tmp_path / "none", asked={"workers": 1}, **WORDS)
    assert sum(sizes) / 2 < unknown.rows[0].bytes * 3 < sum(sizes) * 2
    assert looked.told["rows"][0]["bytes"] == pytest.approx(sum(sizes) / 3, abs=1)


def test_other_patients_and_budgets_scale_the_time(looked: Any) -> None:
    results = looked.folder / "results"
    each = looked.told["rows"][0]["known"]["seconds"]
    # the run learned from 2/3 of 600; half of 600 by 2 folds is 300 / 400 of that, and 4 trials come before the fit: 5 x 0.75
    found = dry_run(results=results, asked={"workers": 1}, **{**WORDS, "methods": GUESS, "folds": 2, "tune": 4})
    assert found.rows[0].known.seconds == pytest.approx(each * 0.75 * 5, abs=0.01)
    assert found.rows[0].known.source.endswith(", scaled")
    whole = dry_run(results=results, asked={"workers": 1}, **{**WORDS, "methods": GUESS, "quick": False})
    assert whole.rows[0].known == Known()  # a quick look is no guide to a run


def test_a_shard_has_its_own_part(looked: Any) -> None:
    parts = [dry_run(results=looked.folder / "results", asked={"workers": 1, "shard": f"{k}/2"}, **WORDS) for k in (1, 2)]
    assert sum(part.missing for part in parts) == 3
    assert sum(part.stored for part in parts) == 3


def test_all_checks_of_a_run_are_made(tmp_path: Path) -> None:
    import numpy as np
    import pandas as pd

    dead = np.arange(200) % 4 == 0
    frame = pd.DataFrame(
        {"id": range(200), "age": np.random.default_rng(0).normal(60, 9, 200), "death_code": dead * 1, "dead": dead * 1}
    )
    own_cohort(tmp_path, frame, 'dead = "dead"')
    before = files(tmp_path)
    ended = inside(tmp_path, "--data", "cohort.toml", "--methods", GUESS, "--dry-run")
    assert ended.returncode == 1
    assert "death_code" in ended.stderr
    quick = ["--quick", "--methods", GUESS]
    for words in ([*quick, "--folds", "1"], [*quick, "--profile", "papre"], ["--methods", "gues"]):
        ended = inside(tmp_path, *words, "--dry-run")
        assert ended.returncode == 1
        assert ended.stderr.count("\n") == 1
    assert "--json is of --dry-run" in inside(tmp_path, *quick, "--json").stderr
    assert files(tmp_path) == before


def test_suites_are_looked_at_as_well(tmp_path: Path) -> None:
    suite = tmp_path / "tiny.toml"
    suite.write_text(TINY, "utf-8")
    found = dry_run(suite=str(suite), results=tmp_path / "results", asked={"workers": 1})
    assert found.missing > 0
    assert {row.protocol for row in found.rows} >= {"draws150", "draws200"}
    suite.write_text(
        f'text = "c"\ndatasets = ["surgical:n=600"]\nmethods = ["{GUESS}"]\nprofile = "paper"\n[protocol]\nfolds = 3\n', "utf-8"
    )
    assert dry_run(suite=str(suite), results=tmp_path / "results").missing == 15  # 3 folds of its own, 5 repeats of the profile
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.toml"]


def test_wall_time_memory_and_what_is_unknown() -> None:
    rows = (
        Row("d", "cv5", "slow", 5, 4, Known(100.0, 700.0), 10),
        Row("d", "cv5", "fast", 5, 0, Known(2.0, 300.0), 20),
        Row("d", "cv5", "new", 5, 0, Known(), 30),
    )
    found = Forecast(rows, (), {}, 2, "results")
    # 1 x 100 + 5 x 2 = 110 s of one process; two need 55, but the one slow cell takes 100. The two largest at once: 700 + 300 MiB.
    assert (found.seconds, found.wall, found.memory) == (110.0, 100.0, 1000.0)
    assert found.unknown == ("new",)
    assert found.bytes == 10 + 5 * 20 + 5 * 30


def test_looking_ends_with_its_block(tmp_path: Path) -> None:
    part = store.Part("x", {"a": 1})
    with store.looking():
        store.Store(tmp_path).save_run(part, part, {"b": 1})
    assert list(tmp_path.iterdir()) == []
    store.Store(tmp_path).save_run(part, part, {"b": 1})
    assert store.Store(tmp_path).run(part, part)["b"] == 1


def test_a_profile_stands_behind_what_is_given() -> None:
    paper = profiles.chosen("paper")
    assert profiles.applied(paper, {"repeats": None, "folds": None}) == {"repeats": 5, "folds": None}
    assert profiles.applied(paper, {"repeats": 1, "folds": 10}) == {"repeats": 1, "folds": 10}
    assert profiles.chosen("quick") is profiles.chosen(None, quick=True)
    assert profiles.chosen(None) is profiles.chosen("standard")
    made = tomllib.loads(plan(dataset=DATA, methods=GUESS, split="random", profile="paper").text)
    assert (made["run"]["folds"], made["run"]["repeats"], made["analysis"]["resamples"]) == (5, 5, 10_000)
    with pytest.raises(BenchError, match="Did you mean 'paper'"):
        profiles.chosen("papre")
    with pytest.raises(BenchError, match="--quick is --profile quick"):
        profiles.chosen("paper", quick=True)


def test_the_commands_profile_stands_before_the_suites() -> None:
    suite = Comparison.model_validate(
        {"text": "t", "datasets": ["d"], "methods": ["m"], "profile": "paper", "protocol": {"repeats": 3, "seed": 7}}
    )
    own = profiles.of_comparison(suite, None, False, None)
    assert (own["repeats"], own["seed"], own["profile"]) == (3, 7, "paper")
    assert "repeats" not in profiles.of_comparison(suite, "paper", False, None)
    assert profiles.of_comparison(suite, "standard", False, None)["repeats"] == 3
    assert profiles.of_comparison(suite, None, True, None)["profile"] is None
    with pytest.raises(BenchError, match="is of comparisons"):
        profiles.of_others("claims", "paper", False)
    assert profiles.of_others("claims", "quick", False)


def test_a_forecast_is_json(looked: Any) -> None:
    assert not any(
        isinstance(value, float) and math.isnan(value) for row in looked.told["rows"] for value in row["known"].values()
    )
    assert looked.told["datasets"] == {"surgical:n=600": {"patients": 600, "rows": 600, "outcomes": 4}}
    assert looked.told["unknown"] == []
