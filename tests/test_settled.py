"""The resampled average precision is moved to its estimate and given the spread of the jackknife; nothing else is touched."""

from dataclasses import replace

import numpy as np
import pytest

from bench import jackknife
from bench.bootstrap import Cell, draw, sums
from bench.stats import estimates as of
from bench.stats.estimates import AP, Plan, estimates


def cells(repeats: int = 1, seed: int = 0, spread: float = 0.0) -> list[Cell]:
    """Three methods on 200 patients and two outcomes; the third predicts what the second does. Weights of 1 to 1 + spread."""
    rng = np.random.default_rng(seed)
    y = (rng.random((200, 2)) < (0.3, 0.4)).astype(float)
    w = 1 + spread * rng.random((200, 2))
    out: list[Cell] = []
    for r in range(repeats):
        fold = np.arange(200) % 2 if r == 0 else rng.permutation(np.arange(200) % 2)
        p = y + rng.normal(size=(3, 200, 2))
        p[2] = p[1]
        out += [
            Cell(r, f, np.flatnonzero(fold == f), y[fold == f], w[fold == f], p[:, fold == f]) for f in range(2)
        ]  # fmt: skip
    return out


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    # without each of 1, 2, 6: means 4, 3.5, 1.5; their mean 3, squares 1 + .25 + 2.25 = 3.5, times 2/3: 7/3
    # s^2 / n of 1, 2, 6: (4 + 1 + 9) / 2 / 3 = 7/3
    assert jackknife.standard_error(np.array([4.0, 3.5, 1.5]), np.zeros(3)) == pytest.approx(np.sqrt(7 / 3), abs=1e-15)
    two = np.array([[4.0, 3.5, 1.5, 4.0, 3.5, 1.5]])
    assert jackknife.standard_error(two, np.array([0, 0, 0, 1, 1, 1])) == pytest.approx([np.sqrt(14 / 3)], abs=1e-15)
    assert np.isnan(jackknife.standard_error(np.array([1.0, np.nan]), np.zeros(2)))


def settled_and_raw(made: list[Cell], monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """(M, T + 1, K, 1 + B) estimates of 400 resamples, as they are and without their correction."""
    plan = Plan.of(made, ["a", "b", "c"], "a")
    counts, _ = draw(np.arange(200) % 2, 400, 0)
    parts = sums(made, np.column_stack([np.ones(200, np.uint16), counts]))
    with monkeypatch.context() as patched:
        settled = estimates(parts, plan, plan.scope).values
        patched.setattr(of, "_settle", lambda *_: None)
        return settled, estimates(parts, plan, plan.scope).values


@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_resampled_average_precision_has_the_jackknife_s_spread(
    repeats: int, spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cells(repeats, spread=spread)
    plan, stratum = Plan.of(made, ["a", "b", "c"], "a"), np.arange(200) % 2
    settled, raw = settled_and_raw(made, monkeypatch)
    np.testing.assert_array_equal(settled[..., 0], raw[..., 0])  # the observed sample
    np.testing.assert_array_equal(np.delete(settled, AP, axis=2), np.delete(raw, AP, axis=2))  # the other metrics
    np.testing.assert_array_equal(settled[1], settled[2])
    ap = settled[:, :-1, AP]
    np.testing.assert_allclose(ap[..., 1:].mean(axis=-1), ap[..., 0], rtol=0, atol=1e-12)
    assert (raw[:, :-1, AP, 1:].mean(axis=-1) > ap[..., 0] + 0.003).all()  # an event drawn twice stands above itself
    for m in range(3):
        lost = jackknife.without(made, m, 200, plan.with_ap, plan.averaged)[:-1, AP]
        expected = jackknife.standard_error(lost, stratum)
        np.testing.assert_allclose(ap[m, :, 1:].std(axis=-1, ddof=1), expected, rtol=1e-12)
    np.testing.assert_allclose(settled[:, -1, AP], ap.mean(axis=1), rtol=1e-12)


def test_a_hair_s_breadth_of_weight_does_not_halve_the_correction(monkeypatch: pytest.MonkeyPatch) -> None:
    wider = []
    for spread in (0.0, 1e-9):
        settled, raw = settled_and_raw(cells(spread=spread), monkeypatch)
        wider.append(settled[:, :-1, AP, 1:].std(axis=-1) / raw[:, :-1, AP, 1:].std(axis=-1))
    assert wider[0].max() > 1.1
    np.testing.assert_allclose(wider[1], wider[0], rtol=1e-6)


@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_perfect_predictions_stay_perfect_and_nothing_leaves_its_range(spread: float) -> None:
    made = [
        replace(cell, p=np.stack([cell.y, cell.y + 0.3 * np.sin(np.arange(100))[:, None], 0 * cell.y]))
        for cell in cells(spread=spread)
    ]
    plan = Plan.of(made, ["perfect", "nearly", "constant"], "perfect")
    counts, _ = draw(np.arange(200) % 2, 200, 0)
    values = estimates(sums(made, np.column_stack([np.ones(200, np.uint16), counts])), plan, plan.scope).values[:, :, AP]
    np.testing.assert_allclose(values[0], 1, rtol=0, atol=1e-14)  # weighted sums round
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert (values <= 1 + 1e-14).all()
