"""Models a second, grouped and single, in one run: the folds and repeats of a method on made patients, as a cell trains them.

python tests/benchmarks/grouped.py [--models 5] [--rows 2000] [--epochs 2] [--rounds 3] [--methods hard_sharing,mmoe,ple]

One thread on the CPU, where seconds are those of the process: others on the machine do not count. On a GPU, when there is one, wall
seconds, and bfloat16 besides. The best of some rounds, single and grouped in turn. Dropout, running average and validation are on.
"""

import argparse
import time
from typing import Any

import numpy as np
import pandas as pd
import torch

from bench import devices, registry
from bench.checks import build
from bench.core import Cohort, Fold, Run, Tabular, Task


def patients(n: int, columns: int, tasks: int) -> Cohort:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, columns))
    y = (rng.random((n, tasks)) < 1 / (1 + np.exp(2 - x[:, :tasks]))).astype(float)
    frame = pd.DataFrame(x, columns=[f"x{j}" for j in range(columns)])
    return build("made", {"table": Tabular(frame)}, tuple(Task(f"t{t}") for t in range(tasks)), y, np.arange(n).astype(str))


def folds(cohort: Cohort, models: int, device: str, precision: Any) -> list[Fold]:
    found: list[Fold] = []
    for k in range(models):
        order = np.random.default_rng(k).permutation(len(cohort))
        fitted, valid = np.split(order[: int(0.8 * len(cohort))], [int(0.68 * len(cohort))])
        found.append(Fold(cohort.rows(fitted), cohort.rows(valid), Run(seed=k, device=device, precision=precision)))
    return found


def seconds(device: str, do: Any) -> float:
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    do()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return clock() - start


def measured(spec: str, given: list[Fold], device: str, rounds: int) -> tuple[float, float, float]:
    """Models a second single and grouped, and the largest difference of a prediction."""
    method: Any = registry.method(spec)
    kept: dict[str, list[Any]] = {"single": [], "grouped": []}

    def single() -> None:
        kept["single"] = [method.fit(*fold) for fold in given]

    def grouped() -> None:
        kept["grouped"] = [one for _, one in sorted(method.fit_group(given), key=lambda pair: pair[0])]

    single()  # once unmeasured: preparations are kept, kernels are loaded
    grouped()
    times = [(seconds(device, single), seconds(device, grouped)) for _ in range(rounds)]
    alone, together = (min(column) for column in zip(*times, strict=True))
    pairs = zip(kept["single"], kept["grouped"], strict=True)
    gap = max(float(np.abs(a.predict(given[0].valid.inputs) - b.predict(given[0].valid.inputs)).max()) for a, b in pairs)
    return len(given) / alone, len(given) / together, gap


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("models", 5), ("rows", 2000), ("columns", 50), ("epochs", 2), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--methods", default="hard_sharing,mmoe,ple")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cohort = patients(asked.rows, asked.columns, 4)
    gpu = devices.resolve("auto")
    print(
        f"{asked.models} models of {int(0.68 * asked.rows)} x {asked.columns}, 4 tasks, {asked.epochs} epochs, torch {torch.__version__}"
    )
    for device, precision in [("cpu", "float32"), *([(gpu, "float32"), (gpu, "bfloat16")] if gpu != "cpu" else [])]:
        for name in asked.methods.split(","):
            given = folds(cohort, asked.models, device, precision)
            alone, together, gap = measured(f"{name}:epochs={asked.epochs}", given, device, asked.rounds)
            print(
                f"{device} {precision} {name}: single {alone:.2f} models/s, grouped {together:.2f}, ratio {together / alone:.2f}; "
                f"predictions differ by {gap:.0e} at most",
                flush=True,
            )


if __name__ == "__main__":
    main()
