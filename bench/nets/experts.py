"""Experts and gates as stacked parameters: one batched matmul each, no loop over experts or tasks."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.nets.dropout import Dropout


class Stacked(nn.Module):
    """n linear maps d -> width side by side, each initialised as `nn.Linear(d, width)` would be.

    (B, d), the same input for all, or (B, s, d), where the first n / s maps read the first input and so on, -> (B, n, width).
    """

    def __init__(self, n: int, d: int, width: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(d)
        self.weight = nn.Parameter(torch.empty(n, d, width).uniform_(-bound, bound).mT.contiguous())  # read without copies
        self.bias = nn.Parameter(torch.empty(n, width).uniform_(-bound, bound))

    def forward(self, h: Tensor) -> Tensor:
        n, width, d = self.weight.shape
        if h.dim() == 2:
            return functional.linear(h, self.weight.view(-1, d), self.bias.view(-1)).view(-1, n, width)
        s = h.shape[1]
        weight = self.weight.view(s, -1, d)  # of what reads one input, side by side
        out = torch.baddbmm(self.bias.view(s, 1, -1), h.transpose(0, 1), weight.mT)  # (s, B, n / s * width)
        return out.transpose(0, 1).reshape(-1, n, width).contiguous()


class Experts(nn.Module):
    """n one-layer experts with GELU and dropout: (B, d) or (B, n, d) -> (B, n, width)."""

    def __init__(self, n: int, d: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = width
        self.maps = Stacked(n, d, width)
        self.dropout = Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        return self.dropout(functional.gelu(self.maps(h)))


class Gates(nn.Module):
    """G softmax gates over the experts that each may see: (B, d) or (B, G, d) -> (B, G, E), rows sum to 1.

    visible: (G, E) bool, all True if None. What a gate cannot see has weight exactly 0 and no parameter. As in the papers a gate
    is one linear layer. `weights` holds the last forward's gates, for facts and diagnosis.
    """

    at: Tensor  # positions of the visible pairs in a flattened (G, E)
    hidden: Tensor  # (G, E) 0 where visible, -inf elsewhere

    def __init__(self, n: int, d: int, experts: int, visible: Tensor | None = None) -> None:
        super().__init__()
        seen = torch.ones(n, experts, dtype=torch.bool) if visible is None else visible
        self.shape = (n, experts)
        self.register_buffer("at", seen.flatten().nonzero().squeeze(1), persistent=False)
        self.register_buffer("hidden", torch.zeros(n, experts).masked_fill(~seen, -torch.inf), persistent=False)
        bound = 1 / math.sqrt(d)
        self.weight = nn.Parameter(torch.empty(len(self.at), d).uniform_(-bound, bound))  # one row per visible pair, row by row
        self.bias = nn.Parameter(torch.empty(len(self.at)).uniform_(-bound, bound))
        self.weights = torch.empty(0)

    def forward(self, h: Tensor) -> Tensor:
        n, experts = self.shape
        weight, bias = self.weight, self.bias
        if len(weight) < n * experts:
            weight = weight.new_zeros(n * experts, weight.shape[1]).index_copy(0, self.at, weight)
            bias = self.hidden.view(-1).index_copy(0, self.at, bias)
        bias = bias.view(n, experts)
        # Rows last: a softmax over short rows side by side costs ten times as much
        if h.dim() == 2:
            logits = torch.addmm(bias.view(-1, 1), weight, h.T).view(n, experts, -1)
        else:
            logits = torch.baddbmm(bias[..., None], weight.view(n, experts, -1), h.permute(1, 2, 0))
        gates = torch.softmax(logits, dim=1).permute(2, 0, 1).contiguous()
        self.weights = gates.detach()
        return gates

    def entropy(self) -> float:
        """Mean entropy of the last forward's gates as a share of its maximum: 1 = even, 0 = one expert each. NaN before a forward."""
        gates, choices = self.weights, torch.isfinite(self.hidden).sum(-1)
        share = torch.special.entr(gates).sum(-1) / choices.clamp(min=2).log()
        return float(share[..., choices > 1].mean()) if gates.numel() else math.nan
