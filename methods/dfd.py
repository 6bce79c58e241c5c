"""DFD: a biased stream learns the shortcuts, so that the causal stream of any sharing network can do without them.

Zhu et al., "Robust Multimodal Representation Learning in Healthcare", arXiv 2601.21941 (2026). Two encoders, heads that read both
codes with the other one stopped ("sg"), and per row and task, with p_y the probability given to what happened:
    z_c = sharing(E_c(x))      z_b = E_b(x)      logits_c = C_c([z_c ; sg z_b])      logits_b = C_b([sg z_c ; z_b])
    L_c = W CE(logits_c, y)    L_b = GCE(logits_b, y)    GCE = (1 - p_y^q) / q, with gradient p_y^q times that of CE
    W = b / (b + c), b and c the running means of both streams' CE, each over its maximum among the training rows of the class
    L_swap: L_c and L_b once more with z_b from another row, whose label L_b then takes; after `warmup` epochs
    L_mi = E log r(z_b | z_c) - E log r(z_b' | z_c), vCLUB, a bound on I(z_c ; z_b); r a Gaussian fitted by maximum likelihood
    L = L_c + L_b + swap L_swap + mi L_mi                                               prediction: C_c([z_c ; z_b])
Published: no code that we found; MIMIC-IV, eICU and ADNI; average precision 1.65 to 2.55 (points or percent, not said) above the
networks it is plugged into. All this is from the abstract and digests.
Limits: the paper is said to name the cost of a second stream, and losses under extreme imbalance and label noise. Under rare
outcomes "easy" is "did not happen", so that W may act as plain class weighting; and noisy labels look like rows that contradict
a shortcut. Controls: `weights=class`, `weights=off`, `streams=causal:weights=class` (the base network with class weights and
nothing else). Found here, on one planted shortcut: z_b tells the label where the shortcut holds, so that L_mi takes the label
from z_c as well, and mi=0.03 undid the gain. Early stopping by patients for whom the shortcut still holds ends training before
the streams part: with q = 0.7 a gain of .11 in AUROC shrank to .02, with 0.1 one of .04 to .01 (tests/test_dfd_bases.py).
Weighted training shifts probabilities: recalibrate them.
Departures: the full text was not available to us. W, its running means, the swap and the heads' inputs are those of the work it
stands on (Lee et al., "Learning Debiased Representation via Disentangled Feature Augmentation", NeurIPS 2021, and their code),
with one W per row and task; vCLUB (Cheng et al., ICML 2020), per dimension of z_b, is our choice of estimator; so are mi and
warmup. The paper's graph network over modalities is not described: our Transformer over modality tokens stands in for it in
both streams. z_b is one vector for all tasks, without a sharing block, and not pretrained where the base is. GCE is the true
formula (that code's is q times as steep). q = 0.1 was chosen on SUPPORT2, as the sizes of all networks were: patients' outcomes
are far from certain, and the larger q, the more W is given to rows that no patient like them would explain (mean AUROC of one
fold 78.2 at 0.7, 80.0 at 0.4, 81.1 at 0.2, 81.4 at 0.05, 82.2 without W). Swapping leaves no row its own z_b. L_c and its swap
are what `balance` combines; the other terms are means.
Cost: about 2.2 times its base a step.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from bench import prep, registry
from bench.core import JSON, BenchError, Cohort, NonNegative, PositiveShare, ProperShare, Run
from bench.losses import cross_entropy, per_task
from bench.nets.encoders import Batch
from bench.nets.heads import Heads, log_odds
from bench.nets.network import Losses, Network
from bench.search import Choice, Range
from bench.train import NeuralMethod

HIDDEN = 64  # of the network behind r(z_b | z_c)


def generalized(z: Tensor, y: Tensor, q: float) -> Tensor:
    """Zhang & Sabuncu, NeurIPS 2018: (1 - p_y^q) / q, of any shape; CE for q -> 0, 1 - p_y for q = 1. z: logits; y: 0 or 1."""
    return -torch.expm1(-q * cross_entropy(z, y)) / q


def weighted(losses: Losses, weights: Tensor, z: Tensor, y: Tensor, w: Tensor) -> Tensor:
    """(T,) means over the known labels of weights * loss: unlike w, `weights` (B, T) are not normalised."""
    total = w.sum(0)
    return losses(z, y, w * weights) * (w * weights).sum(0) / torch.where(total > 0, total, 1.0)


def class_weights(y: Tensor, w: Tensor) -> Tensor:
    """(n, T) weights under which events and non-events of a task weigh the same, with mean 1. w: (n, T), 0 where unknown."""
    events, others = (w * y).sum(0), (w * (1 - y)).sum(0)
    return (events + others) / (2 * torch.where(y > 0, events, others).clamp(min=1e-30))


def elsewhere(n: int) -> Tensor:
    """A random permutation of n places, all in one cycle: none stays, unless it is the only one."""
    order = torch.randperm(n)
    return torch.empty_like(order).index_copy_(0, order, order.roll(1))


class Fixed(nn.Module):
    """Weights (n, T) that training rows have from the start."""

    weights: Tensor

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights, persistent=False)

    def learn(self, rows: Tensor, known: Tensor, biased: Tensor, causal: Tensor) -> None:
        """Fixed weights learn nothing."""

    def forward(self, rows: Tensor) -> Tensor:
        return self.weights[rows]


class Difficulty(nn.Module):
    """Relative difficulty W of training rows and tasks, in [0, 1]: how much harder a label is for the biased stream.

    Half where both streams agree. y: (n, T) labels of all training rows. memory: what a running mean keeps at a new value; the
    first value is taken whole. Labels not seen so far, as unknown ones never are, have mean 0.
    """

    events: Tensor  # (n, T) bool
    means: Tensor  # (2, n, T) running mean of the cross-entropy: biased stream, causal stream

    def __init__(self, y: Tensor, memory: float) -> None:
        super().__init__()
        self.memory = memory
        self.register_buffer("events", y > 0, persistent=False)
        self.register_buffer("means", y.new_zeros(2, *y.shape), persistent=False)

    def learn(self, rows: Tensor, known: Tensor, biased: Tensor, causal: Tensor) -> None:
        """The cross-entropies (B, T) of a batch; `known`: which of them count."""
        old, new = self.means[:, rows], torch.stack([biased, causal])
        mixed = torch.where(old > 0, self.memory * old + (1 - self.memory) * new, new)
        self.means[:, rows] = torch.where(known, mixed, old)

    def forward(self, rows: Tensor) -> Tensor:
        """(B,) -> (B, T)."""
        highest = [torch.where(which, self.means, 0).amax(1, keepdim=True) for which in (self.events, ~self.events)]
        b, c = self.means[:, rows] / torch.where(self.events[rows], *highest).clamp(min=1e-30)
        return torch.where(b + c > 0, b / (b + c).clamp(min=1e-30), 0.5)


class Information(nn.Module):
    """vCLUB, a bound on I(c ; b) by a Gaussian r(b | c) whose mean and log-variances (within +-4) are a network of c."""

    def __init__(self, c: int, b: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(c, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 2 * b))

    def forward(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """(B, c) -> means and log-variances (B, b)."""
        mean, spread = self.net(c).chunk(2, -1)
        return mean, 4 * torch.tanh(spread / 4)

    def misfit(self, c: Tensor, b: Tensor) -> Tensor:
        """-log r(b | c) per row and dimension, without its constant: trains r alone."""
        mean, spread = self(c.detach())
        return ((b.detach() - mean).square() * torch.exp(-spread) + spread).mean() / 2

    def bound(self, c: Tensor, b: Tensor) -> Tensor:
        """The bound per dimension of b, in nats, over all pairs of rows: trains c and b alone. Below 0 it says that r is poor."""
        frozen = {name: p.detach() for name, p in self.named_parameters()}
        mean, spread = torch.func.functional_call(self, frozen, (c,))
        others = b.square().mean(0) - 2 * mean * b.mean(0) + mean.square()  # mean over rows j of (b_j - mean_i)^2
        return ((others - (b - mean).square()) * torch.exp(-spread)).mean() / 2


class OneStream(Network):
    """The base network, its training rows weighted."""

    def __init__(self, encoder: nn.Module, sharing: nn.Module, heads: nn.Module, weigh: nn.Module) -> None:
        super().__init__(encoder, sharing, heads)
        self.weigh, self.grouped = weigh, False  # the weights are of a training's own rows

    def objective(self, batch: Batch, y: Tensor, w: Tensor, rows: Tensor, losses: Losses) -> tuple[Tensor, Tensor | None]:
        return super().objective(batch, y, w, rows, partial(weighted, losses, self.weigh(rows)))


class TwoStreams(Network):
    """A batch -> logits (B, T) of the causal head. `heads` and `other_heads` read [z_c ; z_b], (B, T, k + d).

    weigh: `Fixed` or `Difficulty`. y, w: (n, T) of all training rows.
    """

    def __init__(
        self, method: "DFD", encoder: nn.Module, sharing: Any, biased: Any, weigh: Fixed | Difficulty, y: Tensor, w: Tensor
    ) -> None:
        width, prior = sharing.width + biased.width, log_odds(y, w)
        super().__init__(encoder, sharing, Heads(width, prior))
        self.biased, self.other_heads, self.weigh = biased, Heads(width, prior), weigh
        self.information = Information(y.shape[1] * sharing.width, biased.width) if method.mi else None
        self.q, self.swap, self.mi = method.q, method.swap, method.mi
        self.grouped = False  # it remembers its rows from step to step
        self.seen, self.start = 0, method.warmup * int((w > 0).any(1).sum())  # rows

    def streams(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """z_c (B, T, k) and z_b (B, d)."""
        return self.sharing(self.encoder(batch)), self.biased(batch)

    def forward(self, batch: Batch) -> Tensor:
        return self.heads(joined(*self.streams(batch)))

    def both(self, c: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, T) of the causal and of the biased head, each with the other's stream stopped."""
        return self.heads(joined(c, b.detach())), self.other_heads(joined(c.detach(), b))

    def objective(self, batch: Batch, y: Tensor, w: Tensor, rows: Tensor, losses: Losses) -> tuple[Tensor, Tensor | None]:
        c, b = self.streams(batch)
        causal, biased = self.both(c, b)
        if torch.is_grad_enabled():  # not when a balance looks at the same batch again
            self.weigh.learn(rows, w > 0, cross_entropy(biased.detach(), y), cross_entropy(causal.detach(), y))
            self.seen += len(rows)
        weights = self.weigh(rows)
        each, others = weighted(losses, weights, causal, y, w), per_task(generalized(biased, y, self.q), w)
        if self.swap and self.seen > self.start:
            from_ = elsewhere(len(rows)).to(rows.device)
            causal, biased = self.both(c, b[from_])
            each = each + self.swap * weighted(losses, weights, causal, y, w)
            others = others + self.swap * per_task(generalized(biased, y[from_], self.q), w[from_])
        extra = others.sum() / (w > 0).any(0).sum().clamp(min=1)
        if self.information is not None:
            extra = extra + self.information.misfit(c.flatten(1), b) + self.mi * self.information.bound(c.flatten(1), b)
        return each, extra if self.penalty is None else extra + self.weight * self.penalty


def joined(c: Tensor, b: Tensor) -> Tensor:
    """(B, T, k), (B, d) -> (B, T, k + d)."""
    return torch.cat([c, b[:, None].expand(-1, c.shape[1], -1)], dim=-1)


@dataclass(frozen=True, kw_only=True)
class DFD(NeuralMethod):
    """base: any neural method with a sharing block; its own settings follow with plus signs, `dfd:base=ple+levels=1+width=32`.
    Settings that every neural method has (fused, lr, loss, balance ...) are those of dfd, for the base as well.
    q: of the generalized cross-entropy; 0.7 in the code of Lee et al., for images whose labels are certain.
    weights: of the rows: W; as controls class weights, or none.
    memory: what a running mean behind W keeps at a new value.
    swap: weight of L_swap, 0 = none. warmup: epochs before the first swap.
    mi: weight of L_mi, 0 = none.
    streams: both; as a control the causal one alone, which is the base with these row weights.
    """

    family: ClassVar[str] = "the papers'"

    base: str = "hard_sharing"
    q: Annotated[PositiveShare, Choice((0.05, 0.1, 0.3, 0.7))] = 0.1
    weights: Literal["difficulty", "class", "off"] = "difficulty"
    memory: Annotated[ProperShare, Choice((0.5, 0.7, 0.9))] = 0.7
    swap: Annotated[NonNegative, Choice((0.0, 0.3, 1.0, 3.0))] = 1.0
    warmup: NonNegative = 2.0
    mi: Annotated[NonNegative, Range(1e-3, 0.1, log=True)] = 0.01
    streams: Literal["both", "causal"] = "both"

    @property
    def alone(self) -> str:
        return super().alone or "it remembers its rows from step to step"

    @property
    def uses(self) -> tuple[str, ...]:
        """Methods whose code this one runs on: a change of theirs makes its cells anew."""
        return (self.base.partition("+")[0],)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.streams == "causal" and self.weights == "difficulty":
            raise BenchError("streams=causal has no second stream to compare with: give weights=class or weights=off")
        _ = self.plugged

    @cached_property
    def plugged(self) -> NeuralMethod:
        """The base with the settings it has in common with all neural methods taken from here."""
        spec = re.sub(r"\+(?=[a-z_]+=)", ":", self.base)
        common = {f.name: getattr(self, f.name) for f in fields(NeuralMethod)}
        given = [name for name in common if f":{name}=" in spec]
        if given:
            raise BenchError(
                f"'{given[0]}' is one setting for dfd and its base: write dfd:{given[0]}=... instead of '{self.base}'"
            )
        base: Any = registry.method(spec)
        kind: Any = type(base)
        if not isinstance(base, NeuralMethod) or kind.fit is not NeuralMethod.fit or kind.build is not NeuralMethod.build:
            raise BenchError(f"base is a neural method with a sharing block for all tasks, but got '{self.base}'. Try mmoe.")
        return replace(base, **common)

    def idle(self, cohort: Cohort) -> tuple[str, ...]:
        common = {f.name for f in fields(NeuralMethod)}
        names = [name for name in self.plugged.idle(cohort) if name in common]
        names += [] if self.weights == "difficulty" else ["memory"]
        return (*names, *(("q", "swap", "warmup", "mi") if self.streams == "causal" else () if self.swap else ("warmup",)))

    def check(self, tasks: Sequence[str]) -> None:
        self.plugged.check(tasks)

    def encode(self, shapes: Mapping[str, prep.Shape]) -> nn.Module:
        return self.plugged.encode(shapes)

    def sharing(self, d: int, tasks: int) -> nn.Module:
        return self.plugged.sharing(d, tasks)

    def losses(self, logits: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return self.plugged.losses(logits, y, w)

    def pretrain(self, network: Network, data: Batch, rows: Tensor, run: Run) -> Mapping[str, JSON]:
        return self.plugged.pretrain(network, data, rows, run)

    def build(self, shapes: Mapping[str, prep.Shape], y: Tensor, w: Tensor) -> Network:
        encoder: Any = self.encode(shapes)
        sharing: Any = self.sharing(encoder.width, y.shape[1])
        if self.weights == "difficulty":
            weigh = Difficulty(y, self.memory)
        else:
            weigh = Fixed(class_weights(y, w) if self.weights == "class" else torch.ones_like(y))
        if self.streams == "causal":
            return OneStream(encoder, sharing, Heads(sharing.width, log_odds(y, w)), weigh)
        return TwoStreams(self, encoder, sharing, self.encode(shapes), weigh, y, w)


METHOD = DFD
