import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.nets.dropout import Dropout
from bench.nets.encoders import Encoder
from bench.nets.experts import Experts, Gates, Stacked
from bench.nets.fusion import Fusion
from bench.nets.heads import Heads, log_odds
from bench.prep import SeriesShape, TableShape, TextShape

D, ROWS = 8, 6
SHAPES = {"table": TableShape(5, (3, 4)), "vitals": SeriesShape(4, 2, 5, 18), "note": TextShape(7)}


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def batch() -> dict[str, dict[str, Tensor]]:
    there = torch.ones(ROWS, dtype=torch.bool)
    return {
        "table": {"numeric": normal(ROWS, 5), "missing": (normal(ROWS, 5) > 1).double(), "codes": torch.tensor([[2, 3]] * ROWS), "present": there},
        "vitals": {"windows": normal(ROWS, 4, 2, 5), "observed": torch.ones(ROWS, 4, 2).double(), "time": normal(4).expand(ROWS, -1), "summary": normal(ROWS, 18), "present": there},
        "note": {"vector": normal(ROWS, 7), "present": there},
    }  # fmt: skip


def encoder(shapes: Any = SHAPES, layers: int = 1, **settings: Any) -> Encoder:
    torch.manual_seed(0)
    options = {"d": D, "hidden": 12, "layers": layers, "heads": 2, "dropout": 0.2, **settings}
    return Encoder(shapes, **options).double().eval()


def test_stacked_maps_are_separate_linear_layers() -> None:
    maps = Stacked(3, 4, 5).double()
    shared, own = normal(ROWS, 4), normal(ROWS, 3, 4)
    for i in range(3):
        layer = nn.Linear(4, 5).double()
        layer.load_state_dict({"weight": maps.weight[i], "bias": maps.bias[i]})
        same(maps(shared)[:, i], layer(shared))
        same(maps(own)[:, i], layer(own[:, i]))


def test_experts_start_as_a_linear_layer_does() -> None:
    weight = Stacked(50, 16, 40).weight.detach()
    assert float(weight.abs().max()) == pytest.approx(1 / 4, rel=1e-3)  # U(+-1/sqrt(16)), SD .25 / sqrt 3
    assert float(weight.std()) == pytest.approx(0.25 / 3**0.5, rel=0.02)


def test_gates_see_what_they_may() -> None:
    visible = torch.tensor([[True, False, True], [True, True, True]])
    gates = Gates(2, D, 3, visible).double()
    for h in (normal(ROWS, D), normal(ROWS, 2, D)):
        out = gates(h)
        same(out.sum(-1), torch.ones(ROWS, 2, dtype=torch.float64))
        assert torch.equal(out > 0, visible.expand(ROWS, -1, -1))
    assert sum(p.numel() for p in gates.parameters()) == 5 * (D + 1)


def test_gate_entropy_runs_from_one_expert_to_all() -> None:
    gates = Gates(1, D, 4).double()
    for bias, entropy in ((torch.zeros(4), 1.0), (torch.tensor([100.0, 0, 0, 0]), 0.0)):
        gates.weight.data.zero_()
        gates.bias.data.copy_(bias)
        gates(normal(ROWS, D))
        assert gates.entropy() == pytest.approx(entropy, abs=1e-6)


def test_dropout_keeps_its_share_and_the_mean() -> None:
    torch.manual_seed(0)
    layer, x = Dropout(0.25), torch.ones(100, 1001)  # 64 of 256
    out = layer(x)
    # share dropped: SD sqrt(.25 * .75 / 100,100) = .0014
    assert float((out == 0).double().mean()) == pytest.approx(0.25, abs=0.006)
    assert set(out.unique().tolist()) == {0.0, torch.tensor(4 / 3).item()}
    columns, rows = (out == 0).double().mean(0), (out == 0).double().mean(1)
    assert float(columns.std()) < 0.06  # no column of bytes is special: SD sqrt(.1875 / 100) = .043
    assert float(rows.std()) < 0.02
    assert torch.equal(layer.eval()(x), x)


def test_dropout_gradient_is_its_mask() -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 7, requires_grad=True)
    out = Dropout(0.5)(x)
    out.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x, out)
    assert (Dropout(1.0)(x) == 0).double().mean() > 0.9


def test_heads_are_separate_and_start_at_the_prevalence() -> None:
    y = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]])
    w = torch.tensor([[3.0, 1, 0], [1, 1, 0], [1, 1, 0], [1, 1, 0]])
    # task 0: weighted rate 4/6, odds 2; task 1: no event, half of one in 4: (1/8) / (7/8) = 1/7; task 2: unknown, odds 1
    odds = log_odds(y, w)
    assert odds.tolist() == pytest.approx([0.693147, -1.945910, 0.0], abs=1e-5)
    heads, z = Heads(D, odds.double()).double(), normal(ROWS, 3, D)
    for t in range(3):
        same(heads(z)[:, t], z[:, t] @ heads.weight[t] + heads.bias[t])


@pytest.mark.parametrize("layers", [1, 2])
def test_last_layer_computes_what_the_full_one_would(layers: int) -> None:
    torch.manual_seed(0)
    fusion = Fusion(D, layers, 2, 0.0).double().eval()
    tokens, mask = normal(ROWS, 5, D), torch.rand(ROWS, 5) > 0.4
    full = copy.deepcopy(fusion)
    for layer in full.layers:
        layer.queries = 0
    same(fusion(tokens, mask), full(tokens, mask))


def test_attention_is_the_formula() -> None:
    torch.manual_seed(0)
    fusion = Fusion(D, 1, 2, 0.0).double().eval()
    layer: Any = fusion.layers[0]
    tokens, mask = normal(1, 3, D), torch.tensor([[True, False, True]])
    seen = torch.cat([fusion.glob[0], tokens[0, [0, 2]]])  # the masked token simply is not there
    h = layer.norm1(seen)
    key, value = layer.key(h), layer.value(h)
    mixed = []
    for part in (slice(0, 4), slice(4, 8)):
        weights = torch.softmax(layer.query(h[:1])[:, part] @ key[:, part].T / 2, dim=-1)  # sqrt(4)
        mixed.append(weights @ value[:, part])
    x = seen[:1] + layer.out(torch.cat(mixed, dim=1))
    same(fusion(tokens, mask), fusion.norm(x + layer.feed(layer.norm2(x))))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("key", list(SHAPES))
def test_a_missing_modality_has_exactly_zero_influence(key: str, layers: int) -> None:
    net, full = encoder(layers=layers), batch()
    without = {**full, key: {**full[key], "present": torch.arange(ROWS) > 2}}
    noise = {**without, key: {name: a * 1000 if a.is_floating_point() else a for name, a in without[key].items()}}
    assert torch.equal(net(noise)[:3], net(without)[:3])
    assert not torch.isclose(net(noise), net(without))[3:].all(1).any()
    net(without)[:3].sum().backward()
    own = net.encoders[net.keys.index(key)]
    assert all(p.grad is None or not p.grad.any() for p in own.parameters())


def test_no_modality_at_all_is_still_defined() -> None:
    nothing = {key: {**part, "present": torch.zeros(ROWS, dtype=torch.bool)} for key, part in batch().items()}
    out = encoder()(nothing)
    assert torch.isfinite(out).all()
    same(out, out[:1].expand(ROWS, -1))


def test_an_unobserved_window_has_exactly_zero_influence() -> None:
    net, full = encoder(), batch()
    observed = full["vitals"]["observed"].clone()
    observed[:, 1] = 0
    windows = full["vitals"]["windows"].clone()
    windows[:, 1] = 99
    one, other = (
        {**full, "vitals": {**full["vitals"], "observed": observed, "windows": w}} for w in (full["vitals"]["windows"], windows)
    )
    assert torch.equal(net(one), net(other))


@pytest.mark.parametrize("key", list(SHAPES))
def test_one_modality_alone_works_and_every_weight_learns(key: str) -> None:
    net = encoder({key: SHAPES[key]})
    net(batch()).pow(2).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("shape", [TableShape(0, (3, 4)), TableShape(5, ())])
def test_tables_of_codes_or_numbers_alone(shape: TableShape) -> None:
    part = batch()["table"]
    numbers = {name: part[name][:, : shape.numeric] for name in ("numeric", "missing")}
    out = encoder({"table": shape})({"table": {**part, **numbers, "codes": part["codes"][:, : len(shape.cards)]}})
    assert out.shape == (ROWS, D)


def test_a_row_alone_equals_the_row_in_a_batch() -> None:
    net, full = encoder(), batch()
    one = {key: {name: a[2:3] for name, a in part.items()} for key, part in full.items()}
    same(net(one), net(full)[2:3])


def test_experts_activate_and_drop() -> None:
    experts = Experts(2, 4, 5, 0.5).double()
    torch.manual_seed(0)
    assert (experts(normal(ROWS, 4)) == 0).any()
    same(experts.eval()(normal(ROWS, 4)), nn.functional.gelu(experts.maps(normal(ROWS, 4))))
