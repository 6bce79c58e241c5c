"""Twenty settings of TabNet on SUPPORT2, two folds each, and the learning curve of the best.

By hand (about 6 minutes on one core): OMP_NUM_THREADS=1 python tests/benchmarks/tabnet_search.py
Settings are ranked by the validation score, lower is better; AUROC and AP of the test folds stand beside it.
"""

import numpy as np

from bench import metrics, registry, splits
from bench.core import Cohort, Run, Split

CHOICES: dict[str, list[float]] = {
    "width": [8, 16, 32], "choices": [1, 2, 3, 4], "lr": [0.005, 0.01, 0.02, 0.03], "batch": [256, 512, 1024],
    "ghost": [64, 128, 256], "sparsity": [0, 1e-4, 1e-3, 1e-2], "decay": [1.0, 0.95, 0.9], "momentum": [0.02, 0.1, 0.3],
    "gamma": [1.0, 1.3, 1.7], "shared": [1, 2], "independent": [1, 2],
}  # fmt: skip


def tried(cohort: Cohort, folds: list[Split], spec: str) -> tuple[float, float, float, list[float]]:
    """Mean best validation score, AUROC and AP over folds (and outcomes), and the first fold's validation scores."""
    method = registry.method(spec)
    rows: list[tuple[float, float, float]] = []
    curve: list[float] = []
    for split in folds:
        fitted = method.fit(cohort.rows(split.train), cohort.rows(split.valid), Run(seed=split.fold))
        test = cohort.rows(split.test)
        p = fitted.predict(test.inputs)
        scores = [float(s) for s in fitted.facts["scores"]]
        curve = curve or scores
        columns = range(len(test.tasks))
        auroc = np.mean([metrics.auroc(test.labels[:, t], p[:, t]) for t in columns])
        ap = np.mean([metrics.average_precision(test.labels[:, t], p[:, t]) for t in columns])
        rows.append((min(scores), float(auroc), float(ap)))
    valid, auroc, ap = np.mean(rows, axis=0)
    return float(valid), float(auroc), float(ap), curve


def main() -> None:
    cohort = registry.load("support2")
    folds = splits.make(cohort, 5, 1, 0)[:2]
    rng = np.random.default_rng(1)
    specs = ["tabnet"]
    while len(specs) < 20:
        drawn = {name: values[rng.integers(len(values))] for name, values in CHOICES.items()}
        drawn["ghost"] = min(drawn["ghost"], drawn["batch"])
        specs.append(":".join(["tabnet", *(f"{k}={v}" for k, v in drawn.items())]))
    found = sorted((tried(cohort, folds, spec), spec) for spec in specs)
    for (valid, auroc, ap, _), spec in found:
        print(f"valid {valid:.4f}  AUROC {100 * auroc:.1f}  AP {100 * ap:.1f}  {spec}")
    curve = found[0][0][3]
    print(
        "best, validation score by epoch:",
        " ".join(f"{e}: {curve[e - 1]:.3f}" for e in (1, 3, 5, 10, 15, 20, 30, 40) if e <= len(curve)),
    )


if __name__ == "__main__":
    main()
