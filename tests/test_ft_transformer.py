"""The laws of methods.md 5.5. Each is a function of the module's code, so that it can be seen to fail under a mutation."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import prep, registry, train
from bench.core import BenchError, Cohort, Run

TASKS, ROWS, D = 3, 5, 8
SHAPES: dict[str, prep.Shape] = {
    "table": prep.TableShape(3, (3, 4)),
    "vitals": prep.SeriesShape(windows=2, channels=2, stats=5, summary=18),
    "note": prep.TextShape(3),
}
SPEC = f"ft_transformer:fused={D}:hidden=6:heads=2"
ft = registry.module("methods", "ft_transformer")
Batch = dict[str, dict[str, Tensor]]


def network(spec: str = SPEC, seed: int = 0) -> Any:
    """The untrained network in float64, dropout off, through METHOD; norms and biases away from 1 and 0."""
    torch.manual_seed(seed)
    net = registry.method(spec).build(SHAPES, torch.zeros(1, TASKS), torch.ones(1, TASKS))  # type: ignore[attr-defined]
    for parameter in net.encoder.blocks.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return net.double().eval()


def patients(seed: int = 1) -> Batch:
    """Row 0 lacks the note."""
    rng = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=rng)

    there = torch.ones(ROWS, dtype=torch.bool)
    codes = torch.stack([torch.randint(0, k, (ROWS,), generator=rng) for k in (3, 4)], 1)
    table = {"numeric": numbers(ROWS, 3), "missing": numbers(ROWS, 3).gt(0).double(), "codes": codes, "present": there}
    vitals = {"windows": numbers(ROWS, 2, 2, 5), "summary": numbers(ROWS, 18), "present": there}
    return {"table": table, "vitals": vitals, "note": {"vector": numbers(ROWS, 3), "present": torch.arange(ROWS) > 0}}


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def norm(layer: nn.Module, x: Tensor) -> Tensor:
    """Layer normalisation in plain steps; nothing for a norm that is skipped."""
    if not isinstance(layer, nn.LayerNorm):
        return x
    centred = x - x.mean(-1, keepdim=True)
    return layer.weight * centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() + layer.bias


def attention(block: Any, h: Tensor, mask: Tensor) -> Tensor:
    """Row by row, head by head, token by token."""
    out = torch.zeros_like(h)
    for row in range(len(h)):
        q, k, v = block.query(h[row]), block.key(h[row]), block.value(h[row])
        for part in torch.arange(D).chunk(2):
            scores = q[:, part] @ k[:, part].T / math.sqrt(D / 2)
            weights = scores.exp() * mask[row]
            out[row][:, part] = weights / weights.sum(1, keepdim=True) @ v[:, part]
    return block.out(out)


def by_hand(net: Any, batch: Batch) -> Tensor:
    x, mask = net.encoder.tokens(batch)
    for i, block in enumerate(net.encoder.blocks):
        x = x + attention(block, x if i == 0 else norm(block.norm1, x), mask)
        a, b = block.feed.up(norm(block.norm2, x)).chunk(2, -1)
        x = x + block.feed.down(a * b.clamp(min=0))
    cls = norm(net.encoder.norm, x[:, 0]).clamp(min=0)
    return cls @ net.heads.weight.T + net.heads.bias


def law_1_the_equations_with_the_first_norm_skipped() -> None:
    net = network()
    same(net(patients()), by_hand(net, patients()))
    assert net(patients()).shape == (ROWS, TASKS)


def law_2_tokens_are_linear_in_their_column() -> None:
    net, batch = network(), patients()
    tokens, mask = net.encoder.tokens(batch)
    numeric, vitals, note = net.encoder.tokenizers
    assert tokens.shape == (ROWS, 1 + 3 + 2 + 2 + 1, D)  # CLS, numbers, codes, channels, a note
    same(tokens[:, 0], net.encoder.cls.expand(ROWS, -1))
    x, gone = batch["table"]["numeric"], batch["table"]["missing"]
    weight, bias = numeric.weight.view(3, 2, D), numeric.bias.view(3, D)
    for j in range(3):
        same(tokens[:, 1 + j], bias[j] + x[:, [j]] * weight[j, 0] + gone[:, [j]] * weight[j, 1])
    rows = net.encoder.codes[0].weight.view(7, D)
    same(tokens[:, 4:6], torch.stack([rows[batch["table"]["codes"][:, 0]], rows[3 + batch["table"]["codes"][:, 1]]], 1))
    summary, weight = batch["vitals"]["summary"], vitals.weight.view(2, 9, D)
    for c in range(2):
        stats = torch.cat([summary[:, 8 * c : 8 * c + 8], summary[:, [16 + c]]], 1)
        same(tokens[:, 6 + c], stats @ weight[c] + vitals.bias.view(2, D)[c])
    same(tokens[:, 8], batch["note"]["vector"] @ note.weight.view(3, D) + note.bias)
    assert mask.sum() == ROWS * 9 - 1
    assert not mask[0, 8]


def law_3_permuting_columns_with_their_tokenizers_is_no_change() -> None:
    net, turned, batch, order = network(), network(), patients(), torch.tensor([2, 0, 1])
    with torch.no_grad():
        numeric = turned.encoder.tokenizers[0]
        numeric.weight.copy_(numeric.weight.view(3, -1)[order].flatten())
        numeric.bias.copy_(numeric.bias.view(3, -1)[order].flatten())
        vitals = turned.encoder.tokenizers[1]
        vitals.weight.copy_(vitals.weight.view(2, -1).flip(0).flatten())
        vitals.bias.copy_(vitals.bias.view(2, -1).flip(0).flatten())
    table, summary = batch["table"], batch["vitals"]["summary"]
    moved = {**table, "numeric": table["numeric"][:, order], "missing": table["missing"][:, order]}
    channels = torch.cat([summary[:, 8:16], summary[:, :8], summary[:, [17, 16]]], 1)
    same(turned({**batch, "table": moved, "vitals": {**batch["vitals"], "summary": channels}}), net(batch))
    assert not torch.allclose(net({**batch, "table": moved}), net(batch))  # a column and its tokenizer belong together


def law_4_a_modality_that_is_not_there_has_no_influence() -> None:
    net, batch = network(), patients()
    other = {**batch, "note": {**batch["note"], "vector": batch["note"]["vector"] + 7}}
    moved = (net(other) - net(batch)).abs().amax(1)
    assert moved[0] == 0
    assert (moved[1:] > 0).all()


def law_5_only_matrices_of_the_blocks_and_heads_decay() -> None:
    method: Any = registry.method(f"{SPEC}:weight_decay=0.1")
    net = network()
    trainer = train._Trainer(method, net, TASKS)  # pyright: ignore[reportPrivateUsage]
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(1.0)  # a zero would not show that it decays
    trainer.descend()  # without a gradient
    decayed = {name for name, p in net.named_parameters() if not torch.equal(p, torch.ones_like(p))}
    linear = ("query", "key", "value", "out", "feed.up", "feed.down")
    assert decayed == {"heads.weight"} | {f"encoder.blocks.{i}.{name}.weight" for i in (0, 1) for name in linear}


class Normed(ft.Block):
    """Normalises in the first block too."""

    def __init__(self, *sizes: Any, first: bool, last: bool) -> None:
        super().__init__(*sizes, first=False, last=last)


class SameForAll(ft.Tokenizer):
    """One weight for all columns."""

    def forward(self, x: Tensor) -> Tensor:
        n, _, d = self.shape
        return torch.einsum("bni,id->bnd", x, self.weight.view(self.shape)[0]) + self.bias.view(n, d)


class Placed(ft.Tokenizer):
    """Tokens that know their place."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.arange(1, x.shape[1] + 1, dtype=x.dtype)[:, None]


class Unmasked(ft.Block):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return super().forward(x, torch.ones_like(mask))


class Matrix(ft.Tokenizer):
    def __init__(self, n: int, inputs: int, d: int) -> None:
        super().__init__(n, inputs, d)
        self.weight = nn.Parameter(self.weight.data.view(n * inputs, d))


Law = Callable[[], None]
LAWS: list[Law] = [
    law_1_the_equations_with_the_first_norm_skipped, law_2_tokens_are_linear_in_their_column,
    law_3_permuting_columns_with_their_tokenizers_is_no_change, law_4_a_modality_that_is_not_there_has_no_influence,
    law_5_only_matrices_of_the_blocks_and_heads_decay,
]  # fmt: skip
MUTATIONS: list[tuple[Law, str, Any]] = [
    (LAWS[0], "Block", Normed),
    (LAWS[1], "Tokenizer", SameForAll),
    (LAWS[2], "Tokenizer", Placed),
    (LAWS[3], "Block", Unmasked),
    (LAWS[4], "Tokenizer", Matrix),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law) -> None:
    law()


@pytest.mark.parametrize(("law", "name", "mutant"), MUTATIONS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_law_fails_under_mutation(law: Law, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ft, name, mutant)
    with pytest.raises(AssertionError):
        law()


def test_every_law_has_a_mutation() -> None:
    assert {law for law, _, _ in MUTATIONS} == set(LAWS)


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(BenchError, match="fused must be a multiple of heads, but fused is 48 and heads 7"):
        registry.method("ft_transformer:heads=7")


def test_the_papers_sizes_are_settings() -> None:
    doc = str(ft.__doc__)
    spec = doc[doc.index("`ft_transformer:") + 1 :].split("`")[0]
    net: Any = registry.method(spec).build(SHAPES, torch.zeros(1, TASKS), torch.ones(1, TASKS))  # type: ignore[attr-defined]
    blocks = net.encoder.blocks
    assert (len(blocks), blocks[0].heads, net.encoder.width) == (3, 8, 192)
    assert blocks[0].feed.up.weight.shape == (2 * 256, 192)  # 4/3 of 192, and as much for the gate
    assert (blocks[0].attention_dropout, blocks[0].feed.dropout.dropped) == (0.2, round(0.1 * 256))


def test_dropout_is_of_attention_and_off_in_prediction(make_cohort: Callable[..., Cohort]) -> None:
    net, batch = network(f"{SPEC}:dropout=0.5:ffn_dropout=0"), patients()
    quiet = net(batch)
    assert torch.equal(net(batch), quiet)
    net.train()
    assert not torch.equal(net(batch), net(batch))
    still = network(f"{SPEC}:dropout=0:ffn_dropout=0").train()
    same(still(batch), still.eval()(batch))


def test_balancing_and_stopping_are_the_trainers(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(n=300, weighted=True)
    fitted, valid = cohort.rows(np.arange(200)), cohort.rows(np.arange(200, 300))
    predictor = registry.method(f"{SPEC}:balance=pcgrad:loss=both:stop=per_task:epochs=3").fit(fitted, valid, Run(seed=1))
    assert len(predictor.facts["best_epoch"]) == 3  # type: ignore[arg-type]
    assert predictor.predict(valid.inputs).shape == (100, 3)
