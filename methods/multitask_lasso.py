"""Multi-task lasso: logistic regressions that must agree on which columns they use. The linear multi-task control.

Obozinski, Taskar and Jordan, "Joint covariate selection and joint subspace selection for multiple classification problems",
Statistics and Computing 2010: sum over outcomes of the mean log loss + strength * sum_j |W_j.|_2, W_j. a column's weights in all
outcomes, which leave or enter together; intercepts are free.
Adapter: unknown labels weigh 0; each outcome's mean is over its own weights.
Solved by FISTA (Beck and Teboulle, SIAM J. Imaging Sciences 2009; restarts of O'Donoghue and Candes, Found. Comput. Math. 2015):
a step along the gradient G, then W_j. <- max(0, 1 - step * strength / |W_j.|_2) W_j., until each optimality condition holds to
`tolerance` times the strength: |G_j.|_2 <= strength where W_j. = 0, else G_j. = -strength W_j. / |W_j.|_2; G = 0 for intercepts.
The path runs from the strength at which every weight is 0 downwards, each fit starting from the last, and ends when three
strengths in a row did no better on the validation rows. Series enter by their statistics, texts by their vectors.
Published: results on handwriting and gene-expression tables, better than one lasso per outcome; no code that we found.
Departures: one strength for all outcomes, by the validation log loss relative to the prevalence's, averaged over outcomes; where
none shows both classes in validation it is 0.05 of the largest. The paper follows the path by blockwise steps; we leave out
columns that the strong rule rules out (Tibshirani et al., JRSS B 2012) until a condition fails.
Cost: 4 s per cell of surgical, a fifth of `logistic`.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from bench import prep
from bench.core import Cohort, Count, Positive, Run
from bench.pertask import Block, Joint, fit_joint
from bench.search import Choice, Range

PATIENCE = 3
UNCHOSEN = 0.05
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """x: (n, q + 1), its last column 1. y: (n, T). u: (n, T) weights that sum to 1 for each outcome."""

    x: Array
    y: Array
    u: Array

    @classmethod
    def of(cls, data: Block) -> "Problem":
        return cls(_with_ones(data.x), data.target, data.w / data.w.sum(axis=0))

    @property
    def start(self) -> Array:
        """(q + 1, T) no weights, the intercepts at the log-odds of the prevalence."""
        w = np.zeros((self.x.shape[1], self.y.shape[1]))
        w[-1] = logit((self.u * self.y).sum(axis=0))
        return w

    def loss(self, z: Array) -> float:
        return float((self.u * (np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z))) - self.y * z)).sum())

    def gradient(self, z: Array) -> Array:
        """(q + 1, T) of the loss by weights and intercepts, at log-odds z (n, T)."""
        return self.x.T @ (self.u * (expit(z) - self.y))


def shrink(w: Array, by: float) -> Array:
    """The proximal map of by * sum_j |W_j.|_2; the last row, the intercepts, is left alone."""
    norm = np.linalg.norm(w, axis=1, keepdims=True)
    norm[-1] = np.inf
    return np.maximum(0.0, 1 - by / np.maximum(norm, 1e-300)) * w


def violation(w: Array, gradient: Array, strength: float) -> Array:
    """(q + 1,) by how much each row misses its optimality condition."""
    norm = np.linalg.norm(w, axis=1, keepdims=True)
    there = np.linalg.norm(gradient + strength * w / np.maximum(norm, 1e-300), axis=1)
    out = np.where(norm[:, 0] > 0, there, np.linalg.norm(gradient, axis=1) - strength)
    out[-1] = np.linalg.norm(gradient[-1])
    return out


def fista(problem: Problem, w: Array, strength: float, tolerance: float, cap: int) -> tuple[Array, int]:
    """The minimum, from w (q + 1, T), and the steps taken: `cap` where a condition did not come to hold."""
    z = problem.x @ w
    point, at_point, momentum, curvature = w, z, 1.0, 0.25
    for done in range(cap):
        gradient = problem.gradient(at_point)
        if point is w and violation(w, gradient, strength).max() <= tolerance * strength:
            return w, done
        while True:
            new = shrink(point - gradient / curvature, strength / curvature)
            at_new, moved = problem.x @ new, new - point
            bound = problem.loss(at_point) + (gradient * moved).sum() + curvature / 2 * (moved**2).sum()
            if problem.loss(at_new) <= bound + 1e-14:
                break
            curvature *= 2
        close = curvature * np.linalg.norm(moved, axis=1).max() <= tolerance * strength
        if close or (moved * (new - w)).sum() < 0:  # look at the point itself; or the momentum points uphill
            point, at_point, momentum = new, at_new, 1.0
        else:
            following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            beta = (momentum - 1) / following
            point, at_point, momentum = new + beta * (new - w), at_new + beta * (at_new - z), following
        w, z = new, at_new
    return w, cap


def minimum(problem: Problem, w: Array, strength: float, before: float, tolerance: float, cap: int) -> tuple[Array, int]:
    """`fista` on the columns that the strong rule keeps, from the minimum w at the strength `before`, until none is missed."""
    gradient = problem.gradient(problem.x @ w)
    kept = (np.linalg.norm(gradient, axis=1) >= 2 * strength - before) | w.any(axis=1)
    kept[-1] = True
    steps = 0
    while True:
        part, more = fista(Problem(problem.x[:, kept], problem.y, problem.u), w[kept], strength, tolerance, cap)
        w, steps = np.zeros_like(w), steps + more
        w[kept] = part
        missed = ~kept & (violation(w, problem.gradient(problem.x @ w), strength) > tolerance * strength)
        if not missed.any():
            return w, steps
        kept |= missed


@dataclass(slots=True, eq=False)
class Path:
    """The weights (q + 1, T) at the best strength so far."""

    weights: Array
    steps: int = 0
    at_cap: bool = False  # a fit on the path did not converge
    scores: list[float] = field(default_factory=list)

    @property
    def since(self) -> int:
        """Strengths tried since the best."""
        return len(self.scores) - 1 - int(np.argmin(self.scores)) if self.scores else 0

    @property
    def parameters(self) -> int:
        """Weights that are not 0, and the intercepts."""
        return int(np.count_nonzero(self.weights[:-1])) + self.weights.shape[1]

    def predict(self, x: NDArray[Any]) -> Array:
        return expit(_with_ones(x) @ self.weights)


@dataclass(frozen=True, kw_only=True)
class MultitaskLasso:
    """path: strengths tried, evenly spaced in their logarithm. weakest: the last, as a share of the first.

    tolerance: of the optimality conditions, in strengths. iterations: a cap on FISTA's steps per strength.
    """

    family: ClassVar[str] = "linear"

    path: Annotated[Count, Choice((8, 12, 24, 48))] = 12
    weakest: Annotated[Positive, Range(3e-4, 3e-2, log=True)] = 3e-3
    tolerance: Positive = 1e-2
    iterations: Count = 2000

    def idle(self, cohort: Cohort) -> tuple[str, ...]:
        return ("weakest",) if self.path == 1 else ()

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Joint:
        return fit_joint(prep.linear(train), train, valid, run, lambda data, held_out: self._fit(data, held_out, run))

    def _fit(self, data: Block, held_out: Block, run: Run) -> Path:
        problem = Problem.of(data)
        w = problem.start
        best = Path(w)
        before = np.linalg.norm(problem.gradient(problem.x @ w)[:-1], axis=1).max()
        for strength in before * self._shares(held_out.stops, run.quick):
            w, steps = minimum(problem, w, strength, before, self.tolerance, self.iterations)
            before = strength
            best.steps += steps
            best.at_cap |= steps >= self.iterations
            if held_out.stops:
                best.scores.append(held_out.score(_with_ones(held_out.x) @ w))
            if best.since == 0:
                best.weights = w
            if best.since >= PATIENCE:
                break
        return best

    def _shares(self, choose: bool, quick: bool) -> Array:
        return np.geomspace(1.0, self.weakest, min(self.path, 6) if quick else self.path) if choose else np.array([UNCHOSEN])


def _with_ones(x: NDArray[Any]) -> Array:
    return np.column_stack([x, np.ones(len(x))])


METHOD = MultitaskLasso
