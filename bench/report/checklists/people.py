"""TRIPOD+AI items 18e to 22: data, code, participants and models, as far as stored. Paragraphs of Markdown."""

import pandas as pd

from bench.report.checklists.design import levels
from bench.report.checklists.facts import Facts
from bench.report.checklists.text import count, say, share, span, table
from bench.report.evidence import Frames
from bench.report.words import DASH

PARTS = {"train": "training", "valid": "validation", "learned": "training and validation", "test": "test"}


def protocol(frames: Frames, facts: Facts) -> list[str]:
    """Item 18c."""
    if not frames.sheet.plan:
        return ["The store does not say."]
    return ["\n".join(f"- {say(text)}" for text in frames.sheet.plan)]


def data(frames: Frames, facts: Facts) -> list[str]:
    """Item 18e."""
    results = frames.results
    texts = [f"Results of dataset {say(results.dataset)}: {count(len(results.predictions), 'rows')} of predictions."]
    texts += [f"Digest of the cohort's content: {say(results.digest)}."] if results.digest else []
    split = results.receipt.get("hash")
    return [*texts, *([f"Hash of the splits: {say(str(split))}."] if split else [])]


def code(frames: Frames, facts: Facts) -> list[str]:
    """Item 18f."""
    results = frames.results
    found: dict[str, set[str]] = {}
    for method in results.made.values():
        for library, version in method.get("versions", {}).items():
            found.setdefault(library, set()).add(str(version))
    texts = [f"{say(key)} {say(str(value))}" for key, value in results.environment.items()]
    texts += [f"{say(library)} {say(' and '.join(sorted(versions)))}" for library, versions in sorted(found.items())]
    return [f"Made with {', '.join(texts)}."] if texts else ["Versions are not stored."]


def flow(frames: Frames, facts: Facts) -> list[str]:
    """Item 20a."""
    rows = [_outcome(facts.labels, task.name) for task in frames.results.tasks] if len(facts.labels) else []
    gone = facts.rows - facts.scored
    return [
        f"{count(facts.rows, 'rows')} of {count(facts.patients, 'patients')} in the cohort, {facts.scored:,} with a prediction, "
        f"{gone:,} without.",
        *([table(["Outcome", "with", "without", "unknown"], rows)] if rows else []),
    ]


def _outcome(labels: pd.DataFrame, task: str) -> list[str]:
    y = labels[f"y:{task}"]
    return [say(task), *(f"{int(n):,}" for n in ((y == 1).sum(), (y == 0).sum(), y.isna().sum()))]


def characteristics(frames: Frames, facts: Facts) -> list[str]:
    """Item 20b."""
    cohort = frames.results.cohort
    texts: list[str] = []
    times = cohort["time"].dropna() if "time" in cohort else pd.Series(dtype=object)
    first, last = (say(str(limit).removesuffix(" 00:00:00")) for limit in (times.min(), times.max())) if len(times) else ("", "")
    texts += [f"Time of the rows: {first} to {last}."] if first else []
    rows = [row for named in levels(frames.results).items() for row in _levels(frames, facts, *named)]
    if not rows:
        return [*texts, "The cohort names no site and no subgroup with two levels."]
    tasks = [task.name for task in frames.results.tasks]
    texts += [f"Counted among the {count(facts.scored, 'rows')} with a prediction."] if 0 < facts.scored < facts.rows else []
    return [*texts, table(["Variable", "level", "rows", *(f"{say(task)}: events of known" for task in tasks)], rows, named=2)]


def _levels(frames: Frames, facts: Facts, variable: str, of_rows: pd.Series) -> list[list[str]]:
    rows: list[list[str]] = []
    for level in of_rows.cat.categories:
        here = of_rows == level
        labels = facts.labels[facts.labels["row"].isin(of_rows.index[here])] if len(facts.labels) else None
        events = [DASH if labels is None else _events(labels[f"y:{task.name}"]) for task in frames.results.tasks]
        rows.append([say(variable), say(level), f"{here.sum():,} ({share(here.sum(), len(here))})", *events])
    return rows


def _events(y: "pd.Series[float]") -> str:
    return f"{int((y == 1).sum()):,} of {int(y.notna().sum()):,}"


def analyses(frames: Frames, facts: Facts) -> list[str]:
    """Item 21."""
    if facts.sides.empty:
        return ["No test prediction is stored."]
    stored = set(facts.sides["side"])
    shown = [side for side in ("train", "valid", "test") if side in stored]
    shown = ["learned", "test"] if shown == ["test"] and "learned" in stored else shown
    head = ["Outcome", *(f"{PARTS[side]}: {what}" for side in shown for what in ("known", "events"))]
    rows = [
        [say(task.name), *(span(facts.of(side, task.name)[what]) for side in shown for what in ("known", "events"))]
        for task in frames.results.tasks
    ]
    folds = len(facts.sides.drop_duplicates(["repeat", "fold"]))
    return [
        table(head, rows),
        f"From the fold with the fewest to the one with the most, of {count(folds, 'folds')} in all repeats.",
    ]


def specification(frames: Frames, facts: Facts) -> list[str]:
    """Item 22."""
    codes = [f"{say(method)} {say(str(of['code']))}" for method, of in frames.results.made.items() if "code" in of]
    texts = ["The results folder holds predictions, settings and versions, not the fitted models; parameters and settings: 12c."]
    return [*texts, *([f"Hash of the code of each method: {', '.join(codes)}."] if codes else [])]
