"""Shared encoder: one Transformer whose blocks are tied across modalities, with learnable features that say which it reads.

Roy, Ogidi, Etemad, Dolatabadi, Afkanpour, arXiv 2503.01654 (2025); code VectorInstitute/shared_encoder. For modality m with tokens
X_m and feature e_m, the blocks F the same module objects for all m:
    v_m = LN(F([g ; X_m] with e_m)_0)         h = mean of v_m over the modalities that the patient has
concat: e_m, 20 numbers, stands beside every token, whose own part is narrowed to d - 20; additive: e_m is added to every token;
token: e_m is one or more tokens behind the global token g. Then the hidden layer and heads of hard_sharing.
Published: code, and retrieval results for pairs of medical images and captions; no outcomes, tables or series, and the numbers
against separate encoders (recall +81 % and +94 % with few data) were found at second hand only.
Departures: images are out of scope: the modalities are tables, series and texts, tokenized as for every neural method, and what
is learned are outcomes. Not copied: a global image token without the feature, a pooling index that is wrong for more than one
modality token, and blocks that mask the future for texts alone. The global token and the last norm are shared too. Contrastive
pretraining (symmetric InfoNCE, learnable scale from 1 / 0.07 to 100) is done before the outcomes, on rows with both modalities of
a pair, known outcomes or none, behind linear maps that are then dropped. A modality that a row lacks has no influence, and a row
without any has h = 0. With one modality nothing is tied: the net is that of separate_encoders, and contrastive declines.
Cost: 14 s per cell of surgical, 1.4 times hard_sharing: a pass through the blocks for every modality.
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
class SharedEncoder(NeuralMethod):
    """form: concat, additive or token. features: numbers of a feature under concat, tokens under token.
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
        return Towers(shapes, *sizes, self.dropout, self.form, self.features, tied=True)

    def sharing(self, d: int, tasks: int) -> nn.Module:
        hard: Any = registry.method("hard_sharing")
        return replace(hard, width=self.width, dropout=self.dropout).sharing(d, tasks)

    def pretrain(self, network: Network, data: Batch, rows: Tensor, run: Run) -> Mapping[str, JSON]:
        if not self.contrastive:
            return {}
        epochs = min(self.contrastive, QUICK_EPOCHS) if run.quick else self.contrastive
        towers: Any = network.encoder
        return contrasted(towers, data, epochs, self.batch, self.lr, self.weight_decay)


METHOD = SharedEncoder
