"""`bench data` as a user calls it, and tables like an export of a hospital."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import toml
from bench.cli import main

HOSTILE = ("<script>alert(1)</script>", "a\nb\x1b[31m", '"; drop', "=1+1", "[bold]x[/bold]", "ü\u202e中", "x" * 300)
N = 400


def ran(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["data", *words])
    return ended.value.code if isinstance(ended.value.code, int) else 1


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = ran(*words)
    return status, capsys.readouterr().out


def patients(seed: int = 0, n: int = N) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.normal(60, 10, n)
    return pd.DataFrame(
        {
            "case_id": np.arange(n) + 1, "patient_id": rng.permutation(np.arange(n) // 2 + 500), "sex": rng.choice(["f", "m"], n), "age": age,
            "crea": np.where(rng.random(n) < 0.2, np.nan, rng.normal(1, 0.2, n)), "hospital": rng.choice(["north", "south", "west"], n),
            "admission_date": pd.date_range("2021-03-01", periods=n).strftime("%Y-%m-%d"),
            "diagnosis": [f"{w} of the left hip {i % 97}" for i, w in enumerate(rng.choice(["fracture", "arthrosis", "infection"], n))],
            "hx_stroke": rng.integers(0, 2, n), "icu_days": rng.poisson(0.3, n), "died": (rng.random(n) < 0.1 + (age > 70) * 0.2).astype(int),
            "readmitted": rng.choice(["yes", "no"], n, p=[0.2, 0.8]),
        }
    )  # fmt: skip


def labs(frame: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    who = np.repeat(frame["case_id"].to_numpy(), 6)
    return pd.DataFrame(
        {
            "case_id": who,
            "hours": -rng.exponential(10, len(who)),
            "test": rng.choice(["hb", "crp"], len(who)),
            "result": rng.normal(10, 2, len(who)),
        }
    )


def filled(folder: Path) -> Path:
    """A folder with both tables, a row a case and a row a measurement."""
    frame = patients()
    frame.to_csv(folder / "patients.csv", index=False)
    labs(frame).to_parquet(folder / "labs.parquet")
    return folder


def hostile(folder: Path) -> Path:
    """A cohort whose every name would like to be markup, a formula or a control sequence."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {"id": rng.permutation(N), **{name: np.where(rng.random(N) < 0.1, np.nan, rng.normal(size=N)) for name in HOSTILE}}
    )
    frame["<i>level</i>"] = rng.choice(["<b>a</b>", "'&amp;", "c"], N)
    frame["</figure>"] = [f"<img src=x onerror=alert(2)> word {i}" for i in range(N)]
    frame["y<1>"], frame["z"] = rng.integers(0, 2, N), rng.integers(0, 2, N)
    frame.to_parquet(folder / "odd.parquet")
    path = folder / "odd.toml"
    outcomes = {"<script>y</script>": {"rule": "y<1>", "label": HOSTILE[0]}, "z": {"rule": "z", "competing": "<u>dead</u>"}}
    content = {"table": "odd.parquet", "patient": "id", "subgroups": ["<i>level</i>"], "outcomes": outcomes}
    path.write_text(toml.document(content), "utf-8")
    return path
