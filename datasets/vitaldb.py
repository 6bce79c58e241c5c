"""VitalDB: 6,388 operations in Seoul, pre-operative table + diagnosis and operation as texts, four outcomes; fetches 0.5 MB.

Source: VitalDB, Seoul National University Hospital, non-cardiac operations of 2016-2017: https://vitaldb.net/dataset/. The case
table as https://api.vitaldb.net/cases serves it, or from `--data-dir`: cases.csv, plain or .gz; with `labs=true` also labs.csv.
Licence: CC BY 4.0 on the provider's newest page (https://api.vitaldb.net), while an older page forbade passing the data on:
check both.
Terms: to be read at https://vitaldb.net/dataset/ and accepted once: `bench data fetch vitaldb --accept-terms`.
Cite: Lee et al., "VitalDB, a high-fidelity multi-parameter vital signs database in surgical patients", Scientific Data 9 (2022) 279.
Shape: 6,388 cases (numbered 1 to 6,388) of 6,090 patients x 74 columns, of which 33 are features and 2 are texts. The file has no
fixed hash (the server packs it anew): it is taken if cases, columns and outcomes fit.

A row is an operation, and the prediction is made before it begins. A patient may have several (up to 14): they never cross a
split. Table: age, sex, height, weight, bmi, asa, emop, department, optype, approach, ane_type, preop_*. Texts: dx, opname.
`labs=true` adds the laboratory results before the operation as a series, time in minutes before its begin.

Outcomes (known, events):
  icu_stay        6,388  1,204   icu_days > 0
  stay_7d         6,361  1,787   not discharged alive within 7 days of the end of the operation; 27 discharges lie before that
                                 end, which cannot be: unknown
  transfusion     6,388    352   red cells during the operation: intraop_rbc > 0
  hospital_death  6,388     57   death_inhosp: few events, wide intervals
Left out, because they come later than the prediction or contain an outcome:
  dis, icu_days, death_inhosp    the outcomes themselves
  intraop_*                      given or measured during the operation; intraop_rbc is the transfusion, and intraop_ffp and
                                 intraop_ebl come with it
  position, cormack, airway, tubesize, dltubesize, lmasize, iv1, iv2, aline1, aline2, cline1, cline2
                                 done in the operating room: a central line is placed where transfusion and intensive care are
                                 expected
  casestart .. opend, adm        clock times around the operation: its length is not known before it
Known fault of the source, left as it is: asa 6 (an organ donor) stands at 13 operations, one of them a donor's.
"""

import io
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import checks, sources
from bench.core import BenchError, Cohort, Modality, Series, Tabular, Task, Text

from ._shared import bands, levels

CASES = 6_388
DAY = 86_400  # seconds
NUMERIC = (
    "age", "height", "weight", "bmi", "asa", "emop", "preop_htn", "preop_dm", "preop_hb", "preop_plt", "preop_pt", "preop_aptt",
    "preop_na", "preop_k", "preop_gluc", "preop_alb", "preop_ast", "preop_alt", "preop_bun", "preop_cr", "preop_ph", "preop_hco3",
    "preop_be", "preop_pao2", "preop_paco2", "preop_sao2",
)  # fmt: skip
CODES = ("sex", "department", "optype", "approach", "ane_type", "preop_ecg", "preop_pft")
TEXTS = ("dx", "opname")
OTHERS = ("caseid", "subjectid", "opstart", "opend", "dis", "icu_days", "death_inhosp", "intraop_rbc")
LABS: Mapping[str, str] = {
    "alb": "g/dL", "alt": "IU/L", "ammo": "ug/dL", "aptt": "s", "ast": "IU/L", "be": "mmol/L", "bun": "mg/dL", "ccr": "mL/min",
    "cl": "mmol/L", "cr": "mg/dL", "crp": "mg/dL", "esr": "mm/h", "fib": "mg/dL", "gfr": "mL/min/1.73m2", "gluc": "mg/dL",
    "hb": "g/dL", "hco3": "mmol/L", "hct": "%", "ica": "mmol/L", "k": "mmol/L", "lac": "mmol/L", "na": "mmol/L", "pco2": "mmHg",
    "plt": "1000/uL", "po2": "mmHg", "pt%": "%", "ptsec": "s", "sao2": "%", "tbil": "mg/dL", "tprot": "g/dL", "wbc": "1000/uL",
}  # fmt: skip

TASKS = (
    Task(
        "icu_stay", "stay in intensive care",
        competing="a death that was not preceded by intensive care counts as 0", thresholds=(0.05, 0.6),
    ),
    Task(
        "stay_7d", "not discharged alive within 7 days",
        competing="a death in hospital counts as 1, on whatever day", thresholds=(0.1, 0.6),
    ),
    Task(
        "transfusion", "red cells during the operation",
        competing="it ends with the operation: nobody dies before that is settled", thresholds=(0.02, 0.3),
    ),
    Task("hospital_death", "death in hospital", implies=("stay_7d",), competing="a death after discharge counts as 0", thresholds=(0.005, 0.1)),
)  # fmt: skip


def load(labs: bool = False) -> Cohort:
    """The cohort. Fetches the case table once. labs: with the laboratory results before the operation, which are fetched too."""
    files = sources.read(WEB, *(["labs"] if labs else []))
    raw = _cases(files["cases.csv"])
    modalities: dict[str, Modality] = {"table": Tabular(features(raw))}
    modalities |= {name: Text(raw[name].fillna("").str.strip()) for name in TEXTS}
    if labs:
        modalities["labs"] = series(raw, _labs(files["labs.csv"]))
    return checks.build("vitaldb", modalities, TASKS, outcomes(raw), raw["subjectid"].tolist(), subgroups=subgroups(raw))


def features(raw: pd.DataFrame) -> pd.DataFrame:
    """33 columns: numbers with NaN for "not measured", codes as Categorical with every value of the file as a category."""
    return raw[list(NUMERIC)].astype(np.float64).assign(**{c: pd.Categorical(raw[c]) for c in CODES})


def outcomes(raw: pd.DataFrame) -> NDArray[np.float32]:
    """(n, 4) labels in the order of TASKS; NaN = unknown."""
    died = raw["death_inhosp"] == 1
    long = ((raw["dis"] - raw["opend"] > 7 * DAY) | died).where(raw["dis"] >= raw["opend"])
    columns = [raw["icu_days"] > 0, long, raw["intraop_rbc"] > 0, died]
    return np.column_stack([np.asarray(c, np.float32) for c in columns])


def series(raw: pd.DataFrame, labs: pd.DataFrame) -> Series:
    """The results before the operation began, by case and then from the oldest to the newest. None: not present.

    Results without a number, and tests that no case had before its operation, are left out.
    """
    row = pd.Index(raw["caseid"]).get_indexer(pd.Index(labs["caseid"]))
    before = raw["opstart"].to_numpy(np.float64)[row] - labs["dt"].to_numpy(np.float64)  # seconds
    keep = (row >= 0) & (before > 0) & labs["result"].notna().to_numpy()
    row, before, labs = row[keep], before[keep], labs[keep]
    codes, names = pd.factorize(labs["name"], sort=True)
    order = np.lexsort((codes, -before, row))
    counts = np.bincount(row, minlength=len(raw))
    return Series(
        np.concatenate([[0], np.cumsum(counts)]), before[order] / 60, codes[order], labs["result"].to_numpy()[order],
        names, [LABS.get(str(name), "") for name in names], counts > 0,
    )  # fmt: skip


def subgroups(raw: pd.DataFrame) -> pd.DataFrame:
    """Sex, age and department."""
    return levels(sex=raw["sex"], age=bands(raw["age"]), department=raw["department"])


# The files


def _cases(data: bytes) -> pd.DataFrame:
    """The case table, gzip or not, with or without a byte order mark; checked for cases, columns and numbers."""
    raw = _csv(data, "cases.csv", 20_000_000)
    numbers = [*NUMERIC, *OTHERS]
    missing = [c for c in (*numbers, *CODES, *TEXTS) if c not in raw]
    if missing:
        raise BenchError(f"cases.csv must have VitalDB's columns, but lacks {', '.join(missing[:5])}")
    words = [c for c in numbers if not pd.api.types.is_numeric_dtype(raw[c])]
    if words:
        raise BenchError(f"column '{words[0]}' of cases.csv must hold numbers, but holds words")
    if sorted(raw["caseid"].tolist()) != list(range(1, CASES + 1)):
        raise BenchError(f"cases.csv must hold the cases 1 to {CASES:,}, each once, but has {len(raw):,} rows")
    empty = [c for c in OTHERS if raw[c].isna().any()]
    if empty:
        raise BenchError(
            f"column '{empty[0]}' of cases.csv must be known for every case, but is not for {raw[empty[0]].isna().sum()}"
        )
    return raw.sort_values("caseid", ignore_index=True)


def _labs(data: bytes) -> pd.DataFrame:
    raw = _csv(data, "labs.csv", 200_000_000)
    if not {"caseid", "dt", "name", "result"} <= set(raw) or len(raw) < 100_000:
        raise BenchError(
            f"labs.csv must have caseid, dt, name and result, but has {', '.join(map(str, raw.columns))[:80]} and {len(raw):,} rows"
        )
    numbers = {c: pd.to_numeric(raw[c], errors="coerce") for c in ("caseid", "dt", "result")}
    return raw.assign(**numbers).dropna(subset=["caseid", "dt", "name"])


def _csv(data: bytes, name: str, most: int) -> pd.DataFrame:
    try:
        return pd.read_csv(io.BytesIO(sources.plain(data, most, name)), encoding="utf-8-sig", low_memory=False)
    except ValueError as error:  # pandas' parser errors and a wrong encoding are among them
        raise BenchError(f"{name} must be a CSV, but does not read as one ({str(error).strip()})") from None


def _fits_cases(data: bytes) -> None:
    _cases(data)


def _fits_labs(data: bytes) -> None:
    _labs(data)


WEB = sources.Web(
    dataset="vitaldb",
    page="https://vitaldb.net/dataset/",
    terms="https://vitaldb.net/dataset/",
    files=(
        sources.Url(
            address="https://api.vitaldb.net/cases", name="cases.csv", what="the case table", size=(300_000, 20_000_000),
            check=_fits_cases, also=("cases",),
        ),
        sources.Url(
            address="https://api.vitaldb.net/labs", name="labs.csv", what="laboratory results", size=(1_000_000, 200_000_000),
            check=_fits_labs, also=("labs",), dial="labs",
        ),
    ),
)  # fmt: skip
