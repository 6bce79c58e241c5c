"""A first cohort file from the tables alone: every guess is said in a comment, for the user to correct.

Names are looked at in English and German habits, values decide. Nothing is guessed where two readings are equally likely: the file
then says in one line what to fill in. Columns that raise a leakage alarm against the guessed outcomes go to columns.ignore, with
the reason.
"""

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import Any

import pandas as pd

from bench import toml
from bench.cohorts import build, leaks, reading, rules, schema, tables, typed
from bench.cohorts.alarm import DUPLICATES, Alarm
from bench.core import BenchError

PERSON = r"(?:^|_|\b)(?:patient|subject|person|participant|pat|pid|mrn|usubjid|ptid|fallnr|patnr)"
RECORD = r"^(?:id|sno|nr|case|row|record|stay|encounter|admission|hadm|visit|icustay)(?:_?(?:id|no|nr))?$|id$"
OUTCOME = (
    r"death|dead|died|mort|expire|tod$|verstorben|surviv|outcome|icu|intensiv|readmi|complic|komplik|\baki|_aki|kidney_inj|renal_fail|sepsis|"
    r"infect|stroke|bleed|transfus|ventil|relaps|recur|progress|adverse|label|target|^y_?\d*$|event|(?:^|_)its(?:_|$)|reop"
)
BEFORE = r"^(?:pre|baseline|hx|history|prior|previous|past|vor)|history|_hx|_pre$"
IDENT = r"(?:^|_)(?:id|no|nr|num|number)$|id$"
STAY = r"los|stay|icu_?days|length_of|liegedauer|verweildauer|aufenthalt|days_in|_days$"
SITE = r"^(?:site|cent(?:er|re)|hospital|klinik|clinic|institution|facility|hospital_?id|site_?id)$"
WHEN = r"date|datum|time|admi|aufnahme|index|year|jahr"
GROUPS = r"^(?:sex|gender|geschlecht|race|ethnicity)$"
LONG = {
    "time": r"time|date|day|hour|min|zeit|stund|datum|(?:^|_)tag|charttime|offset",
    "name": r"name|item|test|param|label|variable|code|channel",
    "value": r"value|result|wert|num",
}
YES_NO = (
    ("yes", "no"), ("y", "n"), ("true", "false"), ("ja", "nein"), ("j", "n"), ("wahr", "falsch"), ("dead", "alive"), ("died", "survived"),
    ("died", "alive"), ("deceased", "alive"), ("verstorben", "lebend"), ("verstorben", "lebt"), ("tot", "lebend"), ("tot", "lebt"),
)  # fmt: skip
FILL = "FILL IN"
WIDTH = 118


@dataclass
class Guess:
    """What is known so far: keys of the cohort file, and a comment for each. open: what only the user can say."""

    keys: dict[str, Any] = field(default_factory=dict[str, Any])
    why: dict[str, str] = field(default_factory=dict[str, str])
    outcomes: dict[str, str] = field(default_factory=dict[str, str])
    series: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    joins: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    open: list[str] = field(default_factory=list[str])
    remarks: list[str] = field(default_factory=list[str])

    def say(self, name: str, value: Any, why: str) -> None:
        self.keys[name], self.why[name] = value, why


def write(files: Sequence[Path], out: Path, force: bool = False) -> list[str]:
    """Write the cohort file `out`; what only the user can fill in. A file that is there stays, unless forced."""
    if out.exists() and not force:
        raise BenchError(f"{out} is there already. Give another name by --out, or --force to write over it.")
    if not out.resolve().parent.is_dir():
        raise BenchError(f"no such folder: {out.resolve().parent}")
    text = first(files, out)
    try:
        out.write_text(text, "utf-8")
    except OSError as error:
        raise BenchError(f"cannot write {out}: {error.strerror or error}") from None
    return [line.partition(f"{FILL}: ")[2] for line in text.splitlines() if line.startswith(f"# {FILL}: ")]


def first(files: Sequence[Path], out: Path) -> str:
    """The text of a cohort file `out` for the tables `files`, the first of which has a row a prediction."""
    guess = Guess()
    frame, decimal = _read(guess, files[0])
    seen = _seen(files[0], out)
    guess.say("table", {"file": seen, **decimal} if decimal else seen, f"{len(frame):,} rows, {frame.shape[1]:,} columns")
    _roles(guess, frame)
    _outcomes(guess, frame)
    for path in files[1:]:
        _further(guess, frame, path, out)
    if guess.open:
        return _text(guess, out, [], {})
    found, taken = _tried(_text(guess, out, [], {}), out, guess)
    return _text(guess, out, found, taken)


def _read(guess: Guess, path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """The table, and the decimal mark that only the user can say: the comma, for a start."""
    with tempfile.TemporaryDirectory(prefix="bench-") as work, tables.connect() as con:
        raw = tables.open(con, schema.Table(file=path.name), path.parent, Path(work))
        try:
            return typed.read(con, raw, schema.Table(file=path.name), (), ())[0], {}
        except typed.DecimalMark as error:
            guess.remarks.append(f"{error} Taken here: ','.")
            return typed.read(con, raw, schema.Table(file=path.name, decimal=","), (), ())[0], {"decimal": ","}


def _seen(path: Path, out: Path) -> str:
    """The path as the cohort file sees it."""
    try:
        return Path(os.path.relpath(path.resolve(), out.resolve().parent)).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()


def _roles(guess: Guess, frame: pd.DataFrame) -> None:
    names = [str(name) for name in frame.columns]
    whole = [name for name in names if frame[name].notna().all()]
    distinct = {name: frame[name].nunique() for name in whole if _match(PERSON, name) or _match(RECORD, name)}
    persons = [name for name in distinct if _match(PERSON, name) and distinct[name] > 1]
    records = [name for name in distinct if distinct[name] == len(frame)]
    patient = persons[0] if persons else records[0] if records else ""
    if patient:
        guess.say("patient", patient, f"by its name; {distinct[patient]:,} patients in {len(frame):,} rows")
    else:
        guess.open.append('patient = "..."  the column that says whose row it is; none looks like it')
    named = next((name for name in records if name != patient), "")
    if named and patient and distinct[patient] < len(frame):
        guess.say("row", named, "a name for each row")
    sites = [name for name in names if _match(SITE, name) and 2 <= frame[name].nunique() <= 200]
    if sites:
        guess.say("site", sites[0], f"{frame[sites[0]].nunique()} sites: for --split site")
    dates = [name for name in names if frame[name].dtype.kind == "M" and _match(WHEN, name)]
    if dates:
        guess.say("time", dates[0], f"{frame[dates[0]].min():%Y-%m-%d} to {frame[dates[0]].max():%Y-%m-%d}: for --split time")
    levels = [name for name in names if _match(GROUPS, name) and 2 <= frame[name].nunique() <= 12]
    if levels:
        guess.say("subgroups", levels, "reported apart")


def _outcomes(guess: Guess, frame: pd.DataFrame) -> None:
    names = [str(name) for name in frame.columns if str(name) not in _used(guess)]
    proposals: list[str] = []
    for name in names:
        rule = _event(name, frame[name])
        if rule and _match(OUTCOME, name) and not _match(BEFORE, name):
            _outcome(guess, name, rule, frame)
        elif (
            not rule and _match(STAY, name) and not _match(f"{BEFORE}|{IDENT}|{RECORD}|{PERSON}", name) and _is_stay(frame[name])
        ):
            icu = _match("icu|intensiv", name)
            _outcome(guess, f"{name}_1" if icu else f"{name}_over_7", f"{_sql(name)} {'>= 1' if icu else '> 7'}", frame)
        elif rule:
            proposals.append(name)
    if not guess.outcomes:
        near = f": columns of 0 and 1 are {', '.join(proposals[:8])}" if proposals else ""
        guess.open.append(
            f'[outcomes], name = "a column of 0 and 1, or a rule such as los_days > 7"; no column looks like one{near}'
        )
    elif proposals:
        guess.remarks.append(f"columns of yes and no that are taken as features, and may be outcomes: {', '.join(proposals[:8])}")


def _outcome(guess: Guess, name: str, rule: str, frame: pd.DataFrame) -> None:
    """Taken where the rule gives both classes."""
    labels = rules.evaluate(rule, frame, name)
    events, known = int((labels == 1).sum()), int((labels >= 0).sum())
    if 0 < events < known:
        own = name if name != "mean" else "mean_"
        guess.outcomes[own] = rule
        guess.why[f"outcomes.{own}"] = f"{events:,} of {known:,} ({events / known:.1%})" + (
            f", {len(frame) - known:,} unknown" if known < len(frame) else ""
        )


def _event(name: str, column: "pd.Series[Any]") -> str:
    """The rule of a column of two values that mean yes and no, or ""."""
    known = column.dropna().unique()
    if len(known) == 1 and column.isna().any() and str(known[0]).strip().casefold() == "x":  # a cross, else left blank
        return f"{_sql(name)} IS NOT NULL"
    if len(known) != 2 or column.dtype.kind == "M":
        return ""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return name if set(known) == {0, 1} else ""
    folded = {str(value).strip().casefold(): str(value) for value in known}
    for yes, no in YES_NO:
        if set(folded) == {yes, no}:
            return f"{_sql(name)} = '{folded[yes]}'"
    return ""


def _is_stay(column: "pd.Series[Any]") -> bool:
    numeric = pd.api.types.is_numeric_dtype(column.dtype)
    return bool(numeric and 2 < column.nunique() < max(column.count(), 3) and column.min() >= 0 and column.median() < 400)


def _further(guess: Guess, frame: pd.DataFrame, path: Path, out: Path) -> None:
    """A further table: long and narrow is a series, one row a key is a join, anything else the user must say."""
    other, decimal = _read(guess, path)
    keys = [name for name in (guess.keys.get("row"), guess.keys.get("patient"), *frame.columns) if name in other.columns]
    name = re.sub(r"\W+", "_", path.name.split(".")[0]).strip("_") or "series"
    if not keys:
        guess.remarks.append(f"{path.name} shares no column with the first table: not used")
        return
    key = str(keys[0])
    if "row" not in guess.keys and key != guess.keys.get("patient") and frame[key].notna().all() and frame[key].is_unique:
        guess.say("row", key, f"a name for each row, by which {path.name} knows it")
    if other[key].notna().all() and not other[key].duplicated().any():
        guess.joins.append({"file": _seen(path, out), **decimal, "key": key})
        return
    found = _long(other, key)
    if len(found) < 3 or key not in (guess.keys.get("row"), guess.keys.get("patient")):
        lacks = ", ".join(k for k in LONG if k not in found) or "a key that is the patient or the row"
        guess.remarks.append(
            f"{path.name} has several rows a '{key}', but lacks {lacks}: not used. [series.{name}] can name them"
        )
        return
    own: dict[str, Any] = {"file": _seen(path, out), **decimal, "row": key, **found}
    guess.series[name] = own
    moment = other[found["time"]]
    if moment.dtype.kind == "M":
        if "time" in guess.keys:
            own["zero"] = guess.keys["time"]
            guess.why[f"series.{name}"] = f"zero, the moment of prediction, is guessed to be '{own['zero']}'"
        else:
            guess.open.append(f'[series.{name}] zero = "..."  the column with the moment of prediction')
    else:
        own["unit"] = "d" if _match("day|tag", found["time"]) else "h" if _match("hour|stunde|hr", found["time"]) else "min"
        after = float((moment > 0).mean())
        guess.why[f"series.{name}"] = "time counts from the prediction, negative before it; unit: s, min, h or d" + (
            f". But {after:.0%} of the times are above 0: name the moment of prediction by zero" if after > 0.05 else ""
        )


def _long(other: pd.DataFrame, key: str) -> dict[str, str]:
    """The columns of a long table that say when, what and how much."""
    rest = [str(name) for name in other.columns if name != key]
    kinds = {
        "time": [n for n in rest if other[n].dtype.kind == "M" or (pd.api.types.is_numeric_dtype(other[n].dtype) and _match(LONG["time"], n))],
        "name": [n for n in rest if not pd.api.types.is_numeric_dtype(other[n].dtype) and other[n].dtype.kind != "M" and 1 <= other[n].nunique() <= 2000],
        "value": [n for n in rest if pd.api.types.is_numeric_dtype(other[n].dtype)],
    }  # fmt: skip
    found: dict[str, str] = {}
    for what, names in kinds.items():
        free = [n for n in names if n not in found.values()]
        best = next((n for n in free if _match(LONG[what], n)), free[0] if free else "")
        if best:
            found[what] = best
    return found


def _tried(text: str, out: Path, guess: Guess) -> tuple[list[Alarm], Mapping[str, Any]]:
    """The alarms of the guessed cohort, and as what its columns are taken; what is wrong with it is left to the user, in words."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", suffix=".toml", dir=out.resolve().parent, prefix=".guess-"
        ) as file:
            file.write(text)
            file.flush()
            made = build.make(reading.read(Path(file.name)))
            build.cohort(made)
            return leaks.alarms(made), made.source.columns
    except BenchError as error:
        guess.open.append(str(error))
    except OSError as error:
        raise BenchError(f"cannot write to {out.parent}: {error.strerror or error}") from None
    return [], {}


def _text(guess: Guess, out: Path, found: Sequence[Alarm], taken: Mapping[str, Any]) -> str:
    lines = [f"# A first guess. Read it, correct it, then: bench data check {toml.one_line(out.name)}"]
    lines += [f"# {FILL}: {toml.one_line(text)}" for text in guess.open]
    lines += [f"# {toml.one_line(text)}" for text in guess.remarks]
    lines += [_line(name, value, guess.why.get(name, "")) for name, value in guess.keys.items()]
    for joined in guess.joins:
        lines += [
            "",
            "[[join]]  # one row a key: its columns stand beside the table's",
            *(_line(k, v) for k, v in joined.items()),
        ]
    if guess.outcomes:
        lines += ["", "[outcomes]  # a column of 0 and 1, or a rule; events of known"]
        lines += [_line(name, rule, guess.why[f"outcomes.{name}"]) for name, rule in guess.outcomes.items()]
    lines += _columns(found, taken)
    for name, own in guess.series.items():
        lines += [
            "",
            f"[series.{toml.key(name)}]" + _comment(guess.why.get(f"series.{name}", "")),
            *(_line(k, v) for k, v in own.items()),
        ]
    return "\n".join(lines) + "\n"


def _columns(found: Sequence[Alarm], taken: Mapping[str, Any]) -> list[str]:
    """The [columns] part: what the alarms speak against, and as what the rest is taken."""
    against = {alarm.column: alarm for alarm in found if alarm.column in taken}
    lines = ["", "[columns]  # what is named nowhere is taken as it looks:"]
    kinds: dict[str, list[str]] = {"numeric": [], "categorical": [], "text": [], "ignored": []}
    for name, column in taken.items():
        if name not in against and column.kind in kinds:
            kinds[column.kind].append(f"{name} ({column.why})" if column.kind == "ignored" else name)
    for kind, names in kinds.items():
        lines += [f"# {part}" for part in wrap(toml.one_line(f"{kind}: {', '.join(names)}"), WIDTH)] if names else []
    if against:
        lines.append("ignore = [")
        lines += [f"  {toml.string(name)},{_comment(_short(alarm))}" for name, alarm in against.items()]
        lines.append("]")
    rest = [alarm for alarm in found if alarm.column not in against]
    return lines + [f"# alarm: {toml.one_line(alarm.text)}" for alarm in rest if alarm.column != DUPLICATES or alarm.text]


def _short(alarm: Alarm) -> str:
    """The reason without what to do about it, which is done."""
    return alarm.text.partition(". Put it into")[0]


def _line(name: str, value: Any, why: str = "") -> str:
    return f"{toml.key(name)} = {toml.value(value)}{_comment(why)}"


def _comment(text: str) -> str:
    return f"  # {toml.one_line(text)}" if text else ""


def _match(pattern: str, name: str) -> bool:
    return re.search(pattern, name.casefold()) is not None


def _used(guess: Guess) -> set[str]:
    return {str(guess.keys[k]) for k in ("patient", "row", "site", "time") if k in guess.keys} | set(
        guess.keys.get("subgroups", ())
    )


def _sql(name: str) -> str:
    """A column in a rule: plain where that is surely a name."""
    return name if re.fullmatch(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+|los", name) else rules.quoted(name)
