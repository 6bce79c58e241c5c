"""From prepared arrays to tokens: one encoder a kind of modality, the same for every neural method.

What is missing arrives as 0 with its flag. A modality that a row lacks as a whole is masked, and then has exactly zero influence.
"""

from collections.abc import Mapping
from itertools import accumulate
from typing import TypeAlias

import torch
from rtdl_num_embeddings import PeriodicEmbeddings
from torch import Tensor, nn
from torch.nn import functional

from bench.nets.dropout import Dropout
from bench.nets.fusion import Fusion
from bench.nets.series import Steps, body
from bench.nets.text import TunedEncoder, WordEncoder
from bench.prep import SeriesShape, Shape, TableShape

Batch: TypeAlias = Mapping[str, Mapping[str, Tensor]]

EMBEDDED = 8  # width of an embedded number or code
FREQUENCIES = 16
SPREAD = 0.05  # SD of the frequencies at the start


class TableEncoder(nn.Module):
    """Embedded numbers, flags of missingness and embedded codes through one hidden layer -> (B, 1, d).

    Numbers: periodic embeddings (Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning", NeurIPS
    2022), linear and ReLU after them, the linear layer shared by all columns.
    """

    offsets: Tensor

    def __init__(self, shape: TableShape, d: int, hidden: int, dropout: float) -> None:
        super().__init__()
        embedding = PeriodicEmbeddings(
            max(shape.numeric, 1), EMBEDDED, n_frequencies=FREQUENCIES, frequency_init_scale=SPREAD, lite=True
        )
        self.numeric = embedding if shape.numeric else nn.Flatten()
        self.codes = nn.Embedding(sum(shape.cards), EMBEDDED)
        offsets = list(accumulate(shape.cards, initial=0))[:-1]
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.int64), persistent=False)
        width = shape.numeric * (EMBEDDED + 1) + len(shape.cards) * EMBEDDED
        self.net = _mlp(width, hidden, d, dropout)

    def forward(self, x: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        numbers = self.numeric(x["numeric"]).flatten(1)
        codes = (
            self.codes(x["codes"] + self.offsets).flatten(1) if len(self.offsets) else numbers[:, :0]
        )  # vmap knows no empty embedding
        return self.net(torch.cat([numbers, x["missing"], codes], dim=1))[:, None], x["present"][:, None]


class SeriesEncoder(nn.Module):
    """Windows and a summary of the whole series -> (B, W + 1, d). A window without any observation is masked."""

    def __init__(self, shape: SeriesShape, d: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(shape.channels * (shape.stats + 1), d)
        self.time = nn.Linear(1, d)
        self.place = nn.Parameter(torch.randn(shape.windows, d) * 0.02)
        self.summary = _mlp(shape.summary, hidden, d, dropout)

    def forward(self, x: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        cells = torch.cat([x["windows"].flatten(2), x["observed"]], dim=2)  # (B, W, channels * (stats + 1))
        windows = functional.gelu(self.project(cells) + self.time(x["time"][..., None]) + self.place)
        present = x["present"][:, None]
        mask = torch.cat([present, x["observed"].any(2) & present], dim=1)
        return torch.cat([self.summary(x["summary"])[:, None], windows], dim=1), mask


class StepsEncoder(nn.Module):
    """A summary of the whole series, and but for `series=summary` what a network makes of its steps -> (B, 1 + L, d)."""

    def __init__(self, shape: SeriesShape, d: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.summary = _mlp(shape.summary, hidden, d, dropout)
        self.body = body(shape.encoding, shape.channels, d, dropout, shape.windows) if shape.windows else None
        self.grouped = self.body is None  # how many steps are read hangs on what a batch holds

    def forward(self, x: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        summary, present = self.summary(x["summary"])[:, None], x["present"][:, None]
        if self.body is None:
            return summary, present
        tokens, mask = self.body(Steps.of(x["windows"], x["observed"], x["time"]))
        return torch.cat([summary, tokens], dim=1), torch.cat([present, mask & present], dim=1)


class TextEncoder(nn.Module):
    """A text vector through one hidden layer -> (B, 1, d)."""

    def __init__(self, width: int, d: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.net = _mlp(width, hidden, d, dropout)

    def forward(self, x: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.net(x["vector"])[:, None], x["present"][:, None]


class Encoder(nn.Module):
    """All modalities of a batch -> (B, d), the fused patient vector. `width` is d."""

    def __init__(self, shapes: Mapping[str, Shape], d: int, hidden: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.width = d
        self.encoders = nn.ModuleList(_encoder(s, d, hidden, dropout) for s in shapes.values())
        self.keys = tuple(shapes)
        self.kinds = nn.Parameter(torch.randn(len(shapes), d) * 0.02)
        self.fusion = Fusion(d, layers, heads, dropout)

    def forward(self, batch: Batch) -> Tensor:
        pairs = [encoder(batch[key]) for key, encoder in zip(self.keys, self.encoders, strict=True)]
        tokens = torch.cat([tokens + kind for (tokens, _), kind in zip(pairs, self.kinds, strict=True)], dim=1)
        return self.fusion(tokens, torch.cat([mask for _, mask in pairs], dim=1))


def _encoder(shape: Shape, d: int, hidden: int, dropout: float) -> nn.Module:
    if isinstance(shape, TableShape):
        return TableEncoder(shape, d, hidden, dropout)
    if isinstance(shape, SeriesShape):
        return (SeriesEncoder if shape.encoding == "windows" else StepsEncoder)(shape, d, hidden, dropout)
    if shape.tuned is not None:
        return TunedEncoder(shape.tuned, d, hidden, dropout)
    return WordEncoder(shape.words, d, hidden, dropout) if shape.words else TextEncoder(shape.width, d, hidden, dropout)


def _mlp(width: int, hidden: int, d: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), Dropout(dropout), nn.Linear(hidden, d))
