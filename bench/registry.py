"""The ids of methods and datasets, and what may be set on them.

A method is `id[:field=value]...` or the path of a file; a dataset likewise, with the parameters of its `load` as dials. The file of
a dataset may also be a cohort file (.toml): data of the user's own, whose dials are `allow_leak` and `variant`.
The file name is the id: there is no list to keep. Installed packages add more (`bench.plugins`). Only this module imports plug-ins, and
only those that were chosen.
"""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias, get_type_hints

import bench
from bench import plugins
from bench.core import JSON, BenchError, Cohort, Method

Kind: TypeAlias = plugins.Kind

LISTED = 100  # names at most in a message that lists what there is


@dataclass(frozen=True)
class Spec:
    """A chosen method or dataset. settings: only those that differ from the defaults, in the order of the fields."""

    kind: Kind
    id: str
    settings: Mapping[str, JSON]
    path: str = ""  # absolute, for a file outside the suite
    sha256: str = ""
    data: str = ""  # where its cohort lies as `bench.cohorts.parcel` packed it, on a machine that it was sent to

    def __hash__(self) -> int:
        return hash((self.kind, self.label, self.sha256))  # settings is a mapping: its text stands for it

    @property
    def label(self) -> str:
        return ":".join([self.id, *(f"{k}={_as_text(v)}" for k, v in self.settings.items())])

    def json(self) -> dict[str, JSON]:
        return {"kind": self.kind, "id": self.id, "settings": dict(self.settings), "path": self.path, "sha256": self.sha256}


def ids(kind: Kind) -> list[str]:
    """Every id, bundled or of an installed package, sorted."""
    return sorted(_files(kind))


def every(kind: Kind) -> list[str]:
    """What `all` stands for: every id, but for adapters, which say `ADAPTER = True`: what they run is for their settings to say."""
    known = sorted({*ids(kind), *plugins.found(kind)})
    return [name for name in known if not getattr(module(kind, name), "ADAPTER", False)]


def about(kind: Kind) -> dict[str, str]:
    """id -> its file's docstring, read without importing it."""
    return {name: plugins.docstring(path) for name, path in sorted(_files(kind).items())}


def origin(kind: Kind, name: str) -> str:
    """Where an id comes from: "bundled", or the package and its version."""
    return "bundled" if name in _bundled(kind) else plugins.found(kind)[name].origin


def faults(kind: Kind) -> list[str]:
    """What keeps plug-ins of installed packages from being used, a line each. They are imported."""
    said: list[str] = []
    for name in plugins.found(kind):
        try:
            _factory(Spec(kind, name, {}))
        except BenchError as fault:
            said.append(str(fault))
    return said


def path(kind: Kind, name: str) -> Path:
    """The file of a bundled method or dataset, or of an installed package's. An unknown name gets the closest one."""
    _check_plugin(kind, name)
    if name not in _files(kind):
        raise BenchError(unknown(kind[:-1], name, ids(kind)))
    return _files(kind)[name]


def file(spec: Spec) -> Path:
    """The file that defines a method or dataset."""
    return Path(spec.path) if spec.path else path(spec.kind, spec.id)


def module(kind: Kind, name: str) -> ModuleType:
    """The plug-in `name`, imported."""
    path(kind, name)
    ours = name in _bundled(kind)
    return importlib.import_module(f"bench.{kind}.{name}") if ours else plugins.imported(plugins.found(kind)[name])


def parse(kind: Kind, text: str) -> list[Spec]:
    """The grammar of the command line: specs separated by commas; `all` stands for those of `every`. Each spec once.

    BenchError where a plug-in that is among them cannot be used: none is left out in silence.
    """
    specs: dict[str, Spec] = {}
    for part in parts(text):
        for one in every(kind) if part == "all" else [part]:
            spec = _parse_one(kind, one)
            if specs.setdefault(spec.label, spec) != spec:
                raise BenchError(f"two {kind} are called '{spec.label}': one is {file(spec)}. Rename that file.")
    if not specs:
        raise BenchError(f"no {kind[:-1]} given. There are: {', '.join(ids(kind))}.")
    return list(specs.values())


def own_data(data: str | None, dataset: str | None, allow_leak: Iterable[str] | None) -> str | None:
    """The datasets that --data FILE, --dataset and --allow-leak COLUMN name together; None where none of them is given."""
    allowed = list(allow_leak or ())
    if data is not None and dataset is not None:
        raise BenchError("--data FILE is --dataset FILE for a cohort file: give one of the two")
    if data is not None and not _is_cohort_file(data):
        raise BenchError(f"--data takes a cohort file (.toml), but got '{data}'. `bench data init {data}` writes one.")
    chosen = data or dataset
    if not allowed:
        return chosen
    if chosen is None or not _is_cohort_file(chosen) or "," in chosen:
        raise BenchError(f"--allow-leak is for one cohort file, as in --data cohort.toml, but got '{chosen or 'none'}'")
    odd = next((name for name in allowed if set(name) & set(",:+")), None)
    if odd is not None:
        raise BenchError(
            f"--allow-leak takes names without , : and +, but got '{odd}'. Name it under allow_leak in the cohort file."
        )
    return f"{chosen}:allow_leak={'+'.join(allowed)}"


def _is_cohort_file(text: str) -> bool:
    """Its path, maybe with dials."""
    return any(part.endswith(".toml") for part in text.lower().split(":"))


def parts(text: str) -> list[str]:
    """What commas separate, without empty parts."""
    return [part for part in map(str.strip, text.split(",")) if part]


def method(spec: Spec | str) -> Method:
    """The method with its settings."""
    return _factory(_spec("methods", spec))(**_settings("methods", spec))


def settings(spec: Spec) -> dict[str, JSON]:
    """All settings of a method or dials of a dataset, the defaults among them."""
    defaults = {name: p.default for name, p in _parameters(_factory(spec)).items()}
    return {name: spec.settings.get(name, default) for name, default in defaults.items()}


def varied(spec: Spec, changes: Mapping[str, JSON]) -> Spec:
    """The spec with other settings: as it would be parsed, the defaults left out."""
    return _differing(replace(spec, settings={**spec.settings, **changes}))


def given(spec: Spec, settings: Mapping[str, Any]) -> Spec:
    """The spec with these settings alone, texts or values: checked against the fields first (closest match), then coerced and
    range-checked by pydantic. The defaults are left out.
    """
    asked = replace(spec, settings=settings)
    factory = _factory(asked)
    hints = get_type_hints(factory.__init__ if inspect.isclass(factory) else factory, include_extras=True)
    known = list(_parameters(factory))
    for name in settings:
        if name not in known:
            raise BenchError(unknown(f"setting of '{spec.id}'", name, known))
    return _differing(replace(spec, settings={k: _coerce(spec.id, k, value, hints[k]) for k, value in settings.items()}))


def _differing(spec: Spec) -> Spec:
    """With the settings that are not the default alone, in the order of the fields."""
    parameters, asked = _parameters(_factory(spec)).items(), spec.settings
    return replace(spec, settings={name: asked[name] for name, p in parameters if name in asked and asked[name] != p.default})


def load(spec: Spec | str) -> Cohort:
    """The cohort of a dataset with its dials; where it was sent, as it was sent."""
    if isinstance(spec, Spec) and spec.data:
        return importlib.import_module("bench.cohorts.parcel").read(Path(spec.data))
    return _factory(_spec("datasets", spec))(**_settings("datasets", spec))


def loaded(spec: Spec) -> Any:
    """The module behind a spec, bundled or from its path; of a cohort file what stands for it."""
    if not spec.path:
        return module(spec.kind, spec.id)
    name = f"bench_plugin_{spec.sha256[:12]}"
    if Path(spec.path).suffix.lower() == ".toml":
        _check_unchanged(spec)
        return _cohorts().plug_in(Path(spec.path))
    if name not in sys.modules:
        _check_unchanged(spec)
        plugins.check_alone(spec.kind, Path(spec.path))
        source = importlib.util.spec_from_file_location(name, spec.path)
        assert source is not None
        assert source.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(source)
        try:
            source.loader.exec_module(sys.modules[name])
        except Exception as error:
            del sys.modules[name]
            raise BenchError(f"{spec.path} cannot be imported: {type(error).__name__}: {error}") from error
    return sys.modules[name]


def _check_unchanged(spec: Spec) -> None:
    if _hash(Path(spec.path)) != spec.sha256:
        raise BenchError(f"{spec.path} changed while the run was under way. Start the run again.")


def _cohorts() -> Any:
    """The reader of cohort files: like a plug-in, loaded only where one was chosen."""
    return importlib.import_module("bench.cohorts")


def unknown(what: str, name: str, known: list[str]) -> str:
    """The line for a name that is none of `known`: the closest one, whatever its case, and the list."""
    folded = {one.casefold(): one for one in known}
    close = get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    more = f" and {len(known) - LISTED:,} more" if len(known) > LISTED else ""
    return (
        f"unknown {what} '{_shown(name)}'."
        + (f" Did you mean '{_shown(folded[close[0]])}'?" if close else "")
        + f" There are: {', '.join(map(_shown, known[:LISTED])) or 'none'}{more}."
    )


def _shown(name: str) -> str:
    """A name on one line, whatever a user's file calls a column."""
    one = " ".join(name.split()) if any(c in name for c in "\n\r\t\v\f\x85\u2028\u2029") else name
    return one if len(one) <= 80 else one[:77] + "..."


def _files(kind: Kind) -> dict[str, Path]:
    return {name: plugin.file for name, plugin in plugins.found(kind).items() if not plugin.fault} | _bundled(kind)


def _check_plugin(kind: Kind, name: str) -> None:
    """BenchError for the name of a plug-in that cannot be used, as far as that is known without importing it."""
    plugin, ours = plugins.found(kind).get(name), _bundled(kind).get(name)
    if plugin is not None and ours is not None:
        raise plugin.refused(f"has the name of a bundled {kind[:-1]} ({ours}), so that tables could not tell them apart")
    if plugin is not None and plugin.fault:
        raise plugin.refused(plugin.fault)


def _bundled(kind: Kind) -> dict[str, Path]:
    folders = [Path(root) / kind for root in bench.__path__]
    return {p.stem: p for folder in folders if folder.is_dir() for p in folder.glob("*.py") if not p.stem.startswith("_")}


def _spec(kind: Kind, spec: Spec | str) -> Spec:
    return spec if isinstance(spec, Spec) else parse(kind, spec)[0]


def _settings(kind: Kind, spec: Spec | str) -> dict[str, Any]:
    return dict(_spec(kind, spec).settings)


def _factory(spec: Spec) -> Callable[..., Any]:
    attribute = "METHOD" if spec.kind == "methods" else "load"
    found: Any = getattr(loaded(spec), attribute, None)
    why = "" if callable(found) else f"must define `{attribute}`, a class or a function, but does not"
    if spec.kind == "methods" and isinstance(found, type) and not hasattr(found, "fit"):
        why = f"must have fit(train, valid, run) in its class {found.__name__}, but has none"
    if why:
        plugin = None if spec.path or spec.id in _bundled(spec.kind) else plugins.found(spec.kind)[spec.id]
        raise plugin.refused(why) if plugin is not None else BenchError(f"{file(spec)} {why}")
    resolved = getattr(found, "resolved", None)  # of an adapter: one of its settings says which others there are
    return found if resolved is None else resolved(spec.settings)


def _parameters(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(factory).parameters)


def _parse_one(kind: Kind, text: str) -> Spec:
    name, *pairs = text.split(":")
    if name.endswith(".py") or (kind == "datasets" and name.lower().endswith(".toml")):
        spec = _from_path(kind, Path(name).expanduser().resolve())
    else:
        module(kind, name)
        spec = Spec(kind, name, {})
    return given(spec, _read(spec.id, pairs))


def _from_path(kind: Kind, path: Path) -> Spec:
    if not path.is_file():
        raise BenchError(f"no such file: {path}")
    own = path.suffix.lower() == ".toml"
    name = _cohorts().plug_in(path).name if own else path.stem
    taken = _files(kind).get(name)
    if taken is not None and taken.resolve() != path:
        whose = f"bundled {kind[:-1]}" if name in _bundled(kind) else plugins.found(kind)[name].who
        way = f'Give it another: name = "my_{name}" as its first line.' if own else f"Rename it, say my_{path.name}."
        raise BenchError(f"{path} has the name of a {whose}, so that tables could not tell them apart. {way}")
    return Spec(kind, name, {}, str(path), _hash(path))


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror or error}") from None


def _read(owner: str, pairs: Iterable[str]) -> dict[str, str]:
    """field=value texts by field."""
    texts: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise BenchError(f"a setting of '{owner}' reads field=value, but got '{pair}'")
        if name in texts:
            raise BenchError(f"setting '{name}' of '{owner}' may be given once, but is given again: '{pair}'")
        texts[name] = text
    return texts


def _coerce(owner: str, name: str, value: Any, hint: Any) -> Any:
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(hint)
    if str(value).lower() == "none":
        with suppress(ValidationError):
            return adapter.validate_python(None)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise BenchError(f"setting '{name}' of '{owner}': {error.errors()[0]['msg'].lower()}, but got '{value}'") from None


def _as_text(value: JSON) -> str:
    if isinstance(value, list | tuple):
        return "+".join(map(_as_text, value))
    return str(value).lower() if isinstance(value, bool) else f"{value}"
