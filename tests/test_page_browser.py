"""index.html in a real headless Chromium: by mouse, by keyboard, by touch, on a phone, on paper, in the dark and without its script."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paged import HOSTILE, METHODS, frames_of, hostile_page, results, small_page

from bench.report import page

CHROMIUM = "/usr/bin/chromium"
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip

playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"needs {CHROMIUM}")

Show = Callable[..., Any]  # (file, settings of the browser's context) -> playwright's Page


@pytest.fixture(scope="module")
def text() -> str:
    return small_page()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield launched
        launched.close()


@pytest.fixture
def show(browser: Any, text: str, tmp_path: Path) -> Iterator[Show]:
    """Opens a text from disk; afterwards nothing may have been asked for, logged or raised."""
    wrong: list[str] = []
    contexts: list[Any] = []

    def opened(content: str = text, **settings: Any) -> Any:
        file = tmp_path / "index.html"
        file.write_text(content, "utf-8")
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings}))
        view = contexts[-1].new_page()
        view.on("console", lambda message: wrong.append(f"console: {message.text}"))
        view.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        view.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        view.on("request", lambda request: wrong.append(f"request: {request.url}") if request.url != file.as_uri() else None)
        view.goto(file.as_uri())
        return view

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def column(view: Any, title: str, index: int) -> list[str]:
    """The visible cells of a column of the table with this title, without the families, the marks and what is behind numbers."""
    return view.evaluate(
        """([title, index]) => {
            const table = [...document.querySelectorAll("table")].find((t) => t.caption.textContent === title);
            return [...table.tBodies[0].rows]
                .filter((row) => row.className !== "family" && !row.hidden)
                .map((row) => {
                    const cell = row.cells[index].cloneNode(true);
                    cell.querySelectorAll("sup, small, .tip").forEach((part) => part.remove());
                    return cell.textContent.trim();
                });
        }""",
        [title, index],
    )


def heading(view: Any, title: str, name: str) -> Any:
    return view.get_by_role("region", name=title, exact=True).get_by_role("button", name=name)


def tip(view: Any) -> str:
    """What is told about a number now; "" if nothing."""
    return "\n".join(view.locator(".tip:visible").all_inner_texts())


def test_a_heading_sorts_down_up_and_back(show: Show) -> None:
    view = show()
    as_it_was = column(view, "AUROC, %", 0)
    for order in ("descending", "ascending"):
        heading(view, "AUROC, %", "stroke").click()
        values = [float(value) for value in column(view, "AUROC, %", 3)]
        assert values == sorted(values, reverse=order == "descending")
        head = view.locator(f"th[aria-sort={order}]")
        assert head.inner_text().startswith("stroke")
        assert view.locator("#comparison .box:first-of-type .family:visible").count() == 0  # they would head nothing
    heading(view, "AUROC, %", "stroke").click()
    assert column(view, "AUROC, %", 0) == as_it_was
    heading(view, "AUROC, %", "Method").click()
    assert column(view, "AUROC, %", 0) == sorted(METHODS)
    assert view.locator("#comparison tfoot tr").first.inner_text().startswith("chance")  # where it was


def test_what_is_missing_sorts_last_either_way(show: Show) -> None:
    given = results()
    gone = (given.predictions["method"] == "poor") | (given.predictions["fold"] == 9)
    cells = given.cells.assign(status=["declined" if m == "poor" else "done" for m in given.cells["method"]])
    view = show(page.render(frames_of(replace(given, predictions=given.predictions[~gone], cells=cells)), {}))
    for _ in range(2):
        heading(view, "AUROC, %", "stroke").click()
        assert column(view, "AUROC, %", 0)[-1] == "poor"


def test_search_and_family(show: Show) -> None:
    view = show()
    view.get_by_label("Method", exact=True).fill("GOOD")
    assert column(view, "AUROC, %", 0) == ["good_one"]
    assert set(column(view, "Calibration", 0)) == {"good_one"}
    assert view.locator("#comparison .family:visible").all_inner_texts() == ["sharing"] * 2  # of AUROC and of AP
    assert view.locator("#count").inner_text() == "1 of 4 methods"
    view.get_by_label("Method", exact=True).fill("")
    view.get_by_label("Family", exact=True).select_option("trees")
    assert column(view, "AUROC, %", 0) == ["poor"]
    view.get_by_role("button", name="Show all").click()
    playwright.expect(view.locator("#count")).to_have_text("4 of 4 methods")  # a moment after the form was reset
    assert sorted(column(view, "AUROC, %", 0)) == sorted(METHODS)


def test_pickers_of_outcome_and_metric(show: Show) -> None:
    view = show()
    view.get_by_label("Outcome", exact=True).select_option("stroke")
    assert [t.split("\n")[0] for t in view.locator("#comparison thead").first.locator("th:visible").all_inner_texts()] == [
        "Method",
        "stroke",
    ]
    assert set(column(view, "Calibration", 1)) == {"stroke"}
    assert {f.get_attribute("data-task") for f in view.locator("figure:visible").all()} == {"stroke", None}
    view.get_by_label("Metric", exact=True).select_option("ap")
    assert view.locator("#comparison caption:visible").all_inner_texts() == ["Average precision, %"]
    assert set(column(view, "Every method against ref", 2)) == {"AP"}
    view.get_by_label("Outcome", exact=True).select_option("mean")
    assert view.locator("#discrimination").get_by_text("Not drawn for this outcome.").is_visible()  # there is no mean ROC curve


def test_figures_are_shown_one_outcome_at_a_time(show: Show) -> None:
    view = show()
    box = view.locator("#calibration")
    assert [f.get_attribute("data-task") for f in box.locator("figure:visible").all()] == ["any_event"]
    box.get_by_role("button", name="stroke").click()
    assert [f.get_attribute("data-task") for f in box.locator("figure:visible").all()] == ["stroke"]
    assert box.get_by_role("button", name="stroke").get_attribute("aria-pressed") == "true"


def test_what_is_behind_a_number_by_mouse(show: Show) -> None:
    view = show()
    number = view.locator("tr[data-method=good_one] .v").first
    number.hover()
    assert re.match(r"good_one, mean: AUROC \d\d\.\d\n95 % interval [\d.]+ to [\d.]+\nagainst ref: \+", tip(view))
    box, at = view.locator(".tip.on").bounding_box(), number.bounding_box()
    assert abs(box["y"] - (at["y"] + at["height"])) < 12  # right below it
    view.keyboard.press("Escape")
    assert tip(view) == ""
    view.locator("h1").hover()
    number.hover()
    view.locator("h1").hover()
    assert tip(view) == ""


def test_by_keyboard_alone(show: Show) -> None:
    view = show()

    def press(key: str, until: str, most: int = 60) -> None:
        for _ in range(most):
            view.keyboard.press(key)
            if view.evaluate(f"document.activeElement.matches({until!r})"):
                return
        raise AssertionError(f"{key} never reached {until}")

    press("Tab", ".skip", 1)
    assert view.locator(".skip").bounding_box()["x"] >= 0  # seen once it has the focus
    view.keyboard.press("Enter")
    press("Tab", "#search", 2)
    press("Tab", "#comparison .sort")
    view.keyboard.press("Enter")  # words sort up first
    assert column(view, "AUROC, %", 0) == sorted(METHODS)
    press("Tab", "#comparison .v")
    first = tip(view)
    assert first.startswith(sorted(METHODS)[0])
    view.keyboard.press("ArrowDown")
    assert tip(view).startswith(f"{sorted(METHODS)[1]}, mean")
    view.keyboard.press("ArrowRight")
    assert tip(view).startswith(f"{sorted(METHODS)[1]}, any_event")
    view.keyboard.press("ArrowLeft")
    view.keyboard.press("ArrowUp")
    assert tip(view) == first
    view.keyboard.press("Escape")
    assert tip(view) == ""
    press("Tab", "#comparison ~ section summary", 40)
    view.keyboard.press("Enter")
    assert view.get_by_text("Corrected t (Nadeau and Bengio)").is_visible()
    assert view.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_by_touch_on_a_phone(show: Show) -> None:
    view = show(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    view.locator("details.fold").evaluate_all("(all) => all.forEach((one) => (one.open = true))")
    assert view.evaluate("document.documentElement.scrollWidth") <= 390
    wide = view.evaluate(
        """[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1
            && !e.closest(".scroll, figure, .skip, .heard")).map((e) => e.tagName + " " + e.className)"""
    )
    assert wide == []
    number = view.locator("tr[data-method=good_one] .v").first
    number.tap()
    assert tip(view).startswith("good_one, mean")
    box = view.locator(".tip.on").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    view.locator("h2").first.tap()
    assert tip(view) == ""
    view.locator("#comparison .scroll").first.evaluate("(box) => (box.scrollLeft = 400)")
    assert view.locator("#comparison tr[data-method=good_one] th").first.bounding_box()["x"] >= 0  # names stay in sight


CONTRAST = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => {
        const part = (x) => (x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    };
    const under = (element) => {
        for (let at = element; at !== null; at = at.parentElement) {
            const colour = rgb(getComputedStyle(at).backgroundColor);
            if (colour[3] > 250) return colour;
        }
        return [255, 255, 255, 255];
    };
    const found = {};
    for (const element of document.querySelectorAll("body *:not(svg):not(svg *):not(script)")) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!own || element.getClientRects().length === 0) continue;
        const [a, b] = [light(rgb(getComputedStyle(element).color)), light(under(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const name = `${element.tagName}.${element.className}`;
        found[name] = Math.min(found[name] ?? 99, ratio);
    }
    return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme: str, show: Show) -> None:
    view = show(color_scheme=scheme)
    view.locator("tr[data-method=good_one] .v").first.focus()
    found = view.evaluate(CONTRAST)
    assert len(found) > 25
    # WCAG 2.2, 1.4.3 level AA: 4.5 for text
    assert {name: ratio for name, ratio in found.items() if ratio < 4.5} == {}
    dark = view.evaluate("getComputedStyle(document.documentElement).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")


def test_the_heading_of_a_table_stays_in_sight(show: Show) -> None:
    view = show(viewport={"width": 1280, "height": 600})
    view.get_by_role("region", name="Split receipt").evaluate(
        "(box) => window.scrollTo(0, box.getBoundingClientRect().bottom + scrollY - 180)"
    )
    view.wait_for_timeout(600)  # smooth scrolling
    head = view.get_by_role("region", name="Split receipt").locator("thead th").first.bounding_box()
    pickers = view.locator(".tools").bounding_box()
    assert head["y"] == pytest.approx(pickers["y"] + pickers["height"], abs=2)


def test_without_its_script_the_page_is_whole(show: Show, text: str) -> None:
    view = show(java_script_enabled=False)
    assert view.locator(".tools:visible").count() == 0
    assert view.locator("figure:visible").count() == text.count("<figure")
    assert view.locator("#comparison tbody tr:visible").count() == 2 * (4 + 3)  # AUROC and AP: methods and families
    view.locator("tr[data-method=good_one] .v").first.focus()
    assert tip(view).startswith("good_one, mean: AUROC")


def test_hostile_names_do_nothing(show: Show) -> None:
    view = show(hostile_page())
    assert view.locator("h1").inner_text() == HOSTILE[0]
    assert view.locator("img, script:not(body > script), b").count() == 0
    assert sorted(column(view, "AUROC, %", 0)) == sorted(HOSTILE)
    for name in HOSTILE:
        view.get_by_label("Method", exact=True).fill(name)
        assert column(view, "AUROC, %", 0) == [name]
    view.get_by_role("button", name="Show all").click()
    for task in (HOSTILE[0], HOSTILE[1], HOSTILE[3]):
        view.get_by_label("Outcome", exact=True).select_option(task)
        assert view.locator("#comparison thead").first.locator("th:visible").last.inner_text().startswith(task)
    view.get_by_role("button", name="Show all").click()
    for number in view.locator("#comparison .v:visible").all()[:5]:
        number.hover()
    heading(view, "AUROC, %", "Method").click()


def test_markup_that_got_in_could_neither_run_nor_load(browser: Any, text: str, tmp_path: Path) -> None:
    added = (
        "<script>document.title = 'owned'</script><img src='http://127.0.0.1:9/x.png' onerror=\"document.title = 'owned'\"><main"
    )
    (tmp_path / "index.html").write_text(text.replace("<main", added), "utf-8")
    view = browser.new_page()
    refused: list[str] = []
    view.on("console", lambda message: refused.append(message.text))
    view.goto((tmp_path / "index.html").as_uri())
    assert view.title() == "demo: comparison of methods"
    assert len([line for line in refused if "Content Security Policy" in line]) >= 2
    assert view.locator(".tools").is_visible()  # the page's own script runs
    view.close()
