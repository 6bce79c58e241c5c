"""A cohort as one page: what `bench data show` writes. One file that needs nothing else, no script and no network.

Every string of the data is escaped by jinja2 and cleaned of control characters; figures escape their own. No row and no id of a
patient stands in it but in the alarm about rows that stand twice, which names two.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from bench.cohorts.alarm import Alarm
from bench.cohorts.look import Looked
from bench.cohorts.summary import Summary
from bench.core import BenchError, Cohort, Series, Text
from bench.report import figures
from bench.report.cohort import drawings, tables
from bench.report.figures.marks import Page
from bench.report.page.grid import Grid, present
from bench.report.page.sections import WIDEST
from bench.report.words import clean, number
from bench.store import safe


@dataclass(frozen=True)
class Section:
    """A heading with figures, tables, tables behind a line that opens them, and lists of text."""

    id: str
    title: str
    about: str = ""
    figures: tuple[tuple[Markup, float], ...] = ()  # and how wide at most, in rem
    grids: tuple[Grid, ...] = ()
    folded: tuple[Grid, ...] = ()
    items: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return any((self.figures, self.grids, self.folded, self.items))


def write(seen: Looked, out: Path | None = None) -> Path:
    """The page of a cohort as a file, NAME.html in this folder where no other is given; where it is."""
    path = Path(f"{safe(seen.summary.name)}.html") if out is None else out
    text = render(seen)
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise BenchError(f"cannot write {path}: {error.strerror or error}") from None
    return path


def render(seen: Looked) -> str:
    """The page."""
    stop, summary = seen.stop, seen.summary
    made = tuple(section for section in _sections(seen.cohort, summary, stop, seen.passed, seen.notices) if section.holds)
    warnings = (
        [f"{len(stop)} leakage alarm{'s' * (len(stop) != 1)}: a run stops here until each column is left out or let through."]
        if stop
        else []
    )
    return _template().render(
        title=clean(summary.name),
        facts=_facts(seen.cohort, summary, stop),
        sections=made,
        warnings=[clean(text) for text in (seen.note, *warnings) if text],
        style=Markup(resources.files("bench.report.page").joinpath("page.css").read_text("utf-8")),
    )


def _facts(cohort: Cohort, summary: Summary, stop: Sequence[Alarm]) -> tuple[tuple[str, str, str], ...]:
    events = summary.outcomes["events"]
    groups = (("groups", f"{summary.groups:,}", ""),) if summary.groups != summary.patients else ()
    return (
        ("rows", f"{summary.rows:,}", ""), ("patients", f"{summary.patients:,}", ""), *groups,
        ("outcomes", f"{len(summary.outcomes)}", "outcomes"), ("events, fewest and most", f"{number(events.min())} to {number(events.max())}", ""),
        ("modalities", ", ".join(clean(key) for key in cohort.inputs.modalities), "modalities"),
        ("alarms", f"{len(stop)}" if stop else "none", "alarms"),
    )  # fmt: skip


def _sections(
    cohort: Cohort, summary: Summary, stop: Sequence[Alarm], passed: Sequence[Alarm], notices: Sequence[str]
) -> tuple[Section, ...]:
    series, texts = cohort.inputs.of(Series), cohort.inputs.of(Text)
    over_time = [drawings.coverage(one, key, summary.name) for key, one in series.items()]
    return (
        Section("alarms", "Leakage alarms", tables.ALARMS, items=_alarms(stop, passed)),
        Section("outcomes", "Outcomes", "", _drawn([drawings.prevalence(summary)]), folded=present([tables.outcomes(summary), tables.variants(summary)])),
        Section(
            "together", "Outcomes together", "Correlation of labels (phi), each pair over the rows where both are known.",
            _drawn([drawings.together(summary)]), folded=present([tables.phi(summary)]),
        ),
        Section("strongest", "Strongest single features", tables.STRONGEST, grids=present([tables.strongest(summary)])),
        Section(
            "missing", "Missing values", "", _drawn([drawings.missing(summary), drawings.patterns(cohort, summary.name)]),
            folded=present([tables.columns(summary)]),
        ),
        Section(
            "modalities", "Modalities", "", _drawn([*over_time, drawings.lengths(texts, summary.name)]),
            grids=present([tables.modalities(summary)]), folded=present([tables.channels(summary)]),
        ),
        Section("subgroups", "Subgroups", "", _drawn([drawings.subgroups(summary)]), folded=present([tables.subgroups(summary)])),
        Section("notices", "Notices", items=tuple(clean(text) for text in notices)),
    )  # fmt: skip


def _alarms(stop: Sequence[Alarm], passed: Sequence[Alarm]) -> tuple[str, ...]:
    let = [f"Let through by name: {alarm.text}" for alarm in passed]
    return tuple(clean(text) for text in (*(alarm.text for alarm in stop), *let)) or ("None.",)


def _drawn(pages: Iterable[Page | None]) -> tuple[tuple[Markup, float], ...]:
    return tuple((Markup(figures.svg(page)), round(6200 * page.width / WIDEST, 1)) for page in pages if page is not None)


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(resources.files(__name__).joinpath("cohort.html").read_text("utf-8"))
