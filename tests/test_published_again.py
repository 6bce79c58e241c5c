"""What the manifest's command makes is what is published: one linear, one boosted and one neural method on real patients, trained anew."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from commands import inside

from bench import published, store
from bench.published.coding import RISK_BOUND, SCORE_BOUND
from bench.report import Settings, scored

SAME = 1.05  # float32 against float64 sums, over the bounds
METHODS, DATASET = ("logistic", "lightgbm", "hard_sharing"), "support2"


@pytest.mark.slow
@pytest.mark.skipif(not published.there(), reason="nothing is published yet")
def test_the_command_of_the_manifest_makes_the_published_predictions_again(tmp_path: Path) -> None:
    shelf = published.shelf(published.WORD, DATASET)
    words = shlex.split(shelf.first.manifest["made"]["command"])
    words[words.index("--methods") + 1] = ",".join(METHODS)
    done = inside(tmp_path, *words[2:])
    assert done.returncode == 0, done.stderr
    mine = store.read(tmp_path / "results", DATASET)
    theirs = published.alone(shelf, METHODS)
    tasks = [task.name for task in mine.tasks]
    keys = ["method", "repeat", "fold", "row"]
    both = mine.predictions[mine.predictions["view"] == "test"].merge(theirs.predictions, on=keys, suffixes=("", "_published"))
    assert len(both) == len(METHODS) * 2 * len(mine.cohort)
    for task in tasks:
        known = both[f"y:{task}"].notna()
        assert both[f"y:{task}"].equals(both[f"y:{task}_published"])
        assert both[f"p:{task}_published"].notna().equals(known)
        assert np.abs(both[f"p:{task}"] - both[f"p:{task}_published"])[known].max() < SAME * RISK_BOUND
    a, b = (scored(found, Settings(resamples=20)).scores for found in (mine, theirs))
    primary = a["metric"].isin(["auroc", "ap"])
    np.testing.assert_allclose(a.loc[primary, "value"], b.loc[primary, "value"], atol=SAME * SCORE_BOUND)
