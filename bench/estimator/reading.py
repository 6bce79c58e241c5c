"""What users hand to a classifier, as cohorts of ours hold it: frames and arrays, outcomes of any two classes, weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from bench.core import BenchError, Modality, Tabular, Text
from bench.registry import unknown

Array = NDArray[Any]
Floats = NDArray[np.float64]


class Refused(BenchError, ValueError):
    """A mistake in the data or the settings, one line, for those who expect a ValueError."""


@dataclass(frozen=True)
class Target:
    """One outcome. labels: (n,) 1 for the last class, 0, NaN where unknown. classes: (2,). rate: share of events."""

    name: str
    labels: NDArray[np.float32]
    classes: Array
    rate: float = 0.0

    def two(self, alone: bool) -> bool:
        """Whether it shows both classes. Refused where it cannot be predicted either."""
        shown = np.unique(self.labels[~np.isnan(self.labels)])
        if len(shown) == 1 and (alone or len(self.classes) < 2):
            raise Refused(f"outcome '{self.name}' needs two classes to be learned, but its known rows hold 1 class alone")
        if not len(shown):
            raise Refused(f"outcome '{self.name}' needs two classes to be learned, but no class of any row is known")
        return len(shown) == 2


def columns(y: Any) -> list[tuple[str, Array]]:
    """Name and values of each outcome."""
    if isinstance(y, pd.DataFrame | pd.Series):
        frame = y.to_frame() if isinstance(y, pd.Series) else y
        return [(str(frame.columns[i]), frame.iloc[:, i].to_numpy()) for i in range(frame.shape[1])]
    check: Any = check_array  # its types know no None
    array = check(y, ensure_2d=False, allow_nd=False, dtype=None, ensure_all_finite=False, input_name="y", ensure_min_samples=0)
    return [(f"y{t}", column) for t, column in enumerate(array.reshape(len(array), -1).T)]


def targets(y: Any, rows: int) -> list[Target]:
    found = columns(y)
    for _, column in found:
        if len(column) != rows:
            raise Refused(f"X and y must have one row each, but have inconsistent numbers of samples: {rows} and {len(column)}")
    return [target(name, column) for name, column in found]


def unknown_rows(values: Array) -> NDArray[np.bool_]:
    return np.asarray(pd.isna(values), bool)


def target(name: str, values: Array) -> Target:
    """An outcome read. Refused: infinity, numbers that are no classes, more than two classes."""
    known = ~unknown_rows(values)
    given = values[known]
    if given.dtype == object and len({type(one) for one in given}) == 1:
        given = np.array(given.tolist())
    if given.dtype.kind == "f" and not np.isfinite(given).all():
        raise Refused("Input y contains infinity, but a class is a finite number or a text")
    check_classification_targets(given)
    classes = np.unique(given)
    if len(classes) > 2:
        raise Refused(
            f"Only binary classification is supported. The type of the target is {type_of_target(given)}: outcome '{name}' has {len(classes)} classes. "
            "Make an outcome of each."
        )
    if given.dtype.kind in "biuf" and set(classes.tolist()) <= {0, 1}:
        classes = np.array([0, 1], given.dtype)
    labels = np.full(len(values), np.nan, np.float32)
    labels[known] = given == classes[-1] if len(classes) else np.nan
    return Target(name, labels, classes)


def weights(given: Any, rows: int) -> Floats:
    """(n,) or refused."""
    check: Any = check_array
    w = np.ones(rows) if given is None else check(given, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if w.shape != (rows,):
        raise Refused(f"sample_weight must have the shape ({rows},), a weight a row, but has {w.shape}")
    if (w < 0).any():
        raise Refused(f"sample_weight must be 0 or more, but the least weight is {w.min():g}")
    if not (w > 0).any():
        raise Refused(f"sample_weight must be above 0 somewhere, but all {rows} weights are zero")
    return w


def kind(column: "pd.Series[Any]") -> str:
    """number or category. Refused: dates and the like."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "category"
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    if pd.api.types.is_numeric_dtype(column.dtype) or inferred in (
        "integer",
        "floating",
        "mixed-integer-float",
        "boolean",
        "decimal",
        "empty",
    ):
        return "number"
    if inferred in ("string", "mixed", "mixed-integer", "categorical"):
        return "category"
    raise Refused(f"column '{column.name}' must hold numbers, texts or categories, but holds {inferred}. Turn it into numbers.")


def read(name: str, column: "pd.Series[Any]", kind: str) -> "pd.Series[Any]":
    """A column as a table of ours holds it."""
    if kind == "category":
        return column.map(str, na_action="ignore").astype("category")
    try:
        values = pd.to_numeric(column).astype(np.float64) if column.dtype == object else column.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise Refused(f"column '{name}' must hold numbers, as when it was learned from, but: {error}") from None
    if np.isinf(values).any():
        raise Refused(f"Input X contains infinity: column '{name}' must be finite, or NaN where it was not measured")
    return values


def kinds(frame: pd.DataFrame, text: Sequence[str]) -> dict[str, str]:
    """Column -> number, category or text, the last where it is said."""
    names = [str(name) for name in frame.columns]
    for name in text:
        if name not in names:
            raise Refused(unknown("column in text", name, names))
    return {name: "text" if name in text else kind(frame[name]) for name in names}


def modalities(frame: pd.DataFrame, kinds: Mapping[str, str]) -> dict[str, Modality]:
    """A table, and each column of notes by itself."""
    table = {n: read(n, frame[n], kind) for n, kind in kinds.items() if kind != "text"}
    notes = {n: Text(frame[n].map(str, na_action="ignore").fillna("")) for n, kind in kinds.items() if kind == "text"}
    return {**({"table": Tabular(pd.DataFrame(table))} if table else {}), **notes}
