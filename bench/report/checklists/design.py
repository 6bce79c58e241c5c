"""TRIPOD+AI items 10 to 12d: what the store says of sample, missing data and methods. Paragraphs of Markdown."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.core import Task
from bench.report import notes
from bench.report.checklists.facts import Facts, parameters, rows_for_overall_risk
from bench.report.checklists.text import count, decimal, names, say, share, span, table, where
from bench.report.evidence import Frames
from bench.report.words import DASH, number, percent
from bench.stats import subgroups
from bench.store import Results


def sample_size(frames: Frames, facts: Facts) -> list[str]:
    """Item 10."""
    head = [
        "Outcome", "known", "events", "prevalence, %", "events of a test fold", "least learned from: known", "events",
        "parameters they allow", "rows for the overall risk",
    ]  # fmt: skip
    return [
        f"{_who(facts)} {count(facts.scored, 'rows')} have predictions.",
        table(head, [_outcome_size(frames, facts, task) for task in frames.results.tasks]),
        "Least learned from: training and validation rows of the fold with the fewest events. Parameters they allow: candidate "
        "predictor parameters of a regression model with an expected shrinkage of 0.9, at 15 % of the largest Cox-Snell R²; "
        "rows for the overall risk: to know it within 0.05 (Riley et al., BMJ 2020;368:m441). Flexible methods need more.",
    ]


def _who(facts: Facts) -> str:
    return (
        f"The cohort has {count(facts.rows, 'rows')} of {count(facts.patients, 'patients')} in {count(facts.groups, 'groups')}."
    )


def _outcome_size(frames: Frames, facts: Facts, task: Task) -> list[str]:
    outcome = where(frames.scoring.outcomes, task=task.name)
    known, events = facts.smallest(task.name)
    rate = events / known if known else math.nan
    allowed, needed = parameters(known, rate), rows_for_overall_risk(rate)
    label = f"{say(task.name)} ({say(task.label)})" if task.label not in ("", task.name) else say(task.name)
    sizes = [f"{int(outcome[c].iloc[0]):,}" if len(outcome) else DASH for c in ("n", "events")]
    prevalence = percent(float(outcome["prevalence"].iloc[0])) if len(outcome) else DASH
    learned = [span([known]), span([events]), span([allowed]), span([np.ceil(needed)])]
    return [label, *sizes, prevalence, span(facts.of("test", task.name)["events"]), *learned]


def missing_data(frames: Frames, facts: Facts) -> list[str]:
    """Item 11."""
    results = frames.results
    texts = [unknown_outcomes(frames, facts), _weights(results), *_competing(results)]
    left = facts.rows - facts.scored
    texts += [f"{count(left, 'rows')} of the cohort have no prediction."] if left else []
    return [*(text for text in texts if text), "Predictors are not in the store, nor which of them were missing."]


def unknown_outcomes(frames: Frames, facts: Facts) -> str:
    """A sentence on outcomes that are unknown among the scored rows."""
    unknown = {task.name: int(facts.labels[f"y:{task.name}"].isna().sum()) for task in frames.results.tasks if len(facts.labels)}
    some = [f"{say(task)} {n:,} ({share(n, len(facts.labels))})" for task, n in unknown.items() if n]
    if not unknown:
        return "No test prediction is stored, and so no outcome."
    return f"Unknown outcomes, left out: {'; '.join(some)}." if some else "Every outcome of every scored row is known."


def _weights(results: Results) -> str:
    if not weighted(results):
        return ""
    weights = np.concatenate([results.cohort[c].to_numpy(np.float64) for c in results.cohort if str(c).startswith("weight:")])
    used = weights[weights > 0]
    limits = f" ({decimal(used.min(), 2)} to {decimal(used.max(), 2)})" if len(used) else ""
    return f"Rows weigh by the inverse probability that the outcome is known{limits}, in prevalence and performance alike."


def weighted(results: Results) -> bool:
    return any(str(column).startswith("weight:") for column in results.cohort.columns)


def _competing(results: Results) -> list[str]:
    texts = dict.fromkeys(task.competing for task in results.tasks if task.competing)
    said = [f"{names(task.name for task in results.tasks if task.competing == text)}: {say(text)}" for text in texts]
    silent = names(task.name for task in results.tasks if not task.competing)
    said += [f"{silent}: {notes.UNSAID}"] if silent else []
    return [f"Competing events: {'; '.join(said)}."]


def unfinished(frames: Frames) -> list[str]:
    """Cells that failed or were declined, and alarms, with the methods they are of."""
    texts, marks = notes.footnotes(frames.results, frames.scoring)
    owners = {n: [method for method, own in marks.items() if n in own] for n in range(1, len(texts) + 1)}
    lines = [f"- {names(owners[n])}: {say(text)}" for n, text in enumerate(texts, 1)]
    if not lines:
        return ["No cell failed or was declined, and no alarm was raised."]
    return ["Cells that failed or were declined, and alarms:", "\n".join(lines)]


def partition(frames: Frames, facts: Facts) -> list[str]:
    """Item 12a."""
    texts = [f"{notes.split_kind(frames.results)}: {say(notes.protocol(frames.results))}. {parts(facts)}"]
    folds = frames.results.receipt.get("names", [])
    texts += [f"Folds: {'; '.join(say(str(name)) for name in folds)}."] if len(folds) > 1 else []
    if facts.scored < facts.rows:
        texts.append(f"{facts.scored:,} of the cohort's {count(facts.rows, 'rows')} were tested on.")
    others = sorted(set(map(str, frames.results.predictions.get("view", pd.Series(dtype=str)).unique())) - {"test", "valid"})
    return [*texts, *([f"Predictions are stored of these views besides: {names(others)}."] if others else [])]


def parts(facts: Facts) -> str:
    """A sentence on the sizes of a fold's parts."""
    sizes = facts.sides.drop_duplicates(["repeat", "fold", "side"]).set_index("side")["n"]

    def rows(side: str) -> str:
        return span(sizes.loc[[side]]) if side in sizes.index else DASH

    if "valid" not in sizes.index:
        return f"Rows of a fold: {rows('learned')} to learn from, {rows('test')} to test on; validation rows are not stored."
    portion = sizes.loc[["valid"]].sum() / sizes.loc[["learned"]].sum() if "learned" in sizes.index else math.nan
    kept = f" ({percent(portion)} % of those learned from)" if portion == portion else ""
    return f"Rows of a fold: {rows('train')} for training, {rows('valid')} for validation{kept}, {rows('test')} to test on."


def building(frames: Frames, facts: Facts) -> list[str]:
    """Item 12c."""
    head = ["Method", "family", "cells done", "parameters", "steps", "at cap", "seconds"]
    results = frames.results
    return [
        f"{count(len(results.methods), 'methods')}, compared with {say(results.reference)}; internal validation as under 12a.",
        table(head, [_method(results, method) for method in results.methods], named=2),
        "Parameters and steps: mean of a cell; at cap: cells that ended at the most steps allowed; seconds: sum over cells.",
        *_settings(results),
        *unfinished(frames),
    ]


def _settings(results: Results) -> list[str]:
    stated = [f"- {say(method)}: {_setting(results.made[method])}" for method in results.methods if method in results.made]
    return ["Settings, the same in every fold:", "\n".join(stated)] if stated else ["The settings of the methods are not stored."]


def _setting(made: Mapping[str, Any]) -> str:
    if "settings" not in made:
        return "not stored"
    return ", ".join(f"{say(str(key))} {say(str(value))}" for key, value in made["settings"].items()) or "none"


def _method(results: Results, method: str) -> list[str]:
    own = where(results.cells, method=method)
    done = where(own, status="done")
    facts = list(done["facts"]) if len(done) else []
    capped = sum(bool(fact.get("at_cap")) for fact in facts)
    spent = float(done["seconds"].sum()) if len(done) else math.nan
    means = [number(round(mean)) if (mean := mean_fact(facts, key)) == mean else DASH for key in ("parameters", "steps")]
    family = say(results.groups.get(method, ""))
    return [say(method), family, f"{len(done)} of {len(own)}", *means, str(capped), number(spent)]


def mean_fact(facts: list[Mapping[str, Any]], key: str) -> float:
    """Mean over the cells that state a number; NaN where none does."""
    stated = [float(fact[key]) for fact in facts if isinstance(fact.get(key), int | float)]
    return float(np.mean(stated)) if stated else math.nan


def clusters(frames: Frames, facts: Facts) -> list[str]:
    """Item 12d."""
    named = levels(frames.results)
    if not named:
        return ["The cohort names no site and no subgroup with two levels: nothing was compared between clusters."]
    listed = ", ".join(f"{say(variable)} ({count(found.nunique(), 'levels')})" for variable, found in named.items())
    looked = (
        "performance by level: 23a, its spread: 23b" if len(frames.heterogeneity) else "performance by level was not computed"
    )
    return [f"The cohort names: {listed}; {looked}."]


def levels(results: Results) -> dict[str, pd.Series]:
    """Site and subgroups that the cohort names -> the level of each row with a prediction (of all where there is none).

    The levels are those that performance is judged by, see `bench.stats.subgroups.levels`; not those with one level.
    """
    made, cohort = results.predictions, results.cohort
    tested = set(made.loc[made["view"] == "test", "row"]) if len(made) else set[int]()
    found = subgroups.of_cohort(cohort[cohort["row"].isin(tested)] if tested else cohort)
    return {name: of_rows for name, of_rows in found.items() if of_rows.nunique() > 1}
