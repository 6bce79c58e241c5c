"""`bench results`: the stored cells themselves."""

from pathlib import Path
from typing import Annotated, TypeAlias

from typer import Argument, Context, Option

from bench.cli import completing
from bench.cli.verbs import App

app = App(invoke_without_command=True)
Results: TypeAlias = Annotated[Path, Option(help="The folder of stored results.")]
AsJson: TypeAlias = Annotated[bool, Option("--json", help="As JSON, for programs.")]


@app.callback()
def results(context: Context) -> None:
    """List, verify, clean and export stored results.

    \b
    bench results list
    bench results verify
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("list")
def listed(
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """List what is stored, per dataset, method and protocol: cells by status, bytes, the last time, and whether the last run used them.

    \b
    bench results list
    bench results list --json
    """
    from rich.console import Console

    from bench import asjson, store
    from bench.report import inventory

    rows = inventory.rows(store.contents(results))
    if as_json:
        print(asjson.text(rows))
    else:
        console = Console()
        (console if console.is_terminal else Console(width=120)).print(inventory.Screen(rows))


@app.command()
def verify(results: Results = Path("results"), as_json: AsJson = False) -> int:
    """Read every file and say what is damaged, a line each with what it costs. Exit status 1 if anything is.

    \b
    bench results verify
    bench results verify --json
    """
    from bench import asjson, store

    found = store.verify(results)
    if as_json:
        print(
            asjson.text({"files": found.files, "cells": found.cells, "damaged": len(found.damaged), "findings": found.findings})
        )
        return 1 if found.damaged else 0
    for one in found.findings:
        print(f"{one.path} {one.text}")
    what = f"{len(found.damaged):,} damaged" if found.damaged else "all as written" if found.files else "nothing is stored here"
    print(f"{found.files:,} files of {found.cells:,} cells: {what}.")
    return 1 if found.damaged else 0


@app.command()
def clean(
    results: Results = Path("results"),
    only: Annotated[
        str | None, Option(help="Of old, failed, quick, leftover and damaged, separated by commas. [default: all]")
    ] = None,
    yes: Annotated[bool, Option("--yes", help="Remove it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what nobody needs, and with --yes remove it. Files that are not of bench stay; so does everything while a run writes.

    \b
    bench results clean
    bench results clean --only old,failed --yes
    """
    from bench import asjson, store

    kinds = list(store.KINDS) if only is None else [name.strip() for name in only.split(",")]
    found = (store.clean if yes else store.removable)(results, kinds)
    if as_json:
        print(asjson.text(found.json(removed=yes)))
        return
    for kind, files in found.files.items():
        print(f"{kind}: {len(files):,} files, {store.size(sum(file.size for file in files))} ({store.KINDS[kind]})")
    print(
        f"{found.count:,} files, {store.size(found.bytes)}{' removed.' if yes else '. Nothing is removed: --yes removes them.'}"
    )


@app.command()
def export(
    file: Annotated[Path, Argument(help="The table to write, .parquet or .csv.")],
    results: Results = Path("results"),
    dataset: Annotated[
        str | None,
        Option("--dataset", "--data", help="Of this dataset alone. [default: of each]", autocompletion=completing.datasets),
    ] = None,
    scores: Annotated[bool, Option("--scores", help="Scores per cell instead of predictions.")] = False,
    quick: Annotated[bool, Option("--quick", help="Of quick looks.")] = False,
    force: Annotated[bool, Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write all predictions, or with --scores each cell's scores, into one long table for use elsewhere.

    \b
    bench results export predictions.parquet
    bench results export scores.csv --scores --dataset support2
    """
    from bench import stored

    made = stored.export(file, results=results, dataset=dataset, scores=scores, quick=quick, force=force)
    print(f"{made.rows:,} rows written to {file}")
    if made.without:
        print(f"Without predictions, since they failed or were declined: {made.without:,} cells")
    if made.damaged:
        print(f"Left out, since they are damaged: {made.damaged:,} cells. `bench results verify` says which.")
