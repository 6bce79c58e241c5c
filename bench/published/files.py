"""A file of published results: one Parquet file of one dataset, any number of methods, with its manifest in the metadata.

A row is a method, repeat and outcome: the test risks of all folds as `bench.published.coding` codes them, and their scores. No
label, no patient and no row number is in it: who reads it has the cohort, and so the rows whose label is known, in their order.
The manifest says what made the numbers, on which cohort and splits, and what every cell cost. The name ends with the first eight
digits of the SHA-256 of the file, so that no changed byte goes unseen.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import bench
from bench.core import BenchError, Task
from bench.published.coding import Column
from bench.store import canonical, safe
from bench.store.files import digest

FORMAT = 1
KEY = b"bench.published"
WORD = "published"  # stands for the folder of the repository
MOST = 15_000_000  # bytes of all files together
SCHEMA = pa.schema([
    ("method", pa.string()), ("repeat", pa.int32()), ("task", pa.string()), ("steps", pa.int32()), ("least", pa.int32()), ("salt", pa.int32()),
    ("auroc", pa.float64()), ("ap", pa.float64()), ("auroc_change", pa.float64()), ("ap_change", pa.float64()), ("risk_change", pa.float64()),
    ("values", pa.list_(pa.field("element", pa.int32(), nullable=False))),
])  # fmt: skip
SCORES = ("auroc", "ap", "auroc_change", "ap_change", "risk_change")


@dataclass(frozen=True, eq=False)
class Published:
    """One file, opened: its manifest is as it was written, its rows are read and checked when they are asked for."""

    path: Path
    manifest: Mapping[str, Any]
    data: bytes

    @property
    def dataset(self) -> str:
        return self.manifest["dataset"]["label"]

    @property
    def methods(self) -> list[str]:
        return list(self.manifest["methods"])

    @property
    def repeats(self) -> int:
        return int(self.manifest["repeats"])

    @property
    def tasks(self) -> list[Task]:
        return [_task(value) for value in self.manifest["dataset"]["tasks"]]

    def tested(self, method: str) -> bool:
        """Whether it has predictions: a method that was declined has none."""
        return any(cell["status"] == "done" for cell in self.manifest["methods"][method]["cells"])

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Columns as in SCHEMA. BenchError where they are not those the manifest was made of."""
        try:
            table = pq.ParquetFile(pa.BufferReader(self.data), page_checksum_verification=True).read()
            frame = table.cast(SCHEMA).to_pandas()
        except (OSError, ValueError) as error:  # what pyarrow raises
            refuse(self.path, f"is damaged: {str(error).splitlines()[0]}")
        for method, about in self.manifest["methods"].items():
            if digest_of(frame[frame["method"] == method]) != about["sha256"]:
                refuse(self.path, f"is damaged: the numbers of {method} are not those that its manifest is of")
        if unknown := sorted(set(frame["method"]) - set(self.methods)):
            refuse(self.path, f"is damaged: its manifest does not know {unknown[0]}")
        return frame

    def columns(self, method: str) -> dict[tuple[int, str], Column]:
        """By repeat and outcome."""
        own = self.rows[self.rows["method"] == method]
        return {(int(row["repeat"]), str(row["task"])): self.column_of(row) for _, row in own.iterrows()}

    @staticmethod
    def column_of(row: pd.Series) -> Column:
        return Column(np.asarray(row["values"], np.int32), int(row["least"]), int(row["steps"]), int(row["salt"]))


def written(folder: Path, rows: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any], name: str) -> Path:
    """Write one file, named after its content. rows: as in SCHEMA. The digest of each method's rows goes into the manifest."""
    frame = pd.DataFrame(list(rows), columns=SCHEMA.names)
    methods = {
        label: {**about, "sha256": digest_of(frame[frame["method"] == label])} for label, about in manifest["methods"].items()
    }
    table = pa.Table.from_pylist(list(rows), schema=SCHEMA).replace_schema_metadata(
        {KEY: canonical(sealed({**manifest, "methods": methods}))}
    )
    buffer = io.BytesIO()
    values = "values.list.element"
    pq.write_table(
        table, buffer, compression="zstd", compression_level=19, use_dictionary=False, write_statistics=False,
        column_encoding={values: "BYTE_STREAM_SPLIT"}, write_page_checksum=True,
    )  # fmt: skip
    data = buffer.getvalue()
    path = folder / f"{safe(name)}@{digest(data)[:8]}.parquet"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise BenchError(f"cannot write {path}: {error}") from error
    return path


def opened(path: Path) -> Published:
    """BenchError for a file that is none of ours, of a later format, or not what was written."""
    try:
        data = path.read_bytes()
        metadata = pq.read_schema(pa.BufferReader(data)).metadata or {}
    except (OSError, ValueError) as error:
        refuse(path, f"cannot be read: {str(error).splitlines()[0]}")
    stem, _, h8 = path.stem.rpartition("@")
    if stem and digest(data)[:8] != h8:
        refuse(path, f"is damaged: its name says @{h8}, its bytes @{digest(data)[:8]}")
    if KEY not in metadata:
        refuse(path, "is no file of published results. `bench results submit` makes one.")
    try:
        manifest = json.loads(metadata[KEY])
    except ValueError:
        refuse(path, "is damaged: its manifest is no JSON")
    if manifest.get("format") != FORMAT:
        refuse(path, f"is of format {manifest.get('format')}, but this version of bench reads {FORMAT}. Update bench.")
    if manifest != sealed(manifest):
        refuse(path, "is damaged: its manifest was changed after it was made")
    return Published(path, manifest, data)


def find(where: str | Path) -> list[Path]:
    """The files that are meant: of the repository (`published`), of a folder, or one. BenchError where there are none."""
    root = home() if str(where) == WORD else Path(where)
    if root.is_file():
        return [root]
    found = sorted(root.glob("*.parquet")) if root.is_dir() else []
    if not found and str(where) == WORD:
        raise BenchError(
            f"published results lie in results/published of a clone of the repository, but {root} has none. Name a folder or a file instead."
        )
    if not found:
        raise BenchError(f"published results are a folder with .parquet files, or one such file, but '{where}' is neither")
    return found


def _task(value: Mapping[str, Any]) -> Task:
    given: dict[str, Any] = {name: tuple(part) if isinstance(part, list) else part for name, part in value.items()}
    return Task(**given)


def there() -> bool:
    """Whether the repository has any."""
    return any(home().glob("*.parquet"))


def home() -> Path:
    """results/published of the checkout that bench runs from; of an installed package that of the current folder."""
    checkout = Path(bench.__file__).resolve().parent.parent
    return (checkout if (checkout / "pyproject.toml").is_file() else Path()) / "results" / "published"


def refuse(path: Path, why: str) -> NoReturn:
    raise BenchError(f"{path} {why}")


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """With the number of the format, and `sha256`: of the canonical JSON of all else."""
    body = {**{key: part for key, part in manifest.items() if key != "sha256"}, "format": FORMAT}
    return body | {"sha256": digest(canonical(body).encode())}


def digest_of(rows: pd.DataFrame) -> str:
    """Of the rows of one method, in whatever order they stand."""
    parts: list[bytes] = []
    for _, row in rows.sort_values(["repeat", "task"]).iterrows():
        whole = [row["repeat"], row["task"], row["steps"], row["least"], row["salt"]]
        head = "/".join([*map(str, whole), *(f"{row[name]:.17g}" for name in SCORES), str(len(row["values"]))])
        parts += [head.encode(), np.asarray(row["values"], "<i4").tobytes()]
    return digest(b"\n".join(parts))
