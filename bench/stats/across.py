"""Methods across datasets: mean ranks, and the critical-difference diagram's numbers from 8 independent datasets on.

Variants of one dataset (`surgical`, `surgical:relatedness=1`) are not independent: their scores are averaged and they count once.
Ranked is the mean over outcomes of each dataset, among the methods that are ranked in all of them; ties share their ranks.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core import BenchError
from bench.stats.decisions import rank_sets
from bench.stats.estimates import MEAN, PRIMARY
from bench.stats.intervals import LEVEL

if TYPE_CHECKING:
    from bench.stats import Scoring

Named: TypeAlias = "Sequence[tuple[str, Scoring]]"  # a dataset's name and what was found there

DATASETS = 8  # our rule: with 8 the F form and Nemenyi's distance hold their level; Demsar's rule of thumb for the chi-squared form: over 10
METHODS = 3  # fewer are compared directly


def ranks(scored: Named) -> pd.DataFrame:
    """method, metric (auroc, ap), mean_rank (1: best), low, high, set_low, set_high, datasets (independent ones); best first. Empty
    without a method that is ranked in all.

    low, high: Student's interval over datasets, cut to what ranks can be: it is about another dataset of the kind, and with three as
    wide as three numbers deserve. NaN with one dataset. How well each dataset's own patients determine its ranks it does not see:
    that is set_low, set_high, where the mean of the true ranks in these datasets lies, for all methods at once with probability .95
    (the means of `rank_sets` of each dataset, at .05 divided by the datasets).
    """
    from scipy import stats  # here, as below: it takes a second to import, and most reports are of one dataset

    tables: list[pd.DataFrame] = []
    for metric in PRIMARY:
        place = _ranked(_values(scored, metric))  # a row a dataset
        count, methods = place.shape
        half = np.full(methods, np.nan)
        if count > 1:
            half = stats.t.ppf(1 - LEVEL / 2, count - 1) * place.std(axis=0, ddof=1).to_numpy() / np.sqrt(count)
        mean = place.mean(axis=0).to_numpy()
        table = pd.DataFrame({"method": place.columns, "metric": metric, "mean_rank": mean})
        table["low"], table["high"] = np.maximum(mean - half, 1), np.minimum(mean + half, max(methods, 1))
        table["set_low"], table["set_high"] = _sets(scored, metric, place.columns)
        tables.append(table.assign(datasets=count).sort_values("mean_rank", kind="stable"))
    return pd.concat(tables, ignore_index=True)


def critical_difference(scored: Named, metric: str = PRIMARY[0], level: float = LEVEL) -> pd.DataFrame:
    """method, metric, mean_rank, critical_difference, p, datasets; best first. Demsar, JMLR 7, 2006, section 3.2.2.

    p: Iman and Davenport's F form of Friedman's test that all methods rank alike (1 where all ranks tie). critical_difference:
    Nemenyi's, two methods whose mean ranks are further apart differ at the level, all pairs at once; see `alike`. Demsar looks at
    pairs only where Friedman's test rejects; here they do not wait for it, as Nemenyi's distance holds the level by itself.
    Limit: mean ranks depend on which other methods take part (Benavoli, Corani and Mangili, JMLR 17, 2016).
    BenchError with fewer than 8 independent datasets, fewer than 3 methods ranked in all of them, or another metric.
    """
    if metric not in PRIMARY:
        raise BenchError(f"methods are ranked by {' or '.join(PRIMARY)}, but metric is '{metric}'")
    bases = sorted({_base(name) for name, _ in scored})
    if len(bases) < DATASETS:
        raise BenchError(
            f"a critical-difference diagram needs {DATASETS} independent datasets or more (variants of one count once), but "
            f"there are {len(bases)}: {', '.join(bases)}. With so few, read each dataset's own comparisons and the mean ranks."
        )
    from scipy import stats

    place = _ranked(_values(scored, metric))
    n, k = place.shape
    if k < METHODS:
        raise BenchError(
            f"a critical-difference diagram needs {METHODS} methods that are ranked in every dataset, but there are {k}. "
            "Finish the failed cells, or compare two methods directly."
        )
    distance = stats.studentized_range.ppf(1 - level, k, np.inf) * np.sqrt(k * (k + 1) / (12 * n))
    table = pd.DataFrame({"method": place.columns, "metric": metric, "mean_rank": place.mean(axis=0).to_numpy()})
    table = table.assign(critical_difference=distance, p=_friedman(place), datasets=n)
    return table.sort_values("mean_rank", kind="stable", ignore_index=True)


def alike(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """The bars of the diagram: the largest sets of methods, best first, that lie within one critical difference.

    table: as `critical_difference` returns it. A method that differs from all others is in none.
    """
    rank, methods = table["mean_rank"].to_numpy(), table["method"].tolist()
    last = [int(np.searchsorted(rank, own + table["critical_difference"].iloc[0], side="right")) for own in rank]
    starts = [0, *(i for i, (before, now) in enumerate(pairwise(last), 1) if now > before)]
    return [tuple(methods[i : last[i]]) for i in starts if last[i] - i > 1]


def _friedman(place: pd.DataFrame) -> float:
    """p value of the F form, ties accounted for. place: (datasets, methods) ranks."""
    from scipy import stats

    n, k = place.shape
    centred = place.to_numpy() - (k + 1) / 2
    spread = (centred**2).sum()
    if not spread:
        return 1.0
    chi2 = (k - 1) * (centred.sum(axis=0) ** 2).sum() / spread
    if np.isclose(chi2, n * (k - 1)):  # the same order in every dataset
        return 0.0
    return float(stats.f.sf((n - 1) * chi2 / (n * (k - 1) - chi2), k - 1, (k - 1) * (n - 1)))


def _sets(scored: Named, metric: str, methods: "pd.Index[Any]") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(M,) lowest and (M,) highest mean of true ranks."""
    drawn: dict[str, list[NDArray[np.float64]]] = {}
    for name, scoring in scored:
        if len(methods):
            drawn.setdefault(_base(name), []).append(scoring.means[metric].loc[methods].to_numpy())
    sets: list[NDArray[np.float64]] = []
    for variants in drawn.values():
        fewest = min(values.shape[1] for values in variants)
        mean = np.mean([values[:, :fewest] for values in variants], axis=0)
        sets.append(np.stack(rank_sets(mean[:, 0], mean[:, 1:], LEVEL / len(drawn))))
    low, high = np.mean(sets, axis=0) if sets else np.empty((2, 0))
    return low, high


def _ranked(values: pd.DataFrame) -> pd.DataFrame:
    return values.rank(axis=1, ascending=False)


def _values(scored: Named, metric: str) -> pd.DataFrame:
    """(independent datasets, methods ranked in all datasets) mean over outcomes, methods in the order of the first."""
    columns: list[pd.Series] = []
    for name, scoring in scored:
        known = scoring.standings.query("task == @MEAN and metric == @metric and rank.notna()")["method"]
        own = scoring.scores[(scoring.scores["task"] == MEAN) & (scoring.scores["metric"] == metric)].set_index("method")["value"]
        columns.append(own.reindex(known).astype(float).rename(name))
    frame = pd.concat(columns, axis=1, join="inner").T if columns else pd.DataFrame()
    return frame.groupby([_base(str(name)) for name in frame.index], sort=False).mean()


def _base(dataset: str) -> str:
    return dataset.partition(":")[0]
