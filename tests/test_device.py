"""Where networks are trained and how precisely: what is asked for is there or is said, and nothing is made on another device."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from bench import devices, registry, train
from bench.core import BenchError, Cohort, Fold, Run
from bench.nets.chance import Dice, apart

Make = Callable[..., Cohort]
SMALL = "epochs=4:batch=64:hidden=16:fused=16"
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def parts(cohort: Cohort) -> tuple[Cohort, Cohort]:
    return cohort.rows(np.arange(300)), cohort.rows(np.arange(300, len(cohort)))


def fitted(spec: str, cohort: Cohort, **run: Any) -> Any:
    return registry.method(spec).fit(*parts(cohort), Run(seed=3, **run))


@pytest.mark.parametrize("name", ["cuda:7", "gpu", "CPU1"])
def test_a_device_that_is_not_here_is_said_with_what_is(name: str) -> None:
    with pytest.raises(BenchError, match=rf"device must be auto or one of what is here \(cpu.*\), but is '{name}'"):
        devices.resolve(name)


def test_the_cpu_is_always_here_and_auto_takes_a_gpu_when_there_is_one() -> None:
    assert devices.resolve("cpu") == "cpu"
    assert devices.resolve("auto") == devices.found()[0]
    assert devices.found()[-1] == "cpu"


@pytest.mark.parametrize("spec", ["mmoe", "orthtd:dense=0.1", "hard_sharing:balance=famo", "dfd", "tabm"])
def test_a_step_makes_nothing_on_the_default_device(spec: str, make_cohort: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever is made without saying where would be made on `meta`, and a sum of it and of a tensor with values is an error.
    spec = f"{spec}:epochs=2:batch=64:hidden=16" + ("" if spec == "tabm" else ":fused=16")
    cohort = make_cohort(n=400, tasks=3)
    usual = fitted(spec, cohort)
    epoch = train._Trainer.epoch  # pyright: ignore[reportPrivateUsage]

    def guarded(trainer: Any, *arrays: Any) -> None:
        with torch.device("meta"):
            epoch(trainer, *arrays)

    monkeypatch.setattr(train._Trainer, "epoch", guarded)  # pyright: ignore[reportPrivateUsage]
    assert np.array_equal(fitted(spec, cohort).predict(cohort.inputs), usual.predict(cohort.inputs))


def test_nor_does_a_step_of_several(make_cohort: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.nets.grouped import Stack

    cohort = make_cohort(n=400, tasks=3)
    folds = [Fold(*parts(cohort), Run(seed=seed)) for seed in (1, 2)]
    chosen: Any = registry.method(f"ple:{SMALL}")
    usual = dict(chosen.fit_group(folds))
    epoch = Stack.epoch

    def guarded(stack: Stack) -> None:
        with torch.device("meta"):
            epoch(stack)

    monkeypatch.setattr(Stack, "epoch", guarded)
    for k, one in chosen.fit_group(folds):
        assert np.array_equal(one.predict(cohort.inputs), usual[k].predict(cohort.inputs))


@pytest.mark.parametrize("spec", ["mmoe", "ple", "tabm", "dfd", "ft_transformer:heads=4", "hard_sharing:balance=cagrad"])
def test_mixed_precision_agrees_with_float32(spec: str, make_cohort: Make) -> None:
    # bfloat16 keeps 8 bits: a product is off by up to 2^-8 = .4 %. That is little beside what another seed does.
    spec = f"{spec}:epochs=3:batch=64:hidden=16" + ("" if spec == "tabm" else ":fused=16")
    cohort = make_cohort(n=600, tasks=3)
    whole, mixed = (fitted(spec, cohort, precision=precision) for precision in ("float32", "bfloat16"))
    assert all(p.dtype == torch.float32 for p in mixed.networks[0].parameters())
    other: Any = registry.method(spec).fit(*parts(cohort), Run(seed=4))
    p, q, r = (one.predict(cohort.inputs) for one in (whole, mixed, other))
    assert 0 < np.abs(p - q).mean() < np.abs(p - r).mean() / 3
    assert mixed.facts["precision"] == "bfloat16"
    assert "precision" not in whole.facts


def test_the_penalty_of_dense_is_not_rounded_in_mixed_precision(make_cohort: Make) -> None:
    from bench.losses import cross_entropy, per_task
    from bench.nets.network import objective
    from bench.nets.spectrum import dense

    cohort = make_cohort(n=300, tasks=2)
    predictor = fitted(f"mmoe:{SMALL}", cohort)
    network, batch = predictor.networks[0].eval(), predictor._batch(cohort.inputs)
    y, w = torch.tensor(np.nan_to_num(cohort.labels)), torch.tensor(cohort.loss_weights)
    given: Any = (
        network,
        batch,
        y,
        w,
        torch.arange(len(y)),
        lambda z, y, w: per_task(cross_entropy(z.to(y), y), w),
        0.5,
        "bfloat16",
    )
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        fused = network.encoder(batch)
    with torch.no_grad():
        losses, penalty = objective(*given)
    assert penalty is not None
    assert losses.dtype == penalty.dtype == torch.float32
    assert float(penalty) == pytest.approx(0.5 * float(dense(fused.float())), rel=1e-6)  # in bfloat16 it is off by up to .4 %


def test_mixed_precision_of_several_is_that_of_each(make_cohort: Make) -> None:
    cohort = make_cohort(n=600, tasks=3)
    folds = [Fold(*parts(cohort), Run(seed=seed, precision="bfloat16")) for seed in (1, 2)]
    chosen: Any = registry.method(f"mmoe:{SMALL}")
    for k, one in chosen.fit_group(folds):
        assert one.predict(cohort.inputs) == pytest.approx(chosen.fit(*folds[k]).predict(cohort.inputs), abs=0.01)


def test_random_numbers_of_a_training_go_on_where_they_stood() -> None:
    cpu = torch.device("cpu")
    before = torch.get_rng_state()
    with apart(cpu, 7):
        first = torch.rand(3)
        stood = Dice.now(cpu)
        second = torch.rand(3)
    with apart(cpu, stood):
        assert torch.equal(torch.rand(3), second)
    own, device = stood.generators(cpu)
    assert own is device
    assert torch.equal(torch.rand(3, generator=own), second)
    assert not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ValueError, match="in between"), apart(cpu, 8):
        raise ValueError("in between")
    assert torch.equal(torch.get_rng_state(), before)


@GPU
@pytest.mark.parametrize("spec", ["mmoe", "ple", "hard_sharing:balance=cagrad", "dfd", "single_task"])
def test_a_gpu_learns_what_the_cpu_learns(spec: str, make_cohort: Make) -> None:
    # dropout=0: the masks of the two devices differ
    cohort, spec = make_cohort(n=600, tasks=3), f"{spec}:{SMALL}:dropout=0"
    p, q = (fitted(spec, cohort, device=device, precision="float64").predict(cohort.inputs) for device in ("cpu", "cuda:0"))
    assert q == pytest.approx(p, abs=1e-6)


@GPU
def test_a_group_on_a_gpu_is_each_alone(make_cohort: Make) -> None:
    cohort = make_cohort(n=600, tasks=3)
    folds = [Fold(*parts(cohort), Run(seed=seed, device="cuda:0", precision="float64")) for seed in (1, 2, 3)]
    chosen: Any = registry.method(f"mmoe:{SMALL}")
    for k, one in chosen.fit_group(folds):
        alone = chosen.fit(*folds[k])
        pairs = zip(one.networks[0].parameters(), alone.networks[0].parameters(), strict=True)
        assert max(float((a - b).detach().abs().max()) for a, b in pairs) < 1e-10


@GPU
def test_the_gpu_asked_for_is_the_one_used(make_cohort: Make) -> None:
    last = f"cuda:{torch.cuda.device_count() - 1}"
    predictor = fitted(f"mmoe:{SMALL}", make_cohort(n=400, tasks=2), device=last)
    assert {str(p.device) for p in predictor.networks[0].parameters()} == {last}


def test_protocols_of_other_precisions_are_stored_apart() -> None:
    from bench.protocol import Protocol, asked

    usual, mixed = Protocol(), asked(precision="bfloat16")[0]
    assert replace(mixed, precision="float32") == usual
    assert "precision" not in usual.part.identity
    assert mixed.part.identity["precision"] == "bfloat16"
    assert mixed.part.folder.startswith("cv5-bfloat16@")
    with pytest.raises(BenchError, match="bfloat16"):
        asked(precision="bfloat17")
