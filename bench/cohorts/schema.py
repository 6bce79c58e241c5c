"""What a cohort file (cohort.toml) may say. Unknown keys are refused with the closest one; `json_schema` is for editors.

Everything but `table`, `patient` and one outcome may be left out. Columns that are named nowhere are inferred, and `bench data
check` shows as what. Rules are SQL expressions over the columns of the table (DuckDB's dialect): a comparison with a missing value
is unknown, not false, unless the rule says otherwise (IS NULL, coalesce, CASE ... ELSE). Paths are seen from the folder of the
cohort file.
"""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from bench import toml
from bench.core import BenchError
from bench.registry import unknown

Name: TypeAlias = Annotated[str, Field(min_length=1)]
Plain: TypeAlias = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]  # can be typed as a dial
MAIN = "main"  # an outcome's own definition, beside its variants
MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "?", ".", "#N/A")


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_rule(value: Any) -> Any:
    return {"rule": value} if isinstance(value, str) else value


def _as_table(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


# What may be written for short is said to the JSON schema too, so that editors do not mark it.
Names: TypeAlias = Annotated[tuple[Name, ...], BeforeValidator(_listed, json_schema_input_type=Name | list[Name])]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Table(_Strict):
    """Where rows come from: `file` (.csv, .tsv, .txt, .parquet, .xlsx; .gz of the first three), or `query` on `database`.

    file: its path, seen from the cohort file. database: a .duckdb or .sqlite file, opened for reading only. query: SQL. sheet: of
    an Excel file, the first where left out. separator, decimal, encoding: of a CSV, found out where left out. missing: texts that
    mean "not measured", instead of the usual, of which "None" counts among numbers and dates only.
    """

    file: Name | None = None
    database: Name | None = None
    query: Name | None = None
    sheet: Name | None = None
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    decimal: Literal[".", ","] | None = None
    encoding: Name | None = None
    missing: Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])] = MISSING

    @model_validator(mode="after")
    def _one_source(self) -> "Table":
        if (self.file is None) == (self.query is None) or (self.query is None) != (self.database is None):
            raise ValueError("rows come from `file`, or from `database` with `query`: give one of the two")
        return self


class Joined(Table):
    """A further table: its columns stand beside the first table's. key: the column both share, one row a value. prefix: of its names."""

    key: Name
    prefix: str = ""


class Columns(_Strict):
    """As what columns are taken; names may hold * and ?. numeric, categorical, text: taken as such, not as they look.

    ignore: never features. only: no others but those named beside are features. measured: column -> the column that says when it
    was measured.
    """

    numeric: Names = ()
    categorical: Names = ()
    text: Names = ()
    ignore: Names = ()
    only: Names = ()
    measured: dict[Name, Name] = Field(default_factory=dict)


class Outcome(_Strict):
    """One outcome: `rule` (a column of 0 and 1, or an expression); or `event` and `time` with a `horizon`, where follow-up may end early.

    rule: where it is unknown, so is the label. known: an expression; where it is false or unknown, the label is unknown. event,
    time, horizon: 1 = event within `horizon` after time 0; 0 = followed that long without it; unknown = followed for less, and
    rows with known labels are weighted by the inverse probability of being followed. death: an expression for dead at the end of
    follow-up, after the event or without it; without it the label is 0, not unknown. followed: the end of follow-up where it goes
    on after the event (`time` is then needed of events only); `time` where left out. label: what it is, in words under every
    table. competing: how death before the event is coded, printed under the table. implies: outcomes that must be 1 where this
    is. thresholds: the range of risks for decision curves. variants: other definitions of the same outcome, name -> its keys:
    models learn the outcome itself, and the report shows whether their ranking is the same by each variant. To learn one in its
    place: `bench run --data cohort.toml:variant=OUTCOME~NAME` (several: with + between them), a dataset of its own.
    """

    rule: Name | None = None
    known: Name | None = None
    event: Name | None = None
    time: Name | None = None
    horizon: Annotated[float, Field(gt=0)] | None = None
    death: Name | None = None
    followed: Name | None = None
    label: str = ""
    competing: str = ""
    implies: Names = ()
    thresholds: tuple[float, float] | None = None
    variants: dict[Plain, "Rule"] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_form(self) -> "Outcome":
        censored = [self.event, self.time, self.horizon]
        if (self.rule is None) == (self.event is None):
            raise ValueError("an outcome has a `rule`, or `event`, `time` and `horizon`: give one of the two")
        if self.event is not None and None in censored:
            raise ValueError("an outcome with `event` needs `time` and `horizon` too")
        if self.rule is not None and any(value is not None for value in (self.time, self.horizon, self.death, self.followed)):
            raise ValueError("`time`, `horizon`, `death` and `followed` go with `event`, not with `rule`")
        if self.thresholds is not None and not 0 < self.thresholds[0] < self.thresholds[1] < 1:
            raise ValueError(f"thresholds must be two risks, 0 < low < high < 1, but are {list(self.thresholds)}")
        if MAIN in self.variants:
            raise ValueError(f"'{MAIN}' is the outcome's own definition; give the variant another name")
        if any(other.variants for other in self.variants.values()):
            raise ValueError("a variant has no variants of its own: put them side by side")
        return self


Rule: TypeAlias = Annotated[Outcome, BeforeValidator(_as_rule, json_schema_input_type=Name | Outcome)]


class Series(Table):
    """A long table of measurements. row: the column that says whose. time: when; name: of what; value: the number.

    unit: of `time` where it is a number: s, min, h or d. zero: a column of the first table, the moment of prediction on the same clock;
    without it `time` counts from the prediction, negative before it. window: how far back, as [from, to] in `unit`, 0 = the
    prediction, negative before it: what lies outside is left out. Without a window a measurement after the prediction stops the run.
    step: measurements are averaged over steps of so many units. names: those taken, all where left out. units: name -> its unit.
    """

    row: Name
    time: Name
    name: Name
    value: Name
    unit: Literal["s", "min", "h", "d"] = "min"
    zero: Name | None = None
    window: tuple[float, float] | None = None
    step: Annotated[float, Field(gt=0)] | None = None
    names: Names = ()
    units: dict[Name, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _backwards(self) -> "Series":
        if self.window is not None and not self.window[0] < self.window[1] <= 0:
            raise ValueError(f"window must be [from, to] with from < to <= 0, but is {list(self.window)}")
        return self


class Split(_Strict):
    """How patients are split where the command does not say. by: random, site, time, or a column. cut: of time, the first test value."""

    by: Name = "random"
    cut: Name | float | date | None = None


class CohortFile(_Strict):
    """The whole file. patient: whose row it is; a patient's rows never cross a split. row: a name for each row, its number where left out.

    name: of the cohort, the file's where left out. table, join, columns, outcomes, series, split: see there. group: patients that
    stay together (a matched set). site, time: for splits by them. subgroups: columns whose levels are reported apart. prediction:
    the column with the moment of prediction, for `columns.measured`. allow_leak: columns that the leakage alarms may not stop the
    run for; they are named in the report.
    """

    name: Plain | None = None
    table: Annotated[Table, BeforeValidator(_as_table, json_schema_input_type=Name | Table)]
    join: tuple[Joined, ...] = ()
    patient: Name
    row: Name | None = None
    group: Name | None = None
    site: Name | None = None
    time: Name | None = None
    prediction: Name | None = None
    subgroups: Names = ()
    columns: Columns = Columns()
    outcomes: Annotated[dict[Name, Rule], Field(min_length=1)]
    series: dict[Name, Series] = Field(default_factory=dict)
    split: Split = Split()
    allow_leak: Names = ()


def read(path: Path) -> CohortFile:
    """The checked content of a cohort file. BenchError, one line, for whatever is wrong with it."""
    value = toml.read(path)
    try:
        return CohortFile.model_validate(value)
    except ValidationError as error:
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")  # a mistyped key is why another is missing
        raise BenchError(f"{path.name}: {_said(first)}") from None


def chosen(file: CohortFile, names: Sequence[str]) -> CohortFile:
    """The file with variants, named as OUTCOME~NAME, in the place of their outcomes; these stay, as the variant `main`.

    A variant keeps what it does not say itself of `implies`, `thresholds` and the label. BenchError for a name that is not there.
    """
    known = {f"{name}~{variant}": (name, variant) for name, outcome in file.outcomes.items() for variant in outcome.variants}
    outcomes = dict(file.outcomes)
    for one in names:
        if not known:
            raise BenchError(
                f"variant '{one}' of an outcome was asked for, but the cohort file names none (outcomes.NAME.variants)"
            )
        if one not in known:
            raise BenchError(unknown("variant of an outcome", one, list(known)))
        name, variant = known[one]
        if outcomes[name] is not file.outcomes[name]:
            raise BenchError(
                f"an outcome is learned by one definition, but two variants of '{name}' are named: {'+'.join(names)}"
            )
        outcomes[name] = _in_place(file.outcomes[name], variant)
    return file.model_copy(update={"outcomes": outcomes})


def _in_place(main: Outcome, variant: str) -> Outcome:
    own = main.variants[variant]
    kept = {key: getattr(main, key) for key in ("implies", "thresholds") if key not in own.model_fields_set}
    others = {key: one for key, one in main.variants.items() if key != variant}
    kept["variants"] = {MAIN: main.model_copy(update={"variants": {}}), **others}
    kept["label"] = own.label or (f"{main.label}, " if main.label else "") + f"defined as {variant}"
    return own.model_copy(update=kept)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a cohort file, for editors that complete and check TOML."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **CohortFile.model_json_schema()}


def published() -> str:
    """The schema as text, as it stands in bench/docs/cohort.schema.json."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


MODELS: dict[str, type[BaseModel]] = {
    "table": Table, "join": Joined, "columns": Columns, "outcomes": Outcome, "variants": Outcome, "series": Series, "split": Split,
}  # fmt: skip


def _said(error: Any) -> str:
    """Where it is and the rule; of an unknown key the closest one."""
    *above, last = error["loc"] or ("the file",)
    if error["type"] == "extra_forbidden":
        model = next((MODELS[part] for part in reversed(above) if part in MODELS), CohortFile)
        return unknown(f"key of {_place(above) or 'the cohort file'}", str(last), list(model.model_fields))
    rule = error["msg"].removeprefix("Value error, ")
    return f"{_place(error['loc'])}: {rule[0].lower()}{rule[1:]}".removeprefix(": ")


def _place(parts: Sequence[Any]) -> str:
    """outcomes.aki.rule, join[0].key"""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")
