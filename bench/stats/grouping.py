"""Which outcomes to train together, suggested from what they buy each other in pairs. NaN: the two are never put in one group."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from bench.bootstrap import Vector
from bench.stats.estimates import Mask
from bench.stats.intervals import interval

Arm: TypeAlias = tuple[str, ...]  # outcomes that are trained together, in the cohort's order
Groups: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Grouping:
    """A suggestion. groups: of outcomes. predicted: the gain, summed over outcomes; low, high: its interval, of this grouping.

    share: of resamples in which the same grouping comes out. inside: gains within its groups; marked: of them, as better.
    """

    metric: str
    groups: tuple[Arm, ...]
    predicted: float
    low: float
    high: float
    share: float
    inside: int
    marked: int


def suggestion(tasks: Sequence[str], metric: str, gains: Vector, better: Mask) -> Grouping:
    """From the gains as observed and in each resample (T, T, 1 + B), and which of them are marked as gains (T, T)."""
    chosen = grouped(gains[..., 0])
    again = [grouped(gains[..., b]) == chosen for b in range(1, gains.shape[-1])]
    total = predicted(gains, chosen)
    low, high = interval(total[1:])
    inside = [(i, j) for group in chosen for i in group for j in group if i != j]
    marked = sum(bool(better[i, j]) for i, j in inside)
    groups = tuple(tuple(tasks[i] for i in group) for group in chosen)
    return Grouping(metric, groups, float(total[0]), float(low), float(high), float(np.mean(again)), len(inside), marked)


def grouped(gains: Vector) -> Groups:
    """Disjoint groups, greedily: from all alone, the two groups are merged whose union raises the total most, while it rises.

    gains: (T, T), what the column's outcome buys the row's. The diagonal is not looked at. Of equal merges the first is made.
    Groups and their members in ascending order.

    What outcome i gains in a group is predicted as the mean of what the others of the group buy it one by one: the approximation of
    Standley et al., "Which Tasks Should Be Learned Together in Multi-task Learning?", ICML 2020, used for affinities by Fifty et
    al., "Efficiently Identifying Task Groupings for Multi-Task Learning", NeurIPS 2021. Both search all combinations within a budget of
    networks; here there is no budget, an outcome alone gains 0, and the search is greedy.
    """
    both = np.where(np.isnan(gains + gains.T), -np.inf, gains + gains.T)  # all that counts: what two groups gain from each other
    np.fill_diagonal(both, 0.0)
    groups: list[tuple[int, ...]] = [(i,) for i in range(len(both))]
    inner = np.zeros(len(both))  # sum of the gains within each group
    while len(groups) > 1:
        size = np.array([len(group) for group in groups])
        own = inner / np.maximum(size - 1, 1)
        union = (inner[:, None] + inner + both) / (size[:, None] + size - 1)
        more = np.where(np.triu(np.ones(both.shape, bool), 1), union - own[:, None] - own, -np.inf)
        a, b = divmod(int(np.argmax(more)), len(groups))
        if not more[a, b] > 0:
            break
        inner[a] += inner[b] + both[a, b]
        both[a] += both[b]
        both[:, a] = both[a]
        both[a, a] = 0.0
        groups[a] += groups.pop(b)
        inner, both = np.delete(inner, b), np.delete(np.delete(both, b, 0), b, 1)
    return tuple(sorted(tuple(sorted(group)) for group in groups))


def predicted(gains: Vector, groups: Sequence[Sequence[int]]) -> Vector:
    """(...) summed over outcomes: each gains the mean of what the others of its group buy it. gains: (T, T, ...)."""
    total = np.zeros(gains.shape[2:])
    for group in groups:
        for i in group if len(group) > 1 else ():
            total = total + np.mean([gains[i, j] for j in group if j != i], axis=0)
    return total
