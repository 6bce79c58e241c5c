"""Published results of a small synthetic cohort, and one's own results of a further method, made once in this process."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filled import GUESS, plan

from bench import jobs, publish
from bench.protocol import Protocol
from bench.published import files
from bench.store.files import digest

DATA, PROTOCOL = "surgical:n=300", Protocol(folds=2, repeats=2)
METHODS = ("constant", "guess:noise=0.1", "guess:fault=decline")
OWN = "guess:noise=0.2"


def trained(folder: Path, *labels: str, protocol: Protocol = PROTOCOL, dataset: str = DATA) -> Path:
    """A results folder with the cells of these methods, in this process."""
    made = plan(folder, protocol, ",".join(label.replace("guess", GUESS) for label in labels), dataset)
    for job in made.missing:
        jobs.run_cell(job, lambda step, score: None)
    return folder / "results"


def published(folder: Path) -> Path:
    """The file of METHODS."""
    return publish.submit(DATA, "all", results=trained(folder, *METHODS), out=folder / "pub")


def rewritten(path: Path, rows: list[dict[str, object]] | None = None, **changes: object) -> Path:
    """A forger's file: other rows, another manifest, every digest right again."""
    one = files.opened(path)
    new = files.written(
        path.parent, one.rows.to_dict("records") if rows is None else rows, {**one.manifest, **changes}, one.dataset
    )
    if new != path:
        path.unlink()
    return new


def edited(path: Path, **changes: object) -> Path:
    """Another manifest under the old digest; the name fits again."""
    table = pq.read_table(path)
    manifest = {**json.loads(table.schema.metadata[files.KEY]), **changes}
    buffer = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({files.KEY: json.dumps(manifest)}), buffer)
    data = buffer.getvalue().to_pybytes()
    new = path.with_name(f"edited@{digest(data)[:8]}.parquet")
    new.write_bytes(data)
    path.unlink()
    return new
