"""How names, numbers and symbols are written in each format."""

from bench.report import words


def test_how_names_and_numbers_are_written() -> None:
    assert words.markdown("single_task") == "single_task"
    assert words.markdown("_x_") == "&#95;x&#95;"
    assert words.clean("a\x1b[31m\t b\u202e\nc") == "a[31m b c"
    assert words.short("x" * 300) == "x" * 197 + "..."
    assert words.short("") == ""
    assert [words.csv(t) for t in ("=1", "+1", "-1", "@x", "a=1", "")] == ["'=1", "'+1", "'-1", "'@x", "a=1", ""]
    assert [words.number(v) for v in (0.0, 12.34, 99.96, 1234.5, 7.0)] == ["0", "12.3", "100.0", "1,234", "7"]
    assert words.percent(float("nan")) == words.DASH
    assert words.latex("Ménière µ ½") == r"Ménière $\mu$ {[}U+00BD{]}"
