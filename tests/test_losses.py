"""The losses: spot values, gradients, masks, and what each is minimised by."""

import numpy as np
import pytest
import torch

from bench import losses, recalibrate, registry
from bench.core import Cohort, Run


@pytest.mark.parametrize(
    ("p", "y", "expected"),
    [
        # (p - .05)^4 * -ln(1.05 - p) for y = 0; (1 - p) * -ln p for y = 1
        (0.1, 0, 3.206e-7), (0.1, 1, 2.072327), (0.5, 0, 0.024515), (0.5, 1, 0.346574), (0.9, 0, 0.990308), (0.9, 1, 0.010536),
    ],
)  # fmt: skip
def test_asymmetric_loss_by_hand(p: float, y: int, expected: float) -> None:
    z = torch.logit(torch.tensor(p).double())
    assert float(losses.asymmetric(z, torch.tensor(y))) == pytest.approx(expected, abs=1e-6, rel=1e-3 if expected < 1e-3 else 0)
    assert float(losses.both(z, torch.tensor(y).double())) == pytest.approx((expected - np.log(p if y else 1 - p)) / 2, abs=1e-6)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_gradients_are_right_and_finite_far_out(name: str) -> None:
    y = torch.tensor([0.0, 1, 0, 1]).double()
    z = torch.tensor([-0.3, 0.4, 2.0, -1.5]).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: losses.LOSSES[name](z, y), z)
    far = torch.tensor([-200.0, -200, 200, 200]).requires_grad_()
    losses.LOSSES[name](far, y.float()).sum().backward()
    assert torch.isfinite(far.grad).all()  # type: ignore[arg-type]


def test_the_asymmetric_optimum_is_not_the_risk() -> None:
    # A risk of .05 is mapped to .42, which is why stopping and calibration are judged after a recalibration
    grid = torch.linspace(0.01, 0.9, 8901).double()
    z = torch.logit(grid)
    expected = 0.05 * losses.asymmetric(z, torch.ones_like(z)) + 0.95 * losses.asymmetric(z, torch.zeros_like(z))
    assert float(grid[expected.argmin()]) == pytest.approx(0.42, abs=0.01)


def test_mean_over_known_labels() -> None:
    each = torch.tensor([[1.0, 5, 2], [3, 7, 2]])
    w = torch.tensor([[1.0, 0, 0], [3, 2, 0]])
    # (1 * 1 + 3 * 3) / 4 = 2.5; only the second row: 7; nothing known: 0
    assert losses.per_task(each, w).tolist() == [2.5, 7, 0]


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_every_loss_learns(loss: str, small_cohort: Cohort) -> None:
    fitted, valid = small_cohort.rows(np.arange(300)), small_cohort.rows(np.arange(300, len(small_cohort)))
    predictor = registry.method(f"hard_sharing:loss={loss}:epochs=30:lr=0.01:hidden=16").fit(fitted, valid, Run(seed=1))
    score = recalibrate.validation_score(valid.labels, predictor.predict(valid.inputs))
    assert score < 0.9  # 1 = no better than the prevalence
