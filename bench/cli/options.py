"""Options that several verbs share, word for word."""

from typing import Annotated, TypeAlias

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
