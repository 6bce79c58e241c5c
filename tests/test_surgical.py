"""The default cohort is what its docstring says: frozen bytes, exact planted risks, dials that turn one thing each."""

from functools import lru_cache

import numpy as np
import pandas as pd
import pytest

from bench import registry
from bench.core import BenchError, Cohort, Series, Tabular, Text

N = 12_430
TASKS = ("any_complication", "pulmonary", "aki", "icu_admission")
P = [f"p:{task}" for task in TASKS]
ALL_DIALS = (
    "surgical:n=700:seed=3:relatedness=0.2:conflict=0.6:prevalence=1.5:label_noise=0.1:bias=0.8"
    ":missing_labels=0.2:missing_modalities=0.1:unpaired=0.15"
)


@lru_cache(maxsize=4)
def load(spec: str = "surgical") -> Cohort:
    return registry.load(spec)


@lru_cache(maxsize=32)
def truth(spec: str = "surgical") -> pd.DataFrame:
    return registry.module("datasets", "surgical").truth(load(spec))


def parts(cohort: Cohort) -> tuple[Tabular, Series, Text]:
    table, vitals, note = cohort.inputs.modalities.values()
    assert isinstance(table, Tabular)
    assert isinstance(vitals, Series)
    assert isinstance(note, Text)
    return table, vitals, note


# ---- frozen


def test_the_generator_is_frozen() -> None:
    # Committed before any multi-task method ran on it. A change here is a new cohort, and needs a new id.
    assert load().digest == "9165b588584a08b8204adfe5fadb8f439b45b6be091d501e5db1d24370c6556b"
    assert load(ALL_DIALS).digest == "fc806b4022f09415ad6141a8939299d95ceab6bd4c2b125162ba87806f41547c"


def test_a_dial_at_its_default_and_a_whole_number_make_no_other_cohort() -> None:
    module = registry.module("datasets", "surgical")
    assert module.load(n=300, relatedness=1, bias=0).digest == registry.load("surgical:n=300:relatedness=1.0").digest


# ---- shape


def test_shape_and_content() -> None:
    cohort = load()
    table, vitals, note = parts(cohort)
    assert cohort.task_names == TASKS
    assert len(cohort) == len(set(cohort.patients.tolist())) == N
    assert table.frame.shape == (N, 45)
    assert sum(isinstance(d, pd.CategoricalDtype) for d in table.frame.dtypes) == 7
    assert 700_000 < len(vitals.time) < 1_200_000
    assert len(vitals.channels) == 7
    assert len(set(note.strings.tolist())) > 0.99 * N
    assert all(m.present.all() for m in (table, vitals, note))
    assert set(cohort.site.tolist() if cohort.site is not None else []) == {"A", "B"}


def test_prevalences_and_nesting() -> None:
    y = load().labels
    # SE of a share of .18 in 12,430: .0034; the band is three of them, wider than needed for the rarer outcomes
    np.testing.assert_allclose(y.mean(axis=0), [0.18, 0.09, 0.05, 0.03], atol=0.0103)
    assert (y[:, 0] >= y[:, 1:].max(axis=1)).all()
    # and something else than the three parts happens too
    assert ((y[:, 0] == 1) & (y[:, 1:].sum(axis=1) == 0)).sum() > 300


def test_vitals_end_with_surgery_and_are_irregular_with_gaps() -> None:
    _, vitals, _ = parts(load())
    assert vitals.time.min() >= 0
    owner = np.repeat(np.arange(N), np.diff(vitals.offsets))
    pressure = vitals.channel == 0
    step = -np.diff(vitals.time[pressure])[np.diff(owner[pressure]) == 0]
    assert (step >= 0).all()  # earliest first
    assert np.percentile(step, 10) < 6 < 15 < np.percentile(step, 99)
    lengths = np.diff(vitals.offsets)
    assert np.percentile(lengths, 5) < 25 < 110 < np.percentile(lengths, 95)
    asleep = parts(load())[0].frame["anaesthesia"].isin(["general", "general_epidural"]).to_numpy()
    assert asleep[owner[vitals.channel == vitals.channels.index("peak_pressure")]].all()


def test_what_is_measured_depends_on_severity_and_site() -> None:
    frame, severity = parts(load())[0].frame, truth()["shared"].to_numpy()
    measured = frame["nt_probnp_ng_l"].notna().to_numpy()
    assert severity[measured].mean() - severity[~measured].mean() > 0.5
    site = load().site
    assert site is not None
    assert (
        frame["crp_mg_l"].isna().to_numpy()[site == "B"].mean() > frame["crp_mg_l"].isna().to_numpy()[site == "A"].mean() + 0.05
    )
    assert 0.05 < frame.isna().to_numpy().mean() < 0.2


def test_table_and_note_agree() -> None:
    table, _, note = parts(load())
    frame = table.frame
    assert not ((frame["sex"] == "male") & (frame["specialty"] == "gynaecology")).any()
    for age, sex, text in zip(frame["age_years"][:300], frame["sex"][:300], note.strings[:300], strict=True):
        assert f"{age:.0f}" in text
        assert str(sex) in text


# ---- truth


def test_planted_probabilities_are_calibrated() -> None:
    y, p = load().labels, truth()[P].to_numpy()
    for t in range(4):
        low = p[:, t] <= np.quantile(p[:, t], 0.85)  # overall would hide a slope: the low and the high risks by themselves
        for part in (low, ~low):
            q = p[part, t]
            assert q.sum() > 20  # events, so that the normal band below holds
            assert abs(y[part, t].sum() - q.sum()) < 3 * np.sqrt((q * (1 - q)).sum())
    # the other complications are drawn apart from the three parts, so the union is never below theirs
    assert (p[:, 0] >= 1 - np.prod(1 - p[:, 1:], axis=1)).all()


@pytest.mark.parametrize(
    ("relatedness", "conflict", "prevalence"),
    [(0.0, 0.0, 1.0), (1.0, 0.0, 1.0), (0.3, 1.0, 1.0), (0.5, 0.0, 3.0), (0.8, 0.5, 0.3)],
)
def test_prevalences_hold_whatever_the_dials(relatedness: float, conflict: float, prevalence: float) -> None:
    p = truth(f"surgical:relatedness={relatedness}:conflict={conflict}:prevalence={prevalence}")[P].to_numpy()
    wanted = np.array([0.18, 0.09, 0.05, 0.03]) * prevalence
    assert (abs(p.mean(axis=0) - wanted) < 4 * p.std(axis=0) / np.sqrt(N)).all()


def test_with_relatedness_1_no_private_factor_matters() -> None:
    ordered = truth("surgical:relatedness=1.0").sort_values("shared")
    for column in P:
        assert (np.diff(ordered[column]) >= 0).all()  # a function of the shared factor alone, and rising
    apart = truth("surgical:relatedness=0.0")
    # SE of a correlation in 12,430: .009
    assert apart[P].corrwith(apart["shared"]).abs().max() < 0.03
    assert apart["p:aki"].corr(apart["private:aki"], method="spearman") > 0.999


def test_conflict_pushes_outcomes_apart() -> None:
    # log-odds correlate by -sin(conflict * pi / 2) where nothing is shared; Spearman's rho = 6 / pi * asin(r / 2)
    # conflict .5: r = -.70711, asin(.35355) = .36137, rho = -.6902; SE about .006
    def rho(conflict: float) -> float:
        p = truth(f"surgical:relatedness=0.0:conflict={conflict}")
        return p["p:pulmonary"].corr(p["p:aki"], method="spearman")

    assert rho(0.0) == pytest.approx(0, abs=0.03)
    assert rho(0.5) == pytest.approx(-0.6902, abs=0.02)
    assert rho(1.0) == pytest.approx(-1, abs=1e-3)


def test_truth_follows_the_rows() -> None:
    which = np.array([7, 3, 3, 12_000])
    got = registry.module("datasets", "surgical").truth(load().rows(which))
    pd.testing.assert_frame_equal(got, truth().iloc[which].reset_index(drop=True))
    assert list(got.columns) == ["shared", *(f"private:{t}" for t in TASKS), *P]


def test_truth_refuses_another_cohort(make_cohort) -> None:
    with pytest.raises(BenchError, match="known for 'surgical' only"):
        registry.module("datasets", "surgical").truth(make_cohort(n=60))


# ---- dials


def test_label_noise_shuffles_whole_patients_and_leaves_the_truth() -> None:
    clean, noisy, planted = load(), load("surgical:label_noise=1.0"), truth("surgical:label_noise=1.0")
    np.testing.assert_array_equal(clean.labels.sum(axis=0), noisy.labels.sum(axis=0))
    pd.testing.assert_frame_equal(truth(), planted)
    p, event = planted["p:any_complication"].to_numpy(), noisy.labels[:, 0] == 1
    # mean risk of events and others: .46 against .12 when clean; shuffled no difference, SE .0043
    assert abs(p[event].mean() - p[~event].mean()) < 0.015
    assert p[clean.labels[:, 0] == 1].mean() - p[clean.labels[:, 0] == 0].mean() > 0.2
    some = load("surgical:label_noise=0.2").labels
    # of the 20 % shuffled, those change that were 1 and drew a 0 or the reverse: .2 * 2 * .176 * .824 = .058; SE .002
    assert (some[:, 0] != clean.labels[:, 0]).mean() == pytest.approx(0.058, abs=0.008)


def test_bias_holds_at_one_site_only() -> None:
    cohort = load("surgical:bias=0.9")
    film = parts(cohort)[0].frame["portable_xray"].to_numpy()
    event = cohort.labels[:, 0] == 1
    gap = {s: film[event & (cohort.site == s)].mean() - film[~event & (cohort.site == s)].mean() for s in "AB"}
    # at A: .9 * 1 + .1 * .3 against .1 * .3, a gap of .9; at B none, SE sqrt(.21 / 870) = .016
    assert gap["A"] == pytest.approx(0.9, abs=0.03)
    assert gap["B"] == pytest.approx(0.0, abs=0.05)
    plain = parts(load())[0].frame["portable_xray"].to_numpy()
    assert abs(plain[event].mean() - plain[~event].mean()) < 0.035


def test_missing_labels_are_unknown_and_the_rest_stays() -> None:
    full, thin = load().labels, load("surgical:missing_labels=0.3").labels
    # SE of a share of .3 in 12,430: .0041
    np.testing.assert_allclose(np.isnan(thin).mean(axis=0), 0.3, atol=0.0125)
    known = ~np.isnan(thin)
    np.testing.assert_array_equal(thin[known], full[known])


def test_missing_modalities_are_empty_and_nobody_loses_all() -> None:
    table, vitals, note = parts(load("surgical:missing_modalities=0.4"))
    there = np.column_stack([table.present, vitals.present, note.present])
    assert there.any(axis=1).all()
    # each with .4, less those .064 who would lose all and keep one of three: .4 - .064 / 3 = .3787; SE .0044
    np.testing.assert_allclose(1 - there.mean(axis=0), 0.3787, atol=0.0132)
    assert table.frame[~table.present].isna().all(axis=None)
    assert (np.diff(vitals.offsets)[~vitals.present] == 0).all()
    assert set(note.strings[~note.present].tolist()) == {""}


def test_unpaired_patients_have_one_modality_any_of_the_three() -> None:
    modalities = parts(load("surgical:unpaired=0.6"))
    there = np.column_stack([m.present for m in modalities])
    single = there.sum(axis=1) == 1
    assert single.mean() == pytest.approx(0.6, abs=0.0132)  # SE .0044
    assert there[~single].all()
    np.testing.assert_allclose(there[single].mean(axis=0), 1 / 3, atol=0.0164)  # SE .0055 in 7,458


def test_a_dial_leaves_the_other_parts_alone() -> None:
    turned = (
        "surgical:relatedness=0.1:conflict=0.5:prevalence=2.0:label_noise=0.3:bias=0.7:missing_labels=0.1:missing_modalities=0.2"
    )
    before, after = parts(load()), parts(load(turned))
    rows = np.flatnonzero(np.logical_and.reduce([m.present for m in after]))
    old, new = (each[0].frame.iloc[rows].drop(columns="portable_xray") for each in (before, after))
    pd.testing.assert_frame_equal(old, new)
    for a, b in zip(before[1:], after[1:], strict=True):
        seen: list[list[object]] = [[], []]
        a.rows(rows).feed(seen[0].append)
        b.rows(rows).feed(seen[1].append)
        assert all(np.array_equal(x, y) for x, y in zip(*seen, strict=True))
    factors = ["shared", *(f"private:{t}" for t in TASKS)]
    pd.testing.assert_frame_equal(truth()[factors], truth(turned)[factors])


def test_another_seed_is_another_cohort_of_the_same_kind() -> None:
    one, two = truth(), truth("surgical:seed=1")
    assert abs(one["shared"].corr(two["shared"])) < 0.03
    # SD of the risk of any complication about .21: the SE of the difference of two means is .0027
    assert one["p:any_complication"].mean() == pytest.approx(two["p:any_complication"].mean(), abs=0.011)


@pytest.mark.parametrize("dial", ["relatedness=1.5", "prevalence=0", "unpaired=-0.1", "n=0", "seed=-1", "bias=2"])
def test_dials_have_ranges(dial: str) -> None:
    with pytest.raises(BenchError, match=dial.split("=")[0]):
        registry.load(f"surgical:{dial}")
