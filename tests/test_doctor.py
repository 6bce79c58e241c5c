"""`bench doctor`: what is there is told as it is, and what a run would miss is a fault."""

import json
import os
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import command, inside
from kept_cells import fill
from packaging.requirements import Requirement

from bench import devices, doctor, registry


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """As a program reads it, by the real command, beside a results folder."""
    folder = tmp_path_factory.mktemp("doctor")
    fill(folder / "results")
    done = command(folder, "--json", verb="doctor")
    made = json.loads(done.stdout)
    assert done.returncode == (0 if made["ok"] else 1)
    return made


def of(found: dict[str, Any], topic: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in found["findings"] if one["topic"] == topic}


def test_every_dependency_is_told_with_its_version(found: dict[str, Any]) -> None:
    told = of(found, "versions")
    assert {need.name for need in doctor._declared()["dependencies"]} <= set(told)
    assert told["numpy"]["value"] == np.__version__
    assert all(one["state"] != "fault" for one in told.values())
    assert found["ok"] is True


def test_every_extra_is_told_with_what_it_enables(found: dict[str, Any]) -> None:
    told = of(found, "extras")
    extras = set(doctor._declared()["extras"])
    assert set(told) == extras | {"chromium"}
    assert extras <= set(doctor.ENABLES) | set(registry.ids("methods"))  # a new one must say what it is good for
    for name in extras:
        assert told[name]["state"] == ("ok" if told[name]["value"] else "note")
        assert (f"pip install -e '.[{name}]'" in told[name]["text"]) == (not told[name]["value"])


def test_numbers_are_numbers(found: dict[str, Any]) -> None:
    assert of(found, "machine")["processors"]["value"] == len(os.sched_getaffinity(0))
    assert of(found, "storage")["results: cells"]["value"] == 4  # 2 methods x 2 folds
    for name, one in {**of(found, "machine"), **of(found, "storage")}.items():
        assert isinstance(one["value"], str if name == "platform" else int), name


def test_what_is_missing_or_too_old_is_a_fault_and_what_was_not_tested_a_note() -> None:
    here = metadata.version("packaging")
    states = {
        "packaging": doctor.OK, f"packaging>{here}": doctor.FAULT, "no-such-package-of-ours": doctor.FAULT,
    }  # fmt: skip
    for text, state in states.items():
        assert doctor._package(Requirement(text), {}).state == state, text
    assert doctor._package(Requirement("packaging"), {"packaging": here}).state == doctor.OK
    other = doctor._package(Requirement("packaging"), {"packaging": "0.1"})
    assert (other.state, other.text) == (doctor.NOTE, "tested is 0.1")


def test_a_fault_is_exit_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_pins", dict)
    monkeypatch.setattr(doctor, "ROOM", 10**18)  # no disk has this
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # nor is there an index: a line, no fault
    monkeypatch.setenv("BENCH_CASH", "x")
    monkeypatch.setenv("TABPFN_TOKEN", "secret word")
    done = inside(tmp_path, verb="doctor")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    faults = [line for line in lines if line.startswith("fault")]
    assert [line.split(":")[1].strip() for line in faults] == ["results", "cache"]
    assert all("is nearly full" in line for line in faults)
    assert lines[-1] == "2 faults that a run would meet."
    (index,) = (line for line in lines if " network: " in line)
    assert index.startswith("note")
    assert "does not answer" in index
    assert "note  environment: BENCH_CASH set: means nothing to bench; did you mean BENCH_CACHE?" in lines
    assert "secret" not in done.stdout


def test_a_gpu_that_is_not_used_is_told_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the torch that is installed; a file stands for the driver."""
    if devices.found() != ["cpu"]:
        pytest.skip("a GPU is here, and used")
    (tmp_path / "driver").touch()
    said: dict[tuple[str, ...], doctor.Finding] = {}
    for signs in ((), (str(tmp_path / "driver"),)):
        monkeypatch.setattr(devices, "SIGNS", signs)
        (said[signs],) = doctor._gpu()
    without, beside = said.values()
    assert (without.state, without.text) == (doctor.OK, "networks are trained on the processors")
    assert beside.state == doctor.NOTE
    assert ("this torch is built for processors alone" in beside.text) == (torch.version.cuda is None)


def test_a_package_that_cannot_be_imported_is_a_fault_of_its_topic(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken() -> doctor.Findings:
        raise ImportError("no torch here")
        yield

    for name in ("_versions", "_extras", "_machine", "_network", "_variables"):
        monkeypatch.setattr(doctor, name, lambda: iter(()))
    monkeypatch.setattr(doctor, "_gpu", broken)
    one, *rest = doctor.examine(tmp_path / "results")
    assert (one.topic, one.state, one.text) == ("gpu", doctor.FAULT, "cannot be looked at: ImportError: no torch here")
    assert {each.topic for each in rest} == {"storage"}


def test_every_variable_of_bench_is_known() -> None:
    """A variable that the code reads is told by the doctor and by the page."""
    root = Path(doctor.__file__).parent.parent
    text = "".join(path.read_text("utf-8") for kind in ("bench", "methods", "datasets") for path in (root / kind).rglob("*.py"))
    read = set(re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"", text)) - {"XDG_CACHE_HOME"}
    assert {"BENCH_CACHE", "BENCH_DATA_DIR"} <= read <= set(doctor.VARIABLES)
    page = (root / "bench" / "docs" / "commands.md").read_text("utf-8")
    assert all(f"`{name}`" in page for name in doctor.VARIABLES)
