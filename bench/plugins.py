"""Methods and datasets of installed packages, which name them among their entry points; and what is one file and what is not.

[project.entry-points."bench.methods"]
my_net = "my_pkg.my_net"                # an id, and the module that defines METHOD; of "bench.datasets" one that defines load
"""

import ast
import functools
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Literal, TypeAlias

from bench.core import BenchError

Kind: TypeAlias = Literal["methods", "datasets"]


@dataclass(frozen=True)
class Plugin:
    """An entry point. file: of its module, which need not be imported to be found. fault: why it cannot be used; "" where none is seen."""

    kind: Kind
    id: str
    module: str
    package: str
    version: str
    file: Path = Path()
    fault: str = ""

    @property
    def origin(self) -> str:
        return f"{self.package} {self.version}"

    @property
    def who(self) -> str:
        return f"{self.kind[:-1]} '{self.id}' of {self.origin} ({self.module})"

    @property
    def root(self) -> Path:
        """The folder that its top-level package lies in."""
        depth = self.module.count(".") + (self.file.name == "__init__.py")
        return self.file.resolve().parents[depth]

    def refused(self, why: str) -> BenchError:
        """What is said of one that cannot be used, and how to do without it."""
        return BenchError(f"{self.who} {why}. Without it: pip uninstall {self.package}, or name others instead of all.")


@functools.cache
def found(kind: Kind) -> Mapping[str, Plugin]:
    """By id. Two packages that claim the same one: neither has it, and the fault names both."""
    plugins: dict[str, Plugin] = {}
    for entry in sorted(metadata.entry_points(group=f"bench.{kind}"), key=lambda one: (one.name, one.value)):
        package, version = (entry.dist.name, entry.dist.version) if entry.dist is not None else ("unknown", "")
        file = None if entry.attr else _located(entry.module)
        plugin = Plugin(kind, entry.name, entry.module, package, version, file or Path(), _fault(entry, file))
        other = plugins.get(plugin.id)
        if other is not None:
            fault = f"has the same name as {other.who}, so that tables could not tell them apart"
            plugin = Plugin(kind, plugin.id, plugin.module, package, version, fault=fault)
        plugins[plugin.id] = plugin
    return plugins


def imported(plugin: Plugin) -> ModuleType:
    """Its module. BenchError, with the reason, where that cannot be."""
    try:
        return importlib.import_module(plugin.module)
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise plugin.refused(f"cannot be imported: {type(error).__name__}: {reason}") from error


def owner(path: Path) -> Plugin | None:
    """A plug-in of the package that a file belongs to."""
    return next((plugin for plugin in _sound() if path.is_relative_to(plugin.root / plugin.module.split(".")[0])
                 or path == plugin.file.resolve()), None)  # fmt: skip


def docstring(path: Path) -> str:
    """Of a file, read without importing it; "" of one that is no Python: importing it says why."""
    with suppress(OSError, ValueError, SyntaxError):
        return ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return ""


def roots() -> dict[str, Path]:
    """The top-level packages of plug-ins, and the folders that they lie in."""
    return {plugin.module.split(".")[0]: plugin.root for plugin in _sound()}


def code(package: str) -> str:
    """A hash of all Python files of a package that has plug-ins; "" for any other."""
    tops = {plugin.root / plugin.module.split(".")[0] for plugin in _sound() if plugin.package == package}
    files = sorted({file for top in tops for file in (*top.rglob("*.py"), top.with_suffix(".py")) if file.is_file()})
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()[:8] if files else ""


def check_alone(kind: Kind, path: Path) -> None:
    """BenchError if a file that was given by its path imports what lies beside it: results are stored under the hash of the one file, and
    workers elsewhere are sent no other.
    """
    beside = next(_beside(path), None)
    if beside is not None:
        raise BenchError(
            f"{path} imports '{beside}', which lies beside it, but a {kind[:-1]} given by its path is one file: it alone is hashed with the "
            "results and sent to workers. Put both into one file, or make them an installed package (see bench/docs/adding.md)."
        )


def _beside(path: Path) -> Iterator[str]:
    elsewhere = [place for place in sys.path if Path(place).resolve() != path.parent.resolve()]
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (OSError, ValueError, SyntaxError):
        return  # importing it will say why
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield "." * node.level + (node.module or node.names[0].name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            for top in {name.split(".")[0] for name in names} - sys.stdlib_module_names - {path.stem}:
                there = path.with_name(f"{top}.py").is_file() or (path.parent / top / "__init__.py").is_file()
                if there and PathFinder.find_spec(top, elsewhere) is None:
                    yield top


def _sound() -> list[Plugin]:
    kinds: tuple[Kind, Kind] = ("methods", "datasets")
    return [plugin for kind in kinds for plugin in found(kind).values() if not plugin.fault]


def _fault(entry: metadata.EntryPoint, file: Path | None) -> str:
    if not entry.name.isidentifier() or entry.name == "all":
        return f"needs a name of letters, digits and _ other than all, but has '{entry.name}'"
    if entry.attr:
        return f"must name a module, as in my_pkg.my_net, but names '{entry.value}'"
    if file is None:
        return "is in a module that cannot be found"
    return "" if file.suffix == ".py" else f"must be a Python file, but is {file.name}"


def _located(name: str) -> Path | None:
    """The file of a module. Its packages are not imported, but for a namespace within a namespace."""
    spec: ModuleSpec | None = None
    places = None
    try:
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            full = ".".join(parts[:end])
            spec = next((one for finder in sys.meta_path if (one := finder.find_spec(full, places)) is not None), None)
            places = spec.submodule_search_locations if spec is not None else None
            if spec is None or (places is None and end < len(parts)):
                return None
    except KeyError:
        with suppress(Exception):
            spec = importlib.util.find_spec(name)
    return Path(spec.origin) if spec is not None and spec.origin and spec.has_location else None
