"""Diagnostics of patients' vectors where the answer is known: planted factors in their own parts, or mixed up in all of them."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import registry
from bench.core import Cohort
from bench.diagnose import geometry, parts
from bench.diagnose.parts import View

TRUTH = registry.module("datasets", "surgical").truth
Array = np.ndarray[Any, Any]


@cache
def planted(entangled: float, n: int = 2000, seed: int = 0) -> tuple[View, View, Cohort, Cohort, pd.DataFrame, pd.DataFrame]:
    """Views whose parts are the planted factors (entangled = 0) or mixtures of all of them (1), and real surgical patients."""
    cohort = registry.load(f"surgical:n={2 * n}")
    truth = TRUTH(cohort)
    factors = truth[[c for c in truth if not c.startswith("p:")]].to_numpy()
    rng = np.random.default_rng(seed)
    mix = (1 - entangled) * np.eye(5) + entangled * rng.normal(size=(5, 5, 5))  # one mixture a part
    noise = 0.3 * rng.normal(size=(2 * n, 5, 4))
    spread = [np.outer(f, np.ones(4)) for f in factors.T]
    if entangled:
        blocks = [factors @ mix[b][:, :4] + noise[:, b] for b in range(5)]
    else:
        blocks = [f + noise[:, b] for b, f in enumerate(spread)]
    names = ["s", *(f"p:{task}" for task in cohort.task_names)]
    fused = np.hstack([factors, 0.3 * rng.normal(size=(2 * n, 3))])

    def part(rows: Array) -> tuple[View, Cohort, pd.DataFrame]:
        return View(fused[rows], {k: b[rows] for k, b in zip(names, blocks, strict=True)}), cohort.rows(rows), truth.iloc[rows]

    (a, c, t), (b, d, u) = part(np.arange(n)), part(np.arange(n, 2 * n))
    return a, b, c, d, t, u


def test_planted_factors_are_found_where_they_are_and_nowhere_else() -> None:
    fit, view, fitted_on, held_out, before, after = planted(0.0)
    items = parts.recovery(fit, view, before, after)
    for row in (items["shared"], items["private:aki"], items["mean"]):
        assert row["value"] > 0.95  # the mean of four copies with noise .3: R^2 = 1 / (1 + .09 / 4) = .978
        assert row["others"] == pytest.approx(0, abs=0.01)
    assert items["private:aki"]["from_s"] == pytest.approx(0, abs=0.01)
    assert all(row["value"] == pytest.approx(0, abs=0.01) for row in parts.redundancy(fit, view).values())
    assert all(row["random"] > 0.5 for row in parts.redundancy(fit, view).values())  # of projections of one vector
    compared = parts.alignments(view)
    assert all(abs(row["value"]) < 0.02 < row["random"] for row in compared["cka"].values())
    leaks = parts.leakage(fit, view, fitted_on, held_out)
    # lungs, kidney and ICU share nothing but the shared factor, so a private part tells nothing of another outcome
    assert leaks["p:pulmonary -> aki"]["within"] == pytest.approx(0.5, abs=0.05)
    assert leaks["p:pulmonary -> aki"]["value"] == pytest.approx(0.5, abs=0.05)
    assert leaks["p:aki -> aki"]["value"] > 0.7
    assert leaks["p:aki -> any_complication"]["label_only"] > 0.6  # aki implies it


def test_entangled_parts_are_found_out_by_every_measure() -> None:
    fit, view, fitted_on, held_out, before, after = planted(1.0)
    items = parts.recovery(fit, view, before, after)
    assert items["private:aki"]["others"] > 0.3
    assert all(row["value"] > 0.5 for row in parts.redundancy(fit, view).values())
    for kind in parts.alignments(view).values():
        assert all(row["p"] == pytest.approx(1 / 101) for row in kind.values())
    assert parts.leakage(fit, view, fitted_on, held_out)["p:pulmonary -> aki"]["within"] > 0.6
    assert all(0 <= row["value"] <= 1 for row in parts.angles(fit).values())


def test_angles_see_which_directions_of_the_fused_vector_a_part_reads() -> None:
    h = np.random.default_rng(0).normal(size=(400, 16))  # 2 of 16 directions a part
    view = View(h, {"s": h[:, :2] @ np.diag([3, 2]), "p:same": h[:, :2] @ np.ones((2, 2)) + h[:, :2], "p:other": h[:, 2:4]})
    items = parts.angles(view)
    assert items["s ~ p:same"]["value"] == pytest.approx(1, abs=1e-6)
    assert items["s ~ p:other"]["value"] == pytest.approx(0, abs=1e-6)
    assert items["s ~ p:same"]["chance"] == 2 / 16


def test_spectra_name_both_kinds() -> None:
    rng = np.random.default_rng(0)
    x = geometry.centred(rng.normal(size=(100, 4)))
    x = np.linalg.qr(x)[0] * np.array([2, 1, 1, 0])
    row = parts.spectra(View(x, {}))["h"]
    assert row["rank_singular"] == pytest.approx(2.8284, abs=1e-4)
    assert row["rank_eigen"] == pytest.approx(2.3811, abs=1e-4)
    assert row["condition_eigen"] == pytest.approx(row["condition_singular"] ** 2)


def test_gate_use_by_hand() -> None:
    # two patients, one sure of the first expert, one of the second: no entropy each, two experts used; an even gate: entropy 1
    sure, even = np.array([[1.0, 0.0], [0.0, 1.0]]), np.full((2, 2), 0.5)
    items = parts.gate_use([np.stack([sure, even], axis=1)], ("a", "b"))
    assert items["level 1: a"] == {"entropy": 0.0, "experts": pytest.approx(2), "of": 2, "e0": 0.5, "e1": 0.5}
    assert items["level 1: b"]["entropy"] == pytest.approx(1)
    lone = parts.gate_use([np.array([[[1.0, np.nan]]])], ("a",))["level 1: a"]  # one expert in sight: nothing to choose
    assert np.isnan(lone["entropy"])
    assert lone["experts"] == 1
