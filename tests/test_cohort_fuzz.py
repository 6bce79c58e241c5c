"""Mangled cohort files: one line that says what is wrong, or numbers that a plain reading of the same text gives too."""

import csv
import io
import random
import re
from pathlib import Path

import numpy as np
import pytest
from cohort_files import DEAD, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.cohorts import build, reading
from bench.core import BenchError, Cohort

MISSING = {"", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "?", ".", "#N/A"}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1", "utf-16-le", "utf-16-be")
ODD = (
    "NA", "", "-", "1e400", "9" * 40, "99999999999999999999", "-1e-300", "1,5", "1.234,5", "2020-02-30", "31.12.2020", "03/04/2020",
    "12:30", "true", "TRUE", "'", "a,b", "a;b", "ünïcode", "日本語", "=1+1", "0x1F", "007", "1_000", "inf", "nan", "#REF!", "🙂", "\ufeff",
    "\x1a", "x" * 5_000, "line\nend", "\r", "a\tb", " 7 ", "null", "\u22125", "1 000", "½", '""', "\\N", "--", "5%", "<0.1", "1e5",
)  # fmt: skip
HEADER = ["id", "dead", "age", "count", "sex", "day", "note"]


def clean(rng: random.Random) -> list[list[str]]:
    days = [f"2020-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}" for _ in range(40)]
    return [
        [*HEADER],
        *(
            [
                f"p{i:03}",
                str(i % 2),
                f"{rng.gauss(60, 9):.2f}",
                str(rng.randint(0, 90)),
                rng.choice("mf"),
                days[i],
                f"note, the {i}th",
            ]
            for i in range(40)
        ),
    ]


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, str, str]:
    """Bytes of a table, its encoding and its separator: cells, lines or bytes of a good one are changed."""
    rng = random.Random(draw(st.binary(min_size=8, max_size=8)))
    cells = clean(rng)
    for _ in range(draw(st.sampled_from([0, 1, 3, 12]))):
        cells[rng.randint(1, 40)][rng.randint(0, 6)] = rng.choice(ODD)
    if draw(st.sampled_from([False] * 7 + [True])):
        cells[0][rng.randint(0, 6)] = rng.choice(ODD)
    for i in rng.sample(range(1, 41), draw(st.sampled_from([0] * 7 + [2]))):
        cells[i] = draw(st.sampled_from([cells[i][:3], [*cells[i], "more"], [], cells[0], cells[1]]))
    separator, end = draw(st.sampled_from(",,;\t|")), draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    out = io.StringIO()
    csv.writer(
        out, delimiter=separator, lineterminator=end, quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    ).writerows(cells)
    text = out.getvalue()
    if draw(st.booleans()) and draw(st.booleans()):
        text = text.replace(end, "\r\n" if end == "\n" else "\n", rng.randint(1, 9))  # mixed line ends
    encoding = draw(st.sampled_from(ENCODINGS))
    data = text.encode(encoding, "replace")
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 4]))):
        i, j = sorted((rng.randint(0, len(data)), rng.randint(0, len(data))))
        data = draw(
            st.sampled_from([
                data[:i] + bytes(rng.randrange(256) for _ in range(rng.randint(1, 20))) + data[i:],
                data[:i] + rng.choice([b"\0", b'"', b'""', b",", b"\n", b"\r", b"\xff", separator.encode()]) + data[i:],
                data[:i], data[i:], data[:i] + data[min(i + 9, j):], data + data[i:j], b"",
            ])
        )  # fmt: skip
    return data, encoding, separator


def loaded(folder: Path, toml: str, data: bytes) -> Cohort | None:
    """The cohort; None where it is refused in one line. Anything else is a traceback, and fails."""
    try:
        return build.cohort(build.make(reading.read(written(folder, toml, {"t.csv": data}))))
    except BenchError as error:
        said = str(error)
    assert said
    assert "\n" not in said
    return None


def plain(data: bytes, encoding: str, separator: str) -> list[list[str]] | None:
    """The records as Python's csv module has them, None where it finds no table of equal rows."""
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True) if row]
    except (UnicodeDecodeError, csv.Error):
        return None
    return rows if rows and all(len(row) == len(rows[0]) for row in rows) else None


def number(cell: str, comma: bool = False) -> float:
    """comma: a comma is the decimal mark, and a point then none."""
    cell = cell.strip(" ")
    if comma and cell not in MISSING:
        cell = "no number" if "." in cell else cell.replace(",", ".")
    return float(cell) if NUMBER.fullmatch(cell) and np.isfinite(float(cell)) and cell not in MISSING else np.nan


def lines(text: str) -> str:
    """With one kind of line end: a file of several kinds is read so."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


SEEN = {"refused": 0, "compared": 0, "other": 0}


@pytest.mark.slow
@pytest.mark.ci
@settings(max_examples=240, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(files())
def test_tables(tmp_path_factory: pytest.TempPathFactory, file: tuple[bytes, str, str]) -> None:
    data, encoding, separator = file
    cohort = loaded(tmp_path_factory.getbasetemp(), DEAD, data)
    if cohort is None:
        SEEN["refused"] += 1
        return
    rows = plain(data, encoding, separator)
    if rows is None or [name.strip() for name in rows[0]][: len(HEADER)] != HEADER:
        SEEN["other"] += 1
        return
    SEEN["compared"] += 1
    assert len(cohort) == len(rows) - 1
    assert [lines(one) for one in cohort.patients.tolist()] == [lines(row[0]).strip(" \t\r\n\u00a0\ufeff") for row in rows[1:]]
    table = cohort.inputs.modalities.get("table")
    frame = getattr(table, "frame", {})
    for name in ("age", "count"):
        if name in frame and frame[name].dtype == np.float64:
            comma = any(f"'{name}' is read as numbers with a decimal comma" in said for said in cohort.notices)
            want = [number(row[HEADER.index(name)], comma) for row in rows[1:]]
            np.testing.assert_array_equal(frame[name], want)
    np.testing.assert_array_equal(cohort.labels[:, 0], [number(row[1]) for row in rows[1:]])


def test_both_ways_were_taken() -> None:
    if not sum(SEEN.values()):
        pytest.skip("counts what test_tables of the same process saw")
    assert SEEN["compared"] >= 60
    assert SEEN["refused"] >= 40


GOOD = """
name = "fuzz"
table = { file = "t.csv", separator = ",", missing = ["", "NA"] }
patient = "id"
subgroups = ["sex"]
time = "day"
allow_leak = ["note"]

[columns]
numeric = ["age", "c*"]
text = "note"

[outcomes]
dead = { rule = "dead = 1", known = "age > 20", thresholds = [0.1, 0.5] }

[outcomes.late]
event = "dead"
time = "count"
horizon = 30
variants = { early = "count < 10" }
"""
WORDS = (
    "dead",
    "id",
    "age",
    "count",
    "sex",
    "day",
    "note",
    "t.csv",
    "u.csv",
    "late",
    "*",
    "",
    "nan",
    "dead = 1 or",
    "max(age)",
    "x\\u0000y",
)
PIECES = (
    '"',
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    "\n",
    ",",
    ".",
    "#",
    "\\",
    "0",
    "-1",
    "nan",
    "true",
    "inf",
    "[[x]]",
    "1979-05-27",
    '"""',
    "é",
    "\t",
    "dead",
    "*",
)


@settings(max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.binary(min_size=8, max_size=8))
def test_cohort_files(tmp_path_factory: pytest.TempPathFactory, seed: bytes) -> None:
    rng = random.Random(seed)
    text = GOOD
    for _ in range(rng.choice([1, 1, 2, 5])):
        i = rng.randint(0, len(text))
        if rng.random() < 0.6:  # another value in the place of one
            words = list(re.finditer(r'"[^"]*"|\b\d+\b', text))
            i, j = rng.choice(words).span() if words else (0, 0)
            new = rng.choice([f'"{rng.choice(WORDS)}"', rng.choice(["0", "-1", "1e99", "nan", "true", "[]", "{}", "1979-05-27"])])
            text = text[:i] + new + text[j:]
        else:
            text = text[:i] + rng.choice([*PIECES, ""]) + text[i + rng.choice([0, 0, 1, 4, 30]) :]
    out = io.StringIO()
    csv.writer(out).writerows(clean(random.Random(1)))
    loaded(tmp_path_factory.getbasetemp(), text, out.getvalue().encode())


def test_the_good_ones_load(tmp_path: Path) -> None:
    out = io.StringIO()
    csv.writer(out).writerows(clean(random.Random(1)))
    cohort = loaded(tmp_path, GOOD, out.getvalue().encode())
    assert cohort is not None
    assert cohort.task_names == ("dead", "late")
