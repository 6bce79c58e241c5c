"""`bench compare`: two methods, one paragraph and a small table, from stored results alone."""

from typing import Annotated

from typer import Argument, Option

from bench.cli import completing


def compare(
    a: Annotated[str, Argument(help="A method.", autocompletion=completing.methods)],
    b: Annotated[str, Argument(help="The method it is compared with.", autocompletion=completing.methods)],
    dataset: Annotated[
        str | None,
        Option(
            "--dataset",
            "--data",
            help="The dataset as `bench run` was given it. [default: surgical]",
            autocompletion=completing.datasets,
        ),
    ] = None,
    metric: Annotated[str | None, Option(help="auroc, ap, brier or log_loss. [default: auroc]")] = None,
    margin: Annotated[
        float | None, Option(help="A difference that would not matter, as 0.01: for non-inferiority and equivalence.")
    ] = None,
    resamples: Annotated[int | None, Option(help="Of the bootstrap. [default: 2000; 200 with --quick]")] = None,
    results: Annotated[str, Option(help="The folder of stored results.")] = "results",
    protocol: Annotated[str | None, Option(help="Of several stored ones, as cv5-n500. [default: the newest]")] = None,
    against: Annotated[str | None, Option(help="Show published results too: 'published', or a folder or file of such.")] = None,
    quick: Annotated[bool, Option("--quick", help="Of the last quick look.")] = False,
    plan: Annotated[
        str | None, Option(help="Take dataset, metric, margin and resamples from this plan, where they are not given.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Say whether method A is better than method B, and what can be believed of it: no training.

    \b
    bench compare orthtd single_task --dataset support2
    bench compare mmoe hard_sharing --metric ap --margin 0.01
    bench compare mmoe hard_sharing --plan plan.toml
    """
    from rich.console import Console

    from bench import asjson, stored

    found = stored.compare(
        a,
        b,
        dataset,
        metric=metric,
        margin=margin,
        resamples=resamples,
        results=results,
        quick=quick,
        protocol=protocol,
        against=against,
        plan=plan,
    )
    if as_json:
        print(asjson.text(found.json()))
    else:
        Console().print(found.terminal())
