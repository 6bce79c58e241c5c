"""Another cohort, brought into the shape of the one that was learned from: columns, channels and outcomes matched by name.

What the other cohort lacks is missing in it: a modality is not present, a column is NaN, a channel has no events, an outcome
is unknown. What it has besides is left out. A category that the first cohort does not name counts as missing.
"""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from bench.core import BenchError, Cohort, Inputs, Modality, Series, Tabular, Task, Text

SAID = 8  # names in a notice
UNSEEN = "columns and outcomes are matched by name alone: whether units and definitions are the same is for you to check"


def aligned(other: Cohort, like: Cohort) -> tuple[Cohort, list[str]]:
    """`other` with the modalities and outcomes of `like`, and in words what did not match and what its own reading said.

    An outcome keeps what its own cohort says of it. BenchError with no outcome in common.
    """
    notices = [UNSEEN]
    modalities = {name: _modality(name, first, other, notices) for name, first in like.inputs.modalities.items()}
    extra = [name for name in other.inputs.modalities if name not in modalities]
    notices += [f"modalities left out, since they are not learned from: {_listed(extra)}"] if extra else []
    columns = _outcomes(other, like, notices)
    both = len(set(other.patients.tolist()) & set(like.patients.tolist()))
    notices += (
        [f"{both:,} patient ids stand in both cohorts; if they are the same patients, this is no external validation"]
        if both
        else []
    )
    unknown = np.full((len(other), 1), np.nan, np.float32)
    labels = np.column_stack([other.labels, unknown])[:, columns]
    weights = None if other.weights is None else np.column_stack([other.weights, unknown])[:, columns]
    tasks, unseen = _own_words(other, like), _named(other) - _named(like)  # what no method is shown there leaks nothing
    leaks = tuple((column, f"{_of(other)}: {text}") for column, text in other.leaks if column not in unseen)
    said = tuple(f"{_of(other)}: {notice}" for notice in (*notices, *other.notices))
    made = replace(other, inputs=Inputs(modalities), tasks=tasks, labels=labels, weights=weights, leaks=leaks, notices=said)
    return made, list(said)


def _of(other: Cohort) -> str:
    return f"external cohort '{other.name}'"


def _named(cohort: Cohort) -> set[str]:
    return {*cohort.inputs.modalities, *(str(c) for table in cohort.inputs.of(Tabular).values() for c in table.frame)}


def _own_words(other: Cohort, like: Cohort) -> tuple[Task, ...]:
    """The outcomes of `like`, labelled and with deaths coded as `other` says of them."""
    there = {task.name: task for task in other.tasks}
    return tuple(
        replace(task, label=there[task.name].label or task.label, competing=there[task.name].competing)
        if task.name in there
        else task
        for task in like.tasks
    )


def distinct(other: Cohort, learned: Cohort) -> None:
    """BenchError where both are the same."""
    if other.digest == learned.digest:
        raise BenchError(f"external validation needs another cohort, but '{other.name}' is the one that is learned from")


def _outcomes(other: Cohort, like: Cohort, notices: list[str]) -> list[int]:
    """Where each outcome of `like` stands in `other`; -1 where it does not."""
    there = list(other.task_names)
    coded = {task.name: task.competing for task in other.tasks}
    for task in like.tasks:
        if coded.get(task.name, task.competing) != task.competing:
            said, first = (text or "it does not say how deaths count" for text in (coded[task.name], task.competing))
            notices.append(f"outcome '{task.name}' is another there: {said}; where it is learned from: {first}")
        rules = [cohort.definitions.get(task.name, "") for cohort in (other, like)]
        if all(rules) and rules[0] != rules[1]:
            notices.append(f"outcome '{task.name}' is defined there as {rules[0]}, where it is learned from as {rules[1]}")
    common = [name for name in like.task_names if name in there]
    if not common:
        raise BenchError(
            f"external cohort '{other.name}' must have an outcome of '{like.name}' ({', '.join(like.task_names)}), but has: "
            f"{', '.join(there)}. Outcomes are matched by name."
        )
    lacking = [name for name in like.task_names if name not in common]
    notices += [f"outcomes unknown there: {_hinted(lacking, there)}"] if lacking else []
    return [there.index(name) if name in common else -1 for name in like.task_names]


def _modality(name: str, first: Modality, other: Cohort, notices: list[str]) -> Modality:
    found = other.inputs.modalities.get(name)
    if found is None or type(found) is not type(first):
        why = (
            "is not there"
            if found is None
            else f"is a {type(found).__name__.lower()} there, not a {type(first).__name__.lower()}"
        )
        notices.append(f"modality '{name}' {why}: missing in all rows")
        return _absent(first, len(other))
    if isinstance(first, Tabular) and isinstance(found, Tabular):
        return _table(name, first.frame, found, notices)
    if isinstance(first, Series) and isinstance(found, Series):
        _tell_channels(name, first, found, notices)
    return found


def _absent(first: Modality, n: int) -> Modality:
    nobody = np.zeros(n, bool)
    if isinstance(first, Tabular):
        return Tabular(first.frame.iloc[:0].reindex(range(n)), nobody)  # dtypes of codes stay
    if isinstance(first, Text):
        return Text([""] * n, nobody)
    none = np.zeros(0)
    return Series(np.zeros(n + 1), none, none, none, first.channels, first.units, nobody)


def _table(name: str, first: pd.DataFrame, found: Tabular, notices: list[str]) -> Tabular:
    there = {str(column): found.frame[column] for column in found.frame.columns}
    wanted = [str(column) for column in first.columns]
    lacking, extra = [c for c in wanted if c not in there], [c for c in there if c not in wanted]
    notices += [f"columns of '{name}' missing there: {_hinted(lacking, extra)}"] if lacking else []
    notices += [f"columns of '{name}' left out, since they are not learned from: {_listed(extra)}"] if extra else []
    made: dict[str, Any] = {}
    for column in first.columns:
        other = there.get(str(column), pd.Series(np.nan, found.frame.index))
        made[str(column)] = (
            _coded(name, first[column], other, notices) if _codes(first[column]) else _number(name, other, notices)
        )
    return Tabular(pd.DataFrame(made, index=found.frame.index), found.present)


def _codes(column: "pd.Series[Any]") -> bool:
    return isinstance(column.dtype, pd.CategoricalDtype)


def _coded(name: str, first: "pd.Series[Any]", other: "pd.Series[Any]", notices: list[str]) -> "pd.Series[Any]":
    """Codes by their text."""
    known = {_written(category): category for category in first.cat.categories}
    text = other.map(_written, na_action="ignore").astype(object)
    strange = sorted({str(x) for x in text[text.notna() & ~text.isin(list(known))]})
    if strange:
        notices.append(
            f"categories of column '{first.name}' of '{name}' that are not learned from, taken as missing: {_listed(strange)}"
        )
    return pd.Series(pd.Categorical(text.map(known), categories=first.cat.categories), other.index)


def _written(value: object) -> str:
    """Numbers as short as they can be: 1 and not 1.0, as in a cohort file's columns."""
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _number(name: str, other: "pd.Series[Any]", notices: list[str]) -> "pd.Series[Any]":
    if not _codes(other):
        return other
    numbers = pd.Series(pd.to_numeric(other.astype(object), errors="coerce"), other.index).astype(np.float64)
    lost = int((numbers.isna() & other.notna()).sum())
    if lost:
        notices.append(f"column '{other.name}' of '{name}' holds codes there, not numbers: {lost:,} of them taken as missing")
    return numbers


def _tell_channels(name: str, first: Series, found: Series, notices: list[str]) -> None:
    """Methods match channels by name themselves; what they will not find is said here."""
    lacking = [c for c in first.channels if c not in found.channels]
    extra = [c for c in found.channels if c not in first.channels]
    notices += [f"channels of '{name}' missing there: {_hinted(lacking, extra)}"] if lacking else []
    notices += [f"channels of '{name}' left out, since they are not learned from: {_listed(extra)}"] if extra else []
    units = dict(zip(found.channels, found.units, strict=True))
    for channel, unit in zip(first.channels, first.units, strict=True):
        if channel in units and unit != units[channel] and unit and units[channel]:
            notices.append(
                f"channel '{channel}' of '{name}' is in {units[channel]} there, in {unit} where it is learned from; not converted"
            )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SAID} more" if len(names) > SAID else ""
    return ", ".join(names[:SAID]) + more


def _hinted(lacking: Sequence[str], there: Sequence[str]) -> str:
    """With what may have been meant."""
    folded = {name.casefold(): name for name in there}
    close = [(name, get_close_matches(name.casefold(), folded, n=1, cutoff=0.75)) for name in lacking]
    return _listed([f"{name} (is it '{folded[found[0]]}'?)" if found else name for name, found in close])
