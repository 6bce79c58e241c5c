"""The files of PhysioNet 2012: what they are, where they are, and their 8,000 texts as one table, in seconds."""

import io
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from bench import sources
from bench.core import BenchError

from ._shared import copy

SETS = ("a", "b")
STAYS = 4_000  # of each set
TEXTS = r"(?:[\w-]+/)?\d{6}\.txt"  # in the archives, one a stay
MOST = 200_000_000  # bytes of an archive, unpacked
COLUMNS = "Time,Parameter,Value"
HEADING = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death"
DESCRIPTORS = ("Age", "Gender", "Height", "ICUType", "Weight")
CHANNELS: Mapping[str, str] = {
    "ALP": "IU/L", "ALT": "IU/L", "AST": "IU/L", "Albumin": "g/dL", "BUN": "mg/dL", "Bilirubin": "mg/dL", "Cholesterol": "mg/dL",
    "Creatinine": "mg/dL", "DiasABP": "mmHg", "FiO2": "0-1", "GCS": "3-15", "Glucose": "mg/dL", "HCO3": "mmol/L", "HCT": "%",
    "HR": "1/min", "K": "mEq/L", "Lactate": "mmol/L", "MAP": "mmHg", "MechVent": "0/1", "Mg": "mmol/L", "NIDiasABP": "mmHg",
    "NIMAP": "mmHg", "NISysABP": "mmHg", "Na": "mEq/L", "PaCO2": "mmHg", "PaO2": "mmHg", "Platelets": "1000/uL",
    "RespRate": "1/min", "SaO2": "%", "SysABP": "mmHg", "Temp": "C", "TroponinI": "ug/L", "TroponinT": "ug/L", "Urine": "mL",
    "WBC": "1000/uL", "Weight": "kg", "pH": "",
}  # fmt: skip
PARAMETERS = {name: i for i, name in enumerate([*DESCRIPTORS, *CHANNELS])} | {"RecordID": -1}  # Weight: the series
MINUTES = {f"{m // 60:02}:{m % 60:02}": m for m in range(48 * 60 + 1)}


def _is_archive(data: bytes) -> None:
    texts = sources.members(data, TEXTS, MOST, "the archive")
    if len(texts) != STAYS:
        raise BenchError(f"the archive must hold {STAYS:,} stays, one text file each, but holds {len(texts):,}")
    wrong = next((name for name, text in texts.items() if not text.startswith(COLUMNS.encode())), None)
    if wrong is not None:
        raise BenchError(f"{wrong} in the archive must begin with {COLUMNS}, but begins with {texts[wrong][:30]!r}")


def _is_outcomes(data: bytes) -> None:
    lines = data.decode("latin-1").split()
    if not lines or lines[0] != HEADING or len(lines) != STAYS + 1:
        raise BenchError(
            f"the outcomes must be a CSV of {STAYS:,} stays that begins with RecordID, but have {len(lines) - 1:,} lines"
        )


WEB = sources.Web(
    dataset="physionet2012",
    page="https://physionet.org/content/challenge-2012/1.0.0/",
    files=tuple(
        sources.Url(
            address=f"https://physionet.org/files/challenge-2012/1.0.0/{name}",
            name=name,
            what=f"{what} of set {name.partition('.')[0][-1]}",
            size=size,
            sha256=sha256,
            check=check,
        )
        for what, size, check, copies in (
            (
                "observations", (2_000_000, 30_000_000), _is_archive,
                {
                    "set-a.zip": "d02eb8aad2ce19e5f3e66bc2d854b3fbfb36d23f354899b0f6e44bfe93140e46",
                    "set-b.zip": "8ec666bcd7a15132ad1c0b3bf26cdd6bb112d698284e2fb494da5be886cfe79c",
                },
            ),
            (
                "outcomes", (50_000, 200_000), _is_outcomes,
                {
                    "Outcomes-a.txt": "2613ea60ccda29f87571a7d6b09ad130858a8ccd66325bd073365925026883c2",
                    "Outcomes-b.txt": "1305f29734da374a809483229a99f33a9230aa8d4fa74b1a2d6ad788136423d5",
                },
            ),
        )
        for name, sha256 in copies.items()
    ),
)  # fmt: skip


def tables(files: Mapping[str, bytes]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(stays, events): a stay is a line of the outcomes with its descriptors; an event has row, minute, channel and value.

    Stays in the order of the outcomes, set a first; events by row and minute, else as in the files. -1 stays -1.
    """
    known = pd.concat([pd.read_csv(io.BytesIO(files[f"Outcomes-{s}.txt"])) for s in SETS], ignore_index=True)
    rows = copy("physionet2012", files, lambda: _parquet(files, known["RecordID"].tolist()))
    about = rows["parameter"] < len(DESCRIPTORS)
    first = rows[about].drop_duplicates(["row", "parameter"], keep="last").pivot(index="row", columns="parameter", values="value")
    stays = known.assign(**{name: first[i] for i, name in enumerate(DESCRIPTORS)})
    events = rows[~about].reset_index(drop=True)
    return stays, events.assign(channel=events.pop("parameter") - len(DESCRIPTORS))


def _parquet(files: Mapping[str, bytes], stays: list[int]) -> bytes:
    """row, minute, parameter (an index into DESCRIPTORS, then CHANNELS), value."""
    archives = [sources.members(files[f"set-{which}.zip"], TEXTS, MOST, f"set-{which}.zip") for which in SETS]
    texts = {int(name[-10:-4]): text for archive in archives for name, text in archive.items()}
    alone = sorted(set(stays) ^ set(texts))
    if alone:
        raise _unfit(f"{len(alone):,} stays have observations or outcomes alone (first: {alone[0]})")
    bodies = [texts[stay].partition(b"\n")[2] for stay in stays]
    bodies = [body if body.endswith(b"\n") else body + b"\n" for body in bodies]
    rows = np.repeat(np.arange(len(stays), dtype=np.int32), [body.count(b"\n") for body in bodies])
    minute, parameter, value = _observations(b"".join(bodies))
    if len(value) != len(rows):
        raise _unfit(f"{len(rows) - len(value):,} of their lines are empty")
    order = np.lexsort((minute, rows))
    order = order[parameter[order] >= 0]  # without the repeated RecordID
    table = pa.table({"row": rows[order], "minute": minute[order], "parameter": parameter[order], "value": value[order]})
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def _observations(text: bytes) -> tuple[NDArray[np.int16], NDArray[np.int8], NDArray[np.float64]]:
    """minute, parameter (-1 for RecordID) and value of lines `HH:MM,Parameter,Value`."""
    words = pa.dictionary(pa.int32(), pa.string())
    types = {"time": words, "name": words, "value": pa.float64()}
    try:
        raw = csv.read_csv(
            pa.BufferReader(text),
            csv.ReadOptions(column_names=list(types)),
            convert_options=csv.ConvertOptions(column_types=types, strings_can_be_null=False, null_values=[]),
        )
    except pa.ArrowInvalid as error:
        raise _unfit(str(error).partition("\n")[0]) from None
    minute = _coded(raw["time"], MINUTES, "time").astype(np.int16)
    parameter = _coded(raw["name"], PARAMETERS, "parameter").astype(np.int8)
    parameter[(parameter == PARAMETERS["Weight"]) & (minute == 0)] = DESCRIPTORS.index("Weight")  # the one on admission
    return minute, parameter, raw["value"].to_numpy()


def _coded(column: pa.ChunkedArray, codes: Mapping[str, int], what: str) -> NDArray[np.int64]:
    """The code of every word of a dictionary column."""
    whole = column.combine_chunks()
    words: list[str] = whole.dictionary.to_pylist()
    unknown = [word for word in words if word not in codes]
    if unknown:
        raise _unfit(f"they hold '{unknown[0]}', which is no {what} of theirs")
    return np.array([codes[word] for word in words], np.int64)[whole.indices.to_numpy()]


def _unfit(seen: str) -> BenchError:
    return BenchError(f"set-a.zip and set-b.zip must hold the texts of the challenge, but {seen}. {WEB.way_out}")
