"""The figures of a cohort: prevalence, what is missing, labels together, series over time, lengths of texts, subgroups."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from bench.cohorts.summary import Summary, wilson
from bench.core import Cohort, Floats, Series, Tabular, Text
from bench.report.figures import maps, panels, rows
from bench.report.figures.furniture import MARGIN, Key, bottom, frame, heading
from bench.report.figures.lettering import LABEL, SMALL, drop, fit, interval, number, width
from bench.report.figures.marks import (
    BLUE,
    DARK,
    FAINT,
    INK,
    LIGHT,
    SKY,
    TWO_COLUMNS,
    VERMILLION,
    Areas,
    Look,
    Mark,
    Page,
    Words,
    box,
)
from bench.report.figures.panels import Area, Panel
from bench.report.figures.rows import Column, Estimate
from bench.report.figures.scales import Axis, Place, log_ticks, ticks

NAIVE, WEIGHTED = Look("circle", BLUE, BLUE), Look("diamond", VERMILLION, "#ffffff")
MOST = 60  # rows of a figure; the table below it has all
PATTERNS, ACROSS = 20, 40  # combinations of missing columns, and columns in them
STEPS = 24  # of time
SHARE = Axis(0, 100, ((0, "0"), (50, "50"), (100, "100")), "%")


def prevalence(summary: Summary) -> Page:
    """Events among the known labels with their interval; weighted too, where some follow-up ended early."""
    own = summary.outcomes
    censored = own["weighted"].notna().any()
    names = own["outcome"].tolist()
    estimates: dict[str, list[Estimate]] = {}
    texts: dict[str, str] = {}
    for r in own.to_dict("records"):
        value, low, high = (100 * r[c] for c in ("prevalence", "low", "high"))
        estimates[r["outcome"]] = [Estimate(value, low, high, NAIVE)]
        texts[r["outcome"]] = f"{r['events']:,} of {r['known']:,}: {_range(value, low, high)}"
        if censored:
            estimates[r["outcome"]].append(Estimate(100 * r["weighted"], np.nan, np.nan, WEIGHTED))
            texts[r["outcome"]] += f"; {number(100 * r['weighted'])}"
    keys = [Key("of known labels, 95 % interval", look=NAIVE)]
    keys += [Key("weighted for follow-up that ended early", look=WEIGHTED)] if censored else []
    said = "events of known: %" + ("; weighted" if censored else "")
    column = Column("prevalence, %", "%", estimates, texts, said, axis=_from_zero(estimates, 5))
    return rows.page(f"{summary.name}: outcomes", {"": names}, [column, _known(summary)], keys)


def _from_zero(estimates: Mapping[str, Sequence[Estimate]], most: int) -> Axis:
    """From 0 to the highest end of an interval, 100 at most."""
    ends = [np.nan_to_num([e.value, e.high]).max() for of in estimates.values() for e in of]
    high = min(max(1.04 * max(ends, default=1.0), 0.1), 100.0)
    return Axis(0, high, ticks(0, high, most), "%")


def _known(summary: Summary) -> Column:
    share = {r["outcome"]: 100 * r["known"] / summary.rows for r in summary.outcomes.to_dict("records")}
    look = Look("square", INK, INK, 0.65)
    estimates = {name: [Estimate(value, np.nan, np.nan, look)] for name, value in share.items()}
    return Column("rows with a known label, %", "%", estimates, {k: number(v) for k, v in share.items()}, axis=SHARE, zero=None)


def _range(value: float, low: float, high: float) -> str:
    return interval(value, low, high).lstrip("+")


def missing(summary: Summary) -> Page | None:
    """A bar a column, most missing first; columns that miss nothing are left out."""
    own = summary.columns[summary.columns["missing"] > 0].sort_values("missing", ascending=False, kind="stable")
    if own.empty:
        return None
    shown = own.head(MOST)
    complete = int((summary.columns["missing"] == 0).sum())
    said = [
        f"{complete:,} more column{'s' * (complete != 1)} without a missing value"
        if complete
        else "Every column misses some values"
    ]
    if len(own) > MOST:
        said = [f"The {MOST} columns that miss most of {len(own):,}; all are in the table below"]
    values = dict(zip(shown["column"], 100 * shown["missing"], strict=True))
    return bars(f"{summary.name}: missing values by column", values, said)


def bars(title: str, values: Mapping[str, float], said: Sequence[str]) -> Page:
    """Percentages as horizontal bars in up to three columns."""
    marks, top = heading(title, (), TWO_COLUMNS, said)
    abreast = 1 if len(values) <= 12 else 2 if len(values) <= 30 else 3
    per = -(-len(values) // abreast)
    each = (TWO_COLUMNS - 2 * MARGIN - 5 * (abreast - 1)) / abreast
    label = min(0.45 * each, max(width(fit(name, 0.45 * each), LABEL) for name in values) + 1)
    places = [Place(MARGIN + k * (each + 5) + label + 1, top, each - label - 11, 3.1 * per) for k in range(abreast)]
    filled, back, names = [], [], list[Mark]()
    for i, (name, value) in enumerate(values.items()):
        place, y = places[i // per], top + 3.1 * (i % per)
        back.append(box(place.x, y + 0.45, place.width, 2.2))
        filled.append(box(place.x, y + 0.45, place.width * value / 100, 2.2))
        names.append(Words(place.x - 1, y + 1.55 + drop(LABEL), fit(name, label - 1), LABEL, "end"))
        names.append(Words(place.right + 1, y + 1.55 + drop(SMALL), f"{number(value)} %", SMALL))
    marks += [Areas(tuple(back), FAINT), Areas(tuple(filled), BLUE), *names]
    return Page(TWO_COLUMNS, top + 3.1 * per + 2, tuple(marks), title)


def patterns(cohort: Cohort, name: str) -> Page | None:
    """Which columns are missing together: a row a combination, the commonest first; filled cells are missing."""
    parts = [m.frame.isna() for m in cohort.inputs.modalities.values() if isinstance(m, Tabular)]
    if not parts:
        return None
    gone = pd.concat(parts, axis=1)
    share = gone.mean()
    chosen = share[share > 0].sort_values(ascending=False, kind="stable").index[:ACROSS]
    if len(chosen) < 2:
        return None
    some = gone[chosen]
    counts = some.value_counts(sort=True).head(PATTERNS)
    return _matrix(
        f"{name}: columns missing together",
        [str(c) for c in chosen],
        np.array([list(k) for k in counts.index], bool),
        counts.to_numpy() / len(some),
    )


def _matrix(title: str, columns: Sequence[str], cells: np.ndarray, share: Floats) -> Page:
    told = f"The {len(cells)} commonest combinations, {number(100 * float(share.sum()))} % of the rows; a filled cell is missing"
    marks, top = heading(title, (), TWO_COLUMNS, [told])
    room = min(26.0, max(width(fit(c, 26), SMALL) for c in columns) + 1.5)
    left, side = MARGIN + 11, min(6.0, (TWO_COLUMNS - 2 * MARGIN - 11) / len(columns))
    y0, tall = top + room, 2.9
    marks += [
        Words(left + (j + 0.5) * side + drop(SMALL), y0 - 0.8, fit(c, room - 1.5, SMALL), SMALL, turned=True)
        for j, c in enumerate(columns)
    ]  # fmt: skip
    at = [(j, i) for i in range(len(cells)) for j in range(len(columns))]
    shapes = {c: box(left + c[0] * side + 0.15, y0 + c[1] * tall + 0.15, side - 0.3, tall - 0.3) for c in at}
    marks.append(Areas(tuple(shapes.values()), FAINT))
    filled = tuple(shapes[j, i] for j, i in at if cells[i, j])
    marks += [Areas(filled, BLUE)] if filled else []
    marks += [
        Words(left - 1, y0 + (i + 0.5) * tall + drop(SMALL), f"{number(100 * float(s))} %", SMALL, "end")
        for i, s in enumerate(share)
    ]
    return Page(TWO_COLUMNS, y0 + tall * len(cells) + 2, tuple(marks), title)


def together(summary: Summary) -> Page | None:
    """Correlation of the labels, each pair over the rows where both are known."""
    names = summary.outcomes["outcome"].tolist()
    if len(names) < 2:
        return None
    pairs = [(names[i], names[j], summary.phi[i, j]) for i, j in combinations(range(len(names)), 2)]
    table = pd.DataFrame(pairs, columns=["task", "other", "phi"])
    return maps.affinity(table, summary.name) if table["phi"].notna().any() else None


def coverage(series: Series, key: str, name: str) -> Page | None:
    """Share of the rows with a measurement of a channel in each step of time before the prediction, darker for more."""
    if not len(series.time):
        return None
    far = float(np.quantile(series.time, 0.99)) or 1.0
    unit, minutes = next(
        (u, m) for u, m in (("years", 525_960), ("days", 1_440), ("hours", 60), ("minutes", 1)) if far >= 2 * m or m == 1
    )
    edges = np.linspace(0, far, STEPS + 1)
    step = np.searchsorted(edges, series.time, "left").clip(1, STEPS) - 1
    owner = np.repeat(np.arange(len(series)), np.diff(series.offsets))
    within = series.time <= far
    code = (owner * len(series.channels) + series.channel) * STEPS + step
    seen = np.unique(code[within]) % (len(series.channels) * STEPS)
    share = np.bincount(seen, minlength=len(series.channels) * STEPS).reshape(-1, STEPS) / len(series)
    most = share.max(axis=1)
    order = np.argsort(-share.sum(axis=1), kind="stable")[:MOST]
    order = order[most[order] > 0]
    axis = Axis(-far / minutes, 0, ticks(-far / minutes, 0, 6), f"{unit} before the prediction")
    names = [f"{series.channels[c]}" + (f", {series.units[c]}" if series.units[c] else "") for c in order]
    return _strips(f"{name}: series '{key}' over time", names, share[order, ::-1], axis)


def _strips(title: str, names: Sequence[str], share: Floats, axis: Axis) -> Page:
    top_share = float(share.max())
    said = [f"Share of the rows with a measurement in each of {STEPS} steps of time; the darkest is {number(100 * top_share)} %"]
    marks, top = heading(title, (), TWO_COLUMNS, said)
    label = min(44.0, max(width(fit(n, 44), LABEL) for n in names) + 1)
    place = Place(MARGIN + label + 1, top, TWO_COLUMNS - 2 * MARGIN - label - 2, 3.4 * len(names))
    side = place.width / share.shape[1]
    shades: dict[str, list[np.ndarray]] = {}
    for (i, j), value in np.ndenumerate(share):
        colour = maps.mixed(BLUE, round(float(0.04 + 0.96 * value / top_share), 2))
        shades.setdefault(colour, []).append(box(place.x + j * side, top + 3.4 * i, side, 3.4))
    marks += [Areas(tuple(paths), colour) for colour, paths in shades.items()]
    marks += [
        Words(place.x - 1, top + 3.4 * (i + 0.5) + drop(LABEL), fit(n, label - 1), LABEL, "end") for i, n in enumerate(names)
    ]
    for i, row in enumerate(share):
        j = int(row.argmax())
        text = number(100 * float(row[j]), 0)
        colour = LIGHT if row[j] / top_share > 0.6 else DARK
        marks.append(Words(place.x + (j + 0.5) * side, top + 3.4 * (i + 0.5) + drop(SMALL), text, SMALL, "middle", colour))
    marks += [*frame(place), *bottom([place], axis)]
    return Page(TWO_COLUMNS, place.bottom + 8, tuple(marks), title)


def lengths(texts: Mapping[str, Text], name: str) -> Page | None:
    """Words a note, of the rows that have one; a log scale."""
    counts = {key: np.array([len(s.split()) for s in text.strings], float) for key, text in texts.items()}
    counts = {key: c[c > 0] for key, c in counts.items() if (c > 0).any()}
    if not counts:
        return None
    high = max(float(c.max()) for c in counts.values()) + 1
    edges = np.unique(np.round(np.geomspace(1, high, 25)))
    edges = edges if len(edges) > 2 else np.array([1.0, 2.0, 3.0])
    shares = {key: np.histogram(c, edges)[0] / len(c) for key, c in counts.items()}
    top = 100 * max(float(s.max()) for s in shares.values()) * 1.05
    shown = [
        Panel(
            key, (f"{len(counts[key]):,} notes", f"median {np.median(counts[key]):,.0f} words"), areas=(_stairs(edges, 100 * s),)
        )
        for key, s in shares.items()
    ]
    x = Axis(1, float(edges[-1]), log_ticks(1, float(edges[-1]), 5), "words", log=True)
    return panels.page(f"{name}: lengths of texts", shown, x, Axis(0, top, ticks(0, top, 4), "% of the notes"), shape=0.6)


def _stairs(edges: Floats, values: Floats) -> Area:
    x = np.concatenate([[edges[0]], np.repeat(edges, 2)[1:-1], [edges[-1]]])
    return Area(x, np.concatenate([[0.0], np.repeat(values, 2), [0.0]]), SKY)


def subgroups(summary: Summary) -> Page | None:
    """Prevalence of each outcome in each level, under the name of its column."""
    own = summary.subgroups
    if own.empty:
        return None
    own = pd.concat([part.nlargest(MOST // 3, "rows").sort_index() for _, part in own.groupby("column", sort=False)])
    own = own.assign(shown=_levels(own))
    names = {str(column): part["shown"].tolist() for column, part in own.groupby("column", sort=False)}
    columns = [_of_outcome(own, task) for task in summary.outcomes["outcome"]]
    return rows.page(f"{summary.name}: prevalence by subgroup, with 95 % intervals", names, columns)


def _levels(own: pd.DataFrame) -> list[str]:
    """Each once: rows of a figure are known by their name."""
    names: list[str] = []
    for r in own.to_dict("records"):
        name = f"{r['level']}, {r['rows']:,} rows"
        names.append(f"{r['column']} {name}" if name in names else name)
    return names


def _of_outcome(own: pd.DataFrame, task: str) -> Column:
    estimates: dict[str, list[Estimate]] = {}
    for r in own.to_dict("records"):
        n, events = int(r[f"n:{task}"]), int(r[f"e:{task}"])
        low, high = wilson(events, n)
        estimates[r["shown"]] = [Estimate(100 * events / n if n else np.nan, 100 * low, 100 * high, NAIVE)]
    return Column(task, "%", estimates, axis=_from_zero(estimates, 3))
