"""Tables of robustness, learning and worth written by hand, of any methods and outcomes; the first method is the baseline."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

RATES = ((0.0, 0.0), (0.25, 0.22), (0.5, 0.41), (0.75, 0.58))  # asked, and really gone
SIZES = (200, 500, 1000, 9444)
# At a size n: needed, low and high of the worth, bound. Of a score beyond the curve's end nothing is needed.
CASES = (
    (lambda n: (1.68 * n, 0.2 * n, 1.5 * n, "")),
    (lambda n: (max(0.8 * n, 200), 200 - n, np.inf, "")),
    (lambda n: (np.nan, 0.5 * n, np.inf, f"more than {9444 - n:,}")),
    (lambda n: (np.nan, np.inf, np.inf, f"more than {9444 - n:,}")),
    (lambda n: (np.nan, -np.inf, 0.5 * n, f"less than {200 - n:,}")),
    (lambda n: (1.1 * n, -np.inf, np.inf, "")),
)


def robustness(methods: Sequence[str], tasks: Sequence[str]) -> pd.DataFrame:
    rows: list[tuple[object, ...]] = []
    for (i, m), (t, task), (k, metric) in product(enumerate(methods), enumerate(tasks), enumerate(("auroc", "ap"))):
        start = 0.84 - 0.3 * k - 0.013 * (i % 7) + 0.01 * t
        for rate, masked in RATES:
            lost = rate * (0.1 + 0.02 * (i % 5))
            value = start - lost
            rows.append((m, task, metric, rate, masked, value, value - 0.02, value + 0.02, lost, lost - 0.01, lost + 0.01))
    columns = "method task metric missing masked value low high lost lost_low lost_high"
    return pd.DataFrame(rows, columns=columns.split())


def learning(methods: Sequence[str], tasks: Sequence[str], sizes: Sequence[int] = SIZES) -> pd.DataFrame:
    rows: list[tuple[object, ...]] = []
    for (i, m), (t, task), (k, metric) in product(enumerate(methods), enumerate(tasks), enumerate(("auroc", "ap"))):
        for n in sizes:
            value = 0.88 - 0.3 * k + 0.01 * t - (0.9 - 0.04 * (i % 6)) / n**0.35
            rows.append((m, task, metric, n, value, value - 0.5 / n**0.5, value + 0.5 / n**0.5))
    return pd.DataFrame(rows, columns=["method", "task", "metric", "patients", "value", "low", "high"])


def worth(methods: Sequence[str], tasks: Sequence[str], sizes: Sequence[int] = SIZES[:3]) -> pd.DataFrame:
    rows: list[tuple[object, ...]] = []
    for (i, m), task, metric, (j, n) in product(enumerate(methods[1:]), tasks, ("auroc", "ap"), enumerate(sizes)):
        needed, low, high, bound = CASES[(i + j) % len(CASES)](n)
        rows.append((m, methods[0], task, metric, n, 0.8, needed, needed - n, low, high, bound, not bound))
    columns = "method baseline task metric patients value needed worth low high bound reached"
    return pd.DataFrame(rows, columns=columns.split())
