"""The documentation builds without a warning and without a network, from docstrings and schema, with its notebook run; links resolve."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import linked
import pytest

from bench import cards, registry
from bench.docs import blocks, pages, prose, ward

SPHINX = ("sphinx", "furo", "myst_nb", "ipykernel")
missing = [name for name in SPHINX if importlib.util.find_spec(name) is None]
needs_sphinx = pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}: pip install -e '.[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. -W: a warning is an error."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", "-d", out / "trees", linked.DOCS, out / "html"]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "html"


class Loads(HTMLParser):
    """What a page loads by itself: scripts, style sheets, images, frames."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") not in ("next", "prev", "index", "search", "canonical"):
            self.found.append(given.get("href") or "")
        if tag in ("script", "img", "iframe", "source", "object"):
            self.found += [value for key in ("src", "data") if (value := given.get(key))]


@needs_sphinx
def test_a_page_of_each_method_and_dataset_with_all_its_settings(site: Path) -> None:
    for kind, read in (("methods", cards.card), ("datasets", cards.dataset)):
        for name in registry.ids(kind):
            text = (site / "made" / kind / f"{name}.html").read_text("utf-8")
            for _, listed in read(name).settings:
                for setting in listed:
                    assert f'<span class="pre">{setting.name}</span>' in text, (name, setting.name)


@needs_sphinx
def test_the_notebook_was_run(site: Path) -> None:
    text = (site / "csv_to_figure.html").read_text("utf-8")
    assert len(re.findall(r'<img [^>]*src="_images/[0-9a-f]+\.png"', text)) == 1
    assert text.count("cell_output") >= 5
    assert "Traceback" not in text


@needs_sphinx
def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    found = [(page.name, source) for page in site.rglob("*.html") for source in Loads(page.read_text("utf-8")).found]
    assert len(found) > 100
    assert [one for one in found if re.match(r"(https?:)?//", one[1])] == []
    styles = [(sheet.name, url) for sheet in site.rglob("*.css") for url in _urls(sheet.read_text("utf-8"))]
    assert [one for one in styles if re.match(r"(https?:)?//", one[1])] == []


def _urls(css: str) -> Iterator[str]:
    yield from re.findall(r"(?:url\(|@import\s+)[\"']?([^\"')]+)", css)


@pytest.mark.parametrize("page", linked.pages(), ids=lambda page: page.name)
def test_links_and_anchors_resolve(page: Path) -> None:
    assert linked.broken(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One (two), three!\n## A\n## A\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](other.md#one-two-three) [b](other.md#one) [c](none.md) [d](#here) `[e](x.md)` [f](other.md#a-1)\n"
    )
    assert linked.broken(page) == ["other.md#one", "none.md"]


@pytest.mark.parametrize("page", linked.pages(), ids=lambda page: page.name)
def test_every_toml_block_is_toml(page: Path) -> None:
    for code in re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        assert tomllib.loads(code)


def test_the_example_is_what_its_script_makes() -> None:
    assert (linked.DOCS / "ward.csv").read_text("utf-8") == ward.ward().to_csv(index=False, lineterminator="\n")


def test_every_picture_is_of_a_method_and_ties_boxes_that_are_there() -> None:
    pictures = blocks.declared()
    assert set(pictures) <= set(registry.ids("methods"))
    # hard sharing: vector -> layer -> two heads are 1 + 2 flows between 1 + 1 + 2 boxes
    drawn = blocks.svg("hard_sharing", pictures["hard_sharing"])
    assert (drawn.count("<rect"), drawn.count('class="flow"')) == (4, 3)
    # orthtd: 3 parts; A and the shared one go to join A, B and the shared one to join B: 3 + 4 + 2 flows, 2 bonds
    drawn = blocks.svg("orthtd", pictures["orthtd"])
    assert (drawn.count('class="flow"'), drawn.count('class="bond"')) == (9, 2)
    for name, facts in pictures.items():
        assert "<svg" in blocks.svg(name, facts)


def test_a_method_without_a_picture_gets_a_page() -> None:
    page = pages.method(cards.card("mmoe"), None)
    assert "<svg" not in page
    assert "## Settings" in page


def test_a_docstring_becomes_markdown_and_restructured_text() -> None:
    text = "Reads `x | y` and a_t *once*, arXiv 2605.03570.\n    z = a * b\n- one\n  more\nlast"
    assert prose.markdown(text) == (
        "Reads `x \\| y` and a\\_t \\*once\\*, [arXiv 2605.03570](https://arxiv.org/abs/2605.03570).\n\n```text\nz = a * b\n```\n\n- one\n  more\n\nlast"
    )
    assert prose.rst(["`x` and a * b:", "    z"]) == ["``x`` and a \\* b:", "", "::", "", "    z", ""]


def test_a_rate_that_is_no_more_in_the_table_is_missed() -> None:
    with pytest.raises(ValueError, match="has none of the rates"):
        pages.rates(
            "<!-- null rates: begin -->\nNull: one.\n| percent | 5x1 |\n| other | 5 |\n<!-- null rates: end -->", ["gone"]
        )


def test_pages_unknown_to_the_menu_stand_at_its_end() -> None:
    menu = pages.contents(["tutorial", "brand_new", "index"])
    assert menu.index("tutorial") < menu.index(":caption: More") < menu.index("brand_new")
    assert "own_cohort" not in menu
