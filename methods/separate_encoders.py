"""Separate encoders: the control of shared_encoder, a Transformer of its own for every modality, all else the same.

Roy, Ogidi, Etemad, Dolatabadi, Afkanpour, arXiv 2503.01654 (2025): the ordinary two towers of CLIP, which shared_encoder is held
against. For modality m with tokens X_m and feature e_m:
    v_m = LN(F_m([g ; X_m] with e_m)_0)       h = mean of v_m over the modalities that the patient has
Published: as for shared_encoder.
Departures: those of shared_encoder. Only the blocks F_m differ, so that M modalities have exactly (M - 1) times the blocks'
parameters more; features, global token, last norm, pooling, pretraining and training are the same.
Cost: 16 s per cell of surgical, about that of shared_encoder.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from annotated_types import Ge
from torch import Tensor, nn

from bench import prep, registry
from bench.core import JSON, Cohort, Count, Run
from bench.nets.encoders import Batch
from bench.nets.towers import Form, Towers, check_room, contrasted
from bench.search import Choice
from bench.train import QUICK_EPOCHS, Network, NeuralMethod


@dataclass(frozen=True, kw_only=True)
class SeparateEncoders(NeuralMethod):
    """As of shared_encoder. form: concat, additive or token. features: numbers of a feature under concat, tokens under token.
    contrastive: epochs of pretraining between modalities, 0 = none. width: of the hidden layer.
    """

    family: ClassVar[str] = "the papers'"

    form: Form = "concat"
    features: Annotated[Count, Choice((10, 20, 40))] = 20
    contrastive: Annotated[int, Ge(0)] = 0
    width: Annotated[Count, Choice((64, 128, 256, 512))] = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        check_room(self.form, self.features, self.fused)

    def idle(self, cohort: Cohort) -> tuple[str, ...]:
        return (*super().idle(cohort), *(("features",) if self.form == "additive" else ()))

    def encode(self, shapes: Mapping[str, prep.Shape]) -> nn.Module:
        sizes = (self.fused, self.hidden, self.layers, self.heads)
        return Towers(shapes, *sizes, self.dropout, self.form, self.features, tied=False)

    def sharing(self, d: int, tasks: int) -> nn.Module:
        hard: Any = registry.method("hard_sharing")
        return replace(hard, width=self.width, dropout=self.dropout).sharing(d, tasks)

    def pretrain(self, network: Network, data: Batch, rows: Tensor, run: Run) -> Mapping[str, JSON]:
        if not self.contrastive:
            return {}
        epochs = min(self.contrastive, QUICK_EPOCHS) if run.quick else self.contrastive
        towers: Any = network.encoder
        return contrasted(towers, data, epochs, self.batch, self.lr, self.weight_decay)


METHOD = SeparateEncoders
