"""New patients from tables: read as the cohort file reads its own, whatever is missing, new, besides or odd about them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import inside

import bench
from bench import cohorts
from bench.core import BenchError
from bench.saved import Model

COHORT = """
name = "ward"
table = { file = "patients.csv", missing = ["", "-9"] }
patient = "id"
row = "stay"
join = [{ file = "labs.csv", key = "id", prefix = "lab_" }]

[columns]
text = ["note"]
categorical = ["asa"]
ignore = ["clerk"]

[outcomes]
aki = "creatinine_after > 1.5"
icu = "icu"

[series.vitals]
file = "vitals.csv"
row = "stay"
time = "when"
name = "what"
value = "x"
zero = "seen"
"""
WORDS = np.array(["knee", "hip", "fever", "pain", "elective", "urgent"])


def done(verb: str, *words: object) -> str:
    """What the command says beside its answer; it must end well."""
    ended = inside(Path(), *map(str, words), verb=verb)
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


def refused(verb: str, *words: object) -> str:
    """The one line that it ends with."""
    ended = inside(Path(), *map(str, words), verb=verb)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    return line


def tables(folder: Path, n: int = 200) -> dict[str, pd.DataFrame]:
    """A table with decimal commas, a missing code, dates and notes, a joined one, and measurements with a time."""
    rng = np.random.default_rng(3)
    ill = rng.normal(size=n)

    def comma(values: np.ndarray, digits: int) -> list[str]:
        return ["-9" if rng.random() < 0.1 else f"{value:.{digits}f}".replace(".", ",") for value in values]

    ids = [f"P{i:04d}" for i in range(n)]
    seen = pd.Timestamp("2024-03-01 08:00") + pd.to_timedelta(rng.integers(0, 9000, n), "h")
    patients = pd.DataFrame(
        {
            "id": ids,
            "stay": [f"S{i}" for i in range(n)],
            "age": comma(60 + 10 * ill + rng.normal(0, 4, n), 1),
            "crp": comma(np.exp(rng.normal(2, 1, n)), 2),
            "ward": rng.choice(["a", "b", "c"], n),
            "asa": rng.integers(1, 4, n),
            "seen": seen,
            "note": [" ".join(rng.choice(WORDS, 4)) for _ in range(n)],
            "clerk": rng.choice(["x", "y"], n),
            "creatinine_after": comma(np.exp(0.5 * ill + rng.normal(0, 0.3, n)), 2),
            "icu": (rng.random(n) < 1 / (1 + np.exp(1 - ill))).astype(int),
        }
    )
    labs = pd.DataFrame({"id": ids, "hb": (12 + ill + rng.normal(0, 1, n)).round(1)})
    owner = np.repeat(np.arange(n), rng.integers(2, 7, n))
    when = seen[owner] - pd.to_timedelta(rng.integers(1, 600, len(owner)), "min")
    value = (80 + 8 * ill[owner] + rng.normal(0, 3, len(owner))).round(1)
    what = rng.choice(["pulse", "map"], len(owner))
    vitals = pd.DataFrame({"stay": patients["stay"].to_numpy()[owner], "when": when, "what": what, "x": value})
    made = {"patients": patients, "labs": labs, "vitals": vitals}
    for name, frame in made.items():
        frame.to_csv(folder / f"{name}.csv", index=False, sep=";" if name == "patients" else ",")
    (folder / "cohort.toml").write_text(COHORT)
    return made


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, pd.DataFrame], Model]:
    folder = tmp_path_factory.mktemp("ward")
    made = tables(folder)
    done("fit", "--method", "logistic", "--data", folder / "cohort.toml", "--out", folder / "model", "--quick")
    return folder, made, bench.load_model(folder / "model")


def further(folder: Path) -> list[str]:
    return ["--table", f"vitals={folder / 'vitals.csv'}", "--table", f"labs={folder / 'labs.csv'}"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_tables_it_was_fitted_on_are_read_as_then(ward: tuple[Path, dict[str, pd.DataFrame], Model]) -> None:
    folder, made, model = ward
    cohort = cohorts.load(folder / "cohort.toml")
    done("predict", folder / "model", folder / "patients.csv", *further(folder))
    found = pd.read_csv("predictions.csv")
    assert list(found) == ["id", "stay", "p:aki", "p:icu"]
    assert found["id"].tolist() == made["patients"]["id"].tolist()
    np.testing.assert_allclose(found[["p:aki", "p:icu"]], model.predictor.predict(cohort.inputs), atol=1e-7)
    assert found["p:aki"].nunique() > 100


def test_a_patient_alone_is_read_as_among_others(ward: tuple[Path, dict[str, pd.DataFrame], Model]) -> None:
    # one row: every column is constant, no decimal comma need stand in it, and the codes 1 to 3 could be numbers
    folder, made, model = ward
    whole = model.predictor.predict(cohorts.load(folder / "cohort.toml").inputs)
    for i in (0, 7, 50):
        one = made["patients"].iloc[[i]].drop(columns=["icu", "creatinine_after", "clerk"])
        one.to_csv("one.csv", index=False)
        made["vitals"].query(f"stay == 'S{i}'").to_csv("v.csv", index=False)
        made["labs"].query(f"id == 'P{i:04d}'").to_csv("labs.csv", index=False)
        tables = ["--table", "vitals=v.csv", "--table", "labs=labs.csv"]
        assert done("predict", folder / "model", "one.csv", *tables, "--out", f"one{i}.parquet") == ""
        np.testing.assert_allclose(pd.read_parquet(f"one{i}.parquet")[["p:aki", "p:icu"]], whole[[i]], atol=1e-7)


def test_a_frame_is_read_as_a_file(ward: tuple[Path, dict[str, pd.DataFrame], Model]) -> None:
    folder, made, model = ward
    inputs = cohorts.load(folder / "cohort.toml").inputs
    rest = {"vitals": made["vitals"], "labs": made["labs"]}
    typed = made["patients"].assign(ward=made["patients"]["ward"].astype("category"))
    for name in ("age", "crp"):  # numbers as a program has them, not as the file had them
        typed[name] = typed[name].str.replace(",", ".").astype(float).replace(-9, np.nan)
    for frame in (made["patients"], typed):
        found = model.predict(frame, rest)[["p:aki", "p:icu"]].to_numpy()
        np.testing.assert_allclose(found, model.predictor.predict(inputs), atol=1e-7)


def test_another_cohort_file_says_where_tables_lie(ward: tuple[Path, dict[str, pd.DataFrame], Model]) -> None:
    # its few rows hold one ward and one asa, which by themselves would be left out as constant
    folder, made, model = ward
    some = made["patients"].query("ward == 'b' and asa == 2").drop(columns=["icu", "creatinine_after"])
    some.to_csv("other.csv", index=False)
    Path("other.toml").write_text(COHORT.replace("patients.csv", "other.csv").replace('file = "', f'file = "{folder}/').replace(
        f"{folder}/other.csv", "other.csv"))  # fmt: skip
    done("predict", folder / "model", "--data", "other.toml")
    whole = model.predictor.predict(cohorts.load(folder / "cohort.toml").inputs)[some.index]
    np.testing.assert_allclose(pd.read_csv("predictions.csv")[["p:aki", "p:icu"]], whole, atol=1e-7)


Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop(columns="age").assign(Age=1), "columns that are not there count as missing: age"),
        (lambda f: f.assign(ward=["zz", *f["ward"][1:]]), "column 'ward': 1 of 8 values are categories .* count as missing (zz)"),
        (lambda f: f.assign(height=1, weight=2), "columns that the model does not know are left out: height, weight"),
        (lambda f: f.assign(icu=1), "columns of outcomes are not looked at: icu"),
        (lambda f: f.assign(crp=["many", *f["crp"][1:]]), "column 'crp': 1 of 8 values are not written .* count as missing (such as 'many')"),
        (lambda f: f.assign(age=["600,5"] * 8), "column 'age': 8 of 8 values lie outside the range of training .* Another unit?"),
        (lambda f: f, "series 'vitals' is not given, so that it is missing: --table vitals=FILE"),
        (lambda f: f, "the joined table 'labs' is not given, so that it is missing: --table labs=FILE"),
    ],
)  # fmt: skip
def test_what_is_odd_is_said_and_predicted(change: Change, said: str, ward: tuple[Path, dict[str, pd.DataFrame], Model]) -> None:
    folder, made, _ = ward
    rows = made["patients"].query("age != '-9' and crp != '-9'").drop(columns=["icu", "creatinine_after"]).head(8)
    change(rows).to_csv("new.csv", index=False)
    told = done("predict", folder / "model", "new.csv")
    assert all(part in told for part in said.split(" .* ")), told
    assert pd.read_csv("predictions.csv")[["p:aki", "p:icu"]].notna().all(axis=None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.rename(columns={"id": "ID"}), "unknown column in patient 'id'. Did you mean 'ID'?"),
        (lambda f: f.head(0), "has a header but no rows"),
        (lambda f: f.assign(id=[None, *f["id"][1:]]), "every row needs a patient id, but 1 have none (first: row 0)"),
        (lambda f: f[["id", "stay", "clerk"]], "no column that the model knows is there"),
        (lambda f: f.assign(age="old"), "column 'age': 8 of 8 values are not written as where the model was fitted"),
        (lambda f: f.assign(age="1" + "0" * 39), "column 'age' must be finite or missing"),
    ],
)
def test_what_cannot_be_predicted_is_refused_in_a_line(
    change: Change, said: str, ward: tuple[Path, dict[str, pd.DataFrame], Model]
) -> None:
    folder, made, _ = ward
    change(made["patients"].head(8)).to_csv("new.csv", index=False)
    assert said in refused("predict", folder / "model", "new.csv")
    assert not Path("predictions.csv").exists()


def test_a_measurement_after_the_prediction_is_refused(ward: tuple[Path, dict[str, pd.DataFrame], Model]) -> None:
    _, made, model = ward
    late = made["vitals"].assign(when=pd.Timestamp("2030-01-01"))
    with pytest.raises(BenchError, match=r"were made after the prediction, which no model knows"):
        model.predict(made["patients"], {"vitals": late})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new.csv", "--table", "vital=v.csv"], "unknown further table of the model 'vital'. Did you mean 'vitals'?"),
        (["new.csv", "--table", "vitals"], "--table reads NAME=FILE"),
        (["new.csv", "--data", "cohort.toml"], "one of these, but got 2"),
        ([], "one of these, but got 0"),
        (["gone.csv"], "no such file"),
        (["new.csv", "--out", "p.xlsx"], "predictions are written as .csv or .parquet"),
        (["new.csv", "--out", "new.csv"], "is there already"),
        (["--data", "new.csv"], "--data takes a cohort file"),
        (["new.csv", "--out", "{model}/p.csv"], "lies in the model's folder"),
    ],
)
def test_a_mistake_in_the_call_is_one_line(
    words: list[str], said: str, ward: tuple[Path, dict[str, pd.DataFrame], Model]
) -> None:
    folder, made, _ = ward
    made["patients"].head(3).to_csv("new.csv", index=False)
    assert said in refused("predict", folder / "model", *(word.format(model=folder / "model") for word in words))


def test_a_model_of_a_dataset_reads_tables_by_their_columns() -> None:
    done("fit", "--method", "constant", "--dataset", "surgical:n=300", "--out", "model", "--quick", "--outcomes", "aki")
    done("predict", "model", "--dataset", "surgical:n=300:seed=1")
    assert list(pd.read_csv("predictions.csv")) == ["patient", "p:aki"]
    from bench import registry
    from bench.core import Tabular

    (table,) = registry.load("surgical:n=300").inputs.of(Tabular).values()
    table.frame.head(5).assign(patient=range(5)).to_csv("new.csv", index=False)
    done("predict", "model", "new.csv", "--force")
    assert pd.read_csv("predictions.csv")["patient"].tolist() == [0, 1, 2, 3, 4]
