"""A method on trial: what it learned of a small cohort, once for all laws, and what a law says when it is broken."""

import copy
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import metrics, registry
from bench.contract.cohort import make, rebuilt, thirds
from bench.core import Cohort, Inputs, Method, Predictor, Run, Unsupported
from bench.registry import Spec

QUICK = Run(seed=7, quick=True)
TASKS = 3
LEAST, MOST = np.float32(1e-7), np.float32(1 - 1e-7)


class Broken(Exception):
    """What was done, what was expected of it, and what was seen."""

    def __init__(self, did: str, expected: str, saw: str) -> None:
        super().__init__(f"{did}: expected {expected}, but saw {saw}")
        self.did, self.expected, self.saw = did, expected, saw


@dataclass(frozen=True, eq=False)
class Base:
    """A quick fit and its rows. given: the parts as the method was given them; content: what these held before."""

    nested: bool
    predictor: Predictor
    train: Cohort
    valid: Cohort
    test: Cohort
    given: tuple[Cohort, ...]
    content: Sequence[str]


@dataclass(eq=False)
class Trial:
    """One method. A law says what it does (`does`), then what it wants of the outcome (`wants`), or `warns`."""

    spec: Spec
    did: str = ""
    warnings: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])

    @property
    def method(self) -> Method:
        return registry.method(self.spec)

    @cached_property
    def base(self) -> Base:
        """One quick fit that all laws look at. On flat outcomes, else on nested ones; Unsupported where it takes neither."""
        try:
            return self._base(nested=False)
        except Unsupported:
            return self._base(nested=True)

    @cached_property
    def whole(self) -> NDArray[np.float32]:
        """Its predictions of the test rows."""
        return self.base.predictor.predict(self.base.given[2].inputs)

    @cached_property
    def refitted(self) -> tuple[Method, NDArray[np.float32]]:
        """A second fit with the same seed, while the generators of all stand elsewhere: the method after it, and its predictions."""
        method, base = self.method, self.base
        _stir(99)
        return method, method.fit(own(base.train), own(base.valid), QUICK).predict(own(base.test).inputs)

    @cached_property
    def halved(self) -> tuple[Cohort, NDArray[np.float32]]:
        """Test rows and their risks, after a full training on 1,000 patients with a strong signal, half of the labels unknown."""
        train, valid, test = thirds(self.cohort(n=2300, signal=5.0, missing_labels=0.0), 1000, 300)
        hide = np.random.default_rng(5).random(train.labels.shape) < 0.5
        known = rebuilt(train, labels=np.where(hide, np.nan, train.labels))
        return test, self.predicts(self.fit(known, valid, Run(seed=7)), test.inputs)

    @property
    def floor(self) -> bool:
        """Whether it predicts one number for all by intent, and is excused from telling patients apart."""
        return bool(self.base.predictor.facts.get("floor"))

    def cohort(self, **options: Any) -> Cohort:
        """One that the method takes."""
        return make(nested=self.base.nested, **options)

    def fit(self, train: Cohort, valid: Cohort, run: Run = QUICK) -> Predictor:
        return self.method.fit(own(train), own(valid), run)

    def does(self, what: str) -> None:
        self.did = what

    def wants(self, held: object, expected: str, saw: str) -> None:
        """Broken unless it held."""
        if not held:
            raise Broken(self.did, expected, saw)

    def warns(self, held: object, expected: str, saw: str) -> None:
        """Nothing that stops a run, but what its author should know."""
        if not held:
            self.warnings.append((self.did, expected, saw))

    def predicts(self, predictor: Predictor, inputs: Inputs) -> NDArray[np.float32]:
        """Its predictions, which must be risks."""
        p = predictor.predict(inputs)
        self.risks(p, len(inputs))
        return p

    def risks(self, p: Any, rows: int) -> None:
        """Broken if these are no probabilities (rows, TASKS)."""
        shape = getattr(p, "shape", None)
        self.wants(
            shape == (rows, TASKS), f"an array of shape {(rows, TASKS)}: a row per patient, a column per outcome", _shaped(p)
        )
        self.wants(p.dtype.kind == "f", "floating-point numbers", f"numbers of type {p.dtype}")
        bad = ~np.isfinite(p) | (p < 0) | (p > 1)
        self.wants(
            not bad.any(),
            "probabilities, from 0 to 1",
            f"{int(bad.sum())} of {p.size} that are none (first: {p[bad][:1].tolist()})",
        )
        self.warns(p.dtype == np.float32, "numbers of type float32", f"numbers of type {p.dtype}, which a run makes float32")
        inside = ((p >= LEAST) & (p <= MOST)).all()
        self.warns(inside, "risks from 1e-7 to 1 - 1e-7", f"risks from {p.min():.3g} to {p.max():.9g}, which a run would clip")

    def near(self, a: NDArray[Any], b: NDArray[Any], within: float, expected: str) -> None:
        """Broken where two arrays of predictions are apart; NaN is far from everything."""
        apart = np.abs(np.asarray(a, float) - np.asarray(b, float)).max(initial=0.0)
        self.wants(apart <= within, f"{expected} (to {within:.0e})", f"risks up to {apart:.2g} apart")

    def _base(self, nested: bool) -> Base:
        parts = thirds(make(n=450, nested=nested), 300, 100)
        _stir(98)
        given, content = tuple(map(own, parts)), [held(part) for part in parts]
        return Base(nested, self.method.fit(given[0], given[1], QUICK), *parts, given, content)


def _stir(seed: int) -> None:
    """Put the generators that all share into another state: a method that draws from them is found out."""
    random.seed(seed)
    np.random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def own(cohort: Cohort) -> Cohort:
    """The same patients behind a mapping of their own: one that a method changes is changed for that fit alone."""
    return replace(cohort, inputs=replace(cohort.inputs, modalities=copy.copy(cohort.inputs.modalities)))


def held(cohort: Cohort) -> str:
    """The digest of what a cohort holds now."""
    return rebuilt(cohort).digest


def auroc(cohort: Cohort, p: NDArray[Any]) -> NDArray[np.float64]:
    """(T,) over the known labels."""
    return np.array([metrics.auroc(cohort.labels[:, t], p[:, t]) for t in range(p.shape[1])])


def _shaped(p: Any) -> str:
    return f"shape {p.shape}" if hasattr(p, "shape") else f"a {type(p).__name__}"
