"""Learning curves and what sharing is worth: by hand, and on paired draws."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import isotonic_regression

from bench import stats
from bench.report import tables
from bench.stats import Evidence, learning
from bench.stats.learning import Curves, isotonic, needed, outer

SIZES = [100.0, 200.0, 400.0, 800.0]
CURVE = [0.60, 0.65, 0.70, 0.75]
FAMILIES = {"alone": "single-task", "m": "sharing", "low": "balancing", "copy": "sharing", "tree": "trees"}


def at(curve: list[float], score: float, n: float) -> float:
    return float(needed(SIZES, np.array(curve)[:, None], [score], n)[0])


# ---- by hand


@pytest.mark.parametrize(
    ("score", "n", "patients"),
    [
        (0.675, 100, 200 * 2**0.5),  # half of the way from 200 to 400 in the logarithm: worth 183
        (0.6625, 100, 200 * 2**0.25),  # a quarter of it
        (0.625, 400, 100 * 2**0.5),  # worth -259
        (0.70, 100, 400),  # at a knot, to the last bit
        (0.60, 100, 100),
        (0.75, 100, 800),
        (0.7500001, 100, np.inf),  # above the end
        (0.5999999, 100, -np.inf),  # below the start
    ],
)
def test_where_a_curve_has_a_score(score: float, n: float, patients: float) -> None:
    found = at(CURVE, score, n)
    assert found == patients if patients in (*SIZES, np.inf, -np.inf) else found == pytest.approx(patients, rel=1e-12)


@pytest.mark.parametrize(("n", "patients"), [(100, 200), (300, 300), (800, 400)])
def test_on_a_level_part_the_nearest_to_ones_own_size_counts(n: float, patients: float) -> None:
    assert at([0.60, 0.65, 0.65, 0.70], 0.65, n) == patients


def test_a_curve_that_is_level_throughout_and_one_that_is_not_known() -> None:
    assert at([0.6] * 4, 0.6, 250) == 250
    assert at([0.6] * 4, 0.61, 250) == np.inf
    assert np.isnan(at([0.6, np.nan, 0.7, 0.8], 0.65, 100))
    assert np.isnan(at(CURVE, np.nan, 100))


def test_curves_are_made_non_decreasing_by_isotonic_regression() -> None:
    # .70 and .66 contradict each other: their mean, twice; a running maximum would say .70, .70
    np.testing.assert_allclose(isotonic([0.60, 0.70, 0.66, 0.75]), [0.60, 0.68, 0.68, 0.75], rtol=0, atol=1e-15)
    # .7 falls to .5 and .6: pooled to .6 all three
    np.testing.assert_allclose(isotonic([0.7, 0.5, 0.6, 0.9]), [0.6, 0.6, 0.6, 0.9], rtol=0, atol=1e-15)
    assert isotonic(CURVE).tolist() == CURVE
    many = np.random.default_rng(0).normal(size=(6, 300)).round(1)
    made = isotonic(many)
    for b in range(300):
        np.testing.assert_allclose(made[:, b], isotonic_regression(many[:, b]).x, rtol=0, atol=1e-12)
    assert (np.diff(made, axis=0) >= 0).all()  # level parts are so to the last bit
    assert np.isnan(isotonic([0.1, np.nan, 0.3])).any()


def test_bounds_are_draws_themselves_so_that_they_may_be_infinite() -> None:
    # of 201 draws 2.5 % is the sixth from either end: -inf with six infinite ones, a number with five
    drawn = np.arange(201.0)
    drawn[:6], drawn[-5:] = -np.inf, np.inf
    assert outer(drawn) == (-np.inf, 195.0)
    drawn[5] = 5.0
    assert outer(drawn) == (5.0, 195.0)


# ---- tables

EVENTS, OTHERS = 30, 200  # of each of 2 folds


def ranked(share: float) -> np.ndarray:
    """Risks of both folds with this AUROC in each: every event lies above `share` of the others."""
    others = (np.arange(OTHERS) + 0.5) / (OTHERS + 1)
    return np.tile(np.concatenate([np.full(EVENTS, round(share * OTHERS) / (OTHERS + 1)), others]), 2)


def frame(risks: Mapping[str, np.ndarray], y: np.ndarray | None = None) -> pd.DataFrame:
    """risks: method -> (n,) or (n, T)."""
    labels = np.tile(np.arange(EVENTS + OTHERS) < EVENTS, 2).astype(float) if y is None else y
    labels = labels.reshape(len(labels), -1)
    n, made = len(labels), list[pd.DataFrame]()
    for method, given in risks.items():
        p = given.reshape(n, -1)
        columns: dict[str, Any] = {
            "method": method,
            "repeat": 0,
            "fold": np.arange(n) // (n // 2),
            "row": np.arange(n),
            "view": "test",
        }
        columns |= {f"y:t{t}": labels[:, t] for t in range(p.shape[1])} | {f"p:t{t}": p[:, t] for t in range(p.shape[1])}
        made.append(pd.DataFrame(columns))
    return pd.concat(made, ignore_index=True)


def evidence(given: pd.DataFrame, resamples: int = 100, reference: str = "alone") -> Evidence:
    rows = np.unique(given["row"])
    ids = rows.astype(str)
    cohort = pd.DataFrame({"row": rows, "patient": ids, "group": ids})
    tasks = [c[2:] for c in given if str(c).startswith("y:")]
    methods = list(dict.fromkeys(given["method"]))
    made = stats.gather(given, cohort, tasks, methods, reference, families=FAMILIES, resamples=resamples)
    assert made is not None
    return made


def curves(aurocs: Mapping[str, Mapping[int, float]], resamples: int = 100) -> Curves:
    """method -> patients -> AUROC; the largest size is the run's own."""
    sizes = sorted({size for of in aurocs.values() for size in of})
    made = {size: frame({m: ranked(of[size]) for m, of in aurocs.items() if size in of}) for size in sizes}
    largest = sizes[-1]
    return learning.curves(evidence(made.pop(largest), resamples), largest, made)


BASE = dict(zip(map(int, SIZES), CURVE, strict=True))


def test_what_sharing_is_worth_by_hand() -> None:
    of = curves(
        {
            "alone": BASE,
            "m": {100: 0.675, 200: 0.70, 800: 0.80},
            "low": {100: 0.55, 400: 0.625, 800: 0.75},
            "tree": BASE,
        }
    )
    found = learning.worth(of).query("metric == 'auroc' and task == 't0'").set_index(["method", "patients"])
    assert set(found.index.get_level_values(0)) == {"m", "low"}  # who shares; a size that a method lacks is not there
    # m: .675 lies half way (in the logarithm) between 200 and 400, .70 is at 400, .80 nowhere
    # low: .55 lies below all, .625 half way between 100 and 200, .75 is the baseline's own at 800
    expected = {
        ("m", 100): (200 * 2**0.5, 200 * 2**0.5 - 100, ""), ("m", 200): (400, 200, ""), ("m", 800): (np.nan, np.nan, "more than 0"),
        ("low", 100): (np.nan, np.nan, "less than 0"), ("low", 400): (100 * 2**0.5, 100 * 2**0.5 - 400, ""), ("low", 800): (800, 0, ""),
    }  # fmt: skip
    assert set(expected) == set(found.index)
    for key, (patients, worth, bound) in expected.items():
        row = found.loc[key]
        assert [row["needed"], row["worth"]] == pytest.approx([patients, worth], abs=1e-9, nan_ok=True), key
        assert (row["bound"], row["reached"], row["baseline"]) == (bound, bound == "", "alone")
        assert row["low"] <= (row["worth"] if row["reached"] else row["high"]) <= row["high"]
    assert found.loc[("m", 800), ["low", "high"]].tolist() == [np.inf, np.inf]  # above in every resample
    assert found.loc[("low", 100), "low"] == -np.inf
    assert found["value"].loc["m"].tolist() == pytest.approx([0.675, 0.70, 0.80])
    more = curves({"alone": BASE, "m": {100: 0.9, 800: 0.9}, "low": {200: 0.5, 800: 0.6}})
    bounds = learning.worth(more).query("metric == 'auroc' and task == 'mean'").set_index(["method", "patients"])["bound"]
    assert bounds.to_dict() == {
        ("m", 100): "more than 700",
        ("m", 800): "more than 0",
        ("low", 200): "less than -100",
        ("low", 800): "",
    }


def test_the_curve_is_the_tables_numbers_and_lacks_what_was_not_run() -> None:
    of = curves({"alone": BASE, "m": {100: 0.675, 800: 0.80}, "tree": {800: 0.9}})
    found = learning.learning(of)
    auroc = found.query("metric == 'auroc' and task == 't0'")
    points = {(row["method"], row["patients"]): row["value"] for _, row in auroc.iterrows()}
    expected = {**{("alone", n): v for n, v in BASE.items()}, ("m", 100): 0.675, ("m", 800): 0.80, ("tree", 800): 0.9}
    assert points == pytest.approx(expected)
    keys, numbers = ["method", "task", "metric"], ["value", "low", "high"]
    own = frame({"alone": ranked(0.75), "m": ranked(0.80), "tree": ranked(0.9)})
    scores = stats.score(evidence(own)).scores.set_index(keys)
    largest = found[found["patients"] == 800].set_index(keys)
    np.testing.assert_allclose(
        largest[numbers].astype(float), scores.loc[largest.index, numbers].astype(float), rtol=0, atol=1e-12
    )


# ---- paired draws

RNG = np.random.default_rng(2)
N = 300
LATENT = RNG.normal(size=(N, 2))
Y = (LATENT + RNG.normal(size=(N, 2)) > [0.3, 0.9]).astype(float)


def noisy(seed: int, noise: float) -> np.ndarray:
    return 1 / (1 + np.exp(-(LATENT + noise * np.random.default_rng(seed).normal(size=LATENT.shape))))


def noisy_curves(methods: tuple[str, ...], sizes: tuple[int, ...] = (50, 100, 200, 240)) -> Curves:
    """The same amount of noise at every size, so that the curves are not rising; `copy` predicts what `alone` does."""
    seeds = {"alone": 10, "copy": 10, "m": 20, "low": 30}
    made = {size: frame({m: noisy(seeds[m] + i, 1.0) for m in methods}, Y) for i, size in enumerate(sizes)}
    return learning.curves(evidence(made.pop(sizes[-1])), sizes[-1], made)


def test_a_copy_of_the_baseline_is_worth_exactly_0() -> None:
    of = noisy_curves(("alone", "copy", "m"))
    values = learning.learning(of).query("method == 'alone' and metric == 'auroc' and task == 't0'")["value"].to_numpy()
    assert (np.diff(values) < 0).any()  # a curve with a dip
    copied = learning.worth(of).query("method == 'copy'")
    assert len(copied) == 3 * 2 * 4
    assert (copied[["worth", "low", "high"]] == 0).all(axis=None)
    assert copied["reached"].all()


def test_the_order_of_the_methods_changes_nothing() -> None:
    keys = ["method", "task", "metric", "patients"]
    one, other = (noisy_curves(methods) for methods in (("alone", "m", "low"), ("low", "m", "alone")))
    for table in (learning.learning, learning.worth):
        a, b = (table(of).sort_values(keys, ignore_index=True) for of in (one, other))
        pd.testing.assert_frame_equal(a, b, rtol=1e-9)


def test_without_a_single_task_method_the_reference_is_the_baseline() -> None:
    sizes = {50: frame({"tree": noisy(1, 2.0), "m": noisy(2, 1.0)}, Y)}
    own = evidence(frame({"tree": noisy(3, 1.0), "m": noisy(4, 1.0)}, Y), reference="tree")
    found = learning.worth(learning.curves(own, 200, sizes))
    assert set(zip(found["method"], found["baseline"], strict=True)) == {("m", "tree")}


def test_one_size_is_no_curve_and_few_events_are_not_compared() -> None:
    own = evidence(frame({"alone": noisy(3, 1.0), "m": noisy(4, 1.0)}, Y))
    alone = learning.curves(own, 200, {})
    assert learning.learning(alone).empty
    assert learning.worth(alone).empty
    assert list(learning.worth(alone).columns) == learning.WORTH
    some = learning.curves(own, 200, {50: frame({"m": noisy(1, 1.0)}, Y)})  # the baseline has one size
    assert learning.worth(some).empty
    assert set(learning.learning(some)["patients"]) == {50, 200}
    few = Y.copy()
    few[:, 1] = np.arange(N) < 12
    own = evidence(frame({"alone": noisy(3, 1.0), "m": noisy(4, 1.0)}, few))
    of = learning.curves(own, 200, {50: frame({"alone": noisy(5, 1.0), "m": noisy(6, 1.0)}, few)})
    assert set(learning.worth(of)["task"]) == {"t0", "mean"}  # the mean is over outcomes of 20 events


def test_a_cell_that_one_size_lacks_is_left_out_for_method_and_baseline() -> None:
    methods, sizes = ("alone", "m"), (50, 100)
    made = {size: frame({m: noisy(10 * i + size, 1.0) for i, m in enumerate(methods)}, Y) for size in sizes}
    own = frame({"alone": noisy(3, 1.0), "m": noisy(4, 1.0)}, Y)
    gone = made | {50: made[50][~((made[50]["method"] == "m") & (made[50]["fold"] == 0))]}
    second = {size: table[table["fold"] == 1] for size, table in made.items()}
    found = learning.worth(learning.curves(evidence(own), 200, gone))
    alone = learning.worth(learning.curves(evidence(own[own["fold"] == 1]), 200, second))
    kept = ["method", "task", "metric", "patients", "value", "needed", "worth", "bound"]
    pd.testing.assert_frame_equal(found[kept], alone[kept], rtol=1e-9)


def test_files_say_what_is_not_known() -> None:
    of = curves({"alone": BASE, "m": {100: 0.9, 800: 0.9}})
    text = tables.frame(learning.worth(of).assign(method="=m()"))
    first = pd.read_csv(io.StringIO(text)).iloc[0]
    assert text.splitlines()[0] == ",".join(learning.WORTH)
    assert first["method"] == "'=m()"
    assert np.isnan(first["needed"])
    assert (first["low"], first["bound"]) == (np.inf, "more than 700")
