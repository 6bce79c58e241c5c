"""Groups dealt out to parts, so that every part holds its share of every outcome.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, "On the stratification of multi-label data") over groups,
rarest outcome first, an unknown label being a level of its own; then exchanges between parts until no exchange evens them
further. Our addition is the second step: the greedy pass alone leaves folds of nested outcomes several events apart.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core import Rows


def allocate(counts: NDArray[np.int64], shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(groups, levels) counts -> the part of each group, so that every part holds its share of every level.

    The first levels are the events of the outcomes, then their unknown labels, then the rows.
    """
    order = rng.permutation(len(counts))
    part = np.empty(len(counts), np.int64)
    part[order] = _greedy(counts[order], shares)
    _even_out(counts, shares, part, rng)
    return part


def counted(labels: NDArray[np.float32], owner: Rows, groups: int) -> NDArray[np.int64]:
    """(groups, 2T + 1): events and unknown labels of each outcome, and rows, per group."""
    levels = np.column_stack([labels == 1, np.isnan(labels), np.ones(len(labels))])
    return pd.DataFrame(levels).groupby(owner).sum().reindex(range(groups), fill_value=0).to_numpy(np.int64)


def nested(kinds: NDArray[np.int64], rng: np.random.Generator) -> Rows:
    """An order of the groups of which every beginning holds its share of every kind, rows (groups, keys) sorted by key.

    Systematic sampling: places in the sorted list are taken in bit-reversed order (van der Corput), so that any first m of
    them lie evenly spaced in it. Each group is as likely as any other to come first.
    """
    shuffled = rng.permutation(len(kinds))
    listed = shuffled[np.lexsort(kinds[shuffled].T[::-1])]
    bits = max(1, (len(kinds) - 1).bit_length())
    place = np.arange(len(kinds))
    mirrored = sum(((place >> bit) & 1) << (bits - 1 - bit) for bit in range(bits))
    return listed[np.argsort(mirrored ^ rng.integers(1 << bits))]


def _greedy(counts: NDArray[np.int64], shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Iterative stratification: the rarest level left is dealt out first, each group to the part that wants it most."""
    wanted = (
        shares[:, None] * counts.sum(0)
    ).tolist()  # parts x levels; plain floats: numpy's calls on so few cost five times as much
    left = counts.sum(0)
    part = np.full(len(counts), -1)
    parts, share = range(len(shares)), shares.tolist()
    while (part < 0).any():
        level = int(np.where(left > 0, left, np.iinfo(np.int64).max).argmin())
        members = np.flatnonzero((part < 0) & (counts[:, level] > 0))
        members = members[np.argsort(-counts[members, level], kind="stable")]
        for i, group in enumerate(counts[members].tolist()):
            want = [wanted[p][level] / share[p] for p in parts]
            least = max(want) - 1e-9
            to = max((p for p in parts if want[p] >= least), key=lambda p: wanted[p][-1] / share[p])
            wanted[to] = [w - c for w, c in zip(wanted[to], group, strict=True)]
            part[members[i]] = to
        left = left - counts[members].sum(0)
    return part


def _even_out(counts: NDArray[np.int64], shares: NDArray[np.float64], part: Rows, rng: np.random.Generator) -> None:
    """Exchange groups between two parts, or move one, while that lowers the squared deviation from the shares. In place."""
    kinds, kind = np.unique(counts.astype(np.float64), axis=0, return_inverse=True)
    nothing = np.zeros((1, counts.shape[1]))
    weight = np.ones(counts.shape[1])
    weight[(counts.shape[1] - 1) // 2 :] = 0.01  # events first, unknown labels and rows where they cost no event
    total = counts.sum(0)
    for _ in range(20 * len(shares) * counts.shape[1]):
        held = np.stack([counts[part == p].sum(0) for p in range(len(shares))])
        gap = held - shares[:, None] * total
        best: tuple[float, int, int, int, int] = (-1e-6, -1, -1, -1, -1)
        for a, b in _pairs(gap, weight):
            from_a, from_b = np.unique(kind[part == a]), np.unique(kind[part == b])
            given, taken = np.vstack([nothing, kinds[from_a]]), np.vstack([nothing, kinds[from_b]])
            change = _gain(given, taken, gap[a] / shares[a] - gap[b] / shares[b], 1 / shares[a] + 1 / shares[b], weight)
            i, j = np.unravel_index(int(change.argmin()), change.shape)
            if change[i, j] < best[0]:
                best = (float(change[i, j]), a, b, int(from_a[i - 1]) if i else -1, int(from_b[j - 1]) if j else -1)
        _, a, b, give, take = best
        if a < 0:
            return
        chosen = [
            (rng.choice(np.flatnonzero((part == p) & (kind == k))), q) for p, q, k in ((a, b, give), (b, a, take)) if k >= 0
        ]
        for group, to in chosen:
            part[group] = to


def _pairs(gap: NDArray[np.float64], weight: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The two parts furthest apart in each level, the pairs that an exchange can help most; each pair once."""
    worst = {(int(gap[:, c].argmax()), int(gap[:, c].argmin())) for c in np.argsort(-np.ptp(gap, axis=0) * weight)[:6].tolist()}
    return sorted(pair for pair in worst if pair[0] != pair[1])


def _gain(given: NDArray[Any], taken: NDArray[Any], slope: Any, curve: float, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """(given, taken) change of sum_p weight * gap_p^2 / share_p when part a gives d = given - taken to part b: -2 d slope + d^2 curve."""
    w = weight * curve
    square = (given**2 * w).sum(1)[:, None] + (taken**2 * w).sum(1)[None] - 2 * (given * w) @ taken.T
    line = (given * weight * slope).sum(1)[:, None] - (taken * weight * slope).sum(1)[None]
    return np.round(square - 2 * line, 6)  # the last bits differ between processors, the choice must not
