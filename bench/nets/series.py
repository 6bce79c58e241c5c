"""Networks over the steps of an irregular series: GRU-D, a temporal convolution, a patch Transformer.

A step is what a row measured at one time (`bench.prep.series.SeriesSteps`), the latest last, empty steps in front. Each body maps
(values, observed, time) to tokens (B, L, width) and a mask (B, L). An empty step has exactly no influence, nor has what is beyond
a row's own steps: the value of a row does not depend on the batch that it is in. Rows without any step are masked.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.nets.dropout import Dropout
from bench.nets.fusion import Layer
from bench.prep.series import PATCH

FREQUENCIES = (0.5, 1.0, 2.0, 4.0)  # cycles in the unit of time, within which most events lie
CLOCK = 2 + 2 * len(FREQUENCIES)
REACH = 5.0  # units: steps further back count as this far, so that one stray time cannot swamp the network
NARROW = 32  # channels of the convolution: 64 cost four times as much
UNITS = 48  # of the recurrent state: 64 cost a third more
SHUT = 1e4  # added to the update gate in an empty step: its sigmoid is exactly 1, and the state stays as it was
DILATIONS = (1, 2, 4, 8)
KERNEL = 3


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """values, observed: (B, S, channels). time: (B, S), in units before the prediction. here: (B, S) whether a step holds anything."""

    values: Tensor
    observed: Tensor
    time: Tensor
    here: Tensor

    @classmethod
    def of(cls, windows: Tensor, observed: Tensor, time: Tensor) -> "Steps":
        """From prepared arrays, without the steps that are empty in all rows of the batch: whole patches of the front."""
        here = observed.any(2)
        used = here.any(0).nonzero()
        start = int(used[0, 0]) // PATCH * PATCH if len(used) else max(here.shape[1] - PATCH, 0)
        return cls(windows[:, start:, :, 0], observed[:, start:], time[:, start:].clamp(-REACH, REACH), here[:, start:])

    def clock(self) -> Tensor:
        """(B, S, CLOCK) the time as numbers: itself, its logarithm, sines and cosines; 0 in empty steps."""
        angles = [2 * torch.pi * f * self.time for f in FREQUENCIES]
        late = torch.sign(self.time) * torch.log1p(9 * self.time.abs())  # the last hours told apart finely
        waves = [wave for angle in angles for wave in (torch.sin(angle), torch.cos(angle))]
        return torch.stack([self.time, late, *waves], dim=2) * self.here[..., None]

    def cells(self) -> Tensor:
        """(B, S, 2 * channels + CLOCK) values, masks and time."""
        return torch.cat([self.values, self.observed, self.clock()], dim=2)

    @torch.no_grad()
    def before(self) -> Tensor:
        """(B, S, channels) the step at which a channel was last observed before this one, -1 for none."""
        place = torch.arange(self.here.shape[1], device=self.time.device)[:, None]
        last = torch.where(self.observed > 0, place, -1).cummax(1).values
        return functional.pad(last, (0, 0, 1, 0), value=-1)[:, :-1]

    @torch.no_grad()
    def last(self, before: Tensor) -> Tensor:
        """(B, S, channels) the last value before a step, 0 where none."""
        return self.values.gather(1, before.clamp(min=0)) * (before >= 0)

    @torch.no_grad()
    def since(self, before: Tensor) -> Tensor:
        """(B, S, channels) the time since then, or since the row's first step where none; 0 in empty steps."""
        first = self.here.to(torch.uint8).argmax(1, keepdim=True)[..., None]
        then = self.time[..., None].expand_as(self.values).gather(1, torch.where(before >= 0, before, first))
        return (then - self.time[..., None]).clamp(min=0) * self.here[..., None]


class DecayGRU(nn.Module):
    """GRU-D: a GRU over the steps whose inputs and state fade with the time since a channel was measured -> (B, 1, width).

    Che et al., "Recurrent Neural Networks for Multivariate Time Series with Missing Values", Scientific Reports 8:6085 (2018).
    With m the mask, x' a channel's last value, x~ its training mean, delta the time since it was measured:

        gamma_x = exp(-max(0, w delta + b)),  gamma_h = exp(-max(0, W delta + b))
        x^ = m x + (1 - m) (gamma_x x' + (1 - gamma_x) x~),  h <- gamma_h h
        r, z = sigmoid(W [x^, m, t] + U h + b);  n = tanh(W_n [x^, m, t] + b + r (U_n h + b'));  h <- (1 - z) n + z h

    The state after the last step is the token. Departures: x~ is 0, the training mean of normal scores; the time t before the
    prediction is an input; the reset gate acts after U_n, as in PyTorch's and cuDNN's GRU: one product a step in place of two.
    Steps at the same time are one. Size: 48 units, 1 linear map to the width of tokens.
    """

    shut: Tensor

    def __init__(self, channels: int, d: int, dropout: float) -> None:
        super().__init__()
        self.fade = nn.Parameter(torch.ones(channels))
        self.fade_bias = nn.Parameter(torch.zeros(channels))
        self.forget = nn.Linear(channels, UNITS)
        self.input = nn.Linear(2 * channels + CLOCK, 3 * UNITS)
        self.state = nn.Linear(UNITS, 3 * UNITS)
        self.out = nn.Sequential(Dropout(dropout), nn.Linear(UNITS, d))
        shut = torch.tensor([0.0, SHUT, 0.0]).repeat_interleave(UNITS)
        self.register_buffer("shut", shut, persistent=False)

    def forward(self, steps: Steps) -> tuple[Tensor, Tensor]:
        before = steps.before()
        since = steps.since(before)
        fade = torch.exp(-functional.relu(self.fade * since + self.fade_bias))
        filled = torch.where(steps.observed > 0, steps.values, fade * steps.last(before))
        cells = torch.cat([filled, steps.observed, steps.clock()], dim=2)
        inputs = self.input(cells.transpose(0, 1).contiguous())  # steps first: each is one block of memory
        empty = ~steps.here.T[..., None]
        inputs = torch.addcmul(inputs, empty.to(inputs), self.shut)
        kept = torch.exp(-functional.relu(self.forget(since.transpose(0, 1).contiguous()))).masked_fill(empty, 1)
        return self.out(self._scan(inputs.unbind(), kept.unbind()))[:, None], steps.here.any(1, keepdim=True)

    def _scan(self, inputs: tuple[Tensor, ...], kept: tuple[Tensor, ...]) -> Tensor:
        """S times (B, 3u) and (B, u) -> (B, u), the last state."""
        h = torch.zeros_like(kept[0])
        for x, gamma in zip(inputs, kept, strict=True):
            faded = gamma * h
            gates, proposal = x.split([2 * UNITS, UNITS], dim=1)
            update, candidate = self.state(faded).split([2 * UNITS, UNITS], dim=1)
            r, z = torch.sigmoid(gates + update).chunk(2, dim=1)
            h = torch.lerp(torch.tanh(torch.addcmul(proposal, r, candidate)), faded, z)
        return h


class Convolution(nn.Module):
    """A causal temporal convolution over the steps, pooled by mean, maximum and the last step -> (B, 3, width).

    Bai, Kolter and Koltun, "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling",
    arXiv:1803.01271 (2018), section 3: residual blocks h <- h + dropout(gelu(conv(norm(h)))), kernel 3, dilations 1, 2, 4, 8,
    so that the last sees 30 steps back. The paper fixes no pooling: ours is global. Inputs: values (0 where not observed), masks,
    the time, and the time since each channel was measured.
    Departures: a step is a distinct time and not a fixed span, so the time is an input; one convolution a block, with layer norm
    for weight norm and GELU for ReLU. Size: 32 channels, 1 linear map a token to the common width.
    """

    def __init__(self, channels: int, d: int, dropout: float) -> None:
        super().__init__()
        self.input = nn.Linear(3 * channels + CLOCK, NARROW)
        self.norms = nn.ModuleList(nn.LayerNorm(NARROW) for _ in DILATIONS)
        self.blocks = nn.ModuleList(nn.Linear(KERNEL * NARROW, NARROW) for _ in DILATIONS)
        self.dropout = Dropout(dropout)
        self.out = nn.ModuleList(nn.Linear(NARROW, d) for _ in range(3))

    def forward(self, steps: Steps) -> tuple[Tensor, Tensor]:
        here = steps.here[..., None]
        h = self.input(torch.cat([steps.cells(), steps.since(steps.before())], dim=2)) * here
        for norm, block, dilation in zip(self.norms, self.blocks, DILATIONS, strict=True):
            h = h + self.dropout(functional.gelu(block(_taps(norm(h) * here, dilation)))) * here
        some = steps.here.any(1, keepdim=True)
        mean = h.sum(1) / here.sum(1).clamp(min=1)
        top = torch.where(some, h.masked_fill(~here, -torch.inf).amax(1), 0)
        pooled = (mean, top, h[:, -1])
        return torch.stack([out(x) for out, x in zip(self.out, pooled, strict=True)], dim=1), some.expand(-1, 3)


def _taps(h: Tensor, dilation: int) -> Tensor:
    """(B, S, c) -> (B, S, KERNEL * c): each step with those before it at this distance, 0 before the first."""
    shifted = (functional.pad(h, (0, 0, i * dilation, 0))[:, : h.shape[1]] for i in range(KERNEL))
    return torch.cat(list(shifted), dim=2)


class Patches(nn.Module):
    """Patches of 4 steps as tokens of a two-layer Transformer -> (B, S / 4, width).

    Nie et al., "A Time Series is Worth 64 Words: Long-term Forecasting with Transformers" (PatchTST), ICLR 2023, section 3.1: a
    patch is one token, the linear map of its values and a place of its own. The times of a patch's steps enter with its values,
    as do masks: irregular times are told, not resampled (after Zhang et al., "Irregular Multivariate Time Series Forecasting: A
    Transformable Patching Graph Neural Networks Approach", ICML 2024, whose patches have a span of time, ours a number of steps).
    Departures: channels share a token (a token a channel and patch costs 37 times as many on an intensive care stay); patches do not
    overlap; pre-norm layers with layer norm for batch norm; no instance normalisation: a patient's level is what the outcome
    hangs on. Places are counted from the latest patch. Size: 2 layers, 2 heads, feed-forward twice the width.
    """

    def __init__(self, channels: int, d: int, dropout: float, patches: int) -> None:
        super().__init__()
        self.embed = nn.Linear(PATCH * (2 * channels + CLOCK + 1), d)
        self.place = nn.Parameter(torch.randn(patches, d) * 0.02)
        heads = 2 if d % 2 == 0 else 1
        self.layers = nn.ModuleList(Layer(d, heads, dropout) for _ in range(2))

    def forward(self, steps: Steps) -> tuple[Tensor, Tensor]:
        cells = torch.cat([steps.cells(), steps.here[..., None]], dim=2)
        patches = cells.unflatten(1, (-1, PATCH)).flatten(2)  # (B, S / PATCH, PATCH * cell)
        mask = steps.here.unflatten(1, (-1, PATCH)).any(2)
        h = self.embed(patches) + self.place[-patches.shape[1] :]
        seen = mask | ~mask.any(1, keepdim=True)  # a row without any patch sees them all, for a softmax over none is undefined
        for layer in self.layers:
            h = layer(h, seen)
        return h, mask


def body(encoding: str, channels: int, d: int, dropout: float, steps: int) -> nn.Module:
    """The network that an encoding names, of those over steps."""
    if encoding == "patch":
        return Patches(channels, d, dropout, steps // PATCH)
    return {"grud": DecayGRU, "tcn": Convolution}[encoding](channels, d, dropout)
