"""What tuning may try of a setting, declared where the setting is.

    rate: Annotated[Positive, Range(5e-3, 0.2, log=True)] = 0.03

A setting without such a word is never tried. A range is part of no check: the command line takes what the type takes. A method may say
which settings do nothing beside the others, so that no trial is spent on them:

    def idle(self, cohort: Cohort) -> tuple[str, ...]:
        return () if self.swap else ("warmup",)
"""

from collections.abc import Collection
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeAlias, get_args, get_type_hints


@dataclass(frozen=True, slots=True)
class Range:
    """From low to high, both included; whole numbers where the setting is one. log: evenly in the logarithm."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these. Numbers stand in rising order and are searched as a scale, anything else without an order."""

    values: tuple[Any, ...]

    @property
    def scale(self) -> bool:
        """Whether all are numbers."""
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)


@dataclass(frozen=True, slots=True)
class Weights:
    """Of `balance`: equal, or a weight a task from a grid, powers of 2 from 1 / `most` to `most`.

    Fixed weights are what any balancing is to be held against (Xin et al., "Do Current Multi-Task Optimization Methods in Deep
    Learning Even Help?", NeurIPS 2022; Kurin et al., "In Defense of the Unitary Scalarization for Deep Multi-Task Learning",
    NeurIPS 2022).
    """

    most: int = 4


Search: TypeAlias = Range | Choice | Weights


@dataclass(frozen=True, slots=True)
class Knob:
    """A setting that may be searched. whole: its values are whole numbers. default: the method's own."""

    name: str
    search: Search
    whole: bool
    default: Any


def knobs(method: type[Any]) -> tuple[Knob, ...]:
    """The settings of a method's class that have a search space, in the order of the fields."""
    hints = get_type_hints(method, include_extras=True)
    found: list[Knob] = []
    for field in fields(method) if hasattr(method, "__dataclass_fields__") else ():
        hint = hints[field.name]
        search = [word for word in getattr(hint, "__metadata__", ()) if isinstance(word, Range | Choice | Weights)]
        if search and field.default is not MISSING:
            kind = get_args(hint)[0]
            found.append(Knob(field.name, search[-1], kind is int or int in get_args(kind), field.default))
    return tuple(found)


def idle(method: Any, cohort: Any) -> Collection[str]:
    """The settings of a method, with its other settings as they are, that change nothing whatever value the search may give them.

    cohort: of the kind that it is to learn from; its inputs and outcomes may tell.
    """
    return method.idle(cohort) if hasattr(method, "idle") else ()
