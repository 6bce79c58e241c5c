"""Columns of a table: raw frames to numbers, and numbers to a scale that networks can read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from bench.core import Tabular

CLIP = 5.0  # standard deviations: what lies beyond is an error of recording or as good as one
KNOTS = 4096  # more would only cost memory


@dataclass(frozen=True, slots=True)
class TableColumns:
    """A table as (n, p) float64 in the training table's column order, codes numbered by the categories seen in training.

    NaN: not measured, a category never seen in training, a column that the table lacks, and every column of a row without
    the modality. levels: per column its categories as text, or None for a numeric column.
    """

    names: tuple[str, ...]
    levels: tuple[tuple[str, ...] | None, ...]

    @classmethod
    def fit(cls, table: Tabular) -> "TableColumns":
        rows = table.frame.loc[table.present]
        return cls(tuple(str(c) for c in rows.columns), tuple(_levels(rows[c]) for c in rows.columns))

    @property
    def categorical(self) -> NDArray[np.bool_]:
        """(p,) which columns hold codes."""
        return np.array([levels is not None for levels in self.levels], bool)

    @property
    def cards(self) -> tuple[int, ...]:
        """Number of categories seen in training, per column of codes."""
        return tuple(len(levels) for levels in self.levels if levels is not None)

    def __call__(self, table: Tabular) -> NDArray[np.float64]:
        known = {str(c): table.frame[c] for c in table.frame.columns}
        out = np.full((len(table), len(self.names)), np.nan)
        for j, (name, levels) in enumerate(zip(self.names, self.levels, strict=True)):
            if name in known:
                out[:, j] = known[name].to_numpy(np.float64) if levels is None else _codes(known[name], levels)
        out[~table.present] = np.nan
        return out


def _levels(column: "pd.Series[Any]") -> tuple[str, ...] | None:
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return None
    seen = np.unique(column.cat.codes.to_numpy())
    return tuple(str(column.cat.categories[i]) for i in seen if i >= 0)


def _codes(column: "pd.Series[Any]", levels: tuple[str, ...]) -> NDArray[np.float64]:
    coded = column.astype("category")
    index = pd.Index(levels, dtype=object).get_indexer(pd.Index([str(c) for c in coded.cat.categories], dtype=object))
    position = np.append(index, -1).astype(np.float64)  # the last stands for code -1, a missing value
    position[position < 0] = np.nan
    return position[coded.cat.codes.to_numpy()]


@dataclass(frozen=True, slots=True, eq=False)
class NormalScores:
    """Columns as standardised normal scores of their mid-ranks in training: robust to outliers, ties and skew.

    NaN stays NaN. A column that was constant or empty in training is 0 wherever it is known. Values beyond the training
    range take the nearest end's score; no score exceeds +-5. Between training values: linear.
    Why not clipped z-scores: laboratory values span decades, and a clip that spares sodium cuts bilirubin.
    Why mid-ranks: a 0/1 column keeps exactly its z-score, where a plain quantile transform throws it to +-5.2.
    """

    knots: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]

    @classmethod
    def fit(cls, x: NDArray[Any]) -> "NormalScores":
        """x: (n, p), NaN = missing."""
        return cls(tuple(_knots(x[:, j]) for j in range(x.shape[1])))

    def __call__(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """(n, p) -> (n, p)."""
        out = np.empty(x.shape)
        for j, (values, scores) in enumerate(self.knots):
            out[:, j] = np.interp(x[:, j], values, scores)
        out[np.isnan(x)] = np.nan
        return out


def _knots(column: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values, counts = np.unique(column[~np.isnan(column)].astype(np.float64), return_counts=True)
    if len(values) < 2:
        return np.zeros(1), np.zeros(1)
    scores = ndtri((np.cumsum(counts) - counts / 2) / counts.sum())
    mean = np.average(scores, weights=counts)
    sd = np.sqrt(np.average((scores - mean) ** 2, weights=counts))
    keep = np.unique(np.linspace(0, len(values) - 1, KNOTS).round().astype(np.int64))
    return values[keep], np.clip((scores[keep] - mean) / sd, -CLIP, CLIP)


@dataclass(frozen=True, slots=True, eq=False)
class Standard:
    """Columns minus their training mean, over their training SD, clipped at +-5 SD. NaN stays NaN; a constant column is 0."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, x: NDArray[Any]) -> "Standard":
        """x: (n, ...), NaN = missing."""
        known = ~np.isnan(x)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, x, 0.0).sum(axis=0, dtype=np.float64) / count
        spread = np.sqrt((np.where(known, x - mean, 0.0) ** 2).sum(axis=0, dtype=np.float64) / count)
        constant = spread <= 1e-9 * np.maximum(np.abs(mean), 1e-30)
        return cls(mean, np.where(constant, np.inf, spread))

    def __call__(self, x: NDArray[Any]) -> NDArray[np.float64]:
        return np.clip((x - self.mean) / self.scale, -CLIP, CLIP)
