"""eICU-CRD: adults in intensive care of 208 hospitals at hour 24, table + irregular series, five outcomes; needs your own copy.

Source: eICU Collaborative Research Database 2.0 (units in the United States that Philips' tele-ICU served, discharges of
2014-2015): https://physionet.org/content/eicu-crd/. Nothing is fetched: `--data-dir` names a folder with {patient,lab,vitalPeriodic,
vitalAperiodic,nurseCharting,treatment,respiratoryCare,apacheApsVar}.csv.gz and, for `notes=true`, note.csv.gz. The open demo
(https://physionet.org/content/eicu-crd-demo/) has the same layout. The first load reads every file once. Leave them packed: a
.csv.gz that was cut short is noticed, an unpacked .csv that was cut at the end of a line is not.
Licence: PhysioNet Credentialed Health Data License; check the source's page.
Terms: credentialing, a course on human research and a signed data use agreement, all at PhysioNet. No result of a single
patient may be passed on: the cache under BENCH_CACHE is as confidential as the files.
Cite: Pollard et al., "The eICU Collaborative Research Database, a freely available multi-center database for critical care
research", Scientific Data 5 (2018) 180178; Goldberger et al., Circulation 101 (2000) e215-e220.
Shape: not counted here, since no copy was at hand: the release 2.0 tells of 200,859 unit stays of 139,367 people.

A row is the first stay in intensive care of a hospital stay (units "stepdown/other" are none), of an adult who was in that unit
for 24 hours or more; the prediction is made at hour 24. A first stay of the kind "readmit" is left out, since the one before it
is not in the source; a first stay of the kind "transfer" is kept: it may come from step-down, or from a unit that is not in the
source. Age "> 89" is 90, an unknown age is no adult's. A person (uniquepid) may have several hospital stays: they never cross a
split. `site` is the hospital, `time` the year of discharge. Table: age, sex, height, weight, unit, where from, hours in hospital
before it. Series: vital signs and laboratory results of hours 0-24 in the unit, in minutes before the prediction. The monitor's
values of every 5 minutes are means of an hour, at its last; degrees Fahrenheit become Celsius; ranges and names are those of
eicu-code (MIT-LCP, concepts/pivoted/pivoted-{vital,lab,bg,gcs}.sql). Blood gases (ph, po2, pco2, lactate) may be venous too,
whatever the source calls them.

Outcomes:
  death            hospitaldischargestatus Expired; unknown where it is empty; who died before hour 24 is not in the cohort
  stay_7d          not discharged alive from hospital within 7 days of admission to the unit: later discharge, or died
  icu_readmission  a later unit stay of the kind "readmit" of the same hospital stay; unknown for those who died in the unit.
                   The stays "transfer" lead from unit to unit and count as none
  new_aki          KDIGO by creatinine within 7 days after hour 24 and before discharge: >= 1.5 times the lowest of the 7 days
                   before, or >= 0.3 mg/dL above the lowest of 48 hours; unknown where met by hour 24, or not measured before or
                   not after it. Results after this unit stay are not in the source; urine and dialysis are not looked at
  new_ventilation  the first sign of invasive ventilation within 7 days after hour 24: a treatment that ends in or goes on from
                   "mechanical ventilation" (but non-invasive), "ventilator weaning", "endotracheal tube", "reintubation" or
                   "tracheostomy", on a medical or a surgical path; a tube or tracheostomy or a start of the ventilator in
                   respiratoryCare; unknown where one, or intubated or vent of apacheApsVar, comes before. Hospitals that chart
                   none of them look as if nobody were
Left out, because they come later than the prediction or contain an outcome:
  everything with an offset from hour 24 on, discharge weight, times, places and states
  apachePatientResult          another model's predictions, and the outcomes beside them
  apacheApsVar, apachePredVar  the worst of the first day, entered later; intubated and vent serve the outcome alone
  notes entered from hour 24 on
  ethnicity                    a subgroup, to be looked at and not learned from
Known limit: a laboratory result is the last revision (of two at once the higher), and counts from when the sample was drawn, as
in the literature.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench import checks
from bench.core import Cohort, Modality, Tabular, Text

from . import _icu
from ._icu import BEFORE, CREATININE, DAY, UNTIL, Tables

# labname, channel, lowest, highest: eicu-code, concepts/pivoted/pivoted-lab.sql and pivoted-bg.sql
DRAWN = (
    ("albumin", "albumin", 0.5, 6.5), ("total bilirubin", "bilirubin", 0.2, 70.175), ("BUN", "bun", 1, 280),
    ("calcium", "calcium", 0.1, 9_999), ("chloride", "chloride", 0.1, 9_999), ("creatinine", CREATININE, 0.1, 28.28),
    ("bedside glucose", "glucose", 25, 1_500), ("glucose", "glucose", 25, 1_500), ("bicarbonate", "bicarbonate", 0, 9_999),
    ("Hct", "hematocrit", 5, 75), ("Hgb", "hemoglobin", 0.1, 9_999), ("PT - INR", "inr", 0.5, 15), ("lactate", "lactate", 0.1, 30),
    ("platelets x 1000", "platelets", 0.1, 9_999), ("potassium", "potassium", 0.05, 12), ("PTT", "ptt", 0.1, 500),
    ("sodium", "sodium", 90, 215), ("WBC x 1000", "wbc", 0.01, 100), ("ALT (SGPT)", "alt", 0.1, 100_000),
    ("AST (SGOT)", "ast", 0.1, 100_000), ("pH", "ph", 6.5, 8.5), ("paO2", "po2", 15, 720), ("paCO2", "pco2", 5, 250),
)  # fmt: skip
# column of vitalPeriodic or vitalAperiodic, channel, lowest, highest: pivoted-vital.sql
MONITORED = (
    ("heartrate", "heart_rate", 25, 225), ("respiration", "resp_rate", 0, 60), ("sao2", "spo2", 0.1, 100),
    ("temperature", "temperature", 25, 46), ("systemicsystolic", "sbp", 1, 300), ("systemicdiastolic", "dbp", 1, 200),
    ("systemicmean", "map", 1, 250),
)  # fmt: skip
CUFF = (("noninvasivesystolic", "sbp", 25, 250), ("noninvasivediastolic", "dbp", 1, 200), ("noninvasivemean", "map", 1, 250))
# label, name, channel, lowest, highest in nurseCharting: pivoted-vital.sql, pivoted-gcs.sql
NURSED = (
    ("Temperature", "Temperature (C)", "temperature", 25, 46), ("Temperature", "Temperature (F)", "temperature", 77, 115),
    ("Glasgow coma score", "GCS Total", "gcs", 3, 15), ("Score (Glasgow Coma Scale)", "Value", "gcs", 3, 15),
)  # fmt: skip
UNITS: Mapping[str, str] = {
    "heart_rate": "1/min", "resp_rate": "1/min", "spo2": "%", "temperature": "C", "sbp": "mmHg", "dbp": "mmHg", "map": "mmHg",
    "gcs": "3-15", "albumin": "g/dL", "bilirubin": "mg/dL", "bun": "mg/dL", "calcium": "mg/dL", "chloride": "mmol/L",
    CREATININE: "mg/dL", "glucose": "mg/dL", "bicarbonate": "mmol/L", "hematocrit": "%", "hemoglobin": "g/dL", "inr": "",
    "lactate": "mmol/L", "platelets": "1000/uL", "potassium": "mmol/L", "ptt": "s", "sodium": "mmol/L", "wbc": "1000/uL",
    "alt": "IU/L", "ast": "IU/L", "ph": "", "po2": "mmHg", "pco2": "mmHg",
}  # fmt: skip
CHANNELS = tuple(UNITS)

_COHORT = f"""
WITH units AS (
    SELECT *, CASE WHEN age LIKE '%89%' AND age LIKE '>%' THEN 90 ELSE TRY_CAST(age AS INTEGER) END AS years,
        row_number() OVER stay AS visit,
        coalesce(sum((unitstaytype = 'readmit')::INTEGER) OVER (stay ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), 0) AS returns
    FROM patient WHERE unitstaytype <> 'stepdown/other'
    WINDOW stay AS (PARTITION BY patienthealthsystemstayid ORDER BY unitvisitnumber::INTEGER, patientunitstayid::BIGINT)
)
SELECT (row_number() OVER (ORDER BY patientunitstayid::BIGINT) - 1)::INTEGER AS row, *,
    TRY_CAST(hospitaldischargeoffset AS DOUBLE) AS leaves
FROM units
WHERE visit = 1 AND unitstaytype <> 'readmit' AND years >= 18 AND unitdischargeoffset::DOUBLE >= {DAY}
    AND NOT (coalesce(hospitaldischargestatus, '') = 'Expired' AND coalesce(leaves, {DAY} + 1) <= {DAY})
"""

# steps of treatmentstring, on whatever path: pulmonary, surgery or toxicology
_SIGNS = ("mechanical ventilation", "ventilator weaning", "endotracheal tube", "reintubation", "tracheostomy")
_SIGN = " OR ".join(f"treatmentstring LIKE '%|{sign}%'" for sign in _SIGNS)
INVASIVE = f"({_SIGN}) AND treatmentstring NOT LIKE '%non-invasive%'"

_STAYS = f"""
WITH signs AS (
    SELECT patientunitstayid, treatmentoffset::DOUBLE AS minute FROM treatment
    WHERE {INVASIVE}
    UNION ALL SELECT patientunitstayid, respcarestatusoffset::DOUBLE FROM respiratorycare
    WHERE airwaytype IN ('Oral ETT', 'Nasal ETT', 'Tracheostomy')
    UNION ALL SELECT patientunitstayid, start FROM (
        SELECT patientunitstayid, unnest([TRY_CAST(ventstartoffset AS DOUBLE), TRY_CAST(priorventstartoffset AS DOUBLE)]) AS start
        FROM respiratorycare
    ) WHERE start <> 0  -- 0 stands for none
    UNION ALL SELECT patientunitstayid, 0 FROM apacheapsvar WHERE intubated = '1' OR vent = '1'
), ventilated AS (
    SELECT c.row, bool_or(minute < {DAY}) AS before, bool_or(minute BETWEEN {DAY} AND {UNTIL}) AS after
    FROM signs JOIN cohort c USING (patientunitstayid) GROUP BY c.row
)
SELECT c.row, uniquepid AS patient, years AS age, CASE WHEN gender IN ('Female', 'Male') THEN lower(gender) END AS sex,
    nullif(nullif(ethnicity, ''), 'Other/Unknown') AS race, unittype AS unit, hospitaldischargeyear AS time, hospitalid AS site,
    TRY_CAST(admissionheight AS DOUBLE) AS height, TRY_CAST(admissionweight AS DOUBLE) AS weight, unitadmitsource AS admit_source,
    -TRY_CAST(hospitaladmitoffset AS DOUBLE) / 60 AS hours_before,
    CASE hospitaldischargestatus WHEN 'Expired' THEN 1 WHEN 'Alive' THEN 0 END AS died,
    coalesce(unitdischargestatus, '') = 'Expired' AS died_icu, leaves AS left, (returns > 0)::INTEGER AS readmitted,
    coalesce(v.before, false) AS ventilated_before, coalesce(v.after, false) AS ventilated_after
FROM cohort c LEFT JOIN ventilated v ON v.row = c.row ORDER BY c.row
"""


def _means(table: str, columns: tuple[tuple[str, str, float, float], ...]) -> str:
    """row, minute, name and value: the mean of each hour of the first day, at the hour's last observation.

    Of decimals, whose sum does not depend on the order in which the rows come.
    """
    exact = "DECIMAL(12, 4)"
    parts = ", ".join(
        f"avg(TRY_CAST(v.{column} AS {exact})) FILTER (TRY_CAST(v.{column} AS DOUBLE) BETWEEN {low} AND {high}) AS {name}"
        for column, name, low, high in columns
    )
    return (
        f"SELECT row, minute, name, value FROM (UNPIVOT (SELECT c.row, max(v.observationoffset::DOUBLE) AS minute, {parts} "
        f"FROM {table} v JOIN cohort c USING (patientunitstayid) "
        f"WHERE v.observationoffset::DOUBLE >= 0 AND v.observationoffset::DOUBLE < {DAY} "
        f"GROUP BY c.row, floor(v.observationoffset::DOUBLE / 60)) ON {', '.join(name for _, name, *_ in columns)} "
        "INTO NAME name VALUE value)"
    )


_EVENTS = f"""
WITH channels(name, channel) AS (VALUES {_icu.rows(tuple((name, i) for i, name in enumerate(CHANNELS)))}),
drawn(labname, name, low, high) AS (VALUES {_icu.rows(DRAWN)}),
nursed(label, field, name, low, high) AS (VALUES {_icu.rows(NURSED)}),
results AS (
    SELECT c.row, l.labresultoffset::DOUBLE AS minute, d.name,
        arg_max(l.number, (coalesce(TRY_CAST(l.labresultrevisedoffset AS DOUBLE), -1e9), l.number)) AS value,
        any_value(d.low) AS low, any_value(d.high) AS high
    FROM (SELECT *, TRY_CAST(labresult AS DOUBLE) AS number FROM lab) l
    JOIN drawn d USING (labname) JOIN cohort c USING (patientunitstayid)
    WHERE l.number IS NOT NULL AND (l.labresultoffset::DOUBLE >= 0 AND l.labresultoffset::DOUBLE < {DAY}
        OR l.labname = 'creatinine' AND l.labresultoffset::DOUBLE BETWEEN {BEFORE} AND {UNTIL})
    GROUP BY c.row, l.labresultoffset, l.labname, d.name
), charted AS (
    SELECT c.row, n.nursingchartoffset::DOUBLE AS minute, d.name,
        CASE WHEN d.field = 'Temperature (F)' THEN (n.number - 32) / 1.8 ELSE n.number END AS value
    FROM (SELECT *, TRY_CAST(nursingchartvalue AS DOUBLE) AS number FROM nursecharting) n
    JOIN nursed d ON n.nursingchartcelltypevallabel = d.label AND n.nursingchartcelltypevalname = d.field
    JOIN cohort c USING (patientunitstayid)
    WHERE n.nursingchartoffset::DOUBLE >= 0 AND n.nursingchartoffset::DOUBLE < {DAY} AND n.number BETWEEN d.low AND d.high
), every AS (
    SELECT row, minute, name, value FROM results WHERE value BETWEEN low AND high
    UNION ALL SELECT row, minute, name, value FROM charted
    UNION ALL {_means("vitalperiodic", MONITORED)}
    UNION ALL {_means("vitalaperiodic", CUFF)}
)
SELECT row, minute, channel::SMALLINT AS channel, value FROM every JOIN channels USING (name)
"""

_NOTES = f"""
SELECT c.row, string_agg(regexp_replace(n.notepath, '^notes/', '') || ': ' || trim(coalesce(n.notetext, n.notevalue, '')), chr(10)
    ORDER BY n.noteenteredoffset::DOUBLE, n.noteid::BIGINT) AS text
FROM note n JOIN cohort c USING (patientunitstayid)
WHERE n.noteoffset::DOUBLE >= 0 AND greatest(n.noteoffset::DOUBLE, n.noteenteredoffset::DOUBLE) < {DAY}
GROUP BY c.row
"""

_VENTILATION = ("treatment", "respiratorycare", "apacheapsvar")
_MEASURED = ("lab", "nursecharting", "vitalperiodic", "vitalaperiodic")
_FILES = (
    "patient",
    "lab",
    "vitalPeriodic",
    "vitalAperiodic",
    "nurseCharting",
    "treatment",
    "respiratoryCare",
    "apacheApsVar",
    "note",
)

TABLES = Tables(
    dataset="eicu",
    page="https://physionet.org/content/eicu-crd/",
    layout="the files of release 2.0 side by side, as published (patient.csv.gz, lab.csv.gz, ..., for notes=true also note.csv.gz)",
    files={name.lower(): name for name in _FILES},
    cohort=_COHORT,
    shared=("patient",),
)


def load(notes: bool = False) -> Cohort:
    """The cohort. notes: with the clinicians' notes entered within the first 24 hours, one text a stay."""
    for name in TABLES.files:
        if notes or name != "note":
            TABLES.path(name)  # before hours of reading
    stays = TABLES.read("stays", _VENTILATION, _STAYS)
    events = TABLES.read("events", _MEASURED, _EVENTS)
    modalities: dict[str, Modality] = {"table": Tabular(features(stays)), "series": _icu.series(events, len(stays), UNITS)}
    if notes:
        entered = TABLES.read("notes", ["note"], _NOTES).set_index("row")["text"].reindex(range(len(stays)))
        modalities["notes"] = Text(entered.fillna("").astype(object), entered.notna().to_numpy())
    return checks.build(
        "eicu", modalities, _icu.TASKS, _icu.outcomes(stays, events, CHANNELS), stays["patient"].tolist(),
        site=np.array(stays["site"].tolist(), str), time=np.array(stays["time"].tolist(), "datetime64[Y]").astype("datetime64[D]"),
        subgroups=_icu.subgroups(stays),
    )  # fmt: skip


def features(stays: pd.DataFrame) -> pd.DataFrame:
    """What is known on admission to the unit; codes as Categorical. A height or weight that no adult has is missing."""
    table = stays[["age", "hours_before", "height", "weight"]].astype(np.float64)
    sensible = {
        "height": table["height"].where(table["height"].between(100, 250)),
        "weight": table["weight"].where(table["weight"].between(20, 400)),
    }
    return table.assign(**sensible, **{c: _icu.codes(stays[c]) for c in ("sex", "unit", "admit_source")})
