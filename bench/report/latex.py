r"""A sheet as LaTeX: `pdflatex table.tex` compiles as it is, and `\input{table}` works in a paper that loads the packages it names.

Every part of a block is a table of its own: one of up to 32 lines floats, a longer one breaks over pages (longtable, which wants one
column of text). The notes are plain paragraphs behind the last table: a float with them in it can be longer than the paper.
The preamble is skipped inside a document: LaTeX lets \@nodocument be \relax once a document has begun.
"""

from bench.report.sheet import Block, Entry, Row, Sheet
from bench.report.words import latex as say

COLUMNS = 7
LINES = 32  # of a float: with its caption this is under a page of LaTeX's own article class at 12 pt
PREAMBLE = r"""% Made by `bench`. Compile it as it is, or \input it into a paper that has \usepackage{PACKAGES}.
\expandafter\ifx\csname @nodocument\endcsname\relax
  \def\benchnotes{\par\bigskip}
  \def\benchend{}
\else
  \documentclass[10pt]{article}
  \usepackage[T1]{fontenc}
  \usepackage{PACKAGES}
  \usepackage[margin=15mm]{geometry}
  \def\benchnotes{\clearpage}
  \def\benchend{\end{document}}
  \begin{document}
\fi
"""


def render(sheet: Sheet) -> str:
    """The text of table.tex: the tables one by one, then their notes."""
    caption = ". ".join([say(sheet.title), *(rf"\textbf{{{say(w.rstrip('.'))}}}" for w in sheet.warnings), say(sheet.protocol)])
    texts, longest = list[str](), 0
    for block in sheet.blocks:
        parts = block.parts(COLUMNS)
        for i, part in enumerate(parts, 1):
            title = say(block.title) + (f", part {i} of {len(parts)}" if len(parts) > 1 else "")
            texts.append((_float if _lines(part) <= LINES else _long)(part, rf"\caption{{{caption}. {title}.}}"))
            longest = max(longest, _lines(part))
    packages = "booktabs,longtable" if longest > LINES else "booktabs"
    return PREAMBLE.replace("PACKAGES", packages) + "".join(texts) + _notes(sheet) + "\\benchend\n"


def _lines(block: Block) -> int:
    return len(_head(block)) + len(block.rows()) + sum(bool(family) for family, _ in block.groups)


def _float(block: Block, caption: str) -> str:
    lines = [r"\begin{table}[htbp]", r"\centering\small\setlength{\tabcolsep}{3pt}", caption]
    lines += [
        rf"\begin{{tabular}}{{{_spec(block)}}}",
        r"\toprule",
        *_head(block),
        *_body(block),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join([*lines, r"\end{table}", ""])


def _long(block: Block, caption: str) -> str:
    r"""Heading on every page. \LTchunksize: the width of all rows is known in the first pass already."""
    head = _head(block)
    lines = [r"\begingroup\small\setlength{\tabcolsep}{3pt}\setlength{\LTcapwidth}{\linewidth}\setcounter{LTchunksize}{1000}"]
    lines += [rf"\begin{{longtable}}{{{_spec(block)}}}", rf"{caption} \\", r"\toprule", *head, r"\endfirsthead"]
    lines += [r"\toprule", *head, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot", *_body(block)]
    return "\n".join([*lines, r"\end{longtable}", r"\endgroup", ""])


def _spec(block: Block) -> str:
    return f"@{{}}l{'r' * len(block.columns)}@{{}}"


def _head(block: Block) -> list[str]:
    return [_line(["", *map(say, heading)]) for heading in zip(*block.columns, strict=True) if any(heading)]


def _body(block: Block) -> list[str]:
    lines: list[str] = []
    for family, rows in block.groups:
        lines.append(r"\midrule")
        # the star keeps a family's name on the page of its first method
        lines += [rf"\multicolumn{{{len(block.columns) + 1}}}{{@{{}}l}}{{\emph{{{say(family)}}}}} \\*"] if family else []
        lines += [_row(row) for row in rows]
    return lines + ([r"\midrule", *map(_row, block.yardsticks)] if block.yardsticks else [])


def _notes(sheet: Sheet) -> str:
    texts = [rf"\textsuperscript{{{number}}}~{say(text)}\par" for number, text in enumerate(sheet.footnotes, 1)]
    texts += [rf"{say(text)}\par" for text in (*sheet.plan, *sheet.own, *sheet.remarks, *sheet.notices)]
    head = [r"\benchnotes", r"\begingroup\footnotesize\setlength{\parindent}{0pt}\setlength{\parskip}{2pt}"]
    return "\n".join([*head, rf"\textbf{{Notes to the tables of {say(sheet.title)}}}\par", *texts, r"\endgroup", ""])


def _row(row: Row) -> str:
    notes = rf"\textsuperscript{{{','.join(str(n) for n in row.notes)}}}" if row.notes else ""
    return _line([say(row.name) + notes, *(_entry(entry) for entry in row.entries)])


def _entry(entry: Entry) -> str:
    value = {0: "{}", 1: r"\textbf{{{}}}", 2: r"\underline{{{}}}"}[entry.rank].format(say(entry.value))
    spread = rf"\,{{\scriptsize {say(entry.spread.strip())}}}" if entry.spread else ""
    return value + spread + (rf"\textsuperscript{{{say(entry.marks)}}}" if entry.marks else "")


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"
