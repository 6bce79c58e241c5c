"""What the README and the pages of bench/docs link to."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "bench" / "docs"
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(\s*([^)\s]+)\)")
TARGET = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)


def pages() -> list[Path]:
    """The README and the hand-written pages; those made when the site is built are Sphinx's to check."""
    return [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def links(page: Path) -> list[str]:
    """Relative targets, in order."""
    found = LINK.findall(CODE.sub("", page.read_text("utf-8")))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """What GitHub, and MyST after it, makes of the headings of a page, and its explicit targets."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    heads = re.findall(r"^#{1,6} +(.*)$", text, re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads]
    again = {f"{slug}-{i}" for slug in slugs for i in range(1, slugs.count(slug))}
    return {*slugs, *again, *TARGET.findall(text)}


def broken(page: Path) -> list[str]:
    """Links that lead nowhere. A page that is made when the site is built counts as there."""
    out: list[str] = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        path = (page.parent / name).resolve() if name else page
        if path.is_relative_to(DOCS / "made"):
            continue
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            out.append(link)
    return out
