"""The one training loop, and `NeuralMethod`, the base of every neural method."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench import balance, prep
from bench.core import JSON, BenchError, Cohort, Count, Inputs, NonNegative, Positive, Predictor, ProperShare, Run, Unsupported
from bench.losses import LOSSES, per_task
from bench.nets.encoders import Batch, Encoder
from bench.nets.experts import Gates
from bench.nets.flat import Flat
from bench.nets.heads import Heads, log_odds
from bench.nets.memory import keep
from bench.nets.spectrum import dense
from bench.recalibrate import EPS, stopping_scores, validation_score

Losses: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]

QUICK_EPOCHS = 4
CHUNK = 4096  # rows a forward pass without gradients takes at once


class Network(nn.Module):
    """A batch -> logits (B, T): encoder (B, d), sharing block (B, T, width), heads.

    `penalty`: the sharing block's, unweighted, as of the last forward; None if it has none. `weight`: what it counts in training.
    """

    def __init__(self, encoder: nn.Module, sharing: nn.Module, heads: nn.Module) -> None:
        super().__init__()
        self.encoder, self.sharing, self.heads = encoder, sharing, heads

    def forward(self, batch: Batch) -> Tensor:
        return self.heads(self.sharing(self.encoder(batch)))

    def objective(self, batch: Batch, y: Tensor, w: Tensor, rows: Tensor, losses: Losses) -> tuple[Tensor, Tensor | None]:
        """What a training step asks for: the tasks' losses (T,), and what is added to their balanced sum (None: nothing).

        rows: (B,) places of the batch's rows among the training rows. losses: logits, y, w -> (T,).
        """
        each = losses(self(batch), y, w)
        return each, None if self.penalty is None or not self.weight else self.weight * self.penalty

    @property
    def penalty(self) -> Tensor | None:
        return getattr(self.sharing, "penalty", None)

    @property
    def weight(self) -> float:
        return float(getattr(self.sharing, "weight", 1.0))


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
    balance: how the tasks' losses make one step: equal, fixed+1+2+1 or one of 24 names with options, cagrad+c=0.5 (see the README).
    dense: weight of the label-free penalty on the fused vectors of each batch (`bench.nets.spectrum.dense`), 0 = none.
    """

    family: ClassVar[str] = "sharing"

    fused: Count = 64
    hidden: Count = 128
    layers: Count = 1
    heads: Count = 4
    dropout: ProperShare = 0.2
    lr: Positive = 1e-3
    weight_decay: NonNegative = 1e-2
    average: ProperShare = 0.99
    batch: Count = 256
    epochs: Count = 100
    patience: Count = 10
    stop: Literal["joint", "per_task"] = "joint"
    loss: Literal["bce", "asymmetric", "both"] = "bce"
    balance: str = "equal"
    dense: NonNegative = 0.0

    def __post_init__(self) -> None:
        if self.fused % self.heads:
            raise BenchError(f"fused must be a multiple of heads, but fused is {self.fused} and heads {self.heads}")
        balance.check(self.balance)

    @property
    def group(self) -> str:
        """Its heading in tables: what is compared of a sharing network with a balance of its own is the balance."""
        return "balancing" if self.family == "sharing" and self.balance != "equal" else self.family

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
        return per_task(LOSSES[self.loss](logits, y), w)

    def pretrain(self, network: Network, data: Batch, rows: Tensor, run: Run) -> Mapping[str, JSON]:
        """What is learned before the labels are looked at, in place; facts of it. Nothing here. rows: those that take part."""
        return {}

    def build(self, shapes: Mapping[str, prep.Shape], y: Tensor, w: Tensor) -> Network:
        """The untrained network for these inputs and labels, from torch's current random state."""
        encoder: Any = self.encode(shapes)
        sharing: Any = self.sharing(encoder.width, y.shape[1])
        return Network(encoder, sharing, Heads(sharing.width, log_odds(y, w)))

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Predictor:
        torch.set_num_threads(run.threads)
        keep()
        tokens = prep.tokens(train)
        data = tensors(tokens(train.inputs), run.device)
        w = torch.tensor(train.loss_weights, device=run.device)
        y = torch.tensor(np.nan_to_num(train.labels), device=run.device)
        rows = torch.nonzero((w > 0).any(1)).squeeze(1)
        if len(rows) == 0:
            raise Unsupported(f"needs a training row with a known outcome, but all {len(train)} are unknown")
        cap = min(self.epochs, QUICK_EPOCHS) if run.quick else self.epochs
        with torch.random.fork_rng():
            torch.manual_seed(run.seed)
            network = self.build(tokens.shapes, y, w).to(run.device)
            watch = _Watch(valid, tensors(tokens(valid.inputs), run.device), self.patience, self.stop)
            learned = self.pretrain(network, data, rows, run)
            before = watch.penalty(network)
            trainer = _Trainer(self, network, y.shape[1])
            while watch.epochs < cap and not watch.over:
                trainer.epoch(data, y, w, rows)
                score = watch.look(trainer.averaged)
                run.report(watch.epochs, score)
        facts = {"steps": trainer.steps, "at_cap": not watch.over, **watch.facts(), **trainer.facts(), **learned}
        if before is not None:
            facts |= {"penalty_start": before, "penalty_end": watch.penalty(watch.best[0])}
        return NeuralPredictor(tokens, watch.best, facts)


class _Trainer:
    """One network, its optimizer and the running average of its weights."""

    def __init__(self, method: NeuralMethod, network: Network, tasks: int) -> None:
        self.method, self.network, self.steps = method, network, 0
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
        groups: list[dict[str, Any]] = [{"params": [self.flat.values]}]
        if own:
            groups.append({"params": own, "lr": self.balance.lr})
        self.optimizer = torch.optim.AdamW(groups, lr=method.lr, weight_decay=0.0, fused=True)

    def epoch(self, data: Batch, y: Tensor, w: Tensor, rows: Tensor) -> None:
        """One pass over the rows in batches of nearly equal size, so that none is a leftover of two rows."""
        self.network.train()
        order = rows[torch.randperm(len(rows)).to(rows.device)]
        for index in torch.tensor_split(order, -(-len(rows) // self.method.batch)):
            self.step(take(data, index), y.index_select(0, index), w.index_select(0, index), index)
        self.balance.epoch_ended()

    def step(self, batch: Batch, y: Tensor, w: Tensor, rows: Tensor) -> None:
        dice = torch.get_rng_state() if self.balance.needs_second_look else None
        losses, penalty = self.objective(batch, y, w, rows)
        active = (w > 0).any(0)
        for p in self.own:
            p.grad = None
        self.balance.backward(losses, active, penalty, self.shared, self.heads)
        self.descend()
        if dice is not None:  # the same dropout masks, so that a loss differs by the step alone
            torch.set_rng_state(dice)
            with torch.no_grad():
                self.balance.updated(self.network.objective(batch, y, w, rows, self.method.losses)[0], active)

    def descend(self) -> None:
        """A step down the parameters' gradients, of length 1 at most, and what it does to the running average."""
        gradient = self.flat.gradient()
        gradient *= (1 / (gradient.norm() + 1e-6)).clamp(max=1)
        self.flat.values.grad = gradient
        self.flat.values[: self.flat.decayed] *= 1 - self.method.lr * self.method.weight_decay  # AdamW's, of matrices alone
        self.optimizer.step()
        self.steps += 1
        if self.averaged is not self.network:
            decay = min(self.method.average, self.steps / (self.steps + 10))  # early on: the last tenth of the way
            self.average.values.lerp_(self.flat.values, 1 - decay)

    def objective(self, batch: Batch, y: Tensor, w: Tensor, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """The network's, and under `dense` the penalty of all that its encoder gave meanwhile."""
        if not self.method.dense:
            return self.network.objective(batch, y, w, rows, self.method.losses)
        fused: list[Tensor] = []
        hook = self.network.encoder.register_forward_hook(lambda _, inputs, h: fused.append(h))  # pyright: ignore[reportArgumentType]
        losses, penalty = self.network.objective(batch, y, w, rows, self.method.losses)
        hook.remove()
        spread = self.method.dense * torch.stack([dense(h) for h in fused]).mean()
        return losses, spread if penalty is None else penalty + spread

    def facts(self) -> dict[str, JSON]:
        """Steps that the balance could not make."""
        return {"skipped_steps": self.balance.skipped} if self.balance.skipped else {}


class _Watch:
    """Early stopping on the validation score: one clock for all tasks or one a task, each with its best weights so far.

    Every clock starts anew when any of them improves: the tasks share one training.
    """

    def __init__(self, valid: Cohort, batch: Batch, patience: int, stop: str) -> None:
        self.valid, self.batch, self.patience, self.stop = valid, batch, patience, stop
        clocks = 1 if stop == "joint" else len(valid.tasks)
        self.lowest = np.full(clocks, np.inf)
        self.best_epoch = [0] * clocks
        self.best: list[Network] = []
        self.scores: list[float] = []

    @property
    def epochs(self) -> int:
        return len(self.scores)

    @property
    def over(self) -> bool:
        return self.epochs - max(self.best_epoch) >= self.patience

    def look(self, network: Network) -> float:
        """The network's validation score, after keeping a copy of it for every clock that it is best for."""
        y, w = self.valid.labels, self.valid.loss_weights
        p = torch.sigmoid(logits(network, self.batch)).cpu().numpy()
        self.scores.append(validation_score(y, p, w))
        now = np.array([self.scores[-1]]) if self.stop == "joint" else stopping_scores(y, p, w)
        better = now < self.lowest - 1e-6
        if better.any():
            copied = copy.deepcopy(network)
            self.best = [copied if b else old for b, old in zip(better, self.best or [copied] * len(better), strict=True)]
            self.best_epoch = [self.epochs if b else old for b, old in zip(better, self.best_epoch, strict=True)]
            self.lowest = np.where(better, now, self.lowest)
        return self.scores[-1]

    def penalty(self, network: Network) -> float | None:
        """The penalty on (at most 4,096) validation rows, dropout off; None if the sharing block has none."""
        logits(network, between(self.batch, 0, CHUNK))
        return None if network.penalty is None else float(network.penalty)

    def facts(self) -> dict[str, JSON]:
        network = self.best[0]
        out: dict[str, JSON] = {
            "parameters": sum(p.numel() for p in network.parameters()) * len({id(n) for n in self.best}),
            "epochs": self.epochs,
            "best_epoch": self.best_epoch[0] if self.stop == "joint" else self.best_epoch,
            "scores": self.scores,
        }
        entropies = [module.entropy() for module in network.modules() if isinstance(module, Gates)]
        return out | ({"gate_entropy": entropies} if entropies else {})


@dataclass(frozen=True, slots=True, eq=False)
class NeuralPredictor:
    """The fitted preparation and the best networks: one, or one a task (`stop=per_task`)."""

    tokens: prep.Tokens
    networks: Sequence[Network]
    facts: Mapping[str, JSON]

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        batch = self._batch(inputs)
        out = {id(network): logits(network, batch) for network in self.networks}
        columns = [out[id(network)] for network in self.networks]
        z = torch.stack([c[:, t] for t, c in enumerate(columns)], dim=1) if len(columns) > 1 else columns[0]
        return torch.sigmoid(z).cpu().numpy().clip(EPS, 1 - EPS)

    def parts(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        """What the sharing block splits a patient into: "shared" (n, k) and "specific" (n, T, k)."""
        network = self.networks[0]
        split = getattr(network.sharing, "parts", None)
        if split is None or len(self.networks) > 1:
            raise Unsupported("parts need a sharing block that splits the patient vector and stop=joint, but got another network")
        network.eval()
        with torch.no_grad():
            shared, specific = split(network.encoder(self._batch(inputs)))
        return {"shared": shared.cpu().numpy(), "specific": specific.cpu().numpy()}

    def _batch(self, inputs: Inputs) -> Batch:
        return tensors(self.tokens(inputs), next(self.networks[0].parameters()).device)


def tensors(arrays: Mapping[str, Mapping[str, NDArray[Any]]], device: torch.device | str) -> Batch:
    """Prepared arrays on the device, one row a patient."""
    n = {key: len(part["present"]) for key, part in arrays.items()}

    def one(key: str, name: str, array: NDArray[Any]) -> Tensor:
        tensor = torch.tensor(array, device=device).contiguous()  # rows of a matrix kept by columns are slow to take
        return tensor.expand(n[key], -1) if name == "time" and array.ndim == 1 else tensor

    return {key: {name: one(key, name, a) for name, a in part.items()} for key, part in arrays.items()}


def take(batch: Batch, rows: Tensor) -> Batch:
    return {key: {name: array.index_select(0, rows) for name, array in part.items()} for key, part in batch.items()}


def between(batch: Batch, start: int, stop: int) -> Batch:
    return {key: {name: array[start:stop] for name, array in part.items()} for key, part in batch.items()}


@torch.no_grad()
def logits(network: Network, batch: Batch) -> Tensor:
    """(n, T), dropout off, in chunks of rows."""
    network.eval()
    n = len(next(iter(batch.values()))["present"])
    return torch.cat([network(between(batch, i, i + CHUNK)) for i in range(0, max(n, 1), CHUNK)])
