"""Methods that fail, end the process, store what is no fact or never learn: they cost their own cells alone, and it is said."""

from pathlib import Path

import pandas as pd
import pytest
from commands import QUICK, SMALL, cells, command, inside, report_folder
from filled import GUESS

from bench import api


def test_a_method_that_fails_costs_its_own_cells_only(tmp_path: Path) -> None:
    faults = ["raise", "die", "shape", "nan", "decline"]
    methods = ",".join([GUESS, *(f"{GUESS}:fault={f}" for f in faults)])
    ran = command(tmp_path, *QUICK, "--folds", "2", "--workers", "2", "--retries", "0", "--methods", methods)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stdout + ran.stderr
    table = (report_folder(tmp_path) / "table.md").read_text()
    assert "ValueError: no luck with" in table
    assert "exit status 9" in table
    assert "predict must return shape" in table
    assert "predict must return probabilities, but 1 of" in table
    assert "needs at least 9 outcomes" in table
    failed = [line for line in ran.stdout.splitlines() if line.startswith("bench: failed:")]
    assert len(failed) == 8  # 4 faults x 2 folds; a decline is no failure
    # what failed by itself is remembered, what the system killed is tried again
    again = inside(tmp_path, *QUICK, "--folds", "2", "--workers", "1", "--retries", "0", "--methods", methods)
    assert "10 of 12 cells are stored already" in again.stdout


ALARMS = {"constant": "constant predictions", "no_step": "no training step was made", "still": "validation score never moved"}


@pytest.fixture(scope="module")
def alarmed(tmp_path_factory: pytest.TempPathFactory) -> api.Outcome:
    folder, methods = tmp_path_factory.mktemp("alarmed"), [f"{GUESS}:fault={fault}" for fault in ("none", *ALARMS, "cap")]
    options = {"results": folder / "results", "reports": folder / "reports", "quick": True}
    return api.run("surgical:n=600", methods, folds=2, workers=0, **options)


@pytest.mark.parametrize(("fault", "alarm"), ALARMS.items())
def test_each_alarm_of_a_cell_fires_by_its_fault_and_not_without(alarmed: api.Outcome, fault: str, alarm: str) -> None:
    made = alarmed.results["surgical:n=600"].cells
    fired = {method: [alarm in " ".join(one) for one in own["alarms"]] for method, own in made.groupby("method")}
    assert fired == {"guess": [False] * 2} | {f"guess:fault={other}": [other == fault] * 2 for other in (*ALARMS, "cap")}
    assert alarm in alarmed.table()
    assert not any(map(len, made.loc[made["method"] == "guess", "alarms"]))


def test_the_alarm_of_the_epoch_cap_and_of_identical_predictions(alarmed: api.Outcome) -> None:
    table = alarmed.table()
    assert "cap" in table.replace("fault=cap", "")
    assert "identical" in table


def test_a_cell_with_unfit_facts_fails_and_has_no_predictions(tmp_path: Path) -> None:
    ran = inside(tmp_path, *SMALL, "2", "--methods", f"{GUESS},{GUESS}:fault=facts,{GUESS}:fault=arrays")
    assert ran.returncode == 2
    assert ran.stdout.count("a fact must be a number, a text, or a list or mapping of such, but is a object") >= 3
    assert {cell["method"]: cell["status"] for cell in cells(tmp_path)} == {
        "guess": "done", "guess:fault=facts": "failed", "guess:fault=arrays": "done",
    }  # fmt: skip
    arrays = next(cell for cell in cells(tmp_path) if cell["method"] == "guess:fault=arrays")
    assert arrays["facts"] == {
        "tasks": 4, "steps": 7, "parameters": 1, "scores": [0.7, 0.6], "many": [0, 1, 2], "one": 2.0, "at_cap": False,
    }  # fmt: skip
    scores = pd.read_csv(report_folder(tmp_path) / "scores.csv").query("task == 'mean'").set_index("method")["value"]
    assert scores["guess:fault=facts"].isna().all()
    assert scores[["guess", "guess:fault=arrays"]].notna().all()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_method_that_ends_the_process_or_shouts_costs_its_own_cells_only(
    tmp_path: Path, workers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")  # a terminal that cannot show all that an error says
    faults = [f"{GUESS}:fault={fault}" for fault in ("none", "exit", "many lines")]
    ran = command(tmp_path, *SMALL, workers, "--methods", ",".join(faults))
    assert ran.returncode == 2
    lines = [line for line in ran.stdout.splitlines() if line.startswith("bench: ")]
    assert [line.split(": ", 2)[-1].split(" on ")[0] for line in lines[:-1]] == ["guess:fault=exit"] * 3 + [
        "guess:fault=many lines"
    ] * 3
    assert [line.rpartition("fold ")[2] for line in lines[:-1]] == [
        *(f"{fold}: SystemExit: 3" for fold in range(3)), *(f"{fold}: ValueError: one \\u2026" for fold in range(3)),
    ]  # fmt: skip
    assert lines[-1] == "bench: failed cells are tried again when their code has changed, or with `bench run --retry-failed`."


def test_a_death_is_not_explained_by_what_an_earlier_cell_printed(tmp_path: Path) -> None:
    loud = tmp_path / "loud.py"
    loud.write_text(Path(GUESS).read_text().replace("time.sleep(self.sleep)", "import sys; print('chatter', file=sys.stderr)"))
    inside(tmp_path, *SMALL, "1", "--folds", "2", "--retries", "0", "--shard", "1/1", "--methods", f"{loud},{GUESS}:fault=die")
    assert {cell["error"] for cell in cells(tmp_path) if cell["status"] == "lost"} == {"the worker process died (exit status 9)"}
