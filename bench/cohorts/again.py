"""New patients, read as the patients were that a model was fitted on: the same columns, kinds of cell, missing codes and series.

Nothing is inferred from the new tables that was settled before: a table of one row is read as one of ten thousand. Outcomes are not
looked at. A feature's column that is not there, or a series or a joined table that is not given, is missing in all rows, which is said.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from pydantic import ValidationError

from bench.cohorts import build, frames, reading, rules, schema, series, tables, typed
from bench.cohorts.cells import Kind
from bench.cohorts.columns import Column, matched
from bench.cohorts.reading import Source
from bench.cohorts.schema import CohortFile, Joined
from bench.core import BenchError, Cohort, Inputs, Modality, Series, Tabular, Text
from bench.registry import unknown

FEATURES = ("numeric", "categorical", "text")
PATIENT = "patient"  # the id column of a model whose cohort came from no file


@dataclass(frozen=True, eq=False)
class New:
    """New patients. ids: (n,) of their patients, rows: (n,) names of the rows where they have some. notices: what to say of them."""

    inputs: Inputs
    ids: "pd.Series[Any]"
    rows: "pd.Series[Any] | None"
    notices: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Rules:
    """How rows become inputs. kinds: of each column's cells. columns: those that are features -> numeric, categorical or text.

    places: modality -> its columns, of a cohort that came from no file; "" of one that did: its table is one modality.
    """

    file: CohortFile
    kinds: Mapping[str, Kind]
    columns: Mapping[str, str]
    places: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, source: Source) -> "Rules":
        columns = {name: column.kind for name, column in source.columns.items() if column.kind in FEATURES}
        return cls(_bare(source.file), dict(source.kinds), columns, {})

    @classmethod
    def plain(cls, cohort: Cohort) -> "Rules | None":
        """For a cohort from elsewhere: columns by their names, the patient in the column `patient`, series as long tables with
        patient, time (minutes, negative before the prediction), name and value. None where two modalities share a column's name."""
        tabular: dict[str, Tabular] = cohort.inputs.of(Tabular)
        places = {name: tuple(str(c) for c in table.frame) for name, table in tabular.items()}
        columns: dict[str, str] = {}
        for table in tabular.values():
            coded = {str(c): isinstance(table.frame[c].dtype, pd.CategoricalDtype) for c in table.frame}
            columns |= {name: "categorical" if code else "numeric" for name, code in coded.items()}
        texts = list(cohort.inputs.of(Text))
        names = [*(c for held in places.values() for c in held), *texts]
        if len({*names, PATIENT}) <= len(names):
            return None
        columns |= dict.fromkeys(texts, "text")
        long = {"row": PATIENT, "time": "time", "name": "name", "value": "value"}
        said = {
            "name": "plain", "table": "patients.csv", "patient": PATIENT, "outcomes": {name: name for name in cohort.task_names},
            "series": {name: {**long, "file": f"{name}.csv"} for name in cohort.inputs.of(Series)},
        }  # fmt: skip
        kinds: dict[str, Kind] = {name: "number" if kind == "numeric" else "text" for name, kind in columns.items()}
        return cls(CohortFile.model_validate(said), kinds, columns, places)

    def json(self) -> dict[str, Any]:
        file = self.file.model_dump(mode="json", exclude_unset=True)
        places = {name: list(held) for name, held in self.places.items()}
        return {"file": file, "kinds": dict(self.kinds), "columns": dict(self.columns), "places": places}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Rules":
        try:
            file = CohortFile.model_validate(value["file"])
        except ValidationError as error:
            raise ValueError(f"the rules of reading are none: {error.errors()[0]['msg']}") from None
        places = {name: tuple(held) for name, held in value["places"].items()}
        return cls(file, dict(value["kinds"]), dict(value["columns"]), places)

    @property
    def further(self) -> dict[str, str]:
        """Tables besides the first -> what each is."""
        joins = {_stem(joined): "the joined table" for joined in self.file.join}
        return joins | dict.fromkeys(self.file.series, "series")


def _bare(file: CohortFile) -> CohortFile:
    """Without where the tables lay, and without queries of databases."""

    def moved(table: Any) -> Any:
        place = Path(table.file or table.database or "table").name
        return table.model_copy(update={"file": place, "database": None, "query": None})

    own = {name: moved(one) for name, one in file.series.items()}
    return file.model_copy(update={"table": moved(file.table), "join": tuple(map(moved, file.join)), "series": own})


def _stem(joined: Joined) -> str:
    return Path(joined.file or "table").stem


def from_files(made: Rules, table: Path, further: Mapping[str, Path], channels: Mapping[str, Sequence[str]]) -> New:
    """The rows of a table. further: series by name, joined tables by the name of their file without its ending."""
    for name in further:
        if name not in made.further:
            raise BenchError(unknown("further table of the model", name, list(made.further)))

    def at(old: Any, path: Path) -> Any:
        return old.model_copy(update={"file": str(path.absolute())})

    file = made.file.model_copy(
        update={
            "table": at(made.file.table, table),
            "join": tuple(at(one, further[_stem(one)]) for one in made.file.join if _stem(one) in further),
            "series": {name: at(one, further[name]) for name, one in made.file.series.items() if name in further},
        }
    )
    wanted = {*made.columns, *(one.zero for one in made.file.series.values())}
    absent = [name for name in made.further if name not in further]
    said = [f"{made.further[name]} '{name}' is not given, so that it is missing: --table {name}=FILE" for name in absent]
    new = _read(made, file, Path(), {name: kind for name, kind in made.kinds.items() if name in wanted}, channels)
    return replace(new, notices=(*said, *new.notices))


def from_frame(
    made: Rules, frame: pd.DataFrame, further: Mapping[str, pd.DataFrame], channels: Mapping[str, Sequence[str]]
) -> New:
    """The rows of a DataFrame, and of further ones."""
    with tempfile.TemporaryDirectory(prefix="bench-") as work:
        places: dict[str, Path] = {}
        for i, (name, one) in enumerate({"": frame, **further}.items()):
            places[name] = Path(work, f"frame{i}.parquet")
            frames.plain(one).to_parquet(places[name], index=False)
        return from_files(made, places.pop(""), places, channels)


def from_cohort_file(made: Rules, path: Path, channels: Mapping[str, Sequence[str]]) -> New:
    """The rows that another cohort file names, its outcomes unseen: it says where its tables lie and how they are written."""
    other = schema.read(path)
    return _read(made, other, path.parent, None, channels)


def _read(
    made: Rules, file: CohortFile, folder: Path, kinds: Mapping[str, Kind] | None, channels: Mapping[str, Sequence[str]]
) -> New:
    with tempfile.TemporaryDirectory(prefix="bench-") as work, tables.connect() as con:
        frame, notices, there = _first(con, made, file, folder, Path(work), kinds)
        for joined in file.join:
            frame, more, _, _ = reading.join(con, file, frame, joined, folder, Path(work), kinds)
            notices = [*notices, *more]
        modalities = _features(made, file, frame)
        for name in file.series:
            if name in channels:
                modalities[name] = _series(file, name, frame, folder, Path(work), channels[name], notices)
    ids = frame[file.patient]
    if ids.isna().any():
        raise BenchError(
            f"every row needs a patient id, but {int(ids.isna().sum())} have none (first: row {int(ids.isna().argmax())})"
        )
    notices += _told(made, there)
    if not modalities:
        raise BenchError(
            f"no column that the model knows is there: it was fitted on {', '.join([*made.columns, *made.file.series][:10])}"
        )
    rows = None if file.row is None or file.row not in frame else frame[file.row]
    return New(Inputs(modalities), ids, rows, tuple(notices))


def _first(
    con: duckdb.DuckDBPyConnection, made: Rules, file: CohortFile, folder: Path, work: Path, kinds: Mapping[str, Kind] | None
) -> tuple[pd.DataFrame, list[str], tuple[str, ...]]:
    raw = tables.open(con, file.table, folder, work)
    reading.known("patient", file.patient, raw.names)
    as_written = {name for name in raw.names if name in reading.ids(file)}
    if kinds is None:
        numeric = [name for name, kind in made.columns.items() if kind == "numeric"]
        frame, found = typed.read(con, raw, file.table, as_written, matched(numeric, raw.names))
    else:
        frame, found = typed.again(con, raw, file.table, as_written, kinds)
    if not len(frame):
        raise BenchError(f"{raw.title} has a header but no rows: there is nobody to predict")
    strange = [name for name in raw.names if name not in made.kinds and name not in as_written]
    said = [f"columns that the model does not know are left out: {_some(strange)}"] if strange else []
    return frame, [*found.notices, *said], raw.names


def _features(made: Rules, file: CohortFile, frame: pd.DataFrame) -> dict[str, Modality]:
    there = {name: Column(name, kind, "") for name, kind in made.columns.items() if name in frame}  # pyright: ignore[reportArgumentType]
    for name, column in list(there.items()):
        if column.kind == "numeric" and not pd.api.types.is_numeric_dtype(frame[name].dtype):
            raise BenchError(f"column '{name}' must hold numbers, as where the model was fitted, but holds texts or dates")
    if not there:
        return {}
    found = build.features(Source(file, Path(), frame, there))
    table = found.get("table")
    if not made.places or not isinstance(table, Tabular):
        return found
    split = {name: [c for c in held if c in table.frame] for name, held in made.places.items()}
    rest = {name: one for name, one in found.items() if one is not table}
    return {name: Tabular(table.frame[held]) for name, held in split.items() if held} | rest


def _series(
    file: CohortFile, name: str, frame: pd.DataFrame, folder: Path, work: Path, channels: Sequence[str], notices: list[str]
) -> Series:
    got = series.read(file, name, frame, folder, work, channels)
    if got.late[0]:
        raise BenchError(
            f"series '{name}': {got.late[0]:,} of {got.late[1]:,} measurements were made after the prediction, which no model knows. Take "
            "them out."
        )
    notices += got.notices
    return got.series


def _told(made: Rules, there: Sequence[str]) -> list[str]:
    """Which columns of outcomes are there."""
    used = {c for name, one in made.file.outcomes.items() for c in _used(one, name, [*there, *made.kinds])} - set(made.columns)
    seen = [name for name in there if name in used]
    return [f"columns of outcomes are not looked at: {_some(seen)}"] if seen else []


def _used(outcome: schema.Outcome, name: str, columns: Sequence[str]) -> set[str]:
    try:
        return set(rules.columns_used(outcome, name, list(dict.fromkeys(columns))))
    except BenchError:
        return set()


def _some(names: Sequence[str]) -> str:
    return ", ".join(" ".join(name.split())[:60] for name in names[:8]) + (
        f" and {len(names) - 8} more" if len(names) > 8 else ""
    )
