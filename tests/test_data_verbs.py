"""`bench data init, check, schema` as a user meets them: real files and the real command."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_commands import HOSTILE, N, filled, hostile, patients, ran, said
from own_files import original, own_cohort

from bench import cohorts, registry, toml
from bench.cli import main
from bench.cohorts import guess, look, schema, summary
from bench.core import BenchError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return filled(tmp_path)


# ---- init


def test_a_first_file_is_valid_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "init", "patients.csv", "labs.parquet")[0] == 0
    file = schema.read(folder / "cohort.toml")
    assert (file.patient, file.row, file.site, file.time, file.subgroups) == (
        "patient_id",
        "case_id",
        "hospital",
        "admission_date",
        ("sex",),
    )
    # hx_stroke is history, not outcome
    assert {name: one.rule for name, one in file.outcomes.items()} == {
        "icu_days_1": "icu_days >= 1",
        "died": "died",
        "readmitted": "\"readmitted\" = 'yes'",
    }
    own = file.series["labs"]
    assert (own.file, own.row, own.time, own.name, own.value, own.unit) == (
        "labs.parquet",
        "case_id",
        "hours",
        "test",
        "result",
        "h",
    )
    cohort = cohorts.load(folder / "cohort.toml")
    assert (len(cohort), set(cohort.inputs.modalities)) == (N, {"table", "diagnosis", "labs"})
    np.testing.assert_array_equal(cohort.labels[:, 0], (patients()["icu_days"] >= 1).to_numpy(np.float32))
    text = (folder / "cohort.toml").read_text("utf-8")
    assert guess.FILL not in text
    assert 'died = "died"  # ' in text
    assert "# numeric: age, crea, hx_stroke" in text


def test_columns_that_leak_are_ignored_with_the_reason(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = patients().assign(death_cause=lambda d: np.where(d["died"] == 1, "sepsis", None))
    frame.to_csv(folder / "patients.csv", index=False)
    assert said(capsys, "init", "patients.csv")[0] == 0
    file = schema.read(folder / "cohort.toml")
    assert file.columns.ignore == () if "death_cause" in file.outcomes else file.columns.ignore == ("death_cause",)
    assert ran("check", "cohort.toml") == 0


def test_a_file_that_is_there_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "cohort.toml").write_text("mine")
    with pytest.raises(SystemExit, match=r"bench: cohort\.toml is there already"):
        main(["data", "init", "patients.csv"])
    assert (folder / "cohort.toml").read_text() == "mine"
    assert ran("init", "patients.csv", "--out", "other.toml") == 0
    assert ran("init", "patients.csv", "--force") == 0
    assert schema.read(folder / "cohort.toml").patient == "patient_id"
    assert sorted(p.name for p in folder.iterdir()) == [
        "cohort.toml",
        "labs.parquet",
        "other.toml",
        "patients.csv",
    ]  # and nothing else


def test_what_cannot_be_guessed_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patients()[["age", "crea", "hx_stroke"]].to_csv(folder / "bare.csv", index=False)
    status, out = said(capsys, "init", "bare.csv")
    assert status == 0
    asked = [line for line in out.splitlines() if line.startswith("FILL IN: ")]
    assert asked[0] == 'FILL IN: patient = "..." the column that says whose row it is; none looks like it'
    assert asked[1].endswith("no column looks like one: columns of 0 and 1 are hx_stroke")
    text = (folder / "cohort.toml").read_text("utf-8")
    assert all(f"# {line}" in text for line in asked)
    # filled in as it says, it is valid
    (folder / "cohort.toml").write_text(
        'patient = "age"\n' + text.replace("\n[columns]", '\n[outcomes]\nstroke = "hx_stroke"\n[columns]'), "utf-8"
    )
    assert schema.read(folder / "cohort.toml").patient == "age"


def test_a_second_table_is_joined_by_its_key(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = patients()
    pd.DataFrame({"case_id": frame["case_id"], "bmi": np.random.default_rng(9).normal(27, 4, N)}).to_csv(
        folder / "body.csv", index=False
    )
    assert said(capsys, "init", "patients.csv", "body.csv")[0] == 0
    assert [one.key for one in schema.read(folder / "cohort.toml").join] == ["case_id"]
    assert "bmi" in cohorts.load(folder / "cohort.toml").inputs.modalities["table"].frame


def test_hostile_columns_make_a_valid_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(2)
    frame = patients().assign(**{name: rng.normal(size=N) for name in HOSTILE}, **{'death ] # "x"': rng.integers(0, 2, N)})
    frame.to_parquet(folder / "odd.parquet")
    assert said(capsys, "init", "odd.parquet")[0] == 0
    text = (folder / "cohort.toml").read_text("utf-8")
    assert "\x1b" not in text
    assert "\u202e" not in text
    cohort = cohorts.load(folder / "cohort.toml")
    assert 'death ] # "x"' in cohort.task_names
    assert set(HOSTILE) <= set(cohort.inputs.modalities["table"].frame)


def test_toml_brings_back_what_it_was_given() -> None:
    import tomllib

    content = {"a b": list(HOSTILE), "": "\x7f\\\"'\t", "n": 1.5, "yes": True, "t": {"x.y": {"rule": "a = 'b'", "k": []}}}
    assert tomllib.loads(toml.document(content)) == content


def test_vitaldb_in_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = original("vitaldb/cases.csv.gz")
    monkeypatch.chdir(tmp_path)
    assert said(capsys, "init", str(file))[0] == 0
    made = schema.read(tmp_path / "cohort.toml")
    assert (made.patient, made.row, set(made.outcomes)) == ("subjectid", "caseid", {"icu_days_1", "death_inhosp"})
    assert set(made.columns.ignore) == {
        "aline1",
        "cline1",
        "intraop_uo",
    }  # lines and urine are for those who go to intensive care
    seen = look.own(tmp_path / "cohort.toml")
    assert seen.stop == ()
    assert seen.summary.outcomes["events"].tolist() == [1204, 57]


# ---- check


def test_check_says_what_a_run_would_see(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran("init", "patients.csv", "labs.parquet")
    capsys.readouterr()
    status, out = said(capsys, "check", "cohort.toml")
    assert status == 0
    frame = patients()
    events = int(frame["died"].sum())
    assert f"cohort: {N} rows, {frame['patient_id'].nunique()} patients, 3 outcomes" in out
    assert re.search(rf"^died +{N} +{events} +{100 * events / N:.1f} ", out, re.M)
    phi = np.corrcoef(frame["icu_days"] >= 1, frame["died"])[0, 1]
    assert re.search(rf"^1 icu_days_1 +{phi:z.2f} ".replace("-", "[-]"), out, re.M)
    assert re.search(rf"^crea +numeric +{100 * frame['crea'].isna().mean():.1f} ", out, re.M)
    assert re.search(r"^icu_days +role +used by outcome 'icu_days_1'", out, re.M)
    assert re.search(rf"^labs +series +{N} +100\.0 +6 measurements \(6 to 6\)", out, re.M)
    assert re.search(r"^labs\.crp ", out, re.M)
    assert (
        out.splitlines()[-1] == "No alarm: a run can start. No proof: columns must have been known at the moment of prediction."
    )
    assert max(map(len, out.splitlines())) <= 100


def test_check_ends_with_1_where_a_run_would_stop(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = patients().assign(discharged_dead=lambda d: d["died"].astype(float))
    path = own_cohort(
        folder, frame.rename(columns={"patient_id": "id"}), 'died = "died"', '[columns]\nonly = ["age", "discharged_dead"]\n'
    )
    status, out = said(capsys, "check", str(path))
    assert status == 1
    assert "ALARM: column 'discharged_dead' is nearly the outcome 'died' itself" in out
    assert out.splitlines()[-1] == "1 alarm would stop a run."
    with pytest.raises(BenchError, match="leakage alarm: column 'discharged_dead'"):
        registry.load(str(path))  # and it does
    status, out = said(capsys, "check", str(path), "--allow-leak", "discharged_dead")
    assert status == 0
    assert "let through: column 'discharged_dead'" in out
    assert registry.load(f"{path}:allow_leak=discharged_dead").notices[-1].startswith("column 'discharged_dead' is nearly")


def test_censored_outcomes_are_weighted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {"id": np.arange(N) * 3 % N, "age": rng.normal(size=N), "days": rng.integers(1, 800, N), "event": rng.integers(0, 2, N)}
    )
    path = own_cohort(folder, frame, 'relapse = { event = "event", time = "days", horizon = 365 }')
    _, out = said(capsys, "check", str(path))
    row = summary.summarise(cohorts.load(path)).outcomes.iloc[0]
    assert row["weighted"] < row["prevalence"]  # those without an event had to be followed for the whole year to count
    assert "weighted, %" in out
    assert f"{100 * row['weighted']:.1f}" in out


def test_few_events_and_many_outcomes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(6)
    frame = pd.DataFrame(
        {"id": rng.permutation(N), "age": rng.normal(size=N), **{f"y{i}": rng.random(N) < 0.1 for i in range(14)}}
    )
    rules = "\n".join(f'y{i} = "y{i}"' for i in range(14))
    _, out = said(capsys, "check", str(own_cohort(folder, frame, rules)))
    assert "too few events to tell methods apart, under 10 in each of 5 folds: y0 (" in " ".join(out.split())
    assert "Correlation of labels (phi), the strongest pairs" in out
    assert max(map(len, out.splitlines())) <= 100


def test_hostile_names_do_nothing_on_a_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = hostile(folder)
    status, out = said(capsys, "check", str(path))
    assert status == 0
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "[bold]x[/bold]" in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["check", "nothing.toml"], "bench: nothing.toml cannot be read: No such file or directory"),
        (["check", "suport2"], "bench: unknown dataset 'suport2'. Did you mean 'support2'?"),
        (["show", "nothing.toml"], "bench: nothing.toml cannot be read"),
        (["init", "nothing.csv"], "bench: no such file: nothing.csv"),
        (["init", "patients.csv", "--out", "no/cohort.toml"], "bench: no such folder: "),
        (["init", "cohort.txtt"], "bench: "),
    ],
)
def test_mistakes_in_one_line(words: Sequence[str], says: str, folder: Path) -> None:
    (folder / "cohort.txtt").write_text("x")
    with pytest.raises(SystemExit) as ended:
        main(["data", *words])
    line = str(ended.value.code)
    assert line.startswith(says)
    assert "\n" not in line


# ---- schema


def test_the_schema_is_printed_and_published(capsys: pytest.CaptureFixture[str]) -> None:
    status, out = said(capsys, "schema")
    assert status == 0
    assert json.loads(out)["title"] == "CohortFile"
    published = Path(schema.__file__).parents[1] / "docs" / "cohort.schema.json"
    assert published.read_text("utf-8") == out, "bench data schema > bench/docs/cohort.schema.json"


def test_the_schema_knows_the_short_forms() -> None:
    """An editor must not mark what the reader takes: table = "x.csv", an outcome that is its rule, a name where a list may stand."""
    made = schema.json_schema()
    places = made["properties"]["table"], made["properties"]["outcomes"]["additionalProperties"], made["properties"]["subgroups"]
    for place in (*places, made["$defs"]["Columns"]["properties"]["text"], made["$defs"]["Outcome"]["properties"]["implies"]):
        assert {"minLength": 1, "type": "string"} in place["anyOf"]
        assert len(place["anyOf"]) == 2
    assert made["additionalProperties"] is False
