"""Parameters as views of one tensor: the step is the one that torch's own clipping, AdamW and running average make."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from bench import prep, registry, train
from bench.core import Cohort
from bench.nets.flat import Flat

SPEC = "mmoe:width=8:fused=8:heads=2:hidden=8:weight_decay=0.1:average=0.9"


def network(spec: str, cohort: Cohort) -> tuple[Any, Any]:
    method: Any = registry.method(spec)
    y = torch.tensor(cohort.labels).nan_to_num()
    torch.manual_seed(0)
    return method, method.build(prep.tokens(cohort).shapes, y, torch.ones_like(y)).double()


def gradients(parameters: list[nn.Parameter], step: int) -> list[Tensor]:
    drawn = torch.Generator().manual_seed(step)
    return [torch.randn(p.shape, generator=drawn, dtype=p.dtype) * 10.0 ** (-2 * step) for p in parameters]  # clipped and not


def test_a_step_is_that_of_torch(small_cohort: Cohort) -> None:
    method, net = network(SPEC, small_cohort)
    expected = copy.deepcopy(net)
    average = copy.deepcopy(net)
    made = train._Trainer(method, net, 3)
    theirs = list(expected.parameters())
    groups = [
        {"params": [p for p in theirs if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in theirs if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=method.lr, foreach=False, fused=False)
    for step in range(4):
        for parameters in (list(net.parameters()), theirs):
            for p, g in zip(parameters, gradients(parameters, step), strict=True):
                p.grad = g.clone()
        made.descend()
        nn.utils.clip_grad_norm_(theirs, 1.0)
        optimizer.step()
        get_ema_multi_avg_fn(min(0.9, (step + 1) / (step + 11)))(list(average.parameters()), theirs, step + 1)
    for ours, right in ((net, expected), (made.averaged, average)):
        for a, b in zip(ours.parameters(), right.parameters(), strict=True):
            torch.testing.assert_close(a.detach(), b.detach(), rtol=1e-12, atol=1e-12)


def test_parameters_are_views_and_copies_of_the_network_are_not(small_cohort: Cohort) -> None:
    _, net = network(SPEC, small_cohort)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    flat = Flat(net.parameters())
    assert all(torch.equal(p, before[name]) for name, p in net.named_parameters())
    copied = copy.deepcopy(net)
    flat.values.zero_()
    assert not any(p.any() for p in net.parameters())
    assert all(torch.equal(p, before[name]) for name, p in copied.named_parameters())


def test_a_parameter_without_gradient_has_one_of_zero() -> None:
    weight, bias = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(3))
    flat = Flat([bias, weight])
    assert flat.decayed == 4
    bias.grad = torch.tensor([1.0, 2, 3])
    assert flat.gradient().tolist() == [0, 0, 0, 0, 1, 2, 3]
    assert bias.grad is None
