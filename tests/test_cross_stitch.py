"""The laws of methods.md 4.3. Each is a function of the module's code, so that it can be seen to fail under a mutation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bench import registry, train
from bench.prep import TableShape

D, WIDTH, ROWS, TASKS = 6, 8, 5, 3
cross_stitch = registry.module("methods", "cross_stitch")


def method(**settings: Any) -> Any:
    return replace(registry.method(f"cross_stitch:width={WIDTH}"), **settings)  # type: ignore[type-var]


def block(tasks: int = TASKS, seed: int = 0, **settings: Any) -> Any:
    """The sharing block in float64, dropout off, through METHOD."""
    torch.manual_seed(seed)
    return method(**settings).sharing(D, tasks).double().eval()


def patients(rows: int = ROWS) -> Tensor:
    return torch.randn(rows, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def stitched(net: Any, matrix: Tensor) -> Any:
    """The block with this (T, T) matrix at every level."""
    with torch.no_grad():
        for stitch in net.stitches:
            stitch.units.copy_(matrix.double().expand(stitch.shape).flatten() / stitch.rate)
    return net


def law_1_the_identity_is_single_task_networks() -> None:
    for per_channel in (False, True):
        net = stitched(block(per_channel=per_channel), torch.eye(TASKS))
        for t in range(TASKS):
            alone = stitched(block(tasks=1), torch.eye(1))
            with torch.no_grad():
                for mine, theirs in zip(alone.columns.parameters(), net.columns.parameters(), strict=True):
                    mine.copy_(theirs[[t]])
            same(net(patients())[:, [t]], alone(patients()))
            net.zero_grad()
            net(patients())[:, t].sum().backward()
            for parameter in net.columns.parameters():
                assert (parameter.grad != 0).flatten(1).any(1).tolist() == [u == t for u in range(TASKS)]


def law_2_equal_shares_give_all_columns_the_same_input() -> None:
    net = stitched(block(levels=3), torch.full((TASKS, TASKS), 1 / TASKS))
    seen: list[Tensor] = []
    for column in net.columns:
        column.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    seen.append(net(patients()))
    assert [x.dim() for x in seen] == [2, 3, 3, 3]
    for x in seen[1:]:
        same(x, x[:, :1].expand_as(x))
        assert (x.std(0) > 0).any()


def law_3_rows_start_with_sum_one_and_keep_the_scale() -> None:
    for per_channel in (False, True):
        net = block(per_channel=per_channel)
        for stitch in net.stitches:
            y = torch.randn(ROWS, 1, WIDTH, dtype=torch.float64)
            torch.testing.assert_close(
                stitch(y.expand(-1, TASKS, -1)), y.expand(-1, TASKS, -1), rtol=1e-6, atol=1e-6
            )  # from float32
            one = torch.zeros(1, TASKS, WIDTH, dtype=torch.float64)
            one[:, 0] = 1  # column 0 alone speaks: .9 of it stays, and .1 / 2 goes to each of the other two
            expected = torch.tensor([0.9, 0.05, 0.05], dtype=torch.float64)[:, None].expand(-1, WIDTH)
            torch.testing.assert_close(stitch(one)[0], expected, rtol=1e-6, atol=1e-6)
    alone = block(tasks=1).stitches[0]
    y = torch.randn(ROWS, 1, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(alone(y), y, rtol=1e-6, atol=1e-6)  # float32's .1 * 10


def trainer(**settings: Any) -> Any:
    """The suite's trainer around a network with this block."""
    torch.manual_seed(0)
    chosen = method(fused=8, heads=2, **settings)
    y = torch.ones(2, TASKS)
    return train._Trainer(chosen, chosen.build({"table": TableShape(5, ())}, y, y), TASKS)


def moved(start: Any, gradient: float) -> tuple[Tensor, Tensor]:
    """How far one step of the optimizer takes the first matrix and the first column's weights, all gradients being equal."""
    sharing = start.network.sharing
    stitch, weight = sharing.stitches[0], sharing.columns[0].maps.weight
    before = [(stitch.rate * stitch.units).detach().clone(), weight.detach().clone()]
    for parameter in start.network.parameters():
        parameter.grad = torch.full_like(parameter, gradient)
    start.descend()
    return (stitch.rate * stitch.units).detach() - before[0], weight.detach() - before[1]


def law_4_no_weight_decay_on_the_units() -> None:
    for per_channel in (False, True):
        units, weights = moved(trainer(per_channel=per_channel), gradient=0.0)
        assert torch.equal(units, torch.zeros_like(units))
        assert (weights != 0).all()


def law_5_units_learn_faster_by_their_rate() -> None:
    for rate in (1.0, 10.0, 100.0):
        units, weights = moved(trainer(rate=rate, weight_decay=0.0, lr=1e-3), gradient=1.0)
        torch.testing.assert_close(units, torch.full_like(units, -rate * 1e-3), rtol=1e-2, atol=0)  # Adam's first step is lr
        torch.testing.assert_close(weights, torch.full_like(weights, -1e-3), rtol=1e-2, atol=0)


class AllOnes(cross_stitch.Stitch):
    """LibMTL's start: activations grow by T a level."""

    def __init__(self, *rest: Any, **more: Any) -> None:
        super().__init__(*rest, **more)
        self.units.data = torch.ones_like(self.units) / self.rate


class Nested(cross_stitch.Stitch):
    """Units kept as a matrix, which the trainer decays."""

    def __init__(self, *rest: Any, **more: Any) -> None:
        super().__init__(*rest, **more)
        self.units = torch.nn.Parameter(self.units.data.view(self.shape))


class Plain(cross_stitch.Stitch):
    """Units that learn as all other weights do."""

    def __init__(self, tasks: int, channels: int, own: float, rate: float) -> None:
        super().__init__(tasks, channels, own, rate=1.0)


class Residual(cross_stitch.Stitch):
    """A column that is also handed on as it is, but for the first."""

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(y) + y * (torch.arange(y.shape[1]) > 0)[:, None]


class Neighbour(cross_stitch.Stitch):
    """A column mixed for the task after it."""

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(y).roll(1, dims=1)


Law = Callable[[], None]
LAWS: list[Law] = [
    law_1_the_identity_is_single_task_networks, law_2_equal_shares_give_all_columns_the_same_input,
    law_3_rows_start_with_sum_one_and_keep_the_scale, law_4_no_weight_decay_on_the_units, law_5_units_learn_faster_by_their_rate,
]  # fmt: skip
MUTATIONS: list[tuple[Law, Any]] = [
    (LAWS[0], Residual), (LAWS[0], Neighbour), (LAWS[1], Residual), (LAWS[2], AllOnes), (LAWS[2], Neighbour), (LAWS[3], Nested),
    (LAWS[4], Plain),
]  # fmt: skip


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law) -> None:
    law()


@pytest.mark.parametrize(("law", "mutant"), MUTATIONS, ids=lambda x: x.__name__)
def test_law_fails_under_mutation(law: Law, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_stitch, "Stitch", mutant)
    with pytest.raises(AssertionError):
        law()


def test_every_law_has_a_mutation() -> None:
    assert {law for law, _ in MUTATIONS} == set(LAWS)


def test_one_row_alone() -> None:
    net = block()
    assert net(patients(1)).shape == (1, TASKS, WIDTH)
    same(net(patients())[:1], net(patients()[:1]))
