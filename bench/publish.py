"""What is made of results to be published, and of published results by themselves: `bench results submit` and `leaderboard`."""

from collections.abc import Sequence
from pathlib import Path

from bench import published, registry, report, store
from bench.core import BenchError
from bench.lookup import as_stored, text
from bench.report import leaderboard as board


def submit(
    dataset: str,
    methods: str | Sequence[str],
    *,
    results: str | Path = "results",
    out: str | Path = ".",
    against: str | Path = published.WORD,
    accept_code: bool = False,
    tuned: bool = False,
) -> Path:
    """Write the file of published results that adds these methods; see `bench.published.submit`.

    against: what is published already; `published` may hold nothing yet.
    """
    root = Path(results)
    name = as_stored("datasets", dataset, store.labels(root, False))
    try:
        there = published.shelves(against)
    except BenchError:
        if against != published.WORD or published.there():
            raise
        there = {}
    known = {"all", *(label for under in store.runs(root, name) for label in store.methods_of(root, name, under))}
    labels = [as_stored("methods", one, known) for one in registry.parts(text(methods))]
    among = [there[name].first] if name in there else []
    return published.submit(root, name, labels, Path(out), among, accept_code, tuned)


def leaderboard(where: str | Path = published.WORD, out: str | Path | None = None, *, resamples: int | None = None) -> str:
    """The leaderboards of all published datasets, their mean ranks, and the questions that `questions.toml` beside the files asks, as
    Markdown; written to `out` if given. From published files alone: labels come from the datasets' own loaders.
    """
    paths = published.find(where)
    asked = board.questions(paths[0].parent / "questions.toml")
    how = report.Settings(resamples=resamples)
    found = [board.judged(published.alone(shelf), asked, how) for shelf in published.shelves(where).values()]
    text = board.page(found, asked)
    if out is not None:
        report.save(Path(out).parent, {Path(out).name: text})
    return text
