"""`bench methods NAME` and `bench datasets NAME`: a card, read from the file without importing it, unless METHOD is made by a call.

The file's docstring, then its settings: type and range from the annotation, the default, and what the class docstring says of it
("name: meaning", "a, b: meaning" or "a .. c: meaning"), else the comment on its line. Settings of a base class stand under a heading of their own.
A dataset's dials are the parameters of its `load`.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import bench
from bench import plugins, registry
from bench.core import JSON, BenchError
from bench.registry import Spec

WIDTH = 130
GIVEN = "(to be given)"  # in the place of a default
HEADINGS = "Adapter|Published|Limits|Departures|Cost"  # of a method's docstring
SIGNS = {"Ge": ">=", "Gt": ">", "Le": "<=", "Lt": "<"}


@dataclass(frozen=True)
class Setting:
    """One field of a method. kind: "int >= 1", "a | b", "bool"; meaning "" where none is given; tuned: what `--tune` tries, or ""."""

    name: str
    kind: str
    default: str
    meaning: str
    tuned: str = ""

    @property
    def words(self) -> str:
        """The meaning and what is tried."""
        return "; ".join(filter(None, [self.meaning, f"tuned: {self.tuned}" if self.tuned else ""]))


@dataclass(frozen=True)
class Card:
    """about: the file's docstring. settings: (class they stand in, its settings), the method's own first. heading: over those."""

    name: str
    about: str
    settings: tuple[tuple[str, tuple[Setting, ...]], ...]
    heading: str = "Settings"

    def json(self) -> dict[str, Any]:
        """For programs: settings in the order of `text`, each with the class it stands in; a default as the value it is, where it is one."""
        settings = [
            {"name": s.name, "kind": s.kind, "default": _valued(s.default), "meaning": s.meaning, "tuned": s.tuned, "of": owner}
            for owner, each in self.settings
            for s in each
        ]
        return {"id": self.name, "about": self.about, "settings": settings}

    def text(self) -> str:
        """What is printed."""
        lines = [f"{self.name}", "", self.about]
        seen: set[str] = set()
        for i, (owner, settings) in enumerate(self.settings):
            fresh = [s for s in settings if s.name not in seen]  # a child's word on a setting replaces its parent's
            seen |= {s.name for s in settings}
            heading = self.heading if i == 0 else f"Settings it has in common with others ({owner})"
            lines += ["", f"{heading}:", *(_lines(fresh) or ["  none"])]
        return "\n".join(lines)


def card(name: str) -> Card:
    """The card of a bundled method, or of a file ./mine.py. An unknown name gets the closest one.

    A class that is made by a call (METHOD = torch_method(Net)), and that of an adapter with its settings (sklearn:estimator=svm.SVC), is
    known by making it alone.
    """
    path, module = _opened("methods", name.partition(":")[0])
    found = module.types.get("METHOD")
    made = isinstance(found, ast.Call) or (":" in name and "ADAPTER" in module.types)
    settings = _made(name) if made else _settings(module, found.id if isinstance(found, ast.Name) else "")
    return Card(path.stem, ast.get_docstring(module.tree) or "", tuple(settings))


def _made(name: str) -> Iterator[tuple[str, tuple[Setting, ...]]]:
    """The settings of a class as it is once made: its own and others' defaults that it changes, then those of its bases."""
    made: Any = registry.method(name)
    own = fields(made)
    bases = [part for base in type(made).__bases__ for part in _settings(*_defined(base))]
    known = {one.name: one for _, listed in reversed(bases) for one in listed}
    wrapped = getattr(getattr(made, "wraps", None), "__doc__", None) or ""
    meanings = said(type(made).__doc__ or "", [f.name for f in own])
    listed: list[Setting] = []
    for f in own:
        value, base = getattr(made, f.name), known.get(f.name)
        if base is not None and base.default not in (str(value), repr(value)):
            listed.append(replace(base, default=str(value)))
        elif base is None:
            kind, meaning = _numpydoc(wrapped, f.name)
            listed.append(
                Setting(f.name, kind or getattr(f.type, "__name__", str(f.type)), str(value), meanings.get(f.name, meaning))
            )
    yield type(made).__name__, tuple(listed)
    yield from bases


def _numpydoc(docstring: str, name: str) -> tuple[str, str]:
    """What scikit-learn's docstrings say of a parameter: its type, and what it is in a sentence; "" where they say nothing."""
    found = re.search(rf"^( *){re.escape(name)} : (.*)\n((?:\1 +.*\n|\n)+)", docstring, re.M)
    if found is None:
        return "", ""
    kind = re.sub(r",? *(default|optional).*", "", found[2])
    return kind, re.split(r"(?<=\.)\s|\n\n|:$", " ".join(found[3].split()), maxsplit=1)[0].rstrip(".")


def _defined(base: type[Any]) -> "tuple[_Module, str]":
    return _Module(Path(inspect.getfile(base))), base.__name__


def dataset(name: str) -> Card:
    """The card of a bundled dataset, or of a file ./mine.py. An unknown name gets the closest one."""
    path, module = _opened("datasets", name)
    loads = [node for node in module.tree.body if isinstance(node, ast.FunctionDef) and node.name == "load"]
    dials = tuple(dial for node in loads for dial in _dials(module, node))
    return Card(path.stem, ast.get_docstring(module.tree) or "", (("load", dials),), "Dials")


def _opened(kind: registry.Kind, name: str) -> "tuple[Path, _Module]":
    path = Path(name).expanduser() if name.endswith(".py") else registry.path(kind, name)
    try:
        return path, _Module(path)
    except (OSError, SyntaxError) as error:
        raise BenchError(f"{name} cannot be read: {error}") from None


def _dials(module: "_Module", load: ast.FunctionDef) -> Iterator[Setting]:
    given = [*load.args.posonlyargs, *load.args.args]
    defaults = [None] * (len(given) - len(load.args.defaults)) + load.args.defaults + load.args.kw_defaults
    arguments = [*given, *load.args.kwonlyargs]
    meanings = said(ast.get_docstring(load) or "", [a.arg for a in arguments]) if arguments else {}
    for argument, default in zip(arguments, defaults, strict=True):
        kind = _kind(argument.annotation, module) if argument.annotation else ""
        yield Setting(argument.arg, kind, _default(default), meanings.get(argument.arg, ""))


def adapted(spec: Spec) -> dict[str, str]:
    """How a method was fitted to this program: id -> what its file says under "Adapter" and "Departures"; "" where it says nothing.

    So too of the methods whose code it runs on, and of the part of the engine that a setting chooses (`balance=...`).
    """
    used = getattr(registry.method(spec), "uses", ())
    files = {spec.id: registry.file(spec)} | {name: registry.file(registry.parse("methods", name)[0]) for name in used}
    parts = {name: _located(f"bench.{name}") for name in spec.settings}
    files |= {f"{name} {spec.settings[name]}": file for name, file in parts.items() if file is not None}
    return {name: departures(plugins.docstring(file)) for name, file in files.items()}


def departures(docstring: str) -> str:
    """Its paragraphs "Adapter: ..." and "Departures: ..." as one line, each up to the next heading or an empty line."""
    return _under("Adapter|Departures", docstring)


def cost(spec: Spec) -> str:
    """What a method's file says under "Cost:", as one line; "" where it says nothing."""
    return _under("Cost", plugins.docstring(registry.file(spec))).removeprefix("Cost: ")


def _under(headings: str, docstring: str) -> str:
    found = re.findall(rf"^((?:{headings}): .*?)(?=^(?:{HEADINGS}): |^\s*$|\Z)", docstring, re.M | re.S)
    return " ".join(" ".join(found).split())


class _Module:
    """A file: its classes, the names it gives to types, and where its other names come from."""

    def __init__(self, path: Path) -> None:
        text = path.read_text("utf-8")
        self.lines, self.tree = text.splitlines(), ast.parse(text)
        self.classes = {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}
        self.types = dict(_types(self.tree))
        self.origin = {
            alias.asname or alias.name: (node.module, alias.name)
            for node in self.tree.body
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bench.")
            for alias in node.names
        }

    def source(self, name: str) -> "tuple[_Module, str] | None":
        """The module of bench that a name is imported from, and its name there."""
        module, original = self.origin.get(name, ("", ""))
        path = _located(module) if module else None
        return (_Module(path), original) if path else None


def _located(module: str) -> Path | None:
    parts = module.split(".")[1:]
    candidates = [Path(root).joinpath(*parts) for root in bench.__path__]
    files = [file for c in candidates for file in (c.with_suffix(".py"), c / "__init__.py")]
    return next((file for file in files if file.is_file()), None)


def _types(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Names that stand for a type: X = Annotated[...], X: TypeAlias = Literal[...]."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value


def _settings(module: _Module, name: str) -> Iterator[tuple[str, tuple[Setting, ...]]]:
    """A class's own fields, then those of its bases."""
    node = module.classes.get(name)
    if node is None:
        found = module.source(name)
        if found is not None:
            yield from _settings(*found)
        return
    annotated = [(f.target.id, f) for f in node.body if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name)]
    fixed = {n for n, f in annotated if "ClassVar" in ast.unparse(f.annotation)}  # a setting of its parents no more
    own = [(n, f) for n, f in annotated if n not in fixed]
    inherited = [part for base in node.bases if isinstance(base, ast.Name) for part in _settings(module, base.id)]
    every = [*(n for n, _ in own), *(s.name for _, settings in inherited for s in settings)]
    meanings = said(ast.get_docstring(node) or "", every) if every else {}
    listed = [
        Setting(n, _kind(f.annotation, module), _default(f.value), meanings.get(n) or _comment(f, module), _tuned(f.annotation))
        for n, f in own
    ]
    yield node.name, tuple(listed)
    for owner, settings in inherited:
        yield owner, tuple(s for s in settings if s.name not in fixed)


def _default(value: ast.expr | None) -> str:
    if value is None:
        return GIVEN
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value else ast.unparse(value)


def _valued(default: str) -> JSON:
    """A number, a truth value, null, or its text: what has no default is null too."""
    if default == GIVEN:
        return None
    try:
        value = ast.literal_eval(default)
    except (SyntaxError, ValueError):
        return default
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _comment(field: ast.AnnAssign, module: _Module) -> str:
    return module.lines[field.lineno - 1][field.end_col_offset or 0 :].partition("#")[2].strip()


def said(docstring: str, names: list[str]) -> Mapping[str, str]:
    """What a docstring says of each name, "name: meaning", "a, b: meaning" or "a .. c: meaning", up to the next such or an empty line."""
    any_name = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    heads = list(
        re.finditer(
            rf"(?<![\w`.])((?:{any_name}) \.\. (?:{any_name})|(?:{any_name})(?:,\s+(?:{any_name}))*)(?:, ([^:.\n]+))?: ?",
            docstring,
        )
    )
    ends = [*(later.start() for later in heads[1:]), len(docstring)]
    out: dict[str, str] = {}
    for head, end in zip(heads, ends, strict=False):  # without a head there is one end too many
        text = f"{head[2] or ''} {docstring[head.end() : end]}".partition("\n\n")[0]
        first, _, last = head[1].partition(" .. ")
        listed = names[names.index(first) : names.index(last) + 1] if last else re.split(r",\s+", first)
        for name in listed:
            out.setdefault(name, " ".join(text.split()).rstrip(".,; "))
    return out


def _kind(node: ast.expr, module: _Module) -> str:
    """An annotation in words; the names of ranges are followed to where they are declared."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _kind(ast.parse(node.value, mode="eval").body, module)
    if isinstance(node, ast.BinOp):
        return f"{_kind(node.left, module)} or {_kind(node.right, module)}"
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if node.value.id == "Literal":
            return " | ".join(str(ast.literal_eval(part)) for part in parts)
        if node.value.id == "Annotated":
            bounds = [_bound(part) for part in parts[1:] if not _search(part)]
            return " ".join([_kind(parts[0], module), ", ".join(bounds)]).strip()
    if isinstance(node, ast.Name):
        if node.id in module.types:
            return _kind(module.types[node.id], module)
        found = module.source(node.id)
        if found is not None and found[1] in found[0].types:
            return _kind(found[0].types[found[1]], found[0])
    return ast.unparse(node)


def _search(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SEARCHED


def _bound(node: ast.expr) -> str:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SIGNS:
        value = ast.literal_eval(node.args[0])
        return f"{SIGNS[node.func.id]} {value:g}"
    return ast.unparse(node)


def _tuned(node: ast.expr) -> str:
    """What tuning tries of an annotated setting; "" where its annotation says nothing of it."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple):
        return ""
    for word in filter(_search, node.slice.elts):
        call: Any = word
        options = {one.arg: ast.literal_eval(one.value) for one in call.keywords}
        return SEARCHED[call.func.id](*map(ast.literal_eval, call.args), **options)
    return ""


def _range(low: float, high: float, log: bool = False) -> str:
    return f"{low:g} to {high:g}{', in logarithms' if log else ''}"


def _choice(values: Sequence[object]) -> str:
    return " | ".join(map(str, values))


def _weights(most: int = 4) -> str:
    return f"equal, or a weight a task from 1/{most} to {most}"


SEARCHED: dict[str, Callable[..., str]] = {"Range": _range, "Choice": _choice, "Weights": _weights}  # see `bench.search`


def _lines(settings: list[Setting]) -> list[str]:
    """name = default, kind, meaning in columns, the last one wrapped."""
    heads = [f"{s.name} = {s.default}" for s in settings]
    wide = [max(map(len, column), default=0) for column in (heads, [s.kind for s in settings])]
    indent = " " * (sum(wide) + 6)
    return [
        textwrap.fill(
            f"  {head:<{wide[0]}}  {s.kind:<{wide[1]}}  {s.words}".rstrip(),
            WIDTH,
            subsequent_indent=indent,
            break_on_hyphens=False,
            drop_whitespace=True,
        )
        for head, s in zip(heads, settings, strict=True)
    ]
