"""The words under a table: what was estimated and tested, what failed, what to beware of."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import pandas as pd

from bench.report.words import percent, short
from bench.stats import MEAN, PRIMARY, Scoring
from bench.stats.scoring import unit
from bench.store import OTHER, Results

FAMILIES = ("linear", "trees", "tabular deep", "single-task", "sharing", "balancing", "the papers'")
GAP = 0.005  # pooled against stratified AUROC
CAPPED = 0.2  # share of cells
FEW = 1000  # resamples under which a whole run is called rough
SAID, LISTED = 8, 8  # notices that stand under a table, columns in a warning
UNSAID = "how a death before it counts is not said"
PATIENT = re.compile(r" ?\(first: patients? [^()]*\)")  # no report names one
METRIC_NAMES = {"auroc": "AUROC", "ap": "AP", "brier": "Brier score", "log_loss": "log loss"}
INTERVALS = {"percentile": "percentiles", "bca": "BCa"}
# The numbers: bench/docs/statistics.md, section 6, trained models.
CROSSED = (
    "as these were trained on each other's test folds, such intervals held the models' true value about 89 % of the time for a difference "
    "and 92 % for a single value in our simulations, not 95 %."
)
ADJUSTED = {
    "max_t": "max-T step-down (Romano-Wolf)",
    "holm": "Holm's method, which does not know how the comparisons depend on each other,",
    "bh": "Benjamini and Hochberg's method, which bounds the share of false marks and not the chance of one,",
}


def protocol(results: Results) -> str:
    """One line: split, repeats, seed, and what the methods were not shown."""
    given = results.protocol
    parts = [split(results)] if "folds" in given else []
    each = "fitted models" if given.get("split") == "external" else "repeats"
    parts += [_count(given["repeats"], each)] if "repeats" in given else []
    parts += [f"seed {given['seed']}"] if "seed" in given else []
    parts += [f"{name} as {given[name]}" for name in ("text", "series") if name in given]
    chosen: Any = given.get("outcomes", ())
    parts += [f"trained and judged on {' and '.join(chosen)} alone"] if chosen else []
    parts += [f"at most {given['train_size']:,} patients to learn from"] if "train_size" in given else []
    parts += [f"networks trained in {given['precision']}"] if "precision" in given else []
    side = {"test": "at the test", "train": "in training", "both": "at all"}[str(given.get("at", "test"))]
    parts += [f"every method tuned in every training fold with {given['tune']} trials"] if given.get("tune") else []
    parts += (
        [f"every method tuned in every training fold for {given['tune_minutes']:g} minutes"] if given.get("tune_minutes") else []
    )
    dropped: Any = given.get("drop", ())
    parts += [f"no {' and '.join(dropped)} {side}"] if dropped else []
    return ", ".join(parts)


def split(results: Results) -> str:
    """The folds: how many, by what, and of a single one what it is."""
    kind, folds = results.protocol.get("split"), results.protocol.get("folds")
    names = results.receipt.get("names") or [f"split by {kind}"]
    if kind is None:
        return _count(folds, "folds")
    if folds == 1:
        return str(names[0])
    return f"leave one site out, {folds} sites" if kind == "site" else f"{folds} folds by column {kind}"


def split_kind(results: Results) -> str:
    """What the literature calls it."""
    kind = str(results.protocol.get("split", ""))
    named = {"time": "Temporal split", "external": "External validation", "site": "Internal-external cross-validation"}
    return named.get(kind, "Held-out test set" if one_fold(results) else "Cross-validation")


def one_fold(results: Results) -> bool:
    return results.protocol.get("folds") == 1


def conditional(results: Results) -> str:
    """What the intervals and tests are about, and how far they can be trusted."""
    these = "About these predictions, conditional on the fitted models"
    return f"{these}." if one_fold(results) else f"{these}; {CROSSED}"


def warnings(results: Results, scoring: Scoring | None = None) -> tuple[str, ...]:
    """What must be read before any number."""
    few = () if scoring is None or results.quick or scoring.resamples >= FEW else (
        f"only {scoring.resamples:,} resamples: intervals and p values are rough",
    )  # fmt: skip
    quick = ("quick look, not a result",) if results.quick else ()
    return quick + _let_through(results) + few + ((results.note,) if results.note else ())


def _let_through(results: Results) -> tuple[str, ...]:
    columns = [short(column, 40) for column in dict.fromkeys(column for column, _ in results.words.leaks)]
    if not columns:
        return ()
    more = f" and {len(columns) - LISTED} more" if len(columns) > LISTED else ""
    return (
        f"leakage alarms were let through by name ({', '.join(columns[:LISTED])}{more}): methods may have been shown the outcomes",
    )


def leaks(results: Results) -> tuple[str, ...]:
    """What each alarm said that was let through."""
    return tuple(f"Leakage alarm: {PATIENT.sub('', text)}" for _, text in results.words.leaks)


def notices(results: Results) -> tuple[str, ...]:
    """All that reading the cohort and dealing out its folds said, the alarms first."""
    return (*leaks(results), *(PATIENT.sub("", text) for text in dict.fromkeys(results.words.notices)))


def few_notices(results: Results) -> tuple[str, ...]:
    """The same as it stands under a table: every alarm, of many others how many there are."""
    let, others = leaks(results), notices(results)[len(results.words.leaks) :]
    return (*let, f"Reading the cohort gave {len(others)} notices: see index.html.") if len(others) > SAID else (*let, *others)


def families(results: Results) -> dict[str, list[str]]:
    """Family -> its methods: in the order of FAMILIES, then others as they come, OTHER last."""
    found: dict[str, list[str]] = {family: [] for family in FAMILIES}
    for method in sorted(results.methods, key=lambda method: results.groups.get(method) == OTHER):
        found.setdefault(results.groups.get(method, ""), []).append(method)
    return {family: methods for family, methods in found.items() if methods}


def footnotes(results: Results, scoring: Scoring) -> tuple[tuple[str, ...], Mapping[str, tuple[int, ...]]]:
    """The texts, and per method the numbers of its own, from 1. The same text of several methods has one number."""
    texts: list[str] = []
    marks: dict[str, tuple[int, ...]] = {}
    for method in chain.from_iterable(families(results).values()):  # numbered in the order of the rows
        own = _of_method(results, scoring, method)
        texts += [text for text in own if text not in texts]
        marks[method] = tuple(sorted(texts.index(text) + 1 for text in own))
    return tuple(texts), marks


def _of_method(results: Results, scoring: Scoring, method: str) -> list[str]:
    cells = results.cells[results.cells["method"] == method]
    done = cells[cells["status"] == "done"]
    texts = _unfinished(cells)
    capped = sum(bool(facts.get("at_cap")) for facts in done["facts"])
    if capped > CAPPED * len(done) and not results.quick:  # a quick look is short by design
        texts.append(f"Alarm: {capped} of {len(done)} cells ended at the cap of epochs or rounds, not by early stopping.")
    alarms = Counter(alarm for of_cell in done["alarms"] for alarm in of_cell)
    texts += [f"Alarm in {n} of {len(done)} cells: {short(alarm)}." for alarm, n in alarms.items()]
    twins = [a if b == method else b for a, b in scoring.identical if method in (a, b)]
    if twins:
        group = [m for m in results.methods if m == method or m in twins]
        texts.append(f"Alarm: identical predictions of {' and '.join(group)}.")
    texts += [results.published[method]] if method in results.published else []
    return texts + ([] if results.quick else _pooled_gap(scoring, method))  # of few events it is noise


def own(results: Results, scoring: Scoring) -> tuple[str, ...]:
    """How each method that was trained here came out, beside published ones; nothing where there are none."""
    if not results.published:
        return ()
    seen = results.predictions
    here = set(seen.loc[seen["view"] == "valid", "method"])  # of published methods there are test predictions alone
    others = sum(method not in here for method in results.methods)
    tables = [frame[frame["task"] == MEAN] for frame in (scoring.scores, scoring.standings, scoring.comparisons)]
    return tuple(
        f"Trained here: {method}, beside {others} published methods. {' '.join(_came_out(method, results.reference, *tables))}"
        for method in results.methods
        if method in here
    )


def _came_out(
    method: str, reference: str, scores: pd.DataFrame, standings: pd.DataFrame, compared: pd.DataFrame
) -> Iterator[str]:
    """Of the mean over outcomes, a sentence a metric."""
    for metric in PRIMARY:
        value, stood, against = (
            frame[(frame["method"] == method) & (frame["metric"] == metric)].to_dict("records")
            for frame in (scores, standings, compared)
        )
        text = f"{METRIC_NAMES[metric]} {percent(value[0]['value'])}" if value else ""
        if stood and stood[0]["rank"] == stood[0]["rank"]:
            ranked = int(standings.loc[standings["metric"] == metric, "rank"].notna().sum())
            text += f", rank {stood[0]['set_low']:.0f} to {stood[0]['set_high']:.0f} of {ranked} (95 % set)"
        if against and against[0]["difference"] == against[0]["difference"]:
            one = against[0]
            text += f", {100 * one['difference']:+.2f} points ({percent(one['low'], 2)} to {percent(one['high'], 2)}) against {reference}"
        if text:
            yield f"{text}."


def _unfinished(cells: pd.DataFrame) -> list[str]:
    texts: list[str] = []
    for status, word in (("failed", "failed"), ("declined", "were declined")):
        errors = Counter(short(str(error)).rstrip(".") for error in cells.loc[cells["status"] == status, "error"])
        texts += [f"{n} of {len(cells)} cells {word}: {error}." for error, n in errors.items()]
    return texts


def _pooled_gap(scoring: Scoring, method: str) -> list[str]:
    own = scoring.scores[scoring.scores["method"] == method].set_index(["metric", "task"])["value"]
    gaps: list[str] = []
    for task in scoring.outcomes["task"]:
        if ("auroc", task) in own.index and abs(own["auroc", task] - own["auroc_pooled", task]) > GAP:
            gaps.append(f"{task} {percent(own['auroc_pooled', task])} pooled, {percent(own['auroc', task])} within folds")
    if not gaps:
        return []
    return [f"Alarm: AUROC pooled over folds is off by more than .005, so the folds' scales differ ({'; '.join(gaps)})."]


def remarks(results: Results, scoring: Scoring, style: str = "paper") -> tuple[str, ...]:
    """How the numbers came about and what the marks mean."""
    return tuple(
        text
        for text in [
            _estimate(results, scoring, style),
            _marks(results, scoring),
            _family(results, scoring),
            _detectable(scoring),
            _repeats(results, scoring),
            _weights(results),
            _coverage(results, scoring),
            *_few(scoring),
            *outcomes(results),
        ]
        if text
    )


def _estimate(results: Results, scoring: Scoring, style: str) -> str:
    spread = {
        "paper": "" if one_fold(results) else "± SD over folds, a description. ",
        "clinical": f"In brackets: 95 % interval of the same bootstrap ({INTERVALS[scoring.interval]}). ",
    }
    over = " and averaged over repeats" if results.protocol.get("repeats", 1) != 1 else ""
    return (
        "AUROC: concordant pairs over all pairs, both summed over folds. Average precision (AP): event-weighted mean of the folds' "
        f"AP{over}. {spread.get(style, '')}Chance: 50 for AUROC, the expected AP of a random ranking. Parameters and "
        "steps: mean of a cell; seconds: sum."
    )


def _marks(results: Results, scoring: Scoring) -> str:
    text = "Bold: best; underlined: second; ≈: not distinguishable from the best (multiple comparisons with the best, 95 %)"
    against = f"; ▲ ▼: better, worse than {results.reference} at adjusted p < .05" if scoring.family else ""
    unranked = " A method without all its cells is not ranked and is compared on the cells both have."
    return text + against + "." + (unranked if (results.cells["status"] != "done").any() else "")


def _family(results: Results, scoring: Scoring) -> str:
    if not scoring.family:
        return f"No comparison: the reference {results.reference} shares no cell with another method."
    others = scoring.comparisons["method"].nunique()
    redrawn = f", {_count(scoring.redraws, 'redraws')} of undefined ones" if scoring.redraws else ""
    metrics = " and ".join(METRIC_NAMES[metric] for metric in scoring.primary)
    return (
        f"Paired bootstrap of {unit(results.cohort)} within folds, {_count(scoring.resamples, 'resamples')}{redrawn}; p adjusted by "
        f"{ADJUSTED[scoring.adjust]} over one family of {scoring.family} comparisons ({_count(others, 'methods')} against "
        f"{results.reference}, outcomes and their mean, {metrics}). {conditional(results)} "
        f"P(best): share of resamples in which the method has the best {MEAN}; rank: 95 % set of its true rank, all methods at once."
    )


def _detectable(scoring: Scoring) -> str:
    """What no mark means: how large a difference would have been seen."""
    of_mean = scoring.comparisons[(scoring.comparisons["task"] == MEAN) & scoring.comparisons["metric"].isin(scoring.primary)]
    found = of_mean.groupby("metric", sort=False)["detectable"].median().dropna()
    if found.empty:
        return ""
    sizes = " and ".join(f"{percent(size, 2)} points of {METRIC_NAMES[str(metric)]}" for metric, size in found.items())
    return (
        f"No mark is no evidence of equality: on the mean, only a true difference of about {sizes} (median over methods) or more would "
        "be found with 80 % power by a single test, and only a larger one after the adjustment. Whether another training set would say the same is another question: see "
        "`bench compare` and the corrected t in index.html."
    )


def _repeats(results: Results, scoring: Scoring) -> str:
    if not scoring.family or one_fold(results):
        return ""
    if results.protocol.get("repeats", 1) == 1:
        return "With one repeat ▲ ▼ are not held against the corrected t, which asks whether another training would say the same."
    return "No ▲ ▼ either where the difference is under two standard errors of the corrected t over repeats and folds."


def _weights(results: Results) -> str:
    if not any(c.startswith("weight:") for c in results.cohort.columns):
        return ""
    return "Weighted by the inverse probability that an outcome is known; prevalence weighted, below it the naive one."


def _coverage(results: Results, scoring: Scoring) -> str:
    """How many of the tested rows have a known label, of the outcomes where some have not."""
    test = results.predictions[results.predictions["view"] == "test"] if len(results.predictions) else results.predictions
    rows = test["row"].nunique() if len(test) else 0
    known = {row["task"]: row["n"] for _, row in scoring.outcomes.iterrows() if row["n"] < rows}
    if not known:
        return ""
    said = ", ".join(f"{task} {n:,} ({percent(n / rows)} %)" for task, n in known.items())
    full = " All others: every row." if len(known) < len(scoring.outcomes) else ""
    return (
        f"Known labels among the {rows:,} tested rows: {said}.{full} Unknown ones are left out, of training and of every number."
    )


def _few(scoring: Scoring) -> tuple[str, ...]:
    outcomes = scoring.outcomes
    few = outcomes.loc[~outcomes["averaged"].astype(bool), "task"].tolist()
    no_ap = outcomes.loc[outcomes["averaged"].astype(bool) & (outcomes["folds"] == 0), "task"].tolist()
    return (
        f"Fewer than 20 events: AUROC only, not ranked, tested or averaged: {', '.join(few)}." if few else "",
        f"Fewer than 10 events in every fold: no AP: {', '.join(no_ap)}." if no_ap else "",
    )


def outcomes(results: Results) -> tuple[str, ...]:
    """What an outcome's name stands for and how competing death is coded, one line each; its other definitions after it."""
    lines: list[str] = []
    rules = {name: f"defined as {text}" for name, text in results.words.definitions.items() if text != name}
    for task in results.tasks:
        said = [task.label if task.label != task.name else "", rules.get(task.name, ""), task.competing or UNSAID]
        lines.append(f"{task.name}: {'; '.join(s for s in said if s)}.")
        lines += [f"{name}: {rule}." for name, rule in rules.items() if name.startswith(f"{task.name}~")]
    return tuple(lines)


def _count(n: object, plural: str) -> str:
    return f"{n:,} {plural.removesuffix('s') if n == 1 else plural}"
