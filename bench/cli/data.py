"""`bench data`: the files behind a cohort."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Context, Option

from bench.cli import completing
from bench.cli.verbs import App

if TYPE_CHECKING:
    from bench.cohorts.look import Looked

app = App(invoke_without_command=True)


@app.callback()
def data(context: Context) -> None:
    """Get, describe and check data.

    \b
    bench data init patients.csv labs.parquet
    bench data check cohort.toml
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def fetch(
    name: Annotated[
        str, Argument(help="Datasets, separated by commas; dials as in vitaldb:labs=true.", autocompletion=completing.datasets)
    ],
    data_dir: Annotated[
        str | None, Option(help="A folder with original files: what is there is used. [env: BENCH_DATA_DIR]")
    ] = None,
    accept_terms: Annotated[
        bool, Option("--accept-terms", help="You have read the terms of the source and accept them.")
    ] = False,
) -> None:
    """Download a dataset's files into the cache, or say where they lie already, with their sha256.

    \b
    bench data fetch physionet2012
    bench data fetch vitaldb:labs=true --accept-terms
    """
    from bench import registry, sources

    if data_dir is not None:
        os.environ["BENCH_DATA_DIR"] = data_dir
    for spec in registry.parse("datasets", name):
        dials = [dial for dial, value in registry.settings(spec).items() if value]
        needed = sources.of(registry.loaded(spec))
        for found in (one for source in needed for one in sources.fetch(source, dials, accept_terms=accept_terms)):
            print(f"{spec.id}: {found}")
        if not needed:
            print(f"{spec.id}: nothing to fetch. `bench datasets {spec.id}` says what it needs.")


@app.command()
def init(
    files: Annotated[
        list[Path], Argument(help="The table with a row a prediction, then further tables or long ones of measurements.")
    ],
    out: Annotated[Path, Option(help="The cohort file to write.")] = Path("cohort.toml"),
    force: Annotated[bool, Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a first cohort file for your own tables, each guess with its reason in a comment.

    \b
    bench data init patients.csv labs.parquet
    bench data check cohort.toml
    """
    from bench.cohorts import guess

    open_questions = guess.write(files, out, force)
    print(f"{out} is written: read it and correct its guesses.")
    for text in open_questions:
        print(f"{guess.FILL}: {text}")
    print(f"Then: bench data check {out}")


@app.command()
def check(
    cohort: Annotated[
        str, Argument(help="A cohort file (cohort.toml), or a dataset's name.", autocompletion=completing.datasets)
    ],
    allow_leak: Annotated[
        list[str] | None, Option(help="A column that the leakage alarms may not stop for; may be given again.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="As JSON, for programs.")] = False,
) -> int:
    """Say what a run would see: outcomes, columns, modalities, and every warning and leakage alarm. Exit status 1: it would stop.

    \b
    bench data check cohort.toml
    bench data check surgical:n=1200
    """
    from rich.console import Console

    from bench import asjson
    from bench.report.cohort.terminal import Screen

    seen = _looked(cohort, allow_leak or [])
    if as_json:
        print(asjson.text(seen.json()))
        return 1 if seen.stop else 0
    console = Console()
    if not console.is_terminal:
        console = Console(width=100)
    console.print(Screen(seen.summary, seen.stop, seen.passed, seen.notices))
    if seen.stop:
        print(f"{len(seen.stop)} alarm{'s' * (len(seen.stop) > 1)} would stop a run.")
    else:
        print("No alarm: a run can start. No proof: columns must have been known at the moment of prediction.")
    return 1 if seen.stop else 0


@app.command()
def show(
    cohort: Annotated[
        str, Argument(help="A cohort file (cohort.toml), or a dataset's name.", autocompletion=completing.datasets)
    ],
    out: Annotated[Path | None, Option(help="The page to write. [default: NAME.html]")] = None,
    allow_leak: Annotated[
        list[str] | None, Option(help="A column that the leakage alarms may not stop for; may be given again.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Say what is drawn as JSON too, for programs.")] = False,
) -> None:
    """Draw a cohort into one page: prevalence, what is missing, labels together, series over time, texts, subgroups.

    \b
    bench data show cohort.toml
    bench data show surgical:n=1200 --out surgical.html
    """
    from bench import asjson
    from bench.report.cohort import write

    seen = _looked(cohort, allow_leak or [])
    page = write(seen, out)
    print(asjson.text({"page": page, **seen.json()}) if as_json else page)


@app.command()
def schema() -> None:
    """Print the JSON schema of a cohort file, for editors that complete and check TOML.

    \b
    bench data schema > cohort.schema.json
    """
    from bench.cohorts.schema import published

    print(published(), end="")


def _looked(cohort: str, allow_leak: list[str]) -> "Looked":
    from bench.cohorts import look

    return look.at(cohort, allow_leak)
