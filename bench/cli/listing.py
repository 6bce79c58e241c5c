"""`bench methods` and `bench datasets`: a line each, or a card of one, read from the files without importing them."""

import sys
from typing import TYPE_CHECKING, Annotated, TypeAlias

from typer import Argument, Option

from bench.cli import completing

if TYPE_CHECKING:
    from bench.cards import Card
    from bench.registry import Kind

AsJson: TypeAlias = Annotated[bool, Option("--json", help="As JSON, for programs.")]


def methods(
    name: Annotated[str | None, Argument(help="A method, for its card.", autocompletion=completing.methods)] = None,
    as_json: AsJson = False,
) -> int:
    """List the methods: id, where it comes from, what it is. With a name its card: idea, paper, what was published, what is ours, cost, settings.

    \b
    bench methods
    bench methods mmoe
    bench methods mmoe --json
    """
    if name is None:
        return _print("methods", as_json)
    from bench.cards import card

    return _card(card(name), as_json)  # with settings or without


def datasets(
    name: Annotated[str | None, Argument(help="A dataset, for its card.", autocompletion=completing.datasets)] = None,
    as_json: AsJson = False,
) -> int:
    """List the datasets: id, where it comes from, what it is and needs. With a name its card: source, licence, citation, outcomes, leaks, dials.

    \b
    bench datasets
    bench datasets support2
    bench datasets --json
    """
    if name is None:
        return _print("datasets", as_json)
    from bench.cards import dataset

    return _card(dataset(name.partition(":")[0]), as_json)  # with dials or without


def _card(found: "Card", as_json: bool) -> int:
    from bench import asjson

    print(asjson.text(found.json()) if as_json else found.text())
    return 0


def _print(kind: "Kind", as_json: bool) -> int:
    """Exit status 1 where a plug-in of an installed package cannot be used, with a line that says which and why."""
    from bench import asjson, registry

    rows = [
        {"id": name, "origin": registry.origin(kind, name), "summary": " ".join(text.partition("\n\n")[0].split())}
        for name, text in registry.about(kind).items()
    ]
    if as_json:
        print(asjson.text(rows))
    else:
        width, wide = (max((len(row[key]) for row in rows), default=0) for key in ("id", "origin"))
        for row in rows:
            print(f"{row['id']:<{width}}  {row['origin']:<{wide}}  {row['summary']}")
    faults = registry.faults(kind)
    for fault in faults:
        print(f"bench: {fault}", file=sys.stderr)
    return int(bool(faults))
