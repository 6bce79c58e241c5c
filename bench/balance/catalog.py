"""Every balance by name: TorchJD's scalarizers and aggregators, brought to one scale, and ours."""

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torchjd.aggregation as tja
import torchjd.scalarization as tjs
from torch import Tensor

from bench.balance.steps import Aggregated, Balance, Equal, GradNorm, Look, Tensors, nash, plus
from bench.core import BenchError
from bench.registry import unknown

LEAST = 1e-8  # a loss of exactly 0, which `loss=asymmetric` can have, would make logarithms and ratios NaN


def _like(made: tjs.Scalarizer, losses: Tensor) -> tjs.Scalarizer:
    """With its fixed weights, which are no buffer, where the losses are."""
    weights = getattr(made, "weights", None)
    if isinstance(weights, Tensor):
        made.weights = weights.to(losses)
    return made


class Scalarized(Balance):
    """A TorchJD scalarizer of the losses; heads are weighted like the rest.

    One that keeps something per task sees an absent task's last loss, as a constant: no gradient reaches the network from it.
    The others see the tasks that take part.
    """

    def __init__(self, make: Callable[[int], tjs.Scalarizer], scale: Callable[[int], float], tasks: int, keeps: bool) -> None:
        super().__init__()
        self.make, self.scale, self.keeps = make, scale, keeps
        self.whole = make(tasks)
        self.lr = getattr(self.whole, "lr", self.lr)
        self.needs_second_look = isinstance(self.whole, tjs.FAMO)
        self.whole.requires_grad_(not self.needs_second_look)  # FAMO steps its weights itself
        self.last = torch.full((tasks,), math.log(2))

    def backward(
        self, losses: Tensor, active: Tensor, penalty: Tensor | None, shared: Tensors, heads: Tensors, at: Tensors | None = None
    ) -> None:
        count = int(active.sum())
        losses = losses.clamp(min=LEAST)
        if self.keeps:
            value = self.scale(len(losses)) * self.whole(self._filled(losses, active))
        else:
            value = self.scale(count) * _like(self.make(count), losses)(losses[active]) if count else losses.sum()
        plus(value, penalty).backward()

    def updated(self, losses: Tensor, active: Tensor) -> None:
        if isinstance(self.whole, tjs.FAMO):
            self.whole.requires_grad_(True)
            self.whole.update(self._filled(losses, active))
            self.whole.requires_grad_(False)

    def epoch_ended(self) -> None:
        if isinstance(self.whole, tjs.DWA):
            self.whole.step()

    def _filled(self, losses: Tensor, active: Tensor) -> Tensor:
        values = torch.where(active, losses, self.last.to(losses))
        self.last = values.detach()
        return values


@dataclass(frozen=True)
class _Entry:
    """make(tasks, option ...) -> what TorchJD calls a scalarizer or an aggregator. scale(tasks): brings it to the convention.

    keeps: a scalarizer with a state per task.
    """

    make: Callable[..., Any]
    scale: Callable[[int], float] = lambda tasks: 1.0
    keeps: bool = False

    @property
    def options(self) -> dict[str, float]:
        return {name: p.default for name, p in inspect.signature(self.make).parameters.items() if name != "n"}


def _mean(tasks: int) -> float:
    return 1 / tasks


def _at(lr: float, scalarizer: Any) -> Any:
    """The scalarizer, its parameters learned at this rate."""
    if not lr > 0:
        raise ValueError(f"lr must be above 0, but is {lr:g}")
    scalarizer.lr = lr
    return scalarizer


def _looking(features: float, aggregator: Any) -> Any:
    """The aggregator, if `features` can be read: whether it looks at the gradients on the encoder's vectors, not on its parameters."""
    _flag("features", features)
    return aggregator


def _flag(name: str, value: float) -> bool:
    if value not in (0, 1):
        raise ValueError(f"{name} must be 0 or 1, but is {value:g}")
    return bool(value)


SCALARIZERS = {
    "cosmos": _Entry(lambda n, cosine=0.1: tjs.COSMOS(cosine, torch.full((n,), 1 / n))),
    "dwa": _Entry(lambda n, temperature=2.0: tjs.DWA(temperature), _mean, keeps=True),
    "famo": _Entry(lambda n, lr=0.025, decay=1e-3: tjs.FAMO(n, None, lr, decay), keeps=True),
    "geometric_mean": _Entry(lambda n: tjs.GeometricMean()),
    "imtl_l": _Entry(lambda n, lr=0.025: _at(lr, tjs.IMTLL(n)), _mean, keeps=True),
    "pbi": _Entry(lambda n, theta=0.1: tjs.PBI(theta, torch.full((n,), 1 / n)), lambda n: n**-0.5),
    "random": _Entry(lambda n: tjs.Random()),
    "stch": _Entry(lambda n, mu=0.1: tjs.STCH(mu), float),
    "uncertainty": _Entry(lambda n, lr=0.025: _at(lr, tjs.UW(n)), lambda n: 2 / n, keeps=True),
}
AGGREGATORS = {
    "aligned_mtl": _Entry(lambda n, features=0.0: _looking(features, tja.AlignedMTL())),
    "cagrad": _Entry(lambda n, c=0.4: tja.CAGrad(c)),
    "config": _Entry(lambda n: tja.ConFIG(), _mean),
    "dualproj": _Entry(lambda n: tja.DualProj()),
    "excess_mtl": _Entry(lambda n, step=1.0: tja.ExcessMTL(step)),
    "fairgrad": _Entry(lambda n, alpha=1.0: tja.FairGrad(alpha), _mean),
    "graddrop": _Entry(lambda n: tja.GradDrop(), _mean),
    "gradvac": _Entry(lambda n, beta=0.5: tja.GradVac(beta), _mean),
    "imtl_g": _Entry(lambda n, features=1.0: _looking(features, tja.IMTLG())),
    "mgda": _Entry(lambda n, features=1.0: _looking(features, tja.MGDA())),
    "nash_mtl": _Entry(lambda n: nash, _mean),
    "pcgrad": _Entry(lambda n: tja.PCGrad(), _mean),
    "random_gradient": _Entry(lambda n: tja.Random()),
    "upgrad": _Entry(lambda n: tja.UPGrad()),
}
WEIGHING = (tja.WeightedAggregator, tja.ConFIG)  # others find a direction that no weights give, or compute both at once
OWN = {"gradnorm": _Entry(lambda n, alpha=1.5, lr=0.025, last=1.0: GradNorm(n, alpha, lr, _flag("last", last)))}
ENTRIES = SCALARIZERS | AGGREGATORS | OWN
NAMES = ("equal", "fixed", *sorted(ENTRIES))


def make(text: str, tasks: int) -> Balance:
    """`equal`, `fixed+1+2+1` (a weight a task) or a name with options, `cagrad+c=0.5`. BenchError in words for anything else."""
    name, options = _parsed(text)
    if name == "fixed":
        weights = [float(part) for part in options]
        if len(weights) != tasks:
            raise BenchError(f"balance=fixed needs a weight for each of the {tasks} outcomes, but got {len(weights)}: '{text}'")
        return Equal(torch.tensor(weights) if tasks > 1 else None)
    if name == "equal" or tasks == 1:
        return Equal()
    entry = ENTRIES[name]
    numbers = _numbers(name, options)
    build = functools.partial(entry.make, **numbers)
    if name in OWN:
        return build(tasks)
    if name in SCALARIZERS:
        return Scalarized(build, entry.scale, tasks, entry.keeps)
    look: Look = "nothing" if name == "random_gradient" else "features" if (entry.options | numbers).get("features") else "shared"
    return Aggregated(lambda n: _scaled(build(n), entry.scale(n)), isinstance(build(tasks), WEIGHING), look)


def check(text: str) -> None:
    """BenchError unless `text` can be made: known, with known options in range, its solver installed."""
    name, options = _parsed(text)
    if name == "fixed":
        if len(options) < 1 or not all(_positive(part) for part in options):
            raise BenchError(f"balance=fixed reads fixed+1+2+0.5, a weight above 0 for each outcome, but got '{text}'")
        return
    if name == "equal" and not options:
        return
    try:
        made = ENTRIES[name].make(2, **_numbers(name, options)) if name in ENTRIES else None
    except ImportError as error:
        raise BenchError(f"balance={name}: {error}") from None
    except ValueError as error:
        raise BenchError(f"balance={text}: {error}") from None
    if made is None:
        raise BenchError(f"balance=equal has no option, but got '{text}'")


def direction(text: str, gradients: Tensor) -> Tensor:
    """What an aggregator makes of gradients (T, P): (P,). A stateful one as at its first step."""
    name, options = _parsed(text)
    entry, tasks = AGGREGATORS[name], len(gradients)
    aggregator = entry.make(tasks, **_numbers(name, options))
    found = _scaled(aggregator, entry.scale(tasks))(gradients)
    return found @ gradients if isinstance(aggregator, WEIGHING) else found


def _scaled(aggregator: Any, scale: float) -> Callable[[Tensor], Tensor]:
    """Gradients (T, P) -> weights (T,) if it weighs, else a direction (P,).

    Where the gradients' products are all that is needed, they are summed in double precision.
    """
    if isinstance(aggregator, tja.GramianWeightedAggregator):

        def weights(gradients: Tensor) -> Tensor:
            double = gradients.double()
            return scale * aggregator.gramian_weighting(double @ double.T).to(gradients)  # pyright: ignore[reportArgumentType]

        return weights
    if isinstance(aggregator, tja.WeightedAggregator):
        return lambda gradients: scale * aggregator.weighting(gradients)  # pyright: ignore[reportArgumentType]
    return lambda gradients: (
        scale * (_within(aggregator, gradients) if isinstance(aggregator, tja.ConFIG) else aggregator(gradients))
    )


def _within(aggregator: Callable[[Tensor], Tensor], gradients: Tensor) -> Tensor:
    """Weights (T,) of the direction that it finds in the T dimensions that the gradients span, if it does not heed how space is turned.

    Gradients of unit length are V s U', V and s from their products: U' turns them into V s. A pseudo-inverse of P columns is spared.
    """
    double = gradients.double()
    length = double.norm(dim=1, keepdim=True).clamp(min=1e-30)
    squares, vectors = torch.linalg.eigh((double / length) @ (double / length).T)
    spread = squares.clamp(min=0).sqrt()
    inverse = torch.where(spread > 1e-7 * spread.max(), 1 / spread.clamp(min=1e-30), 0.0)
    return (vectors @ (inverse * aggregator(length * vectors * spread)) / length.squeeze(1)).to(gradients)


def _parsed(text: str) -> tuple[str, list[str]]:
    name, *options = text.split("+")
    if name not in NAMES:
        raise BenchError(unknown("balance", name, list(NAMES)))
    return name, options


def _numbers(name: str, options: Sequence[str]) -> dict[str, float]:
    known = ENTRIES[name].options
    pairs = {option: option.partition("=")[::2] for option in options}
    for option, (key, value) in pairs.items():
        if key not in known or not _number(value):
            there = ", ".join(f"{k}={v:g}" for k, v in known.items()) or "none"
            raise BenchError(f"balance={name}: an option reads {name}+option=number, options: {there}; but got '{option}'")
    return {key: float(value) for key, value in pairs.values()}


def _number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _positive(text: str) -> bool:
    return _number(text) and float(text) > 0
