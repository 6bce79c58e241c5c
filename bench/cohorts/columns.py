"""As what each column of a cohort's table is taken: what the file says, else what its values look like; the reason in words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bench.cohorts.schema import CohortFile
from bench.core import BenchError
from bench.prep.text.scripts import UNSPACED
from bench.registry import unknown

Kind: TypeAlias = Literal["numeric", "categorical", "text", "ignored", "role"]
FEW = 20  # distinct texts that are codes in a table of any size
MANY = 200  # and where there are at least 20 rows a code
SENTENCE = 3.0  # words a value, on average, that make a text
DISTINCT, ONE = 0.9, 1.5  # share of distinct values above which values of one word, on average, name rows
WORD = rf"[{UNSPACED}]{{1,2}}|[^\s{UNSPACED}]+"  # of a script without spaces two signs count as a word


@dataclass(frozen=True, eq=False)
class Column:
    """How one column is taken, and why. role: id, group, site, time, or used by an outcome's rule: never a feature."""

    name: str
    kind: Kind
    why: str


def matched(patterns: Iterable[str], names: Sequence[str]) -> list[str]:
    """The names that any of the patterns (a name, or one with * and ?) matches, in the order of the table."""
    wanted = list(patterns)
    return [name for name in names if any(name == one or fnmatchcase(name, one) for one in wanted)]


def roles(file: CohortFile, names: Sequence[str], used: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Columns with a role -> which. A column that the table lacks is an error with the closest one."""
    single = {
        "patient": file.patient, "row": file.row, "group": file.group, "site": file.site, "time": file.time,
        "prediction": file.prediction,
    }  # fmt: skip
    said = {"patient": "patient id", "row": "name of the row", "group": "group", "site": "site", "time": "time",
            "prediction": "moment of prediction"}  # fmt: skip
    out: dict[str, str] = {}
    for outcome, columns in used.items():
        for name in columns:
            out[name] = f"{out[name]}, '{outcome}'" if name in out else f"used by outcome '{outcome}'"
    for column, when in file.columns.measured.items():
        _known("columns.measured", column, names)
        out[_known("columns.measured", when, names)] = f"says when '{column}' was measured"
    for name, one in file.series.items():
        if one.zero is not None:
            out[_known(f"series.{name}.zero", one.zero, names)] = f"moment of prediction of series '{name}'"
    for joined in file.join:
        out[_known("join.key", joined.key, names)] = "key of a join"
    if file.split.by not in ("random", "site", "time"):
        out[_known("split.by", file.split.by, names)] = "says how patients are split"
    for key, name in single.items():
        if name is not None:
            out[_known(key, name, names)] = said[key]
    for name in file.subgroups:
        _known("subgroups", name, names)
    return out


def without_effect(file: CohortFile, roles: Mapping[str, str]) -> list[str]:
    """Said of columns that the file names as features, or as none, and that have a role."""
    keys = ("numeric", "categorical", "text", "ignore")
    return [
        f"column '{name}' is named in columns.{key}, but is no feature anyway: {roles[name]}"
        for key in keys
        for name in getattr(file.columns, key)
        if name in roles
    ]


def take(file: CohortFile, frame: pd.DataFrame, roles: Mapping[str, str]) -> dict[str, Column]:
    """Every column of the table. Named twice, or named and no such column: BenchError."""
    names = [str(name) for name in frame.columns]
    named = _named(file, names)
    only = set(matched(file.columns.only, names))
    out: dict[str, Column] = {}
    for name in names:
        if name in roles:
            out[name] = Column(name, "role", roles[name])
        elif name in named:
            out[name] = _as_named(name, named[name], frame[name])
        elif file.columns.only and name not in only:
            out[name] = Column(name, "ignored", "not named in columns.only")
        else:
            out[name] = Column(name, *inferred(frame[name]))
    return out


def inferred(column: "pd.Series[Any]") -> tuple[Kind, str]:
    """What a column looks like, and why: constant, dates and ids are ignored."""
    known = column.dropna()
    if not len(known):
        return "ignored", "without any value"
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return "ignored", "dates: give an outcome, time or series with it, or a number made of it"
    if pd.api.types.is_numeric_dtype(column.dtype):
        return _inferred_number(known.to_numpy(np.float64), len(known) == len(column))
    return _inferred_text(known, len(known) == len(column))


def _inferred_number(values: Any, complete: bool) -> tuple[Kind, str]:
    low, high = values.min(), values.max()
    if low == high:
        return ("ignored", f"constant: {low:g}") if complete else ("numeric", f"{low:g} or missing")
    whole = bool((values == np.trunc(values)).all())
    if (
        whole
        and complete
        and low in (0, 1)
        and len(values) > 20
        and np.array_equal(np.sort(values), np.arange(low, low + len(values)))
    ):
        return "ignored", "id-like: it counts the rows"
    return "numeric", "whole numbers" if whole else "numbers"


def _inferred_text(known: "pd.Series[Any]", complete: bool) -> tuple[Kind, str]:
    n, distinct = len(known), int(known.nunique())
    if distinct == 1:
        only = f"'{str(known.iloc[0])[:40]}'"
        return ("ignored", f"constant: {only}") if complete else ("categorical", f"{only} or missing")
    if distinct < n and distinct <= max(FEW, min(n // 20, MANY)):
        return "categorical", f"{distinct:,} distinct texts"
    words = words_each(known)
    if (distinct == n > 2 and words < SENTENCE) or names_rows(distinct, n, words):
        return "ignored", f"id-like: {distinct:,} distinct texts in {n:,} rows"
    return "text", f"{words:.1f} words a value, {distinct:,} distinct texts"


def names_rows(distinct: int, n: int, words: float) -> bool:
    """Whether n texts look like names of rows or patients: nearly all are distinct, and one word long."""
    return n > 2 and distinct > DISTINCT * n and words < ONE


def words_each(known: "pd.Series[Any]") -> float:
    """Words a value, on average, counted in Arrow."""
    counts = pc.call_function("count_substring_regex", [pa.array(known, pa.large_string())], pc.MatchSubstringOptions(WORD))
    return float(np.mean(counts.to_numpy(zero_copy_only=False)))


def _named(file: CohortFile, names: Sequence[str]) -> dict[str, Kind]:
    """Columns that the file names -> as what. A name written out beats a pattern; two of a kind that disagree are an error."""
    kinds: dict[str, Kind] = {"numeric": "numeric", "categorical": "categorical", "text": "text", "ignore": "ignored"}
    for key in (*kinds, "only"):
        for pattern in getattr(file.columns, key):
            if not matched([pattern], names):
                raise BenchError(unknown(f"column in columns.{key}", pattern, list(names)))
    out: dict[str, Kind] = {}
    for name in names:
        exact = [key for key in kinds if name in getattr(file.columns, key)]
        by = exact or [key for key in kinds if matched(getattr(file.columns, key), [name])]
        if len(by) > 1:
            raise BenchError(f"column '{name}' is named under columns.{by[0]} and under columns.{by[1]}. Take one away.")
        if by:
            out[name] = kinds[by[0]]
    return out


def _key(kind: Kind) -> str:
    return "ignore" if kind == "ignored" else kind


def _as_named(name: str, kind: Kind, column: "pd.Series[Any]") -> Column:
    key = f"columns.{_key(kind)}"
    if kind == "numeric" and not pd.api.types.is_numeric_dtype(column.dtype):
        raise BenchError(f"column '{name}' is named in {key}, but holds {'dates' if column.dtype.kind == 'M' else 'texts'}")
    if kind in ("categorical", "text") and column.dtype.kind == "M":
        raise BenchError(f"column '{name}' is named in {key}, but holds dates")
    return Column(name, kind, f"named in {key}")


def _known(what: str, name: str, names: Sequence[str]) -> str:
    if name not in names:
        raise BenchError(unknown(f"column in {what}", name, list(names)))
    return name
