"""What `surgical` shows of its factors: the pre-operative table and the grades told in the note.

Every feature is a view: a weighted sum of factors, traits that drive no outcome, and noise of its own, then bent to its scale.
"""

import zlib
from collections.abc import Mapping
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import _surgical_notes as notes

Array = NDArray[np.float64]
Views = dict[str, Array]

FACTORS: tuple[str, ...] = ("s", "o", "p", "a", "i")  # shared; private: other complications, pulmonary, aki, icu_admission


class Lab(NamedTuple):
    """A numeric column: what it loads on, its scale, and how often it is not measured.

    shape: `line` centre + scale z; `log` centre exp(scale z); `cap` the same below, levelling off above; `both` strays to either side.
    missing: share when well; sick: change of its log-odds per unit of the shared factor (severity decides what is measured).
    """

    name: str
    centre: float
    scale: float
    shape: str
    digits: int
    low: float
    high: float
    loads: Mapping[str, float]
    missing: float = 0.02
    sick: float = 0.0


LABS = (
    Lab("height_cm", 168, 9, "line", 0, 135, 210, {"male": 0.65}, 0.06, 0.8),
    Lab("bmi_kg_m2", 26.5, 4.2, "line", 1, 14, 60, {"build": 0.95}, 0.06, 0.8),
    Lab("systolic_bp_mmhg", 134, 18, "line", 0, 75, 230, {"pressure": 0.9}),
    Lab("heart_rate_per_min", 76, 12, "line", 0, 35, 170, {"s": 0.34, "i": 0.23}),
    Lab("spo2_room_air_pct", 96.8, 1.5, "cap", 0, 70, 100, {"p": -0.48, "s": -0.25, "build": -0.2}, 0.05),
    Lab("haemoglobin_g_dl", 13.1, 1.7, "line", 1, 5, 20, {"male": 0.35, "s": -0.41, "i": -0.20}),
    Lab("white_cells_10e9_l", 7.6, 1.6, "both", 1, 0.4, 60, {"o": 0.61, "s": 0.31}),
    Lab("sodium_mmol_l", 139.5, 2.4, "both", 0, 115, 160, {"s": 0.46}),
    Lab("potassium_mmol_l", 4.2, 0.32, "both", 1, 2.2, 7.5, {"a": 0.55}),
    Lab("creatinine_umol_l", 76, 0.27, "log", 0, 25, 900, {"a": 0.52, "s": 0.16, "male": 0.35}),
    Lab("urea_mmol_l", 6.0, 0.42, "log", 1, 1, 50, {"a": 0.42, "s": 0.24, "age": 0.2}),
    Lab("albumin_g_l", 39, 5.2, "line", 0, 12, 55, {"s": -0.41, "o": -0.39}, 0.18, -0.7),
    Lab("crp_mg_l", 9, 1.25, "log", 0, 0, 450, {"s": 0.35, "o": 0.46}, 0.42, -0.9),
    Lab("inr", 1.05, 0.09, "log", 2, 0.8, 6, {"i": 0.25, "s": 0.19}, 0.12, -0.5),
    Lab("glucose_mmol_l", 6.1, 0.26, "log", 1, 2, 35, {"o": 0.34, "build": 0.25}, 0.04),
    Lab("hba1c_mmol_mol", 41, 0.20, "log", 0, 20, 150, {"o": 0.29, "build": 0.3}, 0.72, -0.3),
    Lab("nt_probnp_ng_l", 180, 1.1, "log", 0, 5, 35000, {"s": 0.52, "a": 0.21, "age": 0.35}, 0.70, -0.9),
    Lab("fev1_pct", 90, 17, "line", 0, 15, 140, {"p": -0.70, "s": -0.17}, 0.75, -0.5),
    Lab("pack_years", 6, 1.3, "log", 0, 0, 120, {"p": 0.40, "male": 0.15}, 0.22),
    Lab("weight_loss_6_months_kg", 1.2, 1.1, "log", 1, 0, 40, {"s": 0.35, "o": 0.26, "build": -0.2}, 0.35, -0.4),
    Lab("days_in_hospital_before", 0.8, 1.2, "log", 0, 0, 90, {"s": 0.39, "i": 0.23}),
)

FLAGS: tuple[tuple[str, float, Mapping[str, float]], ...] = (  # 0/1 columns: name, share, loadings
    ("emergency", 0.16, {"s": 0.41, "i": 0.31}),
    ("hypertension", 0.44, {"pressure": 0.5, "age": 0.4}),
    ("ischaemic_heart_disease", 0.12, {"s": 0.37, "age": 0.35, "male": 0.2}),
    ("heart_failure", 0.06, {"s": 0.46, "a": 0.26, "age": 0.25}),
    ("atrial_fibrillation", 0.08, {"s": 0.24, "age": 0.45}),
    ("copd", 0.10, {"p": 0.57, "s": 0.15}),
    ("active_cancer", 0.24, {"o": 0.34, "s": 0.19}),
    ("beta_blocker", 0.24, {"pressure": 0.3, "age": 0.3}),
    ("anticoagulant", 0.13, {"age": 0.35, "i": 0.20}),
    ("systemic_steroid", 0.06, {"o": 0.29, "p": 0.20}),
    ("nsaid", 0.25, {}),
)
SPECIALTIES = (
    "general", "colorectal", "hepatobiliary", "orthopaedic", "thoracic", "vascular", "urology", "gynaecology", "head_neck", "neurosurgery",
)  # fmt: skip
RISING = np.array([8, 7, 3, 6, 0, 9, 1, 5, 4, 2])  # specialties, mildest first: the order of the codes says nothing
GYNAECOLOGY, UROLOGY = 7, 6
ANAESTHESIA = ("general", "general_epidural", "spinal", "regional")
LIMBS, HEAD = np.array([3, 5, 6]), np.array([8, 9])  # specialties that use all four, and general anaesthesia only


GRADES: dict[str, Mapping[str, float]] = {  # how the note's findings load; names as in the grammar
    "fitness": {"s": 0.82, "age": 0.25},
    "chest": {"p": 0.76, "s": 0.24},
    "kidney": {"a": 0.76, "s": 0.22},
    "bleeding": {"i": 0.80, "s": 0.24},
    "difficulty": {"o": 0.70, "i": 0.36, "build": 0.25},
    "wound": {"o": 0.80, "s": 0.10},
    "course": {"i": 0.72, "s": 0.52},
}
CUTS = (-0.4, 0.5, 1.2)  # where a finding's next grade begins


# ---- chance


def uniform(seed: int, part: str, *shape: int) -> Array:
    """Raw PCG64 uniforms of the stream `part`: parts are independent, and none moves when another draws more."""
    sequence = np.random.SeedSequence([seed, zlib.crc32(part.encode())])
    return np.random.Generator(np.random.PCG64(sequence)).random(shape)


def normal(seed: int, part: str, *shape: int) -> Array:
    """Box-Muller: numpy's own normals may change between versions, raw uniforms do not."""
    u = uniform(seed, part, 2, *shape)
    return np.sqrt(-2.0 * np.log(1.0 - u[0])) * np.cos(2.0 * np.pi * u[1])


def sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


# ---- views


def traits(factors: list[Array], seed: int) -> Views:
    """The five factors under their short names, and age, sex, build and blood pressure, which drive no outcome themselves."""
    f = dict(zip(FACTORS, factors, strict=True))
    e = normal(seed, "traits", 4, len(f["s"]))
    f["age"] = 0.35 * f["s"] + 0.94 * e[0]
    f["male"] = np.where(e[1] > 0.08, 1.0, -1.0)
    f["build"] = e[2] + 0.25 * (e[2] * e[2] - 1)
    f["pressure"] = 0.3 * f["age"] + 0.95 * e[3]
    return f


def mix(f: Views, loads: Mapping[str, float], noise: Array) -> Array:
    """(n,) a view with about unit variance."""
    out = np.sqrt(1.0 - sum(each * each for each in loads.values())) * noise
    for name, each in loads.items():
        out = out + each * f[name]
    return out


def flag(z: Array, share: float) -> Array:
    """1.0 for the highest `share` of a standard normal view."""
    return (z > NormalDist().inv_cdf(1 - share)).astype(float)


def grade(z: Array, shares: tuple[float, ...]) -> NDArray[np.int64]:
    """0, 1, 2 ... for shares of a standard normal view, lowest first; the last share is the rest."""
    cuts = [NormalDist().inv_cdf(share) for share in np.cumsum(shares).round(9).tolist()]
    return np.searchsorted(np.array(cuts), z, side="right")


# ---- the pre-operative table


def table(f: Views, site: NDArray[np.str_], seed: int) -> pd.DataFrame:
    """(n, 44) columns with units in their names; NaN = not measured, Categorical = codes. Ages and codes are always there."""
    n = len(site)
    labs = _labs(f, site, seed)
    flags = normal(seed, "flags", len(FLAGS), n)
    return pd.DataFrame(
        _person(f, seed)
        | labs
        | {"egfr_ml_min": _egfr(labs["creatinine_umol_l"], f)}
        | {name: flag(mix(f, loads, flags[k]), share) for k, (name, share, loads) in enumerate(FLAGS)}
        | _drugs(f, seed)
        | _operation(f, seed)
    )


def age_years(f: Views) -> Array:
    return np.clip(np.round(57 + 14 * f["age"]), 18, 97)


def sex(f: Views) -> NDArray[np.str_]:
    return np.where(f["male"] > 0, "male", "female")


def _person(f: Views, seed: int) -> dict[str, object]:
    e = normal(seed, "person", 3, len(f["s"]))
    u = uniform(seed, "person missing", 3, len(f["s"]))
    asa = grade(mix(f, {"s": 0.55, "age": 0.3}, e[0]), (0.18, 0.50, 0.27))
    smoking = grade(mix(f, {"p": 0.38, "male": 0.2}, e[1]), (0.52, 0.28))
    diabetes = grade(mix(f, {"o": 0.22, "a": 0.15, "build": 0.35}, e[2]), (0.83, 0.12))
    return {
        "age_years": age_years(f),
        "sex": _codes(grade(f["male"], (0.5,)), ("female", "male")),
        "asa_class": _codes(np.where(u[0] < 0.01, -1, asa), ("1", "2", "3", "4")),
        "smoking": _codes(np.where(u[1] < 0.07, -1, smoking), ("never", "former", "current")),
        "diabetes": _codes(diabetes, ("none", "tablets", "insulin")),
    }


def _codes(codes: NDArray[np.int64], names: tuple[str, ...]) -> object:
    return pd.Categorical.from_codes(codes.tolist(), dtype=pd.CategoricalDtype(list(names)))


def _labs(f: Views, site: NDArray[np.str_], seed: int) -> dict[str, Array]:
    """Site B measures less on its own initiative."""
    e, u = normal(seed, "labs", len(LABS), len(site)), uniform(seed, "labs missing", 2, len(LABS), len(site))
    out: dict[str, Array] = {}
    for k, lab in enumerate(LABS):
        z = mix(f, lab.loads, e[k])
        value = np.clip(np.round(_bend(lab, z, u[1, k]), lab.digits), lab.low, lab.high)
        odds = np.log(lab.missing / (1 - lab.missing)) + lab.sick * f["s"] + np.where(site == "B", 0.4, 0.0)
        out[lab.name] = np.where(u[0, k] < np.round(sigmoid(odds), 6), np.nan, value)
    return out


def _bend(lab: Lab, z: Array, side: Array) -> Array:
    if lab.shape == "log":
        return lab.centre * np.exp(lab.scale * z)
    if lab.shape == "cap":
        return lab.centre + lab.scale * (1.0 - np.exp(-0.8 * z))
    if lab.shape == "both":
        return lab.centre + lab.scale * np.where(side < 0.5, -1.0, 1.0) * np.exp(0.7 * z)
    return lab.centre + lab.scale * z


def _egfr(creatinine: Array, f: Views) -> Array:
    """CKD-EPI 2021."""
    kappa, alpha = np.where(f["male"] > 0, 79.6, 61.9), np.where(f["male"] > 0, -0.302, -0.241)
    ratio, age = creatinine / kappa, age_years(f)
    value = 142.0 * np.minimum(ratio, 1.0) ** alpha * np.maximum(ratio, 1.0) ** -1.2 * np.exp(np.log(0.9938) * age)
    return np.round(np.where(f["male"] > 0, value, 1.012 * value))


def _drugs(f: Views, seed: int) -> dict[str, Array]:
    """An ACE inhibitor or a diuretic alone tells little of the kidney; both or neither, as against one of them, does."""
    u = uniform(seed, "drugs", 2, len(f["s"]))
    ace = (u[0] < 0.42).astype(float)
    both = 0.38 + 0.34 * (2 * ace - 1) * np.tanh(f["a"])
    return {"ace_inhibitor": ace, "diuretic": (u[1] < np.round(both, 6)).astype(float)}


def _operation(f: Views, seed: int) -> dict[str, object]:
    e = normal(seed, "operation", 4, len(f["s"]))
    rank = grade(mix(f, {"o": 0.30, "s": 0.18, "p": 0.12}, e[0]), (0.1,) * 9)
    specialty = RISING[rank]
    specialty = np.where((specialty == GYNAECOLOGY) & (f["male"] > 0), UROLOGY, specialty)
    step = grade(mix(f, {"i": 0.34, "s": 0.18}, e[1]), (0.25,) * 3)
    procedure = specialty * 4 + (step + specialty) % 4  # which of the four is the large one differs by specialty
    anaesthesia = grade(mix(f, {"s": -0.15, "age": 0.25}, e[2]), (0.45, 0.2, 0.2))
    elsewhere = np.where(np.isin(specialty, HEAD), 0, anaesthesia == 1)
    anaesthesia = np.where(np.isin(specialty, LIMBS), anaesthesia, elsewhere)
    planned = np.round(120 * np.exp(0.45 * (0.4 * (step - 1.5) + 0.9 * e[3])) / 5) * 5
    return {
        "specialty": _codes(specialty, SPECIALTIES),
        "procedure_code": _codes(procedure, tuple(f"{s[:3].upper()}{k}" for s in SPECIALTIES for k in range(1, 5))),
        "anaesthesia": _codes(anaesthesia, ANAESTHESIA),
        "planned_duration_min": np.clip(planned, 20, 720),
    }


# ---- the note


def note(f: Views, preoperative: pd.DataFrame, seed: int) -> list[str]:
    """(n,) short notes. A mild finding goes unmentioned in a quarter of them, a grave one in a tenth."""
    n = len(preoperative)
    e, u = normal(seed, "grades", len(GRADES), n), uniform(seed, "note", n, notes.UNIFORMS)
    silent = uniform(seed, "unmentioned", len(GRADES), n)
    grades = np.stack([np.searchsorted(CUTS, mix(f, GRADES[name], e[k])) for k, name in enumerate(notes.FINDINGS)])
    told = np.where(silent < np.where(grades < 2, 0.25, 0.1), -1, grades)
    anaesthesia = preoperative["anaesthesia"].astype(str).tolist()
    specialty = preoperative["specialty"].cat.codes.to_numpy().astype(np.int64)
    return notes.write(told.T, specialty, anaesthesia, age_years(f).astype(np.int64), sex(f), u)
