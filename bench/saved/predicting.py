"""New patients from wherever they lie, predicted by a model of a folder, into a file."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from bench import devices, registry
from bench.core import BenchError
from bench.saved.folder import MANIFEST
from bench.saved.model import Model, load_model

FORMATS = (".csv", ".parquet")


def predict(
    folder: Path,
    table: Path | None,
    further: Iterable[str] = (),
    *,
    data: str | None = None,
    dataset: str | None = None,
    out: Path,
    method_file: Path | None = None,
    device: str = "cpu",
    force: bool = False,
) -> tuple[pd.DataFrame, list[str]]:
    """The predictions, which are then in `out`, and what to say of them. The rows are of exactly one of table, data and dataset.

    further: NAME=FILE of series and joined tables. BenchError for anything a user can mend; nothing is written then.
    """
    given = [one for one in (table, data, dataset) if one is not None]
    if len(given) != 1:
        raise BenchError(f"new patients come from a table, or from --data or --dataset: one of these, but got {len(given)}")
    _writable(out, folder, force)
    model = load_model(folder, method_file=method_file, device=devices.resolve(device))
    tables = _named(further)
    if tables and table is None:
        raise BenchError("--table NAME=FILE stands beside a table of new patients: --data and --dataset say where theirs are")
    if table is not None:
        made, notices = model.of_tables(table, tables)
    elif data is not None:
        made, notices = model.of_cohort_file(_toml(data))
    else:
        made, notices = _of_dataset(model, str(dataset))
    _write(made, out)
    return made, [*model.notices, *notices]


def _of_dataset(model: Model, dataset: str) -> tuple[pd.DataFrame, list[str]]:
    specs = registry.parse("datasets", dataset)
    if len(specs) > 1:
        raise BenchError(f"one dataset is predicted at a time, but got {len(specs)}")
    cohort = registry.load(specs[0])
    made, notices = model.predicted(cohort.inputs)
    made.insert(0, "patient", cohort.patients)
    return made, notices


def _toml(data: str) -> Path:
    if not data.lower().endswith(".toml"):
        raise BenchError(
            f"--data takes a cohort file (.toml), but got '{data}'. A table stands behind the model: bench predict model/ {data}"
        )
    return Path(data)


def _named(further: Iterable[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for one in further:
        name, equals, path = one.partition("=")
        if not equals or not name or not path:
            raise BenchError(f"--table reads NAME=FILE, as in vitals=new_vitals.csv, but got '{one}'")
        if name in found:
            raise BenchError(f"--table {name} is given twice")
        found[name] = Path(path)
    return found


def _writable(out: Path, folder: Path, force: bool) -> None:
    if out.suffix.lower() not in FORMATS:
        raise BenchError(f"predictions are written as {' or '.join(FORMATS)}, but out is {out}")
    if (out.parent / MANIFEST).exists() and out.resolve().parent == folder.resolve():
        raise BenchError(f"{out} lies in the model's folder, which holds nothing but the model. Name another place.")
    if out.is_dir() or not out.parent.is_dir():
        raise BenchError(
            f"predictions cannot be written to {out}: {'it is a folder' if out.is_dir() else 'there is no such folder'}"
        )
    if out.exists() and not force:
        raise BenchError(f"{out} is there already. Name another file, or add --force to write over it.")


def _write(made: pd.DataFrame, out: Path) -> None:
    try:
        if out.suffix.lower() == ".csv":
            made.to_csv(out, index=False)
        else:
            made.to_parquet(out, index=False)
    except OSError as error:
        raise BenchError(f"predictions cannot be written to {out}: {error.strerror or error}") from None
