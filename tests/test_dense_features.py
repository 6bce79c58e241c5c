"""Dense features through METHOD: what moves the encoder, what leaves it alone, and what is reported. Pure functions: test_spectrum."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import prep, registry, train
from bench.core import BenchError, Cohort, Inputs, Run, Unsupported
from bench.nets import masking, network, spectrum
from bench.prep import SeriesShape

Make = Callable[..., Cohort]
SMALL = "fused=16:hidden=16:batch=64:epochs=4:directions=4:dropout=0.1"
dense_features = registry.module("methods", "dense_features")
OBJECTIVES = ("dense", "masked", "vicreg", "supervised")


def fit(cohort: Cohort, name: str = "dense_features", small: str = SMALL, **settings: Any) -> Any:
    """Fitted on the first 300 rows, the rest for validation."""
    method: Any = replace(registry.method(f"{name}:{small}"), **settings)  # type: ignore[type-var]
    rows = np.arange(len(cohort))
    return method.fit(cohort.rows(rows[:300]), cohort.rows(rows[300:]), Run(seed=3, quick=True))


def relabelled(cohort: Cohort, task: int | None = None) -> Cohort:
    """Labels of one task, or all, turned around."""
    labels = cohort.labels.copy()
    which = slice(None) if task is None else task
    labels[:, which] = 1 - labels[:, which]
    return replace(cohort, labels=labels)


def batch(cohort: Cohort) -> Any:
    return train.tensors(prep.tokens(cohort)(cohort.inputs), "cpu")


def test_pretraining_spreads_and_brings_windows_together(small_cohort: Cohort) -> None:
    found = fit(small_cohort, epochs=20, lr=3e-3).facts
    start, end = found["spectrum"]["start"], found["spectrum"]["end"]
    for rank in ("rank_singular", "rank_eigen"):
        assert 1 < start[rank] + 1 < end[rank] < 16
    for condition in ("condition_singular", "condition_eigen"):
        assert 1 < end[condition] < start[condition] / 2
    assert 0 <= end["subspace_distance"] < start["subspace_distance"] <= 1
    assert end["condition_singular"] ** 2 == pytest.approx(end["condition_eigen"])
    assert found["pretraining"][-1] < found["pretraining"][0]


def test_each_term_moves_what_it_is_for(small_cohort: Cohort) -> None:
    def end(**weights: Any) -> dict[str, float]:
        terms: dict[str, Any] = {"spreading": 0.0, "consistency": 0.0, "orthogonality": 0.0} | weights
        return fit(small_cohort, lr=3e-3, **terms).facts["spectrum"]["end"]

    nothing = end(weight_decay=0.0)
    start = fit(small_cohort).facts["spectrum"]["start"]
    assert nothing == pytest.approx(start)  # no term, no step
    assert end(spreading=1.0)["rank_eigen"] > nothing["rank_eigen"] + 1
    assert end(consistency=1.0)["subspace_distance"] < nothing["subspace_distance"] - 0.02
    assert end(orthogonality=1.0)["rank_eigen"] > nothing["rank_eigen"]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_encoder_is_frozen_under_the_probe(objective: str, small_cohort: Cohort) -> None:
    predictor = fit(small_cohort, objective=objective)
    known = predictor.facts["encoder"]
    assert known["before_probe"] == known["after_probe"] == dense_features.fingerprint(predictor.encoder)
    assert not any(p.requires_grad for p in predictor.encoder.parameters())
    predictor.predict(small_cohort.inputs)
    assert dense_features.fingerprint(predictor.encoder) == known["after_probe"]


def test_an_encoder_that_moves_under_the_probe_is_found_out(small_cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    embed = dense_features.vectors

    def nudged(encoder: Any, data: Any) -> Tensor:
        next(encoder.parameters()).data.view(-1)[0] += 1e-6
        return embed(encoder, data)

    monkeypatch.setattr(dense_features, "vectors", nudged)
    known = fit(small_cohort).facts["encoder"]
    assert known["before_probe"] != known["after_probe"]


def test_only_the_supervised_encoder_sees_labels(small_cohort: Cohort) -> None:
    for objective in OBJECTIVES:
        one, other = (fit(c, objective=objective).facts["encoder"] for c in (small_cohort, relabelled(small_cohort)))
        assert (one == other) == (objective != "supervised"), objective


def test_the_objectives_learn_different_encoders_from_one_start(small_cohort: Cohort) -> None:
    found = [fit(small_cohort, objective=objective).facts for objective in OBJECTIVES]
    assert len({facts["encoder"]["after_probe"] for facts in found}) == 4
    for facts in found[1:]:
        assert facts["spectrum"]["start"] == found[0]["spectrum"]["start"]


def test_the_supervised_encoder_is_that_of_hard_sharing(small_cohort: Cohort) -> None:
    probed = fit(small_cohort, objective="supervised")
    hard = fit(small_cohort, "hard_sharing", "fused=16:hidden=16:dropout=0.1")
    assert probed.facts["encoder"]["after_probe"] == dense_features.fingerprint(hard.networks[0].encoder)


def test_a_held_out_outcome_is_seen_by_the_probe_alone(small_cohort: Cohort) -> None:
    fits = {
        held: [fit(c, objective="supervised", held_out=held) for c in (small_cohort, relabelled(small_cohort, 1))]
        for held in ("", "outcome_1")
    }
    encoders = {held: [p.facts["encoder"] for p in pair] for held, pair in fits.items()}
    assert encoders["outcome_1"][0] == encoders["outcome_1"][1]
    assert encoders[""][0] != encoders[""][1]  # seen to fail without it
    first, second = (p.predict(small_cohort.inputs) for p in fits["outcome_1"])
    assert first.shape == (500, 3)
    assert np.array_equal(first[:, [0, 2]], second[:, [0, 2]])
    assert np.corrcoef(first[:, 1], second[:, 1])[0, 1] < 0


def test_an_unknown_outcome_to_hold_out_says_so(small_cohort: Cohort) -> None:
    with pytest.raises(BenchError, match=re.escape("unknown outcome to hold out 'outcome_9'. Did you mean 'outcome_")):
        fit(small_cohort, objective="supervised", held_out="outcome_9")
    one = replace(small_cohort, tasks=small_cohort.tasks[:1], labels=small_cohort.labels[:, :1])
    with pytest.raises(Unsupported, match="needs an outcome besides 'outcome_0', which is held out, but there is none"):
        fit(one, objective="supervised", held_out="outcome_0")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"heads": 3}, "fused must be a multiple of heads, but fused is 16 and heads 3"),
        ({"batch": 32}, "batch must be above 2 * fused, else C is singular, but batch is 32 and fused 16"),
        ({"directions": 9}, "directions must be at most fused / 2, but is 9 with fused 16"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(BenchError, match=re.escape(words)):
        replace(registry.method(f"dense_features:{SMALL}"), **settings)  # type: ignore[type-var]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_without_series_there_is_no_consistency(objective: str, small_cohort: Cohort) -> None:
    table = replace(small_cohort, inputs=Inputs({"table": small_cohort.inputs.modalities["table"]}), digest="table alone")
    predictor = fit(table, objective=objective)
    assert predictor.facts["spectrum"]["end"]["subspace_distance"] is None
    if objective == "dense":
        assert predictor.facts["encoder"] == fit(table, consistency=0.0).facts["encoder"]


def test_the_probe_is_logistic_on_the_vectors(small_cohort: Cohort) -> None:
    predictor = fit(small_cohort)
    z = predictor.embed(small_cohort.inputs)
    assert z.shape == (500, 16)
    p = predictor.predict(small_cohort.inputs)
    design = np.column_stack([z, np.ones(500)]).astype(np.float64)
    for t in range(3):  # log-odds linear in z, but where a standardised vector is cut at 5 SD
        odds = np.log(p[:, t] / (1 - p[:, t]), dtype=np.float64)
        inside = (np.abs((z - z[:300].mean(0)) / z[:300].std(0)) < 4.9).all(axis=1)
        residual = odds[inside] - design[inside] @ np.linalg.lstsq(design[inside], odds[inside], rcond=None)[0]
        assert np.abs(residual).max() < 1e-3 * max(np.ptp(odds), 1)


# ---- views


def test_a_half_is_the_patients_own_windows_of_that_half_and_nothing_else(small_cohort: Cohort) -> None:
    data = batch(small_cohort)
    count = data["vitals"]["observed"].shape[1]
    torch.manual_seed(0)
    method: Any = registry.method("hard_sharing:fused=16:hidden=16")
    encoder = method.encode(prep.tokens(small_cohort).shapes).eval()
    for late in (False, True):
        half = masking.half(data, late)
        assert half is not None
        mine = torch.arange(count) >= count // 2 if late else torch.arange(count) < count // 2
        seen = half["vitals"]["observed"]
        assert torch.equal(seen[:, mine], data["vitals"]["observed"][:, mine])
        assert not seen[:, ~mine].any()
        assert torch.equal(half["vitals"]["present"], seen.flatten(1).any(1) & data["vitals"]["present"])
        # other windows, the whole's statistics, the table and the note may say what they like
        noisy = {key: {**part} for key, part in data.items()}
        noisy["vitals"]["windows"] = data["vitals"]["windows"] + 9.0 * ~mine[:, None, None]
        noisy["vitals"]["summary"] = data["vitals"]["summary"] + 9.0
        noisy["table"]["numeric"] = data["table"]["numeric"] + 9.0
        noisy["note"]["vector"] = data["note"]["vector"] + 9.0
        changed = masking.half(noisy, late)
        assert changed is not None
        assert torch.equal(encoder(changed), encoder(half))
        noisy["vitals"]["windows"] = data["vitals"]["windows"] + 9.0
        moved = masking.half(noisy, late)
        assert moved is not None
        assert not torch.equal(encoder(moved), encoder(half))


def test_windows_need_both_halves(small_cohort: Cohort) -> None:
    data = batch(small_cohort)
    method: Any = registry.method("hard_sharing:fused=16:hidden=16")
    encoder = method.encode(prep.tokens(small_cohort).shapes).eval()
    early, late = dense_features.windows(encoder, data)
    observed, count = data["vitals"]["observed"].any(2), data["vitals"]["observed"].shape[1]
    both = observed[:, : count // 2].any(1) & observed[:, count // 2 :].any(1)
    assert len(early) == len(late) == int((both & data["vitals"]["present"]).sum())
    data["vitals"]["observed"][:, : count // 2] = 0
    assert dense_features.windows(encoder, data) is None


def test_what_is_hidden_looks_missing_and_only_the_known_is_asked_for(small_cohort: Cohort) -> None:
    data, shapes = batch(small_cohort), prep.tokens(small_cohort).shapes
    torch.manual_seed(0)
    view, values, asked = masking.hide(data, shapes, 0.3)
    assert values.shape == asked.shape == (500, sum(masking.width(s) for s in shapes.values()))
    table, old = view["table"], data["table"]
    lost = (table["missing"] > 0) & (old["missing"] == 0)
    known = (old["missing"] == 0).sum()
    assert float(lost.sum() / known) == pytest.approx(0.3, abs=0.05)
    assert not table["numeric"][table["missing"] > 0].any()
    p = old["numeric"].shape[1]
    assert torch.equal(asked[:, :p], lost & old["present"][:, None])
    assert torch.equal(values[:, :p], old["numeric"])
    blank = (table["codes"] == 0) & (old["codes"] > 0)
    first = values[:, p : p + shapes["table"].cards[0]]  # type: ignore[union-attr]
    assert torch.equal(first.argmax(1), old["codes"][:, 0])
    assert torch.equal(asked[:, p], blank[:, 0] & old["present"])
    series = shapes["vitals"]
    assert isinstance(series, SeriesShape)
    gone = (view["vitals"]["observed"] == 0) & (data["vitals"]["observed"] > 0)
    assert float(gone.any(2).sum() / data["vitals"]["observed"].any(2).sum()) == pytest.approx(0.3, abs=0.05)
    start = masking.width(shapes["table"])
    windows = asked[:, start : start + series.windows * series.channels * series.stats].unflatten(
        1, tuple(view["vitals"]["windows"].shape[1:])
    )
    assert torch.equal(windows, (gone & data["vitals"]["present"][:, None, None])[..., None].expand_as(windows))
    for part in data.values():
        assert part["present"].any()
    for key, part in view.items():
        assert not (part["present"] & ~data[key]["present"]).any()
    whole, _, none = masking.hide(data, shapes, 0.0)
    assert not none.any()
    assert all(torch.equal(whole[k][n], data[k][n]) for k in data for n in data[k])


# ---- the penalty of any neural method

NEURAL = "fused=16:hidden=16:batch=128:dropout=0.1"


def rank(predictor: Any, cohort: Cohort) -> float:
    """Effective rank of the fused vectors, of eigenvalues."""
    with torch.no_grad():
        z = predictor.networks[0].encoder(train.tensors(predictor.tokens(cohort.inputs), "cpu"))
    return spectrum.measures(z, 15)["rank_eigen"]


@pytest.mark.parametrize("name", ["hard_sharing", "mmoe:balance=famo", "orthtd:balance=pcgrad", "shared_encoder:features=4"])
def test_the_penalty_spreads_the_vectors_of_any_neural_method(name: str, small_cohort: Cohort) -> None:
    plain = fit(small_cohort, name, NEURAL, lr=3e-3)
    spread = fit(small_cohort, name, NEURAL, lr=3e-3, dense=1.0)
    assert rank(spread, small_cohort) > rank(plain, small_cohort) + 1
    assert not spread.networks[0].encoder._forward_hooks
    assert spread.facts["steps"] == plain.facts["steps"]


def test_without_the_penalty_a_step_is_what_it_was(small_cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(z: Tensor) -> Tensor:
        raise AssertionError("the penalty was asked for")

    monkeypatch.setattr(network, "dense", never)
    fit(small_cohort, "hard_sharing", NEURAL)
    with pytest.raises(AssertionError, match="asked for"):
        fit(small_cohort, "hard_sharing", NEURAL, dense=0.1)
