"""What inputs a model was fitted on: modalities, columns, categories, channels, and in which range the numbers lay.

By it new inputs are looked at before they are predicted, and made-up patients are drawn on whom a loaded model is tried. It holds no
patient: of a column of numbers three quantiles, of a column of codes its categories.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core import BenchError, Inputs, Modality, Series, Tabular, Text

QUANTILES = (0.01, 0.5, 0.99)
SAID = 8  # names in a notice
FEW = 5  # values from where their place among those of training says something
NOTE = "the patient was admitted after elective surgery with pain and had no fever on the first day"
Range: TypeAlias = tuple[float, ...]  # at QUANTILES; () where training had no value


@dataclass(frozen=True)
class Shape:
    """tables: modality -> column -> the range of its numbers, or its categories. series: modality -> channel -> (unit, range).

    times: modality -> range of the minutes before the prediction. texts: modalities of notes. order: of all modalities.
    """

    order: tuple[str, ...]
    tables: Mapping[str, Mapping[str, Range | tuple[str, ...]]]
    codes: Mapping[str, tuple[str, ...]]  # columns of each table that hold codes
    series: Mapping[str, Mapping[str, tuple[str, Range]]]
    times: Mapping[str, Range]

    @classmethod
    def of(cls, inputs: Inputs) -> "Shape":
        tables: dict[str, dict[str, Any]] = {}
        codes: dict[str, tuple[str, ...]] = {}
        for name, table in inputs.of(Tabular).items():
            rows = table.frame.loc[table.present]
            codes[name] = tuple(str(c) for c in rows if _coded(rows[c]))
            tables[name] = {str(c): _levels(rows[c]) if _coded(rows[c]) else _range(rows[c]) for c in rows}
        series: dict[str, dict[str, tuple[str, Range]]] = {}
        for name, one in inputs.of(Series).items():
            values = [one.value[one.channel == i] for i in range(len(one.channels))]
            series[name] = {c: (one.units[i], _range(values[i])) for i, c in enumerate(one.channels)}
        times = {name: _range(one.time) for name, one in inputs.of(Series).items()}
        return cls(tuple(inputs.modalities), tables, codes, series, times)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Shape":
        series = {name: {c: (unit, tuple(at)) for c, (unit, at) in one.items()} for name, one in value["series"].items()}
        tables = {name: {c: tuple(held) for c, held in one.items()} for name, one in value["tables"].items()}
        codes, times = ({name: tuple(one) for name, one in value[key].items()} for key in ("codes", "times"))
        return cls(tuple(value["order"]), tables, codes, series, times)

    def kind(self, name: str) -> type[Modality]:
        return Tabular if name in self.tables else Series if name in self.series else Text

    def made_up(self, n: int = 24) -> Inputs:
        """Patients who never were, the same of every call: numbers in and around the range of training, codes known and not, and
        rows that lack something."""
        rng = np.random.default_rng(7)
        return Inputs({name: self._drawn(name, n, rng) for name in self.order})

    def _drawn(self, name: str, n: int, rng: np.random.Generator) -> Modality:
        present = np.arange(n) % 4 != rng.integers(4) if len(self.order) > 1 else np.ones(n, bool)
        if name in self.tables:
            columns = {c: self._column(name, c, n, rng) for c in self.tables[name]}
            return Tabular(pd.DataFrame(columns, index=range(n)), present)
        if name not in self.series:
            words = np.array(NOTE.split())
            return Text([" ".join(rng.choice(words, rng.integers(0, 12))) for _ in range(n)], present)
        channels = self.series[name]
        count = np.where(present, rng.integers(0, 12, n), 0) if channels else np.zeros(n, np.int64)
        channel = rng.integers(0, max(len(channels), 1), count.sum())
        value = np.column_stack([_numbers(at, len(channel), rng) for _, at in channels.values()] or [np.zeros((0,))])
        time = np.abs(_numbers(self.times[name], len(channel), rng))
        offsets = np.concatenate([[0], np.cumsum(count)])
        units = [unit for unit, _ in channels.values()]
        return Series(offsets, time, channel, value[np.arange(len(channel)), channel], channels, units, present)

    def _column(self, table: str, column: str, n: int, rng: np.random.Generator) -> Any:
        held: Any = self.tables[table][column]
        if column in self.codes[table]:
            known = np.array([*held, "never seen"], object)
            drawn = rng.choice(known, n)
            drawn[rng.random(n) < 0.1] = None
            return pd.Categorical(drawn)
        return np.where(rng.random(n) < 0.15, np.nan, _numbers(held, n, rng))

    def fitting(self, inputs: Inputs, notices: list[str]) -> Inputs:
        """The inputs as the model can take them. What is missing, new or out of range is said. BenchError where nothing fits."""
        kept: dict[str, Modality] = {}
        for name in self.order:
            found = inputs.modalities.get(name)
            if found is None or not isinstance(found, self.kind(name)):
                is_one = "is not there" if found is None else f"is a {type(found).__name__.lower()}"
                notices.append(f"modality '{name}' {is_one}, so that it is missing in all rows")
            elif isinstance(found, Tabular):
                kept |= self._table(name, found, notices)
            else:
                kept[name] = found
                if isinstance(found, Series):
                    self._tell_channels(name, found, notices)
        extra = [name for name in inputs.modalities if name not in self.order]
        notices += [f"modalities that the model does not know are left out: {listed(extra)}"] if extra else []
        if not kept:
            raise BenchError(f"the model was fitted on {listed(self.order)}, of which these patients have nothing")
        return Inputs(kept, inputs.encodings)

    def _table(self, name: str, found: Tabular, notices: list[str]) -> dict[str, Modality]:
        frame, wanted = found.frame, self.tables[name]
        frame.columns = pd.Index([str(c) for c in frame.columns])
        lacking, extra = [c for c in wanted if c not in frame], [c for c in frame if c not in wanted]
        of = "" if list(self.tables) == ["table"] else f" of '{name}'"
        notices += [f"columns{of} that are not there count as missing: {hinted(lacking, extra)}"] if lacking else []
        notices += [f"columns{of} that the model does not know are left out: {listed(extra)}"] if extra else []
        frame = frame[[c for c in wanted if c in frame]]
        if not frame.shape[1]:
            notices.append(f"modality '{name}' has no column that the model knows, so that it is missing in all rows")
            return {}
        for column in map(str, frame):
            if column in self.codes[name]:
                _tell_categories(column, frame[column], wanted[column], notices)
            else:
                _check_numbers(column, frame[column])
                _tell_range(f"column '{column}'", frame[column].to_numpy(np.float64), wanted[column], "", notices)
        return {name: Tabular(frame, found.present)}

    def _tell_channels(self, name: str, found: Series, notices: list[str]) -> None:
        wanted = self.series[name]
        lacking, extra = [c for c in wanted if c not in found.channels], [c for c in found.channels if c not in wanted]
        notices += [f"names of series '{name}' that are not there count as missing: {hinted(lacking, extra)}"] if lacking else []
        notices += [f"names of series '{name}' that the model does not know are left out: {listed(extra)}"] if extra else []
        for i, channel in enumerate(found.channels):
            if channel in wanted:
                unit, at = wanted[channel]
                _tell_range(f"'{channel}' of series '{name}'", found.value[found.channel == i], at, unit, notices)


def _coded(column: Any) -> bool:
    return isinstance(column.dtype, pd.CategoricalDtype)


def _levels(column: Any) -> tuple[str, ...]:
    return tuple(str(one) for one in column.cat.remove_unused_categories().cat.categories)


def _range(values: Any) -> Range:
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return tuple(float(one) for one in np.quantile(known, QUANTILES)) if len(known) else ()


def _numbers(at: Sequence[Any], n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    low, middle, high = at or (0.0, 0.5, 1.0)
    side = rng.random(n) < 0.5
    return middle + np.where(side, low - middle, high - middle) * rng.uniform(0, 1.3, n)


def _check_numbers(name: str, column: Any) -> None:
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_complex_dtype(column.dtype):
        raise BenchError(f"column '{name}' must hold numbers, as where the model was fitted, but holds {column.dtype}")
    huge = np.flatnonzero(np.abs(column.to_numpy(np.float64)) > np.finfo(np.float32).max)
    if len(huge):
        raise BenchError(f"column '{name}' must be finite or missing, but {len(huge)} rows hold {column.iloc[huge[0]]:g}")


def _tell_categories(name: str, column: Any, known: Sequence[Any], notices: list[str]) -> None:
    texts = column.astype(object).dropna().map(str)
    strange = texts[~texts.isin(list(known))]
    if len(strange):
        notices.append(
            f"column '{name}': {len(strange):,} of {len(texts):,} values are categories that the model does not know and count as missing "
            f"({listed(sorted(set(strange)))})"
        )


def _tell_range(what: str, values: Any, at: Sequence[Any], unit: str, notices: list[str]) -> None:
    """Where most values lie outside of nearly all of training's: another unit, as a rule."""
    known = values[np.isfinite(values)]
    if len(known) < FEW or not at or at[0] == at[2]:
        return
    outside = int(((known < at[0]) | (known > at[2])).sum())
    if outside > len(known) / 2:
        told = f", in {unit}" if unit else ""
        notices.append(
            f"{what}: {outside:,} of {len(known):,} values lie outside the range of training ({at[0]:.4g} to {at[2]:.4g}{told}). Another unit?"
        )


def listed(names: Sequence[Any]) -> str:
    more = f" and {len(names) - SAID} more" if len(names) > SAID else ""
    return ", ".join(" ".join(str(name).split())[:60] for name in names[:SAID]) + more


def hinted(lacking: Sequence[str], there: Sequence[Any]) -> str:
    """With what may have been meant."""
    folded = {str(name).casefold(): str(name) for name in there}
    close = [(name, get_close_matches(name.casefold(), folded, n=1, cutoff=0.75)) for name in lacking]
    return listed([f"{name} (is it '{folded[found[0]]}'?)" if found else name for name, found in close])
