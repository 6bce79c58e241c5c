"""The inner loops of the bootstrap and of its jackknife in machine code (numba): what is added up for every curve and resample.

Compiled on first use (seconds) and kept on disk beside the package, or in the user's cache folder where that is read-only.
Nothing here knows cells, outcomes or methods. All functions leave Python's lock, so that threads may run them at once; each
result is written by one thread and no addition is reordered: the same bits whatever the number of threads.

LANES resamples go through a loop together. Their counts lie side by side, so that one instruction adds 8 to 32 of them, and the
running totals (four arrays of LANES) stay in the first cache.
"""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Weight: TypeAlias = NDArray[np.float64] | NDArray[np.int32]
Function = TypeVar("Function", bound=Callable[..., Any])

LANES = 128  # of 32 .. 256 tried; under 64 LLVM unrolls the loops and does not vectorise them (25 x slower)


def _compiled(function: Function) -> Function:
    """The function in machine code, kept on disk where numba finds a folder it may write to."""
    kept: Any = njit(cache=True, nogil=True)
    forgotten: Any = njit(nogil=True)
    try:
        return kept(function)
    except RuntimeError:  # no such folder: compiled again in each process
        return forgotten(function)


@_compiled
def weigh(drawn: NDArray[np.uint16], coefficients: Floats) -> Floats:
    """(K, blocks, LANES) sum over units of coefficient x count. drawn: (blocks, units, LANES). coefficients: (K, units)."""
    out = np.zeros((len(coefficients), len(drawn), LANES))
    for b in range(len(drawn)):
        block = drawn[b]
        for i in range(len(coefficients)):
            total, own = out[i, b], coefficients[i]
            for u in range(len(own)):
                if own[u] != 0:
                    for k in range(LANES):
                        total[k] += own[u] * block[u, k]
    return out


@_compiled
def scan(
    drawn: NDArray[np.uint16], rows: NDArray[np.int32], weight: Weight, steps: NDArray[np.int64], others: Floats
) -> tuple[Floats, Floats]:
    """(blocks, LANES) weight of concordant pairs, and sum over events of weight x precision, of one curve.

    drawn: (blocks, units, LANES). rows: (n,) the unit of each row, from the highest score. weight: (n,) float64, or (0,) int32
    where all are 1: then all totals but the precision are whole numbers and exact. steps: (S, 4), for each score that an event
    has, bounds a, b, c, d of rows: a..b-1 are those without event since the step before, b..c-1 those without event at this
    score, c..d-1 its events.
    others: (blocks, LANES) weight of all rows without event.
    """
    concordant = np.zeros((len(drawn), LANES))
    precision = np.zeros((len(drawn), LANES))
    false, before, gained = np.zeros(LANES, weight.dtype), np.zeros(LANES, weight.dtype), np.zeros(LANES, weight.dtype)
    hits = np.zeros(LANES)
    for b in range(len(drawn)):
        above, gains, rest = concordant[b], precision[b], others[b]
        false[:] = 0
        hits[:] = 0
        for s in range(len(steps)):
            _add(false, drawn[b], rows, weight, steps[s, 0], steps[s, 1])
            before[:] = false
            _add(false, drawn[b], rows, weight, steps[s, 1], steps[s, 2])
            gained[:] = 0
            _add(gained, drawn[b], rows, weight, steps[s, 2], steps[s, 3])
            for k in range(LANES):
                gain, wrong = np.float64(gained[k]), np.float64(false[k])
                hits[k] += gain
                above[k] += gain * (rest[k] - 0.5 * (np.float64(before[k]) + wrong))
                gains[k] += gain * (hits[k] / max(hits[k] + wrong, 1e-300))  # nothing drawn so far: 0 x 0
    return concordant, precision


@_compiled
def precision_lost(
    gain: Floats,
    found: Floats,
    taken: Floats,
    start: NDArray[np.int64],
    until: NDArray[np.int64],
    without: Floats,
    events: Floats,
    smallest: float,
) -> Floats:
    """(n,) `bench.jackknife.between`: sum over steps start..until-1 of gain x what the precision found / taken loses.

    gain, found, taken: (S,). start, until, without, events: (n,), the last two what leaves `taken` and `found`.
    """
    lost = np.zeros(len(start))
    for i in range(len(start)):
        for s in range(start[i], until[i]):
            rest = taken[s] - without[i]
            left = (found[s] - events[i]) / rest if rest > smallest else 0.0
            lost[i] += gain[s] * (found[s] / taken[s] - left)
    return lost


@_compiled
def _add(total: Any, block: NDArray[np.uint16], rows: NDArray[np.int32], weight: Weight, start: int, stop: int) -> None:
    """Add the weighted counts of rows start..stop-1 to total."""
    for r in range(start, stop):
        u = rows[r]
        if len(weight) == 0:
            for k in range(LANES):
                total[k] += block[u, k]
        else:
            for k in range(LANES):
                total[k] += weight[r] * block[u, k]
