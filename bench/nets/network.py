"""The form of every network: encoder, sharing block, heads; and what predicts with the best of them."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench import prep
from bench.core import JSON, Inputs, Precision, Unsupported
from bench.nets.batches import between, length, tensors
from bench.nets.encoders import Batch
from bench.nets.spectrum import dense
from bench.recalibrate import EPS

Losses: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]

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


def objective(
    network: Network, batch: Batch, y: Tensor, w: Tensor, rows: Tensor, losses: Losses, spread: float, precision: Precision
) -> tuple[Tensor, Tensor | None]:
    """The network's; with a weight `spread`, plus the penalty `dense` of all that its encoder gave meanwhile.

    precision: bfloat16 is mixed, by torch's autocast: matrix products, those of a sharing block's penalty too, are rounded to 8 bits, and
    so are the states that pass from one to the next. Parameters, logits on their way into the losses, losses and `dense` are not.
    """
    with torch.autocast(y.device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext():
        if not spread:
            return network.objective(batch, y, w, rows, losses)
        with given(network.encoder) as fused:
            each, penalty = network.objective(batch, y, w, rows, losses)
    extra = spread * torch.stack([dense(h.to(y)) for h in fused]).mean()
    return each, extra if penalty is None else penalty + extra


@contextmanager
def given(module: nn.Module) -> Generator[list[Tensor], None, None]:
    """What a module gives at each of its forward passes meanwhile."""
    out: list[Tensor] = []
    hook = module.register_forward_hook(lambda _, inputs, h: out.append(h))  # pyright: ignore[reportArgumentType]
    try:
        yield out
    finally:
        hook.remove()


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
        return torch.sigmoid(z).float().cpu().numpy().clip(EPS, 1 - EPS)

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
        parameter = next(self.networks[0].parameters())
        return tensors(self.tokens(inputs), parameter.device, parameter.dtype)


@torch.no_grad()
def logits(network: Network, batch: Batch) -> Tensor:
    """(n, T), dropout off, in chunks of rows."""
    network.eval()
    return torch.cat([network(between(batch, i, i + CHUNK)) for i in range(0, max(length(batch), 1), CHUNK)])
