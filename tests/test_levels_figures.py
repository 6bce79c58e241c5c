"""Figures of robustness, learning curves and what sharing is worth: true to their tables, of 28 methods too, readable in grey."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import made_levels
import numpy as np
import pytest
from drawn import outline, words_of

from bench.report.figures import levels, marks
from bench.report.figures.furniture import FRAME
from bench.report.figures.marks import Dots, Lines, Page

FOUR = ("single_task", "hard_sharing", "mmoe", "orthtd")
TASKS = ("mean", "aki")
MANY = ("single_task", *(f"method_{i:02d}" for i in range(26)), "mmoe:experts=16:width=128:balance=gradient_surgery_without_end")


def drawings(methods: Sequence[str]) -> dict[str, Page]:
    curves = made_levels.learning(methods, TASKS)
    families = {"single-task": methods[:1], "sharing": methods[1:]}
    return {
        "robustness": levels.robustness(made_levels.robustness(methods, TASKS), methods, methods[0], "aki", "cohort, aki"),
        "learning": levels.learning(curves, methods, methods[0], "aki", "cohort, aki"),
        "worth": levels.worth(made_levels.worth(methods, TASKS), curves, families, "aki", "cohort, aki"),
    }


def number(text: str) -> float:
    return float(text.replace("\u2212", "-").replace(",", ""))


def scale(page: Page, panel: int) -> tuple[float, float]:
    """Slope and intercept from y in mm to the numbers at the left of a panel in the first line of them."""
    written_at = [(mark.x, mark.y, number(mark.text)) for mark in words_of(page) if mark.anchor == "end"]
    x = sorted({at[0] for at in written_at})[panel]
    of = [(y - lower(5.5), value) for at, y, value in written_at if at == x]
    slope, start = np.polyfit([y for y, _ in of], [value for _, value in of], 1)
    return float(slope), float(start)


def lower(size: float) -> float:
    return 0.36 * size * marks.POINT


def bottom(page: Page) -> float:
    """Of the lowest panels."""
    return max(float(p[:, 1].max()) for m in page.marks if isinstance(m, Lines) for p in m.paths if len(p) == 5)


def edges(page: Page) -> list[tuple[float, float]]:
    """Left and right edges of the panels, from their frames."""
    boxes = [path for mark in page.marks if isinstance(mark, Lines) for path in mark.paths if len(path) == 5]
    return sorted({(round(float(b[:, 0].min()), 3), round(float(b[:, 0].max()), 3)) for b in boxes})


@pytest.mark.parametrize("kind", ["robustness", "learning"])
def test_dots_and_bars_are_the_numbers_of_the_table(kind: str) -> None:
    page, by = drawings(FOUR)[kind], {"robustness": "missing", "learning": "patients"}[kind]
    table = getattr(made_levels, kind)(FOUR, TASKS)
    looks = dict(zip(FOUR, (levels.AGAINST, *levels.LINES), strict=False))
    for panel, metric in enumerate(("auroc", "ap")):
        slope, start = scale(page, panel)
        left, right = edges(page)[panel]
        for method, (pen, look) in looks.items():
            own = table[(table["method"] == method) & (table["task"] == "aki") & (table["metric"] == metric)].sort_values(by)
            at = np.vstack(
                [m.at[(m.at[:, 0] > left) & (m.at[:, 0] < right)] for m in page.marks if isinstance(m, Dots) and m.look == look]
            )
            at = at[np.argsort(at[:, 0])]
            assert slope * at[:, 1] + start == pytest.approx(100 * own["value"], abs=0.01)
            bars = [
                path
                for mark in page.marks
                if isinstance(mark, Lines) and mark.pen == replace(pen, width=0.5, dash=())
                for path in mark.paths
                if len(path) == 2 and left < path[0, 0] == path[1, 0] < right and path[:, 1].max() < bottom(page)
            ]
            bars.sort(key=lambda path: path[0, 0])
            ends = np.array([np.sort(slope * path[:, 1] + start) for path in bars])
            assert ends == pytest.approx(100 * own[["low", "high"]].to_numpy(), abs=0.01)
            assert [path[0, 0] for path in bars] == pytest.approx(at[:, 0])


def test_marks_stand_over_their_level() -> None:
    # of four methods the marks are 0.5 mm apart: at most 0.75 mm beside the tick of their level
    for kind, ticks in (("robustness", ("0", "25", "50", "75")), ("learning", ("200", "500", "1,000", "9,444"))):
        page = drawings(FOUR)[kind]
        left, right = edges(page)[0]
        at = np.array([m.x for m in words_of(page) if m.text in ticks and m.anchor == "middle" and left < m.x < right])
        assert len(at) == 4
        found = np.concatenate([m.at[:, 0] for m in page.marks if isinstance(m, Dots)])
        found = found[(found > left) & (found < right)]
        assert len(found) == 16
        assert np.abs(found[:, None] - at).min(axis=1).max() == pytest.approx(0.75)
    assert at == pytest.approx(at[0] + np.log(np.array([1, 2.5, 5, 47.22])) / np.log(47.22) * (at[-1] - at[0]))  # logarithmic


def test_worth_draws_what_the_baseline_needs_and_arrows_where_it_was_not_measured() -> None:
    table = made_levels.worth(FOUR[:2], TASKS)
    page = drawings(FOUR[:2])["worth"]
    texts = words_of(page)
    ticks = sorted((number(m.text), m.x) for m in texts if m.anchor == "middle" and m.text in ("200", "1,000", "9,444"))[::2]
    slope, start = np.polyfit(np.log([n for n, _ in ticks]), [x for _, x in ticks], 1)
    own = table[(table["task"] == "aki") & (table["metric"] == "auroc")]
    names = [f"hard_sharing, {n}" for n in ("200", "500", "1,000")]
    rows = {m.text: m.y - lower(6) for m in texts if m.text in names}
    half = page.width / 2
    right = max(
        p[:, 0].max() for m in page.marks if isinstance(m, Lines) and m.pen == FRAME for p in m.paths if p[:, 0].max() < half
    )
    for (_, row), name in zip(own.iterrows(), names, strict=True):
        at = [(m.look, x) for m in page.marks if isinstance(m, Dots) for x, y in m.at if abs(y - rows[name]) < 0.01 and x < half]
        needed = row["needed"] if row["reached"] else 9444
        dots = [x for look, x in at if look.radius > 0.6]
        assert dots == pytest.approx([slope * np.log(needed) + start], abs=0.02)
        heads = [look.shape for look, _ in at if look.radius < 0.6]
        assert heads == ["right"] * int(np.isinf(row["high"]))
        if not row["reached"]:
            assert levels.BOUND in [look for look, _ in at]
        # the method's own patients are a stroke; the interval ends at its numbers
        strokes = [
            p
            for m in page.marks
            if isinstance(m, Lines)
            for p in m.paths
            if np.ptp(p[:, 0]) == 0 and abs(p[:, 1].mean() - rows[name]) < 0.01 and p[0, 0] < half
        ]
        assert [p[0, 0] for p in strokes] == pytest.approx([slope * np.log(row["patients"]) + start], abs=0.02)
        bars = [
            p
            for m in page.marks
            if isinstance(m, Lines) and m.pen.width == 0.8
            for p in m.paths
            if abs(p[0, 1] - rows[name]) < 0.01 and p[0, 0] < half
        ]
        ends = [row["patients"] + row["low"], min(row["patients"] + row["high"], np.exp((right - start) / slope))]
        assert [p[:, 0].tolist() for p in bars] == [pytest.approx(slope * np.log(ends) + start, abs=0.02)]
    said = {mark.text for mark in texts}
    # 1.68 x 200 - 200 = 136; a fifth of 200 and 1.5 times 200; beyond 9,444 patients are 8,944 more than 500
    assert {"136 [40, 300]", "\u2212100 [\u2212300, >8,944]", ">8,444 [500, >8,444]"} <= said
    assert "not reached within" in " ".join(said)


def test_an_interval_that_is_open_at_both_ends_has_two_arrows() -> None:
    # the sixth case: (-inf, inf), that of the fourth multi-task method at 1,000 patients
    page = drawings((*FOUR, "ple", "stem"))["worth"]
    y = next(m.y for m in words_of(page) if m.text == "ple, 1,000") - lower(6)
    found = [
        (x, m.look.shape)
        for m in page.marks
        if isinstance(m, Dots)
        for x, at in m.at
        if abs(at - y) < 0.01 and m.look.radius < 0.6
    ]
    shapes = [shape for _, shape in sorted(found)]
    rows = made_levels.worth((*FOUR, "ple", "stem"), TASKS).query("method == 'ple' and patients == 1000 and task == 'aki'")
    ends = [end for _, row in rows.iterrows() for end in (row["low"], row["high"]) if np.isinf(end)]
    assert ends == [-np.inf, np.inf] * 2  # of both metrics
    assert shapes == ["left", "right"] * 2
    assert np.diff([x for x, _ in sorted(found)])[::2].min() > 20  # mm, at the two ends of a panel


@pytest.mark.parametrize("kind", ["robustness", "learning", "worth"])
def test_28_methods_fit_a_page_and_are_all_named(kind: str) -> None:
    page = drawings(MANY)[kind]
    assert page.width == marks.TWO_COLUMNS
    assert page.height < 235  # of an A4 page between margins
    said = " ".join(mark.text for mark in words_of(page))
    shown = MANY[1:27] if kind == "worth" else MANY[:27]
    assert [name for name in shown if name not in said] == []
    assert "surgery_without_end"[-8:] in said
    boxes = [(mark.text, outline(mark)) for mark in words_of(page)]
    for text, (left, top, right, bottom) in boxes:
        assert 0.3 <= left < right <= page.width - 0.3, text
        assert 0 <= top < bottom <= page.height, text
    for (one, a), (two, b) in combinations(boxes, 2):
        assert min(a[2], b[2]) - max(a[0], b[0]) < 0.05 or min(a[3], b[3]) - max(a[1], b[1]) < 0.05, (one, two)


def test_where_not_all_sizes_fit_it_says_so() -> None:
    said = [" ".join(m.text for m in words_of(drawings(methods)["worth"])) for methods in (FOUR, MANY)]
    assert "The smallest sizes" not in said[0]
    assert "The smallest sizes, up to 500 patients; the others are in the table." in said[1]
    assert "method_00, 500" in said[1]
    assert "method_00, 1,000" not in said[1]


def test_lines_differ_without_colour() -> None:
    styles = [levels.AGAINST, *levels.LINES]
    assert len({(pen.dash, look.shape, look.fill == marks.PAPER) for pen, look in styles}) == len(styles)
    assert levels.AGAINST[0].dash  # of the baseline the line too
    assert not any(pen.dash for pen, _ in levels.LINES)
    assert len({look.shape for look in (levels.WORTH, levels.BOUND)}) == 2


def test_one_far_off_method_is_an_arrow_and_presses_none_flat() -> None:
    table = made_levels.robustness(MANY[:12], TASKS)
    far = table["method"] == MANY[11]
    table.loc[far, ["value", "low", "high"]] -= 0.5
    page = levels.robustness(table, MANY[:12], MANY[0], "aki", "cohort, aki")
    arrows = [mark for mark in page.marks if isinstance(mark, Dots) and mark.look.shape == "down"]
    assert sum(len(mark.at) for mark in arrows) == 2 * 4  # two metrics, four levels
    slope, _ = scale(page, 0)
    tall = np.ptp(next(p for m in page.marks if isinstance(m, Lines) for p in m.paths if len(p) == 5)[:, 1])
    assert abs(slope) * tall < 40  # of 34 points down to 50 below


def test_a_method_without_a_level_is_drawn_at_the_others() -> None:
    curves = made_levels.learning(FOUR, TASKS)
    gone = (curves["method"] == "mmoe") & (curves["patients"] == 9444)
    page = levels.learning(curves[~gone], FOUR, FOUR[0], "aki", "cohort, aki")
    look = levels.LINES[FOUR.index("mmoe") - 1][1]
    assert sum(len(m.at) for m in page.marks if isinstance(m, Dots) and m.look == look) == 2 * 3 + 1  # and in the key
    none = levels.learning(curves[curves["method"] != "mmoe"], FOUR, FOUR[0], "aki", "cohort, aki")
    assert "mmoe" not in {m.text for m in words_of(none)}
    half = levels.learning(
        curves[~((curves["method"] == "mmoe") & (curves["metric"] == "ap"))], FOUR, FOUR[0], "aki", "cohort, aki"
    )
    heights = {m.text: m.y for m in words_of(half) if m.text in FOUR}
    assert set(heights) == set(FOUR)  # it has a line in the first panel
    assert max(heights, key=lambda name: heights[name]) == "mmoe"  # and none in the last, where the names stand
    alone = levels.learning(curves[curves["metric"] == "auroc"], FOUR, "nobody", "aki", "cohort, aki")
    assert alone.width == marks.ONE_COLUMN


@pytest.mark.parametrize(
    ("wanted", "low", "high", "expected"),
    [
        ([5, 5, 5], 0, 20, [3, 5, 7]),  # around where they want to be
        ([1, 9], 0, 20, [1, 9]),
        ([9, 1], 0, 20, [9, 1]),
        ([0, 0, 10], 0, 20, [0, 2, 10]),  # not beyond the edge
        ([20, 20, 19], 0, 20, [18, 20, 16]),
        ([5, 5, 5, 5], 4, 6, [4, 6, 8, 10]),  # no room: beyond the lower edge, in order
    ],
)
def test_names_stand_apart(wanted: list[float], low: float, high: float, expected: list[float]) -> None:
    assert levels.apart(np.array(wanted, float), 2.0, low, high).tolist() == pytest.approx(expected)
