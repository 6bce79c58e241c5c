"""Dense features: an encoder pretrained without labels to spread its variance, then frozen under one linear probe per outcome.

Zhang et al., "Dense Feature Learning via Linear Structure Preservation in Medical Data", arXiv 2602.07706 (2026). Z (n, d): the
fused vectors of a batch, centred; C = Z'Z / (n - 1) with eigenvalues l_j, r_j = l_j / sum l:
    loss   = spreading * L_spec + consistency * L_sub + orthogonality * L_orth            no label takes part
    L_spec = sum_j r_j log r_j                L_orth = ||offdiag(corr(Z))||_F^2 / (d (d - 1))
    L_sub  = 1 - ||U'V||_F^2 / k, U and V the top k eigenvectors of the vectors of two adjacent time windows
Adapter: the encoder learns from every training row, those without any known outcome among them (semi-supervised); the probe from
the rows where its outcome is known.
Published: no code, data or weights that we found; effective rank 38 -> 86, condition number 14.7 -> 1.2 and distance of adjacent
windows' subspaces 0.261 -> 0.143, of which the first two hold of one full spectrum only if d is about 86; no probe scores found.
Departures: all formulas are reconstructed from the abstract and digests. Windows: the earlier and the later half of a patient's own
windows, the series alone, without statistics of the whole; a cohort without series, or with one window, has no L_sub. It is trained
in a form that needs no gradient of eigenvectors (`bench.nets.spectrum.consistency`) and measured as written. Dropout is off, since
its noise would do for spread. A batch has more rows than d. The encoder ends in a LayerNorm, which leaves d - 1 directions:
condition numbers are l_1 / l_(d-1). The probe is `logistic`, an elastic net. Noise of full rank satisfies L_spec and L_orth as well
as any features do: read AUROC beside the geometry. Here it stays below that of a linear model of the raw columns (README).
Masked reconstruction: squared error of hidden numbers, codes, windows and texts, read from the patient's vector by a linear map.
VICReg: two views by dropout and hiding, compared behind one hidden layer.
Cost: 34 s per cell of surgical, 3.4 times hard_sharing; the probe is a part of it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench import prep, registry
from bench.core import (
    JSON,
    BenchError,
    Cohort,
    Count,
    Inputs,
    NonNegative,
    Positive,
    Predictor,
    ProperShare,
    Run,
    Series,
    Tabular,
    Unsupported,
)
from bench.nets import masking, spectrum
from bench.nets.batches import between, take, tensors
from bench.nets.encoders import Batch, Encoder
from bench.search import Choice, Range
from bench.train import CHUNK, QUICK_EPOCHS


class Spread(nn.Module):
    """Spectral spreading, orthogonality, and consistency of the halves of the series, of the patients who have both."""

    def __init__(self, encoder: Encoder, weights: tuple[float, float, float], k: int) -> None:
        super().__init__()
        self.encoder, self.weights, self.k = encoder.requires_grad_(), weights, k

    def forward(self, batch: Batch) -> Tensor:
        spreading, consistency, orthogonality = self.weights
        z = self.encoder(batch)
        loss = spreading * spectrum.spreading(z) + orthogonality * spectrum.orthogonality(z)
        halves = windows(self.encoder, batch) if consistency else None
        return loss if halves is None else loss + consistency * spectrum.consistency(*halves, self.k)


class Reconstruct(nn.Module):
    """What was hidden of a patient, told from the vector of the rest."""

    def __init__(self, encoder: Encoder, shapes: Mapping[str, prep.Shape], hide: float) -> None:
        super().__init__()
        self.encoder, self.shapes, self.share = encoder, shapes, hide
        self.decoder = nn.Linear(encoder.width, sum(masking.width(s) for s in shapes.values()))

    def forward(self, batch: Batch) -> Tensor:
        view, values, asked = masking.hide(batch, self.shapes, self.share)
        errors = (self.decoder(self.encoder(view)) - values) ** 2
        return (errors * asked).sum() / asked.sum().clamp(min=1)


class TwoViews(nn.Module):
    """VICReg of two views that hide different things."""

    def __init__(self, encoder: Encoder, shapes: Mapping[str, prep.Shape], hide: float, hidden: int) -> None:
        super().__init__()
        self.encoder, self.shapes, self.share = encoder, shapes, hide
        self.expand = nn.Sequential(nn.Linear(encoder.width, hidden), nn.GELU(), nn.Linear(hidden, hidden))

    def forward(self, batch: Batch) -> Tensor:
        views = (masking.hide(batch, self.shapes, self.share)[0] for _ in range(2))
        return spectrum.vicreg(*(self.expand(self.encoder(view)) for view in views))


def windows(encoder: nn.Module, batch: Batch) -> tuple[Tensor, Tensor] | None:
    """(m, d) vectors of the earlier and the later half of the series, of rows observed in both; None without two such rows."""
    early, late = masking.half(batch, late=False), masking.half(batch, late=True)
    if early is None or late is None:
        return None
    rows = torch.nonzero(masking.present(early) & masking.present(late)).squeeze(1)
    return (encoder(take(early, rows)), encoder(take(late, rows))) if len(rows) > 1 else None


@torch.no_grad()
def vectors(encoder: nn.Module, batch: Batch) -> Tensor:
    """(n, d) of a frozen encoder, in chunks of rows."""
    n = len(next(iter(batch.values()))["present"])
    return torch.cat([encoder(between(batch, i, i + CHUNK)) for i in range(0, max(n, 1), CHUNK)])


def fingerprint(module: nn.Module) -> str:
    """sha256 of all parameters and buffers."""
    arrays = (value.detach().cpu().contiguous().numpy().tobytes() for value in module.state_dict().values())
    return hashlib.sha256(b"".join(arrays)).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Probed:
    """A frozen encoder and the linear probes on its vectors."""

    tokens: prep.Tokens
    encoder: nn.Module
    probe: Predictor
    facts: Mapping[str, JSON]

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        return self.probe.predict(_table(self.embed(inputs)))

    def embed(self, inputs: Inputs) -> NDArray[np.float32]:
        """(n, d) fused vectors."""
        device = next(self.encoder.parameters()).device
        return vectors(self.encoder, tensors(self.tokens(inputs), device)).cpu().numpy()


@dataclass(frozen=True, kw_only=True)
class DenseFeatures:
    """objective: dense, as above; masked, vicreg: self-supervised baselines; supervised: the encoder of `hard_sharing`, trained
    with labels under that method's own defaults, which heeds only the sizes and the dropout set here.

    spreading, consistency, orthogonality: the weights. directions: k. hide: share hidden by masked and vicreg.
    held_out: an outcome that a supervised encoder is not shown but the probe is (others that contain it are shown).
    fused .. dropout: sizes of the encoder, as of every neural method. lr .. epochs: of pretraining, which has no early stopping.
    """

    family: ClassVar[str] = "the papers'"

    objective: Literal["dense", "masked", "vicreg", "supervised"] = "dense"
    spreading: Annotated[NonNegative, Range(0.1, 10, log=True)] = 1.0
    consistency: Annotated[NonNegative, Range(0.1, 10, log=True)] = 1.0
    orthogonality: Annotated[NonNegative, Range(0.1, 10, log=True)] = 1.0
    directions: Annotated[Count, Choice((4, 8, 16))] = 8
    hide: ProperShare = 0.3
    held_out: str = ""
    fused: Count = 64
    hidden: Annotated[Count, Choice((64, 128, 256))] = 128
    layers: Count = 1
    heads: Count = 4
    dropout: Annotated[ProperShare, Range(0, 0.5)] = 0.2
    lr: Annotated[Positive, Range(3e-4, 5e-3, log=True)] = 1e-3
    weight_decay: Annotated[NonNegative, Range(1e-4, 0.1, log=True)] = 1e-2
    batch: Count = 512
    epochs: Annotated[Count, Choice((10, 20, 40))] = 20

    @property
    def uses(self) -> tuple[str, ...]:
        """Methods whose code this one runs on: a change of theirs makes its cells anew."""
        return "logistic", "hard_sharing"

    def idle(self, cohort: Cohort) -> tuple[str, ...]:
        weights, halves = ("spreading", "consistency", "orthogonality"), ("consistency", "directions")
        if self.objective == "dense":
            series = self.consistency and any(isinstance(m, Series) for m in cohort.inputs.modalities.values())
            return ("hide", "dropout", *(() if series else halves))
        return (
            *weights,
            "directions",
            *(("hide", "lr", "weight_decay", "batch", "epochs") if self.objective == "supervised" else ()),
        )

    def __post_init__(self) -> None:
        if self.fused % self.heads:
            raise BenchError(f"fused must be a multiple of heads, but fused is {self.fused} and heads {self.heads}")
        if self.batch <= 2 * self.fused:  # an epoch's batches are of nearly equal size, at least half of this
            raise BenchError(
                f"batch must be above 2 * fused, else C is singular, but batch is {self.batch} and fused {self.fused}"
            )
        if 2 * self.directions > self.fused:
            raise BenchError(f"directions must be at most fused / 2, but is {self.directions} with fused {self.fused}")
        if self.held_out and self.objective != "supervised":
            raise BenchError(
                f"held_out is for objective=supervised: {self.objective} sees no outcome, so that none can be held out"
            )

    def check(self, tasks: Sequence[str]) -> None:
        """BenchError if there is no such outcome to hold out. Asked before anything is trained."""
        if self.held_out and self.held_out not in tasks:
            raise BenchError(registry.unknown("outcome to hold out", self.held_out, list(tasks)))

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Predictor:
        torch.set_num_threads(run.threads)
        shown = [t for t, task in enumerate(train.tasks) if task.name != self.held_out]
        self.check(train.task_names)
        if self.objective == "supervised" and not shown:
            raise Unsupported(f"needs an outcome besides '{self.held_out}', which is held out, but there is none")
        tokens = prep.tokens(train)
        data, held = (tensors(tokens(c.inputs), run.device) for c in (train, valid))
        with torch.random.fork_rng():
            torch.manual_seed(run.seed)
            encoder = Encoder(tokens.shapes, self.fused, self.hidden, self.layers, self.heads, self.dropout)
            encoder = encoder.to(run.device).eval()
            start = self._geometry(encoder, held)
            if self.objective == "supervised":
                encoder, learned = self._supervised(_only(train, shown), _only(valid, shown), run)
            else:
                learned = self._pretrained(encoder, tokens.shapes, data, run)
        encoder.requires_grad_(False).eval()
        before = fingerprint(encoder)
        seen = [_embedded(c, vectors(encoder, batch), before) for c, batch in ((train, data), (valid, held))]
        later = replace(run, report=lambda task, score: run.report(self.epochs + task, score))
        probe = registry.method("logistic").fit(seen[0], seen[1], later)
        found: Any = probe.facts
        facts: dict[str, JSON] = {
            **found, "pretraining": learned["pretraining"], "steps": learned["steps"] + found["steps"],
            "parameters": sum(p.numel() for p in encoder.parameters()) + found["parameters"],
            "at_cap": learned["at_cap"] or found["at_cap"],
            "spectrum": {"start": start, "end": self._geometry(encoder, held)},
            "encoder": {"before_probe": before, "after_probe": fingerprint(encoder)},
        }  # fmt: skip
        return Probed(tokens, encoder, probe, facts)

    def _pretrained(self, encoder: Encoder, shapes: Mapping[str, prep.Shape], data: Batch, run: Run) -> dict[str, Any]:
        """Trains the encoder in place on every row, known outcomes or none."""
        objective = self._objective(encoder, shapes).to(run.device)
        optimizer = torch.optim.AdamW(objective.parameters(), lr=self.lr, weight_decay=self.weight_decay, fused=True)
        objective.train(self.objective != "dense")  # noise of dropout would do for spread
        n = len(masking.present(data))
        losses: list[float] = []
        steps = 0
        for epoch in range(min(self.epochs, QUICK_EPOCHS) if run.quick else self.epochs):
            total = 0.0
            for rows in torch.tensor_split(torch.randperm(n), -(-n // self.batch)):
                loss = objective(take(data, rows.to(run.device)))
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
                optimizer.step()
                steps, total = steps + 1, total + float(loss.detach()) * len(rows) / n
            losses.append(total)
            run.report(epoch, total)
        return {"pretraining": losses, "steps": steps, "at_cap": False}

    def _objective(self, encoder: Encoder, shapes: Mapping[str, prep.Shape]) -> nn.Module:
        if self.objective == "masked":
            return Reconstruct(encoder, shapes, self.hide)
        if self.objective == "vicreg":
            return TwoViews(encoder, shapes, self.hide, self.hidden)
        return Spread(encoder, (self.spreading, self.consistency, self.orthogonality), self.directions)

    def _supervised(self, train: Cohort, valid: Cohort, run: Run) -> tuple[nn.Module, dict[str, Any]]:
        """The encoder that hard sharing learns from these outcomes."""
        sizes = {name: getattr(self, name) for name in ("fused", "hidden", "layers", "heads", "dropout")}
        hard: Any = registry.method("hard_sharing")
        fitted = replace(hard, **sizes).fit(train, valid, run)
        facts = {key: fitted.facts[key] for key in ("steps", "at_cap")}
        return fitted.networks[0].encoder.float(), facts | {"pretraining": fitted.facts["scores"]}

    def _geometry(self, encoder: nn.Module, batch: Batch) -> dict[str, JSON]:
        """Of validation rows. The distance of subspaces is None where no two rows have both halves of a series."""
        with torch.no_grad():
            halves = windows(encoder, batch)
        distance = None if halves is None else spectrum.subspace_distance(*halves, self.directions)
        return {**spectrum.measures(vectors(encoder, batch), self.fused - 1), "subspace_distance": distance}


def _only(cohort: Cohort, tasks: list[int]) -> Cohort:
    """The cohort with some of its tasks. The digest stays: what is prepared from the inputs is the same."""
    weights = None if cohort.weights is None else cohort.weights[:, tasks]
    return replace(cohort, tasks=tuple(cohort.tasks[t] for t in tasks), labels=cohort.labels[:, tasks], weights=weights)


def _embedded(cohort: Cohort, z: Tensor, encoder: str) -> Cohort:
    """The cohort with vectors for inputs, under a digest of its own."""
    digest = hashlib.sha256((cohort.digest + encoder).encode()).hexdigest()
    return replace(cohort, inputs=_table(z.cpu().numpy()), digest=digest)


def _table(z: NDArray[np.float32]) -> Inputs:
    return Inputs({"vector": Tabular(pd.DataFrame(z, columns=[f"z{j}" for j in range(z.shape[1])]))})


METHOD = DenseFeatures
