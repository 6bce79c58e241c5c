"""One small Transformer a modality, its blocks the same for all or each its own; and contrastive pretraining of pairs of them.

Roy, Ogidi, Etemad, Dolatabadi, Afkanpour, arXiv 2503.01654 (2025): blocks of all modalities are the same module objects, and
learnable modality features tell them what they read. A modality that a row lacks has exactly zero influence.
"""

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.core import JSON, BenchError, Unsupported
from bench.nets.encoders import Batch, Encoder
from bench.nets.fusion import Layer
from bench.prep import Shape

Form: TypeAlias = Literal["concat", "additive", "token"]

TEMPERATURE, SHARPEST = 0.07, 100.0  # InfoNCE: where the scale starts, 1 / temperature, and its cap


def check_room(form: Form, features: int, fused: int) -> None:
    """BenchError if the features leave no room for numbers of a token's own."""
    if form == "concat" and features >= fused:
        raise BenchError(f"form=concat needs features below fused, but features is {features} and fused {fused}")


class Towers(nn.Module):
    """A batch -> (B, d), the mean over a row's modalities of their global tokens; 0 where it has none. `width` is d.

    form: how a token says what modality it is of. concat: `features` learnable numbers beside d - `features` of its own;
    additive: a learnable vector is added; token: `features` learnable tokens stand behind the global one. All tokens carry
    the feature, the global one too. Tokenizers and features are a modality's own; the global token and the last norm are not.
    """

    def __init__(
        self, shapes: Mapping[str, Shape], d: int, hidden: int, layers: int, heads: int, dropout: float, form: Form, features: int, tied: bool
    ) -> None:  # fmt: skip
        super().__init__()
        own = d - features if form == "concat" else d
        self.width, self.form, self.keys = d, form, tuple(shapes)
        self.encoders = Encoder(shapes, own, hidden, 0, heads, dropout).encoders
        sizes = {"concat": (1, features), "additive": (1, d), "token": (features, d)}[form]
        self.features = nn.Parameter(torch.randn(len(shapes), *sizes) * 0.02)
        self.glob = nn.Parameter(torch.randn(1, own) * 0.02)

        def blocks() -> nn.ModuleList:
            return nn.ModuleList(Layer(d, heads, dropout, queries=int(i == layers - 1)) for i in range(layers))

        first = blocks()
        self.blocks = nn.ModuleList([first, *(first if tied else blocks() for _ in self.keys[1:])])
        self.norm = nn.LayerNorm(d)

    def forward(self, batch: Batch) -> Tensor:
        vectors, there = self.vectors(batch)
        share = there / there.sum(1, keepdim=True).clamp(min=1)
        return (vectors * share[..., None]).sum(1)

    def vectors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B, M, d) a vector a modality, and (B, M) whether the row has it."""
        parts = [encoder(batch[key]) for key, encoder in zip(self.keys, self.encoders, strict=True)]
        out = [self.tower(m, tokens, mask) for m, (tokens, mask) in enumerate(parts)]
        return torch.stack(out, dim=1), torch.stack([batch[key]["present"] for key in self.keys], dim=1)

    def tower(self, m: int, tokens: Tensor, mask: Tensor) -> Tensor:
        """Tokens (B, L, d or less) and mask (B, L) of modality m -> (B, d)."""
        x = torch.cat([self.glob.expand(len(tokens), 1, -1), tokens], dim=1)
        feature = self.features[m].expand(len(x), -1, -1)
        if self.form == "concat":
            x = torch.cat([x, feature.expand(-1, x.shape[1], -1)], dim=2)
        elif self.form == "additive":
            x = x + feature
        else:
            x = torch.cat([x[:, :1], feature, x[:, 1:]], dim=1)
        seen = functional.pad(mask, (x.shape[1] - mask.shape[1], 0), value=True)  # the global token and the modality's are there
        for block in self.blocks[m].children():
            x = block(x, seen)
        return self.norm(x[:, 0])


def info_nce(a: Tensor, b: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE: the mean of both directions' cross-entropy of scale * cos(a_i, b_j), the true pair being i = j.

    log B for constant vectors. a, b: (B, d), not 0.
    """
    logits = scale * functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T
    pairs = torch.arange(len(a), device=a.device)
    return (functional.cross_entropy(logits, pairs) + functional.cross_entropy(logits.T, pairs)) / 2


class Contrast(nn.Module):
    """The mean over pairs of modalities of InfoNCE, each behind a linear map of its own, of the rows that have both.

    scale: exp of a learnable logarithm, 1 / 0.07 at first and at most 100.
    """

    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.towers = towers
        self.maps = nn.ModuleList(nn.Linear(towers.width, towers.width, bias=False) for _ in towers.keys)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(TEMPERATURE)))

    @property
    def scale(self) -> Tensor:
        return self.log_scale.exp().clamp(max=SHARPEST)

    def forward(self, batch: Batch) -> Tensor:
        vectors, there = self.towers.vectors(batch)
        z = [project(vectors[:, m]) for m, project in enumerate(self.maps)]
        both = {(m, k): there[:, m] & there[:, k] for m, k in combinations(range(len(z)), 2)}
        losses = [info_nce(z[m][rows], z[k][rows], self.scale) for (m, k), rows in both.items() if int(rows.sum()) > 1]
        return torch.stack(losses).mean() if losses else vectors.sum() * 0.0


def paired(data: Batch) -> Tensor:
    """Rows with two modalities or more. Unsupported where fewer than two rows have."""
    rows = torch.nonzero(torch.stack([part["present"] for part in data.values()]).sum(0) > 1).squeeze(1)
    if len(rows) < 2:
        raise Unsupported(f"needs rows with two modalities to contrast, but {len(rows)} rows have them")
    return rows


def contrasted(towers: Towers, data: Batch, epochs: int, batch: int, lr: float, weight_decay: float) -> dict[str, JSON]:
    """Trains towers in place on the rows with two modalities; the loss by epoch, the scale reached, the rows."""
    rows = paired(data)
    contrast = Contrast(towers).to(towers.glob).train()
    groups = [[p for p in contrast.parameters() if (p.dim() > 1) == matrix] for matrix in (True, False)]
    decays = [{"params": g, "weight_decay": d} for g, d in zip(groups, (weight_decay, 0.0), strict=True)]
    optimizer = torch.optim.AdamW(decays, lr=lr, fused=True)
    losses: list[float] = []
    for _ in range(epochs):
        total = 0.0
        for index in torch.tensor_split(rows[torch.randperm(len(rows)).to(rows.device)], -(-len(rows) // batch)):
            part = {key: {name: array.index_select(0, index) for name, array in one.items()} for key, one in data.items()}
            loss = contrast(part)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(contrast.parameters(), 1.0)
            optimizer.step()
            total += float(loss.detach()) * len(index) / len(rows)
        losses.append(total)
    return {"contrastive": losses, "contrastive_scale": float(contrast.scale.detach()), "contrastive_rows": len(rows)}
