"""The laws that every method keeps. A law's docstring says it, and what breaks it as a rule."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.contract.cohort import rebuilt, thirds, without
from bench.contract.trial import Trial, auroc, held
from bench.core import Inputs


def learns(trial: Trial) -> None:
    """It learns from tables, series and notes with gaps.

    Usual cause: NaN among inputs or labels reaches a library that takes none. Prepare inputs by `bench.prep` (`linear(train)` fills in),
    and leave unknown labels out, as `bench.pertask` does, or give them weight 0 (`train.loss_weights`).
    """
    trial.does("trained it on 300 patients and asked for the risks of 50 others")
    whole: Any = trial.whole
    trial.wants(whole is not None, "risks", "None: predict returns nothing")


def probabilities(trial: Trial) -> None:
    """Predictions are probabilities: float32, a row a patient, a column an outcome.

    Usual cause: log-odds returned without a sigmoid, only the class (`predict` for `predict_proba`), one outcome's column for all,
    or a division by zero. `bench.pertask.probabilities(p)` sets type and range.
    """
    trial.does("asked for the risks of 50 patients")
    trial.risks(trial.whole, len(trial.base.test))


def facts(trial: Trial) -> None:
    """The facts of a fit are plain JSON, with parameters, steps and at_cap.

    Usual cause: an array among the facts (`.tolist()` makes it a list), or one of "parameters", "steps" and "at_cap" is not there.
    """
    trial.does("read the facts of the fitted predictor")
    found: Any = trial.base.predictor.facts
    try:
        json.dumps(dict(found), allow_nan=True)
    except (TypeError, ValueError) as error:
        trial.wants(False, "numbers, texts, lists and mappings of them", f"{error}")
    for name in ("parameters", "steps"):
        trial.wants(name in found and found[name] > 0, f"'{name}' above 0", f"{found.get(name, 'no such fact')}")
    at_cap = found.get("at_cap", "no such fact")
    trial.wants(isinstance(at_cap, bool), "'at_cap', true where the fit ended at a cap and not by itself", f"{at_cap!r}")


def settings(trial: Trial) -> None:
    """Settings are the fields of a frozen dataclass; a fit leaves them as they are.

    Usual cause: `@dataclass(frozen=True)` is missing over the class, or `fit` keeps what it learned in `self` instead of in the
    predictor that it returns.
    """
    method: Any = trial.method
    trial.does("tried to change its settings")
    trial.wants(dataclasses.is_dataclass(method), "a dataclass", f"{type(method).__name__}, which is none")
    for field in dataclasses.fields(method):
        try:
            setattr(method, field.name, None)
        except dataclasses.FrozenInstanceError:
            continue
        trial.wants(False, "a refusal", f"that '{field.name}' can be changed")
    trial.does("compared its settings before and after a fit")
    used: Any = trial.refitted[0]
    before, after = dataclasses.asdict(method), dataclasses.asdict(used)
    trial.wants(after == before, "no change", f"{after} where there was {before}")
    more = sorted(name for name in getattr(used, "__dict__", {}) if not hasattr(type(used), name) and name not in before)
    trial.wants(not more, "settings alone", f"also {', '.join(more)}, kept in the method by the fit")


def data(trial: Trial) -> None:
    """Fitting and predicting leave the cohort as it was.

    Usual cause: something is filled in, scaled, dropped or sorted in place. Work on a copy, or on what `bench.prep` makes.
    """
    trial.does("compared the cohort before and after a fit and a prediction")
    assert trial.whole is not None  # made by now
    for name, part, before in zip(("training", "validation", "test"), trial.base.given, trial.base.content, strict=True):
        try:
            same = held(part) == before
        except Exception as error:
            trial.wants(False, "the same patients", f"{name} rows that are no cohort any more ({error})")
        else:
            trial.wants(same, "the same content", f"other {name} rows")


def determinism(trial: Trial) -> None:
    """The same seed gives the same predictions, to the last bit.

    Usual cause: a generator without the run's seed. Use `np.random.default_rng(run.seed)`, `random_state=run.seed % 2**32`, or
    `torch.Generator().manual_seed(run.seed)`; several threads that add up in another order differ too.
    """
    trial.does("trained it twice with the same seed, with other states of the global generators (random, numpy, torch)")
    again = trial.refitted[1]
    apart = np.abs(np.asarray(again, float) - trial.whole).max()
    trial.wants(again.tobytes() == trial.whole.tobytes(), "the same predictions", f"risks up to {apart:.2g} apart")


def rows_alone(trial: Trial) -> None:
    """A patient alone is predicted as among others.

    Usual cause: batch normalisation left in training mode (`.eval()` turns it off), or means, ranks or words taken from the patients
    that are being predicted instead of the training rows.
    """
    predictor, test = trial.base.predictor, trial.base.test
    lacking = [np.flatnonzero(~modality.present)[:2] for modality in test.inputs.modalities.values()]
    rows = np.unique(np.concatenate([*lacking, np.arange(8)]))
    trial.does(f"predicted {len(rows)} patients one at a time, and among others")
    alone = np.concatenate([predictor.predict(test.inputs.rows(np.array([i]))) for i in rows])
    trial.near(alone, trial.whole[rows], 1e-5, "the same risks")


def modality_order(trial: Trial) -> None:
    """The order of the modalities does not matter: they are known by name.

    Usual cause: columns are put side by side in the order found at prediction. Go through the names that training showed.
    """
    trial.does("predicted the same patients with the modalities in the opposite order")
    turned = Inputs(dict(reversed([*trial.base.test.inputs.modalities.items()])))
    trial.near(trial.predicts(trial.base.predictor, turned), trial.whole, 1e-6, "the same risks")


def missing_at_prediction(trial: Trial) -> None:
    """It predicts patients without a modality, and does not look at what it holds.

    Usual cause: the content is read without asking `present`, or a modality is looked up that is not there. `bench.prep` knows both.
    """
    predictor, test = trial.base.predictor, trial.base.test
    for key, modality in test.inputs.modalities.items():
        trial.does(f"predicted patients with '{key}' marked as missing")
        marked = trial.predicts(predictor, Inputs({**test.inputs.modalities, key: without(modality)}))
        trial.does(f"predicted patients with '{key}' marked as missing, and with '{key}' left out")
        left_out = trial.predicts(predictor, Inputs({k: m for k, m in test.inputs.modalities.items() if k != key}))
        trial.near(left_out, marked, 1e-6, "the same risks")


def missing_at_training(trial: Trial) -> None:
    """It learns where no patient has a modality, then predicts some who have it.

    Usual cause: a mean or a vocabulary of nothing. A column that was empty in training is to be left out or filled with a constant.
    """
    base = trial.base
    for key in ("table", "vitals"):
        trial.does(f"trained it on patients without '{key}', then predicted patients who have it")
        bare = [
            rebuilt(c, modalities={**c.inputs.modalities, key: without(c.inputs.modalities[key])})
            for c in (base.train, base.valid)
        ]
        trial.predicts(trial.fit(bare[0], bare[1]), base.test.inputs)


def no_event_in_training(trial: Trial) -> None:
    """An outcome without an event in training is predicted low, the others learned.

    Usual cause: a classifier that needs both classes. `bench.pertask` predicts such an outcome by its prevalence.
    """
    base = trial.base
    trial.does("trained it on patients none of whom has the third outcome")
    p = trial.predicts(trial.fit(base.train.rows(base.train.labels[:, 2] != 1), base.valid), base.test.inputs)
    mean = p[:, 2].mean()
    trial.wants(mean < 0.2, "a mean risk of that outcome below 0.2", f"{mean:.2f}")
    trial.wants(np.ptp(p[:, 1]) > 0 or trial.floor, "that patients differ in the second outcome", "the same risk for all")


def one_class_in_validation(trial: Trial) -> None:
    """An outcome without an event in validation does no harm.

    Usual cause: early stopping or a recalibration by a score that one class leaves undefined (NaN), so that nothing ever is better.
    """
    base = trial.base
    trial.does("trained it with validation rows none of whom has the third outcome")
    p = trial.predicts(trial.fit(base.train, base.valid.rows(base.valid.labels[:, 2] != 1)), base.test.inputs)
    off = abs(p[:, 0].mean() - np.nanmean(base.train.labels[:, 0]))
    trial.wants(off < 0.2, "a mean risk of the first outcome near its prevalence, within 0.2", f"{off:.2f} between them")


def few_rows(trial: Trial) -> None:
    """It learns from 40 patients, fewer than a usual batch.

    Usual cause: a loop over whole batches that drops the last, smaller one, and so makes no step; or a model with a least number of rows.
    """
    train, valid, test = thirds(trial.cohort(n=100), 40, 20)
    trial.does("trained it on 40 patients")
    predictor = trial.fit(train, valid)
    p = trial.predicts(predictor, test.inputs)
    steps: Any = predictor.facts.get("steps", 0)
    trial.wants(steps > 0, "at least one step", f"facts that say steps = {steps}")
    trial.warns(np.ptp(p, axis=0).max() > 0 or trial.floor, "that patients differ", "the same risks for every patient")


def weights(trial: Trial) -> None:
    """Weights of labels are used.

    Usual cause: `train.loss_weights` is not passed on (`sample_weight=data.w` in scikit-learn).
    """
    # Events four times as heavy: a prevalence of q becomes 4q / (1 + 3q), so .5 -> .8 and .3 -> .63; half of that will do
    base = trial.base
    trial.does("trained it with events that weigh four times as much")
    heavy = [rebuilt(c, weights=np.where(c.labels == 1, 4.0, 1.0)) for c in (base.train, base.valid)]
    rise = trial.predicts(trial.fit(heavy[0], heavy[1]), base.test.inputs).mean(axis=0) - trial.whole.mean(axis=0)
    expected, seen = "mean risks that rise by more than 0.05", f"a rise by {_numbers(rise)}"
    trial.wants(rise.min() > 0.01, expected, seen)
    trial.warns(rise.min() > 0.05, expected, seen)


def permuted_labels(trial: Trial) -> None:
    """Labels shuffled between patients cannot be learned.

    Usual cause: test rows are told from each other by what they should not tell, as the order of rows, or the method knew the answer.
    """
    # A weak signal, since a net fitted to noise is a random direction, and with a strong one that alone scores .5 +- .1
    train, valid, test = thirds(trial.cohort(n=2400, signal=0.5, missing_labels=0.0), 900, 300)
    rng = np.random.default_rng(3)
    trial.does("trained it on labels shuffled between patients")
    shuffled = [rebuilt(c, labels=c.labels[rng.permutation(len(c))]) for c in (train, valid)]
    scores = auroc(test, trial.predicts(trial.fit(shuffled[0], shuffled[1]), test.inputs))
    trial.wants((np.abs(scores - 0.5) < 0.1).all(), "AUROC of 0.5, within 0.1", f"{_numbers(scores)} on {len(test)} patients")


def planted_signal(trial: Trial) -> None:
    """A strong signal is found from half of the labels.

    Usual cause: inputs without scale (`bench.prep.linear` or `tokens` give them one), too few steps or too small a step, labels and rows
    out of order, or the columns of outcomes mixed up.
    """
    # An elastic net reaches .92 here with all labels
    test, p = trial.halved
    trial.does("trained it on 1,000 patients with a strong signal, half of the labels unknown")
    scores = auroc(test, p)
    found = f"AUROC {_numbers(scores)}"
    trial.wants(scores.mean() > 0.65 or trial.floor, "a mean AUROC above 0.8 (a linear model has 0.9)", found)
    trial.warns(scores.mean() > 0.8 or trial.floor, "a mean AUROC above 0.8 (a linear model has 0.9)", found)


def masks(trial: Trial) -> None:
    """Unknown labels (NaN) teach nothing: they are not taken for 0.

    Usual cause: `np.nan_to_num(labels)` without weights. `train.mask` says which labels are known, `train.loss_weights` is 0 where not.
    """
    # Unknown labels taken for 0 would halve the mean prediction
    test, p = trial.halved
    trial.does("trained it on 1,000 patients with half of the labels unknown")
    off = p.mean(axis=0) - test.labels.mean(axis=0)
    trial.wants(np.abs(off).max() < 0.08, "mean risks at the outcomes' prevalence, within 0.08", f"{_numbers(off)} between them")


def _numbers(values: Any) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


LAWS: tuple[Callable[[Trial], None], ...] = (
    learns, probabilities, facts, settings, data, determinism, rows_alone, modality_order, missing_at_prediction, missing_at_training,
    no_event_in_training, one_class_in_validation, few_rows, weights, permuted_labels, planted_signal, masks,
)  # fmt: skip
