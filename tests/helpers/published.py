"""Small files of a published layout: gzipped CSVs with the published columns, what is not given being empty."""

import csv
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path


def write(folder: Path, name: str, columns: str, rows: Sequence[Mapping[str, object]]) -> None:
    """rows: a mapping each, of which every key must be one of the columns."""
    path = folder / f"{name}.csv.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns.split(), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
