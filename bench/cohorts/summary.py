"""What is in a cohort, as numbers: for `bench data check`, `bench data show` and anybody else who wants to look before training.

Works on any cohort, bundled or one's own. Unknown labels, missing values and absent modalities are counted, never filled in.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.cohorts import leaks
from bench.cohorts.separation import wilson
from bench.core import Cohort, Floats, Modality, Series, Tabular, Task, Text

if TYPE_CHECKING:
    from bench.cohorts.leaks import Candidate
    from bench.cohorts.reading import Column

STRONG = 3  # features listed per outcome


@dataclass(frozen=True, eq=False)
class Summary:
    """Tables of a cohort, a row for each thing.

    outcomes: outcome, label, known, events, prevalence (naive), low, high (Wilson), weighted, competing.
    phi: (T, T) correlation of labels over rows where both are known, NaN where it is not defined.
    columns: column, kind, why, missing (share of the rows), distinct. modalities: modality, kind, rows, share, events (per row that
    has it: measurements or words; NaN for a table), low, high (quartiles).
    channels: series, channel, unit, rows, share, events. strongest: outcome, column, auroc. subgroups: column, level, rows.
    variants: outcome, variant, known, events, prevalence (naive), weighted, same (share of the labels known by both that are equal).
    """

    name: str
    rows: int
    patients: int
    groups: int
    outcomes: pd.DataFrame
    phi: Floats
    columns: pd.DataFrame
    modalities: pd.DataFrame
    channels: pd.DataFrame
    strongest: pd.DataFrame
    subgroups: pd.DataFrame
    variants: pd.DataFrame


def summarise(
    cohort: Cohort, columns: "Mapping[str, Column] | None" = None, each: "Iterable[Candidate] | None" = None
) -> Summary:
    """columns: how the columns of the user's own file are taken; of any other cohort, what its table holds. each: what every column
    tells by itself, where that is known already.
    """
    modalities = cohort.inputs.modalities
    each = leaks.candidates(modalities, cohort.labels, cohort.patients) if each is None else each
    return Summary(
        cohort.name, len(cohort), len(np.unique(cohort.patients)), len(np.unique(cohort.groups)),
        _outcomes(cohort.tasks, cohort.labels, cohort.weights), phi(cohort.labels),
        _columns(modalities, columns), _modalities(modalities), _channels(modalities),
        _strongest(each, cohort.tasks), _subgroups(cohort), _variants(cohort),
    )  # fmt: skip


def _outcomes(tasks: Sequence[Task], labels: Floats, weights: Floats | None) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for t, task in enumerate(tasks):
        known = ~np.isnan(labels[:, t])
        y = labels[known, t].astype(np.float64)
        n, events = len(y), int(y.sum())
        low, high = wilson(events, n)
        weighted = float(np.average(y, weights=weights[known, t])) if weights is not None and n else np.nan
        rows.append({
            "outcome": task.name, "label": task.label, "known": n, "events": events, "prevalence": events / n if n else np.nan,
            "low": low, "high": high, "weighted": weighted, "competing": task.competing,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _variants(cohort: Cohort) -> pd.DataFrame:
    """Of every other definition of an outcome."""
    rows: list[dict[str, Any]] = []
    frame = pd.DataFrame() if cohort.variants is None else cohort.variants
    for column in (str(c) for c in frame if str(c).startswith("variant:")):
        outcome, _, variant = column.removeprefix("variant:").rpartition("~")
        y, main = frame[column].to_numpy(np.float64), cohort.labels[:, cohort.task_names.index(outcome)]
        weight = frame.get(column.replace("variant:", "variant-weight:", 1), pd.Series(1.0, frame.index)).to_numpy(np.float64)
        known, both = ~np.isnan(y), ~np.isnan(y) & ~np.isnan(main)
        rows.append({
            "outcome": outcome, "variant": variant, "known": int(known.sum()), "events": int(np.nansum(y)),
            "prevalence": float(y[known].mean()) if known.any() else np.nan,
            "weighted": float(np.average(y[known], weights=weight[known])) if known.any() and (weight != 1).any() else np.nan,
            "same": float((y[both] == main[both]).mean()) if both.any() else np.nan,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=["outcome", "variant", "known", "events", "prevalence", "weighted", "same"])


def phi(labels: Floats) -> Floats:
    """(T, T) Pearson correlation of 0/1 labels, each pair over the rows where both are known; the diagonal is 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return pd.DataFrame(labels.astype(np.float64)).corr().to_numpy(np.float64)


def _columns(modalities: Mapping[str, Modality], taken: "Mapping[str, Column] | None") -> pd.DataFrame:
    """Features first as methods see them, then what is not taken."""
    rows: list[dict[str, Any]] = []
    for key, modality in modalities.items():
        if isinstance(modality, Tabular):
            for name, column in modality.frame.items():
                kind = "categorical" if isinstance(column.dtype, pd.CategoricalDtype) else "numeric"
                rows.append(_column(str(name), kind, float(column.isna().mean()), column.nunique(), taken, key))
        elif isinstance(modality, Text):
            empty = np.mean([not s.strip() for s in modality.strings])
            rows.append(_column(key, "text", float(empty), pd.Series(modality.strings).nunique(), taken, key))
    features = {row["column"] for row in rows}
    for name, column in (taken or {}).items():
        if name not in features:
            kind = column.kind if column.kind in ("ignored", "role") else "dropped"  # dropped: without any value
            rows.append({"column": name, "kind": kind, "why": column.why, "missing": np.nan, "distinct": -1})
    return pd.DataFrame(rows, columns=["column", "kind", "why", "missing", "distinct"])


def _column(
    name: str, kind: str, missing: float, distinct: int, taken: "Mapping[str, Column] | None", key: str
) -> dict[str, Any]:
    why = taken[name].why if taken and name in taken else f"of '{key}'"
    return {"column": name, "kind": kind, "why": why, "missing": float(missing), "distinct": int(distinct)}


def _modalities(modalities: Mapping[str, Modality]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for key, modality in modalities.items():
        counts, has = amounts(modality)
        of = counts[has]
        quartiles = np.quantile(of, [0.25, 0.5, 0.75]) if len(of) and not isinstance(modality, Tabular) else [np.nan] * 3
        rows.append({
            "modality": key, "kind": type(modality).__name__.lower(), "rows": int(has.sum()), "share": float(has.mean()),
            "events": float(quartiles[1]), "low": float(quartiles[0]), "high": float(quartiles[2]),
        })  # fmt: skip
    return pd.DataFrame(rows)


def amounts(modality: Modality) -> tuple[Floats, NDArray[np.bool_]]:
    """(n,) measured columns, words or measurements of each row, and whether it has any."""
    if isinstance(modality, Tabular):
        counts = modality.frame.notna().sum(axis=1).to_numpy(np.float64)
    elif isinstance(modality, Text):
        counts = np.array([len(s.split()) for s in modality.strings], np.float64)
    else:
        counts = np.diff(modality.offsets).astype(np.float64)
    return counts, modality.present & (counts > 0)


def _channels(modalities: Mapping[str, Modality]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for key, series in modalities.items():
        if not isinstance(series, Series):
            continue
        owner = np.repeat(np.arange(len(series)), np.diff(series.offsets))
        pairs = owner * len(series.channels) + series.channel
        counts = np.bincount(pairs, minlength=len(series) * len(series.channels)).reshape(len(series), -1)
        for c, channel in enumerate(series.channels):
            has = counts[:, c] > 0
            rows.append({
                "series": key, "channel": channel, "unit": series.units[c], "rows": int(has.sum()), "share": float(has.mean()),
                "events": float(np.median(counts[has, c])) if has.any() else np.nan,
            })  # fmt: skip
    return pd.DataFrame(rows, columns=["series", "channel", "unit", "rows", "share", "events"])


def _strongest(each: "Iterable[Candidate]", tasks: Sequence[Task]) -> pd.DataFrame:
    """The features that predict each outcome best by themselves: where a leak under the alarm's threshold would stand."""
    found = [(one.column, one.told.auroc) for one in each]
    rows: list[dict[str, Any]] = []
    for t, task in enumerate(tasks):
        ranked = sorted(((float(auroc[t]), name) for name, auroc in found if auroc[t] > 0.5), reverse=True)
        rows += [{"outcome": task.name, "column": name, "auroc": auroc} for auroc, name in ranked[:STRONG]]
    return pd.DataFrame(rows, columns=["outcome", "column", "auroc"])


def _subgroups(cohort: Cohort) -> pd.DataFrame:
    """Rows of each level, of the site and of each subgroup; the known and events of each outcome in it."""
    parts = {} if cohort.site is None else {"site": pd.Series(cohort.site)}
    if cohort.subgroups is not None:
        parts |= {str(name): column.reset_index(drop=True) for name, column in cohort.subgroups.items()}
    rows: list[dict[str, Any]] = []
    for name, column in parts.items():
        text = column.astype(str).where(column.notna(), "")
        for level in sorted(text.unique()):
            here = (text == level).to_numpy()
            row: dict[str, Any] = {"column": name, "level": level or "missing", "rows": int(here.sum())}
            for t, task in enumerate(cohort.task_names):
                y = cohort.labels[here, t]
                row |= {f"n:{task}": int((~np.isnan(y)).sum()), f"e:{task}": int(np.nansum(y))}
            rows.append(row)
    return pd.DataFrame(rows)
