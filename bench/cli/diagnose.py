"""`bench diagnose`: what the fitted networks show of their parts, from stored results alone."""

from typing import Annotated

from typer import Option

from bench.cli import completing
from bench.cli.options import StoredDatasets


def diagnose(
    dataset: StoredDatasets = "surgical",
    methods: Annotated[
        str | None,
        Option(help="Methods to show, separated by commas. [default: those of the last run]", autocompletion=completing.methods),
    ] = None,
    results: Annotated[str, Option(help="The folder of stored results.")] = "results",
    reports: Annotated[str, Option(help="The folder diagnostics.csv is written to.")] = "reports",
    protocol: Annotated[str | None, Option(help="Of several stored ones, as cv5-n500. [default: the newest]")] = None,
    quick: Annotated[bool, Option("--quick", help="Of the last quick look.")] = False,
    full: Annotated[bool, Option("--full", help="Every outcome and pair of outcomes, not their means alone.")] = False,
    as_json: Annotated[bool, Option("--json", help="Every outcome and pair of outcomes, as JSON, for programs.")] = False,
) -> None:
    """Show what `bench run --diagnose` found in the fitted networks: leakage, geometry, gradients, gates.

    \b
    bench run --methods orthtd,orthtd:weight=0 --diagnose
    bench diagnose --methods orthtd,orthtd:weight=0
    """
    from rich.console import Console

    from bench import asjson, stored
    from bench.report.terminal import Screen

    found = stored.diagnostics(dataset, methods, results=results, reports=reports, quick=quick, protocol=protocol, full=full)
    if as_json:
        print(asjson.text([one.json() for one in found.values()]))
        return
    for folder, one in found.items():
        Console().print(Screen(one.sheet))
        print(f"Written to {folder / 'diagnostics.csv'}")
