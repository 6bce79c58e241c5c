"""Several trainings of one method as one: networks of the same shape side by side, their parameters with a leading axis.

Each learns what it would learn alone: its own rows in its own order, its own dropout masks, a gradient clipped by its own length, its
own state of the optimizer and its own running average. What is shared is the work of a step, which for small networks on a GPU costs as
much for twenty as for one.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.utils.rnn import pad_sequence

from bench.nets import batches, dropout
from bench.nets.chance import Dice
from bench.nets.encoders import Batch

Places = list[Tensor]  # of rows, one tensor a network


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One training: the untrained network, all its rows, y and w (n, T), `rows` that teach, and where its random numbers stand."""

    network: nn.Module
    data: Batch
    y: Tensor
    w: Tensor
    rows: Tensor
    held_out: Batch
    dice: Dice


@dataclass(frozen=True, slots=True)
class Steps:
    """How all take their steps. average: decay of the running average, 0 = none. exact: whether rows are strangers to each other, so
    that a batch may be filled up with rows of weight 0."""

    batch: int
    lr: float
    weight_decay: float
    average: float
    exact: bool


def alike(a: Member, b: Member, batch: int) -> bool:
    """Whether two can go in step: the same modules, shapes of parameters and inputs, buffers, and number of batches an epoch."""

    def shapes(member: Member) -> list[tuple[Any, ...]]:
        arrays = [(key, name, *x.shape[1:], x.dtype) for key, part in member.data.items() for name, x in part.items()]
        return [*arrays, *((n, *p.shape, p.requires_grad) for n, p in member.network.named_parameters()), (member.y.shape[1],)]

    first, second = (dict(member.network.named_buffers()) for member in (a, b))
    return (
        steps_of(a, batch) == steps_of(b, batch)
        and shapes(a) == shapes(b)
        and first.keys() == second.keys()
        and all(x.shape == second[name].shape and bool((x == second[name]).all()) for name, x in first.items())
    )


def stackable(network: nn.Module) -> bool:
    """Whether a network can stand in a stack: no part says otherwise (`grouped = False`), is shared by two modules or keeps a state."""
    modules = list(network.modules())
    parameters = [id(p) for module in modules for p in module.parameters(recurse=False)]
    stateful = any(hasattr(module, "track_running_stats") for module in modules)
    return not stateful and len(set(parameters)) == len(parameters) and all(getattr(m, "grouped", True) for m in modules)


def steps_of(member: Member, batch: int) -> int:
    """Batches an epoch."""
    return -(-len(member.rows) // batch)


class Stack:
    """K members, all `alike`, in step with each other.

    objective: (network, batch, y, w, rows) -> what one network's step descends on. predict: (network, batch) -> logits.
    """

    def __init__(
        self,
        members: Sequence[Member],
        how: Steps,
        objective: Callable[[Any, Batch, Tensor, Tensor, Tensor], Tensor],
        predict: Callable[[Any, Batch], Tensor],
    ) -> None:
        self.networks, self.rows, self.how, self.steps = [m.network for m in members], [m.rows for m in members], how, 0
        self.mould = copy.deepcopy(members[0].network)
        self.called: dict[str, nn.Module] = {"train": _Called(self.mould, objective), "eval": _Called(self.mould, predict)}
        self.generators = [member.dice.generators(member.y.device) for member in members]
        trained = {name: p.shape for name, p in self.mould.named_parameters() if p.requires_grad}
        self.shapes = [{name: shape for name, shape in trained.items() if (len(shape) > 1) == wide} for wide in (True, False)]
        self.flat = [self._flat(list(shapes)) for shapes in self.shapes]  # (K, P) of matrices, of vectors
        self.fixed = {n: self._stacked(n) for n, p in self.mould.named_parameters() if not p.requires_grad}
        groups = [{"params": [flat], "weight_decay": d} for flat, d in zip(self.flat, (how.weight_decay, 0.0), strict=True)]
        self.optimizer = torch.optim.AdamW(groups, lr=how.lr, fused=True)
        self.averages = [flat.detach().clone() for flat in self.flat] if how.average else self.flat
        self.learned = _Pool([member.data for member in members])
        self.known = _Pool([{"labels": {"y": m.y, "w": m.w}} for m in members])
        self.held_out = _Pool([member.held_out for member in members])
        self.known.batch["labels"]["w"][-1] = 0  # filling teaches nothing

    def epoch(self) -> None:
        """One pass of each over its rows, in an order of its own, in batches of nearly equal size."""
        self.mould.train()
        pieces: list[Sequence[Tensor]] = []
        for rows, (generator, _) in zip(self.rows, self.generators, strict=True):
            order = rows[torch.randperm(len(rows), generator=generator, device="cpu").to(rows.device)]
            pieces.append(torch.tensor_split(order, -(-len(rows) // self.how.batch)))
        for places in zip(*pieces, strict=True):
            self._step(list(places))

    @torch.no_grad()
    def logits(self, most: int) -> list[Tensor]:
        """Each network's (n, T) of the rows held out, under its running average. most: rows of all networks together at once."""
        self.mould.eval()
        device = self.flat[0].device
        sizes = [self.held_out.sizes[k] for k in self.held_out.who]
        places = [torch.arange(size, device=device) for size in sizes]
        index, parameters = self.held_out.places(places), self._parameters(self.averages)
        chunks = index.split(max(most // len(sizes), 1), dim=1)
        each = [self._run("eval", parameters, (batches.several(self.held_out.batch, part),)) for part in chunks]
        found = torch.cat(each, dim=1)
        return [z[:size] for z, size in zip(found, sizes, strict=True)]

    def network(self, k: int) -> Any:
        """Network k under its running average, as one of its own."""
        made = copy.deepcopy(self.networks[k]).requires_grad_(not self.how.average)
        with torch.no_grad():
            for name, value in self._parameters(self.averages).items():
                made.get_parameter(name.removeprefix("network.")).copy_(value[k])
        return made

    def keep(self, who: Sequence[int]) -> None:
        """Go on with these alone; those that stopped cost nothing from now on."""
        index = torch.tensor(who, device=self.flat[0].device)
        averages = [average[index] for average in self.averages] if self.how.average else self.flat
        for flat in self.flat:
            flat.grad = None
            flat.data = flat.data[index]
            state = self.optimizer.state[flat]
            state |= {name: moment[index] for name, moment in state.items() if name.startswith("exp_avg")}
        self.averages = averages
        self.fixed = {name: value[index] for name, value in self.fixed.items()}
        self.networks, self.rows = [self.networks[k] for k in who], [self.rows[k] for k in who]
        self.generators = [self.generators[k] for k in who]
        for pool in (self.learned, self.known, self.held_out):
            pool.keep(who)

    def _step(self, places: Places) -> None:
        self.optimizer.zero_grad()
        parameters, total = self._parameters(self.flat), torch.zeros((), device=places[0].device)
        for who in self._together([len(p) for p in places]):
            own = parameters if len(who) == len(places) else {name: value[who] for name, value in parameters.items()}
            total = total + self._loss(who, own, [places[k] for k in who])
        total.backward()
        self._clip()
        self.optimizer.step()
        self.steps += 1
        if self.how.average:
            decay = min(self.how.average, self.steps / (self.steps + 10))  # as of a network alone
            for average, flat in zip(self.averages, self.flat, strict=True):
                average.lerp_(flat.detach(), 1 - decay)

    def _together(self, sizes: list[int]) -> list[list[int]]:
        """Which networks are computed at once: all, their batches filled up; or only those whose batches are of one size."""
        if self.how.exact:
            return [list(range(len(sizes)))]
        return [[k for k, size in enumerate(sizes) if size == one] for one in sorted(set(sizes))]

    def _loss(self, who: list[int], parameters: dict[str, Tensor], places: Places) -> Tensor:
        """The sum of the networks' objectives: each parameter is of one of them alone, and so is its gradient."""
        index, known = self.learned.places(places, who), self.known.places(places, who)
        labels = batches.several(self.known.batch, known)["labels"]
        with dropout.apart([self.generators[k][1] for k in who], [len(p) for p in places]):
            own = pad_sequence(places, batch_first=True)
            arguments = (batches.several(self.learned.batch, index), labels["y"], labels["w"], own)
            return self._run("train", parameters, arguments).sum()

    def _run(self, what: str, parameters: dict[str, Tensor], arguments: tuple[Any, ...]) -> Tensor:
        """All networks at once. tie_weights: a module that stands at two places would be put back wrongly; none shares a parameter."""
        return vmap(partial(functional_call, self.called[what], tie_weights=False))(parameters, arguments)

    def _clip(self) -> None:
        """Each network's gradient to a length of 1 at most."""
        gradients = [flat.grad for flat in self.flat if flat.grad is not None]  # None: there is none of them
        length = torch.stack([gradient.norm(dim=1) for gradient in gradients]).norm(dim=0)
        for gradient in gradients:
            gradient *= (1 / (length + 1e-6)).clamp(max=1)[:, None]

    def _parameters(self, flat: Sequence[Tensor]) -> dict[str, Tensor]:
        """Name -> (K, ...), views of the flat ones."""
        found = dict(self.fixed)
        for shapes, values in zip(self.shapes, flat, strict=True):
            parts = values.split([shape.numel() for shape in shapes.values()], dim=1)
            found |= {name: part.view(len(part), *shapes[name]) for name, part in zip(shapes, parts, strict=True)}
        return {f"network.{name}": value for name, value in found.items()}

    def _stacked(self, name: str) -> Tensor:
        return torch.stack([network.get_parameter(name).detach() for network in self.networks])

    def _flat(self, names: Sequence[str]) -> Tensor:
        count, like = len(self.networks), next(self.mould.parameters())
        parts = [
            like.new_zeros(count, 0),
            *(self._stacked(name).view(count, -1) for name in names),
        ]  # a network may have no vector
        return torch.cat(parts, dim=1).requires_grad_()


class _Called(nn.Module):
    """What is asked of a network, as a module's forward, so that parameters can be put in its place."""

    def __init__(self, network: nn.Module, what: Callable[..., Tensor]) -> None:
        super().__init__()
        self.network, self.what = network, what

    def forward(self, *arguments: Any) -> Tensor:
        return self.what(self.network, *arguments)


class _Pool:
    """The rows of all networks end to end, and one to fill up with, last; `who` of them take part."""

    def __init__(self, parts: Sequence[Batch]) -> None:
        self.batch = batches.joined(parts)
        self.sizes = [batches.length(part) for part in parts]
        self.starts = [sum(self.sizes[:k]) for k in range(len(parts))]
        self.who = list(range(len(parts)))

    def keep(self, who: Sequence[int]) -> None:
        self.who = [self.who[k] for k in who]

    def places(self, places: Places, who: Sequence[int] | None = None) -> Tensor:
        """(K, B) places in `batch` of these rows of each network; shorter ones are filled up."""
        starts = [self.starts[self.who[k]] for k in (range(len(places)) if who is None else who)]
        moved = [rows + start for rows, start in zip(places, starts, strict=True)]
        return pad_sequence(moved, batch_first=True, padding_value=sum(self.sizes))
