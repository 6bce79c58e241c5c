"""Settings that do nothing beside the others are not searched, and two settings that are one training are tried once."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filled import DATA as WARDS

from bench import registry, spaces, tune
from bench.core import Cohort, Inputs, Run
from bench.search import Choice, Knob, Range, idle, knobs

SMALL = ":epochs=2:fused=32:hidden=64"
DENSE = "dense_features:epochs=2:fused=32:batch=70:directions=4"
WEIGHTS = {"spreading", "consistency", "orthogonality"}
# A method with settings -> what it does not heed, of all that has a range.
IDLE: dict[str, set[str]] = {
    f"hard_sharing{SMALL}": set(),
    f"dfd{SMALL}": set(),
    f"dfd:weights=off{SMALL}": {"memory"},
    f"dfd:weights=class:streams=causal{SMALL}": {"q", "memory", "swap", "mi"},
    DENSE: {"dropout"},
    f"{DENSE}:objective=masked": WEIGHTS,
    f"{DENSE}:objective=supervised": WEIGHTS | {"lr", "weight_decay"},
    f"orthtd{SMALL}": set(),
    f"orthtd:variant=e{SMALL}": {"width", "weight"},
    f"orthtd:parts=shared{SMALL}": {"weight"},
    "ft_transformer:epochs=2:fused=24": set(),
    "ft_transformer:epochs=2:fused=24:layers=1": {"dropout"},
    f"shared_encoder:form=token{SMALL}": set(),
    f"separate_encoders:form=additive{SMALL}": {"features"},
    "tabnet:epochs=2:choices=1": {"gamma"},
    "logistic:path=1": {"weakest"},
    "multitask_lasso:path=1": {"weakest"},
}


@pytest.fixture(scope="module")
def parts() -> tuple[Cohort, Cohort]:
    cohort = registry.load(registry.parse("datasets", f"{WARDS}:n=200")[0])
    return cohort.rows(np.arange(150)), cohort.rows(np.arange(150, 200))


def other(knob: Knob) -> Any:
    """A value that is not the default."""
    search = knob.search
    if isinstance(search, Choice):
        return next(value for value in search.values if value != knob.default)
    assert isinstance(search, Range)
    return search.high if knob.default != search.high else search.low


@pytest.mark.parametrize("text", IDLE)
def test_what_is_idle_changes_nothing_and_is_not_searched(text: str, parts: tuple[Cohort, Cohort]) -> None:
    train, valid = parts
    spec = registry.parse("methods", text)[0]
    method: Any = registry.method(spec)
    every = {knob.name: knob for knob in knobs(type(method)) if knob.name not in spec.settings}
    assert IDLE[text] == set(every) & set(idle(method, valid))
    assert set(spaces.searched(spec, valid)) == set(every) - IDLE[text]
    if IDLE[text] and "supervised" not in text:  # that one trains under another method's defaults, which takes long
        changed = registry.varied(spec, {name: other(every[name]) for name in IDLE[text]})
        one, two = (registry.method(s).fit(train, valid, Run(seed=3)).predict(valid.inputs) for s in (spec, changed))
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("text", IDLE)
def test_what_is_left_out_stays_idle_whatever_the_search_draws(text: str, parts: tuple[Cohort, Cohort]) -> None:
    spec = registry.parse("methods", text)[0]
    space = spaces.searched(spec, parts[1])
    dists = spaces.distributions(space, 2)
    study = tune._study(dists, [], 0, random=True)
    for _ in range(10):
        settings = spaces.decoded(space, study.ask(dists).params)
        assert set(idle(registry.method(registry.varied(spec, settings)), parts[1])) >= IDLE[text]


def test_only_series_have_halves(parts: tuple[Cohort, Cohort]) -> None:
    spec = registry.parse("methods", "dense_features")[0]
    table = parts[1].inputs.modalities["table"]
    alone = replace(parts[1], inputs=Inputs({"table": table}))
    assert set(spaces.searched(spec, parts[1])) - set(spaces.searched(spec, alone)) == {"consistency", "directions"}


def test_one_task_has_nothing_to_stitch_or_to_weigh(make_cohort: Callable[..., Cohort]) -> None:
    spec = registry.parse("methods", "cross_stitch")[0]
    one, two = (make_cohort(n=60, tasks=tasks) for tasks in (1, 2))
    assert set(spaces.searched(spec, two)) - set(spaces.searched(spec, one)) == {"own", "balance"}


TWO = """
from dataclasses import dataclass
from typing import Annotated
import numpy as np
from bench.search import Choice

@dataclass(frozen=True)
class Fitted:
    facts: dict

    def predict(self, inputs):
        return np.random.default_rng(self.facts["seed"]).random((len(inputs), 2))

@dataclass(frozen=True)
class Two:
    mode: Annotated[str, Choice(("on", "off"))] = "on"
    strength: Annotated[int, Choice((1, 2, 3))] = 1

    def idle(self, cohort):
        return ("strength",) if self.mode == "off" else ()

    def fit(self, train, valid, run):
        return Fitted({"seed": self.strength if self.mode == "on" else 0})

METHOD = Two
"""


def test_a_choice_that_makes_another_setting_idle_is_tried_once(tmp_path: Path, make_cohort: Callable[..., Cohort]) -> None:
    (tmp_path / "two.py").write_text(TWO)
    valid, records = make_cohort(n=100, tasks=2), list[Any]()
    spec = registry.parse("methods", str(tmp_path / "two.py"))[0]
    cell = tune.Cell(spec, valid, (0,), lambda m, r: m.fit(valid, valid, Run()), lambda s, x: None, None, records.append)
    said: Any = tune.settled(cell, tune.Budget(trials=12))[1]["tuned"]
    # on with 1, 2 and 3, and off: 4 trainings among 6 settings
    assert said["trials"] == 4
    tried = [tuple(trial["settings"].values()) for trial in records[-1]["trials"]]
    assert sorted(tried) == [("off", 1), ("on", 1), ("on", 2), ("on", 3)]


def test_settings_that_a_method_refuses_together_cost_no_trial(tmp_path: Path, make_cohort: Callable[..., Cohort]) -> None:
    refuses = "def __post_init__(self):\n        if self.mode == 'on' and self.strength == 3:\n            raise BenchError('no')\n\n    def idle"
    text = TWO.replace("def idle", refuses).replace("import numpy", "from bench.core import BenchError\nimport numpy")
    (tmp_path / "picky.py").write_text(text)
    valid, records = make_cohort(n=100, tasks=2), list[Any]()
    spec = registry.parse("methods", str(tmp_path / "picky.py"))[0]
    cell = tune.Cell(spec, valid, (0,), lambda m, r: m.fit(valid, valid, Run()), lambda s, x: None, None, records.append)
    said: Any = tune.settled(cell, tune.Budget(trials=12))[1]["tuned"]
    assert (said["trials"], said["failed"]) == (3, 0)
    assert ("on", 3) not in [tuple(trial["settings"].values()) for trial in records[-1]["trials"]]
