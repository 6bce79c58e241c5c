"""The training loop: losses, stopping, seeds, and what hard sharing and single task must agree on (methods.md 4.2)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import prep, recalibrate, registry, train
from bench.core import Cohort, Run, Unsupported

Make = Callable[..., Cohort]
SHORT = "epochs=3:hidden=16:fused=16:batch=64"
SHARING = ("hard_sharing", "mmoe", "ple", "orthtd")
RUN = Run(seed=5)


def method(name: str, **settings: Any) -> Any:
    return replace(registry.method(f"{name}:{SHORT}"), **settings)  # type: ignore[type-var]


def halves(cohort: Cohort, n: int = 300) -> tuple[Cohort, Cohort]:
    return cohort.rows(np.arange(n)), cohort.rows(np.arange(n, len(cohort)))


def relabelled(cohort: Cohort, labels: Any, weights: Any = None) -> Cohort:
    """Other labels on the same inputs; any number of tasks."""
    tasks = tuple(replace(cohort.tasks[0], name=f"task_{t}") for t in range(labels.shape[1]))
    return replace(cohort, labels=np.array(labels, np.float32), weights=weights, tasks=tasks)


def batch_of(cohort: Cohort, seed: int = 0) -> tuple[Any, Any, Tensor, Tensor]:
    """Method, untrained network without dropout, labels and weights on the whole cohort."""
    m = method("hard_sharing", dropout=0.0)
    tokens = prep.tokens(cohort)
    y, w = torch.tensor(np.nan_to_num(cohort.labels)), torch.tensor(cohort.loss_weights)
    torch.manual_seed(seed)
    return m, (m.build(tokens.shapes, y, w), train.tensors(tokens(cohort.inputs), "cpu")), y, w


def gradients(loss: Tensor, network: nn.Module) -> list[Tensor]:
    found = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, network.parameters(), strict=True)]


def only(w: Tensor, t: int) -> Tensor:
    return w * (torch.arange(w.shape[1]) == t)


def check_tasks_are_separate(loss: Callable[..., Tensor], network: Any, batch: Any, y: Tensor, w: Tensor) -> None:
    """The three laws of hard sharing: own heads, silent unknown labels, gradients that add up."""
    z = network(batch)
    for t in range(3):
        (head,) = torch.autograd.grad(loss(z, y, only(w, t)), network.heads.weight, retain_graph=True)
        assert (head != 0).any(1).tolist() == [u == t for u in range(3)]
    (per_logit,) = torch.autograd.grad(loss(z, y, w), z, retain_graph=True)
    assert not per_logit[w == 0].any()
    assert per_logit[w > 0].all()
    whole = gradients(loss(z, y, w), network)
    parts = [gradients(loss(z, y, only(w, t)), network) for t in range(3)]
    for all_tasks, *one_task in zip(whole, *parts, strict=True):
        torch.testing.assert_close(all_tasks, torch.stack(one_task).mean(0), rtol=1e-4, atol=1e-6)


def mean_loss(m: Any) -> Any:
    """What equal weights minimise: the mean over the tasks with a known label."""
    return lambda z, y, w: m.losses(z, y, w).sum() / (w > 0).any(0).sum().clamp(min=1)


def test_hard_sharing_keeps_tasks_separate_and_the_check_can_fail(small_cohort: Cohort) -> None:
    m, (network, batch), y, w = batch_of(small_cohort)
    check_tasks_are_separate(mean_loss(m), network, batch, y, w)

    def unmasked(z: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return mean_loss(m)(z, y, torch.where(w.any(0), 1.0, w))

    def over_all_entries(z: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(z, y, w, reduction="sum") / w.sum()

    for mutant in (unmasked, over_all_entries):
        with pytest.raises(AssertionError):
            check_tasks_are_separate(mutant, network, batch, y, w)
    network.heads.forward = lambda z: (z * network.heads.weight).sum(-1) + (z * network.heads.weight).sum((1, 2))[:, None]
    with pytest.raises(AssertionError):
        check_tasks_are_separate(mean_loss(m), network, batch, y, w)


def test_loss_by_hand() -> None:
    z = torch.tensor([[0.0, 2.0, 1.0], [1.0, 0.0, 1.0]])
    y, w = torch.tensor([[1.0, 0, 0], [0, 1, 0]]), torch.tensor([[3.0, 0, 0], [1, 2, 0]])
    # task 0: (3 ln 2 + 1 * ln(1 + e)) / 4 = (2.079442 + 1.313262) / 4 = .848176; task 1: 2 ln 2 / 2 = .693147; task 2: nothing known
    # mean over the two tasks that have any: .770661
    loss = mean_loss(registry.method("mmoe"))
    assert float(loss(z, y, w)) == pytest.approx(0.770661, abs=1e-6)
    assert float(loss(z, y, w * torch.tensor([10.0, 0.1, 5]))) == pytest.approx(0.770661, abs=1e-6)
    assert float(loss(z, y, w * 0)) == 0


@pytest.mark.parametrize("stop", ["joint", "per_task"])
def test_single_task_is_hard_sharing_with_one_task_bit_for_bit(small_cohort: Cohort, stop: str) -> None:
    fitted, valid = halves(small_cohort)
    together = method("single_task", stop=stop).fit(fitted, valid, RUN)
    for t in range(3):
        one, other = (replace(c, tasks=c.tasks[t : t + 1], labels=c.labels[:, [t]]) for c in (fitted, valid))
        alone = method("hard_sharing", stop=stop, width=256).fit(one, other, RUN)
        assert np.array_equal(together.predict(valid.inputs)[:, [t]], alone.predict(valid.inputs))
        assert together.facts["scores"][t] == alone.facts["scores"]


def test_the_order_of_tasks_is_of_no_consequence_to_single_tasks(small_cohort: Cohort) -> None:
    order = [2, 0, 1]
    turned = replace(small_cohort, tasks=tuple(small_cohort.tasks[t] for t in order), labels=small_cohort.labels[:, order])
    one, other = (method("single_task").fit(*halves(c), RUN).predict(c.inputs) for c in (small_cohort, turned))
    assert np.array_equal(one[:, order], other)


@pytest.mark.parametrize("name", [*SHARING, "cross_stitch", "stem", "adatt", "mtan", "ft_transformer"])
def test_every_network_starts_at_the_prevalence_and_shares_all_but_its_heads(name: str, small_cohort: Cohort) -> None:
    tokens = prep.tokens(small_cohort)
    y, w = torch.tensor(np.nan_to_num(small_cohort.labels)), torch.tensor(small_cohort.loss_weights)
    m = method(name)
    network = m.build(tokens.shapes, y, w)
    rate = torch.tensor(np.nanmean(small_cohort.labels, axis=0))
    torch.testing.assert_close(network.heads.bias.detach(), torch.logit(rate))
    assert not any("BatchNorm" in type(module).__name__ for module in network.modules())  # a batch may be tiny
    shared = {id(p) for p in train._Trainer(m, network, 3).shared}
    assert shared == {id(p) for part in (network.encoder, network.sharing) for p in part.parameters()}  # gates among them


def test_a_batch_without_events_pushes_every_risk_down(small_cohort: Cohort) -> None:
    m, (network, batch), y, w = batch_of(small_cohort)
    (slope,) = torch.autograd.grad(m.losses(network(batch), y * 0, w).sum(), network.heads.bias)
    assert torch.isfinite(slope).all()
    assert (slope > 0).all()


@pytest.mark.parametrize("name", SHARING)
def test_order_of_tasks_moves_with_the_weights(name: str) -> None:
    order, h = [2, 0, 1], torch.randn(7, 16)
    block = method(name).sharing(16, 3).eval()
    turned = method(name).sharing(16, 3).eval()
    turned.load_state_dict(_permuted(name, block.state_dict(), order))
    torch.testing.assert_close(turned(h), block(h)[:, order])


def _permuted(name: str, state: dict[str, Tensor], order: list[int]) -> dict[str, Tensor]:
    """The block's weights with the tasks in another order. PLE: 2 experts a task, 2 shared; gates 4 wide, the shared one 8."""
    if name == "hard_sharing":
        return state
    if name == "mmoe":
        return {k: v.unflatten(0, (3, -1))[order].flatten(0, 1) if "gates" in k else v for k, v in state.items()}
    if name == "orthtd":
        groups = torch.tensor([0, *(t + 1 for t in order)])
        return {k: v[groups] if len(v) == 4 else v.unflatten(0, (4, -1))[groups].flatten(0, 1) for k, v in state.items()}
    experts = torch.tensor([2 * t + i for t in order for i in range(2)] + [6, 7])
    rows = [torch.tensor([4 * t + i for t in order for i in range(4)]), 12 + experts]
    gates = {"levels.0": torch.cat(rows), "levels.1": rows[0]}
    return {k: v[gates[k[:8]] if "gates" in k else experts] for k, v in state.items()}


@pytest.mark.parametrize("name", SHARING)
def test_stopping_per_task_keeps_the_best_of_each(name: str, small_cohort: Cohort) -> None:
    fitted, valid = halves(small_cohort)
    seen: list[float] = []
    run = replace(RUN, report=lambda step, score: seen.append(score))
    settings = {"epochs": 12, "lr": 0.02, "average": 0.0, "patience": 3}
    joint = method(name, **settings).fit(fitted, valid, run)
    assert seen == joint.facts["scores"]
    apart = method(name, stop="per_task", **settings).fit(fitted, valid, RUN)
    assert len(apart.facts["best_epoch"]) == 3
    assert apart.facts["scores"][: len(seen)] == seen[: apart.facts["epochs"]]  # the same training
    best = [recalibrate.task_scores(valid.labels, p.predict(valid.inputs)) for p in (joint, apart)]
    assert (best[1] <= best[0] + 1e-6).all()
    score = recalibrate.validation_score(valid.labels, joint.predict(valid.inputs))
    assert score == pytest.approx(min(seen), abs=1e-5)  # the best weights are the ones that are kept


def test_training_ends_patience_epochs_after_the_best(small_cohort: Cohort) -> None:
    facts = method("hard_sharing", epochs=200, patience=2, lr=0.05).fit(*halves(small_cohort), RUN).facts
    assert facts["epochs"] == facts["best_epoch"] + 2
    assert facts["scores"][facts["best_epoch"] - 1] == min(facts["scores"])
    assert facts["at_cap"] is False
    assert facts["steps"] == facts["epochs"] * 5  # 300 rows in batches of at most 64
    assert method("hard_sharing").fit(*halves(small_cohort), RUN).facts["at_cap"] is True


def test_a_fit_depends_on_its_seed_alone(small_cohort: Cohort) -> None:
    fitted, valid = halves(small_cohort)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = method("mmoe").fit(fitted, valid, RUN).predict(valid.inputs)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert np.array_equal(first, method("mmoe").fit(fitted, valid, RUN).predict(valid.inputs))
    assert not np.array_equal(first, method("mmoe").fit(fitted, valid, Run(seed=6)).predict(valid.inputs))


def test_unknown_labels_do_not_matter_by_their_rows(small_cohort: Cohort) -> None:
    fitted, valid = halves(small_cohort)
    labels = fitted.labels.copy()
    labels[:50] = np.nan
    m = method("hard_sharing")
    facts = m.fit(relabelled(fitted, labels), relabelled(valid, valid.labels), RUN).facts
    assert facts["steps"] == 3 * 4  # 250 rows with a label: four batches
    with pytest.raises(Unsupported, match="training row with a known outcome, but all 300"):
        m.fit(relabelled(fitted, labels * np.nan), valid, RUN)


def test_weights_are_learned_from(small_cohort: Cohort) -> None:
    """Half the patients contradict the others; the heavier half is believed."""
    fitted, valid = halves(small_cohort)
    turned = np.random.default_rng(0).random(300) < 0.5
    labels = np.nan_to_num(np.where(turned[:, None], 1 - fitted.labels, fitted.labels))
    for heavy, watched in ((turned, 1 - valid.labels), (~turned, valid.labels)):
        weights = np.repeat(np.where(heavy, 20, 1).astype(np.float32)[:, None], 3, axis=1)
        m = method("hard_sharing", epochs=8, lr=0.01)
        p = m.fit(relabelled(fitted, labels, weights), relabelled(valid, watched), RUN).predict(valid.inputs)
        assert recalibrate.validation_score(watched, p) < 0.95
        assert recalibrate.validation_score(1 - watched, p) == 1


def test_a_weight_of_two_is_two_patients(small_cohort: Cohort) -> None:
    m, (network, batch), y, w = batch_of(small_cohort)
    twice = torch.arange(len(y)) % 3 == 0
    rows = torch.cat([torch.arange(len(y)), torch.nonzero(twice).squeeze(1)])
    weighted = mean_loss(m)(network(batch), y, w * (1 + twice[:, None].float()))
    copied = mean_loss(m)(network(train.take(batch, rows)), y[rows], w[rows])
    assert float(weighted.detach()) == pytest.approx(float(copied.detach()), abs=1e-5)


def test_one_row_to_train_on(small_cohort: Cohort) -> None:
    fitted, valid = halves(small_cohort, 1)
    fitted = relabelled(fitted, np.ones((1, 3)))
    for name in (*SHARING, "single_task"):
        predictor = method(name).fit(fitted, valid, RUN)
        assert np.isfinite(predictor.predict(valid.inputs)).all()
        assert predictor.facts["steps"] >= 3


def test_many_rows_are_predicted_as_few(small_cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, valid = halves(small_cohort)
    predictor = method("ple").fit(fitted, valid, RUN)
    whole = predictor.predict(valid.inputs)
    monkeypatch.setattr("bench.nets.network.CHUNK", 7)
    assert predictor.predict(valid.inputs) == pytest.approx(whole, abs=1e-5)
    assert predictor.predict(valid.inputs.rows(np.arange(0))).shape == (0, 3)


def test_facts_of_gates_and_penalties(small_cohort: Cohort) -> None:
    parts = halves(small_cohort)
    assert len(method("mmoe").fit(*parts, RUN).facts["gate_entropy"]) == 1
    assert all(0 <= e <= 1 for e in method("ple", levels=3).fit(*parts, RUN).facts["gate_entropy"])
    free, bound = (method("orthtd", weight=w, epochs=15).fit(*parts, RUN).facts for w in (0.0, 10.0))
    assert free["penalty_start"] == bound["penalty_start"] > 0
    assert bound["penalty_end"] < 0.5 * free["penalty_end"]
    assert "penalty_start" not in method("hard_sharing").fit(*parts, RUN).facts


def test_parameters_are_counted(small_cohort: Cohort) -> None:
    parts = halves(small_cohort)
    one = method("mmoe", experts=3).fit(*parts, RUN).facts["parameters"]
    # a fourth expert: 16 x 64 weights and 64 biases; its column in each of 3 gates: 3 x (16 + 1)
    assert method("mmoe", experts=4).fit(*parts, RUN).facts["parameters"] == one + 16 * 64 + 64 + 3 * 17


def test_parts_show_what_the_heads_read(small_cohort: Cohort) -> None:
    fitted, valid = halves(small_cohort)
    predictor = method("orthtd", width=8).fit(fitted, valid, RUN)
    parts = predictor.parts(valid.inputs)
    assert parts["shared"].shape == (200, 8)
    assert parts["specific"].shape == (200, 3, 8)
    heads = predictor.networks[0].heads
    z = np.concatenate([np.repeat(parts["shared"][:, None], 3, axis=1), parts["specific"]], axis=2)
    logits = (z * heads.weight.detach().numpy()).sum(-1) + heads.bias.detach().numpy()
    assert predictor.predict(valid.inputs) == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-5)
    with pytest.raises(Unsupported, match="parts need"):
        method("mmoe").fit(fitted, valid, RUN).parts(valid.inputs)


class Repeated(nn.Module):
    def __init__(self, width: int, tasks: int) -> None:
        super().__init__()
        self.width, self.tasks = width, tasks

    def forward(self, h: Tensor) -> Tensor:
        return h[:, None].expand(-1, self.tasks, -1)


@dataclass(frozen=True, kw_only=True)
class Flat(train.NeuralMethod):
    """Overrides all three steps: no fusion, no sharing layer, squared error."""

    def encode(self, shapes: Any) -> nn.Module:
        return FirstNumbers(shapes["table"].numeric)

    def sharing(self, d: int, tasks: int) -> nn.Module:
        return Repeated(d, tasks)

    def losses(self, logits: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return (w * (torch.sigmoid(logits) - y) ** 2).mean(0)


class FirstNumbers(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, batch: Any) -> Tensor:
        return batch["table"]["numeric"]


def test_a_method_may_override_each_step(small_cohort: Cohort) -> None:
    fitted, valid = halves(small_cohort)
    predictor = Flat(lr=0.05, epochs=20).fit(fitted, valid, RUN)
    assert predictor.facts["parameters"] == 3 * (3 + 1)  # three numeric columns: heads alone
    assert min(predictor.facts["scores"]) < 0.95


def test_a_quick_run_is_short(small_cohort: Cohort) -> None:
    assert method("mmoe", epochs=50).fit(*halves(small_cohort), replace(RUN, quick=True)).facts["epochs"] == train.QUICK_EPOCHS
