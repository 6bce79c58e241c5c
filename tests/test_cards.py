"""A method's card: the docstring and every setting with its range, default and meaning, read without importing the method."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from bench import cards, registry
from bench.core import BenchError


def settings(name: str) -> dict[str, cards.Setting]:
    """The method's settings by name; a child's before its parent's."""
    out: dict[str, cards.Setting] = {}
    for _, listed in cards.card(name).settings:
        for one in listed:
            out.setdefault(one.name, one)
    return out


@pytest.mark.parametrize("name", registry.ids("methods"))
def test_a_card_lists_exactly_the_settings_that_the_method_has(name: str) -> None:
    fields = {f.name: f for f in dataclasses.fields(registry.module("methods", name).METHOD)}
    found = settings(name)
    assert set(found) == set(fields)
    for key, field in fields.items():
        default = field.default_factory() if field.default is dataclasses.MISSING else field.default
        assert found[key].default in (str(default), repr(default)), key
    assert registry.about("methods")[name] in cards.card(name).text()


@pytest.mark.parametrize("name", registry.ids("methods"))
def test_a_card_says_what_was_published_what_is_ours_and_what_it_costs(name: str) -> None:
    about = cards.card(name).about
    assert [about.count(f"\n{part}: ") for part in ("Published", "Departures", "Cost")] == [1, 1, 1]


def test_ranges_follow_their_names_to_where_they_are_declared() -> None:
    kinds = {name: one.kind for name, one in settings("orthtd").items()}
    # Count = Annotated[int, Ge(1)], NonNegative = Annotated[float, Ge(0)], ProperShare: 0 <= x < 1, Variant: a Literal of its file
    assert kinds["width"] == "int >= 1"
    assert kinds["weight"] == "float >= 0"
    assert kinds["dropout"] == "float >= 0, < 1"
    assert kinds["variant"] == "a | b | c | d | e"
    assert kinds["lr"] == "float > 0"


def test_settings_of_the_base_class_stand_under_a_heading_of_their_own_and_once() -> None:
    card = cards.card("mmoe")
    assert [owner for owner, _ in card.settings] == ["MMoE", "NeuralMethod"]
    assert card.text().count("  dropout = ") == 1
    assert (
        card.text().index("experts = 8") < card.text().index("in common with others (NeuralMethod)") < card.text().index("lr = ")
    )


def test_meanings_come_from_the_docstring_or_the_comment_on_the_line() -> None:
    assert settings("mmoe")["fused"].meaning == "width of the patient vector"
    assert settings("mmoe")["layers"].meaning == settings("mmoe")["heads"].meaning == "of the Transformer over modality tokens"
    assert settings("xgboost")["min_weight"].meaning == "sum of p(1 - p) a leaf needs"


@pytest.mark.parametrize(
    ("docstring", "meanings"),
    [
        ("width: of it. depth: of that.", {"width": "of it", "depth": "of that"}),
        ("width, depth: sizes.\n\nMore words.", {"width": "sizes", "depth": "sizes"}),
        ("width .. rate: three of them.", {"width": "three of them", "depth": "three of them", "rate": "three of them"}),
        ("width,\ndepth: of\nboth", {"width": "of both", "depth": "of both"}),
        ("a width: not this; `rate: nor this`", {"width": "not this; `rate: nor this`"}),
        ("nothing of them", {}),
    ],
)
def test_what_a_docstring_says_of_a_setting(docstring: str, meanings: dict[str, str]) -> None:
    assert cards.said(docstring, ["width", "depth", "rate"]) == meanings


def test_an_unknown_method_gets_the_closest_one() -> None:
    with pytest.raises(BenchError, match=r"unknown method 'mmeo'\. Did you mean 'mmoe'\?"):
        cards.card("mmeo")


def test_the_command_prints_the_card_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from bench.cli import main\n"
        "try: main(['methods', 'ple'])\n"
        "except SystemExit as e: assert not e.code, e.code\n"
        "assert not {'torch', 'xgboost', 'sklearn'} & set(sys.modules), 'heavy'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == cards.card("ple").text() + "\n"
    assert max(map(len, done.stdout.partition("Settings:")[2].splitlines())) <= cards.WIDTH


def test_a_list_without_a_name_stays_a_line_each() -> None:
    command = [sys.executable, "-m", "bench", "methods"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    assert [line.split()[0] for line in done.stdout.splitlines()] == registry.ids("methods")
