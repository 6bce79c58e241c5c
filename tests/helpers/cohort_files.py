"""A cohort file and its tables, written into a folder and read as `bench run --dataset` would."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.cohorts import build, reading
from bench.cohorts.build import Made
from bench.cohorts.reading import Source
from bench.core import Cohort

HEAD = 'table = "t.csv"\npatient = "id"\n'
DEAD = HEAD + '[outcomes]\ndead = "dead"\n'


def written(folder: Path, toml: str, files: Mapping[str, str | bytes]) -> Path:
    """The path of the cohort file."""
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    path = folder / "mine.toml"
    path.write_text(toml, "utf-8")
    return path


def source(folder: Path, table: str | bytes, toml: str = DEAD, **files: str | bytes) -> Source:
    """What is read of t.csv; further files by name, `_` for the point."""
    return reading.read(written(folder, toml, {"t.csv": table} | {k.replace("_", ".", 1): v for k, v in files.items()}))


def made(folder: Path, table: str | bytes, toml: str = DEAD, **files: str | bytes) -> Made:
    return build.make(source(folder, table, toml, **files))


def cohort(folder: Path, table: str | bytes, toml: str = DEAD, **files: str | bytes) -> Cohort:
    return build.cohort(made(folder, table, toml, **files))


def rows(header: str, lines: Sequence[str], end: str = "\n") -> str:
    return end.join([header, *lines]) + end
