"""The one training loop, and `NeuralMethod`, the base of every neural method."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from bench import balance, prep
from bench.core import (
    JSON,
    BenchError,
    Cohort,
    Count,
    Fold,
    NonNegative,
    Positive,
    Precision,
    Predictor,
    ProperShare,
    Run,
    Unsupported,
)
from bench.losses import LOSSES, per_task
from bench.nets.batches import take, tensors
from bench.nets.chance import Dice, apart
from bench.nets.encoders import Batch, Encoder
from bench.nets.flat import AdamW, Flat
from bench.nets.grouped import Member, Stack, Steps, alike, stackable
from bench.nets.heads import Heads, log_odds
from bench.nets.memory import keep
from bench.nets.network import CHUNK, Network, NeuralPredictor, given, logits, objective
from bench.nets.watch import Watch
from bench.search import Choice, Range, Weights

QUICK_EPOCHS = 4


@dataclass(frozen=True, kw_only=True)
class NeuralMethod(ABC):
    """Encoders, fusion, sharing, heads, and the training of it all. A method overrides `sharing`; `encode` or `losses` if it must.

    An unknown label, a row without any known label and a task that is unknown in a whole batch add nothing to loss or gradient.
    A task without both classes in training keeps its bias near the prevalence. Fewer rows than `batch` make one smaller batch.

    fused: width of the patient vector. hidden: of the encoders. layers, heads: of the Transformer over modality tokens.
    dropout: share of units left out at a step. lr, weight_decay: of AdamW. batch: rows a step.
    average: decay of the running average of weights that is validated and kept, 0 = none.
    epochs: cap. patience: epochs without a better validation score. stop: one clock for all, or best weights task by task.
    loss: cross-entropy, the asymmetric loss (Ridnik et al., ICCV 2021; `bench.losses`), or the mean of both.
    balance: how the tasks' losses make one step: equal, fixed+1+2+1 or one of 24 names with options, cagrad+c=0.5 (see bench/docs/options.md).
    dense: weight of the label-free penalty on the fused vectors of each batch (`bench.nets.spectrum.dense`), 0 = none.
    """

    family: ClassVar[str] = "sharing"
    epochwise: ClassVar[bool] = (
        True  # whether the score reported after an epoch is of all tasks, so that trials can be compared by it
    )

    fused: Annotated[Count, Choice((32, 64, 128))] = 64
    hidden: Annotated[Count, Choice((64, 128, 256))] = 128
    layers: Count = 1
    heads: Count = 4
    dropout: Annotated[ProperShare, Range(0, 0.5)] = 0.2
    lr: Annotated[Positive, Range(3e-4, 5e-3, log=True)] = 1e-3
    weight_decay: Annotated[NonNegative, Range(1e-4, 0.1, log=True)] = 1e-2
    average: ProperShare = 0.99
    batch: Count = 256
    epochs: Count = 100
    patience: Count = 10
    stop: Literal["joint", "per_task"] = "joint"
    loss: Literal["bce", "asymmetric", "both"] = "bce"
    balance: Annotated[str, Weights()] = "equal"
    dense: NonNegative = 0.0

    def __post_init__(self) -> None:
        if self.fused % self.heads:
            raise BenchError(f"fused must be a multiple of heads, but fused is {self.fused} and heads {self.heads}")
        balance.check(self.balance)

    @property
    def group(self) -> str:
        """Its heading in tables: what is compared of a sharing network with a balance of its own is the balance."""
        return "balancing" if self.family == "sharing" and self.balance != "equal" else self.family

    def idle(self, cohort: Cohort) -> tuple[str, ...]:
        """Settings that change nothing beside the others, see `bench.search.idle`."""
        return ("balance",) if len(cohort.tasks) == 1 else ()

    def check(self, tasks: Sequence[str]) -> None:
        """BenchError if a setting does not fit these outcomes. Asked before anything is trained."""
        balance.make(self.balance, len(tasks))

    def encode(self, shapes: Mapping[str, prep.Shape]) -> nn.Module:
        """A module from a prepared batch to (B, d); its `width` is d."""
        return Encoder(shapes, self.fused, self.hidden, self.layers, self.heads, self.dropout)

    @abstractmethod
    def sharing(self, d: int, tasks: int) -> nn.Module:
        """A module (B, d) -> (B, T, width) with `width`; it may expose `penalty`, read after each forward, and its `weight`."""

    def losses(self, logits: Tensor, y: Tensor, w: Tensor) -> Tensor:
        """(T,) weighted mean over the known labels of each task, 0 for a task without any.

        logits, y, w: (B, T); w is 0 where y is unknown. Scaling a task's weights changes nothing.
        """
        return per_task(LOSSES[self.loss](logits.to(y), y), w)

    def pretrain(self, network: Network, data: Batch, rows: Tensor, run: Run) -> Mapping[str, JSON]:
        """What is learned before the labels are looked at, in place; facts of it. Nothing here. rows: those that take part."""
        return {}

    def build(self, shapes: Mapping[str, prep.Shape], y: Tensor, w: Tensor) -> Network:
        """The untrained network for these inputs and labels, from torch's current random state."""
        encoder: Any = self.encode(shapes)
        sharing: Any = self.sharing(encoder.width, y.shape[1])
        return Network(encoder, sharing, Heads(sharing.width, log_odds(y, w)))

    @property
    def alone(self) -> str:
        """Why several cannot be trained as one with these settings; "" if they can."""
        if type(self).fit is not NeuralMethod.fit and type(self).fit_group is NeuralMethod.fit_group:
            return "its training is its own"
        fair = self.balance.partition("+")[0] in ("equal", "fixed")
        return "" if fair else f"balance={self.balance} needs each network's own gradients or losses"

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Predictor:
        torch.set_num_threads(run.threads)
        keep()
        return _Fit(self, train, valid, run).alone()

    def fit_group(self, folds: Sequence[Fold]) -> Iterator[tuple[int, Predictor]]:
        """Train several folds and seeds at once; (place among the folds, predictor) as each ends.

        What each learns is what `fit` gives, up to rounding. Folds whose prepared inputs or batches an epoch differ in number, and networks
        with a part that cannot be stacked (`grouped = False`), are trained one after another.
        """
        torch.set_num_threads(folds[0].run.threads)
        keep()
        fits = {0: _Fit(self, *folds[0])}
        if self.alone or not stackable(fits[0].network):  # never more than one in memory
            yield 0, fits.pop(0).alone()
            yield from ((k, _Fit(self, *fold).alone()) for k, fold in enumerate(folds) if k)
            return
        fits |= {k: _Fit(self, *fold) for k, fold in enumerate(folds) if k}
        while fits:
            first = next(iter(fits.values()))
            whole = stackable(first.network)
            chosen = [k for k, fit in fits.items() if fit is first or (whole and alike(first.member, fit.member, self.batch))]
            together = {k: fits.pop(k) for k in chosen}
            if len(together) > 1:
                yield from _together(self, together)
            else:
                yield from ((k, fit.alone()) for k, fit in together.items())


class _Fit:
    """One training: what it learns from, its network as it starts, and the clock that stops it."""

    def __init__(self, method: NeuralMethod, train: Cohort, valid: Cohort, run: Run) -> None:
        self.method, self.run, self.device = method, run, torch.device(run.device)
        dtype = torch.float64 if run.precision == "float64" else torch.float32
        self.tokens = prep.tokens(train)
        self.data = tensors(self.tokens(train.inputs), self.device, dtype)
        self.w = torch.tensor(train.loss_weights, device=self.device, dtype=dtype)
        self.y = torch.tensor(np.nan_to_num(train.labels), device=self.device, dtype=dtype)
        self.rows = torch.nonzero((self.w > 0).any(1)).squeeze(1)
        if len(self.rows) == 0:
            raise Unsupported(f"needs a training row with a known outcome, but all {len(train)} are unknown")
        self.cap = min(method.epochs, QUICK_EPOCHS) if run.quick else method.epochs
        with apart(self.device, run.seed):
            self.network = method.build(self.tokens.shapes, self.y, self.w).to(self.device, dtype)
            self.watch = Watch(valid, tensors(self.tokens(valid.inputs), self.device, dtype), method.patience, method.stop)
            self.learned = method.pretrain(self.network, self.data, self.rows, run)
            self.before = self.watch.penalty(self.network)
            self.dice = Dice.now(self.device)

    @property
    def over(self) -> bool:
        return self.watch.over or self.watch.epochs >= self.cap

    @property
    def member(self) -> Member:
        return Member(self.network, self.data, self.y, self.w, self.rows, self.watch.batch, self.dice)

    def alone(self) -> Predictor:
        with apart(self.device, self.dice):
            trainer = _Trainer(self.method, self.network, self.y.shape[1], self.run.precision)
            while not self.over:
                trainer.epoch(self.data, self.y, self.w, self.rows)
                self.look(logits(trainer.averaged, self.watch.batch), partial(copy.deepcopy, trainer.averaged))
        return self.predictor(trainer.steps, trainer.facts())

    def look(self, z: Tensor, copied: Callable[[], Network]) -> None:
        score = self.watch.look(z, copied)
        self.run.report(self.watch.epochs, score)

    def predictor(self, steps: int, more: Mapping[str, JSON]) -> Predictor:
        watch = self.watch
        facts: dict[str, JSON] = {"steps": steps, "at_cap": not watch.over, **watch.facts(), **more, **self.learned}
        if self.run.precision != "float32":
            facts["precision"] = self.run.precision
        if self.before is not None:
            facts |= {"penalty_start": self.before, "penalty_end": watch.penalty(watch.best[0])}
        return NeuralPredictor(self.tokens, watch.best, facts)


def _together(method: NeuralMethod, fits: Mapping[int, _Fit]) -> Iterator[tuple[int, Predictor]]:
    """Trainings that are `alike`, in step; each leaves when its own clock stops it."""
    first = next(iter(fits.values()))
    fair: Any = balance.make(method.balance, first.y.shape[1]).to(first.device)
    exact = first.network.penalty is None and not method.dense

    def total(network: Network, batch: Batch, y: Tensor, w: Tensor, rows: Tensor) -> Tensor:
        losses, penalty = objective(network, batch, y, w, rows, method.losses, method.dense, first.run.precision)
        return balance.plus(fair.total(losses, (w > 0).any(0)), penalty)

    how = Steps(method.batch, method.lr, method.weight_decay, method.average, exact)
    stack = Stack([fit.member for fit in fits.values()], how, total, lambda network, batch: network(batch))
    for fit in fits.values():
        fit.data = {}  # the stack has it
    going = list(fits)
    while going:
        stack.epoch()
        for i, z in enumerate(stack.logits(CHUNK)):
            fits[going[i]].look(z, partial(stack.network, i))
        ended = [k for k in going if fits[k].over]
        stays = [i for i, k in enumerate(going) if k not in ended]
        if ended and stays:
            stack.keep(stays)
        going = [going[i] for i in stays]
        yield from ((k, fits[k].predictor(stack.steps, {"group": len(fits)})) for k in ended)


class _Trainer:
    """One network, its optimizer and the running average of its weights."""

    def __init__(self, method: NeuralMethod, network: Network, tasks: int, precision: Precision = "float32") -> None:
        self.method, self.network, self.steps = method, network, 0
        self.precision: Precision = precision
        trained = [p for p in network.parameters() if p.requires_grad]
        heads = {id(p) for p in network.heads.parameters()}
        self.heads = [p for p in trained if id(p) in heads]
        self.shared = [p for p in trained if id(p) not in heads]
        self.averaged = copy.deepcopy(network) if method.average else network
        self.flat = Flat(trained)
        self.average = Flat(p for p in self.averaged.parameters() if p.requires_grad) if method.average else self.flat
        self.averaged.requires_grad_(self.averaged is network)
        self.balance = balance.make(method.balance, tasks).to(trained[0].device)
        self.own = own = [p for p in self.balance.parameters() if p.requires_grad]
        self.adamw = AdamW(self.flat.values)
        self.balancing = torch.optim.AdamW(own, lr=self.balance.lr, weight_decay=0.0, fused=True) if own else None

    def epoch(self, data: Batch, y: Tensor, w: Tensor, rows: Tensor) -> None:
        """One pass over the rows in batches of nearly equal size, so that none is a leftover of two rows."""
        self.network.train()
        order = rows[torch.randperm(len(rows), device="cpu").to(rows.device)]
        for index in torch.tensor_split(order, -(-len(rows) // self.method.batch)):
            self.step(take(data, index), y.index_select(0, index), w.index_select(0, index), index)
        self.balance.epoch_ended()

    def step(self, batch: Batch, y: Tensor, w: Tensor, rows: Tensor) -> None:
        dice = Dice.now(y.device) if self.balance.needs_second_look else None
        with given(self.network.encoder) if self.balance.look == "features" else nullcontext([]) as features:
            losses, penalty = self.objective(batch, y, w, rows)
        active = (w > 0).any(0)
        for p in self.own:
            p.grad = None
        at = self.balance.place(features, self.network.sharing, self.shared)
        self.balance.backward(losses, active, penalty, self.shared, self.heads, at)
        self.descend()
        if dice is not None:  # the same dropout masks, so that a loss differs by the step alone
            dice.put(y.device)
            with torch.no_grad():
                self.balance.updated(self.objective(batch, y, w, rows)[0], active)

    def descend(self) -> None:
        """A step down the parameters' gradients, of length 1 at most, and what it does to the running average."""
        gradient = self.flat.gradient()
        gradient /= (torch.linalg.vector_norm(gradient) + 1e-6).clamp(min=1)
        self.flat.matrices *= 1 - self.method.lr * self.method.weight_decay  # AdamW's, of matrices alone
        self.adamw.step(gradient, self.method.lr)
        if self.balancing is not None:
            self.balancing.step()
        self.steps += 1
        if self.averaged is not self.network:
            decay = min(self.method.average, self.steps / (self.steps + 10))  # early on: the last tenth of the way
            self.average.values.lerp_(self.flat.values, 1 - decay)

    def objective(self, batch: Batch, y: Tensor, w: Tensor, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        return objective(self.network, batch, y, w, rows, self.method.losses, self.method.dense, self.precision)

    def facts(self) -> dict[str, JSON]:
        """Steps that the balance could not make."""
        return {"skipped_steps": self.balance.skipped} if self.balance.skipped else {}
