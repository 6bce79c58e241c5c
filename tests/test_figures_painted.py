"""Figures as files: their size in print, the same bytes again, fonts as journals want them."""

import struct
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree

import pytest
from drawn import FRAMES, TASKS, words_of
from matplotlib.backends.backend_agg import RendererAgg

from bench.report import figures
from bench.report.figures import marks, paint
from bench.report.figures.marks import Words


def test_files_have_their_printed_size_and_the_same_bytes_again() -> None:
    which = [("forest", TASKS[1]), ("roc", "aki"), ("affinity", "")]
    files, again = (figures.files({key: figures.page(FRAMES, *key) for key in which}) for _ in range(2))
    assert files == again
    assert len(files) == 9
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz01_.=-") for name in files)
    for name, data in files.items():
        if name.endswith("png"):
            assert data[:8] == b"\x89PNG\r\n\x1a\n"
            wide = struct.unpack(">I", data[16:20])[0]
            assert abs(wide - 174 / 25.4 * 300) <= 1  # two columns at 300 dots per inch
        elif name.endswith("pdf"):
            assert data.startswith(b"%PDF-")
            assert b"/MediaBox [ 0 0 493.2" in data  # 174 mm = 493.23 points
            assert b"/FontFile2" in data  # TrueType; journals refuse Type 3
            assert not [word for word in (b"/Type3", b"CreationDate", b"Matplotlib") if word in data]
        else:
            assert ElementTree.fromstring(data).attrib["width"] == "174.00mm"


HASHES = """
import hashlib, numpy as np
from bench.report import figures
from bench.report.figures.marks import *
marks = (Lines((line(1, 1, 50, 20),), Pen(BLUE, 1.0, (2, 1))), Areas((box(5, 5, 9, 9),), ORANGE),
         *(Dots(np.array([[20.0, 8.0]]), Look(shape)) for shape in SHAPES), Words(3, 28, "a \\u2212 1 $x_2$", 6, bold=True))
files = figures.saved(Page(85, 30, marks, "title"))
print({kind: hashlib.sha256(data).hexdigest() for kind, data in sorted(files.items())})
"""


def test_bytes_are_the_same_in_every_process(capsys: pytest.CaptureFixture[str]) -> None:
    exec(HASHES, {})
    done = subprocess.run([sys.executable, "-c", HASHES], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "1"})
    assert done.stdout == capsys.readouterr().out != ""


def test_matplotlib_draws_a_page_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    page = figures.page(FRAMES, "forest", "mean")
    figure = paint.figure(page)
    assert figure.get_figwidth() * 25.4 == pytest.approx(174)
    written: list[str] = []
    draw = RendererAgg.draw_text

    def noted(self: RendererAgg, gc: Any, x: float, y: float, s: str, *args: Any, **kwargs: Any) -> None:
        written.append(s)
        assert not any((kwargs.get("ismath"), *args[2:]))  # a name with $ is no mathematics
        draw(self, gc, x, y, s, *args, **kwargs)

    monkeypatch.setattr(RendererAgg, "draw_text", noted)
    paint.saved(figure, "png")
    assert written == [words.text for words in words_of(page)]
    assert any("$" in text for text in written)
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_a_font_is_embedded_once_and_the_large_one_where_it_is_needed() -> None:
    words = (
        Words(5, 5, "plain \u2212 1.2", 6),
        Words(5, 9, "bold \u2192 2", 6, bold=True),
        Words(5, 13, "\u0414\u0430\u0442\u0430", 6),
    )
    for count in (1, 2, 3):  # upright, bold, and upright with all scripts
        assert paint.saved(paint.figure(marks.Page(50, 20, words[:count], "")), "pdf").count(b"/FontFile2") == count
