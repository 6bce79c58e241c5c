"""What is searched of a method, and its settings as Optuna's parameters and back."""

import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from bench import registry
from bench.core import JSON, BenchError, Cohort
from bench.registry import Spec
from bench.search import Choice, Knob, Range, Weights, idle, knobs


def searched(spec: Spec, cohort: Cohort) -> dict[str, Knob]:
    """What is searched of a method: all that has a space, that the user did not set, and that is not idle with the settings as given."""
    method = registry.method(spec)
    left = {*spec.settings, *idle(method, cohort)}
    return {knob.name: knob for knob in knobs(type(method)) if knob.name not in left}


def plain(
    spec: Spec, space: Mapping[str, Knob], settings: Mapping[str, JSON], cohort: Cohort
) -> tuple[dict[str, JSON], set[str]]:
    """Settings of a trial with the defaults for those that are idle beside the others, and the names of these."""
    try:
        method = registry.method(registry.varied(spec, settings))
    except BenchError:  # they do not go together: the trial will say so
        return dict(settings), set()
    unused = {name for name in idle(method, cohort) if name in space}
    return {name: space[name].default if name in unused else value for name, value in settings.items()}, unused


def distributions(space: Mapping[str, Knob], tasks: int) -> dict[str, BaseDistribution]:
    """A space in Optuna's words. Of weights: whether there are any, and the powers of 2, a number a task."""
    out: dict[str, BaseDistribution] = {}
    for name, knob in space.items():
        search = knob.search
        if isinstance(search, Range):
            kind: Any = IntDistribution if knob.whole else FloatDistribution
            out[name] = kind(search.low, search.high, log=search.log)
        elif isinstance(search, Choice):
            scale = IntDistribution(0, len(search.values) - 1)
            out[name] = scale if search.scale else CategoricalDistribution(search.values)
        else:
            power = int(math.log2(search.most))
            out[name] = CategoricalDistribution((False, True))
            out |= {f"{name}:{t}": IntDistribution(-power, power) for t in range(tasks)}
    return out


def encoded(space: Mapping[str, Knob], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as Optuna's parameters. A value outside its range, as a default may be, is left out."""
    params: dict[str, Any] = {}
    for name, value in settings.items():
        search = space[name].search
        if isinstance(search, Weights):
            params[name] = value != "equal"
            weights = value.split("+")[1:]
            params |= {f"{name}:{t}": round(math.log2(float(weight))) for t, weight in enumerate(weights)}
        elif isinstance(search, Choice) and value in search.values:
            params[name] = search.values.index(value) if search.scale else value
        elif isinstance(search, Range) and search.low <= value <= search.high:
            params[name] = value
    return params


def decoded(space: Mapping[str, Knob], params: Mapping[str, Any]) -> dict[str, JSON]:
    """The reverse. Numbers get three digits, so that a setting can be read and typed. Only the weights' proportions count, so that the
    middle between the least and the largest is 1, and weights that are all equal are none.
    """
    settings: dict[str, JSON] = {}
    for name, knob in space.items():
        search, value = knob.search, params[name]
        if isinstance(search, Weights):
            powers = [v for key, v in params.items() if key.startswith(f"{name}:")]
            middle = (min(powers) + max(powers)) // 2
            weighted = value and len(set(powers)) > 1
            settings[name] = "+".join(["fixed", *(f"{2.0 ** (power - middle):g}" for power in powers)]) if weighted else "equal"
        elif isinstance(search, Choice):
            settings[name] = search.values[value] if search.scale else value
        else:
            settings[name] = int(value) if knob.whole else min(max(float(f"{value:.3g}"), search.low), search.high)
    return settings
