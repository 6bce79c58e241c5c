"""Rules of outcomes: SQL expressions over one row of the table, in DuckDB's dialect.

A comparison with a missing value is unknown, and AND, OR and NOT are those of three-valued logic (NULL or TRUE is TRUE). Only what
asks for it gives an answer there: IS NULL, IS DISTINCT FROM, coalesce, if, CASE ... ELSE. Functions that pass over missing values
without a word (greatest, concat, those of lists) are refused, and so is the order of texts, where '9' is more than '10'. Rules are
evaluated in a database of their own that holds nothing but the columns they name and can reach no file and no network.
"""

import functools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench.cohorts.schema import Outcome
from bench.cohorts.typed import NUMBERS, TEXTS
from bench.core import BenchError
from bench.registry import unknown

# Parts of an expression that look at one row. All others (subqueries, windows, stars, parameters, lambdas) are refused.
ONE_ROW = (
    "CONSTANT", "COMPARISON", "CONJUNCTION", "COLUMN_REF", "FUNCTION", "OPERATOR", "CAST", "TYPE", "CASE", "BETWEEN", "COLLATE",
)  # fmt: skip
CODES = 6  # so many numbers of a column are shown
# What says in a table of texts that something is not known; "none" and "no" are answers.
NO_ANSWER = re.compile(
    r"(?i)\W*(|unknown|unk|unclear|uncertain|undetermined|missing|n\W?a|n\W?[bd]|k\W?\s?a|not (known|recorded|documented|available|done|assessed)"
    r"|unbekannt|unklar|fehlt|fehlend|keine angaben?|nicht (bekannt|erfasst|dokumentiert|erhoben|beurteilbar)"
    r"|inconnue?|non (renseignée?|connue?)|desconocid[oa]|sconosciut[oa]|onbekend|okän[dt]|ukjent|ukendt|不明|不详|未知)\W*"
)
ORDER = (
    "COMPARE_LESSTHAN",
    "COMPARE_GREATERTHAN",
    "COMPARE_LESSTHANOREQUALTO",
    "COMPARE_GREATERTHANOREQUALTO",
    "COMPARE_BETWEEN",
)
OF_TIMES = ("date_diff", "datediff", "date_sub", "datesub", "age", "-")
PASS_OVER = ("greatest", "least", "concat", "concat_ws")  # and those of lists: what is missing is left out
ALONE: dict[str, str | bool | int | float | list[str]] = {
    "threads": "2",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


def evaluate(rule: str, frame: pd.DataFrame, what: str) -> NDArray[np.float64]:
    """(n,) 0, 1 or NaN: true, false or unknown in each row. `what` stands in messages, as in "outcome 'aki'"."""
    values, type_ = _values(rule, frame, what)
    if type_ != "BOOLEAN" and not _numeric(type_):
        raise BenchError(f"{what}: '{rule}' must be true or false, but gives texts{_first(values)}. Compare it: {rule} = '...'")
    out = values.to_numpy(np.float64, copy=True)
    wrong = int((~np.isnan(out) & (out != 0) & (out != 1)).sum())
    if wrong:
        raise BenchError(
            f"{what}: '{rule}' must be true or false, or 0 or 1, but {wrong:,} rows give other numbers{_codes(rule, out)}"
        )
    return out


def _codes(rule: str, values: NDArray[np.float64]) -> str:
    """The numbers there are, where they are few, and what may be meant by them."""
    distinct = np.unique(values[~np.isnan(values)])
    found = [f"{value:.15g}" for value in distinct]
    if len(found) > CODES:
        return f" ({', '.join(found[:3])} ...). Compare it, as in: {rule} > {found[len(found) // 2]}"
    there = f". There are {', '.join(found)}: say which is the event, as in {rule}"
    if np.array_equal(distinct, np.arange(len(distinct))):
        return f"{there} >= 1"
    if {"0", "1"} <= set(found):
        odd = next(one for one in found if one not in ("0", "1"))
        return f'{there} = 1; where {odd} means unknown, {{ rule = "{rule} = 1", known = "{rule} <> {odd}" }}'
    return f"{there} = {found[-1]}"


def amounts(rule: str, frame: pd.DataFrame, what: str) -> NDArray[np.float64]:
    """(n,) the number that the expression gives in each row, NaN where unknown."""
    values, type_ = _values(rule, frame, what)
    if not _numeric(type_):
        raise BenchError(
            f"{what}: '{rule}' must be a number, but is {type_}{_first(values)}. Of two times: date_diff('day', a, b)"
        )
    return values.to_numpy(np.float64, copy=True)


def columns_used(outcome: Outcome, name: str, columns: Sequence[str]) -> set[str]:
    """The columns that an outcome's rules name, those of its variants among them."""
    texts = [outcome.rule, outcome.known, outcome.event, outcome.time, outcome.followed, outcome.death]
    found = {column for text in texts if text is not None for column in used(text, columns, f"outcome '{name}'")}
    for variant, other in outcome.variants.items():
        found |= columns_used(other, f"{name}~{variant}", columns)
    return found


def used(rule: str, columns: Sequence[str], what: str) -> list[str]:
    """The columns a rule names, in the order of the table. A rule that is exactly a column's name is that column."""
    if rule in columns:
        return [rule]
    nodes = [node for node in _nodes(_parsed(rule, columns, what)) if node["class"] == "COLUMN_REF"]
    named = {_column(node["column_names"], columns, rule, what) for node in nodes}
    folded = [name.casefold() for name in named]
    if len(set(folded)) < len(folded):  # to DuckDB they would be one
        raise BenchError(
            f"{what}: '{rule}' uses columns whose names differ by case only: {', '.join(sorted(named))}. Rename one."
        )
    return [column for column in columns if column in named]


def spellings(rule: str, frame: pd.DataFrame, what: str) -> list[str]:
    """A notice where a text the rule compares a column with stands there in other letter case too, or with blanks around: not the same."""
    columns = list(frame.columns)
    if rule in columns:
        return []
    found: list[str] = []
    for node in _nodes(_parsed(rule, columns, what)):
        if node["class"] != "COMPARISON" and node["type"] not in ("COMPARE_IN", "COMPARE_NOT_IN"):
            continue
        sides = [one for key in ("left", "right", "children") for one in _next(node.get(key))]
        meant = [one["literal"]["text"] for one in sides if one["class"] == "CONSTANT" and one["literal"]["kind"] == "STRING"]
        named = [_column(one["column_names"], columns, rule, what) for one in sides if one["class"] == "COLUMN_REF"]
        for name in (name for name in named if frame[name].dtype == TEXTS):
            there = frame[name].dropna().value_counts()
            alike = {one.strip().casefold() for one in meant}
            others = [f"'{one}' ({n:,})" for one, n in there.items() if str(one).strip().casefold() in alike and one not in meant]
            if others:
                found.append(
                    f"{what}: '{rule}' takes {', '.join(others)} of column '{name}' for something else. If they are the same, write "
                    f"lower(trim({name if name.isidentifier() else quoted(name)})) and small letters."
                )
    return list(dict.fromkeys(found))


def unanswered(rule: str, frame: pd.DataFrame, labels: NDArray[np.float64], what: str) -> list[str]:
    """A notice where a column of texts says that something is not known, and the label is 0 or 1 all the same. labels: (n,)."""
    found: list[str] = []
    for name in (name for name in used(rule, list(frame.columns), what) if frame[name].dtype == TEXTS):
        known = frame[name][~np.isnan(labels)]
        seen = [(one, labels[known.index[known == one]]) for one in map(str, known.dropna().unique()) if NO_ANSWER.fullmatch(one)]
        if seen:
            counts = ", ".join(f"'{one}' ({len(y):,} rows, {int(y.sum()):,} events)" for one, y in seen)
            found.append(
                f"{what} counts as known where '{name}' says {counts}. If that means not known, list it as `missing` under its table, or "
                "leave such rows out by `known`."
            )
    return found


def _values(rule: str, frame: pd.DataFrame, what: str) -> tuple["pd.Series[Any]", str]:
    """What the expression gives in each row, in their order, and DuckDB's type of it."""
    names = used(rule, list(frame.columns), what)
    if rule in names and frame[rule].dtype == np.float64:  # the commonest rule needs no database
        return frame[rule], "DOUBLE"
    if rule not in names:
        _no_order_of_texts(_parsed(rule, list(frame.columns), what), frame, rule, what)
    sql = f"SELECT (\n{quoted(rule) if rule in names else rule}\n) AS value FROM t"
    with duckdb.connect(config=ALONE) as con:
        try:
            con.register("given", pa.Table.from_pandas(frame[names], preserve_index=False))  # NaN becomes NULL
            con.execute("CREATE TABLE t AS FROM given")
            con.unregister("given")
            con.execute("SET TimeZone = 'UTC'; SET enable_external_access = false; SET lock_configuration = true")
            type_ = str(con.execute(f"DESCRIBE {sql}").fetchall()[0][1])
            return con.execute(sql).df()["value"], type_
        except duckdb.Error as error:
            raise BenchError(f"{what}: '{rule}' cannot be evaluated: {_line(error)}") from None


def quoted(name: str) -> str:
    """A column's name as SQL writes it whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _parsed(rule: str, columns: Sequence[str], what: str) -> Any:
    """The syntax tree of the expression, as DuckDB parses it. BenchError where it is none, or is about more than one row."""
    try:
        answer = _database().execute("SELECT json_serialize_sql(?)", [f"SELECT (\n{rule}\n) FROM t"]).fetchall()
        tree = json.loads(answer[0][0])
    except (duckdb.Error, RecursionError, ValueError) as error:
        raise BenchError(f"{what}: '{rule}' is no expression: {_line(error)}") from None
    if tree.get("error"):
        odd = [name for name in columns if name in rule and not name.isidentifier()]
        hint = f" A column with such a name stands in double quotes: {quoted(odd[0])}." if odd else ""
        raise BenchError(f"{what}: '{rule}' is no expression: {tree.get('error_message', '')}.{hint}")
    tree = [statement["node"]["select_list"] for statement in tree["statements"]]
    for node in _nodes(tree):
        _refuse(node, rule, what)
    for node in _nodes(tree):
        _passes_over(node, rule, what)
    if not any(node["class"] == "COLUMN_REF" for node in _nodes(tree)):
        raise BenchError(f"{what}: '{rule}' names no column. There are: {', '.join(columns)}.")
    return tree


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every part of an expression."""
    rest = [tree]
    while rest:
        node = rest.pop()
        if isinstance(node, dict):
            rest += node.values()
            if "class" in node:
                yield node
        elif isinstance(node, list):
            rest += node


def _refuse(node: dict[str, Any], rule: str, what: str) -> None:
    kind = node["class"]
    function = str(node.get("function_name", ""))
    if function == "row":
        raise BenchError(f"{what}: '{rule}' holds a comma outside of a function. A decimal number has a point here, as in 7.5.")
    if kind not in ONE_ROW or (kind == "FUNCTION" and function in _of_many_rows()):
        seen = f"{function}()" if function else "a " + kind.lower().replace("_", " ")
        raise BenchError(f"{what}: a rule is an expression about one row, but '{rule}' holds {seen}")
    if kind == "FUNCTION" and function in _changing():
        raise BenchError(f"{what}: a rule gives the same labels every time, but '{rule}' holds {function}()")


def _passes_over(node: dict[str, Any], rule: str, what: str) -> None:
    function = str(node.get("function_name", ""))
    if function in PASS_OVER or (function.startswith(("list_", "array_")) and function not in ("list_value", "array_value")):
        raise BenchError(
            f"{what}: {function}() passes over missing values, so that '{rule}' would be false where it is unknown. Write it by "
            "comparisons with AND and OR, as in a > 1 OR b > 1."
        )


def _no_order_of_texts(tree: Any, frame: pd.DataFrame, rule: str, what: str) -> None:
    """BenchError where texts are put in order, or taken for times."""
    for node in _nodes(tree):
        if node["type"] not in ORDER and node.get("function_name") not in OF_TIMES:
            continue
        found = next((name for name in _texts(node, frame) if name), None)
        if found is not None:
            values = frame[found].dropna()
            seen = f" (such as '{str(values.iloc[0])[:40]}')" if len(values) else ""
            raise BenchError(
                f"{what}: '{rule}' asks which is more, or how long it is, of column '{found}', but that holds texts{seen}. Texts can be "
                "equal or not; the notices of `bench data check` say why it is no number and no date."
            )


def _texts(node: dict[str, Any], frame: pd.DataFrame) -> Iterator[str]:
    """Columns of texts whose value reaches this part of an expression: not through a CAST, nor a function that gives another type."""
    children = [value for key, value in node.items() if key not in ("case_checks", "else_expr")]
    if node["class"] == "CASE":
        children = [node["else_expr"], *(check["then_expr"] for check in node["case_checks"])]
    for child in _next(children):
        if child["class"] == "COLUMN_REF":
            name = ".".join(child["column_names"])
            yield from (one for one in map(str, frame) if one.casefold() == name.casefold() and frame[one].dtype == TEXTS)
        elif child["class"] == "CASE" or child["type"] == "OPERATOR_COALESCE" or child.get("function_name") in _giving_texts():
            yield from _texts(child, frame)


def _next(tree: Any) -> Iterator[dict[str, Any]]:
    """The parts of an expression right below."""
    if isinstance(tree, dict) and "class" in tree:
        yield tree
    elif isinstance(tree, dict | list):
        for one in tree.values() if isinstance(tree, dict) else tree:
            yield from _next(one)


def _column(path: Sequence[str], columns: Sequence[str], rule: str, what: str) -> str:
    """The column a reference means: names are compared as written, then whatever their case."""
    name = ".".join(path)
    if len(path) > 1 and name in columns:
        raise BenchError(f"{what}: a column with a point in its name stands in double quotes: {quoted(name)}, but got '{rule}'")
    folded = [column for column in columns if column.casefold() == name.casefold()]
    if name in columns or len(folded) == 1:
        return name if name in columns else folded[0]
    if len(folded) > 1:
        raise BenchError(
            f"{what}: '{name}' in '{rule}' may be any of the columns {', '.join(folded)}. Write it as it stands there."
        )
    text = " Texts stand in single quotes, names in double ones." if f'"{name}"' in rule else ""
    raise BenchError(f"{what}: {unknown('column', name, list(columns))}{text}")


@functools.cache
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config=ALONE)


@functools.cache
def _of_many_rows() -> frozenset[str]:
    return _functions("function_type NOT IN ('scalar', 'macro')") - _functions("function_type = 'scalar'")


@functools.cache
def _changing() -> frozenset[str]:
    return _functions("stability <> 'CONSISTENT'")


@functools.cache
def _giving_texts() -> frozenset[str]:
    return _functions("return_type = 'VARCHAR'") | {"||", "if", "ifnull", "nullif"}


def _functions(where: str) -> frozenset[str]:
    return frozenset(
        str(row[0]) for row in _database().execute(f"SELECT function_name FROM duckdb_functions() WHERE {where}").fetchall()
    )


def _numeric(type_: str) -> bool:
    return type_.split("(")[0] in NUMBERS


def _first(values: "pd.Series[Any]") -> str:
    """The first value that is not what is asked for anyway."""
    known = values.dropna().astype(str)
    odd = known[~known.isin(["0", "1"])]
    return f" (first: '{odd.iloc[0][:40]}')" if len(odd) else ""


def _line(error: BaseException) -> str:
    """The first line of what DuckDB says, without its kind."""
    text = re.sub(r"^[\w ]*Error: ", "", str(error)) or type(error).__name__
    return text.splitlines()[0].strip()
