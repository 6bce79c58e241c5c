"""A read cohort file as a cohort: labels, weights, modalities, and what the leakage alarms look at."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import checks
from bench.cohorts import outcomes, series
from bench.cohorts.alarm import way_out
from bench.cohorts.outcomes import Labelled
from bench.cohorts.reading import Source
from bench.cohorts.schema import Outcome
from bench.cohorts.typed import TEXTS
from bench.core import BenchError, Cohort, Modality, Tabular, Task, Text

if TYPE_CHECKING:
    from bench.cohorts.leaks import Alarm


@dataclass(frozen=True, eq=False)
class Made:
    """A cohort before its last checks.

    labels: (n, T), NaN = unknown. weights: (n, T), or None where follow-up never ends early. prevalence: outcome -> events among
    the known, as they are and weighted. late: series, or column with a time of measurement -> (after the prediction, all).
    rows: the name of each row. variants: outcome~variant -> its labels and weights; no tasks.
    """

    source: Source
    labels: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    tasks: tuple[Task, ...]
    modalities: Mapping[str, Modality]
    late: Mapping[str, tuple[int, int]]
    prevalence: Mapping[str, tuple[float, float]]
    variants: Mapping[str, Labelled]
    ids: Any  # (n,) str, NaN where missing
    rows: Any
    groups: Any | None
    site: NDArray[np.str_] | None
    time: NDArray[Any] | None
    subgroups: pd.DataFrame | None
    notices: tuple[str, ...]


def make(source: Source) -> Made:
    """Labels by the rules, features by the columns, and the series read. BenchError, one line, for whatever is wrong."""
    file, frame = source.file, source.frame
    each = {name: outcomes.labelled(one, frame, f"outcome '{name}'") for name, one in file.outcomes.items()}
    weighted = any(one.weights is not None for one in each.values())
    ones = np.ones(len(frame), np.float32)
    modalities, late = features(source), _measured_late(source)
    notices = [said for one in each.values() for said in one.notices]
    with tempfile.TemporaryDirectory(prefix="bench-") as work:
        for name in file.series:
            if name in modalities:
                raise BenchError(f"series '{name}' has the name of another modality ({', '.join(modalities)}). Rename it.")
            got = series.read(file, name, frame, source.path.parent, Path(work))
            modalities[name], late[name] = got.series, got.late
            notices += got.notices
    return Made(
        source=source,
        labels=np.column_stack([one.labels for one in each.values()]),
        weights=np.column_stack([ones if one.weights is None else one.weights for one in each.values()]) if weighted else None,
        tasks=tuple(outcomes.task(name, one) for name, one in file.outcomes.items()),
        modalities=modalities,
        late=late,
        prevalence={name: one.prevalence for name, one in each.items()},
        variants=outcomes.variants(file.outcomes, frame),
        ids=frame[file.patient],
        rows=np.arange(len(frame)).astype(str) if file.row is None else frame[file.row],
        groups=_groups(source),
        site=_site(source),
        time=_time(source),
        subgroups=_subgroups(source),
        notices=tuple(notices),
    )


def cohort(made: Made, alarms: "Sequence[Alarm]" = ()) -> Cohort:
    """The checked cohort; what reading and the alarms, which were let through, said are among its notices."""
    source = made.source
    if made.source.file.row is not None:
        _check_rows(made)
    built = checks.build(
        source.file.name or source.path.stem, made.modalities, made.tasks, made.labels, made.ids, groups=made.groups,
        weights=made.weights, site=made.site, time=made.time, subgroups=made.subgroups, variants=_variants(made.variants),
    )  # fmt: skip
    let = tuple((alarm.column, _let_through(alarm)) for alarm in alarms)
    notices = (*source.notices, *made.notices, *built.notices, *(text for _, text in let))
    return replace(built, notices=notices, leaks=let, definitions=definitions(source.file.outcomes))


def _let_through(alarm: "Alarm") -> str:
    """What it said, without the advice that its user has not taken."""
    return f"{alarm.text.removesuffix(way_out(alarm.column)).strip()} Let through by name."


def definitions(given: Mapping[str, Outcome]) -> dict[str, str]:
    """Outcome, or OUTCOME~VARIANT -> its keys of the cohort file as a phrase."""
    variants = {f"{name}~{variant}": other for name, one in given.items() for variant, other in one.variants.items()}
    return {name: _definition(one) for name, one in (*given.items(), *variants.items())}


def _definition(one: Outcome) -> str:
    said = [one.rule or f"{one.event} within {one.horizon:g} by {one.time}"]
    for key in ("death", "followed", "known"):
        said += [f"{key}: {text}"] if (text := getattr(one, key)) is not None else []
    return "; ".join(said)


def _check_rows(made: Made) -> None:
    rows = pd.Series(made.rows)
    wrong = rows[rows.isna() | rows.duplicated()]
    if len(wrong):
        seen = f"'{wrong.iloc[0]}' stands again" if isinstance(wrong.iloc[0], str) else "is missing"
        raise BenchError(
            f"row '{made.source.file.row}' must name every row, each once, but {len(wrong):,} do not (first: {seen}, row {wrong.index[0]})"
        )


def features(source: Source) -> dict[str, Modality]:
    """The table, and one text modality a text column. A row without any value of a text has none."""
    frame = source.frame
    kinds = {name: column.kind for name, column in source.columns.items()}
    parts = {
        name: frame[name] if kinds[name] == "numeric" else _codes(frame[name])
        for name in kinds
        if kinds[name] in ("numeric", "categorical")
    }
    out: dict[str, Modality] = {}
    if parts:
        out["table"] = Tabular(pd.DataFrame(parts, copy=False))
    for name in kinds:
        if kinds[name] == "text":
            texts = _written(frame[name])
            key = name if name != "table" else "table text"
            out[key] = Text(texts.fillna("").tolist(), texts.notna().to_numpy(bool))
    if not out and not source.file.series:
        reasons = ", ".join(f"{name} ({column.why})" for name, column in list(source.columns.items())[:5])
        raise BenchError(f"no column is left as a feature: {reasons}. Name some under columns.numeric, categorical or text.")
    return out


def _written(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Numbers as texts, whole ones without a point."""
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return column
    return column.map(lambda value: f"{value:.15g}", na_action="ignore").astype(TEXTS)


def _codes(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Sorted categories; numbers are sorted as such."""
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype(pd.CategoricalDtype(sorted(column.dropna().unique())))
    levels = np.unique(column.dropna())
    names = [f"{level:.15g}" for level in levels]
    return pd.Series(
        pd.Categorical.from_codes(pd.Index(levels).get_indexer(pd.Index(column)), dtype=pd.CategoricalDtype(names)),
        index=column.index,
    )


def _measured_late(source: Source) -> dict[str, tuple[int, int]]:
    """Columns with a time of measurement -> how many values are later than the prediction, of how many that have both."""
    file, frame = source.file, source.frame
    if file.columns.measured and file.prediction is None:
        raise BenchError("columns.measured needs `prediction`, the column with the moment of prediction")
    out: dict[str, tuple[int, int]] = {}
    for name, when in file.columns.measured.items():
        moment, zero = frame[when], frame[str(file.prediction)]
        if moment.dtype != zero.dtype or moment.dtype.kind not in "fM":
            raise BenchError(
                f"columns.measured: '{when}' and the prediction '{file.prediction}' must both be numbers or both be dates"
            )
        both = moment.notna() & zero.notna() & frame[name].notna()
        out[name] = (int((both & (moment > zero)).sum()), int(both.sum()))
    return out


def _groups(source: Source) -> Any | None:
    """The group of each row; a patient without one is a group of its own."""
    if source.file.group is None:
        return None
    group, patient = source.frame[source.file.group], source.frame[source.file.patient]
    return ("set " + group).where(group.notna(), "patient " + patient.fillna("")).to_numpy(object)


def _site(source: Source) -> NDArray[np.str_] | None:
    """ "" where unknown: such a row stands in no part of a split by site."""
    return None if source.file.site is None else source.frame[source.file.site].fillna("").to_numpy(object).astype(str)


def _time(source: Source) -> NDArray[Any] | None:
    """datetime64, or float64 where the column holds numbers (a year, days since the start)."""
    if source.file.time is None:
        return None
    column = source.frame[source.file.time]
    if column.dtype.kind not in "fM":
        raise BenchError(
            f"time '{source.file.time}' must hold dates or numbers, but holds texts (first: '{column.dropna().iloc[0]}')"
        )
    return column.to_numpy().copy()


def _variants(found: Mapping[str, Labelled]) -> pd.DataFrame | None:
    """As `Cohort` and the store have them: a column of labels each, and of weights where follow-up ends early."""
    columns: dict[str, NDArray[np.float32]] = {}
    for name, one in found.items():
        columns[f"variant:{name}"] = one.labels
        if one.weights is not None:
            columns[f"variant-weight:{name}"] = one.weights
    return pd.DataFrame(columns) if columns else None


def _subgroups(source: Source) -> pd.DataFrame | None:
    """The columns reported apart, and the one that gives the split."""
    by = source.file.split.by
    names = list(dict.fromkeys([*source.file.subgroups, *([by] if by not in ("random", "site", "time") else [])]))
    if not names:
        return None
    parts = {name: source.frame[name] for name in names}
    return pd.DataFrame({name: part.astype(TEXTS) if part.dtype.kind == "M" else part for name, part in parts.items()})
