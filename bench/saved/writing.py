"""A fitted model as JSON, arrays and the libraries' own files. Anything it cannot say this way is refused, with its place.

A plain value of JSON stands for itself. All else is an object of one key, the tag, which says what it is. What is met twice is written
once: `objects` has everything with an identity, in an order in which each names only those before it.
"""

import functools
import math
from collections.abc import Callable, Mapping, Set
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core import JSON
from bench.prep.text import Encoder
from bench.saved import libraries
from bench.saved.names import EXTENSIONS, Names, Refused, state

NUMBERS = frozenset(
    ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")
)
UNSEEN = ("_flat_weight_refs", "_flat_weights")  # of torch's recurrent layers: the parameters once more
DEPTH = 200


class Writer:
    """used: ids of the networks' modules that take part in a prediction. A buffer of another that the module itself calls passing (of
    training rows, say) is left out.
    """

    def __init__(self, names: Names, used: Set[int]) -> None:
        self.names, self.used = names, used
        self.objects: list[JSON] = []
        self.arrays: dict[str, NDArray[Any]] = {}
        self.weights: set[str] = set()  # of the arrays, parameters of networks
        self.files: dict[str, bytes] = {}
        self._known: dict[int, tuple[int, object]] = {}  # the object too, so that its id stays its own
        self._open: set[int] = set()

    def value(self, value: Any, at: str) -> JSON:
        """at: where it stands, for messages and for the names of arrays."""
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": str(value)}
        if at.count(".") > DEPTH:
            raise Refused(f"{at[:80]}...: parts within parts, more than {DEPTH} of them")
        plain = self._plain(value, at)
        return self._reference(value, at) if plain is NotImplemented else plain

    def _plain(self, value: Any, at: str) -> Any:
        kind = type(value)
        if kind is list:
            return [self.value(one, f"{at}.{i}") for i, one in enumerate(value)]
        if kind is tuple:
            return {"tuple": [self.value(one, f"{at}.{i}") for i, one in enumerate(value)]}
        if kind is slice:
            return {"slice": [self.value(one, at) for one in (value.start, value.stop, value.step)]}
        if kind in (set, frozenset):
            return {"set": [self.value(one, f"{at}.{i}") for i, one in enumerate(sorted(value))]}
        if isinstance(value, dict | MappingProxyType):
            return self._mapping(value, at)
        if isinstance(value, np.generic) and value.dtype.name in NUMBERS:
            return {"scalar": [value.dtype.name, self.value(value.item(), at)]}
        if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
            return {"dtype": np.dtype(value).str}
        if isinstance(value, np.random.RandomState | np.random.Generator):
            return None  # no prediction draws
        return self._of_torch(value, kind)

    def _of_torch(self, value: Any, kind: type[Any]) -> Any:
        whole = f"{kind.__module__}.{kind.__qualname__}"
        if whole == "torch.Size":
            return {"size": list(value)}
        if whole == "torch.dtype":
            return {"torch": str(value).removeprefix("torch.")}
        if whole == "torch.device":
            return {"device": True}
        if kind is functools.partial and not value.args:
            return {"partial": [self.names.function(value.func), self.value(value.keywords, "a function")]}
        return {"function": self.names.function(value)} if callable(value) and _function(value) else NotImplemented

    def _mapping(self, value: Mapping[Any, Any], at: str) -> JSON:
        if all(type(key) is str for key in value):
            return {"dict": {key: self.value(one, f"{at}.{key}") for key, one in value.items()}}
        return {"map": [[self.value(key, at), self.value(one, f"{at}.{key}")] for key, one in value.items()]}

    def _reference(self, value: Any, at: str) -> JSON:
        if id(value) not in self._known:
            if id(value) in self._open:
                raise Refused(f"{at}: it holds itself")
            self._open.add(id(value))
            try:
                entry = self._entry(value, at)
            except Refused as why:
                raise why if str(why).startswith("model") else Refused(f"{at} is {why}") from None
            self._open.discard(id(value))
            self.objects.append(entry)
            self._known[id(value)] = (len(self.objects) - 1, value)
        return {"object": self._known[id(value)][0]}

    def _entry(self, value: Any, at: str) -> JSON:
        if isinstance(value, np.ndarray):
            return self._array(value, at)
        if isinstance(value, Encoder):
            return {"encoder": [value.source, value.digest]}
        found = libraries.booster(value)
        if found is not None:
            name = f"booster-{len(self.files)}{found[0]}"
            self.files[name] = found[1]
            return {"booster": name}
        if type(value).__module__.startswith("transformers.") and hasattr(value, "to_dict"):
            told = {"values": self.value(value.to_dict(), at), "attention": str(value._attn_implementation)}
            return {"config": self.names.of(type(value)), **told}
        if _is(value, "torch", "Tensor"):
            return self._tensor(value, at)
        name = self.names.of(type(value))
        if _is(value, "torch.nn.modules.module", "Module"):
            return self._module(value, name, at)
        if name.startswith(EXTENSIONS):
            args, held = libraries.compiled(value)
            return {"compiled": name, "args": [self.value(one, at) for one in args], "state": self.value(held, at)}
        return {"class": name, "state": {key: self.value(one, f"{at}.{key}") for key, one in state(value).items()}}

    def _array(self, value: NDArray[Any], at: str) -> JSON:
        if value.dtype.names is not None:
            layout: Any = value.dtype.fields
            fields = [[name, layout[name][0].str, int(layout[name][1])] for name in value.dtype.names]
            kept = [self.value(np.ascontiguousarray(column), f"{at}.{name}") for name, column in _columns(value)]
            return {"struct": fields, "size": value.dtype.itemsize, "arrays": kept}
        if value.dtype.kind == "U":
            return {"words": value.ravel().tolist(), "shape": list(value.shape), "dtype": value.dtype.str}
        if value.dtype.kind == "O":
            items = [self.value(one, f"{at}.{i}") for i, one in enumerate(value.ravel().tolist())]
            return {"items": items, "shape": list(value.shape)}
        if value.dtype.name not in NUMBERS:
            raise Refused(f"an array of {value.dtype}")
        return {"array": self._named(np.ascontiguousarray(value).reshape(value.shape), at)}

    def _tensor(self, value: Any, at: str) -> JSON:
        array = value.detach().cpu()
        if str(array.dtype) == "torch.bfloat16" or array.is_sparse or array.is_quantized:
            raise Refused(f"a tensor of {array.dtype}")
        name = self._named(np.ascontiguousarray(array.numpy()).reshape(tuple(array.shape)), at)
        self.weights |= {name} if _is(value, "torch.nn.parameter", "Parameter") else set()
        return {"tensor": name}

    def _named(self, array: NDArray[Any], at: str) -> str:
        name = at.removeprefix("model.")
        name = name if name not in self.arrays else f"{name}#{len(self.arrays)}"
        self.arrays[name] = array.astype(array.dtype.newbyteorder("="))
        return name

    def _module(self, value: Any, name: str, at: str) -> JSON:
        own = value.__dict__
        known = set(_bare())
        hooks = [key for key in known if key.endswith("hooks") and own.get(key)]
        if hooks:
            raise Refused(f"a {type(value).__name__} with a function of its own hung into it ({hooks[0]})")
        passing = own["_non_persistent_buffers_set"] if id(value) not in self.used else set()
        part = self._parts(at)
        return {
            "module": name,
            "state": {key: self.value(one, f"{at}.{key}") for key, one in own.items() if key not in known and key not in UNSEEN},
            "parameters": part(own["_parameters"]),
            "buffers": part({key: None if key in passing else one for key, one in own["_buffers"].items()}),
            "passing": sorted(own["_non_persistent_buffers_set"]),
            "modules": part(own["_modules"]),
        }

    def _parts(self, at: str) -> Callable[[Mapping[str, Any]], dict[str, JSON]]:
        return lambda parts: {key: self.value(one, f"{at}.{key}") for key, one in parts.items()}


def _columns(rows: Any) -> list[tuple[str, Any]]:
    return [(name, rows[name]) for name in rows.dtype.names]


def _bare() -> Mapping[str, Any]:
    """What every module has."""
    from torch import nn

    return nn.Module().__dict__


def _is(value: Any, module: str, name: str) -> bool:
    """Without importing torch where nothing of it is held."""
    return any((base.__module__, base.__name__) == (module, name) for base in type(value).__mro__)


def _function(value: Any) -> bool:
    return type(value).__name__ in ("function", "builtin_function_or_method", "method", "partial", "_lru_cache_wrapper")
