"""`bench new-method` writes files that run as they are, from where they lie, and keep the contract."""

import ast
import re
import shlex
from pathlib import Path

import pytest
from commands import inside

from bench import contract, registry, templates
from bench.core import BenchError

ROOT = Path(__file__).parent.parent
KINDS: tuple[templates.Kind, ...] = ("neural", "estimator", "plain")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space in its name, and a method of each kind."""
    made = tmp_path_factory.mktemp("with a space") / "my methods"
    for kind in KINDS:
        templates.write(f"my_{kind}", kind, made)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_has_25_lines_at_most_and_its_own_name(folder: Path, kind: str) -> None:
    text = (folder / f"my_{kind}.py").read_text()
    assert len(text.splitlines()) <= 25
    assert max(map(len, text.splitlines())) <= 130
    assert text.startswith(f'"""my_{kind}: ')
    classes = [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    assert classes[-1] == f"My{kind.capitalize()}"
    assert text.endswith(f"METHOD = {classes[-1]}\n")
    assert "mine" not in text.lower()


def test_the_page_shows_the_file_that_is_written_and_every_law(tmp_path: Path) -> None:
    """Its blocks are run by test_readme."""
    page = (ROOT / "bench" / "docs" / "adding.md").read_text("utf-8")
    assert inside(tmp_path, "my_net", "--kind", "neural", verb="new-method").returncode == 0
    (shown,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert (tmp_path / "my_net.py").read_text() == shown
    names = [contract.name(law) for law in contract.CHECKED]
    assert [name for row in re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE) for name in re.findall(r"`(.*?)`", row)] == names


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_keep_the_contract(folder: Path, kind: str) -> None:
    laws = contract.LAWS[:9] if kind == "neural" else contract.LAWS  # the others of its laws are those of every network
    verdicts = list(contract.judged(registry.parse("methods", str(folder / f"my_{kind}.py"))[0], laws))
    assert {one.status for one in verdicts} == {"pass"}, [one.words for one in verdicts if one.status != "pass"]


def test_the_command_says_what_comes_next(tmp_path: Path) -> None:
    done = inside(tmp_path, "my_net", "--out", "my nets", verb="new-method")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "my nets/my_net.py is written: a method of 24 lines that works as it is. Next:",
        "  bench check './my nets/my_net.py'",
        "  bench run --methods './my nets/my_net.py',orthtd --dataset surgical:n=1200 --quick",
        "  bench run --methods './my nets/my_net.py' --dataset support2 --against published",
    ]
    words = shlex.split(done.stdout.splitlines()[-2])
    chosen = registry.parse("methods", words[words.index("--methods") + 1].replace("./", f"{tmp_path}/"))
    assert [spec.label for spec in chosen] == ["my_net", "orthtd"]
    again = inside(tmp_path, "my_net", "--out", "my nets", verb="new-method")
    assert (again.returncode, again.stderr) == (
        1,
        "bench: my nets/my_net.py is there already. Take another name, or remove it first.\n",
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my-net", "is made of letters, digits and _, and begins with a letter, but got 'my-net'. Try my_net."),
        ("3nets.py", "but got '3nets.py'. Try nets."),
        ("class", "but got 'class'"),
        ("../x", "but got '../x'. Try x."),
        ("", "but got ''"),
        ("mmoe", "there is a method 'mmoe' already: see `bench methods mmoe`. Try my_mmoe."),
        ("json", "'json' is an installed Python module, which json.py would hide from others. Try my_json."),
        ("torch", "'torch' is an installed Python module, which torch.py would hide from others. Try my_torch."),
    ],
)
def test_a_name_that_cannot_be_is_refused(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError) as error:
        templates.write(name, "plain", tmp_path)
    assert str(error.value).endswith(said)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match=r"file/my_net\.py cannot be written: "):
        templates.write("my_net", "plain", tmp_path / "file")
