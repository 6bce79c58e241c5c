"""Answers to PROBAST+AI's signalling questions that follow from the store, each by a rule that its docstring states."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from bench.metrics import TOTAL_EVENTS
from bench.report import notes
from bench.report.checklists.design import parts, unknown_outcomes, weighted
from bench.report.checklists.facts import Facts, parameters, rows_for_overall_risk
from bench.report.checklists.measures import calibrated, recalibrated
from bench.report.checklists.text import count, decimal, names, say, where
from bench.report.evidence import Frames

Judge: TypeAlias = Callable[[Frames, Facts], tuple[str, str]]
YES, PROBABLY, PROBABLY_NOT, NO, OPEN = "Yes", "Probably yes", "Probably no", "No", "Blank: for the authors"
NOTHING = "No test prediction is stored."
# Events, and rows without: a rule of thumb (Vergouwe et al., Journal of Clinical Epidemiology 58, 2005). Collins et al.,
# Statistics in Medicine 35, 2016, ask for 100 events, better 200.
EVALUATION = 100


def development_size(frames: Frames, facts: Facts) -> tuple[str, str]:
    """Probably no, where an outcome has too few events or rows for its overall risk alone; else open: predictors are not stored."""
    poor: list[str] = []
    said: list[str] = []
    for task in frames.results.tasks:
        known, events = facts.smallest(task.name)
        if not known > 0:
            continue
        rate = events / known
        short = events < TOTAL_EVENTS or known < rows_for_overall_risk(rate)
        poor += [task.name] if short else []
        allowed = parameters(known, rate)
        allows = f"which allow {count(int(allowed), 'parameters')}" if allowed == allowed else "of one class"
        said.append(f"{say(task.name)} {int(events):,} events of {int(known):,} rows, {allows}")
    if not said:
        return (
            OPEN,
            NOTHING if facts.sides.empty else "Not all folds have predictions, so that the rows learned from are not known.",
        )
    text = f"Least learned from in a fold (criterion of Riley et al., BMJ 2020;368:m441): {'; '.join(said)}."
    return (PROBABLY_NOT, f"{text} Too few even for the overall risk: {names(poor)}.") if poor else (OPEN, text)


def missing(frames: Frames, facts: Facts) -> tuple[str, str]:
    """Always open: what was missing among predictors is not stored."""
    how = "weighted by the inverse probability of being known" if weighted(frames.results) else "without weights"
    return OPEN, f"{unknown_outcomes(frames, facts)} Analysed {how}. Missing predictors are not stored."


def recalibration(frames: Frames, facts: Facts) -> tuple[str, str]:
    """Probably yes, where every method and outcome with raw calibration has a recalibrated version too; else open."""
    raw, after = (calibrated(frames, version=version) for version in ("raw", "recalibrated"))
    return (PROBABLY if len(raw) and len(after) == len(raw) else OPEN), recalibrated(frames)


def overfitting(frames: Frames, facts: Facts) -> tuple[str, str]:
    """Always open: folds and slopes tell how much the models overfit, not what was done against it."""
    folds = int(facts.sides["fold"].nunique())
    held_out = folds == 1 and notes.one_fold(frames.results)
    if folds < 2 and not held_out:
        return OPEN, NOTHING if not folds else "Predictions of one fold alone are stored."
    how = f"{notes.split_kind(frames.results)} over {count(folds, 'folds')}; all performance is out of fold."
    if held_out:
        how = f"{notes.split_kind(frames.results)}: {say(notes.split(frames.results))}; all performance is of rows not learned from."
    return OPEN, f"{how} {parts(facts)}{_slopes(frames)}"


def _slopes(frames: Frames) -> str:
    raw = calibrated(frames, version="raw")
    slopes = raw["slope"].dropna().to_numpy(np.float64) if len(raw) else np.empty(0)
    if not len(slopes):
        return ""
    low, middle, high = (decimal(float(x), 2) for x in np.quantile(slopes, [0, 0.5, 1]))
    return f" Calibration slopes of raw predictions: median {middle}, from {low} to {high}; under 1 tells of overfitting."


def apparent(frames: Frames, facts: Facts) -> tuple[str, str]:
    """Yes, where no row is tested twice in a repeat or tested in a fold whose validation rows it is among; else no."""
    if not facts.scored:
        return OPEN, NOTHING
    text = (
        f"All performance is of test folds, which hold {count(facts.scored, 'rows')}: {facts.repeated:,} stand in two test folds of a "
        f"repeat, {facts.overlapping:,} also among the validation rows of their fold."
    )
    return (NO if facts.repeated or facts.overlapping else YES), text


def evaluation_size(frames: Frames, facts: Facts) -> tuple[str, str]:
    """Probably yes, where every outcome has 100 events and 100 rows without; probably no otherwise."""
    outcomes = frames.scoring.outcomes
    if outcomes.empty:
        return OPEN, NOTHING
    few = outcomes[(outcomes["events"] < EVALUATION) | (outcomes["n"] - outcomes["events"] < EVALUATION)]
    listed = "; ".join(f"{say(str(row['task']))} {row['events']:,} of {row['n']:,}" for _, row in outcomes.iterrows())
    text = f"Events of scored rows: {listed}."
    if len(few):
        return PROBABLY_NOT, f"{text} Under {EVALUATION} events, or rows without: {names(map(str, few['task']))}."
    rule = "a rule of thumb (Vergouwe et al., J Clin Epidemiol 2005;58:475), often too few for calibration (Snell et al., J Clin Epidemiol 2021;135:79)"
    return PROBABLY, f"{text} All have {EVALUATION} events and rows without, or more: {rule}."


def untreated(frames: Frames, facts: Facts) -> tuple[str, str]:
    """Probably yes, where every scored row counts once in a repeat, so that test folds have the cohort's mix; else no."""
    if not facts.scored:
        return OPEN, NOTHING
    text = (
        f"Test folds hold rows of the cohort as they are: {facts.scored:,} of {facts.rows:,}, {facts.repeated:,} of them twice."
    )
    return (NO if facts.repeated else PROBABLY), text


def leakage(frames: Frames, facts: Facts) -> tuple[str, str]:
    """No, where a patient or group has rows on two sides of a fold; probably no, where a leakage alarm was let through.

    Probably yes otherwise, for predictors are not stored.
    """
    if not facts.scored:
        return OPEN, NOTHING
    stored = frames.results.receipt.get("groups_on_two_sides")
    receipt = "" if stored is None else f" The receipt of the splits counts {int(stored):,}."
    owners = "group or patient" if facts.crossing == 1 else "groups or patients"
    text = f"{facts.crossing:,} {owners} with rows on two sides of a fold.{receipt}"
    let = [say(alarm) for alarm in notes.leaks(frames.results)]
    return NO if facts.crossing or stored else PROBABLY_NOT if let else PROBABLY, " ".join([text, *let])


def replicated(frames: Frames, facts: Facts) -> tuple[str, str]:
    """Probably yes, where cells are done: each is one fit of one fold. What was done before the folds is not stored."""
    cells = frames.results.cells
    done = where(cells, status="done")
    if done.empty:
        return OPEN, NOTHING
    text = f"{len(done):,} of {len(cells):,} fits are done, one per method, fold and repeat."
    return PROBABLY, f"{text} Preparation and stopping belong to the fit of a fold if `bench run` made these results."


def appropriate(frames: Frames, facts: Facts) -> tuple[str, str]:
    """Yes, where discrimination, calibration and net benefit are there; probably no without calibration; else probably yes."""
    have = {
        "discrimination (AUROC, average precision)": len(frames.scoring.scores),
        "calibration (curve, intercept, slope, ICI)": len(frames.calibration),
        "net benefit": len(frames.net_benefit),
    }
    there, gone = ([name for name, rows in have.items() if bool(rows) is wanted] for wanted in (True, False))
    if not there:
        return OPEN, NOTHING
    text = f"Evaluated: {', '.join(there)}." + (f" Not evaluated: {', '.join(gone)}." if gone else "")
    answer = YES if not gone else PROBABLY if len(frames.calibration) and len(frames.scoring.scores) else PROBABLY_NOT
    return answer, text


JUDGES: Mapping[tuple[str, str], Judge] = {
    ("development", "4.1"): development_size, ("development", "4.3"): missing, ("development", "4.4"): recalibration,
    ("development", "4.5"): overfitting, ("evaluation", "4.1"): apparent, ("evaluation", "4.2"): evaluation_size,
    ("evaluation", "4.3"): missing, ("evaluation", "4.4"): untreated, ("evaluation", "4.5"): leakage,
    ("evaluation", "4.6"): replicated, ("evaluation", "4.7"): appropriate,
}  # fmt: skip
