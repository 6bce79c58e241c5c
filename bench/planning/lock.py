"""`bench plan`: a plan is made, and written if it is to be. Nothing is trained, and no results folder is touched."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import plans, store, suites
from bench.core import BenchError
from bench.jobs import forget
from bench.planning import profiles
from bench.planning.asking import Taken, alone, plans_of, wanted
from bench.planning.contents import content
from bench.plans import Locked
from bench.report import Settings


@dataclass(frozen=True)
class Made:
    """text: the plan as TOML, without a hash. notices: what reading the cohorts said. locked: as it stands in its file, if it was written."""

    text: str
    notices: tuple[str, ...]
    locked: Locked | None


def plan(
    lock: str | Path | None = None,
    *,
    suite: str | None = None,
    seed: int | None = None,
    reference: str | None = None,
    primary: tuple[str, ...] = Settings.primary,
    adjust: str = Settings.adjust,
    interval: str = Settings.interval,
    margin: float | None = None,
    resamples: int | None = None,
    results: str | Path = "results",
    profile: str | None = None,
    quick: bool = False,
    **words: Any,
) -> Made:
    """The plan of `bench.run` of the same words, written into the file `lock` if one is named.

    suite: of comparisons, in the place of words; seed, profile and quick may stand beside it. primary, adjust, interval, resamples: see
    `bench.report.Settings`. margin: a difference that would not matter. results: looked at, to say how many of its cells are stored already.
    words: those of `bench.run`. BenchError where the file is there, and for whatever a run refuses.
    """
    if lock is not None and Path(lock).exists():
        raise plans.there(Path(lock))
    words["seed"] = seed
    if suite is not None:
        alone({name: value for name, value in {**words, "seed": None, "reference": reference}.items() if value is not None})
        words = _comparison(suite, profile, quick, seed)
        reference, profile = words.pop("reference"), words.pop("profile")
    chosen = profiles.chosen(profile, quick)
    forget()
    how = Settings(primary=primary, adjust=adjust, interval=interval, resamples=resamples or chosen.resamples)
    with store.looking():
        asked = wanted(profiles.applied(chosen, {"repeats": None, **words, "quick": chosen.quick}), reference)
        found = plans_of(asked, Path(results), Taken())
        told = content(asked, found, how, margin)
    notices = tuple(dict.fromkeys(notice for one in found for notice in one.notices))
    return Made(plans.text(told), notices, None if lock is None else plans.lock(told, Path(lock)))


def _comparison(suite: str, profile: str | None, quick: bool, seed: int | None) -> dict[str, Any]:
    """What `bench.run` is given by a suite. BenchError for one that compares no methods on a table of outcomes."""
    name, content = suites.load(suite)
    if not isinstance(content, suites.Comparison):
        kind = "pairs" if isinstance(content, suites.Pairing) else "claims"
        raise BenchError(
            f"a plan is of a comparison of methods, but '{name}' is a suite of {kind}, whose file says itself how they are judged. "
            f"Without a plan: bench run --suite {suite}"
        )
    return profiles.of_comparison(content, profile, quick, seed)
