"""The command, one file per verb. Nothing heavy is imported before a verb is chosen."""

import gc
import io
import sys
from collections.abc import Sequence

import typer

from bench.cli import check, compare, data, diagnose, doctor, listing, model, new_method, plan, report, results, run
from bench.cli.verbs import App, Root

STOPPED = 130  # what typer makes of Ctrl-C; the run itself, which has more to say, ends by SystemExit

app = App(
    name="bench",
    cls=Root,
    help="""Which multi-task method helps which patient outcome, by how much, and can you believe it?

    \b
    bench run --methods logistic,lightgbm,hard_sharing --quick
    bench report --quick
    bench compare hard_sharing lightgbm --quick
    bench run --help
    """,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(run.run)
app.command()(plan.plan)
app.command()(report.report)
app.command()(compare.compare)
app.command()(diagnose.diagnose)
app.command()(model.fit)
app.command()(model.predict)
app.command()(check.check)
app.command("new-method")(new_method.new_method)
app.command()(listing.methods)
app.command()(listing.datasets)
app.command()(doctor.doctor)
app.add_typer(data.app, name="data")
app.add_typer(results.app, name="results")


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit status: see `bench.cli.verbs.STATUS`."""
    gc.set_threshold(50_000)  # imports make what stays: to look it through again and again took a sixth of a command's start
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show must not end the run
    command = typer.main.get_command(app)
    try:
        words = list(sys.argv[1:] if arguments is None else arguments)
        status = command.main(words or ["--help"], prog_name="bench", standalone_mode=False)
    except Exception as error:
        line = _one_line(error)
        if line is None:
            raise
        sys.exit(line)
    if status == STOPPED:
        print("bench: stopped", file=sys.stderr)
    sys.exit(status if isinstance(status, int) else 0)


def _one_line(error: Exception) -> str | None:
    """What to print for a user's mistake; None for ours."""
    parser = getattr(error, "format_message", None)
    if parser is not None:  # unknown option, missing value
        text = parser().replace("Value error, ", "").rstrip(".")
        return f"bench: {text}{'' if text.endswith('?') else '.'} `bench --help` and `bench run --help` list what there is."
    from bench.core import BenchError

    return f"bench: {error}" if isinstance(error, BenchError) else None
