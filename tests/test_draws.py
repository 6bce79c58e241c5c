"""Independent draws: who is learned from and who is tested on; and the dataset of the nulls."""

from typing import Any

import numpy as np
import pandas as pd

from bench import draws, registry, splits
from bench.draws import Draws


def test_a_draw_learns_from_its_first_rows_and_is_tested_on_its_last() -> None:
    protocol = Draws(train=300, test=500, rows=900, repeats=2, seed=7)
    dataset = registry.parse("datasets", "surgical")[0]
    cohort, split = draws.drawn(dataset, protocol, 1)
    assert cohort.digest == registry.load("surgical:n=900:seed=8").digest  # draw 1 has seed 7 + 1
    learned = np.sort(np.concatenate([split.train, split.valid]))
    assert learned.tolist() == list(range(300))
    assert split.test.tolist() == list(range(400, 900))
    assert len(split.valid) == round(0.15 * 300) == splits.VALID_SHARE * 300
    events = np.nansum(cohort.labels[split.valid], 0) - 0.15 * np.nansum(cohort.labels[learned], 0)
    assert np.abs(events).max() < 1  # stratified: every outcome has its share, to the event
    assert draws.drawn(dataset, protocol, 0)[0].digest != cohort.digest


def test_a_draw_can_learn_at_one_site_and_be_tested_at_another() -> None:
    protocol = Draws(train=300, test=500, rows=1500, repeats=2, train_site="A", test_site="B")
    cohort, split = draws.drawn(registry.parse("datasets", "surgical:bias=0.9")[0], protocol, 0)
    assert cohort.site is not None
    learned = np.sort(np.concatenate([split.train, split.valid]))
    assert learned.tolist() == np.flatnonzero(cohort.site == "A")[:300].tolist()
    assert split.test.tolist() == np.flatnonzero(cohort.site == "B")[-500:].tolist()


def test_more_draws_are_more_cells_of_the_same_protocol() -> None:
    few, many = (Draws(train=300, test=500, rows=900, repeats=n) for n in (3, 9))
    assert few.part.folder == many.part.folder
    others = [{"seed": 1}, {"train": 301}, {"test": 501}, {"rows": 901}, {"quick": True}, {"train_site": "A"}, {"test_site": "B"}]
    asked: dict[str, Any] = {"train": 300, "test": 500, "rows": 900, "repeats": 3}
    assert len({few.part.folder, *(Draws(**(asked | other)).part.folder for other in others)}) == 1 + len(others)


def test_modalities_of_independent_share_nothing_and_without_signal_are_noise() -> None:
    cohort, noise = registry.load("independent:n=3000"), registry.load("independent:n=3000:signal=0")
    planted = registry.module("datasets", "independent").truth(cohort)
    for one, strong in ((cohort, 0.5), (noise, 0.0)):
        table = one.inputs.modalities["table"].frame.to_numpy()
        series = one.inputs.modalities["vitals"].value.reshape(3000, 4, 12).mean(axis=2)
        words = np.array([len(note.split()) for note in one.inputs.modalities["note"].strings])
        views = {"table": table[:, 0], "vitals": series[:, 0], "note": words}
        found = pd.DataFrame({**{f"view:{k}": v for k, v in views.items()}, **planted}).corr()
        for modality in views:
            for factor in views:
                r = found.loc[f"view:{modality}", f"factor:{factor}"]
                # a correlation of 3,000 independent pairs has SD 1 / sqrt(3,000) = .018; four of them
                assert (r > strong) if modality == factor and strong else (abs(r) < 0.073), (modality, factor, r)
    assert (cohort.labels == noise.labels).all()  # the dial changes what is seen and not what happens
