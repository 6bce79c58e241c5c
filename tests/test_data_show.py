"""`bench data show`: what stands in the page, and that it asks for nothing."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from data_commands import N, filled, hostile, patients, ran, said
from own_files import own_cohort
from paged import Document, tables

from bench.cohorts import look, summary
from bench.report import cohort as page

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return filled(tmp_path)


# ---- show


def test_one_page_that_asks_for_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "init", "patients.csv", "labs.parquet")
    status, out = said(capsys, "show", "cohort.toml", "--out", "page.html", "--json")
    told = json.loads(out)
    assert (status, told["page"], told["rows"], told["stop"]) == (0, "page.html", N, [])
    assert [one["outcome"] for one in told["outcomes"]] == ["icu_days_1", "died", "readmitted"]
    text = (folder / "page.html").read_text("utf-8")
    document = Document(text)
    assert document.problems == []
    for attribute in ("src", "href", "action", "srcset", "data", "xlink:href"):
        assert all(value.startswith(("#", "data:,")) for value in document.values(attribute)), attribute
    assert not re.search(r"https?:|url\(|@import|<script", text)
    ids = document.values("id")
    assert len(set(ids)) == len(ids)
    assert {v[1:] for v in document.values("href") if v.startswith("#")} <= set(ids)
    assert set(ids) >= {"alarms", "outcomes", "together", "strongest", "missing", "modalities", "subgroups"}
    assert text.count("<svg") == 6  # outcomes, phi, missing, series, text, subgroups; one column alone misses nothing together


def test_the_page_says_what_the_summary_says(folder: Path) -> None:
    ran("init", "patients.csv", "labs.parquet")
    seen = look.own(folder / "cohort.toml")
    made = tables(page.render(seen))
    head, *rows = made["Outcomes"]
    assert head[:5] == ["Outcome", "What it is", "Known", "Events", "Prevalence, %"]
    events = int(patients()["died"].sum())
    died = next(row for row in rows if row[0] == "died")
    low, high = summary.wilson(events, N)
    assert died[2:5] == [str(N), str(events), f"{100 * events / N:.1f} ({100 * low:.1f} to {100 * high:.1f})"]
    columns = {row[0]: row for row in made["Columns"]}
    assert columns["crea"][1:3] == ["numeric", f"{100 * patients()['crea'].isna().mean():.1f}"]
    assert columns["icu_days"][1] == "role"
    by_level = {(row[0], row[1]): row[2] for row in made["Prevalence by subgroup, %"][1:]}
    assert by_level["sex", "f"] == str(int((patients()["sex"] == "f").sum()))


def test_wilson_by_hand() -> None:
    # 2 of 10: p = .2, z^2 = 3.841459; middle (.2 + .192073) / 1.384146 = .283259; half 1.959964 sqrt(.016 + .009604) / 1.384146 = .226577
    low, high = summary.wilson(2, 10)
    assert (low, high) == (pytest.approx(0.283259 - 0.226577, abs=1e-5), pytest.approx(0.283259 + 0.226577, abs=1e-5))
    assert np.isnan(summary.wilson(0, 0)).all()


def test_hostile_names_are_text_in_the_page(folder: Path) -> None:
    assert ran("show", str(hostile(folder)), "--out", "odd.html") == 0
    text = (folder / "odd.html").read_text("utf-8")
    document = Document(text)
    assert document.problems == []
    tags = {tag for tag, _ in document.elements}
    assert not tags & {"script", "img", "b", "i", "u"}
    assert "\x1b" not in text
    assert "<script>alert(1)</script>" in document.words
    assert "<b>a</b>" in document.words


@pytest.mark.parametrize("name", ["surgical:n=1500", "independent"])
def test_bundled_datasets_are_shown_too(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = said(capsys, "show", name)
    assert status == 0
    assert out.startswith(name.partition(":")[0])
    text = (folder / out.strip()).read_text("utf-8")
    assert Document(text).problems == []
    assert "Synthetic patients" in text  # it is said before any number


def test_alarms_come_first(folder: Path) -> None:
    frame = (
        patients()
        .rename(columns={"patient_id": "id"})
        .assign(copy=lambda d: d["died"].astype(float), twin=lambda d: 1.0 - d["died"])
    )
    path = own_cohort(folder, frame, 'died = "died"', 'allow_leak = "twin"\n[columns]\nonly = ["age", "copy", "twin"]\n')
    assert ran("show", str(path), "--out", "page.html") == 0
    before, _, after = (folder / "page.html").read_text("utf-8").partition("<main")
    assert "1 leakage alarm: a run stops here" in before
    words = Document("<main" + after).words
    assert words.index("column 'copy' is nearly") < words.index("Let through by name: column 'twin'")


@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"needs {CHROMIUM}")
def test_on_a_phone_in_the_dark_and_on_paper(folder: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    ran("show", str(hostile(folder)), "--out", "odd.html")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    wrong: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=quiet)
        view = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        view.on("console", lambda message: wrong.append(message.text))
        view.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        uri = (folder / "odd.html").as_uri()
        view.on("request", lambda request: wrong.append(request.url) if request.url != uri else None)
        view.goto(uri)
        view.locator("details.fold").evaluate_all("(all) => all.forEach((one) => (one.open = true))")
        assert view.evaluate("document.documentElement.scrollWidth") <= 390
        assert view.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(20, 24, 28)"
        view.emulate_media(media="print")
        assert view.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
        assert view.locator("nav:visible").count() == 0
        assert view.locator("figure:visible").count() == view.locator("figure").count() > 4
        browser.close()
    assert wrong == []
