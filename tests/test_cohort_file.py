"""Cohort files as datasets: what they may say, how the registry and workers take them, and VitalDB through one of 20 lines."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cohort_files import DEAD, HEAD, cohort, made, written

from bench import registry
from bench.cohorts import schema
from bench.core import BenchError, Tabular, Text
from bench.protocol import own_split

DATA = Path(__file__).parent.parent.parent / "shared" / "data"


def table(n: int = 60, leak: bool = False) -> str:
    rng = np.random.default_rng(0)
    dead = rng.random(n) < 0.4
    age = rng.normal(60, 10, n).round(1) + 5 * dead
    lines = [
        f"{i // 2},{int(d)},{a},{int(d) if leak else i // 2 % 7},{'mf'[i % 2]}"
        for i, (d, a) in enumerate(zip(dead, age, strict=True))
    ]
    return "id,dead,age,score,sex\n" + "\n".join(lines) + "\n"


def file(folder: Path, toml: str = DEAD, **options: bool) -> Path:
    return written(folder, toml, {"t.csv": table(**options)})


def test_a_cohort_file_is_a_dataset(tmp_path: Path) -> None:
    spec = registry.parse("datasets", str(file(tmp_path)))[0]
    assert (spec.id, spec.label, spec.path) == ("mine", "mine", str(tmp_path / "mine.toml"))
    built = registry.load(spec)
    assert built.name == "mine"
    assert list(built.inputs.of(Tabular)["table"].frame) == ["age", "score", "sex"]
    assert len(built) == 60
    assert len(set(built.patients)) == 30
    assert own_split(spec) == {"split": "random"}
    assert registry.settings(spec) == {"allow_leak": "", "variant": None}


def test_its_name_is_what_it_says(tmp_path: Path) -> None:
    assert registry.parse("datasets", str(file(tmp_path, 'name = "icu-2024"\n' + DEAD)))[0].label == "icu-2024"
    with pytest.raises(BenchError, match=r"mine\.toml has the name of a bundled dataset.* Give it another: name = \"my_nafld\""):
        registry.parse("datasets", str(file(tmp_path, 'name = "nafld"\n' + DEAD)))
    with pytest.raises(BenchError, match=r"name: string should match pattern"):
        registry.parse("datasets", str(file(tmp_path, 'name = "../x"\n' + DEAD)))
    with pytest.raises(BenchError, match=r"no such file: .*other\.toml"):
        registry.parse("datasets", str(tmp_path / "other.toml"))


def test_it_says_how_it_is_split(tmp_path: Path) -> None:
    toml = HEAD + 'site = "sex"\n[outcomes]\ndead = "dead"\n[split]\nby = "SPLIT"\n'
    assert own_split(registry.parse("datasets", str(file(tmp_path, toml.replace("SPLIT", "site"))))[0]) == {"split": "site"}
    spec = registry.parse("datasets", str(file(tmp_path, toml.replace("SPLIT", "score"))))[0]
    built = registry.load(spec)
    assert built.subgroups is not None
    assert list(built.subgroups) == ["score"]  # where a split by a column looks for it
    assert list(built.inputs.of(Tabular)["table"].frame) == ["age"]
    timed = toml.replace("SPLIT", "time").replace('site = "sex"', 'time = "score"') + "cut = 5\n"
    assert own_split(registry.parse("datasets", str(file(tmp_path, timed)))[0]) == {"split": "time", "cut": "5"}


def test_a_leak_stops_unless_it_is_allowed(tmp_path: Path) -> None:
    path = file(tmp_path, leak=True)
    with pytest.raises(BenchError, match=r"leakage alarm: .*'score'"):
        registry.load(str(path))
    built = registry.load(f"{path}:allow_leak=score")
    assert any("score" in notice for notice in built.notices)
    assert registry.parse("datasets", f"{path}:allow_leak=score")[0].label == "mine:allow_leak=score"
    assert registry.load(str(file(tmp_path, 'allow_leak = "score"\n' + DEAD, leak=True))).digest == built.digest


def test_a_changed_file_is_another_dataset(tmp_path: Path) -> None:
    spec = registry.parse("datasets", str(file(tmp_path)))[0]
    file(tmp_path, DEAD + "# changed\n")
    assert registry.parse("datasets", spec.path)[0].sha256 != spec.sha256
    with pytest.raises(BenchError, match=r"mine\.toml changed while the run was under way\. Start the run again\."):
        registry.load(spec)


def test_other_numbers_are_another_digest(tmp_path: Path) -> None:
    one = cohort(tmp_path, table())
    assert cohort(tmp_path, table()).digest == one.digest
    assert cohort(tmp_path, table().replace("\n", "\r\n")).digest == one.digest
    assert cohort(tmp_path, table().replace("mf"[1], "x", 1)).digest != one.digest


def test_spawned_workers_read_it_again(tmp_path: Path) -> None:
    path = file(tmp_path)
    words = ["-m", "bench", "run", "--data", str(path), "--methods", "logistic", "--folds", "2", "--workers", "1", "--quick"]
    words += ["--shard", "1/1"]  # without a report
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    records = [json.loads(p.read_text()) for p in (tmp_path / "results").rglob("r*-f*.json")]
    assert [record["status"] for record in records] == ["done", "done"]
    assert {record["digests"]["cohort"] for record in records} == {registry.load(str(path)).digest}


@pytest.mark.parametrize(
    ("data", "dataset", "allow", "said"),
    [
        ("mine.toml", None, [], "mine.toml"),
        ("mine.toml", None, ["a", "b c"], "mine.toml:allow_leak=a+b c"),
        (None, "mine.toml", ["a"], "mine.toml:allow_leak=a"),
        (None, "support2,nafld", [], "support2,nafld"),
        (None, None, [], None),
    ],
)
def test_the_options_of_the_command(data: str | None, dataset: str | None, allow: list[str], said: str | None) -> None:
    assert registry.own_data(data, dataset, allow) == said


@pytest.mark.parametrize(
    ("data", "dataset", "allow", "said"),
    [
        ("mine.toml", "support2", [], r"--data FILE is --dataset FILE for a cohort file: give one of the two"),
        (
            "mine.csv",
            None,
            [],
            r"--data takes a cohort file \(\.toml\), but got 'mine\.csv'\. `bench data init mine\.csv` writes one\.",
        ),
        (None, "support2", ["a"], r"--allow-leak is for one cohort file, as in --data cohort\.toml, but got 'support2'"),
        ("mine.toml", None, ["a:b"], r"names without , : and \+, but got 'a:b'\. Name it under allow_leak in the cohort file\."),
    ],
)
def test_options_that_do_not_fit(data: str | None, dataset: str | None, allow: list[str], said: str) -> None:
    with pytest.raises(BenchError, match=said):
        registry.own_data(data, dataset, allow)


VITALDB = """\
table = "cases.csv.gz"
patient = "subjectid"
row = "caseid"
subgroups = ["sex", "department"]

[columns]
text = ["dx", "opname"]
ignore = [  # what is known only later than the beginning of the operation
  "casestart", "caseend", "anestart", "aneend", "opstart", "adm", "death_inhosp", "intraop_*", "iv?", "?line?", "tubesize",
  "dltubesize", "lmasize", "cormack", "airway",
]

[outcomes]
icu = "icu_days >= 1"
transfusion = "intraop_rbc > 0"

[outcomes.stay_7d]
rule = "dis - opend > 7 * 86400"
known = "dis > opend"
label = "in hospital for more than 7 days"
competing = "a death ends the stay"
"""


def test_vitaldb_through_a_cohort_file_counts_as_its_source(tmp_path: Path) -> None:
    cases = DATA / "vitaldb" / "cases.csv.gz"
    if not cases.is_file():
        pytest.skip("the case table of VitalDB is not there (../shared/data/vitaldb)")
    assert len(VITALDB.splitlines()) <= 25
    built = registry.load(str(written(tmp_path, VITALDB, {"cases.csv.gz": cases.read_bytes()})))
    assert len(built) == 6_388
    assert len(set(built.patients)) == 6_090
    np.testing.assert_array_equal(built.groups, built.patients)
    # DATA.md: ICU 18.9 %, transfusion 5.5 %, stay > 7 days 27.8 % with 27 impossible times unknown
    seen = {
        name: (int(known.sum()), int(np.nansum(y)), round(100 * float(np.nanmean(y)), 1))
        for name, known, y in zip(built.task_names, built.mask.T, built.labels.T, strict=True)
    }
    assert seen == {"icu": (6_388, 1_204, 18.8), "transfusion": (6_388, 352, 5.5), "stay_7d": (6_361, 1_766, 27.8)}
    assert sorted(built.inputs.of(Text)) == ["dx", "opname"]
    features = built.inputs.of(Tabular)["table"].frame
    assert not {"icu_days", "dis", "opend", "intraop_rbc", "intraop_ffp", "caseid", "subjectid"} & set(features)
    assert {"age", "asa", "sex", "department", "optype", "preop_hb", "preop_ecg"} <= set(features)
    assert built.site is None


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("table = ", r"mine\.toml is no TOML file: Invalid value"),
        (DEAD + "patent = 1\n", r"mine\.toml: outcomes\.patent: input should be a valid"),
        ("patent = 'id'\n" + DEAD, r"mine\.toml: unknown key of the cohort file 'patent'\. Did you mean 'patient'\?"),
        (
            DEAD.replace('dead = "dead"', 'dead = { rul = "dead" }'),
            r"unknown key of outcomes\.dead 'rul'\. Did you mean 'rule'\?",
        ),
        (DEAD.replace('patient = "id"\n', ""), r"mine\.toml: patient: field required"),
        (HEAD, r"mine\.toml: outcomes: field required"),
        (HEAD + "[outcomes]\n", r"mine\.toml: outcomes: .*at least 1"),
        (
            HEAD + '[outcomes]\ndead = { label = "x" }\n',
            r"outcomes\.dead: an outcome has a `rule`, or `event`, `time` and `horizon`",
        ),
        (HEAD + '[outcomes]\ndead = { event = "dead", time = "age" }\n', r"needs `time` and `horizon` too"),
        (HEAD + '[outcomes]\ndead = { rule = "dead", followed = "age" }\n', r"`followed` go with `event`, not with `rule`"),
        (DEAD + '[split]\nby = "ward"\n', r"unknown column in split\.by 'ward'"),
        ('subgroups = ["ward"]\n' + DEAD, r"unknown column in subgroups 'ward'\. There are: id, dead, age, score, sex\."),
        ('time = "sex"\n' + DEAD, r"time 'sex' must hold dates or numbers, but holds texts \(first: 'm'\)"),
        ('group = "sex"\n' + DEAD, r"a patient belongs to one group, but patient 0 stands in 2: set m, set f"),
        ('row = "sex"\n' + DEAD, r"row 'sex' must name every row, each once, but 58 do not \(first: 'm' stands again, row 2\)"),
        (DEAD.replace("dead =", "mean ="), r"no outcome may be called 'mean'"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path: Path, toml: str, said: str) -> None:
    with pytest.raises(BenchError, match=said) as error:
        cohort(tmp_path, table(), toml)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BenchError, match=r"mine\.toml is no TOML file: "):
        schema.read(path)
    with pytest.raises(BenchError, match=r"cannot be read: Is a directory"):
        schema.read(tmp_path)


def test_the_schema_is_json_and_knows_every_key() -> None:
    known = schema.json_schema()
    assert set(known["properties"]) == set(schema.CohortFile.model_fields)
    assert known["additionalProperties"] is False
    assert json.loads(json.dumps(known)) == known


def test_columns_and_reasons_are_there_for_the_user(tmp_path: Path) -> None:
    got = made(tmp_path, table(), 'subgroups = "sex"\n' + DEAD)
    assert {name: (one.kind, one.why) for name, one in got.source.columns.items()} == {
        "id": ("role", "patient id"),
        "dead": ("role", "used by outcome 'dead'"),
        "age": ("numeric", "numbers"),
        "score": ("numeric", "whole numbers"),
        "sex": ("categorical", "2 distinct texts"),
    }
