"""DFD's settings, its controls, the networks it plugs into, and the planted shortcut of methods.md 2."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from bench import checks, registry
from bench.core import BenchError, Cohort, Run, Tabular, Task
from bench.prep import TableShape

dfd = registry.module("methods", "dfd")


def test_a_permutation_without_fixed_points() -> None:
    torch.manual_seed(0)
    for n in range(2, 40):
        order = dfd.elsewhere(n)
        assert sorted(order.tolist()) == list(range(n))
        assert (order != torch.arange(n)).all()
    assert dfd.elsewhere(1).tolist() == [0]
    assert len({tuple(dfd.elsewhere(5).tolist()) for _ in range(50)}) > 10  # of 4! = 24 cycles


def test_class_weights() -> None:
    # Task 0: weights 1 1 2 | 4 of events | others, sum 8: events 8 / (2 * 4) = 1, others 8 / (2 * 4) = 1
    # Task 1: one event of weight 1, others 1 + 1, one unknown: 3 / 2 and 3 / 4
    y = torch.tensor([[1.0, 1], [1, 0], [1, 0], [0, 1]])
    w = torch.tensor([[1.0, 1], [1, 1], [2, 1], [4, 0]])
    torch.testing.assert_close(dfd.class_weights(y, w)[w > 0], torch.tensor([1, 1.5, 1, 0.75, 1, 0.75, 1]))
    shapes = {"table": TableShape(3, ())}
    for kind, expected in (("class", dfd.class_weights(y, w)[[2, 1]]), ("off", torch.ones(2, 2))):
        for streams in ("both", "causal"):
            method: Any = registry.method(f"dfd:weights={kind}:streams={streams}")
            assert torch.equal(method.build(shapes, y, w).weigh(torch.tensor([2, 1])), expected)


def test_the_causal_stream_alone_and_unweighted_is_the_base(small_cohort: Cohort) -> None:
    train, valid = small_cohort.rows(np.arange(350)), small_cohort.rows(np.arange(350, 500))
    run = Run(seed=3, quick=True)
    for base, settings in (("hard_sharing", ""), ("orthtd", ":balance=pcgrad")):
        a = registry.method(base + settings).fit(train, valid, run)
        b = registry.method(f"dfd:base={base}:streams=causal:weights=off{settings}").fit(train, valid, run)
        assert a.predict(valid.inputs).tobytes() == b.predict(valid.inputs).tobytes()
    weighted = registry.method("dfd:streams=causal:weights=class").fit(train, valid, run)
    assert weighted.predict(valid.inputs)[:, 2].mean() > a.predict(valid.inputs)[:, 2].mean() + 0.03  # rarer than 1 in 2


BASES = ("hard_sharing:width=16", "mmoe:experts=3", "orthtd:variant=d:weight=0.5", "ple:levels=1:task_experts=2+1+3")


@pytest.mark.parametrize("base", BASES)
def test_it_plugs_into_any_sharing_network(base: str, small_cohort: Cohort) -> None:
    train, valid = small_cohort.rows(np.arange(350)), small_cohort.rows(np.arange(350, 500))
    balance = "famo" if "mmoe" in base else "equal"
    predictor: Any = registry.method(f"dfd:base={base.replace(':', '+')}:fused=32:balance={balance}").fit(
        train, valid, Run(seed=1, quick=True)
    )
    assert np.ptp(predictor.predict(valid.inputs), axis=0).min() > 0
    method: Any = registry.method(base)
    mine, own = predictor.networks[0].sharing.state_dict(), method.sharing(32, 3).state_dict()
    assert {name: x.shape for name, x in mine.items()} == {name: x.shape for name, x in own.items()}
    if base.startswith("orthtd"):
        assert predictor.parts(valid.inputs)["specific"].shape == (150, 3, 64)
        assert predictor.facts["penalty_end"] > 0


def test_settings_reach_the_base() -> None:
    method: Any = registry.method("dfd:base=ple+levels=1+task_experts=2+1+3:fused=32:dropout=0.5")
    base = method.plugged
    assert (base.levels, base.task_experts, base.fused, base.dropout) == (1, "2+1+3", 32, 0.5)
    (spec,) = registry.parse("methods", "dfd:base=mmoe+experts=4:q=0.5")
    assert spec.label == "dfd:base=mmoe+experts=4:q=0.5"
    assert registry.parse("methods", spec.label) == [spec]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("base=xgboost", "base is a neural method with a sharing block for all tasks, but got 'xgboost'. Try mmoe."),
        ("base=single_task", "but got 'single_task'"),
        ("base=dfd", "but got 'dfd'"),
        ("base=mmeo", "Did you mean 'mmoe'?"),
        ("base=mmoe+expert=4", "Did you mean 'experts'?"),
        ("base=mmoe+fused=32", "'fused' is one setting for dfd and its base: write dfd:fused=... instead of 'mmoe+fused=32'"),
        ("streams=causal", "give weights=class or weights=off"),
        ("q=0", "greater than 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: str, words: str) -> None:
    with pytest.raises(BenchError) as error:
        registry.method(f"dfd:{settings}")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def planted(n: int, agree: float, seed: int) -> Cohort:
    """Two outcomes of three normal columns each; `shortcut` is the first outcome in a share `agree`, else its opposite."""
    rng = np.random.default_rng([seed, 8])
    x = rng.normal(size=(n, 6))
    z = 1.5 / math.sqrt(3) * np.column_stack([x[:, :3].sum(1), x[:, [0, 3, 4]].sum(1)]) + rng.normal(size=(n, 2))
    y = (z > 0).astype(float)
    frame = pd.DataFrame({f"x{i}": column for i, column in enumerate(x.T)})
    frame["shortcut"] = np.where(rng.random(n) < agree, y[:, 0], 1 - y[:, 0])
    return checks.build("planted", {"table": Tabular(frame)}, [Task("a"), Task("b")], y, [f"p{i}" for i in range(n)])


def test_a_planted_shortcut_is_left_to_the_biased_stream() -> None:
    # Right in 95 % of training and 50 % of test patients. Validation is as the test here: .76 for hard sharing, .87 for DFD and .80
    # at its default q, means of three seeds. By patients like those in training, an epoch is chosen before the streams part: .74, .76, .75.
    train, valid, test = planted(1600, 0.95, 0), planted(500, 0.5, 1), planted(4000, 0.5, 2)
    common = "fused=32:hidden=64:stop=per_task"
    fitted: list[Any] = [
        registry.method(f"{name}:{common}").fit(train, valid, Run(seed=0))
        for name in ("hard_sharing", "dfd:base=hard_sharing:q=0.7")
    ]
    plain, debiased = (roc_auc_score(test.labels[:, 0], p.predict(test.inputs)[:, 0]) for p in fitted)
    assert debiased > plain + 0.05
    network = fitted[1].networks[0].eval()
    with torch.no_grad():
        c, b = network.streams(fitted[1]._batch(test.inputs))
        logits = network.both(c, b)[1][:, 0].numpy()
    modality: Any = test.inputs.modalities["table"]
    shortcut = modality.frame["shortcut"].to_numpy()
    probe = LogisticRegression(max_iter=1000).fit(b[:2000].numpy(), shortcut[:2000])
    assert roc_auc_score(shortcut[2000:], probe.predict_proba(b[2000:].numpy())[:, 1]) > 0.98
    assert roc_auc_score(shortcut, logits) > roc_auc_score(shortcut, fitted[1].predict(test.inputs)[:, 0]) + 0.2
