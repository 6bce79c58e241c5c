"""What a stored number was made by: the code, the versions, the machine."""

import ast
import functools
import hashlib
import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import bench
from bench import plugins
from bench.core import JSON

# Code that says which cells there are, looks at what they have stored, or carries them from one process to another.
_APART = {
    "bench.api",
    "bench.claims",
    "bench.cohorts",  # what it makes is known by its digest
    "bench.sources",  # so is what it fetches
    "bench.stored",
    "bench.suites",
    "bench.stats",
    "bench.report",
    "bench.cli",
    "bench.execute",
    "bench.bootstrap",
    "bench.estimator",
    "bench.plugins",  # which files there are: their content counts
    "bench.registry",  # so do the settings that it reads
    "bench.provenance",
    "bench.store",
    "bench.saved",
    "bench.diagnose",
    "bench.tune",  # this and the next: counted by the harness where a protocol tunes
    "bench.trials",
}


def code_version(*files: Path, packages: Iterable[str] = ()) -> dict[str, JSON]:
    """{"code": hash, "versions": {library: version}} of these files and of all they import inside bench, or inside a package that adds
    methods or datasets to it.

    packages: libraries used besides, which no import in these files names.

    Comments, docstrings and layout do not count; neither does code that only asks for cells or reads them (api, stats,
    report, cli, execute ...) or looks at fitted models (diagnose).
    """
    closure = _closure([f.resolve() for f in files])
    sha = hashlib.sha256("".join(sorted(_shape(path) for path in closure)).encode())
    outside = {name for path in closure for name in _imports(path) if not _ours(name)}
    outside.update(packages)
    added = {found.package: found.version for found in map(plugins.owner, closure) if found is not None}
    return {"code": sha.hexdigest()[:16], "versions": dict(sorted({**_versions(outside), **added}.items()))}


def environment() -> dict[str, JSON]:
    return {"python": platform.python_version(), "platform": platform.platform(), "bench": bench.__version__}


def _closure(files: list[Path]) -> list[Path]:
    seen: dict[Path, None] = {}
    todo = list(files)
    while todo:
        path = todo.pop()
        if path not in seen:
            seen[path] = None
            todo += [found for name in _imports(path) if _ours(name) for found in _located(name)]
            todo += _added(path)
    return sorted(seen)


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@functools.cache
def _imports(path: Path) -> tuple[str, ...]:
    """Dotted names imported anywhere in a file; `from a import b` gives a and a.b, since b may be a module."""
    names: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return tuple(sorted(names))


def _ours(name: str) -> bool:
    return name == "bench" or name.startswith("bench.")


def _added(path: Path) -> list[Path]:
    """What a file imports from packages that add methods or datasets; of a file of theirs also the packages that it lies in."""
    roots = plugins.roots()
    modules = [root.joinpath(*name.split(".")) for name in _imports(path) if (root := roots.get(name.split(".")[0])) is not None]
    owner = plugins.owner(path)
    if owner is not None:
        packages = [folder for folder in path.parents if folder != owner.root and folder.is_relative_to(owner.root)]
        modules += [*packages, *_relative(path)]
    files = [file for module in modules for file in (module.with_suffix(".py"), module / "__init__.py") if file.is_file()]
    return [file.resolve() for file in files]


@functools.cache
def _relative(path: Path) -> tuple[Path, ...]:
    """What `from .a import b` may mean, without suffix: the module a, and b in it."""
    found: list[Path] = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            found += [base, *(base / alias.name for alias in node.names)]
    return tuple(found)


def _located(name: str) -> list[Path]:
    """The file of a module of bench, and of the packages it lies in; none for what is left out or is no module."""
    if name == "bench" or any(name == a or name.startswith(a + ".") for a in _APART):  # bench itself: what is public
        return []
    parts = name.split(".")[1:]
    for root in map(Path, bench.__path__):
        for path in (
            root.joinpath(*parts).with_suffix(".py"),
            root.joinpath(*parts, "__init__.py"),
        ):
            if path.is_file():
                return [path.resolve()]
    return []


@functools.cache
def _shape(path: Path) -> str:
    """A file without comments, docstrings and layout."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:]
    return f"{path.stem}:{hashlib.sha256(_written(tree).encode()).hexdigest()}"


def _written(node: Any) -> str:
    """A syntax tree as `ast.dump` of Python 3.11 writes it. Later Pythons write the same code in other words, and stored results go
    from machine to machine.
    """
    if isinstance(node, list):
        parts: list[Any] = node
        return f"[{', '.join(map(_written, parts))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    kept: list[str] = []
    for name, value in ast.iter_fields(node):
        if (value is None and getattr(type(node), name, ...) is None) or (name == "type_params" and not value):  # 3.12
            continue
        full: Any = value
        if isinstance(node, ast.JoinedStr):
            full = [
                one for one in node.values if not (isinstance(one, ast.Constant) and one.value == "")
            ]  # 3.12, after {x:{width}}
        kept.append(f"{name}={_written(full)}")
    return f"{type(node).__name__}({', '.join(kept)})"


def _versions(modules: Iterable[str]) -> dict[str, JSON]:
    tops = {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names)
    owners = _owners()
    return {dist: metadata.version(dist) for dist in sorted({owners[top][0] for top in tops if top in owners})}


@functools.cache
def _owners() -> dict[str, list[str]]:
    return {top: sorted(set(dists)) for top, dists in metadata.packages_distributions().items()}
