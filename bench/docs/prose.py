"""A docstring's plain text as Markdown and as reStructuredText.

Indented lines are formulas or tables and stay as they are; `code` is code; addresses and arXiv numbers become links; nothing else has a meaning.
"""

import re
from collections.abc import Iterator, Sequence

WORDS = re.compile(r"(?P<code>`[^`\n]+`)|(?P<url>https?://[^\s,;)]+[^\s,;).:])|arXiv (?P<arxiv>\d{4}\.\d{5})")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; cells are Markdown without line ends."""
    lines = [head, ["---"] * len(head), *([" ".join(cell.split()) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def code(text: str) -> str:
    """A text as code, also in a table; nothing for an empty one."""
    return "`" + text.replace("|", "\\|") + "`" if text else ""


def pieces(text: str) -> Iterator[tuple[bool, list[str]]]:
    """(indented, lines): runs of prose and of lines that are to stay as they are. A list item's further lines are prose."""
    run: list[str] = []
    kept = item = False
    for line in [*text.strip("\n").splitlines(), ""]:
        within = item and line.startswith("  ")
        indented = line.startswith("  ") and not item
        if run and (not line.strip() or indented != kept or (item and not within and not line.startswith("- "))):
            yield kept, run
            run = []
        item = line.startswith("- ") or within
        if line.strip():
            kept, run = indented, [*run, line]


def markdown(text: str) -> str:
    """A docstring's plain text as Markdown."""
    return "\n\n".join(
        "\n".join(["```text", *_dedented(lines), "```"]) if kept else WORDS.sub(_word, _escaped("\n".join(lines)))
        for kept, lines in pieces(text)
    )


def _dedented(lines: Sequence[str]) -> list[str]:
    by = min(len(line) - len(line.lstrip()) for line in lines)
    return [line[by:] for line in lines]


def _escaped(text: str) -> str:
    """Signs that Markdown would take for its own, outside of code and addresses."""
    parts = re.split(r"(`[^`\n]+`|https?://\S+)", text)
    return "".join(part if i % 2 else re.sub(r"([\\*_\[\]<>$|#~{}])", r"\\\1", part) for i, part in enumerate(parts))


def _word(found: re.Match[str]) -> str:
    if found["arxiv"]:
        return f"[arXiv {found['arxiv']}](https://arxiv.org/abs/{found['arxiv']})"
    return f"<{found['url']}>" if found["url"] else found["code"].replace("|", "\\|")


def rst(lines: Sequence[str]) -> list[str]:
    """A docstring's plain text as reStructuredText, for autodoc."""
    out: list[str] = []
    for kept, run in pieces("\n".join(lines)):
        if kept:
            out += ["::", "", *(f"    {line}" for line in _dedented(run)), ""]
        else:
            words = [re.split(r"(`[^`\n]+`)", line) for line in run]
            out += ["".join(f"`{p}`" if i % 2 else re.sub(r"([\\*_|])", r"\\\1", p) for i, p in enumerate(w)) for w in words] + [
                ""
            ]
    return out
