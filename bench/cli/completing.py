"""What the shell's Tab key offers as a value. Names are read from folders and from metadata: nothing is imported for them."""

from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from textwrap import shorten

import bench

Offered = list[tuple[str, str]]  # a value, and what it is, in a few words
SHORT = 45  # characters: shells take a line each


def methods(incomplete: str) -> Offered:
    """Methods separated by commas, and files ending in .py."""
    return _listed(incomplete, lambda: _named("methods"), (".py",))


def datasets(incomplete: str) -> Offered:
    """Datasets separated by commas, and files ending in .py or .toml."""
    return _listed(incomplete, lambda: _named("datasets"), (".py", ".toml"))


def suites(incomplete: str) -> Offered:
    """A suite, or a file ending in .toml."""
    return _listed(incomplete, lambda: {path.stem: "" for path in Path(bench.__file__).parent.glob("suites/*.toml")}, (".toml",))


def cohorts(incomplete: str) -> Offered:
    """A file ending in .toml."""
    return _files(incomplete, (".toml",))


def _listed(incomplete: str, known: Callable[[], dict[str, str]], endings: tuple[str, ...]) -> Offered:
    """The names that go on with what stands after the last comma and are not given yet; each with what stands before it."""
    before, comma, last = incomplete.rpartition(",")
    given = set(before.split(","))
    names = known() if "/" not in last else {}
    found = [(name, text) for name, text in names.items() if name.startswith(last) and name not in given]
    return [(f"{before}{comma}{value}", text) for value, text in (*found, *_files(last, endings))]


def _named(kind: str) -> dict[str, str]:
    """id -> the first line of its file, of those that are bundled; "" of those that installed packages add."""
    files = [path for root in bench.__path__ for path in Path(root, kind).glob("[!_]*.py")]
    added = dict.fromkeys((one.name for one in metadata.entry_points(group=f"bench.{kind}")), "")
    return dict(sorted({**added, **{path.stem: _about(path) for path in files}}.items()))


def _about(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return shorten(file.readline().strip().strip('"'), SHORT, placeholder=" ...")


def _files(incomplete: str, endings: tuple[str, ...]) -> Offered:
    """Folders and files of these kinds that go on with what is typed."""
    typed = Path(incomplete)
    folder = typed if incomplete.endswith("/") or not incomplete else typed.parent
    front = incomplete.rpartition("/")[0] + "/" if "/" in incomplete else ""
    return [(front + name, "") for name in _within(folder, endings) if (front + name).startswith(incomplete)]


def _within(folder: Path, endings: tuple[str, ...]) -> Iterator[str]:
    try:
        there = sorted(folder.expanduser().iterdir())
    except OSError:
        return
    for path in there:
        if not path.name.startswith(".") and (path.is_dir() or path.suffix.lower() in endings):
            yield f"{path.name}/" if path.is_dir() else path.name
