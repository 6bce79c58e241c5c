"""Leakage alarms on real patients: DATA.md's leaks put back one by one, and the cleaned cohorts, which must raise none."""

import numpy as np
import pandas as pd
import pytest
from own_files import VITALDB, support2_raw, vitaldb_raw

from bench import registry
from bench.cohorts import leaks
from bench.core import BenchError, Cohort, Modality, Tabular, Task, Text

ALARMED = {
    "hospdead": ("equal", "hospital_death"), "dnr": ("alone", "new_dnr"), "charges": ("alone", "high_charges"),
    "totcst": ("alone", "high_charges"), "totmcst": ("alone", "high_charges"), "d.time": ("alone", "death_180d"),
    "dnrday": ("settled", "stay_14d"), "death": ("settled", "hospital_death"), "sfdm2": ("settled", "death_180d"),
    "slos": ("settled", "stay_14d"), "adlp": ("missing", "stay_14d"), "sno": ("identifier", ""),
}  # fmt: skip
# Other models' scores and physicians' estimates of day 3, known in time: strong, not decisive. avtisst, an average over the stay, is
# the one leak of DATA.md that no threshold of the issue reaches (AUROC .85 for high_charges): `data check` lists it first.
BELOW = {"sps": 0.787, "aps": 0.791, "surv2m": 0.841, "surv6m": 0.811, "prg2m": 0.814, "prg6m": 0.787, "avtisst": 0.850, "adls": 0.588, "adlsc": 0.611}  # fmt: skip


@pytest.fixture(scope="module")
def support2() -> tuple[Cohort, pd.DataFrame]:
    return support2_raw()


def with_column(cohort: Cohort, raw: pd.DataFrame, name: str) -> dict[str, Modality]:
    own: Tabular = cohort.inputs.of(Tabular)["table"]
    column = raw[name] if pd.api.types.is_numeric_dtype(raw[name]) else raw[name].astype("category")
    return {"table": Tabular(own.frame.assign(**{name: column.array}))}


@pytest.mark.parametrize("name", ALARMED)
def test_a_leak_of_support2_is_alarmed(name: str, support2: tuple[Cohort, pd.DataFrame]) -> None:
    cohort, raw = support2
    alarms = leaks.search(with_column(cohort, raw, name), cohort.tasks, cohort.labels, cohort.patients)
    assert [(a.column, a.kind, a.outcome) for a in alarms] == [(name, *ALARMED[name])]


@pytest.mark.parametrize("name", BELOW)
def test_what_of_support2_is_strong_but_no_alarm(name: str, support2: tuple[Cohort, pd.DataFrame]) -> None:
    cohort, raw = support2
    inputs = with_column(cohort, raw, name)
    assert leaks.search(inputs, cohort.tasks, cohort.labels, cohort.patients) == []
    told = next(one.told for one in leaks.candidates(inputs, cohort.labels, cohort.patients) if one.column == name)
    assert np.nanmax(told.auroc) == pytest.approx(BELOW[name], abs=0.002)


def test_no_false_stop_on_clean_support2(support2: tuple[Cohort, pd.DataFrame]) -> None:
    cohort, _ = support2
    assert leaks.search(cohort.inputs.modalities, cohort.tasks, cohort.labels, cohort.patients) == []


@pytest.mark.parametrize("n", [200, 1000])
def test_no_outcome_is_settled_by_a_part_of_clean_support2(n: int, support2: tuple[Cohort, pd.DataFrame]) -> None:
    cohort, _ = support2
    for seed in range(4):
        part = cohort.rows(np.random.default_rng(seed).choice(len(cohort), n, replace=False))
        alarms = leaks.search(part.inputs.modalities, part.tasks, part.labels, part.patients)
        assert [a.column for a in alarms if a.kind == "settled"] == []


def test_no_false_stop_on_surgical() -> None:
    cohort = registry.load("surgical:n=4000")
    assert leaks.search(cohort.inputs.modalities, cohort.tasks, cohort.labels, cohort.patients) == []


def test_no_false_stop_on_nafld() -> None:
    try:
        cohort = registry.load("nafld")
    except BenchError as error:
        pytest.skip(str(error))
    assert leaks.search(cohort.inputs.modalities, cohort.tasks, cohort.labels, cohort.patients) == []


def test_vitaldb_before_and_after_the_operation() -> None:
    raw = vitaldb_raw()
    y = np.column_stack(
        [raw["icu_days"] >= 1, (raw["dis"] - raw["opend"]) / 86_400 > 7, raw["intraop_rbc"] > 0, raw["death_inhosp"]]
    )
    tasks = [
        Task("icu", "ICU stay"),
        Task("stay", "not discharged within 7 days"),
        Task("transfusion"),
        Task("death", "in-hospital death"),
    ]
    ids = raw["subjectid"].astype(str).to_numpy()
    before = raw[[*VITALDB, *(c for c in raw if c.startswith("preop_"))]]
    clean: dict[str, Modality] = {
        "table": Tabular(coded(before)),
        "dx": Text(raw["dx"].fillna("")),
        "opname": Text(raw["opname"].fillna("")),
    }
    assert leaks.search(clean, tasks, y.astype(np.float32), ids) == []
    everything = {"table": Tabular(coded(raw.drop(columns=["subjectid", "dx", "opname"])))}
    columns = {a.column for a in leaks.search(everything, tasks, y.astype(np.float32), ids)}
    assert columns == {"caseid", "dis", "icu_days", "death_inhosp", "intraop_rbc", "intraop_uo", "aline1", "cline1"}


def coded(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.apply(lambda c: c if pd.api.types.is_numeric_dtype(c) else c.astype("category"))
