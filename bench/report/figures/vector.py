"""A page as SVG: text as text, coordinates in hundredths of a millimetre as whole numbers, no ids, styles, links or metadata.

matplotlib's own SVG of the same page is ten times as large, names its parts by ids that clash between figures in one page, and
brings a style sheet that would reach beyond them.
"""

from html import escape

import numpy as np

from bench.report.figures.lettering import clean
from bench.report.figures.marks import (
    FAINT,
    GREY,
    INK,
    ONE_COLUMN,
    PALE,
    PAPER,
    POINT,
    SHAPES,
    Areas,
    Dots,
    Lines,
    Page,
    Vector,
    Words,
)

UNIT = 100  # per mm
FONT = "DejaVu Sans,Verdana,Arial,Helvetica,sans-serif"
# Within a web page ink is the page's text colour and paper its background, light or dark.
THEMED = {
    INK: "currentColor",
    GREY: "currentColor",
    PALE: "currentColor",
    FAINT: "currentColor",
    PAPER: "var(--figure-paper,Canvas)",
}
OPACITY = {GREY: "0.6", PALE: "0.4", FAINT: "0.16"}


def svg(page: Page, themed: bool) -> str:
    """themed: for embedding into HTML, colours of text and axes taken from the page around; else a file that stands alone."""
    size = f'viewBox="0 0 {_whole(page.width)} {_whole(page.height)}"'
    font = f'font-family="{FONT}" role="img" aria-label="{escape(clean(page.title))}"'
    body = "".join(_mark(mark, themed) for mark in page.marks)
    if themed:
        columns = 1 if page.width <= ONE_COLUMN else 2  # for the style sheet around: how wide it may become
        return f'<svg data-columns="{columns}" {size} {font}>{body}</svg>'
    physical = f'xmlns="http://www.w3.org/2000/svg" width="{page.width:.2f}mm" height="{page.height:.2f}mm"'
    paper = f'<path fill="{PAPER}" d="M0 0h{_whole(page.width)}v{_whole(page.height)}H0z"/>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<svg {physical} {size} {font}>{paper}{body}</svg>\n'


def _mark(mark: Lines | Areas | Dots | Words, themed: bool) -> str:
    if isinstance(mark, Words):
        return _words(mark, themed)
    if isinstance(mark, Dots):
        return _dots(mark, themed)
    d = "".join(_path(path) for path in mark.paths)
    if isinstance(mark, Areas):
        return f'<path {_colour("fill", mark.colour, themed)} d="{d}"/>'
    dash = f' stroke-dasharray="{" ".join(_points(x) for x in mark.pen.dash)}"' if mark.pen.dash else ""
    stroke = f'{_colour("stroke", mark.pen.colour, themed)} stroke-width="{_points(mark.pen.width)}"{dash}'
    return f'<path fill="none" stroke-linejoin="round" {stroke} d="{d}"/>'


def _path(path: Vector) -> str:
    """M x y, then the steps; steps of nothing left out, and a minus sign needs no space before it."""
    at = np.rint(path * UNIT).astype(int)
    steps = np.diff(at, axis=0)
    steps = steps[(steps != 0).any(axis=1)]
    text = "l" + " ".join(f"{x} {y}" for x, y in steps.tolist()) if len(steps) else "h0"
    return f"M{at[0, 0]} {at[0, 1]}{text}".replace(" -", "-")


def _dots(mark: Dots, themed: bool) -> str:
    look = mark.look
    style = f'{_colour("fill", look.fill, themed)} {_colour("stroke", look.colour, themed)} stroke-width="{_points(0.7)}"'
    outline = SHAPES[look.shape]
    if outline:
        corners = look.radius * np.array(outline)
        return f'<path {style} d="{"".join(_path(at + corners) + "z" for at in mark.at)}"/>'
    circles = "".join(f'<circle cx="{_whole(x)}" cy="{_whole(y)}" r="{_whole(look.radius)}"/>' for x, y in mark.at)
    return f"<g {style}>{circles}</g>"


def _words(mark: Words, themed: bool) -> str:
    anchor = f' text-anchor="{mark.anchor}"' if mark.anchor != "start" else ""
    bold = ' font-weight="bold"' if mark.bold else ""
    x, y = _whole(mark.x), _whole(mark.y)
    turned = f' transform="rotate(-90 {x} {y})"' if mark.turned else ""
    style = f'{_colour("fill", mark.colour, themed)} font-size="{_points(mark.size)}"{anchor}{bold}{turned}'
    return f'<text x="{x}" y="{y}" {style}>{escape(mark.text)}</text>'


def _colour(what: str, colour: str, themed: bool) -> str:
    if not themed or colour not in THEMED:
        return f'{what}="{colour}"'
    opacity = f' {what}-opacity="{OPACITY[colour]}"' if colour in OPACITY else ""
    # a presentation attribute knows no var(): the style attribute does
    return f'style="{what}:{THEMED[colour]}"' if colour == PAPER else f'{what}="{THEMED[colour]}"{opacity}'


def _whole(mm: float) -> str:
    return str(round(mm * UNIT))


def _points(points: float) -> str:
    return str(round(points * POINT * UNIT))
