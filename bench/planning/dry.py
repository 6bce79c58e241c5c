"""`bench run --dry-run`: all that a run does before it trains, and nothing that it writes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import claims, execute, pairs, store, suites
from bench.execute import Asked
from bench.execute.shards import Shard
from bench.harness import Plan
from bench.jobs import forget
from bench.planning import contents, profiles
from bench.planning.asking import Taken, of_claims, plans_of, wanted
from bench.planning.forecast import Forecast, forecast
from bench.plans import Locked


def dry_run(
    *,
    suite: str | None = None,
    plan: str | Path | None = None,
    given: dict[str, Any] | None = None,
    results: str | Path = "results",
    profile: str | None = None,
    quick: bool = False,
    accept_code: bool = False,
    retry_failed: bool = False,
    diagnose: bool = False,
    asked: Asked | None = None,
    **words: Any,
) -> Forecast:
    """What `bench.run` of the same words would train, and what that may cost. The data are read, and whatever is wrong with them or with the
    words is a BenchError, as in a run; the results folder is neither written to nor made.

    suite, plan: as of `bench.api.run_suite` and `run_plan`, with its `given`. asked: how cells would be run. words: those of `bench.run`.
    """
    how, root = execute.chosen(asked or {}, words.get("precision", "float32")), Path(results)
    taken = Taken(accept_code, retry_failed, diagnose, how.limits)
    forget()
    with store.looking():
        if plan is not None:
            locked, told = contents.options(Path(plan), given or {})
            made = _of_words(told, root, taken, locked)
        elif suite is not None:
            made = _of_suite(suite, profile, quick, words.get("seed"), root, taken)
        else:
            made = _of_words(_profiled(words, profile, quick), root, taken)
        shard = (asked or {}).get("shard")
        workers = 1 if how.cluster else how.workers  # who works there is not known before
        return forecast(made if shard is None else Shard.parse(shard).part(made), root, workers)


def _profiled(words: Mapping[str, Any], profile: str | None, quick: bool) -> dict[str, Any]:
    chosen = profiles.chosen(profile, quick)
    return profiles.applied(chosen, {"repeats": None, **words, "quick": chosen.quick})


def _of_words(words: Mapping[str, Any], root: Path, taken: Taken, plan: Locked | None = None) -> list[Plan]:
    asked = wanted({name: value for name, value in words.items() if name != "reference"}, words.get("reference"))
    if plan is None:
        return plans_of(asked, root, taken)
    contents.kept(asked, plan)
    made = plans_of(asked, root, taken)
    return [replace(made[0], notices=(*made[0].notices, *contents.departing(made, plan))), *made[1:]]


def _of_suite(suite: str, profile: str | None, quick: bool, seed: int | None, root: Path, taken: Taken) -> list[Plan]:
    name, content = suites.load(suite)
    if isinstance(content, suites.Comparison):
        words = profiles.of_comparison(content, profile, quick, seed)
        return _of_words(_profiled(words, words.pop("profile"), words.pop("quick")), root, taken)
    quick = profiles.of_others(name, profile, quick)
    if isinstance(content, suites.Claims):
        return of_claims(claims.cases(content, quick=quick, seed=seed), root, taken)
    found = pairs.places(
        content, root, quick=quick, seed=seed, accept_code=taken.accept_code, retry_failed=taken.retry_failed, limits=taken.limits
    )
    return [made for place in found for made in place.plans.values()]
