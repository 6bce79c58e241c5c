"""The laws of methods.md 3b, through METHOD. Each law is seen to fail under a mutation of the module of towers."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import prep, registry, train
from bench.core import BenchError, Cohort, Inputs, Run, Unsupported
from bench.nets import towers
from bench.prep import SeriesShape, TableShape, TextShape

ROWS, FORMS = 6, ("concat:features=3", "additive", "token:features=1", "token:features=3")
SMALL = "fused=8:hidden=12:heads=2:width=5"
SHAPES = {"a": TextShape(7), "b": TextShape(7), "c": TextShape(7)}
MIXED = {"table": TableShape(5, (3, 4)), "vitals": SeriesShape(4, 2, 5, 18), "note": TextShape(7)}


def net(name: str = "shared_encoder", form: str = "concat:features=3", shapes: Any = SHAPES, layers: int = 1) -> Any:
    """The untrained encoder in float64, dropout off."""
    torch.manual_seed(0)
    method: Any = replace(registry.method(f"{name}:{SMALL}:form={form}"), layers=layers)  # type: ignore[type-var]
    return method.encode(shapes).double().eval()


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def batch(**absent: list[int]) -> dict[str, dict[str, Tensor]]:
    """Three texts a patient; `absent`: rows without one."""
    out = {}
    for seed, key in enumerate(SHAPES):
        there = torch.ones(ROWS, dtype=torch.bool)
        there[absent.get(key, [])] = False
        out[key] = {"vector": normal(ROWS, 7, seed=seed + 10), "present": there}
    return out


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


def blocks(encoder: Any) -> int:
    return sum(p.numel() for p in encoder.blocks[0].parameters())


def law_1_tied_blocks_are_one_object_in_the_optimizer_once() -> None:
    for layers in (1, 2):
        encoder = net(layers=layers)
        assert all(block is encoder.blocks[0] for block in encoder.blocks)
        listed = [id(p) for p in encoder.parameters()]
        assert len(listed) == len(set(listed))
        assert len({id(block) for block in net("separate_encoders", layers=layers).blocks}) == 3


def law_2_gradients_sum_over_modalities() -> None:
    for form in FORMS:
        tied, separate = net(form=form), net("separate_encoders", form=form)
        separate.load_state_dict(tied.state_dict())
        same(tied(batch()), separate(batch()))
        for encoder in (tied, separate):
            (encoder(batch()) * normal(ROWS, 8)).sum().backward()
        for name, parameter in tied.blocks[0].named_parameters():
            own = [dict(block.named_parameters())[name].grad for block in separate.blocks]
            assert all(bool(g.any()) for g in own)
            same(parameter.grad, torch.stack(own).sum(0))


def law_3_separate_blocks_are_all_that_is_more() -> None:
    for form in FORMS:
        for shapes in (SHAPES, MIXED):
            for layers in (1, 2):
                tied, separate = (net(n, form, shapes, layers) for n in ("shared_encoder", "separate_encoders"))
                more = sum(p.numel() for p in separate.parameters()) - sum(p.numel() for p in tied.parameters())
                assert more == (len(shapes) - 1) * blocks(tied) > 0


def exchanged(encoder: Any) -> tuple[Tensor, Tensor]:
    """The vectors of patients, and of patients whose first two modalities are exchanged; one tokenizer for all."""
    for tokenizer in encoder.encoders[1:]:
        tokenizer.load_state_dict(encoder.encoders[0].state_dict())
    given = batch(a=[0], b=[1, 2], c=[2])
    return encoder(given), encoder({"a": given["b"], "b": given["a"], "c": given["c"]})


def law_4_without_features_modalities_are_exchangeable() -> None:
    for form in FORMS:
        encoder = net(form=form, layers=2)
        encoder.features.data.zero_()
        same(*exchanged(encoder))


def law_5_features_tell_modalities_apart() -> None:
    for form in FORMS:
        encoder = net(form=form, layers=2)
        encoder.features.data.mul_(50)
        before, after = exchanged(encoder)
        assert float((before - after).detach().abs().max()) > 1e-3


def law_6_every_token_carries_the_feature() -> None:
    # no token but the global one is there: only its own feature can tell the modalities apart
    empty = torch.zeros(ROWS, 1, dtype=torch.bool)
    for form in FORMS[:2]:
        encoder = net(form=form)
        tokens = normal(ROWS, 1, encoder.glob.shape[1])
        encoder.features.data.mul_(50)
        alone = [encoder.tower(m, tokens, empty).detach() for m in range(3)]
        assert float((alone[0] - alone[1]).abs().max()) > 1e-3
        # the other tokens, seen by a global token that is the same in all: a feature of theirs moves what it reads
        moved = (encoder.tower(0, tokens, ~empty) - encoder.tower(1, tokens, ~empty)).detach()
        assert float((moved - (alone[0] - alone[1])).abs().max()) > 1e-3


def law_7_what_is_absent_has_no_influence() -> None:
    for form in FORMS:
        encoder = net(form=form)
        given = batch(a=[0, 3], b=[1, 3], c=[3])
        out = encoder(given)
        noisy = {key: {**part, "vector": part["vector"] + 100.0 * ~part["present"][:, None]} for key, part in given.items()}
        assert torch.equal(encoder(noisy), out)
        assert not out[3].any()  # no modality at all
        vectors, there = encoder.vectors(given)
        same(out[0], (vectors[0, 1] + vectors[0, 2]) / 2)
        assert there[0].tolist() == [False, True, True]


def law_8_info_nce_by_hand() -> None:
    pairs = torch.eye(5, dtype=torch.float64)
    assert float(towers.info_nce(pairs, 3 * pairs, torch.tensor(100.0))) == pytest.approx(0, abs=1e-12)
    alike = torch.ones(5, 4, dtype=torch.float64)
    assert float(towers.info_nce(alike, alike, torch.tensor(14.0))) == pytest.approx(math.log(5), abs=1e-12)
    # scale 2, cosines [[1, 1], [0, 0]]: rows -> ln 2, ln 2; columns (2, 0) and (2, 0) -> ln(1 + e^-2), ln(1 + e^2)
    a, b = torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[1.0, 0], [5, 0]])
    columns = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(2))) / 2
    for x, y in ((a, b), (b, a)):
        assert float(towers.info_nce(x, y, torch.tensor(2.0))) == pytest.approx((math.log(2) + columns) / 2, abs=1e-6)


def law_9_only_rows_with_both_are_contrasted() -> None:
    given = batch(a=[4], c=[4, 0])  # row 4 has b alone, row 0 lacks c
    contrast = towers.Contrast(net()).double()
    loss = contrast(given)
    given["b"]["vector"][4] += 100.0
    given["c"]["vector"][0] += 100.0
    assert torch.equal(contrast(given), loss)
    given["c"]["vector"][1] += 100.0
    assert not torch.equal(contrast(given), loss)
    assert towers.paired(given).tolist() == [0, 1, 2, 3, 5]


class Untied(towers.Towers):
    """Copies for the objects."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more | {"tied": False})


class Blind(towers.Towers):
    """Features that are never looked at."""

    def tower(self, m: int, tokens: Tensor, mask: Tensor) -> Tensor:
        return super().tower(0, tokens, mask)


class BareGlobal(towers.Towers):
    """The global token without the feature: the quirk of the published image path."""

    def tower(self, m: int, tokens: Tensor, mask: Tensor) -> Tensor:
        if bool(mask.any()):
            return super().tower(m, tokens, mask)
        return super().tower(0, tokens, mask)


class OwnNorms(towers.Towers):
    """More than blocks differs: a norm of its own for every modality, in the separate net alone."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        if not more["tied"]:
            self.norms = nn.ModuleList(nn.LayerNorm(self.width) for _ in self.keys)


class Everyone(towers.Towers):
    """The mean over all modalities, absent or not."""

    def vectors(self, batch: Any) -> tuple[Tensor, Tensor]:
        vectors, there = super().vectors(batch)
        return vectors, torch.ones_like(there)


class LastOnly(towers.Towers):
    """Only the last modality moves the blocks."""

    def vectors(self, batch: Any) -> tuple[Tensor, Tensor]:
        vectors, there = super().vectors(batch)
        return torch.cat([vectors[:, :-1].detach(), vectors[:, -1:]], dim=1), there


def one_way(a: Tensor, b: Tensor, scale: Tensor) -> Tensor:
    logits = scale * nn.functional.normalize(a, dim=1) @ nn.functional.normalize(b, dim=1).T
    return nn.functional.cross_entropy(logits, torch.arange(len(a)))


Law = Callable[[], None]
LAWS: list[Law] = [
    law_1_tied_blocks_are_one_object_in_the_optimizer_once, law_2_gradients_sum_over_modalities,
    law_3_separate_blocks_are_all_that_is_more, law_4_without_features_modalities_are_exchangeable,
    law_5_features_tell_modalities_apart, law_6_every_token_carries_the_feature, law_7_what_is_absent_has_no_influence,
    law_8_info_nce_by_hand, law_9_only_rows_with_both_are_contrasted,
]  # fmt: skip
MUTATIONS: list[tuple[Law, str, Any]] = [
    (LAWS[0], "Towers", Untied),
    (LAWS[1], "Towers", LastOnly),
    (LAWS[2], "Towers", OwnNorms),
    (LAWS[3], "Towers", Untied),
    (LAWS[4], "Towers", Blind),
    (LAWS[5], "Towers", BareGlobal),
    (LAWS[6], "Towers", Everyone),
    (LAWS[7], "info_nce", one_way),
    (LAWS[8], "Towers", Everyone),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law) -> None:
    law()


@pytest.mark.parametrize(("law", "name", "mutant"), MUTATIONS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_law_fails_under_mutation(law: Law, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (towers, *(registry.module("methods", m) for m in ("shared_encoder", "separate_encoders"))):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, mutant)
    with pytest.raises(AssertionError):
        law()


def test_every_law_has_a_mutation() -> None:
    assert {law for law, _, _ in MUTATIONS} == set(LAWS)


def fitted(name: str, cohort: Cohort, **settings: Any) -> tuple[Any, Cohort]:
    method: Any = replace(registry.method(f"{name}:epochs=3:hidden=16:fused=24:batch=64"), **settings)  # type: ignore[type-var]
    valid = cohort.rows(np.arange(300, 400))
    return method.fit(cohort.rows(np.arange(300)), valid, Run(seed=3)), valid


def only(cohort: Cohort, *keys: str) -> Cohort:
    return replace(cohort, inputs=Inputs({key: cohort.inputs.modalities[key] for key in keys}), digest="".join(keys))


def test_the_sharing_block_is_that_of_hard_sharing(small_cohort: Cohort) -> None:
    tokens = prep.tokens(small_cohort)
    y = torch.zeros(1, 3)
    for name in ("shared_encoder", "separate_encoders"):
        method: Any = registry.method(name)
        hard: Any = registry.method("hard_sharing")
        block, other = method.build(tokens.shapes, y, y).sharing, hard.build(tokens.shapes, y, y).sharing
        assert {k: v.shape for k, v in block.state_dict().items()} == {k: v.shape for k, v in other.state_dict().items()}


def test_with_one_modality_nothing_is_tied(small_cohort: Cohort) -> None:
    one = only(small_cohort, "table")
    (tied, valid), (separate, _) = fitted("shared_encoder", one), fitted("separate_encoders", one)
    assert tied.facts["parameters"] == separate.facts["parameters"]
    assert np.array_equal(tied.predict(valid.inputs), separate.predict(valid.inputs))
    with pytest.raises(Unsupported, match="needs rows with two modalities to contrast, but 0 rows have them"):
        fitted("shared_encoder", one, contrastive=2)


@pytest.mark.parametrize("name", ["shared_encoder", "separate_encoders"])
def test_contrastive_pretraining_tells_pairs_from_others(name: str) -> None:
    """Paired texts that are the same are told apart far better than by chance, log 64."""
    vectors = torch.randn(256, 7, generator=torch.Generator().manual_seed(0))
    there = torch.ones(256, dtype=torch.bool)
    method: Any = replace(registry.method(name), contrastive=20, batch=64)  # type: ignore[type-var]
    torch.manual_seed(0)
    network = method.build({"a": TextShape(7), "b": TextShape(7)}, torch.zeros(1, 2), torch.zeros(1, 2))
    data = {key: {"vector": vectors, "present": there} for key in ("a", "b")}
    names = [name for name, _ in network.named_parameters()]
    facts = method.pretrain(network, data, torch.arange(256), Run())
    assert facts["contrastive"][-1] < 1.0 < facts["contrastive"][0]
    assert facts["contrastive_rows"] == 256
    assert [name for name, _ in network.named_parameters()] == names  # the scale and the maps are dropped


def test_pretraining_is_told_in_facts_and_changes_what_is_learned(small_cohort: Cohort) -> None:
    (plain, valid), (pretrained, _) = (
        fitted("shared_encoder", small_cohort),
        fitted("shared_encoder", small_cohort, contrastive=2),
    )
    assert "contrastive" not in plain.facts
    assert len(pretrained.facts["contrastive"]) == 2
    assert plain.facts["parameters"] == pretrained.facts["parameters"]
    assert not np.array_equal(plain.predict(valid.inputs), pretrained.predict(valid.inputs))


def test_the_scale_starts_at_one_over_007_and_stays_below_100() -> None:
    contrast = towers.Contrast(net())
    assert float(contrast.scale.detach()) == pytest.approx(1 / 0.07, rel=1e-6)
    contrast.log_scale.data.fill_(9.0)
    assert float(contrast.scale.detach()) == pytest.approx(100)


def test_modality_tokens_have_no_order_and_the_global_token_is_read() -> None:
    encoder = net(form="token:features=3", layers=2)
    out = encoder(batch())
    encoder.features.data = encoder.features.data[:, [2, 0, 1]]
    same(encoder(batch()), out)
    encoder.glob.data.add_(1.0 + torch.arange(8))
    assert float((encoder(batch()) - out).detach().abs().max()) > 1e-3


def test_features_must_leave_room_for_a_token() -> None:
    for name in ("shared_encoder", "separate_encoders"):
        with pytest.raises(BenchError, match="form=concat needs features below fused, but features is 20 and fused 16"):
            registry.method(f"{name}:fused=16")


def test_a_batch_of_the_trainer_is_taken_as_it_is(small_cohort: Cohort) -> None:
    """The real shapes, three kinds of modality, one vector a modality."""
    tokens = prep.tokens(small_cohort)
    method: Any = registry.method("shared_encoder")
    vectors, there = method.encode(tokens.shapes).vectors(train.tensors(tokens(small_cohort.inputs), "cpu"))
    assert vectors.shape == (500, 3, 64)
    assert np.array_equal(there.numpy(), np.column_stack([m.present for m in small_cohort.inputs.modalities.values()]))
