"""From raw inputs to numbers, fitted on the training rows alone: `flatten` for trees, `linear`, and `tokens` for networks.

What is fitted never sees a label, so it is kept by the training rows' digest for all methods of a fold; what it makes of the
fold's rows is kept too, see `bench.prep.shared`.
Missing things: NaN stays NaN in `flatten`; `linear` and `tokens` fill it in and flag it. A category, a channel or a word that
training never saw counts as missing. A modality or a column that was empty in training, or is missing later, always works.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core import Cohort, Encodings, Inputs, Modality, Series, Tabular, Text
from bench.prep import text as notes
from bench.prep.columns import NormalScores, Standard, TableColumns
from bench.prep.series import STATS, WINDOW_STATS, SeriesColumns, SeriesSteps, SeriesWindows, check
from bench.prep.shared import applied, clock
from bench.prep.text import Encoder, Reduced, States, TextVectors, Words

Columns: TypeAlias = TableColumns | SeriesColumns | TextVectors | Reduced
T = TypeVar("T")
KEPT = 80  # fitted preparations kept per process, some MB each: three kinds for as many folds as are trained as one


@dataclass(frozen=True, slots=True, eq=False)
class Flat:
    """Inputs as one matrix: (n, p) float32, NaN = missing, codes 0..k-1 in the columns marked `categorical`.

    Tables as they are; series as eight statistics a channel (a channel without events: NaN, count 0); texts as vectors.
    """

    parts: Mapping[str, Columns]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{key}:{name}" for key, part in self.parts.items() for name in part.names)

    @property
    def categorical(self) -> NDArray[np.bool_]:
        """(p,) which columns hold codes."""
        flags = [p.categorical if isinstance(p, TableColumns) else np.zeros(len(p.names), bool) for p in self.parts.values()]
        return np.concatenate(flags)

    def __call__(self, inputs: Inputs) -> NDArray[np.float32]:
        with clock(), np.errstate(over="ignore"):
            return np.column_stack([_columns(part, inputs, key) for key, part in self.parts.items()]).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """Inputs for a linear model: (n, q) float64 without NaN, standardised, clipped at +-5 SD.

    Numbers: median where missing, and a flag for every pattern of missingness that training showed; codes: one column a
    category, none set where missing. Columns that were constant in training, or equal to another, are left out.
    """

    flat: Flat
    median: NDArray[np.float64]  # (numeric columns,)
    cards: tuple[int, ...]
    flags: NDArray[np.int64]  # columns of the flat matrix whose missingness becomes a flag, one per pattern
    kept: NDArray[np.int64]
    scale: Standard

    def __call__(self, inputs: Inputs) -> NDArray[np.float64]:
        with clock():
            return self.scale(self.design(self.flat(inputs))[:, self.kept])

    def design(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, p) flat -> all columns, unscaled."""
        codes = self.flat.categorical
        numbers = x[:, ~codes].astype(np.float64)
        dummies = [x[:, [j]] == np.arange(k) for j, k in zip(np.flatnonzero(codes), self.cards, strict=True)]
        return np.column_stack([np.where(np.isnan(numbers), self.median, numbers), *dummies, np.isnan(x[:, self.flags])])


@dataclass(frozen=True, slots=True)
class TableShape:
    """numeric: columns of numbers. cards: embeddings each column of codes needs, 0 (missing or unseen) among them."""

    numeric: int
    cards: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SeriesShape:
    """windows (or steps, or none) x channels x stats, and `summary` columns. encoding: one of `bench.prep.series.ENCODINGS`."""

    windows: int
    channels: int
    stats: int
    summary: int
    encoding: str = "windows"


@dataclass(frozen=True, slots=True)
class TextShape:
    """width: of the vector. words: of a trainable embedding of the note's words; tuned: whose last layer learns (0, None: no)."""

    width: int
    words: int = 0
    tuned: Encoder | None = None


Shape: TypeAlias = TableShape | SeriesShape | TextShape
Arrays: TypeAlias = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class TableTokens:
    columns: TableColumns
    scale: NormalScores

    @property
    def shape(self) -> TableShape:
        return TableShape(int((~self.columns.categorical).sum()), tuple(k + 1 for k in self.columns.cards))

    def __call__(self, table: Tabular) -> Arrays:
        """numeric (n, p) float32, 0 where missing; missing (n, p) float32; codes (n, c) int64, 0 = missing or unseen."""
        x, codes = applied(self.columns, table), self.columns.categorical
        return {
            "numeric": np.nan_to_num(self.scale(x[:, ~codes])).astype(np.float32),
            "missing": np.isnan(x[:, ~codes]).astype(np.float32),
            "codes": np.nan_to_num(x[:, codes] + 1).astype(np.int64),
        }


@dataclass(frozen=True, slots=True, eq=False)
class SeriesTokens:
    columns: SeriesColumns
    windows: SeriesWindows | SeriesSteps | None
    scale: NormalScores
    encoding: str = "windows"

    @classmethod
    def fit(cls, columns: SeriesColumns, series: Series, encoding: str) -> "SeriesTokens":
        scale = NormalScores.fit(applied(columns, series)[series.present])
        if check(encoding) == "summary":
            return cls(columns, None, scale, encoding)
        return cls(columns, (SeriesWindows if encoding == "windows" else SeriesSteps).fit(series), scale, encoding)

    @property
    def shape(self) -> SeriesShape:
        channels = len(self.columns.channels)
        steps = self.windows.steps if isinstance(self.windows, SeriesSteps) else 0
        windows, stats = (len(self.windows.time), len(WINDOW_STATS)) if isinstance(self.windows, SeriesWindows) else (steps, 1)
        return SeriesShape(windows, channels, stats, len(self.columns.names) + channels, self.encoding)

    def __call__(self, series: Series) -> Arrays:
        """windows (n, W, channels, stats), observed (n, W, channels), summary (n, s): all float32.

        time: (W,) of windows, (n, W) of steps. Under `summary` W is 0.
        """
        windows, observed, time = self._cells(series)
        whole = applied(self.columns, series)
        empty = whole[:, STATS.index("count") :: len(STATS)] == 0  # (n, channels)
        summary = np.column_stack([np.nan_to_num(self.scale(whole)) * series.present[:, None], empty]).astype(np.float32)
        return {"windows": windows, "observed": observed, "time": time, "summary": summary}

    def _cells(self, series: Series) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        if isinstance(self.windows, SeriesWindows):
            return *self.windows(series), self.windows.time
        if self.windows is not None:
            return self.windows(series)
        n, channels = len(series), len(self.columns.channels)
        return np.zeros((n, 0, channels, 1), np.float32), np.zeros((n, 0, channels), np.float32), np.zeros((n, 0), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class TextTokens:
    vectors: TextVectors | Encoder
    scale: Standard
    sequence: Words | States | None = None

    @classmethod
    def fit(cls, columns: TextVectors | Reduced, text: Text, encoding: str) -> "TextTokens":
        vectors = columns.encoder if isinstance(columns, Reduced) else columns
        return cls(vectors, Standard.fit(applied(vectors, text)), notes.sequences(text, encoding))

    @property
    def shape(self) -> TextShape:
        words = self.sequence.size if isinstance(self.sequence, Words) else 0
        return TextShape(self.vectors.width, words, self.sequence.encoder if isinstance(self.sequence, States) else None)

    def __call__(self, text: Text) -> Arrays:
        """vector (n, k) float32, 0 for a row without the modality; and what `notes.Words` or `notes.States` gives."""
        vector = np.nan_to_num(self.scale(applied(self.vectors, text))).astype(np.float32)
        return {"vector": vector, **(self.sequence(text) if self.sequence else {})}


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Inputs for networks: modality -> named arrays, and which rows have it (`present`, (n,) bool).

    A modality missing as a whole gives zeros; missing numbers are 0, the training mean, and flagged.
    """

    parts: Mapping[str, TableTokens | SeriesTokens | TextTokens]

    @property
    def shapes(self) -> dict[str, Shape]:
        return {key: part.shape for key, part in self.parts.items()}

    def __call__(self, inputs: Inputs) -> dict[str, Arrays]:
        out: dict[str, Arrays] = {}
        for key, part in self.parts.items():
            modality = _modality(inputs, key, part)
            with clock():
                out[key] = {**applied(part, modality), "present": np.array(modality.present)}
        return out


def flatten(train: Cohort) -> Flat:
    """The preparation for tree models, fitted on the training rows."""
    return _kept(
        "flat", train, lambda: Flat({key: _fit(m, train.inputs.encodings) for key, m in train.inputs.modalities.items()})
    )


def linear(train: Cohort) -> Linear:
    """The preparation for linear models, fitted on the training rows."""
    return _kept("linear", train, lambda: _linear(flatten(train), train.inputs))


def tokens(train: Cohort) -> Tokens:
    """The preparation for networks, fitted on the training rows."""
    flat = flatten(train)
    return _kept(
        "tokens",
        train,
        lambda: Tokens({k: _token(flat.parts[k], m, train.inputs.encodings) for k, m in train.inputs.modalities.items()}),
    )


_memo: OrderedDict[tuple[str, str], Any] = OrderedDict()


def _kept(kind: str, train: Cohort, fit: Callable[[], T]) -> T:
    key = (kind, f"{train.digest} {train.inputs.encodings}")
    if key not in _memo:
        with clock():
            _memo[key] = fit()
    _memo.move_to_end(key)
    while len(_memo) > KEPT:
        _memo.popitem(last=False)
    return _memo[key]


def _fit(modality: Modality, encodings: Encodings) -> Columns:
    if isinstance(modality, Tabular):
        return TableColumns.fit(modality)
    return SeriesColumns(modality.channels) if isinstance(modality, Series) else notes.fit(modality, encodings.text)


def _columns(part: Columns, inputs: Inputs, key: str) -> NDArray[Any]:
    return applied(part, _modality(inputs, key, part))


def _modality(inputs: Inputs, key: str, part: object) -> Modality:
    """The modality, or where the inputs do not hold it, one that no row has."""
    if key in inputs.modalities:
        return inputs.modalities[key]
    n = len(inputs)
    absent = np.zeros(n, bool)
    if isinstance(part, TableColumns | TableTokens):
        return Tabular(pd.DataFrame(index=range(n)), absent)
    if isinstance(part, SeriesColumns | SeriesTokens):
        none = np.zeros(0)
        return Series(np.zeros(n + 1), none, none, none, (), present=absent)
    return Text([""] * n, absent)


def _linear(flat: Flat, inputs: Inputs) -> Linear:
    x = flat(inputs)
    codes = flat.categorical
    numbers = x[:, ~codes].astype(np.float64)
    filled = np.where(np.isnan(numbers).all(axis=0), 0.0, numbers)  # an empty column: any constant will do
    missing = np.isnan(x)
    _, flags = np.unique(missing, axis=1, return_index=True)  # eight statistics of a channel need one flag
    cards = tuple(k for part in flat.parts.values() if isinstance(part, TableColumns) for k in part.cards)
    draft = Linear(flat, np.nanmedian(filled, axis=0), cards, np.sort(flags), np.zeros(0, np.int64), Standard.fit(numbers))
    design = draft.design(x)
    varies = np.flatnonzero(np.ptp(design, axis=0) > 0)
    _, first = np.unique(design[:, varies], axis=1, return_index=True)
    kept = varies[np.sort(first)]
    return Linear(flat, draft.median, cards, draft.flags, kept, Standard.fit(design[:, kept]))


def _token(part: Columns, modality: Modality, encodings: Encodings) -> TableTokens | SeriesTokens | TextTokens:
    if isinstance(part, TableColumns):
        assert isinstance(modality, Tabular)
        return TableTokens(part, NormalScores.fit(applied(part, modality)[:, ~part.categorical]))
    if isinstance(part, SeriesColumns):
        assert isinstance(modality, Series)
        return SeriesTokens.fit(part, modality, encodings.series)
    assert isinstance(modality, Text)
    return TextTokens.fit(part, modality, encodings.text)
