import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch

from bench import registry
from bench.core import Cohort, Run, Unsupported
from bench.recalibrate import validation_score

Parts = tuple[Cohort, Cohort, Cohort]
TABNET = registry.module("methods", "tabnet")


@pytest.fixture(scope="module")
def parts(make_cohort: Callable[..., Cohort]) -> Parts:
    whole = make_cohort(n=700, weighted=True)
    return whole.rows(np.arange(400)), whole.rows(np.arange(400, 550)), whole.rows(np.arange(550, 700))


@pytest.mark.parametrize("n", [2, 3, 63, 64, 65, 127, 129, 255, 256, 257, 1000])
def test_batches_are_whole_and_never_none(n: int) -> None:
    rows = np.arange(n)[:, None]
    batches = TABNET.Batches(rows, rows, rows, "cpu")
    drawn = [x.flatten() for x, _, _ in batches(256, 64)]
    assert drawn
    size = len(drawn[0])
    assert len(torch.cat(drawn).unique()) == sum(map(len, drawn)) > n - size  # each row once; less than a batch sits out
    assert size <= 256
    assert len(drawn) >= 8 or size <= 32
    for x in drawn:
        ghosts = x.chunk(int(np.ceil(len(x) / 64)))  # as the network cuts it
        assert min(map(len, ghosts)) >= 2  # one row cannot be normalised


@pytest.mark.parametrize("n", [257, 260])
def test_just_more_rows_than_a_batch_are_trained_on(make_cohort: Callable[..., Cohort], n: int) -> None:
    # pytorch-tabnet's own trainer drops the last batch, and so trains on nothing where there are fewer rows than one
    whole = make_cohort(n=700, signal=5.0)
    train, valid = whole.rows(np.arange(n)), whole.rows(np.arange(400, 550))
    losses: list[float] = []
    for epochs in (1, 20):
        predictor = registry.method(f"tabnet:batch=256:epochs={epochs}").fit(train, valid, Run())
        assert predictor.facts["steps"] >= epochs
        p = predictor.predict(train.inputs).astype(float)
        losses.append(float(np.nanmean(np.where(train.labels == 1, -np.log(p), -np.log(1 - p))[train.mask])))
    assert losses[1] < 0.9 * losses[0]


def test_unknown_labels_carry_no_loss() -> None:
    z = torch.zeros((3, 2), requires_grad=True)
    y, w = torch.tensor([[1.0, 0], [0, 0], [1, 1]]), torch.tensor([[1.0, 1], [0, 1], [3, 0]])
    TABNET._loss(z, y, w).backward()
    # d/dz of the loss at z = 0 is (1/2 - y) w / (sum of the outcome's w) / (2 outcomes)
    np.testing.assert_allclose(z.grad, [[-1 / 16, 1 / 8], [0, 1 / 8], [-3 / 16, 0]])


def test_the_best_epoch_is_used_and_nothing_is_printed(parts: Parts, capfd: pytest.CaptureFixture[str]) -> None:
    train, valid, _ = parts
    state = torch.random.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor = registry.method("tabnet:patience=8").fit(train, valid, Run())
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.random.get_rng_state(), state)  # the seed is the fit's own affair
    scores = predictor.facts["scores"]
    assert len(scores) - 1 - int(np.argmin(scores)) == 8
    assert min(scores) < 0.9
    p = predictor.predict(valid.inputs)
    assert validation_score(valid.labels, p, valid.loss_weights) == pytest.approx(min(scores), abs=1e-6)
    known = int(train.mask.any(axis=1).sum())
    assert predictor.facts["steps"] == len(scores) * (known // (known // 8))
    assert not predictor.facts["at_cap"]


def test_the_cap_is_told(parts: Parts) -> None:
    facts = registry.method("tabnet:epochs=2").fit(parts[0], parts[1], Run()).facts
    assert (facts["at_cap"], len(facts["scores"])) == (True, 2)


def test_masks_choose_columns(parts: Parts) -> None:
    predictor = registry.method("tabnet:epochs=3").fit(parts[0], parts[1], Run())
    x = torch.from_numpy(predictor.prepare(parts[2].inputs)).float()
    _, masks = predictor.model.network.forward_masks(x)
    for mask in masks.values():
        torch.testing.assert_close(mask.sum(1), torch.ones(len(x)))
        assert (mask >= 0).all()
        assert (mask == 0).float().mean() > 0.3  # sparse


def test_an_outcome_of_one_class_is_a_constant(parts: Parts) -> None:
    train, valid, test = parts
    predictor = registry.method("tabnet").fit(train.rows(train.labels[:, 2] != 1), valid, Run(quick=True))
    assert predictor.facts["constant"] == ["outcome_2"]
    assert (predictor.predict(test.inputs)[:, 2] == np.float32(1e-7)).all()


def test_nothing_to_learn_is_declined(parts: Parts) -> None:
    healthy = parts[0].rows((parts[0].labels == 0).all(axis=1))
    with pytest.raises(Unsupported, match=f"an outcome with both classes among its training rows, but {len(healthy)} rows"):
        registry.method("tabnet").fit(healthy, parts[1], Run())
