"""How names, numbers and symbols are written in each format. Nothing a user or a method wrote can act as markup."""

import math
import unicodedata

DASH = "\u2013"  # where there is no number
PLAIN = {"±": "+-", "▲": "+", "▼": "-", "≈": "~", DASH: "-"}  # for terminals without Unicode
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "#": r"\#", "$": r"\$", "%": r"\%", "&": r"\&", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "`": r"\textasciigrave{}", '"': "{''}", "[": "{[}", "]": "{]}", "*": "{*}", "-": "{-}", DASH: "--", "µ": r"$\mu$", "±": r"$\pm$",
    "▲": r"$\uparrow$", "▼": r"$\downarrow$", "≈": r"$\approx$",
}  # fmt: skip
MARKDOWN = set("\\`*_{}[]<>#|~^$&@")
FORMULA = ("=", "+", "-", "@")


def clean(text: str) -> str:
    """One line of printable characters: no control or direction characters, white space as single spaces."""
    kept = (" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join("".join(kept).split())


def short(text: str, width: int = 200) -> str:
    """The first line, cut to a width with dots."""
    line = clean(text.strip().splitlines()[0] if text.strip() else "")
    return line if len(line) <= width else line[: width - 3] + "..."


def plain(text: str) -> str:
    """ASCII only: our symbols have stand-ins, other characters become their code."""
    return clean(text).translate(str.maketrans(PLAIN)).encode("ascii", "backslashreplace").decode("ascii")


def markdown(text: str) -> str:
    """Markdown and HTML specials as numeric entities, which are never markup. An underscore inside a word stays as it is."""
    line = clean(text)

    def one(i: int, c: str) -> str:
        inside = c == "_" and 0 < i < len(line) - 1 and (line[i - 1] + line[i + 1]).isalnum()
        return f"&#{ord(c)};" if c in MARKDOWN and not inside else c

    return "".join(one(i, c) for i, c in enumerate(line))


def latex(text: str) -> str:
    """LaTeX specials as commands; what pdflatex cannot set without further packages as its code, [U+03B1]."""
    return "".join(_latex(c) for c in clean(text))


def _latex(c: str) -> str:
    if c in LATEX:
        return LATEX[c]
    if c.isascii() or (ord(c) < 0x180 and c.isalpha() and c not in "ªºŉſ"):
        return c
    return f"{{[}}U+{ord(c):04X}{{]}}"


def csv(text: str) -> str:
    """An apostrophe before what a spreadsheet would run as a formula (=, +, -, @ in front); other names as they are."""
    line = clean(text)
    return "'" + line if line.startswith(FORMULA) else line


def percent(value: float, digits: int = 1) -> str:
    """A fraction in percent, a dash for NaN."""
    return DASH if math.isnan(value) else f"{100 * value:.{digits}f}"


def fraction(value: float) -> str:
    """Three decimals, a dash for NaN."""
    return DASH if math.isnan(value) else f"{value:z.3f}"


def number(value: float) -> str:
    """Thousands separated, one decimal under 100 unless whole, a dash for NaN."""
    if math.isnan(value):
        return DASH
    return f"{value:.1f}" if abs(value) < 100 and value != int(value) else f"{value:,.0f}"
