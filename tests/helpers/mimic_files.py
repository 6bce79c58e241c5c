"""Fourteen admissions in the layout of MIMIC-IV 3.1 (columns of its buildmimic/postgres/create.sql); nobody in them is real."""

from datetime import datetime, timedelta
from pathlib import Path

import published

START = datetime(2150, 1, 1, 12)
COLUMNS = {
    "hosp/patients": "subject_id gender anchor_age anchor_year anchor_year_group dod",
    "hosp/admissions": "subject_id hadm_id admittime dischtime deathtime admission_type admit_provider_id admission_location "
    "discharge_location insurance language marital_status race edregtime edouttime hospital_expire_flag",
    "hosp/labevents": "labevent_id subject_id hadm_id specimen_id itemid order_provider_id charttime storetime value valuenum "
    "valueuom ref_range_lower ref_range_upper flag priority comments",
    "icu/icustays": "subject_id hadm_id stay_id first_careunit last_careunit intime outtime los",
    "icu/chartevents": "subject_id hadm_id stay_id caregiver_id charttime storetime itemid value valuenum valueuom warning",
    "icu/procedureevents": "subject_id hadm_id stay_id caregiver_id starttime endtime storetime itemid value valueuom location "
    "locationcategory orderid linkorderid ordercategoryname ordercategorydescription patientweight isopenbag continueinnextdept "
    "statusdescription originalamount originalrate",
    "note/radiology": "note_id subject_id hadm_id note_type note_seq charttime storetime text",
}
# admission: (patient, age, first hour in the unit after START, hours in the unit, hours to discharge, hour of death or None)
ADMISSIONS = {
    1: (101, 60, 0, 48, 120, None),
    2: (102, 70, 0, 72, 75, 75),  # dies in the unit on day 4, 3 hours after its books say that the stay ended
    3: (103, 50, 0, 48, 216, None),  # 9 days
    4: (104, 64, 0, 48, 53, 53),  # back in the unit at hour 50, and dead at 53
    5: (105, 65, 0, 48, 144, None),
    6: (106, 81, 0, 48, 144, None),
    7: (107, 40, 0, 48, 144, None),
    8: (107, 41, 8_760, 48, 240, None),  # the same patient a year later, 10 days
    9: (108, 17, 0, 48, 144, None),  # a child
    10: (109, 55, 0, 20, 144, None),  # 20 hours in the unit
    11: (110, 55, 0, 25, 25, 20),  # dead at hour 20, out of the books at 25
    12: (111, 77, 0, 48, 120, 120),  # dies on the ward on day 5
    13: (112, 18, 0, 24, 168, None),  # just adult, just 24 hours, just 7 days
}
RACES = {101: "WHITE - RUSSIAN", 102: "BLACK/AFRICAN AMERICAN", 103: "UNKNOWN", 104: "PORTUGUESE", 105: "HISPANIC/LATINO - CUBAN"}
# admission, hour in the unit, mg/dL
CREATININE = [
    (1, 2, 1.0), (1, 30, 1.1),  # no injury
    (2, 2, 1.0),  # not measured later
    (4, 2, 1.0), (4, 40, 1.3),  # + 0.3 in 38 hours
    (5, 2, 0.5), (5, 120, 0.75),  # 1.5 times in 118 hours, by 0.25
    (6, 1, 1.0), (6, 20, 1.6), (6, 30, 2.0),  # before hour 24 already
    (7, 2, 1.0), (7, 30, 1.25), (7, 60, 1.3),  # + 0.3, but in 58 hours; + 0.05 in 30
    (8, 2, 1.0), (8, 216, 2.0),  # later than 7 days after hour 24
    (12, -192, 0.2), (12, 2, 1.0), (12, 30, 1.0), (12, 144, 3.0),  # 8 days before, and after the discharge
    (13, 30, 1.0), (13, 40, 2.0),  # not measured before hour 24
]  # fmt: skip
VENTILATION = [(2, 225792, 30), (3, 225792, 3), (3, 225792, 40), (5, 225794, 30), (6, 224385, 26), (13, 225792, -1)]
CHARTED = [
    (1, 223761, 1, 98.6),
    (1, 220045, 10, 80),
    (1, 220045, 24, 90),
    (1, 220045, 11, 999),
    (1, 223835, 12, 0.5),
    (1, 220045, 13, ""),
]
POTASSIUM = [(1, -1, 3.0), (1, 5, 4.0), (1, 30, 5.0)]
# admission, hour charted, hour stored, text
REPORTS = [
    (1, 20, 21, 'Second, with a "quote"\nand a line.'),
    (1, 3, 4, "First."),
    (1, 30, 31, "Late."),
    (2, 23, 25, "Stored late."),
]


def when(admission: int, hour: float) -> str:
    """The clock `hour` hours after admission to the unit."""
    return str(START + timedelta(hours=ADMISSIONS[admission][2] + hour))


def write(folder: Path) -> None:
    people: dict[int, dict[str, object]] = {}
    admissions, stays, labs, charts, procedures, notes = [], [], [], [], [], []
    for hadm, (patient, age, _, unit, left, death) in ADMISSIONS.items():
        people.setdefault(  # the anchor lies a year before
            patient,
            {"subject_id": patient, "gender": "FM"[patient % 2], "anchor_age": age - 1, "anchor_year": 2149, "anchor_year_group": "2014 - 2016"},
        )  # fmt: skip
        own = {"subject_id": patient, "hadm_id": hadm}
        admissions.append(own | {
            "admittime": when(hadm, -2), "dischtime": when(hadm, left), "deathtime": "" if death is None else when(hadm, death),
            "admission_type": "EW EMER.", "race": RACES.get(patient, "ASIAN"), "hospital_expire_flag": int(death is not None),
        })  # fmt: skip
        stays.append(own | {"stay_id": hadm * 10, "first_careunit": "MICU", "intime": when(hadm, 0), "outtime": when(hadm, unit)})
    stays.append(
        {"subject_id": 104, "hadm_id": 4, "stay_id": 49, "first_careunit": "SICU", "intime": when(4, 50), "outtime": when(4, 53)}
    )
    for item, rows in ((50912, CREATININE), (50971, POTASSIUM)):
        labs += [
            {"subject_id": ADMISSIONS[a][0], "itemid": item, "charttime": when(a, hour), "valuenum": value}
            for a, hour, value in rows
        ]
    charts = [{"stay_id": a * 10, "itemid": i, "charttime": when(a, hour), "valuenum": v} for a, i, hour, v in CHARTED]
    tube = {"stay_id": 10, "itemid": 223900, "valuenum": 1}
    charts += [
        tube | {"charttime": when(1, 14), "value": "No Response-ETT"},
        tube | {"charttime": when(1, 15), "value": "No Response"},
    ]
    procedures = [{"stay_id": a * 10, "hadm_id": a, "itemid": i, "starttime": when(a, hour)} for a, i, hour in VENTILATION]
    notes = [
        {"note_id": i, "subject_id": ADMISSIONS[a][0], "charttime": when(a, at), "storetime": when(a, kept), "text": text}
        for i, (a, at, kept, text) in enumerate(REPORTS)
    ]
    parts = [list(people.values()), admissions, labs, stays, charts, procedures, notes]
    for (name, columns), rows in zip(COLUMNS.items(), parts, strict=True):
        published.write(folder, name, columns, rows)
