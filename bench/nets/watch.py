"""When a training stops, and which of its states is the best: by validation rows, epoch by epoch."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from bench.core import JSON, Cohort
from bench.nets.batches import between
from bench.nets.encoders import Batch
from bench.nets.experts import Gates
from bench.nets.network import CHUNK, Network, logits
from bench.recalibrate import stopping_scores, validation_score


class Watch:
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

    def look(self, z: Tensor, copied: Callable[[], Network]) -> float:
        """The validation score of logits z, after keeping a copy of their network for every clock that it is best for."""
        y, w = self.valid.labels, self.valid.loss_weights
        p = torch.sigmoid(z).cpu().numpy()
        self.scores.append(validation_score(y, p, w))
        now = np.array([self.scores[-1]]) if self.stop == "joint" else stopping_scores(y, p, w)
        better = now < self.lowest - 1e-6
        if better.any():
            new = copied()
            self.best = [new if b else old for b, old in zip(better, self.best or [new] * len(better), strict=True)]
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
        logits(network, self.batch)
        entropies = [module.entropy() for module in network.modules() if isinstance(module, Gates)]
        return out | ({"gate_entropy": entropies} if entropies else {})
