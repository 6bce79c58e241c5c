"""The README's blocks run as they stand, in an empty folder, except those marked slow."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import registry, suites
from bench.cohorts import schema

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
DOCS = ROOT / "bench" / "docs"
BLOCK = re.compile(r"(?P<slow><!-- slow -->\n+)?```(?P<kind>bash|python)\n(?P<code>.*?)```", re.DOTALL)
TOML = re.compile(r"```toml\n(.*?)```", re.DOTALL)
BLOCKS = [(m["kind"], m["code"]) for m in BLOCK.finditer(README) if not m["slow"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme")


def test_there_are_blocks_to_run() -> None:
    assert {kind for kind, _ in BLOCKS} == {"bash", "python"}


@pytest.mark.parametrize(("kind", "code"), BLOCKS, ids=lambda text: text.splitlines()[0][:60])
def test_a_block_runs(kind: str, code: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-euc", code] if kind == "bash" else [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_cohort_file_is_one(tmp_path: Path) -> None:
    page = (DOCS / "cohorts.md").read_text("utf-8")
    files = [code for text in (README, page) for code in TOML.findall(text) if "patient = " in code]
    assert len(files) == 3
    for code in files:
        (tmp_path / "cohort.toml").write_text(code, "utf-8")
        assert schema.read(tmp_path / "cohort.toml").outcomes


def test_the_suite_is_one(tmp_path: Path) -> None:
    page = (DOCS / "options.md").read_text("utf-8")
    (code,) = (code for code in TOML.findall(page) if "methods = " in code)
    (tmp_path / "mine.toml").write_text(code)
    _, suite = suites.load(str(tmp_path / "mine.toml"))
    assert isinstance(suite, suites.Comparison)
    assert registry.parse("methods", ",".join(suite.methods))
    assert registry.parse("datasets", ",".join(suite.datasets))


def test_the_two_commands_are_one_line_each() -> None:
    begin = "python3 -m venv .venv && .venv/bin/pip install -c .ci/constraints.txt -e "
    assert f"{begin}. && .venv/bin/bench run --methods all\n" in README
    assert f"{begin}'.[test]' && .venv/bin/pytest\n" in README
