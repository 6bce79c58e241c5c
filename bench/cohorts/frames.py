"""Cohorts from what is in memory: a pandas DataFrame, or arrays as scikit-learn takes them.

The frame is written once, as Parquet with a cohort file beside it, into a folder named by its content, and read from there: by the
same rules as any cohort file, and by the worker processes of a run, which reload their data themselves. The folder lies in the
cache (BENCH_CACHE), or where `folder` says; it holds what the frame holds, so remove it when the data must not stay.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import cohorts, core, sources, toml
from bench.cohorts import schema
from bench.core import BenchError
from bench.registry import unknown

ROW = "patient"  # the column that is made where arrays name no patients


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Cohort(core.Cohort):
    """A cohort that knows the file it can be read again from, so that it can be given to `bench.run`.

    file: the cohort file. whole: the digest of the cohort as it is there; a part of it has another one, and cannot be run by itself.
    let: columns let through besides those that the file names. variant: definitions in the place of their outcomes, see `from_file`.
    """

    file: Path
    whole: str
    let: tuple[str, ...] = ()
    variant: tuple[str, ...] = ()

    @classmethod
    def from_file(cls, path: str | Path, *, allow_leak: str | Sequence[str] = (), variant: str | Sequence[str] = ()) -> "Cohort":
        """The cohort of a cohort file (cohort.toml). allow_leak: columns that a leakage alarm does not stop for, besides the file's.

        variant: other definitions that the file gives, as OUTCOME~NAME, to be learned in the place of their outcomes.
        """
        let, others = tuple(_listed(allow_leak)), tuple(_listed(variant))
        read = cohorts.load(path, "+".join(let), "+".join(others) or None)
        return cls(
            **{each.name: getattr(read, each.name) for each in fields(core.Cohort)},
            file=Path(path).resolve(),
            whole=read.digest,
            let=let,
            variant=others,
        )

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        patient: str,
        outcomes: str | Sequence[str] | Mapping[str, str | Mapping[str, Any]],
        text: Sequence[str] = (),
        categorical: Sequence[str] = (),
        numeric: Sequence[str] = (),
        ignore: Sequence[str] = (),
        site: str | None = None,
        time: str | None = None,
        groups: str | None = None,
        subgroups: Sequence[str] = (),
        name: str = "frame",
        allow_leak: Sequence[str] = (),
        folder: str | Path | None = None,
    ) -> "Cohort":
        """The rows of a DataFrame, checked as a cohort file's are. NaN and None are "not measured", in an outcome "unknown".

        Every column that has no role is a feature, taken as it looks: numbers, codes (few distinct texts, or the dtype category) or
        text; constant and id-like columns and dates are left out, see `notices`. text, categorical, numeric, ignore: columns taken as
        such instead.
        patient: whose row it is; groups: patients that stay together. outcomes: columns of 0, 1 and missing, or name -> rule (SQL over
        the columns, "los_days > 7") or the keys of an outcome in a cohort file, its `variants` among them. allow_leak: columns that the leakage alarms may not
        stop for. folder: where the frame is kept for the worker processes; the cache if None.
        Raises BenchError for a column there is not, an outcome that is neither 0 nor 1, and a leakage alarm.
        """
        table = plain(frame)
        names = [str(c) for c in table.columns]
        codes = [c for c in map(str, frame.columns) if isinstance(frame[_own(frame, c)].dtype, pd.CategoricalDtype)]
        taken = {"numeric": _listed(numeric), "text": _listed(text), "ignore": _listed(ignore)}
        elsewhere = {c for listed in taken.values() for c in listed}
        taken["categorical"] = list(dict.fromkeys([*_listed(categorical), *(c for c in codes if c not in elsewhere)]))
        rules = dict(outcomes) if isinstance(outcomes, Mapping) else {c: c for c in _listed(outcomes)}
        if not rules:
            raise BenchError("a cohort needs an outcome, but `outcomes` is empty")
        for what, listed in {**taken, "outcomes": [] if isinstance(outcomes, Mapping) else list(rules)}.items():
            for column in listed:
                if column not in names:
                    raise BenchError(unknown(f"column in {what}", str(column), names))
        content: dict[str, Any] = {"name": name, "table": f"{_safe(name)}.parquet", "patient": patient}
        content |= {k: v for k, v in {"group": groups, "site": site, "time": time}.items() if v is not None}
        content |= {k: _listed(v) for k, v in {"subgroups": subgroups, "allow_leak": allow_leak}.items() if v}
        content["columns"] = {k: [_exactly(c) for c in v] for k, v in taken.items() if v}
        content["outcomes"] = rules
        return cls.from_file(_kept(table, content, folder))

    @classmethod
    def from_arrays(
        cls,
        x: Any,
        y: Any,
        groups: Any = None,
        *,
        features: Sequence[str] | None = None,
        outcomes: Sequence[str] | None = None,
        **options: Any,
    ) -> "Cohort":
        """Arrays as scikit-learn takes them. NaN in x is "not measured", in y "unknown".

        x: (n, features), a dense or sparse array or a DataFrame. y: (n,) or (n, outcomes), 0 and 1. groups: (n,) whose row it is; each
        row is a patient of its own if None. features, outcomes: names; x0, x1, ... and y0, y1, ... (or a DataFrame's own) if None.
        options: as for `from_frame`.
        """
        inputs, labels = _framed(x, features, "x"), _framed(y, outcomes, "y")
        names, targets = [str(c) for c in inputs], [str(c) for c in labels]
        ids = np.arange(len(inputs)) if groups is None else np.asarray(groups)
        if ids.ndim != 1:
            raise BenchError(f"groups must name one patient a row, but has the shape {ids.shape}")
        if not len(inputs) == len(labels) == len(ids):
            raise BenchError(f"x, y and groups must have one row each, but have {len(inputs)}, {len(labels)} and {len(ids)}")
        if both := sorted(set(names) & set(targets)):
            raise BenchError(f"features and outcomes must have different names, but both have '{both[0]}'")
        who = ROW
        while who in names or who in targets:
            who += "_"
        frame = pd.concat([pd.DataFrame({who: ids}), inputs, labels], axis=1)
        return cls.from_frame(frame, patient=who, outcomes=targets, **{"name": "arrays", **options})

    def __fspath__(self) -> str:
        """The cohort file with its dial, which is how `bench.run` and its workers know the cohort."""
        if self.digest != self.whole:
            raise BenchError(f"a part of cohort '{self.name}' cannot be run by itself: make a cohort of these rows of the frame")
        dials = {"allow_leak": self.let, "variant": self.variant}
        return ":".join([str(self.file), *(f"{name}={'+'.join(value)}" for name, value in dials.items() if value)])


def _listed(names: str | Sequence[str]) -> list[str]:
    """One name, where a list is meant, is that list."""
    return [names] if isinstance(names, str) else [str(name) for name in names]


def _own(frame: pd.DataFrame, name: str) -> Any:
    """The column's own name, which may be no text."""
    return next(c for c in frame.columns if str(c) == name)


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns that Parquet holds and a cohort file means: names as texts, codes as texts, objects as what they are."""
    names = pd.Index([str(c) for c in frame.columns])
    if names.duplicated().any():
        raise BenchError(f"columns of a frame need names, each once, but '{names[names.duplicated()][0]}' stands more than once")
    if not len(frame) or not len(names):
        raise BenchError(f"a frame needs rows and columns, but has {len(frame)} rows and {len(names)} columns")
    return pd.DataFrame({name: _column(name, frame.iloc[:, i].reset_index(drop=True)) for i, name in enumerate(names)})


def _column(name: str, column: "pd.Series[Any]") -> "pd.Series[Any]":
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if isinstance(column.dtype, pd.SparseDtype):
        return pd.Series(np.asarray(column))
    if column.dtype.kind in "mc" or kind in ("timedelta", "timedelta64", "complex", "period", "interval"):
        raise BenchError(f"column '{name}' must hold numbers, texts or dates, but holds {column.dtype}. Turn it into numbers.")
    if column.dtype != object and not isinstance(column.dtype, pd.CategoricalDtype):
        return column
    if kind in ("boolean", "integer", "floating", "mixed-integer-float", "decimal") and column.dtype == object:
        return column.astype(np.float64)
    if kind in ("datetime", "datetime64", "date") and column.dtype == object:
        return pd.to_datetime(column)
    return column.map(str, na_action="ignore").astype(object)


def _framed(values: Any, names: Sequence[str] | None, letter: str) -> pd.DataFrame:
    dense = values.toarray() if hasattr(values, "toarray") else values
    shape = np.shape(dense)
    if len(shape) not in (1, 2):
        raise BenchError(f"{letter} must have rows and columns, but has the shape {shape}")
    frame = dense.reset_index(drop=True) if isinstance(dense, pd.DataFrame) else pd.DataFrame(np.asarray(dense))
    if names is not None and len(names) != frame.shape[1]:
        raise BenchError(f"{letter} has {frame.shape[1]} columns, but {len(names)} names were given")
    own = (
        [str(c) for c in frame.columns]
        if isinstance(dense, pd.DataFrame | pd.Series)
        else [f"{letter}{i}" for i in range(frame.shape[1])]
    )
    return frame.set_axis([str(n) for n in names] if names is not None else own, axis=1)


def _exactly(name: str) -> str:
    """As a pattern of a cohort file that fits no other name."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _safe(name: str) -> str:
    """Of a file."""
    return "".join(c if c.isalnum() or c in "_.-" else "_" for c in name)


def _kept(table: pd.DataFrame, content: Mapping[str, Any], folder: str | Path | None) -> Path:
    """The cohort file, written beside its table into a folder named by the content of both; what is there already is left."""
    root = (sources.cache() / "frames" if folder is None else Path(folder).expanduser()).resolve()
    text = toml.document(content)
    try:
        data = table.to_parquet(None, index=False)
    except (ValueError, TypeError, OverflowError) as error:  # pyarrow's are ValueErrors and TypeErrors
        raise BenchError(f"the frame cannot be written as Parquet: {str(error).splitlines()[0]}") from None
    safe = content["table"].removesuffix(".parquet")
    place = root / f"{safe}-{hashlib.sha256(text.encode() + data).hexdigest()[:12]}"
    if not (place / f"{safe}.toml").is_file():
        try:
            _write(root, place, {f"{safe}.parquet": data, f"{safe}.toml": text.encode()})
        except OSError as error:
            said = error.strerror or error
            raise BenchError(f"the frame cannot be kept in {root}: {said}. Give from_frame(folder=...) another place.") from None
    return place / f"{safe}.toml"


def _write(root: Path, place: Path, files: Mapping[str, bytes]) -> None:
    """All or nothing: into a folder beside, which takes its name once the cohort file in it has been read."""
    root.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".frame-", dir=root))  # for the user's eyes only, as mkdtemp makes it
    try:
        for name, data in files.items():
            (work / name).write_bytes(data)
        schema.read(work / next(name for name in files if name.endswith(".toml")))
        with suppress(OSError):  # another process was faster: what it wrote is the same
            os.replace(work, place)
        if not place.is_dir():
            raise OSError("the folder cannot be renamed")
    finally:
        shutil.rmtree(work, ignore_errors=True)
