"""Eighteen unit stays in the layout of eICU-CRD 2.0 (columns of eicu-code's build-db, as in the published CSVs); nobody is real."""

from pathlib import Path

import published

H = 60  # minutes
D = 24 * H
COLUMNS = {
    "patient": "patientunitstayid patienthealthsystemstayid gender age ethnicity hospitalid wardid apacheadmissiondx admissionheight "
    "hospitaladmittime24 hospitaladmitoffset hospitaladmitsource hospitaldischargeyear hospitaldischargetime24 "
    "hospitaldischargeoffset hospitaldischargelocation hospitaldischargestatus unittype unitadmittime24 unitadmitsource "
    "unitvisitnumber unitstaytype admissionweight dischargeweight unitdischargetime24 unitdischargeoffset unitdischargelocation "
    "unitdischargestatus uniquepid",
    "lab": "labid patientunitstayid labresultoffset labtypeid labname labresult labresulttext labmeasurenamesystem "
    "labmeasurenameinterface labresultrevisedoffset",
    "vitalPeriodic": "vitalperiodicid patientunitstayid observationoffset temperature sao2 heartrate respiration cvp etco2 "
    "systemicsystolic systemicdiastolic systemicmean pasystolic padiastolic pamean st1 st2 st3 icp",
    "vitalAperiodic": "vitalaperiodicid patientunitstayid observationoffset noninvasivesystolic noninvasivediastolic noninvasivemean "
    "paop cardiacoutput cardiacinput svr svri pvr pvri",
    "nurseCharting": "nursingchartid patientunitstayid nursingchartoffset nursingchartentryoffset nursingchartcelltypecat "
    "nursingchartcelltypevallabel nursingchartcelltypevalname nursingchartvalue",
    "treatment": "treatmentid patientunitstayid treatmentoffset treatmentstring activeupondischarge",
    "respiratoryCare": "respcareid patientunitstayid respcarestatusoffset currenthistoryseqnum airwaytype airwaysize airwayposition "
    "cuffpressure ventstartoffset ventendoffset priorventstartoffset priorventendoffset",
    "apacheApsVar": "apacheapsvarid patientunitstayid intubated vent dialysis eyes motor verbal meds urine wbc temperature "
    "respiratoryrate sodium heartrate meanbp ph hematocrit creatinine albumin pao2 pco2 bun glucose bilirubin fio2",
    "note": "noteid patientunitstayid noteoffset noteenteredoffset notetype notepath notevalue notetext",
}
# unit stay: (hospital stay, person, age, hours in the unit, hours to discharge, state there, state in the unit, visit, kind)
STAYS = {
    1: (10, "A", "60", 48, 120, "Alive", "Alive", 1, "admit"),
    2: (20, "B", "> 89", 72, 72, "Expired", "Expired", 1, "admit"),  # dies in the unit on day 3
    3: (30, "C", "50", 48, 216, "Alive", "Alive", 1, "admit"),  # 9 days
    4: (40, "D", "64", 48, 144, "Alive", "Alive", 1, "admit"),
    41: (40, "D", "64", 30, 48, "Alive", "Alive", 2, "readmit"),  # back again
    52: (50, "E", "65", 30, 174, "Alive", "Alive", 1, "stepdown/other"),  # no intensive care
    5: (50, "E", "65", 48, 144, "Alive", "Alive", 2, "transfer"),  # from there: the first stay that counts
    51: (50, "E", "65", 30, 96, "Alive", "Alive", 3, "transfer"),  # to another unit: no return
    6: (60, "F", "81", 48, 144, "Alive", "Alive", 1, "admit"),
    7: (70, "G", "40", 48, 144, "Alive", "Alive", 1, "admit"),
    8: (80, "G", "41", 48, 240, "Alive", "Alive", 1, "admit"),  # the same person again, 10 days
    9: (90, "H", "17", 48, 144, "Alive", "Alive", 1, "admit"),  # a child
    11: (110, "I", "55", 20, 144, "Alive", "Alive", 1, "admit"),  # 20 hours in the unit
    12: (120, "J", "77", 48, 120, "Expired", "Alive", 1, "admit"),  # dies on the ward
    13: (130, "K", "70", 90, 90, "Alive", "Alive", 1, "stepdown/other"),  # no intensive care
    14: (140, "L", "18", 24, 168, "", "Alive", 1, "admit"),  # just adult, just 24 hours; how it ended is not told
    15: (150, "M", "", 48, 144, "Alive", "Alive", 1, "admit"),  # no age
    16: (160, "N", "70", 48, 144, "Alive", "Alive", 2, "readmit"),  # the stay before is not in the source
}
# stay, hour, mg/dL
CREATININE = [
    (1, 2, 1.0), (1, 30, 1.1),  # no injury
    (2, 2, 1.0),  # not measured later
    (4, 2, 1.1), (4, 40, 1.4),  # + 0.3 in 38 hours: 0.29999... in binary
    (5, 2, 0.5), (5, 120, 0.75),  # 1.5 times in 118 hours, by 0.25
    (6, 1, 1.0), (6, 20, 1.6), (6, 30, 2.0),  # before hour 24 already
    (7, 2, 1.0), (7, 30, 1.25), (7, 60, 1.3),  # + 0.3, but in 58 hours
    (8, 2, 1.0), (8, 216, 2.0),  # later than 7 days after hour 24
    (12, 2, 1.0), (12, 30, 1.0), (12, 144, 3.0),  # after the discharge
    (14, 30, 1.0), (14, 40, 2.0),  # not measured before hour 24
]  # fmt: skip
MECHANICAL = "pulmonary|ventilation and oxygenation|mechanical ventilation"
TREATMENTS = [
    (2, 30, MECHANICAL),
    (3, 3, f"{MECHANICAL}|assist controlled"),
    (3, 40, MECHANICAL),
    (5, 30, f"{MECHANICAL}|non-invasive ventilation"),
    (7, 5, "surgery|pulmonary therapies|mechanical ventilation"),
    (8, 30, "surgery|pulmonary therapies|ventilator weaning|rapid"),
    (12, 30, "surgery|pulmonary therapies|non-invasive ventilation"),
]
AIRWAYS = [
    (6, 26, "Oral ETT", 0),
    (1, 30, "", 0),
    (4, 50, "", 30),
]  # stay, hour, airway, hour of the ventilator's start (0: none)

TEMPERATURES = [36.1, 36.4, 36.6, 36.7, 36.9]  # their sum differs in the last bit between the two directions


def write(folder: Path, backwards: bool = False) -> None:
    """backwards: the rows of every file from the last to the first."""
    tables: dict[str, list[dict[str, object]]] = {name: [] for name in COLUMNS}
    for stay, (hospital_stay, person, age, unit, left, end, unit_end, visit, kind) in STAYS.items():
        tables["patient"].append({
            "patientunitstayid": stay, "patienthealthsystemstayid": hospital_stay, "uniquepid": person, "age": age,
            "gender": "Female" if stay % 2 else "Male", "ethnicity": "Caucasian" if stay < 5 else "Other/Unknown", "hospitalid": 59 + stay % 2,
            "admissionheight": 170 if stay > 1 else 1.7, "admissionweight": 70 + stay, "hospitaladmitoffset": -2 * H, "hospitaldischargeyear": 2014,
            "hospitaldischargeoffset": left * H, "hospitaldischargestatus": end, "unitdischargeoffset": unit * H, "unitdischargestatus": unit_end,
            "unittype": "Med-Surg ICU", "unitadmitsource": "Floor", "unitvisitnumber": visit, "unitstaytype": kind,
        })  # fmt: skip
    drawn = [(s, h, "creatinine", v, 0) for s, h, v in CREATININE]
    drawn += [
        (1, -1, "potassium", 3.0, 0),
        (1, 5, "potassium", 4.0, 10),
        (1, 5, "potassium", 4.4, 20),
        (1, 5, "potassium", 4.2, 20),
        (1, 30, "potassium", 5.0, 0),
    ]
    drawn += [(1, 6, "sodium", 12, 0)]  # outside of what is taken
    tables["lab"] = [
        {"patientunitstayid": s, "labresultoffset": h * H, "labname": n, "labresult": v, "labresultrevisedoffset": r} for s, h, n, v, r in drawn
    ]  # fmt: skip
    monitor = [(600, 80), (605, 93), (610, 100), (615, 900), (660, 70), (1_439, 60), (1_440, 50), (-5, 40)]
    tables["vitalPeriodic"] = [{"patientunitstayid": 1, "observationoffset": m, "heartrate": v} for m, v in monitor]
    tables["vitalPeriodic"] += [
        {"patientunitstayid": 2, "observationoffset": i * 5, "temperature": v} for i, v in enumerate(TEMPERATURES)
    ]
    tables["vitalAperiodic"] = [{"patientunitstayid": 1, "observationoffset": 90, "noninvasivemean": 75}]
    nursed = [
        ("Temperature", "Temperature (F)", 60, "98.6"),
        ("Glasgow coma score", "GCS Total", 120, "15"),
        ("Temperature", "Temperature (C)", 130, "n/a"),
    ]
    tables["nurseCharting"] = [
        {"patientunitstayid": 1, "nursingchartoffset": m, "nursingchartcelltypevallabel": label, "nursingchartcelltypevalname": n, "nursingchartvalue": v}
        for label, n, m, v in nursed
    ]  # fmt: skip
    tables["treatment"] = [{"patientunitstayid": s, "treatmentoffset": h * H, "treatmentstring": t} for s, h, t in TREATMENTS]
    tables["respiratoryCare"] = [
        {"patientunitstayid": s, "respcarestatusoffset": h * H, "airwaytype": a, "ventstartoffset": start * H, "priorventstartoffset": 0}
        for s, h, a, start in AIRWAYS
    ]  # fmt: skip
    tables["apacheApsVar"] = [{"patientunitstayid": s, "intubated": 0, "vent": int(s == 14)} for s in STAYS]
    tables["note"] = [
        {"noteid": i, "patientunitstayid": 1, "noteoffset": at, "noteenteredoffset": entered, "notepath": f"notes/Progress Notes/{i}", "notetext": text}
        for i, (at, entered, text) in enumerate([(300, 310, "second"), (60, 70, "first, with\na line"), (1_400, 1_500, "entered late"), (2_000, 2_000, "late")])
    ]  # fmt: skip
    for name, columns in COLUMNS.items():
        published.write(folder, name, columns, tables[name][:: -1 if backwards else 1])
