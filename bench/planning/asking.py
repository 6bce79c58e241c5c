"""What a user's words ask for: datasets, methods and protocols, and the cells that they come to."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from bench import claims, harness, protocol, registry, views
from bench.core import BenchError
from bench.draws import Draws
from bench.harness import Plan
from bench.jobs import Limits
from bench.lookup import text as listed
from bench.protocol import Protocol
from bench.published import Beside
from bench.published.beside import USUAL
from bench.registry import Spec


class Options(TypedDict, total=False):
    """The words of `bench.run` that say what is compared and how.

    dataset, methods: a list of specs or one text with commas, `all` for every one but adapters; a dataset may be a `bench.Cohort`.
    folds: 5, or 2 if quick. repeats: 1, or the profile's. seed: 0. split: random, site, time or a column of the cohort; None: what the
    dataset says, else random. cut: of time, a date, a number, or the share of the earliest rows (0.7). train_size: patients learned from
    at most, or all; several are several protocols, one after another, with the same test rows. drop_modality, at: modalities that no row
    has at the test, in train or both. missing: further predictions of the test rows, each modality missing with these probabilities.
    test_data: other cohorts that the fitted models predict, matched by name. text: how notes become numbers, the same for all methods:
    tfidf, minilm, hf:FOLDER, tokens, minilm:tune or hf:FOLDER:tune, see `bench.prep.text`. series: windows, summary, grud, tcn or patch,
    see `bench.prep.series`. A method that cannot follow takes the nearest, which is said. outcomes: train and judge these alone, on the
    rows of a run of all. precision: of networks in training, float32, bfloat16 (mixed) or float64. tune: trials of other settings in
    every training fold, the same number for every method, or tune_minutes of them, see `bench.tune`. quick: a first look, a subsample
    trained briefly, stored apart. against: published results that stand beside these, `published` or a folder or file of such; folds,
    repeats, seed and all else are then as published.
    """

    dataset: "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]"
    methods: str | Sequence[str]
    folds: int | None
    repeats: int | None
    seed: int | None
    split: str | None
    cut: str | float | None
    train_size: int | str | Sequence[int | str] | None
    drop_modality: str | Sequence[str]
    at: str
    missing: str | float | Sequence[float]
    test_data: str | Sequence[str]
    text: str
    series: str
    outcomes: str | Sequence[str]
    precision: str
    tune: int
    tune_minutes: float
    quick: bool
    against: str | Path | None


DEFAULTS: Options = {
    "dataset": "surgical", "methods": "all", "folds": None, "repeats": None, "seed": None, "split": None, "cut": None, "train_size": None,
    "drop_modality": (), "at": "test", "missing": (), "test_data": (), "text": protocol.TFIDF, "series": protocol.WINDOWS, "outcomes": (),
    "precision": "float32", "tune": 0, "tune_minutes": 0.0, "quick": False, "against": None,
}  # fmt: skip


def alone(what: Mapping[str, Any]) -> None:
    """BenchError for words of `Options` beside a suite, which says them itself."""
    if what:
        given = " and ".join(f"--{name.replace('_', '-')}" for name in what)
        raise BenchError(f"--suite says what is compared and how, so {given} cannot stand beside it. Leave one of them out.")


@dataclass(frozen=True)
class Wanted:
    """places: every dataset under every protocol. given: the words as they were, profile and defaults filled in. beside: what is published."""

    places: tuple[tuple[Spec, Protocol], ...]
    methods: tuple[Spec, ...]
    missing: tuple[float, ...]
    test_data: tuple[Spec, ...]
    reference: str | None
    given: Mapping[str, Any]
    beside: Beside


@dataclass(frozen=True)
class Taken:
    """Which stored cells are taken as they are; see `bench.harness.plan`."""

    accept_code: bool = False
    retry_failed: bool = False
    diagnose: bool = False
    limits: Limits | None = None


def wanted(options: Mapping[str, Any], reference: str | None = None) -> Wanted:
    """BenchError for a word that cannot be understood. options: as `Options`."""
    given: dict[str, Any] = {**DEFAULTS, **options}
    chosen = registry.parse("datasets", listed(given["dataset"]))
    beside = Beside.of(given["against"], given["methods"], chosen, reference)
    specs = registry.parse("methods", listed(given["methods"]))
    others = registry.parse("datasets", listed(given["test_data"])) if given["test_data"] else []
    rates = views.rates(given["missing"])
    of_protocol = {name: given[name] for name in _PLAIN} | {
        "drop": registry.parts(listed(given["drop_modality"])),
        "outcomes": registry.parts(listed(given["outcomes"])),
    }
    places = [
        (one, under)
        for one in chosen
        for under in protocol.wanted(one, given["split"], given["cut"], **beside.given(one, of_protocol))
    ]
    given |= {name: usual for name, usual in USUAL.items() if given[name] is None}
    own = beside.reference({spec.label for spec in specs})
    return Wanted(tuple(places), tuple(specs), tuple(rates), tuple(others), own, given, beside)


_PLAIN = ("folds", "repeats", "seed", "quick", "train_size", "at", "text", "series", "precision", "tune", "tune_minutes")


def plans_of(asked: Wanted, results: Path, taken: Taken) -> list[Plan]:
    """The cells of each place, see `bench.harness.plan`."""
    return [
        harness.plan(
            one, list(asked.methods), under, results, asked.reference, taken.accept_code, taken.retry_failed, taken.diagnose,
            asked.missing, asked.test_data, taken.limits,
        )
        for one, under in asked.places
    ]  # fmt: skip


def of_claims(cases: Sequence[claims.Case], results: Path, taken: Taken) -> list[Plan]:
    """The cells that a suite of claims needs."""

    def one(place: tuple[Spec, Draws], methods: list[Spec]) -> Plan:
        looked = taken.diagnose or claims.diagnosed(cases, place)
        return harness.plan(
            place[0], methods, place[1], results, None, taken.accept_code, taken.retry_failed, looked, limits=taken.limits
        )

    made = [one(place, methods) for place, methods in claims.needs(cases).items()]
    claims.check_outcomes(cases, made)
    return made
