"""What it costs to check and to load one's own table: seconds, CPU seconds and GiB of either, each in a process of its own.

By hand: python tests/benchmarks/cohort.py                    1,000,000 rows x 200 columns, 1.2 GB in a temporary folder
         python tests/benchmarks/cohort.py --rows 100000

150 columns of numbers with two decimals, 31 of whole numbers, 14 of codes, 2 of notes, two rows a patient; a tenth or a twentieth of
most columns is missing. A million rows are to be checked and loaded in less than 60 s and 8 GiB on 2 quiet cores.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

TOML = 'table = "t.csv"\npatient = "pid"\nrow = "rid"\n[outcomes]\ndead = "dead"\nstay = "los > 7"\n'
LOAD = "import sys; from bench import cohorts; cohorts.load(sys.argv[1])"


def columns() -> list[str]:
    numbers = [
        f"CASE WHEN random() < 0.95 THEN round((random() * 200 - 50)::DECIMAL(10, 3), 2) END AS num{k}" for k in range(150)
    ]
    whole = [f"CASE WHEN random() < 0.9 THEN (random() * {10 ** (1 + k % 4)})::INT END AS int{k}" for k in range(30)]
    levels = "['alpha', 'beta', 'gamma', 'delta', 'epsilon']"
    codes = [f"CASE WHEN random() < 0.9 THEN {levels}[1 + (random() * {2 + k % 3})::INT] END AS cat{k}" for k in range(14)]
    notes = [
        f"'word' || (random() * 100)::INT || ' second' || (random() * 1000)::INT || ' of the note' AS note{k}" for k in range(2)
    ]
    ids = ["'P' || lpad((i // 2)::VARCHAR, 7, '0') AS pid", "i AS rid"]
    return [*ids, "(random() < 0.1)::INT AS dead", "round(random() * 20, 1) AS los", *numbers, *whole, *codes, *notes]


def table(path: Path, rows: int) -> None:
    with duckdb.connect() as con:
        con.execute("SELECT setseed(0.5)")
        con.execute(f"COPY (SELECT {', '.join(columns())} FROM range({rows}) t(i)) TO '{path}' (HEADER)")


def cost(what: str, *command: str) -> str:
    """Of one process; `os.wait4` gives what that one alone has used."""
    begin = time.monotonic()
    child = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{what} ended with {child.returncode}")
    seconds, cpu = time.monotonic() - begin, used.ru_utime + used.ru_stime
    return f"{what:<6}{seconds:7.1f} s {cpu:7.1f} s of CPU {used.ru_maxrss / 2**20:6.2f} GiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "mine.toml"
        path.write_text(TOML)
        table(path.with_name("t.csv"), rows)
        print(
            f"{rows:,} rows x {len(columns())} columns, {path.with_name('t.csv').stat().st_size / 1e9:.2f} GB, {os.cpu_count()} cores"
        )
        print(cost("check", "-m", "bench", "data", "check", str(path)))
        print(cost("load", "-c", LOAD, str(path)))


if __name__ == "__main__":
    main()
