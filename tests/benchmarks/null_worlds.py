"""Simulated cohorts whose true AUROC and average precision are known exactly: what the null rates are measured on.

A patient has a standard normal latent risk per outcome, and an event with probability sigmoid(intercept + SLOPE x latent). Every
score here has a normal joint distribution with the latent, so that its AUROC and average precision are functions of their
correlation alone, found by numerical integration. Average precision in a fold of 60 or 120 patients is on average above that
of the population; that expectation is simulated once.

Two nulls. `predictions`: fixed models; six methods have the same correlation with the latent, and share part of their noise.
`learners`: six methods are trained on every training fold, each on features of its own beside common ones; all learn equally well
on average, and differ after training. In both there are a method truly better than the six, `plus`, and one truly worse, `minus`.
"""

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, roots_hermitenorm

from bench.bootstrap import Cell

Vector: TypeAlias = NDArray[np.float64]

N = 600  # patients
PREVALENCE = (0.3, 0.27, 0.24)  # 10 events or more in every fold of 60, but for one run in 100,000
TASKS = len(PREVALENCE)
SLOPE = 2.5
EQUAL = 6  # the first methods have the same true performance
METHODS = ("a", "b", "c", "d", "e", "f", "plus", "minus")
AUROC, GAIN, LOSS = 0.75, 0.01, 0.05  # of the fixed predictions
COMMON, OWN = 6, 20  # features of all learners, and of each
PLUS, LESS = 1.21, 4  # own features of `plus` weigh more, `minus` lacks some: expected AUROC about .010 above and .033 below
RIDGE = 10.0
OFFSET = 0.4  # SD of what a fold adds to all its logits


class Sample(NamedTuple):
    """One simulated run. truth: (M, T + 1, 3) AUROC, AP in folds of this size, AP of a population, of the models as fitted; the mean
    over outcomes last. fresh: the same models on as many new patients, each on a fold of its own; dealt: the new patients in
    folds stratified as the old ones were. Both [] of fixed predictions, of which benefit is known."""

    cells: list[Cell]
    truth: Vector
    fresh: list[Cell]
    dealt: list[Cell]
    benefit: "Benefit | None"


class Benefit(NamedTuple):
    """What net benefit follows from: correlations (M, T) of scores with the latent, and what each cell adds to all logits (C,)."""

    known: "World"
    rho: Vector
    offset: Vector

    def at(self, t: int, m: int, thresholds: Vector) -> Vector:
        """(k,) true net benefit of a method at thresholds, the mean over cells; they are equally large."""
        events, others = (np.append(0, np.cumsum(x[::-1])) for x in class_densities(self.rho[m, t], self.known.intercept[t]))
        reached = np.log(thresholds / (1 - thresholds)) - self.known.intercept[t] - self.offset[:, None]
        edges = np.append(SCORES[::-1] + STEP / 2, SCORES[0] - STEP / 2)  # from the highest, as the sums are
        score = reached / (SLOPE * self.rho[m, t])
        hits, false = (np.interp(-score, -edges, above) for above in (events, others))
        return (hits - false * thresholds / (1 - thresholds)).mean(axis=0)

    def of_all(self, t: int, thresholds: Vector) -> Vector:
        """(k,) of treating everybody."""
        return PREVALENCE[t] - (1 - PREVALENCE[t]) * thresholds / (1 - thresholds)


class World(NamedTuple):
    """Truth as functions of the correlation of score and latent. grid: (G,). table: (T, G, 3) as `Sample.truth`."""

    intercept: Vector
    grid: Vector
    table: Vector

    def truth(self, correlation: Vector) -> Vector:
        """(..., T) -> (..., T, 3)"""
        by_task = [
            np.stack([np.interp(correlation[..., t], self.grid, self.table[t, :, k]) for k in range(3)], axis=-1)
            for t in range(TASKS)
        ]
        return np.stack(by_task, axis=-2)

    def correlation(self, auroc: float) -> Vector:
        """(T,) the correlation that gives an AUROC."""
        return np.array([np.interp(auroc, self.table[t, :, 0], self.grid) for t in range(TASKS)])


@lru_cache
def world(fold_rows: int, draws: int = 10_000) -> World:
    """draws: simulated folds per grid point behind the expected average precision (standard error about .0007, smoothed)."""
    grid = np.linspace(0.05, 0.95, 46)
    intercept = np.array([brentq(lambda a, p=p: risk(np.zeros(1), 0.0, a)[0] - p, -20, 20) for p in PREVALENCE], float)
    rng = np.random.default_rng([fold_rows, draws])
    table = np.empty((TASKS, len(grid), 3))
    for t, prevalence in enumerate(PREVALENCE):
        densities = [class_densities(rho, intercept[t]) for rho in grid]
        table[t, :, [0, 2]] = np.array([population(*pair) for pair in densities]).T
        some = np.arange(0, len(grid), 9)
        above = [fold_ap(*densities[g], fold_rows, prevalence, draws, rng) - table[t, g, 2] for g in some]
        table[t, :, 1] = table[t, :, 2] + np.polyval(np.polyfit(grid[some], above, 3), grid)
    return World(intercept, grid, table)


SCORES = np.linspace(-6, 6, 2401)
STEP = SCORES[1] - SCORES[0]
NODES, MASS = roots_hermitenorm(64)


def risk(score: Vector, rho: float, intercept: float) -> Vector:
    """(s,) probability of an event at a score that has correlation rho with the latent."""
    latent = rho * score[:, None] + np.sqrt(1 - rho**2) * NODES
    return expit(intercept + SLOPE * latent) @ MASS / MASS.sum()


def class_densities(rho: float, intercept: float) -> tuple[Vector, Vector]:
    """Masses of the events' and the others' scores on SCORES, together 1."""
    mass = np.exp(-(SCORES**2) / 2)
    mass /= mass.sum()
    p = risk(SCORES, rho, intercept)
    return mass * p, mass * (1 - p)


def population(events: Vector, others: Vector) -> tuple[float, float]:
    """AUROC and average precision without sampling error."""
    hits, false = (np.cumsum(x[::-1])[::-1] - x / 2 for x in (events, others))  # at or above a score
    auroc = events @ (others.sum() - false) / (events.sum() * others.sum())
    return float(auroc), float(events @ (hits / (hits + false)) / events.sum())


def fold_ap(events: Vector, others: Vector, rows: int, prevalence: float, draws: int, rng: np.random.Generator) -> float:
    """Expected average precision, weighted by events, in folds of so many rows: the estimate's own expectation."""
    folds = N // rows
    total = rng.binomial(N, prevalence, draws)
    count = total // folds + (rng.random(draws) < (total % folds) / folds)  # folds are stratified
    is_event = np.arange(rows) < count[:, None]
    u = rng.random((draws, rows))
    for rows_of, mass in ((is_event, events), (~is_event, others)):
        u[rows_of] = np.interp(u[rows_of], np.cumsum(mass) / mass.sum(), SCORES)  # quantiles of the class
    order = np.argsort(-u, axis=1)
    hit = np.take_along_axis(is_event, order, axis=1)
    precision = np.cumsum(hit, axis=1) / np.arange(1, rows + 1)
    return float((precision * hit).sum() / hit.sum())


def sample(null: str, folds: int, repeats: int, seed: list[int]) -> Sample:
    """One run of `repeats` x `folds` under a null; unit u is in fold u // (N / folds) of the first repeat."""
    rng = np.random.default_rng(seed)
    known = world(N // folds)
    return {"predictions": _predictions, "learners": _learners}[null](known, folds, repeats, rng)


@lru_cache
def expected(null: str, folds: int, samples: int = 400) -> Vector:
    """(M, T + 1, 3) the truth of the procedure: `Sample.truth` averaged over samples (standard error .0005 for learners).

    Repeats do not change what is expected. The first methods are equal by design, and get their common mean.
    """
    many = samples if null == "learners" else 1
    truth = np.mean([sample(null, folds, 1, [0, s]).truth for s in range(many)], axis=0)
    truth[:EQUAL] = truth[:EQUAL].mean(axis=0)
    return truth


def deal(y: Vector, folds: int, repeats: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(R, n) folds, stratified by the pattern of the outcomes."""
    out = np.empty((repeats, len(y)), np.int64)
    for r in range(repeats):
        order = np.lexsort((rng.random(len(y)), *y.T))
        out[r, order] = (np.arange(len(y)) + rng.integers(folds)) % folds
    return out


def _predictions(known: World, folds: int, repeats: int, rng: np.random.Generator) -> Sample:
    rho = np.tile(known.correlation(AUROC), (len(METHODS), 1))  # (M, T)
    rho[METHODS.index("plus")], rho[METHODS.index("minus")] = known.correlation(AUROC + GAIN), known.correlation(AUROC - LOSS)
    latent, shared = (np.sqrt([0.5, 0.5]) @ _pair(rng) for _ in range(2))
    noise = np.sqrt(0.7) * shared + np.sqrt(0.3) * rng.normal(size=(len(METHODS), N, TASKS))
    score = rho[:, None] * latent + np.sqrt(1 - rho[:, None] ** 2) * noise
    y = labels(known, latent, rng)
    fold = deal(y, folds, repeats, rng)
    order = np.argsort(fold[0], kind="stable")
    logit, offset = known.intercept + SLOPE * rho[:, None] * score, rng.normal(0, OFFSET, repeats * folds)
    cells = [
        _cell(r, f, y[order], expit(logit[:, order] + offset[r * folds + f]), np.flatnonzero(fold[r, order] == f))
        for r in range(repeats)
        for f in range(folds)
    ]
    return Sample(cells, with_mean(known.truth(rho)), [], [], Benefit(known, rho, offset))


def _pair(rng: np.random.Generator) -> Vector:
    """(2, n * T) -> a part common to a patient's outcomes and a part of each, both standard normal."""
    return np.stack([np.repeat(rng.normal(size=(N, 1)), TASKS, axis=1), rng.normal(size=(N, TASKS))]).transpose(1, 0, 2)


def labels(known: World, latent: Vector, rng: np.random.Generator) -> Vector:
    """(n, T) drawn outcomes."""
    return (rng.random(latent.shape) < expit(known.intercept + SLOPE * latent)).astype(float)


def _cell(repeat: int, fold: int, y: Vector, p: Vector, rows: NDArray[np.int64]) -> Cell:
    return Cell(repeat, fold, rows, y[rows], np.ones((len(rows), TASKS)), p[:, rows])


def with_mean(truth: Vector) -> Vector:
    """(M, T, k) -> (M, T + 1, k)"""
    return np.concatenate([truth, truth.mean(axis=1, keepdims=True)], axis=1)


@lru_cache
def features() -> tuple[Vector, list[NDArray[np.int64]]]:
    """(F, T) true coefficients, their squares summing to 1 with what no learner sees; and the features that each learner sees."""
    rng = np.random.default_rng(7)
    common = rng.normal(size=(COMMON, 1)) + 0.7 * rng.normal(size=(COMMON, TASKS))
    own = rng.normal(size=(OWN, 1)) + 0.7 * rng.normal(size=(OWN, TASKS))
    common, own = (x / np.sqrt((x**2).sum(axis=0)) for x in (common, own))
    blocks = [np.sqrt(0.06) * (PLUS if method == "plus" else 1.0) * own for method in METHODS]
    beta = np.concatenate([np.sqrt(0.3) * common, *blocks])
    seen = [np.r_[:COMMON, COMMON + m * OWN : COMMON + (m + 1) * OWN] for m in range(len(METHODS))]
    seen[METHODS.index("minus")] = seen[METHODS.index("minus")][LESS:]
    return beta, seen


def _learners(known: World, folds: int, repeats: int, rng: np.random.Generator) -> Sample:
    beta, seen = features()
    z, y = _cohort(known, rng)
    fold = deal(y, folds, repeats, rng)
    order = np.argsort(fold[0], kind="stable")
    z, y, fold = z[order], y[order], fold[:, order]
    new_z, new_y = _cohort(known, rng)
    new_fold = deal(new_y, folds, repeats, rng)
    place = np.argsort(np.argsort(new_fold[0], kind="stable"))  # new patients are numbered by their fold, too
    cells: list[Cell] = []
    fresh: list[Cell] = []
    dealt: list[Cell] = []
    truth: list[Vector] = []
    for r in range(repeats):
        for f in range(folds):
            test = fold[r] == f
            weights, intercept = fit(z[~test], y[~test], seen)  # (M, F, T), (M, T)
            p, new_p = (expit(intercept[:, None] + x @ weights) for x in (z, new_z))
            cells.append(_cell(r, f, y, p, np.flatnonzero(test)))
            fresh.append(_cell(r, f, new_y, new_p, np.flatnonzero(test)))
            own = np.flatnonzero(new_fold[r] == f)
            dealt.append(replace(_cell(r, f, new_y, new_p, own), unit=place[own]))
            truth.append(known.truth(correlations(weights, beta)))
    return Sample(cells, with_mean(_over_folds(cells, truth)), fresh, dealt, None)


def _cohort(known: World, rng: np.random.Generator) -> tuple[Vector, Vector]:
    """(n, F) features and (n, T) outcomes of new patients."""
    beta, _ = features()
    z = rng.normal(size=(N, len(beta)))
    unseen = np.sqrt(1 - (beta**2).sum(axis=0))
    return z, labels(known, z @ beta + unseen * rng.normal(size=(N, TASKS)), rng)


def fit(z: Vector, y: Vector, seen: list[NDArray[np.int64]]) -> tuple[Vector, Vector]:
    """Ridge regression on the labels, in closed form, on the scale of the logit: (M, F, T) coefficients and (M, T) intercepts."""
    centre, rate = z.mean(axis=0), y.mean(axis=0)
    centred = z - centre
    gram, with_y = centred.T @ centred, centred.T @ (y - rate)
    weights = np.zeros((len(seen), *with_y.shape))
    for m, own in enumerate(seen):
        weights[m, own] = np.linalg.solve(gram[np.ix_(own, own)] + RIDGE * np.eye(len(own)), with_y[own]) / (rate * (1 - rate))
    return weights, np.log(rate / (1 - rate)) - centre @ weights


def correlations(weights: Vector, beta: Vector) -> Vector:
    """(M, T) of linear scores with the latent. weights: (M, F, T). beta: (F, T)."""
    return (weights * beta).sum(axis=1) / np.sqrt((weights**2).sum(axis=1))


def _over_folds(cells: list[Cell], truth: list[Vector]) -> Vector:
    """(M, T, 3) the true values of the folds' models, weighted as the estimates are; the mean over repeats."""
    events = np.array([cell.y.sum(axis=0) for cell in cells])  # (C, T)
    pairs = events * (np.array([[len(cell.y)] for cell in cells]) - events)
    weight = np.stack([pairs, events, events], axis=-1)  # (C, T, 3)
    return np.einsum("ctk,cmtk->mtk", weight / weight.sum(axis=0), np.array(truth))  # repeats have the same totals
