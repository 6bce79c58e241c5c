"""Any torch module as a method, trained by the one training loop with its masks, early stopping and settings.

    METHOD = torch_method(Net, width=64)

`Net(inputs, outputs, **settings)` maps (B, inputs) to logits (B, outputs), or as a sharing block to (B, outputs, width), whose
heads are added. What it is given: the fused patient vector of the encoders that all networks here share, so that a difference in the
table is one of Net; or, with inputs=columns, all columns side by side, for a module that encodes for itself.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_type_hints

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import prep
from bench.core import JSON, BenchError
from bench.nets.encoders import Batch
from bench.nets.heads import Heads, log_odds
from bench.nets.network import Network
from bench.registry import unknown
from bench.train import NeuralMethod
from bench.wrap.origin import origin

PREFIX = "net_"  # of a setting of the module that every network has too


class Columns(nn.Module):
    """All modalities of a batch side by side -> (B, `width`), nothing in it to be learned.

    Numbers and the statistics of series as normal scores, codes one-hot, flags of what is missing, text vectors. What is missing is 0.
    """

    def __init__(self, shapes: Mapping[str, prep.Shape]) -> None:
        super().__init__()
        self.shapes = dict(shapes)
        self.width = sum(_columns(shape) for shape in shapes.values())

    def forward(self, batch: Batch) -> Tensor:
        parts = list[Tensor]()
        for key, shape in self.shapes.items():
            x = batch[key]
            present = x["present"][:, None].float()
            parts.append(present)
            if isinstance(shape, prep.TableShape):
                codes = zip(x["codes"].unbind(1), shape.cards, strict=True)
                parts += [x["numeric"], x["missing"], *(functional.one_hot(c, k).float() for c, k in codes)]
            else:
                parts.append(x["summary" if isinstance(shape, prep.SeriesShape) else "vector"])
        return torch.cat(parts, 1)


def _columns(shape: prep.Shape) -> int:
    if isinstance(shape, prep.TableShape):
        return 1 + 2 * shape.numeric + sum(shape.cards)
    return 1 + (shape.summary if isinstance(shape, prep.SeriesShape) else shape.width)


class Logits(nn.Module):
    """A module's logits as task vectors of width 1: (B, d) -> (B, T, 1)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.width = net, 1

    def forward(self, h: Tensor) -> Tensor:
        return self.net(h)[..., None]


class Bias(nn.Module):
    """(B, T, 1) -> (B, T), a number an outcome added: at the start the log-odds of the prevalence."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.bias = nn.Parameter(start.clone())

    def forward(self, z: Tensor) -> Tensor:
        return z[..., 0] + self.bias


@dataclass(frozen=True, kw_only=True)
class TorchMethod(NeuralMethod):
    """inputs: what the module is given, the fused patient vector or all columns side by side."""

    family: ClassVar[str] = "modules"
    makes: ClassVar[Callable[..., nn.Module]]
    packages: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[tuple[Path, ...]] = ()
    passed: ClassVar[Mapping[str, str]] = {}  # parameter of the module -> setting

    inputs: Literal["fused", "columns"] = "fused"

    @property
    def alone(self) -> str:
        return "its module is not of this suite, and may hold what cannot be stacked"

    def idle(self, cohort: Any) -> tuple[str, ...]:
        encoders = ("fused", "hidden", "dropout") if self.inputs == "columns" else ()
        return (*super().idle(cohort), *encoders)

    def check(self, tasks: Sequence[str]) -> None:
        super().check(tasks)
        if self.inputs == "fused":  # of columns only the data say how many there are
            self.sharing(self.fused, len(tasks))

    def encode(self, shapes: Mapping[str, prep.Shape]) -> nn.Module:
        return super().encode(shapes) if self.inputs == "fused" else Columns(shapes)

    def sharing(self, d: int, tasks: int) -> nn.Module:
        """The module. BenchError where it does not map (B, d) to (B, T) or (B, T, width)."""
        net = type(self).makes(d, tasks, **{name: getattr(self, setting) for name, setting in self.passed.items()})
        name = type(net).__name__
        if self.average and any(hasattr(m, "track_running_stats") for m in net.modules()):
            raise BenchError(
                f"{name} keeps running statistics of its batches, which the running average of weights does not follow. "
                "Set average=0, or use LayerNorm."
            )
        net.eval()
        with torch.no_grad():
            made: Any = net(torch.zeros(2, d))
        net.train()
        shape = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
        if shape == (2, tasks):
            return Logits(net)
        if not isinstance(made, Tensor) or made.dim() != 3 or shape[:2] != (2, tasks):
            rule = f"(rows, {d}) to (rows, {tasks}), a logit an outcome, or to (rows, {tasks}, width)"
            raise BenchError(f"{name} must map {rule}, but makes {shape} of (2, {d})")
        net.width = made.shape[2]  # pyright: ignore[reportArgumentType]
        return net

    def build(self, shapes: Mapping[str, prep.Shape], y: Tensor, w: Tensor) -> Network:
        encoder: Any = self.encode(shapes)
        sharing: Any = self.sharing(encoder.width, y.shape[1])
        start = log_odds(y, w)
        return Network(encoder, sharing, Bias(start) if isinstance(sharing, Logits) else Heads(sharing.width, start))


def torch_method(net: Callable[..., nn.Module], /, **defaults: Any) -> type[TorchMethod]:
    """A method class whose settings are those of every network and the parameters of `net` after its first two.

    defaults: of these settings, in the place of their own; a parameter of `net` without a default must be among them. A parameter that
    is called as a setting of every network, `dropout`, becomes the setting `net_dropout`: the other one is the encoders'. Types come from
    the annotations, else from the defaults. BenchError for a name that is none of these.
    """
    name = getattr(net, "__name__", type(net).__name__)
    if not callable(net) or isinstance(net, nn.Module):
        raise BenchError(
            f"torch_method takes a class, as in torch_method(Net), but got the module {name}: each fold makes one of its own"
        )
    found = list(inspect.signature(net).parameters.values())
    if len(found) < 2 or found[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise BenchError(f"{name} must take the number of inputs and of outputs first, as in {name}(inputs, outputs, width=64)")
    common = {f.name: f for f in fields(TorchMethod)}
    own = {
        (PREFIX if p.name in {*common, *dir(TorchMethod)} else "") + p.name: p
        for p in found[2:]
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    for given in defaults:
        if given not in {**own, **common}:
            raise BenchError(unknown(f"setting of {name}", given, [*own, *common]))
    hints = get_type_hints(net.__init__ if inspect.isclass(net) else net, include_extras=True)
    listed = [(setting, *_typed(name, setting, p, hints, defaults)) for setting, p in own.items()]
    kinds = get_type_hints(TorchMethod, include_extras=True)
    listed += [(given, kinds[given], field(default=defaults[given])) for given in defaults if given not in own]
    space = {
        "makes": staticmethod(net),
        **origin(net),
        "passed": {p.name: setting for setting, p in own.items()},
        "__doc__": inspect.getdoc(net) or "",
        "__module__": __name__,
    }
    return make_dataclass(name, listed, bases=(TorchMethod,), namespace=space, frozen=True, kw_only=True)


def _typed(
    net: str, setting: str, parameter: inspect.Parameter, hints: Mapping[str, Any], defaults: Mapping[str, JSON]
) -> tuple[Any, Any]:
    """Type and default of a setting."""
    default = defaults.get(setting, parameter.default)
    if default is parameter.empty:
        raise BenchError(f"'{parameter.name}' of {net} has no default. Give it one: torch_method({net}, {setting}=...)")
    return hints.get(parameter.name, Any if default is None else type(default)), field(default=default)
