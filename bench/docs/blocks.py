"""Pictures of sharing blocks as SVG, from a few declared facts: columns of boxes, and what flows from one to the next.

A box is a text, "A: expert" of outcome A, "s: expert 1" of the shared part, or "gate" of neither. Something flows from a box to every
box of the next column that is not of another outcome; between columns numbered in `all`, to every one, in `each`, to the one beside it.
`bonds` tie two boxes of one column.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

WIDE, HIGH, ACROSS, DOWN, EDGE = 122, 30, 58, 14, 8  # a box, the room between boxes, the margin
TINTS = {"s": "#4a7fb5", "A": "#c4703d", "B": "#4d9a6a", "C": "#9a63b0", "": "#8a8f98"}
OUTCOMES = ("A", "B", "C")


class Box(NamedTuple):
    """Its place in the picture; owner: a key of TINTS."""

    owner: str
    label: str
    x: float
    y: float


def declared() -> dict[str, Mapping[str, Any]]:
    """method -> its picture's facts, from blocks.toml; `like` takes those of another method."""
    found = tomllib.loads((Path(__file__).parent / "blocks.toml").read_text("utf-8"))
    return {name: found[facts["like"]] if "like" in facts else facts for name, facts in found.items()}


def svg(name: str, facts: Mapping[str, Any]) -> str:
    """The picture of a method's block; it takes the colour of letters from the page around it, dark or light."""
    columns = placed(facts["columns"])
    tallest = max(map(len, columns))
    width = len(columns) * (WIDE + ACROSS) - ACROSS + 2 * EDGE
    height = tallest * (HIGH + DOWN) - DOWN + 2 * EDGE
    lines = [
        f'<path class="flow" d="M {a.x + WIDE:g} {a.y + HIGH / 2:g} C {a.x + WIDE + 26:g} {a.y + HIGH / 2:g} '
        f'{b.x - 26:g} {b.y + HIGH / 2:g} {b.x:g} {b.y + HIGH / 2:g}" stroke="{TINTS[a.owner]}"/>'
        for i, (left, right) in enumerate(pairwise(columns))
        for a in left
        for b in right
        if _flows(a, b, i in facts.get("all", []), i in facts.get("each", []))
    ]
    boxes = [box for column in columns for box in column]
    parts = [*lines, *_bonds(facts.get("bonds", []), boxes), *(part for box in boxes for part in _box(box))]
    head = f'<svg class="block" viewBox="0 0 {width} {height}" style="max-width:{width}px" role="img" aria-label="{escape(name)}: {_said(columns)}">'
    return "\n".join([head, *parts, "</svg>"])


def _flows(a: Box, b: Box, every: bool, each: bool) -> bool:
    if each:
        return a.y == b.y
    return every or a.owner not in OUTCOMES or b.owner not in OUTCOMES or a.owner == b.owner


def placed(columns: Sequence[Sequence[str]]) -> list[list[Box]]:
    """Boxes column by column, each column centred on the tallest."""
    tallest = max(map(len, columns))
    out: list[list[Box]] = []
    for i, column in enumerate(columns):
        top = EDGE + (tallest - len(column)) * (HIGH + DOWN) / 2
        owners = [text.partition(": ") for text in column]
        out.append(
            [
                Box(owner if rest else "", rest or owner, EDGE + i * (WIDE + ACROSS), top + j * (HIGH + DOWN))
                for j, (owner, _, rest) in enumerate(owners)
            ]
        )
    return out


def _box(box: Box) -> Iterator[str]:
    tint = TINTS[box.owner]
    yield f'<rect x="{box.x:g}" y="{box.y:g}" width="{WIDE}" height="{HIGH}" rx="5" fill="{tint}" fill-opacity=".16" stroke="{tint}"/>'
    label = f"{box.label} {box.owner}" if box.owner in OUTCOMES else box.label
    yield f'<text x="{box.x + WIDE / 2:g}" y="{box.y + HIGH / 2 + 4:g}">{escape(label)}</text>'


def _bonds(bonds: Sequence[Sequence[str]], boxes: Sequence[Box]) -> Iterator[str]:
    """A dashed arc beside two boxes of a column, with a sign: what is asked of the pair."""
    named = {f"{box.owner}: {box.label}" if box.owner else box.label: box for box in boxes}
    for first, second, sign in bonds:
        a, b = named[first], named[second]
        x, middle = a.x + WIDE, (a.y + b.y + HIGH) / 2
        bulge = 16 + abs(b.y - a.y) / 8
        yield f'<path class="bond" d="M {x:g} {a.y + HIGH / 2:g} Q {x + bulge:g} {middle:g} {x:g} {b.y + HIGH / 2:g}"/>'
        yield f'<text class="sign" x="{x + bulge / 2 + 8:g}" y="{middle + 4:g}">{escape(sign)}</text>'


def _said(columns: Sequence[Sequence[Box]]) -> str:
    """The picture in words, for those who cannot see it."""
    return escape("; then ".join(", ".join(f"{b.label} {b.owner}".strip() for b in column) for column in columns))
