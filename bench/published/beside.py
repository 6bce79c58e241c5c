"""Where published results enter: a run that is to be compared with them, and stored results that are shown with them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import store
from bench.core import BenchError
from bench.harness import Plan
from bench.published.merge import Shelf, alone, merged, shelf
from bench.published.submit import without_repeats
from bench.registry import Spec, unknown
from bench.store import Results

USUAL = {"repeats": 1, "seed": 0}  # where nobody says otherwise


@dataclass(frozen=True)
class Beside:
    """What a run is compared with: by dataset, nothing where it stands for itself. wanted: the reference that was asked for."""

    shelves: Mapping[str, Shelf]
    wanted: str | None

    @staticmethod
    def of(against: str | Path | None, methods: str | Sequence[str], datasets: Sequence[Spec], reference: str | None) -> "Beside":
        """BenchError for a dataset that is not published, or for methods that were not named."""
        if against is None:
            return Beside({}, reference)
        if methods in ("all", ["all"]):
            raise BenchError(
                "against published results only your own methods are trained: name them, as in --methods ./my_net.py"
            )
        return Beside({spec.label: shelf(against, spec.label) for spec in datasets}, reference)

    def given(self, dataset: Spec, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a run, with what was left open."""
        own = self.shelves[dataset.label].given(options) if dataset.label in self.shelves else options
        return {name: USUAL.get(name) if value is None else value for name, value in own.items()}

    def reference(self, own: Collection[str]) -> str | None:
        """Of the run by itself: a published method cannot be it."""
        if not self.shelves or self.wanted in own:
            return self.wanted
        for one in self.shelves.values():
            if self.wanted is not None and self.wanted not in one.owner:
                raise BenchError(unknown("reference, neither of the run nor published", self.wanted, [*own, *one.owner]))
        return None

    def check(self, plans: Sequence[Plan]) -> None:
        for plan in plans:
            if plan.spec.label in self.shelves:
                self.shelves[plan.spec.label].check(plan)

    def merged(self, found: Results) -> Results:
        if found.dataset not in self.shelves:
            return found
        return merged(found, self.shelves[found.dataset], reference=self.wanted)


@dataclass(frozen=True)
class Stored:
    """Results of one's own under the published protocol, if there are. methods: label -> repeats."""

    root: Path
    shelf: Shelf
    under: str
    methods: Mapping[str, int]

    def read(self, labels: Sequence[str] | None, reference: str | None) -> Results:
        """With the published methods, those of `labels` alone if given."""
        asked = [label for label in self.methods if labels is None or label in labels]
        own = [label for label in asked if labels is not None or self.methods[label] >= self.shelf.first.repeats]
        if not own:
            return alone(self.shelf, labels, reference)
        found = store.read(self.root, self.shelf.dataset, methods=own, under=self.under)
        return merged(found, self.shelf, labels, reference)


def stored(root: Path, of: Shelf) -> Stored:
    """What a results folder has of a dataset under the published protocol."""
    if of.dataset not in store.labels(root, False):
        return Stored(root, of, "", {})
    told = of.first.manifest["protocol"]
    under = [name for name, one in store.runs(root, of.dataset).items() if without_repeats(one) == told]
    return Stored(root, of, under[-1], store.methods_of(root, of.dataset, under[-1])) if under else Stored(root, of, "", {})
