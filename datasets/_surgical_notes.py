"""The note grammar of `surgical`: graded findings, each level told in several ways, among sentences that say nothing.

A level is never one key word: low levels negate the words of high ones, phrasings share vocabulary across findings, writers
abbreviate, misspell and leave things out. Everything is chosen by the uniforms that the caller draws, by table look-up.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

FINDINGS: dict[str, tuple[tuple[str, ...], ...]] = {  # four levels each, mildest first; the first three belong to the history
    "fitness": (
        ("Active, good exercise tolerance.", "Good exercise tolerance, climbs stairs without stopping.",
         "Active and independent, no dyspnoea.", "Independent, climbs three flights of stairs."),
        ("Mild dyspnoea on stairs.", "Fair exercise tolerance, dyspnoea on the second flight of stairs.",
         "Independent at home, mild dyspnoea on hills.", "Walks slowly, fair exercise tolerance."),
        ("Poor exercise tolerance, dyspnoea on the flat.", "Walks with a frame, poor exercise tolerance.",
         "Dyspnoea on the flat, needs help with shopping.", "Walks 200 m with a frame, needs help at home."),
        ("Frail, dyspnoea at rest.", "Frail and housebound, needs help with dressing.",
         "Housebound, dyspnoea at rest, marked weight loss.", "Very frail, bed to chair only."),
    ),
    "chest": (
        ("Lungs clear, no wheeze.", "Lungs clear, no cough or sputum.", "Never smoked, lungs clear.",
         "No cough, no wheeze."),
        ("Occasional cough, lungs clear today.", "Mild asthma, inhaler in spring, no wheeze.",
         "Occasional wheeze, inhaler when needed.", "Mild asthma, occasional cough."),
        ("Chronic bronchitis, wheeze and sputum.", "Chronic cough, daily inhaler.",
         "Wheeze at both bases, chronic bronchitis.", "Daily inhaler, smokes, coarse wheeze."),
        ("Recent pneumonia, purulent sputum.", "Home oxygen, wheeze throughout.",
         "Recent pneumonia on chronic bronchitis, home oxygen.", "Purulent sputum, basal crackles, recent steroids."),
    ),
    "kidney": (
        ("Renal function normal.", "No renal history, passing urine well.", "Normal renal function, drinks well.",
         "Passing urine well, normal creatinine."),
        ("Renal function borderline.", "Creatinine borderline, stable.", "Borderline creatinine at last check.",
         "Renal function stable on a diuretic."),
        ("Renal impairment, creatinine raised.", "Known renal impairment, dehydrated on arrival.",
         "Creatinine raised after ibuprofen.", "Dehydrated, creatinine raised."),
        ("Renal impairment, creatinine climbing, oliguric.", "Oliguric overnight, creatinine climbing.",
         "Previous kidney injury, contrast scan yesterday.", "Kidney clinic: creatinine climbing, previous kidney injury."),
    ),
    "bleeding": (
        ("Minimal blood loss.", "Haemostasis secured, minimal blood loss.", "No bleeding, field dry.",
         "Haemostasis good, no transfusion."),
        ("Some oozing, diathermy used.", "Moderate blood loss, no transfusion.", "Oozing controlled with diathermy.",
         "Moderate blood loss, some oozing."),
        ("Brisk bleeding, packed.", "Brisk bleeding, two units of red cells.", "Packed for brisk bleeding, cell saver used.",
         "Transfusion of two units of red cells."),
        ("Major haemorrhage, massive transfusion.", "Torn vein with major haemorrhage, packed.",
         "Massive transfusion, plasma and platelets.", "Major haemorrhage, plasma and red cells given."),
    ),
    "difficulty": (
        ("Straightforward dissection.", "Normal anatomy, straightforward procedure.", "Uneventful procedure, good exposure.",
         "Good exposure, normal anatomy."),
        ("Some scar tissue divided.", "Limited exposure, procedure completed as planned.", "Dissection slow, some scar tissue.",
         "Exposure limited by habitus."),
        ("Dense scar tissue, difficult dissection.", "Difficult procedure, approach extended.",
         "Dense scar tissue, small tear repaired.", "Difficult dissection, second surgeon joined."),
        ("Hostile field, plan changed.", "Inadvertent injury, repaired in two layers.",
         "Hostile field, inadvertent injury repaired.", "Procedure abandoned, hostile field, damage control."),
    ),
    "wound": (
        ("Clean wound, closed in layers.", "Clean field, no contamination.", "Wound clean and dry.",
         "Closed in layers without tension."),
        ("Turbid fluid, washout.", "Clean contaminated field, drain left.", "Slight tension at closure, drain left.",
         "A little turbid fluid, drain left."),
        ("Contaminated field, thorough washout.", "Purulent fluid, drains left, skin edges dusky.",
         "Contaminated, oedematous tissue, closed with clips.", "Dusky skin edges, thorough washout."),
        ("Gross contamination, wound left open.", "Pus throughout, vacuum dressing.",
         "Gross contamination, necrotic tissue debrided.", "Necrotic tissue, vacuum dressing, wound left open."),
    ),
    "course": (
        ("Stable throughout, comfortable in recovery.", "Stable, no vasopressors.", "Awake and comfortable in recovery.",
         "Uneventful anaesthetic, no vasopressors."),
        ("Transient hypotension, settled with fluids.", "One bolus of ephedrine, then stable.",
         "Transient hypotension at induction, ephedrine.", "Transient tachycardia, settled with fluids."),
        ("Repeated boluses of phenylephrine.", "Noradrenaline low dose, drowsy at the end.",
         "Repeated hypotension, noradrenaline low dose.", "Drowsy at the end, repeated desaturation."),
        ("Unstable, noradrenaline rising.", "Lactate rising, inotropes started.",
         "Emergency airway, unstable.", "Unstable, lactate and noradrenaline rising."),
    ),
}  # fmt: skip
HISTORY = 3

OPERATIONS = (
    ("Laparotomy", "Laparoscopic cholecystectomy", "Hernia repair with mesh", "Exploration of the abdomen"),
    ("Right hemicolectomy", "Anterior resection", "Reversal of stoma", "Laparoscopic sigmoid resection"),
    ("Liver resection", "Whipple procedure", "Open bile duct exploration", "Distal pancreatectomy"),
    ("Total hip replacement", "Total knee replacement", "Fixation of hip fracture", "Spinal decompression"),
    ("Lobectomy", "Wedge resection of the lung", "Decortication", "Thoracoscopic biopsy"),
    ("Aortic aneurysm repair", "Carotid endarterectomy", "Femoral bypass", "Below knee amputation"),
    ("Radical cystectomy", "Partial nephrectomy", "Transurethral resection", "Ureteric stone removal"),
    ("Hysterectomy", "Debulking of ovarian tumour", "Myomectomy", "Laparoscopic salpingectomy"),
    ("Neck dissection", "Thyroidectomy", "Laryngectomy", "Parotidectomy"),
    ("Craniotomy for tumour", "Evacuation of subdural haematoma", "Shunt revision", "Posterior fossa decompression"),
)
FRAMES = ("{} under {} anaesthesia.", "Procedure: {}, {}.", "Underwent {} ({} anaesthesia).", "{} performed, {} anaesthetic.")
OPENINGS = (
    "{age} year old {sex}, for surgery today.",
    "{sex}, {age}.",
    "{age} yo {sex}, seen in clinic.",
    "Patient is a {age} year old {sex}.",
)
FILLERS = (
    "Consent signed and in the notes.", "Checklist completed by the team.", "Swab and needle counts correct.",
    "Family informed by telephone.", "Positioned supine, pressure points padded.", "Antibiotic given on time.",
    "Skin prepared with chlorhexidine.", "Specimen sent to pathology.", "Photographs taken for the record.",
    "Seen by the student at 7.40.", "Wears hearing aids.", "Retired teacher, lives with partner.", "No known allergies.",
    "Allergic to penicillin, rash only.", "Fasted from midnight.", "Jewellery handed to relatives.", "Interpreter booked.",
    "Tourniquet deflated.", "Equipment check done.", "Trainee supervised by consultant.", "Thromboprophylaxis as per protocol.",
    "Dressing may come off on Monday.", "Sutures out in ten days.", "Follow up in six weeks.", "Enjoys gardening.",
    "Dentures removed.", "Glasses returned in recovery.", "Blood group on file.", "Asked about parking.", "Driver, two children.",
    "Latex free set.", "Implant sticker attached.", "List ran late.", "Warming blanket in use.", "Urinary catheter removed on round.",
    "Prefers evening meals.", "Copy to family doctor.", "Audit form filled in.", "Vegetarian.", "Theatre four.",
)  # fmt: skip
SHORT = {  # applied in this order
    "without": "w/o", "with": "w", "history": "hx", "procedure": "proc", "Procedure": "Proc", "hypotension": "hypotn",
    "exercise tolerance": "ET", "dyspnoea": "SOB", "Dyspnoea": "SOB", "noradrenaline": "NA", "Noradrenaline": "NA",
    "creatinine": "creat", "Creatinine": "Creat", "units of red cells": "u RBC", "blood loss": "EBL", "normal": "nl",
    "tachycardia": "tachy", "impairment": "impairmt", "transfusion": "tx", "Transfusion": "Tx", "Antibiotic": "Abx", "bronchitis": "bronch",
}  # fmt: skip
STYLES, SPELLINGS = 3, 3
EXTRA = 6  # uniforms per note besides those per finding: style, opening, operation, frame, two fillers
UNIFORMS = EXTRA + 3 * (len(FINDINGS) + 4)  # per sentence: whether and which, spelling, place


def write(
    levels: NDArray[np.int64],
    specialty: NDArray[np.int64],
    anaesthesia: list[str],
    age: NDArray[np.int64],
    sex: NDArray[np.str_],
    u: NDArray[np.float64],
) -> list[str]:
    """One note a patient.

    levels: (n, findings) 0..3, mildest first; -1 leaves the finding out. specialty: (n,) an index into OPERATIONS.
    u: (n, UNIFORMS) uniforms, the only chance in it.
    """
    n, style = len(levels), _pick(u[:, 0], STYLES)
    spelling, place = u[:, EXTRA + 1 :: 3], u[:, EXTRA + 2 :: 3]
    parts = [_opening(age, sex, u[:, 1]), _operation(specialty, anaesthesia, u[:, 2], u[:, 3])]
    for j, finding in enumerate(FINDINGS.values()):
        which = levels[:, j] * 4 + _pick(u[:, EXTRA + 3 * j], 4)
        said = _variants([s for level in finding for s in level])[which, style, _spelled(spelling[:, j])]
        parts.append(np.where(levels[:, j] >= 0, said, ""))
    fillers = _variants(FILLERS)
    for j in (4, 5):
        parts.append(fillers[_pick(u[:, j], len(FILLERS)), style, _spelled(spelling[:, len(FINDINGS) + j - 4])])
    section = np.array([-9.0, 1.0, *[0.0] * HISTORY, *[2.0] * (len(FINDINGS) - HISTORY), 0.3, 1.7])
    order = np.argsort(section + place[:, : len(section)] * np.r_[0, 0, np.ones(len(section) - 2)], axis=1, kind="stable")
    table = np.stack(parts, axis=1)[np.arange(n)[:, None], order]
    return [" ".join(filter(None, row)) for row in table.tolist()]


def _pick(u: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    return (u * k).astype(np.int64)


def _spelled(u: NDArray[np.float64]) -> NDArray[np.int64]:
    """Most sentences are spelled right (0)."""
    return np.where(u < 0.85, 0, np.where(u < 0.925, 1, 2))


def _opening(age: NDArray[np.int64], sex: NDArray[np.str_], u: NDArray[np.float64]) -> NDArray[np.object_]:
    rows = zip(_pick(u, len(OPENINGS)).tolist(), age.tolist(), sex.tolist(), strict=True)
    return np.array([OPENINGS[k].format(age=a, sex=s) for k, a, s in rows], object)


def _operation(
    specialty: NDArray[np.int64], anaesthesia: list[str], u: NDArray[np.float64], frame: NDArray[np.float64]
) -> NDArray[np.object_]:
    rows = zip(specialty.tolist(), _pick(u, 4).tolist(), _pick(frame, len(FRAMES)).tolist(), anaesthesia, strict=True)
    return np.array([FRAMES[k].format(OPERATIONS[s][o], a.replace("_", " ")) for s, o, k, a in rows], object)


def _variants(sentences: Iterable[str]) -> NDArray[np.object_]:
    """(sentences, STYLES, SPELLINGS): as written, abbreviated, or abbreviated in lower case; right or with a slip."""
    return np.array([[[_slip(t, k) for k in range(SPELLINGS)] for t in _styles(s)] for s in sentences], object)


def _styles(sentence: str) -> tuple[str, str, str]:
    short = sentence
    for long, abbreviation in SHORT.items():
        short = short.replace(long, abbreviation)
    return sentence, short, short.lower().rstrip(".") + ";"


def _slip(sentence: str, k: int) -> str:
    """Two neighbouring letters swapped (k = 1) or one left out (k = 2) inside a long word; k = 0 changes nothing."""
    words = sentence.split(" ")
    long = [i for i, w in enumerate(words) if len(w) >= 6 and w[1:4].isalpha()]
    if k and long:
        i = long[len(sentence) * k % len(long)]
        w = words[i]
        words[i] = w[:2] + w[3] + w[2] + w[4:] if k == 1 else w[:3] + w[4:]
    return " ".join(words)
