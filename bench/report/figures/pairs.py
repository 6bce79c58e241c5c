"""What outcomes buy each other, as maps: gains with their intervals, beside the correlation of labels and the affinity."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.report.figures.furniture import MARGIN, frame, heading
from bench.report.figures.lettering import LABEL, MINUS, SMALL, drop, fit, number, width
from bench.report.figures.maps import MAPS, mixed
from bench.report.figures.marks import BLUE, DARK, LIGHT, ORANGE, TWO_COLUMNS, Areas, Mark, Page, Words, box
from bench.report.figures.scales import Place
from bench.report.sheet import verdict
from bench.stats.pairs import OTHERS

TITLES = {"auroc": "AUROC, points gained", "ap": "average precision, points gained"}
BESIDE = {"auroc": "phi", "ap": "affinity"}
FAINT = 0.05  # of affinities below this two decimals say too little
LINE = 2.4  # mm from a gain to its interval
GAP, SPACE = 5.0, 1.6  # between the maps; before the column of all others


def matrix(table: pd.DataFrame, tasks: Sequence[str], name: str) -> Page:
    """table: of `stats.pairs.judged`. A row: an outcome; a column: what it was trained with. Empty: the outcome itself; NaN a dash.

    Blue above 0, orange below, paler near 0. Intervals stand where there is room. ▲ ▼: adjusted p < .05.
    """
    said = [
        "Row: the outcome predicted; column: the outcome trained with it. Points over the row's outcome alone, 95 % interval; "
        "▲ ▼ adjusted p < .05."
    ]
    marks, top = heading(f"{name}: what outcomes buy each other", (), TWO_COLUMNS, said)
    room = min(26.0, max(width(fit(task, 26), LABEL) for task in (*tasks, OTHERS))) + 1
    free = TWO_COLUMNS - 2 * MARGIN - room - GAP - SPACE
    across = free / (1.5 * len(tasks) + 1)  # a cell of gains; one beside them is half as wide
    tall = float(np.clip(across * 0.6, 5.0, 9.0))
    for metric, beside in BESIDE.items():
        own = table[table["metric"] == metric]
        place = Place(MARGIN + room, top + 4, across * len(tasks), tall * len(tasks))
        last = Place(place.right + SPACE, place.y, across, place.height)
        side = Place(last.right + GAP, place.y, across / 2 * len(tasks), place.height)
        marks += [
            Words(place.x - 1, place.y + (i + 0.5) * tall + drop(LABEL), fit(t, room - 1), LABEL, "end")
            for i, t in enumerate(tasks)
        ]
        marks += _gains(own, tasks, place, TITLES[metric])
        if OTHERS in set(own["source"]):
            marks += [*_gains(own, tasks, last, "", (OTHERS,)), *_below([OTHERS], last, room)]
        marks += _below(tasks, place, room)
        if own[beside].notna().any():
            marks += [*_related(own, tasks, beside, side), *_below(tasks, side, room)]
        top = place.bottom + room + 2
    return Page(TWO_COLUMNS, top, tuple(marks), f"{name}: what outcomes buy each other")


def _gains(own: pd.DataFrame, tasks: Sequence[str], place: Place, title: str, sources: Sequence[str] | None = None) -> list[Mark]:
    columns = tasks if sources is None else sources
    rows = {(row["target"], row["source"]): row for _, row in own.iterrows()}
    most = float(own["gain"].abs().max()) or 1.0
    across, tall = place.width / len(columns), place.height / len(tasks)
    marks: list[Mark] = []
    for i, target in enumerate(tasks):
        for j, source in enumerate(columns):
            if (target, source) in rows:
                marks += _cell(rows[target, source], Place(place.x + j * across, place.y + i * tall, across, tall), most)
    return [*marks, *frame(place), *_titled(place, title)]


def _cell(row: pd.Series, place: Place, most: float) -> list[Mark]:
    middle, gain = place.x + place.width / 2, float(row["gain"])
    if np.isnan(gain):
        return [Words(middle, place.y + place.height / 2 + drop(SMALL), number(gain), SMALL, "middle")]
    ink = _ink(gain, most)
    told = verdict({"p_adjusted": row["p_adjusted"], "steady": row["steady"], "difference": gain})
    text = f"{number(100 * gain, 2, sign=True)}{' ' + told if told else ''}"
    within = f"[{number(100 * row['low'], 2)}, {number(100 * row['high'], 2)}]".replace("-", MINUS)
    two = width(within, SMALL) < place.width - 0.4
    y = place.y + place.height / 2 + drop(SMALL) - (LINE / 2 if two else 0)
    marks: list[Mark] = [Areas((box(place.x, place.y, place.width, place.height),), _colour(gain, most))]
    marks.append(Words(middle, y, fit(text, place.width, SMALL, bold=bool(told)), SMALL, "middle", ink, bold=bool(told)))
    return [*marks, Words(middle, y + LINE, within, SMALL, "middle", ink)] if two else marks


def _colour(value: float, most: float) -> str:
    return mixed(BLUE if value > 0 else ORANGE, min(abs(value) / most, 1.0))


def _ink(value: float, most: float) -> str:
    return LIGHT if value / most > 0.8 else DARK


def _related(own: pd.DataFrame, tasks: Sequence[str], column: str, place: Place) -> list[Mark]:
    known = own[own[column].notna() & (own["source"] != OTHERS)]
    most = float(known[column].abs().max()) or 1.0
    scale, unit = (1000, ", x 1,000") if column == "affinity" and most < FAINT else (1, "")
    across, tall = place.width / len(tasks), place.height / len(tasks)
    marks: list[Mark] = []
    for _, row in known.iterrows():
        x, y = place.x + tasks.index(row["source"]) * across, place.y + tasks.index(row["target"]) * tall
        value = float(row[column])
        marks.append(Areas((box(x, y, across, tall),), _colour(value, most)))
        ink = _ink(value, most)
        text = number(scale * value, 2)
        if width(text, SMALL) < across - 0.4:
            marks.append(Words(x + across / 2, y + tall / 2 + drop(SMALL), text, SMALL, "middle", ink))
    return [*marks, *frame(place), *_titled(place, MAPS[column] + unit)]


def _titled(place: Place, title: str) -> list[Mark]:
    text = fit(title, place.width + 3)
    return [Words(place.x + place.width / 2, place.y - 1.2, text, LABEL, "middle", bold=True)] if title else []


def _below(names: Sequence[str], place: Place, room: float) -> list[Mark]:
    cell = place.width / len(names)
    return [
        Words(place.x + (i + 0.5) * cell + drop(LABEL), place.bottom + 1, fit(name, room - 1), LABEL, "end", turned=True)
        for i, name in enumerate(names)
    ]
