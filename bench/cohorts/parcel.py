"""A cohort as one run of bytes, for machines that cannot read its files: tables as Arrow, arrays as NumPy, nothing that can run code.

It is put together again through the same checks as any cohort, and proven by its digest, which is of the content alone.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import checks
from bench.core import BenchError, Cohort, Modality, Series, Tabular, Task, Text

ARRAYS = ("labels", "patients", "groups", "weights", "site", "time")
FRAMES = ("subgroups", "variants")
EVENTS = ("offsets", "time", "channel", "value")


def packed(cohort: Cohort) -> bytes:
    """BenchError where what comes back would not be the same: values that are neither numbers, categories nor texts."""
    parts: dict[str, bytes] = {}
    about: dict[str, Any] = {
        "name": cohort.name, "tasks": [asdict(task) for task in cohort.tasks], "modalities": [], "notices": cohort.notices,
        "leaks": cohort.leaks, "definitions": dict(cohort.definitions),
    }  # fmt: skip
    try:
        for i, (name, modality) in enumerate(cohort.inputs.modalities.items()):
            about["modalities"].append({"name": name, **_modality(modality, f"m{i}", parts)})
        parts |= {name: _array(getattr(cohort, name)) for name in ARRAYS if getattr(cohort, name) is not None}
        parts |= {name: _frame(getattr(cohort, name)) for name in FRAMES if getattr(cohort, name) is not None}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, data in {"about": json.dumps(about).encode(), **parts}.items():
                archive.writestr(name, data)
        data = buffer.getvalue()
        same = unpacked(data).digest == cohort.digest
    except (TypeError, ValueError) as error:  # what NumPy and Arrow raise, too
        raise BenchError(f"the cohort '{cohort.name}' cannot be sent to other machines: {error}") from None
    if not same:
        raise BenchError(f"the cohort '{cohort.name}' cannot be sent to other machines: it would arrive changed")
    return data


def unpacked(data: bytes) -> Cohort:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    about = json.loads(parts["about"])
    modalities = {one["name"]: _made(one, f"m{i}", parts) for i, one in enumerate(about["modalities"])}
    more: dict[str, Any] = {name: _loaded(parts[name]) for name in ARRAYS if name in parts}
    more |= {name: pd.read_feather(io.BytesIO(parts[name])) for name in FRAMES if name in parts}
    cohort = checks.build(about["name"], modalities, [_task(one) for one in about["tasks"]], **more)
    leaks = tuple((column, text) for column, text in about["leaks"])
    return replace(cohort, notices=tuple(about["notices"]), leaks=leaks, definitions=about["definitions"])


def read(path: Path) -> Cohort:
    return unpacked(path.read_bytes())


def _modality(modality: Modality, stem: str, parts: dict[str, bytes]) -> dict[str, Any]:
    """What JSON says of a modality; the rest goes into `parts`."""
    parts[f"{stem}-present"] = _array(modality.present)
    if isinstance(modality, Tabular):
        parts[f"{stem}-frame"] = _frame(modality.frame)
        return {"kind": "table"}
    if isinstance(modality, Text):
        parts[f"{stem}-frame"] = _frame(pd.DataFrame({"text": modality.strings}))
        return {"kind": "text"}
    parts |= {f"{stem}-{name}": _array(getattr(modality, name)) for name in EVENTS}
    return {"kind": "series", "channels": modality.channels, "units": modality.units}


def _made(about: Mapping[str, Any], stem: str, parts: Mapping[str, bytes]) -> Modality:
    present = _loaded(parts[f"{stem}-present"])
    if about["kind"] == "series":
        arrays = {name: _loaded(parts[f"{stem}-{name}"]) for name in EVENTS}
        return Series(**arrays, channels=about["channels"], units=about["units"], present=present)
    frame = pd.read_feather(io.BytesIO(parts[f"{stem}-frame"]))
    return Tabular(frame, present) if about["kind"] == "table" else Text(frame["text"].tolist(), present)


def _array(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array.astype(str) if array.dtype.kind == "O" else array, allow_pickle=False)
    return buffer.getvalue()


def _loaded(data: bytes) -> NDArray[Any]:
    return np.load(io.BytesIO(data), allow_pickle=False)


def _frame(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.reset_index(drop=True).to_feather(buffer, compression="uncompressed")
    return buffer.getvalue()


def _task(about: Mapping[str, Any]) -> Task:
    limits = about["thresholds"]
    values: dict[str, Any] = {**about, "implies": tuple(about["implies"]), "thresholds": tuple(limits) if limits else None}
    return Task(**values)
