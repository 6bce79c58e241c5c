"""Splits that the cohort itself gives: by site, by time, or by a column.

A row without a site, a time or a level stands in no part, and a notice counts such rows. No group stands on both sides: a
patient treated at two sites, or before and after the cut, is tested, and left out of what the fold learns from (a notice counts
these rows too); in a column of the user's it is an error that names the patient.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core import BenchError, Cohort, Rows

SITE, TIME = "site", "time"
SIDES = ("train", "valid", "test")  # levels of a column that mean a fixed held-out set
NONE = ("", "nan", "None", "NaT", "<NA>")  # what a missing level is as a text


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Rows to learn from and to test on. name: the site, the level, the dates. valid: None = some of `learn`, by stratification."""

    name: str
    learn: Rows
    test: Rows
    valid: Rows | None = None


def by_site(cohort: Cohort, rows: Rows) -> tuple[list[Fold], list[str]]:
    """Leave one site out: a fold a site, in the order of their names."""
    if cohort.site is None:
        raise BenchError(f"the split by site needs a cohort that names sites, but '{cohort.name}' names none")
    level, known, notices = _levels(_written(cohort.site), rows, SITE)
    return _folds(cohort, level, known, SITE, strict=False, notices=notices)


def by_time(cohort: Cohort, rows: Rows, cut: str) -> tuple[list[Fold], list[str]]:
    """One fold: learn from the rows before the cut, test on the others.

    cut: a date or a number of the cohort's time, or a share between 0 and 1: the time that this share of the rows lies before.
    """
    if cohort.time is None:
        raise BenchError(f"the split by time needs a cohort with times, but '{cohort.name}' has none")
    time = _times(cohort)
    known = rows[~np.isnan(time[rows])]
    if not len(known):
        raise BenchError(f"the split by time needs a cohort with times, but no row of '{cohort.name}' has one")
    at = _cut(time[known], cut)
    before, after = known[time[known] < at], known[time[known] >= at]
    if not len(before) or not len(after):
        first, last = (str(x) for x in (time[known].min(), time[known].max()))
        raise BenchError(f"cut must leave rows before it and from it on, but is {at} and the times run from {first} to {last}")
    learn, notices = _apart(cohort, before, after, "the cut")
    if not len(learn):
        raise BenchError(
            f"the split by time needs patients seen before {at} alone, but all of them are seen later too. Move --cut."
        )
    notices = [*_missing(len(rows) - len(known), TIME), *notices]
    ends = [_said(end) for part in (learn, after) for end in (time[part].min(), time[part].max())]
    return [Fold("learned from {} to {}, tested from {} to {}".format(*ends), learn, after)], notices


def by_column(cohort: Cohort, rows: Rows, column: str) -> tuple[list[Fold], list[str]]:
    """A fold a level; one fold where the levels are train and test, and maybe valid."""
    assert cohort.subgroups is not None
    values = cohort.subgroups[column]
    if pd.api.types.is_float_dtype(values.dtype) and (values.dropna() % 1 != 0).any():
        raise BenchError(
            f"the levels of split column '{column}' must be names or whole numbers, but one is {values.dropna().max():g}"
        )
    level, known, notices = _levels(levels(values), rows, column)
    there = sorted(set(level[known].tolist()))
    if "test" not in there or "train" not in there:
        return _folds(cohort, level, known, column, strict=True, notices=notices)
    wrong = [name for name in there if name not in SIDES]
    if wrong:
        raise BenchError(
            f"split column '{column}' holds train and test, so that it may hold valid besides, but it holds '{wrong[0]}'"
        )
    _check_apart(cohort, level, known, column)
    train, valid, test = (known[level[known] == side] for side in SIDES)
    return [Fold(f"held out by column {column}", train, test, valid if len(valid) else None)], notices


def columns(cohort: Cohort) -> list[str]:
    """Names of the columns that may give a split."""
    return [] if cohort.subgroups is None else [str(c) for c in cohort.subgroups]


def levels(column: "pd.Series[Any]") -> NDArray[np.object_]:
    """(n,) the level of every row of a split column as a text, "" where it has none."""
    return _written(column.map(_name, na_action="ignore").to_numpy(object))


def _written(values: NDArray[Any]) -> NDArray[np.object_]:
    texts = ("" if pd.isna(value) else str(value).strip() for value in values)
    return np.array(["" if text in NONE else text for text in texts], object)


def _name(level: Any) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)


def _levels(level: NDArray[np.object_], rows: Rows, what: str) -> tuple[NDArray[np.object_], Rows, list[str]]:
    """The levels, the rows that have one, and a notice of the others."""
    known = rows[level[rows] != ""]
    return level, known, _missing(len(rows) - len(known), what)


def _folds(
    cohort: Cohort, level: NDArray[np.object_], known: Rows, what: str, *, strict: bool, notices: list[str]
) -> tuple[list[Fold], list[str]]:
    names = sorted(set(level[known].tolist()), key=_natural)
    if len(names) < 2:
        raise BenchError(f"the split by {what} needs 2 levels or more, but '{cohort.name}' has {len(names)}: {', '.join(names)}")
    if strict:
        _check_apart(cohort, level, known, what)
    folds: list[Fold] = []
    moved: list[str] = []
    for name in names:
        test, others = known[level[known] == name], known[level[known] != name]
        learn, said = _apart(cohort, others, test, f"{what} {name}")
        folds.append(Fold(f"{what} {name}", learn, test))
        moved += said
    return folds, [*notices, *moved]


def _natural(name: str) -> tuple[bool, float, str]:
    return (False, float(name), name) if name.isdecimal() else (True, 0.0, name)


def _apart(cohort: Cohort, learn: Rows, test: Rows, where: str) -> tuple[Rows, list[str]]:
    """What is learned from without the groups that are tested."""
    shared = np.isin(cohort.groups[learn], cohort.groups[test])
    if not shared.any():
        return learn, []
    one = cohort.patients[learn[shared][0]]
    return learn[~shared], [
        f"{int(shared.sum()):,} rows of patients on both sides of {where} are not learned from (first: patient {one})"
    ]


def _check_apart(cohort: Cohort, level: NDArray[np.object_], known: Rows, column: str) -> None:
    pairs = pd.DataFrame({"group": cohort.groups[known], "level": level[known].astype(str), "patient": cohort.patients[known]})
    several = pairs.groupby("group", sort=False)["level"].nunique()
    crossing = several[several > 1]
    if len(crossing):
        own = pairs[pairs["group"] == crossing.index[0]]
        sides = " and ".join(dict.fromkeys(own["level"]))
        raise BenchError(
            f"no patient may stand on two sides of split column '{column}', but {len(crossing)} do "
            f"(first: patient {own['patient'].iloc[0]}, in {sides}). Give all rows of a patient, or of a group, the same level."
        )


def _missing(count: int, what: str) -> list[str]:
    return [f"{count:,} rows without a {what} are in no fold"] if count else []


def _times(cohort: Cohort) -> NDArray[Any]:
    """datetime64 or float64; NaT or NaN where unknown."""
    time: NDArray[Any] = np.asarray(cohort.time)
    if time.dtype.kind == "M":
        return time
    try:
        return time.astype(np.float64)
    except (TypeError, ValueError):
        raise BenchError(
            f"the split by time needs dates or numbers, but the first time of '{cohort.name}' is '{time[0]}'"
        ) from None


def _cut(time: NDArray[Any], cut: str) -> Any:
    """The time that rows are compared with. A year is a date."""
    share = _number(cut)
    if share is not None and 0 < share < 1:
        return np.sort(time)[min(len(time) - 1, round(share * len(time)))]
    if time.dtype.kind != "M":
        if share is None:
            raise BenchError(f"cut must be a number, as the times of this cohort are, or a share such as 0.7, but is '{cut}'")
        return share
    try:
        return np.datetime64(cut).astype(time.dtype)
    except ValueError:
        raise BenchError(f"cut must be a date such as 2014-06-30, or a share such as 0.7, but is '{cut}'") from None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _said(time: Any) -> str:
    """A date without its midnight, or a number."""
    return f"{time:g}" if isinstance(time, float) else str(pd.Timestamp(time)).removesuffix(" 00:00:00")
