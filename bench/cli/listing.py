"""`bench methods` and `bench datasets`: a line each, or a card of one, read from the files without importing them."""

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
) -> None:
    """List the methods: id and what it is. With a name its card: idea, paper, what was published, what is ours, cost, settings.

    \b
    bench methods
    bench methods mmoe
    bench methods mmoe --json
    """
    if name is None:
        _print("methods", as_json)
    else:
        from bench.cards import card

        _card(card(name), as_json)  # with settings or without


def datasets(
    name: Annotated[str | None, Argument(help="A dataset, for its card.", autocompletion=completing.datasets)] = None,
    as_json: AsJson = False,
) -> None:
    """List the datasets: id, what it is, what it needs. With a name its card: source, licence, citation, outcomes, leaks, dials.

    \b
    bench datasets
    bench datasets support2
    bench datasets --json
    """
    if name is None:
        _print("datasets", as_json)
    else:
        from bench.cards import dataset

        _card(dataset(name.partition(":")[0]), as_json)  # with dials or without


def _card(found: "Card", as_json: bool) -> None:
    from bench import asjson

    print(asjson.text(found.json()) if as_json else found.text())


def _print(kind: "Kind", as_json: bool) -> None:
    from bench import asjson
    from bench.registry import about

    lines = {name: " ".join(text.partition("\n\n")[0].split()) for name, text in about(kind).items()}
    if as_json:
        print(asjson.text([{"id": name, "summary": text} for name, text in lines.items()]))
        return
    width = max((len(name) for name in lines), default=0)
    for name, text in lines.items():
        print(f"{name:<{width}}  {text}")
