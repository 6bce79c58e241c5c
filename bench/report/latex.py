r"""A sheet as LaTeX: `pdflatex table.tex` compiles as it is, and `\input{table}` works in a paper that loads booktabs.

The preamble is skipped inside a document: LaTeX lets \@nodocument be \relax once a document has begun.
"""

from bench.report.sheet import Block, Entry, Row, Sheet
from bench.report.words import latex as say

COLUMNS = 7
PREAMBLE = r"""% Made by `bench`. Compile it as it is, or \input it into a paper that has \usepackage{booktabs}.
\expandafter\ifx\csname @nodocument\endcsname\relax
  \def\benchend{}
\else
  \documentclass[10pt]{article}
  \usepackage[T1]{fontenc}
  \usepackage{booktabs}
  \usepackage[margin=15mm]{geometry}
  \def\benchend{\end{document}}
  \begin{document}
\fi
"""


def render(sheet: Sheet) -> str:
    """The text of table.tex: one floating table a block, the notes under the last."""
    caption = ". ".join([say(sheet.title), *(rf"\textbf{{{say(w.rstrip('.'))}}}" for w in sheet.warnings), say(sheet.protocol)])
    floats = [_float(block, caption, last=block is sheet.blocks[-1], notes=_notes(sheet)) for block in sheet.blocks]
    return PREAMBLE + "".join(floats) + "\\benchend\n"


def _float(block: Block, caption: str, *, last: bool, notes: list[str]) -> str:
    lines = [r"\begin{table}[htbp]", r"\centering\small\setlength{\tabcolsep}{3pt}"]
    lines.append(rf"\caption{{{caption}. {say(block.title)}.}}")
    for part in block.parts(COLUMNS):
        lines += [*_tabular(part), r"\par\medskip"]
    lines += [r"\begin{minipage}{\linewidth}\footnotesize", *notes, r"\end{minipage}"] if last else []
    return "\n".join([*lines, r"\end{table}", ""])


def _notes(sheet: Sheet) -> list[str]:
    numbered = [rf"\textsuperscript{{{number}}}~{say(text)}\par" for number, text in enumerate(sheet.footnotes, 1)]
    return numbered + [rf"{say(text)}\par" for text in sheet.remarks]


def _tabular(block: Block) -> list[str]:
    width = len(block.columns)
    lines = [rf"\begin{{tabular}}{{@{{}}l{'r' * width}@{{}}}}", r"\toprule"]
    for heading in zip(*block.columns, strict=True):
        lines += [_line(["", *(say(text) for text in heading)])] if any(heading) else []
    for family, rows in block.groups:
        lines.append(r"\midrule")
        lines += [rf"\multicolumn{{{width + 1}}}{{@{{}}l}}{{\emph{{{say(family)}}}}} \\"] if family else []
        lines += [_row(row) for row in rows]
    lines += [r"\midrule", *(_row(row) for row in block.yardsticks)] if block.yardsticks else []
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _row(row: Row) -> str:
    notes = rf"\textsuperscript{{{','.join(str(n) for n in row.notes)}}}" if row.notes else ""
    return _line([say(row.name) + notes, *(_entry(entry) for entry in row.entries)])


def _entry(entry: Entry) -> str:
    value = {0: "{}", 1: r"\textbf{{{}}}", 2: r"\underline{{{}}}"}[entry.rank].format(say(entry.value))
    spread = rf"\,{{\scriptsize {say(entry.spread.strip())}}}" if entry.spread else ""
    return value + spread + (rf"\textsuperscript{{{say(entry.marks)}}}" if entry.marks else "")


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"
