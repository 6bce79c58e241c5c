"""A cohort where outcomes are unknown more often in patients at low risk, and known ones are weighted by the inverse probability.

Six fixed models of equal truth, as in the null `predictions` of `null_worlds`. An outcome is known with a probability from .4 to 1
that rises with its latent risk, so that what is seen is not what is there, and the weights (1 to 2.5) put it right. With two rows
a patient, the rows share half the variance of the risk, the noise of the scores and the fold. Folds of 120 rows only: in folds of
60 an outcome would have fewer than 10 known events.
"""

from functools import lru_cache

import numpy as np
from null_worlds import AUROC, EQUAL, OFFSET, SLOPE, TASKS, N, Vector, deal, labels, world
from scipy.special import expit, ndtr

from bench.bootstrap import Cell, sums
from bench.stats.estimates import Plan, estimates

LEAST = 0.4  # probability of being known
NAMES = {1: "weighted", 2: "weighted, two rows a patient"}


def sample(folds: int, repeats: int, rows: int, seed: list[int]) -> list[Cell]:
    """One run. rows: of a patient. Patient u is in fold u // (patients / folds) of the first repeat."""
    rng = np.random.default_rng(seed)
    known = world(N // folds)
    rho = known.correlation(AUROC)
    latent, shared = (_grouped(rng, rows) for _ in range(2))
    noise = np.sqrt(0.7) * shared + np.sqrt(0.3) * rng.normal(size=(EQUAL, N, TASKS))
    p = known.intercept + SLOPE * rho * (rho * latent + np.sqrt(1 - rho**2) * noise)  # (M, n, T)
    y = labels(known, latent, rng)
    chance = LEAST + (1 - LEAST) * ndtr(
        np.sqrt([0.5, 0.5]) @ np.stack([latent, rng.normal(size=latent.shape)]).transpose(1, 0, 2)
    )
    y[rng.random(y.shape) > chance] = np.nan
    w = np.where(np.isnan(y), 0.0, 1 / chance)
    fold = deal(y.reshape(N // rows, -1), folds, repeats, rng)  # of patients
    unit = np.repeat(np.argsort(np.argsort(fold[0], kind="stable")), rows)
    cells: list[Cell] = []
    for r, f in np.ndindex(repeats, folds):
        own = np.flatnonzero(np.repeat(fold[r], rows) == f)
        cells.append(Cell(r, f, unit[own], y[own], w[own], expit(p[:, own] + rng.normal(0, OFFSET))))
    return cells


def _grouped(rng: np.random.Generator, rows: int) -> Vector:
    """(n, T) standard normal, correlated over outcomes and over the rows of a patient, by half each."""
    of_patient, of_row = (
        np.sqrt(0.5) * (np.repeat(rng.normal(size=(size, 1)), TASKS, axis=1) + rng.normal(size=(size, TASKS)))
        for size in (N // rows, N)
    )
    return of_row if rows == 1 else np.sqrt(0.5) * (np.repeat(of_patient, rows, axis=0) + of_row)


@lru_cache
def expected(folds: int, rows: int, samples: int = 1000) -> Vector:
    """(T + 1, 2) what AUROC and AP are on average: the first is known, the second simulated (standard error about .0008)."""
    shown = []
    for s in range(samples):
        cells = sample(folds, 1, rows, [1, rows, s])
        plan = Plan.of(cells, [str(m) for m in range(EQUAL)], "0")
        parts = sums(cells, np.ones((N // rows, 1), np.uint16))
        shown.append(estimates(parts, plan, plan.scope).values[:, :, :2, 0].mean(axis=0))
    out = np.mean(shown, axis=0)
    out[:, 0] = AUROC
    return out
