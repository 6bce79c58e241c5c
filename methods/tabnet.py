"""TabNet: a network that chooses a few columns per patient and step; one trunk, one linear head per outcome.

Arik and Pfister, "TabNet: Attentive Interpretable Tabular Learning", AAAI 2021; the network is pytorch-tabnet's.
Adapter: missing inputs are filled in and flagged (`prep.linear`), unknown outcomes carry no loss. An outcome of one class among
the training rows is predicted by the constant of its prevalence, which the fact `constant` names.
Published: code (google-research/tabnet) and results on public tables, single outcomes; pytorch-tabnet, by others, adds several.
Departures: of pytorch-tabnet only the network is used, since its trainer rejects unknown outcomes and weights, trains on
nothing when there are fewer rows than a batch, and stops on a metric of its own. Heads are one logit per outcome (a softmax of
two says the same) and start at the log-odds of the prevalence, codes enter as one column per category, and batches shrink
with the rows (eight an epoch, but 32 rows each), in whole ghost batches. Defaults: the best of a 20-trial search on SUPPORT2.
Cost: 28 s per cell of surgical (8,450 training rows, one thread), 2.8 times hard_sharing.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge
from numpy.typing import NDArray
from pytorch_tabnet.tab_network import TabNet as Network
from scipy.special import logit
from torch import Tensor, nn
from torch.nn import functional

from bench import prep
from bench.core import JSON, Cohort, Count, Inputs, NonNegative, Positive, Run, Share, Unsupported
from bench.pertask import Data, probabilities
from bench.recalibrate import validation_score
from bench.search import Choice, Range

EPOCH_BATCHES = 8  # at least, where there are rows for it: one step an epoch, and patience ends the fit before it began
LEAST_BATCH = 32


class Model(nn.Module):
    """(B, q) inputs -> (B, T) logits and the mean entropy of the masks, negative."""

    def __init__(self, network: nn.Module, start: Tensor) -> None:
        super().__init__()
        self.network = network
        self.start: Tensor
        self.register_buffer("start", start)  # (T,) log-odds of the prevalence

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, entropy = self.network(x)
        return z + self.start, entropy

    @torch.inference_mode()
    def probabilities(self, x: NDArray[np.float64]) -> NDArray[np.float32]:
        self.eval()
        device = self.start.device
        parts = [self(part.to(device, torch.float32))[0] for part in torch.from_numpy(x).split(4096)]
        return probabilities(torch.sigmoid(torch.cat(parts)).cpu().numpy())


class Batches:
    """Training rows in memory, drawn in a new order every epoch; x (n, q), y and w (n, T), w = 0 where unknown."""

    def __init__(self, x: NDArray[Any], y: NDArray[Any], w: NDArray[Any], device: str) -> None:
        self.arrays = [torch.from_numpy(np.nan_to_num(a)).to(device, torch.float32) for a in (x, y, w)]

    def __call__(self, size: int, ghost: int) -> Iterator[list[Tensor]]:
        """Whole batches of whole ghost batches, so that none is left with one row; the rest sits out this epoch."""
        n = len(self.arrays[0])
        size = min(size, n, max(n // EPOCH_BATCHES, LEAST_BATCH))
        size -= size % ghost if size > ghost else 0
        order = torch.randperm(n)
        for start in range(0, n - size + 1, size):
            yield [a[order[start : start + size]] for a in self.arrays]


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    prepare: prep.Linear
    model: Model
    constant: Mapping[int, float]  # outcomes of one class, and their prevalence
    facts: Mapping[str, JSON]

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        p = self.model.probabilities(self.prepare(inputs))
        for task, prevalence in self.constant.items():
            p[:, task] = prevalence
        return probabilities(p)


@dataclass(frozen=True, kw_only=True)
class TabNet:
    family: ClassVar[str] = "tabular deep"
    epochwise: ClassVar[bool] = True

    width: Annotated[Count, Choice((8, 16, 32, 64))] = 32  # of the decision and of the attention each
    choices: Annotated[Count, Choice((2, 3, 4, 5))] = 3  # steps at which the network chooses columns
    gamma: Annotated[Positive, Choice((1.0, 1.2, 1.5, 2.0))] = 1.0  # how freely a column may be chosen again
    sparsity: Annotated[NonNegative, Choice((0.0, 1e-4, 1e-3, 1e-2))] = 1e-2
    shared: Annotated[Count, Choice((1, 2))] = 1  # gated layers that all steps share
    independent: Annotated[Count, Choice((1, 2))] = 2
    momentum: Annotated[Share, Range(0.01, 0.4, log=True)] = 0.02
    lr: Annotated[Positive, Range(5e-3, 0.05, log=True)] = 0.03
    decay: Share = 1.0  # of the rate, per epoch
    batch: Annotated[int, Ge(2)] = 256  # of one row batch normalisation knows no spread
    ghost: Annotated[Count, Choice((64, 128, 256))] = 128  # rows normalised together
    epochs: Count = 100
    patience: Count = 10

    def idle(self, cohort: Cohort) -> tuple[str, ...]:
        return ("gamma",) if self.choices == 1 else ()

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Predictor:
        linear = prep.linear(train)
        x, held_out = linear(train.inputs), linear(valid.inputs)
        y, w = train.labels.astype(np.float64), train.loss_weights
        tasks = [Data.of(train, y, t) for t in range(y.shape[1])]
        constant = {t: data.prevalence for t, data in enumerate(tasks) if not data.stops}
        w[:, list(constant)] = 0
        rows = np.flatnonzero((w > 0).any(axis=1))
        if not len(rows) or not x.shape[1]:
            what = "an outcome with both classes" if not len(rows) else "a column that varies"
            raise Unsupported(f"tabnet needs {what} among its training rows, but {len(train)} rows hold none")
        torch.set_num_threads(run.threads)
        batches = Batches(x[rows], y[rows], w[rows], run.device)
        with torch.random.fork_rng([]):
            torch.manual_seed(run.seed)
            model = self._model(x.shape[1], np.array([data.prevalence for data in tasks]), run.device)
            facts = self._train(model, batches, lambda: _score(model, valid, held_out), run)
        facts["constant"] = [train.tasks[t].name for t in constant]
        return Predictor(linear, model, constant, facts)

    def _model(self, columns: int, prevalence: NDArray[np.float64], device: str) -> Model:
        network = Network(
            columns, len(prevalence), n_d=self.width, n_a=self.width, n_steps=self.choices, gamma=self.gamma,
            n_independent=self.independent, n_shared=self.shared, virtual_batch_size=self.ghost, momentum=self.momentum,
            group_attention_matrix=torch.eye(columns, device=device),
        )  # fmt: skip
        return Model(network, torch.from_numpy(logit(np.clip(prevalence, 1e-3, 1 - 1e-3))).float()).to(device)

    def _train(self, model: Model, batches: Batches, score: Callable[[], float], run: Run) -> dict[str, JSON]:
        """Trains until the score has not fallen for `patience` epochs, and leaves the best epoch's weights in the model."""
        optimizer = torch.optim.Adam(model.parameters(), lr=self.lr)
        epochs = min(self.epochs, 5) if run.quick else self.epochs
        best, scores, steps = copy.deepcopy(model.state_dict()), list[float](), 0
        for epoch in range(epochs):
            model.train()
            for x, y, w in batches(self.batch, self.ghost):
                optimizer.zero_grad()
                z, entropy = model(x)
                (_loss(z, y, w) - self.sparsity * entropy).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                steps += 1
            optimizer.param_groups[0]["lr"] *= self.decay
            scores.append(score())
            run.report(epoch, scores[-1])
            if int(np.argmin(scores)) == epoch:
                best = copy.deepcopy(model.state_dict())
            elif epoch - int(np.argmin(scores)) >= self.patience:
                break
        model.load_state_dict(best)
        at_cap = len(scores) - 1 - int(np.argmin(scores)) < self.patience
        parameters = sum(p.numel() for p in model.parameters())
        return {"parameters": parameters, "steps": steps, "at_cap": at_cap, "scores": [*scores], "best": int(np.argmin(scores))}


def _loss(z: Tensor, y: Tensor, w: Tensor) -> Tensor:
    """Mean over outcomes of the weighted mean log loss over the rows where each is known."""
    each = functional.binary_cross_entropy_with_logits(z, y, w, reduction="none").sum(0)
    return (each / w.sum(0).clamp(min=1e-9)).mean()


def _score(model: Model, valid: Cohort, x: NDArray[np.float64]) -> float:
    return validation_score(valid.labels, model.probabilities(x), valid.loss_weights)


METHOD = TabNet
