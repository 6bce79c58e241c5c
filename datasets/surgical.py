"""12,430 synthetic surgical patients: table, vitals and notes, four nested outcomes, planted factors. Needs nothing.

Synthetic data are no evidence about patients: they show whether a method finds what was planted.

One shared factor and one private factor per outcome, all standard normal, give the log-odds of four events: a pulmonary
complication, acute kidney injury, unplanned ICU admission, and any other complication. `any_complication` is their union, so
every planted probability is exact. Each modality shows some of the factors through many weak features, linear, levelling
off, straying to both sides or meaningful only together: the table mostly the shared factor, kidney and wound; the vitals
lungs, kidney and ICU; the note ICU, wound and the shared factor.

Every part has a random stream of its own, so a dial leaves the other parts as they were. Raw PCG64 uniforms, no BLAS, no
reduction over patients, values rounded to clinical precision: the same bytes on every machine.
"""

import ast
import inspect
from collections.abc import Callable
from typing import Annotated

import numpy as np
import pandas as pd
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from bench.checks import build
from bench.core import BenchError, Cohort, Count, Share, Tabular, Task, Text

from . import _surgical_views as views
from ._surgical_views import Array, normal, sigmoid, uniform
from ._surgical_vitals import vitals

_ALIVE, _PART = "no deaths are generated", ("any_complication",)
TASKS = (
    Task("any_complication", "any complication within 7 days", competing=_ALIVE, thresholds=(0.05, 0.5)),
    Task("pulmonary", "pulmonary complication within 7 days", implies=_PART, competing=_ALIVE, thresholds=(0.03, 0.4)),
    Task("aki", "acute kidney injury within 7 days", implies=_PART, competing=_ALIVE, thresholds=(0.02, 0.3)),
    Task("icu_admission", "unplanned ICU admission within 7 days", implies=_PART, competing=_ALIVE, thresholds=(0.01, 0.2)),
)
BASE = (0.18, 0.09, 0.05, 0.03)  # our choice: the real cohort's prevalences are unpublished
SPREAD = (3.0, 3.4, 3.5, 3.6)  # SD of the log-odds of: other complication, pulmonary, aki, icu_admission
CEILING = (0.5, 0.6, 0.5, 0.45)  # what the risk of each levels off at: even the worst patient may be spared
FACTORS = ("shared", *(f"private:{task.name}" for task in TASKS))


def load(
    n: Count = 12_430,
    seed: Annotated[int, Ge(0)] = 0,
    relatedness: Share = 0.5,
    conflict: Share = 0.0,
    prevalence: Annotated[float, Gt(0.0), Le(3.0)] = 1.0,
    label_noise: Share = 0.0,
    bias: Share = 0.0,
    missing_labels: Share = 0.0,
    missing_modalities: Share = 0.0,
    unpaired: Share = 0.0,
) -> Cohort:
    """The cohort. Missing: laboratory values by plan and by severity; labels and whole modalities only through the dials.

    n: patients. seed: another cohort of the same kind.
    relatedness: share of each event's log-odds variance that the shared factor owns; 1 = no private factor matters.
    conflict: how far pulmonary and aki (likewise icu_admission and other complications) answer to each other's private factor
        with the opposite sign; at 1 what raises one lowers the other by as much. The spread of the risks stays the same.
    prevalence: multiplies the base prevalences 18, 9, 5 and 3 %.
    label_noise: share of patients whose labels are shuffled among themselves, all outcomes together: prevalences and nesting
        stay, and so does `truth`, which remains the planted one.
    bias: probability that `portable_xray` at site A copies any_complication (as planted, before label_noise) instead of being
        drawn at its base rate of 0.3; at site B it always is.
    missing_labels: probability that a label is unknown, each drawn by itself.
    missing_modalities: probability that a modality is missing as a whole, each drawn by itself; who would lose all keeps one.
    unpaired: share of patients who have one modality only, any of the three alike.

    Also there: site (A 60 %, B measures less often), time (date of operation, unrelated to anything), subgroups sex and age.
    Raises BenchError where the draw leaves an outcome with one class (very small n), as any cohort does.
    """
    dials = {k: type(_DEFAULTS[k])(v) for k, v in locals().items()}  # 1 and 1.0 are the same cohort
    site = np.where(uniform(seed, "site", n) < 0.6, "A", "B")
    planted = _planted(n, seed, relatedness, conflict, prevalence)
    events = _events(planted, seed)
    seen = views.traits([planted[name] for name in FACTORS], seed)
    table = views.table(seen, site, seed)
    table["portable_xray"] = _shortcut(events[:, 0], site, bias, seed)
    present = _present(n, seed, missing_modalities, unpaired)
    modalities = {
        "preoperative": Tabular(table[present[:, 0]].reindex(table.index), present[:, 0]),
        "vitals": vitals(seen, table, present[:, 1], seed),
        "note": Text(np.where(present[:, 2], np.array(views.note(seen, table, seed), object), ""), present[:, 2]),
    }
    return build(
        ":".join(["surgical", *(f"{k}={v}" for k, v in dials.items() if v != _DEFAULTS[k])]),
        modalities,
        TASKS,
        _labels(events, label_noise, missing_labels, seed),
        [f"P{i:05d}" for i in range(n)],
        site=site,
        time=np.datetime64("2020-07-15") + (uniform(seed, "date", n) * 1227).astype("timedelta64[D]"),
        subgroups=_subgroups(seen),
    )


_DEFAULTS = {name: p.default for name, p in inspect.signature(load).parameters.items()}


def truth(cohort: Cohort) -> pd.DataFrame:
    """What was planted, for diagnostics after prediction only: a row per row of the cohort or of any part of it.

    views.Views: `shared`, `private:<task>` (standard normal; that of any_complication drives the other complications), `p:<task>`,
    the probability of the outcome given all factors. Nothing is missing. `label_noise` and `bias` do not touch it.
    The dials are read from the cohort's name. Raises BenchError for a cohort that is not this one.
    """
    name, *pairs = cohort.name.split(":")
    if name != "surgical":
        raise BenchError(f"truth is known for 'surgical' only, but this cohort is '{cohort.name}'")
    dials = _DEFAULTS | {k: ast.literal_eval(v) for k, v in (pair.split("=") for pair in pairs)}
    planted = _planted(*(dials[k] for k in ("n", "seed", "relatedness", "conflict", "prevalence")))
    rows = np.array([int(p[1:]) for p in cohort.patients])
    out = {name: planted[name][rows] for name in FACTORS}
    q = planted["risks"][rows]
    p = np.column_stack([_union(q), q[:, 1:]])
    return pd.DataFrame(out | {f"p:{task.name}": p[:, t] for t, task in enumerate(TASKS)})


# ---- what is planted


def _planted(n: int, seed: int, relatedness: float, conflict: float, prevalence: float) -> views.Views:
    """The five factors (n,) and `risks` (n, 4): of another complication, pulmonary, aki, icu_admission."""
    f = {name: normal(seed, f"factor {name}", n) for name in FACTORS}
    drives = _drives(np.stack([f[name] for name in FACTORS[1:]]), conflict)
    logits = np.array(SPREAD)[:, None] * (np.sqrt(relatedness) * f["shared"] + np.sqrt(1 - relatedness) * drives)
    risks = np.array(CEILING)[:, None] * sigmoid(logits + _intercepts(relatedness, conflict, prevalence)[:, None])
    return f | {"risks": np.round(risks.T, 6)}  # rounded, so that the last bit of exp cannot flip a label


def _drives(private: Array, conflict: float) -> Array:
    """(4, ...) private factors -> what drives each event: its own less its rival's, variance 1, correlation -sin(conflict pi / 2)."""
    angle = conflict * np.pi / 4
    return np.cos(angle) * private - np.sin(angle) * private[[3, 2, 1, 0]]


def _intercepts(relatedness: float, conflict: float, prevalence: float) -> Array:
    """(4,) intercepts that give each outcome its prevalence in the population, the union through the other complications."""
    x = np.linspace(-6, 6, 41)
    w = np.exp(-x * x / 2)
    w /= w.sum()
    target = np.array(BASE) * prevalence
    parts = [_solve(lambda a, k=k: CEILING[k] * (w * sigmoid(a + SPREAD[k] * x)).sum(), target[k]) for k in (1, 2, 3)]

    s, own, rival = np.meshgrid(x, x, x, indexing="ij", sparse=True)
    c, d, r = np.cos(conflict * np.pi / 4), np.sin(conflict * np.pi / 4), np.sqrt(1 - relatedness)

    def spared(k: int, a: float, mine: Array, other: Array) -> Array:
        return 1 - CEILING[k] * sigmoid(a + SPREAD[k] * (np.sqrt(relatedness) * s + r * (c * mine - d * other)))

    pair = w[:, None] * w
    lungs_kidney = (pair * spared(1, parts[0], own, rival) * spared(2, parts[1], rival, own)).sum((1, 2))
    icu = pair * spared(3, parts[2], own, rival)

    def union(a: float) -> float:
        return 1 - (w * lungs_kidney * (icu * spared(0, a, rival, own)).sum((1, 2))).sum()

    return np.array([_solve(union, target[0]), *parts])


def _solve(rising: Callable[[float], float], target: float) -> float:
    low, high = -25.0, 25.0
    for _ in range(36):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return round(low, 5)


def _union(q: Array) -> Array:
    return 1.0 - (1.0 - q[:, 0]) * (1.0 - q[:, 1]) * (1.0 - q[:, 2]) * (1.0 - q[:, 3])


def _events(planted: views.Views, seed: int) -> NDArray[np.bool_]:
    """(n, 4) the outcomes as planted."""
    hit = uniform(seed, "events", len(planted["shared"]), 4) < planted["risks"]
    return np.column_stack([hit.any(axis=1), hit[:, 1:]])


def _labels(events: NDArray[np.bool_], noise: float, missing: float, seed: int) -> NDArray[np.float32]:
    y = events.astype(np.float32)
    shuffled = np.flatnonzero(uniform(seed, "noisy patients", len(y)) < noise)
    y[shuffled] = y[shuffled[np.argsort(uniform(seed, "noisy order", len(y))[shuffled])]]
    y[uniform(seed, "unknown labels", *y.shape) < missing] = np.nan
    return y


def _shortcut(event: NDArray[np.bool_], site: NDArray[np.str_], bias: float, seed: int) -> Array:
    u = uniform(seed, "shortcut", len(event), 2)
    copies = (site == "A") & (u[:, 0] < bias)
    return np.where(copies, event, u[:, 1] < 0.3).astype(float)


def _present(n: int, seed: int, missing: float, unpaired: float) -> NDArray[np.bool_]:
    """(n, 3) which modalities a patient has: at least one."""
    there = uniform(seed, "missing modalities", n, 3) >= missing
    u = uniform(seed, "only modality", n, 2)
    only = (u[:, 1] * 3).astype(int)[:, None] == np.arange(3)
    return np.where((u[:, :1] < unpaired) | ~there.any(axis=1, keepdims=True), only, there)


def _subgroups(seen: views.Views) -> pd.DataFrame:
    age = pd.cut(views.age_years(seen), [0, 49, 64, 79, 120], labels=["18-49", "50-64", "65-79", "80+"])
    return pd.DataFrame({"sex": views.sex(seen), "age": np.array(age, str)})
