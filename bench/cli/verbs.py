"""How a verb shows itself: options under headings, and its examples last. Plain text: rich's panels take three times as long.

The examples of a verb are the lines after the mark for fixed lines (\\b) in its docstring.
"""

from collections.abc import Iterable, Iterator
from textwrap import shorten
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

WIDE = {"max_content_width": 110}  # of a terminal that is as wide
SHORT = 45  # characters of help beside what the Tab key offers
MANY = 10  # options from which on headings help
OTHER = "Other options"
# heading -> the options under it, as the parameters are called; those that are named nowhere come last
HEADINGS = {
    "What": "dataset data allow_leak methods suite outcomes test_data reference against",
    "Protocol": "profile folds repeats seed split cut train_size drop_modality at missing text series precision protocol plan quick",
    "Tuning": "tune tune_minutes",
    "Execution": "dry_run workers shard cluster device group cell_timeout cell_memory retries diagnose",
    "Storage": "results reports data_dir accept_code retry_failed",
    "Report": "style figure task primary adjust interval resamples metric margin full as_json",
}  # fmt: skip
STATUS = (
    ("0", "done"),
    (
        "1",
        "a mistake in the call or the data, in one line; or what was checked is not in order (doctor, check, data check, results verify)",
    ),
    ("2", "some cells failed; all others are stored, and the tables show which"),
    ("129, 130, 143", "stopped: the terminal went away, Ctrl-C, the system; the same command goes on from there"),
)


def split(text: str | None) -> tuple[str, list[str]]:
    """A docstring: what it says, and its examples."""
    said, _, examples = (text or "").partition("\b\n")
    return said.strip(), [line.strip() for line in examples.splitlines() if line.strip()]


class _Shown:
    """What a verb and a group of verbs have in common. `formatter` and `context` are of the library that typer stands on."""

    help: str | None

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(split(self.help)[0])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        examples = split(self.help)[1]
        if examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"{'':{formatter.current_indent}}{line}\n" for line in examples))


class Verb(_Shown, TyperCommand):
    """One verb."""

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        return _brief(super().shell_complete(ctx, incomplete))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        parameters = [(one, one.get_help_record(ctx)) for one in self.get_params(ctx)]
        shown = [(one, record) for one, record in parameters if record is not None]
        arguments = [record for one, record in shown if one.param_type_name == "argument"]
        options = [(str(one.name), record) for one, record in shown if one.param_type_name == "option"]
        for heading, records in (("Arguments", arguments), *_grouped(options)):
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


class Verbs(_Shown, TyperGroup):
    """A group of verbs."""

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        return _brief(super().shell_complete(ctx, incomplete))


class Root(Verbs):
    """`bench` itself, which says what its exit statuses mean."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Exit status"):
            formatter.write_dl(STATUS)
        super().format_epilog(ctx, formatter)


class App(typer.Typer):
    """As typer's own, with verbs that show themselves as above."""

    def __init__(self, *, cls: type[TyperGroup] = Verbs, **options: Any) -> None:
        super().__init__(cls=cls, rich_markup_mode=None, context_settings=WIDE, **options)

    def command(self, name: str | None = None, *, cls: type[TyperCommand] | None = None, **options: Any) -> Any:
        return super().command(name, cls=cls or Verb, **options)


def _brief(found: list[Any]) -> list[Any]:
    """What the Tab key offers: shells take a line each, so that what is said of it must fit any terminal."""
    for one in found:
        one.help = shorten(one.help or "", SHORT, placeholder=" ...")
    return found


def _grouped(options: Iterable[tuple[str, tuple[str, str]]]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """heading, its options; all under one where they are few."""
    left = dict(options)
    if len(left) < MANY:
        yield "Options", list(left.values())
        return
    for heading, names in HEADINGS.items():
        yield heading, [left.pop(name) for name in list(left) if name in names.split()]
    yield OTHER, list(left.values())
