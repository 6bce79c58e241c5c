"""Text encoders that learn: words with an embedding of their own, and the last layer of a pretrained encoder."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from bench.nets.dropout import Dropout
from bench.prep.text import Encoder

EMBEDDED = 64  # width of a word
SLOW = 0.02  # a pretrained weight moves by this share of the method's learning rate: 2e-5 at 1e-3, as BERT is tuned


class WordEncoder(nn.Module):
    """Numbered words -> (B, 1, d): embedded, each with its neighbours by a convolution, pooled by attention, one hidden layer.

    A note without a known word pools to 0. What comes after the last word has no influence.
    """

    def __init__(self, words: int, d: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words + 1, EMBEDDED, padding_idx=0)
        self.near = nn.Conv1d(EMBEDDED, EMBEDDED, 3, padding=1)
        self.score = nn.Linear(EMBEDDED, 1)
        self.net = _mlp(EMBEDDED, hidden, d, dropout)

    def forward(self, x: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        there = x["ids"] > 0
        words = self.embedding(x["ids"])
        words = words + functional.gelu(self.near(words.transpose(1, 2))).transpose(1, 2)
        score = self.score(words).masked_fill(~there[..., None], -1e9)
        pooled = ((score.softmax(1) * there[..., None]) * words).sum(1)
        return self.net(pooled)[:, None], x["present"][:, None]


class TunedEncoder(nn.Module):
    """Hidden states before the last layer -> (B, 1, d): that layer, trained on, the mean over tokens, one hidden layer.

    A note without a token pools to 0. What is learned of the layer is the distance from its pretrained weights, so that weight
    decay pulls towards these (Li et al., "Explicit Inductive Bias for Transfer Learning", ICML 2018) and not towards 0.
    """

    def __init__(self, encoder: Encoder, d: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layer: Any = encoder.last_layer()
        for module in self.layer.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # the method's own dropout does that
        for i, parameter in enumerate(self.layer.parameters()):
            self.register_buffer(f"start{i}", parameter.detach().clone())
            nn.init.zeros_(parameter)
        self.net: Any = _mlp(encoder.width, hidden, d, dropout)
        self.grouped = False  # a layer of another library's

    def forward(self, x: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.net(self.pooled(x))[:, None], x["present"][:, None]

    def pooled(self, x: Mapping[str, Tensor]) -> Tensor:
        """(B, width), the mean over a note's tokens after the tuned layer."""
        states = x["states"].to(self.net[0].weight.dtype)
        there = torch.arange(states.shape[1], device=states.device) < x["tokens"][:, None]
        moved = enumerate(self.layer.named_parameters())
        weights = {name: getattr(self, f"start{i}") + SLOW * distance for i, (name, distance) in moved}
        after = functional_call(self.layer, weights, (states,), {"attention_mask": (~there)[:, None, None] * -1e9})
        after = after[0] if isinstance(after, tuple) else after
        return (after * there[..., None]).sum(1) / x["tokens"].clamp(min=1)[:, None]


def _mlp(width: int, hidden: int, d: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), Dropout(dropout), nn.Linear(hidden, d))
