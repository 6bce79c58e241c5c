"""The contract of every bundled dataset: whatever stands in datasets/ is tested by being there."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pandas as pd
import pytest

from bench import cards, registry, sources
from bench.core import BenchError, Cohort, Series, Tabular

# Named in DATA.md: follow-up, other models' predictions, and what contains an outcome
LEAKS = {
    "support2": {
        *("adlp", "adls", "adlsc", "sps", "aps", "surv2m", "surv6m", "prg2m", "prg6m", "dnr", "dnrday", "avtisst"),
        *("charges", "totcst", "totmcst", "d.time", "death", "sfdm2", "slos", "hospdead", "sno", "id"),
    },
    "nafld": {"futime", "status", "case.id", "id", "nafld", "event", "days", "rownames"},
    "physionet2012": {"RecordID", "SAPS-I", "SOFA", "Length_of_stay", "Survival", "In-hospital_death"},
    "vitaldb": {
        *("caseid", "subjectid", "casestart", "caseend", "anestart", "aneend", "opstart", "opend", "adm", "dis", "icu_days"),
        *("death_inhosp", "position", "cormack", "airway", "tubesize", "dltubesize", "lmasize", "iv1", "iv2", "aline1", "aline2"),
        *(
            "cline1",
            "cline2",
            "intraop_ebl",
            "intraop_uo",
            "intraop_rbc",
            "intraop_ffp",
            "intraop_crystalloid",
            "intraop_colloid",
        ),
        *(
            "intraop_ppf",
            "intraop_mdz",
            "intraop_ftn",
            "intraop_rocu",
            "intraop_vecu",
            "intraop_eph",
            "intraop_phe",
            "intraop_epi",
        ),
        "intraop_ca",
    },
    "mimic4": {
        *("hospital_expire_flag", "deathtime", "dischtime", "outtime", "dod", "discharge_location", "last_careunit", "race"),
        *("died", "died_icu", "left", "readmitted", "ventilated_before", "ventilated_after", "subject_id", "hadm_id", "stay_id"),
    },
    "eicu": {
        *("hospitaldischargestatus", "hospitaldischargeoffset", "hospitaldischargelocation", "unitdischargestatus"),
        *("unitdischargeoffset", "unitdischargelocation", "dischargeweight", "ethnicity", "intubated", "vent", "apachescore"),
        *("died", "died_icu", "left", "readmitted", "ventilated_before", "ventilated_after", "uniquepid", "patientunitstayid"),
    },
    "census_income": {"education", "marital stat", "instance weight", "income", "part", "person"},
}
FEW_EVENTS = {("vitaldb", "hospital_death")}  # too few to be compared in five folds, and the docstring says so
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def load(name: str) -> Cohort:
    """The cohort, or a skip where its files are out of reach; any other error fails the test."""
    with pytest.MonkeyPatch.context() as patch:
        if SHARED.is_dir():
            patch.setenv("BENCH_DATA_DIR", str(SHARED))
        if any(isinstance(source, sources.Web) for source in sources.of(registry.module("datasets", name))):
            patch.setenv("https_proxy", "http://127.0.0.1:9")  # no test burdens a source's own server
        try:
            return registry.load(name)
        except BenchError as error:
            if "could not be fetched" in str(error) or "credentialed users get it" in str(error):
                pytest.skip(str(error))
            raise


@pytest.fixture(scope="module", params=registry.ids("datasets"))
def dataset(request: pytest.FixtureRequest) -> tuple[str, Cohort]:
    return request.param, load(request.param)


@pytest.mark.parametrize("name", registry.ids("datasets"))
def test_a_card_lists_the_dials_and_where_the_data_come_from(name: str) -> None:
    card = cards.dataset(name)
    assert card.about == registry.about("datasets")[name]
    (_, dials) = card.settings[0]
    parameters = inspect.signature(registry.module("datasets", name).load).parameters
    assert [dial.name for dial in dials] == list(parameters)
    assert all(dial.meaning for dial in dials)
    assert [dial.default for dial in dials] == [str(p.default) for p in parameters.values()]
    if "Needs nothing" not in card.about:
        assert [card.about.count(f"\n{part}: ") for part in ("Source", "Licence", "Terms", "Cite", "Shape")] == [1] * 5
        assert "\nOutcomes" in card.about
        assert "\nLeft out" in card.about


def test_an_unknown_dataset_gets_the_closest_one() -> None:
    with pytest.raises(BenchError, match=r"unknown dataset 'nafdl'\. Did you mean 'nafld'\?"):
        cards.dataset("nafdl")


def test_the_command_prints_the_card_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from bench.cli import main\n"
        "try: main(['datasets', 'support2:adl=true'])\n"
        "except SystemExit as e: assert not e.code, e.code\n"
        "assert not {'torch', 'sklearn', 'bench.datasets.support2'} & set(sys.modules), 'heavy'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == cards.dataset("support2").text() + "\n"
    assert done.stdout.endswith("adl = False  bool  with activities of daily living, whose missingness leaks survival\n")


def test_the_first_line_says_what_it_is_and_needs(dataset: tuple[str, Cohort]) -> None:
    name, cohort = dataset
    first, *rest = registry.about("datasets")[name].splitlines()
    assert 20 < len(first) <= 130
    assert first.endswith(".")
    assert f"{len(cohort):,}" in first or "your own" in first  # another release has another number
    assert "fetch" in first or "needs" in first.lower()
    assert not rest or rest[0] == ""


def test_dials_have_types_and_defaults(dataset: tuple[str, Cohort]) -> None:
    factory = registry.module("datasets", dataset[0]).load
    hints = get_type_hints(factory)
    assert hints["return"] is Cohort
    for name, dial in inspect.signature(factory).parameters.items():
        assert name in hints
        assert dial.default is not inspect.Parameter.empty


def test_two_loads_give_one_digest(dataset: tuple[str, Cohort]) -> None:
    name, cohort = dataset
    again = load(name)
    assert again.digest == cohort.digest
    assert again.labels is not cohort.labels


def test_outcomes_are_documented(dataset: tuple[str, Cohort]) -> None:
    _, cohort = dataset
    assert len({task.label for task in cohort.tasks}) == len(cohort.tasks) >= 2
    deadly = any("death" in task.name for task in cohort.tasks)
    for task in cohort.tasks:
        assert len(task.label) > 3
        if deadly and "death" not in task.name:
            assert len(task.competing) > 10, f"{task.name}: how is death before the event coded?"
        assert task.thresholds is None or 0 < task.thresholds[0] < task.thresholds[1] < 1


def test_people_and_labels(dataset: tuple[str, Cohort]) -> None:
    name, cohort = dataset
    assert cohort.name == name
    assert cohort.labels.dtype == np.float32
    assert len(set(cohort.patients)) <= len(cohort.patients) == len(cohort.groups) == len(cohort)
    assert "" not in cohort.patients
    events = np.nansum(cohort.labels, axis=0)
    for task, count in zip(cohort.task_names, events, strict=True):
        assert count >= 100 or (name, task) in FEW_EVENTS  # enough to be compared in five folds
    assert (events <= 0.75 * cohort.mask.sum(axis=0)).all()
    assert ((cohort.loss_weights > 0) == cohort.mask).all()


def test_no_outcome_and_no_leak_is_a_feature(dataset: tuple[str, Cohort]) -> None:
    name, cohort = dataset
    features = {c for table in cohort.inputs.of(Tabular).values() for c in table.frame.columns}
    features |= {c for series in cohort.inputs.of(Series).values() for c in series.channels}
    assert features
    assert not features & (LEAKS.get(name, set()) | set(cohort.task_names))


def test_columns_are_numbers_or_codes(dataset: tuple[str, Cohort]) -> None:
    for table in dataset[1].inputs.of(Tabular).values():
        for column in table.frame:
            values = table.frame[column]
            assert isinstance(values.dtype, pd.CategoricalDtype) or pd.api.types.is_numeric_dtype(values)
            assert values.nunique() >= 2, f"{column} is constant"


def test_series_lie_before_the_prediction(dataset: tuple[str, Cohort]) -> None:
    for series in dataset[1].inputs.of(Series).values():
        assert (series.time >= 0).all()
        assert set(series.channel.tolist()) == set(range(len(series.channels)))
        # a row that is not present owns no events
        assert (np.diff(series.offsets)[~series.present] == 0).all()


def test_rows_of_every_part(dataset: tuple[str, Cohort]) -> None:
    cohort = dataset[1]
    which = np.array([5, 3, 3, len(cohort) - 1])
    part = cohort.rows(which)
    assert part.patients.tolist() == cohort.patients[which].tolist()
    np.testing.assert_array_equal(part.labels, cohort.labels[which])
    np.testing.assert_array_equal(part.loss_weights, cohort.loss_weights[which])
    assert part.digest != cohort.digest
    for name, modality in part.inputs.modalities.items():
        assert len(modality) == 4
        assert modality.present.tolist() == cohort.inputs.modalities[name].present[which].tolist()
    for name, table in part.inputs.of(Tabular).items():
        whole = cohort.inputs.of(Tabular)[name].frame
        pd.testing.assert_frame_equal(table.frame, whole.iloc[which].reset_index(drop=True))
