"""The laws of methods.md 3 of the pure functions. Each law is seen to fail under a mutation of the module."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.nets import spectrum

N, D, K = 300, 6, 2


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def white(n: int = N, d: int = D, seed: int = 0) -> Tensor:
    """Embeddings with mean 0 and covariance I."""
    z = normal(n, d, seed=seed)
    return torch.linalg.qr(z - z.mean(0)).Q * math.sqrt(n - 1)


def rotation(d: int = D, seed: int = 3) -> Tensor:
    return torch.linalg.qr(normal(d, d, seed=seed)).Q


def skewed() -> Tensor:
    return normal(N, D) @ normal(D, D, seed=1)


def only(columns: list[int], scale: list[float], seed: int = 0) -> Tensor:
    """White embeddings scaled in some columns and 0 in the others."""
    z = torch.zeros(N, D, dtype=torch.float64)
    z[:, columns] = white(d=len(columns), seed=seed) * torch.tensor(scale, dtype=torch.float64)
    return z


def law_1_spreading_knows_no_rotation_and_no_scale() -> None:
    z = skewed()
    for other in (z @ rotation(), 7 * z):
        assert float(spectrum.spreading(other)) == pytest.approx(float(spectrum.spreading(z)), abs=1e-10)


def law_2_spreading_runs_from_minus_log_d_to_zero() -> None:
    assert float(spectrum.spreading(white() @ rotation())) == pytest.approx(-math.log(D), abs=1e-12)
    assert float(spectrum.spreading(only([2], [3.0]))) == pytest.approx(0, abs=1e-6)
    # eigenvalues 4, 1, 1: shares 2/3, 1/6, 1/6: 2/3 ln 2/3 + 1/3 ln 1/6 = -.270310 - .597253 = -.867563
    assert float(spectrum.spreading(only([0, 1, 2], [2, 1, 1]))) == pytest.approx(-0.867563, abs=1e-6)


def law_3_the_mean_is_of_no_consequence() -> None:
    z, mean = skewed(), 50 * normal(D, seed=4)
    for f in (spectrum.spreading, spectrum.orthogonality, lambda x: spectrum.consistency(x, skewed()[:200], K)):
        assert float(f(z + mean)) == pytest.approx(float(f(z)), abs=1e-8)
    assert spectrum.subspace_distance(z + mean, z, K) == pytest.approx(0, abs=1e-8)


def law_4_orthogonality_by_hand() -> None:
    assert float(spectrum.orthogonality(white() * torch.arange(1, D + 1))) == pytest.approx(0, abs=1e-20)
    # variances 9 and 1 turned by 45 degrees: both 5, covariance 4, correlation .8; two of two entries are .64
    z = white(d=2) * torch.tensor([3.0, 1.0])
    turned = z @ (torch.tensor([[1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64) / math.sqrt(2))
    assert float(spectrum.orthogonality(turned)) == pytest.approx(0.64, abs=1e-12)
    assert float(spectrum.orthogonality(turned * torch.tensor([1.0, 100.0]))) == pytest.approx(0.64, abs=1e-12)
    assert float(spectrum.orthogonality(white() @ rotation())) == pytest.approx(0, abs=1e-20)


def law_5_the_same_span_has_no_distance_whatever_its_basis() -> None:
    turn = torch.block_diag(rotation(K), torch.eye(D - K, dtype=torch.float64))
    a, b = only([0, 1], [2, 1]), only([0, 1], [1, 1], seed=5) @ turn
    assert spectrum.subspace_distance(a, b, K) == pytest.approx(0, abs=1e-12)
    assert float(spectrum.consistency(a, b, K)) == pytest.approx(0, abs=1e-12)


def law_6_orthogonal_spans_have_distance_one() -> None:
    a, b = only([0, 1], [2, 1]), only([2, 4], [1, 3], seed=5)
    assert spectrum.subspace_distance(a, b, K) == pytest.approx(1, abs=1e-12)
    assert float(spectrum.consistency(a, b, K)) == pytest.approx(1, abs=1e-12)


def law_7_consistency_is_the_distance_where_spectra_are_flat() -> None:
    a, b = only([0, 1], [1, 1]), only([0, 1], [1, 1], seed=5) @ rotation()
    distance = spectrum.subspace_distance(a, b, K)
    assert 0.1 < distance < 0.9
    assert float(spectrum.consistency(a, b, K)) == pytest.approx(distance, abs=1e-12)


def law_8_gradients_are_finite_where_eigenvalues_are_equal() -> None:
    for start in (white(), normal(4, D), torch.zeros(10, D, dtype=torch.float64), only([1], [1.0])):
        z = start.requires_grad_()
        loss = spectrum.dense(z) + spectrum.consistency(z, white(seed=7), K)
        (gradient,) = torch.autograd.grad(loss, z)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def law_9_measures_by_hand() -> None:
    # singular values (2, 1, 1, 0): shares 1/2, 1/4, 1/4: exp(1.5 ln 2) = 2.8284; eigenvalues (4, 1, 1, 0): exp(.867563) = 2.3811
    z = torch.cat([white(d=3) * torch.tensor([2.0, 1.0, 1.0]), torch.zeros(N, 1)], dim=1)
    found = spectrum.measures(z, free=3)
    assert found["rank_singular"] == pytest.approx(2.8284, abs=1e-4)
    assert found["rank_eigen"] == pytest.approx(2.3811, abs=1e-4)
    assert found["condition_singular"] == pytest.approx(2, rel=1e-9)
    assert found["condition_eigen"] == pytest.approx(4, rel=1e-9)
    assert spectrum.measures(z, free=4)["condition_eigen"] == pytest.approx(1e12, rel=1e-6)  # the floor, said in the docstring
    assert math.isnan(spectrum.measures(z[:3], free=3)["condition_eigen"])  # three centred rows span two directions


def law_10_vicreg_by_hand() -> None:
    z = 2 * white(d=3)
    assert float(spectrum.vicreg(z, z)) == pytest.approx(0, abs=1e-10)
    # all patients alike: twice 25 (1 - sqrt 1e-4); apart by 2: 25 * 4 more
    same = torch.ones(5, 3, dtype=torch.float64)
    assert float(spectrum.vicreg(same, same)) == pytest.approx(49.5, abs=1e-9)
    assert float(spectrum.vicreg(same, same + 2)) == pytest.approx(149.5, abs=1e-9)
    # variances 9 and 1 turned by 45 degrees: covariance 4 twice, (16 + 16) / 2 for each view
    turned = white(d=2) * torch.tensor([3.0, 1.0]) @ (torch.tensor([[1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64) / math.sqrt(2))
    assert float(spectrum.vicreg(turned, turned)) == pytest.approx(32, abs=1e-9)


def uncentred(z: Tensor) -> Tensor:
    return z.double().T @ z.double() / (len(z) - 1)


def correlation(z: Tensor) -> Tensor:
    z = (z - z.mean(0)).double()
    z = z / z.std(0).clamp(min=1e-12)
    return z.T @ z / (len(z) - 1)


def unscaled(z: Tensor) -> Tensor:
    """The entropy of eigenvalues that are no shares."""
    values = torch.linalg.eigvalsh(spectrum.covariance(z)).clamp(min=1e-12)
    return (values * values.log()).sum()


def of_covariance(z: Tensor) -> Tensor:
    c = spectrum.covariance(z)
    return ((c - torch.diag(c.diagonal())) ** 2).mean()


def cosine_of_covariances(a: Tensor, b: Tensor, k: int) -> Tensor:
    c, e = spectrum.covariance(a), spectrum.covariance(b)
    return 1 - (c * e).sum() / (c.norm() * e.norm())


def smallest(c: Tensor, k: int) -> Tensor:
    return torch.linalg.eigh(c.detach()).eigenvectors[:, :k]


def with_gradient(c: Tensor, k: int) -> Tensor:
    return torch.linalg.eigh(c).eigenvectors[:, -k:]


def of_all_variance(c: Tensor, directions: Tensor) -> Tensor:
    return 1 - (directions.T @ c @ directions).diagonal().sum() / (2 * c.trace())


def held(c: Tensor, directions: Tensor) -> Tensor:
    """The share that the directions do hold."""
    return (directions.T @ c @ directions).diagonal().sum() / c.trace()


def of_eigenvalues(spectrum: Tensor) -> float:
    share = spectrum**2 / (spectrum**2).sum()
    return float(torch.special.entr(share).sum().exp())


def invariance_alone(a: Tensor, b: Tensor) -> Tensor:
    return 25 * ((a - b) ** 2).mean()


Law = Callable[[], None]
LAWS: list[Law] = [
    law_1_spreading_knows_no_rotation_and_no_scale, law_2_spreading_runs_from_minus_log_d_to_zero,
    law_3_the_mean_is_of_no_consequence, law_4_orthogonality_by_hand, law_5_the_same_span_has_no_distance_whatever_its_basis,
    law_6_orthogonal_spans_have_distance_one, law_7_consistency_is_the_distance_where_spectra_are_flat,
    law_8_gradients_are_finite_where_eigenvalues_are_equal, law_9_measures_by_hand, law_10_vicreg_by_hand,
]  # fmt: skip
MUTATIONS: list[tuple[Law, str, Any]] = [
    (LAWS[0], "covariance", correlation),
    (LAWS[0], "spreading", unscaled),
    (LAWS[1], "spreading", unscaled),
    (LAWS[2], "covariance", uncentred),
    (LAWS[3], "orthogonality", of_covariance),
    (LAWS[4], "consistency", cosine_of_covariances),
    (LAWS[4], "_top", smallest),
    (LAWS[5], "_missed", held),
    (LAWS[6], "_missed", of_all_variance),
    (LAWS[7], "_top", with_gradient),
    (LAWS[8], "effective_rank", of_eigenvalues),
    (LAWS[9], "vicreg", invariance_alone),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law: Law) -> None:
    law()


@pytest.mark.parametrize(("law", "name", "mutant"), MUTATIONS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_law_fails_under_mutation(law: Law, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectrum, name, mutant)
    with pytest.raises(AssertionError):
        law()


def test_every_law_has_a_mutation() -> None:
    assert {law for law, _, _ in MUTATIONS} == set(LAWS)


def test_gradients_are_those_of_finite_differences() -> None:
    z = normal(12, 4, seed=8).requires_grad_()
    assert torch.autograd.gradcheck(spectrum.spreading, z)
    assert torch.autograd.gradcheck(spectrum.orthogonality, z)
    assert torch.autograd.gradcheck(lambda x: spectrum.vicreg(x, 2 * x + 1), z)


def test_random_spans_have_their_chance_level() -> None:
    # E ||U'V||^2 / k = k / d for uniform spans: 1 - 2 / 6
    distances = [spectrum.subspace_distance(normal(40, D, seed=s), normal(40, D, seed=s + 500), K) for s in range(300)]
    assert sum(distances) / 300 == pytest.approx(1 - K / D, abs=0.03)


def test_noise_of_full_rank_is_as_dense_as_anything() -> None:
    z = normal(20_000, D, seed=6)  # the trivial optimum: nothing is learned, and both losses are at their least
    assert float(spectrum.spreading(z)) == pytest.approx(-math.log(D), abs=1e-3)
    assert float(spectrum.orthogonality(z)) == pytest.approx(0, abs=1e-3)
    assert spectrum.measures(z, D)["condition_eigen"] < 1.2


def test_eigenvalues_within_a_factor_of_1_2_have_nearly_full_rank() -> None:
    # so that the paper's 86 and 1.2 are of one full spectrum only if d is 86 or 87; two values are the worst case
    for high in range(1, 86):
        values = torch.ones(86)
        values[:high] = 1.2
        assert spectrum.effective_rank(values) > 0.99 * 86


def test_descent_spreads() -> None:
    z = (skewed() * torch.tensor([9.0, 3, 1, 1, 0.3, 0.1])).requires_grad_()
    before = spectrum.measures(z.detach(), D)
    optimizer = torch.optim.Adam([z], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        spectrum.dense(z).backward()
        optimizer.step()
    after = spectrum.measures(z.detach(), D)
    assert after["rank_eigen"] > 0.98 * D > before["rank_eigen"]
    assert after["condition_eigen"] < 2 < before["condition_eigen"]
