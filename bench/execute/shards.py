"""A part of a run's cells, for machines that know nothing of each other: `bench run --shard 3/16` in a job array.

Which cells are whose depends on the command alone, never on what is stored already, so shards are disjoint and together the whole run,
whenever each of them starts.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.core import BenchError
from bench.harness import Plan
from bench.jobs import Job
from bench.store import cell_name


@dataclass(frozen=True)
class Part:
    """What a shard leaves, instead of tables. cells: its own; failed: those that ended in an error.

    everything: cells of all shards together; missing: those of other shards that were not stored when this one ended.
    """

    shard: str
    cells: int
    failed: int
    everything: int
    missing: int


@dataclass(frozen=True)
class Shard:
    """One of `of` shards. number: from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @staticmethod
    def parse(text: str) -> "Shard":
        found = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text)
        number, of = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= of:
            raise BenchError(f"--shard takes K/N, the K-th of N parts, as in 1/16 ... 16/16, but got '{text}'")
        return Shard(number, of)

    def part(self, plans: Sequence[Plan]) -> list[Plan]:
        """The plans with the cells of this shard alone."""
        out: list[Plan] = []
        for plan, mine in zip(plans, dealt(plans, self.of), strict=True):
            keys = {key for key, owner in mine.items() if owner == self.number}
            stored = tuple((job, record) for job, record in plan.stored if _key(job) in keys)
            out.append(replace(plan, stored=stored, missing=tuple(job for job in plan.missing if _key(job) in keys)))
        return out


def dealt(plans: Sequence[Plan], of: int) -> list[dict[tuple[str, int, int], int]]:
    """Plan by plan, a cell (method, repeat, fold) -> the number of its shard, from 1.

    What a method costs is not known beforehand, so every shard gets as many cells of each method as any other, give or take one. Folds
    go whole to a shard, whose methods share a preparation, as long as there are `of` of them left; the cells of the others are dealt one
    by one, method after method, and the next plan goes on dealing where this one ended: shards differ by one cell at most.
    """
    turn = itertools.cycle(range(1, of + 1))
    return [dict(_dealt(plan, of, turn)) for plan in plans]


def _dealt(plan: Plan, of: int, turn: Iterator[int]) -> Iterator[tuple[tuple[str, int, int], int]]:
    cells = {_key(job) for job in (*plan.missing, *(job for job, _ in plan.stored))}
    places = sorted({(repeat, fold) for _, repeat, fold in cells})
    whole = len(places) // of * of
    for u, place in enumerate(places[:whole]):
        yield from (((method, *place), u % of + 1) for method in plan.methods if (method, *place) in cells)
    for method in plan.methods:
        yield from (((method, *place), next(turn)) for place in places[whole:] if (method, *place) in cells)


def left(shard: Shard, plans: Sequence[Plan], ended: Sequence[Mapping[str, Any]]) -> Part:
    """What there is when a shard has ended. plans: of the whole run; ended: the records of the cells that were done."""
    own = shard.part(plans)
    mine = {id(job) for plan in own for job in plan.missing}
    others = [job for plan in plans for job in plan.missing if id(job) not in mine]
    return Part(
        shard=str(shard),
        cells=sum(len(plan.stored) + len(plan.missing) for plan in own),
        failed=sum(record["status"] in ("failed", "lost") for record in (*(r for plan in own for _, r in plan.stored), *ended)),
        everything=sum(len(plan.stored) + len(plan.missing) for plan in plans),
        missing=sum(not (Path(job.folder) / f"{cell_name(job.repeat, job.fold)}.json").exists() for job in others),
    )


def _key(job: Job) -> tuple[str, int, int]:
    return job.method.label, job.repeat, job.fold
