"""MMoE: every task mixes the same experts through a gate of its own.

Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts", KDD 2018, eq. 6-7:
    f_t(h) = sum_k g_t(h)_k E_k(h),   g_t = softmax(W_t h + c_t),   logit_t = a_t' f_t + b_t
Published: no code of its authors; results on synthetic regressions, UCI Census-income and a recommender of theirs.
Departures: experts and gates read the fused patient vector, where the paper has one flat input; an expert is one layer with
GELU and dropout, and the tower is the linear head that all methods here share.
Cost: 14 s per cell of surgical, 1.4 times hard_sharing.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from bench.core import Count
from bench.nets.experts import Experts, Gates
from bench.search import Choice
from bench.train import NeuralMethod


class MixtureOfExperts(nn.Module):
    """(B, d) patient vectors -> (B, T, width) task vectors."""

    def __init__(self, d: int, tasks: int, experts: int, width: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.experts = Experts(experts, d, width, dropout)
        self.gates = Gates(tasks, d, experts)

    def forward(self, h: Tensor) -> Tensor:
        experts = self.experts(h)  # (B, E, width), one batched matmul
        gates = self.gates(h)  # (B, T, E), rows sum to 1
        return torch.bmm(gates, experts)


@dataclass(frozen=True, kw_only=True)
class MMoE(NeuralMethod):
    """One shared pool of experts; `experts=1` is hard sharing."""

    experts: Annotated[Count, Choice((2, 4, 8, 16))] = 8  # the paper's choice on Census-Income
    width: Annotated[Count, Choice((32, 64, 128))] = 64

    def sharing(self, d: int, tasks: int) -> nn.Module:
        return MixtureOfExperts(d, tasks, self.experts, self.width, self.dropout)


METHOD = MMoE
