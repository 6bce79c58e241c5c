"""How methods are compared: the split, how many patients are learned from, and what the methods are shown."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from bench import registry, splits
from bench.core import JSON, BenchError, Cohort
from bench.registry import Spec, unknown
from bench.splits import RANDOM, Splits, kinds
from bench.store import Part

At: TypeAlias = Literal["test", "train", "both"]
FEWEST = 20  # patients to learn from: 3 of them validate
QUICK_ROWS = 1500
BASE = ("folds", "seed", "quick", "rows")  # of every stored identity; all else only where it is not the default


@dataclass(frozen=True)
class Protocol:
    """How methods are compared. quick: a first look on `rows` patients, trained briefly.

    split: random, site (leave one out), time (before and from `cut`), or a column of the cohort, see `bench.splits.kinds`. folds: of a
    random split; of others what the cohort gives, see `on`. train_size: patients learned from at most, validation among them; the
    same test rows. drop: modalities that no row has, at the test, in training or both.
    """

    folds: int = 5
    repeats: int = 1
    seed: int = 0
    quick: bool = False
    rows: int | None = None
    split: str = RANDOM
    cut: str = "0.7"
    train_size: int | None = None
    drop: tuple[str, ...] = ()
    at: At = "test"

    def __post_init__(self) -> None:
        object.__setattr__(self, "drop", tuple(self.drop))  # a list where it comes from JSON

    @property
    def part(self) -> Part:
        """Repeats are no part of it: they add cells to the same protocol."""
        defaults = {field.name: field.default for field in fields(self)}
        values: dict[str, Any] = {k: v for k, v in asdict(self).items() if k in BASE or v != defaults[k]}
        values.pop("repeats", None)
        identity: dict[str, JSON] = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
        return Part(self._label(), identity)

    def _label(self) -> str:
        kind = f"cv{self.folds}" if self.split == RANDOM else self.split
        dropped = f"-{self.at}-without-{'-'.join(self.drop)}" if self.drop else ""
        return f"{'quick-' if self.quick else ''}{kind}{f'-n{self.train_size}' if self.train_size else ''}{dropped}"

    @property
    def word(self) -> str:
        """What a line says of it besides method and cell; "" of the default."""
        return "" if self.train_size is None else f"n={self.train_size}"

    def on(self, cohort: Cohort) -> Splits:
        """The splits of a cohort. BenchError for a split or a modality that it does not have."""
        names = list(cohort.inputs.modalities)
        for name in self.drop:
            if name not in names:
                raise BenchError(unknown(f"modality of '{cohort.name}'", name, names))
        if set(names) <= set(self.drop):
            raise BenchError(f"a method needs a modality, but all of '{cohort.name}' are dropped: {', '.join(names)}. Keep one.")
        within = splits.subsample(cohort, self.rows, self.seed) if self.rows else None
        return splits.of(
            cohort, self.split, folds=self.folds, repeats=self.repeats, seed=self.seed, cut=self.cut, patients=self.train_size,
            within=within,
        )  # fmt: skip

    def learned(self, rows: int) -> float:
        """Patients a cell learns from, validation among them, in a cohort of so many."""
        share = 1 - 1 / self.folds if self.folds > 1 else 0.7
        return min((self.rows or rows) * share, self.train_size or np.inf)


def own_split(dataset: Spec) -> dict[str, Any]:
    """What a dataset says of its split, where the command does not: `split(**dials)` in its file gives {"split": ..., "cut": ...}."""
    own: Any = getattr(registry.loaded(dataset), "split", None)
    return own(**registry.settings(dataset)) if own is not None else {}


def asked(
    *,
    folds: int | None = None,
    repeats: int = 1,
    seed: int = 0,
    quick: bool = False,
    split: str = RANDOM,
    cut: str | None = None,
    train_size: "int | str | Sequence[int | str] | None" = None,
    drop: Sequence[str] = (),
    at: str = "test",
) -> list[Protocol]:
    """The protocols that a user's options ask for, one a training size. BenchError where they are out of range or do not fit."""
    count = (2 if quick else 5) if folds is None else folds
    for name, value, least in (("folds", count, 2), ("repeats", repeats, 1), ("seed", seed, 0)):
        if value < least:
            raise BenchError(f"{name} must be {least} or more, but is {value}")
    if folds is not None and split != RANDOM:
        raise BenchError(
            f"folds are of the random split, but the split is '{split}', which has its own. Leave --folds out or add --split random."
        )
    if cut is not None and split != kinds.TIME:
        raise BenchError(f"cut is of the split by time, but the split is '{split}'. Add --split time or leave --cut out.")
    if at not in get_args(At):
        raise BenchError(unknown("side to drop a modality at", at, list(get_args(At))))
    if at != "test" and not drop:
        raise BenchError(f"at={at} says where a modality is dropped, but none is. Add --drop-modality or leave --at out.")
    rows = QUICK_ROWS if quick else None
    side: Any = at
    return [
        Protocol(count, repeats, seed, quick, rows, split, _cut(cut), size, tuple(sorted(set(drop))), side)
        for size in _sizes(train_size)
    ]


def _cut(cut: str | None) -> str:
    """In one spelling: .70 and 0.7 are the same protocol."""
    if cut is None:
        return Protocol.cut
    try:
        return f"{float(cut):.12g}"
    except ValueError:
        return cut.strip()


def _sizes(given: "int | str | Sequence[int | str] | None") -> list[int | None]:
    """Each once, as given; None for all."""
    if given is None:
        return [None]
    parts = (
        [part.strip() for part in given.split(",")] if isinstance(given, str) else [given] if isinstance(given, int) else given
    )
    sizes = [_size(part) for part in parts if part != ""]
    if not sizes:
        raise BenchError("no training size given. It is a number of patients, or all.")
    return list(dict.fromkeys(sizes))


def _size(part: int | str) -> int | None:
    if part == "all":
        return None
    text = str(part)
    if not text.isdecimal() or int(text) < FEWEST:
        raise BenchError(f"train size must be {FEWEST} patients or more, or all, but is '{part}'")
    return int(text)
