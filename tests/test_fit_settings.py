"""Settings that do not fit the cohort, and names that would mislead, are refused in one line before anything is trained."""

from pathlib import Path

import pytest
import torch

import bench
from bench import cards, registry
from bench.core import BenchError
from bench.nets.heads import Heads


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("hard_sharing:balance=fixed+1+2", "a weight for each of the 4 outcomes, but got 2"),
        ("single_task:balance=fixed+1+2+3+4", "a weight for each of the 1 outcomes, but got 4"),
        ("single_task_wide:balance=fixed+1+2", "a weight for each of the 1 outcomes, but got 2"),
        ("ple:task_experts=1+2", "one for each of the 4 tasks, but got '1\\+2'"),
        ("dfd:base=ple+task_experts=1+2", "one for each of the 4 tasks, but got '1\\+2'"),
        ("dfd:balance=fixed+1+2", "a weight for each of the 4 outcomes, but got 2"),
        ("dense_features:objective=supervised:held_out=akl", "unknown outcome to hold out 'akl'. Did you mean 'aki'?"),
        ("dense_features:held_out=aki", "held_out is for objective=supervised: dense sees no outcome"),
    ],
)
def test_a_setting_that_does_not_fit_the_outcomes(tmp_path: Path, method: str, said: str) -> None:
    results = tmp_path / "results"
    with pytest.raises(BenchError, match=said.replace("?", r"\?")):
        bench.run("surgical:n=400", f"logistic,{method}", results=results, reports=tmp_path, quick=True, workers=0)
    assert not list(results.rglob("r*.json"))  # no cell of the other method either


def test_what_fits_is_not_refused() -> None:
    tasks = ["a", "b", "c"]
    for text in (
        "hard_sharing:balance=fixed+1+2+3",
        "single_task:balance=fixed+2",
        "ple:task_experts=1+2+3",
        "dfd:balance=pcgrad",
    ):
        made: object = registry.method(text)
        made.check(tasks)  # pyright: ignore[reportAttributeAccessIssue]


def test_a_file_of_ones_own_may_not_have_the_name_of_a_bundled_method(tmp_path: Path) -> None:
    mine = tmp_path / "mmoe.py"
    mine.write_text(registry.path("methods", "mmoe").read_text())
    with pytest.raises(BenchError, match=r"has the name of a bundled method.* Rename it, say my_mmoe\.py\."):
        registry.parse("methods", str(mine))
    assert registry.parse("methods", str(mine.rename(tmp_path / "my_mmoe.py")))[0].id == "my_mmoe"
    assert registry.parse("methods", str(registry.path("methods", "mmoe")))[0].id == "mmoe"  # the bundled file by its path


@pytest.mark.parametrize(("typed", "meant"), [("PCGrad", "pcgrad"), ("FAMO", "famo"), ("Nash-MTL", "nash_mtl")])
def test_names_as_papers_write_them_are_understood(typed: str, meant: str) -> None:
    with pytest.raises(BenchError, match=f"unknown balance '{typed}'. Did you mean '{meant}'\\?"):
        registry.method(f"hard_sharing:balance={typed}")


def test_a_sharing_block_of_the_wrong_shape_is_told_so() -> None:
    heads = Heads(3, torch.zeros(2))
    assert heads(torch.zeros(5, 2, 3)).shape == (5, 2)
    for shape in ((5, 1, 3), (5, 3), (5, 2, 1)):  # each would be broadcast without a word
        with pytest.raises(BenchError, match=r"sharing must return \(rows, outcomes, width\), here .*2, 3\), but returned"):
            heads(torch.zeros(shape))


def test_the_card_of_a_file_of_ones_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(registry.path("methods", "mmoe").read_text())
    assert cards.card(str(mine)).settings == cards.card("mmoe").settings
    with pytest.raises(BenchError, match="cannot be read"):
        cards.card(str(tmp_path / "other.py"))
    mine.write_text("a line that is no Python")
    with pytest.raises(BenchError, match=r"mine\.py cannot be read: invalid syntax"):
        cards.card(str(mine))
