"""Which classes and functions a model folder may name: those that hold what was fitted, and that nothing but data is needed for.

A name is `module:Class`; `method:Class` is of the method's own file, wherever that lies now. Whatever else a folder names is refused:
no text of it ever becomes code.
"""

import dataclasses
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from bench import registry
from bench.core import BenchError
from bench.registry import Spec

OWN = "method"
PLUG_INS = "bench.methods."
# of bench: any class. Of torch and of libraries of networks: modules. Of scikit-learn: any class written in Python.
BENCH = ("bench.core.", "bench.pertask.", "bench.prep.", "bench.nets.", "bench.wrap.")
NETWORKS = ("torch.nn.", "rtdl_num_embeddings.", "tabm.", "pytorch_tabnet.", "transformers.models.", "transformers.activations.")
ACTIVATIONS = (
    "celu", "elu", "gelu", "hardswish", "leaky_relu", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus",
    "tanh",
)  # fmt: skip
FUNCTIONS = ("sklearn.utils.validation:check_array",)  # that classes of scikit-learn hold; it looks at an array and casts it
EXTENSIONS = ("sklearn.tree._tree:Tree", "sklearn._loss._loss:")  # of scikit-learn, compiled; what they hold is checked


class Refused(Exception):
    """Why a value cannot be kept, or a name cannot be followed."""


class Names:
    """Classes and functions by name, of the library and of the method `spec`."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.own: Any = registry.loaded(spec)

    def of(self, kind: type[Any]) -> str:
        """A class's name. Refused where it could not be found again by it, or is none of those allowed."""
        name = f"{OWN if self._owned(kind.__module__) else kind.__module__}:{kind.__qualname__}"
        try:
            if self.found(name) is kind:
                return name
        except Refused:
            pass
        raise Refused(f"a {kind.__module__}.{kind.__qualname__}, which is none of the kinds that can be kept")

    def found(self, name: str) -> type[Any]:
        module, _, path = name.partition(":")
        if not _allowed(module, path):
            raise Refused(f"'{name}', which is none of the kinds that a model may hold")
        place = self._module(module)
        kind: Any = place
        for part in path.split("."):
            kind = vars(kind).get(part)
        wanted = self.own.__name__ if module == OWN else module
        if not isinstance(kind, type) or (kind.__module__ != wanted and not (module == OWN and self._owned(kind.__module__))):
            raise Refused(f"'{name}', which is not there")
        if not _holds_data(module, kind):
            raise Refused(f"'{name}', which is none of the kinds that a model may hold")
        return kind

    def function(self, value: Any) -> str:
        """An activation, or a function at the top of a method's file."""
        path, module = str(getattr(value, "__qualname__", value)), str(getattr(value, "__module__", ""))
        if path in ACTIVATIONS and value in _activations(path):
            return f"torch:{path}"
        name = f"{OWN if self._owned(module) else module}:{path}"
        try:
            if self.called(name) is value:
                return name
        except Refused:
            pass
        raise Refused(f"the function {path}, which cannot be found again by its name")

    def called(self, name: str) -> Any:
        module, _, path = name.partition(":")
        if module == "torch" and path in ACTIVATIONS:
            return _activations(path)[0]
        if module != OWN and not module.startswith(PLUG_INS) and name not in FUNCTIONS:
            raise Refused(f"the function '{name}', which is none of those that a model may hold")
        place = self._module(module)
        value = vars(place).get(path)
        if not callable(value) or isinstance(value, type) or getattr(value, "__module__", "") != place.__name__:
            raise Refused(f"the function '{name}', which is not there")
        return value

    def _owned(self, module: str) -> bool:
        """Of the method's file; of an installed package that brings it, the whole package."""
        mine = self.own.__name__
        if module == mine:
            return not mine.startswith(PLUG_INS)
        return not mine.startswith("bench") and module.partition(".")[0] == mine.partition(".")[0]

    def _module(self, module: str) -> Any:
        try:
            if module == OWN:
                return self.own
            if module.startswith(PLUG_INS):
                return registry.module("methods", module.removeprefix(PLUG_INS))
            return import_module(module)
        except (ImportError, ValueError) as error:
            raise Refused(f"a part of '{module}', which cannot be imported ({error})") from None
        except BenchError as error:
            raise Refused(f"a part of a method that is not there: {error}") from None


def _allowed(module: str, path: str) -> bool:
    plain = all(part.isidentifier() for part in (*module.split("."), *path.split(".")))
    known = module == OWN or module.startswith((PLUG_INS, "sklearn.")) or _within(module, (*BENCH, *NETWORKS))
    return plain and known


def _within(module: str, roots: tuple[str, ...]) -> bool:
    return f"{module}.".startswith(roots)


def _holds_data(module: str, kind: type[Any]) -> bool:
    if _within(module, NETWORKS):
        from torch import nn

        return issubclass(kind, nn.Module) or (module.startswith("transformers.") and kind.__name__.endswith("Config"))
    if module.startswith("sklearn."):
        written = any("__dict__" in vars(one) for one in kind.__mro__)  # in Python
        return written or f"{module}:{kind.__qualname__}".startswith(EXTENSIONS)
    return not issubclass(kind, BaseException)


def _activations(name: str) -> list[Any]:
    import torch
    from torch.nn import functional

    return [getattr(place, name) for place in (functional, torch) if hasattr(place, name)]


def state(value: Any) -> Mapping[str, Any]:
    """What an object of Python's holds: its fields, or its attributes and slots."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    slots = {name for kind in type(value).__mro__ for name in _slots(kind)}
    held = {name: getattr(value, name) for name in sorted(slots - {"__weakref__", "__dict__"}) if hasattr(value, name)}
    return {**held, **getattr(value, "__dict__", {})}


def _slots(kind: type[Any]) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def fill(kind: type[Any], held: Mapping[str, Any]) -> Any:
    """An object with this state. Of a dataclass all fields must be there, and no others."""
    if dataclasses.is_dataclass(kind):
        fields = {field.name for field in dataclasses.fields(kind)}
        odd = sorted(fields ^ set(held))
        if odd:
            raise Refused(f"a {kind.__qualname__} with other parts than here ({', '.join(odd)}): it was made by other code")
    made = object.__new__(kind)
    for name, value in held.items():
        object.__setattr__(made, name, value)
    return made
