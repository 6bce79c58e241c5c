"""Modality tokens and a learnable global token through a small pre-norm Transformer; the global token is the patient.

A masked token has exactly zero influence. A row without any token still has the global one, so it is never undefined.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.nets.dropout import Dropout


class Layer(nn.Module):
    """A pre-norm Transformer layer: (B, L, d), mask (B, L) -> (B, queries, d), the first `queries` positions (0 = all).

    (W_q x)'(W_k h) = (W_k'W_q x)'h and sum_l a_l W_v h_l = W_v sum_l a_l h_l: keys and values are never made, since one query
    meets many tokens; for the default size a third of the time. A bias of the keys would cancel in the softmax.
    """

    def __init__(self, d: int, heads: int, dropout: float, queries: int = 0) -> None:
        super().__init__()
        self.heads, self.queries = heads, queries
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.query, self.value, self.out = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)
        self.key = nn.Linear(d, d, bias=False)
        self.feed = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), Dropout(dropout), nn.Linear(2 * d, d))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        h = self.norm1(x)
        x, first = (x[:, : self.queries], h[:, : self.queries]) if self.queries else (x, h)
        x = x + self.dropout(self.out(self._attend(first, h, mask)))
        return x + self.dropout(self.feed(self.norm2(x)))

    def _attend(self, first: Tensor, h: Tensor, mask: Tensor) -> Tensor:
        """(B, Q, d) queries over (B, L, d) tokens -> (B, Q, d), heads side by side."""
        key, value = (weight.unflatten(0, (self.heads, -1)) for weight in (self.key.weight, self.value.weight))  # (H, e, d)
        first = first.contiguous()  # of a part of the tokens vmap takes an outer product a row in the backward pass
        query = self.query(first).unflatten(-1, (self.heads, -1))  # (B, Q, H, e)
        reach = torch.einsum("bqhe,hed->bqhd", query, key)
        scores = reach.flatten(1, 2) @ h.transpose(1, 2) / math.sqrt(key.shape[1])  # (B, QH, L)
        weights = torch.softmax(scores.masked_fill(~mask[:, None], -torch.inf), dim=-1)
        mixed = (weights @ h).unflatten(1, query.shape[1:3])  # (B, Q, H, d)
        return torch.einsum("bqhd,hed->bqhe", mixed, value).flatten(2) + self.value.bias


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
