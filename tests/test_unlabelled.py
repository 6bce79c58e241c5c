"""Rows without any known label teach nothing but by a method that says so, and tables say how many labels are known."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from made_results import results, scored, shown, written

from bench import cards, checks, registry
from bench.core import Cohort, Run, Tabular, Unsupported

SAYS = "without any known outcome"  # under "Adapter", as `bench.core.Method` asks


def rebuilt(cohort: Cohort, again: int) -> Cohort:
    """The table alone, and its rows once more, `again` times, without any label."""
    index = np.tile(np.arange(len(cohort)), 1 + again)
    table: Tabular = cohort.inputs.of(Tabular)["table"].rows(index)
    labels = np.where(np.arange(len(index))[:, None] < len(cohort), cohort.labels[index], np.nan)
    return checks.build(cohort.name, {"table": table}, cohort.tasks, labels, [str(i) for i in range(len(index))])


@pytest.mark.parametrize("name", registry.ids("methods"))
def test_a_row_without_any_label_changes_nothing(name: str, make_cohort: Callable[..., Cohort]) -> None:
    # each row stands there once more, so that medians, scales and codes are the same: what differs was learned from these rows
    for nested in (False, True):
        cohort = rebuilt(make_cohort(n=450, nested=nested), 0)
        train, valid, test = cohort.rows(np.arange(300)), cohort.rows(np.arange(300, 380)), cohort.rows(np.arange(380, 450))
        try:
            p = [
                registry.method(name).fit(rebuilt(train, k), valid, Run(seed=7, quick=True)).predict(test.inputs) for k in (0, 1)
            ]
        except Unsupported as declined:
            reason = str(declined)
            continue
        changed = np.abs(p[0] - p[1]).max()
        if SAYS in " ".join(cards.card(name).about.split()):
            assert changed > 1e-3, f"{name}: says that it learns from rows {SAYS}, but they change nothing"
        else:
            assert changed < 1e-5, (
                f"{name}: rows without any label moved a prediction by {changed:.4f}, but its card does not say so"
            )
        return
    pytest.skip(f"{name} {reason}")


def test_tables_say_how_many_labels_are_known() -> None:
    given = results()
    part = given.predictions["row"] % 4 == 0  # a quarter of 300 rows
    predictions = given.predictions.assign(**{"y:stroke": given.predictions["y:stroke"].mask(part)})
    sparse = replace(given, predictions=predictions)
    assert scored(sparse)[1].blocks[0].columns[2][:2] == ("stroke", "n 225")
    said = "Known labels among the 300 tested rows: stroke 225 (75.0 %). All others: every row."
    assert said in " ".join(shown(sparse).split())
    files = written(sparse)
    assert said in files["table.md"]
    assert said.replace("%", r"\%") in files["table.tex"]
    assert "Known labels" not in written(given)["table.md"]
