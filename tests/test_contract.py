"""The laws every method keeps. A new file in methods/ is tested the moment it exists.

A method that declines flat outcomes is tested on nested ones; one that declines both has said why, and is done. The floor of
the table (fact `floor`) predicts one number for all and is excused from telling patients apart.
"""

import dataclasses
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from bench import checks, registry
from bench.core import Cohort, Inputs, Predictor, Run, Series, Tabular, Text, Unsupported

METHODS = registry.ids("methods")
QUICK = Run(seed=7, quick=True)

pytestmark = pytest.mark.parametrize("name", METHODS)


def thirds(cohort: Cohort, train: int, valid: int) -> tuple[Cohort, Cohort, Cohort]:
    """The first rows, the next, and all others."""
    rows = np.arange(len(cohort))
    return cohort.rows(rows[:train]), cohort.rows(rows[train : train + valid]), cohort.rows(rows[train + valid :])


def rebuilt(cohort: Cohort, **changed: Any) -> Cohort:
    """The cohort with other content, and the digest of that content."""
    parts = {"modalities": cohort.inputs.modalities, "labels": cohort.labels, "weights": cohort.weights} | changed
    return checks.build(
        cohort.name, parts["modalities"], cohort.tasks, parts["labels"], cohort.patients, weights=parts["weights"]
    )


def without(modality: Tabular | Series | Text) -> Tabular | Series | Text:
    """The same modality, missing in every row; what it holds stays, to see that nobody looks."""
    absent = np.zeros(len(modality), bool)
    if isinstance(modality, Tabular):
        return Tabular(modality.frame, absent)
    if isinstance(modality, Series):
        return Series(
            modality.offsets, modality.time, modality.channel, modality.value, modality.channels, modality.units, absent
        )
    return Text(modality.strings, absent)


def auroc(cohort: Cohort, p: np.ndarray) -> np.ndarray:
    """(T,) over the known labels."""
    known = cohort.mask
    return np.array([roc_auc_score(cohort.labels[k, t], p[k, t]) for t, k in enumerate(known.T)])


def check_probabilities(name: str, p: np.ndarray, rows: int, tasks: int) -> None:
    assert p.shape == (rows, tasks), f"{name}: predictions must have shape {(rows, tasks)}, but have {p.shape}"
    assert p.dtype == np.float32, f"{name}: predictions must be float32, but are {p.dtype}"
    assert not np.isnan(p).any(), f"{name}: {np.isnan(p).sum()} predictions are NaN"
    low, high = np.float32(1e-7), np.float32(1 - 1e-7)
    assert p.min() >= low, f"{name}: the least prediction is {p.min()}, below 1e-7"
    assert p.max() <= high, f"{name}: the greatest prediction is {p.max()}, above 1 - 1e-7"


@cache
def nested(name: str, make: Callable[..., Cohort]) -> bool | str:
    """Whether the outcomes must be nested for the method to take them; its reason if it takes neither."""
    reason = ""
    for shape in (False, True):
        train, valid, _ = thirds(make(n=450, nested=shape), 60, 30)
        try:
            registry.method(name).fit(train, valid, QUICK)
        except Unsupported as declined:
            reason = str(declined)
        else:
            return shape
    return reason


@pytest.fixture(scope="module")
def cohort(make_cohort: Callable[..., Cohort]) -> Callable[..., Cohort]:
    """cohort(name, n=..., ...): one that the method takes."""

    def made(name: str, **options: Any) -> Cohort:
        shape = nested(name, make_cohort)
        if isinstance(shape, str):
            assert "needs " in shape, f"{name}: a decline must say what is needed, but says '{shape}'"
            assert "\n" not in shape, f"{name}: a decline is one line, but is '{shape}'"
            pytest.skip(f"{name} {shape}")
        return make_cohort(nested=shape, **options)

    return made


@pytest.fixture(scope="module")
def base(cohort: Callable[..., Cohort]) -> Callable[[str], tuple[Predictor, tuple[Cohort, Cohort, Cohort]]]:
    """One quick fit per method, shared by the laws that only look at it."""

    @cache
    def fitted(name: str) -> tuple[Predictor, tuple[Cohort, Cohort, Cohort]]:
        parts = thirds(cohort(name, n=450), 300, 100)
        return registry.method(name).fit(parts[0], parts[1], QUICK), parts

    return fitted


def test_predictions_are_probabilities(name: str, base: Any) -> None:
    predictor, (_, _, test) = base(name)
    check_probabilities(name, predictor.predict(test.inputs), len(test), 3)


def test_facts_are_json_and_complete(name: str, base: Any) -> None:
    facts = base(name)[0].facts
    json.dumps(dict(facts), allow_nan=True)
    assert facts["parameters"] > 0, f"{name}: `parameters` must be above 0, but is {facts['parameters']}"
    assert facts["steps"] > 0, f"{name}: no step was done"
    assert isinstance(facts["at_cap"], bool), f"{name}: `at_cap` must be true or false, but is {facts['at_cap']!r}"


def test_same_seed_same_bytes_and_nothing_changed_by_fitting(name: str, base: Any) -> None:
    predictor, (train, valid, test) = base(name)
    method = registry.method(name)
    before, content = dataclasses.asdict(method), [rebuilt(c).digest for c in (train, valid, test)]
    torch.manual_seed(99)  # a method that draws from a global generator is found out
    np.random.seed(99)
    again = method.fit(train, valid, QUICK).predict(test.inputs)
    assert again.tobytes() == predictor.predict(test.inputs).tobytes(), f"{name}: the same seed gave other predictions"
    assert dataclasses.asdict(method) == before, f"{name}: fitting changed the settings"
    assert [rebuilt(c).digest for c in (train, valid, test)] == content, f"{name}: fitting or predicting changed the data"
    for field in dataclasses.fields(method):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(method, field.name, None)


def test_a_row_alone_is_predicted_as_in_a_batch(name: str, base: Any) -> None:
    predictor, (_, _, test) = base(name)
    batch = predictor.predict(test.inputs)
    alone = np.concatenate([predictor.predict(test.inputs.rows(np.array([i]))) for i in range(12)])
    np.testing.assert_allclose(alone, batch[:12], rtol=0, atol=1e-5, err_msg=f"{name}: one row alone differs from the batch")


def test_the_order_of_modalities_does_not_matter(name: str, base: Any) -> None:
    predictor, (_, _, test) = base(name)
    turned = Inputs(dict(reversed(test.inputs.modalities.items())))
    np.testing.assert_allclose(
        predictor.predict(turned), predictor.predict(test.inputs), rtol=0, atol=1e-6, err_msg=f"{name}: order matters"
    )


def test_a_modality_missing_at_prediction(name: str, base: Any) -> None:
    predictor, (_, _, test) = base(name)
    whole = predictor.predict(test.inputs)
    for key, modality in test.inputs.modalities.items():
        others = {k: m for k, m in test.inputs.modalities.items() if k != key}
        marked = predictor.predict(Inputs({**test.inputs.modalities, key: without(modality)}))
        check_probabilities(f"{name} without {key}", marked, len(test), 3)
        left_out = predictor.predict(Inputs(others))
        np.testing.assert_allclose(left_out, marked, rtol=0, atol=1e-6, err_msg=f"{name}: '{key}' absent, yet looked at")
        gone = ~modality.present
        np.testing.assert_allclose(
            marked[gone], whole[gone], rtol=0, atol=1e-5, err_msg=f"{name}: rows without '{key}' changed when others lost it"
        )


def test_a_modality_missing_at_training(name: str, base: Any) -> None:
    _, (train, valid, test) = base(name)
    for key in ("table", "vitals"):
        bare = [rebuilt(c, modalities={**c.inputs.modalities, key: without(c.inputs.modalities[key])}) for c in (train, valid)]
        p = registry.method(name).fit(bare[0], bare[1], QUICK).predict(test.inputs)
        check_probabilities(f"{name} trained without {key}", p, len(test), 3)


def test_a_task_without_events_in_training(name: str, base: Any) -> None:
    _, (train, valid, test) = base(name)
    bare = train.rows(train.labels[:, 2] != 1)
    predictor = registry.method(name).fit(bare, valid, QUICK)
    p = predictor.predict(test.inputs)
    check_probabilities(name, p, len(test), 3)
    assert p[:, 2].mean() < 0.2, f"{name}: a task never seen to happen is predicted at {p[:, 2].mean():.2f} on average"
    assert np.ptp(p[:, 1]) > 0 or predictor.facts.get("floor"), f"{name}: a task without events stopped the others from learning"


def test_fewer_rows_than_a_batch(name: str, cohort: Callable[..., Cohort]) -> None:
    train, valid, test = thirds(cohort(name, n=100), 40, 20)
    predictor = registry.method(name).fit(train, valid, QUICK)
    check_probabilities(name, predictor.predict(test.inputs), len(test), 3)
    assert predictor.facts["steps"] > 0, f"{name}: trained on nothing with {len(train)} rows"
    spread = np.ptp(predictor.predict(test.inputs), axis=0).max()
    assert spread > 0 or predictor.facts.get("floor"), f"{name}: predicts the same for every patient after {len(train)} rows"


def test_weights_are_used(name: str, base: Any) -> None:
    predictor, (train, valid, test) = base(name)
    # Events four times as heavy: a prevalence of q becomes 4q / (1 + 3q), so .5 -> .8 and .3 -> .63; half of that will do
    heavy = [rebuilt(c, weights=np.where(c.labels == 1, 4.0, 1.0)) for c in (train, valid)]
    rise = registry.method(name).fit(heavy[0], heavy[1], QUICK).predict(test.inputs).mean(axis=0) - predictor.predict(
        test.inputs
    ).mean(axis=0)
    assert rise.min() > 0.05, f"{name}: events four times as heavy moved the mean predictions by {rise.round(3)} only"


def test_shuffled_labels_cannot_be_learned(name: str, cohort: Callable[..., Cohort]) -> None:
    # A weak signal, since a net fitted to noise is a random direction, and with a strong one that alone scores .5 +- .1
    train, valid, test = thirds(cohort(name, n=2400, signal=0.5, missing_labels=0.0), 900, 300)
    rng = np.random.default_rng(3)
    shuffled = [rebuilt(c, labels=c.labels[rng.permutation(len(c))]) for c in (train, valid)]
    scores = auroc(test, registry.method(name).fit(shuffled[0], shuffled[1], QUICK).predict(test.inputs))
    assert (np.abs(scores - 0.5) < 0.1).all(), f"{name}: shuffled labels give AUROC {scores.round(3)} on {len(test)} rows"


def test_a_planted_signal_is_learned_from_half_of_the_labels(name: str, cohort: Callable[..., Cohort]) -> None:
    # An elastic net reaches .92 here with all labels. Unknown labels taken for 0 would halve the mean prediction.
    train, valid, test = thirds(cohort(name, n=2300, signal=5.0, missing_labels=0.0), 1000, 300)
    hide = np.random.default_rng(5).random(train.labels.shape) < 0.5
    known = rebuilt(train, labels=np.where(hide, np.nan, train.labels))
    predictor = registry.method(name).fit(known, valid, Run(seed=7))
    p = predictor.predict(test.inputs)
    scores = auroc(test, p)
    # The columns here are independent: without labels nothing says which of them to keep
    least = 0.65 if name == "dense_features" else 0.8
    assert scores.mean() > least or predictor.facts.get("floor"), (
        f"{name}: a planted signal is found with AUROC {scores.round(3)} only"
    )
    off = p.mean(axis=0) - test.labels.mean(axis=0)
    assert np.abs(off).max() < 0.08, f"{name}: mean predictions are off by {off.round(3)} with half of the labels unknown"


def test_a_task_of_one_class_in_validation(name: str, base: Any) -> None:
    _, (train, valid, test) = base(name)
    predictor = registry.method(name).fit(train, valid.rows(valid.labels[:, 2] != 1), QUICK)
    p = predictor.predict(test.inputs)
    check_probabilities(name, p, len(test), 3)
    off = abs(p[:, 0].mean() - np.nanmean(train.labels[:, 0]))
    assert off < 0.2, f"{name}: validation rows without an event moved the mean prediction by {off:.2f}"
