"""Stored and published results by the names that a user gives: datasets, methods and protocols."""

import os
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from bench import plans, published, registry, store
from bench.core import BenchError


def results_of(
    dataset: str | Sequence[str],
    methods: str | Sequence[str] | None,
    reference: str | None,
    results: Path,
    quick: bool,
    protocol: str | None,
    against: str | Path | None = None,
    plan: plans.Locked | None = None,
) -> Iterator[store.Results]:
    """The results of each dataset, as the user names datasets, methods and protocol; plan: whose protocol it is where none is named."""
    if against is not None:
        if quick or protocol is not None:
            raise BenchError(
                f"--against shows the published protocol, so --{'quick' if quick else 'protocol'} cannot stand beside it"
            )
        yield from _beside(dataset, methods, reference, results, against)
        return
    there = store.labels(results, quick)
    names = registry.parts(text(dataset))
    if not names:
        raise BenchError("no dataset given. Name one that `bench run` was given.")
    for name in names:
        stored = as_stored("datasets", name, there)
        known = {"all", *there.get(stored, ())}
        labels = None if methods is None else [as_stored("methods", m, known) for m in registry.parts(text(methods))]
        chosen = None if reference is None else as_stored("methods", reference, known)
        if labels is not None and chosen is None and "single_task" in (there.get(stored, ()) if labels == ["all"] else labels):
            chosen = "single_task"  # as a run of these methods would have it
        under = None if protocol is None else _protocol(protocol, list(store.runs(results, stored, quick)))
        if under is None and plan is not None:
            under = _planned(plan, stored, store.runs(results, stored, quick))
        yield store.read(results, stored, quick=quick, methods=labels, reference=chosen, under=under)


def _beside(
    dataset: str | Sequence[str], methods: str | Sequence[str] | None, reference: str | None, results: Path, against: str | Path
) -> Iterator[store.Results]:
    """The same with published results, under their protocol; of these alone where nothing of one's own is stored. methods: None for
    those of the last run and all that are published."""
    for name in registry.parts(text(dataset)):
        shelf = published.shelf(against, as_stored("datasets", name, store.labels(results, False)))
        own = published.stored(results, shelf)
        known = {*own.methods, *shelf.owner, "all"}
        asked = [] if methods is None else [as_stored("methods", m, known) for m in registry.parts(text(methods))]
        labels = None if asked in ([], ["all"]) else asked
        yield own.read(labels, None if reference is None else as_stored("methods", reference, known))


def _planned(plan: plans.Locked, dataset: str, there: Container[str]) -> str | None:
    """The last protocol of a plan that there are results of, which is of its largest training size; None where there are none."""
    splits = plan.datasets.get(dataset, {}).get("split", [])
    return next((one["name"] for one in reversed(splits) if one["name"] in there), None)


def _protocol(name: str, there: Sequence[str]) -> str:
    """The newest of those that are called so, with or without the hash."""
    found = [one for one in there if name in (one, one.rpartition("@")[0])]
    if not found:
        raise BenchError(f"no results under protocol '{name}'. There are, the newest last: {', '.join(there)}.")
    return found[-1]


def text(specs: "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]") -> str:
    """Specs, paths and cohorts of one's own, as one text with commas."""
    return os.fspath(specs) if isinstance(specs, str | os.PathLike) else ",".join(os.fspath(one) for one in specs)


def as_stored(kind: registry.Kind, name: str, known: Container[str]) -> str:
    """A label of the results as it stands; anything else as `bench run` would have read it, if it can."""
    if name not in known:
        with suppress(BenchError):
            return registry.parse(kind, name)[0].label
    return name
