"""--json: the same facts as on the screen, in the documented shape, with numbers as numbers and nothing else on stdout."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import inside
from kept_cells import DATASET, cell, fill, flipped

from bench import asjson, registry, stored

ROW = {
    "dataset",
    "method",
    "protocol",
    "folder",
    "done",
    "failed",
    "lost",
    "declined",
    "damaged",
    "code",
    "tuned",
    "quick",
    "bytes",
    "last",
}
DEMO = ["--dataset", "demo:n=40"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(tmp_path / "results")
    return tmp_path


def read(folder: Path, verb: str, *words: str, status: int = 0) -> Any:
    done = inside(folder, *words, "--json", verb=verb)
    assert (done.returncode, done.stderr) == (status, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["methods", "datasets"])
def test_methods_and_datasets(kind: Any, tmp_path: Path) -> None:
    listed = read(tmp_path, kind)
    assert [one["id"] for one in listed] == registry.ids(kind)
    assert all(one["summary"] and "\n" not in one["summary"] for one in listed)
    card = read(tmp_path, kind, listed[0]["id"])
    assert (card["id"], set(card)) == (listed[0]["id"], {"id", "about", "settings"})


def test_a_card_has_the_defaults_that_the_method_has(tmp_path: Path) -> None:
    card = read(tmp_path, "methods", "mmoe:experts=16")  # a card is of the method, whatever its settings
    told = {one["name"]: one["default"] for one in reversed(card["settings"])}
    assert told == dict(registry.settings(registry.parse("methods", "mmoe")[0]))
    assert {one["of"] for one in card["settings"]} >= {"MMoE", "NeuralMethod"}


def test_results(folder: Path) -> None:
    rows = read(folder, "results", "list")
    assert [set(row) for row in rows] == [ROW, ROW]
    assert [(row["method"], row["done"], row["tuned"]) for row in rows] == [("good", 2, False), ("poor", 2, False)]
    # dataset.json and cohort.parquet, the run, and of 2 methods method.json, protocol.json and 2 x 2 files of cells
    assert read(folder, "results", "verify") == {"files": 15, "cells": 4, "damaged": 0, "findings": []}
    flipped(cell(folder / "results", "good", 0, "parquet"), 40)
    found = read(folder, "results", "verify", status=1)
    assert (found["damaged"], found["findings"][0]["kind"]) == (1, "damaged")
    assert found["findings"][0]["path"].startswith(DATASET.folder)
    looked = read(folder, "results", "clean", "--only", "damaged")
    gone = read(folder, "results", "clean", "--only", "damaged", "--yes")
    assert (looked["removed"], gone["removed"]) == (False, True)
    assert {**looked, "removed": True} == gone
    assert gone["files"] == gone["kinds"][0]["files"] == 2
    assert gone["bytes"] == gone["kinds"][0]["bytes"] > 0


def test_compare(folder: Path) -> None:
    told = read(folder, "compare", "good", "poor", *DEMO, "--resamples", "20")
    made = stored.compare("good", "poor", "demo:n=40", results=folder / "results", resamples=20)
    assert set(told) == {"dataset", "a", "b", "metric", "answer", "paragraph", "warnings", "table"}
    assert (told["a"], told["b"], told["metric"]) == ("good", "poor", "auroc")
    assert [row["task"] for row in told["table"]] == list(made.table["task"])
    for row, (_, own) in zip(told["table"], made.table.iterrows(), strict=True):
        assert row["a"] == (None if math.isnan(own["a"]) else own["a"])


def test_data_check(tmp_path: Path) -> None:
    told = read(tmp_path, "data", "check", "surgical:n=300")
    assert (told["name"], told["rows"], told["stop"]) == ("surgical:n=300", 300, [])
    assert all(0 < one["prevalence"] < 1 and one["events"] <= one["known"] == 300 for one in told["outcomes"])
    assert [len(row) for row in told["phi"]] == [len(told["outcomes"])] * len(told["outcomes"])


def test_what_json_lacks_becomes_null_and_all_else_is_what_it_was() -> None:
    value = {
        "a": np.float32(0.5),
        "b": [math.nan, math.inf, 1],
        "c": pd.DataFrame({"x": [1, 2], "y": [np.nan, "é"]}),
        "d": Path("p"),
    }
    text = asjson.text(value)
    assert text.isascii()
    assert json.loads(text) == {"a": 0.5, "b": [None, None, 1], "c": [{"x": 1, "y": None}, {"x": 2, "y": "é"}], "d": "p"}
