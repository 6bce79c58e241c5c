"""Our bootstrap against a loop over scikit-learn, side by side on the same draws: `python tests/benchmarks/bootstrap.py`.

The loop takes a few resamples only (it is linear in them); its time for all of them is printed as the forecast it is.
"""

import resource
import time

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from bench import bootstrap

SHAPES = {
    "surgical-like, 9 methods x 4 outcomes": (12_430, [0.18, 0.09, 0.05, 0.03], 9, 1000, False),
    "support2-like, 9 methods x 5 outcomes": (9_105, [0.26, 0.47, 0.54, 0.22, 0.25], 9, 1000, False),
    "nafld-like, weighted, 9 methods x 9": (17_549, [0.07, 0.04, 0.04, 0.04, 0.18, 0.075, 0.02, 0.23, 0.036], 9, 1000, True),
    "DESIGN.md 7: 15 methods x 4 outcomes": (12_430, [0.18, 0.09, 0.05, 0.03], 15, 2000, False),
}
LOOP = 4  # resamples for scikit-learn


def data(n: int, prevalence: list[float], methods: int, weighted: bool) -> tuple[list[bootstrap.Cell], np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (n, len(prevalence))
    y = (rng.random(shape) < prevalence).astype(float)
    if weighted:
        y[rng.random(shape) < 0.4] = np.nan
    w = np.where(np.isnan(y), 0, rng.uniform(1, 1.67, shape) if weighted else 1.0)
    fold = rng.integers(0, 5, n)
    p = (np.nan_to_num(y) + rng.normal(size=(methods, *shape))).astype(np.float32).astype(float)
    return [bootstrap.Cell(0, f, np.flatnonzero(fold == f), y[fold == f], w[fold == f], p[:, fold == f]) for f in range(5)], fold


def loop(cells: list[bootstrap.Cell], counts: np.ndarray) -> np.ndarray:
    """(M, T, b, 2) the stratified metrics, a call of scikit-learn for each curve."""
    methods, _, tasks = cells[0].p.shape
    out = np.zeros((methods, tasks, counts.shape[1], 2))
    for m, t, b in np.ndindex(*out.shape[:3]):
        above, below = np.zeros(2), np.zeros(2)
        for cell in cells:
            w = np.where(np.isnan(cell.y[:, t]), 0, cell.weight[:, t] * counts[cell.unit, b])
            use = w > 0
            y, p, w = cell.y[use, t], cell.p[m, use, t], w[use]
            events, others = w[y == 1].sum(), w[y == 0].sum()
            size = np.array([events * others, events])
            above += size * [roc_auc_score(y, p, sample_weight=w), average_precision_score(y, p, sample_weight=w)]
            below += size
        out[m, t, b] = above / below
    return out


def main() -> None:
    for name, (n, prevalence, methods, resamples, weighted) in SHAPES.items():
        cells, fold = data(n, prevalence, methods, weighted)
        start = time.perf_counter()
        counts, _ = bootstrap.draw(fold, resamples, 0)
        ours = bootstrap.sums(cells, counts)
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        oracle = loop(cells, counts[:, :LOOP])
        forecast = (time.perf_counter() - start) * resamples / LOOP
        auroc = ours.concordant.sum(axis=1) / ours.pairs.sum(axis=0)
        ap = ours.precision.sum(axis=1) / ours.events.sum(axis=0)
        error = np.abs(np.stack([auroc, ap], axis=-1)[:, :, :LOOP] - oracle).max()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{name}, n = {n:,}, {resamples:,} resamples: {seconds:.2f} s; scikit-learn loop {forecast:,.0f} s (forecast); "
              f"{forecast / seconds:,.0f} x; largest difference {error:.1e}; peak {memory:.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
