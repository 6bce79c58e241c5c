"""MIMIC-IV: adults in intensive care at hour 24, table + irregular series, five outcomes; needs your own credentialed copy.

Source: MIMIC-IV v2 or v3 (Beth Israel Deaconess Medical Center, Boston): https://physionet.org/content/mimiciv/, and for
`notes=true` MIMIC-IV-Note: https://physionet.org/content/mimic-iv-note/. Nothing is fetched: `--data-dir` names a folder with
hosp/{patients,admissions,labevents}.csv.gz, icu/{icustays,chartevents,procedureevents}.csv.gz and, for notes, note/radiology.csv.gz.
The open demo (https://physionet.org/content/mimic-iv-demo/) has the same layout. The first load reads every file once. Leave
them packed: a .csv.gz that was cut short is noticed, an unpacked .csv that was cut at the end of a line is not.
Licence: PhysioNet Credentialed Health Data License; check the source's page.
Terms: credentialing, a course on human research and a signed data use agreement, all at PhysioNet. No result of a single
patient may be passed on: the cache under BENCH_CACHE is as confidential as the files.
Cite: Johnson et al., "MIMIC-IV, a freely accessible electronic health record dataset", Scientific Data 10 (2023) 1;
Goldberger et al., Circulation 101 (2000) e215-e220.
Shape: not counted here, since no copy was at hand: the release 3.1 tells of 94,458 stays in intensive care of 65,366 people.

A row is the first stay in intensive care of a hospital admission, of an adult (18 years at admission) who was in that unit for
24 hours or more; the prediction is made at hour 24. A patient may have several admissions: they never cross a split. Table: age
(an anchor_age of 91 stands for all over 89: their ages are 91 and the years since), sex, type and place of admission, first
unit, hours in hospital before it. Series: vital signs and laboratory results with a time of hours 0-24 in the unit, in minutes
before the prediction. Degrees Fahrenheit become Celsius, an FiO2 up to 1 becomes percent, a verbal response that a tube prevents
("No Response-ETT") is none. Item ids, and the ranges outside of which values are left out, are those of mimic-code (MIT-LCP,
mimic-iv/concepts/measurement), columns those of its buildmimic/postgres/create.sql. The column `warning` of chartevents is not
looked at, nor the specimen of blood gases (ph, po2, pco2, lactate), which are arterial and venous.
`time` is the first year that the admission may lie in. Dates are shifted per patient, and anchor_year_group names three years of
which one is the anchor_year: with 2153 and "2008 - 2010", an admission of 2154 was in 2009-2011, and `time` is 2009.

Outcomes:
  death            died in hospital (hospital_expire_flag); who died before hour 24 is not in the cohort
  stay_7d          not discharged alive from hospital within 7 days of admission to the unit: later discharge, or died
  icu_readmission  another stay in intensive care of the same admission; else unknown for those who died in the unit, which is
                   until 6 hours after they left it: deathtime and outtime come from two records, and the clocks differ
  new_aki          KDIGO by creatinine within 7 days after hour 24 and before discharge: >= 1.5 times the lowest of the 7 days
                   before, or >= 0.3 mg/dL above the lowest of 48 hours; unknown where met by hour 24, or not measured before or
                   not after it. Urine and dialysis are not looked at
  new_ventilation  invasive ventilation or intubation (procedureevents, d_items 225792 and 224385) in the same stay within 7
                   days after hour 24; unknown where begun before. Settings of the ventilator in chartevents are not looked at
Left out, because they come later than the prediction or contain an outcome:
  everything with a time from hour 24 on, deathtime, dischtime, dod, outtime, last_careunit, discharge_location
  note/discharge.csv.gz        discharge summaries are written at the end and tell how it ended: never read
  diagnoses, procedures, DRG   coded after discharge
  race, insurance, language, marital_status
                               race is a subgroup, to be looked at and not learned from; the others stand for means and care
Known limit: a laboratory result counts from when the sample was drawn (charttime), as in the literature; it was known later.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench import checks
from bench.core import Cohort, Modality, Tabular, Text

from . import _icu
from ._icu import BEFORE, CREATININE, DAY, UNTIL, Tables

# item id, channel, lowest, highest: mimic-code, mimic-iv/concepts/measurement/{vitalsign,gcs,bg}.sql
CHARTED = (
    (220045, "heart_rate", 0.1, 300), (220050, "sbp", 0.1, 400), (225309, "sbp", 0.1, 400), (220179, "sbp", 0.1, 400),
    (220051, "dbp", 0.1, 300), (225310, "dbp", 0.1, 300), (220180, "dbp", 0.1, 300), (220052, "map", 0.1, 300),
    (225312, "map", 0.1, 300), (220181, "map", 0.1, 300), (220210, "resp_rate", 0.1, 70), (224690, "resp_rate", 0.1, 70),
    (220277, "spo2", 0.1, 100), (223761, "temperature", 70, 120), (223762, "temperature", 10, 50), (223835, "fio2", 0.2, 100),
    (220739, "gcs_eye", 1, 4), (223900, "gcs_verbal", 1, 5), (223901, "gcs_motor", 1, 6),
)  # fmt: skip
# the same of mimic-code's chemistry, complete_blood_count, coagulation, enzyme and bg.sql
DRAWN = (
    (50862, "albumin", 0.1, 10), (50868, "anion_gap", -100, 10_000), (50882, "bicarbonate", 0.1, 10_000), (51006, "bun", 0.1, 300),
    (50893, "calcium", 0.1, 10_000), (50902, "chloride", 0.1, 10_000), (50912, CREATININE, 0.01, 150), (50931, "glucose", 0.1, 10_000),
    (50983, "sodium", 0.1, 200), (50971, "potassium", 0.1, 30), (51221, "hematocrit", 0.1, 100), (51222, "hemoglobin", 0.1, 50),
    (51265, "platelets", 0.1, 10_000), (51301, "wbc", 0.01, 1_000), (51237, "inr", 0.1, 150), (51275, "ptt", 0.1, 150),
    (50885, "bilirubin", 0.01, 150), (50861, "alt", 0.1, 100_000), (50878, "ast", 0.1, 100_000), (50813, "lactate", 0.01, 10_000),
    (50820, "ph", 6, 8), (50821, "po2", 0.1, 800), (50818, "pco2", 0.1, 250),
)  # fmt: skip
UNITS: Mapping[str, str] = {
    "heart_rate": "1/min", "sbp": "mmHg", "dbp": "mmHg", "map": "mmHg", "resp_rate": "1/min", "spo2": "%", "temperature": "C",
    "fio2": "%", "gcs_eye": "1-4", "gcs_verbal": "1-5", "gcs_motor": "1-6", "albumin": "g/dL", "anion_gap": "mEq/L",
    "bicarbonate": "mEq/L", "bun": "mg/dL", "calcium": "mg/dL", "chloride": "mEq/L", CREATININE: "mg/dL", "glucose": "mg/dL",
    "sodium": "mEq/L", "potassium": "mEq/L", "hematocrit": "%", "hemoglobin": "g/dL", "platelets": "1000/uL", "wbc": "1000/uL",
    "inr": "", "ptt": "s", "bilirubin": "mg/dL", "alt": "IU/L", "ast": "IU/L", "lactate": "mmol/L", "ph": "", "po2": "mmHg",
    "pco2": "mmHg",
}  # fmt: skip
CHANNELS = tuple(UNITS)

# Ages: anchor_age is the age in anchor_year, both shifted like every date (https://mimic.mit.edu/docs/iv/modules/hosp/patients/)
_COHORT = """
WITH icu AS (
    SELECT subject_id, hadm_id, stay_id, first_careunit, intime::TIMESTAMP AS intime, outtime::TIMESTAMP AS outtime,
        row_number() OVER (PARTITION BY hadm_id ORDER BY intime::TIMESTAMP, stay_id) AS visit,
        count(*) OVER (PARTITION BY hadm_id) AS visits
    FROM icustays
), known AS (
    SELECT i.*, a.admittime::TIMESTAMP AS admittime, a.dischtime::TIMESTAMP AS dischtime, a.deathtime::TIMESTAMP AS deathtime,
        a.hospital_expire_flag::INTEGER AS died, a.admission_type, a.admission_location, a.race, p.gender, p.anchor_year_group,
        year(a.admittime::TIMESTAMP) - p.anchor_year::INTEGER AS since, p.anchor_age::INTEGER + since AS age
    FROM icu i JOIN admissions a USING (hadm_id) JOIN patients p ON p.subject_id = i.subject_id WHERE visit = 1
)
SELECT (row_number() OVER (ORDER BY subject_id::BIGINT, intime, hadm_id::BIGINT) - 1)::INTEGER AS row, *
FROM known
WHERE age >= 18 AND outtime >= intime + INTERVAL 24 HOUR AND (deathtime IS NULL OR deathtime > intime + INTERVAL 24 HOUR)
"""

_STAYS = f"""
WITH ventilated AS (
    SELECT c.row, bool_or(start < {DAY}) AS before, bool_or(start BETWEEN {DAY} AND {UNTIL}) AS after
    FROM (
        SELECT hadm_id, stay_id, starttime::TIMESTAMP AS starttime FROM procedureevents WHERE itemid IN ('225792', '224385')
    ) p
    JOIN cohort c USING (stay_id), LATERAL (SELECT (epoch(p.starttime) - epoch(c.intime)) / 60 AS start)
    GROUP BY c.row
)
SELECT c.row, subject_id AS patient, age, CASE gender WHEN 'F' THEN 'female' WHEN 'M' THEN 'male' END AS sex,
    CASE WHEN race IS NULL OR regexp_matches(race, '^(UNKNOWN|UNABLE|PATIENT DECLINED)') THEN NULL
         WHEN regexp_matches(race, '^(WHITE|BLACK|ASIAN|HISPANIC)') THEN regexp_extract(race, '^[A-Z]+') ELSE 'OTHER' END AS race,
    first_careunit AS unit, (left(anchor_year_group, 4)::INTEGER + since)::VARCHAR AS time, admission_type, admission_location,
    (epoch(intime) - epoch(admittime)) / 3600 AS hours_before, died,
    died = 1 AND visits = 1 AND coalesce(deathtime, dischtime) <= outtime + INTERVAL 6 HOUR AS died_icu,
    (epoch(dischtime) - epoch(intime)) / 60 AS left, (visits > 1)::INTEGER AS readmitted,
    coalesce(v.before, false) AS ventilated_before, coalesce(v.after, false) AS ventilated_after
FROM cohort c LEFT JOIN ventilated v ON v.row = c.row ORDER BY c.row
"""


def _items(items: tuple[tuple[int, str, float, float], ...]) -> str:
    return _icu.rows([(str(item), CHANNELS.index(name), low, high) for item, name, low, high in items])


_EVENTS = f"""
WITH charted(itemid, channel, low, high) AS (VALUES {_items(CHARTED)}),
drawn(itemid, channel, low, high) AS (VALUES {_items(DRAWN)}),
raw AS (
    SELECT c.row, (epoch(e.charttime::TIMESTAMP) - epoch(c.intime)) / 60 AS minute, i.channel, i.itemid,
        TRY_CAST(e.valuenum AS DOUBLE) AS value, i.low, i.high
    FROM chartevents e JOIN charted i USING (itemid) JOIN cohort c USING (stay_id)
    WHERE NOT (i.itemid = '223900' AND coalesce(e.value, '') = 'No Response-ETT')  -- a tube, and no answer of the patient's
    UNION ALL
    SELECT c.row, (epoch(e.charttime::TIMESTAMP) - epoch(c.intime)) / 60 AS minute, i.channel, i.itemid,
        TRY_CAST(e.valuenum AS DOUBLE) AS value, i.low, i.high
    FROM labevents e JOIN drawn i USING (itemid) JOIN cohort c USING (subject_id)
)
SELECT row, minute, channel::SMALLINT AS channel,
    CASE WHEN itemid = '223761' THEN (value - 32) / 1.8 WHEN itemid = '223835' AND value <= 1 THEN value * 100 ELSE value END AS value
FROM raw
WHERE value BETWEEN low AND high AND NOT (itemid = '223835' AND value > 1 AND value < 20)
    AND (minute >= 0 AND minute < {DAY} OR itemid = '50912' AND minute BETWEEN {BEFORE} AND {UNTIL})
"""

_NOTES = f"""
SELECT c.row, string_agg(trim(r.text), chr(10) || chr(10) ORDER BY r.charttime, r.note_id) AS text
FROM radiology r JOIN cohort c USING (subject_id)
WHERE r.charttime::TIMESTAMP >= c.intime
    AND greatest(r.charttime::TIMESTAMP, coalesce(r.storetime, r.charttime)::TIMESTAMP) < c.intime + INTERVAL {DAY} MINUTE
GROUP BY c.row
"""

TABLES = Tables(
    dataset="mimic4",
    page="https://physionet.org/content/mimiciv/ (notes: https://physionet.org/content/mimic-iv-note/)",
    layout="hosp/ and icu/, for notes=true also note/, as published",
    files={
        name: f"{folder}/{name}"
        for folder, names in (
            ("hosp", ("patients", "admissions", "labevents")),
            ("icu", ("icustays", "chartevents", "procedureevents")),
            ("note", ("radiology",)),
        )
        for name in names
    },
    cohort=_COHORT,
    shared=("patients", "admissions", "icustays"),
)


def load(notes: bool = False) -> Cohort:
    """The cohort. notes: with the radiology reports charted and stored within the first 24 hours, one text a stay."""
    for name in TABLES.files:
        if notes or name != "radiology":
            TABLES.path(name)  # before hours of reading
    stays = TABLES.read("stays", ["procedureevents"], _STAYS)
    events = TABLES.read("events", ["chartevents", "labevents"], _EVENTS)
    modalities: dict[str, Modality] = {"table": Tabular(features(stays)), "series": _icu.series(events, len(stays), UNITS)}
    if notes:
        reports = TABLES.read("notes", ["radiology"], _NOTES).set_index("row")["text"].reindex(range(len(stays)))
        modalities["radiology"] = Text(reports.fillna("").astype(object), reports.notna().to_numpy())
    return checks.build(
        "mimic4", modalities, _icu.TASKS, _icu.outcomes(stays, events, CHANNELS), stays["patient"].tolist(),
        time=np.array(stays["time"].tolist(), "datetime64[Y]").astype("datetime64[D]"), subgroups=_icu.subgroups(stays),
    )  # fmt: skip


def features(stays: pd.DataFrame) -> pd.DataFrame:
    """What is known on admission to the unit; codes as Categorical."""
    table = stays[["age", "hours_before"]].astype(np.float64)
    return table.assign(**{c: _icu.codes(stays[c]) for c in ("sex", "admission_type", "admission_location", "unit")})
