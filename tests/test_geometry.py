"""The measures of methods.md 8 by law and by hand: spectra, angles, CKA, HSIC, probes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from bench import metrics
from bench.diagnose import geometry, probes

Array = np.ndarray[Any, Any]
N, K = 200, 6


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def rotation(k: int, seed: int = 9) -> Array:
    return np.linalg.qr(normal(k, k, seed=seed))[0]


# ---- spectra


def test_effective_rank_of_singular_values_and_of_eigenvalues_differ() -> None:
    # sigma = (2, 1, 1, 0): shares 1/2 1/4 1/4, entropy 1.5 ln 2, exp = 2^1.5 = 2.8284
    # its squares (4, 1, 1, 0): shares 2/3 1/6 1/6, exp(2/3 ln 1.5 + 1/3 ln 6) = 1.5^(2/3) 6^(1/3) = 2.3811
    sigma = np.array([2.0, 1.0, 1.0, 0.0])
    assert geometry.effective_rank(sigma) == pytest.approx(2**1.5, abs=1e-12)
    assert geometry.effective_rank(sigma**2) == pytest.approx(1.5 ** (2 / 3) * 6 ** (1 / 3), abs=1e-12)
    assert geometry.effective_rank(sigma**2) == pytest.approx(2.3811, abs=5e-5)


def test_condition_number_leaves_out_directions_without_variance() -> None:
    # 4 / 2, the third below 1e-6 of the first
    assert geometry.condition_number(np.array([4.0, 3.0, 2.0])) == 2
    assert geometry.condition_number(np.array([4.0, 2.0, 1e-9])) == 2
    assert geometry.condition_number(np.array([4.0, 2.0, 1e-9]) ** 2, geometry.FLOOR**2) == 4
    assert np.isnan(geometry.condition_number(np.zeros(3)))
    assert np.isnan(geometry.effective_rank(np.zeros(3)))


def test_singular_values_are_those_of_the_centred_matrix() -> None:
    x = normal(N, K) + 100
    expected = np.linalg.svd(x - x.mean(0), compute_uv=False) / np.sqrt(N - 1)
    np.testing.assert_allclose(geometry.singular_values(x), expected, rtol=1e-9)


def test_effective_rank_is_full_for_whitened_data_and_blind_to_rotation_and_scale() -> None:
    x = geometry.centred(normal(N, K))
    white = np.linalg.qr(x)[0]
    assert geometry.effective_rank(geometry.singular_values(white)) == pytest.approx(K, abs=1e-9)
    turned = 7 * x @ rotation(K)
    rank = geometry.effective_rank(geometry.singular_values(x))
    assert geometry.effective_rank(geometry.singular_values(turned)) == pytest.approx(rank, abs=1e-9)


def test_few_rows_bound_the_effective_rank() -> None:
    # n rows, centred, span n - 1 directions
    assert geometry.effective_rank(geometry.singular_values(normal(4, 50))) <= 3 + 1e-6


# ---- cosine


def test_squared_cosine_by_hand_and_with_a_zero_vector() -> None:
    # rows: parallel 1, at 45 degrees 1/2, orthogonal 0, zero vector 0 -> 1.5 / 4
    a = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    b = np.array([[-3.0, 0.0], [2.0, 2.0], [0.0, 5.0], [1.0, 1.0]])
    assert geometry.squared_cosine(a, b) == pytest.approx(0.375, abs=1e-15)


@pytest.mark.parametrize("k", [16, 64, 128])
def test_random_vectors_have_one_over_k(k: int) -> None:
    assert geometry.squared_cosine(normal(20_000, k), normal(20_000, k, seed=1)) == pytest.approx(1 / k, rel=0.03)


def dependence(form: Callable[[Array], Array], x: Array, y: Array, draws: int = 99, seed: int = 0) -> float:
    """p of the permutation test."""
    a, b = form(x), form(y)
    null = geometry.permuted(a, b[None], draws, np.random.default_rng(seed))[:, 0]
    return geometry.p_value(geometry.inner(a, b), null)


def turned_in_planes(s: Array) -> Array:
    """p = Q s, Q a quarter turn in each pair of coordinates: orthogonal to s patient by patient, and the same information."""
    return np.stack([-s[:, 1::2], s[:, ::2]], axis=2).reshape(len(s), -1)


def test_zero_cosine_is_not_independence() -> None:
    s = normal(N, K)
    p = turned_in_planes(s)
    assert geometry.squared_cosine(s, p) == pytest.approx(0, abs=1e-30)
    assert geometry.inner(geometry.cka_form(s), geometry.cka_form(p)) == pytest.approx(1, abs=1e-12)
    assert dependence(geometry.hsic_form, s, p) == pytest.approx(1 / 100)
    assert probes.explained(s, p, s, p) == pytest.approx(1, abs=1e-6)


# ---- subspaces


def test_principal_angles_by_hand() -> None:
    # span(e1, e2) and span(e1, cos 30 e2 + sin 30 e3): angles 0 and 30 degrees; overlap (1 + 3/4) / 2
    a = np.eye(3)[:, :2]
    b = np.array([[1.0, 0.0, 0.0], [0.0, np.sqrt(3) / 2, 0.5]]).T
    np.testing.assert_allclose(geometry.principal_cosines(a, b), [1, np.sqrt(3) / 2], atol=1e-12)
    assert geometry.overlap(a, b) == pytest.approx(0.875, abs=1e-12)


def test_principal_angles_are_blind_to_the_basis_but_not_to_the_span() -> None:
    a, b = normal(20, 3), normal(20, 4, seed=1)
    cosines = geometry.principal_cosines(a, b)
    np.testing.assert_allclose(
        geometry.principal_cosines(a @ normal(3, 3, seed=2), b @ normal(4, 4, seed=3)), cosines, atol=1e-10
    )
    assert geometry.overlap(a, np.hstack([a @ normal(3, 3, seed=2), b])) == pytest.approx(1, abs=1e-12)
    q = np.linalg.qr(normal(20, 6))[0]
    assert geometry.overlap(q[:, :3], q[:, 3:]) == pytest.approx(0, abs=1e-12)


def test_chance_overlap_and_overlap_by_necessity() -> None:
    # E ||Q_a'Q_b||^2 = k m / d, over min(k, m) = 8: 8 / 64;  k + m = 12 > d = 8 forces k + m - d = 4 of min(k, m) = 6 angles to 0
    random = [geometry.overlap(normal(64, 8, seed=i), normal(64, 8, seed=1000 + i)) for i in range(300)]
    assert np.mean(random) == pytest.approx(1 / 8, rel=0.03)
    np.testing.assert_allclose(geometry.principal_cosines(normal(8, 6), normal(8, 6, seed=1))[:4], 1, atol=1e-9)


def test_leading_directions_are_those_the_map_answers_to() -> None:
    strong, weak = np.linalg.qr(normal(10, 2))[0].T
    linear = 5 * np.outer(strong, normal(7)) + 0.01 * np.outer(weak, normal(7, seed=1))
    assert abs(geometry.leading_directions(linear, 1)[:, 0] @ strong) == pytest.approx(1, abs=1e-4)


# ---- CKA and HSIC


def biased(x: Array) -> Array:
    """The form of the paper's CKA."""
    return geometry.unit(geometry.doubly_centred(geometry.linear_kernel(x)))


def cka(x: Array, y: Array, form: Callable[[Array], Array] = geometry.cka_form) -> float:
    return geometry.inner(form(x), form(y))


def test_cka_is_the_formula_of_the_paper() -> None:
    x, y = geometry.centred(normal(N, K)), geometry.centred(normal(N, 4, seed=1) + normal(N, K)[:, :4])
    norm = np.linalg.norm
    assert cka(x, y, biased) == pytest.approx(norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y)), abs=1e-12)


@pytest.mark.parametrize("form", [biased, geometry.cka_form])
def test_cka_is_blind_to_rotation_shift_and_scale_but_not_to_linear_maps(form: Callable[[Array], Array]) -> None:
    x = normal(N, K)
    assert cka(x, -3 * x @ rotation(K) + 5, form) == pytest.approx(1, abs=1e-9)
    assert cka(x, x * np.array([10, 1, 1, 1, 1, 1]), form) < 0.8


def test_cka_is_biased_up_where_patients_are_few_and_the_unbiased_form_is_not() -> None:
    pairs = [(normal(40, 64, seed=i), normal(40, 64, seed=500 + i)) for i in range(40)]
    assert np.mean([cka(x, y, biased) for x, y in pairs]) > 0.5
    assert np.mean([cka(x, y) for x, y in pairs]) == pytest.approx(0, abs=0.02)


def test_unbiased_inner_product_is_the_estimator_of_song_et_al() -> None:
    # Song et al., JMLR 2012, eq. 5: [tr(KL) + 1'K1 1'L1 / ((n-1)(n-2)) - 2 / (n-2) 1'KL1] / (n (n-3)), diagonals 0
    k, l = (geometry.linear_kernel(normal(12, 3, seed=i)) for i in (0, 1))  # noqa: E741
    n, bare_k, bare_l = 12, k - np.diag(np.diag(k)), l - np.diag(np.diag(l))
    one = np.ones(n)
    song = np.trace(bare_k @ bare_l) + (one @ bare_k @ one) * (one @ bare_l @ one) / ((n - 1) * (n - 2))
    song = (song - 2 / (n - 2) * one @ bare_k @ bare_l @ one) / (n * (n - 3))
    assert (geometry.u_centred(k) * geometry.u_centred(l)).sum() / (n * (n - 3)) == pytest.approx(song, rel=1e-10)


def test_hsic_by_hand_and_by_trace() -> None:
    # n = 2: the only distance is the median, K = L = [[1, a], [a, 1]] with a = exp(-1/2);
    # HKH = (1 - a) / 2 [[1, -1], [-1, 1]], so HSIC = (1 - a)^2 / 1
    two, other = np.array([[0.0], [3.0]]), np.array([[1.0], [-7.0]])
    found = geometry.inner(geometry.hsic_form(two), geometry.hsic_form(other))
    assert found == pytest.approx((1 - np.exp(-0.5)) ** 2, abs=1e-12)
    x, y = normal(30, 2), normal(30, 3, seed=1)
    k, l, h = geometry.rbf_kernel(x), geometry.rbf_kernel(y), np.eye(30) - 1 / 30  # noqa: E741
    found = geometry.inner(geometry.hsic_form(x), geometry.hsic_form(y))
    assert found == pytest.approx(np.trace(k @ h @ l @ h) / 29**2, rel=1e-10)


def test_rbf_kernel_has_the_median_distance_as_bandwidth() -> None:
    # points 0, 1, 3: squared distances 1, 4, 9, median 4 = m^2: exp(-1/8), exp(-1/2), exp(-9/8)
    kernel = geometry.rbf_kernel(np.array([[0.0], [1.0], [3.0]]))
    np.testing.assert_allclose(kernel[np.triu_indices(3, 1)], np.exp([-1 / 8, -9 / 8, -1 / 2]), atol=1e-12)
    assert (geometry.rbf_kernel(np.ones((4, 2))) == 1).all()


def test_hsic_sees_what_no_correlation_shows() -> None:
    x = np.linspace(-1, 1, 101)[:, None]
    y = x**2  # uncorrelated with x by symmetry
    assert dependence(geometry.hsic_form, x, y) == pytest.approx(1 / 100)
    assert dependence(geometry.cka_form, x, y) > 0.9


def test_p_values_are_uniform_under_independence() -> None:
    pairs = [(normal(30, 2, seed=2 * i), normal(30, 2, seed=2 * i + 1)) for i in range(60)]
    values = [dependence(geometry.hsic_form, x, y, 49, seed) for seed, (x, y) in enumerate(pairs)]
    assert np.mean(values) == pytest.approx(0.5, abs=0.11)  # SD of the mean: .29 / sqrt(60) = .037
    assert min(values) >= 1 / 50


def test_permuted_shuffles_patients_not_entries() -> None:
    a, b = geometry.linear_kernel(normal(5, 2)), geometry.linear_kernel(normal(5, 2, seed=1))
    order = np.random.default_rng(3).permutation(5)
    x = normal(5, 2)[order]
    expected = (geometry.linear_kernel(x) * b).sum()
    assert geometry.permuted(a, b[None], 1, np.random.default_rng(3))[0, 0] == pytest.approx(expected, rel=1e-10)


def test_p_value_by_hand() -> None:
    # null 1 2 3, value 2: two of three at or above it, (1 + 2) / (3 + 1)
    assert geometry.p_value(2.0, np.array([1.0, 2.0, 3.0])) == 0.75


# ---- probes


def test_ridge_is_scikit_learns_at_the_penalty_of_generalised_cross_validation() -> None:
    x, noise = normal(80, 5) * np.array([3, 1, 1, 0.1, 1]) + 2, normal(80, 2, seed=1)
    y = np.column_stack([x @ normal(5, seed=2) + noise[:, 0], noise[:, 1]]) + 7
    centred = x - x.mean(0)

    def gcv(alpha: float, target: Array) -> float:  # by the hat matrix, intercept among the degrees of freedom
        hat = centred @ np.linalg.solve(centred.T @ centred + alpha * np.eye(5), centred.T) + 1 / 80
        return float(((target - hat @ target) ** 2).sum() / (1 - np.trace(hat) / 80) ** 2)

    grid = probes.PENALTIES * (np.linalg.norm(centred) ** 2 / 5)
    best = [min(grid, key=lambda a, j=j: gcv(a, y[:, j])) for j in range(2)]
    assert best[0] < best[1]  # noise wants the stronger penalty
    found = probes.ridge(x, y)(x)
    for j in range(2):
        np.testing.assert_allclose(found[:, j], Ridge(alpha=best[j]).fit(x, y[:, j]).predict(x), rtol=1e-7)


def test_held_out_r2_is_one_for_a_linear_map_zero_for_nothing_and_harmless_where_rows_are_few() -> None:
    x, z, w = normal(N, K), normal(N, K, seed=1), normal(K, 3, seed=2)
    assert probes.explained(x, x @ w + 1, z, z @ w + 1) == pytest.approx(1, abs=1e-6)
    assert probes.explained(x, normal(N, 3, seed=3), z, normal(N, 3, seed=4)) == pytest.approx(0, abs=0.05)
    assert np.isfinite(probes.explained(x[:4], normal(4, 3), z, z @ w))
    assert np.isnan(probes.explained(x, x @ w, z, np.ones((N, 3))))
    assert probes.r2(np.array([[1.0], [3.0]]), np.array([[1.0], [2.0]])) == 0.5  # error 1, deviation 1 + 1


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_probe_without_rows_or_variance_predicts_the_mean(rows: int) -> None:
    y = np.arange(rows, dtype=float)
    scores = probes.probe(normal(rows, K), y, normal(5, K))
    np.testing.assert_array_equal(scores, np.full(5, y.mean() if rows else 0.0))
    assert (probes.probe(np.ones((20, K)), np.arange(20) % 2.0, np.ones((5, K))) == 0.5).all()


def test_unknown_labels_take_no_part_in_a_probe() -> None:
    x, y = normal(N, K), (normal(N, seed=1) > 0).astype(float)
    known = np.arange(N) % 3 > 0
    np.testing.assert_array_equal(probes.probe(x, np.where(known, y, np.nan), x), probes.probe(x[known], y[known], x))


def test_the_label_only_predictor_by_hand() -> None:
    # training: where t = 1 two of two have u, where t = 0 one of four; unknown labels count nowhere
    t = np.array([1, 1, 0, 0, 0, 0, 0, np.nan])
    u = np.array([1, 1, 1, 0, 0, 0, np.nan, 1])
    scores = probes.label_only(t, u, np.array([0.0, 1.0, np.nan]))
    np.testing.assert_array_equal(scores, [0.25, 1.0, np.nan])
    # held out: scores .25 1 for labels 0 1, and .25 for label 1: pairs (1, .25) won, (.25, .25) half -> 1.5 / 2
    value = probes.auroc(np.array([0, 1, 1, 1.0]), np.array([0.25, 1.0, 0.25, np.nan]), np.ones(4))
    assert value == pytest.approx(0.75, abs=1e-15)


def nested(n: int = 4000) -> tuple[Array, Array, Array]:
    """Labels t and u with u -> t (u implies t), and the private trait that drives u among those with t."""
    rng = np.random.default_rng(5)
    t, trait = (rng.random(n) < 0.4).astype(float), rng.normal(size=n)
    return t, t * (rng.random(n) < 1 / (1 + np.exp(-2 * trait))), trait


def test_leakage_through_nesting_alone_vanishes_within_strata() -> None:
    t, u, trait = nested(8000)
    half = slice(4000), slice(4000, 8000)
    only_t = np.column_stack([t + 0.1 * normal(len(t)), normal(len(t), seed=1)])  # a part that knows y_t and nothing more of u
    leaky = np.column_stack([only_t, trait])

    def within(x: Array) -> float:
        scores = probes.within(x[half[0]], u[half[0]], t[half[0]], x[half[1]])
        return metrics.stratified_auroc(u[half[1]], scores, t[half[1]])

    assert roc_auc_score(u[half[1]], probes.probe(only_t[half[0]], u[half[0]], only_t[half[1]])) > 0.8
    assert within(only_t) == pytest.approx(0.5, abs=0.04)  # SD of an AUROC of 800 and 800 rows: .014
    assert within(leaky) > 0.8


def test_within_strata_drops_rows_whose_stratum_or_label_is_unknown() -> None:
    t, u, trait = nested(600)
    x = np.column_stack([trait, t])
    lost = np.arange(600) % 5 == 0
    a = probes.within(x, np.where(lost, np.nan, u), t, x)
    b = probes.within(x, u, np.where(lost, np.nan, t), x)
    c = probes.within(x[~lost], u[~lost], t[~lost], x)
    np.testing.assert_allclose(a, c, atol=1e-12)
    np.testing.assert_allclose(b, c, atol=1e-12)
