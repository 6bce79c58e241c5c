"""A fitted model made again from what `writing` wrote. Nothing of a folder is run: objects of known kinds are filled with data."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.prep.text import open_encoder
from bench.saved import libraries
from bench.saved.names import Names, Refused, fill
from bench.saved.writing import NUMBERS

ITEM = 4096  # bytes of a row of named numbers, at most


class Maker:
    """device: where tensors are put, as torch writes it."""

    def __init__(self, names: Names, arrays: Mapping[str, NDArray[Any]], files: Mapping[str, bytes], device: str) -> None:
        self.names, self.arrays, self.files, self.device = names, arrays, files, device
        self.made: list[Any] = []

    def whole(self, objects: Sequence[Any], root: Any) -> Any:
        for one in objects:
            self.made.append(self._object(one))
        return self.value(root)

    def value(self, given: Any) -> Any:
        if given is None or isinstance(given, bool | int | float | str):
            return given
        if isinstance(given, list):
            return [self.value(one) for one in given]
        ((tag, held),) = given.items()
        if tag == "object":
            if type(held) is not int or not 0 <= held < len(self.made):
                raise Refused(f"a part number {held}, which does not stand before it")
            return self.made[held]
        return self._plain(tag, held)

    def _plain(self, tag: str, held: Any) -> Any:
        if tag == "tuple":
            return tuple(self.value(one) for one in held)
        if tag == "slice":
            return slice(*(self.value(one) for one in held))
        if tag == "set":
            return {self.value(one) for one in held}
        if tag == "dict":
            return {key: self.value(one) for key, one in held.items()}
        if tag == "map":
            return {self.value(key): self.value(one) for key, one in held}
        if tag == "float":
            return {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}[held]
        if tag == "scalar":
            return _number(held[0]).type(self.value(held[1]))
        if tag == "dtype":
            return _number(np.dtype(held).name).type
        return self._of_torch(tag, held)

    def _of_torch(self, tag: str, held: Any) -> Any:
        import torch

        if tag == "size":
            return torch.Size(held)
        if tag == "torch" and isinstance(getattr(torch, held, None), torch.dtype):
            return getattr(torch, held)
        if tag == "device":
            return torch.device(self.device)
        if tag == "function":
            return self.names.called(held)
        if tag == "partial":
            return functools.partial(self.names.called(held[0]), **self.value(held[1]))
        raise Refused(f"a '{tag}', which is no kind of value")

    def _object(self, given: Mapping[str, Any]) -> Any:
        tag = next(iter(given))
        if tag == "class":
            return fill(self.names.found(given[tag]), {key: self.value(one) for key, one in given["state"].items()})
        if tag == "module":
            return self._module(given)
        if tag == "compiled":
            args = tuple(self.value(one) for one in given["args"])
            return libraries.remake(self.names.found(given[tag]), args, self.value(given["state"]))
        if tag == "booster":
            return libraries.read_booster(given[tag], self.files[given[tag]])
        if tag == "config":
            return _config(self.names.found(given[tag]), self.value(given["values"]), given["attention"])
        if tag == "encoder":
            return _encoder(*given[tag])
        return self._array(tag, given)

    def _array(self, tag: str, given: Mapping[str, Any]) -> Any:
        if tag == "array":
            return np.array(self.arrays[given[tag]])
        if tag == "words":
            return np.array(given[tag], np.dtype(given["dtype"])).reshape(given["shape"])
        if tag == "items":
            made = np.empty(len(given[tag]), object)
            made[:] = [self.value(one) for one in given[tag]]
            return made.reshape(given["shape"])
        if tag == "tensor":
            import torch

            return torch.from_numpy(np.array(self.arrays[given[tag]])).to(self.device)
        if tag == "struct":
            names, formats, offsets = zip(*given[tag], strict=True)
            plain = [_number(np.dtype(one).name).str for one in formats]
            parts = [self.value(one) for one in given["arrays"]]
            if not sum(np.dtype(one).itemsize for one in plain) <= given["size"] <= ITEM:
                raise Refused(f"rows of {given['size']} bytes")
            layout: Any = {"names": list(names), "formats": plain, "offsets": list(offsets), "itemsize": given["size"]}
            made = np.zeros(len(parts[0]), np.dtype(layout))
            for name, part in zip(names, parts, strict=True):
                made[name] = part
            return made
        raise Refused(f"a '{tag}', which is no kind of part")

    def _module(self, given: Mapping[str, Any]) -> Any:
        from torch import nn

        kind = self.names.found(given["module"])
        if not issubclass(kind, nn.Module):
            raise Refused(f"'{given['module']}' as a module, which it is not")
        made: Any = kind.__new__(kind)
        nn.Module.__init__(made)
        for name, one in given["parameters"].items():
            value = self.value(one)
            made._parameters[name] = None if value is None else nn.Parameter(value, requires_grad=False)
        made._buffers.update({name: self.value(one) for name, one in given["buffers"].items()})
        made._non_persistent_buffers_set.update(given["passing"])
        if odd := set(given["state"]) & set(nn.Module().__dict__):
            raise Refused(f"a module whose '{min(odd)}' is its own")
        made._modules.update({name: self.value(one) for name, one in given["modules"].items()})
        made.__dict__.update({name: self.value(one) for name, one in given["state"].items()})
        if isinstance(made, nn.RNNBase):
            made._init_flat_weights()  # pyright: ignore[reportPrivateUsage]
        made.training = False
        return made


def _number(name: str) -> np.dtype[Any]:
    if name not in NUMBERS:
        raise Refused(f"numbers of the kind '{name}'")
    return np.dtype(name)


def _config(kind: Any, values: Any, attention: str) -> Any:
    """Of a layer of a pretrained encoder."""
    if not hasattr(kind, "from_dict") or attention not in ("eager", "sdpa"):
        raise Refused(f"'{kind.__qualname__}' as a configuration, which it is not")
    made = kind.from_dict(values)
    made._attn_implementation = attention
    return made


def _encoder(source: str, digest: str) -> Any:
    """The pretrained encoder that notes were read with; it is no part of the folder."""
    encoder = open_encoder(source)
    if encoder.digest != digest:
        raise Refused(f"the encoder of notes '{source}', which is another one here: its digest is {encoder.digest}, not {digest}")
    return encoder
