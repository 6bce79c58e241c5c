"""Independent draws of a generator, as a protocol: train on some patients of a cohort made for it, test on many fresh ones.

Cross-validation asks about one cohort; its folds share patients, so they are no sample of anything. Here repeat k is a cohort
of its own, made with seed `seed` + k: the differences between two methods, one a draw, are independent and a t interval holds.
"""

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

import numpy as np

from bench import registry, splits
from bench.core import JSON, BenchError, Cohort, Rows, Split
from bench.registry import Spec
from bench.store import Part

OWN = frozenset({"n", "seed"})  # dials that a draw sets itself
PROBE = 2000  # patients of the small cohort that tells one generator from another before anything is trained


@dataclass(frozen=True)
class Draws:
    """rows: patients generated a draw. train: how many of them are learned from (85 / 15 fitted and validated), the first at
    `train_site`; test: how many are predicted, the last at `test_site`. "" is every site. repeats: draws.
    """

    folds: ClassVar[int] = 1  # a draw is one cell

    train: int
    test: int
    rows: int
    repeats: int
    seed: int = 0
    quick: bool = False
    train_site: str = ""
    test_site: str = ""

    @property
    def part(self) -> Part:
        """The number of draws is no part of it: more draws add cells to the same protocol."""
        identity: dict[str, JSON] = {"draws": True, **{k: v for k, v in asdict(self).items() if k != "repeats"}}
        return Part(f"{'quick-' if self.quick else ''}draws{self.train}", identity)

    @property
    def word(self) -> str:
        """What a line says of it besides method and cell."""
        return f"n={self.train}"

    def learned(self, rows: int) -> float:
        """Patients a cell learns from, validation among them; whatever the size of the probe."""
        del rows
        return float(self.train)


def dials(dataset: Spec) -> dict[str, JSON]:
    """The dials that all draws share."""
    return {name: value for name, value in registry.settings(dataset).items() if name not in OWN}


def probe(dataset: Spec, protocol: Draws) -> Cohort:
    """A small cohort of the same generator and dials: its digest stands for all draws. Refuses what cannot be drawn from."""
    _check(dataset)
    return registry.load(_dialled(dataset, PROBE, protocol.seed))


def drawn(dataset: Spec, protocol: Draws, repeat: int) -> tuple[Cohort, Split]:
    """The cohort of a draw and its one split."""
    cohort = _generated(_dialled(dataset, protocol.rows, protocol.seed + repeat))
    learned = _at(cohort, protocol.train_site)[: protocol.train]
    test = _at(cohort, protocol.test_site)[-protocol.test :]
    if len(learned) < protocol.train or len(test) < protocol.test or np.isin(learned, test).any():
        raise BenchError(
            f"a draw of '{dataset.label}' needs {protocol.train:,} patients to learn from and {protocol.test:,} others to test on, "
            f"but {protocol.rows:,} rows are too few at the sites asked for. Raise `rows`."
        )
    held = splits.subsample(cohort.rows(learned), round(splits.VALID_SHARE * len(learned)), protocol.seed + repeat)
    return cohort, Split(repeat, 0, np.delete(learned, held), learned[held], test)


def _at(cohort: Cohort, site: str) -> Rows:
    if not site:
        return np.arange(len(cohort))
    there = [] if cohort.site is None else sorted(set(cohort.site.tolist()))
    if site not in there:
        raise BenchError(registry.unknown(f"site of '{cohort.name}'", site, there))
    return np.flatnonzero(cohort.site == site)


def _check(dataset: Spec) -> None:
    known = registry.settings(dataset)
    if not OWN.issubset(known):
        raise BenchError(
            f"draws need a generator, a dataset with the dials n and seed, but the dials of '{dataset.id}' are: {', '.join(known) or 'none'}"
        )
    set_here = sorted(OWN & set(dataset.settings))
    if set_here:
        raise BenchError(f"n and seed are set draw by draw, but '{dataset.label}' sets {' and '.join(set_here)}. Leave it out.")


def _dialled(dataset: Spec, n: int, seed: int) -> Spec:
    settings: Mapping[str, JSON] = {**dataset.settings, "n": n, "seed": seed}
    return replace(dataset, settings=settings)


@functools.lru_cache(maxsize=1)
def _generated(dataset: Spec) -> Cohort:
    return registry.load(dataset)  # kept for the methods that meet the same draw one after the other
