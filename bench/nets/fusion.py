"""Modality tokens and a learnable global token through a small pre-norm Transformer; the global token is the patient.

A masked token has exactly zero influence. A row without any token still has the global one, so it is never undefined.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.nets.dropout import Dropout


class Layer(nn.Module):
    """A pre-norm Transformer layer: (B, L, d), mask (B, L) -> (B, queries, d), the first `queries` positions (0 = all)."""

    def __init__(self, d: int, heads: int, dropout: float, queries: int = 0) -> None:
        super().__init__()
        self.heads, self.queries = heads, queries
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.query, self.key_value, self.out = nn.Linear(d, d), nn.Linear(d, 2 * d), nn.Linear(d, d)
        self.feed = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), Dropout(dropout), nn.Linear(2 * d, d))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        h = self.norm1(x)
        x, first = (x[:, : self.queries], h[:, : self.queries]) if self.queries else (x, h)
        key, value = self.key_value(h).chunk(2, dim=-1)
        q, k, v = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (self.query(first), key, value)
        )  # (B, heads, L, -1)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        x = x + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.feed(self.norm2(x)))


class Fusion(nn.Module):
    """Tokens (B, L, d) with mask (B, L), True = there -> (B, d).

    Only the global token of the last layer is read, so the last layer computes that position alone: the same numbers at a
    fraction of the work.
    """

    def __init__(self, d: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.glob = nn.Parameter(torch.randn(1, 1, d) * 0.02)
        self.layers = nn.ModuleList(Layer(d, heads, dropout, queries=int(i == layers - 1)) for i in range(layers))
        self.norm = nn.LayerNorm(d)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        x = torch.cat([self.glob.expand(len(tokens), 1, -1), tokens], dim=1)
        seen = functional.pad(mask, (1, 0), value=True)
        for layer in self.layers:
            x = layer(x, seen)
        return self.norm(x[:, 0])
