"""What the page holds, in order: sections of figures, tables and tables that are folded away."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from markupsafe import Markup

from bench.report import notes
from bench.report.evidence import Frames
from bench.report.page import clinical, compare, intervals, levels, sharing, trust, variants
from bench.report.page.grid import Grid, present
from bench.report.words import clean
from bench.stats import METRICS, PRIMARY


@dataclass(frozen=True)
class Drawing:
    """A figure. task: the outcome it is of, "" where it is of all. width: at most, in rem; 0 where the drawing does not say."""

    task: str
    title: str
    svg: Markup
    width: float


@dataclass(frozen=True)
class Section:
    """id: of its heading. about: a paragraph. folded: tables behind a line that opens them. notes, items: lists of text."""

    id: str
    title: str
    about: str = ""
    figures: tuple[Drawing, ...] = ()
    grids: tuple[Grid, ...] = ()
    folded: tuple[Grid, ...] = ()
    notes: tuple[str, ...] = ()
    items: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return any((self.figures, self.grids, self.folded, self.notes, self.items))


WIDEST = 17_400  # hundredths of a millimetre
# Section -> its heading, and the kinds of figures that belong to it.
FIGURES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "forest": ("Differences from the reference, and ranks", ("forest", "ranks")),
    "discrimination": ("ROC and precision-recall", ("roc", "pr")),
    "calibration": ("Calibration", ("calibration",)),
    "decision": ("Decision curves", ("decision", "benefit")),
    "risks": ("Risks by outcome", ("risks",)),
    "sharing": ("Sharing between outcomes", ("transfer", "affinity")),
    "cost": ("Cost and budget", ("pareto",)),
    "subgroups": ("Subgroups and sites", ("subgroups",)),
    "patients": ("How many patients", ("worth", "learning")),
    "missing": ("Missing modalities", ("robustness",)),
}


def build(frames: Frames, figures: Mapping[str, str]) -> tuple[Section, ...]:
    """The sections that hold something. A figure of an unknown kind stands in a section of its own."""
    texts, marks = notes.footnotes(frames.results, frames.scoring)
    drawn = {name: _drawings(kinds, figures) for name, (_, kinds) in FIGURES.items()}
    known = set(chain.from_iterable(kinds for _, kinds in FIGURES.values()))
    others = dict.fromkeys(kind for kind in map(_kind, figures) if kind not in known)
    made = (
        *_results(frames, drawn, marks),
        Section("more", "More figures", figures=_drawings(tuple(others), figures)),
        *_trust(frames, texts, marks),
    )
    return tuple(section for section in made if section.holds)


def _results(frames: Frames, drawn: Mapping[str, tuple[Drawing, ...]], marks: compare.Marks) -> tuple[Section, ...]:
    def section(name: str, grids: Sequence[Grid | None] = (), folded: Sequence[Grid | None] = (), about: str = "") -> Section:
        return Section(name, FIGURES[name][0], about, drawn[name], present(grids), present(folded))

    folded = intervals.grids(frames, METRICS)
    losses = compare.grids(frames, [metric for metric in METRICS if metric not in PRIMARY], marks)
    return (
        Section("glance", "At a glance", grids=present([compare.glance(frames)])),
        Section(
            "comparison", "Comparison", _marks(frames), grids=compare.grids(frames, PRIMARY, marks), folded=(*losses, *folded)
        ),
        section("forest", folded=[compare.tests(frames)]),
        section("discrimination"),
        section("calibration", folded=[clinical.calibration(frames)]),
        section("decision", folded=[clinical.benefit(frames), *clinical.thresholds(frames)]),
        section("risks"),
        section(
            "sharing",
            [sharing.affinity(frames)],
            [sharing.transfer(frames), sharing.gains(frames), sharing.unions(frames), sharing.coherence(frames)],
        ),
        section("patients", levels.worth(frames), (*levels.sentences(frames), *levels.learning(frames)), levels.LEARNING),
        section("missing", folded=levels.robustness(frames), about=levels.MISSING),
        section("subgroups", folded=clinical.subgroups(frames), about=clinical.warned(frames)),
        Section(
            "variants",
            variants.TITLE,
            variants.about(frames),
            grids=present([variants.summary(frames)]),
            folded=variants.details(frames),
        ),
        section("cost", [trust.budget(frames)], [sharing.costs(frames)]),
        Section("diagnostics", "Diagnostics", "Means over cells of fitted models.", folded=trust.diagnostics(frames)),
    )


def _marks(frames: Frames) -> str:
    against = clean(frames.results.reference)
    spread = "" if notes.one_fold(frames.results) else "; ±: SD over folds"
    return (
        f"Bold: best; underlined: second; ≈: not distinguishable from the best; ▲ ▼: better, worse than {against} at adjusted "
        f"p < .05{spread}. Point at, focus or tap a number for its interval and test."
    )


def _trust(frames: Frames, texts: Sequence[str], marks: compare.Marks) -> tuple[Section, ...]:
    return (
        Section("notices", "What reading the cohort said", items=tuple(clean(text) for text in notes.notices(frames.results))),
        Section(
            "alarms",
            "Alarms and footnotes",
            grids=(trust.alarms(frames.results, texts, marks),),
            notes=tuple(clean(text) for text in texts),
        ),
        Section("splits", "Splits", grids=present([trust.receipt(frames)])),
        Section("reading", "How to read it", items=tuple(clean(text) for text in notes.remarks(frames.results, frames.scoring))),
        Section(
            "environment",
            "Adapters, settings and environment",
            folded=(*present([trust.facts(frames)]), *trust.environment(frames)),
        ),
    )


def _kind(name: str) -> str:
    return name.partition("/")[0]


def _drawings(kinds: Sequence[str], figures: Mapping[str, str]) -> tuple[Drawing, ...]:
    """Outcome by outcome where figures have one, so that those of one outcome stand together."""
    own = [(name.partition("/")[2], kind, svg) for kind in kinds for name, svg in figures.items() if _kind(name) == kind]
    order = list(dict.fromkeys(task for task, _, _ in own))
    own.sort(key=lambda figure: order.index(figure[0]))
    return tuple(Drawing(task, clean(f"{kind} {task}".strip()), Markup(svg), _width(svg)) for task, kind, svg in own)


def _width(svg: str) -> float:
    """In proportion to its printed width, so that the letters of all figures are of one size; the widest page of print fills 62 rem."""
    found = re.match(r'<svg [^>]*viewBox="0 0 (\d+) ', svg)
    return round(62 * int(found[1]) / WIDEST, 1) if found else 0.0
