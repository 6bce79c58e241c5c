"""Words on a page: cleaned, measured, shortened. Names come from users: none is markup, and none is longer than its place."""

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.report import words
from bench.report.figures.marks import POINT

TITLE, LABEL, SMALL = 7.5, 6.0, 5.5
MINUS = "\u2212"
# Latin, Greek, Cyrillic; punctuation, arrows and mathematical signs; the mark of a missing character.
SCRIPTS = (range(0x20, 0x530), range(0x2000, 0x2300), range(0x2500, 0x2600), range(0xFFFD, 0xFFFE))
# What nearly every figure can be written with: ASCII, and the signs that our own words use.
PLAIN = frozenset(map(chr, range(0x20, 0x7F))) | frozenset(
    "\u2007\u2013\u2014\u2026\u2190\u2192\u2212\u2248\u2264\u2265\u00b1\u00d7\u00b7\u25b2\u25bc\ufffd"
)


@lru_cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="bench-fonts-")  # goes when the process ends


def plain(text: str) -> bool:
    return PLAIN.issuperset(text)


@lru_cache
def font_file(bold: bool = False, plain: bool = False) -> Path:
    """DejaVu Sans as it comes with matplotlib, the same on every machine, without what a figure does not use.

    plain: the characters of `PLAIN` alone, a twentieth of them. matplotlib takes the whole font apart again for every PDF, and this
    part in a fraction of the time.
    """
    from fontTools import subset

    unused = ["GDEF", "GPOS", "GSUB", "kern", "FFTM", "PfEd"]
    options = subset.Options(layout_features=[], hinting=False, notdef_outline=True, glyph_names=True, drop_tables=unused)
    font = subset.load_font(str(_original(bold)), options)
    wanted = subset.Subsetter(options)
    wanted.populate(unicodes=map(ord, PLAIN) if plain else [code for script in SCRIPTS for code in script])
    wanted.subset(font)
    path = Path(_folder().name) / ("plain" if plain else "all") / _original(bold).name
    path.parent.mkdir(exist_ok=True)
    font.save(str(path))
    return path


def _original(bold: bool) -> Path:
    import matplotlib as mpl

    return Path(mpl.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf"


@lru_cache
def _font(bold: bool) -> Any:
    from matplotlib.ft2font import FT2Font

    font = FT2Font(str(_original(bold)))
    font.set_size(1000, 72)
    return font


@lru_cache(maxsize=4096)
def _advance(character: str, bold: bool) -> float:
    """In em; NaN for a character that the font or our part of it does not have."""
    font, code = _font(bold), ord(character)
    if not any(code in script for script in SCRIPTS) or not font.get_char_index(code):
        return float("nan")
    return font.load_char(ord(character)).linearHoriAdvance / 65536 / 1000


@lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """One line of characters that the font has, upright and bold."""
    return "".join(c if _advance(c, False) + _advance(c, True) >= 0 else "\ufffd" for c in words.clean(text))


def width(text: str, size: float = LABEL, bold: bool = False) -> float:
    """In mm."""
    return sum(_advance(c, bold) for c in text) * size * POINT


@lru_cache(maxsize=4096)  # the same names stand in every figure
def fit(text: str, most: float, size: float = LABEL, bold: bool = False) -> str:
    """The text, cleaned; of one wider than `most` mm the middle gives way to dots, as labels differ at both ends."""
    whole = clean(text)
    if width(whole, size, bold) <= most:
        return whole
    for kept in range(len(whole) - 1, 1, -1):
        short = f"{whole[: (kept + 1) // 2].rstrip()}\u2026{whole[len(whole) - kept // 2 :].lstrip()}"
        if width(short, size, bold) <= most:
            return short
    return whole[:1]


def drop(size: float) -> float:
    """How far, in mm, the baseline lies below the middle of a line of this size."""
    return 0.36 * size * POINT


def number(value: float, digits: int = 1, sign: bool = False) -> str:
    """With a true minus sign; a dash for NaN."""
    if value != value:
        return words.DASH
    text = f"{value:{'+' if sign else ''}z.{digits}f}"
    return text.replace("-", MINUS)


def interval(value: float, low: float, high: float, digits: int = 1) -> str:
    """+1.2 [0.3, 2.1]; no brackets where there is no interval."""
    if value != value:
        return words.DASH
    inside = "" if low != low else f" [{number(low, digits)}, {number(high, digits)}]"
    return number(value, digits, sign=True) + inside
