"""TabM: one network that is k networks, sharing all weight matrices; every member predicts all outcomes.

Gorishniy, Kotelnikov, Babenko, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling", ICLR 2025; the
layers are those of the package `tabm`. Member i of k sees the same inputs x and has scalings r_i, s_i of its own in every layer:
    l_i(x) = s_i * (W (r_i * x)) + b_i,   logits_i = A_i h_i + c_i  (T of them),   i = 1..k
Training minimises the mean over the members of each one's loss, never the loss of their mean; a prediction is the mean of the
members' probabilities. Below the output layers, which start apart, only the first r differs between members at the start: normal,
one draw per input column and member.
Published: code (yandex-research/tabm) and results on 46 tabular datasets, single targets; none of them clinical cohorts with
several outcomes.
Departures: T outputs where the paper has one, which makes it a multi-task method. Inputs are the columns, the eight statistics of
each series channel as normal scores with flags of missingness, codes one-hot, and text vectors as they are. Numbers get the
package's piecewise-linear embeddings; their bins are quantiles of the standard normal, which for normal scores are those of the
training rows. Output biases start at the log-odds of the prevalence; optimizer, clipping, the running average of weights and
early stopping are those of all networks here. Sizes, rate and dropout are for some thousand patients on one thread: k is 24, the
paper's 32, and layers are 128 wide, the paper's up to 1,024.
Cost: 39 s per cell of surgical (8,450 training rows, one thread), four times hard_sharing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from rtdl_num_embeddings import PiecewiseLinearEmbeddings
from tabm import LinearBatchEnsemble, LinearEnsemble
from torch import Tensor, nn
from torch.nn import functional

from bench import prep
from bench.core import Count, NonNegative, Positive, ProperShare
from bench.nets.dropout import Dropout
from bench.nets.encoders import Batch
from bench.nets.heads import log_odds
from bench.nets.network import Losses, Network
from bench.search import Choice, Range
from bench.train import NeuralMethod


class Columns(nn.Module):
    """All modalities of a batch as one row of numbers -> (B, d). `chunks`: how many of the d each input column owns.

    Numbers, embedded, then codes, one-hot, then flags and text vectors. What is missing is 0 with its flag set.
    """

    def __init__(self, shapes: Mapping[str, prep.Shape], bins: int, width: int) -> None:
        super().__init__()
        self.shapes = dict(shapes)
        numbers, plain = (sum(column) for column in zip(*map(_counts, shapes.values()), strict=True))
        edges = torch.special.ndtri(torch.linspace(0, 1, bins + 1)).clamp(-3, 3)
        embedding = PiecewiseLinearEmbeddings([edges] * max(numbers, 1), width, activation=False, version="B")
        self.embed = embedding if numbers else nn.Identity()
        cards = [k for shape in shapes.values() if isinstance(shape, prep.TableShape) for k in shape.cards]
        self.chunks = [width] * numbers + cards + [1] * plain
        self.width = sum(self.chunks)

    def forward(self, batch: Batch) -> Tensor:
        numbers, codes, plain = list[Tensor](), list[Tensor](), list[Tensor]()
        for key, shape in self.shapes.items():
            x = batch[key]
            plain.append(x["present"][:, None].float())
            if isinstance(shape, prep.TableShape):
                numbers.append(x["numeric"])
                plain.append(x["missing"])
                codes += [functional.one_hot(c, k).float() for c, k in zip(x["codes"].unbind(1), shape.cards, strict=True)]
            elif isinstance(shape, prep.SeriesShape):
                statistics, empty = x["summary"].split([shape.summary - shape.channels, shape.channels], 1)
                numbers.append(statistics)
                plain.append(empty)
            else:
                plain.append(x["vector"])
        embedded = [self.embed(torch.cat(numbers, 1)).flatten(1)] if numbers else []
        return torch.cat([*embedded, *codes, *plain], 1)


def _counts(shape: prep.Shape) -> tuple[int, int]:
    """How many numbers that are embedded, and how many that enter as they are, a modality has."""
    if isinstance(shape, prep.TableShape):
        return shape.numeric, shape.numeric + 1
    if isinstance(shape, prep.SeriesShape):
        return shape.summary - shape.channels, shape.channels + 1
    return 0, shape.width + 1


class First(LinearBatchEnsemble):
    """The first layer: (B, d), the same columns for all members, -> (B, k, hidden).

    (r_i * x) W' = x (r_i * W)': one product, and no (B, k, d) in memory.
    """

    bias: Any  # (k, hidden), always there

    def forward(self, x: Tensor) -> Tensor:
        weight = self.r[:, None] * self.weight  # (k, hidden, d)
        return (x @ weight.flatten(0, 1).T).unflatten(1, self.s.shape) * self.s + self.bias


class Ensemble(Network):
    """A batch -> logits (B, T) of the mean of the members' probabilities."""

    def members(self, batch: Batch) -> Tensor:
        """(B, k, T) logits."""
        return self.heads(self.sharing(self.encoder(batch)))

    def forward(self, batch: Batch) -> Tensor:
        z = self.members(batch)  # mean p = mean sigmoid(z), 1 - mean p = mean sigmoid(-z), neither rounded to 0
        return functional.logsigmoid(z).logsumexp(1) - functional.logsigmoid(-z).logsumexp(1)

    def objective(self, batch: Batch, y: Tensor, w: Tensor, rows: Tensor, losses: Losses) -> tuple[Tensor, None]:
        z = self.members(batch)
        y, w = (a.repeat_interleave(z.shape[1], 0) for a in (y, w))
        return losses(z.flatten(0, 1), y, w), None


@dataclass(frozen=True, kw_only=True)
class TabM(NeuralMethod):
    """members: k. layers, hidden: number and width of a member's layers. bins, width: of the embeddings of numbers."""

    family: ClassVar[str] = "tabular deep"
    fused: ClassVar[Count] = 0  # pyright: ignore[reportIncompatibleVariableOverride]
    heads: ClassVar[Count] = 1  # pyright: ignore[reportIncompatibleVariableOverride]

    members: Count = 24
    layers: Annotated[Count, Choice((1, 2, 3))] = 2
    hidden: Annotated[Count, Choice((64, 128, 256))] = 128
    bins: Annotated[int, Ge(2), Choice((8, 16, 32))] = 16
    width: Annotated[Count, Choice((4, 8))] = 4
    dropout: Annotated[ProperShare, Range(0, 0.5)] = 0.1
    lr: Annotated[Positive, Range(5e-4, 8e-3, log=True)] = 4e-3
    weight_decay: Annotated[NonNegative, Range(1e-5, 0.1, log=True)] = 3e-4

    def encode(self, shapes: Mapping[str, prep.Shape]) -> nn.Module:
        return Columns(shapes, self.bins, self.width)

    def sharing(self, d: int, tasks: int) -> nn.Module:
        return self.layered([1] * d)

    def layered(self, chunks: list[int]) -> nn.Module:
        """(B, d) -> (B, k, hidden). chunks: of the d columns, what shares one draw of the first scaling."""
        first = First(sum(chunks), self.hidden, k=self.members, scaling_init=("normal", "ones"), first_scaling_init_chunks=chunks)
        later = (
            LinearBatchEnsemble(self.hidden, self.hidden, k=self.members, scaling_init="ones") for _ in range(self.layers - 1)
        )
        return nn.Sequential(*(part for layer in (first, *later) for part in (layer, nn.ReLU(), Dropout(self.dropout))))

    def build(self, shapes: Mapping[str, prep.Shape], y: Tensor, w: Tensor) -> Network:
        columns = Columns(shapes, self.bins, self.width)
        start = log_odds(y, w)
        heads: Any = LinearEnsemble(self.hidden, len(start), k=self.members)
        with torch.no_grad():
            heads.bias.copy_(start)
        return Ensemble(columns, self.layered(columns.chunks), heads)


METHOD = TabM
