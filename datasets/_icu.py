"""What the credentialed databases of intensive care have in common: files, cache, outcomes, series and subgroups.

Both are brought into two tables, in minutes after admission to the unit. stays: row, patient, age, sex, race, unit, time, died,
died_icu, left (hospital discharge), readmitted, ventilated_before, ventilated_after, and columns of their own. events: row,
minute, channel, value; of hours 0-24, and creatinine from 7 days before the unit to 7 days after the prediction.
"""

import io
import re
import sys
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import sources
from bench.core import BenchError, Series, Task

from ._shared import bands, levels

DAY = 1_440  # minutes; the prediction is made after the first
BEFORE, UNTIL = -7 * DAY, 8 * DAY  # of creatinine: KDIGO looks back 7 days, and the outcome ends 7 days after the prediction
CREATININE = "creatinine"
MEMORY = "4GB"  # of DuckDB; what does not fit goes to the disk

_LEFT = "a death or a discharge before it counts as 0"
TASKS = (
    Task("death", "death in hospital after hour 24", implies=("stay_7d",), thresholds=(0.05, 0.6)),
    Task(
        "stay_7d", "not discharged alive from hospital within 7 days of admission to the unit",
        competing="a death in hospital counts as 1, on whatever day", thresholds=(0.1, 0.7),
    ),
    Task(
        "icu_readmission", "back in intensive care within the hospital stay",
        competing="unknown after a death in the unit; a death outside, without a return, counts as 0", thresholds=(0.02, 0.3),
    ),
    Task("new_aki", "acute kidney injury by creatinine (KDIGO) within 7 days after hour 24", competing=_LEFT, thresholds=(0.05, 0.5)),
    Task("new_ventilation", "invasive ventilation begun within 7 days after hour 24", competing=_LEFT, thresholds=(0.02, 0.4)),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Files of a published release in the user's folder. files: name in SQL -> path there, without the ending.

    cohort: SQL of the table `cohort`, which every other query may join; shared: the files that it reads.
    """

    dataset: str
    page: str
    layout: str
    files: Mapping[str, str]
    cohort: str
    shared: tuple[str, ...]

    def path(self, name: str) -> Path:
        """The .csv.gz or .csv. Raises BenchError with the file, the layout and the page where it is missing."""
        folders = sources.folders(self.dataset)
        for folder in folders:
            for ending in (".csv.gz", ".csv"):
                if (path := folder / f"{self.files[name]}{ending}").is_file():
                    return path
        seen = f"{folders[0]} has none" if folders else "no --data-dir (BENCH_DATA_DIR) was given"
        raise BenchError(
            f"{self.dataset} needs {self.files[name]}.csv.gz, but {seen}. Give a folder with {self.layout}; "
            f"credentialed users get it at {self.page}"
        )

    def read(self, part: str, uses: Sequence[str], query: str) -> pd.DataFrame:
        """The result of a query over the files `uses`, kept as Parquet as long as query and files (name, size, date) are the same."""
        paths = {name: self.path(name) for name in dict.fromkeys([*self.shared, *uses])}
        stats = [path.stat() for path in paths.values()]
        known = [f"{path.name}:{s.st_size}:{s.st_mtime_ns}" for path, s in zip(paths.values(), stats, strict=True)]
        key = sources.sha256("\n".join([*known, self.cohort, query]).encode())[:16]
        return pd.read_parquet(io.BytesIO(sources.kept(f"{self.dataset}-{part}-{key}", lambda: self._scan(part, paths, query))))

    def _scan(self, part: str, paths: Mapping[str, Path], query: str) -> bytes:
        big = sum(path.stat().st_size for path in paths.values()) / 1e6
        names = ", ".join(path.name for path in paths.values())
        print(f"bench: {self.dataset}: reading {part} once from {names} ({big:,.0f} MB packed)", file=sys.stderr, flush=True)
        with sources.temporary(sources.cache()) as own:
            out = own / "part.parquet"
            try:
                with duckdb.connect(config={"temp_directory": str(own), "memory_limit": MEMORY, "threads": 2}) as base:
                    base.execute("SET preserve_insertion_order = false")
                    base.execute("SET disabled_optimizers = 'type_pushdown'")  # 2.0 casts strictly in the reader, TRY_CAST or not
                    for name, path in paths.items():
                        base.execute(f"CREATE VIEW {name} AS {_csv(path)}")
                    _run(base, f"CREATE TABLE cohort AS {self.cohort}")
                    with _progress(base, f"{self.dataset}: {part}"):
                        _run(base, f"COPY ({query}) TO {_quoted(out)} (FORMAT parquet)")
            except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
                raise BenchError(
                    f"{self.dataset}: {names} could not be read ({_reason(error)}). Are they whole, and is there free space in "
                    f"{sources.cache()}? They are at {self.page}"
                ) from None
            except duckdb.Error as error:
                raise BenchError(
                    f"{self.dataset}: {names} must have the columns of the published release, but do not read so "
                    f"({_reason(error)}). Take them as they are at {self.page}"
                ) from None
            return out.read_bytes()


def _reason(error: duckdb.Error) -> str:
    """The first line and the file: the other lines may quote a row, which is a patient's."""
    file = re.search(r"^ +file = .*?([^/\\\n]+)$", str(error), re.MULTILINE)
    return str(error).partition("\n")[0][:200] + (f" of {file[1]}" if file else "")


def _run(base: duckdb.DuckDBPyConnection, query: str) -> None:
    """Execute, in another thread: DuckDB looks for Ctrl-C between its tasks alone, and one may take all of an hour."""
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(base.execute, query)
        try:
            going.result()
        except KeyboardInterrupt:
            base.interrupt()
            raise


@contextmanager
def _progress(base: duckdb.DuckDBPyConnection, what: str, every: float = 30.0) -> Generator[None]:
    """A line on stderr every half minute with the share that is done, while DuckDB tells it."""
    done = Event()

    def tell() -> None:
        while not done.wait(every):
            share = base.query_progress()
            print(f"bench: {what}{f', {share:.0f} %' if share >= 0 else ''}", file=sys.stderr, flush=True)

    teller = Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _csv(path: Path) -> str:
    """Every column as text: the queries convert what they need, so that no value is guessed from the first rows."""
    return f"SELECT * FROM read_csv({_quoted(path)}, header = true, all_varchar = true, delim = ',', quote = '\"', escape = '\"')"


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def rows(table: Sequence[tuple[object, ...]]) -> str:
    """A list of tuples as the rows of an SQL VALUES."""
    return ", ".join("(" + ", ".join(f"'{v}'" if isinstance(v, str) else str(v) for v in row) + ")" for row in table)


def outcomes(stays: pd.DataFrame, events: pd.DataFrame, channels: Sequence[str]) -> NDArray[np.float32]:
    """(n, 5) labels in the order of TASKS; NaN = unknown or not at risk."""
    died = stays["died"].to_numpy(np.float64, na_value=np.nan)
    left = stays["left"].to_numpy(np.float64, na_value=np.nan)
    long = np.where((died == 1) | (left > 7 * DAY), 1.0, np.where(np.isnan(died + left), np.nan, 0.0))
    back = np.where(_flag(stays["died_icu"]), np.nan, stays["readmitted"].to_numpy(np.float64, na_value=np.nan))
    begun = np.where(_flag(stays["ventilated_before"]), np.nan, _flag(stays["ventilated_after"]))
    creatinine = events[events["channel"] == list(channels).index(CREATININE)]
    return np.column_stack([np.asarray(c, np.float32) for c in (died, long, back, injury(creatinine, left), begun)])


def _flag(column: pd.Series) -> NDArray[np.bool_]:
    return column.fillna(False).to_numpy(bool)


_INJURY = """
WITH seen AS (
    SELECT row, minute, max(value) AS value FROM creatinine GROUP BY row, minute
), low AS (
    SELECT *,
        min(value) OVER (PARTITION BY row ORDER BY minute RANGE BETWEEN 10080 PRECEDING AND CURRENT ROW) AS week,
        min(value) OVER (PARTITION BY row ORDER BY minute RANGE BETWEEN 2880 PRECEDING AND CURRENT ROW) AS two_days
    FROM seen
), met AS (
    SELECT *, value >= round(1.5 * week, 6) OR round(value - two_days, 6) >= 0.3 AS met FROM low
)
SELECT row,
    CASE WHEN bool_or(met AND minute < 1440) OR NOT bool_or(minute < 1440) OR NOT bool_or(minute >= 1440) THEN NULL
         ELSE bool_or(met)::INTEGER END AS label
FROM met GROUP BY row ORDER BY row
"""


def injury(creatinine: pd.DataFrame, left: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) KDIGO stage 1 or more after hour 24: 1.5 times the lowest of the 7 days before, or 0.3 mg/dL above that of 48 hours.

    NaN: met before hour 24, or not measured before or not after it. Taken rounded, so that 1.1 -> 1.4 counts. left: minute of
    discharge from hospital, after which nothing counts; NaN: not known, and everything does.
    """
    last = np.fmin(left, UNTIL)[creatinine["row"]]
    inside = creatinine[creatinine["minute"].between(BEFORE, UNTIL) & ~(creatinine["minute"] > last)]
    with duckdb.connect() as base:
        base.register("creatinine", inside[["row", "minute", "value"]])
        found = base.execute(_INJURY).df()
    label = np.full(len(left), np.nan)
    label[found["row"].to_numpy(np.int64)] = found["label"].to_numpy(np.float64, na_value=np.nan)
    return label


def series(events: pd.DataFrame, n: int, channels: Mapping[str, str]) -> Series:
    """The measurements of hours 0-24, by stay and then from the oldest to the newest. None at all: not present.

    Channels that no stay has are left out. channels: name -> unit.
    """
    past = events[(events["minute"] >= 0) & (events["minute"] < DAY)].sort_values(
        ["row", "minute", "channel", "value"], ignore_index=True
    )
    counts = np.bincount(past["row"], minlength=n)
    codes, index = np.unique(past["channel"].to_numpy(), return_inverse=True)
    names = [list(channels)[int(code)] for code in codes]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    time, value = (DAY - past["minute"]).to_numpy(), past["value"].to_numpy()
    return Series(offsets, time, index, value, names, [channels[name] for name in names], counts > 0)


def codes(column: pd.Series) -> "pd.Categorical[str]":
    """Texts as categories, "" as missing."""
    return pd.Categorical(column.where(column.notna() & (column != "")))


def subgroups(stays: pd.DataFrame) -> pd.DataFrame:
    """Sex, age band, race or ethnicity in the source's words, and unit; "" where unknown."""
    return levels(sex=stays["sex"], age=bands(stays["age"]), race=stays["race"], unit=stays["unit"])
