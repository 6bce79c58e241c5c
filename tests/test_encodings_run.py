"""`--text` and `--series`: which runs share their cells, what is refused, and what a run under other encodings says of itself."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench import Outcome, protocol, run
from bench.core import BenchError, Cohort, Tabular
from bench.protocol import Protocol

TINY = "surgical:n=300"


def test_the_usual_encodings_are_no_part_of_the_identity() -> None:
    (usual,) = protocol.asked()
    assert usual == Protocol()
    assert usual.part.identity == {"folds": 5, "seed": 0, "quick": False, "rows": None}
    named = {one.part.folder for word in ("summary", "grud", "tcn", "patch") for one in protocol.asked(series=word)}
    assert len(named | {usual.part.folder, protocol.asked(text="tokens")[0].part.folder}) == 6


def test_a_folder_is_known_by_its_last_part_and_what_is_in_it() -> None:
    """The same encoder elsewhere makes the same cells, and no path of a machine is stored."""
    here, there = (Protocol(text=f"hf:{place}/bert:tune", encoder="abc").part for place in ("/home/a", "/mnt/b"))
    assert here == there
    assert "/" not in str(here)
    assert here.folder != Protocol(text="hf:/home/a/bert:tune", encoder="abd").part.folder
    assert here.folder != Protocol(text="hf:/home/a/bert", encoder="abc").part.folder


@pytest.mark.parametrize(
    ("options", "words"),
    [({"text": "minilmm"}, "minilm"), ({"series": "tnc"}, "'tcn'"), ({"text": "hf:nowhere"}, "config.json")],
)
def test_an_encoding_that_there_is_not_is_refused_before_anything_is_trained(
    options: dict[str, str], words: str, tmp_path: Path
) -> None:
    with pytest.raises(BenchError, match=words):
        run(TINY, "logistic", results=tmp_path, reports=tmp_path, quick=True, workers=0, **options)  # pyright: ignore[reportArgumentType]
    assert not list(tmp_path.iterdir())


def test_a_cohort_without_texts_keeps_its_cells(small_cohort: Cohort) -> None:
    given = Protocol(text="tokens", series="tcn")
    assert given.fitting(small_cohort) == given
    table = replace(small_cohort.inputs, modalities=small_cohort.inputs.of(Tabular))
    fitting = given.fitting(replace(small_cohort, inputs=table))
    assert fitting == Protocol()
    assert [line.split(":")[0] for line in fitting.unfollowed(given)] == [
        "text=tokens changes nothing here",
        "series=tcn changes nothing here",
    ]


def test_runs_under_other_encodings_stand_beside_the_usual_one(tmp_path: Path) -> None:
    def predicted(**options: str) -> Outcome:
        return run(TINY, "hard_sharing", results=tmp_path / "r", reports=tmp_path / "p", quick=True, workers=0, **options)  # pyright: ignore[reportArgumentType]

    usual, other = predicted(), predicted(text="tokens", series="summary")
    assert list(other.reports) == [f"{TINY} text=tokens series=summary"]
    assert "text as tokens, series as summary" in other.table()
    a, b = (one.predictions[f"p:{'aki'}"].to_numpy() for one in (usual, other))
    assert a.shape == b.shape
    assert (a != b).mean() > 0.9
