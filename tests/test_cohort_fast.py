"""What a quick look spares, it may not change: a column read by DuckDB as numbers, and one settled by a tenth of the rows."""

import csv
import io
import random
from pathlib import Path

import numpy as np
import pytest
from cohort_files import DEAD, source
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.cohorts import cells, counts, schema, separation, tables, typed
from bench.cohorts.look import own
from bench.core import BenchError

NUMBERS = ("0", "7", "-3", "2.5", "0.1", "12345.678901234567", "1e5", "-0", "-0.0", "4.9e-324", "1.7976931348623157e308")
TRAPS = (
    " 7 ", "\t7", "7\t", "7 ", "\n7", "+5", ".5", "5.", "-.5e+3", "007", "-07", "1_000", "0x1F", "inf", "-Infinity", "nan", "NaN", "1e400",
    "-1e400", "1e-400", "1e", "1,5", "1,234", "1.234,5", "12345678901234567890", "9007199254740993", "--5", "5%", "\u00a07", "\u0667", "5f", "1 000",
)  # fmt: skip
ABSENT = ("", "NA", " NA ", "None", "?", ".", "null", "-9", " -9")
OTHERS = (
    "true", "FALSE", "2020-01-31", "2020-02-30", "2020-01-31T10:00:00+02:00", "31.01.2020", "31.1.20", "01/02/2020", "13/02/2020",
    "02/13/2020", "31-Jan-2020", "Jan 31, 2020", "yes", "a,b", 'say "no"', "words of a note",
)  # fmt: skip


@st.composite
def columns(draw: st.DrawFn) -> list[str]:
    """Cells mostly of one kind, up to a tenth of others; all of these first, last or anywhere."""
    rng = random.Random(draw(st.binary(min_size=8, max_size=8)))
    pools = [NUMBERS, TRAPS, ABSENT, OTHERS]
    main = draw(st.sampled_from([NUMBERS, NUMBERS, NUMBERS, TRAPS, OTHERS, *((one,) for one in OTHERS)]))
    odd = draw(st.sampled_from([0, 1, 4, 5, 6, 10]))
    more = draw(st.sampled_from([[], ABSENT[:1], ABSENT]))
    few = [rng.choice(draw(st.sampled_from(pools))) for _ in range(odd)]
    rest = [rng.choice(more) if more and rng.random() < 0.2 else rng.choice(main) for _ in range(100 - odd)]
    cells = {"first": few + rest, "last": rest + few, "anywhere": rng.sample(few + rest, 100)}
    return cells[draw(st.sampled_from(list(cells)))]


@pytest.mark.slow
@pytest.mark.ci
@settings(max_examples=70, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(columns(), min_size=6, max_size=6), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.booleans(), st.booleans()
)
def test_quick_looks_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, cols: list[list[str]], quoting: int, nines: bool, comma: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    out = io.StringIO()
    csv.writer(out, quoting=quoting).writerows([[f"x{k}" for k in range(6)], *zip(*cols, strict=True)])  # type: ignore[arg-type]
    (folder / "fast.csv").write_text(out.getvalue().replace("\r\n", "\n"), "utf-8")
    table = schema.Table.model_validate({
        "file": "fast.csv", **({"missing": ["", "-9", "NA"]} if nines else {}), **({"decimal": ","} if comma else {})
    })  # fmt: skip
    with tables.connect() as con:
        raw = tables.open(con, table, folder, folder)
        quick, slow = (found(con, raw, table, many) for many in (0, 10**9))
        assert quick == slow
        if isinstance(quick, str):
            return
        frame, got = typed.read(con, raw, table, (), ())
        for i, (name, kind) in enumerate(zip(raw.names, got.kinds, strict=True)):
            if kind == "number":  # bit for bit, -0.0 too
                rule = cells.number(f"c{i}", "number", table.missing)
                want = con.sql(f"SELECT {rule} AS x FROM {raw.sql}").df()["x"].to_numpy(np.float64)
                SEEN[got.select[i].startswith("CAST(")] += 1
                assert (
                    frame[name].to_numpy().view(np.int64)[~np.isnan(want)].tolist()
                    == want[~np.isnan(want)].view(np.int64).tolist()
                )
                np.testing.assert_array_equal(frame[name].isna(), np.isnan(want))


SEEN = {True: 0, False: 0}  # columns of numbers that DuckDB read as such, and those it read as texts first


def found(con: object, raw: tables.Raw, table: schema.Table, many: int) -> typed.Typed | str:
    """What the columns are, or how they are refused, with quick looks from so many rows on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts, "MANY", many)
        try:
            return typed.find(con, raw, table, (), ())  # type: ignore[arg-type]
        except BenchError as error:
            return str(error)


def test_both_ways_of_reading_were_taken() -> None:
    if not sum(SEEN.values()):
        pytest.skip("counts what test_quick_looks_change_nothing of the same process saw")
    assert min(SEEN.values()) >= 20


def test_a_tenth_of_the_rows_settles_texts_and_no_more(tmp_path: Path) -> None:
    # 30,000 rows; of the first 3,000 none is a date. 1,500 are 5 % of all, so dates may still be 95 %; 1,501 may not.
    for strays, dtype in ((1_500, "datetime64[us]"), (1_501, "str")):
        days = ["not done"] * strays + ["2020-01-31"] * (30_000 - strays)
        lines = "".join(f"{i},{i % 2},{i % 7},{day}\n" for i, day in enumerate(days))
        got = source(tmp_path, "id,dead,x,day\n" + lines)
        assert str(got.frame["day"].dtype) == dtype


def test_commas_behind_the_first_tenth_are_remarked(tmp_path: Path) -> None:
    # 2,000 of the first 3,000 rows are no numbers, more than the 5 % that would settle it; 20,000 of all 30,000 have a decimal comma
    values = ["x"] * 2_000 + ["1,5"] * 20_000 + ["x"] * 8_000
    lines = "".join(f'{i},{i % 2},{i % 7},"{value}"\n' for i, value in enumerate(values))
    got = source(tmp_path, "id,dead,x,dose\n" + lines)
    assert any("'dose' is read as text: 20,000 of 30,000 values are numbers with a decimal comma" in one for one in got.notices)


def test_an_impossible_split_is_refused_before_a_run(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,dead,x\n" + "".join(f"{i % 4},{i // 2 % 2},{i % 7}\n" for i in range(40)))
    (tmp_path / "mine.toml").write_text(DEAD)
    with pytest.raises(BenchError, match=r"folds must lie between 2 and the number of groups \(4\), but got 5"):
        own(tmp_path / "mine.toml")


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(st.lists(st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 0.1, 1.0, 2.0, 1e300, np.inf]), max_size=40), st.integers(1, 9))
def test_values_fall_into_the_levels_a_search_gives(values: list[float], levels: int) -> None:
    edges = np.array([-np.inf, -1.5, 0.0, 0.05, 0.1, 1.0, 1.5, 1e300, np.inf])[:levels]
    want = np.searchsorted(edges[1:], np.array(values), "right")
    np.testing.assert_array_equal(separation._placed(np.array(values), edges), want)
