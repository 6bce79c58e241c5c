"""A page drawn by matplotlib, and its bytes as PDF and PNG. Agg only, no pyplot: nothing global is touched."""

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.report.figures import lettering
from bench.report.figures.marks import POINT, SHAPES, Areas, Dots, Lines, Page, Vector, Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path

DPI = 300  # of PNG: what journals ask for where they do not take the PDF
HIDDEN: dict[str, dict[str, Any]] = {  # what would make the same figure other bytes tomorrow
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
ALIGN = {"start": "left", "middle": "center", "end": "right"}


def figure(page: Page) -> "Figure":
    """The page as a matplotlib figure of its true size, one axes in millimetres."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(page.width / 25.4, page.height / 25.4), dpi=DPI, facecolor="white")
    FigureCanvasAgg(made)
    axes = made.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, page.width), ylim=(page.height, 0))
    for order, mark in enumerate(page.marks):
        _draw(axes, mark, order)
    return made


def saved(made: "Figure", kind: str) -> bytes:
    """kind: "pdf" (fonts embedded as TrueType, as journals want) or "png"."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"pdf.fonttype": 42, "pdf.compression": 6, "path.simplify": True, "text.hinting": "none"}):
        if kind == "png":
            made.savefig(buffer, format="png", dpi=DPI, metadata=HIDDEN["png"], pil_kwargs={"compress_level": 3})
        else:
            made.savefig(buffer, format="pdf", metadata=HIDDEN["pdf"])
    return buffer.getvalue()


def _draw(axes: "Axes", mark: Lines | Areas | Dots | Words, order: int) -> None:
    if isinstance(mark, Words):
        _write(axes, mark, order)
    elif isinstance(mark, Dots):
        _stamp(axes, mark, order)
    else:
        _trace(axes, mark, order)


def _trace(axes: "Axes", mark: Lines | Areas, order: int) -> None:
    from matplotlib.patches import PathPatch

    if isinstance(mark, Areas):
        patch = PathPatch(_compound(mark.paths), facecolor=mark.colour, linewidth=0, zorder=order)
    else:
        pen = mark.pen
        style = (0, [d / pen.width for d in pen.dash]) if pen.dash else "solid"  # matplotlib counts dashes in line widths
        patch = PathPatch(
            _compound(mark.paths), fill=False, edgecolor=pen.colour, linewidth=pen.width, linestyle=style, zorder=order,
            capstyle="butt", joinstyle="round",
        )  # fmt: skip
    axes.add_patch(patch)


def _compound(paths: Sequence[Vector]) -> "Path":
    from matplotlib.path import Path

    codes = np.full(sum(map(len, paths)), Path.LINETO, Path.code_type)
    codes[np.cumsum([0, *map(len, paths[:-1])])] = Path.MOVETO
    return Path(np.vstack(paths), codes)


def _stamp(axes: "Axes", mark: Dots, order: int) -> None:
    look = mark.look
    axes.plot(
        mark.at[:, 0], mark.at[:, 1], linestyle="none", marker=_marker(look.shape), markersize=2 * look.radius / POINT,
        markerfacecolor=look.fill, markeredgecolor=look.colour, markeredgewidth=0.7, zorder=order, clip_on=False,
    )  # fmt: skip


@lru_cache
def _marker(shape: str) -> Any:
    from matplotlib.path import Path

    outline = SHAPES[shape]
    return Path([(x / 2, -y / 2) for x, y in (*outline, outline[0])], closed=True) if outline else "o"


@lru_cache
def _font(size: float, bold: bool) -> Any:
    from matplotlib.font_manager import FontProperties

    return FontProperties(fname=lettering.font_file(bold), size=size)


def _write(axes: "Axes", mark: Words, order: int) -> None:
    axes.text(
        mark.x, mark.y, mark.text, fontproperties=_font(mark.size, mark.bold), color=mark.colour, ha=ALIGN[mark.anchor],
        va="baseline", rotation=90 if mark.turned else 0, rotation_mode="anchor", parse_math=False, zorder=order,
    )  # fmt: skip
