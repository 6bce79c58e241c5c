"""`bench check`: a method with one fault breaks the law that is meant, and no other; what is said of it can be understood."""

import json
from pathlib import Path

import pytest
from commands import inside

from bench import contract, registry
from bench.contract import Verdict

LAWLESS = Path(__file__).parent / "plugins" / "lawless.py"
NAMES = [contract.name(law) for law in contract.LAWS]


def judged(text: str) -> dict[str, Verdict]:
    """By law, but for the one that starts a process."""
    return {verdict.law: verdict for verdict in contract.judged(registry.parse("methods", text)[0])}


def broken(verdicts: dict[str, Verdict]) -> dict[str, str]:
    return {law: verdict.status for law, verdict in verdicts.items() if verdict.status != "pass"}


def test_a_method_without_fault_keeps_every_law() -> None:
    assert broken(judged(str(LAWLESS))) == {}


FAULTS = {
    "array": "facts",
    "keeps": "settings",
    "changes data": "data",
    "changes inputs": "data",
    "global": "determinism",
    "batch": "rows-alone",
    "order": "modality-order",
    "looks at what is missing": "missing-at-prediction",
    "empty": "missing-at-training",
    "one class": "no-event-in-training",
    "validation": "one-class-in-validation",
    "whole batches": "few-rows",
    "unweighted": "weights",
    "knows a rule": "permuted-labels",
    "unlearned": "planted-signal",
    "unmasked": "masks",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_breaks_the_law_that_is_meant_and_no_other(fault: str) -> None:
    verdicts = judged(f"{LAWLESS}:fault={fault}")
    law = FAULTS[fault]
    assert broken(verdicts) == {law: "fail"}, verdicts[law].words
    found = verdicts[law]
    assert all([found.did, found.expected, found.saw, found.cause])
    assert "\n" not in found.words


@pytest.mark.parametrize("fault", ["nan", "log-odds", "one column"])
def test_risks_that_are_none_are_not_compared(fault: str) -> None:
    verdicts = judged(f"{LAWLESS}:fault={fault}")
    assert verdicts["probabilities"].status == "fail"
    assert {law for law, one in verdicts.items() if one.status == "pass"} == {"learns", "facts", "settings", "data"}
    assert {one.words for one in verdicts.values() if one.status == "not judged"} == {"it does not keep probabilities"}


def test_what_a_run_would_mend_is_a_warning() -> None:
    verdicts = judged(f"{LAWLESS}:fault=float64")
    assert set(broken(verdicts).values()) == {"warning"}
    assert "Seen: numbers of type float64, which a run makes float32." in verdicts["probabilities"].words


def test_a_method_that_does_not_learn_is_judged_no_further() -> None:
    verdicts = judged(f"{LAWLESS}:fault=label gaps")
    assert verdicts["learns"].status == "fail"
    line = 1 + next(i for i, text in enumerate(LAWLESS.read_text().splitlines()) if "Input y" in text)
    assert verdicts["learns"].saw == f"ValueError: Input y contains NaN. (lawless.py, line {line})"
    assert {one.status for law, one in verdicts.items() if law != "learns"} == {"not judged"}


def test_a_fault_is_told_in_a_sentence() -> None:
    found = judged(f"{LAWLESS}:fault=batch")["rows-alone"]
    assert found.words.startswith("We predicted 1")
    assert " patients one at a time, and among others. Expected: the same risks (to 1e-05). Seen: risks up to 0." in found.words
    assert "Usual cause: batch normalisation left in training mode (`.eval()` turns it off)" in found.words


def test_settings_that_can_be_changed_are_found(tmp_path: Path) -> None:
    thawed = tmp_path / "thawed.py"
    thawed.write_text(LAWLESS.read_text().replace("@dataclass(frozen=True, kw_only=True)", "@dataclass(kw_only=True)"))
    spec = registry.parse("methods", str(thawed))[0]
    (found,) = [one for one in contract.judged(spec) if one.status != "pass"]
    assert (found.law, found.status, found.saw) == ("settings", "fail", "that 'fault' can be changed")


def test_what_differs_between_processes_is_found() -> None:
    spec = registry.parse("methods", f"{LAWLESS}:fault=process")[0]
    (*_, found) = contract.judged(spec, (*contract.LAWS[:2], contract.another_process))
    assert (found.law, found.status) == ("another-process", "fail"), found.words
    assert found.saw.startswith("risks up to 0.")


def test_the_command_goes_on_after_a_failure_and_ends_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    done = inside(tmp_path, f"{LAWLESS}:fault=label gaps", str(LAWLESS), verb="check")
    assert done.returncode == 1, done.stderr
    said = done.stdout.splitlines()
    assert said[:2] == [
        f"lawless:fault=label gaps ({LAWLESS})",
        "  FAIL        learns                  It learns from tables, series and notes with gaps.",
    ]
    assert "Seen: ValueError: Input y contains NaN. (lawless.py, line " in done.stdout
    assert "lawless:fault=label gaps keeps 0 of 18 laws, breaks 1 (learns). [" in done.stdout
    assert said[-20] == f"lawless ({LAWLESS})"
    assert [line.split()[:2] for line in said[-19:-1]] == [["pass", name] for name in [*NAMES, "another-process"]]
    assert said[-1].startswith("lawless keeps 18 of 18 laws. [")


def test_as_json_a_declined_method_is_no_failure(tmp_path: Path) -> None:
    done = inside(tmp_path, f"{LAWLESS}:fault=declines", "--json", verb="check")
    assert done.returncode == 0, done.stderr
    first, *others = json.loads(done.stdout)["lawless:fault=declines"]
    assert (first["law"], first["status"], first["saw"]) == (
        "learns",
        "declined",
        "needs at least 9 outcomes, but there are fewer",
    )
    assert {one["status"] for one in others} == {"not judged"}


def test_what_is_declined_for_want_of_patients_is_told_from_a_failure() -> None:
    found = judged(f"{LAWLESS}:fault=declines few")
    assert broken(found) == {"few-rows": "declined"}
    assert found["few-rows"].words == "needs at least 50 patients, but there are fewer"
