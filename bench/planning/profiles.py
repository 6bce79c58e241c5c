"""Profiles: how much a run takes and what it may be used to say, in a word. See `bench/docs/plans.md` for what each costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.core import BenchError
from bench.registry import unknown
from bench.suites import Comparison


@dataclass(frozen=True)
class Profile:
    """quick: a first look. options: of the protocol, where the user gives none. resamples: of the report; None: as usual."""

    quick: bool = False
    options: Mapping[str, Any] | None = None
    resamples: int | None = None


# paper: with one repeat the corrected t finds a true difference a third as often as with five (bench/docs/statistics.md, section 6);
# with 10,000 resamples a p of .05 has a Monte Carlo error of .002 instead of .005.
PROFILES = {
    "quick": Profile(quick=True),
    "standard": Profile(),
    "paper": Profile(options={"repeats": 5}, resamples=10_000),
}


def chosen(name: str | None, quick: bool = False) -> Profile:
    """The profile of a name; None: standard, or quick. BenchError for one that there is not, or that is not what `quick` says."""
    if name is None:
        return PROFILES["quick" if quick else "standard"]
    if name not in PROFILES:
        raise BenchError(unknown("profile", name, list(PROFILES)))
    if quick and name != "quick":
        raise BenchError(f"--quick is --profile quick, but the profile is '{name}'. Leave one of the two out.")
    return PROFILES[name]


def applied(profile: Profile, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with the profile's where one is None."""
    given = profile.options or {}
    return {name: given.get(name) if value is None else value for name, value in options.items()}


def of_comparison(suite: Comparison, name: str | None, quick: bool, seed: int | None) -> dict[str, Any]:
    """What `bench.run` is given by a suite. name: a profile instead of the suite's, before what its protocol says of the same; the suite's
    own stands behind that."""
    own = name or (None if quick else suite.profile)
    profile = chosen(own, quick)
    over = set[str]() if name is None else set(profile.options or {})
    given = {key: value for key, value in suite.protocol.options(profile.quick, seed).items() if key not in over}
    return {
        **given,
        "dataset": suite.datasets,
        "methods": suite.methods,
        "reference": suite.reference,
        "quick": quick,
        "profile": own,
    }


def of_others(suite: str, name: str | None, quick: bool) -> bool:
    """Whether a suite of claims or pairs is a quick look. BenchError for what only a comparison has."""
    profile = chosen(name, quick)
    if profile.options:
        raise BenchError(
            f"the profile {name} is of comparisons; '{suite}' says itself what it draws or repeats. Leave --profile out."
        )
    return profile.quick
