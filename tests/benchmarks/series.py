"""What each encoding of series costs and is worth: time of a training step on made-up stays, scores on a real cohort.

By hand, on one core: OMP_NUM_THREADS=1 python tests/benchmarks/series.py           the costs alone, half a minute
                      OMP_NUM_THREADS=1 python tests/benchmarks/series.py physionet2012
                      OMP_NUM_THREADS=1 python tests/benchmarks/series.py physionet2012 --folds 2 --rows 600 --quick

Every encoding in the same neural method (`--methods`, the first), and the trees on summaries beside them: AUROC and average
precision within folds, as the report has them, and their mean over outcomes. The same folds, validation rows and seeds for all.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from bench import metrics, prep, registry, splits, train
from bench.core import Cohort, Encodings, Inputs, Run, Series
from bench.nets.encoders import Encoder
from bench.prep.series import ENCODINGS, SeriesColumns

ROWS, EVENTS, CHANNELS, MINUTES = 256, 434, 37, 1440
STEPS = 15


def stays(rng: np.random.Generator) -> Series:
    """A batch of made-up stays: 434 events of 37 channels at 25 to 60 distinct times of a day."""
    counts = rng.poisson(EVENTS, ROWS)
    times = [rng.choice(rng.integers(1, MINUTES, rng.integers(25, 61)), count) for count in counts]
    events = int(counts.sum())
    names = [f"channel {c}" for c in range(CHANNELS)]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Series(offsets, np.concatenate(times), rng.integers(0, CHANNELS, events), rng.normal(size=events), names)


def cost(encoding: str, series: Series) -> str:
    """Preparation of the batch, a step of the encoder with its fusion, forward, backward and optimizer: CPU time of one thread."""
    tokens = prep.SeriesTokens.fit(SeriesColumns(series.channels), series, encoding)
    start = time.process_time()
    batch = train.tensors({"series": {**tokens(series), "present": np.array(series.present)}}, "cpu")
    ready = time.process_time() - start
    torch.manual_seed(0)
    net = Encoder({"series": tokens.shape}, 64, 128, 1, 4, 0.2)
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    spent: list[float] = []
    for _ in range(STEPS):
        start = time.process_time()
        optimizer.zero_grad()
        net(batch).square().mean().backward()
        optimizer.step()
        spent.append(time.process_time() - start)
    parameters = sum(p.numel() for p in net.parameters())
    return f"{encoding:<8} {1e3 * float(np.median(spent)):6.1f} ms a step  {1e3 * ready:6.1f} ms prepared  {parameters:8,} parameters"


def predicted(cohort: Cohort, spec: str, folds: int, quick: bool) -> tuple[NDArray[np.float64], NDArray[np.int64], float]:
    """Probabilities (n, T), the test fold of each row, and the seconds it took to train."""
    p, fold = np.full(cohort.labels.shape, np.nan), np.zeros(len(cohort), np.int64)
    start = time.perf_counter()
    for split in splits.make(cohort, folds, 1, 0):
        fitted = registry.method(spec).fit(cohort.rows(split.train), cohort.rows(split.valid), Run(seed=split.fold, quick=quick))
        p[split.test], fold[split.test] = fitted.predict(cohort.rows(split.test).inputs), split.fold
    return p, fold, time.perf_counter() - start


def line(name: str, cohort: Cohort, spec: str, folds: int, quick: bool) -> str:
    p, fold, seconds = predicted(cohort, spec, folds, quick)
    tasks = range(len(cohort.tasks))
    auroc = [metrics.stratified_auroc(cohort.labels[:, t], p[:, t], fold) for t in tasks]
    ap = [metrics.stratified_average_precision(cohort.labels[:, t], p[:, t], fold) for t in tasks]
    each = "  ".join(f"{a:.3f} {b:.3f}" for a, b in zip(auroc, ap, strict=True))
    return f"{name:<24} {np.mean(auroc):.4f} {np.mean(ap):.4f}  {each}  {seconds:6.0f} s"


def compared(cohort: Cohort, methods: list[str], folds: int, quick: bool) -> Iterator[str]:
    """A line an encoding with the first method, then a line for each other one, on summaries."""
    yield "mean AUROC and AP, then of " + ", ".join(cohort.task_names)
    for encoding in ENCODINGS:
        chosen = replace(cohort, inputs=Inputs(cohort.inputs.modalities, Encodings(series=encoding)))
        yield line(f"{methods[0]} {encoding}", chosen, methods[0], folds, quick)
    for spec in methods[1:]:
        yield line(f"{spec} (summaries)", cohort, spec, folds, quick)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?")
    parser.add_argument("--methods", default="hard_sharing,xgboost,lightgbm")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=0, help="a random part of the cohort, 0 = all")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.dataset:
        series = stays(np.random.default_rng(0))
        for encoding in ENCODINGS:
            print(cost(encoding, series), flush=True)
        return
    cohort = registry.load(options.dataset)
    if options.rows:
        cohort = cohort.rows(np.random.default_rng(0).permutation(len(cohort))[: options.rows])
    for text in compared(cohort, options.methods.split(","), options.folds, options.quick):
        print(text, flush=True)


if __name__ == "__main__":
    main()
