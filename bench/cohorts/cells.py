"""Cells of text as SQL: a number, a date or a text, NULL for whatever is none of that kind, or "not measured".

DuckDB by itself takes 05/03/19 for a day of the year 5 and 01.02.19 for one of the year 19: a year has four digits here, and a
pattern comes first.
"""

import math
import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

from bench.cohorts.delimited import literal

BLANKS = " \t\r\n\u00a0\ufeff"  # around a text or an id they mean nothing
LONGEST = 40  # characters of a number or a date
Way: TypeAlias = Literal["iso", "dotted", "day first", "month first", "named"]
Kind: TypeAlias = Literal["number", "comma", "grouped", "points", "truth", "text"] | Way  # grouped: 1,234.5; points: 1.234,5
CLOCK = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f")
NUMBERS = r"^\s*\d{1,2}[./-]\d{1,2}[./-]\d{4}\b"
PATTERNS: dict[Way, str] = {
    "iso": r"^\s*\d{4}[-/]\d",
    "dotted": NUMBERS,
    "day first": NUMBERS,
    "month first": NUMBERS,
    "named": r"^\s*(\d{1,2}[ -]?[A-Za-z]{3}|[A-Za-z]{3} \d{1,2},?)[ -]?\d{4}\b",
}
DAYS: dict[Way, tuple[str, ...]] = {
    "dotted": ("%d.%m.%Y",),
    "day first": ("%d/%m/%Y", "%d-%m-%Y"),
    "month first": ("%m/%d/%Y", "%m-%d-%Y"),
    "named": ("%d-%b-%Y", "%d %b %Y", "%d%b%Y", "%b %d %Y", "%b %d, %Y"),  # English months
}
THOUSANDS = r"[+-]?\d{1,3}(\.\d{3})+(,\d*)?"
MONTHS = "jan|feb|mar|mär|mrz|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez"
SHORT = rf"(?i)(\d{{1,2}}[./-]\d{{1,2}}[./-]\d{{2}}|\d{{1,2}}[ .-]?({MONTHS})[ .-]?\d{{2}})([ T]\d{{1,2}}:.*)?"


def text(column: str, missing: Sequence[str]) -> str:
    """The cell as text without blanks around it, NULL where it says "not measured".

    A pattern, since DuckDB makes a join of every IN with more than a few texts.
    """
    return f"CASE WHEN NOT {absent(column, missing)} THEN {trimmed(column)} END"


def trimmed(column: str) -> str:
    return f"trim({column}, {literal(BLANKS)})"


def absent(column: str, missing: Sequence[str]) -> str:
    pattern = "|".join(re.escape(one) for one in sorted({"", *missing}))
    return f"regexp_full_match({trimmed(column)}, {literal(pattern)})"


def number(column: str, kind: Kind, missing: Sequence[str] = ()) -> str:
    """A finite number, NULL for any other text. DuckDB also takes 1_000 for a number; nobody writes that in a table.

    Never a plain TRY_CAST of a column of a CSV file: DuckDB 2.0 moves that into its CSV reader, where it becomes a CAST that fails.
    """
    trim = f"trim({column})"
    plain = {
        "comma": f"replace({trim}, ',', '.')",
        "grouped": f"replace({trim}, ',', '')",
        "points": f"replace(replace({trim}, '.', ''), ',', '.')",
    }.get(kind, trim)
    cast = f"TRY_CAST({plain} AS DOUBLE)"
    rules = [f"isfinite({cast})", f"NOT contains({column}, '_')"]
    rules += [f"NOT contains({column}, '.')"] if kind == "comma" else []  # 1.234 may be a thousand there
    if kind == "points":
        rules.append(f"(NOT contains({column}, '.') OR regexp_full_match({trim}, {literal(THOUSANDS)}))")
    if any(as_float(one) is not None for one in missing):  # as -9; other texts are no numbers anyway
        rules.append(f"NOT {absent(column, missing)}")
    return f"CASE WHEN {' AND '.join(rules)} THEN {cast} END"


def as_float(one: str) -> float | None:
    """A finite number, or None."""
    try:
        value = float(one)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def moment(column: str, way: Way) -> str:
    """A TIMESTAMP; `iso` with an offset is taken to UTC."""
    fits = f"{_like_a_date(column, way != 'named')} AND regexp_matches({column}, {literal(PATTERNS[way])})"
    if way == "iso":
        return f"CASE WHEN {fits} THEN CAST(TRY_CAST(trim({column}) AS TIMESTAMPTZ) AS TIMESTAMP) END"
    formats = ", ".join(literal(day + clock) for day in DAYS[way] for clock in CLOCK)
    return f"CASE WHEN {fits} THEN try_strptime(trim({column}), [{formats}]) END"


def short_year(column: str) -> str:
    """1 where a date has two digits for the year, whichever of the three numbers that is."""
    return f"CASE WHEN {_like_a_date(column, True)} AND regexp_full_match(trim({column}), {literal(SHORT)}) THEN 1 END"


def _like_a_date(column: str, digit: bool) -> str:
    """Spares most texts the patterns. digit: it begins with one."""
    return f"strlen({column}) BETWEEN 6 AND {LONGEST}" + (f" AND trim({column}) BETWEEN '0' AND ':'" if digit else "")


def readings(v: str) -> dict[str, str]:
    """Kinds a text may be of other than a plain number -> SQL that is NULL where it is not. grouped: 1,234,567."""
    short = f"strlen({v}) < {LONGEST}"
    digits = f"{short} AND {v} < ':'"  # as signs, points and digits are: spares most texts the rest
    grouped = f"CASE WHEN regexp_full_match({v}, '[+-]?\\d{{1,3}}(,\\d{{3}})+(\\.\\d*)?') THEN 1 ELSE {number(v, 'number')} END"
    found = {
        "comma": f"CASE WHEN {digits} THEN {number(v, 'comma')} END",
        "grouped": f"CASE WHEN {digits} THEN {grouped} END",
        "points": f"CASE WHEN {digits} THEN {number(v, 'points')} END",
        "truth": f"CASE WHEN {short} AND lower({v}) IN ('true', 'false') THEN 1 END",
        "short year": short_year(v),
    }
    return found | {way: moment(v, way) for way in PATTERNS}
