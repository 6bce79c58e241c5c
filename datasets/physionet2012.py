"""PhysioNet 2012: 8,000 stays in intensive care, table + 36 irregular series of day 1, five outcomes; fetches 15.7 MB once.

Source: PhysioNet/Computing in Cardiology Challenge 2012, sets a and b (out of MIMIC-II, Beth Israel Deaconess Medical Center,
Boston): https://physionet.org/content/challenge-2012/1.0.0/. The files as they are there, or from `--data-dir`: set-a.zip,
set-b.zip, Outcomes-a.txt, Outcomes-b.txt.
Licence: Open Data Commons Attribution (ODC-By) 1.0; check the source's page.
Terms: none to accept; who publishes cites the challenge and PhysioNet.
Cite: Silva et al., "Predicting in-hospital mortality of ICU patients: the PhysioNet/Computing in Cardiology Challenge 2012",
Computing in Cardiology 39 (2012) 245-248; Goldberger et al., Circulation 101 (2000) e215-e220.
Shape: 8,000 stays x 5 descriptors, 3,472,514 observations of which those of hours 0-24 are features; stays shorter than 48 hours
are not in the source, so nobody dies or leaves before hour 48. Fourteen stays have no observation on day 1, ten of them none
at all. Which stays are of one patient is not told: each counts as a patient of its own.

A row is a stay, and the prediction is made at hour 24. Table: Age, Gender, Height, ICUType and the Weight on admission (-1 is
"unknown"). Series: 36 of 37 quantities as they were recorded (a pH of 735 stays one), time in minutes before hour 24.

Outcomes (known, events):
  death            8,000  1,122   died in hospital
  stay_7d          7,886  5,590   not discharged alive by day 7: Length_of_stay > 7 or died; unknown where it is negative
  new_ventilation  3,222    262   MechVent in hours 24-48, none before
  new_aki          6,054    832   creatinine >= 1.5 times or >= 0.3 mg/dL above the first day's lowest, not so within day 1;
                                  both days measured. Differences are rounded to the recorded precision, so that 1.1 -> 1.4
                                  counts. `aki=float32` leaves that out (6,318 and 783): 1.4 - 1.1 is then 0.29999995
  new_hypotension  3,494    782   MAP or NIMAP below 60 mmHg (and above 20: a transducer), none before; measured on day 2
Left out, because they come later than the prediction or contain an outcome:
  every observation from hour 24 on       the outcomes of day 2 are read from them
  Survival, Length_of_stay                follow-up: outcomes death and stay_7d
  SAPS-I, SOFA                            other scores, whose window the source does not tell
  RespRate                                recorded in 2,228 stays, and of those none is ventilated in its 48 hours (of the others
                                          5,040 are): that it is there tells new_ventilation at AUROC .88. `resp_rate=true` leaves
                                          it in, as everybody does, and new_ventilation is then mostly that
Outcomes of day 2 are of those who had none on day 1: ventilation on day 1 alone tells ventilation on day 2 at AUROC .83.
"""

from collections.abc import Collection
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import checks, sources
from bench.core import Cohort, Series, Tabular, Task

from ._physionet2012_files import CHANNELS, WEB, tables
from ._shared import bands, levels

LANDMARK = 1_440  # minutes after admission: the end of day 1
GENDERS = {0: "female", 1: "male"}
UNITS_OF_CARE = {1: "coronary care", 2: "cardiac surgery recovery", 3: "medical", 4: "surgical"}

_NOBODY = "nobody died before hour 48: shorter stays are not in the source"
TASKS = (
    Task(
        "death",
        "death in hospital",
        implies=("stay_7d",),
        competing="a death after discharge counts as 0",
        thresholds=(0.05, 0.6),
    ),
    Task("stay_7d", "not discharged alive by day 7", competing="a death in hospital counts as 1, on whatever day"),
    Task("new_ventilation", "mechanical ventilation begun on day 2", competing=_NOBODY, thresholds=(0.02, 0.4)),
    Task("new_aki", "acute kidney injury on day 2, by creatinine", competing=_NOBODY, thresholds=(0.05, 0.4)),
    Task("new_hypotension", "mean blood pressure below 60 mmHg on day 2", competing=_NOBODY, thresholds=(0.05, 0.5)),
)


def load(aki: Literal["rounded", "float32"] = "rounded", resp_rate: bool = False) -> Cohort:
    """The cohort. Fetches the four files once, and keeps a Parquet copy. aki: how differences of creatinine are compared.

    resp_rate: with the series that only stays without ventilation have.
    """
    stays, events = tables(sources.read(WEB))
    table = descriptors(stays)
    return checks.build(
        "physionet2012",
        {"table": Tabular(table), "series": series(events, len(stays), () if resp_rate else ("RespRate",))},
        TASKS,
        outcomes(stays, events, aki),
        stays["RecordID"].tolist(),
        subgroups=subgroups(table),
    )


def descriptors(stays: pd.DataFrame) -> pd.DataFrame:
    """What is known on admission; -1 is NaN."""
    frame = stays[["Age", "Height", "Weight"]].where(stays[["Age", "Height", "Weight"]] >= 0)
    codes = {"Gender": GENDERS, "ICUType": UNITS_OF_CARE}
    return frame.assign(**{c: pd.Categorical(stays[c].map(names), categories=list(names.values())) for c, names in codes.items()})


def series(events: pd.DataFrame, n: int, without: Collection[str] = ()) -> Series:
    """The observations of hours 0-24, by stay and then from the oldest to the newest. None at all: not present."""
    kept = [name for name in CHANNELS if name not in without]
    code = pd.Series(range(len(kept)), [list(CHANNELS).index(name) for name in kept])
    past = events[(events["minute"] < LANDMARK) & events["channel"].isin(code.index)]
    counts = np.bincount(past["row"], minlength=n)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    time, channel, value = (LANDMARK - past["minute"]).to_numpy(), past["channel"].map(code).to_numpy(), past["value"].to_numpy()
    return Series(offsets, time, channel, value, kept, [CHANNELS[name] for name in kept], counts > 0)


def outcomes(stays: pd.DataFrame, events: pd.DataFrame, aki: str = "rounded") -> NDArray[np.float32]:
    """(n, 5) labels in the order of TASKS; NaN = unknown or not at risk."""
    n = len(stays)
    died = (stays["In-hospital_death"] == 1).to_numpy()
    long = np.where(stays["Length_of_stay"] >= 0, (stays["Length_of_stay"] > 7) | died, np.nan)
    channel = events["channel"].map(dict(enumerate(CHANNELS)))
    value = events["value"]
    ventilated = _days(events[(channel == "MechVent") & (value == 1)], n)
    measured = channel.isin(["MAP", "NIMAP"]) & (value > 20)
    pressed, low = _days(events[measured], n), _days(events[measured & (value < 60)], n)
    columns = [
        died,
        long,
        np.where(ventilated[0], np.nan, ventilated[1]),
        _injury(events[channel == "Creatinine"], n, aki),
        np.where(low[0] | ~pressed[1], np.nan, low[1]),
    ]
    return np.column_stack([np.asarray(c, np.float32) for c in columns])


def subgroups(table: pd.DataFrame) -> pd.DataFrame:
    """Sex, age and unit of care, "" where unknown."""
    return levels(sex=table["Gender"], age=bands(table["Age"]), unit=table["ICUType"])


def _days(events: pd.DataFrame, n: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(n,) whether there is one on day 1, and on day 2."""
    early = events["minute"] < LANDMARK
    first, second = (np.bincount(events.loc[day, "row"], minlength=n) > 0 for day in (early, ~early))
    return first, second


def _injury(creatinine: pd.DataFrame, n: int, aki: str) -> NDArray[np.float64]:
    """(n,) 1 where day 2 reaches 1.5 times the lowest of day 1 or that + 0.3, 0 where not; NaN: reached on day 1, or a day is missing."""
    early = creatinine["minute"] < LANDMARK
    days = [creatinine[day].groupby("row")["value"] for day in (early, ~early)]
    lowest, highest, later = (s.reindex(range(n)).to_numpy(np.float64) for s in (days[0].min(), days[0].max(), days[1].max()))

    def reached(value: NDArray[np.float64]) -> NDArray[np.bool_]:
        if aki == "float32":
            x, base = value.astype(np.float32), lowest.astype(np.float32)
            return (x >= 1.5 * base) | (x - base >= np.float32(0.3))
        return (value >= np.round(1.5 * lowest, 6)) | (np.round(value - lowest, 6) >= 0.3)

    return np.where(np.isnan(lowest + later) | reached(highest), np.nan, reached(later))
