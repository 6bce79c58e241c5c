"""A user's own files, written by the tests, and the originals beside the checkout, where they are."""

import gzip
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest

from bench import registry
from bench.core import Cohort

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
VITALDB = [
    "age", "sex", "height", "weight", "bmi", "asa", "emop", "department", "optype", "approach", "position", "ane_type",
]  # fmt: skip


def own_cohort(folder: Path, frame: pd.DataFrame, outcomes: str, extra: str = "", **long: pd.DataFrame) -> Path:
    """A cohort file on patients.csv, its patient column `id`, beside it. extra: keys before the tables, or tables. long: further CSVs."""
    frame.to_csv(folder / "patients.csv", index=False)
    for name, table in long.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    above, bracket, below = extra.partition("[")
    path = folder / "cohort.toml"
    path.write_text(f'table = "patients.csv"\npatient = "id"\n{above}\n[outcomes]\n{outcomes}\n{bracket}{below}', "utf-8")
    return path


def original(path: str) -> Path:
    """A file of DATA.md, beside the checkout; the test is skipped where there is none."""
    file = SHARED / path
    if not file.is_file():
        pytest.skip(f"needs ../shared/data/{path}")
    return file


def support2_raw() -> tuple[Cohort, pd.DataFrame]:
    """The cleaned cohort and the table it is made of."""
    file = original("support2/support2.csv.gz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_DATA_DIR", str(file.parent))
        cohort = registry.load("support2")
    return cohort, pd.read_csv(BytesIO(gzip.decompress(file.read_bytes())), skipinitialspace=True)


def vitaldb_raw() -> pd.DataFrame:
    return pd.read_csv(original("vitaldb/cases.csv.gz"), encoding="utf-8-sig")
