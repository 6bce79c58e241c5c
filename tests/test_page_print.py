"""index.html on paper: what is folded on a screen is printed, with and without its script."""

import html
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paged import small_page, tables
from printed import letters, squeezed

CHROMIUM = "/usr/bin/chromium"

playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"needs {CHROMIUM}")

Show = Callable[..., Any]  # (settings of the browser's context) -> playwright's Page


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Show]:
    file = tmp_path / "index.html"
    file.write_text(small_page(), "utf-8")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])

        def opened(**settings: Any) -> Any:
            view = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings}).new_page()
            view.goto(file.as_uri())
            return view

        yield opened
        browser.close()


def test_on_paper(show: Show) -> None:
    view = show(color_scheme="dark", viewport={"width": 700, "height": 990})
    view.emulate_media(media="print")
    assert view.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert view.locator(".tools:visible, nav:visible, .chips:visible, .tip:visible").count() == 0
    assert view.locator("figure:visible").count() == view.locator("figure").count()  # of all outcomes
    assert view.evaluate("getComputedStyle(document.querySelector('#comparison thead')).display") == "table-header-group"
    assert view.evaluate("document.documentElement.scrollWidth") <= 700
    assert view.evaluate("[...document.querySelectorAll('.scroll')].every((box) => getComputedStyle(box).overflow === 'visible')")
    printed = view.pdf(prefer_css_page_size=True)
    sizes = set(re.findall(rb"/MediaBox \[([\d. ]+)\]", printed))
    assert {tuple(round(float(x)) for x in size.split()) for size in sizes} == {(0, 0, 595, 842)}  # A4 in points
    view.emulate_media(media="screen")
    view.get_by_label("Outcome", exact=True).select_option("stroke")
    view.emulate_media(media="print")
    assert {f.get_attribute("data-task") for f in view.locator("figure:visible").all()} == {"stroke", None}


@pytest.mark.parametrize("script", [True, False])
def test_all_there_is_is_on_paper(script: bool, show: Show) -> None:
    view = show(java_script_enabled=script)
    folds = view.locator(".fold").count()
    paper = letters(view.pdf(prefer_css_page_size=True))
    found = tables(small_page())
    assert len(found) > 25
    for title, (head, *rows) in found.items():
        if any(
            "95 % interval " in cell for row in rows for cell in row
        ):  # what is behind these numbers is no text of the page: see the tables with intervals
            continue
        assert squeezed(html.unescape(title)) in paper, title
        for words in (*head, *(cell for row in rows for cell in row)):
            assert squeezed(words).replace("\u2026", "...") in paper, (title, words)
    for words in ("p, unadjusted", "Net benefit differences by threshold, stroke", "Mean gain over single-task (Delta m)"):
        assert squeezed(words) in paper
    if script:
        assert view.locator(".fold:not([open])").count() == folds > 15  # closed again after the print
        # the heading of a table of 36 rows stands on every page that it is on
        assert paper.count(squeezed("p DeLong, unadjusted")) > 1
