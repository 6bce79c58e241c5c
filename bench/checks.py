"""A cohort is checked once, where it is made; everything behind it may rely on what is checked here."""

import hashlib
from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core import BenchError, Cohort, Inputs, Modality, Series, Tabular, Task


def build(
    name: str,
    modalities: Mapping[str, Modality],
    tasks: Sequence[Task],
    labels: NDArray[Any],
    patients: Sequence[Any] | NDArray[Any],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    weights: NDArray[Any] | None = None,
    site: NDArray[Any] | None = None,
    time: NDArray[Any] | None = None,
    subgroups: pd.DataFrame | None = None,
    variants: pd.DataFrame | None = None,
) -> Cohort:
    """A checked `Cohort` with the digest of its content.

    Columns without any value are dropped, with a notice. Anything else that is wrong is a `BenchError` with the rule, the
    value seen and the first patient it was seen at.

    labels, weights: (n, T). patients, groups, site, time: (n,). groups: patients that must stay together; the patient if None.
    variants: see `Cohort`; no part of the digest, as no model depends on them.
    """
    y = _numbers("labels", labels)
    _check_ids(patients)
    ids = np.array([str(p) for p in patients])
    together = ids if groups is None else np.array([str(g) for g in groups])
    w = None if weights is None else _numbers("weights", weights)
    _check_shapes(len(ids), y, tasks, w)
    lengths: dict[str, Sized | None] = {
        "groups": together,
        "site": site,
        "time": time,
        "subgroups": subgroups,
        "variants": variants,
    }
    for key, modality in modalities.items():
        lengths |= {f"modality '{key}'": modality, f"`present` of modality '{key}'": modality.present}
    _check_lengths(len(ids), lengths)
    kept, notices = _without_empty_columns(modalities)
    for key, modality in kept.items():
        _check_modality(key, modality, ids)
    _check_labels(y, tasks, ids)
    if w is not None:
        _check_weights(w, y, tasks, ids)
    _check_groups(ids, together)
    digest = _digest(name, kept, tasks, [y, w, ids, together, site, time], subgroups)
    return Cohort(
        name=name, inputs=Inputs(kept), tasks=tuple(tasks), labels=y, patients=ids, groups=together, digest=digest,
        weights=w, site=site, time=time, subgroups=subgroups, variants=variants, notices=tuple(notices),
    )  # fmt: skip


def _numbers(what: str, values: Any) -> NDArray[np.float32]:
    try:
        if np.iscomplexobj(values):
            raise TypeError("some are complex")
        return np.array(values, np.float32)
    except (TypeError, ValueError) as error:
        raise BenchError(f"{what} must be numbers, NaN where unknown, but: {error}") from None


def _check_ids(patients: Sequence[Any] | NDArray[Any]) -> None:
    missing = np.flatnonzero(pd.isna(np.array(patients, object)))
    if len(missing):
        raise BenchError(f"every row needs a patient id, but {len(missing)} have none (first: row {missing[0]})")


def _check_shapes(n: int, y: NDArray[np.float32], tasks: Sequence[Task], w: NDArray[np.float32] | None) -> None:
    if n == 0:
        raise BenchError("a cohort needs at least one patient, but this one has 0 rows")
    names = [task.name for task in tasks]
    if not names or not all(names) or len(set(names)) < len(names):
        raise BenchError(f"outcomes need names, each once, but got {names}")
    if "mean" in names:
        raise BenchError("no outcome may be called 'mean': the tables call the mean over outcomes so. Rename it.")
    if y.shape != (n, len(tasks)):
        raise BenchError(
            f"labels must have shape ({n}, {len(tasks)}) for {n} patients and {len(tasks)} outcomes, but have {y.shape}"
        )
    if w is not None and w.shape != y.shape:
        raise BenchError(f"weights must have the labels' shape {y.shape}, but have {w.shape}")


def _check_lengths(n: int, parts: Mapping[str, Sized | None]) -> None:
    for name, part in parts.items():
        if part is not None and len(part) != n:
            raise BenchError(f"{name} must have one entry per row ({n}), but has {len(part)}")


def _without_empty_columns(modalities: Mapping[str, Modality]) -> tuple[dict[str, Modality], list[str]]:
    if not modalities:
        raise BenchError("a cohort needs at least one modality, but none was given")
    kept: dict[str, Modality] = {}
    notices: list[str] = []
    for key, modality in modalities.items():
        if isinstance(modality, Tabular):
            columns = modality.frame.columns.astype(str)
            twice = columns[columns.duplicated()].tolist()
            if twice:
                raise BenchError(f"columns of '{key}' need names, each once, but '{twice[0]}' stands more than once")
            empty = [str(c) for c in modality.frame.columns if modality.frame[c].isna().all()]
            if empty:
                notices.append(f"modality '{key}': dropped {len(empty)} columns without any value: {', '.join(empty)}")
                modality = Tabular(modality.frame.drop(columns=empty), modality.present)
            if modality.frame.shape[1] == 0:
                raise BenchError(f"modality '{key}' needs a column with values, but has none. Leave the modality out.")
        kept[key] = modality
    return kept, notices


def _check_modality(key: str, modality: Modality, ids: NDArray[np.str_]) -> None:
    if isinstance(modality, Tabular):
        for name, column in modality.frame.items():
            if isinstance(column.dtype, pd.CategoricalDtype):
                continue
            if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_complex_dtype(column.dtype):
                raise BenchError(
                    f"column '{name}' of '{key}' must be numeric or a pandas Categorical, but is {column.dtype}. Codes: astype('category')"
                )
            values = column.to_numpy(np.float64)
            huge = np.flatnonzero(np.abs(values) > np.finfo(np.float32).max)  # methods compute in float32
            if len(huge):
                raise BenchError(_seen(f"column '{name}' of '{key}' must be finite or NaN", huge, ids, f"{values[huge[0]]:g}"))
    elif isinstance(modality, Series):
        _check_series(key, modality, ids)
    else:
        wrong = np.array([i for i, s in enumerate(modality.strings) if not isinstance(s, str)])
        if len(wrong):
            raise BenchError(
                _seen(f"modality '{key}' must hold strings ('' for none)", wrong, ids, repr(modality.strings[wrong[0]]))
            )


def _check_series(key: str, series: Series, ids: NDArray[np.str_]) -> None:
    events = len(series.time)
    steps = np.diff(series.offsets)
    if series.offsets[0] != 0 or (steps < 0).any() or series.offsets[-1] != events:
        raise BenchError(
            f"offsets of '{key}' must rise from 0 to the {events} events, but run from {series.offsets[0]} to {series.offsets[-1]}"
        )
    if not len(series.channel) == len(series.value) == events or len(series.units) != len(series.channels):
        raise BenchError(f"series '{key}' must have one time, channel and value per event and one unit per channel")
    owner = np.repeat(np.arange(len(series)), steps)
    for what, array in (("value", series.value), ("time", series.time)):
        wrong = np.flatnonzero(~np.isfinite(array))
        if len(wrong):
            raise BenchError(_seen(f"every {what} of series '{key}' must be finite", owner[wrong], ids, str(array[wrong[0]])))
    wrong = np.flatnonzero((series.channel < 0) | (series.channel >= len(series.channels)))
    if len(wrong):
        raise BenchError(
            _seen(
                f"channels of series '{key}' must lie in 0..{len(series.channels) - 1}",
                owner[wrong],
                ids,
                str(series.channel[wrong[0]]),
            )
        )


def _check_labels(y: NDArray[np.float32], tasks: Sequence[Task], ids: NDArray[np.str_]) -> None:
    names = [task.name for task in tasks]
    for t, task in enumerate(tasks):
        wrong = np.flatnonzero(~np.isnan(y[:, t]) & (y[:, t] != 0) & (y[:, t] != 1))
        if len(wrong):
            raise BenchError(_seen(f"outcome '{task.name}' must hold 0, 1 or nothing", wrong, ids, f"{y[wrong[0], t]:g}"))
        known = y[~np.isnan(y[:, t]), t]
        if len(set(known.tolist())) < 2:
            only = f"only {known[0]:g}" if len(known) else "nothing"
            raise BenchError(
                f"outcome '{task.name}' needs both 0 and 1 to be learned, but its {len(known)} known rows hold {only}. Leave it out."
            )
        if task.thresholds is not None and not 0 < task.thresholds[0] < task.thresholds[1] < 1:
            raise BenchError(
                f"thresholds of outcome '{task.name}' must be two risks, 0 < low < high < 1, but are {task.thresholds}"
            )
        for other in task.implies:
            if other not in names:
                raise BenchError(
                    f"outcome '{task.name}' implies '{other}', which is no outcome of this cohort ({', '.join(names)})"
                )
            broken = np.flatnonzero((y[:, t] == 1) & (y[:, names.index(other)] == 0))
            if len(broken):
                raise BenchError(_seen(f"'{other}' must be 1 wherever '{task.name}' is", broken, ids, "0"))


def _check_weights(w: NDArray[np.float32], y: NDArray[np.float32], tasks: Sequence[Task], ids: NDArray[np.str_]) -> None:
    for t, task in enumerate(tasks):
        wrong = np.flatnonzero(~np.isnan(y[:, t]) & ~(np.isfinite(w[:, t]) & (w[:, t] > 0)))
        if len(wrong):
            raise BenchError(
                _seen(
                    f"weights of outcome '{task.name}' must be finite and above 0 where it is known",
                    wrong,
                    ids,
                    str(w[wrong[0], t]),
                )
            )


def _check_groups(ids: NDArray[np.str_], groups: NDArray[np.str_]) -> None:
    pairs = pd.DataFrame({"patient": ids, "group": groups}).drop_duplicates()
    twice = pairs.loc[pairs["patient"].duplicated(keep=False)]
    if len(twice):
        patient = twice["patient"].iloc[0]
        seen = twice.loc[twice["patient"] == patient, "group"].tolist()
        raise BenchError(f"a patient belongs to one group, but patient {patient} stands in {len(seen)}: {', '.join(seen[:5])}")


def _seen(rule: str, rows: NDArray[Any], ids: NDArray[np.str_], value: str) -> str:
    return f"{rule}, but {len(rows)} {'row holds' if len(rows) == 1 else 'rows hold'} {value} (first: patient {ids[rows[0]]})"


def _digest(
    name: str, modalities: Mapping[str, Modality], tasks: Sequence[Task], arrays: Sequence[Any], subgroups: pd.DataFrame | None
) -> str:
    """SHA-256 over the content alone: dtypes are fixed first, so that the same data has the same digest on every machine."""
    sha = hashlib.sha256()

    def add(value: Any) -> None:
        if value is None:
            sha.update(b"none")
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fiubM":
            data = np.where(np.isnan(value), np.nan, value) if value.dtype.kind == "f" else value  # one bit pattern of NaN
            sha.update(f"{data.dtype.str}{data.shape}".encode() + np.ascontiguousarray(data).tobytes())
        else:
            parts = [value] if isinstance(value, str) else [str(v) for v in value]
            sha.update("".join(f"{len(p)}:{p}" for p in parts).encode())

    add(name)
    for task in tasks:
        add([task.name, task.kind, *task.implies])
    for key, modality in modalities.items():
        add([key, type(modality).__name__])
        modality.feed(add)
        add(modality.present)
    for array in arrays:
        add(array)
    if subgroups is not None:
        add([f"{c}={v}" for c in subgroups for v in subgroups[c]])
    return sha.hexdigest()
