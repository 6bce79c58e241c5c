"""The blocks of the README and of the pages in bench/docs run as they stand, page by page in an empty folder, except those marked slow.

The first begins an interpreter for every command, as a user's shell does; the others are done by children of one that has its imports (`warm`).
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import warm

from bench import registry, suites
from bench.cohorts import schema

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCK = re.compile(r"(?P<slow><!-- slow -->\n+)?```(?P<kind>bash|python)\n(?P<code>.*?)```", re.DOTALL)
TOML = re.compile(r"```toml\n(.*?)```", re.DOTALL)
PAGES = {"README": README} | {page.stem: page.read_text("utf-8") for page in sorted((ROOT / "bench" / "docs").glob("*.md"))}
SHARED = (
    "README",
    "options",
    "tutorial",
    "formats",
    "results",
)  # pages of one run: what the first of them trained is there for the others
BLOCKS = [
    pytest.param(
        page, m["kind"], m["code"], id=f"{page}: {m['code'].splitlines()[0][:60]}", marks=[pytest.mark.slow] * bool(m["slow"])
    )
    for page, text in PAGES.items()
    for m in BLOCK.finditer(text)
    if not (m["slow"] and page == "README")  # hours, and a clone
]
FIRST = str(BLOCKS[0].values[2])
Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The folder of a page, empty but for the results it shares."""
    folders: dict[str, Path] = {}

    def get(page: str) -> Path:
        if page not in folders:
            folders[page] = tmp_path_factory.mktemp(page)
            if page in SHARED[1:]:
                shared = get(SHARED[0]) / "results"
                shared.mkdir(exist_ok=True)
                (folders[page] / "results").symlink_to(shared)
        return folders[page]

    return get


def test_there_are_blocks_to_run() -> None:
    assert {block.values[1] for block in BLOCKS if block.values[0] == "README"} == {"bash", "python"}
    assert {block.values[0] for block in BLOCKS} >= {*SHARED, "own_cohort"}


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """The folder of a `bench` whose runs have one worker; None where a process that has torch cannot be forked."""
    if sys.platform != "linux":
        yield None
        return
    with warm.Warm(tmp_path_factory.mktemp("warm"), processors=1) as server:
        yield server.folder


@pytest.mark.parametrize(("page", "kind", "code"), BLOCKS)
def test_a_block_runs(page: str, kind: str, code: str, folder: Folder, commands: Path | None) -> None:
    python = [sys.executable, "-c"] if commands is None else [str(commands / "block")]
    block = ["bash", "-euc", code] if kind == "bash" else [*python, code]
    folders = [Path(sys.executable).parent] if code == FIRST or commands is None else [commands, Path(sys.executable).parent]
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
    done = subprocess.run(
        block, cwd=folder(page), env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False, timeout=3600
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_cohort_file_is_one(tmp_path: Path) -> None:
    files = [code for text in (README, PAGES["cohorts"]) for code in TOML.findall(text) if "patient = " in code]
    assert len(files) == 3
    for code in files:
        (tmp_path / "cohort.toml").write_text(code, "utf-8")
        assert schema.read(tmp_path / "cohort.toml").outcomes


def test_the_suite_is_one(tmp_path: Path) -> None:
    (code,) = (code for code in TOML.findall(PAGES["options"]) if "methods = " in code)
    (tmp_path / "mine.toml").write_text(code)
    _, suite = suites.load(str(tmp_path / "mine.toml"))
    assert isinstance(suite, suites.Comparison)
    assert registry.parse("methods", ",".join(suite.methods))
    assert registry.parse("datasets", ",".join(suite.datasets))


def test_the_two_commands_are_one_line_each() -> None:
    begin = "python3 -m venv .venv && .venv/bin/pip install -c .ci/constraints.txt -e "
    assert f"{begin}. && .venv/bin/bench run --methods all\n" in README
    assert f"{begin}'.[test]' && .venv/bin/pytest\n" in README


def test_the_results_are_those_of_the_leaderboard() -> None:
    results = README[README.index("## Results\n") : README.index("## Your own patients\n")]
    table = [line for line in results.splitlines() if line.startswith("|")]
    assert len(table) > 20
    assert "\n".join(table) in PAGES["leaderboard"]
    differences = re.findall(r"[-+]\d+\.\d\d \(-?\d+\.\d\d to -?\d+\.\d\d\)", results.replace("\n", " "))
    assert len(differences) > 5
    assert [one for one in differences if one not in PAGES["leaderboard"]] == []
