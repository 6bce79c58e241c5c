"""Tuning inside a training fold: every method gets the same number of trials, or the same minutes, judged on the validation rows.

Trial 0 has the method's own settings; the others come from Optuna's TPE over what the settings declare (`bench.search`). A setting
that the user gave is kept. The objective is the score of `bench.recalibrate`, computed from each trial's predictions
for the validation rows, the same way for every method. No test row is ever within reach: `settled` is given the validation rows and a
function that fits.

The defaults are left only for a trial that is better by more than its noise, see `better`: the best of twenty on a thousand rows
looks good by luck alone. Missing labels count as in `bench.recalibrate`; where no outcome can vote, the defaults stay.

What is tried is stored when each trial begins and ends (`bench.trials`), so that a cell that was stopped goes on with the next. Every trial
starts from a study made anew of that record, with a seed of its own: a cell that was stopped tries what one that was not would have tried.
"""

import base64
import math
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from bench import cells, registry
from bench.core import JSON, BenchError, Cohort, Method, Predictor, Unsupported
from bench.devices import no_memory
from bench.recalibrate import row_scores, validation_score
from bench.registry import Spec
from bench.search import Knob
from bench.spaces import decoded, distributions, encoded, plain, searched
from bench.trials import LOSSES, State, Trial, begun, lost, said

Array: TypeAlias = NDArray[np.float64]
Report: TypeAlias = Callable[[int, float], None]

LEVEL = 0.1  # chance that the defaults are left where nothing is better
DRAWS = 4000  # of the noise of all gains together
STARTUP = 6  # random trials before the sampler models what it saw
PRUNED_FROM = 5, 10  # trials and epochs before any is cut short
HOPELESS = 10  # trials of which every one failed, after which none follows
ASKS = 10  # until settings come that were not tried, from the sampler, then at random

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True, slots=True)
class Budget:
    """trials: of every method, the defaults among them. minutes: of all its trials, instead; the last one is finished.

    Of a method that always fails no more than `HOPELESS` are made.
    """

    trials: int = 0
    minutes: float = 0.0

    def spent(self, trials: Sequence[Trial]) -> bool:
        if len(trials) >= HOPELESS and all(trial.state == "failed" for trial in trials):
            return True
        if self.minutes:
            return sum(trial.seconds for trial in trials) >= 60 * self.minutes
        return len(trials) >= self.trials


@dataclass(frozen=True, eq=False)
class Cell:
    """What is tuned: a method on one training fold. seed: of the draws of settings. fit: trains on that fold, with the cell's seed.

    kept: trials of an earlier process. keep: stores what was tried after each.
    """

    spec: Spec
    valid: Cohort
    seed: Sequence[int]
    fit: Callable[[Method, Report], Predictor]
    report: Report
    kept: Mapping[str, Any] | None
    keep: Callable[[Mapping[str, JSON]], None]


def settled(cell: Cell, budget: Budget) -> tuple[Spec, dict[str, JSON]]:
    """The settings to go on with, and what there is to say of the search: see `_said`. An error of every trial is raised."""
    search = _Search(cell)
    space, trials = search.space, search.trials
    while space and not budget.spent(trials):
        drawn = _drawn(cell, space, trials)
        if drawn is None:  # nothing is left that was not tried
            break
        search.take(*drawn)
    if trials and not any(trial.state == "done" for trial in trials):
        search.forget()
    place, gain = _chosen(trials, cell.seed)
    chosen = registry.varied(cell.spec, trials[place].settings) if space else cell.spec
    return chosen, {"tuned": _said(chosen, space, trials, place, gain)}


class _Search:
    """The trials of a cell, and what is stored of them. mark: of the trial that an earlier process was at, see `bench.trials`."""

    def __init__(self, cell: Cell) -> None:
        self.cell, self.space = cell, searched(cell.spec, cell.valid)
        self.identity = _identity(cell, self.space)
        kept = cell.kept if cell.kept is not None and cell.kept.get("identity") == self.identity else {}
        self.trials = [Trial(**trial) for trial in kept.get("trials", [])]
        self.mark: Mapping[str, Any] = kept.get("under_way", {})
        self.since = time.perf_counter()

    def take(self, trial: optuna.Trial | None, settings: Mapping[str, JSON]) -> None:
        """Try these settings, or count them as failed where they were lost before. What wants for memory for the first time is raised."""
        mark = begun(settings, self.mark)
        if mark["losses"] < LOSSES:
            self.keep(mark)
            try:
                ended = _tried(self.cell, settings, trial, self.since)
            except Exception as error:
                if not no_memory(error):
                    raise
                mark = lost(mark, said(error))
                if mark["losses"] < LOSSES:
                    self.keep(mark)
                    raise
                ended = _failed(settings, mark)
        else:
            ended = _failed(settings, self.mark)
        self.since = time.perf_counter()
        self.trials.append(ended)
        self.keep()

    def keep(self, mark: Mapping[str, Any] | None = None) -> None:
        under_way = {"under_way": mark} if mark else {}
        self.cell.keep({"identity": self.identity, "trials": [asdict(trial) for trial in self.trials], **under_way})

    def forget(self) -> None:
        """Of a cell that comes to nothing no trial is kept: one that is asked for again is tuned anew."""
        self.cell.keep({})


def grouped(valid: Cohort, p: NDArray[Any]) -> Array:
    """(groups,) what the patients of each group add to the validation score of p (n, T)."""
    _, place = np.unique(valid.groups, return_inverse=True)
    return np.bincount(place, weights=row_scores(valid.labels, p, valid.loss_weights)).astype(np.float64)


def better(default: Array, others: Array, seed: Sequence[int]) -> tuple[int | None, float]:
    """The one of `others` (K, groups) to leave `default` (groups,) for, None if there is none, and the largest gain over its noise.

    Gains are paired, group by group. A trial is taken if its gain in standard errors, corrected for skewness, is above the (1 - LEVEL) quantile of the largest
    of K gains that are noise alone, normal and correlated as these are: White's reality check (Econometrica 2000), studentised, without
    the trials that are far worse (Hansen's test of superior predictive ability, JBES 2005), so that they do not raise the bar. Of those
    above it the one with the largest gain.
    """
    gains = default - others
    n = gains.shape[1]
    error = np.sqrt(n) * gains.std(axis=1, ddof=1) if n > 1 else np.zeros(len(gains))
    told = error > 1e-12
    scale = np.where(told, error, 1.0)
    t = np.where(told, gains.sum(axis=1) / scale, 0.0)
    centred = (gains - gains.mean(axis=1, keepdims=True)) / scale[:, None]
    t += (centred**3).sum(axis=1) * (2 * t**2 + 1) / 6  # Johnson's modified t (JASA 1978): few rows lose much, many gain a little
    rivals = told & (t > -math.sqrt(2 * math.log(math.log(max(n, 16)))))
    if not rivals.any():
        return None, 0.0
    alike = centred[rivals] @ centred[rivals].T  # how the gains' noises go together: correlations, for all practical sizes
    draws = np.random.default_rng(list(seed)).multivariate_normal(
        np.zeros(len(alike)), alike, DRAWS, check_valid="ignore", method="eigh"
    )
    bar = float(np.quantile(draws.max(axis=1), 1 - LEVEL))
    above = rivals & (t > bar)
    return (int(np.argmax(np.where(above, gains.sum(axis=1), -np.inf))) if above.any() else None), float(t.max())


def _identity(cell: Cell, space: Mapping[str, Knob]) -> dict[str, JSON]:
    """What trials of an earlier process must have in common with these. Code and protocol are the folder's."""
    declared = {name: repr(knob) for name, knob in space.items()}
    return {"spec": cell.spec.label, "space": declared, "seed": list(cell.seed), "valid": cell.valid.digest}


def _failed(settings: Mapping[str, JSON], mark: Mapping[str, Any]) -> Trial:
    return Trial(settings, "failed", None, mark["seconds"], error=mark["error"])


def _tried(cell: Cell, settings: Mapping[str, JSON], trial: optuna.Trial | None, began: float) -> Trial:
    """One trial. Whatever goes wrong in it is its own, but for want of memory."""
    steps = list[tuple[int, float]]()
    epochwise = False

    def report(step: int, score: float) -> None:
        cell.report(step, score)
        if epochwise and math.isfinite(score):
            steps.append((int(step), float(score)))
            if trial is not None:
                trial.report(score, int(step))
                if trial.should_prune():
                    raise optuna.TrialPruned

    def ended(state: State, **more: Any) -> Trial:
        return Trial(settings, state, more.pop("score", None), round(time.perf_counter() - began, 3), steps, **more)

    try:
        method = registry.method(registry.varied(cell.spec, settings))
        epochwise = bool(getattr(method, "epochwise", False))
        predictor = cell.fit(method, report)
        valid = cell.valid
        p = cells.checked_probabilities(predictor.predict(valid.inputs), valid.inputs, len(valid.tasks))
    except optuna.TrialPruned:
        return ended("pruned")
    except (Exception, SystemExit) as error:
        if (trial is None and isinstance(error, Unsupported)) or no_memory(error):
            raise  # a method that declines with its defaults is not tried further
        return ended("failed", error=said(error))
    losses = grouped(valid, p).astype("<f4")
    score = validation_score(valid.labels, p, valid.loss_weights)
    return ended("done", score=score, rows=base64.b85encode(losses.tobytes()).decode())


def _drawn(cell: Cell, space: Mapping[str, Knob], trials: Sequence[Trial]) -> tuple[optuna.Trial | None, dict[str, JSON]] | None:
    """The next settings, the defaults first; None where no others come than were tried."""
    default: dict[str, JSON] = {name: knob.default for name, knob in space.items()}
    if not trials:
        return None, default
    dists = distributions(space, len(cell.valid.tasks))
    before = [dict(trial.settings) for trial in trials]
    params = [_told(cell, space, settings) for settings in before]
    for ask in range(2 * ASKS):
        rng = np.random.default_rng([*cell.seed, len(trials), ask])
        study = _study(dists, list(zip(trials, params, strict=True)), int(rng.integers(2**31)), random=ask >= ASKS)
        trial = study.ask(dists)
        settings = decoded(space, trial.params)
        if (
            len(trials) < STARTUP and ask < ASKS
        ):  # half of the defaults at random: they were made with care, a point of the whole space was not
            settings |= {name: value for name, value in default.items() if rng.random() < 0.5}
        with suppress(BenchError):  # the method refuses them together: no trial is spent on that
            settings, _ = plain(cell.spec, space, settings, cell.valid)
            if settings not in before:
                return trial, settings
    return None


def _told(cell: Cell, space: Mapping[str, Knob], settings: Mapping[str, JSON]) -> dict[str, Any]:
    """What the sampler is told of a trial's settings: of those that were idle in it nothing."""
    _, unused = plain(cell.spec, space, settings, cell.valid)
    return encoded(space, {name: value for name, value in settings.items() if name not in unused})


def _study(
    dists: Mapping[str, BaseDistribution], trials: Sequence[tuple[Trial, Mapping[str, Any]]], seed: int, random: bool
) -> optuna.Study:
    """trials: each with its parameters."""
    sampler = optuna.samplers.RandomSampler(seed) if random else optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=seed)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=PRUNED_FROM[0], n_warmup_steps=PRUNED_FROM[1])
    study = optuna.create_study(direction="minimize", sampler=sampler, pruner=pruner)
    states = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    for trial, params in trials:
        study.add_trial(
            optuna.trial.create_trial(
                state=states[trial.state], value=trial.score, params=dict(params), distributions={name: dists[name] for name in params},
                intermediate_values={int(step): score for step, score in trial.steps},
            )
        )  # fmt: skip
    return study


def _chosen(trials: Sequence[Trial], seed: Sequence[int]) -> tuple[int, float]:
    """The place of the trial to go on with, and the largest gain over its noise. An error where every trial failed."""
    done = [place for place, trial in enumerate(trials) if trial.state == "done"]
    if not done:
        if trials:
            raise RuntimeError(f"every one of {len(trials)} trials failed, the defaults with {trials[0].error}")
        return 0, 0.0
    if done[0] != 0:  # the defaults failed: whatever works is better
        return min(done, key=lambda place: trials[place].score or 0.0), 0.0
    if len(done) == 1:
        return 0, 0.0
    losses = np.stack([trials[place].losses for place in done])
    best, gain = better(losses[0], losses[1:], [*seed, 1])
    return (0 if best is None else done[1 + best]), gain


def _said(chosen: Spec, space: Mapping[str, Knob], trials: Sequence[Trial], place: int, gain: float) -> dict[str, JSON]:
    """spec: the chosen settings, as the command line takes them. trial: which; 0 is the defaults. searched: settings that were.

    trials, failed, pruned: counts. errors: of those that failed, and how often. seconds: of all trials. score, default: validation scores.
    gain: the largest of any trial over the defaults, in standard errors.
    """
    states = [trial.state for trial in trials]
    errors = [trial.error for trial in trials if trial.error]
    return {
        "spec": chosen.label, "trial": place, "searched": list(space), "trials": len(trials), "failed": states.count("failed"),
        "pruned": states.count("pruned"), "errors": {error: errors.count(error) for error in errors},
        "seconds": round(sum(trial.seconds for trial in trials), 3), "score": trials[place].score if trials else None,
        "default": trials[0].score if trials else None, "gain": round(gain, 3),
    }  # fmt: skip


def seed_of(spec: Spec, seed: int, repeat: int, fold: int) -> tuple[int, ...]:
    """Of a method on a fold: no two methods are offered the same settings because their spaces look alike."""
    return seed, repeat, fold, zlib.crc32(spec.label.encode())
