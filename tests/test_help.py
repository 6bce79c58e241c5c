"""What `bench --help` and the Tab key show, and that the examples which help ends with can be typed."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from kept_cells import fill

from bench import registry
from bench.cli import app, completing, main, verbs

ROOT: Any = typer.main.get_command(app)
HEAVY = "import sys; from bench.cli import main\ntry: main({})\nexcept SystemExit: pass\nprint(sorted({{'numpy', 'pandas', 'torch'}} & set(sys.modules)), file=sys.stderr)"


def walked(group: Any = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, group
    for name, one in getattr(group, "commands", {}).items():
        yield from walked(one, (*path, name))


VERBS = dict(walked())


def helped(path: tuple[str, ...]) -> str:
    context = ROOT.make_context("bench", [], resilient_parsing=True)
    for name in path:
        context = VERBS[path[: path.index(name) + 1]].make_context(name, [], parent=context, resilient_parsing=True)
    return context.get_help()


@pytest.mark.parametrize("path", VERBS, ids="-".join)
def test_help_ends_with_examples_that_can_be_typed(path: tuple[str, ...]) -> None:
    said = helped(path)
    examples = verbs.split(VERBS[path].help)[1]
    assert examples, "an example or two go after the mark \\b in the docstring"
    assert [line.strip() for line in said.rpartition("Examples:\n")[2].strip().splitlines()] == examples
    for line in examples:
        words = shlex.split(line.partition(" > ")[0].partition("  #")[0])
        assert words[0] == "bench"
        command, rest, context = ROOT, words[1:], None
        while rest and rest[0] in getattr(command, "commands", {}):
            command, rest = command.commands[rest[0]], rest[1:]
        if "--help" not in rest:
            context = command.make_context(words[1], rest)  # a word that is no option, or a value that cannot be one, is an error
            assert context.params is not None


def test_every_option_of_a_long_verb_stands_under_one_heading() -> None:
    said = helped(("run",))
    headings = re.findall(r"^(\S[\w ]*):$", said, re.MULTILINE)
    assert headings == ["What", "Protocol", "Tuning", "Execution", "Storage", "Report", "Other options", "Examples"]
    shown = re.findall(r"^  (--[\w-]+)", said, re.MULTILINE)
    options = [one.opts[0] for one in VERBS["run",].get_params(ROOT.make_context("bench", [], resilient_parsing=True))]
    assert sorted(shown) == sorted(options)
    assert said.partition("Other options:")[2].split()[0] == "--help"  # all else is under a heading
    assert re.findall(r"^(\S[\w ]*):$", helped(("data", "init")), re.MULTILINE) == ["Arguments", "Options", "Examples"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["reprt"], "bench: No such command 'reprt'. Did you mean 'report'? `bench --help`"),
        (
            ["new-method", "x", "--kind", "neurl"],
            "bench: Invalid value for '--kind': 'neurl' is not one of 'neural', 'estimator', 'plain'. `",
        ),
    ],
)
def test_a_mistyped_word_is_answered_in_sentences(words: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert str(ended.value.code).startswith(said)


def test_help_names_every_exit_status() -> None:
    said = helped(())
    assert all(re.search(rf"^  {status} ", said, re.MULTILINE) for status, _ in verbs.STATUS)


def test_help_is_as_wide_as_the_terminal_and_no_wider_than_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = {}
    for columns in (60, 80, 110, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        body = helped(("run",)).partition("Examples:")[0]
        widths[columns] = max(map(len, body.splitlines()))
    assert widths[60] <= 60 < widths[80] <= 80 < widths[110] == widths[200] <= 110


# ---- the Tab key


def offered(*words: str) -> list[str]:
    """As bash asks for it, in a process of its own; and that nothing heavy was loaded."""
    env = {**os.environ, "COMP_WORDS": shlex.join(words), "COMP_CWORD": str(len(words) - 1), "_BENCH_COMPLETE": "complete_bash"}
    done = subprocess.run([sys.executable, "-c", HEAVY.format([])], env=env, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    return done.stdout.split()


def test_bash_completes_verbs_options_and_names_after_commas() -> None:
    assert offered("bench", "comp") == ["compare"]
    assert offered("bench", "run", "--tune-") == ["--tune-minutes"]
    assert offered("bench", "run", "--methods", "logistic,light") == ["logistic,lightgbm"]
    assert offered("bench", "compare", "hard") == ["hard_sharing"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_line_for_each_name(shell: str) -> None:
    env = {**os.environ, "_TYPER_COMPLETE_ARGS": "bench run --dataset surgical,s", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    env |= {"_BENCH_COMPLETE": f"complete_{shell}"}
    done = subprocess.run([sys.executable, "-m", "bench"], env=env, capture_output=True, text=True, check=True)
    lines = done.stdout.strip().splitlines()
    names = [name for name in registry.ids("datasets") if name.startswith("s") and name != "surgical"]
    assert len(lines) == len(names)
    assert all(f"surgical,{name}" in line for name, line in zip(names, lines, strict=True))


@pytest.mark.parametrize("kind", ["methods", "datasets"])
def test_what_is_offered_is_what_there_is(kind: Any) -> None:
    found = [name for name, text in getattr(completing, kind)("") if text]
    assert found == registry.ids(kind)


def test_files_are_offered_with_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    for name in ("mine.py", "mine.toml", "notes.txt", ".hidden.py"):
        (tmp_path / "own" / name).touch()
    monkeypatch.chdir(tmp_path)
    assert completing.methods("mmoe,ow") == [("mmoe,own/", "")]
    assert completing.methods("mmoe,own/") == [("mmoe,own/mine.py", "")]
    assert completing.cohorts("./own/m") == [("./own/mine.toml", "")]
    assert completing.datasets("nowhere/x") == []
    assert {name for name, _ in completing.suites("cl")} == {"claims"}


def test_a_shell_is_told_how_to_ask() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--show-completion", "bash"], capture_output=True, text=True, check=True,
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )  # fmt: skip
    assert "_BENCH_COMPLETE=complete_bash" in done.stdout


# ---- colours and width, on a real terminal and without


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    fill(folder / "results")
    return folder


def printed(folder: Path, terminal: bool, **variables: str) -> str:
    """`bench results list` on a terminal of 100 columns, or into a pipe."""
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    env |= {"TERM": "xterm-256color", "COLUMNS": "100", **variables}
    command = [sys.executable, "-m", "bench", "results", "list"]
    if not terminal:
        return subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, check=True).stdout.decode()
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, cwd=folder, env=env, stdout=theirs, stdin=theirs) as process:
        os.close(theirs)
        said = b""
        while chunk := _read(ours):
            said += chunk
        assert process.wait() == 0
    os.close(ours)
    return said.decode()


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 65536)
    except OSError:  # the other side has closed it
        return b""


def test_colours_are_for_terminals_that_want_them(kept: Path) -> None:
    assert "\x1b[" in printed(kept, terminal=True)
    assert not re.search(r"\x1b\[[0-9;]*3\d", printed(kept, terminal=True, NO_COLOR="1"))  # bold stays
    assert "\x1b[" not in printed(kept, terminal=True, TERM="dumb")
    assert "\x1b[" not in printed(kept, terminal=False)
    assert "\x1b[" in printed(kept, terminal=False, FORCE_COLOR="1")


def test_tables_fit_the_width_they_are_given(kept: Path) -> None:
    lines = printed(kept, terminal=True, COLUMNS="60").splitlines()
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in lines) <= 60


def test_json_is_never_coloured(kept: Path) -> None:
    env = {**os.environ, "FORCE_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "bench", "results", "list", "--json"],
        cwd=kept,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(json.loads(done.stdout)) == 2
