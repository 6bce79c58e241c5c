"""Our bootstrap and jackknife against loops, side by side on the same draws: `python tests/benchmarks/bootstrap.py`.

Every line is a process of its own, so that its memory is its own; the time is of drawing and summing, AUROC, average
precision, Brier score and log loss together, the best of `--best` runs, once the compiled code is on disk. The loop over
scikit-learn has the first two metrics only and takes a few resamples (it is linear in them), the brute-force jackknife a few
units: their times for all of them are forecasts, and printed as such.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bench import bootstrap, jackknife

SURGICAL = (12_430, [0.18, 0.09, 0.05, 0.03])
NAFLD = (17_549, [0.07, 0.04, 0.04, 0.04, 0.18, 0.075, 0.02, 0.23, 0.036])
SHAPES = {  # n and prevalences, methods, resamples, weighted, compiled
    "surgical-like, 15 methods x 4 outcomes": (*SURGICAL, 15, 2_000, False, True),
    "surgical-like, numpy and scipy alone": (*SURGICAL, 15, 2_000, False, False),
    "surgical-like, 10,000 draws": (*SURGICAL, 15, 10_000, False, True),
    "nafld-like, weighted, 9 methods x 9 outcomes": (*NAFLD, 9, 1_000, True, True),
    "nafld-like, numpy and scipy alone": (*NAFLD, 9, 1_000, True, False),
}
LOOP = 3  # resamples for scikit-learn


def data(n: int, prevalence: list[float], methods: int, weighted: bool) -> tuple[list[bootstrap.Cell], np.ndarray]:
    """Five folds with normal scores, a standard deviation apart by class; and the fold of each patient."""
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
    from sklearn.metrics import average_precision_score, roc_auc_score  # here: our own memory is measured without it

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


def measure(name: str, best: int) -> dict[str, object]:
    """In a process of its own: seconds to draw, to sum, for the first call, peak MB, and the first resamples' estimates."""
    n, prevalence, methods, resamples, weighted, compiled = SHAPES[name]
    cells, fold = data(n, prevalence, methods, weighted)
    start = time.perf_counter()
    bootstrap.sums(cells, np.ones((n, 1), np.uint16), compiled=compiled)
    first = time.perf_counter() - start
    drawing, summing = [], []
    for _ in range(best):
        counts = found = None  # one run's memory at a time
        start = time.perf_counter()
        counts, _ = bootstrap.draw(fold, resamples, 0)
        drawing.append(time.perf_counter() - start)
        start = time.perf_counter()
        found = bootstrap.sums(cells, counts, compiled=compiled)
        summing.append(time.perf_counter() - start)
    assert found is not None
    auroc = found.concordant.sum(axis=1) / found.pairs.sum(axis=0)
    ap = found.precision.sum(axis=1) / found.events.sum(axis=0)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) / 1024
    estimates = np.stack([auroc, ap], axis=-1)[:, :, :LOOP].tolist()
    return {"draw": min(drawing), "sums": min(summing), "first": first, "peak": peak, "estimates": estimates}


def row(name: str, best: int) -> str:
    n, prevalence, methods, resamples, weighted, _ = SHAPES[name]
    command = [sys.executable, __file__, "--measure", name, "--best", str(best)]
    ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    cells, fold = data(n, prevalence, methods, weighted)
    counts, _ = bootstrap.draw(fold, LOOP, 0)
    start = time.perf_counter()
    oracle = loop(cells, counts)
    forecast = (time.perf_counter() - start) * resamples / LOOP
    seconds = ours["draw"] + ours["sums"]
    error = np.abs(np.array(ours["estimates"]) - oracle).max()
    return (f"| {name} | {n:,} | {resamples:,} | {ours['draw']:.2f} | {ours['sums']:.2f} | {seconds:.2f} | {ours['first']:.1f} "
            f"| {forecast:,.0f} | {forecast / seconds:,.0f} x | {error:.0e} | {ours['peak']:.0f} |")  # fmt: skip


def of_jackknife(best: int) -> str:
    """The exact jackknife of one curve, and scikit-learn's AP without each of 20 units."""
    from sklearn.metrics import average_precision_score

    cells, _ = data(*SURGICAL, 1, False)
    y, p = (np.concatenate([part[:, 2] for part in parts]) for parts in ([c.y for c in cells], [c.p[0] for c in cells]))
    n, event, one = len(y), y == 1, np.ones(len(y))
    curve, whole = [], []
    cell = bootstrap.Cell(0, 0, np.arange(n), y[:, None], one[:, None], p[None, :, None])
    for _ in range(5 * best):
        start = time.perf_counter()
        jackknife.rank_sums(event, p, one, np.arange(n))
        curve.append(time.perf_counter() - start)
        start = time.perf_counter()
        left = jackknife.without([cell], 0, n, np.ones((1, 1), bool), np.ones((1, 4), bool))[0, 1]
        whole.append(time.perf_counter() - start)
    start = time.perf_counter()
    oracle = [average_precision_score(np.delete(y, i), np.delete(p, i)) for i in range(20)]
    forecast = (time.perf_counter() - start) * n / 20
    error = np.abs(left[:20] - oracle).max()
    return (f"jackknife of one curve, n = {n:,}: AUROC and AP {min(curve) * 1e3:.1f} ms, with Brier score, log loss and all "
            f"estimates without each unit {min(whole) * 1e3:.1f} ms; brute force for AP {forecast:,.0f} s (forecast); largest "
            f"difference {error:.0e}")  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--measure", help="one shape, printed as JSON")
    options.add_argument("--best", type=int, default=3, help="of how many runs")
    chosen = options.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen.measure, chosen.best)))
        return
    print("| work | n | draws | draw s | sums s | both s | first call s | scikit-learn s (forecast) | faster | error | peak MB |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name in SHAPES:
        print(row(name, chosen.best), flush=True)
    print("\n" + of_jackknife(chosen.best))


if __name__ == "__main__":
    main()
