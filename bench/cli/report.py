"""`bench report`: the tables again, from stored results alone."""

from typing import Annotated

from typer import Option


def report(
    dataset: Annotated[str, Option(help="Datasets as `bench run` was given them, separated by commas.")] = "surgical",
    methods: Annotated[str | None, Option(help="Methods to show, separated by commas. [default: those of the last run]")] = None,
    reference: Annotated[
        str | None, Option(help="The method the others are compared with. [default: as in the last run]")
    ] = None,
    results: Annotated[str, Option(help="The folder of stored results.")] = "results",
    reports: Annotated[str, Option(help="The folder tables are written to.")] = "reports",
    quick: Annotated[bool, Option("--quick", help="Of the last quick look.")] = False,
) -> int:
    """Make the tables again from stored results: no training."""
    from bench import api
    from bench.cli import screen

    outcome = api.make_report(dataset, methods, reference=reference, results=results, reports=reports, quick=quick)
    return screen.show(outcome)
