"""index.html: everything a run says of a dataset, in one file that needs nothing else.

The page asks for no other file and no network, by its content security policy too: only the one script whose hash it states may
run. It is whole without that script, which adds sorting, search and pickers. Every string of data or users is escaped by jinja2;
figures are drawings of `bench.report.figures`, which escape their own.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from bench.report import notes
from bench.report.evidence import Frames
from bench.report.page import sections
from bench.report.page.compare import name_of
from bench.report.words import clean
from bench.stats import MEAN, METRICS


def render(frames: Frames, figures: Mapping[str, str]) -> str:
    """The text of index.html. A table of `frames` that is empty has no section; no frame of predictions needs to be there.

    figures: "<kind>/<outcome>", or "<kind>" where it is of all outcomes -> a drawing as inline SVG; put in as it is.
    """
    script, made = _file("page.js"), sections.build(frames, figures)
    return _template().render(
        title=clean(frames.sheet.title),
        sheet=frames.sheet,
        facts=_facts(frames, made),
        sections=made,
        pickers=_pickers(frames),
        style=Markup(_file("page.css")),
        script=Markup(script),
        hash=_digest(script),
    )


def _facts(frames: Frames, made: Iterable[sections.Section]) -> tuple[tuple[str, str, str], ...]:
    """What was compared, in numbers: name, value, and the section it leads to, if any."""
    results = frames.results
    found = sum(
        line.cells[0].css == "alarm"
        for section in made
        if section.id == "alarms"
        for _, lines in section.grids[0].groups
        for line in lines
    )
    said = len(notes.notices(results))
    return (
        ("patients", f"{results.cohort['patient'].nunique():,}", ""),
        ("outcomes", f"{len(results.tasks)}", ""),
        ("methods", f"{len(results.methods)}", ""),
        ("reference", clean(results.reference), ""),
        ("resamples", f"{frames.scoring.resamples:,}", ""),
        ("alarms", f"{found} kinds" if found != 1 else "1 kind", "alarms") if found else ("alarms", "none", "alarms"),
        *([("notices", f"{said}", "notices")] if said else []),
    )


def _pickers(frames: Frames) -> tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]:
    """Attribute, label, and (value, text) of the choices beside "all"."""
    tasks = [MEAN, *(task.name for task in frames.results.tasks)]
    families = [family for family in notes.families(frames.results) if family]
    metrics = [metric for metric in METRICS if metric in set(frames.scoring.scores["metric"])]

    def plain(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
        return tuple((name, clean(name)) for name in names)

    return (
        ("task", "Outcome", plain(tasks)),
        ("metric", "Metric", tuple((metric, name_of(metric)) for metric in metrics)),
        ("family", "Family", plain(families)),
    )


@cache
def _file(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text("utf-8")


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["breakable"] = _breakable
    return environment.from_string(_file("page.html"))


def _breakable(name: str) -> Markup:
    """A name that may be broken after an underscore, where a narrow screen must break it."""
    return Markup("_<wbr>").join(name.split("_"))


def _digest(script: str) -> str:
    """The hash by which the policy of the page knows its script: of the very characters between the tags."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
