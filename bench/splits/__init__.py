"""Which rows are learned from, validated on and tested on: the same for every method; and the receipt of it.

Folds at random are repeated, grouped and multilabel-stratified (`allocation`); splits by site, time or a column come from the
cohort (`kinds`). Validation rows are taken from the training side, stratified in the same way, whatever the split.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core import JSON, BenchError, Cohort, Rows, Split
from bench.registry import unknown
from bench.splits import kinds
from bench.splits.allocation import allocate, counted, nested

VALID_SHARE = 0.15  # of the training groups
RANDOM = "random"


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """parts: repeat by repeat, fold by fold. kind: random, site, time or a column. names: of the folds, "" where random."""

    parts: tuple[Split, ...]
    kind: str
    names: tuple[str, ...]
    notices: tuple[str, ...]


def of(
    cohort: Cohort,
    kind: str,
    *,
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    cut: str = "0.7",
    patients: int | None = None,
    within: Rows | None = None,
    only: int | None = None,
) -> Splits:
    """The splits of a cohort, of the rows `within` (all if None). folds: of a random split; the others say so themselves.

    A repeat of a split that the cohort gives has the same test rows, other validation rows. cut: of time, see `kinds.by_time`.
    patients: learn from so many at most, see `thinned`. only: this repeat alone. BenchError for a kind that there is not.
    """
    wanted = range(repeats) if only is None else [only]
    rows = np.arange(len(cohort)) if within is None else within
    if kind == RANDOM:
        parts, names, notices = make(cohort, folds, wanted, seed, within), ("",) * folds, list[str]()
    else:
        found, notices = _given(cohort, rows, kind, cut)
        parts = [split for repeat in wanted for split in _held_out(cohort, found, repeat, seed)]
        names = tuple(fold.name for fold in found)
    if patients is not None:
        parts = [thinned(cohort, split, patients, seed) for split in parts]
    return Splits(tuple(parts), kind, names, tuple(notices))


def make(cohort: Cohort, folds: int, repeats: int | Iterable[int], seed: int, within: Rows | None = None) -> list[Split]:
    """`folds` x `repeats` (their number, or which) random splits of the rows `within` (all if None).

    A repeat depends on (seed, repeat) alone, so more repeats can be added to a run.
    """
    rows = np.arange(len(cohort)) if within is None else within
    codes, owner = np.unique(cohort.groups[rows], return_inverse=True)
    if not 2 <= folds <= len(codes):
        raise BenchError(f"folds must lie between 2 and the number of groups ({len(codes)}), but got {folds}")
    counts = counted(cohort.labels[rows], owner, len(codes))
    out: list[Split] = []
    for repeat in range(repeats) if isinstance(repeats, int) else repeats:
        rng = _rng(seed, repeat)
        fold = allocate(counts, np.full(folds, 1 / folds), rng)
        for f in range(folds):
            train, valid = _validated(counts, owner, np.flatnonzero(fold != f), rng)
            out.append(Split(repeat, f, rows[train], rows[valid], rows[fold[owner] == f]))
    return out


def _given(cohort: Cohort, rows: Rows, kind: str, cut: str) -> tuple[list[kinds.Fold], list[str]]:
    if kind == kinds.SITE:
        return kinds.by_site(cohort, rows)
    if kind == kinds.TIME:
        return kinds.by_time(cohort, rows, cut)
    columns = kinds.columns(cohort)
    if kind not in columns:
        names = "A column of a cohort file is known by `split.by` or `subgroups`."
        raise BenchError(f"{unknown('split', kind, [RANDOM, kinds.SITE, kinds.TIME, *columns])} {names}")
    return kinds.by_column(cohort, rows, kind)


def _held_out(cohort: Cohort, found: list[kinds.Fold], repeat: int, seed: int) -> list[Split]:
    """The splits of one repeat, with validation rows where the folds give none."""
    rng = _rng(seed, repeat)
    out: list[Split] = []
    for f, fold in enumerate(found):
        train, valid = fold.learn, fold.valid
        if valid is None:
            codes, owner = np.unique(cohort.groups[fold.learn], return_inverse=True)
            if len(codes) < 2:
                raise BenchError(f"a fold needs 2 patients or more to learn from, but {fold.name} leaves {len(codes)}")
            counts = counted(cohort.labels[fold.learn], owner, len(codes))
            train, valid = (fold.learn[side] for side in _validated(counts, owner, np.arange(len(codes)), rng))
        out.append(Split(repeat, f, train, valid, fold.test))
    return out


def _validated(
    counts: NDArray[np.int64], owner: Rows, inside: Rows, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks of the training and the validation rows among the groups `inside`."""
    part = allocate(counts[inside], np.array([1 - VALID_SHARE, VALID_SHARE]), rng)
    return np.isin(owner, inside[part == 0]), np.isin(owner, inside[part == 1])


def thinned(cohort: Cohort, split: Split, patients: int, seed: int) -> Split:
    """The split with at most so many patients to learn from, fitted and validated ones together, and the same test rows.

    Whole groups, stratified by side and outcomes, and nested: what 200 patients hold is part of what 500 hold, and nobody
    changes sides. Unchanged where there are no more patients than that. BenchError where none would be left to validate on.
    """
    rows = np.concatenate([split.train, split.valid])
    codes, owner = np.unique(cohort.groups[rows], return_inverse=True)
    size = pd.Series(cohort.patients[rows]).groupby(owner).nunique().to_numpy()
    if size.sum() <= patients:
        return split
    counts = counted(cohort.labels[rows], owner, len(codes))
    validated = np.isin(codes, cohort.groups[split.valid])
    rarest = np.argsort(counts[:, : len(cohort.tasks)].sum(0), kind="stable")  # the events of the rarest outcome first
    keys = np.column_stack([validated, counts[:, rarest], counts[:, len(cohort.tasks) :]]).astype(np.int64)
    order = nested(keys, _rng(seed, split.repeat, split.fold, 1))
    kept = codes[order[: np.searchsorted(np.cumsum(size[order]), patients, side="right")]]
    train, valid = (part[np.isin(cohort.groups[part], kept)] for part in (split.train, split.valid))
    if not len(train) or not len(valid):
        raise BenchError(f"{patients} patients are too few to learn from and to validate on. Raise --train-size.")
    return Split(split.repeat, split.fold, train, valid, split.test)


def _rng(*seeds: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seeds))


def subsample(cohort: Cohort, n: int, seed: int) -> Rows:
    """About n rows, whole groups, stratified as the folds are. All rows if there are no more than n."""
    if len(cohort) <= n:
        return np.arange(len(cohort))
    codes, owner = np.unique(cohort.groups, return_inverse=True)
    share = n / len(cohort)
    rng = np.random.default_rng(np.random.SeedSequence([seed]))
    part = allocate(counted(cohort.labels, owner, len(codes)), np.array([1 - share, share]), rng)
    return np.flatnonzero(part[owner] == 1)


def receipt(cohort: Cohort, splits: Sequence[Split], kind: str = RANDOM, names: Sequence[str] = ()) -> dict[str, JSON]:
    """What a reader needs to trust the splits: their hash, proof that no group crosses, and rows (n), patients, events, prevalence by fold.

    Of a split that is not random its kind and the folds' names too: which site, which dates.
    """
    sha = hashlib.sha256()
    crossing = 0
    table: list[dict[str, JSON]] = []
    for split in splits:
        sides = {"train": split.train, "valid": split.valid, "test": split.test}
        held = [set(cohort.groups[rows].tolist()) for rows in sides.values()]
        crossing += len(held[0] & held[1]) + len(held[0] & held[2]) + len(held[1] & held[2])
        sha.update(digest(split).encode())
        for side, rows in sides.items():
            y = cohort.labels[rows]
            known, events = (~np.isnan(y)).sum(0), np.nansum(y, 0)
            size: dict[str, JSON] = {"n": len(rows), "patients": len(np.unique(cohort.patients[rows]))}
            for task, k, e in zip(cohort.task_names, known.tolist(), events.tolist(), strict=True):
                row = {"repeat": split.repeat, "fold": split.fold, "side": side, **size, "task": task}
                table.append({**row, "known": int(k), "events": int(e), "prevalence": e / k if k else None})
    told: dict[str, JSON] = {} if kind == RANDOM else {"kind": kind, "names": list(names)}
    return {"hash": sha.hexdigest(), "groups_on_two_sides": crossing, "folds": table, **told}


def digest(split: Split) -> str:
    sha = hashlib.sha256(f"{split.repeat}/{split.fold}".encode())
    for rows in (split.train, split.valid, split.test):
        sha.update(f"/{len(rows)}/".encode() + rows.astype(np.int64).tobytes())
    return sha.hexdigest()[:16]
