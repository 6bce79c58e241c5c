"""Traces of how a table was made: row numbers and names of patients among the features, and rows that stand there twice."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.cohorts.alarm import DUPLICATES, Alarm, way_out
from bench.cohorts.columns import names_rows, words_each
from bench.core import Floats, Modality, Series, Tabular, Text

ROWS = 20  # of fewer rows an order says nothing
NAMED = re.compile(r"(?:^|[^a-z0-9])(?:id|ids|uid|uuid|guid|mrn|key|nr|identifier)(?:$|[^a-z0-9])|(?<=[a-z])I[Dd]$")
BITS = 20.0  # two patients share a row by chance in one of 2 ** BITS tables


def last(series: Series, channel: int) -> Floats:
    """(n,) the value closest to the prediction, NaN where the channel was never measured."""
    at = np.flatnonzero(series.channel == channel)
    owner = np.searchsorted(series.offsets, at, "right") - 1
    order = np.lexsort((series.time[at], owner))  # the most recent of each row first
    first = np.flatnonzero(np.diff(owner[order], prepend=-1))
    out = np.full(len(series), np.nan)
    out[owner[order][first]] = series.value[at][order][first]
    return out


def identifiers(modalities: Mapping[str, Modality]) -> list[Alarm]:
    """Columns that name rows or patients: a model would learn the order of the file."""
    found: list[Alarm] = []
    for key, one in modalities.items():
        if isinstance(one, Tabular) and len(one) >= ROWS:
            said = {str(name): _identity(str(name), column) for name, column in one.frame.items()}
            found += [_identified(f"column '{name}'", name, why) for name, why in said.items() if why]
        elif isinstance(one, Text) and (why := _written_identity(one)):
            found.append(_identified(f"text '{key}'", key, why))
    return found


def _written_identity(text: Text) -> str:
    """As `_identity`, of texts; an empty one is none."""
    known = pd.Series(text.strings[text.present], dtype=object)
    known = known[known != ""]
    n, distinct = len(known), int(known.nunique())
    if n < ROWS or not names_rows(distinct, n, words_each(known)):
        return ""
    return f"{distinct:,} distinct words in {n:,} rows"


def _identity(name: str, column: "pd.Series[Any]") -> str:
    """What of the column looks like an identifier, or ""."""
    n = len(column)
    if isinstance(column.dtype, pd.CategoricalDtype):
        known = int(column.notna().sum())
        return (
            f"{column.nunique():,} distinct codes in {known:,} rows" if known >= ROWS and column.nunique() > 0.9 * known else ""
        )
    values = column.to_numpy(np.float64)
    if np.isnan(values[: min(n, 1000)]).mean() > 0.1 or (values[:1000] != np.floor(values[:1000])).sum() > 100:
        return ""  # at a glance
    known = values[~np.isnan(values)]
    if len(known) < max(ROWS, 0.9 * n) or (known != np.floor(known)).any():
        return ""
    steps = np.diff(known)
    if len(known) == n and ((steps > 0).all() or (steps < 0).all()):
        return f"{n:,} whole numbers, each once, in the order of the rows"
    counting = len(known) == n and known.max() - known.min() == n - 1
    distinct = len(np.unique(known)) if counting or NAMED.search(name) else 0  # only then: it sorts
    if counting and distinct == n:
        return f"the numbers {known.min():.0f} to {known.max():.0f}, each once"
    if distinct > 0.9 * len(known):
        return f"{distinct:,} distinct whole numbers in {len(known):,} rows"
    return ""


def _identified(what: str, name: str, said: str) -> Alarm:
    return Alarm(name, "", "identifier", 1.0, f"{what} looks like an identifier ({said}). {way_out(name)}")


def duplicates(modalities: Mapping[str, Modality], patients: NDArray[Any]) -> list[Alarm]:
    """Rows of different patients with the same features, where the features say too much for that to be chance.

    A shared row counts when its values together, each as rare as it is in its column, are rarer than one pair in 2 ** 20 tables of
    as many rows: two young men with nothing measured are no alarm, two patients with the same forty laboratory values are.
    """
    keys = _hashes(modalities, len(patients))
    twice = pd.Series(keys).duplicated(keep=False).to_numpy()
    rows = np.flatnonzero(twice)
    owners = pd.DataFrame({"key": keys[rows], "patient": np.asarray(patients)[rows]})
    rows = rows[(owners.groupby("key")["patient"].transform("nunique") > 1).to_numpy(bool)]
    if not len(rows):
        return []
    rows = rows[_bits(modalities, rows) > 2 * np.log2(len(patients)) + BITS]
    if not len(rows):
        return []
    pair = [str(patients[r]) for r in rows if keys[r] == keys[rows[0]]]
    other = next((p for p in pair if p != pair[0]), pair[0])
    text = (
        f"{len(rows):,} rows of different patients hold the same features (first: patients {pair[0]} and {other}): one could be "
        f"learned from, the other tested on. Remove the copies, give them one patient id or one group, or let them through with "
        f"--allow-leak {DUPLICATES}."
    )
    return [Alarm(DUPLICATES, "", "duplicates", len(rows) / len(patients), text)]


def _hashes(modalities: Mapping[str, Modality], n: int) -> NDArray[np.uint64]:
    """(n,) one number a row, the same for the same features."""
    keys = np.zeros(n, np.uint64)
    for modality in modalities.values():
        if isinstance(modality, Tabular):
            parts = (pd.util.hash_array(_plain(c), categorize=False) for _, c in modality.frame.items())  # one held at a time
        elif isinstance(modality, Text):
            parts = [pd.util.hash_array(modality.strings)]
        else:
            parts = [_traced(modality)]
        for part in parts:
            keys *= np.uint64(1_000_003)
            keys += part
    return keys


def _plain(column: "pd.Series[Any]") -> NDArray[Any]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(np.int64)
    values = column.to_numpy(np.float64)
    return np.where(np.isnan(values), np.nan, values) + 0.0  # one bit pattern of NaN, and of zero


def _traced(series: Series) -> NDArray[np.uint64]:
    """(n,) of all events of a row."""
    parts = (series.time.astype(np.float64), series.channel.astype(np.int64), series.value.astype(np.float64))
    events = np.zeros(len(series.time), np.uint64)
    for part in parts:
        events = events * np.uint64(1_000_003) + pd.util.hash_array(part)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(events, dtype=np.uint64)])
    return sums[series.offsets[1:]] - sums[series.offsets[:-1]]


def _bits(modalities: Mapping[str, Modality], rows: NDArray[np.int64]) -> Floats:
    """How much the values of these rows say together, were columns independent: -log2 of how often each stands in its column."""
    bits = np.zeros(len(rows))
    for modality in modalities.values():
        if isinstance(modality, Series):
            bits += 2.0 * (modality.offsets[rows + 1] - modality.offsets[rows])
            continue
        columns = [modality.strings] if isinstance(modality, Text) else [_plain(c) for _, c in modality.frame.items()]
        for values in columns:
            codes, known = pd.factorize(values, use_na_sentinel=False)
            share = np.bincount(codes, minlength=len(known)) / len(values)
            bits -= np.log2(share[codes[rows]])
    return bits
