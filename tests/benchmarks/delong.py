"""DeLong for all pairs of 15 methods and 4 outcomes against MLstatkit, side by side: `python tests/benchmarks/delong.py`.

MLstatkit takes two methods and one outcome at a time, without folds; its time for all is printed as the forecast it is.
"""

import time
from math import comb

import numpy as np
from MLstatkit import Delong_test

from bench.bootstrap import Cell
from bench.stats import delong

N, PREVALENCE, METHODS, FOLDS, TIMES = 12_430, [0.18, 0.09, 0.05, 0.03], 15, 5, 9


def main() -> None:
    rng = np.random.default_rng(0)
    shape = (N, len(PREVALENCE))
    y = (rng.random(shape) < PREVALENCE).astype(float)
    p = (y + rng.normal(size=(METHODS, *shape))).astype(np.float32).astype(float)
    fold = rng.integers(0, FOLDS, N)
    cells = [
        Cell(0, f, np.flatnonzero(fold == f), y[fold == f], np.ones((int((fold == f).sum()), shape[1])), p[:, fold == f])
        for f in range(FOLDS)
    ]
    scope, averaged = np.ones((METHODS, FOLDS), bool), np.ones(shape[1], bool)
    ours: list[float] = []
    for _ in range(TIMES):
        start = time.perf_counter()
        _ = delong.influence(cells, scope, averaged).covariance
        ours.append(time.perf_counter() - start)
    start = time.perf_counter()
    Delong_test(y[:, 0], p[0, :, 0], p[1, :, 0])
    forecast = (time.perf_counter() - start) * comb(METHODS, 2) * shape[1]
    print(
        f"{comb(METHODS, 2)} pairs x {shape[1]} outcomes, n = {N:,}: {min(ours):.2f} s (median {np.median(ours):.2f}); "
        f"MLstatkit {forecast:.0f} s (forecast of one pair); {forecast / min(ours):,.0f} x"
    )


if __name__ == "__main__":
    main()
