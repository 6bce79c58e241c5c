"""`bench methods` and `bench datasets`: a line each, or a card of one, read from the files without importing them."""

from typing import TYPE_CHECKING, Annotated

from typer import Argument

if TYPE_CHECKING:
    from bench.registry import Kind


def methods(name: Annotated[str | None, Argument(help="A method, for its card.")] = None) -> None:
    """List the methods: id and what it is. With a name its card: idea, paper, what was published, what is ours, cost, settings."""
    if name is None:
        _print("methods")
    else:
        from bench.cards import card

        print(card(name).text())  # with settings or without


def datasets(name: Annotated[str | None, Argument(help="A dataset, for its card.")] = None) -> None:
    """List the datasets: id, what it is, what it needs. With a name its card: source, licence, citation, outcomes, leaks, dials."""
    if name is None:
        _print("datasets")
    else:
        from bench.cards import dataset

        print(dataset(name.partition(":")[0]).text())  # with dials or without


def _print(kind: "Kind") -> None:
    from bench.registry import about

    lines = about(kind)
    width = max((len(name) for name in lines), default=0)
    for name, text in lines.items():
        first = " ".join(text.partition("\n\n")[0].split())
        print(f"{name:<{width}}  {first}")
