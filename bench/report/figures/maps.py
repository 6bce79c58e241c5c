"""Performance against cost, and outcomes against outcomes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle, pairwise

import numpy as np
import pandas as pd

from bench.report.figures.furniture import MARGIN, Key, bottom, frame, gutter, heading, left
from bench.report.figures.lettering import LABEL, SMALL, drop, fit, number, width
from bench.report.figures.marks import (
    BLUE,
    DARK,
    GREEN,
    GREY,
    INK,
    LIGHT,
    ONE_COLUMN,
    ORANGE,
    PAPER,
    PURPLE,
    SHAPES,
    SKY,
    TWO_COLUMNS,
    VERMILLION,
    Areas,
    Dots,
    Look,
    Mark,
    Page,
    Pen,
    Vector,
    Words,
    box,
    dots,
    lines,
)  # fmt: skip
from bench.report.figures.scales import Axis, Place, log_ticks, span, ticks

METRICS = {"auroc": "AUROC, %", "ap": "average precision, %"}
COSTS = {"seconds": "seconds of training and prediction", "parameters": "parameters", "joules": "joules"}
LEAST = {"seconds": 0.01, "parameters": 1.0, "joules": 0.01}
MAPS = {"phi": "correlation of labels (phi)", "affinity": "affinity in training", "cosine": "cosine of gradients"}
COLOURS = (BLUE, VERMILLION, GREEN, INK, PURPLE, ORANGE, SKY)
REACH = (0.9, 2.0, 3.2, 4.6, 6.0, 7.5, 9.0)  # mm from a dot to its number
FRONT = Pen(INK, 0.6, (2.0, 1.2))


def looks(families: Sequence[str]) -> dict[str, Look]:
    """Shape, colour and fill of each family; the first eight differ in shape alone."""
    pairs = zip(families, cycle(SHAPES), cycle(COLOURS), strict=False)
    return {
        family: Look(shape, colour, colour if i // len(SHAPES) % 2 == 0 else PAPER, 0.85)
        for i, (family, shape, colour) in enumerate(pairs)
    }


def pareto(costs: pd.DataFrame, families: Sequence[str], dataset: str) -> Page:
    """costs: of `costs.costs`. Log scales; a dashed line joins the methods that none beats on both axes.

    A cost that no method knows has no panel; a method without a cost or a score is in the list only. Numbers name the dots.
    """
    order = list(dict.fromkeys([*families, *costs["family"]]))
    table = costs.sort_values("family", key=lambda column: column.map(order.index), kind="stable").reset_index(drop=True)
    style = looks([family for family in order if family in set(table["family"])])
    known = [c for c in COSTS if c in table and table[c].notna().any()]
    rows = [m for m in METRICS if table[m].notna().any()]
    keys = [Key("none is both better and cheaper", FRONT)]
    keys += (
        [Key("fewer cells than others: on no such line", look=_partial(Look()))]
        if not _whole(table)[table[rows].notna().any(axis=1)].all()
        else []
    )
    marks, top = heading(f"{dataset}: performance against cost", keys, TWO_COLUMNS)
    listed, side = _list(table, style, top)
    below = max(m.y for m in listed if isinstance(m, Words)) + 2
    tall = float(np.clip((below - top) / len(rows) - 9, 50, 75))
    axes = {m: _linear(table[m], METRICS[m]) for m in rows}
    x0 = MARGIN + 3.6 + max(map(gutter, axes.values()))
    each = (TWO_COLUMNS - side - x0 - MARGIN - 3.0 * len(known)) / len(known)
    for r, metric in enumerate(rows):
        places = [Place(x0 + c * (each + 3.0), top + 1 + r * (tall + 9), each, tall) for c in range(len(known))]
        for place, cost in zip(places, known, strict=True):
            marks += _scatter(table, place, cost, metric, axes[metric], style)
        marks += left(places[:1], axes[metric])
        marks.append(Words(MARGIN + 1.8, places[0].y + tall / 2, axes[metric].title, LABEL, "middle", turned=True))
    end = max(top + (tall + 9) * len(rows), below)
    return Page(TWO_COLUMNS, end, (*marks, *listed), f"{dataset}: performance against cost")


def _whole(table: pd.DataFrame) -> pd.Series:
    """Which methods have as many finished cells as any: the others cost less for that reason."""
    return table["cells"] == table["cells"].max()


def _partial(look: Look) -> Look:
    return replace(look, colour=GREY, fill=PAPER)


def _linear(values: pd.Series, title: str) -> Axis:
    low, high = span(100 * values, 100 * values, None, reach=2.0)
    return Axis(low, high, ticks(low, high, 6), title)


def _logarithmic(values: pd.Series, cost: str) -> Axis:
    known = np.log10(np.maximum(values.dropna().to_numpy(float), LEAST[cost]))
    low, high = (10.0**end for end in span(known, known, None, reach=3.0))
    return Axis(low, high, log_ticks(low, high), COSTS[cost], log=True)


def _scatter(table: pd.DataFrame, place: Place, cost: str, metric: str, y: Axis, style: Mapping[str, Look]) -> list[Mark]:
    x = _logarithmic(table[cost], cost)
    own = table[table[cost].notna() & table[metric].notna()]
    at = place.at(x, y, np.maximum(own[cost].to_numpy(float), LEAST[cost]), 100 * own[metric].to_numpy(float))
    at = np.clip(at, [place.x, place.y], [place.right, place.bottom])  # a far-off method stands at the edge
    best = _front(own, cost, metric)
    steps = _steps(at[best], place) if len(best) else np.empty((0, 2))
    marks = [*lines([steps], FRONT), *frame(place), *bottom([place], x)]
    at_look: dict[Look, list[tuple[float, float]]] = {}
    for (px, py), family, whole in zip(at.tolist(), own["family"], _whole(table)[own.index], strict=True):
        at_look.setdefault(style[family] if whole else _partial(style[family]), []).append((px, py))
    marks += [mark for look, points in at_look.items() for mark in dots(points, look)]
    names = [str(i + 1) for i in own.index]
    where = beside(at, np.array([width(n, SMALL) for n in names]), place, _sampled(steps))
    far = np.hypot(*(where - at).T) > 2.9
    marks += lines([np.vstack([a, b]) for a, b in zip(at[far], where[far], strict=True)], Pen(GREY, 0.35))
    bold = set(best.tolist())
    return marks + [
        Words(px, py + drop(SMALL), name, SMALL, "middle", bold=i in bold)
        for i, (name, (px, py)) in enumerate(zip(names, where.tolist(), strict=True))
    ]


def _front(own: pd.DataFrame, cost: str, metric: str) -> np.ndarray:
    """Places of those that none beats on both axes, cheapest first; none where the table does not say."""
    flags = f"pareto_{cost}{'_ap' if metric == 'ap' else ''}"
    chosen = np.flatnonzero(own[flags]) if flags in own else np.empty(0, int)
    return chosen[np.argsort(own[cost].to_numpy(float)[chosen], kind="stable")]


def _steps(at: Vector, place: Place) -> Vector:
    """A staircase through the front, on to the right edge."""
    path = [at[0]]
    for previous, following in pairwise(at):
        path += [np.array([following[0], previous[1]]), following]
    return np.vstack([*path, [place.right, at[-1, 1]]])


def _sampled(path: Vector) -> Vector:
    """Points along a polyline, a millimetre apart."""
    pieces = [np.linspace(a, b, 2 + int(np.abs(b - a).max())) for a, b in pairwise(path)]
    return np.vstack(pieces) if pieces else np.empty((0, 2))


def beside(at: Vector, widths: Vector, place: Place, path: Vector) -> Vector:
    """Where each dot's number stands: of 56 places around it the one that meets fewest dots, numbers and points of a path.

    (n, 2) centres.
    """
    angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    ring = np.column_stack([np.cos(angles), -np.sin(angles)])
    half = np.column_stack([widths / 2 + 0.2, np.full(len(widths), 0.95)])
    put = np.full_like(at, np.inf)
    for i, own in enumerate(at):
        tries = np.vstack([own + ring * (half[i] + r) for r in REACH])
        cost = np.repeat(np.linspace(0, 2.5, len(REACH)), len(ring))
        cost += 3 * _meets(tries, half[i], at, np.full_like(at, 0.8))
        cost += 6 * _meets(tries, half[i], put, half)
        cost += (_meets(tries, half[i], path, np.full_like(path, 0.2)) > 0) * 1.2
        inside = (np.abs(tries - [place.x + place.width / 2, place.y + place.height / 2]) + half[i]) <= [
            place.width / 2,
            place.height / 2,
        ]
        put[i] = tries[np.argmin(cost + 20 * ~inside.all(axis=1))]
    return put


def _meets(tries: Vector, half: Vector, others: Vector, sizes: Vector) -> Vector:
    """How many boxes each try's box meets."""
    return (np.abs(tries[:, None] - others) < half + sizes).all(axis=2).sum(axis=1).astype(float)


def _list(table: pd.DataFrame, style: Mapping[str, Look], top: float) -> tuple[list[Mark], float]:
    """Families and their numbered methods at the right, and the width they take."""
    room = min(42.0, max(width(f"{len(table)} {fit(str(m), 34, SMALL)}", SMALL) for m in table["method"]) + 3)
    x = TWO_COLUMNS - MARGIN - room
    marks: list[Mark] = []
    y = top + 2
    for family, look in style.items():
        marks += [
            Dots(np.array([[x + 0.9, y - drop(SMALL)]]), look),
            Words(x + 2.6, y, fit(family, room - 3, SMALL), SMALL, bold=True),
        ]
        for i, method in table.loc[table["family"] == family, "method"].items():
            y += 2.5
            number_of = str(int(str(i)) + 1)
            marks += [Words(x + 2.0, y, number_of, SMALL, "end"), Words(x + 2.6, y, fit(str(method), room - 2.6, SMALL), SMALL)]
        y += 3.6
    return marks, room + 4


def affinity(table: pd.DataFrame, dataset: str) -> Page:
    """table: of `multitask.affinity`: one map per quantity that is known. NaN and the diagonal stay empty."""
    known = [c for c in MAPS if c in table and table[c].notna().any()]
    tasks = list(dict.fromkeys([*table["task"], *table["other"]]))
    across = ONE_COLUMN if len(known) == 1 else TWO_COLUMNS
    marks, top = heading(f"{dataset}: which outcomes go together", (), across)
    name = min(30.0, max(width(fit(t, 30), LABEL) for t in tasks)) + 1
    side = min(46.0, (across - 2 * MARGIN - name - 4 * len(known)) / max(len(known), 1))
    for i, column in enumerate(known):
        place = Place(MARGIN + name + i * (side + 4), top + 4, side, side)
        marks += _heat(_square(table, tasks, column), place, MAPS[column])
        marks += _below(tasks, place, name)
    cell = side / len(tasks)
    at = enumerate(tasks)
    marks += [Words(MARGIN + name - 1, top + 4 + (i + 0.5) * cell + drop(LABEL), fit(t, name - 1), LABEL, "end") for i, t in at]
    return Page(across, top + 4 + side + name + 2, tuple(marks), f"{dataset}: which outcomes go together")


def _square(table: pd.DataFrame, tasks: list[str], column: str) -> Vector:
    """(T, T), row by column as given; a pair given once stands on both sides."""
    found = table.pivot_table(index="task", columns="other", values=column, dropna=False).reindex(index=tasks, columns=tasks)
    values = found.to_numpy(float)
    values = np.where(np.isnan(values), values.T, values)
    values[np.diag_indices(len(tasks))] = np.nan
    return values


def _heat(values: Vector, place: Place, title: str) -> list[Mark]:
    """Blue above 0, orange below, paler near 0; the number stands in the cell where there is room for it."""
    cell = place.width / len(values)
    most = float(np.nanmax(np.abs(values))) or 1.0
    marks: list[Mark] = []
    digits = 2 if most >= 0.05 else 3
    for (i, j), value in np.ndenumerate(values):
        x, y = place.x + j * cell, place.y + i * cell
        if not np.isnan(value):
            strength = abs(value) / most
            marks.append(Areas((box(x, y, cell, cell),), mixed(BLUE if value > 0 else ORANGE, strength)))
            dark = LIGHT if value > 0 and strength > 0.6 else DARK
            text = number(value, digits)
            if width(text, SMALL) < cell - 0.4:
                marks.append(Words(x + cell / 2, y + cell / 2 + drop(SMALL), text, SMALL, "middle", dark))
    marks += [
        *frame(place),
        Words(place.x + place.width / 2, place.y - 1.2, fit(title, place.width + 3), LABEL, "middle", bold=True),
    ]
    return marks


def mixed(colour: str, strength: float) -> str:
    """The colour over white."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (part - 255) * strength):02x}" for part in parts)


def _below(tasks: Sequence[str], place: Place, room: float) -> list[Mark]:
    cell = place.width / len(tasks)
    return [
        Words(place.x + (i + 0.5) * cell + drop(LABEL), place.bottom + 1, fit(task, room - 1), LABEL, "end", turned=True)
        for i, task in enumerate(tasks)
    ]
