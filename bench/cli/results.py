"""`bench results`: the stored cells themselves."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from typer import Argument, Context, Option

from bench.cli import completing
from bench.cli.options import StoredDatasets
from bench.cli.verbs import App

app = App(invoke_without_command=True)
Results: TypeAlias = Annotated[Path, Option(help="The folder of stored results.")]
AsJson: TypeAlias = Annotated[bool, Option("--json", help="As JSON, for programs.")]


@app.callback()
def results(context: Context) -> None:
    """List, verify, clean, export and publish stored results.

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
def verify(
    published: Annotated[
        str | None, Argument(metavar="[PUBLISHED]", help="Published results instead: 'published', or a folder or file of such.")
    ] = None,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> int:
    """Read every file and say what is damaged, a line each with what it costs. Exit status 1 if anything is.

    \b
    bench results verify
    bench results verify published
    bench results verify --json
    """
    from bench import asjson, store

    if published is not None:
        return _verified(published, as_json)
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


def _verified(where: str, as_json: bool) -> int:
    """Digests, splits, and scores again."""
    from bench import asjson, published

    found = published.verify(where)
    if as_json:
        print(asjson.text(found))
        return 1 if found.findings else 0
    for line in (*found.findings, *(f"note: {text}" for text in found.notes)):
        print(line)
    what = f"{len(found.findings):,} findings" if found.findings else "all as made"
    print(f"{found.files:,} files, {found.bytes:,} bytes, {found.scores:,} scores computed again: {what}.")
    return 1 if found.findings else 0


@app.command()
def submit(
    dataset: Annotated[str, Option("--dataset", "--data", help="The dataset as `bench run` was given it.")],
    methods: Annotated[str, Option(help="Methods, separated by commas; all: those of the last run.")],
    results: Results = Path("results"),
    out: Annotated[Path, Option(help="The folder to write the file to.")] = Path(),
    against: Annotated[
        str, Option(help="What is published already: its protocol, cohort and splits are asked for.")
    ] = "published",
    accept_code: Annotated[bool, Option("--accept-code", help="Take cells of code or libraries that changed since.")] = False,
    tuned: Annotated[
        bool, Option("--tuned", help="Those of the run with --tune, each beside its defaults as METHOD@tune20.")
    ] = False,
) -> None:
    """Write the one file that adds methods to the published results. Nothing is trained.

    \b
    bench results submit --dataset support2 --methods my_net --out results/published
    bench results submit --dataset support2 --methods my_net --tuned --out results/published
    """
    from bench import publish

    path = publish.submit(dataset, methods, results=results, out=out, against=against, accept_code=accept_code, tuned=tuned)
    print(f"{path.stat().st_size:,} bytes written to {path}")


@app.command()
def leaderboard(
    published: Annotated[
        str,
        Argument(
            metavar="[PUBLISHED]", help="A folder of published results. [default: that of the repository]", show_default=False
        ),
    ] = "published",
    out: Annotated[Path | None, Option(help="The Markdown file to write. [default: print it]")] = None,
    resamples: Annotated[int | None, Option(help="Of the bootstrap. [default: 2000]")] = None,
) -> None:
    """Write the leaderboards of the published results, and what they say about each paper's claim.

    \b
    bench results leaderboard --out bench/docs/leaderboard.md
    """
    from bench import publish

    text = publish.leaderboard(published, out, resamples=resamples)
    print(text if out is None else f"Written to {out}")


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
    purpose: Annotated[
        Literal["bencheval"] | None, Option("--for", help="Errors per cell as TabArena's bencheval takes them, instead.")
    ] = None,
    metric: Annotated[str, Option(help="With --for: auroc, ap, brier or log_loss.")] = "auroc",
    quick: Annotated[bool, Option("--quick", help="Of quick looks.")] = False,
    force: Annotated[bool, Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write all predictions, or with --scores each cell's scores, into one long table for use elsewhere.

    \b
    bench results export predictions.parquet
    bench results export scores.csv --scores --dataset support2
    bench results export errors.csv --for bencheval
    """
    from bench import stored

    chosen = None if purpose is None else metric
    made = stored.export(file, results=results, dataset=dataset, scores=scores, bencheval=chosen, quick=quick, force=force)
    print(f"{made.rows:,} rows written to {file}")
    if made.missing:
        print(f"Missing, though other methods have them: {made.missing:,} rows; bencheval fills them in with `fillna_data`")
    if made.without:
        print(f"Without predictions, since they failed or were declined: {made.without:,} cells")
    if made.damaged:
        print(f"Left out, since they are damaged: {made.damaged:,} cells. `bench results verify` says which.")


@app.command()
def track(
    backend: Annotated[Literal["mlflow", "wandb"], Argument(help="MLflow, or Weights & Biases.")],
    dataset: StoredDatasets = "surgical",
    methods: Annotated[
        str | None,
        Option(help="Methods, separated by commas. [default: those of the last run]", autocompletion=completing.methods),
    ] = None,
    uri: Annotated[str | None, Option(help="Of MLflow, as sqlite:///mlflow.db. [default: MLflow's own]")] = None,
    project: Annotated[str, Option(help="The experiment or project.")] = "multitask-bench",
    offline: Annotated[bool, Option("--offline", help="Weights & Biases on this machine alone, for `wandb sync`.")] = False,
    results: Results = Path("results"),
    reports: Annotated[str, Option(help="The folder the report is written to, whose table and page are sent.")] = "reports",
    protocol: Annotated[str | None, Option(help="Of several stored ones, as cv5-n500. [default: the newest]")] = None,
    quick: Annotated[bool, Option("--quick", help="Of the last quick look.")] = False,
) -> None:
    """Send scores, settings, versions, table and page to a tracker: a run for each method on each dataset. No prediction, no patient.

    \b
    bench results track mlflow --dataset support2 --uri sqlite:///mlflow.db
    bench results track wandb --dataset support2,nafld --offline
    """
    from bench import tracking

    sent = tracking.track(
        backend, dataset, methods, uri=uri, project=project, offline=offline, results=results, reports=reports, protocol=protocol, quick=quick
    )  # fmt: skip
    print(f"{sent.written} runs written to {sent.where}." + (f" {sent.there} were there already." if sent.there else ""))
