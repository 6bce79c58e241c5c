"""The whole report, made by the real command from a results folder written by hand: no method, no dataset, no torch."""

import csv
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from commands import inside
from made_results import HOW, results

from bench import report
from bench.core import BenchError

METHODS = {
    "single_task": "single-task", "<script>alert(1)</script>": "sharing", "100%_|a|": "sharing", "=cmd()": "trees",
    "logistic": "linear", "\\input{x}&#~^$": "",
}  # fmt: skip
TASKS = ("any_event", "<img src=x onerror=alert(2)>")
DATASET = '=cmd()|"><script>alert(3)</script>%_'
FOLDS = 3
BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "xgboost", "lightgbm", "sklearn"} or name.startswith(("bench.methods", "bench.datasets")):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
from bench.cli import main
main(sys.argv[1:])
"""


def dump(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder as `bench.store` describes it, of random numbers; and reports/ beside it, made by the command."""
    import hashlib

    root = tmp_path_factory.mktemp("byhand")
    rng, n = np.random.default_rng(0), 600
    y = (rng.random((n, 2)) < [0.3, 0.15]).astype(np.float32)
    y[:, 0] = y.max(axis=1)
    base = root / "results" / "demo@00000000"
    protocol = {"folds": FOLDS, "seed": 0, "quick": False, "rows": None}
    tasks = [
        {"name": t, "label": t, "kind": "binary", "implies": [TASKS[0]] * (i > 0), "competing": "", "thresholds": None}
        for i, t in enumerate(TASKS)
    ]
    dump(base / "dataset.json", {"label": DATASET, "note": "", "tasks": tasks})
    ids = [f"p{i}" for i in range(n)]
    pd.DataFrame(
        {"row": np.arange(n), "patient": ids, "group": ids, "site": rng.choice(["north", "<b>south</b>"], n)}
    ).to_parquet(base / "cohort.parquet")
    shared = rng.normal(size=y.shape)
    methods: dict[str, Any] = {}
    for m, (label, family) in enumerate(METHODS.items()):
        name = f"m{m}@0000000{m}"
        methods[label] = {"folder": name, "family": family}
        dump(base / name / "method.json", {"settings": {"width": 64}, "versions": {"numpy": "2"}, "code": "0"})
        p = 1 / (1 + np.exp(1 - 1.5 * y - shared - (0.3 + 0.2 * m) * rng.normal(size=y.shape)))
        for fold in range(FOLDS):
            frames = []
            for view, at in (("test", fold), ("valid", (fold + 1) % FOLDS)):
                rows = np.flatnonzero(np.arange(n) % FOLDS == at)
                columns: dict[str, Any] = {"row": rows, "patient": np.array(ids)[rows], "fold": fold, "view": view}
                for t, task in enumerate(TASKS):
                    columns |= {f"y:{task}": y[rows, t], f"p:{task}": p[rows, t].astype(np.float32)}
                frames.append(pd.DataFrame(columns))
            stem = base / name / "cv3@00000000" / f"r0-f{fold}"
            stem.parent.mkdir(parents=True, exist_ok=True)
            pd.concat(frames).to_parquet(f"{stem}.parquet")
            digest = hashlib.sha256(Path(f"{stem}.parquet").read_bytes()).hexdigest()
            cell = {"status": "done", "digests": {}, "predictions": digest, "seconds": 1.0 + m, "facts": {"parameters": 10}}
            dump(Path(f"{stem}.json"), cell | {"alarms": ["<script>alert(4)</script>"], "error": ""})
    run = {"asked": list(METHODS), "methods": methods, "reference": "single_task", "repeats": 1, "protocol": protocol}
    dump(base / "runs" / "cv3@00000000.json", run)
    command = [sys.executable, "-c", BLOCKED, "report", "--dataset", "demo@00000000", "--resamples", "200"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    return next((root / "reports").iterdir())


class Tags(HTMLParser):
    """What a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_it_is_complete(folder: Path) -> None:
    files = {path.name for path in folder.iterdir()}
    tables = {"table.md", "table.tex", "table.csv", "scores.csv", "comparisons.csv", "net_benefit.csv"}
    assert files == tables | {"index.html", "tripod.md", "probast.md", "figures"}
    kinds = {path.name.split("-")[0].split(".")[0] for path in (folder / "figures").iterdir()}
    wanted = {"forest", "roc", "pr", "calibration", "decision", "risks", "transfer", "ranks", "benefit", "subgroups", "pareto"}
    assert wanted <= kinds
    suffixes = [sorted(p.suffix for p in (folder / "figures").glob(f"{kind}*")) for kind in wanted]
    assert all(len(set(found)) == 3 for found in suffixes)
    page = (folder / "index.html").read_text("utf-8")
    ids = {attributes.get("id") for tag, attributes in Tags(page).found if tag == "section"}
    assert {"comparison", "forest", "discrimination", "calibration", "decision", "risks", "sharing", "subgroups", "cost"} <= ids
    assert {"alarms", "splits", "reading", "environment"} <= ids
    assert len(page) < 5e6


def test_two_methods_are_compared_by_the_command(folder: Path) -> None:
    command = [
        sys.executable,
        "-c",
        BLOCKED,
        "compare",
        "logistic",
        "single_task",
        "--dataset",
        "demo@00000000",
        "--margin",
        "0.05",
    ]
    done = subprocess.run(command, cwd=folder.parent.parent, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "These predictions: on 600 patients" in said
    assert "With a margin of 5.00 points, logistic" in said
    wrong = inside(folder.parent.parent, *command[4:], "--metric", "f1", verb="compare")
    assert wrong.returncode == 1
    assert wrong.stderr == "bench: the metric must be one of auroc, ap, brier, log_loss, but is 'f1'\n"


def test_hostile_names_are_harmless_in_the_page(folder: Path) -> None:
    found = Tags((folder / "index.html").read_text("utf-8")).found
    assert [tag for tag, _ in found].count("script") == 1
    assert not [tag for tag, _ in found if tag in ("img", "iframe", "object", "embed", "base")]
    assert not [name for _, attributes in found for name in attributes if name.startswith("on")]
    assert not [
        v
        for _, attributes in found
        for k, v in attributes.items()
        if k in ("href", "src", "action") and not str(v).startswith(("#", "data:,"))
    ]


def test_hostile_names_are_harmless_in_text_and_csv(folder: Path) -> None:
    for name in ("table.md", "tripod.md", "probast.md"):
        text = (folder / name).read_text("utf-8")
        assert not re.search(r"<(?!/?(sup|ins|br)\b)[a-zA-Z!/]", text), name
    for name in ("table.csv", "scores.csv", "comparisons.csv"):
        rows = list(csv.reader((folder / name).read_text("utf-8").splitlines()))
        assert len({len(row) for row in rows}) == 1
        assert not [cell for row in rows for cell in row if cell.startswith(("=", "@", "+")) or re.match(r"-[^\d]", cell)], name


def test_hostile_names_are_harmless_in_figures(folder: Path) -> None:
    for path in (folder / "figures").iterdir():
        assert re.fullmatch(r"[A-Za-z0-9_.=+-]+", path.name)
        if path.suffix == ".svg":
            tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()}
            assert tags <= {"svg", "title", "g", "path", "text", "circle", "rect", "line", "polyline", "polygon", "tspan"}


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_hostile_names_compile(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "table.tex", tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_figures_of_an_earlier_report_are_gone_and_a_quick_look_has_no_prints(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "forest-old.svg").write_text("stale")
    (tmp_path / "table.md").write_text("stale")
    report.write(results(quick=True), tmp_path, HOW)
    assert "stale" not in (tmp_path / "table.md").read_text()
    assert not (tmp_path / "figures" / "forest-old.svg").exists()
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".svg"}


def test_one_figure_alone_comes_in_every_format(tmp_path: Path) -> None:
    paths = report.figure(results(quick=True), tmp_path, "forest", "death", HOW)
    assert sorted(path.name for path in paths) == ["forest-death.pdf", "forest-death.png", "forest-death.svg"]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(path.name for path in paths)
    every = report.figure(results(quick=True), tmp_path, "forest", None, HOW)
    assert len(every) == 3 * 3  # formats x (two outcomes and their mean)
    with pytest.raises(BenchError, match="forest"):
        report.figure(results(quick=True), tmp_path, "florest", None, HOW)


def test_a_failed_write_leaves_the_old_file_and_no_scrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report.write(results(quick=True), tmp_path, HOW)
    old = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", no_space)
    with pytest.raises(BenchError, match=r"cannot write to the reports folder: .*No space left"):
        report.write(results(n=240, quick=True), tmp_path, HOW)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == old
