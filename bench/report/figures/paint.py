"""A page drawn by matplotlib, and its bytes as PDF and PNG. Agg only, no pyplot: nothing global is touched.

One artist draws all marks of a page with the renderer's own strokes: axes, patches and texts of matplotlib, each measured and laid
out by itself, take twice the time for the same page.
"""

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from bench.report.figures import lettering
from bench.report.figures.marks import POINT, SHAPES, Areas, Dots, Page, Pen, Vector, Words

DPI = 300  # of PNG: what journals ask for where they do not take the PDF
HIDDEN: dict[str, dict[str, Any]] = {  # what would make the same figure other bytes tomorrow
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
BEFORE = {"start": 0.0, "middle": 0.5, "end": 1.0}  # how much of a text stands before its place


def figure(page: Page) -> Figure:
    """The page as a matplotlib figure of its true size."""
    made = Figure(figsize=(page.width / 25.4, page.height / 25.4), dpi=DPI, facecolor="white")
    FigureCanvasAgg(made)
    made.add_artist(Drawing(page))
    return made


def saved(made: Figure, kind: str) -> bytes:
    """kind: "pdf" (fonts embedded as TrueType, as journals want) or "png"."""
    buffer = io.BytesIO()
    # ps: matplotlib 3.11 reads it for PDF too, and embeds a font twice where it is 3
    with mpl.rc_context(
        {"pdf.fonttype": 42, "ps.fonttype": 42, "pdf.compression": 6, "path.simplify": True, "text.hinting": "none"}
    ):
        if kind == "png":
            made.savefig(buffer, format="png", dpi=DPI, metadata=HIDDEN["png"], pil_kwargs={"compress_level": 1})
        else:
            made.savefig(buffer, format="pdf", metadata=HIDDEN["pdf"])
    return buffer.getvalue()


class Drawing(Artist):
    """The marks of a page, in millimetres from its upper left corner."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page = page

    def draw(self, renderer: RendererBase) -> None:
        """With y downward on the page and upward in matplotlib; `unit` pixels or points are a millimetre."""
        unit = float(np.asarray(renderer.points_to_pixels(1 / POINT)))
        place = Affine2D().scale(unit, -unit).translate(0, self.page.height * unit)
        for mark in self.page.marks:
            if isinstance(mark, Words):
                _write(renderer, mark, place)
            elif isinstance(mark, Dots):
                _stamp(renderer, mark, place, unit)
            elif isinstance(mark, Areas):
                _path(renderer, mark.paths, place, Pen(mark.colour, 0), mark.colour)
            else:
                _path(renderer, mark.paths, place, mark.pen)


def _path(renderer: RendererBase, paths: Sequence[Vector], place: Affine2D, pen: Pen, fill: str = "") -> None:
    context = renderer.new_gc()
    context.set_foreground(pen.colour)
    context.set_linewidth(pen.width)
    context.set_joinstyle("round")
    if pen.dash:
        context.set_dashes(0, pen.dash)
    renderer.draw_path(context, _compound(paths), place, to_rgba(fill) if fill else None)
    context.restore()


def _compound(paths: Sequence[Vector]) -> Path:
    codes = np.full(sum(map(len, paths)), Path.LINETO, Path.code_type)
    codes[np.cumsum([0, *map(len, paths[:-1])])] = Path.MOVETO
    return Path(np.vstack(paths), codes)


def _stamp(renderer: RendererBase, mark: Dots, place: Affine2D, unit: float) -> None:
    look = mark.look
    context = renderer.new_gc()
    context.set_foreground(look.colour)
    context.set_linewidth(0.7)
    context.set_joinstyle("round")
    context.set_snap(None if SHAPES[look.shape] else False)
    size = Affine2D().scale(look.radius * unit)
    renderer.draw_markers(context, _marker(look.shape), size, Path(mark.at), place, to_rgba(look.fill))
    context.restore()


@lru_cache
def _marker(shape: str) -> Path:
    """Within -1..1, y upward."""
    outline = SHAPES[shape]
    if not outline:
        return Path.unit_circle()
    corners = np.array([*outline, outline[0]]) * (1, -1)
    return Path(corners / np.abs(corners).max(), closed=True)


@lru_cache
def _font(size: float, bold: bool, plain: bool) -> FontProperties:
    return FontProperties(fname=lettering.font_file(bold, plain), size=size)


def _write(renderer: RendererBase, mark: Words, place: Affine2D) -> None:
    if not mark.text:
        return
    before = BEFORE[mark.anchor] * lettering.width(mark.text, mark.size, mark.bold)
    at = (mark.x, mark.y + before) if mark.turned else (mark.x - before, mark.y)
    x, y = place.transform(at).tolist()
    context = renderer.new_gc()
    context.set_foreground(mark.colour)
    font = _font(mark.size, mark.bold, lettering.plain(mark.text))
    top = renderer.get_canvas_width_height()[1]
    renderer.draw_text(context, x, top - y if renderer.flipy() else y, mark.text, font, 90 if mark.turned else 0)
    context.restore()
