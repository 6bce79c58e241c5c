"""FT-Transformer: every input column is a token; the CLS token of a Transformer over them goes to one head per outcome.

Gorishniy, Rubachev, Khrulkov, Babenko, "Revisiting Deep Learning Models for Tabular Data", NeurIPS 2021, section 3.3:
    token_j = b_j + x_j W_j (a number),   b_j + E_j[x_j] (a code);   tokens go through `layers` pre-norm blocks
    x = x + Attention(Norm(x)),   x = x + W_2 ReGLU(W_1 Norm(x)),   ReGLU(a, b) = a * ReLU(b)
    logit_t = a_t' ReLU(Norm(x_CLS)) + c_t
The very first Norm is skipped, as in the paper's code. In the last block only CLS asks, since nothing else of it is read.
Published: code (yandex-research/rtdl-revisiting-models) and results on 11 public datasets, single targets, none clinical.
Departures: T heads on CLS, where the paper has one target. Numbers are normal scores; a missing one is x_j = 0 with a vector of
its own added, a missing code has an embedding. Each series channel is one token, linear in its eight statistics and a flag of
emptiness, and each text vector is one: a token for every statistic would double the length. Tokens of a modality that a row
lacks are masked. CLS in the last block attends without dropout. The optimizer's clipping, the running average of weights and
early stopping are those of all networks here. Sizes, rate and dropout are for some thousand patients on one thread; the paper's:
`ft_transformer:fused=192:hidden=256:layers=3:heads=8:dropout=0.2:lr=1e-4:average=0`.
Cost: 55 s per cell of surgical (8,450 training rows, one thread), five and a half times hard_sharing; 54 tokens there.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import prep
from bench.core import Cohort, Count, NonNegative, Positive, ProperShare
from bench.nets.dropout import Dropout
from bench.nets.encoders import Batch
from bench.nets.fusion import Layer
from bench.search import Choice, Range
from bench.train import NeuralMethod


class Tokenizer(nn.Module):
    """n groups of `inputs` numbers each: (B, n, inputs) -> (B, n, d), token_j = b_j + x_j W_j.

    Parameters are flat, since the trainer decays the weights of matrices only and the paper decays no tokenizer.
    """

    def __init__(self, n: int, inputs: int, d: int) -> None:
        super().__init__()
        self.shape = (n, inputs, d)
        bound = 1 / math.sqrt(d)
        self.weight = nn.Parameter(torch.empty(n * inputs * d).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n * d).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        n, _, d = self.shape
        return torch.einsum("bni,nid->bnd", x, self.weight.view(self.shape)) + self.bias.view(n, d)


class Codes(nn.Module):
    """(B, c) codes -> (B, c, d), a row per category of every column. Flat as the tokenizers; b_j is part of E_j."""

    offsets: Tensor

    def __init__(self, cards: tuple[int, ...], d: int) -> None:
        super().__init__()
        self.d = d
        bound = 1 / math.sqrt(d)
        self.weight = nn.Parameter(torch.empty(sum(cards) * d).uniform_(-bound, bound))
        self.register_buffer(
            "offsets", torch.tensor(list(accumulate(cards, initial=0))[:-1], dtype=torch.int64), persistent=False
        )

    def forward(self, codes: Tensor) -> Tensor:
        return functional.embedding(codes + self.offsets, self.weight.view(-1, self.d))


class ReGLU(nn.Module):
    """(..., d) -> (..., d): W_2 (a * ReLU(b)), a and b the halves of W_1 x."""

    def __init__(self, d: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.up, self.down, self.dropout = nn.Linear(d, 2 * hidden), nn.Linear(hidden, d), Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.up(x).chunk(2, dim=-1)
        return self.down(self.dropout(a * functional.relu(b)))


class Block(Layer):
    """A pre-norm block: (B, L, d), mask (B, L), True = there -> (B, L, d), the last one (B, 1, d), the first token alone."""

    def __init__(self, d: int, hidden: int, heads: int, dropout: float, ffn_dropout: float, first: bool, last: bool) -> None:
        super().__init__(d, heads, 0.0, queries=int(last))
        self.feed = ReGLU(d, hidden, ffn_dropout)
        self.attention_dropout = dropout
        self.grouped = dropout == 0  # torch draws the masks inside its attention
        if first:
            self.norm1 = nn.Identity()

    def _attend(self, first: Tensor, h: Tensor, mask: Tensor) -> Tensor:
        if self.queries:
            return super()._attend(first, h, mask)
        query, key, value = (
            part(h).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )  # (B, H, L, e)
        drop = self.attention_dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, mask[:, None, None], dropout_p=drop)
        return mixed.transpose(1, 2).flatten(2)


class FeatureTransformer(nn.Module):
    """All modalities of a batch -> (B, d), the CLS token. `width` is d."""

    def __init__(self, shapes: Mapping[str, prep.Shape], d: int, blocks: nn.ModuleList) -> None:
        super().__init__()
        self.width, self.shapes, self.blocks = d, dict(shapes), blocks
        self.tokenizers = nn.ModuleList(_tokenizer(shape, d) for shape in shapes.values())
        cards = [shape.cards if isinstance(shape, prep.TableShape) else () for shape in shapes.values()]
        self.codes = nn.ModuleList(Codes(c, d) for c in cards)
        self.cls = nn.Parameter(torch.empty(d).uniform_(-1 / math.sqrt(d), 1 / math.sqrt(d)))
        self.norm = nn.LayerNorm(d)

    def tokens(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B, L, d), CLS first, and the mask (B, L)."""
        found = [self.cls.expand(len(next(iter(batch.values()))["present"]), 1, -1)]
        masks = [torch.ones_like(found[0][..., 0], dtype=torch.bool)]
        for (key, shape), tokenizer, codes in zip(self.shapes.items(), self.tokenizers, self.codes, strict=True):
            x = batch[key]
            parts = [tokenizer(_grouped(x, shape))] + ([codes(x["codes"])] if "codes" in x and x["codes"].shape[1] else [])
            found += parts
            masks += [x["present"][:, None].expand(-1, part.shape[1]) for part in parts]
        return torch.cat(found, 1), torch.cat(masks, 1)

    def forward(self, batch: Batch) -> Tensor:
        x, mask = self.tokens(batch)
        for block in self.blocks:
            x = block(x, mask)
        return functional.relu(self.norm(x[:, 0]))


def _tokenizer(shape: prep.Shape, d: int) -> Tokenizer:
    if isinstance(shape, prep.TableShape):
        return Tokenizer(shape.numeric, 2, d)
    if isinstance(shape, prep.SeriesShape):
        return Tokenizer(shape.channels, shape.summary // shape.channels, d)
    return Tokenizer(1, shape.width, d)


def _grouped(x: Mapping[str, Tensor], shape: prep.Shape) -> Tensor:
    """A modality's numbers as its tokenizer takes them, (B, n, inputs): with each number or channel its flag, last."""
    if isinstance(shape, prep.TableShape):
        return torch.stack([x["numeric"], x["missing"]], dim=-1)
    if isinstance(shape, prep.SeriesShape):
        statistics, empty = x["summary"].split([shape.summary - shape.channels, shape.channels], 1)
        return torch.cat([statistics.unflatten(1, (shape.channels, -1)), empty[..., None]], dim=-1)
    return x["vector"][:, None]


class Shared(nn.Module):
    """(B, d) -> (B, T, d): every head reads the same vector."""

    def __init__(self, d: int, tasks: int) -> None:
        super().__init__()
        self.width, self.tasks = d, tasks

    def forward(self, h: Tensor) -> Tensor:
        return h[:, None].expand(-1, self.tasks, -1)


@dataclass(frozen=True, kw_only=True)
class FTTransformer(NeuralMethod):
    """fused: width of a token. hidden: of ReGLU. layers, heads: of the Transformer. dropout: of attention weights."""

    family: ClassVar[str] = "tabular deep"

    fused: Annotated[Count, Choice((24, 48, 64))] = 48
    hidden: Annotated[Count, Choice((32, 64, 128))] = 64
    layers: Annotated[Count, Choice((1, 2, 3))] = 2
    heads: Count = 4
    dropout: Annotated[ProperShare, Range(0, 0.4)] = 0.0
    ffn_dropout: Annotated[ProperShare, Range(0, 0.4)] = 0.1
    lr: Annotated[Positive, Range(2e-4, 5e-3, log=True)] = 2e-3
    weight_decay: Annotated[NonNegative, Range(1e-6, 1e-3, log=True)] = 1e-5

    @property
    def alone(self) -> str:
        return super().alone or ("torch draws the masks inside its attention" if self.dropout else "")

    def idle(self, cohort: Cohort) -> tuple[str, ...]:
        return (*super().idle(cohort), *(("dropout",) if self.layers == 1 else ()))  # the last layer's one query attends without

    def encode(self, shapes: Mapping[str, prep.Shape]) -> nn.Module:
        last = self.layers - 1
        sizes: Any = (self.fused, self.hidden, self.heads, self.dropout, self.ffn_dropout)
        blocks = nn.ModuleList(Block(*sizes, first=i == 0, last=i == last) for i in range(self.layers))
        return FeatureTransformer(shapes, self.fused, blocks)

    def sharing(self, d: int, tasks: int) -> nn.Module:
        return Shared(d, tasks)


METHOD = FTTransformer
