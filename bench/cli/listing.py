"""`bench methods` and `bench datasets`: a line each, or a card of one, read from the files without importing them."""

import sys
from typing import TYPE_CHECKING, Annotated

from typer import Argument

if TYPE_CHECKING:
    from bench.registry import Kind


def methods(name: Annotated[str | None, Argument(help="A method, for its card.")] = None) -> int:
    """List the methods: id, where it comes from, what it is. With a name its card: idea, paper, what was published, what is ours, cost, settings."""
    if name is None:
        return _print("methods")
    from bench.cards import card

    print(card(name.partition(":")[0]).text())  # with settings or without
    return 0


def datasets(name: Annotated[str | None, Argument(help="A dataset, for its card.")] = None) -> int:
    """List the datasets: id, where it comes from, what it is and needs. With a name its card: source, licence, citation, outcomes, leaks, dials."""
    if name is None:
        return _print("datasets")
    from bench.cards import dataset

    print(dataset(name.partition(":")[0]).text())  # with dials or without
    return 0


def _print(kind: "Kind") -> int:
    """Exit status 1 where a plug-in of an installed package cannot be used, with a line that says which and why."""
    from bench import registry

    lines = registry.about(kind)
    origins = {name: registry.origin(kind, name) for name in lines}
    width, wide = (max(map(len, texts), default=0) for texts in (lines, origins.values()))
    for name, text in lines.items():
        first = " ".join(text.partition("\n\n")[0].split())
        print(f"{name:<{width}}  {origins[name]:<{wide}}  {first}")
    faults = registry.faults(kind)
    for fault in faults:
        print(f"bench: {fault}", file=sys.stderr)
    return int(bool(faults))
