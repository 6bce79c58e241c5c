"""Options that several verbs share, word for word, and those that say what is compared."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from typer import Option

from bench.cli import completing

StoredDatasets: TypeAlias = Annotated[
    str,
    Option(
        "--dataset",
        "--data",
        help="Datasets as `bench run` was given them, separated by commas.",
        autocompletion=completing.datasets,
    ),
]


def compared(words: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A verb's words in two: what is compared and how, as far as it was given, with --data as a dataset; and all others."""
    from bench import registry
    from bench.planning import Options

    words = dict(words)
    own = words.pop("data"), words.pop("dataset"), words.pop("allow_leak")
    apart = {"seed", "quick"}  # which a suite leaves open
    names = {*Options.__annotations__, "reference"} - apart
    given = {"dataset": registry.own_data(*own), **{name: words.pop(name) for name in list(words) if name in names}}
    return {name: value for name, value in given.items() if value is not None}, words
