"""Outcomes of cohort files: known labels, censoring by hand, by statsmodels, and as the bundled Mayo cohort has it."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from cohort_files import HEAD, cohort, made, written
from statsmodels.duration.survfunc import SurvfuncRight

from bench import cohorts, core, registry
from bench.cohorts import build, outcomes, reading
from bench.cohorts.build import Made
from bench.core import BenchError

NAN = np.nan
# id, event, time, died at the end of follow-up
FOLLOWED = (
    "id,event,day,died,x\na,1,2,0,1\nb,0,3,0,2\nc,0,4,1,3\nd,1,5,0,4\ne,0,6,0,5\nf,0,10,0,6\ng,0,10,0,7\nh,1,0,0,8\ni,0,,0,9\n"
)
CENSORED = HEAD + '[outcomes.mi]\nevent = "event"\ntime = "day"\nhorizon = 8\n'


def test_a_known_rule_makes_labels_unknown(tmp_path: Path) -> None:
    table = "id,los,valid,x\n1,9,1,4\n2,3,0,5\n3,,1,6\n4,8,,7\n5,2,1,8\n"
    got = made(tmp_path, table, HEAD + '[outcomes]\nstay = { rule = "los > 7", known = "valid" }\n')
    np.testing.assert_array_equal(got.labels[:, 0], [1, NAN, NAN, NAN, 0])
    assert got.prevalence["stay"] == (0.5, 0.5)
    assert got.weights is None


def test_censored_outcomes_by_hand(tmp_path: Path) -> None:
    # without `death`: c is censored at 4. Rows with a time, by day: h 0 (event), a 2 (event), b 3, c 4 censored, d 5 (event), e 6
    # censored, f and g 10 censored. At risk at 3: 6 (b to g), at 4: 5, at 6: 3. G(3) = 5/6, G(4) = 5/6 * 4/5 = 2/3, G(6) = 2/3 * 2/3 = 4/9.
    # a: 1 known at 2, G(2-) = 1. d: 1 at 5, G(5-) = 2/3. f, g: 0 at the horizon, G(8-) = 4/9. h: at day 0, not at risk. i: no time.
    got = made(tmp_path, FOLLOWED, CENSORED)
    np.testing.assert_array_equal(got.labels[:, 0], [1, NAN, NAN, 1, NAN, 0, 0, NAN, NAN])
    assert got.weights is not None
    np.testing.assert_allclose(got.weights[:, 0], [1, 1, 1, 3 / 2, 1, 9 / 4, 9 / 4, 1, 1], rtol=1e-6)
    # naive 2 of 4; weighted (1 + 3/2) / (1 + 3/2 + 9/4 + 9/4) = 2.5 / 7
    assert got.prevalence["mi"] == pytest.approx((0.5, 2.5 / 7), rel=1e-6)
    assert got.tasks[0].competing == "death before 8 without the event counts as censoring"


def test_death_without_the_event_counts_as_none(tmp_path: Path) -> None:
    # c is dead at 4: label 0, known at 4, and not censored. G(3) = 5/6, G(6) = 5/6 * 2/3 = 5/9; c: 1 / G(4-) = 6/5
    got = made(tmp_path, FOLLOWED, CENSORED + 'death = "died = 1"\n')
    np.testing.assert_array_equal(got.labels[:, 0], [1, NAN, 0, 1, NAN, 0, 0, NAN, NAN])
    assert got.weights is not None
    np.testing.assert_allclose(got.weights[:, 0], [1, 1, 6 / 5, 6 / 5, 1, 9 / 5, 9 / 5, 1, 1], rtol=1e-6)
    assert got.tasks[0].competing == "death before 8 without the event counts as 0"


def followed(outcome: str, rows: list[tuple[float, ...]], names: str = "event day end died") -> outcomes.Labelled:
    """rows of numbers under these names, by an outcome of these keys and a horizon of 365 days."""
    frame = pd.DataFrame(rows, columns=names.split(), dtype=np.float64)
    keys = dict(one.split("=", 1) for one in outcome.split(", "))
    return outcomes.labelled(outcomes.Outcome.model_validate({"horizon": 365, **keys}), frame, "x")


def test_with_followed_the_time_is_needed_of_events_only() -> None:
    rows = [(1, 30, 500, 0), (0, NAN, 500, 0), (0, NAN, 100, 0), (1, 400, 500, 0), (1, NAN, 500, 0), (0, NAN, 100, 1)]
    got = followed("event=event, time=day, followed=end, death=died", rows)
    np.testing.assert_array_equal(got.labels, [1, 0, NAN, 0, NAN, 0])  # the fifth has the event at an unknown time


def test_an_event_that_ends_follow_up_is_no_censoring() -> None:
    # deaths at 1 and 3, lost at 2, seen for the whole year: 4. G(1-) = 1, G(3-) = 1 - 1/3 = 2/3. Taken for censoring, the death at 1
    # would make G(3-) = 3/4 * 2/3
    rows = [(1, 1), (0, 2), (1, 3), (0, 400)]
    plain = followed("event=dead, time=end", rows, "dead end")
    got = followed("event=dead, time=end, followed=end", rows, "dead end")
    assert got.weights is not None
    np.testing.assert_allclose(got.weights, [1, 1, 3 / 2, 3 / 2], rtol=1e-6)
    assert plain.weights is not None
    np.testing.assert_array_equal(got.weights, plain.weights)
    # an event after the end of follow-up: followed until then. At risk at 2 are still 3
    late = followed("event=dead, time=day, followed=end", [(1, 1, 0.5), (0, NAN, 2), (1, 3, 1), (0, NAN, 400)], "dead day end")
    np.testing.assert_array_equal(late.weights, got.weights)


def test_death_at_the_end_of_follow_up_counts_after_the_event_too() -> None:
    # progression at exponential(500) unless dead before, follow-up until death or loss: whoever dies after the progression was not lost
    rng = np.random.default_rng(3)
    progress, death, lost = rng.exponential(500, 20_000), rng.exponential(600, 20_000), rng.exponential(700, 20_000)
    end = np.minimum(death, lost)
    seen = (progress <= end).astype(float)
    rows = list(zip(seen, np.where(seen == 1, progress, NAN), end, (death <= lost).astype(float), strict=True))
    got = followed("event=event, time=day, followed=end, death=died = 1", rows)
    # P(progression before 365 and before death) = 1/500 / (1/500 + 1/600) * (1 - exp(-365 (1/500 + 1/600))) = 6/11 (1 - e^-1.3383)
    assert got.prevalence[1] == pytest.approx(6 / 11 * (1 - np.exp(-365 * (1 / 500 + 1 / 600))), abs=0.012)
    narrow = followed("event=event, time=day, followed=end, death=died = 1 AND event = 0", rows)
    assert abs(narrow.prevalence[1] - got.prevalence[1]) > 0.01  # which is why the schema says "after the event or without it"


def test_events_at_time_0_are_counted(tmp_path: Path) -> None:
    got = made(tmp_path, FOLLOWED, CENSORED)
    assert got.notices == (
        "outcome 'mi': 1 rows with the event at time 0 or before are unknown: nobody has it to come. Is 0 the day before?",
    )


def test_the_curve_of_censoring_is_statsmodels() -> None:
    rng = np.random.default_rng(1)
    end, censored = rng.integers(1, 40, 500).astype(float), rng.random(500) < 0.4
    curve = SurvfuncRight(end, censored)  # the survival function of being censored
    at = np.arange(0.5, 45.0)  # between days: G(t-) = G(t)
    want = np.array([curve.surv_prob[curve.surv_times <= t][-1] if (curve.surv_times <= t).any() else 1.0 for t in at])
    np.testing.assert_allclose(outcomes.uncensored(end, censored, at), want, rtol=1e-12)
    np.testing.assert_allclose(outcomes.uncensored(end, censored, np.arange(1.0, 40.0)), want[:39], rtol=1e-12)  # G(t-) on a day


def test_weights_undo_censoring() -> None:
    # half of 20,000 people are censored at random; the weighted prevalence is that of the uncensored
    rng = np.random.default_rng(2)
    event, end = rng.exponential(20, 20_000), rng.uniform(0, 20, 20_000)
    frame = pd.DataFrame({"event": (event <= end).astype(float), "day": np.minimum(event, end)})
    outcome = outcomes.Outcome(event="event", time="day", horizon=10)
    naive, weighted = outcomes.labelled(outcome, frame, "x").prevalence
    assert weighted == pytest.approx((event <= 10).mean(), abs=0.01)
    assert naive > weighted + 0.05


def test_variants_are_labelled_and_are_no_tasks(tmp_path: Path) -> None:
    toml = (
        HEAD
        + '[outcomes.stay]\nrule = "los > 7"\nvariants = { long = "los > 14", early = { rule = "los > 7", known = "los < 20" } }\n'
    )
    got = made(tmp_path, "id,los,x\n1,9,4\n2,3,5\n3,15,6\n4,30,7\n", toml)
    assert [task.name for task in got.tasks] == ["stay"]
    assert {name: one.labels.tolist()[:3] for name, one in got.variants.items()} == {
        "stay~long": [0, 0, 1],
        "stay~early": [1, 0, 1],
    }
    assert np.isnan(got.variants["stay~early"].labels[3])
    with pytest.raises(BenchError, match=r"outcome 'stay~long': unknown column 'lost'"):
        made(tmp_path, "id,los,x\n1,9,4\n", toml.replace("los > 14", "lost > 14"))


def test_outcomes_keep_what_is_said_of_them(tmp_path: Path) -> None:
    toml = HEAD + (
        '[outcomes]\nany = "any"\n[outcomes.aki]\nrule = "aki"\nlabel = "kidney injury"\nimplies = "any"\nthresholds = [0.1, 0.4]\n'
        'competing = "the dead count as 0"\n'
    )
    built = cohort(tmp_path, "id,any,aki,x\n1,1,1,4\n2,1,0,5\n3,0,0,6\n", toml)
    assert built.tasks[1] == core.Task("aki", "kidney injury", "binary", ("any",), "the dead count as 0", (0.1, 0.4))
    with pytest.raises(BenchError, match=r"'any' must be 1 wherever 'aki' is, but 1 row holds 0 \(first: patient 3\)"):
        cohort(tmp_path, "id,any,aki,x\n1,1,1,4\n2,1,0,5\n3,0,1,6\n", toml)
    with pytest.raises(BenchError, match=r"outcome 'aki' needs both 0 and 1 to be learned"):
        cohort(tmp_path, "id,any,aki,x\n1,1,0,4\n2,0,0,5\n", toml)


NAFLD = """
name = "mayo"
table = "people.parquet"
patient = "id"
group = "case.id"

[columns]
numeric = ["age", "male", "weight", "height", "bmi"]
only = "age"

[series.tests]
file = "tests.parquet"
row = "id"
time = "days"
name = "test"
value = "value"
unit = "d"
window = [-10000, 0]
"""


@pytest.fixture(scope="module")
def mayo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, ModuleType]:
    """The bundled Mayo cohort's tables, given as a cohort file: a column a first event, and the long table of tests."""
    nafld = registry.module("datasets", "nafld")
    try:
        people, tests, events = nafld.tables()
    except BenchError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("mayo")
    toml = NAFLD + '[outcomes.death]\nevent = "status = 1"\ntime = "futime"\nhorizon = 1826\n'
    for name, (code, _) in nafld.EVENTS.items():
        people[name] = people["id"].map(events.loc[events["event"] == code].groupby("id")["days"].min())
        toml += (
            f'[outcomes.{name}]\nevent = "{name} IS NOT NULL"\ntime = "coalesce({name}, futime)"\nfollowed = "futime"\n'
            'death = "status = 1"\nhorizon = 1826\n'
        )
    people.to_parquet(folder / "people.parquet")
    tests.to_parquet(folder / "tests.parquet")
    return build.make(reading.read(written(folder, toml, {}))), nafld


def test_labels_and_weights_equal_the_bundled_cohorts(mayo: tuple[Made, ModuleType]) -> None:
    got, nafld = mayo
    people, _, events = nafld.tables()
    labels, weights = nafld.outcomes(people, events)
    assert [task.name for task in got.tasks] == [task.name for task in nafld.TASKS]
    np.testing.assert_array_equal(got.labels, labels)
    assert got.weights is not None
    # whose last day of follow-up is the day of the event is followed to its end here, and lost on that day there: 1.6e-4 at most
    np.testing.assert_allclose(got.weights, weights, rtol=2e-4)
    # DATA.md: dyslipidaemia 22.8 % as it is, 17.3 % weighted
    assert got.prevalence["dyslipidaemia"] == pytest.approx((0.228, 0.173), abs=0.0005)


def test_series_and_groups_equal_the_bundled_cohorts(mayo: tuple[Made, ModuleType]) -> None:
    got, nafld = mayo
    people, tests, _ = nafld.tables()
    want, built = nafld.series(people, tests), build.cohort(got)
    series = got.modalities["tests"]
    assert isinstance(series, core.Series)
    np.testing.assert_array_equal(series.offsets, want.offsets)
    np.testing.assert_array_equal(series.present, want.present)
    assert sorted(series.channels) == sorted(want.channels)

    def events(one: core.Series) -> pd.DataFrame:
        rows = np.repeat(np.arange(len(one)), np.diff(one.offsets))
        names = np.array(one.channels)[one.channel]
        frame = pd.DataFrame({"row": rows, "time": one.time, "name": names, "value": one.value})
        return frame.sort_values(["row", "time", "name", "value"], ignore_index=True)

    pd.testing.assert_frame_equal(events(series), events(want))
    case = people["case.id"]
    assert len(set(built.groups)) == case.nunique() + case.isna().sum()
    assert got.late == {"tests": (0, len(want.time))}


def test_a_text_spelled_otherwise_is_a_notice_of_the_cohort(tmp_path: Path) -> None:
    rows = "\n".join(f"{i},{('yes', 'Yes', 'no')[i % 3]},{i % 7}" for i in range(60))
    path = written(tmp_path, HEAD + "[outcomes]\nicu = \"icu = 'yes'\"\n", {"t.csv": f"id,icu,x\n{rows}\n"})
    assert any("takes 'Yes' (20) of column 'icu' for something else" in one for one in cohorts.load(path).notices)
