"""Geometry of a batch of embeddings as losses, and as measures: spectra, subspaces, correlations. Pure functions.

Zhang et al., "Dense Feature Learning via Linear Structure Preservation in Medical Data", arXiv 2602.07706 (2026); where its formulas
are not public, as in methods.md 3. Embeddings are (n, d), a row a patient, finite; every function centres them. Fewer than d + 1
rows leave the covariance singular. Constant embeddings have losses and gradients of 0, and measures NaN. Eigenvalues are taken in float64, and
no gradient passes through eigenvectors, which is unstable where eigenvalues are equal: where spreading leads to.
"""

import torch
from torch import Tensor
from torch.nn import functional

FLOOR = 1e-12  # eigenvalues count as at least this share of the largest in a condition number
LEAST = 1e-9  # share of the variance below which the pull on a direction no longer grows
TINY = 1e-12  # variance that counts as none


def covariance(z: Tensor) -> Tensor:
    """C = Z'Z / (n - 1) of the centred embeddings: (d, d) float64."""
    z = z.double()
    z = z - z.mean(0)
    return z.T @ z / max(len(z) - 1, 1)


def spreading(z: Tensor) -> Tensor:
    """L_spec = sum_j r_j log r_j, r_j = l_j / sum l of the eigenvalues of C: from -log d, all alike, to 0, one direction.

    Invariant to rotation and to scale.
    """
    values = torch.linalg.eigvalsh(covariance(z)).clamp(min=0)
    share = values / values.sum().clamp(min=TINY)
    return (share * share.clamp(min=LEAST).log()).sum().to(z.dtype)


def orthogonality(z: Tensor) -> Tensor:
    """L_orth = ||offdiag(corr(Z))||_F^2 / (d (d - 1)), 0..1. A constant column correlates with none. Not invariant to rotation."""
    c = covariance(z)
    scale = c.diagonal().clamp(min=TINY).rsqrt()
    correlation = c * scale * scale[:, None]
    off = correlation - torch.diag(correlation.diagonal())
    return ((off**2).sum() / max(off.numel() - len(off), 1)).to(z.dtype)


def dense(z: Tensor) -> Tensor:
    """L_spec + L_orth: what is added to the loss of any network, without labels."""
    return spreading(z) + orthogonality(z)


def consistency(a: Tensor, b: Tensor, k: int) -> Tensor:
    """How much of the variance that k directions can hold of either batch the other's top k directions miss, 0..1.

    mean of 1 - tr(V' C_a V) / (l_1 + .. + l_k)(C_a), V the top k eigenvectors of C_b, held fixed, and the same with a and b changed
    about. 0 for the same top-k span, whatever basis or spectrum; where each spectrum is flat it is `subspace_distance`.
    a, b: (n, d), (m, d), 1 <= k <= d.
    """
    first, second = covariance(a), covariance(b)
    return ((_missed(first, _top(second, k)) + _missed(second, _top(first, k))) / 2).to(a.dtype)


def subspace_distance(a: Tensor, b: Tensor, k: int) -> float:
    """L_sub = ||UU' - VV'||_F^2 / 2k = 1 - ||U'V||_F^2 / k of the top k eigenvectors, 0..1. Random spans have 1 - k / d."""
    u, v = _top(covariance(a), k), _top(covariance(b), k)
    return 1 - float(((u.T @ v) ** 2).sum()) / k


def effective_rank(spectrum: Tensor) -> float:
    """exp of the entropy of the spectrum as shares of its sum (Roy and Vetterli, EUSIPCO 2007: of singular values).

    (2, 1, 1, 0) has 2.8284 and its squares, the eigenvalues, 2.3811: say which.
    """
    total = spectrum.sum()
    return float(torch.special.entr(spectrum / total).sum().exp()) if total > 0 else float("nan")


def measures(z: Tensor, free: int) -> dict[str, float]:
    """Effective rank and condition number, of the singular values of the centred embeddings and of the eigenvalues of C.

    free: how many directions the embeddings can vary in; the condition number is that of the `free` largest values, NaN where
    there are no more rows than that.
    """
    values = torch.linalg.eigvalsh(covariance(z)).clamp(min=0).flip(0)
    condition = float(values[0] / torch.maximum(values[free - 1], FLOOR * values[0])) if len(z) > free else float("nan")
    return {
        "rank_singular": effective_rank(values.sqrt()),
        "rank_eigen": effective_rank(values),
        "condition_singular": condition**0.5,
        "condition_eigen": condition,
    }


def vicreg(a: Tensor, b: Tensor) -> Tensor:
    """25 mean (a - b)^2 + 25 mean_j max(0, 1 - sd_j) + ||offdiag C||_F^2 / d, the last two the sums over both views.

    Bardes, Ponce, LeCun, "VICReg", ICLR 2022, eq. 1-6. The first term is a mean over dimensions as in their code, where the paper
    sums; the variance term the sum of both views as in the paper, where the code has their mean. a, b: (n, d), two views of the
    same patients.
    """
    loss = 25 * functional.mse_loss(a, b)
    for z in (a, b):
        c = covariance(z).to(z.dtype)
        loss = loss + 25 * torch.relu(1 - (c.diagonal() + 1e-4).sqrt()).mean()
        loss = loss + ((c**2).sum() - (c.diagonal() ** 2).sum()) / len(c)
    return loss


def _top(c: Tensor, k: int) -> Tensor:
    """(d, k) eigenvectors of the largest eigenvalues, without gradient."""
    return torch.linalg.eigh(c.detach()).eigenvectors[:, -k:]


def _missed(c: Tensor, directions: Tensor) -> Tensor:
    """Share of the variance in the best directions that as many given ones do not hold (Ky Fan: never below 0)."""
    most = torch.linalg.eigvalsh(c)[-directions.shape[1] :].sum()
    held = (directions.T @ c @ directions).diagonal().sum()
    return (most - held) / most.clamp(min=TINY)
