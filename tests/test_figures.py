"""Figures: every one draws from tables written by hand, with hostile names, in three formats, and reads in grey."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, product
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from drawn import FRAMES, LONG, NAMES, PER_TASK, RNG, TASKS, clinical, interval, made, others, outline, table, words_of

from bench.core import BenchError
from bench.report import figures
from bench.report.figures import curves, forest, lettering, maps, marks, panels, scales
from bench.report.figures.marks import Areas, Dots, Lines, Words


def test_what_is_offered() -> None:
    assert {name for name, _ in NAMES} == set(figures.FIGURES) == PER_TASK | {"pareto", "affinity"}
    assert [t for name, t in NAMES if name == "forest"] == ["mean", *TASKS]
    assert [t for name, t in NAMES if name == "roc"] == list(TASKS)
    assert [t for name, t in NAMES if name == "pareto"] == [""]


@pytest.mark.parametrize(("figure", "task"), NAMES)
def test_svg_is_harmless_xml_and_small(figure: str, task: str) -> None:
    text = figures.svg(figures.page(FRAMES, figure, task))
    root = ElementTree.fromstring(text)
    for node in root.iter():
        assert node.tag in {"svg", "path", "text", "g", "circle"}
        assert not [key for key in node.attrib if key.startswith("on") or "href" in key or key == "id"]
        assert "url(" not in "".join(node.attrib.values())
    assert "<script" not in text
    assert "<?xml" not in text
    assert not set(text) & {"\x1b", "\u202e"}
    assert "currentColor" in text
    assert '"#000000"' not in text  # ink follows the page in dark mode
    assert len(text) < 40_000


@pytest.mark.parametrize(("figure", "task"), NAMES)
def test_words_stand_inside_the_page_and_apart(figure: str, task: str) -> None:
    page = figures.page(FRAMES, figure, task)
    boxes = [(mark.text, outline(mark)) for mark in words_of(page)]
    assert min(mark.size for mark in words_of(page)) >= 5.5
    for text, (left, top, right, bottom) in boxes:
        assert left >= 0.3, text
        assert right <= page.width - 0.3, text
        assert 0 <= top < bottom <= page.height, text
    for (one, a), (two, b) in combinations(boxes, 2):
        assert min(a[2], b[2]) - max(a[0], b[0]) < 0.05 or min(a[3], b[3]) - max(a[1], b[1]) < 0.05, (one, two)


@pytest.mark.parametrize(("figure", "task"), NAMES)
def test_lines_and_dots_stand_inside_the_page(figure: str, task: str) -> None:
    page = figures.page(FRAMES, figure, task)
    for mark in page.marks:
        points = [] if isinstance(mark, Words) else [mark.at] if isinstance(mark, Dots) else list(mark.paths)
        for at in points:
            assert np.isfinite(at).all()
            assert (at >= 0).all()
            assert (at <= [page.width, page.height]).all()


@pytest.mark.parametrize("methods", [1, 2, 4])
def test_words_of_few_panels_stand_inside_the_page(methods: int) -> None:
    own = FRAMES.risks["method"].unique()[:methods].tolist()
    page = curves.risks(FRAMES.risks, own, "aki", "a cohort, acute kidney injury within seven days of the operation, 589 events")
    for mark in words_of(page):
        left, top, right, bottom = outline(mark)
        assert 0.3 <= left < right <= page.width - 0.3, mark.text
        assert 0 <= top < bottom <= page.height, mark.text
    said = " ".join(mark.text for mark in words_of(page))  # the title in lines, not shortened
    assert all(text in said for text in ("the operation, 589 events: predicted risks by outcome", "% of each, root scale"))


def test_every_figure_says_that_patients_are_synthetic() -> None:
    for figure, task in NAMES:
        assert "Synthetic patients." in {mark.text for mark in words_of(figures.page(FRAMES, figure, task))}


@pytest.mark.parametrize(
    ("figure", "task", "said"),
    [
        ("forrest", "aki", "unknown figure 'forrest'. Did you mean 'forest'?"),
        ("roc", "", "of one outcome: add --task with one of aki"),
        ("roc", "mean", "unknown outcome of figure 'roc' 'mean'"),
        ("forest", "aky", "Did you mean 'aki'?"),
        ("pareto", "aki", "of all outcomes at once"),
    ],
)
def test_what_there_is_not_is_told(figure: str, task: str, said: str) -> None:
    for call in (figures.pages, figures.page):
        with pytest.raises(BenchError) as error:
            call(FRAMES, figure, task)
        assert said in str(error.value)


def test_empty_tables_offer_no_figure() -> None:
    nothing = {name: pd.DataFrame() for name in (*clinical(), *others())}
    bare = made(**nothing)
    assert {name for name, _ in figures.names(bare)} == {"forest", "ranks"}
    with pytest.raises(BenchError, match="nothing to show"):
        figures.page(bare, "roc", "aki")
    silent = {"smooth": FRAMES.smooth.assign(observed=np.nan), "costs": FRAMES.costs.assign(seconds=np.nan, parameters=np.nan)}
    assert not {"calibration", "pareto"} & {name for name, _ in figures.names(made(**silent))}


def test_a_method_without_predictions_keeps_its_place() -> None:
    for figure in ("roc", "pr", "calibration", "decision", "risks"):
        texts = [mark.text for mark in words_of(figures.page(FRAMES, figure, "aki"))]
        assert texts.count("no predictions") == 1, figure
        assert any(text.startswith("a[31m|b_{c}%\ufffd") for text in texts)  # and its name, cleaned
    texts = [mark.text for mark in words_of(figures.page(FRAMES, "forest", "aki"))]
    assert texts.count("\u2013") == 1  # of five methods and two metrics one pair is not there


def test_a_constant_prediction_is_seen_on_the_calibration_plot() -> None:
    # its curve is one point, drawn as a stroke of 1.6 by 1.6 mm
    page = figures.page(FRAMES, "calibration", "aki")
    drawn = [path for mark in page.marks if isinstance(mark, Lines) and mark.pen == curves.RAW for path in mark.paths]
    assert [np.ptp(path, axis=0).tolist() for path in drawn if np.ptp(path[:, 0]) < 2] == [pytest.approx([1.6, 1.6])]


def luma(colour: str) -> float:
    """0 black, 1 white, as a grey printer sees it."""
    return sum(int(colour[i : i + 2], 16) * w for i, w in ((1, 0.299), (3, 0.587), (5, 0.114))) / 255


def test_lines_that_meet_differ_without_colour() -> None:
    together = [
        (curves.OWN, curves.REFERENCE, curves.CHANCE),
        (curves.RAW, curves.RECALIBRATED, curves.CHANCE),
        (curves.RAW, curves.RECALIBRATED, curves.REFERENCE, curves.TREAT_ALL),
    ]
    for pens in together:
        for a, b in combinations(pens, 2):
            assert a.dash != b.dash or abs(luma(a.colour) - luma(b.colour)) > 0.3, (a, b)
    for looks in ((forest.BETTER, forest.WORSE, forest.OPEN), (forest.JOINT, forest.OWN)):
        assert len({(look.shape, look.fill == marks.PAPER) for look in looks}) == len(looks)
    styles = maps.looks([str(i) for i in range(16)]).values()
    assert len({(look.shape, look.fill == marks.PAPER) for look in styles}) == 16


def test_forest_marks_what_the_table_marks() -> None:
    # of four methods with AUROC, those with adjusted p = .001 are 1 (-3 points), 3 (+3) and 4 (+6); 2 has p = .6 and is open
    page = figures.page(FRAMES, "forest", "aki")
    count = dict.fromkeys((forest.BETTER, forest.WORSE, forest.OPEN), 0)
    for mark in page.marks:
        if isinstance(mark, Dots) and len(mark.at) and mark.at[0, 0] < 90 and mark.at[0, 1] > 20:  # the left column, not the key
            count[mark.look] += sum(mark.at[:, 0] < 90)
    assert list(count.values()) == [2, 1, 1]
    assert "+3.0 [1.0, 5.0]" in {mark.text for mark in words_of(page)}
    assert "\u22123.0 [\u22125.0, \u22121.0]" in {mark.text for mark in words_of(page)}


def test_an_estimate_beyond_the_axis_is_an_arrow_and_a_number() -> None:
    # twenty methods within a point, one 40 points below: the axis does not follow it
    names = [f"m{i}" for i in range(20)]
    rows = [(m, "ref", "aki", "auroc", *interval(0.001 * i - 0.01, 0.005), 0.5) for i, m in enumerate(names)]
    rows.append(("low", "ref", "aki", "auroc", *interval(-0.4, 0.01), 0.001))
    compared = table("method reference task metric difference low high p_adjusted", rows).assign(steady=True)
    page = forest.forest(compared, {"": ["ref", *names, "low"]}, "aki", "cohort")
    arrows = [mark for mark in page.marks if isinstance(mark, Dots) and mark.look.shape == "left"]
    assert [len(mark.at) for mark in arrows] == [1]
    assert "\u221240.0 [\u221241.0, \u221239.0]" in {mark.text for mark in words_of(page)}
    assert page.width == marks.ONE_COLUMN  # one metric: one column of print


def test_six_columns_abreast_and_the_rest_below() -> None:
    # 2 + 6 levels: 4 and 4
    titles = [mark for mark in words_of(figures.page(FRAMES, "subgroups", "aki")) if mark.text.startswith(("sex: ", "site: "))]
    assert sorted(len([m for m in titles if m.y == y]) for y in {m.y for m in titles}) == [4, 4]


def test_clip_cuts_where_the_line_crosses() -> None:
    # from (-1, 0) to (3, 4) crosses the unit square's left side at y = 1: only a corner; the box to (2, 2) it leaves at (1, 2)
    parts = scales.clip(np.array([[-1.0, 0.0], [3.0, 4.0]]), (0, 0), (2, 2))
    assert [part.tolist() for part in parts] == [[[0, 1], [1, 2]]]
    # out at the top and in again: two parts, from y = 0 up to 1 at x = 1, and down from x = 3
    parts = scales.clip(np.array([[0.0, 0.0], [2.0, 2.0], [4.0, 0.0]]), (0, 0), (4, 1))
    assert [part.tolist() for part in parts] == [[[0, 0], [1, 1]], [[3, 1], [4, 0]]]
    # NaN breaks the line
    parts = scales.clip(np.array([[0, 0], [1, 0], [np.nan, 0], [2, 0], [3, 0.0]]), (0, 0), (4, 1))
    assert [part.tolist() for part in parts] == [[[0, 0], [1, 0]], [[2, 0], [3, 0]]]
    assert scales.clip(np.array([[5.0, 5.0], [6.0, 6.0]]), (0, 0), (1, 1)) == []


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 1, 5, ["0.0", "0.5", "1.0"]),  # steps of .2 would be six
        (0, 1, 6, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (-3.9, 1.2, 6, ["\u22123", "\u22122", "\u22121", "0", "1"]),
        (1234, 9876, 4, ["2,000", "4,000", "6,000", "8,000"]),
        (0.0, 0.0, 5, []),
    ],
)
def test_ticks_are_round_and_few(low: float, high: float, most: int, expected: list[str]) -> None:
    assert [text for _, text in scales.ticks(low, high, most)] == expected


def test_log_ticks() -> None:
    assert [text for _, text in scales.log_ticks(8, 300)] == ["10", "20", "50", "100", "200"]
    assert [text for _, text in scales.log_ticks(300, 2e6)] == ["1k", "10k", "100k", "1M"]
    assert all(1 <= len(scales.log_ticks(low, low * 10**k)) <= 6 for low, k in product((0.02, 7.0), range(1, 12)))


def test_span_holds_zero_unless_that_would_hide_the_rest() -> None:
    assert scales.span([-1.0], [2.0]) == pytest.approx((-1.12, 2.12))  # the data and 4 % on either side
    low, high = scales.span([-0.1, 0.2], [0.4, 0.5])
    assert low < 0 < high
    low, high = scales.span([148.0, 149.0], [150.0, 151.0])
    assert 147 < low < 148 < 151 < high < 152
    assert scales.span([np.nan], [np.nan]) == (-1, 1)


def test_long_names_keep_both_ends() -> None:
    short = lettering.fit(LONG, 30)
    assert short.startswith("mmoe:exp")
    assert short.endswith("no_end")
    assert "\u2026" in short
    assert lettering.width(short) <= 30
    assert lettering.fit("aki", 30) == "aki"


def test_widths_are_those_of_the_font() -> None:
    # DejaVu Sans: a digit is 1303 of 2048 units wide, so that ten at 6 points are 10 * 6 * 0.6362 = 38.17 points = 13.466 mm
    assert lettering.width("0123456789", 6) == pytest.approx(13.466, abs=0.01)


def test_file_names_stay_apart() -> None:
    # made safe they are the same; so they are where a file system does not see capitals
    chosen = [("roc", "a b"), ("roc", "a_b"), ("roc", "A_B"), ("pareto", "")]
    assert list(figures.file_names(chosen).values()) == ["roc-a_b", "roc-a_b-2", "roc-A_B-3", "pareto"]


def test_numbers_beside_dots_do_not_lie_on_each_other() -> None:
    at = np.column_stack([RNG.uniform(20, 40, 25), RNG.uniform(20, 40, 25)])
    put = maps.beside(at, np.full(25, 2.4), scales.Place(0, 0, 60, 60), np.empty((0, 2)))
    apart = [(np.abs(a - b) >= [2.4, 1.9]).any() for a, b in combinations(put, 2)]
    assert np.mean(apart) > 0.99
    assert np.hypot(*(put - at).T).max() < 8  # and stay near


def test_thirty_panels_fit_a_page() -> None:
    panel = panels.Panel(
        "method", ("AUROC 81.2 [80.1, 82.3]",), (panels.Curve(np.array([0, 1.0]), np.array([0, 1.0]), curves.OWN),)
    )
    axis = scales.Axis(0, 1, curves.WHOLE, "x")
    page = panels.page("title", [panel] * 30, axis, axis)
    assert page.width == 174
    assert page.height < 235  # of an A4 page between margins
    small = panels.page("title", [panel] * 2, axis, axis)
    assert small.width == 85


def test_risks_of_those_with_the_event_stand_above_the_others() -> None:
    page = figures.page(FRAMES, "risks", "aki")
    up, down = (
        next(m for m in page.marks if isinstance(m, Areas) and m.colour == c and len(m.paths) > 1)
        for c in (curves.EVENT, curves.NO_EVENT)
    )
    for above, below in zip(up.paths, down.paths, strict=True):
        assert above[:, 1].max() == pytest.approx(below[:, 1].min())


def test_pareto_line_joins_the_flagged_methods() -> None:
    # seconds: method 0 alone; a step from its dot to the right edge is a level line
    page = figures.page(FRAMES, "pareto")
    fronts = [path for mark in page.marks if isinstance(mark, Lines) and mark.pen == maps.FRONT for path in mark.paths]
    steps = [path for path in fronts if path[0, 1] > 15]  # not the key
    assert len(steps) == 4
    assert all(np.ptp(path[:, 1]) == 0 for path in steps)


def test_a_method_that_lacks_cells_is_grey_beside_the_pareto_line() -> None:
    # the last of four methods; it has a dot in each of four panels, and there is one in the key
    page = figures.page(FRAMES, "pareto")
    grey = [mark for mark in page.marks if isinstance(mark, Dots) and mark.look.colour == marks.GREY]
    assert sum(len(mark.at) for mark in grey) == 5


def test_a_label_of_another_stopping_stays_in_its_family() -> None:
    placed: Callable[..., dict[str, list[str]]] = forest._placed  # pyright: ignore[reportPrivateUsage]
    assert placed(["mmoe", "x"], {"linear": ["a"], "sharing": ["mmoe:stop=per_task"]}) == {"sharing": ["mmoe"], "": ["x"]}


def test_one_figure_of_a_page_is_the_same_as_all() -> None:
    whole = figures.files(figures.pages(FRAMES), ("svg",))
    assert len(whole) == len(NAMES)
    assert figures.files(figures.pages(FRAMES, "pareto"), ("svg",)) == {"pareto.svg": whole["pareto.svg"]}
    assert list(figures.pages(FRAMES, "roc")) == [("roc", task) for task in TASKS]
    with pytest.raises(BenchError, match="unknown figure 'forrest'"):
        figures.pages(FRAMES, "forrest")


def test_a_quick_look_is_told_on_the_figure() -> None:
    quick = replace(FRAMES, results=replace(FRAMES.results, quick=True))
    assert "quick look, not a result" in {mark.text for mark in words_of(figures.page(quick, "pareto"))}
